// SPDX-License-Identifier: GPL-2.0-only
/*
 * The list of instances, and which of them /dev/kvm opens.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/module.h>

#include "core.h"

/*
 * Orders the life of instances: registration, publication, the default, state.
 * Held while module references are tried, so an instance that is found cannot
 * vanish before it is pinned. Taken before cpus_read_lock() and before any
 * lock of an instance; never taken in a forwarded operation other than open.
 */
DEFINE_MUTEX(core_lock);
LIST_HEAD(core_instances);

static struct core_instance *core_pinned_default;

/**
 * kvm_core_fail - stop trusting an instance
 * @inst: the instance
 * @reason: what it did
 *
 * Every ioctl on its descriptors is -EIO from now on, and it opens no more.
 * Its VMs can be closed, and it can be unloaded then.
 *
 * Context: any but NMI.
 */
void kvm_core_fail(struct kvm_core_instance *inst, const char *reason)
{
	struct core_instance *ci = core_of(inst);

	if (xchg(&ci->state, CORE_FAILED) != CORE_FAILED)
		pr_err("%s failed: %s; its descriptors answer -EIO from now on\n",
		       inst->name, reason);
}
EXPORT_SYMBOL_GPL(kvm_core_fail);

/**
 * core_state_name - the word that sysfs shows
 * @ci: the instance
 *
 * Context: any.
 * Return: a constant string.
 */
const char *core_state_name(const struct core_instance *ci)
{
	switch (READ_ONCE(ci->state)) {
	case CORE_LIVE:
		return "live";
	case CORE_DRAINING:
		return "draining";
	case CORE_FAILED:
		return "failed";
	default:
		return "loading";
	}
}

/**
 * core_default_locked - the instance that /dev/kvm opens
 *
 * Context: core_lock held.
 * Return: the instance or NULL; no reference is taken.
 */
struct core_instance *core_default_locked(void)
{
	struct core_instance *ci, *best = NULL;

	lockdep_assert_held(&core_lock);
	if (core_pinned_default && core_pinned_default->state == CORE_LIVE)
		return core_pinned_default;
	list_for_each_entry(ci, &core_instances, link) {
		if (ci->state != CORE_LIVE)
			continue;
		if (!best || ci->serial > best->serial)
			best = ci;
	}
	return best;
}

/**
 * core_get_default - pin the instance that /dev/kvm opens
 *
 * Context: process; sleeps.
 * Return: an instance with a module reference, for core_put(), or NULL.
 */
struct core_instance *core_get_default(void)
{
	struct core_instance *ci;

	mutex_lock(&core_lock);
	ci = core_default_locked();
	if (ci && !try_module_get(ci->inst->owner))
		ci = NULL;
	mutex_unlock(&core_lock);
	return ci;
}

/**
 * core_get_by_minor - pin the instance behind a device node
 * @minor: misc minor
 *
 * Context: process; sleeps.
 * Return: an instance with a module reference, for core_put(), or NULL.
 */
struct core_instance *core_get_by_minor(int minor)
{
	struct core_instance *ci, *found = NULL;

	mutex_lock(&core_lock);
	list_for_each_entry(ci, &core_instances, link) {
		if (ci->state == CORE_LIVE && ci->misc.minor == minor &&
		    try_module_get(ci->inst->owner)) {
			found = ci;
			break;
		}
	}
	mutex_unlock(&core_lock);
	return found;
}

/**
 * core_get_by_name - pin an instance
 * @name: as sysfs shows it
 *
 * Context: process; sleeps.
 * Return: a live instance with a module reference, for core_put(), or NULL.
 */
struct core_instance *core_get_by_name(const char *name)
{
	struct core_instance *ci, *found = NULL;

	mutex_lock(&core_lock);
	list_for_each_entry(ci, &core_instances, link) {
		if (ci->state == CORE_LIVE && !strcmp(ci->inst->name, name) &&
		    try_module_get(ci->inst->owner)) {
			found = ci;
			break;
		}
	}
	mutex_unlock(&core_lock);
	return found;
}

/**
 * core_find_locked - an instance in whichever state
 * @name: as sysfs shows it
 *
 * Context: core_lock held.
 * Return: the instance or NULL; no reference is taken.
 */
struct core_instance *core_find_locked(const char *name)
{
	struct core_instance *ci;

	lockdep_assert_held(&core_lock);
	list_for_each_entry(ci, &core_instances, link)
		if (!strcmp(ci->inst->name, name))
			return ci;
	return NULL;
}

/**
 * core_put - undo core_get_default(), core_get_by_minor(), core_get_by_name()
 * @ci: the instance
 *
 * Context: any.
 */
void core_put(struct core_instance *ci)
{
	module_put(ci->inst->owner);
}

/**
 * core_unpin_default - an instance is not the one that was chosen for /dev/kvm
 * @ci: the instance
 *
 * Context: core_lock held.
 */
void core_unpin_default(const struct core_instance *ci)
{
	lockdep_assert_held(&core_lock);
	if (core_pinned_default == ci)
		core_pinned_default = NULL;
}

/**
 * core_pin_default - choose the instance that /dev/kvm opens
 * @name: its name, or the empty string for the one loaded last
 *
 * Context: core_lock held.
 * Return: 0, or -ENODEV if no such instance is live.
 */
int core_pin_default(const char *name)
{
	struct core_instance *ci;
	int r = -ENODEV;

	lockdep_assert_held(&core_lock);
	if (!*name) {
		core_pinned_default = NULL;
		r = 0;
	}
	list_for_each_entry(ci, &core_instances, link) {
		if (ci->state == CORE_LIVE && !strcmp(ci->inst->name, name)) {
			core_pinned_default = ci;
			r = 0;
		}
	}
	return r;
}
