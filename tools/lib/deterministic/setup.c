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

DET_PRIVATE __attribute__((aligned(4096), no_reorder)) struct det_state det_state;
DET_PRIVATE struct det_options det_options = {
	.reexec = true,
	.keep = DET_KEPT_SPACES,
	.exit_status = DET_EXIT_STATUS,
};

/* The linker has sections in the order in which it comes across them. */
__attribute__((section("det_behind"), aligned(4096), no_reorder))
char det_behind_private = 1;

/* The part of it that is used: the master's stack is another. */
static const struct det_area master_block = {
	DET_BLOCKS + DET_DATA_AT, DET_BLOCKS + DET_BLOCK_END
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

static bool reserve(struct det_area area)
{
	return mmap((void *)area.start, area.end - area.start, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
		    MAP_FIXED_NOREPLACE, -1, 0) == (void *)area.start;
}

/* Less than all under a limit of address space, or with strict overcommit. */
static bool reserve_heap(struct det_area *heap)
{
	size_t size = DET_ARENA_SIZE;

	do {
		*heap = (struct det_area){ DET_ARENA, DET_ARENA + size };
		if (reserve(*heap))
			return true;
		size /= 2;
	} while (size >= DET_ARENA_LEAST);
	return false;
}

/*
 * A core file is written page by page, of nothing as well; and KSM, where it is switched
 * on for a whole process, looks for each page with the mmap lock held, for hours.
 */
static void keep_out(struct det_area area)
{
	madvise((void *)area.start, area.end - area.start, MADV_DONTDUMP);
	madvise((void *)area.start, area.end - area.start, MADV_UNMERGEABLE);
}

/*
 * The children's block is there for them to copy. With little address space there may be
 * none: then it is made in each child.
 */
static struct det_area reserve_all(void)
{
	struct det_area heap, block = det_own_block(1);
	bool first;

	if (!reserve(master_block))
		cannot("the library's own data");
	first = reserve(block);
	if (!reserve_heap(&heap)) {
		if (first)
			munmap((void *)block.start, block.end - block.start);
		if (!first || !reserve_heap(&heap))
			cannot("the heap");
		first = false;
	}
	keep_out(master_block);
	keep_out(heap);
	if (first) {
		keep_out(block);
		det_state.reserved = 1;
	}
	return heap;
}

void det_share_block(bool with_processes)
{
	madvise((void *)master_block.start, master_block.end - master_block.start,
		with_processes ? MADV_DOFORK : MADV_DONTFORK);
}

void det_set_up_memory(void)
{
	struct rlimit limit;
	int error = errno;
	struct det_area heap = reserve_all();

	/* Each member has that much time to itself. */
	if (getrlimit(RLIMIT_CPU, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		det_options.keep = 0;
	det_state.arena_size = heap.end - heap.start;
	det_state.flags = DET_MERGE_GRANULE_1;
	det_state.me.team = DET_NO_TEAM;
	det_heap_begin(heap);
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
	if (gettid() == getpid())
		det_state.first_thread = (uintptr_t)__builtin_thread_pointer();
	det_state.out = stdout;
	det_state.err = stderr;
}
