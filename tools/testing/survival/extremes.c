// SPDX-License-Identifier: GPL-2.0-only
/*
 * The load at its limits: a thousand children of one master, a hundred levels,
 * as many mappings as a process may have, and ranges of 128 TiB.
 *
 * Times are of the caller's CPU: what others do on the machine does not count.
 */
#include "../selftests/deterministic/mem.h"

#define CHILD 1

static double cpu_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* An expression, and whether it took the caller less than a second. */
#define FAST(expr) ({ \
	double __from = cpu_time(), __took; \
	typeof(expr) __val = (expr); \
	__took = cpu_time() - __from; \
	EXPECT_GT(1.0, __took) TH_LOG("%.2f s: %s", __took, #expr); \
	__val; \
})

/* --- A thousand children --- */

#define CHILDREN 1000
#define ROUNDS 4

/* Each child has a slot to itself, in a page that it shares with others. */
static struct slot {
	unsigned long rounds, sum, neighbour, pad[5];
} slots[CHILDREN] __attribute__((__aligned__(4096)));

static unsigned long common_word __attribute__((__aligned__(4096)));

static long work_on_slot(void *arg)
{
	struct slot *s = arg;

	s->rounds++;
	s->neighbour = slots[(s - slots + 1) % CHILDREN].rounds;
	s->sum = s->sum * 31 + s->neighbour + (s - slots);
	return s->sum ^ 0x5a5a;
}

/* The same in the master, for all children at once. */
static void work_on_model(struct slot *model)
{
	unsigned long before[CHILDREN];
	int i;

	for (i = 0; i < CHILDREN; i++)
		before[i] = model[i].rounds;
	for (i = 0; i < CHILDREN; i++) {
		struct slot *s = &model[i];

		s->rounds++;
		/* Seen as it was when all were started. */
		s->neighbour = before[(i + 1) % CHILDREN];
		s->sum = s->sum * 31 + s->neighbour + i;
	}
}

static int space_count(pid_t parent)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	char val[64];
	int n = 0;

	while (proc && (e = readdir(proc)))
		if (atoi(e->d_name) > 0 &&
		    pid_line(atoi(e->d_name), "DetParent", val, sizeof(val)))
			n += atoi(val) == parent;
	if (proc)
		closedir(proc);
	return n;
}

TEST(thousand_children)
{
	static struct slot model[CHILDREN];
	struct det_op copy = op_copy(slots, addr_of(slots), sizeof(slots) -
				     sizeof(slots) % PAGE + PAGE);
	struct det_op merge = op_merge(slots, sizeof(slots), 0);
	struct det_status st;
	int i, r;

	NEED_CALLS();
	for (i = 0; i < CHILDREN; i++)
		ASSERT_EQ(1, spawn(i, DET_SNAP | DET_START, work_on_slot,
				   &slots[i], NULL)) TH_LOG("child %d", i);
	EXPECT_EQ(CHILDREN, space_count(getpid()));
	for (r = 1; r <= ROUNDS; r++) {
		work_on_model(model);
		for (i = 0; i < CHILDREN; i++) {
			/* The last first in every other round. */
			int c = r % 2 ? i : CHILDREN - 1 - i;

			ASSERT_EQ(0, get_ops(c, 0, &merge, 1, &st))
				TH_LOG("child %d in round %d", c, r);
			ASSERT_RET(model[c].sum ^ 0x5a5a, &st);
		}
		ASSERT_EQ(0, memcmp(model, slots, sizeof(slots)));
		for (i = 0; i < CHILDREN && r < ROUNDS; i++)
			ASSERT_EQ(0, put_ops(i, DET_SNAP | DET_START, &copy, 1,
					     NULL));
	}
	for (i = 0; i < CHILDREN; i++)
		ASSERT_EQ(0, kill_child(i));
	EXPECT_EQ(0, space_count(getpid()));
}

/* All write one word: the first is merged, 999 are refused, none is lost. */
static long write_common_word(void *arg)
{
	common_word = (long)arg;
	return 0;
}

TEST(thousand_conflicts)
{
	struct det_op merge = op_merge(&common_word, sizeof(common_word), 0);
	struct det_op take = op_merge(&common_word, sizeof(common_word),
				      DET_MERGE_TAKE);
	struct det_status st;
	long i;

	NEED_CALLS();
	for (i = 1; i <= CHILDREN; i++)
		ASSERT_EQ(1, spawn(i, DET_SNAP | DET_START, write_common_word,
				   (void *)i, NULL));
	ASSERT_EQ(0, get_ops(500, 0, &merge, 1, &st));
	for (i = 1; i <= CHILDREN; i++) {
		ASSERT_EQ(-DET_ECONFLICT, get_ops(i, 0, &merge, 1, &st));
		ASSERT_LE(1, st.nr_conflicts);
		ASSERT_EQ(500, common_word);
	}
	ASSERT_EQ(0, get_ops(777, 0, &take, 1, &st));
	EXPECT_EQ(777, common_word);
}

/* --- A hundred levels --- */

#define LEVELS 100

static struct {
	unsigned long level[LEVELS + 1];
	unsigned long down;		/* changed on the way down */
	unsigned long up;		/* on the way up, after the merge */
	char rest[3 * PAGE];
} nested __attribute__((__aligned__(4096)));

/* Level @arg: the child's first, then its own. 0 or the level that failed. */
static long nest(void *arg)
{
	struct det_op merge = op_merge(&nested, sizeof(nested), 0);
	long level = (long)arg, i;
	struct det_status st;

	nested.down = nested.down * 3 + level;
	for (i = 0; i < 16; i++)
		nested.rest[(level * 131 + i * 97) % sizeof(nested.rest)] ^=
			level;
	if (level < LEVELS) {
		if (spawn(CHILD, DET_SNAP | DET_START | DET_WAIT, nest,
			  (void *)(level + 1), &st) != 1)
			return level;
		if (st.reason != DET_RET || st.value)
			return st.reason == DET_RET ? (long)st.value : -level;
		if (get_ops(CHILD, 0, &merge, 1, &st))
			return level;
		if (kill_child(CHILD))
			return -level;
	}
	nested.level[level] = nested.down;
	nested.up = nested.up * 5 + level;
	return 0;
}

TEST(hundred_levels)
{
	static char rest[sizeof(nested.rest)];
	unsigned long down = 0, up = 0;
	struct det_status st;
	struct det_op merge = op_merge(&nested, sizeof(nested), 0);
	int i, l;

	NEED_CALLS();
	for (l = 1; l <= LEVELS; l++) {
		down = down * 3 + l;
		for (i = 0; i < 16; i++)
			rest[(l * 131 + i * 97) % sizeof(rest)] ^= l;
	}
	for (l = LEVELS; l >= 1; l--)
		up = up * 5 + l;

	ASSERT_EQ(1, spawn(CHILD, DET_SNAP | DET_START | DET_WAIT, nest,
			   (void *)1L, &st));
	ASSERT_RET(0, &st);
	ASSERT_EQ(0, get_ops(CHILD, 0, &merge, 1, &st));
	/* Each level has merged what all below have written. */
	EXPECT_EQ(down, nested.down);
	EXPECT_EQ(up, nested.up);
	EXPECT_EQ(0, memcmp(rest, nested.rest, sizeof(rest)));
	for (l = 1; l <= LEVELS; l++)
		EXPECT_EQ(down, nested.level[l]) TH_LOG("level %d", l);
}

/* The same levels, all at rest at once; then the uppermost is killed. */
static long nest_and_rest(void *arg)
{
	struct det_status st;
	long level = (long)arg;

	if (level < LEVELS &&
	    (spawn(CHILD, DET_SNAP | DET_START | DET_WAIT, nest_and_rest,
		   (void *)(level + 1), &st) != 1 || st.reason != DET_RET))
		return level;
	return level < LEVELS ? (long)st.value : level;
}

static int all_spaces(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	char val[64];
	int n = 0;

	while (proc && (e = readdir(proc)))
		n += atoi(e->d_name) > 0 &&
		     pid_line(atoi(e->d_name), "DetDepth", val, sizeof(val));
	if (proc)
		closedir(proc);
	return n;
}

TEST(hundred_levels_at_rest)
{
	int before = all_spaces(), i;
	struct det_status st;

	NEED_CALLS();
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(1, spawn(CHILD, DET_SNAP | DET_START | DET_WAIT,
				   nest_and_rest, (void *)1L, &st));
		ASSERT_RET(LEVELS, &st);
		ASSERT_EQ(before + LEVELS, all_spaces());
		ASSERT_EQ(0, kill_child(CHILD));
		ASSERT_EQ(before, all_spaces());
	}
}

/* --- 65,530 mappings --- */

#define MANY_AT 0x300000000UL
#define MANY_PAGES 65536UL
#define MANY_LEN (MANY_PAGES * PAGE)
#define TOUCH 512	/* every so many pages is there */

static long max_maps(void)
{
	long n = 0;
	FILE *f = fopen("/proc/sys/vm/max_map_count", "re");

	if (!f || fscanf(f, "%ld", &n) != 1)
		n = 0;
	if (f)
		fclose(f);
	return n;
}

/*
 * Every other page of @pages becomes read-only, many operations a call. The
 * first error, with the page in *@page.
 */
static long alternate(unsigned long *page, struct det_status *st)
{
	static struct det_op ops[DET_MAX_OPS];
	unsigned long at = *page;
	long ret = 0;

	while (!ret && at < MANY_PAGES) {
		unsigned int n = 0;

		for (; n < DET_MAX_OPS && at < MANY_PAGES; at += 2)
			ops[n++] = op_perm(MANY_AT + at * PAGE, PAGE,
					   PROT_READ);
		*page = at - 2 * n;
		ret = put_ops(CHILD, 0, ops, n, st);
		*page += 2 * st->nr_done;
	}
	return ret;
}

/* The master's bytes: one page of TOUCH is there. Writes at @step bytes. */
static void touch(char *mem, int val)
{
	unsigned long i;

	for (i = 0; i < MANY_PAGES; i += TOUCH)
		memset(mem + i * PAGE, val + i / TOUCH, 64);
}

static bool touched(const char *mem, int val)
{
	unsigned long i;

	for (i = 0; i < MANY_PAGES; i += TOUCH)
		if (!all_bytes(mem + i * PAGE, val + i / TOUCH, 64))
			return false;
	return true;
}

/* Writes one byte into every page of TOUCH that is writable: the odd ones. */
#define TOUCH_ASM \
	"mov $0x300001000, %rdi\n" \
	"mov $128, %ecx\n" \
	"1: movb $0x77, 100(%rdi)\n" \
	"add $0x200000, %rdi\n" \
	"dec %ecx\n" \
	"jnz 1b\n" \
	"mov $3, %edi\n" ASM_DRET

BLOB(code_touch, TOUCH_ASM);

/* Looking at all mappings after each change takes hours with so many. */
static bool kernel_checks_maps(void)
{
	return !system("zcat /proc/config.gz | grep -q ^CONFIG_DEBUG_VM_MAPLE_TREE=y");
}

FIXTURE(maps)
{
	char *mem;
	long max;
};

/* A child with as many mappings as there may be, and their master's bytes. */
FIXTURE_SETUP(maps)
{
	unsigned long page = 0;
	struct det_status st;
	long ret;

	NEED_CALLS();
	if (kernel_checks_maps())
		SKIP(return, "the kernel has CONFIG_DEBUG_VM_MAPLE_TREE");
	self->max = max_maps();
	if (self->max <= 0 || self->max > (long)MANY_PAGES)
		SKIP(return, "vm.max_map_count is not as usual");
	self->mem = map_at((void *)MANY_AT, MANY_LEN, PROT_RW, MAP_PRIVATE |
			   MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
			   -1);
	touch(self->mem, 1);
	ASSERT_EQ(0, MAKE(CHILD, code_touch));
	ASSERT_EQ(0, put_op(CHILD, 0, op_copy(self->mem, MANY_AT, MANY_LEN),
			    NULL));
	ret = alternate(&page, &st);
	/* The limit: a hole in the permissions, nothing else. */
	EXPECT_EQ(-ENOMEM, ret);
	EXPECT_EQ(MANY_AT + page * PAGE, st.addr);
	EXPECT_EQ(DET_NEW, st.reason);
	/* The code and the data are two. */
	EXPECT_LE(self->max - 2, count_maps(space_pid(getpid(), CHILD)));
	EXPECT_GE(self->max, count_maps(space_pid(getpid(), CHILD)));
}

FIXTURE_TEARDOWN(maps)
{
	kill_child(CHILD);
}

TEST_F(maps, limit)
{
	pid_t pid = space_pid(getpid(), CHILD);
	int n = count_maps(pid), i;
	struct det_status st;
	__u64 last = MANY_AT + MANY_LEN - PAGE;
	long ret;

	/* What needs another mapping is refused, and changes nothing. */
	for (i = 0; i < 3; i++) {
		ret = put_op(CHILD, 0, op_perm(last - 4 * PAGE, PAGE,
					       PROT_READ), &st);
		EXPECT_OP_ERR_AT(ENOMEM, 0, last - 4 * PAGE, ret, &st);
		ret = put_op(CHILD, 0, op_zero(0x10000000000UL, PAGE, PROT_RW),
			     &st);
		EXPECT_OP_ERR(ENOMEM, 0, ret, &st);
		ret = put_op(CHILD, 0, op_zero(last - 4 * PAGE, PAGE, 0), &st);
		EXPECT_OP_ERR(ENOMEM, 0, ret, &st);
	}
	EXPECT_GE(self->max, count_maps(pid));
	EXPECT_LE(n, count_maps(pid));
	EXPECT_EQ(DET_NEW, st.reason);
	/* What needs none, or gives some back, works. */
	EXPECT_EQ(0, put_op(CHILD, 0, op_perm(MANY_AT, MANY_LEN, PROT_RW),
			    NULL));
	EXPECT_GT(10, count_maps(pid));
	EXPECT_EQ(0, put_op(CHILD, 0, op_zero(0x10000000000UL, PAGE, PROT_RW),
			    NULL));
	ASSERT_EQ(0, run_child(CHILD, &st));
	EXPECT_RET(3, &st);
	EXPECT_TRUE(touched(self->mem, 1));
}

TEST_F(maps, rounds)
{
	struct det_op merge = op_merge(self->mem, MANY_LEN, 0);
	struct det_status st;
	unsigned long i;
	int r;

	for (r = 0; r < 3; r++) {
		struct user_regs_struct regs = blob_regs();

		ASSERT_EQ(0, put_flags(CHILD, DET_SNAP, &st));
		/* Written as bytes: each into its page of another mapping. */
		for (i = 0; i < MANY_PAGES && r; i += 16 * TOUCH)
			ASSERT_EQ(0, poke(CHILD, MANY_AT + (i + 1) * PAGE,
					  "abc", 3));
		ASSERT_EQ(0, put_regs(CHILD, &regs, DET_START | DET_WAIT,
				      &st));
		ASSERT_RET(3, &st);
		ASSERT_EQ(0, get_ops(CHILD, 0, &merge, 1, &st));
		for (i = 1; i < MANY_PAGES; i += TOUCH) {
			ASSERT_EQ(0x77, self->mem[i * PAGE + 100]);
			ASSERT_EQ(r && i % (16 * TOUCH) == 1 ? 'a' : 0,
				  self->mem[i * PAGE]);
			ASSERT_EQ(0, self->mem[i * PAGE + 101]);
		}
		EXPECT_TRUE(touched(self->mem, 1));
	}
}

/* To the caller, who cannot have as many beside its own. */
TEST_F(maps, back)
{
	int n = count_maps(getpid());
	struct det_status st;
	char *part;
	long ret;

	ret = get_op(CHILD, 0, op_copy(self->mem, MANY_AT, MANY_LEN), &st);
	EXPECT_OP_ERR(ENOMEM, 0, ret, &st);
	/* The limit is looked at before anything is replaced. */
	EXPECT_TRUE(touched(self->mem, 1));
	EXPECT_GE(n, count_maps(getpid()));
	/* A quarter fits. */
	part = map_at((void *)0x400000000UL, MANY_LEN / 4, PROT_NONE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
	ret = get_op(CHILD, 0, op_copy(part, MANY_AT, MANY_LEN / 4), &st);
	ASSERT_EQ(0, ret);
	EXPECT_LE((int)MANY_PAGES / 4, count_maps(getpid()));
	EXPECT_TRUE(all_bytes(part + TOUCH * PAGE, 2, 64));
	EXPECT_STREQ("r--p", perm_at(getpid(), addr_of(part)));
	EXPECT_STREQ("rw-p", perm_at(getpid(), addr_of(part) + PAGE));
}

/* From a caller with many: as many as the child has room for, or none. */
TEST_F(maps, copied)
{
	unsigned long i, n = self->max - 1000;
	struct det_status st;
	pid_t pid;
	long ret;

	for (i = 0; i < n; i += 2)
		ASSERT_EQ(0, mprotect(self->mem + i * PAGE, PAGE, PROT_READ));
	/* This one has no room beside its own. */
	ret = put_op(CHILD, 0, op_copy(self->mem, MANY_AT, MANY_LEN), &st);
	EXPECT_TRUE(ret == 0 || ret == -ENOMEM);
	if (ret)
		EXPECT_EQ(DET_NEW, st.reason) print_status(&st);
	EXPECT_TRUE(touched(self->mem, 1));
	EXPECT_EQ(0, kill_child(CHILD));

	ASSERT_EQ(0, MAKE(CHILD, code_touch));
	ASSERT_EQ(0, put_op(CHILD, DET_SNAP, op_copy(self->mem, MANY_AT,
						     MANY_LEN), NULL));
	pid = space_pid(getpid(), CHILD);
	EXPECT_LE((int)n, count_maps(pid));
	ASSERT_EQ(0, run_child(CHILD, &st));
	EXPECT_RET(3, &st);
	ASSERT_EQ(0, get_op(CHILD, 0, op_merge(self->mem, MANY_LEN, 0), &st));
	EXPECT_EQ(0x77, self->mem[PAGE + 100]);
	EXPECT_TRUE(touched(self->mem, 1));
	/* A second copy finds them all there. */
	ASSERT_EQ(0, put_op(CHILD, 0, op_copy(self->mem, MANY_AT, MANY_LEN),
			    NULL));
	EXPECT_LE((int)n, count_maps(pid));
	EXPECT_GE((int)n + 10, count_maps(pid));
}

/* --- 128 TiB --- */

/* Above what a static program and the blobs use. */
#define LOW 0x1000000000UL

/* The largest hole in the caller's mappings. */
static void largest_hole(__u64 *start, __u64 *len)
{
	unsigned long long from, to, last = LOW;
	FILE *f = open_maps(getpid());
	char line[512];

	*len = 0;
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx-%llx", &from, &to) != 2)
			continue;
		if (from > last && from - last > *len) {
			*start = last;
			*len = from - last;
		}
		if (to > last)
			last = to;
	}
	if (f)
		fclose(f);
}

#define TIB 0x10000000000ULL

TEST(nothing_in_128_tib)
{
	struct det_status st;
	__u64 hole, len;
	long ret;

	NEED_CALLS();
	largest_hole(&hole, &len);
	ASSERT_LT(64 * TIB, len);
	ASSERT_EQ(0, put_flags(CHILD, 0, NULL));
	EXPECT_EQ(0, FAST(put_op(CHILD, 0, op_zero(0, USER_END, 0), &st)));
	ret = FAST(put_op(CHILD, 0, op_perm(0, USER_END, PROT_READ), &st));
	EXPECT_OP_ERR_AT(EFAULT, 0, 0, ret, &st);
	EXPECT_EQ(0, FAST(put_op(CHILD, 0, op_copy((void *)hole, hole, len),
				 &st)));
	EXPECT_EQ(0, FAST(put_op(CHILD, 0, op_copy((void *)hole, hole + PAGE,
						   len - PAGE), &st)));
	EXPECT_EQ(0, FAST(put_flags(CHILD, DET_SNAP, &st)));
	EXPECT_EQ(0, FAST(get_op(CHILD, 0, op_merge(NULL, USER_END, 0), &st)));
	EXPECT_EQ(0, FAST(get_op(CHILD, 0, op_merge_at(NULL, PAGE, USER_END -
						       PAGE, 0), &st)));
	EXPECT_EQ(0, FAST(get_op(CHILD, 0, op_copy((void *)hole, hole, len),
				 &st)));
	EXPECT_EQ(0, FAST(get_op(CHILD, 0, op_image((void *)hole, hole, len),
				 &st)));
	EXPECT_EQ(0, FAST(get_op(CHILD, 0, op_zero(hole, len, 0), &st)));
	/* Bytes: nothing is mapped at the first of them. */
	ret = FAST(put_op(CHILD, 0, op_copy((void *)hole, hole + 1, len - 1),
			  &st));
	EXPECT_OP_ERR_AT(EFAULT, 0, hole, ret, &st);
	EXPECT_EQ(0, FAST(kill_child(CHILD)));
}

/* The page that is changed, far up in nothing. */
#define FAR 0x600000012000UL

/* RDI: where. */
BLOB(code_far, "incl (%rdi)\nmov $9, %edi\n" ASM_DRET);

static long start_at(__u64 addr, struct det_status *st)
{
	struct user_regs_struct regs = blob_regs();

	regs.rdi = addr;
	return put_regs(CHILD, &regs, DET_START | DET_WAIT, st);
}

TEST(a_page_in_128_tib)
{
	struct det_status st;
	unsigned int *page;
	__u64 hole, len;
	int i;

	NEED_CALLS();
	largest_hole(&hole, &len);
	ASSERT_GT(FAR, hole);
	ASSERT_LT(FAR, hole + len);
	page = (void *)map_at((void *)FAR, PAGE, PROT_RW, MAP_PRIVATE |
			      MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1);
	*page = 41;
	ASSERT_EQ(0, MAKE(CHILD, code_far));
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, FAST(put_op(CHILD, DET_SNAP,
					 op_copy((void *)hole, hole, len),
					 &st)));
		ASSERT_EQ(0, FAST(start_at(FAR, &st)));
		ASSERT_RET(9, &st);
		ASSERT_EQ(0, FAST(get_op(CHILD, 0, op_merge(NULL, USER_END, 0),
					 &st)));
		EXPECT_EQ(42 + i, *page);
	}
	/* Out of it, with all the nothing around. */
	ASSERT_EQ(0, FAST(get_op(CHILD, 0, op_image((void *)hole, hole, len),
				 &st)));
	EXPECT_EQ(50, *page);
	ASSERT_EQ(0, FAST(get_op(CHILD, 0, op_copy((void *)hole, hole, len),
				 &st)));
	EXPECT_EQ(51, *page);
	EXPECT_EQ(0, FAST(kill_child(CHILD)));
}

/* One mapping, never touched but for a page. */
TEST(mapped_128_tib)
{
	const __u64 at = BLOB_STACK + PAGE, len = USER_END - at;
	struct det_status st;
	__u64 hole, room;
	char *page;
	long ret;
	int i;

	NEED_CALLS();
	largest_hole(&hole, &room);
	ASSERT_EQ(0, MAKE(CHILD, code_far));
	ASSERT_EQ(0, FAST(put_op(CHILD, DET_SNAP,
				 op_zero_at(at, len, PROT_RW,
					    DET_ZERO_NORESERVE), &st)));
	EXPECT_EQ(0, FAST(put_op(CHILD, 0, op_perm(at, len, PROT_NONE), &st)));
	EXPECT_EQ(0, FAST(put_op(CHILD, 0, op_perm(at, len, PROT_READ), &st)));
	EXPECT_EQ(0, FAST(get_op(CHILD, 0, op_merge((void *)at, len, 0),
				 &st)));
	EXPECT_EQ(0, FAST(put_op(CHILD, 0, op_perm(at, len, PROT_RW), &st)));

	page = map_at((void *)FAR, PAGE, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS |
		      MAP_FIXED_NOREPLACE, -1);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, FAST(start_at(FAR, &st)));
		ASSERT_RET(9, &st);
		ASSERT_EQ(0, FAST(get_op(CHILD, 0, op_merge((void *)at, len, 0),
					 &st)));
		EXPECT_EQ(i + 1, page[0]);
		ASSERT_EQ(0, FAST(put_flags(CHILD, DET_SNAP, &st)));
	}
	/* A change that the caller has no memory for is found at once. */
	ASSERT_EQ(0, FAST(start_at(FAR + PAGE, &st)));
	ret = FAST(get_op(CHILD, 0, op_merge((void *)at, len, 0), &st));
	EXPECT_OP_ERR_AT(EFAULT, 0, FAR + PAGE, ret, &st);

	/* Not reserved there, but fresh memory would be here. */
	ret = FAST(get_op(CHILD, 0, op_copy((void *)hole, hole, room), &st));
	if (ret)
		EXPECT_OP_ERR(ENOMEM, 0, ret, &st);
	/* Memory that nobody can write is not promised to anybody. */
	EXPECT_EQ(0, FAST(put_op(CHILD, 0, op_perm(at, len, PROT_READ), &st)));
	munmap(page, PAGE);
	EXPECT_EQ(0, FAST(get_op(CHILD, 0, op_copy((void *)hole, hole, room),
				 &st)));
	EXPECT_EQ(3, page[0]);
	EXPECT_EQ(1, page[PAGE]);
	EXPECT_STREQ("r--p", perm_at(getpid(), hole));
	EXPECT_EQ(0, FAST(get_op(CHILD, 0, op_zero(hole, room, 0), &st)));
	EXPECT_EQ(0, FAST(kill_child(CHILD)));
}

/* As many MERGEs as a call may have, over everything. */
TEST(thousand_merges_of_128_gib)
{
	static struct det_op ops[DET_MAX_OPS];
	const __u64 len = USER_END / DET_MAX_OPS & ~(PAGE - 1);
	struct det_status st;
	unsigned int *page;
	int i;

	NEED_CALLS();
	page = (void *)map_at((void *)FAR, PAGE, PROT_RW, MAP_PRIVATE |
			      MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1);
	ASSERT_EQ(0, MAKE(CHILD, code_far));
	ASSERT_EQ(0, put_op(CHILD, DET_SNAP, op_copy(page, FAR, PAGE), NULL));
	for (i = 0; i < DET_MAX_OPS; i++)
		ops[i] = op_merge((void *)(i * len), len, 0);
	ASSERT_EQ(0, start_at(FAR, &st));
	ASSERT_EQ(0, FAST(get_ops(CHILD, 0, ops, DET_MAX_OPS, &st)));
	EXPECT_EQ(DET_MAX_OPS, (int)st.nr_done);
	EXPECT_EQ(1, *page);
}

TEST_HARNESS_MAIN
