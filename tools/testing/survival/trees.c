// SPDX-License-Identifier: GPL-2.0-only
/*
 * A load of trees: masters whose children have children of their own, down to
 * four levels, so that there are spaces in the middle. Each space adds what it
 * computes to the tree's memory, merges its children's, and returns a number
 * made of its own and theirs.
 *
 *	trees [-t seconds] [-n trees] [-m masters] [-s seed] [-k]
 *
 * The master does the same in its own memory. Value and every byte must be
 * equal; with -k a tree may instead be KILLED, as a whole: what has happened to
 * any space of it is seen at the master's child.
 */
#include "../selftests/deterministic/common.h"

#include <sys/prctl.h>

#define LEVELS 4
#define NODES 16	/* 1 is the master's child, 2n and 2n + 1 are n's */
#define WORDS 512

struct counts {
	unsigned long trees;
	unsigned long killed;
	unsigned long wrong;
	unsigned long dead;
};

static struct {
	unsigned long seconds, trees, masters, seed;
	bool kills;
} options = { .seconds = 10, .masters = 1, .seed = 1 };

static struct counts *counts;
static __u64 arena[NODES][WORDS] __attribute__((aligned(PAGE)));
static __u64 model[NODES][WORDS] __attribute__((aligned(PAGE)));
static volatile __u64 tree_seed;

static __u64 mix(__u64 x)
{
	x ^= x >> 31;
	x *= 0x9e3779b97f4a7c15ULL;
	return x ^ x >> 29;
}

/* What a space does itself: spins, and changes words of its own page. */
static __u64 work(__u64 seed, __u64 (*mem)[WORDS], int node)
{
	__u64 x = mix(seed + node);
	int i, spin = x % 8192;

	for (i = 0; i < spin; i++)
		x = mix(x);
	for (i = 0; i < 32; i++) {
		x = mix(x);
		mem[node][x % WORDS] ^= x;
	}
	return x;
}

/* Has it a child there? Not all trees are full. */
static bool is_node(__u64 seed, int node)
{
	return node < NODES && (node < 4 || mix(seed * 31 + node) % 4);
}

static __u64 in_one_process(__u64 seed, int node)
{
	__u64 x = work(seed, model, node);
	int i;

	for (i = 2 * node; i <= 2 * node + 1; i++)
		if (is_node(seed, i))
			x = mix(x + in_one_process(seed, i));
	return x;
}

static long in_spaces(void *arg);

static long join(int node, struct det_status *st)
{
	return get_op(node, 0, op_merge(arena, sizeof(arena), 0), st);
}

static long grow(int node)
{
	return spawn(node, DET_SNAP | DET_START, in_spaces,
		     (void *)(long)node, NULL);
}

/* Runs in a space. What must not be ends in a value that is not the model's. */
static long in_spaces(void *arg)
{
	__u64 seed = tree_seed, x;
	int node = (long)arg, i;
	struct det_status st;

	for (i = 2 * node; i <= 2 * node + 1; i++)
		if (is_node(seed, i) && grow(i) != 1)
			return 1;
	x = work(seed, arena, node);
	for (i = 2 * node; i <= 2 * node + 1; i++) {
		if (!is_node(seed, i))
			continue;
		if (join(i, &st) || st.reason != DET_RET || kill_child(i))
			return 2;
		x = mix(x + st.value);
	}
	return x;
}

static void wrong(const char *what, long ret, const struct det_status *st)
{
	__atomic_fetch_add(&counts->wrong, 1, __ATOMIC_RELAXED);
	fprintf(stderr, "# master %d, seed %llu: %s: %ld\n", getpid(),
		(unsigned long long)tree_seed, what, ret);
	print_status(st);
}

/* The machine's doing, not the program's. */
static bool is_killed(long ret, const struct det_status *st)
{
	return options.kills &&
	       (ret == -EOWNERDEAD || ret == -ENOMEM || ret == -EAGAIN ||
		st->reason == DET_KILLED || st->reason == DET_BROKEN);
}

/* All of a tree has reached the master, or nothing: it may die afterwards. */
static void tree_killed(long ret, const struct det_status *st,
			const void *before)
{
	__atomic_fetch_add(&counts->killed, 1, __ATOMIC_RELAXED);
	if (memcmp(ret ? before : model, arena, sizeof(arena)))
		wrong("killed, and memory is neither", ret, st);
	memcpy(model, arena, sizeof(model));
}

static void one_tree(void)
{
	static __u64 before[NODES][WORDS];
	struct det_status st = {};
	__u64 want;
	long ret;

	memcpy(before, arena, sizeof(before));
	want = in_one_process(tree_seed, 1);
	ret = grow(1);
	if (ret == 1)
		ret = join(1, &st);
	if (is_killed(ret, &st))
		tree_killed(ret, &st, before);
	else if (ret || st.reason != DET_RET || st.value != want)
		wrong("join", ret, &st);
	else if (memcmp(model, arena, sizeof(arena)))
		wrong("memory", ret, &st);
	ret = kill_child(1);
	if (ret && !(options.kills && ret == -ESRCH))
		wrong("kill", ret, &st);
	__atomic_fetch_add(&counts->trees, 1, __ATOMIC_RELAXED);
}

static bool is_over(time_t end)
{
	if (options.trees)
		return __atomic_load_n(&counts->trees, __ATOMIC_RELAXED) >= options.trees;
	return time(NULL) >= end;
}

static int master(int nr, time_t end)
{
	__u64 x = mix(options.seed * 1000 + nr);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!is_over(end) && !__atomic_load_n(&counts->wrong, __ATOMIC_RELAXED)) {
		x = mix(x + 1);
		tree_seed = x;
		one_tree();
	}
	return 0;
}

static pid_t start_master(int nr, time_t end)
{
	pid_t pid = fork();

	if (!pid)
		_exit(master(nr, end));
	return pid;
}

/* A master that was killed has a successor. */
static void run_masters(void)
{
	time_t end = time(NULL) + options.seconds;
	unsigned long nr, left = options.masters;
	int status;

	for (nr = 0; nr < options.masters; nr++)
		start_master(nr, end);
	while (left && wait(&status) > 0) {
		if (!status) {
			left--;
			continue;
		}
		counts->dead++;
		if (!options.kills || !WIFSIGNALED(status) ||
		    WTERMSIG(status) != SIGKILL) {
			fprintf(stderr, "# a master: status %#x\n", status);
			counts->wrong++;
			left--;
		} else if (start_master(nr++, end) < 0) {
			left--;
		}
	}
}

static bool parse(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "t:n:m:s:k")) != -1) {
		unsigned long value = optarg ? strtoul(optarg, NULL, 0) : 0;

		if (c == 't')
			options.seconds = value;
		else if (c == 'n')
			options.trees = value;
		else if (c == 'm')
			options.masters = value;
		else if (c == 's')
			options.seed = value;
		else if (c == 'k')
			options.kills = true;
		else
			return false;
	}
	return optind == argc;
}

int main(int argc, char **argv)
{
	if (!parse(argc, argv)) {
		fprintf(stderr,
			"usage: trees [-t seconds] [-n trees] [-m masters] [-s seed] [-k]\n");
		return 2;
	}
	if (dput_raw(0, NULL, 0) == NO_CALL) {
		printf("trees: this kernel has no dput\n");
		return 4;
	}
	counts = mmap(NULL, PAGE, PROT_RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (counts == MAP_FAILED)
		return 1;
	run_masters();
	printf("trees: %lu trees, %lu killed, %lu masters killed, %lu wrong\n",
	       counts->trees, counts->killed, counts->dead, counts->wrong);
	return counts->wrong || !counts->trees;
}
