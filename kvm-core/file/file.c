// SPDX-License-Identifier: GPL-2.0-only
/*
 * The descriptors that userspace holds: files of kvm-core, with the operations
 * and the private data of an instance behind them.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/anon_inodes.h>
#include <linux/dirty_ring.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/kvm_core.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>

#include <kvm-core/descriptor.h>

#include "core.h"
#include "file.h"

/* Orders the lists of files; taken inside of a gate, never outside. */
DEFINE_MUTEX(core_files_lock);
/* Open files of /dev/kvm*; under core_files_lock. */
static LIST_HEAD(dev_files);

/* VMs of the host for the uevents, ever and now; under count_lock. */
static DEFINE_SPINLOCK(count_lock);
static unsigned long long count_created;
static unsigned long long count_active;

static int core_file_release(struct inode *inode, struct file *file);

/**
 * core_is_file - is this a descriptor of kvm-core?
 * @file: any file
 *
 * Context: any; the caller holds a reference on @file.
 */
bool core_is_file(const struct file *file)
{
	return file->f_op->release == core_file_release;
}

/**
 * core_file_of - kvm-core's side of a descriptor
 * @file: one for which core_is_file() is true
 *
 * Context: any; the caller holds a reference on @file.
 */
struct core_file *core_file_of(const struct file *file)
{
	return container_of(file->f_op, struct core_file, fops);
}

/**
 * kvm_core_descriptor - is this a VM's descriptor, or that of a vCPU or device of one?
 * @file: any file
 *
 * Those of the distribution's KVM are none. What it is it stays.
 *
 * Context: any; the caller holds a reference on @file.
 * Return: enum kvm_core_descriptor.
 */
enum kvm_core_descriptor kvm_core_descriptor(const struct file *file)
{
	if (core_is_file(file) && core_file_of(file)->kind == CORE_FILE_VM)
		return KVM_CORE_DESCRIPTOR_VM;
	if (core_is_file(file) && core_file_of(file)->kind == CORE_FILE_VCPU)
		return KVM_CORE_DESCRIPTOR_VCPU;
	if (core_is_file(file) && core_file_of(file)->kind == CORE_FILE_DEVICE)
		return KVM_CORE_DESCRIPTOR_DEVICE;
	return KVM_CORE_DESCRIPTOR_OTHER;
}
EXPORT_SYMBOL_GPL(kvm_core_descriptor);

/**
 * kvm_core_descriptor_vm - whose descriptor is this?
 * @file: of which kvm_core_descriptor() knows what it is
 *
 * It is the same for all descriptors of a VM, on whatever instance and whoever's it is.
 *
 * Context: any; the caller holds a reference on @file.
 * Return: by what kvm-core knows the VM, to be compared as long as @file is open, and
 * never followed.
 */
const void *kvm_core_descriptor_vm(const struct file *file)
{
	return core_file_of(file)->vm;
}
EXPORT_SYMBOL_GPL(kvm_core_descriptor_vm);

/* core_vm_come() would say so, too, when KVM has made a VM and counted its end. */
static inline bool core_file_drained(const struct core_file *cf, unsigned int cmd)
{
	return cf->kind == CORE_FILE_DEV && cmd == KVM_CREATE_VM &&
	       READ_ONCE(cf->ci->state) == CORE_DRAINING;
}

static inline bool core_file_dead(const struct core_file *cf)
{
	return unlikely(READ_ONCE(cf->ci->state) == CORE_FAILED);
}

/*
 * The vCPU whose ring is taken is another VM's as a rule, and that one must not be
 * handed over meanwhile: the ring that its old vCPU has is not its own any more.
 */
static long take_ring(struct core_file *cf, struct file *file, unsigned long arg)
{
	struct file *other = arg > INT_MAX ? NULL : fget(arg);
	struct rw_semaphore *gate = NULL;
	long r;

	if (!other)
		return -EBADF;
	if (core_is_file(other) && core_file_of(other)->gate != cf->gate)
		gate = core_file_of(other)->gate;
	if (gate && !down_read_trylock(gate)) {
		r = -EBUSY;
	} else {
		r = core_call_file(cf, file, DIRTY_RING_TAKE, other);
		if (gate)
			up_read(gate);
	}
	fput(other);
	return r;
}

/**
 * core_file_ioctl - an ioctl on anything but a vCPU, or on a vCPU's dirty ring
 * @file: the descriptor's
 * @cmd: the ioctl
 * @arg: its argument
 *
 * Context: process; sleeps.
 * Return: what the instance returns, or -EINTR, or -EIO if it failed.
 */
long core_file_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct core_file *cf = core_file_of(file);
	long r;

	if (cf->kind == CORE_FILE_VM && cmd == KVM_CORE_VM_MOVE)
		return core_above.move_self(cf->vm, (void __user *)arg);
	if (cf->kind == CORE_FILE_VM && cmd == KVM_CORE_VM_ADOPT)
		return core_above.adopt(cf->vm, (void __user *)arg);

	if (down_read_killable(cf->gate))
		return -EINTR;
	if (core_file_dead(cf))
		r = -EIO;
	else if (core_file_drained(cf, cmd))
		r = -ENODEV;
	else if (cf->vcpu && cmd == DIRTY_RING_TAKE)
		r = take_ring(cf, file, arg);
	else if (!cf->vm)
		r = cf->inner->unlocked_ioctl(file, cmd, arg);
	else
		r = core_call(cf, file, cmd, arg);
	up_read(cf->gate);
	return r;
}

/**
 * core_file_compat_ioctl - core_file_ioctl() of a 32-bit process
 * @file: the descriptor's
 * @cmd: the ioctl
 * @arg: its argument
 *
 * Context: process; sleeps.
 * Return: as core_file_ioctl().
 */
long core_file_compat_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct core_file *cf = core_file_of(file);
	long r;

	if (down_read_killable(cf->gate))
		return -EINTR;
	if (core_file_dead(cf))
		r = -EIO;
	else if (core_file_drained(cf, cmd))
		r = -ENODEV;
	else if (cf->vcpu && cmd == DIRTY_RING_TAKE)
		r = take_ring(cf, file, arg);
	else
		r = cf->inner->compat_ioctl(file, cmd, arg);
	if (r >= 0 && cf->vm)
		core_record_block(cf, "its VMM is a 32-bit process");
	up_read(cf->gate);
	return r;
}

static ssize_t core_file_read(struct file *file, char __user *buf, size_t count,
			      loff_t *pos)
{
	struct core_file *cf = core_file_of(file);
	ssize_t r;

	if (down_read_killable(cf->gate))
		return -EINTR;
	r = cf->inner->read(file, buf, count, pos);
	up_read(cf->gate);
	return r;
}

/*
 * The pages stay the same ones in a handoff, and those of a dirty ring go with
 * the ring. A fault cannot wait for the gate: KVM_RUN holds it.
 */
static struct page *vcpu_page(struct core_file *cf, struct file *file,
			      unsigned long pgoff)
{
	struct page *page;

	if (pgoff < KVM_CORE_VCPU_PAGES)
		return cf->vcpu->pages[pgoff];
	spin_lock(&cf->backing);
	page = cf->ci->inst->ops->vcpu_ring_page(file->private_data, pgoff);
	spin_unlock(&cf->backing);
	return page;
}

static vm_fault_t core_file_fault(struct vm_fault *vmf)
{
	struct file *file = vmf->vma->vm_file;
	struct page *page = vcpu_page(core_file_of(file), file, vmf->pgoff);

	if (!page)
		return VM_FAULT_SIGBUS;
	get_page(page);
	vmf->page = page;
	return 0;
}

static const struct vm_operations_struct core_file_vm_ops = {
	.fault = core_file_fault,
};

/* Of a vCPU; nothing else of KVM's on x86 can be mapped. */
static int core_file_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct core_file *cf = core_file_of(file);
	unsigned long last = vma->vm_pgoff + vma_pages(vma) - 1;
	bool dead;

	/* mmap_lock is held, so the gate cannot be taken. */
	spin_lock(&cf->backing);
	dead = core_file_dead(cf);
	spin_unlock(&cf->backing);
	if (dead)
		return -EIO;
	/* Userspace's writes to a dirty ring are for KVM to see. */
	if (last >= KVM_CORE_VCPU_PAGES &&
	    (vma->vm_flags & VM_EXEC || !(vma->vm_flags & VM_SHARED)) &&
	    (vcpu_page(cf, file, max_t(unsigned long, vma->vm_pgoff,
				       KVM_DIRTY_LOG_PAGE_OFFSET)) ||
	     vcpu_page(cf, file, last)))
		return -EINVAL;
	vma->vm_ops = &core_file_vm_ops;
	return 0;
}

/* What a file has between its release and its last breath in __fput(). */
static const struct file_operations core_file_released_fops = {
	.owner = THIS_MODULE,
};

static void core_file_free(struct core_file *cf)
{
	core_record_free(&cf->rec);
	core_vcpu_free(cf->vcpu);
	if (cf->mm)
		mmdrop(cf->mm);
	kfree(cf);
}

static int core_file_release(struct inode *inode, struct file *file)
{
	struct core_file *cf = core_file_of(file);
	bool last = false;
	int r = 0;

	mutex_lock(&core_files_lock);
	list_del_init(&cf->link);
	mutex_unlock(&core_files_lock);

	/*
	 * Before the instance frees the VM: its next VM may have the same address,
	 * and must not be taken for this one.
	 */
	if (cf->vm) {
		if (cf->vcpu)
			core_vm_vcpu(cf->vm, -1);
		last = core_vm_leave(cf->vm);
	}

	if (cf->inner->release)
		r = cf->inner->release(inode, file);

	/*
	 * __fput() drops the reference on f_op's owner after this: it has to be
	 * found somewhere else then. The owner is the same module.
	 */
	file->f_op = &core_file_released_fops;

	if (last)
		core_vm_destroy(cf->vm);
	core_put(cf->ci);
	core_file_free(cf);
	return r;
}

static struct core_file *core_file_alloc(struct core_instance *ci,
					 const struct file_operations *inner,
					 enum core_file_kind kind)
{
	struct core_file *cf = kzalloc(sizeof(*cf), GFP_KERNEL_ACCOUNT);

	if (!cf)
		return NULL;
	cf->ci = ci;
	cf->inner = inner;
	cf->kind = kind;
	INIT_LIST_HEAD(&cf->link);
	init_rwsem(&cf->own_gate);
	spin_lock_init(&cf->backing);
	cf->gate = &cf->own_gate;
	core_record_init(&cf->rec);
	cf->fops.owner = THIS_MODULE;
	cf->fops.release = core_file_release;
	cf->fops.llseek = inner->llseek;
	cf->fops.show_fdinfo = core_file_fdinfo;
	if (inner->unlocked_ioctl)
		cf->fops.unlocked_ioctl = core_file_ioctl;
	if (inner->compat_ioctl)
		cf->fops.compat_ioctl = core_file_compat_ioctl;
	if (inner->read)
		cf->fops.read = core_file_read;
	if (kind == CORE_FILE_VCPU)
		cf->fops.mmap = core_file_mmap;
	return cf;
}

/**
 * kvm_core_file_fops - the instance's operations behind a file
 * @file: any file
 *
 * Context: any; the caller holds a reference on @file.
 * Return: they, or NULL if it is no file of kvm-core.
 */
const struct file_operations *kvm_core_file_fops(const struct file *file)
{
	if (!core_is_file(file))
		return NULL;
	return core_file_of(file)->inner;
}
EXPORT_SYMBOL_GPL(kvm_core_file_fops);

/**
 * core_file_open - put an instance behind an open file of /dev/kvm*
 * @ci: the instance, pinned; the reference goes over to the file on success
 * @file: being opened
 *
 * Context: process; sleeps.
 * Return: 0, -EIO if the instance failed, -ENOMEM.
 */
int core_file_open(struct core_instance *ci, struct file *file)
{
	struct core_file *cf;
	int r;

	if (ci->fops->open) {
		r = ci->fops->open(file_inode(file), file);
		if (r)
			return r;
	}
	cf = core_file_alloc(ci, ci->fops, CORE_FILE_DEV);
	if (!cf)
		return -ENOMEM;
	cf->file = file;
	cf->mm = current->mm;
	mmgrab(cf->mm);
	__module_get(THIS_MODULE);
	replace_fops(file, &cf->fops);
	mutex_lock(&core_files_lock);
	list_add_tail(&cf->link, &dev_files);
	mutex_unlock(&core_files_lock);
	return 0;
}

/**
 * core_file_dev_switch - open files of /dev/kvm* go to another instance
 * @from: their instance now
 * @to: the new one, pinned by the caller
 * @mm: only those of this address space, or NULL for all
 *
 * A system descriptor has no state of its own; it only keeps its instance from
 * being unloaded.
 *
 * Context: process; sleeps.
 */
void core_file_dev_switch(struct core_instance *from, struct core_instance *to,
			  const struct mm_struct *mm)
{
	struct core_file *cf;
	unsigned int n = 0;

	mutex_lock(&core_files_lock);
	list_for_each_entry(cf, &dev_files, link) {
		if (cf->ci != from || (mm && cf->mm != mm))
			continue;
		/* An ioctl of its own, KVM_CREATE_VM say, takes core_files_lock. */
		if (!down_write_trylock(cf->gate))
			continue;
		__module_get(to->inst->owner);
		cf->ci = to;
		cf->inner = to->fops;
		up_write(cf->gate);
		n++;
	}
	mutex_unlock(&core_files_lock);
	while (n--)
		core_put(from);
}

/**
 * core_file_swap - exchange the backing of two descriptors
 * @a: one
 * @b: the other, not known to anybody else; the gate of @a is held
 *
 * Context: process.
 */
void core_file_swap(struct file *a, struct file *b)
{
	struct core_file *x = core_file_of(a), *y = core_file_of(b);

	/* @b is known to nobody else. */
	spin_lock(&x->backing);
	swap(x->inner, y->inner);
	swap(x->ci, y->ci);
	swap(x->mm, y->mm);
	swap(a->private_data, b->private_data);
	spin_unlock(&x->backing);
}

static enum core_file_kind kind_of(const char *name, int *id)
{
	*id = 0;
	if (!strcmp(name, "kvm-vm"))
		return CORE_FILE_VM;
	if (!strcmp(name, "kvm-vm-stats"))
		return CORE_FILE_VM_STATS;
	if (sscanf(name, "kvm-vcpu:%d", id) == 1)
		return CORE_FILE_VCPU;
	if (sscanf(name, "kvm-vcpu-stats:%d", id) == 1)
		return CORE_FILE_VCPU_STATS;
	return CORE_FILE_DEVICE;
}

/* A file of userspace's joins its VM. */
static int core_file_join(struct core_file *cf, const void *vm)
{
	if (cf->kind == CORE_FILE_VM)
		cf->vm = core_vm_create(cf->ci, vm);
	else
		cf->vm = core_vm_find(cf->ci, vm);
	if (IS_ERR(cf->vm)) {
		int r = PTR_ERR(cf->vm);

		cf->vm = NULL;
		return r;
	}
	if (cf->vm)
		cf->gate = &cf->vm->gate;
	return 0;
}

/**
 * kvm_core_getfile - an instance wants a file for an object of its own
 * @inst: the instance
 * @name: as for anon_inode_getfile(); tells what it is
 * @fops: the instance's operations
 * @priv: its private data
 * @flags: open flags
 * @vm: which VM the object belongs to; only the address counts
 *
 * Context: process; sleeps. Called from an ioctl of the instance, which is
 * therefore pinned.
 * Return: the file or an ERR_PTR(); with an error nothing of @priv was touched.
 */
struct file *kvm_core_getfile(struct kvm_core_instance *inst, const char *name,
			      const struct file_operations *fops, void *priv,
			      int flags, const void *vm)
{
	struct core_instance *ci = core_of(inst);
	enum core_file_kind kind;
	struct core_file *cf;
	struct file *file;
	int r, id;

	kind = kind_of(name, &id);
	cf = core_file_alloc(ci, fops, kind);
	if (!cf)
		return ERR_PTR(-ENOMEM);
	cf->id = id;
	cf->mm = current->mm;
	mmgrab(cf->mm);
	r = -ENOMEM;
	if (kind == CORE_FILE_VCPU) {
		cf->vcpu = core_vcpu_alloc();
		if (!cf->vcpu)
			goto err_free;
		inst->ops->vcpu_pages(priv, cf->vcpu->pages);
		cf->vcpu->pi = core_pi_ref(inst->ops->vcpu_pi(priv, NULL, KVM_CORE_PI_ASIDE));
		cf->fops.unlocked_ioctl = core_vcpu_ioctl;
		if (cf->fops.compat_ioctl)
			cf->fops.compat_ioctl = core_vcpu_compat_ioctl;
	}
	/* The target of a handoff is not yet anybody's VM. */
	if (!kvm_core_replaying()) {
		r = core_file_join(cf, vm);
		if (r)
			goto err_free;
	}

	file = anon_inode_getfile(name, &cf->fops, priv, flags);
	if (IS_ERR(file)) {
		r = PTR_ERR(file);
		goto err_vm;
	}
	cf->file = file;
	if (kind == CORE_FILE_DEVICE && strcmp(name, "kvm-vfio"))
		core_record_block(cf, "it has a device %s", name);
	if (cf->vm) {
		if (cf->vcpu)
			core_vm_vcpu(cf->vm, 1);
		mutex_lock(&core_files_lock);
		list_add_tail(&cf->link, &cf->vm->files);
		mutex_unlock(&core_files_lock);
		atomic64_inc(&cf->vm->changes);
	}
	__module_get(inst->owner);
	return file;

err_vm:
	if (cf->vm && core_vm_leave(cf->vm))
		core_vm_destroy(cf->vm);
err_free:
	core_file_free(cf);
	return ERR_PTR(r);
}
EXPORT_SYMBOL_GPL(kvm_core_getfile);

/**
 * kvm_core_getfd - as kvm_core_getfile(), with a descriptor
 * @inst: the instance
 * @name: as for anon_inode_getfd()
 * @fops: the instance's operations
 * @priv: its private data
 * @flags: open flags
 * @vm: which VM the object belongs to
 *
 * Context: process; sleeps.
 * Return: the descriptor or an error.
 */
int kvm_core_getfd(struct kvm_core_instance *inst, const char *name,
		   const struct file_operations *fops, void *priv, int flags,
		   const void *vm)
{
	struct file *file;
	int fd;

	fd = kvm_core_replay_fd();
	if (fd >= 0) {
		file = kvm_core_getfile(inst, name, fops, priv, flags, vm);
		if (IS_ERR(file))
			return PTR_ERR(file);
		kvm_core_replay_made(file);
		return fd;
	}

	fd = get_unused_fd_flags(flags);
	if (fd < 0)
		return fd;
	file = kvm_core_getfile(inst, name, fops, priv, flags, vm);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	fd_install(fd, file);
	return fd;
}
EXPORT_SYMBOL_GPL(kvm_core_getfd);

/**
 * kvm_core_file_number - a file is about to get its descriptor
 * @file: any file, that only the caller knows
 * @fd: the descriptor
 *
 * Of a VM: for the name that KVM gives its statistics.
 *
 * Context: process.
 */
void kvm_core_file_number(const struct file *file, int fd)
{
	if (core_is_file(file) && core_file_of(file)->kind == CORE_FILE_VM)
		core_file_of(file)->id = fd;
}
EXPORT_SYMBOL_GPL(kvm_core_file_number);

/**
 * kvm_core_count_vm - count a VM for the uevents of /dev/kvm
 * @created: one more
 * @destroyed: one less
 * @created_out: set to the VMs ever created on this host
 * @active_out: set to those there are now
 *
 * Context: process.
 */
void kvm_core_count_vm(bool created, bool destroyed,
		       unsigned long long *created_out,
		       unsigned long long *active_out)
{
	spin_lock(&count_lock);
	if (kvm_core_replaying()) {
		/* One more or less on an instance, not on the host. */
	} else if (created) {
		count_created++;
		count_active++;
	} else if (destroyed) {
		count_active--;
	}
	*created_out = count_created;
	*active_out = count_active;
	spin_unlock(&count_lock);
}
EXPORT_SYMBOL_GPL(kvm_core_count_vm);
