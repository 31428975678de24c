// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Says in words what came of a join. Variables go by their names and the rest
 * of the memory by its distance from something that has one, so that a program
 * gets the same report wherever it was loaded.
 */
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>

#include "internal.h"

#define MAX_LINES	16
#define MAX_FRAMES	32

/* Where no variable is known: by what it is a part of. */
static void print_place(__u64 addr, FILE *to)
{
	if (addr >= DET_ARENA && addr < DET_ARENA + det_state.arena_size) {
		fprintf(to, "heap+%#llx", addr - DET_ARENA);
		return;
	}
	for (unsigned int i = 0; i < DET_NR_LEVELS; i++) {
		if (addr - det_block(i, DET_STACK_AT) < DET_STACK_SIZE) {
			fprintf(to, "stack of level %u, %llu below its end", i,
				det_stack_end(i) - addr);
			return;
		}
	}
	if (addr < 0x10000)
		fprintf(to, "address %#llx", addr);
	else
		fputs("an address that has no name", to);
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

/* Those that a program is likely to make without knowing. */
static const char *const call_name[] = {
	[SYS_read] = "read", [SYS_write] = "write", [SYS_open] = "open",
	[SYS_close] = "close", [SYS_stat] = "stat", [SYS_fstat] = "fstat",
	[SYS_lseek] = "lseek", [SYS_mmap] = "mmap", [SYS_mprotect] = "mprotect",
	[SYS_munmap] = "munmap", [SYS_brk] = "brk", [SYS_ioctl] = "ioctl",
	[SYS_rt_sigaction] = "rt_sigaction", [SYS_rt_sigprocmask] = "rt_sigprocmask",
	[SYS_pipe] = "pipe", [SYS_select] = "select", [SYS_poll] = "poll",
	[SYS_sched_yield] = "sched_yield", [SYS_dup] = "dup", [SYS_dup2] = "dup2",
	[SYS_nanosleep] = "nanosleep", [SYS_getpid] = "getpid",
	[SYS_getppid] = "getppid", [SYS_gettid] = "gettid", [SYS_socket] = "socket",
	[SYS_clone] = "clone", [SYS_fork] = "fork", [SYS_vfork] = "vfork",
	[SYS_execve] = "execve", [SYS_exit] = "exit", [SYS_wait4] = "wait4",
	[SYS_kill] = "kill", [SYS_tgkill] = "tgkill", [SYS_time] = "time",
	[SYS_gettimeofday] = "gettimeofday", [SYS_sysinfo] = "sysinfo",
	[SYS_futex] = "futex", [SYS_clock_gettime] = "clock_gettime",
	[SYS_clock_nanosleep] = "clock_nanosleep", [SYS_exit_group] = "exit_group",
	[SYS_openat] = "openat", [SYS_newfstatat] = "newfstatat",
	[SYS_getrandom] = "getrandom", [SYS_clone3] = "clone3",
};

static void print_call(__u64 nr, FILE *to)
{
	fprintf(to, "made system call %llu", nr);
	if (nr < DET_COUNT(call_name) && call_name[nr])
		fprintf(to, " (%s)", call_name[nr]);
}

static void report_stop(const struct det_result *result, FILE *to)
{
	const struct det_status *status = &result->status;
	struct det_variable var;
	const char *call;

	switch (status->reason) {
	case DET_FAULT:
		call = det_vdso_call(status->addr);
		if (call) {
			fprintf(to, "called %s(), which a member does not have", call);
			break;
		}
		fprintf(to, "%s, trap %d, at ", strsignal(status->sig),
			status->trap);
		if (det_find_variable(status->addr, &var))
			fprintf(to, "%s+%llu", var.name,
				(__u64)status->addr - var.start);
		else
			print_place(status->addr, to);
		break;
	case DET_SYSCALL:
		print_call(status->nr, to);
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
		fprintf(to, "member: %s\n", strerror(result->error));
}

static void print_function(const void *function, FILE *to)
{
	struct det_variable fn;

	if (det_find_function((uintptr_t)function, &fn))
		fprintf(to, "%s()", fn.name);
	else
		fputs("an unknown function", to);
}

/*
 * The function, with file and line, or a distance: the same wherever it was loaded. The
 * instruction is @back before @addr.
 */
static void print_instruction(uintptr_t addr, unsigned int back, FILE *to)
{
	struct det_variable fn;
	char line[128];

	if (!det_find_function(addr - back, &fn)) {
		fputs("an unknown function", to);
		return;
	}
	fprintf(to, "%s()", fn.name);
	if (det_find_line(addr - back, line, sizeof(line)))
		fprintf(to, " at %s", line);
	else
		fprintf(to, "+%#zx", addr - fn.start);
}

/* The call is before the address to which it returns. */
static void print_code(const void *where, FILE *to)
{
	print_instruction((uintptr_t)where, 1, to);
}

static void print_where(const char *what, const void *where, FILE *to)
{
	if (!where)
		return;
	fputs(what, to);
	print_code(where, to);
	fputc('\n', to);
}

static void print_member(const struct det_identity *member, FILE *to)
{
	if (member->team == DET_NO_TEAM)
		fprintf(to, "member %llu", (unsigned long long)member->ordinal);
	else
		fprintf(to, "member %u of %u", member->id, member->team);
}

/* The rest of the line is the caller's. */
static void print_who(const struct det_identity *member, FILE *to)
{
	fputs("  ", to);
	print_member(member, to);
	fputs(": ", to);
	print_function(member->function, to);
	fputs(", created in ", to);
	print_code(member->created, to);
}

static void print_origin(const struct det_identity *member, FILE *to)
{
	print_who(member, to);
	fputc('\n', to);
}

static void print_doing(enum det_stop stop, const void *where, FILE *to)
{
	switch (stop) {
	case DET_STOP_BARRIER:
		fputs("is at the barrier in ", to);
		print_code(where, to);
		break;
	case DET_STOP_COLLECTIVE:
		fputs("is at the collective in ", to);
		print_code(where, to);
		break;
	default:
		fputs("has ended", to);
	}
}

void det_report_standing(const struct det_identity *member,
			 const struct det_status *status, const struct det_note *note,
			 FILE *to)
{
	print_who(member, to);
	fputs(": ", to);
	if (!status)
		fputs("runs", to);
	else if (status->reason == DET_RET)
		print_doing(note->stop, note->where, to);
	else
		fprintf(to, "was stopped (%s)", status->reason == DET_SYSCALL ?
			"a system call" : "a fault");
	fputc('\n', to);
}

/* A number of as many bytes as fit: what lies at @addr, of bytes from a window on. */
static __u64 number_at(const struct det_failure *f, const unsigned char *bytes,
		       __u64 addr, size_t size)
{
	__u64 value = 0;

	memcpy(&value, bytes + (addr - f->window), size);
	return value;
}

/* Of a variable that is a number: what it was, and what became of it. */
static void print_values(const struct det_failure *f, FILE *to)
{
	__u64 addr = f->result.status.addr;
	struct det_variable var;
	size_t size = 1;

	if (!f->window)
		return;
	if (det_find_variable(addr, &var) && var.element &&
	    var.element <= 8 && (var.element & (var.element - 1)) == 0) {
		size = var.element;
		addr -= (addr - var.start) % size;
	}
	if (addr < f->window || addr + size > f->window + sizeof(f->before))
		return;
	fprintf(to, "  before %#llx; here %#llx; the member wrote %#llx\n",
		number_at(f, f->before, addr, size), number_at(f, f->ours, addr, size),
		number_at(f, f->theirs, addr, size));
}

static void report_failed_conflict(const struct det_failure *f, FILE *to)
{
	struct det_variable fn;
	const char *end = f->stop == DET_STOP_BARRIER ? "reached a barrier" : "ended";

	fputs("WARNING: libdet: conflict when ", to);
	print_member(&f->member, to);
	fprintf(to, " %s\n", end);
	report_conflict(&f->result, to);
	print_values(f, to);
	print_origin(&f->member, to);
	det_write_core(f, to);
	fputs("SUMMARY: libdet: conflict ", to);
	print_element(f->result.status.addr, 1, to);
	if (det_find_function((uintptr_t)f->member.function, &fn))
		fprintf(to, " in %s", fn.name);
	fputc('\n', to);
}

static void report_failed_barrier(const struct det_failure *f, FILE *to)
{
	fputs("WARNING: libdet: ", to);
	print_member(&f->member, to);
	fputc(' ', to);
	print_doing(f->stop, f->where, to);
	fputs(", ", to);
	print_member(&f->other, to);
	fputc(' ', to);
	print_doing(f->other_stop, f->other_where, to);
	fputc('\n', to);
	print_origin(&f->member, to);
	det_write_core(f, to);
	fputs("SUMMARY: libdet: members of a team have gone different ways\n", to);
}

static void print_instruction_line(const char *what, uintptr_t addr, unsigned int back,
				   FILE *to)
{
	fputs(what, to);
	print_instruction(addr, back, to);
	fputc('\n', to);
}

/* Where it was, and the calls that led there as far as anybody knows them. */
static void print_calls(const struct det_failure *f, FILE *to)
{
	uintptr_t pc[MAX_FRAMES + 1];
	int n = det_backtrace(f, pc, MAX_FRAMES + 1);

	if (f->has_regs && !det_vdso_call(f->regs.rip))
		print_instruction_line("  in ", f->regs.rip, 0, to);
	if (n < 2)
		print_where("  called from ", f->other_where, to);
	for (int i = 1; i < n && i < MAX_FRAMES; i++)
		print_instruction_line("  called from ", pc[i], 1, to);
	if (n > MAX_FRAMES)
		fputs("  called from more functions than are shown here\n", to);
	if (n < 0 && f->has_regs)
		fprintf(to, "  for a backtrace: %s\n", getauxval(AT_BASE) ?
			"libdw.so.1, of Debian's package libdw1" :
			"gdb, with DET_OPTIONS=core=DIR");
}

static void report_failed_stop(const struct det_failure *f, FILE *to)
{
	fputs("WARNING: libdet: ", to);
	print_member(&f->member, to);
	fputs(" was stopped\n  ", to);
	report_stop(&f->result, to);
	print_calls(f, to);
}

void det_report_failure(const struct det_failure *f, FILE *to)
{
	switch (f->kind) {
	case DET_FAILED_CONFLICT:
		report_failed_conflict(f, to);
		return;
	case DET_FAILED_BARRIER:
		report_failed_barrier(f, to);
		return;
	case DET_FAILED_STOP:
		report_failed_stop(f, to);
		break;
	case DET_FAILED_ERROR:
		fputs("WARNING: libdet: ", to);
		print_member(&f->member, to);
		fprintf(to, ": %s\n", strerror(f->result.error));
		break;
	default:
		fprintf(to, "WARNING: libdet: %s\n", f->text);
		print_where("  in ", f->where, to);
	}
	if (f->member.function)
		print_origin(&f->member, to);
	det_write_core(f, to);
	fprintf(to, "SUMMARY: libdet: the program cannot go on\n");
}
