/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What disturbs a load: one table entry each. A disturbance is a process of its
 * own beside the load (rounds.c), does one thing to it again and again until
 * it is told to end, and counts what it did: a disturbance that did nothing has
 * proved nothing.
 */
#ifndef __SURVIVAL_DISTURB_H
#define __SURVIVAL_DISTURB_H

#include <stdbool.h>
#include <sys/types.h>

/**
 * struct disturbance - one way to disturb
 * @name: as the command line has it
 * @what: one line for people
 * @begin: called once, as root, before the load starts: switches, cgroups, swap
 *	devices. 0, or 4 (a message is printed) where the machine lacks it
 * @join: called once in the process that then executes the load, before it
 *	does: to enter a cgroup, set a limit, a policy. May be NULL
 * @once: called again and again beside the load. @load is the pid of the
 *	load's program, its masters are its children, spaces are theirs.
 *	Returns how many times it disturbed. May be NULL: @begin was all
 * @end: called once after the load has ended: undoes @begin. May be NULL
 * @done: called after the load, before @end: how often the machine did what was
 *	meant (from /proc/vmstat, cgroup files, ...). 0 fails the run. May be
 *	NULL: what @once returned counts
 * @log: extended regular expression of the kernel log lines that it causes, or
 *	NULL; each such line must be preceded by an event that @once or @done
 *	has counted
 * @kills: spaces may be seen KILLED, and masters may die
 */
struct disturbance {
	const char *name;
	const char *what;
	int (*begin)(void);
	int (*join)(void);
	unsigned long (*once)(pid_t load, unsigned long long *random);
	void (*end)(void);
	unsigned long (*done)(void);
	const char *log;
	bool kills;
};

/* Each ends with an entry without a name. */
extern const struct disturbance disturb_readers[];	/* disturb-readers.c */
extern const struct disturbance disturb_memory[];	/* disturb-memory.c */
extern const struct disturbance disturb_swap[];		/* disturb-swap.c */
extern const struct disturbance disturb_machine[];	/* disturb-machine.c */
extern const struct disturbance disturb_trees[];	/* disturb-trees.c */
extern const struct disturbance disturb_death[];	/* disturb-death.c */
extern const struct disturbance disturb_intruders[];	/* disturb-intruders.c */

/*
 * What they share: disturb-common.c.
 */

/* Random: a number below @n. */
unsigned int any(unsigned long long *random, unsigned int n);

/* Write @text into the file; false, with errno, if that did not work. */
bool put_file(const char *path, const char *text);

/* A number after @key in a file such as /proc/vmstat; @key NULL: the first. */
long get_number(const char *path, const char *key);

/* Children of process @pid (masters of a load, spaces of a master or space). */
int children_of(pid_t pid, pid_t *pids, int max);

/* All spaces below @pid, of any depth. */
int spaces_below(pid_t pid, pid_t *pids, int max);

/* A folder of cgroup version 2, made, with the controllers switched on. */
const char *make_cgroup(const char *name);

#endif /* __SURVIVAL_DISTURB_H */
