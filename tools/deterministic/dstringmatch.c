// SPDX-License-Identifier: GPL-2.0-only
/*
 * Searches a text for words of which only the ciphers are known: each word of
 * the text is enciphered and compared. What the cipher is does not matter, but
 * that it is work.
 *
 * Each worker notes in a place of its own what it has found in its share of the
 * text: how often each key was there, and where first.
 */
#include <string.h>

#include "common.h"
#include "text.h"

#define KEYS	32

struct found {
	uint64_t times[KEYS];
	uint64_t first[KEYS];		/* UINT64_MAX: nowhere */
} OWN_PAGES;

struct match {
	struct text text;
	uint64_t key[KEYS];		/* enciphered */
	struct found *found;		/* of each worker */
	unsigned int workers;
	unsigned int rounds;		/* of the cipher */
};

static uint64_t encipher(const char *word, size_t len, unsigned int rounds)
{
	uint64_t x = len;

	for (unsigned int r = 0; r < rounds; r++) {
		for (size_t i = 0; i < len; i++) {
			x = (x ^ (word[i] | 0x20)) * 0x9e3779b97f4a7c15ULL;
			x ^= x >> 29;
		}
	}
	return x;
}

static void match_words(const struct match *m, struct found *found,
			size_t first, size_t last)
{
	size_t at = between_words(&m->text, first), len;

	for (int k = 0; k < KEYS; k++) {
		found->times[k] = 0;
		found->first[k] = UINT64_MAX;
	}
	for (;; at += len) {
		const char *word = next_word(&m->text, at, &len);
		uint64_t cipher;

		at = word - m->text.data;
		if (len == 0 || at >= last)
			return;
		cipher = encipher(word, len, m->rounds);
		for (int k = 0; k < KEYS; k++) {
			if (cipher != m->key[k])
				continue;
			if (found->times[k]++ == 0)
				found->first[k] = at;
		}
	}
}

static void match_share(unsigned int w, void *arg)
{
	const struct match *m = arg;

	match_words(m, &m->found[w], share(m->text.size, m->workers, w),
		    share(m->text.size, m->workers, w + 1));
}

/* What all have found is in the place of worker 0. */
static void add_found(const struct match *m)
{
	struct found *all = &m->found[0];

	for (unsigned int w = 1; w < m->workers; w++) {
		const struct found *own = &m->found[w];

		for (int k = 0; k < KEYS; k++) {
			all->times[k] += own->times[k];
			if (all->first[k] == UINT64_MAX)
				all->first[k] = own->first[k];
		}
	}
}

/* The words of the text, from the frequent to some that are not in it. */
static void make_keys(struct match *m, uint32_t words, uint64_t seed)
{
	char word[MAX_WORD];

	for (uint32_t k = 0; k < KEYS; k++) {
		size_t len = make_word(seed, k * (words / (KEYS - 4)), word);

		m->key[k] = encipher(word, len, m->rounds);
	}
}

static void print_found(const struct match *m)
{
	const struct found *all = &m->found[0];
	unsigned int keys = 0;
	uint64_t times = 0;

	for (int k = 0; k < KEYS; k++) {
		keys += all->times[k] != 0;
		times += all->times[k];
	}
	printf("%u of %u keys are in %zu bytes, %llu times: checksum %016llx\n",
	       keys, KEYS, m->text.size, (unsigned long long)times,
	       (unsigned long long)checksum_of(CHECKSUM_START, all,
					       sizeof(*all)));
}

static const struct program program = {
	"dstringmatch", "",
	"Searches a text for words of which only the ciphers are known, and prints how many\n"
	"there are, and a checksum of how often and where. The status is 1 if --check finds\n"
	"them wrong.", NULL, HAS_WORKERS | HAS_INPUT
};

int main(int argc, char **argv)
{
	enum run_mode mode = begin(&program, argc, argv);
	struct match m = { .workers = chosen_workers() };
	struct found *right;
	uint32_t words = 20000;

	m.text = make_text(by_size(500000, 5000000, 40000000), words,
			   chosen_seed());
	m.rounds = by_size(4, 12, 32);
	make_keys(&m, words, chosen_seed());
	m.found = allocate_shared(m.workers, sizeof(*m.found));

	start_work();
	if (mode == MODE_SERIAL) {
		match_words(&m, &m.found[0], 0, m.text.size);
	} else {
		run_workers(mode, m.workers, match_share, &m, 0, NULL);
		add_found(&m);
	}
	end_work();
	print_found(&m);
	if (!must_check())
		return STATUS_OK;
	right = allocate_shared(1, sizeof(*right));
	match_words(&m, right, 0, m.text.size);
	return compare(&m.found[0], right, sizeof(*right));
}
