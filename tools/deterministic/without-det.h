/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Given to the compiler before a program's files, this is in place of det.h: the program
 * without the library, as ThreadSanitizer does not go with its heap. There are threads,
 * processes and the sequential program, but no spaces.
 */
#define DET_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>

#include <linux/deterministic.h>

#define NO_SPACES	ENOTSUP

typedef uint64_t det_t;

struct det_result {
	int error;
};

static inline int det_create(det_t *member, void *(*fn)(void *), void *arg)
{
	(void)fn;
	(void)arg;
	*member = 0;
	return NO_SPACES;
}

static inline int det_join_with(det_t member, unsigned int flags, struct det_result *result)
{
	(void)member;
	(void)flags;
	result->error = NO_SPACES;
	return NO_SPACES;
}

static inline int det_discard(det_t member)
{
	(void)member;
	return NO_SPACES;
}

static inline void det_report(const struct det_result *result, FILE *to)
{
	(void)result;
	(void)to;
}
