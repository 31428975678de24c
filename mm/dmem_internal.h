/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory operations on another task's address space: what COPY (dmem.c) and
 * snapshots and MERGE (dmem_image.c) share.
 */
#ifndef _MM_DMEM_INTERNAL_H
#define _MM_DMEM_INTERNAL_H

#include <linux/highmem.h>
#include <linux/list.h>
#include <linux/mm.h>

#include "dmem_merge.h"

/*
 * Pages with references: what is to be written once every page is there.
 */

struct dmem_page {
	struct page *dst;		/* pinned for write */
	struct page *src;		/* NULL: zeros */
	struct page *snap;		/* NULL: zeros */
	unsigned int from, to;		/* bytes of dst */
	unsigned int src_from;
	bool merge;
	struct dmem_rules rules;
};

#define DMEM_BATCH	56

struct dmem_batch {
	struct list_head list;
	unsigned int nr;
	struct dmem_page page[DMEM_BATCH];
};

struct dmem_page *dmem_batch_slot(struct list_head *batches);
void dmem_batch_unslot(struct list_head *batches);
void dmem_batches_drop(struct list_head *batches);
unsigned long dmem_batches_write(struct list_head *batches);

struct page *dmem_get_page(struct mm_struct *mm, unsigned long addr,
			   unsigned int flags);
struct page *dmem_pin_page(struct mm_struct *mm, unsigned long addr,
			   unsigned int flags);
int dmem_fork_vma(struct mm_struct *mm, struct vm_area_struct *svma,
		  unsigned long start, unsigned long end, bool wipe,
		  struct vm_area_struct **vma);

/* No page: zeros. */
static inline void *dmem_map(struct page *page)
{
	return kmap_local_page(page ?: ZERO_PAGE(0));
}

/*
 * Scan: which pages of an address space differ from those of its snapshot,
 * or, without one, which are there.
 */

#define DMEM_SCAN	64
#define DMEM_NO_PAGE	1UL	/* the space has none there: zeros */
#define DMEM_NO_SNAP	2UL	/* the snapshot has none */

struct dmem_scan {
	struct mm_struct *mm;
	struct mm_struct *image;
	unsigned long addr;		/* where to go on */
	unsigned long end;
	unsigned int nr;
	unsigned long found[DMEM_SCAN];	/* page address | DMEM_NO_* */
};

int dmem_scan(struct dmem_scan *s);

#endif /* _MM_DMEM_INTERNAL_H */
