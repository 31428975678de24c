// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the master does on its own, as any process does it: it maps, unmaps and
 * writes its arena, with another thread that writes there too.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exec.h"

int file_fd, shared_fd;

/* How much of a range may be accessed so: what comes before the first not. */
u64 writable_part(struct mem *m, u64 addr, u64 len, u32 prot)
{
	u64 n;

	for (n = 0; n < len; n++) {
		struct page *p = page_at(m, addr + n);

		if (!p->mapped || (prot ? !(p->prot & prot) : !p->prot))
			break;
	}
	return n;
}

static void model_write(struct mem *m, u64 addr, u64 len, u8 val, u64 step)
{
	for (; len; addr++, len--, val += step)
		page_bytes(page_at(m, addr))[addr % PAGE] = val;
}

/* --- The other thread --- */

/*
 * It spins while it waits, so what its CPU knows of page tables stays. One
 * order at a time: an address, a length, a byte, a step; length 0: touch all
 * that may be written.
 */
static struct {
	pthread_t thread;
	bool there;
	volatile int order;
	u64 addr, len, val, step;
	u32 nr, page[NPAGES];
} other;

static void *other_thread(void *arg)
{
	u32 i;
	u64 n;

	(void)arg;
	for (;;) {
		while (!other.order)
			__builtin_ia32_pause();
		if (other.order < 0)
			return NULL;
		for (i = 0; i < other.nr; i++)
			asm volatile("lock orb $0, (%0)" : :
				     "r"(ARENA + (u64)other.page[i] * PAGE)
				     : "memory");
		for (n = 0; n < other.len; n++)
			*(volatile u8 *)(other.addr + n) =
				other.val + n * other.step;
		__atomic_store_n(&other.order, 0, __ATOMIC_SEQ_CST);
	}
}

static void give_order(int order)
{
	unsigned int spins = 0;

	__atomic_store_n(&other.order, order, __ATOMIC_SEQ_CST);
	while (order > 0 && other.order)
		if (++spins % 4096 == 0)
			sched_yield();
}

static void thread_begin(void)
{
	if (pthread_create(&other.thread, NULL, other_thread, NULL))
		abort();
	other.there = true;
	model_pid++;
}

void thread_end(void)
{
	if (!other.there)
		return;
	give_order(-1);
	pthread_join(other.thread, NULL);
	memset(&other, 0, sizeof(other));
}

/* Its CPU shall know each page that may be written as one. */
void thread_warm(struct run *run)
{
	struct page *p = run->master.mem.page;
	u32 i;

	if (!other.there)
		return;
	other.nr = 0;
	other.len = 0;
	for (i = 0; i < nr_pages; i += i < SMALL ? 1 : BIG / 2)
		if (p[i].mapped && p[i].prot & PROT_WRITE)
			other.page[other.nr++] = i;
	give_order(1);
}

static void thread_write(const struct step *s, u64 len)
{
	other.nr = 0;
	other.addr = s->addr;
	other.len = len;
	other.val = s->val;
	other.step = s->step;
	give_order(1);
}

/* --- Faults that must come --- */

static sigjmp_buf after_fault;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if ((u64)info->si_addr < ARENA || (u64)info->si_addr >= ARENA_END) {
		signal(sig, SIG_DFL);	/* a mistake of the program's */
		return;
	}
	siglongjmp(after_fault, 1);
}

static bool faults(u64 addr, bool write)
{
	struct sigaction act = { .sa_sigaction = on_fault,
				 .sa_flags = SA_SIGINFO };
	bool fault = true;

	sigaction(SIGSEGV, &act, NULL);
	if (!sigsetjmp(after_fault, 1)) {
		if (write)
			*(volatile u8 *)addr = 0xee;
		else
			(void)*(volatile u8 *)addr;
		fault = false;
	}
	signal(SIGSEGV, SIG_DFL);
	return fault;
}

static bool must_fault(struct run *run, u64 addr, bool write)
{
	if (faults(addr, write))
		return true;
	differ(run, "the master can %s page %llu", write ? "write to" : "read",
	       (unsigned long long)(addr - ARENA) / PAGE);
	return false;
}

/* --- Steps --- */

static bool own_write(struct run *run, const struct step *s)
{
	u64 n, len = writable_part(&run->master.mem, s->addr, s->len,
				   PROT_WRITE);

	if (s->kind == K_THREAD && other.there)
		thread_write(s, len);
	else
		for (n = 0; n < len; n++)
			*(volatile u8 *)(s->addr + n) = s->val + n * s->step;
	model_write(&run->master.mem, s->addr, len, s->val, s->step);
	return len == s->len || must_fault(run, s->addr + len, true);
}

static bool own_read(struct run *run, const struct step *s)
{
	u64 n, len = writable_part(&run->master.mem, s->addr, s->len, 0);
	u8 is, should;

	for (n = 0; n < len; n++) {
		is = *(volatile u8 *)(s->addr + n);
		should = page_byte(page_at(&run->master.mem, s->addr + n),
				   (s->addr + n) % PAGE);
		if (is == should)
			continue;
		differ(run, "the master reads 0x%x at page %llu.%03llx, should be 0x%x",
		       is, (unsigned long long)(s->addr + n - ARENA) / PAGE,
		       (unsigned long long)(s->addr + n) % PAGE, should);
		return false;
	}
	return len == s->len || must_fault(run, s->addr + len, false);
}

static bool in_arena(u64 addr, u64 len)
{
	return addr % PAGE == 0 && len && len % PAGE == 0 && addr >= ARENA &&
	       addr < ARENA_END && len <= ARENA_END - addr;
}

static void model_map(struct page *p, u32 index, enum memory what, u32 prot)
{
	page_drop(p);
	p->mapped = true;
	p->prot = prot;
	p->index = index;
	p->kind = what == M_FILE ? PAGE_FILE :
		  what == M_SHARED ? PAGE_SHARED : PAGE_ANON;
	if (what == M_FILE)
		memcpy(page_bytes(p), file_bytes[index], PAGE);
	else if (what == M_SHARED)
		p->data = shared_page[index];
}

/* Files back the small pages only; the big ones become huge if they can. */
static bool own_mmap(struct run *run, const struct step *s)
{
	u32 i, first = (s->addr - ARENA) / PAGE, nr = s->len / PAGE;
	enum memory what = first + nr <= SMALL ? s->val % NR_MEMORY : M_ANON;
	int flags = what == M_SHARED ? MAP_SHARED : MAP_PRIVATE;
	int fd = what == M_FILE ? file_fd : what == M_SHARED ? shared_fd : -1;
	void *p;

	if (what == M_ANON)
		flags |= MAP_ANONYMOUS;
	p = mmap((void *)s->addr, s->len, s->step, flags | MAP_FIXED, fd,
		 what == M_ANON ? 0 : (u64)first * PAGE);
	if (p == MAP_FAILED) {
		differ(run, "mmap: errno %d", errno);
		return false;
	}
	if (first + nr > SMALL)
		madvise((void *)s->addr, s->len, MADV_HUGEPAGE);
	for (i = first; i < first + nr; i++)
		model_map(&run->master.mem.page[i], i, what, s->step);
	return true;
}

static void model_unmap(struct mem *m, u64 addr, u64 len)
{
	for (; len; addr += PAGE, len -= PAGE)
		page_drop(page_at(m, addr));
}

/* Up to the first hole, as the kernel would do it. */
static bool own_mprotect(struct run *run, const struct step *s)
{
	u64 len = 0;

	while (len < s->len && page_at(&run->master.mem, s->addr + len)->mapped) {
		page_at(&run->master.mem, s->addr + len)->prot = s->step;
		len += PAGE;
	}
	if (len && mprotect((void *)s->addr, len, s->step)) {
		differ(run, "mprotect: errno %d", errno);
		return false;
	}
	return true;
}

static bool own_mremap(struct run *run, const struct step *s)
{
	struct page *from = page_at(&run->master.mem, s->addr);
	struct page *to = page_at(&run->master.mem, s->val);

	if (from == to || !from->mapped || from->kind == PAGE_SHARED ||
	    !in_arena(s->val, PAGE))
		return true;
	if (mremap((void *)s->addr, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		   (void *)s->val) == MAP_FAILED) {
		differ(run, "mremap: errno %d", errno);
		return false;
	}
	page_drop(to);
	*to = *from;
	memset(from, 0, sizeof(*from));
	return true;
}

static bool own_madvise(struct run *run, const struct step *s)
{
	u64 addr = s->addr, end = addr + s->len;
	struct page *p;
	u32 index;

	madvise((void *)addr, s->len, s->val);
	for (; s->val == MADV_DONTNEED && addr < end; addr += PAGE) {
		p = page_at(&run->master.mem, addr);
		index = p->index;
		if (p->mapped && p->kind == PAGE_FILE)
			memcpy(page_bytes(p), file_bytes[index], PAGE);
		else if (p->mapped && p->kind == PAGE_ANON && p->data)
			model_map(p, index, M_ANON, p->prot);
	}
	return true;
}

static bool own_fork(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
	model_pid++;
	return true;
}

bool do_own(struct run *run, const struct step *s)
{
	switch (s->kind) {
	case K_WRITE:
	case K_THREAD:
		return own_write(run, s);
	case K_READ:
		return own_read(run, s);
	case K_FORK:
		return own_fork();
	case K_STIR:
		return stir(run, s->val % NR_STIR);
	}
	if (!in_arena(s->addr, s->len))
		return true;
	switch (s->kind) {
	case K_MMAP:
		return own_mmap(run, s);
	case K_MUNMAP:
		munmap((void *)s->addr, s->len);
		model_unmap(&run->master.mem, s->addr, s->len);
		return true;
	case K_MPROTECT:
		return own_mprotect(run, s);
	case K_MREMAP:
		return own_mremap(run, s);
	case K_MADVISE:
		return own_madvise(run, s);
	}
	return true;
}

/* --- Before a sequence --- */

static void fill_page(u8 *to, u32 page)
{
	u32 i;

	for (i = 0; i < PAGE; i += 8)
		*(u64 *)(to + i) = (page + 1) * 0x0101010101010101ULL + i;
}

/* The same arena each time; every third page is left as it is, untouched. */
static void map_arena(struct run *run)
{
	struct page *p = run->master.mem.page;
	u32 i;

	mmap((void *)ARENA, FILLED * PAGE, PROT_READ | PROT_WRITE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	for (i = 0; i < FILLED; i++) {
		model_map(&p[i], i, M_ANON, PROT_READ | PROT_WRITE);
		if (i % 3 == 2)
			continue;
		fill_page(page_bytes(&p[i]), i);
		memcpy((void *)(ARENA + (u64)i * PAGE), p[i].data, PAGE);
	}
}

static bool uses(const struct run *run, u8 kind, u64 val)
{
	u32 i;

	for (i = 0; i < run->q->nr; i++)
		if (run->q->step[i].kind == kind &&
		    (val == ~0ULL || run->q->step[i].val == val))
			return true;
	return false;
}

static void reset_shared(void)
{
	u32 i;

	for (i = 0; i < SMALL; i++) {
		fill_page(shared_page[i], i + 100);
		if (pwrite(shared_fd, shared_page[i], PAGE, (u64)i * PAGE) !=
		    PAGE)
			abort();
	}
}

static bool reaches(u64 addr, u64 len)
{
	return addr < ARENA_END && addr >= ARENA && addr + len > HUGE_AT;
}

/* The big pages cost time, and most sequences have nothing to do with them. */
static bool uses_big(const struct run *run)
{
	const struct step *s;
	u32 i, j;

	for (i = 0; i < run->q->nr; i++) {
		s = &run->q->step[i];
		if (reaches(s->addr, s->len + 1) || reaches(s->val, PAGE))
			return true;
		for (j = 0; j < s->nr_ops; j++)
			if (reaches(s->op[j].caller, s->op[j].len) ||
			    reaches(s->op[j].child, s->op[j].len))
				return true;
	}
	return false;
}

void master_begin(struct run *run)
{
	nr_pages = uses_big(run) ? NPAGES : SMALL;
	run->master.master = true;
	run->master.mem.code = true;
	map_arena(run);
	if (uses(run, K_MMAP, M_SHARED))
		reset_shared();
	if (uses(run, K_THREAD, ~0ULL))
		thread_begin();
}

/* Before any master is forked: files, and pages that all of them have. */
bool prepare_once(void)
{
	u32 i;

	file_fd = memfd_create("fuzz-file", MFD_CLOEXEC);
	shared_fd = memfd_create("fuzz-shared", MFD_CLOEXEC);
	if (ftruncate(shared_fd, SMALL * PAGE))
		return false;
	for (i = 0; i < SMALL; i++) {
		fill_page(file_bytes[i], i + 50);
		if (write(file_fd, file_bytes[i], PAGE) != PAGE)
			return false;
		shared_page[i] = malloc(PAGE);
	}
	if (mmap((void *)BOX, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		 MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return false;
	return true;
}
