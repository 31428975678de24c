// SPDX-License-Identifier: GPL-2.0-only
/*
 * The calls' arguments: sizes and growth of the structures, every check that
 * needs no running child, bad pointers at each place, the order of the steps.
 *
 * The fixture's child is stopped, with code that returns 7. Its teardown
 * starts it: whatever a test did wrong, the child was not harmed by it.
 */
#include <cpuid.h>
#include <stddef.h>
#include <sys/eventfd.h>

#include "common.h"

#define CHILD 1
#define NOBODY 99
#define KERNEL_ADDR 0xffff888000000000ULL
#define PUT 1
#define GET 2

BLOB(code_seven, "mov $7, %edi\n" ASM_DRET);

TEST(version)
{
	NEED_CALLS();
	EXPECT_EQ(DET_VERSION, dput_raw(0, NULL, 0));
	/* It makes no child. */
	EXPECT_EQ(-ESRCH, get_flags(0, 0, NULL));
}

TEST(layout)
{
	EXPECT_EQ(DET_ARGS_SIZE_VER0, sizeof(struct det_args));
	EXPECT_EQ(DET_OP_SIZE_VER0, sizeof(struct det_op));
	EXPECT_EQ(DET_STATUS_SIZE_VER0, sizeof(struct det_status));
	EXPECT_EQ(16, sizeof(struct det_range));
	EXPECT_EQ(24, offsetof(struct det_args, regs));
	EXPECT_EQ(48, offsetof(struct det_args, status));
	EXPECT_EQ(80, offsetof(struct det_args, require));
	EXPECT_EQ(16, offsetof(struct det_op, caller));
	EXPECT_EQ(24, offsetof(struct det_status, addr));
	EXPECT_EQ(104, offsetof(struct det_status, nr_conflicts));
}

TEST(only_the_64_bit_entry)
{
	NEED_CALLS();
	EXPECT_EQ(NO_CALL, raw_syscall(0x40000000 | __NR_dput, 0, 0, 0));
	EXPECT_EQ(NO_CALL, raw_syscall(0x40000000 | __NR_dget, 0, 0, 0));
	EXPECT_EQ(NO_CALL, raw_syscall(0x40000000 | __NR_dret, 0, 0, 0));
}

TEST(unknown_child)
{
	struct det_op op = op_zero(BLOB_DATA, PAGE, PROT_RW);

	NEED_CALLS();
	EXPECT_EQ(-ESRCH, get_flags(NOBODY, 0, NULL));
	EXPECT_EQ(-ESRCH, get_flags(NOBODY, DET_NOWAIT, NULL));
	EXPECT_EQ(-ESRCH, get_flags(NOBODY, DET_START | DET_WAIT, NULL));
	EXPECT_EQ(-ESRCH, get_ops(NOBODY, 0, &op, 1, NULL));
	EXPECT_EQ(-ESRCH, kill_child(NOBODY));
	/* Neither dget nor KILL made one. */
	EXPECT_EQ(-ESRCH, get_flags(NOBODY, 0, NULL));
	/* What needs no child is checked before there is one. */
	EXPECT_EQ(-EINVAL, get_flags(NOBODY, DET_SNAP, NULL));
	op.op = 77;
	EXPECT_EQ(-EINVAL, get_ops(NOBODY, 0, &op, 1, NULL));
	EXPECT_EQ(-EINVAL, put_ops(NOBODY, 0, &op, 1, NULL));
	EXPECT_EQ(-ESRCH, get_flags(NOBODY, 0, NULL));
}

TEST(master_may_not_return)
{
	NEED_CALLS();
	EXPECT_EQ(-EPERM, dret(0));
	ASSERT_EQ(0, put_flags(CHILD, 0, NULL));
	EXPECT_EQ(-EPERM, dret(0));
}

FIXTURE(child)
{
	char *rw;	/* a writable page, */
	char *hole;	/* and nothing behind it */
	char *ro;	/* a page that can be read */
	char *none;	/* a page without access */
	struct det_status st;
	struct det_args a;
};

FIXTURE_SETUP(child)
{
	NEED_CALLS();
	self->rw = mmap(NULL, 2 * PAGE, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
	self->ro = mmap(NULL, PAGE, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
	self->none = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	ASSERT_NE(MAP_FAILED, self->rw);
	ASSERT_NE(MAP_FAILED, self->ro);
	ASSERT_NE(MAP_FAILED, self->none);
	self->hole = self->rw + PAGE;
	ASSERT_EQ(0, munmap(self->hole, PAGE));
	ASSERT_EQ(0, mprotect(self->ro, PAGE, PROT_READ));
	ASSERT_EQ(0, MAKE(CHILD, code_seven));
	self->a = args_of(0, NULL, 0, &self->st);
}

FIXTURE_TEARDOWN(child)
{
	struct det_status st;

	EXPECT_EQ(0, get_stop(CHILD, &st));
	EXPECT_EQ(DET_NEW, st.reason) print_status(&st);
	EXPECT_EQ(0, run_child(CHILD, &st));
	EXPECT_RET(7, &st);
}

TEST_F(child, args_size)
{
	char *buf = self->rw;
	size_t size;

	memcpy(buf, &self->a, sizeof(self->a));
	for (size = 1; size < DET_ARGS_SIZE_VER0; size++) {
		EXPECT_EQ(-EINVAL, dput_raw(CHILD, buf, size));
		EXPECT_EQ(-EINVAL, dget_raw(CHILD, buf, size));
	}
	for (size = DET_ARGS_SIZE_VER0; size <= PAGE; size += 8) {
		EXPECT_EQ(0, dput_raw(CHILD, buf, size));
		EXPECT_EQ(0, dget_raw(CHILD, buf, size));
	}
	EXPECT_EQ(-E2BIG, dput_raw(CHILD, buf, PAGE + 1));
	EXPECT_EQ(-E2BIG, dget_raw(CHILD, buf, PAGE + 1));
	EXPECT_EQ(-E2BIG, dget_raw(CHILD, buf, ~0UL));
	/* Something that only a later version knows. */
	buf[DET_ARGS_SIZE_VER0] = 1;
	EXPECT_EQ(0, dput_raw(CHILD, buf, DET_ARGS_SIZE_VER0));
	EXPECT_EQ(-E2BIG, dput_raw(CHILD, buf, DET_ARGS_SIZE_VER0 + 8));
	EXPECT_EQ(-E2BIG, dget_raw(CHILD, buf, DET_ARGS_SIZE_VER0 + 8));
	buf[DET_ARGS_SIZE_VER0] = 0;
	buf[PAGE - 1] = 1;
	EXPECT_EQ(-E2BIG, dput_raw(CHILD, buf, PAGE));
}

TEST_F(child, args_pointer)
{
	size_t size = sizeof(self->a);
	char *across = self->hole - size + 1;

	memcpy(across, &self->a, size - 1);
	EXPECT_EQ(-EFAULT, dput_raw(CHILD, NULL, size));
	EXPECT_EQ(-EFAULT, dget_raw(CHILD, NULL, size));
	EXPECT_EQ(-EFAULT, dput_raw(CHILD, self->hole, size));
	EXPECT_EQ(-EFAULT, dget_raw(CHILD, self->hole, size));
	EXPECT_EQ(-EFAULT, dput_raw(CHILD, across, size));
	EXPECT_EQ(-EFAULT, dget_raw(CHILD, across, size));
	EXPECT_EQ(-EFAULT, dput_raw(CHILD, self->none, size));
	EXPECT_EQ(-EFAULT, dput_raw(CHILD, (void *)KERNEL_ADDR, size));
	EXPECT_EQ(-EFAULT, dget_raw(CHILD, (void *)KERNEL_ADDR, size));
	/* No child was made on the way. */
	EXPECT_EQ(-EFAULT, dput_raw(NOBODY, self->hole, size));
	EXPECT_EQ(-ESRCH, get_flags(NOBODY, 0, NULL));
}

/* Arguments and operations are read and never written. */
TEST_F(child, args_read_only)
{
	struct det_op *op = (struct det_op *)(self->ro + sizeof(self->a));

	ASSERT_EQ(0, mprotect(self->ro, PAGE, PROT_RW));
	self->a.ops = (uintptr_t)op;
	self->a.nr_ops = 1;
	*op = op_zero(BLOB_DATA, PAGE, PROT_RW);
	memcpy(self->ro, &self->a, sizeof(self->a));
	ASSERT_EQ(0, mprotect(self->ro, PAGE, PROT_READ));
	EXPECT_EQ(0, dput_raw(CHILD, self->ro, sizeof(self->a)));
	EXPECT_EQ(1, self->st.nr_done);
	EXPECT_EQ(DET_NO_OP, self->st.op);
}

TEST_F(child, op_size)
{
	char *ops = self->rw;
	struct det_op op = op_zero(BLOB_DATA, PAGE, PROT_RW);
	unsigned int size;

	self->a.ops = (uintptr_t)ops;
	self->a.nr_ops = 1;
	memcpy(ops, &op, sizeof(op));
	for (size = 0; size < DET_OP_SIZE_VER0; size++) {
		self->a.op_size = size;
		EXPECT_EQ(-EINVAL, dput(CHILD, &self->a));
		EXPECT_EQ(-EINVAL, dget(CHILD, &self->a));
	}
	for (size = DET_OP_SIZE_VER0; size <= PAGE; size += 8) {
		self->a.op_size = size;
		EXPECT_EQ(0, dput(CHILD, &self->a));
		EXPECT_EQ(1, self->st.nr_done);
	}
	self->a.op_size = PAGE + 8;
	EXPECT_EQ(-E2BIG, dput(CHILD, &self->a));
	EXPECT_EQ(-E2BIG, dget(CHILD, &self->a));
	self->a.op_size = ~0U;
	EXPECT_EQ(-E2BIG, dput(CHILD, &self->a));
	/* The second element has something that only a later version knows. */
	self->a.op_size = 64;
	self->a.nr_ops = 2;
	memcpy(ops + 64, &op, sizeof(op));
	EXPECT_EQ(0, dput(CHILD, &self->a));
	EXPECT_EQ(2, self->st.nr_done);
	ops[64 + DET_OP_SIZE_VER0] = 1;
	EXPECT_EQ(-E2BIG, dput(CHILD, &self->a));
	EXPECT_EQ(0, self->st.nr_done);
	EXPECT_EQ(1, self->st.op);
	EXPECT_EQ(-E2BIG, dget(CHILD, &self->a));
}

TEST_F(child, nr_ops)
{
	struct det_op *ops = calloc(DET_MAX_OPS + 1, sizeof(*ops));
	int i;

	ASSERT_NE(NULL, ops);
	for (i = 0; i <= DET_MAX_OPS; i++)
		ops[i] = op_zero(BLOB_DATA, 0, PROT_RW);
	EXPECT_EQ(0, put_ops(CHILD, 0, ops, DET_MAX_OPS, &self->st));
	EXPECT_EQ(DET_MAX_OPS, self->st.nr_done);
	EXPECT_EQ(-E2BIG, put_ops(CHILD, 0, ops, DET_MAX_OPS + 1, &self->st));
	EXPECT_EQ(0, self->st.nr_done);
	EXPECT_EQ(-E2BIG, get_ops(CHILD, 0, ops, DET_MAX_OPS + 1, &self->st));
	EXPECT_EQ(-E2BIG, put_ops(CHILD, 0, ops, ~0U, &self->st));
	/* What there is no place for is not even looked at. */
	EXPECT_EQ(-E2BIG, put_ops(CHILD, 0, NULL, ~0U, &self->st));
	free(ops);
}

/* All operations are read before the first is done. */
TEST_F(child, ops_pointer)
{
	struct det_op *across = (struct det_op *)self->hole - 1;
	struct det_op op = op_zero(BLOB_CODE, PAGE, 0);

	*across = op;
	EXPECT_EQ(-EFAULT, put_ops(CHILD, 0, NULL, 1, &self->st));
	EXPECT_EQ(-EFAULT, put_ops(CHILD, 0, across, 2, &self->st));
	EXPECT_EQ(0, self->st.nr_done);
	across = (struct det_op *)((char *)across + 1);
	memcpy(across, &op, sizeof(op) - 1);
	EXPECT_EQ(-EFAULT, put_ops(CHILD, 0, across, 1, &self->st));
	EXPECT_EQ(-EFAULT, get_ops(CHILD, 0, across, 1, &self->st));
	EXPECT_EQ(-EFAULT, put_ops(CHILD, 0, (void *)self->none, 1, NULL));
	EXPECT_EQ(-EFAULT, put_ops(CHILD, 0, (void *)KERNEL_ADDR, 1, NULL));
	EXPECT_EQ(-EFAULT, get_ops(CHILD, 0, (void *)KERNEL_ADDR, 1, NULL));
	EXPECT_EQ(-EFAULT, put_ops(NOBODY, 0, (void *)self->hole, 1, NULL));
	EXPECT_EQ(-ESRCH, get_flags(NOBODY, 0, NULL));
}

TEST_F(child, unknown_flags)
{
	int bit;

	for (bit = 8; bit < 64; bit++) {
		EXPECT_EQ(-EINVAL, put_flags(CHILD, 1ULL << bit, &self->st))
			TH_LOG("dput, bit %d", bit);
		EXPECT_EQ(DET_NO_OP, self->st.op);
		EXPECT_EQ(-EINVAL, get_flags(CHILD, 1ULL << bit, &self->st))
			TH_LOG("dget, bit %d", bit);
	}
}

/* Flags that exclude each other, or belong to the other call. */
TEST_F(child, flags_together)
{
	static const __u64 both[] = { DET_WAIT | DET_NOWAIT,
				      DET_START | DET_WAIT | DET_NOWAIT };
	static const __u64 only_put[] = { DET_FORK, DET_SNAP, DET_KILL };
	struct det_op op = op_zero(BLOB_DATA, PAGE, PROT_RW);
	struct user_regs_struct regs = blob_regs();
	int i;

	for (i = 0; i < ARRAY_SIZE(both); i++) {
		EXPECT_EQ(-EINVAL, put_flags(CHILD, both[i], &self->st));
		EXPECT_EQ(-EINVAL, get_flags(CHILD, both[i], &self->st));
	}
	for (i = 0; i < ARRAY_SIZE(only_put); i++)
		EXPECT_EQ(-EINVAL, get_flags(CHILD, only_put[i], &self->st));
	for (i = 0; i < 7; i++)
		EXPECT_EQ(-EINVAL, put_flags(CHILD, DET_KILL | 1ULL << i,
					     &self->st)) TH_LOG("bit %d", i);
	EXPECT_EQ(-EINVAL, put_op(CHILD, DET_KILL, op, &self->st));
	EXPECT_EQ(-EINVAL, put_regs(CHILD, &regs, DET_FORK, &self->st));
}

struct bad_op {
	const char *what;
	int calls;
	struct det_op op;
};

static const struct bad_op bad_ops[] = {
	{ "op 0", PUT | GET, { .op = 0 } },
	{ "op 5", PUT | GET, { .op = 5 } },
	{ "op ~0", PUT | GET, { .op = ~0U } },
	{ "pad", PUT | GET, { .op = DET_ZERO, .__pad = 1 } },
	{ "pad of COPY", PUT | GET, { .op = DET_COPY, .__pad = 1 } },
	{ "pad of PERM", PUT | GET, { .op = DET_PERM, .__pad = 1 << 31 } },
	{ "pad of MERGE", GET, { .op = DET_MERGE, .__pad = 1 } },
	{ "prot of ZERO", PUT | GET, { .op = DET_ZERO, .prot = 8 } },
	{ "GROWSDOWN of ZERO", PUT | GET,
	  { .op = DET_ZERO, .prot = PROT_RW | PROT_GROWSDOWN } },
	{ "prot of PERM", PUT | GET, { .op = DET_PERM, .prot = 1U << 31 } },
	{ "prot of COPY", PUT | GET, { .op = DET_COPY, .prot = PROT_READ } },
	{ "prot of MERGE", GET, { .op = DET_MERGE, .prot = PROT_READ } },
	{ "COPY, KEEP", PUT | GET,
	  { .op = DET_COPY, .flags = DET_MERGE_KEEP } },
	{ "COPY, NORESERVE", PUT | GET,
	  { .op = DET_COPY, .flags = DET_ZERO_NORESERVE } },
	{ "COPY, unknown flag", PUT | GET,
	  { .op = DET_COPY, .flags = 1U << 31 } },
	{ "ZERO, WHOLE", PUT | GET,
	  { .op = DET_ZERO, .flags = DET_COPY_WHOLE } },
	{ "ZERO, unknown flag", PUT | GET, { .op = DET_ZERO, .flags = 8 } },
	{ "PERM, NORESERVE", PUT | GET,
	  { .op = DET_PERM, .flags = DET_ZERO_NORESERVE } },
	{ "PERM, IMAGE", PUT | GET,
	  { .op = DET_PERM, .flags = DET_COPY_IMAGE } },
	{ "MERGE, WHOLE", GET, { .op = DET_MERGE, .flags = DET_COPY_WHOLE } },
	{ "MERGE, bit 6", GET, { .op = DET_MERGE, .flags = 1 << 6 } },
	{ "MERGE, bit 10", GET, { .op = DET_MERGE, .flags = 1 << 10 } },
	{ "MERGE, KEEP and TAKE", GET,
	  { .op = DET_MERGE, .flags = DET_MERGE_KEEP | DET_MERGE_TAKE } },
	{ "MERGE by dput", PUT, { .op = DET_MERGE } },
	{ "IMAGE by dput", PUT, { .op = DET_COPY, .flags = DET_COPY_IMAGE } },
	{ "WHOLE with caller", PUT,
	  { .op = DET_COPY, .flags = DET_COPY_WHOLE, .caller = PAGE } },
	{ "WHOLE with child", PUT,
	  { .op = DET_COPY, .flags = DET_COPY_WHOLE, .child = PAGE } },
	{ "WHOLE with len", PUT,
	  { .op = DET_COPY, .flags = DET_COPY_WHOLE, .len = PAGE } },
	{ "COPY, caller wraps", PUT | GET,
	  { .op = DET_COPY, .caller = -PAGE, .child = BLOB_DATA,
	    .len = 2 * PAGE } },
	{ "COPY, child wraps", PUT | GET,
	  { .op = DET_COPY, .caller = BLOB_DATA, .child = -PAGE,
	    .len = 2 * PAGE } },
	{ "COPY, len ~0", PUT | GET,
	  { .op = DET_COPY, .caller = BLOB_DATA, .child = BLOB_DATA,
	    .len = ~0ULL } },
	{ "COPY, caller above", PUT | GET,
	  { .op = DET_COPY, .caller = USER_END - 1, .child = BLOB_DATA,
	    .len = 2 } },
	{ "COPY, child above", PUT | GET,
	  { .op = DET_COPY, .caller = BLOB_DATA, .child = USER_END - 1,
	    .len = 2 } },
	{ "COPY, caller in the kernel", PUT | GET,
	  { .op = DET_COPY, .caller = KERNEL_ADDR, .child = BLOB_DATA,
	    .len = PAGE } },
	{ "COPY, child in the kernel", PUT | GET,
	  { .op = DET_COPY, .caller = BLOB_DATA, .child = KERNEL_ADDR,
	    .len = PAGE } },
	{ "IMAGE, child above", GET,
	  { .op = DET_COPY, .flags = DET_COPY_IMAGE, .caller = BLOB_DATA,
	    .child = USER_END, .len = PAGE } },
	{ "ZERO, child wraps", PUT,
	  { .op = DET_ZERO, .child = -PAGE, .len = 2 * PAGE } },
	{ "ZERO, child above", PUT,
	  { .op = DET_ZERO, .child = USER_END - PAGE, .len = 2 * PAGE } },
	{ "ZERO, caller above", GET,
	  { .op = DET_ZERO, .caller = USER_END, .len = PAGE } },
	{ "PERM, child above", PUT,
	  { .op = DET_PERM, .child = USER_END, .len = PAGE } },
	{ "PERM, caller above", GET,
	  { .op = DET_PERM, .caller = KERNEL_ADDR, .len = PAGE } },
	{ "PERM, child unaligned", PUT,
	  { .op = DET_PERM, .child = BLOB_DATA + 1, .len = PAGE } },
	{ "PERM, caller unaligned", GET,
	  { .op = DET_PERM, .caller = BLOB_DATA + 8, .len = PAGE } },
	{ "PERM, len wraps when rounded up", PUT,
	  { .op = DET_PERM, .child = BLOB_DATA, .len = ~0ULL } },
	{ "MERGE, child above", GET,
	  { .op = DET_MERGE, .caller = BLOB_DATA, .child = USER_END,
	    .len = PAGE } },
	{ "MERGE, caller above", GET,
	  { .op = DET_MERGE, .caller = USER_END, .child = BLOB_DATA,
	    .len = PAGE } },
	{ "MERGE, wraps", GET,
	  { .op = DET_MERGE, .caller = BLOB_DATA, .child = BLOB_DATA,
	    .len = -PAGE } },
	{ "MERGE, unequal in the page", GET,
	  { .op = DET_MERGE, .caller = BLOB_DATA + 1, .child = BLOB_DATA,
	    .len = 8 } },
};

/* Each is found before anything is done, and named. */
TEST_F(child, bad_ops)
{
	struct det_op ops[2] = { op_zero(BLOB_CODE, PAGE, 0) };
	int i;

	for (i = 0; i < ARRAY_SIZE(bad_ops); i++) {
		const struct bad_op *b = &bad_ops[i];

		ops[1] = b->op;
		if (b->calls & PUT) {
			EXPECT_EQ(-EINVAL, put_ops(CHILD, 0, ops, 2, &self->st))
				TH_LOG("dput, %s", b->what);
			EXPECT_EQ(1, self->st.op) TH_LOG("%s", b->what);
			EXPECT_EQ(0, self->st.nr_done) TH_LOG("%s", b->what);
		}
		/* dget's would unmap the caller's page, if it were done. */
		ops[0].caller = (uintptr_t)self->rw;
		if (b->calls & GET) {
			EXPECT_EQ(-EINVAL, get_ops(CHILD, 0, ops, 2, &self->st))
				TH_LOG("dget, %s", b->what);
			EXPECT_EQ(1, self->st.op) TH_LOG("%s", b->what);
			EXPECT_EQ(0, self->st.nr_done) TH_LOG("%s", b->what);
		}
	}
	self->rw[0] = 1;
}

TEST_F(child, whole_into_a_master)
{
	EXPECT_EQ(-EPERM, get_op(CHILD, 0, op_whole(), &self->st));
}

static const struct bad_op bad_self[] = {
	{ "MERGE", GET, { .op = DET_MERGE, .caller = BLOB_DATA,
			  .child = BLOB_DATA, .len = PAGE } },
	{ "WHOLE", PUT | GET, { .op = DET_COPY, .flags = DET_COPY_WHOLE } },
	{ "IMAGE", GET, { .op = DET_COPY, .flags = DET_COPY_IMAGE,
			  .caller = BLOB_DATA, .child = BLOB_DATA + PAGE,
			  .len = PAGE } },
	{ "overlap", PUT | GET, { .op = DET_COPY, .caller = BLOB_DATA,
				  .child = BLOB_DATA + 8, .len = 9 } },
	{ "itself", PUT | GET, { .op = DET_COPY, .caller = BLOB_DATA,
				 .child = BLOB_DATA, .len = 1 } },
};

TEST_F(child, self)
{
	int i;

	for (i = 0; i < 8; i++) {
		EXPECT_EQ(-EINVAL, put_flags(DET_SELF, 1ULL << i, &self->st))
			TH_LOG("dput, bit %d", i);
		EXPECT_EQ(-EINVAL, get_flags(DET_SELF, 1ULL << i, &self->st))
			TH_LOG("dget, bit %d", i);
	}
	for (i = 0; i < ARRAY_SIZE(bad_self); i++) {
		const struct bad_op *b = &bad_self[i];

		if (b->calls & PUT)
			EXPECT_EQ(-EINVAL, put_op(DET_SELF, 0, b->op, NULL))
				TH_LOG("dput, %s", b->what);
		if (b->calls & GET)
			EXPECT_EQ(-EINVAL, get_op(DET_SELF, 0, b->op, NULL))
				TH_LOG("dget, %s", b->what);
	}
	EXPECT_EQ(0, put_flags(DET_SELF, 0, NULL));
	EXPECT_EQ(0, get_flags(DET_SELF, 0, NULL));
}

TEST_F(child, empty_ranges)
{
	struct det_op ops[] = {
		op_zero(BLOB_CODE, 0, 0),
		op_perm(BLOB_CODE, 0, 0),
		op_copy(self->rw, BLOB_CODE, 0),
	};

	EXPECT_EQ(0, put_ops(CHILD, 0, ops, 3, &self->st));
	EXPECT_EQ(3, self->st.nr_done);
}

TEST_F(child, pad_and_require)
{
	self->a.__pad = 1;
	EXPECT_EQ(-EINVAL, dput(CHILD, &self->a));
	EXPECT_EQ(-EINVAL, dget(CHILD, &self->a));
	self->a.__pad = 0;
	/* closure_test.c has those that exist. */
	self->a.require = 1ULL << 63;
	EXPECT_EQ(-EINVAL, dput(CHILD, &self->a));
	EXPECT_EQ(-EINVAL, dget(CHILD, &self->a));
	EXPECT_EQ(-EINVAL, dput(NOBODY, &self->a));
	EXPECT_EQ(-ESRCH, get_flags(NOBODY, 0, NULL));
}

TEST_F(child, regs_size)
{
	struct user_regs_struct *regs = (void *)self->rw;
	size_t size = sizeof(*regs);

	ASSERT_EQ(216, size);
	args_regs(&self->a, regs);
	*regs = blob_regs();
	for (self->a.regs_size = 0; self->a.regs_size < size;
	     self->a.regs_size += 8) {
		EXPECT_EQ(-EINVAL, dput(CHILD, &self->a));
		EXPECT_EQ(-EINVAL, dget(CHILD, &self->a));
	}
	self->a.regs_size = 1000;
	EXPECT_EQ(0, dput(CHILD, &self->a));
	self->rw[size] = 1;
	EXPECT_EQ(-E2BIG, dput(CHILD, &self->a));
	/* Out, what the kernel does not know reads as zero. */
	memset(self->rw, 0xff, PAGE);
	EXPECT_EQ(0, dget(CHILD, &self->a));
	EXPECT_EQ(BLOB_CODE, regs->rip);
	EXPECT_TRUE(all_bytes(self->rw + size, 0, 1000 - size));
	EXPECT_EQ((char)0xff, self->rw[1000]);
}

TEST_F(child, regs_pointer)
{
	const uintptr_t bad[] = {
		(uintptr_t)self->hole, (uintptr_t)self->hole - 8,
		(uintptr_t)self->none, KERNEL_ADDR, -8,
	};
	int i;

	args_regs(&self->a, (void *)self->hole);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		self->a.regs = bad[i];
		EXPECT_EQ(-EFAULT, dput(CHILD, &self->a));
		EXPECT_EQ(-EFAULT, dget(CHILD, &self->a));
	}
	self->a.regs = (uintptr_t)self->ro;
	EXPECT_EQ(-EFAULT, dget(CHILD, &self->a));
	self->a.regs = KERNEL_ADDR;
	EXPECT_EQ(-EFAULT, dput(NOBODY, &self->a));
}

TEST_F(child, regs_values)
{
	struct user_regs_struct regs = blob_regs();
	const __u64 bad_ip[] = { USER_END, USER_END + PAGE, KERNEL_ADDR,
				 1ULL << 47, 1ULL << 63, ~0ULL };
	int i;

	for (i = 0; i < ARRAY_SIZE(bad_ip); i++) {
		regs.rip = bad_ip[i];
		EXPECT_EQ(-EINVAL, put_regs(CHILD, &regs, 0, &self->st))
			TH_LOG("RIP %#llx", (unsigned long long)bad_ip[i]);
	}
	regs = blob_regs();
	regs.fs_base = 1ULL << 48;
	EXPECT_EQ(-EINVAL, put_regs(CHILD, &regs, 0, &self->st));
	regs.fs_base = 0;
	regs.gs_base = 0x8000000000000000ULL;
	EXPECT_EQ(-EINVAL, put_regs(CHILD, &regs, 0, &self->st));
}

static unsigned int xsave_size(void)
{
	unsigned int a, b = 0, c, d;

	__cpuid(1, a, b, c, d);
	if (!(c & bit_OSXSAVE))
		return 512;
	__cpuid_count(0xd, 0, a, b, c, d);
	return b;
}

TEST_F(child, xstate_size)
{
	unsigned int size = xsave_size(), i;
	char *area = calloc(4, 16384);

	ASSERT_NE(NULL, area);
	self->a.flags = DET_REGS;
	self->a.xstate = (uintptr_t)area;
	for (i = 0; i < size; i += 64) {
		self->a.xstate_size = i;
		EXPECT_EQ(-EINVAL, dput(CHILD, &self->a));
		EXPECT_EQ(-EINVAL, dget(CHILD, &self->a));
	}
	memset(area, 0xff, 4 * 16384);
	self->a.xstate_size = size + 1024;
	EXPECT_EQ(0, dget(CHILD, &self->a));
	EXPECT_TRUE(all_bytes(area + size, 0, 1024));
	EXPECT_EQ((char)0xff, area[size + 1024]);
	EXPECT_EQ(0, dput(CHILD, &self->a));
	area[size] = 1;
	EXPECT_EQ(-E2BIG, dput(CHILD, &self->a));
	self->a.xstate_size = size;
	EXPECT_EQ(0, dput(CHILD, &self->a));
	free(area);
}

/* The header, and MXCSR, are checked before they could hurt the kernel. */
TEST_F(child, xstate_header)
{
	unsigned int size = xsave_size(), i;
	char *area = calloc(4, 16384);
	__u64 *header = (__u64 *)(area + 512);
	__u32 *mxcsr = (__u32 *)(area + 24);

	if (size <= 512)
		SKIP(return, "no XSAVE");
	ASSERT_NE(NULL, area);
	self->a.flags = DET_REGS;
	self->a.xstate = (uintptr_t)area;
	self->a.xstate_size = size;
	ASSERT_EQ(0, dget(CHILD, &self->a));
	for (i = 1; i < 8; i++) {
		__u64 old = header[i];

		header[i] = i == 1 ? 1ULL << 63 : 1;
		EXPECT_EQ(-EINVAL, dput(CHILD, &self->a))
			TH_LOG("word %d of the header", i);
		header[i] = old;
	}
	header[0] |= 1ULL << 62;
	EXPECT_EQ(-EINVAL, dput(CHILD, &self->a));
	header[0] = 3;
	*mxcsr = ~0U;
	EXPECT_EQ(-EINVAL, dput(CHILD, &self->a));
	*mxcsr = 0x1f80;
	EXPECT_EQ(0, dput(CHILD, &self->a));
	free(area);
}

TEST_F(child, xstate_pointer)
{
	const uintptr_t bad[] = { (uintptr_t)self->hole,
				  (uintptr_t)self->hole - 256,
				  (uintptr_t)self->none, KERNEL_ADDR };
	int i;

	self->a.flags = DET_REGS;
	self->a.xstate_size = xsave_size();
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		self->a.xstate = bad[i];
		EXPECT_EQ(-EFAULT, dput(CHILD, &self->a));
		EXPECT_EQ(-EFAULT, dget(CHILD, &self->a));
	}
	self->a.xstate = (uintptr_t)self->ro;
	if (self->a.xstate_size <= PAGE)
		EXPECT_EQ(-EFAULT, dget(CHILD, &self->a));
}

TEST_F(child, status_size)
{
	struct det_status *st = (void *)self->rw;
	unsigned int i;

	self->a.status = (uintptr_t)st;
	for (i = 0; i < DET_STATUS_SIZE_VER0; i += 4) {
		self->a.status_size = i;
		EXPECT_EQ(-EINVAL, dput(CHILD, &self->a));
		EXPECT_EQ(-EINVAL, dget(CHILD, &self->a));
	}
	memset(self->rw, 0xff, PAGE);
	self->a.status_size = 1000;
	EXPECT_EQ(0, dget(CHILD, &self->a));
	EXPECT_EQ(DET_NEW, st->reason);
	EXPECT_EQ(DET_NO_OP, st->op);
	EXPECT_EQ(0, st->insns);
	EXPECT_TRUE(all_bytes(self->rw + DET_STATUS_SIZE_VER0, 0,
			      1000 - DET_STATUS_SIZE_VER0));
	EXPECT_EQ((char)0xff, self->rw[1000]);
	/* No status, no size. */
	self->a.status = 0;
	self->a.status_size = 0;
	EXPECT_EQ(0, dget(CHILD, &self->a));
}

TEST_F(child, status_pointer)
{
	const uintptr_t bad[] = {
		(uintptr_t)self->hole, (uintptr_t)self->hole - 8,
		(uintptr_t)self->none, (uintptr_t)self->ro, KERNEL_ADDR,
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		self->a.status = bad[i];
		EXPECT_EQ(-EFAULT, dput(CHILD, &self->a));
		EXPECT_EQ(-EFAULT, dget(CHILD, &self->a));
	}
}

TEST_F(child, ranges_pointer)
{
	struct det_op op = op_merge(self->rw, 8, 0);

	op.child = BLOB_DATA;
	ASSERT_EQ(0, put_flags(CHILD, DET_SNAP, NULL));
	ASSERT_EQ(0, poke(CHILD, BLOB_DATA, "child", 5));
	memcpy(self->rw, "other", 5);
	self->a.ops = (uintptr_t)&op;
	self->a.nr_ops = 1;
	self->a.nr_ranges = 1;
	self->a.ranges = KERNEL_ADDR;
	EXPECT_EQ(-EFAULT, dget(CHILD, &self->a));
	self->a.ranges = (uintptr_t)self->hole;
	EXPECT_EQ(-EFAULT, dget(CHILD, &self->a));
	EXPECT_EQ(0, memcmp(self->rw, "other", 5));
}

TEST_F(child, notify_fd)
{
	int efd = eventfd(0, EFD_CLOEXEC);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	ASSERT_LE(0, efd);
	ASSERT_LE(0, null);
	self->a.flags = DET_NOTIFY;
	self->a.notify_fd = 9999;
	EXPECT_EQ(-EBADF, dput(CHILD, &self->a));
	EXPECT_EQ(-EBADF, dget(CHILD, &self->a));
	self->a.notify_fd = -2;
	EXPECT_EQ(-EBADF, dput(CHILD, &self->a));
	self->a.notify_fd = null;
	EXPECT_EQ(-EINVAL, dput(CHILD, &self->a));
	EXPECT_EQ(-EINVAL, dget(CHILD, &self->a));
	self->a.notify_fd = efd;
	EXPECT_EQ(0, dput(CHILD, &self->a));
	self->a.notify_fd = -1;
	EXPECT_EQ(0, dput(CHILD, &self->a));
	EXPECT_EQ(0, dget(CHILD, &self->a));
	/* Without the flag the number means nothing. */
	self->a.flags = 0;
	self->a.notify_fd = 9999;
	EXPECT_EQ(0, dput(CHILD, &self->a));
}

TEST_F(child, no_snapshot)
{
	struct det_op merge = op_merge(self->rw, PAGE, 0);
	struct det_op image = op_image(self->rw, BLOB_DATA, 8);

	EXPECT_EQ(-ENODATA, get_ops(CHILD, 0, &merge, 1, &self->st));
	EXPECT_EQ(0, self->st.op);
	EXPECT_EQ(0, self->st.nr_done);
	EXPECT_EQ(-ENODATA, get_ops(CHILD, 0, &image, 1, &self->st));
	EXPECT_EQ(0, self->st.op);
	ASSERT_EQ(0, put_flags(CHILD, DET_SNAP, NULL));
	EXPECT_EQ(0, get_ops(CHILD, 0, &image, 1, &self->st));
}

/* Registers, then operations; the first error ends the call before START. */
TEST_F(child, stops_at_the_first_error)
{
	struct det_op ops[] = {
		op_copy("done", BLOB_DATA, 4),
		op_copy(self->hole, BLOB_DATA, 4),
		op_zero(BLOB_CODE, PAGE, 0),
	};
	struct user_regs_struct regs = blob_regs();
	char buf[4];

	regs.rbx = 0x1234;
	self->a = args_of(DET_SNAP | DET_START | DET_WAIT, ops, 3, &self->st);
	args_regs(&self->a, &regs);
	EXPECT_EQ(-EFAULT, dput(CHILD, &self->a));
	EXPECT_EQ(1, self->st.op);
	EXPECT_EQ(1, self->st.nr_done);
	EXPECT_EQ((uintptr_t)self->hole, self->st.addr);
	EXPECT_EQ(DET_NEW, self->st.reason);
	EXPECT_EQ(0, peek(CHILD, BLOB_DATA, buf, 4));
	EXPECT_EQ(0, memcmp(buf, "done", 4));
	EXPECT_EQ(0, get_regs(CHILD, &regs));
	EXPECT_EQ(0x1234, regs.rbx);
	/* The image would have come after the operations. */
	EXPECT_EQ(-ENODATA,
		  get_op(CHILD, 0, op_image(self->rw, BLOB_DATA, 4), NULL));
}

/* The new child stays, although an operation failed. */
TEST_F(child, made_although_it_failed)
{
	EXPECT_EQ(-EFAULT, put_op(2, DET_START, op_copy(self->hole, BLOB_DATA,
							4), &self->st));
	EXPECT_EQ(DET_NEW, self->st.reason);
	EXPECT_EQ(0, get_stop(2, &self->st));
	EXPECT_EQ(DET_NEW, self->st.reason);
	EXPECT_EQ(0, kill_child(2));
	EXPECT_EQ(-ESRCH, get_stop(2, &self->st));
}

/* SNAP comes after the operations and before the child runs. */
TEST_F(child, snap_after_ops)
{
	ASSERT_EQ(0, put_op(CHILD, DET_SNAP, op_copy("snap", BLOB_DATA, 4),
			    NULL));
	ASSERT_EQ(0, poke(CHILD, BLOB_DATA, "late", 4));
	EXPECT_EQ(0, get_op(CHILD, 0, op_image(self->rw, BLOB_DATA, 4), NULL));
	EXPECT_EQ(0, memcmp(self->rw, "snap", 4));
}

/* Any number will do, and each names one child. */
TEST_F(child, numbers)
{
	static const __u64 numbers[] = { 0, 2, 1ULL << 31, 1ULL << 32,
					 (1ULL << 32) + 1, 1ULL << 63,
					 DET_SELF - 1 };
	char c;
	int i;

	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		struct det_op ops[] = {
			op_zero(BLOB_DATA, PAGE, PROT_RW),
			op_copy("0123456" + i, BLOB_DATA, 1),
		};

		EXPECT_EQ(-ESRCH, get_flags(numbers[i], 0, NULL));
		EXPECT_EQ(0, put_ops(numbers[i], 0, ops, 2, NULL));
	}
	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		EXPECT_EQ(0, peek(numbers[i], BLOB_DATA, &c, 1));
		EXPECT_EQ('0' + i, c);
		EXPECT_EQ(0, kill_child(numbers[i]));
		EXPECT_EQ(-ESRCH, kill_child(numbers[i]));
	}
}

TEST_HARNESS_MAIN
