// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Destructors of thread-local data (C++): a member runs those that it has registered
 * itself, when it ends. Its copy of the C library's list has its creator's.
 */
#include <stdlib.h>

#include "internal.h"

struct destructor {
	struct destructor *next;
	void (*function)(void *object);
	void *object;
};

static DET_PRIVATE struct destructor *first;
static DET_PRIVATE unsigned int whose;		/* level */

/* In place of libstdc++'s, which compiled programs call. */
int __cxa_thread_atexit(void (*function)(void *object), void *object, void *dso)
{
	struct destructor *d;

	if (det_state.level == 0)
		return __cxa_thread_atexit_impl(function, object, dso);
	if (whose != det_state.level)
		first = NULL;
	whose = det_state.level;
	d = malloc(sizeof(*d));
	if (!d)
		return -1;
	*d = (struct destructor){ first, function, object };
	first = d;
	return 0;
}

void det_run_destructors(void)
{
	while (whose == det_state.level && first) {
		struct destructor *d = first;

		first = d->next;
		d->function(d->object);
		free(d);
	}
}
