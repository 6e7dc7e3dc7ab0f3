// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_CORE_VM_ADOPT: a handoff whose target is in another process's address space.
 *
 * What differs from any other is here: the caller has to have the descriptors, says where
 * the memslots are with it, and owns the VM from commit on. Everything else of the record
 * needs no address.
 *
 * KVM answers a VM's ioctls only in the VM's own address space, so the handoff's thread
 * goes to and fro between the two (core_mm_use()), and does what parked threads of the VMM
 * do in other handoffs: those have only the one. An address of the one process is never
 * looked up in the other.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/bitmap.h>
#include <linux/bsearch.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/kthread.h>
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/uaccess.h>

#include "core.h"
#include "private.h"

static __printf(3, 4) int fail(struct kvm_core_adopt *args, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(args->move.reason, sizeof(args->move.reason), fmt, ap);
	va_end(ap);
	return error;
}

/* @fd becomes the number of the vCPU. */
static int check_vcpu(struct kvm_core_adopt *args, const struct core_vm *vm, s32 *vcpu,
		      unsigned long *named)
{
	int fd = *vcpu;
	struct file *file = fget(fd);
	const struct core_file *cf;
	int r = 0;

	if (!file)
		return fail(args, -EBADF, "vCPUs: there is no descriptor %d", fd);
	cf = core_is_file(file) ? core_file_of(file) : NULL;
	if (!cf || cf->kind != CORE_FILE_VCPU || cf->vm != vm)
		r = fail(args, -EINVAL, "descriptor %d is no vCPU of this VM", fd);
	else if (cf->id >= KVM_CORE_VCPU_IDS)
		r = fail(args, -EOPNOTSUPP, "vCPU %d: its number is too large", cf->id);
	else if (__test_and_set_bit(cf->id, named))
		r = fail(args, -EINVAL, "vCPU %d is named twice", cf->id);
	else
		*vcpu = cf->id;
	fput(file);
	return r;
}

/* So many different ones of this VM: whether these are all, is known when it is recorded. */
static int copy_vcpus(struct core_adopt *a, struct kvm_core_adopt *args,
		      const struct core_vm *vm)
{
	unsigned long *named;
	s32 *ids;
	int r = 0;
	u32 i;

	ids = memdup_user(u64_to_user_ptr(args->vcpus), args->nr_vcpus * sizeof(*ids));
	if (IS_ERR(ids))
		return fail(args, PTR_ERR(ids), "list of vCPUs");
	a->ids = ids;
	a->exits = kcalloc(args->nr_vcpus, sizeof(*a->exits), GFP_KERNEL);
	named = bitmap_zalloc(KVM_CORE_VCPU_IDS, GFP_KERNEL);
	if (!named || !a->exits)
		r = fail(args, -ENOMEM, "list of vCPUs");
	for (i = 0; !r && i < args->nr_vcpus; i++)
		r = check_vcpu(args, vm, &ids[i], named);
	bitmap_free(named);
	return r;
}

/* Once before, so that a VM is not adopted by who does not hear of it, and once with it. */
static int put_exits(const struct core_adopt *a, struct kvm_core_adopt *args)
{
	if (args->exits && copy_to_user(u64_to_user_ptr(args->exits), a->exits,
					a->nr_vcpus * sizeof(*a->exits)))
		return fail(args, -EFAULT, "list of exits");
	return 0;
}

static int by_slot(const void *a, const void *b)
{
	const struct kvm_core_adopt_slot *x = a, *y = b;

	return x->slot < y->slot ? -1 : x->slot > y->slot;
}

/* For a clear answer: what is unmapped later, the guest finds missing as with any VMM. */
static int check_mapped(struct kvm_core_adopt *args, const struct kvm_core_adopt_slot *s)
{
	unsigned long at = s->userspace_addr, end = at + s->size;
	struct vm_area_struct *vma;
	int r = 0;

	cond_resched();
	if (fatal_signal_pending(current) || mmap_read_lock_killable(current->mm))
		return fail(args, -EINTR, "killed");
	while (!r && at < end) {
		vma = find_vma(current->mm, at);
		if (!vma || vma->vm_start > at)
			r = fail(args, -EFAULT,
				 "memslot %u: its memory is not mapped at 0x%lx", s->slot,
				 at);
		else
			at = vma->vm_end;
	}
	mmap_read_unlock(current->mm);
	return r;
}

static int check_slot(struct kvm_core_adopt *args, const struct kvm_core_adopt_slot *s,
		      const struct kvm_core_adopt_slot *before)
{
	u64 end;

	if (s->reserved)
		return fail(args, -EINVAL, "memslot %u: reserved is not 0", s->slot);
	if (before && before->slot == s->slot)
		return fail(args, -EINVAL, "memslot %u is named twice", s->slot);
	if (!PAGE_ALIGNED(s->userspace_addr) ||
	    check_add_overflow(s->userspace_addr, s->size, &end))
		return fail(args, -EINVAL, "memslot %u: there is no memory at 0x%llx",
			    s->slot, s->userspace_addr);
	return check_mapped(args, s);
}

static int copy_slots(struct core_adopt *a, struct kvm_core_adopt *args)
{
	int r = 0;
	u32 i;

	a->slots = vmemdup_user(u64_to_user_ptr(args->slots),
				args->nr_slots * sizeof(*a->slots));
	if (IS_ERR(a->slots)) {
		r = fail(args, PTR_ERR(a->slots), "list of memslots");
		a->slots = NULL;
		return r;
	}
	a->nr_slots = args->nr_slots;
	sort(a->slots, a->nr_slots, sizeof(*a->slots), by_slot, NULL);
	for (i = 0; !r && i < a->nr_slots; i++)
		r = check_slot(args, &a->slots[i], i ? &a->slots[i - 1] : NULL);
	return r;
}

/**
 * core_adopt - KVM_CORE_VM_ADOPT
 * @vm: the VM, whose descriptor the caller has
 * @to: the instance, pinned by the caller, or NULL for the one that the VM is on
 * @args: what is wanted, copied; @args->move is filled in with the result
 *
 * Context: process, without the VM's gate; sleeps for as long as @args allows.
 * Return: as core_move(), and as struct kvm_core_adopt says.
 */
int core_adopt(struct core_vm *vm, struct core_instance *to,
	       struct kvm_core_adopt *args)
{
	struct core_adopt a = { .nr_vcpus = args->nr_vcpus };
	int r;

	if (!args->nr_vcpus || args->nr_vcpus > KVM_CORE_ADOPT_VCPUS)
		r = fail(args, -EINVAL, "%u vCPUs: 1 to %u are possible", args->nr_vcpus,
			 KVM_CORE_ADOPT_VCPUS);
	else if (args->nr_slots > KVM_CORE_ADOPT_SLOTS)
		r = fail(args, -EINVAL, "%u memslots: at most %u are possible",
			 args->nr_slots, KVM_CORE_ADOPT_SLOTS);
	else
		r = copy_vcpus(&a, args, vm);
	if (!r)
		r = copy_slots(&a, args);
	if (!r)
		r = put_exits(&a, args);
	if (r) {
		args->move.error = -r;
	} else {
		core_owner_init(&a.owner);
		r = core_handoff(vm, to, &args->move, true, &a);
		core_owner_exit(&a.owner);
		if (!r)
			r = put_exits(&a, args);
	}
	kvfree(a.slots);
	kfree(a.ids);
	kfree(a.exits);
	return r;
}

/*
 * Of a process that has ended, the page tables go a little later. After that nothing is
 * found in there, and nothing made.
 */
static bool is_empty(struct mm_struct *mm)
{
	bool empty;

	if (!mmap_read_trylock(mm))
		return false;
	empty = mtree_empty(&mm->mm_mt);
	mmap_read_unlock(mm);
	return empty;
}

/**
 * core_adopt_look - does the process that has the VM live?
 * @mv: the handoff, after core_adopt_begin()
 *
 * What ends after this is kept from being taken apart, and no thread of it comes back: to be
 * asked again when one is missing.
 *
 * Context: the handoff's thread; sleeps.
 * Return: 0 or an error, and core_move_fail() was told.
 */
int core_adopt_look(struct core_move *mv)
{
	if (mv->lives)
		mmput_async(mv->source);
	mv->lives = mmget_not_zero(mv->source);
	while (!mv->lives && !is_empty(mv->source)) {
		if (core_move_timed_out(mv))
			return core_move_fail(mv, -ETIMEDOUT,
					      "the end of its process takes too long");
		usleep_range(100, 1000);
	}
	return 0;
}

/**
 * core_adopt_begin - the thread may use both address spaces
 * @mv: the handoff
 *
 * Context: the handoff's thread, in the adopter's address space; sleeps.
 * Return: 0 or an error, and core_move_fail() was told.
 */
int core_adopt_begin(struct core_move *mv)
{
	mv->source = mv->vm->owner.mm;
	mmgrab(mv->source);
	return core_adopt_look(mv);
}

/**
 * core_adopt_ended - has the process ended since core_adopt_look()?
 * @mv: the handoff
 *
 * Context: any.
 * Return: true if nobody but the handoff has its address space. False may be late.
 */
bool core_adopt_ended(const struct core_move *mv)
{
	return mv->adopt && mv->lives && atomic_read(&mv->source->mm_users) == 1;
}

/**
 * core_adopt_end - undo core_adopt_begin(), whether or not it failed
 * @mv: the handoff
 *
 * Context: the handoff's thread, in the adopter's address space; sleeps.
 */
void core_adopt_end(struct core_move *mv)
{
	/* Its end may take long, and is nothing to the adopter. */
	if (mv->lives)
		mmput_async(mv->source);
	mmdrop(mv->source);
}

static const struct kvm_core_adopt_slot *find_slot(const struct core_adopt *a, u32 slot)
{
	const struct kvm_core_adopt_slot like = { .slot = slot };

	return bsearch(&like, a->slots, a->nr_slots, sizeof(like), by_slot);
}

static int check_region(struct core_move *mv,
			const struct kvm_userspace_memory_region *region)
{
	const struct kvm_core_adopt_slot *s = find_slot(mv->adopt, region->slot);

	if (!s)
		return core_move_fail(mv, -EINVAL, "memslot %u is not named", region->slot);
	if (s->size != region->memory_size)
		return core_move_fail(mv, -EINVAL, "memslot %u has 0x%llx bytes, not 0x%llx",
				      region->slot, region->memory_size, s->size);
	return 0;
}

/* More are named than there are. */
static int check_named(struct core_move *mv, unsigned int slots)
{
	if (slots == mv->adopt->nr_slots)
		return 0;
	return core_move_fail(mv, -EINVAL, "it has %u memslots, %u are named", slots,
			      mv->adopt->nr_slots);
}

/**
 * core_adopt_record - do vCPUs and memslots fit the record?
 * @mv: the handoff; its pairs are complete
 *
 * Context: the handoff's thread; sleeps.
 * Return: 0 or an error, and core_move_fail() was told.
 */
int core_adopt_record(struct core_move *mv)
{
	struct core_file *vm = core_file_of(mv->vm_file);
	unsigned int slots = 0;
	struct core_entry *e;
	int r = 0;

	if (mv->args->vcpus != mv->adopt->nr_vcpus)
		return core_move_fail(mv, -EINVAL, "it has %u vCPUs, %u are named",
				      mv->args->vcpus, mv->adopt->nr_vcpus);
	mutex_lock(&vm->rec.lock);
	list_for_each_entry(e, &vm->rec.entries, link) {
		if (e->cmd != KVM_SET_USER_MEMORY_REGION)
			continue;
		slots++;
		r = check_region(mv, (void *)e->data);
		if (r)
			break;
	}
	mutex_unlock(&vm->rec.lock);
	return r ?: check_named(mv, slots);
}

/**
 * core_adopt_region - where a memslot's memory is in the target's address space
 * @mv: the handoff
 * @region: as recorded; the address becomes the target's
 *
 * Context: the handoff's thread.
 * Return: 0, or CORE_MOVE_AGAIN when it is not the one that the adopter named.
 */
int core_adopt_region(struct core_move *mv, struct kvm_userspace_memory_region *region)
{
	const struct kvm_core_adopt_slot *s;

	if (!mv->adopt)
		return 0;
	s = find_slot(mv->adopt, region->slot);
	if (!s || s->size != region->memory_size)
		return CORE_MOVE_AGAIN;
	region->userspace_addr = s->userspace_addr;
	return 0;
}

/**
 * core_adopt_exit - is a vCPU that is in no ioctl whole as it is?
 * @mv: the handoff
 * @cf: the vCPU's descriptor; its gate is held
 * @stop: what the instance says of it (struct kvm_core_ops, @vcpu_stop)
 *
 * Nobody is left to call KVM_RUN for a process that has ended; any other is waited for.
 *
 * Context: the handoff's thread.
 * Return: true if KVM_RUN need not be called first.
 */
bool core_adopt_exit(struct core_move *mv, const struct core_file *cf, int stop)
{
	struct core_vcpu *vcpu = cf->vcpu;

	if (!stop)
		vcpu->exit_now = vcpu->exit;
	else if (!mv->adopt || mv->lives)
		return false;
	else if (stop == -EINPROGRESS)
		vcpu->exit_now = KVM_CORE_ADOPT_EXIT_AGAIN;
	else if (stop == -EALREADY)
		vcpu->exit_now = KVM_CORE_ADOPT_EXIT_WRITE;
	else
		return false;
	return true;
}

/* One that is in KVM_RUN has none. */
static void commit_exits(struct core_move *mv)
{
	struct core_adopt *a = mv->adopt;
	struct core_file *cf;
	struct core_pair *p;
	u32 i;

	for_each_vcpu(cf, p, mv) {
		if (!cf->vcpu->held || !cf->vcpu->exit_now)
			continue;
		cf->vcpu->exit = cf->vcpu->exit_now;
		for (i = 0; i < a->nr_vcpus; i++)
			if (a->ids[i] == cf->id)
				a->exits[i] = cf->vcpu->exit;
	}
}

/**
 * core_adopt_commit - the VM is the adopter's
 * @mv: the handoff; what is behind the descriptors is exchanged
 *
 * The record has what core_adopt_record() has seen: the gate is held.
 *
 * Context: the handoff's thread; sleeps.
 */
void core_adopt_commit(struct core_move *mv)
{
	struct core_file *vm = core_file_of(mv->vm_file);
	struct core_entry *e;

	if (!mv->adopt)
		return;
	mutex_lock(&vm->rec.lock);
	list_for_each_entry(e, &vm->rec.entries, link)
		if (e->cmd == KVM_SET_USER_MEMORY_REGION)
			WARN_ON_ONCE(core_adopt_region(mv, (void *)e->data));
	mutex_unlock(&vm->rec.lock);
	commit_exits(mv);
	core_vm_own(mv->vm, &mv->adopt->owner);
	mv->args->pid = mv->pid;
}
