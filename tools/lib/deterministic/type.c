// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the elements of a variable are. The symbol table knows how large an
 * array is, not what is in it; a program compiled with -g says so in DWARF
 * (versions 2 to 5, 32-bit format). This reads as much of that as the question
 * needs: it goes through all entries for a variable at the address, then
 * follows its type. What is not understood leaves the question open.
 */
#include <string.h>

#include "internal.h"

/* Names and numbers are those of the DWARF 5 standard, section 7.5. */
enum {
	DW_TAG_array_type = 0x01, DW_TAG_enumeration_type = 0x04,
	DW_TAG_structure_type = 0x13, DW_TAG_typedef = 0x16,
	DW_TAG_union_type = 0x17, DW_TAG_subrange_type = 0x21,
	DW_TAG_const_type = 0x26, DW_TAG_variable = 0x34,
	DW_TAG_volatile_type = 0x35, DW_TAG_atomic_type = 0x47,
};

enum {
	DW_AT_location = 0x02, DW_AT_name = 0x03, DW_AT_byte_size = 0x0b,
	DW_AT_upper_bound = 0x2f, DW_AT_count = 0x37,
	DW_AT_specification = 0x47, DW_AT_type = 0x49,
	DW_AT_str_offsets_base = 0x72, DW_AT_addr_base = 0x73,
};

enum {
	DW_FORM_addr = 0x01, DW_FORM_block2 = 0x03, DW_FORM_block4 = 0x04,
	DW_FORM_data2 = 0x05, DW_FORM_data4 = 0x06, DW_FORM_data8 = 0x07,
	DW_FORM_string = 0x08, DW_FORM_block = 0x09, DW_FORM_block1 = 0x0a,
	DW_FORM_data1 = 0x0b, DW_FORM_flag = 0x0c, DW_FORM_sdata = 0x0d,
	DW_FORM_strp = 0x0e, DW_FORM_udata = 0x0f, DW_FORM_ref_addr = 0x10,
	DW_FORM_ref1 = 0x11, DW_FORM_ref2 = 0x12, DW_FORM_ref4 = 0x13,
	DW_FORM_ref8 = 0x14, DW_FORM_ref_udata = 0x15,
	DW_FORM_sec_offset = 0x17, DW_FORM_exprloc = 0x18,
	DW_FORM_flag_present = 0x19, DW_FORM_strx = 0x1a, DW_FORM_addrx = 0x1b,
	DW_FORM_data16 = 0x1e, DW_FORM_line_strp = 0x1f,
	DW_FORM_ref_sig8 = 0x20, DW_FORM_implicit_const = 0x21,
	DW_FORM_loclistx = 0x22, DW_FORM_rnglistx = 0x23, DW_FORM_strx1 = 0x25,
	DW_FORM_strx2 = 0x26, DW_FORM_strx3 = 0x27, DW_FORM_strx4 = 0x28,
	DW_FORM_addrx1 = 0x29, DW_FORM_addrx2 = 0x2a, DW_FORM_addrx3 = 0x2b,
	DW_FORM_addrx4 = 0x2c, NR_FORMS
};

#define DW_OP_addr	0x03
#define DW_OP_addrx	0xa1
#define DW_UT_compile	0x01

/* How forms are stored: in so many bytes, or in one of these ways. */
enum { UNKNOWN, LEB = 20, BLOCK, BLOCK1, BLOCK2, BLOCK4, STRING, NOTHING };

static const unsigned char storage[NR_FORMS] = {
	[DW_FORM_addr] = 8, [DW_FORM_block2] = BLOCK2,
	[DW_FORM_block4] = BLOCK4, [DW_FORM_data2] = 2, [DW_FORM_data4] = 4,
	[DW_FORM_data8] = 8, [DW_FORM_string] = STRING, [DW_FORM_block] = BLOCK,
	[DW_FORM_block1] = BLOCK1, [DW_FORM_data1] = 1, [DW_FORM_flag] = 1,
	[DW_FORM_sdata] = LEB, [DW_FORM_strp] = 4, [DW_FORM_udata] = LEB,
	[DW_FORM_ref_addr] = 4, [DW_FORM_ref1] = 1, [DW_FORM_ref2] = 2,
	[DW_FORM_ref4] = 4, [DW_FORM_ref8] = 8, [DW_FORM_ref_udata] = LEB,
	[DW_FORM_sec_offset] = 4, [DW_FORM_exprloc] = BLOCK,
	[DW_FORM_flag_present] = NOTHING, [DW_FORM_strx] = LEB,
	[DW_FORM_addrx] = LEB, [DW_FORM_data16] = 16, [DW_FORM_line_strp] = 4,
	[DW_FORM_ref_sig8] = 8, [DW_FORM_implicit_const] = NOTHING,
	[DW_FORM_loclistx] = LEB, [DW_FORM_rnglistx] = LEB,
	[DW_FORM_strx1] = 1, [DW_FORM_strx2] = 2, [DW_FORM_strx3] = 3,
	[DW_FORM_strx4] = 4, [DW_FORM_addrx1] = 1, [DW_FORM_addrx2] = 2,
	[DW_FORM_addrx3] = 3, [DW_FORM_addrx4] = 4,
};

/* Bytes of a section. */
struct bytes {
	const unsigned char *p;
	size_t size;
};

/* Bytes being read; past the end come zeros, and bad. */
struct reader {
	const unsigned char *p, *end;
	bool bad;
};

struct dwarf {
	struct bytes info, abbrev, str, line_str, str_offsets, addr;
	/* The unit being read, and where its parts of the others start. */
	size_t unit, unit_entries, unit_end;
	size_t unit_abbrev, unit_str_offsets, unit_addr;
};

/* An entry: of its attributes, those that matter here. */
struct entry {
	uint64_t tag;		/* 0: the end of a list of children */
	uint64_t addr;
	uint64_t type;
	uint64_t specification;
	uint64_t byte_size;
	uint64_t count;
	uint64_t str_offsets_base, addr_base;
	const char *name;
	size_t next;		/* where the next entry is */
};

static struct reader reader_at(struct bytes b, uint64_t at, size_t end)
{
	if (end > b.size)
		end = b.size;
	if (at > end)
		at = end;
	return (struct reader){ .p = b.p + at, .end = b.p + end };
}

static uint64_t take(struct reader *r, uint64_t n)
{
	uint64_t v = 0;

	if ((uint64_t)(r->end - r->p) < n) {
		r->bad = true;
		r->p = r->end;
		return 0;
	}
	memcpy(&v, r->p, n < sizeof(v) ? n : sizeof(v));
	r->p += n;
	return v;
}

static uint64_t take_leb(struct reader *r)
{
	uint64_t v = 0, byte;
	unsigned int shift = 0;

	do {
		byte = take(r, 1);
		if (shift < 64)
			v |= (byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	return v;
}

/* Number @n in a table of numbers of @size bytes that starts at @base. */
static uint64_t take_nth(struct bytes b, uint64_t base, uint64_t n, size_t size)
{
	struct reader r;

	if (n > b.size)
		return 0;
	r = reader_at(b, base + n * size, b.size);
	return take(&r, size);
}

/* Of all expressions only the one that is just an address has a value. */
static uint64_t take_block(const struct dwarf *d, struct reader *r, uint64_t len)
{
	struct reader block = *r;
	uint64_t op, addr = 0;

	take(r, len);
	if (r->bad || len == 0)
		return 0;
	block.end = r->p;
	op = take(&block, 1);
	if (op == DW_OP_addr)
		addr = take(&block, 8);
	else if (op == DW_OP_addrx)
		addr = take_nth(d->addr, d->unit_addr, take_leb(&block), 8);
	return block.p == block.end ? addr : 0;
}

/* The value of any form that has one. */
static uint64_t take_form(const struct dwarf *d, struct reader *r,
			  uint64_t form)
{
	unsigned char how = form < NR_FORMS ? storage[form] : UNKNOWN;

	switch (how) {
	case NOTHING:
		return 0;
	case LEB:
		return take_leb(r);
	case BLOCK:
		return take_block(d, r, take_leb(r));
	case BLOCK1:
		return take_block(d, r, take(r, 1));
	case BLOCK2:
		return take_block(d, r, take(r, 2));
	case BLOCK4:
		return take_block(d, r, take(r, 4));
	case STRING:
		while (take(r, 1))
			;
		return 0;
	case UNKNOWN:
		r->bad = true;
		return 0;
	default:
		return take(r, how);
	}
}

static const char *string_in(struct bytes b, uint64_t at)
{
	if (at >= b.size || b.p[b.size - 1] != '\0')
		return NULL;
	return (const char *)b.p + at;
}

static const char *string_of(const struct dwarf *d, uint64_t form, uint64_t v,
			     const unsigned char *raw)
{
	switch (form) {
	case DW_FORM_string:
		return (const char *)raw;
	case DW_FORM_strp:
		return string_in(d->str, v);
	case DW_FORM_line_strp:
		return string_in(d->line_str, v);
	case DW_FORM_strx: case DW_FORM_strx1: case DW_FORM_strx2:
	case DW_FORM_strx3: case DW_FORM_strx4:
		return string_in(d->str, take_nth(d->str_offsets,
						  d->unit_str_offsets, v, 4));
	default:
		return NULL;
	}
}

static void set_attribute(const struct dwarf *d, struct entry *e, uint64_t attr,
			  uint64_t form, uint64_t v, const unsigned char *raw)
{
	/* These count from the start of the unit. */
	if (form >= DW_FORM_ref1 && form <= DW_FORM_ref_udata)
		v += d->unit;

	switch (attr) {
	case DW_AT_location:
		if (form == DW_FORM_exprloc || form == DW_FORM_block1)
			e->addr = v;
		break;
	case DW_AT_name:
		e->name = string_of(d, form, v, raw);
		break;
	case DW_AT_byte_size:
		e->byte_size = v;
		break;
	case DW_AT_upper_bound:
		e->count = v + 1;
		break;
	case DW_AT_count:
		e->count = v;
		break;
	case DW_AT_specification:
		e->specification = v;
		break;
	case DW_AT_type:
		e->type = v;
		break;
	case DW_AT_str_offsets_base:
		e->str_offsets_base = v;
		break;
	case DW_AT_addr_base:
		e->addr_base = v;
		break;
	}
}

/* Finds the abbreviation @code of the unit: what entries of it look like. */
static bool find_abbreviation(const struct dwarf *d, uint64_t code,
			      struct reader *r)
{
	uint64_t attr, form, c;

	*r = reader_at(d->abbrev, d->unit_abbrev, d->abbrev.size);
	while ((c = take_leb(r)) != code) {
		if (c == 0)
			return false;
		take_leb(r);
		take(r, 1);
		do {
			attr = take_leb(r);
			form = take_leb(r);
			if (form == DW_FORM_implicit_const)
				take_leb(r);
		} while (attr || form);
	}
	return !r->bad;
}

/* Reads the entry at offset @at of the current unit. */
static bool read_entry(const struct dwarf *d, uint64_t at, struct entry *e)
{
	struct reader r = reader_at(d->info, at, d->unit_end);
	uint64_t code = take_leb(&r), attr, form, v;
	const unsigned char *raw;
	struct reader abbrev;

	memset(e, 0, sizeof(*e));
	if (code && !find_abbreviation(d, code, &abbrev))
		return false;
	if (code) {
		e->tag = take_leb(&abbrev);
		take(&abbrev, 1);
		while ((attr = take_leb(&abbrev)), (form = take_leb(&abbrev)),
		       attr || form) {
			raw = r.p;
			v = take_form(d, &r, form);
			if (form == DW_FORM_implicit_const)
				v = take_leb(&abbrev);
			set_attribute(d, e, attr, form, v, raw);
		}
		if (abbrev.bad)
			return false;
	}
	e->next = r.p - d->info.p;
	return !r.bad;
}

/* Makes the unit at offset @at the current one, if it can be understood. */
static bool open_unit(struct dwarf *d, size_t at)
{
	struct reader r = reader_at(d->info, at, d->info.size);
	uint64_t len = take(&r, 4), unit_type = DW_UT_compile;
	uint64_t version, address_size;
	struct entry e;

	if (r.bad || len > (uint64_t)(r.end - r.p))
		return false;
	d->unit = at;
	d->unit_end = r.p - d->info.p + len;
	version = take(&r, 2);
	if (version >= 5) {
		unit_type = take(&r, 1);
		address_size = take(&r, 1);
		d->unit_abbrev = take(&r, 4);
	} else {
		d->unit_abbrev = take(&r, 4);
		address_size = take(&r, 1);
	}
	d->unit_entries = r.p - d->info.p;
	if (r.bad || version > 5 || address_size != 8)
		return false;
	if (unit_type != DW_UT_compile) {
		d->unit_entries = d->unit_end;
	} else if (read_entry(d, d->unit_entries, &e)) {
		d->unit_str_offsets = e.str_offsets_base;
		d->unit_addr = e.addr_base;
	}
	return true;
}

/* Finds the variable at @addr in the current unit, and its type. */
static uint64_t find_in_unit(const struct dwarf *d, uint64_t addr)
{
	struct entry e, spec;

	for (size_t at = d->unit_entries; at < d->unit_end; at = e.next) {
		if (!read_entry(d, at, &e))
			return 0;
		if (e.tag != DW_TAG_variable || e.addr != addr)
			continue;
		if (e.type)
			return e.type;
		if (e.specification && read_entry(d, e.specification, &spec))
			return spec.type;
	}
	return 0;
}

/* The dimensions are children of an array's entry, up to an empty one. */
static void read_dimensions(const struct dwarf *d, size_t at,
			    struct det_variable *var)
{
	struct entry e;

	for (; read_entry(d, at, &e) && e.tag; at = e.next) {
		if (e.tag != DW_TAG_subrange_type)
			continue;
		if (var->nr_dims < DET_MAX_DIMS)
			var->dim[var->nr_dims] = e.count;
		var->nr_dims++;
	}
}

/* From a type to the size and name of what it is in the end made of. */
static void follow_type(const struct dwarf *d, uint64_t type,
			struct det_variable *var)
{
	const char *kind = "", *name = NULL;
	struct entry e;

	/* So many steps only, should the entries go round in a circle. */
	for (int i = 0; i < 32 && read_entry(d, type, &e); i++) {
		if (e.tag == DW_TAG_array_type)
			read_dimensions(d, e.next, var);
		else if (!name)
			name = e.name;
		if (name && name == e.name) {
			if (e.tag == DW_TAG_structure_type)
				kind = "struct ";
			else if (e.tag == DW_TAG_union_type)
				kind = "union ";
			else if (e.tag == DW_TAG_enumeration_type)
				kind = "enum ";
		}
		if (e.byte_size && e.tag != DW_TAG_array_type) {
			var->element = e.byte_size;
			break;
		}
		if (!e.type)
			return;
		type = e.type;
	}
	if (name)
		snprintf(var->type, sizeof(var->type), "%s%s", kind, name);
}

static struct bytes section(const struct det_elf *elf, const char *name)
{
	struct bytes b = { NULL, 0 };

	b.p = det_elf_section(elf, name, &b.size);
	if (!b.p)
		b.size = 0;
	return b;
}

/* Whether the types say of the variable what the symbol table says. */
static bool adds_up(const struct det_variable *var)
{
	size_t size = var->element;

	if (var->nr_dims > DET_MAX_DIMS)
		return false;
	for (unsigned int i = 0; i < var->nr_dims; i++)
		size *= var->dim[i];
	return size == var->size && size != 0;
}

void det_find_type(const struct det_elf *elf, struct det_variable *var)
{
	struct dwarf d = {
		.info = section(elf, ".debug_info"),
		.abbrev = section(elf, ".debug_abbrev"),
		.str = section(elf, ".debug_str"),
		.line_str = section(elf, ".debug_line_str"),
		.str_offsets = section(elf, ".debug_str_offsets"),
		.addr = section(elf, ".debug_addr"),
	};
	uint64_t type = 0;

	for (size_t at = 0; at < d.info.size && !type; at = d.unit_end) {
		if (open_unit(&d, at))
			type = find_in_unit(&d, var->start - elf->bias);
		else if (d.unit_end <= at)
			return;	/* there is no way to the next */
	}
	if (type)
		follow_type(&d, type, var);
	if (!adds_up(var))
		var->element = 0;
}
