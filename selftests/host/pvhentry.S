/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Entry for the boot loader, with its information in ebx; pvhboot.c translates it.
 * PVH_ENTRY, the address in the kernel's Xen note, comes by the linker.
 */
	.text
	.globl start
start:
	cld
	mov	$(stack + 4096), %esp
	push	%ebx
	call	translate
	mov	%eax, %ebx
	mov	$PVH_ENTRY, %eax
	jmp	*%eax

	.bss
	.balign	16
stack:
	.skip	4096

	.section .note.GNU-stack, "", @progbits
