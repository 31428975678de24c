// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Members without spaces: threads, or one after another, for debuggers, sanitizers and
 * kernels that have no spaces. Memory is simply shared, so a race is a race again, and
 * nothing can be undone.
 *
 * One after another, a member of a team runs until it ends or has to wait for the others,
 * on a stack of its own; then the next one does.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "internal.h"

#define STACK_SIZE	(8 * DET_MIB)
#define MAX_MEMBERS	65536

struct crew;

struct member {
	struct crew *crew;
	unsigned int id;
	bool ended;
	bool waits;
	void *value;
	pthread_t thread;
	ucontext_t context;
	void *stack;
	char gift[DET_COLLECTIVE_MAX];	/* to a collective */
};

/* A team; or a member that is alone. */
struct crew {
	void *(*fn)(void *arg);
	void *arg;
	unsigned int n;
	bool alone;
	struct member *member;

	pthread_mutex_t mutex;
	pthread_cond_t cond;
	unsigned int arrived, ended;
	unsigned long round;

	ucontext_t scheduler;
};

static __thread struct member *me;

/* Those of det_create(), which can be joined by any thread. */
static struct crew *crews[MAX_MEMBERS];
static det_t next_crew = 1;
static pthread_mutex_t crews_mutex = PTHREAD_MUTEX_INITIALIZER;

static bool serial(void)
{
	return det_options.backend == DET_SERIAL;
}

static void check_all_there(const struct crew *crew)
{
	if (crew->arrived && crew->ended && crew->arrived + crew->ended == crew->n)
		det_misuse("a member waits at a barrier, another has ended");
}

/* Until all of the team are here. */
static void wait_for_all(struct crew *crew)
{
	unsigned long round = crew->round;

	if (serial()) {
		me->waits = true;
		swapcontext(&me->context, &crew->scheduler);
		return;
	}
	pthread_mutex_lock(&crew->mutex);
	if (++crew->arrived == crew->n) {
		crew->arrived = 0;
		crew->round++;
		pthread_cond_broadcast(&crew->cond);
	}
	check_all_there(crew);
	while (round == crew->round)
		pthread_cond_wait(&crew->cond, &crew->mutex);
	pthread_mutex_unlock(&crew->mutex);
}

static void end(void *value)
{
	struct crew *crew = me->crew;

	me->value = value;
	me->ended = true;
	pthread_mutex_lock(&crew->mutex);
	crew->ended++;
	check_all_there(crew);
	pthread_mutex_unlock(&crew->mutex);
	if (serial())
		setcontext(&crew->scheduler);
}

static void run(void)
{
	end(me->crew->fn(me->crew->arg));
}

static void *run_thread(void *arg)
{
	me = arg;
	run();
	return NULL;
}

static void run_serial(struct crew *crew)
{
	struct member *outer = me;
	unsigned int left = crew->n;

	while (left) {
		unsigned int waiting = 0;

		for (unsigned int i = 0; i < crew->n; i++) {
			me = &crew->member[i];
			if (me->ended)
				continue;
			me->waits = false;
			swapcontext(&crew->scheduler, &me->context);
			me = &crew->member[i];
			waiting += me->waits;
			left -= me->ended;
		}
		crew->arrived = waiting;
		check_all_there(crew);
		crew->arrived = 0;
	}
	me = outer;
}

static void release(struct crew *crew)
{
	for (unsigned int i = 0; crew->member && i < crew->n; i++)
		free(crew->member[i].stack);
	free(crew->member);
	free(crew);
}

/* False: no memory. */
static bool prepare(struct member *m)
{
	m->stack = malloc(STACK_SIZE);
	if (!m->stack)
		return false;
	getcontext(&m->context);
	m->context.uc_stack.ss_sp = m->stack;
	m->context.uc_stack.ss_size = STACK_SIZE;
	makecontext(&m->context, run, 0);
	return true;
}

static struct crew *assemble(unsigned int n, void *(*fn)(void *), void *arg)
{
	struct crew *crew = calloc(1, sizeof(*crew));

	if (!crew)
		return NULL;
	crew->fn = fn;
	crew->arg = arg;
	crew->n = n;
	crew->member = calloc(n, sizeof(*crew->member));
	pthread_mutex_init(&crew->mutex, NULL);
	pthread_cond_init(&crew->cond, NULL);
	for (unsigned int i = 0; crew->member && i < n; i++) {
		crew->member[i].crew = crew;
		crew->member[i].id = i;
		if (serial() && !prepare(&crew->member[i]))
			break;
	}
	if (!crew->member || (serial() && !crew->member[n - 1].stack)) {
		release(crew);
		return NULL;
	}
	return crew;
}

static int launch(struct crew *crew)
{
	if (serial()) {
		run_serial(crew);
		return 0;
	}
	for (unsigned int i = 0; i < crew->n; i++) {
		struct member *m = &crew->member[i];
		int error = pthread_create(&m->thread, NULL, run_thread, m);

		/* Some run already, and nothing can be undone. */
		if (error && i > 0)
			det_misuse("too many threads");
		if (error)
			return error;
	}
	return 0;
}

static void land(struct crew *crew)
{
	for (unsigned int i = 0; !serial() && i < crew->n; i++)
		pthread_join(crew->member[i].thread, NULL);
}

/* False: there are too many. */
static bool enter(struct crew *crew, det_t *member)
{
	bool found = false;

	pthread_mutex_lock(&crews_mutex);
	for (det_t i = 0; i < MAX_MEMBERS && !found; i++, next_crew++) {
		if (crews[next_crew % MAX_MEMBERS])
			continue;
		crews[next_crew % MAX_MEMBERS] = crew;
		*member = next_crew;
		found = true;
	}
	pthread_mutex_unlock(&crews_mutex);
	return found;
}

/* NULL: no such member, or it has been joined. */
static struct crew *leave(det_t member)
{
	struct crew *crew = NULL;

	pthread_mutex_lock(&crews_mutex);
	if (member < next_crew && member + MAX_MEMBERS >= next_crew) {
		crew = crews[member % MAX_MEMBERS];
		crews[member % MAX_MEMBERS] = NULL;
	}
	pthread_mutex_unlock(&crews_mutex);
	return crew;
}

int det_plain_create(det_t *member, void *(*fn)(void *), void *arg)
{
	struct crew *crew = assemble(1, fn, arg);
	int error;

	if (!crew)
		return EAGAIN;
	crew->alone = true;
	if (!enter(crew, member)) {
		release(crew);
		return ENOSPC;
	}
	error = launch(crew);
	if (error)
		release(leave(*member));
	return error;
}

int det_plain_join(det_t member, void **value)
{
	struct crew *crew = leave(member);

	if (!crew)
		return ESRCH;
	land(crew);
	if (value)
		*value = crew->member[0].value;
	release(crew);
	return 0;
}

int det_plain_parallel(unsigned int n, void *(*fn)(void *), void *arg)
{
	struct crew *crew = n ? assemble(n, fn, arg) : NULL;
	int error;

	if (!crew)
		return n ? EAGAIN : EINVAL;
	error = launch(crew);
	if (!error)
		land(crew);
	release(crew);
	return error;
}

void det_plain_exit(void *value)
{
	if (!me)
		det_misuse("det_exit() outside of a member");
	end(value);
	pthread_exit(NULL);
}

unsigned int det_plain_id(void)
{
	return me ? me->id : 0;
}

unsigned int det_plain_size(void)
{
	return me ? me->crew->n : 1;
}

void det_plain_barrier(void)
{
	if (me && !me->crew->alone)
		wait_for_all(me->crew);
}

/* All give; each combines for itself, in the order of the members; then all may give again. */
void det_plain_collective(void *value, size_t size, det_combine_fn combine,
			  unsigned int first, unsigned int last)
{
	struct crew *crew;

	if (!me || me->crew->alone)
		return;
	crew = me->crew;
	memcpy(me->gift, value, size);
	wait_for_all(crew);
	memcpy(value, crew->member[first].gift, size);
	for (unsigned int i = first + 1; i <= last; i++)
		combine(value, crew->member[i].gift);
	wait_for_all(crew);
}
