/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The state of a VM on its way, which state.c, msrs.c and stats.c share.
 */
#ifndef __KVM_CORE_HANDOFF_STATE_H
#define __KVM_CORE_HANDOFF_STATE_H

#include <linux/kvm.h>
#include <linux/types.h>

#include <kvm-core/instance.h>

struct core_file;
struct core_move;

#define CORE_MSRS_KEPT	8

/**
 * struct core_msrs_kept - MSRs one behind the other in the list, and in the source's memory
 * @first:	index in the list
 * @nr:		how many
 * @value:	of the first
 * @same:	all have the values that the target has by itself
 */
struct core_msrs_kept {
	u32 first;
	u32 nr;
	const u64 *value;
	bool same;
};

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
 * @asked:	which of @msrs the source is asked for: indices
 * @nasked:	how many
 * @kept:	the others, which are in its memory
 * @nkept:	how many of @kept, by ascending @first
 * @hidden:	MSRs that the target did not show while it was prepared: it does not know
 *		them, or only once others are set (PEBS, by MSR_IA32_PERF_CAPABILITIES)
 * @nhidden:	how many
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
	u32 *asked;
	u32 nasked;
	struct core_msrs_kept kept[CORE_MSRS_KEPT];
	u32 nkept;
	u64 *init;
	u32 *hidden;
	u32 nhidden;
	int deadline;
};

/**
 * struct core_stats_map - which statistics of the source are which of the target
 * @nr:		of @runs
 * @runs:	see there
 */
struct core_stats_map {
	unsigned int nr;
	struct kvm_core_stats_run runs[];
};

/**
 * struct core_vm_state - of the VM as a whole
 * @xsave_size:	of struct kvm_xsave
 * @nested_size: of struct kvm_nested_state, 0 if there is none
 * @irqchip:	PICs and IOAPIC are in the kernel
 * @lapic:	LAPICs are
 * @pit:	the PIT is
 * @index:	MSRs of the source that belong to the guest
 * @listed:	how many of them the source itself lists; they come first
 * @common:	how many of them vCPUs without a SynIC have; the rest is last
 * @clock:	kvmclock, on its way
 * @clock_by_tsc: it was read together with the host's TSC
 * @pit2:	PIT
 * @chip:	PICs and IOAPIC
 * @extra:	the rest of the VM
 * @settled:	the source's PIT stands still
 * @vm_stats:	statistics of the VM
 * @vcpu_stats:	and of each vCPU
 */
struct core_vm_state {
	size_t xsave_size;
	size_t nested_size;
	bool irqchip;
	bool lapic;
	bool pit;
	struct kvm_msr_list *index;
	u32 listed;
	u32 common;
	struct kvm_clock_data clock;
	bool clock_by_tsc;
	struct kvm_pit_state2 pit2;
	struct kvm_irqchip chip[3];
	struct kvm_core_vm_extra extra;
	bool settled;
	struct core_stats_map *vm_stats;
	struct core_stats_map *vcpu_stats;
};

/* msrs.c */
int core_msrs_vm(struct core_move *mv, struct core_vm_state *vm);
int core_msrs_prepare(struct core_move *mv, struct core_file *cf,
		      struct core_vcpu_state *st);
int core_msrs_read(struct core_move *mv, struct core_file *cf,
		   struct core_vcpu_state *st);
int core_msrs_write(struct core_move *mv, struct core_file *cf,
		    struct core_vcpu_state *st);
int core_msrs_write_deadline(struct core_move *mv, struct core_file *cf,
			     struct core_vcpu_state *st);

/* stats.c */
int core_stats_prepare_vm(struct core_move *mv);
int core_stats_prepare_vcpu(struct core_move *mv, struct core_file *cf);
void core_stats_vcpu(struct core_move *mv, struct core_file *cf);
void core_stats_vm(struct core_move *mv);

#endif
