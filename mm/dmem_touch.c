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
 * changes that need none: whoever calls dmem_touch(). What the machine does to pages
 * (swap, migration, KSM) does not change their bytes.
 *
 * Most changes are made with the mmap lock or the VMA's, which COPY and SNAP hold
 * for write while they compare. Truncation and reclaim have neither: they touch with
 * the lock of the table, which is held to compare, too. COPY and SNAP move the clock
 * on before they look; so what they may have missed has a later time than what they
 * found.
 */

#include <linux/dmem.h>
#include <linux/mm.h>

#include "dmem_internal.h"

DEFINE_STATIC_KEY_FALSE(dmem_dated);

/* In steps of two: a time lies where a set bit 0 would mean a compound page. */
static atomic_long_t dmem_clock = ATOMIC_LONG_INIT(2);

/* The last time that a table of tables can have: then none is in sync any more. */
#define DMEM_END	(U32_MAX - 1UL)

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

static void dmem_give_times(struct ptdesc *table)
{
	if (!dmem_has_times(table)) {
		smp_mb__before_atomic();	/* the times are there */
		set_bit(PG_workingset, &table->__page_flags);
	}
}

static void dmem_set_touched(struct ptdesc *table, unsigned long now)
{
	if (dmem_has_times(table))
		return;
	WRITE_ONCE(*dmem_touched(table), now);
	WRITE_ONCE(*dmem_synced(table), 0);
	dmem_give_times(table);
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
	dmem_set_touched(of, now);
	dmem_set_touched(copy, now);
	WRITE_ONCE(*dmem_synced(copy), now);
}

static void dmem_touch_tables(struct ptdesc *table)
{
	unsigned long now = atomic_long_read(&dmem_clock);

	WRITE_ONCE(*dmem_times(table), min(now, DMEM_END) << 32);
	dmem_give_times(table);
}

/**
 * dmem_set_all_sync - all tables in two tables of tables are in sync
 * @of: a table
 * @copy: that of the copy
 * @now: from dmem_tick()
 *
 * Truncation and reclaim may touch meanwhile: then the time is later than @now. One
 * that has no times is touched first, and is in sync the next time.
 *
 * Context: both mmap locks held for write.
 */
void dmem_set_all_sync(struct ptdesc *of, struct ptdesc *copy,
		       unsigned long now)
{
	unsigned long times;

	if (!dmem_has_times(of) || !dmem_has_times(copy)) {
		dmem_touch_tables(of);
		dmem_touch_tables(copy);
		return;
	}
	times = READ_ONCE(*dmem_times(copy));
	if (now < DMEM_END && times >> 32 <= now)
		cmpxchg(dmem_times(copy), times, times >> 32 << 32 | now);
}

/*
 * A file's table can be taken away while it is touched; then it stays a page table
 * until the RCU read lock is dropped.
 */
static void dmem_touch_table(pmd_t *pmd)
{
	struct ptdesc *table;
	pmd_t val;

	rcu_read_lock();
	val = pmdp_get_lockless(pmd);
	if (dmem_is_table(val)) {
		table = dmem_ptdesc(val);
		if (dmem_has_times(table))
			clear_bit(PG_workingset, &table->__page_flags);
	}
	rcu_read_unlock();
}

/*
 * The table first. Whoever passes it over in between, and then finds all of the
 * table of tables in sync, has moved the clock before: that one gets a later time.
 */
void __dmem_touch(pmd_t *pmd)
{
	dmem_touch_table(pmd);
	smp_mb();	/* before the clock is read; dmem_tick() is its pair */
	dmem_touch_tables(virt_to_ptdesc(pmd));
}

void __dmem_touch_range(struct mm_struct *mm, unsigned long start,
			unsigned long end)
{
	unsigned long addr, next;
	pmd_t *pmd, *first;

	for (addr = start; addr < end; addr = next) {
		first = dmem_pmd(mm, addr, end, &next);
		if (!first)
			continue;
		next = pud_addr_end(addr, end);
		for (pmd = first; addr < next; pmd++) {
			dmem_touch_table(pmd);
			addr = pmd_addr_end(addr, next);
		}
		smp_mb();	/* as above */
		/* Empty ones, too: something may be mapped there. */
		dmem_touch_tables(virt_to_ptdesc(first));
		cond_resched();
	}
}
