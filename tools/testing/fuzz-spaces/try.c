// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sequences run in a process of their own, the master, whose end shows what it
 * has left behind. It may die or hang.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "exec.h"
#include "try.h"

#define VIEW_SIZE (NPAGES * (u64)PAGE)

size_t xstate_size;
u8 first_xstate[MAX_XSTATE];
unsigned int hang_limit = 60;

static struct report *report;

/* The size of the XSAVE area, by CPUID. */
static size_t cpu_xstate_size(void)
{
	u32 a = 13, b, c = 0, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return b;
}

/* What a new space has, which the calls themselves must tell. */
static bool get_first_xstate(void)
{
	struct det_args a = {
		.flags = DET_REGS,
		.xstate = (u64)first_xstate,
		.xstate_size = xstate_size,
		.notify_fd = -1,
	};
	bool ok;

	ok = !plain_call(true, 0, 0, NULL, 0, NULL) &&
	     !raw_call(false, 0, &a, sizeof(a));
	return ok && !plain_call(true, 0, DET_KILL, NULL, 0, NULL);
}

/* The interpreter as memory of our own: no master has to fetch it again. */
static bool own_code(void)
{
	static u8 copy[PAGE];
	void *at = (void *)SPACE_AT;

	memcpy(copy, at, space_end - space_start);
	if (mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
		 MAP_FIXED, -1, 0) == MAP_FAILED)
		return false;
	memcpy(at, copy, space_end - space_start);
	return !mprotect(at, PAGE, PROT_READ | PROT_EXEC);
}

bool try_init(void)
{
	sigset_t set;

	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	xstate_size = cpu_xstate_size();
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	stir_init();
	return report != MAP_FAILED && xstate_size <= MAX_XSTATE &&
	       own_code() && prepare_once() && get_first_xstate();
}

static void master(const struct sequence *q, u32 nr, u32 times)
{
	static struct run run = {};
	u32 i;

	run.report = report;
	while (times--) {
		for (i = 0; i < nr; i++) {
			report->sequence = i;
			if (!run_sequence(&run, &q[i]))
				_exit(1);
		}
	}
	_exit(0);
}

/* Its status; -1 if it had to be killed. */
static int await(pid_t pid)
{
	struct timespec limit = { .tv_sec = hang_limit };
	sigset_t set;
	int status;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	while (waitpid(pid, &status, WNOHANG) != pid) {
		if (sigtimedwait(&set, NULL, &limit) >= 0)
			continue;
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		return -1;
	}
	return status;
}

void try_sequences(const struct sequence *q, u32 nr, u32 times,
		   struct trial *t)
{
	int status;
	pid_t pid;

	memset(report, 0, sizeof(*report));
	memset(t, 0, sizeof(*t));
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		abort();
	if (!pid)
		master(q, nr, times);
	status = await(pid);
	t->sequence = report->sequence;
	t->step = report->step;
	t->steps = report->steps;
	memcpy(t->why, report->why, sizeof(t->why));
	if (status < 0) {
		t->verdict = V_HUNG;
		snprintf(t->why, sizeof(t->why), "no end in %u seconds",
			 hang_limit);
	} else if (WIFSIGNALED(status)) {
		t->verdict = V_DIED;
		snprintf(t->why, sizeof(t->why), "the master died of signal %d",
			 WTERMSIG(status));
	} else if (status) {
		t->verdict = V_DIFFERENT;
	} else if (kernel_complains(t->why, sizeof(t->why))) {
		t->verdict = V_LOG;
	}
}
