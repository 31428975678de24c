// SPDX-License-Identifier: GPL-2.0-only
/*
 * Swap: the load squeezed into compressed memory, its swap space taken away
 * and given back, and a device that fails.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <unistd.h>

#include "disturb-swap.h"
#include "disturb-tools.h"

#define PAGE		4096UL
#define SWAP_BYTES	(512UL << 20)
#define SMALLEST	(4L << 20)	/* with less a load does not move at all */

/* The swap header; device and size must agree. */
static bool write_header(const char *dev, unsigned long bytes)
{
	uint32_t info[2] = { 1, bytes / PAGE - 1 };	/* version, last page */
	int fd = open(dev, O_WRONLY | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return false;
	ok = pwrite(fd, info, sizeof(info), 1024) == sizeof(info) &&
	     pwrite(fd, "SWAPSPACE2", 10, PAGE - 10) == 10 && !fsync(fd);
	close(fd);
	return ok;
}

/* How many KiB of a swap device are used; -1 if it is none. */
static long swap_used(const char *dev)
{
	FILE *f = fopen("/proc/swaps", "re");
	char line[256], name[128];
	long used, found = -1;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%127s %*s %*d %ld", name, &used) == 2 &&
		    !strcmp(name, dev))
			found = used;
	if (f)
		fclose(f);
	return found;
}

/*
 * A zram device, and a cgroup for what is to go there.
 */

#define ZRAM_PRIORITY (SWAP_FLAG_PREFER | 50)	/* the load has some, too */

static char zram_dev[32];
static int zram_number = -1;
static int zram_users;
static char squeezed[128];

/* A device that nobody else uses, of which the file is there. */
static bool zram_add(void)
{
	int i;

	zram_number = get_number("/sys/class/zram-control/hot_add", NULL);
	if (zram_number < 0)
		return false;
	snprintf(zram_dev, sizeof(zram_dev), "/dev/zram%d", zram_number);
	for (i = 0; i < 1000 && !is_there(zram_dev); i++)
		usleep(1000);
	return is_there(zram_dev);
}

static void zram_remove(void)
{
	char text[16];

	if (zram_number < 0)
		return;
	if (swap_used(zram_dev) >= 0 && swapoff(zram_dev))
		printf("# swapoff %s: %s\n", zram_dev, strerror(errno));
	snprintf(text, sizeof(text), "%d", zram_number);
	if (!put_file("/sys/class/zram-control/hot_remove", text))
		printf("# cannot remove %s: %s\n", zram_dev,
		       strerror(errno));
	zram_number = -1;
}

static bool zram_make(void)
{
	char path[64], size[32];

	if (!zram_add())
		return false;
	snprintf(path, sizeof(path), "/sys/block/zram%d/disksize", zram_number);
	snprintf(size, sizeof(size), "%lu", SWAP_BYTES);
	return put_file(path, size) && write_header(zram_dev, SWAP_BYTES) &&
	       !swapon(zram_dev, ZRAM_PRIORITY);
}

bool swap_use(void)
{
	if (zram_users++)
		return true;
	if (zram_make())
		return true;
	zram_remove();
	zram_users = 0;
	return false;
}

void swap_drop(void)
{
	if (zram_users && !--zram_users)
		zram_remove();
}

/* A file of a cgroup. */
static const char *in_group(const char *group, const char *file)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", group, file);
	return path;
}

/* Bytes, into a file of a cgroup. */
static bool put_bytes(const char *group, const char *file, long bytes)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", bytes);
	return put_file(in_group(group, file), text);
}

static long used_by(const char *group)
{
	return get_number(in_group(group, "memory.current"), NULL);
}

/*
 * An eighth of what is used goes out, seldom more: what is asked for beyond
 * what there is would push out all, and nothing would move for a while.
 */
static bool push_out(const char *group, unsigned long long *random)
{
	long used = used_by(group);

	if (used <= SMALLEST)
		return false;
	put_bytes(group, "memory.reclaim",
		  used / 8 * (any(random, 8) ? 1 : 6));
	return true;
}

/* Both users of the cgroup call this, and the second finds it made. */
static int squeeze_begin(const char *name)
{
	const char *group;

	if (!swap_use())
		return lacks(name, "no zram to swap to");
	group = make_cgroup("survival-swap");
	if (group)
		snprintf(squeezed, sizeof(squeezed), "%s", group);
	if (!group || !is_there(in_group(squeezed, "memory.reclaim"))) {
		swap_drop();
		return lacks(name, "no cgroup of version 2 with memory");
	}
	return 0;
}

static int squeeze_join(void)
{
	return put_file(in_group(squeezed, "cgroup.procs"), "0") ? 0 : -1;
}

static void squeeze_end(void)
{
	if (!zram_users)	/* begin has failed */
		return;
	swap_drop();
	if (!zram_users)
		rmdir(squeezed);
}

/* --- zram --- */

static struct counter swapped[] = { VMSTAT("pswpout"), VMSTAT("pswpin") };

static int zram_begin(void)
{
	counters_begin(swapped, LENGTH(swapped));
	return squeeze_begin("zram");
}

/*
 * Part of what is used goes out, and for a while little more may come back. A
 * memory.high far below what is used would have the load sleep for seconds.
 */
static unsigned long zram_once(pid_t load, unsigned long long *random)
{
	long used;
	bool ok;

	(void)load;
	if (!push_out(squeezed, random)) {
		doze(random, 5);
		return 0;
	}
	used = used_by(squeezed);
	ok = put_bytes(squeezed, "memory.high",
		       used < SMALLEST ? SMALLEST : used / 8 * 9);
	doze(random, 100);
	put_file(in_group(squeezed, "memory.high"), "max");
	doze(random, 300);
	return ok;
}

/* What went out must have come back too. */
static unsigned long zram_done(void)
{
	unsigned long out = counter_grown(swapped, "zram");

	return counter_grown(swapped + 1, "zram") ? out : 0;
}

/* --- swapoff --- */

static unsigned long *nr_swapoffs;

static int swapoff_begin(void)
{
	share_number(&nr_swapoffs);
	return squeeze_begin("swapoff");
}

/* One that took something back from the device counts. */
static unsigned long swapoff_once(pid_t load, unsigned long long *random)
{
	bool counts;

	(void)load;
	push_out(squeezed, random);
	doze(random, 30);
	counts = swap_used(zram_dev) > 0;
	if (swapoff(zram_dev)) {
		doze(random, 30);
		return 0;
	}
	doze(random, 5);
	if (swapon(zram_dev, ZRAM_PRIORITY))
		return 0;
	doze(random, 300);
	add_to(nr_swapoffs, counts);
	return counts;
}

static unsigned long swapoff_done(void)
{
	printf("# swapoff: %lu of swap space in use\n", *nr_swapoffs);
	return *nr_swapoffs;
}

/*
 * A device that fails: null_blk with bad blocks, which come and go. Masters
 * and spaces are put into a cgroup and swapped out there; the load's program,
 * which judges, is not.
 */

#define NULLB		"/sys/kernel/config/nullb"
#define BAD		NULLB "/badswap"
#define BAD_DEV		"/dev/badswap"
#define BAD_MEGABYTES	128
#define BAD_SECTORS	(BAD_MEGABYTES * 2048U)
#define BAD_PRIORITY	(SWAP_FLAG_PREFER | 100)

static char failing[128];
static int kmsg = -1;

static bool bad_power(const char *on)
{
	return put_file(BAD "/power", on);
}

static bool bad_make(void)
{
	char size[16];
	int i;

	if (!is_there(NULLB))
		mount("configfs", "/sys/kernel/config", "configfs", 0, NULL);
	snprintf(size, sizeof(size), "%d", BAD_MEGABYTES);
	if (mkdir(BAD, 0755) || !put_file(BAD "/size", size) ||
	    !put_file(BAD "/memory_backed", "1") ||
	    !put_file(BAD "/blocksize", "4096") || !bad_power("1"))
		return false;
	for (i = 0; i < 1000 && !is_there(BAD_DEV); i++)
		usleep(1000);
	return write_header(BAD_DEV, (unsigned long)BAD_MEGABYTES << 20) &&
	       !swapon(BAD_DEV, BAD_PRIORITY);
}

static void bad_sectors(char sign, unsigned int first, unsigned int nr)
{
	char text[32];

	snprintf(text, sizeof(text), "%c%u-%u", sign, first, first + nr - 1);
	put_file(BAD "/badblocks", text);
}

static void bad_end(void)
{
	if (kmsg >= 0)
		close(kmsg);
	kmsg = -1;
	if (is_there(BAD)) {
		bad_sectors('-', 0, BAD_SECTORS);
		if (swap_used(BAD_DEV) >= 0 && swapoff(BAD_DEV))
			printf("# swapoff %s: %s\n", BAD_DEV,
			       strerror(errno));
		bad_power("0");
		rmdir(BAD);
	}
	if (failing[0])
		rmdir(failing);
	failing[0] = 0;
}

static int bad_begin(void)
{
	const char *group = make_cgroup("survival-badswap");

	if (!group)
		return lacks("badswap", "no cgroup of version 2");
	snprintf(failing, sizeof(failing), "%s", group);
	if (!is_there(in_group(failing, "memory.reclaim")) || !bad_make()) {
		bad_end();
		return lacks("badswap", "no null_blk by configfs to swap to");
	}
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	lseek(kmsg, 0, SEEK_END);
	return 0;
}

static void bad_enter(pid_t load)
{
	pid_t pids[256];
	char text[16];
	int i, n;

	n = children_of(load, pids, 128);
	n += spaces_below(load, pids + n, 128);
	for (i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "%d", pids[i]);
		put_file(in_group(failing, "cgroup.procs"), text);
	}
}

/* Out to a sound device; then some of it fails for a while. */
static unsigned long bad_once(pid_t load, unsigned long long *random)
{
	unsigned int first, nr, most;
	long used;

	bad_enter(load);
	push_out(failing, random);
	used = swap_used(BAD_DEV);
	if (used <= 0) {
		doze(random, 5);
		return 0;
	}
	/* Somewhere in what is used, which lies near the beginning. */
	most = used * 4 < BAD_SECTORS / 2 ? used * 4 : BAD_SECTORS / 2;
	first = 8 + any(random, most);		/* not the header */
	nr = 8 + any(random, most - 8);
	/* Else a slow load may want nothing of it for long. */
	if (any(random, 2)) {
		first = 8;
		nr = 2 * most;
	}
	bad_sectors('+', first, nr);
	doze(random, 800);
	/* Now and then what cannot be read is to be brought back at once. */
	if (!any(random, 8) && !swapoff(BAD_DEV))
		swapon(BAD_DEV, BAD_PRIORITY);
	bad_sectors('-', first, nr);
	doze(random, 200);
	return 1;
}

/* The kernel tells of its read errors, though not of all. */
static unsigned long bad_done(void)
{
	unsigned long errors = 0;
	char line[1024];
	ssize_t n;

	for (;;) {
		n = read(kmsg, line, sizeof(line) - 1);
		if (n < 0 && errno == EPIPE)	/* some were overwritten */
			continue;
		if (n <= 0)
			break;
		line[n] = 0;
		if (strstr(line, "Read-error on swap-device"))
			errors++;
	}
	printf("# badswap: %lu read errors told\n", errors);
	return errors;
}

const struct disturbance disturb_swap[] = {
	{
		.name = "zram",
		.what = "memory.high squeezes the load into zram",
		.begin = zram_begin,
		.join = squeeze_join,
		.once = zram_once,
		.done = zram_done,
		.end = squeeze_end,
		.log = ZRAM_LOG,
	}, {
		.name = "swapoff",
		.what = "the load is swapped out, and its swap space taken away",
		.begin = swapoff_begin,
		.join = squeeze_join,
		.once = swapoff_once,
		.done = swapoff_done,
		.end = squeeze_end,
		.log = ZRAM_LOG,
	}, {
		.name = "badswap",
		.what = "swap space that cannot be read for a while",
		.begin = bad_begin,
		.once = bad_once,
		.done = bad_done,
		.end = bad_end,
		.log =
			"(Read|Write)-error on swap-device|I/O error, dev badswap|__end_swap_bio_(read|write): .* callbacks suppressed|Killing .* due to hardware memory corruption|null_blk: |on /dev/badswap",
		.kills = true,
	},
	{}
};
