// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmm-bench: what exits, interrupts, faults, VMs and passes cost. Meant for a
 * host whose clock counts instructions, where the figures are exact.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/kvm_core.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "vmm.h"

static const char usage[] =
"usage: vmm-bench [-d DEVICE] [-b DEVICE] [-n N] [-c CPUS] [-l MIB] [PART]...\n"
"\n"
"Prints \"name value\" lines, values in nanoseconds of CLOCK_MONOTONIC. Parts, all\n"
"by default: exits create config pass move faults.\n"
"\n"
"  -d, --device DEVICE  KVM to measure (/dev/kvm)\n"
"  -b, --to DEVICE      KVM to pass VMs to (the first)\n"
"  -n, --repeat N       repetitions of what is short (2000)\n"
"  -c, --cpus CPUS      passes of VMs with 1 to so many vCPUs, up to 8 (4)\n"
"  -l, --large MIB      memory of the second row of passes (1024; 0: none)\n"
"  -h, --help\n"
"\n"
"exit_kernel          a CPUID that KVM answers itself\n"
"exit_user            an OUT that userspace answers\n"
"page_fault           the guest's first store to a page that the host has\n"
"irqfd                write to the eventfd, to the guest's next exit after its\n"
"                     handler\n"
"vm_create            KVM_CREATE_VM, KVM_CREATE_VCPU, and closing both\n"
"set_IOCTL            an ioctl that configures a VM or a vCPU, or a pair that\n"
"                     adds and removes\n"
"pass_C_M             a VM of C vCPUs and M MiB: from before the first vCPU is\n"
"                     kicked to the first instruction of any on the target\n"
"pass_all_C_M         to the first instruction of the last of them\n"
"pass_stop_C_M       part of it: all vCPUs out of KVM_RUN\n"
"pass_quiesce_C_M    the irqfds removed, one for each vCPU\n"
"pass_save_C_M       the state read\n"
"pass_restore_C_M    the state set, the irqfds assigned, the vCPUs released\n"
"move_C_M             the same by a handoff, and its stages\n"
"move_C_M_bare        without mapping memory ahead\n"
"faults_pages         pages of a working set\n"
"faults_mapped        faults until it is mapped again after a handoff\n"
"faults_bare          the same without mapping it ahead\n";

struct meter {
	struct vm	*vm;
	enum bench_op	next;		/* what the guest is told next */
	__u64		n;
	__u64		started;	/* when it was told */
	__u64		took;
	__u64		irq_at;
	__u64		irq_sum;
	bool		running;
	bool		ready;
};

/*
 * The guest asks what to do: what lies between two questions is measured. All
 * of it happens in the vCPU's own thread, so no thread has to be woken.
 */
static bool on_pio(struct vcpu *v, __u16 port, bool in, void *data)
{
	struct meter *m = v->vm->priv;
	__u64 one = 1, now = now_ns();
	__u32 op;

	if (port == PORT_ECHO) {
		if (m->irq_at)
			m->irq_sum += now - m->irq_at;
		m->irq_at = now_ns();
		if (write(v->vm->fds.irq[v->id], &one, sizeof(one)) != sizeof(one))
			m->irq_sum = 0;
		return true;
	}
	if (port != PORT_BENCH || !in)
		return false;
	if (m->running) {
		m->took = now - m->started;
		m->running = false;
	}
	op = m->next;
	if (op != BENCH_IDLE) {
		m->running = true;
		m->next = BENCH_IDLE;
	}
	VMM_STORE(vm_shared(v->vm->mem)->bench_op, op);
	memcpy(data, &op, sizeof(op));
	if (!m->running)
		VMM_STORE(m->ready, true);
	m->started = now_ns();
	return true;
}

static int wait_ready(struct meter *m)
{
	__u64 start = now_ns();

	while (!VMM_LOAD(m->ready)) {
		if (vm_cpu_page(m->vm->mem, 0)->fail ||
		    VMM_LOAD(m->vm->report->died[0][0]))
			return vmm_error(0, "the guest failed: %s",
					 m->vm->report->died[0]);
		if (now_ns() - start > 300000000000ull)
			return vmm_error(ETIMEDOUT, "the guest did not answer");
		usleep(1000);
	}
	return 0;
}

/* Time of n repetitions of op by vCPU 0. */
static int measure(struct meter *m, enum bench_op op, unsigned int n, __u64 *took)
{
	struct guest_shared *sh = vm_shared(m->vm->mem);
	int ret;

	ret = wait_ready(m);
	if (ret)
		return ret;
	VMM_STORE(m->ready, false);
	m->irq_at = 0;
	m->irq_sum = 0;
	m->next = op;
	VMM_STORE(sh->bench_n, n);
	/* Ends the waiting, and with it vCPU 0 asks. */
	VMM_STORE(sh->bench_op, op);
	ret = wait_ready(m);
	*took = op == BENCH_IRQ ? m->irq_sum : m->took;
	return ret;
}

static void print(const char *name, __u64 ns, unsigned int n)
{
	printf("%s %.1f\n", name, (double)ns / n);
	fflush(stdout);
}

static struct vm *start(const char *dev, const struct vm_shape *shape,
			const struct vm_fds *fds, struct vm_report *report,
			struct meter *m)
{
	struct vm *vm = vm_create(dev, shape, fds, report);

	if (!vm)
		return NULL;
	memset(m, 0, sizeof(*m));
	m->vm = vm;
	m->next = BENCH_IDLE;
	vm->priv = m;
	vm->on_pio = on_pio;
	/* The host's side of each page is there: only the guest's is measured. */
	memset(vm->mem, 0, shape->mem);
	if (vm_boot(vm) || vm_resume(vm)) {
		vm_destroy(vm);
		return NULL;
	}
	return vm;
}

static int bench_exits(const char *dev, unsigned int n)
{
	struct vm_shape shape = {
		.guest = GUEST_bench, .cpus = 1, .mem = 64 << 20,
	};
	static const struct {
		const char	*name;
		enum bench_op	op;
	} ops[] = {
		{ "exit_kernel", BENCH_CPUID },
		{ "exit_user", BENCH_PIO },
		{ "page_fault", BENCH_TOUCH },
	};
	struct vm_report report = { 0 };
	__u64 nothing, took;
	struct vm_fds fds;
	struct meter m;
	struct vm *vm;
	unsigned int i;
	int ret = 1;

	if (vm_fds_make(&shape, &fds))
		return 1;
	vm = start(dev, &shape, &fds, &report, &m);
	if (!vm)
		goto out;
	/* Once to warm up, and for what every measurement has in common. */
	if (measure(&m, BENCH_CPUID, 100, &took) ||
	    measure(&m, BENCH_PIO, 100, &took) ||
	    measure(&m, BENCH_NOTHING, 1, &nothing) ||
	    measure(&m, BENCH_NOTHING, 1, &nothing))
		goto out;
	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		fprintf(stderr, "vmm-bench: %s\n", ops[i].name);
		if (measure(&m, ops[i].op, n, &took))
			goto out;
		print(ops[i].name, took - nothing, n);
	}
	fprintf(stderr, "vmm-bench: irqfd\n");
	if (measure(&m, BENCH_IRQ, 20, &took) ||
	    measure(&m, BENCH_IRQ, n + 1, &took))
		goto out;
	print("irqfd", took, n);
	ret = 0;
out:
	vm_destroy(vm);
	vm_fds_close(&fds);
	return ret;
}

static int bench_create(const char *dev)
{
	unsigned int i, n = 20;
	__u64 sum = 0, t;
	int kvm, vm, vcpu;

	fprintf(stderr, "vmm-bench: vm_create\n");
	kvm = open(dev, O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		return vmm_error(errno, "%s", dev) ? 1 : 0;
	for (i = 0; i < n + 2; i++) {
		t = now_ns();
		vm = ioctl(kvm, KVM_CREATE_VM, 0);
		vcpu = vm < 0 ? -1 : ioctl(vm, KVM_CREATE_VCPU, 0);
		if (vcpu < 0) {
			vmm_error(errno, "%s: VM %u", dev, i);
			if (vm >= 0)
				close(vm);
			close(kvm);
			return 1;
		}
		close(vcpu);
		close(vm);
		if (i >= 2)
			sum += now_ns() - t;
	}
	close(kvm);
	print("vm_create", sum, n);
	return 0;
}

/* What the configuration of a VM is tried on. */
struct config {
	int	vm;
	int	vcpu;
	int	event;
	void	*mem;
	struct kvm_cpuid2 *cpuid;
	struct kvm_irq_routing *routing;
};

static int set_memslot(struct config *c, unsigned int i)
{
	struct kvm_userspace_memory_region slot = {
		.guest_phys_addr = 0x10000000,
		.memory_size = i & 1 ? 0 : 0x10000,
		.userspace_addr = (unsigned long)c->mem,
	};

	return ioctl(c->vm, KVM_SET_USER_MEMORY_REGION, &slot);
}

static int set_irqfd(struct config *c, unsigned int i)
{
	struct kvm_irqfd irqfd = {
		.fd = c->event, .gsi = 5,
		.flags = i & 1 ? KVM_IRQFD_FLAG_DEASSIGN : 0,
	};

	return ioctl(c->vm, KVM_IRQFD, &irqfd);
}

static int set_ioeventfd(struct config *c, unsigned int i)
{
	struct kvm_ioeventfd io = {
		.addr = 0xd0000000, .len = 4, .fd = c->event,
		.flags = i & 1 ? KVM_IOEVENTFD_FLAG_DEASSIGN : 0,
	};

	return ioctl(c->vm, KVM_IOEVENTFD, &io);
}

static int set_routing(struct config *c, unsigned int i)
{
	c->routing->entries[0].u.irqchip.pin = i & 1;
	return ioctl(c->vm, KVM_SET_GSI_ROUTING, c->routing);
}

static int set_cap(struct config *c, unsigned int i)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_EXCEPTION_PAYLOAD, .args = { i & 1 },
	};

	return ioctl(c->vm, KVM_ENABLE_CAP, &cap);
}

static int set_cpuid2(struct config *c, unsigned int i)
{
	(void)i;
	return ioctl(c->vcpu, KVM_SET_CPUID2, c->cpuid);
}

static int set_tsc_khz(struct config *c, unsigned int i)
{
	static long khz;

	(void)i;
	if (!khz)
		khz = ioctl(c->vcpu, KVM_GET_TSC_KHZ, 0);
	return ioctl(c->vcpu, KVM_SET_TSC_KHZ, khz);
}

static int set_signal_mask(struct config *c, unsigned int i)
{
	struct {
		struct kvm_signal_mask head;
		__u64 set;
	} mask = { .head.len = 8, .set = i & 1 };

	return ioctl(c->vcpu, KVM_SET_SIGNAL_MASK, &mask);
}

static int set_msrs(struct config *c, unsigned int i)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry star;
	} msrs = { .head.nmsrs = 1, .star = { .index = 0xc0000081, .data = i } };

	return ioctl(c->vcpu, KVM_SET_MSRS, &msrs) == 1 ? 0 : -1;
}

static int config_open(struct config *c, int kvm)
{
	unsigned int i, n = 100;

	c->vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (c->vm < 0 || ioctl(c->vm, KVM_CREATE_IRQCHIP))
		return vmm_error(errno, "a VM with an irqchip");
	c->vcpu = ioctl(c->vm, KVM_CREATE_VCPU, 0);
	c->event = eventfd(0, EFD_CLOEXEC);
	c->mem = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	c->cpuid = calloc(1, sizeof(*c->cpuid) + n * sizeof(c->cpuid->entries[0]));
	c->routing = calloc(1, sizeof(*c->routing) + 24 * sizeof(c->routing->entries[0]));
	if (c->vcpu < 0 || c->event < 0 || c->mem == MAP_FAILED || !c->cpuid ||
	    !c->routing)
		return vmm_error(errno, "a vCPU and what belongs to it");
	c->cpuid->nent = n;
	if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, c->cpuid))
		return vmm_error(errno, "KVM_GET_SUPPORTED_CPUID");
	c->routing->nr = 24;
	for (i = 0; i < 24; i++) {
		c->routing->entries[i].gsi = i;
		c->routing->entries[i].type = KVM_IRQ_ROUTING_IRQCHIP;
		c->routing->entries[i].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
		c->routing->entries[i].u.irqchip.pin = i;
	}
	return 0;
}

static int bench_config(const char *dev)
{
	static const struct {
		const char	*name;
		int		(*set)(struct config *c, unsigned int i);
		unsigned int	each;	/* ioctls that make one */
	} sets[] = {
		{ "set_memslot", set_memslot, 2 },
		{ "set_irqfd", set_irqfd, 2 },
		{ "set_ioeventfd", set_ioeventfd, 2 },
		{ "set_routing", set_routing, 1 },
		{ "set_cap", set_cap, 1 },
		{ "set_cpuid2", set_cpuid2, 1 },
		{ "set_tsc_khz", set_tsc_khz, 1 },
		{ "set_signal_mask", set_signal_mask, 1 },
		{ "set_msrs", set_msrs, 1 },
	};
	struct config c = { .vm = -1, .vcpu = -1, .event = -1, .mem = MAP_FAILED };
	int kvm = open(dev, O_RDWR | O_CLOEXEC), ret;
	unsigned int k, i, n = 200;
	__u64 t = 0;

	ret = kvm < 0 ? vmm_error(errno, "%s", dev) : config_open(&c, kvm);
	for (k = 0; !ret && k < ARRAY_SIZE(sets); k++) {
		fprintf(stderr, "vmm-bench: %s\n", sets[k].name);
		for (i = 0; !ret && i < (n + 10) * sets[k].each; i++) {
			if (i == 10 * sets[k].each)
				t = now_ns();
			if (sets[k].set(&c, i))
				ret = vmm_error(errno, "%s: %s %u", dev, sets[k].name, i);
		}
		if (!ret)
			print(sets[k].name, now_ns() - t, n);
	}
	free(c.routing);
	free(c.cpuid);
	if (c.mem != MAP_FAILED)
		munmap(c.mem, 0x10000);
	if (c.event >= 0)
		close(c.event);
	if (c.vcpu >= 0)
		close(c.vcpu);
	if (c.vm >= 0)
		close(c.vm);
	if (kvm >= 0)
		close(kvm);
	return ret ? 1 : 0;
}

/* The guest's TSC less the host's. Not while the vCPU runs: it would wait. */
static int tsc_offset(struct vcpu *v, __u64 *result)
{
	struct kvm_device_attr a = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (unsigned long)result,
	};

	if (ioctl(v->fd, KVM_GET_DEVICE_ATTR, &a))
		return vmm_error(errno, "%s: TSC offset", v->vm->path);
	return 0;
}

static int wait_epoch(struct vm *vm)
{
	__u32 want = vm_shared(vm->mem)->epoch;
	__u64 start = now_ns();
	unsigned int i;

	for (i = 0; i < vm->shape.cpus; i++)
		while (VMM_LOAD(vm_cpu_page(vm->mem, i)->epoch) != want) {
			if (now_ns() - start > 300000000000ull)
				return vmm_error(ETIMEDOUT, "vCPU %u did not go on", i);
			usleep(1000);
		}
	return 0;
}

static __u64 host_tsc(void)
{
	__u32 lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return lo | (__u64)hi << 32;
}

static int one_pass(struct vm *vm, struct vm *to, struct meter *m, bool show)
{
	struct vm_state st = { 0 };
	__u64 t0, stopped, quiet, saved, restored, tsc0, offset = 0, first = ~0ull, last = 0;
	__u64 khz = vm_shared(vm->mem)->tsc_khz;
	char name[64];
	unsigned int i, c = vm->shape.cpus, mib = vm->shape.mem >> 20;

	to->priv = m;
	to->on_pio = on_pio;
	t0 = now_ns();
	tsc0 = host_tsc();
	vm_pause(vm);
	stopped = now_ns();
	if (tsc_offset(&vm->vcpu[0], &offset) || vm_deassign_irqfds(vm))
		return 1;
	quiet = now_ns();
	if (vm_save(vm, &st))
		return 1;
	saved = now_ns();
	if (vm_restore_and_run(to, &st, DAMAGE_NONE))
		return 1;
	restored = now_ns();
	m->vm = to;
	if (wait_epoch(to))
		return 1;
	tsc0 += offset;
	for (i = 0; i < c; i++) {
		__u64 at = vm_cpu_page(to->mem, i)->gap_to;

		first = at < first ? at : first;
		last = at > last ? at : last;
	}
	state_free(&st);
	if (!show)
		return 0;
	snprintf(name, sizeof(name), "pass_%u_%u", c, mib);
	print(name, (first - tsc0) * 1000000 / khz, 1);
	snprintf(name, sizeof(name), "pass_all_%u_%u", c, mib);
	print(name, (last - tsc0) * 1000000 / khz, 1);
	snprintf(name, sizeof(name), "pass_stop_%u_%u", c, mib);
	print(name, stopped - t0, 1);
	snprintf(name, sizeof(name), "pass_quiesce_%u_%u", c, mib);
	print(name, quiet - stopped, 1);
	snprintf(name, sizeof(name), "pass_save_%u_%u", c, mib);
	print(name, saved - quiet, 1);
	snprintf(name, sizeof(name), "pass_restore_%u_%u", c, mib);
	print(name, restored - saved, 1);
	return 0;
}

static int bench_pass(const char *from, const char *to, unsigned int cpus,
		      unsigned int mib)
{
	struct vm_shape shape = {
		.guest = GUEST_bench, .cpus = cpus, .mem = (__u64)mib << 20,
	};
	struct vm_report report = { 0 };
	struct vm *vm, *next;
	struct vm_fds fds;
	struct meter m;
	int ret = 1, i;

	fprintf(stderr, "vmm-bench: pass, %u vCPUs, %u MiB\n", cpus, mib);
	if (vm_fds_make(&shape, &fds))
		return 1;
	vm = start(from, &shape, &fds, &report, &m);
	if (!vm || wait_ready(&m))
		goto out;
	/* Forth, back, and the second time forth is the one shown. */
	for (i = 0; i < 3; i++) {
		usleep(20000);
		next = vm_create(i & 1 ? from : to, &shape, &fds, &report);
		if (!next)
			goto out;
		ret = one_pass(vm, next, &m, i == 2);
		vm_destroy(vm);
		vm = next;
		if (ret)
			goto out;
	}
out:
	vm_destroy(vm);
	vm_fds_close(&fds);
	return ret;
}

/*
 * The first TSC that the guest read after the VM was stopped at tsc0: the end of
 * the gap that was there when it was released. 0 when there is none.
 */
static __u64 gap_end(const struct guest_cpu *c, __u64 released)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(c->gap); i++)
		if (c->gap[i].from < released && c->gap[i].to >= released)
			return c->gap[i].to;
	return 0;
}

static int one_move(struct vm *vm, const char *to, struct kvm_core_move *mv,
		    unsigned int flags)
{
	memset(mv, 0, sizeof(*mv));
	snprintf(mv->instance, sizeof(mv->instance), "%s", to);
	mv->deadline_us = 10000000;
	mv->timeout_ms = 600000;
	mv->flags = flags;
	if (ioctl(vm->fd, KVM_CORE_VM_MOVE, mv))
		return vmm_error(errno, "move to %s: %.128s", to, mv->reason);
	return 0;
}

/* Memslots that nobody looks into, above the memory. */
static int more_slots(struct vm *vm, unsigned int n)
{
	void *mem = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct kvm_userspace_memory_region slot = {
			.slot = i + 1,
			.guest_phys_addr = 0x100000000ull + i * 0x10000ull,
			.memory_size = 0x10000,
			.userspace_addr = (unsigned long)mem,
		};

		if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot))
			return vmm_error(errno, "memslot %u", i + 1);
	}
	return 0;
}

static int show_move(struct vm *vm, const struct kvm_core_move *mv,
		     const char *name)
{
	static const char * const stages[] = {
		"record", "prepare", "stop", "quiesce", "move", "commit",
		"retire",
	};
	__u64 khz = vm_shared(vm->mem)->tsc_khz, tsc0, released, offset, at;
	__u64 first = ~0ull, last = 0;
	char line[64];
	unsigned int i;

	/* What the TSC was when kvm-core looked at its clock. */
	tsc0 = host_tsc() - (now_ns() - mv->stopped_at_ns) * khz / 1000000;
	vm_pause(vm);
	if (tsc_offset(&vm->vcpu[0], &offset))
		return 1;
	tsc0 += offset;
	released = tsc0 + mv->downtime_ns * khz / 1000000;
	for (i = 0; i < vm->shape.cpus; i++) {
		at = gap_end(vm_cpu_page(vm->mem, i), released);
		if (!at)
			return vmm_error(0, "vCPU %u saw no gap", i);
		first = at < first ? at : first;
		last = at > last ? at : last;
	}
	print(name, (first - tsc0) * 1000000 / khz, 1);
	snprintf(line, sizeof(line), "%s_all", name);
	print(line, (last - tsc0) * 1000000 / khz, 1);
	for (i = 0; i < ARRAY_SIZE(stages); i++) {
		snprintf(line, sizeof(line), "%s_%s", name, stages[i]);
		print(line, mv->stage_ns[i], 1);
	}
	return 0;
}

static int bench_move(const char *dev, const char *to_dev, unsigned int cpus,
		      unsigned int mib, unsigned int slots, bool bare)
{
	const char *from = strrchr(dev, '/') + 1, *to = strrchr(to_dev, '/') + 1;
	struct vm_shape shape = {
		.guest = GUEST_bench, .cpus = cpus, .mem = (__u64)mib << 20,
	};
	struct vm_report report = { 0 };
	struct kvm_core_move mv;
	struct vm_fds fds;
	char name[48];
	struct meter m;
	struct vm *vm;
	int ret = 1, i;

	fprintf(stderr, "vmm-bench: move, %u vCPUs, %u MiB, %u memslots%s\n", cpus,
		mib, slots + 1, bare ? ", not mapped ahead" : "");
	if (vm_fds_make(&shape, &fds))
		return 1;
	vm = start(dev, &shape, &fds, &report, &m);
	if (!vm || wait_ready(&m) || more_slots(vm, slots))
		goto out;
	/* Forth, back, and the second time forth is the one shown. */
	for (i = 0; i < 3; i++) {
		usleep(20000);
		ret = one_move(vm, i & 1 ? from : to, &mv,
			       bare ? KVM_CORE_MOVE_NO_POPULATE : 0);
		if (ret)
			goto out;
	}
	snprintf(name, sizeof(name), "move_%u_%u%s%s", cpus, mib,
		 slots ? "_slots" : "", bare ? "_bare" : "");
	ret = show_move(vm, &mv, name);
out:
	vm_destroy(vm);
	vm_fds_close(&fds);
	return ret;
}

/* A number of the binary statistics of a vCPU, which stops for it. */
static int vcpu_stat(struct vcpu *v, const char *name, __u64 *value)
{
	char text[sizeof(struct kvm_stats_desc) + 256];
	struct kvm_stats_desc *d = (struct kvm_stats_desc *)text;
	struct kvm_stats_header head;
	int fd, ret = -1;
	__u32 i;

	vm_pause(v->vm);
	fd = ioctl(v->fd, KVM_GET_STATS_FD, 0);
	if (fd < 0 || pread(fd, &head, sizeof(head), 0) != sizeof(head))
		goto out;
	for (i = 0; ret && i < head.num_desc; i++) {
		size_t size = sizeof(*d) + head.name_size;

		if (size > sizeof(text) ||
		    pread(fd, text, size, head.desc_offset + i * size) != (ssize_t)size)
			goto out;
		if (!strcmp(d->name, name) &&
		    pread(fd, value, 8, head.data_offset + d->offset) == 8)
			ret = 0;
	}
out:
	if (fd >= 0)
		close(fd);
	if (vm_resume(v->vm))
		ret = -1;
	return ret ? vmm_error(0, "no statistics of %s", name) : 0;
}

/* Faults of a guest that goes through its working set again after a handoff. */
static int bench_faults(const char *dev, const char *to_dev, bool bare)
{
	const char *to = strrchr(to_dev, '/') + 1;
	struct vm_shape shape = {
		.guest = GUEST_bench, .cpus = 1, .mem = 64 << 20,
	};
	const unsigned int pages = 14000;
	struct vm_report report = { 0 };
	struct kvm_core_move mv;
	__u64 took, faults = 0;
	struct vm_fds fds;
	struct meter m;
	struct vm *vm;
	int ret = 1;

	fprintf(stderr, "vmm-bench: faults after a move%s\n",
		bare ? ", not mapped ahead" : "");
	if (vm_fds_make(&shape, &fds))
		return 1;
	vm = start(dev, &shape, &fds, &report, &m);
	if (!vm || measure(&m, BENCH_TOUCH, pages, &took) ||
	    one_move(vm, to, &mv, bare ? KVM_CORE_MOVE_NO_POPULATE : 0) ||
	    measure(&m, BENCH_AGAIN, pages, &took) ||
	    vcpu_stat(&vm->vcpu[0], "pf_taken", &faults))
		goto out;
	if (!bare)
		print("faults_pages", pages, 1);
	/* The target's vCPU counts from the handoff on. */
	print(bare ? "faults_bare" : "faults_mapped", faults, 1);
	ret = 0;
out:
	vm_destroy(vm);
	vm_fds_close(&fds);
	return ret;
}

static int bench_passes(const char *dev, const char *to, unsigned int cpus,
			unsigned int large)
{
	unsigned int i;
	int ret = 0;

	for (i = 1; !ret && i <= cpus; i++)
		ret = bench_pass(dev, to, i, 64);
	for (i = 1; !ret && large && i <= cpus; i++)
		ret = bench_pass(dev, to, i, large);
	return ret;
}

static int bench_moves(const char *dev, const char *to, unsigned int cpus,
		       unsigned int large)
{
	unsigned int i;
	int ret = 0;

	for (i = 1; !ret && i <= cpus; i++)
		ret = bench_move(dev, to, i, 64, 0, false);
	if (!ret && large)
		ret = bench_move(dev, to, 1, large, 0, false);
	if (!ret)
		ret = bench_move(dev, to, 1, 64, 500, false);
	if (!ret)
		ret = bench_move(dev, to, 1, 64, 0, true);
	return ret;
}

/* Parts are named behind the options; without a name, each is wanted. */
static bool wanted(const char *part, int argc, char **argv)
{
	int i;

	for (i = optind; i < argc; i++)
		if (!strcmp(argv[i], part))
			return true;
	return optind == argc;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "device", 1, NULL, 'd' }, { "to", 1, NULL, 'b' },
		{ "repeat", 1, NULL, 'n' }, { "cpus", 1, NULL, 'c' },
		{ "large", 1, NULL, 'l' }, { "help", 0, NULL, 'h' }, { 0 }
	};
	const char *dev = "/dev/kvm", *to = NULL;
	unsigned int n = 2000, cpus = 4, large = 1024;
	int c, ret;

	while ((c = getopt_long(argc, argv, "d:b:n:c:l:h", longs, NULL)) != -1) {
		switch (c) {
		case 'd':
			dev = optarg;
			break;
		case 'b':
			to = optarg;
			break;
		case 'n':
			n = strtoul(optarg, NULL, 0);
			break;
		case 'c':
			cpus = strtoul(optarg, NULL, 0);
			break;
		case 'l':
			large = strtoul(optarg, NULL, 0);
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	/* BENCH_TOUCH needs a page of 56 MiB for each repetition. */
	if (!n || n > 14000 || cpus > GUEST_MAX_CPUS) {
		fputs(usage, stderr);
		return 2;
	}
	ret = 0;
	if (wanted("exits", argc, argv))
		ret = bench_exits(dev, n);
	if (!ret && wanted("create", argc, argv))
		ret = bench_create(dev);
	if (!ret && wanted("config", argc, argv))
		ret = bench_config(dev);
	if (!ret && wanted("pass", argc, argv))
		ret = bench_passes(dev, to ? to : dev, cpus, large);
	/* Stock KVM has no such thing. */
	if (!to || !strstr(dev, "kvm-"))
		return ret;
	if (!ret && wanted("move", argc, argv))
		ret = bench_moves(dev, to, cpus, large);
	if (!ret && wanted("faults", argc, argv))
		ret = bench_faults(dev, to, false) ?: bench_faults(dev, to, true);
	return ret;
}
