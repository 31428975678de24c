/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's integer types, for mm/dmem_merge.c in user space. */
#ifndef _DMEM_SHIM_TYPES_H
#define _DMEM_SHIM_TYPES_H

#include <stdbool.h>

typedef unsigned char u8;
typedef unsigned long long u64;

#endif
