/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of pages that a MERGE takes whole share: a child that writes
 * where it is told, and a model of three arrays of bytes that says what caller,
 * child and snapshot hold. Whether a page was taken shows in /proc/PID/pagemap.
 */
#ifndef __DETERMINISTIC_TAKE_H
#define __DETERMINISTIC_TAKE_H

#include "mem.h"

#define CHILD 1
#define PAGES 8
#define LEN (PAGES * PAGE)
#define MAX_RANGES 64

/* Each of these begins a page table of its own. */
#define ARENA_AT 0x300000000UL
#define OTHER_AT 0x310000000UL
#define THIRD_AT 0x320000000UL

static char *a;			/* the arena, at the same address in both */
static char mine[LEN];		/* what the caller should have there */
static char theirs[LEN];	/* the child */
static char snap[LEN];		/* the snapshot */
static unsigned long conflicts;	/* that the last MERGE should have found */
static pid_t pid;		/* the child's */
static struct det_range ranges[MAX_RANGES];
static struct det_status st;

/* --- The child --- */

/* DL to RDI, and in RSI - 1 pages behind it. */
#define STRIDE_ASM \
	"1: movb %dl, (%rdi)\n" \
	"add $4096, %rdi\n" \
	"dec %rsi\n" \
	"jnz 1b\n" \
	"xor %edi, %edi\n" \
	ASM_DRET \
	"ud2\n"

BLOB(stride_code, STRIDE_ASM);
#define STRIDE_AT (PROBE_AT + 16 * PAGE)

static inline void make_child(void)
{
	struct det_op ops[] = {
		op_zero(STRIDE_AT, PAGE, PROT_RWX),
		op_copy(stride_code, STRIDE_AT, BLOB_SIZE(stride_code)),
	};

	if (probe_into(CHILD) ||
	    put_ops(CHILD, 0, ops, ARRAY_SIZE(ops), NULL))
		abort();
	pid = space_pid(getpid(), CHILD);
}

static inline struct user_regs_struct stride_regs(const char *to,
						  unsigned int pages, int val)
{
	struct user_regs_struct regs = blob_regs();

	regs.rip = STRIDE_AT;
	regs.rsp = PROBE_STACK_END;
	regs.rdi = addr_of(to);
	regs.rsi = pages;
	regs.rdx = val & 0xff;
	return regs;
}

/* The child runs, and writes a byte in each of some pages. */
static inline bool child_strides_at(const char *to, unsigned int pages, int val)
{
	struct user_regs_struct regs = stride_regs(to, pages, val);

	return !put_regs(CHILD, &regs, DET_START | DET_WAIT, &st) &&
	       is_ret(&st, 0);
}

static inline void child_strides(size_t off, unsigned int pages, int val)
{
	if (!child_strides_at(a + off, pages, val))
		abort();
	for (; pages--; off += PAGE)
		theirs[off] = val;
}

static inline void child_sets(size_t off, int val)
{
	child_strides(off, 1, val);
}

/* Other bytes than those that are there; without a run. */
static inline void child_flips(size_t off, size_t len)
{
	size_t i;

	for (i = off; i < off + len; i++)
		theirs[i] ^= 0x55;
	if (poke(CHILD, addr_of(a) + off, theirs + off, len))
		abort();
}

/* --- The caller --- */

/* Reads it, whatever the compiler knows of it. */
static inline char byte_at(const char *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline void caller_sets(size_t off, int val)
{
	a[off] = val;
	mine[off] = val;
}

/* COPY and SNAP. */
static inline void renew(void)
{
	if (put_op(CHILD, DET_SNAP, op_copy(a, addr_of(a), LEN), &st)) {
		print_status(&st);
		abort();
	}
	memcpy(theirs, mine, LEN);
	memcpy(snap, mine, LEN);
}

/* Other memory is the arena from now on. */
static inline void use(char *p)
{
	a = p;
	memcpy(mine, p, LEN);
	renew();
}

/* No byte is below 128, so that any smaller one is a change. */
static inline void fill_high(char *p, size_t len, __u64 seed)
{
	fill(p, len, seed);
	while (len--)
		p[len] |= 0x80;
}

static inline char *map_fixed(unsigned long at, size_t len)
{
	return map_at((void *)at, len, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS |
		      MAP_FIXED_NOREPLACE, -1);
}

/* --- The model of MERGE --- */

static inline void model_granule(size_t from, size_t to, __u32 flags, bool write)
{
	bool changed = false, conflict = false;
	size_t i;

	for (i = from; i < to; i++) {
		changed |= theirs[i] != snap[i];
		conflict |= mine[i] != snap[i];
	}
	conflict &= changed;
	if (!write)
		conflicts += conflict ? to - from : 0;
	for (i = from; write && i < to; i++)
		if (conflict ? !!(flags & DET_MERGE_TAKE) :
			       theirs[i] != snap[i])
			mine[i] = theirs[i];
}

static inline void model_granules(size_t off, size_t len, __u32 flags, bool write)
{
	size_t granule = 1UL << (flags >> 8 & 3), end = off + len, next;

	for (; off < end; off = next) {
		next = (off / granule + 1) * granule;
		next = next < end ? next : end;
		model_granule(off, next, flags, write);
	}
}

static inline void model_merge(size_t off, size_t len, __u32 flags)
{
	conflicts = 0;
	model_granules(off, len, flags, false);
	if (!conflicts || flags & (DET_MERGE_KEEP | DET_MERGE_TAKE))
		model_granules(off, len, flags, true);
}

static inline long merge_ops(const struct det_op *ops, unsigned int nr)
{
	struct det_args args = args_of(0, ops, nr, &st);

	args.ranges = addr_of(ranges);
	args.nr_ranges = MAX_RANGES;
	return dget(CHILD, &args);
}

/* Of the arena, and of its model. */
static inline long merge_part(size_t off, size_t len, __u32 flags)
{
	struct det_op op = op_merge(a + off, len, flags);

	model_merge(off, len, flags);
	return merge_ops(&op, 1);
}

static inline long merge(void)
{
	return merge_part(0, LEN, 0);
}

static inline bool caller_is_right(void)
{
	size_t i = 0;

	if (!memcmp(a, mine, LEN))
		return true;
	while (a[i] == mine[i])
		i++;
	fprintf(stderr, "# caller: byte %zu of page %zu is %#hhx, not %#hhx\n",
		i % PAGE, i / PAGE, a[i], mine[i]);
	return false;
}

/* Both have what the model says. */
static inline bool is_right(void)
{
	bool ok = caller_is_right();

	if (child_has(CHILD, addr_of(a), theirs, LEN))
		return ok;
	fprintf(stderr, "# not what the child should have\n");
	return false;
}

/* --- A look at pages --- */

#define PM_PRESENT 0x8000000000000000ULL
#define PM_SWAP 0x4000000000000000ULL
#define PM_SOFT_DIRTY 0x80000000000000ULL
#define PM_PFN (PM_SOFT_DIRTY - 1)

static inline __u64 number_in(const char *path, __u64 index)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	__u64 val = 0;

	if (fd < 0 || pread(fd, &val, sizeof(val), index * sizeof(val)) !=
	    sizeof(val)) {
		fprintf(stderr, "# cannot read %s\n", path);
		val = 0;
	}
	if (fd >= 0)
		close(fd);
	return val;
}

static inline __u64 entry_of(pid_t who, const char *p)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/pagemap", who);
	return number_in(path, addr_of(p) / PAGE);
}

/* The page frame at @p, 0 if there is none. */
static inline __u64 frame(pid_t who, const char *p)
{
	__u64 entry = entry_of(who, p);

	return entry & PM_PRESENT ? entry & PM_PFN : 0;
}

static inline bool same_frame(pid_t who, const char *p)
{
	__u64 its = frame(who, p);

	return its && its == frame(getpid(), p);
}

/* Caller and child have one page there. */
static inline bool is_one(size_t i)
{
	return same_frame(pid, a + i * PAGE);
}

/* How many map it. */
static inline __u64 mapped(const char *p)
{
	return number_in("/proc/kpagecount", frame(getpid(), p));
}

static inline void all_frames(__u64 *to)
{
	size_t i;

	for (i = 0; i < PAGES; i++) {
		*to++ = frame(getpid(), a + i * PAGE);
		*to++ = frame(pid, a + i * PAGE);
	}
}

static inline long pid_kb(pid_t who, const char *key)
{
	char val[64] = "";

	pid_line(who, key, val, sizeof(val));
	return atol(val);
}

/* Zeros that nobody has looked at, but for one page of the caller's. */
static inline void use_zeros(char *p, bool touched)
{
	a = p;
	memset(mine, 0, LEN);
	if (touched)
		caller_sets(7 * PAGE, 1);
	renew();
}

/* The arena is there, the child and its snapshot have it. */
FIXTURE(take) {
};

FIXTURE_SETUP(take)
{
	NEED_CALLS();
	NEED_ROOT();
	make_child();
	a = map_fixed(ARENA_AT, LEN);
	fill_high(a, LEN, 7);
	use(a);
}

FIXTURE_TEARDOWN(take)
{
}

#endif /* __DETERMINISTIC_TAKE_H */
