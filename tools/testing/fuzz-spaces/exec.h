/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A sequence on the kernel and on the model, in one process: the master.
 */
#ifndef FUZZ_EXEC_H
#define FUZZ_EXEC_H

#include <stdarg.h>

#include "model.h"

#define MAX_XSTATE 4096

/* What a master has to say, in memory that it shares with its parent. */
struct report {
	u32 step;		/* where it is */
	u32 sequence;
	u64 steps;		/* done in all */
	char why[1024];		/* "": no difference */
};

struct run {
	struct report *report;
	const struct sequence *q;
	struct space master;
	unsigned int nr_fds;
	int fds[MAX_STEPS];
};

extern int file_fd, shared_fd;
extern size_t xstate_size;
extern u8 first_xstate[MAX_XSTATE];

__printf(2, 3) void differ(struct run *run, const char *fmt, ...);
bool run_sequence(struct run *run, const struct sequence *q);
bool prepare_once(void);

/* kernel calls */
long raw_call(bool put, u64 child, const void *args, size_t size);
long plain_call(bool put, u64 child, u64 flags, const struct det_op *op,
		u32 nr, struct det_status *st);

/* exec.c */
bool do_step(struct run *run, const struct step *s);

/* result.c */
bool check_result(struct run *run, const struct result *want, long ret,
		  const struct det_status *st, const struct det_range *ranges,
		  const struct user_regs_struct *regs, const u8 *xstate);
bool check_status(struct run *run, const struct det_status *want,
		  const struct det_status *st);
bool check_regs(struct run *run, const struct regs *want,
		const struct user_regs_struct *regs);
bool check_xstate(struct run *run, const struct xstate *want, const u8 *xstate);
void fill_xstate(u32 seed, u8 *buf);

/* master.c: what it does on its own, to its arena */
bool do_own(struct run *run, const struct step *s);
void master_begin(struct run *run);
void thread_warm(struct run *run);
void thread_end(void);
u64 writable_part(struct mem *m, u64 addr, u64 len, u32 prot);

/* stir.c */
void stir_init(void);
bool stir(struct run *run, enum stir how);
bool stir_beside(void);
void stir_end(void);

/* look.c */
void look_begin(void);
bool look(struct run *run, bool thorough);

#endif /* FUZZ_EXEC_H */
