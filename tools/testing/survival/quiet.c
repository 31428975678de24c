// SPDX-License-Identifier: GPL-2.0-only
/*
 * Quiet: a page that survive shares with the load that it executes, by a file
 * whose number is in the environment. A load that runs alone has none.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "quiet.h"

#define NAME "SURVIVE_QUIET"
#define PATIENCE 60	/* seconds that one turn may take */

/**
 * struct quiet - the page
 * @wanted: the load wants to look
 * @nr: those that disturb
 * @paused: so many of them pause
 */
static struct quiet {
	volatile bool wanted;
	int nr, paused;
} *quiet;

static bool map(int fd)
{
	void *p = mmap(NULL, sizeof(*quiet), PROT_READ | PROT_WRITE, MAP_SHARED,
		       fd, 0);

	if (p != MAP_FAILED)
		quiet = p;
	return quiet;
}

bool quiet_init(void)
{
	int fd = memfd_create("survive", 0);	/* the load gets it */
	char text[16];

	if (fd < 0 || ftruncate(fd, sizeof(*quiet)) || !map(fd))
		return false;
	snprintf(text, sizeof(text), "%d", fd);
	return !setenv(NAME, text, 1);
}

void quiet_pause(void)
{
	if (!quiet->wanted)
		return;
	__atomic_add_fetch(&quiet->paused, 1, __ATOMIC_SEQ_CST);
	while (quiet->wanted)
		usleep(1000);
	__atomic_sub_fetch(&quiet->paused, 1, __ATOMIC_SEQ_CST);
}

void quiet_more(int nr)
{
	__atomic_add_fetch(&quiet->nr, nr, __ATOMIC_SEQ_CST);
}

static bool all_pause(void)
{
	return __atomic_load_n(&quiet->paused, __ATOMIC_SEQ_CST) >=
	       __atomic_load_n(&quiet->nr, __ATOMIC_SEQ_CST);
}

void quiet_begin(void)
{
	const char *text = getenv(NAME);
	time_t end = time(NULL) + PATIENCE;

	if (!quiet && (!text || !map(atoi(text))))
		return;
	quiet->wanted = true;
	while (!all_pause() && time(NULL) < end)
		usleep(1000);
	if (!all_pause())
		printf("# not all that disturb pause\n");
}

void quiet_end(void)
{
	if (quiet)
		quiet->wanted = false;
}
