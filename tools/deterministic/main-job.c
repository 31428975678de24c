// SPDX-License-Identifier: GPL-2.0-only
/*
 * The main job: runs each program again and again, with pthreads and in spaces,
 * on 1, 2 and 4 CPUs, and compares what they say and how long they take. The
 * programs are those next to this one.
 *
 * A result is all that a program writes, and its exit status. The right one is
 * that of the sequential program; every run must have it. The race has no right
 * result, but in spaces it must have only one.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <det.h>

#include "common.h"

#define MAX_RESULTS	256
#define MAX_CPU_COUNTS	16
#define MAX_RUNS	99
#define MAX_ARGS	6

struct result {
	uint64_t sum;		/* over all that was written */
	size_t size;
	int status;		/* as waitpid() has it */
};

/* The distinct results of one program in one mode. */
struct results {
	struct result result[MAX_RESULTS];
	unsigned int nr;
};

struct job {
	const char *name;
	const char *program;
	const char *args[MAX_ARGS];
	bool race;
	struct result right;
	struct results results[2];		/* by mode */
	double seconds[2][MAX_CPU_COUNTS];	/* medians, by mode */
	struct text report[2][MAX_CPU_COUNTS * MAX_RUNS]; /* of the race */
	unsigned int nr_reports[2];
};

/* The quick one is first: whatever the file, something is soon to be seen. */
enum { MD5, SORT, MATMUL, LU, RACE, NR_JOBS };

static struct job jobs[NR_JOBS] = {
	[MD5] = { .name = "md5", .program = "dmd5" },
	[SORT] = { .name = "sort", .program = "dsort" },
	[MATMUL] = { .name = "matmul", .program = "dmatmul" },
	[LU] = { .name = "lu", .program = "dlu" },
	[RACE] = { .name = "race", .program = "drace", .race = true },
};

static char folder[PATH_MAX];		/* where the programs are */
static unsigned int runs, time_limit;
static unsigned int cpu_count[MAX_CPU_COUNTS], nr_cpu_counts;
static bool failed;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void wrong(const struct job *job, const char *what)
{
	printf("WRONG: %s: %s\n", job->name, what);
	fflush(stdout);
	failed = true;
}

/* From here on this process may use @nr of the CPUs that it has. */
static void use_cpus(unsigned int nr)
{
	cpu_set_t all, some;

	CPU_ZERO(&some);
	sched_getaffinity(0, sizeof(all), &all);
	for (int cpu = 0; nr && cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &all)) {
			CPU_SET(cpu, &some);
			nr--;
		}
	}
	sched_setaffinity(0, sizeof(some), &some);
}

static void __attribute__((noreturn))
execute(const struct job *job, const char *mode, unsigned int cpus, int out)
{
	char path[PATH_MAX + 16], mode_option[32];
	const char *argv[MAX_ARGS + 3] = { job->program, mode_option };
	int argc = 2;

	snprintf(path, sizeof(path), "%s/%s", folder, job->program);
	snprintf(mode_option, sizeof(mode_option), "--mode=%s", mode);
	for (int i = 0; job->args[i]; i++)
		argv[argc++] = job->args[i];
	use_cpus(cpus);
	dup2(out, STDOUT_FILENO);
	execv(path, (char **)argv);
	die("%s: %s", path, strerror(errno));
}

/* All that comes through @in; false if that takes too long. */
static bool read_output(int in, double until, struct text *text)
{
	size_t room = 0;
	ssize_t n = 0;

	*text = (struct text){ NULL, 0 };
	do {
		struct pollfd ready = { .fd = in, .events = POLLIN };
		double left = until - now();

		if (left <= 0 || poll(&ready, 1, left * 1000 + 1) == 0)
			return false;
		if (text->size == room) {
			room = room ? 2 * room : 1 << 16;
			text->data = realloc(text->data, room);
			if (!text->data)
				die("not enough memory for the output");
		}
		n = read(in, text->data + text->size, room - text->size);
		if (n > 0)
			text->size += n;
	} while (n > 0);
	return true;
}

/* FNV-1a, eight bytes at a time. */
static uint64_t sum_of(const char *data, size_t size)
{
	uint64_t sum = 14695981039346656037ULL ^ size, word;

	for (; size; data += sizeof(word)) {
		size_t n = size < sizeof(word) ? size : sizeof(word);

		word = 0;
		memcpy(&word, data, n);
		sum = (sum ^ word) * 1099511628211ULL;
		sum ^= sum >> 29;
		size -= n;
	}
	return sum;
}

/* Runs the program of @job once; @text is the caller's to free. */
static struct result run_once(const struct job *job, const char *mode,
			      unsigned int cpus, double *seconds,
			      struct text *text)
{
	struct result result;
	double start = now();
	int fd[2];
	pid_t pid;

	fflush(stdout);
	if (pipe(fd) < 0)
		die("cannot make a pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		die("cannot fork: %s", strerror(errno));
	if (pid == 0)
		execute(job, mode, cpus, fd[1]);
	close(fd[1]);
	if (!read_output(fd[0], start + time_limit, text)) {
		kill(pid, SIGKILL);
		wrong(job, "a run has been ended at the time limit");
	}
	close(fd[0]);
	waitpid(pid, &result.status, 0);
	*seconds = now() - start;
	result.sum = sum_of(text->data, text->size);
	result.size = text->size;
	return result;
}

static bool is_same(const struct result *a, const struct result *b)
{
	return a->sum == b->sum && a->size == b->size && a->status == b->status;
}

static void add_result(struct results *results, const struct result *result)
{
	for (unsigned int i = 0; i < results->nr; i++)
		if (is_same(&results->result[i], result))
			return;
	if (results->nr < MAX_RESULTS)
		results->result[results->nr++] = *result;
}

static double median(double *x, unsigned int nr)
{
	for (unsigned int i = 1; i < nr; i++)
		for (unsigned int j = i; j > 0 && x[j] < x[j - 1]; j--) {
			double swap = x[j];

			x[j] = x[j - 1];
			x[j - 1] = swap;
		}
	return nr % 2 ? x[nr / 2] : (x[nr / 2 - 1] + x[nr / 2]) / 2;
}

static void check_result(const struct job *job, const struct result *result,
			 enum run_mode mode, unsigned int cpus)
{
	bool right = is_same(result, &job->right);
	char what[128];

	if (job->race)
		right = WIFEXITED(result->status) &&
			WEXITSTATUS(result->status) == STATUS_OK;
	if (right)
		return;
	snprintf(what, sizeof(what), "%s on %u CPUs, status %#x, %s",
		 mode == MODE_SPACES ? "spaces" : "pthreads", cpus,
		 result->status,
		 job->race ? "the program has failed" :
			     "not the sequential program's result");
	wrong(job, what);
}

/* One row: both modes by turns, so that the machine is the same to both. */
static void run_on_cpus(struct job *job, unsigned int index)
{
	double seconds[2][MAX_RUNS];
	struct results here[2] = { { .nr = 0 }, { .nr = 0 } };
	static const char *const name[] = { "spaces", "pthreads" };
	unsigned int cpus = cpu_count[index];

	for (unsigned int run = 0; run < runs; run++) {
		for (int mode = MODE_PTHREADS; mode >= MODE_SPACES; mode--) {
			struct text text;
			struct result r = run_once(job, name[mode], cpus,
						   &seconds[mode][run], &text);

			check_result(job, &r, mode, cpus);
			add_result(&here[mode], &r);
			add_result(&job->results[mode], &r);
			if (job->race)
				job->report[mode][job->nr_reports[mode]++] = text;
			else
				free(text.data);
		}
	}
	for (int mode = MODE_SPACES; mode <= MODE_PTHREADS; mode++)
		job->seconds[mode][index] = median(seconds[mode], runs);
	printf("%-8s %4u %10u %8u %12.3f %9.3f\n", job->name, cpus,
	       here[MODE_PTHREADS].nr, here[MODE_SPACES].nr,
	       job->seconds[MODE_PTHREADS][index],
	       job->seconds[MODE_SPACES][index]);
	fflush(stdout);
}

/* A sum over the lines of a text that does not depend on their order. */
static uint64_t sum_of_lines(const struct text *text, size_t *lines)
{
	const char *end = text->data + text->size, *newline;
	uint64_t sum = 0;

	*lines = 0;
	for (const char *s = text->data; s < end; s = newline + 1) {
		newline = memchr(s, '\n', end - s);
		if (!newline)
			newline = end;
		sum += sum_of(s, newline - s);
		++*lines;
	}
	return sum;
}

/* The bytes of each line are not less than those of the line before. */
static bool is_sorted(const struct text *text)
{
	const char *end = text->data + text->size, *newline, *last = NULL;
	size_t last_len = 0;

	for (const char *s = text->data; s < end; s = newline + 1) {
		size_t len;
		int order;

		newline = memchr(s, '\n', end - s);
		if (!newline)
			return false;
		len = newline - s;
		order = last ? memcmp(last, s, len < last_len ? len : last_len) :
			       -1;
		if (order > 0 || (order == 0 && last_len > len))
			return false;
		last = s;
		last_len = len;
	}
	return true;
}

static void check_sort(const struct job *job, const char *file,
		       const struct text *output)
{
	struct text input = read_file(file);
	size_t in, out;

	if (!is_sorted(output))
		wrong(job, "the sequential program's lines are not sorted");
	if (sum_of_lines(&input, &in) != sum_of_lines(output, &out) || in != out)
		wrong(job, "the sequential program's lines are not the file's");
	free(input.data);
}

static void run_job(struct job *job, const char *file)
{
	struct text text;
	double seconds;

	if (!job->race) {
		job->right = run_once(job, "serial", 1, &seconds, &text);
		if (!WIFEXITED(job->right.status))
			die("%s has failed", job->program);
		if (WEXITSTATUS(job->right.status) == STATUS_TROUBLE)
			exit(STATUS_TROUBLE);	/* it has said why */
		if (job == &jobs[SORT])
			check_sort(job, file, &text);
		free(text.data);
	}
	for (unsigned int i = 0; i < nr_cpu_counts; i++)
		run_on_cpus(job, i);
	if (job->results[MODE_SPACES].nr != 1)
		wrong(job, "spaces had more than one result");
}

static void print_seconds(const struct job *job, enum run_mode mode)
{
	for (unsigned int i = 0; i < nr_cpu_counts; i++)
		printf("%8.3f", job->seconds[mode][i]);
}

static void print_table(void)
{
	unsigned int all = runs * nr_cpu_counts;
	int width = 8 * nr_cpu_counts;

	printf("\nIn %u run%s each:\n", all, all == 1 ? "" : "s");
	printf("         distinct results   %-*s  %s\n", width,
	       "  seconds, pthreads", "  seconds, spaces");
	printf("program  pthreads  spaces ");
	for (int mode = 0; mode < 2; mode++) {
		printf("  ");
		for (unsigned int i = 0; i < nr_cpu_counts; i++)
			printf("%4u CPU", cpu_count[i]);
	}
	putchar('\n');
	for (int j = 0; j < NR_JOBS; j++) {
		const struct job *job = &jobs[j];

		printf("%-8s %8u %7u   ", job->name,
		       job->results[MODE_PTHREADS].nr,
		       job->results[MODE_SPACES].nr);
		print_seconds(job, MODE_PTHREADS);
		printf("  ");
		print_seconds(job, MODE_SPACES);
		putchar('\n');
	}
}

/* What the race did to the element that all workers count in. */
static void print_answers(const struct job *job, const char *element)
{
	printf("\nThe race with pthreads, %s:", element);
	for (unsigned int i = 0; i < job->nr_reports[MODE_PTHREADS]; i++) {
		const struct text *text = &job->report[MODE_PTHREADS][i];
		const char *s = memmem(text->data, text->size, element,
				       strlen(element));

		if (s)
			s = memchr(s, '=', text->data + text->size - s);
		printf("%s %ld", i ? "," : "", s ? strtol(s + 1, NULL, 10) : -1);
	}
	putchar('\n');
}

static void print_report(const struct job *job)
{
	const struct text *text = &job->report[MODE_SPACES][0];

	printf("\nThe race in spaces, in %s run:\n",
	       job->results[MODE_SPACES].nr == 1 ? "every" : "the first");
	for (size_t i = 0; i < text->size; i++) {
		if (i == 0 || text->data[i - 1] == '\n')
			printf("  ");
		putchar(text->data[i]);
	}
}

/* "1,2,4", without those that are more than there are. */
static void parse_cpus(const char *list)
{
	unsigned int there = sysconf(_SC_NPROCESSORS_ONLN), cpus;
	char *copy = strdup(list), *next = copy, *word;
	cpu_set_t all;

	if (sched_getaffinity(0, sizeof(all), &all) == 0)
		there = CPU_COUNT(&all);
	while ((word = strsep(&next, ","))) {
		cpus = parse_number("--cpus", word, 1, 1024);
		if (nr_cpu_counts == MAX_CPU_COUNTS)
			die("--cpus has more than %d numbers", MAX_CPU_COUNTS);
		if (cpus <= there)
			cpu_count[nr_cpu_counts++] = cpus;
		else
			printf("Not on %u CPUs: there are %u.\n", cpus, there);
	}
	free(copy);
	if (nr_cpu_counts == 0)
		die("there are too few CPUs for --cpus=%s", list);
}

static void find_folder(void)
{
	ssize_t len = readlink("/proc/self/exe", folder, sizeof(folder) - 1);
	char *slash;

	if (len < 0)
		die("/proc/self/exe: %s", strerror(errno));
	folder[len] = '\0';
	slash = strrchr(folder, '/');
	*slash = '\0';
}

static const char *option_cpus = "1,2,4";
static const char *option_runs = "3";
static const char *option_limit = "300";
static const char *option_md5 = "bf4397d8b4dc061e1b6d191a352e9134";
static const char *option_md5_length = "4";
static const char *option_full;

static const struct option_spec options[] = {
	{ "cpus", "LIST", "numbers of CPUs (default 1,2,4)", &option_cpus },
	{ "runs", "N", "in each mode, on each number (default 3)",
	  &option_runs },
	{ "md5", "MD5", "whose text dmd5 looks for (default: that of wolf)",
	  &option_md5 },
	{ "md5-length", "N", "letters a to z of that text (default 4)",
	  &option_md5_length },
	{ "full", NULL, "larger matrices", &option_full },
	{ "limit", "SECONDS", "for one run (default 300)", &option_limit },
	{ NULL, NULL, NULL, NULL }
};

static const struct program program = {
	"det-main-job", "FILE",
	"Sorts FILE, searches for a text by its MD5, multiplies and decomposes matrices,\n"
	"and runs a program with a race: each with pthreads and in spaces, several times\n"
	"on several numbers of CPUs. The status is 1 if a result was wrong, or if spaces\n"
	"had more than one.", options, 0
};

static void set_arguments(const char *file)
{
	static char length[32];

	snprintf(length, sizeof(length), "--length=%s", option_md5_length);
	jobs[MD5].args[0] = length;
	jobs[MD5].args[1] = option_md5;
	jobs[SORT].args[0] = "--";
	jobs[SORT].args[1] = file;
	jobs[MATMUL].args[0] = option_full ? "--size=512" : "--size=256";
	jobs[LU].args[0] = option_full ? "--size=768" : "--size=320";
}

int main(int argc, char **argv)
{
	int i = parse_options(&program, argc, argv);
	double start = now();

	if (argc - i != 1)
		die("one FILE is needed (see det-main-job --help)");
	check_md5(option_md5);
	if (access(argv[i], R_OK) < 0)
		die("%s: %s", argv[i], strerror(errno));
	runs = parse_number("--runs", option_runs, 1, MAX_RUNS);
	time_limit = parse_number("--limit", option_limit, 1, 86400);
	if (det_version() < 0)
		die("this kernel has no spaces: %s", strerror(errno));
	parse_cpus(option_cpus);
	find_folder();
	set_arguments(argv[i]);

	printf("               distinct results   seconds (median of %u)\n",
	       runs);
	printf("program  CPUs   pthreads   spaces     pthreads    spaces\n");
	fflush(stdout);
	for (int j = 0; j < NR_JOBS; j++)
		run_job(&jobs[j], argv[i]);
	print_table();
	print_answers(&jobs[RACE], "counter[5]");
	print_report(&jobs[RACE]);
	printf("\n%s after %.0f seconds.\n", failed ? "FAILED" : "All as it should be",
	       now() - start);
	return failed ? STATUS_NO : STATUS_OK;
}
