// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The end of a program that has done what cannot be. Only the master can say so and
 * leave: a member notes down what it is and stops, and so does each that waits for it.
 */
#include <string.h>
#include <unistd.h>

#include "internal.h"

__attribute__((noreturn))
static void fail(void)
{
	FILE *log;

	while (det_state.level)
		det_stop_here(DET_STOP_FAILED, NULL);
	fflush(stdout);
	log = det_open_log();
	det_report_failure(&det_state.failure, log);
	fflush(log);
	_exit(det_options.exit_status);
}

static struct det_failure *begin(enum det_failure_kind kind)
{
	struct det_failure *failure = &det_state.failure;

	memset(failure, 0, sizeof(*failure));
	failure->kind = kind;
	return failure;
}

void det_misuse_at(const char *text, const void *where)
{
	struct det_failure *failure = begin(DET_FAILED_MISUSE);

	failure->member = det_state.me;
	failure->where = where;
	snprintf(failure->text, sizeof(failure->text), "%s", text);
	fail();
}

void det_misuse(const char *text)
{
	det_misuse_at(text, NULL);
}

/*
 * The space that it is about, from each that is above it. Its parent alone can ask for its
 * registers; how large their extended part is, CPUID knows, which a space need not have.
 */
static void note_space(struct det_failure *failure)
{
	char *xstate = (char *)det_block(det_state.level, DET_SCRATCH_AT);
	struct det_args args = {
		.flags = DET_REGS,
		.regs = (uintptr_t)&failure->regs, .regs_size = sizeof(failure->regs),
		.xstate = (uintptr_t)xstate, .xstate_size = 64 * DET_KIB,
	};
	bool first = failure->depth == 0;

	if (failure->depth == DET_MAX_DEPTH)
		return;
	failure->path[failure->depth++] = det_state.reading;
	if (!first || dget(det_state.reading, &args, sizeof(args)) < 0)
		return;
	memcpy(&failure->fpregs, xstate, sizeof(failure->fpregs));
	failure->has_regs = true;
}

static struct det_failure *begin_child(enum det_failure_kind kind, unsigned int slot)
{
	struct det_failure *failure = begin(kind);

	failure->member = det_kid(slot)->identity;
	det_state.reading = det_child(slot);
	det_output_take(NULL);
	note_space(failure);
	return failure;
}

void det_fail_conflict(unsigned int slot, enum det_stop stop,
		       const struct det_result *result)
{
	struct det_failure *failure = begin_child(DET_FAILED_CONFLICT, slot);
	size_t len = sizeof(failure->ours), left;

	failure->stop = stop;
	failure->result = *result;
	failure->window = result->status.addr & -8UL;
	/* The next page may be anything. */
	left = 4096 - failure->window % 4096;
	if (len > left)
		len = left;
	memcpy(failure->ours, (void *)failure->window, len);
	if (det_read_child(failure->theirs, failure->window, len) ||
	    det_read_image(failure->before, failure->window, len))
		failure->window = 0;
	fail();
}

/* Is there a call before this address? */
static bool is_return(uintptr_t addr)
{
	const unsigned char *p = (const unsigned char *)addr;

	if (!det_is_users(addr) || !det_is_users(addr - 7))
		return false;
	return p[-5] == 0xe8 || (p[-2] == 0xff && (p[-1] & 0x38) == 0x10) ||
	       (p[-3] == 0xff && (p[-2] & 0x38) == 0x10) ||
	       (p[-6] == 0xff && (p[-5] & 0x38) == 0x10);
}

/*
 * The first thing on its stack that looks like a return to the program: a system call is
 * in the C library, and its caller is what its author wants to know.
 */
static void find_caller(struct det_failure *failure)
{
	const struct user_regs_struct *regs = &failure->regs;
	uintptr_t stack[256];
	size_t len = sizeof(stack), left;

	if (!failure->has_regs)
		return;
	if (det_is_users(regs->rip))
		return;
	left = det_stack_end(det_state.level + 1) - regs->rsp;
	if (len > left)
		len = left;
	if (det_read_child(stack, regs->rsp, len))
		return;
	for (size_t i = 0; i < len / sizeof(*stack); i++) {
		if (!is_return(stack[i]))
			continue;
		failure->other_where = (void *)stack[i];
		return;
	}
}

void det_fail_stop(unsigned int slot, const struct det_status *status)
{
	struct det_failure *failure = begin_child(DET_FAILED_STOP, slot);

	find_caller(failure);
	failure->result.child = det_child(slot);
	failure->result.status = *status;
	failure->result.error = DET_ESTOPPED;
	fail();
}

void det_fail_error(unsigned int slot, int error)
{
	struct det_failure *failure = begin_child(DET_FAILED_ERROR, slot);

	failure->result.child = det_child(slot);
	failure->result.error = error;
	fail();
}

void det_fail_barrier(unsigned int slot, unsigned int other)
{
	struct det_failure *failure = begin_child(DET_FAILED_BARRIER, slot);
	const struct det_kid *kid = det_kid(slot), *other_kid = det_kid(other);

	failure->stop = kid->note.stop;
	failure->where = kid->note.where;
	failure->other = other_kid->identity;
	failure->other_stop = other_kid->note.stop;
	failure->other_where = other_kid->note.where;
	fail();
}

void det_fail_too(void)
{
	struct det_failure *failure = &det_state.failure;

	det_output_take(NULL);
	if (det_read_child(failure, (uintptr_t)failure, sizeof(*failure))) {
		begin(DET_FAILED_MISUSE);
		snprintf(failure->text, sizeof(failure->text),
			 "a member has failed and cannot be read");
	}
	note_space(failure);
	fail();
}
