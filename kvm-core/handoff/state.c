// SPDX-License-Identifier: GPL-2.0-only
/*
 * The dynamic state of a VM: read from one instance with KVM_GET_*, written to
 * another with KVM_SET_*. The order matters in both directions.
 *
 * Most of a vCPU's registers have the value that the new vCPU was created with.
 * Those are found while the VM still runs, and only the rest is written while it
 * stands still: a comparison costs less than KVM_SET_*.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/err.h>
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <asm/msr-index.h>
#include <asm/mce.h>

#include "core.h"
#include "private.h"

#define APIC_PAGE_LVT_TIMER	0x320
#define IOAPIC_TRIGGER_LEVEL	1

/**
 * struct core_vcpu_state - buffers for one vCPU, allocated before it stops
 * @mp:		this and the next: as the source has it
 * @events:	likewise
 * @regs:	likewise
 * @sregs:	likewise
 * @xcrs:	likewise
 * @init_xcrs:	as the target has it by itself
 * @dr:		as the source has it
 * @init_dr:	as the target has it by itself
 * @lapic:	as the source has it
 * @extra:	likewise
 * @settled:	the source's timers stand still
 * @tsc_offset:	likewise
 * @xsave:	likewise
 * @nested:	likewise
 * @init_nested: as the target has it by itself
 * @msrs:	those of the source that the target takes, and their values
 * @init:	values of these MSRs that the target has by itself
 * @batch:	some of them, on their way
 * @strange:	MSRs that only the source knows
 * @nstrange:	how many
 * @deadline:	index in @msrs of MSR_IA32_TSC_DEADLINE, or -1
 * @init_tsc:	TSC offset of the target
 */
struct core_vcpu_state {
	struct kvm_mp_state mp;
	struct kvm_vcpu_events events;
	struct kvm_regs regs;
	struct kvm_sregs2 sregs;
	struct kvm_xcrs xcrs, init_xcrs;
	struct kvm_debugregs dr, init_dr;
	struct kvm_lapic_state lapic;
	struct kvm_core_vcpu_extra extra;
	bool settled;
	u64 tsc_offset, init_tsc;
	struct kvm_xsave *xsave;
	struct kvm_nested_state *nested, *init_nested;
	struct kvm_msrs *msrs, *batch;
	u64 *init;
	u32 *strange;
	u32 nstrange;
	int deadline;
};

/**
 * struct core_vm_state - of the VM as a whole
 * @xsave_size:	of struct kvm_xsave
 * @nested_size: of struct kvm_nested_state, 0 if there is none
 * @irqchip:	PICs and IOAPIC are in the kernel
 * @lapic:	LAPICs are
 * @pit:	the PIT is
 * @index:	MSRs of the source that belong to the guest
 * @known:	those that the target lists
 * @clock:	kvmclock, on its way
 * @pit2:	PIT
 * @chip:	PICs and IOAPIC
 * @extra:	the rest of the VM
 * @settled:	the source's PIT stands still
 */
struct core_vm_state {
	size_t xsave_size;
	size_t nested_size;
	bool irqchip;
	bool lapic;
	bool pit;
	struct kvm_msr_list *index;
	struct kvm_msr_list *known;
	struct kvm_clock_data clock;
	struct kvm_pit_state2 pit2;
	struct kvm_irqchip chip[3];
	struct kvm_core_vm_extra extra;
	bool settled;
};

/* Of the guest, and not in KVM_GET_MSR_INDEX_LIST. */
static const u32 more_msrs[] = {
	/* MTRRs: variable, fixed, default type */
	0x200, 0x201, 0x202, 0x203, 0x204, 0x205, 0x206, 0x207,
	0x208, 0x209, 0x20a, 0x20b, 0x20c, 0x20d, 0x20e, 0x20f,
	0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c,
	0x26d, 0x26e, 0x26f, 0x2ff,
};

#define MCE_BANKS 32
#define MORE_MSRS (ARRAY_SIZE(more_msrs) + 4 * MCE_BANKS)

/* KVM takes up to 256 in one ioctl. */
#define MSR_BATCH 128

static int get(struct core_move *mv, struct core_file *cf, struct file *file,
	       unsigned int cmd, void *arg, const char *what)
{
	long r = core_replay_ioctl(file, cmd, arg);

	if (r < 0)
		return core_move_fail(mv, r, "vCPU %d: KVM_GET_%s", cf->id, what);
	return 0;
}

static int set(struct core_move *mv, struct core_file *cf, unsigned int cmd,
	       const void *arg, const char *what)
{
	long r = core_replay_ioctl(cf->vcpu->target, cmd, arg);

	if (r < 0)
		return core_move_fail(mv, r, "vCPU %d: KVM_SET_%s", cf->id, what);
	return 0;
}

static struct kvm_msr_list *list_msrs(struct core_instance *ci, u32 room)
{
	struct kvm_msr_list probe = { 0 }, *list;
	long r;

	r = core_replay_system(ci, KVM_GET_MSR_INDEX_LIST, &probe, sizeof(probe));
	if (r != -E2BIG)
		return ERR_PTR(r < 0 ? r : -EINVAL);
	list = kvzalloc(struct_size(list, indices, probe.nmsrs + room),
			GFP_KERNEL_ACCOUNT);
	if (!list)
		return ERR_PTR(-ENOMEM);
	list->nmsrs = probe.nmsrs;
	r = core_replay_system(ci, KVM_GET_MSR_INDEX_LIST, list,
			       struct_size(list, indices, probe.nmsrs));
	if (r < 0) {
		kvfree(list);
		return ERR_PTR(r);
	}
	return list;
}

static bool listed(const struct kvm_msr_list *list, u32 msr)
{
	u32 i;

	for (i = 0; i < list->nmsrs; i++)
		if (list->indices[i] == msr)
			return true;
	return false;
}

static long check_extension(struct file *vm, long cap)
{
	return core_replay_ioctl(vm, KVM_CHECK_EXTENSION, (const void *)cap);
}

static int prepare_vm(struct core_move *mv)
{
	struct core_vm_state *st;
	long there, here;
	u32 i;

	st = kvzalloc(sizeof(*st), GFP_KERNEL_ACCOUNT);
	if (!st)
		return core_move_fail(mv, -ENOMEM, "buffers");
	mv->state = st;

	there = check_extension(mv->vm_target, KVM_CAP_XSAVE2);
	here = check_extension(mv->vm_file, KVM_CAP_XSAVE2);
	if (here > there)
		return core_move_fail(mv, -EOPNOTSUPP,
				      "its XSAVE area has %ld bytes, the target's %ld",
				      here, there);
	st->xsave_size = max_t(long, there, sizeof(struct kvm_xsave));

	there = check_extension(mv->vm_target, KVM_CAP_NESTED_STATE);
	here = check_extension(mv->vm_file, KVM_CAP_NESTED_STATE);
	if (here > 0 && there <= 0)
		return core_move_fail(mv, -EOPNOTSUPP,
				      "the target has no nested virtualization");
	st->nested_size = max(here, 0l);

	st->known = list_msrs(mv->to, 0);
	if (IS_ERR(st->known)) {
		int r = PTR_ERR(st->known);

		st->known = NULL;
		return core_move_fail(mv, r, "MSR list of the target");
	}
	st->index = list_msrs(mv->from, MORE_MSRS);
	if (IS_ERR(st->index)) {
		int r = PTR_ERR(st->index);

		st->index = NULL;
		return core_move_fail(mv, r, "MSR list");
	}
	for (i = 0; i < ARRAY_SIZE(more_msrs); i++)
		st->index->indices[st->index->nmsrs++] = more_msrs[i];
	for (i = 0; i < 4 * MCE_BANKS; i++)
		st->index->indices[st->index->nmsrs++] = MSR_IA32_MC0_CTL + i;

	/* Both are there or not, as the record was replayed. */
	st->chip[0].chip_id = KVM_IRQCHIP_PIC_MASTER;
	st->irqchip = core_replay_ioctl(mv->vm_target, KVM_GET_IRQCHIP,
					&st->chip[0]) >= 0;
	st->pit = core_replay_ioctl(mv->vm_target, KVM_GET_PIT2,
				    &st->pit2) >= 0;
	return 0;
}

/* Which MSRs the new vCPU has, and what is in them. */
static int prepare_msrs(struct core_move *mv, struct core_file *cf,
			struct core_vcpu_state *st)
{
	struct core_vm_state *vm = mv->state;
	u32 i, n = vm->index->nmsrs;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} one = { .head.nmsrs = 1 };

	st->msrs = kvzalloc(struct_size(st->msrs, entries, n), GFP_KERNEL_ACCOUNT);
	st->batch = kvzalloc(struct_size(st->batch, entries, MSR_BATCH),
			     GFP_KERNEL_ACCOUNT);
	st->init = kvcalloc(n, sizeof(*st->init), GFP_KERNEL_ACCOUNT);
	st->strange = kvcalloc(n, sizeof(*st->strange), GFP_KERNEL_ACCOUNT);
	if (!st->msrs || !st->batch || !st->init || !st->strange)
		return core_move_fail(mv, -ENOMEM, "buffers");

	st->deadline = -1;
	for (i = 0; i < n; i++) {
		u32 msr = vm->index->indices[i];

		/* Goes over as an offset, which does not go on meanwhile. */
		if (msr == MSR_IA32_TSC)
			continue;
		one.e.index = msr;
		one.e.data = 0;
		if (core_replay_ioctl(cf->vcpu->target, KVM_GET_MSRS, &one) != 1) {
			if (!listed(vm->known, msr) &&
			    i < n - MORE_MSRS)
				st->strange[st->nstrange++] = msr;
			continue;
		}
		if (msr == MSR_IA32_TSC_DEADLINE)
			st->deadline = st->msrs->nmsrs;
		st->init[st->msrs->nmsrs] = one.e.data;
		st->msrs->entries[st->msrs->nmsrs++].index = msr;
	}
	return 0;
}

static struct kvm_device_attr tsc_attr(u64 *offset)
{
	return (struct kvm_device_attr) {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (unsigned long)offset,
	};
}

static int prepare_vcpu(struct core_move *mv, struct core_file *cf)
{
	struct core_vm_state *vm = mv->state;
	struct file *to = cf->vcpu->target;
	struct core_vcpu_state *st;
	struct kvm_device_attr attr;
	int r;

	st = kvzalloc(sizeof(*st), GFP_KERNEL_ACCOUNT);
	if (!st)
		return core_move_fail(mv, -ENOMEM, "buffers");
	cf->vcpu->state = st;
	st->xsave = kvzalloc(vm->xsave_size, GFP_KERNEL_ACCOUNT);
	if (!st->xsave)
		return core_move_fail(mv, -ENOMEM, "buffers");

	r = prepare_msrs(mv, cf, st);
	if (r)
		return r;
	r = get(mv, cf, to, KVM_GET_DEBUGREGS, &st->init_dr, "DEBUGREGS of the target");
	if (r)
		return r;
	r = get(mv, cf, to, KVM_GET_XCRS, &st->init_xcrs, "XCRS of the target");
	if (r)
		return r;
	attr = tsc_attr(&st->init_tsc);
	r = get(mv, cf, to, KVM_GET_DEVICE_ATTR, &attr, "TSC offset of the target");
	if (r)
		return r;
	vm->lapic = core_replay_ioctl(to, KVM_GET_LAPIC, &st->lapic) >= 0;

	if (!vm->nested_size)
		return 0;
	st->nested = kvzalloc(vm->nested_size, GFP_KERNEL_ACCOUNT);
	st->init_nested = kvzalloc(vm->nested_size, GFP_KERNEL_ACCOUNT);
	if (!st->nested || !st->init_nested)
		return core_move_fail(mv, -ENOMEM, "buffers");
	st->init_nested->size = vm->nested_size;
	return get(mv, cf, to, KVM_GET_NESTED_STATE, st->init_nested,
		   "NESTED_STATE of the target");
}

/**
 * core_state_prepare - everything that can be known before the VM stops
 * @mv: the handoff; target and pairs are complete
 *
 * Context: the handoff's thread, replaying; sleeps.
 * Return: 0 or an error, and core_move_fail() was told.
 */
int core_state_prepare(struct core_move *mv)
{
	struct core_pair *p;
	int r;

	r = prepare_vm(mv);
	list_for_each_entry(p, &mv->pairs, link) {
		struct core_file *cf = core_file_of(p->file);

		if (r)
			break;
		if (cf->kind == CORE_FILE_VCPU)
			r = prepare_vcpu(mv, cf);
	}
	return r;
}

/**
 * core_state_free - undo core_state_prepare(), complete or not
 * @mv: the handoff
 *
 * Context: process; sleeps.
 */
void core_state_free(struct core_move *mv)
{
	struct core_pair *p;

	list_for_each_entry(p, &mv->pairs, link) {
		struct core_file *cf = core_file_of(p->file);
		struct core_vcpu_state *st;

		if (cf->kind != CORE_FILE_VCPU || !cf->vcpu->state)
			continue;
		st = cf->vcpu->state;
		cf->vcpu->state = NULL;
		kvfree(st->xsave);
		kvfree(st->nested);
		kvfree(st->init_nested);
		kvfree(st->msrs);
		kvfree(st->batch);
		kvfree(st->init);
		kvfree(st->strange);
		kvfree(st);
	}
	if (mv->state) {
		kvfree(mv->state->index);
		kvfree(mv->state->known);
		kvfree(mv->state);
		mv->state = NULL;
	}
}

static int read_msrs(struct core_move *mv, struct core_file *cf,
		     struct core_vcpu_state *st)
{
	struct kvm_msr_entry *e = st->msrs->entries;
	u32 i, n;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} one = { .head.nmsrs = 1 };
	long r;

	for (i = 0; i < st->msrs->nmsrs; i += n) {
		n = min_t(u32, st->msrs->nmsrs - i, MSR_BATCH);
		st->batch->nmsrs = n;
		memcpy(st->batch->entries, e + i, n * sizeof(*e));
		r = core_replay_ioctl(cf->file, KVM_GET_MSRS, st->batch);
		if (r < 0)
			return core_move_fail(mv, r, "vCPU %d: KVM_GET_MSRS",
					      cf->id);
		if (r != n)
			return core_move_fail(mv, -EOPNOTSUPP,
					      "vCPU %d: the target only has MSR %#x",
					      cf->id, e[i + r].index);
		memcpy(e + i, st->batch->entries, n * sizeof(*e));
	}
	for (i = 0; i < st->nstrange; i++) {
		one.e.index = st->strange[i];
		one.e.data = 0;
		if (core_replay_ioctl(cf->file, KVM_GET_MSRS, &one) == 1 &&
		    one.e.data)
			return core_move_fail(mv, -EOPNOTSUPP,
					      "vCPU %d: the target does not know MSR %#x",
					      cf->id, one.e.index);
	}
	return 0;
}

static int get_xsave(struct core_move *mv, struct core_file *cf,
		     struct core_vcpu_state *st)
{
	size_t size = mv->state->xsave_size;
	long r = core_replay_buffer(cf->file, size > sizeof(struct kvm_xsave) ?
				    KVM_GET_XSAVE2 : KVM_GET_XSAVE, st->xsave, size,
				    NULL, 0);

	if (r < 0)
		return core_move_fail(mv, r, "vCPU %d: KVM_GET_XSAVE", cf->id);
	return 0;
}

static int set_xsave(struct core_move *mv, struct core_file *cf,
		     struct core_vcpu_state *st)
{
	long r = core_replay_buffer(cf->vcpu->target, KVM_SET_XSAVE, st->xsave,
				    mv->state->xsave_size, NULL, 0);

	if (r < 0)
		return core_move_fail(mv, r, "vCPU %d: KVM_SET_XSAVE", cf->id);
	return 0;
}

/* Reading first what reading changes: a pending INIT or SIPI rewrites CS:RIP. */
static int read_vcpu(struct core_move *mv, struct core_file *cf,
		     struct core_vcpu_state *st)
{
	struct core_vm_state *vm = mv->state;
	struct kvm_device_attr attr = tsc_attr(&st->tsc_offset);
	struct file *file = cf->file;
	int r;

	r = get(mv, cf, file, KVM_GET_MP_STATE, &st->mp, "MP_STATE");
	if (!r)
		r = get(mv, cf, file, KVM_GET_VCPU_EVENTS, &st->events,
			"VCPU_EVENTS");
	if (!r)
		r = get(mv, cf, file, KVM_GET_REGS, &st->regs, "REGS");
	if (!r)
		r = get(mv, cf, file, KVM_GET_SREGS2, &st->sregs, "SREGS2");
	if (!r)
		r = get_xsave(mv, cf, st);
	if (!r)
		r = get(mv, cf, file, KVM_GET_XCRS, &st->xcrs, "XCRS");
	if (!r)
		r = get(mv, cf, file, KVM_GET_DEBUGREGS, &st->dr, "DEBUGREGS");
	if (!r)
		r = get(mv, cf, file, KVM_GET_DEVICE_ATTR, &attr, "TSC offset");
	if (!r && vm->nested_size) {
		st->nested->size = vm->nested_size;
		r = get(mv, cf, file, KVM_GET_NESTED_STATE, st->nested,
			"NESTED_STATE");
	}
	if (!r)
		r = read_msrs(mv, cf, st);
	if (!r && vm->lapic)
		r = get(mv, cf, file, KVM_GET_LAPIC, &st->lapic, "LAPIC");
	return r;
}

/* An MSR that KVM shows but does not take is no loss where both have one value. */
static int refused(struct core_move *mv, struct core_file *cf,
		   const struct kvm_msr_entry *e)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} one = { .head.nmsrs = 1, .e.index = e->index };

	if (core_replay_ioctl(cf->vcpu->target, KVM_GET_MSRS, &one) == 1 &&
	    one.e.data == e->data)
		return 0;
	return core_move_fail(mv, -EOPNOTSUPP,
			      "vCPU %d: MSR %#x does not take %#llx", cf->id,
			      e->index, e->data);
}

static int write_msrs(struct core_move *mv, struct core_file *cf,
		      struct kvm_msrs *set)
{
	long n;
	int r;

	while (set->nmsrs) {
		n = core_replay_ioctl(cf->vcpu->target, KVM_SET_MSRS, set);
		if (n < 0)
			return core_move_fail(mv, n, "vCPU %d: KVM_SET_MSRS",
					      cf->id);
		if (n == set->nmsrs)
			break;
		r = refused(mv, cf, &set->entries[n]);
		if (r)
			return r;
		set->nmsrs -= n + 1;
		memmove(set->entries, set->entries + n + 1,
			set->nmsrs * sizeof(*set->entries));
	}
	return 0;
}

static int write_most_msrs(struct core_move *mv, struct core_file *cf,
			   struct core_vcpu_state *st)
{
	struct kvm_msrs *batch = st->batch;
	u32 i;
	int r;

	batch->nmsrs = 0;
	for (i = 0; i < st->msrs->nmsrs; i++) {
		if (i == st->deadline || st->msrs->entries[i].data == st->init[i])
			continue;
		batch->entries[batch->nmsrs++] = st->msrs->entries[i];
		if (batch->nmsrs < MSR_BATCH)
			continue;
		r = write_msrs(mv, cf, batch);
		if (r)
			return r;
		batch->nmsrs = 0;
	}
	return write_msrs(mv, cf, batch);
}

static int write_deadline(struct core_move *mv, struct core_file *cf,
			  struct core_vcpu_state *st)
{
	if (st->deadline < 0 || !st->msrs->entries[st->deadline].data)
		return 0;
	st->batch->nmsrs = 1;
	st->batch->entries[0] = st->msrs->entries[st->deadline];
	return write_msrs(mv, cf, st->batch);
}

/*
 * SREGS first: APIC base (which decides the format of the LAPIC's page), EFER
 * and CR4 decide what else is accepted. XCR0 before the XSAVE image that it gives
 * a meaning. The TSC before what is computed from it. The LVT's timer mode before
 * the deadline, and the LAPIC before that, since setting it stops its timer. The
 * registers after the nested state, which enters the guest's guest, and the
 * events last, since setting registers drops a pending exception.
 */
static int write_vcpu(struct core_move *mv, struct core_file *cf,
		      struct core_vcpu_state *st)
{
	struct core_vm_state *vm = mv->state;
	struct kvm_device_attr attr = tsc_attr(&st->tsc_offset);
	int r;

	r = set(mv, cf, KVM_SET_SREGS2, &st->sregs, "SREGS2");
	if (!r && memcmp(&st->xcrs, &st->init_xcrs, sizeof(st->xcrs)))
		r = set(mv, cf, KVM_SET_XCRS, &st->xcrs, "XCRS");
	if (!r)
		r = set_xsave(mv, cf, st);
	if (!r && memcmp(&st->dr, &st->init_dr, sizeof(st->dr)))
		r = set(mv, cf, KVM_SET_DEBUGREGS, &st->dr, "DEBUGREGS");
	if (!r && st->tsc_offset != st->init_tsc)
		r = set(mv, cf, KVM_SET_DEVICE_ATTR, &attr, "TSC offset");
	if (!r)
		r = write_most_msrs(mv, cf, st);
	if (!r && vm->lapic)
		r = set(mv, cf, KVM_SET_LAPIC, &st->lapic, "LAPIC");
	if (!r)
		r = write_deadline(mv, cf, st);
	if (!r && vm->nested_size &&
	    (st->nested->size != st->init_nested->size ||
	     memcmp(st->nested, st->init_nested, st->nested->size)))
		r = set(mv, cf, KVM_SET_NESTED_STATE, st->nested, "NESTED_STATE");
	if (!r)
		r = set(mv, cf, KVM_SET_REGS, &st->regs, "REGS");
	if (!r)
		r = set(mv, cf, KVM_SET_VCPU_EVENTS, &st->events, "VCPU_EVENTS");
	if (!r)
		r = set(mv, cf, KVM_SET_MP_STATE, &st->mp, "MP_STATE");
	return r;
}

/**
 * core_state_vcpu - a vCPU's state goes over
 * @mv: the handoff
 * @cf: the vCPU's descriptor; nobody else is in there
 *
 * Context: the vCPU's thread, parked, or the handoff's; replaying; sleeps.
 * Return: 0 or an error, and core_move_fail() was told.
 */
int core_state_vcpu(struct core_move *mv, struct core_file *cf)
{
	struct core_vcpu_state *st = cf->vcpu->state;
	int r;

	mv->from->inst->ops->vcpu_settle(cf->file->private_data, &st->extra);
	st->settled = true;
	r = read_vcpu(mv, cf, st);
	if (!r)
		r = write_vcpu(mv, cf, st);
	if (!r)
		mv->to->inst->ops->vcpu_adopt(cf->vcpu->target->private_data,
					      &st->extra);
	return r;
}

/**
 * core_state_go - the VM stays where it is, and its timers tick there
 * @mv: the handoff, at any point before its commit
 *
 * Context: the handoff's thread, replaying; sleeps.
 */
void core_state_go(struct core_move *mv)
{
	const struct kvm_core_ops *ops = mv->from->inst->ops;
	struct core_pair *p;

	list_for_each_entry(p, &mv->pairs, link) {
		struct core_file *cf = core_file_of(p->file);

		if (cf->kind != CORE_FILE_VCPU || !cf->vcpu->state->settled)
			continue;
		ops->vcpu_go(p->file->private_data);
		cf->vcpu->state->settled = false;
	}
	if (mv->state->settled)
		ops->vm_go(mv->vm_file->private_data, &mv->state->extra);
	mv->state->settled = false;
}

static int move_clock(struct core_move *mv)
{
	struct core_vm_state *st = mv->state;
	long r;

	memset(&st->clock, 0, sizeof(st->clock));
	r = core_replay_ioctl(mv->vm_file, KVM_GET_CLOCK, &st->clock);
	if (r < 0)
		return core_move_fail(mv, r, "KVM_GET_CLOCK");
	/* With the real time of the reading KVM adds what passes until here. */
	st->clock.flags &= KVM_CLOCK_REALTIME;
	r = core_replay_ioctl(mv->vm_target, KVM_SET_CLOCK, &st->clock);
	if (r < 0)
		return core_move_fail(mv, r, "KVM_SET_CLOCK");
	return 0;
}

/**
 * core_state_vm_first - kvmclock goes over, PICs, IOAPIC and PIT are read
 * @mv: the handoff
 *
 * kvmclock before the vCPUs, whose pages are of it. The chips are read before the
 * LAPICs: an interrupt that goes from the PIT over the IOAPIC to a LAPIC meanwhile
 * is then seen at least once, and an edge that is seen twice finds its bit set.
 *
 * Context: the handoff's thread, replaying; sleeps.
 * Return: 0 or an error, and core_move_fail() was told.
 */
int core_state_vm_first(struct core_move *mv)
{
	struct core_vm_state *st = mv->state;
	long r;
	int i;

	r = move_clock(mv);
	if (r)
		return r;
	if (st->pit) {
		mv->from->inst->ops->vm_settle(mv->vm_file->private_data,
					       &st->extra);
		st->settled = true;
		r = core_replay_ioctl(mv->vm_file, KVM_GET_PIT2, &st->pit2);
		if (r < 0)
			return core_move_fail(mv, r, "KVM_GET_PIT2");
	}
	for (i = 0; st->irqchip && i < ARRAY_SIZE(st->chip); i++) {
		st->chip[i].chip_id = i;
		r = core_replay_ioctl(mv->vm_file, KVM_GET_IRQCHIP, &st->chip[i]);
		if (r < 0)
			return core_move_fail(mv, r, "KVM_GET_IRQCHIP %d", i);
	}
	return 0;
}

/*
 * A line that userspace holds high may not be low in the new IOAPIC when another
 * source of the same line goes low. Edges are left alone: theirs has been.
 */
static int set_lines(struct core_move *mv)
{
	struct kvm_ioapic_state *io = &mv->state->chip[KVM_IRQCHIP_IOAPIC].chip.ioapic;
	int i;

	for_each_set_bit(i, mv->vm->lines, CORE_LINES) {
		struct kvm_irq_level line = { .irq = i, .level = 1 };
		long r;

		if (io->redirtbl[i].fields.trig_mode != IOAPIC_TRIGGER_LEVEL)
			continue;
		r = core_replay_ioctl(mv->vm_target, KVM_IRQ_LINE, &line);
		if (r < 0)
			return core_move_fail(mv, r, "KVM_IRQ_LINE %d", i);
	}
	return 0;
}

/**
 * core_state_vm_last - PICs, IOAPIC and PIT are written
 * @mv: the handoff
 *
 * Setting the IOAPIC sends its pending interrupts to LAPICs, which have to be
 * there, so this comes after the vCPUs. The PIT is last: it begins to tick.
 *
 * Context: the handoff's thread, replaying; sleeps.
 * Return: 0 or an error, and core_move_fail() was told.
 */
int core_state_vm_last(struct core_move *mv)
{
	struct core_vm_state *st = mv->state;
	long r;
	int i;

	for (i = 0; st->irqchip && i < ARRAY_SIZE(st->chip); i++) {
		r = core_replay_ioctl(mv->vm_target, KVM_SET_IRQCHIP,
				      &st->chip[i]);
		if (r < 0)
			return core_move_fail(mv, r, "KVM_SET_IRQCHIP %d", i);
	}
	if (st->irqchip) {
		r = set_lines(mv);
		if (r)
			return r;
	}
	if (st->pit) {
		r = core_replay_ioctl(mv->vm_target, KVM_SET_PIT2, &st->pit2);
		if (r < 0)
			return core_move_fail(mv, r, "KVM_SET_PIT2");
		mv->to->inst->ops->vm_adopt(mv->vm_target->private_data,
					    &st->extra);
	}
	return 0;
}
