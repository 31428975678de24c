// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mapping and unmapping in any address space, the caller's or its stopped
 * child's: the ZERO and PERM of deterministic processes, and what COPY needs
 * of it. As mmap, munmap and mprotect do it, but on an mm that is not current's.
 */

#include <linux/deterministic.h>
#include <linux/dmem.h>
#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmu_notifier.h>
#include <linux/pkeys.h>
#include <linux/sched/signal.h>
#include <linux/security.h>

#include <asm/tlb.h>

#include <trace/events/deterministic.h>

#include "dmem_internal.h"
#include "internal.h"
#include "vma.h"

/* The end of a change; the tracepoint says if somebody waited for it. */
void dmem_unlock(struct mm_struct *mm)
{
	if (mmap_lock_is_contended(mm))
		trace_det_contended(mm);
	mmap_write_unlock(mm);
}

int dmem_unmap(struct mm_struct *mm, unsigned long start,
	       unsigned long end)
{
	VMA_ITERATOR(vmi, mm, start);

	if (start >= end || !find_vma_intersection(mm, start, end))
		return 0;
	return do_vmi_munmap(&vmi, mm, start, end - start, NULL, false);
}

/*
 * Zeros in a mapping that stays, of which little may have been used. Was there
 * anything?
 */
bool dmem_zap(struct vm_area_struct *vma, unsigned long start,
	      unsigned long end)
{
	struct dmem_diff d = { .a = vma->vm_mm, .addr = start, .end = end };
	struct mmu_notifier_range range;
	struct mmu_gather tlb;
	bool any = false;

	vma_start_write(vma);
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, vma->vm_mm, start,
				end);
	tlb_gather_mmu(&tlb, vma->vm_mm);
	update_hiwater_rss(vma->vm_mm);
	mmu_notifier_invalidate_range_start(&range);
	while (dmem_next_diff(&d)) {
		any = true;
		unmap_page_range(&tlb, vma, d.from, d.addr, NULL);
	}
	mmu_notifier_invalidate_range_end(&range);
	tlb_finish_mmu(&tlb);
	return any;
}

/* When even unmapping finds no memory: let nothing be seen of the pages. */
void dmem_forget(struct mm_struct *mm, unsigned long start,
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

vm_flags_t dmem_anon_flags(unsigned int prot, bool noreserve)
{
	vm_flags_t flags = calc_vm_prot_bits(prot, 0) | VM_MAYREAD |
			   VM_MAYWRITE | VM_MAYEXEC;

	if (noreserve && sysctl_overcommit_memory != OVERCOMMIT_NEVER)
		flags |= VM_NORESERVE;
	else if (flags & VM_WRITE)
		flags |= VM_ACCOUNT;
	return flags;
}

unsigned int dmem_vma_prot(const struct vm_area_struct *vma)
{
	return (vma->vm_flags & VM_READ ? PROT_READ : 0) |
	       (vma->vm_flags & VM_WRITE ? PROT_WRITE : 0) |
	       (vma->vm_flags & VM_EXEC ? PROT_EXEC : 0);
}

/* Fresh memory with a VMA's permission. */
vm_flags_t dmem_vma_flags(const struct vm_area_struct *vma)
{
	return dmem_anon_flags(dmem_vma_prot(vma), false);
}

/* Of no concern to a space: it has no core file of the kernel's. */
bool dmem_same_flags(const struct vm_area_struct *vma, vm_flags_t flags)
{
	return !((vma->vm_flags ^ flags) & ~(VM_SOFTDIRTY | VM_DONTDUMP));
}

/* The one VMA that covers the range, if one does. */
struct vm_area_struct *dmem_cover(struct mm_struct *mm,
				  unsigned long start,
				  unsigned long end)
{
	struct vm_area_struct *vma = vma_lookup(mm, start);

	return vma && vma->vm_end >= end ? vma : NULL;
}

/* Count the part of a VMA that lies in a range, as if it had these flags. */
void dmem_sum_add(struct dmem_sum *sum, const struct vm_area_struct *vma,
		  vm_flags_t flags, unsigned long start, unsigned long end)
{
	unsigned long pages = (min(end, vma->vm_end) -
			       max(start, vma->vm_start)) >> PAGE_SHIFT;

	sum->vmas++;
	sum->pages += pages;
	if (flags & VM_WRITE)
		sum->data += pages;
	if (flags & VM_ACCOUNT)
		sum->accounted += pages;
}

/* What goes if a range is unmapped; a VMA that is cut in two makes one more. */
static struct dmem_sum dmem_sum_range(struct mm_struct *mm, unsigned long start,
				      unsigned long end)
{
	VMA_ITERATOR(vmi, mm, start);
	struct dmem_sum sum = {};
	struct vm_area_struct *vma;

	for_each_vma_range(vmi, vma, end) {
		dmem_sum_add(&sum, vma, vma->vm_flags, start, end);
		sum.vmas -= vma->vm_start < start;
		sum.vmas -= vma->vm_end > end;
	}
	return sum;
}

/**
 * dmem_room - do the limits allow what is to replace a range?
 * @mm: whose
 * @start: first address
 * @end: behind the last one
 * @sum: what will be mapped there, in all
 *
 * Looked at before anything is unmapped. mmap lock held, for read at least.
 *
 * Return: 0 or -ENOMEM: number of mappings, RLIMIT_AS, RLIMIT_DATA, overcommit.
 */
int dmem_room(struct mm_struct *mm, unsigned long start, unsigned long end,
	      const struct dmem_sum *sum)
{
	struct dmem_sum old = dmem_sum_range(mm, start, end);
	unsigned long more;

	if (mm->map_count - old.vmas + sum->vmas > sysctl_max_map_count)
		return -ENOMEM;
	if (sum->pages > old.pages &&
	    !may_expand_vm(mm, 0, sum->pages - old.pages))
		return -ENOMEM;
	if (sum->data > old.data &&
	    !may_expand_vm(mm, VM_WRITE, sum->data - old.data))
		return -ENOMEM;
	if (sum->accounted <= old.accounted)
		return 0;
	more = sum->accounted - old.accounted;
	if (security_vm_enough_memory_mm(mm, more))
		return -ENOMEM;
	/* Only asked: each mapping is charged when it is made. */
	vm_unacct_memory(more);
	return 0;
}

/*
 * The limits on one mapping that will replace what is there, looked at before
 * anything is unmapped; dmem_uncharge() if it does not come about.
 */
int dmem_charge(struct mm_struct *mm, vm_flags_t flags,
		unsigned long start, unsigned long end)
{
	struct dmem_sum old = dmem_sum_range(mm, start, end);
	unsigned long pages = (end - start) >> PAGE_SHIFT;

	if (mm->map_count - old.vmas + 1 > sysctl_max_map_count ||
	    !may_expand_vm(mm, flags, pages - old.pages))
		return -ENOMEM;
	if (flags & VM_ACCOUNT && security_vm_enough_memory_mm(mm, pages))
		return -ENOMEM;
	return 0;
}

void dmem_uncharge(vm_flags_t flags, unsigned long start,
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
int dmem_map_zeros(struct mm_struct *mm, unsigned long start,
		   unsigned long end, vm_flags_t flags)
{
	struct vm_area_struct *vma = dmem_cover(mm, start, end);
	int ret;

	if (vma && vma_is_anonymous(vma) && dmem_same_flags(vma, flags)) {
		dmem_zap(vma, start, end);
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

/*
 * What the machine's security policy has said. It is not the program's: a space
 * is not shown a refusal, but killed (EOWNERDEAD).
 */
static int dmem_policy(int ret)
{
	return ret && det_is_space(current) ? -EOWNERDEAD : ret;
}

/**
 * dmem_may_map_at - does the machine allow memory at this address?
 * @addr: page aligned
 *
 * Return: 0; below vm.mmap_min_addr -EFAULT to a master, -EOWNERDEAD to a
 * space, whose program does not know that setting.
 */
int dmem_may_map_at(unsigned long addr)
{
	return dmem_policy(security_mmap_addr(addr) ? -EFAULT : 0);
}

/* What mmap and its security modules say to such a mapping. */
static int dmem_may_map(unsigned long addr, unsigned int prot)
{
	vm_flags_t flags = calc_vm_prot_bits(prot, 0);

	if (map_deny_write_exec(flags, flags))
		return -EACCES;
	return dmem_may_map_at(addr) ?:
	       dmem_policy(security_mmap_file(NULL, prot, MAP_PRIVATE |
					      MAP_ANONYMOUS | MAP_FIXED));
}

/* Some memory is unmapped in its own units only: hugetlb, vDSO. */
static int dmem_may_cut(struct vm_area_struct *vma, unsigned long addr)
{
	if (addr <= vma->vm_start || addr >= vma->vm_end || !vma->vm_ops ||
	    !vma->vm_ops->may_split)
		return 0;
	return vma->vm_ops->may_split(vma, addr) ? -EOPNOTSUPP : 0;
}

/* May all of a range be replaced? With the mmap lock. */
int dmem_may_replace(struct mm_struct *mm, unsigned long start,
		     unsigned long end, unsigned long *where)
{
	VMA_ITERATOR(vmi, mm, start);
	struct vm_area_struct *vma;
	int ret = 0;

	for_each_vma_range(vmi, vma, end) {
		if (vma->vm_flags & VM_SEALED)
			ret = -EPERM;
		else
			ret = dmem_may_cut(vma, start) ?:
			      dmem_may_cut(vma, end);
		if (!ret)
			continue;
		*where = max(start, vma->vm_start);
		break;
	}
	return ret;
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
 * Return: 0, -EFAULT, -EACCES, -EPERM (sealed memory of a master), -EOPNOTSUPP
 * (a part of what goes only as a whole), -ENOMEM, -EINTR, or -ENOTRECOVERABLE:
 * no memory, and the whole pages are unmapped.
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
	ret = dmem_may_replace(mm, start, end, where);
	if (!ret && prot)
		ret = dmem_map_zeros(mm, start, end,
				     dmem_anon_flags(prot, noreserve));
	else if (!ret)
		ret = dmem_unmap(mm, start, end);
	dmem_unlock(mm);
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
	return dmem_policy(security_file_mprotect(vma, prot, prot));
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
 * -EOPNOTSUPP for memory that has its own idea of mprotect (SGX), or a part of
 * what goes only as a whole, -EPERM (sealed),
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
		next = min(vma->vm_end, end);
		ret = dmem_may_protect(vma, prot, &flags);
		/* A permission that stays cuts nothing. */
		if (!ret && flags != vma->vm_flags)
			ret = dmem_may_cut(vma, pos) ?:
			      dmem_may_cut(vma, next);
		if (ret)
			break;
		ret = mprotect_fixup(&vmi, &tlb, vma, &prev, pos, next, flags);
		if (ret)
			break;
		pos = vma_iter_end(&vmi);
	}
out:
	tlb_finish_mmu(&tlb);
	dmem_unlock(mm);
	*where = pos;
	return ret ?: pos < end ? -EFAULT : 0;
}
