// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * DET_OPTIONS: what the user of a program can change of it, name=value, separated by
 * colons. A mistake ends the program, so that no run is taken for what it is not.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

__attribute__((noreturn))
static void wrong(const char *what, int len)
{
	fprintf(stderr, "libdet: DET_OPTIONS: %.*s: known are %s, %s\n", len, what,
		"backend=spaces|threads|serial, exitcode=0..255",
		"core=DIR, granule=1|2|4|8, keep=0..65536, log_path=FILE, reexec=0|1");
	_exit(DET_EXIT_STATUS);
}

/* A whole number up to @high, from all of the value. */
static unsigned int number(const char *option, size_t len, const char *value,
			   unsigned long high)
{
	unsigned long n;
	char *end;

	n = strtoul(value, &end, 10);
	if (*value < '0' || *value > '9' || end != option + len || n > high)
		wrong(option, len);
	return n;
}

static bool is(const char *value, const char *end, const char *word)
{
	return (size_t)(end - value) == strlen(word) &&
	       memcmp(value, word, end - value) == 0;
}

static void set_backend(const char *option, size_t len, const char *value)
{
	const char *end = option + len;

	if (is(value, end, "spaces"))
		det_options.backend = DET_SPACES;
	else if (is(value, end, "threads"))
		det_options.backend = DET_THREADS;
	else if (is(value, end, "serial"))
		det_options.backend = DET_SERIAL;
	else
		wrong(option, len);
}

/* All of the value, if it fits. */
static bool set_path(char *path, size_t size, const char *value, size_t len)
{
	if (len == 0 || len >= size)
		return false;
	memcpy(path, value, len);
	path[len] = '\0';
	return true;
}

static void set_option(const char *option, size_t len)
{
	const char *value = memchr(option, '=', len);
	size_t name_len, value_len;

	if (!value)
		wrong(option, len);
	value++;
	name_len = value - 1 - option;
	value_len = len - name_len - 1;
	if (is(option, value - 1, "backend")) {
		set_backend(option, len, value);
	} else if (is(option, value - 1, "exitcode")) {
		det_options.exit_status = number(option, len, value, 255);
	} else if (is(option, value - 1, "granule")) {
		if (det_on_conflict(DET_REPORT, number(option, len, value, 8)))
			wrong(option, len);
	} else if (is(option, value - 1, "keep")) {
		det_options.keep = number(option, len, value, DET_MAX_CHILDREN);
	} else if (is(option, value - 1, "reexec")) {
		det_options.reexec = number(option, len, value, 1);
	} else if (is(option, value - 1, "log_path")) {
		if (!set_path(det_options.log_path, sizeof(det_options.log_path),
			      value, value_len))
			wrong(option, len);
	} else if (is(option, value - 1, "core")) {
		if (!set_path(det_options.core, sizeof(det_options.core), value,
			      value_len))
			wrong(option, len);
	} else {
		wrong(option, len);
	}
}

void det_read_options(void)
{
	const char *s = getenv("DET_OPTIONS");
	size_t len;

	for (; s && *s; s += len + (s[len] == ':')) {
		len = strcspn(s, ":");
		if (len)
			set_option(s, len);
	}
}

FILE *det_open_log(void)
{
	FILE *to = NULL;

	if (det_options.log_path[0])
		to = fopen(det_options.log_path, "a");
	return to ? to : stderr;
}
