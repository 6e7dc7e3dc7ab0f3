// SPDX-License-Identifier: GPL-2.0-only
/*
 * Losses made on purpose between saving and restoring. A guest that does not
 * notice the one meant for it could not notice a real one either.
 */
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "vmm.h"

static const struct {
	const char	*name;
	int		guests[6];
} damages[DAMAGE_COUNT] = {
	[DAMAGE_NONE] = { "none", { -1 } },
	[DAMAGE_REG] = { "REG", { GUEST_regs, GUEST_spin, -1 } },
	[DAMAGE_MSR] = { "MSR", { GUEST_msr, -1 } },
	[DAMAGE_LAPIC] = { "LAPIC", { GUEST_pending, GUEST_timer_oneshot, GUEST_ipi, -1 } },
	[DAMAGE_EVENTS] = { "EVENTS", { GUEST_nmi, -1 } },
	[DAMAGE_XSAVE] = { "XSAVE", { GUEST_fpu, -1 } },
	[DAMAGE_CLOCK] = { "CLOCK", { GUEST_kvmclock, -1 } },
	[DAMAGE_TSC] = { "TSC", { GUEST_tsc, -1 } },
	[DAMAGE_DR] = { "DR", { GUEST_debug, -1 } },
	[DAMAGE_MP] = { "MP", { GUEST_hlt, -1 } },
	[DAMAGE_IRQCHIP] = { "IRQCHIP", { GUEST_irqfd_pin, GUEST_pit, -1 } },
	[DAMAGE_PIT] = { "PIT", { GUEST_pit, -1 } },
	[DAMAGE_MEM] = { "MEM", { GUEST_mem, -1 } },
	[DAMAGE_IRQFD] = { "IRQFD", { GUEST_irqfd_msi, -1 } },
};

int damage_by_name(const char *name)
{
	int i;

	for (i = 1; i < DAMAGE_COUNT; i++)
		if (!strcasecmp(damages[i].name, name))
			return i;
	return -1;
}

const char *damage_name(enum damage d)
{
	return damages[d].name;
}

const int *damage_guests(enum damage d)
{
	return damages[d].guests;
}

/* As lost as can be told apart from a VM that was never started. */
static void lose_regs(struct vm_state *st, unsigned int cpu)
{
	struct kvm_regs *r = state_find(st, KVM_SET_REGS, cpu, 0, NULL);

	if (!r)
		return;
	/* Registers that both guests hold while they spin. */
	r->rax = 0;
	r->r13 = 0;
}

/*
 * KVM_SET_MP_STATE is what makes a new vCPU run at all, so losing it means the
 * state of a vCPU that runs.
 */
static void lose_mp(struct vm_state *st, unsigned int cpu)
{
	struct kvm_mp_state *mp = state_find(st, KVM_SET_MP_STATE, cpu, 0, NULL);

	if (mp)
		mp->mp_state = KVM_MP_STATE_RUNNABLE;
}

void damage_state(enum damage d, struct vm_state *st, char *mem,
		  const struct vm_shape *shape, const struct vm_fds *fds)
{
	struct guest_shared *sh = vm_shared(mem);
	unsigned int i;
	__u64 n;

	switch (d) {
	case DAMAGE_MSR:
		state_drop(st, KVM_SET_MSRS);
		break;
	case DAMAGE_LAPIC:
		state_drop(st, KVM_SET_LAPIC);
		break;
	case DAMAGE_EVENTS:
		state_drop(st, KVM_SET_VCPU_EVENTS);
		break;
	case DAMAGE_XSAVE:
		state_drop(st, KVM_SET_XSAVE);
		break;
	case DAMAGE_CLOCK:
		state_drop(st, KVM_SET_CLOCK);
		break;
	case DAMAGE_TSC:
		state_drop(st, KVM_SET_DEVICE_ATTR);
		for (i = 0; i < shape->cpus; i++) {
			struct kvm_msrs *m = state_find(st, KVM_SET_MSRS, i, 0, NULL);
			__u32 k;

			for (k = 0; m && k < m->nmsrs; k++)
				if (m->entries[k].index == 0x10)
					m->entries[k].data = 0;
		}
		break;
	case DAMAGE_DR:
		state_drop(st, KVM_SET_DEBUGREGS);
		break;
	case DAMAGE_IRQCHIP:
		state_drop(st, KVM_SET_IRQCHIP);
		break;
	case DAMAGE_PIT:
		state_drop(st, KVM_SET_PIT2);
		break;
	case DAMAGE_REG:
		for (i = 0; i < shape->cpus; i++)
			lose_regs(st, i);
		break;
	case DAMAGE_MP:
		for (i = 0; i < shape->cpus; i++)
			lose_mp(st, i);
		break;
	case DAMAGE_MEM:
		/* One page in the middle of each working set. */
		for (i = 0; i < shape->cpus; i++)
			memset(mem + GUEST_WS + i * sh->ws_per_cpu +
			       (sh->ws_per_cpu / 2 & ~0xfffull), 0, 4096);
		break;
	case DAMAGE_IRQFD:
		/* A signal that came while the VM was stopped. */
		for (i = 0; i < shape->cpus; i++)
			if (fds->irq[i] >= 0 &&
			    read(fds->irq[i], &n, sizeof(n)) < 0)
				continue;
		break;
	default:
		break;
	}
}
