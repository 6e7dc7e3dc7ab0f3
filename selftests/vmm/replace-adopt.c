// SPDX-License-Identifier: GPL-2.0-only
/* vmm-replace: adopting a VM that has a memslot for its device, and what is refused of it. */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include "replace.h"

struct attempt {
	struct kvm_core_adopt a;
	struct kvm_core_adopt_slot slot[SLOTS];
};

static void fill(struct replace_vmm *v, struct attempt *t, const struct kvm_core_move *mv)
{
	*t = (struct attempt){
		.a = {
			.argsz = sizeof(t->a),
			.nr_vcpus = v->r->shape.cpus,
			.nr_slots = SLOTS,
			.vcpus = (unsigned long)v->got->vcpus,
			.slots = (unsigned long)t->slot,
			.exits = (unsigned long)v->exits,
			.move = *mv,
		},
		.slot = {
			{ .slot = SLOT_MEM, .size = v->r->shape.mem,
			  .userspace_addr = (unsigned long)v->vm->mem },
			{ .slot = SLOT_BAR, .size = v->d.bar_size,
			  .userspace_addr = (unsigned long)v->d.bar },
		},
	};
}

static void map_run(struct replace_vmm *v)
{
	unsigned int i;

	for (i = 0; i < v->r->shape.cpus; i++) {
		struct vcpu *c = &v->vm->vcpu[i];

		c->run = mmap(NULL, v->vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd,
			      0);
		if (c->run == MAP_FAILED)
			err(1, "mmap of vCPU %u", i);
	}
}

int replace_adopt(struct replace_vmm *v, struct kvm_core_move *mv, struct kvmrelay_error *why)
{
	int r;

	v->got->slots[SLOT_MEM].addr = v->vm->mem;
	v->got->slots[SLOT_BAR].addr = v->d.bar;
	r = kvmrelay_vm_adopt(v->got, mv, v->exits, why);
	if (!r)
		map_run(v);
	return r;
}

static void refuse(struct replace_vmm *v, struct attempt *t, int error, const char *reason)
{
	int r = ioctl(v->got->vm, KVM_CORE_VM_ADOPT, &t->a) ? errno : 0;

	if (r != error || !strstr(t->a.move.reason, reason))
		errx(1, "\"%s\": %s: %s", reason, strerror(r), t->a.move.reason);
}

/* The slot of the device's registers; after each the VM is where it was. */
void replace_refused(struct replace_vmm *v)
{
	struct kvm_core_move mv = { .deadline_us = 5000000, .timeout_ms = 60000 };
	size_t size = v->d.bar_size;
	struct attempt t;
	char *hole;

	fill(v, &t, &mv);
	t.a.nr_slots = 1;
	refuse(v, &t, EINVAL, "memslot 1 is not named");
	fill(v, &t, &mv);
	t.slot[SLOT_BAR].size += 4096;
	/* Behind the last page of the mapping. */
	hole = mmap(NULL, size + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(hole, size + 8192);
	t.slot[SLOT_BAR].userspace_addr = (unsigned long)v->vm->mem;
	refuse(v, &t, EINVAL, "memslot 1 has 0x");
	fill(v, &t, &mv);
	t.slot[SLOT_BAR].userspace_addr = (unsigned long)hole;
	refuse(v, &t, EFAULT, "memslot 1: its memory is not mapped at");
	fill(v, &t, &mv);
	t.slot[SLOT_BAR].slot = SLOT_MEM;
	refuse(v, &t, EINVAL, "memslot 0 is named twice");
}
