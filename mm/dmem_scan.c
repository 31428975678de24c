// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which pages of two address spaces are not the same: of a space and its
 * snapshot for MERGE, of a parent and its child for another COPY.
 *
 * A page that both map is shared copy-on-write, so whoever writes to it gets
 * another one: two entries that name one page stand for the same bytes. No byte
 * is looked at here, only entries.
 */

#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/swap.h>
#include <linux/swapops.h>

#include "dmem_internal.h"

/* Two equal entries name one page, and so the same bytes. */
struct dmem_entry {
	enum { DMEM_NONE, DMEM_PFN, DMEM_SWAP, DMEM_MOVING } kind;
	unsigned long val;
};

static struct dmem_entry dmem_entry_pfn(unsigned long pfn)
{
	if (is_zero_pfn(pfn))
		return (struct dmem_entry){ DMEM_NONE };
	return (struct dmem_entry){ DMEM_PFN, pfn };
}

static struct dmem_entry dmem_entry(pmd_t pmd, pte_t *pte, unsigned long addr)
{
	unsigned long i = (addr & ~PMD_MASK) >> PAGE_SHIFT;
	pte_t val;

	if (pte) {
		val = ptep_get(pte);
		if (pte_none(val))
			return (struct dmem_entry){ DMEM_NONE };
		if (pte_present(val))
			return dmem_entry_pfn(pte_pfn(val));
		return (struct dmem_entry){ DMEM_SWAP,
					    pte_to_swp_entry(val).val };
	}
	if (pmd_none(pmd))
		return (struct dmem_entry){ DMEM_NONE };
	if (pmd_present(pmd))
		return is_huge_zero_pmd(pmd) ?
			(struct dmem_entry){ DMEM_NONE } :
			dmem_entry_pfn(pmd_pfn(pmd) + i);
	/* A huge page on its way elsewhere. */
	return (struct dmem_entry){ DMEM_MOVING };
}

static bool dmem_entry_equal(struct dmem_entry a, struct dmem_entry b)
{
	return a.kind == b.kind && a.kind != DMEM_MOVING &&
	       (a.kind == DMEM_NONE || a.val == b.val);
}

/*
 * The page of a space's, with a reference. The lock of the entry's table is held,
 * so it is mapped meanwhile; a space maps nothing but anonymous memory.
 */
static struct page *dmem_take(struct dmem_entry entry)
{
	struct page *page;

	if (entry.kind != DMEM_PFN)
		return NULL;
	page = pfn_to_page(entry.val);
	get_page(page);
	return page;
}

/*
 * How many of the next entries of two tables are equal as they are: the same page
 * or the same swap slot, or nothing. Most are, so this is the loop that counts.
 */
static unsigned long dmem_skip_equal(pte_t *a, pte_t *b, unsigned long nr)
{
	const pteval_t name = PTE_PFN_MASK | _PAGE_PRESENT;
	unsigned long i;

	for (i = 0; i < nr; i++) {
		pteval_t val = pte_val(ptep_get(a + i));
		pteval_t diff = val ^ pte_val(ptep_get(b + i));

		if (diff & name || (diff && !(val & _PAGE_PRESENT)))
			break;
	}
	return i;
}

/*
 * Where the emptiness ends that begins at addr, in one table; a large part of an
 * address space may be reserved and never used.
 */
static unsigned long dmem_skip_puds(pud_t *pud, unsigned long addr,
				    unsigned long end)
{
	unsigned long nr = DIV_ROUND_UP(end - (addr & PUD_MASK), PUD_SIZE);
	unsigned long i = 1;

	while (i < nr && pud_none(pud[i]))
		i++;
	return min((addr & PUD_MASK) + i * PUD_SIZE, end);
}

static unsigned long dmem_skip_pmds(pmd_t *pmd, unsigned long addr,
				    unsigned long end)
{
	unsigned long nr = DIV_ROUND_UP(end - (addr & PMD_MASK), PMD_SIZE);
	unsigned long i = 1;

	while (i < nr && pmd_none(pmdp_get_lockless(pmd + i)))
		i++;
	return min((addr & PMD_MASK) + i * PMD_SIZE, end);
}

static unsigned long dmem_skip_none(pte_t *pte, unsigned long nr)
{
	unsigned long i = 0;

	while (i < nr && pte_none(ptep_get(pte + i)))
		i++;
	return i;
}

/*
 * The PMD entry that maps addr, or NULL where there is no table for it; then
 * *next is where the emptiness ends, or a table.
 */
static pmd_t *dmem_pmd(struct mm_struct *mm, unsigned long addr,
		       unsigned long end, unsigned long *next)
{
	pgd_t *pgd;
	p4d_t *p4d;
	pud_t *pud;
	pmd_t *pmd;

	*next = end;
	if (!mm)
		return NULL;
	*next = pgd_addr_end(addr, end);
	pgd = pgd_offset(mm, addr);
	if (pgd_none_or_clear_bad(pgd))
		return NULL;
	*next = p4d_addr_end(addr, *next);
	p4d = p4d_offset(pgd, addr);
	if (p4d_none_or_clear_bad(p4d))
		return NULL;
	pud = pud_offset(p4d, addr);
	if (pud_none(*pud)) {
		*next = dmem_skip_puds(pud, addr, *next);
		return NULL;
	}
	if (pud_none_or_clear_bad(pud))
		return NULL;
	*next = pud_addr_end(addr, *next);
	pmd = pmd_offset(pud, addr);
	if (!pmd_none(pmdp_get_lockless(pmd)))
		return pmd;
	*next = dmem_skip_pmds(pmd, addr, *next);
	return NULL;
}

static bool dmem_is_table(pmd_t pmd)
{
	return pmd_present(pmd) && !pmd_leaf(pmd);
}

/* Compare entries one by one, up to end; a huge page has no PTEs. */
static void dmem_scan_ptes(struct dmem_scan *s, pmd_t cval, pte_t *cpte,
			   pmd_t ival, pte_t *ipte, unsigned long end)
{
	unsigned long addr;

	for (addr = s->addr; addr < end && s->nr < DMEM_SCAN;
	     addr += PAGE_SIZE) {
		unsigned long i = (addr - s->addr) >> PAGE_SHIFT;
		struct dmem_entry c, o;

		if (cpte && ipte) {
			unsigned long nr = (end - addr) >> PAGE_SHIFT;

			nr = dmem_skip_equal(cpte + i, ipte + i, nr);
			addr += nr * PAGE_SIZE;
			i += nr;
			if (addr == end)
				break;
		}
		c = dmem_entry(cval, cpte ? cpte + i : NULL, addr);
		o = dmem_entry(ival, ipte ? ipte + i : NULL, addr);
		if (dmem_entry_equal(c, o))
			continue;
		s->found[s->nr++] = (struct dmem_found){
			.addr = addr |
				(c.kind == DMEM_NONE ? DMEM_NO_PAGE : 0) |
				(o.kind == DMEM_NONE ? DMEM_NO_SNAP : 0),
			.page = s->take && cpte ? dmem_take(c) : NULL,
			.snap = s->take && ipte ? dmem_take(o) : NULL,
		};
	}
	s->addr = addr;
}

static bool dmem_same_huge(pmd_t a, pmd_t b)
{
	return pmd_present(a) && pmd_leaf(a) && pmd_present(b) && pmd_leaf(b) &&
	       pmd_pfn(a) == pmd_pfn(b);
}

/*
 * Compare up to 2 MiB. The lock of the child's entries is held, and that of the
 * image's PTEs is taken: while a page is migrated or swapped out its entry is
 * none for a moment, which would read as zeros. A PMD entry of the image is
 * none at such a moment only if it is the huge zero page's, so it is read
 * without, and again at the end. False if it has changed meanwhile: look again.
 */
static bool dmem_scan_locked(struct dmem_scan *s, pmd_t cval, pte_t *cpte,
			     pmd_t *ipmd, unsigned long end)
{
	pmd_t ival = ipmd ? pmdp_get_lockless(ipmd) : __pmd(0);
	unsigned long addr = s->addr;
	unsigned int nr = s->nr;
	spinlock_t *ptl;	/* of the image's PTEs */
	bool done = true;
	pte_t *ipte;

	if (!cpte && dmem_same_huge(cval, ival)) {
		s->addr = end;
	} else if (!dmem_is_table(ival)) {
		dmem_scan_ptes(s, cval, cpte, ival, NULL, end);
	} else {
		ipte = pte_offset_map_nolock(s->image, ipmd, s->addr, &ptl);
		if (ipte) {
			spin_lock_nested(ptl, SINGLE_DEPTH_NESTING);
			dmem_scan_ptes(s, cval, cpte, ival, ipte, end);
			pte_unmap_unlock(ipte, ptl);
		}
		done = ipte;
	}
	if (ipmd && !pmd_same(ival, pmdp_get_lockless(ipmd))) {
		s->addr = addr;
		while (s->nr > nr)
			dmem_found_put(&s->found[--s->nr]);
		done = false;
	}
	return done;
}

/* Take the lock of the child's entries, whatever they are. */
static bool dmem_scan_pmd(struct dmem_scan *s, pmd_t *cpmd, pmd_t *ipmd,
			  unsigned long end)
{
	pmd_t cval = cpmd ? pmdp_get_lockless(cpmd) : __pmd(0);
	spinlock_t *ptl;	/* of the child's entries */
	bool done = false;
	pte_t *cpte;

	if (pmd_none(cval))
		return dmem_scan_locked(s, cval, NULL, ipmd, end);
	if (dmem_is_table(cval)) {
		cpte = pte_offset_map_lock(s->mm, cpmd, s->addr, &ptl);
		if (cpte) {
			done = dmem_scan_locked(s, cval, cpte, ipmd, end);
			pte_unmap_unlock(cpte, ptl);
		}
	} else {
		ptl = pmd_lock(s->mm, cpmd);
		if (pmd_same(cval, *cpmd))
			done = dmem_scan_locked(s, cval, NULL, ipmd, end);
		spin_unlock(ptl);
	}
	return done;
}

/*
 * Find the next pages, at most DMEM_SCAN. Nothing is mapped outside of VMAs,
 * and where neither has a page table nothing differs: both are skipped.
 *
 * The image's mmap lock is not taken: no one but its owner knows it, and that
 * is whoever holds the reference; khugepaged and KSM never see it.
 */
int dmem_scan(struct dmem_scan *s)
{
	unsigned long end, next, inext;
	struct vm_area_struct *vma;
	pmd_t *cpmd, *ipmd;

	s->nr = 0;
	if (mmap_read_lock_killable(s->mm))
		return -EINTR;
	while (s->addr < s->end && s->nr < DMEM_SCAN) {
		vma = find_vma(s->mm, s->addr);
		if (!vma || vma->vm_start >= s->end) {
			s->addr = s->end;
			break;
		}
		s->addr = max(s->addr, vma->vm_start);
		end = min(s->end, vma->vm_end);
		while (s->addr < end && s->nr < DMEM_SCAN) {
			cpmd = dmem_pmd(s->mm, s->addr, end, &next);
			ipmd = dmem_pmd(s->image, s->addr, end, &inext);
			if (!cpmd && !ipmd)
				s->addr = min(next, inext);
			else if (!dmem_scan_pmd(s, cpmd, ipmd,
						pmd_addr_end(s->addr, end)))
				cpu_relax();
			cond_resched();
		}
		if (fatal_signal_pending(current))
			break;
	}
	mmap_read_unlock(s->mm);
	return fatal_signal_pending(current) ? -EINTR : 0;
}

/*
 * The next pages that differ, for those who hold both mmap locks for write.
 */

/* One of two tables, or neither, is NULL: there is none. */
static bool dmem_same_page(pte_t *a, pte_t *b, unsigned long i)
{
	const pmd_t none = __pmd(0);

	return dmem_entry_equal(dmem_entry(none, a ? a + i : NULL, 0),
				dmem_entry(none, b ? b + i : NULL, 0));
}

/* The locks of both tables are held. */
static bool dmem_diff_ptes(struct dmem_diff *d, pte_t *a, pte_t *b,
			   unsigned long end)
{
	unsigned long nr = (end - d->addr) >> PAGE_SHIFT, i = 0;

	do {
		if (a && b)
			i += dmem_skip_equal(a + i, b + i, nr - i);
		else
			i += dmem_skip_none((a ?: b) + i, nr - i);
	} while (i < nr && dmem_same_page(a, b, i) && ++i < nr);
	d->from = d->addr + i * PAGE_SIZE;
	while (i < nr && !dmem_same_page(a, b, i))
		i++;
	d->addr += i * PAGE_SIZE;
	return d->from < d->addr;
}

/* Either is a table or nothing. False also if that is no longer so. */
static bool dmem_diff_tables(struct dmem_diff *d, pmd_t *apmd, pmd_t *bpmd,
			     unsigned long end)
{
	pte_t *a = NULL, *b = NULL;
	spinlock_t *aptl, *bptl;	/* of the two tables */
	bool found = false;

	if (apmd) {
		a = pte_offset_map_lock(d->a, apmd, d->addr, &aptl);
		if (!a)
			return false;
	}
	if (bpmd) {
		b = pte_offset_map_nolock(d->b, bpmd, d->addr, &bptl);
		if (!b)
			goto unlock;
		/* mmap locks: the table stays. */
		spin_lock_nested(bptl, SINGLE_DEPTH_NESTING);
	}
	found = dmem_diff_ptes(d, a, b, end);
	if (b)
		pte_unmap_unlock(b, bptl);
unlock:
	if (a)
		pte_unmap_unlock(a, aptl);
	return found;
}

/* Up to 2 MiB. A huge page is the same one in both, or it differs as a whole. */
static bool dmem_diff_pmd(struct dmem_diff *d, pmd_t *apmd, pmd_t *bpmd,
			  unsigned long end)
{
	pmd_t a = apmd ? pmdp_get_lockless(apmd) : __pmd(0);
	pmd_t b = bpmd ? pmdp_get_lockless(bpmd) : __pmd(0);

	if ((pmd_none(a) && pmd_none(b)) || dmem_same_huge(a, b)) {
		d->addr = end;
		return false;
	}
	if ((pmd_none(a) || dmem_is_table(a)) &&
	    (pmd_none(b) || dmem_is_table(b)))
		return dmem_diff_tables(d, pmd_none(a) ? NULL : apmd,
					pmd_none(b) ? NULL : bpmd, end);
	d->from = d->addr;
	d->addr = end;
	return true;
}

/**
 * dmem_next_diff - find the next pages that differ
 * @d: two address spaces, and where to begin
 *
 * Pages that nothing has touched and pages of zeros do not differ. A huge page
 * that is in one of the two only differs as a whole.
 *
 * Context: both mmap locks held for write; may sleep.
 * Return: true with the pages at [@d->from, @d->addr), false at the end.
 */
bool dmem_next_diff(struct dmem_diff *d)
{
	unsigned long anext, bnext;
	pmd_t *a, *b;

	while (d->addr < d->end) {
		a = dmem_pmd(d->a, d->addr, d->end, &anext);
		b = dmem_pmd(d->b, d->addr, d->end, &bnext);
		cond_resched();
		if (!a && !b)
			d->addr = min(anext, bnext);
		else if (dmem_diff_pmd(d, a, b, pmd_addr_end(d->addr, d->end)))
			return true;
	}
	return false;
}
