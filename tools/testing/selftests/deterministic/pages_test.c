// SPDX-License-Identifier: GPL-2.0-only
/*
 * The report of a fault tells nothing about the page that it is about: whether
 * it was ever touched, only read, written, shared with the caller or with a
 * snapshot, part of a huge page, or swapped out; nor which signals were sent to
 * the space before. Status and registers are compared with those of a page that
 * was never touched.
 */
#include "mem.h"

#define CHILD 1
#define AT 0x300000000UL	/* 2 MiB aligned; where the child has the page */
#define PAGE_AT (AT + 3 * PAGE)

enum state {
	UNTOUCHED,
	READ,
	WRITTEN,
	SHARED,
	SNAPSHOT,
	HUGE_PAGE,
	SWAPPED,
};

struct report {
	struct det_status st;
	struct user_regs_struct regs;
};

/* What is tried, and a permission that forbids it. */
static const struct access {
	enum probe what;
	__u32 prot;
	__u64 error;
} accesses[] = {
	{ PROBE_WRITE, PROT_READ, PF_USER | PF_WRITE },
	{ PROBE_READ, PROT_NONE, PF_USER },
	{ PROBE_CALL, PROT_RW, PF_USER | PF_INSTR },
};

/* A child whose memory at AT is in that state, and may be written to. */
static long make_state(enum state state)
{
	static char *huge;

	kill_child(CHILD);
	if (probe_into(CHILD))
		return -1;
	if (state != SHARED && state != SNAPSHOT && state != HUGE_PAGE &&
	    put_op(CHILD, 0, op_zero(AT, HUGE, PROT_RW), NULL))
		return -1;
	switch (state) {
	case UNTOUCHED:
		return 0;
	case READ:
		return child_read(CHILD, PAGE_AT);
	case WRITTEN:
		return child_write(CHILD, PAGE_AT, 1);
	case SHARED:
	case SNAPSHOT:
	case HUGE_PAGE:
		huge = huge ?: map_huge(HUGE);
		if (state == HUGE_PAGE)
			memset(huge, 1, HUGE);
		else
			huge[PAGE_AT - AT] = 1;
		return put_op(CHILD, state == SNAPSHOT ? DET_SNAP : 0,
			      op_copy(huge, AT, HUGE), NULL);
	case SWAPPED:
		if (child_write(CHILD, PAGE_AT, 1))
			return -1;
		swap_out();
		return 0;
	}
	return -1;
}

/* All but those that end or stop it. */
static void send_signals(pid_t pid)
{
	int sig;

	for (sig = 1; sig <= SIGRTMAX; sig++) {
		if (sig == SIGKILL || sig == SIGSTOP || sig == SIGTSTP)
			continue;
		sigqueue(pid, sig, (union sigval){ .sival_int = sig });
		syscall(__NR_tgkill, pid, pid, sig);
	}
}

static long report_of(const struct access *a, struct report *r)
{
	struct user_regs_struct regs = blob_regs();
	struct det_op op = op_perm(AT, HUGE, a->prot);
	struct det_args args = args_of(DET_START | DET_WAIT, &op, 1, &r->st);
	long ret;

	regs.rip = PROBE_AT;
	regs.rsp = PROBE_STACK_END;
	regs.rdi = PAGE_AT;
	regs.rdx = a->what;
	args_regs(&args, &regs);
	ret = dput(CHILD, &args);
	return ret ?: get_regs(CHILD, &r->regs);
}

static void check(struct __test_metadata *_metadata, enum state state,
		  bool signals)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(accesses); i++) {
		struct report want = {}, got = {};
		pid_t pid;

		ASSERT_EQ(0, make_state(UNTOUCHED));
		ASSERT_EQ(0, report_of(&accesses[i], &want));
		EXPECT_FAULT(SIGSEGV, 14, &want.st);
		EXPECT_EQ(PAGE_AT, want.st.addr);
		EXPECT_EQ(accesses[i].error, want.st.error);
		ASSERT_EQ(0, make_state(state));
		pid = space_pid(getpid(), CHILD);
		ASSERT_NE(0, pid);
		if (state == SWAPPED)
			ASSERT_TRUE(is_swapped(pid));
		if (signals)
			send_signals(pid);
		ASSERT_EQ(0, report_of(&accesses[i], &got));
		EXPECT_EQ(0, memcmp(&want, &got, sizeof(got)))
			print_status(&got.st);
	}
}

FIXTURE(page) {
};

FIXTURE_VARIANT(page) {
	enum state state;
};

FIXTURE_SETUP(page)
{
	NEED_CALLS();
}

FIXTURE_TEARDOWN(page)
{
	kill_child(CHILD);
}

FIXTURE_VARIANT_ADD(page, untouched) { .state = UNTOUCHED };
FIXTURE_VARIANT_ADD(page, read) { .state = READ };
FIXTURE_VARIANT_ADD(page, written) { .state = WRITTEN };
FIXTURE_VARIANT_ADD(page, shared) { .state = SHARED };
FIXTURE_VARIANT_ADD(page, snapshot) { .state = SNAPSHOT };
FIXTURE_VARIANT_ADD(page, huge) { .state = HUGE_PAGE };
FIXTURE_VARIANT_ADD(page, swapped) { .state = SWAPPED };

TEST_F(page, report)
{
	if (variant->state == SWAPPED && !enter_cgroup())
		SKIP(return, "no swap, or no cgroups");
	check(_metadata, variant->state, false);
	check(_metadata, variant->state, true);
	if (variant->state == SWAPPED)
		leave_cgroup();
}

TEST_HARNESS_MAIN
