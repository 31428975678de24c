// SPDX-License-Identifier: GPL-2.0-only
/*
 * Compare all that there is: each byte and each permission of the master's and
 * each space's memory, through /proc, where the calls have no say; snapshots
 * and registers through the calls.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <dirent.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exec.h"

#define UNMAPPED 0xff

static u8 bytes[BIG * PAGE];
static u8 prot[NPAGES];
static u64 present[NPAGES];
static u64 mapped;	/* pages, in all */

static int open_proc(int pid, const char *name)
{
	char path[64];

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	else
		snprintf(path, sizeof(path), "/proc/%s", name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* All of a file of /proc; a string. */
static size_t read_proc(int pid, const char *name, char *buf, size_t size)
{
	int fd = open_proc(pid, name);
	size_t len = 0;
	ssize_t n;

	while (fd >= 0 && len < size - 1 &&
	       (n = read(fd, buf + len, size - 1 - len)) > 0)
		len += n;
	if (fd >= 0)
		close(fd);
	buf[len] = 0;
	return len;
}

/* The last number that any process was given. */
static int last_pid(void)
{
	char buf[128], *p;

	if (!read_proc(0, "loadavg", buf, sizeof(buf)))
		return getpid();
	p = strrchr(buf, ' ');
	return p ? atoi(p + 1) : getpid();
}

/* --- Which process is which space --- */

/*
 * Numbers of processes are given in order, so the model guesses them; the name
 * of a guess is looked at, and all of it when something differs.
 */

static bool is_space(int pid, int parent, unsigned int number)
{
	char buf[4096], *p, *n;

	if (!read_proc(pid, "status", buf, sizeof(buf)))
		return false;
	p = strstr(buf, "DetParent:");
	n = p ? strstr(p, "DetChild:") : NULL;
	return n && atoi(p + 10) == parent && atoi(n + 9) == (int)number;
}

static int search_pid(int parent, unsigned int number)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	int pid = 0;

	while (!pid && d && (e = readdir(d)))
		if (isdigit(*e->d_name) &&
		    is_space(atoi(e->d_name), parent, number))
			pid = atoi(e->d_name);
	if (d)
		closedir(d);
	return pid;
}

static bool has_name(int pid, unsigned int number)
{
	char name[32], *p;

	read_proc(pid, "comm", name, sizeof(name));
	p = strchr(name, ':');
	return p && atoi(p + 1) == (int)number;
}

/* The guess, if it looks like one; else what a search finds. */
static int find_pid(struct space *sp, int parent, unsigned int number)
{
	int pid = sp->guess;

	if (!has_name(pid, number)) {
		pid = search_pid(parent, number);
		if (pid > model_pid)
			model_pid = pid;
	}
	return pid;
}

/* After a difference: was it the wrong process? */
static bool wrong_pid(struct space *sp, int parent, unsigned int number)
{
	int pid = sp->pid;

	if (is_space(pid, parent, number))
		return false;
	sp->pid = search_pid(parent, number);
	return sp->pid && sp->pid != pid;
}

/* Before a sequence: none of its spaces is there yet. */
void look_begin(void)
{
	model_pid = last_pid();
}

/* --- Permissions --- */

static u64 hex(const char **p)
{
	u64 val = 0;

	for (; isxdigit(**p); (*p)++)
		val = val * 16 + (**p <= '9' ? **p - '0' : **p - 'a' + 10);
	return val;
}

static void read_line(const char *p, u64 base)
{
	u64 from = hex(&p), to;

	p++;
	to = hex(&p);
	mapped += (to - from) / PAGE;
	for (from = from < base ? base : from;
	     from < to && from < base + nr_pages * (u64)PAGE; from += PAGE)
		prot[(from - base) / PAGE] = (p[1] == 'r') * PROT_READ |
					     (p[2] == 'w') * PROT_WRITE |
					     (p[3] == 'x') * PROT_EXEC;
}

static void read_maps(int pid, u64 base)
{
	static char buf[65536];
	char *p = buf;

	memset(prot, UNMAPPED, nr_pages);
	mapped = 0;
	read_proc(pid, "maps", buf, sizeof(buf));
	while (*p) {
		read_line(p, base);
		p = strchr(p, '\n');
		if (!p)
			break;
		p++;
	}
}

static bool check_prot(struct run *run, const struct mem *m, const char *name)
{
	unsigned int i;

	for (i = 0; i < nr_pages; i++) {
		u8 want = m->page[i].mapped ? m->page[i].prot : UNMAPPED;

		if (prot[i] == want)
			continue;
		differ(run, "%s, page %u: permission %d, should be %d", name, i,
		       prot[i] == UNMAPPED ? -1 : prot[i],
		       want == UNMAPPED ? -1 : want);
		return false;
	}
	return true;
}

/* What the kernel counts of a space is what there is. */
static bool check_size(struct run *run, int pid, const char *name)
{
	char buf[128];
	u64 size;

	if (pid == getpid() || !read_proc(pid, "statm", buf, sizeof(buf)))
		return true;
	size = atol(buf);
	if (size == mapped)
		return true;
	differ(run, "%s: counted as %llu pages, but it has %llu", name,
	       (unsigned long long)size, (unsigned long long)mapped);
	return false;
}

/* --- Bytes --- */

static bool check_page(struct run *run, const struct page *p, const u8 *is,
		       const char *name, unsigned int i)
{
	static const u8 zeros[PAGE];
	const u8 *should = p->data ?: zeros;
	unsigned int at;

	if (!memcmp(is, should, PAGE))
		return true;
	for (at = 0; is[at] == should[at];)
		at++;
	differ(run, "%s, byte %u.%03x is 0x%x, should be 0x%x", name, i, at,
	       is[at], should[at]);
	return false;
}

/* What has no entry in the page table is zeros, in private anonymous memory. */
static void read_present(int pid, u64 base)
{
	int fd = open_proc(pid, "pagemap");

	if (fd < 0 || pread(fd, present, nr_pages * 8, base / PAGE * 8) < 0)
		memset(present, 0xff, sizeof(present));
	close(fd);
}

#define THERE (3ULL << 62)	/* present, or swapped */

static bool is_there(const struct page *p, unsigned int i)
{
	return present[i] & THERE || p->kind != PAGE_ANON;
}

/* As many pages as lie side by side, up to a number. */
static unsigned int run_of(const struct mem *m, unsigned int i)
{
	unsigned int n = 0;

	while (i + n < nr_pages && n < 64 && m->page[i + n].mapped &&
	       is_there(&m->page[i + n], i + n))
		n++;
	return n;
}

static bool check_run(struct run *run, const struct mem *m, int fd, u64 base,
		      unsigned int i, unsigned int n, const char *name)
{
	unsigned int x;

	if (pread(fd, bytes, n * PAGE, base + i * (u64)PAGE) !=
	    (ssize_t)(n * PAGE)) {
		differ(run, "%s, page %u: cannot be read, errno %d", name, i,
		       errno);
		return false;
	}
	for (x = 0; x < n; x++)
		if (!check_page(run, &m->page[i + x], bytes + x * PAGE, name,
				i + x))
			return false;
	return true;
}

static bool check_bytes(struct run *run, const struct mem *m, int pid, u64 base,
			const char *name)
{
	static const u8 zeros[PAGE];
	int fd = open_proc(pid, "mem");
	unsigned int i, n;
	bool ok = true;

	read_present(pid, base);
	for (i = 0; i < nr_pages && ok; i += n ?: 1) {
		n = run_of(m, i);
		if (n)
			ok = check_run(run, m, fd, base, i, n, name);
		else if (m->page[i].mapped)
			ok = check_page(run, &m->page[i], zeros, name, i);
	}
	close(fd);
	return ok;
}

static bool look_mem(struct run *run, const struct mem *m, int pid, u64 base,
		     const char *name)
{
	read_maps(pid, base);
	return check_prot(run, m, name) && check_size(run, pid, name) &&
	       check_bytes(run, m, pid, base, name);
}

/* --- Snapshots and registers --- */

static bool look_image(struct run *run, struct space *sp, unsigned int kid,
		       const char *name)
{
	struct det_op op = {
		.op = DET_COPY, .flags = DET_COPY_IMAGE,
		.caller = VIEW, .child = ARENA, .len = nr_pages * (u64)PAGE,
	};
	long ret = plain_call(false, kid, 0, &op, 1, NULL);
	bool ok;

	if (ret != (sp->image ? 0 : -ENODATA)) {
		differ(run, "%s, snapshot: result is %ld", name, ret);
		return false;
	}
	if (!sp->image)
		return true;
	ok = look_mem(run, sp->image, getpid(), VIEW, name);
	munmap((void *)VIEW, nr_pages * (u64)PAGE);
	return ok;
}

static bool look_regs(struct run *run, struct space *sp, unsigned int kid)
{
	static u8 xstate[MAX_XSTATE] __aligned(64);
	struct user_regs_struct regs;
	struct det_args a = {
		.flags = DET_REGS,
		.regs = (u64)&regs,
		.regs_size = sizeof(regs),
		.xstate = (u64)xstate,
		.xstate_size = xstate_size,
		.notify_fd = -1,
	};
	long ret = raw_call(false, kid, &a, sizeof(a));

	if (ret) {
		differ(run, "registers of %u: result is %ld", kid, ret);
		return false;
	}
	return check_regs(run, &sp->regs, &regs) &&
	       check_xstate(run, &sp->xstate, xstate);
}

static bool look_stop(struct run *run, struct space *sp, unsigned int kid)
{
	struct det_status st, want = sp->stop;
	u64 count = 0;

	plain_call(false, kid, 0, NULL, 0, &st);
	want.op = DET_NO_OP;
	if (!check_status(run, &want, &st))
		return false;
	if (!sp->notify || sp->notify_fd < 0)
		return true;
	if (read(sp->notify_fd, &count, sizeof(count)) < 0)
		count = 0;
	if (count != sp->notified)
		differ(run, "%u has stopped %llu times, should be %llu", kid,
		       (unsigned long long)count,
		       (unsigned long long)sp->notified);
	sp->notified = 0;
	return !*run->report->why;
}

static bool has_kid(const struct space *sp)
{
	unsigned int i;

	for (i = 0; i < KIDS && !sp->kid[i]; i++)
		;
	return i < KIDS;
}

static bool look_space(struct run *run, struct space *sp, int parent,
		       unsigned int number, const char *of, bool thorough)
{
	char name[32];
	unsigned int i;

	snprintf(name, sizeof(name), "%s%u", of, number);
	if (!sp->pid)
		sp->pid = find_pid(sp, parent, number);
	if (!sp->pid) {
		differ(run, "%s is not there", name);
		return false;
	}
	if (sp->parent->master && !look_stop(run, sp, number))
		return false;
	if (!look_mem(run, &sp->mem, sp->pid, ARENA, name)) {
		if (!wrong_pid(sp, parent, number))
			return false;
		*run->report->why = 0;
		if (!look_mem(run, &sp->mem, sp->pid, ARENA, name))
			return false;
	}
	/* Children are looked for by its pid, which must be no guess then. */
	if (has_kid(sp))
		wrong_pid(sp, parent, number);
	strcat(name, ".");
	for (i = 0; i < KIDS; i++)
		if (sp->kid[i] && !look_space(run, sp->kid[i], sp->pid, i,
					      name, thorough))
			return false;
	return !sp->parent->master || !thorough ||
	       (look_image(run, sp, number, name) &&
		look_regs(run, sp, number));
}

/* False, with a report, if anything is not as the model has it. */
bool look(struct run *run, bool thorough)
{
	unsigned int i;

	if (!look_mem(run, &run->master.mem, getpid(), ARENA, "master"))
		return false;
	for (i = 0; i < KIDS; i++)
		if (run->master.kid[i] &&
		    !look_space(run, run->master.kid[i], getpid(), i, "",
				thorough))
			return false;
	return true;
}
