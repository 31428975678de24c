// SPDX-License-Identifier: GPL-2.0-only
/*
 * A merge of pages, granule by granule, without any of the kernel's cleverness.
 */
#include <linux/deterministic.h>
#include <stdbool.h>
#include <string.h>

#include "model.h"

static unsigned int granule_of(__u32 flags)
{
	return 1U << ((flags & DET_MERGE_GRANULE_MASK) >> 8);
}

/* The next eight bytes that the child has changed, or PAGE. */
static unsigned int next_word(const struct pair *pair, unsigned int at)
{
	const __u64 *snap = (const void *)pair->snap;
	const __u64 *now = (const void *)pair->now;

	for (at /= 8; at < PAGE / 8 && snap[at] == now[at]; at++)
		;
	return at * 8;
}

static bool same(const void *a, const void *b, unsigned int at,
		 unsigned int len)
{
	return !memcmp((const char *)a + at, (const char *)b + at, len);
}

static bool conflicts(const struct pair *pair, const unsigned char *caller,
		      unsigned int at, unsigned int granule)
{
	return !same(pair->snap, pair->now, at, granule) &&
	       !same(pair->snap, caller, at, granule);
}

unsigned int model_conflicts(const struct pair *pair,
			     const unsigned char *caller, __u32 flags,
			     unsigned int *first)
{
	unsigned int granule = granule_of(flags), nr = 0, at, i;

	for (at = next_word(pair, 0); at < PAGE; at = next_word(pair, at + 8))
		for (i = at; i < at + 8; i += granule) {
			if (!conflicts(pair, caller, i, granule))
				continue;
			if (!nr)
				*first = i;
			nr += granule;
		}
	return nr;
}

void model_merge(const struct pair *pair, unsigned char *caller, __u32 flags)
{
	unsigned int granule = granule_of(flags), at, i, b;

	for (at = next_word(pair, 0); at < PAGE; at = next_word(pair, at + 8))
		for (i = at; i < at + 8; i += granule) {
			bool conflict = conflicts(pair, caller, i, granule);

			if (conflict && (flags & DET_MERGE_TAKE))
				memcpy(caller + i, pair->now + i, granule);
			if (conflict)
				continue;
			for (b = i; b < i + granule; b++)
				if (pair->now[b] != pair->snap[b])
					caller[b] = pair->now[b];
		}
}

unsigned int model_changed(const struct pair *pair, unsigned int from)
{
	while (from < PAGE && pair->snap[from] == pair->now[from])
		from++;
	return from;
}
