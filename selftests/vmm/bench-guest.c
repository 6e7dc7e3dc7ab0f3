// SPDX-License-Identifier: GPL-2.0-only
/* The guest of vmm-bench is told what to do, and timed. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "bench.h"

/*
 * The guest asks what to do: what lies between two questions is measured. All
 * of it happens in the vCPU's own thread, so no thread has to be woken.
 */
bool bench_on_pio(struct vcpu *v, __u16 port, bool in, void *data)
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

int bench_wait_ready(struct meter *m)
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

int bench_measure(struct meter *m, enum bench_op op, unsigned int n, __u64 *took)
{
	struct guest_shared *sh = vm_shared(m->vm->mem);
	int ret;

	ret = bench_wait_ready(m);
	if (ret)
		return ret;
	VMM_STORE(m->ready, false);
	m->irq_at = 0;
	m->irq_sum = 0;
	m->next = op;
	VMM_STORE(sh->bench_n, n);
	/* Ends the waiting, and with it vCPU 0 asks. */
	VMM_STORE(sh->bench_op, op);
	ret = bench_wait_ready(m);
	*took = op == BENCH_IRQ ? m->irq_sum : m->took;
	return ret;
}

void bench_print(const char *name, __u64 ns, unsigned int n)
{
	printf("%s %.1f\n", name, (double)ns / n);
	fflush(stdout);
}

struct vm *bench_start(const char *dev, const struct vm_shape *shape,
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
	vm->on_pio = bench_on_pio;
	/* The host's side of each page is there: only the guest's is measured. */
	memset(vm->mem, 0, shape->mem);
	if (vm_boot(vm) || vm_resume(vm)) {
		vm_destroy(vm);
		return NULL;
	}
	return vm;
}

int bench_tsc_offset(struct vcpu *v, __u64 *result)
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

__u64 bench_host_tsc(void)
{
	__u32 lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return lo | (__u64)hi << 32;
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

int bench_show_move(struct vm *vm, const struct kvm_core_move *mv,
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
	tsc0 = bench_host_tsc() - (now_ns() - mv->stopped_at_ns) * khz / 1000000;
	vm_pause(vm);
	if (bench_tsc_offset(&vm->vcpu[0], &offset))
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
	bench_print(name, (first - tsc0) * 1000000 / khz, 1);
	snprintf(line, sizeof(line), "%s_all", name);
	bench_print(line, (last - tsc0) * 1000000 / khz, 1);
	for (i = 0; i < ARRAY_SIZE(stages); i++) {
		snprintf(line, sizeof(line), "%s_%s", name, stages[i]);
		bench_print(line, mv->stage_ns[i], 1);
	}
	return 0;
}
