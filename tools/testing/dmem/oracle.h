/* SPDX-License-Identifier: GPL-2.0-only */
/* What a merge should give, said byte by byte: see oracle.c. */
#ifndef _DMEM_ORACLE_H
#define _DMEM_ORACLE_H

#include "dmem_merge.h"

#define MAX_SIZE	4096u

/**
 * struct merge_case - three pages, a range in them, and the rules
 * @child: the child's page
 * @snap: the page as it was at the snapshot
 * @caller: the caller's page before the merge
 * @size: bytes in each
 * @from: first byte that is merged
 * @to: behind the last one
 * @rules: granule and policy
 */
struct merge_case {
	u8 *child, *snap, *caller;
	unsigned int size, from, to;
	struct dmem_rules rules;
};

/**
 * struct verdict - what the merge of a case gives
 * @conflict: for each byte, whether it is part of a conflict
 * @result: the caller's page after the merge
 * @first_change: the first changed byte of the child in the range, or its end
 * @nr_changed: bytes of the caller with another value than before
 */
struct verdict {
	bool conflict[MAX_SIZE];
	u8 result[MAX_SIZE];
	unsigned int first_change, nr_changed;
};

void oracle(const struct merge_case *mc, struct verdict *v);

#endif
