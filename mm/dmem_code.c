// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is there code in an address space that draws random numbers? No CPU lets
 * RDRAND and RDSEED fault outside of virtualisation, but each of their encodings
 * has the bytes 0F C7 and one of F0 to FF in a row. So a program that cannot
 * write to what it executes, and has no such bytes there, at whatever offset,
 * cannot draw one. RDPID has such an encoding too, and code that has nothing to
 * do with any of them may have the bytes by chance.
 */

#include <linux/dmem.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/string.h>

#include "dmem_internal.h"

/* The last two bytes that were looked at, and what comes behind them. */
struct dmem_tail {
	unsigned long end;
	u8 byte[2];
};

static bool dmem_is_random(u8 a, u8 b, u8 c)
{
	return a == 0x0f && b == 0xc7 && c >= 0xf0;
}

/* The offset of the first encoding that begins in a page, or -1. */
static int dmem_find_random(const u8 *page)
{
	const u8 *p = page, *end = page + PAGE_SIZE - 2;

	while ((p = memchr(p, 0x0f, end - p))) {
		if (dmem_is_random(p[0], p[1], p[2]))
			return p - page;
		p++;
	}
	return -1;
}

/* One page behind another, or behind zeros. False: @where has an encoding. */
static bool dmem_check_page(struct dmem_tail *t, unsigned long addr,
			    const u8 *page, unsigned long *where)
{
	int at;

	if (t->end != addr)
		memset(t->byte, 0, sizeof(t->byte));
	if (dmem_is_random(t->byte[0], t->byte[1], page[0])) {
		*where = addr - 2;
		return false;
	}
	if (dmem_is_random(t->byte[1], page[0], page[1])) {
		*where = addr - 1;
		return false;
	}
	at = dmem_find_random(page);
	if (at >= 0) {
		*where = addr + at;
		return false;
	}
	memcpy(t->byte, page + PAGE_SIZE - 2, 2);
	t->end = addr + PAGE_SIZE;
	return true;
}

static int dmem_check_present(struct mm_struct *mm, struct dmem_tail *t,
			      unsigned long addr, unsigned long *where)
{
	struct page *page = dmem_get_page(mm, addr, FOLL_FORCE);
	u8 *at;
	bool ok;

	if (IS_ERR(page))
		return PTR_ERR(page);
	at = kmap_local_page(page);
	ok = dmem_check_page(t, addr, at, where);
	kunmap_local(at);
	put_page(page);
	return ok ? 0 : -EACCES;
}

/* The next range from @addr on that can be executed. */
static int dmem_next_code(struct mm_struct *mm, unsigned long addr,
			  struct dmem_scan *s, unsigned long *where)
{
	struct vm_area_struct *vma;
	int ret = 0;

	s->addr = 0;
	s->end = 0;
	if (mmap_read_lock_killable(mm))
		return -EINTR;
	vma = find_vma(mm, addr);
	while (vma && !(vma->vm_flags & VM_EXEC))
		vma = find_vma(mm, vma->vm_end);
	if (vma) {
		s->addr = vma->vm_start;
		s->end = vma->vm_end;
		if (vma->vm_flags & VM_WRITE) {
			*where = vma->vm_start;
			ret = -EACCES;
		}
	}
	mmap_read_unlock(mm);
	return ret;
}

/**
 * dmem_check_code - can a program draw no random number?
 * @mm: its address space, at rest
 * @where: out: where memory is executable and writable, or has an encoding
 *
 * Context: may sleep; takes the mmap lock for read.
 * Return: 0; -EACCES with @where; -EINTR (SIGKILL); -EOWNERDEAD, -ENOMEM.
 */
int dmem_check_code(struct mm_struct *mm, unsigned long *where)
{
	struct dmem_scan s = { .mm = mm };
	struct dmem_tail tail = { };
	unsigned long next = 0;
	unsigned int i;
	int ret;

	for (;;) {
		ret = dmem_next_code(mm, next, &s, where);
		if (ret || !s.end)
			return ret;
		next = s.end;
		while (s.addr < s.end && !ret) {
			ret = dmem_scan(&s);
			for (i = 0; i < s.nr && !ret; i++)
				ret = dmem_check_present(mm, &tail,
							 s.found[i].addr & PAGE_MASK,
							 where);
			if (fatal_signal_pending(current))
				ret = -EINTR;
			cond_resched();
		}
		if (ret)
			return ret;
	}
}
