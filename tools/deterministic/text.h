/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Text: made of words, and taken apart into words again.
 */
#ifndef TEXT_H
#define TEXT_H

#include "common.h"

#define MAX_WORD	16

/* Word number @number of the language that @seed chooses; returns how long. */
static inline size_t make_word(uint64_t seed, uint32_t number, char *word)
{
	uint64_t state = seed ^ (uint64_t)number << 32;
	size_t len = 2 + random_below(&state, 5) + random_below(&state, 5);

	for (size_t i = 0; i < len; i++)
		word[i] = 'a' + random_below(&state, 26);
	return len;
}

/*
 * At least @size letters and spaces, of @words words of which a few are often
 * there and most seldom. Now and then a word begins with a capital.
 */
static inline struct text make_text(size_t size, uint32_t words, uint64_t seed)
{
	struct text text = { allocate(size + MAX_WORD, 1), 0 };
	uint64_t state = seed;

	while (text.size < size) {
		char *word = text.data + text.size;
		double u = random_unit(&state);
		size_t len = make_word(seed, u * u * u * words, word);

		if (random_below(&state, 8) == 0)
			word[0] += 'A' - 'a';
		word[len] = random_below(&state, 10) == 0 ? '\n' : ' ';
		text.size += len + 1;
	}
	return text;
}

static inline bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/*
 * The first place from @at on that is not amid a word. A worker whose share
 * begins amid one leaves it to the worker before.
 */
static inline size_t between_words(const struct text *text, size_t at)
{
	if (at > 0)
		while (at < text->size && is_letter(text->data[at]) &&
		       is_letter(text->data[at - 1]))
			at++;
	return at;
}

/* The word that begins at @at or next after it; @len is 0 if there is none. */
static inline const char *next_word(const struct text *text, size_t at,
				    size_t *len)
{
	size_t end;

	while (at < text->size && !is_letter(text->data[at]))
		at++;
	for (end = at; end < text->size && is_letter(text->data[end]); end++)
		;
	*len = end - at;
	return text->data + at;
}

#endif /* TEXT_H */
