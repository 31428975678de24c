/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where things lie, in the master and in each space alike; and the box, through
 * which a space is told what to do. Included by assembler, too.
 */
#ifndef FUZZ_LAYOUT_H
#define FUZZ_LAYOUT_H

#define PAGE		4096

/* The memory that is compared: small pages, and then two huge ones. */
#define SMALL		32
#define BIG		1024
#define NPAGES		(SMALL + BIG)
#define HUGE_AT		0x60200000
#define ARENA		(HUGE_AT - SMALL * PAGE)
#define ARENA_END	(HUGE_AT + BIG * PAGE)

/* Mapped and filled when a sequence begins; the rest is a hole. */
#define FILLED		24

/* Where the master looks at snapshots. */
#define VIEW		0x61000000

/* The interpreter's code, one page, and its box, another one. */
#define SPACE_AT	0x70000000
#define BOX		0x60800000

/* What is in the box; offsets. */
#define BOX_OP		0
#define BOX_NR		8
#define BOX_ARG		16
#define BOX_OUT		64
#define BOX_RESULT	112
#define BOX_SEEN	128
#define BOX_ARGS	256
#define BOX_ST		384
#define BOX_OPS		512
#define BOX_REGS	1024
#define BOX_RANGES	1280
#define BOX_SIZE	1536
#define BOX_INNER	2048		/* the box of a child of the space */

/* BOX_OP */
#define BOX_NOP		0
#define BOX_WRITE	1
#define BOX_READ	2
#define BOX_CALL	3
#define BOX_TRAP	4
#define BOX_JUMP	5

/* BOX_TRAP: which */
#define TRAP_DIV	0
#define TRAP_UD2	1
#define TRAP_INT3	2
#define TRAP_HLT	3
#define TRAP_INT80	4
#define TRAPS		5

/* As in the UAPI header, which is not for assembler. */
#define NR_DPUT		548
#define NR_DRET		550

#ifndef __ASSEMBLER__
/* Places in the interpreter. */
extern const char space_start[], space_end[], space_entry[], space_store[],
	space_load[], space_called[], space_stopped[], space_div[],
	space_ud2[], space_int3[], space_int3_after[], space_hlt[],
	space_int80[], space_forked[];
/* A dput with DET_FORK of the master's own. */
long space_fork(unsigned long child, const void *args, unsigned long size);
#endif

#endif /* FUZZ_LAYOUT_H */
