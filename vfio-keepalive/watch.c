// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who has a session's token can see it, wait for it and end it without claiming it: a
 * VMM that dumps core has its descriptors until that is through.
 */
#include <linux/anon_inodes.h>
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "private.h"

/**
 * struct watch - a session and a token of it; constant
 * @session:	a reference
 * @token:	was valid when the watch was made
 */
struct watch {
	struct session *session;
	u8 token[VFIO_KEEPALIVE_TOKEN_LEN];
};

static __poll_t watch_fops_poll(struct file *file, poll_table *table)
{
	struct watch *watch = file->private_data;
	struct session *session = watch->session;
	__poll_t mask = 0;

	poll_wait(file, &session->wait, table);
	mutex_lock(&keepalive_lock);
	if (!claim_has(session, watch->token))
		mask = EPOLLERR | EPOLLHUP;
	else if (session->due)
		mask = EPOLLHUP;
	else if (session->phase == VFIO_KEEPALIVE_ORPHANED)
		mask = EPOLLIN | EPOLLRDNORM;
	mutex_unlock(&keepalive_lock);
	return mask;
}

static long watch_fops_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct watch *watch = file->private_data;
	struct caller by = {
		.on = ON_WATCH, .session = watch->session, .token = watch->token,
	};

	return keepalive_ioctl(&by, cmd, (void __user *)arg);
}

static void watch_free(struct watch *watch)
{
	if (watch->session)
		session_put(watch->session);
	kfree_sensitive(watch);
}

static int watch_fops_release(struct inode *inode, struct file *file)
{
	watch_free(file->private_data);
	return 0;
}

static const struct file_operations watch_fops = {
	.owner = THIS_MODULE,
	.release = watch_fops_release,
	.poll = watch_fops_poll,
	.unlocked_ioctl = watch_fops_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

/**
 * watch_session - VFIO_KEEPALIVE_WATCH
 * @from: argument
 *
 * Context: process.
 * Return: a descriptor; errnos: see Documentation/vfio-keepalive.rst.
 */
long watch_session(struct vfio_keepalive_watch __user *from)
{
	bool admin = ns_capable_noaudit(&init_user_ns, CAP_SYS_ADMIN);
	struct vfio_keepalive_watch args;
	struct session *session;
	struct watch *watch;
	int r;

	r = keepalive_args(&args, sizeof(args), sizeof(args), from);
	if (r)
		return r;
	r = -EINVAL;
	if (args.flags || args.reserved)
		goto out;
	watch = kzalloc(sizeof(*watch), GFP_KERNEL_ACCOUNT);
	r = -ENOMEM;
	if (!watch)
		goto out;
	memcpy(watch->token, args.token, sizeof(watch->token));

	mutex_lock(&keepalive_lock);
	session = xa_load(&sessions, args.session);
	r = session ? claim_may(session, args.token, admin) : -ENOENT;
	if (!r) {
		session_get(session);
		watch->session = session;
	}
	mutex_unlock(&keepalive_lock);
	if (!r)
		r = anon_inode_getfd("[vfio-keepalive-watch]", &watch_fops, watch,
				     O_RDWR | O_CLOEXEC);
	if (r < 0)
		watch_free(watch);
out:
	memzero_explicit(&args, sizeof(args));
	return r;
}
