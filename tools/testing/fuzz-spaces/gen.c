// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sequences at random. Half of them begin with a pattern in which faults are
 * known to show themselves; all of them stay on a few pages, so that the steps
 * have to do with each other.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ops.h"

#define PROT_RW (PROT_READ | PROT_WRITE)

struct gen {
	struct sequence *q;
	unsigned int limit;
	u64 rnd;
	bool huge;		/* on the big pages */
	u32 hot, nr_hot;	/* pages that all is about */
	u32 offset;		/* and a place in them */
	bool given[KIDS];	/* the master's child has some of them */
};

u64 next_random(u64 *state)
{
	u64 z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static u32 any(struct gen *g, u32 n)
{
	return (next_random(&g->rnd) >> 32) % n;
}

static bool chance(struct gen *g, u32 percent)
{
	return any(g, 100) < percent;
}

static struct step *add(struct gen *g, u8 kind)
{
	static struct step waste;
	struct step *s = &waste;

	if (g->q->nr < g->limit)
		s = &g->q->step[g->q->nr++];
	memset(s, 0, sizeof(*s));
	s->kind = kind;
	return s;
}

/* One that has something, if there is one; or any. */
static u32 any_kid(struct gen *g)
{
	u32 kid = chance(g, 90) ? any(g, 2) : 2;

	if (!g->given[kid] && chance(g, 85))
		kid = g->given[0] ? 0 : g->given[1] ? 1 : kid;
	return kid;
}

/* --- Places --- */

static u64 any_page(struct gen *g)
{
	u32 page = g->hot + any(g, g->nr_hot);

	if (chance(g, 6))
		page = g->huge ? any(g, NPAGES) : any(g, SMALL);
	return ARENA + (u64)page * PAGE;
}

static u64 any_offset(struct gen *g)
{
	switch (any(g, 8)) {
	case 0:
		return any(g, PAGE);
	case 1:
		return PAGE - 1 - any(g, 16);
	case 2:
		return 8 * any(g, 8);
	case 3:
		return 0;
	default:
		return (g->offset + any(g, 12)) % PAGE;
	}
}

/* No further than the sequence's memory reaches. */
static u64 clip(struct gen *g, u64 addr, u64 len)
{
	u64 end = g->huge ? ARENA_END : HUGE_AT;

	return len > end - addr ? end - addr : len;
}

static u64 any_len(struct gen *g, u64 addr)
{
	u64 len = PAGE * (1 + any(g, g->nr_hot));

	switch (any(g, 8)) {
	case 0:
		len = any(g, 24);
		break;
	case 1:
		len = any(g, 2 * PAGE);
		break;
	case 2:
		len += any(g, PAGE);
		break;
	case 3:
		len = PAGE;
		break;
	case 4:
		if (g->huge)
			len = HUGE_AT + BIG / 2 * PAGE - addr % (BIG * PAGE / 2);
		break;
	}
	return clip(g, addr, len % (BIG * PAGE));
}

static u64 whole(u64 len)
{
	return (len + PAGE - 1) & -PAGE;
}

/* All hot pages; with ragged ends now and then, where something is there. */
static void hot_range(struct gen *g, u64 *addr, u64 *len, bool ragged)
{
	*addr = ARENA + (u64)g->hot * PAGE;
	*len = (u64)g->nr_hot * PAGE;
	if (ragged && chance(g, 25)) {
		*addr += any(g, PAGE);
		*len -= PAGE + any(g, PAGE);
		if (g->nr_hot < 3)
			*len = 1 + any(g, PAGE);
	} else if (g->huge && chance(g, 50)) {
		*addr = HUGE_AT;
		*len = BIG * PAGE;
	}
}

static u32 any_prot(struct gen *g)
{
	static const u32 prots[] = { PROT_NONE, PROT_READ, PROT_READ, PROT_RW,
				     PROT_RW, PROT_RW, PROT_WRITE };

	return prots[any(g, ARRAY_SIZE(prots))];
}

/* --- Steps --- */

static void actor(struct gen *g, struct step *s)
{
	u32 x = any(g, 100);

	s->depth = x < 76 ? 0 : x < 95 ? 1 : 2;
	s->path[0] = any_kid(g);
	s->path[1] = any(g, 2);
}

static struct step *add_call(struct gen *g, bool put, u64 flags)
{
	struct step *s = add(g, K_CALL);

	s->put = put;
	s->flags = flags;
	s->child = any_kid(g);
	return s;
}

static struct det_op *add_op(struct step *s, u32 op, u64 caller, u64 child,
			     u64 len)
{
	struct det_op *o = &s->op[s->nr_ops < MAX_OPS ? s->nr_ops++ :
				  MAX_OPS - 1];

	*o = (struct det_op){ .op = op, .caller = caller, .child = child,
			      .len = len };
	return o;
}

/* Bytes; few, or across a page's end, or all of a page. */
static void where_to_write(struct gen *g, struct step *s)
{
	s->addr = any_page(g) + any_offset(g);
	s->len = 1 + any(g, 12);
	if (chance(g, 8))
		s->len = 1 + any(g, PAGE);
	s->len = clip(g, s->addr, s->len);
	s->val = any(g, 256);
	s->step = chance(g, 70) ? 1 + any(g, 5) : 0;
}

static void add_write(struct gen *g, u32 depth, u32 kid, u32 inner)
{
	struct step *s = add(g, K_WRITE);

	where_to_write(g, s);
	s->depth = depth;
	s->path[0] = kid;
	s->path[1] = inner;
}

static void step_share(struct gen *g)
{
	struct step *s = add_call(g, true, chance(g, 60) ? DET_SNAP : 0);
	struct det_op *o;
	u64 addr, len;
	bool given;

	actor(g, s);
	if (!s->depth && chance(g, 70))
		s->child = any(g, 2);
	given = !s->depth && g->given[s->child];
	if (!given || chance(g, 60)) {
		hot_range(g, &addr, &len, given);
	} else {
		addr = any_page(g) + any_offset(g);
		len = any_len(g, addr);
	}
	if (!s->depth)
		g->given[s->child] = true;
	o = add_op(s, DET_COPY, addr, addr, len);
	if (!given)
		return;
	if (chance(g, 12))
		o->child = any_page(g) + any_offset(g);
	else if (chance(g, 12))
		o->child = any_page(g) + o->caller % PAGE;
	o->len = clip(g, o->child, o->len);
	if (chance(g, 6))
		*o = (struct det_op){ .op = DET_COPY, .flags = DET_COPY_WHOLE };
	if (chance(g, 5))
		s->flags |= DET_FORK;
	if (chance(g, 8))
		s->flags |= DET_START | (chance(g, 70) ? DET_WAIT : 0);
}

static u32 merge_flags(struct gen *g)
{
	static const u32 policy[] = { 0, 0, 0, DET_MERGE_KEEP, DET_MERGE_TAKE };

	return any(g, 4) << 8 | policy[any(g, 5)];
}

static void step_merge(struct gen *g)
{
	struct step *s = add_call(g, false, 0);
	u32 nr = chance(g, 75) ? 1 : 2 + any(g, 2);
	struct det_op *o;
	u64 addr, len;

	actor(g, s);
	while (nr--) {
		if (chance(g, 60)) {
			hot_range(g, &addr, &len, true);
		} else {
			addr = any_page(g) + any_offset(g);
			len = any_len(g, addr);
		}
		o = add_op(s, DET_MERGE, addr, addr, len);
		o->flags = merge_flags(g);
		if (chance(g, 10))
			o->caller = any_page(g) + addr % PAGE;
		o->len = clip(g, o->caller, o->len);
	}
	s->nr_ranges = chance(g, 60) ? 1 + any(g, MAX_RANGES) : 0;
}

static void step_fetch(struct gen *g)
{
	struct step *s = add_call(g, false, 0);
	u64 addr = any_page(g) + any_offset(g);
	struct det_op *o = add_op(s, DET_COPY, addr, addr, any_len(g, addr));

	actor(g, s);
	if (chance(g, 40))
		o->flags = DET_COPY_IMAGE;
	if (chance(g, 30))
		o->caller = any_page(g) + any_offset(g);
	o->len = clip(g, o->caller, o->len);
	if (s->depth && chance(g, 20))
		*o = (struct det_op){ .op = DET_COPY, .flags = DET_COPY_WHOLE };
}

/* ZERO and PERM, of the child's memory or the caller's own. */
static void step_alter(struct gen *g, u32 op)
{
	struct step *s = add_call(g, chance(g, 65), 0);
	u64 addr = any_page(g);
	struct det_op *o;

	actor(g, s);
	if (op == DET_ZERO && chance(g, 40))
		addr += any_offset(g);
	o = add_op(s, op, addr, addr, any_len(g, addr));
	o->prot = any_prot(g);
	if (op == DET_ZERO && chance(g, 10))
		o->flags = DET_ZERO_NORESERVE;
	if (s->depth && s->put && chance(g, 5))
		o->prot |= PROT_EXEC;
	if (chance(g, 15))
		s->child = DET_SELF;
	if (s->child != DET_SELF && s->put && chance(g, 15))
		s->flags |= DET_SNAP;
}

static void step_self_copy(struct gen *g)
{
	struct step *s = add_call(g, chance(g, 50), 0);
	u64 from = any_page(g) + any_offset(g);
	u64 to = any_page(g) + (chance(g, 70) ? from % PAGE : any_offset(g));

	actor(g, s);
	s->child = DET_SELF;
	add_op(s, DET_COPY, from, to, any_len(g, from > to ? from : to));
}

static struct det_op any_op(struct gen *g, bool put)
{
	struct det_op op = { .op = 1 + any(g, put ? 3 : 4) };

	op.caller = any_page(g) + any_offset(g);
	op.child = chance(g, 60) ? op.caller : any_page(g) + any_offset(g);
	if (op.op == DET_PERM) {
		op.caller &= -PAGE;
		op.child &= -PAGE;
	}
	if (op.op == DET_MERGE) {
		op.child = (op.child & -PAGE) + op.caller % PAGE;
		op.flags = merge_flags(g);
	}
	op.len = any_len(g, op.caller > op.child ? op.caller : op.child);
	if (op.op == DET_ZERO || op.op == DET_PERM)
		op.prot = any_prot(g);
	if (op.op == DET_COPY && !put && chance(g, 30))
		op.flags = DET_COPY_IMAGE;
	return op;
}

/* Something in it is wrong. */
static void spoil(struct gen *g, struct det_op *op)
{
	switch (any(g, 10)) {
	case 0:
		op->op = any(g, 2) * 5;
		break;
	case 1:
		op->flags |= 1U << any(g, 32);
		break;
	case 2:
		op->prot |= 1 + any(g, 16);
		break;
	case 3:
		op->__pad = 1;
		break;
	case 4:
		op->len = -1ULL - any(g, PAGE);
		break;
	case 5:
		op->len = 0x7ffffffff000ULL;
		break;
	case 6:
		op->caller = 0x7fffffffe000ULL + any(g, 2 * PAGE);
		op->len = 2 * PAGE;
		break;
	case 7:
		op->child = -1ULL << any(g, 64);
		break;
	case 8:
		op->caller++;
		break;
	case 9:
		op->flags = DET_MERGE_KEEP | DET_MERGE_TAKE;
		break;
	}
}

static const u64 call_flags[] = {
	0, 0, DET_START, DET_START | DET_WAIT, DET_WAIT, DET_SNAP,
	DET_NOWAIT, DET_NOTIFY, DET_NOTIFY | DET_START | DET_WAIT,
	DET_REGS, DET_REGS | DET_WAIT, DET_REGS | DET_START | DET_WAIT,
	DET_SNAP | DET_START, DET_KILL, DET_FORK,
};

/* A call of any kind, perhaps a bad one. */
static void step_any_call(struct gen *g)
{
	bool put = chance(g, 50);
	struct step *s = add_call(g, put, 0);
	u32 nr = any(g, 4);

	actor(g, s);
	s->flags = call_flags[any(g, ARRAY_SIZE(call_flags))];
	if (!put && chance(g, 90))
		s->flags &= DET_REGS | DET_START | DET_WAIT | DET_NOWAIT |
			    DET_NOTIFY;
	while (nr-- && s->nr_ops < MAX_OPS)
		s->op[s->nr_ops++] = any_op(g, put);
	if (s->flags & DET_KILL && chance(g, 70))
		s->nr_ops = 0;
	if (s->flags & DET_REGS && chance(g, 80))
		s->regs = 1 + any(g, 1000);
	if (s->flags & DET_REGS && !s->depth && chance(g, 50))
		s->xstate = 1 + any(g, 1000);
	s->nr_ranges = chance(g, 30) ? 1 + any(g, MAX_RANGES) : 0;
	if (chance(g, 15))
		s->child = DET_SELF;
	if (chance(g, 25) && s->nr_ops)
		spoil(g, &s->op[any(g, s->nr_ops)]);
	if (chance(g, 20))
		s->bad = 1 + any(g, NR_BAD - 1);
}

static void step_regs_call(struct gen *g)
{
	struct step *s = add_call(g, chance(g, 60), DET_REGS);

	s->regs = 1 + any(g, 1000);
	if (chance(g, 40))
		s->xstate = 1 + any(g, 1000);
	if (s->put)
		s->flags |= chance(g, 40) ? DET_START | DET_WAIT :
			    chance(g, 30) ? DET_FORK : 0;
	else if (chance(g, 30))
		s->flags |= DET_START | DET_WAIT;
}

static void step_own(struct gen *g)
{
	static const u8 kind[] = { K_MMAP, K_MMAP, K_MUNMAP, K_MPROTECT,
				   K_MREMAP, K_MADVISE, K_MADVISE };
	static const u32 advice[] = { MADV_DONTNEED, MADV_DONTNEED, MADV_COLD,
				      MADV_PAGEOUT, MADV_HUGEPAGE,
				      MADV_NOHUGEPAGE, 25, MADV_WILLNEED };
	struct step *s = add(g, kind[any(g, sizeof(kind))]);

	s->addr = any_page(g);
	s->len = whole(any_len(g, s->addr)) ?: PAGE;
	switch (s->kind) {
	case K_MMAP:
		s->val = any(g, NR_MEMORY);
		s->step = chance(g, 80) ? PROT_RW : any_prot(g);
		break;
	case K_MPROTECT:
		s->step = any_prot(g);
		break;
	case K_MREMAP:
		s->val = any_page(g);
		s->len = PAGE;
		break;
	case K_MADVISE:
		s->val = advice[any(g, 8)];
		break;
	}
}

static void step_stop(struct gen *g)
{
	static const u8 kind[] = { K_TRAP, K_SYSCALL, K_JUMP };
	struct step *s = add(g, kind[any(g, 3)]);

	s->depth = 1 + chance(g, 20);
	s->path[0] = any_kid(g);
	s->path[1] = any(g, 2);
	s->addr = any_page(g);
	s->val = any(g, 500);
}

static void step_read(struct gen *g)
{
	struct step *s = add(g, K_READ);

	where_to_write(g, s);
	actor(g, s);
}

static void step_thread(struct gen *g)
{
	struct step *s = add(g, K_THREAD);

	where_to_write(g, s);
}

static void step_stir(struct gen *g)
{
	struct step *s = add(g, chance(g, 40) ? K_FORK : K_STIR);

	s->val = any(g, NR_STIR);
}

static void step_kill(struct gen *g)
{
	struct step *s = add_call(g, true, DET_KILL);

	actor(g, s);
	if (!s->depth)
		g->given[s->child] = false;
}

static void step_again(struct gen *g)
{
	struct step *s = add_call(g, chance(g, 50), DET_START);

	if (chance(g, 70))
		s->flags |= DET_WAIT;
}

static void step_random(struct gen *g)
{
	u32 x = any(g, 100);

	if (x < 20)
		step_share(g);
	else if (x < 37)
		add_write(g, 1 + chance(g, 12), any_kid(g), any(g, 2));
	else if (x < 48)
		add_write(g, 0, 0, 0);
	else if (x < 66)
		step_merge(g);
	else if (x < 70)
		step_read(g);
	else if (x < 74)
		step_fetch(g);
	else if (x < 78)
		step_alter(g, DET_ZERO);
	else if (x < 82)
		step_alter(g, DET_PERM);
	else if (x < 85)
		step_own(g);
	else if (x < 87)
		step_kill(g);
	else if (x < 89)
		step_stop(g);
	else if (x < 91)
		step_regs_call(g);
	else if (x < 95)
		step_any_call(g);
	else if (x < 96)
		step_self_copy(g);
	else if (x < 98)
		step_again(g);
	else if (x < 99)
		step_thread(g);
	else
		step_stir(g);
}

/* --- Patterns --- */

static struct step *share(struct gen *g, u32 kid, u64 flags)
{
	struct step *s = add_call(g, true, flags);
	u64 addr, len;

	hot_range(g, &addr, &len, g->given[kid]);
	add_op(s, DET_COPY, addr, addr, len);
	s->child = kid;
	g->given[kid] = true;
	return s;
}

static struct step *merge(struct gen *g, u32 kid, u32 flags)
{
	struct step *s = add_call(g, false, 0);
	u64 addr, len;

	hot_range(g, &addr, &len, true);
	add_op(s, DET_MERGE, addr, addr, len)->flags = flags;
	s->child = kid;
	s->nr_ranges = MAX_RANGES;
	return s;
}

/* Child and caller write side by side. */
static void pattern_update(struct gen *g)
{
	share(g, 0, DET_SNAP);
	add_write(g, 1, 0, 0);
	add_write(g, 0, 0, 0);
	merge(g, 0, merge_flags(g));
}

/* Two children, merged one after the other. */
static void pattern_two(struct gen *g)
{
	share(g, 0, DET_SNAP);
	share(g, 1, DET_SNAP);
	add_write(g, 1, 0, 0);
	add_write(g, 1, 1, 0);
	merge(g, 0, merge_flags(g));
	merge(g, 1, merge_flags(g));
}

/* The caller writes behind a COPY; perhaps another thread does. */
static void pattern_copy(struct gen *g)
{
	share(g, 0, chance(g, 50) ? DET_SNAP : 0);
	if (chance(g, 50))
		step_thread(g);
	else
		add_write(g, 0, 0, 0);
	if (chance(g, 50))
		step_read(g);
}

/* Access taken away and given back. */
static void pattern_perm(struct gen *g)
{
	u32 depth = chance(g, 70);
	struct step *s;
	u64 addr, len;
	int i;

	s = share(g, 0, DET_SNAP);
	addr = s->op[0].caller & -PAGE;
	len = whole(s->op[0].len);
	for (i = 0; i < 2; i++) {
		add_write(g, depth, 0, 0);
		s = add_call(g, depth, 0);
		s->child = 0;
		add_op(s, DET_PERM, addr, addr, len)->prot =
			i ? PROT_RW : any_prot(g);
	}
	add_write(g, depth, 0, 0);
	merge(g, 0, 0);
}

/* A kept child is given the same again and again. */
static void pattern_kept(struct gen *g)
{
	u32 i, n = 2 + any(g, 2);

	for (i = 0; i < n; i++) {
		share(g, 0, DET_SNAP);
		add_write(g, 1, 0, 0);
		if (chance(g, 50))
			add_write(g, 0, 0, 0);
		if (chance(g, 60))
			merge(g, 0, merge_flags(g));
	}
}

/* What the parent has put in since the snapshot is a change, too. */
static void pattern_put_in(struct gen *g)
{
	share(g, 0, DET_SNAP);
	add_write(g, 0, 0, 0);
	if (chance(g, 60))
		step_share(g);
	else
		step_alter(g, DET_ZERO);
	merge(g, 0, merge_flags(g));
}

static void pattern_other_place(struct gen *g)
{
	struct step *s;

	share(g, 0, DET_SNAP);
	add_write(g, 1, 0, 0);
	s = merge(g, 0, merge_flags(g));
	s->op[0].caller = any_page(g) + s->op[0].child % PAGE;
	s->op[0].len = clip(g, s->op[0].caller, s->op[0].len);
}

static void pattern_nested(struct gen *g)
{
	struct step *s;

	share(g, 0, DET_SNAP);
	s = share(g, 1, DET_SNAP);
	g->given[1] = false;
	s->depth = 1;
	s->path[0] = 0;
	add_write(g, 2, 0, 1);
	add_write(g, 1, 0, 0);
	s = merge(g, 1, merge_flags(g));
	s->depth = 1;
	s->path[0] = 0;
	merge(g, 0, merge_flags(g));
}

/* The child has nothing but zeros where the caller has something. */
static void pattern_zero(struct gen *g)
{
	struct step *s = share(g, 0, DET_SNAP);
	u64 addr = any_page(g), len = any_len(g, addr);

	s = add_call(g, true, chance(g, 30) ? DET_SNAP : 0);
	s->child = 0;
	add_op(s, DET_ZERO, addr, addr, len)->prot = PROT_RW;
	/* The next ones become part of the same mapping. */
	if (chance(g, 50)) {
		addr += whole(len);
		len = clip(g, addr, PAGE);
		add_op(s, DET_ZERO, addr, addr, len)->prot = PROT_RW;
	}
	if (chance(g, 50))
		add_write(g, 1, 0, 0);
	if (chance(g, 50))
		add_write(g, 0, 0, 0);
	merge(g, 0, merge_flags(g));
}

/* What it writes right after a snapshot, on a CPU that knows the page. */
static void pattern_snap(struct gen *g)
{
	share(g, 0, 0);
	add_write(g, 1, 0, 0);
	add_call(g, true, DET_SNAP)->child = 0;
	add_write(g, 1, 0, 0);
	if (chance(g, 50))
		add_write(g, 1, 0, 0);
	merge(g, 0, merge_flags(g));
}

/* MERGEs of one call that overlap. */
static void pattern_overlap(struct gen *g)
{
	struct step *s;
	struct det_op *o;
	u32 i;

	share(g, 0, DET_SNAP);
	add_write(g, 1, 0, 0);
	if (chance(g, 40))
		add_write(g, 0, 0, 0);
	s = merge(g, 0, merge_flags(g));
	for (i = 0; i < 1 + any(g, 2); i++) {
		u64 addr = any_page(g) + any_offset(g);

		o = add_op(s, DET_MERGE, addr, addr, any_len(g, addr));
		o->flags = merge_flags(g);
	}
}

/* Bytes of one word, from both sides; the MERGE's border may be in it. */
static void pattern_granule(struct gen *g)
{
	u64 word = ARENA + (u64)(g->hot + any(g, g->nr_hot)) * PAGE +
		   8 * any(g, PAGE / 8);
	struct det_op *o;
	struct step *s;
	u32 depth, border;

	share(g, 0, DET_SNAP);
	for (depth = 0; depth < 2; depth++) {
		s = add(g, K_WRITE);
		s->depth = depth;
		s->addr = word + any(g, 8);
		s->len = 1 + any(g, 2);
		s->val = any(g, 256);
	}
	s = merge(g, 0, merge_flags(g));
	border = 1 + any(g, 7);
	o = &s->op[0];
	if (chance(g, 40)) {
		*o = (struct det_op){ .op = DET_MERGE, .flags = o->flags,
				      .caller = word + border,
				      .child = word + border,
				      .len = 1 + any(g, PAGE) };
	} else if (chance(g, 50)) {
		o->caller = word & -PAGE;
		o->child = o->caller;
		o->len = word % PAGE + border;
	}
	o->len = clip(g, o->caller, o->len);
}

/*
 * Page tables that are the same as in the snapshot, which the next one finds out:
 * then a change of one of them.
 */
static void pattern_clean(struct gen *g)
{
	struct step *s = add_call(g, true, DET_SNAP);
	u64 addr = any_page(g);
	u32 i;

	s->child = 0;
	g->given[0] = true;
	add_op(s, DET_COPY, HUGE_AT, HUGE_AT, BIG * PAGE);
	add_write(g, 1, 0, 0);
	for (i = 0; i < 2; i++)
		add_call(g, true, DET_SNAP)->child = 0;
	if (chance(g, 60)) {
		add_write(g, 1, 0, 0);
	} else if (chance(g, 50)) {
		add_write(g, 0, 0, 0);
		s = add_call(g, true, 0);
		s->child = 0;
		add_op(s, DET_COPY, addr, addr, clip(g, addr, PAGE * g->nr_hot));
	} else {
		s = add_call(g, true, 0);
		s->child = 0;
		add_op(s, DET_ZERO, addr, addr, clip(g, addr, PAGE))->prot = PROT_RW;
	}
	merge(g, 0, merge_flags(g));
}

/* Page tables that are the same in the master and its child, and then a change. */
static void pattern_sync(struct gen *g)
{
	u32 i;

	for (i = 0; i < 4; i++) {
		struct step *s = add_call(g, true, 0);

		s->child = 0;
		add_op(s, DET_COPY, HUGE_AT, HUGE_AT, BIG * PAGE);
		if (i != 2)
			continue;
		if (chance(g, 60))
			step_own(g);
		else
			add_write(g, any(g, 2), 0, 0);
	}
	g->given[0] = true;
}

static void (*const patterns[])(struct gen *) = {
	pattern_update, pattern_two, pattern_copy, pattern_perm, pattern_kept,
	pattern_put_in, pattern_other_place, pattern_nested, pattern_zero,
	pattern_snap, pattern_overlap, pattern_granule,
};

/* Big pages, with bytes in both. */
static void map_huge(struct gen *g)
{
	struct step *s = add(g, K_MMAP);

	s->addr = HUGE_AT;
	s->len = BIG * PAGE;
	s->step = PROT_RW;
	add_write(g, 0, 0, 0);
	if (chance(g, 50))
		add_write(g, 0, 0, 0);
}

static void place(struct gen *g)
{
	g->offset = chance(g, 50) ? any(g, PAGE) : 8 * any(g, 512);
	g->nr_hot = 1 + any(g, 4);
	g->hot = any(g, FILLED - g->nr_hot);
	if (!g->huge)
		return;
	g->nr_hot = 2 + any(g, 3);
	g->hot = SMALL;
	if (chance(g, 50))
		g->hot += BIG / 2 - any(g, g->nr_hot + 1);
	else if (chance(g, 30))
		g->hot += any(g, BIG - g->nr_hot);
}

void draw_sequence(struct sequence *q, u64 seed, unsigned int nr)
{
	struct gen g = { .q = q, .limit = nr, .rnd = seed };

	q->seed = seed;
	q->nr = 0;
	g.rnd = next_random(&g.rnd);
	g.huge = chance(&g, 10);
	q->look_often = !g.huge && chance(&g, 20);
	place(&g);
	if (g.huge)
		map_huge(&g);
	if (g.huge && chance(&g, 30))
		pattern_clean(&g);
	else if (g.huge && chance(&g, 40))
		pattern_sync(&g);
	else if (chance(&g, 50))
		patterns[any(&g, ARRAY_SIZE(patterns))](&g);
	while (q->nr < nr) {
		if (!g.given[0] && !g.given[1] && chance(&g, 60))
			step_share(&g);
		step_random(&g);
	}
}
