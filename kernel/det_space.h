/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Deterministic processes: spaces, between the calls (deterministic.c) and
 * their life and rendezvous (det_space.c).
 */
#ifndef _KERNEL_DET_SPACE_H
#define _KERNEL_DET_SPACE_H

#include <linux/completion.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/task_work.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include <asm/deterministic.h>

struct dmem_image;
struct eventfd_ctx;

/**
 * struct det_family - the children of one master or space
 * @children: number -> struct det_space
 * @make: held while a child is made
 * @nr: how many there are
 * @depth: of the children
 */
struct det_family {
	struct xarray children;
	struct mutex make;		/* over copy_process() and numbers */
	unsigned int nr;
	unsigned int depth;
};

enum det_state { DET_STATE_RUNNING, DET_STATE_STOPPED, DET_STATE_DEAD };

/* How a space stopped: what struct det_status says of it. */
struct det_stop {
	u32 reason;
	int sig;
	int trap;
	u64 addr;
	u64 error;
	u64 value;
	u64 nr;
	u64 arg[6];
};

/**
 * struct det_space - a deterministic process
 * @ref: see the top of this file
 * @rcu: /proc looks at it without a reference
 * @number: as its parent calls it
 * @task: its task, with a reference
 * @family: its own children
 * @reaped: the task is gone
 * @trap: what the space is about to stop for; its own
 * @trap_work: stops it on its way to user mode; its own
 * @trapped: @trap_work is queued; its own
 * @int80: it comes by int $0x80; its own
 * @rax: as it was then; its own
 * @wq: parents wait here; its lock protects what follows
 * @state: see the top of this file
 * @busy: a call works on this space
 * @gone: being killed
 * @broken: memory ran out under an operation
 * @strict: executes nothing that draws random numbers; so do its descendants
 * @checked: what it can execute has been looked at since it was changed
 * @stop: why it is stopped
 * @notify: counts the stops, or NULL
 * @image: the snapshot, or NULL
 * @regs: saved registers; the space's own while it runs, else the call's
 */
struct det_space {
	refcount_t ref;
	struct rcu_head rcu;
	u64 number;
	struct task_struct *task;
	struct det_family family;
	struct completion reaped;

	struct det_stop trap;
	struct callback_head trap_work;
	bool trapped;
	bool int80;
	u64 rax;

	wait_queue_head_t wq;
	enum det_state state;
	bool busy;
	bool gone;
	bool broken;
	bool strict;
	bool checked;
	struct det_stop stop;
	struct eventfd_ctx *notify;
	struct dmem_image *image;
	struct det_regs regs;
};

/* kernel.deterministic: who may make spaces. */
enum det_who { DET_OFF, DET_EVERYBODY, DET_ADMIN };

struct det_family *det_own_family(bool make);
struct det_space *det_find(struct det_family *family, u64 number);
struct det_space *det_find_or_make(struct det_family *family, u64 number,
				   enum det_who who, bool strict);
void det_put_space(struct det_space *sp);
long det_kill(struct det_family *family, u64 number);
void det_kill_self(void);

void det_stop_code(u64 addr);
void det_park(const struct det_stop *why);
int det_claim(struct det_space *sp, bool nowait);
void det_release(struct det_space *sp);
struct dmem_image *det_hold_image(struct det_space *sp);
struct dmem_image *det_swap_image(struct det_space *sp, struct dmem_image *image);
int det_start(struct det_space *sp);
int det_wait_stop(struct det_space *sp);

int det_require(u64 sources);

#endif /* _KERNEL_DET_SPACE_H */
