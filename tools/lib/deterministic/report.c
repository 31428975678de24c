// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Says in words what came of a join. Variables go by their names and the rest
 * of the memory by its distance from something that has one, so that a program
 * gets the same report wherever it was loaded.
 */
#include <string.h>

#include "internal.h"

#define MAX_LINES	16

/* Where no variable is known: by the area that has been merged. */
static void print_place(__u64 addr, FILE *to)
{
	const struct det_area *heap = &det_state.heap;

	if (heap->start <= addr && addr < heap->end) {
		fprintf(to, "heap+%llu", addr - heap->start);
		return;
	}
	for (unsigned int i = 0; i < det_state.nr_merge; i++) {
		const struct det_area *area = &det_state.merge[i];

		if (area->start <= addr && addr < area->end) {
			fprintf(to, "area %u+%llu", i, addr - area->start);
			return;
		}
	}
	if (addr < 0x10000)
		fprintf(to, "address %#llx", addr);
	else
		fputs("an address outside of what is merged", to);
}

static void print_size(const char *type, __u64 size, FILE *to)
{
	fprintf(to, " (%s%s%llu byte%s)", type, type[0] ? ", " : "",
		size, size == 1 ? "" : "s");
}

/* [i] or [i][j] for element @n of an array. */
static void print_index(const struct det_variable *var, __u64 n, FILE *to)
{
	__u64 index[DET_MAX_DIMS];

	for (unsigned int i = var->nr_dims; i-- > 1; n /= var->dim[i])
		index[i] = n % var->dim[i];
	if (var->nr_dims)
		index[0] = n;
	for (unsigned int i = 0; i < var->nr_dims; i++)
		fprintf(to, "[%llu]", index[i]);
}

/*
 * Names what is at @addr, and returns how far that goes: one element of an
 * array or all of another variable; @len bytes of what is not known so well.
 */
static __u64 print_element(__u64 addr, __u64 len, FILE *to)
{
	struct det_variable var;
	__u64 offset, left;

	if (!det_find_variable(addr, &var)) {
		print_place(addr, to);
		print_size("", len, to);
		return len;
	}
	offset = addr - var.start;
	left = var.size - offset;
	fputs(var.name, to);
	if (var.element == 0) {
		if (len > left)
			len = left;
		if (len != var.size)
			fprintf(to, "+%llu", offset);
		print_size("", len, to);
		return len;
	}
	print_index(&var, offset / var.element, to);
	print_size(var.type, var.element, to);
	return var.element - offset % var.element;
}

static void report_conflict(const struct det_result *result, FILE *to)
{
	const struct det_status *status = &result->status;
	__u64 seen = 0, named = 0;
	unsigned int lines = 0;

	for (uint32_t i = 0; i < status->nr_ranges; i++) {
		__u64 addr = result->ranges[i].addr;
		__u64 end = addr + result->ranges[i].len;

		/* Several places of one element make one line. */
		if (addr < named)
			addr = named < end ? named : end;
		for (; addr < end && lines < MAX_LINES; lines++) {
			fputs("conflict: ", to);
			addr += print_element(addr, end - addr, to);
			fputc('\n', to);
			named = addr;
		}
		if (addr < end)
			seen -= end - addr;
		seen += result->ranges[i].len;
	}
	if (seen < status->nr_conflicts)
		fprintf(to, "conflict: and %llu bytes more\n",
			(__u64)status->nr_conflicts - seen);
}

static void report_stop(const struct det_result *result, FILE *to)
{
	const struct det_status *status = &result->status;
	struct det_variable var;

	fprintf(to, "space %llu: ", result->child);
	switch (status->reason) {
	case DET_FAULT:
		fprintf(to, "%s, trap %d, at ", strsignal(status->sig),
			status->trap);
		if (det_find_variable(status->addr, &var))
			fprintf(to, "%s+%llu", var.name,
				(__u64)status->addr - var.start);
		else
			print_place(status->addr, to);
		break;
	case DET_SYSCALL:
		fprintf(to, "made system call %llu",
			(__u64)status->nr);
		break;
	case DET_BROKEN:
		fputs("memory ran out under an operation", to);
		break;
	case DET_KILLED:
		fputs("killed from outside", to);
		break;
	default:
		fprintf(to, "stopped for reason %u", status->reason);
	}
	fputc('\n', to);
}

void det_report(const struct det_result *result, FILE *to)
{
	if (result->status.nr_conflicts)
		report_conflict(result, to);
	if (result->error == 0 || result->error == DET_ECONFLICT)
		return;
	if (result->error == DET_ESTOPPED)
		report_stop(result, to);
	else
		fprintf(to, "space %llu: %s\n", result->child,
			strerror(result->error));
}
