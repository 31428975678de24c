// SPDX-License-Identifier: GPL-2.0-only
/*
 * Disturbances that end, freeze or suspend what the load is made of: SIGKILL
 * to leaf, middle and master, memory cgroups that run out, freezers, suspend.
 *
 * A kill is looked at to its end: when the victim is gone, nothing that was
 * below it may be left.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "disturb-tools.h"
#include "disturb-tally.h"

#define MAX_SPACES 512
#define PATIENCE 10	/* seconds until something is taken for stuck */

enum {
	LEAF, MIDDLE, MASTER, OOM, FREEZER, FROZEN_KILL, FREEZER_V1, SUSPEND,
	NR_ROWS
};

static struct tally *tally;

static int begin(void)
{
	if (!tally)
		tally = tally_new(NR_ROWS);
	if (tally)
		return 0;
	return lacks("tally", "no memory");
}

/* Mostly a moment, sometimes as long as @most microseconds. */
static void nap(unsigned long long *random, unsigned int most)
{
	usleep(any(random, any(random, 2) ? most : most / 16 + 1));
}

/* On a slow machine it takes long until a master has made any. */
static bool has_spaces(pid_t load)
{
	pid_t pid;

	return spaces_below(load, &pid, 1) > 0;
}

/* A load can only end if its masters live long enough: on a slow machine, too. */
static void breathe(unsigned long long *random)
{
	if (!any(random, 6))
		sleep(15);
}

/* --- SIGKILL --- */

static int pidfd_of(pid_t pid)
{
	return syscall(SYS_pidfd_open, pid, 0);
}

/* Dead, reaped or not, after at most @ms. */
static bool is_dead(int pidfd, int ms)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

/* Of one thread. */
static int kids_of_task(const char *path, pid_t *kids, int max)
{
	FILE *f = fopen(path, "re");
	int n = 0;

	while (f && n < max && fscanf(f, "%d", kids + n) == 1)
		n++;
	if (f)
		fclose(f);
	return n;
}

/*
 * As children_of(), which looks at every process there is: many a space does
 * not live that long.
 */
static int kids_of(pid_t pid, pid_t *kids, int max)
{
	char path[300];
	struct dirent *e;
	int n = 0;
	DIR *dir;

	if (!is_there("/proc/thread-self/children"))
		return children_of(pid, kids, max);
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%d/task/%s/children", pid,
			 e->d_name);
		if (e->d_name[0] != '.')
			n += kids_of_task(path, kids + n, max - n);
	}
	if (dir)
		closedir(dir);
	return n;
}

/* All below it, its children first. */
static int all_below(pid_t pid, pid_t *below, int max)
{
	int n = kids_of(pid, below, max), i;

	for (i = 0; i < n; i++)
		n += kids_of(below[i], below + n, max - n);
	return n;
}

/*
 * A space that has children (or none), 0 if there is no such one now. Down from
 * a master at random: to look at all of them takes longer than many a space
 * lives.
 */
static pid_t find_space(pid_t load, bool parent, unsigned long long *random)
{
	pid_t kids[64], path[16];
	int depth = 0, n = kids_of(load, kids, 64);

	if (n <= 0)
		return 0;
	path[0] = kids[any(random, n)];
	while (depth < 15 && (n = kids_of(path[depth], kids, 64)) > 0)
		path[++depth] = kids[any(random, n)];
	if (!parent)
		return depth ? path[depth] : 0;
	return depth > 1 ? path[1 + any(random, depth - 1)] : 0;
}

/*
 * Kills @pid. What was below it is gone no later than itself: a space by then
 * has been reaped.
 */
static bool kill_tree(struct tally *t, pid_t pid)
{
	int fds[MAX_SPACES], fd = pidfd_of(pid), n, i;
	pid_t pids[MAX_SPACES];
	bool killed;

	if (fd < 0)
		return false;
	n = all_below(pid, pids, MAX_SPACES);
	for (i = 0; i < n; i++)
		fds[i] = pidfd_of(pids[i]);
	killed = !is_dead(fd, 0) &&
		 !syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
	if (killed && !is_dead(fd, 120000))
		tally_bad(t, "%d lives two minutes after SIGKILL", pid);
	for (i = 0; i < n; i++) {
		if (fds[i] < 0)
			continue;
		if (killed && !is_dead(fds[i], 0))
			tally_bad(t, "%d is dead, %d below it is not", pid,
				  pids[i]);
		close(fds[i]);
	}
	close(fd);
	return killed;
}

/* Spaces come and go: the first that is still there when it is to be killed. */
static unsigned long kill_space(struct tally *t, pid_t load, bool parent,
				unsigned long long *random)
{
	pid_t pid;
	int i;

	for (i = 0; i < 30; i++) {
		pid = find_space(load, parent, random);
		if (pid && kill_tree(t, pid))
			return tally_did(t, 1);
	}
	return 0;
}

static unsigned long once_leaf(pid_t load, unsigned long long *random)
{
	nap(random, 60000);
	return kill_space(&tally[LEAF], load, false, random);
}

static unsigned long once_middle(pid_t load, unsigned long long *random)
{
	nap(random, 120000);
	return kill_space(&tally[MIDDLE], load, true, random);
}

static unsigned long once_master(pid_t load, unsigned long long *random)
{
	pid_t pid;

	usleep(any(random, 3000000));
	pid = has_spaces(load) ? any_master(load, random) : 0;
	if (!pid || !kill_tree(&tally[MASTER], pid))
		return 0;
	tally_did(&tally[MASTER], 1);
	breathe(random);
	return 1;
}

static unsigned long done_leaf(void)
{
	return tally_verdict("kill-leaf", &tally[LEAF]);
}

static unsigned long done_middle(void)
{
	return tally_verdict("kill-middle", &tally[MIDDLE]);
}

static unsigned long done_master(void)
{
	return tally_verdict("kill-master", &tally[MASTER]);
}

/* --- Control groups --- */

static char oom_group[128], frozen_group[128];

static const char *in_group(const char *group, const char *file)
{
	static char path[2][192];
	static int turn;

	turn = !turn;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", group, file);
	return path[turn];
}

/* The folder's name, kept; false where there is no such file in it. */
static bool make_group(char *group, size_t size, const char *name,
		       const char *file)
{
	const char *path = make_cgroup(name);

	if (!path)
		return false;
	snprintf(group, size, "%s", path);
	return !access(in_group(group, file), W_OK);
}

static void end_group(char *group)
{
	int i;

	for (i = 0; i < 1000 && rmdir(group) && errno == EBUSY; i++)
		usleep(10000);
}

static int join_group(const char *group)
{
	if (put_file(in_group(group, "cgroup.procs"), "0"))
		return 0;
	perror(group);
	return 1;
}

/* --- Out of memory --- */

static long oom_before;

static int begin_oom(void)
{
	if (begin())
		return 4;
	if (!make_group(oom_group, sizeof(oom_group), "survival-oom",
			"memory.max"))
		return lacks("oom", "no memory cgroups");
	put_file(in_group(oom_group, "memory.swap.max"), "0");
	put_file("/proc/sys/vm/oom_dump_tasks", "0");
	oom_before = get_number(in_group(oom_group, "memory.events"),
				"oom_kill");
	return 0;
}

static int join_oom(void)
{
	return join_group(oom_group);
}

static void set_adj(pid_t pid, const char *adj)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
	put_file(path, adj);
}

/* Who is the worst is thrown for. The load's program itself stays. */
static void choose_victims(pid_t load, unsigned long long *random)
{
	static const char * const adj[] = { "0", "0", "300", "900" };
	pid_t pids[MAX_SPACES];
	int n, i;

	set_adj(load, "-1000");
	n = children_of(load, pids, MAX_SPACES);
	for (i = 0; i < n; i++)
		set_adj(pids[i], any(random, 8) ? "-900" : adj[any(random, 4)]);
	n = spaces_below(load, pids, MAX_SPACES);
	for (i = 0; i < n; i++)
		set_adj(pids[i], adj[any(random, 4)]);
}

/*
 * For a while the limit is a little above or below what is in use: it is hit by
 * whoever needs a page next, or at once. Then there is room again, or nobody
 * would ever finish a round.
 */
static unsigned long once_oom(pid_t load, unsigned long long *random)
{
	static long lower;	/* than in vain before: some can be reclaimed */
	long used, before, after;
	char limit[32];

	usleep(any(random, 1500000));
	if (!has_spaces(load))
		return 0;
	choose_victims(load, random);
	before = get_number(in_group(oom_group, "memory.events"), "oom_kill");
	used = get_number(in_group(oom_group, "memory.current"), NULL);
	used += (long)any(random, 6 << 20) - (2 << 20) - lower;
	if (used < 1 << 20)
		used = 1 << 20;
	snprintf(limit, sizeof(limit), "%ld", used);
	put_file(in_group(oom_group, "memory.max"), limit);
	nap(random, 60000);
	put_file(in_group(oom_group, "memory.max"), "max");
	after = get_number(in_group(oom_group, "memory.events"), "oom_kill");
	lower = after > before ? 0 : lower + (1 << 20);
	return tally_did(&tally[OOM], after > before ? after - before : 0);
}

static unsigned long done_oom(void)
{
	long now = get_number(in_group(oom_group, "memory.events"), "oom_kill");

	return now > oom_before ? now - oom_before : 0;
}

static void end_oom(void)
{
	put_file("/proc/sys/vm/oom_dump_tasks", "1");
	end_group(oom_group);
}

/* --- The freezer of cgroup version 2 --- */

static int begin_freezer(void)
{
	if (begin())
		return 4;
	if (!make_group(frozen_group, sizeof(frozen_group), "survival-freezer",
			"cgroup.freeze"))
		return lacks("freezer", "no freezer of cgroup version 2");
	return 0;
}

static int join_freezer(void)
{
	return join_group(frozen_group);
}

static bool is_frozen(void)
{
	return get_number(in_group(frozen_group, "cgroup.events"),
			  "frozen") == 1;
}

static bool soon(bool (*is_true)(void))
{
	time_t end = time(NULL) + PATIENCE;

	while (!is_true()) {
		if (time(NULL) > end)
			return false;
		usleep(1000);
	}
	return true;
}

static long cpu_used(void)
{
	return get_number(in_group(frozen_group, "cpu.stat"), "usage_usec");
}

/*
 * Frozen is frozen: no process of the group uses a CPU. A space in a call may
 * finish it first, though it counts as frozen from when it began to wait; and it
 * may have to wait for a CPU of a busy host.
 */
static void rest_frozen(struct tally *t, unsigned long long *random)
{
	time_t end = time(NULL) + PATIENCE;
	long before = 0;
	int quiet;

	for (quiet = 0; quiet < 4 && time(NULL) <= end; quiet++) {
		before = cpu_used();
		usleep(30000);
		if (cpu_used() != before)
			quiet = -1;
	}
	nap(random, 50000);
	if (is_frozen() && cpu_used() != before)
		tally_bad(t, "%ld us used in a frozen group",
			  cpu_used() - before);
}

static void thaw(void)
{
	put_file(in_group(frozen_group, "cgroup.freeze"), "0");
}

static unsigned long freeze_all(struct tally *t, unsigned long long *random)
{
	put_file(in_group(frozen_group, "cgroup.freeze"), "1");
	if (soon(is_frozen)) {
		rest_frozen(t, random);
		return 1;
	}
	tally_bad(t, "not frozen");
	return 0;
}

static unsigned long once_freezer(pid_t load, unsigned long long *random)
{
	unsigned long did;

	(void)load;
	nap(random, 40000);
	did = freeze_all(&tally[FREEZER], random);
	thaw();
	return tally_did(&tally[FREEZER], did);
}

/* Somebody, at any place in the tree, is killed while all of it is frozen. */
static unsigned long once_frozen_kill(pid_t load, unsigned long long *random)
{
	struct tally *t = &tally[FROZEN_KILL];
	unsigned long did = 0;
	pid_t pid;

	nap(random, 150000);
	if (!has_spaces(load))
		return 0;
	if (freeze_all(t, random)) {
		pid = any(random, 24) ? find_space(load, any(random, 2), random)
				      : any_master(load, random);
		did = pid && kill_tree(t, pid);
	}
	thaw();
	if (did && !any(random, 8))
		breathe(random);
	return tally_did(t, did);
}

static unsigned long done_freezer(void)
{
	return tally_verdict("freezer", &tally[FREEZER]);
}

static unsigned long done_frozen_kill(void)
{
	return tally_verdict("kill-frozen", &tally[FROZEN_KILL]);
}

static void end_freezer(void)
{
	thaw();
	end_group(frozen_group);
}

/* --- The freezer of version 1 --- */

#define V1 "/tmp/survival-v1"
#define V1_GROUP V1 "/load"

static void unmount_v1(void)
{
	umount2(V1, MNT_DETACH);
	rmdir(V1);
}

static int begin_v1(void)
{
	if (begin())
		return 4;
	mkdir(V1, 0700);
	if (mount("none", V1, "cgroup", 0, "freezer")) {
		rmdir(V1);
		return lacks("freezer-v1", "no freezer of cgroup version 1");
	}
	if (!mkdir(V1_GROUP, 0700) || errno == EEXIST)
		return 0;
	unmount_v1();
	return lacks("freezer-v1", "no groups");
}

static int join_v1(void)
{
	return join_group(V1_GROUP);
}

static bool is_frozen_v1(void)
{
	char state[16] = "";
	FILE *f = fopen(V1_GROUP "/freezer.state", "re");

	if (!f)
		return false;
	if (!fgets(state, sizeof(state), f))
		state[0] = 0;
	fclose(f);
	state[strcspn(state, "\n")] = 0;
	return !strcmp(state, "FROZEN");
}

/*
 * Who goes to sleep at the very moment may be missed, as a vfork's parent may: tools
 * that use this freezer write again.
 */
static bool freeze_v1(void)
{
	time_t end = time(NULL) + PATIENCE;
	int looks;

	while (time(NULL) <= end) {
		put_file(V1_GROUP "/freezer.state", "FROZEN");
		for (looks = 0; looks < 100; looks++) {
			if (is_frozen_v1())
				return true;
			usleep(1000);
		}
	}
	return false;
}

static unsigned long once_v1(pid_t load, unsigned long long *random)
{
	bool did;

	(void)load;
	usleep(20000);
	nap(random, 40000);
	did = freeze_v1();
	if (!did)
		tally_bad(&tally[FREEZER_V1], "not FROZEN");
	nap(random, 50000);
	put_file(V1_GROUP "/freezer.state", "THAWED");
	return tally_did(&tally[FREEZER_V1], did);
}

static unsigned long done_v1(void)
{
	return tally_verdict("freezer-v1", &tally[FREEZER_V1]);
}

static void end_v1(void)
{
	put_file(V1_GROUP "/freezer.state", "THAWED");
	end_group(V1_GROUP);
	unmount_v1();
}

/* --- Suspend to idle --- */

#define PM_TEST "/sys/power/pm_test"
#define PM_STAT "/sys/power/suspend_stats/"

static long suspended, failed_freeze;

/*
 * All of suspend up to the point where every process is frozen, then back: no
 * clock is there to wake a guest that sleeps on, and 9p's devices do not
 * survive more.
 */
static int begin_suspend(void)
{
	if (begin())
		return 4;
	if (access("/sys/power/state", W_OK) || !put_file(PM_TEST, "freezer"))
		return lacks("suspend", "no suspend to idle with " PM_TEST);
	put_file("/sys/module/suspend/parameters/pm_test_delay", "0");
	suspended = get_number(PM_STAT "success", NULL);
	failed_freeze = get_number(PM_STAT "failed_freeze", NULL);
	return 0;
}

static unsigned long once_suspend(pid_t load, unsigned long long *random)
{
	(void)load;
	usleep(any(random, 600000));
	if (put_file("/sys/power/state", "freeze"))
		return tally_did(&tally[SUSPEND], 1);
	tally_bad(&tally[SUSPEND], "freeze: %s", strerror(errno));
	return 0;
}

static unsigned long done_suspend(void)
{
	long now = get_number(PM_STAT "success", NULL);

	if (get_number(PM_STAT "failed_freeze", NULL) != failed_freeze)
		tally_bad(&tally[SUSPEND], "somebody could not be frozen");
	if (!tally_verdict("suspend", &tally[SUSPEND]))
		return 0;
	return now > suspended ? now - suspended : 0;
}

static void end_suspend(void)
{
	put_file(PM_TEST, "none");
	put_file("/sys/module/suspend/parameters/pm_test_delay", "5");
}

/* The report of one kill: who asked for memory, where, what is there. */
#define OOM_LOG \
	"invoked oom-killer|[Oo]ut of memory|oom_reaper|oom-kill:|^CPU: [0-9]|" \
	"^(Tainted|Hardware name|RIP|Code|R[A-Z][A-Z]|R[01][0-9]|[CDF]S):|" \
	"^Call Trace:|^ </?TASK>|^ (\\? )?[a-zA-Z0-9_.]+\\+0x|" \
	"^(memory|swap|kmem|tcpmem): usage |^Memory cgroup stats|" \
	"^[a-z_0-9]+ [0-9]+$|^Tasks state|^\\[ "

#define SUSPEND_LOG \
	"^PM: suspend|^Filesystems sync|^Freezing |^OOM killer |" \
	"^Restarting tasks|^random: crng reseeded|^printk: Suspending"

const struct disturbance disturb_death[] = {
	{ .name = "kill-leaf", .what = "SIGKILL to spaces without children",
	  .begin = begin, .once = once_leaf, .done = done_leaf, .kills = true },
	{ .name = "kill-middle", .what = "SIGKILL to spaces with children",
	  .begin = begin, .once = once_middle, .done = done_middle,
	  .kills = true },
	{ .name = "kill-master", .what = "SIGKILL to masters",
	  .begin = begin, .once = once_master, .done = done_master,
	  .kills = true },
	{ .name = "oom", .what = "the OOM killer in a memory cgroup",
	  .begin = begin_oom, .join = join_oom, .once = once_oom,
	  .end = end_oom, .done = done_oom,
	  .log = OOM_LOG,
	  .kills = true },
	{ .name = "freezer", .what = "a cgroup, frozen and thawed",
	  .begin = begin_freezer, .join = join_freezer, .once = once_freezer,
	  .end = end_freezer, .done = done_freezer },
	{ .name = "kill-frozen", .what = "SIGKILL to who is in a frozen cgroup",
	  .begin = begin_freezer, .join = join_freezer,
	  .once = once_frozen_kill, .end = end_freezer,
	  .done = done_frozen_kill, .kills = true },
	{ .name = "freezer-v1", .what = "a freezer of cgroup version 1",
	  .begin = begin_v1, .join = join_v1, .once = once_v1, .end = end_v1,
	  .done = done_v1 },
	{ .name = "suspend", .what = "suspend to idle, up to all frozen",
	  .begin = begin_suspend, .once = once_suspend, .end = end_suspend,
	  .done = done_suspend, .log = SUSPEND_LOG },
	{}
};
