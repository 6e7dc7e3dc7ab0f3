// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stage quiesce: the source's irqfds stop listening, and signals stay in the
 * eventfds' counters.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/delay.h>
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/uio.h>
#include <relay/compat.h>

#include "core.h"
#include "private.h"

/*
 * Empties an eventfd's counter, as KVM does, to which many signals are one. A signal that
 * is on its way is waited for.
 */
static bool read_eventfd(struct file *file)
{
	struct kiocb kiocb;
	struct iov_iter iter;
	struct kvec vec;
	u64 n = 0;

	vec.iov_base = &n;
	vec.iov_len = sizeof(n);
	init_sync_kiocb(&kiocb, file);
	kiocb.ki_flags |= IOCB_NOWAIT;
	iov_iter_kvec(&iter, ITER_DEST, &vec, 1, sizeof(n));
	return file->f_op->read_iter(&kiocb, &iter) == sizeof(n) && n;
}

static void signal_eventfd(struct file *file)
{
	struct eventfd_ctx *ctx = eventfd_ctx_fileget(file);

	if (WARN_ON_ONCE(IS_ERR(ctx)))
		return;
	relay_eventfd_signal(ctx);
	eventfd_ctx_put(ctx);
}

/*
 * The eventfds of all irqfds, so that none is closed until core_eventfds_drop() and no
 * irqfd goes away under who walks the source's or the target's. What the record has for
 * the VM does not grow: the gate is held. -EAGAIN when one is being closed, which its
 * irqfds have not been told.
 *
 * Taking a counter's lock, to read it, waits for a signal that still found the
 * irqfd listening.
 */
static int take_signals(struct core_move *mv)
{
	struct core_file *vm = core_file_of(mv->vm_file);
	struct core_entry *e;
	int r = 0;

	mutex_lock(&vm->rec.lock);
	list_for_each_entry(e, &vm->rec.entries, link) {
		if (!e->efd || e->efd->held)
			continue;
		e->efd->held = core_eventfd_get(e->efd);
		if (e->efd->held)
			e->efd->signalled |= read_eventfd(e->efd->held);
		else if (!core_eventfd_closed(e->efd))
			r = -EAGAIN;
	}
	mutex_unlock(&vm->rec.lock);
	return r;
}

/**
 * core_eventfds_drop - the VMM may close its eventfds
 * @mv: the handoff, that may have them
 *
 * Context: the handoff's thread; sleeps.
 */
void core_eventfds_drop(struct core_move *mv)
{
	struct core_file *vm = core_file_of(mv->vm_file);
	struct core_entry *e;

	mutex_lock(&vm->rec.lock);
	list_for_each_entry(e, &vm->rec.entries, link) {
		if (!e->efd || !e->efd->held)
			continue;
		fput(e->efd->held);
		e->efd->held = NULL;
	}
	mutex_unlock(&vm->rec.lock);
}

/**
 * core_signals_give - signals that came while no instance listened
 * @mv: the handoff; an instance listens
 *
 * Context: the handoff's thread; sleeps.
 */
void core_signals_give(struct core_move *mv)
{
	struct core_file *vm = core_file_of(mv->vm_file);
	struct core_entry *e;
	bool signalled;

	mutex_lock(&vm->rec.lock);
	list_for_each_entry(e, &vm->rec.entries, link) {
		if (!e->efd || !e->efd->held)
			continue;
		/* What came meanwhile found nobody who listened. */
		signalled = read_eventfd(e->efd->held) || e->efd->signalled;
		e->efd->signalled = false;
		if (signalled)
			signal_eventfd(e->efd->held);
	}
	mutex_unlock(&vm->rec.lock);
}

/**
 * core_stage_quiesce - the source's irqfds stop listening
 * @mv: the handoff; the VM stands still
 *
 * Context: the handoff's thread, replaying; sleeps.
 * Return: 0 or an error, and core_move_fail() was told.
 */
int core_stage_quiesce(struct core_move *mv)
{
	const struct kvm_core_ops *ops = mv->from->inst->ops;

	ops->vm_hold(mv->vm_file->private_data, true);
	mv->held = true;
	while (take_signals(mv)) {
		if (core_move_late(mv))
			return core_move_fail(mv, -ETIMEDOUT,
					      "an eventfd that is closed does not end");
		usleep_range(20, 100);
	}
	ops->vm_flush(mv->vm_file->private_data);
	/* One of the target's that was signalled while it was made. */
	mv->to->inst->ops->vm_flush(mv->vm_target->private_data);
	return core_dirty_take(mv);
}

/**
 * core_quiesce_undo - undo core_stage_quiesce(), if it was done
 * @mv: the handoff
 *
 * Context: the handoff's thread; sleeps.
 */
void core_quiesce_undo(struct core_move *mv)
{
	if (!mv->held)
		return;
	mv->from->inst->ops->vm_hold(mv->vm_file->private_data, false);
	mv->held = false;
	core_signals_give(mv);
	core_eventfds_drop(mv);
}
