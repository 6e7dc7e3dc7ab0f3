// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VMs of the host.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/cred.h>
#include <linux/idr.h>
#include <linux/kvm_core.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "core.h"
#include "file.h"

static DEFINE_SPINLOCK(vms_lock);
static LIST_HEAD(core_vms);
/* Without pointers; under vms_lock. */
static DEFINE_IDR(vm_ids);

/*
 * Who has read a number and asks for that VM a little later must not get another one,
 * so a number comes again only when all others have been used.
 */
static int new_id(void)
{
	int id;

	idr_preload(GFP_KERNEL);
	spin_lock(&vms_lock);
	id = idr_alloc_cyclic(&vm_ids, NULL, 1, 0, GFP_NOWAIT);
	spin_unlock(&vms_lock);
	idr_preload_end();
	return id;
}

/**
 * core_vm_drain - an instance takes no VMs any more, or takes them again
 * @ci: the instance
 * @drain: no more
 *
 * After this has returned, no VM comes that core_instance.vms does not count.
 *
 * Context: process; core_lock held.
 * Return: 0, or -ENODEV if the instance is not in service.
 */
int core_vm_drain(struct core_instance *ci, bool drain)
{
	enum core_instance_state old = drain ? CORE_LIVE : CORE_DRAINING;
	enum core_instance_state new = drain ? CORE_DRAINING : CORE_LIVE;
	enum core_instance_state was;

	lockdep_assert_held(&core_lock);
	spin_lock(&vms_lock);
	/* One that fails meanwhile stays failed. */
	was = cmpxchg(&ci->state, old, new);
	spin_unlock(&vms_lock);
	return was == CORE_LIVE || was == CORE_DRAINING ? 0 : -ENODEV;
}

/**
 * core_vm_come - a VM is about to belong to an instance
 * @ci: the instance, pinned by the caller
 *
 * Context: process.
 * Return: 0, and the VM is counted; -ENODEV if the instance takes none.
 */
int core_vm_come(struct core_instance *ci)
{
	int r = -ENODEV;

	spin_lock(&vms_lock);
	if (READ_ONCE(ci->state) == CORE_LIVE) {
		atomic_inc(&ci->vms);
		r = 0;
	}
	spin_unlock(&vms_lock);
	return r;
}

/**
 * core_vm_create - a VM was created
 * @ci: by which instance, pinned by the caller and, later, by the descriptor
 * @cookie: by which the VM is found for the descriptors that come
 *
 * Context: process; sleeps.
 * Return: the VM with one user, or an ERR_PTR(); of -ENODEV if the instance takes none.
 */
struct core_vm *core_vm_create(struct core_instance *ci, const void *cookie)
{
	struct core_vm *vm;
	int r;

	r = core_vm_come(ci);
	if (r)
		return ERR_PTR(r);
	vm = kzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);
	if (!vm) {
		r = -ENOMEM;
		goto err_count;
	}
	vm->id = new_id();
	if (vm->id < 0) {
		r = vm->id;
		kfree(vm);
		goto err_count;
	}
	vm->users = 1;
	vm->ci = ci;
	vm->cookie = cookie;
	core_owner_init(&vm->owner);
	INIT_LIST_HEAD(&vm->files);
	init_rwsem(&vm->gate);
	mutex_init(&vm->carry_lock);
	init_waitqueue_head(&vm->wait);

	/* It frees the VM when it fails. */
	r = core_above.vm_add(vm);
	if (r)
		goto err_count;

	spin_lock(&vms_lock);
	list_add_tail(&vm->link, &core_vms);
	spin_unlock(&vms_lock);
	return vm;

err_count:
	atomic_dec(&ci->vms);
	return ERR_PTR(r);
}

/**
 * core_vm_find - the VM that an object of an instance belongs to
 * @ci: the instance
 * @cookie: as given to core_vm_create()
 *
 * Context: process.
 * Return: the VM with one user more, or NULL if all its descriptors are closed.
 */
struct core_vm *core_vm_find(struct core_instance *ci, const void *cookie)
{
	struct core_vm *vm, *found = NULL;

	spin_lock(&vms_lock);
	list_for_each_entry(vm, &core_vms, link) {
		if (vm->ci == ci && vm->cookie == cookie) {
			vm->users++;
			found = vm;
			break;
		}
	}
	spin_unlock(&vms_lock);
	return found;
}

/**
 * core_vm_get - the VM that sysfs shows under a number
 * @id: the number
 *
 * Context: process.
 * Return: the VM, for core_vm_put(), or NULL. Its descriptors may be closed
 * meanwhile.
 */
struct core_vm *core_vm_get(int id)
{
	struct core_vm *vm, *found = NULL;

	spin_lock(&vms_lock);
	list_for_each_entry(vm, &core_vms, link) {
		if (vm->id == id) {
			kobject_get(&vm->kobj);
			found = vm;
			break;
		}
	}
	spin_unlock(&vms_lock);
	return found;
}

/**
 * core_vm_next - go through the VMs by number
 * @after: the number before, 0 at first
 *
 * Context: process.
 * Return: the next number that is in use, or 0.
 */
int core_vm_next(int after)
{
	struct core_vm *vm;
	int next = 0;

	spin_lock(&vms_lock);
	list_for_each_entry(vm, &core_vms, link)
		if (vm->id > after && (!next || vm->id < next))
			next = vm->id;
	spin_unlock(&vms_lock);
	return next;
}

/**
 * core_vm_put - undo core_vm_get()
 * @vm: the VM
 *
 * Context: process; sleeps.
 */
void core_vm_put(struct core_vm *vm)
{
	kobject_put(&vm->kobj);
}

/**
 * core_vm_pin - keep the instance that a VM is on
 * @vm: the VM, with a reference and its core_vm.moving
 *
 * Context: process.
 * Return: the instance, for core_put(), or NULL if all descriptors are closed.
 */
struct core_instance *core_vm_pin(struct core_vm *vm)
{
	struct core_instance *ci = NULL;

	spin_lock(&vms_lock);
	/* A descriptor leaves the VM before it lets go of the instance. */
	if (vm->users) {
		ci = vm->ci;
		__module_get(ci->inst->owner);
	}
	spin_unlock(&vms_lock);
	return ci;
}

/**
 * core_vm_instance - which instance a VM is on
 * @vm: the VM; core_vm_destroy() does not return meanwhile
 * @name: filled in
 *
 * A handoff may change it at any time. Nothing is waited for that a VMM can hold, the
 * gate in particular.
 *
 * Context: process.
 */
void core_vm_instance(struct core_vm *vm, char name[KVM_CORE_NAME_LEN])
{
	/* One that is left is unloaded after core_vm_switch() at the earliest. */
	spin_lock(&vms_lock);
	strscpy(name, vm->ci->inst->name, KVM_CORE_NAME_LEN);
	spin_unlock(&vms_lock);
}

/**
 * core_owner_init - the current process, as owner of a VM
 * @owner: filled in, for core_owner_exit()
 *
 * Context: process, with an address space.
 */
void core_owner_init(struct core_owner *owner)
{
	owner->mm = current->mm;
	mmgrab(owner->mm);
	owner->pid = get_task_pid(current, PIDTYPE_TGID);
	owner->uid = current_uid();
	get_task_comm(owner->comm, current->group_leader);
}

/**
 * core_owner_exit - undo core_owner_init() or core_vm_owner()
 * @owner: from there
 *
 * Context: process.
 */
void core_owner_exit(struct core_owner *owner)
{
	mmdrop(owner->mm);
	put_pid(owner->pid);
}

/**
 * core_vm_owner - whose VM is it
 * @vm: the VM, with a reference
 * @owner: filled in, for core_owner_exit()
 *
 * Context: process.
 */
void core_vm_owner(struct core_vm *vm, struct core_owner *owner)
{
	spin_lock(&vms_lock);
	*owner = vm->owner;
	mmgrab(owner->mm);
	get_pid(owner->pid);
	spin_unlock(&vms_lock);
}

/**
 * core_vm_own - a VM is another process's from here on
 * @vm: the VM, in a handoff that commits
 * @owner: the process; exchanged with the former
 *
 * Context: process.
 */
void core_vm_own(struct core_vm *vm, struct core_owner *owner)
{
	spin_lock(&vms_lock);
	swap(vm->owner, *owner);
	spin_unlock(&vms_lock);
}

/**
 * core_vm_free - the last reference is gone
 * @vm: the VM
 *
 * Context: process.
 */
void core_vm_free(struct core_vm *vm)
{
	spin_lock(&vms_lock);
	idr_remove(&vm_ids, vm->id);
	spin_unlock(&vms_lock);
	core_above.dirty_free(vm);
	core_owner_exit(&vm->owner);
	kfree(vm);
}

/**
 * core_vm_leave - a descriptor of a VM is being closed
 * @vm: the VM
 *
 * Context: process.
 * Return: true if it was the last: the VM is found no more, and the caller goes
 * on to core_vm_destroy().
 */
bool core_vm_leave(struct core_vm *vm)
{
	bool last;

	spin_lock(&vms_lock);
	last = !--vm->users;
	if (last)
		list_del(&vm->link);
	spin_unlock(&vms_lock);
	return last;
}

/**
 * core_vm_destroy - a VM is gone
 * @vm: the VM, after core_vm_leave() of its last descriptor
 *
 * Context: process; sleeps until no attribute is being read.
 */
void core_vm_destroy(struct core_vm *vm)
{
	atomic_dec(&vm->ci->vms);
	kobject_del(&vm->kobj);
	kobject_put(&vm->kobj);
}

/**
 * core_vm_vcpu - a vCPU descriptor came or went
 * @vm: of which VM
 * @change: 1 or -1
 *
 * Context: any.
 */
void core_vm_vcpu(struct core_vm *vm, int change)
{
	atomic_add(change, &vm->vcpus);
	if (change > 0)
		atomic_inc(&vm->vcpus_made);
}

/**
 * core_vm_switch - a VM belongs to another instance
 * @vm: the VM; its gate is held for writing
 * @ci: the instance, pinned by the VM's descriptors, after core_vm_come() if it is
 *	another
 * @cookie: its own object
 *
 * Context: process.
 */
void core_vm_switch(struct core_vm *vm, struct core_instance *ci,
		    const void *cookie)
{
	spin_lock(&vms_lock);
	if (vm->ci != ci)
		atomic_dec(&vm->ci->vms);
	vm->ci = ci;
	vm->cookie = cookie;
	spin_unlock(&vms_lock);
}

/**
 * core_vm_exit - the end of kvm-core
 *
 * Context: process; no VM is left.
 */
void core_vm_exit(void)
{
	idr_destroy(&vm_ids);
}
