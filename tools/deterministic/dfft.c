// SPDX-License-Identifier: GPL-2.0-only
/*
 * The fast Fourier transform of a signal, and of what comes out of it again: four
 * in a row give the signal back.
 *
 * Elements are put into the order of their reversed bits, and then added and
 * subtracted in pairs, over distances that double from step to step. As long as
 * pairs are near, each worker does all steps for some blocks; for the steps that
 * remain, each does its share of the pairs, with a join after each step. Every
 * pair has the same two operands as in the sequential program, so the results
 * are equal bit by bit.
 */
#include <math.h>
#include <string.h>

#include "common.h"

struct complex {
	double re, im;
};

struct fft {
	struct complex *from, *to;
	struct complex *root;		/* exp(-2 pi i k / nr), for k < nr / 2 */
	size_t nr, log_nr;
	size_t blocks;			/* a power of 2 */
	size_t distance;		/* of the pairs, after the blocks */
	unsigned int workers;
};

static struct complex multiply(struct complex a, struct complex b)
{
	return (struct complex){ a.re * b.re - a.im * b.im,
				 a.re * b.im + a.im * b.re };
}

static size_t reverse_bits(size_t i, size_t bits)
{
	size_t reversed = 0;

	while (bits-- > 0) {
		reversed = reversed << 1 | (i & 1);
		i >>= 1;
	}
	return reversed;
}

/* Scaled, so that a transform leaves the size of the numbers as it is. */
static void reorder(const struct fft *f, size_t first, size_t last)
{
	double scale = 1 / sqrt(f->nr);

	for (size_t i = first; i < last; i++) {
		struct complex x = f->from[reverse_bits(i, f->log_nr)];

		f->to[i] = (struct complex){ x.re * scale, x.im * scale };
	}
}

/* Pairs [first, last) of the nr / 2 that have this distance. */
static void add_pairs(const struct fft *f, size_t distance, size_t first,
		      size_t last)
{
	size_t stride = f->nr / 2 / distance;

	for (size_t p = first; p < last; p++) {
		size_t k = p & (distance - 1);
		struct complex *a = f->to + 2 * p - k, *b = a + distance;
		struct complex x = *a, y = multiply(*b, f->root[k * stride]);

		*a = (struct complex){ x.re + y.re, x.im + y.im };
		*b = (struct complex){ x.re - y.re, x.im - y.im };
	}
}

static void do_blocks(unsigned int w, void *arg)
{
	const struct fft *f = arg;
	size_t last = share(f->blocks, f->workers, w + 1);

	for (size_t b = share(f->blocks, f->workers, w); b < last; b++) {
		size_t size = f->nr / f->blocks, start = b * size;

		reorder(f, start, start + size);
		for (size_t d = 1; d < size; d *= 2)
			add_pairs(f, d, start / 2, (start + size) / 2);
	}
}

static void do_pairs(unsigned int w, void *arg)
{
	const struct fft *f = arg;

	add_pairs(f, f->distance, share(f->nr / 2, f->workers, w),
		  share(f->nr / 2, f->workers, w + 1));
}

static void transform(struct fft *f, enum run_mode mode)
{
	struct complex *swap;

	if (mode == MODE_SERIAL) {
		reorder(f, 0, f->nr);
		for (size_t d = 1; d < f->nr; d *= 2)
			add_pairs(f, d, 0, f->nr / 2);
	} else {
		run_workers(mode, f->workers, do_blocks, f, 0, NULL);
		f->distance = f->nr / f->blocks;
		for (; f->distance < f->nr; f->distance *= 2)
			run_workers(mode, f->workers, do_pairs, f, 0, NULL);
	}
	swap = f->from;
	f->from = f->to;
	f->to = swap;
}

/*
 * From a quarter of a turn on, half of the angle by square roots, which each
 * machine rounds alike; then the angles between by multiplication.
 */
static void make_roots(struct fft *f)
{
	struct complex x = { 0, -1 };

	f->root = allocate(f->nr / 2, sizeof(*f->root));
	f->root[0] = (struct complex){ 1, 0 };
	for (size_t k = f->nr / 4; k > 0; k /= 2) {
		f->root[k] = x;
		x.re = sqrt((1 + x.re) / 2);
		x.im = x.im / 2 / x.re;
	}
	for (size_t k = 1; k < f->nr / 2; k *= 2)
		for (size_t i = 1; i < k; i++)
			f->root[k + i] = multiply(f->root[k], f->root[i]);
}

static void make_signal(struct fft *f, uint64_t seed)
{
	f->from = allocate_shared(f->nr, sizeof(*f->from));
	f->to = allocate_shared(f->nr, sizeof(*f->to));
	for (size_t i = 0; i < f->nr; i++) {
		f->from[i].re = 2 * random_unit(&seed) - 1;
		f->from[i].im = 2 * random_unit(&seed) - 1;
	}
}

/* How far the signal that has come back is from the one that was made. */
static double error(const struct fft *f, uint64_t seed)
{
	double most = 0;

	for (size_t i = 0; i < f->nr; i++) {
		double re = fabs(f->from[i].re - (2 * random_unit(&seed) - 1));
		double im = fabs(f->from[i].im - (2 * random_unit(&seed) - 1));

		most = re > most ? re : most;
		most = im > most ? im : most;
	}
	return most;
}

static const struct program program = {
	"dfft", "",
	"Transforms a signal by the fast Fourier transform, a multiple of four times, and\n"
	"prints a checksum of the signal and how far it is from where it began. The status\n"
	"is 1 if --check finds it wrong.", NULL, HAS_WORKERS | HAS_INPUT
};

int main(int argc, char **argv)
{
	enum run_mode mode = begin(&program, argc, argv);
	struct fft f = { .workers = chosen_workers(), .blocks = 1 }, right;
	size_t times = by_size(8, 16, 16), size;

	f.log_nr = by_size(14, 17, 20);
	f.nr = (size_t)1 << f.log_nr;
	size = f.nr * sizeof(*f.from);
	while (f.blocks < f.workers)
		f.blocks *= 2;
	make_roots(&f);
	right = f;
	make_signal(&f, chosen_seed());

	start_work();
	for (size_t i = 0; i < times; i++)
		transform(&f, mode);
	end_work();
	printf("%zu transforms of %zu: error %.1e, checksum %016llx\n", times,
	       f.nr, error(&f, chosen_seed()),
	       (unsigned long long)checksum_of(CHECKSUM_START, f.from, size));
	if (!must_check())
		return STATUS_OK;
	make_signal(&right, chosen_seed());
	for (size_t i = 0; i < times; i++)
		transform(&right, MODE_SERIAL);
	return compare(f.from, right.from, size);
}
