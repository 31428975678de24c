// SPDX-License-Identifier: GPL-2.0-only
/*
 * The merge of one page, word by word: see dmem_merge.h.
 *
 * A byte is changed if it differs from the snapshot's. A granule conflicts if
 * the child changed a byte of it and the caller changed a byte of it, perhaps
 * another one, perhaps to the same value. Bytes outside the range that is
 * merged do not count and are not written, also where a granule crosses its
 * border.
 *
 * All pointers are to whole pages, aligned to 8 bytes at least, so the words
 * at the ends of a range are read whole and masked. The child and the snapshot
 * stand still. The caller is a process whose other threads may run and write
 * other bytes of the page: each of its words is read once, and only bytes that
 * get a new value are written.
 */
#include <linux/bitops.h>
#include <linux/compiler.h>
#include <linux/types.h>

#include "dmem_merge.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the lowest byte of a word must have the lowest address"
#endif

#define WORD	((unsigned int)sizeof(u64))

/* Index of the first word that [.., to) does not touch. */
static unsigned int last_word(unsigned int to)
{
	return (to + WORD - 1) / WORD;
}

/* The first byte that is set in a mask; there is one. */
static unsigned int first_byte(u64 mask)
{
	return __ffs64(mask) / 8;
}

/* The bytes of word @w that lie in [from, to); it touches the range. */
static u64 range_mask(unsigned int w, unsigned int from, unsigned int to)
{
	u64 mask = ~0ULL;

	if (from > w * WORD)
		mask <<= (from - w * WORD) * 8;
	if (to < (w + 1) * WORD)
		mask &= ~0ULL >> (((w + 1) * WORD - to) * 8);
	return mask;
}

/*
 * The first word in [w, end) where the two pages differ, or @end. Most of a
 * page is equal, so this is the loop that counts: four words a round.
 */
static unsigned int skip_equal(const u64 *a, const u64 *b, unsigned int w,
			       unsigned int end)
{
	for (; w + 4 <= end; w += 4) {
		if ((a[w] ^ b[w]) | (a[w + 1] ^ b[w + 1]) |
		    (a[w + 2] ^ b[w + 2]) | (a[w + 3] ^ b[w + 3]))
			break;
	}
	while (w < end && a[w] == b[w])
		w++;
	return w;
}

/* The same, behind a word that differs: so does the next as a rule. */
static inline unsigned int next_differing(const u64 *a, const u64 *b,
					  unsigned int w, unsigned int end)
{
	return w < end && a[w] != b[w] ? w : skip_equal(a, b, w, end);
}

/* The bytes of one word that conflict; @range: those that are merged. */
static u64 conflict_mask(u64 child, u64 snap, u64 caller, u64 range,
			 unsigned int granule)
{
	u64 ours = dmem_byte_mask(caller ^ snap) & range;
	u64 theirs = dmem_byte_mask(child ^ snap) & range;

	return dmem_granule_mask(ours, granule) &
	       dmem_granule_mask(theirs, granule) & range;
}

/*
 * Give @word, last seen as @old, the bytes of @new that @take selects. A
 * partial word goes byte by byte, or it would undo what another thread wrote
 * beside them. Returns how many bytes got another value.
 */
static unsigned int store_bytes(u64 *word, u64 old, u64 new, u64 take)
{
	u64 mask = dmem_byte_mask(old ^ new) & take;
	unsigned int nr = hweight64(mask) / 8;
	unsigned int i;

	if (mask == ~0ULL) {
		WRITE_ONCE(*word, new);
		return nr;
	}
	for (; mask; mask &= ~(0xffULL << (i * 8))) {
		i = first_byte(mask);
		WRITE_ONCE(((u8 *)word)[i], (u8)(new >> (i * 8)));
	}
	return nr;
}

/**
 * dmem_page_changed() - look for a change of the child's
 * @child: the child's page
 * @snap: the page as it was at the snapshot
 * @from: first byte of the range, an offset in the page
 * @to: behind its last byte, at most the page's size
 *
 * Return: the first byte in [@from, @to) where the pages differ, or @to.
 */
unsigned int dmem_page_changed(const void *child, const void *snap,
			       unsigned int from, unsigned int to)
{
	const u64 *c = child, *s = snap;
	unsigned int end = last_word(to);
	unsigned int w = from / WORD;

	if (from >= to)
		return to;
	for (w = skip_equal(c, s, w, end); w < end;
	     w = skip_equal(c, s, w + 1, end)) {
		u64 mask = dmem_byte_mask(c[w] ^ s[w]) & range_mask(w, from, to);

		if (mask)
			return w * WORD + first_byte(mask);
	}
	return to;
}

/**
 * dmem_page_changed_end() - where a child's changes end
 * @child: the child's page
 * @snap: the page as it was at the snapshot
 * @from: a byte where they differ
 * @to: behind the last byte of the range, at most the page's size
 *
 * Return: the end of the last word in which the pages differ, or @to before it.
 */
unsigned int dmem_page_changed_end(const void *child, const void *snap,
				   unsigned int from, unsigned int to)
{
	const u64 *c = child, *s = snap;
	unsigned int first = from / WORD;
	unsigned int w = last_word(to);

	for (; w >= first + 4; w -= 4) {
		const u64 *x = c + w - 4, *y = s + w - 4;

		if ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]))
			break;
	}
	while (w > first + 1 && c[w - 1] == s[w - 1])
		w--;
	return w * WORD < to ? w * WORD : to;
}

/**
 * dmem_page_conflict() - look for the next conflict
 * @child: the child's page
 * @snap: the page as it was at the snapshot
 * @caller: the caller's page
 * @from: first byte of the range, an offset in the page
 * @to: behind its last byte, at most the page's size
 * @rules: what conflicts
 * @start: the first byte that conflicts
 * @end: behind the last one that adjoins it
 *
 * All bytes of a granule that conflicts do so, as far as they are in the range.
 * To go on, call again with @end as @from: it is the end of a granule, or @to.
 * Nothing but @start and @end is written, and these only if true is returned.
 *
 * Return: whether there is a conflict in [@from, @to).
 */
bool dmem_page_conflict(const void *child, const void *snap,
			const void *caller, unsigned int from, unsigned int to,
			const struct dmem_rules *rules, unsigned int *start,
			unsigned int *end)
{
	const u64 *c = child, *s = snap, *p = caller;
	unsigned int last = last_word(to);
	unsigned int w = from / WORD;
	bool found = false;

	if (from >= to)
		return false;
	for (w = skip_equal(c, s, w, last); w < last;
	     w = found ? w + 1 : next_differing(c, s, w + 1, last)) {
		u64 caller = READ_ONCE(p[w]), mask, rest;

		/* Most of what a child has changed its caller has not. */
		if (caller == s[w] && !found)
			continue;
		mask = conflict_mask(c[w], s[w], caller,
				     range_mask(w, from, to), rules->granule);
		rest = ~mask;
		if (!found && mask) {
			found = true;
			*start = w * WORD + first_byte(mask);
			/* the run ends behind its start */
			rest &= ~0ULL << (first_byte(mask) * 8);
		}
		if (found && rest) {
			*end = w * WORD + first_byte(rest);
			return true;
		}
	}
	if (found)
		*end = to;
	return found;
}

/**
 * dmem_page_merge() - bring the child's changes into the caller's page
 * @caller: the caller's page
 * @child: the child's page
 * @snap: the page as it was at the snapshot
 * @from: first byte of the range, an offset in the page
 * @to: behind its last byte, at most the page's size
 * @rules: what conflicts, and what then
 *
 * Where there is no conflict the child's changed bytes are written, and these
 * alone. A granule that conflicts becomes the child's as a whole with
 * DMEM_TAKE, and stays as it is else.
 *
 * Return: the number of bytes of @caller that got another value.
 */
unsigned int dmem_page_merge(void *caller, const void *child, const void *snap,
			     unsigned int from, unsigned int to,
			     const struct dmem_rules *rules)
{
	const u64 *c = child, *s = snap;
	u64 *p = caller;
	unsigned int end = last_word(to);
	unsigned int first = (from + WORD - 1) / WORD;	/* words in the range */
	unsigned int whole = to / WORD > first ? to / WORD - first : 0;
	unsigned int w = from / WORD;
	unsigned int nr = 0;

	if (from >= to)
		return 0;
	for (w = skip_equal(c, s, w, end); w < end;
	     w = next_differing(c, s, w + 1, end)) {
		u64 diff = dmem_byte_mask(c[w] ^ s[w]);
		u64 old = READ_ONCE(p[w]), range, take, both;

		/* All of a word, and nothing of it is the caller's. */
		if (old == s[w] && diff == ~0ULL && w - first < whole) {
			WRITE_ONCE(p[w], c[w]);
			nr += WORD;
			continue;
		}
		range = range_mask(w, from, to);
		take = diff & range;
		both = conflict_mask(c[w], s[w], old, range, rules->granule);

		if (rules->policy == DMEM_TAKE)
			take |= both;
		else
			take &= ~both;
		nr += store_bytes(&p[w], old, c[w], take);
	}
	return nr;
}
