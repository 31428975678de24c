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
 * The merge of one page is in dmem_merge.c; a page of which the caller has
 * changed nothing is taken as it is, dmem_take.c.
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

static struct dmem_image *dmem_image_alloc(void)
{
	struct dmem_image *image = kmem_cache_zalloc(dmem_image_cache,
						     GFP_KERNEL);

	if (!image)
		return NULL;
	refcount_set(&image->ref, 1);
	image->mm = mm_alloc_space(NULL);
	if (!image->mm) {
		kmem_cache_free(dmem_image_cache, image);
		return NULL;
	}
	set_bit(MMF_DISABLE_THP, &image->mm->flags);
	return image;
}

/* Do the limits allow it? Both locks are held. */
static int dmem_snap_room(struct dmem_share *s)
{
	VMA_ITERATOR(vmi, s->src, 0);
	struct vm_area_struct *vma;
	struct dmem_sum sum = {};

	if (dmem_all_stays(s, 0, TASK_SIZE_MAX))
		return 0;
	for_each_vma(vmi, vma)
		dmem_sum_add(&sum, vma, dmem_child_flags(vma), 0,
			     TASK_SIZE_MAX);
	return dmem_room(s->dst, 0, TASK_SIZE_MAX, &sum) ?:
	       dmem_make_room(s, 0, TASK_SIZE_MAX);
}

static int dmem_snap_locked(struct dmem_share *s)
{
	int ret = dmem_snap_room(s);

	if (!ret)
		ret = dmem_share_range(s, 0, TASK_SIZE_MAX);
	if (s->protected)
		flush_tlb_mm(s->src);
	/* Nothing is left out of a space, nor given back. */
	if (ret == DMEM_BROKEN || WARN_ON_ONCE(ret == -EAGAIN))
		ret = -ENOMEM;
	if (!ret && test_bit(MMF_UNSTABLE, &s->src->flags))
		ret = -EOWNERDEAD;
	return ret;
}

/**
 * dmem_snap - take a snapshot of a stopped space's memory
 * @mm: the space's
 * @image: the snapshot before, with the one reference that is used meanwhile, or
 *	   NULL; becomes the new one
 *
 * Return: 0, -ENOMEM, -EINTR, or -EOWNERDEAD: the OOM reaper takes the memory.
 * After an error @image is the snapshot before if that is whole, else NULL.
 */
int dmem_snap(struct mm_struct *mm, struct dmem_image **image)
{
	struct dmem_image *to = *image ?: dmem_image_alloc();
	struct dmem_share s = { .src = mm, .whole = true, .snap = true };
	int ret;

	if (!to)
		return -ENOMEM;
	s.dst = to->mm;
	dmem_date(mm);
	dmem_date(s.dst);
	if (mmap_write_lock_killable(mm)) {
		ret = -EINTR;
	} else {
		mmap_write_lock_nested(to->mm, SINGLE_DEPTH_NESTING);
		ret = dmem_snap_locked(&s);
		mmap_write_unlock(to->mm);
		dmem_unlock(mm);
	}
	if (ret && (s.changed || !*image)) {
		dmem_image_put(to);
		to = NULL;
	}
	*image = to;
	return ret;
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

/*
 * The first byte that the child changed, p->to if none. What it has not changed at
 * both ends of the page is looked at no more; its granules are.
 */
static unsigned int dmem_look_changed(struct dmem_page *p)
{
	void *src = dmem_map(p->src), *snap = dmem_map(p->snap);
	unsigned int n = dmem_page_changed(src, snap, p->from, p->to);

	if (n < p->to) {
		p->from = max(p->from, round_down(n, p->rules.granule));
		p->to = dmem_page_changed_end(src, snap, n, p->to);
	}
	kunmap_local(snap);
	kunmap_local(src);
	return n;
}

/* Take the references that @p needs; @base: the page's address in the caller. */
static int dmem_look_page(struct dmem_merge *m, struct dmem_page *p,
			  struct dmem_found *found, unsigned long base)
{
	unsigned long addr = found->addr & PAGE_MASK;
	struct page *page;
	unsigned int n;

	p->src = found->page;
	p->snap = found->snap;
	p->take = found->take && p->to - p->from == PAGE_SIZE;
	p->addr = base;
	if (p->take) {
		m->pages++;
		return 0;
	}
	if (!p->src && !(found->addr & DMEM_NO_PAGE)) {
		page = dmem_get_page(m->child, addr, FOLL_FORCE);
		if (IS_ERR(page))
			return PTR_ERR(page);
		p->src = page;
	}
	if (!p->snap && !(found->addr & DMEM_NO_SNAP)) {
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
			       .take = true, .addr = child & PAGE_MASK,
			       .end = PAGE_ALIGN(child + len) };
	struct dmem_rules rules = dmem_merge_rules(flags);
	unsigned long end = child + len;
	unsigned int i;
	int ret = 0;

	m->before = m->conflicts;
	while (s.addr < s.end && !ret) {
		ret = dmem_scan(&s);
		if (s.nr && caller == child)
			dmem_take_look(m, s.found, s.nr);
		for (i = 0; i < s.nr && !ret; i++) {
			unsigned long addr = s.found[i].addr & PAGE_MASK;
			struct dmem_page *p = dmem_batch_slot(&m->batches);

			if (!p) {
				ret = -ENOMEM;
				break;
			}
			*p = (struct dmem_page){ .merge = true, .rules = rules };
			p->from = addr < child ? child - addr : 0;
			p->to = min(end - addr, PAGE_SIZE);
			ret = dmem_look_page(m, p, &s.found[i],
					     addr - child + caller);
			if (!ret && !p->dst && !p->take) /* unchanged after all */
				dmem_batch_unslot(&m->batches);
			cond_resched();
		}
		/* What no batch has taken over. */
		for (; i < s.nr; i++)
			dmem_found_put(&s.found[i]);
	}
	if (ret != -EINTR && test_bit(MMF_UNSTABLE, &m->child->flags))
		ret = -EOWNERDEAD;
	return ret;
}

/**
 * dmem_merge_write - write what was looked at
 * @m: the MERGEs of this call, each looked at
 *
 * Return: 0; -EINTR: the caller is dying; -EOWNERDEAD: the machine has lost a page
 * of the caller's since the look. All others are written all the same.
 */
int dmem_merge_write(struct dmem_merge *m)
{
	int ret = dmem_take_write(m);

	m->changed += dmem_batches_write(&m->batches);
	return ret;
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
