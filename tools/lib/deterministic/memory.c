// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What a join merges: all memory, without what each side has to itself.
 *
 * Left out are the blocks, which hold stacks and the library's own data, thread-local
 * data, of the first thread with all that the dynamic linker has beside it, and the static
 * data of the C library and its companions. Of the blocks the stacks of the space and its
 * ancestors are merged, from the frames on that were there when the child was made: it may
 * have pointers to what is in them.
 *
 * An area where nothing is, or where a child can have changed nothing, costs next to
 * nothing: so nobody need know what is mapped.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/single_threaded.h>
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

static uintptr_t page_up(uintptr_t addr)
{
	return (addr + 4095) & -4096UL;
}

/*
 * An area of [@thread]'s descriptor and data. Of the first thread's pages all else is the
 * dynamic linker's: whole ones need no comparison of bytes. Of others the rest is stack.
 */
static int exclude_of_thread(uintptr_t thread, uintptr_t start, uintptr_t end)
{
	if (thread != det_state.first_thread || det_is_static())
		return exclude(start, end);
	return exclude(start & -4096UL, page_up(end));
}

bool det_is_of_libc(const char *path)
{
	static const char *const prefix[] = {
		"ld-linux", "libc.so", "libm.so", "libpthread.so", "libdl.so",
		"librt.so", "libgcc_s.so", "libstdc++.so", "linux-vdso.so", NULL
	};
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	for (int i = 0; prefix[i]; i++)
		if (strncmp(name, prefix[i], strlen(prefix[i])) == 0)
			return true;
	return false;
}

/* Looked up, not asked for: in a space not all that an object says of itself is there. */
bool det_is_users(uintptr_t addr)
{
	for (unsigned int i = 0; i < det_state.nr_code; i++)
		if (addr - det_state.code[i].start <
		    det_state.code[i].end - det_state.code[i].start)
			return true;
	return false;
}

static void note_code(const char *path, uintptr_t start, uintptr_t end)
{
	const char *name = strrchr(path, '/');

	if (strncmp(name ? name + 1 : path, "libc.so", 7) == 0)
		det_state.libc = (struct det_area){ start, end };
	if (!det_is_of_libc(path) && det_state.nr_code < DET_MAX_CODE)
		det_state.code[det_state.nr_code++] = (struct det_area){ start, end };
}

/* Thread-local data that each thread has from its beginning is next to its descriptor. */
static bool is_near(const void *data)
{
	uintptr_t own = (uintptr_t)__builtin_thread_pointer();

	return (uintptr_t)data < own && own - (uintptr_t)data < DET_MIB;
}

/*
 * Where @thread has the data: at the same distance from it as we, unless it came with a
 * library that was opened later. That is asked for here, so that no member is the first.
 */
static uintptr_t tls_of(struct dl_phdr_info *info, uintptr_t thread)
{
	size_t index[2] = { info->dlpi_tls_modid, 0 };
	uintptr_t own = (uintptr_t)__builtin_thread_pointer();
	uintptr_t data = (uintptr_t)info->dlpi_tls_data;
	void *(*get)(size_t index[2]);

	/* A static program has no libraries that come later. */
	get = data ? NULL : dlsym(RTLD_DEFAULT, "__tls_get_addr");
	if (get)
		data = (uintptr_t)get(index);
	return is_near((void *)data) ? data - own + thread : data;
}

/* A static program's has the C library's in it, which is not to begin anew. */
static void note_tls(struct dl_phdr_info *info, const Elf64_Phdr *ph, uintptr_t data)
{
	if (det_is_of_libc(info->dlpi_name) || det_is_static() ||
	    det_state.nr_tls == DET_MAX_TLS)
		return;
	det_state.tls[det_state.nr_tls++] = (struct det_tls){
		.data = (char *)data,
		.size = ph->p_memsz,
		.image = (const char *)(info->dlpi_addr + ph->p_vaddr),
		.image_size = ph->p_filesz,
	};
}

static bool is_zero(const char *data, size_t size)
{
	return size == 0 || (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0);
}

/* Mostly it is so already, and then needs no page of this space's own. */
void det_begin_tls(void)
{
	for (unsigned int i = 0; i < det_state.nr_tls; i++) {
		const struct det_tls *tls = &det_state.tls[i];
		char *rest = tls->data + tls->image_size;
		size_t len = tls->size - tls->image_size;

		if (memcmp(tls->data, tls->image, tls->image_size) != 0)
			memcpy(tls->data, tls->image, tls->image_size);
		if (!is_zero(rest, len))
			memset(rest, 0, len);
	}
}

/* Does the C library or one of its companions define this? */
static bool is_defined_in_libc(const char *name)
{
	static const char *const library[] = {
		"libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1",
	};

	for (size_t i = 0; i < DET_COUNT(library); i++) {
		void *lib = det_open_library(library[i], RTLD_LAZY | RTLD_NOLOAD);

		if (lib && dlsym(lib, name))
			return true;
	}
	return false;
}

/*
 * Data of theirs that the linker has put into the program because the program names it:
 * std::cout, optind. The addresses in here have been adjusted by the dynamic linker.
 */
static int exclude_copies(const Elf64_Dyn *dyn, uintptr_t bias)
{
	const Elf64_Sym *symbols = NULL, *sym;
	const Elf64_Rela *rela = NULL;
	const char *strings = NULL;
	size_t len = 0;
	int error = 0;

	for (; dyn->d_tag != DT_NULL; dyn++) {
		if (dyn->d_tag == DT_RELA)
			rela = (const void *)dyn->d_un.d_ptr;
		else if (dyn->d_tag == DT_RELASZ)
			len = dyn->d_un.d_val;
		else if (dyn->d_tag == DT_SYMTAB)
			symbols = (const void *)dyn->d_un.d_ptr;
		else if (dyn->d_tag == DT_STRTAB)
			strings = (const void *)dyn->d_un.d_ptr;
	}
	for (; rela && len >= sizeof(*rela) && !error; rela++, len -= sizeof(*rela)) {
		sym = &symbols[ELF64_R_SYM(rela->r_info)];
		if (ELF64_R_TYPE(rela->r_info) == R_X86_64_COPY &&
		    is_defined_in_libc(strings + sym->st_name))
			error = exclude(bias + rela->r_offset,
					bias + rela->r_offset + sym->st_size);
	}
	return error;
}

/* Of each object the thread-local data; of the C library's all data. */
static int exclude_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	bool of_libc = det_is_of_libc(info->dlpi_name);
	uintptr_t thread = *(uintptr_t *)arg;
	int error = 0;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum && !error; i++) {
		const Elf64_Phdr *ph = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + ph->p_vaddr, tls;

		if (ph->p_type == PT_TLS) {
			det_state.tls_moves |= !is_near(info->dlpi_tls_data);
			tls = tls_of(info, thread);
			note_tls(info, ph, tls);
			if (is_near(info->dlpi_tls_data))
				error = exclude_of_thread(thread, tls, tls + ph->p_memsz);
			else
				error = exclude(tls, tls + ph->p_memsz);
		} else if (ph->p_type == PT_DYNAMIC && !info->dlpi_name[0] &&
			   getauxval(AT_BASE)) {
			error = exclude_copies((const void *)start, info->dlpi_addr);
		} else if (ph->p_type == PT_LOAD && (ph->p_flags & PF_X)) {
			note_code(info->dlpi_name, start, start + ph->p_memsz);
		} else if (ph->p_type == PT_LOAD && (ph->p_flags & PF_W) && of_libc) {
			/* Whole pages: ld.so keeps its heap behind its data. */
			error = exclude(start & -4096UL, page_up(start + ph->p_memsz));
		}
	}
	return error;
}

static uint64_t mix(uint64_t sum, uintptr_t value)
{
	sum = (sum ^ value) * 0x9e3779b97f4a7c15ULL;
	return sum ^ sum >> 29;
}

static int count_objects(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct det_objects *now = arg;

	(void)size;
	now->loads = info->dlpi_adds << 32 | info->dlpi_subs;
	if (info->dlpi_tls_modid)
		now->tls = mix(now->tls, (uintptr_t)info->dlpi_tls_data);
	return 0;
}

/*
 * What the dynamic linker keeps for debuggers; 0 in a program without one. A library may
 * be where another was: what it says of itself has its size, and where its parts are.
 */
extern struct r_debug _r_debug __attribute__((weak));

static uint64_t names_of_objects(void)
{
	const struct link_map *map = &_r_debug ? _r_debug.r_map : NULL;
	const Elf64_Dyn *dyn;
	uint64_t sum = !!map;

	for (; map; map = map->l_next) {
		sum = mix(mix(sum, map->l_addr), (uintptr_t)map->l_ld);
		/* A program that is always loaded at the same place has none. */
		for (dyn = map->l_ld; dyn && dyn->d_tag != DT_NULL; dyn++)
			sum = mix(sum, dyn->d_un.d_val);
	}
	return sum;
}

/*
 * Is all where it was when it was last looked at? dl_iterate_phdr() takes a lock, and its
 * page would be copied for each child: a program with one thread, in which nothing can
 * change meanwhile, looks for itself.
 */
static bool is_as_before(uintptr_t thread, struct det_objects *now)
{
	struct det_objects *then = &det_state.objects;
	bool same;

	*now = (struct det_objects){
		.asked = (uintptr_t)__builtin_thread_pointer(), .thread = thread,
	};
	same = now->asked == then->asked && thread == then->thread;
	if (__libc_single_threaded && !det_state.tls_moves)
		now->names = names_of_objects();
	if (same && now->names && now->names == then->names)
		return true;
	dl_iterate_phdr(count_objects, now);
	if (!same || now->loads != then->loads || now->tls != then->tls)
		return false;
	then->names = now->names;
	return true;
}

/* The streams of a static program are not where those of a C library are. */
static int exclude_stream(FILE *stream)
{
	uintptr_t start = (uintptr_t)stream;

	/* The pointer to its functions is behind it. */
	return exclude(start, start + sizeof(*stream) + sizeof(void *));
}

/* Up to the next page, if that is how the linker has placed what is behind. */
static int exclude_private(void)
{
	uintptr_t end = (uintptr_t)__stop_det_private;

	if ((uintptr_t)&det_behind_private == page_up(end))
		end = page_up(end);
	return exclude((uintptr_t)__start_det_private, end);
}

static int exclude_all(uintptr_t thread)
{
	int error;

	det_state.nr_excluded = 0;
	det_state.nr_code = 0;
	det_state.nr_tls = 0;
	det_state.tls_moves = false;
	error = dl_iterate_phdr(exclude_object, &thread);
	if (!error)
		error = exclude_of_thread(thread, thread,
					  thread + _thread_db_sizeof_pthread);
	if (!error)
		error = exclude_private();
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

int det_know_memory(uintptr_t thread)
{
	struct det_objects now;
	const char *late;
	char text[96];
	int error;

	if (det_state.level || is_as_before(thread, &now))
		return 0;
	if (now.loads != det_state.objects.loads) {
		ask_beforehand();
		late = det_bound_late();
		if (late) {
			snprintf(text, sizeof(text), "%s binds its functions late: -z now",
				 late);
			det_misuse(text);
		}
	}
	error = exclude_all(thread);
	det_state.objects = error ? (struct det_objects){ 0 } : now;
	return error;
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
	if (det_state.level == 0) {
		/* Locked memory stays. */
		if (madvise((void *)area.start, op.len, MADV_DONTNEED) < 0)
			memset((void *)area.start, 0, op.len);
	} else {
		dput(DET_SELF, &args, sizeof(args));
	}
	errno = error;
}

static void add_op(struct det_op *op, unsigned int *nr, unsigned int what,
		   unsigned int flags, uintptr_t start, uintptr_t end)
{
	const struct det_op next = {
		.op = what,
		.flags = flags,
		.caller = start,
		.child = start,
		.len = end - start,
	};

	if (start >= end)
		return;
	/* It mostly is what it was the last time. */
	if (memcmp(&op[*nr], &next, sizeof(next)) != 0)
		op[*nr] = next;
	(*nr)++;
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
static int copy_mapping(const char *line, struct det_op *op, unsigned int *nr)
{
	const char *perm = strchr(line, ' ');
	uintptr_t start, end;
	char *s;

	if (!perm || strncmp(perm, " rw", 3) != 0)
		return 0;
	start = strtoul(line, &s, 16);
	end = strtoul(s + 1, NULL, 16);
	return add_rest(op, nr, DET_COPY, 0, start, end);
}

/* The master may have memory that cannot be copied; in a space there is none. */
static int copy_mappings(struct det_op *op, unsigned int *nr)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC), error = 0;
	char *text = det_scratch(0), *line, *end;
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	while (!error && (n = read(fd, text + len, DET_SCRATCH_ROOM - 1 - len)) > 0) {
		text[len + n] = '\0';
		for (line = text; !error && (end = strchr(line, '\n')); line = end + 1)
			error = copy_mapping(line, op, nr);
		len = strlen(line);
		memmove(text, line, len);
	}
	if (n < 0 && !error)
		error = -errno;
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
