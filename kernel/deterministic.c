// SPDX-License-Identifier: GPL-2.0-only
/*
 * Deterministic processes: the calls dput, dget and dret, and the rendezvous
 * of parent and child. After Determinator (Aviram, Weng, Hu, Ford: "Efficient
 * System-Enforced Deterministic Parallelism", OSDI 2010).
 *
 * A master, any process, has children called spaces, and they have children.
 * A space runs until it stops: by dret, a fault, or any other system call.
 * While it is stopped its parent reads and writes its registers
 * (arch/x86/kernel/deterministic.c) and its memory (mm/dmem.c). The contract
 * with programs is in Documentation/deterministic/.
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
 *   waker sees it asleep. state is read at B with acquire semantics and pairs
 *   with the release of wq.lock at C.
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

#define pr_fmt(fmt) "deterministic: " fmt

#include <linux/completion.h>
#include <linux/deterministic.h>
#include <linux/dmem.h>
#include <linux/eventfd.h>
#include <linux/freezer.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include <linux/refcount.h>
#include <linux/rseq.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/syscalls.h>
#include <linux/sysctl.h>
#include <linux/task_work.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include <asm/deterministic.h>
#include <asm/syscall.h>
#include <asm/trapnr.h>

#include <uapi/linux/deterministic.h>

#define CREATE_TRACE_POINTS
#include <trace/events/deterministic.h>

/* kernel.deterministic: who may make spaces. */
enum { DET_OFF, DET_EVERYBODY, DET_ADMIN };

static int det_sysctl __read_mostly = DET_EVERYBODY;

/**
 * struct det_family - the children of one master or space
 * @children: number -> struct det_space
 * @make: held while a child is made
 * @nr: how many there are
 * @depth: of the children
 */
struct det_family {
	struct xarray children;
	struct mutex make;
	unsigned int nr;
	unsigned int depth;
};

enum det_state { DET_STATE_RUNNING, DET_STATE_STOPPED, DET_STATE_DEAD };

/* How a space stopped: what struct det_status says of it. */
struct det_stop {
	u32 reason;
	int sig;
	int trap;
	u64 addr;
	u64 error;
	u64 value;
	u64 nr;
	u64 arg[6];
};

/**
 * struct det_space - a deterministic process
 * @ref: see the top of this file
 * @rcu: /proc looks at it without a reference
 * @number: as its parent calls it
 * @task: its task, with a reference
 * @family: its own children
 * @reaped: the task is gone
 * @trap: what the space is about to stop for; its own
 * @trap_work: stops it on its way to user mode; its own
 * @trapped: @trap_work is queued; its own
 * @wq: parents wait here; its lock protects what follows
 * @state: see the top of this file
 * @busy: a call works on this space
 * @gone: being killed
 * @broken: memory ran out under an operation
 * @stop: why it is stopped
 * @notify: counts the stops, or NULL
 * @image: the snapshot, or NULL
 * @regs: saved registers; the space's own while it runs, else the call's
 */
struct det_space {
	refcount_t ref;
	struct rcu_head rcu;
	u64 number;
	struct task_struct *task;
	struct det_family family;
	struct completion reaped;

	struct det_stop trap;
	struct callback_head trap_work;
	bool trapped;

	wait_queue_head_t wq;
	enum det_state state;
	bool busy;
	bool gone;
	bool broken;
	struct det_stop stop;
	struct eventfd_ctx *notify;
	struct dmem_image *image;
	struct det_regs regs;
};

/* Waiting for a child: as any wait for a master, to the death for a space. */
static unsigned int det_wait_state(void)
{
	return det_is_space(current) ?
		TASK_KILLABLE | TASK_NOLOAD | TASK_FREEZABLE :
		TASK_INTERRUPTIBLE | TASK_FREEZABLE;
}

static void det_put_space(struct det_space *sp)
{
	if (!refcount_dec_and_test(&sp->ref))
		return;
	dmem_image_put(sp->image);
	if (sp->notify)
		eventfd_ctx_put(sp->notify);
	if (sp->task)
		put_task_struct(sp->task);
	xa_destroy(&sp->family.children);
	kfree_rcu(sp, rcu);
}

static struct det_space *det_find(struct det_family *family, u64 number)
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

/* The caller's children. A master's family comes into being here. */
static struct det_family *det_own_family(bool make)
{
	struct det_family *family, *old;

	if (current->det)
		return &current->det->family;
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
	WRITE_ONCE(sp->state, state);
	if (sp->notify)
		eventfd_signal(sp->notify);
	wake_up_locked(&sp->wq);
}

/* Current, a space, stops, until it is started again or killed. */
static void det_park(const struct det_stop *why)
{
	struct det_space *sp = current->det;

	det_regs_save(&sp->regs);
	spin_lock_irq(&sp->wq.lock);
	det_publish(sp, DET_STATE_STOPPED, why);
	spin_unlock_irq(&sp->wq.lock);
	trace_det_stop(task_pid_nr(current), sp->number, why->reason,
		       why->value);

	for (;;) {
		set_current_state(TASK_KILLABLE | TASK_NOLOAD | TASK_FREEZABLE);
		if (smp_load_acquire(&sp->state) != DET_STATE_STOPPED)
			break;
		if (fatal_signal_pending(current))
			break;
		schedule();
	}
	__set_current_state(TASK_RUNNING);
	if (!fatal_signal_pending(current))
		det_regs_load(&sp->regs);
}

/* On the way to user mode: stop for what det_queue() has noted. */
static void det_trap_work(struct callback_head *work)
{
	struct det_space *sp = container_of(work, struct det_space, trap_work);

	sp->trapped = false;
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

/* Current, a space, has seen what is not reproducible: it is KILLED. */
static void det_kill_self(void)
{
	send_sig(SIGKILL, current, 1);
}

/**
 * det_fault - a space has raised a signal against itself
 * @t: current, unless somebody else is meant
 * @info: the signal
 *
 * Called where the signal is raised: no queued one can take its place. The
 * space will stop before it returns to user mode. What the machine did
 * (memory or swap error) kills it.
 *
 * Context: any in which signals are forced, interrupts possibly off.
 * Return: true if there is no signal to deliver.
 */
bool det_fault(struct task_struct *t, const struct kernel_siginfo *info)
{
	struct det_stop why = { .reason = DET_FAULT, .sig = info->si_signo };

	if (t != current || info->si_signo == SIGKILL)
		return false;
	det_trap_info(&why.trap, &why.error);
	why.addr = (unsigned long)info->si_addr;
	if (info->si_signo == SIGBUS && why.trap != X86_TRAP_AC)
		det_kill_self();
	else
		det_queue(t->det, &why);
	return true;
}

static void det_stop_syscall(struct pt_regs *regs, long nr)
{
	struct det_stop why = { .reason = DET_SYSCALL, .nr = nr };
	unsigned long arg[6];
	int i;

	syscall_get_arguments(current, regs, arg);
	for (i = 0; i < 6; i++)
		why.arg[i] = arg[i];
	regs->ax = -ENOSYS;
	det_park(&why);
}

/* An entry that a space does not have: as if the CPU had not had it either. */
static void det_stop_entry(struct pt_regs *regs, enum det_entry kind)
{
	struct det_stop why = { .reason = DET_FAULT };

	det_syscall_undo(regs);
	if (kind == DET_ENTRY_INT80) {
		why.sig = SIGSEGV;
		why.trap = X86_TRAP_GP;
		why.error = 0x80 * 8 + 2;	/* selector error: IDT entry */
	} else {
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

	if (kind != DET_ENTRY_CALL) {
		det_stop_entry(regs, kind);
		return false;
	}
	det_syscall_canonical(regs);
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

static int det_may_make(struct det_family *family)
{
	int who = READ_ONCE(det_sysctl);

	if (who == DET_OFF || (who == DET_ADMIN && !capable(CAP_SYS_ADMIN)))
		return -EPERM;
	if (family->depth > DET_MAX_DEPTH)
		return -ELOOP;
	if (family->nr >= DET_MAX_CHILDREN)
		return -ENOSPC;
	return 0;
}

static struct det_space *det_alloc(struct det_family *family, u64 number)
{
	struct det_space *sp = kzalloc(sizeof(*sp), GFP_KERNEL_ACCOUNT);

	if (!sp)
		return NULL;
	refcount_set(&sp->ref, 1);
	sp->number = number;
	det_family_init(&sp->family, family->depth + 1);
	init_completion(&sp->reaped);
	init_waitqueue_head(&sp->wq);
	return sp;
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
	char comm[TASK_COMM_LEN];
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
	snprintf(comm, sizeof(comm), "%.*s", (int)strcspn(current->comm, ":"),
		 current->comm);
	snprintf(comm + min(strlen(comm), 7), sizeof(comm) - 7, ":%llu",
		 sp->number);
	set_task_comm(p, comm);

	if (IS_ENABLED(CONFIG_LRU_GEN_WALKS_MMU)) {
		task_lock(p);
		lru_gen_add_mm(p->mm);
		task_unlock(p);
	}
	wake_up_new_task(p);
	return 0;
}

/* Find a child, or make it: stopped and empty. */
static struct det_space *det_find_or_make(struct det_family *family,
					  u64 number)
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

	ret = det_may_make(family);
	if (ret)
		goto fail;
	ret = -ENOMEM;
	sp = det_alloc(family, number);
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

static void det_forget(struct det_family *family, struct det_space *sp)
{
	mutex_lock(&family->make);
	xa_erase(&family->children, sp->number);
	family->nr--;
	mutex_unlock(&family->make);
	det_put_space(sp);
}

/* KILL: child and descendants are gone when it returns, the number is free. */
static long det_kill(struct det_family *family, u64 number)
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
	if (!ret && ours)
		det_forget(family, sp);
	else if (!ret)
		ret = -ESRCH;
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
		wait_for_completion_state(&sp->reaped, TASK_UNINTERRUPTIBLE |
					  TASK_NOLOAD | TASK_FREEZABLE);
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
 * The parent's side: one call.
 */

/**
 * struct det_call - a dput or dget on its way
 * @put: dput, else dget
 * @number: child
 * @uargs: the caller's arguments, for a wait that goes on after a signal
 * @usize: their size
 * @a: arguments
 * @ops: operations
 * @user: registers to give
 * @xstate: extended state to give, or room to take it
 * @ranges: room for conflicts
 * @notify: eventfd to arm
 * @sp: the child, claimed, or NULL
 * @mm: its memory, while operations run
 * @merged: the MERGEs have been done
 * @st: status to show
 */
struct det_call {
	bool put;
	u64 number;
	const struct det_args __user *uargs;
	size_t usize;
	struct det_args a;
	struct det_op *ops;
	struct user_regs_struct user;
	void *xstate;
	struct det_range *ranges;
	struct eventfd_ctx *notify;
	struct det_space *sp;
	struct mm_struct *mm;
	bool merged;
	struct det_status st;
};

#define DET_PUT_FLAGS	(DET_REGS | DET_FORK | DET_SNAP | DET_START | \
			 DET_WAIT | DET_NOWAIT | DET_NOTIFY | DET_KILL)
#define DET_GET_FLAGS	(DET_REGS | DET_START | DET_WAIT | DET_NOWAIT | \
			 DET_NOTIFY | DET_KILL)

/* Step 1: everything that needs no child. */

static int det_check_flags(const struct det_call *c)
{
	u64 flags = c->a.flags;

	if (flags & ~(c->put ? DET_PUT_FLAGS : DET_GET_FLAGS))
		return -EINVAL;
	if ((flags & DET_REGS) && (flags & DET_FORK))
		return -EINVAL;
	if ((flags & DET_WAIT) && (flags & DET_NOWAIT))
		return -EINVAL;
	if ((flags & DET_KILL) && (flags != DET_KILL || c->a.nr_ops))
		return -EINVAL;
	if (c->number == DET_SELF && flags)
		return -EINVAL;
	if (c->a.__pad)
		return -EINVAL;
	if (c->a.nr_ops > DET_MAX_OPS)
		return -E2BIG;
	if (c->a.require)
		return -EOPNOTSUPP;
	if ((flags & (DET_NOWAIT | DET_NOTIFY)) && det_is_space(current))
		return -EPERM;
	return 0;
}

static bool det_bad_range(u64 addr, u64 len)
{
	return addr > TASK_SIZE_MAX || len > TASK_SIZE_MAX - addr;
}

static int det_check_copy(const struct det_call *c, const struct det_op *op)
{
	if (op->flags & ~(DET_COPY_WHOLE | DET_COPY_IMAGE) || op->prot)
		return -EINVAL;
	if (op->flags & DET_COPY_IMAGE && c->put)
		return -EINVAL;
	if (op->flags && c->number == DET_SELF)
		return -EINVAL;
	if (!(op->flags & DET_COPY_WHOLE))
		return 0;
	if (op->caller || op->child || op->len)
		return -EINVAL;
	return !c->put && !det_is_space(current) ? -EPERM : 0;
}

static int det_check_merge(const struct det_call *c, const struct det_op *op)
{
	const u32 both = DET_MERGE_KEEP | DET_MERGE_TAKE;

	if (c->put || c->number == DET_SELF || op->prot)
		return -EINVAL;
	if (op->flags & ~(both | DET_MERGE_GRANULE_MASK) ||
	    (op->flags & both) == both)
		return -EINVAL;
	return offset_in_page(op->caller ^ op->child) ? -EINVAL : 0;
}

static int det_check_op(const struct det_call *c, const struct det_op *op)
{
	u64 own = c->put ? op->child : op->caller;

	if (op->__pad || op->prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC))
		return -EINVAL;
	switch (op->op) {
	case DET_ZERO:
		if (op->flags & ~DET_ZERO_NORESERVE)
			return -EINVAL;
		return det_bad_range(own, op->len) ? -EINVAL : 0;
	case DET_PERM:
		if (op->flags || offset_in_page(own))
			return -EINVAL;
		return det_bad_range(own, op->len) ||
		       det_bad_range(own, PAGE_ALIGN(op->len)) ? -EINVAL : 0;
	case DET_COPY:
	case DET_MERGE:
		if (det_bad_range(op->caller, op->len) ||
		    det_bad_range(op->child, op->len))
			return -EINVAL;
		return op->op == DET_COPY ? det_check_copy(c, op) :
					    det_check_merge(c, op);
	}
	return -EINVAL;
}

/* Overlapping source and destination in one address space. */
static bool det_overlap(const struct det_op *op)
{
	return op->op == DET_COPY && op->caller < op->child + op->len &&
	       op->child < op->caller + op->len;
}

static int det_read_ops(struct det_call *c)
{
	size_t size = c->a.op_size;
	u32 i;
	int ret;

	if (!c->a.nr_ops)
		return 0;
	if (size < DET_OP_SIZE_VER0)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	c->ops = kvcalloc(c->a.nr_ops, sizeof(*c->ops), GFP_KERNEL_ACCOUNT);
	if (!c->ops)
		return -ENOMEM;
	for (i = 0; i < c->a.nr_ops; i++) {
		c->st.op = i;
		ret = copy_struct_from_user(&c->ops[i], sizeof(*c->ops),
					    u64_to_user_ptr(c->a.ops + i * size),
					    size);
		if (!ret)
			ret = det_check_op(c, &c->ops[i]);
		if (!ret && c->number == DET_SELF && det_overlap(&c->ops[i]))
			ret = -EINVAL;
		if (ret)
			return ret;
	}
	c->st.op = DET_NO_OP;
	return 0;
}

/* Can this be written at the end? Finds out without writing. */
static int det_check_out(u64 addr, size_t size)
{
	if (!addr || !size)
		return 0;
	if (!access_ok(u64_to_user_ptr(addr), size) ||
	    fault_in_safe_writeable(u64_to_user_ptr(addr), size))
		return -EFAULT;
	return 0;
}

/* A buffer of the caller's, longer than what is known: its tail is zero. */
static int det_copy_in(void *dst, size_t size, u64 addr, size_t usize)
{
	int ret = check_zeroed_user(u64_to_user_ptr(addr) + size, usize - size);

	if (ret == 1)
		ret = copy_from_user(dst, u64_to_user_ptr(addr), size) ?
			-EFAULT : 0;
	else if (!ret)
		ret = -E2BIG;
	return ret;
}

static int det_copy_out(u64 addr, size_t usize, const void *src, size_t size)
{
	size_t n = min(size, usize);

	if (copy_to_user(u64_to_user_ptr(addr), src, n) ||
	    clear_user(u64_to_user_ptr(addr) + n, usize - n))
		return -EFAULT;
	return 0;
}

/* Registers are read here, before anything has happened. */
static int det_read_regs(struct det_call *c)
{
	bool out = !c->put || c->a.flags & DET_WAIT;
	unsigned int size = det_xstate_size();
	int ret = 0;

	if (!(c->a.flags & DET_REGS))
		return 0;
	if (c->a.regs && c->a.regs_size < sizeof(c->user))
		return -EINVAL;
	if (c->a.xstate && c->a.xstate_size < size)
		return -EINVAL;
	if (c->a.xstate) {
		c->xstate = kvzalloc(size, GFP_KERNEL_ACCOUNT);
		if (!c->xstate)
			return -ENOMEM;
	}
	if (c->put && c->a.regs) {
		ret = det_copy_in(&c->user, sizeof(c->user), c->a.regs,
				  c->a.regs_size);
		if (!ret)
			ret = det_regs_check(&c->user);
	}
	if (!ret && c->put && c->xstate)
		ret = det_copy_in(c->xstate, size, c->a.xstate,
				  c->a.xstate_size);
	if (!ret && out)
		ret = det_check_out(c->a.regs, c->a.regs_size) ?:
		      det_check_out(c->a.xstate, c->a.xstate_size);
	return ret;
}

static int det_read_rest(struct det_call *c)
{
	int ret;

	if (c->a.ranges && c->a.nr_ranges) {
		u32 nr = min_t(u32, c->a.nr_ranges, DET_MAX_OPS);

		ret = det_check_out(c->a.ranges, nr * sizeof(*c->ranges));
		if (ret)
			return ret;
		c->ranges = kvcalloc(nr, sizeof(*c->ranges),
				     GFP_KERNEL_ACCOUNT);
		if (!c->ranges)
			return -ENOMEM;
	}
	if (c->a.flags & DET_NOTIFY && c->a.notify_fd != -1) {
		c->notify = eventfd_ctx_fdget(c->a.notify_fd);
		if (IS_ERR(c->notify)) {
			ret = PTR_ERR(c->notify);
			c->notify = NULL;
			return ret;
		}
	}
	return 0;
}

static int det_read_args(struct det_call *c)
{
	int ret;

	if (c->usize < DET_ARGS_SIZE_VER0)
		return -EINVAL;
	if (c->usize > PAGE_SIZE)
		return -E2BIG;
	ret = copy_struct_from_user(&c->a, sizeof(c->a), c->uargs, c->usize);
	if (ret) {
		memset(&c->a, 0, sizeof(c->a));
		return ret;
	}
	if (c->a.status && c->a.status_size < DET_STATUS_SIZE_VER0) {
		c->a.status = 0;
		return -EINVAL;
	}
	ret = det_check_out(c->a.status, c->a.status_size);
	if (ret) {
		c->a.status = 0;
		return ret;
	}
	return det_check_flags(c) ?: det_read_ops(c) ?: det_read_regs(c) ?:
	       det_read_rest(c);
}

/* Steps 2 and 3: find the child and wait until it is stopped. */

/* 1: claimed; 0: not yet; else an error. Called by a waiter. */
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

static int det_claim(struct det_call *c, struct det_space *sp)
{
	int got = det_try_claim(sp), ret = 0;

	if (!got && c->a.flags & DET_NOWAIT)
		return -EAGAIN;
	if (!got)
		ret = ___wait_event(sp->wq, (got = det_try_claim(sp)),
				    det_wait_state(), 0, 0, schedule());
	if (ret)
		return ret;
	if (got < 0)
		return got;
	c->sp = sp;
	return 0;
}

static void det_release(struct det_space *sp)
{
	spin_lock_irq(&sp->wq.lock);
	sp->busy = false;
	wake_up_all_locked(&sp->wq);
	spin_unlock_irq(&sp->wq.lock);
}

/* Step 4: registers. */

static int det_regs_out(struct det_call *c)
{
	struct det_space *sp = c->sp;
	int ret = 0;

	if (c->a.regs)
		ret = det_copy_out(c->a.regs, c->a.regs_size, &sp->regs.user,
				   sizeof(sp->regs.user));
	if (!ret && c->xstate) {
		det_xstate_get(sp->task, &sp->regs, c->xstate);
		ret = det_copy_out(c->a.xstate, c->a.xstate_size, c->xstate,
				   det_xstate_size());
	}
	return ret;
}

static int det_step_regs(struct det_call *c)
{
	struct det_space *sp = c->sp;
	int ret = 0;

	if (c->a.flags & DET_FORK)
		return det_regs_fork(sp->task, &sp->regs);
	if (!(c->a.flags & DET_REGS))
		return 0;
	if (!c->put)
		return det_regs_out(c);
	if (c->xstate)
		ret = det_xstate_set(sp->task, &sp->regs, c->xstate);
	if (!ret && c->a.regs)
		det_regs_set(&sp->regs, &c->user);
	return ret;
}

/* Step 5: operations. */

/* What the kernel wrote into the caller's memory is not the child's. */
static void det_unregister(struct mm_struct *mm)
{
#ifdef CONFIG_RSEQ
	unsigned long rseq = (unsigned long)current->rseq;
	const struct {
		u32 cpu_id_start, cpu_id;
		u64 rseq_cs;
		u32 flags, node_id, mm_cid;
	} unset = { .cpu_id = RSEQ_CPU_ID_UNINITIALIZED };

	if (rseq)
		dmem_write(mm, rseq, &unset, offsetofend(typeof(unset), mm_cid));
#endif
	if (current->clear_child_tid) {
		const int tid = 0;

		dmem_write(mm, (unsigned long)current->clear_child_tid, &tid,
			   sizeof(tid));
	}
}

static int det_op_copy(struct det_call *c, const struct det_op *op)
{
	struct dmem_copy copy = { .len = op->len };
	struct dmem_image *image = NULL;
	bool whole = op->flags & DET_COPY_WHOLE;
	int ret;

	copy.dst = c->put ? c->mm : current->mm;
	copy.src = c->put ? current->mm : c->mm;
	copy.daddr = c->put ? op->child : op->caller;
	copy.saddr = c->put ? op->caller : op->child;
	if (op->flags & DET_COPY_IMAGE) {
		image = c->sp->image;
		if (!image)
			return -ENODATA;
		copy.src = dmem_image_mm(image);
	}
	ret = whole ? dmem_copy_whole(&copy) : dmem_copy(&copy);
	if (!ret && whole && c->put) {
		det_unregister(c->mm);
		c->sp->broken = false;
	}
	if (ret)
		c->st.addr = copy.where;
	if (c->sp)
		trace_det_copy(task_pid_nr(current), c->number, copy.pages,
			       op->len, ret);
	return ret;
}

/* All MERGEs of the call, where the first one stands. */
static int det_op_merge(struct det_call *c, u32 first)
{
	struct dmem_merge m = {
		.caller = current->mm,
		.child = c->mm,
		.image = c->sp->image,
		.ranges = c->ranges,
		.max_ranges = c->ranges ? min_t(u32, c->a.nr_ranges,
						DET_MAX_OPS) : 0,
	};
	unsigned long before;
	bool report = false;
	int ret = 0;
	u32 i;

	if (!m.image)
		return -ENODATA;
	dmem_merge_begin(&m);
	for (i = first; i < c->a.nr_ops && !ret; i++) {
		const struct det_op *op = &c->ops[i];

		if (op->op != DET_MERGE)
			continue;
		if (!report)
			c->st.op = i;
		before = m.conflicts;
		ret = dmem_merge_look(&m, op->caller, op->child, op->len,
				      op->flags);
		if (m.conflicts > before &&
		    !(op->flags & (DET_MERGE_KEEP | DET_MERGE_TAKE)) && !report) {
			report = true;
			c->st.op = i;
		}
		if (ret)
			c->st.op = i;
	}
	if (!ret && report)
		ret = -DET_ECONFLICT;
	if (!ret)
		dmem_merge_write(&m);
	dmem_merge_end(&m);
	c->merged = true;
	c->st.addr = m.where;
	c->st.nr_conflicts = m.conflicts;
	c->st.nr_ranges = m.nr_ranges;
	trace_det_merge(task_pid_nr(current), c->number, m.pages, m.changed,
			m.conflicts);
	return ret;
}

static int det_op(struct det_call *c, u32 i)
{
	const struct det_op *op = &c->ops[i];
	struct mm_struct *mm = c->put ? c->mm : current->mm;
	u64 own = c->put ? op->child : op->caller;
	unsigned long where = own;
	int ret = 0;

	c->st.op = i;
	switch (op->op) {
	case DET_COPY:
		ret = det_op_copy(c, op);
		break;
	case DET_ZERO:
		ret = dmem_zero(mm, own, op->len, op->prot,
				op->flags & DET_ZERO_NORESERVE, &where);
		c->st.addr = where;
		break;
	case DET_PERM:
		ret = dmem_perm(mm, own, op->len, op->prot, &where);
		c->st.addr = where;
		break;
	case DET_MERGE:
		if (!c->merged)
			ret = det_op_merge(c, i);
		break;
	}
	if (ret == -ENOTRECOVERABLE) {
		if (c->sp && mm == c->mm)
			c->sp->broken = true;
		ret = -ENOMEM;
	}
	return ret;
}

static int det_step_ops(struct det_call *c)
{
	int ret = 0;
	u32 i;

	for (i = 0; i < c->a.nr_ops && !ret; i++) {
		ret = det_op(c, i);
		if (!ret)
			c->st.nr_done = i + 1;
		if (!ret && fatal_signal_pending(current))
			ret = -EINTR;
	}
	if (!ret)
		c->st.op = DET_NO_OP;
	return ret;
}

/* Steps 6 to 8. */

static int det_step_snap(struct det_call *c)
{
	struct det_space *sp = c->sp;
	struct dmem_image *image;

	if (!(c->a.flags & DET_SNAP))
		return 0;
	image = dmem_snap(c->mm);
	if (IS_ERR(image))
		return PTR_ERR(image);
	trace_det_snap(task_pid_nr(current), sp->number,
		       dmem_image_pages(image));
	spin_lock_irq(&sp->wq.lock);
	swap(sp->image, image);
	spin_unlock_irq(&sp->wq.lock);
	dmem_image_put(image);
	return 0;
}

static int det_step_start(struct det_call *c)
{
	struct det_space *sp = c->sp;
	int ret = 0;

	spin_lock_irq(&sp->wq.lock);
	if (c->a.flags & DET_NOTIFY)
		swap(sp->notify, c->notify);
	if (!(c->a.flags & DET_START)) {
		spin_unlock_irq(&sp->wq.lock);
		return 0;
	}
	if (sp->gone) {
		ret = -ESRCH;
	} else if (sp->state == DET_STATE_DEAD || sp->broken) {
		ret = -EOWNERDEAD;
	} else {
		memset(&sp->stop, 0, sizeof(sp->stop));
		sp->state = DET_STATE_RUNNING;
		wake_up_process(sp->task);
	}
	spin_unlock_irq(&sp->wq.lock);
	if (!ret)
		trace_det_start(task_pid_nr(sp->task), sp->number);
	return ret;
}

static bool det_has_stopped(struct det_space *sp)
{
	return READ_ONCE(sp->gone) ||
	       smp_load_acquire(&sp->state) != DET_STATE_RUNNING;
}

/* Wait for the next stop of a child that this call has claimed. */
static int det_step_wait(struct det_call *c)
{
	struct det_space *sp = c->sp;
	int ret = 0;

	if (!(c->a.flags & DET_WAIT))
		return 0;
	if (!det_has_stopped(sp))
		ret = ___wait_event(sp->wq, det_has_stopped(sp),
				    det_wait_state(), 0, 0, schedule());
	if (ret)
		return ret;
	if (READ_ONCE(sp->gone))
		return -ESRCH;
	if (c->a.flags & DET_REGS && sp->state != DET_STATE_DEAD)
		ret = det_regs_out(c);
	return ret;
}

static long det_wait_restart(struct restart_block *restart);

/* A signal came after the start: only the wait may be done again. */
static long det_wait_later(struct det_call *c)
{
	struct restart_block *restart = &current->restart_block;

	restart->det.child = c->number;
	restart->det.args = c->uargs;
	restart->det.size = c->usize;
	restart->det.put = c->put;
	return set_restart_fn(restart, det_wait_restart);
}

/* The whole of a call on a child that is claimed. */
static long det_steps(struct det_call *c)
{
	struct det_space *sp = c->sp;
	bool needs = c->a.nr_ops || c->a.flags & (DET_REGS | DET_FORK |
						  DET_SNAP | DET_START);
	long ret;

	if (sp->state == DET_STATE_DEAD)
		return needs ? -EOWNERDEAD : 0;
	if (c->a.nr_ops || c->a.flags & DET_SNAP) {
		c->mm = get_task_mm(sp->task);
		if (!c->mm)
			return -EOWNERDEAD;
	}
	ret = det_step_regs(c);
	if (!ret)
		ret = det_step_ops(c);
	if (!ret)
		ret = det_step_snap(c);
	if (c->mm)
		mmput(c->mm);
	c->mm = NULL;
	if (!ret)
		ret = det_step_start(c);
	if (!ret)
		ret = det_step_wait(c);
	if (ret == -ERESTARTSYS)
		ret = det_wait_later(c);
	return ret;
}

/* The status's part about the child. */
static void det_show_stop(struct det_call *c)
{
	struct det_space *sp = c->sp;
	struct det_status *st = &c->st;
	struct det_stop stop;
	u32 reason;
	int i;

	spin_lock_irq(&sp->wq.lock);
	stop = sp->stop;
	reason = stop.reason;
	if (sp->state == DET_STATE_RUNNING)
		reason = DET_RUNNING;
	else if (sp->state != DET_STATE_DEAD && sp->broken)
		reason = DET_BROKEN;
	spin_unlock_irq(&sp->wq.lock);

	st->reason = reason;
	st->sig = stop.sig;
	st->trap = stop.trap;
	if (st->op == DET_NO_OP)
		st->addr = stop.addr;
	st->error = stop.error;
	st->value = stop.value;
	st->nr = stop.nr;
	for (i = 0; i < 6; i++)
		st->arg[i] = stop.arg[i];
}

/* Results that are the same in every run of the same program. */
static bool det_reproducible(long ret)
{
	switch (ret) {
	case -EINVAL:
	case -E2BIG:
	case -EFAULT:
	case -ESRCH:
	case -EPERM:
	case -EACCES:
	case -ENODATA:
	case -DET_ECONFLICT:
	case -EOPNOTSUPP:
	case -ELOOP:
	case -ENOSPC:
	case -ERESTARTSYS:
	case -ERESTARTNOINTR:
	case -ERESTART_RESTARTBLOCK:
		return true;
	}
	return ret >= 0;
}

/*
 * The one place that decides what a caller may see. A space is shown nothing
 * that is not reproducible: it is KILLED itself, and so on up to the master's
 * own child.
 */
static long det_result(struct det_call *c, long ret)
{
	if (c->sp)
		det_show_stop(c);
	if (det_is_space(current) &&
	    (c->st.reason == DET_KILLED || c->st.reason == DET_BROKEN ||
	     !det_reproducible(ret))) {
		det_kill_self();
		return -EINTR;
	}
	if (c->a.ranges && c->st.nr_ranges &&
	    copy_to_user(u64_to_user_ptr(c->a.ranges), c->ranges,
			 c->st.nr_ranges * sizeof(*c->ranges)))
		ret = -EFAULT;
	if (c->a.status && det_copy_out(c->a.status, c->a.status_size, &c->st,
					sizeof(c->st)))
		ret = -EFAULT;
	if (!ret && c->put && c->a.flags & DET_FORK)
		ret = 1;
	return ret;
}

static void det_end(struct det_call *c, struct det_space *sp)
{
	if (c->sp)
		det_release(c->sp);
	if (sp)
		det_put_space(sp);
	if (c->notify)
		eventfd_ctx_put(c->notify);
	kvfree(c->ops);
	kvfree(c->xstate);
	kvfree(c->ranges);
}

/* Operations on the caller alone. */
static long det_self(struct det_call *c)
{
	c->mm = current->mm;
	return det_step_ops(c);
}

static long det_call(struct det_call *c)
{
	struct det_family *family;
	struct det_space *sp = NULL;
	long ret;

	c->st.op = DET_NO_OP;
	ret = det_read_args(c);
	if (ret)
		goto out;
	if (c->number == DET_SELF) {
		ret = det_self(c);
		goto out;
	}
	family = det_own_family(c->put);
	if (c->a.flags & DET_KILL) {
		ret = det_kill(family, c->number);
		goto out;
	}
	if (c->put && !family) {
		ret = -ENOMEM;
		goto out;
	}
	if (c->put) {
		sp = det_find_or_make(family, c->number);
		ret = PTR_ERR_OR_ZERO(sp);
		if (ret)
			sp = NULL;
	} else {
		sp = family ? det_find(family, c->number) : NULL;
		ret = sp ? 0 : -ESRCH;
	}
	if (!ret)
		ret = det_claim(c, sp);
	if (!ret)
		ret = det_steps(c);
out:
	ret = det_result(c, ret);
	det_end(c, sp);
	return ret;
}

/* Go on with step 8, as det_wait_later() has noted. */
static long det_wait_restart(struct restart_block *restart)
{
	struct det_call c = {
		.put = restart->det.put,
		.number = restart->det.child,
		.uargs = restart->det.args,
		.usize = restart->det.size,
		.st.op = DET_NO_OP,
	};
	struct det_family *family = det_own_family(false);
	struct det_space *sp = NULL;
	long ret = det_read_args(&c);

	c.a.flags &= ~DET_NOWAIT;
	if (!ret)
		sp = family ? det_find(family, c.number) : NULL;
	if (!ret && !sp)
		ret = -ESRCH;
	if (!ret)
		ret = det_claim(&c, sp);
	if (ret == -ERESTARTSYS)
		ret = det_wait_later(&c);
	if (!ret && c.a.flags & DET_REGS && c.sp->state != DET_STATE_DEAD)
		ret = det_regs_out(&c);
	c.st.nr_done = c.a.nr_ops;
	ret = det_result(&c, ret);
	det_end(&c, sp);
	return ret;
}

/**
 * sys_dput - put registers and memory into a child, and start it
 * @child: a number of the caller's choice, or DET_SELF
 * @args: what to do; NULL with @child and @size 0 asks for the version
 * @size: of @args
 *
 * See Documentation/deterministic/reference.rst.
 *
 * Return: 0; 1 to the caller of a DET_FORK, whose child gets 0; the version;
 * or a negative error.
 */
SYSCALL_DEFINE3(dput, __u64, child, const struct det_args __user *, args,
		size_t, size)
{
	struct det_call c = { .put = true, .number = child, .uargs = args,
			      .usize = size };

	if (!child && !args && !size)
		return DET_VERSION;
	return det_call(&c);
}

/**
 * sys_dget - get registers and memory from a child, or merge its changes
 * @child: its number, or DET_SELF
 * @args: what to do
 * @size: of @args
 *
 * See Documentation/deterministic/reference.rst.
 *
 * Return: 0 or a negative error.
 */
SYSCALL_DEFINE3(dget, __u64, child, const struct det_args __user *, args,
		size_t, size)
{
	struct det_call c = { .number = child, .uargs = args, .usize = size };

	return det_call(&c);
}

/**
 * sys_dret - stop, with a value for the parent
 * @value: it
 *
 * Return: once the parent has started the space again, what it has put into
 * RAX; 0 unless it has changed it. -EPERM to a master.
 */
SYSCALL_DEFINE1(dret, __u64, value)
{
	struct det_stop why = { .reason = DET_RET, .value = value };

	if (!det_is_space(current))
		return -EPERM;
	current_pt_regs()->ax = 0;
	det_park(&why);
	return current_pt_regs()->ax;
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

static struct ctl_table det_sysctls[] = {
	{
		.procname	= "deterministic",
		.data		= &det_sysctl,
		.maxlen		= sizeof(int),
		.mode		= 0644,
		.proc_handler	= proc_dointvec_minmax,
		.extra1		= SYSCTL_ZERO,
		.extra2		= SYSCTL_TWO,
	},
};

static int __init det_init(void)
{
	BUILD_BUG_ON(sizeof(struct det_args) != DET_ARGS_SIZE_VER0);
	BUILD_BUG_ON(sizeof(struct det_op) != DET_OP_SIZE_VER0);
	BUILD_BUG_ON(sizeof(struct det_status) != DET_STATUS_SIZE_VER0);
	BUILD_BUG_ON(ARRAY_SIZE(det_reason_name) != DET_KILLED + 1);

	register_sysctl_init("kernel", det_sysctls);
	return 0;
}
late_initcall(det_init);
