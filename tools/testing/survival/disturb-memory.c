// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a process may do to another one's memory from outside: advice by
 * process_madvise, pages moved to another node, clear_refs, limits by prlimit.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/mempolicy.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "disturb-swap.h"
#include "disturb-tools.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define PAGE	4096UL
#define HUGE	(2UL << 20)

/*
 * Advice. All mappings of a victim, or one huge page's worth of one.
 */

static int open_pid(pid_t pid)
{
	return syscall(__NR_pidfd_open, pid, 0);
}

static bool advise_one(int fd, const struct range *r, int advice)
{
	struct iovec iov = { (void *)r->start, r->end - r->start };

	return syscall(__NR_process_madvise, fd, &iov, 1, advice, 0) > 0;
}

static unsigned long advise_all(int fd, pid_t pid, int advice)
{
	struct range ranges[MAX_RANGES];
	int i, n = ranges_of(pid, ranges, MAX_RANGES);
	unsigned long done = 0;

	for (i = 0; i < n; i++)
		done += advise_one(fd, ranges + i, advice);
	return done;
}

/* Advice about part of a mapping; whole huge pages, where it spans one. */
static unsigned long advise_part(int fd, pid_t pid, int advice,
				 unsigned long long *random)
{
	struct range r;

	if (!any_range(pid, random, 4 * HUGE, &r))
		return 0;
	if (advice == MADV_COLLAPSE) {
		r.start &= ~(HUGE - 1);
		r.end = (r.end + HUGE - 1) & ~(HUGE - 1);
	}
	return advise_one(fd, &r, advice);
}

static unsigned long advise(pid_t load, int advice, unsigned long long *random)
{
	pid_t pid = any_process(load, random);
	int fd = pid ? open_pid(pid) : -1;
	unsigned long done;

	if (fd < 0) {
		doze(random, 5);
		return 0;
	}
	if (any(random, 2))
		done = advise_all(fd, pid, advice);
	else
		done = advise_part(fd, pid, advice, random);
	close(fd);
	return done;
}

static bool can_advise(void)
{
	struct range r = { 0, 0, false };
	int fd = open_pid(getpid());

	if (fd < 0)
		return false;
	errno = 0;
	advise_one(fd, &r, MADV_COLD);
	close(fd);
	return errno != ENOSYS;
}

/* --- collapse --- */

static struct counter collapsed[] = { VMSTAT("thp_collapse_alloc") };

static int collapse_begin(void)
{
	if (!can_advise() || !is_there("/sys/kernel/mm/transparent_hugepage"))
		return lacks("collapse", "no process_madvise, or no huge pages");
	counters_begin(collapsed, LENGTH(collapsed));
	return 0;
}

static unsigned long collapse_once(pid_t load, unsigned long long *random)
{
	return advise(load, MADV_COLLAPSE, random);
}

static unsigned long collapse_done(void)
{
	return counters_grown(collapsed, LENGTH(collapsed), "collapse");
}

/* --- pageout --- */

static struct counter paged[] = { VMSTAT("pswpout"), VMSTAT("pswpin") };

static int pageout_begin(void)
{
	if (!can_advise())
		return lacks("pageout", "no process_madvise");
	if (!swap_use())
		return lacks("pageout", "no zram to swap to");
	counters_begin(paged, LENGTH(paged));
	return 0;
}

static unsigned long pageout_once(pid_t load, unsigned long long *random)
{
	static const int advices[] = {
		MADV_PAGEOUT, MADV_PAGEOUT, MADV_PAGEOUT, MADV_PAGEOUT,
		MADV_COLD, MADV_WILLNEED,
	};

	return advise(load, advices[any(random, LENGTH(advices))], random);
}

/* What went out must have come back too. */
static unsigned long pageout_done(void)
{
	unsigned long out = counter_grown(paged, "pageout");

	return counter_grown(paged + 1, "pageout") ? out : 0;
}

static void pageout_end(void)
{
	swap_drop();
}

/*
 * Nodes.
 */

static struct counter migrated[] = { VMSTAT("pgmigrate_success") };

static bool two_nodes(void)
{
	return is_there("/sys/devices/system/node/node1");
}

static int nodes_begin(void)
{
	if (!two_nodes())
		return lacks("nodes", "the machine has one node only");
	counters_begin(migrated, LENGTH(migrated));
	return 0;
}

static unsigned long nodes_done(void)
{
	return counters_grown(migrated, LENGTH(migrated), "nodes");
}

#define MOVE_PAGES 512

/* Pages of a victim to a random node each, those shared with others too. */
unsigned long move_some_pages(pid_t load, unsigned long long *random)
{
	int nodes[MOVE_PAGES], status[MOVE_PAGES], i, n = 0;
	pid_t pid = any_process(load, random);
	void *pages[MOVE_PAGES];
	unsigned long done = 0;
	struct range r;

	if (!pid || !any_range(pid, random, MOVE_PAGES * PAGE, &r)) {
		doze(random, 5);
		return 0;
	}
	for (; r.start < r.end; r.start += PAGE) {
		pages[n] = (void *)r.start;
		nodes[n++] = any(random, 2);
	}
	memset(status, 0xff, sizeof(status));
	if (syscall(__NR_move_pages, pid, n, pages, nodes, status,
		    MPOL_MF_MOVE_ALL) < 0)
		return 0;
	for (i = 0; i < n; i++)
		done += status[i] == nodes[i];
	return done;
}

/* All of a victim's pages on one node go to the other. */
static unsigned long migrate_once(pid_t load, unsigned long long *random)
{
	pid_t pid = any_process(load, random);
	unsigned long from = 1UL << any(random, 2), to = 3 ^ from;

	if (!pid) {
		doze(random, 5);
		return 0;
	}
	return syscall(__NR_migrate_pages, pid, 64, &from, &to) >= 0;
}

/*
 * clear_refs: 1 all, 2 anonymous, 3 files', 4 soft-dirty bits, 5 the peak.
 */

static int refs_begin(void)
{
	if (!is_there("/proc/self/clear_refs"))
		return lacks("clear_refs", "no /proc/PID/clear_refs");
	return 0;
}

static unsigned long refs_once(pid_t load, unsigned long long *random)
{
	pid_t pid = any_process(load, random);
	char path[64], text[2] = { '1' + any(random, 5), 0 };

	if (!pid) {
		doze(random, 5);
		return 0;
	}
	snprintf(path, sizeof(path), "/proc/%d/clear_refs", pid);
	return put_file(path, text);
}

/*
 * Limits. Those that nobody reaches.
 */

static const struct {
	int what;
	rlim_t least;	/* the load stays below it */
} wide[] = {
	{ RLIMIT_AS, 1UL << 40 },
	{ RLIMIT_DATA, 1UL << 40 },
	{ RLIMIT_STACK, 64UL << 20 },
	{ RLIMIT_MEMLOCK, 1UL << 32 },
	{ RLIMIT_NPROC, 1UL << 20 },
	{ RLIMIT_SIGPENDING, 1UL << 16 },
	{ RLIMIT_NICE, 0 },
	{ RLIMIT_RTPRIO, 0 },
};

static bool set_limit(pid_t pid, int what, rlim_t soft, rlim_t hard)
{
	struct rlimit limit = { soft, hard };

	return !prlimit(pid, what, &limit, NULL);
}

static unsigned long prlimit_once(pid_t load, unsigned long long *random)
{
	unsigned int i = any(random, LENGTH(wide));
	pid_t pid = any_process(load, random);
	rlim_t soft = RLIM_INFINITY;

	if (!pid) {
		doze(random, 5);
		return 0;
	}
	if (any(random, 4))
		soft = wide[i].least + any(random, 1U << 30);
	doze(random, 2);
	return set_limit(pid, wide[i].what, soft, RLIM_INFINITY);
}

/*
 * And those that are reached. A space that runs out of CPU time is killed; it
 * counts here only if it is gone soon after its limit.
 */

static bool gone(pid_t pid)
{
	return kill(pid, 0) && errno == ESRCH;
}

/* A second of CPU time, the least that there is. */
static unsigned long limits_once(pid_t load, unsigned long long *random)
{
	pid_t pid = any_space(load, random);
	int i;

	if (!pid || !set_limit(pid, RLIMIT_CPU, 1, 1)) {
		doze(random, 5);
		return 0;
	}
	for (i = 0; i < 100; i++) {
		if (gone(pid))
			return !gone(load);
		usleep(10000);
	}
	return 0;
}

const struct disturbance disturb_memory[] = {
	{
		.name = "collapse",
		.what = "huge pages made by MADV_COLLAPSE from outside",
		.begin = collapse_begin,
		.once = collapse_once,
		.done = collapse_done,
	}, {
		.name = "pageout",
		.what = "MADV_PAGEOUT, COLD and WILLNEED from outside",
		.begin = pageout_begin,
		.once = pageout_once,
		.done = pageout_done,
		.end = pageout_end,
		.log = ZRAM_LOG,
	}, {
		.name = "move_pages",
		.what = "pages moved between nodes one by one",
		.begin = nodes_begin,
		.once = move_some_pages,
		.done = nodes_done,
	}, {
		.name = "migrate_pages",
		.what = "all pages of a process moved to another node",
		.begin = nodes_begin,
		.once = migrate_once,
		.done = nodes_done,
	}, {
		.name = "clear_refs",
		.what = "accessed and soft-dirty bits cleared",
		.begin = refs_begin,
		.once = refs_once,
	}, {
		.name = "prlimit",
		.what = "limits changed from outside, none reached",
		.once = prlimit_once,
	}, {
		.name = "limits",
		.what = "limits of CPU time that spaces reach",
		.once = limits_once,
		.kills = true,
	},
	{}
};
