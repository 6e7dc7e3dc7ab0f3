// SPDX-License-Identifier: GPL-2.0-only
/*
 * Linked into KVM selftests whose guests spin (--wrap=ioctl): guests start with
 * RFLAGS.IF set.
 *
 * A physical interrupt ends VMX guest mode whatever RFLAGS.IF says. Bochs does
 * not take it from a guest that was entered with IF clear, as the library of
 * the selftests enters all of them: a guest that spins without other exits then
 * keeps its CPU for good. No interrupt is sent to these guests but the one that
 * its test waits for, so with IF set they run as they do on hardware.
 */
#include <asm/processor-flags.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <sys/ioctl.h>

extern __typeof__(ioctl) __real_ioctl;

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	struct kvm_regs regs;
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request == KVM_SET_REGS) {
		regs = *(struct kvm_regs *)arg;
		regs.rflags |= X86_EFLAGS_IF;
		arg = &regs;
	}
	return __real_ioctl(fd, request, arg);
}
