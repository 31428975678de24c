/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Parallel programs whose result depends on their input and on nothing else.
 *
 *	static void square(long i, void *arg)
 *	{
 *		double *v = arg;
 *
 *		v[i] *= v[i];
 *	}
 *	...
 *	det_for(4, 0, N, square, v);	// 4 members; v has changed when it returns
 *
 * A member starts with a copy of all of its creator's memory, sees nothing of what
 * others do meanwhile, and its changes appear in the creator's memory when it is
 * joined. Two that change the same byte are in conflict, in every run, which is
 * reported and ends the program unless told otherwise.
 *
 * Shared in this way: static data, the heap, memory of mmap(), and the creator's stack as
 * of the call. A member's own: its stack, thread-local data (as in a new thread), and what
 * the C library keeps for itself. A member makes no system call; malloc() and printf() make
 * none, and what it prints appears at its join.
 *
 * Functions for members return 0 or an error number, as those of pthreads. One thread
 * of a process at a time may be in this library, but for malloc() and its kin.
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

/* The calls as the kernel has them: -1 and errno. See dput(2), dget(2), dret(2). */
long dput(uint64_t child, const struct det_args *args, size_t size);
long dget(uint64_t child, const struct det_args *args, size_t size);
long dret(uint64_t value);

/* The version of the kernel's interface; -1 and ENOSYS on a kernel without it. */
int det_version(void);

/*
 * Can there be members? 0, or ENOSYS: the kernel has no spaces; EPERM: the switch
 * kernel.deterministic or a filter forbids them.
 */
int det_available(void);

/* Members: one at a time. */

/*
 * As child of dput() and dget() it is the number of the member's space. Once the member is
 * joined or discarded, a later one may have it.
 */
typedef uint64_t det_t;

/*
 * Makes a member that runs @fn(@arg).
 *
 * EAGAIN, ENOMEM: no more processes or memory. ENOSPC, ELOOP: more than 65,536 members at
 * a time, or deeper than 128. EOPNOTSUPP: memory that no space may have, such as that of
 * hugetlbfs. ENOSYS, EPERM: as det_available(); a line that says why ends
 * the program, but for DET_FAIL.
 */
int det_create(det_t *member, void *(*fn)(void *arg), void *arg);

/*
 * Waits until @member ends, merges what it has changed into the caller's memory, and
 * prints what it has printed. @value, if not NULL, gets what @fn has returned.
 *
 * A conflict is handled as det_on_conflict() says. ESRCH: no such member, or it has
 * been joined. DET_ESTOPPED, only with DET_FAIL: it has faulted, made a system call or
 * was killed; it is still there, for dget() to look at, or for det_discard().
 */
int det_join(det_t member, void **value);

/*
 * Waits until @member ends, prints what it has printed, and throws its work away. It
 * may have ended in any way.
 */
int det_discard(det_t member);

/* Ends the member that calls it; det_join() gives @value. */
void det_exit(void *value) __attribute__((noreturn));

/* The error of a member that did not end by itself; of one in conflict. */
#define DET_ESTOPPED	ECANCELED
/* DET_ECONFLICT is in <linux/deterministic.h>. */

enum det_policy {
	DET_REPORT,		/* say which variable, and end with status 66 */
	DET_KEEP,		/* what the caller has stays */
	DET_TAKE,		/* what the member wrote wins */
	DET_FAIL,		/* nothing is merged, the error is returned */
};

/*
 * What becomes of conflicts from now on, and in members that are made from now on.
 * @granule: writes to the same 1, 2, 4 or 8 aligned bytes conflict. EINVAL.
 */
int det_on_conflict(enum det_policy policy, unsigned int granule);

/* The exit status of a program that is ended by a report. */
#define DET_EXIT_STATUS		66

#define DET_RESULT_RANGES	64

/**
 * struct det_result - what came of a join
 * @child: which member
 * @error: 0, or what det_join_with() has returned
 * @flags: as given to it
 * @value: what the member's function has returned
 * @status: from the kernel: how the space stopped, conflicts
 * @ranges: where the first conflicts are; status.nr_ranges of them
 */
struct det_result {
	det_t child;
	int error;
	unsigned int flags;
	void *value;
	struct det_status status;
	struct det_range ranges[DET_RESULT_RANGES];
};

/*
 * det_join() that tells all and decides nothing. @flags are of DET_MERGE_*: what to do
 * about a conflict, and the granule. After an error nothing has been merged and the
 * member is still there. @result may be NULL.
 */
int det_join_with(det_t member, unsigned int flags, struct det_result *result);

/*
 * Writes what @result says, names before numbers: nothing in it depends on where the
 * program was loaded. A line for each variable in conflict.
 */
void det_report(const struct det_result *result, FILE *to);

/* Teams: many at a time. The number of members is the program's, never the machine's. */

/*
 * Makes @n members that each run @fn(@arg), and joins them in the order of their
 * numbers. They can have barriers and collectives. EINVAL: @n is 0. EAGAIN, ENOSYS,
 * EPERM: as det_create(); nothing has been done then.
 */
int det_parallel(unsigned int n, void (*fn)(void *arg), void *arg);

/* Of @n members each runs fn(i, @arg) for its share of @low <= i < @high, in order. */
int det_for(unsigned int n, long low, long high, void (*fn)(long i, void *arg),
	    void *arg);

/* Each gets its share as a whole: fn(from, to, @arg) for @from <= i < @to. */
int det_for_range(unsigned int n, long low, long high,
		  void (*fn)(long from, long to, void *arg), void *arg);

/* A member's number in its team, from 0; and how many there are. Else 0 and 1. */
unsigned int det_id(void);
unsigned int det_size(void);

/*
 * Waits until all of the team are here; then each has all that any of them has changed.
 * A conflict ends the program, unless the policy decides it. So does a member that
 * ends, or does something else, while another waits.
 */
void det_barrier(void);

/*
 * Collectives: each member gives a value, each gets the result; memory is not merged.
 * Values are combined in the order of the members' numbers, so that sums of floating
 * point are the same in every run.
 */
double det_sum(double x);
double det_min(double x);
double det_max(double x);
int64_t det_sum_int(int64_t x);
int64_t det_min_int(int64_t x);
int64_t det_max_int(int64_t x);

/* *@into becomes @into combined with @from, which has the higher number. No system call. */
typedef void (*det_combine_fn)(void *into, const void *from);

/* @value, of @size bytes, at most 4096, becomes the result. EINVAL: @size. */
int det_reduce(void *value, size_t size, det_combine_fn combine);
/* As well, but of members 0 to the caller alone. */
int det_scan(void *value, size_t size, det_combine_fn combine);
/* @value becomes that of member @root. */
int det_bcast(void *value, size_t size, unsigned int root);

#ifdef __cplusplus
}
#endif

#endif /* DET_H */
