// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bytes written into an address space that is not current's, or that may be
 * taken away meanwhile: every page is looked at and pinned first, then all are
 * written, so that a failure has changed nothing. COPY, ZERO and MERGE of
 * deterministic processes write what is not whole pages in this way.
 *
 * Pages come through GUP with no mmap lock of another mm held: that GUP may
 * wait for a userfault handler, which may wait for the very child.
 */

#include <linux/deterministic.h>
#include <linux/dmem.h>
#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/mmu_context.h>
#include <linux/sched/signal.h>
#include <linux/secretmem.h>
#include <linux/slab.h>
#include <linux/userfaultfd_k.h>

#include "dmem_internal.h"
#include "internal.h"

struct dmem_page *dmem_batch_slot(struct list_head *batches)
{
	struct dmem_batch *b = NULL;

	if (!list_empty(batches))
		b = list_last_entry(batches, struct dmem_batch, list);
	if (!b || b->nr == DMEM_BATCH) {
		b = kzalloc(sizeof(*b), GFP_KERNEL_ACCOUNT);
		if (!b)
			return NULL;
		list_add_tail(&b->list, batches);
	}
	return &b->page[b->nr++];
}

static void dmem_page_put(struct dmem_page *p)
{
	if (p->dst)
		unpin_user_page(p->dst);
	if (p->src)
		put_page(p->src);
	if (p->snap)
		put_page(p->snap);
}

/* The slot that was taken last is not needed after all. */
void dmem_batch_unslot(struct list_head *batches)
{
	struct dmem_batch *b = list_last_entry(batches, struct dmem_batch,
					       list);

	dmem_page_put(&b->page[--b->nr]);
}

void dmem_batches_drop(struct list_head *batches)
{
	struct dmem_batch *b, *next;
	unsigned int i;

	list_for_each_entry_safe(b, next, batches, list) {
		for (i = 0; i < b->nr; i++)
			dmem_page_put(&b->page[i]);
		list_del(&b->list);
		kfree(b);
		cond_resched();
	}
}

/* Returns the number of bytes that it changed. */
static unsigned int dmem_page_write(struct dmem_page *p)
{
	void *dst = dmem_map(p->dst), *src = dmem_map(p->src);
	unsigned int n = p->to - p->from;

	if (p->merge) {
		void *snap = dmem_map(p->snap);

		n = dmem_page_merge(dst, src, snap, p->from, p->to, &p->rules);
		kunmap_local(snap);
	} else {
		memcpy(dst + p->from, src + p->src_from, n);
	}
	kunmap_local(src);
	kunmap_local(dst);
	set_page_dirty_lock(p->dst);
	return n;
}

/* Nothing here can fail: all pages are present, writable and held. */
unsigned long dmem_batches_write(struct list_head *batches)
{
	struct dmem_batch *b;
	unsigned long n = 0;
	unsigned int i;

	list_for_each_entry(b, batches, list) {
		for (i = 0; i < b->nr; i++)
			if (b->page[i].dst)
				n += dmem_page_write(&b->page[i]);
		cond_resched();
	}
	return n;
}

/* As dmem_accessible(), the lock is held. */
static bool dmem_accessible_locked(struct mm_struct *mm, unsigned long addr,
				   unsigned long len, vm_flags_t need,
				   bool keys)
{
	unsigned long end = addr + len;
	struct vm_area_struct *vma;

	for (; addr < end; addr = vma->vm_end) {
		vma = vma_lookup(mm, addr);
		if (!vma || !vma_is_anonymous(vma) || userfaultfd_armed(vma) ||
		    vma->vm_flags & (VM_IO | VM_PFNMAP) ||
		    (vma->vm_flags & need) != need)
			return false;
		if (keys && !arch_vma_access_permitted(vma, need & VM_WRITE,
						       false, false))
			return false;
	}
	return true;
}

/**
 * dmem_accessible - may a program access all of a range?
 * @mm: its address space
 * @addr: any address
 * @len: bytes
 * @need: VM_READ or VM_WRITE; 0: any mapping will do
 * @keys: by the program itself, whose protection keys count
 *
 * Anonymous memory only, for which only the machine can be the reason (poison,
 * a swap device) if an access fails all the same.
 *
 * Return: whether it may.
 */
bool dmem_accessible(struct mm_struct *mm, unsigned long addr,
		     unsigned long len, vm_flags_t need, bool keys)
{
	bool ok;

	mmap_read_lock(mm);
	ok = dmem_accessible_locked(mm, addr, len, need, keys);
	mmap_read_unlock(mm);
	return ok;
}

static long dmem_gup(struct mm_struct *mm, unsigned long addr,
		     unsigned int flags, bool pin, struct page **page,
		     int *locked)
{
	addr &= PAGE_MASK;
	if (pin)
		return pin_user_pages_remote(mm, addr, 1, flags, page, locked);
	return get_user_pages_remote(mm, addr, 1, flags, page, locked);
}

/*
 * Once more, and why not. The lock is held from the attempt to the look at what is
 * mapped: the threads of a master may have put back meanwhile what the first
 * attempt has missed, and that is not the machine's doing.
 */
static long dmem_gup_again(struct mm_struct *mm, unsigned long addr,
			   unsigned int flags, bool pin, struct page **page)
{
	vm_flags_t need = VM_READ;
	long ret;

	if (flags & FOLL_FORCE)
		need = 0;
	else if (flags & FOLL_WRITE)
		need = VM_WRITE;
	if (mmap_read_lock_killable(mm))
		return -EINTR;
	ret = dmem_gup(mm, addr, flags, pin, page, NULL);
	if (ret != 1 && ret != -ENOMEM && ret != -EINTR)
		ret = dmem_accessible_locked(mm, addr, 1, need, false) ?
		      -EOWNERDEAD : -EFAULT;
	mmap_read_unlock(mm);
	return ret;
}

static struct page *dmem_page(struct mm_struct *mm, unsigned long addr,
			      unsigned int flags, bool pin)
{
	struct page *page;
	int locked = 1;
	long ret;

	if (mmap_read_lock_killable(mm))
		return ERR_PTR(-EINTR);
	ret = dmem_gup(mm, addr, flags, pin, &page, &locked);
	if (locked)
		mmap_read_unlock(mm);
	if (ret != 1 && ret != -ENOMEM && ret != -EINTR)
		ret = dmem_gup_again(mm, addr, flags, pin, &page);
	if (ret != 1 && fatal_signal_pending(current))
		ret = -EINTR;
	return ret == 1 ? page : ERR_PTR(ret);
}

/* A page with a reference, or an ERR_PTR; -EOWNERDEAD: the machine lost it. */
struct page *dmem_get_page(struct mm_struct *mm, unsigned long addr,
			   unsigned int flags)
{
	return dmem_page(mm, addr, flags, false);
}

/* The same, pinned for write. */
struct page *dmem_pin_page(struct mm_struct *mm, unsigned long addr,
			   unsigned int flags)
{
	return dmem_page(mm, addr, flags | FOLL_WRITE, true);
}

/*
 * Bytes: from any address to any address that is mapped writable.
 */

/* Memory that no space may have, whatever the operation. */
bool dmem_refused(struct vm_area_struct *vma)
{
	return is_vm_hugetlb_page(vma) || vma_is_secretmem(vma) ||
	       userfaultfd_armed(vma);
}

/* Memory that a copy of a whole space leaves out, and a range has not. */
bool dmem_left_out(struct vm_area_struct *vma)
{
	if (!vma_is_anonymous(vma) && !vma->vm_file)	/* vDSO, uprobes' */
		return true;
	return vma->vm_flags & (VM_IO | VM_PFNMAP | VM_MIXEDMAP | VM_DONTCOPY |
				VM_DROPPABLE | VM_SHADOW_STACK);
}

/* Is there such memory in the source? */
static int dmem_look_source(struct dmem_copy *c, unsigned long addr,
			    unsigned long len)
{
	VMA_ITERATOR(vmi, c->src, addr);
	struct vm_area_struct *vma;
	int ret = 0;

	if (mmap_read_lock_killable(c->src))
		return -EINTR;
	for_each_vma_range(vmi, vma, addr + len) {
		if (!dmem_refused(vma) && !dmem_left_out(vma))
			continue;
		c->where = max(addr, vma->vm_start);
		ret = -EOPNOTSUPP;
		break;
	}
	mmap_read_unlock(c->src);
	return ret;
}

/* One piece that crosses no page boundary on either side. */
static int dmem_look_piece(struct list_head *batches, struct dmem_copy *c,
			   unsigned long daddr, unsigned long saddr,
			   unsigned int n, unsigned int flags)
{
	struct dmem_page *p = dmem_batch_slot(batches);
	struct page *page;

	if (!p)
		return -ENOMEM;
	p->from = offset_in_page(daddr);
	p->to = p->from + n;
	if (c->src) {
		p->src_from = offset_in_page(saddr);
		page = dmem_get_page(c->src, saddr, FOLL_FORCE);
		if (IS_ERR(page)) {
			c->where = saddr;
			return PTR_ERR(page);
		}
		p->src = page;
	}
	page = dmem_pin_page(c->dst, daddr, flags);
	if (IS_ERR(page)) {
		c->where = daddr;
		return PTR_ERR(page);
	}
	p->dst = page;
	return 0;
}

/* Make all pages of a byte-wise copy present; c->src NULL: zeros. */
int dmem_look_bytes(struct list_head *batches, struct dmem_copy *c,
		    unsigned long daddr, unsigned long saddr,
		    unsigned long len, unsigned int flags)
{
	unsigned int n;
	int ret = 0;

	if (c->src && len)
		ret = dmem_look_source(c, saddr, len);
	for (; len && !ret; daddr += n, saddr += n, len -= n) {
		n = min3(len, PAGE_SIZE - offset_in_page(daddr),
			 PAGE_SIZE - offset_in_page(saddr));
		ret = dmem_look_piece(batches, c, daddr, saddr, n, flags);
		if (fatal_signal_pending(current))
			ret = -EINTR;
		cond_resched();
	}
	return ret;
}

/**
 * dmem_write - write a few bytes into a stopped space
 * @mm: the space's
 * @addr: where, readable by the space or not
 * @buf: what
 * @len: how many
 *
 * Return: 0, -EFAULT, -ENOMEM, -EINTR or -EOWNERDEAD.
 */
int dmem_write(struct mm_struct *mm, unsigned long addr, const void *buf,
	       unsigned int len)
{
	unsigned int n;
	void *to;

	for (; len; addr += n, buf += n, len -= n) {
		struct page *page = dmem_pin_page(mm, addr, FOLL_FORCE);

		if (IS_ERR(page))
			return PTR_ERR(page);
		n = min_t(unsigned int, len, PAGE_SIZE - offset_in_page(addr));
		to = kmap_local_page(page);
		memcpy(to + offset_in_page(addr), buf, n);
		kunmap_local(to);
		unpin_user_pages_dirty_lock(&page, 1, true);
	}
	return 0;
}
