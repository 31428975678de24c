// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whole pages shared copy-on-write between two address spaces, as fork shares
 * them: of a caller with its child for COPY, of a space with its snapshot for
 * SNAP.
 *
 * A destination that has such a copy from before is brought up to date: only
 * the pages that are no longer the same (dmem_scan.c) are unmapped and shared
 * anew, so the cost of another COPY or SNAP goes with what has changed.
 *
 * Locks: both mmap locks are held for write, the source's was taken first.
 */

#include <linux/deterministic.h>
#include <linux/dmem.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/mmu_notifier.h>
#include <linux/pagewalk.h>
#include <linux/rmap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/swapops.h>

#include <asm/tlb.h>

#include "dmem_internal.h"
#include "internal.h"
#include "vma.h"

bool dmem_shared(const struct vm_area_struct *vma)
{
	return vma->vm_flags & (VM_SHARED | VM_MAYSHARE);
}

/* What a space's copy of a private VMA looks like. */
vm_flags_t dmem_child_flags(const struct vm_area_struct *vma)
{
	return vma->vm_flags & ~(VM_LOCKED_MASK | VM_MERGEABLE | VM_GROWSDOWN |
				 VM_SEALED | VM_SOFTDIRTY | VM_DONTEXPAND);
}

static bool dmem_unbroken_pte(struct vm_area_struct *vma, unsigned long addr,
			      pte_t pte, bool holes)
{
	struct page *page;

	if (pte_none(pte))
		return holes;
	if (!pte_present(pte)) {
		swp_entry_t entry = pte_to_swp_entry(pte);

		/* Its folio is locked, and the entry stays while it is. */
		return is_migration_entry(entry) &&
		       !folio_test_anon(pfn_swap_entry_folio(entry));
	}
	page = vm_normal_page(vma, addr, pte);
	return !page || !PageAnon(page);
}

/* In one table, which is locked, as is the child's for the same addresses, if any. */
static unsigned long dmem_unbroken_ptes(struct vm_area_struct *vma, pte_t *pte,
					pte_t *copy, unsigned long addr,
					unsigned long nr, bool holes)
{
	unsigned long i;

	for (i = 0; i < nr; i++) {
		/* A page that a child maps as well is anonymous. */
		if (copy)
			i += dmem_skip_same(pte + i, copy + i, nr - i);
		if (i == nr || dmem_unbroken_pte(vma, addr + i * PAGE_SIZE,
						 ptep_get(pte + i), holes))
			break;
	}
	return i;
}

/* How many pages of one table, which is locked. The child's mmap lock is held. */
static unsigned long dmem_unbroken_table(struct vm_area_struct *vma, pte_t *pte,
					 unsigned long addr, unsigned long nr,
					 bool holes, struct mm_struct *child)
{
	unsigned long next;
	pmd_t *pmd = dmem_pmd(child, addr, addr + PAGE_SIZE, &next);
	spinlock_t *ptl;	/* of the child's table */
	pte_t *copy = NULL;

	if (pmd && dmem_is_table(pmdp_get_lockless(pmd)))
		copy = pte_offset_map_nolock(child, pmd, addr, &ptl);
	if (!copy)
		return dmem_unbroken_ptes(vma, pte, NULL, addr, nr, holes);
	/* It stays: khugepaged would need the lock for write. */
	spin_lock_nested(ptl, SINGLE_DEPTH_NESTING);
	nr = dmem_unbroken_ptes(vma, pte, copy, addr, nr, holes);
	pte_unmap_unlock(copy, ptl);
	return nr;
}

static unsigned long dmem_unbroken_locked(struct vm_area_struct *vma,
					  unsigned long addr, unsigned long end,
					  bool holes, struct mm_struct *child)
{
	unsigned long next, nr;

	for (; addr < end; addr = next) {
		pmd_t *pmd = mm_find_pmd(vma->vm_mm, addr);
		spinlock_t *ptl;	/* of the table that maps addr */
		pte_t *pte;

		cond_resched();
		next = pmd_addr_end(addr, end);
		pte = pmd ? pte_offset_map_lock(vma->vm_mm, pmd, addr, &ptl) :
			    NULL;
		if (!pte) {	/* no table: nothing, or a huge page */
			if (holes)
				return addr;
			continue;
		}
		nr = (next - addr) >> PAGE_SHIFT;
		addr += dmem_unbroken_table(vma, pte, addr, nr, holes, child) *
			PAGE_SIZE;
		pte_unmap_unlock(pte, ptl);
		if (addr < next)
			return addr;
	}
	return end;
}

/*
 * The first page of a VMA that still is the page cache's (or, with holes,
 * would come from there); end if there is none. The child may have a copy from
 * before, or is NULL. mmap lock held; the child's comes behind it.
 */
unsigned long dmem_unbroken(struct vm_area_struct *vma, unsigned long addr,
			    unsigned long end, bool holes,
			    struct mm_struct *child)
{
	if (child && !mmap_read_trylock(child))
		child = NULL;
	addr = dmem_unbroken_locked(vma, addr, end, holes, child);
	if (child)
		mmap_read_unlock(child);
	return addr;
}

/*
 * May pages of svma be mapped into dvma, which is there already? Only if the
 * rmap of those pages then finds dvma: it must hold every anon_vma of svma's
 * (it descends from it), and the indices must agree. So pages that belong to one of
 * svma's own anon_vmas may be mapped in either, dmem_take.c.
 */
bool dmem_descends(struct vm_area_struct *dvma, struct vm_area_struct *svma,
		   unsigned long addr)
{
	struct anon_vma_chain *s, *d;

	if (!vma_is_anonymous(dvma) ||
	    !dmem_same_flags(dvma, dmem_child_flags(svma)))
		return false;
	if (!svma->anon_vma)	/* no page to map */
		return vma_is_anonymous(svma);
	if (!dvma->anon_vma || dvma->vm_pgoff < svma->vm_pgoff ||
	    linear_page_index(dvma, addr) != linear_page_index(svma, addr))
		return false;
	list_for_each_entry(s, &svma->anon_vma_chain, same_vma) {
		bool found = false;

		list_for_each_entry(d, &dvma->anon_vma_chain, same_vma)
			found |= d->anon_vma == s->anon_vma;
		if (!found)
			return false;
	}
	return true;
}

/*
 * A VMA of mm, as fork would make it, for a part of svma, where nothing is
 * mapped; both locks held. With wipe nothing will be copied into it.
 */
static struct vm_area_struct *dmem_fork_charged(struct mm_struct *mm,
						struct vm_area_struct *svma,
						unsigned long start,
						unsigned long end, bool wipe)
{
	vm_flags_t flags = dmem_child_flags(svma);
	struct vm_area_struct *vma = vm_area_dup(svma);

	if (!vma)
		goto uncharge;
	vma->vm_mm = mm;
	vma_set_range(vma, start, end, vma_pgoff_offset(svma, start));
	vma_set_anonymous(vma);
	vma->vm_file = NULL;
	vma->vm_private_data = NULL;
	vma->vm_userfaultfd_ctx = NULL_VM_UFFD_CTX;
	vm_flags_init(vma, flags);
	vma->vm_page_prot = vm_get_page_prot(flags);
	if (vma_dup_policy(svma, vma))
		goto free;
	if (wipe)
		vma->anon_vma = NULL;
	else if (anon_vma_fork(vma, svma))
		goto policy;
	if (vma_link(mm, vma))
		goto anon;
	vm_stat_account(mm, flags, (end - start) >> PAGE_SHIFT);
	return vma;
anon:
	unlink_anon_vmas(vma);
policy:
	mpol_put(vma_policy(vma));
free:
	vm_area_free(vma);
uncharge:
	dmem_uncharge(flags, start, end);
	return NULL;
}

/* The same, replacing what is mapped there. */
static int dmem_fork_vma(struct mm_struct *mm, struct vm_area_struct *svma,
			 unsigned long start, unsigned long end, bool wipe,
			 struct vm_area_struct **vma)
{
	vm_flags_t flags = dmem_child_flags(svma);
	int ret;

	ret = dmem_charge(mm, flags, start, end);
	if (ret)
		return ret;
	ret = dmem_unmap(mm, start, end);
	if (ret) {
		dmem_uncharge(flags, start, end);
		return ret;
	}
	*vma = dmem_fork_charged(mm, svma, start, end, wipe);
	return *vma ? 0 : DMEM_BROKEN;
}

/*
 * Rmap must visit the source before its copy: a migration entry that is copied
 * meanwhile would stay for ever. Equal indices are visited in the order of
 * insertion, and the source may have been inserted again since (it grew).
 */
static void dmem_rmap_behind(struct vm_area_struct *vma)
{
	struct anon_vma_chain *avc;

	if (!vma->anon_vma)
		return;
	anon_vma_lock_write(vma->anon_vma);
	list_for_each_entry(avc, &vma->anon_vma_chain, same_vma) {
		anon_vma_interval_tree_remove(avc, &avc->anon_vma->rb_root);
		anon_vma_interval_tree_insert(avc, &avc->anon_vma->rb_root);
	}
	anon_vma_unlock_write(vma->anon_vma);
}

/*
 * What the source gave back with MADV_FREE could be discarded at any time: the
 * space would read the old bytes now and zeros later. Dirty, it is kept. An
 * anonymous page is clean else only while it is in the swap cache.
 */
static void dmem_keep_pte(struct vm_area_struct *vma, unsigned long addr,
			  pte_t pte)
{
	struct folio *folio;

	if (!pte_present(pte) || pte_dirty(pte))
		return;
	folio = vm_normal_folio(vma, addr, pte);
	if (folio && folio_test_anon(folio) && !folio_test_swapcache(folio))
		folio_mark_dirty(folio);
}

static void dmem_keep_huge(struct vm_area_struct *vma, pmd_t *pmd)
{
	spinlock_t *ptl = pmd_trans_huge_lock(pmd, vma);	/* if it is huge */

	if (ptl) {
		if (pmd_present(*pmd) && !is_huge_zero_pmd(*pmd) &&
		    folio_test_anon(pmd_folio(*pmd)))
			folio_mark_dirty(pmd_folio(*pmd));
		spin_unlock(ptl);
	}
}

static int dmem_keep_table(pmd_t *pmd, unsigned long addr, unsigned long end,
			   struct mm_walk *walk)
{
	spinlock_t *ptl;	/* of the table */
	pte_t *pte, *first;

	if (is_swap_pmd(*pmd) || pmd_trans_huge(*pmd)) {
		dmem_keep_huge(walk->vma, pmd);
		return 0;
	}
	first = pte_offset_map_lock(walk->mm, pmd, addr, &ptl);
	if (first) {
		for (pte = first; addr < end; pte++, addr += PAGE_SIZE)
			dmem_keep_pte(walk->vma, addr, ptep_get(pte));
		pte_unmap_unlock(first, ptl);
	}
	cond_resched();
	return 0;
}

static const struct mm_walk_ops dmem_keep_ops = {
	.pmd_entry	= dmem_keep_table,
	.walk_lock	= PGWALK_WRLOCK_VERIFY,
};

/* Is there a page of the file's that the range of a VMA lacks? */
static bool dmem_hole(struct vm_area_struct *vma, unsigned long start,
		      unsigned long end)
{
	pgoff_t size = DIV_ROUND_UP(i_size_read(file_inode(vma->vm_file)),
				    PAGE_SIZE);
	pgoff_t first = linear_page_index(vma, start);

	if (first >= size)
		return false;
	end = min(end, start + ((size - first) << PAGE_SHIFT));
	return dmem_unbroken(vma, start, end, true, NULL) != end;
}

/* Share the source's pages where the destination has none. */
static int dmem_share_pages(struct dmem_share *s, struct vm_area_struct *dvma,
			    struct vm_area_struct *svma, unsigned long start,
			    unsigned long end)
{
	int ret;

	/* Somebody has given pages back since dmem_break_out(). */
	if (!vma_is_anonymous(svma) && dmem_hole(svma, start, end))
		return -EAGAIN;
	s->protected = true;
	s->changed = true;
	ret = copy_page_subrange(dvma, svma, start, end);
	dmem_touch_range(s->dst, start, end);
	if (ret)
		return DMEM_BROKEN;
	/* Spaces have no madvise. */
	if (!det_mm_is_space(s->src))
		walk_page_range(s->dst, start, end, &dmem_keep_ops, NULL);
	/* Or has put page cache back. */
	if (!vma_is_anonymous(svma) &&
	    dmem_unbroken(dvma, start, end, false, NULL) != end)
		return -EAGAIN;
	return 0;
}

/* The destination has a copy from before: bring it up to date. */
static int dmem_share_again(struct dmem_share *s, struct vm_area_struct *dvma,
			    struct vm_area_struct *svma, unsigned long start,
			    unsigned long end)
{
	struct dmem_diff d = { .a = s->src, .b = s->dst, .addr = start,
			       .end = end, .now = s->now };
	struct mmu_notifier_range range;
	struct mmu_gather tlb;
	bool first = true;
	int ret = 0;

	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, s->dst, start,
				end);
	tlb_gather_mmu(&tlb, s->dst);
	update_hiwater_rss(s->dst);
	mmu_notifier_invalidate_range_start(&range);
	while (!ret && dmem_next_diff(&d)) {
		if (first)
			dmem_rmap_behind(dvma);
		first = false;
		s->changed = true;
		unmap_page_range(&tlb, dvma, d.from, d.addr, NULL);
		ret = dmem_share_pages(s, dvma, svma, d.from, d.addr);
		if (fatal_signal_pending(current))
			ret = -EINTR;
	}
	mmu_notifier_invalidate_range_end(&range);
	tlb_finish_mmu(&tlb);
	return ret;
}

/* One private VMA's part of the range. */
static int dmem_share_vma(struct dmem_share *s, struct vm_area_struct *svma,
			  unsigned long start, unsigned long end)
{
	struct vm_area_struct *dvma = dmem_cover(s->dst, start, end);
	bool wipe = svma->vm_flags & VM_WIPEONFORK && !s->snap;
	bool empty = !svma->anon_vma || wipe;	/* of pages */
	int ret = 0;

	vma_start_write(svma);
	/* A file that was mapped since dmem_break_out(). */
	if (empty && !wipe && !vma_is_anonymous(svma) &&
	    dmem_hole(svma, start, end))
		return -EAGAIN;
	if (dvma && (s->stays || dmem_descends(dvma, svma, start))) {
		vma_start_write(dvma);
		if (empty)
			s->changed |= dmem_zap(dvma, start, end);
		else
			ret = dmem_share_again(s, dvma, svma, start, end);
	} else {
		ret = dmem_fork_vma(s->dst, svma, start, end, wipe, &dvma);
		s->changed |= ret != -ENOMEM;	/* with that all is as it was */
		if (!ret && !empty)
			ret = dmem_share_pages(s, dvma, svma, start, end);
	}
	if (ret == -EAGAIN) {
		dmem_zap(dvma, start, end);
		s->changed = true;
	}
	return ret;
}

/* What the destination is to have where the source has this VMA. */
static int dmem_share_piece(struct dmem_share *s, struct vm_area_struct *svma,
			    unsigned long start, unsigned long end)
{
	int ret;

	if (dmem_left_out(svma))
		return s->whole ? 0 : -EAGAIN;
	if (dmem_refused(svma))
		return -EAGAIN;
	if (!dmem_shared(svma))
		return dmem_share_vma(s, svma, start, end);
	if (!s->whole)
		return 0;
	s->zeros = true;
	ret = dmem_map_zeros(s->dst, start, end, dmem_vma_flags(svma));
	s->changed |= ret != -ENOMEM;
	return ret;
}

static int dmem_drop(struct dmem_share *s, unsigned long start,
		     unsigned long end)
{
	if (start >= end || !find_vma_intersection(s->dst, start, end))
		return 0;
	s->changed = true;
	return dmem_unmap(s->dst, start, end);
}

/*
 * Does what the destination has there stay, and is brought up to date? @dvma covers all of
 * it, or is NULL.
 */
static bool dmem_stays(struct dmem_share *s, struct vm_area_struct *svma,
		       struct vm_area_struct *dvma, unsigned long start)
{
	if (dmem_shared(svma) && !s->whole)
		return true;
	if (!dvma || dmem_left_out(svma))
		return false;
	if (dmem_shared(svma))
		return vma_is_anonymous(dvma) &&
		       dmem_same_flags(dvma, dmem_vma_flags(svma));
	return dmem_descends(dvma, svma, start);
}

static bool dmem_all_stays_in(struct dmem_share *s, unsigned long start,
			      unsigned long end)
{
	VMA_ITERATOR(svmi, s->src, start);
	VMA_ITERATOR(dvmi, s->dst, start);
	/* The first that ends behind start, if it begins before end. */
	struct vm_area_struct *dvma = vma_find(&dvmi, end);
	struct vm_area_struct *svma, *cover;
	unsigned long from, to;

	for_each_vma_range(svmi, svma, end) {
		from = max(start, svma->vm_start);
		to = min(end, svma->vm_end);
		/* In the hole before it? */
		if (dvma && dvma->vm_start < from && start < from)
			return false;
		cover = dvma && dvma->vm_start <= from && dvma->vm_end >= to ?
			dvma : NULL;
		if (s->whole && dmem_left_out(svma)) {
			if (dvma && dvma->vm_start < to)
				return false;
		} else if (!dmem_stays(s, svma, cover, from)) {
			return false;
		}
		start = to;
		while (dvma && dvma->vm_end <= start)
			dvma = vma_find(&dvmi, end);
	}
	return !dvma || start >= end;
}

/**
 * dmem_all_stays - is nothing to be mapped or unmapped?
 * @s: source and destination
 * @start: first address
 * @end: behind the last one
 *
 * Then no limit needs to be looked at, and dmem_make_room() has nothing to do.
 * dmem_share_range() does not ask again.
 *
 * Context: both mmap locks held for write.
 * Return: whether that is so.
 */
bool dmem_all_stays(struct dmem_share *s, unsigned long start,
		    unsigned long end)
{
	s->stays = dmem_all_stays_in(s, start, end);
	return s->stays;
}

/**
 * dmem_make_room - unmap all that does not stay
 * @s: source and destination
 * @start: first address
 * @end: behind the last one
 *
 * Before anything is mapped: what is to go does not count against the limits of what is
 * to come. @s->where and @s->changed as with dmem_share_range().
 *
 * Context: both mmap locks held for write; may sleep.
 * Return: 0, -ENOMEM.
 */
int dmem_make_room(struct dmem_share *s, unsigned long start,
		   unsigned long end)
{
	VMA_ITERATOR(vmi, s->src, start);
	unsigned long from, to;
	struct vm_area_struct *vma;
	int ret;

	s->where = start;
	for_each_vma_range(vmi, vma, end) {
		from = max(start, vma->vm_start);
		to = min(end, vma->vm_end);
		ret = dmem_drop(s, s->where, from);
		s->where = from;
		if (!ret &&
		    !dmem_stays(s, vma, dmem_cover(s->dst, from, to), from))
			ret = dmem_drop(s, from, to);
		if (ret)
			return ret;
		s->where = to;
	}
	return dmem_drop(s, s->where, end);
}

/**
 * dmem_share_range - share all private pages of a range, at the same address
 * @s: source and destination
 * @start: first address
 * @end: behind the last one
 *
 * After dmem_make_room(), unless all stays: where the source has a hole there is one.
 * On return, whatever it is,
 * @s->where is where it has come to, @s->changed tells whether anything of the
 * destination may have been replaced, and @s->protected whether the source's
 * TLB must be flushed before its lock is dropped.
 *
 * Context: both mmap locks held for write; may sleep.
 * Return: 0; -EAGAIN: the source has changed since it was looked at; -ENOMEM,
 * -ENOTRECOVERABLE: memory ran out, part of the destination is gone if
 * @s->changed; -EINTR.
 */
int dmem_share_range(struct dmem_share *s, unsigned long start,
		     unsigned long end)
{
	VMA_ITERATOR(vmi, s->src, start);
	struct vm_area_struct *vma;
	int ret = 0;

	s->now = dmem_tick();
	for_each_vma_range(vmi, vma, end) {
		s->where = max(start, vma->vm_start);
		ret = dmem_share_piece(s, vma, s->where, min(end, vma->vm_end));
		if (ret)
			break;
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		cond_resched();
	}
	return ret;
}
