// SPDX-License-Identifier: GPL-2.0-only
/* The descriptors of a VM: in a session, mapped, adopted. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/kvm.h>

#include "private.h"

/* With a letter and a number behind it */
#define NAME_MAX_LEN	19

struct part_name {
	char text[VFIO_KEEPALIVE_NAME_LEN];
};

static const char *part(struct part_name *to, const char *name, char kind, unsigned int i)
{
	snprintf(to->text, sizeof(to->text), "%.*s.%c%u", NAME_MAX_LEN, name, kind, i);
	return to->text;
}

static int check_name(const char *name, struct kvmrelay_error *err)
{
	if (*name && strlen(name) <= NAME_MAX_LEN)
		return 0;
	return kvmrelay_fail(err, -EINVAL, "a VM's name has 1 to %d characters", NAME_MAX_LEN);
}

EXPORT int kvmrelay_vm_drop(int session, const char *name, struct kvmrelay_error *err)
{
	struct part_name n;
	unsigned int i;
	int r = check_name(name, err);

	if (r)
		return r;
	for (i = 0; !r; i++)
		r = kvmrelay_drop(session, part(&n, name, 'v', i), NULL);
	for (r = 0, i = 0; !r; i++)
		r = kvmrelay_drop(session, part(&n, name, 'm', i), NULL);
	return kvmrelay_drop(session, name, err);
}

static int keep_parts(int session, const char *name, const struct kvmrelay_vm *vm,
		      const struct layout *l, struct kvmrelay_error *err)
{
	struct part_name n;
	unsigned int i;
	int r = 0;

	for (i = 0; !r && i < vm->nr_vcpus; i++)
		r = kvmrelay_keep(session, part(&n, name, 'v', i), VFIO_KEEPALIVE_VCPU,
				  vm->vcpus[i], 0, err);
	for (i = 0; !r && i < l->head->nr_memories; i++)
		r = kvmrelay_keep(session, part(&n, name, 'm', i),
				  layout_memory_kind(l, i), l->memories[i], 0, err);
	return r ?: kvmrelay_set_state(session, name, l->head, l->size, err);
}

EXPORT int kvmrelay_vm_keep(int session, const char *name, const struct kvmrelay_vm *vm,
			    struct kvmrelay_error *err)
{
	struct layout l;
	int r = check_name(name, err);

	if (!r)
		r = layout_make(vm, &l, err);
	if (r)
		return r;
	/* First what tells whether the name is free: the rest is this VM's then. */
	r = kvmrelay_keep(session, name, VFIO_KEEPALIVE_VM, vm->vm, 0, err);
	if (!r) {
		r = keep_parts(session, name, vm, &l, err);
		if (r)
			kvmrelay_vm_drop(session, name, NULL);
	}
	layout_free(&l);
	return r;
}

static int take_parts(int session, const char *name, struct own_vm *own,
		      struct kvmrelay_error *err)
{
	struct part_name n;
	unsigned int i;

	own->vm.vm = kvmrelay_take(session, name, err);
	if (own->vm.vm < 0)
		return own->vm.vm;
	for (i = 0; i < own->vm.nr_vcpus; i++) {
		own->vm.vcpus[i] = kvmrelay_take(session, part(&n, name, 'v', i), err);
		if (own->vm.vcpus[i] < 0)
			return own->vm.vcpus[i];
	}
	for (i = 0; i < own->nr_memories; i++) {
		own->memories[i] = kvmrelay_take(session, part(&n, name, 'm', i), err);
		if (own->memories[i] < 0)
			return own->memories[i];
	}
	return layout_check_memory(own, err);
}

EXPORT int kvmrelay_vm_take(int session, const char *name, struct kvmrelay_vm **vm,
			    struct kvmrelay_error *err)
{
	struct own_vm *own = NULL;
	void *layout;
	int r = check_name(name, err);

	if (r)
		return r;
	layout = malloc(VFIO_KEEPALIVE_STATE_MAX);
	if (!layout)
		return kvmrelay_fail(err, -ENOMEM, "the VM: %s", strerror(ENOMEM));
	r = kvmrelay_get_state(session, name, layout, VFIO_KEEPALIVE_STATE_MAX, err);
	if (r >= 0) {
		own = layout_vm(layout, r, err);
		r = own ? take_parts(session, name, own, err) : -errno;
	}
	free(layout);
	if (!r)
		*vm = &own->vm;
	else if (own)
		kvmrelay_vm_free(&own->vm);
	return r;
}

EXPORT int kvmrelay_vm_map(struct kvmrelay_vm *vm, struct kvmrelay_error *err)
{
	unsigned int i;

	for (i = 0; i < vm->nr_slots; i++) {
		struct kvmrelay_slot *s = &vm->slots[i];
		int prot = PROT_READ;
		void *p;

		if (s->addr)
			continue;
		if (!(s->flags & KVMRELAY_SLOT_READONLY))
			prot |= PROT_WRITE;
		p = mmap(NULL, s->size, prot, MAP_SHARED, s->memory, s->offset);
		if (p == MAP_FAILED)
			return kvmrelay_fail(err, -errno, "mapping the memory of memslot %u: %s",
					     s->slot, strerror(errno));
		s->addr = p;
	}
	return 0;
}

static void close_all(const int *fd, unsigned int n)
{
	while (fd && n--)
		if (fd[n] >= 0)
			close(fd[n]);
}

EXPORT void kvmrelay_vm_free(struct kvmrelay_vm *vm)
{
	struct own_vm *own = (struct own_vm *)vm;
	unsigned int i;

	if (!vm)
		return;
	for (i = 0; i < vm->nr_slots; i++)
		if (vm->slots[i].addr)
			munmap(vm->slots[i].addr, vm->slots[i].size);
	close_all(vm->vcpus, vm->nr_vcpus);
	close_all(own->memories, own->nr_memories);
	close_all(&vm->vm, 1);
	free(vm->vcpus);
	free(vm->slots);
	free(own->memories);
	free(own);
}

EXPORT const char *kvmrelay_stage_name(unsigned int stage)
{
	static const char * const names[KVM_CORE_STAGES] = {
		"record", "prepare", "stop", "quiesce", "move", "commit", "retire",
	};

	return stage < KVM_CORE_STAGES ? names[stage] : "unknown";
}

/* KVM's own word, where it has written one: it takes the place of an empty reason. */
static int move_result(const struct kvm_core_move *mv, int r, struct kvmrelay_error *err)
{
	char reason[KVM_CORE_REASON_LEN];

	if (!r)
		return 0;
	if (r == -ENOTTY)
		return kvmrelay_fail(err, r,
				     "this is no VM of kvm-core, or its kvm-core is too old");
	memcpy(reason, mv->reason, sizeof(reason));
	reason[sizeof(reason) - 1] = '\0';
	if (!mv->error || !*reason)
		return kvmrelay_fail(err, r, "%s", strerror(-r));
	return kvmrelay_fail(err, r, "stage %s: %s (%s)", kvmrelay_stage_name(mv->stage), reason,
			     strerror(-r));
}

EXPORT int kvmrelay_vm_move(int vm, struct kvm_core_move *move, struct kvmrelay_error *err)
{
	move->error = 0;
	return move_result(move, ioctl(vm, KVM_CORE_VM_MOVE, move) ? -errno : 0, err);
}

EXPORT int kvmrelay_vm_adopt(const struct kvmrelay_vm *vm, struct kvm_core_move *move,
			     __u32 *exits, struct kvmrelay_error *err)
{
	struct kvm_core_adopt a = {
		.argsz = sizeof(a),
		.nr_vcpus = vm->nr_vcpus,
		.nr_slots = vm->nr_slots,
		.vcpus = (uintptr_t)vm->vcpus,
		.exits = (uintptr_t)exits,
	};
	struct kvm_core_adopt_slot *slots = calloc(vm->nr_slots + 1, sizeof(*slots));
	unsigned int i;
	int r;

	if (!slots)
		return kvmrelay_fail(err, -ENOMEM, "the list of memslots: %s", strerror(ENOMEM));
	for (i = 0; i < vm->nr_slots; i++) {
		slots[i].slot = vm->slots[i].slot;
		slots[i].size = vm->slots[i].size;
		slots[i].userspace_addr = (uintptr_t)vm->slots[i].addr;
	}
	a.slots = (uintptr_t)slots;
	move->error = 0;
	a.move = *move;
	r = ioctl(vm->vm, KVM_CORE_VM_ADOPT, &a) ? -errno : 0;
	*move = a.move;
	free(slots);
	return move_result(move, r, err);
}

EXPORT bool kvmrelay_exit_waits(const struct kvm_run *run, __u32 exit)
{
	if (exit == KVM_CORE_ADOPT_EXIT_AGAIN)
		return false;
	if (exit == KVM_CORE_ADOPT_EXIT_WRITE)
		return true;
	/* KVM_RUN may have ended with either of them in between. */
	return run->exit_reason != KVM_EXIT_INTR && run->exit_reason != KVM_EXIT_UNKNOWN;
}
