/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The extended state in XSAVE's standard format: which components the CPU
 * has, a pattern for each that XRSTOR accepts, and comparing.
 */
#ifndef __DETERMINISTIC_XSTATE_H
#define __DETERMINISTIC_XSTATE_H

#include <cpuid.h>

#include "common.h"

#define XSTATE_MAX 16384
#define XSTATE_HEADER 512

#define X_FP 0
#define X_SSE 1
#define X_BNDCSR 4
#define X_PKRU 9
#define X_TILECFG 17
#define X_TILEDATA 18
#define X_LAST 62

struct xarea {
	unsigned char b[XSTATE_MAX];
} __attribute__((aligned(64)));

/* Bytes of the standard format with all that XCR0 has; 0 without XSAVE. */
static inline unsigned int xstate_size(void)
{
	unsigned int a, b, c, d;

	__cpuid(1, a, b, c, d);
	if (!(c & bit_OSXSAVE))
		return 0;
	__cpuid_count(0xd, 0, a, b, c, d);
	return b;
}

/* The components that this process may use. */
static inline __u64 xstate_components(void)
{
	__u64 tiles = 1ULL << X_TILECFG | 1ULL << X_TILEDATA, mask;
	unsigned int lo, hi;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	mask = lo | (__u64)hi << 32;
	/* ARCH_REQ_XCOMP_PERM: the tiles want a permission. */
	if (mask & tiles && syscall(__NR_arch_prctl, 0x1023, X_TILEDATA))
		mask &= ~tiles;
	return mask;
}

static inline unsigned int component_offset(int nr, unsigned int *size)
{
	unsigned int a, b, c, d;

	__cpuid_count(0xd, nr, a, b, c, d);
	*size = a;
	return b;
}

static inline void fill_tilecfg(unsigned char *p)
{
	int i;

	p[0] = 1;
	for (i = 0; i < 8; i++) {
		p[16 + 2 * i] = 64;
		p[48 + i] = 16;
	}
}

/* Different bytes for each component, register and @seed. */
static inline void fill_component(unsigned char *p, unsigned int size, int nr,
				  int seed)
{
	unsigned int i;

	if (nr == X_BNDCSR) {
		p[0] = 2;
	} else if (nr == X_PKRU) {
		p[0] = 0x10 * seed + 4;	/* key 0 stays allowed */
		p[1] = 0x56;
	} else if (nr == X_TILECFG) {
		fill_tilecfg(p);
	} else {
		for (i = 0; i < size; i++)
			p[i] = i * 11 + nr * 37 + seed * 101 + 1;
	}
}

static inline void fill_legacy(unsigned char *p, int seed)
{
	int i, j;

	p[0] = 0x7f;
	p[1] = 0x02;		/* FCW: 53 bits */
	p[3] = seed & 7;	/* FSW: condition codes */
	p[4] = 0xff;		/* all eight in use */
	p[24] = 0x80;
	p[25] = 0x5f;		/* MXCSR: round up, all masked */
	for (i = 0; i < 8; i++) {
		for (j = 0; j < 10; j++)
			p[32 + 16 * i + j] = i * 10 + j + seed * 3 + 1;
		p[32 + 16 * i + 7] |= 0x80;
	}
	for (i = 0; i < 256; i++)
		p[160 + i] = i * 7 + seed * 13 + 1;
}

static inline void fill_xstate(struct xarea *x, __u64 mask, int seed)
{
	unsigned int off, size;
	int nr;

	memset(x, 0, sizeof(*x));
	fill_legacy(x->b, seed);
	for (nr = 2; nr <= X_LAST; nr++) {
		if (!(mask >> nr & 1))
			continue;
		off = component_offset(nr, &size);
		fill_component(x->b + off, size, nr, seed);
	}
	memcpy(x->b + XSTATE_HEADER, &mask, sizeof(mask));
}

/* FOP, FIP and FDP are left out: what they show depends on the CPU. */
static inline bool same_legacy(const unsigned char *a, const unsigned char *b)
{
	bool same = !memcmp(a, b, 5) && !memcmp(a + 24, b + 24, 4) &&
		    !memcmp(a + 160, b + 160, 256);
	int i;

	for (i = 0; i < 8; i++)
		same = same && !memcmp(a + 32 + 16 * i, b + 32 + 16 * i, 10);
	return same;
}

/* The number of the first component that differs, -1 if all are equal. */
static inline int xstate_differs(const struct xarea *a, const struct xarea *b,
				 __u64 mask)
{
	unsigned int off, size;
	int nr;

	if (!same_legacy(a->b, b->b))
		return X_FP;
	for (nr = 2; nr <= X_LAST; nr++) {
		if (!(mask >> nr & 1))
			continue;
		off = component_offset(nr, &size);
		if (memcmp(a->b + off, b->b + off, size))
			return nr;
	}
	return -1;
}

#endif /* __DETERMINISTIC_XSTATE_H */
