/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What runs in a space: an interpreter that does what its box says, once, and
 * stops with the result. It has no stack, and at each place where it may stop
 * every register is known, so that the model can foretell them.
 */
#include "layout.h"

	.section .space, "ax", @progbits
	.macro place name
	.globl \name
\name:
	.endm

place space_start
place space_entry
	mov	%rax, BOX + BOX_SEEN
	mov	%rbx, BOX + BOX_SEEN + 8
	mov	%rcx, BOX + BOX_SEEN + 16
	mov	%rdx, BOX + BOX_SEEN + 24
	mov	%rsi, BOX + BOX_SEEN + 32
	mov	%rdi, BOX + BOX_SEEN + 40
	mov	%rbp, BOX + BOX_SEEN + 48
	mov	%rsp, BOX + BOX_SEEN + 56
	mov	%r8, BOX + BOX_SEEN + 64
	mov	%r9, BOX + BOX_SEEN + 72
	mov	%r10, BOX + BOX_SEEN + 80
	mov	%r11, BOX + BOX_SEEN + 88
	mov	%r12, BOX + BOX_SEEN + 96
	mov	%r13, BOX + BOX_SEEN + 104
	mov	%r14, BOX + BOX_SEEN + 112
	mov	%r15, BOX + BOX_SEEN + 120

	mov	BOX + BOX_OP, %rax
	movq	$0, BOX + BOX_OP
	mov	BOX + BOX_OUT, %rbx
	mov	BOX + BOX_OUT + 8, %rbp
	mov	BOX + BOX_OUT + 16, %r12
	mov	BOX + BOX_OUT + 24, %r13
	mov	BOX + BOX_OUT + 32, %r14
	mov	BOX + BOX_OUT + 40, %r15
	mov	BOX + BOX_ARG, %rdi
	mov	BOX + BOX_ARG + 8, %rsi
	mov	BOX + BOX_ARG + 16, %rdx
	mov	BOX + BOX_ARG + 24, %r10
	mov	BOX + BOX_ARG + 32, %r8
	mov	BOX + BOX_ARG + 40, %r9
	xor	%ecx, %ecx
	xor	%r11d, %r11d
	cmp	$BOX_WRITE, %eax
	je	write
	cmp	$BOX_READ, %eax
	je	read
	cmp	$BOX_CALL, %eax
	je	call
	cmp	$BOX_TRAP, %eax
	je	trap
	cmp	$BOX_JUMP, %eax
	je	jump
zero:
	xor	%eax, %eax
done:
	mov	%rax, BOX + BOX_RESULT
	mov	%rax, %rdi
	mov	$NR_DRET, %eax
	xor	%r10d, %r10d
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%esi, %esi
	xor	%edx, %edx
	syscall
place space_stopped
	jmp	space_entry

	/* RDX bytes at RDI: ESI, and R10D more for each */
write:
	test	%rdx, %rdx
	jz	zero
place space_store
	mov	%sil, (%rdi)
	add	%r10d, %esi
	inc	%rdi
	dec	%rdx
	jnz	space_store
	jmp	zero

	/* RDX bytes at RDI: a sum that depends on their order */
read:
	test	%rdx, %rdx
	jz	zero
place space_load
	movzbl	(%rdi), %eax
	imul	$31, %esi, %esi
	add	%eax, %esi
	inc	%rdi
	dec	%rdx
	jnz	space_load
	mov	%esi, %eax
	jmp	done

call:
	mov	BOX + BOX_NR, %rax
	syscall
place space_called
	jmp	done

trap:
	cmp	$TRAP_UD2, %edi
	je	space_ud2
	cmp	$TRAP_INT3, %edi
	je	space_int3
	cmp	$TRAP_HLT, %edi
	je	space_hlt
	cmp	$TRAP_INT80, %edi
	je	space_int80
	xor	%edx, %edx
place space_div
	div	%ecx
	jmp	zero
place space_ud2
	ud2
place space_int3
	int3
place space_int3_after
	jmp	zero
place space_hlt
	hlt
place space_int80
	int	$0x80
	jmp	zero

jump:
	jmp	*%rdi

	/* The master's, but a space goes on here: see layout.h. */
	.globl	space_fork
	.type	space_fork, @function
space_fork:
	mov	$NR_DPUT, %eax
	syscall
place space_forked
	test	%rax, %rax
	jz	space_entry
	ret
place space_end

	.section .note.GNU-stack, "", @progbits
