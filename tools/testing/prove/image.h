/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Between the image, which is all that runs in a space, and its master: where
 * things are, and what the master is asked for by a stop.
 */
#ifndef __PROVE_IMAGE_H
#define __PROVE_IMAGE_H

#define IMAGE_CODE	0x10000000UL
#define IMAGE_CODE_SIZE	0x4000UL
#define IMAGE_DATA	0x20000000UL
#define IMAGE_DATA_SIZE	0x40000UL
#define IMAGE_STACK	(IMAGE_DATA + IMAGE_DATA_SIZE)
/* Not there until the image has faulted on it. */
#define IMAGE_LATE	0x30000000UL
#define IMAGE_LATE_SIZE	0x1000UL

/* Words at the beginning of the data. */
#define IMAGE_WORDS	4096
#define IMAGE_RACE	0	/* all write to it */
#define IMAGE_NOTE	8	/* where the image notes what its calls say */

/* The system call that it makes, and the answer that it gets. */
#define IMAGE_CALL	39
#define IMAGE_ANSWER	4242

/* The value of its last dret; others are hashes of its memory. */
#define IMAGE_END	0xe9d

/* All of it, as stops.c holds it. */
extern const char image[], image_end[];

#endif /* __PROVE_IMAGE_H */
