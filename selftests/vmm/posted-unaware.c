// SPDX-License-Identifier: GPL-2.0-only
/*
 * Of vmm-posted: the VM goes to a new one by KVM_GET_* and KVM_SET_*, and nobody tells
 * kvm-core. Irqfds are all that the two have in common.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "vmm-posted.h"

/*
 * The VM stands still and @st is its state: is one posted that is not in there? It is when a
 * vCPU has taken all so far. Once more, else.
 */
static bool save_behind(struct test *t, struct vm_state *st)
{
	__u64 until = now_ns() + t->o->patience * 1000000000ull;
	struct vm *vm = t->posted.vm;
	struct poster_stats before, after;
	struct poster_counts c;
	unsigned int i;

	while (now_ns() < until) {
		if (vm_pause(vm) || vm_save(vm, st))
			return broken(t, "the VM is not saved", errno);
		memset(&before, 0, sizeof(before));
		if (!get_stats(t, &before))
			return false;
		for (i = 0; i < t->o->cpus; i++) {
			const __u64 *acks = (void *)(t->posted.w.mem + GUEST_ACKS(i));

			if (!get_counts(t, i, true, &c))
				return false;
			if (c.sent[0] == VMM_LOAD(acks[VEC_IRQFD]))
				break;
		}
		while (i < t->o->cpus && now_ns() < until) {
			memset(&after, 0, sizeof(after));
			if (!get_stats(t, &after))
				return false;
			if (after.sent != before.sent)
				return true;
			usleep(1000);
		}
		state_free(st);
		memset(st, 0, sizeof(*st));
		if (vm_resume(vm))
			return broken(t, "the VM does not go on", errno);
		usleep(random() % 3000);
	}
	return broken(t, "no interrupt is posted behind the state", 0);
}

/* How the old VM ends. */
enum end { BESIDE, BEFORE, DEASSIGNED, WITHOUT_ROUTE, ENDS };

/*
 * What is posted after KVM_GET_LAPIC stays in a descriptor that no vCPU reads. The new VM's
 * irqfds come when the old one's are there, or no longer.
 */
bool posted_unaware(struct test *t, const char *to)
{
	enum end end = t->moves % ENDS;
	struct kvm_irq_routing none = { 0 };
	struct vm *vm = t->posted.vm, *next;
	struct poster_stats st = { 0 };
	struct vm_state state = { 0 };
	static char path[2][64];
	char *p = path[t->moves % 2];
	unsigned int i;

	snprintf(p, sizeof(path[0]), "/dev/%s", to);
	next = vm_create(p, &vm->shape, &vm->fds, t->posted.report);
	if (!next)
		return broken(t, "the target VM was not made", errno);
	st.since = now_ns();
	if (!save_behind(t, &state))
		return false;
	t->late++;
	for (i = 0; i < vm->shape.cpus; i++)
		next->vcpu[i].dev = vm->vcpu[i].dev;
	if (posted_restore(next, &state))
		return broken(t, "the state is not taken", errno);
	state_free(&state);
	if (end == WITHOUT_ROUTE && ioctl(vm->fd, KVM_SET_GSI_ROUTING, &none))
		return broken(t, "KVM_SET_GSI_ROUTING", errno);
	if ((end == DEASSIGNED && vm_deassign_irqfds(vm)) ||
	    (end != BEFORE && vm_assign_irqfds(next)))
		return broken(t, "KVM_IRQFD", errno);
	t->posted.vm = next;
	vm_destroy(vm);
	if (vm_assign_irqfds(next) || vm_resume(next))
		return broken(t, "the new VM does not run", errno);
	return passed(t, &st);
}
