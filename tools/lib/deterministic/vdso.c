// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The calls that are no system calls: what the vDSO has at an address. A space has no
 * vDSO, so that a member which asks for the time jumps to where nothing is.
 */
#include <elf.h>
#include <string.h>
#include <sys/auxv.h>

#include "internal.h"

static const char PREFIX[] = "__vdso_";

/* Where it says that something is; addresses in it begin at 0. */
static const void *table(const char *image, const Elf64_Dyn *dynamic, Elf64_Sxword tag)
{
	for (; dynamic->d_tag != DT_NULL; dynamic++)
		if (dynamic->d_tag == tag)
			return image + dynamic->d_un.d_ptr;
	return NULL;
}

static const Elf64_Dyn *dynamic_of(const char *image)
{
	const Elf64_Ehdr *head = (const void *)image;
	const Elf64_Phdr *part = (const void *)(image + head->e_phoff);

	for (int i = 0; i < head->e_phnum; i++)
		if (part[i].p_type == PT_DYNAMIC)
			return (const void *)(image + part[i].p_vaddr);
	return NULL;
}

const char *det_vdso_call(uintptr_t addr)
{
	const char *image = (const char *)getauxval(AT_SYSINFO_EHDR), *names;
	const Elf64_Dyn *dynamic;
	const Elf64_Sym *symbol;
	const uint32_t *hash;

	/* Only the master has it. */
	if (!image || det_state.level)
		return NULL;
	dynamic = dynamic_of(image);
	if (!dynamic)
		return NULL;
	hash = table(image, dynamic, DT_HASH);
	symbol = table(image, dynamic, DT_SYMTAB);
	names = table(image, dynamic, DT_STRTAB);
	/* The second word of the hash is the number of symbols. */
	for (uint32_t i = 0; hash && symbol && names && i < hash[1]; i++)
		if (symbol[i].st_shndx != SHN_UNDEF &&
		    addr == (uintptr_t)image + symbol[i].st_value &&
		    strncmp(names + symbol[i].st_name, PREFIX, strlen(PREFIX)) == 0)
			return names + symbol[i].st_name + strlen(PREFIX);
	return NULL;
}
