/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest image inside the programs; GUEST_BIN is its file. */
	.section .rodata
	.balign	4096
	.globl	guest_image
guest_image:
	.incbin	GUEST_BIN
	.globl	guest_image_end
guest_image_end:
	.section .note.GNU-stack, "", @progbits
