// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page tables in which nothing has changed are passed over by COPY, SNAP and
 * MERGE. Here memory changes by one means after the other, each time when all
 * tables are in sync, and none of the changes may be overlooked.
 *
 * Tables get in sync when a COPY or SNAP finds all their entries equal, tables
 * of tables with the next one. The small area has page tables of which some are
 * used, the big one tables of tables, too.
 */
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "mem.h"

/* For headers that are older. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
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

#define CHILD 1
#define SECOND 2
#define GIB (512 * HUGE)
#define TABLE_PAGES (HUGE / PAGE)

/* How often each change is made, in sync each time; DET_TEST_STEPS: more often. */
#define ROUNDS (getenv("DET_TEST_STEPS") ? 3 : 1)

#define AREA_AT 0x400000000UL
#define ELSE_AT 0x800000000UL
#define THIRD_AT 0xc00000000UL

/* --- The area --- */

/* Table NEW is there, but nothing in it has been used. */
#define NEW 4
static const unsigned int small_tables[] = { 0, 1, 2, 3, NEW };
static const unsigned int big_tables[] = { 0, 1, 2, 3, NEW, 511, 512, 1024 };
static const unsigned int file_tables[] = { 0, 1 };

/* In each of the others these pages have been. */
static const unsigned int used_pages[] = { 0, 1, 7, 100, 511 };

static char *a;				/* where it is */
static size_t len;
static const unsigned int *tables;	/* which ones are looked at */
static unsigned int nr_tables;
static __u64 sum;			/* of what they held in sync */
static __u64 writes;			/* so many words have been written */
static char buf[HUGE + PAGE];

/* A page of a table that is used, and one that is not. */
#define AT(table, page) (a + (table) * HUGE + (page) * PAGE)
#define USED AT(1, 7)
#define UNUSED AT(1, 9)

/* The first words of pages are enough to tell them apart. */
static __u64 word_at(const char *p)
{
	return __atomic_load_n((const __u64 *)p, __ATOMIC_RELAXED);
}

static __u64 next_word(void)
{
	return ++writes * 0x9e3779b97f4a7c15ULL;
}

static void change(char *p)
{
	__atomic_store_n((__u64 *)p, next_word(), __ATOMIC_RELAXED);
}

/* Zeros add nothing. */
static __u64 weight(const char *p)
{
	return word_at(p) * ((addr_of(p) / PAGE) * 2 + 1);
}

static __u64 sum_all(void)
{
	unsigned int i, page;
	__u64 all = 0;

	for (i = 0; i < nr_tables; i++)
		for (page = 0; page < TABLE_PAGES; page++)
			all += weight(AT(tables[i], page));
	return all;
}

static __u64 change_used(void)
{
	unsigned int i, k;
	__u64 used = 0;

	for (i = 0; i < nr_tables; i++) {
		for (k = 0; tables[i] != NEW && k < ARRAY_SIZE(used_pages); k++) {
			char *p = AT(tables[i], used_pages[k]);

			change(p);
			used += weight(p);
		}
	}
	return used;
}

/* --- Copies, and whether they are --- */

static long copy(__u64 child)
{
	return put_op(child, 0, op_copy(a, addr_of(a), len), NULL);
}

static long snap(__u64 child)
{
	return put_flags(child, DET_SNAP, NULL);
}

static long merge(__u64 child)
{
	return get_op(child, 0, op_merge(a, len, 0), NULL);
}

static void in_sync(__u64 child)
{
	int i;

	for (i = 0; i < 4; i++)
		if (copy(child))
			abort();
}

static void snap_in_sync(__u64 child)
{
	int i;

	for (i = 0; i < 4; i++)
		if (snap(child))
			abort();
}

/* As bytes: the buffer is no page, and stays. */
static bool is_equal(__u64 child, struct det_op op)
{
	op.caller = addr_of(buf + 8);
	op.len = HUGE;
	return !get_op(child, 0, op, NULL) &&
	       !memcmp(buf + 8, (const void *)op.child, HUGE);
}

/* The child's bytes are the caller's, in every page of the tables. */
static bool same(__u64 child)
{
	unsigned int i;

	for (i = 0; i < nr_tables; i++)
		if (!is_equal(child, op_copy(0, addr_of(AT(tables[i], 0)), HUGE)))
			return false;
	return true;
}

static bool image_same(__u64 child)
{
	unsigned int i;

	for (i = 0; i < nr_tables; i++)
		if (!is_equal(child, op_image(0, addr_of(AT(tables[i], 0)), HUGE)))
			return false;
	return true;
}

/* With other bytes in all pages that are used. */
static void renew(void)
{
	change_used();
	sum = sum_all();
	in_sync(CHILD);
	snap_in_sync(CHILD);
}

static bool copied(void)
{
	return !copy(CHILD) && !copy(CHILD) && same(CHILD);
}

/* No byte has changed, though the memory may be other memory. */
static bool kept(void)
{
	bool ok = copied() && sum_all() == sum;

	renew();
	return ok;
}

/* Something has changed, and the next COPY brings it. */
static bool brought(void)
{
	bool ok = copied() && sum_all() != sum;

	renew();
	return ok;
}

/* Something has changed in the child, and a MERGE brings it. */
static bool merged(void)
{
	bool ok = !merge(CHILD) && same(CHILD) && sum_all() != sum;

	ok = ok && !snap(CHILD) && image_same(CHILD) && !merge(CHILD) &&
	     copied();
	renew();
	return ok;
}

/* Something has changed in the child, and the next COPY undoes it. */
static bool restored(void)
{
	bool ok = !copy(CHILD) && sum_all() == sum && same(CHILD);

	renew();
	return ok && !merge(CHILD) && same(CHILD);
}

/* The word is another one than the caller's; of a page that was changed. */
static bool child_differs(const char *p)
{
	__u64 word = 0;

	return !peek(CHILD, addr_of(p), &word, 8) && word != word_at(p);
}

static char *map_there(unsigned long at, size_t size)
{
	return map_at((void *)at, size, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS |
		      MAP_NORESERVE | MAP_FIXED, -1);
}

static void use(char *p, size_t size, const unsigned int *which, unsigned int nr)
{
	a = p;
	len = size;
	tables = which;
	nr_tables = nr;
	/* Not sum_all(), which would read what is not to be used yet. */
	sum = change_used();
	in_sync(CHILD);
	snap_in_sync(CHILD);
}

FIXTURE(touch) {
};

FIXTURE_VARIANT(touch) {
	bool big;
};

FIXTURE_VARIANT_ADD(touch, small) { .big = false };
FIXTURE_VARIANT_ADD(touch, big) { .big = true };

static void use_area(bool big)
{
	size_t size = big ? 2 * GIB + 2 * HUGE : (NEW + 1) * HUGE;

	if (probe_into(CHILD))
		abort();
	use(map_there(AREA_AT, size), size, big ? big_tables : small_tables,
	    big ? ARRAY_SIZE(big_tables) : ARRAY_SIZE(small_tables));
}

FIXTURE_SETUP(touch)
{
	NEED_CALLS();
	use_area(variant->big);
}

FIXTURE_TEARDOWN(touch)
{
}

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

/* New memory with some words in it. */
static char *make_some(unsigned long at, size_t size)
{
	char *p = map_there(at, size);
	size_t off;

	for (off = 0; off < size && off < HUGE; off += 51 * PAGE)
		change(p + off);
	change(p + size - PAGE);
	return p;
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

/* The area anew, in a cgroup of which everything is swapped out. */
static bool begin_swap(bool big)
{
	if (kill_child(CHILD) || munmap(a, len) || !enter_cgroup())
		return false;
	use_area(big);
	return true;
}

static void end_swap(void)
{
	kill_child(CHILD);
	leave_cgroup();
}

static bool all_swapped(void)
{
	int i;

	for (i = 0; i < 50 && !is_swapped_out(USED); i++)
		swap_out();
	return is_swapped_out(USED);
}

TEST_F(touch, swap_and_write)
{
	int i;

	if (!begin_swap(variant->big))
		SKIP(return, "no swap space or no cgroup");
	for (i = 0; i < 2 * ROUNDS; i++) {
		ASSERT_TRUE(all_swapped());
		if (i & 1)
			in_sync(CHILD);
		change(USED);
		EXPECT_TRUE(brought());
	}
	end_swap();
}

/* Only one side has swapped it in. */
TEST_F(touch, swap_and_read)
{
	int i;

	if (!begin_swap(variant->big))
		SKIP(return, "no swap space or no cgroup");
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
	end_swap();
}

/* What is swapped out is gone at once. */
TEST_F(touch, swap_and_free)
{
	int i;

	if (!begin_swap(variant->big))
		SKIP(return, "no swap space or no cgroup");
	for (i = 0; i < 2 * ROUNDS; i++) {
		ASSERT_TRUE(all_swapped());
		if (i & 1)
			in_sync(CHILD);
		ASSERT_EQ(0, i & 2 ? madvise(USED, PAGE, MADV_FREE) :
				     madvise(AT(1, 0), HUGE, MADV_FREE));
		EXPECT_FALSE(is_swapped_out(USED));
		EXPECT_TRUE(brought());
	}
	end_swap();
}

TEST_F(touch, swap_and_dontneed)
{
	int i;

	if (!begin_swap(variant->big))
		SKIP(return, "no swap space or no cgroup");
	for (i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(all_swapped());
		in_sync(CHILD);
		ASSERT_EQ(0, madvise(AT(1, 0), HUGE, MADV_DONTNEED));
		EXPECT_TRUE(brought());
	}
	end_swap();
}

/* Huge pages are made of what has to be swapped in for it. */
TEST_F(touch, swap_and_collapse)
{
	int i;

	if (!begin_swap(variant->big))
		SKIP(return, "no swap space or no cgroup");
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
	end_swap();
}

TEST_F(touch, swap_in_the_child)
{
	int i;

	if (!begin_swap(variant->big))
		SKIP(return, "no swap space or no cgroup");
	for (i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(all_swapped());
		ASSERT_EQ(0, child_write(CHILD, addr_of(USED), i));
		EXPECT_TRUE(child_differs(USED));
		EXPECT_TRUE(restored());
		ASSERT_TRUE(all_swapped());
		ASSERT_EQ(0, child_write(CHILD, addr_of(USED), i));
		EXPECT_TRUE(merged());
	}
	end_swap();
}

/* Present when it is given back, and then reclaimed, or kept by the COPY. */
TEST_F(touch, free_and_reclaim)
{
	int i;

	if (!begin_swap(variant->big))
		SKIP(return, "no swap space or no cgroup");
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
	end_swap();
}

/* Given back while in sync: reclaim may take it from the caller alone, later. */
TEST_F(touch, free_in_sync)
{
	int i;

	if (!begin_swap(variant->big))
		SKIP(return, "no swap space or no cgroup");
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
	end_swap();
}

/* All is brought in again by the end of the swap space, if it is the tests'. */
TEST_F(touch, swap_ends)
{
	int i;

	if (!begin_swap(variant->big))
		SKIP(return, "no swap space or no cgroup");
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
	end_swap();
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

/* --- What the calls do --- */

TEST_F(touch, two_children)
{
	int i;

	in_sync(SECOND);
	for (i = 0; i < ROUNDS; i++) {
		change(USED);
		EXPECT_TRUE(brought());
		EXPECT_EQ(0, copy(SECOND));
		EXPECT_TRUE(same(SECOND));
		in_sync(SECOND);
	}
	ASSERT_EQ(0, kill_child(SECOND));
	change(USED);
	EXPECT_TRUE(brought());
	in_sync(SECOND);
	EXPECT_TRUE(same(SECOND));
}

/* Several COPYs to the one before the other gets any. */
TEST_F(touch, second_child_is_late)
{
	int i;

	in_sync(SECOND);
	for (i = 0; i < ROUNDS; i++) {
		change(AT(1, i));
		in_sync(CHILD);
		change(AT(2, i));
		in_sync(CHILD);
		EXPECT_EQ(0, copy(SECOND));
		EXPECT_TRUE(same(SECOND));
		in_sync(SECOND);
	}
}

/* What the one child has changed comes to the other by way of the caller. */
TEST_F(touch, merge_then_second_child)
{
	char *const p[] = { USED, UNUSED, AT(NEW, 5), AT(0, 0) };
	unsigned int i;

	in_sync(SECOND);
	for (i = 0; i < 2 * ARRAY_SIZE(p); i++) {
		ASSERT_EQ(0, child_write(CHILD, addr_of(p[i / 2]), i + 1));
		ASSERT_EQ(0, merge(CHILD));
		EXPECT_EQ(i + 1, word_at(p[i / 2]) & 0xff);
		EXPECT_EQ(0, copy(SECOND));
		EXPECT_TRUE(same(SECOND));
		EXPECT_TRUE(brought());
		in_sync(SECOND);
	}
}

/* The caller's own page is written byte by byte; the other is taken whole. */
TEST_F(touch, merge_beside_changes)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		USED[100]++;
		ASSERT_EQ(0, child_write(CHILD, addr_of(USED), i));
		ASSERT_EQ(0, child_write(CHILD, addr_of(AT(2, 7)), i));
		ASSERT_EQ(0, merge(CHILD));
		EXPECT_EQ(i, word_at(USED) & 0xff);
		EXPECT_EQ(i, word_at(AT(2, 7)) & 0xff);
		EXPECT_TRUE(brought());
	}
}

/* dget's COPY into the caller: whole pages, and bytes. */
TEST_F(touch, copy_into_the_caller)
{
	int i;

	in_sync(SECOND);
	for (i = 0; i < ROUNDS; i++) {
		__u64 word = next_word();

		ASSERT_EQ(0, poke(SECOND, addr_of(USED), &word, 8));
		ASSERT_EQ(0, peek(SECOND, addr_of(USED), USED, i & 1 ? 100 : PAGE));
		EXPECT_EQ(word, word_at(USED));
		EXPECT_TRUE(brought());
		in_sync(SECOND);
	}
}

static long self_op(struct det_op op)
{
	return put_op(DET_SELF, 0, op, NULL);
}

TEST_F(touch, self)
{
	char *from = map_rw(PAGE);
	__u64 at = addr_of(USED);
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, self_op(op_zero(at, PAGE, PROT_RW)));
		EXPECT_TRUE(brought());
		ASSERT_EQ(0, self_op(op_zero(at, 100, PROT_RW)));
		EXPECT_TRUE(brought());
		change(from);
		ASSERT_EQ(0, self_op(op_copy(from, at, PAGE)));
		EXPECT_TRUE(brought());
		change(from);
		ASSERT_EQ(0, self_op(op_copy(from, at, 8)));
		EXPECT_TRUE(brought());
		ASSERT_EQ(0, self_op(op_perm(at, PAGE, PROT_READ)));
		ASSERT_EQ(0, self_op(op_perm(at, PAGE, PROT_RW)));
		change(USED);
		EXPECT_TRUE(brought());
	}
}

static long rests(void *arg)
{
	return 0;
}

TEST_F(touch, whole)
{
	struct det_op op = op_whole();
	int i, k;

	ASSERT_EQ(1, spawn(SECOND, 0, rests, NULL, NULL));
	for (i = 0; i < ROUNDS; i++) {
		for (k = 0; k < 4; k++)
			ASSERT_EQ(0, put_op(SECOND, 0, op, NULL));
		change(USED);
		change(UNUSED);
		ASSERT_EQ(0, put_op(SECOND, 0, op, NULL));
		EXPECT_TRUE(same(SECOND));
		ASSERT_EQ(0, put_op(SECOND, 0, op, NULL));
		EXPECT_TRUE(same(SECOND));
	}
}

/* --- Changes in the child --- */

/* What is done to the child each time; page USED of the child is another one then. */
typedef bool (*child_fn)(void);

static void check_child(struct __test_metadata *_metadata, child_fn fn)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(fn());
		EXPECT_TRUE(child_differs(USED));
		EXPECT_TRUE(restored());
		ASSERT_TRUE(fn());
		EXPECT_TRUE(merged());
	}
}

static bool child_runs(void)
{
	return !child_write(CHILD, addr_of(USED), ~word_at(USED) & 0xff);
}

TEST_F(touch, child_writes)
{
	check_child(_metadata, child_runs);
}

static bool child_runs_new(void)
{
	return child_runs() && !child_write(CHILD, addr_of(UNUSED), 1) &&
	       !child_write(CHILD, addr_of(AT(NEW, 3)), 2);
}

TEST_F(touch, child_writes_new)
{
	check_child(_metadata, child_runs_new);
}

static bool poked(void)
{
	__u64 word = next_word();

	return !poke(CHILD, addr_of(USED), &word, 8);
}

TEST_F(touch, child_poked)
{
	check_child(_metadata, poked);
}

static bool zeroed(void)
{
	return !put_op(CHILD, 0, op_zero(addr_of(USED), PAGE, PROT_RW), NULL);
}

TEST_F(touch, child_zeroed)
{
	check_child(_metadata, zeroed);
}

static bool table_zeroed(void)
{
	return !put_op(CHILD, 0, op_zero(addr_of(AT(1, 0)), HUGE, PROT_RW), NULL);
}

TEST_F(touch, child_table_zeroed)
{
	check_child(_metadata, table_zeroed);
}

static bool zeroed_and_written(void)
{
	return zeroed() && child_runs();
}

TEST_F(touch, child_zeroed_and_writes)
{
	check_child(_metadata, zeroed_and_written);
}

static bool bytes_zeroed(void)
{
	return !put_op(CHILD, 0, op_zero(addr_of(USED), 100, PROT_RW), NULL);
}

TEST_F(touch, child_bytes_zeroed)
{
	check_child(_metadata, bytes_zeroed);
}

static bool perm(int prot)
{
	return !put_op(CHILD, 0, op_perm(addr_of(USED), PAGE, prot), NULL);
}

static bool perm_changed(void)
{
	return perm(0) && perm(PROT_RW) && child_runs();
}

TEST_F(touch, child_perm_and_writes)
{
	check_child(_metadata, perm_changed);
}

/* A page and two tables from elsewhere. */
static bool replaced(void)
{
	struct det_op ops[] = {
		op_copy(make_some(ELSE_AT, 2 * HUGE), addr_of(AT(2, 0)), 2 * HUGE),
		op_copy((char *)ELSE_AT, addr_of(USED), PAGE),
	};

	return !put_ops(CHILD, 0, ops, 2, NULL);
}

TEST_F(touch, child_replaced)
{
	check_child(_metadata, replaced);
}

static bool whole_again(void)
{
	return !put_op(CHILD, 0, op_whole(), NULL) && !probe_into(CHILD) &&
	       child_runs();
}

TEST_F(touch, child_whole)
{
	check_child(_metadata, whole_again);
}

/* Only its permission, or a hole: COPY puts that right. */
TEST_F(touch, child_loses_memory)
{
	__u64 at = addr_of(USED);
	int i;

	for (i = 0; i < 2 * ROUNDS; i++) {
		ASSERT_EQ(0, put_op(CHILD, 0, i & 1 ? op_perm(at, PAGE, PROT_READ) :
						      op_zero(at, PAGE, 0), NULL));
		EXPECT_EQ(PROBE_FAULT, child_write(CHILD, at, 1));
		ASSERT_EQ(0, copy(CHILD));
		EXPECT_TRUE(same(CHILD));
		EXPECT_EQ(0, child_write(CHILD, at, 1));
		EXPECT_TRUE(restored());
	}
}

/* Caller and child, the same page and others. */
TEST_F(touch, both_write)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(child_runs());
		ASSERT_EQ(0, child_write(CHILD, addr_of(AT(2, 7)), 1));
		change(USED);
		change(AT(3, 7));
		EXPECT_TRUE(brought());
	}
}

/* A SNAP that is late: all that came since the last one is in it. */
TEST_F(touch, snap_after_copies)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		change(USED);
		in_sync(CHILD);
		change(UNUSED);
		in_sync(CHILD);
		ASSERT_EQ(0, snap(CHILD));
		EXPECT_TRUE(image_same(CHILD));
		EXPECT_EQ(0, merge(CHILD));
		EXPECT_TRUE(same(CHILD));
		snap_in_sync(CHILD);
		EXPECT_TRUE(image_same(CHILD));
	}
}

/* --- Spaces as parents --- */

/* Copies what it has to its own child, each time it runs. */
static long copies_on(void *arg)
{
	bool ok = !copy(CHILD) && same(CHILD) && !copy(CHILD) && same(CHILD);

	in_sync(CHILD);
	return !ok;
}

static bool nested_runs(void)
{
	struct det_status st;

	return !run_child(SECOND, &st) && is_ret(&st, 0) && same(SECOND);
}

TEST_F(touch, nested_copy)
{
	int i;

	ASSERT_EQ(1, spawn(SECOND, 0, copies_on, NULL, NULL));
	EXPECT_TRUE(nested_runs());
	for (i = 0; i < ROUNDS; i++) {
		in_sync(SECOND);
		EXPECT_TRUE(nested_runs());
		change(USED);
		change(UNUSED + i * PAGE);
		ASSERT_EQ(0, copy(SECOND));
		EXPECT_TRUE(nested_runs());
		change(USED);
		ASSERT_EQ(0, poke(SECOND, addr_of(USED), USED, 8));
		EXPECT_TRUE(nested_runs());
		ASSERT_EQ(0, madvise(AT(1, 0), HUGE, MADV_DONTNEED));
		ASSERT_EQ(0, put_op(SECOND, 0, op_zero(addr_of(AT(1, 0)), HUGE, PROT_RW),
				    NULL));
		EXPECT_TRUE(nested_runs());
		change_used();
		ASSERT_EQ(0, copy(SECOND));
		EXPECT_TRUE(nested_runs());
	}
}

/* Its child writes, and it merges that; its own memory it leaves alone. */
static long merges_on(void *arg)
{
	long ret = fork_space(CHILD, DET_SNAP | DET_START | DET_WAIT, NULL);

	if (!ret) {
		__atomic_add_fetch((__u64 *)USED, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch((__u64 *)UNUSED, 1, __ATOMIC_RELAXED);
		for (;;)
			dret(0);
	}
	return ret == 1 ? merge(CHILD) : ret;
}

TEST_F(touch, nested_merge)
{
	struct det_status st;
	int i;

	ASSERT_EQ(1, spawn(SECOND, 0, merges_on, NULL, NULL));
	for (i = 0; i < ROUNDS; i++) {
		in_sync(SECOND);
		snap_in_sync(SECOND);
		ASSERT_EQ(0, run_child(SECOND, &st));
		ASSERT_RET(0, &st);
		sum = word_at(USED);
		ASSERT_EQ(0, merge(SECOND));
		EXPECT_EQ(sum + 1, word_at(USED));
		EXPECT_EQ(i + 1, word_at(UNUSED));
		EXPECT_TRUE(same(SECOND));
		EXPECT_TRUE(copied());
		in_sync(CHILD);
	}
}

TEST_HARNESS_MAIN
