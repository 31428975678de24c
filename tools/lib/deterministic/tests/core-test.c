// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What is left of a member that has failed: the backtrace of the report, and the core
 * file, with the member's own memory. Each program is executed anew, to have its options.
 */
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "check.h"

#define GDB	"/usr/bin/gdb"

/* Not static: gdb prints them, and nobody else reads them. */
int number = 1;
char untouched[1 << 20];
char *used;

static char options[256], core_path[256];

/* A debugger shows these; none of them is compiled away. */
#define CALLED	__attribute__((noinline, noclone))

enum { INNER = __LINE__ + 4, MIDDLE = __LINE__ + 11, OUTER = __LINE__ + 18 };

static CALLED void inner(volatile int *p)
{
	*p = 1;
	number++;
}

/* What comes after the call keeps it from being a jump. */
static CALLED void middle(volatile int *p)
{
	inner(p);
	number++;
}

static CALLED void *outer(void *p)
{
	number = 77;
	middle(p);
	number++;
	return p;
}

static void faulting(void)
{
	det_t t;

	det_create(&t, outer, (void *)8);
	det_join(t, NULL);
}

static void *faulting_member(void *arg)
{
	faulting();
	return arg;
}

static void faulting_below(void)
{
	det_t t;

	det_create(&t, faulting_member, NULL);
	det_join(t, NULL);
}

static CALLED int dig(volatile int *p)
{
	volatile int hole[4096];

	hole[0] = *p;
	return *p == -1 ? 0 : dig(hole) + hole[0];
}

static void *dig_deep(void *arg)
{
	number = dig(&number);
	return arg;
}

static void overflowing(void)
{
	det_t t;

	det_create(&t, dig_deep, NULL);
	det_join(t, NULL);
}

static void *call_nobody(void *nobody)
{
	((void (*)(void))nobody)();
	number++;
	return NULL;
}

static void calling_nobody(void)
{
	det_t t;

	det_create(&t, call_nobody, NULL);
	det_join(t, NULL);
}

static void *write_number(void *arg)
{
	number = 5;
	return arg;
}

static void conflicting(void)
{
	det_t t;

	det_create(&t, write_number, NULL);
	number = 6;
	det_join(t, NULL);
}

/* A team's number 1, after a barrier. */
static void member(void *arg)
{
	det_barrier();
	if (det_id() == 1)
		outer(arg);
	number++;
}

static void faulting_team(void)
{
	det_parallel(2, member, (void *)8);
}

static const struct {
	const char *name;
	void (*run)(void);
} program[] = {
	{ "faulting", faulting },
	{ "below", faulting_below },
	{ "overflowing", overflowing },
	{ "nobody", calling_nobody },
	{ "conflicting", conflicting },
	{ "team", faulting_team },
	{ NULL, NULL },
};

static void run_named(const char *name)
{
	/* Little of much. */
	used = mmap(NULL, 4UL << 30, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	memcpy(used + (3UL << 30), "far", 4);
	for (int i = 0; program[i].name; i++)
		if (strcmp(program[i].name, name) == 0)
			program[i].run();
}

/* Each is executed with the options as they are now. */
static void execute(const char *name)
{
	setenv("DET_OPTIONS", options, 1);
	execl("/proc/self/exe", "core-test", name, (char *)NULL);
}

#define EXECUTE(function, name)	\
	static void function(void) { execute(name); }

EXECUTE(execute_faulting, "faulting")
EXECUTE(execute_below, "below")
EXECUTE(execute_overflowing, "overflowing")
EXECUTE(execute_nobody, "nobody")
EXECUTE(execute_conflicting, "conflicting")
EXECUTE(execute_team, "team")

/* As if the disk were full after so much. */
static void execute_limited(void)
{
	struct rlimit limit = { 65536, 65536 };

	setrlimit(RLIMIT_FSIZE, &limit);
	execute("faulting");
}

static struct outcome outcome;

static bool says(const char *words)
{
	return strstr(outcome.text, words);
}

/* Says all of it where a check has failed. */
static void run_checked(void (*program)(void), int status)
{
	static unsigned int before;

	if (failed > before)
		printf("it says:\n%s", outcome.text);
	before = failed;
	run_program(program, &outcome);
	CHECK(outcome.status == status);
}

static bool has_libdw(void)
{
	return !is_static() && !access("/usr/lib/x86_64-linux-gnu/libdw.so.1", R_OK);
}

static void test_backtrace(void)
{
	char calls[256];

	options[0] = '\0';
	run_checked(execute_faulting, 66);
	if (!has_libdw()) {
		CHECK(says("  in inner()+"));
		CHECK(says("  for a backtrace: "));
		return;
	}
	snprintf(calls, sizeof(calls),
		 "  in inner() at core-test.c:%d\n"
		 "  called from middle() at core-test.c:%d\n"
		 "  called from outer() at core-test.c:%d\n", INNER, MIDDLE, OUTER);
	CHECK(says(calls) && says(": outer(), created in "));
	run_checked(execute_below, 66);
	CHECK(says(calls) && !says("begin()") && says("member 0: outer(), created in "));
	run_checked(execute_team, 66);
	CHECK(says(calls) && says("  called from member() at core-test.c:"));
	CHECK(!says("team.c") && !says("child.c"));
	run_checked(execute_overflowing, 66);
	CHECK(says("  in dig() at core-test.c:"));
	CHECK(says("  called from dig() at core-test.c:"));
	CHECK(says("  called from more functions than are shown here\n"));
	run_checked(execute_nobody, 66);
	CHECK(says("  in an unknown function\n"
		   "  called from call_nobody() at core-test.c:"));
}

static bool read_at(int fd, void *to, size_t len, size_t at)
{
	return pread(fd, to, len, at) == (ssize_t)len;
}

/* What the core file has at an address. */
static bool read_core(const void *from, void *to, size_t len)
{
	int fd = open(core_path, O_RDONLY);
	uintptr_t addr = (uintptr_t)from;
	bool found = false;
	Elf64_Ehdr eh;
	Elf64_Phdr ph;

	if (fd < 0)
		return false;
	if (!read_at(fd, &eh, sizeof(eh), 0) || eh.e_type != ET_CORE)
		eh.e_phnum = 0;
	for (int i = 0; i < eh.e_phnum && !found; i++)
		found = read_at(fd, &ph, sizeof(ph), eh.e_phoff + i * sizeof(ph)) &&
			ph.p_type == PT_LOAD && addr >= ph.p_vaddr &&
			addr + len <= ph.p_vaddr + ph.p_filesz &&
			read_at(fd, to, len, ph.p_offset + addr - ph.p_vaddr);
	close(fd);
	return found;
}

static int number_in_core(void)
{
	int value;

	return read_core(&number, &value, sizeof(value)) ? value : -1;
}

/* What gdb makes of it, in an outcome's text. */
static void debug(void)
{
	char exe[256] = "";

	unsetenv("DET_OPTIONS");
	if (readlink("/proc/self/exe", exe, sizeof(exe) - 1) < 0)
		return;
	/* The guest is slow at reading what gdb knows of the C library. */
	execl(GDB, "gdb", "-nx", "-batch", "-iex", "set auto-load off",
	      "-iex", "set debug-file-directory /nowhere",
	      "-iex", "set auto-solib-add off", "-ex", "bt", "-ex", "print number",
	      "-ex", "x/s used + 3221225472", exe, core_path, (char *)NULL);
}

static void test_gdb(void)
{
	run_checked(debug, 0);
	CHECK(says("Program terminated with signal SIGSEGV"));
	CHECK(says("#0  inner (p="));
	CHECK(says("in middle (p="));
	CHECK(says("in outer (p=0x8) at "));
	CHECK(says("in begin () at ") && !says("in ?? ()"));
	CHECK(says("$1 = 77\n"));
	CHECK(says("\"far\"\n"));
}

static void test_memory(void)
{
	char text[4], page[4096], *mapped;
	struct stat st;

	CHECK(number_in_core() == 77);
	CHECK(read_core(untouched + 8192, page, sizeof(page)) && !page[0]);
	CHECK(read_core(&used, &mapped, sizeof(mapped)) &&
	      read_core(mapped + (3UL << 30), text, 4) && !strcmp(text, "far"));
	CHECK(stat(core_path, &st) == 0 && (st.st_mode & 0777) == 0600 &&
	      st.st_blocks < 16384 && st.st_size < 1 << 30);
}

static void test_core(const char *dir)
{
	char words[600];

	snprintf(options, sizeof(options), "core=%s", dir);
	snprintf(core_path, sizeof(core_path), "%s/core-test.member-0.core", dir);
	snprintf(words, sizeof(words), "  core file: %s\nSUMMARY: ", core_path);
	run_checked(execute_faulting, 66);
	CHECK(says(words));
	test_memory();
	if (access(GDB, X_OK) == 0)
		test_gdb();
	/* It is another one each time. */
	run_checked(execute_conflicting, 66);
	CHECK(says(words) && number_in_core() == 5);
	run_checked(execute_below, 66);
	CHECK(says(words) && number_in_core() == 77);
	unlink(core_path);
	*strrchr(core_path, '0') = '1';
	run_checked(execute_team, 66);
	CHECK(says("member-1.core\nSUMMARY: ") && number_in_core() == 77);
	unlink(core_path);
}

static void no_core(char *words, size_t size, const char *dir, int error)
{
	snprintf(words, size, "  no core file %s/core-test.member-0.core: %s\nSUMMARY: ",
		 dir, strerror(error));
}

static void test_errors(const char *dir)
{
	char words[600];

	no_core(words, sizeof(words), dir, EFBIG);
	run_checked(execute_limited, 66);
	CHECK(says(words));
	CHECK(rmdir(dir) == 0);
	no_core(words, sizeof(words), dir, ENOENT);
	run_checked(execute_faulting, 66);
	CHECK(says(words) && says("  in inner()"));
	snprintf(options, sizeof(options), "core=");
	run_checked(execute_faulting, 66);
	CHECK(says("libdet: DET_OPTIONS: core=: known are "));
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/core-test-XXXXXX";

	if (argc > 1) {
		run_named(argv[1]);
		return 0;
	}
	if (no_spaces())
		return 0;
	test_backtrace();
	if (!mkdtemp(dir))
		return 1;
	test_core(dir);
	test_errors(dir);
	if (failed)
		printf("it says:\n%s", outcome.text);
	return verdict();
}
