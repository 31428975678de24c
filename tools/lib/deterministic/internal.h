/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the library share, and no program sees.
 */
#ifndef DET_INTERNAL_H
#define DET_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "det.h"

/* A part of the caller's memory: [start, end). */
struct det_area {
	uintptr_t start;
	uintptr_t end;
};

/*
 * All that the library remembers. One object, so that it can be left out of
 * every merge: a child that forks children has its own.
 */
struct det_state {
	bool in_space;			/* no system calls here */
	unsigned int nr_merge;
	struct det_area merge[DET_MAX_OPS];	/* what a join merges, ascending */
	struct det_area heap;		/* as the kernel names it; or nothing */
	struct det_op op[DET_MAX_OPS];	/* scratch of det_join() */
};

extern struct det_state det_state;

/* Fills det_state.merge and det_state.heap. */
int det_scan_memory(void);

#define DET_MAX_DIMS	4

/**
 * struct det_variable - what lies at an address
 * @name: of the variable; empty if nothing is known
 * @start: its first byte, as loaded
 * @size: of all of it, in bytes
 * @element: size of an element of an array, of all of another; 0: unknown
 * @nr_dims: of an array: how many dimensions it has
 * @dim: how many elements in each
 * @type: of an element; may be empty
 */
struct det_variable {
	char name[128];
	uintptr_t start;
	size_t size;
	size_t element;
	unsigned int nr_dims;
	size_t dim[DET_MAX_DIMS];
	char type[64];
};

/* Looks @addr up in the symbol table of the program or a library of it. */
bool det_find_variable(uintptr_t addr, struct det_variable *var);

/* An ELF file in memory, and how far from its own addresses it was loaded. */
struct det_elf {
	const unsigned char *data;
	size_t size;
	uintptr_t bias;
};

/* A section's bytes; NULL if the file has no such section. */
const unsigned char *det_elf_section(const struct det_elf *elf,
				     const char *name, size_t *size);

/* Finds out from debugging information what the elements of @var are. */
void det_find_type(const struct det_elf *elf, struct det_variable *var);

/*
 * The size of the thread descriptor, which begins at the thread pointer, as the C
 * library tells debuggers of threads.
 */
extern const uint32_t _thread_db_sizeof_pthread;

#endif /* DET_INTERNAL_H */
