// SPDX-License-Identifier: GPL-2.0-only
/* vmm-args: a VMM that changes what KVM and kvm-core read of it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm_core.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <kselftest.h>
#include "later.h"
#include "vmm.h"

static const char usage[] =
"usage: vmm-args INSTANCE OTHER [race]\n"
"\n"
"A VMM on INSTANCE changes arguments while they are read, and is then moved to OTHER:\n"
"both have what was read the first time. With race, another thread exchanges\n"
"descriptors, and closes eventfds, all the time. TAP output.\n";

#define PAGE 4096ul
#define SMALL (64 * PAGE)
#define BIG (64ul << 20)
#define RACE_FD 500
#define RACERS 12

static const char *from, *to;

struct raw {
	int	kvm;
	int	vm;
	int	vcpu;
};

static void raw_open(struct raw *v)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/%s", from);
	v->kvm = open(path, O_RDWR | O_CLOEXEC);
	v->vm = v->kvm < 0 ? -1 : ioctl(v->kvm, KVM_CREATE_VM, 0);
	v->vcpu = v->vm < 0 || ioctl(v->vm, KVM_CREATE_IRQCHIP, 0) ?
		  -1 : ioctl(v->vm, KVM_CREATE_VCPU, 0);
	if (v->vcpu < 0)
		ksft_exit_fail_msg("%s: %s\n", path, strerror(errno));
}

static void raw_close(struct raw *v)
{
	close(v->vcpu);
	close(v->vm);
	close(v->kvm);
}

static bool raw_move(struct raw *v)
{
	struct kvm_core_move mv = { .deadline_us = 5000000, .timeout_ms = 60000 };

	snprintf(mv.instance, sizeof(mv.instance), "%s", to);
	if (!ioctl(v->vm, KVM_CORE_VM_MOVE, &mv))
		return true;
	ksft_print_msg("move: %s\n", mv.reason);
	return false;
}

/*
 * An argument that lies across two pages, of which the second is missing: whoever
 * reads it for the first time waits in between, while the first part is changed.
 */
struct across {
	char	*at;		/* of both pages */
	char	second[PAGE];
	int	uffd;
	void	(*change)(struct across *a);
	int	faults;
	pthread_t thread;
};

static void *across_serve(void *arg)
{
	struct across *a = arg;
	struct uffdio_copy copy = {
		.dst = (unsigned long)a->at + PAGE,
		.src = (unsigned long)a->second,
		.len = PAGE,
	};
	struct uffd_msg msg;

	if (read(a->uffd, &msg, sizeof(msg)) != sizeof(msg))
		return NULL;
	a->faults++;
	a->change(a);
	ioctl(a->uffd, UFFDIO_COPY, &copy);
	return NULL;
}

/* Where an argument begins of which so many bytes are in the first page. */
static void *across_open(struct across *a, size_t first, void (*change)(struct across *a))
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	memset(a, 0, sizeof(*a));
	a->change = change;
	a->at = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	a->uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	reg.range.start = (unsigned long)a->at + PAGE;
	reg.range.len = PAGE;
	if (a->at == MAP_FAILED || a->uffd < 0 || ioctl(a->uffd, UFFDIO_API, &api) ||
	    ioctl(a->uffd, UFFDIO_REGISTER, &reg) ||
	    pthread_create(&a->thread, NULL, across_serve, a))
		ksft_exit_fail_msg("userfaultfd: %s\n", strerror(errno));
	return a->at + PAGE - first;
}

static void across_close(struct across *a)
{
	/* Nobody read it: let the thread see that. */
	if (!a->faults)
		(void)VMM_LOAD(a->at[PAGE]);
	pthread_join(a->thread, NULL);
	close(a->uffd);
	munmap(a->at, 2 * PAGE);
}

/* Bytes of a memslot, as the instance has it. */
static size_t slot_size(struct raw *v, int slot)
{
	static unsigned char bits[BIG / PAGE / 8 + 64];
	struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = bits };
	size_t n = sizeof(bits);

	memset(bits, 0xa5, sizeof(bits));
	if (ioctl(v->vm, KVM_GET_DIRTY_LOG, &log))
		return 0;
	while (n && bits[n - 1] == 0xa5)
		n--;
	return n * 8 * PAGE;
}

#define SLOT_FIRST offsetof(struct kvm_userspace_memory_region, userspace_addr)

static void grow_slot(struct across *a)
{
	struct kvm_userspace_memory_region *r = (void *)(a->at + PAGE - SLOT_FIRST);

	VMM_STORE(r->memory_size, BIG);
}

/* KVM_SET_USER_MEMORY_REGION2 has an argument that begins with the other's. */
static void test_slot(unsigned long cmd, const char *what)
{
	struct kvm_userspace_memory_region slot = {
		.slot = 1, .flags = KVM_MEM_LOG_DIRTY_PAGES,
		.guest_phys_addr = 1 << 20, .memory_size = SMALL,
	};
	struct across a;
	struct raw v;
	size_t had, has;
	void *arg, *mem;
	bool ok;

	mem = mmap(NULL, BIG, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	slot.userspace_addr = (unsigned long)mem;
	raw_open(&v);
	if (cmd == LATER_SET_REGION2 &&
	    ioctl(v.vm, KVM_CHECK_EXTENSION, LATER_CAP_REGION2) <= 0) {
		raw_close(&v);
		munmap(mem, BIG);
		ksft_test_result_skip("%s: not in this KVM\n", what);
		return;
	}
	arg = across_open(&a, SLOT_FIRST, grow_slot);
	memcpy(arg, &slot, SLOT_FIRST);
	memcpy(a.second, &slot.userspace_addr, sizeof(slot.userspace_addr));
	ok = !ioctl(v.vm, cmd, arg) && a.faults == 1;
	had = slot_size(&v, 1);
	/* With two sizes a move would write where it must not. */
	ok = ok && had == SMALL && raw_move(&v);
	has = ok ? slot_size(&v, 1) : 0;
	if (!ok || has != SMALL)
		ksft_print_msg("%zu KiB were set, the instance has %zu, after a move %zu\n",
			       SMALL / 1024, had / 1024, has / 1024);
	ok &= has == SMALL;
	across_close(&a);
	raw_close(&v);
	munmap(mem, BIG);
	ksft_test_result(ok, "%s\n", what);
}

static struct kvm_cpuid2 *cpuid_alloc(void)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));

	if (!c)
		ksft_exit_fail_msg("no memory\n");
	c->nent = 256;
	return c;
}

/* KVM tells how many there are only by what is too few. */
static unsigned int cpuid_count(struct raw *v)
{
	struct kvm_cpuid2 *c = cpuid_alloc();
	unsigned int n = 0;

	do {
		c->nent = n;
	} while (ioctl(v->vcpu, KVM_GET_CPUID2, c) && n++ < 256);
	free(c);
	return n;
}

#define CPUID_FEW 2
#define CPUID_MANY 20

static void more_cpuid(struct across *a)
{
	struct kvm_cpuid2 *c = (void *)(a->at + PAGE - sizeof(*c));

	VMM_STORE(c->nent, CPUID_MANY);
}

static void test_cpuid(void)
{
	struct kvm_cpuid2 *c = cpuid_alloc(), *arg;
	unsigned int had, has = 0;
	struct across a;
	struct raw v;
	bool ok;

	raw_open(&v);
	if (ioctl(v.kvm, KVM_GET_SUPPORTED_CPUID, c) || c->nent < CPUID_MANY)
		ksft_exit_fail_msg("KVM_GET_SUPPORTED_CPUID\n");
	arg = across_open(&a, sizeof(*c), more_cpuid);
	arg->nent = CPUID_FEW;
	memcpy(a.second, c->entries, CPUID_MANY * sizeof(c->entries[0]));
	ok = !ioctl(v.vcpu, KVM_SET_CPUID2, arg) && a.faults == 1;
	had = cpuid_count(&v);
	ok = ok && had == CPUID_FEW && raw_move(&v);
	if (ok)
		has = cpuid_count(&v);
	if (!ok || has != CPUID_FEW)
		ksft_print_msg("%u entries were set, the instance has %u, after a move %u\n",
			       CPUID_FEW, had, has);
	ok &= has == CPUID_FEW;
	across_close(&a);
	raw_close(&v);
	free(c);
	ksft_test_result(ok, "CPUID that grows while it is set is what was read first\n");
}

/* What a VMM has in its argument is no address of the kernel, marked task or not. */
static void test_kernel_address(void)
{
	const __u64 kernel = 0xffff888000000000ull;
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_HYPERV_ENLIGHTENED_VMCS, .args = { kernel },
	};
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = kernel,
	};
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = (void *)kernel };
	struct kvm_userspace_memory_region slot = {
		.slot = 1, .flags = KVM_MEM_LOG_DIRTY_PAGES, .guest_phys_addr = 1 << 20,
		.memory_size = SMALL,
	};
	struct raw v;
	bool ok;
	void *mem;

	raw_open(&v);
	/* Only nested VMX answers by a pointer; elsewhere the capability is unknown. */
	ok = ioctl(v.vcpu, KVM_ENABLE_CAP, &cap) < 0;
	ok &= ioctl(v.vcpu, KVM_SET_DEVICE_ATTR, &attr) < 0 && errno == EFAULT;
	ok &= ioctl(v.vcpu, KVM_GET_DEVICE_ATTR, &attr) < 0 && errno == EFAULT;
	ok &= ioctl(v.vm, KVM_SET_USER_MEMORY_REGION, (void *)kernel) < 0 && errno == EFAULT;
	mem = mmap(NULL, SMALL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	slot.userspace_addr = (unsigned long)mem;
	ok &= !ioctl(v.vm, KVM_SET_USER_MEMORY_REGION, &slot);
	/* After a move kvm-core has a part in the next two. */
	ok &= raw_move(&v);
	ok &= ioctl(v.vm, KVM_GET_DIRTY_LOG, &log) < 0 && errno == EFAULT;
	ok &= slot_size(&v, 1) == SMALL;
	raw_close(&v);
	munmap(mem, SMALL);
	ksft_test_result(ok, "an address of the kernel in an argument is EFAULT\n");
}

/* Pages that are missing until somebody waits for one for too long. */
struct missing {
	char	*at;
	size_t	size;
	int	uffd;
	bool	end;
	int	waited;
	pthread_t thread;
};

static void *missing_watch(void *arg)
{
	struct missing *m = arg;
	struct pollfd p = { .fd = m->uffd, .events = POLLIN };
	struct uffd_msg msg;

	while (!VMM_LOAD(m->end)) {
		struct uffdio_zeropage zero = { .range.len = PAGE };

		if (poll(&p, 1, 50) <= 0 || read(m->uffd, &msg, sizeof(msg)) != sizeof(msg))
			continue;
		m->waited++;
		/* So that the test comes to an end. */
		sleep(2);
		zero.range.start = msg.arg.pagefault.address & ~(PAGE - 1);
		ioctl(m->uffd, UFFDIO_ZEROPAGE, &zero);
	}
	return NULL;
}

static void missing_open(struct missing *m, char *at, size_t size)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.mode = UFFDIO_REGISTER_MODE_MISSING,
		.range = { .start = (unsigned long)at, .len = size },
	};

	*m = (struct missing){ .at = at, .size = size };
	m->uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (m->uffd < 0 || ioctl(m->uffd, UFFDIO_API, &api) ||
	    madvise(at, size, MADV_DONTNEED) || ioctl(m->uffd, UFFDIO_REGISTER, &reg) ||
	    pthread_create(&m->thread, NULL, missing_watch, m))
		ksft_exit_fail_msg("userfaultfd: %s\n", strerror(errno));
}

static void missing_close(struct missing *m)
{
	VMM_STORE(m->end, true);
	pthread_join(m->thread, NULL);
	close(m->uffd);
}

#define WALL_CLOCK	0x4b564d00
#define SYSTEM_TIME	0x4b564d01

static bool msr(struct raw *v, __u32 index, __u64 *value, bool set)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} m = { .head.nmsrs = 1, .e.index = index, .e.data = *value };
	bool ok = ioctl(v->vcpu, set ? KVM_SET_MSRS : KVM_GET_MSRS, &m) == 1;

	*value = m.e.data;
	return ok;
}

/* KVM writes to kvmclock's pages when it gets these MSRs. */
static void test_missing(void)
{
	struct kvm_userspace_memory_region slot = {
		.slot = 1, .guest_phys_addr = 1 << 20, .memory_size = SMALL,
	};
	const __u64 wall = slot.guest_phys_addr, time = slot.guest_phys_addr + PAGE + 1;
	__u64 wall_now = wall, time_now = time;
	struct missing m;
	struct raw v;
	char *mem;
	bool ok;

	mem = mmap(NULL, SMALL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	slot.userspace_addr = (unsigned long)mem;
	raw_open(&v);
	ok = !ioctl(v.vm, KVM_SET_USER_MEMORY_REGION, &slot) &&
	     msr(&v, WALL_CLOCK, &wall_now, true) && msr(&v, SYSTEM_TIME, &time_now, true);
	missing_open(&m, mem, SMALL);
	ok &= raw_move(&v);
	missing_close(&m);
	ok &= msr(&v, WALL_CLOCK, &wall_now, false) && msr(&v, SYSTEM_TIME, &time_now, false) &&
	      wall_now == wall && time_now == time;
	if (m.waited)
		ksft_print_msg("it waited for %d pages\n", m.waited);
	raw_close(&v);
	munmap(mem, SMALL);
	ksft_test_result(ok && !m.waited,
			 "a move does not wait for guest memory that is missing\n");
}

#define IOEVENTFDS 400

/* KVM keeps an ioeventfd whose eventfd is closed, and keeps no file of it open. */
static void test_closed_ioeventfds(void)
{
	struct kvm_ioeventfd io = { .len = 4 };
	int spare = eventfd(0, EFD_CLOEXEC);
	long before, after;
	struct raw v;
	bool ok = true;
	int i, there = 0;

	raw_open(&v);
	before = left_files();
	for (i = 0; i < IOEVENTFDS; i++) {
		io.addr = 0x100000 + i * 8;
		io.fd = eventfd(0, EFD_CLOEXEC);
		ok &= io.fd >= 0 && !ioctl(v.vm, KVM_IOEVENTFD, &io);
		close(io.fd);
	}
	after = left_files();
	/* Other processes of the host have some. */
	if (after - before > IOEVENTFDS / 4) {
		ksft_print_msg("%ld files more after %d eventfds were closed\n",
			       after - before, IOEVENTFDS);
		ok = false;
	}
	ok &= raw_move(&v);
	io.fd = spare;
	for (i = 0; i < IOEVENTFDS; i++) {
		io.addr = 0x100000 + i * 8;
		there += ioctl(v.vm, KVM_IOEVENTFD, &io) && errno == EEXIST;
	}
	if (there != IOEVENTFDS)
		ksft_print_msg("%d of %d ioeventfds after the move\n", there, IOEVENTFDS);
	ok &= there == IOEVENTFDS;
	close(spare);
	raw_close(&v);
	ksft_test_result(ok,
			 "an ioeventfd outlives its eventfd's last descriptor, which is not kept\n");
}

/* As of an ioeventfd KVM keeps the context; a connection has one until that is ended. */
static void test_connections(void)
{
	struct kvm_hyperv_eventfd hv = { .conn_id = 1 };
	int spare = eventfd(0, EFD_CLOEXEC);
	struct raw v;
	bool ok;

	raw_open(&v);
	hv.fd = eventfd(0, EFD_CLOEXEC);
	ok = !ioctl(v.vm, KVM_HYPERV_EVENTFD, &hv);
	hv.conn_id = 2;
	ok &= !ioctl(v.vm, KVM_HYPERV_EVENTFD, &hv);
	close(hv.fd);
	hv.fd = spare;
	ok &= ioctl(v.vm, KVM_HYPERV_EVENTFD, &hv) && errno == EEXIST;
	hv.conn_id = 3;
	hv.fd = -1;
	ok &= ioctl(v.vm, KVM_HYPERV_EVENTFD, &hv) && errno == EBADF;
	hv.fd = v.vm;
	ok &= ioctl(v.vm, KVM_HYPERV_EVENTFD, &hv) && errno == EINVAL;
	/* The descriptor does not count here. */
	hv = (struct kvm_hyperv_eventfd){
		.conn_id = 2, .fd = -1, .flags = KVM_HYPERV_EVENTFD_DEASSIGN,
	};
	ok &= !ioctl(v.vm, KVM_HYPERV_EVENTFD, &hv);
	ok &= raw_move(&v);
	hv = (struct kvm_hyperv_eventfd){ .conn_id = 1, .fd = spare };
	ok &= ioctl(v.vm, KVM_HYPERV_EVENTFD, &hv) && errno == EEXIST;
	hv.conn_id = 2;
	ok &= !ioctl(v.vm, KVM_HYPERV_EVENTFD, &hv);
	close(spare);
	raw_close(&v);
	ksft_test_result(ok,
			 "a connection of Hyper-V's keeps its eventfd, and has none when it ended\n");
}

/* -- race -- */

static int race_vm, race_event;
static bool racing;

static void *exchange(void *arg)
{
	(void)arg;
	while (VMM_LOAD(racing)) {
		dup2(race_vm, RACE_FD);
		dup2(race_event, RACE_FD);
	}
	return NULL;
}

/* How many succeed. */
static unsigned int race_calls(int vm)
{
	unsigned int i, ok = 0;

	for (i = 0; i < 900; i++) {
		struct kvm_ioeventfd io = { .addr = 0x10000 + i * 8, .len = 4, .fd = RACE_FD };

		ok += !ioctl(vm, KVM_IOEVENTFD, &io);
	}
	for (i = 0; i < 900; i++) {
		struct kvm_hyperv_eventfd hv = { .conn_id = i, .fd = RACE_FD };

		ok += !ioctl(vm, KVM_HYPERV_EVENTFD, &hv);
	}
	for (i = 0; i < 300; i++) {
		struct kvm_irqfd irqfd = {
			.fd = eventfd(0, 0), .gsi = 5, .resamplefd = RACE_FD,
			.flags = KVM_IRQFD_FLAG_RESAMPLE,
		};

		if (ioctl(vm, KVM_IRQFD, &irqfd))
			close(irqfd.fd);
		else
			ok++;
	}
	return ok;
}

/* In a process of its own, which takes all its descriptors along. */
static void race_child(void)
{
	const __u64 end = now_ns() + 120 * 1000000000ull;
	pthread_t thread;
	unsigned int ok;
	struct raw v;

	raw_open(&v);
	race_vm = v.vm;
	race_event = eventfd(0, 0);
	dup2(race_event, RACE_FD);
	VMM_STORE(racing, true);
	pthread_create(&thread, NULL, exchange, NULL);
	/* Where the other thread stands still with the VM there, all are refused: once more. */
	do {
		ok = race_calls(v.vm);
	} while (!ok && now_ns() < end);
	VMM_STORE(racing, false);
	pthread_join(thread, NULL);
	_exit(ok ? 0 : 1);
}

static void test_race(void)
{
	int i, status, tries;
	unsigned int left;
	bool ok = true;
	pid_t pid;

	for (i = 0; i < RACERS; i++) {
		pid = fork();
		if (!pid)
			race_child();
		ok &= pid > 0 && waitpid(pid, &status, 0) == pid && !status;
	}
	/* The last files go when the host gets round to it. */
	for (tries = 0; (left = left_vms()) && tries < 600; tries++)
		usleep(50000);
	if (left)
		ksft_print_msg("%u VMs of no process are left\n", left);
	ksft_test_result(ok && !left,
			 "a VM does not hold itself, whatever a descriptor turns into\n");
}

/*
 * irqfds of which the injections are under way end, all at once, by the close() of
 * their eventfds, which no ioctl and so no gate is in the way of.
 */
#define ENDING 200
#define ENDING_MOVES 30

static struct {
	int	vm;
	bool	end;
	unsigned long rounds;
	bool	failed;
} ender;

static void *end_irqfds(void *arg)
{
	static int fd[ENDING];
	const __u64 one = 1;
	int i;

	(void)arg;
	while (!VMM_LOAD(ender.end)) {
		for (i = 0; i < ENDING; i++) {
			struct kvm_irqfd irqfd = { .gsi = i % 24 };

			fd[i] = eventfd(0, EFD_CLOEXEC);
			irqfd.fd = fd[i];
			if (ioctl(ender.vm, KVM_IRQFD, &irqfd))
				ender.failed = true;
		}
		for (i = 0; i < ENDING; i++)
			if (write(fd[i], &one, sizeof(one)) != sizeof(one))
				ender.failed = true;
		for (i = 0; i < ENDING; i++)
			close(fd[i]);
		VMM_STORE(ender.rounds, ender.rounds + 1);
	}
	return NULL;
}

static void test_ending(void)
{
	const char *here = from, *there = to;
	unsigned long rounds;
	pthread_t thread;
	struct raw v;
	int i, moved = 0;

	raw_open(&v);
	ender.vm = v.vm;
	pthread_create(&thread, NULL, end_irqfds, NULL);
	for (i = 0; i < ENDING_MOVES; i++) {
		to = i % 2 ? here : there;
		moved += raw_move(&v);
		rounds = VMM_LOAD(ender.rounds);
		while (VMM_LOAD(ender.rounds) < rounds + 1)
			usleep(1000);
	}
	to = there;
	VMM_STORE(ender.end, true);
	pthread_join(thread, NULL);
	raw_close(&v);
	ksft_print_msg("%d moves, %lu times %d irqfds\n", moved, ender.rounds, ENDING);
	ksft_test_result(moved == ENDING_MOVES && !ender.failed,
			 "irqfds end by their eventfds while they are waited for\n");
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--help")) {
		fputs(usage, stdout);
		return 0;
	}
	if (argc != 3 && (argc != 4 || strcmp(argv[3], "race"))) {
		fputs(usage, stderr);
		return 2;
	}
	from = argv[1];
	to = argv[2];
	ksft_print_header();
	if (argc == 4) {
		ksft_set_plan(2);
		test_race();
		test_ending();
		ksft_finished();
	}
	ksft_set_plan(7);
	test_slot(KVM_SET_USER_MEMORY_REGION,
		  "a memslot that grows while it is set is what was read first");
	test_slot(LATER_SET_REGION2, "the same by KVM_SET_USER_MEMORY_REGION2");
	test_cpuid();
	test_kernel_address();
	test_missing();
	test_closed_ioeventfds();
	test_connections();
	ksft_finished();
}
