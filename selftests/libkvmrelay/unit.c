// SPDX-License-Identifier: GPL-2.0-only
/*
 * libkvmrelay-unit: what of libkvmrelay needs no KVM. Eventfds stand for the descriptors of
 * VM and vCPUs, which the library passes on and does not look into.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/kvm.h>
#include <kselftest.h>
#include "kvmrelay.h"

/* More than fit into one message */
#define VCPUS		300
#define FDS		512
#define SEGMENTS	16
#define PAGE		4096ull

/* What a check has found wrong, or empty */
static char why[400];
static struct kvmrelay_error err;

#define WRONG(...) do {						\
	if (!why[0])						\
		snprintf(why, sizeof(why), __VA_ARGS__);	\
} while (0)

static unsigned int open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* The call has failed with this errno, and its reason has this in it. */
static void failed(const char *what, int r, int error, const char *reason)
{
	if (r != -error)
		WRONG("%s: %d (%s), not %d", what, r, err.reason, -error);
	else if (!strstr(err.reason, reason))
		WRONG("%s: the reason is \"%s\"", what, err.reason);
	err.reason[0] = '\0';
}

static void worked(const char *what, int r)
{
	if (r < 0)
		WRONG("%s: %d (%s)", what, r, err.reason);
}

static void write_file(const char *path, const char *text, size_t len)
{
	FILE *f = fopen(path, "we");

	if (!f || fwrite(text, 1, len, f) != len || fclose(f))
		WRONG("%s: %s", path, strerror(errno));
}

static void test_tickets(void)
{
	struct kvmrelay_ticket a = { .session = 4294967295u }, b;
	struct stat st;
	unsigned int i;

	for (i = 0; i < sizeof(a.token); i++)
		a.token[i] = 255 - 7 * i;
	write_file("ticket", "old", 3);
	chmod("ticket", 0644);
	worked("save", kvmrelay_ticket_save("ticket", &a, &err));
	worked("load", kvmrelay_ticket_load("ticket", &b, &err));
	if (memcmp(&a, &b, sizeof(a)))
		WRONG("another ticket is loaded");
	if (stat("ticket", &st) || (st.st_mode & 0777) != 0600)
		WRONG("the file's mode is %o", st.st_mode & 0777);
	failed("save", kvmrelay_ticket_save("none/ticket", &a, &err), ENOENT, "none/ticket");
	mkdir("dir", 0700);
	failed("save", kvmrelay_ticket_save("dir", &a, &err), EISDIR, "dir: ");
	failed("load", kvmrelay_ticket_load("dir", &b, &err), EISDIR, "dir: ");
	failed("load", kvmrelay_ticket_load("missing", &b, &err), ENOENT, "missing: ");
	rmdir("dir");
}

/* Nothing but the library's is left beside it. */
static void test_ticket_left(void)
{
	DIR *d = opendir(".");
	struct dirent *e;

	while ((e = readdir(d)))
		if (!strncmp(e->d_name, "dir.", 4) || !strncmp(e->d_name, "ticket.", 7))
			WRONG("%s is left", e->d_name);
	closedir(d);
}

static void test_bad_tickets(void)
{
	struct kvmrelay_ticket a = { .session = 7 }, b;
	char good[100], text[200];
	size_t len, i;
	FILE *f;

	worked("save", kvmrelay_ticket_save("ticket", &a, &err));
	f = fopen("ticket", "re");
	len = fread(good, 1, sizeof(good), f);
	fclose(f);
	for (i = 0; i < len; i++) {
		write_file("bad", good, i);
		failed("a part", kvmrelay_ticket_load("bad", &b, &err), EINVAL, "no ticket");
		memcpy(text, good, len);
		text[i] = 'g';
		write_file("bad", text, len);
		failed("a wrong digit", kvmrelay_ticket_load("bad", &b, &err), EINVAL, "no ticket");
	}
	memcpy(text, good, len);
	text[len] = '\n';
	write_file("bad", text, len + 1);
	failed("more", kvmrelay_ticket_load("bad", &b, &err), EINVAL, "no ticket");
	len = sprintf(text, "4294967296\n%.*s", 65, good + 2);
	write_file("bad", text, len);
	failed("a number too large", kvmrelay_ticket_load("bad", &b, &err), EINVAL, "no ticket");
	len = sprintf(text, "4294967295\n%.*s", 65, good + 2);
	write_file("bad", text, len);
	worked("the largest number", kvmrelay_ticket_load("bad", &b, &err));
}

/* A VM of VCPUS vCPUs with two pieces of memory in three memslots, and a socket to send it */
struct setup {
	struct kvmrelay_vm vm;
	struct kvmrelay_slot slot[3];
	int vcpus[VCPUS];
	int a;
	int b;
	int sock[2];
	int session;
	unsigned int files;	/* before */
};

static void setup(struct setup *s, unsigned int vcpus)
{
	int size = 4 << 20;
	unsigned int i;

	memset(s, 0, sizeof(*s));
	s->files = open_files();
	s->a = memfd_create("a", MFD_CLOEXEC);
	s->b = memfd_create("b", MFD_CLOEXEC);
	if (ftruncate(s->a, 8 * PAGE) || ftruncate(s->b, 2 * PAGE) ||
	    pwrite(s->a, "a", 1, 5 * PAGE) != 1 || pwrite(s->b, "b", 1, PAGE) != 1 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s->sock) ||
	    setsockopt(s->sock[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)))
		WRONG("no VM: %s", strerror(errno));
	s->slot[0] = (struct kvmrelay_slot){ .slot = 0, .size = 4 * PAGE, .memory = s->a };
	s->slot[1] = (struct kvmrelay_slot){
		.slot = 9, .guest_phys_addr = 1ull << 32, .size = 4 * PAGE, .offset = 4 * PAGE,
		.memory = s->a,
	};
	s->slot[2] = (struct kvmrelay_slot){
		.slot = 1 << 16, .flags = KVMRELAY_SLOT_READONLY, .size = 2 * PAGE, .memory = s->b,
	};
	s->vm = (struct kvmrelay_vm){
		.flags = KVMRELAY_VM_MARKED, .nr_vcpus = vcpus, .vcpus = s->vcpus,
		.nr_slots = 3, .slots = s->slot,
	};
	s->vm.vm = eventfd(1000, EFD_NONBLOCK | EFD_CLOEXEC);
	s->session = eventfd(2000, EFD_NONBLOCK | EFD_CLOEXEC);
	for (i = 0; i < vcpus; i++)
		s->vcpus[i] = eventfd(i + 1, EFD_NONBLOCK | EFD_CLOEXEC);
}

static void teardown(struct setup *s)
{
	unsigned int i;

	for (i = 0; i < s->vm.nr_vcpus; i++)
		close(s->vcpus[i]);
	close(s->vm.vm);
	close(s->session);
	close(s->a);
	close(s->b);
	close(s->sock[0]);
	if (s->sock[1] >= 0)
		close(s->sock[1]);
	if (open_files() != s->files)
		WRONG("%u descriptors are open, not %u", open_files(), s->files);
}

static __u64 value(int fd)
{
	__u64 v = 0;

	return read(fd, &v, sizeof(v)) == sizeof(v) ? v : 0;
}

static void compare(const struct setup *s, struct kvmrelay_vm *vm, int session)
{
	unsigned int i;

	if (vm->flags != KVMRELAY_VM_MARKED || vm->nr_vcpus != VCPUS || vm->nr_slots != 3)
		WRONG("another VM has come");
	if (value(vm->vm) != 1000 || value(session) != 2000)
		WRONG("other descriptors have come");
	for (i = 0; i < vm->nr_vcpus; i++)
		if (value(vm->vcpus[i]) != i + 1)
			WRONG("vCPU %u is another", i);
	for (i = 0; i < vm->nr_slots; i++)
		if (vm->slots[i].slot != s->slot[i].slot ||
		    vm->slots[i].guest_phys_addr != s->slot[i].guest_phys_addr ||
		    vm->slots[i].size != s->slot[i].size ||
		    vm->slots[i].offset != s->slot[i].offset ||
		    vm->slots[i].flags != s->slot[i].flags || vm->slots[i].addr)
			WRONG("memslot %u is another", i);
	if (vm->slots[0].memory != vm->slots[1].memory)
		WRONG("memory of two memslots has come twice");
	if (!(fcntl(vm->vm, F_GETFD) & FD_CLOEXEC) ||
	    !(fcntl(vm->slots[2].memory, F_GETFD) & FD_CLOEXEC))
		WRONG("a descriptor would be inherited");
}

static void test_wire(void)
{
	struct kvmrelay_vm *vm;
	struct setup s;
	int session;
	void *addr;

	setup(&s, VCPUS);
	worked("send", kvmrelay_vm_send(s.sock[0], &s.vm, s.session, &err));
	worked("receive", kvmrelay_vm_receive(s.sock[1], &vm, &session, &err));
	if (!why[0]) {
		compare(&s, vm, session);
		worked("map", kvmrelay_vm_map(vm, &err));
		addr = vm->slots[0].addr;
		worked("map", kvmrelay_vm_map(vm, &err));
		if (vm->slots[0].addr != addr)
			WRONG("a memslot is mapped twice");
		if (*((char *)vm->slots[1].addr + PAGE) != 'a' ||
		    *((char *)vm->slots[2].addr + PAGE) != 'b')
			WRONG("other memory is mapped");
		/* The kernel writes there, or does not. */
		if (pread(s.b, vm->slots[2].addr, 1, 0) >= 0)
			WRONG("memory that is read only is written to");
		if (pread(s.b, vm->slots[0].addr, 1, PAGE) != 1)
			WRONG("memory is not written to");
		kvmrelay_vm_free(vm);
		close(session);
	}
	teardown(&s);
}

static void test_no_session(void)
{
	struct kvmrelay_vm *vm;
	struct setup s;
	int session = 0;

	setup(&s, 1);
	worked("send", kvmrelay_vm_send(s.sock[0], &s.vm, -1, &err));
	worked("receive", kvmrelay_vm_receive(s.sock[1], &vm, &session, &err));
	if (!why[0]) {
		if (session != -1)
			WRONG("session %d has come", session);
		kvmrelay_vm_free(vm);
	}
	teardown(&s);
}

/* What was sent, to be sent again in another way: bytes, and descriptors that come with them */
struct segment {
	char data[4096];
	size_t len;
	int fds[FDS];
	unsigned int nr_fds;
};

static struct segment segments[SEGMENTS];

static unsigned int capture(int sock)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(253 * sizeof(int))];
	} c;
	unsigned int n;

	for (n = 0; n < SEGMENTS; n++) {
		struct segment *g = &segments[n];
		struct iovec iov = { .iov_base = g->data, .iov_len = sizeof(g->data) };
		struct msghdr m = {
			.msg_iov = &iov, .msg_iovlen = 1,
			.msg_control = &c, .msg_controllen = sizeof(c),
		};
		ssize_t len = recvmsg(sock, &m, MSG_DONTWAIT);

		if (len <= 0)
			break;
		g->len = len;
		g->nr_fds = 0;
		if (m.msg_controllen) {
			g->nr_fds = (CMSG_FIRSTHDR(&m)->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			memcpy(g->fds, CMSG_DATA(CMSG_FIRSTHDR(&m)), g->nr_fds * sizeof(int));
		}
		/* What was sent before comes with the byte that has descriptors. */
		if (g->nr_fds && len > 1 && n + 1 < SEGMENTS) {
			segments[n + 1] = *g;
			g->len--;
			g->nr_fds = 0;
			segments[++n].len = 1;
		}
	}
	return n;
}

static void close_captured(unsigned int n)
{
	unsigned int i;

	while (n--)
		for (i = 0; i < segments[n].nr_fds; i++)
			close(segments[n].fds[i]);
}

static void replay_one(int sock, const struct segment *g, size_t len, unsigned int nr_fds)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(253 * sizeof(int))];
	} c = { 0 };
	struct iovec iov = { .iov_base = (void *)g->data, .iov_len = len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nr_fds) {
		m.msg_control = &c;
		m.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		c.align.cmsg_level = SOL_SOCKET;
		c.align.cmsg_type = SCM_RIGHTS;
		c.align.cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(&c.align), g->fds, nr_fds * sizeof(int));
	}
	if (len && sendmsg(sock, &m, MSG_NOSIGNAL) < 0)
		WRONG("sendmsg: %s", strerror(errno));
}

/* The first so many bytes, then the end; -errno, or 0 and the VM was freed again. */
static int replay(unsigned int n, size_t bytes)
{
	struct kvmrelay_vm *vm;
	int sock[2], session, r;
	unsigned int i;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock))
		WRONG("no socket");
	for (i = 0; i < n && bytes; i++) {
		size_t len = segments[i].len < bytes ? segments[i].len : bytes;

		replay_one(sock[0], &segments[i], len, segments[i].nr_fds);
		bytes -= len;
	}
	close(sock[0]);
	r = kvmrelay_vm_receive(sock[1], &vm, &session, &err);
	if (!r) {
		if (kvmrelay_vm_map(vm, &err))
			err.reason[0] = '\0';
		kvmrelay_vm_free(vm);
		if (session >= 0)
			close(session);
	} else if (!err.reason[0]) {
		WRONG("no reason for %d", r);
	} else if (session != -1) {
		WRONG("a session has come with %d", r);
	}
	close(sock[1]);
	return r;
}

static void test_parts(void)
{
	unsigned int files, n, i;
	size_t bytes = 0, k;
	struct setup s;

	setup(&s, 3);
	worked("send", kvmrelay_vm_send(s.sock[0], &s.vm, s.session, &err));
	n = capture(s.sock[1]);
	for (i = 0; i < n; i++)
		bytes += segments[i].len;
	files = open_files();
	for (k = 0; k < bytes; k++)
		failed("a part", replay(n, k), ECONNRESET, "closed the socket");
	worked("the whole", replay(n, bytes));
	if (open_files() != files)
		WRONG("%u descriptors are open, not %u", open_files(), files);
	close_captured(n);
	teardown(&s);
}

/* Each bit of what comes without descriptors is another */
static void test_bits(void)
{
	unsigned int files, n, i, bit, refused = 0;
	struct setup s;
	size_t k;
	int r;

	setup(&s, 3);
	worked("send", kvmrelay_vm_send(s.sock[0], &s.vm, s.session, &err));
	n = capture(s.sock[1]);
	files = open_files();
	for (i = 0; i < n && !segments[i].nr_fds; i++) {
		for (k = 0; k < segments[i].len; k++) {
			for (bit = 0; bit < 8; bit++) {
				segments[i].data[k] ^= 1 << bit;
				r = replay(n, SIZE_MAX);
				refused += r < 0;
				/* A memslot's number and address are the VMM's affair. */
				if (r && r != -EPROTO && r != -EINVAL && r != -ECONNRESET)
					WRONG("bit %u of byte %zu: %d (%s)", bit, k, r,
					      err.reason);
				segments[i].data[k] ^= 1 << bit;
			}
		}
	}
	if (refused < 400)
		WRONG("%u are refused", refused);
	if (open_files() != files)
		WRONG("%u descriptors are open, not %u", open_files(), files);
	close_captured(n);
	teardown(&s);
}

static void test_descriptors(void)
{
	unsigned int n, i, at, had;
	struct setup s;
	int other;

	setup(&s, 3);
	worked("send", kvmrelay_vm_send(s.sock[0], &s.vm, s.session, &err));
	n = capture(s.sock[1]);
	for (at = 0; at < n && segments[at].nr_fds != 3; at++)
		;
	had = segments[at].nr_fds;
	segments[at].nr_fds = had - 1;
	failed("one too few", replay(n, SIZE_MAX), EPROTO, "2 descriptors came, not 3");
	segments[at].nr_fds = 0;
	failed("none", replay(n, SIZE_MAX), EPROTO, "0 descriptors came, not 3");
	segments[at].nr_fds = had + 1;
	segments[at].fds[had] = s.a;
	/* The one too many is closed. */
	i = open_files();
	worked("one too many", replay(n, SIZE_MAX));
	if (open_files() != i)
		WRONG("the one too many is open");
	segments[at].nr_fds = had;
	/* Memory that is too short, or none */
	other = segments[at + 1].fds[0];
	segments[at + 1].fds[0] = segments[at + 1].fds[1];
	failed("short memory", replay(n, SIZE_MAX), EINVAL, "has 8192 bytes, not 0x4000");
	segments[at + 1].fds[0] = s.vm.vm;
	failed("no memory", replay(n, SIZE_MAX), EINVAL, "memslot 0: its memory has");
	segments[at + 1].fds[0] = other;
	worked("as it was", replay(n, SIZE_MAX));
	close_captured(n);
	teardown(&s);
}

/* Memory that is said to be a device */
static void test_no_device(void)
{
	struct setup s;
	unsigned int n;

	setup(&s, 1);
	s.slot[2].flags = KVMRELAY_SLOT_DEVICE;
	worked("send", kvmrelay_vm_send(s.sock[0], &s.vm, -1, &err));
	n = capture(s.sock[1]);
	failed("memory for a device", replay(n, SIZE_MAX), EINVAL,
	       "memslot 65536: its device is none of VFIO's");
	close_captured(n);
	teardown(&s);
}

static void test_bad_vms(void)
{
	struct kvmrelay_vm vm;
	struct setup s;
	int fd;

	setup(&s, 3);
	vm = s.vm;
	vm.nr_vcpus = 0;
	failed("no vCPU", kvmrelay_vm_send(s.sock[0], &vm, -1, &err), EINVAL, "0 vCPUs");
	vm.nr_vcpus = 5000;
	failed("vCPUs", kvmrelay_vm_send(s.sock[0], &vm, -1, &err), EINVAL, "5000 vCPUs");
	vm = s.vm;
	vm.nr_slots = 70000;
	failed("memslots", kvmrelay_vm_send(s.sock[0], &vm, -1, &err), EINVAL, "70000 memslots");
	vm = s.vm;
	s.slot[1].memory = -1;
	failed("memory", kvmrelay_vm_send(s.sock[0], &vm, -1, &err), EBADF, "of memslot 9");
	s.slot[1].memory = s.a;
	fd = s.vcpus[1];
	s.vcpus[1] = 1000;
	failed("a vCPU", kvmrelay_vm_send(s.sock[0], &vm, -1, &err), EBADF, "sending");
	s.vcpus[1] = fd;
	close(s.sock[1]);
	s.sock[1] = -1;
	failed("nobody", kvmrelay_vm_send(s.sock[0], &s.vm, -1, &err), EPIPE, "Broken pipe");
	teardown(&s);
}

static void test_reports(void)
{
	char long_line[400];
	int sock[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock))
		WRONG("no socket");
	worked("report", kvmrelay_report(sock[0], 0, NULL, &err));
	worked("result", kvmrelay_result(sock[1], &err));
	worked("report", kvmrelay_report(sock[0], -EBUSY, "it is in use", &err));
	failed("result", kvmrelay_result(sock[1], &err), EBUSY, "it is in use");
	memset(long_line, 'x', sizeof(long_line) - 1);
	long_line[sizeof(long_line) - 1] = '\0';
	worked("report", kvmrelay_report(sock[0], EPERM, long_line, &err));
	failed("result", kvmrelay_result(sock[1], &err), EPERM, "xxx");
	memset(long_line, 0, sizeof(long_line));
	if (send(sock[0], long_line, 256, 0) != 256)
		WRONG("send");
	failed("result", kvmrelay_result(sock[1], &err), EPROTO, "no report");
	close(sock[0]);
	failed("result", kvmrelay_result(sock[1], &err), ECONNRESET, "closed");
	failed("report", kvmrelay_report(sock[1], 0, NULL, &err), EPIPE, "Broken pipe");
	close(sock[1]);
	memset(long_line, 'x', sizeof(long_line) - 1);
	failed("connect", kvmrelay_hold_connect("nobody", &err), ENOENT, "nobody: ");
	failed("connect", kvmrelay_hold_connect(long_line, &err), ENAMETOOLONG, "xxx");
}

/* Where there is no kernel module, or the descriptor is another's */
static void test_others(void)
{
	int fd = eventfd(0, EFD_CLOEXEC), dev = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct kvmrelay_ticket t = { .session = 3 };
	struct kvmrelay_vm vm = { .vm = fd };
	struct vfio_keepalive_info info;
	struct kvm_core_move mv = { 0 };
	struct kvmrelay_ring *ring;
	struct kvmrelay_vm *other;

	if (access("/dev/vfio-keepalive", F_OK))
		failed("create", kvmrelay_session_create(-1, "x", 1, &t, &err), ENOENT,
		       "/dev/vfio-keepalive: ");
	failed("create", kvmrelay_session_create(dev, "x", 1, &t, &err), ENOTTY, "a session");
	failed("create", kvmrelay_session_create(dev, "a name of more than 31 characters", 1, &t,
						 &err), EINVAL, "longer than 31");
	failed("claim", kvmrelay_session_claim(dev, &t, &err), ENOTTY, "session 3: ");
	failed("watch", kvmrelay_session_watch(dev, &t, &err), ENOTTY, "session 3: ");
	failed("open", kvmrelay_session_open(dev, "missing", &err), ENOENT, "missing: ");
	failed("info", kvmrelay_session_info(fd, &info, &err), ENOTTY, "what the session is");
	failed("keep", kvmrelay_keep(fd, "x", VFIO_KEEPALIVE_VM, fd, 0, &err), ENOTTY, "x into");
	failed("take", kvmrelay_take(fd, "x", &err), ENOTTY, "x in the session");
	failed("state", kvmrelay_set_state(fd, NULL, "x", 1, &err), ENOTTY, "the session");
	failed("state", kvmrelay_set_state(fd, NULL, "x", 70000, &err), E2BIG, "70000 bytes");
	failed("wait", kvmrelay_session_wait(-1, 1, &err), ETIMEDOUT, "still");
	failed("wait", kvmrelay_session_wait(1000, 1, &err), EBADF, "no descriptor 1000");
	failed("take", kvmrelay_vm_take(fd, "a name that is too long", &other, &err), EINVAL,
	       "1 to 19");
	failed("take", kvmrelay_vm_take(fd, "", &other, &err), EINVAL, "1 to 19");
	failed("keep", kvmrelay_vm_keep(fd, "vm", &vm, &err), EINVAL, "0 vCPUs");
	failed("adopt", kvmrelay_vm_adopt(&vm, &mv, NULL, &err), ENOTTY, "no VM of kvm-core");
	failed("move", kvmrelay_vm_move(fd, &mv, &err), ENOTTY, "no VM of kvm-core");
	failed("rings", kvmrelay_ring_enable(fd, 1024, &err), ENOTTY, "1024 entries");
	failed("ring", kvmrelay_ring_open(&ring, fd, 1024, 0, &err), ENODEV, "1024 entries");
	/* Without room for a reason */
	if (kvmrelay_vm_move(fd, &mv, NULL) != -ENOTTY)
		WRONG("without a reason");
	close(fd);
	close(dev);
}

static void test_exits(void)
{
	struct kvm_run run = { .exit_reason = KVM_EXIT_IO };

	if (!kvmrelay_exit_waits(&run, KVM_CORE_ADOPT_EXIT_DONE) ||
	    kvmrelay_exit_waits(&run, KVM_CORE_ADOPT_EXIT_AGAIN) ||
	    !kvmrelay_exit_waits(&run, KVM_CORE_ADOPT_EXIT_WRITE))
		WRONG("an exit that waits");
	run.exit_reason = KVM_EXIT_INTR;
	if (kvmrelay_exit_waits(&run, KVM_CORE_ADOPT_EXIT_DONE))
		WRONG("an exit that does not wait");
	if (strcmp(kvmrelay_stage_name(KVM_CORE_STAGE_RETIRE), "retire") ||
	    strcmp(kvmrelay_stage_name(KVM_CORE_STAGES), "unknown"))
		WRONG("names of stages");
}

static const struct {
	const char *name;
	void (*test)(void);
} tests[] = {
	{ "a ticket in a file", test_tickets },
	{ "a ticket that cannot be saved leaves no file", test_ticket_left },
	{ "files that are no ticket", test_bad_tickets },
	{ "a VM over a socket, and its memory mapped", test_wire },
	{ "a VM without a session", test_no_session },
	{ "parts of a VM, of each length", test_parts },
	{ "each bit of a VM turned", test_bits },
	{ "other descriptors than there should be", test_descriptors },
	{ "memory that is said to be a device", test_no_device },
	{ "what is no VM is not sent", test_bad_vms },
	{ "reports", test_reports },
	{ "descriptors that are something else", test_others },
	{ "exits that wait", test_exits },
};

int main(void)
{
	char dir[] = "/tmp/libkvmrelay.XXXXXX";
	unsigned int i;

	if (!mkdtemp(dir) || chdir(dir))
		return 2;
	ksft_print_header();
	ksft_set_plan(ARRAY_SIZE(tests));
	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		why[0] = '\0';
		tests[i].test();
		if (why[0])
			ksft_test_result_fail("%s: %s\n", tests[i].name, why);
		else
			ksft_test_result_pass("%s\n", tests[i].name);
	}
	unlink("ticket");
	unlink("bad");
	rmdir(dir);
	ksft_finished();
}
