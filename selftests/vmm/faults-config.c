// SPDX-License-Identifier: GPL-2.0-only
/* vmm-faults: the VM is configured before a move, or in the middle of one. */
#include <errno.h>
#include <linux/kvm_core.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <kselftest.h>
#include "../vfio/result.h"
#include "faults.h"

/* Half of them deassigned, half of them closed only: an irqfd ends either way. */
void test_closed_eventfds(void)
{
	struct trial *t = trial_run("spin");
	struct kvm_irqfd irqfd = { .gsi = 5, .resamplefd = -1 };
	struct kvm_core_move mv = { 0 };
	long before, after = 0;
	unsigned int i;
	bool ok;
	int r;

	r = move_fd(t->vm->fd, faults_to, &mv);
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
			r = move_fd(t->vm->fd, i < 1000 || i > 2000 ? faults_from : faults_to, &mv);
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
	result(ok, "an eventfd that is closed is not kept (%ld files more)\n",
	       after - before);
}

/* Configuration while the target is being set up. */
void test_changes(void)
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
	ok &= !first && vms_on(faults_to) == 1;
	/* On the target as on the source: the eventfd is in use there. */
	ok &= ioctl(t->vm->fd, KVM_IRQFD, &irqfd) && errno == EBUSY;
	irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
	ok &= !ioctl(t->vm->fd, KVM_IRQFD, &irqfd);
	ok &= trial_end(t);
	close(fd);
	munmap(mem, 0x10000);
	result(ok, "memslots and irqfds that change while it is prepared arrive\n");
}

/* A write to a zone would not reach the device from which the guest reads. */
void test_zones(void)
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
	ok &= !move_fd(t->vm->fd, faults_to, &mv);
	ok &= trial_end(t);
	result(ok, "zones of coalesced MMIO that were removed do not come back\n");
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

void test_always_changing(void)
{
	struct trial *t = trial_run("spin");
	struct kvm_core_move mv = { .timeout_ms = 60000 };
	pthread_t thread;
	void *n;
	bool ok;
	int r;

	changing = true;
	pthread_create(&thread, NULL, changer, t);
	r = move_fd(t->vm->fd, faults_to, &mv);
	VMM_STORE(changing, false);
	pthread_join(thread, &n);
	ok = says(&mv, r, 0, KVM_CORE_STAGE_RETIRE, "") && (long)n > 0;
	ok &= trial_end(t);
	result(ok, "a VM that is configured all the time moves too\n");
}
