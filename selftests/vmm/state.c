// SPDX-License-Identifier: GPL-2.0-only
/*
 * Saving and restoring the dynamic state of a stopped VM. The order matters in
 * both directions; Documentation/reference-vmm.rst has the reasons in full.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include "vmm.h"

#define MSR_TSC			0x10
#define MSR_TSC_DEADLINE	0x6e0
#define APIC_TMICT		0x380

static size_t padded(size_t len)
{
	return (len + 7) & ~7ul;
}

/* Room for a record; its payload is zeroed. NULL when memory is out. */
static void *state_add(struct vm_state *st, __u64 ioc, int cpu, __u32 index,
		       size_t len)
{
	size_t need = st->len + sizeof(struct state_rec) + padded(len);
	struct state_rec *rec;

	if (need > st->room) {
		size_t room = st->room ? st->room * 2 : 65536;
		char *buf;

		while (room < need)
			room *= 2;
		buf = realloc(st->buf, room);
		if (!buf) {
			vmm_error(ENOMEM, "state of %zu bytes", need);
			return NULL;
		}
		st->buf = buf;
		st->room = room;
	}
	rec = (struct state_rec *)(st->buf + st->len);
	memset(rec, 0, sizeof(*rec) + padded(len));
	rec->ioctl = ioc;
	rec->cpu = cpu;
	rec->index = index;
	rec->len = (__u32)len;
	st->len = need;
	return rec + 1;
}

void *state_find(const struct vm_state *st, __u64 ioc, int cpu, __u32 index,
		 __u32 *len)
{
	size_t at = 0;

	while (at + sizeof(struct state_rec) <= st->len) {
		struct state_rec *rec = (struct state_rec *)(st->buf + at);

		if (padded(rec->len) > st->len - at - sizeof(*rec))
			break;
		if (rec->ioctl == ioc && rec->cpu == cpu && rec->index == index) {
			if (len)
				*len = rec->len;
			return rec + 1;
		}
		at += sizeof(*rec) + padded(rec->len);
	}
	return NULL;
}

void state_drop(struct vm_state *st, __u64 ioc)
{
	size_t at = 0;

	while (at < st->len) {
		struct state_rec *rec = (struct state_rec *)(st->buf + at);
		size_t size = sizeof(*rec) + padded(rec->len);

		if (rec->ioctl == ioc) {
			memmove(rec, (char *)rec + size, st->len - at - size);
			st->len -= size;
		} else {
			at += size;
		}
	}
}

void state_free(struct vm_state *st)
{
	free(st->buf);
	memset(st, 0, sizeof(*st));
}

/* One KVM_GET_* of a vCPU into a record of the KVM_SET_* that undoes it. */
static int get(struct vcpu *v, struct vm_state *st, __u64 get_ioc, __u64 set_ioc,
	       size_t len, const char *name)
{
	void *p = state_add(st, set_ioc, v->id, 0, len);

	if (!p)
		return -ENOMEM;
	if (ioctl(v->fd, get_ioc, p))
		return vmm_error(errno, "%s: vCPU %d: KVM_GET_%s", v->vm->path,
				 v->id, name);
	return 0;
}

/*
 * Registers that belong to the guest and that KVM leaves out of its index list:
 * the MTRRs.
 */
static const __u32 more_msrs[] = {
	0x200, 0x201, 0x202, 0x203, 0x204, 0x205, 0x206, 0x207,
	0x208, 0x209, 0x20a, 0x20b, 0x20c, 0x20d, 0x20e, 0x20f,
	0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c,
	0x26d, 0x26e, 0x26f, 0x2ff,
};

/*
 * Of Hyper-V's SynIC, of which the list names two. The reference TSC page, which is in the
 * list, comes before the timers that go by it.
 */
static const __u32 synic_msrs[] = {
	0x40000082, 0x40000083,
	0x40000090, 0x40000091, 0x40000092, 0x40000093, 0x40000094, 0x40000095, 0x40000096,
	0x40000097, 0x40000098, 0x40000099, 0x4000009a, 0x4000009b, 0x4000009c, 0x4000009d,
	0x4000009e, 0x4000009f,
	0x400000b1, 0x400000b2, 0x400000b3, 0x400000b4, 0x400000b5, 0x400000b6, 0x400000b7,
};

/*
 * The index list names what KVM knows, not what this vCPU model has, and
 * KVM_GET_MSRS stops at the first that it refuses. So each is tried once.
 */
static int list_msrs(struct vm *vm)
{
	struct kvm_msr_list probe = { 0 }, *list;
	__u32 i, n = 0;

	if (vm->msrs)
		return 0;
	if (!ioctl(vm->kvm, KVM_GET_MSR_INDEX_LIST, &probe) || errno != E2BIG)
		return vmm_error(errno, "%s: KVM_GET_MSR_INDEX_LIST", vm->path);
	list = calloc(1, sizeof(*list) + sizeof(more_msrs) + sizeof(synic_msrs) +
		      probe.nmsrs * sizeof(list->indices[0]));
	if (!list)
		return vmm_error(ENOMEM, "MSR list");
	list->nmsrs = probe.nmsrs;
	if (ioctl(vm->kvm, KVM_GET_MSR_INDEX_LIST, list)) {
		free(list);
		return vmm_error(errno, "%s: KVM_GET_MSR_INDEX_LIST", vm->path);
	}
	for (i = 0; i < ARRAY_SIZE(more_msrs); i++)
		list->indices[list->nmsrs++] = more_msrs[i];
	for (i = 0; guest_needs(vm->shape.guest) & GN_HYPERV && i < ARRAY_SIZE(synic_msrs); i++)
		list->indices[list->nmsrs++] = synic_msrs[i];
	for (i = 0; i < list->nmsrs; i++) {
		struct {
			struct kvm_msrs head;
			struct kvm_msr_entry e;
		} one = { .head.nmsrs = 1, .e.index = list->indices[i] };

		if (ioctl(vm->vcpu[0].fd, KVM_GET_MSRS, &one) == 1)
			list->indices[n++] = list->indices[i];
	}
	list->nmsrs = n;
	vm->msrs = list;
	return 0;
}

static int get_msrs(struct vcpu *v, struct vm_state *st)
{
	struct kvm_msr_list *list = v->vm->msrs;
	struct kvm_msrs *m;
	__u32 i;
	int n;

	m = state_add(st, KVM_SET_MSRS, v->id, 0,
		      sizeof(*m) + list->nmsrs * sizeof(m->entries[0]));
	if (!m)
		return -ENOMEM;
	m->nmsrs = list->nmsrs;
	for (i = 0; i < m->nmsrs; i++)
		m->entries[i].index = list->indices[i];
	n = ioctl(v->fd, KVM_GET_MSRS, m);
	if (n < 0)
		return vmm_error(errno, "%s: KVM_GET_MSRS", v->vm->path);
	if ((__u32)n != m->nmsrs)
		return vmm_error(EIO, "%s: vCPU %d: MSR %#x cannot be read",
				 v->vm->path, v->id, m->entries[n].index);
	return 0;
}

static int get_cpuid(struct vcpu *v, struct vm_state *st)
{
	struct kvm_cpuid2 *c, *rec;
	int ret = 0;
	__u32 n;

	for (n = 64;; n *= 2) {
		c = calloc(1, sizeof(*c) + n * sizeof(c->entries[0]));
		if (!c)
			return vmm_error(ENOMEM, "CPUID");
		c->nent = n;
		if (!ioctl(v->fd, KVM_GET_CPUID2, c))
			break;
		free(c);
		if (errno != E2BIG)
			return vmm_error(errno, "%s: KVM_GET_CPUID2", v->vm->path);
	}
	rec = state_add(st, KVM_SET_CPUID2, v->id, 0,
			sizeof(*c) + c->nent * sizeof(c->entries[0]));
	if (rec)
		memcpy(rec, c, sizeof(*c) + c->nent * sizeof(c->entries[0]));
	else
		ret = -ENOMEM;
	free(c);
	return ret;
}

static int get_nested(struct vcpu *v, struct vm_state *st)
{
	int size = ioctl(v->vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_NESTED_STATE);
	struct kvm_nested_state *ns;

	if (size <= (int)sizeof(*ns))
		return 0;
	ns = state_add(st, KVM_SET_NESTED_STATE, v->id, 0, size);
	if (!ns)
		return -ENOMEM;
	ns->size = size;
	if (ioctl(v->fd, KVM_GET_NESTED_STATE, ns))
		return vmm_error(errno, "%s: KVM_GET_NESTED_STATE", v->vm->path);
	return 0;
}

/*
 * The offset is exact. The TSC's value is not: it is already past when it is
 * written, so it serves only where KVM has no attribute for the offset.
 */
static struct kvm_device_attr tsc_offset(__u64 *offset)
{
	return (struct kvm_device_attr) {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (unsigned long)offset,
	};
}

static int get_tsc_offset(struct vcpu *v, struct vm_state *st)
{
	__u64 offset = 0, *p;
	struct kvm_device_attr a = tsc_offset(&offset);

	if (ioctl(v->fd, KVM_HAS_DEVICE_ATTR, &a))
		return 0;
	if (ioctl(v->fd, KVM_GET_DEVICE_ATTR, &a))
		return vmm_error(errno, "%s: TSC offset", v->vm->path);
	p = state_add(st, KVM_SET_DEVICE_ATTR, v->id, 0, sizeof(offset));
	if (!p)
		return -ENOMEM;
	*p = offset;
	return 0;
}

/*
 * An expired one-shot timer keeps its initial count, and KVM_SET_LAPIC then
 * takes it for one whose tick is still owed. When vcpu.c has seen that the tick
 * is in the IRR or delivered, the count is dropped: a count that reads as 0 is
 * less harm than a second tick.
 */
static int get_lapic(struct vcpu *v, struct vm_state *st)
{
	struct kvm_lapic_state *l;
	int ret;

	ret = get(v, st, KVM_GET_LAPIC, KVM_SET_LAPIC, sizeof(*l), "LAPIC");
	if (ret || !v->shot_done)
		return ret;
	l = state_find(st, KVM_SET_LAPIC, v->id, 0, NULL);
	memset(l->regs + APIC_TMICT, 0, 4);
	return 0;
}

static int save_vcpu(struct vcpu *v, struct vm_state *st)
{
	struct vm *vm = v->vm;
	bool sregs2 = ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_SREGS2) > 0;
	bool xsave2 = ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2) > 0;
	int ret;

	/*
	 * First what reading changes: KVM_GET_MP_STATE takes a pending INIT or
	 * SIPI, which rewrites CS and RIP.
	 */
	ret = get(v, st, KVM_GET_MP_STATE, KVM_SET_MP_STATE,
		  sizeof(struct kvm_mp_state), "MP_STATE");
	if (!ret)
		ret = get(v, st, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS,
			  sizeof(struct kvm_vcpu_events), "VCPU_EVENTS");
	if (!ret)
		ret = get_cpuid(v, st);
	if (!ret)
		ret = get(v, st, KVM_GET_REGS, KVM_SET_REGS,
			  sizeof(struct kvm_regs), "REGS");
	if (!ret && sregs2)
		ret = get(v, st, KVM_GET_SREGS2, KVM_SET_SREGS2,
			  sizeof(struct kvm_sregs2), "SREGS2");
	else if (!ret)
		ret = get(v, st, KVM_GET_SREGS, KVM_SET_SREGS,
			  sizeof(struct kvm_sregs), "SREGS");
	if (!ret)
		ret = get(v, st, xsave2 ? KVM_GET_XSAVE2 : KVM_GET_XSAVE,
			  KVM_SET_XSAVE, vm->xsave_size, "XSAVE");
	if (!ret && ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_XCRS) > 0)
		ret = get(v, st, KVM_GET_XCRS, KVM_SET_XCRS,
			  sizeof(struct kvm_xcrs), "XCRS");
	if (!ret)
		ret = get(v, st, KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS,
			  sizeof(struct kvm_debugregs), "DEBUGREGS");
	if (!ret)
		ret = get_tsc_offset(v, st);
	if (!ret)
		ret = get_nested(v, st);
	/*
	 * A deadline stays in its MSR until KVM has turned its expiry into a bit of
	 * the IRR, which it does only within KVM_RUN. So one that expires now is
	 * saved as a deadline in the past, and is one tick on the target.
	 */
	if (!ret)
		ret = get_msrs(v, st);
	if (!ret)
		ret = get_lapic(v, st);
	return ret;
}

int vm_save(struct vm *vm, struct vm_state *st)
{
	struct kvm_clock_data *clock;
	struct kvm_irqchip *chip;
	struct kvm_pit_state2 *pit;
	unsigned int i;
	int ret;

	st->len = 0;
	ret = list_msrs(vm);
	if (ret)
		return ret;
	/*
	 * The chips before the LAPICs: an interrupt that moves from the PIT over
	 * PIC or IOAPIC to a LAPIC while this runs is then seen at least once,
	 * and an edge that is seen twice finds its IRR bit set.
	 */
	if (!vm->shape.split) {
		pit = state_add(st, KVM_SET_PIT2, -1, 0, sizeof(*pit));
		if (!pit)
			return -ENOMEM;
		if (ioctl(vm->fd, KVM_GET_PIT2, pit))
			return vmm_error(errno, "%s: KVM_GET_PIT2", vm->path);
		for (i = KVM_IRQCHIP_PIC_MASTER; i <= KVM_IRQCHIP_IOAPIC; i++) {
			chip = state_add(st, KVM_SET_IRQCHIP, -1, i, sizeof(*chip));
			if (!chip)
				return -ENOMEM;
			chip->chip_id = i;
			if (ioctl(vm->fd, KVM_GET_IRQCHIP, chip))
				return vmm_error(errno, "%s: KVM_GET_IRQCHIP %u",
						 vm->path, i);
		}
	}
	for (i = 0; i < vm->shape.cpus; i++) {
		ret = save_vcpu(&vm->vcpu[i], st);
		if (ret)
			return ret;
	}
	clock = state_add(st, KVM_SET_CLOCK, -1, 0, sizeof(*clock));
	if (!clock)
		return -ENOMEM;
	if (ioctl(vm->fd, KVM_GET_CLOCK, clock))
		return vmm_error(errno, "%s: KVM_GET_CLOCK", vm->path);
	/*
	 * With the real time of the reading KVM adds what passes until the
	 * clock is set. The other flags describe, they cannot be set.
	 */
	clock->flags &= KVM_CLOCK_REALTIME;
	return 0;
}

static int set(struct vcpu *v, const struct vm_state *st, __u64 ioc,
	       const char *name)
{
	void *p = state_find(st, ioc, v->id, 0, NULL);

	if (p && ioctl(v->fd, ioc, p))
		return vmm_error(errno, "%s: vCPU %d: KVM_SET_%s", v->vm->path,
				 v->id, name);
	return 0;
}

/*
 * An MSR that KVM shows but does not take is no loss where the target has the
 * same value anyway.
 */
static int set_msr_hard(struct vcpu *v, const struct kvm_msr_entry *e)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} one = { .head.nmsrs = 1, .e.index = e->index };

	if (ioctl(v->fd, KVM_GET_MSRS, &one) == 1 && one.e.data == e->data)
		return 0;
	return vmm_error(EIO, "%s: vCPU %d: MSR %#x does not take %#llx", v->vm->path,
			 v->id, e->index, e->data);
}

/* All MSRs but those that come before and after, see restore_vcpu(). */
static int set_msrs(struct vcpu *v, const struct vm_state *st, bool deadline)
{
	const struct kvm_msrs *m = state_find(st, KVM_SET_MSRS, v->id, 0, NULL);
	bool has_offset = state_find(st, KVM_SET_DEVICE_ATTR, v->id, 0, NULL);
	struct kvm_msrs *part;
	__u32 i;
	int n, ret = 0;

	if (!m)
		return 0;
	part = calloc(1, sizeof(*m) + m->nmsrs * sizeof(m->entries[0]));
	if (!part)
		return vmm_error(ENOMEM, "MSRs");
	for (i = 0; i < m->nmsrs; i++) {
		bool late = m->entries[i].index == MSR_TSC_DEADLINE;

		if (late != deadline)
			continue;
		if (m->entries[i].index == MSR_TSC && has_offset)
			continue;
		part->entries[part->nmsrs++] = m->entries[i];
	}
	while (part->nmsrs) {
		n = ioctl(v->fd, KVM_SET_MSRS, part);
		if (n < 0)
			ret = vmm_error(errno, "%s: KVM_SET_MSRS", v->vm->path);
		if (n < 0 || (__u32)n == part->nmsrs)
			break;
		ret = set_msr_hard(v, &part->entries[n]);
		if (ret)
			break;
		part->nmsrs -= n + 1;
		memmove(part->entries, part->entries + n + 1,
			part->nmsrs * sizeof(part->entries[0]));
	}
	free(part);
	return ret;
}

static int set_tsc_offset(struct vcpu *v, const struct vm_state *st)
{
	__u64 *p = state_find(st, KVM_SET_DEVICE_ATTR, v->id, 0, NULL);
	struct kvm_device_attr a = tsc_offset(p);

	if (p && ioctl(v->fd, KVM_SET_DEVICE_ATTR, &a))
		return vmm_error(errno, "%s: TSC offset", v->vm->path);
	return 0;
}

/* What has to be there before anything else can be accepted. */
static int restore_vcpu_base(struct vcpu *v, const struct vm_state *st)
{
	int ret;

	/* Decides which MSRs, CR4 bits and XSAVE components exist. */
	ret = set(v, st, KVM_SET_CPUID2, "CPUID2");
	/*
	 * APIC base (x2APIC decides the format of the LAPIC page), EFER and CR4
	 * (OSXSAVE for XCR0, VMXE and SVME for nested state).
	 */
	if (!ret)
		ret = set(v, st, KVM_SET_SREGS2, "SREGS2");
	if (!ret)
		ret = set(v, st, KVM_SET_SREGS, "SREGS");
	/* XCR0 before the XSAVE image that it gives a meaning. */
	if (!ret)
		ret = set(v, st, KVM_SET_XCRS, "XCRS");
	if (!ret)
		ret = set(v, st, KVM_SET_XSAVE, "XSAVE");
	if (!ret)
		ret = set(v, st, KVM_SET_REGS, "REGS");
	if (!ret)
		ret = set(v, st, KVM_SET_DEBUGREGS, "DEBUGREGS");
	/* Before whatever is computed from the TSC: kvmclock, the deadline. */
	if (!ret)
		ret = set_tsc_offset(v, st);
	return ret;
}

static int restore_vcpu_rest(struct vcpu *v, const struct vm_state *st)
{
	int ret;

	ret = set_msrs(v, st, false);
	/*
	 * The LVT's timer mode decides whether the deadline MSR can be written,
	 * and setting the LAPIC stops its timer.
	 */
	if (!ret)
		ret = set(v, st, KVM_SET_LAPIC, "LAPIC");
	if (!ret)
		ret = set_msrs(v, st, true);
	if (!ret)
		ret = set(v, st, KVM_SET_NESTED_STATE, "NESTED_STATE");
	return ret;
}

/*
 * Last, as others before touch them: setting registers drops a pending
 * exception, and an interrupt that a chip raises wakes a halted vCPU.
 */
static int restore_vcpu_events(struct vcpu *v, const struct vm_state *st)
{
	int ret = set(v, st, KVM_SET_VCPU_EVENTS, "VCPU_EVENTS");

	if (!ret)
		ret = set(v, st, KVM_SET_MP_STATE, "MP_STATE");
	return ret;
}

int vm_restore(struct vm *vm, const struct vm_state *st)
{
	unsigned int i;
	void *p;
	int ret = 0;

	for (i = 0; !ret && i < vm->shape.cpus; i++)
		ret = restore_vcpu_base(&vm->vcpu[i], st);
	if (ret)
		return ret;
	/*
	 * All TSCs are set, so KVM can see that they match and keep its master
	 * clock; the kvmclock MSRs come after, so that the first page a vCPU
	 * gets is already of this clock.
	 */
	p = state_find(st, KVM_SET_CLOCK, -1, 0, NULL);
	if (p && ioctl(vm->fd, KVM_SET_CLOCK, p))
		return vmm_error(errno, "%s: KVM_SET_CLOCK", vm->path);
	for (i = 0; !ret && i < vm->shape.cpus; i++)
		ret = restore_vcpu_rest(&vm->vcpu[i], st);
	if (ret)
		return ret;
	/*
	 * Setting the IOAPIC sends its pending interrupts to LAPICs, which have
	 * to be there. The PIT is last: it starts to tick into all of them.
	 */
	for (i = KVM_IRQCHIP_PIC_MASTER; i <= KVM_IRQCHIP_IOAPIC; i++) {
		p = state_find(st, KVM_SET_IRQCHIP, -1, i, NULL);
		if (p && ioctl(vm->fd, KVM_SET_IRQCHIP, p))
			return vmm_error(errno, "%s: KVM_SET_IRQCHIP %u", vm->path, i);
	}
	p = state_find(st, KVM_SET_PIT2, -1, 0, NULL);
	if (p && ioctl(vm->fd, KVM_SET_PIT2, p))
		return vmm_error(errno, "%s: KVM_SET_PIT2", vm->path);
	for (i = 0; !ret && i < vm->shape.cpus; i++)
		ret = restore_vcpu_events(&vm->vcpu[i], st);
	return ret;
}
