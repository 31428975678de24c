// SPDX-License-Identifier: GPL-2.0-only
/*
 * Other trees beside the load: masters with spaces of their own, which die at
 * any moment and in any way, and many plain processes at once.
 */
#define _GNU_SOURCE
#include <linux/deterministic.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "disturb-tools.h"

#define MAX_TREES	6
#define MAX_SPACES	8
#define NR_PLAIN	50
#define SCRATCH		(256 << 10)

static unsigned char scratch[SCRATCH];
static unsigned long *nr_spaces;	/* that trees have made */

/* A space has no errno, so the calls are made as they are. */
static long call(long nr, uint64_t child, const struct det_args *args)
{
	register const size_t size asm("rdx") = args ? sizeof(*args) : 0;
	long ret;

	asm volatile("syscall" : "=a"(ret)
		     : "a"(nr), "D"(child), "S"(args), "r"(size)
		     : "rcx", "r11", "memory");
	return ret;
}

static struct det_args args_of(uint64_t flags, const struct det_op *op)
{
	return (struct det_args){
		.flags = flags,
		.ops = (uintptr_t)op,
		.nr_ops = !!op,
		.op_size = sizeof(*op),
		.notify_fd = -1,
	};
}

/* What a space does for ever: writes here and there, and stops. */
static void space_works(unsigned long long *random)
{
	unsigned int i;

	for (;;) {
		for (i = 0; i < 200; i++)
			scratch[any(random, SCRATCH)]++;
		call(__NR_dret, 0, NULL);
	}
}

/* Copies all of the caller, as fork would; deeper: spaces of spaces. */
static bool make_space(uint64_t number, unsigned int deeper,
		       unsigned long long *random)
{
	struct det_op whole = { .op = DET_COPY, .flags = DET_COPY_WHOLE };
	struct det_args a = args_of(DET_FORK | DET_SNAP | DET_START, &whole);
	long ret = call(__NR_dput, number, &a);

	if (ret)
		return ret == 1;
	if (deeper)
		make_space(number, deeper - 1, random);
	space_works(random);
	return false;
}

/* Merges what a space did, and starts it again; conflicts do not matter. */
static void use_space(uint64_t number)
{
	struct det_op merge = {
		.op = DET_MERGE,
		.flags = DET_MERGE_TAKE,
		.caller = (uintptr_t)scratch,
		.child = (uintptr_t)scratch,
		.len = SCRATCH,
	};
	struct det_args get = args_of(0, &merge);
	struct det_args put = args_of(DET_SNAP | DET_START, NULL);

	call(__NR_dget, number, &get);
	call(__NR_dput, number, &put);
}

static void die(unsigned long long *random)
{
	switch (any(random, 5)) {
	case 0:
		_exit(0);
	case 1:
		raise(SIGKILL);
		break;
	case 2:
		asm volatile("movb $0, 8");
		break;
	case 3:
		close(1);
		close(2);
		execl("/proc/self/exe", "survive-exec", NULL);
		break;
	default:
		pause();	/* until it is killed from outside */
	}
	_exit(0);
}

/* Ends with its parent; signals and limits as anybody has them. */
static void be_plain(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_DUMPABLE, 0);
	if (getppid() != parent)
		_exit(0);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
}

static void tree(pid_t parent, unsigned long long random)
{
	unsigned int i, n = 1 + any(&random, MAX_SPACES), rounds;

	be_plain(parent);
	memset(scratch, 1, sizeof(scratch));
	for (i = 0; i < n; i++)
		if (make_space(i, any(&random, 3), &random))
			add_to(nr_spaces, 1);
	for (rounds = any(&random, 4); rounds; rounds--)
		use_space(any(&random, n));
	if (any(&random, 4) == 0) {		/* its heirs have no spaces */
		if (!fork())
			_exit(0);
	}
	die(&random);
}

static void plain(pid_t parent, unsigned long long random)
{
	be_plain(parent);
	memset(scratch, 2, 1 + any(&random, SCRATCH - 1));
	doze(&random, 20);
	die(&random);
}

/* Starts some, and kills those that do not die by themselves. */
static unsigned long start_and_kill(unsigned int nr,
				    void (*what)(pid_t, unsigned long long),
				    unsigned long long *random)
{
	pid_t self = getpid(), pids[NR_PLAIN];
	unsigned int i, made = 0;

	for (i = 0; i < nr; i++) {
		unsigned long long seed = any64(random) | 1;
		pid_t pid = fork();

		if (!pid)
			what(self, seed);
		if (pid > 0)
			pids[made++] = pid;
	}
	for (i = 0; i < made; i++) {
		doze(random, 10);
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	return made;
}

static int trees_begin(void)
{
	share_number(&nr_spaces);
	if (call(__NR_dput, 0, NULL) < 0)
		return lacks("trees", "no dput");
	return 0;
}

static unsigned long trees_once(pid_t load, unsigned long long *random)
{
	(void)load;
	return start_and_kill(1 + any(random, MAX_TREES), tree, random);
}

static unsigned long trees_done(void)
{
	printf("# trees: %lu spaces beside the load\n", *nr_spaces);
	return *nr_spaces;
}

/* A fault of one, of which other lines may come between. */
#define TRAP_LOG "segfault at 8 |^ in [a-z]+\\[|likely on CPU |^Code: |" \
	"show_signal_msg: [0-9]+ callbacks suppressed|^$"

static int forks_begin(void)
{
	return 0;
}

static unsigned long forks_once(pid_t load, unsigned long long *random)
{
	(void)load;
	return start_and_kill(NR_PLAIN, plain, random);
}

const struct disturbance disturb_trees[] = {
	{
		.name = "trees",
		.what = "other trees, made and dying all the time",
		.begin = trees_begin,
		.once = trees_once,
		.done = trees_done,
		.log = TRAP_LOG,
	}, {
		.name = "forks",
		.what = "fifty plain processes at once, again and again",
		.begin = forks_begin,
		.once = forks_once,
		.log = TRAP_LOG,
	},
	{}
};
