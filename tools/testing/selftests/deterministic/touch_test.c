// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page tables in which nothing has changed are passed over by COPY, SNAP and
 * MERGE. Here the caller's memory changes by one means after the other, each time
 * when all tables are in sync, and none of the changes may be overlooked. Swap,
 * files and threads are in reclaim_test.c, what the calls do in sync_test.c.
 */
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "touch.h"

/* For headers that are older. */
#ifndef UFFDIO_MOVE
struct uffdio_move {
	__u64 dst, src, len, mode;
	__s64 move;
};

#define UFFDIO_MOVE _IOWR(UFFDIO, 0x05, struct uffdio_move)
#endif
#ifndef UFFD_FEATURE_MOVE
#define UFFD_FEATURE_MOVE 0x10000
#endif

/* The big area only. */
FIXTURE(gib) {
};

FIXTURE_SETUP(gib)
{
	NEED_CALLS();
	use_area(true);
}

FIXTURE_TEARDOWN(gib)
{
}

/* --- The caller's own accesses --- */

TEST_F(touch, nothing)
{
	int i;

	for (i = 0; i < ROUNDS; i++)
		EXPECT_TRUE(kept());
}

TEST_F(touch, write)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		change(USED);
		EXPECT_TRUE(brought());
	}
}

TEST_F(touch, write_everywhere)
{
	unsigned int i;

	for (i = 0; i < nr_tables; i++) {
		change(AT(tables[i], 511));
		EXPECT_TRUE(brought());
		change(AT(tables[i], 0));
		change(AT(tables[i], 8));
		EXPECT_TRUE(brought());
	}
}

TEST_F(touch, write_new_page)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		change(UNUSED + i * PAGE);
		EXPECT_TRUE(brought());
	}
}

TEST_F(touch, write_new_table)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		change(AT(NEW, i));
		EXPECT_TRUE(brought());
	}
}

/* A page of zeros is mapped first, and is in sync. */
TEST_F(touch, read_then_write)
{
	EXPECT_EQ(0, word_at(UNUSED));
	EXPECT_EQ(0, word_at(AT(NEW, 5)));
	in_sync(CHILD);
	change(UNUSED);
	EXPECT_TRUE(brought());
	change(AT(NEW, 5));
	EXPECT_TRUE(brought());
}

/* The child has a page of its own by then, so the caller's is not shared. */
TEST_F(touch, write_to_the_last_copy)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, child_write(CHILD, addr_of(USED), 1));
		ASSERT_EQ(0, snap(CHILD));
		change(USED);
		EXPECT_TRUE(brought());
	}
}

static bool reads_into(char *p)
{
	__u64 word = next_word();
	int fd[2];
	bool ok;

	if (pipe(fd))
		return false;
	ok = write(fd[1], &word, 8) == 8 && read(fd[0], p, 8) == 8;
	close(fd[0]);
	close(fd[1]);
	return ok;
}

TEST_F(touch, read_system_call)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(reads_into(USED));
		EXPECT_TRUE(brought());
		ASSERT_TRUE(reads_into(UNUSED));
		EXPECT_TRUE(brought());
	}
}

TEST_F(touch, proc_mem)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		__u64 word = next_word();

		ASSERT_TRUE(write_file("/proc/self/mem", &word, 8, addr_of(USED)));
		EXPECT_TRUE(brought());
		ASSERT_TRUE(write_file("/proc/self/mem", &word, 8, addr_of(UNUSED)));
		EXPECT_TRUE(brought());
	}
}

/* --- Other processes --- */

static bool by_a_fork(bool (*fn)(void))
{
	int status = -1;
	pid_t pid;

	next_word();
	pid = fork();
	if (!pid)
		_exit(!fn());
	return waitpid(pid, &status, 0) == pid && !status;
}

static bool vm_writes(void)
{
	__u64 word = next_word();
	struct iovec from = { &word, 8 }, to = { USED, 8 };

	return process_vm_writev(getppid(), &from, 1, &to, 1, 0) == 8;
}

TEST_F(touch, process_vm_writev)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(by_a_fork(vm_writes));
		EXPECT_TRUE(brought());
	}
}

static bool pokes(void)
{
	pid_t pid = getppid();

	return !ptrace(PTRACE_ATTACH, pid, NULL, NULL) &&
	       waitpid(pid, NULL, __WALL) == pid &&
	       !ptrace(PTRACE_POKEDATA, pid, USED, (void *)next_word()) &&
	       !ptrace(PTRACE_DETACH, pid, NULL, NULL);
}

TEST_F(touch, ptrace_poke)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(by_a_fork(pokes));
		EXPECT_TRUE(brought());
	}
}

static bool writes_its_own(void)
{
	change(USED);
	change(UNUSED);
	return true;
}

TEST_F(touch, fork)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(by_a_fork(writes_its_own));
		EXPECT_TRUE(kept());
		ASSERT_TRUE(by_a_fork(writes_its_own));
		change(USED);
		EXPECT_TRUE(brought());
	}
}

/* The other process lives on while the caller writes. */
TEST_F(touch, fork_that_lives)
{
	int fd[2], i;
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(fd));
	pid = fork();
	if (!pid) {
		close(fd[1]);
		_exit(read(fd[0], &c, 1));
	}
	for (i = 0; i < ROUNDS; i++) {
		change(USED);
		EXPECT_TRUE(brought());
	}
	close(fd[1]);
	EXPECT_EQ(pid, waitpid(pid, &i, 0));
	EXPECT_EQ(0, i);
}

/* --- Memory that goes and comes --- */

/* Zeros, or other bytes that are written there. */
static void check_gone(struct __test_metadata *_metadata, char *p, bool write)
{
	if (write)
		change(p);
	EXPECT_TRUE(brought());
}

static void check_dontneed(struct __test_metadata *_metadata, char *p, size_t size)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, madvise(p, size, MADV_DONTNEED));
		check_gone(_metadata, p, i & 1);
	}
}

TEST_F(touch, dontneed_page)
{
	check_dontneed(_metadata, USED, PAGE);
}

TEST_F(touch, dontneed_table)
{
	check_dontneed(_metadata, AT(1, 0), HUGE);
}

TEST_F(touch, dontneed_all)
{
	check_dontneed(_metadata, a, len);
}

/* Where there is nothing, of a table that is used and one that is not. */
TEST_F(touch, dontneed_nothing)
{
	ASSERT_EQ(0, madvise(UNUSED, PAGE, MADV_DONTNEED));
	ASSERT_EQ(0, madvise(AT(NEW, 0), HUGE, MADV_DONTNEED));
	EXPECT_TRUE(kept());
	change(UNUSED);
	change(AT(NEW, 0));
	EXPECT_TRUE(brought());
}

static void check_unmap(struct __test_metadata *_metadata, char *p, size_t size)
{
	int i;

	for (i = 0; i < 2 * ROUNDS; i++) {
		ASSERT_EQ(0, munmap(p, size));
		if (i & 2)
			ASSERT_EQ(0, copy(CHILD));
		map_there(addr_of(p), size);
		check_gone(_metadata, p, i & 1);
	}
}

TEST_F(touch, unmap_page)
{
	check_unmap(_metadata, USED, PAGE);
}

TEST_F(touch, unmap_table)
{
	check_unmap(_metadata, AT(1, 0), HUGE);
}

TEST_F(touch, unmap_all)
{
	check_unmap(_metadata, a, len);
}

/* The same address in one step, as MAP_FIXED does it. */
TEST_F(touch, map_over)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		map_there(addr_of(USED), PAGE);
		check_gone(_metadata, USED, i & 1);
		map_there(addr_of(AT(1, 0)), 2 * HUGE);
		check_gone(_metadata, USED, i & 1);
	}
}

TEST_F(touch, mprotect)
{
	int i;

	for (i = 0; i < 2 * ROUNDS; i++) {
		ASSERT_EQ(0, mprotect(USED, PAGE, i & 1 ? PROT_READ : PROT_NONE));
		if (i & 2)
			ASSERT_EQ(0, copy(CHILD));
		ASSERT_EQ(0, mprotect(USED, PAGE, PROT_RW));
		change(USED);
		EXPECT_TRUE(brought());
	}
}

/* All: no mapping is divided, and it is in sync without permission. */
TEST_F(touch, mprotect_all)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, mprotect(a, len, i & 1 ? PROT_READ : PROT_NONE));
		in_sync(CHILD);
		EXPECT_EQ(PROBE_FAULT, child_write(CHILD, addr_of(USED), 1));
		ASSERT_EQ(0, mprotect(a, len, PROT_RW));
		EXPECT_TRUE(kept());
		ASSERT_EQ(0, mprotect(a, len, PROT_NONE));
		ASSERT_EQ(0, mprotect(a, len, PROT_RW));
		change(USED);
		EXPECT_TRUE(brought());
	}
}

TEST_F(touch, collapse)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		/* One page has to be its own. */
		change(USED);
		if (madvise(AT(1, 0), HUGE, MADV_COLLAPSE))
			SKIP(return, "no huge pages");
		EXPECT_TRUE(brought());
		change(USED);
		EXPECT_TRUE(brought());
		change(USED);
		if (madvise(AT(1, 0), HUGE, MADV_COLLAPSE))
			SKIP(return, "no huge pages");
		EXPECT_TRUE(brought());
		ASSERT_EQ(0, madvise(USED, PAGE, MADV_DONTNEED));
		EXPECT_TRUE(brought());
	}
}

/* --- Memory that moves --- */

static char *move(char *from, size_t size, char *to, int flags)
{
	char *p = mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED | flags, to);

	if (p != to)
		abort();
	return to;
}

static void check_move_in(struct __test_metadata *_metadata, char *p, size_t size)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		move(make_some(ELSE_AT, size), size, p, 0);
		EXPECT_TRUE(brought());
	}
}

TEST_F(touch, move_page_in)
{
	check_move_in(_metadata, USED, PAGE);
}

TEST_F(touch, move_new_page_in)
{
	check_move_in(_metadata, UNUSED, PAGE);
}

TEST_F(touch, move_table_in)
{
	check_move_in(_metadata, AT(1, 0), HUGE);
	check_move_in(_metadata, AT(NEW, 0), HUGE);
}

TEST_F(gib, move_gib_in)
{
	check_move_in(_metadata, a, GIB);
	check_move_in(_metadata, a + GIB, GIB);
}

/* It is written to while it is elsewhere, and comes back to its mapping. */
static void check_out_and_back(struct __test_metadata *_metadata, size_t off,
			       size_t size, size_t at)
{
	char *there = (char *)ELSE_AT;
	int i;

	for (i = 0; i < 2 * ROUNDS; i++) {
		move(a + off, size, there, 0);
		if (i & 1)
			ASSERT_EQ(0, copy(CHILD));
		change(there + at);
		if (i & 2)
			map_there(addr_of(a) + off, size);
		move(there, size, a + off, 0);
		EXPECT_TRUE(brought());
	}
}

TEST_F(touch, move_page_out_and_back)
{
	check_out_and_back(_metadata, USED - a, PAGE, 0);
}

TEST_F(touch, move_table_out_and_back)
{
	check_out_and_back(_metadata, HUGE, HUGE, 7 * PAGE);
	check_out_and_back(_metadata, HUGE, 2 * HUGE, HUGE + 9 * PAGE);
}

TEST_F(gib, move_gib_out_and_back)
{
	check_out_and_back(_metadata, 0, GIB, HUGE + 7 * PAGE);
	check_out_and_back(_metadata, GIB, GIB, 9 * PAGE);
	check_out_and_back(_metadata, 0, 2 * GIB, GIB + 9 * PAGE);
}

/* Neither table changes by itself. */
static void check_exchange(struct __test_metadata *_metadata, char *p, char *q,
			   size_t size)
{
	char *third = (char *)THIRD_AT;
	int i;

	for (i = 0; i < 2 * ROUNDS; i++) {
		move(p, size, third, 0);
		move(q, size, p, 0);
		move(third, size, q, 0);
		EXPECT_TRUE(brought());
	}
}

TEST_F(touch, exchange_pages)
{
	check_exchange(_metadata, USED, AT(1, 100), PAGE);
	check_exchange(_metadata, USED, AT(2, 7), PAGE);
}

TEST_F(touch, exchange_tables)
{
	check_exchange(_metadata, AT(1, 0), AT(2, 0), HUGE);
	check_exchange(_metadata, AT(1, 0), AT(NEW, 0), HUGE);
}

TEST_F(gib, exchange_gibs)
{
	check_exchange(_metadata, a, a + GIB, GIB);
}

/* The whole of it away, and other memory there. */
TEST_F(touch, replace_all)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		move(a, len, (char *)THIRD_AT, 0);
		move(make_some(ELSE_AT, len), len, a, 0);
		EXPECT_TRUE(brought());
	}
}

/* The mapping stays, and is empty. */
static void check_dontunmap(struct __test_metadata *_metadata, char *p, size_t size)
{
	char *there = (char *)ELSE_AT;
	int i;

	for (i = 0; i < 2 * ROUNDS; i++) {
		move(p, size, there, MREMAP_DONTUNMAP);
		if (i & 2)
			move(there, size, p, 0);
		check_gone(_metadata, p, i & 3);
	}
}

TEST_F(touch, dontunmap_page)
{
	check_dontunmap(_metadata, USED, PAGE);
}

TEST_F(touch, dontunmap_table)
{
	check_dontunmap(_metadata, AT(1, 0), HUGE);
}

TEST_F(gib, dontunmap_gib)
{
	check_dontunmap(_metadata, a, GIB);
	check_dontunmap(_metadata, a + GIB, GIB);
}

/* Back with the pages where others are in sync meanwhile. */
TEST_F(touch, dontunmap_and_back)
{
	char *there = (char *)ELSE_AT;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		move(AT(1, 0), HUGE, there, MREMAP_DONTUNMAP);
		EXPECT_TRUE(brought());
		move(there, HUGE, AT(1, 0), MREMAP_DONTUNMAP);
		EXPECT_TRUE(brought());
	}
}

/*
 * Nothing is in sync, in the same mapping, when the pages come back to it. The
 * second child has not even had a page table there.
 */
static void check_into_nothing(struct __test_metadata *_metadata, char *p, size_t size,
			       size_t at)
{
	char *there = (char *)ELSE_AT;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		move(p, size, there, MREMAP_DONTUNMAP);
		in_sync(CHILD);
		in_sync(SECOND);
		if (i & 1)
			change(there + at);
		move(there, size, p, 0);
		/* Before anything reads there. */
		ASSERT_EQ(0, copy(SECOND));
		EXPECT_TRUE(same(SECOND));
		EXPECT_TRUE(i & 1 ? brought() : kept());
		ASSERT_EQ(0, kill_child(SECOND));
	}
}

TEST_F(touch, page_into_nothing)
{
	check_into_nothing(_metadata, USED, PAGE, 0);
}

TEST_F(touch, table_into_nothing)
{
	check_into_nothing(_metadata, AT(1, 0), HUGE, 7 * PAGE);
}

TEST_F(gib, gib_into_nothing)
{
	check_into_nothing(_metadata, a, GIB, HUGE + 7 * PAGE);
	check_into_nothing(_metadata, a + GIB, GIB, 9 * PAGE);
}

/* --- userfaultfd --- */

/* A descriptor, and table 1 is its. */
static int watch(int mode, __u64 features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	struct uffdio_register reg = { .range = { addr_of(AT(1, 0)), HUGE },
				       .mode = mode };
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (fd < 0)
		return -1;
	if (!ioctl(fd, UFFDIO_API, &api) && !ioctl(fd, UFFDIO_REGISTER, &reg))
		return fd;
	close(fd);
	return -1;
}

static int watch_missing(__u64 features)
{
	return watch(UFFDIO_REGISTER_MODE_MISSING, features);
}

static bool unwatch(int fd)
{
	struct uffdio_range range = { addr_of(AT(1, 0)), HUGE };
	bool ok = !ioctl(fd, UFFDIO_UNREGISTER, &range);

	close(fd);
	return ok;
}

/* Nothing there, and that in sync. */
static void make_missing(char *p)
{
	if (madvise(p, PAGE, MADV_DONTNEED))
		abort();
	in_sync(CHILD);
}

static bool uffd_copies(int fd, const char *from)
{
	struct uffdio_copy c = { .dst = addr_of(UNUSED), .src = addr_of(from),
				 .len = PAGE };

	return !ioctl(fd, UFFDIO_COPY, &c);
}

TEST_F(touch, uffd_copy)
{
	char *from = map_rw(PAGE);
	int i, fd;

	for (i = 0; i < ROUNDS; i++) {
		if (i)
			make_missing(UNUSED);
		change(from);
		fd = watch_missing(0);
		if (fd < 0)
			SKIP(return, "no userfaultfd");
		ASSERT_TRUE(uffd_copies(fd, from));
		ASSERT_TRUE(unwatch(fd));
		EXPECT_EQ(word_at(from), word_at(UNUSED));
		EXPECT_TRUE(brought());
	}
}

TEST_F(touch, uffd_zeros)
{
	struct uffdio_zeropage z = { .range = { addr_of(UNUSED), PAGE } };
	int i, fd;

	for (i = 0; i < ROUNDS; i++) {
		if (i)
			make_missing(UNUSED);
		fd = watch_missing(0);
		if (fd < 0)
			SKIP(return, "no userfaultfd");
		ASSERT_EQ(0, ioctl(fd, UFFDIO_ZEROPAGE, &z));
		ASSERT_TRUE(unwatch(fd));
		EXPECT_TRUE(kept());
		change(UNUSED);
		EXPECT_TRUE(copied());
	}
}

TEST_F(touch, uffd_move)
{
	struct uffdio_move m = { .dst = addr_of(UNUSED), .src = ELSE_AT,
				 .len = PAGE };
	int i, fd;

	for (i = 0; i < ROUNDS; i++) {
		if (i)
			make_missing(UNUSED);
		make_some(ELSE_AT, PAGE);
		fd = watch_missing(UFFD_FEATURE_MOVE);
		if (fd < 0)
			SKIP(return, "no userfaultfd that moves");
		ASSERT_EQ(0, ioctl(fd, UFFDIO_MOVE, &m));
		ASSERT_TRUE(unwatch(fd));
		EXPECT_NE(0, word_at(UNUSED));
		EXPECT_TRUE(brought());
	}
}

/* Watched and no longer: then it is as it was. */
TEST_F(touch, uffd_write_protect)
{
	struct uffdio_writeprotect wp = { .range = { addr_of(USED), PAGE } };
	int i, fd;

	for (i = 0; i < 2 * ROUNDS; i++) {
		fd = watch(UFFDIO_REGISTER_MODE_WP, UFFD_FEATURE_PAGEFAULT_FLAG_WP);
		if (fd < 0)
			SKIP(return, "no userfaultfd that protects");
		wp.mode = UFFDIO_WRITEPROTECT_MODE_WP;
		ASSERT_EQ(0, ioctl(fd, UFFDIO_WRITEPROTECT, &wp));
		wp.mode = 0;
		if (i & 1)
			ASSERT_EQ(0, ioctl(fd, UFFDIO_WRITEPROTECT, &wp));
		ASSERT_TRUE(unwatch(fd));
		change(USED);
		EXPECT_TRUE(brought());
	}
}

/* --- Pages that are pinned --- */

struct ring {
	int fd;
	struct io_uring_params p;
	char *rings;
	struct io_uring_sqe *sqe;
};

static bool make_ring(struct ring *r, char *page)
{
	struct iovec pinned = { page, PAGE };

	r->p = (struct io_uring_params){};
	r->fd = syscall(__NR_io_uring_setup, 1, &r->p);
	if (r->fd < 0)
		return false;
	r->rings = map_at(NULL, PAGE, PROT_RW, MAP_SHARED, r->fd);
	r->sqe = mmap(NULL, PAGE, PROT_RW, MAP_SHARED, r->fd, IORING_OFF_SQES);
	return r->sqe != MAP_FAILED &&
	       !syscall(__NR_io_uring_register, r->fd, IORING_REGISTER_BUFFERS,
			&pinned, 1);
}

/* The kernel writes to the page that it has pinned, whatever is mapped there. */
static bool ring_reads(struct ring *r, int fd, char *page)
{
	unsigned int *tail = (void *)(r->rings + r->p.sq_off.tail);
	unsigned int *array = (void *)(r->rings + r->p.sq_off.array);

	*r->sqe = (struct io_uring_sqe){
		.opcode = IORING_OP_READ_FIXED, .fd = fd, .addr = addr_of(page),
		.len = 8,
	};
	array[0] = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	return syscall(__NR_io_uring_enter, r->fd, 1, 1, IORING_ENTER_GETEVENTS,
		       NULL, 0) == 1;
}

static bool ring_writes(struct ring *r, char *page)
{
	__u64 word = next_word();
	int fd[2];
	bool ok;

	if (pipe(fd))
		return false;
	ok = write(fd[1], &word, 8) == 8 && ring_reads(r, fd[0], page) &&
	     word_at(page) == word;
	close(fd[0]);
	close(fd[1]);
	return ok;
}

TEST_F(touch, pinned)
{
	struct ring r;
	int i;

	if (!make_ring(&r, USED))
		SKIP(return, "no io_uring");
	EXPECT_TRUE(kept());
	for (i = 0; i < 2 * ROUNDS; i++) {
		ASSERT_TRUE(ring_writes(&r, USED));
		EXPECT_TRUE(brought());
	}
	close(r.fd);
	change(USED);
	EXPECT_TRUE(brought());
}

TEST_HARNESS_MAIN
