/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Deterministic processes: what the rest of the kernel asks about spaces.
 *
 * Each hook is one test of a pointer for everybody else, and nothing at all
 * without CONFIG_DETERMINISTIC. The work is in kernel/deterministic.c.
 */
#ifndef _LINUX_DETERMINISTIC_H
#define _LINUX_DETERMINISTIC_H

#include <linux/det_source.h>
#include <linux/mm_types.h>
#include <linux/pid_namespace.h>
#include <linux/sched.h>
#include <linux/sched/coredump.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

struct pt_regs;
struct seq_file;

#ifdef CONFIG_DETERMINISTIC

static inline bool det_is_space(const struct task_struct *t)
{
	return unlikely(READ_ONCE(t->det));
}

static inline bool det_mm_is_space(const struct mm_struct *mm)
{
	return test_bit(MMF_DETERMINISTIC, &mm->flags);
}

/* SGDT and its kin fault, where UMIP lets them, and are not emulated. */
static inline bool det_hides_tables(void)
{
	return det_is_space(current) && !det_opened(DET_SOURCE_TABLES);
}

/* A new task is a space if its maker says so, whatever its maker is. */
static inline void det_fork(struct task_struct *p,
			    const struct kernel_clone_args *args)
{
	p->det = args->det;
}

/* Nobody but its parent writes into a space, tracers neither. */
static inline void det_fork_untraced(struct task_struct *p)
{
#ifdef CONFIG_UPROBES
	p->utask = NULL;
#endif
#ifdef CONFIG_USER_EVENTS
	p->user_event_mm = NULL;
#endif
}

/* Never pid 1 of a namespace that its master has unshared for children. */
static inline struct pid_namespace *det_pid_ns(struct task_struct *p)
{
	if (det_is_space(p))
		return task_active_pid_ns(current);
	return p->nsproxy->pid_ns_for_children;
}

/* Signals that only change when a space runs, or end it. */
static inline bool det_takes_signal(int sig)
{
	return sig == SIGKILL || sig == SIGSTOP || sig == SIGTSTP ||
	       sig == SIGCONT;
}

void det_filter_delayed(struct task_struct *p, sigset_t *set);
bool det_fault(struct task_struct *t, const struct kernel_siginfo *info,
	       bool fatal);
bool det_syscall_enter(struct pt_regs *regs, long nr);
void __det_int80(unsigned long rax);
void __det_exit(struct task_struct *tsk);
void __det_exit_done(struct task_struct *tsk);
void det_exec(struct task_struct *tsk);
void det_proc_status(struct seq_file *m, struct pid_namespace *ns,
		     struct task_struct *tsk);
unsigned long det_image_pages(struct task_struct *tsk);

/* int $0x80, before its entry cuts RAX. */
static inline void det_int80(unsigned long rax)
{
	if (det_is_space(current))
		__det_int80(rax);
}

/* The last thread of @tsk's group exits: so does all below it. */
static inline void det_exit(struct task_struct *tsk)
{
	if (unlikely(tsk->det || tsk->signal->det_family))
		__det_exit(tsk);
}

/* A space has been reaped. */
static inline void det_exit_done(struct task_struct *tsk)
{
	if (det_is_space(tsk))
		__det_exit_done(tsk);
}

#else /* !CONFIG_DETERMINISTIC */

static inline bool det_is_space(const struct task_struct *t)
{
	return false;
}

static inline bool det_mm_is_space(const struct mm_struct *mm)
{
	return false;
}

static inline bool det_hides_tables(void)
{
	return false;
}

static inline void det_fork(struct task_struct *p,
			    const struct kernel_clone_args *args) { }

static inline void det_fork_untraced(struct task_struct *p) { }

static inline struct pid_namespace *det_pid_ns(struct task_struct *p)
{
	return p->nsproxy->pid_ns_for_children;
}

static inline bool det_takes_signal(int sig)
{
	return true;
}

static inline void det_filter_delayed(struct task_struct *p, sigset_t *set) { }

static inline bool det_fault(struct task_struct *t,
			     const struct kernel_siginfo *info, bool fatal)
{
	return false;
}

static inline bool det_syscall_enter(struct pt_regs *regs, long nr)
{
	return true;
}

static inline void det_int80(unsigned long rax) { }
static inline void det_exit(struct task_struct *tsk) { }
static inline void det_exit_done(struct task_struct *tsk) { }
static inline void det_exec(struct task_struct *tsk) { }
static inline void det_proc_status(struct seq_file *m,
				   struct pid_namespace *ns,
				   struct task_struct *tsk) { }

static inline unsigned long det_image_pages(struct task_struct *tsk)
{
	return 0;
}

#endif /* CONFIG_DETERMINISTIC */

#endif /* _LINUX_DETERMINISTIC_H */
