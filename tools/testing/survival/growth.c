// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages, promised memory, objects and tasks of the whole machine.
 *
 * Counters are kept per CPU and summed up late, so each has some slack. On four
 * CPUs a page of a program's that is lost in every 16th round is seen after ten
 * thousand rounds, a page table in every 100th, and an object in every 125th.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/swap.h>
#include <time.h>
#include <unistd.h>

#include "disturb.h"
#include "disturb-tools.h"
#include "growth.h"
#include "quiet.h"

#define LOOKS 40
#define PATIENCE 60	/* seconds */
#define PAUSE 25000	/* microseconds */
#define KTHREAD 0x00200000	/* PF_KTHREAD, in /proc/PID/stat */
#define OUR_SWAP "/dev/zram0"	/* add_swap() in mem.h has made it */
#define THP "/sys/kernel/mm/transparent_hugepage/enabled"

static const char * const name[GROWTH_NR] = {
	"anon", "pgtables", "committed", "slab", "tasks",
};

/* Objects of ours: det_space and dmem_image; -1 where nobody counts them. */
static long our_objects(void)
{
	FILE *f = fopen("/proc/slabinfo", "re");
	char line[512], cache[64];
	long sum = -1, nr;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%63s %ld", cache, &nr) != 2 ||
		    (strcmp(cache, "det_space") && strcmp(cache, "dmem_image")))
			continue;
		sum = (sum < 0 ? 0 : sum) + nr;
	}
	if (f)
		fclose(f);
	return sum;
}

static bool is_kernel_thread(const char *pid)
{
	char path[288], buf[512];
	unsigned int flags = 0;
	const char *at;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return true;
	at = fgets(buf, sizeof(buf), f) ? strrchr(buf, ')') : NULL;
	fclose(f);
	return !at || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %u",
			     &flags) != 1 || (flags & KTHREAD);
}

static long tasks(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	long nr = 0;

	while (proc && (e = readdir(proc)))
		if (isdigit((unsigned char)e->d_name[0]))
			nr += !is_kernel_thread(e->d_name);
	if (proc)
		closedir(proc);
	return nr;
}

/*
 * Each CPU keeps up to two times 64 slots of the swap space at hand, and they count
 * as used. Taking a device away makes it give back those of all devices.
 */
static void drop_slots(void)
{
	if (swapoff(OUR_SWAP))
		return;
	while (swapon(OUR_SWAP, 0) && errno == EINTR)
		;
}

static void look(struct growth *g)
{
	long objects;

	/* What a CPU keeps of a slab counts as used, unless it is told. */
	put_file("/sys/kernel/slab/det_space/shrink", "1");
	put_file("/sys/kernel/slab/dmem_image/shrink", "1");
	objects = our_objects();
	/* Wherever they are. */
	g->at[GROWTH_ANON] = get_number("/proc/vmstat", "nr_anon_pages") +
		(get_number("/proc/meminfo", "SwapTotal") -
		 get_number("/proc/meminfo", "SwapFree") -
		 get_number("/proc/meminfo", "SwapCached")) / 4;
	g->at[GROWTH_PGTABLES] =
		get_number("/proc/vmstat", "nr_page_table_pages");
	g->at[GROWTH_COMMITTED] =
		get_number("/proc/meminfo", "Committed_AS") / 4;
	g->at[GROWTH_SLAB] = objects >= 0 ? objects :
		get_number("/proc/meminfo", "SUnreclaim") / 4;
	g->at[GROWTH_TASKS] = tasks();
}

static long slack(int what)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	switch (what) {
	case GROWTH_TASKS:
		return 0;
	case GROWTH_SLAB:	/* pages, without a count of objects */
		return our_objects() >= 0 ? 16 + 16 * cpus : 192;
	default:
		return 32 + 16 * cpus;
	}
}

static bool grown(const struct growth *now, const struct growth *before)
{
	int i;

	for (i = 0; i < GROWTH_NR; i++)
		if (now->at[i] > before->at[i] + slack(i))
			return true;
	return false;
}

void growth_look(struct growth *now, const struct growth *before)
{
	time_t end = time(NULL) + PATIENCE;
	struct growth g;
	int looks, i;

	quiet_begin();
	/* khugepaged takes pages away before the huge one is there: not meanwhile. */
	settings_use();
	set_to(THP, "never");
	drop_slots();
	look(now);
	for (looks = 1; looks < LOOKS ||
	     (before && time(NULL) < end && grown(now, before)); looks++) {
		usleep(PAUSE);
		if (looks % (3 * LOOKS) == 0)
			drop_slots();
		look(&g);
		for (i = 0; i < GROWTH_NR; i++)
			if (g.at[i] < now->at[i])
				now->at[i] = g.at[i];
	}
	settings_drop();
	quiet_end();
}

bool growth_none(const struct growth *now, const struct growth *before,
		 char *text, size_t size)
{
	size_t len = 0;
	int i;

	for (i = 0; i < GROWTH_NR && len < size; i++)
		len += snprintf(text + len, size - len,
				i == GROWTH_TASKS ? "%s%s %ld" : "%s%s %+ld",
				i ? " " : "", name[i],
				now->at[i] - before->at[i]);
	return !grown(now, before);
}
