// SPDX-License-Identifier: GPL-2.0-only
/*
 * COPY, ZERO, PERM, SNAP and MERGE in a pseudo-random order, between mmap,
 * mremap, mprotect and fork of the caller's own, on a few pages of a caller and
 * two children. A model of arrays says what each page must hold and allow. The
 * kernel meanwhile swaps pages out, joins equal ones (KSM), moves them about
 * and makes huge ones.
 *
 * A page of the model is one page, or a part of a huge one (variants).
 *
 * DET_TEST_STEPS and DET_TEST_SEED in the environment: more of it.
 */
#include "mem.h"

#define PAGES 12
#define KIDS 2

/* Each page has eight bytes that count; access is none, read, or all. */
struct page {
	bool mapped;
	int prot;
	__u64 val;
	__u64 file;	/* of the caller: what its file has there, 0: no file */
};

struct side {
	struct page page[PAGES];
};

static struct {
	char *base;		/* the same place on all sides */
	size_t unit;		/* the size of a page of the model */
	int fd;			/* PAGES units, each with its number in front */
	struct side caller, kid[KIDS], image[KIDS];
	bool snapped[KIDS];
	__u64 rnd;
	char what[80];		/* the last step, for messages */
} m;

static unsigned int any(unsigned int n)
{
	return (next_random(&m.rnd) >> 20) % n;
}

static char *page_at(unsigned int i)
{
	return m.base + i * m.unit;
}

static int any_prot(void)
{
	static const int prot[] = { PROT_NONE, PROT_READ, PROT_RW, PROT_RW };

	return prot[any(4)];
}

/* --- What the caller does on its own --- */

static void step_write(void)
{
	unsigned int i = any(PAGES);
	struct page *p = &m.caller.page[i];

	if (!p->mapped || p->prot != PROT_RW)
		return;
	p->val = any(4) ? next_random(&m.rnd) : 0;
	*(__u64 *)page_at(i) = p->val;
}

/* Anonymous memory, a file's, or none. */
static void step_mmap(void)
{
	unsigned int i = any(PAGES), n = 1 + any(PAGES - i), j, what = any(3);
	struct page page = { .mapped = what, .prot = PROT_RW };

	if (what == 1)
		map_at(page_at(i), n * m.unit, PROT_RW,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
	else if (what == 2 && mmap(page_at(i), n * m.unit, PROT_RW,
				   MAP_PRIVATE | MAP_FIXED, m.fd,
				   i * m.unit) == MAP_FAILED)
		abort();
	else if (!what)
		munmap(page_at(i), n * m.unit);
	if (m.unit > PAGE)
		madvise(page_at(i), n * m.unit, MADV_HUGEPAGE);
	for (j = i; j < i + n; j++) {
		page.file = what == 2 ? 0xf11e0000 + j : 0;
		page.val = page.file;
		m.caller.page[j] = page;
	}
}

static void step_mprotect(void)
{
	unsigned int i = any(PAGES);
	struct page *p = &m.caller.page[i];

	if (!p->mapped)
		return;
	p->prot = any_prot();
	if (mprotect(page_at(i), m.unit, p->prot))
		abort();
}

/* A page moves, and keeps the place in its file, as it were. */
static void step_mremap(void)
{
	unsigned int i = any(PAGES), j = any(PAGES);

	if (i == j || !m.caller.page[i].mapped)
		return;
	if (mremap(page_at(i), m.unit, m.unit, MREMAP_MAYMOVE | MREMAP_FIXED,
		   page_at(j)) == MAP_FAILED)
		abort();
	m.caller.page[j] = m.caller.page[i];
	m.caller.page[i].mapped = false;
}

/* What changes nothing that can be seen, but with MADV_DONTNEED. */
static void step_disturb(void)
{
	struct page *p = &m.caller.page[any(PAGES)];
	char *at = page_at(p - m.caller.page);
	pid_t pid;

	switch (any(8)) {
	case 0:
		pid = fork();
		if (!pid)
			_exit(0);
		waitpid(pid, NULL, 0);
		break;
	case 1 ... 2:
		swap_out();
		break;
	case 3:
		madvise(m.base, PAGES * m.unit, MADV_MERGEABLE);
		break;
	case 4:
		if (any(2))
			madvise(at, m.unit, MADV_UNMERGEABLE);
		break;
	case 5:
		write_file("/proc/sys/vm/compact_memory", "1", 1, 0);
		break;
	case 6:
		madvise(m.base, PAGES * m.unit, MADV_HUGEPAGE);
		madvise(m.base, PAGES * m.unit, MADV_COLLAPSE);
		break;
	case 7:
		if (!madvise(at, m.unit, MADV_DONTNEED))
			p->val = p->file;
		break;
	}
}

/* --- Operations: each says whether the result was the model's --- */

static bool came(long ret, long want, const char *what)
{
	snprintf(m.what, sizeof(m.what), "%s: %ld, should be %ld", what, ret,
		 want);
	return ret == want;
}

/* Some pages from one side to the other, perhaps to another place. */
static bool step_copy(unsigned int k)
{
	unsigned int i = any(PAGES), n = 1 + any(PAGES - i), x;
	unsigned int j = any(2) ? i : any(PAGES - n + 1);
	struct side *to = any(2) ? &m.caller : &m.kid[k];
	struct side *from = to == &m.caller ? &m.kid[k] : &m.caller;
	long ret;

	for (x = 0; x < n; x++) {
		to->page[j + x] = from->page[i + x];
		to->page[j + x].file = 0;
	}
	if (to == &m.caller)
		ret = get_op(k, 0, op_copy(page_at(j), addr_of(page_at(i)),
					   n * m.unit), NULL);
	else
		ret = put_op(k, 0, op_copy(page_at(i), addr_of(page_at(j)),
					   n * m.unit), NULL);
	return came(ret, 0, to == &m.caller ? "COPY out" : "COPY in");
}

static bool step_image(unsigned int k)
{
	unsigned int i = any(PAGES), n = 1 + any(PAGES - i);
	long ret;

	ret = get_op(k, 0, op_image(page_at(i), addr_of(page_at(i)), n * m.unit),
		     NULL);
	if (!m.snapped[k])
		return came(ret, -ENODATA, "IMAGE");
	memcpy(&m.caller.page[i], &m.image[k].page[i], n * sizeof(struct page));
	return came(ret, 0, "IMAGE");
}

static bool step_zero(unsigned int k)
{
	unsigned int i = any(PAGES), n = 1 + any(PAGES - i), j;
	struct side *to = any(3) ? &m.kid[k] : &m.caller;
	int prot = any_prot();
	struct det_op op = op_zero(addr_of(page_at(i)), n * m.unit, prot);

	for (j = i; j < i + n; j++)
		to->page[j] = (struct page){ prot != PROT_NONE, prot };
	return came(to == &m.caller ? get_op(k, 0, op, NULL) :
				      put_op(k, 0, op, NULL), 0, "ZERO");
}

static bool step_perm(unsigned int k)
{
	unsigned int i = any(PAGES), n = 1 + any(PAGES - i), j;
	struct side *to = any(3) ? &m.kid[k] : &m.caller;
	int prot = any_prot();
	struct det_op op = op_perm(addr_of(page_at(i)), n * m.unit, prot);
	struct det_status st;
	long ret, want = 0;

	for (j = i; j < i + n && to->page[j].mapped; j++)
		to->page[j].prot = prot;
	if (j < i + n)
		want = -EFAULT;
	ret = to == &m.caller ? get_op(k, 0, op, &st) : put_op(k, 0, op, &st);
	if (want && st.addr != addr_of(page_at(j)))
		return came(ret, want, "PERM, with another address");
	return came(ret, want, "PERM");
}

static bool step_poke(unsigned int k)
{
	unsigned int i = any(PAGES);
	struct page *p = &m.kid[k].page[i];
	bool ok = p->mapped && p->prot == PROT_RW;
	__u64 val = next_random(&m.rnd);

	if (ok)
		p->val = val;
	return came(poke(k, addr_of(page_at(i)), &val, 8), ok ? 0 : -EFAULT,
		    "bytes in");
}

static bool step_snap(unsigned int k)
{
	m.image[k] = m.kid[k];
	m.snapped[k] = true;
	return came(put_flags(k, DET_SNAP, NULL), 0, "SNAP");
}

/* Does the child's page differ from the image's? */
static bool differs(unsigned int k, unsigned int i, __u64 *was)
{
	*was = m.image[k].page[i].mapped ? m.image[k].page[i].val : 0;
	return m.kid[k].page[i].mapped && m.kid[k].page[i].val != *was;
}

/* What the MERGE of a range will say; *conflicts counts words. */
static long foresee(unsigned int k, unsigned int i, unsigned int n,
		    __u32 policy, unsigned int *conflicts)
{
	bool fault = false;
	unsigned int j;
	__u64 was;

	*conflicts = 0;
	if (!m.snapped[k])
		return -ENODATA;
	for (j = i; j < i + n; j++) {
		if (!differs(k, j, &was))
			continue;
		if (!m.caller.page[j].mapped ||
		    m.caller.page[j].prot != PROT_RW)
			fault = true;
		else
			*conflicts += m.caller.page[j].val != was;
	}
	if (fault)
		return -EFAULT;
	return *conflicts && !policy ? -DET_ECONFLICT : 0;
}

static bool step_merge(unsigned int k)
{
	static const __u32 policies[] = { 0, DET_MERGE_KEEP, DET_MERGE_TAKE };
	unsigned int i = any(PAGES), n = 1 + any(PAGES - i), j, conflicts;
	__u32 policy = policies[any(3)];
	long want = foresee(k, i, n, policy, &conflicts), ret;
	struct det_status st;
	__u64 was;

	ret = get_op(k, 0, op_merge(page_at(i), n * m.unit,
				    policy | DET_MERGE_GRANULE_8), &st);
	/* With both, either may be said. */
	if (want == -EFAULT && ret == -DET_ECONFLICT && !policy && conflicts)
		return true;
	for (j = i; !want && j < i + n; j++)
		if (differs(k, j, &was) && (policy == DET_MERGE_TAKE ||
					    m.caller.page[j].val == was))
			m.caller.page[j].val = m.kid[k].page[j].val;
	if ((!want || want == -DET_ECONFLICT) &&
	    st.nr_conflicts != 8 * conflicts)
		return came(ret, want, "MERGE, with other conflicts");
	return came(ret, want, "MERGE");
}

static bool step(void)
{
	unsigned int k = any(KIDS);

	switch (any(16)) {
	case 0 ... 2:
		step_write();
		return true;
	case 3:
		step_mmap();
		return true;
	case 4:
		step_mprotect();
		return true;
	case 5:
		step_mremap();
		return true;
	case 6:
		step_disturb();
		return true;
	case 7 ... 8:
		return step_copy(k);
	case 9:
		return any(4) ? step_copy(k) : step_image(k);
	case 10:
		return step_zero(k);
	case 11:
		return step_perm(k);
	case 12 ... 13:
		return step_poke(k);
	case 14:
		return any(3) ? step_merge(k) : step_snap(k);
	default:
		return step_merge(k);
	}
}

/* --- Is it so? --- */

static void read_perms(pid_t pid, int *prot)
{
	unsigned long long from, to;
	FILE *f = open_maps(pid);
	char line[512], perm[8];
	unsigned int i;

	for (i = 0; i < PAGES; i++)
		prot[i] = -1;
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx-%llx %7s", &from, &to, perm) != 3)
			continue;
		for (i = 0; i < PAGES; i++)
			if (from <= addr_of(page_at(i)) &&
			    addr_of(page_at(i)) < to)
				prot[i] = (perm[0] == 'r') * PROT_READ |
					  (perm[1] == 'w') * PROT_WRITE;
	}
	if (f)
		fclose(f);
}

static bool perms_agree(pid_t pid, const struct side *side, const char *name)
{
	int prot[PAGES], want;
	unsigned int i;

	read_perms(pid, prot);
	for (i = 0; i < PAGES; i++) {
		want = side->page[i].mapped ? side->page[i].prot : -1;
		if (prot[i] == want)
			continue;
		fprintf(stderr, "# %s, page %u: permission %d, should be %d\n",
			name, i, prot[i], want);
		return false;
	}
	return true;
}

static bool val_agrees(const struct side *side, unsigned int i, __u64 val,
		       const char *name)
{
	if (val == side->page[i].val)
		return true;
	fprintf(stderr, "# %s, page %u: %#llx, should be %#llx\n", name, i,
		(unsigned long long)val,
		(unsigned long long)side->page[i].val);
	return false;
}

static bool readable(const struct side *side, unsigned int i)
{
	return side->page[i].mapped && side->page[i].prot != PROT_NONE;
}

static bool caller_agrees(void)
{
	unsigned int i;

	for (i = 0; i < PAGES; i++)
		if (readable(&m.caller, i) &&
		    !val_agrees(&m.caller, i, *(__u64 *)page_at(i), "caller"))
			return false;
	return true;
}

static bool kid_agrees(unsigned int k)
{
	struct det_op ops[PAGES];
	__u64 val[PAGES + 1] = {};
	unsigned int i, n = 0;

	for (i = 0; i < PAGES; i++)
		if (readable(&m.kid[k], i))
			ops[n++] = op_copy(&val[i], addr_of(page_at(i)), 8);
	if (get_ops(k, 0, ops, n, NULL))
		return false;
	for (i = 0; i < PAGES; i++)
		if (readable(&m.kid[k], i) &&
		    !val_agrees(&m.kid[k], i, val[i], k ? "child 1" :
						      "child 0"))
			return false;
	return true;
}

static void prepare(__u64 seed, size_t unit)
{
	unsigned int i;
	__u64 val;

	memset(&m, 0, sizeof(m));
	m.rnd = seed * 2 + 1;
	m.unit = unit;
	m.base = unit == PAGE ? map_rw(PAGES * PAGE) : map_huge(PAGES * unit);
	m.fd = memfd_create("random_test", MFD_CLOEXEC);
	if (ftruncate(m.fd, PAGES * unit))
		abort();
	for (i = 0; i < PAGES; i++) {
		m.caller.page[i] = (struct page){ true, PROT_RW };
		val = 0xf11e0000 + i;
		if (pwrite(m.fd, &val, 8, i * unit) != 8)
			abort();
	}
	for (i = 0; i < KIDS; i++)
		if (put_flags(i, 0, NULL))
			abort();
}

static unsigned long number(const char *name, unsigned long dflt)
{
	const char *s = getenv(name);

	return s ? strtoul(s, NULL, 0) : dflt;
}

#define KSM "/sys/kernel/mm/ksm/"

FIXTURE(random) {
	pid_t pid[KIDS];
};

FIXTURE_VARIANT(random) {
	unsigned long seed;
	size_t unit;
};

FIXTURE_VARIANT_ADD(random, pages_1) {
	.seed = 1,
	.unit = PAGE,
};

FIXTURE_VARIANT_ADD(random, pages_2) {
	.seed = 2,
	.unit = PAGE,
};

FIXTURE_VARIANT_ADD(random, pages_3) {
	.seed = 3,
	.unit = PAGE,
};

/* A huge page is a third of all, or it is two. */
FIXTURE_VARIANT_ADD(random, parts_of_huge_pages) {
	.seed = 4,
	.unit = HUGE / 4,
};

FIXTURE_VARIANT_ADD(random, huge_pages) {
	.seed = 5,
	.unit = 2 * HUGE,
};

FIXTURE_SETUP(random)
{
	unsigned int k;

	NEED_CALLS();
	/* All of these as far as possible; root's affair. */
	enter_cgroup();
	write_file(KSM "pages_to_scan", "1000", 4, 0);
	write_file(KSM "sleep_millisecs", "1", 1, 0);
	write_file(KSM "run", "1", 1, 0);
	prepare(variant->seed + number("DET_TEST_SEED", 0), variant->unit);
	for (k = 0; k < KIDS; k++) {
		self->pid[k] = space_pid(getpid(), k);
		ASSERT_NE(0, self->pid[k]);
	}
}

FIXTURE_TEARDOWN(random)
{
	unsigned int k;

	for (k = 0; k < KIDS; k++)
		kill_child(k);
	write_file(KSM "run", "0", 1, 0);
	leave_cgroup();
}

TEST_F_TIMEOUT(random, against_a_model, 3600)
{
	unsigned long i, n = number("DET_TEST_STEPS",
				    variant->unit == PAGE ? 400 : 100);
	unsigned int k;

	for (i = 0; i < n; i++) {
		ASSERT_TRUE(step()) TH_LOG("step %lu, %s", i, m.what);
		ASSERT_TRUE(caller_agrees())
			TH_LOG("step %lu, %s", i, m.what);
		for (k = 0; k < KIDS; k++)
			ASSERT_TRUE(kid_agrees(k))
				TH_LOG("step %lu, %s", i, m.what);
		if (i % 8 && i < n - 1)
			continue;
		ASSERT_TRUE(perms_agree(getpid(), &m.caller, "caller"));
		for (k = 0; k < KIDS; k++)
			ASSERT_TRUE(perms_agree(self->pid[k], &m.kid[k],
						k ? "child 1" : "child 0"));
	}
	/* It has left no mappings behind; one is the vsyscall page. */
	for (k = 0; k < KIDS; k++)
		EXPECT_GE(PAGES + 1, count_maps(self->pid[k]));
}

TEST_HARNESS_MAIN
