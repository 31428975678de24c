/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of page tables in sync share: an area of which all tables are in
 * sync in a child and its snapshot, and a look whether a change came.
 *
 * Tables get in sync when a COPY or SNAP finds all their entries equal, tables
 * of tables with the next one. The small area has page tables of which some are
 * used, the big one tables of tables, too.
 */
#ifndef __DETERMINISTIC_TOUCH_H
#define __DETERMINISTIC_TOUCH_H

#include "mem.h"

#define CHILD 1
#define SECOND 2
#define GIB (512 * HUGE)
#define TABLE_PAGES (HUGE / PAGE)

/* How often each change is made, in sync each time; DET_TEST_STEPS: more often. */
#define ROUNDS (getenv("DET_TEST_STEPS") ? 3 : 1)

#define AREA_AT 0x400000000UL
#define ELSE_AT 0x800000000UL
#define THIRD_AT 0xc00000000UL

/* --- The area --- */

/* Table NEW is there, but nothing in it has been used. */
#define NEW 4
static const unsigned int small_tables[] = { 0, 1, 2, 3, NEW };
static const unsigned int big_tables[] = { 0, 1, 2, 3, NEW, 511, 512, 1024 };
static const unsigned int file_tables[] = { 0, 1 };

/* In each of the others these pages have been. */
static const unsigned int used_pages[] = { 0, 1, 7, 100, 511 };

static char *a;				/* where it is */
static size_t len;
static const unsigned int *tables;	/* which ones are looked at */
static unsigned int nr_tables;
static __u64 sum;			/* of what they held in sync */
static __u64 writes;			/* so many words have been written */
static char buf[HUGE + PAGE];

/* A page of a table that is used, and one that is not. */
#define AT(table, page) (a + (table) * HUGE + (page) * PAGE)
#define USED AT(1, 7)
#define UNUSED AT(1, 9)

/* The first words of pages are enough to tell them apart. */
static inline __u64 word_at(const char *p)
{
	return __atomic_load_n((const __u64 *)p, __ATOMIC_RELAXED);
}

static inline __u64 next_word(void)
{
	return ++writes * 0x9e3779b97f4a7c15ULL;
}

static inline void change(char *p)
{
	__atomic_store_n((__u64 *)p, next_word(), __ATOMIC_RELAXED);
}

/* Zeros add nothing. */
static inline __u64 weight(const char *p)
{
	return word_at(p) * ((addr_of(p) / PAGE) * 2 + 1);
}

static inline __u64 sum_all(void)
{
	unsigned int i, page;
	__u64 all = 0;

	for (i = 0; i < nr_tables; i++)
		for (page = 0; page < TABLE_PAGES; page++)
			all += weight(AT(tables[i], page));
	return all;
}

static inline __u64 change_used(void)
{
	unsigned int i, k;
	__u64 used = 0;

	for (i = 0; i < nr_tables; i++) {
		for (k = 0; tables[i] != NEW && k < ARRAY_SIZE(used_pages); k++) {
			char *p = AT(tables[i], used_pages[k]);

			change(p);
			used += weight(p);
		}
	}
	return used;
}

/* --- Copies, and whether they are --- */

static inline long copy(__u64 child)
{
	return put_op(child, 0, op_copy(a, addr_of(a), len), NULL);
}

static inline long snap(__u64 child)
{
	return put_flags(child, DET_SNAP, NULL);
}

static inline long merge(__u64 child)
{
	return get_op(child, 0, op_merge(a, len, 0), NULL);
}

static inline void in_sync(__u64 child)
{
	int i;

	for (i = 0; i < 4; i++)
		if (copy(child))
			abort();
}

static inline void snap_in_sync(__u64 child)
{
	int i;

	for (i = 0; i < 4; i++)
		if (snap(child))
			abort();
}

/* As bytes: the buffer is no page, and stays. */
static inline bool is_equal(__u64 child, const char *at, __u32 flags)
{
	struct det_op op = op_copy(buf + 8, addr_of(at), HUGE);

	op.flags = flags;
	return !get_op(child, 0, op, NULL) && !memcmp(buf + 8, at, HUGE);
}

static inline bool all_equal(__u64 child, __u32 flags)
{
	unsigned int i;

	for (i = 0; i < nr_tables; i++)
		if (!is_equal(child, AT(tables[i], 0), flags))
			return false;
	return true;
}

/* The child's bytes are the caller's, in every page of the tables. */
static inline bool same(__u64 child)
{
	return all_equal(child, 0);
}

static inline bool image_same(__u64 child)
{
	return all_equal(child, DET_COPY_IMAGE);
}

/* With other bytes in all pages that are used. */
static inline void renew(void)
{
	change_used();
	sum = sum_all();
	in_sync(CHILD);
	snap_in_sync(CHILD);
}

static inline bool copied(void)
{
	return !copy(CHILD) && !copy(CHILD) && same(CHILD);
}

/* No byte has changed, though the memory may be other memory. */
static inline bool kept(void)
{
	bool ok = copied() && sum_all() == sum;

	renew();
	return ok;
}

/* Something has changed, and the next COPY brings it. */
static inline bool brought(void)
{
	bool ok = copied() && sum_all() != sum;

	renew();
	return ok;
}

/* Something has changed in the child, and a MERGE brings it. */
static inline bool merged(void)
{
	bool ok = !merge(CHILD) && same(CHILD) && sum_all() != sum;

	ok = ok && !snap(CHILD) && image_same(CHILD) && !merge(CHILD) &&
	     copied();
	renew();
	return ok;
}

/* Something has changed in the child, and the next COPY undoes it. */
static inline bool restored(void)
{
	bool ok = !copy(CHILD) && sum_all() == sum && same(CHILD);

	renew();
	return ok && !merge(CHILD) && same(CHILD);
}

/* The word is another one than the caller's; of a page that was changed. */
static inline bool child_differs(const char *p)
{
	__u64 word = 0;

	return !peek(CHILD, addr_of(p), &word, 8) && word != word_at(p);
}

static inline char *map_there(unsigned long at, size_t size)
{
	return map_at((void *)at, size, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS |
		      MAP_NORESERVE | MAP_FIXED, -1);
}

static inline void use(char *p, size_t size, const unsigned int *which, unsigned int nr)
{
	a = p;
	len = size;
	tables = which;
	nr_tables = nr;
	/* Not sum_all(), which would read what is not to be used yet. */
	sum = change_used();
	in_sync(CHILD);
	snap_in_sync(CHILD);
}

/* New memory with some words in it. */
static inline char *make_some(unsigned long at, size_t size)
{
	char *p = map_there(at, size);
	size_t off;

	for (off = 0; off < size && off < HUGE; off += 51 * PAGE)
		change(p + off);
	change(p + size - PAGE);
	return p;
}

static inline void use_area(bool big)
{
	size_t size = big ? 2 * GIB + 2 * HUGE : (NEW + 1) * HUGE;

	if (probe_into(CHILD))
		abort();
	use(map_there(AREA_AT, size), size, big ? big_tables : small_tables,
	    big ? ARRAY_SIZE(big_tables) : ARRAY_SIZE(small_tables));
}

FIXTURE(touch) {
};

FIXTURE_VARIANT(touch) {
	bool big;
};

FIXTURE_VARIANT_ADD(touch, small) { .big = false };
FIXTURE_VARIANT_ADD(touch, big) { .big = true };

FIXTURE_SETUP(touch)
{
	NEED_CALLS();
	use_area(variant->big);
}

FIXTURE_TEARDOWN(touch)
{
}

#endif /* __DETERMINISTIC_TOUCH_H */
