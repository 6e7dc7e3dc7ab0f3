/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM and its descriptors, as kvm-core sees them: what is behind each
 * descriptor can be exchanged. May call cpu/; those above are called through
 * struct core_above.
 */
#ifndef __KVM_CORE_FILE_H
#define __KVM_CORE_FILE_H

#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/completion.h>
#include <linux/fs.h>
#include <linux/kobject.h>
#include <linux/kvm.h>
#include <linux/kvm_core.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include <kvm-core/instance.h>

#include "eventfd.h"
#include "mark.h"
#include "record.h"

struct core_carry;
struct core_instance;
struct core_move;
struct core_vcpu_state;
struct kvm_core_adopt;
struct kvm_core_move;

/* Pins of the in-kernel IOAPIC, and the GSIs that lead there by default. */
#define CORE_LINES 24

enum core_file_kind {
	CORE_FILE_DEV,		/* /dev/kvm* */
	CORE_FILE_VM,
	CORE_FILE_VCPU,
	CORE_FILE_DEVICE,	/* KVM_CREATE_DEVICE */
	CORE_FILE_VM_STATS,
	CORE_FILE_VCPU_STATS,
};

/**
 * struct core_file - one descriptor
 * @fops:	what file->f_op points to, so that the file leads here while
 *		file->private_data stays the instance's, as its handlers expect
 * @inner:	the instance's operations
 * @ci:		the instance, pinned by a module reference
 * @kind:	what it is
 * @id:		number of the vCPU, of a vCPU and its statistics; of a VM, the
 *		descriptor that it was created with
 * @file:	the file itself, valid while @link is on a list
 * @vm:		the VM, NULL for /dev/kvm* and for the files of a VM that is
 *		being prepared as target of a handoff
 * @vcpu:	of a vCPU
 * @mm:		of /dev/kvm*: of the process that opened it; counted (mmgrab), only
 *		compared. Otherwise that which the instance's object belongs to: of the
 *		backing, for the handoff
 * @link:	in core_vm.files or, of /dev/kvm*, in a list of file.c; under
 *		core_files_lock
 * @gate:	held for reading by every forwarded operation, except those of a
 *		vCPU; for writing while @inner, @ci and file->private_data are
 *		exchanged. That of a VM serves all of the VM's files.
 * @backing:	held while @ci and file->private_data are exchanged, for a fault that
 *		cannot wait for the gate
 * @own_gate:	of a file without VM
 * @rec:	configuration that went through this file
 *
 * @inner, @ci, @mm and file->private_data, the backing, are constant but for a
 * handoff, which holds @gate or the vCPU's gate.
 */
struct core_file {
	struct file_operations fops;
	const struct file_operations *inner;
	struct core_instance *ci;
	enum core_file_kind kind;
	int id;
	struct file *file;
	struct core_vm *vm;
	struct core_vcpu *vcpu;
	struct mm_struct *mm;
	struct list_head link;
	struct rw_semaphore *gate;
	struct rw_semaphore own_gate;
	spinlock_t backing;		/* see above, as all locks here */
	struct core_record rec;
};

/**
 * struct core_vcpu - the way of a vCPU into its instance
 * @gate:	held by every ioctl on the vCPU but those of its dirty ring (which
 *		hold the VM's gate), KVM_RUN included, so by a thread
 *		that is parked too; the handoff owns a vCPU by holding it
 * @runner:	the thread that is in KVM_RUN; set and cleared with a full barrier,
 *		before and after which @stop is looked at
 * @stop:	a handoff wants the vCPU; set by it before it looks at @runner,
 *		cleared under @kick
 * @kicked:	@runner was notified, and the flag is not yet taken back; under
 *		@kick
 * @kick:	held while @runner is notified, and by a runner that leaves and
 *		has seen @stop or @kicked, so that no other system call of it is
 *		interrupted
 * @parked:	the runner waits in core_move_park(); under @kick
 * @held:	the handoff's own thread holds @gate, since nobody is in there
 * @exit:	how the exit ended that its last process left, enum kvm_core_adopt_exit, until
 *		KVM_RUN is called: whoever adopts it is told. Under @gate
 * @exit_now:	of the handoff that has @held: what @exit becomes
 * @work:	set by the handoff for a parked runner to do, cleared when it is done
 * @target:	the file that is to be exchanged with this one, of the handoff
 * @state:	buffers of the handoff
 * @result:	of @work
 * @pages:	behind the mappings of the descriptor, the same for every instance
 *		that the vCPU has been in
 * @pi:		its posted-interrupt descriptor, likewise; NULL if it has none
 */
struct core_vcpu {
	struct mutex gate;		/* see above */
	struct task_struct *runner;
	bool stop;
	bool kicked;
	spinlock_t kick;		/* see above */
	bool parked;
	bool held;
	u8 exit;
	u8 exit_now;
	int (*work)(struct core_move *mv, struct core_file *cf);
	struct file *target;
	struct core_vcpu_state *state;
	int result;
	struct page *pages[KVM_CORE_VCPU_PAGES];
	void *pi;
};

/**
 * struct core_owner - the process whose VM it is: that created it, or has adopted it
 * @mm:		its address space; counted (mmgrab)
 * @pid:	it
 * @comm:	its name then
 * @uid:	its user
 */
struct core_owner {
	struct mm_struct *mm;
	struct pid *pid;
	char comm[TASK_COMM_LEN];
	kuid_t uid;
};

enum core_moving {
	CORE_MOVING_NOT,
	CORE_MOVING,
	CORE_MOVING_RETIRE,	/* an adoption is committed; only its rest is to be waited for */
};

/**
 * struct core_vm - a VM, as long as one of its descriptors is open
 * @link:	in core_vms, under vms_lock
 * @kobj:	directory in /sys/kernel/kvm_core/vms, and the reference count;
 *		core_vm_leave() takes it off the list first
 * @users:	descriptors; under vms_lock
 * @id:		the directory's name
 * @ci:		the instance behind it, pinned by the descriptors; changes under
 *		vms_lock, while @gate is held for writing
 * @cookie:	the instance's own object, which it has as long as a descriptor of the
 *		VM is open; as @ci, or under a vCPU's gate
 * @owner:	whose it is; changes as @ci
 * @vcpus:	vCPU descriptors that are open
 * @vcpus_made:	vCPUs that were created, whether or not their descriptor is open
 * @files:	its core_files; under core_files_lock
 * @changes:	counts what a handoff that is preparing would have missed
 * @lines:	GSIs that userspace holds high (KVM_IRQ_LINE)
 * @carry_lock:	protects @carry and what it leads to. Held while user memory is read
 *		and written, which may take as long as the VMM likes: not to be
 *		waited for by other VMs; a handoff takes it when no ioctl on the VM
 *		is under way
 * @carry:	pages that are dirty and that the instance does not know of (dirty.c)
 * @gate:	core_file.gate of its files; a handoff, which then has the vCPUs' gates,
 *		only tries to take it
 * @moving:	enum core_moving: which handoff has the VM, one at a time; a lock that is
 *		tried for only, and given back by whoever comes to the handoff's end
 * @own:	the VM's VMM asked for that; under @moving
 * @operators:	operators that wait for @moving
 * @move:	that handoff, for the VM's vCPUs; NULL otherwise
 * @wait:	the handoff waits for vCPUs here, and parked vCPUs for the handoff
 * @moves:	handoffs that were committed
 */
struct core_vm {
	struct list_head link;
	struct kobject kobj;
	unsigned int users;
	int id;
	struct core_instance *ci;
	const void *cookie;
	struct core_owner owner;
	atomic_t vcpus;
	atomic_t vcpus_made;
	struct list_head files;
	atomic64_t changes;
	DECLARE_BITMAP(lines, CORE_LINES);
	struct mutex carry_lock;	/* see above */
	struct core_carry *carry;
	struct rw_semaphore gate;
	atomic_t moving;
	bool own;
	atomic_t operators;
	struct core_move *move;
	wait_queue_head_t wait;
	unsigned long moves;
};

/**
 * struct core_above - what descriptors need of the wings above this one
 * @park:	a vCPU's thread waits for the end of the handoff
 * @dirty_get:	the VMM has fetched dirty pages
 * @dirty_clear: the VMM has said that it knows of dirty pages
 * @dirty_region: a memslot was set
 * @dirty_free:	the VM is gone
 * @pi_take:	KVM_CORE_VCPU_TAKE_PI
 * @pi_end:	the vCPU that had the posted-interrupt descriptor ends
 * @move_self:	KVM_CORE_VM_MOVE
 * @adopt:	KVM_CORE_VM_ADOPT
 * @vm_add:	a VM is to be shown to the operator; owns it from then on
 */
struct core_above {
	bool (*park)(struct core_file *cf);
	long (*dirty_get)(struct core_file *cf, const struct kvm_dirty_log *log);
	long (*dirty_clear)(struct core_vm *vm, const struct kvm_clear_dirty_log *log);
	void (*dirty_region)(struct core_vm *vm,
			     const struct kvm_userspace_memory_region *slot);
	void (*dirty_free)(struct core_vm *vm);
	long (*pi_take)(struct file *file, struct core_file *to, unsigned long fd);
	void (*pi_end)(void *pi);
	long (*move_self)(struct core_vm *vm, struct kvm_core_move __user *arg);
	long (*adopt)(struct core_vm *vm, struct kvm_core_adopt __user *arg);
	int (*vm_add)(struct core_vm *vm);
};

/* main.c has it: who is above is known there. */
extern const struct core_above core_above;

extern struct mutex core_files_lock;

/*
 * A posted-interrupt descriptor is a page, see handoff/pi.c: one reference more.
 */
static inline void *core_pi_ref(void *pi)
{
	if (pi)
		get_page(virt_to_page(pi));
	return pi;
}

/* And one less. */
static inline void core_pi_unref(void *pi)
{
	if (pi)
		put_page(virt_to_page(pi));
}

/* device.c */
int core_device_init(void);
void core_device_exit(void);
int core_device_add(struct core_instance *ci);
void core_device_remove(struct core_instance *ci);
struct device *core_device_kvm(void);

/* vm.c */
int core_vm_drain(struct core_instance *ci, bool drain);
int core_vm_come(struct core_instance *ci);
struct core_vm *core_vm_create(struct core_instance *ci, const void *cookie);
struct core_vm *core_vm_find(struct core_instance *ci, const void *cookie);
struct core_vm *core_vm_get(int id);
int core_vm_next(int after);
bool core_vm_leave(struct core_vm *vm);
void core_vm_destroy(struct core_vm *vm);
void core_vm_put(struct core_vm *vm);
struct core_instance *core_vm_pin(struct core_vm *vm);
void core_vm_instance(struct core_vm *vm, char name[KVM_CORE_NAME_LEN]);
void core_vm_free(struct core_vm *vm);
void core_owner_init(struct core_owner *owner);
void core_owner_exit(struct core_owner *owner);
void core_vm_owner(struct core_vm *vm, struct core_owner *owner);
void core_vm_own(struct core_vm *vm, struct core_owner *owner);
void core_vm_exit(void);
void core_vm_vcpu(struct core_vm *vm, int change);
void core_vm_switch(struct core_vm *vm, struct core_instance *ci,
		    const void *cookie);

/* fdinfo.c */
void core_file_fdinfo(struct seq_file *m, struct file *file);

/* file.c */
int core_file_open(struct core_instance *ci, struct file *file);
long core_file_ioctl(struct file *file, unsigned int cmd, unsigned long arg);
long core_file_compat_ioctl(struct file *file, unsigned int cmd, unsigned long arg);
bool core_is_file(const struct file *file);
struct core_file *core_file_of(const struct file *file);
void core_file_swap(struct file *a, struct file *b);
void core_file_dev_switch(struct core_instance *from, struct core_instance *to,
			  const struct mm_struct *mm);

/* call.c */
long core_call(struct core_file *cf, struct file *file, unsigned int cmd,
	       unsigned long arg);
long core_call_entry(struct core_mark *mark, struct file *file,
		     struct core_entry *e);
long core_call_file(struct core_file *cf, struct file *file, unsigned int cmd,
		    struct file *named);

/* vcpu.c */
struct core_vcpu *core_vcpu_alloc(void);
void core_vcpu_free(struct core_vcpu *vcpu);
long core_vcpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg);
long core_vcpu_compat_ioctl(struct file *file, unsigned int cmd,
			    unsigned long arg);
void core_vcpu_stop(struct core_vcpu *vcpu);
void core_vcpu_kick(struct core_vcpu *vcpu);

/* vfio.c: as KVM's own headers have them, which kvm-core does not include */
struct kvm;
bool kvm_get_kvm_safe(struct kvm *kvm);
void kvm_put_kvm(struct kvm *kvm);

#endif
