/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The reference model: a tree of spaces whose memory is plain arrays of bytes.
 */
#ifndef FUZZ_MODEL_H
#define FUZZ_MODEL_H

#include <stddef.h>
#include <string.h>
#include <sys/user.h>

#include "ops.h"

enum page_kind { PAGE_ANON, PAGE_FILE, PAGE_SHARED };

/* A page; data NULL: zeros. That of a shared page is the file's. */
struct page {
	bool mapped;
	u8 prot;
	u8 kind;
	u16 index;		/* in its file */
	u8 *data;
};

/* What a space's box says, as far as it matters. */
struct box {
	u8 op;
	u64 nr, arg[6], out[6];
	const struct step *step;	/* BOX_CALL with dput or dget */
	bool given;		/* a call of exec.c's own, which has ... */
	u64 result;
};

struct mem {
	bool code;		/* the interpreter is there */
	struct box box;
	struct page page[NPAGES];
};

/* Registers, and which of them the model knows: one bit for 8 bytes. */
struct regs {
	struct user_regs_struct user;
	u32 known;
};

#define REG(name) (1U << offsetof(struct user_regs_struct, name) / 8)
#define REGS_ALL ((1U << sizeof(struct user_regs_struct) / 8) - 1)

/* The bits of xstate buffers that the fuzzer chooses are in here. */
struct xstate {
	bool known;
	u32 seed;		/* 0: initial */
};

/* What a call must give. */
struct result {
	long ret;
	bool has_status;
	struct det_status st;
	u32 nr_ranges;
	struct det_range range[MAX_RANGES];
	bool has_regs;
	struct regs regs;
	struct xstate xstate;
};

struct space {
	struct space *parent;
	bool master;
	struct mem mem;
	struct mem *image;
	struct det_status stop;	/* the part about the stop */
	struct regs regs;
	struct regs seen;	/* as the interpreter found them */
	struct xstate xstate;
	struct result *result;	/* of its last call */
	bool notify;
	u64 notified;		/* stops since */
	int notify_fd;		/* exec.c's */
	int pid;		/* look.c's, and the model's guess */
	int guess;
	struct space *kid[KIDS];
};

/* Deliberate faults of the model, to see that they are found. */
enum fault {
	FAULT_NONE,
	FAULT_LOST_UPDATE,	/* MERGE takes the child's page as a whole */
	FAULT_TAIL,		/* a COPY leaves out the last byte of its tail */
	FAULT_OVERLOOKED,	/* no conflict if the values are equal */
	FAULT_INVENTED,		/* a conflict if only the caller has written */
	FAULT_PERM,		/* COPY gives read and write */
	FAULT_SNAP,		/* a second SNAP changes nothing */
	FAULT_ZERO,		/* ZERO keeps the first page's bytes */
	FAULT_HOLE,		/* COPY of a hole leaves what is there */
	FAULT_REGS,		/* DET_REGS forgets R15 */
	FAULT_GRANULE,		/* a granule of 8 is one of 4 */
	FAULT_TWO,		/* the second MERGE of a call is left out */
	FAULT_IMAGE,		/* DET_COPY_IMAGE reads the child */
	FAULT_LEFT,		/* each sequence leaves a process behind */
	FAULT_LOG,		/* each MERGE makes the kernel's log complain */
	NR_FAULTS
};

extern enum fault fault;
extern int model_pid;		/* the last process's number */
extern unsigned int nr_pages;	/* how many of NPAGES this sequence uses */

/* memory */
void mem_free(struct mem *m);
void mem_copy(struct mem *to, const struct mem *from);
void page_drop(struct page *p);
u8 *page_bytes(struct page *p);		/* for writing */
u8 page_byte(const struct page *p, unsigned int i);
struct page *page_at(struct mem *m, u64 addr);
extern u8 file_bytes[SMALL][PAGE];	/* of the private file, constant */
extern u8 *shared_page[SMALL];		/* of the shared one */

int model_copy(struct mem *src, struct mem *dst, u64 from, u64 to, u64 len,
	       u64 *where);
void model_copy_whole(struct mem *src, struct mem *dst);
int model_zero(struct mem *m, u64 addr, u64 len, u32 prot, u64 *where);
int model_perm(struct mem *m, u64 addr, u64 len, u32 prot, u64 *where);

struct merge {
	struct mem *caller, *child, *image;
	u32 max_ranges;
	struct result *result;
	u64 where;
};

int model_merge(struct merge *m, const struct det_op *op, u32 nr, u32 first);

/* calls */
void model_call(struct space *actor, const struct step *s, struct result *r);
void model_run(struct space *sp);
void model_kill(struct space *sp);
void model_make(struct space *parent, unsigned int kid);
void model_put_regs(struct space *sp, u32 seed);
void step_regs(u32 seed, struct user_regs_struct *r);

#endif /* FUZZ_MODEL_H */
