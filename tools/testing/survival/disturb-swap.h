/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Swap space of survive's own.
 */
#ifndef __SURVIVAL_DISTURB_SWAP_H
#define __SURVIVAL_DISTURB_SWAP_H

#include <stdbool.h>

/* What the kernel says of it. */
#define ZRAM_LOG "zram: |zram[0-9]+: |swap on /dev/zram"

/* There is some, on compressed memory, until each user has dropped it. */
bool swap_use(void);
void swap_drop(void);

#endif /* __SURVIVAL_DISTURB_SWAP_H */
