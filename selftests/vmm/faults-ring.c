// SPDX-License-Identifier: GPL-2.0-only
/* vmm-faults: dirty rings that are mapped, or taken, in the middle of a move. */
#include <errno.h>
#include <linux/dirty_ring.h>
#include <linux/kvm_core.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <kselftest.h>
#include "../vfio/result.h"
#include "faults.h"

/*
 * A vCPU that nobody runs is free to be taken the ring of, but not in the middle of
 * a handoff.
 */
int take_ring(int to_fd, int from_fd)
{
	return ioctl(to_fd, DIRTY_RING_TAKE, from_fd);
}

int take_ring_compat(int to_fd, int from_fd)
{
	return ioctl_32(to_fd, DIRTY_RING_TAKE, from_fd);
}

void test_ring_taken(int (*take)(int to_fd, int from_fd), const char *who)
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
	if (!strncmp(faults_from, "kvm-amd", 7))
		ok &= ioctl(other->vm->vcpu[0].fd, KVM_CORE_VCPU_TAKE_PI, t->vm->vcpu[0].fd) &&
		      errno == EOPNOTSUPP;
	inject(KVM_CORE_STAGE_MOVE, "stall_ms", 500);
	pthread_create(&thread, NULL, mover, t);
	while (vms_on(faults_to) == 0 && taken + busy < 10000000) {
		if (!take(other->vm->vcpu[0].fd, t->vm->vcpu[0].fd)) {
			taken++;
			/* Only what came after the commit may. */
			ok &= !busy || vms_on(faults_to) == 1;
			continue;
		}
		ok &= errno == EBUSY;
		busy++;
	}
	pthread_join(thread, &moved);
	inject(KVM_CORE_STAGE_MOVE, "stall_ms", 0);
	ok &= !moved && vms_on(faults_to) == 1;
	ok &= busy > 1;
	vm_resume(other->vm);
	ok &= trial_end(other);
	vm_resume(t->vm);
	ok &= trial_end(t);
	ksft_print_msg("%u times taken before, %u times busy\n", taken, busy);
	result(ok, "a dirty ring is not taken%s while its vCPU is moved\n", who);
}

/*
 * Who maps a ring in the middle of a handoff sees the vCPU's, and not the empty one
 * that its new vCPU was made with; whether the handoff is committed or undone.
 */
void test_ring_mapped(bool undone)
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
			result_bail("mmap of a ring: %s\n", strerror(errno));
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
	result(ok, "a dirty ring that is mapped in the middle of a move, %s\n",
	       undone ? "undone" : "committed");
}
