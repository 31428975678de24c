// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The notes of a core file: a member as a debugger knows processes, with one thread. Its
 * registers are its own; the auxiliary vector and the files are its program's.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/procfs.h>
#include <unistd.h>

#include "internal.h"

static void write_note(unsigned int type, const void *data, size_t size, FILE *to)
{
	static const char name[8] = "CORE", zeros[4];
	Elf64_Nhdr nh = { .n_namesz = 5, .n_descsz = size, .n_type = type };

	fwrite(&nh, sizeof(nh), 1, to);
	fwrite(name, sizeof(name), 1, to);
	fwrite(data, 1, size, to);
	fwrite(zeros, 1, -size % 4, to);
}

/* The signal that an ordinary process would have got; 0: it has stopped by itself. */
static int signal_of(const struct det_failure *failure)
{
	if (failure->kind != DET_FAILED_STOP)
		return 0;
	if (failure->result.status.reason == DET_SYSCALL)
		return SIGSYS;
	return failure->result.status.reason == DET_FAULT ? failure->result.status.sig : 0;
}

static void write_status(const struct det_failure *failure, FILE *to)
{
	struct elf_prstatus status = {
		.pr_info.si_signo = signal_of(failure),
		.pr_cursig = signal_of(failure),
		.pr_pid = getpid(),
		.pr_fpvalid = 1,
	};
	siginfo_t info = { .si_signo = signal_of(failure), .si_code = SI_KERNEL };

	memcpy(&status.pr_reg, &failure->regs, sizeof(failure->regs));
	write_note(NT_PRSTATUS, &status, sizeof(status), to);
	write_note(NT_FPREGSET, &failure->fpregs, sizeof(failure->fpregs), to);
	info.si_addr = (void *)failure->result.status.addr;
	write_note(NT_SIGINFO, &info, sizeof(info), to);
}

static size_t read_file(const char *path, void *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, buf, size);

	if (fd >= 0)
		close(fd);
	return n < 0 ? 0 : n;
}

static void write_program(FILE *to)
{
	struct elf_prpsinfo info = { .pr_sname = 'T', .pr_pid = getpid() };
	size_t n = read_file("/proc/self/cmdline", info.pr_psargs,
			     sizeof(info.pr_psargs) - 1);

	for (size_t i = 0; i + 1 < n; i++)
		if (info.pr_psargs[i] == '\0')
			info.pr_psargs[i] = ' ';
	snprintf(info.pr_fname, sizeof(info.pr_fname), "%.15s", program_invocation_short_name);
	write_note(NT_PRPSINFO, &info, sizeof(info), to);
}

/* A space has no vDSO. */
static void write_auxv(FILE *to)
{
	Elf64_auxv_t auxv[64];
	size_t size = read_file("/proc/self/auxv", auxv, sizeof(auxv));

	for (size_t i = 0; i < size / sizeof(auxv[0]); i++)
		if (auxv[i].a_type == AT_SYSINFO_EHDR)
			auxv[i].a_type = AT_IGNORE;
	write_note(NT_AUXV, auxv, size, to);
}

static void write_files(const struct det_mapped_file *file, size_t nr, FILE *to)
{
	uint64_t head[2] = { 0, 4096 };
	char *data = NULL;
	size_t size;
	FILE *note = open_memstream(&data, &size);

	if (!note)
		return;
	for (size_t i = 0; i < nr; i++)
		head[0] += file[i].used;
	fwrite(head, sizeof(head), 1, note);
	for (size_t i = 0; i < nr; i++) {
		uint64_t entry[3] = { file[i].area.start, file[i].area.end,
				      file[i].offset / 4096 };

		if (file[i].used)
			fwrite(entry, sizeof(entry), 1, note);
	}
	for (size_t i = 0; i < nr; i++)
		if (file[i].used)
			fwrite(file[i].name, strlen(file[i].name) + 1, 1, note);
	if (fclose(note) == 0)
		write_note(NT_FILE, data, size, to);
}

void det_write_notes(const struct det_failure *failure,
		     const struct det_mapped_file *file, size_t nr_files, FILE *to)
{
	write_status(failure, to);
	write_program(to);
	write_auxv(to);
	write_files(file, nr_files, to);
}
