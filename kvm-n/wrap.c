// SPDX-License-Identifier: GPL-2.0-only
/*
 * Functions of the host that an instance calls and kvm-core, or a name of the
 * instance's own, answers. The linker sends every call of SYMBOL here as
 * __wrap_SYMBOL (ld --wrap); rows of kind "wrap" in transforms.tsv.
 *
 * Compiled once for each instance, with KVM_RELAY_N.
 */
/* amd-iommu.h uses it without including it. */
#include <linux/errno.h>
#include <linux/anon_inodes.h>
#include <linux/amd-iommu.h>
#include <linux/cpuhotplug.h>
#include <linux/debugfs.h>
#include <linux/kvm_host.h>
#include <linux/miscdevice.h>
#include <linux/misc_cgroup.h>
#include <linux/perf_event.h>
#include <linux/reboot.h>
#include <linux/slab.h>
#include <linux/stringify.h>
#include <linux/workqueue.h>
#include <asm/irq.h>
#include <asm/mshyperv.h>
#include <asm/reboot.h>

#include "relay.h"
#include "compat.h"

#define SUFFIX "_" __stringify(KVM_RELAY_N)

WRAP(misc_register);
WRAP(misc_deregister);
WRAP(anon_inode_getfd);
WRAP(anon_inode_getfile);
WRAP(__cpuhp_setup_state);
WRAP(__cpuhp_remove_state);
WRAP(register_reboot_notifier);
WRAP(unregister_reboot_notifier);
WRAP(cpu_emergency_register_virt_callback);
WRAP(cpu_emergency_unregister_virt_callback);
WRAP(perf_register_guest_info_callbacks);
WRAP(perf_unregister_guest_info_callbacks);
WRAP(debugfs_create_dir);
REAL(debugfs_create_dir);
WRAP(alloc_workqueue);
REAL(alloc_workqueue);

int __wrap_misc_register(struct miscdevice *misc)
{
	return kvm_core_publish(&kvm_relay_instance, misc->fops,
				&misc->this_device);
}

void __wrap_misc_deregister(struct miscdevice *misc)
{
	kvm_core_unpublish(&kvm_relay_instance);
	misc->this_device = NULL;
}

/* The VM that one of KVM's objects with a descriptor belongs to. */
static const void *vm_of(const char *name, const void *priv)
{
	if (strstarts(name, "kvm-vcpu"))
		return ((const struct kvm_vcpu *)priv)->kvm;
	if (strstarts(name, "kvm-vm"))
		return priv;
	return ((const struct kvm_device *)priv)->kvm;
}

int __wrap_anon_inode_getfd(const char *name,
			    const struct file_operations *fops, void *priv,
			    int flags)
{
	return kvm_core_getfd(&kvm_relay_instance, name, fops, priv, flags,
			      vm_of(name, priv));
}

struct file *__wrap_anon_inode_getfile(const char *name,
				       const struct file_operations *fops,
				       void *priv, int flags)
{
	return kvm_core_getfile(&kvm_relay_instance, name, fops, priv, flags,
				vm_of(name, priv));
}

int __wrap___cpuhp_setup_state(enum cpuhp_state state, const char *name,
			       bool invoke, int (*startup)(unsigned int cpu),
			       int (*teardown)(unsigned int cpu),
			       bool multi_instance)
{
	return kvm_core_cpuhp_setup(&kvm_relay_instance, state, invoke, startup,
				    teardown);
}

void __wrap___cpuhp_remove_state(enum cpuhp_state state, bool invoke)
{
	kvm_core_cpuhp_remove(&kvm_relay_instance, state, invoke);
}

/* kvm-core's own notifier takes every instance off each CPU, in one go. */
int __wrap_register_reboot_notifier(struct notifier_block *nb)
{
	return 0;
}

int __wrap_unregister_reboot_notifier(struct notifier_block *nb)
{
	return 0;
}

void __wrap_cpu_emergency_register_virt_callback(cpu_emergency_virt_cb *cb)
{
	kvm_core_emergency_set(&kvm_relay_instance, cb);
}

void __wrap_cpu_emergency_unregister_virt_callback(cpu_emergency_virt_cb *cb)
{
	kvm_core_emergency_set(&kvm_relay_instance, NULL);
}

void __wrap_perf_register_guest_info_callbacks(struct perf_guest_info_callbacks *cbs)
{
	kvm_core_perf_set(&kvm_relay_instance, cbs);
}

void __wrap_perf_unregister_guest_info_callbacks(struct perf_guest_info_callbacks *cbs)
{
	kvm_core_perf_set(&kvm_relay_instance, NULL);
}

struct dentry *__wrap_debugfs_create_dir(const char *name,
					 struct dentry *parent)
{
	if (!parent)
		name = "kvm" SUFFIX;
	return __real_debugfs_create_dir(name, parent);
}

static void name_of_cache(char *to, size_t size, const char *name)
{
	snprintf(to, size, "%s" SUFFIX, name);
}

WRAP_CACHE(name_of_cache)

/* KVM's only use has a name without arguments. */
struct workqueue_struct *__wrap_alloc_workqueue(const char *fmt,
						unsigned int flags,
						int max_active, ...)
{
	return __real_alloc_workqueue("%s" SUFFIX, flags, max_active, fmt);
}

#if IS_ENABLED(CONFIG_HYPERV)
WRAP(set_hv_tscchange_cb);
WRAP(clear_hv_tscchange_cb);

void __wrap_set_hv_tscchange_cb(void (*cb)(void))
{
	kvm_core_hv_tsc_set(&kvm_relay_instance, cb);
}

void __wrap_clear_hv_tscchange_cb(void)
{
	kvm_core_hv_tsc_set(&kvm_relay_instance, NULL);
}
#endif
