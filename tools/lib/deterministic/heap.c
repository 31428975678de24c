// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Blocks, the spans that hold them, and the list of what is free in a space's part
 * of the arena. All choices are by size and address, so that the same calls give the
 * same addresses in every run.
 *
 * Which blocks of a span are in use is a bitmap in its header: a block that is free
 * is not written to, and one that is freed twice is noticed.
 */
#include <string.h>

#include "heap.h"
#include "internal.h"

#define HEADER		sizeof(struct det_span)
#define LARGE		DET_NR_CLASSES
#define SMALL_MAX	8192

/* Free areas, in the block of this level. */
static struct det_area *extent(size_t i)
{
	struct det_area *array = (void *)det_block(det_state.level,
						   DET_EXTENTS_AT);

	return array + i;
}

static size_t length(struct det_area area)
{
	return area.end - area.start;
}

/* A space that allocates nothing needs no page of the block. */
static void begin_extents(void)
{
	struct det_heap *heap = &det_state.heap;

	if (heap->has_extents)
		return;
	heap->has_extents = true;
	if (length(heap->part) == 0)
		return;
	*extent(0) = heap->part;
	heap->nr_extents = 1;
}

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) & -to;
}

/* Sizes go in steps of 16 to 128, then four steps to the next power of two. */
static unsigned int class_of(size_t size)
{
	unsigned int power;

	if (size <= 128)
		return size ? (size - 1) / 16 : 0;
	power = 63 - __builtin_clzl(size - 1);
	return 8 + (power - 7) * 4 + ((size - 1) >> (power - 2) & 3);
}

static size_t size_of_class(unsigned int class)
{
	unsigned int step = class - 8;

	if (class < 8)
		return (class + 1) * 16;
	return (5 + step % 4) << (5 + step / 4);
}

/* The first of the areas that end behind @addr. */
static size_t find_extent(uintptr_t addr)
{
	size_t low = 0, high = det_state.heap.nr_extents;

	while (low < high) {
		size_t i = (low + high) / 2;

		if (extent(i)->end <= addr)
			low = i + 1;
		else
			high = i;
	}
	return low;
}

static void remove_extent(size_t i)
{
	memmove(extent(i), extent(i + 1),
		(det_state.heap.nr_extents - i - 1) * sizeof(struct det_area));
	det_state.heap.nr_extents--;
}

/* Puts an area of zeros back among the free ones, joined to its neighbours. */
static void add_extent(struct det_area area)
{
	bool left, right;
	size_t i;

	if (area.start == area.end)
		return;
	begin_extents();
	i = find_extent(area.start);
	left = i > 0 && extent(i - 1)->end == area.start;
	right = i < det_state.heap.nr_extents && extent(i)->start == area.end;
	if (left && right) {
		extent(i - 1)->end = extent(i)->end;
		remove_extent(i);
	} else if (left) {
		extent(i - 1)->end = area.end;
	} else if (right) {
		extent(i)->start = area.start;
	} else if ((det_state.heap.nr_extents + 1) * sizeof(area) <= DET_EXTENTS_SIZE) {
		memmove(extent(i + 1), extent(i),
			(det_state.heap.nr_extents - i) * sizeof(area));
		*extent(i) = area;
		det_state.heap.nr_extents++;
	}
}

/* @len bytes from the lowest area that has them, or nothing. */
static struct det_area take_extent(size_t len)
{
	struct det_area area = { 0, 0 };

	begin_extents();
	for (size_t i = 0; i < det_state.heap.nr_extents; i++) {
		if (length(*extent(i)) < len)
			continue;
		area.start = extent(i)->start;
		area.end = area.start + len;
		extent(i)->start = area.end;
		if (length(*extent(i)) == 0)
			remove_extent(i);
		break;
	}
	return area;
}

static struct det_area remove_dirty(unsigned int i)
{
	struct det_area area = det_state.heap.dirty[i];

	memmove(det_state.heap.dirty + i, det_state.heap.dirty + i + 1,
		(det_state.heap.nr_dirty - i - 1) * sizeof(area));
	det_state.heap.nr_dirty--;
	return area;
}

static void drop_dirty(unsigned int i)
{
	struct det_area area = remove_dirty(i);

	det_zero(area);
	add_extent(area);
}

/* Of what was freed last there is a little that need not be made zero. */
static struct det_area take_dirty(size_t len)
{
	struct det_area area = { 0, 0 };

	for (unsigned int i = det_state.heap.nr_dirty; i-- > 0;)
		if (length(det_state.heap.dirty[i]) == len)
			return remove_dirty(i);
	return area;
}

static void add_dirty(struct det_area area)
{
	if (length(area) > 16 * DET_UNIT) {
		det_zero(area);
		add_extent(area);
		return;
	}
	if (det_state.heap.nr_dirty == DET_NR_DIRTY)
		drop_dirty(0);
	det_state.heap.dirty[det_state.heap.nr_dirty++] = area;
}

static struct det_area take_area(size_t len, bool *dirty)
{
	struct det_area area = take_dirty(len);

	*dirty = area.end != 0;
	if (!*dirty)
		area = take_extent(len);
	/* The last resort: what is kept for its speed alone. */
	while (!area.end && det_state.heap.nr_dirty) {
		drop_dirty(det_state.heap.nr_dirty - 1);
		area = take_extent(len);
	}
	det_state.heap.in_spans += length(area);
	return area;
}

static void link_span(struct det_span *span)
{
	struct det_span **bin = &det_state.heap.bin[span->class];

	span->prev = NULL;
	span->next = *bin;
	if (*bin)
		(*bin)->prev = span;
	*bin = span;
}

static void unlink_span(struct det_span *span)
{
	if (span->prev)
		span->prev->next = span->next;
	else
		det_state.heap.bin[span->class] = span->next;
	if (span->next)
		span->next->prev = span->prev;
}

static void release_span(struct det_span *span)
{
	struct det_area area = span->area;

	det_state.heap.in_spans -= length(area);
	add_dirty(area);
}

/*
 * Blocks are aligned to the largest power of two in their size, at most to a page.
 * The header takes the room of the first of them, or of some.
 */
static struct det_span *make_small(unsigned int class)
{
	size_t block = size_of_class(class), first, room;
	size_t nr = (DET_UNIT - HEADER) / block;
	bool dirty;
	struct det_area area = take_area(DET_UNIT, &dirty);
	struct det_span *span = (void *)area.start;

	if (!span)
		return NULL;
	first = HEADER + (nr + 63) / 64 * 8;
	first = round_up(first, block & -block);
	room = (DET_UNIT - first) / block;
	memset(span, 0, first);
	span->area = area;
	span->class = class;
	span->block = block;
	span->first = first;
	span->nr_blocks = room;
	span->nr_free = room;
	for (size_t i = room; i < (nr + 63) / 64 * 64; i++)
		span->used[i / 64] |= 1UL << i % 64;
	link_span(span);
	return span;
}

static void *take_block(struct det_span *span)
{
	unsigned int word = span->hint, bit;

	while (span->used[word] == ~0UL)
		word++;
	bit = __builtin_ctzl(~span->used[word]);
	span->used[word] |= 1UL << bit;
	span->hint = word;
	if (--span->nr_free == 0)
		unlink_span(span);
	return (char *)span + span->first + (word * 64UL + bit) * span->block;
}

static void *alloc_small(size_t size, bool zero)
{
	unsigned int class = class_of(size);
	struct det_span *span = det_state.heap.bin[class];
	void *p;

	if (!span)
		span = make_small(class);
	if (!span)
		return NULL;
	det_state.heap.in_use += span->block;
	p = take_block(span);
	return zero ? memset(p, 0, span->block) : p;
}

/* The header is at the last unit boundary before the block. */
static void *alloc_large(size_t size, size_t align, bool zero)
{
	size_t before = align < 128 ? 128 : align;
	struct det_span *span;
	struct det_area area;
	uintptr_t p;
	bool dirty;

	/* Units are aligned to themselves alone. */
	if (align >= DET_UNIT)
		before += align;
	area = take_area(round_up(size + before, DET_UNIT), &dirty);
	if (!area.start)
		return NULL;
	p = round_up(area.start + 128, align);
	span = (void *)((p - 1) & -DET_UNIT);
	memset(span, 0, HEADER);
	span->area = area;
	span->class = LARGE;
	span->first = p - (uintptr_t)span;
	span->block = area.end - p;
	det_state.heap.in_use += span->block;
	return zero && dirty ? memset((void *)p, 0, size) : (void *)p;
}

void *det_heap_alloc(size_t size, size_t align, bool zero)
{
	if (size > DET_ARENA_SIZE || align > DET_ARENA_SIZE)
		return NULL;
	/* A size that is a multiple of it has blocks that are aligned to it. */
	if (align > 16 && align <= 4096 && size <= SMALL_MAX)
		size = size <= align ? align : round_up(size, align);
	if (align <= 16 && size <= SMALL_MAX)
		return alloc_small(size, zero);
	if (align <= 4096 && size <= SMALL_MAX &&
	    size_of_class(class_of(size)) % align == 0)
		return alloc_small(size, zero);
	return alloc_large(size, align, zero);
}

static struct det_span *span_of(void *p)
{
	return (void *)(((uintptr_t)p - 1) & -DET_UNIT);
}

static bool is_mine(void *p)
{
	return (uintptr_t)p - det_state.heap.part.start < length(det_state.heap.part);
}

static bool is_block(const struct det_span *span, void *p)
{
	size_t offset = (uintptr_t)p - (uintptr_t)span - span->first;

	if (span->class == LARGE)
		return offset == 0;
	return span->class < LARGE && span->block &&
	       offset % span->block == 0 && offset / span->block < span->nr_blocks;
}

static void free_small(struct det_span *span, void *p)
{
	size_t i = ((uintptr_t)p - (uintptr_t)span - span->first) / span->block;

	if (!(span->used[i / 64] & 1UL << i % 64))
		det_misuse("free() of a block that is free already");
	span->used[i / 64] &= ~(1UL << i % 64);
	if (i / 64 < span->hint)
		span->hint = i / 64;
	det_state.heap.in_use -= span->block;
	if (span->nr_free++ == 0)
		link_span(span);
	/* One may stay, for the next block of this size. */
	if (span->nr_free == span->nr_blocks &&
	    (det_state.heap.bin[span->class] != span || span->next)) {
		unlink_span(span);
		release_span(span);
	}
}

static void **queued(void)
{
	return (void *)det_block(det_state.level, DET_QUEUE_AT);
}

static void queue_block(void *p)
{
	if (det_state.heap.nr_queued == DET_QUEUE_SIZE / sizeof(void *))
		det_misuse("too many blocks of other spaces freed");
	queued()[det_state.heap.nr_queued++] = p;
}

bool det_heap_is_foreign(void *p)
{
	return !is_mine(p);
}

void det_heap_free(void *p)
{
	struct det_span *span = span_of(p);

	if ((uintptr_t)p < DET_ARENA ||
	    (uintptr_t)p >= DET_ARENA + det_state.arena_size)
		det_misuse("free() of what malloc() has not given");
	if (!is_mine(p)) {
		queue_block(p);
		return;
	}
	if (!is_block(span, p))
		det_misuse("free() of what malloc() has not given");
	if (span->class != LARGE) {
		free_small(span, p);
		return;
	}
	det_state.heap.in_use -= span->block;
	span->class = LARGE + 1;	/* noticed if freed again */
	release_span(span);
}

size_t det_heap_size(void *p)
{
	return span_of(p)->block;
}

bool det_heap_fits(void *p, size_t size)
{
	const struct det_span *span = span_of(p);

	if (size > span->block)
		return false;
	/* It may give back what is worth it. */
	if (span->class == LARGE)
		return size > SMALL_MAX && size >= span->block / 2;
	return class_of(size) == span->class || size * 2 > span->block;
}

void det_heap_begin(struct det_area part)
{
	memset(&det_state.heap, 0, sizeof(det_state.heap));
	det_state.heap.part = part;
}

bool det_heap_is_used(void)
{
	return det_state.heap.has_extents || det_state.heap.nr_queued;
}

void det_heap_trim(void)
{
	for (unsigned int i = 0; i < DET_NR_CLASSES; i++) {
		struct det_span *span = det_state.heap.bin[i];

		while (span) {
			struct det_span *next = span->next;

			if (span->nr_free == span->nr_blocks) {
				unlink_span(span);
				release_span(span);
			}
			span = next;
		}
	}
	while (det_state.heap.nr_dirty)
		drop_dirty(det_state.heap.nr_dirty - 1);
}

/*
 * A team shares half of what this space has. Of single ones the first gets half, the
 * next an eighth, then an 18th: at most half of the largest area is given away, however
 * many there are.
 */
struct det_area det_heap_cut(unsigned int nth, unsigned int team)
{
	struct det_area part = { 0, 0 };
	size_t largest = 0, len;

	begin_extents();
	for (size_t i = 1; i < det_state.heap.nr_extents; i++)
		if (length(*extent(i)) > length(*extent(largest)))
			largest = i;
	if (det_state.heap.nr_extents == 0)
		return part;
	len = length(det_state.heap.part) / 2;
	len = team ? len / team : len / (nth + 1) / (nth + 1);
	if (len > length(*extent(largest)) / 2)
		len = length(*extent(largest)) / 2;
	len &= -DET_UNIT;
	part.end = extent(largest)->end;
	part.start = part.end - len;
	extent(largest)->end = part.start;
	return part;
}

void det_heap_uncut(struct det_area part, bool used)
{
	if (used)
		det_zero(part);
	add_extent(part);
}

/* A child's spans that have room become ours; the others need no list. */
static void adopt_spans(const struct det_heap *child)
{
	for (unsigned int i = 0; i < DET_NR_CLASSES; i++) {
		struct det_span *span = child->bin[i];

		while (span) {
			struct det_span *next = span->next;

			link_span(span);
			span = next;
		}
	}
	det_state.heap.in_spans += child->in_spans;
	det_state.heap.in_use += child->in_use;
}

int det_heap_adopt(const struct det_heap *child, uintptr_t extents,
		   uintptr_t queue,
		   int (*read)(void *to, uintptr_t from, size_t len))
{
	const size_t room = DET_SCRATCH_ROOM / sizeof(struct det_area);
	struct det_area *area;
	size_t n;
	void **p;

	area = (void *)det_scratch(det_state.level);
	p = (void *)area;
	adopt_spans(child);
	if (!child->has_extents)
		add_extent(child->part);
	for (size_t i = 0; i < child->nr_extents; i += n) {
		n = child->nr_extents - i;
		n = n < room ? n : room;
		if (read(area, extents + i * sizeof(*area), n * sizeof(*area)))
			return -1;
		for (size_t j = 0; j < n; j++)
			add_extent(area[j]);
	}
	for (size_t i = 0; i < child->nr_queued; i += n) {
		n = child->nr_queued - i;
		n = n < 2 * room ? n : 2 * room;
		if (read(p, queue + i * sizeof(*p), n * sizeof(*p)))
			return -1;
		for (size_t j = 0; j < n; j++)
			queue_block(p[j]);
	}
	return 0;
}

/* What is ours by now is freed; the rest waits for whoever it belongs to. */
void det_heap_settle(void)
{
	void **all = queued();
	size_t kept = 0;

	for (size_t i = 0; i < det_state.heap.nr_queued; i++) {
		if (is_mine(all[i]))
			det_heap_free(all[i]);
		else
			all[kept++] = all[i];
	}
	det_state.heap.nr_queued = kept;
}

const struct det_heap *det_heap_state(void)
{
	return &det_state.heap;
}
