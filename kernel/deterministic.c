// SPDX-License-Identifier: GPL-2.0-only
/*
 * Deterministic processes: the calls dput, dget and dret. After Determinator
 * (Aviram, Weng, Hu, Ford: "Efficient System-Enforced Deterministic
 * Parallelism", OSDI 2010).
 *
 * A master, any process, has children called spaces, and they have children.
 * A space runs until it stops: by dret, a fault, or any other system call.
 * While it is stopped its parent reads and writes its registers
 * (arch/x86/kernel/) and its memory (mm/dmem.c). The contract
 * with programs is in Documentation/deterministic/.
 *
 * One call does, in this order, and stops at the first error:
 *   1 check everything that needs no child
 *   2 find the child; dput makes a new one, stopped and empty
 *   3 wait until it is stopped
 *   4 registers
 *   5 operations on memory, in the order of the array
 *   6 SNAP
 *   7 START
 *   8 WAIT until it stops again, registers out
 * and then shows the result, in det_result(). The life of spaces and the
 * rendezvous behind steps 2, 3, 7 and 8 is in det_space.c.
 */

#include <linux/deterministic.h>
#include <linux/dmem.h>
#include <linux/eventfd.h>
#include <linux/futex.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/pagemap.h>
#include <linux/rseq.h>
#include <linux/sched/coredump.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include <linux/syscalls.h>
#include <linux/sysctl.h>
#include <linux/uaccess.h>

#include <asm/futex.h>

#include <uapi/linux/deterministic.h>

#define CREATE_TRACE_POINTS
#include <trace/events/deterministic.h>

#include "det_space.h"

static int det_sysctl __read_mostly = DET_EVERYBODY;

/*
 * The parent's side: one call.
 */

/**
 * struct det_call - a dput or dget on its way
 * @put: dput, else dget
 * @number: child
 * @uargs: the caller's arguments, for a wait that goes on after a signal
 * @usize: their size
 * @ops: operations
 * @xstate: extended state to give, or room to take it
 * @ranges: room for conflicts
 * @notify: eventfd to arm
 * @sp: the child, claimed, or NULL
 * @mm: its memory, while operations run
 * @merged: the MERGEs have been done
 * @started: the child runs, or has run since
 * @waited: and has been waited for
 * @st: status to show
 * @a: arguments
 * @user: registers to give
 *
 * What is behind the status is not there before it has been read.
 */
struct det_call {
	bool put;
	u64 number;
	const struct det_args __user *uargs;
	size_t usize;
	struct det_op *ops;
	void *xstate;
	struct det_range *ranges;
	struct eventfd_ctx *notify;
	struct det_space *sp;
	struct mm_struct *mm;
	bool merged;
	bool started;
	bool waited;
	struct det_status st;
	struct det_args a;
	struct user_regs_struct user;
};

static void det_call_init(struct det_call *c, bool put, u64 number,
			  const struct det_args __user *uargs, size_t usize)
{
	memset(c, 0, offsetof(struct det_call, a));
	c->put = put;
	c->number = number;
	c->uargs = uargs;
	c->usize = usize;
	c->st.op = DET_NO_OP;
}

#define DET_PUT_FLAGS	(DET_REGS | DET_FORK | DET_SNAP | DET_START | \
			 DET_WAIT | DET_NOWAIT | DET_NOTIFY | DET_KILL)
#define DET_GET_FLAGS	(DET_REGS | DET_START | DET_WAIT | DET_NOWAIT | \
			 DET_NOTIFY)

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
	if ((flags & (DET_NOWAIT | DET_NOTIFY)) && det_is_space(current))
		return -EPERM;
	return 0;
}

/* What the machine closes is not for a space to see. */
static int det_check_require(const struct det_call *c)
{
	int ret = det_require(c->a.require);

	if (ret == -EOPNOTSUPP && det_is_space(current))
		return -EOWNERDEAD;
	return ret;
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

/*
 * Do two MERGEs of one call write to one place? Both are looked at before any is
 * written: what one has written would be the other's conflict then.
 */
static bool det_merges_clash(const struct det_op *ops, u32 i)
{
	const struct det_op *a = &ops[i], *b;

	if (a->op != DET_MERGE || !a->len)
		return false;
	for (b = ops; b < a; b++)
		if (b->op == DET_MERGE && b->len &&
		    a->caller < b->caller + b->len &&
		    b->caller < a->caller + a->len)
			return true;
	return false;
}

/*
 * A buffer of the caller's cannot be read or written. That is not the program's
 * doing if it has the memory: then the machine has lost it, and a space is not
 * shown that.
 */
static int det_buffer_error(u64 addr, size_t size, bool write)
{
	vm_flags_t need = write ? VM_WRITE : VM_READ;

	if (det_is_space(current) && addr < TASK_SIZE_MAX &&
	    size <= TASK_SIZE_MAX - addr &&
	    dmem_accessible(current->mm, addr, size, need, true))
		return -EOWNERDEAD;
	return -EFAULT;
}

/*
 * Can this be written at the end? Zero is added to each page, in one step: what other
 * threads write there is not lost.
 */
static int det_check_out(u64 addr, size_t size)
{
	u64 at;
	int old;

	if (!addr || !size)
		return 0;
	if (!access_ok(u64_to_user_ptr(addr), size))
		return det_buffer_error(addr, size, true);
	for (at = addr & ~3ULL; at < addr + size;
	     at = (at & PAGE_MASK) + PAGE_SIZE) {
		if (arch_futex_atomic_op_inuser(FUTEX_OP_ADD, 0, &old,
						u64_to_user_ptr(at)))
			return det_buffer_error(addr, size, true);
		cond_resched();
	}
	return 0;
}

/*
 * A structure of the caller's. A shorter one is filled up with zeros, of a
 * longer one the tail must be zero.
 */
static int det_copy_in(void *dst, size_t size, u64 addr, size_t usize)
{
	int ret = copy_struct_from_user(dst, size, u64_to_user_ptr(addr), usize);

	return ret == -EFAULT ? det_buffer_error(addr, usize, false) : ret;
}

static int det_copy_out(u64 addr, size_t usize, const void *src, size_t size)
{
	size_t n = min(size, usize);

	if (copy_to_user(u64_to_user_ptr(addr), src, n) ||
	    clear_user(u64_to_user_ptr(addr) + n, usize - n))
		return det_buffer_error(addr, usize, true);
	return 0;
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
		ret = det_copy_in(&c->ops[i], sizeof(*c->ops),
				  c->a.ops + i * size, size);
		if (!ret)
			ret = det_check_op(c, &c->ops[i]);
		if (!ret && c->number == DET_SELF && det_overlap(&c->ops[i]))
			ret = -EINVAL;
		if (!ret && det_merges_clash(c->ops, i))
			ret = -EINVAL;
		if (ret)
			return ret;
	}
	c->st.op = DET_NO_OP;
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
		ret = -EINVAL;
	else if (c->usize > PAGE_SIZE)
		ret = -E2BIG;
	else
		ret = det_copy_in(&c->a, sizeof(c->a),
				  (unsigned long)c->uargs, c->usize);
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
	return det_check_flags(c) ?: det_check_require(c) ?: det_read_ops(c) ?: det_read_regs(c) ?:
	       det_read_rest(c);
}

/* Step 3: wait until it is stopped. */

static int det_step_claim(struct det_call *c, struct det_space *sp)
{
	int ret = det_claim(sp, c->a.flags & DET_NOWAIT);

	if (!ret)
		c->sp = sp;
	return ret;
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
static int det_unregister(struct mm_struct *mm)
{
	const int tid = 0;
	int ret = 0;
#ifdef CONFIG_RSEQ
	unsigned long rseq = (unsigned long)current->rseq;
	const struct {
		u32 cpu_id_start, cpu_id;
		u64 rseq_cs;
		u32 flags, node_id, mm_cid;
	} unset = { .cpu_id = RSEQ_CPU_ID_UNINITIALIZED };

	if (rseq)
		ret = dmem_write(mm, rseq, &unset,
				 offsetofend(typeof(unset), mm_cid));
#endif
	if (current->clear_child_tid && (!ret || ret == -EFAULT))
		ret = dmem_write(mm, (unsigned long)current->clear_child_tid,
				 &tid, sizeof(tid));
	/* Not mapped, or not written to: nothing to hide. */
	return ret == -EFAULT ? 0 : ret;
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
		image = det_hold_image(c->sp);
		if (!image)
			return -ENODATA;
		copy.src = dmem_image_mm(image);
	}
	ret = whole ? dmem_copy_whole(&copy) : dmem_copy(&copy);
	dmem_image_put(image);
	if (!ret && whole && c->put) {
		ret = det_unregister(c->mm);
		c->sp->broken = ret;
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
		.image = det_hold_image(c->sp),
		.ranges = c->ranges,
		.max_ranges = c->ranges ? min_t(u32, c->a.nr_ranges,
						DET_MAX_OPS) : 0,
	};
	bool report = false, conflict;
	int ret = 0;
	u32 i;

	if (!m.image)
		return -ENODATA;
	dmem_merge_begin(&m);
	for (i = first; i < c->a.nr_ops && !ret; i++) {
		const struct det_op *op = &c->ops[i];
		unsigned long before = m.conflicts;

		if (op->op != DET_MERGE)
			continue;
		ret = dmem_merge_look(&m, op->caller, op->child, op->len,
				      op->flags);
		conflict = m.conflicts > before &&
			   !(op->flags & (DET_MERGE_KEEP | DET_MERGE_TAKE));
		/* What is named is an error, else the first conflict. */
		if (ret || (conflict && !report)) {
			c->st.op = i;
			c->st.addr = m.where;
		}
		report |= conflict;
	}
	if (!ret && report)
		ret = -DET_ECONFLICT;
	if (!ret) {
		ret = dmem_merge_write(&m);
		if (ret)
			c->st.op = first;
	}
	dmem_merge_end(&m);
	dmem_image_put(m.image);
	c->merged = true;
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
	c->st.addr = 0;
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
	if (!ret) {
		c->st.op = DET_NO_OP;
		c->st.addr = 0;
	}
	return ret;
}

/* Steps 6 to 8. */

/*
 * The snapshot before is brought up to date. It is taken out meanwhile: what is
 * half the old one and half the new one must not be seen.
 */
static int det_step_snap(struct det_call *c)
{
	struct det_space *sp = c->sp;
	struct dmem_image *image;
	bool before;
	int ret;

	if (!(c->a.flags & DET_SNAP))
		return 0;
	image = det_swap_image(sp, NULL);
	before = image;
	ret = dmem_snap(c->mm, &image);
	if (before && !image)
		sp->broken = true;
	if (!ret)
		trace_det_snap(task_pid_nr(current), sp->number,
			       dmem_image_pages(image));
	dmem_image_put(det_swap_image(sp, image));
	return ret;
}

/*
 * A strict space executes nothing that it has not been looked at for. @mm is at
 * rest: a stopped child's, or current's.
 */
static int det_check_code(struct mm_struct *mm, unsigned long *where)
{
	return det_opened(DET_SOURCE_RANDOM) ? 0 : dmem_check_code(mm, where);
}

static int det_check_child(struct det_call *c)
{
	struct det_space *sp = c->sp;
	struct mm_struct *mm;
	unsigned long where = 0;
	int ret;

	if (!sp->strict || sp->checked)
		return 0;
	mm = get_task_mm(sp->task);
	if (!mm)
		return -EOWNERDEAD;
	ret = det_check_code(mm, &where);
	mmput(mm);
	sp->checked = !ret;
	if (ret == -EACCES) {
		c->st.op = c->a.nr_ops;
		c->st.addr = where;
	}
	return ret;
}

/* What a strict space has made of its own memory. */
static void det_check_self(const struct det_call *c)
{
	unsigned long where = 0;
	int ret;

	if (!c->a.nr_ops || (c->put && c->number != DET_SELF) ||
	    !current->det || !current->det->strict)
		return;
	ret = det_check_code(current->mm, &where);
	if (ret == -EACCES)
		det_stop_code(where);
	else if (ret)
		det_kill_self();
}

static int det_step_start(struct det_call *c)
{
	struct det_space *sp = c->sp;
	int ret;

	if (c->a.flags & DET_NOTIFY) {
		spin_lock_irq(&sp->wq.lock);
		swap(sp->notify, c->notify);
		spin_unlock_irq(&sp->wq.lock);
	}
	if (!(c->a.flags & DET_START))
		return 0;
	ret = det_check_child(c);
	if (!ret)
		ret = det_start(sp);
	c->started = !ret;
	return ret;
}

static int det_step_wait(struct det_call *c)
{
	int ret;

	if (!(c->a.flags & DET_WAIT))
		return 0;
	ret = det_wait_stop(c->sp);
	c->waited = !ret;
	if (!ret && c->a.flags & DET_REGS &&
	    c->sp->state != DET_STATE_DEAD)
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
	restart->det.nr_conflicts = c->st.nr_conflicts;
	restart->det.nr_ranges = c->st.nr_ranges;
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
	if (c->put && c->a.nr_ops)
		sp->checked = false;
	if (c->a.nr_ops || c->a.flags & DET_SNAP) {
		c->mm = get_task_mm(sp->task);
		if (!c->mm)
			return -EOWNERDEAD;
		/* What it may get from now on is as secret as the caller's. */
		if (get_dumpable(current->mm) < get_dumpable(c->mm))
			set_dumpable(c->mm, get_dumpable(current->mm));
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

	/* How far it has come since is luck; only a wait shows its next stop. */
	if (c->started && !c->waited) {
		st->reason = DET_RUNNING;
		return;
	}
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

static bool det_may_see(const struct det_call *c, long ret)
{
	return !det_is_space(current) ||
	       (c->st.reason != DET_KILLED && c->st.reason != DET_BROKEN &&
		det_reproducible(ret));
}

static long det_unseen(void)
{
	det_kill_self();
	return -EINTR;
}

/*
 * The one place that decides what a caller may see. A space is shown nothing
 * that is not reproducible: it is KILLED itself, and so on up to the master's
 * own child.
 */
static long det_result(struct det_call *c, long ret)
{
	size_t size = c->st.nr_ranges * sizeof(*c->ranges);
	int out = 0;

	/* Who has not asked may be a space that must not see it. */
	if (c->sp && (c->a.status || det_is_space(current)))
		det_show_stop(c);
	if (!det_may_see(c, ret))
		return det_unseen();
	if (c->a.ranges && size)
		out = det_copy_out(c->a.ranges, size, c->ranges, size);
	ret = out ?: ret;
	if (c->a.status)
		out = det_copy_out(c->a.status, c->a.status_size, &c->st,
				   sizeof(c->st));
	ret = out ?: ret;
	if (!det_may_see(c, ret))
		return det_unseen();
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
	/* Most calls have none of these. */
	if (c->ops)
		kvfree(c->ops);
	if (c->xstate)
		kvfree(c->xstate);
	if (c->ranges)
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
		sp = det_find_or_make(family, c->number,
				      READ_ONCE(det_sysctl),
				      c->a.require & DET_REQUIRE_RANDOM);
		ret = PTR_ERR_OR_ZERO(sp);
		if (ret)
			sp = NULL;
	} else {
		sp = family ? det_find(family, c->number) : NULL;
		ret = sp ? 0 : -ESRCH;
	}
	/* It was made without. */
	if (!ret && c->a.require & DET_REQUIRE_RANDOM && !sp->strict)
		ret = -EINVAL;
	if (!ret)
		ret = det_step_claim(c, sp);
	if (!ret)
		ret = det_steps(c);
out:
	det_check_self(c);
	ret = det_result(c, ret);
	det_end(c, sp);
	return ret;
}

/* Go on with step 8, as det_wait_later() has noted. */
static long det_wait_restart(struct restart_block *restart)
{
	struct det_family *family = det_own_family(false);
	struct det_space *sp = NULL;
	struct det_call c __uninitialized;
	long ret;

	det_call_init(&c, restart->det.put, restart->det.child,
		      restart->det.args, restart->det.size);
	c.st.nr_conflicts = restart->det.nr_conflicts;
	c.st.nr_ranges = restart->det.nr_ranges;
	ret = det_read_args(&c);
	c.a.flags &= ~DET_NOWAIT;
	c.a.ranges = 0;		/* written by the first part of the call */
	if (!ret)
		sp = family ? det_find(family, c.number) : NULL;
	if (!ret && !sp)
		ret = -ESRCH;
	if (!ret)
		ret = det_step_claim(&c, sp);
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
	struct det_call c __uninitialized;

	if (!child && !args && !size)
		return DET_VERSION;
	det_call_init(&c, true, child, args, size);
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
	struct det_call c __uninitialized;

	det_call_init(&c, false, child, args, size);
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

	register_sysctl_init("kernel", det_sysctls);
	return 0;
}
late_initcall(det_init);
