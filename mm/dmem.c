// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory operations on another task's address space: the COPY of deterministic
 * processes (Documentation/deterministic/). ZERO and PERM are in dmem_map.c,
 * what is written as bytes in dmem_bytes.c, snapshots and MERGE in
 * dmem_image.c.
 *
 * The caller is a master or a space; the other address space is that of its
 * stopped child, or the child's snapshot, which nobody changes. All memory of
 * a space is private and anonymous: what was a file's in the source is broken
 * out of the page cache before it is shared, so no one outside the tree can
 * write what a space reads.
 *
 * Locks: the caller's mmap lock is taken before the child's, the child's
 * before its snapshot's, each for write, where page tables are copied. VMAs are
 * forked from caller to child only, never back: each round trip would deepen
 * the anon_vma chain.
 */

#include <linux/deterministic.h>
#include <linux/dmem.h>
#include <linux/hugetlb.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/pagewalk.h>
#include <linux/rmap.h>
#include <linux/sched/coredump.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/swapops.h>

#include <asm/tlbflush.h>

#include "dmem_internal.h"
#include "internal.h"
#include "vma.h"

/* Can pages be shared, or must they be filled? */
static bool dmem_can_share(const struct dmem_copy *c)
{
	return c->dst != current->mm && c->dst != c->src &&
	       c->daddr == c->saddr && c->src == current->mm;
}

/* Whoever may have a copy from before. */
static struct mm_struct *dmem_copied_to(const struct dmem_copy *c)
{
	return dmem_can_share(c) ? c->dst : NULL;
}

/* Is there no more of the file at this address? mmap lock held. */
static bool dmem_beyond(struct vm_area_struct *vma, unsigned long addr)
{
	return vma->vm_file && addr < vma->vm_end &&
	       linear_page_index(vma, addr) >=
	       DIV_ROUND_UP(i_size_read(file_inode(vma->vm_file)), PAGE_SIZE);
}

/*
 * Break a range of a private file mapping out of the page cache, in the
 * source, as ptrace's poke does. From then on it is anonymous and can be
 * shared copy-on-write. Pages beyond the file's end stay holes.
 */
static int dmem_break_out(struct dmem_copy *c, unsigned long addr,
			  unsigned long end)
{
	struct vm_area_struct *vma;
	bool beyond = false;
	struct page *page;

	while (addr < end) {
		if (mmap_read_lock_killable(c->src))
			return -EINTR;
		vma = vma_lookup(c->src, addr);
		if (vma) {
			addr = dmem_unbroken(vma, addr, min(end, vma->vm_end),
					     true, dmem_copied_to(c));
			beyond = dmem_beyond(vma, addr);
		}
		mmap_read_unlock(c->src);
		if (!vma || beyond || addr >= end)
			break;
		page = dmem_get_page(c->src, addr, FOLL_FORCE | FOLL_WRITE);
		if (IS_ERR(page)) {
			c->where = addr;
			return PTR_ERR(page);
		}
		put_page(page);
		addr += PAGE_SIZE;
		cond_resched();
	}
	return 0;
}

/*
 * Is there nothing to be done for a part of a VMA before it is copied? The source's
 * mmap lock is held.
 */
static bool dmem_is_ready(const struct dmem_copy *c, struct vm_area_struct *vma,
			  unsigned long addr, unsigned long end, bool whole)
{
	if (dmem_shared(vma))
		return whole;
	return vma_is_anonymous(vma) ||
	       dmem_unbroken(vma, addr, end, true, dmem_copied_to(c)) == end;
}

/*
 * Look at the source's VMAs: refuse what cannot be copied, break file pages
 * out, prepare the bytes of shared memory (unless whole: it is mapped later).
 */
static int dmem_copy_look(struct dmem_copy *c, unsigned long start,
			  unsigned long end, bool whole,
			  struct list_head *batches)
{
	VMA_ITERATOR(vmi, c->src, start);
	unsigned long next, delta = c->daddr - c->saddr;
	struct vm_area_struct *vma;
	bool shared;
	int ret = 0;

	if (start >= end)
		return 0;
	if (mmap_read_lock_killable(c->src))
		return -EINTR;
	for_each_vma_range(vmi, vma, end) {
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		if (whole && dmem_left_out(vma))
			continue;
		start = max(start, vma->vm_start);
		next = min(end, vma->vm_end);
		c->where = start;
		if (dmem_refused(vma) || dmem_left_out(vma)) {
			ret = -EOPNOTSUPP;
			break;
		}
		if (dmem_is_ready(c, vma, start, next, whole))
			continue;

		shared = dmem_shared(vma);
		mmap_read_unlock(c->src);
		ret = shared ? dmem_look_bytes(batches, c, start + delta, start,
					       next - start, 0) :
			       dmem_break_out(c, start, next);
		if (ret)
			return ret;
		if (mmap_read_lock_killable(c->src))
			return -EINTR;
		start = next;
		vma_iter_set(&vmi, start);
	}
	mmap_read_unlock(c->src);
	return ret;
}

/*
 * What a COPY will map, in all; the source's lock is held. Shared memory is
 * mapped by a whole copy only; memory that is filled is fresh.
 */
static struct dmem_sum dmem_sum_source(struct dmem_copy *c, unsigned long start,
				       unsigned long end, bool whole, bool fresh)
{
	VMA_ITERATOR(vmi, c->src, start);
	struct dmem_sum sum = {};
	struct vm_area_struct *vma;
	vm_flags_t flags;

	for_each_vma_range(vmi, vma, end) {
		if (dmem_left_out(vma) || (dmem_shared(vma) && !whole))
			continue;
		flags = fresh || dmem_shared(vma) ? dmem_vma_flags(vma) :
						    dmem_child_flags(vma);
		dmem_sum_add(&sum, vma, flags, start, end);
	}
	return sum;
}

/* Nothing is changed unless the limits allow it. */
static int dmem_copy_room(struct dmem_copy *c, struct dmem_share *s,
			  unsigned long start, unsigned long end)
{
	struct dmem_sum sum;

	if (dmem_all_stays(s, start, end))
		return 0;
	sum = dmem_sum_source(c, start, end, s->whole, false);
	return dmem_room(c->dst, start, end, &sum) ?:
	       dmem_make_room(s, start, end);
}

static int dmem_share_locked(struct dmem_copy *c, unsigned long start,
			     unsigned long end, bool whole)
{
	struct dmem_share s = { .dst = c->dst, .src = c->src, .whole = whole,
				.where = start };
	int ret;

	dmem_date(c->src);
	dmem_date(c->dst);
	if (mmap_write_lock_killable(c->src))
		return -EINTR;
	mmap_write_lock_nested(c->dst, SINGLE_DEPTH_NESTING);
	ret = dmem_copy_room(c, &s, start, end);
	if (!ret)
		ret = dmem_share_range(&s, start, end);
	c->where = s.where;
	c->changed |= s.changed;
	c->zeros |= s.zeros;
	/* The source's entries are read-only now; its TLB must know. */
	if (s.protected)
		flush_tlb_mm_range(c->src, start, end, PAGE_SHIFT, false);
	if (ret == -ENOMEM && c->changed)
		ret = DMEM_BROKEN;
	if (ret && ret != -EAGAIN && ret != -ENOMEM)
		dmem_forget(c->dst, start, end);
	dmem_unlock(c->dst);
	mmap_write_unlock(c->src);
	return ret;
}

/*
 * An attempt was given up, and the next has failed before it changed anything:
 * threads of the source's have made memory of it that no space may have.
 */
static int dmem_give_up(struct dmem_copy *c, unsigned long start,
			unsigned long end, int ret)
{
	if (!ret || ret == -EAGAIN || ret == DMEM_BROKEN || !c->changed)
		return ret;
	mmap_write_lock(c->dst);
	dmem_forget(c->dst, start, end);
	mmap_write_unlock(c->dst);
	return ret == -EINTR ? ret : DMEM_BROKEN;
}

/*
 * COPY to where VMAs are not forked: into the caller, within one address
 * space, to another address. Fresh memory, filled page by page.
 */

/*
 * A page that was there is not. In a space at rest that is the machine's doing;
 * a master has threads that unmap.
 */
static int dmem_fill_error(struct mm_struct *mm, int ret)
{
	return ret == -EFAULT && det_mm_is_space(mm) ? -EOWNERDEAD : ret;
}

static int dmem_fill_page(struct dmem_copy *c, unsigned long addr)
{
	struct page *src, *dst;

	src = dmem_get_page(c->src, addr, FOLL_FORCE);
	if (IS_ERR(src))
		return dmem_fill_error(c->src, PTR_ERR(src));
	dst = dmem_pin_page(c->dst, addr - c->saddr + c->daddr, FOLL_FORCE);
	if (IS_ERR(dst)) {
		put_page(src);
		return dmem_fill_error(c->dst, PTR_ERR(dst));
	}
	copy_highpage(dst, src);
	unpin_user_pages_dirty_lock(&dst, 1, true);
	put_page(src);
	c->pages++;
	return 0;
}

static int dmem_fill(struct dmem_copy *c, unsigned long start,
		     unsigned long end)
{
	struct dmem_scan s = { .mm = c->src, .addr = start, .end = end };
	unsigned int i;
	int ret = 0;

	while (s.addr < end && !ret) {
		ret = dmem_scan(&s);
		for (i = 0; i < s.nr && !ret; i++) {
			c->where = s.found[i].addr & PAGE_MASK;
			ret = dmem_fill_page(c, c->where);
			cond_resched();
		}
	}
	return ret;
}

/* Map zeros for one piece of the source's; the source's lock is not held. */
static int dmem_fresh_piece(struct dmem_copy *c, unsigned long start,
			    unsigned long end, unsigned int prot)
{
	unsigned long delta = c->daddr - c->saddr;
	int ret;

	if (mmap_write_lock_killable(c->dst))
		return -EINTR;
	if (prot == UINT_MAX)
		ret = dmem_unmap(c->dst, start + delta, end + delta);
	else
		ret = dmem_map_zeros(c->dst, start + delta, end + delta,
				     dmem_anon_flags(prot, false));
	c->changed |= !ret;
	dmem_unlock(c->dst);
	if (ret || prot == UINT_MAX)
		return ret;
	return dmem_fill(c, start, end);
}

static int dmem_fresh_range(struct dmem_copy *c, unsigned long start,
			    unsigned long end)
{
	unsigned long addr = start, next;
	struct vm_area_struct *vma;
	unsigned int prot;
	bool skip;
	int ret = 0;

	for (; addr < end && !ret; addr = next) {
		if (mmap_read_lock_killable(c->src))
			return -EINTR;
		vma = find_vma(c->src, addr);
		skip = false;
		prot = UINT_MAX;
		next = end;
		if (vma && vma->vm_start <= addr) {
			next = min(end, vma->vm_end);
			prot = dmem_vma_prot(vma);
			skip = dmem_shared(vma);
		} else if (vma) {
			next = min(end, vma->vm_start);
		}
		mmap_read_unlock(c->src);
		if (!skip)
			ret = dmem_fresh_piece(c, addr, next, prot);
	}
	return ret;
}

/* Was memory that is read taken away meanwhile, by the OOM reaper? */
static int dmem_unless_reaped(struct mm_struct *mm, int ret)
{
	if (ret != -EINTR && test_bit(MMF_UNSTABLE, &mm->flags))
		return -EOWNERDEAD;
	return ret;
}

static int dmem_fresh_room(struct dmem_copy *c, unsigned long start,
			   unsigned long end)
{
	unsigned long delta = c->daddr - c->saddr;
	struct dmem_sum sum;
	int ret;

	if (mmap_read_lock_killable(c->src))
		return -EINTR;
	sum = dmem_sum_source(c, start, end, false, true);
	mmap_read_unlock(c->src);
	if (mmap_read_lock_killable(c->dst))
		return -EINTR;
	ret = dmem_room(c->dst, start + delta, end + delta, &sum);
	mmap_read_unlock(c->dst);
	return ret;
}

static int dmem_fresh_unlocked(struct dmem_copy *c, unsigned long start,
			       unsigned long end)
{
	unsigned long delta = c->daddr - c->saddr;
	int ret = dmem_fresh_room(c, start, end);

	if (ret)
		return ret;
	ret = dmem_unless_reaped(c->src, dmem_fresh_range(c, start, end));
	if (!ret || (ret == -ENOMEM && !c->changed))
		return ret;
	mmap_write_lock(c->dst);
	dmem_forget(c->dst, start + delta, end + delta);
	mmap_write_unlock(c->dst);
	return ret == -ENOMEM ? DMEM_BROKEN : ret;
}

/* May the destination's pages be replaced? */
static int dmem_may_copy_to(struct dmem_copy *c, unsigned long start,
			    unsigned long end)
{
	int ret;

	c->where = start;
	ret = dmem_may_map_at(start);
	if (ret)
		return ret;
	if (mmap_read_lock_killable(c->dst))
		return -EINTR;
	ret = dmem_may_replace(c->dst, start, end, &c->where);
	mmap_read_unlock(c->dst);
	return ret;
}

static int dmem_copy_pages(struct dmem_copy *c, unsigned long start,
			   unsigned long end)
{
	unsigned long delta = c->daddr - c->saddr;
	int ret;

	if (start >= end)
		return 0;
	ret = dmem_may_copy_to(c, start + delta, end + delta);
	if (ret)
		return ret;
	c->pages = (end - start) >> PAGE_SHIFT;
	if (dmem_can_share(c))
		return dmem_share_locked(c, start, end, false);
	c->pages = 0;
	return dmem_fresh_unlocked(c, start, end);
}

/**
 * dmem_copy - COPY a range from one address space to another
 * @c: what, from where, to where
 *
 * Whole pages at an equal page offset carry the source's mapping: bytes,
 * permission and holes. The rest is written as bytes into what the
 * destination maps writable.
 *
 * Return: 0, -EFAULT, -EOPNOTSUPP, -ENOMEM, -EINTR, with the destination as
 * it was; or -ENOTRECOVERABLE: no memory, and its whole pages are unmapped.
 */
int dmem_copy(struct dmem_copy *c)
{
	unsigned long end = c->saddr + c->len;
	unsigned long first = PAGE_ALIGN(c->saddr), last = end & PAGE_MASK;
	LIST_HEAD(batches);
	int ret;

	if (offset_in_page(c->saddr ^ c->daddr) || first > last) {
		first = end;
		last = end;
	}
	do {
		ret = dmem_look_bytes(&batches, c, c->daddr, c->saddr,
				      first - c->saddr, 0);
		if (!ret)
			ret = dmem_copy_look(c, first, last, false, &batches);
		if (!ret)
			ret = dmem_look_bytes(&batches, c,
					      last - c->saddr + c->daddr, last,
					      end - last, 0);
		if (!ret)
			ret = dmem_copy_pages(c, first, last);
		else if (dmem_can_share(c))
			ret = dmem_give_up(c, first, last, ret);
		ret = dmem_unless_reaped(c->src, ret);
		if (!ret)
			dmem_batches_write(&batches);
		dmem_batches_drop(&batches);
	} while (ret == -EAGAIN && !fatal_signal_pending(current));
	return ret == -EAGAIN ? -EINTR : ret;
}

/* Shared memory of the source becomes private memory of the copy: zeros so far. */
static int dmem_fill_shared(struct dmem_copy *c)
{
	VMA_ITERATOR(vmi, c->src, 0);
	struct vm_area_struct *vma;
	unsigned long addr = 0, end, next;
	int ret = 0;

	while (!ret && c->zeros) {
		if (mmap_read_lock_killable(c->src))
			return -EINTR;
		vma_iter_set(&vmi, addr);
		for_each_vma(vmi, vma)
			if (dmem_shared(vma) && !dmem_left_out(vma))
				break;
		if (vma) {
			addr = vma->vm_start;
			next = vma->vm_end;
			for (end = addr; end < next && !dmem_beyond(vma, end);)
				end += PAGE_SIZE;
		}
		mmap_read_unlock(c->src);
		if (!vma)
			break;
		for (; addr < end && !ret; addr += PAGE_SIZE) {
			c->where = addr;
			ret = dmem_fill_page(c, addr);
			cond_resched();
		}
		addr = next;
	}
	return ret;
}

/**
 * dmem_copy_whole - COPY all of an address space, in place of all of another
 * @c: source and destination; addresses and length do not matter
 *
 * Left out: vDSO, vvar, device and PFN mappings, VM_DONTCOPY, droppable
 * memory, shadow stacks. Zeroed: VM_WIPEONFORK.
 *
 * Return: as dmem_copy().
 */
int dmem_copy_whole(struct dmem_copy *c)
{
	LIST_HEAD(batches);
	int ret;

	c->saddr = 0;
	c->daddr = 0;
	do {
		ret = dmem_copy_look(c, 0, TASK_SIZE_MAX, true, &batches);
		if (ret)
			return dmem_give_up(c, 0, TASK_SIZE_MAX, ret);
		if (!dmem_can_share(c))
			return dmem_fresh_unlocked(c, 0, TASK_SIZE_MAX);
		ret = dmem_share_locked(c, 0, TASK_SIZE_MAX, true);
	} while (ret == -EAGAIN && !fatal_signal_pending(current));
	if (!ret) {
		ret = dmem_fill_shared(c);
		if (ret == -ENOMEM) {
			mmap_write_lock(c->dst);
			dmem_forget(c->dst, 0, TASK_SIZE_MAX);
			mmap_write_unlock(c->dst);
			ret = DMEM_BROKEN;
		}
		c->pages = get_mm_rss(c->dst);
	}
	return ret == -EAGAIN ? -EINTR : ret;
}
