/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Allocations of a module, by ld --wrap, for kernels that have no mark which keeps a task's
 * charges from the OOM killer: what a handoff allocates is the VM's, is tried once, and may
 * fail (kvm-core/handoff/charge.c). A file of its own includes this, once in a module;
 * RELAY_ALLOC_WRAPS of probe.mk has the names for the linker.
 */
#ifndef __RELAY_ALLOC_H
#define __RELAY_ALLOC_H

#include <linux/gfp.h>
#include <kvm-core/instance.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#define RELAY_WRAP_ALLOC(type, name, params, args)			\
type __real_##name params;						\
type __wrap_##name params;						\
type __wrap_##name params						\
{									\
	struct mem_cgroup *outer;					\
	type p;								\
									\
	if (likely(!kvm_core_alloc_begin(&gfp, &outer)))		\
		return __real_##name args;				\
	p = __real_##name args;						\
	kvm_core_alloc_end(outer);					\
	return p;							\
}

RELAY_WRAP_ALLOC(void *, __kmalloc_noprof, (size_t size, gfp_t gfp), (size, gfp))
RELAY_WRAP_ALLOC(void *, __kmalloc_large_noprof, (size_t size, gfp_t gfp), (size, gfp))
RELAY_WRAP_ALLOC(void *, __kmalloc_cache_noprof,
		 (struct kmem_cache *s, gfp_t gfp, size_t size), (s, gfp, size))
RELAY_WRAP_ALLOC(void *, kmem_cache_alloc_noprof, (struct kmem_cache *s, gfp_t gfp),
		 (s, gfp))
RELAY_WRAP_ALLOC(void *, __kvmalloc_node_noprof,
		 (DECL_BUCKET_PARAMS(size, b), gfp_t gfp, int node),
		 (PASS_BUCKET_PARAMS(size, b), gfp, node))
RELAY_WRAP_ALLOC(void *, kmemdup_noprof, (const void *src, size_t len, gfp_t gfp),
		 (src, len, gfp))
RELAY_WRAP_ALLOC(void *, __vmalloc_noprof, (unsigned long size, gfp_t gfp), (size, gfp))
RELAY_WRAP_ALLOC(void *, __vcalloc_noprof, (size_t n, size_t size, gfp_t gfp),
		 (n, size, gfp))
RELAY_WRAP_ALLOC(struct page *, alloc_pages_noprof, (gfp_t gfp, unsigned int order),
		 (gfp, order))
RELAY_WRAP_ALLOC(struct page *, __alloc_pages_noprof,
		 (gfp_t gfp, unsigned int order, int nid, nodemask_t *mask),
		 (gfp, order, nid, mask))
RELAY_WRAP_ALLOC(unsigned long, get_free_pages_noprof, (gfp_t gfp, unsigned int order),
		 (gfp, order))

#endif
