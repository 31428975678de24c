// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The three calls, as functions.
 */
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

long dput(uint64_t child, const struct det_args *args, size_t size)
{
	/* A member's own spaces end with its space, which is not kept then. */
	if (child != DET_SELF && child - DET_FIRST_CHILD >= DET_MAX_CHILDREN)
		det_state.note.has_spaces = true;
	return syscall(__NR_dput, child, args, size);
}

long dget(uint64_t child, const struct det_args *args, size_t size)
{
	return syscall(__NR_dget, child, args, size);
}

long dret(uint64_t value)
{
	return syscall(__NR_dret, value);
}

int det_version(void)
{
	return dput(0, NULL, 0);
}
