/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Kinds of memory that a master's arena can be, where what is copied to a
 * space comes from. What spaces are refused is in refused.c.
 */
#ifndef __SURVIVAL_SOURCE_H
#define __SURVIVAL_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

/**
 * struct source - one kind of memory
 * @name: as the command line has it
 * @what: one line for people
 * @map: maps @size bytes (whole pages) that the caller may read and write; what
 *	they hold is not known. @child is a number that tells arenas apart. NULL,
 *	after a message, where the machine lacks it. It is never unmapped
 * @churn: called by the master between rounds, with @mem as @map returned it:
 *	does to the memory what may be done to this kind. The bytes that the
 *	master sees stay the same; one that does not stay so, or that a pinned
 *	page does not have, ends the program. May be NULL
 * @bytes: some of it is shared, and is copied as bytes: the child must have
 *	the range mapped writable before (ZERO). Its copies of what is private
 *	replace that
 */
struct source {
	const char *name;
	const char *what;
	void *(*map)(size_t size, int child, unsigned long long *random);
	void (*churn)(void *mem, size_t size, unsigned long long *random);
	bool bytes;
};

/* NULL, after a list of the names that there are, for an unknown one. */
const struct source *find_source(const char *name);

#endif /* __SURVIVAL_SOURCE_H */
