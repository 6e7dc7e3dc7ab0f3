/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels that the modules are built for, in one place. The
 * headers were looked through for it (probe.mk); no version is asked for. A name that
 * begins with relay_ here is what newer kernels call without.
 */
#ifndef __RELAY_COMPAT_H
#define __RELAY_COMPAT_H

#include <linux/atomic.h>
#include <linux/cpuhotplug.h>
#include <linux/eventfd.h>
#include <linux/fs.h>
#include <linux/memcontrol.h>
#include <linux/sched.h>
#include <linux/syscore_ops.h>

/* Where KVM is told of CPUs: with interrupts off on the new CPU, or by its own thread. */
#ifdef RELAY_HAVE_CPUHP_KVM_ONLINE
#define RELAY_CPUHP_KVM CPUHP_AP_KVM_ONLINE
#else
#define RELAY_CPUHP_KVM CPUHP_AP_KVM_STARTING
#endif

/**
 * RELAY_SYSCORE - a module's part in suspend
 * @name: for relay_register_syscore() and relay_unregister_syscore()
 * @suspend_fn: int (*)(void)
 * @resume_fn: void (*)(void)
 */
#ifdef RELAY_HAVE_SYSCORE
#define RELAY_SYSCORE(name, suspend_fn, resume_fn)			\
static int name##_suspend(void *data)					\
{									\
	return suspend_fn();						\
}									\
									\
static void name##_resume(void *data)					\
{									\
	resume_fn();							\
}									\
									\
static const struct syscore_ops name##_ops = {				\
	.suspend = name##_suspend,					\
	.resume = name##_resume,					\
};									\
									\
static struct syscore name = {						\
	.ops = &name##_ops,						\
}
#define relay_register_syscore register_syscore
#define relay_unregister_syscore unregister_syscore
#else
#define RELAY_SYSCORE(name, suspend_fn, resume_fn)			\
static struct syscore_ops name = {					\
	.suspend = suspend_fn,						\
	.resume = resume_fn,						\
}
#define relay_register_syscore register_syscore_ops
#define relay_unregister_syscore unregister_syscore_ops
#endif

/**
 * relay_get_file_active - a reference to a file that may be at its end
 * @file: where it is kept, by who is told before the file goes
 *
 * Context: any.
 * Return: the file, or NULL.
 */
static inline struct file *relay_get_file_active(struct file **file)
{
#ifdef RELAY_HAVE_GET_FILE_ACTIVE
	return get_file_active(file);
#else
	return get_file_rcu(*file) ? *file : NULL;
#endif
}

/**
 * relay_eventfd_signal - eventfd_signal()
 * @ctx: the eventfd
 *
 * Context: any.
 */
static inline void relay_eventfd_signal(struct eventfd_ctx *ctx)
{
#ifdef RELAY_HAVE_EVENTFD_SIGNAL_N
	eventfd_signal(ctx, 1);
#else
	eventfd_signal(ctx);
#endif
}

/* The source is that of __string() in kernels that take it from there. */
#ifdef RELAY_HAVE_ASSIGN_STR_DST
#define relay_assign_str(dst, src) __assign_str(dst)
#else
#define relay_assign_str(dst, src) __assign_str(dst, src)
#endif

/* The struct vfio_device that a file of VFIO's for a device is of. */
#ifdef RELAY_HAVE_VFIO_DEVICE_FILE
#define relay_vfio_device(file) (*(struct vfio_device **)(file)->private_data)
#else
#define relay_vfio_device(file) ((struct vfio_device *)(file)->private_data)
#endif

/* Of struct vfio_device_ops, where VFIO does not free a device by itself. */
#ifdef RELAY_HAVE_VFIO_FREE_DEVICE
#define RELAY_VFIO_RELEASE .release = vfio_free_device,
#else
#define RELAY_VFIO_RELEASE
#endif

/*
 * Ioctls and capabilities that a handoff knows and only some series have. Where KVM has them
 * not they are none of any, which instances refuse.
 */
#ifdef KVM_SET_USER_MEMORY_REGION2
#define RELAY_SET_REGION2 KVM_SET_USER_MEMORY_REGION2
#define RELAY_REGION2_LEN sizeof(struct kvm_userspace_memory_region2)
#define RELAY_GUEST_MEMFD KVM_MEM_GUEST_MEMFD
#else
#define RELAY_SET_REGION2 (~0u)
#define RELAY_REGION2_LEN 0
#define RELAY_GUEST_MEMFD 0
#endif
#ifdef KVM_PRE_FAULT_MEMORY
#define RELAY_PRE_FAULT KVM_PRE_FAULT_MEMORY
#else
#define RELAY_PRE_FAULT (~0u)
#endif
#ifdef KVM_CAP_X86_APIC_BUS_CYCLES_NS
#define RELAY_CAP_BUS_CYCLES KVM_CAP_X86_APIC_BUS_CYCLES_NS
#else
#define RELAY_CAP_BUS_CYCLES (~0u)
#endif

/* Has the task work of io_uring's, or may it have? */
#ifdef CONFIG_IO_URING
#define relay_uses_io_uring(task) (!!(task)->io_uring)
#else
#define relay_uses_io_uring(task) false
#endif

/* Ioctls of which only some series know, and no handoff: NAME() of each. */
#ifdef KVM_CREATE_GUEST_MEMFD
#define RELAY_LATER_IOCTLS						\
	NAME(KVM_SET_USER_MEMORY_REGION2),				\
	NAME(KVM_SET_MEMORY_ATTRIBUTES),				\
	NAME(KVM_CREATE_GUEST_MEMFD),
#else
#define RELAY_LATER_IOCTLS
#endif

/* Does the kernel have current->memcg_in_oom? */
#if defined(CONFIG_MEMCG) && (!defined(RELAY_HAVE_MEMCG_V1) || defined(CONFIG_MEMCG_V1))
#define RELAY_MEMCG_IN_OOM
#endif

/*
 * Who pays for what the host itself allocates in a handoff, which may end with the OOM
 * killer if the task has no mark against that: then the host.
 */
static inline struct mem_cgroup *relay_pays_for_host(struct mem_cgroup *memcg)
{
#ifndef RELAY_MEMCG_IN_OOM
	while (memcg && parent_mem_cgroup(memcg))
		memcg = parent_mem_cgroup(memcg);
#endif
	return memcg;
}

#endif
