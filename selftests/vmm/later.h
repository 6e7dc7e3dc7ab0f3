/* SPDX-License-Identifier: GPL-2.0-only */
/* What of KVM's interface only some series have, and not the headers of every host. */
#ifndef LATER_H
#define LATER_H

#include <linux/kvm.h>
#include <linux/types.h>

/* struct kvm_userspace_memory_region2 */
struct later_region2 {
	struct kvm_userspace_memory_region region;
	__u64 memfd_offset;
	__u32 memfd;
	__u32 reserved[29];
};

/* struct kvm_pre_fault_memory */
struct later_pre_fault {
	__u64 gpa;
	__u64 size;
	__u64 flags;
	__u64 reserved[5];
};

#define LATER_SET_REGION2	_IOW(KVMIO, 0x49, struct later_region2)
#define LATER_PRE_FAULT		_IOWR(KVMIO, 0xd5, struct later_pre_fault)

#define LATER_CAP_REGION2	231
#define LATER_CAP_PRE_FAULT	236
#define LATER_CAP_BUS_CYCLES	237

#endif
