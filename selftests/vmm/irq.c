// SPDX-License-Identifier: GPL-2.0-only
/* Interrupt routes, irqfds and ioeventfds of a VM. */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include "vmm.h"

#define IOAPIC_PINS	24
#define PIC_PINS	16

/* GN_SINT has GN_HYPERV in it. */
static bool has_sints(const struct vm *vm)
{
	return (guest_needs(vm->shape.guest) & GN_SINT) == GN_SINT;
}

/*
 * Setting a table replaces the one that KVM made, so the pins of the chips are
 * in it too: each of the first 16 lines reaches the PIC and the IOAPIC.
 */
int vm_route_irqs(struct vm *vm)
{
	struct kvm_irq_routing *table;
	struct kvm_irq_routing_entry *e;
	unsigned int i;
	int ret = 0;

	table = calloc(1, sizeof(*table) +
		       (PIC_PINS + IOAPIC_PINS + GUEST_MAX_CPUS) * sizeof(*e));
	if (!table)
		return vmm_error(ENOMEM, "interrupt routes");
	e = table->entries;
	for (i = 0; !vm->shape.split && i < IOAPIC_PINS; i++) {
		if (i < PIC_PINS) {
			e->gsi = i;
			e->type = KVM_IRQ_ROUTING_IRQCHIP;
			e->u.irqchip.irqchip = i < 8 ? KVM_IRQCHIP_PIC_MASTER :
						       KVM_IRQCHIP_PIC_SLAVE;
			e->u.irqchip.pin = i % 8;
			e++;
		}
		e->gsi = i;
		e->type = KVM_IRQ_ROUTING_IRQCHIP;
		e->u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
		e->u.irqchip.pin = i;
		e++;
	}
	for (i = 0; i < vm->shape.cpus; i++) {
		e->gsi = GSI_MSI(i);
		if (has_sints(vm)) {
			e->type = KVM_IRQ_ROUTING_HV_SINT;
			e->u.hv_sint.vcpu = i;
			e->u.hv_sint.sint = HYPERV_SINT;
			e++;
			continue;
		}
		e->type = KVM_IRQ_ROUTING_MSI;
		e->u.msi.address_lo = 0xfee00000 | i << 12;
		e->u.msi.data = VEC_IRQFD;
		e++;
	}
	table->nr = e - table->entries;
	if (ioctl(vm->fd, KVM_SET_GSI_ROUTING, table))
		ret = vmm_error(errno, "%s: KVM_SET_GSI_ROUTING", vm->path);
	free(table);
	return ret;
}

static int set_irqfds(struct vm *vm, __u32 flags)
{
	bool pin = guest_needs(vm->shape.guest) & GN_PIN;
	unsigned int i;

	for (i = 0; i < vm->shape.cpus; i++) {
		struct kvm_irqfd irqfd = {
			.fd = vm->fds.irq[i],
			.gsi = pin ? GSI_PIN(i) : GSI_MSI(i),
			.flags = flags,
		};

		if (guest_needs(vm->shape.guest) & GN_LEVEL &&
		    !(flags & KVM_IRQFD_FLAG_DEASSIGN)) {
			irqfd.flags |= KVM_IRQFD_FLAG_RESAMPLE;
			irqfd.resamplefd = vm->fds.ack[i];
		}

		if (vm->fds.irq[i] < 0)
			continue;
		if (ioctl(vm->fd, KVM_IRQFD, &irqfd))
			return vmm_error(errno, "%s: KVM_IRQFD, flags %x", vm->path,
					 flags);
	}
	vm->has_irqfds = !(flags & KVM_IRQFD_FLAG_DEASSIGN);
	return 0;
}

int vm_assign_irqfds(struct vm *vm)
{
	return vm->has_irqfds ? 0 : set_irqfds(vm, 0);
}

int vm_deassign_irqfds(struct vm *vm)
{
	return vm->has_irqfds ? set_irqfds(vm, KVM_IRQFD_FLAG_DEASSIGN) : 0;
}

static int assign_connections(struct vm *vm)
{
	unsigned int i;

	for (i = 0; i < vm->shape.cpus; i++) {
		struct kvm_hyperv_eventfd hv = {
			.conn_id = HYPERV_CONNECTION(i),
			.fd = vm->fds.ack[i],
		};

		if (ioctl(vm->fd, KVM_HYPERV_EVENTFD, &hv))
			return vmm_error(errno, "%s: KVM_HYPERV_EVENTFD", vm->path);
	}
	return 0;
}

int vm_assign_ioeventfds(struct vm *vm)
{
	bool mmio = guest_needs(vm->shape.guest) & GN_PIN;
	unsigned int i;

	if (guest_needs(vm->shape.guest) & GN_LEVEL)
		return 0;
	if (has_sints(vm))
		return assign_connections(vm);
	for (i = 0; i < vm->shape.cpus; i++) {
		struct kvm_ioeventfd io = {
			.addr = mmio ? GUEST_MMIO_ACK(i) : PORT_ACK(i),
			.len = 4,
			.datamatch = 1,
			.fd = vm->fds.ack[i],
			.flags = KVM_IOEVENTFD_FLAG_DATAMATCH |
				 (mmio ? 0 : KVM_IOEVENTFD_FLAG_PIO),
		};

		if (vm->fds.ack[i] < 0)
			continue;
		if (ioctl(vm->fd, KVM_IOEVENTFD, &io))
			return vmm_error(errno, "%s: KVM_IOEVENTFD", vm->path);
	}
	return 0;
}
