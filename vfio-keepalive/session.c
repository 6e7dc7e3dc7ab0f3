// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of a session: struct session in private.h says who may change what.
 */
#define pr_fmt(fmt) "vfio-keepalive: " fmt

#include <linux/anon_inodes.h>
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/oom.h>
#include <linux/poll.h>
#include <linux/pid.h>
#include <linux/printk.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/user_namespace.h>

#include "private.h"

/* All sessions, items and accounts: see struct session. */
DEFINE_MUTEX(keepalive_lock);
/* By number, from their creation until all of them is closed */
DEFINE_XARRAY_FLAGS(sessions, XA_FLAGS_ALLOC1 | XA_FLAGS_ACCOUNT);

static struct workqueue_struct *releases;
static u32 last_id;

/**
 * session_is_mine - is the caller its owner?
 * @session: the session
 *
 * Context: keepalive_lock is held.
 * Return: true if user and user namespace are its owner's.
 */
bool session_is_mine(const struct session *session)
{
	return uid_eq(session->uid, current_euid()) && session->ns == current_user_ns();
}

/**
 * session_is_usable - is it there for who has its descriptor?
 * @session: the session
 *
 * Context: keepalive_lock is held.
 * Return: false if it was released by force.
 */
bool session_is_usable(const struct session *session)
{
	return !session->due && (session->phase == VFIO_KEEPALIVE_ACTIVE ||
				 session->phase == VFIO_KEEPALIVE_CLAIMED);
}

/**
 * session_get - take a reference
 * @session: has one already, or is in the registry and keepalive_lock is held
 */
void session_get(struct session *session)
{
	refcount_inc(&session->ref);
}

/**
 * session_put - give a reference back
 * @session: the session
 *
 * Context: process, without keepalive_lock.
 */
void session_put(struct session *session)
{
	if (!refcount_dec_and_test(&session->ref))
		return;
	blob_put(session->state);
	put_pid(session->pid);
	put_user_ns(session->ns);
	kfree_sensitive(session);
}

/**
 * session_poke - have it looked at, whether it is to be released
 * @session: keepalive_lock is held and it is not RELEASED, or an item in it is watched
 *
 * Context: any.
 */
void session_poke(struct session *session)
{
	mod_delayed_work(releases, &session->work, 0);
}

/**
 * session_end - it is released soon, and cannot be used or claimed any more
 * @session: is not RELEASED
 *
 * Context: keepalive_lock is held.
 */
void session_end(struct session *session)
{
	session->due = true;
	session_poke(session);
	wake_up(&session->wait);
}

static bool is_due(struct session *session)
{
	if (session->due)
		return true;
	return session->phase == VFIO_KEEPALIVE_ORPHANED &&
		(ktime_compare(ktime_get(), session->deadline) >= 0 ||
		 item_wants_release(session));
}

static void release_work(struct work_struct *work)
{
	struct session *session = container_of(work, struct session, work.work);
	struct blob *state = NULL;
	LIST_HEAD(items);
	bool due, kept;

	mutex_lock(&keepalive_lock);
	due = is_due(session);
	kept = !list_empty(&session->items);
	if (due) {
		session->due = true;
		WRITE_ONCE(session->phase, VFIO_KEEPALIVE_RELEASED);
		session->frees = oom_frees(session);
		item_take_all(session, &items);
		/* Who still has a descriptor of it or watches it does not keep this. */
		swap(state, session->state);
		wake_up(&session->wait);
	} else if (session->phase == VFIO_KEEPALIVE_ORPHANED) {
		/* A poke that came to nothing has replaced the time limit. */
		s64 left = ktime_ms_delta(session->deadline, ktime_get());

		mod_delayed_work(releases, &session->work, msecs_to_jiffies(max(left, 0LL)) + 1);
	}
	mutex_unlock(&keepalive_lock);
	if (!due)
		return;

	item_close_all(&items);
	blob_put(state);
	if (session->reason)
		pr_notice_ratelimited("session %u (%s) of uid %u is released, %llu KiB: %s\n",
				      session->id, session->name,
				      from_kuid(&init_user_ns, session->uid),
				      session->frees >> 10, session->reason);
	/* Nobody pokes it since it is RELEASED; this is what was queued before. */
	cancel_delayed_work(&session->work);

	mutex_lock(&keepalive_lock);
	xa_erase(&sessions, session->id);
	limit_close(session);
	mutex_unlock(&keepalive_lock);
	complete_all(&session->gone);
	/* Allocates, and who is out of memory may have waited for the release until here. */
	if (kept)
		keepalive_event(session, "released");
	session_put(session);
	module_put(THIS_MODULE);
}

static int session_fops_release(struct inode *inode, struct file *file)
{
	struct session *session = file->private_data;
	bool orphaned = false;

	if (!session)
		return 0;
	mutex_lock(&keepalive_lock);
	if (session_is_usable(session)) {
		WRITE_ONCE(session->phase, VFIO_KEEPALIVE_ORPHANED);
		session->deadline = ktime_add_ms(ktime_get(), session->limit_ms);
		/* There is nothing to wait for when nothing is kept. */
		session->due = list_empty(&session->items);
		/* Who was killed for its memory is not to leave it here, unless asked to. */
		if (!session->due && !session->keep_oom && tsk_is_oom_victim(current)) {
			session->due = true;
			session->reason = "its VMM was killed for memory";
		}
		orphaned = !session->due;
		session_poke(session);
		wake_up(&session->wait);
	}
	mutex_unlock(&keepalive_lock);
	if (orphaned)
		keepalive_event(session, "orphaned");
	session_put(session);
	return 0;
}

static long session_fops_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct caller by = { .on = ON_SESSION, .session = file->private_data };

	return keepalive_ioctl(&by, cmd, (void __user *)arg);
}

static __poll_t session_fops_poll(struct file *file, poll_table *table)
{
	struct session *session = file->private_data;
	bool usable;

	poll_wait(file, &session->wait, table);
	mutex_lock(&keepalive_lock);
	usable = session_is_usable(session);
	mutex_unlock(&keepalive_lock);
	return usable ? 0 : EPOLLHUP;
}

static const struct file_operations session_fops = {
	.owner = THIS_MODULE,
	.release = session_fops_release,
	.poll = session_fops_poll,
	.unlocked_ioctl = session_fops_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

/**
 * session_file - make a file that a session can be given to
 *
 * Return: a file without a session, which may be closed so; -ENOMEM, -ENFILE.
 */
struct file *session_file(void)
{
	return anon_inode_getfile("[vfio-keepalive]", &session_fops, NULL, O_RDWR);
}

/**
 * session_give - the caller becomes its owner
 * @session: the session, whose account is the caller's already
 * @file: of session_file(), not yet installed; has a reference then
 *
 * Context: keepalive_lock is held.
 */
void session_give(struct session *session, struct file *file)
{
	struct pid *pid = session->pid;
	struct user_namespace *ns = session->ns;

	session_get(session);
	file->private_data = session;
	session->uid = current_euid();
	session->ns = get_user_ns(current_user_ns());
	session->pid = get_pid(task_tgid(current));
	get_task_comm(session->comm, current);
	put_pid(pid);
	put_user_ns(ns);
}

static struct session *session_alloc(const struct vfio_keepalive_create *args)
{
	struct session *session = kzalloc(sizeof(*session), GFP_KERNEL_ACCOUNT);

	if (!session)
		return NULL;
	refcount_set(&session->ref, 1);
	session->phase = VFIO_KEEPALIVE_ACTIVE;
	session->ns = get_user_ns(current_user_ns());
	session->limit_ms = args->limit_ms;
	session->keep_oom = args->flags & VFIO_KEEPALIVE_CREATE_KEEP_OOM;
	strscpy(session->name, args->name, sizeof(session->name));
	memcpy(session->token, args->token, sizeof(session->token));
	INIT_LIST_HEAD(&session->items);
	INIT_DELAYED_WORK(&session->work, release_work);
	init_completion(&session->gone);
	init_waitqueue_head(&session->wait);
	return session;
}

/* If it succeeds, the session ends in release_work() alone. */
static int session_register(struct session *session, struct file *file)
{
	struct account *spare = limit_account();
	int r;

	if (!spare)
		return -ENOMEM;
	/* What allocates comes before the lock: the number is taken, and has no session. */
	r = xa_alloc_cyclic(&sessions, &session->id, NULL, XA_LIMIT(1, S32_MAX), &last_id,
			    GFP_KERNEL);
	if (r < 0)
		goto out;
	mutex_lock(&keepalive_lock);
	r = limit_open(session, &spare);
	if (!r) {
		xa_store(&sessions, session->id, session, GFP_NOWAIT);
		/* The device's file, through which the caller came, has a reference as well. */
		__module_get(THIS_MODULE);
		session_give(session, file);
	}
	mutex_unlock(&keepalive_lock);
	if (r)
		xa_erase(&sessions, session->id);
out:
	kfree(spare);
	return r;
}

/**
 * session_create - VFIO_KEEPALIVE_CREATE
 * @from: argument
 *
 * Context: process.
 * Return: a descriptor; errnos: see Documentation/vfio-keepalive.rst.
 */
long session_create(struct vfio_keepalive_create __user *from)
{
	struct vfio_keepalive_create args;
	struct session *session;
	struct file *file;
	int fd, r;

	r = keepalive_args(&args, sizeof(args), sizeof(args), from);
	if (r)
		return r;
	if (args.flags & ~VFIO_KEEPALIVE_CREATE_KEEP_OOM || !keepalive_name_ok(args.name))
		return -EINVAL;
	if (!args.limit_ms || args.limit_ms > READ_ONCE(max_limit_ms))
		return -ERANGE;
	r = get_random_bytes_wait(args.token, sizeof(args.token));
	if (r)
		return r;
	fd = get_unused_fd_flags(O_CLOEXEC);
	r = fd;
	if (fd < 0)
		goto out;
	file = session_file();
	if (IS_ERR(file)) {
		r = PTR_ERR(file);
		goto out_fd;
	}
	session = session_alloc(&args);
	if (!session) {
		r = -ENOMEM;
		goto out_file;
	}
	r = session_register(session, file);
	if (r) {
		session_put(session);
		goto out_file;
	}
	args.session = session->id;
	r = -EFAULT;
	if (copy_to_user(from, &args, sizeof(args)))
		goto out_file;
	fd_install(fd, file);
	r = fd;
	goto out;

out_file:
	/* Once it has a session, that is orphaned and empty, and so released. */
	fput(file);
out_fd:
	put_unused_fd(fd);
out:
	memzero_explicit(&args, sizeof(args));
	return r;
}

/**
 * session_of - which session is meant
 * @by: by what the ioctl came
 * @id: on the device, its number
 * @found: set, without a reference
 *
 * Context: keepalive_lock is held.
 * Return: 0; -EPERM for a number without CAP_SYS_ADMIN, -ENOENT, -ESTALE for a watch
 * whose token is not valid any more.
 */
int session_of(const struct caller *by, u32 id, struct session **found)
{
	*found = by->session;
	if (by->on == ON_SESSION)
		return 0;
	if (by->on == ON_WATCH)
		return claim_has(by->session, by->token) ? 0 : -ESTALE;
	if (!by->admin)
		return -EPERM;
	*found = xa_load(&sessions, id);
	return *found ? 0 : -ENOENT;
}

/**
 * session_release - VFIO_KEEPALIVE_RELEASE
 * @by: by what it came
 * @args: argument
 *
 * Context: process. Returns when all that is kept has been closed.
 * Return: 0; errnos: see Documentation/vfio-keepalive.rst.
 */
long session_release(const struct caller *by, const struct vfio_keepalive_release *args)
{
	/* Who has it need not be told that somebody has. */
	bool force = by->on == ON_SESSION || (args->flags & VFIO_KEEPALIVE_RELEASE_FORCE);
	struct session *session;
	int r;

	if (args->reserved)
		return -EINVAL;
	mutex_lock(&keepalive_lock);
	r = session_of(by, args->session, &session);
	if (!r && session_is_usable(session) && !force)
		r = -EBUSY;
	if (r) {
		mutex_unlock(&keepalive_lock);
		return r;
	}
	session_get(session);
	if (session->phase != VFIO_KEEPALIVE_RELEASED)
		session_end(session);
	mutex_unlock(&keepalive_lock);
	r = wait_for_completion_killable(&session->gone);
	session_put(session);
	return r;
}

/**
 * session_setup - before anything else here
 *
 * Return: 0, -ENOMEM.
 */
int session_setup(void)
{
	/*
	 * What is released may be the memory that is wanted to make a worker. A driver whose
	 * device is closed may flush a queue that has no rescuer: that is no reason to warn, it
	 * is as good as none here either, and who is out of memory does not wait for ever.
	 */
	releases = alloc_workqueue("vfio-keepalive",
				   WQ_UNBOUND | WQ_MEM_RECLAIM | __WQ_LEGACY, 0);
	return releases ? 0 : -ENOMEM;
}

/**
 * session_cleanup - no session is left, but the last one's work may be about to return
 */
void session_cleanup(void)
{
	destroy_workqueue(releases);
}
