// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM without its descriptors. What another process has written is checked as a whole
 * before anything is done with it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/vfio.h>

#include "private.h"

#define SLOT_FLAGS	(KVMRELAY_SLOT_READONLY | KVMRELAY_SLOT_DEVICE)

/* The index of the memory that @fd is, which is @n if it is none of them. Devices have no inode. */
static int memory_index(const int *memories, const struct stat *stats, unsigned int n, int fd,
			const struct stat *st)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		if (memories[i] == fd || (S_ISREG(st->st_mode) && stats[i].st_dev == st->st_dev &&
					  stats[i].st_ino == st->st_ino))
			break;
	return i;
}

static int make_slots(const struct kvmrelay_vm *vm, struct layout *l, struct stat *stats,
		      struct kvmrelay_error *err)
{
	struct layout_slot *to = (struct layout_slot *)(l->head + 1);
	const struct kvmrelay_slot *from = vm->slots;
	struct stat st;
	unsigned int i;

	for (i = 0; i < vm->nr_slots; i++, to++, from++) {
		if (fstat(from->memory, &st))
			return kvmrelay_fail(err, -errno, "the memory of memslot %u: %s",
					     from->slot, strerror(errno));
		to->slot = from->slot;
		to->flags = from->flags;
		to->guest_phys_addr = from->guest_phys_addr;
		to->size = from->size;
		to->offset = from->offset;
		to->memory = memory_index(l->memories, stats, l->head->nr_memories, from->memory,
					  &st);
		if (to->memory < l->head->nr_memories)
			continue;
		stats[to->memory] = st;
		l->memories[to->memory] = from->memory;
		l->head->nr_memories++;
	}
	return 0;
}

static int check_counts(__u32 vcpus, __u32 slots, struct kvmrelay_error *err)
{
	if (!vcpus || vcpus > KVM_CORE_ADOPT_VCPUS)
		return kvmrelay_fail(err, -EINVAL, "%u vCPUs: 1 to %u are possible", vcpus,
				     KVM_CORE_ADOPT_VCPUS);
	if (slots > KVM_CORE_ADOPT_SLOTS)
		return kvmrelay_fail(err, -EINVAL, "%u memslots: at most %u are possible", slots,
				     KVM_CORE_ADOPT_SLOTS);
	return 0;
}

/**
 * layout_make - the layout of a VM
 * @vm: the VM
 * @l: the result, for layout_free()
 * @err: the reason
 *
 * Return: 0 or a negative errno.
 */
int layout_make(const struct kvmrelay_vm *vm, struct layout *l, struct kvmrelay_error *err)
{
	struct stat *stats;
	int r = check_counts(vm->nr_vcpus, vm->nr_slots, err);

	memset(l, 0, sizeof(*l));
	if (r)
		return r;
	l->size = sizeof(*l->head) + vm->nr_slots * sizeof(struct layout_slot);
	l->head = calloc(1, l->size);
	l->memories = calloc(vm->nr_slots + 1, sizeof(*l->memories));
	stats = calloc(vm->nr_slots + 1, sizeof(*stats));
	if (!l->head || !l->memories || !stats) {
		r = kvmrelay_fail(err, -ENOMEM, "the list of memslots: %s", strerror(ENOMEM));
	} else {
		l->head->magic = LAYOUT_MAGIC;
		l->head->flags = vm->flags;
		l->head->nr_vcpus = vm->nr_vcpus;
		l->head->nr_slots = vm->nr_slots;
		r = make_slots(vm, l, stats, err);
	}
	free(stats);
	if (r)
		layout_free(l);
	return r;
}

/**
 * layout_memory_kind - what a descriptor of memory is
 * @l: the layout
 * @memory: its index
 */
enum vfio_keepalive_kind layout_memory_kind(const struct layout *l, unsigned int memory)
{
	const struct layout_slot *s = (const void *)(l->head + 1);
	unsigned int i;

	for (i = 0; i < l->head->nr_slots; i++, s++)
		if (s->memory == memory)
			return s->flags & KVMRELAY_SLOT_DEVICE ? VFIO_KEEPALIVE_DEVICE :
								 VFIO_KEEPALIVE_MEMORY;
	return VFIO_KEEPALIVE_MEMORY;
}

/**
 * layout_free - free what layout_make() has allocated
 * @l: the layout
 */
void layout_free(struct layout *l)
{
	free(l->head);
	free(l->memories);
	memset(l, 0, sizeof(*l));
}

static int check(const void *layout, size_t size, struct kvmrelay_error *err)
{
	const struct layout_head *head = layout;
	const struct layout_slot *s = (const void *)(head + 1);
	__u64 page = getpagesize() - 1;
	unsigned int i;
	int r;

	if (size < sizeof(*head) || head->magic != LAYOUT_MAGIC)
		return kvmrelay_fail(err, -EPROTO,
				     "this is no VM of libkvmrelay, or of another version");
	r = check_counts(head->nr_vcpus, head->nr_slots, err);
	if (r)
		return r;
	if (size != sizeof(*head) + head->nr_slots * sizeof(*s) ||
	    head->nr_memories > head->nr_slots || head->reserved ||
	    head->flags & ~KVMRELAY_VM_MARKED)
		return kvmrelay_fail(err, -EPROTO, "the layout of the VM is damaged");
	for (i = 0; i < head->nr_slots; i++, s++)
		if (s->reserved || s->flags & ~SLOT_FLAGS ||
		    s->memory >= head->nr_memories || !s->size || s->size & page ||
		    s->offset & page || s->offset + s->size < s->offset)
			return kvmrelay_fail(err, -EPROTO, "memslot %u: its layout is damaged",
					     s->slot);
	return 0;
}

static void fill_slots(struct own_vm *own, const struct layout_slot *from)
{
	struct kvmrelay_slot *to = own->vm.slots;
	unsigned int i;

	for (i = 0; i < own->vm.nr_slots; i++, from++, to++) {
		to->slot = from->slot;
		to->flags = from->flags;
		to->guest_phys_addr = from->guest_phys_addr;
		to->size = from->size;
		to->offset = from->offset;
		/* The index, until there is the descriptor */
		to->memory = from->memory;
	}
}

/**
 * layout_vm - a VM that has no descriptors yet
 * @layout: of a VM, from anybody; aligned
 * @size: its size
 * @err: the reason
 *
 * Return: the VM, whose memslots have the index of their memory, or NULL; errno is set.
 */
struct own_vm *layout_vm(const void *layout, size_t size, struct kvmrelay_error *err)
{
	const struct layout_head *head = layout;
	struct own_vm *own;
	unsigned int i;
	int r = check(layout, size, err);

	if (r) {
		errno = -r;
		return NULL;
	}
	own = calloc(1, sizeof(*own));
	if (own) {
		own->vm.vm = -1;
		own->vm.flags = head->flags;
		own->vm.vcpus = malloc((head->nr_vcpus + 1) * sizeof(int));
		own->vm.slots = calloc(head->nr_slots + 1, sizeof(*own->vm.slots));
		own->memories = malloc((head->nr_memories + 1) * sizeof(int));
	}
	if (!own || !own->vm.vcpus || !own->vm.slots || !own->memories) {
		kvmrelay_fail(err, -ENOMEM, "the VM: %s", strerror(ENOMEM));
		if (own)
			kvmrelay_vm_free(&own->vm);
		errno = ENOMEM;
		return NULL;
	}
	own->vm.nr_vcpus = head->nr_vcpus;
	own->vm.nr_slots = head->nr_slots;
	own->nr_memories = head->nr_memories;
	for (i = 0; i < own->vm.nr_vcpus; i++)
		own->vm.vcpus[i] = -1;
	for (i = 0; i < own->nr_memories; i++)
		own->memories[i] = -1;
	fill_slots(own, (const void *)(head + 1));
	return own;
}

static int check_device(const struct kvmrelay_slot *s, struct kvmrelay_error *err)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };

	/* Whether it has such a region tells mmap(). */
	if (!ioctl(s->memory, VFIO_DEVICE_GET_INFO, &info))
		return 0;
	return kvmrelay_fail(err, -EINVAL, "memslot %u: its device is none of VFIO's", s->slot);
}

static int check_file(const struct kvmrelay_slot *s, struct kvmrelay_error *err)
{
	struct stat st;

	if (fstat(s->memory, &st))
		return kvmrelay_fail(err, -errno, "the memory of memslot %u: %s", s->slot,
				     strerror(errno));
	if (S_ISREG(st.st_mode) && (__u64)st.st_size >= s->offset + s->size)
		return 0;
	return kvmrelay_fail(err, -EINVAL,
			     "memslot %u: its memory has %lld bytes, not 0x%llx at 0x%llx",
			     s->slot, (long long)st.st_size, s->size, s->offset);
}

/**
 * layout_check_memory - memslots get their descriptor, which has to have so much
 * @own: the VM, with the descriptors of its memory
 * @err: the reason
 *
 * Return: 0 or a negative errno.
 */
int layout_check_memory(const struct own_vm *own, struct kvmrelay_error *err)
{
	unsigned int i;
	int r = 0;

	for (i = 0; !r && i < own->vm.nr_slots; i++) {
		struct kvmrelay_slot *s = &own->vm.slots[i];

		s->memory = own->memories[s->memory];
		r = s->flags & KVMRELAY_SLOT_DEVICE ? check_device(s, err) : check_file(s, err);
	}
	return r;
}
