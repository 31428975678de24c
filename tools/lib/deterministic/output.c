// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What a member prints stays in its block, where there is room for half a gigabyte, and
 * is printed by its parent when it is joined or discarded, or has failed.
 *
 * A member's streams are the C library's, with another buffer, so that all that writes
 * to them, perror() and std::cout included, needs to know nothing of it.
 */
#include <stdio.h>
#include <stdio_ext.h>
#include <wchar.h>

#include "internal.h"

/*
 * What its creator has not written yet is the creator's to write. That the stream is
 * one of bytes spares perror() a call, and that it is being written to makes it known
 * where the buffer ends: setvbuf() leaves that open for a stream that is in use. The
 * byte for that goes elsewhere: a member that prints nothing needs no page of the block.
 */
static void begin_stream(FILE *stream, uintptr_t at, size_t size)
{
	char *start = (char *)det_block(det_state.level, at), elsewhere[64];

	__fsetlocking(stream, FSETLOCKING_BYCALLER);
	__fpurge(stream);
	setvbuf(stream, elsewhere, _IOFBF, sizeof(elsewhere));
	fwide(stream, -1);
	putc(' ', stream);
	__fpurge(stream);
	stream->_IO_buf_base = start;
	stream->_IO_read_base = start;
	stream->_IO_read_ptr = start;
	stream->_IO_read_end = start;
	stream->_IO_write_base = start;
	stream->_IO_write_ptr = start;
	stream->_IO_buf_end = start + size;
	stream->_IO_write_end = stream->_IO_buf_end;
}

/* The C library's, by the other name that it has there. */
extern int _IO_fflush(FILE *stream);

/* In a member there is nowhere to write to: its parent does. std::endl comes here too. */
int fflush(FILE *stream)
{
	return det_state.level ? 0 : _IO_fflush(stream);
}

void det_output_begin(void)
{
	det_state.keep_blocks = true;
	begin_stream(det_state.out, DET_OUT_AT, DET_OUT_SIZE);
	begin_stream(det_state.err, DET_ERR_AT, DET_ERR_SIZE);
	det_state.keep_blocks = false;
}

/* How much there is in a stream of a space on this level, if its buffer is still ours. */
static size_t length_of(const FILE *stream, unsigned int level, uintptr_t at, size_t size)
{
	size_t len = stream->_IO_write_ptr - stream->_IO_write_base;

	if ((uintptr_t)stream->_IO_write_base != det_block(level, at) ||
	    stream->_IO_write_ptr < stream->_IO_write_base)
		return 0;
	return len < size ? len : size;
}

void det_output_note(size_t printed[2])
{
	printed[0] = length_of(det_state.out, det_state.level, DET_OUT_AT, DET_OUT_SIZE);
	printed[1] = length_of(det_state.err, det_state.level, DET_ERR_AT, DET_ERR_SIZE);
}

/* It may have stopped anywhere: its stream is looked at from here. */
static size_t look_at_stream(const FILE *stream, uintptr_t at, size_t size)
{
	FILE copy;

	if (det_read_child(&copy, (uintptr_t)stream, sizeof(copy)))
		return 0;
	return length_of(&copy, det_state.level + 1, at, size);
}

static void print(FILE *stream, uintptr_t at, size_t len)
{
	uintptr_t start = det_block(det_state.level + 1, at);
	char *scratch = det_scratch(det_state.level);
	size_t n;

	for (size_t i = 0; i < len; i += n) {
		n = len - i < DET_SCRATCH_ROOM ? len - i : DET_SCRATCH_ROOM;
		if (det_read_child(scratch, start + i, n))
			return;
		fwrite(scratch, 1, n, stream);
	}
}

void det_output_take(const size_t printed[2])
{
	print(det_state.out, DET_OUT_AT, printed ? printed[0] :
	      look_at_stream(det_state.out, DET_OUT_AT, DET_OUT_SIZE));
	print(det_state.err, DET_ERR_AT, printed ? printed[1] :
	      look_at_stream(det_state.err, DET_ERR_AT, DET_ERR_SIZE));
}
