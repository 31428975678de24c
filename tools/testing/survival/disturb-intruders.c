// SPDX-License-Identifier: GPL-2.0-only
/*
 * Disturbances that try to get into spaces, and must not: ptrace, writes to
 * /proc/PID/mem, process_vm_writev, file descriptors, perf's traps, signals.
 *
 * Each attempt is counted only if the same caller could read the same bytes
 * just before: so it is the write that was refused, not the acquaintance. One
 * that is answered with anything but EPERM fails the run.
 *
 * "owner" is the user that the load runs as, "nsroot" is root of a user
 * namespace that the load runs in. So their rows are named after those that
 * need root in their join.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/deterministic.h>
#include <linux/hw_breakpoint.h>
#include <linux/kcmp.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "disturb-tools.h"
#include "disturb-tally.h"

#define OWNER_UID 1000
#define STRANGER_UID 54321
#define BATCH 16

enum who { ROOT, OWNER, NSROOT };

enum {
	PTRACE_, MEM = PTRACE_ + 3, VM = MEM + 3, DESCRIPTORS = VM + 3,
	TRACER, TRACEME, PERF, SIGTRAPS, SIGNALS, STOPS, NR_ROWS
};

static struct tally *tally;

static int begin(void)
{
	if (!tally)
		tally = tally_new(NR_ROWS);
	return tally ? 0 : lacks("tally", "no memory");
}

/* --- Who the load is, and who the intruder --- */

static bool be_owner(void)
{
	return !setgroups(0, NULL) &&
	       !setresgid(OWNER_UID, OWNER_UID, OWNER_UID) &&
	       !setresuid(OWNER_UID, OWNER_UID, OWNER_UID);
}

static int join_owner(void)
{
	if (be_owner())
		return 0;
	perror("setresuid");
	return 1;
}

static bool new_user_namespace(void)
{
	char map[32];

	snprintf(map, sizeof(map), "0 %u 1", geteuid());
	return !unshare(CLONE_NEWUSER) &&
	       put_file("/proc/self/setgroups", "deny") &&
	       put_file("/proc/self/uid_map", map) &&
	       put_file("/proc/self/gid_map", map);
}

static int join_nsroot(void)
{
	/* Who changed its user id may not write its own maps. */
	if (be_owner() && !prctl(PR_SET_DUMPABLE, 1) && new_user_namespace())
		return 0;
	perror("user namespace");
	return 1;
}

static int begin_nsroot(void)
{
	if (!is_there("/proc/self/ns/user"))
		return lacks("nsroot", "no user namespaces");
	return begin();
}

static bool load_has_joined(pid_t load, enum who who)
{
	char path[64], mine[64] = "", its[64] = "";
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d", load);
	if (stat(path, &st) || st.st_uid != OWNER_UID)
		return false;
	if (who == OWNER)
		return true;
	snprintf(path, sizeof(path), "/proc/%d/ns/user", load);
	return readlink("/proc/self/ns/user", mine, sizeof(mine) - 1) > 0 &&
	       readlink(path, its, sizeof(its) - 1) > 0 && strcmp(mine, its);
}

/* As its owner one may enter a user namespace, and is its root then. */
static bool enter_namespace(pid_t load)
{
	char path[64];
	bool entered;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/user", load);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	entered = !setns(fd, CLONE_NEWUSER);
	close(fd);
	return entered;
}

/* The process that disturbs becomes who it is to be, for ever. */
static bool become(enum who who, pid_t load)
{
	static bool done;

	if (done || who == ROOT)
		return true;
	if (!load_has_joined(load, who))
		return false;
	if (geteuid() == 0 && !be_owner())
		return false;
	done = who == OWNER || enter_namespace(load);
	return done;
}

/* --- Attempts --- */

/* Eight bytes of a space that its intruder can read. */
struct spot {
	pid_t pid;
	unsigned long addr;
	uint64_t bytes;
};

static bool read_spot(struct spot *s)
{
	struct iovec here = { &s->bytes, sizeof(s->bytes) };
	struct iovec there = { (void *)s->addr, sizeof(s->bytes) };

	return process_vm_readv(s->pid, &here, 1, &there, 1, 0) ==
	       sizeof(s->bytes);
}

static bool find_spot(pid_t pid, struct spot *s, unsigned long long *random)
{
	struct range ranges[MAX_RANGES], *r;
	int n = ranges_of(pid, ranges, MAX_RANGES);

	if (n <= 0)
		return false;
	r = &ranges[any(random, n)];
	s->pid = pid;
	s->addr = r->start + any64(random) % (r->end - r->start) / 8 * 8;
	return read_spot(s);
}

/* 1 if refused as it should be, 0 if there is nobody any more. */
static unsigned long refused(struct tally *t, const char *what, long ret,
			     const struct spot *s)
{
	if (ret == -1 && errno == EPERM)
		return 1;
	if (ret == -1 && errno == ESRCH)
		return 0;
	tally_bad(t, "%s on %d at %#lx: %ld, %s", what, s->pid, s->addr, ret,
		  ret == -1 ? strerror(errno) : "no error");
	return 0;
}

static unsigned long try_ptrace(struct tally *t, const struct spot *s,
				unsigned long long *random)
{
	unsigned long n;
	long ret;

	ret = ptrace(PTRACE_SEIZE, s->pid, 0,
		     any(random, 2) ? PTRACE_O_TRACECLONE : 0);
	n = refused(t, "PTRACE_SEIZE", ret, s);
	ret = ptrace(PTRACE_ATTACH, s->pid, 0, 0);
	return n + refused(t, "PTRACE_ATTACH", ret, s);
}

static unsigned long try_vm(struct tally *t, const struct spot *s,
			    unsigned long long *random)
{
	uint64_t other = ~s->bytes;
	char *from = (char *)&other, *to = (char *)s->addr;
	struct iovec here[] = { { from, 3 }, { from + 3, 5 } };
	struct iovec there[] = { { to, 7 }, { to + 7, 1 } };
	long ret = process_vm_writev(s->pid, here, 1 + any(random, 2), there,
				     1 + any(random, 2), 0);

	return refused(t, "process_vm_writev", ret, s);
}

static int open_mem(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	return open(path, O_RDWR | O_CLOEXEC);
}

static long write_mem(int fd, const struct spot *s)
{
	uint64_t other = ~s->bytes;

	return pwrite(fd, &other, sizeof(other), s->addr);
}

/* By one who has got the file from who was allowed to open it. */
static long write_as_another(int fd, const struct spot *s)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		if (geteuid() ? !new_user_namespace() :
		    setresuid(STRANGER_UID, STRANGER_UID, STRANGER_UID))
			_exit(EPERM);
		_exit(write_mem(fd, s) == -1 ? errno : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -2;
	errno = WEXITSTATUS(status);
	return errno ? -1 : 1;
}

static unsigned long try_mem(struct tally *t, const struct spot *s,
			     unsigned long long *random)
{
	static int early[8];	/* opened long ago, of spaces that may be dead */
	int fd = open_mem(s->pid), *old = &early[any(random, 8)];
	unsigned long n;

	if (fd < 0)
		return 0;
	n = refused(t, "/proc/PID/mem", write_mem(fd, s), s);
	if (!any(random, 8))
		n += refused(t, "/proc/PID/mem by another",
			     write_as_another(fd, s), s);
	if (*old)
		n += refused(t, "old /proc/PID/mem", write_mem(*old, s), s);
	if (*old && any(random, 8)) {
		close(fd);
		return n;
	}
	if (*old)
		close(*old);
	*old = fd;
	return n;
}

typedef unsigned long (*attempt)(struct tally *t, const struct spot *s,
				 unsigned long long *random);

static unsigned long intrude(struct tally *t, pid_t load, enum who who,
			     attempt try, unsigned long long *random)
{
	unsigned long n = 0;
	struct spot s;
	pid_t pid;
	int i;

	if (!become(who, load)) {
		usleep(10000);
		return 0;
	}
	usleep(any(random, 3000));
	pid = any_space(load, random);
	for (i = 0; pid && i < BATCH; i++)
		if (find_spot(pid, &s, random))
			n += try(t, &s, random);
	return tally_did(t, n);
}

#define INTRUSION(name, row, who, try) \
static unsigned long once_##name(pid_t load, unsigned long long *random) \
{ \
	return intrude(&tally[(row) + (who)], load, who, try, random); \
} \
static unsigned long done_##name(void) \
{ \
	return tally_verdict(#name, &tally[(row) + (who)]); \
}

INTRUSION(ptrace_root, PTRACE_, ROOT, try_ptrace)
INTRUSION(ptrace_owner, PTRACE_, OWNER, try_ptrace)
INTRUSION(ptrace_nsroot, PTRACE_, NSROOT, try_ptrace)
INTRUSION(mem_root, MEM, ROOT, try_mem)
INTRUSION(mem_owner, MEM, OWNER, try_mem)
INTRUSION(mem_nsroot, MEM, NSROOT, try_mem)
INTRUSION(vm_root, VM, ROOT, try_vm)
INTRUSION(vm_owner, VM, OWNER, try_vm)
INTRUSION(vm_nsroot, VM, NSROOT, try_vm)

/*
 * A space has no files to take, and shares nothing with its master, or with
 * another space. It has a different address space even as NEW.
 */
static unsigned long try_descriptors(struct tally *t, const struct spot *s,
				     unsigned long long *random)
{
	long parent = 0, same;
	char path[64];
	int fd, got;

	snprintf(path, sizeof(path), "/proc/%d/status", s->pid);
	parent = get_number(path, "DetParent");
	fd = syscall(SYS_pidfd_open, s->pid, 0);
	if (fd < 0 || parent <= 0)
		return 0;
	got = syscall(SYS_pidfd_getfd, fd, any(random, 4), 0);
	close(fd);
	if (got >= 0 || (errno != EBADF && errno != EPERM && errno != ESRCH))
		tally_bad(t, "pidfd_getfd: %d, %s", got, strerror(errno));
	same = syscall(SYS_kcmp, s->pid, parent,
		       any(random, 2) ? KCMP_VM : KCMP_SIGHAND, 0, 0);
	if (same == 0)
		tally_bad(t, "%d has its parent's memory", s->pid);
	return got < 0 && same > 0;
}

INTRUSION(descriptors, DESCRIPTORS, ROOT, try_descriptors)

/* --- A tracer of masters --- */

#define TRACE_ALL (PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | \
		   PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | \
		   PTRACE_O_TRACESYSGOOD)

static bool is_space(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	return get_number(path, "DetDepth") > 0;
}

static void check_untraced(struct tally *t, pid_t load,
			   unsigned long long *random)
{
	pid_t pid = any_space(load, random);
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (pid && get_number(path, "TracerPid") > 0)
		tally_bad(t, "space %d is traced", pid);
}

/* A stop of the master's goes on; a thread or child that came with it is freed. */
static void handle_stop(struct tally *t, pid_t master, pid_t pid, int status,
			unsigned long long *random)
{
	int event = status >> 16, sig = WSTOPSIG(status);

	if (pid != master) {
		if (is_space(pid))
			tally_bad(t, "space %d was traced with %d", pid,
				  master);
		ptrace(PTRACE_DETACH, pid, 0, 0);
	} else if (event == PTRACE_EVENT_STOP && sig != SIGTRAP) {
		ptrace(PTRACE_LISTEN, pid, 0, 0);
	} else {
		if (event || sig == (SIGTRAP | 0x80))
			sig = 0;
		ptrace(any(random, 4) ? PTRACE_SYSCALL : PTRACE_CONT, pid, 0,
		       (long)sig);
	}
}

/* Stops of @master that were seen; it may be gone then. */
static unsigned long follow(struct tally *t, pid_t load, pid_t master,
			    unsigned long long *random)
{
	unsigned long stops = 0;
	int i, status;
	pid_t pid;

	for (i = any(random, 200); i >= 0; i--) {
		if (!any(random, 8))
			ptrace(PTRACE_INTERRUPT, master, 0, 0);
		if (!any(random, 8))
			check_untraced(t, load, random);
		pid = waitpid(-1, &status, __WALL | WNOHANG);
		if (pid > 0 && WIFSTOPPED(status)) {
			stops += pid == master;
			handle_stop(t, master, pid, status, random);
		} else if (pid <= 0) {
			usleep(any(random, 1000));
		}
		if (pid == master && !WIFSTOPPED(status))
			break;
	}
	return stops;
}

static void let_go(struct tally *t, pid_t master, unsigned long long *random)
{
	int status, sig;
	pid_t pid;

	ptrace(PTRACE_INTERRUPT, master, 0, 0);
	while ((pid = waitpid(-1, &status, __WALL)) > 0) {
		if (!WIFSTOPPED(status))
			continue;
		if (pid != master) {
			handle_stop(t, master, pid, status, random);
			continue;
		}
		sig = WSTOPSIG(status);
		if (status >> 16 || sig == (SIGTRAP | 0x80))
			sig = 0;
		ptrace(PTRACE_DETACH, master, 0, (long)sig);
	}
}

static unsigned long once_tracer(pid_t load, unsigned long long *random)
{
	struct tally *t = &tally[TRACER];
	pid_t master = any_master(load, random);
	unsigned long stops;

	if (!master || ptrace(PTRACE_SEIZE, master, 0, TRACE_ALL)) {
		usleep(10000);
		return 0;
	}
	stops = follow(t, load, master, random);
	let_go(t, master, random);
	return tally_did(t, stops);
}

static unsigned long done_tracer(void)
{
	return tally_verdict("tracer", &tally[TRACER]);
}

/* A master of our own that asks to be traced, and makes a space. */
static int traced_master(void)
{
	struct det_args none = { .notify_fd = -1 };
	struct det_args kill = { .flags = DET_KILL, .notify_fd = -1 };
	pid_t space;
	char path[64];

	if (ptrace(PTRACE_TRACEME, 0, 0, 0) || raise(SIGSTOP))
		return 1;
	if (syscall(__NR_dput, 1, &none, sizeof(none)) ||
	    children_of(getpid(), &space, 1) != 1)
		return 2;
	snprintf(path, sizeof(path), "/proc/%d/status", space);
	if (get_number(path, "TracerPid"))
		return 3;
	return syscall(__NR_dput, 1, &kill, sizeof(kill)) ? 4 : 0;
}

static unsigned long once_traceme(pid_t load, unsigned long long *random)
{
	struct tally *t = &tally[TRACEME];
	pid_t master = fork(), pid;
	int status = -1;

	(void)load;
	if (!master)
		_exit(traced_master());
	pid = waitpid(master, &status, 0);
	if (pid < 0)
		return 0;
	ptrace(PTRACE_SETOPTIONS, master, 0, TRACE_ALL | PTRACE_O_EXITKILL);
	while (pid > 0 && WIFSTOPPED(status)) {
		if (pid != master || status >> 16)
			tally_bad(t, "%d traced: status %#x", pid, status);
		ptrace(PTRACE_CONT, pid, 0, 0);
		pid = waitpid(-1, &status, __WALL);
	}
	if (pid != master || status)
		tally_bad(t, "a traced master ended with %#x", status);
	usleep(any(random, 20000));
	return tally_did(t, 1);
}

static unsigned long done_traceme(void)
{
	return tally_verdict("traceme", &tally[TRACEME]);
}

/* --- perf --- */

static int perf_open(struct perf_event_attr *attr, pid_t pid)
{
	attr->size = sizeof(*attr);
	return syscall(SYS_perf_event_open, attr, pid, -1, -1,
		       PERF_FLAG_FD_CLOEXEC);
}

static int open_clock(pid_t pid)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = 200000,
		.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_TID |
			       PERF_SAMPLE_CALLCHAIN | PERF_SAMPLE_STACK_USER,
		.sample_stack_user = 4096,
		.inherit = 0,
	};

	return perf_open(&attr, pid);
}

static int open_faults(pid_t pid)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_PAGE_FAULTS,
		.sample_period = 1,
		.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_ADDR,
	};

	return perf_open(&attr, pid);
}

/* On what the space executes, reads or writes, if there is luck. */
static int open_breakpoint(pid_t pid, bool trap, unsigned long long *random)
{
	struct spot s;
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT,
		.sample_period = 1,
		.sample_type = PERF_SAMPLE_IP,
		.bp_type = HW_BREAKPOINT_RW,
		.bp_len = HW_BREAKPOINT_LEN_8,
		.exclude_kernel = trap,
		.sigtrap = trap,
		.remove_on_exec = trap,
	};

	if (!find_spot(pid, &s, random))
		return -1;
	attr.bp_addr = s.addr;
	return perf_open(&attr, pid);
}

/* A trap that perf sends to the task itself: any ordinary one dies of it. */
static int open_trap(pid_t pid, unsigned long long *random)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = 100000,
		.exclude_kernel = 1,
		.sigtrap = 1,
		.remove_on_exec = 1,
	};

	if (!any(random, 4))
		return open_breakpoint(pid, true, random);
	if (any(random, 2)) {
		attr.config = PERF_COUNT_SW_PAGE_FAULTS;
		attr.sample_period = 1;
	}
	return perf_open(&attr, pid);
}

/* Open for a moment, or for as long as a round takes. 1 if something was counted. */
static unsigned long watch(int fd, unsigned long long *random)
{
	uint64_t count = 0;
	void *ring;

	if (fd < 0)
		return 0;
	ring = mmap(NULL, 9 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	usleep(any(random, any(random, 2) ? 15000 : 300000));
	if (read(fd, &count, sizeof(count)) != sizeof(count))
		count = 0;
	if (ring != MAP_FAILED)
		munmap(ring, 9 * 4096);
	close(fd);
	return count > 0;
}

static unsigned long once_perf(pid_t load, unsigned long long *random)
{
	pid_t pid = any_space(load, random);
	unsigned int kind = any(random, 3);
	int fd = -1;

	if (!pid)
		usleep(1000);
	else if (kind == 0)
		fd = open_clock(pid);
	else if (kind == 1)
		fd = open_faults(pid);
	else
		fd = open_breakpoint(pid, false, random);
	return tally_did(&tally[PERF], watch(fd, random));
}

static unsigned long done_perf(void)
{
	return tally_verdict("perf", &tally[PERF]);
}

static unsigned long once_sigtraps(pid_t load, unsigned long long *random)
{
	pid_t pid = any_space(load, random);

	if (!pid)
		usleep(1000);
	return tally_did(&tally[SIGTRAPS],
			 watch(pid ? open_trap(pid, random) : -1, random));
}

static unsigned long done_sigtraps(void)
{
	return tally_verdict("sigtrap", &tally[SIGTRAPS]);
}

static int begin_perf(void)
{
	int fd = open_clock(0);

	if (fd < 0)
		return lacks("perf", strerror(errno));
	close(fd);
	return begin();
}

/* --- Signals --- */

/* What a receiver would take for the report of its own fault. */
static siginfo_t forged(int sig, unsigned long long *random)
{
	static const int codes[] = { SI_QUEUE, SI_TIMER, SI_MESGQ, SI_ASYNCIO,
				     SI_SIGIO, SI_ASYNCNL };
	siginfo_t info = {
		.si_signo = sig,
		.si_code = codes[any(random, LENGTH(codes))],
	};

	info.si_addr = (void *)(uintptr_t)any64(random);
	info.si_errno = any(random, 100);
	return info;
}

/* The kernel's own codes are for the kernel. */
static void claim_kernel(struct tally *t, pid_t pid, int sig,
			 unsigned long long *random)
{
	siginfo_t info = forged(sig, random);

	info.si_code = 1 + any(random, 8);
	if (!syscall(SYS_rt_sigqueueinfo, pid, sig, &info) ||
	    (errno != EPERM && errno != ESRCH))
		tally_bad(t, "si_code %d was taken", info.si_code);
}

/* The owner of a pipe is told of input, with a signal of our choice. */
static long send_by_pipe(pid_t pid, int sig)
{
	int fds[2];
	long ret;

	if (pipe2(fds, O_CLOEXEC))
		return -1;
	ret = fcntl(fds[0], F_SETOWN, pid);
	if (fcntl(fds[0], F_SETSIG, sig) || fcntl(fds[0], F_SETFL, O_ASYNC) ||
	    write(fds[1], "x", 1) != 1)
		ret = -1;
	close(fds[0]);
	close(fds[1]);
	return ret;
}

static long send_by_pidfd(pid_t pid, int sig, siginfo_t *info,
			  unsigned int flags)
{
	int fd = syscall(SYS_pidfd_open, pid, 0);
	long ret;

	if (fd < 0)
		return -1;
	ret = syscall(SYS_pidfd_send_signal, fd, sig, info, flags);
	close(fd);
	return ret;
}

static long send_somehow(pid_t pid, int sig, unsigned long long *random)
{
	siginfo_t info = forged(sig, random);

	switch (any(random, 9)) {
	case 0:
		return syscall(SYS_kill, pid, sig);
	case 1:
		return syscall(SYS_tkill, pid, sig);
	case 2:
		return syscall(SYS_tgkill, pid, pid, sig);
	case 3:
		return syscall(SYS_rt_sigqueueinfo, pid, sig, &info);
	case 4:
		return syscall(SYS_rt_tgsigqueueinfo, pid, pid, sig, &info);
	case 5:
		return send_by_pidfd(pid, sig, NULL, 0);
	case 6:
		return send_by_pidfd(pid, sig, &info, 0);
	case 7:	/* the thread, not the group; of Linux 6.9 */
		return send_by_pidfd(pid, sig, &info, 1);
	default:
		return send_by_pipe(pid, sig);
	}
}

static bool is_discarded(int sig)
{
	return sig != SIGKILL && sig != SIGSTOP && sig != SIGTSTP &&
	       sig != SIGCONT;
}

/* Bits of a line such as SigPnd, those for which @is_discarded holds. */
static unsigned long pending(pid_t pid, const char *key)
{
	char path[64], line[128];
	unsigned long bits = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			bits = strtoul(line + strlen(key) + 1, NULL, 16);
	if (f)
		fclose(f);
	return bits & ~(1UL << (SIGKILL - 1) | 1UL << (SIGSTOP - 1) |
			1UL << (SIGTSTP - 1) | 1UL << (SIGCONT - 1));
}

static unsigned long once_signals(pid_t load, unsigned long long *random)
{
	struct tally *t = &tally[SIGNALS];
	pid_t pid = any_space(load, random);
	unsigned long n = 0;
	int i, sig;

	usleep(any(random, 1500));
	for (i = 0; pid && i < 2 * BATCH; i++) {
		do {
			sig = 1 + any(random, 64);
		} while (!is_discarded(sig));
		n += send_somehow(pid, sig, random) == 0;
		if (!any(random, 16))
			claim_kernel(t, pid, sig, random);
	}
	if (pid && (pending(pid, "SigPnd") || pending(pid, "ShdPnd")))
		tally_bad(t, "%d has a signal pending", pid);
	return tally_did(t, n);
}

static unsigned long done_signals(void)
{
	return tally_verdict("signals", &tally[SIGNALS]);
}

/* Stopped for a while, as by Ctrl-Z, spaces and now and then masters. */
static unsigned long once_stops(pid_t load, unsigned long long *random)
{
	static const int stops[] = { SIGSTOP, SIGTSTP };
	pid_t pid = any_process(load, random);
	bool sent;

	usleep(any(random, 3000));
	if (!pid)
		return 0;
	sent = !kill(pid, stops[any(random, 2)]);
	if (any(random, 2))
		usleep(any(random, 10000));
	kill(pid, SIGCONT);
	return tally_did(&tally[STOPS], sent);
}

static unsigned long done_stops(void)
{
	return tally_verdict("stops", &tally[STOPS]);
}

#define PERF_LOG "^perf: interrupt took too long"

#define BY_ROOT(id, text, fn) \
	{ .name = id, .what = text ", by root", .begin = begin, \
	  .once = once_##fn, .done = done_##fn }
#define BY_OWNER(id, text, fn) \
	{ .name = id, .what = text ", by the owner", .begin = begin, \
	  .join = join_owner, .once = once_##fn, .done = done_##fn }
#define BY_NSROOT(id, text, fn) \
	{ .name = id, .what = text ", by root of a user namespace", \
	  .begin = begin_nsroot, .join = join_nsroot, .once = once_##fn, \
	  .done = done_##fn }

const struct disturbance disturb_intruders[] = {
	BY_ROOT("ptrace-root", "PTRACE_ATTACH and SEIZE", ptrace_root),
	BY_OWNER("ptrace-owner", "PTRACE_ATTACH and SEIZE", ptrace_owner),
	BY_NSROOT("ptrace-nsroot", "PTRACE_ATTACH and SEIZE", ptrace_nsroot),
	BY_ROOT("memwrite-root", "writes to /proc/PID/mem", mem_root),
	BY_OWNER("memwrite-owner", "writes to /proc/PID/mem", mem_owner),
	BY_NSROOT("memwrite-nsroot", "writes to /proc/PID/mem", mem_nsroot),
	BY_ROOT("vmwrite-root", "process_vm_writev", vm_root),
	BY_OWNER("vmwrite-owner", "process_vm_writev", vm_owner),
	BY_NSROOT("vmwrite-nsroot", "process_vm_writev", vm_nsroot),
	BY_ROOT("descriptors", "pidfd_getfd and kcmp", descriptors),
	BY_ROOT("tracer", "a tracer of masters and all that they make",
		tracer),
	BY_ROOT("traceme", "masters that ask to be traced", traceme),
	{ .name = "perf", .what = "samples and breakpoints of perf",
	  .begin = begin_perf, .once = once_perf, .done = done_perf,
	  .log = PERF_LOG },
	{ .name = "sigtrap", .what = "perf's SIGTRAP to spaces",
	  .begin = begin_perf, .once = once_sigtraps, .done = done_sigtraps,
	  .log = PERF_LOG },
	BY_ROOT("signals", "signals of every kind to spaces", signals),
	BY_ROOT("stops", "SIGSTOP, SIGTSTP and SIGCONT", stops),
	{}
};
