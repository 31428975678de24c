// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Teams: members that begin together, meet at barriers and end together. Their creator
 * sits in det_parallel() meanwhile, and does for them what they do in common.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* What the members are to run; in the creator's frame, each has a copy. */
struct team {
	void (*fn)(void *arg);
	void *arg;
};

DET_BOTTOM
static void *run(void *arg)
{
	const struct team *team = arg;

	team->fn(team->arg);
	return NULL;
}

/* What all do next. They have to agree: a barrier is for all of the team. */
static enum det_stop await_all(const unsigned int *slot, unsigned int n)
{
	enum det_stop first = 0, stop;
	struct det_status status;

	for (unsigned int i = 0; i < n; i++) {
		stop = det_child_await(slot[i], &status);
		if (stop == DET_STOP_FAILED)
			det_fail_too();
		if (!stop)
			det_fail_stop(slot[i], &status);
		if (i == 0)
			first = stop;
		else if (stop != first)
			det_fail_barrier(slot[0], slot[i]);
	}
	return first;
}

static void merge_all(const unsigned int *slot, unsigned int n, enum det_stop stop,
		      uintptr_t frame)
{
	struct det_result result;

	for (unsigned int i = 0; i < n; i++) {
		int error;

		memset(&result, 0, sizeof(result));
		error = det_child_merge(slot[i], det_state.flags, &result, frame);
		if (error == DET_ECONFLICT)
			det_fail_conflict(slot[i], stop, &result);
		if (error)
			det_fail_error(slot[i], error);
		if (stop == DET_STOP_ENDED)
			det_child_end(slot[i]);
	}
	if (stop == DET_STOP_ENDED)
		det_malloc_settle();
}

/* Each goes on with what all have written. */
static void restart_all(const unsigned int *slot, unsigned int n, uintptr_t frame)
{
	int nr = det_copy_ops(det_state.copy, frame);
	struct det_args args = {
		.flags = DET_SNAP | DET_START,
		.ops = (uintptr_t)det_state.copy,
		.nr_ops = nr,
		.op_size = sizeof(det_state.copy[0]),
	};

	if (nr < 0)
		det_fail_error(slot[0], -nr);
	for (unsigned int i = 0; i < n; i++)
		if (det_child_put(slot[i], &args) < 0)
			det_fail_error(slot[i], errno);
}

static int start_all(unsigned int *slot, unsigned int n, struct team *team,
		     struct det_identity *identity, uintptr_t frame)
{
	for (unsigned int i = 0; i < n; i++) {
		int error;

		identity->id = i;
		error = det_child_start(&slot[i], run, team, identity, frame);
		if (!error)
			continue;
		/* What has begun counts for nothing. */
		while (i-- > 0) {
			struct det_status status;

			det_child_await(slot[i], &status);
			det_child_discard(slot[i], false);
		}
		return error;
	}
	return 0;
}

static int parallel(unsigned int n, struct team *team, const void *function,
		    const void *created, uintptr_t frame)
{
	struct det_identity identity = {
		.team = n, .function = function, .created = created,
	};
	unsigned int *slot;
	enum det_stop stop;
	int error;

	if (det_options.backend != DET_SPACES)
		return det_plain_parallel(n, run, team);
	if (n == 0)
		return EINVAL;
	slot = malloc(n * sizeof(*slot));
	if (!slot)
		return EAGAIN;
	error = start_all(slot, n, team, &identity, frame);
	while (!error) {
		stop = await_all(slot, n);
		if (stop == DET_STOP_COLLECTIVE) {
			det_collect(slot, n);
			continue;
		}
		merge_all(slot, n, stop, frame);
		if (stop == DET_STOP_ENDED)
			break;
		restart_all(slot, n, frame);
	}
	free(slot);
	return error;
}

int det_parallel(unsigned int n, void (*fn)(void *arg), void *arg)
{
	struct team team = { .fn = fn, .arg = arg };

	return parallel(n, &team, fn, __builtin_return_address(0), DET_FRAME);
}

struct loop {
	long low, high;
	void (*each)(long i, void *arg);
	void (*range)(long from, long to, void *arg);
	void *arg;
};

/* Where member @id's share begins: shares differ by one at most. */
static long share(const struct loop *loop, unsigned long id)
{
	unsigned long n = det_size(), all = loop->high - loop->low;

	return loop->low + all / n * id + all % n * id / n;
}

DET_BOTTOM
static void run_loop(void *arg)
{
	const struct loop *loop = arg;
	long from = share(loop, det_id()), to = share(loop, det_id() + 1);

	if (loop->range) {
		loop->range(from, to, loop->arg);
		return;
	}
	for (long i = from; i < to; i++)
		loop->each(i, loop->arg);
}

int det_for(unsigned int n, long low, long high, void (*fn)(long i, void *arg),
	    void *arg)
{
	struct loop loop = {
		.low = low, .high = high < low ? low : high, .each = fn, .arg = arg,
	};
	struct team team = { .fn = run_loop, .arg = &loop };

	return parallel(n, &team, fn, __builtin_return_address(0), DET_FRAME);
}

int det_for_range(unsigned int n, long low, long high,
		  void (*fn)(long from, long to, void *arg), void *arg)
{
	struct loop loop = {
		.low = low, .high = high < low ? low : high, .range = fn, .arg = arg,
	};
	struct team team = { .fn = run_loop, .arg = &loop };

	return parallel(n, &team, fn, __builtin_return_address(0), DET_FRAME);
}

unsigned int det_id(void)
{
	if (det_options.backend != DET_SPACES)
		return det_plain_id();
	return det_state.me.id;
}

unsigned int det_size(void)
{
	if (det_options.backend != DET_SPACES)
		return det_plain_size();
	return det_state.me.team == DET_NO_TEAM ? 1 : det_state.me.team;
}

void det_barrier(void)
{
	if (det_options.backend != DET_SPACES)
		det_plain_barrier();
	else if (det_state.me.team != DET_NO_TEAM)
		det_stop_here(DET_STOP_BARRIER, __builtin_return_address(0));
}
