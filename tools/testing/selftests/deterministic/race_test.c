// SPDX-License-Identifier: GPL-2.0-only
/*
 * The caller's memory changes under an operation: other threads of the master
 * map, unmap, protect, give up, collapse, swap out and fork meanwhile. What a
 * call answers is one of a few things; what it wrote can only be what the
 * child had; and the kernel's log has no complaint.
 */
#include <pthread.h>
#include <sched.h>

#include "mem.h"

#define PAGES 64
#define UNIT (HUGE / 32)
#define LEN (2 * HUGE)
#define WORKERS 2

/* Of each page the caller writes the even bytes, children the odd ones. */
#define OURS 'P'
#define THEIRS 'c'

static struct {
	char *base;
	unsigned long calls;	/* a worker's */
	bool done;
	long odd;		/* an answer that may not be */
} race;

static char *part(__u64 *rnd, size_t *len)
{
	size_t i = (next_random(rnd) >> 20) % PAGES;

	*len = (1 + (next_random(rnd) >> 20) % (PAGES - i)) * UNIT;
	if (*len > LEN / 4)
		*len = UNIT;
	return race.base + i * UNIT;
}

static void map_part(char *p, size_t len, int prot)
{
	map_at(p, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
}

/* What changes the memory, apart from writing to it. */
static void disturb(__u64 *rnd)
{
	size_t len;
	char *p = part(rnd, &len);
	pid_t pid;

	switch ((next_random(rnd) >> 20) % 10) {
	case 0:
		munmap(p, len);
		break;
	case 1:
		mprotect(p, len, PROT_READ);
		break;
	case 2:
		mprotect(p, len, PROT_NONE);
		break;
	case 3:
		madvise(p, len, MADV_DONTNEED);
		break;
	case 4:
		madvise(race.base, LEN, MADV_COLLAPSE);
		break;
	case 5:
		madvise(p, len, MADV_PAGEOUT);
		break;
	case 6:
		madvise(p, len, MADV_FREE);
		break;
	case 7:
		pid = fork();
		if (!pid)
			_exit(0);
		waitpid(pid, NULL, 0);
		break;
	case 8:
		swap_out();
		break;
	case 9:
		map_part(p, len, PROT_RW);
		break;
	}
}

static void *disturbs(void *arg)
{
	__u64 rnd = 99;

	while (!__atomic_load_n(&race.done, __ATOMIC_RELAXED)) {
		disturb(&rnd);
		if ((next_random(&rnd) >> 20) % 8)
			continue;
		map_part(race.base, LEN, PROT_RW);
		madvise(race.base, LEN, MADV_HUGEPAGE);
	}
	return NULL;
}

/* Writes where it can, in a way that says where it cannot. */
static void *writes(void *arg)
{
	const char ours = OURS;
	__u64 rnd = 77;
	int mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	size_t len;
	char *p;

	while (!__atomic_load_n(&race.done, __ATOMIC_RELAXED)) {
		p = part(&rnd, &len) + (next_random(&rnd) >> 20) % PAGE / 2 * 2;
		if (pwrite(mem, &ours, 1, addr_of(p)) < 0)
			sched_yield();
	}
	close(mem);
	return NULL;
}

static long one_call(__u64 child, __u64 *rnd)
{
	const char theirs = THEIRS;
	struct det_status st;
	size_t len;
	char *p = part(rnd, &len);

	switch ((next_random(rnd) >> 20) % 8) {
	case 0 ... 1:
		return put_op(child, 0, op_copy(p, addr_of(p), len), &st);
	case 2:
		return put_op(child, DET_SNAP, op_copy(p, addr_of(p), len),
			      &st);
	case 3:
		return poke(child, addr_of(p) + 1, &theirs, 1);
	case 4:
		return get_op(child, 0, op_copy(p, addr_of(p), len), &st);
	case 5:
		return get_op(child, 0, op_copy(p, addr_of(p) + 2, len / 2),
			      &st);
	default:
		return get_op(child, 0, op_merge(p, len, DET_MERGE_TAKE), &st);
	}
}

/* The first counts: what comes of it says less. */
static void note_odd(__u64 child, long ret)
{
	struct det_status st = {};
	long zero = 0;

	if (!__atomic_compare_exchange_n(&race.odd, &zero, ret, false,
					 __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return;
	get_flags(child, 0, &st);
	fprintf(stderr, "# %ld; then the child has stopped by %u, %#llx\n",
		ret, st.reason, st.addr);
}

static void *works(void *arg)
{
	__u64 child = (long)arg, rnd = child + 5;
	unsigned long i;
	long ret;

	for (i = 0; i < race.calls; i++) {
		ret = one_call(child, &rnd);
		if (ret && ret != -EFAULT && ret != -ENODATA)
			note_odd(child, ret);
	}
	return NULL;
}

/* Each byte is zero, or of the side that may have written it. */
static bool bytes_are_sane(const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (!p[i] || p[i] == (i % 2 ? THEIRS : OURS))
			continue;
		fprintf(stderr, "# byte %zu is %#x\n", i, p[i]);
		return false;
	}
	return true;
}

static bool pages_are_sane(char *p)
{
	size_t i;

	for (i = 0; i < LEN; i += PAGE)
		if (!mprotect(p + i, PAGE, PROT_RW) &&
		    !bytes_are_sane(p + i, PAGE))
			return false;
	return true;
}

FIXTURE(race) {
	pthread_t worker[WORKERS];
};

FIXTURE_SETUP(race)
{
	const char *s = getenv("DET_TEST_CALLS");
	unsigned int i;

	NEED_CALLS();
	enter_cgroup();		/* as far as possible */
	race.base = map_huge(LEN);
	race.calls = s ? strtoul(s, NULL, 0) : 150;
	for (i = 0; i < WORKERS; i++)
		ASSERT_EQ(0, put_flags(i, 0, NULL));
}

FIXTURE_TEARDOWN(race)
{
	leave_cgroup();
}

TEST_F_TIMEOUT(race, memory_changes_meanwhile, 1800)
{
	char *back = map_rw(LEN);
	pthread_t disturber, writer;
	unsigned long i;

	ASSERT_EQ(0, pthread_create(&disturber, NULL, disturbs, NULL));
	ASSERT_EQ(0, pthread_create(&writer, NULL, writes, NULL));
	for (i = 0; i < WORKERS; i++)
		ASSERT_EQ(0, pthread_create(&self->worker[i], NULL, works,
					    (void *)i));
	for (i = 0; i < WORKERS; i++)
		pthread_join(self->worker[i], NULL);
	__atomic_store_n(&race.done, true, __ATOMIC_RELAXED);
	pthread_join(disturber, NULL);
	pthread_join(writer, NULL);
	EXPECT_EQ(0, race.odd);

	/* Both sides are whole, and all works as before. */
	EXPECT_TRUE(pages_are_sane(race.base));
	for (i = 0; i < WORKERS; i++) {
		ASSERT_EQ(0, get_op(i, 0, op_copy(back, addr_of(race.base),
						  LEN), NULL));
		EXPECT_TRUE(pages_are_sane(back));
		map_part(race.base, LEN, PROT_RW);
		memset(race.base, OURS, LEN);
		ASSERT_EQ(0, put_op(i, DET_SNAP, op_copy(race.base,
							 addr_of(race.base),
							 LEN), NULL));
		ASSERT_EQ(0, poke(i, addr_of(race.base) + HUGE, "new", 3));
		ASSERT_EQ(0, get_op(i, 0, op_merge(race.base, LEN, 0), NULL));
		EXPECT_EQ(0, memcmp(race.base + HUGE, "new", 3));
		EXPECT_TRUE(all_bytes(race.base, OURS, HUGE));
		ASSERT_EQ(0, kill_child(i));
	}
}

TEST_HARNESS_MAIN
