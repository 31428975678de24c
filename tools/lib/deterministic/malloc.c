// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * malloc() and its kin, in place of the C library's, for the master and its members
 * alike. In a member they make no call that stops it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/single_threaded.h>

#include "heap.h"
#include "internal.h"

/* Of the master's threads; a space has one. The report of a misuse needs memory. */
static pthread_mutex_t mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static bool lock(void)
{
	if (!det_state.ready)
		det_set_up_memory();
	if (det_state.level || __libc_single_threaded)
		return false;
	pthread_mutex_lock(&mutex);
	return true;
}

static void unlock(bool locked)
{
	if (locked)
		pthread_mutex_unlock(&mutex);
}

/* In a member, fork() comes to its system call and no further. */
static void before_fork(void)
{
	if (det_state.level)
		return;
	pthread_mutex_lock(&mutex);
	det_share_block(true);
}

static void after_fork(void)
{
	det_share_block(false);
	pthread_mutex_unlock(&mutex);
}

/* The new process has no members, and its thread is not the one that holds the lock. */
static void in_fork(void)
{
	mutex = (pthread_mutex_t)PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
	det_share_block(false);
	det_children_lost();
}

__attribute__((constructor))
static void mind_forks(void)
{
	if (!det_state.ready)
		det_set_up_memory();
	if (pthread_atfork(before_fork, after_fork, in_fork) == 0)
		det_share_block(false);
}

/* Behind the program's own destructors: at its end the C library forgets the handlers. */
__attribute__((destructor(101)))
static void mind_forks_no_more(void)
{
	det_share_block(true);
}

static void *allocate(size_t size, size_t align, bool zero)
{
	bool locked = lock();
	void *p = det_heap_alloc(size, align, zero);

	unlock(locked);
	if (!p)
		errno = ENOMEM;
	return p;
}

void *malloc(size_t size)
{
	return allocate(size, 16, false);
}

void *calloc(size_t nr, size_t size)
{
	size_t all;

	if (__builtin_mul_overflow(nr, size, &all)) {
		errno = ENOMEM;
		return NULL;
	}
	return allocate(all, 16, true);
}

/*
 * What the C library keeps for itself (a locale, a buffer of strerror()) is private: a
 * member has a copy of the pointer, and the block is still in its creator's use.
 */
static bool is_kept(void *p, const void *caller)
{
	return det_state.level && det_heap_is_foreign(p) &&
	       (uintptr_t)caller - det_state.libc.start <
	       det_state.libc.end - det_state.libc.start;
}

static void free_for(void *p, const void *caller)
{
	bool locked;

	/* A stream's old buffer is its creator's, when a member gets a new one. */
	if (!p || det_state.keep_blocks || is_kept(p, caller))
		return;
	locked = lock();
	det_heap_free(p);
	unlock(locked);
}

void free(void *p)
{
	free_for(p, __builtin_return_address(0));
}

void *realloc(void *p, size_t size)
{
	void *q;

	if (!p)
		return malloc(size);
	if (size == 0) {
		free_for(p, __builtin_return_address(0));
		return NULL;
	}
	if (!is_kept(p, __builtin_return_address(0)) && det_heap_fits(p, size))
		return p;
	q = malloc(size);
	if (!q)
		return NULL;
	memcpy(q, p, size < det_heap_size(p) ? size : det_heap_size(p));
	free_for(p, __builtin_return_address(0));
	return q;
}

int posix_memalign(void **to, size_t align, size_t size)
{
	int error = errno;
	void *p;

	if (align < sizeof(void *) || (align & (align - 1)))
		return EINVAL;
	p = allocate(size, align, false);
	errno = error;
	if (!p)
		return ENOMEM;
	*to = p;
	return 0;
}

void *aligned_alloc(size_t align, size_t size)
{
	if (align == 0 || (align & (align - 1))) {
		errno = EINVAL;
		return NULL;
	}
	return allocate(size, align, false);
}

void *memalign(size_t align, size_t size)
{
	return aligned_alloc(align, size);
}

void *valloc(size_t size)
{
	return aligned_alloc(4096, size);
}

void *pvalloc(size_t size)
{
	return aligned_alloc(4096, (size + 4095) & -4096UL);
}

size_t malloc_usable_size(void *p)
{
	return p ? det_heap_size(p) : 0;
}

int malloc_trim(size_t pad)
{
	bool locked = lock();

	(void)pad;
	det_heap_trim();
	unlock(locked);
	return 1;
}

/* arena: what spans take; uordblks: blocks in use; fordblks: the rest. */
struct mallinfo2 mallinfo2(void)
{
	struct mallinfo2 info = { 0 };
	bool locked = lock();
	const struct det_heap *heap = det_heap_state();

	info.arena = heap->in_spans;
	info.uordblks = heap->in_use;
	info.fordblks = heap->in_spans - heap->in_use;
	unlock(locked);
	return info;
}

void det_malloc_adopt(const struct det_heap *heap, uintptr_t extents,
		      uintptr_t queue,
		      int (*read)(void *to, uintptr_t from, size_t len))
{
	bool locked = lock();

	det_heap_adopt(heap, extents, queue, read);
	unlock(locked);
}

void det_malloc_settle(void)
{
	bool locked = lock();

	det_heap_settle();
	unlock(locked);
}

struct det_area det_malloc_cut(unsigned int nth, unsigned int team)
{
	bool locked = lock();
	struct det_area part = det_heap_cut(nth, team);

	unlock(locked);
	return part;
}

void det_malloc_uncut(struct det_area part, bool used)
{
	bool locked = lock();

	det_heap_uncut(part, used);
	unlock(locked);
}
