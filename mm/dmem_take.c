// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that a MERGE takes whole. Where the caller's entry still names the
 * snapshot's page the caller has changed nothing, so no byte can be in conflict,
 * and the child's page becomes the caller's: both map it then, copy-on-write, and
 * another COPY finds nothing to do. No byte is compared or copied, and the caller's
 * page is not made writable first.
 *
 * A page goes up the tree here, while VMAs are only ever forked down: the child's
 * VMA has every anon_vma of the caller's, so rmap finds both mappings once the page
 * belongs to the caller's anon_vma. Only a page that the child alone maps can be
 * moved so. UFFDIO_MOVE shows the rules.
 *
 * What is found when MERGE looks can be otherwise when it writes: threads of the
 * caller's write, and the machine swaps and migrates. Then the page is merged byte
 * by byte after all; whoever has written to it meanwhile has raced with the MERGE.
 */

#include <linux/dmem.h>
#include <linux/freezer.h>
#include <linux/ksm.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>

#include <asm/tlbflush.h>

#include "dmem_internal.h"
#include "internal.h"

struct dmem_take {
	struct mm_struct *caller;
	struct mm_struct *child;
	struct vm_area_struct *to;	/* of the last page */
	struct vm_area_struct *from;
	bool may;			/* pages go from one to the other */
	unsigned long start, end;	/* of what is to be taken */
	unsigned long taken;		/* pages */
};

static bool dmem_contains(const struct vm_area_struct *vma, unsigned long addr)
{
	return vma && addr >= vma->vm_start && addr < vma->vm_end;
}

/* May a page of the child's be mapped here? Both mmap locks are held. */
static bool dmem_may_take(struct dmem_take *t, unsigned long addr)
{
	if (dmem_contains(t->to, addr) && dmem_contains(t->from, addr))
		return t->may;
	t->to = vma_lookup(t->caller, addr);
	t->from = vma_lookup(t->child, addr);
	t->may = t->to && t->from && t->to->anon_vma &&
		 !dmem_shared(t->to) && !dmem_left_out(t->to) &&
		 !dmem_refused(t->to) && t->to->vm_flags & VM_WRITE &&
		 !(t->to->vm_flags & VM_LOCKED) &&
		 dmem_descends(t->from, t->to, addr);
	return t->may;
}

/* Is it an entry of the snapshot's page, or, without one, of zeros? */
static bool dmem_names(struct vm_area_struct *vma, pte_t pte,
		       const struct page *snap)
{
	if (pte_none(pte))
		return !snap && vma_is_anonymous(vma);
	if (!pte_present(pte))
		return false;
	if (is_zero_pfn(pte_pfn(pte)))
		return !snap;
	return snap && pte_pfn(pte) == page_to_pfn(snap);
}

static bool dmem_look_take(struct dmem_take *t, const struct dmem_found *found)
{
	unsigned long addr = found->addr & PAGE_MASK;
	spinlock_t *ptl;	/* of the caller's entry */
	pmd_t *pmd;
	pte_t *pte;
	bool take;

	if (!found->page || PageCompound(found->page) ||
	    !PageAnonExclusive(found->page) ||
	    (!found->snap && !(found->addr & DMEM_NO_SNAP)) ||
	    !dmem_may_take(t, addr))
		return false;
	pmd = mm_find_pmd(t->caller, addr);
	pte = pmd ? pte_offset_map_lock(t->caller, pmd, addr, &ptl) : NULL;
	if (!pte)
		return false;
	take = dmem_names(t->to, ptep_get(pte), found->snap);
	pte_unmap_unlock(pte, ptl);
	return take;
}

/**
 * dmem_take_look - which of the pages that differ can be taken whole?
 * @m: the MERGEs of this call
 * @found: pages at the same address in caller and child, with references
 * @nr: how many; sets their @take
 *
 * Context: takes the caller's mmap lock, and the child's if that needs no wait.
 */
void dmem_take_look(struct dmem_merge *m, struct dmem_found *found,
		    unsigned int nr)
{
	struct dmem_take t = { .caller = m->caller, .child = m->child };
	unsigned int i;

	if (mmap_read_lock_killable(m->caller))
		return;
	if (mmap_read_trylock(m->child)) {
		for (i = 0; i < nr; i++)
			found[i].take = dmem_look_take(&t, &found[i]);
		mmap_read_unlock(m->child);
	}
	mmap_read_unlock(m->caller);
}

/* Both entries are locked, and so is the folio: what is seen stays. */
static bool dmem_take_locked(struct dmem_take *t, struct dmem_page *p,
			     pte_t *to, pte_t *from)
{
	struct folio *folio = page_folio(p->src);
	pte_t old = ptep_get(to), pte = ptep_get(from);

	if (!dmem_names(t->to, old, p->snap) || !pte_present(pte) ||
	    pte_pfn(pte) != page_to_pfn(p->src) ||
	    folio_test_large(folio) || !PageAnonExclusive(p->src) ||
	    folio_maybe_dma_pinned(folio) ||
	    folio_try_dup_anon_rmap_pte(folio, p->src, t->from))
		return false;
	folio_get(folio);
	folio_move_anon_rmap(folio, t->to);
	ptep_set_wrprotect(t->child, p->addr, from);

	/* No CPU may read the old page after another has read the new one. */
	old = ptep_clear_flush(t->to, p->addr, to);
	pte = pte_wrprotect(mk_pte(p->src, t->to->vm_page_prot));
	set_pte_at(t->caller, p->addr, to, pte_mksoft_dirty(pte_mkdirty(pte)));
	if (p->snap && pte_present(old)) {
		/* Not the last reference: that is p->snap. */
		folio_remove_rmap_pte(page_folio(p->snap), p->snap, t->to);
		put_page(p->snap);
	} else {
		ksm_might_unmap_zero_page(t->caller, old);
		inc_mm_counter(t->caller, MM_ANONPAGES);
	}
	return true;
}

static bool dmem_take_page(struct dmem_take *t, struct dmem_page *p)
{
	struct folio *folio = page_folio(p->src);
	spinlock_t *ptl, *nested;	/* of the caller's entry, of the child's */
	pmd_t *to_pmd, *from_pmd;
	bool taken = false;
	pte_t *to, *from;

	if (!dmem_may_take(t, p->addr))
		return false;
	to_pmd = mm_find_pmd(t->caller, p->addr);
	from_pmd = mm_find_pmd(t->child, p->addr);
	if (!to_pmd || !from_pmd)
		return false;
	/* Whoever has it locked (reclaim, migration) waits for no mmap lock. */
	folio_lock(folio);
	to = pte_offset_map_lock(t->caller, to_pmd, p->addr, &ptl);
	if (!to)
		goto unlock;
	from = pte_offset_map_nolock(t->child, from_pmd, p->addr, &nested);
	if (from) {
		dmem_touch(t->caller, to_pmd);
		/* mmap lock: the table stays. */
		spin_lock_nested(nested, SINGLE_DEPTH_NESTING);
		taken = dmem_take_locked(t, p, to, from);
		pte_unmap_unlock(from, nested);
	}
	pte_unmap_unlock(to, ptl);
unlock:
	folio_unlock(folio);
	return taken;
}

/* Take what can be taken; the others keep their p->take. */
static void dmem_take_all(struct dmem_take *t, struct list_head *batches)
{
	struct dmem_batch *b;
	unsigned int i;

	list_for_each_entry(b, batches, list) {
		for (i = 0; i < b->nr; i++) {
			struct dmem_page *p = &b->page[i];

			if (p->take && dmem_take_page(t, p)) {
				p->take = false;
				t->taken++;
			}
		}
		cond_resched();
	}
}

/* The range of all pages that are to be taken. */
static bool dmem_take_range(struct dmem_take *t, struct list_head *batches)
{
	struct dmem_batch *b;
	unsigned int i;

	t->start = ULONG_MAX;
	list_for_each_entry(b, batches, list) {
		for (i = 0; i < b->nr; i++) {
			if (!b->page[i].take)
				continue;
			t->start = min(t->start, b->page[i].addr);
			t->end = max(t->end, b->page[i].addr + PAGE_SIZE);
		}
	}
	return t->start < t->end;
}

/*
 * Not taken after all: to be written, as others have been. So memory is waited for,
 * and it is no matter if a thread has changed the permission since. If it has
 * unmapped the page there is nothing to do; else the machine has lost it.
 */
static int dmem_take_back(struct dmem_merge *m, struct dmem_page *p)
{
	struct page *page = dmem_pin_page(m->caller, p->addr, FOLL_FORCE);

	while (page == ERR_PTR(-ENOMEM)) {
		schedule_timeout_killable(HZ / 100);
		try_to_freeze();
		page = dmem_pin_page(m->caller, p->addr, FOLL_FORCE);
	}
	if (IS_ERR(page))
		return page == ERR_PTR(-EFAULT) ? 0 : PTR_ERR(page);
	p->dst = page;
	return 0;
}

/**
 * dmem_take_write - take the pages that a look has found
 * @m: the MERGEs of this call, each looked at
 *
 * Those that are no longer what they were are pinned, to be written byte by byte.
 *
 * Context: takes both mmap locks for write.
 * Return: 0; -EINTR: the caller is dying; -EOWNERDEAD: a page of its is lost.
 */
int dmem_take_write(struct dmem_merge *m)
{
	struct dmem_take t = { .caller = m->caller, .child = m->child };
	struct mmu_notifier_range range;
	struct dmem_batch *b;
	unsigned int i;
	int ret = 0;

	if (!dmem_take_range(&t, &m->batches))
		return 0;
	mmap_write_lock(m->caller);
	mmap_write_lock_nested(m->child, SINGLE_DEPTH_NESTING);
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, m->caller, t.start,
				t.end);
	mmu_notifier_invalidate_range_start(&range);
	raw_write_seqcount_begin(&m->child->write_protect_seq);
	dmem_take_all(&t, &m->batches);
	raw_write_seqcount_end(&m->child->write_protect_seq);
	m->changed = t.taken * PAGE_SIZE;
	flush_tlb_mm(m->child);
	mmu_notifier_invalidate_range_end(&range);
	mmap_write_unlock(m->child);
	dmem_unlock(m->caller);

	list_for_each_entry(b, &m->batches, list)
		for (i = 0; i < b->nr; i++)
			if (b->page[i].take)
				ret = dmem_take_back(m, &b->page[i]) ?: ret;
	return ret;
}
