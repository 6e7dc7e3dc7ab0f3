/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parts of libkvmrelay have in common. */
#ifndef KVMRELAY_PRIVATE_H
#define KVMRELAY_PRIVATE_H

#include "kvmrelay.h"

#define EXPORT		__attribute__((visibility("default")))

#define ARRAY_SIZE(x)	(sizeof(x) / sizeof((x)[0]))

/* error.c: the line is put into @err, and the error returned */
__printf(3, 4)
int kvmrelay_fail(struct kvmrelay_error *err, int error, const char *fmt, ...);

/* layout.c */

/**
 * struct layout_head - a VM without its descriptors, for a session's state and for a socket
 * @magic:	LAYOUT_MAGIC, which changes with this structure
 * @flags:	KVMRELAY_VM_*
 * @nr_vcpus:	vCPUs
 * @nr_slots:	struct layout_slot, which follow
 * @nr_memories: descriptors of memory
 * @reserved:	0
 */
struct layout_head {
	__u64 magic;
	__u32 flags;
	__u32 nr_vcpus;
	__u32 nr_slots;
	__u32 nr_memories;
	__u64 reserved;
};

/**
 * struct layout_slot - a struct kvmrelay_slot
 * @slot:	as there
 * @flags:	as there
 * @guest_phys_addr: as there
 * @size:	as there
 * @offset:	as there
 * @memory:	index of the descriptor
 * @reserved:	0
 */
struct layout_slot {
	__u32 slot;
	__u32 flags;
	__u64 guest_phys_addr;
	__u64 size;
	__u64 offset;
	__u32 memory;
	__u32 reserved;
};

/* "kvmrly" and a version */
#define LAYOUT_MAGIC	0x0100796c726d766bull

/**
 * struct layout - a VM's layout and, beside it, the descriptors that it is about
 * @head:	the layout, allocated
 * @size:	its size
 * @memories:	the descriptors of memory, each once; allocated, not owned
 */
struct layout {
	struct layout_head *head;
	size_t size;
	int *memories;
};

/* Of a descriptor of memory, as a session keeps it */
enum vfio_keepalive_kind layout_memory_kind(const struct layout *l, unsigned int memory);
int layout_make(const struct kvmrelay_vm *vm, struct layout *l, struct kvmrelay_error *err);
void layout_free(struct layout *l);

/**
 * struct own_vm - a VM whose descriptors are the library's
 * @vm:		what its user sees
 * @nr_memories: number of @memories
 * @memories:	each once
 */
struct own_vm {
	struct kvmrelay_vm vm;
	unsigned int nr_memories;
	int *memories;
};

struct own_vm *layout_vm(const void *layout, size_t size, struct kvmrelay_error *err);
/* When it has its descriptors */
int layout_check_memory(const struct own_vm *own, struct kvmrelay_error *err);

#endif
