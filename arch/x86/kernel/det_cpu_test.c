// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of what is made of a probe and of facts about a CPU: also of CPUs
 * that are not here.
 */
#include <kunit/test.h>

#include <asm/deterministic.h>

#define ALL_FAULT { \
	[0 ... DET_PROBES - 1] = { .ran = true, .faulted = true } \
}

struct example {
	const char *what;
	enum det_source source;
	struct det_cpu cpu;
	int probe;		/* this one is executed, and leaves ... */
	u64 rax;
	enum det_verdict verdict;
};

#define NO_PROBE (-1)

static const struct example examples[] = {
	{
		.what = "RDTSC faults",
		.source = DET_SOURCE_TSC,
		.probe = NO_PROBE,
		.verdict = DET_CLOSED,
	}, {
		.what = "RDTSC is executed",
		.source = DET_SOURCE_TSC,
		.probe = DET_PROBE_RDTSC,
		.verdict = DET_OPEN,
	}, {
		.what = "RDTSCP is forgotten",
		.source = DET_SOURCE_TSC,
		.probe = DET_PROBE_RDTSCP,
		.verdict = DET_OPEN,
	}, {
		.what = "RDPMC is executed",
		.source = DET_SOURCE_PMC,
		.probe = DET_PROBE_RDPMC,
		.verdict = DET_OPEN,
	}, {
		.what = "a hypervisor takes the setting and does nothing",
		.source = DET_SOURCE_CPUID,
		.probe = DET_PROBE_CPUID,
		.rax = 0x16,
		.verdict = DET_OPEN,
	}, {
		.what = "CPUID faults",
		.source = DET_SOURCE_CPUID,
		.probe = NO_PROBE,
		.verdict = DET_CLOSED,
	}, {
		.what = "a CPU without RDPID hides its segment",
		.source = DET_SOURCE_CPU_NUMBER,
		.probe = DET_PROBE_LSL,
		.rax = 0,
		.verdict = DET_CLOSED,
	}, {
		.what = "RDPID reads 0",
		.source = DET_SOURCE_CPU_NUMBER,
		.probe = DET_PROBE_RDPID,
		.rax = 0,
		.verdict = DET_CLOSED,
	}, {
		.what = "RDPID reads the CPU",
		.source = DET_SOURCE_CPU_NUMBER,
		.probe = DET_PROBE_RDPID,
		.rax = 3,
		.verdict = DET_OPEN,
	}, {
		.what = "LSL reads node and CPU",
		.source = DET_SOURCE_CPU_NUMBER,
		.probe = DET_PROBE_LSL,
		.rax = 0x1003,
		.verdict = DET_OPEN,
	}, {
		.what = "UMIP",
		.source = DET_SOURCE_TABLES,
		.probe = NO_PROBE,
		.verdict = DET_CLOSED,
	}, {
		.what = "no UMIP: SGDT has the CPU's address",
		.source = DET_SOURCE_TABLES,
		.probe = DET_PROBE_SGDT,
		.verdict = DET_OPEN,
	}, {
		.what = "only SMSW is executed",
		.source = DET_SOURCE_TABLES,
		.probe = DET_PROBE_SMSW,
		.verdict = DET_OPEN,
	}, {
		.what = "no transactions",
		.source = DET_SOURCE_TSX,
		.probe = NO_PROBE,
		.verdict = DET_ABSENT,
	}, {
		.what = "transactions",
		.source = DET_SOURCE_TSX,
		.cpu.rtm = true,
		.probe = DET_PROBE_XBEGIN,
		.rax = 1,
		.verdict = DET_OPEN,
	}, {
		.what = "transactions of which CPUID does not tell",
		.source = DET_SOURCE_TSX,
		.probe = DET_PROBE_XBEGIN,
		.rax = 1,
		.verdict = DET_OPEN,
	}, {
		.what = "transactions that always abort",
		.source = DET_SOURCE_TSX,
		.cpu.rtm = true,
		.probe = DET_PROBE_XBEGIN,
		.verdict = DET_CLOSED,
	}, {
		.what = "elided locks alone",
		.source = DET_SOURCE_TSX,
		.cpu.hle = true,
		.probe = NO_PROBE,
		.verdict = DET_OPEN,
	}, {
		.what = "CPUID tells of transactions that fault",
		.source = DET_SOURCE_TSX,
		.cpu.rtm = true,
		.probe = NO_PROBE,
		.verdict = DET_OPEN,
	}, {
		.what = "RDRAND and RDSEED can be looked for",
		.source = DET_SOURCE_RANDOM,
		.cpu.nx = true,
		.probe = NO_PROBE,
		.verdict = DET_ON_REQUEST,
	}, {
		.what = "not where all memory is code",
		.source = DET_SOURCE_RANDOM,
		.probe = NO_PROBE,
		.verdict = DET_OPEN,
	}, {
		.what = "XSTORE is not looked for",
		.source = DET_SOURCE_RANDOM,
		.cpu = { .xstore = true, .nx = true },
		.probe = NO_PROBE,
		.verdict = DET_OPEN,
	}, {
		.what = "XSAVE",
		.source = DET_SOURCE_XINUSE,
		.cpu.xsave = true,
		.probe = NO_PROBE,
		.verdict = DET_OPEN,
	}, {
		.what = "no XSAVE",
		.source = DET_SOURCE_XINUSE,
		.probe = NO_PROBE,
		.verdict = DET_ABSENT,
	}, {
		.what = "IRET",
		.source = DET_SOURCE_SELECTOR,
		.probe = NO_PROBE,
		.verdict = DET_OPEN,
	}, {
		.what = "ERETU",
		.source = DET_SOURCE_SELECTOR,
		.cpu.fred = true,
		.probe = NO_PROBE,
		.verdict = DET_CLOSED,
	}, {
		.what = "FIP that depends on context switches",
		.source = DET_SOURCE_FPU_POINTERS,
		.cpu.fpu_pointers_leak = true,
		.probe = NO_PROBE,
		.verdict = DET_OPEN,
	}, {
		.what = "FIP that does not",
		.source = DET_SOURCE_FPU_POINTERS,
		.probe = NO_PROBE,
		.verdict = DET_CLOSED,
	},
};

static void example_name(const struct example *e, char *desc)
{
	strscpy(desc, e->what, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(example, examples, example_name);

static void test_verdict(struct kunit *test)
{
	const struct example *e = test->param_value;
	struct det_probed p[DET_PROBES] = ALL_FAULT;

	if (e->probe != NO_PROBE) {
		p[e->probe].faulted = false;
		p[e->probe].rax = e->rax;
	}
	KUNIT_EXPECT_EQ(test, det_cpu_verdict(e->source, &e->cpu, p),
			e->verdict);
}

/* What could not be executed is not closed. */
static void test_not_probed(struct kunit *test)
{
	const enum det_source executed[] = {
		DET_SOURCE_TSC, DET_SOURCE_PMC, DET_SOURCE_CPUID,
		DET_SOURCE_CPU_NUMBER, DET_SOURCE_TABLES, DET_SOURCE_TSX,
	};
	const struct det_probed p[DET_PROBES] = { };
	const struct det_cpu cpu = { };
	int i;

	for (i = 0; i < ARRAY_SIZE(executed); i++)
		KUNIT_EXPECT_EQ(test, det_cpu_verdict(executed[i], &cpu, p),
				DET_OPEN);
}

static struct kunit_case det_cpu_cases[] = {
	KUNIT_CASE_PARAM(test_verdict, example_gen_params),
	KUNIT_CASE(test_not_probed),
	{}
};

static struct kunit_suite det_cpu_suite = {
	.name = "det_cpu",
	.test_cases = det_cpu_cases,
};

kunit_test_suite(det_cpu_suite);
