// SPDX-License-Identifier: GPL-2.0-only
/* vmm-kept: lines of the interrupt controllers, and what of them is in service. */
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "kept.h"
#include "mini.h"

static __u32 line(struct mini *m)
{
	struct kvm_irq_level line = { .irq = 20, .level = 1 };

	mini_ioctl(m, m->fd, KVM_IRQ_LINE_STATUS, &line, "KVM_IRQ_LINE_STATUS");
	return line.status;
}

void kept_edge(void)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	__u32 first, moved, again;
	struct mini m;

	mini_begin(&m);
	mini_ioctl(&m, m.fd, KVM_CREATE_IRQCHIP, NULL, "KVM_CREATE_IRQCHIP");
	mini_boot(&m, code_out, sizeof(code_out));
	mini_lapic(&m, 0);
	mini_ioctl(&m, m.fd, KVM_GET_IRQCHIP, &chip, "KVM_GET_IRQCHIP");
	/* By edge, to APIC 0; of a pin that the PIC has not. */
	chip.chip.ioapic.redirtbl[20].bits = 0x35;
	mini_ioctl(&m, m.fd, KVM_SET_IRQCHIP, &chip, "KVM_SET_IRQCHIP");
	first = line(&m);
	mini_move(&m, 1);
	moved = line(&m);
	again = line(&m);
	if (m.ok && (!first || moved || again)) {
		snprintf(m.why, sizeof(m.why),
			 "interrupts of a line that goes up and stays there: %u, after a move %u, %u",
			 first, moved, again);
		m.ok = false;
	}
	kept_end(&m, "a line that is high, and whose edge was delivered");
}

/* The line goes up and down. With @status, what KVM says of the interrupt. */
static __u32 rtc(struct mini *m, bool status)
{
	struct kvm_irq_level line = { .irq = 8, .level = 1 };
	__u32 ret;

	if (status)
		mini_ioctl(m, m->fd, KVM_IRQ_LINE_STATUS, &line, "KVM_IRQ_LINE_STATUS");
	else
		mini_ioctl(m, m->fd, KVM_IRQ_LINE, &line, "KVM_IRQ_LINE");
	/* In the place of the line. */
	ret = line.status;
	line.irq = 8;
	line.level = 0;
	mini_ioctl(m, m->fd, KVM_IRQ_LINE, &line, "KVM_IRQ_LINE");
	return ret;
}

/* No longer in the LAPIC, as with its EOI. */
static void rtc_end(struct mini *m)
{
	struct kvm_lapic_state l;

	mini_ioctl(m, m->vcpu[0], KVM_GET_LAPIC, &l, "KVM_GET_LAPIC");
	memset(l.regs + 0x210, 0, 4);
	mini_ioctl(m, m->vcpu[0], KVM_SET_LAPIC, &l, "KVM_SET_LAPIC");
}

static void rtc_expect(struct mini *m, __u32 expected, const char *what)
{
	__u32 status = rtc(m, true);

	if (!m->ok || status == expected)
		return;
	snprintf(m->why, sizeof(m->why), "%s: %u vCPUs got it, expected was %u", what,
		 status, expected);
	m->ok = false;
}

void kept_rtc(void)
{
	struct kvm_irqchip io = { .chip_id = KVM_IRQCHIP_IOAPIC };
	struct kvm_irqchip pic = { .chip_id = KVM_IRQCHIP_PIC_SLAVE };
	struct mini m;

	mini_begin(&m);
	mini_ioctl(&m, m.fd, KVM_CREATE_IRQCHIP, NULL, "KVM_CREATE_IRQCHIP");
	mini_boot(&m, code_out, sizeof(code_out));
	mini_lapic(&m, 0);
	mini_ioctl(&m, m.fd, KVM_GET_IRQCHIP, &pic, "KVM_GET_IRQCHIP");
	pic.chip.pic.imr = 0xff;
	mini_ioctl(&m, m.fd, KVM_SET_IRQCHIP, &pic, "KVM_SET_IRQCHIP");
	mini_ioctl(&m, m.fd, KVM_GET_IRQCHIP, &io, "KVM_GET_IRQCHIP");
	io.chip.ioapic.redirtbl[8].bits = 0x38;
	mini_ioctl(&m, m.fd, KVM_SET_IRQCHIP, &io, "KVM_SET_IRQCHIP");
	rtc_expect(&m, 1, "the first one");
	rtc_expect(&m, 0, "before it has ended");
	mini_move(&m, 1);
	rtc_expect(&m, 0, "before it has ended, after a move");
	rtc_end(&m);
	/* KVM counts none that nobody asks for. */
	rtc(&m, false);
	mini_move(&m, 0);
	rtc_expect(&m, 1, "behind one without status and a move");
	mini_move(&m, 1);
	rtc_expect(&m, 0, "before that has ended, after a move");
	rtc_end(&m);
	rtc_expect(&m, 1, "when that has ended");
	kept_end(&m, "an RTC interrupt that is in service");
}

static __u8 pic_irr(struct mini *m)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_PIC_MASTER };

	mini_ioctl(m, m->fd, KVM_GET_IRQCHIP, &chip, "KVM_GET_IRQCHIP");
	return chip.chip.pic.irr;
}

static void set_line(struct mini *m, __u32 irq, __u32 level)
{
	struct kvm_irq_level line = { .irq = irq, .level = level };

	mini_ioctl(m, m->fd, KVM_IRQ_LINE, &line, "KVM_IRQ_LINE");
}

static void irqfd(struct mini *m, int fd, int resample, __u32 gsi, __u32 flags)
{
	struct kvm_irqfd i = {
		.fd = fd,
		.gsi = gsi,
		.flags = flags,
		.resamplefd = resample,
	};

	mini_ioctl(m, m->fd, KVM_IRQFD, &i, "KVM_IRQFD");
}

/* Lines 5 and 6 are userspace's and an irqfd's, one of which holds them. */
void kept_pic(void)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_PIC_MASTER };
	__u64 one = 1;
	struct mini m;
	int fd[3], i, to;

	mini_begin(&m);
	for (i = 0; i < 3; i++)
		fd[i] = eventfd(0, EFD_CLOEXEC);
	mini_ioctl(&m, m.fd, KVM_CREATE_IRQCHIP, NULL, "KVM_CREATE_IRQCHIP");
	mini_boot(&m, code_out, sizeof(code_out));
	mini_ioctl(&m, m.fd, KVM_GET_IRQCHIP, &chip, "KVM_GET_IRQCHIP");
	chip.chip.pic.elcr = 0x60;
	mini_ioctl(&m, m.fd, KVM_SET_IRQCHIP, &chip, "KVM_SET_IRQCHIP");
	irqfd(&m, fd[0], fd[2], 5, KVM_IRQFD_FLAG_RESAMPLE);
	irqfd(&m, fd[1], fd[2], 6, KVM_IRQFD_FLAG_RESAMPLE);
	set_line(&m, 5, 1);
	if (m.ok && write(fd[1], &one, sizeof(one)) != sizeof(one))
		mini_fail(&m, "eventfd");
	/* A work of the kernel's raises the line. */
	for (i = 0; m.ok && pic_irr(&m) != 0x60 && i < 1000; i++)
		usleep(10000);
	for (to = 1; to >= 0; to--) {
		mini_move(&m, to);
		/* The other one lets go. */
		if (to)
			irqfd(&m, fd[0], -1, 5, KVM_IRQFD_FLAG_DEASSIGN);
		set_line(&m, 6, 1);
		set_line(&m, 6, 0);
		if (m.ok && pic_irr(&m) != 0x60) {
			snprintf(m.why, sizeof(m.why),
				 "lines 5 and 6 are held high, the PIC has %#x",
				 pic_irr(&m));
			m.ok = false;
		}
	}
	for (i = 0; i < 3; i++)
		close(fd[i]);
	kept_end(&m, "lines of the PIC that one of two holds high");
}
