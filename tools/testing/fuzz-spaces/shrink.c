// SPDX-License-Identifier: GPL-2.0-only
/*
 * A sequence that fails, made shorter while it still fails: steps are left out,
 * many at first, then one by one; then the steps themselves become simpler.
 */
#include <string.h>

#include "try.h"

/* Run a sequence as often as it takes to fail in this way. */
void try_again(const struct sequence *q, enum verdict kind, struct trial *t)
{
	struct counts before, after;
	const char *what;
	long by;

	if (kind != V_LEFT) {
		try_sequences(q, 1, 1, t);
		return;
	}
	try_sequences(q, 1, 20, t);
	watch_count(&before);
	if (t->verdict == V_SAME)
		try_sequences(q, 1, LEFT_TIMES, t);
	watch_count(&after);
	what = watch_grown(&before, &after, LEFT_TIMES * 3 / 4, &by);
	if (t->verdict != V_SAME || !what)
		return;
	t->verdict = V_LEFT;
	snprintf(t->why, sizeof(t->why), "%s: %+ld after %d times", what, by,
		 LEFT_TIMES);
}

/* Some faults show themselves now and then only: how often to try. */
static int patience;

static void find_patience(const struct sequence *q, enum verdict kind)
{
	struct trial t;
	int i, failed = 0;

	patience = 1;
	for (i = 0; i < 3 && kind != V_LEFT; i++) {
		try_again(q, kind, &t);
		failed += t.verdict == kind;
	}
	if (kind != V_LEFT && failed < 3)
		patience = 8;
}

static bool still_fails(const struct sequence *q, enum verdict kind,
			struct trial *t)
{
	struct trial now;
	int i;

	for (i = 0; i < patience; i++) {
		try_again(q, kind, &now);
		if (now.verdict != kind)
			continue;
		*t = now;
		return true;
	}
	return false;
}

static void leave_out(struct sequence *to, const struct sequence *from, u32 at,
		      u32 nr)
{
	*to = *from;
	memmove(&to->step[at], &to->step[at + nr],
		(to->nr - at - nr) * sizeof(to->step[0]));
	to->nr -= nr;
}

static void shrink_steps(struct sequence *q, enum verdict kind,
			 struct trial *t)
{
	struct sequence less;
	u32 nr, at;

	for (nr = q->nr / 2 ?: 1; nr; nr /= 2) {
		for (at = 0; at + nr <= q->nr;) {
			leave_out(&less, q, at, nr);
			if (less.nr && still_fails(&less, kind, t))
				*q = less;
			else
				at += nr;
		}
	}
}

/* --- Simpler steps: each returns false when there is nothing to change --- */

static bool drop_op(struct step *s, u32 i)
{
	if (i >= s->nr_ops)
		return false;
	memmove(&s->op[i], &s->op[i + 1],
		(s->nr_ops - i - 1) * sizeof(s->op[0]));
	s->nr_ops--;
	return true;
}

static bool drop_flag(struct step *s, u32 i)
{
	if (!(s->flags >> i & 1))
		return false;
	s->flags &= ~(1ULL << i);
	return true;
}

static bool take_value(u64 *to, u64 val)
{
	if (*to == val)
		return false;
	*to = val;
	return true;
}

static bool simpler_op(struct step *s, u32 i, u32 how)
{
	struct det_op *op = &s->op[i];
	u64 pages = (op->caller % PAGE + op->len + PAGE - 1) & -PAGE;

	if (i >= s->nr_ops || op->len > (1ULL << 40))
		return false;
	switch (how) {
	case 0:		/* whole pages */
		if (op->len == pages && op->caller % PAGE == 0)
			return false;
		op->caller &= -PAGE;
		op->child &= -PAGE;
		op->len = pages;
		return true;
	case 1:
		return op->len > PAGE && take_value((u64 *)&op->len, PAGE);
	case 2:
		op->len /= 2;
		return op->len;
	case 3:
		if (!op->flags)
			return false;
		op->flags = 0;
		return true;
	}
	return false;
}

#define WAYS 40

static bool simpler(struct step *s, u32 way)
{
	if (way < 4)
		return s->kind == K_CALL && drop_op(s, way);
	if (way < 12)
		return s->kind == K_CALL && drop_flag(s, way - 4);
	if (way < 28)
		return s->kind == K_CALL &&
		       simpler_op(s, (way - 12) / 4, (way - 12) % 4);
	switch (way) {
	case 28:
		return s->nr_ranges && ((s->nr_ranges = 0), true);
	case 29:
		return s->regs && ((s->regs = 0), true);
	case 30:
		return s->xstate && ((s->xstate = 0), true);
	case 31:
		return s->bad && ((s->bad = 0), true);
	case 32:
		return s->kind != K_CALL && s->len > 1 &&
		       (s->kind == K_WRITE || s->kind == K_THREAD) &&
		       take_value(&s->len, 1);
	case 33:
		return s->kind == K_THREAD && ((s->kind = K_WRITE), true);
	case 34:
		return s->depth == 2 && ((s->depth = 1), true);
	case 35:
		return s->depth == 1 && s->kind == K_CALL &&
		       ((s->depth = 0), true);
	}
	return false;
}

static void shrink_values(struct sequence *q, enum verdict kind,
			  struct trial *t)
{
	struct sequence less;
	u32 i, way;

	for (i = 0; i < q->nr; i++) {
		for (way = 0; way < WAYS; way++) {
			less = *q;
			if (simpler(&less.step[i], way) &&
			    still_fails(&less, kind, t))
				*q = less;
		}
	}
	less = *q;
	less.look_often = false;
	if (q->look_often && still_fails(&less, kind, t))
		*q = less;
}

void shrink(struct sequence *q, enum verdict kind, struct trial *t)
{
	u32 before;

	find_patience(q, kind);
	do {
		before = q->nr;
		shrink_steps(q, kind, t);
		shrink_values(q, kind, t);
	} while (q->nr < before);
}
