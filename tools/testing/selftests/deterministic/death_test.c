// SPDX-License-Identifier: GPL-2.0-only
/*
 * The end of a tree: with its master, however that ends, in every phase of a
 * call; of a single space by a signal from outside (KILLED) and what its
 * ancestors then see; and what does not end a tree.
 *
 * Each test forks a master, lets it build a tree, ends it, and looks for every
 * process of the tree by its pid: all must be gone, zombies too.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "common.h"

#define CHILD 1
#define OTHER 2
#define MAX_TREE 16

BLOB(code_spin, "1: jmp 1b\n");
BLOB(code_count, "1: mov %rbx, %rdi\ninc %rbx\n" ASM_DRET "jmp 1b\n");

/* --- Looking at a tree from outside --- */

static bool is_below(pid_t pid, pid_t root)
{
	char val[64];
	int i;

	for (i = 0; i < MAX_TREE; i++) {
		if (!pid_line(pid, "DetParent", val, sizeof(val)))
			return false;
		pid = atoi(val);
		if (pid == root)
			return true;
	}
	return false;
}

/* The pids of all spaces below @root. */
static int tree_pids(pid_t root, pid_t *pids)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	int n = 0;

	while (proc && n < MAX_TREE && (e = readdir(proc))) {
		pid_t pid = atoi(e->d_name);

		if (pid > 0 && is_below(pid, root))
			pids[n++] = pid;
	}
	if (proc)
		closedir(proc);
	return n;
}

static bool all_gone(const pid_t *pids, int n)
{
	int i;

	for (i = 0; i < n; i++)
		if (pid_exists(pids[i]))
			return false;
	return true;
}

/* A signal takes its time. */
static bool is_killed(__u64 child)
{
	struct det_status st;

	return !get_stop(child, &st) && st.reason == DET_KILLED;
}

/* --- The phases --- */

enum phase {
	CALLER_WAITS,		/* in dput, for a child that spins */
	CHILD_RUNS,
	CHILD_RESTS,		/* one after RET, one NEW */
	GRANDCHILD_RUNS,	/* its parent rests */
	CHILD_WAITS,		/* for the grandchild, the caller for it */
	NR_PHASES
};

static const struct {
	const char *name;
	int spaces;
	long nr;		/* the call that the master sleeps in */
} phases[] = {
	[CALLER_WAITS] = { "caller waits", 1, __NR_dput },
	[CHILD_RUNS] = { "child runs", 1, __NR_pause },
	[CHILD_RESTS] = { "child rests", 2, __NR_pause },
	[GRANDCHILD_RUNS] = { "grandchild runs", 3, __NR_pause },
	[CHILD_WAITS] = { "child waits", 2, __NR_dget },
};

static long have_children(void *arg)
{
	if (MAKE(CHILD, code_spin) || put_flags(CHILD, DET_START, NULL))
		return 1;
	return MAKE(OTHER, code_count) || run_child(OTHER, NULL);
}

static long have_child_and_wait(void *arg)
{
	if (MAKE(CHILD, code_spin))
		return 1;
	return run_child(CHILD, NULL);
}

static void build(enum phase phase)
{
	struct det_status st;
	long ret = 0;

	switch (phase) {
	case CALLER_WAITS:
		ret = MAKE(CHILD, code_spin) ?: run_child(CHILD, &st);
		break;
	case CHILD_RUNS:
		ret = MAKE(CHILD, code_spin) ?:
		      put_flags(CHILD, DET_START, NULL);
		break;
	case CHILD_RESTS:
		ret = MAKE(CHILD, code_count) ?: run_child(CHILD, &st);
		ret = ret ?: MAKE(OTHER, code_count);
		break;
	case GRANDCHILD_RUNS:
		ret = spawn(CHILD, DET_START | DET_WAIT, have_children, NULL,
			    &st) != 1 || st.reason != DET_RET || st.value;
		break;
	case CHILD_WAITS:
		ret = spawn(CHILD, DET_START, have_child_and_wait, NULL,
			    &st) != 1 || get_stop(CHILD, &st);
		break;
	case NR_PHASES:
		break;
	}
	if (ret)
		_exit(99);
	for (;;)
		pause();
}

/* --- The ways to end --- */

enum way { BY_EXIT, BY_FAULT, BY_EXEC, BY_SIGKILL, BY_SIGTERM };

/* What exec starts: this program once more, which says so and stays. */
static void __attribute__((__constructor__)) after_exec(void)
{
	const char *fd = getenv("DET_AFTER_EXEC");

	if (!fd)
		return;
	/* The new program is no master. */
	if (write(atoi(fd), get_flags(CHILD, 0, NULL) == -ESRCH ? "y" : "n",
		  1) == 1)
		for (;;)
			pause();
	_exit(1);
}

static void do_exec(int fd)
{
	char env[32];
	char * const argv[] = { "exec", NULL };
	char * const envp[] = { env, NULL };

	snprintf(env, sizeof(env), "DET_AFTER_EXEC=%d", fd);
	execve("/proc/self/exe", argv, envp);
	_exit(98);
}

struct order {
	int order[2];		/* a byte: end now */
	int answer[2];		/* a byte: exec was done */
	enum way way;
};

/* The thread of the master that ends it while another one waits. */
static void *end_on_order(void *arg)
{
	struct order *o = arg;
	char c;

	if (read(o->order[0], &c, 1) != 1)
		_exit(97);
	if (o->way == BY_EXIT)
		_exit(3);
	if (o->way == BY_FAULT)
		asm volatile("movl $1, 8" ::: "memory");
	if (o->way == BY_EXEC)
		do_exec(o->answer[1]);
	return NULL;
}

static pid_t fork_master(struct order *o, enum phase phase)
{
	struct rlimit no_core = {};
	pthread_t t;
	pid_t pid;

	if (pipe(o->order) || pipe(o->answer))
		return -1;
	pid = fork();
	if (pid)
		return pid;
	setrlimit(RLIMIT_CORE, &no_core);
	if (pthread_create(&t, NULL, end_on_order, o))
		_exit(96);
	build(phase);
	_exit(95);
}

static void close_order(struct order *o)
{
	close(o->order[0]);
	close(o->order[1]);
	close(o->answer[0]);
	close(o->answer[1]);
}

static bool ended_as_ordered(enum way way, int status)
{
	switch (way) {
	case BY_EXIT:
		return WIFEXITED(status) && WEXITSTATUS(status) == 3;
	case BY_FAULT:
		return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
	case BY_SIGTERM:
		return WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM;
	default:
		return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	}
}

/* The tree is gone while the program that exec started goes on. */
static void check_after_exec(struct __test_metadata *_metadata, pid_t pid,
			     struct order *o, const pid_t *pids, int n)
{
	char c = '?';

	EXPECT_EQ(1, read(o->answer[0], &c, 1));
	EXPECT_EQ('y', c);
	EXPECT_TRUE(EVENTUALLY(all_gone(pids, n)));
	EXPECT_TRUE(sleeps_in(pid, __NR_pause) ||
		    EVENTUALLY(sleeps_in(pid, __NR_pause)));
	kill(pid, SIGKILL);
}

static void end_tree(struct __test_metadata *_metadata, enum way way,
		     enum phase phase)
{
	struct order o = { .way = way };
	pid_t pid, pids[MAX_TREE];
	int status, n;

	pid = fork_master(&o, phase);
	ASSERT_LT(0, pid);
	ASSERT_TRUE(EVENTUALLY((n = tree_pids(pid, pids)) ==
			       phases[phase].spaces &&
			       sleeps_in(pid, phases[phase].nr)))
		TH_LOG("%s: no tree", phases[phase].name);
	if (way == BY_SIGKILL || way == BY_SIGTERM)
		kill(pid, way == BY_SIGKILL ? SIGKILL : SIGTERM);
	else
		ASSERT_EQ(1, write(o.order[1], "x", 1));
	if (way == BY_EXEC)
		check_after_exec(_metadata, pid, &o, pids, n);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(ended_as_ordered(way, status))
		TH_LOG("%s: status %#x", phases[phase].name, status);
	EXPECT_TRUE(EVENTUALLY(all_gone(pids, n)))
		TH_LOG("%s: left over", phases[phase].name);
	close_order(&o);
}

static bool have_proc_lines(void)
{
	bool have;

	put_flags(CHILD, 0, NULL);
	have = space_pid(getpid(), CHILD);
	kill_child(CHILD);
	return have;
}

FIXTURE(tree)
{
};

FIXTURE_SETUP(tree)
{
	NEED_CALLS();
	if (!have_proc_lines())
		SKIP(return, "no /proc");
}

FIXTURE_TEARDOWN(tree)
{
}

FIXTURE_VARIANT(tree)
{
	enum phase phase;
};

FIXTURE_VARIANT_ADD(tree, caller_waits) { .phase = CALLER_WAITS };
FIXTURE_VARIANT_ADD(tree, child_runs) { .phase = CHILD_RUNS };
FIXTURE_VARIANT_ADD(tree, child_rests) { .phase = CHILD_RESTS };
FIXTURE_VARIANT_ADD(tree, grandchild_runs) { .phase = GRANDCHILD_RUNS };
FIXTURE_VARIANT_ADD(tree, child_waits) { .phase = CHILD_WAITS };

TEST_F(tree, exit)
{
	end_tree(_metadata, BY_EXIT, variant->phase);
}

TEST_F(tree, sigkill)
{
	end_tree(_metadata, BY_SIGKILL, variant->phase);
}

TEST_F(tree, sigterm)
{
	end_tree(_metadata, BY_SIGTERM, variant->phase);
}

TEST_F(tree, fatal_fault)
{
	end_tree(_metadata, BY_FAULT, variant->phase);
}

TEST_F(tree, exec)
{
	end_tree(_metadata, BY_EXEC, variant->phase);
}

/* KILL by the master: gone when it returns, with all below. */
TEST_F(tree, kill)
{
	pid_t pids[MAX_TREE];
	pid_t pid = getpid();
	int n;

	switch (variant->phase) {
	case CHILD_RESTS:
		ASSERT_EQ(0, MAKE(CHILD, code_count));
		ASSERT_EQ(0, run_child(CHILD, NULL));
		break;
	case GRANDCHILD_RUNS:
		ASSERT_EQ(1, spawn(CHILD, DET_START | DET_WAIT, have_children,
				   NULL, NULL));
		break;
	case CHILD_WAITS:
		ASSERT_EQ(1, spawn(CHILD, DET_START, have_child_and_wait,
				   NULL, NULL));
		ASSERT_TRUE(EVENTUALLY(tree_pids(pid, pids) == 2));
		break;
	default:
		ASSERT_EQ(0, MAKE(CHILD, code_spin));
		ASSERT_EQ(0, put_flags(CHILD, DET_START, NULL));
		break;
	}
	n = tree_pids(pid, pids);
	ASSERT_LT(0, n);
	ASSERT_EQ(0, kill_child(CHILD));
	EXPECT_TRUE(all_gone(pids, n));
	EXPECT_EQ(0, tree_pids(pid, pids));
	EXPECT_EQ(-ESRCH, get_stop(CHILD, NULL));
}

/* --- In the middle of operations --- */

#define BIG (8UL << 20)

static long change_all(void *arg)
{
	unsigned long i;

	for (i = 0; i < BIG; i += PAGE)
		((char *)arg)[i]++;
	return 0;
}

/* Copies, snapshots and merges without end. */
static void operate(void)
{
	char *big = mmap(NULL, BIG, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			 0);
	struct det_op ops[] = {
		op_merge(big, BIG, 0),
		op_copy(big, (uintptr_t)big, BIG),
	};

	memset(big, 1, BIG);
	for (;;) {
		if (spawn(CHILD, DET_SNAP | DET_START | DET_WAIT, change_all,
			  big, NULL) != 1 ||
		    get_ops(CHILD, 0, ops, 2, NULL) ||
		    put_ops(CHILD, DET_SNAP, &ops[1], 1, NULL))
			_exit(89);
	}
}

static void *exit_later(void *arg)
{
	usleep((long)arg);
	_exit(3);
}

TEST(killed_in_the_middle_of_operations)
{
	pid_t pid, child;
	int status, i;
	pthread_t t;

	NEED_CALLS();
	for (i = 0; i < 24; i++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			if (i % 2)
				pthread_create(&t, NULL, exit_later,
					       (void *)(i * 3000L));
			operate();
		}
		usleep(i * 3000);
		child = space_pid(pid, CHILD);
		if (i % 2 == 0)
			kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(i % 2 ? 3 << 8 : SIGKILL, status);
		EXPECT_TRUE(!child || EVENTUALLY(!pid_exists(child)));
	}
}

/* --- Threads of a master --- */

static void *make_two(void *arg)
{
	*(long *)arg = MAKE(CHILD, code_count) ?: MAKE(OTHER, code_spin) ?:
		       put_flags(OTHER, DET_START, NULL);
	return NULL;
}

/* Runs in a process of its own; the leader's end is a byte in a pipe. */
static void *outlive_the_leader(void *arg)
{
	struct order *o = arg;
	struct det_status st;
	char c;
	int i;

	if (read(o->order[0], &c, 1) != 1)
		_exit(94);
	for (i = 0; i < 10; i++)
		if (run_child(CHILD, &st) || st.reason != DET_RET ||
		    st.value != i)
			_exit(93);
	if (write(o->answer[1], "k", 1) != 1 || read(o->order[0], &c, 1) != 1)
		_exit(92);
	/* The last thread goes by itself, without exit_group. */
	syscall(__NR_exit, 0);
	return NULL;
}

static void leader_that_leaves(struct order *o)
{
	pthread_t t;
	long ret = -1;

	if (pthread_create(&t, NULL, make_two, &ret) || pthread_join(t, NULL))
		_exit(91);
	if (ret || pthread_create(&t, NULL, outlive_the_leader, o))
		_exit(90);
	syscall(__NR_exit, 0);
}

/*
 * The thread that made the children ends, then the leader: the tree lives.
 * The last thread ends: so does the tree.
 */
TEST(threads_of_the_master)
{
	pid_t pid, pids[MAX_TREE];
	struct order o = {};
	int status, n;
	char c;

	NEED_CALLS();
	if (!have_proc_lines())
		SKIP(return, "no /proc");
	ASSERT_EQ(0, pipe(o.order));
	ASSERT_EQ(0, pipe(o.answer));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		leader_that_leaves(&o);
	ASSERT_EQ(1, write(o.order[1], "1", 1));
	ASSERT_EQ(1, read(o.answer[0], &c, 1));
	n = tree_pids(pid, pids);
	EXPECT_EQ(2, n);
	ASSERT_EQ(1, write(o.order[1], "2", 1));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_TRUE(EVENTUALLY(all_gone(pids, n)));
	close_order(&o);
}

/* --- What does not end a tree --- */

TEST(failed_exec)
{
	char * const argv[] = { "nothing", NULL };
	char * const envp[] = { NULL };
	char garbage[] = "/tmp/det_garbage_XXXXXX";
	struct det_status st;
	int fd;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_count));
	ASSERT_EQ(0, run_child(CHILD, &st));
	EXPECT_EQ(-1, execve("/nonexistent", argv, envp));
	EXPECT_EQ(-1, execve("/", argv, envp));
	fd = mkstemp(garbage);
	if (fd >= 0) {
		EXPECT_EQ(7, write(fd, "garbage", 7));
		fchmod(fd, 0700);
		close(fd);
		EXPECT_EQ(-1, execve(garbage, argv, envp));
		EXPECT_EQ(ENOEXEC, errno);
		unlink(garbage);
	}
	ASSERT_EQ(0, run_child(CHILD, &st));
	EXPECT_RET(1, &st);
}

TEST(forks_have_no_spaces)
{
	struct det_status st;
	pid_t pid;
	int status;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_count));
	ASSERT_EQ(0, run_child(CHILD, &st));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (get_stop(CHILD, &st) != -ESRCH || kill_child(CHILD) !=
		    -ESRCH)
			_exit(1);
		/* It may have some of its own. */
		if (MAKE(CHILD, code_count) || run_child(CHILD, &st) ||
		    st.reason != DET_RET || st.value)
			_exit(2);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	ASSERT_EQ(0, run_child(CHILD, &st));
	EXPECT_RET(1, &st);
}

/* vfork: the same memory, but another process. */
static long vfork_answer;

TEST(vforks_have_no_spaces)
{
	struct det_status st;
	pid_t pid;
	int status;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_count));
	ASSERT_EQ(0, run_child(CHILD, &st));
	vfork_answer = 0;
	pid = vfork();
	ASSERT_LE(0, pid);
	if (!pid) {
		vfork_answer = get_flags(CHILD, 0, NULL);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(-ESRCH, vfork_answer);
	ASSERT_EQ(0, run_child(CHILD, &st));
	EXPECT_RET(1, &st);
}

/* --- Nobody waits for a space by other means --- */

static int sigchlds;

static void on_sigchld(int sig)
{
	sigchlds++;
}

static void look_for_children(struct __test_metadata *_metadata, pid_t pid)
{
	static const int flags[] = { 0, __WALL, __WCLONE, __WNOTHREAD,
				     __WALL | __WNOTHREAD };
	siginfo_t info;
	int i, status;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		int f = flags[i] | WNOHANG;

		EXPECT_EQ(-1, waitpid(-1, &status, f | WUNTRACED | WCONTINUED));
		EXPECT_EQ(ECHILD, errno) TH_LOG("flags %#x", f);
		EXPECT_EQ(-1, waitpid(pid, &status, f));
		EXPECT_EQ(ECHILD, errno) TH_LOG("flags %#x", f);
		EXPECT_EQ(-1, waitpid(0, &status, f));
		EXPECT_EQ(ECHILD, errno) TH_LOG("flags %#x", f);
		f |= WEXITED | WSTOPPED | WCONTINUED;
		EXPECT_EQ(-1, waitid(P_ALL, 0, &info, f));
		EXPECT_EQ(ECHILD, errno) TH_LOG("flags %#x", f);
		EXPECT_EQ(-1, waitid(P_PID, pid, &info, f | WNOWAIT));
		EXPECT_EQ(ECHILD, errno) TH_LOG("flags %#x", f);
	}
}

TEST(wait_never_sees_a_space)
{
	struct det_status st;
	pid_t pid;

	NEED_CALLS();
	signal(SIGCHLD, on_sigchld);
	ASSERT_EQ(0, MAKE(CHILD, code_count));
	pid = space_pid(getpid(), CHILD);
	if (!pid)
		SKIP(return, "no /proc");
	look_for_children(_metadata, pid);	/* NEW */
	ASSERT_EQ(0, run_child(CHILD, &st));
	look_for_children(_metadata, pid);	/* RET */
	kill(pid, SIGSTOP);
	look_for_children(_metadata, pid);
	kill(pid, SIGCONT);
	look_for_children(_metadata, pid);
	kill(pid, SIGKILL);
	EXPECT_TRUE(EVENTUALLY(is_killed(CHILD)));
	look_for_children(_metadata, pid);
	ASSERT_EQ(0, kill_child(CHILD));
	look_for_children(_metadata, pid);
	ASSERT_EQ(0, MAKE(CHILD, code_spin));
	ASSERT_EQ(0, put_flags(CHILD, DET_START, NULL));
	look_for_children(_metadata, space_pid(getpid(), CHILD));
	ASSERT_EQ(0, kill_child(CHILD));
	EXPECT_EQ(0, sigchlds);
}

/* Nor do the master's parent and a subreaper get them when it is gone. */
TEST(nobody_inherits_a_space)
{
	pid_t pid;
	int status;

	NEED_CALLS();
	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(MAKE(CHILD, code_spin) ||
		      put_flags(CHILD, DET_START, NULL) ||
		      MAKE(OTHER, code_count));
	ASSERT_EQ(pid, waitpid(-1, &status, __WALL));
	EXPECT_EQ(0, status);
	EXPECT_EQ(-1, waitpid(-1, &status, __WALL));
	EXPECT_EQ(ECHILD, errno);
}

/* --- KILLED --- */

/* All that a KILLED child answers, and its number's next use. */
static void check_killed(struct __test_metadata *_metadata, __u64 child)
{
	struct det_op op = op_zero(BLOB_DATA, PAGE, PROT_RW);
	struct user_regs_struct regs;
	struct det_status st;
	char c;

	ASSERT_TRUE(EVENTUALLY(is_killed(child)));
	EXPECT_EQ(0, get_flags(child, DET_NOWAIT, &st));
	EXPECT_EQ(DET_KILLED, st.reason);
	memset(&st, 0, sizeof(st));
	EXPECT_EQ(-EOWNERDEAD, put_flags(child, DET_START, &st));
	EXPECT_EQ(DET_KILLED, st.reason);
	EXPECT_EQ(-EOWNERDEAD, get_flags(child, DET_START | DET_WAIT, &st));
	EXPECT_EQ(-EOWNERDEAD, get_regs(child, &regs));
	EXPECT_EQ(-EOWNERDEAD, peek(child, BLOB_CODE, &c, 1));
	EXPECT_EQ(-EOWNERDEAD, put_op(child, 0, op, &st));
	EXPECT_EQ(-EOWNERDEAD, put_op(child, 0, op_whole(), NULL));
	EXPECT_EQ(-EOWNERDEAD, put_flags(child, DET_SNAP, NULL));
	/* It stays so until KILL. */
	ASSERT_EQ(0, get_stop(child, &st));
	EXPECT_EQ(DET_KILLED, st.reason);
	EXPECT_EQ(0, kill_child(child));
	EXPECT_EQ(-ESRCH, get_stop(child, &st));
	EXPECT_EQ(0, MAKE(child, code_count));
	EXPECT_EQ(0, run_child(child, &st));
	EXPECT_RET(0, &st);
	EXPECT_EQ(0, kill_child(child));
}

TEST_F(tree, sigkill_to_a_space)
{
	struct det_status st;
	pid_t pid;

	ASSERT_EQ(0, MAKE(OTHER, code_count));
	switch (variant->phase) {
	case CALLER_WAITS:
	case CHILD_RUNS:
		ASSERT_EQ(0, MAKE(CHILD, code_spin));
		ASSERT_EQ(0, put_flags(CHILD, DET_START, NULL));
		break;
	case CHILD_RESTS:
		ASSERT_EQ(0, MAKE(CHILD, code_count));
		ASSERT_EQ(0, run_child(CHILD, &st));
		break;
	case GRANDCHILD_RUNS:
		ASSERT_EQ(1, spawn(CHILD, DET_START | DET_WAIT, have_children,
				   NULL, &st));
		ASSERT_RET(0, &st);
		break;
	default:
		ASSERT_EQ(1, spawn(CHILD, DET_START, have_child_and_wait,
				   NULL, NULL));
		break;
	}
	pid = space_pid(getpid(), CHILD);
	ASSERT_LT(0, pid);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	check_killed(_metadata, CHILD);
	/* Its sibling has seen nothing. */
	ASSERT_EQ(0, run_child(OTHER, &st));
	EXPECT_RET(0, &st);
}

/* The one that waits for it is told, with no error. */
TEST(sigkill_while_the_master_waits)
{
	struct det_status st;
	pid_t me = getpid(), killer;
	int status;

	NEED_CALLS();
	if (!have_proc_lines())
		SKIP(return, "no /proc");
	ASSERT_EQ(0, MAKE(CHILD, code_spin));
	killer = fork();
	ASSERT_LE(0, killer);
	if (!killer) {
		if (!EVENTUALLY(sleeps_in(me, __NR_dput)))
			_exit(1);
		_exit(!!kill(space_pid(me, CHILD), SIGKILL));
	}
	EXPECT_EQ(0, run_child(CHILD, &st));
	EXPECT_EQ(DET_KILLED, st.reason);
	EXPECT_EQ(killer, waitpid(killer, &status, 0));
	EXPECT_EQ(0, status);
	check_killed(_metadata, CHILD);
}

/* With a space go its descendants, at rest or not. */
TEST(killed_with_descendants)
{
	pid_t pids[MAX_TREE], pid;
	struct det_status st;
	int n;

	NEED_CALLS();
	ASSERT_EQ(1, spawn(CHILD, DET_START | DET_WAIT, have_children, NULL,
			   &st));
	pid = space_pid(getpid(), CHILD);
	if (!pid)
		SKIP(return, "no /proc");
	n = tree_pids(pid, pids);
	ASSERT_EQ(2, n);
	kill(pid, SIGKILL);
	EXPECT_TRUE(EVENTUALLY(all_gone(pids, n)));
	EXPECT_TRUE(EVENTUALLY(is_killed(CHILD)));
	EXPECT_EQ(0, kill_child(CHILD));
}

/* --- KILLED below: no space may see it --- */

static long wait_down(void *arg)
{
	long levels = (long)arg;
	struct det_status st;

	if (levels)
		return spawn(CHILD, DET_START | DET_WAIT, wait_down,
			     (void *)(levels - 1), &st) == 1 ? st.reason : -1;
	return MAKE(CHILD, code_spin) ?: run_child(CHILD, &st);
}

/* The deepest of @levels + 2 generations is killed; the uppermost tells. */
static void kill_the_deepest(struct __test_metadata *_metadata, long levels)
{
	pid_t pid = getpid(), next;
	long i;

	ASSERT_EQ(1, spawn(CHILD, DET_START, wait_down, (void *)levels, NULL));
	for (i = 0; i < levels + 2; i++) {
		ASSERT_TRUE(EVENTUALLY((next = space_pid(pid, CHILD))));
		pid = next;
	}
	kill(pid, SIGKILL);
	check_killed(_metadata, CHILD);
}

TEST(killed_goes_up_to_the_masters_child)
{
	NEED_CALLS();
	if (!have_proc_lines())
		SKIP(return, "no /proc");
	kill_the_deepest(_metadata, 0);
	kill_the_deepest(_metadata, 1);
	kill_the_deepest(_metadata, 3);
}

/* Whatever a space does with a KILLED child, other than KILL, would show it. */
static long rest_then_look(void *arg)
{
	struct user_regs_struct regs;
	struct det_status st;
	char c;

	if (MAKE(CHILD, code_spin) || put_flags(CHILD, DET_START, NULL))
		return -1;
	dret(1);
	switch ((long)arg) {
	case 0:
		get_stop(CHILD, &st);
		break;
	case 1:
		put_flags(CHILD, DET_START, NULL);
		break;
	case 2:
		get_regs(CHILD, &regs);
		break;
	case 3:
		peek(CHILD, BLOB_CODE, &c, 1);
		break;
	case 4:
		put_op(CHILD, 0, op_whole(), NULL);
		break;
	default:
		put_flags(CHILD, 0, NULL);
		break;
	}
	return 2;
}

TEST(killed_child_is_never_shown_to_a_space)
{
	struct det_status st;
	pid_t pid;
	long how;

	NEED_CALLS();
	if (!have_proc_lines())
		SKIP(return, "no /proc");
	for (how = 0; how < 6; how++) {
		ASSERT_EQ(1, spawn(CHILD, DET_START | DET_WAIT, rest_then_look,
				   (void *)how, &st));
		ASSERT_RET(1, &st);
		pid = space_pid(space_pid(getpid(), CHILD), CHILD);
		ASSERT_LT(0, pid);
		kill(pid, SIGKILL);
		EXPECT_TRUE(EVENTUALLY(!pid_exists(pid)));
		ASSERT_EQ(0, run_child(CHILD, &st));
		EXPECT_EQ(DET_KILLED, st.reason) {
			TH_LOG("way of looking %ld", how);
			print_status(&st);
		}
		ASSERT_EQ(0, kill_child(CHILD));
	}
}

/* It may end without looking, or KILL what it has: both show nothing. */
static long rest_then_kill(void *arg)
{
	if (MAKE(CHILD, code_spin) || put_flags(CHILD, DET_START, NULL))
		return -1;
	dret(1);
	if (arg && kill_child(CHILD))
		return -2;
	return 2;
}

TEST(killed_child_that_nobody_looks_at)
{
	struct det_status st;
	long how;

	NEED_CALLS();
	if (!have_proc_lines())
		SKIP(return, "no /proc");
	for (how = 0; how < 2; how++) {
		ASSERT_EQ(1, spawn(CHILD, DET_START | DET_WAIT, rest_then_kill,
				   (void *)how, &st));
		ASSERT_RET(1, &st);
		kill(space_pid(space_pid(getpid(), CHILD), CHILD), SIGKILL);
		ASSERT_EQ(0, run_child(CHILD, &st));
		EXPECT_RET(2, &st);
		ASSERT_EQ(0, kill_child(CHILD));
	}
}

/* --- The machine's limits --- */

/* More memory than the machine can promise. */
#define TOO_MUCH (64ULL << 40)

static bool overcommit_refuses(void)
{
	void *p = mmap(NULL, TOO_MUCH, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);

	if (p == MAP_FAILED)
		return true;
	munmap(p, TOO_MUCH);
	return false;
}

static long map_too_much(void *arg)
{
	struct det_op op = op_zero(1ULL << 40, TOO_MUCH, PROT_RW);

	return put_op(arg ? DET_SELF : CHILD, 0, op, NULL);
}

/* A master is told ENOMEM; a space that would be told is KILLED. */
TEST(out_of_memory)
{
	struct det_op op = op_zero(1ULL << 40, TOO_MUCH, PROT_RW);
	struct det_status st;

	NEED_CALLS();
	if (!overcommit_refuses())
		SKIP(return, "this machine promises everything");
	ASSERT_EQ(0, MAKE(CHILD, code_count));
	EXPECT_EQ(-ENOMEM, put_op(CHILD, 0, op, &st));
	EXPECT_EQ(0, st.op);
	EXPECT_EQ(0, st.nr_done);
	ASSERT_EQ(1, spawn(OTHER, DET_START | DET_WAIT, map_too_much, NULL,
			   &st));
	EXPECT_EQ(DET_KILLED, st.reason) print_status(&st);
	EXPECT_EQ(0, kill_child(OTHER));
	ASSERT_EQ(1, spawn(OTHER, DET_START | DET_WAIT, map_too_much,
			   (void *)1L, &st));
	EXPECT_EQ(DET_KILLED, st.reason) print_status(&st);
}

/* A limit that the kernel enforces with SIGKILL. */
static void master_with_a_cpu_limit(void)
{
	struct rlimit one_second = { 1, 1 };
	struct det_status st = {};

	if (setrlimit(RLIMIT_CPU, &one_second) || MAKE(CHILD, code_spin) ||
	    run_child(CHILD, &st))
		_exit(1);
	_exit(st.reason == DET_KILLED ? 0 : 2);
}

TEST(cpu_limit)
{
	int status;
	pid_t pid;

	NEED_CALLS();
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		master_with_a_cpu_limit();
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

/* Many trees that come and go leave nothing behind. */
TEST(many_trees)
{
	pid_t pid;
	int i, status;

	NEED_CALLS();
	for (i = 0; i < 30; i++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			build(i % NR_PHASES);
		usleep(i * 100);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
	}
}

TEST_HARNESS_MAIN
