// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts the words of its input, with two mistakes that everybody makes once: all members
 * count in one variable, and all call strtok(), which has one for where it is in the text.
 *
 * "make demo" runs it with threads and in spaces; demo.diff repairs it.
 */
#include <string.h>

#include <det.h>

#define PARTS	4
#define BLANKS	" \t\n\v\f\r"

static char text[1 << 20];

static struct part {
	char *text;
	long words;
} part[PARTS];

long count;

static void *count_words(void *arg)
{
	struct part *p = arg;

	for (char *word = strtok(p->text, BLANKS); word; word = strtok(NULL, BLANKS)) {
		p->words++;
		count++;
	}
	return NULL;
}

/* A part ends behind a word, with a NUL in place of the blank. */
static void cut(size_t size)
{
	char *at = text;

	for (int i = 0; i < PARTS; i++) {
		char *end = text + size * (i + 1) / PARTS;

		part[i].text = at;
		if (at < end)
			at = end;
		at += strcspn(at, BLANKS);
		if (at < text + size)
			*at++ = '\0';
	}
}

int main(void)
{
	det_t member[PARTS];

	cut(fread(text, 1, sizeof(text) - 1, stdin));
	for (int i = 0; i < PARTS; i++)
		det_create(&member[i], count_words, &part[i]);
	for (int i = 0; i < PARTS; i++) {
		det_join(member[i], NULL);
		printf("part %d: %ld words\n", i, part[i].words);
	}
	printf("all: %ld words\n", count);
	return 0;
}
