// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A core file of a member that has stopped, for a debugger: DET_OPTIONS=core=DIR. What it
 * has mapped and may read, where /proc shows it, but for code, which is in the files that
 * the program was loaded from. Pages of zeros are holes. Of the arena, the blocks and
 * other large mappings there is only what has been used.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "internal.h"

#define PAGE		4096UL
/* Of a mapping above this size there are only parts, in steps of the second. */
#define LARGE		DET_GIB
#define PART		(2 * DET_MIB)
#define HIGHEST		0x7ffffffff000UL

/* As <linux/fs.h> has them since Linux 6.7. */
struct pages {
	uint64_t start, end, kind;
};

struct scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t inverted, mask, any_of, wanted;
};

#define SCAN		_IOWR('f', 16, struct scan)
#define PRESENT		(1 << 3)
#define SWAPPED		(1 << 4)

struct core {
	char path[512];
	int fd, pagemap;
	struct det_mapped_file *file;
	size_t nr_files;
	Elf64_Phdr *segment;		/* the first is the notes */
	size_t nr_segments;
	char *notes;
	size_t notes_size;
};

/* An array that has room for one more, in steps of a power of two. NULL: no memory. */
static void *grow(void *array, size_t nr, size_t size)
{
	if (nr & (nr - 1))
		return array;
	return reallocarray(array, nr ? 2 * nr : 1, size);
}

/* A line of /proc/PID/maps: "start-end perm offset dev inode   name". */
struct mapping {
	struct det_area area;
	char perm[5];
	size_t offset;
	unsigned long inode;
	int name;			/* where in the line it begins */
};

static int each_mapping(struct core *core, FILE *maps,
			int (*take)(struct core *core, const struct mapping *m,
				    const char *line))
{
	struct mapping m;
	char *line = NULL;
	size_t size = 0;
	int error = 0;

	while (!error && getline(&line, &size, maps) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%lx-%lx %4s %zx %*s %lu %n", &m.area.start,
			   &m.area.end, m.perm, &m.offset, &m.inode, &m.name) == 5)
			error = take(core, &m, line);
	}
	free(line);
	fclose(maps);
	return error;
}

static int take_file(struct core *core, const struct mapping *m, const char *line)
{
	struct det_mapped_file *file;

	if (m->inode == 0)
		return 0;
	file = grow(core->file, core->nr_files, sizeof(*file));
	if (!file)
		return ENOMEM;
	core->file = file;
	file += core->nr_files;
	file->area = m->area;
	file->offset = m->offset;
	file->code = memcmp(m->perm, "r-x", 3) == 0;
	file->name = strdup(line + m->name);
	if (!file->name)
		return ENOMEM;
	core->nr_files++;
	return 0;
}

/*
 * Which files the member has as well, and is this code whose file a debugger has? The
 * start of a file says which it is.
 */
static bool is_in_file(const struct core *core, const struct mapping *m)
{
	bool found = false;

	for (size_t i = 0; i < core->nr_files; i++) {
		struct det_mapped_file *file = &core->file[i];

		if (file->area.end <= m->area.start || file->area.start >= m->area.end)
			continue;
		file->used = true;
		if (file->code && file->offset && file->area.start <= m->area.start &&
		    m->area.end <= file->area.end)
			found = m->perm[1] != 'w' && m->perm[2] == 'x';
	}
	return found;
}

static int add_segment(struct core *core, struct det_area area, const struct mapping *m,
		       size_t in_core)
{
	Elf64_Phdr *ph = grow(core->segment, core->nr_segments, sizeof(*ph));

	if (!ph)
		return ENOMEM;
	core->segment = ph;
	if (core->nr_segments == PN_XNUM - 1)
		return E2BIG;
	ph[core->nr_segments++] = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_flags = PF_R | (m->perm[1] == 'w' ? PF_W : 0) |
			   (m->perm[2] == 'x' ? PF_X : 0),
		.p_vaddr = area.start,
		.p_memsz = area.end - area.start,
		.p_filesz = in_core,
		.p_align = PAGE,
	};
	return 0;
}

/* Which pages there are from @*start on, in order; how many runs of them, or -1. */
static long scan(const struct core *core, uintptr_t *start, uintptr_t end,
		 struct pages *run, size_t max)
{
	struct scan arg = {
		.size = sizeof(arg), .start = *start, .end = end,
		.vec = (uintptr_t)run, .vec_len = max,
		.any_of = PRESENT | SWAPPED, .wanted = PRESENT,
	};
	long nr = ioctl(core->pagemap, SCAN, &arg);

	*start = arg.walk_end;
	return nr;
}

/* What has been used of a large mapping. */
static int add_parts(struct core *core, const struct mapping *m)
{
	struct det_area part = { 0 };
	uintptr_t at = m->area.start;
	struct pages run[64];
	int error = 0;

	while (at < m->area.end && !error) {
		long nr = scan(core, &at, m->area.end, run, DET_COUNT(run));

		if (nr < 0)
			return errno;
		for (long i = 0; i < nr && !error; i++) {
			uintptr_t from = run[i].start & -PART;

			if (part.end && from > part.end) {
				error = add_segment(core, part, m, part.end - part.start);
				part.end = 0;
			}
			if (!part.end)
				part.start = from < m->area.start ? m->area.start : from;
			part.end = (run[i].end + PART - 1) & -PART;
			if (part.end > m->area.end)
				part.end = m->area.end;
		}
	}
	if (part.end && !error)
		error = add_segment(core, part, m, part.end - part.start);
	return error;
}

static int take_memory(struct core *core, const struct mapping *m, const char *line)
{
	size_t size = m->area.end - m->area.start;
	bool block = m->area.start >= DET_BLOCKS && m->area.start < DET_BLOCKS_END;

	bool in_file = is_in_file(core, m);

	(void)line;
	if (m->perm[0] != 'r' || m->area.end > HIGHEST)
		return 0;
	if (in_file)
		return add_segment(core, m->area, m, 0);
	if (block || size > LARGE)
		return add_parts(core, m);
	return add_segment(core, m->area, m, size);
}

static FILE *open_maps(void)
{
	int fd = det_stopped_file("maps");

	return fd < 0 ? NULL : fdopen(fd, "r");
}

/* Files are the program's: a member's memory is nobody's but its own. */
static int look(struct core *core)
{
	static const struct mapping nothing = { .perm = "r--p" };
	FILE *maps = fopen("/proc/self/maps", "re");
	int error;

	if (!maps)
		return errno;
	error = each_mapping(core, maps, take_file);
	if (error)
		return error;
	core->pagemap = det_stopped_file("pagemap");
	if (core->pagemap < 0)
		return errno;
	error = add_segment(core, (struct det_area){ 0 }, &nothing, 0);
	if (error)
		return error;
	maps = open_maps();
	return maps ? each_mapping(core, maps, take_memory) : errno;
}

/* Where in the file everything is: headers, notes, memory. */
static void lay_out(struct core *core)
{
	size_t at = sizeof(Elf64_Ehdr) + core->nr_segments * sizeof(Elf64_Phdr);

	core->segment[0] = (Elf64_Phdr){
		.p_type = PT_NOTE, .p_offset = at, .p_filesz = core->notes_size,
		.p_align = 4,
	};
	at += core->notes_size;
	for (size_t i = 1; i < core->nr_segments; i++) {
		at = (at + PAGE - 1) & -PAGE;
		core->segment[i].p_offset = at;
		at += core->segment[i].p_filesz;
	}
}

static int write_at(const struct core *core, const void *from, size_t len, size_t at)
{
	ssize_t n;

	for (; len; len -= n, at += n, from = (const char *)from + n) {
		n = pwrite(core->fd, from, len, at);
		if (n <= 0)
			return n < 0 ? errno : ENOSPC;
	}
	return 0;
}

static int write_headers(const struct core *core)
{
	Elf64_Ehdr eh = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
			     ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_CORE,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(eh),
		.e_ehsize = sizeof(eh),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = core->nr_segments,
	};
	size_t len = core->nr_segments * sizeof(Elf64_Phdr);
	int error = write_at(core, &eh, sizeof(eh), 0);

	if (!error)
		error = write_at(core, core->segment, len, sizeof(eh));
	if (!error)
		error = write_at(core, core->notes, core->notes_size,
				 sizeof(eh) + len);
	return error;
}

static bool is_zero(const char *page)
{
	return page[0] == 0 && memcmp(page, page + 1, PAGE - 1) == 0;
}

/* A run of pages, to @at of the file, by way of where a child's memory is copied to. */
static int write_pages(const struct core *core, uintptr_t start, uintptr_t end, size_t at)
{
	char *page = (char *)det_block(0, DET_SCRATCH_AT);
	size_t len;
	int error = 0;

	for (; start < end && !error; start += len, at += len) {
		len = end - start < DET_SCRATCH_SIZE ? end - start : DET_SCRATCH_SIZE;
		error = det_stopped_read(page, start, len);
		for (size_t i = 0; i < len && !error; i += PAGE)
			if (!is_zero(page + i))
				error = write_at(core, page + i, PAGE, at + i);
	}
	return error;
}

static int write_segment(const struct core *core, const Elf64_Phdr *ph)
{
	uintptr_t at = ph->p_vaddr, end = at + ph->p_filesz;
	struct pages run[64];
	int error = 0;

	while (at < end && !error) {
		long nr = scan(core, &at, end, run, DET_COUNT(run));

		if (nr < 0)
			return errno;
		for (long i = 0; i < nr && !error; i++)
			error = write_pages(core, run[i].start, run[i].end,
					    ph->p_offset + run[i].start - ph->p_vaddr);
	}
	return error;
}

static int write_all(const struct core *core)
{
	const Elf64_Phdr *last = &core->segment[core->nr_segments - 1];
	int error = write_headers(core);

	for (size_t i = 1; i < core->nr_segments && !error; i++)
		error = write_segment(core, &core->segment[i]);
	if (!error && ftruncate(core->fd, last->p_offset + last->p_filesz) < 0)
		error = errno;
	return error;
}

static int make_notes(struct core *core, const struct det_failure *failure)
{
	FILE *to = open_memstream(&core->notes, &core->notes_size);

	if (!to)
		return errno;
	det_write_notes(failure, core->file, core->nr_files, to);
	return fclose(to) ? errno : 0;
}

/* One from an earlier run goes; nobody else's file is written to. */
static int create(struct core *core, const struct det_failure *failure)
{
	const struct det_identity *member = &failure->member;
	unsigned long long nr = member->team == DET_NO_TEAM ? member->ordinal : member->id;
	int len = snprintf(core->path, sizeof(core->path), "%s/%s.member-%llu.core",
			   det_options.core, program_invocation_short_name, nr);

	if ((size_t)len >= sizeof(core->path))
		return ENAMETOOLONG;
	unlink(core->path);
	core->fd = open(core->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return core->fd < 0 ? errno : 0;
}

static int make_core(struct core *core, const struct det_failure *failure)
{
	int error = create(core, failure);

	if (error)
		return error;
	if (!failure->has_regs)
		error = ESRCH;
	if (!error)
		error = look(core);
	if (!error)
		error = make_notes(core, failure);
	if (!error) {
		lay_out(core);
		error = write_all(core);
	}
	if (close(core->fd) < 0 && !error)
		error = errno;
	if (error)
		unlink(core->path);
	return error;
}

void det_write_core(const struct det_failure *failure, FILE *to)
{
	struct core core = { .fd = -1, .pagemap = -1 };
	int error;

	if (!det_options.core[0] || failure->depth == 0)
		return;
	/* What has been said is there, whatever happens now. */
	fflush(to);
	signal(SIGXFSZ, SIG_IGN);
	det_stopped_open(failure);
	error = make_core(&core, failure);
	if (error)
		fprintf(to, "  no core file %s: %s\n", core.path, strerror(error));
	else
		fprintf(to, "  core file: %s\n", core.path);
}
