// SPDX-License-Identifier: GPL-2.0-only
/*
 * The MSRs of a VM: which there are, and how they go from one instance to another.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/err.h>
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <asm/hyperv-tlfs.h>
#include <asm/msr-index.h>
#include <asm/mce.h>

#include "core.h"
#include "private.h"
#include "state.h"

#define MCE_BANKS 32	/* KVM_MAX_MCE_BANKS */

/*
 * Of the guest, and not in KVM_GET_MSR_INDEX_LIST, at least not where the host's CPU
 * lacks the feature: all that kvm_get_msr_common(), vmx_get_msr() and svm_get_msr()
 * answer from what a vCPU keeps. Not here: what other ioctls tell (EFER, FS and GS
 * base, APIC base, the LAPIC's registers), what is computed, other numbers for the same
 * register (full-width counters), and the records of last branches. Those that the
 * target's vCPU does not show are left out.
 */
static const struct msr_range {
	u32 first;
	u32 count;
} more_msrs[] = {
	/* SGX: digest of the key that may sign launch enclaves */
	{ MSR_IA32_SGXLEPUBKEYHASH0, 4 },
	{ MSR_IA32_UMWAIT_CONTROL, 1 },
	{ MSR_IA32_TSX_CTRL, 1 },
	/* What it may have depends on MSR_IA32_PERF_CAPABILITIES, which is listed. */
	{ MSR_IA32_DEBUGCTLMSR, 1 },
	/* MTRRs: variable, fixed, default type */
	{ 0x200, 16 },
	{ 0x250, 1 }, { 0x258, 2 }, { 0x268, 8 }, { 0x2ff, 1 },
	{ MSR_IA32_MC0_CTL2, MCE_BANKS },
	{ MSR_IA32_MC0_CTL, 4 * MCE_BANKS },
	{ MSR_IA32_XSS, 1 },
	/*
	 * With EFER.SVME, KVM stores SVMDIS and reports an error; the guest can do that
	 * as well. refused() sees that the value is there.
	 */
	{ MSR_VM_CR, 1 },
	/* Length and status */
	{ MSR_AMD64_OSVW_ID_LENGTH, 2 },
	{ MSR_AMD64_DE_CFG, 1 },
};

/*
 * Of vCPUs with a SynIC, behind all others: the reference TSC page is there before the
 * timers that go by it. HV_X64_MSR_SCONTROL and HV_X64_MSR_STIMER0_CONFIG are listed.
 */
static const struct msr_range synic_msrs[] = {
	{ HV_X64_MSR_SVERSION, 1 },
	{ HV_X64_MSR_SIEFP, 2 },
	{ HV_X64_MSR_SINT0, HV_SYNIC_SINT_COUNT },
	{ HV_X64_MSR_STIMER0_COUNT, 2 * HV_SYNIC_STIMER_COUNT - 1 },
};

/* KVM takes up to 256 in one ioctl. */
#define MSR_BATCH 128

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

static u32 count_msrs(const struct msr_range *r, size_t ranges)
{
	u32 n = 0;

	while (ranges--)
		n += r++->count;
	return n;
}

static void add_msrs(struct kvm_msr_list *list, const struct msr_range *r, size_t ranges)
{
	u32 k;

	for (; ranges--; r++)
		for (k = 0; k < r->count; k++)
			list->indices[list->nmsrs++] = r->first + k;
}

/**
 * core_msrs_vm - which MSRs the VM may have
 * @mv: the handoff
 * @st: the list is filled in; freed by core_state_free()
 *
 * Context: the handoff's thread, replaying; sleeps.
 * Return: 0 or an error, and core_move_fail() was told.
 */
int core_msrs_vm(struct core_move *mv, struct core_vm_state *st)
{
	const u32 more = count_msrs(more_msrs, ARRAY_SIZE(more_msrs)) +
			 count_msrs(synic_msrs, ARRAY_SIZE(synic_msrs));
	struct kvm_msr_list *list = list_msrs(mv->from, more);

	if (IS_ERR(list))
		return core_move_fail(mv, PTR_ERR(list), "MSR list");
	st->index = list;
	st->listed = list->nmsrs;
	add_msrs(list, more_msrs, ARRAY_SIZE(more_msrs));
	st->common = list->nmsrs;
	add_msrs(list, synic_msrs, ARRAY_SIZE(synic_msrs));
	return 0;
}

/*
 * For these KVM writes to the guest's memory, which may not be there. The VM's and the
 * vCPU's extra state has them; a target that has nothing of Hyper-V gets them as MSRs, and
 * refuses them.
 */
static bool is_extra(u32 msr)
{
	return msr == HV_X64_MSR_HYPERCALL || msr == HV_X64_MSR_VP_ASSIST_PAGE;
}

static const u64 *in_memory(const struct kvm_core_msr_run *run, unsigned int nr, u32 msr)
{
	for (; nr; nr--, run++)
		if (msr - run->first < run->nr)
			return &run->value[msr - run->first];
	return NULL;
}

/* Into those that the source has in memory, as far as there is room, and the others. */
static void split(struct core_move *mv, struct core_file *cf, struct core_vcpu_state *st)
{
	struct kvm_core_msr_run runs[KVM_CORE_MSR_RUNS];
	struct core_msrs_kept *k = NULL;
	unsigned int nr;
	u32 i;

	nr = mv->from->inst->ops->vcpu_msrs(cf->file->private_data, runs);
	for (i = 0; i < st->msrs->nmsrs; i++) {
		const u64 *value = in_memory(runs, nr, st->msrs->entries[i].index);

		if (value && k && i == k->first + k->nr && value == k->value + k->nr) {
			k->nr++;
		} else if (value && st->nkept < CORE_MSRS_KEPT) {
			k = &st->kept[st->nkept++];
			*k = (struct core_msrs_kept) { .first = i, .nr = 1, .value = value };
		} else {
			st->asked[st->nasked++] = i;
		}
	}
}

/**
 * core_msrs_prepare - which MSRs the new vCPU has, and what is in them
 * @mv: the handoff
 * @cf: the vCPU's descriptor
 * @st: its buffers, freed by core_state_free()
 *
 * Context: the handoff's thread, replaying; sleeps.
 * Return: 0 or an error, and core_move_fail() was told.
 */
int core_msrs_prepare(struct core_move *mv, struct core_file *cf,
		      struct core_vcpu_state *st)
{
	struct core_vm_state *vm = mv->state;
	bool synic = core_record_has_cap(cf, KVM_CAP_HYPERV_SYNIC);
	u32 i, n = synic ? vm->index->nmsrs : vm->common;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} one = { .head.nmsrs = 1 };

	st->msrs = kvzalloc(struct_size(st->msrs, entries, n), GFP_KERNEL_ACCOUNT);
	st->batch = kvzalloc(struct_size(st->batch, entries, MSR_BATCH),
			     GFP_KERNEL_ACCOUNT);
	st->init = kvcalloc(n, sizeof(*st->init), GFP_KERNEL_ACCOUNT);
	st->hidden = kvcalloc(n, sizeof(*st->hidden), GFP_KERNEL_ACCOUNT);
	st->asked = kvcalloc(n, sizeof(*st->asked), GFP_KERNEL_ACCOUNT);
	if (!st->msrs || !st->batch || !st->init || !st->hidden || !st->asked)
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
			if (i < vm->listed)
				st->hidden[st->nhidden++] = msr;
			continue;
		}
		if (is_extra(msr))
			continue;
		if (msr == MSR_IA32_TSC_DEADLINE)
			st->deadline = st->msrs->nmsrs;
		st->init[st->msrs->nmsrs] = one.e.data;
		st->msrs->entries[st->msrs->nmsrs++].index = msr;
	}
	split(mv, cf, st);
	return 0;
}

/*
 * The first that asks KVM for one of Hyper-V's has it allocate what is behind them. Without
 * memory KVM has no such MSR, it says: then it is asked once more if there is some.
 */
static long read_batch(struct core_file *cf, struct kvm_msrs *batch)
{
	const size_t enough = 2 * PAGE_SIZE;
	long r = core_replay_ioctl(cf->file, KVM_GET_MSRS, batch);
	void *p;

	if (r < 0 || r == batch->nmsrs)
		return r;
	p = kmalloc(enough, GFP_KERNEL_ACCOUNT);
	if (!p)
		return -ENOMEM;
	kfree(p);
	return core_replay_ioctl(cf->file, KVM_GET_MSRS, batch);
}

/* @nr of those that have to be asked for, from the @from-th on. */
static int read_some(struct core_move *mv, struct core_file *cf,
		     struct core_vcpu_state *st, u32 from, u32 nr)
{
	struct kvm_msr_entry *e = st->msrs->entries;
	struct kvm_msrs *batch = st->batch;
	const u32 *at = st->asked + from;
	long r;
	u32 i;

	for (i = 0; i < nr; i++)
		batch->entries[i].index = e[at[i]].index;
	batch->nmsrs = nr;
	r = read_batch(cf, batch);
	if (r < 0)
		return core_move_fail(mv, r, "vCPU %d: KVM_GET_MSRS", cf->id);
	if (r != nr)
		return core_move_fail(mv, -EOPNOTSUPP,
				      "vCPU %d: the target only has MSR %#x", cf->id,
				      batch->entries[r].index);
	for (i = 0; i < nr; i++)
		e[at[i]].data = batch->entries[i].data;
	return 0;
}

/* Most of them, the banks of machine checks, are as they were made. */
static void read_kept(struct core_vcpu_state *st, struct core_msrs_kept *k)
{
	u32 i;

	k->same = !memcmp(k->value, st->init + k->first, k->nr * sizeof(u64));
	for (i = 0; !k->same && i < k->nr; i++)
		st->msrs->entries[k->first + i].data = k->value[i];
}

/**
 * core_msrs_read - the MSRs of the source
 * @mv: the handoff
 * @cf: the vCPU's descriptor; nobody else is in there
 * @st: its buffers
 *
 * Context: as core_state_vcpu().
 * Return: 0 or an error, and core_move_fail() was told.
 */
int core_msrs_read(struct core_move *mv, struct core_file *cf,
		   struct core_vcpu_state *st)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} one = { .head.nmsrs = 1 };
	int r = 0;
	u32 i;

	for (i = 0; !r && i < st->nasked; i += MSR_BATCH)
		r = read_some(mv, cf, st, i, min_t(u32, MSR_BATCH, st->nasked - i));
	if (r)
		return r;
	for (i = 0; i < st->nkept; i++)
		read_kept(st, &st->kept[i]);
	/* There is room: each of the list is among those above, or here. */
	for (i = 0; i < st->nhidden; i++) {
		one.e.index = st->hidden[i];
		one.e.data = 0;
		if (core_replay_ioctl(cf->file, KVM_GET_MSRS, &one) != 1 ||
		    !one.e.data)
			continue;
		st->init[st->msrs->nmsrs] = 0;
		st->msrs->entries[st->msrs->nmsrs++] = one.e;
	}
	return 0;
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

/**
 * core_msrs_write - all MSRs but the TSC deadline, to the target
 * @mv: the handoff
 * @cf: the vCPU's descriptor
 * @st: its buffers, read
 *
 * Context: as core_state_vcpu().
 * Return: 0 or an error, and core_move_fail() was told.
 */
int core_msrs_write(struct core_move *mv, struct core_file *cf,
		    struct core_vcpu_state *st)
{
	const struct core_msrs_kept *k = st->kept, *end = k + st->nkept;
	struct kvm_msrs *batch = st->batch;
	u32 i;
	int r;

	batch->nmsrs = 0;
	for (i = 0; i < st->msrs->nmsrs; i++) {
		if (k < end && i == k->first && k++->same) {
			i += k[-1].nr - 1;
			continue;
		}
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

/**
 * core_msrs_write_deadline - the TSC deadline, if there is one
 * @mv: the handoff
 * @cf: the vCPU's descriptor; the target has its LAPIC
 * @st: its buffers, read
 *
 * Context: as core_state_vcpu().
 * Return: 0 or an error, and core_move_fail() was told.
 */
int core_msrs_write_deadline(struct core_move *mv, struct core_file *cf,
			     struct core_vcpu_state *st)
{
	if (st->deadline < 0 || !st->msrs->entries[st->deadline].data)
		return 0;
	st->batch->nmsrs = 1;
	st->batch->entries[0] = st->msrs->entries[st->deadline];
	return write_msrs(mv, cf, st->batch);
}
