// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Collectives: a member leaves its value in its own memory and stops; its creator reads
 * the values in the order of the members, combines them, and writes the results back.
 */
#include <errno.h>
#include <string.h>

#include "internal.h"

enum { REDUCE = 1, SCAN, BCAST };

/* Of the creator: one member's wish, and what has come of those before it. */
static DET_PRIVATE struct det_collective wish;
static union {
	char bytes[DET_COLLECTIVE_MAX];
	max_align_t align;
} sum DET_PRIVATE;

static void read_wish(unsigned int slot)
{
	const struct det_collective *from = &det_state.collective;
	int error;

	det_state.reading = det_child(slot);
	error = det_read_child(&wish, (uintptr_t)from,
			       offsetof(struct det_collective, value));
	if (!error)
		error = det_read_child(wish.value, (uintptr_t)from->value, wish.size);
	if (error)
		det_fail_error(slot, error);
}

/* Its result, if @go it goes on. */
static void answer(unsigned int slot, const void *result, size_t size)
{
	struct det_op op = {
		.op = DET_COPY,
		.caller = (uintptr_t)result,
		.child = (uintptr_t)det_state.collective.value,
		.len = size,
	};
	struct det_args args = {
		.flags = DET_START,
		.ops = (uintptr_t)&op, .nr_ops = 1, .op_size = sizeof(op),
	};

	if (det_child_put(slot, &args) < 0)
		det_fail_error(slot, errno);
}

static void check_same(const struct det_collective *first)
{
	if (wish.what != first->what || wish.size != first->size ||
	    wish.combine != first->combine || wish.root != first->root)
		det_misuse("members of a team have different collectives");
}

void det_collect(const unsigned int *slot, unsigned int n)
{
	struct det_collective first;
	unsigned int i;

	read_wish(slot[0]);
	memcpy(&first, &wish, offsetof(struct det_collective, value));
	for (i = 0; i < n; i++) {
		read_wish(slot[i]);
		check_same(&first);
		if (i == 0 || (first.what == BCAST && i == first.root))
			memcpy(sum.bytes, wish.value, first.size);
		else if (first.what != BCAST)
			first.combine(sum.bytes, wish.value);
		if (first.what == SCAN)
			answer(slot[i], sum.bytes, first.size);
	}
	for (i = 0; i < n && first.what != SCAN; i++)
		answer(slot[i], sum.bytes, first.size);
}

static int collective(unsigned int what, void *value, size_t size,
		      unsigned int root, det_combine_fn combine, const void *caller)
{
	struct det_collective *mine = &det_state.collective;

	if (size > DET_COLLECTIVE_MAX || root >= det_size())
		return EINVAL;
	if (det_options.backend != DET_SPACES) {
		det_plain_collective(value, size, combine,
				     what == BCAST ? root : 0,
				     what == BCAST ? root :
				     what == SCAN ? det_id() : det_size() - 1);
		return 0;
	}
	if (det_state.me.team == DET_NO_TEAM)
		return 0;
	mine->what = what;
	mine->size = size;
	mine->root = root;
	mine->combine = combine;
	memcpy(mine->value, value, size);
	det_stop_here(DET_STOP_COLLECTIVE, caller);
	memcpy(value, mine->value, size);
	return 0;
}

int det_reduce(void *value, size_t size, det_combine_fn combine)
{
	return collective(REDUCE, value, size, 0, combine, __builtin_return_address(0));
}

int det_scan(void *value, size_t size, det_combine_fn combine)
{
	return collective(SCAN, value, size, 0, combine, __builtin_return_address(0));
}

int det_bcast(void *value, size_t size, unsigned int root)
{
	return collective(BCAST, value, size, root, NULL, __builtin_return_address(0));
}

#define COMBINE(name, type, expression)					\
static void combine_##name(void *into, const void *from)		\
{									\
	type a = *(type *)into, b = *(const type *)from;		\
									\
	*(type *)into = expression;					\
}									\
									\
type det_##name(type x)							\
{									\
	collective(REDUCE, &x, sizeof(x), 0, combine_##name,		\
		   __builtin_return_address(0));			\
	return x;							\
}

COMBINE(sum, double, a + b)
COMBINE(min, double, b < a ? b : a)
COMBINE(max, double, b > a ? b : a)
COMBINE(sum_int, int64_t, (int64_t)((uint64_t)a + (uint64_t)b))
COMBINE(min_int, int64_t, b < a ? b : a)
COMBINE(max_int, int64_t, b > a ? b : a)
