/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The program that a child of the load runs. The master runs the same function
 * on its model: what it computes and writes must be equal.
 */
#ifndef __SURVIVAL_CHILD_H
#define __SURVIVAL_CHILD_H

#include <linux/types.h>

#define PAGE 4096UL
#define TOUCHED 6	/* pages that one round may change */

/**
 * struct program - one round of a child
 * @seed: of all that is chosen below
 * @spin: steps of plain computing at the end, so that it runs for a while
 * @nr: pages
 * @writes: changes in each page
 * @page: where each is: in the child, or in the master's model
 */
struct program {
	__u64 seed;
	__u32 spin;
	__u32 nr;
	__u32 writes[TOUCHED];
	unsigned char *page[TOUCHED];
};

/* Reads and changes the pages; the result depends on all that was read. */
__u64 run_program(const struct program *p);

/* What a child executes: a round for each start. */
void child_main(const struct program *p);

/* The linker's: the section that both are in. */
extern const char __start_space_code[], __stop_space_code[];

/* The pages with both functions, which call nothing outside. */
void child_text(__u64 *start, __u64 *len);

#endif /* __SURVIVAL_CHILD_H */
