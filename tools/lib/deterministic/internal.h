/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the library share, and no program sees.
 */
#ifndef DET_INTERNAL_H
#define DET_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/user.h>

#include "det.h"
#include "heap.h"
#include "layout.h"

#define HIDDEN __attribute__((visibility("hidden")))

/* Data of the library's own: each space has its own, none is ever merged. */
#define DET_PRIVATE __attribute__((section("det_private")))

/* What a member's function is called by: of no interest to whom it has been written by. */
#define DET_BOTTOM __attribute__((section("det_bottom")))

/* What a member hands to dret() says why it has stopped. */
enum det_stop {
	DET_STOP_ENDED = 1,	/* its function has returned, or det_exit() */
	DET_STOP_BARRIER,
	DET_STOP_COLLECTIVE,
	DET_STOP_FAILED,	/* the program must end: det_state.failure */
};

#define DET_NO_TEAM	(~0U)
#define DET_COLLECTIVE_MAX	4096

/* A member's wish to do something together with the others. */
struct det_collective {
	unsigned int what;	/* private to collective.c */
	unsigned int root;
	size_t size;		/* of its value; at most DET_COLLECTIVE_MAX */
	det_combine_fn combine;
	char value[DET_COLLECTIVE_MAX];
};

/* What a parent learns at every stop. */
struct det_note {
	enum det_stop stop;	/* the last one */
	void *value;		/* what its function has returned */
	const void *where;	/* the address that the stopping call returns to */
	bool has_spaces;	/* it has called dput() itself */
	/* When it has ended: */
	bool has_heap;		/* its heap is another than when it began */
	size_t printed[2];	/* bytes, to stdout and to stderr */
};

/* Who a member is, for itself and for messages about it. */
struct det_identity {
	unsigned int id;	/* in its team */
	unsigned int team;	/* members; DET_NO_TEAM: not of a team */
	uint64_t ordinal;	/* of its creator's members, the first is 0 */
	const void *function;	/* what it was to do */
	const void *created;	/* the address that the creating call returns to */
};

enum det_failure_kind {
	DET_FAILED_CONFLICT = 1,
	DET_FAILED_STOP,	/* a fault, a system call, a kill */
	DET_FAILED_BARRIER,	/* one waits, another does something else */
	DET_FAILED_MISUSE,
	DET_FAILED_ERROR,	/* an error that no program can go on with */
};

/* Why a program ends that has done what cannot be. */
struct det_failure {
	enum det_failure_kind kind;
	struct det_identity member;
	struct det_identity other;
	enum det_stop stop;		/* what the member was about to do */
	enum det_stop other_stop;
	const void *where;		/* and where */
	const void *other_where;	/* of a stop: who has called what is there */
	char text[128];
	struct det_result result;
	uintptr_t window;		/* bytes of the first conflict, and before it */
	unsigned char before[16], ours[16], theirs[16];
	/* The member's space: the numbers of it and of all above it. */
	unsigned int depth;
	uint64_t path[DET_MAX_DEPTH];
	bool has_regs;
	struct user_regs_struct regs;
	struct user_fpregs_struct fpregs;
};

/* A child of this space, as long as it has not been joined or discarded. */
struct det_kid {
	bool in_use;
	bool merged;			/* some of its work is here already */
	struct det_note note;		/* of its last stop by dret() in the library */
	struct det_area part;		/* of the arena */
	uintptr_t frame;		/* the caller's stack from here on is shared */
	uintptr_t thread;		/* of the master's, which has made it */
	struct det_identity identity;
};

#define DET_MAX_EXCLUDED	512
#define DET_MAX_CODE		256
#define DET_MAX_TLS		64

/*
 * What the program and its libraries are loaded from, in short, and what the thread that
 * asks has of thread-local data.
 */
struct det_objects {
	unsigned long long loads;	/* and unloads, as the dynamic linker counts */
	uint64_t names;			/* of the objects, without asking it */
	uint64_t tls;			/* where the data is */
	uintptr_t asked;		/* the thread that asked, and */
	uintptr_t thread;		/* the one whose data is excluded */
};

struct det_tls {
	char *data;
	size_t size;
	const char *image;
	size_t image_size;
};

/*
 * All that the library remembers of this space. Never merged: a child gets a copy,
 * and makes of it what it needs.
 *
 * A page that parent or child changes costs both of them each time that a child is
 * made, so what is changed then is in the first page, and what is below is written only
 * if it is to be something else.
 */
struct det_state {
	bool ready;			/* arena and block are there */
	bool keep_blocks;		/* free() does nothing */
	unsigned int level;		/* 0: the master */
	unsigned int reserved;		/* the level of a block that is there for children */
	size_t arena_size;
	struct det_heap heap;
	uintptr_t frame[DET_NR_LEVELS];	/* by level: the stack from here on is shared */
	struct det_identity me;
	enum det_policy policy;
	unsigned int flags;		/* DET_MERGE_*, for members that are joined */

	/* For the child that is being made. */
	struct {
		void *(*start)(void *arg);
		void *arg;
		struct det_area part;
		struct det_identity identity;
	} child;

	/* For the parent, when this space stops. */
	struct det_note note;

	/* Children. */
	unsigned int nr_kids;
	unsigned int kids_end;		/* no slot in use from here on */
	unsigned int kids_hint;		/* none is free before this one */
	uint64_t next_ordinal;
	uint64_t reading;		/* whom det_read_child() reads */

	FILE *out, *err;

	/* From here on what seldom changes. */
	struct det_collective collective;	/* for the parent as well */
	struct det_failure failure;

	/* What is not merged, ascending. */
	unsigned int nr_excluded;
	struct det_area excluded[DET_MAX_EXCLUDED];
	struct det_objects objects;	/* when it was found out */
	bool tls_moves;			/* thread-local data may come to be elsewhere */
	uintptr_t first_thread;		/* which main() runs in */

	/* Code: the C library's, and that of the program and libraries but for these. */
	struct det_area libc;
	unsigned int nr_code;
	struct det_area code[DET_MAX_CODE];

	/* Thread-local data, and what it is at the start of a thread. */
	unsigned int nr_tls;
	struct det_tls tls[DET_MAX_TLS];

	/* Scratch. */
	struct det_op merge[DET_MAX_OPS];
	struct det_op copy[DET_MAX_OPS];
};

_Static_assert(offsetof(struct det_state, collective) <= 4096, "one page changes");

extern HIDDEN struct det_state det_state;

#define DET_COUNT(array)	(sizeof(array) / sizeof((array)[0]))

/* What DET_OPTIONS has said. */
enum det_backend { DET_SPACES, DET_THREADS, DET_SERIAL };

struct det_options {
	enum det_backend backend;
	bool reexec;
	unsigned int keep;	/* so many spaces are kept for the next members */
	int exit_status;
	char log_path[256];
	char core[256];
};

extern HIDDEN struct det_options det_options;

/* options.c */
HIDDEN void det_read_options(void);
/* Where reports go. */
HIDDEN FILE *det_open_log(void);

/* binding.c */

/* The program or library whose functions are bound late; NULL: none is. */
HIDDEN const char *det_bound_late(void);
/* dlopen(), of which the linker would warn in a static program; NULL there. */
HIDDEN void *det_open_library(const char *file, int mode);
/* Does not return if it executes the program again. */
HIDDEN void det_execute_again(char **argv);

/* nospaces.c */
HIDDEN int det_plain_create(det_t *member, void *(*fn)(void *arg), void *arg);
HIDDEN int det_plain_join(det_t member, void **value);
HIDDEN int det_plain_parallel(unsigned int n, void *(*fn)(void *arg), void *arg);
HIDDEN void det_plain_exit(void *value) __attribute__((noreturn));
HIDDEN unsigned int det_plain_id(void);
HIDDEN unsigned int det_plain_size(void);
HIDDEN void det_plain_barrier(void);
HIDDEN void det_plain_collective(void *value, size_t size, det_combine_fn combine,
				 unsigned int first, unsigned int last);

/* setup.c: arena and first block; ends the program where that cannot be. */
HIDDEN void det_set_up_memory(void);

/*
 * The master's block is for none of its spaces, so that to write to it costs nothing; a
 * process that it forks must have it.
 */
HIDDEN void det_share_block(bool with_processes);

/* memory.c */

/* The linker's names for where the library's own data is. */
extern char __start_det_private[] HIDDEN, __stop_det_private[] HIDDEN;
/* In the section behind it: nothing else is in its last page. */
extern HIDDEN char det_behind_private;

/* Of a statically linked program, with the linker script of this library. */
extern char __det_libc_start[] HIDDEN __attribute__((weak));
extern char __det_libc_end[] HIDDEN __attribute__((weak));

/* Is the C library's data among the program's? */
static inline bool det_is_static(void)
{
	return __det_libc_start;
}

/* Is this the C library or one of its companions? */
HIDDEN bool det_is_of_libc(const char *path);

/* Is there code of the program, or of a library that is not one of these? */
HIDDEN bool det_is_users(uintptr_t addr);

/* Finds out what is not merged of a child that @thread of the master's has. 0 or an error. */
HIDDEN int det_know_memory(uintptr_t thread);

/* Thread-local data as a new thread has it. */
HIDDEN void det_begin_tls(void);

/* Makes an area of the arena read as zeros, and gives its pages back. */
HIDDEN void det_zero(struct det_area area);

/*
 * Operations for all that is merged, into @op; how many, or a negative error. Of this
 * space's own stack everything from @frame on.
 */
HIDDEN int det_merge_ops(struct det_op *op, unsigned int flags, uintptr_t frame);

/* As well, to give a child all of what a merge would take from it. */
HIDDEN int det_copy_ops(struct det_op *op, uintptr_t frame);

/* child.c: a space below this one, by its slot. */
/* The numbers of its children's spaces. */
#define DET_FIRST_CHILD		65536UL

#define DET_KEPT_SPACES		64	/* spaces, unless DET_OPTIONS says otherwise */

HIDDEN struct det_kid *det_kid(unsigned int slot);
HIDDEN uint64_t det_child(unsigned int slot);
HIDDEN int det_child_start(unsigned int *slot, void *(*start)(void *arg), void *arg,
			   const struct det_identity *identity, uintptr_t frame);
HIDDEN enum det_stop det_child_await(unsigned int slot, struct det_status *status);
HIDDEN int det_child_merge(unsigned int slot, unsigned int flags,
			   struct det_result *result, uintptr_t frame);
HIDDEN void det_child_end(unsigned int slot);
HIDDEN void det_child_discard(unsigned int slot, bool print);
HIDDEN void det_children_lost(void);
HIDDEN long det_child_get(unsigned int slot, const struct det_args *args);
HIDDEN long det_child_put(unsigned int slot, const struct det_args *args);

/* Copies out of the child that was last asked after. 0 or an error. */
HIDDEN int det_read_child(void *to, uintptr_t from, size_t len);
HIDDEN int det_read_image(void *to, uintptr_t from, size_t len);

/* Stops here until the parent starts this space again. */
HIDDEN void det_stop_here(enum det_stop why, const void *where);

/* The stack from here on was there before the function was called that says this. */
#define DET_FRAME	((uintptr_t)__builtin_frame_address(0) + 16)

/* collective.c: serves members that all have one. */
HIDDEN void det_collect(const unsigned int *slot, unsigned int n);

/* available.c: if there are no spaces, a line that says why, and the end of the program. */
HIDDEN int det_refused(int error);

/* standing.c */
HIDDEN void det_standing_begin(void);
HIDDEN void det_standing_tell(void);

/* destructors.c: of thread-local data. */
HIDDEN void det_run_destructors(void);
/* The C library's, and what compiled C++ programs call. */
int __cxa_thread_atexit_impl(void (*function)(void *object), void *object, void *dso);
int __cxa_thread_atexit(void (*function)(void *object), void *object, void *dso);

/* source.c */
struct Dwfl;
HIDDEN bool det_find_line(uintptr_t addr, char *text, size_t size);
/* libdw's idea of this process, NULL without libdw; and a function of libdw. */
HIDDEN struct Dwfl *det_dwfl(void);
HIDDEN void *det_dw_function(const char *name);

/* stopped.c: the space of a member that has failed, however deep, for the master. */
HIDDEN void det_stopped_open(const struct det_failure *failure);
/* 0 or an error. */
HIDDEN int det_stopped_read(void *to, uintptr_t from, size_t len);
/* Opens a file of /proc/PID; -1 and errno. */
HIDDEN int det_stopped_file(const char *name);

/*
 * backtrace.c: the addresses at which it is, and to which its calls return, innermost
 * first. How many; -1 without libdw.
 */
HIDDEN int det_backtrace(const struct det_failure *failure, uintptr_t *pc, int max);

/* core.c: a line that names the file, or says why there is none. */
HIDDEN void det_write_core(const struct det_failure *failure, FILE *to);

/* A file that the program has mapped. */
struct det_mapped_file {
	struct det_area area;
	size_t offset;
	bool code;			/* readable, executable, not writable */
	bool used;			/* the member has it too */
	char *name;
};

/* core_notes.c: the notes of a core file, into @to. Files that are not used are left out. */
HIDDEN void det_write_notes(const struct det_failure *failure,
			    const struct det_mapped_file *file, size_t nr_files, FILE *to);

/* output.c */
HIDDEN void det_output_begin(void);
/* How much this space has printed, for its parent. */
HIDDEN void det_output_note(size_t printed[2]);
/* Prints so much of what the child has; NULL: whatever its streams hold. */
HIDDEN void det_output_take(const size_t printed[2]);

/* failure.c: the end of the program, by way of all that are above this space. */
HIDDEN void det_misuse(const char *text) __attribute__((noreturn));
HIDDEN void det_misuse_at(const char *text, const void *where) __attribute__((noreturn));
HIDDEN void det_fail_conflict(unsigned int slot, enum det_stop stop,
			      const struct det_result *result)
	__attribute__((noreturn));
HIDDEN void det_fail_stop(unsigned int slot, const struct det_status *status)
	__attribute__((noreturn));
HIDDEN void det_fail_error(unsigned int slot, int error) __attribute__((noreturn));
HIDDEN __attribute__((noreturn)) void det_fail_barrier(unsigned int slot, unsigned int other);
/* As the child did that was last asked after. */
HIDDEN __attribute__((noreturn)) void det_fail_too(void);

/* report.c: the last words of a program. */
HIDDEN void det_report_failure(const struct det_failure *failure, FILE *to);
/* A line on a member; no status: it runs. */
HIDDEN void det_report_standing(const struct det_identity *member,
				const struct det_status *status,
				const struct det_note *note, FILE *to);

/* malloc.c: the heap's, with its lock. */
HIDDEN void det_malloc_adopt(const struct det_heap *heap, uintptr_t extents,
			     uintptr_t queue,
			     int (*read)(void *to, uintptr_t from, size_t len));
HIDDEN void det_malloc_settle(void);
HIDDEN struct det_area det_malloc_cut(unsigned int nth, unsigned int team);
HIDDEN void det_malloc_uncut(struct det_area part, bool used);

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
HIDDEN bool det_find_variable(uintptr_t addr, struct det_variable *var);

/* The function that @addr is in: its name, start and size. */
HIDDEN bool det_find_function(uintptr_t addr, struct det_variable *fn);
/* The call of the vDSO's, which is no system call, that begins at this address; or NULL. */
HIDDEN const char *det_vdso_call(uintptr_t addr);

/* An ELF file in memory, and how far from its own addresses it was loaded. */
struct det_elf {
	const unsigned char *data;
	size_t size;
	uintptr_t bias;
};

/* A section's bytes; NULL if the file has no such section. */
HIDDEN const unsigned char *det_elf_section(const struct det_elf *elf,
					    const char *name, size_t *size);

/* Finds out from debugging information what the elements of @var are. */
HIDDEN void det_find_type(const struct det_elf *elf, struct det_variable *var);

/*
 * The size of the thread descriptor, which begins at the thread pointer, as the C
 * library tells debuggers of threads.
 */
extern const uint32_t _thread_db_sizeof_pthread;

#endif /* DET_INTERNAL_H */
