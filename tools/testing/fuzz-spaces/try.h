/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sequences in a process of their own, what came of them, and what is left
 * behind.
 */
#ifndef FUZZ_TRY_H
#define FUZZ_TRY_H

#include "ops.h"

enum verdict {
	V_SAME,
	V_DIFFERENT,	/* from the model */
	V_DIED,		/* the master, of a signal */
	V_HUNG,
	V_LOG,		/* the kernel complains */
	V_LEFT,		/* something is left behind each time */
};

struct trial {
	enum verdict verdict;
	u32 sequence;		/* which of them */
	u32 step;
	u64 steps;		/* done in all */
	char why[1024];
};

extern unsigned int hang_limit;	/* seconds */

/* try.c */
bool try_init(void);
void try_sequences(const struct sequence *q, u32 nr, u32 times,
		   struct trial *t);

/* watch.c */
#define MAX_COUNTS 32

struct counts {
	long val[MAX_COUNTS];
};

void watch_init(void);
bool kernel_complains(char *line, size_t size);
void watch_count(struct counts *c);
const char *watch_grown(const struct counts *from, const struct counts *to,
			long limit, long *by);
void watch_print(FILE *f, const struct counts *from, const struct counts *to);

/* shrink.c */
#define LEFT_TIMES 100		/* runs after which a growth is no accident */

void try_again(const struct sequence *q, enum verdict kind, struct trial *t);
void shrink(struct sequence *q, enum verdict kind, struct trial *t);

#endif /* FUZZ_TRY_H */
