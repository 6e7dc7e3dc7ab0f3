// SPDX-License-Identifier: GPL-2.0-only
/* A client of QMP. The QEMU at the other end may be in the hands of its guest. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "kvmctl.h"
#include "qmp.h"

static bool fail(struct qmp *q, const char *format, ...) __printf(2, 3);

static bool fail(struct qmp *q, const char *format, ...)
{
	char raw[sizeof(q->error) / 4];
	va_list ap;

	va_start(ap, format);
	vsnprintf(raw, sizeof(raw), format, ap);
	va_end(ap);
	text_escape(q->error, sizeof(q->error), raw, false);
	return false;
}

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* Waits for something to read. */
static bool receive(struct qmp *q, long long until)
{
	struct pollfd p = { .fd = q->fd, .events = POLLIN };
	long long left = until - now_ms();
	ssize_t n;
	char *buf;

	if (left <= 0 || !poll(&p, 1, left))
		return fail(q, "QEMU does not answer");
	if (q->size - q->len < 4096) {
		if (q->size >= QMP_MAX)
			return fail(q, "QEMU says more than is believed");
		buf = realloc(q->buf, q->size + 65536);
		if (!buf)
			return fail(q, "%s", strerror(errno));
		q->buf = buf;
		q->size += 65536;
	}
	n = recv(q->fd, q->buf + q->len, q->size - q->len, MSG_DONTWAIT);
	q->ended = !n || (n < 0 && errno == ECONNRESET);
	if (!n)
		return fail(q, "QEMU has hung up");
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return fail(q, "QMP: %s", strerror(errno));
	q->len += n > 0 ? n : 0;
	return true;
}

/* The next message, which may go over several lines. */
static json_t *message(struct qmp *q, long long until)
{
	json_error_t error;
	size_t skip;
	json_t *o;

	for (;;) {
		for (skip = 0; skip < q->len && strchr(" \t\r\n", q->buf[skip]); skip++)
			;
		q->len -= skip;
		memmove(q->buf, q->buf + skip, q->len);
		if (q->len) {
			o = json_loadb(q->buf, q->len, JSON_DISABLE_EOF_CHECK, &error);
			if (o) {
				q->len -= error.position;
				memmove(q->buf, q->buf + error.position, q->len);
				return o;
			}
			if (json_error_code(&error) != json_error_premature_end_of_input) {
				fail(q, "no QMP: %s", error.text);
				return NULL;
			}
		}
		if (!receive(q, until))
			return NULL;
	}
}

static void event(struct qmp *q, json_t *o)
{
	const char *name = json_string_value(json_object_get(o, "event"));
	json_t *t = json_object_get(o, "timestamp");
	long long us = json_integer_value(json_object_get(t, "seconds")) * 1000000 +
		       json_integer_value(json_object_get(t, "microseconds"));

	if (name && !strcmp(name, "STOP"))
		q->stopped_us = us;
	if (name && !strcmp(name, "RESUME"))
		q->resumed_us = us;
}

/**
 * qmp_call - have QEMU execute a command
 * @q: the connection
 * @command: its name
 * @arguments: of it, taken over; or NULL
 * @ms: how long QEMU has for it
 *
 * Return: what QEMU returned, to be given back with json_decref(), or NULL: @q->error.
 */
json_t *qmp_call(struct qmp *q, const char *command, json_t *arguments, int ms)
{
	long long until = now_ms() + ms;
	const char *desc;
	json_t *o, *r;
	size_t at = 0, len;
	ssize_t n;
	char *s;

	q->id++;
	o = json_pack("{s:s, s:I}", "execute", command, "id", (json_int_t)q->id);
	if (arguments)
		json_object_set_new(o, "arguments", arguments);
	s = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (!s) {
		fail(q, "%s: the arguments are no UTF-8", command);
		return NULL;
	}
	len = strlen(s);
	while (at < len) {
		struct pollfd p = { .fd = q->fd, .events = POLLOUT };

		n = send(q->fd, s + at, len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		q->ended = n < 0 && (errno == EPIPE || errno == ECONNRESET);
		if (n < 0 && (errno != EAGAIN || until <= now_ms())) {
			fail(q, "%s: %s", command, strerror(errno));
			free(s);
			return NULL;
		}
		if (n < 0)
			poll(&p, 1, 100);
		at += n > 0 ? n : 0;
	}
	free(s);

	while ((o = message(q, until))) {
		if (json_object_get(o, "event")) {
			event(q, o);
		} else if (json_integer_value(json_object_get(o, "id")) == (json_int_t)q->id) {
			r = json_incref(json_object_get(o, "return"));
			desc = json_string_value(json_object_get(json_object_get(o, "error"),
								 "desc"));
			if (!r)
				fail(q, "%s: %s", command, desc ? desc : "it failed");
			json_decref(o);
			return r;
		}
		json_decref(o);
	}
	return NULL;
}

/**
 * qmp_do - have QEMU execute a command that returns nothing of interest
 * @q: the connection
 * @command: its name
 * @arguments: of it, taken over; or NULL
 * @ms: how long QEMU has for it
 *
 * Return: whether it did; else @q->error.
 */
bool qmp_do(struct qmp *q, const char *command, json_t *arguments, int ms)
{
	json_t *r = qmp_call(q, command, arguments, ms);

	json_decref(r);
	return r;
}

/* A connected socket, whose path goes from the root of the process @pid. */
static int reach(struct qmp *q, int pid, const char *path, long long until)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct ucred peer;
	socklen_t len = sizeof(peer);
	char name[512];
	int fd, dir, n;

	/* A path of any length, by way of its file. */
	snprintf(name, sizeof(name), "/proc/%d/%s%s", pid, *path == '/' ? "root" : "cwd/", path);
	dir = open(name, O_PATH | O_CLOEXEC);
	if (dir < 0) {
		fail(q, "%s: %s", path, strerror(errno));
		return -1;
	}
	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d", dir);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	while ((n = connect(fd, (struct sockaddr *)&a, sizeof(a))) && errno == EAGAIN &&
	       now_ms() < until)
		usleep(1000);
	close(dir);
	if (n) {
		fail(q, "%s: %s", path, strerror(errno));
	} else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) || peer.pid != pid) {
		fail(q, "%s is not a socket of process %d", path, pid);
	} else {
		q->uid = peer.uid;
		q->gid = peer.gid;
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

/**
 * qmp_open - connect to a QEMU, and make it ready for commands
 * @q: filled in
 * @pid: its process
 * @path: of its socket, as that process sees it
 * @ms: how long it may take
 *
 * Return: whether that worked; else @q->error, and nothing is to be closed.
 */
bool qmp_open(struct qmp *q, int pid, const char *path, int ms)
{
	long long until = now_ms() + ms;
	json_t *o;
	bool ok;

	memset(q, 0, sizeof(*q));
	q->pid = pid;
	q->fd = reach(q, pid, path, until);
	if (q->fd < 0)
		return false;
	/* It speaks first, and not to a second client. */
	o = message(q, until);
	ok = o && json_object_get(o, "QMP");
	if (!o && now_ms() >= until)
		fail(q, "%s: another client holds it, or QEMU hangs", path);
	else if (!ok)
		fail(q, "%s is no QMP", path);
	json_decref(o);
	ok = ok && qmp_do(q, "qmp_capabilities", NULL, ms);
	if (!ok)
		qmp_close(q);
	return ok;
}

/**
 * qmp_close - end the connection; @q->error stays
 * @q: the connection
 */
void qmp_close(struct qmp *q)
{
	if (q->fd >= 0)
		close(q->fd);
	q->fd = -1;
	free(q->buf);
	q->buf = NULL;
	q->len = 0;
	q->size = 0;
}
