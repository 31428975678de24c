// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The calls that a member is in, by its registers and its stack and what the compiler has
 * written down of how to unwind it. libdw reads that, as source.c has loaded it: a member
 * has the mappings of its master, which libdw knows.
 */
#include <string.h>
#include <unistd.h>

#include "internal.h"

/* As <elfutils/libdwfl.h> has them. */
struct Dwfl_Thread;
struct Dwfl_Frame;

struct thread_callbacks {
	pid_t (*next_thread)(struct Dwfl *dwfl, void *arg, void **thread_arg);
	bool (*get_thread)(struct Dwfl *dwfl, pid_t tid, void *arg, void **thread_arg);
	bool (*memory_read)(struct Dwfl *dwfl, uint64_t addr, uint64_t *result, void *arg);
	bool (*set_initial_registers)(struct Dwfl_Thread *thread, void *thread_arg);
	void (*detach)(struct Dwfl *dwfl, void *arg);
	void (*thread_detach)(struct Dwfl_Thread *thread, void *thread_arg);
};

static DET_PRIVATE struct {
	bool (*attach)(struct Dwfl *dwfl, void *elf, pid_t pid,
		       const struct thread_callbacks *callbacks, void *arg);
	int (*getframes)(struct Dwfl *dwfl, pid_t tid,
			 int (*callback)(struct Dwfl_Frame *frame, void *arg), void *arg);
	bool (*set_registers)(struct Dwfl_Thread *thread, int first, unsigned int nr,
			      const uint64_t *regs);
	bool (*frame_pc)(struct Dwfl_Frame *frame, uint64_t *pc, bool *exact);
} dw;

static bool load(void)
{
	dw.attach = det_dw_function("dwfl_attach_state");
	dw.getframes = det_dw_function("dwfl_getthread_frames");
	dw.set_registers = det_dw_function("dwfl_thread_state_registers");
	dw.frame_pc = det_dw_function("dwfl_frame_pc");
	return dw.attach && dw.getframes && dw.set_registers && dw.frame_pc;
}

/* There is one. */
static pid_t next_thread(struct Dwfl *dwfl, void *arg, void **thread_arg)
{
	(void)dwfl;
	if (*thread_arg)
		return 0;
	*thread_arg = arg;
	return getpid();
}

static bool read_word(struct Dwfl *dwfl, uint64_t addr, uint64_t *result, void *arg)
{
	(void)dwfl;
	(void)arg;
	return det_stopped_read(result, addr, sizeof(*result)) == 0;
}

/* In the order of the psABI's numbers for DWARF. */
static bool set_registers(struct Dwfl_Thread *thread, void *arg)
{
	const struct user_regs_struct *regs = &((const struct det_failure *)arg)->regs;
	uint64_t dwarf[] = {
		regs->rax, regs->rdx, regs->rcx, regs->rbx, regs->rsi, regs->rdi,
		regs->rbp, regs->rsp, regs->r8, regs->r9, regs->r10, regs->r11,
		regs->r12, regs->r13, regs->r14, regs->r15, regs->rip,
	};

	return dw.set_registers(thread, 0, DET_COUNT(dwarf), dwarf);
}

/* The linker's names for where DET_BOTTOM is. */
extern const char __start_det_bottom[] HIDDEN, __stop_det_bottom[] HIDDEN;

struct frames {
	uintptr_t *pc;
	int nr, max;
};

static int add_frame(struct Dwfl_Frame *frame, void *arg)
{
	size_t bottom = __stop_det_bottom - __start_det_bottom;
	struct frames *frames = arg;
	uint64_t pc;

	if (frames->nr == frames->max || !dw.frame_pc(frame, &pc, NULL) ||
	    pc - (uintptr_t)__start_det_bottom < bottom)
		return 1;
	frames->pc[frames->nr++] = pc;
	return 0;
}

int det_backtrace(const struct det_failure *failure, uintptr_t *pc, int max)
{
	static const struct thread_callbacks callbacks = {
		.next_thread = next_thread,
		.memory_read = read_word,
		.set_initial_registers = set_registers,
	};
	struct frames frames = { .pc = pc, .max = max };
	struct Dwfl *dwfl = det_dwfl();

	if (!dwfl || !load())
		return -1;
	det_stopped_open(failure);
	if (failure->has_regs &&
	    dw.attach(dwfl, NULL, getpid(), &callbacks, (void *)failure))
		dw.getframes(dwfl, getpid(), add_frame, &frames);
	return frames.nr;
}
