/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory operations on another task's address space: the COPY, ZERO, PERM,
 * SNAP and MERGE of deterministic processes.
 *
 * Each takes mms that the caller holds references to (mm_users). A space's mm
 * is at rest: its task is stopped, and only its parent, who calls, starts it.
 */
#ifndef _LINUX_DMEM_H
#define _LINUX_DMEM_H

#include <linux/jump_label.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/pgtable.h>
#include <linux/sched/coredump.h>

struct mm_struct;
struct dmem_image;
struct det_range;

/**
 * struct dmem_copy - a COPY
 * @dst: to here, whole pages replacing what is mapped
 * @daddr: at this address
 * @src: from here
 * @saddr: from this address
 * @len: bytes
 * @where: out: where it failed, as @src or @dst addresses it
 * @pages: out: pages that were copied or shared
 * @changed: private: some of the destination has been replaced
 * @zeros: private: some of it is to be filled
 */
struct dmem_copy {
	struct mm_struct *dst;
	unsigned long daddr;
	struct mm_struct *src;
	unsigned long saddr;
	unsigned long len;
	unsigned long where;
	unsigned long pages;
	bool changed;
	bool zeros;
};

int dmem_copy(struct dmem_copy *c);
int dmem_copy_whole(struct dmem_copy *c);
int dmem_zero(struct mm_struct *mm, unsigned long addr, unsigned long len,
	      unsigned int prot, bool noreserve, unsigned long *where);
int dmem_perm(struct mm_struct *mm, unsigned long addr, unsigned long len,
	      unsigned int prot, unsigned long *where);
int dmem_write(struct mm_struct *mm, unsigned long addr, const void *buf,
	       unsigned int len);

bool dmem_accessible(struct mm_struct *mm, unsigned long addr,
		     unsigned long len, vm_flags_t need, bool keys);

int dmem_check_code(struct mm_struct *mm, unsigned long *where);

int dmem_snap(struct mm_struct *mm, struct dmem_image **image);
struct dmem_image *dmem_image_get(struct dmem_image *image);
void dmem_image_put(struct dmem_image *image);
struct mm_struct *dmem_image_mm(struct dmem_image *image);
unsigned long dmem_image_pages(struct dmem_image *image);

/**
 * struct dmem_merge - the MERGEs of one call: look at all, then write all
 * @caller: whose memory is written
 * @child: a stopped space
 * @image: its snapshot
 * @where: out: where the last look failed, or its first conflict; caller's
 *	   address
 * @conflicts: out: bytes in conflict
 * @changed: out: bytes written; all of a page that was taken whole
 * @pages: out: pages that differ
 * @ranges: out: conflicts, first ones first
 * @nr_ranges: out: how many
 * @max_ranges: how many fit
 * @before: private: conflicts of earlier looks
 * @batches: private: pages to write, with references
 */
struct dmem_merge {
	struct mm_struct *caller;
	struct mm_struct *child;
	struct dmem_image *image;
	unsigned long where;
	unsigned long conflicts;
	unsigned long changed;
	unsigned long pages;
	struct det_range *ranges;
	unsigned int nr_ranges;
	unsigned int max_ranges;
	unsigned long before;
	struct list_head batches;
};

void dmem_merge_begin(struct dmem_merge *m);
int dmem_merge_look(struct dmem_merge *m, unsigned long caller,
		    unsigned long child, unsigned long len, u32 flags);
int dmem_merge_write(struct dmem_merge *m);
void dmem_merge_end(struct dmem_merge *m);

#ifdef CONFIG_DETERMINISTIC
DECLARE_STATIC_KEY_FALSE(dmem_dated);
void __dmem_touch(pmd_t *pmd);
void __dmem_touch_range(struct mm_struct *mm, unsigned long start,
			unsigned long end);

/* Has it been copied, or is it a copy? */
static inline bool dmem_is_dated(struct mm_struct *mm)
{
	return static_branch_unlikely(&dmem_dated) &&
	       test_bit(MMF_DATED, &mm->flags);
}

/**
 * dmem_touch - the entries that a PMD entry leads to may change
 * @mm: whose; if it has to do with no space nothing is noted
 * @pmd: the entry
 *
 * Called before the bytes at an address can become others, or can be written
 * without a fault; not for what happens to a page as such, wherever it is mapped.
 *
 * Context: mmap lock, or the lock of the VMA, or that of the entries.
 */
static inline void dmem_touch(struct mm_struct *mm, pmd_t *pmd)
{
	if (dmem_is_dated(mm))
		__dmem_touch(pmd);
}

/**
 * dmem_touch_range - the entries of a range may change
 * @mm: as in dmem_touch()
 * @start: first address
 * @end: behind the last one
 *
 * Context: mmap lock; may sleep.
 */
static inline void dmem_touch_range(struct mm_struct *mm, unsigned long start,
				    unsigned long end)
{
	if (dmem_is_dated(mm))
		__dmem_touch_range(mm, start, end);
}
#else
static inline void dmem_touch(struct mm_struct *mm, pmd_t *pmd) { }
static inline void dmem_touch_range(struct mm_struct *mm, unsigned long start,
				    unsigned long end) { }
#endif

#endif /* _LINUX_DMEM_H */
