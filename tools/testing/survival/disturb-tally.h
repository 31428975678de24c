/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a disturbance keeps in memory shared by survive and the process that
 * disturbs: how often it did something, and the first thing that went wrong.
 */
#ifndef __SURVIVAL_DISTURB_TALLY_H
#define __SURVIVAL_DISTURB_TALLY_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>

struct tally {
	unsigned long did;
	unsigned long bad;
	char first[160];
};

/* One for each of a file's rows; once, before anybody is forked. */
static inline struct tally *tally_new(unsigned int rows)
{
	void *mem = mmap(NULL, rows * sizeof(struct tally),
			 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			 -1, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

static inline unsigned long tally_did(struct tally *t, unsigned long times)
{
	__atomic_fetch_add(&t->did, times, __ATOMIC_RELAXED);
	return times;
}

static inline void __attribute__((format(printf, 2, 3)))
tally_bad(struct tally *t, const char *format, ...)
{
	va_list args;

	if (__atomic_fetch_add(&t->bad, 1, __ATOMIC_RELAXED))
		return;
	va_start(args, format);
	vsnprintf(t->first, sizeof(t->first), format, args);
	va_end(args);
}

/* What a row's @done answers. */
static inline unsigned long tally_verdict(const char *name,
					  const struct tally *t)
{
	if (!t->bad)
		return t->did;
	fprintf(stderr, "%s: %lu times wrong, first: %s\n", name, t->bad,
		t->first);
	return 0;
}

#endif /* __SURVIVAL_DISTURB_TALLY_H */
