// SPDX-License-Identifier: GPL-2.0-only
/*
 * Features of the CPU that the guest was shown, and that the target's KVM does not have:
 * for another release, or another parameter. A guest that has found a feature uses it, and
 * KVM_SET_CPUID2 takes what it does not support.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/bits.h>
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <asm/cpufeatures.h>
#include <asm/kvm_para.h>

#include "core.h"
#include "private.h"

#define MAX_CPUID	256	/* KVM_MAX_CPUID_ENTRIES */
#define NAMELESS	(-1)

enum reg { EAX, EBX, ECX, EDX };

static const char * const reg_names[] = { "EAX", "EBX", "ECX", "EDX" };

/**
 * struct word - features, a bit each
 * @function:	of CPUID
 * @index:	likewise
 * @reg:	enum reg
 * @first:	X86_FEATURE_* of bit 0, or NAMELESS
 */
struct word {
	u32 function;
	u32 index;
	int reg;
	int first;
};

static const struct word words[] = {
	{ 1, 0, ECX, CPUID_1_ECX * 32 },
	{ 1, 0, EDX, CPUID_1_EDX * 32 },
	{ 7, 0, EBX, CPUID_7_0_EBX * 32 },
	{ 7, 0, ECX, CPUID_7_ECX * 32 },
	{ 7, 0, EDX, CPUID_7_EDX * 32 },
	{ 7, 1, EAX, CPUID_7_1_EAX * 32 },
	{ 0xd, 0, EAX, NAMELESS },
	{ 0xd, 1, EAX, CPUID_D_1_EAX * 32 },
	{ 0x80000001, 0, ECX, CPUID_8000_0001_ECX * 32 },
	{ 0x80000001, 0, EDX, CPUID_8000_0001_EDX * 32 },
	{ 0x80000008, 0, EBX, CPUID_8000_0008_EBX * 32 },
	{ 0x8000000a, 0, EDX, CPUID_8000_000A_EDX * 32 },
	{ 0x80000021, 0, EAX, NAMELESS },
};

#define NAME(feature) { X86_FEATURE_##feature, #feature }

/* Those that KVM's parameters, its releases, or the host's command line take away. */
static const struct {
	int feature;
	const char *name;
} names[] = {
	NAME(VMX), NAME(SVM), NAME(X2APIC), NAME(XSAVE), NAME(AVX), NAME(PCID),
	NAME(PDCM), NAME(DS), NAME(RDTSCP), NAME(LM), NAME(NX), NAME(GBPAGES),
	NAME(PERFCTR_CORE), NAME(TOPOEXT), NAME(LBRV), NAME(NPT), NAME(NRIPS),
	NAME(TSCRATEMSR), NAME(VMCBCLEAN), NAME(FLUSHBYASID), NAME(DECODEASSISTS),
	NAME(PAUSEFILTER), NAME(PFTHRESHOLD), NAME(AVIC), NAME(V_VMSAVE_VMLOAD),
	NAME(VGIF), NAME(V_SPEC_CTRL), NAME(RTM), NAME(HLE), NAME(INTEL_PT), NAME(SGX),
	NAME(SGX_LC), NAME(SMEP), NAME(SMAP), NAME(INVPCID), NAME(FSGSBASE), NAME(AVX2),
	NAME(AVX512F), NAME(PKU), NAME(LA57), NAME(UMIP), NAME(RDPID), NAME(WAITPKG),
	NAME(ARCH_LBR), NAME(AMX_TILE), NAME(SPEC_CTRL), NAME(ARCH_CAPABILITIES),
	NAME(SPEC_CTRL_SSBD), NAME(AMD_IBPB), NAME(AMD_IBRS), NAME(AMD_STIBP), NAME(AMD_SSBD),
	NAME(VIRT_SSBD), NAME(XSAVES), NAME(XSAVEC), NAME(MD_CLEAR), NAME(FLUSH_L1D),
};

static const char *name_of(const struct word *w, int bit)
{
	int i;

	for (i = 0; w->first != NAMELESS && i < ARRAY_SIZE(names); i++)
		if (names[i].feature == w->first + bit)
			return names[i].name;
	return "a feature";
}

static const struct kvm_cpuid_entry2 *find(const struct kvm_cpuid2 *c, u32 function, u32 index)
{
	u32 i;

	for (i = 0; i < c->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &c->entries[i];

		if (e->function == function &&
		    (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == index))
			return e;
	}
	return NULL;
}

static u32 value(const struct kvm_cpuid2 *c, u32 function, u32 index, int reg)
{
	const struct kvm_cpuid_entry2 *e = find(c, function, index);

	if (!e)
		return 0;
	return reg == EAX ? e->eax : reg == EBX ? e->ebx : reg == ECX ? e->ecx : e->edx;
}

/* Where the guest finds what is KVM's: behind what is Hyper-V's, if it has that. */
static u32 kvm_features(const struct kvm_cpuid2 *guest)
{
	u32 i;

	for (i = 0; i < guest->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &guest->entries[i];

		if (e->function >> 16 == KVM_CPUID_SIGNATURE >> 16 && !(e->function & 0xff) &&
		    !memcmp(&e->ebx, KVM_SIGNATURE, sizeof(e->ebx)))
			return value(guest, e->function + 1, 0, EAX);
	}
	return 0;
}

/* What the source's KVM does not have either is the VMM's affair, which set it all the same. */
static int compare(struct core_move *mv, int id, const struct kvm_cpuid2 *guest,
		   const struct kvm_cpuid2 *from, const struct kvm_cpuid2 *to)
{
	u32 lost;
	int i;

	for (i = 0; i < ARRAY_SIZE(words); i++) {
		const struct word *w = &words[i];

		lost = value(guest, w->function, w->index, w->reg) &
		       value(from, w->function, w->index, w->reg) &
		       ~value(to, w->function, w->index, w->reg);
		if (lost)
			return core_move_fail(mv, -EOPNOTSUPP,
					      "vCPU %d: the target lacks %s (CPUID %#x, bit %d of %s)",
					      id, name_of(w, __ffs(lost)), w->function,
					      (int)__ffs(lost), reg_names[w->reg]);
	}
	lost = kvm_features(guest) & value(from, KVM_CPUID_FEATURES, 0, EAX) &
	       ~value(to, KVM_CPUID_FEATURES, 0, EAX);
	if (lost)
		return core_move_fail(mv, -EOPNOTSUPP,
				      "vCPU %d: the target lacks a feature of KVM's (CPUID %#x, bit %d of EAX)",
				      id, KVM_CPUID_FEATURES, (int)__ffs(lost));
	/* The version of the PMU, and 0 where KVM has none. */
	if ((u8)value(guest, 0xa, 0, EAX) > (u8)value(to, 0xa, 0, EAX) &&
	    (u8)value(guest, 0xa, 0, EAX) <= (u8)value(from, 0xa, 0, EAX))
		return core_move_fail(mv, -EOPNOTSUPP,
				      "vCPU %d: the target lacks version %u of the PMU (CPUID 0xa)",
				      id, (u8)value(guest, 0xa, 0, EAX));
	return 0;
}

static struct kvm_cpuid2 *supported(struct core_instance *ci)
{
	size_t size = struct_size_t(struct kvm_cpuid2, entries, MAX_CPUID);
	struct kvm_cpuid2 *c = kvzalloc(size, GFP_KERNEL_ACCOUNT);
	long r;

	if (!c)
		return ERR_PTR(-ENOMEM);
	c->nent = MAX_CPUID;
	r = core_replay_system(ci, KVM_GET_SUPPORTED_CPUID, c, size);
	if (r >= 0)
		return c;
	kvfree(c);
	return ERR_PTR(r);
}

static int compare_vcpu(struct core_move *mv, struct core_file *cf,
			const struct kvm_cpuid2 *from, const struct kvm_cpuid2 *to)
{
	struct core_entry *e;
	int r = 0;

	mutex_lock(&cf->rec.lock);
	list_for_each_entry(e, &cf->rec.entries, link)
		if (e->cmd == KVM_SET_CPUID2)
			r = compare(mv, cf->id, (const void *)e->data, from, to);
	mutex_unlock(&cf->rec.lock);
	return r;
}

/**
 * core_features_check - does the target's KVM have what the guest was shown?
 * @mv: the handoff, after core_stage_record()
 *
 * Of vCPUs whose CPUID is by the old KVM_SET_CPUID nothing is known.
 *
 * Context: the handoff's thread, replaying; sleeps.
 * Return: 0 or an error, and core_move_fail() was told.
 */
int core_features_check(struct core_move *mv)
{
	struct kvm_cpuid2 *from, *to;
	struct core_file *cf;
	struct core_pair *p;
	int r = 0;

	if (mv->from == mv->to)
		return 0;
	from = supported(mv->from);
	if (IS_ERR(from))
		return core_move_fail(mv, PTR_ERR(from), "KVM_GET_SUPPORTED_CPUID");
	to = supported(mv->to);
	if (IS_ERR(to)) {
		r = core_move_fail(mv, PTR_ERR(to), "KVM_GET_SUPPORTED_CPUID of the target");
		goto out;
	}
	for_each_vcpu(cf, p, mv) {
		r = compare_vcpu(mv, cf, from, to);
		if (r)
			break;
	}
	kvfree(to);
out:
	kvfree(from);
	return r;
}
