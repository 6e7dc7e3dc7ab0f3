// SPDX-License-Identifier: GPL-2.0-only
/* A running VM to a prepared one, in the same process or over a socket. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "vmm.h"

int vm_stop_and_save(struct vm *vm, struct vm_state *st)
{
	int ret;

	ret = vm_pause(vm);
	if (!ret)
		ret = vm_deassign_irqfds(vm);
	if (!ret)
		ret = vm_save(vm, st);
	if (ret)
		vm_go_on(vm);
	return ret;
}

int vm_go_on(struct vm *vm)
{
	int ret = vm_assign_irqfds(vm);

	return ret ? ret : vm_resume(vm);
}

int vm_restore_and_run(struct vm *vm, struct vm_state *st, enum damage d)
{
	struct guest_shared *sh = vm_shared(vm->mem);
	int ret;

	if (d != DAMAGE_NONE) {
		damage_state(d, st, vm->mem, &vm->shape, &vm->fds);
		/*
		 * On a busy machine a halt is over before the VM runs here, and then nothing
		 * was lost. So they get longer from pass to pass.
		 */
		VMM_STORE(sh->halt_shift, sh->passes < HALT_SHIFT_MAX ? sh->passes :
						HALT_SHIFT_MAX);
	}
	ret = vm_restore(vm, st);
	if (ret)
		return ret;
	VMM_STORE(sh->passes, sh->passes + 1);
	VMM_STORE(sh->epoch, sh->epoch + 1);
	/* Signals that waited in the eventfds are injected right here. */
	return vm_go_on(vm);
}

int vm_pass(struct vm *from, struct vm *to, enum damage d,
	    void (*stopped)(void *arg), void *arg)
{
	struct vm_state st = { 0 };
	unsigned int i;
	int ret;

	ret = vm_stop_and_save(from, &st);
	if (ret)
		goto out;
	if (stopped)
		stopped(arg);
	for (i = 0; i < from->shape.cpus; i++)
		to->vcpu[i].dev = from->vcpu[i].dev;
	ret = vm_restore_and_run(to, &st, d);
	if (ret) {
		/* Nothing ran on the target: the source is still whole. */
		vm_deassign_irqfds(to);
		vm_go_on(from);
	}
out:
	state_free(&st);
	return ret;
}
