// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which pages of two address spaces are not the same: of a space and its
 * snapshot for SNAP and MERGE, of a parent and its child for another COPY.
 *
 * A page that both map is shared copy-on-write, so whoever writes to it gets
 * another one: two entries that name one page stand for the same bytes. No byte
 * is looked at here, only entries.
 *
 * Nor is each entry: tables that are in sync (dmem_touch.c) are passed over.
 */

#include <linux/dmem.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/swap.h>
#include <linux/swapops.h>

#include "dmem_internal.h"

/* Two equal entries name one page, and so the same bytes. */
struct dmem_entry {
	enum { DMEM_NONE, DMEM_PFN, DMEM_SWAP, DMEM_MOVING, DMEM_LOST } kind;
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
		/* Of pages that cannot be read each has its own. */
		if (is_pte_marker(val))
			return (struct dmem_entry){ DMEM_LOST };
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
	return a.kind == b.kind && a.kind < DMEM_MOVING &&
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
 * How many of the next entries of two tables name the same page. Most do, so this is
 * the loop that counts: four a round. Tables of both are locked.
 */
unsigned long dmem_skip_same(pte_t *a, pte_t *b, unsigned long nr)
{
	const pteval_t name = PTE_PFN_MASK | _PAGE_PRESENT;
	unsigned long i = 0;

	for (; i + 4 <= nr; i += 4) {
		pteval_t v = pte_val(ptep_get(a + i));
		pteval_t w = pte_val(ptep_get(a + i + 1));
		pteval_t x = pte_val(ptep_get(a + i + 2));
		pteval_t y = pte_val(ptep_get(a + i + 3));
		pteval_t diff = (v ^ pte_val(ptep_get(b + i))) |
				(w ^ pte_val(ptep_get(b + i + 1))) |
				(x ^ pte_val(ptep_get(b + i + 2))) |
				(y ^ pte_val(ptep_get(b + i + 3)));

		if (diff & name || !(v & w & x & y & _PAGE_PRESENT))
			break;
	}
	for (; i < nr; i++) {
		pteval_t v = pte_val(ptep_get(a + i));

		if ((v ^ pte_val(ptep_get(b + i))) & name ||
		    !(v & _PAGE_PRESENT))
			break;
	}
	return i;
}

/* How many of the next entries of a table, on whatever level, are none: four a round. */
static unsigned long dmem_skip_none(const void *table, unsigned long nr)
{
	const unsigned long *entry = table;
	unsigned long i = 0;

	for (; i + 4 <= nr; i += 4)
		if ((entry[i] | entry[i + 1] | entry[i + 2] | entry[i + 3]) &
		    ~_PAGE_KNL_ERRATUM_MASK)
			break;
	while (i < nr && !(entry[i] & ~_PAGE_KNL_ERRATUM_MASK))
		i++;
	return i;
}

/* The same of two tables; there may be only one. */
static unsigned long dmem_skip_both_none(const void *a, const void *b,
					 unsigned long nr)
{
	if (a)
		nr = dmem_skip_none(a, nr);
	if (b)
		nr = dmem_skip_none(b, nr);
	return nr;
}

/* How many of the next entries of two tables are the same page, or nothing. */
static unsigned long dmem_skip_equal(pte_t *a, pte_t *b, unsigned long nr)
{
	unsigned long i = 0, from;

	do {
		from = i;
		i += dmem_skip_same(a + i, b + i, nr - i);
		if (i < nr && pte_none(ptep_get(a + i)) &&
		    pte_none(ptep_get(b + i)))
			i += dmem_skip_both_none(a + i, b + i, nr - i);
	} while (i < nr && i > from);
	return i;
}

static bool dmem_same_huge(pmd_t a, pmd_t b)
{
	return pmd_present(a) && pmd_leaf(a) && pmd_present(b) && pmd_leaf(b) &&
	       pmd_pfn(a) == pmd_pfn(b);
}

/*
 * With CONFIG_DETERMINISTIC_VERIFY nothing is passed over: is all as it should be?
 */

#define DMEM_VERIFY	IS_ENABLED(CONFIG_DETERMINISTIC_VERIFY)

static bool dmem_tables_in_sync(pmd_t of, pmd_t copy)
{
	return dmem_is_table(of) && dmem_is_table(copy) &&
	       dmem_in_sync(dmem_ptdesc(of), dmem_ptdesc(copy));
}

/*
 * Two entries of tables in sync are not equal. They may be the same page in two
 * states, one of which is on its way to swap or to another node.
 */
static void dmem_verify(pmd_t of, pmd_t copy, struct dmem_entry a,
			struct dmem_entry b)
{
	void *x, *y;

	if (!DMEM_VERIFY || !dmem_tables_in_sync(of, copy) ||
	    a.kind > DMEM_PFN || b.kind > DMEM_PFN)
		return;
	x = dmem_map(a.kind == DMEM_PFN ? pfn_to_page(a.val) : NULL);
	y = dmem_map(b.kind == DMEM_PFN ? pfn_to_page(b.val) : NULL);
	WARN_ONCE(memcmp(x, y, PAGE_SIZE), "a page table in sync has changed");
	kunmap_local(y);
	kunmap_local(x);
}

/* Entries of a table in sync: none can be written. */
static void dmem_verify_ptes(pmd_t of, pmd_t copy, pte_t *pte, unsigned long nr)
{
	unsigned long i;

	if (!DMEM_VERIFY || !dmem_tables_in_sync(of, copy))
		return;
	for (i = 0; i < nr; i++) {
		pte_t val = ptep_get(pte + i);

		if (!pte_present(val) || is_zero_pfn(pte_pfn(val)))
			continue;
		WARN_ONCE(pte_write(val) || PageAnonExclusive(pte_page(val)),
			  "a page of a page table in sync can be written");
	}
}

/*
 * The walk: piece by piece, each what one entry of a PMD table maps at most.
 */

struct dmem_walk {
	struct mm_struct *a;
	struct mm_struct *b;		/* its copy, or NULL */
	unsigned long addr;
	unsigned long end;
	unsigned long aempty;		/* up to there a has no table */
	unsigned long bempty;
	unsigned long now;		/* of what is found in sync; 0: not noted */
	pmd_t *apmd;			/* out: or NULL */
	pmd_t *bpmd;
	unsigned long next;		/* out: behind the piece */
};

/*
 * Where the emptiness ends that begins at addr, in one table whose entries map @size
 * each: a large part of an address space may be reserved and never used. The first entry
 * was none; it is not looked at again, it may be a neighbour's by now.
 */
static unsigned long dmem_skip_empty(const unsigned long *entry,
				     unsigned long size, unsigned long addr,
				     unsigned long end)
{
	unsigned long first = addr & -size;
	unsigned long nr = DIV_ROUND_UP(end - first, size);

	nr = 1 + dmem_skip_none(entry + 1, nr - 1);
	return min(first + nr * size, end);
}

/*
 * The entry for addr in a PMD table, or NULL where there is no table. *next is where the
 * emptiness ends.
 */
pmd_t *dmem_pmd(struct mm_struct *mm, unsigned long addr, unsigned long end,
		unsigned long *next)
{
	pgd_t *pgd;
	p4d_t *p4d;
	pud_t *pud;

	*next = end;
	if (!mm)
		return NULL;
	*next = pgd_addr_end(addr, end);
	pgd = pgd_offset(mm, addr);
	if (pgd_none(*pgd))
		return NULL;
	p4d = p4d_offset(pgd, addr);
	if (p4d_none(*p4d)) {
		/* With four levels the highest table is one of P4D entries. */
		*next = dmem_skip_empty((void *)p4d, P4D_SIZE, addr,
					mm_p4d_folded(mm) ? end : *next);
		return NULL;
	}
	*next = p4d_addr_end(addr, *next);
	pud = pud_offset(p4d, addr);
	if (pud_none(*pud)) {
		*next = dmem_skip_empty((void *)pud, PUD_SIZE, addr, *next);
		return NULL;
	}
	/* 1 GiB of hugetlb's. */
	if (!pud_present(*pud) || pud_leaf(*pud)) {
		*next = pud_addr_end(addr, end);
		return NULL;
	}
	*next = addr;
	return pmd_offset(pud, addr);
}

/* How many of the next pairs of page tables are in sync. Most are, as a rule. */
static unsigned long dmem_skip_in_sync(pmd_t *a, pmd_t *b, unsigned long nr)
{
	unsigned long i = 0;

	while (i < nr && dmem_tables_in_sync(pmdp_get_lockless(a + i),
					     pmdp_get_lockless(b + i)))
		i++;
	return i;
}

/*
 * Where nothing is passed over: is all in sync in two tables of tables that are?
 * Truncation may be between the one and the other; it has the lock.
 */
static void dmem_verify_table(struct dmem_walk *w, unsigned long nr, bool whole)
{
	struct ptdesc *a = virt_to_ptdesc(w->apmd), *b = virt_to_ptdesc(w->bpmd);
	unsigned long i;

	for (i = 0; i < nr; i++) {
		pmd_t x = pmdp_get_lockless(w->apmd + i);
		pmd_t y = pmdp_get_lockless(w->bpmd + i);

		if ((pmd_val(x) | pmd_val(y)) && !dmem_tables_in_sync(x, y))
			break;
	}
	if (i == nr) {
		if (whole && w->now)
			dmem_set_all_sync(a, b, w->now);
	} else if (dmem_all_in_sync(a, b)) {
		if (dmem_is_table(w->apmd[i])) {
			spin_lock(pte_lockptr(w->a, w->apmd + i));
			spin_unlock(pte_lockptr(w->a, w->apmd + i));
		}
		WARN_ONCE(dmem_all_in_sync(a, b),
			  "a table of page tables in sync has changed");
	}
}

/* The next piece in what a pair of PMD tables maps, up to end. */
static bool dmem_next_in_table(struct dmem_walk *w, unsigned long end)
{
	unsigned long nr = DIV_ROUND_UP(end - (w->addr & PMD_MASK), PMD_SIZE);
	unsigned long i = 0;
	bool both = w->apmd && w->bpmd;
	bool whole = !((w->addr | end) & ~PUD_MASK);
	pmd_t a = __pmd(0), b = __pmd(0);

	if (DMEM_VERIFY && both)
		dmem_verify_table(w, nr, whole);
	if (!DMEM_VERIFY && both &&
	    dmem_all_in_sync(virt_to_ptdesc(w->apmd),
			     virt_to_ptdesc(w->bpmd))) {
		w->addr = end;
		return false;
	}
	while (i < nr) {
		if (!DMEM_VERIFY && both)
			i += dmem_skip_in_sync(w->apmd + i, w->bpmd + i,
					       nr - i);
		if (i == nr)
			break;
		if (w->apmd)
			a = pmdp_get_lockless(w->apmd + i);
		if (w->bpmd)
			b = pmdp_get_lockless(w->bpmd + i);
		if (!pmd_none(a) || !pmd_none(b))
			break;
		i += dmem_skip_both_none(w->apmd ? w->apmd + i : NULL,
					 w->bpmd ? w->bpmd + i : NULL, nr - i);
	}
	if (i)
		w->addr = min((w->addr & PMD_MASK) + i * PMD_SIZE, end);
	if (i < nr) {
		w->apmd += w->apmd ? i : 0;
		w->bpmd += w->bpmd ? i : 0;
		w->next = pmd_addr_end(w->addr, end);
		return true;
	}
	if (whole && both && w->now)
		dmem_set_all_sync(virt_to_ptdesc(w->apmd),
				  virt_to_ptdesc(w->bpmd), w->now);
	return false;
}

/*
 * The next piece from w->addr on; false at the end. Whoever has looked at it goes
 * on at w->next.
 */
static bool dmem_next_piece(struct dmem_walk *w)
{
	while (w->addr < w->end) {
		/* Where one is known to be empty it is not looked at again. */
		w->apmd = w->addr < w->aempty ? NULL :
			dmem_pmd(w->a, w->addr, w->end, &w->aempty);
		w->bpmd = w->addr < w->bempty ? NULL :
			dmem_pmd(w->b, w->addr, w->end, &w->bempty);
		if (!w->apmd && !w->bpmd)
			w->addr = min(w->aempty, w->bempty);
		else if (dmem_next_in_table(w, pud_addr_end(w->addr, w->end)))
			return true;
		cond_resched();
	}
	return false;
}

/* Compare entries one by one, up to end; a huge page has no PTEs. */
static void dmem_scan_ptes(struct dmem_scan *s, pmd_t cval, pte_t *cpte,
			   pmd_t ival, pte_t *ipte, unsigned long end)
{
	unsigned long addr;

	if (cpte)
		dmem_verify_ptes(cval, ival, cpte,
				 (end - s->addr) >> PAGE_SHIFT);
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
		dmem_verify(cval, ival, c, o);
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
	VMA_ITERATOR(vmi, s->mm, s->addr);
	struct dmem_walk w = { .a = s->mm, .b = s->image };
	struct vm_area_struct *vma;

	s->nr = 0;
	if (mmap_read_lock_killable(s->mm))
		return -EINTR;
	for_each_vma_range(vmi, vma, s->end) {
		w.addr = max(s->addr, vma->vm_start);
		w.end = min(s->end, vma->vm_end);
		while (s->nr < DMEM_SCAN && dmem_next_piece(&w)) {
			s->addr = w.addr;
			if (!dmem_scan_pmd(s, w.apmd, w.bpmd, w.next))
				cpu_relax();
			w.addr = s->addr;
			cond_resched();
		}
		s->addr = w.addr;
		if (s->nr == DMEM_SCAN || fatal_signal_pending(current))
			break;
	}
	if (!vma)
		s->addr = s->end;
	mmap_read_unlock(s->mm);
	return fatal_signal_pending(current) ? -EINTR : 0;
}

/*
 * The next pages that differ, for those who hold both mmap locks for write.
 */

/* One of two tables, or neither, is NULL: there is none. */
static bool dmem_same_page(pmd_t of, pmd_t copy, pte_t *a, pte_t *b,
			   unsigned long i)
{
	const pmd_t none = __pmd(0);
	struct dmem_entry x = dmem_entry(none, a ? a + i : NULL, 0);
	struct dmem_entry y = dmem_entry(none, b ? b + i : NULL, 0);

	if (dmem_entry_equal(x, y))
		return true;
	dmem_verify(of, copy, x, y);
	return false;
}

/* The locks of both tables are held. */
static bool dmem_diff_ptes(struct dmem_diff *d, pmd_t of, pmd_t copy, pte_t *a,
			   pte_t *b, unsigned long end)
{
	unsigned long nr = (end - d->addr) >> PAGE_SHIFT, i = 0;

	if (a)
		dmem_verify_ptes(of, copy, a, nr);
	do {
		if (a && b)
			i += dmem_skip_equal(a + i, b + i, nr - i);
		else
			i += dmem_skip_none((a ?: b) + i, nr - i);
	} while (i < nr && dmem_same_page(of, copy, a, b, i) && ++i < nr);
	d->from = d->addr + i * PAGE_SIZE;
	while (i < nr && !dmem_same_page(of, copy, a, b, i))
		i++;
	d->addr += i * PAGE_SIZE;
	return d->from < d->addr;
}

/*
 * Either is a table or nothing. False also if that is no longer so, and d->addr
 * is where it was.
 */
static bool dmem_diff_tables(struct dmem_diff *d, pmd_t *apmd, pmd_t *bpmd,
			     unsigned long end)
{
	bool whole = !((d->addr | end) & ~PMD_MASK), found = false;
	pmd_t of = __pmd(0), copy = __pmd(0);
	spinlock_t *aptl, *bptl;	/* of the two tables */
	pte_t *a = NULL, *b = NULL;

	if (apmd) {
		a = pte_offset_map_lock(d->a, apmd, d->addr, &aptl);
		if (!a)
			return false;
		of = *apmd;
	}
	if (bpmd) {
		b = pte_offset_map_nolock(d->b, bpmd, d->addr, &bptl);
		if (!b)
			goto unlock;
		/* mmap locks: the table stays. */
		spin_lock_nested(bptl, SINGLE_DEPTH_NESTING);
		copy = *bpmd;
	}
	found = dmem_diff_ptes(d, of, copy, a, b, end);
	if (!found && whole && a && b && d->now)
		dmem_set_sync(dmem_ptdesc(of), dmem_ptdesc(copy), d->now);
	if (b)
		pte_unmap_unlock(b, bptl);
unlock:
	if (a)
		pte_unmap_unlock(a, aptl);
	return found;
}

/* Do both map the same huge page? While one is locked it stays what it is. */
static bool dmem_both_huge(struct mm_struct *mm, pmd_t *apmd, pmd_t *bpmd)
{
	spinlock_t *ptl;	/* of the first entry */
	bool same;

	if (!apmd || !bpmd)
		return false;
	ptl = pmd_lock(mm, apmd);
	same = dmem_same_huge(*apmd, pmdp_get_lockless(bpmd));
	spin_unlock(ptl);
	return same;
}

/* A huge page is the same one in both, or it differs as a whole. */
static bool dmem_diff_piece(struct dmem_diff *d, const struct dmem_walk *w)
{
	pmd_t a = w->apmd ? pmdp_get_lockless(w->apmd) : __pmd(0);
	pmd_t b = w->bpmd ? pmdp_get_lockless(w->bpmd) : __pmd(0);

	if ((pmd_none(a) || dmem_is_table(a)) &&
	    (pmd_none(b) || dmem_is_table(b)))
		return dmem_diff_tables(d, pmd_none(a) ? NULL : w->apmd,
					pmd_none(b) ? NULL : w->bpmd, w->next);
	d->from = d->addr;
	d->addr = w->next;
	return !dmem_both_huge(d->a, w->apmd, w->bpmd);
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
	struct dmem_walk w = { .a = d->a, .b = d->b, .addr = d->addr,
			       .end = d->end, .now = d->now };

	for (; dmem_next_piece(&w); w.addr = d->addr) {
		d->addr = w.addr;
		if (dmem_diff_piece(d, &w))
			return true;
		cond_resched();
	}
	d->addr = d->end;
	return false;
}
