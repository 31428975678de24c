// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Where all members stand, when the user types Ctrl-\ (SIGQUIT) while the master waits
 * for one: who each is, and whether it runs, or where it has stopped. The program goes
 * on. A second one, before the first has been answered, ends it as usual.
 */
#include <errno.h>
#include <signal.h>

#include "internal.h"

static DET_PRIVATE volatile sig_atomic_t asked;

/* Only notes it down: the wait that it interrupts does the rest. */
static void ask(int sig)
{
	if (asked)
		signal(sig, SIG_DFL);
	asked = 1;
}

void det_standing_begin(void)
{
	struct sigaction action = { .sa_handler = ask }, old;
	static bool begun;

	if (begun)
		return;
	begun = true;
	/* Not what the program has made of it. */
	if (sigaction(SIGQUIT, NULL, &old) == 0 && old.sa_handler == SIG_DFL)
		sigaction(SIGQUIT, &action, NULL);
}

static void tell(unsigned int slot, FILE *to)
{
	struct det_status status;
	struct det_note note = { 0 };
	struct det_args args = {
		.flags = DET_NOWAIT,
		.status = (uintptr_t)&status, .status_size = sizeof(status),
	};

	if (dget(det_child(slot), &args, sizeof(args)) < 0) {
		det_report_standing(&det_kid(slot)->identity, NULL, NULL, to);
		return;
	}
	det_state.reading = det_child(slot);
	det_read_child(&note, (uintptr_t)&det_state.note, sizeof(note));
	det_report_standing(&det_kid(slot)->identity, &status, &note, to);
}

/* Before a wait of the master's, and after one that a signal has interrupted. */
void det_standing_tell(void)
{
	uint64_t reading = det_state.reading;
	int error = errno;

	if (!asked || det_state.level)
		return;
	fprintf(stderr, "libdet: %u members\n", det_state.nr_kids);
	for (unsigned int i = 0; i < det_state.kids_end; i++)
		if (det_kid(i)->in_use)
			tell(i, stderr);
	det_state.reading = reading;
	asked = 0;
	errno = error;
}
