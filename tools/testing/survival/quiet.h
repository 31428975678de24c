/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Quiet: those that disturb pause while the load looks at what the machine holds.
 * What they hold themselves would be taken for what was lost.
 */
#ifndef __SURVIVAL_QUIET_H
#define __SURVIVAL_QUIET_H

#include <stdbool.h>

/* For survive: before anybody is forked. False: no memory for it. */
bool quiet_init(void);

/* For one of those that disturb, between two turns: it pauses if it is asked to. */
void quiet_pause(void);

/* For who forks or ends one of those that disturb. */
void quiet_more(int nr);

/* For the load: all pause when it returns, or some did not within a minute. */
void quiet_begin(void);
void quiet_end(void);

#endif /* __SURVIVAL_QUIET_H */
