// SPDX-License-Identifier: GPL-2.0-only
/*
 * Deterministic processes: which sources of nondeterminism this machine closes.
 *
 * When the kernel has booted, a thread of its own becomes a master for a moment
 * and lets a space execute each instruction of arch/x86/kernel/det_cpu.c. What
 * comes of it is shown in /sys/kernel/deterministic, a file a source with one
 * word: closed, open, or absent where the CPU has no such thing; and is what
 * det_args.require is held against.
 */

#include <linux/cleanup.h>
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/deterministic.h>
#include <linux/dmem.h>
#include <linux/kobject.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/moduleparam.h>
#include <linux/sched/mm.h>
#include <linux/signal.h>
#include <linux/sysfs.h>

#include <uapi/linux/deterministic.h>

#include "det_space.h"

/* Far from zero: vm.mmap_min_addr. */
#define DET_PROBE_ADDR	0x10000000UL
#define DET_PROBE_CHILD	0

static enum det_verdict det_verdicts[DET_SOURCES] __ro_after_init;

static const char * const det_words[] = {
	[DET_OPEN] = "open",
	[DET_CLOSED] = "closed",
	[DET_ABSENT] = "absent",
	[DET_ON_REQUEST] = "on-request",
};

/**
 * det_require - can a space be had with these sources closed?
 * @sources: DET_REQUIRE_* bits
 *
 * Return: 0; -EINVAL for an unknown bit; -EOPNOTSUPP where one is open.
 */
int det_require(u64 sources)
{
	int i;

	if (!sources)
		return 0;
	if (sources & ~GENMASK_ULL(DET_SOURCES - 1, 0))
		return -EINVAL;
	for (i = 0; i < DET_SOURCES; i++)
		if (sources & BIT_ULL(i) && (det_verdicts[i] == DET_OPEN ||
					     det_opened(i)))
			return -EOPNOTSUPP;
	return 0;
}

/* Puts a program into a stopped space. */
static int det_probe_load(struct det_space *sp, const struct det_probe *p)
{
	struct user_regs_struct user = { .ip = DET_PROBE_ADDR };
	struct mm_struct *mm = get_task_mm(sp->task);
	unsigned long where;
	int ret;

	if (!mm)
		return -ESRCH;
	ret = dmem_zero(mm, DET_PROBE_ADDR, PAGE_SIZE,
			PROT_READ | PROT_WRITE | PROT_EXEC, false, &where);
	if (!ret)
		ret = dmem_write(mm, DET_PROBE_ADDR, p->code, sizeof(p->code));
	mmput(mm);
	if (!ret)
		det_regs_set(&sp->regs, &user);
	return ret;
}

static int det_probe_run(struct det_space *sp, const struct det_probe *p,
			 struct det_probed *out)
{
	int ret = det_probe_load(sp, p);

	if (!ret)
		ret = det_start(sp);
	if (!ret)
		ret = det_wait_stop(sp);
	if (ret || sp->stop.reason != DET_FAULT)
		return ret ?: -EIO;
	out->ran = true;
	out->faulted = sp->regs.user.ip != DET_PROBE_ADDR + p->end;
	out->rax = sp->regs.user.ax;
	return 0;
}

static int det_probe_all(struct det_probed *out)
{
	struct det_family *family = det_own_family(true);
	struct det_space *sp;
	int ret = 0, i;

	if (!family)
		return -ENOMEM;
	sp = det_find_or_make(family, DET_PROBE_CHILD, DET_EVERYBODY, false);
	if (IS_ERR(sp))
		return PTR_ERR(sp);
	ret = det_claim(sp, false);
	if (!ret) {
		for (i = 0; i < DET_PROBES && !ret; i++)
			ret = det_probe_run(sp, &det_probes[i], &out[i]);
		det_release(sp);
	}
	det_put_space(sp);
	det_kill(family, DET_PROBE_CHILD);
	return ret;
}

struct det_probing {
	struct det_probed out[DET_PROBES];
	struct completion done;
	int ret;
};

/* Ends with all its children, as any master. */
static int det_prober(void *arg)
{
	struct det_probing *probing = arg;
	struct mm_struct *mm = mm_alloc();

	/* A kernel thread ignores all signals, and its child would, too. */
	kernel_sigaction(SIGKILL, SIG_DFL);
	probing->ret = -ENOMEM;
	if (mm) {
		mm->task_size = TASK_SIZE_MAX;
		kthread_use_mm(mm);
		probing->ret = det_probe_all(probing->out);
		kthread_unuse_mm(mm);
		mmput(mm);
	}
	complete(&probing->done);
	return 0;
}

/* On the CPU with the greatest number: that of the first one says nothing. */
static int __init det_probe_machine(struct det_probing *probing)
{
	struct task_struct *task;

	task = kthread_create(det_prober, probing, "det_probe");
	if (IS_ERR(task))
		return PTR_ERR(task);
	set_cpus_allowed_ptr(task, cpumask_of(cpumask_last(cpu_online_mask)));
	init_completion(&probing->done);
	/* Not kthread_stop(): it looks like a signal, and ends waits. */
	wake_up_process(task);
	wait_for_completion(&probing->done);
	return probing->ret;
}

/*
 * /sys/kernel/deterministic
 */

static ssize_t det_show(struct kobject *kobj, struct kobj_attribute *attr,
			char *buf);

#define DET_FILE(_name)	{ .attr = { .name = _name, .mode = 0444 }, \
			  .show = det_show }

static struct kobj_attribute det_files[DET_SOURCES] = {
	[DET_SOURCE_TSC] = DET_FILE("tsc"),
	[DET_SOURCE_PMC] = DET_FILE("pmc"),
	[DET_SOURCE_CPUID] = DET_FILE("cpuid"),
	[DET_SOURCE_CPU_NUMBER] = DET_FILE("cpu_number"),
	[DET_SOURCE_TABLES] = DET_FILE("tables"),
	[DET_SOURCE_TSX] = DET_FILE("tsx"),
	[DET_SOURCE_RANDOM] = DET_FILE("random"),
	[DET_SOURCE_XINUSE] = DET_FILE("xinuse"),
	[DET_SOURCE_SELECTOR] = DET_FILE("selector"),
	[DET_SOURCE_FPU_POINTERS] = DET_FILE("fpu_pointers"),
};

static ssize_t det_show(struct kobject *kobj, struct kobj_attribute *attr,
			char *buf)
{
	enum det_source source = attr - det_files;
	enum det_verdict verdict = det_verdicts[source];

	if (det_opened(source))
		verdict = DET_OPEN;
	return sysfs_emit(buf, "%s\n", det_words[verdict]);
}

static int __init det_make_files(void)
{
	struct kobject *kobj = kobject_create_and_add("deterministic",
						      kernel_kobj);
	int ret = kobj ? 0 : -ENOMEM, i;

	for (i = 0; i < DET_SOURCES && !ret; i++)
		ret = sysfs_create_file(kobj, &det_files[i].attr);
	return ret;
}

static int __init det_probe_init(void)
{
	struct det_probing *probing __free(kfree) =
		kzalloc(sizeof(*probing), GFP_KERNEL);
	struct det_cpu cpu = { };
	int ret = -ENOMEM, i;

	det_cpu_facts(&cpu);
	if (probing)
		ret = det_probe_machine(probing);
	if (ret) {
		pr_warn("deterministic: the machine could not be probed (%d): all sources count as open\n",
			ret);
	} else {
		for (i = 0; i < DET_SOURCES; i++)
			det_verdicts[i] = det_cpu_verdict(i, &cpu,
							  probing->out);
	}
	return det_make_files();
}
late_initcall_sync(det_probe_init);

#ifdef CONFIG_DETERMINISTIC_OPEN
unsigned int det_open;

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "deterministic."
module_param_named(open, det_open, uint, 0644);
MODULE_PARM_DESC(open, "DET_REQUIRE_* bits of sources that are left open, for tests");
#endif
