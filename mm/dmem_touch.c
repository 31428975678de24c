// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which page tables have changed since they were found equal to others: a space's
 * to its snapshot's, for SNAP and MERGE, a parent's to its child's, for another
 * COPY. Those that have not need no look.
 *
 * A clock counts COPYs and SNAPs. A page table keeps two times: since when it has
 * not been touched, and when all its entries were found equal to those of the table
 * that it is a copy of. It still is in sync with that one if that one has not been
 * touched since; if it was touched itself it is not in sync. The same goes for tables
 * of tables, in which all is in sync.
 *
 * A table that is touched has no times, until the next COPY or SNAP finds it equal;
 * so one that a huge page has taken the place of, and that is put aside for when that
 * is split, has none. A table of tables has the time at which it was touched.
 *
 * Equal entries name one page, or the same place in swap, so the page is not one
 * mm's alone and cannot be written without a fault. Faults touch, and so do the
 * changes that need none: unmapping, moving, userfaultfd, uprobes, MADV_FREE of
 * what is swapped out, and the operations here. What the machine does to pages
 * (swap, migration, KSM) does not change their bytes.
 *
 * Most changes are made with the mmap lock or the VMA's, which COPY and SNAP hold
 * for write while they compare. Truncation has neither: it touches with the lock of
 * the table, which is held to compare, too. COPY and SNAP move the clock on before
 * they look; so what they may have missed has a later time than what they found.
 */

#include <linux/dmem.h>
#include <linux/mm.h>

#include "dmem_internal.h"

DEFINE_STATIC_KEY_FALSE(dmem_dated);

/* In steps of two: a time lies where a set bit 0 would mean a compound page. */
static atomic_long_t dmem_clock = ATOMIC_LONG_INIT(2);

/**
 * dmem_date - page tables are to keep times from now on
 * @mm: whose
 *
 * Context: may sleep, no lock held.
 */
void dmem_date(struct mm_struct *mm)
{
	static_branch_enable(&dmem_dated);
	if (!test_bit(MMF_DATED, &mm->flags))
		set_bit(MMF_DATED, &mm->flags);
}

/**
 * dmem_tick - begin to look for what is equal
 *
 * Context: both mmap locks held for write.
 * Return: the time for dmem_set_sync(); what is touched from now on is later.
 */
unsigned long dmem_tick(void)
{
	return atomic_long_add_return(2, &dmem_clock) - 2;
}

static void dmem_set_times(struct ptdesc *table, unsigned long touched,
			   unsigned long synced)
{
	WRITE_ONCE(*dmem_touched(table), touched);
	WRITE_ONCE(*dmem_synced(table), synced);
	if (!dmem_has_times(table)) {
		smp_mb__before_atomic();
		set_bit(PG_workingset, &table->__page_flags);
	}
}

static void dmem_set_copy(struct ptdesc *copy, unsigned long now)
{
	dmem_set_times(copy, dmem_has_times(copy) ? *dmem_touched(copy) : now,
		       now);
}

/**
 * dmem_set_sync - all entries of two tables are equal
 * @of: a table
 * @copy: that of the copy
 * @now: from dmem_tick()
 *
 * Context: both mmap locks held for write, and the locks of both tables.
 */
void dmem_set_sync(struct ptdesc *of, struct ptdesc *copy, unsigned long now)
{
	if (!dmem_has_times(of))
		dmem_set_times(of, now, 0);
	dmem_set_copy(copy, now);
}

static void dmem_touch_tables(struct ptdesc *table)
{
	dmem_set_times(table, atomic_long_read(&dmem_clock), 0);
}

/**
 * dmem_set_all_sync - all tables in two tables of tables are in sync
 * @of: a table
 * @copy: that of the copy
 * @now: from dmem_tick()
 *
 * Truncation may touch meanwhile. So one that has no times is touched first: it is in
 * sync the next time.
 *
 * Context: both mmap locks held for write.
 */
void dmem_set_all_sync(struct ptdesc *of, struct ptdesc *copy,
		       unsigned long now)
{
	if (dmem_has_times(of))
		dmem_set_copy(copy, now);
	else
		dmem_touch_tables(of);
}

static void dmem_touch_table(struct ptdesc *table)
{
	if (dmem_has_times(table))
		clear_bit(PG_workingset, &table->__page_flags);
}

/*
 * The table first. Whoever passes it over in between, and then finds all of the
 * table of tables in sync, has moved the clock before: that one gets a later time.
 */
void __dmem_touch(pmd_t *pmd)
{
	pmd_t val = pmdp_get_lockless(pmd);

	if (dmem_is_table(val))
		dmem_touch_table(dmem_ptdesc(val));
	smp_mb();
	dmem_touch_tables(virt_to_ptdesc(pmd));
}

void __dmem_touch_range(struct mm_struct *mm, unsigned long start,
			unsigned long end)
{
	unsigned long addr, next;
	pmd_t *pmd;

	for (addr = start; addr < end; addr = next) {
		pmd = dmem_pmd(mm, addr, end, &next);
		if (!pmd)
			continue;
		/* Empty ones, too: something may be mapped there. */
		dmem_touch_tables(virt_to_ptdesc(pmd));
		next = pud_addr_end(addr, end);
		for (; addr < next; addr = pmd_addr_end(addr, next), pmd++) {
			pmd_t val = pmdp_get_lockless(pmd);

			if (dmem_is_table(val))
				dmem_touch_table(dmem_ptdesc(val));
		}
		cond_resched();
	}
}
