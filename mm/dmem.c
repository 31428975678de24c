// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory operations on another task's address space: the COPY, ZERO and PERM
 * of deterministic processes (Documentation/deterministic/). Snapshots and
 * MERGE are in dmem_image.c.
 *
 * The caller is a master or a space; the other address space is that of its
 * stopped child, or the child's snapshot, which nobody changes. All memory of
 * a space is private and anonymous: what was a file's in the source is broken
 * out of the page cache before it is shared, so no one outside the tree can
 * write what a space reads.
 *
 * Locks: the caller's mmap lock is taken before the child's, the child's
 * before its snapshot's, each for write, where page tables are copied. Bytes
 * are written through GUP with no mmap lock of another mm held: that GUP may
 * wait for a userfault handler, which may wait for this very child. Wherever
 * bytes are written into existing memory every page is pinned first, so that
 * a failure has changed nothing. VMAs are forked from caller to child only,
 * never back: each round trip would deepen the anon_vma chain.
 */

#include <linux/deterministic.h>
#include <linux/dmem.h>
#include <linux/hugetlb.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/mman.h>
#include <linux/pkeys.h>
#include <linux/rmap.h>
#include <linux/sched/coredump.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/secretmem.h>
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/swapops.h>
#include <linux/userfaultfd_k.h>

#include <asm/tlb.h>
#include <asm/tlbflush.h>

#include "dmem_internal.h"
#include "internal.h"
#include "vma.h"

/* An operation failed half way: the range has been unmapped as a whole. */
#define DMEM_BROKEN	(-ENOTRECOVERABLE)

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
			n += dmem_page_write(&b->page[i]);
		cond_resched();
	}
	return n;
}

/* GUP knows more reasons than a program can do anything about. */
static int dmem_gup_error(long ret)
{
	if (ret == -ENOMEM || ret == -EINTR)
		return ret;
	return fatal_signal_pending(current) ? -EINTR : -EFAULT;
}

struct page *dmem_get_page(struct mm_struct *mm, unsigned long addr,
			   unsigned int flags)
{
	struct page *page;
	int locked = 1;
	long ret;

	if (mmap_read_lock_killable(mm))
		return ERR_PTR(-EINTR);
	ret = get_user_pages_remote(mm, addr & PAGE_MASK, 1, flags, &page,
				    &locked);
	if (locked)
		mmap_read_unlock(mm);
	return ret == 1 ? page : ERR_PTR(dmem_gup_error(ret));
}

struct page *dmem_pin_page(struct mm_struct *mm, unsigned long addr,
			   unsigned int flags)
{
	struct page *page;
	int locked = 1;
	long ret;

	if (mmap_read_lock_killable(mm))
		return ERR_PTR(-EINTR);
	ret = pin_user_pages_remote(mm, addr & PAGE_MASK, 1,
				    flags | FOLL_WRITE, &page, &locked);
	if (locked)
		mmap_read_unlock(mm);
	return ret == 1 ? page : ERR_PTR(dmem_gup_error(ret));
}

/*
 * Bytes: from any address to any address that is mapped writable.
 */

/* Memory that no space may have, whatever the operation. */
static bool dmem_refused(struct vm_area_struct *vma)
{
	return is_vm_hugetlb_page(vma) || vma_is_secretmem(vma) ||
	       userfaultfd_armed(vma);
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
		if (!dmem_refused(vma))
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
static int dmem_look_bytes(struct list_head *batches, struct dmem_copy *c,
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
 * Return: 0, -EFAULT, -ENOMEM or -EINTR.
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

/*
 * Mapping and unmapping, in any mm whose mmap lock is held for write.
 */

static int dmem_unmap(struct mm_struct *mm, unsigned long start,
		      unsigned long end)
{
	VMA_ITERATOR(vmi, mm, start);

	if (start >= end)
		return 0;
	return do_vmi_munmap(&vmi, mm, start, end - start, NULL, false);
}

/* When even unmapping finds no memory: let nothing be seen of the pages. */
static void dmem_forget(struct mm_struct *mm, unsigned long start,
			unsigned long end)
{
	VMA_ITERATOR(vmi, mm, start);
	struct vm_area_struct *vma;

	if (!dmem_unmap(mm, start, end))
		return;
	for_each_vma_range(vmi, vma, end) {
		unsigned long from = max(start, vma->vm_start);

		if (is_vm_hugetlb_page(vma))	/* never ours, whole pages only */
			continue;
		zap_page_range_single(vma, from, min(end, vma->vm_end) - from,
				      NULL);
	}
}

static vm_flags_t dmem_anon_flags(unsigned int prot, bool noreserve)
{
	vm_flags_t flags = calc_vm_prot_bits(prot, 0) | VM_MAYREAD |
			   VM_MAYWRITE | VM_MAYEXEC;

	if (noreserve && sysctl_overcommit_memory != OVERCOMMIT_NEVER)
		flags |= VM_NORESERVE;
	else if (flags & VM_WRITE)
		flags |= VM_ACCOUNT;
	return flags;
}

static unsigned int dmem_vma_prot(const struct vm_area_struct *vma)
{
	return (vma->vm_flags & VM_READ ? PROT_READ : 0) |
	       (vma->vm_flags & VM_WRITE ? PROT_WRITE : 0) |
	       (vma->vm_flags & VM_EXEC ? PROT_EXEC : 0);
}

/* Fresh memory with a VMA's permission. */
static vm_flags_t dmem_vma_flags(const struct vm_area_struct *vma)
{
	return dmem_anon_flags(dmem_vma_prot(vma), false);
}

static bool dmem_same_flags(const struct vm_area_struct *vma, vm_flags_t flags)
{
	return !((vma->vm_flags ^ flags) & ~VM_SOFTDIRTY);
}

/* The one VMA that covers the range, if one does. */
static struct vm_area_struct *dmem_cover(struct mm_struct *mm,
					 unsigned long start,
					 unsigned long end)
{
	struct vm_area_struct *vma = vma_lookup(mm, start);

	return vma && vma->vm_end >= end ? vma : NULL;
}

/*
 * The limits on a mapping that will replace what is there, looked at before
 * anything is unmapped; dmem_uncharge() if it does not come about.
 */
static int dmem_charge(struct mm_struct *mm, vm_flags_t flags,
		       unsigned long start, unsigned long end)
{
	VMA_ITERATOR(vmi, mm, start);
	unsigned long pages = (end - start) >> PAGE_SHIFT, more = pages;
	struct vm_area_struct *vma;

	for_each_vma_range(vmi, vma, end)
		more -= (min(end, vma->vm_end) - max(start, vma->vm_start)) >>
			PAGE_SHIFT;
	if (mm->map_count >= sysctl_max_map_count ||
	    !may_expand_vm(mm, flags, more))
		return -ENOMEM;
	if (flags & VM_ACCOUNT && security_vm_enough_memory_mm(mm, pages))
		return -ENOMEM;
	return 0;
}

static void dmem_uncharge(vm_flags_t flags, unsigned long start,
			  unsigned long end)
{
	if (flags & VM_ACCOUNT)
		vm_unacct_memory((end - start) >> PAGE_SHIFT);
}

/* Map zeros where nothing is mapped, after dmem_charge(). */
static int dmem_map_new(struct mm_struct *mm, unsigned long start,
			unsigned long end, vm_flags_t flags)
{
	VMA_ITERATOR(vmi, mm, start);
	VMG_STATE(vmg, mm, &vmi, start, end, flags, start >> PAGE_SHIFT);
	struct vm_area_struct *vma;
	int ret;

	vmg.next = vma_iter_next_rewind(&vmi, &vmg.prev);
	if (vma_merge_new_range(&vmg))
		goto mapped;

	ret = -ENOMEM;
	vma = vm_area_alloc(mm);
	if (!vma)
		goto unacct;
	vma_set_anonymous(vma);
	vma_set_range(vma, start, end, start >> PAGE_SHIFT);
	vm_flags_init(vma, flags);
	vma->vm_page_prot = vm_get_page_prot(flags);
	ret = vma_link(mm, vma);
	if (ret) {
		vm_area_free(vma);
		goto unacct;
	}
mapped:
	vm_stat_account(mm, flags, (end - start) >> PAGE_SHIFT);
	return 0;
unacct:
	dmem_uncharge(flags, start, end);
	return ret;
}

/* Map zeros, whatever was there. A VMA that fits already stays. */
static int dmem_map_zeros(struct mm_struct *mm, unsigned long start,
			  unsigned long end, vm_flags_t flags)
{
	struct vm_area_struct *vma = dmem_cover(mm, start, end);
	int ret;

	if (vma && vma_is_anonymous(vma) && dmem_same_flags(vma, flags)) {
		zap_page_range_single(vma, start, end - start, NULL);
		return 0;
	}
	ret = dmem_charge(mm, flags, start, end);
	if (ret)
		return ret;
	ret = dmem_unmap(mm, start, end);
	if (ret) {
		dmem_uncharge(flags, start, end);
		return ret;
	}
	ret = dmem_map_new(mm, start, end, flags);
	return ret ? DMEM_BROKEN : 0;
}

/* What mmap and its security modules say to such a mapping. */
static int dmem_may_map(unsigned long addr, unsigned int prot)
{
	vm_flags_t flags = calc_vm_prot_bits(prot, 0);

	if (security_mmap_addr(addr))
		return -EFAULT;
	if (map_deny_write_exec(flags, flags))
		return -EACCES;
	return security_mmap_file(NULL, prot,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED);
}

/**
 * dmem_zero - zeros in an address space
 * @mm: current's own, or that of a stopped child
 * @addr: any address
 * @len: bytes
 * @prot: PROT_*; 0: whole pages are unmapped
 * @noreserve: as MAP_NORESERVE
 * @where: out: address of the failure
 *
 * Whole pages are mapped anew. Parts of pages are written, where they are
 * mapped writable. All or nothing, except for memory that runs out.
 *
 * Return: 0, -EFAULT, -EACCES, -EPERM (sealed memory of a master), -ENOMEM,
 * -EINTR, or -ENOTRECOVERABLE: no memory, and the whole pages are unmapped.
 */
int dmem_zero(struct mm_struct *mm, unsigned long addr, unsigned long len,
	      unsigned int prot, bool noreserve, unsigned long *where)
{
	unsigned long start = PAGE_ALIGN(addr), end = (addr + len) & PAGE_MASK;
	struct dmem_copy bytes = { .dst = mm };
	LIST_HEAD(batches);
	int ret;

	if (start > end) {
		start = addr + len;
		end = start;
	}
	ret = dmem_look_bytes(&batches, &bytes, addr, addr, start - addr, 0);
	if (!ret)
		ret = dmem_look_bytes(&batches, &bytes, end, end,
				      addr + len - end, 0);
	*where = bytes.where;
	if (ret || start == end)
		goto write;

	*where = start;
	ret = prot ? dmem_may_map(start, prot) : 0;
	if (ret)
		goto write;
	if (mmap_write_lock_killable(mm)) {
		ret = -EINTR;
		goto write;
	}
	if (prot)
		ret = dmem_map_zeros(mm, start, end,
				     dmem_anon_flags(prot, noreserve));
	else
		ret = dmem_unmap(mm, start, end);
	mmap_write_unlock(mm);
write:
	if (!ret)
		dmem_batches_write(&batches);
	dmem_batches_drop(&batches);
	return ret;
}

/* mprotect's checks of one VMA; *flags: what it becomes. */
static int dmem_may_protect(struct vm_area_struct *vma, unsigned int prot,
			    vm_flags_t *flags)
{
	*flags = calc_vm_prot_bits(prot, vma_pkey(vma)) |
		 (vma->vm_flags & ~(VM_ACCESS_FLAGS | VM_FLAGS_CLEAR));
	/* VM_MAY* are four bits above VM_*. */
	if ((*flags & ~(*flags >> 4)) & VM_ACCESS_FLAGS)
		return -EACCES;
	if (map_deny_write_exec(vma->vm_flags, *flags))
		return -EACCES;
	if (vma->vm_ops && vma->vm_ops->mprotect)
		return -EOPNOTSUPP;
	return security_file_mprotect(vma, prot, prot);
}

/**
 * dmem_perm - change the permission of memory, as mprotect does
 * @mm: current's own, or that of a stopped child
 * @addr: page aligned
 * @len: bytes, rounded up to pages
 * @prot: PROT_*; contents survive PROT_NONE
 * @where: out: address of the failure; what lies before it is changed
 *
 * Return: 0, -EFAULT for a hole, -EACCES (VM_MAY*, MDWE, a security module),
 * -EOPNOTSUPP for memory that has its own idea of mprotect, -EPERM (sealed),
 * -ENOMEM, -EINTR.
 */
int dmem_perm(struct mm_struct *mm, unsigned long addr, unsigned long len,
	      unsigned int prot, unsigned long *where)
{
	VMA_ITERATOR(vmi, mm, addr);
	unsigned long pos = addr, next, end = addr + PAGE_ALIGN(len);
	struct vm_area_struct *vma, *prev;
	struct mmu_gather tlb;
	vm_flags_t flags;
	int ret = 0;

	if (mmap_write_lock_killable(mm))
		return -EINTR;
	tlb_gather_mmu(&tlb, mm);
	vma = vma_find(&vmi, end);
	if (!vma || vma->vm_start > addr)
		goto out;
	prev = vma_prev(&vmi);
	if (addr > vma->vm_start)
		prev = vma;
	for_each_vma_range(vmi, vma, end) {
		if (vma->vm_start > pos)
			break;
		ret = dmem_may_protect(vma, prot, &flags);
		if (ret)
			break;
		next = min(vma->vm_end, end);
		ret = mprotect_fixup(&vmi, &tlb, vma, &prev, pos, next, flags);
		if (ret)
			break;
		pos = vma_iter_end(&vmi);
	}
out:
	tlb_finish_mmu(&tlb);
	mmap_write_unlock(mm);
	*where = pos;
	return ret ?: pos < end ? -EFAULT : 0;
}

/*
 * COPY.
 */

/* Memory that a copy of a whole space leaves out. */
static bool dmem_left_out(struct vm_area_struct *vma)
{
	if (!vma_is_anonymous(vma) && !vma->vm_file)	/* vDSO, uprobes' */
		return true;
	return vma->vm_flags & (VM_IO | VM_PFNMAP | VM_MIXEDMAP | VM_DONTCOPY |
				VM_DROPPABLE | VM_SHADOW_STACK);
}

static bool dmem_shared(const struct vm_area_struct *vma)
{
	return vma->vm_flags & (VM_SHARED | VM_MAYSHARE);
}

/* What a space's copy of a private VMA looks like. */
static vm_flags_t dmem_child_flags(const struct vm_area_struct *vma)
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

/*
 * The first page of a VMA that still is the page cache's (or, with holes,
 * would come from there); end if there is none. mmap lock held.
 */
static unsigned long dmem_unbroken(struct vm_area_struct *vma,
				   unsigned long addr, unsigned long end,
				   bool holes)
{
	unsigned long next;

	for (; addr < end; addr = next) {
		pmd_t *pmd = mm_find_pmd(vma->vm_mm, addr);
		spinlock_t *ptl;	/* of the table that maps addr */
		bool unbroken;
		pte_t *pte;

		cond_resched();
		pte = pmd ? pte_offset_map_lock(vma->vm_mm, pmd, addr, &ptl) :
			    NULL;
		if (!pte) {	/* no table: nothing, or a huge page */
			if (holes)
				return addr;
			next = pmd_addr_end(addr, end);
			continue;
		}
		next = addr + PAGE_SIZE;
		unbroken = dmem_unbroken_pte(vma, addr, ptep_get(pte), holes);
		pte_unmap_unlock(pte, ptl);
		if (unbroken)
			return addr;
	}
	return end;
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
					     true);
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
 * Look at the source's VMAs: refuse what cannot be copied, break file pages
 * out, prepare the bytes of shared memory (unless whole: it is mapped later).
 */
static int dmem_copy_look(struct dmem_copy *c, unsigned long start,
			  unsigned long end, bool whole,
			  struct list_head *batches)
{
	unsigned long addr = start, next, delta = c->daddr - c->saddr;
	struct vm_area_struct *vma;
	bool shared, file, skip;
	int ret = 0;

	for (; addr < end && !ret; addr = next) {
		if (mmap_read_lock_killable(c->src))
			return -EINTR;
		vma = find_vma(c->src, addr);
		if (!vma || vma->vm_start >= end) {
			mmap_read_unlock(c->src);
			break;
		}
		addr = max(addr, vma->vm_start);
		next = min(end, vma->vm_end);
		shared = dmem_shared(vma);
		file = !shared && !vma_is_anonymous(vma);
		skip = whole && dmem_left_out(vma);
		if (!skip && (dmem_refused(vma) || dmem_left_out(vma)))
			ret = -EOPNOTSUPP;
		mmap_read_unlock(c->src);

		c->where = addr;
		if (!ret && file && !skip)
			ret = dmem_break_out(c, addr, next);
		if (!ret && shared && !whole)
			ret = dmem_look_bytes(batches, c, addr + delta, addr,
					      next - addr, 0);
		if (fatal_signal_pending(current))
			ret = -EINTR;
	}
	return ret;
}

/*
 * May pages of svma be mapped into dvma, which is there already? Only if the
 * rmap of those pages then finds dvma: it must hold every anon_vma of svma's
 * (it descends from it), and the indices must agree.
 */
static bool dmem_descends(struct vm_area_struct *dvma,
			  struct vm_area_struct *svma, unsigned long addr)
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
int dmem_fork_vma(struct mm_struct *mm, struct vm_area_struct *svma,
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

/* Share a private range with a child, copy-on-write; both locks held. */
static int dmem_share(struct mm_struct *dst, struct vm_area_struct *svma,
		      unsigned long start, unsigned long end)
{
	struct vm_area_struct *dvma = dmem_cover(dst, start, end);
	bool wipe = svma->vm_flags & VM_WIPEONFORK;
	int ret;

	if (dvma && dmem_descends(dvma, svma, start)) {
		zap_page_range_single(dvma, start, end - start, NULL);
		vma_start_write(dvma);
		dmem_rmap_behind(dvma);
	} else {
		ret = dmem_fork_vma(dst, svma, start, end, wipe, &dvma);
		if (ret)
			return ret;
	}
	if (!svma->anon_vma || wipe)
		return 0;
	vma_start_write(svma);
	ret = copy_page_subrange(dvma, svma, start, end);
	if (ret)
		ret = DMEM_BROKEN;
	/* Somebody has put page cache back since dmem_break_out(). */
	if (!ret && !vma_is_anonymous(svma) &&
	    dmem_unbroken(dvma, start, end, false) != end) {
		zap_page_range_single(dvma, start, end - start, NULL);
		ret = -EAGAIN;
	}
	return ret;
}

/* The part of a COPY that remaps whole pages, at the same address. */
static int dmem_share_range(struct dmem_copy *c, unsigned long start,
			    unsigned long end, bool whole)
{
	VMA_ITERATOR(vmi, c->src, start);
	unsigned long addr = start, next;
	struct vm_area_struct *vma;
	int ret = 0;

	for_each_vma_range(vmi, vma, end) {
		next = max(start, vma->vm_start);
		if (next > addr)
			ret = dmem_unmap(c->dst, addr, next);
		addr = next;
		next = min(end, vma->vm_end);
		if (ret)
			break;
		if (dmem_left_out(vma))
			ret = whole ? 0 : -EAGAIN;
		else if (dmem_refused(vma))
			ret = -EAGAIN;
		else if (!dmem_shared(vma))
			ret = dmem_share(c->dst, vma, addr, next);
		else if (whole)
			ret = dmem_map_zeros(c->dst, addr, next,
					     dmem_vma_flags(vma));
		if (ret)
			break;
		c->changed = true;
		addr = next;
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		cond_resched();
	}
	if (!ret)
		ret = dmem_unmap(c->dst, addr, end);
	c->where = addr;
	return ret;
}

static int dmem_share_locked(struct dmem_copy *c, unsigned long start,
			     unsigned long end, bool whole)
{
	int ret = 0;

	if (mmap_write_lock_killable(c->src))
		return -EINTR;
	mmap_write_lock_nested(c->dst, SINGLE_DEPTH_NESTING);
	if (whole)
		ret = dmem_unmap(c->dst, 0, TASK_SIZE);
	if (!ret)
		ret = dmem_share_range(c, start, end, whole);
	/* The source's entries are read-only now; its TLB must know. */
	flush_tlb_mm_range(c->src, start, end, PAGE_SHIFT, false);
	c->changed |= whole;
	if (ret == -ENOMEM && c->changed)
		ret = DMEM_BROKEN;
	if (ret && ret != -EAGAIN && ret != -ENOMEM)
		dmem_forget(c->dst, start, end);
	mmap_write_unlock(c->dst);
	mmap_write_unlock(c->src);
	return ret;
}

/*
 * COPY to where VMAs are not forked: into the caller, within one address
 * space, to another address. Fresh memory, filled page by page.
 */

static int dmem_fill_page(struct dmem_copy *c, unsigned long addr)
{
	struct page *src, *dst;

	src = dmem_get_page(c->src, addr, FOLL_FORCE);
	if (IS_ERR(src))
		return PTR_ERR(src);
	dst = dmem_pin_page(c->dst, addr - c->saddr + c->daddr, FOLL_FORCE);
	if (IS_ERR(dst)) {
		put_page(src);
		return PTR_ERR(dst);
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
			c->where = s.found[i] & PAGE_MASK;
			ret = dmem_fill_page(c, c->where);
			if (ret == -EFAULT)	/* it was there: the machine's */
				ret = -EOWNERDEAD;
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
	mmap_write_unlock(c->dst);
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

static int dmem_fresh_unlocked(struct dmem_copy *c, unsigned long start,
			       unsigned long end)
{
	unsigned long delta = c->daddr - c->saddr;
	int ret = dmem_unless_reaped(c->src, dmem_fresh_range(c, start, end));

	if (!ret || (ret == -ENOMEM && !c->changed))
		return ret;
	mmap_write_lock(c->dst);
	dmem_forget(c->dst, start + delta, end + delta);
	mmap_write_unlock(c->dst);
	return ret == -ENOMEM ? DMEM_BROKEN : ret;
}

/* Can pages be shared, or must they be filled? */
static bool dmem_can_share(const struct dmem_copy *c)
{
	return c->dst != current->mm && c->dst != c->src &&
	       c->daddr == c->saddr && c->src == current->mm;
}

/* Some memory is unmapped in its own units only: hugetlb, vDSO, SysV. */
static int dmem_may_cut(struct vm_area_struct *vma, unsigned long addr)
{
	if (addr <= vma->vm_start || addr >= vma->vm_end || !vma->vm_ops ||
	    !vma->vm_ops->may_split)
		return 0;
	return vma->vm_ops->may_split(vma, addr) ? -EOPNOTSUPP : 0;
}

/* May all of a range of the destination be replaced? */
static int dmem_may_replace(struct dmem_copy *c, unsigned long start,
			    unsigned long end)
{
	VMA_ITERATOR(vmi, c->dst, start);
	struct vm_area_struct *vma;
	int ret = 0;

	c->where = start;
	if (security_mmap_addr(start))
		return -EFAULT;
	if (mmap_read_lock_killable(c->dst))
		return -EINTR;
	for_each_vma_range(vmi, vma, end) {
		if (vma->vm_flags & VM_SEALED)
			ret = -EPERM;
		else
			ret = dmem_may_cut(vma, start) ?:
			      dmem_may_cut(vma, end);
		if (!ret)
			continue;
		c->where = max(start, vma->vm_start);
		break;
	}
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
	ret = dmem_may_replace(c, start + delta, end + delta);
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
		ret = dmem_unless_reaped(c->src, ret);
		if (!ret)
			dmem_batches_write(&batches);
		dmem_batches_drop(&batches);
	} while (ret == -EAGAIN && !fatal_signal_pending(current));
	return ret == -EAGAIN ? -EINTR : ret;
}

/* Shared memory of the source becomes private memory of the copy. */
static int dmem_fill_shared(struct dmem_copy *c)
{
	struct vm_area_struct *vma;
	unsigned long addr = 0, end, next;
	int ret = 0;

	while (!ret) {
		if (mmap_read_lock_killable(c->src))
			return -EINTR;
		for (vma = find_vma(c->src, addr); vma;
		     vma = find_vma(c->src, vma->vm_end))
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
 * dmem_copy_whole - COPY all of an address space into an emptied one
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
		ret = dmem_copy_look(c, 0, TASK_SIZE, true, &batches);
		if (ret)
			return ret;
		if (!dmem_can_share(c))
			return dmem_fresh_unlocked(c, 0, TASK_SIZE);
		ret = dmem_share_locked(c, 0, TASK_SIZE, true);
	} while (ret == -EAGAIN && !fatal_signal_pending(current));
	if (!ret) {
		ret = dmem_fill_shared(c);
		if (ret == -ENOMEM) {
			mmap_write_lock(c->dst);
			dmem_forget(c->dst, 0, TASK_SIZE);
			mmap_write_unlock(c->dst);
			ret = DMEM_BROKEN;
		}
		c->pages = get_mm_rss(c->dst);
	}
	return ret;
}
