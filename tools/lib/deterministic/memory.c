// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What a join merges: all memory, without what each side has to itself.
 *
 * Left out are the blocks, which hold stacks and the library's own data, thread-local
 * data, and the static data of the C library and its companions. Of the blocks the
 * stacks of the space and its ancestors are merged, from the frames on that were there
 * when the child was made: it may have pointers to what is in them.
 *
 * An area where nothing is, or where a child can have changed nothing, costs next to
 * nothing: so nobody need know what is mapped.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

/* Where memory of user space can begin and end. */
#define LOWEST		0x10000UL
#define HIGHEST		0x7ffffffff000UL

static int exclude(uintptr_t start, uintptr_t end)
{
	struct det_area *area = det_state.excluded;
	unsigned int i = det_state.nr_excluded;

	if (start >= end)
		return 0;
	if (i == DET_MAX_EXCLUDED)
		return E2BIG;
	for (; i > 0 && area[i - 1].start > start; i--)
		area[i] = area[i - 1];
	area[i] = (struct det_area){ start, end };
	det_state.nr_excluded++;
	return 0;
}

bool det_is_of_libc(const char *path)
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

static int find_users(struct dl_phdr_info *info, size_t size, void *arg)
{
	uintptr_t addr = *(uintptr_t *)arg - info->dlpi_addr;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const Elf64_Phdr *ph = &info->dlpi_phdr[i];

		if (ph->p_type == PT_LOAD && (ph->p_flags & PF_X) &&
		    addr - ph->p_vaddr < ph->p_memsz)
			return det_is_of_libc(info->dlpi_name) ? 2 : 1;
	}
	return 0;
}

bool det_is_users(uintptr_t addr)
{
	return dl_iterate_phdr(find_users, &addr) == 1;
}

/* Of each object the thread-local data; of the C library's all data. */
static int exclude_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	bool of_libc = det_is_of_libc(info->dlpi_name);
	int error = 0;

	(void)size;
	(void)arg;
	for (int i = 0; i < info->dlpi_phnum && !error; i++) {
		const Elf64_Phdr *ph = &info->dlpi_phdr[i];
		uintptr_t tls = (uintptr_t)info->dlpi_tls_data;
		uintptr_t start = info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type == PT_TLS && tls)
			error = exclude(tls, tls + ph->p_memsz);
		else if (ph->p_type == PT_LOAD && (ph->p_flags & PF_W) && of_libc)
			/* Whole pages: ld.so keeps its heap behind its data. */
			error = exclude(start & -4096UL,
					(start + ph->p_memsz + 4095) & -4096UL);
	}
	return error;
}

static int count_objects(struct dl_phdr_info *info, size_t size, void *arg)
{
	unsigned long long *n = arg;

	(void)size;
	*n = info->dlpi_adds << 32 | info->dlpi_subs;
	return 1;
}

/* The streams of a static program are not where those of a C library are. */
static int exclude_stream(FILE *stream)
{
	uintptr_t start = (uintptr_t)stream;

	/* The pointer to its functions is behind it. */
	return exclude(start, start + sizeof(*stream) + sizeof(void *));
}

static int exclude_all(uintptr_t thread)
{
	int error;

	det_state.nr_excluded = 0;
	error = dl_iterate_phdr(exclude_object, NULL);
	if (!error)
		error = exclude(thread, thread + _thread_db_sizeof_pthread);
	if (!error)
		error = exclude((uintptr_t)__start_det_private,
				(uintptr_t)__stop_det_private);
	if (!error)
		error = exclude((uintptr_t)__det_libc_start,
				(uintptr_t)__det_libc_end);
	if (!error)
		error = exclude_stream(det_state.out);
	if (!error)
		error = exclude_stream(det_state.err);
	if (!error)
		error = exclude(DET_BLOCKS, DET_BLOCKS_END);
	return error;
}

static int compare(const void *a, const void *b)
{
	return *(const char *)a - *(const char *)b;
}

/* qsort() asks for the size of the memory when it is first given so much. */
static void ask_beforehand(void)
{
	char sorted[4096] = "";

	qsort(sorted, sizeof(sorted), 1, compare);
}

int det_know_memory(void)
{
	unsigned long long objects;

	if (det_state.level)
		return 0;
	dl_iterate_phdr(count_objects, &objects);
	if (objects != det_state.objects) {
		ask_beforehand();
		if (det_bound_late())
			det_misuse("a library was opened that binds its functions late");
		det_state.objects = objects;
	}
	/* Thread-local data may be somewhere since the last time. */
	return exclude_all((uintptr_t)__builtin_thread_pointer());
}

void det_zero(struct det_area area)
{
	struct det_op op = {
		.op = DET_ZERO,
		.flags = DET_ZERO_NORESERVE,
		.prot = PROT_READ | PROT_WRITE,
		.caller = area.start,
		.child = area.start,
		.len = area.end - area.start,
	};
	struct det_args args = {
		.ops = (uintptr_t)&op, .nr_ops = 1, .op_size = sizeof(op),
	};
	int error = errno;

	if (op.len == 0)
		return;
	if (det_state.level == 0)
		madvise((void *)area.start, op.len, MADV_DONTNEED);
	else
		dput(DET_SELF, &args, sizeof(args));
	errno = error;
}

static void add_op(struct det_op *op, unsigned int *nr, unsigned int what,
		   unsigned int flags, uintptr_t start, uintptr_t end)
{
	if (start >= end)
		return;
	op[(*nr)++] = (struct det_op){
		.op = what,
		.flags = flags,
		.caller = start,
		.child = start,
		.len = end - start,
	};
}

/* The stacks of this space and those it comes of; the master's is ordinary memory. */
static void add_stacks(struct det_op *op, unsigned int *nr, unsigned int what,
		       unsigned int flags, uintptr_t frame)
{
	for (unsigned int i = 1; i <= det_state.level; i++) {
		uintptr_t from = i < det_state.level ? det_state.frame[i] : frame;

		add_op(op, nr, what, flags, from, det_stack_end(i));
	}
}

/* [start, end) without what is excluded. */
static int add_rest(struct det_op *op, unsigned int *nr, unsigned int what,
		    unsigned int flags, uintptr_t start, uintptr_t end)
{
	const struct det_area *area = det_state.excluded;

	for (unsigned int i = 0; i < det_state.nr_excluded; i++) {
		if (area[i].end <= start)
			continue;
		if (area[i].start >= end)
			break;
		if (*nr >= DET_MAX_OPS - DET_NR_LEVELS - 1)
			return -E2BIG;
		add_op(op, nr, what, flags, start, area[i].start);
		start = area[i].end;
	}
	add_op(op, nr, what, flags, start, end);
	return 0;
}

int det_merge_ops(struct det_op *op, unsigned int flags, uintptr_t frame)
{
	unsigned int nr = 0;
	int error = add_rest(op, &nr, DET_MERGE, flags, LOWEST, HIGHEST);

	add_stacks(op, &nr, DET_MERGE, flags, frame);
	return error ? error : (int)nr;
}

/* One line of /proc/self/maps: "start-end perm offset dev inode   name". */
static int copy_mapping(char *line, struct det_op *op, unsigned int *nr)
{
	uintptr_t start, end;
	char *s;

	start = strtoul(line, &s, 16);
	end = strtoul(s + 1, &s, 16);
	if (strncmp(s, " rw", 3) != 0)
		return 0;
	return add_rest(op, nr, DET_COPY, 0, start, end);
}

/* The master may have memory that cannot be copied; in a space there is none. */
static int copy_mappings(struct det_op *op, unsigned int *nr)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC), error = 0;
	char buf[4096], line[256];
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	while (!error && (n = read(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n && !error; i++) {
			if (buf[i] != '\n') {
				/* The end of a long name is of no interest. */
				if (len < sizeof(line) - 1)
					line[len++] = buf[i];
				continue;
			}
			line[len] = '\0';
			len = 0;
			error = copy_mapping(line, op, nr);
		}
	}
	close(fd);
	return error;
}

int det_copy_ops(struct det_op *op, uintptr_t frame)
{
	unsigned int nr = 0;
	int error;

	if (det_state.level == 0)
		error = copy_mappings(op, &nr);
	else
		error = add_rest(op, &nr, DET_COPY, 0, LOWEST, HIGHEST);
	add_stacks(op, &nr, DET_COPY, 0, frame);
	return error ? error : (int)nr;
}
