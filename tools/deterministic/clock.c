// SPDX-License-Identifier: GPL-2.0-only
/*
 * A clock for spaces: RDTSC stops them, and their parent answers with how often
 * they have stopped. The same in every run.
 */
#include <det.h>
#include <string.h>
#include <sys/user.h>

#define READINGS 3
static unsigned long reading[2][READINGS];

static unsigned long read_clock(void)
{
	unsigned int low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high));
	return low | (unsigned long)high << 32;
}

static void *work(void *arg)
{
	unsigned long *own = arg;

	for (int i = 0; i < READINGS; i++)
		own[i] = read_clock();
	return NULL;
}

/* Until the child has ended: a clock that goes on by one at each stop. */
static void serve(det_t child)
{
	struct user_regs_struct regs;
	struct det_status st;
	struct det_args a = {
		.notify_fd = -1, .flags = DET_REGS,
		.regs = (uintptr_t)&regs, .regs_size = sizeof(regs),
		.status = (uintptr_t)&st, .status_size = sizeof(st),
	};

	/* The child's code is a copy of ours. */
	for (unsigned long stops = 1; !dget(child, &a, sizeof(a)) &&
	     st.reason == DET_FAULT && !memcmp((void *)regs.rip, "\x0f\x31", 2);
	     stops++, a.flags = DET_REGS) {
		regs.rax = stops;
		regs.rdx = 0;
		regs.rip += 2;
		a.flags = DET_REGS | DET_START;
		dput(child, &a, sizeof(a));
	}
}

int main(void)
{
	det_t space[2];

	for (int i = 0; i < 2; i++)
		det_create(&space[i], work, reading[i]);
	for (int i = 0; i < 2; i++) {
		serve(space[i]);
		det_join(space[i], NULL);
		printf("space %d:", i);
		for (int j = 0; j < READINGS; j++)
			printf(" %lu%s", reading[i][j], j < READINGS - 1 ? "" : "\n");
	}
	return 0;
}
