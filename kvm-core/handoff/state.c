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
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/time64.h>
#include <asm/fpu/xstate.h>
#include <asm/processor.h>
#include <asm/tsc.h>

#include "core.h"
#include "private.h"
#include "state.h"

#define APIC_PAGE_LVT_TIMER	0x320
#define IOAPIC_TRIGGER_LEVEL	1

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

static long check_extension(struct file *vm, long cap)
{
	return core_replay_ioctl(vm, KVM_CHECK_EXTENSION, (const void *)cap);
}

static int prepare_vm(struct core_move *mv)
{
	struct core_vm_state *st;
	long there, here;
	int r;

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
	/* No vCPU's has more than all that the CPU has, whatever it was permitted. */
	if (boot_cpu_has(X86_FEATURE_XSAVE))
		st->xsave_size = max_t(size_t, st->xsave_size,
				       cpuid_ecx(XSTATE_CPUID));

	there = check_extension(mv->vm_target, KVM_CAP_NESTED_STATE);
	here = check_extension(mv->vm_file, KVM_CAP_NESTED_STATE);
	if (here > 0 && there <= 0)
		return core_move_fail(mv, -EOPNOTSUPP,
				      "the target has no nested virtualization");
	st->nested_size = max(here, 0l);

	r = core_msrs_vm(mv, st);
	if (r)
		return r;

	r = core_stats_prepare_vm(mv);
	if (r)
		return r;

	/* Both are there or not, as the record was replayed. */
	st->chip[0].chip_id = KVM_IRQCHIP_PIC_MASTER;
	st->irqchip = core_replay_ioctl(mv->vm_target, KVM_GET_IRQCHIP,
					&st->chip[0]) >= 0;
	st->pit = core_replay_ioctl(mv->vm_target, KVM_GET_PIT2,
				    &st->pit2) >= 0;
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

	r = core_msrs_prepare(mv, cf, st);
	if (!r)
		r = core_stats_prepare_vcpu(mv, cf);
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
		kvfree(st->asked);
		kvfree(st->init);
		kvfree(st->hidden);
		kvfree(st);
	}
	if (mv->state) {
		kvfree(mv->state->index);
		kvfree(mv->state->vm_stats);
		kvfree(mv->state->vcpu_stats);
		kvfree(mv->state);
		mv->state = NULL;
	}
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

static int read_vcpu(struct core_move *mv, struct core_file *cf,
		     struct core_vcpu_state *st)
{
	struct core_vm_state *vm = mv->state;
	struct kvm_device_attr attr = tsc_attr(&st->tsc_offset);
	struct file *file = cf->file;
	int r;

	r = get(mv, cf, file, KVM_GET_VCPU_EVENTS, &st->events, "VCPU_EVENTS");
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
		r = core_msrs_read(mv, cf, st);
	if (!r && vm->lapic)
		r = get(mv, cf, file, KVM_GET_LAPIC, &st->lapic, "LAPIC");
	return r;
}

/* KVM takes VMXON together with SMM only from a vCPU that is in SMM. */
static int write_nested(struct core_move *mv, struct core_file *cf,
			struct core_vcpu_state *st)
{
	struct kvm_vcpu_events smm = {
		.flags = KVM_VCPUEVENT_VALID_SMM,
		.smi = st->events.smi,
	};
	int r = 0;

	if (st->events.smi.smm)
		r = set(mv, cf, KVM_SET_VCPU_EVENTS, &smm, "VCPU_EVENTS");
	if (!r)
		r = set(mv, cf, KVM_SET_NESTED_STATE, st->nested, "NESTED_STATE");
	return r;
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
		r = core_msrs_write(mv, cf, st);
	if (!r && vm->lapic)
		r = set(mv, cf, KVM_SET_LAPIC, &st->lapic, "LAPIC");
	if (!r)
		r = core_msrs_write_deadline(mv, cf, st);
	if (!r && vm->nested_size &&
	    (st->nested->size != st->init_nested->size ||
	     memcmp(st->nested, st->init_nested, st->nested->size)))
		r = write_nested(mv, cf, st);
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

	/* First what reading changes: a pending INIT or SIPI resets the vCPU. */
	r = get(mv, cf, cf->file, KVM_GET_MP_STATE, &st->mp, "MP_STATE");
	if (r)
		return r;
	mv->from->inst->ops->vcpu_settle(cf->file->private_data, &st->extra);
	st->settled = true;
	/* What another thread waits is counted anew: the difference would go backwards. */
	if (mv->adopt)
		st->extra.last_steal = 0;
	if (st->extra.branches)
		return core_move_fail(mv, -EOPNOTSUPP,
				      "vCPU %d: its last branches are being recorded (LBR)",
				      cf->id);
	r = read_vcpu(mv, cf, st);
	if (!r)
		r = write_vcpu(mv, cf, st);
	if (r)
		return r;
	mv->to->inst->ops->vcpu_adopt(cf->vcpu->target->private_data, &st->extra);
	core_stats_vcpu(mv, cf);
	return 0;
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
	st->clock_by_tsc = st->clock.flags & KVM_CLOCK_HOST_TSC;
	/* With the real time of the reading KVM adds what passes until here, about. */
	st->clock.flags &= KVM_CLOCK_REALTIME;
	mv->to->inst->ops->vm_clock(mv->vm_target->private_data, &st->extra);
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

	mv->from->inst->ops->vm_settle(mv->vm_file->private_data, &st->extra);
	st->settled = true;
	r = move_clock(mv);
	if (r)
		return r;
	if (st->pit) {
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

/*
 * By the readings of the host's TSC that belong to those of the clocks: between them KVM
 * reads more clocks than one, some microseconds apart on a slow host.
 */
static s64 clock_ahead(struct core_move *mv)
{
	struct core_vm_state *st = mv->state;
	struct kvm_clock_data now = { 0 };

	if (!st->clock_by_tsc || core_replay_ioctl(mv->vm_target, KVM_GET_CLOCK, &now) < 0 ||
	    !(now.flags & KVM_CLOCK_HOST_TSC))
		return 0;
	return now.clock - st->clock.clock -
	       mul_u64_u32_div(now.host_tsc - st->clock.host_tsc, USEC_PER_SEC, tsc_khz);
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
	}
	st->extra.clock_ahead = clock_ahead(mv);
	mv->to->inst->ops->vm_adopt(mv->vm_target->private_data, &st->extra);
	core_stats_vm(mv);
	return 0;
}
