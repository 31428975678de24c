// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Members one at a time, in the shape of pthreads.
 */
#include <errno.h>
#include <string.h>

#include "internal.h"

int det_create(det_t *member, void *(*fn)(void *arg), void *arg)
{
	struct det_identity identity = {
		.team = DET_NO_TEAM,
		.function = fn,
		.created = __builtin_return_address(0),
	};
	unsigned int slot;
	int error;

	if (det_options.backend != DET_SPACES)
		return det_plain_create(member, fn, arg);
	error = det_child_start(&slot, fn, arg, &identity, DET_FRAME);
	if (!error)
		*member = det_child(slot);
	return error;
}

/* The slot of a member that is there. */
static bool find(det_t member, unsigned int *slot)
{
	*slot = member - DET_FIRST_CHILD;
	return member - DET_FIRST_CHILD < det_state.kids_end && det_kid(*slot)->in_use;
}

static int join(unsigned int slot, unsigned int flags, struct det_result *result,
		uintptr_t frame)
{
	enum det_stop stop;
	int error;

	memset(result, 0, sizeof(*result));
	result->child = det_child(slot);
	result->flags = flags;
	stop = det_child_await(slot, &result->status);
	if (stop == DET_STOP_FAILED)
		det_fail_too();
	if (stop != DET_STOP_ENDED)
		error = DET_ESTOPPED;
	else
		error = det_child_merge(slot, flags, result, frame);
	if (!error) {
		result->value = det_kid(slot)->note.value;
		det_child_end(slot);
		det_malloc_settle();
	}
	result->error = error;
	return error;
}

int det_join_with(det_t member, unsigned int flags, struct det_result *result)
{
	struct det_result unwanted;
	unsigned int slot;

	if (!result)
		result = &unwanted;
	memset(result, 0, sizeof(*result));
	result->child = member;
	result->error = ESRCH;
	if (det_options.backend != DET_SPACES)
		return result->error = det_plain_join(member, &result->value);
	if (!find(member, &slot))
		return ESRCH;
	return join(slot, flags, result, DET_FRAME);
}

int det_join(det_t member, void **value)
{
	struct det_result result;
	unsigned int slot;
	int error;

	if (det_options.backend != DET_SPACES)
		return det_plain_join(member, value);
	if (!find(member, &slot))
		return ESRCH;
	error = join(slot, det_state.flags, &result, DET_FRAME);
	if (error && det_state.policy != DET_FAIL) {
		if (error == DET_ECONFLICT)
			det_fail_conflict(slot, DET_STOP_ENDED, &result);
		if (error == DET_ESTOPPED)
			det_fail_stop(slot, &result.status);
		det_fail_error(slot, error);
	}
	if (!error && value)
		*value = result.value;
	return error;
}

int det_discard(det_t member)
{
	struct det_status status;
	unsigned int slot;

	/* What has been done can not be undone there. */
	if (det_options.backend != DET_SPACES)
		return det_plain_join(member, NULL);
	if (!find(member, &slot))
		return ESRCH;
	det_child_await(slot, &status);
	det_child_discard(slot, true);
	return 0;
}

void det_exit(void *value)
{
	if (det_options.backend != DET_SPACES)
		det_plain_exit(value);
	if (det_state.level == 0)
		det_misuse("det_exit() outside of a member");
	/* Nobody can join them any more. */
	while (det_state.kids_end)
		det_discard(det_child(det_state.kids_end - 1));
	det_run_destructors();
	det_heap_trim();
	det_state.note.value = value;
	det_state.note.has_heap = det_heap_is_used();
	det_output_note(det_state.note.printed);
	for (;;)
		det_stop_here(DET_STOP_ENDED, NULL);
}

int det_on_conflict(enum det_policy policy, unsigned int granule)
{
	unsigned int flags;

	switch (granule) {
	case 1:
		flags = DET_MERGE_GRANULE_1;
		break;
	case 2:
		flags = DET_MERGE_GRANULE_2;
		break;
	case 4:
		flags = DET_MERGE_GRANULE_4;
		break;
	case 8:
		flags = DET_MERGE_GRANULE_8;
		break;
	default:
		return EINVAL;
	}
	switch (policy) {
	case DET_KEEP:
		flags |= DET_MERGE_KEEP;
		break;
	case DET_TAKE:
		flags |= DET_MERGE_TAKE;
		break;
	case DET_REPORT:
	case DET_FAIL:
		break;
	default:
		return EINVAL;
	}
	det_state.policy = policy;
	det_state.flags = flags;
	return 0;
}
