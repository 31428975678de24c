/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Deterministic spaces for C programs: the three calls, and fork and join.
 *
 *	static void work(void *arg)
 *	{
 *		x = ...;			// no system call in here
 *	}
 *	...
 *	det_fork(1, work, arg);			// has a copy of all our memory
 *	det_join(1, 0, &result);		// now x has changed here as well
 *
 * Functions that can fail return -1 and set errno. One thread of a program at
 * a time may be in this library.
 */
#ifndef DET_H
#define DET_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <linux/deterministic.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The calls as the kernel has them; see dput(2), dget(2) and dret(2). */
long dput(uint64_t child, const struct det_args *args, size_t size);
long dget(uint64_t child, const struct det_args *args, size_t size);
long dret(uint64_t value);

/* The error of det_join() for a child that did not stop with dret(). */
#define DET_ESTOPPED	ECANCELED

#define DET_RESULT_RANGES	64

/**
 * struct det_result - what came of a join
 * @child: which child
 * @error: 0, or what det_join() left in errno
 * @flags: as given to det_join()
 * @status: from the kernel: how the child stopped, conflicts
 * @ranges: where the first conflicts are; status.nr_ranges of them
 */
struct det_result {
	__u64 child;
	int error;
	unsigned int flags;
	struct det_status status;
	struct det_range ranges[DET_RESULT_RANGES];
};

/* The version of the kernel's interface; ENOSYS on a kernel without it. */
int det_version(void);

/*
 * Makes space @child as a copy of the caller, remembers what it looks like,
 * and lets it run: @work(@arg), then dret(0). What @child was before is lost.
 */
int det_fork(uint64_t child, void (*work)(void *arg), void *arg);

/*
 * Waits for @child to stop and merges what it has changed into the caller's
 * memory: all that was private and writable at the last det_fork(), but for
 * stacks, thread-local data and the C library's own. Then @child is gone.
 *
 * @flags are of DET_MERGE_*: what to do about a conflict, and the granule.
 * @result may be NULL.
 *
 * Errors: DET_ECONFLICT, both have changed the same bytes; DET_ESTOPPED, the
 * child has faulted or made a system call; those of dget(2). After an error
 * the caller's memory is as it was, and @child is still there.
 */
int det_join(uint64_t child, unsigned int flags, struct det_result *result);

/* Throws @child away with all that it has done. */
int det_discard(uint64_t child);

/*
 * Writes what @result says, names before numbers: nothing in it depends on
 * where the program was loaded. A line for each variable in conflict.
 */
void det_report(const struct det_result *result, FILE *to);

#ifdef __cplusplus
}
#endif

#endif /* DET_H */
