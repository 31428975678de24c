/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Deterministic processes: a space's registers on x86-64.
 */
#ifndef _ASM_X86_DETERMINISTIC_H
#define _ASM_X86_DETERMINISTIC_H

#include <linux/types.h>
#include <linux/user.h>

#include <linux/det_source.h>

struct task_struct;
struct pt_regs;

/**
 * struct det_regs - the registers of a stopped space
 * @user: general registers, segments and their bases
 * @pkru: protection keys, which the FPU's memory image does not hold
 * @reset_segments: selectors and bases are to be loaded at the next start
 *
 * The extended state stays in the stopped task's thread.fpu.
 */
struct det_regs {
	struct user_regs_struct user;
	u32 pkru;
	bool reset_segments;
};

void det_regs_init(struct task_struct *task, struct det_regs *r);
void det_regs_save(struct det_regs *r);
void det_regs_load(struct det_regs *r);
int det_regs_check(const struct user_regs_struct *user);
void det_regs_set(struct det_regs *r, const struct user_regs_struct *user);
int det_regs_fork(struct task_struct *task, struct det_regs *r);

unsigned int det_xstate_size(void);
void det_xstate_get(struct task_struct *task, const struct det_regs *r,
		    void *buf);
int det_xstate_set(struct task_struct *task, struct det_regs *r,
		   const void *buf);

/* What a space's entry into the kernel was. */
enum det_entry {
	DET_ENTRY_CALL,
	DET_ENTRY_32,		/* int $0x80, SYSENTER, SYSCALL of 32-bit code */
	DET_ENTRY_X32,
};

enum det_entry det_syscall_kind(struct pt_regs *regs, long nr);
void det_syscall_canonical(struct pt_regs *regs);
void det_syscall_undo(struct pt_regs *regs);
void det_int80_undo(struct pt_regs *regs, u64 rax);
void det_fast_32_undo(struct pt_regs *regs);
void det_trap_code(int *trap, u64 *error);
void det_trap_info(int *trap, u64 *error);

/* What a space sees of the CPU: det_cpu.c. */

/* How CPUID can be made to fault in user mode. */
enum det_cpuid_how {
	DET_CPUID_OPEN,
	DET_CPUID_MISC_FEATURES,	/* Intel's MSR; KVM has it, too */
	DET_CPUID_HWCR,			/* AMD's */
};

extern enum det_cpuid_how det_cpuid_how;

void det_hide_cpu(void);
void det_show_cpu(struct task_struct *next);
void det_cpuid_set(bool fault);
void det_cpu_close(struct task_struct *task);

/* Programs that a space executes to see whether it sees something. */
enum det_probe_nr {
	DET_PROBE_RDTSC,
	DET_PROBE_RDTSCP,
	DET_PROBE_RDPMC,
	DET_PROBE_CPUID,
	DET_PROBE_RDPID,
	DET_PROBE_LSL,
	DET_PROBE_SGDT,
	DET_PROBE_SIDT,
	DET_PROBE_SLDT,
	DET_PROBE_STR,
	DET_PROBE_SMSW,
	DET_PROBE_XBEGIN,
	DET_PROBES
};

/**
 * struct det_probe - such a program
 * @code: its instructions, and one that faults
 * @end: where that one is
 */
struct det_probe {
	u8 code[32];
	u8 end;
};

extern const struct det_probe det_probes[DET_PROBES];

/**
 * struct det_probed - what came of it
 * @ran: it was executed at all
 * @faulted: before its end
 * @rax: at its end
 */
struct det_probed {
	bool ran;
	bool faulted;
	u64 rax;
};

/**
 * struct det_cpu - facts about a CPU
 * @rtm: says that it has transactions
 * @hle: says that it elides locks
 * @nx: there is memory that cannot be executed
 * @xsave: has XSAVE
 * @xstore: draws random numbers with XSTORE
 * @fred: returns to user mode with ERETU, which keeps a null selector's RPL
 * @fpu_pointers_leak: FIP, FDP and FOP depend on context switches
 */
struct det_cpu {
	bool rtm;
	bool hle;
	bool nx;
	bool xsave;
	bool xstore;
	bool fred;
	bool fpu_pointers_leak;
};

/* On request: det_args.require asks for it, and not all programs can have it. */
enum det_verdict { DET_OPEN, DET_CLOSED, DET_ABSENT, DET_ON_REQUEST };

enum det_verdict det_cpu_verdict(enum det_source source,
				 const struct det_cpu *cpu,
				 const struct det_probed *p);
void det_cpu_facts(struct det_cpu *cpu);

#endif /* _ASM_X86_DETERMINISTIC_H */
