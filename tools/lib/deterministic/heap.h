/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The heap of a space. Memory comes from the space's part of the arena, which no
 * other space allocates from: parent, children and siblings never write to the same
 * byte for it. A child's part is cut out of its parent's when the child is made; a
 * join puts it back, with the blocks that are still in use.
 *
 * The state of a heap (struct det_heap and the arrays in the block) is never
 * merged; what lies in the arena itself, blocks and the headers of spans, is.
 */
#ifndef DET_HEAP_H
#define DET_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A part of somebody's memory: [start, end). */
struct det_area {
	uintptr_t start;
	uintptr_t end;
};

#pragma GCC visibility push(hidden)

#define DET_UNIT		65536UL
#define DET_NR_CLASSES		40
#define DET_NR_DIRTY		32

/**
 * struct det_span - memory for blocks of one size, or for one large block
 * @next: in the list of spans that have a free block of this size
 * @prev: as well
 * @area: whole units of the arena, this header included
 * @class: of size; DET_NR_CLASSES: one large block
 * @block: bytes of a block that can be used
 * @first: where the first block begins, from the header on
 * @nr_blocks: how many there are
 * @nr_free: how many of them are not in use
 * @hint: no word of @used before this one has a zero
 * @used: a bit for each block; those behind the last are set
 *
 * At the start of the last unit boundary before the (first) block.
 */
struct det_span {
	struct det_span *next, *prev;
	struct det_area area;
	uint32_t class;
	uint32_t first;
	uint64_t block;
	uint32_t nr_blocks;
	uint32_t nr_free;
	uint32_t hint;
	uint64_t used[];
};

/**
 * struct det_heap - what a space knows of its heap
 * @part: all of the arena that is its own
 * @has_extents: the array in its block has been begun; else all of @part is free
 * @nr_extents: of that array, ascending: what of @part is in no span, and zero
 * @bin: spans that have a free block, a list for each size
 * @dirty: areas that are in no span, and not zero
 * @nr_dirty: how many
 * @nr_queued: of the array in its block: blocks of other spaces that it has freed
 * @in_spans: bytes
 * @in_use: bytes in blocks that are in use
 */
struct det_heap {
	struct det_area part;
	bool has_extents;
	size_t nr_extents;
	struct det_span *bin[DET_NR_CLASSES];
	struct det_area dirty[DET_NR_DIRTY];
	unsigned int nr_dirty;
	size_t nr_queued;
	int64_t in_spans;
	int64_t in_use;
};

/* An empty heap over @part for the space on this level. */
void det_heap_begin(struct det_area part);

/* Is it another than when it was begun? */
bool det_heap_is_used(void);

/* NULL: the part is used up. @align is a power of two, @zero asks for zeros. */
void *det_heap_alloc(size_t size, size_t align, bool zero);

/* A block of another space's goes into the queue. NULL is not allowed. */
void det_heap_free(void *p);

/* How many bytes of a block can be used. */
size_t det_heap_size(void *p);

/* Does this block grow or shrink to @size where it is? */
bool det_heap_fits(void *p, size_t size);

/* All that is not in use becomes zero, so that nothing is merged for it. */
void det_heap_trim(void);

/* The state of this heap, as its parent reads it. */
const struct det_heap *det_heap_state(void);

/* Cuts a part for the @nth child at a time, 0 the first, or one of a team; may be empty. */
struct det_area det_heap_cut(unsigned int nth, unsigned int team);

/* Takes a part back from a child that has not used it, or of which nothing remains. */
void det_heap_uncut(struct det_area part, bool used);

/*
 * Takes over the heap of a child that has been merged: @heap is a copy of its
 * state, @read copies bytes at an address in the child to one here. What it has freed of
 * others waits for det_heap_settle(), when all that there are have been taken over.
 */
int det_heap_adopt(const struct det_heap *heap, uintptr_t extents,
		   uintptr_t queue,
		   int (*read)(void *to, uintptr_t from, size_t len));

void det_heap_settle(void);

/* Is this a block of another space's? */
bool det_heap_is_foreign(void *p);

#pragma GCC visibility pop

#endif /* DET_HEAP_H */
