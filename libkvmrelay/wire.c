// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM over a UNIX socket: its layout, then its descriptors in groups, each with one byte.
 * The answer is a line.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "private.h"

/* SCM_MAX_FD of the kernel is 253. */
#define GROUP	128

/**
 * struct wire_head - begins a VM
 * @magic:	LAYOUT_MAGIC
 * @size:	of the layout, which follows
 * @session:	1 if the session's descriptor comes last
 */
struct wire_head {
	__u64 magic;
	__u32 size;
	__u32 session;
};

/**
 * struct wire_report - what became of it
 * @magic:	LAYOUT_MAGIC
 * @error:	0 or a positive errno
 * @reserved:	0
 * @reason:	a line
 */
struct wire_report {
	__u64 magic;
	__u32 error;
	__u32 reserved;
	char reason[KVMRELAY_REASON_LEN];
};

static int broken(int r, const char *what, struct kvmrelay_error *err)
{
	return kvmrelay_fail(err, r, "%s: %s", what, strerror(-r));
}

static int send_bytes(int sock, const void *data, size_t size, struct kvmrelay_error *err)
{
	const char *at = data;
	ssize_t n;

	for (; size; at += n, size -= n) {
		n = send(sock, at, size, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			n = 0;
		if (n < 0)
			return broken(-errno, "sending on the socket", err);
	}
	return 0;
}

static int recv_bytes(int sock, void *data, size_t size, struct kvmrelay_error *err)
{
	char *at = data;
	ssize_t n;

	for (; size; at += n, size -= n) {
		n = recv(sock, at, size, 0);
		if (!n)
			return kvmrelay_fail(err, -ECONNRESET, "the other side closed the socket");
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n < 0)
			return broken(-errno, "receiving on the socket", err);
	}
	return 0;
}

union control {
	struct cmsghdr align;
	char room[CMSG_SPACE(GROUP * sizeof(int))];
};

static int send_group(int sock, const int *fds, unsigned int n, struct kvmrelay_error *err)
{
	union control c = { 0 };
	char byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &c, .msg_controllen = CMSG_SPACE(n * sizeof(int)),
	};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	ssize_t r;

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(h), fds, n * sizeof(int));
	do
		r = sendmsg(sock, &m, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	return r < 0 ? broken(-errno, "sending descriptors", err) : 0;
}

static int send_fds(int sock, const int *fds, unsigned int n, struct kvmrelay_error *err)
{
	unsigned int i;
	int r = 0;

	for (i = 0; !r && i < n; i += GROUP)
		r = send_group(sock, fds + i, n - i < GROUP ? n - i : GROUP, err);
	return r;
}

/* What came and is not wanted is closed; *got is how many are in fds. */
static int recv_group(int sock, int *fds, unsigned int n, unsigned int *got,
		      struct kvmrelay_error *err)
{
	union control c;
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &c, .msg_controllen = sizeof(c),
	};
	unsigned int i, have;
	struct cmsghdr *h;
	ssize_t r;
	int fd;

	*got = 0;
	do
		r = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return broken(-errno, "receiving descriptors", err);
	if (!r)
		return kvmrelay_fail(err, -ECONNRESET, "the other side closed the socket");
	for (h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		have = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < have; i++) {
			memcpy(&fd, CMSG_DATA(h) + i * sizeof(fd), sizeof(fd));
			if (*got < n)
				fds[(*got)++] = fd;
			else
				close(fd);
		}
	}
	if (*got != n || m.msg_flags & MSG_CTRUNC)
		return kvmrelay_fail(err, -EPROTO,
				     "%u descriptors came, not %u (is RLIMIT_NOFILE reached?)",
				     *got, n);
	return 0;
}

static int recv_fds(int sock, int *fds, unsigned int n, struct kvmrelay_error *err)
{
	unsigned int i, got;
	int r = 0;

	for (i = 0; i < n; i++)
		fds[i] = -1;
	for (i = 0; !r && i < n; i += got)
		r = recv_group(sock, fds + i, n - i < GROUP ? n - i : GROUP, &got, err);
	return r;
}

EXPORT int kvmrelay_vm_send(int sock, const struct kvmrelay_vm *vm, int session,
			    struct kvmrelay_error *err)
{
	struct wire_head head = { .magic = LAYOUT_MAGIC, .session = session >= 0 };
	struct layout l;
	int r = layout_make(vm, &l, err);

	if (r)
		return r;
	head.size = l.size;
	r = send_bytes(sock, &head, sizeof(head), err);
	if (!r)
		r = send_bytes(sock, l.head, l.size, err);
	if (!r)
		r = send_fds(sock, &vm->vm, 1, err);
	if (!r)
		r = send_fds(sock, vm->vcpus, vm->nr_vcpus, err);
	if (!r)
		r = send_fds(sock, l.memories, l.head->nr_memories, err);
	if (!r && session >= 0)
		r = send_fds(sock, &session, 1, err);
	layout_free(&l);
	return r;
}

static int receive_vm(int sock, struct own_vm *own, int *session, struct kvmrelay_error *err)
{
	int r = recv_fds(sock, &own->vm.vm, 1, err);

	if (!r)
		r = recv_fds(sock, own->vm.vcpus, own->vm.nr_vcpus, err);
	if (!r)
		r = recv_fds(sock, own->memories, own->nr_memories, err);
	if (!r && session)
		r = recv_fds(sock, session, 1, err);
	return r ?: layout_check_memory(own, err);
}

EXPORT int kvmrelay_vm_receive(int sock, struct kvmrelay_vm **vm, int *session,
			       struct kvmrelay_error *err)
{
	struct own_vm *own = NULL;
	struct wire_head head;
	void *layout;
	int r;

	*session = -1;
	r = recv_bytes(sock, &head, sizeof(head), err);
	if (r)
		return r;
	if (head.magic != LAYOUT_MAGIC || head.session > 1 ||
	    head.size > sizeof(struct layout_head) +
			KVM_CORE_ADOPT_SLOTS * sizeof(struct layout_slot))
		return kvmrelay_fail(err, -EPROTO,
				     "this is no VM of libkvmrelay, or of another version");
	layout = malloc(head.size + 1);
	if (!layout)
		return kvmrelay_fail(err, -ENOMEM, "the VM: %s", strerror(ENOMEM));
	r = recv_bytes(sock, layout, head.size, err);
	if (!r) {
		own = layout_vm(layout, head.size, err);
		r = own ? receive_vm(sock, own, head.session ? session : NULL, err) : -errno;
	}
	free(layout);
	if (!r) {
		*vm = &own->vm;
		return 0;
	}
	if (own)
		kvmrelay_vm_free(&own->vm);
	if (*session >= 0)
		close(*session);
	*session = -1;
	return r;
}

EXPORT int kvmrelay_report(int sock, int error, const char *reason, struct kvmrelay_error *err)
{
	struct wire_report rep = { .magic = LAYOUT_MAGIC, .error = error < 0 ? -error : error };

	if (reason)
		snprintf(rep.reason, sizeof(rep.reason), "%s", reason);
	return send_bytes(sock, &rep, sizeof(rep), err);
}

EXPORT int kvmrelay_result(int sock, struct kvmrelay_error *err)
{
	struct wire_report rep;
	int r = recv_bytes(sock, &rep, sizeof(rep), err);

	if (r)
		return r;
	if (rep.magic != LAYOUT_MAGIC || rep.error > 4095 || rep.reserved)
		return kvmrelay_fail(err, -EPROTO,
				     "this is no report of libkvmrelay, or of another version");
	rep.reason[sizeof(rep.reason) - 1] = '\0';
	return rep.error ? kvmrelay_fail(err, -(int)rep.error, "%s", rep.reason) : 0;
}

EXPORT int kvmrelay_hold_connect(const char *path, struct kvmrelay_error *err)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int sock;

	if (strlen(path) >= sizeof(to.sun_path))
		return kvmrelay_fail(err, -ENAMETOOLONG, "%s: %s", path, strerror(ENAMETOOLONG));
	strcpy(to.sun_path, path);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return kvmrelay_fail(err, -errno, "%s: %s", path, strerror(errno));
	if (connect(sock, (struct sockaddr *)&to, sizeof(to))) {
		int r = kvmrelay_fail(err, -errno, "%s: %s", path, strerror(errno));

		close(sock);
		return r;
	}
	return sock;
}
