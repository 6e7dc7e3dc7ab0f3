// SPDX-License-Identifier: GPL-2.0-only
/* What ioctls that configure a VM cost. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "bench.h"

/* What the configuration of a VM is tried on. */
struct config {
	int	vm;
	int	vcpu;
	int	event;
	void	*mem;
	struct kvm_cpuid2 *cpuid;
	struct kvm_irq_routing *routing;
};

static int set_memslot(struct config *c, unsigned int i)
{
	struct kvm_userspace_memory_region slot = {
		.guest_phys_addr = 0x10000000,
		.memory_size = i & 1 ? 0 : 0x10000,
		.userspace_addr = (unsigned long)c->mem,
	};

	return ioctl(c->vm, KVM_SET_USER_MEMORY_REGION, &slot);
}

static int set_irqfd(struct config *c, unsigned int i)
{
	struct kvm_irqfd irqfd = {
		.fd = c->event, .gsi = 5,
		.flags = i & 1 ? KVM_IRQFD_FLAG_DEASSIGN : 0,
	};

	return ioctl(c->vm, KVM_IRQFD, &irqfd);
}

static int set_ioeventfd(struct config *c, unsigned int i)
{
	struct kvm_ioeventfd io = {
		.addr = 0xd0000000, .len = 4, .fd = c->event,
		.flags = i & 1 ? KVM_IOEVENTFD_FLAG_DEASSIGN : 0,
	};

	return ioctl(c->vm, KVM_IOEVENTFD, &io);
}

static int set_routing(struct config *c, unsigned int i)
{
	c->routing->entries[0].u.irqchip.pin = i & 1;
	return ioctl(c->vm, KVM_SET_GSI_ROUTING, c->routing);
}

static int set_cap(struct config *c, unsigned int i)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_EXCEPTION_PAYLOAD, .args = { i & 1 },
	};

	return ioctl(c->vm, KVM_ENABLE_CAP, &cap);
}

static int set_cpuid2(struct config *c, unsigned int i)
{
	(void)i;
	return ioctl(c->vcpu, KVM_SET_CPUID2, c->cpuid);
}

static int set_tsc_khz(struct config *c, unsigned int i)
{
	static long khz;

	(void)i;
	if (!khz)
		khz = ioctl(c->vcpu, KVM_GET_TSC_KHZ, 0);
	return ioctl(c->vcpu, KVM_SET_TSC_KHZ, khz);
}

static int set_signal_mask(struct config *c, unsigned int i)
{
	struct {
		struct kvm_signal_mask head;
		__u64 set;
	} mask = { .head.len = 8, .set = i & 1 };

	return ioctl(c->vcpu, KVM_SET_SIGNAL_MASK, &mask);
}

static int set_msrs(struct config *c, unsigned int i)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry star;
	} msrs = { .head.nmsrs = 1, .star = { .index = 0xc0000081, .data = i } };

	return ioctl(c->vcpu, KVM_SET_MSRS, &msrs) == 1 ? 0 : -1;
}

static int config_open(struct config *c, int kvm)
{
	unsigned int i, n = 100;

	c->vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (c->vm < 0 || ioctl(c->vm, KVM_CREATE_IRQCHIP))
		return vmm_error(errno, "a VM with an irqchip");
	c->vcpu = ioctl(c->vm, KVM_CREATE_VCPU, 0);
	c->event = eventfd(0, EFD_CLOEXEC);
	c->mem = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	c->cpuid = calloc(1, sizeof(*c->cpuid) + n * sizeof(c->cpuid->entries[0]));
	c->routing = calloc(1, sizeof(*c->routing) + 24 * sizeof(c->routing->entries[0]));
	if (c->vcpu < 0 || c->event < 0 || c->mem == MAP_FAILED || !c->cpuid ||
	    !c->routing)
		return vmm_error(errno, "a vCPU and what belongs to it");
	c->cpuid->nent = n;
	if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, c->cpuid))
		return vmm_error(errno, "KVM_GET_SUPPORTED_CPUID");
	c->routing->nr = 24;
	for (i = 0; i < 24; i++) {
		c->routing->entries[i].gsi = i;
		c->routing->entries[i].type = KVM_IRQ_ROUTING_IRQCHIP;
		c->routing->entries[i].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
		c->routing->entries[i].u.irqchip.pin = i;
	}
	return 0;
}

int bench_config(const char *dev)
{
	static const struct {
		const char	*name;
		int		(*set)(struct config *c, unsigned int i);
		unsigned int	each;	/* ioctls that make one */
	} sets[] = {
		{ "set_memslot", set_memslot, 2 },
		{ "set_irqfd", set_irqfd, 2 },
		{ "set_ioeventfd", set_ioeventfd, 2 },
		{ "set_routing", set_routing, 1 },
		{ "set_cap", set_cap, 1 },
		{ "set_cpuid2", set_cpuid2, 1 },
		{ "set_tsc_khz", set_tsc_khz, 1 },
		{ "set_signal_mask", set_signal_mask, 1 },
		{ "set_msrs", set_msrs, 1 },
	};
	struct config c = { .vm = -1, .vcpu = -1, .event = -1, .mem = MAP_FAILED };
	int kvm = open(dev, O_RDWR | O_CLOEXEC), ret;
	unsigned int k, i, n = 200;
	__u64 t = 0;

	ret = kvm < 0 ? vmm_error(errno, "%s", dev) : config_open(&c, kvm);
	for (k = 0; !ret && k < ARRAY_SIZE(sets); k++) {
		fprintf(stderr, "vmm-bench: %s\n", sets[k].name);
		for (i = 0; !ret && i < (n + 10) * sets[k].each; i++) {
			if (i == 10 * sets[k].each)
				t = now_ns();
			if (sets[k].set(&c, i))
				ret = vmm_error(errno, "%s: %s %u", dev, sets[k].name, i);
		}
		if (!ret)
			bench_print(sets[k].name, now_ns() - t, n);
	}
	free(c.routing);
	free(c.cpuid);
	if (c.mem != MAP_FAILED)
		munmap(c.mem, 0x10000);
	if (c.event >= 0)
		close(c.event);
	if (c.vcpu >= 0)
		close(c.vcpu);
	if (c.vm >= 0)
		close(c.vm);
	if (kvm >= 0)
		close(kvm);
	return ret ? 1 : 0;
}
