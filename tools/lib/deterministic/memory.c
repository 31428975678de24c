// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What a join merges: the private writable memory of the program, without
 * what each side has to itself.
 *
 * Left out are stacks, thread-local data, the static data of the C library and
 * its companions, and this library's own. In a statically linked program the
 * C library's data lies among the program's and cannot be told from it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

struct det_state det_state;

/* Takes [start, end) out of the list; what was one area can become two. */
static int leave_out(uintptr_t start, uintptr_t end)
{
	struct det_area *area = det_state.merge;
	unsigned int nr = det_state.nr_merge, kept = 0;
	struct det_area right = { 0, 0 };

	for (unsigned int i = 0; i < nr; i++) {
		struct det_area a = area[i];

		if (a.end <= start || end <= a.start) {
			area[kept++] = a;
			continue;
		}
		if (a.start < start && end < a.end) {
			/* Only one area can hold all of it. */
			if (nr == DET_MAX_OPS) {
				errno = E2BIG;
				return -1;
			}
			right = (struct det_area){ end, a.end };
			memmove(area + i + 2, area + i + 1,
				(nr - i - 1) * sizeof(*area));
			area[i] = (struct det_area){ a.start, start };
			area[i + 1] = right;
			det_state.nr_merge++;
			return 0;
		}
		if (a.start < start)
			area[kept++] = (struct det_area){ a.start, start };
		else if (end < a.end)
			area[kept++] = (struct det_area){ end, a.end };
	}
	det_state.nr_merge = kept;
	return 0;
}

/* One line of /proc/self/maps: "start-end perm offset dev inode   name". */
static int add_mapping(const char *line)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	struct det_area a;
	char *s;

	a.start = strtoul(line, &s, 16);
	a.end = strtoul(s + 1, &s, 16);
	if (strncmp(s, " rw", 3) != 0 || s[4] != 'p')
		return 0;
	if (strstr(s, "[stack]") || (a.start <= here && here < a.end))
		return 0;
	if (strstr(s, "[heap]"))
		det_state.heap = a;
	if (det_state.nr_merge == DET_MAX_OPS) {
		errno = E2BIG;
		return -1;
	}
	det_state.merge[det_state.nr_merge++] = a;
	return 0;
}

/* No stdio: its buffers would come and go in the heap that is looked at. */
static int add_mappings(int fd)
{
	char buf[4096], line[256];
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] != '\n') {
				/* The end of a long name is of no interest. */
				if (len < sizeof(line) - 1)
					line[len++] = buf[i];
				continue;
			}
			line[len] = '\0';
			len = 0;
			if (add_mapping(line) < 0)
				return -1;
		}
	}
	return n;
}

static bool is_of_libc(const char *path)
{
	static const char *const prefix[] = {
		"ld-linux", "libc.so", "libm.so", "libpthread.so", "libdl.so",
		"librt.so", "libgcc_s.so", "libstdc++.so", NULL
	};
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	for (int i = 0; prefix[i]; i++)
		if (strncmp(name, prefix[i], strlen(prefix[i])) == 0)
			return true;
	return false;
}

/* Leaves out an object's thread-local data; of the C library's, all data. */
static int leave_out_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	bool of_libc = is_of_libc(info->dlpi_name);
	uintptr_t page = sysconf(_SC_PAGESIZE);
	int ret = 0;

	(void)size;
	(void)arg;
	for (int i = 0; i < info->dlpi_phnum && ret == 0; i++) {
		const Elf64_Phdr *ph = &info->dlpi_phdr[i];
		uintptr_t tls = (uintptr_t)info->dlpi_tls_data;
		uintptr_t start = info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type == PT_TLS && tls)
			ret = leave_out(tls, tls + ph->p_memsz);
		else if (ph->p_type == PT_LOAD && (ph->p_flags & PF_W) && of_libc)
			/* Whole pages: ld.so keeps its heap behind its data. */
			ret = leave_out(start & -page,
					(start + ph->p_memsz + page - 1) & -page);
	}
	return ret;
}

int det_scan_memory(void)
{
	uintptr_t tcb = (uintptr_t)__builtin_thread_pointer();
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -1;
	det_state.nr_merge = 0;
	det_state.heap = (struct det_area){ 0, 0 };
	ret = add_mappings(fd);
	close(fd);
	if (ret == 0)
		ret = dl_iterate_phdr(leave_out_object, NULL);
	if (ret == 0)
		ret = leave_out(tcb, tcb + _thread_db_sizeof_pthread);
	if (ret == 0)
		ret = leave_out((uintptr_t)&det_state,
				(uintptr_t)(&det_state + 1));
	return ret;
}
