// SPDX-License-Identifier: GPL-2.0-only
/*
 * What became of handoffs: the last ones, counters of all, an uevent for each.
 *
 * A VMM may hand its VM over as often as it likes. What it asks for is kept apart from
 * what operators asked for, and tells udev of itself now and then only.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/cred.h>
#include <linux/kobject.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pid.h>
#include <linux/ratelimit.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

#include "core.h"
#include "admin.h"
#include "file/file.h"
#include "handoff/handoff.h"

/* A host's VMs once, or as many as it had in a bad night. */
#define OPERATORS	1024
#define OWN		256

/* The greatest errno that a program may know. */
#define LAST_ERRNO	EHWPOISON

/**
 * struct entry - a handoff, and who it concerned
 * @h:		but for what depends on who asks
 * @pid:	has a reference
 * @uid:	the user
 */
struct entry {
	struct kvm_core_handoff h;
	struct pid *pid;
	kuid_t uid;
};

/**
 * struct ring - the last of them
 * @entries:	@size of them; those with h.seq 0 are not used yet
 * @size:	number of entries
 * @next:	is written next
 */
struct ring {
	struct entry *entries;
	unsigned int size;
	unsigned int next;
};

/**
 * struct event - a handoff that udev is still to hear of
 * @link:	in untold
 * @e:		the handoff
 */
struct event {
	struct list_head link;
	struct entry e;
};

/*
 * The vCPUs of a VM that was adopted run when the adopter's call has returned, and what
 * udev starts is not to come before that.
 */
#define TELL_DELAY	msecs_to_jiffies(20)

/* Protects all that follows; nobody holds it while he waits for userspace. */
static DEFINE_MUTEX(history_lock);
static struct ring rings[2] = { { .size = OPERATORS }, { .size = OWN } };
static u64 last_seq;
static LIST_HEAD(untold);
static struct kvm_core_stats stats = {
	.bound_us = {
		1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000, 500000, 1000000, 10000000,
	},
};

/* By stage, errno, and whether no operator had asked. */
static u64 failures[KVM_CORE_STAGES][LAST_ERRNO + 1][2];

/* Of those that no operator asked for. */
static struct ratelimit_state own_events;

/* No operator asked for it. */
static bool is_own(const struct kvm_core_handoff *h)
{
	return h->flags & (KVM_CORE_HANDOFF_OWN | KVM_CORE_HANDOFF_ADOPT);
}

static void count_stopped(u64 ns)
{
	int i;

	for (i = 0; i < KVM_CORE_STOPPED_BUCKETS - 1; i++)
		if (ns <= stats.bound_us[i] * (u64)NSEC_PER_USEC)
			break;
	stats.stopped[i]++;
	stats.stopped_ns += ns;
}

static void count(const struct kvm_core_handoff *h)
{
	bool own = is_own(h);

	if (h->flags & KVM_CORE_HANDOFF_DRY_RUN) {
		(*(h->error ? &stats.dry_runs_failed : &stats.dry_runs))++;
		return;
	}
	if (h->error) {
		(*(own ? &stats.failed_own : &stats.failed))++;
		failures[h->stage][h->error <= LAST_ERRNO ? h->error : EIO][own]++;
		return;
	}
	if (h->flags & KVM_CORE_HANDOFF_ADOPT)
		stats.adopted++;
	else
		(*(own ? &stats.moved_own : &stats.moved))++;
	count_stopped(h->downtime_ns);
}

/* The former entry's pid is put. */
static void keep(const struct entry *e)
{
	struct ring *ring = &rings[is_own(&e->h)];
	struct entry *to = &ring->entries[ring->next];

	put_pid(to->pid);
	*to = *e;
	get_pid(to->pid);
	to->h.seq = ++last_seq;
	ring->next = (ring->next + 1) % ring->size;
}

static const char *event_of(const struct kvm_core_handoff *h)
{
	if (h->error)
		return "failed";
	return h->flags & KVM_CORE_HANDOFF_ADOPT ? "adopted" : "moved";
}

/* Command names are not in it: a rule that has one in a command line gave it away. */
static void tell(const struct entry *e)
{
	const struct kvm_core_handoff *h = &e->h;
	char *env[11] = { };
	int i = 0, j;

	if (h->flags & KVM_CORE_HANDOFF_DRY_RUN)
		return;
	if (is_own(h) && !__ratelimit(&own_events))
		return;
	env[i++] = kasprintf(GFP_KERNEL, "KVM_RELAY_EVENT=%s", event_of(h));
	env[i++] = kasprintf(GFP_KERNEL, "KVM_RELAY_VM=%u", h->vm);
	env[i++] = kasprintf(GFP_KERNEL, "KVM_RELAY_PID=%d", pid_nr(e->pid));
	env[i++] = kasprintf(GFP_KERNEL, "KVM_RELAY_FROM=%s", h->from);
	env[i++] = kasprintf(GFP_KERNEL, "KVM_RELAY_TO=%s", h->to);
	env[i++] = kasprintf(GFP_KERNEL, "KVM_RELAY_STAGE=%s", core_stage_name(h->stage));
	env[i++] = kasprintf(GFP_KERNEL, "KVM_RELAY_ERROR=%u", h->error);
	env[i++] = kasprintf(GFP_KERNEL, "KVM_RELAY_STOPPED_US=%llu",
			     div_u64(h->downtime_ns, NSEC_PER_USEC));
	env[i++] = kasprintf(GFP_KERNEL, "KVM_RELAY_ASKED=%s",
			     h->flags & KVM_CORE_HANDOFF_OWN ? "vmm" :
			     h->flags & KVM_CORE_HANDOFF_ADOPT ? "adopter" : "operator");
	if (h->error)
		env[i++] = kasprintf(GFP_KERNEL, "KVM_RELAY_REASON=%s", h->reason);
	for (j = 0; j < i && env[j]; j++)
		;
	if (j == i)
		core_control_event(env);
	while (i--)
		kfree(env[i]);
}

static void put_event(struct event *event)
{
	put_pid(event->e.pid);
	kfree(event);
}

static void tell_untold(struct work_struct *work)
{
	struct event *event;

	for (;;) {
		mutex_lock(&history_lock);
		event = list_first_entry_or_null(&untold, struct event, link);
		if (event)
			list_del(&event->link);
		mutex_unlock(&history_lock);
		if (!event)
			return;
		tell(&event->e);
		put_event(event);
	}
}

static DECLARE_DELAYED_WORK(tell_work, tell_untold);

/**
 * core_history_flush - udev has been told of all handoffs that have ended
 *
 * Context: process; sleeps.
 */
void core_history_flush(void)
{
	flush_delayed_work(&tell_work);
}

/**
 * core_history_add - a handoff has ended
 * @vm: the VM, with a reference
 * @args: with its result
 * @flags: KVM_CORE_HANDOFF_OWN, KVM_CORE_HANDOFF_ADOPT
 *
 * Context: process; sleeps, and not for a VMM.
 */
void core_history_add(struct core_vm *vm, const struct kvm_core_move *args, u32 flags)
{
	bool adopted = flags & KVM_CORE_HANDOFF_ADOPT && !args->error;
	struct core_owner owner;
	struct event *event;
	struct entry *e;
	int i;

	/* Without an instance it has not begun. */
	if (args->error == EALREADY || !*args->from)
		return;
	event = kzalloc(sizeof(*event), GFP_KERNEL);
	if (!event)
		return;
	e = &event->e;
	core_vm_owner(vm, &owner);
	e->pid = get_pid(owner.pid);
	e->uid = owner.uid;
	if (args->flags & KVM_CORE_MOVE_DRY_RUN)
		flags |= KVM_CORE_HANDOFF_DRY_RUN;
	e->h.time_ns = ktime_get_real_ns();
	e->h.downtime_ns = args->downtime_ns;
	e->h.vm = vm->id;
	e->h.flags = flags;
	e->h.stage = args->stage;
	e->h.error = args->error;
	e->h.vcpus = args->vcpus;
	e->h.attempts = args->attempts;
	for (i = 0; i < KVM_CORE_STAGES; i++)
		e->h.total_ns += args->stage_ns[i];
	memcpy(e->h.comm, owner.comm, sizeof(e->h.comm));
	strscpy(e->h.from, args->from, sizeof(e->h.from));
	strscpy(e->h.to, *args->instance ? args->instance : args->from, sizeof(e->h.to));
	strscpy(e->h.reason, args->reason, sizeof(e->h.reason));
	core_owner_exit(&owner);

	/* In the order in which they ended. */
	if (!adopted)
		core_history_flush();
	mutex_lock(&history_lock);
	count(&e->h);
	keep(e);
	if (adopted)
		list_add_tail(&event->link, &untold);
	mutex_unlock(&history_lock);
	if (adopted) {
		queue_delayed_work(system_wq, &tell_work, TELL_DELAY);
		return;
	}
	tell(e);
	put_event(event);
}

static const struct entry *first_from(u64 seq)
{
	const struct entry *found = NULL, *e;
	const struct ring *ring;

	for (ring = rings; ring < rings + ARRAY_SIZE(rings); ring++)
		for (e = ring->entries; e < ring->entries + ring->size; e++)
			if (e->h.seq && e->h.seq >= seq && (!found || e->h.seq < found->h.seq))
				found = e;
	return found;
}

/**
 * core_history_get - KVM_CORE_HISTORY
 * @arg: the argument
 *
 * Context: process; sleeps.
 * Return: 0, -ENOENT, -EFAULT.
 */
long core_history_get(struct kvm_core_handoff __user *arg)
{
	struct kvm_core_handoff h;
	const struct entry *e;
	u64 seq;

	if (get_user(seq, &arg->seq))
		return -EFAULT;
	mutex_lock(&history_lock);
	e = first_from(seq);
	if (e) {
		h = e->h;
		h.pid = pid_vnr(e->pid);
		h.uid = from_kuid_munged(current_user_ns(), e->uid);
	}
	mutex_unlock(&history_lock);
	if (!e)
		return -ENOENT;
	return copy_to_user(arg, &h, sizeof(h)) ? -EFAULT : 0;
}

/**
 * core_history_stats - KVM_CORE_STATS
 * @arg: the argument
 *
 * Context: process; sleeps.
 * Return: 0, -EINVAL, -EFAULT.
 */
long core_history_stats(struct kvm_core_stats __user *arg)
{
	struct kvm_core_stats now;
	u32 argsz, flags;

	if (get_user(argsz, &arg->argsz) || get_user(flags, &arg->flags))
		return -EFAULT;
	if (argsz != sizeof(now) || flags)
		return -EINVAL;
	mutex_lock(&history_lock);
	now = stats;
	mutex_unlock(&history_lock);
	now.argsz = argsz;
	return copy_to_user(arg, &now, sizeof(now)) ? -EFAULT : 0;
}

/**
 * core_history_failures - KVM_CORE_FAILURES
 * @arg: the argument
 *
 * Context: process; sleeps.
 * Return: 0, -ENOENT, -EFAULT.
 */
long core_history_failures(struct kvm_core_failures __user *arg)
{
	struct kvm_core_failures f = { };
	u32 i, seen = 0;

	if (get_user(f.index, &arg->index))
		return -EFAULT;
	mutex_lock(&history_lock);
	for (i = 0; i < sizeof(failures) / sizeof(u64) && !f.count; i++) {
		f.flags = i & 1 ? KVM_CORE_HANDOFF_OWN : 0;
		f.error = i / 2 % (LAST_ERRNO + 1);
		f.stage = i / 2 / (LAST_ERRNO + 1);
		if (failures[f.stage][f.error][i & 1] && seen++ == f.index)
			f.count = failures[f.stage][f.error][i & 1];
	}
	mutex_unlock(&history_lock);
	if (!f.count)
		return -ENOENT;
	return copy_to_user(arg, &f, sizeof(f)) ? -EFAULT : 0;
}

/**
 * core_history_init - from now on handoffs are remembered
 *
 * Context: process; sleeps.
 * Return: 0 or -ENOMEM.
 */
int core_history_init(void)
{
	struct ring *ring;

	ratelimit_state_init(&own_events, 5 * HZ, 20);
	/* What is left out is no matter for the kernel's log. */
	ratelimit_set_flags(&own_events, RATELIMIT_MSG_ON_RELEASE);
	for (ring = rings; ring < rings + ARRAY_SIZE(rings); ring++) {
		ring->entries = kvcalloc(ring->size, sizeof(*ring->entries), GFP_KERNEL);
		if (!ring->entries) {
			core_history_exit();
			return -ENOMEM;
		}
	}
	return 0;
}

/**
 * core_history_exit - undo core_history_init()
 *
 * Context: process; sleeps. No handoff is under way, and none begins.
 */
void core_history_exit(void)
{
	struct ring *ring;
	unsigned int i;

	for (ring = rings; ring < rings + ARRAY_SIZE(rings); ring++) {
		for (i = 0; ring->entries && i < ring->size; i++)
			put_pid(ring->entries[i].pid);
		kvfree(ring->entries);
		ring->entries = NULL;
	}
}
