// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a space sees of the machine that it runs on: instructions whose result
 * depends on the CPU, the time or luck. Each is executed in a space, without libc,
 * on each CPU. /sys/kernel/deterministic says what this machine closes; what it
 * calls closed must not be seen, and a kernel that can be told to leave a source
 * open shows that the probe would have seen it.
 */
#include <cpuid.h>
#include <sched.h>

#include "common.h"
#include "xstate.h"

#define CHILD 1
#define SYSFS "/sys/kernel/deterministic/"
#define OPEN "/sys/module/deterministic/parameters/open"

/* An instruction that leaves in RAX what it has seen; RAX is returned. */
#define SEE(name, setup, insn, rest) \
	INSN_THEN(name, setup, insn, rest "\nmov %rax, %rdi\n" ASM_DRET)

SEE(p_rdtsc, "", "rdtsc", "");
SEE(p_rdtscp, "", "rdtscp", "");
/* These say only that they were executed: until the time that is in EDX:EAX. */
#define AT_ONCE "xor %ecx, %ecx\nxor %eax, %eax\nxor %edx, %edx"
SEE(p_tpause, AT_ONCE, ".byte 0x66, 0x0f, 0xae, 0xf1", "mov $1, %eax");
SEE(p_umwait, AT_ONCE, ".byte 0xf2, 0x0f, 0xae, 0xf1", "mov $1, %eax");
SEE(p_rdpru, "xor %ecx, %ecx", ".byte 0x0f, 0x01, 0xfd", "");
SEE(p_rdpmc, "xor %ecx, %ecx", "rdpmc", "");
SEE(p_cpuid, "mov $1, %eax", "cpuid", "mov %rbx, %rax");
SEE(p_rdpid, "", "rdpid %rax", "");
SEE(p_lsl, "mov $0x7b, %ecx", "lsl %ecx, %eax", "jz 1f\nmov $-1, %eax\n1:");
SEE(p_sgdt, "", "sgdt 0x20000000", "mov 0x20000002, %rax");
SEE(p_sidt, "", "sidt 0x20000000", "mov 0x20000002, %rax");
SEE(p_sldt, "xor %eax, %eax", "sldt %eax", "");
SEE(p_str, "xor %eax, %eax", "str %eax", "");
SEE(p_smsw, "xor %eax, %eax", "smsw %eax", "");

enum {
	NOTHING,	/* a fault */
	SOMETHING,	/* RAX */
};

/* An LSL of a segment that is not for it. */
#define NO_SEGMENT 0xffffffffULL

/* Is this word among the flags in /proc/cpuinfo? */
static bool cpu_has(const char *flag)
{
	char line[8192], word[64];
	bool has = false;
	FILE *f = fopen("/proc/cpuinfo", "re");

	snprintf(word, sizeof(word), " %s ", flag);
	while (f && !has && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = ' ';
		has = !strncmp(line, "flags", 5) && strstr(line, word);
	}
	if (f)
		fclose(f);
	return has;
}

struct probe {
	const char *what;
	const char *file;
	__u64 source;
	const char *code;
	const size_t *size;
	const char *at;
	__u64 blind;	/* what RAX is where it has been executed in vain */
	bool can_open;
	const char *flag;	/* without it the bytes are another instruction */
};

static bool has(const struct probe *p)
{
	return !p->flag || cpu_has(p->flag);
}

#define PROBE(name, source, file, blind, can_open) \
	PROBE_OF(name, source, file, blind, can_open, NULL)
#define PROBE_OF(name, source, file, blind, can_open, flag) \
	{ #name, file, source, p_##name, &p_##name##_size, p_##name##_at, \
	  blind, can_open, flag }

static const struct probe probes[] = {
	PROBE(rdtsc, DET_REQUIRE_TSC, "tsc", -1, true),
	PROBE(rdtscp, DET_REQUIRE_TSC, "tsc", -1, true),
	PROBE_OF(tpause, DET_REQUIRE_TSC, "tsc", -1, true, "waitpkg"),
	PROBE_OF(umwait, DET_REQUIRE_TSC, "tsc", -1, true, "waitpkg"),
	PROBE_OF(rdpru, DET_REQUIRE_TSC, "tsc", -1, true, "rdpru"),
	PROBE(rdpmc, DET_REQUIRE_PMC, "pmc", -1, false),
	PROBE(cpuid, DET_REQUIRE_CPUID, "cpuid", -1, false),
	PROBE(rdpid, DET_REQUIRE_CPU_NUMBER, "cpu_number", 0, false),
	PROBE(lsl, DET_REQUIRE_CPU_NUMBER, "cpu_number", NO_SEGMENT, true),
	PROBE(sgdt, DET_REQUIRE_TABLES, "tables", -1, true),
	PROBE(sidt, DET_REQUIRE_TABLES, "tables", -1, true),
	PROBE(sldt, DET_REQUIRE_TABLES, "tables", -1, true),
	PROBE(str, DET_REQUIRE_TABLES, "tables", -1, true),
	PROBE(smsw, DET_REQUIRE_TABLES, "tables", -1, true),
};

static const char * const sources[] = {
	"tsc", "pmc", "cpuid", "cpu_number", "tables", "tsx", "random",
	"xinuse", "selector", "fpu_pointers",
};

/* The word in a file of one; empty if there is none. */
static void word_of(const char *file, char *word, size_t size)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), SYSFS "%s", file);
	word[0] = 0;
	f = fopen(path, "re");
	if (!f)
		return;
	if (!fgets(word, size, f))
		word[0] = 0;
	fclose(f);
	word[strcspn(word, "\n")] = 0;
}

static bool is_open(const char *file)
{
	char word[32];

	word_of(file, word, sizeof(word));
	return !strcmp(word, "open");
}

static bool run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return !sched_setaffinity(0, sizeof(set), &set);
}

/* A new space executes it. Neither a fault of the instruction nor a RET: -1. */
static int see(const struct probe *p, __u64 *rax)
{
	struct user_regs_struct regs;
	struct det_status st;
	long ret;

	kill_child(CHILD);
	ret = make_blob(CHILD, p->code, *p->size);
	if (!ret)
		ret = run_child(CHILD, &st);
	if (!ret)
		ret = get_regs(CHILD, &regs);
	if (ret)
		return -1;
	*rax = st.value;
	if (st.reason == DET_RET)
		return SOMETHING;
	if (st.reason == DET_FAULT &&
	    regs.rip == BLOB_CODE + (p->at - p->code))
		return NOTHING;
	print_status(&st);
	return -1;
}

TEST(words)
{
	char word[32];
	unsigned int i;

	NEED_CALLS();
	for (i = 0; i < ARRAY_SIZE(sources); i++) {
		word_of(sources[i], word, sizeof(word));
		EXPECT_TRUE(!strcmp(word, "open") || !strcmp(word, "closed") ||
			    !strcmp(word, "absent") ||
			    (!strcmp(word, "on-request") &&
			     !strcmp(sources[i], "random")))
			TH_LOG("%s: '%s'", sources[i], word);
	}
}

/* On each CPU: a fault, or what it is where there is nothing to see. */
TEST(closed)
{
	int cpus = sysconf(_SC_NPROCESSORS_ONLN), cpu, sees;
	unsigned int i;
	__u64 rax;

	NEED_CALLS();
	for (i = 0; i < ARRAY_SIZE(probes); i++) {
		const struct probe *p = &probes[i];

		if (is_open(p->file) || !has(p))
			continue;
		for (cpu = 0; cpu < cpus; cpu++) {
			ASSERT_TRUE(run_on(cpu));
			sees = see(p, &rax);
			EXPECT_NE(-1, sees) TH_LOG("%s", p->what);
			if (sees == SOMETHING)
				EXPECT_EQ(p->blind, rax)
					TH_LOG("%s on CPU %d", p->what, cpu);
		}
	}
}

/*
 * What the kernel can close on any CPU, or on one that has this, is not called
 * open: else what is not closed would only be said to be so, and nothing failed.
 */
TEST(not_open)
{
	static const struct {
		const char *file, *flag;
	} closed[] = {
		{ "tsc", NULL }, { "pmc", NULL }, { "cpu_number", NULL },
		{ "tables", "umip" }, { "cpuid", "cpuid_fault" },
		{ "random", "nx" },
	};
	unsigned int i;

	NEED_CALLS();
	for (i = 0; i < ARRAY_SIZE(closed); i++)
		if (!closed[i].flag || cpu_has(closed[i].flag))
			EXPECT_FALSE(is_open(closed[i].file))
				TH_LOG("%s", closed[i].file);
}

/* What this machine cannot close is seen, or the CPU does not have it. */
TEST(machine_without_cpuid_faulting)
{
	const struct probe *p = probes;
	__u64 rax;

	NEED_CALLS();
	while (strcmp("cpuid", p->what))
		p++;
	if (!is_open("cpuid"))
		SKIP(return, "CPUID faults here");
	EXPECT_EQ(SOMETHING, see(p, &rax));
}

static bool write_open(__u64 sources)
{
	FILE *f = fopen(OPEN, "we");
	bool ok;

	if (!f)
		return false;
	ok = fprintf(f, "%llu", (unsigned long long)sources) > 0;
	return !fclose(f) && ok;
}

/* With its source left open each probe sees: else "closed" says nothing. */
TEST(opened)
{
	unsigned int i;
	__u64 rax;

	NEED_CALLS();
	if (access(OPEN, W_OK))
		SKIP(return, "not a kernel that leaves a source open");
	/* Not on the first CPU, whose number is 0. */
	ASSERT_TRUE(run_on(sysconf(_SC_NPROCESSORS_ONLN) - 1));
	for (i = 0; i < ARRAY_SIZE(probes); i++) {
		const struct probe *p = &probes[i];

		if (!p->can_open || !has(p))
			continue;
		ASSERT_TRUE(write_open(p->source));
		EXPECT_TRUE(is_open(p->file));
		EXPECT_EQ(SOMETHING, see(p, &rax)) TH_LOG("%s", p->what);
		EXPECT_NE(p->blind, rax) TH_LOG("%s", p->what);
	}
	EXPECT_TRUE(write_open(0));
	EXPECT_FALSE(is_open("tsc"));
}

/* --- det_args.require --- */

static long make_requiring(__u64 sources)
{
	struct det_args a = args_of(0, NULL, 0, NULL);

	kill_child(CHILD);
	a.require = sources;
	return dput(CHILD, &a);
}

TEST(require)
{
	unsigned int i;

	NEED_CALLS();
	for (i = 0; i < ARRAY_SIZE(sources); i++) {
		EXPECT_EQ(is_open(sources[i]) ? -ENOTSUP : 0,
			  make_requiring(1ULL << i))
			TH_LOG("%s", sources[i]);
		/* No space has been made that lacks something. */
		EXPECT_EQ(is_open(sources[i]) ? -ESRCH : 0,
			  get_flags(CHILD, 0, NULL));
	}
	EXPECT_EQ(0, make_requiring(DET_REQUIRE_TSC | DET_REQUIRE_PMC));
	EXPECT_EQ(-EINVAL, make_requiring(1ULL << ARRAY_SIZE(sources)));
}

static long require_what_is_open(void *arg)
{
	struct det_args a = args_of(0, NULL, 0, NULL);

	a.require = DET_REQUIRE_XINUSE | DET_REQUIRE_SELECTOR |
		    DET_REQUIRE_CPUID;
	return dput(2, &a);
}

/* What the machine has is not for a space to learn. */
TEST(require_in_a_space)
{
	struct det_status st;

	NEED_CALLS();
	if (!is_open("xinuse") && !is_open("selector") && !is_open("cpuid"))
		SKIP(return, "nothing is open here");
	ASSERT_EQ(1, spawn(CHILD, DET_START | DET_WAIT, require_what_is_open,
			   NULL, &st));
	EXPECT_EQ(DET_KILLED, st.reason) print_status(&st);
}

/* --- Code that draws no random numbers --- */

#define CODE2 (BLOB_CODE + PAGE)

/* Stops with what RDRAND has drawn, or at it. */
BLOB(code_rdrand, "nop\nrdrand %rdi\n" ASM_DRET);
BLOB(code_plain, "mov $7, %edi\n" ASM_DRET);
/* RDSEED, at the end of another instruction's operand. */
BLOB(code_hidden, "mov $0xf8c70f00, %eax\nmov $7, %edi\n" ASM_DRET);
/* CMPXCHG8B has the same first bytes, and is no RDRAND. */
BLOB(code_cmpxchg, "lock cmpxchg8b 0x20000000\nmov $7, %edi\n" ASM_DRET);

/* A stopped child whose code at @at cannot be written to. */
static long make_code(__u64 require, const void *code, size_t len, __u64 at)
{
	struct det_op ops[] = {
		op_zero(BLOB_CODE, 2 * PAGE, PROT_RW),
		op_copy(code, at, len),
		op_perm(BLOB_CODE, 2 * PAGE, PROT_READ | PROT_EXEC),
		op_zero(BLOB_DATA, BLOB_DATA_PAGES * PAGE, PROT_RW),
	};
	struct det_args a = args_of(0, ops, ARRAY_SIZE(ops), NULL);
	struct user_regs_struct regs = blob_regs();

	kill_child(CHILD);
	regs.rip = at;
	args_regs(&a, &regs);
	a.require = require;
	return dput(CHILD, &a);
}

#define STRICT(code, at) \
	make_code(DET_REQUIRE_RANDOM, code, code##_size, at)

#define NEED_STRICT() need_strict(_metadata)

static void need_strict(struct __test_metadata *_metadata)
{
	NEED_CALLS();
	if (is_open("random"))
		SKIP(_exit(KSFT_SKIP), "this CPU has XSTORE");
}

TEST(random_free_code_runs)
{
	struct det_status st;

	NEED_STRICT();
	ASSERT_EQ(0, STRICT(code_plain, BLOB_CODE));
	ASSERT_EQ(0, run_child(CHILD, &st));
	EXPECT_RET(7, &st);
	ASSERT_EQ(0, STRICT(code_cmpxchg, BLOB_CODE));
	ASSERT_EQ(0, run_child(CHILD, &st));
	EXPECT_RET(7, &st);
	/* Nobody has asked for it here. */
	ASSERT_EQ(0, make_code(0, code_hidden, code_hidden_size, BLOB_CODE));
	ASSERT_EQ(0, run_child(CHILD, &st));
	EXPECT_RET(7, &st);
}

/* Not started, whole, and nothing happens to it until it is repaired. */
TEST(random_code_is_refused)
{
	struct user_regs_struct regs = blob_regs();
	struct det_status st;
	struct det_op repair[] = {
		op_perm(BLOB_CODE, PAGE, PROT_RW),
		op_copy(code_plain, BLOB_CODE, code_plain_size),
		op_perm(BLOB_CODE, PAGE, PROT_READ | PROT_EXEC),
	};

	NEED_STRICT();
	ASSERT_EQ(0, STRICT(code_rdrand, BLOB_CODE));
	EXPECT_EQ(-EACCES, run_child(CHILD, &st));
	EXPECT_EQ(0, st.op);
	EXPECT_EQ(DET_NEW, st.reason);
	EXPECT_LE(BLOB_CODE + 1, st.addr);
	EXPECT_GE(BLOB_CODE + 2, st.addr);
	EXPECT_EQ(-EACCES, run_child(CHILD, &st));
	EXPECT_EQ(0, put_ops(CHILD, 0, repair, ARRAY_SIZE(repair), NULL));
	ASSERT_EQ(0, put_regs(CHILD, &regs, DET_START | DET_WAIT, &st));
	EXPECT_RET(7, &st);
	ASSERT_EQ(0, STRICT(code_hidden, BLOB_CODE));
	EXPECT_EQ(-EACCES, run_child(CHILD, &st));
	EXPECT_EQ(BLOB_CODE + 2, st.addr);
}

/* Its bytes lie in two pages, however they are divided. */
TEST(random_code_across_pages)
{
	static const unsigned char rdrand[] = { 0x0f, 0xc7, 0xf0 };
	struct det_status st;
	int before;

	NEED_STRICT();
	for (before = 1; before <= 2; before++) {
		ASSERT_EQ(0, make_code(DET_REQUIRE_RANDOM, rdrand,
				       sizeof(rdrand), CODE2 - before));
		EXPECT_EQ(-EACCES, run_child(CHILD, &st));
		EXPECT_EQ(CODE2 - before, st.addr);
		/* The second page is another mapping. */
		ASSERT_EQ(0, put_op(CHILD, 0, op_perm(CODE2, PAGE, PROT_EXEC),
				    NULL));
		EXPECT_EQ(-EACCES, run_child(CHILD, &st));
		/* It cannot be executed: the instruction is not whole. */
		ASSERT_EQ(0, put_op(CHILD, 0, op_perm(CODE2, PAGE, PROT_READ),
				    NULL));
		EXPECT_EQ(0, run_child(CHILD, &st));
		EXPECT_FAULT(SIGSEGV, 14, &st);
	}
}

TEST(random_writable_code_is_refused)
{
	struct det_status st;

	NEED_STRICT();
	ASSERT_EQ(0, STRICT(code_plain, BLOB_CODE));
	ASSERT_EQ(0, put_op(CHILD, 0, op_zero(BLOB_DATA + 64 * PAGE, PAGE,
					      PROT_RWX), NULL));
	EXPECT_EQ(-EACCES, run_child(CHILD, &st));
	EXPECT_EQ(BLOB_DATA + 64 * PAGE, st.addr);
	ASSERT_EQ(0, put_op(CHILD, 0, op_perm(BLOB_DATA + 64 * PAGE, PAGE,
					      PROT_RW), NULL));
	ASSERT_EQ(0, run_child(CHILD, &st));
	EXPECT_RET(7, &st);
}

TEST(random_only_at_creation)
{
	struct det_args a = args_of(0, NULL, 0, NULL);

	NEED_STRICT();
	ASSERT_EQ(0, make_code(0, code_plain, code_plain_size, BLOB_CODE));
	a.require = DET_REQUIRE_RANDOM;
	EXPECT_EQ(-EINVAL, dput(CHILD, &a));
	EXPECT_EQ(-EINVAL, dget(CHILD, &a));
	ASSERT_EQ(0, STRICT(code_plain, BLOB_CODE));
	EXPECT_EQ(0, dput(CHILD, &a));
	EXPECT_EQ(0, dget(CHILD, &a));
}

static unsigned char *code_page;

/* Writes RDRAND, makes it executable. */
static long make_own_code(void *arg)
{
	struct det_op op = op_perm((uintptr_t)code_page, PAGE,
				   PROT_READ | PROT_EXEC);
	struct det_args a = args_of(0, &op, 1, NULL);

	code_page[100] = 0x0f;
	code_page[101] = 0xc7;
	code_page[102] = 0xf7;
	return dput(DET_SELF, &a);
}

/* As fork_space(), but strict. */
static long spawn_strict(space_fn fn, struct det_status *st)
{
	struct det_op op = op_whole();
	struct det_args a = args_of(DET_FORK | DET_START | DET_WAIT, &op, 1, st);
	long ret;

	kill_child(CHILD);
	a.require = DET_REQUIRE_RANDOM;
	ret = dput(CHILD, &a);
	while (ret == 0)
		dret(fn(NULL));
	return ret;
}

/* What a space makes of its own memory stops it before it can execute it. */
TEST(random_code_of_its_own)
{
	struct det_status st;

	NEED_STRICT();
	code_page = mmap(NULL, PAGE, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	ASSERT_NE(MAP_FAILED, code_page);
	ASSERT_EQ(1, spawn_strict(make_own_code, &st));
	ASSERT_TRUE(is_fault(&st, SIGSEGV, 14));
	EXPECT_EQ((uintptr_t)code_page + 100, st.addr);
	EXPECT_EQ(0x14, st.error);
	EXPECT_EQ(-EACCES, run_child(CHILD, &st));
	ASSERT_EQ(0, put_op(CHILD, 0, op_perm((uintptr_t)code_page, PAGE,
					      PROT_READ), NULL));
	/* Its call has succeeded; it goes on behind it. */
	ASSERT_EQ(0, run_child(CHILD, &st));
	EXPECT_RET(0, &st);
}

static long start_with_code(void *arg)
{
	struct det_op ops[] = {
		op_zero(BLOB_CODE, PAGE, PROT_RW),
		op_copy(code_rdrand, BLOB_CODE, code_rdrand_size),
		op_perm(BLOB_CODE, PAGE, PROT_READ | PROT_EXEC),
	};

	return put_ops(3, DET_START, ops, ARRAY_SIZE(ops), NULL);
}

TEST(random_code_of_a_descendant)
{
	struct det_status st;

	NEED_STRICT();
	ASSERT_EQ(1, spawn_strict(start_with_code, &st));
	EXPECT_RET((__u64)-EACCES, &st);
}

/* --- A trapped instruction is a stop --- */

#define ASM_CLOCK "rdtsc\nmov %rax, %rdi\n" ASM_DRET "jmp 1b\n"
BLOB(code_clock, "1:" ASM_CLOCK);

/* The parent gives its child a clock that counts stops. */
TEST(clock_of_the_parents)
{
	struct user_regs_struct regs;
	struct det_status st;
	int i;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_clock));
	for (i = 1; i <= 3; i++) {
		ASSERT_EQ(0, run_child(CHILD, &st));
		ASSERT_TRUE(is_fault(&st, SIGSEGV, 13));
		ASSERT_EQ(0, get_regs(CHILD, &regs));
		regs.rip += 2;
		regs.rax = i * 100;
		regs.rdx = 0;
		ASSERT_EQ(0, put_regs(CHILD, &regs, DET_START | DET_WAIT, &st));
		EXPECT_RET(i * 100, &st);
	}
}

/* --- The others keep what a space loses --- */

static bool sees_its_cpu(int cpu)
{
	unsigned int limit = -1;
	char ok;

	asm volatile("lsl %2, %0\nsetz %1" : "=r"(limit), "=q"(ok)
		     : "r"(0x7b) : "cc");
	return ok && (limit & 0xfff) == (unsigned int)cpu &&
	       sched_getcpu() == cpu;
}

BLOB(code_spin, "1: jmp 1b");

/* They share a CPU with a space that never stops. */
TEST(others_see_their_cpu)
{
	int cpu = sysconf(_SC_NPROCESSORS_ONLN) - 1, i;
	volatile int n;

	NEED_CALLS();
	ASSERT_TRUE(run_on(cpu));
	ASSERT_TRUE(sees_its_cpu(cpu));
	ASSERT_EQ(0, MAKE(CHILD, code_spin));
	ASSERT_EQ(0, put_flags(CHILD, DET_START, NULL));
	for (i = 0; i < 300; i++) {
		ASSERT_TRUE(sees_its_cpu(cpu)) TH_LOG("after %d", i);
		for (n = 0; n < 20000; n++)
			;
		sched_yield();
	}
	EXPECT_EQ(0, kill_child(CHILD));
	EXPECT_TRUE(sees_its_cpu(cpu));
}

/* --- Where the last x87 instruction was --- */

BLOB(code_x87, "fld1\nfstpl 0x20000000\n" ASM_DRET);

TEST(fpu_pointers)
{
	static struct xarea x;
	struct det_args a;
	struct det_status st;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_x87));
	ASSERT_EQ(0, run_child(CHILD, &st));
	ASSERT_EQ(DET_RET, st.reason);
	a = args_of(DET_REGS, NULL, 0, NULL);
	a.xstate = (uintptr_t)&x;
	a.xstate_size = sizeof(x);
	memset(&x, 0xff, sizeof(x));
	ASSERT_EQ(0, dget(CHILD, &a));
	/* FOP, and FIP with FDP. */
	EXPECT_TRUE(all_bytes((char *)&x + 6, 0, 2));
	EXPECT_TRUE(all_bytes((char *)&x + 8, 0, 16));
}

/* --- What interrupts and switches leave behind in a program that runs on --- */

/*
 * WATCH(name, setup, look): in RAX, how often what LOOK leaves in RAX was not what
 * it had been at first.
 */
#define LOOKS "300000"
#define WATCH(name, setup, look) \
	SEE(name, setup "\nxor %edi, %edi\nmov $" LOOKS ", %esi\n" \
	    "1: " look "\ncmp $" LOOKS ", %esi\ncmove %rax, %rbx\n" \
	    "cmp %rbx, %rax\nsetne %al\nmovzbl %al, %eax\nadd %rax, %rdi\n" \
	    "dec %esi\njnz 1b", "mov %rdi, %rax", "")

/* FIP, FCS with FOP, FDP, FDS: of the environment, the last 16 bytes. */
#define LOOK_FPU "fnstenv 0x20000100\nmov 0x2000010c, %rax\nxor 0x20000114, %rax"
WATCH(p_fnstenv, "fld1\nfstpl 0x20000000", LOOK_FPU);
WATCH(p_xgetbv, "mov $1, %ecx", "xgetbv");
#define LOOK_GS "xor %eax, %eax\nmov %gs, %eax"
WATCH(p_null_selector, "mov $3, %eax\nmov %eax, %gs", LOOK_GS);
/* What a watch must be able to see: the time itself. */
WATCH(p_watch, "", "rdtsc");

static const struct probe watches[] = {
	PROBE(fnstenv, DET_REQUIRE_FPU_POINTERS, "fpu_pointers", 0, false),
	PROBE_OF(xgetbv, DET_REQUIRE_XINUSE, "xinuse", 0, false, "xgetbv1"),
	PROBE(null_selector, DET_REQUIRE_SELECTOR, "selector", 0, false),
};

/* It shares its CPU with those that watch, and uses the same registers. */
BLOB(code_spin_x87, "1: fldpi\nfstpl 0x20000008\njmp 1b");

TEST(over_time)
{
	unsigned int i;
	__u64 rax = 0;
	int sees;

	NEED_CALLS();
	ASSERT_TRUE(run_on(sysconf(_SC_NPROCESSORS_ONLN) - 1));
	ASSERT_EQ(0, MAKE(CHILD + 1, code_spin_x87));
	ASSERT_EQ(0, put_flags(CHILD + 1, DET_START, NULL));
	for (i = 0; i < ARRAY_SIZE(watches); i++) {
		const struct probe *p = &watches[i];

		if (!has(p))
			continue;
		sees = see(p, &rax);
		if (is_open(p->file))
			TH_LOG("%s, open: differs %lld of " LOOKS " times",
			       p->what, (long long)rax);
		else
			EXPECT_EQ(0, rax) TH_LOG("%s", p->what);
		EXPECT_EQ(SOMETHING, sees) TH_LOG("%s", p->what);
	}
	EXPECT_EQ(0, kill_child(CHILD + 1));
}

/* Where the time can be read, a watch sees it. */
TEST(watch_sees)
{
	const struct probe p = PROBE(watch, DET_REQUIRE_TSC, "tsc", 0, true);
	__u64 rax;

	NEED_CALLS();
	if (access(OPEN, W_OK))
		SKIP(return, "not a kernel that leaves a source open");
	ASSERT_TRUE(write_open(p.source));
	EXPECT_EQ(SOMETHING, see(&p, &rax));
	EXPECT_LT(0, rax);
	EXPECT_TRUE(write_open(0));
}

TEST_HARNESS_MAIN
