/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the disturbances of memory share: settings of the machine that are put
 * back, counters of the machine, numbers shared by survive and its disturbers,
 * and a victim with its mappings.
 */
#ifndef __SURVIVAL_DISTURB_TOOLS_H
#define __SURVIVAL_DISTURB_TOOLS_H

#include <stdbool.h>
#include <sys/types.h>

#include "disturb.h"

/* What a begin answers where the machine lacks something. */
#define LACKS 4

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

/* Says what is missing, and answers LACKS. */
int lacks(const char *name, const char *what);

bool is_there(const char *path);

/*
 * Settings. The first value that a file had is put back when the last of its
 * users says settings_drop(); each settings_use() must have one.
 */
void settings_use(void);
bool set_to(const char *path, const char *text);
void settings_drop(void);

/**
 * struct counter - a number of the machine that only grows
 * @path: the file
 * @key: as for get_number()
 * @before: what it was at counters_begin()
 */
struct counter {
	const char *path;
	const char *key;
	long before;
};

#define VMSTAT(name) { .path = "/proc/vmstat", .key = (name) }

void counters_begin(struct counter *c, int nr);

/* By how much it has grown; with @name it is printed. */
unsigned long counter_grown(const struct counter *c, const char *name);

/* The sum over all. */
unsigned long counters_grown(const struct counter *c, int nr,
			     const char *name);

/*
 * A number, 0 now, that processes forked after this share. @number is where
 * its address is kept; called again it is 0 again.
 */
void share_number(unsigned long **number);
void add_to(unsigned long *number, unsigned long n);

/* Sleep up to @ms milliseconds. */
void doze(unsigned long long *random, unsigned int ms);

/* 64 random bits. */
unsigned long long any64(unsigned long long *random);

/* A process of the load, 0 if there is none just now. */
pid_t any_master(pid_t load, unsigned long long *random);
pid_t any_space(pid_t load, unsigned long long *random);
pid_t any_process(pid_t load, unsigned long long *random);

/* A mapping, or a part of one. */
struct range {
	unsigned long start;
	unsigned long end;
	bool writable;
};

#define MAX_RANGES 1024

/* The mappings of a process; the kernel's own (vdso and such) left out. */
int ranges_of(pid_t pid, struct range *ranges, int max);

/* A random part of a random writable one, page aligned, of @max bytes or less. */
bool any_range(pid_t pid, unsigned long long *random, unsigned long max,
	       struct range *range);

/* Pages of a victim to a random one of two nodes each (disturb-memory.c). */
unsigned long move_some_pages(pid_t load, unsigned long long *random);

#endif /* __SURVIVAL_DISTURB_TOOLS_H */
