/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The rendezvous of a space and its parent, as kernel/det_space.c does it, for
 * spin; the names are that file's.
 *
 * A master of two threads has a child; with NESTED the child has a child of
 * its own. The threads claim, operate, start, wait and KILL, the master exits,
 * and the environment sends SIGKILL and other signals, wakes tasks for no
 * reason, freezes and thaws them, each at any moment. What needs no grandchild
 * is left out with NESTED.
 *
 * Every run must end with all processes at their end, and:
 *  - nobody touches a space, its memory or its image once these are freed
 *  - a parent touches its child's memory and registers only while the child
 *    is stopped, and does not meet it there
 *  - one call at a time works on a space
 *  - KILL returns only when the child and its descendants are gone
 *  - no space is left when its master has exited, and no reference
 *
 * Steps are interleaved, and all see each step at once, so a barrier is an
 * order of steps here; M_STATE_LATE shows what comes of the order that the
 * barrier in set_current_state() forbids. Each M_ is a fault that must be
 * found: run.sh.
 */

#ifdef NESTED
#define NR_SPACES	2
#define NR_TASKS	4
#else
#define NR_SPACES	1
#define NR_TASKS	3
#endif

/*
 * With COARSE nobody looks into a SECTION: what one task does under wq.lock, or
 * to nobody else's interest.
 */
#ifdef COARSE
#define SECTION		atomic
#else
#define SECTION
#endif

#define NOBODY		15
#define CHILD		0		/* spaces */
#define GRANDCHILD	1
#define TASK_OF(s)	((s) + 2)	/* tasks 0 and 1 are the master's */

mtype = { RUNNING, STOPPED, DEAD };			/* det_state */
mtype = { T_RUNNING, T_SLEEPING, T_FROZEN };		/* a task's state */
mtype = { OK, EINTR, ESRCH, EOWNERDEAD };		/* what a step gives */

typedef det_space {
	byte ref = 2;		/* its number's and its task's */
	bit freed;
	bit listed = 1;		/* in its parent's family */
	bit reaped;		/* completion */
	/* wq: its lock and who waits; the lock protects the next five */
	byte lock = NOBODY;
	bit queued[NR_TASKS];
	mtype state = RUNNING;	/* until it has stopped as NEW */
	bit busy;
	bit gone;
	bit has_image = 1;
	byte image_ref = 1;
	bit has_mm = 1;		/* task->mm */
	byte mm_users = 1;
	/* only for assertions */
	bit touching;		/* its parent is at its memory or registers */
	bit in_user;		/* it is there itself */
};

det_space space[NR_SPACES];

mtype tstate[NR_TASKS] = T_RUNNING;
mtype saved[NR_TASKS] = T_RUNNING;	/* saved_state, of a frozen task */
bit asleep[NR_TASKS];			/* in schedule() */
bit sigkill[NR_TASKS];			/* fatal_signal_pending() */
bit signalled[NR_TASKS];		/* another signal, to be handled */
byte live = 2;				/* threads of the master */
byte ended;				/* processes of the model */

/* for the claims below */
bit in_wait;				/* task 0 is in det_wait_stop() */

#ifdef NESTED
#define ALL_GONE	(space[CHILD].reaped && space[GRANDCHILD].reaped)
#define ALL_FREED	(space[CHILD].freed && space[GRANDCHILD].freed)
#define NO_MM		(!space[CHILD].mm_users && !space[GRANDCHILD].mm_users)
#else
#define ALL_GONE	(space[CHILD].reaped)
#define ALL_FREED	(space[CHILD].freed)
#define NO_MM		(!space[CHILD].mm_users)
#endif

/*
 * What the kernel has. In all of these "me" is the task that runs.
 */

inline spin_lock(s)
{
	atomic {
		space[s].lock == NOBODY;
		assert(!space[s].freed);
		space[s].lock = me
	}
}

inline spin_unlock(s)
{
	d_step {
		assert(space[s].lock == me && !space[s].freed);
		space[s].lock = NOBODY
	}
}

/* try_to_wake_up(): of a frozen task only what it will wake up to changes. */
#define WAKE(t) \
	if \
	:: tstate[t] == T_SLEEPING -> tstate[t] = T_RUNNING \
	:: tstate[t] == T_FROZEN -> saved[t] = T_RUNNING \
	:: else \
	fi

#define WAKE_QUEUED(s, t) \
	if \
	:: space[s].queued[t] -> \
		space[s].queued[t] = 0; \
		WAKE(t) \
	:: else \
	fi

inline wake_up_all_locked(s)
{
	d_step {
		assert(space[s].lock == me);
		WAKE_QUEUED(s, 0);
		WAKE_QUEUED(s, 1);
#ifdef NESTED
		WAKE_QUEUED(s, 2)
#endif
	}
}

inline send_sigkill(t)
{
	d_step {
		sigkill[t] = 1;
		WAKE(t)
	}
}

#define SIGNAL_PENDING	(sigkill[me] || signalled[me])

inline schedule()
{
	atomic {
		if
		:: tstate[me] == T_SLEEPING && SIGNAL_PENDING ->
			tstate[me] = T_RUNNING
		:: else
		fi;
		asleep[me] = 1
	}
	atomic {
		tstate[me] == T_RUNNING;
		asleep[me] = 0
	}
}

/* The two ends of ___wait_event(). */
inline prepare_to_wait_event(s)
{
	SECTION {
		spin_lock(s);
		if
		:: SIGNAL_PENDING ->
			space[s].queued[me] = 0;
			result = EINTR
		:: else ->
			d_step {
				space[s].queued[me] = 1;
				tstate[me] = T_SLEEPING
			}
		fi;
		spin_unlock(s)
	}
}

inline finish_wait(s)
{
	SECTION {
		tstate[me] = T_RUNNING;
		spin_lock(s);
		space[s].queued[me] = 0;
		spin_unlock(s)
	}
}

/*
 * References.
 */

inline det_put_space(s)
{
	d_step {
		assert(!space[s].freed && space[s].ref > 0);
		space[s].ref--;
		if
		:: space[s].ref == 0 ->
			assert(!space[s].listed && space[s].lock == NOBODY);
			assert(!space[s].busy);
			space[s].image_ref = space[s].image_ref - space[s].has_image;
			assert(space[s].image_ref == 0);
			space[s].freed = 1
		:: else
		fi
	}
}

/* RCU makes finding and holding one step. */
inline det_find(s)
{
	d_step {
		if
		:: space[s].listed ->
			assert(!space[s].freed);
#ifndef M_NO_REF
			space[s].ref++;
#endif
			result = OK
		:: else ->
			result = ESRCH
		fi
	}
}

inline put_call(s)
{
#ifdef M_NO_REF
	assert(!space[s].freed)
#else
	det_put_space(s)
#endif
}

/*
 * The parent's side.
 */

/* OK, ESRCH, or EINTR for "not yet" */
inline det_try_claim(s)
{
	SECTION {
		spin_lock(s);
		if
		:: space[s].gone ->
			result = ESRCH
#ifdef M_CLAIM_BUSY
		:: !space[s].gone && space[s].state != RUNNING ->
#else
		:: !space[s].gone && !space[s].busy && space[s].state != RUNNING ->
#endif
			assert(!space[s].busy);
			space[s].busy = 1;
			result = OK
		:: else ->
			result = EINTR
		fi;
		spin_unlock(s)
	}
}

inline det_claim(s)
{
	det_try_claim(s);
	if
	:: result == EINTR ->
		do
		:: true ->
			result = OK;
			prepare_to_wait_event(s);
			if
			:: result == EINTR ->	/* a last look */
				det_try_claim(s);
				break
			:: else
			fi;
			det_try_claim(s);
			if
			:: result != EINTR -> break
			:: else
			fi;
			schedule()
		od;
		finish_wait(s)
	:: else
	fi
}

inline det_release(s)
{
	SECTION {
		spin_lock(s);
		assert(space[s].busy);
		space[s].busy = 0;
#ifndef M_RELEASE_NO_WAKE
		wake_up_all_locked(s);
#endif
		spin_unlock(s)
	}
}

inline get_task_mm(s)
{
	d_step {
		if
		:: space[s].has_mm ->
			result = OK;
#ifndef M_NO_MM_REF
			space[s].mm_users++
#endif
		:: else ->
			result = EOWNERDEAD
		fi
	}
}

inline det_hold_image(s)
{
	spin_lock(s);
	image = space[s].has_image;
#ifndef M_NO_IMAGE_REF
	space[s].image_ref = space[s].image_ref + image;
#endif
	spin_unlock(s)
}

/* The work, with references to what is worked on. */
inline det_steps_with_mm(s)
{
	SECTION {
		get_task_mm(s);
		if
		:: result == OK ->
			det_hold_image(s);
			d_step {
				assert(!space[s].in_user && !space[s].touching);
				space[s].touching = 1
			}
		:: else
		fi
	}
	if
	:: result == OK ->
		d_step {
			assert(!space[s].in_user && space[s].mm_users > 0);
			assert(!image || space[s].image_ref > 0);
			space[s].touching = 0;
#ifndef M_NO_IMAGE_REF
			space[s].image_ref = space[s].image_ref - image;
#endif
			image = 0;
#ifndef M_NO_MM_REF
			space[s].mm_users--
#endif
		}
	:: else
	fi
}

inline det_start(s)
{
	SECTION {
#ifndef M_START_UNLOCKED
		spin_lock(s);
#endif
		if
		:: space[s].gone ->
			result = ESRCH
		:: !space[s].gone && space[s].state == DEAD ->
			result = EOWNERDEAD
		:: else ->
			assert(!space[s].touching);
			space[s].state = RUNNING;	/* C */
			d_step { WAKE(TASK_OF(s)) }	/* D */
		fi;
#ifndef M_START_UNLOCKED
		spin_unlock(s)
#endif
	}
}

/* without the lock */
inline det_has_stopped(s)
{
	assert(!space[s].freed);
	if
	:: space[s].gone -> stopped = 1
	:: else
	fi;
	if
	:: space[s].state != RUNNING -> stopped = 1
	:: else
	fi
}

inline det_wait_stop(s)
{
	in_wait = in_wait || me == 0;
	det_has_stopped(s);
	if
	:: !stopped ->
		do
		:: true ->
#ifdef M_WAIT_LATE
			det_has_stopped(s);
#endif
			prepare_to_wait_event(s);
#ifndef M_WAIT_LATE
			det_has_stopped(s);
#endif
			if
			:: stopped ->
				result = OK;
				break
			:: !stopped && result == EINTR ->
				break
			:: else
			fi;
			schedule()
		od;
		finish_wait(s)
	:: else
	fi;
	d_step {
		stopped = 0;
		if
		:: me == 0 -> in_wait = 0
		:: else
		fi
	}
	if
	:: result == OK && space[s].gone -> result = ESRCH
	:: else
	fi
}

/* Step 8's registers. */
inline det_regs_out(s)
{
	SECTION {
		if
		:: space[s].state == DEAD -> result = EOWNERDEAD
		:: else
		fi;
		if
		:: result == OK ->
			assert(!space[s].in_user);
			space[s].touching = 1
		:: else
		fi
	}
	if
	:: result == OK ->
		d_step {
			assert(!space[s].in_user);
			space[s].touching = 0
		}
	:: else
	fi
}

/* A call with operations; and with START and WAIT, or without. */
inline det_call(s, with_start)
{
	det_find(s);
	if
	:: result == OK ->
		det_claim(s);
		if
		:: result == OK ->
			if
			:: space[s].state == DEAD -> result = EOWNERDEAD
			:: else
			fi;
			if
			:: result == OK -> det_steps_with_mm(s)
			:: else
			fi;
			if
			:: result == OK && with_start ->
				det_start(s);
				if
				:: result == OK -> det_wait_stop(s)
				:: else
				fi;
				if
				:: result == OK -> det_regs_out(s)
				:: else
				fi
			:: else
			fi;
			det_release(s)
		:: else
		fi;
		put_call(s)
	:: else
	fi
}

/* OK: it was ours to kill. */
inline det_condemn(s)
{
	SECTION {
		spin_lock(s);
		if
		:: space[s].gone ->
			result = ESRCH
		:: else ->
			space[s].gone = 1;
#ifndef M_KILL_NO_WAKE
			wake_up_all_locked(s);
#endif
			result = OK
		fi;
		spin_unlock(s)
	}
	if
	:: result == OK -> send_sigkill(TASK_OF(s))
	:: else
	fi
}

/* The first to come takes the number out. */
inline det_forget(s)
{
	d_step {
		assert(space[s].reaped);
		mine = space[s].listed;
		space[s].listed = 0
	}
	if
	:: mine -> det_put_space(s)
	:: else
	fi;
	mine = 0
}

inline det_kill(s)
{
	det_find(s);
	if
	:: result == OK ->
		det_condemn(s);
		if
		:: space[s].reaped ->
			det_forget(s);
			assert(space[s].reaped && (s != CHILD || ALL_GONE))
		:: sigkill[me]		/* the exit does the rest */
		fi;
		put_call(s)
	:: else
	fi
}

/* __det_exit(): nobody is in a call on this family any more. */
inline det_kill_family(s)
{
	if
	:: space[s].listed ->
		det_condemn(s);
#ifndef M_EXIT_NO_WAIT
		space[s].reaped;
		det_forget(s)
#endif
	:: else
	fi
}

/*
 * The space's side.
 */

inline det_publish(s, new)
{
	SECTION {
		spin_lock(s);
		if
		:: new == DEAD ->
			space[s].image_ref = space[s].image_ref - space[s].has_image;
			space[s].has_image = 0
		:: else
		fi;
		space[s].state = new;
#ifdef M_STOP_NO_WAKE
		if
		:: new == DEAD -> wake_up_all_locked(s)
		:: else
		fi;
#elif defined(M_EXIT_NO_WAKE)
		if
		:: new == STOPPED -> wake_up_all_locked(s)
		:: else
		fi;
#else
		wake_up_all_locked(s);
#endif
		spin_unlock(s)
	}
}

inline det_park(s)
{
	SECTION {
		space[s].in_user = 0;	/* det_regs_save() */
		det_publish(s, STOPPED)
	}
	do
	:: true ->
#ifndef M_STATE_LATE
		tstate[me] = T_SLEEPING;			/* A */
#endif
		if
		:: space[s].state != STOPPED -> break		/* B */
		:: else
		fi;
#ifdef M_STATE_LATE
		tstate[me] = T_SLEEPING;
#endif
#ifndef M_PARK_DEAF
		if
		:: sigkill[me] -> break
		:: else
		fi;
#endif
		schedule()
	od;
	tstate[me] = T_RUNNING;
	if
	:: !sigkill[me] ->
		d_step {		/* det_regs_load() */
			assert(!space[s].touching && space[s].state == RUNNING);
			space[s].in_user = 1
		}
	:: else
	fi
}

inline det_exit(s)
{
	space[s].in_user = 0;
#ifdef NESTED
	if
	:: s == CHILD -> det_kill_family(GRANDCHILD)
	:: else
	fi;
#endif
	det_publish(s, DEAD);
	d_step {			/* exit_mm() */
		space[s].has_mm = 0;
		space[s].mm_users--
	}
	assert(!space[s].freed);
	space[s].reaped = 1;		/* __det_exit_done() */
	det_put_space(s)
}

/*
 * Who runs.
 */

inline end()
{
	d_step {
		result = OK;
		ended++;
		if
		:: ended == NR_TASKS + 2 -> assert(ALL_FREED && NO_MM)
		:: else
		fi
	}
}

/* exec is the same: all other threads die first */
inline exit_thread()
{
	d_step {
		live--;
		result = (live == 0 -> OK : EINTR)
	}
	if
	:: result == OK ->
		det_kill_family(CHILD);
		assert(ALL_GONE && !space[CHILD].listed)
	:: else
	fi;
	end()
}

active proctype first()			/* a thread of the master */
{
	byte me = 0, calls;
	bit image, stopped, mine;
	mtype result = OK;

	do
	:: calls < CALLS && !sigkill[me] ->
		calls++;
		if
		:: det_call(CHILD, true)
#ifndef NESTED
		:: det_kill(CHILD)
#endif
		fi;
		d_step {
			result = OK;
			signalled[me] = 0	/* its handler has run */
		}
	:: break
	od;
	calls = 0;
	exit_thread()
}

active proctype second()		/* another one */
{
	byte me = 1;
	bit image, stopped, mine;
#ifndef NESTED
	bit with_start;
#endif
	mtype result = OK;

	if
#ifndef NESTED
	:: true ->
		if
		:: with_start = 1
		:: true
		fi;
		det_call(CHILD, with_start);
		with_start = 0
#endif
	:: det_kill(CHILD)
	:: true
	fi;
	exit_thread()
}

active proctype child()
{
	byte me = TASK_OF(CHILD);
	bit image, stopped, mine;
	mtype result = OK;

	do
	:: true ->
		det_park(CHILD);
		if
		:: sigkill[me] -> break
		:: else
		fi;
#ifdef NESTED
		if
		:: det_call(GRANDCHILD, true)
		:: det_kill(GRANDCHILD)
		:: true
		fi;
		d_step {
			if
			:: result == EOWNERDEAD -> sigkill[me] = 1 /* det_kill_self() */
			:: else
			fi;
			result = OK
		}
#endif
		if			/* seen now, or at the next stop */
		:: sigkill[me] -> break
		:: true
		fi
	od;
	det_exit(CHILD);
	end()
}

#ifdef NESTED
active proctype grandchild()
{
	byte me = TASK_OF(GRANDCHILD);
	bit mine;
	mtype result = OK;

	do
	:: true ->
		det_park(GRANDCHILD);
		if
		:: sigkill[me] -> break
		:: else
		fi;
		if			/* seen now, or at the next stop */
		:: sigkill[me] -> break
		:: true
		fi
	od;
	det_exit(GRANDCHILD);
	end()
}
#endif

/*
 * The environment: each of these at any moment, or never.
 */

active proctype events()		/* one of these */
{
	mtype result = OK;

	if
	:: d_step {			/* SIGKILL to the master */
		sigkill[0] = 1;
		WAKE(0);
		sigkill[1] = 1;
		WAKE(1)
	   }
	:: send_sigkill(TASK_OF(CHILD))
#ifdef NESTED
	:: send_sigkill(TASK_OF(GRANDCHILD))
#endif
#ifndef NESTED
	:: d_step {			/* a signal that the master handles */
		signalled[0] = 1;
		WAKE(0)
	   }
	:: d_step { WAKE(0) }		/* a wake-up that nobody meant */
#endif
	:: d_step { WAKE(2) }
	:: true
	fi;
	end()
}

/* __set_task_frozen() and __thaw_task() */
#define FREEZE(t) \
	d_step { \
		asleep[t] && tstate[t] == T_SLEEPING -> \
		saved[t] = T_SLEEPING; \
		tstate[t] = T_FROZEN \
	}

#define THAW(t) \
	if \
	:: tstate[t] == T_FROZEN -> \
		tstate[t] = saved[t]; \
		saved[t] = T_RUNNING \
	:: else \
	fi

active proctype freezer()		/* any tasks; then all are thawed */
{
	mtype result = OK;

#if defined(STAYS_FROZEN)
	if
	:: FREEZE(2)
	:: true
	fi;
#elif !defined(NO_FREEZER)
	do
#ifdef NESTED
	:: FREEZE(3)
#else
	:: FREEZE(0)
	:: FREEZE(1)
#endif
	:: FREEZE(2)
	:: d_step {
		THAW(0);
		THAW(1);
		THAW(2);
#ifdef NESTED
		THAW(3)
#endif
	   }
	   break
	od;
#endif
	end()
}

#ifdef CLAIMS
#define STARTED	(space[CHILD].state == RUNNING)
#define RUNS	(space[CHILD].in_user || space[CHILD].state != RUNNING)
/* a started child runs or dies; a wait for one that stopped or died ends */
ltl lives { [] ((STARTED -> <> RUNS) && ((in_wait && !STARTED) -> <> !in_wait)) }
/* as does one for a child that is being killed, even if it cannot die yet */
ltl condemned { [] ((in_wait && space[CHILD].gone) -> <> !in_wait) }
#endif
