// SPDX-License-Identifier: GPL-2.0-only
/*
 * How a space stops: NEW, RET, SYSCALL and FAULT with each CPU exception that
 * user mode can raise; what its parent then sees; repairing and restarting.
 *
 * FAULTs are compared with what an ordinary process gets for the same bytes
 * of code: signal, exception number, address, error code and RIP. So a row
 * that an emulator cannot raise (alignment checks, SSE exceptions under some
 * versions of QEMU) is left out there.
 */
#include <ucontext.h>

#include "common.h"

#define CHILD 1

#define AT(name) (BLOB_CODE + (name##_at - (name)))
#define AFTER(name) (BLOB_CODE + (name##_after - (name)))

/* What a stopped child looks like. */
struct stop {
	struct det_status st;
	struct user_regs_struct regs;
};

static long look(struct stop *s)
{
	struct det_args a = args_of(0, NULL, 0, &s->st);

	memset(s, 0xff, sizeof(*s));
	args_regs(&a, &s->regs);
	return dget(CHILD, &a);
}

static long restart(struct stop *s)
{
	struct det_args a = args_of(DET_START | DET_WAIT, NULL, 0, &s->st);
	long ret;

	memset(s, 0xff, sizeof(*s));
	args_regs(&a, &s->regs);
	ret = dget(CHILD, &a);
	return ret;
}

static long run_code(const void *code, size_t len, struct stop *s)
{
	long ret;

	kill_child(CHILD);
	ret = make_blob(CHILD, code, len);
	return ret ?: restart(s);
}

#define RUN(name, s) run_code(name, name##_size, s)

/* Nothing in the status but what belongs to its reason. */
static bool is_clean(const struct det_status *st)
{
	struct det_status want = { .reason = st->reason, .op = DET_NO_OP };

	if (st->reason == DET_RET) {
		want.value = st->value;
	} else if (st->reason == DET_FAULT) {
		want.sig = st->sig;
		want.trap = st->trap;
		want.addr = st->addr;
		want.error = st->error;
	} else if (st->reason == DET_SYSCALL) {
		want.nr = st->nr;
		memcpy(want.arg, st->arg, sizeof(want.arg));
	}
	return !memcmp(&want, st, sizeof(want));
}

/* --- NEW --- */

TEST(new)
{
	struct det_status st;

	NEED_CALLS();
	ASSERT_EQ(0, put_flags(CHILD, 0, &st));
	EXPECT_EQ(DET_NEW, st.reason);
	EXPECT_TRUE(is_clean(&st));
	ASSERT_EQ(0, get_stop(CHILD, &st));
	EXPECT_EQ(DET_NEW, st.reason);
	EXPECT_TRUE(is_clean(&st));
}

/* A child without memory faults at its first instruction. */
TEST(new_without_memory)
{
	struct stop s;

	NEED_CALLS();
	ASSERT_EQ(0, put_flags(CHILD, 0, NULL));
	ASSERT_EQ(0, look(&s));
	EXPECT_EQ(0, s.regs.rip);
	EXPECT_EQ(0, s.regs.rsp);
	EXPECT_EQ(0, s.regs.rax);
	ASSERT_EQ(0, restart(&s));
	EXPECT_FAULT(SIGSEGV, 14, &s.st);
	EXPECT_EQ(0, s.st.addr);
	EXPECT_EQ(0x14, s.st.error);
}

/* --- RET --- */

#define COUNT_ASM \
	"xor %ebx, %ebx\n" \
	"1: mov %rax, %rsi\n" \
	"mov %rbx, %rdi\n" \
	ASM_DRET \
	"inc %rbx\n" \
	"jmp 1b\n"

BLOB(code_count, COUNT_ASM);

TEST(ret_rounds)
{
	struct stop s;
	int i;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_count));
	for (i = 0; i < 100; i++) {
		ASSERT_EQ(0, restart(&s));
		ASSERT_RET(i, &s.st);
		EXPECT_TRUE(is_clean(&s.st));
		EXPECT_EQ(0, s.regs.rax);
		/* What dret left in RAX the last time. */
		EXPECT_EQ(0, s.regs.rsi);
		EXPECT_EQ(s.regs.rip, s.regs.rcx);
		EXPECT_EQ(s.regs.eflags, s.regs.r11);
		EXPECT_EQ(-1ULL, s.regs.orig_rax);
	}
}

INSN(code_ret_all, "mov $-1, %rdi\nmov $550, %eax", "syscall");

TEST(ret_value)
{
	struct stop s;

	NEED_CALLS();
	ASSERT_EQ(0, RUN(code_ret_all, &s));
	EXPECT_RET(~0ULL, &s.st);
	EXPECT_EQ(AFTER(code_ret_all), s.regs.rip);
	/* Looking does not change it, nor does looking again. */
	ASSERT_EQ(0, look(&s));
	EXPECT_RET(~0ULL, &s.st);
	EXPECT_EQ(AFTER(code_ret_all), s.regs.rip);
}

/* --- SYSCALL --- */

#define SIX_ARGUMENTS_ASM \
	"mov $0x1111111111111111, %rdi\n" \
	"mov $0x2222222222222222, %rsi\n" \
	"mov $0x3333333333333333, %rdx\n" \
	"mov $0x4444444444444444, %r10\n" \
	"mov $0x5555555555555555, %r8\n" \
	"mov $0x6666666666666666, %r9\n" \
	"mov $1, %eax"

INSN(code_syscall, SIX_ARGUMENTS_ASM, "syscall\nmov %rax, %rdi\n" ASM_DRET);

TEST(syscall_number_and_arguments)
{
	struct stop s;
	int i;

	NEED_CALLS();
	ASSERT_EQ(0, RUN(code_syscall, &s));
	ASSERT_EQ(DET_SYSCALL, s.st.reason) print_status(&s.st);
	EXPECT_EQ(1, s.st.nr);
	for (i = 0; i < 6; i++)
		EXPECT_EQ(0x1111111111111111ULL * (i + 1), s.st.arg[i]);
	EXPECT_TRUE(is_clean(&s.st));
	EXPECT_EQ(AT(code_syscall) + 2, s.regs.rip);
	EXPECT_EQ(NO_CALL, (long)s.regs.rax);
	EXPECT_EQ(s.regs.rip, s.regs.rcx);
	EXPECT_EQ(s.regs.eflags, s.regs.r11);
	EXPECT_EQ(-1ULL, s.regs.orig_rax);
	EXPECT_EQ(0x1111111111111111ULL, s.regs.rdi);
	/* Started as it is, the call has failed. */
	ASSERT_EQ(0, restart(&s));
	EXPECT_RET(NO_CALL, &s.st);
}

/* The parent serves the call. */
TEST(syscall_answered)
{
	struct stop s;

	NEED_CALLS();
	ASSERT_EQ(0, RUN(code_syscall, &s));
	ASSERT_EQ(DET_SYSCALL, s.st.reason);
	s.regs.rax = 42;
	ASSERT_EQ(0, put_regs(CHILD, &s.regs, DET_START | DET_WAIT, &s.st));
	EXPECT_RET(42, &s.st);
}

/* No number that means something to the kernel inside makes it run again. */
TEST(syscall_never_again)
{
	/* ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK */
	static const long codes[] = { -512, -513, -514, -516, -4 };
	struct stop s;
	int i, j;

	NEED_CALLS();
	for (i = 0; i < ARRAY_SIZE(codes); i++) {
		for (j = 0; j < 3; j++) {
			ASSERT_EQ(0, RUN(code_syscall, &s));
			ASSERT_EQ(DET_SYSCALL, s.st.reason);
			s.regs.rax = codes[i];
			s.regs.orig_rax = j == 2 ? 1 : j - 1;
			ASSERT_EQ(0, put_regs(CHILD, &s.regs, 0, NULL));
			ASSERT_EQ(0, look(&s));
			EXPECT_EQ(codes[i], (long)s.regs.rax);
			EXPECT_EQ(-1ULL, s.regs.orig_rax);
			ASSERT_EQ(0, restart(&s));
			EXPECT_RET(codes[i], &s.st);
		}
	}
}

/* Every number of the table, and some beyond it, are refused alike. */
TEST(syscall_all_numbers)
{
	struct stop s;
	long nr;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_syscall));
	for (nr = 0; nr < 600; nr++) {
		if (nr >= __NR_dput && nr <= __NR_dret)
			continue;
		s.regs = blob_regs();
		s.regs.rip = AT(code_syscall);
		s.regs.rax = nr;
		ASSERT_EQ(0, put_regs(CHILD, &s.regs, DET_START | DET_WAIT,
				      &s.st));
		ASSERT_EQ(DET_SYSCALL, s.st.reason) print_status(&s.st);
		ASSERT_EQ(nr, s.st.nr);
		ASSERT_EQ(NO_CALL, (long)s.regs.rax);
	}
}

/* The call that would have had effects has none. */
static long write_to(void *arg)
{
	raw_syscall(__NR_write, *(int *)arg, (long)"x", 1);
	raw_syscall(__NR_exit_group, 3, 0, 0);
	return 5;
}

TEST(syscall_does_nothing)
{
	struct det_status st;
	int fds[2];
	char c;

	NEED_CALLS();
	ASSERT_EQ(0, pipe2(fds, O_NONBLOCK | O_CLOEXEC));
	ASSERT_EQ(1, spawn(CHILD, DET_START | DET_WAIT, write_to, &fds[1],
			   &st));
	EXPECT_EQ(DET_SYSCALL, st.reason);
	EXPECT_EQ(__NR_write, st.nr);
	ASSERT_EQ(0, run_child(CHILD, &st));
	EXPECT_EQ(DET_SYSCALL, st.reason);
	EXPECT_EQ(__NR_exit_group, st.nr);
	ASSERT_EQ(0, run_child(CHILD, &st));
	EXPECT_RET(5, &st);
	EXPECT_EQ(-1, read(fds[0], &c, 1));
	EXPECT_EQ(EAGAIN, errno);
}

/* --- FAULT: the exceptions --- */

#define TO_DATA "mov $0x20000000, %eax\n"

INSN(f_div, "xor %eax, %eax\nxor %edx, %edx\nxor %ecx, %ecx", "div %ecx");
INSN(f_div_over, "mov $2, %edx\nmov $1, %ecx", "div %ecx");
INSN(f_step, "pushf\norl $0x100, (%rsp)\npopf", "nop");
INSN(f_int1, "", ".byte 0xf1");
INSN(f_int3, "", "int3");
INSN(f_int_3, "", "int $3");
INSN(f_int_4, "", "int $4");
INSN(f_ud2, "", "ud2");
INSN(f_privileged, "", "hlt");
INSN(f_cli, "", "cli");
INSN(f_in, "mov $0x80, %edx", "in %dx, %al");
INSN(f_int_20, "", "int $0x20");
INSN(f_int_14, "", "int $14");
INSN(f_selector, "mov $0x1230, %eax", "mov %eax, %ds");
INSN(f_noncanonical, "mov $0x8000000000000000, %rax", "mov (%rax), %ebx");
INSN(f_stack, "mov $0x8000000000000000, %rsp", "push %rax");
INSN(f_misaligned_sse, TO_DATA, "movaps 1(%rax), %xmm0");
INSN(f_read_null, "xor %eax, %eax", "mov (%rax), %ebx");
INSN(f_write_null, "xor %eax, %eax", "mov %ebx, (%rax)");
INSN(f_read_hole, "mov $0x30000123, %eax", "mov (%rax), %ebx");
INSN(f_write_hole, "mov $0x30000ffe, %eax", "mov %ebx, (%rax)");
INSN(f_across, "mov $0x20003ffe, %eax", "mov (%rax), %ebx");
INSN(f_read_kernel, "mov $0xffffffff81000000, %rax", "mov (%rax), %ebx");
INSN(f_write_kernel, "mov $0xffff888000000000, %rax", "mov %ebx, (%rax)");
INSN(f_jump_hole, "mov $0x30000000, %eax", "jmp *%rax");
INSN(f_jump_data, TO_DATA, "jmp *%rax");
INSN(f_call_kernel, "mov $0xffffffff81000000, %rax", "call *%rax");
#define AC_SET "pushf\norl $0x40000, (%rsp)\npopf\n"
INSN(f_align, AC_SET TO_DATA, "mov 1(%rax), %ebx");
#define X87_SET "sub $16, %rsp\nmovw $0x37b, (%rsp)\nfldcw (%rsp)\n"
INSN(f_x87, X87_SET "fld1\nfldz\nfdivrp", "fwait");
#define SSE_SET "sub $16, %rsp\nmovl $0x1d80, (%rsp)\nldmxcsr (%rsp)\n"
#define ONE_IN_XMM0 "mov $0x3f800000, %eax\nmovd %eax, %xmm0\n"
INSN(f_sse, SSE_SET ONE_IN_XMM0 "xorps %xmm1, %xmm1", "divss %xmm1, %xmm0");

#define ROW(name, sig, trap) { #name, name, &name##_size, sig, trap }

static const struct row {
	const char *name, *code;
	const size_t *len;
	int sig, trap;
} rows[] = {
	ROW(f_div, SIGFPE, 0),
	ROW(f_div_over, SIGFPE, 0),
	ROW(f_step, SIGTRAP, 1),
	ROW(f_int1, SIGTRAP, 1),
	ROW(f_int3, SIGTRAP, 3),
	ROW(f_int_3, SIGTRAP, 3),
	ROW(f_int_4, SIGSEGV, 4),
	ROW(f_ud2, SIGILL, 6),
	ROW(f_privileged, SIGSEGV, 13),
	ROW(f_cli, SIGSEGV, 13),
	ROW(f_in, SIGSEGV, 13),
	ROW(f_int_20, SIGSEGV, 13),
	ROW(f_int_14, SIGSEGV, 13),
	ROW(f_selector, SIGSEGV, 13),
	ROW(f_noncanonical, SIGSEGV, 13),
	ROW(f_misaligned_sse, SIGSEGV, 13),
	ROW(f_read_null, SIGSEGV, 14),
	ROW(f_write_null, SIGSEGV, 14),
	ROW(f_read_hole, SIGSEGV, 14),
	ROW(f_write_hole, SIGSEGV, 14),
	ROW(f_across, SIGSEGV, 14),
	ROW(f_read_kernel, SIGSEGV, 14),
	ROW(f_write_kernel, SIGSEGV, 14),
	ROW(f_jump_hole, SIGSEGV, 14),
	ROW(f_jump_data, SIGSEGV, 14),
	ROW(f_call_kernel, SIGSEGV, 14),
	ROW(f_x87, SIGFPE, 16),
	ROW(f_align, SIGBUS, 17),
	ROW(f_sse, SIGFPE, 19),
};

/* What an ordinary process is told, in memory shared with its parent. */
struct told {
	int sig;
	long trap, error, rip;
	unsigned long cr2;
};

static struct told *told;

static void on_signal(int sig, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

	told->sig = sig;
	told->trap = regs[REG_TRAPNO];
	told->error = regs[REG_ERR];
	told->rip = regs[REG_RIP];
	told->cr2 = regs[REG_CR2];
	_exit(0);
}

static void *map_at(unsigned long addr, size_t len, int prot)
{
	return mmap((void *)addr, len, prot,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
}

/* The same memory and code as make_blob()'s, in the calling process. */
static void become_ordinary(const struct row *row)
{
	static const int sigs[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
	struct sigaction sa = { .sa_sigaction = on_signal,
				.sa_flags = SA_SIGINFO | SA_ONSTACK };
	stack_t stack = { .ss_size = 64 * 1024 };
	int i;

	stack.ss_sp = mmap(NULL, stack.ss_size, PROT_RW,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sigaltstack(&stack, NULL);
	for (i = 0; i < ARRAY_SIZE(sigs); i++)
		sigaction(sigs[i], &sa, NULL);
	map_at(BLOB_CODE, PAGE, PROT_RWX);
	map_at(BLOB_DATA, BLOB_DATA_PAGES * PAGE, PROT_RW);
	memcpy((void *)BLOB_CODE, row->code, *row->len);
	asm volatile("mov %0, %%rsp\n"
		     "push $0x202\npopf\n"
		     "jmp *%1\n"
		     :: "r"(BLOB_STACK), "r"(BLOB_CODE) : "memory");
}

static void ask_ordinary(const struct row *row)
{
	pid_t pid;

	memset(told, 0, sizeof(*told));
	pid = fork();
	if (!pid) {
		become_ordinary(row);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
}

FIXTURE(fault)
{
};

FIXTURE_SETUP(fault)
{
	NEED_CALLS();
	told = mmap(NULL, PAGE, PROT_RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, told);
}

FIXTURE_TEARDOWN(fault)
{
}

TEST_F(fault, as_in_an_ordinary_process)
{
	struct stop s;
	int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];

		ask_ordinary(row);
		if (told->sig != row->sig || told->trap != row->trap) {
			TH_LOG("%s is not raised on this machine", row->name);
			continue;
		}
		ASSERT_EQ(0, run_code(row->code, *row->len, &s));
		EXPECT_FAULT(row->sig, row->trap, &s.st)
			TH_LOG("%s", row->name);
		EXPECT_EQ(told->rip, s.regs.rip) TH_LOG("%s", row->name);
		EXPECT_TRUE(is_clean(&s.st)) TH_LOG("%s", row->name);
		if (row->trap == 14) {
			EXPECT_EQ(told->cr2, s.st.addr)
				TH_LOG("%s", row->name);
			EXPECT_EQ(told->error & 0x16, s.st.error)
				TH_LOG("%s", row->name);
		} else {
			EXPECT_EQ(told->error, s.st.error)
				TH_LOG("%s", row->name);
		}
	}
}

/* Started as it is, a fault comes again; a trap does not. */
TEST_F(fault, again_and_the_same)
{
	struct stop one, two;
	int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];

		ASSERT_EQ(0, run_code(row->code, *row->len, &one));
		if (one.st.reason != DET_FAULT)
			continue;
		ASSERT_EQ(0, restart(&two));
		if (row->trap == 1 || row->trap == 3 || row->trap == 4)
			continue;
		EXPECT_EQ(0, memcmp(&one, &two, sizeof(one))) {
			TH_LOG("%s", row->name);
			print_status(&one.st);
			print_status(&two.st);
		}
		/* So does the same in a fresh child. */
		ASSERT_EQ(0, run_code(row->code, *row->len, &two));
		EXPECT_EQ(0, memcmp(&one, &two, sizeof(one)))
			TH_LOG("%s in a fresh child", row->name);
	}
}

/* A segment fault of the stack (12; 13 under QEMU): not SIGBUS in a space. */
TEST_F(fault, stack_segment)
{
	static const struct row row = ROW(f_stack, SIGBUS, 12);
	struct stop s;

	ask_ordinary(&row);
	ASSERT_EQ(0, RUN(f_stack, &s));
	EXPECT_FAULT(SIGSEGV, told->trap, &s.st);
	EXPECT_EQ(AT(f_stack), s.regs.rip);
}

TEST_F(fault, breakpoint_goes_on)
{
	struct stop s;

	ASSERT_EQ(0, RUN(f_int3, &s));
	ASSERT_TRUE(is_fault(&s.st, SIGTRAP, 3));
	EXPECT_EQ(AFTER(f_int3), s.regs.rip);
	ASSERT_EQ(0, restart(&s));
	EXPECT_EQ(DET_SYSCALL, s.st.reason);
	EXPECT_EQ(60, s.st.nr);
}

/* Each write of the error code is the same, touched page or not. */
TEST_F(fault, error_code_hides_the_page)
{
	struct stop untouched, touched;
	char c = 1;

	kill_child(CHILD);
	ASSERT_EQ(0, MAKE(CHILD, f_write_hole));
	ASSERT_EQ(0, put_op(CHILD, 0, op_zero(0x30000000, 2 * PAGE, PROT_READ),
			    NULL));
	ASSERT_EQ(0, restart(&untouched));
	kill_child(CHILD);
	ASSERT_EQ(0, MAKE(CHILD, f_write_hole));
	ASSERT_EQ(0, put_op(CHILD, 0, op_zero(0x30000000, 2 * PAGE, PROT_RW),
			    NULL));
	ASSERT_EQ(0, poke(CHILD, 0x30000ffe, &c, 1));
	ASSERT_EQ(0, put_op(CHILD, 0, op_perm(0x30000000, 2 * PAGE, PROT_READ),
			    NULL));
	ASSERT_EQ(0, restart(&touched));
	EXPECT_FAULT(SIGSEGV, 14, &untouched.st);
	EXPECT_EQ(6, untouched.st.error);
	EXPECT_EQ(0x30000ffeULL, untouched.st.addr);
	EXPECT_EQ(0, memcmp(&untouched, &touched, sizeof(touched)));
}

/* --- FAULT: repaired --- */

INSN(code_load, "mov $0x30000123, %eax", "movzbl (%rax), %edi\n" ASM_DRET);

TEST_F(fault, repaired_by_mapping)
{
	struct stop s;
	char c = 77;

	ASSERT_EQ(0, RUN(code_load, &s));
	ASSERT_TRUE(is_fault(&s.st, SIGSEGV, 14));
	EXPECT_EQ(0x30000123ULL, s.st.addr);
	EXPECT_EQ(4, s.st.error);
	EXPECT_EQ(AT(code_load), s.regs.rip);
	ASSERT_EQ(0, put_op(CHILD, 0, op_zero(0x30000000, PAGE, PROT_RW),
			    NULL));
	ASSERT_EQ(0, poke(CHILD, 0x30000123, &c, 1));
	ASSERT_EQ(0, restart(&s));
	EXPECT_RET(77, &s.st);
}

TEST_F(fault, repaired_by_permission)
{
	struct stop s;
	char c = 78;

	kill_child(CHILD);
	ASSERT_EQ(0, MAKE(CHILD, code_load));
	ASSERT_EQ(0, put_op(CHILD, 0, op_zero(0x30000000, PAGE, PROT_RW),
			    NULL));
	ASSERT_EQ(0, poke(CHILD, 0x30000123, &c, 1));
	ASSERT_EQ(0, put_op(CHILD, 0, op_perm(0x30000000, PAGE, PROT_NONE),
			    NULL));
	ASSERT_EQ(0, restart(&s));
	ASSERT_TRUE(is_fault(&s.st, SIGSEGV, 14));
	ASSERT_EQ(0, put_op(CHILD, 0, op_perm(0x30000000, PAGE, PROT_READ),
			    NULL));
	ASSERT_EQ(0, restart(&s));
	EXPECT_RET(78, &s.st);
}

TEST_F(fault, repaired_by_register)
{
	struct stop s;
	char c = 79;

	ASSERT_EQ(0, RUN(code_load, &s));
	ASSERT_TRUE(is_fault(&s.st, SIGSEGV, 14));
	ASSERT_EQ(0, poke(CHILD, BLOB_DATA, &c, 1));
	s.regs.rax = BLOB_DATA;
	ASSERT_EQ(0, put_regs(CHILD, &s.regs, DET_START | DET_WAIT, &s.st));
	EXPECT_RET(79, &s.st);
}

TEST_F(fault, repaired_by_skipping)
{
	struct stop s;

	ASSERT_EQ(0, RUN(f_ud2, &s));
	ASSERT_TRUE(is_fault(&s.st, SIGILL, 6));
	s.regs.rip = AFTER(f_ud2);
	ASSERT_EQ(0, put_regs(CHILD, &s.regs, DET_START | DET_WAIT, &s.st));
	EXPECT_EQ(DET_SYSCALL, s.st.reason);
}

#define READ_THEN_RET "mov (%rax), %ebx\nmov $9, %edi\n" ASM_DRET
INSN(code_fault_then_ret, "xor %eax, %eax", READ_THEN_RET);

/* A status shows its own stop, nothing of an earlier one. */

TEST_F(fault, nothing_left_over)
{
	struct stop s;

	ASSERT_EQ(0, RUN(code_fault_then_ret, &s));
	ASSERT_TRUE(is_fault(&s.st, SIGSEGV, 14));
	s.regs.rip += 2;
	ASSERT_EQ(0, put_regs(CHILD, &s.regs, 0, NULL));
	ASSERT_EQ(0, restart(&s));
	EXPECT_RET(9, &s.st);
	EXPECT_TRUE(is_clean(&s.st)) print_status(&s.st);
}

/* --- Ways into the kernel that are no ordinary system call --- */

/* A far jump through memory: some versions of QEMU cannot return far. */
#define ASM_COMPAT(insn) \
	"lea 1f(%rip), %rax\nmov %eax, 0x20000000\n" \
	"movw $0x23, 0x20000004\nljmp *0x20000000\n" \
	".code32\n1: " insn "\nhlt\n.code64\n"

INSN(e_int80, "movabs $0x1234567800000014, %rax", "int $0x80");
INSN(e_x32, "mov $0x40000027, %eax", "syscall");
INSN(e_x32_dret, "mov $0x40000226, %eax", "syscall");
INSN(e_vsyscall, "mov $0xffffffffff600000, %rbx", "call *%rbx");
INSN(e_vsyscall_time, "mov $0xffffffffff600400, %rbx", "call *%rbx");
INSN(e_vsyscall_read, "mov $0xffffffffff600000, %rax", "mov (%rax), %ebx");
INSN(e_sysenter, "mov $20, %eax", "sysenter");
INSN(e_rdtsc, "", "rdtsc");
INSN(e_rdtscp, "", "rdtscp");
INSN(e_rdpmc, "xor %ecx, %ecx", "rdpmc");
INSN(e_compat_int80, "", ASM_COMPAT("int $0x80"));
INSN(e_compat_syscall, "", ASM_COMPAT("mov $20, %eax\nsyscall"));
/* Its stack is not there, or has other bytes than RBP. */
INSN(e_compat_no_stack, "mov $0x7000, %esp", ASM_COMPAT("syscall"));
INSN(e_compat_sysenter, "", ASM_COMPAT("sysenter"));
INSN(e_compat_rdtsc, "", ASM_COMPAT("rdtsc"));

TEST(entry_int80)
{
	struct stop s;

	NEED_CALLS();
	ASSERT_EQ(0, RUN(e_int80, &s));
	EXPECT_FAULT(SIGSEGV, 13, &s.st);
	EXPECT_EQ(0x402, s.st.error);
	EXPECT_EQ(AT(e_int80), s.regs.rip);
	EXPECT_EQ(0x1234567800000014ULL, s.regs.rax);
	EXPECT_TRUE(is_clean(&s.st));
	/* Again, as it was not executed. */
	ASSERT_EQ(0, restart(&s));
	EXPECT_FAULT(SIGSEGV, 13, &s.st);
	EXPECT_EQ(AT(e_int80), s.regs.rip);
}

TEST(entry_x32)
{
	struct stop s;

	NEED_CALLS();
	ASSERT_EQ(0, RUN(e_x32, &s));
	EXPECT_FAULT(SIGILL, 6, &s.st);
	EXPECT_EQ(AT(e_x32), s.regs.rip);
	EXPECT_EQ(0x40000027, s.regs.rax);
	EXPECT_TRUE(is_clean(&s.st));
	ASSERT_EQ(0, RUN(e_x32_dret, &s));
	EXPECT_FAULT(SIGILL, 6, &s.st);
	EXPECT_EQ(AT(e_x32_dret), s.regs.rip);
}

TEST(entry_vsyscall)
{
	struct stop s;

	NEED_CALLS();
	ASSERT_EQ(0, RUN(e_vsyscall, &s));
	EXPECT_FAULT(SIGSEGV, 14, &s.st);
	EXPECT_EQ(0xffffffffff600000ULL, s.st.addr);
	EXPECT_EQ(0xffffffffff600000ULL, s.regs.rip);
	EXPECT_EQ(0x14, s.st.error);
	ASSERT_EQ(0, RUN(e_vsyscall_time, &s));
	EXPECT_FAULT(SIGSEGV, 14, &s.st);
	EXPECT_EQ(0xffffffffff600400ULL, s.st.addr);
	ASSERT_EQ(0, RUN(e_vsyscall_read, &s));
	EXPECT_FAULT(SIGSEGV, 14, &s.st);
	EXPECT_EQ(0xffffffffff600000ULL, s.st.addr);
	EXPECT_EQ(4, s.st.error);
}

TEST(entry_clocks)
{
	struct stop s;

	NEED_CALLS();
	ASSERT_EQ(0, RUN(e_rdtsc, &s));
	EXPECT_FAULT(SIGSEGV, 13, &s.st);
	EXPECT_EQ(AT(e_rdtsc), s.regs.rip);
	ASSERT_EQ(0, RUN(e_rdtscp, &s));
	EXPECT_EQ(DET_FAULT, s.st.reason) print_status(&s.st);
	EXPECT_EQ(AT(e_rdtscp), s.regs.rip);
	ASSERT_EQ(0, RUN(e_rdpmc, &s));
	EXPECT_EQ(DET_FAULT, s.st.reason) print_status(&s.st);
	EXPECT_EQ(AT(e_rdpmc), s.regs.rip);
	ASSERT_EQ(0, RUN(e_compat_rdtsc, &s));
	EXPECT_FAULT(SIGSEGV, 13, &s.st);
}

/*
 * From 32-bit code nothing but faults. Where SYSENTER, or SYSCALL there, was
 * executed is not known any more: RIP is 0, unless the CPU itself refuses it.
 */
TEST(entry_from_32_bit_code)
{
	struct stop s;

	NEED_CALLS();
	ASSERT_EQ(0, RUN(e_compat_int80, &s));
	EXPECT_FAULT(SIGSEGV, 13, &s.st);
	EXPECT_EQ(0x402, s.st.error);
	ASSERT_EQ(0, RUN(e_compat_syscall, &s));
	EXPECT_FAULT(SIGILL, 6, &s.st);
	if (!s.regs.rip)
		EXPECT_EQ(20, s.regs.rax);
	ASSERT_EQ(0, RUN(e_compat_no_stack, &s));
	EXPECT_FAULT(SIGILL, 6, &s.st);
	ASSERT_EQ(0, RUN(e_compat_sysenter, &s));
	EXPECT_EQ(DET_FAULT, s.st.reason) print_status(&s.st);
	ASSERT_EQ(0, RUN(e_sysenter, &s));
	EXPECT_EQ(DET_FAULT, s.st.reason) print_status(&s.st);
}

/* --- What a system call leaves in RCX and R11 of a space --- */

#define CANONICAL_ASM \
	"xor %edi, %edi\nxor %esi, %esi\nxor %edx, %edx\n" \
	"mov $548, %eax\n" \
	"stc\n" \
	"syscall\n" \
	"1: mov %rcx, %r12\n" \
	"mov %r11, %r13\n" \
	"pushf\npop %r14\n" \
	"lea 1b(%rip), %r15\n" \
	"mov %rax, %rdi\n" \
	ASM_DRET

BLOB(code_canonical, CANONICAL_ASM);

TEST(canonical_rcx_r11)
{
	struct stop s;

	NEED_CALLS();
	ASSERT_EQ(0, RUN(code_canonical, &s));
	EXPECT_RET(DET_VERSION, &s.st);
	EXPECT_EQ(s.regs.r15, s.regs.r12);
	EXPECT_EQ(s.regs.r14, s.regs.r13);
	EXPECT_EQ(1, s.regs.r13 & 1);
}

/* A C function in a copy of the caller, whatever its layout. */
static long write_to_8(void *arg)
{
	asm volatile("movl $1, 8" ::: "memory");
	return 1;
}

TEST(fault_in_a_fork)
{
	struct det_status st;

	NEED_CALLS();
	ASSERT_EQ(1, spawn(CHILD, DET_START | DET_WAIT, write_to_8, NULL, &st));
	EXPECT_FAULT(SIGSEGV, 14, &st);
	EXPECT_EQ(8, st.addr);
	EXPECT_EQ(6, st.error);
	EXPECT_EQ(0, kill_child(CHILD));
	/* And in the next child the same. */
	ASSERT_EQ(1, spawn(CHILD, DET_START | DET_WAIT, write_to_8, NULL, &st));
	EXPECT_FAULT(SIGSEGV, 14, &st);
}

TEST_HARNESS_MAIN
