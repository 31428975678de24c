// SPDX-License-Identifier: GPL-2.0-only
/*
 * Deterministic processes: the life of a space, and the rendezvous of parent
 * and child.
 *
 * The rendezvous. All of a space's fields below det_space.wq are protected by
 * wq.lock; it also orders the registers and the memory: what a space did
 * before it stopped is seen by its parent, and what the parent did before it
 * started the space is seen by the space.
 *
 *   space (det_park)                     parent
 *   ----------------                     ------
 *   save registers                       det_claim:
 *   lock wq                                prepare to wait on wq
 *     stop = why                           lock wq
 *     state = STOPPED                        gone?              -> ESRCH
 *     wake wq                                STOPPED, !busy?    -> busy, go on
 *   unlock wq                              unlock wq
 *   loop                                   else schedule, again
 *     set TASK_KILLABLE (A)              work on registers and memory
 *     state != STOPPED? -> leave (B)     det_start:
 *     SIGKILL? -> leave, and die           lock wq
 *     schedule                               gone, DEAD?        -> error
 *   load registers                           state = RUNNING (C)
 *                                            wake the space (D)
 *                                          unlock wq
 *                                        det_release:
 *                                          lock wq; busy = false; wake wq;
 *                                          unlock wq
 *
 *   The barrier in set_current_state() between A and B pairs with the one in
 *   wake_up_process() between C and D: either the space sees RUNNING, or the
 *   waker sees it asleep. state is written with release semantics at C and read
 *   with acquire semantics at B.
 *
 *   kill (any thread of the parent, without busy; or the parent's exit)
 *     lock wq; gone? -> somebody else's; gone = true; wake wq; unlock wq
 *     SIGKILL; wait for det_space.reaped; take the number out; put
 *
 *   exit of the space (do_exit, whatever the reason)
 *     kill all children of its own and wait for them
 *     lock wq; state = DEAD; stop = KILLED; wake wq; unlock wq
 *     ... after it has reaped itself: complete reaped
 *
 * Nobody sleeps with a lock of this file held, but for det_family.make, which
 * is held over copy_process(); so the freezer may stop a waiter anywhere.
 *
 * References to a det_space: one of its number in the parent's family, one of
 * its task (until it is reaped), one of each call in progress.
 */

#include <linux/cgroup.h>
#include <linux/deterministic.h>
#include <linux/dmem.h>
#include <linux/eventfd.h>
#include <linux/freezer.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/syscalls.h>

#include <asm/syscall.h>
#include <asm/trapnr.h>

#include <uapi/linux/deterministic.h>
#include <trace/events/deterministic.h>

#include "det_space.h"

static struct kmem_cache *det_cache;

static void det_free(struct rcu_head *rcu)
{
	kmem_cache_free(det_cache, container_of(rcu, struct det_space, rcu));
}

/**
 * det_put_space - drop a reference to a space
 * @sp: the space
 */
void det_put_space(struct det_space *sp)
{
	if (!refcount_dec_and_test(&sp->ref))
		return;
	dmem_image_put(sp->image);
	if (sp->notify)
		eventfd_ctx_put(sp->notify);
	if (sp->task)
		put_task_struct(sp->task);
	xa_destroy(&sp->family.children);
	call_rcu(&sp->rcu, det_free);
}

/**
 * det_find - look a child up
 * @family: the parent's
 * @number: the child's
 *
 * Return: the child with a reference, or NULL.
 */
struct det_space *det_find(struct det_family *family, u64 number)
{
	struct det_space *sp;

	rcu_read_lock();
	sp = xa_load(&family->children, number);
	if (sp && !refcount_inc_not_zero(&sp->ref))
		sp = NULL;
	rcu_read_unlock();
	return sp;
}

static void det_family_init(struct det_family *family, unsigned int depth)
{
	xa_init_flags(&family->children, XA_FLAGS_ACCOUNT);
	mutex_init(&family->make);
	family->depth = depth;
}

/**
 * det_own_family - the caller's children
 * @make: a master's family comes into being here
 *
 * Return: the family; NULL if there is none, or no memory for one.
 */
struct det_family *det_own_family(bool make)
{
	struct det_family *family, *old;

	if (current->det)
		return &current->det->family;
	/* Pairs with the cmpxchg() below: it is initialised. */
	family = smp_load_acquire(&current->signal->det_family);
	if (family || !make)
		return family;

	family = kzalloc(sizeof(*family), GFP_KERNEL_ACCOUNT);
	if (!family)
		return NULL;
	det_family_init(family, 1);
	old = cmpxchg(&current->signal->det_family, NULL, family);
	if (!old)
		return family;
	kfree(family);
	return old;
}

/*
 * The space's side.
 */

/* Tell the parent, under wq.lock. */
static void det_publish(struct det_space *sp, enum det_state state,
			const struct det_stop *why)
{
	lockdep_assert_held(&sp->wq.lock);
	sp->stop = *why;
	/* Pairs with the acquires in det_park() and det_has_stopped(). */
	smp_store_release(&sp->state, state);
	if (sp->notify)
		eventfd_signal(sp->notify);
	wake_up_locked(&sp->wq);
}

/**
 * det_park - current, a space, stops, until it is started again or killed
 * @why: what its parent will see
 *
 * Context: the space's own, with nothing held, on its way to or from a call.
 */
void det_park(const struct det_stop *why)
{
	struct det_space *sp = current->det;

	det_regs_save(&sp->regs);
	spin_lock_irq(&sp->wq.lock);
	det_publish(sp, DET_STATE_STOPPED, why);
	spin_unlock_irq(&sp->wq.lock);
	trace_det_stop(task_pid_nr(current), sp->number, why->reason,
		       why->value);

	cgroup_enter_frozen();
	for (;;) {
		set_current_state(TASK_KILLABLE | TASK_NOLOAD | TASK_FREEZABLE);
		/* B, see the top of this file. */
		if (smp_load_acquire(&sp->state) != DET_STATE_STOPPED)
			break;
		if (fatal_signal_pending(current))
			break;
		/* The freezer came before we slept: it would wait for ever. */
		if (freezing(current)) {
			__set_current_state(TASK_RUNNING);
			try_to_freeze();
			continue;
		}
		schedule();
	}
	__set_current_state(TASK_RUNNING);
	cgroup_leave_frozen(false);
	if (!fatal_signal_pending(current))
		det_regs_load(&sp->regs);
}

/* On the way to user mode: stop for what det_queue() has noted. */
static void det_trap_work(struct callback_head *work)
{
	struct det_space *sp = container_of(work, struct det_space, trap_work);

	sp->trapped = false;
	/* After an oops the work runs at exit, when DEAD is published. */
	if (!(current->flags & PF_EXITING))
		det_park(&sp->trap);
}

static void det_queue(struct det_space *sp, const struct det_stop *why)
{
	if (sp->trapped)	/* the first is the cause of the others */
		return;
	sp->trap = *why;
	sp->trapped = true;
	init_task_work(&sp->trap_work, det_trap_work);
	if (task_work_add(current, &sp->trap_work, TWA_RESUME))
		sp->trapped = false;	/* exiting */
}

/* Where a space's task begins; it stops before its first instruction. */
static int det_space_main(void *arg)
{
	det_queue(arg, &(struct det_stop){ .reason = DET_NEW });
	return 0;
}

/**
 * det_kill_self - current, a space, has seen what is not reproducible
 */
void det_kill_self(void)
{
	send_sig(SIGKILL, current, 1);
}

/**
 * det_fault - a space has raised a signal against itself
 * @t: current, unless somebody else is meant
 * @info: the signal
 * @fatal: nobody survives it: a verdict of seccomp's, state that is lost
 *
 * Called where the signal is raised: no queued one can take its place. The
 * space will stop before it returns to user mode. What the machine did
 * (memory or swap error) kills it.
 *
 * Context: any in which signals are forced, interrupts possibly off.
 * Return: true if there is no signal to deliver.
 */
bool det_fault(struct task_struct *t, const struct kernel_siginfo *info,
	       bool fatal)
{
	struct det_stop why = { .reason = DET_FAULT, .sig = info->si_signo };

	if (t != current || info->si_signo == SIGKILL)
		return false;
	det_trap_info(&why.trap, &why.error);
	why.addr = (unsigned long)info->si_addr;
	/* A locked access across cache lines, where the machine forbids it. */
	if (info->si_signo == SIGBUS && info->si_code == BUS_ADRALN)
		why.trap = X86_TRAP_AC;
	if (fatal || (info->si_signo == SIGBUS && why.trap != X86_TRAP_AC &&
		      why.trap != X86_TRAP_SS && why.trap != X86_TRAP_NP)) {
		det_kill_self();
		return true;
	}
	/* Of the CPU's own faults only misalignment is a SIGBUS here. */
	if (info->si_signo == SIGBUS && why.trap != X86_TRAP_AC)
		why.sig = SIGSEGV;
	det_queue(t->det, &why);
	return true;
}

/**
 * det_stop_code - current, a space, may not execute its memory as it is
 * @addr: where
 *
 * It stops before it returns to user mode, as for an instruction that cannot be
 * fetched there.
 */
void det_stop_code(u64 addr)
{
	struct det_stop why = { .reason = DET_FAULT, .sig = SIGSEGV };

	det_trap_code(&why.trap, &why.error);
	why.addr = addr;
	current->det->checked = false;
	det_queue(current->det, &why);
}

static void det_stop_syscall(struct pt_regs *regs, long nr)
{
	struct det_stop why = { .reason = DET_SYSCALL, .nr = nr };
	unsigned long arg[6];
	int i;

	syscall_get_arguments(current, regs, arg);
	for (i = 0; i < 6; i++)
		why.arg[i] = arg[i];
	/* RAX says already, as for any call: not implemented. */
	det_park(&why);
}

/**
 * __det_int80 - a space executes int $0x80, whose entry cuts RAX
 * @rax: all of it
 */
void __det_int80(unsigned long rax)
{
	current->det->rax = rax;
	current->det->int80 = true;
}

/* An entry that a space does not have: as if the CPU had not had it either. */
static void det_stop_entry(struct pt_regs *regs, enum det_entry kind)
{
	struct det_stop why = { .reason = DET_FAULT };
	struct det_space *sp = current->det;

	if (kind == DET_ENTRY_32 && sp->int80) {
		det_int80_undo(regs, sp->rax);
		sp->int80 = false;
		why.sig = SIGSEGV;
		why.trap = X86_TRAP_GP;
		why.error = 0x80 * 8 + 2;	/* selector error: IDT entry */
	} else {
		if (kind == DET_ENTRY_32)
			det_fast_32_undo(regs);
		else
			det_syscall_undo(regs);
		why.sig = SIGILL;
		why.trap = X86_TRAP_UD;
		why.addr = regs->ip;
	}
	det_park(&why);
}

/**
 * det_syscall_enter - a space makes a system call
 * @regs: its registers
 * @nr: the number
 *
 * Return: true for one of the three, which goes on. Any other has stopped the
 * space and is not to be executed.
 */
bool det_syscall_enter(struct pt_regs *regs, long nr)
{
	enum det_entry kind = det_syscall_kind(regs, nr);

	if (kind != DET_ENTRY_32)
		det_syscall_canonical(regs);
	if (kind != DET_ENTRY_CALL) {
		det_stop_entry(regs, kind);
		return false;
	}
	if (nr == __NR_dput || nr == __NR_dget || nr == __NR_dret)
		return true;
	det_stop_syscall(regs, nr);
	return false;
}

/**
 * det_filter_delayed - what of a group's signals a new space gets
 * @p: the new task
 * @set: signals that came to its maker's group while it was made
 */
void det_filter_delayed(struct task_struct *p, sigset_t *set)
{
	int sig;

	if (!det_is_space(p))
		return;
	for (sig = 1; sig <= _NSIG; sig++)
		if (!det_takes_signal(sig))
			sigdelset(set, sig);
}

/*
 * Birth and death.
 */

static int det_may_make(struct det_family *family, enum det_who who)
{
	/* A space's master was allowed to; what the switch says now is not
	 * reproducible.
	 */
	if (det_is_space(current))
		who = DET_EVERYBODY;
	if (who == DET_OFF || (who == DET_ADMIN && !capable(CAP_SYS_ADMIN)))
		return -EPERM;
	if (family->depth > DET_MAX_DEPTH)
		return -ELOOP;
	if (family->nr >= DET_MAX_CHILDREN)
		return -ENOSPC;
	return 0;
}

static struct det_space *det_alloc(struct det_family *family, u64 number,
				   bool strict)
{
	struct det_space *sp = kmem_cache_zalloc(det_cache, GFP_KERNEL);

	if (!sp)
		return NULL;
	refcount_set(&sp->ref, 1);
	sp->number = number;
	sp->strict = strict || (current->det && current->det->strict);
	det_family_init(&sp->family, family->depth + 1);
	init_completion(&sp->reaped);
	/* Not yet at rest, but on its way; det_start() clears it. */
	sp->stop.reason = DET_NEW;
	init_waitqueue_head(&sp->wq);
	return sp;
}

/* comm: the master's name, as much as fits, and the number. */
static void det_name(const struct det_space *sp, struct task_struct *p)
{
	char comm[TASK_COMM_LEN], number[TASK_COMM_LEN];
	int name = strcspn(current->comm, ":"), room;

	room = TASK_COMM_LEN - 1 -
	       scnprintf(number, sizeof(number), ":%llu", sp->number);
	scnprintf(comm, sizeof(comm), "%.*s%s", clamp(name, 0, room),
		  current->comm, number);
	set_task_comm(p, comm);
}

/* The task of a new space. It stops as NEW by itself once it runs. */
static int det_spawn(struct det_space *sp)
{
	struct kernel_clone_args args = {
		.flags = CLONE_UNTRACED | CLONE_CLEAR_SIGHAND,
		.no_files = 1,
		.fn = det_space_main,
		.fn_arg = sp,
		.det = sp,
	};
	struct task_struct *p;

	refcount_inc(&sp->ref);		/* the task's */
	p = copy_process(NULL, 0, NUMA_NO_NODE, &args);
	if (IS_ERR(p)) {
		refcount_dec(&sp->ref);
		return PTR_ERR(p);
	}
	sp->task = get_task_struct(p);
	det_regs_init(p, &sp->regs);
	set_task_syscall_work(p, DETERMINISTIC);
	sigemptyset(&p->blocked);
	det_name(sp, p);

	if (IS_ENABLED(CONFIG_LRU_GEN_WALKS_MMU)) {
		task_lock(p);
		lru_gen_add_mm(p->mm);
		task_unlock(p);
	}
	wake_up_new_task(p);
	return 0;
}

/**
 * det_find_or_make - look a child up, or make it: stopped and empty
 * @family: the parent's
 * @number: the child's
 * @who: may make one
 * @strict: a new one executes nothing that draws random numbers
 *
 * Return: the child with a reference, or an ERR_PTR: -EPERM, -ELOOP, -ENOSPC,
 * -EAGAIN (a limit on tasks), -ENOMEM, -ERESTARTNOINTR.
 */
struct det_space *det_find_or_make(struct det_family *family, u64 number,
				   enum det_who who, bool strict)
{
	struct det_space *sp;
	int ret;

	sp = det_find(family, number);
	if (sp)
		return sp;
	if (mutex_lock_interruptible(&family->make))
		return ERR_PTR(-ERESTARTNOINTR);
	sp = det_find(family, number);
	if (sp)
		goto unlock;

	ret = det_may_make(family, who);
	if (ret)
		goto fail;
	ret = -ENOMEM;
	sp = det_alloc(family, number, strict);
	if (!sp)
		goto fail;
	ret = xa_reserve(&family->children, number, GFP_KERNEL_ACCOUNT);
	if (!ret)
		ret = det_spawn(sp);
	if (ret) {
		xa_release(&family->children, number);
		det_put_space(sp);
		goto fail;
	}
	refcount_inc(&sp->ref);		/* the number's; ours is the call's */
	xa_store(&family->children, number, sp, GFP_KERNEL_ACCOUNT);
	family->nr++;
unlock:
	mutex_unlock(&family->make);
	return sp;
fail:
	mutex_unlock(&family->make);
	return ERR_PTR(ret);
}

/* Begin to kill a space. False if somebody else has. */
static bool det_condemn(struct det_space *sp)
{
	spin_lock_irq(&sp->wq.lock);
	if (sp->gone) {
		spin_unlock_irq(&sp->wq.lock);
		return false;
	}
	sp->gone = true;
	wake_up_all_locked(&sp->wq);
	spin_unlock_irq(&sp->wq.lock);
	send_sig(SIGKILL, sp->task, 1);
	return true;
}

/* Free the number of a child that has been reaped; whoever comes first. */
static void det_forget(struct det_family *family, struct det_space *sp)
{
	bool ours;

	mutex_lock(&family->make);
	ours = xa_cmpxchg(&family->children, sp->number, sp, NULL, 0) == sp;
	if (ours)
		family->nr--;
	mutex_unlock(&family->make);
	if (ours)
		det_put_space(sp);
}

/**
 * det_kill - child and descendants are gone when it returns, the number free
 * @family: the parent's, or NULL
 * @number: the child's
 *
 * Return: 0; -ESRCH if there is none, or somebody else has killed it.
 */
long det_kill(struct det_family *family, u64 number)
{
	struct det_space *sp = family ? det_find(family, number) : NULL;
	bool ours;
	int ret;

	if (!sp)
		return -ESRCH;
	ours = det_condemn(sp);
	ret = wait_for_completion_state(&sp->reaped, TASK_KILLABLE |
					TASK_NOLOAD | TASK_FREEZABLE);
	/* If we are being killed, our exit does the rest. */
	if (!ret) {
		det_forget(family, sp);
		ret = ours ? 0 : -ESRCH;
	}
	det_put_space(sp);
	return ret;
}

/* All of a family dies; side by side, then waited for. */
static void det_kill_family(struct det_family *family)
{
	struct det_space *sp;
	unsigned long number;

	xa_for_each(&family->children, number, sp)
		det_condemn(sp);
	xa_for_each(&family->children, number, sp) {
		/* exec holds locks of its own; no child needs them. */
		wait_for_completion_state(&sp->reaped, TASK_UNINTERRUPTIBLE |
					  TASK_NOLOAD | TASK_FREEZABLE_UNSAFE);
		det_forget(family, sp);
	}
}

/**
 * __det_exit - the last thread of a master, or a space, exits
 * @tsk: current
 *
 * It is past all calls of its own: nobody else uses its family. All below it
 * is gone when this returns. A space then tells its parent.
 *
 * Context: do_exit(), may sleep.
 */
void __det_exit(struct task_struct *tsk)
{
	struct det_space *sp = tsk->det;
	struct det_stop why = { .reason = DET_KILLED };
	struct dmem_image *image;

	if (!sp) {
		det_exec(tsk);
		kfree(tsk->signal->det_family);
		tsk->signal->det_family = NULL;
		return;
	}
	det_kill_family(&sp->family);
	spin_lock_irq(&sp->wq.lock);
	image = sp->image;
	sp->image = NULL;
	det_publish(sp, DET_STATE_DEAD, &why);
	spin_unlock_irq(&sp->wq.lock);
	dmem_image_put(image);
	trace_det_stop(task_pid_nr(tsk), sp->number, why.reason, 0);
}

/**
 * det_exec - a master begins another program: its spaces end
 * @tsk: current, by now the only thread of its group
 *
 * Context: may sleep.
 */
void det_exec(struct task_struct *tsk)
{
	struct det_family *family = tsk->signal->det_family;

	if (family)
		det_kill_family(family);
}

/**
 * __det_exit_done - a space's task has been reaped
 * @tsk: current
 */
void __det_exit_done(struct task_struct *tsk)
{
	struct det_space *sp = tsk->det;

	WRITE_ONCE(tsk->det, NULL);
	complete_all(&sp->reaped);
	det_put_space(sp);
}

/*
 * The parent's side of the rendezvous.
 */

/* 1: claimed; 0: not yet; else an error. */
static int det_try_claim(struct det_space *sp)
{
	int ret = 0;

	spin_lock_irq(&sp->wq.lock);
	if (sp->gone) {
		ret = -ESRCH;
	} else if (!sp->busy && sp->state != DET_STATE_RUNNING) {
		sp->busy = true;
		ret = 1;
	}
	spin_unlock_irq(&sp->wq.lock);
	return ret;
}

/* 1: it has stopped, or is being killed; 0: not yet. */
static int det_has_stopped(struct det_space *sp)
{
	if (READ_ONCE(sp->gone))
		return 1;
	/* Pairs with the release in det_publish(). */
	return smp_load_acquire(&sp->state) != DET_STATE_RUNNING;
}

/*
 * A space that has waited counts as frozen. If its cgroup is, it does no more of
 * its call until it is thawed.
 */
static void det_stay_frozen(void)
{
	while (READ_ONCE(current->jobctl) & JOBCTL_TRAP_FREEZE &&
	       !fatal_signal_pending(current)) {
		set_current_state(TASK_KILLABLE | TASK_NOLOAD | TASK_FREEZABLE);
		/* cgroup_freeze_task() clears it, then wakes. */
		if (READ_ONCE(current->jobctl) & JOBCTL_TRAP_FREEZE)
			schedule();
		__set_current_state(TASK_RUNNING);
	}
}

/*
 * Wait for a child until @done is not 0: as any wait for a master; to the
 * death for a space, which counts as frozen meanwhile, as a waiting vfork does.
 */
static int det_wait(struct det_space *sp, int (*done)(struct det_space *sp))
{
	int got = done(sp), ret;

	if (got)
		return got;
	if (!det_is_space(current)) {
		ret = ___wait_event(sp->wq, (got = done(sp)),
				    (TASK_INTERRUPTIBLE | TASK_FREEZABLE),
				    0, 0, schedule());
		return ret ?: got;
	}
	cgroup_enter_frozen();
	ret = ___wait_event(sp->wq, (got = done(sp)),
			    (TASK_KILLABLE | TASK_NOLOAD | TASK_FREEZABLE),
			    0, 0, schedule());
	det_stay_frozen();
	cgroup_leave_frozen(false);
	return ret ?: got;
}

/**
 * det_claim - wait until a child is stopped, and have it to oneself
 * @sp: the child
 * @nowait: do not wait
 *
 * Return: 0; det_release() is then due. -EAGAIN, -ESRCH (killed meanwhile),
 * -ERESTARTSYS.
 */
int det_claim(struct det_space *sp, bool nowait)
{
	int got = det_try_claim(sp);

	/* One that was never started does not run: it is about to stop. */
	if (!got && (!nowait || (!READ_ONCE(sp->busy) &&
				 READ_ONCE(sp->stop.reason) == DET_NEW)))
		got = det_wait(sp, det_try_claim);

	if (!got)
		return -EAGAIN;
	return min(got, 0);
}

/**
 * det_release - end what det_claim() began
 * @sp: the child
 */
void det_release(struct det_space *sp)
{
	spin_lock_irq(&sp->wq.lock);
	sp->busy = false;
	/* With its lock, so nobody can come meanwhile. */
	if (waitqueue_active(&sp->wq))
		wake_up_all_locked(&sp->wq);
	spin_unlock_irq(&sp->wq.lock);
}

/**
 * det_hold_image - a claimed child's snapshot
 * @sp: the child, whose exit may drop it at any moment
 *
 * Return: the image with a reference, or NULL.
 */
struct dmem_image *det_hold_image(struct det_space *sp)
{
	struct dmem_image *image = NULL;

	spin_lock_irq(&sp->wq.lock);
	if (sp->image)
		image = dmem_image_get(sp->image);
	spin_unlock_irq(&sp->wq.lock);
	return image;
}

/**
 * det_swap_image - give a claimed child another snapshot
 * @sp: the child
 * @image: the snapshot, whose reference it gets, or NULL
 *
 * Return: the snapshot before, with its reference, or NULL; @image, if the child
 * has died.
 */
struct dmem_image *det_swap_image(struct det_space *sp, struct dmem_image *image)
{
	spin_lock_irq(&sp->wq.lock);
	if (sp->state != DET_STATE_DEAD)
		swap(sp->image, image);
	spin_unlock_irq(&sp->wq.lock);
	return image;
}

/**
 * det_start - a claimed child runs
 * @sp: the child
 *
 * Return: 0, -ESRCH (killed meanwhile), -EOWNERDEAD (KILLED or BROKEN).
 */
int det_start(struct det_space *sp)
{
	int ret = 0;

	spin_lock_irq(&sp->wq.lock);
	if (sp->gone) {
		ret = -ESRCH;
	} else if (sp->state == DET_STATE_DEAD || sp->broken) {
		ret = -EOWNERDEAD;
	} else {
		trace_det_start(task_pid_nr(sp->task), sp->number);
		memset(&sp->stop, 0, sizeof(sp->stop));
		/* C; pairs with the acquire at B. */
		smp_store_release(&sp->state, DET_STATE_RUNNING);
		wake_up_process(sp->task);
	}
	spin_unlock_irq(&sp->wq.lock);
	return ret;
}

/**
 * det_wait_stop - wait for the next stop of a claimed child
 * @sp: the child
 *
 * Return: 0, -ESRCH (killed meanwhile), -ERESTARTSYS.
 */
int det_wait_stop(struct det_space *sp)
{
	int ret = det_wait(sp, det_has_stopped);

	if (ret < 0)
		return ret;
	return READ_ONCE(sp->gone) ? -ESRCH : 0;
}

/*
 * What others are told.
 */

static const char * const det_reason_name[] = {
	[DET_RUNNING] = "RUNNING", [DET_NEW] = "NEW", [DET_RET] = "RET",
	[DET_FAULT] = "FAULT", [DET_SYSCALL] = "SYSCALL",
	[DET_LIMIT] = "LIMIT", [DET_BROKEN] = "BROKEN",
	[DET_KILLED] = "KILLED",
};

/**
 * det_proc_status - a space's lines in /proc/PID/status
 * @m: the file
 * @ns: the reader's pid namespace
 * @tsk: any task
 */
void det_proc_status(struct seq_file *m, struct pid_namespace *ns,
		     struct task_struct *tsk)
{
	struct det_space *sp;
	u32 reason;
	pid_t ppid;

	rcu_read_lock();
	sp = READ_ONCE(tsk->det);
	if (sp) {
		reason = READ_ONCE(sp->broken) ? DET_BROKEN :
						 READ_ONCE(sp->stop.reason);
		ppid = task_tgid_nr_ns(rcu_dereference(tsk->real_parent), ns);
		seq_printf(m, "DetParent:\t%d\n", ppid);
		seq_printf(m, "DetChild:\t%llu\n", sp->number);
		seq_printf(m, "DetDepth:\t%u\n", sp->family.depth - 1);
		seq_printf(m, "DetReason:\t%s\n", det_reason_name[reason]);
	}
	rcu_read_unlock();
}

/**
 * det_image_pages - what of a task's memory is its snapshot's
 * @tsk: any task
 *
 * Context: called by the OOM killer; does not sleep.
 * Return: pages, shared ones included.
 */
unsigned long det_image_pages(struct task_struct *tsk)
{
	struct det_space *sp;
	unsigned long pages = 0, flags;

	rcu_read_lock();
	sp = READ_ONCE(tsk->det);
	if (sp) {
		spin_lock_irqsave(&sp->wq.lock, flags);
		if (sp->image)
			pages = dmem_image_pages(sp->image);
		spin_unlock_irqrestore(&sp->wq.lock, flags);
	}
	rcu_read_unlock();
	return pages;
}

static int __init det_space_init(void)
{
	det_cache = KMEM_CACHE(det_space, SLAB_PANIC | SLAB_ACCOUNT |
			       SLAB_NO_MERGE);
	return 0;
}
core_initcall(det_space_init);
