/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What all tests of dput, dget and dret share: the raw calls, children made in
 * the two usual ways, bounded waiting, and the printing of a status.
 *
 * The calls return what the kernel returns: 0 or more, or a negative error.
 * They touch neither errno nor anything else of libc's, so that they work in
 * spaces too.
 *
 * Two ways to make a child:
 * spawn() copies the whole caller and runs a C function in it, as fork would.
 *	The function must not make system calls (no printf, no malloc).
 * make_blob() makes an empty child and puts a few bytes of code, a stack and
 *	registers in it.
 */
#ifndef __DETERMINISTIC_COMMON_H
#define __DETERMINISTIC_COMMON_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/deterministic.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../kselftest_harness.h"

/* For kernels twenty times slower: a limit that only a hang reaches. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 240

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#endif

#define PAGE 4096UL
#define PROT_RW (PROT_READ | PROT_WRITE)
#define PROT_RWX (PROT_READ | PROT_WRITE | PROT_EXEC)

/* One past the last address a program may use (4-level page tables). */
#define USER_END 0x7ffffffff000ULL

/* Where make_blob() puts things in the child. */
#define BLOB_CODE 0x10000000UL
#define BLOB_DATA 0x20000000UL
#define BLOB_DATA_PAGES 4
#define BLOB_STACK (BLOB_DATA + BLOB_DATA_PAGES * PAGE)

/* --- The calls --- */

static inline long raw_syscall(long nr, long a, long b, long c)
{
	long ret;

	asm volatile("syscall" : "=a"(ret)
		     : "a"(nr), "D"(a), "S"(b), "d"(c)
		     : "rcx", "r11", "memory");
	return ret;
}

static inline long dput_raw(__u64 child, const void *args, size_t size)
{
	return raw_syscall(__NR_dput, child, (long)args, size);
}

static inline long dget_raw(__u64 child, const void *args, size_t size)
{
	return raw_syscall(__NR_dget, child, (long)args, size);
}

static inline long dput(__u64 child, const struct det_args *args)
{
	return dput_raw(child, args, sizeof(*args));
}

static inline long dget(__u64 child, const struct det_args *args)
{
	return dget_raw(child, args, sizeof(*args));
}

static inline long dret(__u64 value)
{
	return raw_syscall(__NR_dret, value, 0, 0);
}

/* What a kernel answers that lacks the system call. */
#define NO_CALL (-38L)

/* First line of every test: nothing to test without the calls. */
#define NEED_CALLS() need_calls(_metadata)

static inline void need_calls(struct __test_metadata *_metadata)
{
	if (dput_raw(0, NULL, 0) == NO_CALL)
		SKIP(_exit(KSFT_SKIP), "this kernel has no dput");
}

#define NEED_ROOT() need_root(_metadata)

static inline void need_root(struct __test_metadata *_metadata)
{
	if (geteuid())
		SKIP(_exit(KSFT_SKIP), "needs root");
}

static inline bool all_bytes(const void *mem, unsigned char byte, size_t len)
{
	const unsigned char *p = mem;

	while (len && *p == byte) {
		p++;
		len--;
	}
	return !len;
}

/* --- Arguments --- */

static inline struct det_args args_of(__u64 flags, const struct det_op *ops,
				      unsigned int nr_ops,
				      struct det_status *st)
{
	struct det_args a = {
		.flags = flags,
		.ops = (uintptr_t)ops,
		.nr_ops = nr_ops,
		.op_size = sizeof(*ops),
		.status = (uintptr_t)st,
		.status_size = st ? sizeof(*st) : 0,
		.notify_fd = -1,
	};

	return a;
}

static inline void args_regs(struct det_args *a, struct user_regs_struct *regs)
{
	a->flags |= DET_REGS;
	a->regs = (uintptr_t)regs;
	a->regs_size = sizeof(*regs);
}

static inline struct det_op op_whole(void)
{
	return (struct det_op){ .op = DET_COPY, .flags = DET_COPY_WHOLE };
}

static inline struct det_op op_copy(const void *caller, __u64 child, __u64 len)
{
	return (struct det_op){ .op = DET_COPY, .caller = (uintptr_t)caller,
				.child = child, .len = len };
}

/* dget: what was at @child when the snapshot was taken. */
static inline struct det_op op_image(void *caller, __u64 child, __u64 len)
{
	return (struct det_op){ .op = DET_COPY, .flags = DET_COPY_IMAGE,
				.caller = (uintptr_t)caller,
				.child = child, .len = len };
}

static inline struct det_op op_zero(__u64 addr, __u64 len, __u32 prot)
{
	return (struct det_op){ .op = DET_ZERO, .prot = prot, .caller = addr,
				.child = addr, .len = len };
}

static inline struct det_op op_perm(__u64 addr, __u64 len, __u32 prot)
{
	return (struct det_op){ .op = DET_PERM, .prot = prot, .caller = addr,
				.child = addr, .len = len };
}

static inline struct det_op op_merge(const void *addr, __u64 len, __u32 flags)
{
	return (struct det_op){ .op = DET_MERGE, .flags = flags,
				.caller = (uintptr_t)addr,
				.child = (uintptr_t)addr, .len = len };
}

/* One call with operations and a status that the caller wants to see. */
static inline long put_ops(__u64 child, __u64 flags, const struct det_op *ops,
			   unsigned int nr, struct det_status *st)
{
	struct det_args a = args_of(flags, ops, nr, st);

	return dput(child, &a);
}

static inline long get_ops(__u64 child, __u64 flags, const struct det_op *ops,
			   unsigned int nr, struct det_status *st)
{
	struct det_args a = args_of(flags, ops, nr, st);

	return dget(child, &a);
}

static inline long put_flags(__u64 child, __u64 flags, struct det_status *st)
{
	return put_ops(child, flags, NULL, 0, st);
}

static inline long get_flags(__u64 child, __u64 flags, struct det_status *st)
{
	return get_ops(child, flags, NULL, 0, st);
}

static inline long put_op(__u64 child, __u64 flags, struct det_op op,
			  struct det_status *st)
{
	return put_ops(child, flags, &op, 1, st);
}

static inline long get_op(__u64 child, __u64 flags, struct det_op op,
			  struct det_status *st)
{
	return get_ops(child, flags, &op, 1, st);
}

/* Waits until the child is stopped and shows how. */
static inline long get_stop(__u64 child, struct det_status *st)
{
	return get_flags(child, 0, st);
}

/* Starts the child, waits for its next stop. */
static inline long run_child(__u64 child, struct det_status *st)
{
	return put_flags(child, DET_START | DET_WAIT, st);
}

static inline long kill_child(__u64 child)
{
	return put_flags(child, DET_KILL, NULL);
}

/* Bytes out of a stopped child, into memory that the caller has mapped. */
static inline long peek(__u64 child, __u64 from, void *to, size_t len)
{
	return get_op(child, 0, op_copy(to, from, len), NULL);
}

/* Bytes into a stopped child, where it has writable memory. */
static inline long poke(__u64 child, __u64 to, const void *from, size_t len)
{
	return put_op(child, 0, op_copy(from, to, len), NULL);
}

static inline long get_regs(__u64 child, struct user_regs_struct *regs)
{
	struct det_args a = args_of(0, NULL, 0, NULL);

	args_regs(&a, regs);
	return dget(child, &a);
}

static inline long put_regs(__u64 child, struct user_regs_struct *regs,
			    __u64 flags, struct det_status *st)
{
	struct det_args a = args_of(flags, NULL, 0, st);

	args_regs(&a, regs);
	return dput(child, &a);
}

/* --- Children --- */

/*
 * As fork: 1 in the caller, 0 in the child, or an error. @flags are added:
 * DET_SNAP, DET_START, DET_WAIT. Without DET_START the child stays NEW.
 */
static inline long fork_space(__u64 child, __u64 flags, struct det_status *st)
{
	struct det_op op = op_whole();
	struct det_args a = args_of(DET_FORK | flags, &op, 1, st);

	return dput(child, &a);
}

typedef long (*space_fn)(void *arg);

/*
 * Runs fn(arg) in a copy of the caller; what it returns is its stop's value.
 * Started again, the function runs again. 1 or an error.
 */
static inline long spawn(__u64 child, __u64 flags, space_fn fn, void *arg,
			 struct det_status *st)
{
	long ret = fork_space(child, flags, st);

	while (ret == 0)
		dret(fn(arg));
	return ret;
}

/* Code for make_blob(): assembler, under a name; its size is name_size. */
#define BLOB(name, code) \
	asm(".pushsection .rodata\n" \
	    ".globl " #name "\n.globl " #name "_size\n" \
	    #name ":\n" code "\n77777:\n" \
	    ".balign 8\n" #name "_size: .quad 77777b - " #name "\n" \
	    ".popsection\n"); \
	extern const char (name)[]; \
	extern const size_t name##_size

#define BLOB_SIZE(name) (name##_size)
#define MAKE(child, name) make_blob(child, name, name##_size)

/* What comes after it: an ordinary process ends there, a space stops. */
#define ASM_EXIT "mov $60, %eax\nxor %edi, %edi\nsyscall\n"

/* The same with labels around one instruction that matters. */
#define INSN_THEN(name, setup, insn, rest) \
	BLOB(name, setup "\n" \
	     ".globl " #name "_at\n.globl " #name "_after\n" \
	     #name "_at:\n" insn "\n" #name "_after:\n" rest); \
	extern const char name##_at[], name##_after[]

#define INSN(name, setup, insn) INSN_THEN(name, setup, insn, ASM_EXIT)

/* Assembler for a dret of what is in RDI. */
#define ASM_DRET "mov $550, %eax\nsyscall\n"

static inline struct user_regs_struct blob_regs(void)
{
	return (struct user_regs_struct){
		.rip = BLOB_CODE,
		.rsp = BLOB_STACK,
		.eflags = 0x202,
	};
}

/*
 * A stopped child with @len bytes of code at BLOB_CODE, zeroed writable data
 * from BLOB_DATA to BLOB_STACK, RIP and RSP set, other registers 0.
 */
static inline long make_blob(__u64 child, const void *code, size_t len)
{
	struct det_op ops[] = {
		op_zero(BLOB_CODE, PAGE, PROT_RWX),
		op_copy(code, BLOB_CODE, len),
		op_zero(BLOB_DATA, BLOB_DATA_PAGES * PAGE, PROT_RW),
	};
	struct det_args a = args_of(0, ops, ARRAY_SIZE(ops), NULL);
	struct user_regs_struct regs = blob_regs();

	args_regs(&a, &regs);
	return dput(child, &a);
}

/* --- Waiting and looking --- */

/*
 * True once @cond is; false after about a minute without it. Only for what
 * happens behind the caller's back, such as the death of a process.
 */
#define EVENTUALLY(cond) ({ \
	bool __ok; \
	int __i; \
	for (__i = 0; !(__ok = !!(cond)) && __i < 60000; __i++) \
		usleep(1000); \
	__ok; \
})

static inline const char *reason_name(__u32 reason)
{
	static const char * const names[] = {
		"RUNNING", "NEW", "RET", "FAULT",
		"SYSCALL", "LIMIT", "BROKEN", "KILLED",
	};

	return reason < ARRAY_SIZE(names) ? names[reason] : "?";
}

static inline void print_status(const struct det_status *st)
{
	fprintf(stderr, "#   %s op %d done %u sig %d trap %d addr %#llx",
		reason_name(st->reason), (int)st->op, st->nr_done, st->sig,
		st->trap, (unsigned long long)st->addr);
	fprintf(stderr, " error %#llx value %#llx nr %lld",
		(unsigned long long)st->error, (unsigned long long)st->value,
		(long long)st->nr);
	fprintf(stderr, " conflicts %llu in %u ranges\n",
		(unsigned long long)st->nr_conflicts, st->nr_ranges);
}

/* The stop is a RET with this value. */
static inline bool is_ret(const struct det_status *st, __u64 value)
{
	if (st->reason == DET_RET && st->value == value)
		return true;
	print_status(st);
	return false;
}

static inline bool is_fault(const struct det_status *st, int sig, int trap)
{
	if (st->reason == DET_FAULT && st->sig == sig && st->trap == trap)
		return true;
	print_status(st);
	return false;
}

#define EXPECT_RET(val, st) EXPECT_TRUE(is_ret(st, val))
#define ASSERT_RET(val, st) ASSERT_TRUE(is_ret(st, val))
#define EXPECT_FAULT(s, t, st) EXPECT_TRUE(is_fault(st, s, t))

/* A line of a /proc file that starts with @key: its value, as text. */
static inline bool proc_line(const char *path, const char *key, char *val,
			     size_t len)
{
	size_t klen = strlen(key);
	bool found = false;
	char line[512];
	FILE *f = fopen(path, "re");

	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, klen) || line[klen] != ':')
			continue;
		line[strcspn(line, "\n")] = 0;
		snprintf(val, len, "%s",
			 line + klen + 1 + strspn(line + klen + 1, " \t"));
		found = true;
	}
	fclose(f);
	return found;
}

static inline bool pid_line(pid_t pid, const char *key, char *val, size_t len)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	return proc_line(path, key, val, len);
}

/* The pid of child number @child of process or space @parent, 0 if none. */
static inline pid_t space_pid(pid_t parent, __u64 child)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	pid_t found = 0;
	char val[64];

	while (proc && !found && (e = readdir(proc))) {
		pid_t pid = atoi(e->d_name);

		if (pid <= 0 || !pid_line(pid, "DetParent", val, sizeof(val)) ||
		    atoi(val) != parent)
			continue;
		if (pid_line(pid, "DetChild", val, sizeof(val)) &&
		    strtoull(val, NULL, 0) == child)
			found = pid;
	}
	if (proc)
		closedir(proc);
	return found;
}

static inline bool pid_exists(pid_t pid)
{
	return kill(pid, 0) == 0 || errno != ESRCH;
}

/* The thread sleeps inside system call @nr. */
static inline bool sleeps_in(pid_t tid, long nr)
{
	char path[64], buf[64] = "";
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/syscall", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	return n > 0 && buf[0] != 'r' && atol(buf) == nr;
}

static inline pid_t gettid_(void)
{
	return syscall(__NR_gettid);
}

#endif /* __DETERMINISTIC_COMMON_H */
