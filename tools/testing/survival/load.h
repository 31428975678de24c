/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The load: a master with children, in rounds of COPY, SNAP, run and MERGE.
 */
#ifndef __SURVIVAL_LOAD_H
#define __SURVIVAL_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "source.h"

/**
 * struct load_options - what a load is
 * @children: of one master, all at work at once
 * @source: what the master's memory is
 * @kills: spaces may be seen KILLED
 * @most: bytes of the greatest arena
 */
struct load_options {
	unsigned int children;
	char source[32];
	bool kills;
	size_t most;
};

/**
 * struct load_counts - what has been done, written while it goes on
 * @rounds: completed: merged, or found killed
 * @busy: begun, and not completed
 * @conflicts: merges that were refused or mended, as the model has foreseen
 * @killed: children that were found KILLED, BROKEN or without memory
 * @wrong: anything that the model has not foreseen; the load ends there
 * @bytes: copied into children
 * @rets: all that children have returned, in order, hashed
 */
struct load_counts {
	unsigned long rounds;
	unsigned long busy;
	unsigned long conflicts;
	unsigned long killed;
	unsigned long wrong;
	unsigned long long bytes;
	unsigned long long rets;
};

struct load;

/*
 * False, after a message, on a kernel without the calls. If there is no swap
 * space, some is made of compressed memory, where that can be done.
 */
bool load_possible(void);

/* NULL: a message was printed. Nothing is mapped yet. */
struct load *load_new(const struct load_options *o, unsigned long long seed,
		      struct load_counts *counts);

/* Maps what is not mapped. 0, or 4: the machine lacks what the source needs. */
int load_map(struct load *l);

/* One step: a child's round ends, if it is in one, and its next begins. */
bool load_step(struct load *l);

/*
 * Ends all rounds, kills all children, and unmaps the memory. A source that
 * may not be unmapped is made whole: each page is there. So two rests look the
 * same, but for what the kernel has kept. load_map() goes on.
 */
bool load_rest(struct load *l);

/* The source that is used if none is named: a bit of everything. */
extern const struct source mix_source;

/* Unmaps all that this source has mapped. */
void mix_unmap(void);

/*
 * For that source: a page loses what was written, and *@now is what it holds
 * then. False: it is as it was.
 */
bool mix_forget(void *at, void *now);

#endif /* __SURVIVAL_LOAD_H */
