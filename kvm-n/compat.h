/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the KVMs that instances are made of, and between the hosts that
 * they call, in one place. Headers were looked through for it (Kbuild.in and
 * include/relay/probe.mk); no version is asked for.
 */
#ifndef __KVM_RELAY_COMPAT_H
#define __KVM_RELAY_COMPAT_H

#include <linux/file.h>
#include <linux/kvm_host.h>
#include <linux/misc_cgroup.h>
#include <linux/mm.h>
#include <linux/slab.h>

/**
 * WRAP_INIT - call a function before the vendor's half of KVM is initialised
 * @before: void (*)(struct kvm_x86_ops *), which may change them
 *
 * Rows entry-vmx and entry-svm. KVM patches static calls from the operations it is given
 * there.
 */
#ifdef RELAY_HAVE_INIT_OPAQUE
#define WRAP_INIT(before)						\
WRAP(kvm_init);								\
REAL(kvm_init);								\
int __wrap_kvm_init(void *opaque, unsigned int vcpu_size,		\
		    unsigned int vcpu_align, struct module *module)	\
{									\
	struct kvm_x86_init_ops *ops = opaque;				\
									\
	before(ops->runtime_ops);					\
	return __real_kvm_init(opaque, vcpu_size, vcpu_align, module);	\
}
#else
#define WRAP_INIT(before)						\
WRAP(kvm_x86_vendor_init);						\
REAL(kvm_x86_vendor_init);						\
int __wrap_kvm_x86_vendor_init(struct kvm_x86_init_ops *ops)		\
{									\
	before(ops->runtime_ops);					\
	return __real_kvm_x86_vendor_init(ops);				\
}
#endif

/**
 * WRAP_CACHE - give the slab caches of an instance names of their own
 * @rename: void (*)(char *to, size_t size, const char *name)
 *
 * Rows cache-*.
 */
#ifdef RELAY_HAVE_CACHE_ARGS
#define WRAP_CACHE(rename)						\
WRAP(__kmem_cache_create_args);						\
REAL(__kmem_cache_create_args);						\
struct kmem_cache *__wrap___kmem_cache_create_args(const char *name,	\
						   unsigned int size,	\
						   struct kmem_cache_args *args, \
						   slab_flags_t flags)	\
{									\
	char full[64];							\
									\
	rename(full, sizeof(full), name);				\
	return __real___kmem_cache_create_args(full, size, args, flags); \
}
#else
#define WRAP_CACHE(rename)						\
WRAP(kmem_cache_create);						\
REAL(kmem_cache_create);						\
WRAP(kmem_cache_create_usercopy);					\
REAL(kmem_cache_create_usercopy);					\
struct kmem_cache *__wrap_kmem_cache_create(const char *name, unsigned int size, \
					    unsigned int align,		\
					    slab_flags_t flags,		\
					    void (*ctor)(void *object))	\
{									\
	char full[64];							\
									\
	rename(full, sizeof(full), name);				\
	return __real_kmem_cache_create(full, size, align, flags, ctor); \
}									\
									\
struct kmem_cache *__wrap_kmem_cache_create_usercopy(const char *name,	\
						     unsigned int size,	\
						     unsigned int align, \
						     slab_flags_t flags, \
						     unsigned int useroffset, \
						     unsigned int usersize, \
						     void (*ctor)(void *object)) \
{									\
	char full[64];							\
									\
	rename(full, sizeof(full), name);				\
	return __real_kmem_cache_create_usercopy(full, size, align, flags, \
						 useroffset, usersize, ctor); \
}
#endif

/**
 * WRAP_FDGET - answer fdget() where there is an answer
 * @find: bool (*)(unsigned int fd, struct file **file); the file is held by others, so
 *	there is nothing for fdput() to do
 *
 * Rows fdget-*.
 */
#ifdef RELAY_HAVE_FDGET
#define WRAP_FDGET(find)						\
WRAP(fdget);								\
REAL(fdget);								\
struct fd __wrap_fdget(unsigned int fd)					\
{									\
	struct file *file;						\
									\
	return find(fd, &file) ? BORROWED_FD(file) : __real_fdget(fd);	\
}
#else
#define WRAP_FDGET(find)						\
WRAP(__fdget);								\
REAL(__fdget);								\
unsigned long __wrap___fdget(unsigned int fd)				\
{									\
	struct file *file;						\
									\
	return find(fd, &file) ? (unsigned long)file : __real___fdget(fd); \
}
#endif

/**
 * WRAP_GUP - get_user_pages() with other flags
 * @flags: unsigned int (*)(unsigned int gup_flags)
 *
 * Row gup.
 */
#ifdef RELAY_HAVE_GUP_VMAS
#define WRAP_GUP(flags)							\
WRAP(get_user_pages);							\
REAL(get_user_pages);							\
long __wrap_get_user_pages(unsigned long start, unsigned long nr_pages,	\
			   unsigned int gup_flags, struct page **pages,	\
			   struct vm_area_struct **vmas)		\
{									\
	return __real_get_user_pages(start, nr_pages, flags(gup_flags), pages, vmas); \
}
#define relay_gup_remote(mm, start, nr, gup_flags, locked) \
	get_user_pages_remote(mm, start, nr, gup_flags, NULL, NULL, locked)
#else
#define WRAP_GUP(flags)							\
WRAP(get_user_pages);							\
REAL(get_user_pages);							\
long __wrap_get_user_pages(unsigned long start, unsigned long nr_pages,	\
			   unsigned int gup_flags, struct page **pages)	\
{									\
	return __real_get_user_pages(start, nr_pages, flags(gup_flags), pages); \
}
#define relay_gup_remote(mm, start, nr, gup_flags, locked) \
	get_user_pages_remote(mm, start, nr, gup_flags, NULL, locked)
#endif

/**
 * WRAP_SEV_SHUTDOWN - the firmware of SEV is shut down with the last that uses it
 * @last: bool (*)(void)
 *
 * Row sev-shutdown.
 */
#ifdef RELAY_HAVE_SEV_SHUTDOWN
#define WRAP_SEV_SHUTDOWN(last)						\
WRAP(sev_platform_shutdown);						\
REAL(sev_platform_shutdown);						\
void __wrap_sev_platform_shutdown(void)					\
{									\
	if (last())							\
		__real_sev_platform_shutdown();				\
}
#else
#define WRAP_SEV_SHUTDOWN(last)
#endif

/* What misc_cg_set_capacity() takes. */
#ifdef RELAY_HAVE_MISC_CG_U64
typedef u64 relay_capacity;
#else
typedef unsigned long relay_capacity;
#endif

/* Address spaces of a VM: with SMM there are two. */
#ifdef RELAY_HAVE_NR_AS_IDS
#define relay_address_spaces(kvm) kvm_arch_nr_memslot_as_ids(kvm)
#else
#define relay_address_spaces(kvm) KVM_ADDRESS_SPACE_NUM
#endif

/* A vCPU's page goes into its ring. */
#ifdef RELAY_HAVE_PUSH_VCPU
#define RELAY_PUSH(vcpu, slot, offset) \
void kvm_dirty_ring_push(struct kvm_vcpu *vcpu, u32 slot, u64 offset)
#else
#define RELAY_PUSH(vcpu, slot, offset)					\
static void relay_push(struct kvm_vcpu *vcpu, u32 slot, u64 offset);	\
									\
void kvm_dirty_ring_push(struct kvm_dirty_ring *ring, u32 slot, u64 offset) \
{									\
	relay_push(container_of(ring, struct kvm_vcpu, dirty_ring), slot, offset); \
}									\
									\
static void relay_push(struct kvm_vcpu *vcpu, u32 slot, u64 offset)
#endif

/**
 * RELAY_RING_CHECK - where KVM asks whether a vCPU's ring lets it run
 * @full: bool (*)(struct kvm_dirty_ring *), called when dirty_ring_stopped()
 *
 * Row dirty-ring-entry. Some KVMs make the exit themselves.
 */
#ifdef RELAY_HAVE_RING_REQUEST
#define RELAY_RING_CHECK(full)						\
bool kvm_dirty_ring_check_request(struct kvm_vcpu *vcpu)		\
{									\
	if (!kvm_relay_ring_stopped(vcpu) || !full(&vcpu->dirty_ring))	\
		return false;						\
	vcpu->run->exit_reason = KVM_EXIT_DIRTY_RING_FULL;		\
	trace_kvm_dirty_ring_exit(vcpu);				\
	return true;							\
}									\
									\
bool kvm_use_dirty_bitmap(struct kvm *kvm)				\
{									\
	return !kvm->dirty_ring_size || kvm->dirty_ring_with_bitmap;	\
}									\
									\
bool kvm_arch_allow_write_without_running_vcpu(struct kvm *kvm)		\
{									\
	return false;							\
}
#else
#define RELAY_RING_CHECK(full)						\
bool kvm_dirty_ring_soft_full(struct kvm_dirty_ring *ring)		\
{									\
	return full(ring);						\
}
#endif

/* An interrupt of the PMU that is on its way to the LAPIC arrives. */
#ifdef RELAY_HAVE_PMU_IRQ_WORK
#define relay_pmu_sync(vcpu) irq_work_sync(&vcpu_to_pmu(vcpu)->irq_work)
#else
#define relay_pmu_sync(vcpu) do { } while (0)
#endif

/* NMIs that the vCPU has still to take, one in the CPU's own hands included. */
#ifdef RELAY_HAVE_VNMI
#define relay_nmis(vcpu)						\
	((vcpu)->arch.nmi_pending + atomic_read(&(vcpu)->arch.nmi_queued) + \
	 kvm_x86_call(is_vnmi_pending)(vcpu))
#else
#define relay_nmis(vcpu) \
	((vcpu)->arch.nmi_pending + atomic_read(&(vcpu)->arch.nmi_queued))
#endif

/* Whether the VMM has set a TSC, where KVM asks for that. */
#ifdef RELAY_HAVE_USER_SET_TSC
#define relay_tsc_set(arch) ((arch)->user_set_tsc)
#define relay_tsc_set_put(arch, set) ((arch)->user_set_tsc = (set))
#else
#define relay_tsc_set(arch) true
#define relay_tsc_set_put(arch, set) do { } while (0)
#endif

/* Has the page been taken from its address since kvm->mmu_invalidate_seq was @seq? */
#ifdef RELAY_HAVE_INVALIDATE_GFN
#define relay_invalidate_retry(kvm, seq, slot, gfn) mmu_invalidate_retry_gfn(kvm, seq, gfn)
#else
#define relay_invalidate_retry(kvm, seq, slot, gfn) \
	mmu_invalidate_retry_hva(kvm, seq, __gfn_to_hva_memslot(slot, gfn))
#endif

/* What an entry of a page table is where nothing is. */
#ifndef SHADOW_NONPRESENT_VALUE
#define SHADOW_NONPRESENT_VALUE 0ull
#endif

#ifdef RELAY_HAVE_PUT_ROOT_SHARED
#define relay_put_root(kvm, root) kvm_tdp_mmu_put_root(kvm, root, true)
#else
#define relay_put_root(kvm, root) kvm_tdp_mmu_put_root(kvm, root)
#endif

#endif
