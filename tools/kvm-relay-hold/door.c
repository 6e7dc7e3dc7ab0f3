// SPDX-License-Identifier: GPL-2.0-only
/* The socket on which the next VMM asks for the VM. */
#include <err.h>
#include <errno.h>
#include <string.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "hold.h"

/* A VMM that does not read or write is waited for so long. */
#define PATIENCE_S	10

static char *door_path;

static void door_remove(void)
{
	unlink(door_path);
}

/* What another custodian has left goes; one that is there does not. */
static void remove_old(const char *path)
{
	int sock = kvmrelay_hold_connect(path, NULL);

	if (sock >= 0)
		errx(EXIT_FAILED, "%s: another process listens there", path);
	if (sock == -ECONNREFUSED)
		unlink(path);
}

/**
 * door_open - a socket that listens, for this user; removed when this process ends
 * @path: where
 *
 * Return: its descriptor. The program ends if there is none.
 */
int door_open(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int sock;
	mode_t mask;

	if (strlen(path) >= sizeof(at.sun_path))
		errx(EXIT_FAILED, "%s: %s", path, strerror(ENAMETOOLONG));
	strcpy(at.sun_path, path);
	remove_old(path);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mask = umask(077);
	if (sock < 0 || bind(sock, (struct sockaddr *)&at, sizeof(at)) || listen(sock, 4))
		err(EXIT_FAILED, "%s", path);
	umask(mask);
	/* The working directory changes. */
	door_path = realpath(path, NULL);
	if (!door_path)
		err(EXIT_FAILED, "%s", path);
	atexit(door_remove);
	return sock;
}

/**
 * door_accept - a VMM that asks
 * @door: of door_open()
 * @pid: its process
 *
 * Return: the socket, or -1 if it has gone or may not have the VM.
 */
int door_accept(int door, pid_t *pid)
{
	struct timeval patience = { .tv_sec = PATIENCE_S };
	int sock = accept4(door, NULL, NULL, SOCK_CLOEXEC);
	struct ucred who;
	socklen_t len = sizeof(who);

	if (sock < 0)
		return -1;
	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &who, &len) ||
	    setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) ||
	    setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience))) {
		close(sock);
		return -1;
	}
	*pid = who.pid;
	if (!who.uid || who.uid == geteuid())
		return sock;
	complain("process %d asks for the VM, and is user %u's", who.pid, who.uid);
	close(sock);
	return -1;
}
