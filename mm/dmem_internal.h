/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory operations on another task's address space: what COPY (dmem.c), sharing
 * pages (dmem_share.c), looking for pages that differ (dmem_scan.c) and for tables
 * that do not (dmem_touch.c), ZERO and PERM (dmem_map.c), writing bytes
 * (dmem_bytes.c), snapshots and MERGE (dmem_image.c), and pages that a MERGE takes
 * whole (dmem_take.c) share.
 */
#ifndef _MM_DMEM_INTERNAL_H
#define _MM_DMEM_INTERNAL_H

#include <linux/highmem.h>
#include <linux/list.h>
#include <linux/mm.h>

#include "dmem_merge.h"

struct dmem_copy;
struct dmem_merge;

/* An operation failed half way: the range has been unmapped as a whole. */
#define DMEM_BROKEN	(-ENOTRECOVERABLE)

/*
 * Pages with references: what is to be written once every page is there.
 */

struct dmem_page {
	struct page *dst;		/* pinned for write; NULL: nothing to write */
	struct page *src;		/* NULL: zeros */
	struct page *snap;		/* NULL: zeros */
	unsigned int from, to;		/* bytes of dst */
	unsigned int src_from;
	bool merge;
	bool take;			/* src whole, into the caller's page table */
	unsigned long addr;		/* where, if so */
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
bool dmem_refused(struct vm_area_struct *vma);
bool dmem_left_out(struct vm_area_struct *vma);
int dmem_look_bytes(struct list_head *batches, struct dmem_copy *c,
		    unsigned long daddr, unsigned long saddr,
		    unsigned long len, unsigned int flags);

/*
 * Mapping, in any mm whose mmap lock is held for write.
 */

int dmem_unmap(struct mm_struct *mm, unsigned long start, unsigned long end);
bool dmem_zap(struct vm_area_struct *vma, unsigned long start,
	      unsigned long end);
void dmem_forget(struct mm_struct *mm, unsigned long start, unsigned long end);
vm_flags_t dmem_anon_flags(unsigned int prot, bool noreserve);
unsigned int dmem_vma_prot(const struct vm_area_struct *vma);
vm_flags_t dmem_vma_flags(const struct vm_area_struct *vma);
bool dmem_same_flags(const struct vm_area_struct *vma, vm_flags_t flags);
struct vm_area_struct *dmem_cover(struct mm_struct *mm, unsigned long start,
				  unsigned long end);

/* What mappings count against the limits of an address space. */
struct dmem_sum {
	int vmas;
	unsigned long pages;
	unsigned long data;		/* writable */
	unsigned long accounted;	/* against overcommit */
};

void dmem_sum_add(struct dmem_sum *sum, const struct vm_area_struct *vma,
		  vm_flags_t flags, unsigned long start, unsigned long end);
int dmem_room(struct mm_struct *mm, unsigned long start, unsigned long end,
	      const struct dmem_sum *sum);
int dmem_charge(struct mm_struct *mm, vm_flags_t flags, unsigned long start,
		unsigned long end);
void dmem_uncharge(vm_flags_t flags, unsigned long start, unsigned long end);
int dmem_map_zeros(struct mm_struct *mm, unsigned long start,
		   unsigned long end, vm_flags_t flags);
int dmem_may_map_at(unsigned long addr);
int dmem_may_replace(struct mm_struct *mm, unsigned long start,
		     unsigned long end, unsigned long *where);
void dmem_unlock(struct mm_struct *mm);

/**
 * struct dmem_share - pages shared copy-on-write
 * @dst: with this address space
 * @src: of this one
 * @whole: shared memory becomes zeros, and what is left out is unmapped
 * @snap: @dst is a snapshot: what fork wipes stays
 * @now: private: from dmem_tick()
 * @stays: private: @dst has all mappings already
 * @where: out: how far it has come
 * @changed: out: something of @dst has been replaced
 * @protected: out: entries of @src are read-only now
 * @zeros: out: @src has shared memory, of which @dst has zeros
 */
struct dmem_share {
	struct mm_struct *dst;
	struct mm_struct *src;
	bool whole;
	bool snap;
	unsigned long now;
	bool stays;
	unsigned long where;
	bool changed;
	bool protected;
	bool zeros;
};

bool dmem_shared(const struct vm_area_struct *vma);
bool dmem_descends(struct vm_area_struct *dvma, struct vm_area_struct *svma,
		   unsigned long addr);
vm_flags_t dmem_child_flags(const struct vm_area_struct *vma);
unsigned long dmem_unbroken(struct vm_area_struct *vma, unsigned long addr,
			    unsigned long end, bool holes,
			    struct mm_struct *child);
bool dmem_all_stays(struct dmem_share *s, unsigned long start,
		    unsigned long end);
int dmem_make_room(struct dmem_share *s, unsigned long start,
		   unsigned long end);
int dmem_share_range(struct dmem_share *s, unsigned long start,
		     unsigned long end);

/* No page: zeros. */
static inline void *dmem_map(struct page *page)
{
	return kmap_local_page(page ?: ZERO_PAGE(0));
}

/*
 * Scan: which pages of an address space differ from those of its snapshot,
 * or, without one, which are there.
 */

#define DMEM_SCAN	32
#define DMEM_NO_PAGE	1UL	/* the space has none there: zeros */
#define DMEM_NO_SNAP	2UL	/* the snapshot has none */

/* With references to its pages, as far as they were at hand and asked for. */
struct dmem_found {
	unsigned long addr;		/* of the page | DMEM_NO_* */
	bool take;			/* whole */
	struct page *page;
	struct page *snap;
};

struct dmem_scan {
	struct mm_struct *mm;
	struct mm_struct *image;
	bool take;			/* references: only of a space's pages */
	unsigned long addr;		/* where to go on */
	unsigned long end;
	unsigned int nr;
	struct dmem_found found[DMEM_SCAN];
};

int dmem_scan(struct dmem_scan *s);
unsigned long dmem_skip_same(pte_t *a, pte_t *b, unsigned long nr);

static inline void dmem_found_put(struct dmem_found *found)
{
	if (found->page)
		put_page(found->page);
	if (found->snap)
		put_page(found->snap);
}

/**
 * struct dmem_diff - pages of two address spaces that are not the same
 * @a: the one, with its mmap lock held for write
 * @b: a copy of it, likewise; NULL: all pages of @a
 * @addr: where to go on
 * @end: behind the last page to look at
 * @now: from dmem_tick(), if @b
 * @from: out: pages from here to @addr differ
 */
struct dmem_diff {
	struct mm_struct *a;
	struct mm_struct *b;
	unsigned long addr;
	unsigned long end;
	unsigned long now;
	unsigned long from;
};

bool dmem_next_diff(struct dmem_diff *d);
pmd_t *dmem_pmd(struct mm_struct *mm, unsigned long addr, unsigned long end,
		unsigned long *next);

/*
 * Touch: page tables in which nothing has changed.
 */

void dmem_date(struct mm_struct *mm);
unsigned long dmem_tick(void);
void dmem_set_sync(struct ptdesc *of, struct ptdesc *copy, unsigned long now);
void dmem_set_all_sync(struct ptdesc *of, struct ptdesc *copy,
		       unsigned long now);

/*
 * Of a table of PTEs, while it is mapped. When it is freed or put aside the second
 * becomes a list's, and the flag must have gone before; a new page has none.
 */
static inline unsigned long *dmem_touched(struct ptdesc *table)
{
	return &table->pt_index;
}

static inline unsigned long *dmem_synced(struct ptdesc *table)
{
	return &table->_pt_pad_1;
}

/* Of a table of tables, where hugetlb has another use for the first: both in one. */
static inline unsigned long *dmem_times(struct ptdesc *table)
{
	return &table->_pt_pad_1;
}

static inline bool dmem_has_times(const struct ptdesc *table)
{
	return test_bit(PG_workingset, &table->__page_flags);
}

/* Are all entries of two tables equal, with no need to look? */
static inline bool dmem_in_sync(struct ptdesc *of, struct ptdesc *copy)
{
	unsigned long synced;

	if (!dmem_has_times(of) || !dmem_has_times(copy))
		return false;
	synced = READ_ONCE(*dmem_synced(copy));
	return synced && READ_ONCE(*dmem_touched(of)) <= synced;
}

/* The same of tables of tables. */
static inline bool dmem_all_in_sync(struct ptdesc *of, struct ptdesc *copy)
{
	u32 synced;

	if (!dmem_has_times(of) || !dmem_has_times(copy))
		return false;
	synced = READ_ONCE(*dmem_times(copy));
	return synced && READ_ONCE(*dmem_times(of)) >> 32 <= synced;
}

static inline bool dmem_is_table(pmd_t pmd)
{
	return (pmd_val(pmd) & (_PAGE_PRESENT | _PAGE_PSE)) == _PAGE_PRESENT;
}

static inline struct ptdesc *dmem_ptdesc(pmd_t pmd)
{
	return page_ptdesc(pfn_to_page((pmd_val(pmd) & PTE_PFN_MASK) >>
				       PAGE_SHIFT));
}

/*
 * Take: pages that a MERGE need not compare.
 */

void dmem_take_look(struct dmem_merge *m, struct dmem_found *found,
		    unsigned int nr);
int dmem_take_write(struct dmem_merge *m);

#endif /* _MM_DMEM_INTERNAL_H */
