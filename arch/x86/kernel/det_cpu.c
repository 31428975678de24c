// SPDX-License-Identifier: GPL-2.0-only
/*
 * Deterministic processes: what a space sees of the CPU that it runs on.
 *
 * An instruction whose result depends on the CPU, the time or luck either
 * faults in a space, or gives a constant, or stays open: then
 * /sys/kernel/deterministic says so, and a master that names it in
 * det_args.require gets no space. What faults is a stop like any other, and
 * the parent may put a result of its own in the registers.
 *
 *   RDTSC, RDTSCP, TPAUSE, UMWAIT, RDPRU	CR4.TSD: TIF_NOTSC
 *   RDPMC				CR4.PCE stays clear (cr4_update_pce_mm())
 *   CPUID				CPUID faulting: TIF_NOCPUID
 *   RDPID, LSL of the CPU's segment	det_hide_cpu()
 *   SGDT, SIDT, SLDT, STR, SMSW	CR4.UMIP, and no emulation
 *   RDRAND, RDSEED, on request	no such code: dmem_check_code()
 *
 * Where the closure is written is one thing, whether the machine keeps it is
 * another: some hypervisors accept a setting and do nothing. So what can be
 * executed is executed, in a space of the kernel's own (kernel/det_probe.c),
 * and det_cpu_verdict() judges what came out, together with facts about the
 * CPU. After the tables of Cotter, rr and DetTrace.
 */

#include <linux/cpufeature.h>
#include <linux/deterministic.h>
#include <linux/percpu.h>
#include <linux/processor.h>
#include <linux/sched.h>

#include <asm/desc.h>
#include <asm/deterministic.h>
#include <asm/msr.h>
#include <asm/segment.h>
#include <asm/trapnr.h>
#include <asm/vdso/processor.h>

#include <uapi/linux/deterministic.h>

/* Not in 6.12's headers: AMD's counterpart of CPUID faulting. */
#define DET_HWCR_CPUID_USER_DIS		35
#define DET_LEAF_EXTENDED_2		0x80000021
#define DET_CPUID_USER_DIS		BIT(17)

/*
 * The number of the CPU.
 *
 * RDPID reads TSC_AUX; LSL reads the limit of a segment that everybody
 * may look at. Both hold the number of node and CPU. While a space is current
 * and has been in user mode, TSC_AUX is 0 and the segment is the kernel's
 * alone; paranoid_entry() reads it with a selector of the kernel's.
 *
 * TSC_AUX may hold a KVM guest's value until the next return to user mode, when
 * KVM's user return notifier writes the host's. So it is hidden after the
 * notifiers have run, and shown again when the CPU leaves the space.
 */
static DEFINE_PER_CPU(bool, det_cpu_hidden);

static void det_cpu_view(bool visible)
{
	struct desc_struct *gdt = get_current_gdt_rw();
	struct desc_struct d = gdt[GDT_ENTRY_CPUNODE];
	u32 number = d.limit0 | d.limit1 << 16;

	d.dpl = visible ? 3 : 0;
	write_gdt_entry(gdt, GDT_ENTRY_CPUNODE, &d, DESCTYPE_S);
	/*
	 * RDTSCP reads it, too, and faults. A hypervisor may let RDPID be
	 * executed where it does not say so.
	 */
	if (boot_cpu_has(X86_FEATURE_RDPID) ||
	    (boot_cpu_has(X86_FEATURE_RDTSCP) &&
	     boot_cpu_has(X86_FEATURE_HYPERVISOR)))
		wrmsr(MSR_TSC_AUX, visible ? number : 0, 0);
	this_cpu_write(det_cpu_hidden, !visible);
}

/**
 * det_hide_cpu - a task with TIF_NOTSC returns to user mode: if it is a space
 *
 * Context: interrupts off, behind the user return notifiers.
 */
void det_hide_cpu(void)
{
	if (!det_is_space(current) || this_cpu_read(det_cpu_hidden) ||
	    det_opened(DET_SOURCE_CPU_NUMBER) ||
	    cpu_feature_enabled(X86_FEATURE_XENPV))
		return;
	det_cpu_view(false);
}

/**
 * det_show_cpu - the CPU leaves a task with TIF_NOTSC
 * @next: for this one
 *
 * Context: __switch_to_xtra(), interrupts off.
 */
void det_show_cpu(struct task_struct *next)
{
	if (this_cpu_read(det_cpu_hidden) && !det_is_space(next))
		det_cpu_view(true);
}

/*
 * CPUID.
 */

/* How a CPU can be told to let CPUID fault in user mode. */
enum det_cpuid_how det_cpuid_how __ro_after_init;

static bool __init det_has_user_dis(void)
{
	return (boot_cpu_data.x86_vendor == X86_VENDOR_AMD ||
		boot_cpu_data.x86_vendor == X86_VENDOR_HYGON) &&
	       cpuid_eax(0x80000000) >= DET_LEAF_EXTENDED_2 &&
	       cpuid_eax(DET_LEAF_EXTENDED_2) & DET_CPUID_USER_DIS;
}

/* KVM offers Intel's way to guests of any vendor. */
static bool __init det_has_platform_info(void)
{
	u64 msr;

	return !rdmsrl_safe(MSR_PLATFORM_INFO, &msr) &&
	       msr & MSR_PLATFORM_INFO_CPUID_FAULT &&
	       !rdmsrl_safe(MSR_MISC_FEATURES_ENABLES, &msr);
}

/**
 * det_cpuid_set - let CPUID fault in user mode, or not: AMD's way
 * @fault: which
 *
 * Context: interrupts off, or on a CPU that does not change.
 */
void det_cpuid_set(bool fault)
{
	u64 msr;

	rdmsrl(MSR_K7_HWCR, msr);
	if (fault)
		msr |= BIT_ULL(DET_HWCR_CPUID_USER_DIS);
	else
		msr &= ~BIT_ULL(DET_HWCR_CPUID_USER_DIS);
	wrmsrl(MSR_K7_HWCR, msr);
}

/**
 * det_cpu_close - a new space's flags: what a switch to it closes
 * @task: the space's task, not yet woken
 */
void det_cpu_close(struct task_struct *task)
{
	if (!det_opened(DET_SOURCE_TSC))
		set_tsk_thread_flag(task, TIF_NOTSC);
	else
		clear_tsk_thread_flag(task, TIF_NOTSC);
	if (det_cpuid_how != DET_CPUID_OPEN && !det_opened(DET_SOURCE_CPUID))
		set_tsk_thread_flag(task, TIF_NOCPUID);
	else
		clear_tsk_thread_flag(task, TIF_NOCPUID);
}

/*
 * The probe: what each source of nondeterminism is executed by, and what is
 * made of the result.
 */

/* Each is followed by UD2; it leaves in RAX what it has seen. */
#define DET_CODE(...)	.code = { __VA_ARGS__, 0x0f, 0x0b }, \
			.end = sizeof((u8[]){ __VA_ARGS__ })

const struct det_probe det_probes[DET_PROBES] = {
	[DET_PROBE_RDTSC]  = { DET_CODE(0x0f, 0x31) },
	[DET_PROBE_RDTSCP] = { DET_CODE(0x0f, 0x01, 0xf9) },
	[DET_PROBE_RDPMC]  = { DET_CODE(0x0f, 0x33) },
	[DET_PROBE_CPUID]  = { DET_CODE(0x0f, 0xa2) },
	[DET_PROBE_RDPID]  = { DET_CODE(0xf3, 0x0f, 0xc7, 0xf8) },
	/* mov $selector, %ecx; xor %eax, %eax; lsl %ecx, %eax */
	[DET_PROBE_LSL]    = { DET_CODE(0xb9, GDT_ENTRY_CPUNODE * 8 + 3, 0, 0, 0,
					0x31, 0xc0, 0x0f, 0x03, 0xc1) },
	/* sgdt 0x100(%rip) and the like; the page can be written to */
	[DET_PROBE_SGDT]   = { DET_CODE(0x0f, 0x01, 0x05, 0, 1, 0, 0) },
	[DET_PROBE_SIDT]   = { DET_CODE(0x0f, 0x01, 0x0d, 0, 1, 0, 0) },
	[DET_PROBE_SLDT]   = { DET_CODE(0x0f, 0x00, 0xc0) },
	[DET_PROBE_STR]    = { DET_CODE(0x0f, 0x00, 0xc8) },
	[DET_PROBE_SMSW]   = { DET_CODE(0x0f, 0x01, 0xe0) },
	/*
	 * mov $64, %ecx; 1: xbegin 2f; xend; mov $1, %eax; jmp 3f;
	 * 2: dec %ecx; jnz 1b; xor %eax, %eax; 3:
	 */
	[DET_PROBE_XBEGIN] = { DET_CODE(0xb9, 64, 0, 0, 0,
					0xc7, 0xf8, 10, 0, 0, 0, 0x0f, 0x01, 0xd5,
					0xb8, 1, 0, 0, 0, 0xeb, 6, 0xff, 0xc9,
					0x75, 0xec, 0x31, 0xc0) },
};

static enum det_verdict det_faults(const struct det_probed *p)
{
	return p->ran && p->faulted ? DET_CLOSED : DET_OPEN;
}

/* It may be executed, and must not have seen anything. */
static enum det_verdict det_blind(const struct det_probed *p)
{
	return p->ran && (p->faulted || !p->rax) ? DET_CLOSED : DET_OPEN;
}

static enum det_verdict det_both(enum det_verdict a, enum det_verdict b)
{
	return a == DET_CLOSED && b == DET_CLOSED ? DET_CLOSED : DET_OPEN;
}

static enum det_verdict det_tables(const struct det_probed *p)
{
	int i;

	for (i = DET_PROBE_SGDT; i <= DET_PROBE_SMSW; i++)
		if (det_faults(&p[i]) != DET_CLOSED)
			return DET_OPEN;
	return DET_CLOSED;
}

/*
 * CPUID may not tell of transactions that work. Sixty-four in a row that abort at
 * once are no accident; XTEST sees those of HLE as well.
 */
static enum det_verdict det_tsx(const struct det_cpu *cpu,
				const struct det_probed *p)
{
	if (!p->ran || cpu->hle)
		return DET_OPEN;
	if (p->faulted)
		return cpu->rtm ? DET_OPEN : DET_ABSENT;
	return p->rax ? DET_OPEN : DET_CLOSED;
}

/**
 * det_cpu_verdict - is a source of nondeterminism closed on this machine?
 * @source: which
 * @cpu: facts about the CPU
 * @p: what came out of each probe
 *
 * Depends on nothing but its arguments.
 *
 * Return: closed; open; absent, where the CPU has no such thing; or on request.
 */
enum det_verdict det_cpu_verdict(enum det_source source,
				 const struct det_cpu *cpu,
				 const struct det_probed *p)
{
	switch (source) {
	case DET_SOURCE_TSC:
		return det_both(det_faults(&p[DET_PROBE_RDTSC]),
				det_faults(&p[DET_PROBE_RDTSCP]));
	case DET_SOURCE_PMC:
		return det_faults(&p[DET_PROBE_RDPMC]);
	case DET_SOURCE_CPUID:
		return det_faults(&p[DET_PROBE_CPUID]);
	case DET_SOURCE_CPU_NUMBER:
		return det_both(det_blind(&p[DET_PROBE_RDPID]),
				det_blind(&p[DET_PROBE_LSL]));
	case DET_SOURCE_TABLES:
		return det_tables(p);
	case DET_SOURCE_TSX:
		return det_tsx(cpu, &p[DET_PROBE_XBEGIN]);
	case DET_SOURCE_XINUSE:
		return cpu->xsave ? DET_OPEN : DET_ABSENT;
	case DET_SOURCE_SELECTOR:
		return cpu->fred ? DET_CLOSED : DET_OPEN;
	case DET_SOURCE_FPU_POINTERS:
		return cpu->fpu_pointers_leak ? DET_OPEN : DET_CLOSED;
	case DET_SOURCE_RANDOM:
		/*
		 * By dmem_check_code(), which does not know XSTORE; without NX
		 * all memory is code.
		 */
		return cpu->xstore || !cpu->nx ? DET_OPEN : DET_ON_REQUEST;
	case DET_SOURCES:
		break;
	}
	return DET_OPEN;
}

/**
 * det_cpu_facts - of the CPU that we run on
 * @cpu: where to
 *
 * Also finds out how CPUID can be made to fault.
 */
void __init det_cpu_facts(struct det_cpu *cpu)
{
	cpu->rtm = boot_cpu_has(X86_FEATURE_RTM);
	cpu->hle = boot_cpu_has(X86_FEATURE_HLE);
	cpu->nx = boot_cpu_has(X86_FEATURE_NX);
	cpu->xsave = boot_cpu_has(X86_FEATURE_XSAVE);
	cpu->xstore = boot_cpu_has(X86_FEATURE_XSTORE);
	cpu->fred = cpu_feature_enabled(X86_FEATURE_FRED);
	/*
	 * AMD saves them only with an exception pending, of whatever age; older
	 * CPUs of Intel's have selectors, which are lost at a context switch.
	 */
	cpu->fpu_pointers_leak = boot_cpu_has_bug(X86_BUG_FXSAVE_LEAK) ||
				 boot_cpu_data.x86_vendor != X86_VENDOR_INTEL ||
				 !boot_cpu_has(X86_FEATURE_ZERO_FCS_FDS);

	if (boot_cpu_has(X86_FEATURE_CPUID_FAULT))
		det_cpuid_how = DET_CPUID_MISC_FEATURES;
	else if (det_has_user_dis())
		det_cpuid_how = DET_CPUID_HWCR;
	else if (det_has_platform_info())
		det_cpuid_how = DET_CPUID_MISC_FEATURES;
}
