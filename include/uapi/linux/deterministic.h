/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * Deterministic processes: the calls dput, dget and dret.
 *
 * A process (the master) has children called spaces. A space has memory and
 * registers and nothing else; its parent puts them there (dput), takes them
 * out again or merges what changed (dget), and the space stops by itself
 * with dret. After Determinator (Aviram, Weng, Hu and Ford, OSDI 2010).
 */
#ifndef _UAPI_LINUX_DETERMINISTIC_H
#define _UAPI_LINUX_DETERMINISTIC_H

#include <linux/types.h>

/* What dput(0, NULL, 0) answers. */
#define DET_VERSION		1

/* As child: the operations are on the caller alone. */
#define DET_SELF		(~0ULL)

/* Limits that are part of the contract. */
#define DET_MAX_OPS		1024
#define DET_MAX_CHILDREN	65536
#define DET_MAX_DEPTH		128

/* det_args.flags */
#define DET_REGS		(1ULL << 0)	/* registers in (dput) or out (dget) */
#define DET_FORK		(1ULL << 1)	/* dput: the caller's registers, 0 as result */
#define DET_SNAP		(1ULL << 2)	/* dput: an image of the child's memory */
#define DET_START		(1ULL << 3)	/* run */
#define DET_WAIT		(1ULL << 4)	/* and stay until the next stop */
#define DET_NOWAIT		(1ULL << 5)	/* masters: EAGAIN while the child runs */
#define DET_NOTIFY		(1ULL << 6)	/* masters: count stops in notify_fd */
#define DET_KILL		(1ULL << 7)	/* alone: child and descendants are gone */

/* det_op.op */
#define DET_COPY		1
#define DET_ZERO		2
#define DET_PERM		3
#define DET_MERGE		4

/* det_op.flags */
#define DET_COPY_WHOLE		(1U << 0)	/* all of the source, into an emptied space */
#define DET_COPY_IMAGE		(1U << 1)	/* dget: read from the child's snapshot */
#define DET_ZERO_NORESERVE	(1U << 2)	/* as MAP_NORESERVE */
#define DET_MERGE_KEEP		(1U << 4)	/* conflict: the caller's bytes stand */
#define DET_MERGE_TAKE		(1U << 5)	/* conflict: the child's bytes win */
#define DET_MERGE_GRANULE_1	(0U << 8)	/* what conflicts: the same byte changed, */
#define DET_MERGE_GRANULE_2	(1U << 8)	/* or anything in 2 aligned bytes, */
#define DET_MERGE_GRANULE_4	(2U << 8)	/* 4, */
#define DET_MERGE_GRANULE_8	(3U << 8)	/* 8 */
#define DET_MERGE_GRANULE_MASK	(3U << 8)

/*
 * det_args.require: what a space must not see. Whether this machine can close it,
 * /sys/kernel/deterministic says.
 */
#define DET_REQUIRE_TSC		(1ULL << 0)	/* RDTSC, RDTSCP, TPAUSE, UMWAIT, RDPRU */
#define DET_REQUIRE_PMC		(1ULL << 1)	/* RDPMC */
#define DET_REQUIRE_CPUID	(1ULL << 2)	/* CPUID */
#define DET_REQUIRE_CPU_NUMBER	(1ULL << 3)	/* RDPID, LSL of the CPU's segment */
#define DET_REQUIRE_TABLES	(1ULL << 4)	/* SGDT, SIDT, SLDT, STR, SMSW */
#define DET_REQUIRE_TSX		(1ULL << 5)	/* XBEGIN */
#define DET_REQUIRE_RANDOM	(1ULL << 6)	/* RDRAND, RDSEED: no such code */
#define DET_REQUIRE_XINUSE	(1ULL << 7)	/* XGETBV of 1, XSAVE's header */
#define DET_REQUIRE_SELECTOR	(1ULL << 8)	/* RPL of a null selector */
#define DET_REQUIRE_FPU_POINTERS (1ULL << 9)	/* FIP, FDP, FOP */

/* det_status.reason */
#define DET_RUNNING		0	/* not stopped */
#define DET_NEW			1	/* made, never started */
#define DET_RET			2	/* dret: value */
#define DET_FAULT		3	/* sig, trap, addr, error */
#define DET_SYSCALL		4	/* nr, arg[] */
#define DET_LIMIT		5	/* not yet */
#define DET_BROKEN		6	/* memory ran out under an operation */
#define DET_KILLED		7	/* not reproducible; KILL frees the number */

/* det_status.op where no operation failed */
#define DET_NO_OP		(~0U)

/* The error of a MERGE that found a conflict. */
#define DET_ECONFLICT		EREMCHG

/**
 * struct det_op - one operation on memory
 * @op: DET_COPY, DET_ZERO, DET_PERM or DET_MERGE
 * @flags: DET_COPY_*, DET_ZERO_*, DET_MERGE_*
 * @prot: PROT_* for DET_ZERO and DET_PERM, else 0
 * @__pad: 0
 * @caller: address in the caller, whatever the direction
 * @child: address in the child, whatever the direction
 * @len: in bytes
 */
struct det_op {
	__u32 op;
	__u32 flags;
	__u32 prot;
	__u32 __pad;
	__aligned_u64 caller;
	__aligned_u64 child;
	__aligned_u64 len;
};

/**
 * struct det_range - where a conflict is
 * @addr: first byte, as the caller addresses it
 * @len: in bytes
 */
struct det_range {
	__aligned_u64 addr;
	__aligned_u64 len;
};

/**
 * struct det_status - how a child stopped, and how far a call came
 * @reason: DET_RUNNING ... DET_KILLED
 * @op: index of the operation that failed; det_args.nr_ops where a space that
 *	must not draw random numbers was not started; else DET_NO_OP
 * @nr_done: operations done
 * @nr_ranges: conflicts written to det_args.ranges
 * @sig: DET_FAULT: the signal an ordinary process would have got
 * @trap: DET_FAULT: the CPU's exception number
 * @addr: where the operation failed, if one did; else DET_FAULT: the address
 * @error: DET_FAULT: the CPU's error code, for page faults user, write and
 *	   instruction fetch only
 * @value: DET_RET: dret's argument
 * @nr: DET_SYSCALL: its number
 * @arg: DET_SYSCALL: its arguments
 * @nr_conflicts: bytes in conflict, found by the MERGEs of this call
 * @insns: 0, for DET_LIMIT later
 */
struct det_status {
	__u32 reason;
	__u32 op;
	__u32 nr_done;
	__u32 nr_ranges;
	__s32 sig;
	__s32 trap;
	__aligned_u64 addr;
	__aligned_u64 error;
	__aligned_u64 value;
	__aligned_u64 nr;
	__aligned_u64 arg[6];
	__aligned_u64 nr_conflicts;
	__aligned_u64 insns;
};

/**
 * struct det_args - what dput and dget are asked; read, never written
 * @flags: DET_REGS ... DET_KILL
 * @ops: struct det_op[nr_ops]
 * @nr_ops: at most DET_MAX_OPS
 * @op_size: sizeof(struct det_op)
 * @regs: struct user_regs_struct, with DET_REGS; or 0
 * @xstate: XSAVE area in standard format, with DET_REGS; or 0
 * @regs_size: bytes at @regs
 * @xstate_size: bytes at @xstate
 * @status: struct det_status, or 0; written last, also after an error
 * @status_size: bytes at @status
 * @notify_fd: with DET_NOTIFY, an eventfd; -1 for none any more
 * @ranges: struct det_range[nr_ranges], or 0; where conflicts go
 * @nr_ranges: how many fit
 * @__pad: 0
 * @require: DET_REQUIRE_*: no space where this machine leaves one open
 */
struct det_args {
	__aligned_u64 flags;
	__aligned_u64 ops;
	__u32 nr_ops;
	__u32 op_size;
	__aligned_u64 regs;
	__aligned_u64 xstate;
	__u32 regs_size;
	__u32 xstate_size;
	__aligned_u64 status;
	__u32 status_size;
	__s32 notify_fd;
	__aligned_u64 ranges;
	__u32 nr_ranges;
	__u32 __pad;
	__aligned_u64 require;
};

#define DET_ARGS_SIZE_VER0	88
#define DET_OP_SIZE_VER0	40
#define DET_STATUS_SIZE_VER0	120

/* The numbers, for programs built with headers that lack them. */
#ifndef __NR_dput
#define __NR_dput		548
#define __NR_dget		549
#define __NR_dret		550
#endif

#endif /* _UAPI_LINUX_DETERMINISTIC_H */
