/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Deterministic processes: what happens to spaces, for tracing.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM deterministic

#if !defined(_TRACE_DETERMINISTIC_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_DETERMINISTIC_H

#include <linux/tracepoint.h>

TRACE_EVENT(det_start,
	TP_PROTO(pid_t pid, u64 number),
	TP_ARGS(pid, number),
	TP_STRUCT__entry(
		__field(pid_t, pid)
		__field(u64, number)
	),
	TP_fast_assign(
		__entry->pid = pid;
		__entry->number = number;
	),
	TP_printk("pid=%d child=%llu", __entry->pid, __entry->number)
);

TRACE_EVENT(det_stop,
	TP_PROTO(pid_t pid, u64 number, u32 reason, u64 value),
	TP_ARGS(pid, number, reason, value),
	TP_STRUCT__entry(
		__field(pid_t, pid)
		__field(u64, number)
		__field(u32, reason)
		__field(u64, value)
	),
	TP_fast_assign(
		__entry->pid = pid;
		__entry->number = number;
		__entry->reason = reason;
		__entry->value = value;
	),
	TP_printk("pid=%d child=%llu reason=%u value=%llu", __entry->pid,
		  __entry->number, __entry->reason, __entry->value)
);

TRACE_EVENT(det_copy,
	TP_PROTO(pid_t pid, u64 number, unsigned long pages,
		 unsigned long bytes, int result),
	TP_ARGS(pid, number, pages, bytes, result),
	TP_STRUCT__entry(
		__field(pid_t, pid)
		__field(u64, number)
		__field(unsigned long, pages)
		__field(unsigned long, bytes)
		__field(int, result)
	),
	TP_fast_assign(
		__entry->pid = pid;
		__entry->number = number;
		__entry->pages = pages;
		__entry->bytes = bytes;
		__entry->result = result;
	),
	TP_printk("pid=%d child=%llu pages=%lu bytes=%lu result=%d",
		  __entry->pid, __entry->number, __entry->pages,
		  __entry->bytes, __entry->result)
);

TRACE_EVENT(det_snap,
	TP_PROTO(pid_t pid, u64 number, unsigned long pages),
	TP_ARGS(pid, number, pages),
	TP_STRUCT__entry(
		__field(pid_t, pid)
		__field(u64, number)
		__field(unsigned long, pages)
	),
	TP_fast_assign(
		__entry->pid = pid;
		__entry->number = number;
		__entry->pages = pages;
	),
	TP_printk("pid=%d child=%llu pages=%lu", __entry->pid,
		  __entry->number, __entry->pages)
);

TRACE_EVENT(det_merge,
	TP_PROTO(pid_t pid, u64 number, unsigned long pages,
		 unsigned long bytes, unsigned long conflicts),
	TP_ARGS(pid, number, pages, bytes, conflicts),
	TP_STRUCT__entry(
		__field(pid_t, pid)
		__field(u64, number)
		__field(unsigned long, pages)
		__field(unsigned long, bytes)
		__field(unsigned long, conflicts)
	),
	TP_fast_assign(
		__entry->pid = pid;
		__entry->number = number;
		__entry->pages = pages;
		__entry->bytes = bytes;
		__entry->conflicts = conflicts;
	),
	TP_printk("pid=%d child=%llu pages=%lu bytes=%lu conflicts=%lu",
		  __entry->pid, __entry->number, __entry->pages,
		  __entry->bytes, __entry->conflicts)
);

/*
 * A change of an address space ends, and somebody waits to look at it (or to
 * change it), such as a reader of /proc/PID/maps.
 */
TRACE_EVENT(det_contended,
	TP_PROTO(const struct mm_struct *mm),
	TP_ARGS(mm),
	TP_STRUCT__entry(
		__field(const struct mm_struct *, mm)
	),
	TP_fast_assign(
		__entry->mm = mm;
	),
	TP_printk("mm=%p", __entry->mm)
);

#endif /* _TRACE_DETERMINISTIC_H */

#include <trace/define_trace.h>
