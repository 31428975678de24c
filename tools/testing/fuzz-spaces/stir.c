// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel and others may do at any time, and nobody may see: swap
 * pages out, move them, make huge ones; look at a process; call at the same
 * time, and map and unmap elsewhere.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "exec.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define GROUP "/sys/fs/cgroup/fuzz-spaces"
#define ZRAM "/sys/block/zram0/disksize"

static bool write_at(const char *path, const void *what, size_t len, off_t at)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && pwrite(fd, what, len, at) == (ssize_t)len;

	close(fd);
	return ok;
}

static bool write_text(const char *path, const char *text)
{
	return write_at(path, text, strlen(text), 0);
}

/* --- Swap space, where there is a device for it, and a group of our own --- */

/* mkswap: version, last page, number of bad pages. */
static void make_swap(void)
{
	const u32 head[] = { 1, 16383, 0 };

	if (write_text(ZRAM, "64M") &&
	    write_at("/dev/zram0", head, sizeof(head), 1024) &&
	    write_at("/dev/zram0", "SWAPSPACE2", 10, PAGE - 10))
		syscall(__NR_swapon, "/dev/zram0", 0);
}

/* Both as far as the machine allows it. */
void stir_init(void)
{
	make_swap();
	write_text("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	mkdir(GROUP, 0755);
	write_text(GROUP "/cgroup.procs", "0");
}

/* --- At the same time --- */

static struct {
	pthread_t thread;
	bool there;
	volatile bool end;
} beside;

/* Memory of its own, mapped, touched, and unmapped next to a hole. */
static void map_elsewhere(unsigned int i)
{
	u64 at = VIEW + 0x10000000 + i % 8 * 3 * PAGE;
	volatile u8 *p = mmap((void *)at, 2 * PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (p == MAP_FAILED)
		return;
	p[i % PAGE] = i;
	munmap((void *)(at + i % 2 * PAGE), PAGE);
}

static void read_all(const char *path)
{
	static char buf[16384];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	while (fd >= 0 && read(fd, buf, sizeof(buf)) > 0)
		;
	close(fd);
}

/* Calls that ask for nothing; they only wait for their turn. */
static void call_beside(unsigned int i)
{
	struct det_status st;

	plain_call(false, i % KIDS, i & 8 ? DET_NOWAIT : 0, NULL, 0, &st);
}

static void *beside_thread(void *arg)
{
	unsigned int i;

	for (i = 0; !beside.end; i++) {
		map_elsewhere(i);
		call_beside(i);
		madvise((void *)ARENA, SMALL * PAGE, MADV_COLD);
		if (i % 16 == 0)
			read_all("/proc/self/smaps");
	}
	return arg;
}

static void begin_beside(void)
{
	if (beside.there)
		return;
	beside.end = false;
	beside.there = !pthread_create(&beside.thread, NULL, beside_thread,
				       NULL);
	model_pid++;
}

void stir_end(void)
{
	if (!beside.there)
		return;
	beside.end = true;
	pthread_join(beside.thread, NULL);
	beside.there = false;
}

/* Then EAGAIN is a matter of luck. */
bool stir_beside(void)
{
	return beside.there;
}

bool stir(struct run *run, enum stir how)
{
	switch (how) {
	case STIR_COMPACT:
		write_text("/proc/sys/vm/compact_memory", "1");
		break;
	case STIR_SWAP:
		write_text(GROUP "/memory.reclaim", "8M");
		break;
	case STIR_COLLAPSE:
		madvise((void *)HUGE_AT, BIG * PAGE, MADV_COLLAPSE);
		break;
	case STIR_BESIDE:
		begin_beside();
		break;
	case STIR_LOOK:
		return look(run, false);
	default:
		break;
	}
	return true;
}
