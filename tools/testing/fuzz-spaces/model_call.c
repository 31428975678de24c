// SPDX-License-Identifier: GPL-2.0-only
/*
 * The model's calls: the steps of a dput or dget, in order, and what each error
 * leaves behind. kernel/deterministic.c does the same in the same order; where
 * the contract leaves the order of two errors open, it is the kernel's here.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "model.h"

#define USER_END 0x7ffffffff000ULL

int model_pid;

struct call {
	struct space *actor;
	const struct step *s;
	struct result *r;
	struct space *sp;	/* claimed */
	bool merged;
	bool ran;		/* started, and not waited for */
};

/* --- Step 1 --- */

#define PUT_FLAGS 0xffULL
#define GET_FLAGS (DET_REGS | DET_START | DET_WAIT | DET_NOWAIT | DET_NOTIFY)

static int check_flags(struct call *c)
{
	const struct step *s = c->s;
	u64 flags = s->flags;

	if (flags & ~(s->put ? PUT_FLAGS : GET_FLAGS) || s->bad == BAD_FLAG)
		return -EINVAL;
	if ((flags & DET_REGS && flags & DET_FORK) ||
	    (flags & DET_WAIT && flags & DET_NOWAIT))
		return -EINVAL;
	if (flags & DET_KILL && (flags != DET_KILL || s->nr_ops ||
				 s->bad == BAD_NR_OPS))
		return -EINVAL;
	if (s->child == DET_SELF && flags)
		return -EINVAL;
	if (s->bad == BAD_PAD)
		return -EINVAL;
	if (s->bad == BAD_NR_OPS)
		return -E2BIG;
	if (flags & (DET_NOWAIT | DET_NOTIFY) && !c->actor->master)
		return -EPERM;
	return s->bad == BAD_REQUIRE ? -EINVAL : 0;
}

static bool bad_range(u64 addr, u64 len)
{
	return addr > USER_END || len > USER_END - addr;
}

static int check_copy(struct call *c, const struct det_op *op)
{
	if (op->flags & ~(DET_COPY_WHOLE | DET_COPY_IMAGE) || op->prot)
		return -EINVAL;
	if (op->flags & DET_COPY_IMAGE && c->s->put)
		return -EINVAL;
	if (op->flags && c->s->child == DET_SELF)
		return -EINVAL;
	if (!(op->flags & DET_COPY_WHOLE))
		return 0;
	if (op->caller || op->child || op->len)
		return -EINVAL;
	return !c->s->put && c->actor->master ? -EPERM : 0;
}

static int check_merge(struct call *c, const struct det_op *op)
{
	const u32 both = DET_MERGE_KEEP | DET_MERGE_TAKE;

	if (c->s->put || c->s->child == DET_SELF || op->prot)
		return -EINVAL;
	if (op->flags & ~(both | DET_MERGE_GRANULE_MASK) ||
	    (op->flags & both) == both)
		return -EINVAL;
	return (op->caller ^ op->child) % PAGE ? -EINVAL : 0;
}

static int check_op(struct call *c, const struct det_op *op)
{
	u64 own = c->s->put ? op->child : op->caller;
	u64 pages = (op->len + PAGE - 1) & -PAGE;

	if (op->__pad || op->prot & ~7U)
		return -EINVAL;
	switch (op->op) {
	case DET_ZERO:
		if (op->flags & ~DET_ZERO_NORESERVE)
			return -EINVAL;
		return bad_range(own, op->len) ? -EINVAL : 0;
	case DET_PERM:
		if (op->flags || own % PAGE)
			return -EINVAL;
		return bad_range(own, op->len) || bad_range(own, pages) ?
		       -EINVAL : 0;
	case DET_COPY:
	case DET_MERGE:
		if (bad_range(op->caller, op->len) ||
		    bad_range(op->child, op->len))
			return -EINVAL;
		return op->op == DET_COPY ? check_copy(c, op) :
					    check_merge(c, op);
	}
	return -EINVAL;
}

static bool overlap(u64 a, u64 alen, u64 b, u64 blen)
{
	return a < b + blen && b < a + alen;
}

/* Two MERGEs that write to one place of the caller. */
static bool clash(const struct det_op *op, u32 i)
{
	u32 j;

	for (j = 0; j < i; j++)
		if (op[i].op == DET_MERGE && op[j].op == DET_MERGE &&
		    op[i].len && op[j].len &&
		    overlap(op[i].caller, op[i].len, op[j].caller, op[j].len))
			return true;
	return false;
}

static int check_ops(struct call *c)
{
	const struct det_op *op = c->s->op;
	u32 i;
	int ret;

	if (!c->s->nr_ops)
		return 0;
	if (c->s->bad == BAD_OP_SIZE)
		return -EINVAL;
	for (i = 0; i < c->s->nr_ops; i++) {
		c->r->st.op = i;
		if (c->s->bad == BAD_OPS)
			return -EFAULT;
		ret = check_op(c, &op[i]);
		if (!ret && c->s->child == DET_SELF && op[i].op == DET_COPY &&
		    overlap(op[i].caller, op[i].len, op[i].child, op[i].len))
			ret = -EINVAL;
		if (!ret && clash(op, i))
			ret = -EINVAL;
		if (ret)
			return ret;
	}
	c->r->st.op = DET_NO_OP;
	return 0;
}

static int check_rest(struct call *c)
{
	const struct step *s = c->s;

	if (s->flags & DET_REGS && s->regs) {
		if (s->bad == BAD_REGS_SIZE)
			return -EINVAL;
		if (s->bad == BAD_REGS)
			return -EFAULT;
		if (s->bad == BAD_RIP && s->put)
			return -EINVAL;
	}
	if (s->bad == BAD_RANGES && s->nr_ranges)
		return -EFAULT;
	if (s->flags & DET_NOTIFY && s->bad == BAD_FD)
		return -EBADF;
	return 0;
}

/* What is said before there is a status to write to. */
static int check_sizes(struct call *c)
{
	switch (c->s->bad) {
	case BAD_SIZE_SMALL:
		return -EINVAL;
	case BAD_SIZE_BIG:
	case BAD_TAIL:
		return -E2BIG;
	case BAD_STATUS_SIZE:
		return -EINVAL;
	case BAD_STATUS:
		return -EFAULT;
	}
	c->r->has_status = true;
	return 0;
}

/* --- Step 4: registers --- */

static void new_regs(struct regs *r)
{
	memset(r, 0, sizeof(*r));
	r->known = REGS_ALL;
	r->user.orig_rax = -1;
	r->user.cs = 0x33;
	r->user.ss = 0x2b;
	r->user.eflags = 0x202;
}

/* CF, PF, AF, ZF, SF, TF, DF, OF, AC */
#define FLAGS 0x40dd5ULL

static void set_regs(struct regs *r, const struct user_regs_struct *from)
{
	u64 r15 = r->user.r15;

	r->user = *from;
	if (fault == FAULT_REGS)
		r->user.r15 = r15;
	r->known = REGS_ALL;
	r->user.orig_rax = -1;
	r->user.eflags = (from->eflags & FLAGS) | 0x202;
	r->user.cs = 0x33;
	r->user.ss = 0x2b;
	r->user.ds = 0;
	r->user.es = 0;
	r->user.fs = 0;
	r->user.gs = 0;
}

/* Into the child: what the seed says. TF and AC would stop it soon. */
void step_regs(u32 seed, struct user_regs_struct *r)
{
	u64 rnd = seed, *p = (u64 *)r;
	unsigned int i;

	for (i = 0; i < sizeof(*r) / 8; i++)
		p[i] = next_random(&rnd);
	r->eflags &= ~0x40100ULL;
	r->fs_base &= 0x7fffffffffULL;
	r->gs_base &= 0x7fffffffffULL;
	r->rip = seed % 4 ? (u64)space_entry : 0x10000;
}

void model_put_regs(struct space *sp, u32 seed)
{
	struct user_regs_struct user;

	step_regs(seed, &user);
	set_regs(&sp->regs, &user);
}

/*
 * What FORK gives of the master's own is not known, but that of the flags which stay as
 * they are none is set there.
 */
static void fork_regs(struct call *c)
{
	struct space *sp = c->sp;

	if (c->actor->master) {
		sp->regs.user.rip = (u64)space_forked;
		sp->regs.user.rax = 0;
		sp->regs.user.eflags = 0x202;
		sp->regs.known = REG(rip) | REG(rax);
		sp->xstate.known = false;
		return;
	}
	set_regs(&sp->regs, &c->actor->regs.user);
	sp->regs.known = c->actor->regs.known;
	sp->regs.user.rax = 0;
	sp->xstate = c->actor->xstate;
}

static void regs_out(struct call *c)
{
	c->r->has_regs = c->s->flags & DET_REGS;
	c->r->regs = c->sp->regs;
	c->r->xstate = c->sp->xstate;
}

static int step_4(struct call *c)
{
	const struct step *s = c->s;

	if (s->flags & DET_FORK)
		fork_regs(c);
	if (!(s->flags & DET_REGS))
		return 0;
	if (!s->put) {
		regs_out(c);
		return 0;
	}
	if (s->xstate && s->bad == BAD_XSTATE)
		return -EINVAL;
	if (s->xstate)
		c->sp->xstate = (struct xstate){ true, s->xstate };
	if (s->regs)
		model_put_regs(c->sp, s->regs);
	return 0;
}

/* --- Step 5: operations --- */

static int op_copy(struct call *c, const struct det_op *op)
{
	struct mem *own = &c->actor->mem;
	struct mem *src = c->sp ? &c->sp->mem : own, *dst = own;
	u64 from = op->child, to = op->caller;

	if (c->s->put) {
		dst = src;
		src = own;
		from = op->caller;
		to = op->child;
	}
	if (op->flags & DET_COPY_IMAGE) {
		if (!c->sp->image)
			return -ENODATA;
		if (fault != FAULT_IMAGE)
			src = c->sp->image;
	}
	if (op->flags & DET_COPY_WHOLE) {
		model_copy_whole(src, dst);
		return 0;
	}
	return model_copy(src, dst, from, to, op->len, (u64 *)&c->r->st.addr);
}

static int op_merge(struct call *c, u32 i)
{
	struct merge m = {
		.caller = &c->actor->mem,
		.child = &c->sp->mem,
		.image = c->sp->image,
		.max_ranges = c->s->nr_ranges,
		.result = c->r,
	};

	if (c->merged)
		return 0;
	if (!m.image)
		return -ENODATA;
	c->merged = true;
	return model_merge(&m, c->s->op, c->s->nr_ops, i);
}

static int one_op(struct call *c, u32 i)
{
	const struct det_op *op = &c->s->op[i];
	struct mem *own = c->s->put && c->sp ? &c->sp->mem : &c->actor->mem;
	u64 addr = c->s->put ? op->child : op->caller;
	u64 *where = (u64 *)&c->r->st.addr;

	c->r->st.op = i;
	c->r->st.addr = 0;
	switch (op->op) {
	case DET_COPY:
		return op_copy(c, op);
	case DET_ZERO:
		return model_zero(own, addr, op->len, op->prot, where);
	case DET_PERM:
		return model_perm(own, addr, op->len, op->prot, where);
	}
	return op_merge(c, i);
}

static int step_5(struct call *c)
{
	int ret = 0;
	u32 i;

	for (i = 0; i < c->s->nr_ops && !ret; i++) {
		ret = one_op(c, i);
		if (!ret)
			c->r->st.nr_done = i + 1;
	}
	if (!ret) {
		c->r->st.op = DET_NO_OP;
		c->r->st.addr = 0;
	}
	return ret;
}

/* --- Steps 6 to 8 --- */

static void step_6(struct call *c)
{
	if (!(c->s->flags & DET_SNAP))
		return;
	if (c->sp->image && fault == FAULT_SNAP)
		return;
	if (!c->sp->image)
		c->sp->image = calloc(1, sizeof(*c->sp->image));
	mem_copy(c->sp->image, &c->sp->mem);
}

static void steps(struct call *c)
{
	struct result *r = c->r;

	r->ret = step_4(c);
	if (!r->ret)
		r->ret = step_5(c);
	if (r->ret)
		return;
	step_6(c);
	if (c->s->flags & DET_NOTIFY) {
		c->sp->notify = true;
		c->sp->notified = 0;
	}
	if (c->s->flags & DET_START) {
		model_run(c->sp);
		c->ran = !(c->s->flags & DET_WAIT);
	}
	if (c->s->flags & DET_WAIT)
		regs_out(c);
}

static void show_stop(struct call *c)
{
	struct det_status *st = &c->r->st, *stop = &c->sp->stop;

	if (c->ran)
		return;
	st->reason = stop->reason;
	st->sig = stop->sig;
	st->trap = stop->trap;
	if (st->op == DET_NO_OP)
		st->addr = stop->addr;
	st->error = stop->error;
	st->value = stop->value;
	st->nr = stop->nr;
	memcpy(st->arg, stop->arg, sizeof(st->arg));
}

/* --- The tree --- */

static struct space *make(struct space *parent, u64 number)
{
	struct space *sp = calloc(1, sizeof(*sp));

	if (!sp)
		abort();
	sp->parent = parent;
	sp->guess = ++model_pid;
	sp->stop.reason = DET_NEW;
	sp->xstate.known = true;
	new_regs(&sp->regs);
	parent->kid[number] = sp;
	return sp;
}

void model_kill(struct space *sp)
{
	unsigned int i;

	for (i = 0; i < KIDS; i++)
		if (sp->kid[i])
			model_kill(sp->kid[i]);
	mem_free(&sp->mem);
	if (sp->image)
		mem_free(sp->image);
	free(sp->image);
	free(sp->result);
	if (sp->parent) {
		for (i = 0; i < KIDS; i++)
			if (sp->parent->kid[i] == sp)
				sp->parent->kid[i] = NULL;
		free(sp);
	}
}

/* As exec.c puts the interpreter into a child, new or not. */
void model_make(struct space *parent, unsigned int kid)
{
	struct space *sp = parent->kid[kid];

	if (!sp)
		sp = make(parent, kid);
	sp->mem.code = true;
	memset(&sp->mem.box, 0, sizeof(sp->mem.box));
}

static int find(struct call *c)
{
	struct space **kid = &c->actor->kid[c->s->child];

	if (c->s->flags & DET_KILL) {
		if (!*kid)
			return -ESRCH;
		model_kill(*kid);
		return 0;
	}
	if (!*kid && !c->s->put)
		return -ESRCH;
	c->sp = *kid ?: make(c->actor, c->s->child);
	return 0;
}

void model_call(struct space *actor, const struct step *s, struct result *r)
{
	struct call c = { .actor = actor, .s = s, .r = r };

	memset(r, 0, sizeof(*r));
	r->st.op = DET_NO_OP;
	r->ret = check_sizes(&c);
	if (!r->ret)
		r->ret = check_flags(&c);
	if (!r->ret)
		r->ret = check_ops(&c);
	if (!r->ret)
		r->ret = check_rest(&c);
	if (!r->ret && s->child == DET_SELF)
		r->ret = step_5(&c);
	else if (!r->ret)
		r->ret = find(&c);
	if (c.sp) {
		steps(&c);
		show_stop(&c);
	}
	r->st.nr_ranges = r->nr_ranges;
	if (!r->ret && s->put && s->flags & DET_FORK)
		r->ret = 1;
}
