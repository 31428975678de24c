/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One step of a sequence, and its written form.
 */
#ifndef FUZZ_OPS_H
#define FUZZ_OPS_H

#include <linux/deterministic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "layout.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define __aligned(n)	__attribute__((aligned(n)))
#define __printf(a, b)	__attribute__((format(printf, a, b)))

#define KIDS		3	/* a parent's children are 0, 1, 2 */
#define MAX_PATH	2	/* who acts: master, child, grandchild */
#define MAX_STEPS	64
#define MAX_OPS		4
#define MAX_RANGES	12

enum kind {
	/* master and spaces */
	K_CALL,		/* dput, dget */
	K_WRITE,	/* bytes val, val + step, ... at addr */
	K_READ,		/* a sum of len bytes at addr */
	/* spaces */
	K_SYSCALL,	/* val: a number that is not one of the three */
	K_TRAP,		/* val: TRAP_* */
	K_JUMP,		/* to addr */
	/* the master */
	K_MMAP,		/* val: enum memory, step: prot */
	K_MUNMAP,
	K_MPROTECT,	/* step: prot */
	K_MREMAP,	/* one page, from addr to val */
	K_MADVISE,	/* val: advice */
	K_THREAD,	/* K_WRITE by another thread, which has been there */
	K_FORK,		/* an ordinary child that exits */
	K_STIR,		/* val: enum stir; nothing that can be seen */
	NR_KINDS
};

enum memory { M_ANON, M_FILE, M_SHARED, NR_MEMORY };

enum stir {
	STIR_COMPACT, STIR_SWAP, STIR_COLLAPSE, STIR_LOOK, STIR_BESIDE, NR_STIR
};

/* Arguments that are bad beyond what an operation can say. */
enum bad {
	BAD_NONE,
	BAD_FLAG,		/* an unknown flag */
	BAD_PAD,
	BAD_NR_OPS,
	BAD_REQUIRE,
	BAD_SIZE_SMALL,
	BAD_SIZE_BIG,
	BAD_TAIL,
	BAD_STATUS_SIZE,
	BAD_STATUS,		/* a status that cannot be written */
	BAD_OP_SIZE,
	BAD_OPS,		/* operations that cannot be read */
	BAD_REGS,
	BAD_REGS_SIZE,
	BAD_RANGES,
	BAD_RIP,
	BAD_FD,
	BAD_XSTATE,
	GOOD_LONG_OPS,		/* longer ones, with a tail of zeros */
	NR_BAD
};

struct step {
	u8 kind;
	u8 depth;		/* 0: the master acts */
	u8 path[MAX_PATH];
	bool put;
	u8 bad;
	u64 child;
	u64 flags;
	u32 nr_ops;
	struct det_op op[MAX_OPS];
	u32 nr_ranges;
	u32 regs;		/* with DET_REGS: seed of what they are, 0: none */
	u32 xstate;		/* likewise */
	u64 addr, len, val, step;
};

struct sequence {
	u64 seed;
	u32 nr;
	bool look_often;	/* compare after each step */
	struct step step[MAX_STEPS];
};

void print_step(FILE *f, const struct step *s);
void print_sequence(FILE *f, const struct sequence *q);
bool read_sequence(FILE *f, struct sequence *q);

/* gen.c */
u64 next_random(u64 *state);
void draw_sequence(struct sequence *q, u64 seed, unsigned int nr);

#endif /* FUZZ_OPS_H */
