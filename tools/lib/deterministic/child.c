// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The spaces below this one: a table of them, how one is made, awaited, merged and
 * ended. Threads and teams are made of this.
 */
#include <errno.h>
#include <string.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/user.h>

#include "internal.h"

struct det_kid *det_kid(unsigned int slot)
{
	struct det_kid *table = (void *)det_block(det_state.level, DET_KIDS_AT);

	return table + slot;
}

/*
 * The number of a slot's space: those from 1 << 16 on are ours. A space is kept for the
 * next child of its slot, which gets by a copy only what has changed since.
 */
uint64_t det_child(unsigned int slot)
{
	return DET_FIRST_CHILD + slot;
}

/* Only the master is interrupted by signals. */
long det_child_get(unsigned int slot, const struct det_args *args)
{
	long ret;

	do {
		det_standing_tell();
		ret = dget(det_child(slot), args, sizeof(*args));
	} while (ret < 0 && errno == EINTR);
	return ret;
}

long det_child_put(unsigned int slot, const struct det_args *args)
{
	long ret;

	do
		ret = dput(det_child(slot), args, sizeof(*args));
	while (ret < 0 && errno == EINTR);
	return ret;
}

static int read_child(void *to, uintptr_t from, size_t len, unsigned int flags)
{
	struct det_op op = {
		.op = DET_COPY,
		.flags = flags,
		.caller = (uintptr_t)to,
		.child = from,
		.len = len,
	};
	struct det_args args = {
		.ops = (uintptr_t)&op, .nr_ops = 1, .op_size = sizeof(op),
	};

	if (len == 0)
		return 0;
	return dget(det_state.reading, &args, sizeof(args)) < 0 ? errno : 0;
}

int det_read_child(void *to, uintptr_t from, size_t len)
{
	return read_child(to, from, len, 0);
}

int det_read_image(void *to, uintptr_t from, size_t len)
{
	return read_child(to, from, len, DET_COPY_IMAGE);
}

/* Here a child begins, on a stack of its own, and here a debugger need not look further. */
DET_BOTTOM __attribute__((noreturn, used))
static void begin(void)
{
#ifdef __GCC_HAVE_DWARF2_CFI_ASM
	asm volatile(".cfi_undefined rip");
#endif
	det_state.level++;
	det_state.me = det_state.child.identity;
	det_state.nr_kids = 0;
	det_state.kids_end = 0;
	det_state.kids_hint = 0;
	det_state.next_ordinal = 0;
	det_begin_tls();
	det_heap_begin(det_state.child.part);
	det_output_begin();
	det_exit(det_state.child.start(det_state.child.arg));
}

/*
 * The call returns twice, with a copy of the registers and of the stack. The copy leaves
 * that stack at once: it is the creator's, and what it wrote there would be merged. The
 * zero is where unwinding ends.
 */
static long call_fork(uint64_t child, const struct det_args *args, uintptr_t stack)
{
	long ret = __NR_dput;

	asm volatile("syscall\n\t"
		     "test %%rax, %%rax\n\t"
		     "jnz 1f\n\t"
		     "mov %[stack], %%rsp\n\t"
		     "xor %%ebp, %%ebp\n\t"
		     "push $0\n\t"
		     "jmp *%[begin]\n"
		     "1:"
		     : "+a" (ret)
		     : "D" (child), "S" (args), "d" (sizeof(*args)),
		       [stack] "r" (stack), [begin] "r" (begin)
		     : "rcx", "r11", "memory");
	return ret;
}

static void end_space(unsigned int slot)
{
	struct det_args args = { .flags = DET_KILL };

	det_child_put(slot, &args);
}

/*
 * Spaces that are kept hold memory, and count as processes; and the machine may have
 * killed one of them. Nobody but a master is told of such things.
 */
static bool may_help(long error)
{
	return error == -ENOMEM || error == -EAGAIN || error == -ENOSPC ||
	       error == -EOWNERDEAD;
}

static void end_kept(unsigned int slot)
{
	for (unsigned int i = 0; i < det_options.keep; i++)
		if (i != slot && !det_kid(i)->in_use)
			end_space(i);
	end_space(slot);
}

static struct det_op zero_block(unsigned int level)
{
	const struct det_area block = det_own_block(level);

	return (struct det_op){
		.op = DET_ZERO, .flags = DET_ZERO_NORESERVE,
		.prot = PROT_READ | PROT_WRITE,
		.child = block.start, .len = block.end - block.start,
	};
}

/*
 * A child gets its block, empty, with the copy of all memory, if there is one of its level
 * here, too, that nobody touches. So the next child of a slot finds all mappings that it
 * needs. The master's is there from the beginning; without, it is made in the child.
 */
static bool reserve_block(unsigned int level)
{
	struct det_op op = zero_block(level);
	struct det_args args = {
		.ops = (uintptr_t)&op, .nr_ops = 1, .op_size = sizeof(op),
	};

	if (det_state.level && det_state.reserved != level &&
	    dput(DET_SELF, &args, sizeof(args)) == 0)
		det_state.reserved = level;
	return det_state.reserved == level;
}

static int fork_child(unsigned int slot)
{
	unsigned int level = det_state.level + 1;
	struct det_op op[] = {
		{ .op = DET_COPY, .flags = DET_COPY_WHOLE }, zero_block(level),
	};
	struct det_args args = {
		.flags = DET_FORK | DET_SNAP | DET_START,
		.ops = (uintptr_t)op,
		.nr_ops = reserve_block(level) ? 1 : 2,
		.op_size = sizeof(op[0]),
	};
	bool again = true;
	long ret;

	do {
		ret = call_fork(det_child(slot), &args, det_stack_end(level));
		if (again && may_help(ret)) {
			end_kept(slot);
			again = false;
			ret = -EINTR;
		}
	} while (ret == -EINTR);
	return ret < 0 ? -ret : 0;
}

static unsigned int free_slot(void)
{
	unsigned int slot = det_state.kids_hint;

	while (slot < det_state.kids_end && det_kid(slot)->in_use)
		slot++;
	return slot;
}

static void leave_slot(unsigned int slot)
{
	memset(det_kid(slot), 0, sizeof(struct det_kid));
	det_state.nr_kids--;
	if (slot < det_state.kids_hint)
		det_state.kids_hint = slot;
	while (det_state.kids_end && !det_kid(det_state.kids_end - 1)->in_use)
		det_state.kids_end--;
}

static void kill_child(unsigned int slot)
{
	end_space(slot);
	leave_slot(slot);
}

/* @frame: the creator's stack from there on is shared. 0 or an error. */
int det_child_start(unsigned int *slot, void *(*start)(void *), void *arg,
		    const struct det_identity *identity, uintptr_t frame)
{
	uintptr_t thread = (uintptr_t)__builtin_thread_pointer();
	unsigned int i = free_slot();
	struct det_kid *kid;
	int error;

	if (i == DET_MAX_CHILDREN)
		return ENOSPC;
	if (det_state.level == DET_MAX_DEPTH)
		return ELOOP;
	error = det_know_memory(thread);
	if (error)
		return error;
	det_standing_begin();
	kid = det_kid(i);
	kid->part = det_malloc_cut(det_state.nr_kids,
				   identity->team == DET_NO_TEAM ? 0 : identity->team);
	kid->thread = thread;
	kid->frame = frame;
	kid->identity = *identity;
	kid->identity.ordinal = det_state.next_ordinal;
	kid->in_use = true;
	det_state.nr_kids++;
	if (i >= det_state.kids_end)
		det_state.kids_end = i + 1;
	det_state.kids_hint = i + 1;
	det_state.child.start = start;
	det_state.child.arg = arg;
	det_state.child.part = kid->part;
	det_state.child.identity = kid->identity;
	det_state.frame[det_state.level] = frame;
	error = fork_child(i);
	if (error) {
		/* The kernel may have made it, and then failed to fill it. */
		det_malloc_uncut(kid->part, false);
		kill_child(i);
		return det_refused(error);
	}
	det_state.next_ordinal++;
	*slot = i;
	return 0;
}

/*
 * A futex wake finds nobody in a space: pthread_once() makes one whenever it has done
 * what it does once. It gets its answer and goes on. False: this is something else.
 */
static bool answer_wake(unsigned int slot, const struct det_status *status)
{
	struct user_regs_struct regs;
	struct det_args args = {
		.flags = DET_REGS,
		.regs = (uintptr_t)&regs, .regs_size = sizeof(regs),
	};

	if (status->reason != DET_SYSCALL || status->nr != SYS_futex ||
	    (status->arg[1] & FUTEX_CMD_MASK) != FUTEX_WAKE)
		return false;
	if (det_child_get(slot, &args) < 0)
		return false;
	regs.rax = 0;
	args.flags = DET_REGS | DET_START;
	return det_child_put(slot, &args) == 0;
}

/*
 * Why it has stopped, and the kid has its note; 0 if not by dret() in the library, and
 * @status says how.
 */
enum det_stop det_child_await(unsigned int slot, struct det_status *status)
{
	struct det_args args = {
		.status = (uintptr_t)status, .status_size = sizeof(*status),
	};
	struct det_note note;

	do {
		if (det_child_get(slot, &args) < 0)
			det_fail_error(slot, errno);
	} while (answer_wake(slot, status));
	det_state.reading = det_child(slot);
	if (status->reason != DET_RET)
		return 0;
	if (det_read_child(&note, (uintptr_t)&det_state.note, sizeof(note)))
		return 0;
	/* A dret() of the member's own says nothing. */
	if (note.stop != status->value)
		return 0;
	det_kid(slot)->note = note;
	return note.stop;
}

/*
 * Merges it, all or nothing: 0 or an error. For all that the compiler knows, memory can
 * change here.
 */
int det_child_merge(unsigned int slot, unsigned int flags, struct det_result *result,
		    uintptr_t frame)
{
	struct det_kid *kid = det_kid(slot);
	struct det_args args = {
		.ops = (uintptr_t)det_state.merge,
		.op_size = sizeof(det_state.merge[0]),
		.status = (uintptr_t)&result->status,
		.status_size = sizeof(result->status),
		.ranges = (uintptr_t)result->ranges,
		.nr_ranges = DET_RESULT_RANGES,
	};
	int nr;
	long ret;

	/* Thread-local data is that of the thread which has made it. */
	if (det_state.level == 0 && kid->thread != det_state.objects.thread)
		nr = -det_know_memory(kid->thread);
	else
		nr = 0;
	if (nr == 0)
		nr = det_merge_ops(det_state.merge, flags,
				   frame > kid->frame ? frame : kid->frame);
	if (nr < 0)
		return -nr;
	args.nr_ops = nr;
	ret = det_child_get(slot, &args);
	asm volatile("" : : : "memory");
	if (ret < 0)
		return errno;
	kid->merged = true;
	return 0;
}

/*
 * After its last merge: its output, its heap, and no more of it but a space for the next.
 * When all have ended that end together, det_malloc_settle() frees what they have freed of
 * each other.
 */
void det_child_end(unsigned int slot)
{
	struct det_kid *kid = det_kid(slot);
	struct det_heap heap;

	det_state.reading = det_child(slot);
	det_output_take(kid->note.printed);
	if (!kid->note.has_heap)
		det_malloc_uncut(kid->part, false);
	else if (det_read_child(&heap, (uintptr_t)det_heap_state(), sizeof(heap)) == 0)
		det_malloc_adopt(&heap, det_block(det_state.level + 1, DET_EXTENTS_AT),
				 det_block(det_state.level + 1, DET_QUEUE_AT),
				 det_read_child);
	if (slot < det_options.keep && !kid->note.has_spaces)
		leave_slot(slot);
	else
		kill_child(slot);
}

/* Without what it has done, but for its output if that is wanted. It has stopped. */
void det_child_discard(unsigned int slot, bool print)
{
	det_state.reading = det_child(slot);
	if (print)
		det_output_take(NULL);
	det_malloc_uncut(det_kid(slot)->part, det_kid(slot)->merged);
	kill_child(slot);
}

/* In a process that was forked: its parent has them, and their parts are free here. */
void det_children_lost(void)
{
	while (det_state.kids_end) {
		unsigned int slot = det_state.kids_end - 1;

		det_malloc_uncut(det_kid(slot)->part, det_kid(slot)->merged);
		leave_slot(slot);
	}
}

void det_stop_here(enum det_stop why, const void *where)
{
	det_state.note.stop = why;
	det_state.note.where = where;
	asm volatile("" : : : "memory");
	dret(why);
	asm volatile("" : : : "memory");
}
