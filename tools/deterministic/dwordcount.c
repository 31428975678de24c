// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts how often each word is in a text, capital letters being as good as
 * small ones.
 *
 * Each worker counts its share of the text in a hash table of its own, which
 * has room for all words that there are: a worker cannot ask for memory. The
 * tables are added in the order of the text, so that of each word the first
 * place in the text is known.
 */
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "text.h"

struct entry {
	const char *word;		/* the first in the text; NULL: free */
	uint32_t len;
	uint32_t times;
};

struct count {
	struct text text;
	struct entry *table;		/* of each worker; the sum is the first */
	size_t room;			/* entries of a table, a power of 2 */
	unsigned int workers;
};

static bool is_same(const struct entry *e, const char *word, size_t len)
{
	if (e->len != len)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((e->word[i] | 0x20) != (word[i] | 0x20))
			return false;
	return true;
}

static size_t hash(const char *word, size_t len)
{
	uint64_t x = len;

	for (size_t i = 0; i < len; i++)
		x = (x ^ (word[i] | 0x20)) * 0x9e3779b97f4a7c15ULL;
	return x >> 32;
}

/* A table is never full: it has twice as many entries as there are words. */
static void add_word(struct entry *table, size_t room, const char *word,
		     size_t len, uint32_t times)
{
	size_t i = hash(word, len) % room;

	while (table[i].word && !is_same(&table[i], word, len))
		i = (i + 1) % room;
	if (!table[i].word) {
		table[i].word = word;
		table[i].len = len;
	}
	table[i].times += times;
}

static void count_words(const struct count *c, struct entry *table,
			size_t first, size_t last)
{
	size_t at = between_words(&c->text, first), len;

	for (;; at += len) {
		const char *word = next_word(&c->text, at, &len);

		at = word - c->text.data;
		if (len == 0 || at >= last)
			return;
		add_word(table, c->room, word, len, 1);
	}
}

static void count_share(unsigned int w, void *arg)
{
	const struct count *c = arg;

	count_words(c, c->table + w * c->room,
		    share(c->text.size, c->workers, w),
		    share(c->text.size, c->workers, w + 1));
}

static void add_tables(const struct count *c)
{
	for (size_t i = c->room; i < c->workers * c->room; i++) {
		const struct entry *e = &c->table[i];

		if (e->word)
			add_word(c->table, c->room, e->word, e->len, e->times);
	}
}

/* The frequent first; of those as frequent, the one that is first in the text. */
static int order(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->times != y->times)
		return x->times > y->times ? -1 : 1;
	return x->word < y->word ? -1 : x->word > y->word;
}

/* Free entries, which have no times, come last. */
static size_t sort_entries(struct entry *table, size_t room)
{
	size_t nr = 0;

	qsort(table, room, sizeof(*table), order);
	while (nr < room && table[nr].word)
		nr++;
	return nr;
}

static void print_counts(const struct entry *table, size_t nr)
{
	uint64_t sum = CHECKSUM_START, words = 0;

	for (size_t i = 0; i < nr; i++) {
		sum = checksum_of(sum, table[i].word, table[i].len);
		sum = checksum_of(sum, &table[i].times, sizeof(table[i].times));
		words += table[i].times;
	}
	printf("%llu words, %zu different, the most frequent %.*s, %u times: checksum %016llx\n",
	       (unsigned long long)words, nr, (int)table[0].len, table[0].word,
	       table[0].times, (unsigned long long)sum);
}

static const struct program program = {
	"dwordcount", "",
	"Counts how often each word is in a text, and prints the most frequent one and a\n"
	"checksum of all counts. The status is 1 if --check finds them wrong.",
	NULL, HAS_WORKERS | HAS_INPUT
};

int main(int argc, char **argv)
{
	enum run_mode mode = begin(&program, argc, argv);
	struct count c = { .workers = chosen_workers() };
	struct entry *right;
	size_t nr;

	c.room = by_size(1 << 12, 1 << 14, 1 << 16);
	c.text = make_text(by_size(1000000, 25000000, 250000000), c.room / 2,
			   chosen_seed());
	c.table = allocate_shared(c.workers * c.room, sizeof(*c.table));

	start_work();
	if (mode == MODE_SERIAL) {
		count_words(&c, c.table, 0, c.text.size);
	} else {
		run_workers(mode, c.workers, count_share, &c, 0, NULL);
		add_tables(&c);
	}
	end_work();
	nr = sort_entries(c.table, c.room);
	print_counts(c.table, nr);
	if (!must_check())
		return STATUS_OK;
	right = allocate(c.room, sizeof(*right));
	count_words(&c, right, 0, c.text.size);
	sort_entries(right, c.room);
	return compare(c.table, right, c.room * sizeof(*right));
}
