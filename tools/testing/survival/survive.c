// SPDX-License-Identifier: GPL-2.0-only
/*
 * survive: the load beside some disturbances. Each disturbance is a process of
 * its own; when the load has ended, it is asked what it has done, and the
 * kernel's log must have no line that nobody has expected.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "disturb.h"
#include "quiet.h"

#define MOST 16			/* disturbances in a run */
#define MOST_ENTRIES 256	/* lines of the list */
#define MOST_COPIES 8		/* processes of each */
#define PATIENCE 60		/* seconds that one last turn may take */
#define LONG_TURN 0.1		/* seconds of work, after which it rests */
#define REST 4			/* times as long */
#define LACKS 4

#define WEAK(table) \
	extern const struct disturbance table[] __attribute__((weak))

/* A file with its table may be missing. */
WEAK(disturb_readers);
WEAK(disturb_memory);
WEAK(disturb_swap);
WEAK(disturb_machine);
WEAK(disturb_trees);
WEAK(disturb_death);
WEAK(disturb_intruders);

static const struct disturbance * const *tables(void)
{
	static const struct disturbance *t[8];

	t[0] = disturb_readers;
	t[1] = disturb_memory;
	t[2] = disturb_swap;
	t[3] = disturb_machine;
	t[4] = disturb_trees;
	t[5] = disturb_death;
	t[6] = disturb_intruders;
	return t;
}

#define NR_TABLES 7

/**
 * struct row - a disturbance of this run
 * @d: its entry
 * @begun: so it must be ended
 * @pid: who disturbs
 * @times: what once() has returned, in all
 * @did: what counts of it, in the end
 */
struct row {
	const struct disturbance *d;
	bool begun;
	pid_t pid[MOST_COPIES];
	unsigned long times;
	unsigned long did;
};

/* Shared with those that disturb. */
static struct run {
	volatile bool stop;
	int nr;
	struct row row[MOST];
} *run;

static struct {
	const char *names, *program;
	unsigned int seconds, copies;
	unsigned long long seed;
} o = { .program = "rounds", .copies = 1 };

static volatile sig_atomic_t interrupted;
static pid_t load_pid;
static char last_line[512];
static bool failed;

static void fail(const char *what, const char *name)
{
	printf("# %s: %s\n", name, what);
	failed = true;
}

/* --- Names --- */

static const struct disturbance *find(const char *name)
{
	const struct disturbance *d;
	int i;

	for (i = 0; i < NR_TABLES; i++)
		for (d = tables()[i]; d && d->name; d++)
			if (!strcmp(d->name, name))
				return d;
	return NULL;
}

static int list(void)
{
	const struct disturbance *d;
	int i;

	for (i = 0; i < NR_TABLES; i++)
		for (d = tables()[i]; d && d->name; d++)
			printf("%-14s %s%s%s\n", d->name, d->what,
			       d->kills ? " (kills)" : "",
			       d->join ? " (joins)" : "");
	return 0;
}

static bool choose(const char *names)
{
	char *copy = strdup(names), *name, *rest = copy;

	while ((name = strsep(&rest, ",")) && run->nr < MOST) {
		struct row *r = &run->row[run->nr];

		r->d = find(name);
		if (!r->d) {
			fprintf(stderr, "survive: there is no %s (survive -l lists all)\n",
				name);
			break;
		}
		run->nr++;
	}
	free(copy);
	return !name;
}

/* --- The kernel's log --- */

static int kmsg = -1;

static void mark_log(void)
{
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg >= 0)
		lseek(kmsg, 0, SEEK_END);
}

static bool matches(const char *line, const char *pattern)
{
	bool found;
	regex_t re;

	if (regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB)) {
		fail("is no regular expression", pattern);
		return false;
	}
	found = !regexec(&re, line, 0, NULL, 0);
	regfree(&re);
	return found;
}

/* The list beside the test, in the program. */
extern const char expected[];
asm(".pushsection .rodata\n\t"
	"expected: .incbin \"expected\"\n\t"
	".byte 0\n\t"
	".popsection\n");

/* For lines that any run may cause. */
static const struct disturbance any_run = { .name = "*" };
static struct row the_run = { .d = &any_run, .did = 1 };

/* The row that an entry of the list is for, if the entry is for this line. */
static struct row *expected_row(const char *entry, const char *line,
				unsigned long *most)
{
	char name[64], count[16], pattern[256];
	int i;

	if (sscanf(entry, "%63s %15s %255[^\n]", name, count, pattern) != 3 ||
	    name[0] == '#')
		return NULL;
	*most = count[0] == '-' ? ULONG_MAX : strtoul(count, NULL, 0);
	if (!strcmp(name, "*") && matches(line, pattern))
		return &the_run;
	for (i = 0; i < run->nr; i++)
		if (!strcmp(run->row[i].d->name, name) &&
		    matches(line, pattern))
			return &run->row[i];
	return NULL;
}

/*
 * Who has caused this line; @most: how many of its kind one event may, and
 * @nr: how many there were, this one included.
 */
static struct row *who_said(const char *line, unsigned long *most,
			    unsigned long *nr)
{
	static unsigned long said[MOST_ENTRIES];
	const char *entry = expected;
	unsigned int i = 0;
	struct row *r;

	for (; entry && i < MOST_ENTRIES; entry = strchr(entry, '\n'), i++) {
		entry += *entry == '\n';
		r = expected_row(entry, line, most);
		if (r) {
			*nr = ++said[i];
			return r;
		}
	}
	*most = ULONG_MAX;
	for (i = 0; i < (unsigned int)run->nr; i++)
		if (run->row[i].d->log && matches(line, run->row[i].d->log))
			return &run->row[i];
	return NULL;
}

static void check_line(const char *line)
{
	unsigned long most = 0, nr = 0;
	struct row *r = who_said(line, &most, &nr);

	if (!r) {
		fail(line, "not expected in the kernel's log");
		return;
	}
	if (!r->did)
		fail(line, "in the kernel's log, and nothing has happened");
	else if (most != ULONG_MAX && nr > most * r->did)
		fail(line, "too often in the kernel's log");
}

/* A record: priority, sequence number, time, flags; text, more lines. */
static void check_log(void)
{
	char record[8192], *text;
	ssize_t n;

	if (kmsg < 0)
		return;
	for (;;) {
		n = read(kmsg, record, sizeof(record) - 1);
		if (n < 0 && errno == EPIPE) {
			fail("lines were lost", "the kernel's log");
			continue;
		}
		if (n <= 0)
			return;
		record[n] = 0;
		text = strchr(record, ';');
		if (!text || atoi(record) >> 3)	/* not the kernel's */
			continue;
		text[1 + strcspn(text + 1, "\n")] = 0;
		check_line(text + 1);
	}
}

/* --- Those that disturb --- */

static double seconds_worked(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/*
 * A turn that costs a slow kernel much, such as pushing pages out, would be
 * followed by the next before the load has done anything.
 */
static void rest_after(double worked)
{
	if (worked > LONG_TURN)
		usleep(worked * REST * 1e6);
}

static void disturb(struct row *r, int copy)
{
	unsigned long long random = o.seed + (r - run->row) * 1000003 +
				    copy * 7919 + 1;
	unsigned long n;
	double before;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	while (!run->stop) {
		quiet_pause();
		before = seconds_worked();
		n = r->d->once(load_pid, &random);
		rest_after(seconds_worked() - before);
		__atomic_add_fetch(&r->times, n, __ATOMIC_RELAXED);
		if (!n)		/* nothing to disturb yet */
			usleep(1000);
	}
	exit(0);
}

static void start_all(void)
{
	unsigned int copy;
	int i;

	fflush(NULL);
	for (i = 0; i < run->nr; i++)
		for (copy = 0; run->row[i].d->once && copy < o.copies; copy++) {
			pid_t pid = fork();

			if (!pid)
				disturb(&run->row[i], copy);
			run->row[i].pid[copy] = pid;
			if (pid < 0)
				fail("fork", run->row[i].d->name);
			else
				quiet_more(1);
		}
}

/* Waits for one's last turn. */
static void join_one(struct row *r, pid_t *pid)
{
	int status, i;

	for (i = 0; i < PATIENCE * 100 && !interrupted; i++) {
		if (waitpid(*pid, &status, WNOHANG) == *pid)
			goto ended;
		usleep(10000);
	}
	if (!interrupted)
		fail("does not come to an end", r->d->name);
	kill(*pid, SIGKILL);
	waitpid(*pid, &status, 0);
	*pid = 0;
	return;
ended:
	*pid = 0;
	if (status)
		fail("has ended with an error", r->d->name);
}

static void join_all(void)
{
	unsigned int copy;
	int i;

	run->stop = true;
	for (i = 0; i < run->nr; i++)
		for (copy = 0; copy < o.copies; copy++)
			if (run->row[i].pid[copy] > 0)
				join_one(&run->row[i], &run->row[i].pid[copy]);
}

static int begin_all(void)
{
	int i, ret = 0;

	for (i = 0; !ret && i < run->nr; i++) {
		ret = run->row[i].d->begin ? run->row[i].d->begin() : 0;
		run->row[i].begun = !ret;
	}
	return ret;
}

static void done_all(void)
{
	struct row *r;
	int i;

	for (i = 0; i < run->nr; i++) {
		r = &run->row[i];
		r->did = r->d->done ? r->d->done() : r->times;
		if (r->d->once)
			printf("# %s: %lu times\n", r->d->name, r->times);
		if (r->d->done)
			printf("# %s: %lu that count\n", r->d->name, r->did);
		if (!r->did)
			fail("has done nothing", r->d->name);
	}
}

static void end_all(void)
{
	int i;

	for (i = run->nr - 1; i >= 0; i--)
		if (run->row[i].begun && run->row[i].d->end)
			run->row[i].d->end();
}

/* --- The load --- */

static bool kills(void)
{
	int i;

	for (i = 0; i < run->nr; i++)
		if (run->row[i].d->kills)
			return true;
	return false;
}

/* As the command line has it, with what the disturbances ask for. */
static char **load_argv(int argc, char **argv)
{
	static char path[PATH_MAX], limit[16];
	char **all = calloc(argc + 5, sizeof(*all));
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);
	int i, nr = 0;

	path[n > 0 ? n : 0] = 0;
	dirname(path);
	strcat(path, "/");
	strncat(path, o.program, 30);
	all[nr++] = path;
	for (i = 0; i < argc; i++)
		all[nr++] = argv[i];
	if (kills())
		all[nr++] = "-k";
	if (o.seconds) {
		snprintf(limit, sizeof(limit), "%u", o.seconds);
		all[nr++] = "-t";
		all[nr++] = limit;
	}
	return all;
}

/*
 * What growth.c counts and what makes it exact is root's; a load that runs as
 * somebody else counts the same.
 */
static void share_counters(void)
{
	chmod("/proc/slabinfo", 0444);
	chmod("/sys/kernel/slab/det_space/shrink", 0666);
	chmod("/sys/kernel/slab/dmem_image/shrink", 0666);
	chmod("/sys/kernel/mm/transparent_hugepage/enabled", 0666);
}

/*
 * In the load's process, which waits until those that disturb are there. Opened
 * before anybody is joined: the owner may not see the folder.
 */
static void be_load(int go, int out, char **argv)
{
	int program = open(argv[0], O_RDONLY | O_CLOEXEC), i;
	char c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	dup2(out, STDOUT_FILENO);
	if (read(go, &c, 1) != 1)
		_exit(1);
	for (i = 0; i < run->nr; i++)
		if (run->row[i].d->join && run->row[i].d->join()) {
			fprintf(stderr, "%s: could not join\n",
				run->row[i].d->name);
			_exit(1);
		}
	fexecve(program, argv, environ);
	perror(argv[0]);
	_exit(1);
}

/* Passes on what the load says, and keeps the last line. */
static void listen_to_load(int fd)
{
	FILE *f = fdopen(fd, "r");
	char line[512];

	while (f && !interrupted && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		printf("%s%s\n", line[0] == '#' ? "" : "# ", line);
		if (line[0] && line[0] != '#')
			memcpy(last_line, line, sizeof(line));
	}
	if (f)
		fclose(f);
}

static int run_load(char **argv)
{
	int go[2], out[2], status = 1;

	if (pipe2(go, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		return 1;
	fflush(NULL);
	load_pid = fork();
	if (!load_pid)
		be_load(go[0], out[1], argv);
	close(go[0]);
	close(out[1]);
	start_all();
	if (load_pid < 0 || write(go[1], "", 1) != 1)
		fail("could not start", "the load");
	listen_to_load(out[0]);
	if (interrupted)
		kill(load_pid, SIGKILL);
	join_all();
	close(go[1]);
	if (waitpid(load_pid, &status, 0) != load_pid)
		return 1;
	if (WIFSIGNALED(status))
		fail(strsignal(WTERMSIG(status)), "the load was killed");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* --- All of it --- */

static int verdict(int ret)
{
	if (interrupted) {
		printf("not ok - %s: interrupted\n", o.names);
		return 1;
	}
	if (ret == LACKS && !failed) {
		printf("ok - %s # SKIP\n", o.names);
		return LACKS;
	}
	if (ret)
		fail("has failed", o.program);
	printf("%sok - %s: %s\n", failed ? "not " : "", o.names, last_line);
	return failed;
}

static int survive(int argc, char **argv)
{
	int ret;

	mark_log();
	share_counters();
	ret = begin_all();
	if (!ret) {
		ret = run_load(load_argv(argc, argv));
		if (!interrupted && ret != LACKS)
			done_all();
	}
	end_all();
	if (ret != LACKS)
		check_log();
	return verdict(ret);
}

static void note_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

static void usage(void)
{
	fprintf(stderr,
		"usage: survive [-d seconds] [-j processes of each] [-s seed] [-p program]\n"
		"               NAME[,NAME...] -- options of rounds\n"
		"       survive -l\n");
	exit(2);
}

int main(int argc, char **argv)
{
	struct sigaction act = { .sa_handler = note_signal };
	int c;

	setvbuf(stdout, NULL, _IOLBF, 0);
	o.seed = time(NULL);
	run = mmap(NULL, sizeof(*run), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	while ((c = getopt(argc, argv, "+d:j:s:p:l")) != -1)
		switch (c) {
		case 'd':
			o.seconds = atoi(optarg);
			break;
		case 'j':
			o.copies = atoi(optarg);
			break;
		case 's':
			o.seed = strtoull(optarg, NULL, 0);
			break;
		case 'p':
			o.program = optarg;
			break;
		case 'l':
			return list();
		default:
			usage();
		}
	if (optind >= argc || run == MAP_FAILED || o.copies > MOST_COPIES)
		usage();
	if (!quiet_init()) {
		perror("survive");
		return 1;
	}
	o.names = argv[optind++];
	if (!choose(o.names))
		return 2;
	if (optind < argc && !strcmp(argv[optind], "--"))
		optind++;
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	return survive(argc - optind, argv + optind);
}
