/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the machine holds, to be compared early and late: what was not given
 * back has leaked.
 */
#ifndef __SURVIVAL_GROWTH_H
#define __SURVIVAL_GROWTH_H

#include <stdbool.h>
#include <stddef.h>

enum {
	GROWTH_ANON,
	GROWTH_PGTABLES,
	GROWTH_COMMITTED,
	GROWTH_SLAB,
	GROWTH_TASKS,
	GROWTH_NR,
};

struct growth {
	long at[GROWTH_NR];
};

/*
 * The least that is seen in a while, as what the kernel frees it may free a little
 * later. Who disturbs the load pauses meanwhile. With @before it looks for up to
 * a minute, until it is not more than that.
 */
void growth_look(struct growth *now, const struct growth *before);

/* True if it has not grown. @text: by how much, as the last line has it. */
bool growth_none(const struct growth *now, const struct growth *before,
		 char *text, size_t size);

#endif /* __SURVIVAL_GROWTH_H */
