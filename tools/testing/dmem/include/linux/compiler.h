/* SPDX-License-Identifier: GPL-2.0-only */
/* READ_ONCE and WRITE_ONCE, for mm/dmem_merge.c in user space. */
#ifndef _DMEM_SHIM_COMPILER_H
#define _DMEM_SHIM_COMPILER_H

#define READ_ONCE(x)		__atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, val)	__atomic_store_n(&(x), (val), __ATOMIC_RELAXED)

#endif
