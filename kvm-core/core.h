/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What all files of kvm-core know: the instances.
 *
 * kvm-core has four wings. Calls go one way, admin -> handoff -> file -> cpu, and
 * each wing has a header that is all the others may know of it (admin/admin.h,
 * handoff/handoff.h, file/file.h, cpu/cpu.h). Where a lower wing needs a higher one it
 * asks through struct core_above (file/file.h). registry.c is below all of them,
 * instance.c and main.c are above. "scripts/lint wings" looks at the objects.
 */
#ifndef __KVM_CORE_CORE_H
#define __KVM_CORE_CORE_H

#include <linux/atomic.h>
#include <linux/cpuhotplug.h>
#include <linux/fs.h>
#include <linux/kobject.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mutex.h>
#include <linux/types.h>

#include <kvm-core/instance.h>

/* The cpuhp states that KVM has; each instance may fill both. */
enum core_hp {
	CORE_HP_KVM,
	CORE_HP_CLK,
	CORE_HP_MAX,
};

enum core_instance_state {
	CORE_LOADING,	/* registered, its init runs, or its exit */
	CORE_LIVE,	/* opens are answered */
	CORE_DRAINING,	/* as CORE_LIVE for the VMs it has; no VM comes any more */
	CORE_FAILED,	/* no new descriptor, every ioctl is -EIO */
};

/**
 * struct core_instance - kvm-core's side of an instance
 * @link:	in core_instances; added and removed under core_lock, walked also
 *		under RCU (from IRQ and NMI too)
 * @inst:	what the instance said of itself
 * @state:	enum core_instance_state; written under core_lock, but CORE_FAILED,
 *		which it becomes at any time. From CORE_LIVE to CORE_DRAINING and back
 *		by core_vm_drain(), which orders it with VMs that come
 * @serial:	counts publications; the default is the highest, unless pinned
 * @fops:	operations behind /dev/kvm; set before @state becomes CORE_LIVE
 * @misc:	/dev/kvm-VENDOR-N
 * @vms:	VMs whose descriptors are open, and those that are about to come
 * @startup:	CPU hotplug callbacks; written under cpus_read_lock(), called
 * @teardown:	with the hotplug lock held for writing
 * @suspend:	turns the instance off on this CPU, whatever it runs
 * @resume:	and on again
 * @perf:	these five are NULL or point into the instance; cleared, and a
 * @wakeup:	grace period waited for, before its text goes away
 * @emergency:
 * @ga_log:
 * @hv_tsc:
 * @uret_mask:	slots of uret.c that the instance manages; grows only
 * @l1tf:	its L1TF mitigation, or -1
 * @sev_capacity: what it announced to the misc cgroup
 * @traceable:	does it feed the events of the trace system kvm; under core_lock
 * @traced:	those that it feeds now, bits of enum kvm_core_event; under core_lock
 * @debugfs:	directory in /sys/kernel/debug/kvm_core
 * @kobj:	directory in /sys/kernel/kvm_core/instances
 */
struct core_instance {
	struct list_head link;
	struct kvm_core_instance *inst;
	enum core_instance_state state;
	u64 serial;
	const struct file_operations *fops;
	struct miscdevice misc;
	atomic_t vms;

	int (*startup[CORE_HP_MAX])(unsigned int cpu);
	int (*teardown[CORE_HP_MAX])(unsigned int cpu);
	int (*suspend)(void);
	void (*resume)(void);

	struct perf_guest_info_callbacks *perf;
	void (*wakeup)(void);
	void (*emergency)(void);
	int (*ga_log)(u32 tag);
	void (*hv_tsc)(void);

	u32 uret_mask;
	int l1tf;
	unsigned long sev_capacity[2];

	bool traceable;
	unsigned long traced;

	struct dentry *debugfs;
	struct kobject kobj;
};

extern struct mutex core_lock;
extern struct list_head core_instances;

static inline struct core_instance *core_of(struct kvm_core_instance *inst)
{
	return inst->priv;
}

/* registry.c */
struct core_instance *core_get_default(void);
struct core_instance *core_get_by_minor(int minor);
struct core_instance *core_get_by_name(const char *name);
struct core_instance *core_find_locked(const char *name);
void core_put(struct core_instance *ci);
int core_pin_default(const char *name);
void core_unpin_default(const struct core_instance *ci);
struct core_instance *core_default_locked(void);
const char *core_state_name(const struct core_instance *ci);

#endif
