// SPDX-License-Identifier: GPL-2.0-only
/*
 * Changes that the machine, a file or a thread brings to memory of which all page
 * tables are in sync: none may be overlooked by COPY, SNAP and MERGE, as in
 * touch_test.c.
 */
#include <linux/perf_event.h>
#include <pthread.h>

#include "touch.h"

/* --- Swap --- */

static bool is_swapped_out(const char *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	__u64 entry = 0;

	if (fd < 0 || pread(fd, &entry, 8, addr_of(p) / PAGE * 8) != 8)
		abort();
	close(fd);
	return entry >> 62 & 1;
}

static bool all_swapped(void)
{
	int i;

	for (i = 0; i < 50 && !is_swapped_out(USED); i++)
		swap_out();
	return is_swapped_out(USED);
}

/* The area, in a cgroup of which everything is swapped out. */
FIXTURE(swapped) {
};

FIXTURE_VARIANT(swapped) {
	bool big;
};

FIXTURE_VARIANT_ADD(swapped, small) { .big = false };
FIXTURE_VARIANT_ADD(swapped, big) { .big = true };

FIXTURE_SETUP(swapped)
{
	NEED_CALLS();
	if (!enter_cgroup())
		SKIP(return, "no swap space or no cgroup");
	use_area(variant->big);
}

FIXTURE_TEARDOWN(swapped)
{
	kill_child(CHILD);
	leave_cgroup();
}

TEST_F(swapped, swap_and_write)
{
	int i;

	for (i = 0; i < 2 * ROUNDS; i++) {
		ASSERT_TRUE(all_swapped());
		if (i & 1)
			in_sync(CHILD);
		change(USED);
		EXPECT_TRUE(brought());
	}
}

/* Only one side has swapped it in. */
TEST_F(swapped, swap_and_read)
{
	int i;

	for (i = 0; i < 2 * ROUNDS; i++) {
		ASSERT_TRUE(all_swapped());
		if (i & 1)
			word_at(USED);
		else
			child_read(CHILD, addr_of(USED));
		EXPECT_TRUE(kept());
		ASSERT_TRUE(all_swapped());
		child_read(CHILD, addr_of(USED));
		change(USED);
		EXPECT_TRUE(brought());
	}
}

/* What is swapped out is gone at once. */
TEST_F(swapped, swap_and_free)
{
	int i;

	for (i = 0; i < 2 * ROUNDS; i++) {
		ASSERT_TRUE(all_swapped());
		if (i & 1)
			in_sync(CHILD);
		ASSERT_EQ(0, i & 2 ? madvise(USED, PAGE, MADV_FREE) :
				     madvise(AT(1, 0), HUGE, MADV_FREE));
		EXPECT_FALSE(is_swapped_out(USED));
		EXPECT_TRUE(brought());
	}
}

TEST_F(swapped, swap_and_dontneed)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(all_swapped());
		in_sync(CHILD);
		ASSERT_EQ(0, madvise(AT(1, 0), HUGE, MADV_DONTNEED));
		EXPECT_TRUE(brought());
	}
}

/* Huge pages are made of what has to be swapped in for it. */
TEST_F(swapped, swap_and_collapse)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(all_swapped());
		in_sync(CHILD);
		/* One page has to be its own. */
		change(AT(1, 100));
		if (madvise(AT(1, 0), HUGE, MADV_COLLAPSE))
			SKIP(break, "no huge pages");
		EXPECT_TRUE(brought());
		change(USED);
		EXPECT_TRUE(brought());
		ASSERT_EQ(0, madvise(AT(1, 0), HUGE, MADV_DONTNEED));
		EXPECT_TRUE(brought());
	}
}

TEST_F(swapped, swap_in_the_child)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(all_swapped());
		ASSERT_EQ(0, child_write(CHILD, addr_of(USED), i));
		EXPECT_TRUE(child_differs(USED));
		EXPECT_TRUE(restored());
		ASSERT_TRUE(all_swapped());
		ASSERT_EQ(0, child_write(CHILD, addr_of(USED), i));
		EXPECT_TRUE(merged());
	}
}

/* Present when it is given back, and then reclaimed, or kept by the COPY. */
TEST_F(swapped, free_and_reclaim)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		change_used();
		ASSERT_EQ(0, madvise(AT(1, 0), HUGE, MADV_FREE));
		if (i & 1)
			swap_out();
		EXPECT_TRUE(copied());
		ASSERT_EQ(0, madvise(AT(1, 0), HUGE, MADV_FREE));
		in_sync(CHILD);
		swap_out();
		EXPECT_TRUE(copied());
		renew();
	}
}

/* Given back while in sync: reclaim may take it from the caller alone, later. */
TEST_F(swapped, free_in_sync)
{
	int i;

	for (i = 0; i < 2 * ROUNDS; i++) {
		/* Pages that reclaim has not seen yet. */
		ASSERT_EQ(0, madvise(a, len, MADV_DONTNEED));
		renew();
		ASSERT_EQ(0, madvise(AT(1, 0), HUGE, MADV_FREE));
		if (i & 1)
			in_sync(CHILD);
		swap_out();
		EXPECT_TRUE(copied());
	}
}

/* All is brought in again by the end of the swap space, if it is the tests'. */
TEST_F(swapped, swap_ends)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(have_swap());
		ASSERT_TRUE(all_swapped());
		in_sync(CHILD);
		if (syscall(__NR_swapoff, "/dev/zram0"))
			SKIP(break, "other swap space");
		EXPECT_FALSE(is_swapped_out(USED));
		ASSERT_EQ(0, syscall(__NR_swapon, "/dev/zram0", 0));
		EXPECT_TRUE(kept());
		ASSERT_TRUE(all_swapped());
		ASSERT_EQ(0, syscall(__NR_swapoff, "/dev/zram0"));
		ASSERT_EQ(0, syscall(__NR_swapon, "/dev/zram0", 0));
		change(USED);
		EXPECT_TRUE(brought());
	}
}

/* Present: what is given back may go later, or be written to again. */
TEST_F(touch, free)
{
	int i;

	for (i = 0; i < 2 * ROUNDS; i++) {
		ASSERT_EQ(0, madvise(AT(1, 0), HUGE, MADV_FREE));
		EXPECT_TRUE(copied());
		if (i & 1)
			change(USED);
		EXPECT_TRUE(copied());
		renew();
	}
}

TEST_F(touch, pageout)
{
	int i;

	if (!have_swap())
		SKIP(return, "no swap space");
	for (i = 0; i < 2 * ROUNDS; i++) {
		if (i & 1)
			change(AT(1, 100));
		madvise(AT(1, 0), HUGE, MADV_PAGEOUT);
		change(USED);
		madvise(AT(1, 0), HUGE, MADV_PAGEOUT);
		EXPECT_TRUE(brought());
	}
}

/* --- Private pages of a file --- */

static bool write_word(int fd, off_t off)
{
	__u64 word = next_word();

	return pwrite(fd, &word, 8, off) == 8;
}

/* The area is a file's; all its pages have been broken out. */
static int use_file(void)
{
	char name[] = "/tmp/touch_test.XXXXXX";
	int fd = mkstemp(name), flags = MAP_PRIVATE | MAP_FIXED;
	off_t off;

	if (fd < 0 || unlink(name) || ftruncate(fd, 2 * HUGE))
		abort();
	for (off = 0; off < (off_t)(2 * HUGE); off += 64 * PAGE)
		if (!write_word(fd, off))
			abort();
	use(map_at((void *)AREA_AT, 2 * HUGE, PROT_RW, flags, fd), 2 * HUGE,
	    file_tables, ARRAY_SIZE(file_tables));
	return fd;
}

FIXTURE(file) {
	int fd;
};

FIXTURE_SETUP(file)
{
	NEED_CALLS();
	if (probe_into(CHILD))
		abort();
	self->fd = use_file();
	/* The first sum has only what was written. */
	renew();
}

FIXTURE_TEARDOWN(file)
{
}

TEST_F(file, file_written)
{
	EXPECT_TRUE(kept());
	change(USED);
	EXPECT_TRUE(brought());
	change(UNUSED);
	EXPECT_TRUE(brought());
}

/* It is shorter for a moment: private pages are gone, too. */
TEST_F(file, file_truncated)
{
	off_t size[] = { HUGE, 0, HUGE + 5 * PAGE + 100, HUGE - PAGE };
	unsigned int i;

	for (i = 0; i < 2 * ARRAY_SIZE(size); i++) {
		ASSERT_EQ(0, ftruncate(self->fd, size[i / 2]));
		ASSERT_EQ(0, ftruncate(self->fd, 2 * HUGE));
		if (i & 1)
			ASSERT_TRUE(write_word(self->fd, USED - a));
		EXPECT_TRUE(brought());
	}
}

/* Private pages hold what they held. */
TEST_F(file, file_rewritten)
{
	int i, punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(write_word(self->fd, USED - a));
		ASSERT_TRUE(write_word(self->fd, UNUSED - a));
		EXPECT_TRUE(kept());
		if (fallocate(self->fd, punch, HUGE, HUGE))
			EXPECT_EQ(EOPNOTSUPP, errno);
		EXPECT_TRUE(kept());
	}
}

/* Those that are given back become the file's again. */
TEST_F(file, file_dontneed)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(write_word(self->fd, USED - a));
		ASSERT_EQ(0, madvise(USED, PAGE, MADV_DONTNEED));
		EXPECT_TRUE(brought());
		ASSERT_TRUE(write_word(self->fd, USED - a));
		ASSERT_EQ(0, madvise(AT(1, 0), HUGE, MADV_DONTNEED));
		EXPECT_TRUE(brought());
	}
}

static int uprobe_type(void)
{
	FILE *f = fopen("/sys/bus/event_source/devices/uprobe/type", "re");
	int type = -1;

	if (f && fscanf(f, "%d", &type) != 1)
		type = -1;
	if (f)
		fclose(f);
	return type;
}

/* A breakpoint that is there until the descriptor is closed. */
static int uprobe(int file, off_t off)
{
	char path[64];
	struct perf_event_attr attr = {
		.type = uprobe_type(), .size = sizeof(attr),
		.uprobe_path = addr_of(path), .probe_offset = off,
	};

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	return syscall(__NR_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static int byte_at(const char *p)
{
	return word_at(p) & 0xff;
}

/* Where the file has an instruction; the pages are the caller's own all the same. */
TEST_F(file, uprobe)
{
	int i, fd;

	if (uprobe_type() < 0)
		SKIP(return, "no uprobes");
	ASSERT_EQ(8, pwrite(self->fd, "\x90\x90\x90\x90\x90\x90\x90\x90", 8,
			    USED - a));
	ASSERT_EQ(0, mprotect(a, len, PROT_READ));
	for (i = 0; i < ROUNDS; i++) {
		in_sync(CHILD);
		fd = uprobe(self->fd, USED - a);
		ASSERT_LE(0, fd);
		EXPECT_EQ(0xcc, byte_at(USED));
		EXPECT_TRUE(copied());
		in_sync(CHILD);
		close(fd);
		EXPECT_EQ(0x90, byte_at(USED));
		EXPECT_TRUE(copied());
	}
}

/* --- Threads, while COPY looks --- */

static bool stop_threads;

static bool stopped(void)
{
	return __atomic_load_n(&stop_threads, __ATOMIC_RELAXED);
}

static void *writes_on(void *arg)
{
	unsigned int i;

	for (i = 0; !stopped(); i++) {
		change(AT(i % 4, i % 7));
		if (i % 16 == 0)
			madvise(AT(2, 0), (i % 9) * PAGE, MADV_DONTNEED);
	}
	return NULL;
}

static void *truncates_on(void *arg)
{
	int fd = *(int *)arg;
	unsigned int i;

	for (i = 0; !stopped(); i++) {
		if (ftruncate(fd, HUGE + (i % 9) * PAGE) ||
		    ftruncate(fd, 2 * HUGE) || !write_word(fd, USED - a))
			abort();
		usleep(100);
	}
	return NULL;
}

/* What came last is in the child, though no page was touched since. */
static void check_thread(struct __test_metadata *_metadata, void *(*fn)(void *),
			 void *arg)
{
	pthread_t thread;
	int i, k;

	for (i = 0; i < 8; i++) {
		stop_threads = false;
		ASSERT_EQ(0, pthread_create(&thread, NULL, fn, arg));
		/* Where the file ends there may be nothing to be had. */
		for (k = 0; k < 30; k++)
			copy(CHILD);
		__atomic_store_n(&stop_threads, true, __ATOMIC_RELAXED);
		pthread_join(thread, NULL);
		ASSERT_TRUE(copied());
		in_sync(CHILD);
	}
}

TEST_F(touch, thread_writes)
{
	check_thread(_metadata, writes_on, NULL);
}

TEST_F(file, thread_truncates)
{
	check_thread(_metadata, truncates_on, &self->fd);
}

TEST_HARNESS_MAIN
