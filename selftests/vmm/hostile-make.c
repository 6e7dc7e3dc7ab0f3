// SPDX-License-Identifier: GPL-2.0-only
/* vmm-hostile: what is in the arguments of those ioctls that more than chance is needed for. */
#include <linux/dirty_ring.h>
#include <linux/kvm.h>
#include <linux/kvm_core.h>
#include <linux/vfio_keepalive.h>
#include <stdio.h>
#include <string.h>
#include <kselftest.h>
#include "vmm.h"
#include "hostile.h"

#define R	(&t->rng)

int some_fd(struct thread *t, enum kind kind)
{
	if (one_in(R, 12))
		kind = rnd(R, KINDS);
	return one_in(R, 60) ? (int)args_number(R) : HOSTILE_FD(kind, rnd(R, EACH));
}

static __u64 some_gpa(struct thread *t)
{
	static const __u64 some[] = { 0, 0, 0x1000, 1 << 20, 2 << 20, 0xfee00000, 0xfffff000 };

	return one_in(R, 8) ? args_number(R) & ~(PAGE - 1) : some[rnd(R, ARRAY_SIZE(some))];
}

static __u64 some_hva(struct thread *t, size_t *room)
{
	*room = PAGE << rnd(R, 9);
	switch (rnd(R, 8)) {
	case 0:
		*room = MISSING;
		return (unsigned long)t->w->missing;
	case 1:
		return args_number(R) & ~(PAGE - 1);
	case 2:
		return (unsigned long)t->ro;
	default:
		return (unsigned long)t->w->ram + rnd(R, (RAM - *room) / PAGE + 1) * PAGE;
	}
}

size_t make_slot(struct thread *t, void *buf)
{
	struct kvm_userspace_memory_region *s = buf;
	size_t room;

	/* Twice the same but for some: what KVM lets change in a slot that is there. */
	memset(s, 0, sizeof(*s));
	s->slot = rnd(R, 4) | (one_in(R, 6) ? 1 << 16 : 0);
	s->userspace_addr = some_hva(t, &room);
	s->guest_phys_addr = some_gpa(t);
	s->memory_size = one_in(R, 4) ? 0 : room;
	s->flags = rnd(R, 4);
	if (one_in(R, 20))
		s->slot = args_number(R);
	/* KVM's own bookkeeping of a slot takes memory. */
	if (one_in(R, 20))
		s->memory_size = args_number(R) % (256 << 20);
	if (one_in(R, 20))
		s->flags = args_number(R);
	return sizeof(*s);
}

size_t make_irqfd(struct thread *t, void *buf)
{
	struct kvm_irqfd *i = buf;

	memset(i, 0, sizeof(*i));
	i->fd = some_fd(t, K_EVENT);
	i->gsi = one_in(R, 8) ? args_number(R) : rnd(R, 26);
	i->flags = one_in(R, 8) ? args_number(R) : rnd(R, 4);
	i->resamplefd = some_fd(t, K_EVENT);
	return sizeof(*i);
}

size_t make_ioeventfd(struct thread *t, void *buf)
{
	static const __u32 lens[] = { 0, 1, 2, 4, 8, 3 };
	struct kvm_ioeventfd *i = buf;

	memset(i, 0, sizeof(*i));
	i->fd = some_fd(t, K_EVENT);
	i->addr = one_in(R, 4) ? args_number(R) : 0x10 + rnd(R, 4);
	i->len = lens[rnd(R, ARRAY_SIZE(lens))];
	i->flags = one_in(R, 8) ? args_number(R) : rnd(R, 8);
	i->datamatch = rnd(R, 2);
	return sizeof(*i);
}

size_t make_routing(struct thread *t, void *buf)
{
	struct kvm_irq_routing *q = buf;
	unsigned int i, n = rnd(R, 40);

	memset(q, 0, sizeof(*q) + n * sizeof(q->entries[0]));
	q->nr = one_in(R, 12) ? args_number(R) % 5000 : n;
	q->flags = one_in(R, 20);
	for (i = 0; i < n; i++) {
		struct kvm_irq_routing_entry *e = &q->entries[i];

		e->gsi = one_in(R, 12) ? args_number(R) : rnd(R, 26);
		e->type = 1 + rnd(R, one_in(R, 6) ? 6 : 2);
		e->flags = one_in(R, 20) ? args_number(R) : 0;
		if (e->type == KVM_IRQ_ROUTING_IRQCHIP) {
			e->u.irqchip.irqchip = rnd(R, 4);
			e->u.irqchip.pin = rnd(R, 25);
		} else {
			e->u.msi.address_lo = 0xfee00000 | rnd(R, 4) << 12;
			e->u.msi.data = rnd(R, 0x1000);
			e->u.msi.address_hi = one_in(R, 8) ? args_number(R) : 0;
		}
	}
	return sizeof(*q) + n * sizeof(q->entries[0]);
}

size_t make_cpuid(struct thread *t, void *buf)
{
	struct kvm_cpuid2 *c = buf;
	unsigned int i, n = rnd(R, 30);

	memset(c, 0, sizeof(*c) + n * sizeof(c->entries[0]));
	c->nent = one_in(R, 8) ? args_number(R) : n;
	for (i = 0; i < n; i++) {
		static const __u32 leaf[] = {
			0, 1, 4, 6, 7, 0xa, 0xb, 0xd, 0x12, 0x14, 0x40000000, 0x40000001,
			0x40000003, 0x40000082, 0x80000000, 0x80000001, 0x80000008, 0x8000000a,
		};

		c->entries[i].function = leaf[rnd(R, ARRAY_SIZE(leaf))];
		c->entries[i].index = rnd(R, 3);
		c->entries[i].flags = rnd(R, 2);
		c->entries[i].eax = args_number(R);
		c->entries[i].ebx = args_number(R);
		c->entries[i].ecx = args_number(R);
		c->entries[i].edx = args_number(R);
	}
	return sizeof(*c) + n * sizeof(c->entries[0]);
}

static const __u32 msr_list[] = {
	0x10, 0x1b, 0x3a, 0x3b, 0x48, 0x8b, 0xe1, 0x10a, 0x122, 0x140, 0x174, 0x175, 0x176, 0x179,
	0x17a, 0x17b, 0x186, 0x1a0, 0x1d9, 0x200, 0x250, 0x277, 0x2ff, 0x345, 0x38d, 0x38f, 0x400,
	0x404, 0x480, 0x48b, 0x4d0, 0x6e0, 0x808, 0x830, 0xda0, 0x4b564d00, 0x4b564d01, 0x4b564d02,
	0x4b564d03, 0x4b564d04, 0x4b564d05, 0x4b564d06, 0x4b564d07, 0x11, 0x12, 0x40000000,
	0x40000001, 0x40000002, 0x40000003, 0x40000020, 0x40000021, 0x40000070, 0x40000073,
	0x40000080, 0x40000083, 0x40000084, 0x400000b0, 0x400000b1, 0x40000100, 0x40000105,
	0x40000106, 0x40000118, 0xc0000080, 0xc0000081, 0xc0000082, 0xc0000100, 0xc0000101,
	0xc0000102, 0xc0000103, 0xc0000104, 0xc0010015, 0xc0010114, 0xc0010117, 0xc001011f,
	0xc0011029, 0xc0010200, 0xc0010201,
};

size_t make_msrs(struct thread *t, void *buf)
{
	struct kvm_msrs *m = buf;
	unsigned int i, n = rnd(R, 20);

	memset(m, 0, sizeof(*m));
	m->nmsrs = one_in(R, 12) ? args_number(R) : n;
	for (i = 0; i < n; i++) {
		m->entries[i].index = one_in(R, 20) ? args_number(R) :
				      msr_list[rnd(R, ARRAY_SIZE(msr_list))];
		m->entries[i].reserved = 0;
		m->entries[i].data = one_in(R, 2) ? args_number(R) : some_gpa(t) | rnd(R, 2);
	}
	return sizeof(*m) + n * sizeof(m->entries[0]);
}

size_t make_device(struct thread *t, void *buf)
{
	struct kvm_create_device *d = buf;

	d->type = one_in(R, 6) ? args_number(R) : KVM_DEV_TYPE_VFIO;
	d->fd = some_fd(t, K_DEV);
	d->flags = one_in(R, 3);
	return sizeof(*d);
}

size_t make_attr(struct thread *t, void *buf)
{
	static const __u32 groups[] = { 0, 0, 1, KVM_DEV_VFIO_GROUP, 2 };
	static int fds[THREADS * WORKERS];
	struct kvm_device_attr *a = buf;

	memset(a, 0, sizeof(*a));
	a->flags = one_in(R, 20) ? args_number(R) : 0;
	a->group = one_in(R, 8) ? args_number(R) : groups[rnd(R, ARRAY_SIZE(groups))];
	a->attr = one_in(R, 8) ? args_number(R) : rnd(R, 4);
	fds[t->id] = some_fd(t, rnd(R, KINDS));
	a->addr = one_in(R, 4) ? args_number(R) : (unsigned long)&fds[t->id];
	return sizeof(*a);
}

static void *some_room(struct thread *t)
{
	size_t room;

	switch (rnd(R, 6)) {
	case 0:
		return (void *)some_hva(t, &room);
	case 1:
		return (void *)args_number(R);
	case 2:
		return t->split + PAGE - rnd(R, 64);
	default:
		return t->plain + BIGGEST + rnd(R, 64);
	}
}

size_t make_log(struct thread *t, void *buf)
{
	struct kvm_dirty_log *l = buf;

	memset(l, 0, sizeof(*l));
	l->slot = one_in(R, 12) ? args_number(R) : rnd(R, 4);
	l->dirty_bitmap = some_room(t);
	return sizeof(*l);
}

size_t make_clear_log(struct thread *t, void *buf)
{
	struct kvm_clear_dirty_log *l = buf;

	memset(l, 0, sizeof(*l));
	l->slot = one_in(R, 12) ? args_number(R) : rnd(R, 4);
	l->num_pages = one_in(R, 3) ? args_number(R) : 64u << rnd(R, 4);
	l->first_page = one_in(R, 3) ? args_number(R) : 64u * rnd(R, 3);
	l->dirty_bitmap = some_room(t);
	return sizeof(*l);
}

size_t make_cap(struct thread *t, void *buf)
{
	static const __u32 caps[] = {
		KVM_CAP_X86_DISABLE_EXITS, KVM_CAP_X2APIC_API, KVM_CAP_SPLIT_IRQCHIP,
		KVM_CAP_HYPERV_SYNIC, KVM_CAP_HYPERV_SYNIC2, KVM_CAP_HYPERV_ENLIGHTENED_VMCS,
		KVM_CAP_HYPERV_DIRECT_TLBFLUSH, KVM_CAP_HYPERV_ENFORCE_CPUID,
		KVM_CAP_DISABLE_QUIRKS, KVM_CAP_DISABLE_QUIRKS2, KVM_CAP_MSR_PLATFORM_INFO,
		KVM_CAP_EXCEPTION_PAYLOAD, KVM_CAP_X86_USER_SPACE_MSR, KVM_CAP_X86_BUS_LOCK_EXIT,
		KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_CAP_HALT_POLL, KVM_CAP_DIRTY_LOG_RING,
		KVM_CAP_EXIT_HYPERCALL, KVM_CAP_EXIT_ON_EMULATION_FAILURE, KVM_CAP_PMU_CAPABILITY,
		KVM_CAP_MAX_VCPU_ID, KVM_CAP_X86_NOTIFY_VMEXIT, KVM_CAP_ENFORCE_PV_FEATURE_CPUID,
		KVM_CAP_X86_TRIPLE_FAULT_EVENT, KVM_CAP_VM_DISABLE_NX_HUGE_PAGES,
		KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM, KVM_CAP_VM_COPY_ENC_CONTEXT_FROM,
		KVM_CAP_SGX_ATTRIBUTE, DIRTY_RING_CAP_RESET,
	};
	struct kvm_enable_cap *c = buf;

	memset(c, 0, sizeof(*c));
	c->cap = one_in(R, 20) ? args_number(R) : caps[rnd(R, ARRAY_SIZE(caps))];
	c->flags = one_in(R, 20) ? 1 : 0;
	c->args[0] = one_in(R, 3) ? args_number(R) : 1u << rnd(R, 14);
	if (c->cap == KVM_CAP_X86_DISABLE_EXITS && t->w->halting)
		c->cap = KVM_CAP_HALT_POLL;
	/* A ring is memory of the kernel, the number of vCPUs too. */
	if (c->cap == KVM_CAP_HYPERV_ENLIGHTENED_VMCS || one_in(R, 6))
		c->args[0] = (unsigned long)some_room(t);
	c->args[1] = one_in(R, 4) ? args_number(R) : 0;
	return sizeof(*c);
}

size_t make_filter(struct thread *t, void *buf)
{
	struct kvm_msr_filter *f = buf;
	unsigned int i;

	memset(f, 0, sizeof(*f));
	f->flags = one_in(R, 8) ? args_number(R) : rnd(R, 2);
	for (i = 0; i < KVM_MSR_FILTER_MAX_RANGES && !one_in(R, 4); i++) {
		f->ranges[i].flags = one_in(R, 8) ? args_number(R) : 1 + rnd(R, 3);
		f->ranges[i].nmsrs = one_in(R, 6) ? args_number(R) : rnd(R, 256);
		f->ranges[i].base = msr_list[rnd(R, ARRAY_SIZE(msr_list))];
		f->ranges[i].bitmap = some_room(t);
	}
	return sizeof(*f);
}

size_t make_pmu_filter(struct thread *t, void *buf)
{
	struct kvm_pmu_event_filter *f = buf;
	unsigned int i, n = rnd(R, 8);

	memset(f, 0, sizeof(*f));
	f->action = rnd(R, 3);
	f->nevents = one_in(R, 6) ? args_number(R) : n;
	f->fixed_counter_bitmap = rnd(R, 8);
	f->flags = one_in(R, 4);
	for (i = 0; i < n; i++)
		f->events[i] = args_number(R);
	return sizeof(*f) + n * sizeof(f->events[0]);
}

/* The signal that ends a call is never among them. */
size_t make_mask(struct thread *t, void *buf)
{
	struct kvm_signal_mask *m = buf;
	__u64 set = args_number(R) & ~(1ull << (SIGUSR1 - 1));

	m->len = one_in(R, 6) ? args_number(R) : 8;
	memcpy(m->sigset, &set, sizeof(set));
	return sizeof(*m) + sizeof(set);
}

size_t make_zone(struct thread *t, void *buf)
{
	struct kvm_coalesced_mmio_zone *z = buf;

	memset(z, 0, sizeof(*z));
	z->addr = one_in(R, 3) ? args_number(R) : rnd(R, 4) * 0x10;
	z->size = one_in(R, 3) ? args_number(R) : 0x10;
	z->pio = rnd(R, 2);
	return sizeof(*z);
}

size_t make_line(struct thread *t, void *buf)
{
	struct kvm_irq_level *l = buf;

	l->irq = one_in(R, 8) ? args_number(R) : rnd(R, 26);
	l->level = rnd(R, 2);
	return sizeof(*l);
}

size_t make_irqchip(struct thread *t, void *buf)
{
	struct kvm_irqchip *c = buf;

	/* What is there was read first. */
	c->chip_id = one_in(R, 12) ? args_number(R) : rnd(R, 3);
	if (one_in(R, 2))
		c->chip.dummy[rnd(R, 256)] = args_number(R);
	return sizeof(*c);
}

size_t make_xen_attr(struct thread *t, void *buf)
{
	__u64 *a = buf;
	unsigned int i;

	for (i = 0; i < 8; i++)
		a[i] = one_in(R, 2) ? some_gpa(t) : args_number(R);
	((__u16 *)buf)[0] = rnd(R, 8);
	return 72;
}

size_t make_debug(struct thread *t, void *buf)
{
	struct kvm_guest_debug *d = buf;

	memset(d, 0, sizeof(*d));
	d->control = one_in(R, 6) ? args_number(R) : rnd(R, 4) | (__u32)rnd(R, 64) << 16;
	d->arch.debugreg[7] = args_number(R);
	d->arch.debugreg[0] = 0x1000 + rnd(R, 64);
	return sizeof(*d);
}

size_t make_event_inject(struct thread *t, void *buf)
{
	__u32 *v = buf;
	unsigned int i;

	for (i = 0; i < 8; i++)
		v[i] = one_in(R, 2) ? rnd(R, 256) : args_number(R);
	return 32;
}

size_t make_hv_eventfd(struct thread *t, void *buf)
{
	struct kvm_hyperv_eventfd *h = buf;

	memset(h, 0, sizeof(*h));
	h->conn_id = one_in(R, 6) ? args_number(R) : rnd(R, 4);
	h->fd = some_fd(t, K_EVENT);
	h->flags = one_in(R, 4) ? args_number(R) : 0;
	return sizeof(*h);
}

/* A number of entries, and room for some. */
size_t make_list(struct thread *t, void *buf)
{
	memset(buf, 0, BIGGEST);
	*(__u32 *)buf = one_in(R, 4) ? args_number(R) : rnd(R, 400);
	return BIGGEST;
}

size_t make_encrypt(struct thread *t, void *buf)
{
	__u64 *v = buf;

	v[0] = rnd(R, 24);
	v[1] = (unsigned long)some_room(t);
	v[2] = some_fd(t, K_EVENT);
	return 24;
}

static void some_instance(struct thread *t, char name[KVM_CORE_NAME_LEN])
{
	const char *node = t->w->nodes[rnd(R, t->w->node_count)];
	unsigned int i;

	memset(name, 0, KVM_CORE_NAME_LEN);
	snprintf(name, KVM_CORE_NAME_LEN, "%s", strrchr(node, '/') + 1);
	if (one_in(R, 12))
		for (i = 0; i < KVM_CORE_NAME_LEN; i++)
			name[i] = args_number(R);
}

size_t make_move(struct thread *t, void *buf)
{
	struct kvm_core_move *m = buf;

	memset(m, 0, sizeof(*m));
	m->vm = one_in(R, 4) ? args_number(R) : 0;
	m->fd = some_fd(t, K_VM);
	m->flags = one_in(R, 8) ? args_number(R) : rnd(R, 4);
	m->deadline_us = one_in(R, 8) ? args_number(R) : 1000u << rnd(R, 10);
	m->timeout_ms = one_in(R, 16) ? args_number(R) : 1 + rnd(R, 300);
	m->reserved = one_in(R, 24);
	some_instance(t, m->instance);
	return sizeof(*m);
}

/* Of a VM of new_vm(), which has one memslot and two vCPUs at most. */
size_t make_adopt(struct thread *t, void *buf)
{
	struct kvm_core_adopt *a = buf;
	unsigned int i;

	t->adopt_vm = rnd(R, EACH / 2);
	for (i = 0; i < ARRAY_SIZE(t->adopt_vcpu); i++)
		t->adopt_vcpu[i] = one_in(R, 16) ? some_fd(t, K_VCPU) :
						   HOSTILE_FD(K_VCPU, 2 * t->adopt_vm + i);
	memset(&t->adopt_slot, 0, sizeof(t->adopt_slot));
	t->adopt_slot.slot = one_in(R, 24) ? args_number(R) : 0;
	t->adopt_slot.size = one_in(R, 24) ? args_number(R) : 1 << 20;
	t->adopt_slot.userspace_addr = one_in(R, 16) ? args_number(R) :
				       (unsigned long)t->w->ram + PAGE * rnd(R, 4);
	memset(a, 0, sizeof(*a));
	make_move(t, &a->move);
	if (one_in(R, 3))
		memset(a->move.instance, 0, sizeof(a->move.instance));
	a->argsz = one_in(R, 24) ? args_number(R) : sizeof(*a);
	a->flags = one_in(R, 24);
	a->nr_vcpus = one_in(R, 16) ? args_number(R) : 1 + rnd(R, 2);
	a->nr_slots = one_in(R, 16) ? args_number(R) : 1;
	a->vcpus = (unsigned long)t->adopt_vcpu;
	a->slots = (unsigned long)&t->adopt_slot;
	a->exits = one_in(R, 2) ? (unsigned long)t->adopt_exit : 0;
	return sizeof(*a);
}

size_t make_core_name(struct thread *t, void *buf)
{
	memset(buf, 0, 128);
	some_instance(t, buf);
	return 128;
}

size_t make_notify(struct thread *t, void *buf)
{
	struct dirty_ring_notify *n = buf;

	n->fd = one_in(R, 8) ? -1 : some_fd(t, K_EVENT);
	n->level = one_in(R, 4) ? args_number(R) : 1 + rnd(R, 200);
	return sizeof(*n);
}

static __u32 some_size(struct thread *t, size_t real)
{
	return one_in(R, 16) ? args_number(R) : one_in(R, 16) ? real + 8 * rnd(R, 9) : real;
}

/* Tokens go by way of memory that all threads have. */
size_t make_ka_create(struct thread *t, void *buf)
{
	struct vfio_keepalive_create *c = buf;

	memset(c, 0, sizeof(*c));
	c->argsz = some_size(t, sizeof(*c));
	c->flags = one_in(R, 24);
	c->limit_ms = one_in(R, 8) ? args_number(R) : 1 + rnd(R, 2000);
	snprintf(c->name, sizeof(c->name), "s%u", rnd(R, 4));
	if (one_in(R, 12))
		c->name[rnd(R, sizeof(c->name))] = args_number(R);
	return sizeof(*c);
}

size_t make_ka_claim(struct thread *t, void *buf)
{
	struct vfio_keepalive_claim *c = buf;
	struct vfio_keepalive_create *made = (void *)t->plain;

	memset(c, 0, sizeof(*c));
	c->argsz = some_size(t, sizeof(*c));
	c->flags = one_in(R, 24);
	/* What a creation may have left there. */
	c->session = one_in(R, 4) ? rnd(R, 64) : made->session;
	memcpy(c->token, made->token, sizeof(c->token));
	return sizeof(*c);
}

size_t make_ka_add(struct thread *t, void *buf)
{
	static const enum kind kinds[] = { K_EVENT, K_MEM, K_MEM, K_VM, K_SESSION };
	struct vfio_keepalive_add *a = buf;

	memset(a, 0, sizeof(*a));
	a->argsz = some_size(t, sizeof(*a));
	a->flags = one_in(R, 4);
	a->kind = one_in(R, 6) ? args_number(R) : VFIO_KEEPALIVE_EVENTFD + rnd(R, 2);
	a->fd = some_fd(t, one_in(R, 4) ? kinds[rnd(R, ARRAY_SIZE(kinds))] :
			   a->kind == VFIO_KEEPALIVE_MEMORY ? K_MEM : K_EVENT);
	snprintf(a->name, sizeof(a->name), "i%u", rnd(R, 8));
	a->state = (unsigned long)some_room(t);
	a->state_size = one_in(R, 8) ? args_number(R) : rnd(R, 300);
	return sizeof(*a);
}

size_t make_ka_opaque(struct thread *t, void *buf)
{
	struct vfio_keepalive_opaque *o = buf;

	memset(o, 0, sizeof(*o));
	o->argsz = some_size(t, sizeof(*o));
	o->flags = one_in(R, 24);
	o->index = one_in(R, 3) ? VFIO_KEEPALIVE_SESSION : rnd(R, 8);
	o->size = one_in(R, 4) ? args_number(R) : rnd(R, 5000);
	o->state = (unsigned long)some_room(t);
	return sizeof(*o);
}

/* INFO, ITEM, RELEASE, REMOVE, GET_FD, CONFIRM: the size, flags, two numbers. */
size_t make_ka_index(struct thread *t, void *buf)
{
	static const __u32 sizes[] = {
		sizeof(struct vfio_keepalive_info), sizeof(struct vfio_keepalive_item),
		sizeof(struct vfio_keepalive_release), sizeof(struct vfio_keepalive_index),
		sizeof(struct vfio_keepalive_confirm), VFIO_KEEPALIVE_INFO_SIZE_VER0,
	};
	__u32 *v = buf;

	memset(buf, 0, 128);
	v[0] = one_in(R, 12) ? args_number(R) : sizes[rnd(R, ARRAY_SIZE(sizes))];
	v[1] = one_in(R, 4) ? rnd(R, 4) : 0;
	v[2] = rnd(R, 16);
	v[3] = one_in(R, 2) ? rnd(R, 8) : 0;
	snprintf((char *)buf + 32, 32, "i%u", rnd(R, 8));
	return 128;
}

void make_code(struct thread *t, unsigned char *at, size_t len)
{
	static const struct {
		unsigned char n, b[8];
	} some[] = {
		{ 1, { 0x40 } },			/* inc ax */
		{ 2, { 0x89, 0x07 } },			/* mov [bx], ax */
		{ 4, { 0x81, 0xc3, 0x00, 0x10 } },	/* add bx, 0x1000 */
		{ 2, { 0xe6, 0x10 } },			/* out 0x10, al */
		{ 2, { 0xe4, 0x10 } },			/* in al, 0x10 */
		{ 2, { 0x0f, 0xa2 } },			/* cpuid */
		{ 2, { 0x0f, 0x31 } },			/* rdtsc */
		{ 1, { 0xf4 } },			/* hlt */
		{ 1, { 0xfb } },			/* sti */
		{ 1, { 0xfa } },			/* cli */
		{ 3, { 0x0f, 0x01, 0xc1 } },		/* vmcall */
		{ 3, { 0x0f, 0x01, 0xd9 } },		/* vmmcall */
		{ 3, { 0x0f, 0x01, 0xd8 } },		/* vmrun */
		{ 2, { 0xcd, 0x20 } },			/* int 0x20 */
		{ 2, { 0x0f, 0x32 } },			/* rdmsr */
		{ 2, { 0x0f, 0x30 } },			/* wrmsr */
		{ 2, { 0x0f, 0x0b } },			/* ud2 */
		{ 2, { 0x0f, 0x09 } },			/* wbinvd */
		{ 3, { 0x0f, 0x22, 0xd8 } },		/* mov cr3, eax */
		{ 3, { 0x0f, 0x22, 0xe0 } },		/* mov cr4, eax */
		{ 2, { 0xf3, 0x90 } },			/* pause */
		{ 2, { 0xf3, 0x6c } },			/* rep insb */
		{ 2, { 0xe2, 0xfe } },			/* loop . */
	};
	size_t i = 0, back;

	if (t->w->halting) {
		at[i++] = 0x0f;			/* cpuid, whose exit comes with interrupts */
		at[i++] = 0xa2;
	}
	while (i + 18 < len && !one_in(R, 40)) {
		unsigned int k = rnd(R, ARRAY_SIZE(some) + 2);

		if (k == ARRAY_SIZE(some)) {
			const __u32 msr = msr_list[rnd(R, ARRAY_SIZE(msr_list))];

			at[i++] = 0x66;		/* mov ecx, msr */
			at[i++] = 0xb9;
			memcpy(at + i, &msr, sizeof(msr));
			i += sizeof(msr);
		} else if (k > ARRAY_SIZE(some)) {
			at[i] = rnd(R, 256);
			if (t->w->halting)
				at[i] = HALT;
			i++;
		} else {
			memcpy(at + i, some[k].b, some[k].n);
			i += some[k].n;
		}
	}
	/* One that never leaves by itself is there until the signal. */
	if (!one_in(R, 4)) {
		at[i++] = 0xe6;			/* out 0x10, al */
		at[i++] = 0x10;
	}
	back = -(i + 3);
	at[i] = 0xe9;
	at[i + 1] = back;
	at[i + 2] = back >> 8;
}
