// SPDX-License-Identifier: GPL-2.0-only
/*
 * The model's memory: COPY, ZERO, PERM and MERGE on arrays of pages.
 *
 * An operation first finds out whether it will fail, byte by byte, and then
 * does its work, as the contract says.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "model.h"

enum fault fault;
unsigned int nr_pages = NPAGES;
u8 file_bytes[SMALL][PAGE];
u8 *shared_page[SMALL];

/* Pages that were freed; a list through their first word. */
static void *free_pages;

static u8 *new_data(const u8 *from)
{
	u8 *data = free_pages;

	if (data)
		free_pages = *(void **)data;
	else
		data = malloc(PAGE);
	if (!data)
		abort();
	if (from)
		memcpy(data, from, PAGE);
	else
		memset(data, 0, PAGE);
	return data;
}

void page_drop(struct page *p)
{
	if (p->data && p->kind != PAGE_SHARED) {
		*(void **)p->data = free_pages;
		free_pages = p->data;
	}
	memset(p, 0, sizeof(*p));
}

u8 *page_bytes(struct page *p)
{
	if (!p->data)
		p->data = new_data(NULL);
	return p->data;
}

u8 page_byte(const struct page *p, unsigned int i)
{
	return p->data ? p->data[i] : 0;
}

struct page *page_at(struct mem *m, u64 addr)
{
	static struct page hole;

	if (addr < ARENA || addr >= ARENA_END)
		return &hole;
	return &m->page[(addr - ARENA) / PAGE];
}

/* Another page with the same bytes; of a space: private memory. */
static void page_copy(struct page *to, const struct page *from)
{
	page_drop(to);
	to->mapped = from->mapped;
	to->prot = from->prot;
	if (from->data)
		to->data = new_data(from->data);
	if (fault == FAULT_PERM && to->mapped)
		to->prot = PROT_READ | PROT_WRITE;
}

void mem_free(struct mem *m)
{
	unsigned int i;

	for (i = 0; i < nr_pages; i++)
		page_drop(&m->page[i]);
	m->code = false;
}

void mem_copy(struct mem *to, const struct mem *from)
{
	unsigned int i;

	to->code = from->code;
	to->box = from->box;
	for (i = 0; i < nr_pages; i++) {
		if (from->page[i].mapped)
			page_copy(&to->page[i], &from->page[i]);
		else
			page_drop(&to->page[i]);
	}
}

static u64 page_end(u64 addr)
{
	return (addr | (PAGE - 1)) + 1;
}

static u64 min64(u64 a, u64 b)
{
	return a < b ? a : b;
}

/* --- Bytes --- */

/* Can the bytes be written there? src NULL: zeros. */
static int look_bytes(struct mem *src, struct mem *dst, u64 from, u64 to,
		      u64 len, u64 *where)
{
	struct page *p;
	u64 n;

	for (; len; from += n, to += n, len -= n) {
		n = min64(len, min64(page_end(from) - from, page_end(to) - to));
		*where = from;
		if (src && !page_at(src, from)->mapped)
			return -EFAULT;
		*where = to;
		p = page_at(dst, to);
		if (!p->mapped || !(p->prot & PROT_WRITE))
			return -EFAULT;
	}
	return 0;
}

static void write_bytes(struct mem *src, struct mem *dst, u64 from, u64 to,
			u64 len)
{
	for (; len; from++, to++, len--)
		page_bytes(page_at(dst, to))[to % PAGE] =
			src ? page_byte(page_at(src, from), from % PAGE) : 0;
}

/* --- COPY --- */

/* Shared memory in the middle is bytes as well. */
static int look_shared(struct mem *src, struct mem *dst, u64 from, u64 to,
		       u64 end, u64 *where)
{
	int ret = 0;

	for (; from < end && !ret; from += PAGE, to += PAGE)
		if (page_at(src, from)->kind == PAGE_SHARED)
			ret = look_bytes(src, dst, from, to, PAGE, where);
	return ret;
}

static void copy_pages(struct mem *src, struct mem *dst, u64 from, u64 to,
		       u64 end)
{
	for (; from < end; from += PAGE, to += PAGE) {
		struct page *s = page_at(src, from), *d = page_at(dst, to);

		if (s->kind == PAGE_SHARED)
			write_bytes(src, dst, from, to, PAGE);
		else if (s->mapped)
			page_copy(d, s);
		else if (fault != FAULT_HOLE)
			page_drop(d);
	}
}

int model_copy(struct mem *src, struct mem *dst, u64 from, u64 to, u64 len,
	       u64 *where)
{
	u64 end = from + len, first = page_end(from - 1), last = end & -PAGE;
	u64 delta = to - from;
	int ret;

	if (delta % PAGE || first > last) {
		first = end;
		last = end;
	}
	ret = look_bytes(src, dst, from, to, first - from, where);
	if (!ret)
		ret = look_shared(src, dst, first, first + delta, last, where);
	if (!ret)
		ret = look_bytes(src, dst, last, last + delta, end - last,
				 where);
	if (ret)
		return ret;
	copy_pages(src, dst, first, first + delta, last);
	write_bytes(src, dst, from, to, first - from);
	if (fault == FAULT_TAIL && end > last)
		end--;
	write_bytes(src, dst, last, last + delta, end - last);
	return 0;
}

void model_copy_whole(struct mem *src, struct mem *dst)
{
	mem_copy(dst, src);
}

/* --- ZERO --- */

int model_zero(struct mem *m, u64 addr, u64 len, u32 prot, u64 *where)
{
	u64 start = page_end(addr - 1), end = (addr + len) & -PAGE, a;
	struct page *p;
	int ret;

	if (start > end) {
		start = addr + len;
		end = start;
	}
	ret = look_bytes(NULL, m, addr, addr, start - addr, where);
	if (!ret)
		ret = look_bytes(NULL, m, end, end, addr + len - end, where);
	if (ret)
		return ret;
	for (a = start; a < end; a += PAGE) {
		p = page_at(m, a);
		if (fault == FAULT_ZERO && a == start && p->mapped && prot) {
			p->prot = prot;
			continue;
		}
		page_drop(p);
		p->mapped = prot;
		p->prot = prot;
	}
	write_bytes(NULL, m, addr, addr, start - addr);
	write_bytes(NULL, m, end, end, addr + len - end);
	return 0;
}

/* --- PERM --- */

int model_perm(struct mem *m, u64 addr, u64 len, u32 prot, u64 *where)
{
	u64 end = page_end(addr + len - 1);

	for (; addr < end; addr += PAGE) {
		struct page *p = page_at(m, addr);

		*where = addr;
		if (!p->mapped)
			return -EFAULT;
		p->prot = prot;
	}
	return 0;
}

/* --- MERGE --- */

/* One byte of a MERGE: what the three sides have, by the child's address. */
static bool child_changed(struct merge *m, const struct det_op *op, u64 i)
{
	struct page *c = page_at(m->child, op->child + i);
	struct page *s = page_at(m->image, op->child + i);
	unsigned int at = (op->child + i) % PAGE;

	return c->mapped && page_byte(c, at) != page_byte(s, at);
}

static bool caller_changed(struct merge *m, const struct det_op *op, u64 i)
{
	struct page *p = page_at(m->caller, op->caller + i);
	struct page *s = page_at(m->image, op->child + i);
	struct page *c = page_at(m->child, op->child + i);
	unsigned int at = (op->child + i) % PAGE;
	u8 byte = page_byte(p, at);

	if (fault == FAULT_OVERLOOKED && byte == page_byte(c, at))
		return false;
	return byte != page_byte(s, at);
}

/* Does byte i conflict? Its granule decides, as far as it is in the range. */
static bool conflicts(struct merge *m, const struct det_op *op, u64 i)
{
	u64 granule = 1 << ((op->flags & DET_MERGE_GRANULE_MASK) >> 8);
	bool ours = false, theirs = false;
	u64 from, to;

	if (fault == FAULT_GRANULE && granule == 8)
		granule = 4;
	from = (op->caller + i) & -granule;
	to = from + granule;
	for (; from < to; from++) {
		if (from < op->caller || from >= op->caller + op->len)
			continue;
		ours |= caller_changed(m, op, from - op->caller);
		theirs |= child_changed(m, op, from - op->caller);
	}
	return ours && (theirs || fault == FAULT_INVENTED);
}

/* Bytes side by side, in one page: a range, or more of the last one. */
static void add_range(struct merge *m, u64 addr, u64 len)
{
	struct result *r = m->result;
	struct det_range *last = r->range + r->nr_ranges - 1;

	r->st.nr_conflicts += len;
	if (!len)
		return;
	if (r->nr_ranges && last->addr + last->len == addr)
		last->len += len;
	else if (r->nr_ranges < m->max_ranges)
		r->range[r->nr_ranges++] = (struct det_range){ addr, len };
}

/* Most words are the same, and nothing becomes of them. */
static bool same_word(struct page *c, struct page *s, u64 at)
{
	static const u8 zeros[8];

	return fault != FAULT_INVENTED && fault != FAULT_LOST_UPDATE &&
	       !memcmp(c->data ? c->data + at : zeros,
		       s->data ? s->data + at : zeros, 8);
}

/*
 * What becomes of the bytes of one MERGE: take[] says which are written. A
 * page that nobody has mapped or changed costs nothing.
 */
static int look_page(struct merge *m, const struct det_op *op, u64 i, u64 end,
		     u8 *take, bool *found)
{
	struct page *p = page_at(m->caller, op->caller + i);
	struct page *c = page_at(m->child, op->child + i);
	struct page *s = page_at(m->image, op->child + i);
	u64 first = i, side = 0;

	if (!c->mapped || (!c->data && !s->data))
		return 0;
	while (first < end && !child_changed(m, op, first))
		first++;
	if (first == end)
		return 0;
	m->where = op->caller + first;
	if (!p->mapped || !(p->prot & PROT_WRITE))
		return -EFAULT;
	for (; i < end; i++) {
		u64 at = (op->child + i) % PAGE;
		bool conflict;

		if (at % 8 == 0 && i + 8 <= end && same_word(c, s, at)) {
			add_range(m, op->caller + i - side, side);
			side = 0;
			i += 7;
			continue;
		}
		conflict = conflicts(m, op, i);

		take[i] = fault == FAULT_LOST_UPDATE ||
			  (child_changed(m, op, i) && !conflict) ||
			  (conflict && op->flags & DET_MERGE_TAKE);
		if (conflict && !*found)
			m->where = op->caller + i;
		*found |= conflict;
		if (!conflict)
			add_range(m, op->caller + i - side, side);
		side = conflict ? side + 1 : 0;
	}
	add_range(m, op->caller + i - side, side);
	return 0;
}

static int look_merge(struct merge *m, const struct det_op *op, u8 *take,
		      bool *found)
{
	u64 i, end, first = 0;
	bool before;
	int ret = 0;

	for (i = 0; i < op->len && !ret; i = end) {
		end = min64(op->len, i + page_end(op->child + i) -
			    (op->child + i));
		before = *found;
		ret = look_page(m, op, i, end, take, found);
		if (!before && *found)
			first = m->where;
	}
	if (!ret)
		m->where = first;
	return ret;
}

static void write_merge(struct merge *m, const struct det_op *op, u8 *take)
{
	u64 i, a;

	for (i = 0; i < op->len; i++) {
		a = op->child + i;
		if (a % PAGE == 0 && !page_at(m->child, a)->data &&
		    !page_at(m->image, a)->data)
			i += PAGE - 1;
		if (i >= op->len || !take[i])
			continue;
		page_bytes(page_at(m->caller, op->caller + i))[a % PAGE] =
			page_byte(page_at(m->child, a), a % PAGE);
	}
}

/* All MERGEs of a call, of which the first has this index. */
int model_merge(struct merge *m, const struct det_op *op, u32 nr, u32 first)
{
	u8 *take[MAX_OPS] = { NULL };
	bool report = false, found;
	int ret = 0;
	u32 i;

	for (i = first; i < nr && !ret; i++) {
		if (op[i].op != DET_MERGE ||
		    (fault == FAULT_TWO && i > first))
			continue;
		take[i] = calloc(op[i].len + 1, 1);
		if (!take[i])
			abort();
		found = false;
		ret = look_merge(m, &op[i], take[i], &found);
		found &= !(op[i].flags & (DET_MERGE_KEEP | DET_MERGE_TAKE));
		if (ret || (found && !report)) {
			m->result->st.op = i;
			m->result->st.addr = m->where;
		}
		report |= found;
	}
	if (!ret && report)
		ret = -DET_ECONFLICT;
	for (i = first; i < nr; i++) {
		if (take[i] && !ret)
			write_merge(m, &op[i], take[i]);
		free(take[i]);
	}
	return ret;
}
