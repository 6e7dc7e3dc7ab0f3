// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM over a UNIX socket: its shape with the descriptors by SCM_RIGHTS, then
 * the state of the VMM's devices and the records of state.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include "vmm.h"

#define WIRE_MAGIC	0x314d56524d4d4dull
#define WIRE_FDS	(1 + 2 * GUEST_MAX_CPUS)
#define WIRE_MAX_STATE	(64u << 20)

struct wire_shape {
	__u64		magic;
	struct vm_shape	shape;
	__u32		nfds;
	__u32		irqs;	/* bit n: vCPU n has an irqfd and an ioeventfd */
};

struct wire_state {
	__u64		magic;
	__u64		len;
	struct vcpu_dev	dev[GUEST_MAX_CPUS];
};

static int write_all(int sock, const void *p, size_t len)
{
	while (len) {
		ssize_t n = send(sock, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return vmm_error(n ? errno : EPIPE, "sending a VM");
		p = (const char *)p + n;
		len -= n;
	}
	return 0;
}

static int read_all(int sock, void *p, size_t len)
{
	while (len) {
		ssize_t n = recv(sock, p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return vmm_error(n ? errno : EPIPE, "receiving a VM");
		p = (char *)p + n;
		len -= n;
	}
	return 0;
}

int wire_send_shape(int sock, const struct vm_shape *shape,
		    const struct vm_fds *fds)
{
	struct wire_shape ws = { .magic = WIRE_MAGIC, .shape = *shape };
	char control[CMSG_SPACE(WIRE_FDS * sizeof(int))] = { 0 };
	struct iovec iov = { &ws, sizeof(ws) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
	};
	struct cmsghdr *c;
	int list[WIRE_FDS];
	unsigned int i;
	ssize_t n;

	list[ws.nfds++] = fds->mem;
	for (i = 0; i < shape->cpus; i++) {
		if (fds->irq[i] < 0)
			continue;
		ws.irqs |= 1u << i;
		list[ws.nfds++] = fds->irq[i];
		list[ws.nfds++] = fds->ack[i];
	}
	msg.msg_controllen = CMSG_SPACE(ws.nfds * sizeof(int));
	c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(ws.nfds * sizeof(int));
	memcpy(CMSG_DATA(c), list, ws.nfds * sizeof(int));
	n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	if (n != sizeof(ws))
		return vmm_error(n < 0 ? errno : EIO, "sending a VM's shape");
	return 0;
}

int wire_recv_shape(int sock, struct vm_shape *shape, struct vm_fds *fds)
{
	char control[CMSG_SPACE(WIRE_FDS * sizeof(int))] = { 0 };
	struct wire_shape ws;
	struct iovec iov = { &ws, sizeof(ws) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	int list[WIRE_FDS];
	unsigned int i, got = 0, used = 0;
	ssize_t n;

	n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_WAITALL);
	if (n != sizeof(ws))
		return vmm_error(n < 0 ? errno : EPIPE, "receiving a VM's shape");
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
		got = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (got > WIRE_FDS)
			got = WIRE_FDS;
		memcpy(list, CMSG_DATA(c), got * sizeof(int));
	}
	if (ws.magic != WIRE_MAGIC || got != ws.nfds ||
	    got != 1 + 2u * __builtin_popcount(ws.irqs) ||
	    ws.irqs >> GUEST_MAX_CPUS || ws.shape.guest >= GUEST_COUNT) {
		for (i = 0; i < got; i++)
			close(list[i]);
		return vmm_error(EPROTO, "receiving a VM's shape");
	}
	*shape = ws.shape;
	fds->mem = list[used++];
	for (i = 0; i < GUEST_MAX_CPUS; i++) {
		bool has = ws.irqs >> i & 1;

		fds->irq[i] = has ? list[used++] : -1;
		fds->ack[i] = has ? list[used++] : -1;
	}
	return 0;
}

int wire_send_state(int sock, struct vm *vm, const struct vm_state *st)
{
	struct wire_state ws = { .magic = WIRE_MAGIC, .len = st->len };
	unsigned int i;
	int ret;

	for (i = 0; i < vm->shape.cpus; i++)
		ws.dev[i] = vm->vcpu[i].dev;
	ret = write_all(sock, &ws, sizeof(ws));
	if (!ret)
		ret = write_all(sock, st->buf, st->len);
	return ret;
}

int wire_recv_state(int sock, struct vm *vm, struct vm_state *st)
{
	struct wire_state ws;
	unsigned int i;
	int ret;

	ret = read_all(sock, &ws, sizeof(ws));
	if (ret)
		return ret;
	if (ws.magic != WIRE_MAGIC || ws.len > WIRE_MAX_STATE)
		return vmm_error(EPROTO, "receiving a VM's state");
	st->buf = malloc(ws.len ? ws.len : 1);
	if (!st->buf)
		return vmm_error(ENOMEM, "state of %llu bytes", ws.len);
	st->room = ws.len;
	st->len = ws.len;
	ret = read_all(sock, st->buf, ws.len);
	for (i = 0; !ret && i < vm->shape.cpus; i++)
		vm->vcpu[i].dev = ws.dev[i];
	return ret;
}

int wire_send_fd(int sock, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (sendmsg(sock, &msg, MSG_NOSIGNAL) != 1)
		return vmm_error(errno, "sending a descriptor");
	return 0;
}

int wire_recv_fd(int sock)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	ssize_t n;
	int fd;

	do {
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	c = CMSG_FIRSTHDR(&msg);
	if (n != 1 || !c || c->cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}
