/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of the memory operations share: children that read and write
 * where they are told, arenas filled with known bytes, and a look at maps.
 */
#ifndef __DETERMINISTIC_MEM_H
#define __DETERMINISTIC_MEM_H

#include <sys/stat.h>

#include "common.h"

/* For headers that are older. */
#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* What a probe found, where it is not a byte. */
#define PROBE_FAULT (-1)	/* the fault that was to be expected */
#define PROBE_ODD (-2)		/* anything else; the status is printed */

enum probe { PROBE_READ, PROBE_WRITE, PROBE_CALL };

/* RDI: the address, SIL: the byte to write, EDX: enum probe. */
#define PROBE_ASM \
	"cmp $1, %edx\n" \
	"ja 2f\n" \
	"je 1f\n" \
	"movzbl (%rdi), %edi\n" \
	ASM_DRET \
	"ud2\n" \
	"1: movb %sil, (%rdi)\n" \
	"xor %edi, %edi\n" \
	ASM_DRET \
	"ud2\n" \
	"2: call *%rdi\n" \
	"mov %eax, %edi\n" \
	ASM_DRET \
	"ud2\n"

BLOB(probe_code, PROBE_ASM);

/* Page-fault error codes, as far as a status shows them. */
#define PF_WRITE 2
#define PF_USER 4
#define PF_INSTR 16

/*
 * Where the probe lies in the child. All fixed addresses of these tests are
 * above the heap, which may begin within a gigabyte of a static program.
 */
#define PROBE_AT 0x280000000UL
#define PROBE_STACK_END (PROBE_AT + 2 * PAGE)

/* Puts the probe and its stack into a child, new or not. */
static inline long probe_into(__u64 child)
{
	struct det_op ops[] = {
		op_zero(PROBE_AT, PAGE, PROT_RWX),
		op_copy(probe_code, PROBE_AT, BLOB_SIZE(probe_code)),
		op_zero(PROBE_AT + PAGE, PAGE, PROT_RW),
	};

	return put_ops(child, 0, ops, ARRAY_SIZE(ops), NULL);
}

/* One access by the child: a byte, 0 for a write, or PROBE_*. */
static inline int probe(__u64 child, enum probe what, __u64 addr, int val)
{
	static const __u64 error[] = {
		[PROBE_READ] = PF_USER,
		[PROBE_WRITE] = PF_USER | PF_WRITE,
		[PROBE_CALL] = PF_USER | PF_INSTR,
	};
	struct user_regs_struct regs = blob_regs();
	struct det_status st = {};
	long ret;

	regs.rip = PROBE_AT;
	regs.rsp = PROBE_STACK_END;
	regs.rdi = addr;
	regs.rsi = val;
	regs.rdx = what;
	ret = put_regs(child, &regs, DET_START | DET_WAIT, &st);
	if (!ret && st.reason == DET_RET)
		return st.value;
	if (!ret && st.reason == DET_FAULT && st.sig == SIGSEGV &&
	    st.trap == 14 && st.addr == addr && st.error == error[what])
		return PROBE_FAULT;
	fprintf(stderr, "# access %d at %#llx: %ld\n", what,
		(unsigned long long)addr, ret);
	print_status(&st);
	return PROBE_ODD;
}

static inline int child_read(__u64 child, __u64 addr)
{
	return probe(child, PROBE_READ, addr, 0);
}

static inline int child_write(__u64 child, __u64 addr, int val)
{
	return probe(child, PROBE_WRITE, addr, val);
}

static inline int child_call(__u64 child, __u64 addr)
{
	return probe(child, PROBE_CALL, addr, 0);
}

static inline __u64 addr_of(const void *p)
{
	return (uintptr_t)p;
}

/* --- Operations where caller and child use different addresses --- */

static inline struct det_op op_zero_at(__u64 addr, __u64 len, __u32 prot,
				       __u32 flags)
{
	struct det_op op = op_zero(addr, len, prot);

	op.flags = flags;
	return op;
}

static inline struct det_op op_merge_at(const void *caller, __u64 child,
					__u64 len, __u32 flags)
{
	struct det_op op = op_merge(caller, len, flags);

	op.child = child;
	return op;
}

/* --- Memory of the test's own --- */

/* The linker's: where the program begins, and where its text ends. */
extern const char __executable_start[], etext[];

static inline char *map_at(void *where, size_t len, int prot, int flags, int fd)
{
	char *p = mmap(where, len, prot, flags, fd, 0);

	if (p == MAP_FAILED) {
		fprintf(stderr, "# no memory for the test\n");
		abort();
	}
	return p;
}

/* Anonymous private memory with nothing mapped right beside it. */
static inline char *map_rw(size_t len)
{
	char *p = map_at(NULL, len + 2 * PAGE, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1);

	munmap(p, PAGE);
	munmap(p + PAGE + len, PAGE);
	if (mprotect(p + PAGE, len, PROT_RW))
		abort();
	return p + PAGE;
}

#define HUGE (2UL << 20)

/* As map_rw(), aligned to and advised for huge pages. */
static inline char *map_huge(size_t len)
{
	char *p = map_at(NULL, len + HUGE, PROT_RW,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	char *a = (char *)((addr_of(p) + HUGE - 1) & ~(HUGE - 1));

	madvise(a, len, MADV_HUGEPAGE);
	return a;
}

/* Pseudo-random numbers that are the same in every run. */
static inline __u64 next_random(__u64 *state)
{
	__u64 x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*state = x;
	return x * 0x2545f4914f6cdd1dULL;
}

static inline void fill(void *to, size_t len, __u64 seed)
{
	__u64 state = seed * 2 + 1;
	unsigned char *p = to;
	size_t i;

	for (i = 0; i < len; i++)
		p[i] = next_random(&state) >> 56;
}

/* What the child has at @addr is what the caller has at @p. */
static inline bool child_has(__u64 child, __u64 addr, const void *p, size_t len)
{
	char *copy = map_rw(len + PAGE);
	char *at = copy + (addr + 1) % PAGE;	/* bytes, no mappings */
	bool same;

	same = peek(child, addr, at, len) == 0 && !memcmp(at, p, len);
	munmap(copy, len + PAGE);
	return same;
}

/* --- Swap --- */

static inline bool swap_is_there(void)
{
	char val[64];

	return proc_line("/proc/meminfo", "SwapTotal", val, sizeof(val)) &&
	       atol(val) > 1024;
}

static inline bool write_file(const char *path, const void *buf, size_t len,
			      off_t off)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && pwrite(fd, buf, len, off) == (ssize_t)len;

	if (fd >= 0)
		close(fd);
	return ok;
}

/* In compressed memory; false where this is swap space already. */
static inline bool add_swap(void)
{
	struct { __u32 version, last_page; } head = { 1, 8191 };

	return write_file("/sys/block/zram0/disksize", "32M", 3, 0) &&
	       write_file("/dev/zram0", &head, sizeof(head), 1024) &&
	       write_file("/dev/zram0", "SWAPSPACE2", 10, PAGE - 10) &&
	       !syscall(__NR_swapon, "/dev/zram0", 0);
}

/*
 * True if there is swap space. Where there is none, root makes some of
 * compressed memory, and it stays: only where nothing uses the device.
 */
static inline bool have_swap(void)
{
	return swap_is_there() || (add_swap() && swap_is_there());
}

/* --- A cgroup of the test's own, from which pages can be taken --- */

#define CGROUP "/sys/fs/cgroup"
#define TEST_CGROUP CGROUP "/det_test"

/* Before memory is used: it counts where it was first used. */
static inline bool enter_cgroup(void)
{
	write_file(CGROUP "/cgroup.subtree_control", "+memory", 7, 0);
	mkdir(TEST_CGROUP, 0755);
	return have_swap() && write_file(TEST_CGROUP "/cgroup.procs", "0", 1, 0);
}

static inline void leave_cgroup(void)
{
	if (write_file(CGROUP "/cgroup.procs", "0", 1, 0))
		rmdir(TEST_CGROUP);
}

/* Swaps out what can be swapped out of all processes there. */
static inline void swap_out(void)
{
	write_file(TEST_CGROUP "/memory.reclaim", "1G", 2, 0);
}

static inline bool is_swapped(pid_t pid)
{
	char val[64];

	return pid_line(pid, "VmSwap", val, sizeof(val)) && atol(val) > 0;
}

/* --- A look at /proc/PID/maps --- */

static inline FILE *open_maps(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	return fopen(path, "re");
}

static inline int count_maps(pid_t pid)
{
	FILE *f = open_maps(pid);
	char line[512];
	int n = 0;

	while (f && fgets(line, sizeof(line), f))
		n++;
	if (f)
		fclose(f);
	return n;
}

/* The permission at @addr as maps shows it ("rw-p"), or "". */
static inline const char *perm_at(pid_t pid, __u64 addr)
{
	unsigned long long from, to;
	static char perm[8];
	FILE *f = open_maps(pid);
	char line[512];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = sscanf(line, "%llx-%llx %7s", &from, &to, perm) == 3 &&
			from <= addr && addr < to;
	if (f)
		fclose(f);
	return found ? perm : "";
}

/* The mapping called @name, as "[stack]". */
static inline bool find_map(pid_t pid, const char *name, __u64 *start,
			    __u64 *end)
{
	unsigned long long from, to;
	FILE *f = open_maps(pid);
	bool found = false;
	char line[512];

	while (f && !found && fgets(line, sizeof(line), f)) {
		if (!strstr(line, name) ||
		    sscanf(line, "%llx-%llx", &from, &to) != 2)
			continue;
		*start = from;
		*end = to;
		found = true;
	}
	if (f)
		fclose(f);
	return found;
}

/* --- Failed operations --- */

/* The call failed with @err at operation @idx; none from there on was done. */
static inline bool is_op_err(long ret, int err, __u32 idx,
			     const struct det_status *st)
{
	if (ret == -err && st->op == idx && st->nr_done == idx)
		return true;
	fprintf(stderr, "# result %ld, not %d at operation %u\n", ret, -err,
		idx);
	print_status(st);
	return false;
}

static inline bool is_op_err_at(long ret, int err, __u32 idx, __u64 addr,
				const struct det_status *st)
{
	if (!is_op_err(ret, err, idx, st))
		return false;
	if (st->addr == addr)
		return true;
	fprintf(stderr, "# the address is %#llx, not %#llx\n",
		(unsigned long long)st->addr, (unsigned long long)addr);
	return false;
}

#define EXPECT_OP_ERR(err, idx, ret, st) \
	EXPECT_TRUE(is_op_err(ret, err, idx, st))

/* The same, and the status names the address. */
#define EXPECT_OP_ERR_AT(err, idx, at, ret, st) \
	EXPECT_TRUE(is_op_err_at(ret, err, idx, (__u64)(at), st))

#endif /* __DETERMINISTIC_MEM_H */
