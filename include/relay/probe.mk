# SPDX-License-Identifier: GPL-2.0-only
#
# What the kernel's headers have, as <relay/compat.h> asks: RELAY_HAVE_* for each
# declaration that they are looked through for. A parenthesis is a dot here, for make.
relay_probe_in = $(if $(shell grep -ls '$(3)' $(1)/$(2)),-DRELAY_HAVE_$(4))
relay_probe = $(call relay_probe_in,$(srctree),$(1),$(2),$(3))

ccflags-y += \
	$(call relay_probe,include/linux/cpuhotplug.h,CPUHP_AP_KVM_ONLINE,CPUHP_KVM_ONLINE) \
	$(call relay_probe,include/linux/syscore_ops.h, register_syscore.struct,SYSCORE) \
	$(call relay_probe,include/linux/fs.h,struct file \*get_file_active,GET_FILE_ACTIVE) \
	$(call relay_probe,include/linux/eventfd.h, eventfd_signal.struct eventfd_ctx \*ctx$(comma) __u64 n,EVENTFD_SIGNAL_N) \
	$(call relay_probe,include/trace/stages/stage6_event_callback.h,define __assign_str.dst.	,ASSIGN_STR_DST) \
	$(call relay_probe,include/linux/sched.h,CONFIG_MEMCG_V1,MEMCG_V1) \
	$(call relay_probe,include/linux/slab.h,__kmem_cache_create_args,CACHE_ARGS) \
	$(call relay_probe,include/linux/file.h,^struct fd fdget.unsigned,FDGET) \
	$(call relay_probe,include/linux/mm.h,struct vm_area_struct \*\*vmas$(comma) int \*locked,GUP_VMAS) \
	$(call relay_probe,include/linux/misc_cgroup.h,misc_cg_set_capacity.enum misc_res_type type$(comma) u64,MISC_CG_U64) \
	$(call relay_probe,include/linux/vfio.h,void vfio_free_device,VFIO_FREE_DEVICE) \
	$(call relay_probe,include/linux/vfio.h,CONFIG_VFIO_DEVICE_CDEV,VFIO_DEVICE_FILE) \
	$(call relay_probe,include/linux/psp-sev.h,^void sev_platform_shutdown,SEV_SHUTDOWN)

# <relay/alloc.h>: functions that it is in the place of, or none.
RELAY_ALLOC_WRAPS := $(if $(shell grep -ls 'kmem_cache_alloc_noprof' $(srctree)/include/linux/slab.h),\
	__kmalloc_noprof __kmalloc_large_noprof __kmalloc_cache_noprof kmem_cache_alloc_noprof \
	__kvmalloc_node_noprof kmemdup_noprof __vmalloc_noprof __vcalloc_noprof alloc_pages_noprof \
	__alloc_pages_noprof get_free_pages_noprof)
