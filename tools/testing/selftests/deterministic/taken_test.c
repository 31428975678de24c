// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that a MERGE takes whole while others have them or are at work: children and
 * forks, threads of the caller, huge pages, swap, pages that move, KSM, and those who
 * watch for changes.
 */
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>

#include "take.h"

/* --- Others that have the page --- */

TEST_F(take, child_killed)
{
	unsigned int i;

	for (i = 0; i < 30; i++) {
		child_strides(i, 4, i);
		ASSERT_EQ(0, merge());
		ASSERT_TRUE(is_one(1));
		ASSERT_EQ(0, kill_child(CHILD));
		ASSERT_TRUE(caller_is_right());
		caller_sets(i, 1);
		caller_sets(PAGE + i + 1, 2);
		ASSERT_TRUE(caller_is_right());
		make_child();
		renew();
	}
	EXPECT_TRUE(is_right());
}

/* The child keeps what the caller has given up. */
TEST_F(take, caller_gives_up)
{
	child_strides(5, 4, 1);
	EXPECT_EQ(0, merge());
	ASSERT_EQ(0, munmap(a, PAGE));
	ASSERT_EQ(0, madvise(a + PAGE, PAGE, MADV_DONTNEED));
	EXPECT_TRUE(child_has(CHILD, addr_of(a), theirs, LEN));
	child_strides(6, 3, 2);
	EXPECT_TRUE(child_has(CHILD, addr_of(a), theirs, LEN));
	memset(mine + PAGE, 0, PAGE);
	EXPECT_EQ(0, memcmp(a + PAGE, mine + PAGE, LEN - PAGE));
	ASSERT_EQ(0, munmap(a + PAGE, LEN - PAGE));
	child_strides(7, PAGES, 3);
	EXPECT_TRUE(child_has(CHILD, addr_of(a), theirs, LEN));
}

/* What is merged into a page that was taken is nothing to the first child. */
TEST_F(take, two_children)
{
	ASSERT_EQ(0, put_op(2, DET_SNAP, op_copy(a, addr_of(a), LEN), NULL));
	ASSERT_EQ(0, poke(2, addr_of(a) + 6, "2", 1));
	ASSERT_EQ(0, poke(2, addr_of(a) + PAGE + 6, "2", 1));
	child_sets(5, 1);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_one(0));
	ASSERT_EQ(0, get_op(2, 0, op_merge(a, LEN, 0), NULL));
	mine[6] = '2';
	mine[PAGE + 6] = '2';
	EXPECT_FALSE(is_one(0));
	EXPECT_TRUE(same_frame(space_pid(getpid(), 2), a + PAGE));
	EXPECT_TRUE(is_right());
	ASSERT_EQ(0, poke(2, addr_of(a) + 5, "x", 1));
	EXPECT_EQ(-DET_ECONFLICT, get_op(2, 0, op_merge(a, LEN, 0), &st));
	EXPECT_TRUE(is_right());
}

/* Looks at the arena when it is told to: it has what it had at the fork. */
static pid_t fork_looks(int *tell)
{
	int fds[2];
	pid_t looks;
	char c;

	if (pipe(fds))
		abort();
	looks = fork();
	if (looks) {
		close(fds[0]);
		*tell = fds[1];
		return looks;
	}
	close(fds[1]);
	if (read(fds[0], &c, 1) != 1 || !caller_is_right())
		_exit(1);
	memset(a, 0x11, LEN);
	_exit(!all_bytes(a, 0x11, LEN));
}

/* True if all was right. */
static bool looked(pid_t looks, int tell)
{
	int status = -1;

	if (write(tell, "!", 1) != 1)
		return false;
	close(tell);
	return waitpid(looks, &status, 0) == looks && !status;
}

/* Forked after the page was taken, the third to have it. */
TEST_F(take, fork_afterwards)
{
	pid_t looks;
	int tell;

	child_strides(5, 4, 1);
	EXPECT_EQ(0, merge());
	looks = fork_looks(&tell);
	EXPECT_EQ(3, mapped(a));
	EXPECT_TRUE(same_frame(looks, a));
	EXPECT_TRUE(is_right());
	caller_sets(5, 2);
	child_sets(PAGE + 5, 3);
	EXPECT_TRUE(is_right());
	EXPECT_TRUE(looked(looks, tell));
	EXPECT_TRUE(is_right());
	/* It ends before anybody else writes. */
	looks = fork_looks(&tell);
	EXPECT_TRUE(looked(looks, tell));
	EXPECT_TRUE(is_right());
	child_strides(6, 4, 4);
	caller_sets(3 * PAGE + 7, 5);
	EXPECT_TRUE(is_right());
}

/* Forked before: the snapshot's page stays its own. */
TEST_F(take, fork_before)
{
	pid_t looks, later;
	int tell, tell_later;

	looks = fork_looks(&tell);
	child_strides(5, 4, 1);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_one(0));
	later = fork_looks(&tell_later);
	renew();
	child_strides(6, 4, 2);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_one(0));
	EXPECT_TRUE(looked(looks, tell));
	EXPECT_TRUE(looked(later, tell_later));
	EXPECT_TRUE(is_right());
}

/* --- Threads of the caller --- */

#define THREADS 2

struct writer {
	unsigned int nr;
	bool everywhere;	/* and not page 0 only */
	unsigned long lost;	/* bytes that were not as they had been left */
	unsigned long writes;
	pthread_t thread;
};

static bool stop;
static unsigned int ready;

static bool stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_SEQ_CST);
}

static void set_stop(bool to)
{
	__atomic_store_n(&stop, to, __ATOMIC_SEQ_CST);
}

/* Counts for others to see. */
static void count(unsigned int *n)
{
	__atomic_fetch_add(n, 1, __ATOMIC_SEQ_CST);
}

static unsigned int counted(unsigned int *n)
{
	return __atomic_load_n(n, __ATOMIC_SEQ_CST);
}

/* Writes to a byte of its own in pages, and looks whether it stays. */
static void *writes(void *arg)
{
	struct writer *w = arg;
	__u64 rnd = 99 + w->nr;
	char last[PAGES];
	size_t i;

	for (i = 0; i < PAGES; i++)
		last[i] = a[i * PAGE + 64 + w->nr];
	while (!stopped()) {
		__u64 r = next_random(&rnd) >> 32;
		char *p;

		i = w->everywhere ? r % PAGES : 0;
		p = a + i * PAGE + 64 + w->nr;
		w->lost += byte_at(p) != last[i];
		__atomic_store_n(p, ++last[i], __ATOMIC_RELAXED);
		if (!w->writes++)
			count(&ready);
		for (r %= 2000; r && w->everywhere; r--)
			asm volatile("pause");
	}
	return NULL;
}

static void check_threads(struct __test_metadata *_metadata, bool everywhere)
{
	struct writer w[THREADS] = {};
	int i, k;

	set_stop(false);
	ready = 0;
	for (i = 0; i < THREADS; i++) {
		w[i].nr = i;
		w[i].everywhere = everywhere;
		ASSERT_EQ(0, pthread_create(&w[i].thread, NULL, writes, w + i));
	}
	ASSERT_TRUE(EVENTUALLY(counted(&ready) == THREADS));
	for (i = 0; i < 100; i++) {
		renew();
		child_strides(i % 64, PAGES, i);
		ASSERT_EQ(0, get_op(CHILD, 0, op_merge(a, LEN, 0), NULL));
		for (k = 0; k < PAGES; k++)
			ASSERT_EQ((char)i, a[k * PAGE + i % 64]);
	}
	set_stop(true);
	for (i = 0; i < THREADS; i++) {
		pthread_join(w[i].thread, NULL);
		EXPECT_EQ(0, w[i].lost);
	}
	use(a);
	EXPECT_TRUE(is_right());
}

/* No byte of theirs is lost. */
TEST_F(take, threads_write)
{
	check_threads(_metadata, false);
	check_threads(_metadata, true);
}

/* MERGE of the other child, by the other thread. */
static void *merges(void *arg)
{
	while (!counted(&ready))
		asm volatile("pause");
	*(long *)arg = get_op(2, 0, op_merge(a, LEN, 0), NULL);
	return NULL;
}

/* Two take the same pages; one finds them taken, and adds its bytes. */
TEST_F(take, threads_merge)
{
	char byte[PAGES];
	pthread_t thread;
	long ret;
	int i, k;

	for (i = 0; i < 150; i++) {
		renew();
		ASSERT_EQ(0, put_op(2, DET_SNAP, op_copy(a, addr_of(a), LEN),
				    NULL));
		child_strides(i, PAGES, i);
		for (k = 0; k < PAGES; k++) {
			byte[k] = i + k;
			ASSERT_EQ(0, poke(2, addr_of(a) + k * PAGE + i + 1,
					  byte + k, 1));
		}
		ready = 0;
		ASSERT_EQ(0, pthread_create(&thread, NULL, merges, &ret));
		count(&ready);
		EXPECT_EQ(0, merge());
		pthread_join(thread, NULL);
		EXPECT_EQ(0, ret);
		for (k = 0; k < PAGES; k++)
			mine[k * PAGE + i + 1] = byte[k];
		ASSERT_TRUE(is_right());
	}
}

/* Whatever they do to the mapping nothing else is harmed. */
static void *disturbs(void *arg)
{
	__u64 rnd = 5;
	char *p;

	while (!stopped()) {
		p = a + next_random(&rnd) % PAGES * PAGE;
		switch (next_random(&rnd) % 6) {
		case 0:
			madvise(p, PAGE, MADV_DONTNEED);
			break;
		case 1:
			mprotect(p, PAGE, PROT_READ);
			mprotect(p, PAGE, PROT_RW);
			break;
		case 2:
			mlock(p, PAGE);
			munlock(p, PAGE);
			break;
		case 3:
			madvise(p, PAGE, MADV_PAGEOUT);
			break;
		case 4:
			madvise(p, PAGE, MADV_FREE);
			break;
		default:
			byte_at(p);
		}
		count(arg);
	}
	return NULL;
}

TEST_F(take, threads_disturb)
{
	unsigned int turns[2] = {}, merged = 0;
	struct user_regs_struct regs;
	pthread_t thread[2];
	long ret;
	int i;

	set_stop(false);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(thread + i, NULL, disturbs,
					    turns + i));
	for (i = 0; i < 300 || !counted(turns) || !counted(turns + 1); i++) {
		renew();
		/* It has a fault where it got a page that is read-only. */
		regs = stride_regs(a + i % 64, PAGES, i);
		ASSERT_EQ(0, put_regs(CHILD, &regs, DET_START | DET_WAIT,
				      NULL));
		ret = get_op(CHILD, 0, op_merge(a, LEN, DET_MERGE_KEEP), &st);
		EXPECT_TRUE(ret == 0 || ret == -EFAULT);
		merged += !ret;
	}
	set_stop(true);
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	EXPECT_NE(0, merged);
	ASSERT_EQ(0, mprotect(a, LEN, PROT_RW));
	fill_high(a, LEN, 8);
	use(a);
	child_strides(5, PAGES, 1);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_right());
}

/* Forks of the caller meanwhile. */
static void *forks(void *arg)
{
	while (!stopped()) {
		pid_t child = fork();

		if (!child)
			_exit(0);
		waitpid(child, NULL, 0);
		count(arg);
	}
	return NULL;
}

TEST_F(take, threads_fork)
{
	unsigned int turns = 0;
	pthread_t thread;
	int i;

	set_stop(false);
	ASSERT_EQ(0, pthread_create(&thread, NULL, forks, &turns));
	for (i = 0; i < 200 || counted(&turns) < 20; i++) {
		renew();
		child_strides(i % 64, PAGES, i);
		ASSERT_EQ(0, merge());
		caller_sets(64, i);
		ASSERT_TRUE(is_right());
	}
	set_stop(true);
	pthread_join(thread, NULL);
}

/* --- Pages in all their forms --- */

/* The caller has its part of a huge page by small entries. */
TEST_F(take, part_of_a_huge_page)
{
	char *p = map_huge(HUGE);

	fill_high(p, HUGE, 5);
	use(p + 100 * PAGE);
	child_strides(5, 4, 1);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_right());
	caller_sets(5, 2);
	child_sets(PAGE + 5, 3);
	EXPECT_TRUE(is_right());
	renew();
	child_strides(6, PAGES, 4);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_one(0));
	EXPECT_TRUE(is_right());
}

/* A huge page as a whole, and one that the caller has split since. */
TEST_F(take, huge_page)
{
	char *p = map_huge(2 * HUGE), *orig = map_rw(2 * HUGE);
	struct det_op op = op_copy(p, addr_of(p), 2 * HUGE);
	int i;

	fill_high(p, 2 * HUGE, 5);
	for (i = 1; i < 4; i++) {
		ASSERT_EQ(0, put_op(CHILD, DET_SNAP, op, NULL));
		if (i == 2)
			ASSERT_EQ(0, mprotect(p + PAGE, PAGE, PROT_READ));
		memcpy(orig, p, 2 * HUGE);
		ASSERT_TRUE(child_strides_at(p + 9 * PAGE + i, 700, i));
		ASSERT_EQ(0, get_op(CHILD, 0, op_merge(p, 2 * HUGE, 0), NULL));
		EXPECT_TRUE(child_has(CHILD, addr_of(p), p, 2 * HUGE));
		EXPECT_EQ(i, p[9 * PAGE + i]);
		EXPECT_EQ(i, p[708 * PAGE + i]);
		EXPECT_EQ(0, memcmp(p, orig, 9 * PAGE));
		EXPECT_EQ(0, memcmp(p + 709 * PAGE, orig + 709 * PAGE,
				    2 * HUGE - 709 * PAGE));
		ASSERT_EQ(0, mprotect(p + PAGE, PAGE, PROT_RW));
		p[300 * PAGE] ^= 1;
		EXPECT_TRUE(child_has(CHILD, addr_of(p), p, HUGE / 2));
		EXPECT_FALSE(child_has(CHILD, addr_of(p), p, HUGE));
	}
}

/* Zeros that the caller has as a huge page. */
TEST_F(take, zeros_of_a_huge_page)
{
	char *p = map_huge(HUGE);

	EXPECT_EQ(0, byte_at(p));
	use_zeros(p + 16 * PAGE, false);
	child_strides(5, 4, 1);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_right());
	child_strides(6, 4, 2);
	caller_sets(7, 3);
	EXPECT_TRUE(is_right());
	renew();
	child_strides(8, 4, 4);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_right());
}

/* Pages that were taken become a huge page of the caller's. */
TEST_F(take, collapsed)
{
	char *p = map_huge(HUGE), *orig = map_rw(HUGE);
	struct det_op op = op_copy(p, addr_of(p), HUGE);
	int i;

	madvise(p, HUGE, MADV_NOHUGEPAGE);
	fill(p, HUGE, 5);
	for (i = 1; i < 4; i++) {
		ASSERT_EQ(0, put_op(CHILD, DET_SNAP, op, NULL));
		ASSERT_TRUE(child_strides_at(p + i, 512, i));
		memcpy(orig, p, HUGE);
		ASSERT_EQ(0, get_op(CHILD, 0, op_merge(p, HUGE, 0), NULL));
		if (i == 1)
			EXPECT_TRUE(same_frame(pid, p));
		/* One has to be its own. */
		__atomic_store_n(p, byte_at(p), __ATOMIC_RELAXED);
		madvise(p, HUGE, MADV_HUGEPAGE);
		if (madvise(p, HUGE, MADV_COLLAPSE))
			SKIP(return, "no huge pages");
		EXPECT_FALSE(same_frame(pid, p));
		EXPECT_TRUE(child_has(CHILD, addr_of(p), p, HUGE));
		p[i] ^= 0x7f;
		EXPECT_FALSE(child_has(CHILD, addr_of(p), p, HUGE));
		p[i] ^= 0x7f;
		orig[i] = i;
		orig[511 * PAGE + i] = i;
		EXPECT_EQ(0, memcmp(p, orig, PAGE));
		EXPECT_EQ(0, memcmp(p + 511 * PAGE, orig + 511 * PAGE, PAGE));
	}
}

/* All in a cgroup of which everything is swapped out. */
static bool begin_swap(void)
{
	if (kill_child(CHILD) || !enter_cgroup())
		return false;
	a = map_fixed(OTHER_AT, LEN);
	fill_high(a, LEN, 9);
	make_child();
	use(a);
	return true;
}

/* Both have given up their pages: whoever looks for its users finds both. */
static bool both_swapped(void)
{
	unsigned int tries, i;

	for (tries = 0; tries < 50; tries++) {
		swap_out();
		for (i = 0; i < PAGES; i++)
			if (!(entry_of(pid, a + i * PAGE) &
			      entry_of(getpid(), a + i * PAGE) & PM_SWAP))
				break;
		if (i == PAGES)
			return true;
	}
	fprintf(stderr, "# page %u: %#llx, child's %#llx\n", i,
		entry_of(getpid(), a + i * PAGE), entry_of(pid, a + i * PAGE));
	return false;
}

TEST_F(take, swapped_afterwards)
{
	int i;

	if (!begin_swap())
		SKIP(return, "no swap space or no cgroup");
	for (i = 0; i < 10; i++) {
		renew();
		child_strides(i, PAGES, i);
		EXPECT_EQ(0, merge());
		EXPECT_TRUE(is_one(1));
		EXPECT_TRUE(both_swapped());
		EXPECT_EQ(entry_of(getpid(), a), entry_of(pid, a));
		if (i % 2)
			ASSERT_TRUE(is_right());
		child_sets(i + 1, 100 + i);
		caller_sets(PAGE + i + 1, 101 + i);
		ASSERT_TRUE(is_right());
		EXPECT_TRUE(both_swapped());
		ASSERT_TRUE(is_right());
	}
	EXPECT_EQ(0, kill_child(CHILD));
	leave_cgroup();
}

TEST_F(take, swapped_before)
{
	int i;

	if (!begin_swap())
		SKIP(return, "no swap space or no cgroup");
	for (i = 0; i < 8; i++) {
		renew();
		if (i & 1)
			swap_out();
		child_strides(i, PAGES - 2, i);
		if (i & 2)
			swap_out();
		caller_sets(2 * PAGE + i + 1, i);
		if (i & 4)
			swap_out();
		EXPECT_EQ(0, merge());
		ASSERT_TRUE(is_right());
	}
	EXPECT_EQ(0, kill_child(CHILD));
	leave_cgroup();
}

/* The same by the caller's own wish; what is shared may stay. */
TEST_F(take, paged_out)
{
	int i;

	if (!have_swap())
		SKIP(return, "no swap space");
	for (i = 0; i < 8; i++) {
		if (i & 1)
			madvise(a, LEN, MADV_PAGEOUT);
		renew();
		madvise(a, LEN, MADV_PAGEOUT);
		child_strides(i, PAGES - 2, i);
		caller_sets(2 * PAGE + i + 1, i);
		madvise(a, LEN, MADV_PAGEOUT);
		EXPECT_EQ(0, merge());
		madvise(a, LEN, MADV_PAGEOUT);
		ASSERT_TRUE(is_right());
	}
}

/* Pages that go elsewhere go for both. */
TEST_F(take, compacted)
{
	unsigned int i, k;

	if (access("/proc/sys/vm/compact_memory", W_OK))
		SKIP(return, "no compaction");
	for (i = 0; i < 20; i++) {
		renew();
		child_strides(i, PAGES, i);
		ASSERT_EQ(0, merge());
		write_file("/proc/sys/vm/compact_memory", "1", 1, 0);
		for (k = 0; k < PAGES; k++)
			EXPECT_TRUE(is_one(k));
		ASSERT_TRUE(is_right());
	}
}

#define MOVE_ALL 4	/* MPOL_MF_MOVE_ALL */

/* All pages of the arena to a node of memory. */
static bool move_to(int node)
{
	int nodes[PAGES], status[PAGES];
	void *page[PAGES];
	size_t i;

	for (i = 0; i < PAGES; i++) {
		page[i] = a + i * PAGE;
		nodes[i] = node;
		status[i] = -1;
	}
	if (syscall(__NR_move_pages, 0, PAGES, page, nodes, status, MOVE_ALL))
		return false;
	for (i = 0; i < PAGES; i++)
		if (status[i] != node)
			return false;
	return true;
}

TEST_F(take, moved_to_another_node)
{
	unsigned int i, k, moved = 0;

	if (access("/sys/devices/system/node/node1", F_OK))
		SKIP(return, "one node");
	for (i = 0; i < 40; i++) {
		renew();
		child_strides(i, PAGES, i);
		ASSERT_EQ(0, merge());
		moved += move_to(i & 1);
		for (k = 0; k < PAGES; k++)
			EXPECT_TRUE(is_one(k));
		ASSERT_TRUE(is_right());
		child_sets(i + 1, 1);
		caller_sets(PAGE + i + 1, 1);
		ASSERT_TRUE(is_right());
	}
	EXPECT_NE(0, moved);
}

static long ksm_zeros(void)
{
	FILE *f = fopen("/proc/self/ksm_stat", "re");
	char line[128];
	long n = -1;

	while (f && n < 0 && fgets(line, sizeof(line), f))
		if (sscanf(line, "ksm_zero_pages %ld", &n) != 1)
			n = -1;
	if (f)
		fclose(f);
	return n;
}

static const struct { const char *path, *val; } ksm_settings[] = {
	{ "/sys/kernel/mm/ksm/use_zero_pages", "1" },
	{ "/sys/kernel/mm/ksm/pages_to_scan", "10000" },
	{ "/sys/kernel/mm/ksm/run", "1" },
};

static char ksm_before[ARRAY_SIZE(ksm_settings)][16];

static bool ksm_begin(void)
{
	unsigned int i;
	bool ok = true;

	for (i = 0; ok && i < ARRAY_SIZE(ksm_settings); i++) {
		int fd = open(ksm_settings[i].path, O_RDONLY | O_CLOEXEC);

		ok = fd >= 0 && read(fd, ksm_before[i], 15) > 0 &&
		     write_file(ksm_settings[i].path, ksm_settings[i].val,
				strlen(ksm_settings[i].val), 0);
		close(fd);
	}
	return ok;
}

static void ksm_end(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ksm_settings); i++)
		write_file(ksm_settings[i].path, ksm_before[i],
			   strlen(ksm_before[i]), 0);
}

/* Zeros that KSM has found. */
static bool zeros_by_ksm(char *p)
{
	bool ok;

	memset(p, 0, LEN);
	if (ksm_zeros() < 0 || madvise(p, LEN, MADV_MERGEABLE))
		return false;
	ok = ksm_begin() && EVENTUALLY(ksm_zeros() == PAGES);
	ksm_end();
	return ok;
}

/* KSM's zeros are counted as long as they are mapped. */
TEST_F(take, zeros_of_ksm)
{
	char *p = map_fixed(OTHER_AT, LEN);

	if (!zeros_by_ksm(p))
		SKIP(return, "no KSM, or none with zero pages");
	use(p);
	child_strides(5, PAGES, 1);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_one(0));
	EXPECT_TRUE(is_right());
	EXPECT_EQ(0, ksm_zeros());
	caller_sets(6, 2);
	EXPECT_TRUE(is_right());
	EXPECT_EQ(0, ksm_zeros());
}

/* --- Others who want to know of a change --- */

TEST_F(take, soft_dirty)
{
	if (!write_file("/proc/self/clear_refs", "4", 1, 0))
		SKIP(return, "no soft dirty bits");
	caller_sets(0, 1);
	if (!(entry_of(getpid(), a) & PM_SOFT_DIRTY))
		SKIP(return, "no soft dirty bits");
	child_sets(PAGE + 5, 1);
	EXPECT_EQ(0, entry_of(getpid(), a + PAGE) & PM_SOFT_DIRTY);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_one(1));
	EXPECT_NE(0, entry_of(getpid(), a + PAGE) & PM_SOFT_DIRTY);
	EXPECT_EQ(0, entry_of(getpid(), a + 2 * PAGE) & PM_SOFT_DIRTY);
}

struct guard {
	int fd;			/* userfaultfd */
	unsigned long asked;	/* the address of which it was asked */
	pthread_t thread;
};

static void *guards(void *arg)
{
	struct uffdio_writeprotect wp = { .range.len = PAGE };
	struct guard *g = arg;
	struct uffd_msg msg;

	if (read(g->fd, &msg, sizeof(msg)) != sizeof(msg))
		return NULL;
	g->asked = msg.arg.pagefault.address & -PAGE;
	wp.range.start = g->asked;
	ioctl(g->fd, UFFDIO_WRITEPROTECT, &wp);
	return NULL;
}

/* A page of the caller's that userfaultfd guards against writing. */
TEST_F(take, write_protected)
{
	struct uffdio_register reg = { .range = { addr_of(a), LEN },
				       .mode = UFFDIO_REGISTER_MODE_WP };
	struct uffdio_writeprotect wp = { .range = { addr_of(a) + PAGE, PAGE },
					  .mode = UFFDIO_WRITEPROTECT_MODE_WP };
	struct uffdio_api api = { .api = UFFD_API,
				  .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };
	struct guard g = { .fd = syscall(__NR_userfaultfd, O_CLOEXEC) };

	if (g.fd < 0 || ioctl(g.fd, UFFDIO_API, &api))
		SKIP(return, "no userfaultfd");
	child_strides(5, 2, 1);
	ASSERT_EQ(0, ioctl(g.fd, UFFDIO_REGISTER, &reg));
	ASSERT_EQ(0, ioctl(g.fd, UFFDIO_WRITEPROTECT, &wp));
	ASSERT_EQ(0, pthread_create(&g.thread, NULL, guards, &g));
	EXPECT_EQ(0, merge());
	pthread_join(g.thread, NULL);
	EXPECT_EQ(addr_of(a) + PAGE, g.asked);
	EXPECT_TRUE(caller_is_right());
	close(g.fd);
	EXPECT_TRUE(is_right());
}

TEST_HARNESS_MAIN
