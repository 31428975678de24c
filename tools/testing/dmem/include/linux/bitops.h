/* SPDX-License-Identifier: GPL-2.0-only */
/* Bit operations, for mm/dmem_merge.c in user space. */
#ifndef _DMEM_SHIM_BITOPS_H
#define _DMEM_SHIM_BITOPS_H

#define __ffs64(word)		((unsigned int)__builtin_ctzll(word))
#define hweight64(word)		((unsigned int)__builtin_popcountll(word))

#endif
