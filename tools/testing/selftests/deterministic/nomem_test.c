// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that runs out in the middle of a call: each allocation and each copy
 * from user memory fails once (CONFIG_FAULT_INJECTION, /proc/self/fail-nth),
 * for each operation. Whatever the call answers, the child is as it was or
 * BROKEN, the caller's memory is whole, and KILL works.
 *
 * DET_TEST_STEPS in the environment: every single one.
 */
#include <sys/mount.h>
#include <sys/stat.h>

#include "common.h"

#define CHILD 1
#define BUF_PAGES 8
#define BUF_SIZE (BUF_PAGES * PAGE)

/* Returns 7 for ever. */
BLOB(code_seven, "1: mov $7, %edi\n" ASM_DRET "jmp 1b\n");

/* The child's lowest mapping, of three page tables: at first it has the middle one. */
#define LOW 0x800000UL
#define LOW_SIZE 0x600000UL

static char *buf;	/* of the caller; the child has a copy, a byte changed */
static int nth_fd = -1;

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = write(fd, text, strlen(text));
	close(fd);
	return n > 0;
}

/* Allocations that may wait fail too, and nobody prints it. */
static void set_up_injection(void)
{
	static const char * const kinds[] = {
		"failslab", "fail_page_alloc", "fail_usercopy",
	};
	char path[128];
	int i;

	mount("none", "/sys/kernel/debug", "debugfs", 0, NULL);
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		snprintf(path, sizeof(path),
			 "/sys/kernel/debug/%s/ignore-gfp-wait", kinds[i]);
		write_file(path, "N");
		snprintf(path, sizeof(path),
			 "/sys/kernel/debug/%s/ignore-gfp-highmem", kinds[i]);
		write_file(path, "N");
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/min-order",
			 kinds[i]);
		write_file(path, "0");
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/verbose",
			 kinds[i]);
		write_file(path, "0");
	}
}

static void arm(int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", nth);

	if (pwrite(nth_fd, text, len, 0) != len)
		_exit(1);
}

/*
 * True if something was made to fail since arm(). What was not reached by then
 * can hit the looking itself: an error of pread() or pwrite() is that failure.
 */
static bool disarm(void)
{
	char text[16] = "";
	bool injected = false;

	if (pread(nth_fd, text, sizeof(text) - 1, 0) > 0)
		injected = atoi(text) == 0;
	if (pwrite(nth_fd, "0", 1, 0) != 1 && pwrite(nth_fd, "0", 1, 0) != 1)
		_exit(1);
	return injected;
}

static long make_child(void)
{
	struct det_op ops[] = {
		op_copy(buf, (uintptr_t)buf, BUF_SIZE),
		op_zero((uintptr_t)buf + BUF_SIZE, 4 * PAGE, PROT_RW),
		op_zero(LOW, LOW_SIZE, PROT_RW),
	};
	long ret;

	ret = MAKE(CHILD, code_seven);
	ret = ret ?: put_ops(CHILD, 0, ops, 3, NULL);
	ret = ret ?: poke(CHILD, LOW + LOW_SIZE / 2, "old", 3);
	ret = ret ?: put_flags(CHILD, DET_SNAP, NULL);
	ret = ret ?: poke(CHILD, LOW, "new", 3);
	ret = ret ?: poke(CHILD, LOW + LOW_SIZE - PAGE, "new", 3);
	/* What the next snapshot has to have anew. */
	ret = ret ?: put_op(CHILD, 0, op_zero((uintptr_t)buf + 4 * BUF_SIZE, PAGE,
					      PROT_RW), NULL);
	return ret ?: poke(CHILD, (uintptr_t)buf + PAGE, "new", 3);
}

/* --- The calls --- */

static long do_make(struct det_status *st)
{
	kill_child(CHILD);
	return put_flags(CHILD, 0, st);
}

static long do_zero(struct det_status *st)
{
	return put_op(CHILD, 0, op_zero((uintptr_t)buf + 2 * PAGE, 3 * PAGE,
					PROT_RW), st);
}

static long do_unmap(struct det_status *st)
{
	return put_op(CHILD, 0, op_zero((uintptr_t)buf + 2 * PAGE, 3 * PAGE, 0),
		      st);
}

static long do_perm(struct det_status *st)
{
	return put_op(CHILD, 0, op_perm((uintptr_t)buf + 2 * PAGE, 3 * PAGE,
					PROT_READ), st);
}

static long do_copy(struct det_status *st)
{
	return put_op(CHILD, 0, op_copy(buf, (uintptr_t)buf, BUF_SIZE), st);
}

static long do_copy_bytes(struct det_status *st)
{
	return put_op(CHILD, 0, op_copy(buf, (uintptr_t)buf + 77, 3 * PAGE),
		      st);
}

static long do_whole(struct det_status *st)
{
	return put_op(CHILD, 0, op_whole(), st);
}

static long do_snap(struct det_status *st)
{
	return put_flags(CHILD, DET_SNAP, st);
}

static long do_get(struct det_status *st)
{
	return get_op(CHILD, 0, op_copy(buf + BUF_SIZE, (uintptr_t)buf,
					BUF_SIZE), st);
}

static long do_image(struct det_status *st)
{
	return get_op(CHILD, 0, op_image(buf + BUF_SIZE, (uintptr_t)buf,
					 BUF_SIZE), st);
}

static long do_merge(struct det_status *st)
{
	return get_op(CHILD, 0, op_merge(buf, BUF_SIZE, 0), st);
}

static long do_round(struct det_status *st)
{
	struct user_regs_struct regs;
	struct det_args a = args_of(DET_START | DET_WAIT, NULL, 0, st);

	args_regs(&a, &regs);
	return dget(CHILD, &a);
}

static long do_self(struct det_status *st)
{
	return put_op(DET_SELF, 0, op_zero((uintptr_t)buf + BUF_SIZE + PAGE,
					   2 * PAGE, PROT_RW), st);
}

/* --- What must hold after each --- */

static void check_broken(struct __test_metadata *_metadata)
{
	struct user_regs_struct regs;
	struct det_status st;

	EXPECT_EQ(-EOWNERDEAD, put_flags(CHILD, DET_START, &st));
	EXPECT_EQ(DET_BROKEN, st.reason);
	EXPECT_EQ(-EOWNERDEAD, run_child(CHILD, &st));
	EXPECT_EQ(0, get_regs(CHILD, &regs));
	/* A WHOLE copy replaces it. */
	EXPECT_EQ(0, put_op(CHILD, 0, op_whole(), &st));
	EXPECT_EQ(0, get_stop(CHILD, &st));
	EXPECT_NE(DET_BROKEN, st.reason) print_status(&st);
}

static void check_child(struct __test_metadata *_metadata, bool runs)
{
	struct det_status st;
	long ret = get_stop(CHILD, &st);

	if (ret == -ESRCH)
		return;
	ASSERT_EQ(0, ret);
	if (st.reason == DET_BROKEN) {
		check_broken(_metadata);
	} else if (runs) {
		EXPECT_EQ(0, run_child(CHILD, &st));
		EXPECT_RET(7, &st);
	}
	EXPECT_EQ(0, kill_child(CHILD));
}

/* A snapshot that was to be taken again is the old or the new one, or gone. */
static void check_snapshot(struct __test_metadata *_metadata)
{
	char *first = buf + BUF_SIZE, *last = first + PAGE;
	struct det_op ops[] = {
		op_image(first, LOW, PAGE),
		op_image(last, LOW + LOW_SIZE - PAGE, PAGE),
	};
	struct det_status st;

	ASSERT_EQ(0, get_stop(CHILD, &st));
	if (st.reason == DET_BROKEN) {
		EXPECT_EQ(-ENODATA, get_ops(CHILD, 0, ops, 2, &st));
		return;
	}
	ASSERT_EQ(0, get_ops(CHILD, 0, ops, 2, &st));
	EXPECT_EQ(0, memcmp(first, last, PAGE)) TH_LOG("half of each");
	EXPECT_EQ(0, get_op(CHILD, 0, op_merge(buf, BUF_SIZE, 0), &st));
}

/* What a dget COPY would replace is there as before, as new, or not at all. */
static void check_replaced(struct __test_metadata *_metadata, long ret)
{
	unsigned char there[BUF_PAGES];
	char *to = buf + BUF_SIZE;

	if (mincore(to, BUF_SIZE, there)) {
		EXPECT_EQ(-ENOMEM, ret);
		EXPECT_EQ(to, mmap(to, BUF_SIZE, PROT_RW, MAP_PRIVATE |
				   MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0))
			TH_LOG("a part of the range is mapped");
	} else if (ret && ret != -EFAULT) {
		EXPECT_TRUE(all_bytes(to, 'x', BUF_SIZE));
	}
}

/*
 * The caller's first half is "old" and, if the merge was done, "new". A call
 * that could not write its status has done all the rest.
 */
static void check_caller(struct __test_metadata *_metadata, bool merges,
			 long ret)
{
	bool new = !memcmp(buf + PAGE, "new", 3);

	EXPECT_TRUE(all_bytes(buf, 'o', PAGE));
	EXPECT_TRUE(all_bytes(buf + PAGE + 3, 'o', BUF_SIZE - PAGE - 3));
	EXPECT_TRUE(new || !memcmp(buf + PAGE, "ooo", 3));
	if (ret != -EFAULT)
		EXPECT_EQ(merges && ret == 0, new);
}

FIXTURE(nomem)
{
};

FIXTURE_VARIANT(nomem)
{
	long (*call)(struct det_status *st);
	bool merges, replaces;
};

FIXTURE_VARIANT_ADD(nomem, make) { .call = do_make, .replaces = true };
FIXTURE_VARIANT_ADD(nomem, zero) { .call = do_zero };
FIXTURE_VARIANT_ADD(nomem, unmap) { .call = do_unmap };
FIXTURE_VARIANT_ADD(nomem, perm) { .call = do_perm };
FIXTURE_VARIANT_ADD(nomem, copy) { .call = do_copy };
FIXTURE_VARIANT_ADD(nomem, copy_bytes) { .call = do_copy_bytes };
FIXTURE_VARIANT_ADD(nomem, whole) { .call = do_whole, .replaces = true };
FIXTURE_VARIANT_ADD(nomem, snap) { .call = do_snap };
FIXTURE_VARIANT_ADD(nomem, get) { .call = do_get };
FIXTURE_VARIANT_ADD(nomem, image) { .call = do_image };
FIXTURE_VARIANT_ADD(nomem, merge) { .call = do_merge, .merges = true };
FIXTURE_VARIANT_ADD(nomem, round) { .call = do_round };
FIXTURE_VARIANT_ADD(nomem, self) { .call = do_self };

FIXTURE_SETUP(nomem)
{
	NEED_CALLS();
	nth_fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (nth_fd < 0)
		SKIP(return, "no CONFIG_FAULT_INJECTION, or not root");
	set_up_injection();
	buf = mmap(NULL, 2 * BUF_SIZE, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS,
		   -1, 0);
	ASSERT_NE(MAP_FAILED, buf);
}

FIXTURE_TEARDOWN(nomem)
{
}

TEST_F(nomem, each_failure)
{
	int nth, failures = 0, step = getenv("DET_TEST_STEPS") ? 100000 : 16;
	struct det_status st;
	bool injected;
	long ret;

	/* Every one of the first, then fewer and fewer. */
	for (nth = 1; nth < 100000; nth += 1 + nth / step) {
		memset(buf, 'o', BUF_SIZE);
		memset(buf + BUF_SIZE, 'x', BUF_SIZE);
		ASSERT_EQ(0, make_child());
		arm(nth);
		ret = variant->call(&st);
		injected = disarm();
		if (ret < 0) {
			failures++;
			EXPECT_TRUE(injected) TH_LOG("error %ld", ret);
			EXPECT_TRUE(ret == -ENOMEM || ret == -EFAULT ||
				    ret == -EAGAIN)
				TH_LOG("failure %d: error %ld", nth, ret);
		}
		check_caller(_metadata, variant->merges, ret);
		if (variant->call == do_get || variant->call == do_image)
			check_replaced(_metadata, ret);
		if (variant->call == do_snap && ret)
			check_snapshot(_metadata);
		check_child(_metadata, !(variant->replaces));
		if (!injected)
			break;
	}
	TH_LOG("%d places to fail looked at, %d failed calls", nth, failures);
	EXPECT_LT(0, failures);
	EXPECT_FALSE(injected);
}

TEST_HARNESS_MAIN
