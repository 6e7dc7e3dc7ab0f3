// SPDX-License-Identifier: GPL-2.0-only
/* Taking over a VM whose descriptors came from another process. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "vmm.h"

void vm_parts_begin(struct vm_parts *parts, const struct vm_shape *shape,
		    const struct vm_fds *fds)
{
	parts->slot = (struct kvmrelay_slot){
		.size = shape->mem,
		.memory = fds->mem,
	};
	parts->vm = (struct kvmrelay_vm){
		.flags = KVMRELAY_VM_MARKED,
		.vm = -1,
		.nr_vcpus = shape->cpus,
		.vcpus = parts->vcpu,
		.nr_slots = 1,
		.slots = &parts->slot,
	};
}

void vm_parts(const struct vm *vm, struct vm_parts *parts)
{
	unsigned int i;

	vm_parts_begin(parts, &vm->shape, &vm->fds);
	parts->slot.addr = vm->mem;
	parts->vm.vm = vm->fd;
	for (i = 0; i < vm->shape.cpus; i++)
		parts->vcpu[i] = vm->vcpu[i].fd;
}

/*
 * What of the memory there is already is mapped here ahead, and kvm-core maps that for the guest:
 * the rest would be a fault of the guest's and one of the host's, page by page, when it runs.
 * Best effort; pages that nobody has written to are not made.
 */
static void map_ahead(char *mem, __u64 size)
{
	unsigned char there[512];
	__u64 at, page, n;

	for (at = 0; at < size; at += n * 4096) {
		n = (size - at) / 4096 < sizeof(there) ? (size - at) / 4096 : sizeof(there);
		if (!n || mincore(mem + at, n * 4096, there))
			return;
		for (page = 0; page < n; page++)
			if (there[page] & 1)
				madvise(mem + at + page * 4096, 4096, MADV_POPULATE_READ);
	}
}

static int map_memory(struct vm *vm, const struct kvmrelay_slot *slot)
{
	if (slot->size != vm->shape.mem)
		return vmm_error(0, "memslot of %llu bytes, not %llu", slot->size,
				 vm->shape.mem);
	vm->mem = mmap(NULL, slot->size, PROT_READ | PROT_WRITE, MAP_SHARED, slot->memory,
		       slot->offset);
	if (vm->mem == MAP_FAILED) {
		vm->mem = NULL;
		return vmm_error(errno, "mmap of the guest's memory");
	}
	map_ahead(vm->mem, slot->size);
	return 0;
}

static int map_vcpus(struct vm *vm)
{
	unsigned int i;
	int size;

	size = ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
	vm->xsave_size = size > (int)sizeof(struct kvm_xsave) ?
		(size_t)size : sizeof(struct kvm_xsave);
	for (i = 0; i < vm->shape.cpus; i++) {
		void *run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
				 vm->vcpu[i].fd, 0);

		if (run == MAP_FAILED)
			return vmm_error(errno, "mmap of vCPU %u", i);
		vm->vcpu[i].run = run;
	}
	return 0;
}

struct vm *vm_make_room(const char *path, const struct vm_shape *shape,
			const struct vm_fds *fds, struct vm_report *report,
			const struct kvmrelay_vm *from)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	unsigned int i;
	int size;

	if (!vm) {
		vmm_error(ENOMEM, "VM");
		return NULL;
	}
	vm->path = path;
	vm->shape = *shape;
	vm->fds = *fds;
	vm->report = report;
	vm->pin = -1;
	vm->go = -1;
	vm->has_irqfds = true;
	pthread_mutex_init(&vm->lock, NULL);
	pthread_cond_init(&vm->changed, NULL);
	vm->fd = dup(from->vm);
	vm->kvm = open(path, O_RDWR | O_CLOEXEC);
	size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	vm->run_size = size < 0 ? 0 : size;
	for (i = 0; i < shape->cpus; i++) {
		vm->vcpu[i].vm = vm;
		vm->vcpu[i].id = i;
		vm->vcpu[i].pause = true;
		vm->vcpu[i].fd = dup(from->vcpus[i]);
	}
	if (size < (int)sizeof(struct kvm_run)) {
		vmm_error(errno, "%s", path);
		vm_destroy(vm);
		return NULL;
	}
	if (map_memory(vm, &from->slots[0])) {
		vm_destroy(vm);
		return NULL;
	}
	return vm;
}

int vm_adopt(struct vm *vm, struct kvm_core_move *mv, __u32 *exits,
	     struct kvmrelay_error *why)
{
	struct vm_parts parts;
	int r;

	vm_parts(vm, &parts);
	r = kvmrelay_vm_adopt(&parts.vm, mv, exits, why);
	if (r || mv->flags & KVM_CORE_MOVE_DRY_RUN)
		return r;
	return map_vcpus(vm);
}

int vm_adopt_and_run(struct vm *vm, struct kvm_core_move *mv, struct kvmrelay_error *why)
{
	struct vm_parts parts;
	unsigned int i;
	int r;

	vm_parts(vm, &parts);
	vm->go = eventfd(0, EFD_CLOEXEC);
	if (vm->go < 0)
		return vmm_error(errno, "eventfd");
	r = map_vcpus(vm) ?: vm_resume(vm);
	if (!r)
		r = kvmrelay_vm_adopt(&parts.vm, mv, NULL, why);
	if (r) {
		pthread_mutex_lock(&vm->lock);
		for (i = 0; i < vm->shape.cpus; i++)
			vm->vcpu[i].quit = true;
		pthread_mutex_unlock(&vm->lock);
	}
	eventfd_write(vm->go, 1);
	return r;
}
