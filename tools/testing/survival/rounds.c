// SPDX-License-Identifier: GPL-2.0-only
/*
 * rounds: masters with loads, until the rounds are done; the totals, and
 * whether the machine holds more than it did after the first hundred.
 *
 * The masters are forked. They share a page with this process, which lets them
 * all rest after the first rounds and after the last ones, and looks at the
 * machine meanwhile.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "growth.h"
#include "load.h"
#include "master.h"

#define MOST_MASTERS 64
#define FIRST_ROUNDS 100
#define LEG 5000	/* rounds between two rests */

enum { GO, REST, END };

/**
 * struct seat - a master, as both sides see it
 * @pid: its process; 0: none, it ended as it should. This side's
 * @quota: rounds to do, in all
 * @rests: it has nothing, and waits for @shared.leg to differ from @leg
 * @leg: the last one that it has taken part in
 * @lives: how often it was forked
 * @counts: what it has done
 */
struct seat {
	pid_t pid;
	unsigned long quota;
	volatile bool rests;
	volatile unsigned int leg;
	unsigned int lives;
	struct load_counts counts;
};

static struct shared {
	volatile unsigned int leg;
	volatile bool end, stop;
	struct seat seat[MOST_MASTERS];
} *shared;

static struct {
	struct load_options load;
	unsigned long rounds;
	unsigned int masters, seconds;
	unsigned long long seed;
	const struct master *master;
} o = {
	.load = { .children = 8, .source = "mix", .most = 64UL << 20 },
	.rounds = 1000, .masters = 1, .seed = 1,
};

static struct timespec began;

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - began.tv_sec + (now.tv_nsec - began.tv_nsec) / 1e9;
}

/* --- A master's side --- */

static bool leg(struct load *l, struct seat *s)
{
	unsigned int steps = 0;

	while (s->counts.rounds + s->counts.busy < s->quota && !shared->stop) {
		if (!load_step(l))
			return false;
		if (o.master && o.master->between && ++steps % 16 == 0)
			o.master->between();
	}
	return load_rest(l);
}

static int work(void *arg)
{
	struct seat *s = arg;
	unsigned long long seed = o.seed + (s - shared->seat) * 1000003 +
				  s->lives * 7919;
	struct load *l = load_new(&o.load, seed, &s->counts);
	int ret;

	while (l && !shared->end) {
		ret = load_map(l);
		if (ret)
			return ret;
		s->leg = shared->leg;
		if (!leg(l, s))
			return 1;
		s->rests = true;
		while (s->leg == shared->leg && !shared->end)
			usleep(1000);
		s->rests = false;
	}
	return l ? 0 : 4;
}

static int be_master(struct seat *s)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!o.master)
		return work(s);
	return o.master->become(work, s);
}

static bool start(struct seat *s)
{
	pid_t pid;

	fflush(NULL);
	s->rests = false;
	s->counts.busy = 0;
	s->lives++;
	pid = fork();
	if (!pid)
		exit(be_master(s));
	if (pid < 0)
		perror("rounds: fork");
	s->pid = pid;
	return pid > 0;
}

/* --- This side --- */

/* 0, or what ends this program too. A master that was killed is made again. */
static int ended(struct seat *s, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status))
		return WEXITSTATUS(status) == 4 ? 4 : 1;
	if (WIFEXITED(status)) {
		s->pid = 0;
		return shared->end ? 0 : 1;
	}
	if (!o.load.kills) {
		fprintf(stderr, "# a master was ended by signal %d\n",
			WTERMSIG(status));
		return 1;
	}
	s->counts.killed++;
	return start(s) ? 0 : 1;
}

static int look_after(struct seat *s)
{
	int status;

	if (s->pid && waitpid(s->pid, &status, WNOHANG) == s->pid)
		return ended(s, status);
	return 0;
}

/* Until all rest, or all have ended. */
static int wait_for_all(void)
{
	unsigned int i, ready = 0;
	int ret;

	while (ready < o.masters) {
		usleep(2000);
		if (o.seconds && seconds() > o.seconds)
			shared->stop = true;
		for (i = 0, ready = 0; i < o.masters; i++) {
			struct seat *s = &shared->seat[i];

			ret = look_after(s);
			if (ret)
				return ret;
			ready += shared->end ? !s->pid :
				 s->rests && s->leg == shared->leg;
		}
	}
	return 0;
}

static struct load_counts totals(void)
{
	struct load_counts t = {}, *c;
	unsigned int i;

	for (i = 0; i < o.masters; i++) {
		c = &shared->seat[i].counts;
		t.rounds += c->rounds;
		t.conflicts += c->conflicts;
		t.killed += c->killed;
		t.wrong += c->wrong;
		t.bytes += c->bytes;
		t.rets ^= c->rets;
	}
	return t;
}

/* All masters, up to this many rounds in all. */
static int do_leg(unsigned long rounds)
{
	unsigned int i;
	int ret;

	for (i = 0; i < o.masters; i++)
		shared->seat[i].quota = rounds / o.masters;
	shared->leg++;
	for (i = 0; i < o.masters; i++)
		if (!shared->seat[i].pid && !start(&shared->seat[i]))
			return 1;
	ret = wait_for_all();
	printf("# %lu rounds in %.1f s, %.0f a second\n", totals().rounds,
	       seconds(), totals().rounds / seconds());
	return ret;
}

/*
 * What masters of some kinds do between rounds leaves processes and memory, as
 * it is meant to: they end before the machine is looked at.
 */
static int end_masters(bool all)
{
	int ret;

	if (!all && !(o.master && o.master->between))
		return 0;
	shared->end = true;
	ret = wait_for_all();
	shared->end = false;
	return ret;
}

static int all_legs(struct growth *early, struct growth *late)
{
	unsigned long done = FIRST_ROUNDS;
	int ret;

	if (done > o.rounds / 2)
		done = (o.rounds + 1) / 2;
	if (done < o.masters)
		done = o.masters;
	ret = do_leg(done) ?: end_masters(false);
	if (ret)
		return ret;
	growth_look(early, NULL);
	while (!ret && done < o.rounds && !shared->stop) {
		done = done + LEG < o.rounds ? done + LEG : o.rounds;
		ret = do_leg(done);
	}
	ret = ret ?: end_masters(false);
	if (ret)
		return ret;
	growth_look(late, early);
	return end_masters(true);
}

static void kill_masters(void)
{
	unsigned int i;

	for (i = 0; i < o.masters; i++)
		if (shared->seat[i].pid > 0)
			kill(shared->seat[i].pid, SIGKILL);
	while (wait(NULL) > 0)
		;
}

static int run(void)
{
	struct growth early = {}, late = {};
	struct load_counts t;
	char text[128];
	bool grown;
	int ret;

	ret = all_legs(&early, &late);
	if (ret)
		kill_masters();
	if (ret == 4)
		return 4;
	t = totals();
	grown = !growth_none(&late, &early, text, sizeof(text));
	printf("# %.2f MiB copied in a round, returned values %016llx\n",
	       t.rounds ? t.bytes / 1048576.0 / t.rounds : 0.0, t.rets);
	if (grown)
		printf("# the machine has grown\n");
	printf("rounds: %lu rounds, %u children, %lu conflicts, %lu killed, %lu wrong, growth %s\n",
	       t.rounds, o.load.children * o.masters, t.conflicts, t.killed,
	       t.wrong, text);
	return ret || grown || t.wrong || !t.rounds;
}

static void usage(void)
{
	fprintf(stderr,
		"usage: rounds [-n rounds] [-c children] [-m masters] [-s seed] [-S source]\n"
		"              [-M master] [-a MiB of the greatest arena] [-t seconds] [-k]\n"
		"-k: spaces may be killed, and masters may die\n");
	exit(2);
}

static void parse(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "n:c:m:s:S:M:a:t:k")) != -1)
		switch (c) {
		case 'n':
			o.rounds = strtoul(optarg, NULL, 0);
			break;
		case 'c':
			o.load.children = atoi(optarg);
			break;
		case 'm':
			o.masters = atoi(optarg);
			break;
		case 's':
			o.seed = strtoull(optarg, NULL, 0);
			break;
		case 'S':
			snprintf(o.load.source, sizeof(o.load.source), "%s",
				 optarg);
			break;
		case 'M':
			o.master = find_master(optarg);
			if (!o.master)
				exit(2);
			break;
		case 'a':
			o.load.most = strtoul(optarg, NULL, 0) << 20;
			break;
		case 't':
			o.seconds = atoi(optarg);
			break;
		case 'k':
			o.load.kills = true;
			break;
		default:
			usage();
		}
	if (optind < argc || !o.rounds || !o.load.children || !o.masters ||
	    o.masters > MOST_MASTERS || o.load.most < 1UL << 20)
		usage();
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!load_possible())
		return 4;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 4;
	clock_gettime(CLOCK_MONOTONIC, &began);
	return run();
}
