// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Locks and threads in a member: between members a lock excludes nobody, and to go on
 * as if it did would give wrong results without a word. The program ends instead. The
 * C library and its companions may use theirs, as a member is alone in them.
 *
 * In a static program they cannot be told from the program, and nothing is noticed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <threads.h>
#include <time.h>

#include "internal.h"

/* What a member may not call, and the name that a static C library has for it. */
#define FUNCTIONS(F)								\
	F(int, pthread_mutex_lock, __pthread_mutex_lock,			\
	  (pthread_mutex_t *a), (a))						\
	F(int, pthread_mutex_trylock, __pthread_mutex_trylock,			\
	  (pthread_mutex_t *a), (a))						\
	F(int, pthread_mutex_timedlock, __pthread_mutex_timedlock,		\
	  (pthread_mutex_t *a, const struct timespec *b), (a, b))		\
	F(int, pthread_cond_wait, __pthread_cond_wait,				\
	  (pthread_cond_t *a, pthread_mutex_t *b), (a, b))			\
	F(int, pthread_cond_timedwait, __pthread_cond_timedwait,		\
	  (pthread_cond_t *a, pthread_mutex_t *b, const struct timespec *c),	\
	  (a, b, c))								\
	F(int, pthread_rwlock_rdlock, __pthread_rwlock_rdlock,			\
	  (pthread_rwlock_t *a), (a))						\
	F(int, pthread_rwlock_wrlock, __pthread_rwlock_wrlock,			\
	  (pthread_rwlock_t *a), (a))						\
	F(int, pthread_spin_lock, __pthread_spin_lock,				\
	  (pthread_spinlock_t *a), (a))						\
	F(int, pthread_barrier_wait, __pthread_barrier_wait,			\
	  (pthread_barrier_t *a), (a))						\
	F(int, pthread_mutex_clocklock, __pthread_mutex_clocklock,		\
	  (pthread_mutex_t *a, clockid_t b, const struct timespec *c), (a, b, c)) \
	F(int, pthread_cond_clockwait, __pthread_cond_clockwait,		\
	  (pthread_cond_t *a, pthread_mutex_t *b, clockid_t c,			\
	   const struct timespec *d), (a, b, c, d))				\
	F(int, pthread_rwlock_tryrdlock, ___pthread_rwlock_tryrdlock,		\
	  (pthread_rwlock_t *a), (a))						\
	F(int, pthread_rwlock_trywrlock, ___pthread_rwlock_trywrlock,		\
	  (pthread_rwlock_t *a), (a))						\
	F(int, pthread_spin_trylock, __pthread_spin_trylock,			\
	  (pthread_spinlock_t *a), (a))						\
	F(int, mtx_lock, __mtx_lock, (mtx_t *a), (a))				\
	F(int, mtx_trylock, __mtx_trylock, (mtx_t *a), (a))			\
	F(int, cnd_wait, __cnd_wait, (cnd_t *a, mtx_t *b), (a, b))		\
	F(int, sem_wait, __new_sem_wait, (sem_t *a), (a))			\
	F(int, sem_trywait, __new_sem_trywait, (sem_t *a), (a))			\
	F(int, sem_timedwait, ___sem_timedwait,					\
	  (sem_t *a, const struct timespec *b), (a, b))				\
	F(int, sem_post, __new_sem_post, (sem_t *a), (a))			\
	F(int, pthread_create, __pthread_create_2_1,				\
	  (pthread_t *a, const pthread_attr_t *b, void *(*c)(void *), void *d),	\
	  (a, b, c, d))

#define DECLARE(type, name, static_name, parameters, arguments)			\
	extern type static_name parameters __attribute__((weak));		\
	static type (*real_##name) parameters;
FUNCTIONS(DECLARE)

#define FIND(type, name, static_name, parameters, arguments)			\
	if (!real_##name)							\
		real_##name = det_is_static() ? static_name :		\
			      (type (*) parameters)dlsym(RTLD_NEXT, #name);

/* Early, as it may need memory: nobody has a lock yet. */
__attribute__((constructor(101)))
static void find_all(void)
{
	FUNCTIONS(FIND)
}

static void check(const char *name, const void *caller)
{
	char text[64];

	if (!det_state.level || det_is_static() || !det_is_users((uintptr_t)caller))
		return;
	snprintf(text, sizeof(text), "%s() in a member", name);
	det_misuse_at(text, caller);
}

#define DEFINE(type, name, static_name, parameters, arguments)			\
	type name parameters							\
	{									\
		check(#name, __builtin_return_address(0));			\
		if (!real_##name)						\
			find_all();						\
		return real_##name arguments;					\
	}
FUNCTIONS(DEFINE)
