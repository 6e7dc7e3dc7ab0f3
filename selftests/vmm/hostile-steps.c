// SPDX-License-Identifier: GPL-2.0-only
/* vmm-hostile: VMs that run, and what is done to descriptors, mappings and processes. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "vmm.h"
#include "hostile.h"

#define R	(&t->rng)
#define CODE	0x1000
/* For a child. */
#define CHILD_MS	5000

static int own_fd(struct thread *t, enum kind kind)
{
	return HOSTILE_FD(kind, rnd(R, EACH));
}

static void open_node(struct thread *t)
{
	enum kind kind = K_KVM;
	const char *path = t->w->nodes[rnd(R, t->w->node_count)];

	if (one_in(R, 4)) {
		kind = one_in(R, 4) ? K_CORE : K_KA;
		path = kind == K_CORE ? "/dev/kvm-core" : "/dev/vfio-keepalive";
	}
	fd_keep(t, open(path, O_RDWR | O_CLOEXEC), kind);
}

static void new_event(struct thread *t)
{
	fd_keep(t, eventfd(rnd(R, 2), EFD_CLOEXEC | EFD_NONBLOCK), K_EVENT);
}

static void new_memory(struct thread *t)
{
	int fd = memfd_create("hostile", MFD_CLOEXEC);

	if (fd >= 0 && ftruncate(fd, PAGE << rnd(R, 6)))
		errno = 0;
	fd_keep(t, fd, K_MEM);
}

/* A VM that is as it should be, and has something to run. */
static void new_vm(struct thread *t)
{
	/* Each with vCPUs of its own, so that it stays whole for a while. */
	const unsigned int n = rnd(R, EACH / 2);
	const int kvm = own_fd(t, K_KVM), vm = HOSTILE_FD(K_VM, n);
	const char *path = t->w->nodes[rnd(R, t->w->node_count)];
	const unsigned int cpus = 1 + rnd(R, 2), chip = rnd(R, 3);
	struct kvm_enable_cap ring = {
		.cap = KVM_CAP_DIRTY_LOG_RING, .args = { PAGE << rnd(R, 2) },
	};
	struct kvm_userspace_memory_region slot = {
		.guest_phys_addr = 0, .memory_size = 1 << 20,
		.userspace_addr = (unsigned long)t->w->ram, .flags = rnd(R, 2),
	};
	static __thread struct kvm_sregs s;
	unsigned char code[512];
	unsigned int i;
	int fd;

	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		dup3(fd, kvm, O_CLOEXEC);
		close(fd);
	}
	fd = call(t, kvm, KVM_CREATE_VM, 0, K_NONE);
	if (fd >= 0) {
		dup3(fd, vm, O_CLOEXEC);
		close(fd);
	}
	if (one_in(R, 2))
		call(t, vm, KVM_ENABLE_CAP, (unsigned long)&ring, K_NONE);
	call(t, vm, KVM_SET_USER_MEMORY_REGION, (unsigned long)&slot, K_NONE);
	if (chip)
		call(t, vm, KVM_CREATE_IRQCHIP, 0, K_NONE);
	/* Through the file: another thread may have made the memory read-only. */
	make_code(t, code, sizeof(code));
	if (pwrite(t->w->ram_fd, code, sizeof(code), CODE) < 0)
		errno = 0;
	for (i = 0; i < cpus; i++) {
		const int vcpu = HOSTILE_FD(K_VCPU, 2 * n + i);
		struct kvm_regs regs = { .rflags = 2, .rbx = 0x4000, .rsp = 0x3000 };

		fd = call(t, vm, KVM_CREATE_VCPU, i, K_NONE);
		if (fd >= 0) {
			dup3(fd, vcpu, O_CLOEXEC);
			close(fd);
		}
		if (call(t, vcpu, KVM_GET_SREGS, (unsigned long)&s, K_NONE) >= 0) {
			s.cs.base = CODE;
			s.cs.selector = CODE / 16;
			call(t, vcpu, KVM_SET_SREGS, (unsigned long)&s, K_NONE);
		}
		call(t, vcpu, KVM_SET_REGS, (unsigned long)&regs, K_NONE);
		call(t, vcpu, KVM_RUN, 0, K_NONE);
	}
}

static void map(struct thread *t)
{
	static const size_t lens[] = { PAGE, 3 * PAGE, 2 * PAGE, 64 * PAGE };
	const unsigned int n = rnd(R, 4);
	const int vcpu = own_fd(t, K_VCPU);
	const size_t len = lens[rnd(R, 4)];
	const int share = one_in(R, 8) ? MAP_PRIVATE : MAP_SHARED;
	const int prot = PROT_READ | (one_in(R, 6) ? 0 : PROT_WRITE);
	const off_t at = one_in(R, 3) ? (one_in(R, 2) ? 64 : rnd(R, 70)) * PAGE : 0;
	char *p;

	if (t->map[n])
		munmap(t->map[n], t->map_len[n]);
	p = mmap(NULL, len, prot, share, vcpu, at);
	t->map[n] = p == MAP_FAILED ? NULL : p;
	t->map_len[n] = len;
}

static __thread sigjmp_buf missed;
static __thread bool may_miss;

void step_fault(int sig)
{
	if (VMM_LOAD(may_miss))
		siglongjmp(missed, 1);
	signal(sig, SIG_DFL);
}

/* kvm_run, its coalesced MMIO and rings: past the end of what is there is a signal. */
static void poke(struct thread *t)
{
	const unsigned int n = rnd(R, 4), at = rnd(R, PAGE / 8);
	const __u64 v = one_in(R, 3) ? 2 : args_number(R);
	const unsigned int head = rnd(R, 16);
	const bool in_head = one_in(R, 2);

	if (!t->map[n])
		return;
	VMM_STORE(may_miss, true);
	if (!sigsetjmp(missed, 1))
		VMM_STORE(((__u64 *)t->map[n])[in_head ? head : at], v);
	VMM_STORE(may_miss, false);
}

static void unmap(struct thread *t)
{
	const unsigned int n = rnd(R, 4);
	const bool part = one_in(R, 4);
	char *p;

	if (!t->map[n])
		return;
	if (part) {
		p = mremap(t->map[n], t->map_len[n], t->map_len[n] + PAGE, MREMAP_MAYMOVE);
		if (p != MAP_FAILED) {
			t->map[n] = p;
			t->map_len[n] += PAGE;
		}
		return;
	}
	munmap(t->map[n], t->map_len[n]);
	t->map[n] = NULL;
}

/* Of another process, or this one: whoever comes first. */
int wire_pass(struct thread *t, int fd)
{
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} u;
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.buf,
		.msg_controllen = sizeof(u.buf),
	};
	struct cmsghdr *c;
	int got = -1;

	memset(&u, 0, sizeof(u));
	if (fd >= 0) {
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
		return sendmsg(t->w->sock[0], &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
	}
	if (recvmsg(t->w->sock[1], &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0)
		return -1;
	c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&got, CMSG_DATA(c), sizeof(got));
	return got;
}

/* Another process's VM, until this one ends. Its parent may have done with it anything. */
static void adopt(struct thread *t)
{
	struct kvm_core_adopt a;

	make_adopt(t, &a);
	call(t, HOSTILE_FD(K_VM, t->adopt_vm), KVM_CORE_VM_ADOPT, (unsigned long)&a, K_NONE);
}

/* The child has all descriptors and kvm_run, and is another process to KVM. */
static void fork_child(struct thread *t)
{
	const unsigned int calls = rnd(R, 6), how = rnd(R, 4);
	struct thread child = *t;
	const pid_t parent = getpid();
	unsigned int i;
	pid_t pid;

	pid = fork();
	if (!pid) {
		/* A VM's signal mask may block all but this, and its guest may run for ever. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(0);
		child.rng.s ^= 0x5a5a;
		for (i = 0; i < calls; i++) {
			if (how & 1)
				poke(&child);
			adopt(&child);
			call(&child, own_fd(&child, i & 1 ? K_VM : K_VCPU),
			     i & 1 ? KVM_GET_NR_MMU_PAGES : KVM_GET_TSC_KHZ, 0, K_NONE);
			call(&child, own_fd(&child, K_VCPU), KVM_RUN, 0, K_NONE);
		}
		if (how & 2)
			execl("/proc/self/exe", "vmm-hostile", "--nothing", NULL);
		_exit(0);
	}
	for (i = 0; pid > 0 && !waitpid(pid, NULL, WNOHANG); i++) {
		if (i == CHILD_MS)
			kill(pid, SIGKILL);
		usleep(1000);
	}
}

static void ram(struct thread *t)
{
	const size_t at = rnd(R, RAM / PAGE) * PAGE, len = PAGE << rnd(R, 6);
	const size_t n = at + len > RAM ? PAGE : len;
	char *p = t->w->ram + at;

	switch (rnd(R, 5)) {
	case 0:
		madvise(p, n, MADV_DONTNEED);
		break;
	case 1:
		madvise(p, n, t->w->halting ? MADV_DONTNEED : MADV_REMOVE);
		break;
	case 2:
		mprotect(p, n, PROT_READ);
		break;
	case 3:
		madvise(t->w->missing, MISSING, MADV_DONTNEED);
		break;
	default:
		mprotect(t->w->ram, RAM, PROT_READ | PROT_WRITE);
		break;
	}
}

static void signal_event(struct thread *t)
{
	const int fd = own_fd(t, K_EVENT);
	__u64 v = 1;

	if (one_in(R, 2)) {
		if (write(fd, &v, sizeof(v)) < 0)
			errno = 0;
	} else if (read(fd, &v, sizeof(v)) < 0) {
		errno = 0;
	}
}

static void look(struct thread *t)
{
	const int fd = some_fd(t, K_STATS);
	const off_t at = one_in(R, 3) ? args_number(R) : rnd(R, 4096);
	char buf[512];

	if (fd >= HOSTILE_FD(0, 0) && pread(fd, buf, 1 + rnd(R, sizeof(buf)), at) < 0)
		errno = 0;
}

void step(struct thread *t)
{
	const unsigned int n = rnd(R, 100);
	int fd, to;

	/* One costs a debug host as much as a hundred other calls. */
	if (n < 2) {
		new_vm(t);
	} else if (n > 3 && n < 7) {
		open_node(t);
	} else if (n < 9) {
		new_event(t);
	} else if (n == 9) {
		new_memory(t);
	} else if (n < 13) {
		map(t);
	} else if (n < 20) {
		poke(t);
	} else if (n == 20) {
		unmap(t);
	} else if (n < 22) {
		close(own_fd(t, rnd(R, KINDS)));
	} else if (n < 23) {
		fd = own_fd(t, rnd(R, KINDS));
		to = own_fd(t, rnd(R, KINDS));
		if (fd != to)
			dup3(fd, to, O_CLOEXEC);
	} else if (n == 27) {
		wire_pass(t, own_fd(t, rnd(R, KINDS)));
	} else if (n == 28) {
		fd_keep(t, wire_pass(t, -1), rnd(R, KINDS));
	} else if (n == 29) {
		if (one_in(R, 4))
			fork_child(t);
	} else if (n < 32) {
		ram(t);
	} else if (n < 36) {
		signal_event(t);
	} else if (n == 36) {
		look(t);
	} else {
		call_some(t);
	}
}
