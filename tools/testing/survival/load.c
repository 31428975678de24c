// SPDX-License-Identifier: GPL-2.0-only
/*
 * The load: a master with children, in rounds of COPY, SNAP, run and MERGE.
 *
 * The master has a few arenas, and a plain array beside each: the model. A
 * child gets a part of an arena again and again; what it computes there, what
 * the merge says, and what the arena holds then must be the model's. Parts of
 * several children overlap, and all children are at work at once, so that
 * there are conflicts that nobody has planned, and some are planned.
 */
#include "child.h"
#include "disturb.h"
#include "load.h"
#include "model.h"
#include "../selftests/deterministic/mem.h"

#define ARENAS 4		/* the first is the great one */
#define SMALL (4UL << 20)	/* bytes of each of the others */
#define LEAST (256UL << 10)	/* a child's part */

/* Where a child has its own two pages: the program, then the stack. */
#define CHILD_PAGES 0x280000000UL
#define CHILD_STACK (CHILD_PAGES + 2 * PAGE)
#define CHILD_PROGRAM (CHILD_PAGES + 64)

/* So many rounds, and one of the arenas is compared. */
#define CHECK 50

/* Nothing is mapped there; it was never written to. */
enum { HOLE = 1, BLANK = 2 };

/**
 * struct arena - memory of the master
 * @mem: where it is
 * @model: what it must hold
 * @page: for each page, what is known of it
 */
struct arena {
	char *mem;
	unsigned char *model;
	unsigned char *page;
	size_t pages;
};

/**
 * struct kid - a child
 * @number: its number
 * @made: it is there
 * @busy: it is in a round
 * @life: rounds until it is made anew
 * @arena: the part that it gets: of this arena,
 * @first: from this page on,
 * @pages: so many
 * @shift: its addresses are so much higher than the master's
 * @nr: pages that this round may change
 * @page: which, in the arena
 * @pair: what it must have there
 * @ret: what it must return
 */
struct kid {
	__u64 number;
	bool made, busy;
	unsigned int life;
	struct arena *arena;
	size_t first, pages;
	__u64 shift;
	unsigned int nr;
	size_t page[TOUCHED];
	struct pair *pair;
	__u64 ret;
};

struct load {
	struct load_options o;
	struct load_counts *counts;
	const struct source *source;
	unsigned long long random;
	struct arena arena[ARENAS];
	bool mapped;
	struct kid *kid;
	__u64 next_number;
};

/* --- What went wrong --- */

static bool wrong(struct load *l, const struct kid *k, const char *what,
		  long ret, long want, const struct det_status *st)
{
	l->counts->wrong++;
	fprintf(stderr, "# round %lu, child %llu (%zu pages from %p): %s: %ld, should be %ld\n",
		l->counts->rounds, k ? k->number : 0, k ? k->pages : 0,
		k ? k->arena->mem + k->first * PAGE : NULL, what, ret, want);
	if (st)
		print_status(st);
	fflush(stderr);
	return false;
}

/* The machine's, not the program's: allowed where kills are expected. */
static bool is_lost(const struct load *l, long ret,
		    const struct det_status *st)
{
	if (!l->o.kills)
		return false;
	return ret == -EOWNERDEAD || ret == -ENOMEM || ret == -EAGAIN ||
	       st->reason == DET_KILLED || st->reason == DET_BROKEN;
}

static bool kill_kid(struct load *l, struct kid *k)
{
	long ret = kill_child(k->number);

	l->counts->busy -= k->busy;
	k->made = false;
	k->busy = false;
	if (ret && !(l->o.kills && ret == -ESRCH))
		return wrong(l, k, "KILL", ret, 0, NULL);
	return true;
}

/* A child that the machine took: its round counts, but says nothing. */
static bool lose_kid(struct load *l, struct kid *k)
{
	l->counts->killed++;
	l->counts->rounds++;
	return kill_kid(l, k);
}

/* --- Arenas --- */

/* Under emulation twenty times as fast as memcmp() with its wide registers. */
static bool same_page(const void *a, const void *b)
{
	const __u64 *x = a, *y = b;
	__u64 differ = 0;
	unsigned int i;

	for (i = 0; !differ && i < PAGE / 8; i += 8)
		differ = (x[i] ^ y[i]) | (x[i + 1] ^ y[i + 1]) |
			 (x[i + 2] ^ y[i + 2]) | (x[i + 3] ^ y[i + 3]) |
			 (x[i + 4] ^ y[i + 4]) | (x[i + 5] ^ y[i + 5]) |
			 (x[i + 6] ^ y[i + 6]) | (x[i + 7] ^ y[i + 7]);
	return !differ;
}

/* Marks what is not mapped, as the kernel has it. */
static bool find_holes(struct arena *a)
{
	__u64 mem = addr_of(a->mem), end = mem + a->pages * PAGE, at;
	unsigned long long from, to;
	FILE *f = fopen("/proc/thread-self/maps", "re");
	char line[512], perm[8];
	bool found = false;

	memset(a->page, HOLE, a->pages);
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx-%llx %7s", &from, &to, perm) != 3 ||
		    perm[1] != 'w')
			continue;
		for (at = from > mem ? from : mem; at < to && at < end;
		     at += PAGE) {
			a->page[(at - mem) / PAGE] = BLANK;
			found = true;
		}
	}
	if (f)
		fclose(f);
	return found;
}

/* The model begins as what is there. */
static void read_arena(struct arena *a)
{
	size_t i;

	for (i = 0; i < a->pages; i++)
		if (a->page[i] != HOLE &&
		    !same_page(a->mem + i * PAGE, a->model + i * PAGE)) {
			memcpy(a->model + i * PAGE, a->mem + i * PAGE, PAGE);
			a->page[i] = 0;
		}
}

static void *plain_pages(size_t size)
{
	void *p = mmap(NULL, size, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int map_arena(struct load *l, int nr, size_t size)
{
	struct arena *a = &l->arena[nr];

	a->pages = size / PAGE;
	if (!a->mem)
		a->mem = l->source->map(size, nr, &l->random);
	if (!a->mem || a->mem == MAP_FAILED) {
		a->mem = NULL;
		return 4;
	}
	a->model = plain_pages(size);
	a->page = plain_pages(a->pages);
	if (!a->model || !a->page || !find_holes(a)) {
		fprintf(stderr, "# no memory for a model, or no /proc/thread-self/maps\n");
		return 4;
	}
	read_arena(a);
	return 0;
}

int load_map(struct load *l)
{
	size_t small = l->o.most < SMALL ? l->o.most : SMALL;
	int i, ret = 0;

	for (i = 0; !ret && !l->mapped && i < ARENAS; i++)
		ret = map_arena(l, i, i ? small : l->o.most);
	l->mapped = !ret;
	return ret;
}

/* Each page is there, as it was. */
static void touch_all(struct arena *a)
{
	size_t i;

	for (i = 0; i < a->pages; i++)
		if (a->page[i] != HOLE)
			*(volatile char *)(a->mem + i * PAGE) =
				*(volatile char *)(a->mem + i * PAGE);
}

static void unmap_all(struct load *l)
{
	int i;

	for (i = 0; i < ARENAS; i++) {
		struct arena *a = &l->arena[i];

		if (l->source == &mix_source)
			a->mem = NULL;
		else
			touch_all(a);
		munmap(a->model, a->pages * PAGE);
		munmap(a->page, a->pages);
	}
	if (l->source == &mix_source)
		mix_unmap();
	l->mapped = false;
}

static bool page_is_right(struct load *l, struct kid *k, struct arena *a,
			  size_t page)
{
	const unsigned char *mem = (unsigned char *)a->mem + page * PAGE;
	const unsigned char *model = a->model + page * PAGE;
	size_t i;

	if (a->page[page] == HOLE || same_page(mem, model))
		return true;
	for (i = 0; mem[i] == model[i]; i++)
		;
	fprintf(stderr, "# arena %d, page %zu, byte %zu\n",
		(int)(a - l->arena), page, i);
	return wrong(l, k, "a byte", mem[i], model[i], NULL);
}

/* All pages, or those that were written to. */
static bool arena_is_right(struct load *l, struct arena *a, bool blank_too)
{
	size_t i;

	for (i = 0; i < a->pages; i++)
		if ((blank_too || a->page[i] != BLANK) &&
		    !page_is_right(l, NULL, a, i))
			return false;
	return true;
}

static bool arenas_are_right(struct load *l)
{
	int i;

	for (i = 0; i < ARENAS; i++)
		if (!arena_is_right(l, &l->arena[i], true))
			return false;
	return true;
}

/* --- What the master does on its own --- */

static void write_byte(struct arena *a, size_t page, unsigned int at, __u64 val)
{
	a->mem[page * PAGE + at] = val;
	a->model[page * PAGE + at] = val;
	a->page[page] = 0;
}

/* A page of the child's part; some are more frequent than others. */
static size_t any_page(struct load *l, const struct kid *k)
{
	size_t page;

	do {
		page = k->first + any(&l->random, any(&l->random, 4) ?
				      k->pages : 16);
	} while (k->arena->page[page] == HOLE);
	return page;
}

static void scribble(struct load *l, struct kid *k)
{
	size_t page = any_page(l, k);
	unsigned int i;

	for (i = any(&l->random, 6); i; i--)
		write_byte(k->arena, page, any(&l->random, PAGE),
			   any(&l->random, 256));
	if (l->source != &mix_source || any(&l->random, 8))
		return;
	page = any_page(l, k);
	mix_forget(k->arena->mem + page * PAGE, k->arena->model + page * PAGE);
}

/* Where the child has changed a byte, or beside it, so does the master. */
static void provoke(struct load *l, struct kid *k)
{
	unsigned int i = any(&l->random, k->nr), at;

	at = model_changed(&k->pair[i], any(&l->random, PAGE));
	if (at < PAGE)
		write_byte(k->arena, k->page[i],
			   any(&l->random, 2) ? at : at ^ any(&l->random, 8),
			   any(&l->random, 256));
}

/* --- A round begins --- */

static size_t any_size(struct load *l)
{
	size_t size = LEAST;
	unsigned int i;

	/* 2 MiB on average, with their lives: new_part() */
	for (i = 0; i < 8 && any(&l->random, 100) < 63; i++)
		size *= 2;
	return size < l->o.most ? size : l->o.most;
}

/* Another part for the child, and another time to live. */
static void new_part(struct load *l, struct kid *k)
{
	size_t size = any_size(l), room;
	unsigned int nr = any(&l->random, ARENAS + 2);

	if (size >= SMALL || nr >= ARENAS)
		nr = 0;
	k->arena = &l->arena[nr];
	k->pages = size / PAGE;
	room = k->arena->pages - k->pages;
	k->first = room ? any(&l->random, room + 1) : 0;
	if (any(&l->random, 2))
		k->first &= ~63UL;
	k->shift = size == LEAST && !any(&l->random, 4) ?
		   PAGE * (1 + any(&l->random, 1 << 20)) : 0;
	k->life = 1 + any(&l->random, size < 16UL << 20 ? 60 : 20);
}

/* The pages of this round, and what the child will make of them. */
static void plan(struct load *l, struct kid *k, struct program *p)
{
	struct program own;
	unsigned int i, j;
	size_t page;

	p->seed = next_random(&l->random) | 1;
	p->spin = any(&l->random, 8) ? 0 : any(&l->random, 20000);
	k->nr = 0;
	for (i = 1 + any(&l->random, TOUCHED); i; i--) {
		page = any_page(l, k);
		for (j = 0; j < k->nr && k->page[j] != page; j++)
			;
		if (j < k->nr)
			continue;
		k->page[j] = page;
		p->writes[j] = any(&l->random, 8);
		memcpy(k->pair[j].snap, k->arena->model + page * PAGE, PAGE);
		memcpy(k->pair[j].now, k->pair[j].snap, PAGE);
		k->nr++;
	}
	p->nr = k->nr;
	own = *p;
	for (j = 0; j < k->nr; j++) {
		own.page[j] = k->pair[j].now;
		p->page[j] = (unsigned char *)k->arena->mem + k->shift +
			     k->page[j] * PAGE;
	}
	k->ret = run_program(&own);
}

static unsigned int ops_new(struct load *l, struct kid *k, struct det_op *op)
{
	__u64 text, len, part = addr_of(k->arena->mem + k->first * PAGE);

	child_text(&text, &len);
	op[0] = op_zero(CHILD_PAGES, 2 * PAGE, PROT_RW);
	op[1] = op_copy((void *)text, text, len);
	if (!l->source->bytes)
		return 2;
	op[2] = op_zero(part + k->shift, k->pages * PAGE, PROT_RW);
	return 3;
}

/* The child's part, in one piece or in two. */
static unsigned int ops_part(struct load *l, struct kid *k, struct det_op *op)
{
	const char *part = k->arena->mem + k->first * PAGE;
	size_t cut = any(&l->random, 3) ? 0 : any(&l->random, k->pages) * PAGE;

	op[0] = op_copy(part, addr_of(part) + k->shift, cut);
	op[1] = op_copy(part + cut, addr_of(part) + cut + k->shift,
			k->pages * PAGE - cut);
	return 2;
}

/* One call, or one for each step: the same to the child. */
static long put_round(struct load *l, struct kid *k, struct det_op *op,
		      unsigned int nr, struct det_status *st)
{
	struct user_regs_struct regs = {
		.rip = addr_of(child_main),
		.rsp = CHILD_STACK - 8,
		.rdi = CHILD_PROGRAM,
		.eflags = 0x202,
	};
	struct det_args a = args_of(DET_SNAP | DET_START, op, nr, st);
	long ret;

	if (!any(&l->random, 4)) {
		ret = put_ops(k->number, 0, op, nr, st);
		ret = ret ?: put_flags(k->number, DET_SNAP, st);
		if (ret)
			return ret;
		a = args_of(DET_START, NULL, 0, st);
	}
	if (!k->made)
		args_regs(&a, &regs);
	return dput(k->number, &a);
}

static bool begin(struct load *l, struct kid *k)
{
	struct det_status st = {};
	struct program p = {};
	struct det_op op[6];
	unsigned int nr = 0;
	long ret;

	if (k->made && !k->life-- && !kill_kid(l, k))
		return false;
	if (!k->made) {
		k->number = any(&l->random, 2) ? k->number : l->next_number++;
		new_part(l, k);
		nr = ops_new(l, k, op);
	}
	scribble(l, k);
	plan(l, k, &p);
	nr += ops_part(l, k, op + nr);
	op[nr++] = op_copy(&p, CHILD_PROGRAM, sizeof(p));
	ret = put_round(l, k, op, nr, &st);
	k->made = true;
	if (ret && is_lost(l, ret, &st))
		return lose_kid(l, k);
	if (ret)
		return wrong(l, k, "COPY, SNAP, START", ret, 0, &st);
	k->busy = true;
	l->counts->busy++;
	l->counts->bytes += k->pages * PAGE;
	return true;
}

/* --- A round ends --- */

/* What the merge must say, by the model. */
static long foresee(const struct kid *k, __u32 flags, unsigned int *nr,
		    __u64 *addr)
{
	unsigned int i, first = 0, here;
	__u64 at;

	*nr = 0;
	*addr = ~0ULL;
	for (i = 0; i < k->nr; i++) {
		here = model_conflicts(&k->pair[i],
				       k->arena->model + k->page[i] * PAGE,
				       flags, &first);
		at = addr_of(k->arena->mem) + k->page[i] * PAGE + first;
		if (here && at < *addr)
			*addr = at;
		*nr += here;
	}
	return *nr && !(flags & (DET_MERGE_KEEP | DET_MERGE_TAKE)) ?
	       -DET_ECONFLICT : 0;
}

static unsigned int ops_merge(struct load *l, struct kid *k, __u32 flags,
			      struct det_op *op)
{
	unsigned int nr = ops_part(l, k, op), i;

	for (i = 0; i < nr; i++) {
		op[i].op = DET_MERGE;
		op[i].flags = flags;
	}
	return nr;
}

/* One MERGE with its verdict; *@lost: the machine took the child. */
static bool merge(struct load *l, struct kid *k, __u32 flags, bool *conflict,
		  bool *lost)
{
	struct det_status st = {};
	unsigned int nr, i;
	struct det_op op[2];
	__u64 addr;
	long ret, want = foresee(k, flags, &nr, &addr);

	ret = get_ops(k->number, 0, op, ops_merge(l, k, flags, op), &st);
	/* It may have been killed behind a MERGE that is done. */
	*lost = is_lost(l, ret, &st);
	if (*lost && ret != want)
		return true;
	if (ret != want)
		return wrong(l, k, "MERGE", ret, want, &st);
	if (!*lost && (st.reason != DET_RET || st.value != k->ret))
		return wrong(l, k, "the child's value", st.value, k->ret, &st);
	if (st.nr_conflicts != nr)
		return wrong(l, k, "conflicts", st.nr_conflicts, nr, &st);
	if (ret && st.addr != addr)
		return wrong(l, k, "the first conflict", st.addr, addr, &st);
	*conflict = nr;
	for (i = 0; !ret && i < k->nr; i++) {
		model_merge(&k->pair[i], k->arena->model + k->page[i] * PAGE,
			    flags);
		k->arena->page[k->page[i]] = 0;
	}
	return true;
}

/* A page of the child's, and what it was, read by dget. */
static bool peek_is_right(struct load *l, struct kid *k)
{
	static char __attribute__((aligned(PAGE))) got[2 * PAGE];
	unsigned int i = any(&l->random, k->nr);
	__u64 at = addr_of(k->arena->mem) + k->page[i] * PAGE + k->shift;
	struct det_op op[] = {
		op_copy(got, at, PAGE),
		op_image(got + PAGE, at, PAGE),
	};
	struct det_status st = {};
	long ret = get_ops(k->number, 0, op, ARRAY_SIZE(op), &st);

	if (ret && is_lost(l, ret, &st))
		return true;
	if (ret)
		return wrong(l, k, "COPY out", ret, 0, &st);
	if (!same_page(got, k->pair[i].now))
		return wrong(l, k, "the child's page", 1, 0, &st);
	if (!same_page(got + PAGE, k->pair[i].snap))
		return wrong(l, k, "the snapshot's page", 1, 0, &st);
	return true;
}

static bool round_is_right(struct load *l, struct kid *k)
{
	unsigned long n = l->counts->rounds;
	struct arena *a;
	unsigned int i;

	for (i = 0; i < k->nr; i++)
		if (!page_is_right(l, k, k->arena, k->page[i]))
			return false;
	for (i = 0; i < 2; i++)
		if (!page_is_right(l, k, k->arena, any_page(l, k)))
			return false;
	a = &l->arena[n / CHECK % ARENAS];
	return n % CHECK || arena_is_right(l, a, a != l->arena);
}

static bool finish(struct load *l, struct kid *k)
{
	static const __u32 policies[] = { 0, 0, 0, 0, 0, 0, DET_MERGE_KEEP,
					  DET_MERGE_TAKE };
	__u32 granule = any(&l->random, 4) << 8;
	__u32 policy = policies[any(&l->random, ARRAY_SIZE(policies))];
	bool conflict = false, lost = false;

	if (!any(&l->random, 8))
		provoke(l, k);
	if (!merge(l, k, granule | policy, &conflict, &lost))
		return false;
	if (!lost && conflict && !policy && any(&l->random, 2)) {
		policy = any(&l->random, 2) ? DET_MERGE_KEEP : DET_MERGE_TAKE;
		if (!merge(l, k, granule | policy, &conflict, &lost))
			return false;
	}
	if (lost)
		return lose_kid(l, k);
	k->busy = false;
	l->counts->busy--;
	l->counts->rounds++;
	l->counts->conflicts += conflict;
	l->counts->rets = (l->counts->rets ^ k->ret) * 0x9e3779b97f4a7c15ULL;
	if (!any(&l->random, 32) && !peek_is_right(l, k))
		return false;
	return round_is_right(l, k);
}

/* --- For rounds.c --- */

bool load_step(struct load *l)
{
	struct kid *k = &l->kid[any(&l->random, l->o.children)];
	struct arena *a = &l->arena[any(&l->random, ARENAS)];

	if (l->source->churn && !any(&l->random, 32))
		l->source->churn(a->mem, a->pages * PAGE, &l->random);
	if (k->busy && !finish(l, k))
		return false;
	return begin(l, k);
}

bool load_rest(struct load *l)
{
	unsigned int i;

	for (i = 0; i < l->o.children; i++) {
		if (l->kid[i].busy && !finish(l, &l->kid[i]))
			return false;
		if (l->kid[i].made && !kill_kid(l, &l->kid[i]))
			return false;
	}
	if (!arenas_are_right(l))
		return false;
	unmap_all(l);
	return true;
}

struct load *load_new(const struct load_options *o, unsigned long long seed,
		      struct load_counts *counts)
{
	struct load *l = calloc(1, sizeof(*l));
	unsigned int i;

	if (!l)
		return NULL;
	l->o = *o;
	l->counts = counts;
	l->random = seed * 2 + 1;
	l->source = strcmp(o->source, "mix") ? find_source(o->source) :
						&mix_source;
	l->kid = calloc(o->children, sizeof(*l->kid));
	if (!l->source || !l->kid)
		return NULL;
	for (i = 0; i < o->children; i++) {
		l->kid[i].number = l->next_number++;
		l->kid[i].pair = calloc(TOUCHED, sizeof(struct pair));
		if (!l->kid[i].pair)
			return NULL;
	}
	return l;
}

bool load_possible(void)
{
	if (dput_raw(0, NULL, 0) == NO_CALL) {
		fprintf(stderr, "# this kernel has no dput\n");
		return false;
	}
	/* A disturbance may have some already; growth.c needs this. */
	add_swap();
	return true;
}
