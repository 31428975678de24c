// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registers: in and out, in a child that runs and in one that only stands,
 * what FORK gives, and what the parent may not set. Every component of the
 * extended state that the CPU has is filled, taken through dput, the child
 * and dget, and compared.
 */
#include "common.h"
#include "xstate.h"

#define CHILD 1

#define FLAG_TF 0x100UL
#define FLAG_AC 0x40000UL
#define FLAGS_KEPT (0x1 | 0x4 | 0x10 | 0x40 | 0x80 | FLAG_TF | 0x400 | \
		    0x800 | FLAG_AC)
#define FLAGS_FIXED 0x202UL	/* IF and the bit that is always 1 */

/* Stores each register where the parent can read it; ends with RDI at data. */
#define STORE_ASM \
	"mov %rax, 0x20000000\n" \
	"mov %rbx, 0x20000008\n" \
	"mov %rcx, 0x20000010\n" \
	"mov %rdx, 0x20000018\n" \
	"mov %rsi, 0x20000020\n" \
	"mov %rdi, 0x20000028\n" \
	"mov %rbp, 0x20000030\n" \
	"mov %rsp, 0x20000038\n" \
	"mov %r8, 0x20000040\n" \
	"mov %r9, 0x20000048\n" \
	"mov %r10, 0x20000050\n" \
	"mov %r11, 0x20000058\n" \
	"mov %r12, 0x20000060\n" \
	"mov %r13, 0x20000068\n" \
	"mov %r14, 0x20000070\n" \
	"mov %r15, 0x20000078\n" \
	"pushf\n" \
	"popq 0x20000080\n" \
	"ud2\n"

BLOB(code_store, STORE_ASM);

/* The other way round. */
#define LOAD_ASM \
	"mov 0x20000008, %rbx\n" \
	"mov 0x20000010, %rcx\n" \
	"mov 0x20000018, %rdx\n" \
	"mov 0x20000020, %rsi\n" \
	"mov 0x20000028, %rdi\n" \
	"mov 0x20000030, %rbp\n" \
	"mov 0x20000038, %rsp\n" \
	"mov 0x20000040, %r8\n" \
	"mov 0x20000048, %r9\n" \
	"mov 0x20000050, %r10\n" \
	"mov 0x20000058, %r11\n" \
	"mov 0x20000060, %r12\n" \
	"mov 0x20000068, %r13\n" \
	"mov 0x20000070, %r14\n" \
	"mov 0x20000078, %r15\n" \
	"mov 0x20000000, %rax\n" \
	"ud2\n" \
	"ud2\n"

BLOB(code_load, LOAD_ASM);

/* In the order of the two above. */
static void to_array(const struct user_regs_struct *r, __u64 a[16])
{
	const __u64 v[16] = {
		r->rax, r->rbx, r->rcx, r->rdx, r->rsi, r->rdi, r->rbp, r->rsp,
		r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15,
	};

	memcpy(a, v, sizeof(v));
}

static struct user_regs_struct pattern_regs(void)
{
	struct user_regs_struct r = {
		.rax = 0x1111111111111100, .rbx = 0x1111111111111101,
		.rcx = 0x1111111111111102, .rdx = 0x1111111111111103,
		.rsi = 0x1111111111111104, .rdi = 0x1111111111111105,
		.rbp = 0x1111111111111106, .rsp = BLOB_STACK,
		.r8 = 0x8000000000000008, .r9 = 0x1111111111111109,
		.r10 = 0xffffffffffffff10, .r11 = 0x1111111111111111,
		.r12 = 0x1111111111111112, .r13 = 0x1111111111111113,
		.r14 = 0x1111111111111114, .r15 = 0x1111111111111115,
		.rip = BLOB_CODE,
		.eflags = 0x8d5 | FLAGS_FIXED,	/* OF SF ZF AF PF CF */
		.fs_base = BLOB_DATA + 0x100,
		.gs_base = BLOB_DATA + 0x200,
	};

	return r;
}

TEST(into_a_running_child)
{
	struct user_regs_struct regs = pattern_regs();
	__u64 want[16], seen[17];
	struct det_status st;
	int i;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_store));
	to_array(&regs, want);
	ASSERT_EQ(0, put_regs(CHILD, &regs, DET_START | DET_WAIT, &st));
	ASSERT_TRUE(is_fault(&st, SIGILL, 6));
	ASSERT_EQ(0, peek(CHILD, BLOB_DATA, seen, sizeof(seen)));
	for (i = 0; i < 16; i++)
		EXPECT_EQ(want[i], seen[i]) TH_LOG("register %d", i);
	EXPECT_EQ(0x8d5 | FLAGS_FIXED, seen[16]);
}

TEST(out_of_a_running_child)
{
	struct user_regs_struct want = pattern_regs(), regs;
	struct det_status st;
	__u64 a[16], b[16];
	int i;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_load));
	to_array(&want, a);
	ASSERT_EQ(0, poke(CHILD, BLOB_DATA, a, sizeof(a)));
	ASSERT_EQ(0, run_child(CHILD, &st));
	ASSERT_TRUE(is_fault(&st, SIGILL, 6));
	ASSERT_EQ(0, get_regs(CHILD, &regs));
	to_array(&regs, b);
	for (i = 0; i < 16; i++)
		EXPECT_EQ(a[i], b[i]) TH_LOG("register %d", i);
	EXPECT_EQ(BLOB_CODE + BLOB_SIZE(code_load) - 4, regs.rip);
}

/* In and out again, the child never running: all but what is sanitised. */
TEST(round_trip)
{
	struct user_regs_struct regs = pattern_regs(), back;
	__u64 a[16], b[16];

	NEED_CALLS();
	ASSERT_EQ(0, put_regs(CHILD, &regs, 0, NULL));
	memset(&back, 0xff, sizeof(back));
	ASSERT_EQ(0, get_regs(CHILD, &back));
	to_array(&regs, a);
	to_array(&back, b);
	EXPECT_EQ(0, memcmp(a, b, sizeof(a)));
	EXPECT_EQ(regs.rip, back.rip);
	EXPECT_EQ(regs.eflags, back.eflags);
	EXPECT_EQ(regs.fs_base, back.fs_base);
	EXPECT_EQ(regs.gs_base, back.gs_base);
	EXPECT_EQ(-1ULL, back.orig_rax);
	/* A call without REGS, or with no pointer, leaves them alone. */
	ASSERT_EQ(0, put_op(CHILD, DET_SNAP, op_zero(BLOB_DATA, PAGE, PROT_RW),
			    NULL));
	ASSERT_EQ(0, put_flags(CHILD, DET_REGS, NULL));
	memset(&regs, 0, sizeof(regs));
	ASSERT_EQ(0, get_regs(CHILD, &regs));
	EXPECT_EQ(0, memcmp(&regs, &back, sizeof(back)));
}

TEST(flags_are_masked)
{
	struct user_regs_struct regs = blob_regs();
	struct det_status st;
	__u64 seen[17];

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_store));
	regs.eflags = ~0UL;
	ASSERT_EQ(0, put_regs(CHILD, &regs, 0, NULL));
	ASSERT_EQ(0, get_regs(CHILD, &regs));
	EXPECT_EQ(FLAGS_KEPT | FLAGS_FIXED, regs.eflags);
	regs.eflags = 0;
	ASSERT_EQ(0, put_regs(CHILD, &regs, 0, NULL));
	ASSERT_EQ(0, get_regs(CHILD, &regs));
	EXPECT_EQ(FLAGS_FIXED, regs.eflags);
	regs.eflags = ~FLAG_TF;
	ASSERT_EQ(0, put_regs(CHILD, &regs, DET_START | DET_WAIT, &st));
	ASSERT_TRUE(is_fault(&st, SIGILL, 6));
	ASSERT_EQ(0, peek(CHILD, BLOB_DATA, seen, sizeof(seen)));
	EXPECT_EQ((FLAGS_KEPT & ~FLAG_TF) | FLAGS_FIXED, seen[16]);
}

/* A parent may single-step its child. */
BLOB(code_steps, "nop\nnop\nnop\nhlt\n");

TEST(trap_flag_steps)
{
	struct user_regs_struct regs = blob_regs();
	struct det_status st;
	int i;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_steps));
	regs.eflags |= FLAG_TF;
	for (i = 1; i <= 3; i++) {
		ASSERT_EQ(0, put_regs(CHILD, &regs, DET_START | DET_WAIT,
				      &st));
		EXPECT_FAULT(SIGTRAP, 1, &st);
		EXPECT_EQ(BLOB_CODE + i, regs.rip);
	}
	regs.eflags &= ~FLAG_TF;
	ASSERT_EQ(0, put_regs(CHILD, &regs, DET_START | DET_WAIT, &st));
	EXPECT_FAULT(SIGSEGV, 13, &st);
	EXPECT_EQ(BLOB_CODE + 3, regs.rip);
}

TEST(selectors_are_the_users)
{
	struct user_regs_struct regs = blob_regs(), plain;
	struct det_status st;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_store));
	ASSERT_EQ(0, get_regs(CHILD, &plain));
	EXPECT_EQ(0x33, plain.cs);
	EXPECT_EQ(0x2b, plain.ss);
	regs.cs = 0x10;
	regs.ss = 0x18;
	regs.ds = 0x18;
	regs.es = 3;
	regs.fs = 0x63;
	regs.gs = 0x7b;
	regs.orig_rax = 1;
	ASSERT_EQ(0, put_regs(CHILD, &regs, 0, NULL));
	ASSERT_EQ(0, get_regs(CHILD, &regs));
	EXPECT_EQ(0, memcmp(&regs, &plain, sizeof(plain)));
	ASSERT_EQ(0, run_child(CHILD, &st));
	EXPECT_FAULT(SIGILL, 6, &st);
}

#define BASES_ASM \
	"mov %fs:0x8, %rdi\n" \
	"mov %gs:0x8, %rax\n" \
	"shl $8, %rax\n" \
	"or %rax, %rdi\n" \
	ASM_DRET \
	"ud2\n"

BLOB(code_bases, BASES_ASM);

TEST(fs_and_gs_base)
{
	struct user_regs_struct regs = blob_regs();
	struct det_status st;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_bases));
	ASSERT_EQ(0, poke(CHILD, BLOB_DATA + 0x108, "\x12", 1));
	ASSERT_EQ(0, poke(CHILD, BLOB_DATA + 0x208, "\x34", 1));
	regs.fs_base = BLOB_DATA + 0x100;
	regs.gs_base = BLOB_DATA + 0x200;
	ASSERT_EQ(0, put_regs(CHILD, &regs, DET_START | DET_WAIT, &st));
	EXPECT_RET(0x3412, &st);
	EXPECT_EQ(BLOB_DATA + 0x100, regs.fs_base);
	EXPECT_EQ(BLOB_DATA + 0x200, regs.gs_base);
	/* They last when the child is started without registers. */
	ASSERT_EQ(0, run_child(CHILD, &st));
	ASSERT_EQ(0, get_regs(CHILD, &regs));
	EXPECT_EQ(BLOB_DATA + 0x100, regs.fs_base);
	EXPECT_EQ(BLOB_DATA + 0x200, regs.gs_base);
}

/* What the child writes there, its parent reads. */
#define WRITE_BASES_ASM \
	"mov $0x20000300, %eax\n" \
	"wrfsbase %rax\n" \
	"mov $0x20000400, %eax\n" \
	"wrgsbase %rax\n" \
	"rdfsbase %rdi\n" \
	ASM_DRET \
	"rdgsbase %rdi\n" \
	ASM_DRET

BLOB(code_write_bases, WRITE_BASES_ASM);

TEST(bases_written_by_the_child)
{
	struct user_regs_struct regs;
	struct det_status st;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_write_bases));
	ASSERT_EQ(0, run_child(CHILD, &st));
	if (st.reason == DET_FAULT && st.trap == 6)
		SKIP(return, "no FSGSBASE");
	EXPECT_RET(BLOB_DATA + 0x300, &st);
	ASSERT_EQ(0, get_regs(CHILD, &regs));
	EXPECT_EQ(BLOB_DATA + 0x300, regs.fs_base);
	EXPECT_EQ(BLOB_DATA + 0x400, regs.gs_base);
	ASSERT_EQ(0, run_child(CHILD, &st));
	EXPECT_RET(BLOB_DATA + 0x400, &st);
}

/* --- When registers are written out --- */

#define TWICE_ASM \
	"mov $1, %ebx\n" \
	"mov $10, %edi\n" ASM_DRET \
	"mov $2, %ebx\n" \
	"mov $20, %edi\n" ASM_DRET

BLOB(code_twice, TWICE_ASM);

TEST(written_out_after_the_stop)
{
	struct user_regs_struct regs = blob_regs();
	struct det_args a;
	struct det_status st;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_twice));
	ASSERT_EQ(0, put_regs(CHILD, &regs, DET_START | DET_WAIT, &st));
	EXPECT_RET(10, &st);
	EXPECT_EQ(1, regs.rbx);
	EXPECT_EQ(0, regs.rax);
	/* dget with START and WAIT: what they are after the second stop. */
	a = args_of(DET_START | DET_WAIT, NULL, 0, &st);
	args_regs(&a, &regs);
	ASSERT_EQ(0, dget(CHILD, &a));
	EXPECT_RET(20, &st);
	EXPECT_EQ(2, regs.rbx);
}

/* dget with START alone: before the child runs. dput: not at all. */
TEST(written_out_before_the_start)
{
	struct user_regs_struct regs = blob_regs(), old;
	struct det_args a;
	struct det_status st;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_twice));
	old = regs;
	ASSERT_EQ(0, put_regs(CHILD, &regs, DET_START, NULL));
	EXPECT_EQ(0, memcmp(&old, &regs, sizeof(old)));
	ASSERT_EQ(0, get_stop(CHILD, &st));
	EXPECT_RET(10, &st);
	a = args_of(DET_START, NULL, 0, NULL);
	args_regs(&a, &regs);
	ASSERT_EQ(0, dget(CHILD, &a));
	EXPECT_EQ(1, regs.rbx);
	ASSERT_EQ(0, get_stop(CHILD, &st));
	EXPECT_RET(20, &st);
}

/* --- FORK --- */

/* FORK with known values in the registers that the call does not use. */
static long fork_with_pattern(const struct det_args *a)
{
	long ret;

	asm volatile("mov $0x8888, %%r8\n"
		     "mov $0x9999, %%r9\n"
		     "mov $0xaaaa, %%r10\n"
		     "mov $0xbbbb, %%rbx\n"
		     "mov $0x1212, %%r12\n"
		     "mov $0x1313, %%r13\n"
		     "mov $0x1414, %%r14\n"
		     "mov $0x1515, %%r15\n"
		     "syscall\n"
		     : "=a"(ret)
		     : "a"(__NR_dput), "D"((long)CHILD), "S"(a),
		       "d"(sizeof(*a))
		     : "rcx", "r8", "r9", "r10", "r11", "rbx", "r12", "r13",
		       "r14", "r15", "memory");
	return ret;
}

TEST(fork_registers)
{
	struct user_regs_struct regs;
	struct det_args a = args_of(DET_FORK, NULL, 0, NULL);
	unsigned long fs_base = 0;

	NEED_CALLS();
	syscall(__NR_arch_prctl, 0x1003 /* ARCH_GET_FS */, &fs_base);
	ASSERT_EQ(1, fork_with_pattern(&a));
	ASSERT_EQ(0, get_regs(CHILD, &regs));
	EXPECT_EQ(0, regs.rax);
	EXPECT_EQ(CHILD, regs.rdi);
	EXPECT_EQ((unsigned long)&a, regs.rsi);
	EXPECT_EQ(sizeof(a), regs.rdx);
	EXPECT_EQ(0x8888, regs.r8);
	EXPECT_EQ(0x9999, regs.r9);
	EXPECT_EQ(0xaaaa, regs.r10);
	EXPECT_EQ(0xbbbb, regs.rbx);
	EXPECT_EQ(0x1212, regs.r12);
	EXPECT_EQ(0x1313, regs.r13);
	EXPECT_EQ(0x1414, regs.r14);
	EXPECT_EQ(0x1515, regs.r15);
	EXPECT_EQ(regs.rip, regs.rcx);
	EXPECT_EQ(regs.eflags, regs.r11);
	EXPECT_EQ(-1ULL, regs.orig_rax);
	EXPECT_EQ(fs_base, regs.fs_base);
	EXPECT_NE(0, fs_base);
}

static __thread int in_tls = 7;

static long add_tls(void *arg)
{
	return in_tls + *(int *)arg;
}

TEST(fork_runs_on)
{
	struct det_status st;
	int local = 35;

	NEED_CALLS();
	in_tls = 65;
	ASSERT_EQ(1, spawn(CHILD, DET_START | DET_WAIT, add_tls, &local, &st));
	EXPECT_RET(100, &st);
	/* FORK again, into the same child: it begins anew. */
	local = 36;
	ASSERT_EQ(1, spawn(CHILD, DET_START | DET_WAIT, add_tls, &local, &st));
	EXPECT_RET(101, &st);
}

/* --- The extended state --- */

#define XSAVE_ASM \
	"mov $-1, %eax\n" \
	"mov $-1, %edx\n" \
	"xsave64 0x20000000\n" \
	"mov $1, %edi\n" ASM_DRET \
	"ud2\n"

BLOB(code_xsave, XSAVE_ASM);

#define XRSTOR_ASM \
	"mov 0x20000200, %eax\n" \
	"mov 0x20000204, %edx\n" \
	"xrstor64 0x20000000\n" \
	"mov $1, %edi\n" ASM_DRET \
	"ud2\n"

BLOB(code_xrstor, XRSTOR_ASM);

FIXTURE(xstate)
{
	struct xarea in, out;
	unsigned int size;
	__u64 mask;
};

FIXTURE_SETUP(xstate)
{
	NEED_CALLS();
	self->size = xstate_size();
	if (!self->size)
		SKIP(return, "no XSAVE");
	self->mask = xstate_components();
	ASSERT_GE(sizeof(self->in), self->size);
}

FIXTURE_TEARDOWN(xstate)
{
}

static long put_xstate(struct xarea *x, __u32 size)
{
	struct det_args a = args_of(DET_REGS, NULL, 0, NULL);

	a.xstate = (uintptr_t)x;
	a.xstate_size = size;
	return dput(CHILD, &a);
}

static long get_xstate(struct xarea *x, __u32 size)
{
	struct det_args a = args_of(DET_REGS, NULL, 0, NULL);

	memset(x, 0xee, sizeof(*x));
	a.xstate = (uintptr_t)x;
	a.xstate_size = size;
	return dget(CHILD, &a);
}

TEST_F(xstate, starts_as_the_cpu_does)
{
	memset(&self->in, 0, sizeof(self->in));
	memcpy(self->in.b, "\x7f\x03", 2);
	memcpy(self->in.b + 24, "\x80\x1f", 2);
	ASSERT_EQ(0, put_flags(CHILD, 0, NULL));
	ASSERT_EQ(0, get_xstate(&self->out, self->size));
	EXPECT_EQ(-1, xstate_differs(&self->in, &self->out, self->mask));
}

TEST_F(xstate, round_trip)
{
	int seed;

	for (seed = 1; seed < 4; seed++) {
		fill_xstate(&self->in, self->mask, seed);
		ASSERT_EQ(0, put_xstate(&self->in, self->size));
		ASSERT_EQ(0, get_xstate(&self->out, self->size));
		EXPECT_EQ(-1, xstate_differs(&self->in, &self->out,
					     self->mask));
		/* Nothing behind the area is written. */
		EXPECT_TRUE(all_bytes(self->out.b + self->size, 0xee,
				      sizeof(self->out) - self->size));
	}
}

/* The child finds in its registers what the parent put there. */
TEST_F(xstate, into_the_child)
{
	struct det_status st;
	int seed;

	for (seed = 1; seed < 4; seed++) {
		kill_child(CHILD);
		ASSERT_EQ(0, MAKE(CHILD, code_xsave));
		fill_xstate(&self->in, self->mask, seed);
		ASSERT_EQ(0, put_xstate(&self->in, self->size));
		ASSERT_EQ(0, run_child(CHILD, &st));
		ASSERT_RET(1, &st);
		ASSERT_EQ(0, peek(CHILD, BLOB_DATA, &self->out, self->size));
		EXPECT_EQ(-1, xstate_differs(&self->in, &self->out,
					     self->mask));
		/* The stop did not change it, nor do starts and stops. */
		ASSERT_EQ(0, get_xstate(&self->out, self->size));
		EXPECT_EQ(-1, xstate_differs(&self->in, &self->out,
					     self->mask));
		ASSERT_EQ(0, run_child(CHILD, &st));
		ASSERT_TRUE(is_fault(&st, SIGILL, 6));
		ASSERT_EQ(0, get_xstate(&self->out, self->size));
		EXPECT_EQ(-1, xstate_differs(&self->in, &self->out,
					     self->mask));
	}
}

TEST_F(xstate, out_of_the_child)
{
	struct det_status st;

	ASSERT_EQ(0, MAKE(CHILD, code_xrstor));
	fill_xstate(&self->in, self->mask, 5);
	ASSERT_EQ(0, poke(CHILD, BLOB_DATA, &self->in, self->size));
	ASSERT_EQ(0, run_child(CHILD, &st));
	ASSERT_RET(1, &st);
	ASSERT_EQ(0, get_xstate(&self->out, self->size));
	EXPECT_EQ(-1, xstate_differs(&self->in, &self->out, self->mask));
}

/* A component whose bit is 0 goes to its initial state. */
TEST_F(xstate, missing_bits_are_initial)
{
	__u64 mask = 0;

	fill_xstate(&self->in, self->mask, 1);
	ASSERT_EQ(0, put_xstate(&self->in, self->size));
	memcpy(self->in.b + XSTATE_HEADER, &mask, sizeof(mask));
	ASSERT_EQ(0, put_xstate(&self->in, self->size));
	ASSERT_EQ(0, get_xstate(&self->out, self->size));
	memset(&self->in, 0, sizeof(self->in));
	memcpy(self->in.b, "\x7f\x03", 2);
	memcpy(self->in.b + 24, "\x80\x1f", 2);
	EXPECT_EQ(-1, xstate_differs(&self->in, &self->out, self->mask));
}

/* MXCSR belongs to components, and is initial with them for the child as well. */
TEST_F(xstate, missing_bits_in_the_child)
{
	struct det_status st;
	__u64 mask = 0;

	ASSERT_EQ(0, MAKE(CHILD, code_xsave));
	fill_xstate(&self->in, self->mask, 1);
	memcpy(self->in.b + 24, "\x80\x5f", 2);
	ASSERT_EQ(0, put_xstate(&self->in, self->size));
	memcpy(self->in.b + XSTATE_HEADER, &mask, sizeof(mask));
	ASSERT_EQ(0, put_xstate(&self->in, self->size));
	ASSERT_EQ(0, run_child(CHILD, &st));
	ASSERT_RET(1, &st);
	ASSERT_EQ(0, peek(CHILD, BLOB_DATA, &self->out, self->size));
	EXPECT_EQ(0, memcmp(self->out.b + 24, "\x80\x1f", 2));
}

/* dput with general registers alone leaves the extended state. */
TEST_F(xstate, apart_from_the_general_registers)
{
	struct user_regs_struct regs = pattern_regs(), back;

	fill_xstate(&self->in, self->mask, 2);
	ASSERT_EQ(0, put_xstate(&self->in, self->size));
	ASSERT_EQ(0, put_regs(CHILD, &regs, 0, NULL));
	ASSERT_EQ(0, get_xstate(&self->out, self->size));
	EXPECT_EQ(-1, xstate_differs(&self->in, &self->out, self->mask));
	ASSERT_EQ(0, put_xstate(&self->in, self->size));
	ASSERT_EQ(0, get_regs(CHILD, &back));
	EXPECT_EQ(regs.r15, back.r15);
}

/*
 * A system call with @in in the extended registers; @out is what they hold
 * after it. The caller's own come back at the end.
 */
static long call_with_xstate(long nr, const struct det_args *a,
			     const struct xarea *in, struct xarea *out)
{
	static struct xarea own;
	long ret;

	memset(out, 0, sizeof(*out));
	asm volatile("mov $-1, %%eax\nmov $-1, %%edx\n"
		     "xsave64 %[own]\n"
		     "mov 512(%[in]), %%eax\nmov 516(%[in]), %%edx\n"
		     "xrstor64 (%[in])\n"
		     "mov %[size], %%rdx\nmov %[nr], %%rax\n"
		     "syscall\n"
		     "mov %%rax, %%r12\n"
		     "mov $-1, %%eax\nmov $-1, %%edx\n"
		     "xsave64 (%[out])\n"
		     "xrstor64 %[own]\n"
		     "mov %%r12, %[ret]\n"
		     : [ret] "=&r"(ret), [own] "+m"(own)
		     : [in] "r"(in), [out] "r"(out), [nr] "r"(nr),
		       "D"((long)CHILD), "S"(a), [size] "r"(sizeof(*a))
		     : "rax", "rcx", "rdx", "r11", "r12", "memory");
	return ret;
}

TEST_F(xstate, fork_gives_the_callers)
{
	struct det_args a = args_of(DET_FORK, NULL, 0, NULL);
	int seed;

	for (seed = 1; seed < 4; seed++) {
		fill_xstate(&self->in, self->mask, seed);
		kill_child(CHILD);
		ASSERT_EQ(1, call_with_xstate(__NR_dput, &a, &self->in,
					      &self->out));
		EXPECT_EQ(-1, xstate_differs(&self->in, &self->out,
					     self->mask));
		ASSERT_EQ(0, get_xstate(&self->out, self->size));
		EXPECT_EQ(-1, xstate_differs(&self->in, &self->out,
					     self->mask));
	}
}

/* Neither the child's run nor reading its state touches the caller's. */
TEST_F(xstate, caller_keeps_its_own)
{
	static struct xarea theirs, read;
	struct det_args a = args_of(DET_REGS | DET_START | DET_WAIT, NULL, 0,
				    NULL);

	ASSERT_EQ(0, MAKE(CHILD, code_xrstor));
	fill_xstate(&theirs, self->mask, 6);
	ASSERT_EQ(0, poke(CHILD, BLOB_DATA, &theirs, self->size));
	fill_xstate(&self->in, self->mask, 7);
	a.xstate = (uintptr_t)&read;
	a.xstate_size = self->size;
	ASSERT_EQ(0, call_with_xstate(__NR_dget, &a, &self->in, &self->out));
	EXPECT_EQ(-1, xstate_differs(&self->in, &self->out, self->mask));
	EXPECT_EQ(-1, xstate_differs(&theirs, &read, self->mask));
}

TEST_HARNESS_MAIN
