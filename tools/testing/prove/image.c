// SPDX-License-Identifier: GPL-2.0-only
/*
 * A program without libc, for a space that is made with ZERO and COPY. It writes
 * memory, uses SSE and x87, stops in each of the ways there are, and makes a tree
 * of spaces that race. Nothing in it depends on anything but its own code.
 */
#include <linux/deterministic.h>

#include "image.h"

#define EREMCHG 78

typedef unsigned long u64;

static u64 *const word = (u64 *)IMAGE_DATA;
static u64 *const late = (u64 *)IMAGE_LATE;

static long call(long nr, u64 a, u64 b, u64 c)
{
	long ret;

	asm volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c)
		     : "rcx", "r11", "memory");
	return ret;
}

static u64 mix(u64 x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9UL;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebUL;
	return x ^ x >> 31;
}

static void fill(u64 seed, unsigned int from, unsigned int nr)
{
	for (unsigned int i = from; i < from + nr; i++)
		word[i] = mix(seed += 0x9e3779b97f4a7c15UL) ^ word[i];
}

static u64 hash(void)
{
	u64 sum = 0;

	for (unsigned int i = 0; i < IMAGE_WORDS; i++)
		sum = mix(sum ^ word[i]);
	return sum;
}

/* Leaves something in the SSE and the x87 registers. */
static void waves(void)
{
	long double y = 1;
	double x = 1;

	for (unsigned int i = 1; i < 200; i++) {
		x = x / 3 + i * 0.7;
		y = y * 1.01L + x;
	}
	word[IMAGE_NOTE] += (u64)(x * 1e6) + (u64)y;
	asm volatile("movq %0, %%xmm7\nfldl %1" : : "r"(word[IMAGE_NOTE]),
		     "m"(x) : "xmm7");
	asm volatile("fstp %%st(0)" : : : "memory");
}

static long put(u64 child, u64 flags, struct det_op *ops, unsigned int nr)
{
	struct det_args a = { .flags = flags, .ops = (u64)ops, .nr_ops = nr,
			      .op_size = sizeof(*ops), .notify_fd = -1 };

	return call(__NR_dput, child, (u64)&a, sizeof(a));
}

static long merge(u64 child, u64 how, struct det_status *st)
{
	struct det_op op = { .op = DET_MERGE, .flags = how,
			     .caller = IMAGE_DATA, .child = IMAGE_DATA,
			     .len = IMAGE_WORDS * sizeof(u64) };
	struct det_args a = { .ops = (u64)&op, .nr_ops = 1,
			      .op_size = sizeof(op), .notify_fd = -1 };

	a.status = (u64)st;
	a.status_size = sizeof(*st);
	return call(__NR_dget, child, (u64)&a, sizeof(a));
}

/* Each has words of its own; all have one in common. */
static void tree(unsigned int depth, unsigned int name)
{
	struct det_op whole = { .op = DET_COPY, .flags = DET_COPY_WHOLE };
	struct det_status st;

	fill(name, 64 * name, 64);
	word[IMAGE_RACE] = mix(name);
	if (!depth)
		return;
	for (unsigned int i = 0; i < 2; i++) {
		if (!put(i, DET_FORK | DET_SNAP | DET_START, &whole, 1)) {
			tree(depth - 1, 2 * name + i);
			call(__NR_dret, name, 0, 0);
		}
	}
	for (unsigned int i = 0; i < 2; i++) {
		long ret = merge(i, 0, &st);

		word[IMAGE_NOTE + name] += ret + st.reason + st.value +
					   st.nr_conflicts * 1000;
		if (ret == -EREMCHG)
			merge(i, DET_MERGE_TAKE, &st);
		put(i, DET_KILL, 0, 0);
	}
}

/* Each kind of stop; the master answers so that it goes on. */
static void stops(void)
{
	unsigned int low, high;

	word[IMAGE_NOTE + 1] = call(IMAGE_CALL, 1, 2, 3);
	asm volatile("rdtsc" : "=a"(low), "=d"(high));
	word[IMAGE_NOTE + 2] = low + ((u64)high << 32);
	late[5] = 5;
	word[IMAGE_NOTE + 3] = late[0] + late[5];
}

void __attribute__((section(".first"), used)) first(void)
{
	for (unsigned int i = 0; i < 4; i++) {
		fill(i, 0, IMAGE_WORDS);
		waves();
		call(__NR_dret, hash(), 0, 0);
	}
	stops();
	call(__NR_dret, hash(), 0, 0);
	tree(3, 1);
	call(__NR_dret, hash(), 0, 0);
	waves();
	call(__NR_dret, IMAGE_END, 0, 0);
}
