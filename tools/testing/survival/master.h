/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Kinds of master: what a process may be, and may do between its calls, while
 * it has spaces.
 */
#ifndef __SURVIVAL_MASTER_H
#define __SURVIVAL_MASTER_H

/**
 * struct master - one kind of master
 * @name: as the command line has it
 * @what: one line for people
 * @become: makes the caller such a master, runs work(arg) in it, and returns
 *	what that returned; -1, after a message, where it could not. Called once,
 *	in a process of its own with one thread and no spaces. work() may run in
 *	another thread ("thread"), or in another process ("pidns": a child of the
 *	caller's, so what it leaves in memory must be shared). The process is
 *	such a master to its end
 * @between: called by work() between rounds, while it has spaces, with nothing
 *	of its own under way. What does not go as it should ends the program.
 *	May be NULL
 */
struct master {
	const char *name;
	const char *what;
	int (*become)(int (*work)(void *arg), void *arg);
	void (*between)(void);
};

/* NULL, after a list of the names that there are, for an unknown one. */
const struct master *find_master(const char *name);

#endif /* __SURVIVAL_MASTER_H */
