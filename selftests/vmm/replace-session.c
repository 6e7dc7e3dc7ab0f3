// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmm-replace: what a session keeps, by libkvmrelay. The device is the memory of a memslot, and so
 * part of the VM; its container and group come before.
 */
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/vfio.h>
#include <unistd.h>
#include "replace.h"

static void keep(const struct replace_vmm *v, const char *name, enum vfio_keepalive_kind kind,
		 int fd, __u32 flags)
{
	struct kvmrelay_error why;

	if (fd >= 0 && kvmrelay_keep(v->session, name, kind, fd, flags, &why))
		errx(1, "%s is not kept: %s", name, why.reason);
}

static __u64 bar_offset(const struct device *d)
{
	struct vfio_region_info info = {
		.argsz = sizeof(info), .index = VFIO_PCI_BAR0_REGION_INDEX,
	};

	if (ioctl(d->fd, VFIO_DEVICE_GET_REGION_INFO, &info))
		err(1, "VFIO_DEVICE_GET_REGION_INFO");
	return info.offset;
}

void replace_keep_all(struct replace_vmm *v)
{
	struct kvmrelay_slot slots[SLOTS] = {
		{ .slot = SLOT_MEM, .size = v->r->shape.mem, .memory = v->r->mem },
		{ .slot = SLOT_BAR, .size = v->d.bar_size, .memory = v->d.fd,
		  .guest_phys_addr = v->r->kind->bar, .offset = bar_offset(&v->d),
		  .flags = KVMRELAY_SLOT_DEVICE },
	};
	int vcpus[GUEST_MAX_CPUS];
	struct kvmrelay_vm vm = {
		.flags = KVMRELAY_VM_MARKED,
		.vm = v->vm->fd,
		.nr_vcpus = v->r->shape.cpus, .vcpus = vcpus,
		.nr_slots = SLOTS, .slots = slots,
	};
	struct kvmrelay_error why;
	unsigned int i;

	for (i = 0; i < vm.nr_vcpus; i++)
		vcpus[i] = v->vm->vcpu[i].fd;
	keep(v, "container", VFIO_KEEPALIVE_CONTAINER, v->d.container, 0);
	keep(v, "group", VFIO_KEEPALIVE_GROUP, v->d.group, 0);
	if (kvmrelay_vm_keep(v->session, "vm", &vm, &why))
		errx(1, "the VM is not kept: %s", why.reason);
	keep(v, "msi", VFIO_KEEPALIVE_EVENTFD, v->d.msi, 0);
	keep(v, "request", VFIO_KEEPALIVE_EVENTFD, v->d.request, VFIO_KEEPALIVE_ADD_REQUEST);
	keep(v, "devices", VFIO_KEEPALIVE_MEMORY, v->journal_fd, 0);
	keep(v, "kvm-vfio", VFIO_KEEPALIVE_KVM_DEVICE, v->vfio, 0);
}

static int take(const struct replace_vmm *v, const char *name)
{
	struct kvmrelay_error why;
	int fd = kvmrelay_take(v->session, name, &why);

	if (fd < 0)
		errx(1, "%s: %s", name, why.reason);
	return fd;
}

void replace_take_all(struct replace_vmm *v)
{
	struct kvmrelay_error why;

	/* A custodian has sent it. */
	if (!v->got && kvmrelay_vm_take(v->session, "vm", &v->got, &why))
		errx(1, "the VM: %s", why.reason);
	if (v->got->nr_slots != SLOTS)
		errx(1, "a VM with %u memslots", v->got->nr_slots);
	v->d = (struct device){
		.container = take(v, "container"),
		.group = take(v, "group"),
		.fd = v->got->slots[SLOT_BAR].memory,
		.msi = take(v, "msi"),
		.request = take(v, "request"),
	};
	v->fds.mem = v->got->slots[SLOT_MEM].memory;
	v->fds.irq[0] = v->d.msi;
	v->journal_fd = take(v, "devices");
	v->vfio = take(v, "kvm-vfio");
}
