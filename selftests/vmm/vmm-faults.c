// SPDX-License-Identifier: GPL-2.0-only
/* vmm-faults: what can come in the way of a handoff, and what is left then. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dirty_ring.h>
#include <linux/kvm_core.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <kselftest.h>
#include "vmm.h"

static const char usage[] =
"usage: vmm-faults INSTANCE OTHER [signals | memory]\n"
"\n"
"VMs on INSTANCE are to be moved to OTHER, and something comes in the way: a slow\n"
"stage, a VMM that does not come back to KVM_RUN, that is killed, that changes the\n"
"VM meanwhile, or that did what cannot be moved, a CPU that goes offline, a cgroup\n"
"without memory. TAP output.\n"
"\n"
"signals: only the irqfds that are signalled meanwhile. memory: only the cgroup.\n";

static const char * const stages[] = {
	"record", "prepare", "stop", "quiesce", "move", "commit", "retire",
};

static const char *from, *to;

static void inject(unsigned int stage, const char *what, unsigned int value)
{
	if (!inject_set(stages[stage], what, value))
		ksft_exit_fail_msg("debugfs injects no %s at %s: %s\n", what, stages[stage],
				   strerror(errno));
}

/* A running guest and who looks at it. */
struct trial {
	struct vm_shape	shape;
	struct vm_fds	fds;
	struct watch	w;
	struct vm_report *report;
	struct vm	*vm;
};

/* @ring: entries of the vCPUs' dirty rings, 0 for none. */
static struct trial *trial_begin_ring(const char *guest, unsigned int ring)
{
	struct trial *t = calloc(1, sizeof(*t));
	static char path[64];

	if (!t)
		ksft_exit_fail_msg("no memory\n");
	snprintf(path, sizeof(path), "/dev/%s", from);
	t->shape = (struct vm_shape){ .cpus = 2, .mem = 32 << 20, .ring = ring };
	t->shape.guest = guest_by_name(guest);
	t->report = mmap(NULL, sizeof(*t->report), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (t->report == MAP_FAILED || vm_fds_make(&t->shape, &t->fds) ||
	    watch_open(&t->w, &t->shape, &t->fds, t->report))
		ksft_exit_fail_msg("no memory\n");
	t->w.patience = 60;
	t->vm = vm_create(path, &t->shape, &t->fds, t->report);
	if (!t->vm || vm_boot(t->vm))
		ksft_exit_fail_msg("the VM did not start\n");
	return t;
}

static struct trial *trial_begin(const char *guest)
{
	return trial_begin_ring(guest, 0);
}

static struct trial *trial_run(const char *guest)
{
	struct trial *t = trial_begin(guest);

	if (vm_resume(t->vm) || watch_steps(&t->w, 2) != WATCH_OK)
		ksft_exit_fail_msg("the VM does not run: %s\n", t->w.why);
	return t;
}

static void trial_drop(struct trial *t)
{
	vm_destroy(t->vm);
	watch_close(&t->w);
	vm_fds_close(&t->fds);
	munmap(t->report, sizeof(*t->report));
	free(t);
}

/* True when the guest went on, and was content to the end. */
static bool trial_end(struct trial *t)
{
	bool ok = watch_steps(&t->w, 3) == WATCH_OK &&
		  watch_finish(&t->w) == WATCH_OK;

	if (!ok)
		ksft_print_msg("%s\n", t->w.why);
	trial_drop(t);
	return ok;
}

static int move_fd(int fd, const char *where, struct kvm_core_move *mv)
{
	snprintf(mv->instance, sizeof(mv->instance), "%s", where);
	/* An emulated host stops for long where the machine is busy. */
	mv->deadline_us = mv->deadline_us ?: 5000000;
	return ioctl(fd, KVM_CORE_VM_MOVE, mv) ? errno : 0;
}

static bool says(const struct kvm_core_move *mv, int got, int error,
		 unsigned int stage, const char *reason)
{
	if (got == error && mv->stage == stage && strstr(mv->reason, reason))
		return true;
	ksft_print_msg("error %d, stage %u, %s\n", got, mv->stage, mv->reason);
	return false;
}

/* Number of VMs that sysfs says an instance has. */
static int vms_on(const char *name)
{
	char path[96];
	int n = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/kvm_core/instances/%s/vms", name);
	f = fopen(path, "r");
	if (f && fscanf(f, "%d", &n) != 1)
		n = -1;
	if (f)
		fclose(f);
	return n;
}

static void test_deadline(void)
{
	struct trial *t = trial_run("timer_periodic");
	struct kvm_core_move mv = { .deadline_us = 20000 };
	bool ok;
	int r;

	inject(KVM_CORE_STAGE_MOVE, "stall_ms", 50);
	r = move_fd(t->vm->fd, to, &mv);
	inject(KVM_CORE_STAGE_MOVE, "stall_ms", 0);
	ok = says(&mv, r, ETIMEDOUT, KVM_CORE_STAGE_COMMIT, "20000 us") &&
	     vms_on(from) == 1 && vms_on(to) == 0 && mv.downtime_ns > 20000000;
	ok &= trial_end(t);
	ksft_test_result(ok, "past the deadline the move is undone\n");
}

static void *mover(void *arg)
{
	struct trial *t = arg;
	struct kvm_core_move mv = { .timeout_ms = 20000 };

	return (void *)(long)move_fd(t->vm->fd, to, &mv);
}

static void test_busy(void)
{
	struct trial *t = trial_run("ipi");
	struct kvm_core_move mv = { .timeout_ms = 20000 };
	pthread_t thread;
	void *first;
	bool ok;
	int r;

	inject(KVM_CORE_STAGE_PREPARE, "stall_ms", 500);
	pthread_create(&thread, NULL, mover, t);
	usleep(200000);
	r = move_fd(t->vm->fd, to, &mv);
	pthread_join(thread, &first);
	inject(KVM_CORE_STAGE_PREPARE, "stall_ms", 0);
	/* Which is the first, the scheduler says. */
	ok = r ? says(&mv, r, EBUSY, KVM_CORE_STAGE_RECORD, "being moved") && !first :
		 (long)first == EBUSY;
	ok &= vms_on(to) == 1;
	ok &= trial_end(t);
	ksft_test_result(ok, "of two moves of one VM one wins, the other is EBUSY\n");
}

/*
 * Who maps a ring in the middle of a handoff sees the vCPU's, and not the empty one
 * that its new vCPU was made with; whether the handoff is committed or undone.
 */
static void test_ring_mapped(bool undone)
{
	struct trial *t = trial_begin_ring("spin", 16384);
	struct trial *other = trial_begin_ring("spin", 16384);
	size_t size = 16384 * sizeof(struct kvm_dirty_gfn);
	struct kvm_dirty_gfn *ring[2];
	unsigned int i, tries = 0;
	pthread_t thread;
	void *moved;
	bool ok;

	ok = !vm_resume(t->vm) && watch_steps(&t->w, 2) == WATCH_OK;
	vm_pause(t->vm);
	for (i = 0; i < 2; i++) {
		ring[i] = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
			       t->vm->vcpu[0].fd, KVM_DIRTY_LOG_PAGE_OFFSET * getpagesize());
		if (ring[i] == MAP_FAILED)
			ksft_exit_fail_msg("mmap of a ring: %s\n", strerror(errno));
	}
	inject(KVM_CORE_STAGE_MOVE, "stall_ms", 1000);
	inject(KVM_CORE_STAGE_COMMIT, "error", undone ? EIO : 0);
	pthread_create(&thread, NULL, mover, t);
	/* Of a descriptor that is no vCPU's: EINVAL, but EBUSY while the VM stands still. */
	while (ioctl(other->vm->vcpu[0].fd, DIRTY_RING_TAKE, t->vm->fd) && errno == EINVAL &&
	       tries++ < 20000)
		usleep(1000);
	/* Then its state goes over, the rings with it, and there it stays for a second. */
	usleep(400000);
	(void)VMM_LOAD(ring[0]->flags);
	pthread_join(thread, &moved);
	inject(KVM_CORE_STAGE_MOVE, "stall_ms", 0);
	inject(KVM_CORE_STAGE_COMMIT, "error", 0);
	(void)VMM_LOAD(ring[1]->flags);
	ok &= undone ? (long)moved == EIO : !moved;
	ok &= ring_frame(ring[0]) && ring_frame(ring[0]) == ring_frame(ring[1]);
	vm_resume(other->vm);
	ok &= trial_end(other);
	vm_resume(t->vm);
	ok &= trial_end(t);
	/* What the guest wrote before and after is in it. */
	ok &= ring[0]->flags & KVM_DIRTY_GFN_F_DIRTY;
	for (i = 0; i < 2; i++)
		munmap(ring[i], size);
	ksft_test_result(ok, "a dirty ring that is mapped in the middle of a move, %s\n",
			 undone ? "undone" : "committed");
}

/* Half of them deassigned, half of them closed only: an irqfd ends either way. */
static void test_closed_eventfds(void)
{
	struct trial *t = trial_run("spin");
	struct kvm_irqfd irqfd = { .gsi = 5, .resamplefd = -1 };
	struct kvm_core_move mv = { 0 };
	long before, after = 0;
	unsigned int i;
	bool ok;
	int r;

	r = move_fd(t->vm->fd, to, &mv);
	ok = says(&mv, r, 0, KVM_CORE_STAGE_RETIRE, "");
	before = left_files();
	for (i = 0; ok && i < 3000; i++) {
		irqfd.fd = eventfd(0, EFD_NONBLOCK);
		irqfd.flags = 0;
		ok = !ioctl(t->vm->fd, KVM_IRQFD, &irqfd);
		irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
		/* KVM does not look at the second descriptor then. */
		if (i & 2)
			irqfd.flags |= KVM_IRQFD_FLAG_RESAMPLE;
		if (ok && i & 1)
			ok = !ioctl(t->vm->fd, KVM_IRQFD, &irqfd);
		if (!ok)
			ksft_print_msg("KVM_IRQFD %u: %s\n", i, strerror(errno));
		close(irqfd.fd);
		if (i % 1000 == 998) {
			memset(&mv, 0, sizeof(mv));
			r = move_fd(t->vm->fd, i < 1000 || i > 2000 ? from : to, &mv);
			ok &= says(&mv, r, 0, KVM_CORE_STAGE_RETIRE, "");
		}
	}
	for (i = 0; i < 100; i++) {
		after = left_files();
		if (after < before + 600)
			break;
		usleep(50000);
	}
	ok &= before >= 0 && after < before + 600;
	if (!ok)
		ksft_print_msg("%u eventfds, %ld files before\n", i, before);
	ok &= trial_end(t);
	ksft_test_result(ok, "an eventfd that is closed is not kept (%ld files more)\n",
			 after - before);
}

/* As a 32-bit process does. */
static int ioctl_32(int fd, unsigned long cmd, long arg)
{
	long r;

	asm volatile("int $0x80" : "=a" (r) :
		     "0" (54l), "b" ((long)fd), "c" (cmd), "d" (arg) :
		     "r8", "r9", "r10", "r11", "memory");
	if (r >= 0)
		return r;
	errno = -r;
	return -1;
}

/*
 * A vCPU that nobody runs is free to be taken the ring of, but not in the middle of
 * a handoff.
 */
static int take_ring(int to_fd, int from_fd)
{
	return ioctl(to_fd, DIRTY_RING_TAKE, from_fd);
}

static int take_ring_compat(int to_fd, int from_fd)
{
	return ioctl_32(to_fd, DIRTY_RING_TAKE, from_fd);
}

static void test_ring_taken(int (*take)(int to_fd, int from_fd), const char *who)
{
	struct trial *t = trial_begin_ring("spin", 16384);
	struct trial *other = trial_begin_ring("spin", 16384);
	unsigned int busy = 0, taken = 0;
	pthread_t thread;
	void *moved;
	bool ok;

	ok = !vm_resume(t->vm) && watch_steps(&t->w, 2) == WATCH_OK;
	vm_pause(t->vm);
	/* SVM has no posted-interrupt descriptors. */
	if (!strncmp(from, "kvm-amd", 7))
		ok &= ioctl(other->vm->vcpu[0].fd, KVM_CORE_VCPU_TAKE_PI, t->vm->vcpu[0].fd) &&
		      errno == EOPNOTSUPP;
	inject(KVM_CORE_STAGE_MOVE, "stall_ms", 500);
	pthread_create(&thread, NULL, mover, t);
	while (vms_on(to) == 0 && taken + busy < 10000000) {
		if (!take(other->vm->vcpu[0].fd, t->vm->vcpu[0].fd)) {
			taken++;
			/* Only what came after the commit may. */
			ok &= !busy || vms_on(to) == 1;
			continue;
		}
		ok &= errno == EBUSY;
		busy++;
	}
	pthread_join(thread, &moved);
	inject(KVM_CORE_STAGE_MOVE, "stall_ms", 0);
	ok &= !moved && vms_on(to) == 1;
	ok &= busy > 1;
	vm_resume(other->vm);
	ok &= trial_end(other);
	vm_resume(t->vm);
	ok &= trial_end(t);
	ksft_print_msg("%u times taken before, %u times busy\n", taken, busy);
	ksft_test_result(ok, "a dirty ring is not taken%s while its vCPU is moved\n", who);
}

/* The thread of vCPU 0 stays in userspace with an exit to complete. */
static bool stay, staying;

static bool on_pio(struct vcpu *v, __u16 port, bool in, void *data)
{
	(void)port;
	(void)in;
	(void)data;
	while (v->id == 0 && VMM_LOAD(stay)) {
		VMM_STORE(staying, true);
		usleep(1000);
	}
	return false;
}

static void test_away(void)
{
	struct trial *t = trial_begin("pio");
	struct kvm_core_move mv = { .timeout_ms = 2500, .deadline_us = 20000 };
	bool ok;
	int r;

	t->vm->on_pio = on_pio;
	stay = true;
	staying = false;
	vm_resume(t->vm);
	while (!VMM_LOAD(staying))
		usleep(1000);
	r = move_fd(t->vm->fd, to, &mv);
	ok = says(&mv, r, ETIMEDOUT, KVM_CORE_STAGE_STOP, "does not come back") &&
	     mv.attempts > 1 && vms_on(from) == 1;
	VMM_STORE(stay, false);
	memset(&mv, 0, sizeof(mv));
	ok &= watch_steps(&t->w, 2) == WATCH_OK;
	r = move_fd(t->vm->fd, to, &mv);
	ok &= !r && vms_on(to) == 1;
	ok &= trial_end(t);
	ksft_test_result(ok, "a thread that does not come back to KVM_RUN: a timeout\n");
}

/* Nothing of the target is made any more when the time is over. */
static void test_late(void)
{
	struct trial *t = trial_run("mem");
	struct kvm_core_move mv = { .timeout_ms = 200, .deadline_us = 5000000 };
	bool ok;
	int r;

	inject(KVM_CORE_STAGE_RECORD, "stall_ms", 300);
	r = move_fd(t->vm->fd, to, &mv);
	inject(KVM_CORE_STAGE_RECORD, "stall_ms", 0);
	ok = says(&mv, r, ETIMEDOUT, KVM_CORE_STAGE_PREPARE, "not made anew in 200 ms") &&
	     vms_on(from) == 1 && !vms_on(to) && watch_steps(&t->w, 2) == WATCH_OK;
	ok &= trial_end(t);
	ksft_test_result(ok, "no time left in prepare: a timeout\n");
}

/* A child whose VM is stopped in a stage when it is killed. */
static void test_killed(unsigned int stage)
{
	int status, ctl[2], i;
	char byte;
	bool ok;
	pid_t pid;

	if (pipe(ctl))
		ksft_exit_fail_msg("pipe\n");
	inject(stage, "stall_ms", 700);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		struct kvm_core_move mv = {
			.timeout_ms = 20000,
		};
		struct trial *t = trial_run("mem");

		if (write(ctl[1], "R", 1) == 1)
			move_fd(t->vm->fd, to, &mv);
		pause();
	}
	ok = read(ctl[0], &byte, 1) == 1;
	usleep(400000);
	kill(pid, SIGKILL);
	ok &= waitpid(pid, &status, 0) == pid && WIFSIGNALED(status);
	inject(stage, "stall_ms", 0);
	for (i = 0; i < 100 && (vms_on(from) || vms_on(to)); i++)
		usleep(50000);
	ok &= vms_on(from) == 0 && vms_on(to) == 0;
	close(ctl[0]);
	close(ctl[1]);
	ksft_test_result(ok, "kill -9 of the VMM in stage %s leaves nothing\n",
			 stages[stage]);
}

/* Configuration while the target is being set up. */
static void test_changes(void)
{
	struct trial *t = trial_run("spin");
	struct kvm_userspace_memory_region slot = {
		.slot = 7,
		.guest_phys_addr = 0x70000000,
		.memory_size = 0x10000,
	};
	struct kvm_irqfd irqfd = { .gsi = 23 };
	void *mem = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t thread;
	void *first;
	bool ok;
	int fd = eventfd(0, EFD_CLOEXEC);

	slot.userspace_addr = (unsigned long)mem;
	irqfd.fd = fd;
	inject(KVM_CORE_STAGE_PREPARE, "stall_ms", 300);
	pthread_create(&thread, NULL, mover, t);
	usleep(100000);
	ok = !ioctl(t->vm->fd, KVM_SET_USER_MEMORY_REGION, &slot) &&
	     !ioctl(t->vm->fd, KVM_IRQFD, &irqfd);
	/* Into the next attempt. */
	usleep(300000);
	slot.memory_size = 0;
	ok &= !ioctl(t->vm->fd, KVM_SET_USER_MEMORY_REGION, &slot);
	pthread_join(thread, &first);
	inject(KVM_CORE_STAGE_PREPARE, "stall_ms", 0);
	ok &= !first && vms_on(to) == 1;
	/* On the target as on the source: the eventfd is in use there. */
	ok &= ioctl(t->vm->fd, KVM_IRQFD, &irqfd) && errno == EBUSY;
	irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
	ok &= !ioctl(t->vm->fd, KVM_IRQFD, &irqfd);
	ok &= trial_end(t);
	close(fd);
	munmap(mem, 0x10000);
	ksft_test_result(ok, "memslots and irqfds that change while it is prepared arrive\n");
}

/* A write to a zone would not reach the device from which the guest reads. */
static void test_zones(void)
{
	struct trial *t = trial_begin("mmio");
	struct kvm_coalesced_mmio_zone zones[] = {
		{ .addr = GUEST_MMIO, .size = 4096 },
		{ .addr = GUEST_MMIO - 4096, .size = 8192 },
		{ .addr = GUEST_MMIO, .size = 8 },
	};
	struct kvm_core_move mv = { .deadline_us = 2000000 };
	bool ok;

	/* The third is in the first two: it ends both. */
	ok = !ioctl(t->vm->fd, KVM_REGISTER_COALESCED_MMIO, &zones[0]) &&
	     !ioctl(t->vm->fd, KVM_REGISTER_COALESCED_MMIO, &zones[1]) &&
	     !ioctl(t->vm->fd, KVM_UNREGISTER_COALESCED_MMIO, &zones[2]);
	ok &= !vm_resume(t->vm) && watch_steps(&t->w, 2) == WATCH_OK;
	ok &= !move_fd(t->vm->fd, to, &mv);
	ok &= trial_end(t);
	ksft_test_result(ok, "zones of coalesced MMIO that were removed do not come back\n");
}

static bool changing;

static void *changer(void *arg)
{
	struct trial *t = arg;
	struct kvm_userspace_memory_region slot = {
		.slot = 8,
		.guest_phys_addr = 0x70000000,
	};
	void *mem = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long n = 0;

	slot.userspace_addr = (unsigned long)mem;
	while (VMM_LOAD(changing)) {
		slot.memory_size = slot.memory_size ? 0 : 0x10000;
		if (ioctl(t->vm->fd, KVM_SET_USER_MEMORY_REGION, &slot))
			return (void *)-1l;
		n++;
	}
	return (void *)n;
}

static void test_always_changing(void)
{
	struct trial *t = trial_run("spin");
	struct kvm_core_move mv = { .timeout_ms = 60000 };
	pthread_t thread;
	void *n;
	bool ok;
	int r;

	changing = true;
	pthread_create(&thread, NULL, changer, t);
	r = move_fd(t->vm->fd, to, &mv);
	VMM_STORE(changing, false);
	pthread_join(thread, &n);
	ok = says(&mv, r, 0, KVM_CORE_STAGE_RETIRE, "") && (long)n > 0;
	ok &= trial_end(t);
	ksft_test_result(ok, "a VM that is configured all the time moves too\n");
}

static void test_dry_run(void)
{
	struct trial *t = trial_run("hlt");
	struct kvm_core_move mv = { .flags = KVM_CORE_MOVE_DRY_RUN };
	int r = move_fd(t->vm->fd, to, &mv);
	bool ok;

	ok = says(&mv, r, 0, KVM_CORE_STAGE_PREPARE, "") && !mv.attempts &&
	     vms_on(from) == 1 && vms_on(to) == 0;
	ok &= trial_end(t);
	ksft_test_result(ok, "a dry run prepares and does not stop the VM\n");
}

static void test_bad_input(void)
{
	struct trial *t = trial_run("hlt");
	struct kvm_core_move mv = { 0 };
	bool ok;
	int r;

	r = move_fd(t->vm->fd, "kvm-none-1", &mv);
	ok = r == ENODEV && strstr(mv.reason, "no such instance");
	memset(&mv, 0, sizeof(mv));
	r = move_fd(t->vm->fd, from, &mv);
	ok &= r == EALREADY;
	memset(&mv, 0, sizeof(mv));
	mv.flags = 1u << 31;
	ok &= move_fd(t->vm->fd, to, &mv) == EINVAL;
	mv = (struct kvm_core_move){ .reserved = 1 };
	ok &= move_fd(t->vm->fd, to, &mv) == EINVAL;
	mv = (struct kvm_core_move){ .deadline_us = KVM_CORE_MAX_DEADLINE_US + 1 };
	ok &= move_fd(t->vm->fd, to, &mv) == EINVAL;
	mv = (struct kvm_core_move){ .timeout_ms = KVM_CORE_MAX_TIMEOUT_MS + 1 };
	ok &= move_fd(t->vm->fd, to, &mv) == EINVAL;
	memset(mv.instance, 'x', sizeof(mv.instance));
	mv.flags = 0;
	ok &= ioctl(t->vm->fd, KVM_CORE_VM_MOVE, &mv) && errno == EINVAL;
	ok &= ioctl(t->vm->fd, KVM_CORE_VM_MOVE, 8) && errno == EFAULT;
	ok &= trial_end(t);
	ksft_test_result(ok, "wrong names, flags, times and addresses are refused\n");
}

static void test_unmovable(void)
{
	struct trial *t = trial_run("hlt");
	struct kvm_core_move mv = { 0 };
	bool ok;
	int r;

	vm_pause(t->vm);
	ok = ioctl_32(t->vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_IRQCHIP) == 1;
	vm_resume(t->vm);
	r = move_fd(t->vm->fd, to, &mv);
	ok &= says(&mv, r, EOPNOTSUPP, KVM_CORE_STAGE_RECORD, "32-bit");
	ok &= !mv.attempts && !mv.downtime_ns;
	ok &= trial_end(t);
	ksft_test_result(ok, "what cannot be moved is refused before the VM stops\n");
}

static void test_closed_vcpu(void)
{
	struct trial *t = trial_begin("hlt");
	struct kvm_core_move mv = { 0 };
	int fd, r;
	bool ok;

	fd = ioctl(t->vm->fd, KVM_CREATE_VCPU, 9);
	close(fd);
	r = move_fd(t->vm->fd, to, &mv);
	ok = fd >= 0 && says(&mv, r, EOPNOTSUPP, KVM_CORE_STAGE_RECORD, "closed");
	vm_resume(t->vm);
	ok &= trial_end(t);
	ksft_test_result(ok, "a vCPU whose descriptor is closed: refused\n");
}

/* The pages behind the mappings stay the same. */
static void test_pages(void)
{
	struct trial *t = trial_run("spin");
	struct kvm_core_move mv = { 0 };
	char *page = (char *)t->vm->vcpu[0].run;
	size_t at = t->vm->run_size - 8;
	bool ok;
	int r;

	/* The end of the coalesced ring, which nobody uses here. */
	memcpy(page + at, "kvmrelay", 8);
	r = move_fd(t->vm->fd, to, &mv);
	ok = !r && !memcmp(page + at, "kvmrelay", 8);
	/* A mapping that is made now is of the same page. */
	page = mmap(NULL, t->vm->run_size, PROT_READ, MAP_SHARED,
		    t->vm->vcpu[0].fd, 0);
	ok &= page != MAP_FAILED && !memcmp(page + at, "kvmrelay", 8);
	if (page != MAP_FAILED)
		munmap(page, t->vm->run_size);
	ok &= trial_end(t);
	ksft_test_result(ok, "kvm_run, PIO and coalesced pages are the same ones afterwards\n");
}

/* Dirty pages that are not yet fetched go along. */
static void test_dirty(void)
{
	struct trial *t = trial_begin("dirty");
	struct guest_shared *sh = vm_shared(t->vm->mem);
	struct kvm_userspace_memory_region slot = {
		.memory_size = t->shape.mem,
		.userspace_addr = (unsigned long)t->vm->mem,
		.flags = KVM_MEM_LOG_DIRTY_PAGES,
	};
	size_t bytes = t->shape.mem / 4096 / 8, i, n = 0, lost = 0;
	unsigned char *shadow = malloc(t->shape.mem), *bits = calloc(1, bytes);
	struct kvm_dirty_log log = { .dirty_bitmap = bits };
	struct kvm_core_move mv = { 0 };
	bool ok;

	ok = shadow && bits && !ioctl(t->vm->fd, KVM_SET_USER_MEMORY_REGION, &slot);
	memcpy(shadow, t->vm->mem, t->shape.mem);
	/* Each instance has pages that were written while the VM was there only. */
	VMM_STORE(sh->bench_op, DIRTY(0, DIRTY_SEQUENTIAL));
	ok &= !vm_resume(t->vm) && watch_steps(&t->w, 20) == WATCH_OK;
	VMM_STORE(sh->bench_op, 0);
	ok &= watch_steps(&t->w, 2) == WATCH_OK;
	ok &= !move_fd(t->vm->fd, to, &mv);
	VMM_STORE(sh->bench_op, DIRTY(1, DIRTY_SEQUENTIAL));
	ok &= watch_steps(&t->w, 20) == WATCH_OK;
	VMM_STORE(sh->bench_op, 0);
	ok &= watch_steps(&t->w, 2) == WATCH_OK;
	memset(&mv, 0, sizeof(mv));
	ok &= !move_fd(t->vm->fd, from, &mv);
	vm_pause(t->vm);
	ok &= !ioctl(t->vm->fd, KVM_GET_DIRTY_LOG, &log);
	for (i = 0; ok && i < t->shape.mem / 4096; i++) {
		if (!memcmp(shadow + i * 4096, t->vm->mem + i * 4096, 4096))
			continue;
		n++;
		if (!(bits[i / 8] & 1 << i % 8))
			lost++;
	}
	/* Fetched once, they are not dirty any more. */
	memset(bits, 0, bytes);
	ok &= !ioctl(t->vm->fd, KVM_GET_DIRTY_LOG, &log);
	for (i = 0; i < bytes; i++)
		ok &= !bits[i];
	vm_resume(t->vm);
	ok &= n > 8 && !lost;
	ksft_print_msg("%zu pages changed, %zu of them not told of\n", n, lost);
	ok &= trial_end(t);
	free(shadow);
	free(bits);
	ksft_test_result(ok, "dirty pages that were not fetched before a move\n");
}

/* fork() copies the descriptors, exec() with close-on-exec closes the copies. */
static void test_fork_exec(void)
{
	struct trial *t = trial_run("irqfd_msi");
	pthread_t thread;
	void *first;
	int status, i;
	bool ok = true;

	inject(KVM_CORE_STAGE_PREPARE, "stall_ms", 300);
	pthread_create(&thread, NULL, mover, t);
	for (i = 0; i < 10; i++) {
		pid_t pid = fork();

		if (!pid) {
			execl("/bin/true", "true", NULL);
			_exit(1);
		}
		ok &= waitpid(pid, &status, 0) == pid && !status;
		watch_pump(&t->w, 10);
	}
	pthread_join(thread, &first);
	inject(KVM_CORE_STAGE_PREPARE, "stall_ms", 0);
	ok &= !first && vms_on(to) == 1;
	ok &= trial_end(t);
	ksft_test_result(ok, "fork and exec of the VMM while it is prepared\n");
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

#define CPU1 "/sys/devices/system/cpu/cpu1/online"

struct hotplug {
	bool	stop;
	int	times;
	bool	failed;
};

static void *hotplugger(void *arg)
{
	struct hotplug *h = arg;

	while (!VMM_LOAD(h->stop)) {
		if (!write_file(CPU1, "0") || !write_file(CPU1, "1"))
			VMM_STORE(h->failed, true);
		VMM_STORE(h->times, h->times + 1);
	}
	return NULL;
}

/* Until a CPU has gone and come back often enough, and as often as not in a move. */
static void test_cpus(void)
{
	struct hotplug h = { 0 };
	struct trial *t;
	pthread_t thread;
	int i, r = 0;
	bool ok;

	if (access(CPU1, W_OK)) {
		ksft_test_result_skip("a CPU goes and comes back during moves: there is one\n");
		return;
	}
	t = trial_run("ipi");
	pthread_create(&thread, NULL, hotplugger, &h);
	for (i = 0; !r && (i < 10 || VMM_LOAD(h.times) < 4) && i < 200; i++) {
		struct kvm_core_move mv = {
			.deadline_us = 20000000, .timeout_ms = 60000,
		};

		r = move_fd(t->vm->fd, i & 1 ? from : to, &mv);
		if (r)
			ksft_print_msg("move %d: error %d, %s\n", i, r, mv.reason);
	}
	VMM_STORE(h.stop, true);
	pthread_join(thread, NULL);
	ksft_print_msg("%d moves, %d times without CPU 1\n", i, h.times);
	ok = !r && !h.failed && h.times >= 4 && vms_on(i & 1 ? to : from) == 1;
	ok &= trial_end(t);
	ksft_test_result(ok, "a CPU goes and comes back during moves\n");
}

#define CGROUP "/tmp/cgroup"

/* Opened before: who has no memory opens nothing. */
static int limit_fd, high_fd, current_fd, events_fd;

static bool limit_from_now(int fd, long more)
{
	char text[24] = "";

	if (pread(current_fd, text, sizeof(text) - 1, 0) <= 0)
		return false;
	snprintf(text, sizeof(text), "%ld", atol(text) + more);
	return pwrite(fd, text, strlen(text), 0) > 0;
}

/*
 * So many bytes more than now; no limit if negative. Where memory.high is less than there
 * is in use, the kernel gives back what each CPU has charged in advance, which is as much
 * as a move needs; with memory.max it would kill for it.
 */
static bool limit_memory(long more)
{
	if (more < 0)
		return pwrite(limit_fd, "max", 3, 0) == 3;
	return limit_from_now(high_fd, -4096) && pwrite(high_fd, "max", 3, 0) == 3 &&
	       limit_from_now(limit_fd, more);
}

/* How often the OOM killer was called for the cgroup, or -1. */
static int oom_calls(void)
{
	char text[256] = "", *at;

	if (pread(events_fd, text, sizeof(text) - 1, 0) <= 0)
		return -1;
	at = strstr(text, "oom ");
	return at ? atoi(at + 4) : -1;
}

/*
 * A VMM whose cgroup has no memory for a second VM, and then ever more, until the
 * move succeeds: so an allocation fails at one place after the other. The guest
 * stands still meanwhile: KVM_RUN may need memory too.
 */
static bool moves_without_memory(struct trial *t)
{
	unsigned int places = 0;
	char at[128] = "";
	long room;
	int r = ENOMEM;

	for (room = 0; r == ENOMEM && room < 16 << 20; room += 8 << 10) {
		struct kvm_core_move mv = { .timeout_ms = 60000 };

		vm_pause(t->vm);
		if (!limit_memory(room))
			return false;
		r = move_fd(t->vm->fd, to, &mv);
		if (!limit_memory(-1) || vm_resume(t->vm))
			return false;
		/* KVM's own ioctls allocate too, in the stages behind as well. */
		if (r && (mv.stage >= KVM_CORE_STAGE_COMMIT ||
			  !says(&mv, r, ENOMEM, mv.stage, "")))
			return false;
		if (r && (vms_on(from) != 1 || vms_on(to))) {
			ksft_print_msg("with %ld KiB: a VM is left\n", room >> 10);
			return false;
		}
		if (r && strcmp(at, mv.reason)) {
			snprintf(at, sizeof(at), "%.127s", mv.reason);
			ksft_print_msg("with %ld KiB: stage %u, %s\n", room >> 10,
				       mv.stage, at);
			places++;
		}
		if (r && watch_steps(&t->w, 1) != WATCH_OK)
			return false;
	}
	ksft_print_msg("moved with %ld KiB\n", room >> 10);
	return !r && places && vms_on(to) == 1;
}

static void test_memory(void)
{
	char pid[16];
	struct trial *t;
	bool ok;

	mkdir(CGROUP, 0755);
	if ((mount("cgroup", CGROUP, "cgroup2", 0, NULL) && errno != EBUSY) ||
	    !write_file(CGROUP "/cgroup.subtree_control", "+memory")) {
		ksft_test_result_skip("no memory for a move: no memory cgroup\n");
		return;
	}
	mkdir(CGROUP "/vmm", 0755);
	limit_fd = open(CGROUP "/vmm/memory.max", O_WRONLY | O_CLOEXEC);
	high_fd = open(CGROUP "/vmm/memory.high", O_WRONLY | O_CLOEXEC);
	events_fd = open(CGROUP "/vmm/memory.events", O_RDONLY | O_CLOEXEC);
	current_fd = open(CGROUP "/vmm/memory.current", O_RDONLY | O_CLOEXEC);
	snprintf(pid, sizeof(pid), "%d", getpid());
	t = trial_run("mem");
	ok = write_file(CGROUP "/vmm/cgroup.procs", pid) && moves_without_memory(t);
	limit_memory(-1);
	ksft_print_msg("the OOM killer was called %d times\n", oom_calls());
	ok &= !oom_calls();
	ok &= trial_end(t);
	ok &= write_file(CGROUP "/cgroup.procs", pid);
	close(limit_fd);
	close(high_fd);
	close(events_fd);
	close(current_fd);
	ksft_test_result(ok, "no memory for a move: ENOMEM, the VM runs on, none is killed\n");
}

static void test_stats(void)
{
	struct trial *t = trial_run("spin");
	struct kvm_core_move mv = { 0 };
	struct kvm_stats_header head = { 0 };
	int fd = ioctl(t->vm->fd, KVM_GET_STATS_FD, 0);
	bool ok;
	int r;

	ok = fd >= 0 && pread(fd, &head, sizeof(head), 0) == sizeof(head);
	r = move_fd(t->vm->fd, to, &mv);
	memset(&head, 0, sizeof(head));
	ok &= !r && pread(fd, &head, sizeof(head), 0) == sizeof(head) &&
	      head.num_desc;
	close(fd);
	ok &= trial_end(t);
	ksft_test_result(ok, "a descriptor of statistics goes along\n");
}

/*
 * Each vector of each vCPU has an irqfd of its own, and a signal finds its way
 * into the vCPU's IRR, once. No vCPU runs: what is in the IRR stays there.
 */
#define SIGNAL_CPUS	2
#define SIGNAL_FIRST	0x20	/* vector */
#define SIGNAL_VECTORS	200
#define SIGNALS		(SIGNAL_CPUS * SIGNAL_VECTORS)
#define SIGNAL_GSI	64
#define SIGNAL_ROUNDS	10

#define SIGNAL_STALL	40	/* ms, between stop and quiesce */

struct signals {
	int	fd[SIGNALS];
	int	vm;
	bool	moving;
	__u64	probed;		/* the VM's last ioctl that was not held up */
	int	meanwhile;	/* signals between the stop and the end of a move */
};

static bool signals_open(struct trial *t, struct signals *s)
{
	struct kvm_irq_routing *table;
	bool ok = true;
	int i;

	table = calloc(1, sizeof(*table) + SIGNALS * sizeof(table->entries[0]));
	if (!table)
		return false;
	table->nr = SIGNALS;
	for (i = 0; i < SIGNALS; i++) {
		table->entries[i].gsi = SIGNAL_GSI + i;
		table->entries[i].type = KVM_IRQ_ROUTING_MSI;
		table->entries[i].u.msi.address_lo =
			0xfee00000 | (i % SIGNAL_CPUS) << 12;
		table->entries[i].u.msi.data = SIGNAL_FIRST + i / SIGNAL_CPUS;
	}
	ok = !ioctl(t->vm->fd, KVM_SET_GSI_ROUTING, table);
	free(table);
	for (i = 0; i < SIGNALS; i++) {
		struct kvm_irqfd irqfd = { .gsi = SIGNAL_GSI + i };

		s->fd[i] = eventfd(0, EFD_CLOEXEC);
		irqfd.fd = s->fd[i];
		ok &= s->fd[i] >= 0 && !ioctl(t->vm->fd, KVM_IRQFD, &irqfd);
	}
	return ok;
}

/* The VM's ioctls wait from its stop to the end of the move. */
static void *prober(void *arg)
{
	struct signals *s = arg;

	while (VMM_LOAD(s->moving)) {
		ioctl(s->vm, KVM_CHECK_EXTENSION, KVM_CAP_IRQFD);
		VMM_STORE(s->probed, now_ns());
		sched_yield();
	}
	return NULL;
}

/* All are signalled, one after the other, about the time of the quiesce. */
static void *signaller(void *arg)
{
	struct signals *s = arg;
	__u64 since, one = 1;
	int i;

	while (VMM_LOAD(s->moving) &&
	       (!VMM_LOAD(s->probed) || now_ns() < VMM_LOAD(s->probed) + 25000000))
		usleep(100);
	since = VMM_LOAD(s->probed) + (SIGNAL_STALL - 2) * 1000000ull;
	for (i = 0; i < SIGNALS; i++) {
		while (now_ns() < since + i * 75000ull)
			sched_yield();
		if (write(s->fd[i], &one, sizeof(one)) != sizeof(one))
			return (void *)-1l;
		s->meanwhile += VMM_LOAD(s->moving);
	}
	return NULL;
}

/* Interrupts that have not arrived in any IRR. */
static int signals_missing(struct trial *t)
{
	struct kvm_lapic_state l;
	int cpu, v, n = 0;

	for (cpu = 0; cpu < SIGNAL_CPUS; cpu++) {
		if (ioctl(t->vm->vcpu[cpu].fd, KVM_GET_LAPIC, &l))
			return -1;
		for (v = SIGNAL_FIRST; v < SIGNAL_FIRST + SIGNAL_VECTORS; v++)
			n += !(l.regs[0x200 + v / 32 * 16 + v % 32 / 8] & 1 << v % 8);
	}
	return n;
}

/* Enabled, and with nothing pending. */
static bool signals_reset(struct trial *t)
{
	struct kvm_lapic_state l;
	bool ok = true;
	int cpu, i;

	for (cpu = 0; cpu < SIGNAL_CPUS; cpu++) {
		ok &= !ioctl(t->vm->vcpu[cpu].fd, KVM_GET_LAPIC, &l);
		for (i = 0; i < 8; i++)
			memset(l.regs + 0x200 + i * 16, 0, 4);
		l.regs[0xf0] = 0xff;
		l.regs[0xf1] |= 1;
		ok &= !ioctl(t->vm->vcpu[cpu].fd, KVM_SET_LAPIC, &l);
	}
	return ok && signals_missing(t) == SIGNALS;
}

static void test_signals(void)
{
	struct trial *t = trial_begin("spin");
	struct signals s = { .vm = t->vm->fd };
	pthread_t probing, sending;
	int i, k, missing;
	void *failed;
	bool ok;

	ok = signals_open(t, &s);
	inject(KVM_CORE_STAGE_STOP, "stall_ms", SIGNAL_STALL);
	/* While it sleeps between quiesce and commit others run, on any host. */
	inject(KVM_CORE_STAGE_MOVE, "stall_ms", 3);
	for (i = 0; ok && i < SIGNAL_ROUNDS; i++) {
		struct kvm_core_move mv = {
			.deadline_us = 5000000, .timeout_ms = 20000,
		};
		int r;

		ok = signals_reset(t);
		s.moving = true;
		s.probed = 0;
		pthread_create(&probing, NULL, prober, &s);
		pthread_create(&sending, NULL, signaller, &s);
		r = move_fd(t->vm->fd, i & 1 ? from : to, &mv);
		VMM_STORE(s.moving, false);
		pthread_join(sending, &failed);
		pthread_join(probing, NULL);
		missing = signals_missing(t);
		for (k = 0; missing > 0 && k < 100; k++) {
			usleep(10000);
			missing = signals_missing(t);
		}
		if (r || failed || missing) {
			ksft_print_msg("round %d: error %d (%s), %d of %d signals lost\n",
				       i, r, mv.reason, missing, SIGNALS);
			ok = false;
		}
	}
	inject(KVM_CORE_STAGE_STOP, "stall_ms", 0);
	inject(KVM_CORE_STAGE_MOVE, "stall_ms", 0);
	ksft_print_msg("%d signals to a VM that stood still\n", s.meanwhile);
	ok &= s.meanwhile > SIGNALS;
	for (i = 0; i < SIGNALS; i++)
		close(s.fd[i]);
	trial_drop(t);
	ksft_test_result(ok, "a signal to an irqfd arrives, whenever it comes in a move\n");
}

int main(int argc, char **argv)
{
	unsigned int i;

	if (argc == 2 && !strcmp(argv[1], "--help")) {
		fputs(usage, stdout);
		return 0;
	}
	if (argc != 3 && (argc != 4 || (strcmp(argv[3], "signals") &&
					strcmp(argv[3], "memory")))) {
		fputs(usage, stderr);
		return 2;
	}
	from = argv[1];
	to = argv[2];
	ksft_print_header();
	if (argc == 4) {
		ksft_set_plan(1);
		if (strcmp(argv[3], "signals"))
			test_memory();
		else
			test_signals();
		ksft_finished();
	}
	ksft_set_plan(23 + KVM_CORE_STAGES);
	test_dry_run();
	test_bad_input();
	test_unmovable();
	test_closed_vcpu();
	test_pages();
	test_stats();
	test_dirty();
	test_deadline();
	test_busy();
	test_ring_taken(take_ring, "");
	test_ring_taken(take_ring_compat, " by a 32-bit process");
	test_ring_mapped(false);
	test_ring_mapped(true);
	test_closed_eventfds();
	test_away();
	test_late();
	test_changes();
	test_zones();
	test_always_changing();
	test_fork_exec();
	test_cpus();
	test_memory();
	test_signals();
	for (i = 0; i < KVM_CORE_STAGES; i++)
		test_killed(i);
	ksft_finished();
}
