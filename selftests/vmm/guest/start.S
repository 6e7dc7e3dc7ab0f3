/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Entry, page tables, trap stubs and the pieces that only assembly can hold
 * still. The VMM enters in long mode with the CPU's index in RDI, the stack set
 * and GS pointing at the CPU's page.
 */
	.section .head, "aw"
	.quad	guest_entry
	.quad	page_pml4
	.quad	guest_gdt
	.quad	guest_gdt_end - guest_gdt - 1

	.text
	.globl	guest_entry
guest_entry:
	call	guest_main
1:	cli
	hlt
	jmp	1b

/* 256 stubs of 16 bytes: vector and error code on the stack, then on_trap(). */
	.balign	16
	.globl	trap_stubs
trap_stubs:
	.set	vec, 0
	.rept	256
	.balign	16
	/* The CPU pushes an error code for 8, 10-14, 17, 21, 29 and 30. */
	.if	!((0x60227d00 >> (vec & 31)) & 1 & (vec < 32))
	pushq	$0
	.endif
	pushq	$vec
	jmp	trap_common
	.set	vec, vec + 1
	.endr

trap_common:
	pushq	%rax
	pushq	%rbx
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%rbp
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, %rdi
	cld
	call	on_trap
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rbp
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	popq	%rbx
	popq	%rax
	addq	$16, %rsp
	iretq

/*
 * regs_round(struct regs_frame *): the frame's address becomes the stack
 * pointer, so that all other registers are free to hold the pattern.
 * Layout: in[15] at 0, flags_in 120, spins 128, out[15] at 136, flags_out 256,
 * saved rsp 264, rsp_out 272.
 */
	.globl	regs_round
regs_round:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, 264(%rdi)
	movq	%rdi, %rsp
	movq	0(%rsp), %rax
	movq	8(%rsp), %rbx
	movq	16(%rsp), %rcx
	movq	24(%rsp), %rdx
	movq	32(%rsp), %rsi
	movq	40(%rsp), %rdi
	movq	48(%rsp), %rbp
	movq	56(%rsp), %r8
	movq	64(%rsp), %r9
	movq	72(%rsp), %r10
	movq	80(%rsp), %r11
	movq	88(%rsp), %r12
	movq	96(%rsp), %r13
	movq	104(%rsp), %r14
	movq	112(%rsp), %r15
1:	decq	128(%rsp)
	jnz	1b
	pushq	120(%rsp)
	popfq
	outb	%al, $0xe0
	pushfq
	popq	256(%rsp)
	cld
	movq	%rsp, 272(%rsp)
	movq	%rax, 136(%rsp)
	movq	%rbx, 144(%rsp)
	movq	%rcx, 152(%rsp)
	movq	%rdx, 160(%rsp)
	movq	%rsi, 168(%rsp)
	movq	%rdi, 176(%rsp)
	movq	%rbp, 184(%rsp)
	movq	%r8, 192(%rsp)
	movq	%r9, 200(%rsp)
	movq	%r10, 208(%rsp)
	movq	%r11, 216(%rsp)
	movq	%r12, 224(%rsp)
	movq	%r13, 232(%rsp)
	movq	%r14, 240(%rsp)
	movq	%r15, 248(%rsp)
	movq	264(%rsp), %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret

/* xsave_round(in, out, mask, spins): state live in registers while spinning. */
	.globl	xsave_round
xsave_round:
	movq	%rdx, %rax
	shrq	$32, %rdx
	movq	%rax, %r8
	movq	%rdx, %r9
	xrstor64 (%rdi)
1:	decq	%rcx
	jnz	1b
	outb	%al, $0xe0
	movl	%r8d, %eax
	movl	%r9d, %edx
	xsave64	(%rsi)
	ret

	.globl	fxsave_round
fxsave_round:
	fxrstor64 (%rdi)
1:	decq	%rcx
	jnz	1b
	outb	%al, $0xe0
	fxsave64 (%rsi)
	ret

/*
 * SYSCALL works at CPL 0 as well and needs no SYSRET to come back. Two entries,
 * told apart by RAX, so that a wrong LSTAR shows. u64 do_syscall(u64 *flags):
 * the flags are those at the entry, after SFMASK.
 */
	.globl	do_syscall
do_syscall:
	pushq	$0xad7		/* CF PF AF ZF SF IF DF OF fixed */
	andq	$~0x200, (%rsp)
	popfq
	syscall
	cld
	movq	%rdx, (%rdi)
	ret

	.globl	syscall_entry_a
syscall_entry_a:
	pushfq
	popq	%rdx
	movl	$0xaaaa, %eax
	jmp	*%rcx

	.globl	syscall_entry_b
syscall_entry_b:
	pushfq
	popq	%rdx
	movl	$0xbbbb, %eax
	jmp	*%rcx

/* u64 spin_round(u64 from, u64 n): counts in a register, never in memory. */
	.globl	spin_round
spin_round:
	movq	%rdi, %rax
1:	incq	%rax
	decq	%rsi
	jnz	1b
	ret

/* The address of this instruction carries the execution breakpoint. */
	.globl	hwbp_target
hwbp_target:
	nop
	ret

/* 4 GiB mapped one to one by 2 MiB pages. */
	.data
	.balign	4096
page_pml4:
	.quad	page_pdpt + 7
	.fill	511, 8, 0
page_pdpt:
	.quad	page_pd + 0x0007
	.quad	page_pd + 0x1007
	.quad	page_pd + 0x2007
	.quad	page_pd + 0x3007
	.fill	508, 8, 0
page_pd:
	.set	n, 0
	.rept	2048
	.quad	(n << 21) + 0x87
	.set	n, n + 1
	.endr

	.globl	guest_gdt
guest_gdt:
	.quad	0
	.quad	0x00af9b000000ffff
	.quad	0x00cf93000000ffff
	.quad	0
	.fill	16, 8, 0
guest_gdt_end:

	.section .note.GNU-stack, "", @progbits
