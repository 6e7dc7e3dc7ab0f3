// SPDX-License-Identifier: GPL-2.0-only
/* keepalive-owner: what the number of a session, its token and a watch of it are enough for. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "owner.h"
#include "result.h"
#include "vfio.h"

static int list_sessions(const void *arg)
{
	struct vfio_keepalive_info info;

	(void)arg;
	become(USER);
	return ka_info(dev, 0, VFIO_KEEPALIVE_NEXT, &info);
}

static int info_by_number(const void *arg)
{
	struct vfio_keepalive_info info;

	become(USER);
	return ka_info(dev, ((const struct ticket *)arg)->id, 0, &info);
}

static int item_by_number(const void *arg)
{
	struct vfio_keepalive_item item = {
		.argsz = sizeof(item), .session = ((const struct ticket *)arg)->id,
	};

	become(USER);
	return ioctl(dev, VFIO_KEEPALIVE_ITEM, &item) ? -errno : 0;
}

static int release_by_number(const void *arg)
{
	become(USER);
	return ka_release(dev, ((const struct ticket *)arg)->id, VFIO_KEEPALIVE_RELEASE_FORCE);
}

static int watch_as_user(const void *arg)
{
	become(USER);
	return ka_watch(dev, arg);
}

static int watch_as_another(const void *arg)
{
	become(USER + 1);
	return ka_watch(dev, arg);
}

/* With the token alone: sees it, is told that it is in use, ends it. */
static int end_with_token(const void *arg)
{
	struct vfio_keepalive_item item = { .argsz = sizeof(item) };
	const struct ticket *t = arg;
	struct vfio_keepalive_info info;
	int w;

	become(USER);
	w = ka_watch(dev, t);
	if (w < 0)
		return w;
	if (ka_info(w, 0, 0, &info) || info.session != t->id ||
	    info.state != VFIO_KEEPALIVE_ACTIVE)
		return 1;
	if (ioctl(w, VFIO_KEEPALIVE_ITEM, &item) || strcmp(item.name, "event"))
		return 2;
	if (ka_release(w, 0, 0) != -EBUSY)
		return 3;
	if (ka_get_fd(w, 0) != -ENOTTY || ka_confirm(w) != -ENOTTY)
		return 4;
	if (ka_release(w, 0, VFIO_KEEPALIVE_RELEASE_FORCE))
		return 5;
	return polled(w, false) == POLLHUP ? 0 : 6;
}

void test_token(void)
{
	struct vmm v = vmm_start(NULL);
	struct vfio_keepalive_info info;
	struct ticket wrong = v.ticket, t;
	int s;

	is(in_child(list_sessions, NULL), -EPERM,
	   "a process of the same user cannot list sessions");
	is(in_child(info_by_number, &v.ticket), -EPERM, "nor see one by its number");
	is(in_child(item_by_number, &v.ticket), -EPERM, "nor what is in it");
	is(in_child(release_by_number, &v.ticket), -EPERM, "nor release it by force");
	is(ka_state(dev, v.ticket.id), VFIO_KEEPALIVE_ACTIVE, "its VMM still has it");
	wrong.token[0] ^= 1;
	is(in_child(watch_as_user, &wrong), -EACCES, "watch: wrong token");
	wrong.id = 0x7fffffff;
	is(in_child(watch_as_user, &wrong), -ENOENT, "watch: no such session");
	is(in_child(watch_as_another, &v.ticket), -EPERM, "watch: another user, its token");
	is(in_child(end_with_token, &v.ticket), 0,
	   "the token is enough to see it, and to end it by force");
	is(ka_state(dev, v.ticket.id), -ENOENT, "it is gone");
	vmm_kill(&v);

	s = session(&t);
	is(ka_set_state(s, VFIO_KEEPALIVE_SESSION, "state", 6), 0, "a state");
	is(polled(s, false), 0, "a session that is there does not hang up");
	is(ka_release(s, 0, 0), 0, "its descriptor is enough to end it");
	is(polled(s, false), POLLHUP, "then it hangs up");
	check(!ka_info(s, 0, 0, &info) && info.state == VFIO_KEEPALIVE_RELEASED &&
	      !info.state_size, "and is shown as released, without a state");
	is(ka_confirm(s), -ENODEV, "there is nothing to confirm");
	close(s);
}

void test_watch(void)
{
	struct vmm v = vmm_start(NULL);
	struct ticket old = v.ticket, next = v.ticket;
	struct vfio_keepalive_info info;
	int w = ka_watch(dev, &v.ticket), s;

	check(w >= 0 && fcntl(w, F_GETFD) == FD_CLOEXEC, "watch: O_CLOEXEC");
	is(polled(w, false), 0, "watch: a VMM has it");
	kill(v.pid, SIGKILL);
	is(polled(w, true), POLLIN, "watch: it can be claimed once its VMM is dead");
	vmm_kill(&v);
	s = ka_claim(dev, &next);
	is(polled(w, false), 0, "watch: it is claimed");
	is(ka_confirm(s), 0, "the claim is confirmed");
	is(polled(w, false), POLLERR | POLLHUP, "watch: its token is not valid any more");
	is(ka_info(w, 0, 0, &info), -ESTALE, "watch: it sees nothing any more");
	is(ka_release(w, 0, VFIO_KEEPALIVE_RELEASE_FORCE), -ESTALE, "nor releases anything");
	close(w);
	is(ka_watch(dev, &old), -ESTALE, "watch: the token before");
	w = ka_watch(dev, &next);
	check(w >= 0, "watch: the new token");
	close(s);
	is(polled(w, true), POLLIN, "watch: it can be claimed again");
	is(ka_release(w, 0, 0), 0, "watch: it ends an orphan");
	is(polled(w, false), POLLHUP, "watch: it is released");
	close(w);
}

/* A claimer that is killed; returns its new token if @tell, as one that had stored it. */
static bool claimer_dies(struct ticket *ticket, bool tell)
{
	struct ticket next;
	int p[2];
	pid_t pid;
	bool told;

	if (pipe(p))
		err(1, "pipe");
	pid = fork();
	if (!pid) {
		next = *ticket;
		if (ka_claim(dev, &next) < 0 || write(p[1], &next, sizeof(next)) != sizeof(next))
			_exit(1);
		pause();
	}
	close(p[1]);
	told = read(p[0], &next, sizeof(next)) == sizeof(next);
	close(p[0]);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (tell)
		*ticket = next;
	return told;
}

void test_confirm(void)
{
	struct ticket t, old, next;
	int s = session(&t);

	is(ka_confirm(s), 0, "confirm: nothing to be confirmed");
	close(s);
	check(claimer_dies(&t, false), "a claimer dies before it has stored its token");
	old = t;
	s = ka_claim(dev, &t);
	check(s >= 0, "claim: the token before goes on to be valid");
	next = t;
	is(ka_claim(dev, &old), -EBUSY, "claim: it is in use, the token before");
	is(ka_claim(dev, &next), -EBUSY, "claim: it is in use, the next token");
	close(s);
	old = t;
	check(claimer_dies(&t, true), "a claimer dies before it has confirmed");
	check(memcmp(old.token, t.token, sizeof(t.token)), "but it has stored its token");
	next = t;
	s = ka_claim(dev, &t);
	check(s >= 0, "claim: that token is valid too");
	close(s);
	is(ka_claim(dev, &old), -ESTALE, "claim: and replaces the one before");
	old = next;
	s = ka_claim(dev, &next);
	check(s >= 0, "claim: of the last claim, the token before");
	is(ka_claim(dev, &t), -EACCES, "claim: the token of a claim that another replaced");
	t = next;
	is(ka_confirm(s), 0, "confirm");
	is(ka_confirm(s), 0, "confirm: twice");
	close(s);
	is(ka_claim(dev, &old), -ESTALE, "claim: once confirmed, the token before is spent");
	is(ka_release(dev, t.id, 0), 0, "release");
}
