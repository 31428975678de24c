// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Fork and join: a whole fork is one dput, a whole join is one dget.
 */
#include <errno.h>
#include <string.h>

#include "internal.h"

/*
 * For all that the compiler knows, work() may be called here, and what it can
 * reach may change. Else it would read old values of memory that has been
 * merged into, and think that what a child writes is of no use to anybody.
 */
static void anything_can_change(void (*work)(void *arg), void *arg)
{
	asm volatile("" : : "r" (work), "r" (arg) : "memory");
}

int det_fork(uint64_t child, void (*work)(void *arg), void *arg)
{
	struct det_op copy = { .op = DET_COPY, .flags = DET_COPY_WHOLE };
	struct det_args args = {
		.flags = DET_FORK | DET_SNAP | DET_START,
		.ops = (uintptr_t)&copy,
		.nr_ops = 1,
		.op_size = sizeof(copy),
	};
	long ret;

	/* A space cannot ask what it has mapped, but it has our list. */
	if (!det_state.in_space && det_scan_memory() < 0)
		return -1;
	anything_can_change(work, arg);
	ret = dput(child, &args, sizeof(args));
	if (ret == 0) {
		det_state.in_space = true;
		work(arg);
		/* Started again, it has nothing more to do. */
		for (;;)
			dret(0);
	}
	return ret < 0 ? -1 : 0;
}

/* Waits until the child is at rest, and asks for how it came to that. */
static int wait_for_stop(uint64_t child, struct det_status *status)
{
	struct det_args args = {
		.status = (uintptr_t)status,
		.status_size = sizeof(*status),
	};

	return dget(child, &args, sizeof(args));
}

static int merge(uint64_t child, unsigned int flags, struct det_result *result)
{
	struct det_args args = {
		.ops = (uintptr_t)det_state.op,
		.nr_ops = det_state.nr_merge,
		.op_size = sizeof(det_state.op[0]),
		.status = (uintptr_t)&result->status,
		.status_size = sizeof(result->status),
		.ranges = (uintptr_t)result->ranges,
		.nr_ranges = DET_RESULT_RANGES,
	};

	for (unsigned int i = 0; i < det_state.nr_merge; i++) {
		const struct det_area *area = &det_state.merge[i];

		det_state.op[i] = (struct det_op){
			.op = DET_MERGE,
			.flags = flags,
			.caller = area->start,
			.child = area->start,
			.len = area->end - area->start,
		};
	}
	return dget(child, &args, sizeof(args));
}

int det_join(uint64_t child, unsigned int flags, struct det_result *result)
{
	struct det_result unwanted;
	int ret;

	if (!result)
		result = &unwanted;
	memset(result, 0, sizeof(*result));
	result->child = child;
	result->flags = flags;

	ret = wait_for_stop(child, &result->status);
	if (ret == 0 && result->status.reason != DET_RET) {
		errno = DET_ESTOPPED;
		ret = -1;
	}
	if (ret == 0)
		ret = merge(child, flags, result);
	anything_can_change(NULL, NULL);
	if (ret == 0)
		ret = det_discard(child);
	if (ret < 0)
		result->error = errno;
	return ret;
}

int det_discard(uint64_t child)
{
	struct det_args args = { .flags = DET_KILL };

	return dput(child, &args, sizeof(args));
}
