// SPDX-License-Identifier: GPL-2.0-only
/*
 * One step on the kernel, and then on the model: by the master itself, or by a
 * space, whose box the master fills.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "exec.h"

/* An address that nobody has mapped. */
#define NOWHERE 0x10000ULL

/* Seed of registers that begin at the interpreter's entry. */
#define ENTRY_REGS 5

/* A box, and behind it the box of a child of the space. */
static u8 stage[PAGE] __aligned(PAGE);

static u64 *word(u8 *box, unsigned int at)
{
	return (u64 *)(box + at);
}

long raw_call(bool put, u64 child, const void *args, size_t size)
{
	long ret;

	asm volatile("syscall" : "=a"(ret)
		     : "a"(put ? (long)__NR_dput : (long)__NR_dget),
		       "D"(child), "S"(args), "d"(size)
		     : "rcx", "r11", "memory");
	return ret;
}

/* A call of the fuzzer's own. */
long plain_call(bool put, u64 child, u64 flags, const struct det_op *op,
		u32 nr, struct det_status *st)
{
	struct det_args a = {
		.flags = flags,
		.ops = (u64)op,
		.nr_ops = nr,
		.op_size = sizeof(*op),
		.status = (u64)st,
		.status_size = st ? sizeof(*st) : 0,
		.notify_fd = -1,
	};

	return raw_call(put, child, &a, sizeof(a));
}

/* --- Arguments --- */

/* Where the parts of a call lie, as its actor addresses them. */
struct place {
	u64 st, ops, regs, xstate, ranges;
};

static void bad_args(struct det_args *a, const struct step *s, size_t *size)
{
	switch (s->bad) {
	case BAD_FLAG:
		a->flags |= 1ULL << (8 + s->regs % 56);
		break;
	case BAD_PAD:
		a->__pad = 1;
		break;
	case BAD_NR_OPS:
		a->nr_ops = DET_MAX_OPS + 1;
		break;
	case BAD_REQUIRE:
		a->require = 1ULL << 63;
		break;
	case BAD_SIZE_SMALL:
		*size = sizeof(*a) - 8;
		break;
	case BAD_SIZE_BIG:
		*size = PAGE + 1;
		break;
	case BAD_TAIL:
		*size = sizeof(*a) + 8;
		break;
	case BAD_STATUS_SIZE:
		a->status_size = DET_STATUS_SIZE_VER0 - 1;
		break;
	case BAD_STATUS:
		a->status = NOWHERE;
		break;
	case BAD_OP_SIZE:
		a->op_size = DET_OP_SIZE_VER0 - 1;
		break;
	case BAD_OPS:
		a->ops = NOWHERE;
		break;
	case BAD_REGS:
		if (s->regs)
			a->regs = NOWHERE;
		break;
	case BAD_REGS_SIZE:
		a->regs_size = sizeof(struct user_regs_struct) - 1;
		break;
	case BAD_RANGES:
		a->ranges = NOWHERE;
		break;
	case BAD_FD:
		a->notify_fd = 9999;
		break;
	case GOOD_LONG_OPS:
		a->op_size = sizeof(struct det_op) + 8;
		break;
	}
}

static size_t fill_args(struct det_args *a, const struct step *s,
			const struct place *p, int notify_fd)
{
	size_t size = sizeof(*a);

	*a = (struct det_args){
		.flags = s->flags,
		.ops = p->ops,
		.nr_ops = s->nr_ops,
		.op_size = sizeof(struct det_op),
		.status = p->st,
		.status_size = sizeof(struct det_status),
		.notify_fd = notify_fd,
		.ranges = s->nr_ranges ? p->ranges : 0,
		.nr_ranges = s->nr_ranges,
	};
	if (s->flags & DET_REGS && s->regs) {
		a->regs = p->regs;
		a->regs_size = sizeof(struct user_regs_struct);
	}
	if (s->flags & DET_REGS && s->xstate && p->xstate) {
		a->xstate = p->xstate;
		a->xstate_size = xstate_size;
	}
	bad_args(a, s, &size);
	/* What follows is not zero: a tail that is refused. */
	*(u64 *)(a + 1) = s->bad == BAD_TAIL;
	return size;
}

static void fill_ops(u8 *to, const struct step *s)
{
	size_t size = sizeof(struct det_op) + 8 * (s->bad == GOOD_LONG_OPS);
	unsigned int i;

	for (i = 0; i < s->nr_ops; i++, to += size) {
		memset(to, 0, size);
		memcpy(to, &s->op[i], sizeof(struct det_op));
	}
}

static void fill_regs(u8 *to, const struct step *s)
{
	struct user_regs_struct regs;

	memset(&regs, 0xa5, sizeof(regs));
	if (s->put && s->regs)
		step_regs(s->regs, &regs);
	if (s->bad == BAD_RIP)
		regs.rip = 0x7ffffffff000ULL;
	memcpy(to, &regs, sizeof(regs));
}

/* --- The master's own calls --- */

static struct {
	u8 args[2 * PAGE];
	struct det_status st;
	u8 ops[MAX_OPS * 64];
	struct user_regs_struct regs;
	struct det_range ranges[MAX_RANGES];
	u8 xstate[MAX_XSTATE] __aligned(64);
} own;

static int new_eventfd(struct run *run, const struct step *s)
{
	int fd = -1;

	if (s->flags & DET_NOTIFY && run->nr_fds < MAX_STEPS) {
		fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		run->fds[run->nr_fds++] = fd;
	}
	return fd;
}

static bool master_call(struct run *run, const struct step *s)
{
	const struct place p = {
		.st = (u64)&own.st,
		.ops = (u64)own.ops,
		.regs = (u64)&own.regs,
		.xstate = (u64)own.xstate,
		.ranges = (u64)own.ranges,
	};
	int fd = new_eventfd(run, s);
	struct space *kid;
	struct result want;
	size_t size;
	long ret;

	/* Whether it is still running would be luck. */
	if (s->flags & DET_NOWAIT && stir_beside())
		return true;
	if (s->flags & DET_NOWAIT)
		plain_call(false, s->child, 0, NULL, 0, NULL);
	memset(&own.st, 0xa5, sizeof(own.st));
	memset(own.ranges, 0xa5, sizeof(own.ranges));
	fill_ops(own.ops, s);
	fill_regs((u8 *)&own.regs, s);
	if (s->xstate) {
		fill_xstate(s->put ? s->xstate : 0, own.xstate);
		if (s->bad == BAD_XSTATE)
			own.xstate[512 + 7] = 0x40;
	}
	size = fill_args((struct det_args *)own.args, s, &p, fd);
	thread_warm(run);
	if (s->put && s->flags & DET_FORK)
		ret = space_fork(s->child, own.args, size);
	else
		ret = raw_call(s->put, s->child, own.args, size);

	model_call(&run->master, s, &want);
	kid = s->child < KIDS ? run->master.kid[s->child] : NULL;
	if (!want.ret && kid && s->flags & DET_NOTIFY)
		kid->notify_fd = fd;
	return check_result(run, &want, ret, &own.st, own.ranges,
			    s->regs ? &own.regs : NULL,
			    s->xstate ? own.xstate : NULL);
}

/* --- A space's box --- */

/* Values for the registers that a space keeps at its next stop. */
static void fill_out(struct box *b, u64 seed)
{
	unsigned int i;

	for (i = 0; i < 6; i++)
		b->out[i] = next_random(&seed);
}

static void write_box(u8 *to, const struct box *b)
{
	memset(to, 0, BOX_SIZE);
	*word(to, BOX_OP) = b->op;
	*word(to, BOX_NR) = b->nr;
	memcpy(to + BOX_ARG, b->arg, sizeof(b->arg));
	memcpy(to + BOX_OUT, b->out, sizeof(b->out));
}

static bool at_rest(const struct space *sp)
{
	return sp->regs.user.rip == (u64)space_stopped ||
	       sp->regs.user.rip == (u64)space_entry;
}

/* Arguments of a call of the fuzzer's own, in a space's box. */
static void own_args(u8 *box, struct box *b, bool put, u64 child, u64 flags,
		     const struct det_op *op, u32 nr)
{
	struct det_args a = {
		.flags = flags,
		.ops = BOX + BOX_OPS,
		.nr_ops = nr,
		.op_size = sizeof(*op),
		.status = BOX + BOX_ST,
		.status_size = sizeof(struct det_status),
		.notify_fd = -1,
	};

	if (flags & DET_REGS) {
		a.regs = BOX + BOX_REGS;
		a.regs_size = sizeof(struct user_regs_struct);
	}
	b->op = BOX_CALL;
	b->nr = put ? __NR_dput : __NR_dget;
	b->arg[0] = child;
	b->arg[1] = BOX + BOX_ARGS;
	b->arg[2] = sizeof(a);
	b->given = true;
	fill_out(b, child + flags);
	write_box(box, b);
	memcpy(box + BOX_ARGS, &a, sizeof(a));
	memcpy(box + BOX_OPS, op, nr * sizeof(*op));
	if (flags & DET_REGS)
		step_regs(ENTRY_REGS, (void *)(box + BOX_REGS));
	memset(box + BOX_ST, 0xa5, sizeof(struct det_status));
}

static struct det_op box_copy(u64 caller, u64 child, u64 len)
{
	return (struct det_op){ .op = DET_COPY, .caller = caller,
				.child = child, .len = len };
}

/* The box is in the master's stage: into its child, and run it. */
static long send_box(unsigned int kid, struct space *sp, struct det_status *st,
		     size_t size)
{
	struct det_op op = box_copy((u64)stage, BOX, size);
	struct user_regs_struct regs;
	struct det_args a = {
		.flags = DET_START | DET_WAIT,
		.ops = (u64)&op,
		.nr_ops = 1,
		.op_size = sizeof(op),
		.status = (u64)st,
		.status_size = sizeof(*st),
		.notify_fd = -1,
	};

	if (!at_rest(sp)) {
		step_regs(ENTRY_REGS, &regs);
		a.flags |= DET_REGS;
		a.regs = (u64)&regs;
		a.regs_size = sizeof(regs);
	}
	memset(st, 0xa5, sizeof(*st));
	return raw_call(true, kid, &a, sizeof(a));
}

static void model_box(struct space *sp, const struct box *b)
{
	if (!at_rest(sp))
		model_put_regs(sp, ENTRY_REGS);
	sp->mem.box = *b;
	model_run(sp);
}

/* How the stop of a box must look to the parent that has sent it. */
static bool check_stop(struct run *run, struct space *sp,
		       const struct det_status *st)
{
	struct det_status want = sp->stop;

	want.op = DET_NO_OP;
	want.nr_done = 1;
	return check_status(run, &want, st);
}

/* A child of the master's does a call of the fuzzer's own: must be 0. */
static bool child_call(struct run *run, unsigned int kid, bool put, u64 child,
		       u64 flags, const struct det_op *op, u32 nr, bool inner)
{
	struct space *sp = run->master.kid[kid];
	struct det_status st;
	struct box b = {};
	long ret;

	own_args(stage, &b, put, child, flags, op, nr);
	ret = send_box(kid, sp, &st, inner ? BOX_INNER + BOX_SIZE : BOX_SIZE);
	model_box(sp, &b);
	if (ret)
		differ(run, "a box for %u: result is %ld", kid, ret);
	return !ret && check_stop(run, sp, &st);
}

static bool fetch(struct run *run, unsigned int kid, u64 from, u8 *to,
		  size_t size)
{
	struct det_op op = box_copy((u64)to, from, size);
	long ret = plain_call(false, kid, 0, &op, 1, NULL);

	if (ret)
		differ(run, "a look at the box of %u: result is %ld", kid, ret);
	return !ret;
}

/* --- Making spaces with an interpreter --- */

static bool ensure(struct run *run, unsigned int kid)
{
	struct det_op op[] = {
		box_copy(SPACE_AT, SPACE_AT, PAGE),
		{ .op = DET_ZERO, .child = BOX, .len = PAGE,
		  .prot = PROT_READ | PROT_WRITE },
	};
	struct space *sp = run->master.kid[kid];
	long ret;

	if (sp && sp->mem.code)
		return true;
	ret = plain_call(true, kid, 0, op, 2, NULL);
	if (ret)
		differ(run, "making %u: result is %ld", kid, ret);
	model_make(&run->master, kid);
	return !ret;
}

static bool ensure_inner(struct run *run, unsigned int kid, unsigned int inner)
{
	struct det_op op[] = {
		box_copy(SPACE_AT, SPACE_AT, PAGE),
		{ .op = DET_ZERO, .child = BOX, .len = PAGE,
		  .prot = PROT_READ | PROT_WRITE },
	};
	struct space *sp = run->master.kid[kid]->kid[inner];

	if (sp && sp->mem.code)
		return true;
	if (!child_call(run, kid, true, inner, 0, op, 2, false))
		return false;
	model_make(run->master.kid[kid], inner);
	return true;
}

/* --- A step that a space does --- */

static void step_box(struct box *b, const struct step *s)
{
	static const u8 op[] = {
		[K_CALL] = BOX_CALL, [K_WRITE] = BOX_WRITE,
		[K_READ] = BOX_READ, [K_SYSCALL] = BOX_CALL,
		[K_TRAP] = BOX_TRAP, [K_JUMP] = BOX_JUMP,
	};

	*b = (struct box){ .op = op[s->kind] };
	fill_out(b, s->addr + s->len + s->val);
	switch (s->kind) {
	case K_CALL:
		b->nr = s->put ? __NR_dput : __NR_dget;
		b->step = s;
		b->arg[0] = s->child;
		b->arg[1] = BOX + BOX_ARGS;
		break;
	case K_SYSCALL:
		b->nr = s->val;
		memcpy(b->arg, b->out, sizeof(b->arg));
		break;
	case K_TRAP:
		b->arg[0] = s->val % TRAPS;
		break;
	default:
		b->arg[0] = s->addr;
		b->arg[1] = s->val;
		b->arg[2] = s->len;
		b->arg[3] = s->step;
	}
}

/* Into a box: all that the step needs. */
static void fill_box(u8 *box, struct box *b, const struct step *s)
{
	const struct place p = {
		.st = BOX + BOX_ST,
		.ops = BOX + BOX_OPS,
		.regs = BOX + BOX_REGS,
		.ranges = BOX + BOX_RANGES,
	};

	step_box(b, s);
	if (s->kind != K_CALL) {
		write_box(box, b);
		return;
	}
	write_box(box, b);
	b->arg[2] = fill_args((struct det_args *)(box + BOX_ARGS), s, &p, -1);
	*word(box, BOX_ARG + 16) = b->arg[2];
	memset(box + BOX_ST, 0xa5, sizeof(struct det_status));
	memset(box + BOX_RANGES, 0xa5, MAX_RANGES * sizeof(struct det_range));
	fill_ops(box + BOX_OPS, s);
	fill_regs(box + BOX_REGS, s);
}

/* Registers as the interpreter found them when it was started. */
static bool check_seen(struct run *run, struct space *sp, const u8 *box)
{
	const struct user_regs_struct *w = &sp->seen.user;
	const u64 want[] = {
		w->rax, w->rbx, w->rcx, w->rdx, w->rsi, w->rdi, w->rbp, w->rsp,
		w->r8, w->r9, w->r10, w->r11, w->r12, w->r13, w->r14, w->r15,
	};
	const u64 *seen = (const u64 *)(box + BOX_SEEN);
	unsigned int i;

	if (sp->seen.known != REGS_ALL)
		return true;
	for (i = 0; i < 16; i++) {
		if (seen[i] == want[i])
			continue;
		differ(run, "the space began with register %u 0x%llx, should be 0x%llx",
		       i, (unsigned long long)seen[i],
		       (unsigned long long)want[i]);
		return false;
	}
	return true;
}

/* What the space was told, from its box. */
static bool check_box(struct run *run, struct space *sp, const struct step *s,
		      const u8 *box)
{
	const struct result *want = sp->result;

	if (sp->seen.known == REGS_ALL && !check_seen(run, sp, box))
		return false;
	if (s->kind != K_CALL)
		return true;
	return check_result(run, want, *word((u8 *)box, BOX_RESULT),
			    (const void *)(box + BOX_ST),
			    (const void *)(box + BOX_RANGES),
			    s->regs ? (const void *)(box + BOX_REGS) : NULL,
			    NULL);
}

/* May the space do it at all? An interpreter that is lost runs nothing. */
static bool allowed(struct space *sp, const struct step *s)
{
	if (s->kind == K_JUMP)
		return s->addr < SPACE_AT &&
		       !(page_at(&sp->mem, s->addr)->prot & PROT_EXEC);
	if (s->kind == K_SYSCALL)
		return s->val < __NR_dput || s->val > __NR_dret;
	return s->kind <= K_TRAP;
}

/* Did its memory become another space's, with another box? */
static bool box_replaced(const struct step *s)
{
	unsigned int i;

	for (i = 0; i < s->nr_ops; i++)
		if (!s->put && s->op[i].op == DET_COPY &&
		    s->op[i].flags & DET_COPY_WHOLE)
			return true;
	return false;
}

static bool look_at_box(struct run *run, const struct step *s)
{
	if (s->kind == K_CALL)
		return !box_replaced(s);
	return run->q->look_often;
}

static bool child_step(struct run *run, const struct step *s)
{
	unsigned int kid = s->path[0];
	struct det_status st;
	struct space *sp;
	struct box b;
	long ret;

	if (!ensure(run, kid))
		return false;
	sp = run->master.kid[kid];
	if (!allowed(sp, s))
		return true;
	fill_box(stage, &b, s);
	ret = send_box(kid, sp, &st, BOX_SIZE);
	model_box(sp, &b);
	if (ret)
		differ(run, "a box for %u: result is %ld", kid, ret);
	if (ret || !check_stop(run, sp, &st))
		return false;
	if (!look_at_box(run, s) || !sp->mem.code)
		return true;
	return fetch(run, kid, BOX, stage, BOX_SIZE) &&
	       check_box(run, sp, s, stage);
}

/* The inner space's results: its parent fetches them, then the master. */
static bool fetch_inner(struct run *run, const struct step *s, u8 *to)
{
	struct det_op op = box_copy(BOX + BOX_INNER, BOX, BOX_SIZE);

	return child_call(run, s->path[0], false, s->path[1], 0, &op, 1,
			  false) &&
	       fetch(run, s->path[0], BOX + BOX_INNER, to, BOX_SIZE);
}

static bool inner_step(struct run *run, const struct step *s)
{
	struct det_op op = box_copy(BOX + BOX_INNER, BOX, BOX_SIZE);
	unsigned int kid = s->path[0], inner = s->path[1];
	u64 flags = DET_START | DET_WAIT;
	struct space *sp;
	struct box b;

	if (!ensure(run, kid) || !ensure_inner(run, kid, inner))
		return false;
	sp = run->master.kid[kid]->kid[inner];
	if (!allowed(sp, s))
		return true;
	if (!at_rest(sp))
		flags |= DET_REGS;
	fill_box(stage + BOX_INNER, &b, s);
	if (!child_call(run, kid, true, inner, flags, &op, 1, true))
		return false;
	model_box(sp, &b);
	if (!fetch(run, kid, BOX, stage, BOX_SIZE) ||
	    !check_stop(run, sp, (void *)(stage + BOX_ST)))
		return false;
	if (!look_at_box(run, s) || !sp->mem.code)
		return true;
	return fetch_inner(run, s, stage) && check_box(run, sp, s, stage);
}

bool do_step(struct run *run, const struct step *s)
{
	if (s->depth == 2)
		return inner_step(run, s);
	if (s->depth == 1)
		return child_step(run, s);
	if (s->kind == K_CALL)
		return master_call(run, s);
	return do_own(run, s);
}
