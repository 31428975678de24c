// SPDX-License-Identifier: GPL-2.0-only
/*
 * A sequence from its beginning to its end, after which nothing of it is left.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exec.h"

/* For -b: a process that stays for a while. */
static void leave_process(void)
{
	if (fork())
		return;
	alarm(30);
	for (;;)
		pause();
}

static void clear_away(struct run *run)
{
	unsigned int i;
	long ret;

	thread_end();
	stir_end();
	for (i = 0; i < KIDS; i++) {
		if (!run->master.kid[i])
			continue;
		ret = plain_call(true, i, DET_KILL, NULL, 0, NULL);
		if (ret)
			differ(run, "KILL of %u: result is %ld", i, ret);
	}
	model_kill(&run->master);
	for (i = 0; i < run->nr_fds; i++)
		close(run->fds[i]);
	munmap((void *)ARENA, NPAGES * (u64)PAGE);
	if (fault == FAULT_LEFT)
		leave_process();
}

/* For -b: as if the kernel had complained. */
static void write_log(const struct sequence *q)
{
	static const char text[] = "WARNING: a test of fuzz -b\n";
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	u32 i;

	for (i = 0; i < q->nr; i++)
		if (q->step[i].nr_ops && q->step[i].op[0].op == DET_MERGE &&
		    write(fd, text, sizeof(text) - 1) < 0)
			break;
	close(fd);
}

/* False if there was a difference; run->report says which. */
bool run_sequence(struct run *run, const struct sequence *q)
{
	struct report *report = run->report;
	bool ok = true;
	u32 i;

	memset(run, 0, sizeof(*run));
	run->report = report;
	run->q = q;
	look_begin();
	master_begin(run);
	for (i = 0; i < q->nr && ok; i++) {
		report->step = i;
		ok = do_step(run, &q->step[i]);
		if (ok && q->look_often)
			ok = look(run, false);
	}
	report->steps += i;
	stir_end();
	ok = ok && look(run, true);
	clear_away(run);
	if (fault == FAULT_LOG)
		write_log(q);
	return ok && !*report->why;
}
