// SPDX-License-Identifier: GPL-2.0-only
/* The guest image in the VM's memory, and vCPUs at its entry in long mode. */
#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include "vmm.h"

/* image.S */
extern const char guest_image[], guest_image_end[];

#define MAX_CPUID	256
#define IS_HYPERVISOR(function)	((function) >> 16 == 0x4000)

/* Hyper-V's leaves in the place of KVM's own. */
static int add_hyperv(struct vcpu *v, struct kvm_cpuid2 *c)
{
	struct kvm_cpuid2 *hv;
	__u32 i, n = 0;
	int ret = 0;

	hv = calloc(1, sizeof(*hv) + MAX_CPUID * sizeof(hv->entries[0]));
	if (!hv)
		return vmm_error(ENOMEM, "CPUID");
	hv->nent = MAX_CPUID;
	if (ioctl(v->vm->kvm, KVM_GET_SUPPORTED_HV_CPUID, hv)) {
		ret = vmm_error(errno, "%s: KVM_GET_SUPPORTED_HV_CPUID", v->vm->path);
		goto out;
	}
	for (i = 0; i < c->nent; i++)
		if (!IS_HYPERVISOR(c->entries[i].function))
			c->entries[n++] = c->entries[i];
	for (i = 0; i < hv->nent && n < MAX_CPUID; i++)
		c->entries[n++] = hv->entries[i];
	c->nent = n;
out:
	free(hv);
	return ret;
}

/* All that KVM supports, with this vCPU's APIC ID where CPUID shows it. */
static int set_cpuid(struct vcpu *v)
{
	struct kvm_cpuid2 *c;
	__u32 i;
	int ret = 0;

	c = calloc(1, sizeof(*c) + MAX_CPUID * sizeof(c->entries[0]));
	if (!c)
		return vmm_error(ENOMEM, "CPUID");
	c->nent = MAX_CPUID;
	if (ioctl(v->vm->kvm, KVM_GET_SUPPORTED_CPUID, c))
		ret = vmm_error(errno, "%s: KVM_GET_SUPPORTED_CPUID", v->vm->path);
	else if (guest_needs(v->vm->shape.guest) & GN_HYPERV)
		ret = add_hyperv(v, c);
	if (ret)
		goto out;
	for (i = 0; i < c->nent; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[i];

		if (e->function == 1) {
			e->ebx = (e->ebx & 0x00ffffff) | (__u32)v->id << 24;
			/* Offered apart, by KVM_CAP_TSC_DEADLINE_TIMER. */
			if (ioctl(v->vm->kvm, KVM_CHECK_EXTENSION,
				  KVM_CAP_TSC_DEADLINE_TIMER) > 0)
				e->ecx |= 1 << 24;
		}
		if (e->function == 0xb || e->function == 0x1f)
			e->edx = v->id;
		if (e->function == 0x8000001e)
			e->eax = v->id;
	}
	ret = ioctl(v->fd, KVM_SET_CPUID2, c) ?
		vmm_error(errno, "%s: KVM_SET_CPUID2", v->vm->path) : 0;
out:
	free(c);
	return ret;
}

static void set_segment(struct kvm_segment *s, __u16 selector, __u8 type)
{
	memset(s, 0, sizeof(*s));
	s->selector = selector;
	s->limit = 0xffffffff;
	s->type = type;
	s->present = 1;
	s->s = 1;
	s->g = 1;
	if (type == 11)
		s->l = 1;
	else
		s->db = 1;
}

static int set_entry(struct vcpu *v, const struct guest_header *h)
{
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct kvm_regs regs = { 0 };
	struct kvm_sregs s;
	int ret;

	ret = set_cpuid(v);
	if (ret)
		return ret;
	if (ioctl(v->fd, KVM_GET_SREGS, &s))
		return vmm_error(errno, "%s: KVM_GET_SREGS", v->vm->path);
	set_segment(&s.cs, 0x08, 11);
	set_segment(&s.ds, 0x10, 3);
	s.es = s.ds;
	s.fs = s.ds;
	s.gs = s.ds;
	s.ss = s.ds;
	s.gs.base = GUEST_CPU(v->id);
	memset(&s.tr, 0, sizeof(s.tr));
	s.tr.type = 11;
	s.tr.present = 1;
	s.tr.limit = 0x67;
	memset(&s.ldt, 0, sizeof(s.ldt));
	s.ldt.unusable = 1;
	s.gdt.base = h->gdt;
	s.gdt.limit = h->gdt_limit;
	s.idt.base = 0;
	s.idt.limit = 0;
	s.cr0 = 0x80010033;		/* PG WP NE ET MP PE */
	s.cr3 = h->cr3;
	s.cr4 = 0x620;			/* PAE OSFXSR OSXMMEXCPT */
	s.efer = 0xd01;			/* NXE LMA LME SCE */
	if (ioctl(v->fd, KVM_SET_SREGS, &s))
		return vmm_error(errno, "%s: KVM_SET_SREGS", v->vm->path);
	regs.rip = h->entry;
	regs.rdi = v->id;
	regs.rsp = GUEST_STACK_TOP(v->id);
	regs.rflags = 2;
	if (ioctl(v->fd, KVM_SET_REGS, &regs))
		return vmm_error(errno, "%s: KVM_SET_REGS", v->vm->path);
	if (ioctl(v->fd, KVM_SET_MP_STATE, &mp))
		return vmm_error(errno, "%s: KVM_SET_MP_STATE", v->vm->path);
	return 0;
}

static bool host_is_tcg(void)
{
	__u32 a, b, c, d;

	__cpuid(0x40000000, a, b, c, d);
	return b == 0x54474354 && c == 0x43544743 && d == 0x47435447;
}

int vm_boot(struct vm *vm)
{
	const struct guest_header *h = (const void *)guest_image;
	struct guest_shared *sh = vm_shared(vm->mem);
	__u64 ws = vm->shape.ws_per_cpu;
	__u64 room = (vm->shape.mem - GUEST_WS) / vm->shape.cpus & ~0xffffull;
	unsigned int i;
	int ret, khz;

	if (!ws)
		ws = room < (4 << 20) ? room : 4 << 20;
	if (ws > room || ws & 0xffff)
		return vmm_error(0, "working set of %llu bytes per vCPU: at most %llu, by 64 KiB",
				 ws, room);
	memcpy(vm->mem + GUEST_IMAGE, guest_image, guest_image_end - guest_image);
	sh->guest = vm->shape.guest;
	sh->cpus = vm->shape.cpus;
	sh->x2apic = !!(guest_needs(vm->shape.guest) & GN_X2APIC);
	sh->mem = vm->shape.mem;
	sh->host_tcg = host_is_tcg();
	sh->ws_per_cpu = ws;
	for (i = 0; i < vm->shape.cpus; i++) {
		struct guest_cpu *c = vm_cpu_page(vm->mem, i);

		c->self = GUEST_CPU(i);
		c->index = i;
		ret = set_entry(&vm->vcpu[i], h);
		if (ret)
			return ret;
	}
	khz = ioctl(vm->vcpu[0].fd, KVM_GET_TSC_KHZ, 0);
	if (khz <= 0)
		return vmm_error(errno, "%s: KVM_GET_TSC_KHZ", vm->path);
	sh->tsc_khz = khz;
	return vm_assign_irqfds(vm);
}
