// SPDX-License-Identifier: GPL-2.0-only
/* What the kernel tells udev. */
#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "vmm.h"

int uevents_open(void)
{
	struct sockaddr_nl nl = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			NETLINK_KOBJECT_UEVENT);
	int size = 4 << 20;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    bind(fd, (struct sockaddr *)&nl, sizeof(nl))) {
		vmm_error(errno, "uevents");
		close(fd);
		return -1;
	}
	return fd;
}

bool uevent_next(int fd, const char * const fields[], unsigned int n, unsigned int found[])
{
	char text[8192];
	unsigned int i;
	ssize_t len;
	char *p;

	len = recv(fd, text, sizeof(text) - 1, 0);
	if (len <= 0)
		return false;
	text[len] = '\0';
	for (p = text; p < text + len; p += strlen(p) + 1)
		for (i = 0; i < n; i++)
			found[i] += !strcmp(p, fields[i]);
	return true;
}

bool uevent_comes(int fd, const char *field, unsigned int seconds)
{
	__u64 until = now_ns() + seconds * 1000000000ull;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	unsigned int found = 0;

	while (!found && now_ns() < until)
		if (!uevent_next(fd, &field, 1, &found))
			poll(&p, 1, 100);
	return found;
}
