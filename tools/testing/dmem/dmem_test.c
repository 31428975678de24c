// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test of mm/dmem_merge.c in user space: exhaustive for the masks and for all
 * that can happen in one word, then random pages, each compared with the
 * oracle. Output is TAP; the seed is printed. SEED and ROUNDS are taken from
 * the environment.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "oracle.h"

static const unsigned int granules[] = { 1, 2, 4, 8 };

/* --- one case against the oracle --- */

static u8 *store_base;
static unsigned int store_size;
static bool stored[MAX_SIZE];
static bool stray_store;

/* Called by WRITE_ONCE in the code under test. */
void note_store(const void *where, size_t len)
{
	size_t at = (const u8 *)where - store_base;

	if ((const u8 *)where < store_base || at + len > store_size) {
		stray_store = true;
		return;
	}
	memset(stored + at, true, len);
}

static void print_case(const struct merge_case *mc, const char *what)
{
	unsigned int i;

	printf("# %s: size %u range [%u, %u) granule %u policy %d\n", what,
	       mc->size, mc->from, mc->to, mc->rules.granule, mc->rules.policy);
	for (i = 0; i < mc->size; i++) {
		if (mc->child[i] != mc->snap[i] || mc->caller[i] != mc->snap[i])
			printf("#   byte %u: snapshot %02x child %02x caller %02x\n",
			       i, mc->snap[i], mc->child[i], mc->caller[i]);
	}
}

/* Nothing is changed behind the end, and something in the word before it. */
static bool check_end(const struct merge_case *mc, const struct verdict *v)
{
	unsigned int end, i;

	if (v->first_change >= mc->to)
		return true;
	end = dmem_page_changed_end(mc->child, mc->snap, v->first_change, mc->to);
	if (end <= v->first_change || end > mc->to)
		return false;
	for (i = end; i < mc->to; i++)
		if (mc->child[i] != mc->snap[i])
			return false;
	i = (end - 1) / 8 * 8;
	return memcmp(mc->child + i, mc->snap + i, 8);
}

/* The runs that dmem_page_conflict() reports are the oracle's, in order. */
static bool check_conflicts(const struct merge_case *mc, const struct verdict *v)
{
	unsigned int from = mc->from, start, end, i = mc->from;

	while (dmem_page_conflict(mc->child, mc->snap, mc->caller, from, mc->to,
				  &mc->rules, &start, &end)) {
		if (start < from || start >= end || end > mc->to)
			return false;
		for (; i < start; i++)
			if (v->conflict[i])
				return false;
		for (; i < end; i++)
			if (!v->conflict[i])
				return false;
		if (end < mc->to && v->conflict[end])
			return false;
		from = end;
	}
	for (; i < mc->to; i++)
		if (v->conflict[i])
			return false;
	return true;
}

/* A merge into the caller's page gives the oracle's, and stores no more. */
static bool check_merge(const struct merge_case *mc, const struct verdict *v)
{
	u8 before[MAX_SIZE];
	unsigned int nr, i;
	bool ok = true;

	memcpy(before, mc->caller, mc->size);
	store_base = mc->caller;
	store_size = mc->size;
	memset(stored, false, mc->size);
	nr = dmem_page_merge(mc->caller, mc->child, mc->snap, mc->from, mc->to,
			     &mc->rules);
	if (nr != v->nr_changed || memcmp(mc->caller, v->result, mc->size))
		ok = false;
	for (i = 0; i < mc->size; i++) {
		bool differs = v->result[i] != before[i];

		if (stored[i] != differs)
			ok = false;
	}
	memcpy(mc->caller, before, mc->size);
	return ok && !stray_store;
}

static bool check_case(const struct merge_case *mc)
{
	static u8 child[MAX_SIZE], snap[MAX_SIZE], caller[MAX_SIZE];
	static struct verdict v;
	const char *what = NULL;

	memcpy(child, mc->child, mc->size);
	memcpy(snap, mc->snap, mc->size);
	memcpy(caller, mc->caller, mc->size);
	oracle(mc, &v);
	if (dmem_page_changed(mc->child, mc->snap, mc->from, mc->to) !=
	    v.first_change)
		what = "dmem_page_changed";
	else if (!check_end(mc, &v))
		what = "dmem_page_changed_end";
	else if (!check_conflicts(mc, &v))
		what = "dmem_page_conflict";
	else if (memcmp(caller, mc->caller, mc->size))
		what = "looking has written";
	else if (!check_merge(mc, &v))
		what = "dmem_page_merge";
	else if (memcmp(child, mc->child, mc->size) ||
		 memcmp(snap, mc->snap, mc->size))
		what = "child or snapshot written";
	if (what)
		print_case(mc, what);
	return !what;
}

/* --- the masks, exhaustively --- */

static bool byte_mask_is_right(u64 word)
{
	u64 want = 0;
	int i;

	for (i = 0; i < 8; i++)
		if ((word >> (i * 8)) & 0xff)
			want |= 0xffULL << (i * 8);
	if (dmem_byte_mask(word) == want)
		return true;
	printf("# dmem_byte_mask(%016llx) is %016llx\n", word,
	       dmem_byte_mask(word));
	return false;
}

/*
 * A wrong carry would go from a byte to the next one: all values of each pair
 * of neighbours, with the other bytes all zeros and all ones.
 */
static bool test_byte_mask_pairs(void)
{
	unsigned int pair, at;

	for (at = 0; at < 7; at++) {
		u64 hole = ~(0xffffULL << (at * 8));

		for (pair = 0; pair < 0x10000; pair++) {
			u64 word = (u64)pair << (at * 8);

			if (!byte_mask_is_right(word) ||
			    !byte_mask_is_right(word | hole))
				return false;
		}
	}
	return true;
}

/* All words of bytes that sit at a border of the formula. */
static bool test_byte_mask_words(void)
{
	static const u8 edge[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
	unsigned int n, rest, i;

	for (n = 0; n < 390625; n++) {	/* 5 to the 8th */
		u64 word = 0;

		for (i = 0, rest = n; i < 8; i++, rest /= 5)
			word = word << 8 | edge[rest % 5];
		if (!byte_mask_is_right(word))
			return false;
	}
	return true;
}

static bool test_granule_mask(void)
{
	unsigned int bits, g, i;

	for (g = 0; g < 4; g++) {
		for (bits = 0; bits < 256; bits++) {
			u64 in = 0, want = 0;

			for (i = 0; i < 8; i++) {
				unsigned int group = i - i % granules[g];
				unsigned int all = (1u << granules[g]) - 1;

				if (bits >> i & 1)
					in |= 0xffULL << (i * 8);
				if (bits >> group & all)
					want |= 0xffULL << (i * 8);
			}
			if (dmem_granule_mask(in, granules[g]) != want)
				return false;
		}
	}
	return true;
}

/* --- all that can happen in one word --- */

static struct merge_case new_case(unsigned int size)
{
	struct merge_case mc = { .size = size };

	/* of the exact size, so that the sanitizer sees a read behind it */
	mc.child = aligned_alloc(8, size);
	mc.snap = aligned_alloc(8, size);
	mc.caller = aligned_alloc(8, size);
	if (!mc.child || !mc.snap || !mc.caller) {
		printf("Bail out! no memory\n");
		exit(1);
	}
	return mc;
}

static void free_case(struct merge_case *mc)
{
	free(mc->child);
	free(mc->snap);
	free(mc->caller);
}

/* 0 nobody, 1 child, 2 caller, 3 both, 4 both to the same value */
static void set_byte(struct merge_case *mc, unsigned int i, unsigned int who)
{
	mc->child[i] = mc->snap[i];
	mc->caller[i] = mc->snap[i];
	if (who == 1 || who >= 3)
		mc->child[i] ^= 0x80 >> (i % 8);
	if (who == 2 || who == 3)
		mc->caller[i] ^= 0xff;
	if (who == 4)
		mc->caller[i] = mc->child[i];
}

static bool check_rules(struct merge_case *mc)
{
	unsigned int g, policy;

	for (g = 0; g < 4; g++) {
		for (policy = DMEM_KEEP; policy <= DMEM_TAKE; policy++) {
			mc->rules.granule = granules[g];
			mc->rules.policy = policy;
			if (!check_case(mc))
				return false;
		}
	}
	return true;
}

/* Each byte in one of five states, the whole word merged. */
static bool test_word_states(void)
{
	struct merge_case mc = new_case(8);
	unsigned int n, rest, i;
	bool ok = true;

	mc.to = 8;
	for (i = 0; i < 8; i++)
		mc.snap[i] = i * 0x1f;
	for (n = 0; ok && n < 390625; n++) {
		for (i = 0, rest = n; i < 8; i++, rest /= 5)
			set_byte(&mc, i, rest % 5);
		ok = check_rules(&mc);
	}
	free_case(&mc);
	return ok;
}

/* Each byte in one of three states, every range of the word merged. */
static bool test_word_ranges(void)
{
	struct merge_case mc = new_case(8);
	unsigned int n, rest, i;
	bool ok = true;

	memset(mc.snap, 0, 8);
	for (n = 0; ok && n < 6561; n++) {	/* 3 to the 8th */
		for (i = 0, rest = n; i < 8; i++, rest /= 3)
			set_byte(&mc, i, rest % 3 + (rest % 3 == 2));
		for (mc.from = 0; ok && mc.from <= 8; mc.from++)
			for (mc.to = mc.from; ok && mc.to <= 8; mc.to++)
				ok = check_rules(&mc);
	}
	free_case(&mc);
	return ok;
}

/* One byte in a page of its own for each place, and no change at all. */
static bool test_each_byte(void)
{
	struct merge_case mc = new_case(MAX_SIZE);
	unsigned int i, who;
	bool ok = true;

	memset(mc.snap, 0xa5, MAX_SIZE);
	memset(mc.child, 0xa5, MAX_SIZE);
	memset(mc.caller, 0xa5, MAX_SIZE);
	mc.to = MAX_SIZE;
	mc.rules = (struct dmem_rules){ .granule = 1, .policy = DMEM_TAKE };
	for (i = 0; ok && i < MAX_SIZE; i++) {
		for (who = 4; ok && who > 0; who--) {
			set_byte(&mc, i, who);
			ok = check_case(&mc);
		}
		set_byte(&mc, i, 0);
	}
	ok = ok && check_case(&mc);
	free_case(&mc);
	return ok;
}

/* --- random pages --- */

static u64 random_state;

static unsigned int rnd(unsigned int below)
{
	/* splitmix64: short, and the same everywhere */
	u64 z = random_state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return (z ^ (z >> 31)) % below;
}

/* Runs of new bytes, short ones more often; few values, so some are equal. */
static void scribble(u8 *page, unsigned int size, unsigned int runs)
{
	unsigned int i, at, len;

	while (runs--) {
		at = rnd(size);
		len = 1 + rnd(rnd(4) ? 4 : 80);
		for (i = at; i < at + len && i < size; i++)
			page[i] = rnd(3) ? rnd(4) : rnd(256);
	}
}

static void random_range(struct merge_case *mc)
{
	mc->from = rnd(3) ? rnd(mc->size + 1) : 0;
	mc->to = rnd(3) ? mc->from + rnd(mc->size - mc->from + 1) : mc->size;
	if (mc->from + 8 <= mc->size && !rnd(8))
		mc->to = mc->from + rnd(8);
}

static void random_case(struct merge_case *mc)
{
	unsigned int i, many = 1 + mc->size / 64;

	for (i = 0; i < mc->size; i++)
		mc->snap[i] = rnd(2) ? 0 : rnd(4);
	memcpy(mc->child, mc->snap, mc->size);
	scribble(mc->child, mc->size, rnd(many + 3));
	/* both from one child's page now and then: the same value */
	memcpy(mc->caller, rnd(8) ? mc->snap : mc->child, mc->size);
	scribble(mc->caller, mc->size, rnd(many + 3));
	random_range(mc);
	mc->rules.granule = granules[rnd(4)];
	mc->rules.policy = rnd(3);
}

static bool test_random(unsigned int rounds)
{
	static const unsigned int sizes[] = { 8, 16, 24, 64, 256, MAX_SIZE };
	struct merge_case mc[6];
	unsigned int i, n;
	bool ok = true;

	for (i = 0; i < 6; i++)
		mc[i] = new_case(sizes[i]);
	for (n = 0; ok && n < rounds; n++) {
		/* a page of full size costs as much as a hundred small ones */
		i = rnd(64) ? rnd(5) : 5;
		random_case(&mc[i]);
		ok = check_case(&mc[i]);
	}
	if (!ok)
		printf("# round %u\n", n);
	for (i = 0; i < 6; i++)
		free_case(&mc[i]);
	return ok;
}

/* --- TAP --- */

static unsigned int nr_tests, nr_failed;

static void result(bool ok, const char *name)
{
	printf("%s %u - %s\n", ok ? "ok" : "not ok", ++nr_tests, name);
	fflush(stdout);
	nr_failed += !ok;
}

static u64 setting(const char *name, u64 otherwise)
{
	const char *value = getenv(name);

	return value && *value ? strtoull(value, NULL, 0) : otherwise;
}

int main(void)
{
	u64 seed = setting("SEED", time(NULL));
	unsigned int rounds = setting("ROUNDS", 400000);

	random_state = seed;
	printf("TAP version 13\n1..7\n# seed %llu, %u rounds\n", seed, rounds);
	result(test_byte_mask_pairs(), "byte mask: all pairs of neighbours");
	result(test_byte_mask_words(), "byte mask: all words of border values");
	result(test_granule_mask(), "granule mask: all masks");
	result(test_word_states(), "word: each byte in five states");
	result(test_word_ranges(), "word: all ranges");
	result(test_each_byte(), "page: each byte alone");
	result(test_random(rounds), "random pages");
	return nr_failed ? 1 : 0;
}
