// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sorts the lines of a file by their bytes, as LC_ALL=C sort does.
 *
 * A merge sort: each worker sorts its share of the lines; then, as long as
 * there is more than one sorted run, all workers merge pairs of runs, each
 * writing its share of the lines of the result. Where in the two runs a share
 * starts is found by binary search, so no worker waits for another.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"

struct line {
	const char *text;
	size_t len;
};

struct sort {
	struct line *from, *to;	/* changed places after each step */
	size_t nr;
	unsigned int workers;
	unsigned int width;	/* a run is so many shares long */
};

static bool is_before(const struct line *a, const struct line *b)
{
	size_t len = a->len < b->len ? a->len : b->len;
	int order = memcmp(a->text, b->text, len);

	return order ? order < 0 : a->len < b->len;
}

/* Merges the runs [a, a_end) and [b, b_end). */
static void merge_runs(const struct line *a, const struct line *a_end,
		       const struct line *b, const struct line *b_end,
		       struct line *to)
{
	while (a < a_end && b < b_end)
		*to++ = is_before(b, a) ? *b++ : *a++;
	while (a < a_end)
		*to++ = *a++;
	while (b < b_end)
		*to++ = *b++;
}

#define SHORT_RUN	8

static void insertion_sort(struct line *line, size_t nr)
{
	for (size_t i = 1; i < nr; i++) {
		struct line l = line[i];
		size_t j = i;

		for (; j > 0 && is_before(&l, &line[j - 1]); j--)
			line[j] = line[j - 1];
		line[j] = l;
	}
}

/* The library's qsort() would allocate memory, which a space cannot. */
static void sort_share(unsigned int w, void *arg)
{
	const struct sort *sort = arg;
	size_t start = share(sort->nr, sort->workers, w);
	size_t nr = share(sort->nr, sort->workers, w + 1) - start;
	struct line *from = sort->from + start, *to = sort->to + start, *swap;

	for (size_t i = 0; i < nr; i += SHORT_RUN)
		insertion_sort(from + i, nr - i < SHORT_RUN ? nr - i : SHORT_RUN);
	for (size_t width = SHORT_RUN; width < nr; width *= 2) {
		for (size_t i = 0; i < nr; i += 2 * width) {
			size_t mid = nr - i < width ? nr : i + width;
			size_t end = nr - mid < width ? nr : mid + width;

			merge_runs(from + i, from + mid, from + mid, from + end,
				   to + i);
		}
		swap = from;
		from = to;
		to = swap;
	}
	if (from != sort->from + start)
		memcpy(to, from, nr * sizeof(*from));
}

/* How many of the first @k lines of the result come from run a. */
static size_t split(const struct line *a, size_t nr_a, const struct line *b,
		    size_t nr_b, size_t k)
{
	size_t low = k > nr_b ? k - nr_b : 0, high = k < nr_a ? k : nr_a;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		/* Of equal lines, those of run a are first. */
		if (is_before(&b[k - mid - 1], &a[mid]))
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

static size_t bound(const struct sort *sort, unsigned int w)
{
	return share(sort->nr, sort->workers,
		     w < sort->workers ? w : sort->workers);
}

static void merge_share(unsigned int w, void *arg)
{
	const struct sort *sort = arg;
	unsigned int pair = w / (2 * sort->width) * (2 * sort->width);
	size_t start = bound(sort, pair);
	size_t mid = bound(sort, pair + sort->width);
	size_t end = bound(sort, pair + 2 * sort->width);
	const struct line *a = sort->from + start, *b = sort->from + mid;
	size_t first = bound(sort, w) - start;
	size_t last = bound(sort, w + 1) - start;
	size_t a_first = split(a, mid - start, b, end - mid, first);
	size_t a_last = split(a, mid - start, b, end - mid, last);

	merge_runs(a + a_first, a + a_last, b + (first - a_first),
		   b + (last - a_last), sort->to + start + first);
}

/* Into @line, if there is one; returns how many there are. */
static size_t find_lines(const struct text *text, struct line *line)
{
	const char *end = text->data + text->size, *newline;
	size_t nr = 0;

	for (const char *s = text->data; s < end; s = newline + 1, nr++) {
		newline = memchr(s, '\n', end - s);
		if (!newline)
			newline = end;
		if (line)
			line[nr] = (struct line){ s, newline - s };
	}
	return nr;
}

static void sort_lines(struct sort *sort, enum run_mode mode)
{
	struct line *swap;

	run_workers(mode, sort->workers, sort_share, sort, 0, NULL);
	for (sort->width = 1; sort->width < sort->workers; sort->width *= 2) {
		run_workers(mode, sort->workers, merge_share, sort, 0, NULL);
		swap = sort->from;
		sort->from = sort->to;
		sort->to = swap;
	}
}

static void write_lines(const struct sort *sort, size_t size, const char *name)
{
	FILE *file = name ? fopen(name, "w") : stdout;
	char *out = allocate(size + 1, 1), *p = out;

	if (!file)
		die("%s: %s", name, strerror(errno));
	for (size_t i = 0; i < sort->nr; i++) {
		memcpy(p, sort->from[i].text, sort->from[i].len);
		p += sort->from[i].len;
		*p++ = '\n';	/* also where the file had none at its end */
	}
	fwrite(out, 1, p - out, file);
	if (fflush(file) != 0 || ferror(file))
		die("%s: %s", name ? name : "standard output", strerror(errno));
}

static const char *option_output;

static const struct option_spec options[] = {
	{ "output", "FILE", "where to write (default: standard output)",
	  &option_output },
	{ NULL, NULL, NULL, NULL }
};

static const struct program program = {
	"dsort", "[FILE]",
	"Sorts the lines of FILE (standard input if it is - or missing) by their\n"
	"bytes, as LC_ALL=C sort does.", options, HAS_WORKERS | HAS_ROUNDS
};

int main(int argc, char **argv)
{
	int i = parse_options(&program, argc, argv);
	enum run_mode mode = chosen_mode();
	struct sort sort = { .workers = chosen_workers() };
	struct text text;

	if (argc - i > 1)
		die("one file at a time, please: %s", argv[i + 1]);
	text = read_file(i < argc ? argv[i] : "-");
	sort.nr = find_lines(&text, NULL);
	sort.from = allocate_shared(sort.nr, sizeof(struct line));
	sort.to = allocate_shared(sort.nr, sizeof(struct line));
	do {
		find_lines(&text, sort.from);
		start_work();
		sort_lines(&sort, mode);
	} while (end_work());
	write_lines(&sort, text.size, option_output);
	return STATUS_OK;
}
