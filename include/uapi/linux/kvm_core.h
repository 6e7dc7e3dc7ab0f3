/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * kvm-core: several KVMs on one host, and VMs that go from one to another.
 *
 * The control device is /dev/kvm-core; its ioctls need CAP_SYS_ADMIN.
 */
#ifndef _UAPI_LINUX_KVM_CORE_H
#define _UAPI_LINUX_KVM_CORE_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define KVM_CORE_NAME_LEN	32
#define KVM_CORE_REASON_LEN	128

/* A VM's own process may ask as well, and occupies the VM meanwhile. */
#define KVM_CORE_MAX_DEADLINE_US 60000000
#define KVM_CORE_MAX_TIMEOUT_MS	600000

/* Stages of a handoff, in order. Until COMMIT is done the VM is where it was. */
enum kvm_core_stage {
	KVM_CORE_STAGE_RECORD,	/* can the VM be set up anew? */
	KVM_CORE_STAGE_PREPARE,	/* the VM is set up on the target; it runs on */
	KVM_CORE_STAGE_STOP,	/* its vCPUs leave guest mode */
	KVM_CORE_STAGE_QUIESCE,	/* interrupts stay outside */
	KVM_CORE_STAGE_MOVE,	/* state goes over */
	KVM_CORE_STAGE_COMMIT,	/* descriptors go over, vCPUs run */
	KVM_CORE_STAGE_RETIRE,	/* what it leaves behind is destroyed */
	KVM_CORE_STAGES,
};

/* Say whether the handoff would work; the VM is prepared, and not stopped. */
#define KVM_CORE_MOVE_DRY_RUN	(1 << 0)
/* Do not fill the target's page tables ahead. */
#define KVM_CORE_MOVE_NO_POPULATE (1 << 1)

/**
 * struct kvm_core_move - argument of KVM_CORE_MOVE and KVM_CORE_VM_MOVE
 *
 * The VM is named by @vm, or by @fd when @vm is 0. KVM_CORE_VM_MOVE is an ioctl on
 * the VM's own descriptor, and ignores both.
 *
 * One handoff of a VM at a time, others are EBUSY; but that of a KVM_CORE_VM_MOVE is undone
 * with EBUSY when a KVM_CORE_MOVE or KVM_CORE_MOVE_ALL comes, which waits for that.
 *
 * @vm:		the number that /sys/kernel/kvm_core/vms shows
 * @fd:		the VM's descriptor, in the calling process; pidfd_getfd(2) gets one
 *		from another process
 * @flags:	KVM_CORE_MOVE_*
 * @deadline_us: longest time that vCPUs are stopped; past it the handoff is
 *		undone with ETIMEDOUT. 0: 100 ms. At most KVM_CORE_MAX_DEADLINE_US.
 * @timeout_ms:	longest time for the whole up to COMMIT, 0: 10 s. At most
 *		KVM_CORE_MAX_TIMEOUT_MS. A vCPU whose
 *		thread does not come back to KVM_RUN is waited for so long, by stops
 *		of at most the deadline.
 * @reserved:	0
 * @instance:	where to, as in /sys/kernel/kvm_core/instances
 * @error:	result: 0 or a positive errno, as the ioctl itself returns it
 * @stage:	result: enum kvm_core_stage; the one that failed, or the last
 * @vcpus:	result: number of vCPUs
 * @attempts:	result: how often the vCPUs were stopped
 * @downtime_ns: result: from the first vCPU asked to stop until all are released
 *		into the target (or, undone, into the source); the sum of all attempts
 * @stopped_at_ns: result: CLOCK_MONOTONIC when that began, of the last attempt
 * @stage_ns:	result: time of each stage
 * @populated:	result: pages that were mapped ahead
 * @pid:	result: process of the VM, in the caller's PID namespace
 * @reserved2:	0
 * @from:	result: the instance that the VM was on
 * @reason:	result: one line, when there was an error
 */
struct kvm_core_move {
	__u32 vm;
	__s32 fd;
	__u32 flags;
	__u32 deadline_us;
	__u32 timeout_ms;
	__u32 reserved;
	char instance[KVM_CORE_NAME_LEN];

	__u32 error;
	__u32 stage;
	__u32 vcpus;
	__u32 attempts;
	__u64 downtime_ns;
	__u64 stopped_at_ns;
	__u64 stage_ns[KVM_CORE_STAGES];
	__u64 populated;
	__s32 pid;
	__u32 reserved2;
	char from[KVM_CORE_NAME_LEN];
	char reason[KVM_CORE_REASON_LEN];
};

/**
 * struct kvm_core_instance_info - one loaded instance, of KVM_CORE_LIST
 * @index:	argument: counts from 0; ENOENT past the last
 * @number:	N of its name
 * @flags:	KVM_CORE_INSTANCE_*
 * @vms:	VMs on it
 * @name:	as in /sys/kernel/kvm_core/instances
 * @source:	release of the KVM source it was built from
 * @state:	loading, live, draining or failed
 */
struct kvm_core_instance_info {
	__u32 index;
	__u32 number;
	__u32 flags;
	__u32 vms;
	char name[KVM_CORE_NAME_LEN];
	char source[KVM_CORE_NAME_LEN];
	char state[KVM_CORE_NAME_LEN];
};

#define KVM_CORE_INSTANCE_DEFAULT (1 << 0)

/**
 * struct kvm_core_name - argument of KVM_CORE_SET_DEFAULT
 * @name:	an instance, or empty for the one that was loaded last
 */
struct kvm_core_name {
	char name[KVM_CORE_NAME_LEN];
};

/* It takes VMs again. */
#define KVM_CORE_DRAIN_UNDO	(1 << 0)

/**
 * struct kvm_core_drain - argument of KVM_CORE_DRAIN
 *
 * The instance takes no VMs any more: opening its node, KVM_CREATE_VM on descriptors of
 * it that are open, and moves to it, whoever asks for them, fail with ENODEV, and
 * /dev/kvm opens another. The VMs that it has go on, and can be moved away. ENODEV if it
 * is not loaded, or neither live nor draining.
 *
 * @name:	the instance
 * @flags:	KVM_CORE_DRAIN_*
 * @reserved:	0
 */
struct kvm_core_drain {
	char name[KVM_CORE_NAME_LEN];
	__u32 flags;
	__u32 reserved;
};

/**
 * struct kvm_core_move_all - argument of KVM_CORE_MOVE_ALL
 * @move:	as for one VM, but for its name; the result of the last that failed,
 *		or of the last
 * @moved:	result: VMs that arrived
 * @failed:	result: VMs that stay where they were
 * @here:	result: VMs that were there before
 * @reserved:	0
 */
struct kvm_core_move_all {
	struct kvm_core_move move;
	__u32 moved;
	__u32 failed;
	__u32 here;
	__u32 reserved;
};

/* Of a handoff: its VM's own process asked for it */
#define KVM_CORE_HANDOFF_OWN	(1 << 0)
/* The VM went to another process, which asked for it */
#define KVM_CORE_HANDOFF_ADOPT	(1 << 1)
/* Only whether it would work was asked */
#define KVM_CORE_HANDOFF_DRY_RUN (1 << 2)

/**
 * struct kvm_core_handoff - one handoff that has ended, of KVM_CORE_HISTORY
 *
 * Kept are the last ones that an operator asked for, and fewer of those that VMMs asked
 * for, which do not push the others out. One that was refused before it began is none.
 *
 * @seq:	argument: the least number that is wanted, ENOENT if there is none like it
 *		or greater; result: the number. They count from 1, without a gap when
 *		nothing has been pushed out
 * @time_ns:	CLOCK_REALTIME when it ended
 * @total_ns:	of all its stages
 * @downtime_ns: as in struct kvm_core_move
 * @vm:		the VM's number
 * @pid:	whose VM it was then, in the caller's PID namespace
 * @uid:	as @pid, the user, in the caller's user namespace
 * @flags:	KVM_CORE_HANDOFF_*
 * @stage:	as in struct kvm_core_move
 * @error:	as in struct kvm_core_move
 * @vcpus:	as in struct kvm_core_move
 * @attempts:	as in struct kvm_core_move
 * @comm:	command name of that process; any bytes but 0
 * @from:	the instance that the VM was on
 * @to:		and the one that it was to go to
 * @reason:	one line, when there was an error
 */
struct kvm_core_handoff {
	__u64 seq;
	__u64 time_ns;
	__u64 total_ns;
	__u64 downtime_ns;
	__u32 vm;
	__s32 pid;
	__u32 uid;
	__u32 flags;
	__u32 stage;
	__u32 error;
	__u32 vcpus;
	__u32 attempts;
	char comm[16];
	char from[KVM_CORE_NAME_LEN];
	char to[KVM_CORE_NAME_LEN];
	char reason[KVM_CORE_REASON_LEN];
};

#define KVM_CORE_STOPPED_BUCKETS 12

/**
 * struct kvm_core_stats - handoffs since kvm-core was loaded, of KVM_CORE_STATS
 * @argsz:	argument: size of this structure
 * @flags:	argument: 0
 * @moved:	asked for by an operator, and done
 * @moved_own:	asked for by the VM's process, and done
 * @adopted:	to another process
 * @failed:	of an operator
 * @failed_own:	of others
 * @dry_runs:	that found that it would work
 * @dry_runs_failed: and that it would not
 * @stopped_ns:	sum of downtime_ns of those that were done
 * @bound_us:	of each bucket but the last, in rising order
 * @stopped:	those that were done with a downtime_ns of at most this bound and more than
 *		the one before; in the last more than all
 */
struct kvm_core_stats {
	__u32 argsz;
	__u32 flags;
	__u64 moved;
	__u64 moved_own;
	__u64 adopted;
	__u64 failed;
	__u64 failed_own;
	__u64 dry_runs;
	__u64 dry_runs_failed;
	__u64 stopped_ns;
	__u32 bound_us[KVM_CORE_STOPPED_BUCKETS];
	__u64 stopped[KVM_CORE_STOPPED_BUCKETS];
};

/**
 * struct kvm_core_failures - how often handoffs failed in one way, of KVM_CORE_FAILURES
 * @index:	argument: counts from 0; ENOENT past the last
 * @stage:	enum kvm_core_stage
 * @error:	positive errno; one that is no errno of userspace is EIO
 * @flags:	KVM_CORE_HANDOFF_OWN for those that no operator asked for; dry runs do not
 *		count
 * @count:	since kvm-core was loaded
 */
struct kvm_core_failures {
	__u32 index;
	__u32 stage;
	__u32 error;
	__u32 flags;
	__u64 count;
};

#define KVM_CORE_ADOPT_VCPUS	4096
#define KVM_CORE_ADOPT_SLOTS	65536

/**
 * struct kvm_core_adopt_slot - where the adopter has a memslot's memory
 * @slot:	the memslot, as in struct kvm_userspace_memory_region
 * @reserved:	0
 * @size:	its size, which has to be the memslot's
 * @userspace_addr: its address in the calling process, which has to be mapped. That the
 *		same memory is there is the caller's affair.
 */
struct kvm_core_adopt_slot {
	__u32 slot;
	__u32 reserved;
	__u64 size;
	__u64 userspace_addr;
};

/*
 * How a vCPU's last exit, which kvm_run shows, and the process that had it ended: KVM has
 * nothing left to do for it; it comes again, from the same instruction; or it is a write
 * that KVM_RUN was not called after, and does not come again. Until KVM_RUN is called who
 * adopts the VM next is told the same.
 */
enum kvm_core_adopt_exit {
	KVM_CORE_ADOPT_EXIT_DONE,
	KVM_CORE_ADOPT_EXIT_AGAIN,
	KVM_CORE_ADOPT_EXIT_WRITE,
};

/**
 * struct kvm_core_adopt - argument of KVM_CORE_VM_ADOPT
 *
 * An ioctl on the VM's descriptor, for another process than the one whose VM it is. The
 * calling process takes the VM into its address space, in one handoff, which needs all of
 * the VM's vCPU descriptors and says where all of its memslots are. From commit on the VM
 * is the caller's: its ioctls are answered there, and for the former process they fail
 * with EIO, KVM_RUN included. Until commit it is the former's, which may have ended.
 *
 * @argsz:	size of this structure
 * @flags:	0
 * @nr_vcpus:	descriptors at @vcpus, at most KVM_CORE_ADOPT_VCPUS
 * @nr_slots:	structures at @slots, at most KVM_CORE_ADOPT_SLOTS
 * @vcpus:	address of the __s32 descriptors of all vCPUs, in any order
 * @slots:	address of a struct kvm_core_adopt_slot for each memslot, in any order
 * @exits:	address of a __u32 for each vCPU, in the order of @vcpus, or 0. Result:
 *		enum kvm_core_adopt_exit
 * @reserved:	0
 * @move:	as for KVM_CORE_VM_MOVE; an empty instance stands for the one that the VM
 *		is on. pid of the result is the caller after commit. COMMIT is the last stage:
 *		the ioctl does not wait for what is left of the former VM.
 *
 * Errors, beside those of KVM_CORE_VM_MOVE, with the reason in @move: EALREADY it is the
 * caller's VM; EBADF no such descriptor; EINVAL a descriptor is no vCPU of this VM, or one
 * is named twice or not at all, or the memslots are not the VM's; EFAULT a memslot's memory
 * is not mapped. With EFAULT for the argument itself, and EINVAL for what is to be 0 or
 * exceeds a limit, nothing is written to it.
 */
struct kvm_core_adopt {
	__u32 argsz;
	__u32 flags;
	__u32 nr_vcpus;
	__u32 nr_slots;
	__u64 vcpus;
	__u64 slots;
	__u64 exits;
	__u64 reserved[3];
	struct kvm_core_move move;
};

#define KVM_CORE_IOC		0xbc

/* On /dev/kvm-core */
#define KVM_CORE_LIST		_IOWR(KVM_CORE_IOC, 0, struct kvm_core_instance_info)
#define KVM_CORE_SET_DEFAULT	_IOW(KVM_CORE_IOC, 1, struct kvm_core_name)
#define KVM_CORE_MOVE		_IOWR(KVM_CORE_IOC, 2, struct kvm_core_move)
#define KVM_CORE_MOVE_ALL	_IOWR(KVM_CORE_IOC, 3, struct kvm_core_move_all)
#define KVM_CORE_DRAIN		_IOW(KVM_CORE_IOC, 4, struct kvm_core_drain)
#define KVM_CORE_HISTORY	_IOWR(KVM_CORE_IOC, 5, struct kvm_core_handoff)
#define KVM_CORE_STATS		_IOWR(KVM_CORE_IOC, 6, struct kvm_core_stats)
#define KVM_CORE_FAILURES	_IOWR(KVM_CORE_IOC, 7, struct kvm_core_failures)

/* On a VM's descriptor, for its VMM; no capability is needed */
#define KVM_CORE_VM_MOVE	_IOWR(KVM_CORE_IOC, 16, struct kvm_core_move)

/* On a VM's descriptor, for who has those of its vCPUs too */
#define KVM_CORE_VM_ADOPT	_IOWR(KVM_CORE_IOC, 18, struct kvm_core_adopt)

/*
 * On a vCPU's descriptor, with another vCPU's descriptor for an argument: this vCPU takes
 * the posted-interrupt descriptor of that one, to which devices go on posting, and
 * gives its own. Documentation/posted-interrupts.rst has the order in which a VMM does this.
 */
#define KVM_CORE_VCPU_TAKE_PI	_IO(KVM_CORE_IOC, 17)

#endif
