// SPDX-License-Identifier: GPL-2.0-only
/*
 * An instance's part in the handoff of a VM, on either side of it: what KVM's
 * userspace API does not reach.
 */
#include <linux/irqbypass.h>
#include <linux/kvm_host.h>
#include <linux/kvm_irqfd.h>
#include <linux/wait.h>
#include <asm/mce.h>
#include <dirty-ring/ring.h>

#include "ioapic.h"
#include "irq.h"
#include "lapic.h"
#include "mmu.h"
#include "mmu/mmu_internal.h"
#include "mmu/spte.h"
#include "mmu/tdp_mmu.h"
#include "pmu.h"
#include "x86.h"
#include "relay.h"
#include "compat.h"

WRAP(add_wait_queue_priority);
REAL(add_wait_queue_priority);
WRAP(irq_bypass_register_consumer);
WRAP(irq_bypass_unregister_consumer);

static void vcpu_pages(void *priv, struct page *pages[KVM_CORE_VCPU_PAGES])
{
	struct kvm_vcpu *vcpu = priv;
	int i;

	BUILD_BUG_ON(KVM_PIO_PAGE_OFFSET != 1);
	BUILD_BUG_ON(KVM_COALESCED_MMIO_PAGE_OFFSET != 2);
	pages[0] = virt_to_page(vcpu->run);
	pages[KVM_PIO_PAGE_OFFSET] = virt_to_page(vcpu->arch.pio_data);
	pages[KVM_COALESCED_MMIO_PAGE_OFFSET] =
		virt_to_page(vcpu->kvm->coalesced_mmio_ring);
	for (i = 0; i < KVM_CORE_VCPU_PAGES; i++)
		get_page(pages[i]);
}

/*
 * Requests that end in an exit to userspace, and are nowhere else than here. Others are
 * in what vcpu_settle() fills in, or begin anew on the other side.
 */
static bool exit_requested(struct kvm_vcpu *vcpu)
{
	return kvm_test_request(KVM_REQ_IOAPIC_EOI_EXIT, vcpu) ||
	       kvm_test_request(KVM_REQ_HV_EXIT, vcpu) ||
	       kvm_test_request(KVM_REQ_REPORT_TPR_ACCESS, vcpu) ||
	       kvm_test_request(KVM_REQ_TRIPLE_FAULT, vcpu);
}

/*
 * Nearly all instructions are completed as a whole in KVM_RUN. A write by MMIO is behind
 * its instruction when userspace sees the last part of it, and so is that to port 0x7e,
 * on which userspace once relied.
 */
static int exit_pending(struct kvm_vcpu *vcpu)
{
	const struct kvm_mmio_fragment *frag;

	if (vcpu->mmio_needed && vcpu->mmio_is_write) {
		frag = &vcpu->mmio_fragments[vcpu->mmio_cur_fragment];
		return vcpu->mmio_cur_fragment + 1 == vcpu->mmio_nr_fragments &&
		       frag->len <= 8 ? -EALREADY : -EAGAIN;
	}
	if (vcpu->arch.pio.count && !vcpu->arch.pio.in && vcpu->arch.pio.port == 0x7e &&
	    kvm_check_has_quirk(vcpu->kvm, KVM_X86_QUIRK_OUT_7E_INC_RIP))
		return -EALREADY;
	return -EINPROGRESS;
}

static int vcpu_stop(void *priv)
{
	struct kvm_vcpu *vcpu = priv;

	if (exit_requested(vcpu))
		return -EAGAIN;
	if (vcpu->arch.complete_userspace_io || vcpu->mmio_needed ||
	    vcpu->arch.pio.count)
		return exit_pending(vcpu);
	return 0;
}

/* Of a timer that counts, not of one that has a deadline. */
static bool counts(struct kvm_lapic *apic)
{
	u32 mode = kvm_lapic_get_reg(apic, APIC_LVTT) &
		   apic->lapic_timer.timer_mode_mask;

	return mode == APIC_LVT_TIMER_ONESHOT || mode == APIC_LVT_TIMER_PERIODIC;
}

/*
 * A tick that has come becomes a bit of the IRR, as it does in KVM_RUN, since
 * KVM_GET_LAPIC shows that and not what is owed. After this none comes. Returns when
 * the next would come.
 */
static s64 settle_timer(struct kvm_vcpu *vcpu)
{
	struct kvm_timer *timer = &vcpu->arch.apic->lapic_timer;

	hrtimer_cancel(&timer->timer);
	kvm_inject_apic_timer_irqs(vcpu);
	if (!counts(vcpu->arch.apic) ||
	    !kvm_lapic_get_reg(vcpu->arch.apic, APIC_TMICT))
		return 0;
	return ktime_to_ns(timer->target_expiration);
}

/* What waits for the vCPU to run, and no ioctl tells. */
static u32 waiting(struct kvm_vcpu *vcpu)
{
	u32 bits = 0;

	/* A halted one that was kicked is shown as runnable. */
	if (READ_ONCE(vcpu->arch.pv.pv_unhalted) &&
	    vcpu->arch.mp_state == KVM_MP_STATE_RUNNABLE)
		bits |= KVM_CORE_VCPU_UNHALTED;
	if (vcpu->arch.pvclock_set_guest_stopped_request)
		bits |= KVM_CORE_VCPU_STOPPED;
	if (vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP &&
	    static_call(kvm_x86_get_rflags)(vcpu) & X86_EFLAGS_TF)
		bits |= KVM_CORE_VCPU_STEPPING;
	if (kvm_test_request(KVM_REQ_PMI, vcpu))
		bits |= KVM_CORE_VCPU_PMI;
	if (kvm_test_request(KVM_REQ_HV_CRASH, vcpu))
		bits |= KVM_CORE_VCPU_HV_CRASH;
	if (kvm_test_request(KVM_REQ_HV_RESET, vcpu))
		bits |= KVM_CORE_VCPU_HV_RESET;
	if (vcpu->arch.exception_from_userspace)
		bits |= KVM_CORE_VCPU_ASK_L1;
	return bits;
}

static void exception_out(const struct kvm_queued_exception *from,
			  struct kvm_core_exception *to)
{
	to->payload = from->payload;
	to->error_code = from->error_code;
	to->vector = from->vector;
	to->flags = (from->pending ? KVM_CORE_EXCEPTION_PENDING : 0) |
		    (from->injected ? KVM_CORE_EXCEPTION_INJECTED : 0) |
		    (from->has_error_code ? KVM_CORE_EXCEPTION_ERROR_CODE : 0) |
		    (from->has_payload ? KVM_CORE_EXCEPTION_PAYLOAD : 0);
}

static void exception_in(const struct kvm_core_exception *from,
			 struct kvm_queued_exception *to)
{
	to->payload = from->payload;
	to->error_code = from->error_code;
	to->vector = from->vector;
	to->pending = from->flags & KVM_CORE_EXCEPTION_PENDING;
	to->injected = from->flags & KVM_CORE_EXCEPTION_INJECTED;
	to->has_error_code = from->flags & KVM_CORE_EXCEPTION_ERROR_CODE;
	to->has_payload = from->flags & KVM_CORE_EXCEPTION_PAYLOAD;
}

static void settle_tsc(struct kvm_vcpu *vcpu, struct kvm_core_vcpu_extra *extra)
{
	extra->tsc.generation = vcpu->arch.this_tsc_generation;
	extra->tsc.nsec = vcpu->arch.this_tsc_nsec;
	extra->tsc.write = vcpu->arch.this_tsc_write;
}

static void vcpu_settle(void *priv, struct kvm_core_vcpu_extra *extra)
{
	struct kvm_vcpu *vcpu = priv;

	memset(extra, 0, sizeof(*extra));
	extra->last_steal = vcpu->arch.st.last_steal;
	extra->external_vector = vcpu->arch.pending_external_vector;
	extra->step_rip = vcpu->arch.singlestep_rip;
	vcpu_load(vcpu);
	if (lapic_in_kernel(vcpu))
		extra->timer_expires = settle_timer(vcpu);
	/* One that is on its way to the LAPIC. */
	relay_pmu_sync(vcpu);
	extra->waiting = waiting(vcpu);
	settle_tsc(vcpu, extra);
	extra->nmis = relay_nmis(vcpu);
	exception_out(&vcpu->arch.exception, &extra->exception[0]);
	exception_out(&vcpu->arch.exception_vmexit, &extra->exception[1]);
	kvm_relay_hyperv_settle(vcpu, extra);
	kvm_relay_settle(vcpu, extra);
	vcpu_put(vcpu);
}

/* Starts the timer, in whichever way, at the time that it has. */
static void start_timer(struct kvm_vcpu *vcpu)
{
	struct kvm_timer *timer = &vcpu->arch.apic->lapic_timer;

	if (timer->tscdeadline || timer->target_expiration)
		kvm_lapic_switch_to_hv_timer(vcpu);
}

static void vcpu_go(void *priv)
{
	struct kvm_vcpu *vcpu = priv;

	if (!lapic_in_kernel(vcpu))
		return;
	vcpu_load(vcpu);
	start_timer(vcpu);
	vcpu_put(vcpu);
}

/*
 * KVM_SET_LAPIC has started the timer with what was left of the count when it was
 * read, and a one-shot timer of which nothing was left as one that is about to
 * tick. It is started again, at the time that it had.
 */
static void adopt_timer(struct kvm_vcpu *vcpu, s64 expires)
{
	struct kvm_timer *timer = &vcpu->arch.apic->lapic_timer;
	s64 left = expires - ktime_to_ns(ktime_get());

	hrtimer_cancel(&timer->timer);
	atomic_set(&timer->pending, 0);
	timer->target_expiration = ns_to_ktime(expires);
	timer->tscdeadline = 0;
	if (!expires)
		return;
	timer->tscdeadline = kvm_read_l1_tsc(vcpu, rdtsc());
	if (left > 0)
		timer->tscdeadline += nsec_to_cycles(vcpu, left);
	start_timer(vcpu);
}

static void adopt_waiting(struct kvm_vcpu *vcpu, u32 bits)
{
	if (bits & KVM_CORE_VCPU_UNHALTED)
		WRITE_ONCE(vcpu->arch.pv.pv_unhalted, true);
	if (bits & KVM_CORE_VCPU_STOPPED) {
		vcpu->arch.pvclock_set_guest_stopped_request = true;
		kvm_make_request(KVM_REQ_CLOCK_UPDATE, vcpu);
	}
	if (bits & KVM_CORE_VCPU_PMI)
		kvm_make_request(KVM_REQ_PMI, vcpu);
	if (bits & KVM_CORE_VCPU_HV_CRASH)
		kvm_make_request(KVM_REQ_HV_CRASH, vcpu);
	if (bits & KVM_CORE_VCPU_HV_RESET)
		kvm_make_request(KVM_REQ_HV_RESET, vcpu);
}

/*
 * KVM_SET_REGS sets the trace flag where it finds the RIP that it was asked for at,
 * which the new vCPU did not have then.
 */
static void adopt_step(struct kvm_vcpu *vcpu, const struct kvm_core_vcpu_extra *extra)
{
	unsigned long rflags;

	vcpu->arch.singlestep_rip = extra->step_rip;
	if (!(vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP))
		return;
	rflags = static_call(kvm_x86_get_rflags)(vcpu) & ~X86_EFLAGS_TF;
	if (extra->waiting & KVM_CORE_VCPU_STEPPING)
		rflags |= X86_EFLAGS_TF;
	static_call(kvm_x86_set_rflags)(vcpu, rflags);
}

/* A configuration that no guest asks for, so that KVM makes another event. */
static void remake_event(struct kvm_pmc *pmc)
{
	if (!pmc->perf_event)
		return;
	pmc->current_config = ~0ull;
	set_bit(pmc->idx, pmc_to_pmu(pmc)->reprogram_pmi);
	kvm_make_request(KVM_REQ_PMU, pmc->vcpu);
}

/*
 * The events behind the counters count for the thread that made them by KVM_SET_MSRS.
 * The vCPU's own makes them anew before it enters the guest; what they have counted is
 * in the counters then.
 */
static void adopt_counters(struct kvm_vcpu *vcpu)
{
	struct kvm_pmu *pmu = vcpu_to_pmu(vcpu);
	int i;

	for (i = 0; i < pmu->nr_arch_gp_counters; i++)
		remake_event(&pmu->gp_counters[i]);
	for (i = 0; i < pmu->nr_arch_fixed_counters; i++)
		remake_event(&pmu->fixed_counters[i]);
}

/*
 * KVM_GET_VCPU_EVENTS may have written a payload into CR2 or DR6 already; it is written
 * once more.
 */
static void adopt_events(struct kvm_vcpu *vcpu, const struct kvm_core_vcpu_extra *extra)
{
	exception_in(&extra->exception[0], &vcpu->arch.exception);
	exception_in(&extra->exception[1], &vcpu->arch.exception_vmexit);
	/* Otherwise the two are told apart already. */
	vcpu->arch.exception_from_userspace = extra->waiting & KVM_CORE_VCPU_ASK_L1;
	if (extra->nmis) {
		/* KVM keeps two, or one behind another that is being handled. */
		vcpu->arch.nmi_pending = min(extra->nmis, 2u);
		/* Some releases have taken them from KVM_SET_VCPU_EVENTS already. */
		atomic_set(&vcpu->arch.nmi_queued, 0);
		kvm_make_request(KVM_REQ_NMI, vcpu);
	}
	kvm_make_request(KVM_REQ_EVENT, vcpu);
}

static void adopt_tsc(struct kvm_vcpu *vcpu, const struct kvm_core_vcpu_extra *extra)
{
	vcpu->arch.this_tsc_generation = extra->tsc.generation;
	vcpu->arch.this_tsc_nsec = extra->tsc.nsec;
	vcpu->arch.this_tsc_write = extra->tsc.write;
}

static void vcpu_adopt(void *priv, const struct kvm_core_vcpu_extra *extra)
{
	struct kvm_vcpu *vcpu = priv;

	vcpu->arch.st.last_steal = extra->last_steal;
	vcpu->arch.pending_external_vector = extra->external_vector;
	/* Where the guest wrote to memory, its WBINVD is for every CPU that it was on. */
	if (kvm_arch_has_noncoherent_dma(vcpu->kvm))
		cpumask_copy(vcpu->arch.wbinvd_dirty_mask, cpu_online_mask);
	vcpu_load(vcpu);
	adopt_step(vcpu, extra);
	adopt_waiting(vcpu, extra->waiting);
	adopt_events(vcpu, extra);
	adopt_counters(vcpu);
	adopt_tsc(vcpu, extra);
	kvm_relay_hyperv_adopt(vcpu, extra);
	kvm_relay_adopt(vcpu, extra);
	if (lapic_in_kernel(vcpu) && counts(vcpu->arch.apic))
		adopt_timer(vcpu, extra->timer_expires);
	vcpu_put(vcpu);
}

/*
 * All irqfds of KVM have the same function behind their entry in the eventfd's
 * wait queue. Exchanging it there, under the lock that every signal takes, is
 * what holds an irqfd; KVM's own code does not know of it.
 */
static wait_queue_func_t irqfd_wakeup;

static int irqfd_held(wait_queue_entry_t *wait, unsigned int mode, int sync,
		      void *key)
{
	__poll_t flags = key_to_poll(key) & ~EPOLLIN;

	return flags ? irqfd_wakeup(wait, mode, sync, poll_to_key(flags)) : 0;
}

void __wrap_add_wait_queue_priority(struct wait_queue_head *wqh,
				    struct wait_queue_entry *wait)
{
	WRITE_ONCE(irqfd_wakeup, wait->func);
	if (kvm_core_replaying())
		wait->func = irqfd_held;
	__real_add_wait_queue_priority(wqh, wait);
}

/*
 * What devices post into the LAPIC itself does not go along with the vCPU, so from here
 * on they interrupt the host, and the signal is kept in the eventfd like any other.
 * The next KVM has them posted again, or this one if it keeps the VM.
 */
static void hold_posted(struct kvm *kvm, bool hold)
{
	struct kvm_kernel_irqfd *irqfd;

	if (!kvm_relay_posts_to_lapic(kvm))
		return;
	list_for_each_entry(irqfd, &kvm->irqfds.items, list)
		if (irqfd->producer &&
		    kvm_arch_update_irqfd_routing(kvm, irqfd->producer->irq,
						  irqfd->gsi, !hold))
			pr_warn_ratelimited("%s: GSI %d is not posted directly\n",
					    kvm_relay_instance.name, irqfd->gsi);
}

static void vm_hold(void *priv, bool hold)
{
	struct kvm *kvm = priv;
	struct kvm_kernel_irqfd *irqfd;

	spin_lock_irq(&kvm->irqfds.lock);
	list_for_each_entry(irqfd, &kvm->irqfds.items, list)
		WRITE_ONCE(irqfd->wait.func, hold ? irqfd_held : irqfd_wakeup);
	hold_posted(kvm, hold);
	spin_unlock_irq(&kvm->irqfds.lock);
}

/*
 * No irqfd comes or goes: kvm-core owns the VM and has the eventfds, so that none is
 * closed. The lock is not held, since a work that is waited for may want it.
 */
static void vm_flush(void *priv)
{
	struct kvm *kvm = priv;
	struct kvm_kernel_irqfd *irqfd;

	list_for_each_entry(irqfd, &kvm->irqfds.items, list)
		flush_work(&irqfd->inject);
}

static struct page *vcpu_ring_page(void *priv, unsigned long pgoff)
{
	struct kvm_vcpu *vcpu = priv;

	if (pgoff < KVM_DIRTY_LOG_PAGE_OFFSET ||
	    pgoff - KVM_DIRTY_LOG_PAGE_OFFSET >=
	    vcpu->kvm->dirty_ring_size / PAGE_SIZE)
		return NULL;
	return kvm_dirty_ring_get_page(&vcpu->dirty_ring,
				       pgoff - KVM_DIRTY_LOG_PAGE_OFFSET);
}

static int vm_take_rings(void *priv, const void *from)
{
	return dirty_ring_move_vm(from, priv);
}

/*
 * A producer has one consumer, and while a VM is prepared that is the one it
 * comes from.
 */
int __wrap_irq_bypass_register_consumer(struct irq_bypass_consumer *consumer)
{
	if (kvm_core_replaying())
		return 0;
	return kvm_core_bypass_add(consumer);
}

void __wrap_irq_bypass_unregister_consumer(struct irq_bypass_consumer *consumer)
{
	kvm_core_bypass_del(consumer, false);
}

static bool vm_noncoherent(void *priv, int change)
{
	struct kvm *kvm = priv;

	if (change > 0)
		kvm_arch_register_noncoherent_dma(kvm);
	else if (change < 0)
		kvm_arch_unregister_noncoherent_dma(kvm);
	return shadow_memtype_mask && kvm_arch_has_noncoherent_dma(kvm);
}

static void vm_bypass(void *priv, bool on)
{
	struct kvm *kvm = priv;
	struct kvm_kernel_irqfd *irqfd;

	if (!kvm_arch_has_irq_bypass())
		return;
	/* As in vm_flush(); the lock is not for who sleeps. */
	list_for_each_entry(irqfd, &kvm->irqfds.items, list) {
		int r;

		if (!on) {
			kvm_core_bypass_del(&irqfd->consumer, true);
			continue;
		}
		r = kvm_core_bypass_add(&irqfd->consumer);
		if (r)
			pr_warn_ratelimited("%s: GSI %d is not posted directly: error %d\n",
					    kvm_relay_instance.name, irqfd->gsi, r);
	}
}

/* Banks of machine checks, which are more than half of a guest's MSRs. */
static unsigned int vcpu_msrs(void *priv, struct kvm_core_msr_run runs[KVM_CORE_MSR_RUNS])
{
	struct kvm_vcpu *vcpu = priv;
	u32 banks = vcpu->arch.mcg_cap & MCG_BANKCNT_MASK;

	runs[0].first = MSR_IA32_MC0_CTL;
	runs[0].nr = banks * (MSR_IA32_MC0_MISC + 1 - MSR_IA32_MC0_CTL);
	runs[0].value = vcpu->arch.mce_banks;
	runs[1].first = MSR_IA32_MC0_CTL2;
	runs[1].nr = banks;
	runs[1].value = vcpu->arch.mci_ctl2_banks;
	return 2;
}

const struct kvm_core_ops kvm_relay_ops = {
	.vcpu_pages = vcpu_pages,
	.vcpu_stop = vcpu_stop,
	.vcpu_settle = vcpu_settle,
	.vcpu_go = vcpu_go,
	.vcpu_adopt = vcpu_adopt,
	.vcpu_populate = kvm_relay_vcpu_populate,
	.vcpu_pin = kvm_relay_vcpu_pin,
	.vm_unpin = kvm_relay_vm_unpin,
	.vm_settle = kvm_relay_vm_settle,
	.vm_go = kvm_relay_vm_go,
	.vm_clock = kvm_relay_vm_clock,
	.vm_adopt = kvm_relay_vm_adopt,
	.vcpu_ring_page = vcpu_ring_page,
	.vm_take_rings = vm_take_rings,
	.vm_hold = vm_hold,
	.vm_flush = vm_flush,
	.vm_bypass = vm_bypass,
	.vcpu_pi = kvm_relay_vcpu_pi,
	.vm_posted = kvm_relay_vm_posted,
	.vm_noncoherent = vm_noncoherent,
	.vcpu_msrs = vcpu_msrs,
	.vcpu_stats = kvm_relay_vcpu_stats,
	.vm_stats = kvm_relay_vm_stats,
	.vcpu_stats_adopt = kvm_relay_vcpu_stats_adopt,
	.vm_stats_adopt = kvm_relay_vm_stats_adopt,
};
