// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the disturbances of memory share: settings that are put back, counters,
 * shared numbers, and a victim with its mappings.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "disturb-tools.h"

#define MAX_SETTINGS	64
#define MAX_PIDS	512
#define PAGE		4096UL

struct setting {
	char path[128];
	char old[64];
};

static struct setting settings[MAX_SETTINGS];
static int nr_settings;
static int nr_users;

int lacks(const char *name, const char *what)
{
	printf("# %s: %s\n", name, what);
	fflush(stdout);
	return LACKS;
}

bool is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

/* The value of a file; of "always [madvise] never" what is chosen. */
static bool read_setting(const char *path, char *val, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[256], *from = text, *chosen;
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = 0;
	chosen = strchr(text, '[');
	if (chosen)
		from = chosen + 1;
	from[strcspn(from, chosen ? "]" : "\n")] = 0;
	if (strlen(from) >= size)
		return false;
	snprintf(val, size, "%s", from);
	return true;
}

void settings_use(void)
{
	nr_users++;
}

bool set_to(const char *path, const char *text)
{
	struct setting *s = settings + nr_settings;
	int i;

	for (i = 0; i < nr_settings; i++)
		if (!strcmp(settings[i].path, path))
			return put_file(path, text);
	if (nr_settings == MAX_SETTINGS ||
	    !read_setting(path, s->old, sizeof(s->old)) ||
	    !put_file(path, text))
		return false;
	snprintf(s->path, sizeof(s->path), "%s", path);
	nr_settings++;
	return true;
}

void settings_drop(void)
{
	if (!nr_users || --nr_users)
		return;
	while (nr_settings) {
		struct setting *s = settings + --nr_settings;

		if (!put_file(s->path, s->old))
			printf("# cannot put %s back to %s\n", s->path,
			       s->old);
	}
}

void counters_begin(struct counter *c, int nr)
{
	int i;

	for (i = 0; i < nr; i++)
		c[i].before = get_number(c[i].path, c[i].key);
}

unsigned long counter_grown(const struct counter *c, const char *name)
{
	long grown = get_number(c->path, c->key) - c->before;

	if (grown < 0)
		grown = 0;
	if (name)
		printf("# %s: %s %ld\n", name, c->key ?: c->path, grown);
	return grown;
}

unsigned long counters_grown(const struct counter *c, int nr, const char *name)
{
	unsigned long sum = 0;
	int i;

	for (i = 0; i < nr; i++)
		sum += counter_grown(c + i, name);
	return sum;
}

void share_number(unsigned long **number)
{
	if (!*number) {
		void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			abort();
		*number = p;
	}
	**number = 0;
}

void add_to(unsigned long *number, unsigned long n)
{
	__atomic_fetch_add(number, n, __ATOMIC_RELAXED);
}

void doze(unsigned long long *random, unsigned int ms)
{
	usleep(any(random, ms * 1000));
}

unsigned long long any64(unsigned long long *random)
{
	return (unsigned long long)any(random, 1U << 31) << 33 ^
	       (unsigned long long)any(random, 1U << 31) << 11 ^
	       any(random, 1U << 31);
}

static pid_t one_of(const pid_t *pids, int nr, unsigned long long *random)
{
	return nr > 0 ? pids[any(random, nr)] : 0;
}

pid_t any_master(pid_t load, unsigned long long *random)
{
	pid_t pids[MAX_PIDS];

	return one_of(pids, children_of(load, pids, MAX_PIDS), random);
}

pid_t any_space(pid_t load, unsigned long long *random)
{
	pid_t pids[MAX_PIDS];

	return one_of(pids, spaces_below(load, pids, MAX_PIDS), random);
}

/* Spaces are many and masters few; both get their share. */
pid_t any_process(pid_t load, unsigned long long *random)
{
	pid_t pid = any(random, 3) ? any_space(load, random) : 0;

	return pid ?: any_master(load, random);
}

static bool is_kernels(const char *line)
{
	return strstr(line, "[vvar") || strstr(line, "[vdso]") ||
	       strstr(line, "[vsyscall]");
}

int ranges_of(pid_t pid, struct range *ranges, int max)
{
	unsigned long start, end;
	char line[512], perm[8];
	int n = 0;
	FILE *f;

	snprintf(line, sizeof(line), "/proc/%d/maps", pid);
	f = fopen(line, "re");
	if (!f)
		return 0;
	while (n < max && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %7s", &start, &end, perm) != 3 ||
		    is_kernels(line))
			continue;
		ranges[n++] = (struct range){ start, end, perm[1] == 'w' };
	}
	fclose(f);
	return n;
}

/* Of all pages of the writable mappings one, so that large ones count more. */
bool any_range(pid_t pid, unsigned long long *random, unsigned long max,
	       struct range *range)
{
	struct range ranges[MAX_RANGES], *r;
	unsigned long bytes = 0, at, most;
	int i, n = ranges_of(pid, ranges, MAX_RANGES);

	for (i = 0; i < n; i++)
		if (ranges[i].writable)
			bytes += ranges[i].end - ranges[i].start;
	if (!bytes)
		return false;
	at = any64(random) % bytes / PAGE * PAGE;
	for (r = ranges; !r->writable || at >= r->end - r->start; r++)
		if (r->writable)
			at -= r->end - r->start;
	range->start = r->start + at;
	most = (r->end - range->start < max ? r->end - range->start : max) /
	       PAGE;
	range->end = range->start + (1 + any(random, most)) * PAGE;
	range->writable = true;
	return true;
}
