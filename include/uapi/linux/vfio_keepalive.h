/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * vfio-keepalive: sessions that keep passed-through devices as they are when their VMM
 * ends. Documentation/vfio-keepalive.rst has the errnos of each ioctl.
 *
 * Each structure begins with its size. A longer one than the kernel knows is E2BIG
 * unless the rest is zero; a shorter one than VFIO_KEEPALIVE_*_SIZE_VER0, or where there is
 * none than it is here, is EINVAL. Flags that are not known, and reserved members that
 * are not zero, are EINVAL.
 */
#ifndef _UAPI_LINUX_VFIO_KEEPALIVE_H
#define _UAPI_LINUX_VFIO_KEEPALIVE_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define VFIO_KEEPALIVE_NAME_LEN		32
#define VFIO_KEEPALIVE_TOKEN_LEN	32
#define VFIO_KEEPALIVE_STATE_MAX	65536

/* Instead of an item's index: the session itself */
#define VFIO_KEEPALIVE_SESSION		0xffffffff

enum vfio_keepalive_state {
	VFIO_KEEPALIVE_ACTIVE,		/* the one who created it has it */
	VFIO_KEEPALIVE_ORPHANED,	/* nobody has it, its time runs */
	VFIO_KEEPALIVE_CLAIMED,		/* one who claimed it has it */
	VFIO_KEEPALIVE_RELEASED,	/* its descriptors are being closed */
};

enum vfio_keepalive_kind {
	VFIO_KEEPALIVE_CONTAINER = 1,	/* /dev/vfio/vfio, type 1, no mdev in it */
	VFIO_KEEPALIVE_GROUP,		/* /dev/vfio/N; its container comes first */
	VFIO_KEEPALIVE_DEVICE,		/* VFIO_GROUP_GET_DEVICE_FD; the same */
	VFIO_KEEPALIVE_EVENTFD,
	VFIO_KEEPALIVE_MEMORY,		/* memfd, file of tmpfs or hugetlbfs */
	VFIO_KEEPALIVE_VM,		/* of an instance; to be adopted (KVM_CORE_VM_ADOPT) */
	VFIO_KEEPALIVE_VCPU,		/* the same */
	VFIO_KEEPALIVE_KVM_DEVICE,	/* kvm-vfio of such a VM, which comes first */
};

/*
 * Keep it also when its VMM is killed for memory, that of the VMM's cgroup, say. When the
 * host is out of memory an orphan is released as any other.
 */
#define VFIO_KEEPALIVE_CREATE_KEEP_OOM	(1 << 0)

/**
 * struct vfio_keepalive_create - argument of VFIO_KEEPALIVE_CREATE
 * @argsz:	size of this structure
 * @flags:	0 or VFIO_KEEPALIVE_CREATE_KEEP_OOM
 * @limit_ms:	how long the session may be an orphan; from 1 to the module's
 *		parameter max_limit_ms
 * @session:	result: its number
 * @name:	for people; printable ASCII, ends with a zero byte
 * @token:	result: what claims it
 */
struct vfio_keepalive_create {
	__u32 argsz;
	__u32 flags;
	__u32 limit_ms;
	__u32 session;
	char name[VFIO_KEEPALIVE_NAME_LEN];
	__u8 token[VFIO_KEEPALIVE_TOKEN_LEN];
};

/**
 * struct vfio_keepalive_claim - argument of VFIO_KEEPALIVE_CLAIM
 * @argsz:	size of this structure
 * @flags:	0
 * @session:	which
 * @reserved:	0
 * @token:	of its creation, or of a claim before
 * @new_token:	result: what claims it as well, and alone after VFIO_KEEPALIVE_CONFIRM;
 *		of no use when the claim failed
 *
 * Until the claim is confirmed, or the new token has claimed, the token it was made
 * with goes on to be valid. So a claimer that ends before it has stored the new one
 * leaves the session to who has the old one.
 */
struct vfio_keepalive_claim {
	__u32 argsz;
	__u32 flags;
	__u32 session;
	__u32 reserved;
	__u8 token[VFIO_KEEPALIVE_TOKEN_LEN];
	__u8 new_token[VFIO_KEEPALIVE_TOKEN_LEN];
};

/**
 * struct vfio_keepalive_confirm - argument of VFIO_KEEPALIVE_CONFIRM
 * @argsz:	size of this structure
 * @flags:	0
 */
struct vfio_keepalive_confirm {
	__u32 argsz;
	__u32 flags;
};

/**
 * struct vfio_keepalive_watch - argument of VFIO_KEEPALIVE_WATCH
 * @argsz:	size of this structure
 * @flags:	0
 * @session:	which
 * @reserved:	0
 * @token:	one that claims it
 */
struct vfio_keepalive_watch {
	__u32 argsz;
	__u32 flags;
	__u32 session;
	__u32 reserved;
	__u8 token[VFIO_KEEPALIVE_TOKEN_LEN];
};

/* The first session whose number is not below the given one. */
#define VFIO_KEEPALIVE_NEXT		(1 << 0)

/**
 * struct vfio_keepalive_info - argument of VFIO_KEEPALIVE_INFO
 * @argsz:	size of this structure
 * @flags:	0 or VFIO_KEEPALIVE_NEXT
 * @session:	number; on a descriptor of a session or a watch it is a result only
 * @state:	result: enum vfio_keepalive_state
 * @items:	result: number of items
 * @claims:	result: how often it was claimed
 * @uid:	result: of its owner, in the caller's user namespace
 * @pid:	result: process that created or claimed it last, 0 if it is gone
 * @limit_ms:	result: as given at its creation
 * @left_ms:	result: how long it may still be an orphan; 0 if it is none
 * @bytes:	result: of all opaque states
 * @state_size: result: of the session's own opaque state
 * @reserved:	0
 * @name:	result: as given at its creation
 * @comm:	result: command of the process that created or claimed it last
 * @memory:	result: bytes of the memory that is kept, as far as it has been allocated
 *		and whoever else has it; what devices have pinned elsewhere is not in it
 */
struct vfio_keepalive_info {
	__u32 argsz;
	__u32 flags;
	__u32 session;
	__u32 state;
	__u32 items;
	__u32 claims;
	__u32 uid;
	__s32 pid;
	__u32 limit_ms;
	__u32 left_ms;
	__u64 bytes;
	__u32 state_size;
	__u32 reserved;
	char name[VFIO_KEEPALIVE_NAME_LEN];
	char comm[16];
	__u64 memory;
};

/* Without @memory */
#define VFIO_KEEPALIVE_INFO_SIZE_VER0	104

/* The first item whose index is not below the given one, or by name. */
#define VFIO_KEEPALIVE_ITEM_NEXT	(1 << 0)
#define VFIO_KEEPALIVE_ITEM_BY_NAME	(1 << 1)

/**
 * struct vfio_keepalive_item - argument of VFIO_KEEPALIVE_ITEM
 * @argsz:	size of this structure
 * @flags:	0 or one of VFIO_KEEPALIVE_ITEM_*
 * @session:	number; on a descriptor of a session or a watch it is a result only
 * @index:	of the item
 * @kind:	result: enum vfio_keepalive_kind
 * @item_flags:	result: VFIO_KEEPALIVE_ADD_*
 * @state_size:	result: of its opaque state
 * @reserved:	0
 * @name:	result, or what to look for
 */
struct vfio_keepalive_item {
	__u32 argsz;
	__u32 flags;
	__u32 session;
	__u32 index;
	__u32 kind;
	__u32 item_flags;
	__u32 state_size;
	__u32 reserved;
	char name[VFIO_KEEPALIVE_NAME_LEN];
};

/* Release a session that a process has as well; its descriptors remain the process's. */
#define VFIO_KEEPALIVE_RELEASE_FORCE	(1 << 0)

/**
 * struct vfio_keepalive_release - argument of VFIO_KEEPALIVE_RELEASE
 * @argsz:	size of this structure
 * @flags:	0 or VFIO_KEEPALIVE_RELEASE_FORCE
 * @session:	which; on a descriptor of a session or a watch of no meaning
 * @reserved:	0
 *
 * On a session's own descriptor it needs no flag.
 */
struct vfio_keepalive_release {
	__u32 argsz;
	__u32 flags;
	__u32 session;
	__u32 reserved;
};

/*
 * An eventfd that says that the device is wanted back (VFIO_PCI_REQ_IRQ_INDEX): an
 * orphan whose eventfd is not 0 is released at once.
 */
#define VFIO_KEEPALIVE_ADD_REQUEST	(1 << 0)

/**
 * struct vfio_keepalive_add - argument of VFIO_KEEPALIVE_ADD
 * @argsz:	size of this structure
 * @flags:	0 or VFIO_KEEPALIVE_ADD_REQUEST, for an eventfd
 * @fd:		what is added; the caller may close it then
 * @kind:	enum vfio_keepalive_kind: what it is
 * @name:	not empty, printable ASCII, ends with a zero byte; the only one of
 *		this name in the session
 * @state:	address of the opaque state
 * @state_size:	its size, 0 for none
 * @reserved:	0
 *
 * The ioctl returns the index of the item. Indices are not used again.
 */
struct vfio_keepalive_add {
	__u32 argsz;
	__u32 flags;
	__s32 fd;
	__u32 kind;
	char name[VFIO_KEEPALIVE_NAME_LEN];
	__u64 state;
	__u32 state_size;
	__u32 reserved;
};

/**
 * struct vfio_keepalive_index - argument of VFIO_KEEPALIVE_REMOVE and _GET_FD
 * @argsz:	size of this structure
 * @flags:	0
 * @index:	of the item
 * @reserved:	0
 */
struct vfio_keepalive_index {
	__u32 argsz;
	__u32 flags;
	__u32 index;
	__u32 reserved;
};

/**
 * struct vfio_keepalive_opaque - argument of VFIO_KEEPALIVE_SET_STATE and _GET_STATE
 * @argsz:	size of this structure
 * @flags:	0
 * @index:	of the item, or VFIO_KEEPALIVE_SESSION
 * @size:	SET: bytes at @state, 0 to have none any more. GET: room at @state;
 *		result: size of the state, also with ENOSPC
 * @state:	address
 */
struct vfio_keepalive_opaque {
	__u32 argsz;
	__u32 flags;
	__u32 index;
	__u32 size;
	__u64 state;
};

#define VFIO_KEEPALIVE_IOC	0xbd

/*
 * On /dev/vfio-keepalive. CREATE and CLAIM return the session's descriptor, which
 * has O_CLOEXEC; when its last duplicate is closed, the session is an orphan.
 */
#define VFIO_KEEPALIVE_CREATE	_IO(VFIO_KEEPALIVE_IOC, 0)
#define VFIO_KEEPALIVE_CLAIM	_IO(VFIO_KEEPALIVE_IOC, 1)

/*
 * On the device. Returns a descriptor, which has O_CLOEXEC, for as long as its token is
 * valid. poll() of it: POLLIN when the session can be claimed, POLLHUP when it is
 * released, POLLERR and POLLHUP when the token is no longer valid.
 */
#define VFIO_KEEPALIVE_WATCH	_IO(VFIO_KEEPALIVE_IOC, 5)

/* On a session's descriptor and on a watch; on the device, by number, with CAP_SYS_ADMIN */
#define VFIO_KEEPALIVE_RELEASE	_IO(VFIO_KEEPALIVE_IOC, 2)
#define VFIO_KEEPALIVE_INFO	_IO(VFIO_KEEPALIVE_IOC, 3)
#define VFIO_KEEPALIVE_ITEM	_IO(VFIO_KEEPALIVE_IOC, 4)

/* On a session's descriptor; poll() of it: POLLHUP when it was released by force */
#define VFIO_KEEPALIVE_ADD	_IO(VFIO_KEEPALIVE_IOC, 16)
#define VFIO_KEEPALIVE_REMOVE	_IO(VFIO_KEEPALIVE_IOC, 17)
/* Returns a descriptor with O_CLOEXEC */
#define VFIO_KEEPALIVE_GET_FD	_IO(VFIO_KEEPALIVE_IOC, 18)
#define VFIO_KEEPALIVE_SET_STATE _IO(VFIO_KEEPALIVE_IOC, 19)
#define VFIO_KEEPALIVE_GET_STATE _IO(VFIO_KEEPALIVE_IOC, 20)
/* The claimer has the new token where it is safe: the old one is worthless from here on. */
#define VFIO_KEEPALIVE_CONFIRM	_IO(VFIO_KEEPALIVE_IOC, 21)

#endif
