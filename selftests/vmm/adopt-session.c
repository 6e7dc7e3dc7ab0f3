// SPDX-License-Identifier: GPL-2.0-only
/* A VMM of vmm-adopt: its VM's descriptors in a session of vfio-keepalive. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "adopt.h"

static void is(struct order_msg *m, const char *what, int r, int wanted)
{
	if (r != wanted && !m->ret)
		adopt_broken(m, "%s: %d, not %d", what, r, wanted);
}

/* A VM is nothing else, in one session only, and a session is nothing that it could keep. */
static int add(int session, int fd, enum vfio_keepalive_kind kind)
{
	return kvmrelay_keep(session, "x", kind, fd, 0, NULL);
}

/* Another VM of the same process */
static int other_vfio(const char *path)
{
	struct kvm_create_device vfio = { .type = KVM_DEV_TYPE_VFIO };
	int kvm = open(path, O_RDWR | O_CLOEXEC);
	int vm = ioctl(kvm, KVM_CREATE_VM, 0);
	int r = ioctl(vm, KVM_CREATE_DEVICE, &vfio);

	close(vm);
	close(kvm);
	return r ? -1 : (int)vfio.fd;
}

/* kvm-vfio goes where its VM is, or nobody would take the VM's groups to the next VMM. */
static void refused_vfio(struct adopt_vmm *s, struct order_msg *m, int session, int vfio)
{
	int strange = other_vfio(s->path);
	const enum vfio_keepalive_kind kind = VFIO_KEEPALIVE_KVM_DEVICE;

	is(m, "kvm-vfio as a VM", add(session, vfio, VFIO_KEEPALIVE_VM), -EINVAL);
	is(m, "kvm-vfio as a vCPU", add(session, vfio, VFIO_KEEPALIVE_VCPU), -EINVAL);
	is(m, "a VM as kvm-vfio", add(session, s->from->vm, kind), -EINVAL);
	is(m, "a vCPU as kvm-vfio", add(session, s->from->vcpus[0], kind), -EINVAL);
	is(m, "memory as kvm-vfio", add(session, s->fds.mem, kind), -EINVAL);
	is(m, "a session as kvm-vfio", add(session, session, kind), -EINVAL);
	is(m, "no descriptor as kvm-vfio", add(session, -1, kind), -EBADF);
	is(m, "kvm-vfio without its VM", add(session, vfio, kind), -ENODEV);
	is(m, "kvm-vfio of another VM", add(s->session, strange, kind), -ENODEV);
	if (!m->ret && add(s->session, vfio, kind) < 0)
		adopt_broken(m, "kvm-vfio of the VM is not kept");
	is(m, "kvm-vfio that is there already", add(s->session, vfio, kind), -EEXIST);
	is(m, "kvm-vfio that another session has", add(session, vfio, kind), -EBUSY);
	is(m, "dropping kvm-vfio", kvmrelay_drop(s->session, "x", NULL), 0);
	close(strange);
}

static void refused(struct adopt_vmm *s, struct order_msg *m)
{
	struct kvm_create_device vfio = { .type = KVM_DEV_TYPE_VFIO };
	struct kvm_irqfd irqfd = { .fd = s->session, .gsi = 5 };
	struct kvm_device_attr attr = {
		.group = KVM_DEV_VFIO_GROUP, .attr = KVM_DEV_VFIO_GROUP_ADD,
		.addr = (unsigned long)&s->session,
	};
	struct kvmrelay_ticket ticket;
	int other = kvmrelay_session_create(-1, "other", 60000, &ticket, NULL);
	int vm = s->from->vm, vcpu = s->from->vcpus[0];

	is(m, "a VM as a vCPU", add(other, vm, VFIO_KEEPALIVE_VCPU), -EINVAL);
	is(m, "a vCPU as a VM", add(other, vcpu, VFIO_KEEPALIVE_VM), -EINVAL);
	is(m, "memory as a VM", add(other, s->fds.mem, VFIO_KEEPALIVE_VM), -EINVAL);
	is(m, "a session as a VM", add(other, s->session, VFIO_KEEPALIVE_VM), -EINVAL);
	is(m, "a VM that another session has", add(other, vm, VFIO_KEEPALIVE_VM), -EBUSY);
	is(m, "a vCPU that another session has", add(other, vcpu, VFIO_KEEPALIVE_VCPU), -EBUSY);
	is(m, "a VM that is there already", add(s->session, vm, VFIO_KEEPALIVE_VM), -EEXIST);
	is(m, "a VM that another session has, as a whole",
	   kvmrelay_vm_keep(other, "vm", s->from, NULL), -EBUSY);
	is(m, "the session as an irqfd", ioctl(vm, KVM_IRQFD, &irqfd) ? errno : 0, EINVAL);
	if (!m->ret && ioctl(vm, KVM_CREATE_DEVICE, &vfio)) {
		adopt_broken(m, "no kvm-vfio: %s", strerror(errno));
	} else if (!m->ret) {
		is(m, "the session as a group",
		   ioctl(vfio.fd, KVM_SET_DEVICE_ATTR, &attr) ? errno : 0, EINVAL);
		refused_vfio(s, m, other, vfio.fd);
		close(vfio.fd);
	}
	close(other);
}

/* A VM that is kept in part is not kept: its last vCPU is none. */
static void kept_in_part(struct adopt_vmm *s, struct order_msg *m)
{
	unsigned int last = s->from->nr_vcpus - 1;
	int fd = s->from->vcpus[last];

	s->from->vcpus[last] = s->fds.mem;
	is(m, "a VM with a vCPU that is none", kvmrelay_vm_keep(s->session, "vm", s->from, NULL),
	   -EINVAL);
	s->from->vcpus[last] = fd;
}

static void add_vm(struct adopt_vmm *s, struct order_msg *m)
{
	struct kvmrelay_error why;

	if (kvmrelay_vm_keep(s->session, "vm", s->from, &why))
		adopt_broken(m, "keeping the VM: %s", why.reason);
}

void adopt_keep(struct adopt_vmm *s, struct order_msg *m)
{
	struct kvmrelay_error why;

	s->session = kvmrelay_session_create(-1, "vm", m->nth, &common->ticket, &why);
	if (s->session < 0) {
		adopt_broken(m, "no session: %s", why.reason);
		return;
	}
	if (*common->ticket_path &&
	    kvmrelay_ticket_save(common->ticket_path, &common->ticket, &why))
		adopt_broken(m, "%s", why.reason);
	kept_in_part(s, m);
	add_vm(s, m);
	is(m, "dropping the VM", kvmrelay_vm_drop(s->session, "vm", NULL), 0);
	is(m, "taking what was dropped", kvmrelay_take(s->session, "vm.v0", NULL), -ENOENT);
	add_vm(s, m);
	refused(s, m);
}

void adopt_claim(struct adopt_vmm *s, struct order_msg *m)
{
	struct kvmrelay_error why;
	int r;

	s->session = kvmrelay_session_claim(-1, &common->ticket, &why);
	if (s->session < 0) {
		adopt_broken(m, "no claim: %s", why.reason);
		return;
	}
	is(m, "confirming the claim", kvmrelay_session_confirm(s->session, &why), 0);
	r = kvmrelay_vm_take(s->session, "vm", &s->from, &why);
	if (r)
		adopt_broken(m, "the VM of the session: %s", why.reason);
}

void adopt_release(struct adopt_vmm *s, struct order_msg *m)
{
	is(m, "releasing the session", kvmrelay_session_release(s->session, NULL), 0);
	close(s->session);
}
