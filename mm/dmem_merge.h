/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The merge of one page: what a child changed since its snapshot goes to the
 * caller, and what both changed is a conflict.
 *
 * Three buffers in, bytes and a verdict out. Nothing here knows an mm or a
 * task, allocates or sleeps, so KUnit and a user-space fuzzer
 * (tools/testing/dmem) run the very same code.
 */
#ifndef _MM_DMEM_MERGE_H
#define _MM_DMEM_MERGE_H

#include <linux/types.h>

/**
 * enum dmem_policy - what becomes of a granule that both sides changed
 * @DMEM_REPORT: nothing is merged; the user of this code looks first, and does
 *		 not write when there is a conflict
 * @DMEM_KEEP: it stays the caller's
 * @DMEM_TAKE: it becomes the child's
 */
enum dmem_policy {
	DMEM_REPORT,
	DMEM_KEEP,
	DMEM_TAKE,
};

/**
 * struct dmem_rules - how a range is merged
 * @granule: 1, 2, 4 or 8: bytes, aligned in the page, that conflict as one
 * @policy: what a conflict does
 */
struct dmem_rules {
	unsigned int granule;
	enum dmem_policy policy;
};

unsigned int dmem_page_changed(const void *child, const void *snap,
			       unsigned int from, unsigned int to);
unsigned int dmem_page_changed_end(const void *child, const void *snap,
				   unsigned int from, unsigned int to);
bool dmem_page_conflict(const void *child, const void *snap,
			const void *caller, unsigned int from, unsigned int to,
			const struct dmem_rules *rules, unsigned int *start,
			unsigned int *end);
unsigned int dmem_page_merge(void *caller, const void *child, const void *snap,
			     unsigned int from, unsigned int to,
			     const struct dmem_rules *rules);

/**
 * dmem_byte_mask() - which bytes of a word are not zero
 * @diff: any word
 *
 * No carry leaves a byte: its low seven bits plus 0x7f reach the top bit
 * exactly if one of them is set, and the top bit itself is or'ed in.
 *
 * Return: 0xff in each byte that is not zero in @diff, 0 elsewhere.
 */
static inline u64 dmem_byte_mask(u64 diff)
{
	const u64 low = 0x7f7f7f7f7f7f7f7fULL;
	u64 top = (((diff & low) + low) | diff) & ~low;

	return (top >> 7) * 0xff;
}

/**
 * dmem_granule_mask() - widen a byte mask to granules
 * @bytes: 0xff or 0 in each byte
 * @granule: 1, 2, 4 or 8
 *
 * Return: 0xff in all bytes of each granule that has one in @bytes.
 */
static inline u64 dmem_granule_mask(u64 bytes, unsigned int granule)
{
	const u64 even = 0x00ff00ff00ff00ffULL, half = 0x0000ffff0000ffffULL;

	if (granule >= 2)
		bytes |= ((bytes >> 8) & even) | ((bytes & even) << 8);
	if (granule >= 4)
		bytes |= ((bytes >> 16) & half) | ((bytes & half) << 16);
	if (granule >= 8)
		bytes |= (bytes >> 32) | (bytes << 32);
	return bytes;
}

#endif /* _MM_DMEM_MERGE_H */
