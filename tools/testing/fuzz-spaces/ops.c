// SPDX-License-Identifier: GPL-2.0-only
/*
 * The written form of a sequence: a step a line, words of name=value.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ops.h"

static const char * const kind_name[NR_KINDS] = {
	"call", "write", "read", "syscall", "trap", "jump", "mmap", "munmap",
	"mprotect", "mremap", "madvise", "thread", "fork", "stir",
};

static const char * const op_name[] = {
	"OP0", "COPY", "ZERO", "PERM", "MERGE", "OP5",
};

static const char * const flag_name[] = {
	"REGS", "FORK", "SNAP", "START", "WAIT", "NOWAIT", "NOTIFY", "KILL",
};

/* An address: page.offset, with the offset in hex; or 0x... */
static void print_addr(FILE *f, u64 addr)
{
	if (addr >= ARENA && addr <= ARENA_END)
		fprintf(f, "%" PRIu64 ".%03x", (addr - ARENA) / PAGE,
			(unsigned int)(addr % PAGE));
	else
		fprintf(f, "0x%" PRIx64, addr);
}

static u64 read_addr(const char *s, char **end)
{
	u64 page;

	if (!strncmp(s, "0x", 2))
		return strtoull(s, end, 16);
	page = strtoull(s, end, 10);
	if (**end == '.')
		return ARENA + page * PAGE + strtoull(*end + 1, end, 16);
	return page;
}

static void print_flags(FILE *f, u64 flags)
{
	const char *sep = "";
	unsigned int i;

	fputs(" flags=", f);
	for (i = 0; i < ARRAY_SIZE(flag_name); i++) {
		if (!(flags >> i & 1))
			continue;
		fprintf(f, "%s%s", sep, flag_name[i]);
		sep = "+";
	}
}

static u64 read_flags(const char *s)
{
	u64 flags = 0;
	unsigned int i;
	size_t n;

	for (; *s; s += n + (s[n] == '+')) {
		n = strcspn(s, "+");
		for (i = 0; i < ARRAY_SIZE(flag_name); i++)
			if (n == strlen(flag_name[i]) &&
			    !strncmp(s, flag_name[i], n))
				flags |= 1ULL << i;
	}
	return flags;
}

static void print_op(FILE *f, const struct det_op *op)
{
	fprintf(f, " %s,%x,%x,%x,", op->op < ARRAY_SIZE(op_name) ?
		op_name[op->op] : "OP?", op->flags, op->prot, op->__pad);
	print_addr(f, op->caller);
	fputc(',', f);
	print_addr(f, op->child);
	fprintf(f, ",%" PRIu64, (u64)op->len);
}

static bool read_op(char *s, struct det_op *op)
{
	size_t n = strcspn(s, ",");
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(op_name); i++)
		if (n == strlen(op_name[i]) && !strncmp(s, op_name[i], n))
			break;
	if (i == ARRAY_SIZE(op_name) || s[n] != ',')
		return false;
	op->op = i;
	op->flags = strtoul(s + n + 1, &s, 16);
	op->prot = strtoul(s + 1, &s, 16);
	op->__pad = strtoul(s + 1, &s, 16);
	op->caller = read_addr(s + 1, &s);
	op->child = read_addr(s + 1, &s);
	op->len = strtoull(s + 1, &s, 10);
	return !*s;
}

static void print_call(FILE *f, const struct step *s)
{
	unsigned int i;

	fprintf(f, " %s", s->put ? "dput" : "dget");
	if (s->child == DET_SELF)
		fputs(" child=self", f);
	else
		fprintf(f, " child=%" PRIu64, s->child);
	if (s->flags)
		print_flags(f, s->flags);
	if (s->regs)
		fprintf(f, " regs=%u", s->regs);
	if (s->xstate)
		fprintf(f, " xstate=%u", s->xstate);
	if (s->nr_ranges)
		fprintf(f, " ranges=%u", s->nr_ranges);
	if (s->bad)
		fprintf(f, " bad=%u", s->bad);
	for (i = 0; i < s->nr_ops; i++)
		print_op(f, &s->op[i]);
}

void print_step(FILE *f, const struct step *s)
{
	unsigned int i;

	fputs(s->depth ? "" : "master", f);
	for (i = 0; i < s->depth; i++)
		fprintf(f, "%s%u", i ? "." : "", s->path[i]);
	if (s->kind == K_CALL) {
		print_call(f, s);
	} else {
		fprintf(f, " %s addr=", kind_name[s->kind]);
		print_addr(f, s->addr);
		fprintf(f, " len=%" PRIu64 " val=", s->len);
		print_addr(f, s->val);
		fprintf(f, " step=%" PRIu64, s->step);
	}
	fputc('\n', f);
}

void print_sequence(FILE *f, const struct sequence *q)
{
	unsigned int i;

	fprintf(f, "seed %" PRIu64 "%s\n", q->seed,
		q->look_often ? " often" : "");
	for (i = 0; i < q->nr; i++)
		print_step(f, &q->step[i]);
}

static bool read_path(const char *w, struct step *s)
{
	if (!strcmp(w, "master"))
		return true;
	for (; *w >= '0' && *w < '0' + KIDS && s->depth < MAX_PATH; w++) {
		s->path[s->depth++] = *w - '0';
		if (*++w != '.')
			return !*w;
	}
	return false;
}

static bool read_value(const char *w, const char *v, struct step *s)
{
	char *end = "";

	if (!strcmp(w, "child"))
		s->child = strcmp(v, "self") ? strtoull(v, &end, 0) : DET_SELF;
	else if (!strcmp(w, "flags"))
		s->flags = read_flags(v);
	else if (!strcmp(w, "regs"))
		s->regs = strtoul(v, &end, 0);
	else if (!strcmp(w, "xstate"))
		s->xstate = strtoul(v, &end, 0);
	else if (!strcmp(w, "ranges"))
		s->nr_ranges = strtoul(v, &end, 0);
	else if (!strcmp(w, "bad"))
		s->bad = strtoul(v, &end, 0);
	else if (!strcmp(w, "addr"))
		s->addr = read_addr(v, &end);
	else if (!strcmp(w, "val"))
		s->val = read_addr(v, &end);
	else if (!strcmp(w, "len"))
		s->len = strtoull(v, &end, 0);
	else if (!strcmp(w, "step"))
		s->step = strtoull(v, &end, 0);
	else
		return false;
	return !*end;
}

static bool read_kind(const char *w, struct step *s)
{
	unsigned int i;

	s->put = !strcmp(w, "dput");
	if (s->put || !strcmp(w, "dget"))
		return true;
	for (i = 1; i < NR_KINDS; i++) {
		if (strcmp(w, kind_name[i]))
			continue;
		s->kind = i;
		return true;
	}
	return false;
}

static bool read_step(char *line, struct step *s)
{
	char *save, *w = strtok_r(line, "\n ", &save), *v;

	if (!read_path(w, s))
		return false;
	w = strtok_r(NULL, "\n ", &save);
	if (!w || !read_kind(w, s))
		return false;
	while ((w = strtok_r(NULL, "\n ", &save))) {
		v = strchr(w, '=');
		if (v) {
			*v++ = 0;
			if (!read_value(w, v, s))
				return false;
		} else if (s->nr_ops == MAX_OPS ||
			   !read_op(w, &s->op[s->nr_ops++])) {
			return false;
		}
	}
	return true;
}

/* False, with a message, if it is not as print_sequence() writes it. */
bool read_sequence(FILE *f, struct sequence *q)
{
	char line[1024], copy[1024];

	memset(q, 0, sizeof(*q));
	while (fgets(line, sizeof(line), f)) {
		if (*line == '#' || *line == '\n')
			continue;
		if (!strncmp(line, "seed ", 5)) {
			q->seed = strtoull(line + 5, NULL, 0);
			q->look_often = strstr(line, "often");
			continue;
		}
		memcpy(copy, line, sizeof(copy));
		if (q->nr == MAX_STEPS || !read_step(line, &q->step[q->nr++])) {
			fprintf(stderr, "fuzz: cannot read: %s", copy);
			return false;
		}
	}
	return true;
}
