/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The merge as the reference manual has it, on plain arrays.
 */
#ifndef __SURVIVAL_MODEL_H
#define __SURVIVAL_MODEL_H

#include "child.h"

/* A page of a child: at its snapshot, and when it stopped. */
struct pair {
	unsigned char snap[PAGE];
	unsigned char now[PAGE];
};

/**
 * model_conflicts() - bytes in conflict
 * @pair: the child's page
 * @caller: the caller's
 * @flags: DET_MERGE_*
 * @first: the first of them, if there is one
 */
unsigned int model_conflicts(const struct pair *pair,
			     const unsigned char *caller, __u32 flags,
			     unsigned int *first);

/* The caller's page after the merge of a page that may be merged. */
void model_merge(const struct pair *pair, unsigned char *caller, __u32 flags);

/* A place that the child has changed, at or after @from; PAGE: there is none. */
unsigned int model_changed(const struct pair *pair, unsigned int from);

#endif /* __SURVIVAL_MODEL_H */
