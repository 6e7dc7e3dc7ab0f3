// SPDX-License-Identifier: GPL-2.0-only
/* A VMM of vmm-adopt: its VM's descriptors in a session of vfio-keepalive. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "adopt.h"

static const char *vcpu_name(char name[VFIO_KEEPALIVE_NAME_LEN], unsigned int i)
{
	snprintf(name, VFIO_KEEPALIVE_NAME_LEN, "vcpu%u", i);
	return name;
}

static void is(struct order_msg *m, const char *what, int r, int wanted)
{
	if (r != wanted && !m->ret)
		adopt_broken(m, "%s: %d, not %d", what, r, wanted);
}

/* A VM is nothing else, in one session only, and a session is nothing that it could keep. */
static void refused(struct adopt_vmm *s, struct order_msg *m, int dev)
{
	struct kvm_create_device vfio = { .type = KVM_DEV_TYPE_VFIO };
	struct kvm_irqfd irqfd = { .fd = s->session, .gsi = 5 };
	struct kvm_device_attr attr = {
		.group = KVM_DEV_VFIO_GROUP, .attr = KVM_DEV_VFIO_GROUP_ADD,
		.addr = (unsigned long)&s->session,
	};
	int other = ka_create(dev, "other", 60000, NULL);

	is(m, "a VM as a vCPU",
	   ka_add(other, s->h.vm, VFIO_KEEPALIVE_VCPU, "x", 0, NULL, 0), -EINVAL);
	is(m, "a vCPU as a VM",
	   ka_add(other, s->h.vcpu[0], VFIO_KEEPALIVE_VM, "x", 0, NULL, 0), -EINVAL);
	is(m, "memory as a VM",
	   ka_add(other, s->fds.mem, VFIO_KEEPALIVE_VM, "x", 0, NULL, 0), -EINVAL);
	is(m, "a session as a VM",
	   ka_add(other, s->session, VFIO_KEEPALIVE_VM, "x", 0, NULL, 0), -EINVAL);
	is(m, "a VM that another session has",
	   ka_add(other, s->h.vm, VFIO_KEEPALIVE_VM, "x", 0, NULL, 0), -EBUSY);
	is(m, "a vCPU that another session has",
	   ka_add(other, s->h.vcpu[0], VFIO_KEEPALIVE_VCPU, "x", 0, NULL, 0), -EBUSY);
	is(m, "a VM that is there already",
	   ka_add(s->session, s->h.vm, VFIO_KEEPALIVE_VM, "x", 0, NULL, 0), -EEXIST);
	is(m, "the session as an irqfd", ioctl(s->h.vm, KVM_IRQFD, &irqfd) ? errno : 0, EINVAL);
	if (!m->ret && ioctl(s->h.vm, KVM_CREATE_DEVICE, &vfio)) {
		adopt_broken(m, "no kvm-vfio: %s", strerror(errno));
	} else if (!m->ret) {
		is(m, "the session as a group",
		   ioctl(vfio.fd, KVM_SET_DEVICE_ATTR, &attr) ? errno : 0, EINVAL);
		close(vfio.fd);
	}
	close(other);
}

void adopt_keep(struct adopt_vmm *s, struct order_msg *m)
{
	char name[VFIO_KEEPALIVE_NAME_LEN];
	int dev = ka_open();
	unsigned int i;

	s->session = ka_create(dev, "vm", m->nth, &common->ticket);
	if (s->session < 0) {
		adopt_broken(m, "no session: %s", strerror(-s->session));
		return;
	}
	for (i = 0; i < s->shape.cpus; i++)
		is(m, "adding a vCPU",
		   ka_add(s->session, s->h.vcpu[i], VFIO_KEEPALIVE_VCPU, vcpu_name(name, i), 0,
			  NULL, 0), i);
	is(m, "adding the VM",
	   ka_add(s->session, s->h.vm, VFIO_KEEPALIVE_VM, "vm", 0, NULL, 0), i);
	refused(s, m, dev);
	close(dev);
}

void adopt_claim(struct adopt_vmm *s, struct order_msg *m)
{
	char name[VFIO_KEEPALIVE_NAME_LEN];
	int dev = ka_open();
	unsigned int i;

	s->session = ka_claim(dev, &common->ticket);
	close(dev);
	if (s->session < 0) {
		adopt_broken(m, "no claim: %s", strerror(-s->session));
		return;
	}
	is(m, "confirming the claim", ka_confirm(s->session), 0);
	s->h.vm = ka_get_fd_by_name(s->session, "vm");
	for (i = 0; i < s->shape.cpus; i++)
		s->h.vcpu[i] = ka_get_fd_by_name(s->session, vcpu_name(name, i));
	if (s->h.vm < 0 || s->h.vcpu[i - 1] < 0)
		adopt_broken(m, "the session has not all descriptors");
	s->has = true;
}

void adopt_release(struct adopt_vmm *s, struct order_msg *m)
{
	is(m, "releasing the session", ka_release(s->session, 0, 0), 0);
	close(s->session);
}
