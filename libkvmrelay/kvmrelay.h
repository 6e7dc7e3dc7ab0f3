/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libkvmrelay: what a VMM needs to be replaced under its guest. libkvmrelay(3) has the
 * order of the calls, Documentation/libkvmrelay.rst an example.
 *
 * A function that returns int returns 0, or what its comment says, or a negative errno, and
 * has then put a line into @err, which may be NULL. Nothing is printed, nothing is kept
 * between calls: two threads may call anything at once, but not with the same structure.
 * Descriptors that are returned have O_CLOEXEC. @name: less than VFIO_KEEPALIVE_NAME_LEN
 * characters.
 */
#ifndef KVMRELAY_H
#define KVMRELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/dirty_ring.h>
#include <linux/kvm_core.h>
#include <linux/vfio_keepalive.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KVMRELAY_REASON_LEN	240

/**
 * struct kvmrelay_error - why a call failed
 * @reason:	one line, without a line feed
 */
struct kvmrelay_error {
	char reason[KVMRELAY_REASON_LEN];
};

/**
 * struct kvmrelay_ticket - what claims a session
 * @session:	its number
 * @token:	its token
 */
struct kvmrelay_ticket {
	__u32 session;
	__u8 token[VFIO_KEEPALIVE_TOKEN_LEN];
};

/*
 * Sessions of vfio-keepalive. @dev is a descriptor of /dev/vfio-keepalive, or -1 to have it
 * opened. These return the session's descriptor, or that of a watch.
 */
int kvmrelay_session_create(int dev, const char *name, unsigned int limit_ms,
			    struct kvmrelay_ticket *ticket, struct kvmrelay_error *err);
/* The ticket becomes the next one; the one before is good until the claim is confirmed. */
int kvmrelay_session_claim(int dev, struct kvmrelay_ticket *ticket,
			   struct kvmrelay_error *err);
/* With a ticket's file: loaded, claimed, the next one saved there, confirmed. */
int kvmrelay_session_open(int dev, const char *path, struct kvmrelay_error *err);
int kvmrelay_session_watch(int dev, const struct kvmrelay_ticket *ticket,
			   struct kvmrelay_error *err);

int kvmrelay_session_confirm(int session, struct kvmrelay_error *err);
int kvmrelay_session_release(int session, struct kvmrelay_error *err);
/*
 * Until the watched session can be claimed. ETIMEDOUT, EINTR; ENOENT it was released;
 * ESTALE the ticket claims nothing any more.
 */
int kvmrelay_session_wait(int watch, int timeout_ms, struct kvmrelay_error *err);
/* Of a session's descriptor or a watch */
int kvmrelay_session_info(int fd, struct vfio_keepalive_info *info,
			  struct kvmrelay_error *err);

/* One descriptor of a session, by name; flags: VFIO_KEEPALIVE_ADD_* */
int kvmrelay_keep(int session, const char *name, enum vfio_keepalive_kind kind, int fd,
		  __u32 flags, struct kvmrelay_error *err);
/* Returns the descriptor. */
int kvmrelay_take(int session, const char *name, struct kvmrelay_error *err);
int kvmrelay_drop(int session, const char *name, struct kvmrelay_error *err);
/* The opaque state of what has this name, or of the session itself (NULL) */
int kvmrelay_set_state(int session, const char *name, const void *state, size_t size,
		       struct kvmrelay_error *err);
/* Returns its size, at most room. */
int kvmrelay_get_state(int session, const char *name, void *state, size_t room,
		       struct kvmrelay_error *err);

/* A ticket's file is its owner's alone; one that is there is replaced, at once. */
int kvmrelay_ticket_save(const char *path, const struct kvmrelay_ticket *ticket,
			 struct kvmrelay_error *err);
int kvmrelay_ticket_load(const char *path, struct kvmrelay_ticket *ticket,
			 struct kvmrelay_error *err);

/* It is mapped without PROT_WRITE. */
#define KVMRELAY_SLOT_READONLY	0x1
/* A VFIO device's registers: @memory is the device, @offset a region's. */
#define KVMRELAY_SLOT_DEVICE	0x2

/**
 * struct kvmrelay_slot - a memslot, and where its memory comes from
 * @slot:	as in struct kvm_userspace_memory_region
 * @flags:	KVMRELAY_SLOT_*
 * @guest_phys_addr: as there; for the next VMM, the library does not need it
 * @size:	as there
 * @offset:	in @memory
 * @memory:	memfd, file of tmpfs or hugetlbfs, or VFIO device; several memslots may have the
 *		same
 * @addr:	where this process has it mapped, or NULL
 */
struct kvmrelay_slot {
	__u32 slot;
	__u32 flags;
	__u64 guest_phys_addr;
	__u64 size;
	__u64 offset;
	int memory;
	void *addr;
};

/*
 * The VMM sets exit_reason of kvm_run to KVM_EXIT_INTR when it has handled an exit and its
 * devices' state is where the next VMM finds it. So one that was not handled is known. Of one
 * that comes again (KVM_CORE_ADOPT_EXIT_AGAIN) that has to be taken back: KVM_EXIT_UNKNOWN says
 * that it was, or that there is nothing to be taken back.
 */
#define KVMRELAY_VM_MARKED	0x1

/**
 * struct kvmrelay_vm - the descriptors of a VM
 * @flags:	KVMRELAY_VM_*
 * @vm:		of the VM
 * @nr_vcpus:	number of @vcpus
 * @vcpus:	of all vCPUs
 * @nr_slots:	number of @slots
 * @slots:	all memslots
 *
 * A VMM fills in one of its own to have it kept or sent. One that was taken or received
 * belongs to the library: kvmrelay_vm_free() closes and unmaps what is in it.
 */
struct kvmrelay_vm {
	__u32 flags;
	int vm;
	unsigned int nr_vcpus;
	int *vcpus;
	unsigned int nr_slots;
	struct kvmrelay_slot *slots;
};

/*
 * A VM in a session: itself as @name, of at most 19 characters, vCPUs as @name.v0 and so
 * on, memory as @name.m0, and which memslots there are as the state of @name. A device that a
 * memslot has is kept by that, and once; its container, and its group, are kept before.
 */
int kvmrelay_vm_keep(int session, const char *name, const struct kvmrelay_vm *vm,
		     struct kvmrelay_error *err);
int kvmrelay_vm_drop(int session, const char *name, struct kvmrelay_error *err);
int kvmrelay_vm_take(int session, const char *name, struct kvmrelay_vm **vm,
		     struct kvmrelay_error *err);

/*
 * A VM over a UNIX socket (SOCK_STREAM), with the session that keeps it or -1. Who receives
 * it reports what came of it, and who has sent it waits for that; a report that is no
 * success fails with its errno and reason there. kvmrelay_hold_connect() returns a socket on
 * which a custodian sends its VM, kvm-relay-hold(8): ENOENT and ECONNREFUSED where none is.
 */
int kvmrelay_vm_send(int sock, const struct kvmrelay_vm *vm, int session,
		     struct kvmrelay_error *err);
int kvmrelay_vm_receive(int sock, struct kvmrelay_vm **vm, int *session,
			struct kvmrelay_error *err);
int kvmrelay_report(int sock, int error, const char *reason, struct kvmrelay_error *err);
int kvmrelay_result(int sock, struct kvmrelay_error *err);
int kvmrelay_hold_connect(const char *path, struct kvmrelay_error *err);

/* Maps all memslots that are not. */
int kvmrelay_vm_map(struct kvmrelay_vm *vm, struct kvmrelay_error *err);
void kvmrelay_vm_free(struct kvmrelay_vm *vm);

/*
 * @move: what is wanted, and the result; all 0 is a good beginning. @exits, of each vCPU or
 * NULL: enum kvm_core_adopt_exit.
 */
int kvmrelay_vm_adopt(const struct kvmrelay_vm *vm, struct kvm_core_move *move, __u32 *exits,
		      struct kvmrelay_error *err);
int kvmrelay_vm_move(int vm, struct kvm_core_move *move, struct kvmrelay_error *err);
/* prepare, stop ... */
const char *kvmrelay_stage_name(unsigned int stage);

struct kvm_run;
/*
 * After an adoption of a VM with KVMRELAY_VM_MARKED, before KVM_RUN: does kvm_run show an exit
 * that is still to be handled? @exit is what the adoption said of this vCPU.
 */
bool kvmrelay_exit_waits(const struct kvm_run *run, __u32 exit);

/*
 * Dirty rings. One structure belongs to one thread at a time. @entries: a power of two, the
 * same for all; @next: the entry to be collected next, 0 for a new ring, else what
 * kvmrelay_ring_next() said, also in another process.
 */
struct kvmrelay_ring;

/* Before the first vCPU is created */
int kvmrelay_ring_enable(int vm, unsigned int entries, struct kvmrelay_error *err);
int kvmrelay_ring_open(struct kvmrelay_ring **ring, int vcpu, unsigned int entries,
		       unsigned int next, struct kvmrelay_error *err);
void kvmrelay_ring_close(struct kvmrelay_ring *ring);
unsigned int kvmrelay_ring_next(const struct kvmrelay_ring *ring);
/* Calls page() for each entry; returns how many. Pages are copied after a reset. */
unsigned int kvmrelay_ring_collect(struct kvmrelay_ring *ring,
				   void (*page)(void *arg, __u32 slot, __u64 offset),
				   void *arg);
/* Returns how many entries were reset. */
int kvmrelay_ring_reset(struct kvmrelay_ring *ring, struct kvmrelay_error *err);
/* An eventfd that is signalled when so many entries are in use; -1 for none */
int kvmrelay_ring_notify(struct kvmrelay_ring *ring, int event, unsigned int level,
			 struct kvmrelay_error *err);

#ifdef __cplusplus
}
#endif

#endif
