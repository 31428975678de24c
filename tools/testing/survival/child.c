// SPDX-License-Identifier: GPL-2.0-only
/*
 * What runs in a child of the load: code in a section of its own that the
 * master COPYs into the child. It calls no other function and knows no
 * variable: nothing else is there.
 */
#include <linux/deterministic.h>
#include <stdint.h>

#include "child.h"

#define IN_CHILD __attribute__((section("space_code"), noinline, noclone, \
				no_stack_protector, no_instrument_function))

static inline __attribute__((always_inline)) __u64 step(__u64 *state)
{
	__u64 x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*state = x;
	return x * 0x2545f4914f6cdd1dULL;
}

/* 1, 2, 4 or 8 bytes; the places are those of their size. */
static inline __attribute__((always_inline)) void
change(volatile unsigned char *page, __u64 random, __u64 value)
{
	volatile unsigned char *at = page + (random >> 20) % PAGE;

	switch (random >> 40 & 3) {
	case 0:
		*at = value;
		break;
	case 1:
		*(volatile __u16 *)((uintptr_t)at & ~1UL) = value;
		break;
	case 2:
		*(volatile __u32 *)((uintptr_t)at & ~3UL) = value;
		break;
	default:
		*(volatile __u64 *)((uintptr_t)at & ~7UL) = value;
	}
}

IN_CHILD __u64 run_program(const struct program *p)
{
	__u64 state = p->seed, sum = 0, random;
	const volatile __u64 *word;
	unsigned int i, j;

	for (i = 0; i < p->nr; i++) {
		word = (const volatile __u64 *)p->page[i];
		for (j = 0; j < 16; j++)
			sum = (sum ^ word[step(&state) >> 50 & 511]) *
			      0x9e3779b97f4a7c15ULL;
		for (j = 0; j < p->writes[i]; j++) {
			random = step(&state);
			change(p->page[i], random, sum ^ random >> 13);
		}
	}
	for (j = 0; j < p->spin; j++)
		sum += step(&state);
	return sum ^ state;
}

IN_CHILD void child_main(const struct program *p)
{
	for (;;) {
		__u64 ret = run_program(p);

		asm volatile("syscall" : : "a"(__NR_dret), "D"(ret)
			     : "rcx", "r11", "memory");
	}
}

void child_text(__u64 *start, __u64 *len)
{
	__u64 end = (uintptr_t)__stop_space_code;

	*start = (uintptr_t)__start_space_code & ~(PAGE - 1);
	*len = ((end + PAGE - 1) & ~(PAGE - 1)) - *start;
}
