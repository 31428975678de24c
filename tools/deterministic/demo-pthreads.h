/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Given to the compiler before demo.c, this is in place of det.h: pthreads without the
 * library, as ThreadSanitizer does not go with its heap.
 */
#define DET_H

#include <pthread.h>
#include <stdio.h>

#define det_t				pthread_t
#define det_create(member, fn, arg)	pthread_create(member, NULL, fn, arg)
#define det_join			pthread_join
