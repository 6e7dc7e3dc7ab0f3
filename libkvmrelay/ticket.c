// SPDX-License-Identifier: GPL-2.0-only
/*
 * A ticket in a file: the session's number and the token in hexadecimal digits, on a line
 * each.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "private.h"

/* 10 digits, 64 digits, two line feeds */
#define TEXT_MAX	(10 + 1 + 2 * VFIO_KEEPALIVE_TOKEN_LEN + 1)

static int write_all(int fd, const char *text, size_t len)
{
	ssize_t n = write(fd, text, len);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -ENOSPC;
}

EXPORT int kvmrelay_ticket_save(const char *path, const struct kvmrelay_ticket *ticket,
				struct kvmrelay_error *err)
{
	char text[TEXT_MAX + 1], *tmp;
	unsigned int i;
	int fd, n, r;

	if (asprintf(&tmp, "%s.XXXXXX", path) < 0)
		return kvmrelay_fail(err, -ENOMEM, "%s: %s", path, strerror(ENOMEM));
	n = sprintf(text, "%u\n", ticket->session);
	for (i = 0; i < sizeof(ticket->token); i++)
		n += sprintf(text + n, "%02x", ticket->token[i]);
	text[n++] = '\n';
	/* Mode 0600. Who reads meanwhile has the one before, as a whole. */
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0) {
		r = kvmrelay_fail(err, -errno, "%s: %s", tmp, strerror(errno));
	} else {
		r = write_all(fd, text, n);
		if (close(fd) && !r)
			r = -errno;
		if (!r && rename(tmp, path))
			r = -errno;
		if (r) {
			unlink(tmp);
			kvmrelay_fail(err, r, "%s: %s", path, strerror(-r));
		}
	}
	explicit_bzero(text, sizeof(text));
	free(tmp);
	return r;
}

static bool parse(const char *text, size_t len, struct kvmrelay_ticket *ticket)
{
	static const char digits[] = "0123456789abcdef";
	unsigned long long session = 0;
	const char *at = text, *hi, *lo;
	unsigned int i;

	while (*at >= '0' && *at <= '9' && at - text < 10)
		session = session * 10 + (*at++ - '0');
	if (at == text || session > 0xffffffff || *at++ != '\n')
		return false;
	if (len - (at - text) != 2 * sizeof(ticket->token) + 1)
		return false;
	ticket->session = session;
	for (i = 0; i < sizeof(ticket->token); i++, at += 2) {
		hi = at[0] ? strchr(digits, at[0]) : NULL;
		lo = at[1] ? strchr(digits, at[1]) : NULL;
		if (!hi || !lo)
			return false;
		ticket->token[i] = (hi - digits) << 4 | (lo - digits);
	}
	return *at == '\n';
}

EXPORT int kvmrelay_ticket_load(const char *path, struct kvmrelay_ticket *ticket,
				struct kvmrelay_error *err)
{
	char text[TEXT_MAX + 2] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	ssize_t n;
	int r = 0;

	if (fd < 0)
		return kvmrelay_fail(err, -errno, "%s: %s", path, strerror(errno));
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		r = kvmrelay_fail(err, -errno, "%s: %s", path, strerror(errno));
	else if (!parse(text, n, ticket))
		r = kvmrelay_fail(err, -EINVAL, "%s has no ticket of a session", path);
	explicit_bzero(text, sizeof(text));
	close(fd);
	return r;
}
