/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Square matrices of doubles: made, compared, and printed as one line.
 */
#ifndef MATRIX_H
#define MATRIX_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common.h"

/* Numbers between -1 and 1, the same for the same @seed everywhere. */
static inline void fill_matrix(double *m, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n * n; i++) {
		/* Knuth's linear congruential generator, MMIX. */
		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		m[i] = (double)(int32_t)(seed >> 32) / 2147483648.0;
	}
}

/* A new one, to which workers may write. */
static inline double *make_matrix(size_t n, uint64_t seed)
{
	double *m = allocate_shared(n * n, sizeof(*m));

	fill_matrix(m, n, seed);
	return m;
}

/* A sum over all bits: matrices that differ anywhere differ here (FNV-1a). */
static inline uint64_t checksum(const double *m, size_t n)
{
	uint64_t sum = 14695981039346656037ULL, bits;

	for (size_t i = 0; i < n * n; i++) {
		memcpy(&bits, &m[i], sizeof(bits));
		sum = (sum ^ bits) * 1099511628211ULL;
	}
	return sum;
}

#endif /* MATRIX_H */
