// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the programs share: options, errors, input, and workers.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <det.h>

#include "common.h"

static const char *program_name = "";

static const char *option_mode = "spaces";
static const char *option_workers = "4";
static const char *option_time;

static const struct option_spec worker_options[] = {
	{ "mode", "MODE", "spaces (default), pthreads, processes or serial",
	  &option_mode },
	{ "workers", "N", "how many share the work (default 4)",
	  &option_workers },
	{ "time", NULL, "say on stderr what the work took: time, page faults",
	  &option_time },
	{ NULL, NULL, NULL, NULL }
};

static const char *option_rounds = "1";

static const struct option_spec round_options[] = {
	{ "rounds", "N", "do all of the work so often, in one process (default 1)",
	  &option_rounds },
	{ NULL, NULL, NULL, NULL }
};

static const char *option_size = "small";
static const char *option_seed = "1";
static const char *option_check;

static const struct option_spec input_options[] = {
	{ "size", "SIZE", "of the input: small (default), medium or large",
	  &option_size },
	{ "seed", "N", "another input for each (default 1)", &option_seed },
	{ "check", NULL, "compare with the sequential program's result",
	  &option_check },
	{ NULL, NULL, NULL, NULL }
};

void die(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "%s: ", program_name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(STATUS_TROUBLE);
}

static void print_options(const struct option_spec *o)
{
	for (; o && o->name; o++) {
		char left[40];

		snprintf(left, sizeof(left), "--%s%s%s", o->name,
			 o->value_name ? "=" : "",
			 o->value_name ? o->value_name : "");
		printf("  %-22s %s\n", left, o->help);
	}
}

static void print_help(const struct program *program)
{
	printf("Usage: %s [options] %s\n\n%s\n\nOptions:\n", program->name,
	       program->arguments, program->about);
	if (program->has & HAS_WORKERS)
		print_options(worker_options);
	if (program->has & HAS_ROUNDS)
		print_options(round_options);
	if (program->has & HAS_INPUT)
		print_options(input_options);
	print_options(program->options);
	printf("  %-22s %s\n", "--help", "this text");
}

/* False if @arg is none of these. */
static bool set_option(const struct option_spec *o, const char *arg)
{
	size_t len = strcspn(arg, "=");

	for (; o && o->name; o++) {
		if (strlen(o->name) != len || memcmp(o->name, arg, len) != 0)
			continue;
		if (!o->value_name && arg[len] == '=')
			die("--%s takes no value", o->name);
		if (o->value_name && arg[len] != '=')
			die("--%s needs a value: --%s=%s", o->name, o->name,
			    o->value_name);
		*o->value = o->value_name ? arg + len + 1 : "";
		return true;
	}
	return false;
}

int parse_options(const struct program *program, int argc, char **argv)
{
	int i;

	program_name = program->name;
	for (i = 1; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
		if (strcmp(argv[i], "--") == 0)
			return i + 1;
		if (strcmp(argv[i], "--help") == 0) {
			print_help(program);
			exit(STATUS_OK);
		}
		if (strncmp(argv[i], "--", 2) == 0 &&
		    (set_option(program->options, argv[i] + 2) ||
		     ((program->has & HAS_WORKERS) &&
		      set_option(worker_options, argv[i] + 2)) ||
		     ((program->has & HAS_ROUNDS) &&
		      set_option(round_options, argv[i] + 2)) ||
		     ((program->has & HAS_INPUT) &&
		      set_option(input_options, argv[i] + 2))))
			continue;
		die("no such option: %s (see %s --help)", argv[i],
		    program->name);
	}
	return i;
}

uint64_t parse_number(const char *what, const char *text, uint64_t low,
		      uint64_t high)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || value < low ||
	    value > high)
		die("%s must be a number from %llu to %llu, not '%s'", what,
		    (unsigned long long)low, (unsigned long long)high, text);
	return value;
}

void check_md5(const char *text)
{
	if (strlen(text) != 32 || strspn(text, "0123456789abcdefABCDEF") != 32)
		die("an MD5 has 32 hexadecimal digits, which '%s' has not",
		    text);
}

void *allocate(size_t nr, size_t size)
{
	void *p = calloc(nr ? nr : 1, size);

	if (!p)
		die("not enough memory for %zu times %zu bytes", nr, size);
	return p;
}

void *allocate_shared(size_t nr, size_t size)
{
	int flags = MAP_ANONYMOUS | (chosen_mode() == MODE_PROCESSES ?
				     MAP_SHARED : MAP_PRIVATE);
	void *p = MAP_FAILED;
	size_t bytes;

	if (!__builtin_mul_overflow(nr ? nr : 1, size, &bytes))
		p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (p == MAP_FAILED)
		die("not enough memory for %zu times %zu bytes", nr, size);
	return p;
}

struct text read_file(const char *name)
{
	struct text text = { NULL, 0 };
	size_t room = 1 << 16;
	ssize_t n;
	int fd = 0;

	if (strcmp(name, "-") != 0)
		fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("%s: %s", name, strerror(errno));
	do {
		if (!text.data || text.size == room) {
			room *= 2;
			text.data = realloc(text.data, room);
			if (!text.data)
				die("%s: too large for the memory", name);
		}
		n = read(fd, text.data + text.size, room - text.size);
		if (n < 0)
			die("%s: %s", name, strerror(errno));
		text.size += n;
	} while (n > 0);
	if (fd > 0)
		close(fd);
	return text;
}

enum run_mode chosen_mode(void)
{
	static const char *const name[] = {
		"spaces", "pthreads", "processes", "serial"
	};

	for (int i = 0; i < 4; i++)
		if (strcmp(option_mode, name[i]) == 0)
			return i;
	die("--mode must be spaces, pthreads, processes or serial, not '%s'",
	    option_mode);
}

unsigned int chosen_workers(void)
{
	return parse_number("--workers", option_workers, 1, MAX_WORKERS);
}

enum run_mode begin(const struct program *program, int argc, char **argv)
{
	int i = parse_options(program, argc, argv);

	if (i < argc)
		die("no argument is needed: %s", argv[i]);
	by_size(0, 0, 0);
	chosen_seed();
	chosen_workers();
	return chosen_mode();
}

size_t by_size(size_t small, size_t medium, size_t large)
{
	if (strcmp(option_size, "small") == 0)
		return small;
	if (strcmp(option_size, "medium") == 0)
		return medium;
	if (strcmp(option_size, "large") == 0)
		return large;
	die("--size must be small, medium or large, not '%s'", option_size);
}

uint64_t chosen_seed(void)
{
	return parse_number("--seed", option_seed, 0, UINT64_MAX);
}

bool must_check(void)
{
	return option_check;
}

int compare(const void *result, const void *right, size_t size)
{
	if (memcmp(result, right, size) == 0)
		return STATUS_OK;
	printf("wrong: the sequential program has another result\n");
	return STATUS_NO;
}

/* FNV-1a, eight bytes at a time. */
uint64_t checksum_of(uint64_t sum, const void *data, size_t size)
{
	for (const char *p = data; size; p += sizeof(uint64_t)) {
		size_t n = size < sizeof(uint64_t) ? size : sizeof(uint64_t);
		uint64_t word = 0;

		memcpy(&word, p, n);
		sum = (sum ^ word) * 1099511628211ULL;
		sum ^= sum >> 29;
		size -= n;
	}
	return sum;
}

struct task {
	unsigned int worker;
	void (*work)(unsigned int worker, void *arg);
	void *arg;
};

static void run_task(void *arg)
{
	const struct task *task = arg;

	task->work(task->worker, task->arg);
}

static void *thread_main(void *arg)
{
	run_task(arg);
	return NULL;
}

/* In place of the number of a worker that is not joined. */
#define NOBODY	UINT_MAX

static void run_threads(unsigned int n, unsigned int forgotten,
			void (*work)(unsigned int, void *), void *arg)
{
	static struct task task[MAX_WORKERS];	/* the forgotten one's lives on */
	pthread_t thread[MAX_WORKERS];
	int err;

	for (unsigned int w = 0; w < n; w++) {
		task[w] = (struct task){ w, work, arg };
		err = pthread_create(&thread[w], NULL, thread_main, &task[w]);
		if (err)
			die("cannot make a thread: %s", strerror(err));
	}
	for (unsigned int w = 0; w < n; w++) {
		if (w == forgotten)
			pthread_detach(thread[w]);
		else
			pthread_join(thread[w], NULL);
	}
}

/* Waits for all before it complains of one. */
static void join_processes(const pid_t *pid, unsigned int n,
			   unsigned int forgotten)
{
	unsigned int dead = NOBODY;
	int status, how = 0;

	for (unsigned int w = 0; w < n; w++) {
		if (w == forgotten)
			continue;
		if (waitpid(pid[w], &status, 0) < 0)
			die("cannot wait for worker %u: %s", w, strerror(errno));
		if (status != 0 && dead == NOBODY) {
			dead = w;
			how = status;
		}
	}
	if (dead == NOBODY)
		return;
	if (WIFSIGNALED(how))
		die("worker %u died: %s", dead, strsignal(WTERMSIG(how)));
	die("worker %u ended with status %d", dead, WEXITSTATUS(how));
}

static void run_processes(unsigned int n, unsigned int forgotten,
			  void (*work)(unsigned int, void *), void *arg)
{
	pid_t pid[MAX_WORKERS];

	/* Those forgotten before, if they have ended. */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	for (unsigned int w = 0; w < n; w++) {
		pid[w] = fork();
		/* Those that there are die with us. */
		if (pid[w] < 0)
			die("cannot make a process: %s", strerror(errno));
		if (pid[w] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			work(w, arg);
			_exit(STATUS_OK);
		}
	}
	join_processes(pid, n, forgotten);
}

static unsigned int join_spaces(const det_t *space, unsigned int n,
				unsigned int forgotten, unsigned int merge_flags,
				FILE *report)
{
	struct det_result result;
	unsigned int failed = 0;

	for (unsigned int w = 0; w < n; w++) {
		if (w == forgotten) {
			det_discard(space[w]);
			continue;
		}
		if (det_join_with(space[w], merge_flags, &result) == 0)
			continue;
		fprintf(report ? report : stderr, "join of worker %u:\n", w);
		det_report(&result, report ? report : stderr);
		if (!report)
			die("worker %u cannot be joined", w);
		det_discard(space[w]);
		failed++;
	}
	return failed;
}

static unsigned int run_spaces(unsigned int n, unsigned int forgotten,
			       void (*work)(unsigned int, void *), void *arg,
			       unsigned int merge_flags, FILE *report)
{
	struct task task[MAX_WORKERS];
	det_t space[MAX_WORKERS];
	int err;

	for (unsigned int w = 0; w < n; w++) {
		task[w] = (struct task){ w, work, arg };
		err = det_create(&space[w], thread_main, &task[w]);
		if (err == ENOSYS)
			die("this kernel has no spaces");
		if (err)
			die("cannot make a space: %s", strerror(err));
	}
	return join_spaces(space, n, forgotten, merge_flags, report);
}

static unsigned int run_and_join(enum run_mode mode, unsigned int n,
				 unsigned int forgotten,
				 void (*work)(unsigned int worker, void *arg),
				 void *arg, unsigned int merge_flags,
				 FILE *report)
{
	switch (mode) {
	case MODE_SPACES:
		return run_spaces(n, forgotten, work, arg, merge_flags, report);
	case MODE_PTHREADS:
		run_threads(n, forgotten, work, arg);
		return 0;
	case MODE_PROCESSES:
		run_processes(n, forgotten, work, arg);
		return 0;
	case MODE_SERIAL:
		for (unsigned int w = 0; w < n; w++)
			work(w, arg);
		return 0;
	}
	return 0;
}

unsigned int run_workers(enum run_mode mode, unsigned int n,
			 void (*work)(unsigned int worker, void *arg),
			 void *arg, unsigned int merge_flags, FILE *report)
{
	return run_and_join(mode, n, NOBODY, work, arg, merge_flags, report);
}

void run_workers_but_forget(enum run_mode mode, unsigned int n,
			    unsigned int forgotten,
			    void (*work)(unsigned int worker, void *arg),
			    void *arg)
{
	run_and_join(mode, n, forgotten, work, arg, 0, NULL);
}

#define MAX_ROUNDS	1000

static uint64_t nsec[MAX_ROUNDS];	/* of each round */
static unsigned int nr_rounds, wanted_rounds;
static struct timespec work_began;
static long faults_before, faults_after_first;

/* Of all that runs, spaces too: those of a space count nowhere else. -1: unknown. */
static long count_faults(void)
{
	FILE *file = fopen("/proc/vmstat", "r");
	char line[80];
	long faults = -1;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "pgfault %ld", &faults) == 1)
			break;
	if (file)
		fclose(file);
	return faults;
}

/* What the kernel has put off since the program was executed, it does before. */
void start_work(void)
{
	wanted_rounds = parse_number("--rounds", option_rounds, 1, MAX_ROUNDS);
	if (option_time && !nr_rounds) {
		usleep(50000);
		faults_before = count_faults();
	}
	clock_gettime(CLOCK_MONOTONIC, &work_began);
}

static int compare_times(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void say_work(const char *which, uint64_t time, long faults)
{
	fprintf(stderr, "%s: %s%llu.%09llu seconds, %ld page faults\n",
		program_name, which, (unsigned long long)time / 1000000000,
		(unsigned long long)time % 1000000000, faults);
}

/* Page faults are counted twice only: what counts them changes memory as well. */
static void say_rounds(void)
{
	unsigned int others = nr_rounds - 1;

	if (!others) {
		say_work("", nsec[0], faults_after_first - faults_before);
		return;
	}
	say_work("first ", nsec[0], faults_after_first - faults_before);
	qsort(nsec + 1, others, sizeof(*nsec), compare_times);
	say_work("", nsec[nr_rounds / 2],
		 (count_faults() - faults_after_first) / others);
}

bool end_work(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	nsec[nr_rounds++] = (now.tv_sec - work_began.tv_sec) * 1000000000ULL +
			    now.tv_nsec - work_began.tv_nsec;
	if (option_time && nr_rounds == 1)
		faults_after_first = count_faults();
	if (nr_rounds < wanted_rounds)
		return true;
	if (option_time)
		say_rounds();
	return false;
}
