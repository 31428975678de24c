// SPDX-License-Identifier: GPL-2.0-only
/*
 * The model of a space that runs: space.S, instruction by instruction where it
 * matters. It goes on at RIP, with the registers as they are.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "model.h"

#define FLAGS_KEPT 0x40400ULL	/* DF, AC: not changed by arithmetic */
#define FLAGS_EQUAL 0x246ULL	/* after a comparison of equals */

static void stop_fault(struct space *sp, int sig, int trap, u64 addr, u64 error)
{
	sp->stop.reason = DET_FAULT;
	sp->stop.sig = sig;
	sp->stop.trap = trap;
	sp->stop.addr = addr;
	sp->stop.error = error;
	sp->regs.known &= ~REG(eflags);
}

static void page_fault(struct space *sp, u64 addr, u64 error)
{
	stop_fault(sp, SIGSEGV, 14, addr, error);
}

static void fetch_fault(struct space *sp)
{
	u32 known = sp->regs.known;

	page_fault(sp, sp->regs.user.rip, 4 | 16);
	sp->regs.known = known;		/* not even the flags have changed */
}

static void after_syscall(struct space *sp, const char *rip)
{
	struct user_regs_struct *r = &sp->regs.user;

	r->rip = (u64)rip;
	r->rcx = r->rip;
	r->eflags = (r->eflags & FLAGS_KEPT) | FLAGS_EQUAL;
	r->r11 = r->eflags;
	sp->regs.known |= REG(rcx) | REG(r11) | REG(rip);
	if (sp->regs.known & REG(orig_rax))	/* else: a master's, forked */
		sp->regs.known |= REG(eflags);
}

static void run_done(struct space *sp)
{
	struct user_regs_struct *r = &sp->regs.user;

	r->rdi = r->rax;
	r->rsi = 0;
	r->rdx = 0;
	r->r8 = 0;
	r->r9 = 0;
	r->r10 = 0;
	after_syscall(sp, space_stopped);
	sp->stop.reason = DET_RET;
	sp->stop.value = r->rax;
	r->rax = 0;
}

static void run_store(struct space *sp)
{
	struct user_regs_struct *r = &sp->regs.user;
	struct page *p;

	for (; r->rdx; r->rdx--, r->rdi++) {
		p = page_at(&sp->mem, r->rdi);
		if (!p->mapped || !(p->prot & PROT_WRITE)) {
			r->rip = (u64)space_store;
			page_fault(sp, r->rdi, 2 | 4);
			return;
		}
		page_bytes(p)[r->rdi % PAGE] = r->rsi;
		r->rsi = (u32)(r->rsi + r->r10);
	}
	r->rax = 0;
	run_done(sp);
}

static void run_load(struct space *sp)
{
	struct user_regs_struct *r = &sp->regs.user;
	struct page *p;

	for (; r->rdx; r->rdx--, r->rdi++) {
		p = page_at(&sp->mem, r->rdi);
		if (!p->mapped || !p->prot) {
			r->rip = (u64)space_load;
			page_fault(sp, r->rdi, 4);
			return;
		}
		r->rax = page_byte(p, r->rdi % PAGE);
		r->rsi = (u32)((u32)r->rsi * 31 + r->rax);
	}
	r->rax = (u32)r->rsi;
	run_done(sp);
}

/* A call of its own, or one that stops it. */
static void run_call(struct space *sp)
{
	struct user_regs_struct *r = &sp->regs.user;
	const struct step *s = sp->mem.box.step;

	r->rax = sp->mem.box.nr;
	after_syscall(sp, space_called);
	if (sp->mem.box.given) {
		r->rax = sp->mem.box.result;
		run_done(sp);
		return;
	}
	if (!s) {
		sp->stop.reason = DET_SYSCALL;
		sp->stop.nr = r->rax;
		memcpy(sp->stop.arg, sp->mem.box.arg, sizeof(sp->stop.arg));
		r->rax = -ENOSYS;
		return;
	}
	free(sp->result);
	sp->result = malloc(sizeof(*sp->result));
	model_call(sp, s, sp->result);
	/* It may have replaced the memory that it runs in. */
	if (!sp->mem.code) {
		sp->result->ret = -EFAULT;
		sp->result->has_status = false;
		sp->result->nr_ranges = 0;
		r->rax = -EFAULT;
		fetch_fault(sp);
		return;
	}
	r->rax = sp->result->ret;
	run_done(sp);
}

static void run_trap(struct space *sp)
{
	struct user_regs_struct *r = &sp->regs.user;

	switch (r->rdi) {
	case TRAP_UD2:
		r->rip = (u64)space_ud2;
		stop_fault(sp, SIGILL, 6, r->rip, 0);
		break;
	case TRAP_INT3:
		r->rip = (u64)space_int3_after;
		stop_fault(sp, SIGTRAP, 3, 0, 0);
		break;
	case TRAP_HLT:
		r->rip = (u64)space_hlt;
		stop_fault(sp, SIGSEGV, 13, 0, 0);
		break;
	case TRAP_INT80:
		r->rip = (u64)space_int80;
		stop_fault(sp, SIGSEGV, 13, 0, 0x402);
		break;
	default:
		r->rdx = 0;
		r->rip = (u64)space_div;
		stop_fault(sp, SIGFPE, 0, r->rip, 0);
		break;
	}
}

static void run_jump(struct space *sp)
{
	struct user_regs_struct *r = &sp->regs.user;

	r->rip = r->rdi;
	r->eflags = (r->eflags & FLAGS_KEPT) | FLAGS_EQUAL;
	if (sp->regs.known & REG(orig_rax))
		sp->regs.known |= REG(eflags);
	fetch_fault(sp);
}

/* What the box says: registers, then the work. */
static void run_box(struct space *sp)
{
	struct user_regs_struct *r = &sp->regs.user;
	struct box *b = &sp->mem.box;
	u8 op = b->op;

	sp->seen = sp->regs;
	b->op = BOX_NOP;
	r->rax = op;
	r->rbx = b->out[0];
	r->rbp = b->out[1];
	r->r12 = b->out[2];
	r->r13 = b->out[3];
	r->r14 = b->out[4];
	r->r15 = b->out[5];
	r->rdi = b->arg[0];
	r->rsi = b->arg[1];
	r->rdx = b->arg[2];
	r->r10 = b->arg[3];
	r->r8 = b->arg[4];
	r->r9 = b->arg[5];
	r->rcx = 0;
	r->r11 = 0;
	sp->regs.known |= REGS_ALL & ~(REG(rsp) | REG(fs_base) | REG(gs_base) |
				       REG(orig_rax) | REG(eflags));
	switch (op) {
	case BOX_WRITE:
		return run_store(sp);
	case BOX_READ:
		return run_load(sp);
	case BOX_CALL:
		return run_call(sp);
	case BOX_TRAP:
		return run_trap(sp);
	case BOX_JUMP:
		return run_jump(sp);
	}
	r->rax = 0;
	run_done(sp);
}

/* It has been started: run until it stops. */
void model_run(struct space *sp)
{
	struct user_regs_struct *r = &sp->regs.user;
	u64 rip = r->rip;

	memset(&sp->stop, 0, sizeof(sp->stop));
	sp->notified += sp->notify;
	if (!sp->mem.code || rip < (u64)space_start || rip >= (u64)space_end) {
		fetch_fault(sp);
	} else if (rip == (u64)space_store) {
		run_store(sp);
	} else if (rip == (u64)space_load) {
		run_load(sp);
	} else if (rip == (u64)space_called) {
		run_done(sp);
	} else if (rip == (u64)space_int3_after) {
		r->rax = 0;
		run_done(sp);
	} else if (rip == (u64)space_div || rip == (u64)space_ud2 ||
		   rip == (u64)space_hlt || rip == (u64)space_int80) {
		run_trap(sp);
	} else {
		run_box(sp);
	}
}
