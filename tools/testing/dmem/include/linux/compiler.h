/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * READ_ONCE and WRITE_ONCE, for mm/dmem_merge.c in user space. The test is
 * told of each store, since it checks that no other byte is touched.
 */
#ifndef _DMEM_SHIM_COMPILER_H
#define _DMEM_SHIM_COMPILER_H

#include <stddef.h>

void note_store(const void *where, size_t len);

#define READ_ONCE(x)	__atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, val)						\
	do {								\
		typeof(x) *where_ = &(x);				\
									\
		note_store(where_, sizeof(*where_));			\
		__atomic_store_n(where_, (val), __ATOMIC_RELAXED);	\
	} while (0)

#endif
