// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kinds of memory that a master's arena can be; see source.h.
 *
 * Two watch for what a COPY must not do to its source. A page that is pinned
 * (here by io_uring, as for a device) must stay the one that the master has
 * mapped: what the pin reads is compared with what the master reads. A private
 * file page that was broken out must stay so: the file gets other bytes, and
 * those must never be seen.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "source.h"

/* For headers that are older. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define PAGE 4096UL
#define HUGE (2UL << 20)
#define PROT_RW (PROT_READ | PROT_WRITE)
#define MAX_PARTS 4096

/* The ring of a part that is pinned. */
struct ring {
	int fd;
	unsigned int *sq_tail, *sq_mask, *sq_array;
	unsigned int *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
};

/* Memory that churn must know more of. */
struct part {
	char *mem;
	size_t size;
	int file;		/* behind it, or for the ring to write into */
	struct ring *ring;	/* NULL: a private file mapping */
};

static struct part parts[MAX_PARTS];
static int nr_parts;

static void die(const char *what)
{
	fprintf(stderr, "source: %s: %m\n", what);
	_exit(1);
}

static void *lacks(const char *what)
{
	fprintf(stderr, "source: %s: %m\n", what);
	return NULL;
}

static unsigned long pick(unsigned long long *random, unsigned long n)
{
	unsigned long long x = *random | 1;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*random = x;
	return (x >> 16) % n;
}

static char *map_anon(void *where, size_t size, int prot, int flags)
{
	char *p = mmap(where, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags,
		       -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static struct part *add_part(char *mem, size_t size, int file,
			     struct ring *ring)
{
	int n = nr_parts;

	if (n == MAX_PARTS) {
		errno = ENOSPC;
		die("parts");
	}
	parts[n] = (struct part){ mem, size, file, ring };
	/* The rewriter looks without a lock. */
	__atomic_store_n(&nr_parts, n + 1, __ATOMIC_RELEASE);
	return &parts[n];
}

/* A file without a name. */
static int make_file(size_t size)
{
	char name[] = "/tmp/survivalXXXXXX";
	int fd = mkstemp(name);

	if (fd < 0)
		return -1;
	unlink(name);
	if (!ftruncate(fd, size))
		return fd;
	close(fd);
	return -1;
}

/* --- Anonymous --- */

static void *anon_map(size_t size, int child, unsigned long long *random)
{
	return map_anon(NULL, size, PROT_RW, 0) ?: lacks("anonymous memory");
}

static void *huge_map(size_t size, int child, unsigned long long *random)
{
	char *p = map_anon(NULL, size + HUGE, PROT_RW, MAP_NORESERVE);

	if (!p)
		return lacks("anonymous memory");
	p = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
	if (madvise(p, size, MADV_HUGEPAGE))
		return lacks("huge pages");
	return p;
}

/* A huge page is divided, and may become one again. */
static void huge_churn(void *mem, size_t size, unsigned long long *random)
{
	size_t at = pick(random, size / PAGE) * PAGE;

	madvise((char *)mem + at, PAGE,
		pick(random, 2) ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	madvise(mem, size, MADV_HUGEPAGE);
	if (!pick(random, 4))
		madvise(mem, size, MADV_COLLAPSE);
}

static void *mlocked_map(size_t size, int child, unsigned long long *random)
{
	char *p = map_anon(NULL, size, PROT_RW, 0);

	if (!p || mlock(p, size))
		return lacks("locked memory");
	return p;
}

static void mlocked_churn(void *mem, size_t size, unsigned long long *random)
{
	size_t at = pick(random, size / PAGE) * PAGE;
	size_t len = pick(random, (size - at) / PAGE + 1) * PAGE;
	char *p = (char *)mem + at;

	if (munlock(p, len) || mlock2(p, len, MLOCK_ONFAULT))
		die("munlock, mlock2");
	if (pick(random, 2) && mlock(mem, size))
		die("mlock");
}

/* --- A stack that grows --- */

#define STACK_TOP (16 * PAGE)
#define STACK_GUARD (256 * PAGE)

static bool stack_may_grow(size_t size)
{
	struct rlimit r;

	getrlimit(RLIMIT_STACK, &r);
	if (r.rlim_cur >= size + STACK_GUARD)
		return true;
	r.rlim_cur = r.rlim_max;
	return !setrlimit(RLIMIT_STACK, &r) && r.rlim_cur >= size + STACK_GUARD;
}

/* Its lowest pages are still to come; below is nothing that can be read. */
static void *stack_map(size_t size, int child, unsigned long long *random)
{
	size_t top = size < STACK_TOP ? size : STACK_TOP;
	char *p, *end, *at;

	if (!stack_may_grow(size))
		return lacks("RLIMIT_STACK");
	p = map_anon(NULL, STACK_GUARD + size, PROT_NONE, MAP_NORESERVE);
	if (!p)
		return lacks("room for a stack");
	end = p + STACK_GUARD + size;
	p = end - size;
	if ((size > top && munmap(p, size - top)) ||
	    !map_anon(end - top, top, PROT_RW,
		      MAP_GROWSDOWN | MAP_STACK | MAP_FIXED))
		return lacks("a stack");
	for (at = end; at > p; at -= PAGE)
		__atomic_store_n(at - PAGE, 0, __ATOMIC_RELAXED);
	return p;
}

/* Cut it off below, and let it grow again. */
static void stack_churn(void *mem, size_t size, unsigned long long *random)
{
	size_t len = pick(random, size / PAGE) * PAGE;
	static char *save;

	if (len > HUGE)
		len = HUGE;
	if (!save)
		save = map_anon(NULL, HUGE, PROT_RW, 0);
	if (!save)
		die("memory");
	memcpy(save, mem, len);
	if (munmap(mem, len))
		die("munmap");
	while (len) {
		size_t n = (pick(random, 64) + 1) * PAGE;

		if (n > len)
			n = len;
		len -= n;
		memcpy((char *)mem + len, save + len, n);
	}
}

/* --- Shared --- */

static void *shared_map(size_t size, int child, unsigned long long *random)
{
	char *p = mmap(NULL, size, PROT_RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? lacks("shared memory") : p;
}

static void *shared_file_map(size_t size, int child,
			     unsigned long long *random)
{
	int fd = make_file(size);
	char *p;

	if (fd < 0)
		return lacks("a file");
	p = mmap(NULL, size, PROT_RW, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return lacks("a shared file");
	add_part(p, size, fd, NULL);
	return p;
}

/* Through the file's own calls: another writer of the same pages. */
static void shared_file_churn(void *mem, size_t size,
			      unsigned long long *random)
{
	size_t at = pick(random, size / PAGE) * PAGE;
	char buf[PAGE];
	int i;

	for (i = 0; i < nr_parts && parts[i].mem != mem; i++)
		;
	if (pread(parts[i].file, buf, PAGE, at) != PAGE ||
	    pwrite(parts[i].file, buf, PAGE, at) != PAGE)
		die("a shared file");
	if (memcmp(buf, (char *)mem + at, PAGE)) {
		errno = EIO;
		die("a shared file is not what is mapped");
	}
}

static void *sysv_map(size_t size, int child, unsigned long long *random)
{
	int id = shmget(IPC_PRIVATE, size, 0600 | IPC_CREAT);
	char *p = id < 0 ? (void *)-1 : shmat(id, NULL, 0);

	if (p == (void *)-1)
		return lacks("SysV shared memory");
	shmctl(id, IPC_RMID, NULL);
	return p;
}

/* --- A private file that is written to behind --- */

/* What every byte of page @i is in the file at first. */
static int file_byte(size_t i)
{
	return (i * 167 + 13) & 0xff;
}

/* Beside all that the master does, each page gets what it had at first. */
static void *rewrite(void *arg)
{
	unsigned long long random = 88172645463325252ULL;
	char buf[PAGE];

	for (;; usleep(500)) {
		int n = __atomic_load_n(&nr_parts, __ATOMIC_ACQUIRE);
		struct part *p = &parts[pick(&random, n)];
		size_t i = pick(&random, p->size / PAGE);

		if (p->ring)
			continue;
		memset(buf, file_byte(i), PAGE);
		if (pwrite(p->file, buf, PAGE, i * PAGE) != PAGE)
			die("rewriting a file");
	}
	return NULL;
}

static bool start_rewriter(void)
{
	static pid_t started;
	pthread_t thread;

	if (started == getpid())
		return true;
	started = getpid();
	errno = pthread_create(&thread, NULL, rewrite, NULL);
	return !errno;
}

static bool file_map_at(char *where, size_t size)
{
	int fd = make_file(size);
	char buf[PAGE];
	size_t i;

	for (i = 0; fd >= 0 && i < size / PAGE; i++) {
		memset(buf, file_byte(i), PAGE);
		if (pwrite(fd, buf, PAGE, i * PAGE) != PAGE)
			return false;
	}
	if (fd < 0 || mmap(where, size, PROT_RW, MAP_PRIVATE | MAP_FIXED, fd,
			   0) == MAP_FAILED)
		return false;
	add_part(where, size, fd, NULL);
	return true;
}

static void *file_map(size_t size, int child, unsigned long long *random)
{
	char *p = map_anon(NULL, size, PROT_NONE, MAP_NORESERVE);

	if (!p || !file_map_at(p, size))
		return lacks("a file");
	return start_rewriter() ? p : lacks("a thread");
}

#define PM_THERE (6ULL << 61)	/* present or swapped out */
#define PM_FILE 0x2000000000000000ULL

/* The page is the master's own by now, and no longer the file's. */
static bool broken_out(const char *addr)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	unsigned long long entry = 0;

	/* Who may not know (not dumpable) takes none for such. */
	if (fd < 0)
		return false;
	if (pread(fd, &entry, 8, (uintptr_t)addr / PAGE * 8) != 8)
		entry = 0;
	close(fd);
	return entry & PM_THERE && !(entry & PM_FILE);
}

/* Other bytes behind a page, or none at all: the master must not see it. */
static void disturb_behind(struct part *p, unsigned long long *random)
{
	size_t at = pick(random, p->size / PAGE) * PAGE;
	char before[PAGE], other[PAGE];
	size_t i;

	if (!broken_out(p->mem + at))
		return;
	memcpy(before, p->mem + at, PAGE);
	for (i = 0; i < PAGE; i++)
		other[i] = ~before[i];
	if (pick(random, 3)) {
		if (pwrite(p->file, other, PAGE, at) != PAGE)
			die("rewriting a file");
	} else {
		/* Not every file system can. */
		fallocate(p->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  at, PAGE);
	}
	if (memcmp(p->mem + at, before, PAGE)) {
		errno = EIO;
		die("what was written to a file is seen in private memory");
	}
}

static void file_churn(void *mem, size_t size, unsigned long long *random)
{
	char *from = mem;
	int i;

	for (i = 0; i < nr_parts; i++)
		if (!parts[i].ring && parts[i].mem >= from &&
		    parts[i].mem < from + size)
			disturb_behind(&parts[i], random);
}

/* --- Pinned --- */

static bool ring_map(struct ring *r, const struct io_uring_params *p)
{
	size_t size = p->sq_off.array + p->sq_entries * sizeof(unsigned int);
	size_t cq = p->cq_off.cqes + p->cq_entries * sizeof(*r->cqes);
	char *ring;

	if (!(p->features & IORING_FEAT_SINGLE_MMAP))
		return false;
	ring = mmap(NULL, size > cq ? size : cq, PROT_RW,
		    MAP_SHARED | MAP_POPULATE, r->fd, IORING_OFF_SQ_RING);
	r->sqes = mmap(NULL, p->sq_entries * sizeof(*r->sqes), PROT_RW,
		       MAP_SHARED | MAP_POPULATE, r->fd, IORING_OFF_SQES);
	if (ring == MAP_FAILED || r->sqes == MAP_FAILED)
		return false;
	r->sq_tail = (void *)(ring + p->sq_off.tail);
	r->sq_mask = (void *)(ring + p->sq_off.ring_mask);
	r->sq_array = (void *)(ring + p->sq_off.array);
	r->cq_head = (void *)(ring + p->cq_off.head);
	r->cq_tail = (void *)(ring + p->cq_off.tail);
	r->cq_mask = (void *)(ring + p->cq_off.ring_mask);
	r->cqes = (void *)(ring + p->cq_off.cqes);
	return true;
}

static int ring_pin(const struct part *p)
{
	struct iovec iov = { p->mem, p->size };

	return syscall(__NR_io_uring_register, p->ring->fd,
		       IORING_REGISTER_BUFFERS, &iov, 1);
}

/*
 * Between the pinned pages and the file at the same place. False, with errno,
 * if the kernel did not.
 */
static bool ring_io(struct part *p, int op, size_t at, size_t len)
{
	struct ring *r = p->ring;
	unsigned int tail = *r->sq_tail, i = tail & *r->sq_mask, head;
	int res;

	r->sqes[i] = (struct io_uring_sqe){
		.opcode = op, .fd = p->file, .off = at,
		.addr = (uintptr_t)p->mem + at, .len = len,
	};
	r->sq_array[i] = i;
	__atomic_store_n(r->sq_tail, tail + 1, __ATOMIC_RELEASE);
	if (syscall(__NR_io_uring_enter, r->fd, 1, 1, IORING_ENTER_GETEVENTS,
		    NULL, 0) != 1)
		die("io_uring_enter");
	head = *r->cq_head;
	while (__atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE) == head)
		if (syscall(__NR_io_uring_enter, r->fd, 0, 1,
			    IORING_ENTER_GETEVENTS, NULL, 0) < 0 &&
		    errno != EINTR)
			die("io_uring_enter");
	res = r->cqes[head & *r->cq_mask].res;
	__atomic_store_n(r->cq_head, head + 1, __ATOMIC_RELEASE);
	errno = res < 0 ? -res : EIO;
	return res == (int)len;
}

static void *pinned_map(size_t size, int child, unsigned long long *random)
{
	struct io_uring_params params = {};
	struct ring *r = calloc(1, sizeof(*r));
	char *p = map_anon(NULL, size, PROT_RW, 0);
	int fd = make_file(size);
	struct part *part;

	if (!r || !p || fd < 0)
		return lacks("memory and a file");
	/* What is written later must not count as growth. */
	if (posix_fallocate(fd, 0, size))
		return lacks("memory for a file");
	r->fd = syscall(__NR_io_uring_setup, 2, &params);
	if (r->fd < 0 || !ring_map(r, &params))
		return lacks("io_uring");
	part = add_part(p, size, fd, r);
	if (ring_pin(part))
		return lacks("pinned memory");
	/* It may need a thread, which not every process may have. */
	return ring_io(part, IORING_OP_WRITE_FIXED, 0, PAGE) ? p :
	       lacks("I/O with pinned memory");
}

/* Pinned and mapped must be one page, in both directions. */
static void pinned_check(struct part *p, unsigned long long *random)
{
	size_t at = pick(random, p->size / PAGE) * PAGE;
	size_t len = (pick(random, 16) + 1) * PAGE, i;
	static char buf[16 * PAGE];

	if (len > p->size - at)
		len = p->size - at;
	if (!ring_io(p, IORING_OP_WRITE_FIXED, at, len) ||
	    pread(p->file, buf, len, at) != (ssize_t)len)
		die("writing pinned memory");
	if (memcmp(buf, p->mem + at, len)) {
		errno = EIO;
		die("pinned memory has lost what was written to it");
	}
	for (i = 0; i < len; i++)
		buf[i] = ~buf[i];
	if (pwrite(p->file, buf, len, at) != (ssize_t)len ||
	    !ring_io(p, IORING_OP_READ_FIXED, at, len))
		die("reading into pinned memory");
	if (memcmp(buf, p->mem + at, len)) {
		errno = EIO;
		die("what came through the pin is not mapped");
	}
	for (i = 0; i < len; i++)
		p->mem[at + i] = ~buf[i];
}

static void pinned_churn(void *mem, size_t size, unsigned long long *random)
{
	int i;

	for (i = 0; i < nr_parts && parts[i].mem != mem; i++)
		;
	pinned_check(&parts[i], random);
	if (pick(random, 4))
		return;
	if (syscall(__NR_io_uring_register, parts[i].ring->fd,
		    IORING_UNREGISTER_BUFFERS, NULL, 0) ||
	    ring_pin(&parts[i]))
		die("pinning again");
}

/* --- All in one --- */

/* One piece of what is reserved: false, with errno, if that did not work. */
static bool mixed_piece(char *p, size_t len, int kind)
{
	switch (kind) {
	case 0:
		return file_map_at(p, len);
	case 1:
		return mmap(p, len, PROT_RW, MAP_SHARED | MAP_ANONYMOUS |
			    MAP_FIXED, -1, 0) == p;
	case 2:
		return map_anon(p, len, PROT_RW, MAP_FIXED) && !mlock(p, len);
	case 3:
		return map_anon(p, len, PROT_RW, MAP_FIXED) &&
		       !madvise(p, len, MADV_HUGEPAGE);
	default:
		return map_anon(p, len, PROT_RW, MAP_FIXED);
	}
}

static void *mixed_map(size_t size, int child, unsigned long long *random)
{
	char *p = map_anon(NULL, size + HUGE, PROT_NONE, MAP_NORESERVE);
	size_t at = 0, len;

	if (!p)
		return lacks("memory");
	p = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
	for (; at < size; at += len) {
		/* Large arenas have no more pieces than small ones. */
		len = (pick(random, 4 + size / PAGE / 16) + 1) * PAGE;
		if (len > size - at)
			len = size - at;
		if (!mixed_piece(p + at, len, pick(random, 6)))
			return lacks("a piece of memory");
	}
	return start_rewriter() ? p : lacks("a thread");
}

static const struct source sources[] = {
	{ "anon", "anonymous memory", anon_map, NULL, false },
	{ "huge", "2 MiB pages, split and collapsed between rounds",
	  huge_map, huge_churn, false },
	{ "mlocked", "locked memory, unlocked and locked between rounds",
	  mlocked_map, mlocked_churn, false },
	{ "pinned", "io_uring fixed buffers, read and written through the pin",
	  pinned_map, pinned_churn, false },
	{ "file", "a private file that is rewritten and punched behind",
	  file_map, file_churn, false },
	{ "stack", "a stack, cut off and grown again between rounds",
	  stack_map, stack_churn, false },
	{ "shared", "shared anonymous memory", shared_map, NULL, true },
	{ "sharedfile", "a shared file that is written to by calls",
	  shared_file_map, shared_file_churn, true },
	{ "sysv", "SysV shared memory", sysv_map, NULL, true },
	{ "mixed", "pieces: private file, shared, locked, 2 MiB, anonymous",
	  mixed_map, file_churn, true },
	{}
};

const struct source *find_source(const char *name)
{
	const struct source *s;

	for (s = sources; s->name; s++)
		if (!strcmp(s->name, name))
			return s;
	fprintf(stderr, "source: no kind '%s'; there are:\n", name);
	for (s = sources; s->name; s++)
		fprintf(stderr, "  %-12s %s\n", s->name, s->what);
	return NULL;
}
