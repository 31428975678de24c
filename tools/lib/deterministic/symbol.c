// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * From an address to the variable or function there, by the ELF symbol table of
 * the program or shared library. Works for programs loaded anywhere.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

struct object {
	uintptr_t addr;		/* wanted */
	const char *path;
	uintptr_t bias;
};

static int object_has_addr(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct object *obj = arg;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const Elf64_Phdr *ph = &info->dlpi_phdr[i];

		if (ph->p_type == PT_LOAD &&
		    obj->addr - info->dlpi_addr - ph->p_vaddr < ph->p_memsz) {
			obj->path = info->dlpi_name;
			obj->bias = info->dlpi_addr;
			return 1;
		}
	}
	return 0;
}

static bool map_file(const char *path, struct det_elf *elf)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *p = MAP_FAILED;

	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && (size_t)st.st_size >= sizeof(Elf64_Ehdr))
		p = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return false;
	elf->data = p;
	elf->size = st.st_size;
	return true;
}

/* The section headers; NULL where the file has none that are in order. */
static const Elf64_Shdr *sections(const struct det_elf *elf, unsigned int *nr)
{
	const Elf64_Ehdr *eh = (const void *)elf->data;

	if (memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0 ||
	    eh->e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh->e_shoff > elf->size || eh->e_shstrndx >= eh->e_shnum ||
	    eh->e_shnum > (elf->size - eh->e_shoff) / sizeof(Elf64_Shdr))
		return NULL;
	*nr = eh->e_shnum;
	return (const void *)(elf->data + eh->e_shoff);
}

static const void *contents(const struct det_elf *elf, const Elf64_Shdr *sh,
			    size_t *size)
{
	if (sh->sh_type == SHT_NOBITS || (sh->sh_flags & SHF_COMPRESSED) ||
	    sh->sh_offset > elf->size ||
	    sh->sh_size > elf->size - sh->sh_offset)
		return NULL;
	*size = sh->sh_size;
	return elf->data + sh->sh_offset;
}

const unsigned char *det_elf_section(const struct det_elf *elf,
				     const char *name, size_t *size)
{
	const Elf64_Ehdr *eh = (const void *)elf->data;
	const Elf64_Shdr *sh;
	const char *names;
	size_t names_size;
	unsigned int nr;

	sh = sections(elf, &nr);
	if (!sh)
		return NULL;
	names = contents(elf, &sh[eh->e_shstrndx], &names_size);
	if (!names || names_size == 0 || names[names_size - 1] != '\0')
		return NULL;
	for (unsigned int i = 0; i < nr; i++)
		if (sh[i].sh_name < names_size &&
		    strcmp(names + sh[i].sh_name, name) == 0)
			return contents(elf, &sh[i], size);
	return NULL;
}

static bool find_symbol(const struct det_elf *elf, const char *symbols,
			const char *strings, uintptr_t addr, unsigned int type,
			struct det_variable *var)
{
	const Elf64_Sym *sym;
	const char *str;
	size_t sym_size, str_size;

	sym = (const void *)det_elf_section(elf, symbols, &sym_size);
	str = (const void *)det_elf_section(elf, strings, &str_size);
	if (!sym || !str || str_size == 0 || str[str_size - 1] != '\0')
		return false;
	for (; sym_size >= sizeof(*sym); sym++, sym_size -= sizeof(*sym)) {
		if (ELF64_ST_TYPE(sym->st_info) != type ||
		    sym->st_shndx == SHN_UNDEF || sym->st_name >= str_size ||
		    addr - elf->bias - sym->st_value >= sym->st_size)
			continue;
		snprintf(var->name, sizeof(var->name), "%s",
			 str + sym->st_name);
		var->start = elf->bias + sym->st_value;
		var->size = sym->st_size;
		return true;
	}
	return false;
}

static bool find(uintptr_t addr, unsigned int type, struct det_variable *var)
{
	struct object obj = { .addr = addr };
	struct det_elf elf;
	bool found;

	memset(var, 0, sizeof(*var));
	if (!dl_iterate_phdr(object_has_addr, &obj))
		return false;
	elf.bias = obj.bias;
	if (!map_file(obj.path[0] ? obj.path : "/proc/self/exe", &elf))
		return false;
	found = find_symbol(&elf, ".symtab", ".strtab", addr, type, var) ||
		find_symbol(&elf, ".dynsym", ".dynstr", addr, type, var);
	if (found && type == STT_OBJECT)
		det_find_type(&elf, var);
	munmap((void *)elf.data, elf.size);
	return found;
}

bool det_find_variable(uintptr_t addr, struct det_variable *var)
{
	return find(addr, STT_OBJECT, var);
}

bool det_find_function(uintptr_t addr, struct det_variable *fn)
{
	return find(addr, STT_FUNC, fn);
}

/*
 * A space has no vDSO: a member that asks for the time jumps to where nothing is. Only
 * the master can look there.
 */
const char *det_vdso_call(uintptr_t addr)
{
	static const char prefix[] = "__vdso_";
	uintptr_t vdso = getauxval(AT_SYSINFO_EHDR);
	Dl_info info;

	if (det_state.level || !vdso || !dladdr((void *)addr, &info) ||
	    (uintptr_t)info.dli_fbase != vdso || (uintptr_t)info.dli_saddr != addr)
		return NULL;
	if (strncmp(info.dli_sname, prefix, strlen(prefix)) == 0)
		return info.dli_sname + strlen(prefix);
	return info.dli_sname;
}
