// SPDX-License-Identifier: GPL-2.0-only
/* Creating a VM with its memory and irqchip, and destroying it. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "vmm.h"

int vmm_error(int err, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (err)
		fprintf(stderr, "vmm: %s: %s\n", text, strerror(err));
	else
		fprintf(stderr, "vmm: %s\n", text);
	errno = err ? err : EINVAL;
	return -errno;
}

__u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

int vm_fds_make(const struct vm_shape *shape, struct vm_fds *fds)
{
	unsigned int i, needs = guest_needs(shape->guest);

	fds->mem = -1;
	for (i = 0; i < GUEST_MAX_CPUS; i++) {
		fds->irq[i] = -1;
		fds->ack[i] = -1;
	}
	fds->mem = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fds->mem < 0)
		return vmm_error(errno, "memfd_create");
	/* A size that nobody can change: no SIGBUS in another process. */
	if (ftruncate(fds->mem, shape->mem) ||
	    fcntl(fds->mem, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW)) {
		vmm_error(errno, "guest memory of %llu bytes", shape->mem);
		goto fail;
	}
	if (!(needs & (GN_MSI | GN_PIN)))
		return 0;
	for (i = 0; i < shape->cpus; i++) {
		fds->irq[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		fds->ack[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (fds->irq[i] < 0 || fds->ack[i] < 0) {
			vmm_error(errno, "eventfd");
			goto fail;
		}
	}
	return 0;
fail:
	vm_fds_close(fds);
	return -EIO;
}

void vm_fds_close(struct vm_fds *fds)
{
	unsigned int i;

	if (fds->mem >= 0)
		close(fds->mem);
	for (i = 0; i < GUEST_MAX_CPUS; i++) {
		if (fds->irq[i] >= 0)
			close(fds->irq[i]);
		if (fds->ack[i] >= 0)
			close(fds->ack[i]);
		fds->irq[i] = -1;
		fds->ack[i] = -1;
	}
	fds->mem = -1;
}

static int add_irqchip(struct vm *vm)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_SPLIT_IRQCHIP,
		.args = { 24 },
	};

	if (vm->shape.split) {
		if (ioctl(vm->fd, KVM_ENABLE_CAP, &cap))
			return vmm_error(errno, "%s: split irqchip", vm->path);
		return 0;
	}
	if (ioctl(vm->fd, KVM_CREATE_IRQCHIP))
		return vmm_error(errno, "%s: KVM_CREATE_IRQCHIP", vm->path);
	if (ioctl(vm->fd, KVM_CREATE_PIT2, &pit))
		return vmm_error(errno, "%s: KVM_CREATE_PIT2", vm->path);
	return 0;
}

static int add_rings(struct vm *vm)
{
	struct kvmrelay_error why;
	int r;

	if (!vm->shape.ring)
		return 0;
	r = kvmrelay_ring_enable(vm->fd, vm->shape.ring, &why);
	return r ? vmm_error(-r, "%s: %s", vm->path, why.reason) : 0;
}

static int add_memory(struct vm *vm)
{
	struct kvm_userspace_memory_region slot = {
		.memory_size = vm->shape.mem,
	};

	vm->mem = mmap(NULL, vm->shape.mem, PROT_READ | PROT_WRITE, MAP_SHARED,
		       vm->fds.mem, 0);
	if (vm->mem == MAP_FAILED) {
		vm->mem = NULL;
		return vmm_error(errno, "mmap of the guest's memory");
	}
	slot.userspace_addr = (unsigned long)vm->mem;
	if (vm->shape.ring)
		slot.flags = KVM_MEM_LOG_DIRTY_PAGES;
	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot))
		return vmm_error(errno, "%s: KVM_SET_USER_MEMORY_REGION", vm->path);
	return 0;
}

/* Not freed by a failure in the middle: vm_destroy() takes any half. */
static int vm_fill(struct vm *vm)
{
	__u64 identity = 0xfffbc000;
	int api, i, ret, size;

	vm->kvm = open(vm->path, O_RDWR | O_CLOEXEC);
	if (vm->kvm < 0)
		return vmm_error(errno, "%s", vm->path);
	api = ioctl(vm->kvm, KVM_GET_API_VERSION, 0);
	if (api != KVM_API_VERSION)
		return vmm_error(api < 0 ? errno : 0, "%s: KVM API version %d, not %d",
				 vm->path, api, KVM_API_VERSION);
	size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < (int)sizeof(struct kvm_run))
		return vmm_error(errno, "%s: KVM_GET_VCPU_MMAP_SIZE", vm->path);
	vm->run_size = size;
	vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0);
	if (vm->fd < 0)
		return vmm_error(errno, "%s: KVM_CREATE_VM", vm->path);
	/* VMX needs both for guests that it cannot run natively; SVM ignores. */
	if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) ||
	    ioctl(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000))
		return vmm_error(errno, "%s: TSS and identity map", vm->path);
	size = ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
	vm->xsave_size = size > (int)sizeof(struct kvm_xsave) ?
		(size_t)size : sizeof(struct kvm_xsave);
	ret = add_irqchip(vm);
	if (!ret)
		ret = add_rings(vm);
	if (!ret)
		ret = add_memory(vm);
	if (!ret && guest_needs(vm->shape.guest) & GN_SLOW)
		ret = slow_start(vm);
	for (i = 0; !ret && i < (int)vm->shape.cpus; i++)
		ret = vcpu_open(vm, i);
	/* After the vCPUs: a route to a SINT of one that is not there yet has no EOI. */
	if (!ret)
		ret = vm_route_irqs(vm);
	if (!ret)
		ret = vm_assign_ioeventfds(vm);
	return ret;
}

struct vm *vm_create(const char *path, const struct vm_shape *shape,
		     const struct vm_fds *fds, struct vm_report *report)
{
	struct vm *vm;
	int i;

	if (!shape->cpus || shape->cpus > GUEST_MAX_CPUS) {
		vmm_error(0, "%u vCPUs: 1 to %d are possible", shape->cpus,
			  GUEST_MAX_CPUS);
		return NULL;
	}
	if (shape->mem < GUEST_MIN_MEM || shape->mem > GUEST_MMIO ||
	    shape->mem & 0x1fffff) {
		vmm_error(0, "memory of %llu bytes: %u to %u MiB, in steps of 2, are possible",
			  shape->mem, GUEST_MIN_MEM >> 20, GUEST_MMIO >> 20);
		return NULL;
	}
	vm = calloc(1, sizeof(*vm));
	if (!vm) {
		vmm_error(ENOMEM, "VM");
		return NULL;
	}
	vm->path = path;
	vm->shape = *shape;
	vm->fds = *fds;
	vm->report = report;
	vm->kvm = -1;
	vm->fd = -1;
	vm->pin = -1;
	vm->go = -1;
	for (i = 0; i < GUEST_MAX_CPUS; i++)
		vm->vcpu[i].fd = -1;
	pthread_mutex_init(&vm->lock, NULL);
	pthread_cond_init(&vm->changed, NULL);
	if (vm_fill(vm)) {
		i = errno;
		vm_destroy(vm);
		errno = i;
		return NULL;
	}
	return vm;
}

void vm_destroy(struct vm *vm)
{
	unsigned int i;

	if (!vm)
		return;
	for (i = 0; i < vm->shape.cpus; i++)
		vcpu_close(&vm->vcpu[i]);
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->kvm >= 0)
		close(vm->kvm);
	if (vm->go >= 0)
		close(vm->go);
	slow_stop(vm);
	if (vm->mem)
		munmap(vm->mem, vm->shape.mem);
	pthread_cond_destroy(&vm->changed);
	pthread_mutex_destroy(&vm->lock);
	free(vm->msrs);
	free(vm);
}
