// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is what a call gave what the model said?
 */
#include <inttypes.h>
#include <stdio.h>

#include "exec.h"

/* The first difference is what counts. */
void differ(struct run *run, const char *fmt, ...)
{
	char *why = run->report->why;
	va_list ap;

	if (*why)
		return;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(run->report->why), fmt, ap);
	va_end(ap);
}

struct field {
	const char *name;
	unsigned int at, size;
};

#define FIELD(f) { #f, offsetof(struct det_status, f), \
		   sizeof(((struct det_status *)0)->f) }

static const struct field status_field[] = {
	FIELD(reason), FIELD(op), FIELD(nr_done), FIELD(nr_ranges),
	FIELD(sig), FIELD(trap), FIELD(addr), FIELD(error), FIELD(value),
	FIELD(nr), FIELD(arg[0]), FIELD(arg[1]), FIELD(arg[2]), FIELD(arg[3]),
	FIELD(arg[4]), FIELD(arg[5]), FIELD(nr_conflicts), FIELD(insns),
};

static u64 field_value(const struct det_status *st, const struct field *f)
{
	u64 val = 0;

	memcpy(&val, (const u8 *)st + f->at, f->size);
	return val;
}

bool check_status(struct run *run, const struct det_status *want,
		  const struct det_status *st)
{
	unsigned int i;

	if (!memcmp(want, st, sizeof(*st)))
		return true;
	for (i = 0; i < ARRAY_SIZE(status_field); i++) {
		u64 is = field_value(st, &status_field[i]);
		u64 should = field_value(want, &status_field[i]);

		if (is != should)
			differ(run, "status.%s is 0x%" PRIx64
			       ", should be 0x%" PRIx64, status_field[i].name,
			       is, should);
	}
	return false;
}

static const char * const reg_name[] = {
	"r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8",
	"rax", "rcx", "rdx", "rsi", "rdi", "orig_rax", "rip", "cs", "eflags",
	"rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
};

bool check_regs(struct run *run, const struct regs *want,
		const struct user_regs_struct *regs)
{
	const u64 *is = (const u64 *)regs, *should = (const u64 *)&want->user;
	unsigned int i;

	for (i = 0; i < sizeof(*regs) / 8; i++) {
		if (!(want->known >> i & 1) || is[i] == should[i])
			continue;
		differ(run, "register %s is 0x%" PRIx64 ", should be 0x%" PRIx64,
		       reg_name[i], is[i], should[i]);
		return false;
	}
	return true;
}

/* XMM0 to XMM15, of the legacy region. */
void fill_xstate(u32 seed, u8 *buf)
{
	u64 rnd = seed;
	unsigned int i;

	memcpy(buf, first_xstate, xstate_size);
	for (i = 160; seed && i < 416; i++)
		buf[i] = next_random(&rnd) >> 30;
}

bool check_xstate(struct run *run, const struct xstate *want, const u8 *xstate)
{
	u8 should[MAX_XSTATE];
	unsigned int i;

	if (!want->known)
		return true;
	fill_xstate(want->seed, should);
	for (i = 0; i < xstate_size; i++) {
		if (xstate[i] == should[i])
			continue;
		differ(run, "xstate[%u] is 0x%x, should be 0x%x", i, xstate[i],
		       should[i]);
		return false;
	}
	return true;
}

static bool check_ranges(struct run *run, const struct result *want,
			 const struct det_range *ranges)
{
	unsigned int i;

	for (i = 0; i < want->nr_ranges; i++) {
		if (ranges[i].addr == want->range[i].addr &&
		    ranges[i].len == want->range[i].len)
			continue;
		differ(run, "range %u is 0x%llx, %llu bytes, should be 0x%llx, %llu",
		       i, ranges[i].addr, ranges[i].len, want->range[i].addr,
		       want->range[i].len);
		return false;
	}
	return true;
}

/* Buffers that should not be written are full of 0xa5. */
bool check_result(struct run *run, const struct result *want, long ret,
		  const struct det_status *st, const struct det_range *ranges,
		  const struct user_regs_struct *regs, const u8 *xstate)
{
	static struct det_status untouched;

	memset(&untouched, 0xa5, sizeof(untouched));
	if (ret != want->ret) {
		differ(run, "result is %ld, should be %ld", ret, want->ret);
		return false;
	}
	if (!check_status(run, want->has_status ? &want->st : &untouched, st) ||
	    !check_ranges(run, want, ranges))
		return false;
	if (!want->has_regs)
		return true;
	return (!regs || check_regs(run, &want->regs, regs)) &&
	       (!xstate || check_xstate(run, &want->xstate, xstate));
}
