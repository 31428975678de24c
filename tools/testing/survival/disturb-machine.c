// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the machine itself does to everybody's memory: huge pages, KSM,
 * compaction, NUMA balancing, CPUs taken out of service.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "disturb-tools.h"

#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif

#define PAGE	4096UL

struct value {
	const char *path;
	const char *text;
	bool optional;
};

/* All settings of a list; false if one that matters cannot be had. */
static bool set_all(const struct value *v, int nr)
{
	int i;

	settings_use();
	for (i = 0; i < nr; i++)
		if (!set_to(v[i].path, v[i].text) && !v[i].optional) {
			settings_drop();
			return false;
		}
	return true;
}

/*
 * Huge pages.
 */

#define THP "/sys/kernel/mm/transparent_hugepage"

static const struct value thp_settings[] = {
	{ THP "/enabled", "always", false },
	{ THP "/defrag", "always", false },
	{ THP "/khugepaged/defrag", "1", false },
	{ THP "/khugepaged/scan_sleep_millisecs", "0", false },
	{ THP "/khugepaged/alloc_sleep_millisecs", "0", false },
	{ THP "/khugepaged/pages_to_scan", "65536", false },
	{ THP "/khugepaged/max_ptes_none", "511", false },
	{ THP "/khugepaged/max_ptes_shared", "511", false },
	{ THP "/khugepaged/max_ptes_swap", "511", false },
};

static struct counter huge[] = {
	{ .path = THP "/khugepaged/pages_collapsed" },
	VMSTAT("thp_fault_alloc"),
};

static int thp_begin(void)
{
	counters_begin(huge, LENGTH(huge));
	if (!is_there(THP) || !set_all(thp_settings, LENGTH(thp_settings)))
		return lacks("thp", "no huge pages");
	return 0;
}

/* By khugepaged, that is; those of page faults are printed only. */
static unsigned long thp_done(void)
{
	counter_grown(huge + 1, "thp");
	return counter_grown(huge, "thp");
}

/* --- split --- */

#define SPLIT "/sys/kernel/debug/split_huge_pages"

static struct counter split[] = { VMSTAT("thp_split_page") };

static int split_begin(void)
{
	counters_begin(split, LENGTH(split));
	if (!is_there(SPLIT) ||
	    !set_all(thp_settings, LENGTH(thp_settings)))
		return lacks("split", "no huge pages, or none to split");
	return 0;
}

static unsigned long split_once(pid_t load, unsigned long long *random)
{
	pid_t pid = any_process(load, random);
	struct range r;
	char text[96];

	if (!pid || !any_range(pid, random, 64UL << 20, &r)) {
		doze(random, 5);
		return 0;
	}
	snprintf(text, sizeof(text), "%d,0x%lx,0x%lx,0", pid, r.start, r.end);
	return any(random, 16) ? put_file(SPLIT, text) : put_file(SPLIT, "1");
}

static unsigned long split_done(void)
{
	return counters_grown(split, LENGTH(split), "split");
}

/*
 * KSM, over the masters; a space's memory it must not touch.
 */

#define KSM "/sys/kernel/mm/ksm"

static const struct value ksm_settings[] = {
	{ KSM "/sleep_millisecs", "0", false },
	{ KSM "/pages_to_scan", "4096", false },
	{ KSM "/advisor_mode", "none", true },
	{ KSM "/smart_scan", "0", true },
	{ KSM "/run", "1", false },
};

static struct counter unmerged[] = { VMSTAT("cow_ksm") };
static unsigned long *ksm_merged;	/* pages of masters, the most seen */
static unsigned long *ksm_strays;	/* spaces with merged pages */

static int ksm_begin(void)
{
	share_number(&ksm_merged);
	share_number(&ksm_strays);
	counters_begin(unmerged, LENGTH(unmerged));
	if (!is_there(KSM) || !set_all(ksm_settings, LENGTH(ksm_settings)))
		return lacks("ksm", "no KSM");
	return 0;
}

static int ksm_join(void)
{
	return prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0);
}

/* Now and then all is unmerged at once; zero pages are merged or not. */
static void ksm_turn(unsigned long long *random)
{
	set_to(KSM "/use_zero_pages", any(random, 2) ? "1" : "0");
	if (any(random, 32))
		return;
	put_file(KSM "/run", "2");
	put_file(KSM "/run", "1");
}

static long merged_pages(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ksm_merging_pages", pid);
	return get_number(path, NULL);
}

static unsigned long ksm_once(pid_t load, unsigned long long *random)
{
	pid_t master = any_master(load, random), space = any_space(load, random);
	long pages = master ? merged_pages(master) : 0;

	if (space && merged_pages(space) > 0) {
		printf("# ksm: space %d has merged pages\n", space);
		add_to(ksm_strays, 1);
	}
	if (pages > (long)*ksm_merged)
		*ksm_merged = pages;
	ksm_turn(random);
	doze(random, 100);
	return pages > 0;
}

static unsigned long ksm_done(void)
{
	counters_grown(unmerged, LENGTH(unmerged), "ksm");
	printf("# ksm: %lu pages of a master merged, %lu times of a space\n",
	       *ksm_merged, *ksm_strays);
	return *ksm_strays ? 0 : *ksm_merged;
}

/*
 * Compaction. It has work to do where free pages lie between used ones.
 */

#define COMPACT		"/proc/sys/vm/compact_memory"
#define HOLES		(32UL << 20)

static struct counter moved[] = { VMSTAT("pgmigrate_success") };

static int compact_begin(void)
{
	counters_begin(moved, LENGTH(moved));
	if (!is_there(COMPACT))
		return lacks("compact", "no compaction");
	return 0;
}

/* Every second page is given back, now these, now those: as many at any time. */
static void move_holes(char *p, unsigned int odd)
{
	unsigned long at;

	for (at = odd * PAGE; at < HOLES; at += 2 * PAGE)
		p[at] = 1;
	for (at = !odd * PAGE; at < HOLES; at += 2 * PAGE)
		madvise(p + at, PAGE, MADV_DONTNEED);
}

static unsigned long compact_once(pid_t load, unsigned long long *random)
{
	static char *holes;
	bool ok;

	(void)load;
	if (!holes) {
		holes = mmap(NULL, HOLES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (holes == MAP_FAILED)
			exit(1);
		madvise(holes, HOLES, MADV_NOHUGEPAGE);
		move_holes(holes, 0);
	}
	ok = put_file(COMPACT, "1");
	if (!any(random, 8))
		move_holes(holes, any(random, 2));
	doze(random, 20);
	return ok;
}

static unsigned long compact_done(void)
{
	return counters_grown(moved, LENGTH(moved), "compact");
}

/*
 * Nodes: balancing, which the pages that are moved away give work to; and a
 * cpuset that has its memory now here, now there.
 */

#define NUMA_DEBUG "/sys/kernel/debug/sched/numa_balancing"

static const struct value numa_settings[] = {
	{ "/proc/sys/kernel/numa_balancing", "1", false },
	{ NUMA_DEBUG "/scan_delay_ms", "1", true },
	{ NUMA_DEBUG "/scan_period_min_ms", "10", true },
	{ NUMA_DEBUG "/scan_period_max_ms", "50", true },
	{ NUMA_DEBUG "/scan_size_mb", "256", true },
};

static struct counter hinted[] = {
	VMSTAT("numa_hint_faults"), VMSTAT("numa_pages_migrated"),
};

static bool two_nodes(void)
{
	return is_there("/sys/devices/system/node/node1");
}

static int numa_begin(void)
{
	counters_begin(hinted, LENGTH(hinted));
	if (!two_nodes() || !set_all(numa_settings, LENGTH(numa_settings)))
		return lacks("numa", "one node only, or no NUMA balancing");
	return 0;
}

static unsigned long numa_once(pid_t load, unsigned long long *random)
{
	unsigned long done = move_some_pages(load, random);

	doze(random, 20);
	return done;
}

/*
 * Whether balancing then moves a page is for the scheduler to say, which in a minute may
 * not want to; pages are moved here anyhow.
 */
static unsigned long numa_done(void)
{
	counter_grown(hinted + 1, "numa");
	return counter_grown(hinted, "numa");
}

/* --- cpuset --- */

static char cpuset[128];
static struct counter migrated[] = { VMSTAT("pgmigrate_success") };

static int cpuset_begin(void)
{
	const char *group = make_cgroup("survival-cpuset");
	char path[160];

	counters_begin(migrated, LENGTH(migrated));
	put_file("/sys/fs/cgroup/cgroup.subtree_control", "+cpuset");
	if (group)
		snprintf(cpuset, sizeof(cpuset), "%s", group);
	snprintf(path, sizeof(path), "%s/cpuset.mems", cpuset);
	if (!group || !two_nodes() || !is_there(path))
		return lacks("cpuset", "one node only, or no cpuset");
	return 0;
}

static int cpuset_join(void)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/cgroup.procs", cpuset);
	return put_file(path, "0") ? 0 : -1;
}

static unsigned long cpuset_once(pid_t load, unsigned long long *random)
{
	static const char * const mems[] = { "0", "1", "0-1" };
	char path[160];
	bool ok;

	(void)load;
	snprintf(path, sizeof(path), "%s/cpuset.mems", cpuset);
	ok = put_file(path, mems[any(random, LENGTH(mems))]);
	doze(random, 50);
	return ok;
}

static unsigned long cpuset_done(void)
{
	return counters_grown(migrated, LENGTH(migrated), "cpuset");
}

static void cpuset_end(void)
{
	if (cpuset[0])
		rmdir(cpuset);
	cpuset[0] = 0;
}

/*
 * CPUs that go and come back.
 */

#define CPU1 "/sys/devices/system/cpu/cpu1/online"

static int hotplug_begin(void)
{
	static const struct value on = { CPU1, "1", false };

	if (!is_there(CPU1) || !set_all(&on, 1))
		return lacks("hotplug", "no second CPU that can be stopped");
	return 0;
}

static unsigned long hotplug_once(pid_t load, unsigned long long *random)
{
	bool ok = put_file(CPU1, "0");

	(void)load;
	doze(random, 50);
	ok &= put_file(CPU1, "1");
	doze(random, 100);
	return ok;
}

const struct disturbance disturb_machine[] = {
	{
		.name = "thp",
		.what = "huge pages always, and khugepaged without sleep",
		.begin = thp_begin,
		.done = thp_done,
		.end = settings_drop,
	}, {
		.name = "split",
		.what = "the same, and huge pages split again",
		.begin = split_begin,
		.once = split_once,
		.done = split_done,
		.end = settings_drop,
	}, {
		.name = "ksm",
		.what = "KSM without sleep over the masters",
		.begin = ksm_begin,
		.join = ksm_join,
		.once = ksm_once,
		.done = ksm_done,
		.end = settings_drop,
	}, {
		.name = "compact",
		.what = "compaction, again and again",
		.begin = compact_begin,
		.once = compact_once,
		.done = compact_done,
	}, {
		.name = "numa",
		.what = "NUMA balancing without sleep, and pages moved away",
		.begin = numa_begin,
		.once = numa_once,
		.done = numa_done,
		.end = settings_drop,
	}, {
		.name = "cpuset",
		.what = "a cpuset that changes its nodes",
		.begin = cpuset_begin,
		.join = cpuset_join,
		.once = cpuset_once,
		.done = cpuset_done,
		.end = cpuset_end,
	}, {
		.name = "hotplug",
		.what = "the second CPU goes and comes back",
		.begin = hotplug_begin,
		.once = hotplug_once,
		.end = settings_drop,
		.log = "smpboot: |no longer affine to cpu",
	},
	{}
};
