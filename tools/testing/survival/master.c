// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kinds of master; see master.h.
 *
 * What a process does between its rounds must neither end its spaces (fork,
 * vfork, an exec that fails, a thread that exits, another user id) nor give
 * them to others: the forked have none, and a program that was executed has
 * none and leaves none of those that it had before.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/deterministic.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "master.h"

/* For headers that are older. */
#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

#define AFTER_EXEC "SURVIVAL_AFTER_EXEC"
#define TEST_CHILD 1

static int lacks(const char *what)
{
	fprintf(stderr, "master: %s: %m\n", what);
	return -1;
}

static void die(const char *what)
{
	fprintf(stderr, "master: %s: %m\n", what);
	_exit(1);
}

static int plain_become(int (*work)(void *), void *arg)
{
	return work(arg);
}

/* --- Spaces of a process that is about to end them --- */

static long det_call(long nr, __u64 child, __u64 flags, struct det_op *ops,
		     unsigned int nr_ops, struct det_status *st)
{
	struct det_args a = {
		.flags = flags,
		.ops = (unsigned long)ops, .nr_ops = nr_ops,
		.op_size = sizeof(*ops),
		.status = (unsigned long)st, .status_size = sizeof(*st),
	};

	return syscall(nr, child, &a, sizeof(a));
}

/* One that changes its memory without end; the other has done so. */
static void have_spaces(void)
{
	struct det_op whole = { .op = DET_COPY, .flags = DET_COPY_WHOLE };
	const __u64 run = DET_FORK | DET_SNAP | DET_START;
	static unsigned long count;
	struct det_status st;

	if (!det_call(__NR_dput, 1, run, &whole, 1, &st))
		for (;;)
			asm volatile("incq %0" : "+m"(count));
	if (!det_call(__NR_dput, 2, run | DET_WAIT, &whole, 1, &st))
		for (;;)
			syscall(__NR_dret, 7);
	if (st.reason != DET_RET || st.value != 7)
		_exit(91);
}

/* Spaces of this process, as far as /proc shows them, by the numbers of its own. */
static int own_spaces(void)
{
	DIR *proc = opendir("/proc");
	char self[16] = "";
	struct dirent *e;
	int pid, n = 0;

	if (readlink("/proc/self", self, sizeof(self) - 1) < 0)
		die("/proc/self");
	pid = atoi(self);
	while (proc && (e = readdir(proc))) {
		char path[300], line[128];
		int parent = 0;
		FILE *f;

		if (atoi(e->d_name) <= 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%s/status", e->d_name);
		f = fopen(path, "re");
		while (f && fgets(line, sizeof(line), f))
			if (sscanf(line, "DetParent: %d", &parent) == 1)
				break;
		n += parent == pid;
		if (f)
			fclose(f);
	}
	if (proc)
		closedir(proc);
	return n;
}

/* What exec_between() executes: this program again, which looks and ends. */
static void __attribute__((__constructor__)) after_exec(void)
{
	struct det_status st;

	if (!getenv(AFTER_EXEC))
		return;
	if (det_call(__NR_dget, 1, 0, NULL, 0, &st) != -1 || errno != ESRCH)
		_exit(92);
	if (det_call(__NR_dget, 2, 0, NULL, 0, &st) != -1 || errno != ESRCH)
		_exit(93);
	if (own_spaces())
		_exit(94);
	have_spaces();
	_exit(42);
}

static void wait_for(pid_t pid, int want, const char *what)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die(what);
	if (WIFEXITED(status) && WEXITSTATUS(status) == want)
		return;
	fprintf(stderr, "master: %s ended with %#x\n", what, status);
	_exit(1);
}

static void exec_between(void)
{
	char * const argv[] = { "executed", NULL };
	char * const envp[] = { AFTER_EXEC "=1", NULL };
	pid_t pid = fork();

	if (!pid) {
		have_spaces();
		execve("/proc/self/exe", argv, envp);
		_exit(90);
	}
	wait_for(pid, 42, "the program that was executed");
}

/* --- fork and vfork --- */

#define FORKED 3

/*
 * Processes that share the master's pages copy-on-write while it goes on: each
 * lives for a few rounds and has no space.
 */
static void fork_between(void)
{
	static pid_t pids[FORKED];
	struct det_status st;
	static int next;
	int status;

	if (pids[next]) {
		kill(pids[next], SIGKILL);
		if (waitpid(pids[next], &status, 0) != pids[next])
			die("waitpid");
		if (!WIFSIGNALED(status)) {
			fprintf(stderr, "master: a fork has spaces\n");
			_exit(1);
		}
	}
	pids[next] = fork();
	if (!pids[next]) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (own_spaces())
			_exit(1);
		if (det_call(__NR_dget, TEST_CHILD, 0, NULL, 0, &st) != -1 ||
		    errno != ESRCH)
			_exit(2);
		for (;;)
			pause();
	}
	if (pids[next] < 0)
		die("fork");
	next = (next + 1) % FORKED;
}

/* The same memory, but another process: with or without an exec. */
static void vfork_between(void)
{
	static char * const argv[] = { "executed", NULL };
	static char * const envp[] = { AFTER_EXEC "=1", NULL };
	static unsigned int turn;
	pid_t pid;

	turn++;
	pid = vfork();
	if (!pid) {
		if (turn % 4 == 0)
			execve("/proc/self/exe", argv, envp);
		_exit(42);
	}
	wait_for(pid, 42, "what was made by vfork");
}

/* --- An exec that fails --- */

static char *not_a_program;

static int failed_exec_become(int (*work)(void *), void *arg)
{
	static const char text[] = "\177ELF but nothing else\n";
	char name[] = "/tmp/survival-execXXXXXX";
	int fd = mkstemp(name), ret;

	not_a_program = name;
	if (fd < 0 || write(fd, text, sizeof(text)) != sizeof(text) ||
	    fchmod(fd, 0700))
		return lacks(name);
	close(fd);	/* else it is busy */
	ret = work(arg);
	unlink(name);
	return ret;
}

static void fail_exec(const char *path, char * const argv[], int err)
{
	if (execve(path, argv, environ) == -1 && errno == err)
		return;
	die(path);
}

static void failed_exec_between(void)
{
	static char * const argv[] = { "x", NULL };
	static char *long_argv[3];
	static const size_t size = 140000;	/* MAX_ARG_STRLEN is 131072 */

	if (!long_argv[0]) {
		long_argv[0] = "x";
		long_argv[1] = calloc(1, size + 1);
		if (!long_argv[1])
			die("memory");
		memset(long_argv[1], 'x', size);
	}
	fail_exec("/nowhere/to/be/found", argv, ENOENT);
	fail_exec(not_a_program, argv, ENOEXEC);
	fail_exec("/proc", argv, EACCES);
	fail_exec("/proc/self/exe", long_argv, E2BIG);
}

/* --- Threads --- */

/*
 * The work runs on a stack of its own, and between rounds another thread takes
 * it over: the one that made the spaces exits.
 */
static struct {
	ucontext_t work, thread;
	int (*fn)(void *arg);
	void *arg;
	int ret;
	bool done;
	sem_t end;
	pthread_attr_t attr;
} moved;

#define WORK_STACK (256 * 4096UL)

static void moved_work(void)
{
	moved.ret = moved.fn(moved.arg);
	moved.done = true;
	swapcontext(&moved.work, &moved.thread);
}

static void *carry(void *arg)
{
	pthread_t next;

	swapcontext(&moved.thread, &moved.work);
	/* thread_between(), or the end. */
	if (moved.done)
		sem_post(&moved.end);
	else if (pthread_create(&next, &moved.attr, carry, NULL))
		die("pthread_create");
	return NULL;
}

static void thread_between(void)
{
	swapcontext(&moved.work, &moved.thread);
}

static int thread_become(int (*work)(void *), void *arg)
{
	pthread_t first;

	moved.fn = work;
	moved.arg = arg;
	sem_init(&moved.end, 0, 0);
	getcontext(&moved.work);
	moved.work.uc_stack.ss_size = WORK_STACK;
	moved.work.uc_stack.ss_sp = mmap(NULL, WORK_STACK,
					 PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (moved.work.uc_stack.ss_sp == MAP_FAILED)
		return lacks("a stack");
	makecontext(&moved.work, moved_work, 0);
	pthread_attr_init(&moved.attr);
	pthread_attr_setdetachstate(&moved.attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&first, &moved.attr, carry, NULL))
		return lacks("a thread");
	while (sem_wait(&moved.end))
		;
	return moved.ret;
}

/* --- Another user --- */

#define USER 1000

static int uid_become(int (*work)(void *), void *arg)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	/* What a kind of memory may need. */
	setrlimit(RLIMIT_MEMLOCK, &all);
	setrlimit(RLIMIT_STACK, &all);
	if (setresgid(USER, USER, USER) ||
	    setresuid(USER, USER, USER + 1))
		return lacks("setresuid");
	/* Its own /proc files are its own again. */
	prctl(PR_SET_DUMPABLE, 1);
	return work(arg);
}

static void uid_between(void)
{
	static int turn;

	if (seteuid(++turn & 1 ? USER + 1 : USER))
		die("seteuid");
	if (turn % 8 < 4)
		prctl(PR_SET_DUMPABLE, 1);
}

/* --- Namespaces --- */

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) > 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

static int userns_become(int (*work)(void *), void *arg)
{
	char uids[32], gids[32];

	snprintf(uids, sizeof(uids), "0 %d 1", geteuid());
	snprintf(gids, sizeof(gids), "0 %d 1", getegid());
	if (unshare(CLONE_NEWUSER))
		return lacks("a user namespace");
	if (!write_text("/proc/self/setgroups", "deny") ||
	    !write_text("/proc/self/uid_map", uids) ||
	    !write_text("/proc/self/gid_map", gids))
		return lacks("the maps of a user namespace");
	return work(arg);
}

/* As pid 1 of the namespace; the caller only waits. */
static int pidns_become(int (*work)(void *), void *arg)
{
	int *ret = mmap(NULL, sizeof(*ret), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	if (ret == MAP_FAILED || unshare(CLONE_NEWPID))
		return lacks("a pid namespace");
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		*ret = work(arg);
		exit(0);
	}
	wait_for(pid, 0, "a master in a pid namespace");
	return *ret;
}

/* It stays where it is; what it forks will not. */
static int unshared_become(int (*work)(void *), void *arg)
{
	if (unshare(CLONE_NEWPID))
		return lacks("a pid namespace");
	return work(arg);
}

/* The first is pid 1 there, and no space has been; with it the rest ends. */
static void unshared_between(void)
{
	static int turn;
	pid_t pid;

	if (++turn != 3)
		return;
	pid = fork();
	if (!pid)
		_exit(getpid() == 1 ? 42 : 1);
	wait_for(pid, 42, "the first of a pid namespace");
}

/* --- Restrictions --- */

static int seccomp_become(int (*work)(void *), void *arg)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_personality, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_ptrace, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_acct, 2, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = { sizeof(filter) / sizeof(*filter), filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		return lacks("seccomp");
	return work(arg);
}

/* The filter is in force. */
static void seccomp_between(void)
{
	if (syscall(__NR_personality, 0) != -1 || errno != EPERM)
		die("a call that seccomp forbids");
}

static int mdwe_become(int (*work)(void *), void *arg)
{
	if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0))
		return lacks("MDWE");
	return work(arg);
}

static void mdwe_between(void)
{
	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED ||
	    errno != EACCES)
		die("memory that MDWE forbids");
}

static const struct master masters[] = {
	{ "plain", "as it comes", plain_become, NULL },
	{ "thread", "the thread that made spaces exits, another goes on",
	  thread_become, thread_between },
	{ "fork", "forks; they live on for a while", plain_become,
	  fork_between },
	{ "vfork", "makes processes with vfork", plain_become, vfork_between },
	{ "exec", "forks masters that execute this program", plain_become,
	  exec_between },
	{ "failed-exec", "cannot execute what it tries to",
	  failed_exec_become, failed_exec_between },
	{ "uid", "another user, with two user ids in turn", uid_become,
	  uid_between },
	{ "userns", "in a user namespace of its own", userns_become, NULL },
	{ "pidns", "pid 1 of a pid namespace, in another process",
	  pidns_become, fork_between },
	{ "unshared", "has a pid namespace for its forks; it can have no threads",
	  unshared_become, unshared_between },
	{ "seccomp", "under a filter", seccomp_become, seccomp_between },
	{ "mdwe", "no memory is writable and executable: no ZERO with both",
	  mdwe_become, mdwe_between },
	{}
};

const struct master *find_master(const char *name)
{
	const struct master *m;

	for (m = masters; m->name; m++)
		if (!strcmp(m->name, name))
			return m;
	fprintf(stderr, "master: no kind '%s'; there are:\n", name);
	for (m = masters; m->name; m++)
		fprintf(stderr, "  %-12s %s\n", m->name, m->what);
	return NULL;
}
