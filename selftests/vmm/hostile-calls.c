// SPDX-License-Identifier: GPL-2.0-only
/* vmm-hostile: the ioctls of KVM, kvm-core, dirty-ring and vfio-keepalive. */
#include <errno.h>
#include <fcntl.h>
#include <linux/dirty_ring.h>
#include <linux/kvm.h>
#include <linux/kvm_core.h>
#include <linux/vfio_keepalive.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "vmm.h"
#include "hostile.h"

enum how {
	NONE,		/* no argument, or it is ignored */
	VALUE,		/* a number */
	FD,		/* a descriptor of the kind in len */
	MEMORY,		/* by make(), or else chance */
};

struct one {
	unsigned long	req;
	enum kind	on;
	enum how	how;
	unsigned int	len;
	make_fn		*make;
	unsigned long	get;	/* what is set is mostly what was read, and little else */
	enum kind	makes;
};

#define N(on, req)		{ req, on, NONE, 0, NULL, 0, K_NONE }
#define V(on, req)		{ req, on, VALUE, 0, NULL, 0, K_NONE }
#define F(on, req, of)		{ req, on, FD, of, NULL, 0, K_NONE }
#define M(on, req, make)	{ req, on, MEMORY, 0, make, 0, K_NONE }
#define B(on, req, len)		{ req, on, MEMORY, len, NULL, 0, K_NONE }
#define G(on, req, type)	B(on, req, sizeof(struct type))
#define S(on, req, get, type)	{ req, on, MEMORY, sizeof(struct type), NULL, get, K_NONE }
#define NEW(on, req, how, make, kind) { req, on, how, 0, make, 0, kind }

static const struct one calls[] = {
	N(K_KVM, KVM_GET_API_VERSION),
	NEW(K_KVM, KVM_CREATE_VM, NONE, NULL, K_VM),
	V(K_KVM, KVM_CREATE_VM),
	M(K_KVM, KVM_GET_MSR_INDEX_LIST, make_list),
	M(K_KVM, KVM_GET_MSR_FEATURE_INDEX_LIST, make_list),
	V(K_KVM, KVM_CHECK_EXTENSION),
	N(K_KVM, KVM_GET_VCPU_MMAP_SIZE),
	M(K_KVM, KVM_GET_SUPPORTED_CPUID, make_list),
	M(K_KVM, KVM_GET_EMULATED_CPUID, make_list),
	M(K_KVM, KVM_GET_SUPPORTED_HV_CPUID, make_list),
	M(K_KVM, KVM_GET_MSRS, make_msrs),
	B(K_KVM, KVM_X86_GET_MCE_CAP_SUPPORTED, 8),
	M(K_KVM, KVM_HAS_DEVICE_ATTR, make_attr),
	M(K_KVM, KVM_GET_DEVICE_ATTR, make_attr),

	NEW(K_VM, KVM_CREATE_VCPU, VALUE, NULL, K_VCPU),
	V(K_VM, KVM_CHECK_EXTENSION),
	M(K_VM, KVM_SET_USER_MEMORY_REGION, make_slot),
	M(K_VM, KVM_SET_USER_MEMORY_REGION, make_slot),
	M(K_VM, KVM_SET_USER_MEMORY_REGION, make_slot),
	M(K_VM, KVM_GET_DIRTY_LOG, make_log),
	M(K_VM, KVM_CLEAR_DIRTY_LOG, make_clear_log),
	V(K_VM, KVM_SET_NR_MMU_PAGES),
	N(K_VM, KVM_GET_NR_MMU_PAGES),
	V(K_VM, KVM_SET_TSS_ADDR),
	B(K_VM, KVM_SET_IDENTITY_MAP_ADDR, 8),
	N(K_VM, KVM_CREATE_IRQCHIP),
	M(K_VM, KVM_IRQ_LINE, make_line),
	M(K_VM, KVM_IRQ_LINE_STATUS, make_line),
	G(K_VM, KVM_GET_IRQCHIP, kvm_irqchip),
	{ KVM_SET_IRQCHIP, K_VM, MEMORY, sizeof(struct kvm_irqchip), make_irqchip,
	  KVM_GET_IRQCHIP, K_NONE },
	N(K_VM, KVM_CREATE_PIT),
	G(K_VM, KVM_CREATE_PIT2, kvm_pit_config),
	G(K_VM, KVM_GET_PIT, kvm_pit_state),
	S(K_VM, KVM_SET_PIT, KVM_GET_PIT, kvm_pit_state),
	G(K_VM, KVM_GET_PIT2, kvm_pit_state2),
	S(K_VM, KVM_SET_PIT2, KVM_GET_PIT2, kvm_pit_state2),
	G(K_VM, KVM_REINJECT_CONTROL, kvm_reinject_control),
	M(K_VM, KVM_REGISTER_COALESCED_MMIO, make_zone),
	M(K_VM, KVM_UNREGISTER_COALESCED_MMIO, make_zone),
	M(K_VM, KVM_SET_GSI_ROUTING, make_routing),
	M(K_VM, KVM_IRQFD, make_irqfd),
	M(K_VM, KVM_IRQFD, make_irqfd),
	M(K_VM, KVM_IOEVENTFD, make_ioeventfd),
	M(K_VM, KVM_IOEVENTFD, make_ioeventfd),
	V(K_VM, KVM_SET_BOOT_CPU_ID),
	G(K_VM, KVM_GET_CLOCK, kvm_clock_data),
	S(K_VM, KVM_SET_CLOCK, KVM_GET_CLOCK, kvm_clock_data),
	G(K_VM, KVM_SIGNAL_MSI, kvm_msi),
	M(K_VM, KVM_CREATE_DEVICE, make_device),
	M(K_VM, KVM_ENABLE_CAP, make_cap),
	M(K_VM, KVM_ENABLE_CAP, make_cap),
	N(K_VM, KVM_RESET_DIRTY_RINGS),
	B(K_VM, KVM_XEN_HVM_CONFIG, 56),
	M(K_VM, KVM_XEN_HVM_SET_ATTR, make_xen_attr),
	M(K_VM, KVM_XEN_HVM_GET_ATTR, make_xen_attr),
	M(K_VM, KVM_XEN_HVM_EVTCHN_SEND, make_event_inject),
	M(K_VM, KVM_MEMORY_ENCRYPT_OP, make_encrypt),
	B(K_VM, KVM_MEMORY_ENCRYPT_REG_REGION, 16),
	B(K_VM, KVM_MEMORY_ENCRYPT_UNREG_REGION, 16),
	M(K_VM, KVM_SET_PMU_EVENT_FILTER, make_pmu_filter),
	M(K_VM, KVM_X86_SET_MSR_FILTER, make_filter),
	M(K_VM, KVM_HYPERV_EVENTFD, make_hv_eventfd),
	V(K_VM, KVM_SET_TSC_KHZ),
	N(K_VM, KVM_GET_TSC_KHZ),
	NEW(K_VM, KVM_GET_STATS_FD, NONE, NULL, K_STATS),
	M(K_VM, KVM_CORE_VM_MOVE, make_move),
	M(K_VM, KVM_CORE_VM_MOVE, make_move),
	M(K_VM, KVM_CORE_VM_MOVE, make_move),
	M(K_VM, KVM_CORE_VM_ADOPT, make_adopt),

	N(K_VCPU, KVM_RUN),
	N(K_VCPU, KVM_RUN),
	N(K_VCPU, KVM_RUN),
	N(K_VCPU, KVM_RUN),
	N(K_VCPU, KVM_RUN),
	N(K_VCPU, KVM_RUN),
	G(K_VCPU, KVM_GET_REGS, kvm_regs),
	S(K_VCPU, KVM_SET_REGS, KVM_GET_REGS, kvm_regs),
	G(K_VCPU, KVM_GET_SREGS, kvm_sregs),
	S(K_VCPU, KVM_SET_SREGS, KVM_GET_SREGS, kvm_sregs),
	G(K_VCPU, KVM_GET_SREGS2, kvm_sregs2),
	S(K_VCPU, KVM_SET_SREGS2, KVM_GET_SREGS2, kvm_sregs2),
	G(K_VCPU, KVM_GET_FPU, kvm_fpu),
	S(K_VCPU, KVM_SET_FPU, KVM_GET_FPU, kvm_fpu),
	G(K_VCPU, KVM_GET_XSAVE, kvm_xsave),
	S(K_VCPU, KVM_SET_XSAVE, KVM_GET_XSAVE, kvm_xsave),
	G(K_VCPU, KVM_GET_XSAVE2, kvm_xsave),
	G(K_VCPU, KVM_GET_XCRS, kvm_xcrs),
	S(K_VCPU, KVM_SET_XCRS, KVM_GET_XCRS, kvm_xcrs),
	G(K_VCPU, KVM_GET_LAPIC, kvm_lapic_state),
	S(K_VCPU, KVM_SET_LAPIC, KVM_GET_LAPIC, kvm_lapic_state),
	M(K_VCPU, KVM_SET_CPUID, make_cpuid),
	M(K_VCPU, KVM_SET_CPUID2, make_cpuid),
	M(K_VCPU, KVM_GET_CPUID2, make_list),
	M(K_VCPU, KVM_GET_SUPPORTED_HV_CPUID, make_list),
	M(K_VCPU, KVM_GET_MSRS, make_msrs),
	M(K_VCPU, KVM_SET_MSRS, make_msrs),
	M(K_VCPU, KVM_SET_MSRS, make_msrs),
	G(K_VCPU, KVM_GET_MP_STATE, kvm_mp_state),
	M(K_VCPU, KVM_SET_MP_STATE, make_event_inject),
	G(K_VCPU, KVM_GET_VCPU_EVENTS, kvm_vcpu_events),
	S(K_VCPU, KVM_SET_VCPU_EVENTS, KVM_GET_VCPU_EVENTS, kvm_vcpu_events),
	G(K_VCPU, KVM_GET_DEBUGREGS, kvm_debugregs),
	S(K_VCPU, KVM_SET_DEBUGREGS, KVM_GET_DEBUGREGS, kvm_debugregs),
	M(K_VCPU, KVM_INTERRUPT, make_event_inject),
	N(K_VCPU, KVM_NMI),
	N(K_VCPU, KVM_SMI),
	M(K_VCPU, KVM_SET_SIGNAL_MASK, make_mask),
	G(K_VCPU, KVM_TRANSLATE, kvm_translation),
	M(K_VCPU, KVM_SET_GUEST_DEBUG, make_debug),
	B(K_VCPU, KVM_X86_SETUP_MCE, 8),
	G(K_VCPU, KVM_X86_SET_MCE, kvm_x86_mce),
	G(K_VCPU, KVM_SET_VAPIC_ADDR, kvm_vapic_addr),
	G(K_VCPU, KVM_TPR_ACCESS_REPORTING, kvm_tpr_access_ctl),
	N(K_VCPU, KVM_KVMCLOCK_CTRL),
	V(K_VCPU, KVM_SET_TSC_KHZ),
	N(K_VCPU, KVM_GET_TSC_KHZ),
	B(K_VCPU, KVM_GET_NESTED_STATE, 8192),
	{ KVM_SET_NESTED_STATE, K_VCPU, MEMORY, 8320, NULL, KVM_GET_NESTED_STATE, K_NONE },
	M(K_VCPU, KVM_ENABLE_CAP, make_cap),
	M(K_VCPU, KVM_HAS_DEVICE_ATTR, make_attr),
	M(K_VCPU, KVM_GET_DEVICE_ATTR, make_attr),
	M(K_VCPU, KVM_SET_DEVICE_ATTR, make_attr),
	M(K_VCPU, KVM_XEN_VCPU_SET_ATTR, make_xen_attr),
	M(K_VCPU, KVM_XEN_VCPU_GET_ATTR, make_xen_attr),
	NEW(K_VCPU, KVM_GET_STATS_FD, NONE, NULL, K_STATS),
	F(K_VCPU, KVM_CORE_VCPU_TAKE_PI, K_VCPU),
	F(K_VCPU, DIRTY_RING_TAKE, K_VCPU),
	N(K_VCPU, DIRTY_RING_RESET),
	M(K_VCPU, DIRTY_RING_NOTIFY, make_notify),
	B(K_VCPU, DIRTY_RING_LIMIT, 8),
	NEW(K_VCPU, DIRTY_RING_STATS_FD, NONE, NULL, K_STATS),

	M(K_DEV, KVM_SET_DEVICE_ATTR, make_attr),
	M(K_DEV, KVM_GET_DEVICE_ATTR, make_attr),
	M(K_DEV, KVM_HAS_DEVICE_ATTR, make_attr),

	NEW(K_KA, VFIO_KEEPALIVE_CREATE, MEMORY, make_ka_create, K_SESSION),
	NEW(K_KA, VFIO_KEEPALIVE_CREATE, MEMORY, make_ka_create, K_SESSION),
	NEW(K_KA, VFIO_KEEPALIVE_CLAIM, MEMORY, make_ka_claim, K_SESSION),
	NEW(K_KA, VFIO_KEEPALIVE_WATCH, MEMORY, make_ka_claim, K_WATCH),
	M(K_KA, VFIO_KEEPALIVE_INFO, make_ka_index),
	M(K_KA, VFIO_KEEPALIVE_ITEM, make_ka_index),
	M(K_KA, VFIO_KEEPALIVE_RELEASE, make_ka_index),
	M(K_SESSION, VFIO_KEEPALIVE_INFO, make_ka_index),
	M(K_SESSION, VFIO_KEEPALIVE_ITEM, make_ka_index),
	M(K_SESSION, VFIO_KEEPALIVE_RELEASE, make_ka_index),
	M(K_SESSION, VFIO_KEEPALIVE_ADD, make_ka_add),
	M(K_SESSION, VFIO_KEEPALIVE_ADD, make_ka_add),
	M(K_SESSION, VFIO_KEEPALIVE_REMOVE, make_ka_index),
	NEW(K_SESSION, VFIO_KEEPALIVE_GET_FD, MEMORY, make_ka_index, K_EVENT),
	M(K_SESSION, VFIO_KEEPALIVE_SET_STATE, make_ka_opaque),
	M(K_SESSION, VFIO_KEEPALIVE_GET_STATE, make_ka_opaque),
	M(K_SESSION, VFIO_KEEPALIVE_CONFIRM, make_ka_index),
	M(K_WATCH, VFIO_KEEPALIVE_INFO, make_ka_index),
	M(K_WATCH, VFIO_KEEPALIVE_ITEM, make_ka_index),
	M(K_WATCH, VFIO_KEEPALIVE_RELEASE, make_ka_index),

	/* What a tenant is not let do; one of the processes is root. */
	G(K_CORE, KVM_CORE_LIST, kvm_core_instance_info),
	M(K_CORE, KVM_CORE_SET_DEFAULT, make_core_name),
	M(K_CORE, KVM_CORE_MOVE, make_move),
	M(K_CORE, KVM_CORE_MOVE_ALL, make_move),
};

unsigned int call_count(void)
{
	return sizeof(calls) / sizeof(*calls);
}

/* The new one has its own number no longer than this takes. */
void fd_keep(struct thread *t, int fd, enum kind kind)
{
	int at;

	if (one_in(&t->rng, 20))
		kind = rnd(&t->rng, KINDS);
	at = HOSTILE_FD(kind, rnd(&t->rng, EACH));
	if (fd <= 2 || fd == at)
		return;
	dup3(fd, at, O_CLOEXEC);
	close(fd);
}

long call(struct thread *t, int fd, unsigned long req, unsigned long arg, enum kind makes)
{
	struct board *b = t->w->board;
	const unsigned int w = t->w->id;
	long r;

	VMM_STORE(b->last[w][t->id], req);
	r = ioctl(fd, req, arg);
	VMM_STORE(b->calls[w][t->id], b->calls[w][t->id] + 1);
	if (r >= 0)
		VMM_STORE(b->good[w][t->id], b->good[w][t->id] + 1);
	if (req == KVM_RUN && (!r || errno == EINTR))
		__atomic_add_fetch(&b->runs, 1, __ATOMIC_RELAXED);
	if (req == KVM_CORE_VM_MOVE && !r)
		__atomic_add_fetch(&b->moved, 1, __ATOMIC_RELAXED);
	if (req == KVM_CORE_VM_ADOPT && !r)
		__atomic_add_fetch(&b->adopted, 1, __ATOMIC_RELAXED);
	/* The numbers are drawn in any case. */
	if (makes != K_NONE)
		fd_keep(t, r > 2 && r < 1024 ? r : -1, makes);
	return r;
}

static void chance(struct thread *t, unsigned char *at, size_t len)
{
	size_t i;

	switch (rnd(&t->rng, 4)) {
	case 0:
		memset(at, 0, len);
		return;
	case 1:
		for (i = 0; i < len; i++)
			at[i] = rnd(&t->rng, 256);
		return;
	default:
		memset(at, 0, len);
		for (i = 0; i + 8 <= len; i += 4)
			if (one_in(&t->rng, 3)) {
				__u64 v = args_number(&t->rng);

				memcpy(at + i, &v, one_in(&t->rng, 2) ? 4 : 8);
			}
	}
}

static size_t fill(struct thread *t, const struct one *c, int fd, unsigned char *at)
{
	unsigned int i, changes;

	memset(at, 0, c->len);
	if (c->get && !one_in(&t->rng, 6)) {
		/* Both begin with the size, or the number of the chip. */
		*(__u32 *)at = c->get == KVM_GET_NESTED_STATE ? c->len :
			       c->get == KVM_GET_IRQCHIP ? rnd(&t->rng, 3) : 0;
		call(t, fd, c->get, (unsigned long)at, K_NONE);
		if (c->make)
			return c->make(t, at);
		changes = rnd(&t->rng, 4);
		for (i = 0; i < changes; i++) {
			__u64 v = args_number(&t->rng);
			size_t n = 1u << rnd(&t->rng, 4);

			memcpy(at + rnd(&t->rng, c->len - n + 1) / n * n, &v, n);
		}
		return c->len;
	}
	if (c->make)
		return c->make(t, at);
	chance(t, at, c->len);
	return c->len;
}

void call_some(struct thread *t)
{
	static __thread unsigned char a[BIGGEST], b[BIGGEST];
	const struct one *c = &calls[rnd(&t->rng, call_count())];
	int fd = one_in(&t->rng, 40) ? some_fd(t, rnd(&t->rng, KINDS)) :
		 HOSTILE_FD(c->on, rnd(&t->rng, EACH));
	unsigned long arg = 0;
	size_t len, other;
	char *at;

	switch (c->how) {
	case NONE:
		arg = one_in(&t->rng, 20) ? args_number(&t->rng) : 0;
		break;
	case VALUE:
		/* IDs of vCPUs, of capabilities, addresses: small ones more often. */
		arg = one_in(&t->rng, 3) ? args_number(&t->rng) : rnd(&t->rng, 6);
		break;
	case FD:
		arg = some_fd(t, c->len);
		break;
	case MEMORY:
		len = fill(t, c, fd, a);
		if (one_in(&t->rng, 3)) {
			memcpy(b, a, len);
			b[rnd(&t->rng, len)] ^= 1u << rnd(&t->rng, 8);
		} else {
			other = fill(t, c, fd, b);
			if (other < len)
				len = other ?: len;
		}
		at = args_place(t, a, b, len);
		arg = (unsigned long)at;
		break;
	}
	call(t, fd, c->req, arg, c->makes);
	args_done(t);
}
