/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Deterministic processes: the sources of nondeterminism that a machine may not
 * be able to close, and the parameter that opens one for a test.
 */
#ifndef _LINUX_DET_SOURCE_H
#define _LINUX_DET_SOURCE_H

#include <linux/bits.h>
#include <linux/types.h>

/* In the order of the bits DET_REQUIRE_* of det_args.require. */
enum det_source {
	DET_SOURCE_TSC,
	DET_SOURCE_PMC,
	DET_SOURCE_CPUID,
	DET_SOURCE_CPU_NUMBER,
	DET_SOURCE_TABLES,
	DET_SOURCE_TSX,
	DET_SOURCE_RANDOM,
	DET_SOURCE_XINUSE,
	DET_SOURCE_SELECTOR,
	DET_SOURCE_FPU_POINTERS,
	DET_SOURCES
};

#ifdef CONFIG_DETERMINISTIC_OPEN
extern unsigned int det_open;

/* Left open, so that a test can see that it sees. */
static inline bool det_opened(enum det_source source)
{
	return READ_ONCE(det_open) & BIT(source);
}
#else
static inline bool det_opened(enum det_source source)
{
	return false;
}
#endif

#endif /* _LINUX_DET_SOURCE_H */
