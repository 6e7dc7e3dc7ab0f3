// SPDX-License-Identifier: GPL-2.0-only
/*
 * The descriptors in a session, and their opaque states.
 */
#include <linux/err.h>
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hashtable.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "private.h"

/* All that is kept, to find a file that is kept already */
static DEFINE_HASHTABLE(files, 10);

/*
 * What closing does is to happen from the device down: it is reset and cannot do DMA or
 * interrupt any more when its VM goes, which has its group, then its mappings, and these
 * before the memory.
 */
static const u32 closing_order[] = {
	VFIO_KEEPALIVE_DEVICE,
	VFIO_KEEPALIVE_KVM_DEVICE,
	VFIO_KEEPALIVE_VCPU,
	VFIO_KEEPALIVE_VM,
	VFIO_KEEPALIVE_GROUP,
	VFIO_KEEPALIVE_CONTAINER,
	VFIO_KEEPALIVE_EVENTFD,
	VFIO_KEEPALIVE_MEMORY,
};

/* In the eventfd's wait queue, with interrupts off. */
static int item_wake(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct item *item = container_of(wait, struct item, wait);

	if (!(key_to_poll(key) & EPOLLIN))
		return 0;
	/*
	 * Only an orphan is released for it, and what becomes one is looked at: either that
	 * sees the count or this the phase. A VMM that signals itself makes no work.
	 */
	smp_mb();
	if (READ_ONCE(item->session->phase) == VFIO_KEEPALIVE_ORPHANED)
		session_poke(item->session);
	return 0;
}

static void item_queue(struct file *file, wait_queue_head_t *wqh, poll_table *table)
{
	struct item *item = container_of(table, struct item, table);

	item->wqh = wqh;
	add_wait_queue(wqh, &item->wait);
}

/*
 * keepalive_lock is held for both. The item is in its session in between and no longer:
 * when a session is released, what it still has to do is put an end to, and then nothing
 * may poke it any more.
 */
static void item_watch(struct item *item)
{
	init_waitqueue_func_entry(&item->wait, item_wake);
	init_poll_funcptr(&item->table, item_queue);
	vfs_poll(item->file, &item->table);
}

static void item_unwatch(struct item *item)
{
	if (item->wqh)
		remove_wait_queue(item->wqh, &item->wait);
	item->wqh = NULL;
}

/* Its file is the caller's affair. */
static void item_free(struct item *item)
{
	blob_put(item->state);
	kfree(item);
}

/**
 * item_find - by index
 * @session: the session
 * @index: the index
 *
 * Context: keepalive_lock is held.
 * Return: the item, or NULL.
 */
struct item *item_find(struct session *session, u32 index)
{
	struct item *item;

	list_for_each_entry(item, &session->items, link)
		if (item->index == index)
			return item;
	return NULL;
}

/**
 * item_wants_release - is a device wanted back?
 * @session: the session
 *
 * Context: keepalive_lock is held.
 * Return: true if one of the eventfds that say so is not 0.
 */
bool item_wants_release(struct session *session)
{
	struct item *item;

	list_for_each_entry(item, &session->items, link)
		if (item->wqh && (vfs_poll(item->file, NULL) & EPOLLIN))
			return true;
	return false;
}

/* VFIO lets nobody have one of these twice, and a VM can go to one only. */
static bool is_exclusive(u32 kind)
{
	return kind == VFIO_KEEPALIVE_CONTAINER || kind == VFIO_KEEPALIVE_GROUP ||
		kind == VFIO_KEEPALIVE_DEVICE || kind == VFIO_KEEPALIVE_VM ||
		kind == VFIO_KEEPALIVE_VCPU || kind == VFIO_KEEPALIVE_KVM_DEVICE;
}

static bool is_in_container(u32 kind)
{
	return kind == VFIO_KEEPALIVE_GROUP || kind == VFIO_KEEPALIVE_DEVICE;
}

/* The file of the first container from @index on, with a reference, or NULL. */
static struct file *next_container(struct session *session, u32 *index)
{
	struct file *file = NULL;
	struct item *item;

	mutex_lock(&keepalive_lock);
	list_for_each_entry(item, &session->items, link) {
		if (item->kind != VFIO_KEEPALIVE_CONTAINER || item->index < *index)
			continue;
		file = get_file(item->file);
		*index = item->index + 1;
		break;
	}
	mutex_unlock(&keepalive_lock);
	return file;
}

/* keepalive_lock is held. */
static struct item *find_container(struct session *session, const void *container)
{
	struct item *item;

	list_for_each_entry(item, &session->items, link)
		if (item->kind == VFIO_KEEPALIVE_CONTAINER && item->container == container)
			return item;
	return NULL;
}

/* A VM, which kvm-core knows as this; keepalive_lock is held. */
static bool has_vm(struct session *session, const void *vm)
{
	struct item *item;

	list_for_each_entry(item, &session->items, link)
		if (item->kind == VFIO_KEEPALIVE_VM && item->vm == vm)
			return true;
	return false;
}

/*
 * The container of a group or device. Without it that could not be given a new address
 * space; and an mdev may have come into it since it was added.
 */
static int check_container(struct session *session, struct item *item)
{
	struct file *file;
	u32 index = 0;
	int r = -ENODEV;

	while (r == -ENODEV && (file = next_container(session, &index))) {
		if (kind_is_in(item->file, item->kind, kind_container(file))) {
			item->container = kind_container(file);
			r = kind_check(file, VFIO_KEEPALIVE_CONTAINER);
		}
		fput(file);
	}
	return r;
}

static int item_check(struct session *session, struct item *item)
{
	int r = kind_check(item->file, item->kind);

	if (r)
		return r;
	if (item->kind == VFIO_KEEPALIVE_CONTAINER)
		item->container = kind_container(item->file);
	if (item->kind == VFIO_KEEPALIVE_VM || item->kind == VFIO_KEEPALIVE_KVM_DEVICE)
		item->vm = kind_vm(item->file);
	return is_in_container(item->kind) ? check_container(session, item) : 0;
}

/* keepalive_lock is held. */
static int item_insert(struct session *session, struct item *item)
{
	struct item *other;
	int r;

	if (!session_is_usable(session))
		return -ENODEV;
	hash_for_each_possible(files, other, hash, (unsigned long)item->file) {
		if (other->file != item->file)
			continue;
		if (other->session == session)
			return -EEXIST;
		if (is_exclusive(item->kind))
			return -EBUSY;
	}
	/* It was there, but may have been removed. */
	if (is_in_container(item->kind) && !find_container(session, item->container))
		return -ENODEV;
	/* Nobody would find out: that of another VM is as good a descriptor. */
	if (item->kind == VFIO_KEEPALIVE_KVM_DEVICE && !has_vm(session, item->vm))
		return -ENODEV;
	list_for_each_entry(other, &session->items, link)
		if (!strcmp(other->name, item->name))
			return -EEXIST;
	if (session->next_index > S32_MAX)
		return -ENOSPC;
	r = limit_charge(session, 1, blob_size(item->state));
	if (r)
		return r;
	item->index = session->next_index++;
	list_add_tail(&item->link, &session->items);
	hash_add(files, &item->hash, (unsigned long)item->file);
	if (item->flags & VFIO_KEEPALIVE_ADD_REQUEST)
		item_watch(item);
	return 0;
}

/**
 * item_add - VFIO_KEEPALIVE_ADD
 * @session: the session
 * @args: argument
 *
 * Context: process.
 * Return: the index; errnos: see Documentation/vfio-keepalive.rst.
 */
long item_add(struct session *session, const struct vfio_keepalive_add *args)
{
	struct item *item;
	struct file *file;
	u32 index;
	int r;

	if (args->reserved || !args->name[0] || !keepalive_name_ok(args->name))
		return -EINVAL;
	if ((args->flags & VFIO_KEEPALIVE_ADD_REQUEST) && args->kind != VFIO_KEEPALIVE_EVENTFD)
		return -EINVAL;
	file = fget(args->fd);
	if (!file)
		return -EBADF;
	item = kzalloc(sizeof(*item), GFP_KERNEL_ACCOUNT);
	r = -ENOMEM;
	if (!item)
		goto out_file;
	item->session = session;
	item->file = file;
	item->kind = args->kind;
	item->flags = args->flags;
	strscpy(item->name, args->name, sizeof(item->name));
	r = item_check(session, item);
	if (r)
		goto out_item;
	item->state = blob_copy(args->state, args->state_size);
	if (IS_ERR(item->state)) {
		r = PTR_ERR(item->state);
		item->state = NULL;
		goto out_item;
	}

	mutex_lock(&keepalive_lock);
	r = item_insert(session, item);
	/* Without the lock it may be removed at any moment. */
	index = item->index;
	mutex_unlock(&keepalive_lock);
	if (r)
		goto out_item;
	return index;

out_item:
	item_free(item);
out_file:
	fput(file);
	return r;
}

/* keepalive_lock is held; the item belongs to the caller then. */
static void item_take(struct session *session, struct item *item)
{
	item_unwatch(item);
	list_del(&item->link);
	hash_del(&item->hash);
	limit_charge(session, -1, -(s64)blob_size(item->state));
}

/* Without its container a group or device is not kept; keepalive_lock is held. */
static bool is_needed(struct session *session, const struct item *item)
{
	struct item *other;

	if (item->kind != VFIO_KEEPALIVE_CONTAINER)
		return false;
	list_for_each_entry(other, &session->items, link)
		if (other != item && other->container == item->container)
			return true;
	return false;
}

/**
 * item_remove - VFIO_KEEPALIVE_REMOVE
 * @session: the session
 * @args: argument
 *
 * Context: process.
 * Return: 0; errnos: see Documentation/vfio-keepalive.rst.
 */
long item_remove(struct session *session, const struct vfio_keepalive_index *args)
{
	struct item *item = NULL;
	struct file *file;
	int r = -ENODEV;

	if (args->reserved)
		return -EINVAL;
	mutex_lock(&keepalive_lock);
	if (session_is_usable(session)) {
		item = item_find(session, args->index);
		r = -ENOENT;
	}
	if (item) {
		r = is_needed(session, item) ? -EBUSY : 0;
		if (!r)
			item_take(session, item);
	}
	mutex_unlock(&keepalive_lock);
	if (r)
		return r;
	file = item->file;
	item_free(item);
	fput(file);
	return 0;
}

/**
 * item_get_fd - VFIO_KEEPALIVE_GET_FD
 * @session: the session
 * @args: argument
 *
 * Context: process.
 * Return: a descriptor; errnos: see Documentation/vfio-keepalive.rst.
 */
long item_get_fd(struct session *session, const struct vfio_keepalive_index *args)
{
	struct file *file = NULL;
	struct item *item;
	int fd, r = -ENODEV;

	if (args->reserved)
		return -EINVAL;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	mutex_lock(&keepalive_lock);
	if (session_is_usable(session)) {
		item = item_find(session, args->index);
		if (item)
			file = get_file(item->file);
		r = -ENOENT;
	}
	mutex_unlock(&keepalive_lock);
	if (!file) {
		put_unused_fd(fd);
		return r;
	}
	fd_install(fd, file);
	return fd;
}

/* Where a state is kept; keepalive_lock is held. */
static struct blob **state_of(struct session *session, u32 index)
{
	struct item *item;

	if (!session_is_usable(session))
		return ERR_PTR(-ENODEV);
	if (index == VFIO_KEEPALIVE_SESSION)
		return &session->state;
	item = item_find(session, index);
	return item ? &item->state : ERR_PTR(-ENOENT);
}

/**
 * item_set_state - VFIO_KEEPALIVE_SET_STATE
 * @session: the session
 * @args: argument
 *
 * Context: process.
 * Return: 0; errnos: see Documentation/vfio-keepalive.rst.
 */
long item_set_state(struct session *session, const struct vfio_keepalive_opaque *args)
{
	struct blob *blob = blob_copy(args->state, args->size);
	struct blob **at;
	int r;

	if (IS_ERR(blob))
		return PTR_ERR(blob);
	mutex_lock(&keepalive_lock);
	at = state_of(session, args->index);
	if (IS_ERR(at)) {
		r = PTR_ERR(at);
	} else {
		r = limit_charge(session, 0, (s64)blob_size(blob) - blob_size(*at));
		if (!r)
			swap(*at, blob);
	}
	mutex_unlock(&keepalive_lock);
	/* The old one, or the new one if that failed. */
	blob_put(blob);
	return r;
}

/**
 * item_get_state - VFIO_KEEPALIVE_GET_STATE
 * @session: the session
 * @args: argument
 *
 * Context: process.
 * Return: 0; errnos: see Documentation/vfio-keepalive.rst.
 */
long item_get_state(struct session *session, struct vfio_keepalive_opaque *args)
{
	struct blob **at, *blob = NULL;
	u32 room = args->size;
	int r = 0;

	mutex_lock(&keepalive_lock);
	at = state_of(session, args->index);
	if (IS_ERR(at)) {
		r = PTR_ERR(at);
	} else {
		blob = *at;
		if (blob)
			refcount_inc(&blob->ref);
	}
	mutex_unlock(&keepalive_lock);
	if (r)
		return r;
	args->size = blob_size(blob);
	if (args->size > room)
		r = -ENOSPC;
	else if (blob && copy_to_user(u64_to_user_ptr(args->state), blob->data, blob->size))
		r = -EFAULT;
	blob_put(blob);
	return r;
}

/**
 * item_take_all - the session has no items any more
 * @session: the session; what it is charged for remains
 * @to: an empty list, for item_close_all()
 *
 * Context: keepalive_lock is held.
 */
void item_take_all(struct session *session, struct list_head *to)
{
	struct item *item;

	list_for_each_entry(item, &session->items, link) {
		item_unwatch(item);
		hash_del(&item->hash);
	}
	list_splice_init(&session->items, to);
}

/**
 * item_close_all - let go of what was kept
 * @items: of item_take_all()
 *
 * Context: a kernel thread, without keepalive_lock. The files that nobody else has
 * are released when this returns, in the order in which that has to be.
 */
void item_close_all(struct list_head *items)
{
	struct item *item, *next;
	struct file *file;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(closing_order); i++) {
		list_for_each_entry_safe(item, next, items, link) {
			if (item->kind != closing_order[i])
				continue;
			list_del(&item->link);
			file = item->file;
			item_free(item);
			__fput_sync(file);
		}
	}
}
