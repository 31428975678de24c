// SPDX-License-Identifier: GPL-2.0-only
/*
 * A parent and a child that meet: WAIT, NOWAIT, NOTIFY, rounds of START and
 * WAIT, waits that signals interrupt, threads side by side, KILL that wakes
 * them, and signals sent to a space.
 *
 * A thread counts as waiting once /proc shows it asleep in the call; that is
 * looked for, never slept for.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/time.h>

#include "common.h"

#define CHILD 1
#define OTHER 2

BLOB(code_spin, "1: jmp 1b\n");

/* Returns 0, 1, 2 ... */
BLOB(code_count, "1: mov %rbx, %rdi\ninc %rbx\n" ASM_DRET "jmp 1b\n");

/* Runs for some time, then returns 5, or faults at address 8. */
#define ASM_LONG "mov $20000000, %ecx\n1: dec %ecx\njnz 1b\n"
BLOB(code_long, "2: " ASM_LONG "mov $5, %edi\n" ASM_DRET "jmp 2b\n");
BLOB(code_long_fault, ASM_LONG "movl $1, 8\n");

/* A thread that makes one call. */
struct waiter {
	pthread_t thread;
	pid_t tid;
	long nr;		/* __NR_dput or __NR_dget */
	__u64 child, flags;
	struct det_op op;	/* if it has a length */
	long ret;
	bool done;
	struct det_status st;
};

static void *waiter_main(void *arg)
{
	struct waiter *w = arg;
	struct det_args a = args_of(w->flags, &w->op, !!w->op.len, &w->st);
	long ret;

	__atomic_store_n(&w->tid, gettid_(), __ATOMIC_RELEASE);
	ret = w->nr == __NR_dput ? dput(w->child, &a) : dget(w->child, &a);
	w->ret = ret;
	__atomic_store_n(&w->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static bool waiter_start(struct waiter *w)
{
	return !pthread_create(&w->thread, NULL, waiter_main, w);
}

static bool waiter_sleeps(struct waiter *w)
{
	pid_t tid = __atomic_load_n(&w->tid, __ATOMIC_ACQUIRE);

	return tid && sleeps_in(tid, w->nr);
}

static bool waiter_done(struct waiter *w)
{
	return __atomic_load_n(&w->done, __ATOMIC_ACQUIRE);
}

/* --- START, WAIT, NOWAIT --- */

TEST(wait_for_a_stop)
{
	struct det_status st;
	int i;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_long));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, put_flags(CHILD, DET_START, &st));
		EXPECT_EQ(DET_RUNNING, st.reason);
		ASSERT_EQ(0, get_stop(CHILD, &st));
		EXPECT_RET(5, &st);
	}
	/* Stopped, it can be waited for again and again. */
	ASSERT_EQ(0, get_stop(CHILD, &st));
	EXPECT_RET(5, &st);
	/* WAIT without START: there is nothing to wait for. */
	ASSERT_EQ(0, get_flags(CHILD, DET_WAIT, &st));
	EXPECT_RET(5, &st);
	ASSERT_EQ(0, put_flags(CHILD, DET_WAIT, &st));
	EXPECT_RET(5, &st);
}

TEST(rounds)
{
	struct det_status st;
	int i;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_count));
	for (i = 0; i < 1000; i += 2) {
		ASSERT_EQ(0, put_flags(CHILD, DET_START | DET_WAIT, &st));
		ASSERT_RET(i, &st);
		ASSERT_EQ(0, get_flags(CHILD, DET_START | DET_WAIT, &st));
		ASSERT_RET(i + 1, &st);
	}
}

/* Each call waits by itself until the child of the call before has stopped. */
TEST(rounds_without_wait)
{
	struct det_status st;
	int i;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_count));
	for (i = 0; i < 300; i++)
		ASSERT_EQ(0, put_flags(CHILD, DET_START, NULL));
	ASSERT_EQ(0, get_stop(CHILD, &st));
	EXPECT_RET(299, &st);
}

TEST(nowait)
{
	struct det_op op = op_zero(BLOB_DATA, PAGE, 0);
	struct det_status st;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_spin));
	EXPECT_EQ(0, get_flags(CHILD, DET_NOWAIT, &st));
	EXPECT_EQ(DET_NEW, st.reason);
	ASSERT_EQ(0, put_flags(CHILD, DET_START | DET_NOWAIT, &st));
	EXPECT_EQ(-EAGAIN, get_flags(CHILD, DET_NOWAIT, &st));
	EXPECT_EQ(DET_RUNNING, st.reason);
	EXPECT_EQ(-EAGAIN, put_ops(CHILD, DET_NOWAIT, &op, 1, &st));
	EXPECT_EQ(DET_RUNNING, st.reason);
	EXPECT_EQ(0, st.nr_done);
	EXPECT_EQ(-EAGAIN, put_flags(CHILD, DET_NOWAIT | DET_START, &st));
	EXPECT_EQ(0, kill_child(CHILD));
	EXPECT_EQ(-ESRCH, get_flags(CHILD, DET_NOWAIT, &st));
}

/* NOWAIT sees the stop some day. */
TEST(nowait_until_it_stops)
{
	struct det_status st;
	long ret;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_long));
	ASSERT_EQ(0, put_flags(CHILD, DET_START, NULL));
	EXPECT_TRUE(EVENTUALLY((ret = get_flags(CHILD, DET_NOWAIT, &st)) !=
			       -EAGAIN));
	EXPECT_EQ(0, ret);
	EXPECT_RET(5, &st);
}

TEST(kill_a_running_child)
{
	struct det_status st;
	int i;

	NEED_CALLS();
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, MAKE(CHILD, code_spin));
		ASSERT_EQ(0, put_flags(CHILD, DET_START, NULL));
		ASSERT_EQ(0, kill_child(CHILD));
		ASSERT_EQ(-ESRCH, get_stop(CHILD, &st));
	}
	ASSERT_EQ(0, MAKE(CHILD, code_count));
	ASSERT_EQ(0, run_child(CHILD, &st));
	EXPECT_RET(0, &st);
}

/* --- NOTIFY --- */

static long set_notify(__u64 child, int fd)
{
	struct det_args a = args_of(DET_NOTIFY, NULL, 0, NULL);

	a.notify_fd = fd;
	return dput(child, &a);
}

TEST(notify_counts_stops)
{
	struct det_status st;
	__u64 count;
	int efd, i;

	NEED_CALLS();
	efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_LE(0, efd);
	ASSERT_EQ(0, MAKE(CHILD, code_count));
	ASSERT_EQ(0, set_notify(CHILD, efd));
	EXPECT_EQ(-1, read(efd, &count, sizeof(count)));
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, run_child(CHILD, &st));
	ASSERT_EQ(8, read(efd, &count, sizeof(count)));
	EXPECT_EQ(3, count);
	/* Switched off. */
	ASSERT_EQ(0, set_notify(CHILD, -1));
	ASSERT_EQ(0, run_child(CHILD, &st));
	EXPECT_EQ(-1, read(efd, &count, sizeof(count)));
	/* On again; closing the descriptor harms nobody. */
	ASSERT_EQ(0, set_notify(CHILD, efd));
	close(efd);
	ASSERT_EQ(0, run_child(CHILD, &st));
	EXPECT_RET(4, &st);
}

/* The end of a child that somebody kills is a stop too. */
TEST(notify_of_a_killed_child)
{
	struct pollfd p = { .events = POLLIN };
	struct det_status st;
	pid_t pid;

	NEED_CALLS();
	p.fd = eventfd(0, EFD_CLOEXEC);
	ASSERT_LE(0, p.fd);
	ASSERT_EQ(0, MAKE(CHILD, code_spin));
	pid = space_pid(getpid(), CHILD);
	if (!pid)
		SKIP(return, "no /proc");
	ASSERT_EQ(0, set_notify(CHILD, p.fd));
	ASSERT_EQ(0, put_flags(CHILD, DET_START, NULL));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(1, poll(&p, 1, 120 * 1000));
	EXPECT_EQ(0, get_flags(CHILD, DET_NOWAIT, &st));
	EXPECT_EQ(DET_KILLED, st.reason) print_status(&st);
}

/* poll() on one eventfd serves many children. */
TEST(notify_and_poll)
{
	struct pollfd p = { .events = POLLIN };
	__u64 count, sum = 0;
	struct det_status st;
	int i;

	NEED_CALLS();
	p.fd = eventfd(0, EFD_CLOEXEC);
	ASSERT_LE(0, p.fd);
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, MAKE(i, code_long));
		ASSERT_EQ(0, set_notify(i, p.fd));
		ASSERT_EQ(0, put_flags(i, DET_START, NULL));
	}
	while (sum < 4) {
		ASSERT_EQ(1, poll(&p, 1, 120 * 1000));
		ASSERT_EQ(8, read(p.fd, &count, sizeof(count)));
		sum += count;
	}
	EXPECT_EQ(4, sum);
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(0, get_flags(i, DET_NOWAIT, &st));
		EXPECT_RET(5, &st);
	}
}

static long try_as_a_space(void *arg)
{
	struct det_args a = args_of(*(__u64 *)arg, NULL, 0, NULL);
	long ret;

	ret = make_blob(0, code_count, BLOB_SIZE(code_count));
	return ret ?: dget(0, &a);
}

/* Neither is for spaces: both depend on time. */
TEST(nowait_and_notify_are_for_masters)
{
	struct det_status st;
	__u64 flags;

	NEED_CALLS();
	flags = DET_NOWAIT;
	ASSERT_EQ(1, spawn(CHILD, DET_START | DET_WAIT, try_as_a_space, &flags,
			   &st));
	EXPECT_RET(-EPERM, &st);
	flags = DET_NOTIFY;
	ASSERT_EQ(1, spawn(OTHER, DET_START | DET_WAIT, try_as_a_space, &flags,
			   &st));
	EXPECT_RET(-EPERM, &st);
}

/* --- Waits and signals --- */

static volatile sig_atomic_t handled;

static void count_signal(int sig)
{
	handled++;
}

static void handle(int sig, int flags)
{
	struct sigaction sa = { .sa_handler = count_signal,
				.sa_flags = flags };

	handled = 0;
	sigaction(sig, &sa, NULL);
}

/* The wait before anything is done: EINTR, and nothing was done. */
TEST(interrupted_before_the_operations)
{
	struct waiter w = { .nr = __NR_dput, .child = CHILD };

	NEED_CALLS();
	handle(SIGUSR1, 0);
	w.op = op_zero(BLOB_DATA, PAGE, 0);
	ASSERT_EQ(0, MAKE(CHILD, code_spin));
	ASSERT_EQ(0, put_flags(CHILD, DET_START, NULL));
	ASSERT_TRUE(waiter_start(&w));
	ASSERT_TRUE(EVENTUALLY(waiter_sleeps(&w)));
	pthread_kill(w.thread, SIGUSR1);
	pthread_join(w.thread, NULL);
	EXPECT_EQ(-EINTR, w.ret);
	EXPECT_EQ(1, handled);
	EXPECT_EQ(0, w.st.nr_done);
	EXPECT_EQ(DET_RUNNING, w.st.reason);
	EXPECT_EQ(-EAGAIN, get_flags(CHILD, DET_NOWAIT, NULL));
}

TEST(restarted_before_the_operations)
{
	struct waiter w = { .nr = __NR_dget, .child = CHILD };
	int i;

	NEED_CALLS();
	handle(SIGUSR1, SA_RESTART);
	ASSERT_EQ(0, MAKE(CHILD, code_spin));
	ASSERT_EQ(0, put_flags(CHILD, DET_START, NULL));
	ASSERT_TRUE(waiter_start(&w));
	for (i = 1; i <= 3; i++) {
		ASSERT_TRUE(EVENTUALLY(waiter_sleeps(&w)));
		pthread_kill(w.thread, SIGUSR1);
		ASSERT_TRUE(EVENTUALLY(handled == i));
	}
	ASSERT_TRUE(EVENTUALLY(waiter_sleeps(&w)));
	EXPECT_FALSE(waiter_done(&w));
	EXPECT_EQ(0, kill_child(CHILD));
	pthread_join(w.thread, NULL);
	EXPECT_EQ(-ESRCH, w.ret);
}

/* The wait at the end: a handler ends it, restart or not; the child runs on. */
static void interrupt_the_last_wait(struct __test_metadata *_metadata,
				    int flags)
{
	struct waiter w = { .nr = __NR_dput, .child = CHILD,
			    .flags = DET_START | DET_WAIT };

	handle(SIGUSR1, flags);
	w.op = op_zero(BLOB_DATA, PAGE, PROT_RW);
	ASSERT_EQ(0, MAKE(CHILD, code_spin));
	ASSERT_TRUE(waiter_start(&w));
	ASSERT_TRUE(EVENTUALLY(waiter_sleeps(&w)));
	pthread_kill(w.thread, SIGUSR1);
	pthread_join(w.thread, NULL);
	EXPECT_EQ(-EINTR, w.ret);
	EXPECT_EQ(1, handled);
	EXPECT_EQ(1, w.st.nr_done);
	EXPECT_EQ(DET_RUNNING, w.st.reason);
	EXPECT_EQ(-EAGAIN, get_flags(CHILD, DET_NOWAIT, NULL));
	EXPECT_EQ(0, kill_child(CHILD));
}

TEST(interrupted_in_the_last_wait)
{
	NEED_CALLS();
	interrupt_the_last_wait(_metadata, 0);
	interrupt_the_last_wait(_metadata, SA_RESTART);
}

/* A signal without a handler is none. */
TEST(ignored_signals_do_not_interrupt)
{
	struct waiter w = { .nr = __NR_dput, .child = CHILD,
			    .flags = DET_START | DET_WAIT };
	int i;

	NEED_CALLS();
	signal(SIGUSR1, SIG_IGN);
	ASSERT_EQ(0, MAKE(CHILD, code_spin));
	ASSERT_TRUE(waiter_start(&w));
	for (i = 0; i < 3; i++) {
		ASSERT_TRUE(EVENTUALLY(waiter_sleeps(&w)));
		pthread_kill(w.thread, SIGUSR1);
		pthread_kill(w.thread, SIGCHLD);
	}
	ASSERT_TRUE(EVENTUALLY(waiter_sleeps(&w)));
	EXPECT_EQ(0, kill_child(CHILD));
	pthread_join(w.thread, NULL);
	EXPECT_EQ(-ESRCH, w.ret);
}

/* Under a storm of signals no stop is lost and none is seen twice. */
TEST(rounds_in_a_storm)
{
	struct itimerval fast = { { 0, 5000 }, { 0, 5000 } }, off = {};
	struct det_status st;
	long ret;
	int i;

	NEED_CALLS();
	handle(SIGALRM, 0);
	ASSERT_EQ(0, MAKE(CHILD, code_count));
	setitimer(ITIMER_REAL, &fast, NULL);
	for (i = 0; i < 500; i++) {
		ret = put_flags(CHILD, DET_START, &st);
		if (ret == -EINTR) {
			i--;
			continue;
		}
		ASSERT_EQ(0, ret);
		do {
			ret = get_stop(CHILD, &st);
		} while (ret == -EINTR);
		ASSERT_EQ(0, ret);
		ASSERT_RET(i, &st);
	}
	setitimer(ITIMER_REAL, &off, NULL);
}

/* --- Threads --- */

struct counter {
	pthread_t thread;
	unsigned char *seen;
	int rounds;
	long bad;
};

#define ROUNDS 150

static void *count_rounds(void *arg)
{
	struct counter *c = arg;
	struct det_status st;
	int i;

	for (i = 0; i < c->rounds; i++) {
		if (run_child(CHILD, &st) || st.reason != DET_RET ||
		    st.value >= 2 * ROUNDS)
			c->bad++;
		else
			__atomic_fetch_add(&c->seen[st.value], 1,
					   __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Calls on one child are one after another: each round has its own value. */
TEST(two_threads_one_child)
{
	unsigned char seen[2 * ROUNDS] = {};
	struct counter c[2] = { { .seen = seen, .rounds = ROUNDS },
				{ .seen = seen, .rounds = ROUNDS } };

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_count));
	ASSERT_EQ(0, pthread_create(&c[0].thread, NULL, count_rounds, &c[0]));
	ASSERT_EQ(0, pthread_create(&c[1].thread, NULL, count_rounds, &c[1]));
	pthread_join(c[0].thread, NULL);
	pthread_join(c[1].thread, NULL);
	EXPECT_EQ(0, c[0].bad);
	EXPECT_EQ(0, c[1].bad);
	EXPECT_TRUE(all_bytes(seen, 1, sizeof(seen)));
}

/* One thread waits for ever; another works on another child meanwhile. */
TEST(two_threads_two_children)
{
	struct waiter w = { .nr = __NR_dget, .child = OTHER };
	struct det_status st;
	int i;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(OTHER, code_spin));
	ASSERT_EQ(0, put_flags(OTHER, DET_START, NULL));
	ASSERT_TRUE(waiter_start(&w));
	ASSERT_TRUE(EVENTUALLY(waiter_sleeps(&w)));
	ASSERT_EQ(0, MAKE(CHILD, code_count));
	for (i = 0; i < 50; i++) {
		ASSERT_EQ(0, run_child(CHILD, &st));
		ASSERT_RET(i, &st);
	}
	EXPECT_FALSE(waiter_done(&w));
	EXPECT_EQ(0, kill_child(OTHER));
	pthread_join(w.thread, NULL);
	EXPECT_EQ(-ESRCH, w.ret);
	EXPECT_EQ(0, kill_child(CHILD));
}

/* A child that one thread made is every thread's. */
static void *make_and_leave(void *arg)
{
	*(long *)arg = MAKE(CHILD, code_count);
	return NULL;
}

TEST(children_belong_to_the_process)
{
	struct det_status st;
	pthread_t t;
	long ret = -1;

	NEED_CALLS();
	ASSERT_EQ(0, pthread_create(&t, NULL, make_and_leave, &ret));
	pthread_join(t, NULL);
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, run_child(CHILD, &st));
	EXPECT_RET(0, &st);
}

TEST(kill_wakes_every_waiter)
{
	struct waiter w[4] = {
		{ .nr = __NR_dput, .child = CHILD,
		  .flags = DET_START | DET_WAIT },
		{ .nr = __NR_dget, .child = CHILD },
		{ .nr = __NR_dput, .child = CHILD, .flags = DET_START },
		{ .nr = __NR_dget, .child = CHILD, .flags = DET_WAIT },
	};
	int i;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_spin));
	for (i = 0; i < 4; i++) {
		ASSERT_TRUE(waiter_start(&w[i]));
		ASSERT_TRUE(EVENTUALLY(waiter_sleeps(&w[i])));
	}
	EXPECT_EQ(0, kill_child(CHILD));
	for (i = 0; i < 4; i++) {
		pthread_join(w[i].thread, NULL);
		EXPECT_EQ(-ESRCH, w[i].ret) TH_LOG("waiter %d", i);
	}
	/* The number is free. */
	EXPECT_EQ(0, MAKE(CHILD, code_count));
}

/* --- Signals to a space --- */

static char task_state(pid_t pid)
{
	char val[64];

	return pid_line(pid, "State", val, sizeof(val)) ? val[0] : '?';
}

/* All that may be sent but what kills, stops or continues. */
static void send_all(pid_t pid)
{
	int sig;

	for (sig = 1; sig <= SIGRTMAX; sig++) {
		if (sig == SIGKILL || sig == SIGSTOP || sig == SIGTSTP)
			continue;
		kill(pid, sig);
		syscall(__NR_tgkill, pid, pid, sig);
	}
}

TEST(signals_are_discarded)
{
	struct det_status st;
	char val[64];
	pid_t pid;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_long_fault));
	pid = space_pid(getpid(), CHILD);
	if (!pid)
		SKIP(return, "no /proc");
	/* Stopped, then running: a real fault is reported all the same. */
	send_all(pid);
	ASSERT_EQ(0, put_flags(CHILD, DET_START, NULL));
	send_all(pid);
	ASSERT_TRUE(pid_line(pid, "SigPnd", val, sizeof(val)));
	EXPECT_STREQ("0000000000000000", val);
	ASSERT_TRUE(pid_line(pid, "ShdPnd", val, sizeof(val)));
	EXPECT_STREQ("0000000000000000", val);
	ASSERT_EQ(0, get_stop(CHILD, &st));
	EXPECT_FAULT(SIGSEGV, 14, &st);
	EXPECT_EQ(8, st.addr);
	EXPECT_EQ(6, st.error);
	send_all(pid);
	ASSERT_EQ(0, run_child(CHILD, &st));
	EXPECT_FAULT(SIGSEGV, 14, &st);
	EXPECT_EQ(8, st.addr);
}

/* SIGSTOP and SIGCONT take time and change nothing. */
TEST(stop_and_continue_a_space)
{
	struct det_status st;
	pid_t pid;
	int i;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_long));
	pid = space_pid(getpid(), CHILD);
	if (!pid)
		SKIP(return, "no /proc");
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, put_flags(CHILD, DET_START, NULL));
		EXPECT_EQ(0, kill(pid, i ? SIGSTOP : SIGTSTP));
		usleep(1000 * i);
		EXPECT_EQ(0, kill(pid, SIGCONT));
		ASSERT_EQ(0, get_stop(CHILD, &st));
		EXPECT_RET(5, &st);
	}
	/* A child at rest is at rest: its parent need not wait for SIGCONT. */
	EXPECT_EQ(0, kill(pid, SIGSTOP));
	ASSERT_EQ(0, get_stop(CHILD, &st));
	EXPECT_RET(5, &st);
	EXPECT_EQ(0, kill(pid, SIGCONT));
	ASSERT_EQ(0, run_child(CHILD, &st));
	EXPECT_RET(5, &st);
}

/* Not even a space that SIGSTOP holds outlives a KILL. */
TEST(kill_what_sigstop_holds)
{
	pid_t pid;

	NEED_CALLS();
	ASSERT_EQ(0, MAKE(CHILD, code_spin));
	pid = space_pid(getpid(), CHILD);
	if (!pid)
		SKIP(return, "no /proc");
	ASSERT_EQ(0, put_flags(CHILD, DET_START, NULL));
	EXPECT_EQ(0, kill(pid, SIGSTOP));
	EXPECT_TRUE(EVENTUALLY(task_state(pid) == 'T'));
	EXPECT_EQ(0, kill_child(CHILD));
	EXPECT_TRUE(EVENTUALLY(!pid_exists(pid)));
}

/* Ctrl-Z and fg: the whole group, a master that waits and a child that runs. */
static void master_in_a_group(int ready)
{
	struct det_status st = {};
	int i;

	setpgid(0, 0);
	if (MAKE(CHILD, code_long))
		_exit(1);
	if (write(ready, "r", 1) != 1)
		_exit(1);
	for (i = 0; i < 10; i++)
		if (run_child(CHILD, &st) || st.reason != DET_RET ||
		    st.value != 5)
			_exit(2);
	_exit(0);
}

TEST(stop_and_continue_the_tree)
{
	int ready[2], status;
	pid_t pid;
	char c;
	int i;

	NEED_CALLS();
	ASSERT_EQ(0, pipe(ready));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		master_in_a_group(ready[1]);
	ASSERT_EQ(1, read(ready[0], &c, 1));
	for (i = 0; i < 3; i++) {
		kill(-pid, SIGSTOP);
		ASSERT_EQ(pid, waitpid(pid, &status, WUNTRACED));
		if (WIFEXITED(status))
			break;
		ASSERT_TRUE(WIFSTOPPED(status));
		kill(-pid, SIGCONT);
		usleep(2000);
	}
	if (!WIFEXITED(status))
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
}

TEST_HARNESS_MAIN
