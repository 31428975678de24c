// SPDX-License-Identifier: GPL-2.0-only
/*
 * A space seen by the rest of the system: the switch, /proc, ptrace and the
 * other ways to reach into a process, limits, namespaces, cgroups, what is
 * inherited, tracepoints.
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "common.h"

#define CHILD 1
#define OTHER 2
#define NOBODY_UID 54321

BLOB(code_spin, "1: jmp 1b\n");
BLOB(code_count, "1: mov %rbx, %rdi\ninc %rbx\n" ASM_DRET "jmp 1b\n");
BLOB(code_fault, "ud2\n");
BLOB(code_touch, "1: movb $1, (%rax)\nadd $4096, %rax\njmp 1b\n");
BLOB(code_getpid, "mov $39, %eax\nsyscall\n");

static bool read_text(const char *path, char *buf, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, buf, len - 1);
	close(fd);
	if (n < 0)
		return false;
	buf[n] = 0;
	return true;
}

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = write(fd, text, strlen(text));
	close(fd);
	return n == strlen(text);
}

/* A file of /proc/PID. */
static const char *pid_file(pid_t pid, const char *name)
{
	static char path[2][300];
	static int turn;

	turn = !turn;
	snprintf(path[turn], sizeof(path[turn]), "/proc/%d/%s", pid, name);
	return path[turn];
}

/* Runs fn in a process of its own; its exit status, or -1. */
static int in_a_process(int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(fn());
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

/* No user that has any other process; caps go, /proc/self stays readable. */
static void become_nobody(void)
{
	if (!geteuid()) {
		if (setgid(NOBODY_UID) || setuid(NOBODY_UID))
			_exit(90);
		prctl(PR_SET_DUMPABLE, 1);
	}
}

/* --- kernel.deterministic --- */

#define SWITCH "/proc/sys/kernel/deterministic"

FIXTURE(sysctl)
{
	char old[16];
};

FIXTURE_SETUP(sysctl)
{
	NEED_CALLS();
	NEED_ROOT();
	if (!read_text(SWITCH, self->old, sizeof(self->old)))
		SKIP(return, "no " SWITCH);
}

FIXTURE_TEARDOWN(sysctl)
{
	EXPECT_TRUE(write_text(SWITCH, self->old));
}

static int make_one(void)
{
	return -put_flags(CHILD, 0, NULL);
}

static int make_one_as_nobody(void)
{
	become_nobody();
	return make_one();
}

TEST_F(sysctl, off)
{
	struct det_status st;

	ASSERT_TRUE(write_text(SWITCH, "1"));
	ASSERT_EQ(0, MAKE(CHILD, code_count));
	ASSERT_TRUE(write_text(SWITCH, "0"));
	EXPECT_EQ(EPERM, in_a_process(make_one));
	EXPECT_EQ(EPERM, in_a_process(make_one_as_nobody));
	/* Who has children already goes on. */
	EXPECT_EQ(0, run_child(CHILD, &st));
	EXPECT_RET(0, &st);
	EXPECT_EQ(0, kill_child(CHILD));
}

TEST_F(sysctl, everybody)
{
	ASSERT_TRUE(write_text(SWITCH, "1"));
	EXPECT_EQ(0, in_a_process(make_one));
	EXPECT_EQ(0, in_a_process(make_one_as_nobody));
}

TEST_F(sysctl, admins)
{
	ASSERT_TRUE(write_text(SWITCH, "2"));
	EXPECT_EQ(0, in_a_process(make_one));
	EXPECT_EQ(EPERM, in_a_process(make_one_as_nobody));
}

TEST_F(sysctl, other_values)
{
	char now[16];

	ASSERT_TRUE(write_text(SWITCH, "1"));
	EXPECT_FALSE(write_text(SWITCH, "3"));
	EXPECT_FALSE(write_text(SWITCH, "-1"));
	ASSERT_TRUE(read_text(SWITCH, now, sizeof(now)));
	EXPECT_STREQ("1\n", now);
}

/* --- /proc --- */

FIXTURE(proc)
{
	pid_t pid;
};

/* A child that is NEW. */
FIXTURE_SETUP(proc)
{
	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_count));
	self->pid = space_pid(getpid(), CHILD);
	if (!self->pid)
		SKIP(return, "no /proc");
}

FIXTURE_TEARDOWN(proc)
{
	struct det_status st;

	/* Nothing that was tried from outside has changed it. */
	EXPECT_EQ(0, run_child(CHILD, &st));
	EXPECT_RET(0, &st);
	EXPECT_EQ(0, kill_child(CHILD));
}

static bool has_line(pid_t pid, const char *key, const char *want)
{
	char val[64];

	if (!pid_line(pid, key, val, sizeof(val)))
		return !want;
	if (want && !strcmp(val, want))
		return true;
	fprintf(stderr, "# %s: %s, not %s\n", key, val, want ? want : "absent");
	return false;
}

TEST_F(proc, status_lines)
{
	char val[64], me[16];

	snprintf(me, sizeof(me), "%d", getpid());
	EXPECT_TRUE(has_line(self->pid, "DetParent", me));
	EXPECT_TRUE(has_line(self->pid, "DetChild", "1"));
	EXPECT_TRUE(has_line(self->pid, "DetDepth", "1"));
	EXPECT_TRUE(has_line(self->pid, "DetReason", "NEW"));
	/* Only spaces have them. */
	EXPECT_FALSE(pid_line(getpid(), "DetParent", val, sizeof(val)));
	EXPECT_FALSE(pid_line(getpid(), "DetReason", val, sizeof(val)));
	EXPECT_FALSE(pid_line(1, "DetParent", val, sizeof(val)));
}

/* Idle: a stopped task that is no load. */
TEST_F(proc, stopped_is_no_load)
{
	EXPECT_TRUE(has_line(self->pid, "State", "I (idle)"));
}

/* What the kernel would walk when a thread dies: not a space's. */
TEST_F(proc, no_robust_list)
{
	struct { void *next; long offset; void *pending; } list = {};
	void *head = &list;
	size_t len;
	pid_t pid;

	list.next = &list;
	ASSERT_EQ(0, syscall(__NR_set_robust_list, &list, sizeof(list)));
	ASSERT_EQ(0, put_op(OTHER, 0, op_whole(), NULL));
	pid = space_pid(getpid(), OTHER);
	ASSERT_EQ(0, syscall(__NR_get_robust_list, 0, &head, &len));
	EXPECT_EQ(&list, head);
	ASSERT_EQ(0, syscall(__NR_get_robust_list, pid, &head, &len));
	EXPECT_EQ(NULL, head);
	EXPECT_EQ(0, kill_child(OTHER));
}

TEST_F(proc, reasons)
{
	pid_t pid;

	ASSERT_EQ(0, MAKE(OTHER, code_count));
	pid = space_pid(getpid(), OTHER);
	ASSERT_EQ(0, run_child(OTHER, NULL));
	EXPECT_TRUE(has_line(pid, "DetReason", "RET"));
	kill_child(OTHER);
	ASSERT_EQ(0, MAKE(OTHER, code_fault));
	pid = space_pid(getpid(), OTHER);
	ASSERT_EQ(0, run_child(OTHER, NULL));
	EXPECT_TRUE(has_line(pid, "DetReason", "FAULT"));
	kill_child(OTHER);
	ASSERT_EQ(0, MAKE(OTHER, code_getpid));
	pid = space_pid(getpid(), OTHER);
	ASSERT_EQ(0, run_child(OTHER, NULL));
	EXPECT_TRUE(has_line(pid, "DetReason", "SYSCALL"));
	kill_child(OTHER);
	ASSERT_EQ(0, MAKE(OTHER, code_spin));
	pid = space_pid(getpid(), OTHER);
	ASSERT_EQ(0, put_flags(OTHER, DET_START, NULL));
	EXPECT_TRUE(has_line(pid, "DetReason", "RUNNING"));
	EXPECT_EQ(0, kill_child(OTHER));
}

static long have_a_child(void *arg)
{
	return MAKE(7, code_count);
}

TEST_F(proc, of_a_grandchild)
{
	char parent[16];
	pid_t pid, below;

	ASSERT_EQ(1, spawn(OTHER, DET_START | DET_WAIT, have_a_child, NULL,
			   NULL));
	pid = space_pid(getpid(), OTHER);
	snprintf(parent, sizeof(parent), "%d", pid);
	below = space_pid(pid, 7);
	ASSERT_LT(0, below);
	EXPECT_TRUE(has_line(below, "DetParent", parent));
	EXPECT_TRUE(has_line(below, "DetDepth", "2"));
	EXPECT_EQ(0, kill_child(OTHER));
}

TEST_F(proc, comm)
{
	char comm[32];

	prctl(PR_SET_NAME, "tester");
	ASSERT_EQ(0, MAKE(42, code_count));
	ASSERT_TRUE(read_text(pid_file(space_pid(getpid(), 42), "comm"), comm,
			      sizeof(comm)));
	EXPECT_STREQ("tester:42\n", comm);
	EXPECT_EQ(0, kill_child(42));
}

/* Reading whatever there is hurts nobody: ps, perf and top do. */
static void read_everything(pid_t pid)
{
	DIR *dir = opendir(pid_file(pid, ""));
	static char buf[65536];
	struct dirent *e;
	int fd;

	while (dir && (e = readdir(dir))) {
		fd = open(pid_file(pid, e->d_name),
			  O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			continue;
		while (read(fd, buf, sizeof(buf)) == sizeof(buf) &&
		       strcmp(e->d_name, "pagemap"))
			;
		close(fd);
	}
	if (dir)
		closedir(dir);
	if (readlink(pid_file(pid, "exe"), buf, sizeof(buf)) < 0)
		return;
}

TEST_F(proc, everything_can_be_read)
{
	pid_t pid;

	read_everything(self->pid);
	ASSERT_EQ(1, spawn(OTHER, DET_SNAP | DET_START | DET_WAIT, have_a_child,
			   NULL, NULL));
	pid = space_pid(getpid(), OTHER);
	read_everything(pid);
	ASSERT_EQ(0, kill_child(OTHER));
	ASSERT_EQ(0, MAKE(OTHER, code_spin));
	pid = space_pid(getpid(), OTHER);
	ASSERT_EQ(0, put_flags(OTHER, DET_START, NULL));
	read_everything(pid);
	ASSERT_EQ(0, kill_child(OTHER));
}

/* --- Reaching into a space --- */

TEST_F(proc, ptrace_is_refused)
{
	EXPECT_EQ(-1, ptrace(PTRACE_ATTACH, self->pid, 0, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, ptrace(PTRACE_SEIZE, self->pid, 0, 0));
	EXPECT_EQ(EPERM, errno);
	ASSERT_EQ(0, MAKE(OTHER, code_spin));
	ASSERT_EQ(0, put_flags(OTHER, DET_START, NULL));
	EXPECT_EQ(-1, ptrace(PTRACE_SEIZE, space_pid(getpid(), OTHER), 0, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(0, kill_child(OTHER));
}

TEST_F(proc, mem_can_be_read_not_written)
{
	char buf[8] = {};
	int fd;

	fd = open(pid_file(self->pid, "mem"), O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_EQ(4, pread(fd, buf, 4, BLOB_CODE));
	EXPECT_EQ(0, memcmp(buf, code_count, 4));
	close(fd);
	fd = open(pid_file(self->pid, "mem"), O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		EXPECT_EQ(-1, pwrite(fd, "\xf4\xf4", 2, BLOB_CODE));
		EXPECT_EQ(-1, pwrite(fd, "\xf4\xf4", 2, BLOB_DATA));
		close(fd);
	}
	ASSERT_EQ(0, peek(CHILD, BLOB_CODE, buf, 4));
	EXPECT_EQ(0, memcmp(buf, code_count, 4));
}

TEST_F(proc, process_vm_reads_not_writes)
{
	char buf[4] = { 1, 2, 3, 4 };
	struct iovec here = { buf, 4 }, there = { (void *)BLOB_CODE, 4 };

	EXPECT_EQ(-1, process_vm_writev(self->pid, &here, 1, &there, 1, 0));
	EXPECT_EQ(EPERM, errno);
	there.iov_base = (void *)BLOB_DATA;
	EXPECT_EQ(-1, process_vm_writev(self->pid, &here, 1, &there, 1, 0));
	EXPECT_EQ(EPERM, errno);
	there.iov_base = (void *)BLOB_CODE;
	EXPECT_EQ(4, process_vm_readv(self->pid, &here, 1, &there, 1, 0));
	EXPECT_EQ(0, memcmp(buf, code_count, 4));
}

/* A traced master's spaces are not traced with it. */
static int traced_master(void)
{
	struct det_status st;

	if (ptrace(PTRACE_TRACEME, 0, 0, 0) || raise(SIGSTOP))
		return 1;
	if (MAKE(CHILD, code_count) || run_child(CHILD, &st) ||
	    st.reason != DET_RET)
		return 2;
	return has_line(space_pid(getpid(), CHILD), "TracerPid", "0") ? 0 : 3;
}

TEST(spaces_of_a_traced_master)
{
	int status, events = 0;
	pid_t pid;

	NEED_CALLS();
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(traced_master());
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	ASSERT_EQ(0, ptrace(PTRACE_SETOPTIONS, pid, 0,
			    PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
			    PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL));
	do {
		ASSERT_EQ(0, ptrace(PTRACE_CONT, pid, 0, 0));
		ASSERT_EQ(pid, waitpid(-1, &status, __WALL));
		events += status >> 16 != 0;
	} while (!WIFEXITED(status) && !WIFSIGNALED(status));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, events);
}

/* --- Limits: errors for masters, KILLED for spaces --- */

static bool limit_processes(rlim_t limit)
{
	struct rlimit r = { limit, limit };

	become_nobody();
	return !setrlimit(RLIMIT_NPROC, &r);
}

static int master_at_its_limit(void)
{
	if (!limit_processes(1))
		return 91;
	return -put_flags(CHILD, 0, NULL);
}

static long make_a_child(void *arg)
{
	return put_flags(CHILD, 0, NULL);
}

static int space_at_its_limit(void)
{
	struct det_status st;

	if (!limit_processes(2))
		return 91;
	if (spawn(CHILD, DET_START | DET_WAIT, make_a_child, NULL, &st) != 1)
		return 92;
	print_status(&st);
	return st.reason;
}

TEST(limit_of_processes)
{
	NEED_CALLS();
	EXPECT_EQ(EAGAIN, in_a_process(master_at_its_limit));
}

TEST(limit_of_processes_in_a_space)
{
	NEED_CALLS();
	NEED_ROOT();	/* to be a user without other processes */
	EXPECT_EQ(DET_KILLED, in_a_process(space_at_its_limit));
}

/* --- cgroups --- */

#define CGROUP "/tmp/det_cgroup"
#define GROUP CGROUP "/det_test"

FIXTURE(cgroup)
{
};

FIXTURE_SETUP(cgroup)
{
	NEED_CALLS();
	NEED_ROOT();
	mkdir(CGROUP, 0700);
	if (mount("none", CGROUP, "cgroup2", 0, NULL))
		SKIP(return, "no cgroup2");
	write_text(CGROUP "/cgroup.subtree_control", "+pids");
	mkdir(GROUP, 0700);
}

FIXTURE_TEARDOWN(cgroup)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	write_text(CGROUP "/cgroup.procs", pid);
	EXPECT_TRUE(EVENTUALLY(!rmdir(GROUP)));
	umount(CGROUP);
	rmdir(CGROUP);
}

static bool enter_group(void)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	return write_text(GROUP "/cgroup.procs", pid);
}

static int master_in_a_small_group(void)
{
	if (!enter_group() || put_flags(CHILD, 0, NULL))
		return 91;
	return -put_flags(OTHER, 0, NULL);
}

TEST_F(cgroup, pids)
{
	if (!write_text(GROUP "/pids.max", "2"))
		SKIP(return, "no pids controller");
	EXPECT_EQ(EAGAIN, in_a_process(master_in_a_small_group));
}

static int space_in_the_group(void)
{
	char mine[256], theirs[256];

	if (!enter_group() || put_flags(CHILD, 0, NULL) ||
	    !read_text("/proc/self/cgroup", mine, sizeof(mine)) ||
	    !read_text(pid_file(space_pid(getpid(), CHILD), "cgroup"), theirs,
		       sizeof(theirs)))
		return 91;
	return !!strcmp(mine, theirs);
}

TEST_F(cgroup, inherited)
{
	EXPECT_EQ(0, in_a_process(space_in_the_group));
}

/* A space that takes memory without end; its master is spared. */
static int space_out_of_memory(void)
{
	struct det_op op = op_zero(1ULL << 32, 1ULL << 30, PROT_RW);
	struct user_regs_struct regs = blob_regs();
	struct det_status st;

	op.flags = DET_ZERO_NORESERVE;
	regs.rax = 1ULL << 32;
	if (!enter_group() || MAKE(CHILD, code_touch) ||
	    put_op(CHILD, 0, op, NULL) ||
	    !write_text("/proc/self/oom_score_adj", "-1000") ||
	    put_regs(CHILD, &regs, DET_START | DET_WAIT, &st))
		return 91;
	print_status(&st);
	return st.reason;
}

#define TOUCHED (1ULL << 32)

/* The child writes to each page there, and faults behind them. */
static bool touch_pages(__u64 child)
{
	struct user_regs_struct regs = blob_regs();
	struct det_status st = {};

	regs.rax = TOUCHED;
	return !put_regs(child, &regs, DET_START | DET_WAIT, &st) &&
	       st.reason == DET_FAULT;
}

/* A child has touched @len bytes: before; there is a snapshot, and all is touched again. */
static bool make_snapshot(__u64 child, __u64 len, long (*held)(pid_t pid),
			  long *before, long *after)
{
	pid_t pid;

	if (MAKE(child, code_touch) ||
	    put_op(child, 0, op_zero(TOUCHED, len, PROT_RW), NULL) ||
	    !touch_pages(child))
		return false;
	pid = space_pid(getpid(), child);
	*before = held(pid);
	if (put_flags(child, DET_SNAP, NULL) || !touch_pages(child))
		return false;
	*after = held(pid);
	return true;
}

static long group_holds(pid_t pid)
{
	char text[32] = "";

	read_text(GROUP "/memory.current", text, sizeof(text));
	return atol(text) >> 20;
}

static int snapshot_in_the_group(void)
{
	long before, after;

	if (!enter_group() ||
	    !make_snapshot(CHILD, 32 << 20, group_holds, &before, &after))
		return 91;
	fprintf(stderr, "# %ld MiB, then %ld\n", before, after);
	return before < 32 || after < before + 31;
}

/* What the snapshot alone still has is charged to the group. */
TEST_F(cgroup, snapshot_is_charged)
{
	write_text(CGROUP "/cgroup.subtree_control", "+memory");
	if (access(GROUP "/memory.current", R_OK))
		SKIP(return, "no memory controller");
	EXPECT_EQ(0, in_a_process(snapshot_in_the_group));
}

static long oom_score(pid_t pid)
{
	char text[32] = "";

	read_text(pid_file(pid, "oom_score"), text, sizeof(text));
	return atol(text);
}

/* And counts for its space when a victim is looked for: 64 MiB of a few GiB. */
TEST(snapshot_in_the_oom_score)
{
	long before, after, empty;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(OTHER, code_count));
	empty = oom_score(space_pid(getpid(), OTHER));
	ASSERT_TRUE(make_snapshot(CHILD, 64 << 20, oom_score, &before, &after));
	if (before < empty + 4)
		SKIP(return, "so much memory that 64 MiB do not show");
	EXPECT_LE((before - empty) * 3 / 4, after - before);
}

/* The OOM killer's choice is the machine's doing: KILLED. */
TEST_F(cgroup, out_of_memory)
{
	write_text(CGROUP "/cgroup.subtree_control", "+memory");
	if (!write_text(GROUP "/memory.max", "16M"))
		SKIP(return, "no memory controller");
	write_text(GROUP "/memory.swap.max", "0");
	EXPECT_EQ(DET_KILLED, in_a_process(space_out_of_memory));
}

static bool group_frozen(bool want)
{
	char events[128];

	return read_text(GROUP "/cgroup.events", events, sizeof(events)) &&
	       strstr(events, want ? "frozen 1" : "frozen 0");
}

/* One child rests, one runs, the master waits until the tester kills it. */
static int master_to_freeze(void)
{
	struct det_status st;

	if (MAKE(OTHER, code_count) || run_child(OTHER, NULL) ||
	    MAKE(CHILD, code_spin) || run_child(CHILD, &st))
		return 91;
	return st.reason != DET_KILLED || run_child(OTHER, &st) ||
	       st.reason != DET_RET || st.value != 1;
}

static int master_to_freeze_in_the_group(void)
{
	return enter_group() ? master_to_freeze() : 92;
}

/* Stopped spaces and waiting masters do not hold the freezer up. */
TEST_F(cgroup, freezer)
{
	pid_t pid;
	int status;

	if (access(GROUP "/cgroup.freeze", W_OK))
		SKIP(return, "no freezer");
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(master_to_freeze_in_the_group());
	ASSERT_TRUE(EVENTUALLY(sleeps_in(pid, __NR_dput) &&
			       space_pid(pid, CHILD)));
	ASSERT_TRUE(write_text(GROUP "/cgroup.freeze", "1"));
	EXPECT_TRUE(EVENTUALLY(group_frozen(true)));
	ASSERT_TRUE(write_text(GROUP "/cgroup.freeze", "0"));
	EXPECT_TRUE(EVENTUALLY(group_frozen(false)));
	EXPECT_EQ(0, kill(space_pid(pid, CHILD), SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

/* --- Suspend --- */

#define PM_TEST "/sys/power/pm_test"

/* All of suspend but the suspending: everything that runs is frozen. */
TEST(suspend)
{
	pid_t pid;
	int status;

	NEED_CALLS();
	NEED_ROOT();
	write_text("/sys/module/suspend/parameters/pm_test_delay", "0");
	if (!write_text(PM_TEST, "freezer"))
		SKIP(return, "no " PM_TEST);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(master_to_freeze());
	EXPECT_TRUE(EVENTUALLY(sleeps_in(pid, __NR_dput) &&
			       space_pid(pid, CHILD)));
	EXPECT_TRUE(write_text("/sys/power/state", "freeze"));
	write_text(PM_TEST, "none");
	EXPECT_EQ(0, kill(space_pid(pid, CHILD), SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

/* --- Namespaces --- */

static bool same_link(pid_t pid, const char *name)
{
	char mine[64] = "", theirs[64] = "";

	if (readlink(pid_file(getpid(), name), mine, 63) < 0 ||
	    readlink(pid_file(pid, name), theirs, 63) < 0)
		return false;
	return !strcmp(mine, theirs);
}

static int master_after_unshare(void)
{
	struct det_status st;
	pid_t pid, first;
	int status;

	if (unshare(CLONE_NEWPID) &&
	    unshare(CLONE_NEWPID | CLONE_NEWUSER))
		return 77;
	if (MAKE(CHILD, code_count) || run_child(CHILD, &st) ||
	    st.reason != DET_RET)
		return 1;
	pid = space_pid(getpid(), CHILD);
	if (!pid || !same_link(pid, "ns/pid"))
		return 2;
	/* The first of the new namespace is still to come. */
	first = fork();
	if (!first)
		_exit(getpid() == 1 ? 0 : 3);
	if (waitpid(first, &status, 0) != first || status)
		return 4;
	/* Its end is not the spaces' end. */
	return run_child(CHILD, &st) || st.reason != DET_RET || st.value != 1;
}

TEST(pid_namespace)
{
	int ret;

	NEED_CALLS();
	ret = in_a_process(master_after_unshare);
	if (ret == 77)
		SKIP(return, "no pid namespaces");
	EXPECT_EQ(0, ret);
}

/* --- What is inherited --- */

static bool same_line(pid_t pid, const char *key)
{
	char mine[256] = "", theirs[256] = "";

	if (pid_line(getpid(), key, mine, sizeof(mine)) &&
	    pid_line(pid, key, theirs, sizeof(theirs)) &&
	    !strcmp(mine, theirs))
		return true;
	fprintf(stderr, "# %s: %s, not %s\n", key, theirs, mine);
	return false;
}

static bool same_file(pid_t pid, const char *name)
{
	static char mine[4096], theirs[4096];

	return read_text(pid_file(getpid(), name), mine, sizeof(mine)) &&
	       read_text(pid_file(pid, name), theirs, sizeof(theirs)) &&
	       !strcmp(mine, theirs);
}

static int compare_with_a_space(void)
{
	static const char * const lines[] = {
		"Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd",
		"NoNewPrivs", "Seccomp", "Seccomp_filters", "Cpus_allowed",
	};
	pid_t pid;
	int i, bad = 0;

	if (MAKE(CHILD, code_count))
		return 1;
	pid = space_pid(getpid(), CHILD);
	for (i = 0; i < ARRAY_SIZE(lines); i++)
		bad += !same_line(pid, lines[i]);
	bad += !same_file(pid, "limits");
	bad += !same_file(pid, "oom_score_adj");
	bad += getpriority(PRIO_PROCESS, pid) != getpriority(PRIO_PROCESS, 0);
	bad += sched_getscheduler(pid) != sched_getscheduler(0);
	bad += !same_link(pid, "ns/user");
	return bad;
}

static int as_another_user(void)
{
	struct rlimit r = { 100, 200 };

	become_nobody();
	setrlimit(RLIMIT_NOFILE, &r);
	if (!write_text("/proc/self/oom_score_adj", "500"))
		return 91;
	if (nice(5) != 5 && getpriority(PRIO_PROCESS, 0) < 5)
		return 92;
	return compare_with_a_space();
}

TEST(inherited)
{
	NEED_CALLS();
	EXPECT_EQ(0, in_a_process(compare_with_a_space));
	EXPECT_EQ(0, in_a_process(as_another_user));
}

static int on_one_cpu(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		return 0;	/* not ours to use */
	return compare_with_a_space();
}

TEST(affinity_inherited)
{
	NEED_CALLS();
	EXPECT_EQ(0, in_a_process(on_one_cpu));
}

/* getpid() kills; dput, dget and all others go through. */
static bool forbid_getpid(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_getpid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { ARRAY_SIZE(filter), filter };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

/* The stop comes before the filter: nothing is executed, nobody killed. */
static int master_with_a_filter(void)
{
	struct det_status st;
	pid_t me = getpid(), pid;

	if (!forbid_getpid())
		return 77;
	if (MAKE(CHILD, code_getpid) || run_child(CHILD, &st) ||
	    st.reason != DET_SYSCALL || st.nr != __NR_getpid)
		return 1;
	pid = space_pid(me, CHILD);
	if (pid && (!has_line(pid, "Seccomp", "2") ||
		    !has_line(pid, "NoNewPrivs", "1")))
		return 2;
	return 0;
}

TEST(seccomp_filter_inherited)
{
	int ret;

	NEED_CALLS();
	ret = in_a_process(master_with_a_filter);
	if (ret == 77)
		SKIP(return, "no seccomp filters");
	EXPECT_EQ(0, ret);
}

/* The owner of /proc/PID tells whether the memory may be dumped. */
static int dumpability(void)
{
	struct stat st;

	become_nobody();
	if (!geteuid())
		return 91;
	if (MAKE(CHILD, code_count) ||
	    stat(pid_file(space_pid(getpid(), CHILD), "mem"), &st) ||
	    st.st_uid != geteuid())
		return 1;
	prctl(PR_SET_DUMPABLE, 0);
	if (MAKE(OTHER, code_count) ||
	    stat(pid_file(space_pid(getpid(), OTHER), "mem"), &st) ||
	    st.st_uid == geteuid())
		return 2;
	return 0;
}

TEST(dumpability_inherited)
{
	NEED_CALLS();
	if (access("/proc/1", F_OK))
		SKIP(return, "no /proc");
	EXPECT_EQ(0, in_a_process(dumpability));
}

/* --- Tracepoints --- */

static const char * const tracefs[] = {
	"/sys/kernel/tracing", "/sys/kernel/debug/tracing", "/tmp/det_tracefs",
};

static const char *find_tracefs(void)
{
	char path[128];
	int i;

	mkdir(tracefs[2], 0700);
	for (i = 0; i < ARRAY_SIZE(tracefs); i++) {
		snprintf(path, sizeof(path), "%s/events", tracefs[i]);
		if (!access(path, R_OK) ||
		    (!mount("none", tracefs[i], "tracefs", 0, NULL) &&
		     !access(path, R_OK)))
			return tracefs[i];
	}
	return NULL;
}

static char merged[PAGE] __attribute__((aligned(4096)));

static long change_a_byte(void *arg)
{
	merged[5]++;
	return 0;
}

static bool do_all(void)
{
	struct det_op merge = op_merge(merged, sizeof(merged), 0);

	return spawn(CHILD, DET_SNAP | DET_START | DET_WAIT, change_a_byte,
		     NULL, NULL) == 1 &&
	       !get_ops(CHILD, 0, &merge, 1, NULL) && merged[5] == 1;
}

TEST(tracepoints)
{
	static const char * const names[] = {
		"det_start", "det_stop", "det_copy", "det_snap", "det_merge",
	};
	char path[256], *text = calloc(1, 1 << 20);
	const char *dir;
	int i, fd;

	NEED_CALLS();
	NEED_ROOT();
	dir = find_tracefs();
	if (!dir)
		SKIP(return, "no tracefs");
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/events/deterministic/%s/format",
			 dir, names[i]);
		EXPECT_EQ(0, access(path, R_OK)) TH_LOG("%s", path);
	}
	snprintf(path, sizeof(path), "%s/instances/det_test", dir);
	if (mkdir(path, 0700) && errno != EEXIST)
		SKIP(return, "no tracing instances");
	snprintf(path, sizeof(path),
		 "%s/instances/det_test/events/deterministic/enable", dir);
	EXPECT_TRUE(write_text(path, "1"));
	EXPECT_TRUE(do_all());
	EXPECT_TRUE(write_text(path, "0"));
	snprintf(path, sizeof(path), "%s/instances/det_test/trace", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	for (i = 0; i < (1 << 20) - 1;) {
		ssize_t n = read(fd, text + i, (1 << 20) - 1 - i);

		if (n <= 0)
			break;
		i += n;
	}
	close(fd);
	for (i = 0; i < ARRAY_SIZE(names); i++)
		EXPECT_TRUE(!!strstr(text, names[i])) TH_LOG("number %d", i);
	snprintf(path, sizeof(path), "%s/instances/det_test", dir);
	rmdir(path);
	free(text);
}

TEST_HARNESS_MAIN
