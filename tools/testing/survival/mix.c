// SPDX-License-Identifier: GPL-2.0-only
/*
 * The source "mix": anonymous memory with huge pages, pages that were never
 * touched, holes, pages of a private file, and pages that are swapped out.
 *
 * An arena is a row of blocks of eight units: four of huge pages, one of the
 * file, one that begins with a hole, one that is plain, one that is swapped
 * out again and again. Every third arena has small units, and no huge page.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "child.h"
#include "disturb.h"
#include "load.h"

/* For headers that are older. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define HUGE (2UL << 20)
#define PROT_RW (PROT_READ | PROT_WRITE)
#define BLOCK_UNITS 8
#define FILE_PAGES 16

static struct {
	char *mem;
	size_t size, unit;
	int fd;
} arena[8];

static int arenas;

enum part { PART_HUGE, PART_FILE, PART_HOLE, PART_PLAIN, PART_SWAP };

static size_t hole_of(size_t unit)
{
	return unit / 4 < 16 * PAGE ? unit / 4 : 16 * PAGE;
}

static enum part part_of(size_t offset, size_t unit)
{
	size_t in_unit = offset % unit;

	switch (offset / unit % BLOCK_UNITS) {
	case 0 ... 3:
		return PART_HUGE;
	case 4:
		return PART_FILE;
	case 5:
		return in_unit < hole_of(unit) ? PART_HOLE : PART_PLAIN;
	case 6:
		return PART_PLAIN;
	default:
		return PART_SWAP;
	}
}

/* What the file has in its page @nr: not the same for the next ones. */
static void fill_page(void *page, size_t nr)
{
	unsigned long long random = nr % FILE_PAGES + 1;
	unsigned int *word = page;
	size_t i;

	for (i = 0; i < PAGE / sizeof(*word); i++)
		word[i] = any(&random, ~0U);
}

/* A file whose pages repeat, so that it is small. */
static int make_file(size_t size)
{
	int fd = memfd_create("survival", MFD_CLOEXEC);
	unsigned char page[PAGE];
	size_t i;

	if (fd < 0 || ftruncate(fd, size))
		return -1;
	for (i = 0; i < size / PAGE; i++) {
		fill_page(page, i);
		if (pwrite(fd, page, PAGE, i * PAGE) != (ssize_t)PAGE)
			return -1;
	}
	return fd;
}

static bool map_unit(char *at, size_t offset, size_t unit, int fd)
{
	switch (part_of(offset, unit)) {
	case PART_FILE:
		return mmap(at, unit, PROT_RW, MAP_PRIVATE | MAP_FIXED, fd, 0) !=
		       MAP_FAILED;
	case PART_HOLE:
		return !munmap(at, hole_of(unit));
	case PART_HUGE:
		if (unit >= HUGE / 4)
			madvise(at, unit, MADV_HUGEPAGE);
		return true;
	default:
		return true;
	}
}

/* Three of four pages get bytes, of a great arena one of eight. */
static void fill_some(char *mem, size_t size, size_t unit,
		      unsigned long long *random)
{
	size_t i;

	for (i = 0; i < size; i += PAGE) {
		enum part part = part_of(i, unit);

		if (part == PART_HOLE || part == PART_FILE)
			continue;
		if (size > 8 * HUGE ? any(random, 8) : !any(random, 4))
			continue;
		mem[i + any(random, PAGE)] = 1 + any(random, 255);
	}
}

static char *map_aligned(size_t size)
{
	char *p = mmap(NULL, size + 2 * HUGE, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *at = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));

	if (p == MAP_FAILED)
		return NULL;
	if (at > p)
		munmap(p, at - p);
	munmap(at + size, p + 2 * HUGE - at);
	if (mprotect(at, size, PROT_RW)) {
		munmap(at, size);
		return NULL;
	}
	return at;
}

static void *mix_map(size_t size, int child, unsigned long long *random)
{
	size_t unit = child % 3 == 2 ? 16 * PAGE : size / BLOCK_UNITS, i;
	char *mem = map_aligned(size);
	int fd;

	if (unit > HUGE / 2)
		unit = HUGE / 2;
	if (!mem) {
		fprintf(stderr, "mix: no %zu bytes of memory\n", size);
		return NULL;
	}
	fd = make_file(unit);
	for (i = 0; i < size; i += unit)
		if (fd < 0 || !map_unit(mem + i, i, unit, fd)) {
			perror("mix");
			return NULL;
		}
	fill_some(mem, size, unit, random);
	for (i = 0; i < (size_t)arenas && arena[i].mem != mem; i++)
		;
	arena[i].mem = mem;
	arena[i].size = size;
	arena[i].unit = unit;
	arena[i].fd = fd;
	arenas = i == (size_t)arenas ? arenas + 1 : arenas;
	return mem;
}

void mix_unmap(void)
{
	while (arenas) {
		arenas--;
		munmap(arena[arenas].mem, arena[arenas].size);
		close(arena[arenas].fd);
	}
}

/* Swaps a part out, joins a part to a huge page, or frees it of one. */
static void mix_churn(void *mem, size_t size, unsigned long long *random)
{
	size_t unit, block, at;
	int i;

	for (i = 0; i < arenas && arena[i].mem != mem; i++)
		;
	unit = arena[i].unit;
	block = unit * BLOCK_UNITS;
	at = any(random, (size + block - 1) / block) * block;
	if (at + block > size)
		return;
	if (any(random, 4)) {
		madvise((char *)mem + at + 7 * unit + unit / 2, unit / 2,
			MADV_PAGEOUT);
		return;
	}
	at += any(random, 4) * unit & ~(HUGE - 1);
	if (unit >= HUGE / 4 && at + HUGE <= size)
		madvise((char *)mem + at, HUGE, MADV_COLLAPSE);
}

bool mix_forget(void *at, void *now)
{
	enum part part;
	size_t offset;
	int i;

	for (i = 0; i < arenas; i++)
		if ((char *)at >= arena[i].mem &&
		    (char *)at < arena[i].mem + arena[i].size)
			break;
	if (i == arenas)
		return false;
	offset = (char *)at - arena[i].mem;
	part = part_of(offset, arena[i].unit);
	if (part == PART_HOLE || madvise(at, PAGE, MADV_DONTNEED))
		return false;
	if (part == PART_FILE)
		fill_page(now, offset % arena[i].unit / PAGE);
	else
		memset(now, 0, PAGE);
	return true;
}

const struct source mix_source = {
	.name = "mix",
	.what = "huge, untouched, swapped pages, holes, and a private file",
	.map = mix_map,
	.churn = mix_churn,
};
