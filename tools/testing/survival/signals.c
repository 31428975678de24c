// SPDX-License-Identifier: GPL-2.0-only
/*
 * Spaces that fault all the time, each in its own way, while another process
 * sends them signals of the same numbers, and timers of their master expire:
 * each status and each register is that of the real fault, every time.
 *
 *	signals [-t seconds] [-s seed]
 *
 * What is right is what the same code has shown before the first signal.
 */
#include "../selftests/deterministic/common.h"

#include <sys/time.h>
#include <sys/prctl.h>

#define ROUNDS 10	/* of a space's life; signals come while it is made, too */

/* Runs for a while first, so that signals come before the fault and during. */
#define FAULT(name, setup, insn) \
	BLOB(name, "1: dec %rbx\njns 1b\n" setup "\n" insn "\n" ASM_EXIT)

#define TO_DATA "mov $0x20000000, %eax\n"
#define SSE_SET "sub $16, %rsp\nmovl $0x1d80, (%rsp)\nldmxcsr (%rsp)\n" \
	"mov $0x3f800000, %eax\nmovd %eax, %xmm0\nxorps %xmm1, %xmm1"

FAULT(f_read, "mov $0x30000123, %eax", "mov (%rax), %ecx");
FAULT(f_write, "mov $0x30000ff0, %eax", "mov %ecx, (%rax)");
FAULT(f_exec, "mov $0x30000000, %eax", "jmp *%rax");
FAULT(f_jump_data, TO_DATA, "jmp *%rax");
FAULT(f_div, "xor %eax, %eax\nxor %edx, %edx\nxor %ecx, %ecx", "div %ecx");
FAULT(f_ud2, "", "ud2");
FAULT(f_int3, "", "int3");
FAULT(f_step, "pushf\norl $0x100, (%rsp)\npopf", "nop");
FAULT(f_hlt, "", "hlt");
FAULT(f_rdtsc, "", "rdtsc");
FAULT(f_int80, "", "int $0x80");
FAULT(f_noncanonical, "mov $0x8000000000000000, %rax", "mov (%rax), %ecx");
FAULT(f_align, TO_DATA "pushf\norl $0x40000, (%rsp)\npopf", "mov 1(%rax), %ecx");
FAULT(f_sse, SSE_SET, "divss %xmm1, %xmm0");
FAULT(f_call, "mov $39, %eax", "syscall");
FAULT(f_ret, "mov $77, %edi\nmov $550, %eax", "syscall");

#define ROW(name, sig, trap) { #name, name, &name##_size, DET_FAULT, sig, trap }

static const struct row {
	const char *name, *code;
	const size_t *len;
	unsigned int reason;
	int sig, trap;
} rows[] = {
	ROW(f_read, SIGSEGV, 14),
	ROW(f_write, SIGSEGV, 14),
	ROW(f_exec, SIGSEGV, 14),
	ROW(f_jump_data, SIGSEGV, 14),
	ROW(f_div, SIGFPE, 0),
	ROW(f_ud2, SIGILL, 6),
	ROW(f_int3, SIGTRAP, 3),
	ROW(f_step, SIGTRAP, 1),
	ROW(f_hlt, SIGSEGV, 13),
	ROW(f_rdtsc, SIGSEGV, 13),
	ROW(f_int80, SIGSEGV, 13),
	ROW(f_noncanonical, SIGSEGV, 13),
	ROW(f_align, SIGBUS, 17),
	ROW(f_sse, SIGFPE, 19),
	{ "f_call", f_call, &f_call_size, DET_SYSCALL, 0, 0 },
	{ "f_ret", f_ret, &f_ret_size, DET_RET, 0, 0 },
};

#define NR ((int)ARRAY_SIZE(rows))

/* What a space shows when it has stopped. */
struct stop {
	struct det_status st;
	struct user_regs_struct regs;
};

static struct shared {
	volatile bool end;
	pid_t group;			/* the master's, with its spaces */
	pid_t space[NR];
	unsigned long sent, sent_group, pending;
	unsigned long caught, interrupted;
	unsigned long faults[NR], wrong[NR];
	bool left_out[NR];		/* not raised on this machine */
} *shared;

static struct stop right[NR];
static unsigned long seconds = 10, seed = 1;

static unsigned int any(unsigned long *random, unsigned int n)
{
	*random = *random * 6364136223846793005UL + 1442695040888963407UL;
	return (*random >> 33) % n;
}

static void add(unsigned long *count, unsigned long n)
{
	__atomic_fetch_add(count, n, __ATOMIC_RELAXED);
}

/* --- The master --- */

static struct user_regs_struct first_regs(unsigned int spin)
{
	struct user_regs_struct regs = blob_regs();

	regs.rbx = spin;
	return regs;
}

/*
 * With SA_RESTART only the last wait is interrupted: the space was started, and
 * is waited for once more.
 */
static long run(__u64 child, struct user_regs_struct *regs, struct stop *s)
{
	struct det_args a = args_of(DET_START | DET_WAIT, NULL, 0, NULL);
	long ret;

	memset(s, 0, sizeof(*s));
	args_regs(&a, regs);
	ret = dput(child, &a);
	if (ret && ret != -EINTR)
		return ret;
	add(&shared->interrupted, ret == -EINTR);
	a = args_of(0, NULL, 0, &s->st);
	args_regs(&a, &s->regs);
	while ((ret = dget(child, &a)) == -EINTR)
		add(&shared->interrupted, 1);
	return ret;
}

static long make(int i)
{
	long ret;

	ret = make_blob(i, rows[i].code, *rows[i].len);
	shared->space[i] = ret ? 0 : space_pid(getpid(), i);
	return ret;
}

static long unmake(int i)
{
	shared->space[i] = 0;
	return kill_child(i);
}

static bool is_right(int i, const struct stop *s)
{
	struct stop want = right[i];

	return !memcmp(&want.st, &s->st, sizeof(s->st)) &&
	       !memcmp(&want.regs, &s->regs, sizeof(s->regs));
}

/* Before anybody sends anything: what is right, as the table has it. */
static void learn(int i)
{
	struct user_regs_struct regs = first_regs(10);
	const struct row *r = &rows[i];
	struct stop *s = &right[i];

	if (make(i) || run(i, &regs, s) || unmake(i))
		shared->left_out[i] = true;
	if (s->st.reason != r->reason || s->st.sig != r->sig ||
	    s->st.trap != r->trap)
		shared->left_out[i] = true;
}

static void one_fault(int i, unsigned long *random)
{
	struct user_regs_struct regs = first_regs(any(random, 200000));
	struct stop s;
	long ret = run(i, &regs, &s);

	add(&shared->faults[i], 1);
	if (!ret && is_right(i, &s))
		return;
	if (!shared->wrong[i]) {
		fprintf(stderr, "# %s: %ld, rip %#llx\n", rows[i].name, ret,
			(unsigned long long)s.regs.rip);
		print_status(&s.st);
	}
	add(&shared->wrong[i], 1);
}

/* One space after the other, each for some rounds. */
static void fault_for_ever(unsigned long *random)
{
	int i, n;

	for (i = 0; !shared->end; i = (i + 1) % NR) {
		if (shared->left_out[i])
			continue;
		if (make(i))
			add(&shared->wrong[i], 1);
		for (n = 0; n < ROUNDS && !shared->end; n++)
			one_fault(i, random);
		if (unmake(i))
			add(&shared->wrong[i], 1);
	}
}

/* The master lives with what its spaces never see, but not with its own. */
static void on_signal(int sig, siginfo_t *info, void *context)
{
	if (info->si_code > 0 && info->si_code != SI_KERNEL &&
	    (sig == SIGSEGV || sig == SIGBUS || sig == SIGILL || sig == SIGFPE))
		_exit(97);
	add(&shared->caught, 1);
}

static void catch_all(void)
{
	struct sigaction sa = { .sa_sigaction = on_signal,
				.sa_flags = SA_SIGINFO | SA_RESTART };
	int sig;

	for (sig = 1; sig <= 64; sig++)
		sigaction(sig, &sa, NULL);
}

/* Whatever expires in a master is the master's. */
static void start_timers(void)
{
	struct itimerval every = { { 0, 70000 }, { 0, 70000 } };
	struct itimerspec often = { { 0, 50000000 }, { 0, 50000000 } };
	struct sigevent group = { .sigev_notify = SIGEV_SIGNAL,
				  .sigev_signo = SIGSEGV };
	struct sigevent thread = { .sigev_notify = SIGEV_THREAD_ID,
				   .sigev_signo = SIGTRAP };
	timer_t timer;

	setitimer(ITIMER_REAL, &every, NULL);
	setitimer(ITIMER_VIRTUAL, &every, NULL);
	setitimer(ITIMER_PROF, &every, NULL);
	if (!timer_create(CLOCK_MONOTONIC, &group, &timer))
		timer_settime(timer, 0, &often, NULL);
	thread._sigev_un._tid = gettid_();
	if (!timer_create(CLOCK_PROCESS_CPUTIME_ID, &thread, &timer))
		timer_settime(timer, 0, &often, NULL);
}

static int master(void)
{
	unsigned long random = seed;
	int i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpgid(0, 0);
	for (i = 0; i < NR; i++)
		learn(i);
	catch_all();
	start_timers();
	__atomic_store_n(&shared->group, getpid(), __ATOMIC_RELEASE);
	fault_for_ever(&random);
	return 0;
}

/* --- The sender --- */

static siginfo_t forged(int sig, unsigned long *random)
{
	static const int codes[] = { SI_QUEUE, SI_TIMER, SI_MESGQ, SI_ASYNCIO,
				     SI_SIGIO };
	siginfo_t info = { .si_signo = sig };

	info.si_code = codes[any(random, ARRAY_SIZE(codes))];
	info.si_addr = (void *)0x12345678UL;
	return info;
}

static long send_one(pid_t pid, int sig, unsigned long *random)
{
	siginfo_t info = forged(sig, random);

	switch (any(random, 5)) {
	case 0:
		return syscall(SYS_kill, pid, sig);
	case 1:
		return syscall(SYS_tgkill, pid, pid, sig);
	case 2:
		return syscall(SYS_rt_sigqueueinfo, pid, sig, &info);
	case 3:
		return syscall(SYS_rt_tgsigqueueinfo, pid, pid, sig, &info);
	default:
		return syscall(SYS_tkill, pid, sig);
	}
}

/* The numbers that faults have, mostly. */
static int any_signal(unsigned long *random)
{
	static const int same[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP,
				    SIGSYS };
	int sig;

	if (any(random, 4))
		return same[any(random, ARRAY_SIZE(same))];
	do {
		sig = 1 + any(random, 64);
	} while (sig == SIGKILL || sig == SIGSTOP || sig == SIGTSTP ||
		 sig == SIGCONT);
	return sig;
}

/* The master, too: it catches all but two, which are the C library's. */
static void send_to_group(unsigned long *random)
{
	int sig = any_signal(random);

	if (sig != 32 && sig != 33)
		add(&shared->sent_group, !kill(-shared->group, sig));
}

static void look_at_pending(pid_t pid)
{
	static const char * const keys[] = { "SigPnd", "ShdPnd" };
	unsigned long bits, harmless = 1UL << (SIGKILL - 1);
	char val[64];
	int i;

	for (i = 0; i < 2; i++) {
		if (!pid_line(pid, keys[i], val, sizeof(val)))
			continue;
		bits = strtoul(val, NULL, 16) & ~harmless;
		if (bits && pid_line(pid, "DetChild", val, sizeof(val)))
			add(&shared->pending, 1);
	}
}

static int sender(void)
{
	unsigned long random = seed + 1;
	unsigned int n;
	pid_t pid;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!shared->end) {
		pid = shared->space[any(&random, NR)];
		for (n = any(&random, 20); pid && n; n--)
			add(&shared->sent, !send_one(pid, any_signal(&random),
						     &random));
		if (pid && !any(&random, 8))
			look_at_pending(pid);
		if (!any(&random, 16) && shared->group)
			send_to_group(&random);
		if (!any(&random, 4))
			usleep(any(&random, 500));
	}
	return 0;
}

/* --- The results, in TAP --- */

static int nr_tests, nr_failed;

static void result(bool ok, const char *what, const char *name,
		   unsigned long n)
{
	printf("%sok %d %s%s: %lu\n", ok ? "" : "not ", ++nr_tests, what, name,
	       n);
	nr_failed += !ok;
}

static void report(int status)
{
	unsigned long faults = 0;
	int i;

	for (i = 0; i < NR; i++) {
		if (!shared->faults[i]) {
			printf("ok %d # SKIP %s: %s\n", ++nr_tests, rows[i].name,
			       shared->left_out[i] ? "not on this machine" :
						     "no time");
			continue;
		}
		faults += shared->faults[i];
		result(!shared->wrong[i], "stops as before by ", rows[i].name,
		       shared->faults[i]);
	}
	result(shared->sent > 0, "signals sent to spaces", "", shared->sent);
	result(shared->sent_group > 0, "signals sent to the group", "",
	       shared->sent_group);
	result(!shared->pending, "signals left pending", "", shared->pending);
	result(shared->caught > 0, "signals that the master has caught", "",
	       shared->caught);
	result(faults > 0, "stops in all", "", faults);
	result(!status, "status of the master", "", status);
	printf("# %lu waits were interrupted\n", shared->interrupted);
}

static void wait_for_master(pid_t pid, int *status)
{
	time_t end = time(NULL) + seconds;

	while (time(NULL) < end && !waitpid(pid, status, WNOHANG))
		usleep(50000);
	shared->end = true;
	if (kill(pid, 0) == 0)
		waitpid(pid, status, 0);
}

static bool parse(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "t:s:")) != -1) {
		if (c == 't')
			seconds = strtoul(optarg, NULL, 0);
		else if (c == 's')
			seed = strtoul(optarg, NULL, 0);
		else
			return false;
	}
	return optind == argc;
}

int main(int argc, char **argv)
{
	pid_t faulting, sending;
	int status = 0;

	if (!parse(argc, argv)) {
		fprintf(stderr, "usage: signals [-t seconds] [-s seed]\n");
		return 2;
	}
	printf("TAP version 13\n");
	if (dput_raw(0, NULL, 0) == NO_CALL) {
		printf("1..0 # SKIP this kernel has no dput\n");
		return KSFT_SKIP;
	}
	shared = mmap(NULL, sizeof(*shared), PROT_RW,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	printf("1..%d\n", NR + 6);
	fflush(stdout);
	faulting = fork();
	if (!faulting)
		_exit(master());
	sending = fork();
	if (!sending)
		_exit(sender());
	wait_for_master(faulting, &status);
	waitpid(sending, NULL, 0);
	report(status);
	return nr_failed ? 1 : 0;
}
