// SPDX-License-Identifier: GPL-2.0-only
/*
 * Snapshots of a space's memory, and MERGE: what a space changed since.
 *
 * A snapshot is an image: an address space without a task, whose page tables
 * are the space's at the time of SNAP. Every page in it is shared with the
 * space copy-on-write, so a page that the space changes becomes another one:
 * the same page in both is unchanged, and only the others are compared.
 *
 * MERGE looks, then writes. The look collects changed addresses under the
 * child's mmap lock and drops it before it touches the caller's memory: that
 * may wait for a userfault handler, which may wait for this child. It takes a
 * reference to every page that the write needs, so the write cannot fail.
 * The merge of one page is in dmem_merge.c.
 */

#include <linux/deterministic.h>
#include <linux/dmem.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/sched/coredump.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/swapops.h>

#include <asm/tlbflush.h>

#include <uapi/linux/deterministic.h>

#include "dmem_internal.h"
#include "internal.h"

/*
 * Snapshots. Nothing outside of this file knows how one is kept.
 */

struct dmem_image {
	refcount_t ref;
	struct mm_struct *mm;
};

static struct kmem_cache *dmem_image_cache;

static int dmem_snap_vmas(struct mm_struct *mm, struct mm_struct *to)
{
	VMA_ITERATOR(vmi, mm, 0);
	struct vm_area_struct *vma, *copy;
	int ret;

	for_each_vma(vmi, vma) {
		if (fatal_signal_pending(current))
			return -EINTR;
		ret = dmem_fork_vma(to, vma, vma->vm_start, vma->vm_end, false,
				    &copy);
		if (ret)
			return ret == -ENOTRECOVERABLE ? -ENOMEM : ret;
		if (!vma->anon_vma)	/* never touched: zeros */
			continue;
		vma_start_write(vma);
		ret = copy_page_subrange(copy, vma, vma->vm_start,
					 vma->vm_end);
		if (ret)
			return ret;
		cond_resched();
	}
	return 0;
}

/**
 * dmem_snap - take a snapshot of a stopped space's memory
 * @mm: the space's
 *
 * Return: the image with one reference, or an ERR_PTR: -ENOMEM, -EINTR.
 */
struct dmem_image *dmem_snap(struct mm_struct *mm)
{
	struct dmem_image *image = kmem_cache_zalloc(dmem_image_cache,
						     GFP_KERNEL);
	int ret = -ENOMEM;

	if (!image)
		return ERR_PTR(-ENOMEM);
	refcount_set(&image->ref, 1);
	image->mm = mm_alloc_space(NULL);
	if (!image->mm)
		goto free;
	set_bit(MMF_DISABLE_THP, &image->mm->flags);
	ret = -EINTR;
	if (mmap_write_lock_killable(mm))
		goto put;
	mmap_write_lock_nested(image->mm, SINGLE_DEPTH_NESTING);
	ret = dmem_snap_vmas(mm, image->mm);
	flush_tlb_mm(mm);
	mmap_write_unlock(image->mm);
	dmem_unlock(mm);
	if (!ret)
		return image;
put:
	mmput(image->mm);
free:
	kmem_cache_free(dmem_image_cache, image);
	return ERR_PTR(ret);
}

/**
 * dmem_image_get - another reference to an image
 * @image: the image
 *
 * Return: @image.
 */
struct dmem_image *dmem_image_get(struct dmem_image *image)
{
	refcount_inc(&image->ref);
	return image;
}

/**
 * dmem_image_put - drop a reference to an image
 * @image: the image, or NULL
 *
 * Context: may sleep, no mmap lock held.
 */
void dmem_image_put(struct dmem_image *image)
{
	if (!image || !refcount_dec_and_test(&image->ref))
		return;
	mmput(image->mm);
	kmem_cache_free(dmem_image_cache, image);
}

/**
 * dmem_image_mm - an image as the source of a COPY
 * @image: the image
 *
 * Return: its mm, for as long as the caller's reference lasts.
 */
struct mm_struct *dmem_image_mm(struct dmem_image *image)
{
	return image->mm;
}

/**
 * dmem_image_pages - how much an image holds
 * @image: the image
 *
 * Return: pages, shared ones included.
 */
unsigned long dmem_image_pages(struct dmem_image *image)
{
	return get_mm_rss(image->mm) +
	       get_mm_counter(image->mm, MM_SWAPENTS) +
	       mm_pgtables_bytes(image->mm) / PAGE_SIZE;
}

/*
 * Scan.
 */

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
 * The PMD entry that maps addr, or NULL where there is no table for it; then
 * *next is where the emptiness ends.
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
	*next = pud_addr_end(addr, *next);
	pud = pud_offset(p4d, addr);
	if (pud_none_or_clear_bad(pud))
		return NULL;
	*next = pmd_addr_end(addr, *next);
	pmd = pmd_offset(pud, addr);
	return pmd_none(pmdp_get_lockless(pmd)) ? NULL : pmd;
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

		c = dmem_entry(cval, cpte ? cpte + i : NULL, addr);
		o = dmem_entry(ival, ipte ? ipte + i : NULL, addr);
		if (dmem_entry_equal(c, o))
			continue;
		s->found[s->nr++] = addr |
			(c.kind == DMEM_NONE ? DMEM_NO_PAGE : 0) |
			(o.kind == DMEM_NONE ? DMEM_NO_SNAP : 0);
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
		s->nr = nr;
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
 * MERGE.
 */

/**
 * dmem_merge_begin - begin the MERGEs of a call
 * @m: caller, child, image and room for ranges are set
 */
void dmem_merge_begin(struct dmem_merge *m)
{
	INIT_LIST_HEAD(&m->batches);
}

static struct dmem_rules dmem_merge_rules(u32 flags)
{
	struct dmem_rules rules = {
		.granule = 1 << ((flags & DET_MERGE_GRANULE_MASK) >> 8),
		.policy = DMEM_REPORT,
	};

	if (flags & DET_MERGE_KEEP)
		rules.policy = DMEM_KEEP;
	else if (flags & DET_MERGE_TAKE)
		rules.policy = DMEM_TAKE;
	return rules;
}

static void dmem_add_range(struct dmem_merge *m, unsigned long addr,
			   unsigned int len)
{
	struct det_range *last = m->ranges + m->nr_ranges - 1;

	if (m->conflicts == m->before)
		m->where = addr;
	m->conflicts += len;
	if (m->nr_ranges && last->addr + last->len == addr)
		last->len += len;
	else if (m->nr_ranges < m->max_ranges)
		m->ranges[m->nr_ranges++] = (struct det_range){ addr, len };
}

/* Compare the three pages of @p; the caller's begins at @base. */
static void dmem_look_conflicts(struct dmem_merge *m, struct dmem_page *p,
				unsigned long base)
{
	void *dst = dmem_map(p->dst), *src = dmem_map(p->src);
	void *snap = dmem_map(p->snap);
	unsigned int from = p->from, start, end;

	while (from < p->to &&
	       dmem_page_conflict(src, snap, dst, from, p->to, &p->rules,
				  &start, &end)) {
		dmem_add_range(m, base + start, end - start);
		from = end;
	}
	kunmap_local(snap);
	kunmap_local(src);
	kunmap_local(dst);
}

/* First byte that the child changed, p->to if none. */
static unsigned int dmem_look_changed(struct dmem_page *p)
{
	void *src = dmem_map(p->src), *snap = dmem_map(p->snap);
	unsigned int n = dmem_page_changed(src, snap, p->from, p->to);

	kunmap_local(snap);
	kunmap_local(src);
	return n;
}

/* Take the references that @p needs; @addr: the child's, @caller: its. */
static int dmem_look_page(struct dmem_merge *m, struct dmem_page *p,
			  unsigned long found, unsigned long base)
{
	unsigned long addr = found & PAGE_MASK;
	struct page *page;
	unsigned int n;

	if (!(found & DMEM_NO_PAGE)) {
		page = dmem_get_page(m->child, addr, FOLL_FORCE);
		if (IS_ERR(page))
			return PTR_ERR(page);
		p->src = page;
	}
	if (!(found & DMEM_NO_SNAP)) {
		page = dmem_get_page(m->image->mm, addr, FOLL_FORCE);
		if (IS_ERR(page))
			return PTR_ERR(page);
		p->snap = page;
	}
	n = dmem_look_changed(p);
	if (n == p->to)
		return 0;
	page = dmem_pin_page(m->caller, base, 0);
	if (IS_ERR(page)) {
		m->where = base + n;
		return PTR_ERR(page);
	}
	p->dst = page;
	m->pages++;
	dmem_look_conflicts(m, p, base);
	return 0;
}

/**
 * dmem_merge_look - look at one range: find conflicts, make pages writable
 * @m: the MERGEs of this call
 * @caller: address in the caller
 * @child: address in the child, equal modulo the page size
 * @len: bytes
 * @flags: DET_MERGE_*
 *
 * Writes nothing. Goes on after a conflict, to count them all.
 *
 * Return: 0, also with conflicts; -EFAULT at @m->where, -ENOMEM, -EINTR, or
 * -EOWNERDEAD: the machine has lost a page, or the OOM reaper takes the child's.
 */
int dmem_merge_look(struct dmem_merge *m, unsigned long caller,
		    unsigned long child, unsigned long len, u32 flags)
{
	struct dmem_scan s = { .mm = m->child, .image = m->image->mm,
			       .addr = child & PAGE_MASK,
			       .end = PAGE_ALIGN(child + len) };
	struct dmem_rules rules = dmem_merge_rules(flags);
	unsigned long end = child + len;
	unsigned int i;
	int ret = 0;

	m->before = m->conflicts;
	while (s.addr < s.end && !ret) {
		ret = dmem_scan(&s);
		for (i = 0; i < s.nr && !ret; i++) {
			unsigned long addr = s.found[i] & PAGE_MASK;
			struct dmem_page *p = dmem_batch_slot(&m->batches);

			if (!p)
				return -ENOMEM;
			*p = (struct dmem_page){ .merge = true, .rules = rules };
			p->from = addr < child ? child - addr : 0;
			p->to = min(end - addr, PAGE_SIZE);
			ret = dmem_look_page(m, p, s.found[i],
					     addr - child + caller);
			if (!ret && !p->dst)	/* unchanged after all */
				dmem_batch_unslot(&m->batches);
			cond_resched();
		}
	}
	if (ret != -EINTR && test_bit(MMF_UNSTABLE, &m->child->flags))
		ret = -EOWNERDEAD;
	return ret;
}

/**
 * dmem_merge_write - write what was looked at
 * @m: the MERGEs of this call, each looked at
 */
void dmem_merge_write(struct dmem_merge *m)
{
	m->changed = dmem_batches_write(&m->batches);
}

/**
 * dmem_merge_end - drop what the look has taken
 * @m: the MERGEs of this call
 */
void dmem_merge_end(struct dmem_merge *m)
{
	dmem_batches_drop(&m->batches);
}

static int __init dmem_image_init(void)
{
	dmem_image_cache = KMEM_CACHE(dmem_image, SLAB_PANIC | SLAB_ACCOUNT |
				      SLAB_NO_MERGE);
	return 0;
}
core_initcall(dmem_image_init);
