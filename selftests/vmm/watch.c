// SPDX-License-Identifier: GPL-2.0-only
/*
 * Looking at a running guest through its memory alone, so that it does not
 * matter which process runs it.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "vmm.h"

/* Signals to a vCPU that makes no step meanwhile. */
#define BURST	64

int watch_open(struct watch *w, const struct vm_shape *shape,
	       const struct vm_fds *fds, struct vm_report *report)
{
	memset(w, 0, sizeof(*w));
	w->shape = *shape;
	w->fds = *fds;
	w->report = report;
	w->patience = 120;
	w->mem = mmap(NULL, shape->mem, PROT_READ | PROT_WRITE, MAP_SHARED,
		      fds->mem, 0);
	if (w->mem == MAP_FAILED) {
		w->mem = NULL;
		return vmm_error(errno, "mmap of the guest's memory");
	}
	return 0;
}

void watch_close(struct watch *w)
{
	if (w->mem)
		munmap(w->mem, w->shape.mem);
	w->mem = NULL;
}

/*
 * Where each signal is there before the handler of the last one has returned, the guest
 * does nothing else any more. After a burst it gets a moment without. Not until it
 * has made a step: it may have gone to HLT behind the last of them.
 */
static void breathe(struct watch *w, unsigned int i)
{
	__u64 step = VMM_LOAD(vm_cpu_page(w->mem, i)->progress);

	if (step != w->step[i])
		w->burst[i] = 0;
	w->step[i] = step;
	if (++w->burst[i] % BURST == 0)
		usleep(1000);
}

void watch_pump(struct watch *w, int ms)
{
	struct pollfd p[GUEST_MAX_CPUS];
	__u64 n, one = 1;
	unsigned int i;

	if (!(guest_needs(w->shape.guest) & (GN_MSI | GN_PIN)) ||
	    guest_needs(w->shape.guest) & GN_BENCH) {
		usleep(ms * 1000);
		return;
	}
	for (i = 0; i < w->shape.cpus; i++) {
		p[i].fd = w->fds.ack[i];
		p[i].events = POLLIN;
	}
	poll(p, w->shape.cpus, ms);
	for (i = 0; i < w->shape.cpus; i++) {
		if (read(w->fds.ack[i], &n, sizeof(n)) == sizeof(n))
			w->acked[i] += n;
		if (w->acked[i] != w->sent[i] ||
		    !VMM_LOAD(vm_cpu_page(w->mem, i)->count[2]) ||
		    VMM_LOAD(vm_cpu_page(w->mem, i)->done))
			continue;
		breathe(w, i);
		if (write(w->fds.irq[i], &one, sizeof(one)) == sizeof(one))
			w->sent[i]++;
	}
}

/* A string in the guest's memory, never beyond it. */
static const char *guest_text(struct watch *w, __u64 addr)
{
	if (addr >= w->shape.mem ||
	    !memchr(w->mem + addr, 0, w->shape.mem - addr))
		return "a reason outside of the guest's memory";
	return w->mem + addr;
}

/* What is wrong with any vCPU; WATCH_OK when nothing is. */
static enum watch_result check(struct watch *w)
{
	unsigned int i;

	for (i = 0; i < w->shape.cpus; i++) {
		struct guest_cpu *c = vm_cpu_page(w->mem, i);

		if (VMM_LOAD(c->fail)) {
			snprintf(w->why, sizeof(w->why),
				 "vCPU %u: %s: want 0x%llx, got 0x%llx (at 0x%llx, extra 0x%llx 0x%llx 0x%llx)",
				 i, guest_text(w, c->fail), c->want, c->got,
				 c->where, c->count[5], c->count[6], c->count[7]);
			return WATCH_FAIL;
		}
		if (VMM_LOAD(w->report->died[i][0])) {
			snprintf(w->why, sizeof(w->why), "%s", w->report->died[i]);
			return WATCH_FAIL;
		}
		if (w->acked[i] > w->sent[i]) {
			snprintf(w->why, sizeof(w->why),
				 "vCPU %u answered %llu interrupts of %llu", i,
				 w->acked[i], w->sent[i]);
			return WATCH_FAIL;
		}
	}
	for (i = 0; i < w->shape.cpus; i++) {
		struct guest_cpu *c = vm_cpu_page(w->mem, i);

		if (VMM_LOAD(c->skip)) {
			snprintf(w->why, sizeof(w->why), "%s",
				 guest_text(w, c->skip));
			return WATCH_SKIP;
		}
	}
	return WATCH_OK;
}

/* Until done() says so; patience is for each vCPU that is not done. */
static enum watch_result until(struct watch *w, const char *what,
			       bool (*done)(struct watch *w, unsigned int i, __u64 arg),
			       const __u64 *arg)
{
	__u64 last[GUEST_MAX_CPUS] = { 0 }, since[GUEST_MAX_CPUS], now, steps;
	enum watch_result r;
	unsigned int i, left;

	for (i = 0; i < w->shape.cpus; i++)
		since[i] = now_ns();
	for (;;) {
		left = 0;
		now = now_ns();
		for (i = 0; i < w->shape.cpus; i++) {
			struct guest_cpu *c = vm_cpu_page(w->mem, i);

			steps = VMM_LOAD(c->progress);
			if (steps != last[i] || done(w, i, arg[i]))
				since[i] = now;
			last[i] = steps;
			left += !done(w, i, arg[i]);
		}
		r = check(w);
		if (r != WATCH_OK || !left)
			return r;
		for (i = 0; i < w->shape.cpus; i++) {
			if (now - since[i] <= w->patience * 1000000000ull)
				continue;
			snprintf(w->why, sizeof(w->why),
				 "no progress for %u s: %s; vCPU %u at step %llu, count %llu, sent %llu, acked %llu",
				 w->patience, what, i, last[i],
				 vm_cpu_page(w->mem, i)->count[0], w->sent[i],
				 w->acked[i]);
			return WATCH_FAIL;
		}
		watch_pump(w, 1);
	}
}

void watch_explain(struct watch *w)
{
	char why[sizeof(w->why)];
	size_t n;
	unsigned int i;

	memcpy(why, w->why, sizeof(why));
	if (check(w) != WATCH_OK) {
		n = strlen(w->why);
		snprintf(w->why + n, sizeof(w->why) - n, "; then %s", why);
		return;
	}
	for (i = 0; i < w->shape.cpus; i++) {
		n = strlen(w->why);
		snprintf(w->why + n, sizeof(w->why) - n, "; vCPU %u at step %llu, count %llu",
			 i, VMM_LOAD(vm_cpu_page(w->mem, i)->progress),
			 VMM_LOAD(vm_cpu_page(w->mem, i)->count[0]));
	}
}

static bool reached(struct watch *w, unsigned int i, __u64 arg)
{
	return VMM_LOAD(vm_cpu_page(w->mem, i)->progress) >= arg;
}

static bool finished(struct watch *w, unsigned int i, __u64 arg)
{
	(void)arg;
	return VMM_LOAD(vm_cpu_page(w->mem, i)->done);
}

enum watch_result watch_steps(struct watch *w, __u64 steps)
{
	__u64 goal[GUEST_MAX_CPUS];
	unsigned int i;

	for (i = 0; i < w->shape.cpus; i++)
		goal[i] = vm_cpu_page(w->mem, i)->progress + steps;
	return until(w, "waiting for steps", reached, goal);
}

static enum watch_result differs(struct watch *w, const char *what, unsigned int i,
				 __u64 want, __u64 got)
{
	snprintf(w->why, sizeof(w->why), "vCPU %u: %s: want %llu, got %llu", i, what,
		 want, got);
	return WATCH_FAIL;
}

static enum watch_result judge_ticks(struct watch *w, unsigned int i)
{
	struct guest_cpu *c = vm_cpu_page(w->mem, i);
	__u64 khz = vm_shared(w->mem)->tsc_khz;
	__u64 tsc = c->tsc_now - c->tsc_first;
	__u64 ns = tsc / khz * 1000000 + tsc % khz * 1000000 / khz;
	__u64 most = ns / c->count[1] * 17 / 16 + 2 + vm_shared(w->mem)->passes;

	if (c->count[0] > most)
		return differs(w, "timer ticks, at most as many as periods passed", i,
			       most, c->count[0]);
	if (c->count[0] < c->progress)
		return differs(w, "timer ticks, at least one for each step", i,
			       c->progress, c->count[0]);
	return WATCH_OK;
}

/*
 * Every interrupt that the guest counted was answered. It counts first, and its thread may
 * lose the CPU for any time before it answers.
 */
static bool answered(struct watch *w, unsigned int i, __u64 arg)
{
	(void)arg;
	return VMM_LOAD(vm_cpu_page(w->mem, i)->count[0]) <= w->acked[i];
}

static bool has_irqs(const struct watch *w)
{
	switch (w->shape.guest) {
	case GUEST_irqfd_msi:
	case GUEST_irqfd_pin:
	case GUEST_irqfd_level:
	case GUEST_hv_event:
	case GUEST_hv_sint:
		return true;
	default:
		return false;
	}
}

enum watch_result watch_finish(struct watch *w)
{
	static const __u64 none[GUEST_MAX_CPUS];
	enum watch_result r;
	unsigned int i, n = w->shape.cpus;

	VMM_STORE(vm_shared(w->mem)->stop, 1);
	r = until(w, "waiting for the guest's orderly end", finished, none);
	if (r != WATCH_OK)
		return r;
	/* What was on its way when the guest ended, and one that would be too many. */
	watch_pump(w, 20);
	if (has_irqs(w)) {
		r = until(w, "waiting for the last answers", answered, none);
		if (r != WATCH_OK)
			return r;
	}
	for (i = 0; i < n; i++) {
		struct guest_cpu *c = vm_cpu_page(w->mem, i);
		struct guest_cpu *to = vm_cpu_page(w->mem, (i + 1) % n);

		switch (w->shape.guest) {
		case GUEST_timer_oneshot:
		case GUEST_timer_deadline:
		case GUEST_timer_x2apic:
		case GUEST_hlt:
			if (c->count[0] != c->progress)
				return differs(w, "timer ticks, one for each step", i,
					       c->progress, c->count[0]);
			break;
		case GUEST_hv_timer:
			if (c->count[0] != 4 * c->progress)
				return differs(w, "shots, four for each step", i,
					       4 * c->progress, c->count[0]);
			if (c->count[4] > (w->in_place ? 0 : vm_shared(w->mem)->passes))
				return differs(w, "other phases of the ticks, at most", i,
					       w->in_place ? 0 : vm_shared(w->mem)->passes,
					       c->count[4]);
			break;
		case GUEST_timer_periodic:
			r = judge_ticks(w, i);
			if (r != WATCH_OK)
				return r;
			break;
		case GUEST_ipi:
		case GUEST_ipi_x2apic:
			if (c->count[1] != to->count[0])
				return differs(w, "IPIs received of those sent", i,
					       c->count[1], to->count[0]);
			break;
		case GUEST_irqfd_msi:
		case GUEST_irqfd_pin:
		case GUEST_irqfd_level:
		case GUEST_hv_event:
		case GUEST_hv_sint:
			if (w->sent[i] - w->acked[i] > 1)
				return differs(w, "irqfd signals answered", i,
					       w->sent[i], w->acked[i]);
			if (c->count[0] != w->acked[i])
				return differs(w, "interrupts that the guest counted", i,
					       w->acked[i], c->count[0]);
			break;
		case GUEST_pending:
		case GUEST_pv_eoi:
			if (c->count[0] != c->count[1])
				return differs(w, "interrupts taken of those sent", i,
					       c->count[1], c->count[0]);
			break;
		case GUEST_async_pf:
			if (c->count[0] > c->count[1] + c->count[2])
				return differs(w, "pages ready of those not present", i,
					       c->count[0], c->count[1] + c->count[2]);
			break;
		case GUEST_nmi:
			if (c->count[0] != 2 * c->progress)
				return differs(w, "NMIs, two for each step", i,
					       2 * c->progress, c->count[0]);
			break;
		default:
			break;
		}
	}
	return WATCH_OK;
}
