// SPDX-License-Identifier: GPL-2.0-only
/*
 * The meaning of MERGE for one page, as simple and slow as it can be said. It
 * shares no code and no idea with mm/dmem_merge.c.
 */
#include "oracle.h"

static bool in_range(const struct merge_case *mc, unsigned int i)
{
	return i >= mc->from && i < mc->to;
}

static bool child_changed(const struct merge_case *mc, unsigned int i)
{
	return in_range(mc, i) && mc->child[i] != mc->snap[i];
}

static bool caller_changed(const struct merge_case *mc, unsigned int i)
{
	return in_range(mc, i) && mc->caller[i] != mc->snap[i];
}

/* Did both sides change something in the granule of byte @i? */
static bool granule_conflicts(const struct merge_case *mc, unsigned int i)
{
	unsigned int first = i - i % mc->rules.granule;
	bool child = false, caller = false;
	unsigned int j;

	for (j = first; j < first + mc->rules.granule; j++) {
		if (child_changed(mc, j))
			child = true;
		if (caller_changed(mc, j))
			caller = true;
	}
	return child && caller;
}

static u8 merged_byte(const struct merge_case *mc, unsigned int i, bool conflict)
{
	if (!in_range(mc, i))
		return mc->caller[i];
	if (conflict)
		return mc->rules.policy == DMEM_TAKE ? mc->child[i] : mc->caller[i];
	if (child_changed(mc, i))
		return mc->child[i];
	return mc->caller[i];
}

/**
 * oracle() - what the merge of a case should give
 * @mc: the case
 * @v: filled in
 */
void oracle(const struct merge_case *mc, struct verdict *v)
{
	unsigned int i;

	v->first_change = mc->to;
	v->nr_changed = 0;
	for (i = mc->size; i-- > 0; ) {
		v->conflict[i] = in_range(mc, i) && granule_conflicts(mc, i);
		v->result[i] = merged_byte(mc, i, v->conflict[i]);
		if (child_changed(mc, i))
			v->first_change = i;
		if (v->result[i] != mc->caller[i])
			v->nr_changed++;
	}
}
