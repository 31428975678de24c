// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that spaces are refused, again and again among memory that they are
 * given: each COPY that meets it names its first byte, and has changed nothing,
 * neither in the child nor in the caller. When it is gone the same COPY works.
 *
 * And text in which uprobes are: what of it a space gets.
 */
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#include "../selftests/deterministic/mem.h"

#define CHILD 1
#define WHOLE 2
#define ROUNDS 60
#define AT 0x600000000UL
#define FAR (AT + (1UL << 30))	/* another address in the child */

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif
#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4U
#endif

/* --- Kinds --- */

/* Each maps @len bytes at @p, in place of what is there; false: no such kind. */

static bool hugetlb_at(char *p, size_t len)
{
	write_file("/proc/sys/vm/nr_hugepages", "8", 1, 0);
	if (mmap(p, len, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
		 MAP_FIXED, -1, 0) != p)
		return false;
	memset(p, 0x5a, len);
	return true;
}

static bool hugetlb_file_at(char *p, size_t len)
{
	int fd = syscall(__NR_memfd_create, "refused", MFD_HUGETLB);
	bool ok;

	write_file("/proc/sys/vm/nr_hugepages", "8", 1, 0);
	ok = fd >= 0 && !ftruncate(fd, len) &&
	     mmap(p, len, PROT_RW, MAP_SHARED | MAP_FIXED, fd, 0) == p;
	close(fd);
	if (ok)
		memset(p, 0x5a, len);
	return ok;
}

static bool secretmem_at(char *p, size_t len)
{
	int fd = syscall(__NR_memfd_secret, O_CLOEXEC);
	bool ok = fd >= 0 && !ftruncate(fd, len) &&
		  mmap(p, len, PROT_RW, MAP_SHARED | MAP_FIXED, fd, 0) == p;

	close(fd);
	if (ok)
		memset(p, 0x5a, len);
	return ok;
}

static int uffd = -1;

static bool register_at(char *p, size_t len, __u64 mode)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { addr_of(p), len }, .mode = mode,
	};

	if (uffd >= 0)
		close(uffd);	/* what was there is not armed any more */
	uffd = syscall(__NR_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	return uffd >= 0 && !ioctl(uffd, UFFDIO_API, &api) &&
	       !ioctl(uffd, UFFDIO_REGISTER, &reg);
}

static bool uffd_missing_at(char *p, size_t len)
{
	memset(p, 0x5a, len);
	return register_at(p, len, UFFDIO_REGISTER_MODE_MISSING);
}

static bool uffd_wp_at(char *p, size_t len)
{
	memset(p, 0x5a, len);
	return register_at(p, len, UFFDIO_REGISTER_MODE_WP);
}

static bool dontfork_at(char *p, size_t len)
{
	memset(p, 0x5a, len);
	return !madvise(p, len, MADV_DONTFORK);
}

static bool droppable_at(char *p, size_t len)
{
	if (mmap(p, len, PROT_RW, MAP_DROPPABLE | MAP_ANONYMOUS | MAP_FIXED, -1,
		 0) != p)
		return false;
	memset(p, 0x5a, len);
	return true;
}

/* --- The rounds --- */

FIXTURE(refused)
{
	char *arena, *model;
	size_t len, unit;	/* of the arena; what a piece is aligned to */
	__u64 random;
};

FIXTURE_VARIANT(refused)
{
	bool (*at)(char *p, size_t len);
	size_t unit;
	bool left_out;		/* of a whole copy, instead of refused */
};

FIXTURE_VARIANT_ADD(refused, hugetlb)
{
	.at = hugetlb_at, .unit = HUGE, .left_out = false,
};

FIXTURE_VARIANT_ADD(refused, hugetlb_file)
{
	.at = hugetlb_file_at, .unit = HUGE, .left_out = false,
};

FIXTURE_VARIANT_ADD(refused, secretmem)
{
	.at = secretmem_at, .unit = PAGE, .left_out = false,
};

FIXTURE_VARIANT_ADD(refused, uffd_missing)
{
	.at = uffd_missing_at, .unit = PAGE, .left_out = false,
};

FIXTURE_VARIANT_ADD(refused, uffd_wp)
{
	.at = uffd_wp_at, .unit = PAGE, .left_out = false,
};

FIXTURE_VARIANT_ADD(refused, dontfork)
{
	.at = dontfork_at, .unit = PAGE, .left_out = true,
};

FIXTURE_VARIANT_ADD(refused, droppable)
{
	.at = droppable_at, .unit = PAGE, .left_out = true,
};

/* Anonymous memory again, with the model's bytes. */
static void mend(char *arena, const char *model, size_t len)
{
	map_at(arena, len, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
	       -1);
	memcpy(arena, model, len);
}

FIXTURE_SETUP(refused)
{
	NEED_CALLS();
	self->random = 4711;
	self->unit = variant->unit;
	self->len = self->unit == PAGE ? 48 * PAGE : 3 * HUGE;
	self->arena = map_at((void *)AT, self->len, PROT_RW, MAP_PRIVATE |
			     MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1);
	self->model = map_rw(self->len);
	fill(self->model, self->len, 1);
	mend(self->arena, self->model, self->len);
	ASSERT_EQ(0, put_op(CHILD, DET_SNAP,
			    op_copy(self->arena, AT, self->len), NULL));
	ASSERT_EQ(0, put_op(CHILD, 0, op_copy(self->arena, FAR, self->len),
			    NULL));
}

FIXTURE_TEARDOWN(refused)
{
	kill_child(CHILD);
	write_file("/proc/sys/vm/nr_hugepages", "0", 1, 0);
}

static size_t any(__u64 *random, size_t n)
{
	return (next_random(random) >> 20) % n;
}

/*
 * A COPY whose source has a part of [bad, bad + len): of whole pages to the
 * same or another address, or of bytes.
 */
static struct det_op copy_over(__u64 *random, size_t arena, size_t bad,
			       size_t len)
{
	size_t from = any(random, bad + len), to, how = any(random, 4);

	if (how >= 2) {
		/* Few of them: those that came before are held, one by one. */
		from = bad + any(random, len);
		if (bad && how == 2)
			from = bad - any(random, PAGE) - 1;
		to = from + PAGE + 1 + any(random, PAGE);
		to = to < arena ? to : arena;
		return op_copy((char *)AT + from, FAR + from / 2, to - from);
	}
	to = (from > bad ? from : bad) + 1;
	to += any(random, arena - to);
	from &= ~(PAGE - 1);
	to = (to + PAGE - 1) & ~(PAGE - 1);
	return op_copy((char *)AT + from, (how & 1 ? FAR : AT) + from,
		       to - from);
}

static bool is_unharmed(__u64 child, __u64 at, const char *model, size_t len,
			size_t bad)
{
	size_t from = bad > 2 * PAGE ? bad - 2 * PAGE : 0;
	size_t n = len - from < 5 * PAGE ? len - from : 5 * PAGE;

	return child_has(child, at, model, PAGE) &&
	       child_has(child, at + from, model + from, n) &&
	       child_has(child, at + len - PAGE, model + len - PAGE, PAGE);
}

static void refuse_ranges(struct __test_metadata *_metadata, __u64 *random,
			  size_t arena, size_t bad, size_t len)
{
	struct det_status st;
	int i;

	for (i = 0; i < 4; i++) {
		struct det_op op = copy_over(random, arena, bad, len);
		__u64 first = op.caller > AT + bad ? op.caller : AT + bad;
		long ret = put_op(CHILD, 0, op, &st);

		ASSERT_TRUE(is_op_err_at(ret, EOPNOTSUPP, 0, first, &st))
			TH_LOG("COPY %#llx to %#llx, %#llx bytes, bad %#zx",
			       (unsigned long long)op.caller,
			       (unsigned long long)op.child,
			       (unsigned long long)op.len, bad);
	}
}

static void refuse_whole(struct __test_metadata *_metadata, bool left_out,
			 size_t bad)
{
	struct det_status st;
	long ret = put_op(WHOLE, 0, op_whole(), &st);
	char c;

	if (left_out) {
		EXPECT_EQ(0, ret);
		EXPECT_EQ(-EFAULT, peek(WHOLE, AT + bad, &c, 1));
	} else {
		EXPECT_OP_ERR_AT(EOPNOTSUPP, 0, AT + bad, ret, &st);
	}
	EXPECT_EQ(0, kill_child(WHOLE));
}

TEST_F(refused, rounds)
{
	size_t units = self->len / self->unit, bad, n;
	int i;

	for (i = 0; i < (self->unit == PAGE ? ROUNDS : ROUNDS / 10); i++) {
		bad = any(&self->random, units) * self->unit;
		n = self->unit == PAGE ? any(&self->random, (self->len - bad) /
					     PAGE) % 5 + 1 : 1;
		n *= self->unit;
		if (!variant->at(self->arena + bad, n))
			SKIP(return, "no memory of that kind");
		refuse_ranges(_metadata, &self->random, self->len, bad, n);
		if (i % 10 == 0)
			refuse_whole(_metadata, variant->left_out, bad);
		ASSERT_EQ(0, memcmp(self->arena, self->model, bad));
		ASSERT_EQ(0, memcmp(self->arena + bad + n, self->model + bad +
				    n, self->len - bad - n));
		ASSERT_TRUE(all_bytes(self->arena + bad, 0x5a, n));
		ASSERT_TRUE(is_unharmed(CHILD, AT, self->model, self->len,
					bad));
		ASSERT_TRUE(is_unharmed(CHILD, FAR, self->model, self->len,
					bad));

		mend(self->arena, self->model, self->len);
		ASSERT_EQ(0, put_op(CHILD, DET_SNAP,
				    op_copy(self->arena, AT, self->len), NULL));
		ASSERT_EQ(0, get_op(CHILD, 0, op_merge(self->arena, self->len,
						       0), NULL));
	}
}

/* --- vvar and vDSO --- */

static void refuse_kernel_pages(struct __test_metadata *_metadata,
				const char *name)
{
	__u64 start = 0, end = 0, random = 5, at;
	struct det_status st;
	char zeros[64] = {}, c;
	long ret;
	int i;

	NEED_CALLS();
	if (!find_map(getpid(), name, &start, &end))
		SKIP(return, "the kernel has none");
	ASSERT_EQ(0, put_op(CHILD, 0, op_zero(FAR, 16 * PAGE, PROT_RW), NULL));
	for (i = 0; i < ROUNDS; i++) {
		at = start + any(&random, (end - start) / PAGE) * PAGE;
		ret = put_op(CHILD, 0, op_copy((void *)at, at, PAGE), &st);
		ASSERT_TRUE(is_op_err_at(ret, EOPNOTSUPP, 0, at, &st));
		ret = put_op(CHILD, 0, op_copy((void *)at, FAR, end - at), &st);
		ASSERT_TRUE(is_op_err_at(ret, EOPNOTSUPP, 0, at, &st));
		ASSERT_TRUE(child_has(CHILD, FAR, zeros, sizeof(zeros)));
	}
	ASSERT_EQ(0, put_op(CHILD, 0, op_whole(), NULL));
	EXPECT_EQ(-EFAULT, peek(CHILD, start, &c, 1));
}

/* The clock itself: not by bytes either. */
TEST(vvar_bytes)
{
	__u64 start = 0, end = 0, at;
	struct det_status st;
	char zeros[64] = {};
	long ret;

	NEED_CALLS();
	if (!find_map(getpid(), "[vvar]", &start, &end))
		SKIP(return, "the kernel has none");
	ASSERT_EQ(0, put_op(CHILD, 0, op_zero(FAR, PAGE, PROT_RW), NULL));
	for (at = start + 128; at < end; at += PAGE) {
		ret = put_op(CHILD, 0, op_copy((void *)at, FAR + 9, 48), &st);
		EXPECT_EQ(-EOPNOTSUPP, ret);
		EXPECT_EQ(at, st.addr);
		EXPECT_TRUE(child_has(CHILD, FAR, zeros, sizeof(zeros)));
	}
}

TEST(vvar)
{
	refuse_kernel_pages(_metadata, "[vvar]");
}

TEST(vdso)
{
	refuse_kernel_pages(_metadata, "[vdso]");
}

/* --- As the destination, in the caller --- */

/* Secret memory cannot be written by the kernel, but it can be replaced. */
TEST(into_secretmem)
{
	char *p = map_rw(4 * PAGE), buf[8] = "secret";
	struct det_status st;
	long ret;
	int i;

	NEED_CALLS();
	ASSERT_EQ(0, probe_into(CHILD));
	ASSERT_EQ(0, put_op(CHILD, DET_SNAP, op_zero(addr_of(p), 4 * PAGE,
						     PROT_RW), NULL));
	ASSERT_EQ(0, child_write(CHILD, addr_of(p) + PAGE + 5, 7));
	for (i = 0; i < ROUNDS; i++) {
		if (!secretmem_at(p + PAGE, PAGE))
			SKIP(return, "no secretmem");
		ret = get_op(CHILD, 0, op_merge(p, 4 * PAGE, 0), &st);
		EXPECT_OP_ERR_AT(EFAULT, 0, p + PAGE + 5, ret, &st);
		ret = get_op(CHILD, 0, op_copy(p + PAGE + 8, addr_of(p), 6),
			     &st);
		EXPECT_OP_ERR_AT(EFAULT, 0, p + PAGE + 8, ret, &st);
		EXPECT_TRUE(all_bytes(p + PAGE, 0x5a, PAGE));
		ASSERT_EQ(0, get_op(CHILD, 0, op_copy(p, addr_of(p), 4 * PAGE),
				    NULL));
		EXPECT_EQ(7, p[PAGE + 5]);
		EXPECT_EQ(0, peek(CHILD, addr_of(p), buf, 1));
	}
}

/* --- Uprobes --- */

#define EVENTS "/sys/kernel/tracing/uprobe_events"
#define GROUP "/sys/kernel/tracing/events/survival"
#define INT3 0xcc

static int hits;

/* The function that is probed: never inlined, nor made simpler. */
static long __attribute__((__noipa__, __aligned__(4096))) probed(long x)
{
	asm volatile("nop");
	return x + 7;
}

/* Where a byte of this program's text is in its file. */
static bool file_offset(const void *p, unsigned long long *off)
{
	unsigned long long from, to, start;
	bool found = false;
	char line[512];
	FILE *f = open_maps(getpid());

	while (f && !found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx-%llx %*s %llx", &from, &to, &start) != 3)
			continue;
		found = addr_of(p) >= from && addr_of(p) < to;
		*off = addr_of(p) - from + start;
	}
	if (f)
		fclose(f);
	return found;
}

static bool append(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) > 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

static bool make_probe(char kind, const void *at)
{
	unsigned long long off;
	char exe[256], text[400];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n < 0 || !file_offset(at, &off))
		return false;
	exe[n] = 0;
	snprintf(text, sizeof(text), "%c:survival/probed %s:%#llx\n", kind,
		 exe, off);
	return append(EVENTS, text);
}

static bool switch_probe(bool on)
{
	return write_file(GROUP "/probed/enable", on ? "1" : "0", 1, 0);
}

static void remove_probe(void)
{
	switch_probe(false);
	append(EVENTS, "-:survival/probed\n");
}

static long call_probed(void *arg)
{
	return probed((long)arg);
}

static unsigned char first_byte(const void *p)
{
	return __atomic_load_n((const unsigned char *)p, __ATOMIC_RELAXED);
}

/* A space that was made before the probe has nothing of it. */
static void probed_later(struct __test_metadata *_metadata, char kind)
{
	struct det_status st;
	unsigned char c = 0;

	NEED_CALLS();
	NEED_ROOT();
	ASSERT_EQ(1, spawn(CHILD, DET_SNAP, call_probed, (void *)5L, NULL));
	if (!make_probe(kind, probed))
		SKIP(return, "no uprobe events");
	ASSERT_TRUE(switch_probe(true));
	EXPECT_EQ(INT3, first_byte(probed));
	EXPECT_EQ(12, probed(5));
	EXPECT_EQ(0, peek(CHILD, addr_of(probed), &c, 1));
	EXPECT_NE(INT3, c);
	EXPECT_EQ(0, run_child(CHILD, &st));
	EXPECT_RET(12, &st);
	EXPECT_EQ(0, run_child(CHILD, &st));
	EXPECT_RET(12, &st);
	EXPECT_EQ(0, get_op(CHILD, 0, op_merge(&hits, sizeof(hits), 0), NULL));
	remove_probe();
	EXPECT_NE(INT3, first_byte(probed));
	EXPECT_EQ(0, run_child(CHILD, &st));
	EXPECT_RET(12, &st);
}

/* What is copied is what the caller's memory holds: the breakpoint too. */
static void probed_before(struct __test_metadata *_metadata, char kind)
{
	struct det_status st;
	unsigned char c = 0;

	NEED_CALLS();
	NEED_ROOT();
	if (!make_probe(kind, probed))
		SKIP(return, "no uprobe events");
	ASSERT_TRUE(switch_probe(true));
	EXPECT_EQ(12, probed(5));
	ASSERT_EQ(1, spawn(CHILD, DET_START | DET_WAIT, call_probed,
			   (void *)5L, &st));
	EXPECT_EQ(0, peek(CHILD, addr_of(probed), &c, 1));
	TH_LOG("the space has %#x and ends with %s %lld", c,
	       reason_name(st.reason), (long long)st.value);
	EXPECT_TRUE(c == INT3 ? is_fault(&st, SIGTRAP, 3) : is_ret(&st, 12));
	EXPECT_EQ(12, probed(5));
	remove_probe();
	EXPECT_NE(INT3, first_byte(probed));
	EXPECT_EQ(12, probed(5));
}

/* While its return is probed, its caller's address is on no stack. */
static long __attribute__((__noipa__)) probed_call(long (*fn)(void))
{
	long ret = fn();

	asm volatile("nop");
	return ret;
}

static struct det_status inside;

static long fork_inside(void)
{
	return fork_space(CHILD, DET_START | DET_WAIT, &inside);
}

TEST(uretprobe_around_a_fork)
{
	NEED_CALLS();
	NEED_ROOT();
	if (!make_probe('r', probed_call))
		SKIP(return, "no uprobe events");
	ASSERT_TRUE(switch_probe(true));
	if (!probed_call(fork_inside))
		for (;;)
			dret(3);
	TH_LOG("the space ends with %s %lld", reason_name(inside.reason),
	       (long long)inside.value);
	/* The kernel's trampoline is not copied. */
	EXPECT_TRUE(inside.reason == DET_FAULT ?
		    is_fault(&inside, SIGSEGV, 14) : is_ret(&inside, 3));
	remove_probe();
}

/* On and off while spaces run; each has been made without it. */
TEST(uprobe_rounds)
{
	struct det_status st;
	int i;

	NEED_CALLS();
	NEED_ROOT();
	if (!make_probe('p', probed))
		SKIP(return, "no uprobe events");
	for (i = 0; i < ROUNDS / 2; i++) {
		ASSERT_EQ(1, spawn(CHILD, DET_SNAP | DET_START, call_probed,
				   (void *)(long)i, NULL));
		ASSERT_TRUE(switch_probe(true));
		EXPECT_EQ(i + 7, probed(i));
		ASSERT_EQ(0, get_stop(CHILD, &st));
		EXPECT_RET(i + 7, &st);
		ASSERT_EQ(0, run_child(CHILD, &st));
		EXPECT_RET(i + 7, &st);
		ASSERT_TRUE(switch_probe(false));
		ASSERT_EQ(0, kill_child(CHILD));
	}
	remove_probe();
}

TEST(uprobe_later)
{
	probed_later(_metadata, 'p');
}

TEST(uretprobe_later)
{
	probed_later(_metadata, 'r');
}

TEST(uprobe_before)
{
	probed_before(_metadata, 'p');
}

TEST(uretprobe_before)
{
	probed_before(_metadata, 'r');
}

TEST_HARNESS_MAIN
