/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the library keeps things: the arena, which all spaces of a tree share as
 * they share other memory, and a block for each level of nesting, which belongs
 * to the space on that level and is never merged. Both have fixed addresses, so
 * that nothing depends on where the kernel would put them, and are reserved, not
 * used: what nobody touches costs nothing.
 *
 * A space on level n has its own block n, and copies of its ancestors', but not of the
 * master's. Siblings have blocks of the same address; their parent copies out of a
 * child's block.
 */
#ifndef DET_LAYOUT_H
#define DET_LAYOUT_H

#include <stdint.h>

#include <linux/deterministic.h>

#include "heap.h"

#define DET_KIB			1024UL
#define DET_MIB			(1024 * DET_KIB)
#define DET_GIB			(1024 * DET_MIB)

/*
 * The heap: 32 TiB, or as much of it as there may be. It begins in the last GiB of what a
 * table of 512 GiB maps: the kernel looks for what is used behind that.
 */
#define DET_ARENA		(0x100000000000UL - DET_GIB)
#define DET_ARENA_SIZE		(32 * 1024 * DET_GIB)
#define DET_ARENA_LEAST		DET_GIB

/* Blocks lie below the arena, the master's first. */
#define DET_NR_LEVELS		(DET_MAX_DEPTH + 1)
#define DET_BLOCK_STRIDE	(2 * DET_GIB)
#define DET_BLOCKS		0x0f0000000000UL
#define DET_BLOCKS_END		(DET_BLOCKS + DET_NR_LEVELS * DET_BLOCK_STRIDE)

/*
 * A block: what is in it, from where on. What the kernel does for a block costs by the
 * page table and by the table of tables. What each child uses, the end of its stack and
 * the beginning of the list of extents, has one page table; what each parent uses as well,
 * scratch and kids, has another, in the same GiB; the rest is for few. Below the stack is
 * nothing: one that grows too far is a fault. A page is left free above it. Stack and
 * scratch end at odd MiB, in the middle of what a page table maps.
 */
#define DET_STACK_AT		(575 * DET_MIB)
#define DET_STACK_SIZE		(256 * DET_MIB)
#define DET_DATA_AT		(DET_STACK_AT + DET_STACK_SIZE)
#define DET_EXTENTS_AT		(DET_DATA_AT + 4 * DET_KIB)	/* struct det_area[] */
#define DET_EXTENTS_SIZE	(127 * DET_MIB - 4 * DET_KIB)
#define DET_SCRATCH_AT		(DET_EXTENTS_AT + DET_EXTENTS_SIZE) /* for what passes */
#define DET_SCRATCH_SIZE	(1 * DET_MIB)
#define DET_KIDS_AT		(DET_SCRATCH_AT + DET_SCRATCH_SIZE) /* struct det_kid[] */
#define DET_KIDS_SIZE		(64 * DET_MIB)
#define DET_QUEUE_AT		(DET_KIDS_AT + DET_KIDS_SIZE) /* void *[] */
#define DET_QUEUE_SIZE		(256 * DET_MIB)
#define DET_OUT_AT		(DET_QUEUE_AT + DET_QUEUE_SIZE) /* what it prints to stdout */
#define DET_OUT_SIZE		(512 * DET_MIB)
#define DET_ERR_AT		(DET_OUT_AT + DET_OUT_SIZE) /* and to stderr */
#define DET_ERR_SIZE		(128 * DET_MIB)
#define DET_BLOCK_END		(DET_ERR_AT + DET_ERR_SIZE)

_Static_assert(DET_BLOCK_END <= DET_BLOCK_STRIDE, "blocks do not overlap");

/* Where on level @level a part of a block begins. */
static inline uintptr_t det_block(unsigned int level, uintptr_t at)
{
	return DET_BLOCKS + level * DET_BLOCK_STRIDE + at;
}

/* What a space on level @level has of its block. */
static inline struct det_area det_own_block(unsigned int level)
{
	return (struct det_area){
		det_block(level, DET_STACK_AT), det_block(level, DET_BLOCK_END)
	};
}

/*
 * For a copy out of a child. What the kernel copies in whole pages becomes a mapping of its
 * own there, which every child gets; this never is at the same place in a page.
 */
#define DET_SCRATCH_ROOM	(DET_SCRATCH_SIZE - 4 * DET_KIB)

static inline char *det_scratch(unsigned int level)
{
	return (char *)det_block(level, DET_SCRATCH_AT) + 64;
}

static inline uintptr_t det_stack_end(unsigned int level)
{
	return det_block(level, DET_STACK_AT + DET_STACK_SIZE);
}

#endif /* DET_LAYOUT_H */
