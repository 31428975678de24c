// SPDX-License-Identifier: GPL-2.0-only
/*
 * The master of the image: makes a space of it with ZERO and COPY, answers its
 * stops, and writes a line for each: a hash of its status, its registers, its
 * extended state and its memory. With -f FILE what is hashed is kept there, the
 * first time; later it is compared, and the first byte that differs is named.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/deterministic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <unistd.h>

#include "image.h"

#define CHILD 7
#define MOST_STOPS 64
#define XSTATE_MOST 16384

asm(".pushsection .rodata\nimage:\n.incbin \"" IMAGE "\"\nimage_end:\n.popsection\n");

/* All that there is of a stopped space. */
struct state {
	struct det_status status;
	struct user_regs_struct regs;
	unsigned char xstate[XSTATE_MOST];
	unsigned char code[IMAGE_CODE_SIZE];
	unsigned char data[IMAGE_DATA_SIZE];
	unsigned char late[IMAGE_LATE_SIZE];
};

static struct state *state;
static bool late;

static void die(const char *what, long ret)
{
	printf("stops: %s: %s\n", what, strerror(-ret));
	exit(1);
}

static long dput(struct det_args *a)
{
	return syscall(__NR_dput, CHILD, a, sizeof(*a)) ? -errno : 0;
}

static long dget(struct det_args *a)
{
	return syscall(__NR_dget, CHILD, a, sizeof(*a)) ? -errno : 0;
}

static struct det_args args(uint64_t flags, struct det_op *ops, unsigned int nr)
{
	return (struct det_args){
		.flags = flags, .ops = (uintptr_t)ops, .nr_ops = nr,
		.op_size = sizeof(*ops), .notify_fd = -1,
	};
}

static void give_regs(struct det_args *a, struct user_regs_struct *regs)
{
	a->flags |= DET_REGS;
	a->regs = (uintptr_t)regs;
	a->regs_size = sizeof(*regs);
}

static struct det_op zero(uint64_t at, uint64_t len, unsigned int prot)
{
	return (struct det_op){ .op = DET_ZERO, .child = at, .len = len,
				.prot = prot };
}

static struct det_op copy(const void *here, uint64_t there, uint64_t len)
{
	return (struct det_op){ .op = DET_COPY, .caller = (uintptr_t)here,
				.child = there, .len = len };
}

/* Closed, if this machine can. */
static uint64_t what_is_closed(void)
{
	static const char * const file[] = {
		"tsc", "pmc", "cpuid", "cpu_number", "tables",
	};
	uint64_t closed = DET_REQUIRE_RANDOM;
	char path[64], word[16];

	for (unsigned int i = 0; i < sizeof(file) / sizeof(*file); i++) {
		FILE *f;

		snprintf(path, sizeof(path), "/sys/kernel/deterministic/%s",
			 file[i]);
		f = fopen(path, "re");
		if (f && fgets(word, sizeof(word), f) && !strcmp(word, "closed\n"))
			closed |= 1ULL << i;
		if (f)
			fclose(f);
	}
	return closed;
}

static void make(void)
{
	struct det_op ops[] = {
		zero(IMAGE_CODE, IMAGE_CODE_SIZE, PROT_READ | PROT_WRITE),
		copy(image, IMAGE_CODE, image_end - image),
		{ .op = DET_PERM, .child = IMAGE_CODE, .len = IMAGE_CODE_SIZE,
		  .prot = PROT_READ | PROT_EXEC },
		zero(IMAGE_DATA, IMAGE_DATA_SIZE, PROT_READ | PROT_WRITE),
	};
	struct user_regs_struct regs = {
		/* As a function's: its caller would have pushed an address. */
		.rip = IMAGE_CODE, .rsp = IMAGE_STACK - 8,
	};
	struct det_args a = args(0, ops, sizeof(ops) / sizeof(*ops));
	long ret;

	give_regs(&a, &regs);
	a.require = what_is_closed();
	ret = dput(&a);
	if (ret)
		die("dput", ret);
}

static void run_and_look(void)
{
	struct det_op ops[] = {
		copy(state->code, IMAGE_CODE, IMAGE_CODE_SIZE),
		copy(state->data, IMAGE_DATA, IMAGE_DATA_SIZE),
		copy(state->late, IMAGE_LATE, IMAGE_LATE_SIZE),
	};
	struct det_args a = args(DET_START | DET_WAIT, NULL, 0);
	long ret;

	memset(state, 0, sizeof(*state));
	a.status = (uintptr_t)&state->status;
	a.status_size = sizeof(state->status);
	ret = dput(&a);
	if (ret)
		die("dput START", ret);
	a = args(0, ops, late ? 3 : 2);
	give_regs(&a, &state->regs);
	a.xstate = (uintptr_t)state->xstate;
	a.xstate_size = sizeof(state->xstate);
	ret = dget(&a);
	if (ret)
		die("dget", ret);
}

/* A register or a byte of memory, for people. */
static const char *name_of(size_t at)
{
	static char text[80];
	size_t data = at - offsetof(struct state, data);

	if (at < offsetof(struct state, regs))
		snprintf(text, sizeof(text), "status, byte %zu", at);
	else if (at < offsetof(struct state, xstate))
		snprintf(text, sizeof(text), "registers, byte %zu",
			 at - offsetof(struct state, regs));
	else if (at < offsetof(struct state, code))
		snprintf(text, sizeof(text), "extended state, byte %zu",
			 at - offsetof(struct state, xstate));
	else if (at < offsetof(struct state, data))
		snprintf(text, sizeof(text), "code, address %#zx", IMAGE_CODE +
			 at - offsetof(struct state, code));
	else if (at < offsetof(struct state, late))
		snprintf(text, sizeof(text), "data, address %#zx",
			 IMAGE_DATA + data);
	else
		snprintf(text, sizeof(text), "late page, byte %zu",
			 at - offsetof(struct state, late));
	return text;
}

static void keep(int fd, off_t at)
{
	const char *from = (const char *)state;
	size_t len = sizeof(*state);

	while (len) {
		ssize_t n = pwrite(fd, from, len, at);

		if (n <= 0)
			die("the file", -errno);
		from += n;
		at += n;
		len -= n;
	}
}

static bool compare(int fd, int nr)
{
	static struct state was;
	off_t at = (off_t)nr * sizeof(was);
	ssize_t n = pread(fd, &was, sizeof(was), at);
	const unsigned char *a = (void *)&was, *b = (void *)state;

	if (n != sizeof(was)) {
		keep(fd, at);
		return true;
	}
	for (size_t i = 0; i < sizeof(was); i++) {
		if (a[i] == b[i])
			continue;
		printf("stop %d differs: %s: %#x was %#x\n", nr, name_of(i),
		       b[i], a[i]);
		return false;
	}
	return true;
}

static uint64_t hash(const void *mem, size_t len)
{
	const uint64_t *p = mem;
	uint64_t sum = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < len / sizeof(*p); i++)
		sum = (sum ^ p[i]) * 0x100000001b3ULL;
	return sum ^ sum >> 29;
}

/* What the image waits for. False: it has come to its end. */
static bool answer(int nr)
{
	struct det_op op = zero(IMAGE_LATE, IMAGE_LATE_SIZE,
				PROT_READ | PROT_WRITE);
	struct user_regs_struct *regs = &state->regs;
	struct det_args a = args(0, NULL, 0);
	const struct det_status *st = &state->status;
	long ret;

	if (st->reason == DET_RET)
		return st->value != IMAGE_END;
	if (st->reason == DET_SYSCALL && st->nr == IMAGE_CALL) {
		regs->rax = IMAGE_ANSWER;
		give_regs(&a, regs);
	} else if (st->reason == DET_FAULT && st->addr == IMAGE_LATE + 40) {
		a = args(0, &op, 1);
		late = true;
	} else if (st->reason == DET_FAULT && st->trap == 13) {
		/* RDTSC: it gets the number of the stop. */
		regs->rax = nr;
		regs->rdx = 0;
		regs->rip += 2;
		give_regs(&a, regs);
	} else {
		printf("stops: reason %u trap %d address %#llx\n", st->reason,
		       st->trap, (unsigned long long)st->addr);
		exit(1);
	}
	ret = dput(&a);
	if (ret)
		die("dput of an answer", ret);
	return true;
}

int main(int argc, char **argv)
{
	bool same = true, more = true;
	int fd = -1, nr;

	if (argc == 3 && !strcmp(argv[1], "-f"))
		fd = open(argv[2], O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (argc != 1 && fd < 0) {
		fprintf(stderr, "usage: stops [-f FILE]\n");
		return 2;
	}
	state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (state == MAP_FAILED)
		die("mmap", -errno);
	make();
	for (nr = 0; more && nr < MOST_STOPS; nr++) {
		run_and_look();
		printf("stop %d: %u %016llx\n", nr, state->status.reason,
		       (unsigned long long)hash(state, sizeof(*state)));
		if (fd >= 0 && same)
			same = compare(fd, nr);
		more = answer(nr);
	}
	return !same || more;
}
