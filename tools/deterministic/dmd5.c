// SPDX-License-Identifier: GPL-2.0-only
/*
 * Searches for a text that has a given MD5, by trying all texts over an
 * alphabet, shorter ones first. MD5 is written from RFC 1321.
 *
 * Workers take turns of so many candidates each; between turns somebody looks
 * whether one has found it. Of several texts the first in order is reported.
 */
#include <stdlib.h>
#include <string.h>

#include "common.h"

/* Texts of one block of MD5 only. */
#define MAX_LENGTH	55

/* Candidates that a worker tries in one turn. */
#define TURN		(1 << 17)

struct md5 {
	uint32_t word[4];
};

/* The integer part of 2^32 * abs(sin(i + 1)). */
static const uint32_t sine[64] = {
	0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee,
	0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
	0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be,
	0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
	0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa,
	0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
	0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed,
	0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
	0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c,
	0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
	0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05,
	0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
	0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039,
	0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
	0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1,
	0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

static const unsigned char rotation[4][4] = {
	{ 7, 12, 17, 22 }, { 5, 9, 14, 20 }, { 4, 11, 16, 23 }, { 6, 10, 15, 21 },
};

static uint32_t rotate(uint32_t x, unsigned int n)
{
	return x << n | x >> (32 - n);
}

/* Step @i of 64: the function of the round, and which word of the block. */
static uint32_t mix(unsigned int i, uint32_t b, uint32_t c, uint32_t d,
		    unsigned int *word)
{
	switch (i / 16) {
	case 0:
		*word = i;
		return (b & c) | (~b & d);
	case 1:
		*word = (5 * i + 1) % 16;
		return (b & d) | (c & ~d);
	case 2:
		*word = (3 * i + 5) % 16;
		return b ^ c ^ d;
	default:
		*word = 7 * i % 16;
		return c ^ (b | ~d);
	}
}

static struct md5 md5(const char *text, size_t len)
{
	struct md5 sum = {{ 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 }};
	uint32_t a = sum.word[0], b = sum.word[1];
	uint32_t c = sum.word[2], d = sum.word[3];
	uint32_t block[16] = { 0 }, f;
	unsigned int word;

	memcpy(block, text, len);
	((unsigned char *)block)[len] = 0x80;
	block[14] = len * 8;
#pragma GCC unroll 64
	for (unsigned int i = 0; i < 64; i++) {
		f = a + mix(i, b, c, d, &word) + sine[i] + block[word];
		a = d;
		d = c;
		c = b;
		b += rotate(f, rotation[i / 16][i % 4]);
	}
	sum.word[0] += a;
	sum.word[1] += b;
	sum.word[2] += c;
	sum.word[3] += d;
	return sum;
}

struct search {
	struct md5 wanted;
	const char *alphabet;
	unsigned int letters;
	unsigned int max_length;
	uint64_t total;			/* candidates */
	uint64_t first;			/* of this turn */
	uint64_t found[MAX_WORKERS];	/* number of the candidate, plus 1 */
};

/* How many texts there are of at most so many letters. */
static uint64_t count_texts(const struct search *search, unsigned int length)
{
	uint64_t of_length = 1, total = 1;

	for (unsigned int i = 0; i < length; i++) {
		if (__builtin_mul_overflow(of_length, search->letters,
					   &of_length) ||
		    __builtin_add_overflow(total, of_length, &total) ||
		    total > 1ULL << 60)
			die("too many texts to search");
	}
	return total;
}

/* Candidate @number as text; returns how long it is. */
static size_t make_text(const struct search *search, uint64_t number,
			char *text)
{
	uint64_t of_length = 1;
	size_t len = 0;

	for (; number >= of_length; len++) {
		number -= of_length;
		of_length *= search->letters;
	}
	for (size_t i = len; i-- > 0; number /= search->letters)
		text[i] = search->alphabet[number % search->letters];
	return len;
}

static void try_share(unsigned int w, void *arg)
{
	struct search *search = arg;
	uint64_t first = search->first + (uint64_t)w * TURN;
	char text[MAX_LENGTH];
	struct md5 sum;

	search->found[w] = 0;
	for (uint64_t n = first; n < first + TURN && n < search->total; n++) {
		sum = md5(text, make_text(search, n, text));
		if (memcmp(&sum, &search->wanted, sizeof(sum)) == 0) {
			search->found[w] = n + 1;
			return;
		}
	}
}

/* Two hexadecimal digits a byte. */
static struct md5 parse_md5(const char *hex)
{
	unsigned char bytes[16];
	struct md5 sum;

	check_md5(hex);
	for (int i = 0; i < 16; i++) {
		char digits[3] = { hex[2 * i], hex[2 * i + 1], '\0' };

		bytes[i] = strtoul(digits, NULL, 16);
	}
	memcpy(&sum, bytes, sizeof(sum));
	return sum;
}

static uint64_t find_text(struct search *search, enum run_mode mode,
			  unsigned int workers)
{
	while (search->first < search->total) {
		run_workers(mode, workers, try_share, search, 0, NULL);
		for (unsigned int w = 0; w < workers; w++)
			if (search->found[w])
				return search->found[w];
		search->first += (uint64_t)workers * TURN;
	}
	return 0;
}

static const char *option_alphabet = "abcdefghijklmnopqrstuvwxyz";
static const char *option_length = "4";

static const struct option_spec options[] = {
	{ "alphabet", "LETTERS", "what texts are made of (default a to z)",
	  &option_alphabet },
	{ "length", "N", "letters a text has at most (default 4)",
	  &option_length },
	{ NULL, NULL, NULL, NULL }
};

static const struct program program = {
	"dmd5", "MD5",
	"Searches for a text whose MD5 is MD5 (32 hexadecimal digits). The status\n"
	"is 1 if there is none.", options, HAS_WORKERS | HAS_ROUNDS
};

int main(int argc, char **argv)
{
	int i = parse_options(&program, argc, argv);
	enum run_mode mode = chosen_mode();
	unsigned int workers = chosen_workers();
	struct search *search;
	char text[MAX_LENGTH];
	uint64_t found;
	size_t len;

	if (argc - i != 1)
		die("one MD5 is needed (see dmd5 --help)");
	search = allocate_shared(1, sizeof(*search));
	search->wanted = parse_md5(argv[i]);
	search->alphabet = option_alphabet;
	search->letters = strlen(option_alphabet);
	if (search->letters == 0)
		die("--alphabet has no letters");
	search->max_length = parse_number("--length", option_length, 0,
					  MAX_LENGTH);
	search->total = count_texts(search, search->max_length);

	do {
		search->first = 0;
		start_work();
		found = find_text(search, mode, workers);
	} while (end_work());
	if (!found) {
		printf("%s: no text found\n", argv[i]);
		return STATUS_NO;
	}
	len = make_text(search, found - 1, text);
	printf("%s: %.*s\n", argv[i], (int)len, text);
	return STATUS_OK;
}
