/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a crashed host jumps to, in place of a kernel: says on the first serial
 * port what it finds, starts the other CPU, and ends by a triple fault. The
 * image may stand at any page below 4 GiB; entered in 64-bit mode with paging.
 *
 * It gets here only if VMX is off: the kernel's way here clears CR4.VMXE, which
 * faults in VMX operation. And INIT does not reach a CPU that is in VMX
 * operation, or has GIF clear.
 *
 * Of each VMCS that crash-load was given it says the launch state. Where that
 * stands in the VMCS is the CPU's secret; Bochs has it in the third word, 1 from
 * VMLAUNCH to VMCLEAR.
 */
#define COM1		0x3f8
#define LSR_THRE	0x20
#define MSR_APIC_BASE	0x1b
#define MSR_EFER	0xc0000080
#define MSR_VM_HSAVE_PA	0xc0010117
#define AUTH		0x68747541	/* EBX of CPUID 0 on AMD */
#define APIC_SPIV	0xf0
#define APIC_ICR	0x300
#define ICR_INIT	0xc4500		/* to all but this CPU */
#define ICR_STARTUP	0xc4600
#define TRAMPOLINE	0x8000
#define STARTED		0xff0		/* in the page of the trampoline */
#define LAUNCH_STATE	8		/* in a VMCS of Bochs */

	.section .rodata
	.balign	4096
	.globl	crash_image
crash_image:
	.code64
	cli
	cld
	lea	stack(%rip), %rsp
	lea	pdpt(%rip), %rax
	or	$3, %rax
	mov	%rax, pml4(%rip)
	lea	pml4(%rip), %rax
	mov	%rax, %cr3

	lea	text_cr4(%rip), %rsi
	call	print
	mov	%cr4, %rdx
	call	hex
	lea	text_efer(%rip), %rsi
	call	print
	mov	$MSR_EFER, %ecx
	call	msr
	call	hex
	xor	%eax, %eax
	cpuid
	cmp	$AUTH, %ebx
	jne	1f
	lea	text_hsave(%rip), %rsi
	call	print
	mov	$MSR_VM_HSAVE_PA, %ecx
	call	msr
	call	hex
1:	lea	text_nl(%rip), %rsi
	call	print

	lea	crash_vmcs(%rip), %rbx
1:	mov	(%rbx), %rbp
	test	%rbp, %rbp
	jz	2f
	lea	text_vmcs(%rip), %rsi
	call	print
	mov	%rbp, %rdx
	call	hex
	lea	text_state(%rip), %rsi
	call	print
	mov	LAUNCH_STATE(%rbp), %edx
	call	hex
	lea	text_nl(%rip), %rsi
	call	print
	add	$8, %rbx
	jmp	1b
2:
	lea	trampoline(%rip), %rsi
	mov	$TRAMPOLINE, %edi
	mov	$trampoline_end - trampoline, %ecx
	rep movsb
	movb	$0, TRAMPOLINE + STARTED
	mov	$MSR_APIC_BASE, %ecx
	call	msr
	and	$~0xfff, %rdx
	mov	%rdx, %rbx
	orl	$0x100, APIC_SPIV(%rbx)
	movl	$ICR_INIT, APIC_ICR(%rbx)
	call	delay
	movl	$ICR_STARTUP | (TRAMPOLINE >> 12), APIC_ICR(%rbx)
	call	delay
	lea	text_end(%rip), %rsi
	cmpb	$0, TRAMPOLINE + STARTED
	jne	2f
	lea	text_alone(%rip), %rsi
2:	call	print
	lidt	no_idt(%rip)
	int3

/* Long enough for the other CPU to print its line, on an emulator. */
delay:
	mov	$2000000, %ecx
1:	pause
	loop	1b
	ret

/* %rdx: the MSR %ecx. */
msr:
	rdmsr
	shl	$32, %rdx
	mov	%eax, %eax
	or	%rax, %rdx
	ret

/* Print the string at %rsi. */
print:
	lodsb
	test	%al, %al
	jz	1f
	call	putc
	jmp	print
1:	ret

/* Print %rdx in hexadecimal. */
hex:
	mov	%rdx, %r9
	mov	$16, %r8d
1:	rol	$4, %r9
	mov	%r9d, %eax
	and	$15, %eax
	cmp	$10, %al
	jb	2f
	add	$'a' - '0' - 10, %al
2:	add	$'0', %al
	call	putc
	dec	%r8d
	jnz	1b
	ret

putc:
	mov	%al, %ah
	mov	$COM1 + 5, %dx
1:	in	%dx, %al
	test	$LSR_THRE, %al
	jz	1b
	mov	%ah, %al
	mov	$COM1, %dx
	out	%al, %dx
	ret

text_cr4:	.asciz "\r\ncrash: CR4 "
text_efer:	.asciz " EFER "
text_hsave:	.asciz " VM_HSAVE_PA "
text_vmcs:	.asciz "crash: VMCS "
text_state:	.asciz " launch state "
text_nl:	.asciz "\r\n"
text_alone:	.asciz "crash: the other CPU did not start\r\n"
text_end:	.asciz "crash: end\r\n"

/* Where the other CPU starts, in real mode. */
	.code16
trampoline:
	cli
	mov	%cs, %ax
	mov	%ax, %ds
	mov	$trampoline_text - trampoline, %si
1:	lodsb
	test	%al, %al
	jz	3f
	mov	%al, %ah
	mov	$COM1 + 5, %dx
2:	in	%dx, %al
	test	$LSR_THRE, %al
	jz	2b
	mov	%ah, %al
	mov	$COM1, %dx
	out	%al, %dx
	jmp	1b
3:	movb	$1, STARTED
4:	hlt
	jmp	4b
trampoline_text:
	.asciz "crash: the other CPU started\r\n"
trampoline_end:

	.balign	8
	.globl	crash_vmcs, crash_vmcs_end
crash_vmcs:
	.fill	17, 8, 0
crash_vmcs_end:
no_idt:	.fill	10, 1, 0
	.balign	4096
pml4:	.fill	512, 8, 0
/* The first 4 GiB, in pages of 1 GiB. */
pdpt:	.quad	0x83, 0x40000083, 0x80000083, 0xc0000083
	.fill	508, 8, 0
	.fill	512, 8, 0
stack:
	.globl	crash_image_end
crash_image_end:
	.section .note.GNU-stack, "", @progbits
