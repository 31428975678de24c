// SPDX-License-Identifier: GPL-2.0-only
/*
 * Deterministic processes: a space's registers on x86-64.
 *
 * A space saves its registers itself when it stops and loads them itself when
 * it is started (det_regs_save(), det_regs_load()). In between its parent
 * reads and writes the saved copy. The extended state lies in the stopped
 * task's thread.fpu: the space has flushed it there and TIF_NEED_FPU_LOAD is
 * set, so neither a context switch nor anything else writes to it until the
 * space returns to user mode.
 */

#include <linux/mm.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/sched/task_stack.h>

#include <asm/deterministic.h>
#include <asm/fpu/api.h>
#include <asm/fpu/regset.h>
#include <asm/fpu/signal.h>
#include <asm/fpu/xcr.h>
#include <asm/fsgsbase.h>
#include <asm/pkru.h>
#include <asm/prctl.h>
#include <asm/proto.h>
#include <asm/ptrace.h>
#include <asm/syscall.h>
#include <asm/trap_pf.h>
#include <asm/trapnr.h>

#include "fpu/context.h"
#include "fpu/internal.h"
#include "fpu/legacy.h"
#include "fpu/xstate.h"

/* Determinator's mask, with TF and AC, which a program may set by itself. */
#define DET_FLAGS	(X86_EFLAGS_CF | X86_EFLAGS_PF | X86_EFLAGS_AF | \
			 X86_EFLAGS_ZF | X86_EFLAGS_SF | X86_EFLAGS_TF | \
			 X86_EFLAGS_DF | X86_EFLAGS_OF | X86_EFLAGS_AC)

/* user_regs_struct and pt_regs begin with the same registers, r15 to rip. */
#define DET_COMMON	offsetof(struct user_regs_struct, cs)

/* The components that MXCSR belongs to. */
#define XFEATURE_MASK_SSE_YMM	(XFEATURE_MASK_SSE | XFEATURE_MASK_YMM)

/**
 * det_regs_init - the registers of a space that has never run
 * @task: the space's task, not yet woken
 * @r: its saved registers
 *
 * All zero but the flags and the selectors; extended state as the CPU has it
 * after INIT. Nothing of the maker's thread is inherited.
 */
void det_regs_init(struct task_struct *task, struct det_regs *r)
{
	struct thread_struct *thread = &task->thread;
	struct pt_regs *regs = task_pt_regs(task);

	memset(r, 0, sizeof(*r));
	r->user.orig_ax = -1;
	r->user.cs = __USER_CS;
	r->user.ss = __USER_DS;
	r->user.flags = X86_EFLAGS_IF | X86_EFLAGS_FIXED;
	r->pkru = 0;		/* not what root has chosen for new programs */
	r->reset_segments = true;

	/* The first stop saves these; copy_thread() has left the maker's. */
	memset(regs, 0, DET_COMMON);
	regs->orig_ax = -1;
	regs->sp = 0;
	regs->cs = __USER_CS;
	regs->ss = __USER_DS;
	regs->flags = X86_EFLAGS_IF | X86_EFLAGS_FIXED;
	thread->fsbase = 0;
	thread->gsbase = 0;
	thread->fsindex = 0;
	thread->gsindex = 0;
	thread->ds = 0;
	thread->es = 0;
	thread->trap_nr = 0;
	thread->error_code = 0;
	thread->cr2 = 0;
	thread->pkru = r->pkru;
	thread->iopl_emul = 0;
	memset(thread->tls_array, 0, sizeof(thread->tls_array));
#ifdef CONFIG_X86_USER_SHADOW_STACK
	thread->features = 0;
	thread->features_locked = 0;
	memset(&thread->shstk, 0, sizeof(thread->shstk));
#endif
	det_cpu_close(task);
}

/*
 * Where the last x87 instruction was, and its operand. Whether a CPU keeps them
 * over a context switch is its own affair.
 */
static void det_forget_fpu_pointers(struct fxregs_state *fx)
{
	fx->fop = 0;
	fx->rip = 0;
	fx->rdp = 0;
}

/**
 * det_regs_save - save current's registers
 * @r: where to
 *
 * Also flushes the extended state into current's thread.fpu.
 */
void det_regs_save(struct det_regs *r)
{
	struct pt_regs *regs = current_pt_regs();

	BUILD_BUG_ON(offsetof(struct pt_regs, ip) !=
		     offsetof(struct user_regs_struct, ip));

	memcpy(&r->user, regs, DET_COMMON);
	r->user.orig_ax = -1;
	r->user.cs = regs->cs;
	r->user.ss = regs->ss;
	r->user.sp = regs->sp;
	/* RF says whether an interrupt came, not what the program did. */
	r->user.flags = regs->flags & ~X86_EFLAGS_RF;

	current_save_fsgs();
	r->user.fs_base = current->thread.fsbase;
	r->user.gs_base = current->thread.gsbase;
	r->user.fs = current->thread.fsindex;
	r->user.gs = current->thread.gsindex;
	savesegment(ds, r->user.ds);
	savesegment(es, r->user.es);

	kernel_fpu_begin();
	kernel_fpu_end();
	det_forget_fpu_pointers(&current->thread.fpu.fpstate->regs.fxsave);
	r->pkru = read_pkru();
	r->reset_segments = false;
}

/**
 * det_regs_load - make saved registers current's
 * @r: saved by det_regs_save() or set by the parent
 *
 * orig_ax becomes -1: whatever interrupted call there was is over.
 */
void det_regs_load(struct det_regs *r)
{
	struct pt_regs *regs = current_pt_regs();

	memcpy(regs, &r->user, DET_COMMON);
	regs->orig_ax = -1;
	regs->cs = r->user.cs;
	regs->ss = r->user.ss;
	regs->sp = r->user.sp;
	regs->flags = r->user.flags;

	if (r->reset_segments) {
		loadsegment(ds, 0);
		loadsegment(es, 0);
		do_arch_prctl_64(current, ARCH_SET_FS, r->user.fs_base);
		do_arch_prctl_64(current, ARCH_SET_GS, r->user.gs_base);
		r->reset_segments = false;
	}

	current->thread.pkru = r->pkru;
	write_pkru(r->pkru);
	/* What is there at the next stop is that stop's. */
	current->thread.trap_nr = 0;
	current->thread.error_code = 0;
}

/**
 * det_regs_check - can a space be given these registers?
 * @user: general registers as a parent names them
 *
 * Return: 0, or -EINVAL for an instruction pointer or a base outside of user
 * space. Flags and selectors are not checked but forced by det_regs_set().
 */
int det_regs_check(const struct user_regs_struct *user)
{
	if (user->ip >= TASK_SIZE_MAX || user->fs_base >= TASK_SIZE_MAX ||
	    user->gs_base >= TASK_SIZE_MAX)
		return -EINVAL;
	return 0;
}

/**
 * det_regs_set - give a stopped space registers
 * @r: its saved registers
 * @user: what det_regs_check() has passed
 */
void det_regs_set(struct det_regs *r, const struct user_regs_struct *user)
{
	r->user = *user;
	r->user.orig_ax = -1;
	r->user.flags = (user->flags & DET_FLAGS) | X86_EFLAGS_IF |
			X86_EFLAGS_FIXED;
	r->user.cs = __USER_CS;
	r->user.ss = __USER_DS;
	r->user.ds = 0;
	r->user.es = 0;
	r->user.fs = 0;
	r->user.gs = 0;
	r->reset_segments = true;
}

/**
 * det_regs_fork - give a stopped space current's registers, RAX 0
 * @task: the space
 * @r: its saved registers
 *
 * Return: 0; -ENOMEM, or -EINVAL for a base outside of user space, with nothing
 * changed.
 */
int det_regs_fork(struct task_struct *task, struct det_regs *r)
{
	struct det_regs own;
	void *buf;
	int ret;

	buf = kvzalloc(det_xstate_size(), GFP_KERNEL_ACCOUNT);
	if (!buf)
		return -ENOMEM;
	det_regs_save(&own);
	own.user.ax = 0;
	ret = det_regs_check(&own.user);
	if (ret)
		goto free;
	det_xstate_get(current, &own, buf);
	/* A space has no state that needs a permission (AMX tiles). */
	if (cpu_feature_enabled(X86_FEATURE_XSAVE))
		((struct xregs_state *)buf)->header.xfeatures &=
			task->thread.fpu.fpstate->user_xfeatures;
	ret = det_xstate_set(task, r, buf);
	if (!ret)
		det_regs_set(r, &own.user);
free:
	kvfree(buf);
	return ret;
}

/**
 * det_xstate_size - size of a task's extended state in standard format
 *
 * Return: bytes.
 */
unsigned int det_xstate_size(void)
{
	if (!cpu_feature_enabled(X86_FEATURE_XSAVE))
		return sizeof(struct fxregs_state);
	return fpu_user_cfg.max_size;
}

/**
 * det_xstate_get - a task's extended state, every component present
 * @task: a stopped space, or current after det_regs_save()
 * @r: its saved registers
 * @buf: det_xstate_size() bytes
 *
 * Which components are in their initial state is the CPU's own affair and
 * differs from run to run; the header says that all are there.
 */
void det_xstate_get(struct task_struct *task, const struct det_regs *r,
		    void *buf)
{
	struct fpstate *fpstate = task->thread.fpu.fpstate;
	struct membuf to = { .p = buf, .left = det_xstate_size() };
	struct xregs_state *out = buf;

	if (!cpu_feature_enabled(X86_FEATURE_XSAVE)) {
		/* No header is behind it, and nothing of the task is. */
		memcpy(buf, &fpstate->regs.fxsave, sizeof(fpstate->regs.fxsave));
		det_forget_fpu_pointers(buf);
		return;
	}
	/* Its value is taken from r; the bit makes the copy contain it. */
	if (cpu_feature_enabled(X86_FEATURE_OSPKE))
		fpstate->regs.xsave.header.xfeatures |= XFEATURE_MASK_PKRU;
	__copy_xstate_to_uabi_buf(to, fpstate, fpstate->user_xfeatures, r->pkru,
				  XSTATE_COPY_XSAVE);
	out->header.xfeatures = fpstate->user_xfeatures;
	det_forget_fpu_pointers(&out->i387);
}

/**
 * det_xstate_set - give a stopped space extended state
 * @task: the space
 * @r: its saved registers
 * @buf: det_xstate_size() bytes in standard format
 *
 * Return: 0, or -EINVAL for a header or an MXCSR that the CPU would refuse,
 * with nothing changed.
 */
int det_xstate_set(struct task_struct *task, struct det_regs *r,
		   const void *buf)
{
	struct fpu *fpu = &task->thread.fpu;
	struct xregs_state *xsave = &fpu->fpstate->regs.xsave;
	const struct fxregs_state *fx = buf;
	int ret;

	if (!cpu_feature_enabled(X86_FEATURE_XSAVE)) {
		if (fx->mxcsr & ~mxcsr_feature_mask)
			return -EINVAL;
		__fpu_invalidate_fpregs_state(fpu);
		memcpy(&fpu->fpstate->regs.fxsave, fx, sizeof(*fx));
		return 0;
	}
	__fpu_invalidate_fpregs_state(fpu);
	ret = copy_uabi_from_kernel_to_xstate(fpu->fpstate, buf, &r->pkru);
	/* XRSTOR loads it whether the component is there or not. */
	if (!ret && !(xsave->header.xfeatures & XFEATURE_MASK_SSE_YMM))
		xsave->i387.mxcsr = MXCSR_DEFAULT;
	return ret;
}

/**
 * det_syscall_kind - how did current enter the kernel?
 * @regs: its registers
 * @nr: the number it asked for
 *
 * Return: a call, or one of the entries that a space does not have.
 */
enum det_entry det_syscall_kind(struct pt_regs *regs, long nr)
{
	if (syscall_get_arch(current) != AUDIT_ARCH_X86_64)
		return DET_ENTRY_32;
	if (nr > 0 && nr & __X32_SYSCALL_BIT)
		return DET_ENTRY_X32;
	return DET_ENTRY_CALL;
}

/**
 * det_syscall_canonical - what SYSCALL leaves in RCX and R11, on any CPU
 * @regs: current's registers
 */
void det_syscall_canonical(struct pt_regs *regs)
{
	regs->cx = regs->ip;
	regs->r11 = regs->flags;
}

/**
 * det_syscall_undo - as if current were about to enter the kernel by SYSCALL
 * @regs: current's registers
 *
 * Every entry instruction is two bytes long.
 */
void det_syscall_undo(struct pt_regs *regs)
{
	regs->ax = regs->orig_ax;
	regs->ip -= 2;
}

/**
 * det_int80_undo - the same for int $0x80
 * @regs: current's registers
 * @rax: of which they hold the lower half only
 */
void det_int80_undo(struct pt_regs *regs, u64 rax)
{
	regs->ax = rax;
	regs->ip -= 2;
}

/**
 * det_fast_32_undo - the same for SYSENTER, and SYSCALL of 32-bit code
 * @regs: current's registers
 *
 * Where they were executed is not known any more: SYSENTER does not keep it, and
 * the kernel's entry has put the vDSO's address in its place.
 */
void det_fast_32_undo(struct pt_regs *regs)
{
	regs->ax = regs->orig_ax;
	regs->ip = 0;
}

/**
 * det_trap_code - the CPU's words about an instruction that cannot be fetched
 * @trap: exception number
 * @error: error code
 */
void det_trap_code(int *trap, u64 *error)
{
	*trap = X86_TRAP_PF;
	*error = X86_PF_USER | X86_PF_INSTR;
}

/**
 * det_trap_info - the CPU's words about current's fault
 * @trap: exception number
 * @error: error code; for page faults only write, user and instruction fetch,
 *	   as the rest tells how the kernel keeps the page
 */
void det_trap_info(int *trap, u64 *error)
{
	*trap = current->thread.trap_nr;
	*error = current->thread.error_code;
	if (*trap == X86_TRAP_PF)
		*error &= X86_PF_WRITE | X86_PF_USER | X86_PF_INSTR;
}
