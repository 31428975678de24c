// SPDX-License-Identifier: GPL-2.0-only
/*
 * COPY: whole pages with their mapping, bytes, whole spaces, images; what it
 * leaves out, what it refuses, and that the two sides are apart afterwards.
 */
#include <linux/userfaultfd.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/rseq.h>

#include "mem.h"

#define PAGES 8
#define LEN (PAGES * PAGE)

/* Child addresses that the caller does not use. */
#define THERE 0x300000000UL

FIXTURE(copy) {
	char *arena;	/* LEN bytes, filled */
};

FIXTURE_SETUP(copy)
{
	NEED_CALLS();
	self->arena = map_rw(LEN);
	fill(self->arena, LEN, 1);
	ASSERT_EQ(0, probe_into(1));
}

FIXTURE_TEARDOWN(copy)
{
}

static int byte_at(const char *p)
{
	return (unsigned char)*p;
}

/* --- Whole pages --- */

TEST_F(copy, same_address)
{
	char *back = map_rw(LEN);

	ASSERT_EQ(0, put_op(1, 0, op_copy(self->arena, addr_of(self->arena),
					  LEN), NULL));
	EXPECT_EQ(byte_at(self->arena),
		  child_read(1, addr_of(self->arena)));
	EXPECT_EQ(byte_at(self->arena + LEN - 1),
		  child_read(1, addr_of(self->arena + LEN - 1)));
	EXPECT_EQ(PROBE_FAULT, child_read(1, addr_of(self->arena) - 1));
	EXPECT_EQ(PROBE_FAULT, child_read(1, addr_of(self->arena) + LEN));
	ASSERT_EQ(0, get_op(1, 0, op_copy(back, addr_of(self->arena), LEN),
			    NULL));
	EXPECT_EQ(0, memcmp(back, self->arena, LEN));
}

TEST_F(copy, other_address)
{
	char *back = map_rw(LEN);

	ASSERT_EQ(0, put_op(1, 0, op_copy(self->arena, THERE, LEN), NULL));
	EXPECT_EQ(byte_at(self->arena + 5), child_read(1, THERE + 5));
	EXPECT_EQ(0, child_write(1, THERE + 6, 0x11));
	EXPECT_EQ(PROBE_FAULT, child_read(1, addr_of(self->arena)));
	ASSERT_EQ(0, get_op(1, 0, op_copy(back, THERE, LEN), NULL));
	EXPECT_EQ(0x11, back[6]);
	back[6] = self->arena[6];
	EXPECT_EQ(0, memcmp(back, self->arena, LEN));
}

/* A page copied to several places, and two pages to one, the last one stays. */
TEST_F(copy, many_to_many)
{
	struct det_op ops[] = {
		op_copy(self->arena, THERE, PAGE),
		op_copy(self->arena, THERE + PAGE, PAGE),
		op_copy(self->arena, THERE + 2 * PAGE, 2 * PAGE),
		op_copy(self->arena + 3 * PAGE, THERE + PAGE, PAGE),
	};

	ASSERT_EQ(0, put_ops(1, 0, ops, ARRAY_SIZE(ops), NULL));
	EXPECT_TRUE(child_has(1, THERE, self->arena, PAGE));
	EXPECT_TRUE(child_has(1, THERE + PAGE, self->arena + 3 * PAGE, PAGE));
	EXPECT_TRUE(child_has(1, THERE + 2 * PAGE, self->arena, 2 * PAGE));
	EXPECT_EQ(0, child_write(1, THERE, 1));
	EXPECT_TRUE(child_has(1, THERE + 2 * PAGE, self->arena, 2 * PAGE));
}

TEST_F(copy, holes_travel)
{
	char *a = self->arena;

	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE, LEN, PROT_RW), NULL));
	ASSERT_EQ(0, munmap(a + 2 * PAGE, PAGE));
	ASSERT_EQ(0, put_op(1, 0, op_copy(a, THERE, LEN), NULL));
	EXPECT_EQ(byte_at(a + 2 * PAGE - 1),
		  child_read(1, THERE + 2 * PAGE - 1));
	EXPECT_EQ(PROBE_FAULT, child_read(1, THERE + 2 * PAGE));
	EXPECT_EQ(PROBE_FAULT, child_read(1, THERE + 3 * PAGE - 1));
	EXPECT_EQ(byte_at(a + 3 * PAGE), child_read(1, THERE + 3 * PAGE));
}

TEST_F(copy, holes_travel_back)
{
	char *back = map_rw(LEN);

	fill(back, LEN, 2);
	ASSERT_EQ(0, put_op(1, 0, op_copy(self->arena, THERE, LEN), NULL));
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE + PAGE, PAGE, 0), NULL));
	ASSERT_EQ(0, get_op(1, 0, op_copy(back, THERE, LEN), NULL));
	EXPECT_EQ(0, memcmp(back, self->arena, PAGE));
	EXPECT_STREQ("", perm_at(getpid(), addr_of(back + PAGE)));
	EXPECT_EQ(0, memcmp(back + 2 * PAGE, self->arena + 2 * PAGE,
			    LEN - 2 * PAGE));
}

/* Where the caller has nothing, dget's whole pages make memory. */
TEST_F(copy, back_into_nothing)
{
	char *hole = map_rw(LEN);

	ASSERT_EQ(0, munmap(hole, LEN));
	ASSERT_EQ(0, put_op(1, 0, op_copy(self->arena, THERE, LEN), NULL));
	ASSERT_EQ(0, get_op(1, 0, op_copy(hole, THERE, LEN), NULL));
	EXPECT_STREQ("rw-p", perm_at(getpid(), addr_of(hole)));
	EXPECT_EQ(0, memcmp(hole, self->arena, LEN));
	hole[3] = 1;
	EXPECT_TRUE(child_has(1, THERE, self->arena, LEN));
}

/* --- Permissions --- */

TEST_F(copy, permissions_travel)
{
	static const char ret_42[] = "\xb8\x2a\0\0\0\xc3"; /* mov $42,%eax; ret */
	char *a = self->arena;

	memcpy(a + 2 * PAGE, ret_42, sizeof(ret_42));
	memcpy(a + 3 * PAGE, ret_42, sizeof(ret_42));
	ASSERT_EQ(0, mprotect(a + PAGE, PAGE, PROT_READ));
	ASSERT_EQ(0, mprotect(a + 2 * PAGE, PAGE, PROT_READ | PROT_EXEC));
	ASSERT_EQ(0, mprotect(a + 4 * PAGE, PAGE, PROT_NONE));
	ASSERT_EQ(0, put_op(1, 0, op_copy(a, THERE, LEN), NULL));

	EXPECT_EQ(0, child_write(1, THERE, 1));
	EXPECT_EQ(byte_at(a + PAGE), child_read(1, THERE + PAGE));
	EXPECT_EQ(PROBE_FAULT, child_write(1, THERE + PAGE, 1));
	EXPECT_EQ(42, child_call(1, THERE + 2 * PAGE));
	EXPECT_EQ(PROBE_FAULT, child_write(1, THERE + 2 * PAGE, 1));
	EXPECT_EQ(PROBE_FAULT, child_call(1, THERE + 3 * PAGE));
	EXPECT_EQ(PROBE_FAULT, child_read(1, THERE + 4 * PAGE));
	EXPECT_EQ(PROBE_FAULT, child_write(1, THERE + 4 * PAGE, 1));
	EXPECT_EQ(0, child_write(1, THERE + 5 * PAGE, 1));
}

TEST_F(copy, permissions_travel_back)
{
	char *back = map_rw(LEN);
	pid_t me = getpid();

	ASSERT_EQ(0, put_op(1, 0, op_copy(self->arena, THERE, LEN), NULL));
	ASSERT_EQ(0, put_op(1, 0, op_perm(THERE + PAGE, PAGE, PROT_READ),
			    NULL));
	ASSERT_EQ(0, put_op(1, 0, op_perm(THERE + 2 * PAGE, PAGE, 0), NULL));
	ASSERT_EQ(0, get_op(1, 0, op_copy(back, THERE, LEN), NULL));
	EXPECT_STREQ("rw-p", perm_at(me, addr_of(back)));
	EXPECT_STREQ("r--p", perm_at(me, addr_of(back + PAGE)));
	EXPECT_STREQ("---p", perm_at(me, addr_of(back + 2 * PAGE)));
	EXPECT_STREQ("rw-p", perm_at(me, addr_of(back + 3 * PAGE)));
	ASSERT_EQ(0, mprotect(back, LEN, PROT_RW));
	EXPECT_EQ(0, memcmp(back, self->arena, LEN));
}

/* Contents without any permission survive two copies, there and back. */
TEST_F(copy, revoked_contents_survive)
{
	char *back = map_rw(LEN), *want = map_rw(LEN);

	memcpy(want, self->arena, LEN);
	ASSERT_EQ(0, mprotect(self->arena, LEN, PROT_NONE));
	ASSERT_EQ(0, put_op(1, 0, op_copy(self->arena, THERE, LEN), NULL));
	EXPECT_EQ(PROBE_FAULT, child_read(1, THERE));
	ASSERT_EQ(0, get_op(1, 0, op_copy(back, THERE, LEN), NULL));
	EXPECT_STREQ("---p", perm_at(getpid(), addr_of(back)));
	ASSERT_EQ(0, mprotect(back, LEN, PROT_READ));
	EXPECT_EQ(0, memcmp(back, want, LEN));
	ASSERT_EQ(0, put_op(1, 0, op_perm(THERE, LEN, PROT_READ), NULL));
	EXPECT_EQ(byte_at(want), child_read(1, THERE));
}

/* --- Bytes --- */

TEST_F(copy, unequal_offset)
{
	unsigned long len = 3 * PAGE + 7;

	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE, LEN, PROT_RW), NULL));
	ASSERT_EQ(0, put_op(1, 0, op_copy(self->arena + 5, THERE + 9, len),
			    NULL));
	EXPECT_TRUE(child_has(1, THERE + 9, self->arena + 5, len));
	EXPECT_EQ(0, child_read(1, THERE + 8));
	EXPECT_EQ(0, child_read(1, THERE + 9 + len));
}

TEST_F(copy, unequal_offset_back)
{
	unsigned long len = 3 * PAGE + 7;
	char *back = map_rw(LEN);

	ASSERT_EQ(0, put_op(1, 0, op_copy(self->arena, THERE, LEN), NULL));
	ASSERT_EQ(0, get_op(1, 0, op_copy(back + 9, THERE + 5, len), NULL));
	EXPECT_EQ(0, memcmp(back + 9, self->arena + 5, len));
	EXPECT_TRUE(all_bytes(back, 0, 9));
	EXPECT_TRUE(all_bytes(back + 9 + len, 0, LEN - 9 - len));
}

/* Equal offset, but the range begins and ends within pages. */
TEST_F(copy, partial_ends)
{
	char *want = map_rw(LEN), *back = map_rw(LEN);

	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE, LEN, PROT_RW), NULL));
	ASSERT_EQ(0, put_op(1, 0, op_copy(self->arena + 100, THERE + 100,
					  3 * PAGE), NULL));
	memcpy(want + 100, self->arena + 100, 3 * PAGE);
	EXPECT_TRUE(child_has(1, THERE, want, LEN));
	ASSERT_EQ(0, get_op(1, 0, op_copy(back + 200, THERE + 200, 3 * PAGE),
			    NULL));
	EXPECT_TRUE(all_bytes(back, 0, 200));
	EXPECT_EQ(0, memcmp(back + 200, want + 200, 3 * PAGE));
	EXPECT_TRUE(all_bytes(back + 200 + 3 * PAGE, 0, LEN - 200 - 3 * PAGE));
}

/* Only the partial pages must be there and writable in the child. */
TEST_F(copy, partial_ends_need_memory)
{
	struct det_status st;
	long ret;

	ret = put_op(1, 0, op_copy(self->arena + 100, THERE + 100, 3 * PAGE),
		     &st);
	EXPECT_OP_ERR_AT(EFAULT, 0, THERE + 100, ret, &st);
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE, PAGE, PROT_RW), NULL));
	ret = put_op(1, 0, op_copy(self->arena + 100, THERE + 100, 3 * PAGE),
		     &st);
	EXPECT_OP_ERR_AT(EFAULT, 0, THERE + 3 * PAGE, ret, &st);
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE + 3 * PAGE, PAGE, PROT_RW),
			    NULL));
	EXPECT_EQ(0, put_op(1, 0, op_copy(self->arena + 100, THERE + 100,
					  3 * PAGE), NULL));
	EXPECT_TRUE(child_has(1, THERE + 100, self->arena + 100, 3 * PAGE));
}

TEST_F(copy, bytes_need_writable_memory)
{
	struct det_status st;
	long ret;

	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE, PAGE, PROT_RW), NULL));
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE + PAGE, PAGE, PROT_READ),
			    NULL));
	ret = put_op(1, 0, op_copy(self->arena + 1, THERE, 2 * PAGE), &st);
	EXPECT_OP_ERR_AT(EFAULT, 0, THERE + PAGE, ret, &st);
	EXPECT_EQ(0, child_read(1, THERE + PAGE));
	ret = put_op(1, 0, op_copy(self->arena + 1, THERE + PAGE + 8, 8), &st);
	EXPECT_OP_ERR_AT(EFAULT, 0, THERE + PAGE + 8, ret, &st);
}

TEST_F(copy, bytes_back_need_writable_memory)
{
	char *back = map_rw(2 * PAGE);
	struct det_status st;
	long ret;

	ASSERT_EQ(0, put_op(1, 0, op_copy(self->arena, THERE, LEN), NULL));
	ASSERT_EQ(0, mprotect(back + PAGE, PAGE, PROT_READ));
	ret = get_op(1, 0, op_copy(back, THERE + 1, 2 * PAGE), &st);
	EXPECT_OP_ERR_AT(EFAULT, 0, back + PAGE, ret, &st);
	EXPECT_TRUE(all_bytes(back + PAGE, 0, PAGE));
	ASSERT_EQ(0, munmap(back + PAGE, PAGE));
	ret = get_op(1, 0, op_copy(back, THERE + 1, 2 * PAGE), &st);
	EXPECT_OP_ERR_AT(EFAULT, 0, back + PAGE, ret, &st);
	EXPECT_TRUE(child_has(1, THERE, self->arena, LEN));
}

/* Bytes can only come from memory that is there. */
TEST_F(copy, bytes_from_nowhere)
{
	char *back = map_rw(2 * PAGE);
	struct det_status st;
	long ret;

	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE, 2 * PAGE, PROT_RW), NULL));
	ASSERT_EQ(0, munmap(self->arena + PAGE, PAGE));
	ret = put_op(1, 0, op_copy(self->arena + PAGE - 8, THERE, 16), &st);
	EXPECT_OP_ERR(EFAULT, 0, ret, &st);
	ret = get_op(1, 0, op_copy(back, THERE + 2 * PAGE - 8, 16), &st);
	EXPECT_OP_ERR(EFAULT, 0, ret, &st);
	/* At the very beginning, where whole pages would end at 0. */
	ret = put_op(1, 0, op_copy(NULL, THERE, 100), &st);
	EXPECT_OP_ERR(EFAULT, 0, ret, &st);
}

TEST_F(copy, length_zero)
{
	EXPECT_EQ(0, put_op(1, 0, op_copy(NULL, 0, 0), NULL));
	EXPECT_EQ(0, put_op(DET_SELF, 0, op_copy(NULL, THERE, 0), NULL));
	EXPECT_EQ(0, put_op(1, 0, op_copy(self->arena, THERE, 0), NULL));
	EXPECT_EQ(0, put_op(1, 0, op_copy(self->arena, THERE + 3, 0), NULL));
	EXPECT_EQ(0, get_op(1, 0, op_copy(self->arena, THERE, 0), NULL));
	EXPECT_EQ(PROBE_FAULT, child_read(1, THERE));
}

/* --- Apart afterwards --- */

TEST_F(copy, isolation)
{
	char *a = self->arena, *want = map_rw(LEN), *back = map_rw(LEN);
	struct det_op op = op_copy(a, THERE, LEN);
	unsigned int i;

	memcpy(want, a, LEN);
	ASSERT_EQ(0, probe_into(2));
	ASSERT_EQ(0, put_op(1, 0, op, NULL));
	ASSERT_EQ(0, put_op(2, 0, op, NULL));
	for (i = 0; i < PAGES; i++) {
		a[i * PAGE] ^= 1;
		EXPECT_EQ(0, child_write(1, THERE + i * PAGE + 1, 0x5a));
	}
	EXPECT_TRUE(child_has(2, THERE, want, LEN));
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(byte_at(want + i * PAGE + 1),
			  byte_at(a + i * PAGE + 1));
		EXPECT_EQ(byte_at(want + i * PAGE),
			  child_read(1, THERE + i * PAGE));
	}
	/* What came back is the caller's alone, too. */
	ASSERT_EQ(0, get_op(2, 0, op_copy(back, THERE, LEN), NULL));
	EXPECT_EQ(0, child_write(2, THERE, want[0] ^ 3));
	EXPECT_EQ(byte_at(want), byte_at(back));
	back[1] ^= 1;
	EXPECT_EQ(byte_at(want + 1), child_read(2, THERE + 1));
}

/* --- Files and shared memory --- */

static int temp_file(const void *data, size_t len)
{
	int fd = memfd_create("copy_test", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, len) != (ssize_t)len)
		abort();
	return fd;
}

/* Nobody outside the tree can write what a child has mapped. */
TEST_F(copy, private_file_pages)
{
	char *f, *want = map_rw(LEN);
	int fd;

	memcpy(want, self->arena, LEN);
	fd = temp_file(want, LEN);
	f = map_at(NULL, LEN, PROT_RW, MAP_PRIVATE, fd);
	f[PAGE] = ~want[PAGE];		/* one page is the caller's own already */
	ASSERT_EQ(0, put_op(1, 0, op_copy(f, THERE, LEN), NULL));
	ASSERT_EQ(1, pwrite(fd, "!", 1, 0));
	ASSERT_EQ(1, pwrite(fd, "!", 1, LEN - 1));
	ASSERT_EQ(0, ftruncate(fd, PAGE));
	want[PAGE] = ~want[PAGE];
	EXPECT_TRUE(child_has(1, THERE, want, LEN));
	EXPECT_EQ(byte_at(want), child_read(1, THERE));
	EXPECT_EQ(byte_at(want + LEN - 1), child_read(1, THERE + LEN - 1));
	EXPECT_EQ(0, child_write(1, THERE, 7));
}

TEST_F(copy, read_only_file_pages)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	char *f;

	ASSERT_LE(0, fd);
	f = map_at(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, fd);
	ASSERT_EQ(0, put_op(1, 0, op_copy(f, THERE, 2 * PAGE), NULL));
	EXPECT_EQ(0x7f, child_read(1, THERE));
	EXPECT_EQ('E', child_read(1, THERE + 1));
	EXPECT_EQ(PROBE_FAULT, child_write(1, THERE, 1));
	EXPECT_TRUE(child_has(1, THERE, f, 2 * PAGE));
}

/* Past the end of a file there is nothing to copy, and no SIGBUS either. */
TEST_F(copy, past_the_end_of_a_file)
{
	int fd = temp_file(self->arena, PAGE), what;
	struct det_status st;
	char *f;
	long ret;

	f = map_at(NULL, 2 * PAGE, PROT_RW, MAP_PRIVATE, fd);
	ret = put_op(1, 0, op_copy(f, THERE, 2 * PAGE), &st);
	if (ret) {
		EXPECT_OP_ERR_AT(EFAULT, 0, f + PAGE, ret, &st);
	} else {
		what = child_read(1, THERE + PAGE);
		EXPECT_TRUE(what == PROBE_FAULT || what == 0);
	}
	EXPECT_EQ(byte_at(self->arena), byte_at(f));
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE, PAGE, PROT_RW), NULL));
	EXPECT_EQ(0, child_write(1, THERE, 9));
}

static long seven(void *arg)
{
	return 7;
}

/* The program's own text, at its place, runs there. */
TEST_F(copy, own_text)
{
	unsigned long from = addr_of(__executable_start) & -PAGE;
	unsigned long to = (addr_of(etext) + PAGE - 1) & -PAGE;

	ASSERT_EQ(0, put_op(1, 0, op_copy((void *)from, from, to - from),
			    NULL));
	EXPECT_EQ(7, child_call(1, addr_of(seven)));
	EXPECT_EQ(PROBE_FAULT, child_write(1, addr_of(seven), 1));
}

static void check_shared(struct __test_metadata *_metadata, char *shared,
			 const char *arena)
{
	struct det_status st;
	long ret;

	ret = put_op(1, 0, op_copy(shared, THERE, LEN), &st);
	EXPECT_OP_ERR_AT(EFAULT, 0, THERE, ret, &st);
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE, LEN, PROT_RW), NULL));
	ASSERT_EQ(0, put_op(1, 0, op_copy(shared, THERE, LEN), NULL));
	memset(shared, 0, LEN);
	EXPECT_TRUE(child_has(1, THERE, arena, LEN));
	EXPECT_EQ(0, child_write(1, THERE, 1));
	EXPECT_EQ(0, shared[0]);
	ASSERT_EQ(0, put_op(1, 0, op_perm(THERE, LEN, PROT_READ), NULL));
	ret = put_op(1, 0, op_copy(shared, THERE, LEN), &st);
	EXPECT_OP_ERR_AT(EFAULT, 0, THERE, ret, &st);
}

TEST_F(copy, shared_memory_is_bytes)
{
	char *shared = map_at(NULL, LEN, PROT_RW, MAP_SHARED | MAP_ANONYMOUS,
			      -1);

	memcpy(shared, self->arena, LEN);
	check_shared(_metadata, shared, self->arena);
}

TEST_F(copy, shared_file_is_bytes)
{
	int fd = temp_file(self->arena, LEN);

	check_shared(_metadata, map_at(NULL, LEN, PROT_RW, MAP_SHARED, fd),
		     self->arena);
}

/* What dget writes into the caller's shared memory, the others see. */
TEST_F(copy, bytes_back_into_shared_memory)
{
	char *zeros = map_rw(LEN);
	int fd = temp_file(zeros, LEN);
	char *shared = map_at(NULL, LEN, PROT_RW, MAP_SHARED, fd), c;

	ASSERT_EQ(0, put_op(1, 0, op_copy(self->arena, THERE, LEN), NULL));
	ASSERT_EQ(0, get_op(1, 0, op_copy(shared + 1, THERE, 99), NULL));
	EXPECT_EQ(0, memcmp(shared + 1, self->arena, 99));
	ASSERT_EQ(1, pread(fd, &c, 1, 1));
	EXPECT_EQ(self->arena[0], c);
}

/* --- Huge pages --- */

TEST_F(copy, huge_pages)
{
	unsigned long there = 0x400000000UL, i;
	char *huge = map_huge(2 * HUGE), *back = map_rw(LEN);

	for (i = 0; i < 2 * HUGE; i += PAGE)
		huge[i] = i / PAGE;
	/* At a huge page's place, beside it, and a part of one. */
	ASSERT_EQ(0, put_op(1, 0, op_copy(huge, there, 2 * HUGE), NULL));
	ASSERT_EQ(0, put_op(1, 0, op_copy(huge, there + 4 * HUGE + PAGE,
					  2 * HUGE), NULL));
	ASSERT_EQ(0, put_op(1, 0, op_copy(huge + 3 * PAGE, there + 8 * HUGE,
					  LEN), NULL));
	huge[HUGE] = 99;
	for (i = 0; i < 2 * HUGE; i += 37 * PAGE) {
		EXPECT_EQ(i / PAGE % 256, child_read(1, there + i));
		EXPECT_EQ(i / PAGE % 256,
			  child_read(1, there + 4 * HUGE + PAGE + i));
	}
	EXPECT_EQ(0, child_read(1, there + HUGE));
	EXPECT_EQ(4, child_read(1, there + 8 * HUGE + PAGE));
	EXPECT_EQ(0, child_write(1, there + 5 * PAGE, 77));
	EXPECT_EQ(5, huge[5 * PAGE]);
	ASSERT_EQ(0, get_op(1, 0, op_copy(back, there, LEN), NULL));
	EXPECT_EQ(77, back[5 * PAGE]);
	EXPECT_EQ(6, back[6 * PAGE]);
}

/* A part of a huge page, beside other memory of the child's. */
static void check_part(struct __test_metadata *_metadata, const char *huge)
{
	unsigned long there = 0x400000000UL, half = HUGE / 2;

	ASSERT_EQ(0, put_op(1, 0, op_zero(there, HUGE, PROT_RW), NULL));
	EXPECT_EQ(0, child_write(1, there + 5, 0x77));
	EXPECT_EQ(0, child_write(1, there + HUGE - 5, 0x78));
	ASSERT_EQ(0, put_op(1, 0, op_copy(huge + half / 2, there + half / 2,
					  half), NULL));
	EXPECT_EQ(0x77, child_read(1, there + 5));
	EXPECT_EQ(0x78, child_read(1, there + HUGE - 5));
	EXPECT_EQ(0, child_read(1, there + half / 2 - 1));
	EXPECT_EQ(0, child_read(1, there + half / 2 + half));
	EXPECT_TRUE(child_has(1, there + half / 2, huge + half / 2, half));
	/* And where the child has nothing else. */
	there += 16 * HUGE;
	ASSERT_EQ(0, put_op(1, 0, op_copy(huge, there, half), NULL));
	EXPECT_TRUE(child_has(1, there, huge, half));
	EXPECT_EQ(PROBE_FAULT, child_read(1, there + half));
	ASSERT_EQ(0, put_op(1, 0, op_zero(there + half, half, PROT_RW), NULL));
	EXPECT_EQ(0, child_read(1, there + half));
	EXPECT_EQ(0, child_read(1, there + HUGE - 1));
}

TEST_F(copy, part_of_a_huge_page)
{
	char *huge = map_huge(HUGE);

	fill(huge, HUGE, 4);
	check_part(_metadata, huge);
}

/* The same into the midst of a huge page of the child's own. */
static void check_part_into(struct __test_metadata *_metadata, char *huge,
			    const char *from)
{
	unsigned long half = HUGE / 2;

	ASSERT_EQ(0, put_op(1, 0, op_copy(huge, addr_of(huge), HUGE), NULL));
	EXPECT_EQ(0, child_write(1, addr_of(huge) + 5, 0x77));
	EXPECT_EQ(0, child_write(1, addr_of(huge) + HUGE - 5, 0x78));
	ASSERT_EQ(0, put_op(1, 0, op_copy(from + half / 2,
					  addr_of(huge) + half / 2, half),
			    NULL));
	EXPECT_EQ(0x77, child_read(1, addr_of(huge) + 5));
	EXPECT_EQ(0x78, child_read(1, addr_of(huge) + HUGE - 5));
	EXPECT_TRUE(child_has(1, addr_of(huge) + half / 2, from + half / 2,
			      half));
}

TEST_F(copy, part_into_a_huge_page)
{
	char *huge = map_huge(HUGE), *from = map_huge(HUGE);

	fill(from, HUGE, 4);
	check_part_into(_metadata, huge, from);
	check_part_into(_metadata, from, from);
}

TEST_F(copy, part_of_zeros_into_a_huge_page)
{
	char *huge = map_huge(HUGE), *from = map_huge(HUGE);

	/* Read before the child has a huge page of its own, and after that. */
	ASSERT_TRUE(all_bytes(from, 0, HUGE));
	check_part_into(_metadata, huge, from);
	check_part_into(_metadata, from, from);
	ASSERT_TRUE(all_bytes(huge, 0, HUGE));
	check_part_into(_metadata, huge, huge);
}

/* One that was only read is the kernel's huge page of zeros. */
TEST_F(copy, part_of_the_huge_zero_page)
{
	char *huge = map_huge(HUGE);

	ASSERT_TRUE(all_bytes(huge, 0, HUGE));
	check_part(_metadata, huge);
	ASSERT_TRUE(all_bytes(huge, 0, HUGE));
}

/* Few pages out of a huge one: exactly these, and nothing beside them. */
TEST_F(copy, pages_of_a_huge_page)
{
	unsigned long at = HUGE / 2 + 5 * PAGE;
	char *huge = map_huge(HUGE);
	int i;

	fill(huge, HUGE, 6);
	madvise(huge, HUGE, MADV_COLLAPSE);
	ASSERT_EQ(0, put_op(1, 0, op_copy(huge + PAGE, addr_of(huge) + PAGE,
					  PAGE), NULL));
	ASSERT_EQ(0, put_op(1, 0, op_copy(huge + at, addr_of(huge) + at,
					  3 * PAGE), NULL));
	EXPECT_TRUE(child_has(1, addr_of(huge) + PAGE, huge + PAGE, PAGE));
	EXPECT_TRUE(child_has(1, addr_of(huge) + at, huge + at, 3 * PAGE));
	EXPECT_EQ(PROBE_FAULT, child_read(1, addr_of(huge)));
	EXPECT_EQ(PROBE_FAULT, child_read(1, addr_of(huge) + 2 * PAGE));
	EXPECT_EQ(PROBE_FAULT, child_read(1, addr_of(huge) + at - 1));
	EXPECT_EQ(PROBE_FAULT, child_read(1, addr_of(huge) + at + 3 * PAGE));
	/* Then all of it, again and again: what the child wrote goes. */
	for (i = 0; i < 50; i++) {
		madvise(huge, HUGE, MADV_COLLAPSE);
		ASSERT_EQ(0, put_op(1, 0, op_copy(huge, addr_of(huge), HUGE),
				    NULL));
		ASSERT_EQ(byte_at(huge + i), child_read(1, addr_of(huge) + i));
		ASSERT_EQ(0, child_write(1, addr_of(huge) + i + 1, i));
		huge[i] ^= i;
	}
	huge[i - 1] ^= i - 1;
	huge[i] = i - 1;
	EXPECT_TRUE(child_has(1, addr_of(huge), huge, HUGE));
}

TEST_F(copy, huge_pages_back)
{
	char *huge = map_huge(HUGE), *back = map_huge(HUGE);

	fill(huge, HUGE, 3);
	memset(back, 1, HUGE);
	ASSERT_EQ(0, put_op(1, 0, op_copy(huge, 0x400000000UL, HUGE), NULL));
	ASSERT_EQ(0, get_op(1, 0, op_copy(back, 0x400000000UL, HUGE), NULL));
	EXPECT_EQ(0, memcmp(back, huge, HUGE));
	memset(huge, 0, HUGE);
	EXPECT_EQ(byte_at(back), child_read(1, 0x400000000UL));
}

/* --- Pages that are not there --- */

TEST_F(copy, swapped_pages)
{
	char *want = self->arena, *back, *a;

	if (!enter_cgroup())
		SKIP(return, "no swap space or no cgroup");
	a = map_rw(LEN);
	back = map_rw(LEN);
	memcpy(a, want, LEN);
	swap_out();
	EXPECT_TRUE(is_swapped(getpid()));
	ASSERT_EQ(0, put_op(2, 0, op_copy(a, THERE, LEN), NULL));
	ASSERT_EQ(0, probe_into(2));
	EXPECT_EQ(byte_at(want), child_read(2, THERE));
	EXPECT_EQ(0, child_write(2, THERE + PAGE, 1));
	EXPECT_EQ(0, memcmp(want, a, LEN));
	swap_out();
	EXPECT_TRUE(is_swapped(space_pid(getpid(), 2)));
	ASSERT_EQ(0, get_op(2, 0, op_copy(back, THERE, LEN), NULL));
	EXPECT_EQ(1, back[PAGE]);
	back[PAGE] = want[PAGE];
	EXPECT_EQ(0, memcmp(want, back, LEN));
	swap_out();
	EXPECT_EQ(1, child_read(2, THERE + PAGE));
	EXPECT_EQ(byte_at(want + 2 * PAGE), child_read(2, THERE + 2 * PAGE));
	EXPECT_EQ(0, kill_child(2));
	leave_cgroup();
}

/*
 * What the caller gave back with MADV_FREE and is still there is the space's:
 * reclaim takes such pages from an ordinary process.
 */
TEST_F(copy, pages_given_back)
{
	char *was, *a;

	if (!enter_cgroup())
		SKIP(return, "no swap space or no cgroup");
	was = map_rw(LEN);
	a = map_rw(LEN);
	memcpy(a, self->arena, LEN);
	ASSERT_EQ(0, madvise(a, LEN, MADV_FREE));
	/* From the lists of each CPU to that of pages that may go. */
	write_file("/proc/sys/vm/compact_memory", "1", 1, 0);
	ASSERT_EQ(0, put_op(2, 0, op_copy(a, THERE, LEN), NULL));
	ASSERT_EQ(0, put_op(3, 0, op_copy(a, addr_of(a), LEN), NULL));
	ASSERT_EQ(0, get_op(3, 0, op_copy(was, addr_of(a), LEN), NULL));
	munmap(a, LEN);
	swap_out();
	EXPECT_TRUE(child_has(3, addr_of(a), was, LEN));
	EXPECT_TRUE(child_has(2, THERE, was, LEN));
	EXPECT_EQ(0, memcmp(was, self->arena, LEN));
	EXPECT_EQ(0, kill_child(2));
	EXPECT_EQ(0, kill_child(3));
	leave_cgroup();
}

/* --- Whole spaces --- */

static int global = 1;
static __thread int tls = 2;

struct whole {
	char *anon, *shared, *file, *heap;
};

static long look_around(void *arg)
{
	struct whole *w = arg;

	if (global != 10 || tls != 20)
		return 1;
	if (w->anon[0] != 3 || w->shared[0] != 4 || w->file[0] != 5 ||
	    w->heap[0] != 6)
		return 2;
	global = 11;
	tls = 21;
	w->anon[0] = 13;
	w->shared[0] = 14;
	w->file[0] = 15;
	w->heap[0] = 16;
	return 99;
}

/* Stack, data, TLS, heap, anonymous, shared and file memory, all its own. */
TEST_F(copy, whole)
{
	int fd = temp_file(self->arena, PAGE);
	struct det_status st;
	struct whole w = {
		.anon = map_rw(PAGE),
		.shared = map_at(NULL, PAGE, PROT_RW,
				 MAP_SHARED | MAP_ANONYMOUS, -1),
		.file = map_at(NULL, PAGE, PROT_RW, MAP_SHARED, fd),
		.heap = malloc(100),
	};

	global = 10;
	tls = 20;
	w.anon[0] = 3;
	w.shared[0] = 4;
	w.file[0] = 5;
	w.heap[0] = 6;
	ASSERT_EQ(1, spawn(1, DET_START | DET_WAIT, look_around, &w, &st));
	EXPECT_RET(99, &st);
	EXPECT_EQ(10, global);
	EXPECT_EQ(20, tls);
	EXPECT_EQ(3, w.anon[0]);
	EXPECT_EQ(4, w.shared[0]);
	EXPECT_EQ(5, w.file[0]);
	EXPECT_EQ(6, w.heap[0]);
	/* The child's are private now, so that they can be copied as pages. */
	ASSERT_EQ(0, get_op(1, 0, op_copy(w.anon, addr_of(w.shared), PAGE),
			    NULL));
	EXPECT_EQ(14, w.anon[0]);
	ASSERT_EQ(0, get_op(1, 0, op_copy(w.anon, addr_of(w.file), PAGE),
			    NULL));
	EXPECT_EQ(15, w.anon[0]);
}

TEST_F(copy, whole_empties_first)
{
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE, LEN, PROT_RW), NULL));
	ASSERT_EQ(0, put_op(1, 0, op_whole(), NULL));
	ASSERT_EQ(0, probe_into(1));
	EXPECT_EQ(PROBE_FAULT, child_read(1, THERE));
	EXPECT_EQ(byte_at(self->arena), child_read(1, addr_of(self->arena)));
	EXPECT_EQ(0, child_write(1, addr_of(self->arena), 1));
	ASSERT_EQ(0, put_op(1, 0, op_whole(), NULL));
	ASSERT_EQ(0, probe_into(1));
	EXPECT_EQ(byte_at(self->arena), child_read(1, addr_of(self->arena)));
}

TEST_F(copy, whole_permissions)
{
	ASSERT_EQ(0, mprotect(self->arena, PAGE, PROT_READ));
	ASSERT_EQ(0, mprotect(self->arena + PAGE, PAGE, PROT_NONE));
	ASSERT_EQ(0, put_op(1, 0, op_whole(), NULL));
	ASSERT_EQ(0, probe_into(1));
	EXPECT_EQ(byte_at(self->arena), child_read(1, addr_of(self->arena)));
	EXPECT_EQ(PROBE_FAULT, child_write(1, addr_of(self->arena), 1));
	EXPECT_EQ(PROBE_FAULT, child_read(1, addr_of(self->arena) + PAGE));
	EXPECT_EQ(0, child_write(1, addr_of(self->arena) + 2 * PAGE, 1));
}

TEST_F(copy, whole_leaves_out)
{
	char *gone = map_rw(PAGE), *wiped = map_rw(2 * PAGE);
	__u64 vdso = getauxval(AT_SYSINFO_EHDR), start, end;
	pid_t pid;

	gone[0] = 1;
	wiped[0] = 1;
	ASSERT_EQ(0, madvise(gone, PAGE, MADV_DONTFORK));
	ASSERT_EQ(0, madvise(wiped, PAGE, MADV_WIPEONFORK));
	wiped[PAGE] = 2;
	ASSERT_EQ(0, put_op(1, 0, op_whole(), NULL));
	ASSERT_EQ(0, probe_into(1));
	EXPECT_EQ(PROBE_FAULT, child_read(1, addr_of(gone)));
	EXPECT_EQ(0, child_read(1, addr_of(wiped)));
	EXPECT_EQ(0, child_write(1, addr_of(wiped), 1));
	EXPECT_EQ(2, child_read(1, addr_of(wiped) + PAGE));

	if (vdso)
		EXPECT_EQ(PROBE_FAULT, child_read(1, vdso));
	if (find_map(getpid(), "[vvar", &start, &end))
		EXPECT_EQ(PROBE_FAULT, child_read(1, start));
	pid = space_pid(getpid(), 1);
	ASSERT_NE(0, pid);
	EXPECT_FALSE(find_map(pid, "[vdso", &start, &end));
	EXPECT_FALSE(find_map(pid, "[vvar", &start, &end));
}

/* A child's stack does not grow: whoever wants more maps more. */
TEST_F(copy, whole_stack_stands)
{
	__u64 start = 0, end = 0;

	ASSERT_TRUE(find_map(getpid(), "[stack]", &start, &end));
	ASSERT_EQ(0, put_op(1, 0, op_whole(), NULL));
	ASSERT_EQ(0, probe_into(1));
	EXPECT_EQ(0, child_write(1, end - 64, 1));
	EXPECT_EQ(PROBE_FAULT, child_write(1, start - 64, 1));
}

/* Nor does the range of a stack that was copied as such. */
TEST_F(copy, stack_by_range)
{
	__u64 start = 0, end = 0;

	ASSERT_TRUE(find_map(getpid(), "[stack]", &start, &end));
	ASSERT_EQ(0, put_op(1, 0, op_copy((void *)start, start, end - start),
			    NULL));
	EXPECT_EQ(0, child_write(1, start, 1));
	EXPECT_EQ(PROBE_FAULT, child_write(1, start - 64, 1));
	EXPECT_EQ(PROBE_FAULT, child_write(1, start - PAGE, 1));
}

/* The kernel had written the CPU number there: not for a space to see. */
TEST_F(copy, whole_rseq_area)
{
	struct rseq_words { __u32 start, cpu; __u64 cs; __u32 flags, node, cid; };
	struct rseq_words here, there = {};
	__u64 area;

	if (!__rseq_size)
		SKIP(return, "libc registers no rseq area");
	area = addr_of(__builtin_thread_pointer()) + __rseq_offset;
	memcpy(&here, (void *)area, sizeof(here));
	if ((int)here.cpu < 0)
		SKIP(return, "rseq is not in use");
	ASSERT_EQ(0, put_op(1, 0, op_whole(), NULL));
	ASSERT_EQ(0, peek(1, area, &there, sizeof(there)));
	EXPECT_EQ(0, there.start);
	EXPECT_EQ((__u32)RSEQ_CPU_ID_UNINITIALIZED, there.cpu);
	EXPECT_EQ(0, there.cs);
	EXPECT_EQ(0, there.node);
	EXPECT_EQ(0, there.cid);
}

/* A thread's word that the kernel would write may lie across two pages. */
TEST_F(copy, whole_thread_id_across_pages)
{
	char *word = self->arena + PAGE - 1, *want = map_rw(LEN);

	memcpy(want, self->arena, LEN);
	memset(want + PAGE - 1, 0, sizeof(int));
	syscall(__NR_set_tid_address, word);
	ASSERT_EQ(0, put_op(1, 0, op_whole(), NULL));
	ASSERT_EQ(0, probe_into(1));
	EXPECT_TRUE(child_has(1, addr_of(self->arena), want, LEN));
	EXPECT_NE(0, memcmp(self->arena, want, LEN));
	/* And even if one of them is not there, or cannot be written. */
	ASSERT_EQ(0, mprotect(self->arena, PAGE, PROT_READ));
	EXPECT_EQ(0, put_op(1, 0, op_whole(), NULL));
	ASSERT_EQ(0, munmap(self->arena + PAGE, PAGE));
	EXPECT_EQ(0, put_op(1, 0, op_whole(), NULL));
	ASSERT_EQ(0, munmap(self->arena, PAGE));
	EXPECT_EQ(0, put_op(1, 0, op_whole(), NULL));
	EXPECT_EQ(0, put_op(1, 0, op_whole(), NULL));
	ASSERT_EQ(0, probe_into(1));
	EXPECT_EQ(byte_at(self->arena + 2 * PAGE),
		  child_read(1, addr_of(self->arena) + 2 * PAGE));
}

/* --- What is refused --- */

static void check_refused(struct __test_metadata *_metadata, char *bad,
			  const char *arena)
{
	struct det_status st;
	long ret;

	ASSERT_EQ(0, put_op(1, 0, op_copy(arena, THERE, LEN), NULL));
	ret = put_op(1, 0, op_copy(bad, 0x400000000UL, PAGE), &st);
	EXPECT_OP_ERR_AT(EOPNOTSUPP, 0, bad, ret, &st);
	ret = put_op(1, 0, op_copy(bad, THERE + 1, 16), &st);
	EXPECT_OP_ERR_AT(EOPNOTSUPP, 0, bad, ret, &st);
	ret = put_op(1, 0, op_whole(), &st);
	EXPECT_OP_ERR_AT(EOPNOTSUPP, 0, bad, ret, &st);
	/* Neither is the child harmed, nor the caller. */
	EXPECT_TRUE(child_has(1, THERE, arena, LEN));
	EXPECT_EQ(byte_at(arena), child_read(1, THERE));
}

TEST_F(copy, hugetlb_is_refused)
{
	char *p = mmap(NULL, HUGE, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS |
		       MAP_HUGETLB | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		SKIP(return, "no hugetlb pages");
	check_refused(_metadata, p, self->arena);
}

/* A part of a huge page of that kind cannot be replaced. */
TEST_F(copy, hugetlb_of_the_caller)
{
	char *p = mmap(NULL, HUGE, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS |
		       MAP_HUGETLB | MAP_NORESERVE, -1, 0);
	struct det_status st;
	long ret;

	if (p == MAP_FAILED)
		SKIP(return, "no hugetlb pages");
	ASSERT_EQ(0, put_op(1, 0, op_copy(self->arena, THERE, LEN), NULL));
	ret = get_op(1, 0, op_copy(p + PAGE, THERE, PAGE), &st);
	EXPECT_OP_ERR_AT(EOPNOTSUPP, 0, p + PAGE, ret, &st);
	ret = get_op(1, 0, op_zero(addr_of(p) + PAGE, PAGE, PROT_RW), &st);
	EXPECT_OP_ERR_AT(EOPNOTSUPP, 0, p + PAGE, ret, &st);
	ret = get_op(1, 0, op_zero(addr_of(p) + PAGE, PAGE, 0), &st);
	EXPECT_OP_ERR_AT(EOPNOTSUPP, 0, p + PAGE, ret, &st);
	EXPECT_EQ(0, get_op(1, 0, op_perm(addr_of(p) + PAGE, PAGE, PROT_RW), NULL));
	ret = get_op(1, 0, op_perm(addr_of(p) + PAGE, PAGE, PROT_READ), &st);
	EXPECT_OP_ERR_AT(EOPNOTSUPP, 0, p + PAGE, ret, &st);
	EXPECT_STREQ("rw-p", perm_at(getpid(), addr_of(p)));
	EXPECT_STREQ("rw-p", perm_at(getpid(), addr_of(p) + PAGE));
	/* All of it can. */
	ASSERT_EQ(0, get_op(1, 0, op_zero(addr_of(p), HUGE, PROT_RW), NULL));
	p[PAGE] = 1;
}

TEST_F(copy, secretmem_is_refused)
{
	int fd = syscall(__NR_memfd_secret, O_CLOEXEC);
	char *p;

	if (fd < 0)
		SKIP(return, "no secretmem");
	ASSERT_EQ(0, ftruncate(fd, PAGE));
	p = map_at(NULL, PAGE, PROT_RW, MAP_SHARED, fd);
	p[0] = 1;
	check_refused(_metadata, p, self->arena);
}

TEST_F(copy, userfaultfd_is_refused)
{
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	char *p = map_rw(PAGE);

	if (fd < 0)
		SKIP(return, "no userfaultfd");
	ASSERT_EQ(0, ioctl(fd, UFFDIO_API, &api));
	reg.range.start = addr_of(p);
	reg.range.len = PAGE;
	ASSERT_EQ(0, ioctl(fd, UFFDIO_REGISTER, &reg));
	check_refused(_metadata, p, self->arena);
}

/* The kernel's clock, which changes under a child's eyes, is not to be had. */
TEST_F(copy, kernel_pages_by_range)
{
	struct det_status st;
	__u64 start = 0, end = 0;
	long ret;

	if (!find_map(getpid(), "[vvar", &start, &end))
		SKIP(return, "no vvar");
	ret = put_op(1, 0, op_copy((void *)start, THERE, PAGE), &st);
	EXPECT_OP_ERR_AT(EOPNOTSUPP, 0, start, ret, &st);
	EXPECT_EQ(PROBE_FAULT, child_read(1, THERE));
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE, PAGE, PROT_RW), NULL));
	ret = put_op(1, 0, op_copy((void *)start, THERE + 1, 16), &st);
	EXPECT_OP_ERR_AT(EOPNOTSUPP, 0, start, ret, &st);
}

/* Each mistake on its own, between two operations that are in order. */
TEST_F(copy, mistakes)
{
	const struct {
		int err;
		__u32 flags, prot, pad;
		__u64 caller, child, len;
	} t[] = {
		{ EINVAL, DET_COPY_WHOLE, 0, 0, PAGE, 0, 0 },
		{ EINVAL, DET_COPY_WHOLE, 0, 0, 0, PAGE, 0 },
		{ EINVAL, DET_COPY_WHOLE, 0, 0, 0, 0, PAGE },
		{ EINVAL, DET_COPY_IMAGE, 0, 0, THERE, THERE, PAGE },
		{ EINVAL, DET_ZERO_NORESERVE, 0, 0, THERE, THERE, PAGE },
		{ EINVAL, DET_MERGE_KEEP, 0, 0, THERE, THERE, PAGE },
		{ EINVAL, DET_MERGE_GRANULE_4, 0, 0, THERE, THERE, PAGE },
		{ EINVAL, 1U << 31, 0, 0, THERE, THERE, PAGE },
		{ EINVAL, 0, PROT_READ, 0, THERE, THERE, PAGE },
		{ EINVAL, 0, 0, 1, THERE, THERE, PAGE },
		{ EINVAL, 0, 0, 0, -PAGE, THERE, 2 * PAGE },
		{ EINVAL, 0, 0, 0, THERE, -PAGE, 2 * PAGE },
		{ EINVAL, 0, 0, 0, USER_END - PAGE, THERE, 2 * PAGE },
		{ EINVAL, 0, 0, 0, THERE, USER_END - PAGE, 2 * PAGE },
		{ EINVAL, 0, 0, 0, THERE, THERE, -1 },
		{ EINVAL, 0, 0, 0, THERE, 1ULL << 63, PAGE },
	};
	struct det_op ops[3];
	struct det_status st;
	unsigned int i;
	long ret;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		ops[0] = op_copy(self->arena, THERE, 0);
		ops[1] = (struct det_op){
			.op = DET_COPY, .flags = t[i].flags, .prot = t[i].prot,
			.__pad = t[i].pad, .caller = t[i].caller,
			.child = t[i].child, .len = t[i].len,
		};
		ops[2] = op_copy(self->arena, THERE, PAGE);
		ret = put_ops(1, 0, ops, ARRAY_SIZE(ops), &st);
		EXPECT_EQ(-t[i].err, ret) TH_LOG("mistake %u", i);
		EXPECT_EQ(1, st.op) TH_LOG("mistake %u", i);
		EXPECT_EQ(PROBE_FAULT, child_read(1, THERE));
	}
}

TEST_F(copy, whole_back_is_for_spaces)
{
	struct det_status st;

	EXPECT_EQ(-EPERM, get_op(1, 0, op_whole(), &st));
	EXPECT_EQ(0, st.op);
}

static int became;

/*
 * As exec: makes a child of its own and becomes what the child was when it
 * stopped, in the same function and frame, but with another value.
 */
static long become_child(void *arg)
{
	if (fork_space(1, DET_START, NULL) == 0) {
		__atomic_store_n(&became, 5, __ATOMIC_RELAXED);
		for (;;)
			dret(0);
	}
	if (get_op(1, 0, op_whole(), NULL))
		return -1;
	return __atomic_load_n(&became, __ATOMIC_RELAXED);
}

TEST_F(copy, whole_back_in_a_space)
{
	struct det_status st;

	ASSERT_EQ(1, spawn(2, DET_START | DET_WAIT, become_child, NULL, &st));
	EXPECT_RET(5, &st);
	EXPECT_EQ(0, became);
}

/* --- Images --- */

TEST_F(copy, image)
{
	char *back = map_rw(LEN), *a = self->arena;
	struct det_status st;
	long ret;

	ASSERT_EQ(0, put_op(1, 0, op_copy(a, THERE, LEN), NULL));
	ret = get_op(1, 0, op_image(back, THERE, LEN), &st);
	EXPECT_OP_ERR(ENODATA, 0, ret, &st);
	ASSERT_EQ(0, put_op(1, DET_SNAP, op_zero(THERE + 2 * PAGE, PAGE, 0),
			    NULL));
	EXPECT_EQ(0, child_write(1, THERE, ~a[0]));
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE + PAGE, PAGE, 0), NULL));
	a[3 * PAGE] ^= 1;		/* no matter to the image */

	ASSERT_EQ(0, get_op(1, 0, op_image(back, THERE, LEN), NULL));
	a[3 * PAGE] ^= 1;
	EXPECT_EQ(0, memcmp(back, a, 2 * PAGE));
	EXPECT_STREQ("", perm_at(getpid(), addr_of(back + 2 * PAGE)));
	EXPECT_EQ(0, memcmp(back + 3 * PAGE, a + 3 * PAGE, LEN - 3 * PAGE));
	/* And the child has what it had. */
	EXPECT_EQ(byte_at(a) ^ 0xff, child_read(1, THERE));
	EXPECT_EQ(PROBE_FAULT, child_read(1, THERE + PAGE));
}

TEST_F(copy, image_bytes)
{
	char *back = map_rw(LEN), *a = self->arena;

	ASSERT_EQ(0, put_op(1, DET_SNAP, op_copy(a, THERE, LEN), NULL));
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE, LEN, PROT_RW), NULL));
	ASSERT_EQ(0, get_op(1, 0, op_image(back + 3, THERE + 8, 5000), NULL));
	EXPECT_EQ(0, memcmp(back + 3, a + 8, 5000));
	EXPECT_TRUE(all_bytes(back, 0, 3));
	EXPECT_TRUE(all_bytes(back + 5003, 0, LEN - 5003));
	ASSERT_EQ(0, peek(1, THERE, back + 3, 100));
	EXPECT_TRUE(all_bytes(back + 3, 0, 100));
}

/* --- Again and again --- */

static unsigned long rounds(void)
{
	const char *s = getenv("DET_TEST_COPIES");

	return s ? strtoul(s, NULL, 0) : 2000;
}

/* COPYs in both directions leave no traces: the mappings do not multiply. */
TEST_F_TIMEOUT(copy, many_copies, 1800)
{
	char *a = self->arena, *back = map_rw(LEN);
	unsigned long i, n = rounds();
	int mine = 0, its = 0;
	pid_t pid;

	ASSERT_EQ(0, put_op(1, 0, op_copy(a, THERE, LEN), NULL));
	ASSERT_EQ(0, get_op(1, 0, op_copy(back, THERE, LEN), NULL));
	pid = space_pid(getpid(), 1);
	ASSERT_NE(0, pid);
	for (i = 0; i < n; i++) {
		unsigned long at = i * 5 % PAGES * PAGE;

		if (i == PAGES) {
			mine = count_maps(getpid());
			its = count_maps(pid);
		}
		a[at] = i;
		ASSERT_EQ(0, put_op(1, 0, op_copy(a + at, THERE + at, PAGE),
				    NULL));
		ASSERT_EQ(0, get_op(1, 0, op_copy(back + at, THERE + at, PAGE),
				    NULL));
		ASSERT_EQ((char)i, back[at]);
	}
	EXPECT_EQ(mine, count_maps(getpid()));
	EXPECT_EQ(its, count_maps(pid));
	EXPECT_EQ(0, memcmp(a, back, LEN));
}

TEST_HARNESS_MAIN
