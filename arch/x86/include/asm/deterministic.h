/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Deterministic processes: a space's registers on x86-64.
 */
#ifndef _ASM_X86_DETERMINISTIC_H
#define _ASM_X86_DETERMINISTIC_H

#include <linux/types.h>
#include <linux/user.h>

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
void det_trap_info(int *trap, u64 *error);

#endif /* _ASM_X86_DETERMINISTIC_H */
