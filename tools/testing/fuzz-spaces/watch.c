// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is left behind: complaints in the kernel's log, kernel objects, pages
 * that are pinned, and pages that nobody has mapped and nobody has freed.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "try.h"

/* --- The log --- */

static int kmsg = -1;

static const char * const complaint[] = {
	"BUG", "WARNING:", "Bad rss-counter", "on-zero pgtables", "ad page",
	"KASAN:", "UBSAN:", "refcount_t:", "Oops", "unreferenced object",
	"circular locking", "recursive locking", "inconsistent lock",
	"suspicious RCU", "held when", "blocked for more",
};

/*
 * An address space that is gone is looked at when the last CPU has left it. So
 * be on each of them.
 */
static void visit_cpus(void)
{
	long cpu, nr = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t all, one;

	sched_getaffinity(0, sizeof(all), &all);
	for (cpu = 0; cpu < nr; cpu++) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
	}
	sched_setaffinity(0, sizeof(all), &all);
}

bool kernel_complains(char *line, size_t size)
{
	char buf[8192], *text;
	bool found = false;
	unsigned int i;
	ssize_t n;

	visit_cpus();
	while (kmsg >= 0 && (n = read(kmsg, buf, sizeof(buf) - 1)) > 0) {
		buf[n] = 0;
		text = strchr(buf, ';');
		if (!text || found)
			continue;
		for (i = 0; i < ARRAY_SIZE(complaint); i++)
			found |= !!strstr(text, complaint[i]);
		if (found)
			snprintf(line, size, "kernel: %.*s",
				 (int)strcspn(text + 1, "\n"), text + 1);
	}
	return found;
}

/* --- Counts --- */

/* Objects in /proc/slabinfo. */
static const char * const slab[] = {
	"mm_struct", "vm_area_struct", "anon_vma", "anon_vma_chain",
	"task_struct", "maple_node", "det_space", "signal_cache",
	"sighand_cache", "pid", "cred_jar", "kmalloc-cg-4k", "kmalloc-4k",
	"kmalloc-cg-64", "kmalloc-cg-16",
};

static const char * const vmstat[] = {
	"nr_anon_pages", "nr_page_table_pages", "nr_foll_pin_acquired",
	"nr_foll_pin_released", "nr_mlock", "nr_unevictable",
};

#define SLABS ARRAY_SIZE(slab)
#define PINNED SLABS			/* and then those of vmstat, but one */
#define ANON (SLABS + 1)
#define TABLES (SLABS + 2)
#define COMMITTED (SLABS + 3)
#define TASKS (SLABS + 4)
#define ORPHANS (SLABS + 5)
#define COUNTS (SLABS + 6)

static const char *count_name(unsigned int i)
{
	static const char * const name[] = {
		"pinned pages", "nr_anon_pages", "nr_page_table_pages",
		"Committed_AS", "tasks", "anonymous pages that nobody maps",
	};

	return i < SLABS ? slab[i] : name[i - SLABS];
}

static bool write_file(const char *path, const char *what)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, what, strlen(what)) > 0;

	close(fd);
	return ok;
}

/* Objects that lie on a CPU's list of free ones would count as used. */
static void shrink_slabs(void)
{
	char path[128];
	unsigned int i;

	for (i = 0; i < SLABS; i++) {
		snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink",
			 slab[i]);
		write_file(path, "1");
	}
}

static void count_slabs(struct counts *c)
{
	FILE *f = fopen("/proc/slabinfo", "re");
	char line[512], name[64];
	unsigned int i;
	long active;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%63s %ld", name, &active) != 2)
			continue;
		for (i = 0; i < SLABS; i++)
			if (!strcmp(name, slab[i]))
				c->val[i] = active;
	}
	if (f)
		fclose(f);
}

/* The value behind a name at the beginning of a line. */
static long value_in(const char *path, const char *name)
{
	FILE *f = fopen(path, "re");
	char line[256];
	long val = 0;
	size_t n = strlen(name);

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, n) &&
		    (line[n] == ' ' || line[n] == ':'))
			val = atol(line + n + 1);
	if (f)
		fclose(f);
	return val;
}

static long count_tasks(void)
{
	FILE *f = fopen("/proc/loadavg", "re");
	long tasks = 0;

	if (f && fscanf(f, "%*f %*f %*f %*d/%ld", &tasks) != 1)
		tasks = 0;
	if (f)
		fclose(f);
	return tasks;
}

#define KPF_ANON 12
#define KPF_SWAPCACHE 13

/* A reference too many keeps a page that no page table has. */
static long count_orphans(void)
{
	int flags = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	int maps = open("/proc/kpagecount", O_RDONLY | O_CLOEXEC);
	static u64 f[8192], m[8192];
	long nr = 0;
	ssize_t n, i;

	while (flags >= 0 && maps >= 0 &&
	       (n = read(flags, f, sizeof(f))) > 0 &&
	       read(maps, m, sizeof(m)) == n)
		for (i = 0; i < n / 8; i++)
			nr += !m[i] && f[i] >> KPF_ANON & 1 &&
			      !(f[i] >> KPF_SWAPCACHE & 1);
	close(flags);
	close(maps);
	return nr;
}

/* What is freed later gets a little time; what lies in between is drained. */
void watch_count(struct counts *c)
{
	memset(c, 0, sizeof(*c));
	usleep(50000);
	write_file("/proc/sys/vm/drop_caches", "1");
	write_file("/proc/sys/vm/stat_refresh", "1");
	shrink_slabs();
	count_slabs(c);
	c->val[PINNED] = value_in("/proc/vmstat", vmstat[2]) -
			 value_in("/proc/vmstat", vmstat[3]);
	c->val[ANON] = value_in("/proc/vmstat", vmstat[0]);
	c->val[TABLES] = value_in("/proc/vmstat", vmstat[1]);
	c->val[COMMITTED] = value_in("/proc/meminfo", "Committed_AS") / 4;
	c->val[TASKS] = count_tasks();
	c->val[ORPHANS] = count_orphans();
}

/* What may grow by itself, a little, while others use the machine. */
static long noise(unsigned int i)
{
	if (i == PINNED)
		return 1;
	if (i == ORPHANS || i == TASKS)
		return 4;
	return i < SLABS ? 24 : 96;
}

/*
 * The name of what has grown by the limit or more, or NULL; limit 0: by more
 * than is usual.
 */
const char *watch_grown(const struct counts *from, const struct counts *to,
			long limit, long *by)
{
	unsigned int i;

	for (i = COUNTS; i--;) {
		*by = to->val[i] - from->val[i];
		if (*by >= (limit ?: noise(i)))
			return count_name(i);
	}
	return NULL;
}

void watch_print(FILE *f, const struct counts *from, const struct counts *to)
{
	unsigned int i;

	for (i = 0; i < COUNTS; i++)
		if (to->val[i] != from->val[i])
			fprintf(f, "# %s %+ld\n", count_name(i),
				to->val[i] - from->val[i]);
}

void watch_init(void)
{
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg >= 0)
		lseek(kmsg, 0, SEEK_END);
}
