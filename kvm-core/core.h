/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of kvm-core know of each other.
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
	CORE_HP_STARTING,
	CORE_HP_CLK,
	CORE_HP_MAX,
};

enum core_instance_state {
	CORE_LOADING,	/* registered, its init runs, or its exit */
	CORE_LIVE,	/* opens are answered */
	CORE_FAILED,	/* no new descriptor, every ioctl is -EIO */
};

/**
 * struct core_instance - kvm-core's side of an instance
 * @link:	in core_instances; added and removed under core_lock, walked also
 *		under RCU (from IRQ and NMI too)
 * @inst:	what the instance said of itself
 * @state:	enum core_instance_state; written under core_lock
 * @serial:	counts publications; the default is the highest, unless pinned
 * @fops:	operations behind /dev/kvm; set before @state becomes CORE_LIVE
 * @misc:	/dev/kvm-VENDOR-N
 * @vms:	VMs whose descriptors are open
 * @startup:	CPU hotplug callbacks; written under cpus_read_lock(), called
 * @teardown:	with the hotplug lock held for writing
 * @syscore:	suspend turns the instance off on this CPU, whatever it runs
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
	struct syscore_ops *syscore;

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

/* instance.c */
struct core_instance *core_get_default(void);
struct core_instance *core_get_by_minor(int minor);
struct core_instance *core_get_by_name(const char *name);
void core_put(struct core_instance *ci);
int core_set_default(const char *name);
struct core_instance *core_default_locked(void);
const char *core_state_name(const struct core_instance *ci);

/* file.c */
int core_file_open(struct core_instance *ci, struct file *file);

/* device.c */
int core_device_init(void);
void core_device_exit(void);
int core_device_add(struct core_instance *ci);
void core_device_remove(struct core_instance *ci);
struct device *core_device_kvm(void);

/* sysfs.c */
struct core_vm;
int core_sysfs_init(void);
void core_sysfs_exit(void);
int core_sysfs_add(struct core_instance *ci);
void core_sysfs_remove(struct core_instance *ci);
int core_sysfs_vm_add(struct core_vm *vm);

/* vm.c, what only sysfs.c and main.c need; the rest is in vm.h */
void core_vm_free(struct core_vm *vm);
void core_vm_exit(void);

/* debugfs.c */
void core_debugfs_init(void);
void core_debugfs_exit(void);
void core_debugfs_add(struct core_instance *ci);
void core_debugfs_remove(struct core_instance *ci);
void core_debugfs_default(void);

/* cpu.c */
int core_cpu_init(void);
void core_cpu_exit(void);
bool core_cpu_enabled(void);

/* uret.c */
void core_uret_init(void);
void core_uret_cpu_sample(void);
void core_uret_cpu_restore(u32 keep);

/* callbacks.c */
void core_callbacks_clear(struct core_instance *ci);

/* trace.c */
void core_trace_start(struct core_instance *ci);
void core_trace_stop(struct core_instance *ci);
void core_trace_open(void);
void core_trace_close(void);

/* check.c */
extern bool core_entry_checks;
int core_check_init(bool on);
void core_check_exit(void);
void core_check_asid_given(u32 asid, const void *vcpu);
void core_check_vpid_freed(int vpid);

/* vmx.c */
bool core_vmx_supported(void);
int core_vmx_enable(void);
void core_vmx_disable(void);
void core_vmx_emergency_off(void);
void core_vmx_forget(struct core_instance *ci);
void core_vmx_exit(void);

/* svm.c */
bool core_svm_supported(void);
int core_svm_init(void);
int core_svm_enable(void);
void core_svm_disable(void);
void core_svm_forget(struct core_instance *ci);
void core_svm_exit(void);

#endif
