// SPDX-License-Identifier: GPL-2.0-only
/* vmm-faults: what is refused before the VM stops, and a move that is only tried. */
#include <errno.h>
#include <linux/kvm_core.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "../vfio/result.h"
#include "faults.h"

void test_dry_run(void)
{
	struct trial *t = trial_run("hlt");
	struct kvm_core_move mv = { .flags = KVM_CORE_MOVE_DRY_RUN };
	int r = move_fd(t->vm->fd, faults_to, &mv);
	bool ok;

	ok = says(&mv, r, 0, KVM_CORE_STAGE_PREPARE, "") && !mv.attempts &&
	     vms_on(faults_from) == 1 && vms_on(faults_to) == 0;
	ok &= trial_end(t);
	result(ok, "a dry run prepares and does not stop the VM\n");
}

void test_bad_input(void)
{
	struct trial *t = trial_run("hlt");
	struct kvm_core_move mv = { 0 };
	bool ok;
	int r;

	r = move_fd(t->vm->fd, "kvm-none-1", &mv);
	ok = r == ENODEV && strstr(mv.reason, "no such instance");
	memset(&mv, 0, sizeof(mv));
	r = move_fd(t->vm->fd, faults_from, &mv);
	ok &= r == EALREADY;
	memset(&mv, 0, sizeof(mv));
	mv.flags = 1u << 31;
	ok &= move_fd(t->vm->fd, faults_to, &mv) == EINVAL;
	mv = (struct kvm_core_move){ .reserved = 1 };
	ok &= move_fd(t->vm->fd, faults_to, &mv) == EINVAL;
	mv = (struct kvm_core_move){ .deadline_us = KVM_CORE_MAX_DEADLINE_US + 1 };
	ok &= move_fd(t->vm->fd, faults_to, &mv) == EINVAL;
	mv = (struct kvm_core_move){ .timeout_ms = KVM_CORE_MAX_TIMEOUT_MS + 1 };
	ok &= move_fd(t->vm->fd, faults_to, &mv) == EINVAL;
	memset(mv.instance, 'x', sizeof(mv.instance));
	mv.flags = 0;
	ok &= ioctl(t->vm->fd, KVM_CORE_VM_MOVE, &mv) && errno == EINVAL;
	ok &= ioctl(t->vm->fd, KVM_CORE_VM_MOVE, 8) && errno == EFAULT;
	ok &= trial_end(t);
	result(ok, "wrong names, flags, times and addresses are refused\n");
}

void test_unmovable(void)
{
	struct trial *t = trial_run("hlt");
	struct kvm_core_move mv = { 0 };
	bool ok;
	int r;

	vm_pause(t->vm);
	ok = ioctl_32(t->vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_IRQCHIP) == 1;
	vm_resume(t->vm);
	r = move_fd(t->vm->fd, faults_to, &mv);
	ok &= says(&mv, r, EOPNOTSUPP, KVM_CORE_STAGE_RECORD, "32-bit");
	ok &= !mv.attempts && !mv.downtime_ns;
	ok &= trial_end(t);
	result(ok, "what cannot be moved is refused before the VM stops\n");
}

/* KVM_XEN_HVM_CONFIG with nothing in it, where KVM has Xen's interface. */
void test_unknown(void)
{
	struct kvm_xen_hvm_config config = { 0 };
	struct trial *t = trial_run("hlt");
	struct kvm_core_move mv = { 0 };
	bool ok;
	int r;

	if (ioctl(t->vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_XEN_HVM) <= 0) {
		trial_end(t);
		result_skip("a handoff knows all ioctls of this KVM\n");
		return;
	}
	vm_pause(t->vm);
	ok = !ioctl(t->vm->fd, KVM_XEN_HVM_CONFIG, &config);
	vm_resume(t->vm);
	r = move_fd(t->vm->fd, faults_to, &mv);
	ok &= says(&mv, r, EOPNOTSUPP, KVM_CORE_STAGE_RECORD, "KVM_XEN_HVM_CONFIG was used");
	ok &= trial_end(t);
	result(ok, "an ioctl that a handoff does not know is refused by its name\n");
}

void test_closed_vcpu(void)
{
	struct trial *t = trial_begin("hlt");
	struct kvm_core_move mv = { 0 };
	int fd, r;
	bool ok;

	fd = ioctl(t->vm->fd, KVM_CREATE_VCPU, 9);
	close(fd);
	r = move_fd(t->vm->fd, faults_to, &mv);
	ok = fd >= 0 && says(&mv, r, EOPNOTSUPP, KVM_CORE_STAGE_RECORD, "closed");
	vm_resume(t->vm);
	ok &= trial_end(t);
	result(ok, "a vCPU whose descriptor is closed: refused\n");
}
