// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory errors, injected as the kernel would find them: in a page of a
 * space's, of its parent's, of its snapshot's.
 *
 * A space that touches such a page is KILLED, and never sees a fault: the next
 * run may well not have it. A master is told EOWNERDEAD where the bytes would
 * be read. What does not need the page goes on as if nothing had happened.
 *
 * Needs root, CONFIG_MEMORY_FAILURE and CONFIG_HWPOISON_INJECT.
 */
#include <setjmp.h>

#include "../selftests/deterministic/mem.h"

#define CHILD 1
#define AT 0x500000000UL
#define PAGES 16
#define LEN (PAGES * PAGE)

#define INJECT "/sys/kernel/debug/hwpoison/corrupt-pfn"
#define HEAL "/sys/kernel/debug/hwpoison/unpoison-pfn"
#define EARLY "/proc/sys/vm/memory_failure_early_kill"

/* Nothing to test without it. */
static void __attribute__((__constructor__)) need_injection(void)
{
	if (!access(INJECT, W_OK))
		return;
	printf("1..0 # SKIP no " INJECT "\n");
	fflush(stdout);
	_exit(KSFT_SKIP);
}

/* --- Poisoned pages --- */

static unsigned long poisoned[64];
static int nr_poisoned;

/* Files of debugfs have no position. */
static bool write_number(const char *path, unsigned long n)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && dprintf(fd, "%#lx", n) > 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

static __u64 read_u64(const char *path, __u64 index)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	__u64 val = 0;

	if (fd < 0 || pread(fd, &val, 8, index * 8) != 8)
		val = 0;
	if (fd >= 0)
		close(fd);
	return val;
}

/* The page frame at @addr of a process, 0 if there is none. */
static unsigned long pfn_of(pid_t pid, __u64 addr)
{
	char path[64];
	__u64 val;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	val = read_u64(path, addr / PAGE);
	return val >> 63 ? val & ((1ULL << 55) - 1) : 0;
}

#define KPF_HWPOISON 0x80000ULL

static bool is_poisoned(unsigned long pfn)
{
	return read_u64("/proc/kpageflags", pfn) & KPF_HWPOISON;
}

static bool poison(unsigned long pfn)
{
	if (!pfn || nr_poisoned == ARRAY_SIZE(poisoned))
		return false;
	poisoned[nr_poisoned++] = pfn;
	write_number(INJECT, pfn);
	return is_poisoned(pfn);
}

/* When nobody has them any more they can be used again. */
static bool heal(void)
{
	bool ok = true;

	while (nr_poisoned) {
		unsigned long pfn = poisoned[--nr_poisoned];

		write_number(HEAL, pfn);
		ok &= !is_poisoned(pfn);
	}
	return ok;
}

/* --- One access by a space --- */

static __u32 touch(enum probe what, __u64 addr)
{
	struct user_regs_struct regs = blob_regs();
	struct det_status st = {};
	long ret;

	regs.rip = PROBE_AT;
	regs.rsp = PROBE_STACK_END;
	regs.rdi = addr;
	regs.rsi = 1;
	regs.rdx = what;
	ret = put_regs(CHILD, &regs, DET_START | DET_WAIT, &st);
	if (ret || (st.reason != DET_RET && st.reason != DET_KILLED)) {
		fprintf(stderr, "# access: %ld\n", ret);
		print_status(&st);
	}
	return st.reason;
}

/* --- A child with a copy of the arena, each page its own --- */

FIXTURE(poison)
{
	char *arena;
	char model[LEN];
	pid_t pid;
};

static long make_child(char *arena)
{
	return probe_into(CHILD) ?:
	       put_op(CHILD, 0, op_copy(arena, AT, LEN), NULL);
}

/* The child writes 1 at the beginning of each page. */
static bool child_writes(void)
{
	int i;

	for (i = 0; i < PAGES; i++)
		if (child_write(CHILD, AT + i * PAGE, 1))
			return false;
	return true;
}

FIXTURE_SETUP(poison)
{
	NEED_CALLS();
	self->arena = map_at((void *)AT, LEN, PROT_RW, MAP_PRIVATE |
			     MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1);
	fill(self->arena, LEN, 3);
	memcpy(self->model, self->arena, LEN);
	ASSERT_EQ(0, make_child(self->arena));
	ASSERT_TRUE(child_writes());
	self->pid = space_pid(getpid(), CHILD);
	ASSERT_NE(0, self->pid);
}

FIXTURE_TEARDOWN(poison)
{
	kill_child(CHILD);
	munmap(self->arena, LEN);
	EXPECT_TRUE(EVENTUALLY(!pid_exists(self->pid)));
	write_number(EARLY, 0);
	EXPECT_TRUE(heal());
}

/* The caller has what it had. */
#define EXPECT_UNCHANGED() \
	EXPECT_EQ(0, memcmp(self->model, self->arena, LEN))

static void check_killed(struct __test_metadata *_metadata)
{
	struct det_status st;
	char c;

	EXPECT_EQ(0, get_stop(CHILD, &st));
	EXPECT_EQ(DET_KILLED, st.reason);
	EXPECT_EQ(-EOWNERDEAD, peek(CHILD, AT + PAGE, &c, 1));
	EXPECT_EQ(0, kill_child(CHILD));
	EXPECT_EQ(-ESRCH, get_stop(CHILD, NULL));
}

/* --- (1) A space's own page --- */

FIXTURE_VARIANT(poison)
{
	int early;
};

/* Processes are told at once, or when they touch it: a space never is. */
FIXTURE_VARIANT_ADD(poison, late) { .early = 0 };
FIXTURE_VARIANT_ADD(poison, early) { .early = 1 };

TEST_F(poison, space_reads)
{
	write_number(EARLY, variant->early);
	ASSERT_TRUE(poison(pfn_of(self->pid, AT + 3 * PAGE)));
	/* The other pages are as good as ever. */
	EXPECT_EQ(DET_RET, touch(PROBE_WRITE, AT + 2 * PAGE));
	EXPECT_EQ(DET_RET, touch(PROBE_READ, AT + 4 * PAGE));
	EXPECT_EQ(DET_KILLED, touch(PROBE_READ, AT + 3 * PAGE + 5));
	check_killed(_metadata);
	EXPECT_UNCHANGED();
}

TEST_F(poison, space_writes)
{
	write_number(EARLY, variant->early);
	ASSERT_TRUE(poison(pfn_of(self->pid, AT + 3 * PAGE)));
	EXPECT_EQ(DET_KILLED, touch(PROBE_WRITE, AT + 3 * PAGE));
	check_killed(_metadata);
	EXPECT_UNCHANGED();
}

TEST_F(poison, space_executes)
{
	write_number(EARLY, variant->early);
	ASSERT_EQ(0, put_op(CHILD, 0, op_perm(AT, LEN, PROT_READ | PROT_EXEC),
			    NULL));
	ASSERT_TRUE(poison(pfn_of(self->pid, AT + 3 * PAGE)));
	EXPECT_EQ(DET_KILLED, touch(PROBE_CALL, AT + 3 * PAGE));
	check_killed(_metadata);
}

/* It writes to the page all the time. */
BLOB(code_writes, "mov $0x500003000, %rdi\n1: incl (%rdi)\njmp 1b\n");

static bool is_killed(void)
{
	struct det_status st = {};

	return !get_flags(CHILD, DET_NOWAIT, &st) && st.reason == DET_KILLED;
}

TEST_F(poison, running_space)
{
	unsigned long pfn = pfn_of(self->pid, AT + 3 * PAGE);

	write_number(EARLY, variant->early);
	ASSERT_EQ(0, MAKE(CHILD, code_writes));
	ASSERT_EQ(0, put_flags(CHILD, DET_START, NULL));
	ASSERT_TRUE(poison(pfn));
	EXPECT_TRUE(EVENTUALLY(is_killed()));
	check_killed(_metadata);
	EXPECT_UNCHANGED();
}

/* The whole of a range, with the page in it. */
TEST_F(poison, space_is_copied_from)
{
	char *to = map_rw(LEN);
	struct det_status st;
	long ret;

	memset(to, 7, LEN);
	ASSERT_TRUE(poison(pfn_of(self->pid, AT + 3 * PAGE)));
	ret = get_op(CHILD, 0, op_copy(to, AT, LEN), &st);
	EXPECT_OP_ERR(EOWNERDEAD, 0, ret, &st);
	EXPECT_NE(DET_FAULT, st.reason);
	/* No half of it. */
	if (*perm_at(getpid(), addr_of(to)))
		EXPECT_TRUE(all_bytes(to, 7, LEN));
	/* What does not need it. */
	to = map_rw(LEN);
	EXPECT_EQ(0, get_op(CHILD, 0, op_copy(to, AT, 3 * PAGE), NULL));
	EXPECT_EQ(0, peek(CHILD, AT + 4 * PAGE, to + 8, 100));
	EXPECT_EQ(DET_RET, touch(PROBE_READ, AT));
	/* And it can be replaced. */
	EXPECT_EQ(0, put_op(CHILD, 0, op_copy(self->arena, AT, LEN), NULL));
	EXPECT_EQ(DET_RET, touch(PROBE_READ, AT + 3 * PAGE));
}

TEST_F(poison, bytes_of_a_space)
{
	char buf[8] = "unread";
	struct det_status st;
	long ret;

	ASSERT_TRUE(poison(pfn_of(self->pid, AT + 3 * PAGE)));
	ret = get_op(CHILD, 0, op_copy(buf, AT + 3 * PAGE + 1, 6), &st);
	EXPECT_OP_ERR(EOWNERDEAD, 0, ret, &st);
	EXPECT_STREQ("unread", buf);
	/* Into it: it cannot be written. */
	ret = put_op(CHILD, 0, op_copy(buf, AT + 3 * PAGE + 1, 6), &st);
	EXPECT_OP_ERR(EOWNERDEAD, 0, ret, &st);
	ret = put_op(CHILD, 0, op_zero(AT + 3 * PAGE + 1, 6, PROT_RW), &st);
	EXPECT_OP_ERR(EOWNERDEAD, 0, ret, &st);
	EXPECT_EQ(0, put_op(CHILD, 0, op_zero(AT + 3 * PAGE, PAGE, PROT_RW),
			    NULL));
	EXPECT_EQ(0, poke(CHILD, AT + 3 * PAGE + 1, buf, 6));
	EXPECT_EQ(DET_RET, touch(PROBE_WRITE, AT + 3 * PAGE));
}

TEST_F(poison, space_is_merged)
{
	struct det_status st;
	long ret;

	ASSERT_EQ(0, put_flags(CHILD, DET_SNAP, NULL));
	ASSERT_EQ(0, child_write(CHILD, AT + 2 * PAGE, 2));
	ASSERT_EQ(0, child_write(CHILD, AT + 3 * PAGE, 2));
	ASSERT_TRUE(poison(pfn_of(self->pid, AT + 3 * PAGE)));
	ret = get_op(CHILD, 0, op_merge(self->arena, LEN, DET_MERGE_TAKE), &st);
	EXPECT_OP_ERR(EOWNERDEAD, 0, ret, &st);
	EXPECT_UNCHANGED();
	/* Without that page. */
	self->model[2 * PAGE] = 2;
	EXPECT_EQ(0, get_op(CHILD, 0, op_merge(self->arena, 3 * PAGE,
					       DET_MERGE_TAKE), NULL));
	EXPECT_UNCHANGED();
	EXPECT_EQ(DET_KILLED, touch(PROBE_READ, AT + 3 * PAGE));
}

/* --- (2) The parent's page --- */

static sigjmp_buf out_of_sigbus;

static void on_sigbus(int sig)
{
	siglongjmp(out_of_sigbus, 1);
}

/* Proves that the page is lost to its owner. */
static bool sigbus_at(const char *p)
{
	bool lost = false;

	signal(SIGBUS, on_sigbus);
	if (!sigsetjmp(out_of_sigbus, 1))
		__atomic_load_n(p, __ATOMIC_RELAXED);
	else
		lost = true;
	signal(SIGBUS, SIG_DFL);
	return lost;
}

/* The entry may be copied as it stands; then the space must not survive it. */
TEST_F(poison, parent_is_copied_from)
{
	struct det_status st;
	long ret;

	ASSERT_TRUE(poison(pfn_of(getpid(), AT + 3 * PAGE)));
	EXPECT_TRUE(sigbus_at(self->arena + 3 * PAGE));
	ret = put_op(CHILD, DET_SNAP, op_copy(self->arena, AT, LEN), &st);
	if (ret) {
		EXPECT_OP_ERR(EOWNERDEAD, 0, ret, &st);
		return;
	}
	EXPECT_TRUE(child_has(CHILD, AT, self->arena, 3 * PAGE));
	EXPECT_EQ(DET_RET, touch(PROBE_WRITE, AT + 4 * PAGE));
	EXPECT_EQ(0, get_op(CHILD, 0, op_merge(self->arena, LEN, 0), NULL));
	EXPECT_EQ(1, self->arena[4 * PAGE]);
	EXPECT_EQ(DET_KILLED, touch(PROBE_READ, AT + 3 * PAGE));
	check_killed(_metadata);
}

TEST_F(poison, bytes_of_a_parent)
{
	struct det_status st;
	long ret;

	ASSERT_TRUE(poison(pfn_of(getpid(), AT + 3 * PAGE)));
	ret = put_op(CHILD, 0, op_copy(self->arena + 3 * PAGE, AT + 1, 16),
		     &st);
	EXPECT_OP_ERR(EOWNERDEAD, 0, ret, &st);
	/* To another address: fresh memory, filled. */
	ret = put_op(CHILD, 0, op_copy(self->arena, AT + LEN, LEN), &st);
	EXPECT_OP_ERR(EOWNERDEAD, 0, ret, &st);
	EXPECT_EQ(1, child_read(CHILD, AT + 3 * PAGE));
	EXPECT_EQ(DET_RET, touch(PROBE_WRITE, AT));
}

TEST_F(poison, parent_is_merged_into)
{
	struct det_status st;
	long ret;

	ASSERT_EQ(0, put_flags(CHILD, DET_SNAP, NULL));
	ASSERT_EQ(0, child_write(CHILD, AT + 2 * PAGE, 2));
	ASSERT_EQ(0, child_write(CHILD, AT + 3 * PAGE, 2));
	ASSERT_TRUE(poison(pfn_of(getpid(), AT + 3 * PAGE)));
	ret = get_op(CHILD, 0, op_merge(self->arena, LEN, DET_MERGE_TAKE), &st);
	EXPECT_OP_ERR(EOWNERDEAD, 0, ret, &st);
	EXPECT_EQ(0, memcmp(self->model, self->arena, 3 * PAGE));
	/* With new memory there it works. */
	map_at(self->arena + 3 * PAGE, PAGE, PROT_RW, MAP_PRIVATE |
	       MAP_ANONYMOUS | MAP_FIXED, -1);
	EXPECT_EQ(0, get_op(CHILD, 0, op_merge(self->arena, LEN,
					       DET_MERGE_TAKE), NULL));
	EXPECT_EQ(2, self->arena[2 * PAGE]);
	EXPECT_EQ(2, self->arena[3 * PAGE]);
}

TEST_F(poison, parent_forks)
{
	struct det_status st;
	long ret;

	ASSERT_TRUE(poison(pfn_of(getpid(), AT + 3 * PAGE)));
	ret = put_op(2, DET_SNAP, op_whole(), &st);
	if (ret) {
		EXPECT_OP_ERR(EOWNERDEAD, 0, ret, &st);
	} else {
		EXPECT_TRUE(child_has(2, AT, self->arena, 3 * PAGE));
		EXPECT_EQ(0, get_op(2, 0, op_merge(self->arena, LEN, 0), NULL));
	}
	EXPECT_EQ(0, kill_child(2));
}

/* --- A space as the parent: nothing of it is shown to it --- */

enum in_space { SPACE_MERGES, SPACE_COPIES_BYTES, SPACE_COPIES_OUT };

static enum in_space in_space;

static long write_page(void *arg)
{
	((char *)arg)[3 * PAGE] = 9;
	return 0;
}

/*
 * Has a child that has changed a page, and rests with @arg's page its own; the
 * master poisons that; what it sees then must be the page, or nothing.
 */
static long rest_then_use(void *arg)
{
	char *arena = arg, buf[8];
	long ret = 0;

	if (spawn(CHILD, DET_SNAP | DET_START | DET_WAIT, write_page, arena,
		  NULL) != 1)
		return -1;
	arena[3 * PAGE + 8] ^= 1;
	dret(1);
	switch (in_space) {
	case SPACE_MERGES:
		ret = get_op(CHILD, 0, op_merge(arena, LEN, DET_MERGE_TAKE),
			     NULL);
		break;
	case SPACE_COPIES_BYTES:
		ret = poke(CHILD, addr_of(arena), arena + 3 * PAGE, 5);
		break;
	case SPACE_COPIES_OUT:
		ret = peek(CHILD, AT + 3 * PAGE, buf, sizeof(buf));
		break;
	}
	return ret;
}

static void check_in_space(struct __test_metadata *_metadata,
			   enum in_space what, char *arena)
{
	struct det_status st;
	pid_t pid;

	in_space = what;
	ASSERT_EQ(0, kill_child(CHILD));
	ASSERT_EQ(1, spawn(CHILD, DET_START | DET_WAIT, rest_then_use, arena,
			   &st));
	ASSERT_RET(1, &st);
	pid = space_pid(getpid(), CHILD);
	if (what == SPACE_COPIES_OUT)
		pid = space_pid(pid, CHILD);
	ASSERT_TRUE(poison(pfn_of(pid, AT + 3 * PAGE)));
	ASSERT_EQ(0, run_child(CHILD, &st));
	EXPECT_EQ(DET_KILLED, st.reason) print_status(&st);
}

TEST_F(poison, space_merges_into_its_own)
{
	check_in_space(_metadata, SPACE_MERGES, self->arena);
}

TEST_F(poison, space_copies_bytes_of_its_own)
{
	check_in_space(_metadata, SPACE_COPIES_BYTES, self->arena);
}

TEST_F(poison, space_copies_bytes_of_its_childs)
{
	check_in_space(_metadata, SPACE_COPIES_OUT, self->arena);
}

/* --- (3) The snapshot's page --- */

/* Of the image alone: the child has changed its own since. */
TEST_F(poison, snapshot)
{
	struct det_status st;
	char *to = map_rw(LEN);
	unsigned long pfn;
	char buf[8];
	long ret;

	pfn = pfn_of(self->pid, AT + 3 * PAGE);
	ASSERT_EQ(0, put_flags(CHILD, DET_SNAP, NULL));
	ASSERT_EQ(0, child_write(CHILD, AT + 2 * PAGE, 2));
	ASSERT_EQ(0, child_write(CHILD, AT + 3 * PAGE, 2));
	ASSERT_NE(pfn, pfn_of(self->pid, AT + 3 * PAGE));
	write_number(EARLY, variant->early);
	ASSERT_TRUE(poison(pfn));

	ret = get_op(CHILD, 0, op_merge(self->arena, LEN, DET_MERGE_TAKE), &st);
	EXPECT_OP_ERR(EOWNERDEAD, 0, ret, &st);
	EXPECT_UNCHANGED();
	ret = get_op(CHILD, 0, op_image(to, AT, LEN), &st);
	EXPECT_OP_ERR(EOWNERDEAD, 0, ret, &st);
	ret = get_op(CHILD, 0, op_image(buf, AT + 3 * PAGE + 1, 3), &st);
	EXPECT_OP_ERR(EOWNERDEAD, 0, ret, &st);

	/* The child has lost nothing. */
	EXPECT_EQ(2, child_read(CHILD, AT + 3 * PAGE));
	self->model[2 * PAGE] = 2;
	EXPECT_EQ(0, get_op(CHILD, 0, op_merge(self->arena, 3 * PAGE,
					       DET_MERGE_TAKE), NULL));
	EXPECT_UNCHANGED();
	/* And the next snapshot is whole. */
	ASSERT_EQ(0, put_flags(CHILD, DET_SNAP, NULL));
	EXPECT_EQ(0, child_write(CHILD, AT + 3 * PAGE, 3));
	self->arena[3 * PAGE] = 2;
	EXPECT_EQ(0, get_op(CHILD, 0, op_merge(self->arena, LEN,
					       DET_MERGE_TAKE), NULL));
	EXPECT_EQ(3, self->arena[3 * PAGE]);
}

/* The child and its image have one page: it is unchanged, if unreadable. */
TEST_F(poison, snapshot_and_child)
{
	struct det_status st;
	long ret;

	ASSERT_EQ(0, put_flags(CHILD, DET_SNAP, NULL));
	ASSERT_EQ(0, child_write(CHILD, AT + 2 * PAGE, 2));
	write_number(EARLY, variant->early);
	ASSERT_TRUE(poison(pfn_of(self->pid, AT + 3 * PAGE)));
	ret = get_op(CHILD, 0, op_merge(self->arena, LEN, DET_MERGE_TAKE), &st);
	if (!ret)
		self->model[2 * PAGE] = 2;
	EXPECT_TRUE(!ret || is_op_err(ret, EOWNERDEAD, 0, &st));
	EXPECT_UNCHANGED();
	EXPECT_EQ(0, put_flags(CHILD, DET_SNAP, NULL));
	EXPECT_EQ(DET_KILLED, touch(PROBE_READ, AT + 3 * PAGE));
	check_killed(_metadata);
	EXPECT_UNCHANGED();
}

/* The parent, the child and the image have one page. */
TEST_F(poison, page_of_all_three)
{
	struct det_status st;
	long ret;

	ASSERT_EQ(0, put_op(CHILD, DET_SNAP, op_copy(self->arena, AT, LEN),
			    NULL));
	ASSERT_EQ(0, child_write(CHILD, AT + 2 * PAGE, 2));
	write_number(EARLY, 0);		/* the master may live */
	ASSERT_TRUE(poison(pfn_of(getpid(), AT + 3 * PAGE)));
	EXPECT_TRUE(sigbus_at(self->arena + 3 * PAGE));
	ret = get_op(CHILD, 0, op_merge(self->arena, LEN, 0), &st);
	EXPECT_TRUE(ret ? is_op_err(ret, EOWNERDEAD, 0, &st) :
			  self->arena[2 * PAGE] == 2);
	EXPECT_EQ(DET_KILLED, touch(PROBE_WRITE, AT + 3 * PAGE));
	check_killed(_metadata);
}

/* --- A part of a huge page --- */

TEST_F(poison, huge_page)
{
	char *huge = map_huge(HUGE), *to = map_rw(HUGE);
	__u64 at = addr_of(huge);
	struct det_status st;
	long ret;

	fill(huge, HUGE, 5);
	ASSERT_EQ(0, put_op(CHILD, DET_SNAP, op_copy(huge, at, HUGE), NULL));
	ASSERT_TRUE(poison(pfn_of(getpid(), at + 100 * PAGE)));
	EXPECT_TRUE(sigbus_at(huge + 100 * PAGE));
	EXPECT_EQ(DET_RET, touch(PROBE_WRITE, at + 99 * PAGE));
	ret = get_op(CHILD, 0, op_merge(huge, HUGE, 0), &st);
	EXPECT_TRUE(ret ? is_op_err(ret, EOWNERDEAD, 0, &st) :
			  huge[99 * PAGE] == 1);
	EXPECT_EQ(0, get_op(CHILD, 0, op_copy(to, at, 99 * PAGE), NULL));
	EXPECT_EQ(0, memcmp(to, huge, 99 * PAGE));
	EXPECT_EQ(0, get_op(CHILD, 0, op_copy(to, at + 101 * PAGE,
					      411 * PAGE), NULL));
	EXPECT_EQ(0, memcmp(to, huge + 101 * PAGE, 411 * PAGE));
	EXPECT_EQ(DET_KILLED, touch(PROBE_READ, at + 100 * PAGE));
	check_killed(_metadata);
	munmap(huge, HUGE);
}

/* --- Again and again, all the time --- */

/* A page at random, the parent's or the child's, and then a round. */
TEST_F(poison, rounds)
{
	__u64 random = 17 + variant->early;
	int i, lost = 0, killed = 0;

	for (i = 0; i < 40; i++) {
		__u64 at = AT + next_random(&random) % PAGES * PAGE;
		bool own = next_random(&random) & 1;
		struct det_status st = {};
		__u32 reason;
		long ret;

		/* All is made again: no page of it is old. */
		map_at(self->arena, LEN, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS |
		       MAP_FIXED, -1);
		memcpy(self->arena, self->model, LEN);
		ASSERT_EQ(0, make_child(self->arena));
		ASSERT_EQ(0, put_flags(CHILD, DET_SNAP, NULL));
		ASSERT_TRUE(child_writes());
		self->pid = space_pid(getpid(), CHILD);
		ASSERT_TRUE(poison(pfn_of(own ? self->pid : getpid(), at)));

		ret = get_op(CHILD, 0, op_merge(self->arena, LEN, 0), &st);
		ASSERT_EQ(-EOWNERDEAD, ret);
		lost++;
		reason = touch(PROBE_READ, at);
		ASSERT_EQ(own ? DET_KILLED : DET_RET, reason);
		if (own) {
			killed++;
			ASSERT_EQ(0, kill_child(CHILD));
		}
	}
	EXPECT_EQ(40, lost);
	EXPECT_NE(0, killed);
}

TEST_HARNESS_MAIN
