// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Before main(): the arena, the master's block, and what options and binding need.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "internal.h"

DET_PRIVATE struct det_state det_state;
DET_PRIVATE struct det_options det_options = {
	.reexec = true,
	.keep = DET_KEPT_SPACES,
	.exit_status = DET_EXIT_STATUS,
};

/* No stdio: it may need memory. */
static void cannot(const char *what)
{
	static const char start[] = "libdet: no address space for ";
	static const char end[] = ": is there a ulimit -v, or vm.overcommit_memory=2?\n";
	ssize_t n;

	n = write(STDERR_FILENO, start, sizeof(start) - 1);
	n = write(STDERR_FILENO, what, strlen(what));
	n = write(STDERR_FILENO, end, sizeof(end) - 1);
	(void)n;
	_exit(DET_EXIT_STATUS);
}

static bool reserve(uintptr_t start, size_t len)
{
	return mmap((void *)start, len, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
		    MAP_FIXED_NOREPLACE, -1, 0) == (void *)start;
}

/*
 * A core file is written page by page, of nothing as well; and KSM, where it is switched
 * on for a whole process, looks for each page with the mmap lock held, for hours.
 */
static void keep_out(uintptr_t start, size_t len)
{
	madvise((void *)start, len, MADV_DONTDUMP);
	madvise((void *)start, len, MADV_UNMERGEABLE);
}

/*
 * All of the block's tables of tables: a part of one is looked at by each copy and
 * snapshot. Under a limit only what is used.
 */
static bool reserve_block(void)
{
	uintptr_t start = det_block(0, 0), end = det_block(1, 0);

	if (!reserve(start, end - start)) {
		start = det_block(0, DET_DATA_AT);
		end = det_block(0, DET_BLOCK_END);
		if (!reserve(start, end - start))
			return false;
	}
	keep_out(start, end - start);
	return true;
}

void det_set_up_memory(void)
{
	size_t size = DET_ARENA_SIZE;
	struct rlimit limit;
	int error = errno;

	if (!reserve_block())
		cannot("the library's own data");
	/* Less under a limit of address space, or with strict overcommit. */
	while (!reserve(DET_ARENA, size)) {
		size /= 2;
		if (size < DET_ARENA_LEAST)
			cannot("the heap");
	}
	keep_out(DET_ARENA, size);
	/* Each member has that much time to itself. */
	if (getrlimit(RLIMIT_CPU, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		det_options.keep = 0;
	det_state.arena_size = size;
	det_state.flags = DET_MERGE_GRANULE_1;
	det_state.me.team = DET_NO_TEAM;
	det_heap_begin((struct det_area){ DET_ARENA, DET_ARENA + size });
	det_state.ready = true;
	errno = error;
}

/* The C library hands main()'s arguments to constructors as well. */
__attribute__((constructor))
static void set_up(int argc, char **argv)
{
	(void)argc;
	if (!det_state.ready)
		det_set_up_memory();
	det_read_options();
	det_execute_again(argv);
	det_state.out = stdout;
	det_state.err = stderr;
}
