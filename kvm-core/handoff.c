// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM goes from one instance to another while its VMM knows nothing of it.
 *
 * Until commit the source is whole: whatever fails, the vCPUs go on there. The
 * stages and what each may rely on are in Documentation/handoff.rst.
 *
 * A thread of the handoff's own does it, in the VM's address space: the caller
 * may be killed, the VMM may be killed, and it still comes to an end, since it
 * waits for nobody longer than it was told to.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/delay.h>
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/kthread.h>
#include <linux/kvm.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include "core.h"
#include "eventfd.h"
#include "handoff.h"

#define CREATE_TRACE_POINTS
#include "trace_move.h"

#define DEADLINE_US	100000
#define TIMEOUT_MS	10000
/* Targets that are set up in vain before the VM's own ioctls have to wait. */
#define OPTIMISTIC	3
/* The target has to be set up anew. */
#define AGAIN		(-ERESTART)

static const char * const stage_names[KVM_CORE_STAGES] = {
	[KVM_CORE_STAGE_RECORD] = "record",
	[KVM_CORE_STAGE_PREPARE] = "prepare",
	[KVM_CORE_STAGE_STOP] = "stop",
	[KVM_CORE_STAGE_QUIESCE] = "quiesce",
	[KVM_CORE_STAGE_MOVE] = "move",
	[KVM_CORE_STAGE_COMMIT] = "commit",
	[KVM_CORE_STAGE_RETIRE] = "retire",
};

/**
 * core_stage_name - as userspace knows it
 * @stage: the stage
 *
 * Context: any.
 */
const char *core_stage_name(enum kvm_core_stage stage)
{
	return stage_names[stage];
}

/**
 * core_move_fail - say why a handoff fails
 * @mv: the handoff
 * @error: negative errno
 * @fmt: one line; the first reason stays
 *
 * Context: process.
 * Return: @error.
 */
int core_move_fail(struct core_move *mv, int error, const char *fmt, ...)
{
	va_list args;

	spin_lock(&mv->lock);
	if (!mv->args->reason[0]) {
		va_start(args, fmt);
		vsnprintf(mv->args->reason, sizeof(mv->args->reason), fmt, args);
		va_end(args);
	}
	spin_unlock(&mv->lock);
	return error;
}

static void stage_begin(struct core_move *mv, enum kvm_core_stage stage)
{
	mv->args->stage = stage;
	mv->since = ktime_get();
}

/* Adds up over several attempts. */
static int stage_end(struct core_move *mv, int r)
{
	enum kvm_core_stage stage = mv->args->stage;
	u64 ns;

	if (!r) {
		r = core_inject(stage);
		if (r)
			core_move_fail(mv, r, "asked for in debugfs");
	}
	ns = ktime_to_ns(ktime_sub(ktime_get(), mv->since));
	mv->args->stage_ns[stage] += ns;
	trace_kvm_core_move(mv->vm->id, mv->to->inst->name, stage, ns, r);
	return r;
}

static bool late(const struct core_move *mv)
{
	return ktime_us_delta(ktime_get(), mv->stopped) > mv->args->deadline_us;
}

static bool timed_out(const struct core_move *mv)
{
	return ktime_ms_delta(ktime_get(), mv->began) > mv->args->timeout_ms;
}

static struct core_pair *vcpu_at(struct core_move *mv, struct list_head *at)
{
	while (at != &mv->pairs) {
		struct core_pair *p = list_entry(at, struct core_pair, link);

		if (core_file_of(p->file)->kind == CORE_FILE_VCPU)
			return p;
		at = at->next;
	}
	return NULL;
}

/* Iterates over the vCPUs, and their core_files. */
#define for_each_vcpu(cf, p, mv)					\
	for (p = vcpu_at(mv, (mv)->pairs.next);				\
	     p && ((cf) = core_file_of((p)->file));			\
	     p = vcpu_at(mv, (p)->link.next))

/* -- record -- */

static int add_pair(struct core_move *mv, struct core_file *cf)
{
	struct core_pair *p;

	/* Being closed: it is off the list in a moment. */
	if (!get_file_rcu(cf->file))
		return 0;
	p = kzalloc(sizeof(*p), GFP_KERNEL);
	if (!p) {
		fput(cf->file);
		return core_move_fail(mv, -ENOMEM, "list of descriptors");
	}
	p->file = cf->file;
	list_add_tail(&p->link, &mv->pairs);
	if (cf->kind == CORE_FILE_VM)
		mv->vm_file = p->file;
	return 0;
}

/* The VM, the vCPUs, and the rest: 0, 1, 2. */
static int rank(const struct core_file *cf)
{
	return cf->kind == CORE_FILE_VM ? 0 : cf->kind == CORE_FILE_VCPU ? 1 : 2;
}

static void drop_pairs(struct core_move *mv)
{
	struct core_pair *p, *n;

	list_for_each_entry_safe(p, n, &mv->pairs, link) {
		list_del(&p->link);
		fput(p->file);
		kfree(p);
	}
	mv->vm_file = NULL;
}

static int check_records(struct core_move *mv)
{
	struct core_pair *p;
	int r = 0;

	list_for_each_entry(p, &mv->pairs, link) {
		struct core_file *cf = core_file_of(p->file);

		spin_lock(&cf->rec.why_lock);
		if (cf->rec.why[0])
			r = core_move_fail(mv, -EOPNOTSUPP, "%s", cf->rec.why);
		spin_unlock(&cf->rec.why_lock);
	}
	return r;
}

static int do_record(struct core_move *mv)
{
	struct core_vm *vm = mv->vm;
	struct core_file *cf, *vcpu;
	struct core_pair *p;
	int i, r = 0;

	/* Before what it counts is looked at. */
	mv->changes = atomic64_read(&vm->changes);
	mutex_lock(&core_files_lock);
	for (i = 0; i <= 2; i++)
		list_for_each_entry(cf, &vm->files, link)
			if (!r && rank(cf) == i)
				r = add_pair(mv, cf);
	mutex_unlock(&core_files_lock);
	if (r)
		return r;
	if (!mv->vm_file)
		return core_move_fail(mv, -EOPNOTSUPP,
				      "the VM's own descriptor is closed");
	mv->args->vcpus = 0;
	for_each_vcpu(vcpu, p, mv)
		mv->args->vcpus++;
	if (mv->args->vcpus != atomic_read(&vm->vcpus_made))
		return core_move_fail(mv, -EOPNOTSUPP,
				      "the descriptor of a vCPU is closed");
	return check_records(mv);
}

/* -- prepare -- */

static int replay_phase(struct core_move *mv, struct core_file *cf,
			struct file *target, enum core_phase phase)
{
	struct core_entry *e;
	long r = 0;

	mutex_lock(&cf->rec.lock);
	list_for_each_entry(e, &cf->rec.entries, link) {
		if (e->phase != phase)
			continue;
		r = core_replay_entry(&mv->rp, target, e);
		if (r < 0) {
			core_move_fail(mv, r, "the target refuses ioctl %#x",
				       e->cmd);
			break;
		}
		r = 0;
		cond_resched();
	}
	mutex_unlock(&cf->rec.lock);
	return r;
}

static int make_vm(struct core_move *mv, struct core_pair *first)
{
	struct core_file *cf;
	struct core_pair *p;
	long r;

	for_each_vcpu(cf, p, mv) {
		mv->rp.pages = cf->vcpu->pages;
		break;
	}
	mv->rp.fd = core_file_of(first->file)->id;
	mv->rp.made = NULL;
	r = mv->to->fops->unlocked_ioctl(NULL, KVM_CREATE_VM, 0);
	mv->rp.pages = NULL;
	first->target = mv->rp.made;
	mv->rp.made = NULL;
	if (r < 0)
		return core_move_fail(mv, r, "KVM_CREATE_VM");
	mv->vm_target = first->target;
	return 0;
}

static int make_file(struct core_move *mv, struct core_pair *p,
		     struct file *from, unsigned int cmd, unsigned long arg)
{
	struct file *file;

	file = core_replay_make(&mv->rp, from, cmd, arg);
	if (IS_ERR(file))
		return core_move_fail(mv, PTR_ERR(file),
				      "the target refuses ioctl %#x", cmd);
	p->target = file;
	return 0;
}

static struct file *vcpu_target(struct core_move *mv, int id)
{
	struct core_file *cf;
	struct core_pair *p;

	for_each_vcpu(cf, p, mv)
		if (cf->id == id)
			return p->target;
	return NULL;
}

static int make_other(struct core_move *mv, struct core_pair *p)
{
	struct core_file *cf = core_file_of(p->file);
	struct kvm_create_device vfio = { .type = KVM_DEV_TYPE_VFIO };
	struct file *vcpu;

	switch (cf->kind) {
	case CORE_FILE_DEVICE:
		return make_file(mv, p, mv->vm_target, KVM_CREATE_DEVICE,
				 (unsigned long)&vfio);
	case CORE_FILE_VM_STATS:
		return make_file(mv, p, mv->vm_target, KVM_GET_STATS_FD, 0);
	case CORE_FILE_VCPU_STATS:
		vcpu = vcpu_target(mv, cf->id);
		if (!vcpu)
			return core_move_fail(mv, -EOPNOTSUPP,
					      "statistics of a closed vCPU");
		return make_file(mv, p, vcpu, KVM_GET_STATS_FD, 0);
	default:
		return 0;
	}
}

static int make_target(struct core_move *mv)
{
	struct core_pair *p, *first;
	struct core_file *vm, *cf;
	enum core_phase phase;
	int r;

	first = list_first_entry(&mv->pairs, struct core_pair, link);
	vm = core_file_of(first->file);
	r = make_vm(mv, first);
	for (phase = 0; !r && phase < CORE_PHASE_VCPU; phase++)
		r = replay_phase(mv, vm, mv->vm_target, phase);
	if (r)
		return r;

	for_each_vcpu(cf, p, mv) {
		mv->rp.pages = cf->vcpu->pages;
		r = make_file(mv, p, mv->vm_target, KVM_CREATE_VCPU, cf->id);
		mv->rp.pages = NULL;
		if (r)
			return r;
		cf->vcpu->target = p->target;
	}
	for (; !r && phase < CORE_PHASE_DEVICE; phase++) {
		r = replay_phase(mv, vm, mv->vm_target, phase);
		for_each_vcpu(cf, p, mv)
			if (!r)
				r = replay_phase(mv, cf, p->target, phase);
	}
	list_for_each_entry(p, &mv->pairs, link)
		if (!r)
			r = make_other(mv, p);
	return r;
}

/* What is behind the targets, or later was behind the originals, is destroyed. */
static void drop_targets(struct core_move *mv)
{
	struct core_pair *p;

	list_for_each_entry_reverse(p, &mv->pairs, link) {
		struct core_file *cf = core_file_of(p->file);

		if (cf->vcpu)
			cf->vcpu->target = NULL;
		if (p->target)
			__fput_sync(p->target);
		p->target = NULL;
	}
	mv->vm_target = NULL;
}

/*
 * Only what is in memory anyway is mapped ahead. The bytes that are done, or
 * -ENOMEM.
 */
static long populate_page(struct core_move *mv, void *vcpu, u64 gpa,
			  unsigned long hva)
{
	struct page *page;
	long step = PAGE_SIZE;
	int r;

	if (get_user_pages_fast_only(hva, 1, 0, &page) != 1)
		return step;
	if (PageTransCompound(page) && IS_ALIGNED(hva, PMD_SIZE) &&
	    IS_ALIGNED(gpa, PMD_SIZE))
		step = PMD_SIZE;
	put_page(page);
	r = mv->to->inst->ops->vcpu_populate(vcpu, gpa);
	if (r == -ENOMEM)
		return r;
	if (r > 0)
		mv->args->populated += step / PAGE_SIZE;
	return step;
}

static int populate_slot(struct core_move *mv, void *vcpu,
			 const struct kvm_userspace_memory_region *slot)
{
	u64 at = 0;
	long done;

	/* Another address space is SMM's; a page that is logged becomes dirty. */
	if (slot->slot >> 16 || slot->flags & KVM_MEM_LOG_DIRTY_PAGES)
		return 0;
	while (at < slot->memory_size && !timed_out(mv)) {
		done = populate_page(mv, vcpu, slot->guest_phys_addr + at,
				     slot->userspace_addr + at);
		if (done < 0)
			return done;
		at += done;
		cond_resched();
	}
	return 0;
}

static int populate(struct core_move *mv)
{
	struct kvm_userspace_memory_region *slots;
	struct core_file *vm = core_file_of(mv->vm_file), *cf;
	struct core_entry *e;
	unsigned int n = 0, i;
	struct core_pair *p;
	void *vcpu = NULL;
	int r = 0;

	mv->args->populated = 0;
	for_each_vcpu(cf, p, mv) {
		vcpu = p->target->private_data;
		break;
	}
	if (!vcpu || mv->args->flags & KVM_CORE_MOVE_NO_POPULATE)
		return 0;

	mutex_lock(&vm->rec.lock);
	list_for_each_entry(e, &vm->rec.entries, link)
		n += e->cmd == KVM_SET_USER_MEMORY_REGION;
	slots = kvcalloc(n, sizeof(*slots), GFP_KERNEL);
	n = 0;
	list_for_each_entry(e, &vm->rec.entries, link)
		if (slots && e->cmd == KVM_SET_USER_MEMORY_REGION)
			slots[n++] = *(struct kvm_userspace_memory_region *)e->data;
	mutex_unlock(&vm->rec.lock);
	if (!slots)
		return core_move_fail(mv, -ENOMEM, "list of memslots");

	for (i = 0; !r && i < n && !timed_out(mv); i++)
		r = populate_slot(mv, vcpu, &slots[i]);
	kvfree(slots);
	/* The guest would find none either, and KVM_RUN fail. */
	if (r)
		return core_move_fail(mv, r, "page tables of the target");
	mv->pin = mv->to->inst->ops->vcpu_pin(vcpu);
	return 0;
}

static void unpin(struct core_move *mv, struct file *vm)
{
	if (mv->pin)
		mv->to->inst->ops->vm_unpin(vm->private_data, mv->pin);
	mv->pin = NULL;
}

static int do_prepare(struct core_move *mv)
{
	int r;

	r = make_target(mv);
	if (r)
		return r;
	r = core_state_prepare(mv);
	if (!r)
		r = core_pi_prepare(mv);
	if (r)
		return r;
	return populate(mv);
}

static void undo_prepare(struct core_move *mv)
{
	if (mv->vm_target)
		unpin(mv, mv->vm_target);
	core_state_free(mv);
	drop_targets(mv);
}

/* -- stop -- */

/**
 * core_move_progress - a vCPU's thread has left the gate
 * @vm: the VM
 *
 * Context: process.
 */
void core_move_progress(struct core_vm *vm)
{
	wake_up_all(&vm->wait);
}

/* What the handoff wants a parked thread to do, in its own context. */
static void do_work(struct core_move *mv, struct core_file *cf)
{
	struct core_vcpu *vcpu = cf->vcpu;
	struct core_replay rp;

	core_replay_begin(&rp, 0);
	vcpu->result = vcpu->work(mv, cf);
	core_replay_end(&rp);
	/* After the result, which the handoff reads then. */
	smp_store_release(&vcpu->work, NULL);
	wake_up_all(&cf->vm->wait);
}

static bool has_work(struct core_vcpu *vcpu)
{
	/* Before what it is to work on: pairs with move_vcpus(). */
	return smp_load_acquire(&vcpu->work);
}

/**
 * core_move_park - a vCPU's thread waits for the end of the handoff
 * @cf: the vCPU's descriptor; its gate is held
 *
 * Context: the vCPU's thread, in KVM_RUN, out of the instance; sleeps.
 * Return: false when it may go on, true when KVM_RUN has to be called first,
 * with a signal pending.
 */
bool core_move_park(struct core_file *cf)
{
	struct core_vcpu *vcpu = cf->vcpu;
	struct core_vm *vm = cf->vm;

	if (cf->ci->inst->ops->vcpu_stop(cf->file->private_data))
		return true;

	spin_lock(&vcpu->kick);
	WRITE_ONCE(vcpu->parked, vcpu->stop);
	spin_unlock(&vcpu->kick);
	if (!vcpu->parked)
		return false;
	wake_up_all(&vm->wait);

	for (;;) {
		wait_event(vm->wait, has_work(vcpu) || !READ_ONCE(vcpu->stop));
		if (!READ_ONCE(vcpu->work))
			break;
		do_work(vm->move, cf);
	}
	spin_lock(&vcpu->kick);
	WRITE_ONCE(vcpu->parked, false);
	spin_unlock(&vcpu->kick);
	/* The handoff may be gone after this, the VM is not. */
	wake_up_all(&vm->wait);
	return false;
}

/* Its thread is elsewhere: the handoff holds the gate itself. */
static bool try_hold(struct core_move *mv, struct core_file *cf)
{
	struct core_vcpu *vcpu = cf->vcpu;

	if (!mutex_trylock(&vcpu->gate))
		return false;
	if (mv->from->inst->ops->vcpu_stop(cf->file->private_data)) {
		mutex_unlock(&vcpu->gate);
		return false;
	}
	vcpu->held = true;
	return true;
}

static struct core_file *not_arrived(struct core_move *mv)
{
	struct core_file *cf;
	struct core_pair *p;

	for_each_vcpu(cf, p, mv)
		if (!READ_ONCE(cf->vcpu->parked) && !cf->vcpu->held &&
		    !try_hold(mv, cf))
			return cf;
	return NULL;
}

static void release_vcpus(struct core_move *mv)
{
	struct core_file *cf;
	struct core_pair *p;

	for_each_vcpu(cf, p, mv) {
		struct core_vcpu *vcpu = cf->vcpu;

		spin_lock(&vcpu->kick);
		WRITE_ONCE(vcpu->stop, false);
		spin_unlock(&vcpu->kick);
		if (vcpu->held) {
			vcpu->held = false;
			mutex_unlock(&vcpu->gate);
		}
	}
	wake_up_all(&mv->vm->wait);
	mv->args->downtime_ns += ktime_to_ns(ktime_sub(ktime_get(), mv->stopped));
	for_each_vcpu(cf, p, mv)
		wait_event(mv->vm->wait, !READ_ONCE(cf->vcpu->parked));
	WRITE_ONCE(mv->vm->move, NULL);
}

/* An ioctl that holds the gate is waited for; one that comes is not held up. */
static int take_gate(struct core_move *mv,
		     bool (*over)(const struct core_move *mv))
{
	while (!down_write_trylock(&mv->vm->gate)) {
		if (over(mv))
			return -ETIMEDOUT;
		usleep_range(100, 1000);
	}
	mv->gated = true;
	return 0;
}

static void leave_gate(struct core_move *mv)
{
	if (mv->gated)
		up_write(&mv->vm->gate);
	mv->gated = false;
}

/* @missing: the vCPU that did not come, with -ETIMEDOUT. */
static int stop_vcpus(struct core_move *mv, struct core_file **missing)
{
	struct core_file *cf;
	struct core_pair *p;

	mv->args->attempts++;
	mv->stopped = ktime_get();
	mv->args->stopped_at_ns = ktime_to_ns(mv->stopped);
	WRITE_ONCE(mv->vm->move, mv);
	for_each_vcpu(cf, p, mv)
		core_vcpu_stop(cf->vcpu);
	while ((cf = not_arrived(mv))) {
		*missing = cf;
		if (late(mv))
			return -ETIMEDOUT;
		if (!wait_event_timeout(mv->vm->wait, !not_arrived(mv),
					usecs_to_jiffies(1000))) {
			for_each_vcpu(cf, p, mv)
				core_vcpu_kick(cf->vcpu);
		}
	}
	return 0;
}

/*
 * All vCPUs stand still and the gate is held, or nothing of both. The gate is the
 * last: a thread that completes an exit in userspace may need an ioctl on the VM
 * (KVM_IRQ_LINE, say) before it comes back to KVM_RUN. It comes when it comes; the
 * others do not stand still for it longer than the deadline.
 */
static int do_stop(struct core_move *mv)
{
	struct core_file *missing;
	unsigned int nap = 1000;
	int r;

	/*
	 * Where the gate was held for preparing, it is kept for one stop: whoever
	 * waits for it would change something at once.
	 */
	while (atomic64_read(&mv->vm->changes) == mv->changes) {
		missing = NULL;
		r = stop_vcpus(mv, &missing);
		if (!r && !mv->gated) {
			missing = NULL;
			r = take_gate(mv, late);
		}
		if (!r && atomic64_read(&mv->vm->changes) == mv->changes)
			return 0;
		release_vcpus(mv);
		leave_gate(mv);
		if (r && timed_out(mv))
			return missing ?
			       core_move_fail(mv, r,
					      "vCPU %d: its thread does not come back to KVM_RUN",
					      missing->id) :
			       core_move_fail(mv, r, "an ioctl on the VM does not end");
		usleep_range(nap, 2 * nap);
		nap = min(2 * nap, 100000u);
	}
	return AGAIN;
}

/* -- quiesce -- */

/* Empties an eventfd's counter; a signal that is on its way is waited for. */
static u64 read_eventfd(struct file *file)
{
	struct kiocb kiocb;
	struct iov_iter iter;
	struct kvec vec;
	u64 n = 0;

	vec.iov_base = &n;
	vec.iov_len = sizeof(n);
	init_sync_kiocb(&kiocb, file);
	kiocb.ki_flags |= IOCB_NOWAIT;
	iov_iter_kvec(&iter, ITER_DEST, &vec, 1, sizeof(n));
	return call_read_iter(file, &kiocb, &iter) == sizeof(n) ? n : 0;
}

static void signal_eventfd(struct file *file, u64 n)
{
	struct eventfd_ctx *ctx = eventfd_ctx_fileget(file);

	if (WARN_ON_ONCE(IS_ERR(ctx)))
		return;
	eventfd_signal(ctx, n);
	eventfd_ctx_put(ctx);
}

/*
 * Taking a counter's lock, to read it, waits for a signal that still found the
 * irqfd listening. What the record has for the VM does not grow: the gate is held.
 */
static void take_signals(struct core_move *mv)
{
	struct core_file *vm = core_file_of(mv->vm_file);
	struct core_entry *e;
	struct file *file;

	mutex_lock(&vm->rec.lock);
	list_for_each_entry(e, &vm->rec.entries, link) {
		file = e->efd ? core_eventfd_get(e->efd) : NULL;
		if (!file)
			continue;
		e->efd->signalled += read_eventfd(file);
		fput(file);
	}
	mutex_unlock(&vm->rec.lock);
}

static void give_signals(struct core_move *mv)
{
	struct core_file *vm = core_file_of(mv->vm_file);
	struct core_entry *e;
	struct file *file;
	u64 n;

	mutex_lock(&vm->rec.lock);
	list_for_each_entry(e, &vm->rec.entries, link) {
		file = e->efd ? core_eventfd_get(e->efd) : NULL;
		if (!file)
			continue;
		/* What came meanwhile found nobody who listened. */
		n = e->efd->signalled + read_eventfd(file);
		e->efd->signalled = 0;
		if (n)
			signal_eventfd(file, n);
		fput(file);
	}
	mutex_unlock(&vm->rec.lock);
}

static int do_quiesce(struct core_move *mv)
{
	const struct kvm_core_ops *ops = mv->from->inst->ops;

	ops->vm_hold(mv->vm_file->private_data, true);
	mv->held = true;
	take_signals(mv);
	ops->vm_flush(mv->vm_file->private_data);
	/* One of the target's that was signalled while it was made. */
	mv->to->inst->ops->vm_flush(mv->vm_target->private_data);
	return core_dirty_take(mv);
}

static void undo_quiesce(struct core_move *mv)
{
	if (!mv->held)
		return;
	mv->from->inst->ops->vm_hold(mv->vm_file->private_data, false);
	mv->held = false;
	give_signals(mv);
}

/* -- move -- */

static int move_vcpus(struct core_move *mv)
{
	struct core_file *cf;
	struct core_pair *p;
	int r = 0;

	for_each_vcpu(cf, p, mv)
		if (READ_ONCE(cf->vcpu->parked))
			/* After all that was prepared. */
			smp_store_release(&cf->vcpu->work, core_state_vcpu);
	wake_up_all(&mv->vm->wait);
	for_each_vcpu(cf, p, mv) {
		if (cf->vcpu->held)
			cf->vcpu->result = core_state_vcpu(mv, cf);
	}
	for_each_vcpu(cf, p, mv) {
		/* Before the result: pairs with do_work(). */
		wait_event(mv->vm->wait, !smp_load_acquire(&cf->vcpu->work));
		r = r ?: cf->vcpu->result;
	}
	return r;
}

/* Last: what the target wrote while it got its state is added to them. */
static int take_rings(struct core_move *mv)
{
	int r;

	r = mv->to->inst->ops->vm_take_rings(mv->vm_target->private_data,
					     mv->vm_file->private_data);
	if (r)
		return core_move_fail(mv, r, "dirty rings");
	mv->rings = true;
	return 0;
}

static void undo_rings(struct core_move *mv)
{
	if (mv->rings)
		WARN_ON(mv->from->inst->ops->vm_take_rings(mv->vm_file->private_data,
							   mv->vm_target->private_data));
	mv->rings = false;
}

static int do_move(struct core_move *mv)
{
	int r;

	r = core_state_vm_first(mv);
	if (!r)
		r = move_vcpus(mv);
	if (!r)
		r = core_state_vm_last(mv);
	return r ?: take_rings(mv);
}

/* -- commit -- */

static void swap_files(struct core_move *mv)
{
	struct core_pair *p;

	list_for_each_entry(p, &mv->pairs, link)
		core_file_swap(p->file, p->target);
	core_vm_switch(mv->vm, mv->to, mv->vm_file->private_data);
}

/* Nothing can fail in here. */
static void do_commit(struct core_move *mv)
{
	core_pi_commit(mv);
	swap_files(mv);
	mv->to->inst->ops->vm_hold(mv->vm_file->private_data, false);
	mv->held = false;
	give_signals(mv);
	mv->vm->moves++;
	release_vcpus(mv);
}

static void do_retire(struct core_move *mv)
{
	struct core_pair *p;

	/* The vCPUs go first, where they wait for this thread's CPU. */
	usleep_range(500, 1000);
	unpin(mv, mv->vm_file);
	core_state_free(mv);
	drop_targets(mv);

	list_for_each_entry(p, &mv->pairs, link) {
		struct core_file *cf = core_file_of(p->file);

		if (cf->kind == CORE_FILE_DEVICE &&
		    replay_phase(mv, cf, p->file, CORE_PHASE_DEVICE))
			pr_warn("VM %d: %s does not take a VFIO device back\n",
				mv->vm->id, mv->to->inst->name);
	}
	mv->to->inst->ops->vm_bypass(mv->vm_file->private_data);
	core_pi_retire(mv);
	core_file_dev_switch(mv->from, mv->to, mv->vm->mm);
}

/* From stop to commit; the VM is stopped, or not, on one side or the other. */
static int stopped_part(struct core_move *mv)
{
	int r;

	stage_begin(mv, KVM_CORE_STAGE_STOP);
	r = do_stop(mv);
	if (r) {
		stage_end(mv, r);
		return r;
	}
	r = stage_end(mv, 0);
	if (r)
		goto go_on;

	stage_begin(mv, KVM_CORE_STAGE_QUIESCE);
	r = stage_end(mv, do_quiesce(mv));
	if (r)
		goto go_on;

	stage_begin(mv, KVM_CORE_STAGE_MOVE);
	r = stage_end(mv, do_move(mv));
	if (r)
		goto go_on;

	stage_begin(mv, KVM_CORE_STAGE_COMMIT);
	if (late(mv))
		r = core_move_fail(mv, -ETIMEDOUT, "stopped for longer than %u us",
				   mv->args->deadline_us);
	r = stage_end(mv, r);
	if (r)
		goto go_on;
	do_commit(mv);
	leave_gate(mv);
	return 0;

go_on:
	undo_rings(mv);
	core_state_go(mv);
	undo_quiesce(mv);
	release_vcpus(mv);
	leave_gate(mv);
	return r;
}

/* One target that is set up, and used or destroyed. */
static int attempt(struct core_move *mv)
{
	int r;

	stage_begin(mv, KVM_CORE_STAGE_RECORD);
	r = stage_end(mv, do_record(mv));
	if (r)
		goto out;

	stage_begin(mv, KVM_CORE_STAGE_PREPARE);
	r = stage_end(mv, do_prepare(mv));
	if (!r && !(mv->args->flags & KVM_CORE_MOVE_DRY_RUN)) {
		r = stopped_part(mv);
		if (!r) {
			stage_begin(mv, KVM_CORE_STAGE_RETIRE);
			do_retire(mv);
			stage_end(mv, 0);
			goto out;
		}
	}
	undo_prepare(mv);
out:
	drop_pairs(mv);
	return r;
}

static int run(struct core_move *mv)
{
	int i, r;

	for (i = 0;; i++) {
		/* Its ioctls have been too many: they wait while it is prepared. */
		if (i >= OPTIMISTIC && take_gate(mv, timed_out))
			return core_move_fail(mv, -ETIMEDOUT,
					      "an ioctl on the VM does not end");
		r = attempt(mv);
		leave_gate(mv);
		if (r != AGAIN || timed_out(mv))
			break;
		/* Of an attempt that does not count. */
		mv->args->reason[0] = '\0';
	}
	if (r == AGAIN)
		r = core_move_fail(mv, -ETIMEDOUT,
				   "it is being configured all the time");
	return r;
}

static int move_thread(void *arg)
{
	struct core_move *mv = arg;
	struct core_vm *vm = mv->vm;
	struct mem_cgroup *memcg;

	if (!mmget_not_zero(vm->mm)) {
		mv->error = core_move_fail(mv, -ESRCH, "its process is gone");
		goto out;
	}
	kthread_use_mm(vm->mm);
	memcg = get_mem_cgroup_from_mm(vm->mm);
	set_active_memcg(memcg);
	core_replay_begin(&mv->rp, pid_nr(vm->pid));

	mv->error = run(mv);

	core_replay_end(&mv->rp);
	set_active_memcg(NULL);
	mem_cgroup_put(memcg);
	kthread_unuse_mm(vm->mm);
	mmput(vm->mm);
out:
	/* After this the module may go: nothing of it runs any more here. */
	kthread_complete_and_exit(&mv->done, 0);
}

static int run_in_thread(struct core_move *mv)
{
	struct task_struct *task;

	task = kthread_run(move_thread, mv, "kvm-move/%d", mv->vm->id);
	if (IS_ERR(task))
		return core_move_fail(mv, PTR_ERR(task), "no thread");
	/* It comes to an end by itself; a long one is no task that hangs. */
	while (!wait_for_completion_timeout(&mv->done, 30 * HZ))
		;
	return mv->error;
}

/**
 * core_move - hand a VM over to another instance
 * @vm: the VM, with a reference
 * @to: the instance, pinned by the caller
 * @args: what is wanted; filled in with the result
 *
 * Context: process; sleeps for as long as @args allows, a signal does not end
 * it.
 * Return: 0; -EALREADY if the VM is there, -EBUSY if it is being handed over,
 * -EOPNOTSUPP if it cannot be, -ETIMEDOUT, or what failed. With an error the VM
 * is where it was.
 */
int core_move(struct core_vm *vm, struct core_instance *to,
	      struct kvm_core_move *args)
{
	struct core_move *mv;
	int r;

	mv = kzalloc(sizeof(*mv), GFP_KERNEL);
	if (!mv)
		return -ENOMEM;
	mv->vm = vm;
	mv->to = to;
	mv->args = args;
	mv->began = ktime_get();
	INIT_LIST_HEAD(&mv->pairs);
	init_completion(&mv->done);
	spin_lock_init(&mv->lock);
	args->deadline_us = args->deadline_us ?: DEADLINE_US;
	args->timeout_ms = args->timeout_ms ?: TIMEOUT_MS;
	args->pid = pid_vnr(vm->pid);

	if (!mutex_trylock(&vm->moving)) {
		r = core_move_fail(mv, -EBUSY, "it is being moved already");
		goto out;
	}
	/* Only a handoff changes it. */
	mv->from = core_vm_pin(vm);
	if (mv->from)
		strscpy(args->from, mv->from->inst->name, sizeof(args->from));
	if (!mv->from)
		r = core_move_fail(mv, -ESRCH, "its descriptors are closed");
	else if (mv->from == to)
		r = core_move_fail(mv, -EALREADY, "it is there");
	else if (READ_ONCE(mv->from->state) != CORE_LIVE)
		r = core_move_fail(mv, -EIO, "%s has failed",
				   mv->from->inst->name);
	else
		r = run_in_thread(mv);
	if (mv->from)
		core_put(mv->from);
	mutex_unlock(&vm->moving);
	if (r && r != -EALREADY)
		pr_warn("VM %d (%s, pid %d) stays on %s: stage %s: %s (error %d)\n",
			vm->id, vm->comm, pid_nr(vm->pid), args->from,
			stage_names[args->stage], args->reason, r);
out:
	args->error = -r;
	kfree(mv);
	return r;
}
