/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs share: options, errors, input, and workers, which are
 * spaces, threads, processes or a plain loop.
 */
#ifndef COMMON_H
#define COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Exit statuses. */
#define STATUS_OK	0
#define STATUS_NO	1	/* the answer is no: wrong, not found */
#define STATUS_TROUBLE	2	/* wrong options, no such file, no memory */

#define MAX_WORKERS	256

/**
 * struct option_spec - an option of the form --name=value, or --name
 * @name: without the dashes
 * @value_name: what --help calls the value; NULL for an option without
 * @help: one line
 * @value: where the value goes; "" for an option without
 */
struct option_spec {
	const char *name;
	const char *value_name;
	const char *help;
	const char **value;
};

/**
 * struct program - for --help and for messages
 * @name: as called
 * @arguments: what may follow the options, or ""
 * @about: what it does, one or more lines
 * @options: ends with an empty one; NULL for none
 * @has: of HAS_*, which options it has as well
 */
struct program {
	const char *name;
	const char *arguments;
	const char *about;
	const struct option_spec *options;
	unsigned int has;
};

#define HAS_WORKERS	1	/* --mode, --workers and --time */
#define HAS_INPUT	2	/* it makes its input itself: --size, --seed, --check */
#define HAS_ROUNDS	4	/* it can do its work again: --rounds */

/* Reads the options; returns the index of the first argument behind them. */
int parse_options(const struct program *program, int argc, char **argv);

/* A whole number from @low to @high, or the end of the program. */
uint64_t parse_number(const char *what, const char *text, uint64_t low,
		      uint64_t high);

/* 32 hexadecimal digits, or the end of the program. */
void check_md5(const char *text);

/* One line to stderr; then the program ends with STATUS_TROUBLE. */
__attribute__((noreturn, format(printf, 1, 2)))
void die(const char *format, ...);

void *allocate(size_t nr, size_t size);

/*
 * For all that workers write: whole pages of zeros, which processes share with
 * their parent (--mode=processes). In the other modes it is memory like any.
 */
void *allocate_shared(size_t nr, size_t size);

/* All of a file, "-" being standard input. */
struct text {
	char *data;
	size_t size;
};

struct text read_file(const char *name);

enum run_mode { MODE_SPACES, MODE_PTHREADS, MODE_PROCESSES, MODE_SERIAL };

/* The options of all programs with workers, understood. */
enum run_mode chosen_mode(void);
unsigned int chosen_workers(void);

/*
 * Runs work(0, arg) to work(n - 1, arg) and waits for all. In spaces, each
 * starts with the memory as it is now, and may only compute: it makes no
 * system call. Afterwards what it has written is in the caller's memory; of a
 * process, only what it has written to memory of allocate_shared().
 *
 * Spaces that cannot be joined are reported to @report and their work is lost;
 * returns how many. With @report NULL, that is the end of the program.
 * @merge_flags are of DET_MERGE_*.
 */
unsigned int run_workers(enum run_mode mode, unsigned int n,
			 void (*work)(unsigned int worker, void *arg),
			 void *arg, unsigned int merge_flags, FILE *report);

/*
 * As run_workers(), but with a mistake: nobody waits for worker @forgotten. The
 * work of a space is lost then; a thread or a process goes on meanwhile, and is
 * ready in time or not.
 */
void run_workers_but_forget(enum run_mode mode, unsigned int n,
			    unsigned int forgotten,
			    void (*work)(unsigned int worker, void *arg),
			    void *arg);

/*
 * Around all of the work, input and output being outside. With --time the
 * second one says on stderr how long it was, and how many page faults the whole
 * system had meanwhile. It returns whether --rounds wants the work again: then
 * the first round, in which workers are made, is told apart from the median of
 * the others.
 */
void start_work(void);
bool end_work(void);

/*
 * For programs that make their input. begin() reads the options, of which no
 * argument may be left; by_size() is the one of three that --size= chooses, for
 * some milliseconds, a tenth of a second and two seconds of sequential work.
 */
enum run_mode begin(const struct program *program, int argc, char **argv);
size_t by_size(size_t small, size_t medium, size_t large);
uint64_t chosen_seed(void);
bool must_check(void);

/* The exit status: whether the result is, bit by bit, the right one. */
int compare(const void *result, const void *right, size_t size);

/* Pages of its own for what a worker writes: else two would share some. */
#define OWN_PAGES	__attribute__((aligned(4096)))

/* The same numbers from the same state everywhere (splitmix64). */
static inline uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15ULL;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

/* A random number less than @n. */
static inline uint32_t random_below(uint64_t *state, uint32_t n)
{
	return (next_random(state) >> 32) * n >> 32;
}

/* From 0 to 1, without 1. */
static inline double random_unit(uint64_t *state)
{
	return (next_random(state) >> 11) / 9007199254740992.0;
}

/* Goes on from @sum over @size bytes; the first @sum is CHECKSUM_START. */
#define CHECKSUM_START	14695981039346656037ULL
uint64_t checksum_of(uint64_t sum, const void *data, size_t size);

/* Worker @w of @n has [share(w), share(w + 1)) of @total things. */
static inline size_t share(size_t total, unsigned int n, unsigned int w)
{
	return total / n * w + total % n * w / n;
}

#endif /* COMMON_H */
