// SPDX-License-Identifier: GPL-2.0-only
/* vmm-groups: a VFIO group comes to a VM and goes, while the VM is moved. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm_core.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <kselftest.h>
#include "../vfio/vfio.h"
#include "vmm.h"

static const char usage[] =
"usage: vmm-groups INSTANCE OTHER PCI-ADDRESS\n"
"\n"
"A VM is moved from INSTANCE to OTHER and back, while its VMM adds the group of a device,\n"
"which vfio-pci has, to kvm-vfio and deletes it, all the time. TAP output.\n";

#define MOVES 20

static struct {
	int	device;		/* kvm-vfio */
	int	group;
	bool	end;
	unsigned long rounds;
	int	what;		/* that failed first */
	int	error;
} adder;

static void set_group(__u64 what)
{
	struct kvm_device_attr attr = {
		.group = KVM_DEV_VFIO_GROUP, .attr = what,
		.addr = (unsigned long)&adder.group,
	};

	if (ioctl(adder.device, KVM_SET_DEVICE_ATTR, &attr) && !adder.error) {
		adder.what = what;
		adder.error = errno;
	}
}

static void *add_and_delete(void *arg)
{
	(void)arg;
	while (!VMM_LOAD(adder.end)) {
		set_group(KVM_DEV_VFIO_GROUP_ADD);
		set_group(KVM_DEV_VFIO_GROUP_DEL);
		VMM_STORE(adder.rounds, adder.rounds + 1);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct kvm_create_device vfio = { .type = KVM_DEV_TYPE_VFIO };
	int i, kvm, vm, moved = 0;
	unsigned long rounds = 0;
	pthread_t thread;
	struct device d;
	char path[64];

	if (argc == 2 && !strcmp(argv[1], "--help")) {
		fputs(usage, stdout);
		return 0;
	}
	if (argc != 4) {
		fputs(usage, stderr);
		return 2;
	}
	ksft_print_header();
	ksft_set_plan(3);
	snprintf(path, sizeof(path), "/dev/%s", argv[1]);
	kvm = open(path, O_RDWR | O_CLOEXEC);
	vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0 || ioctl(vm, KVM_CREATE_VCPU, 0) < 0 || ioctl(vm, KVM_CREATE_DEVICE, &vfio))
		ksft_exit_fail_msg("%s: %s\n", path, strerror(errno));
	device_open(&d, argv[3], false);
	adder.device = vfio.fd;
	adder.group = d.group;
	pthread_create(&thread, NULL, add_and_delete, NULL);
	for (i = 0; i < MOVES; i++) {
		struct kvm_core_move mv = { .deadline_us = 5000000, .timeout_ms = 60000 };

		snprintf(mv.instance, sizeof(mv.instance), "%s", argv[1 + !(i % 2)]);
		if (ioctl(vm, KVM_CORE_VM_MOVE, &mv))
			ksft_print_msg("move %d: %s\n", i, mv.reason);
		else
			moved++;
		/* Between the moves it gets on. */
		rounds = VMM_LOAD(adder.rounds);
		while (VMM_LOAD(adder.rounds) < rounds + 10)
			usleep(1000);
	}
	VMM_STORE(adder.end, true);
	pthread_join(thread, NULL);
	ksft_print_msg("%d moves, %lu times added and deleted\n", moved, adder.rounds);
	ksft_test_result(moved == MOVES, "a VM is moved whose VFIO group comes and goes\n");
	if (adder.error)
		ksft_print_msg("%s: %s\n", adder.what == KVM_DEV_VFIO_GROUP_ADD ? "ADD" : "DEL",
			       strerror(adder.error));
	ksft_test_result(!adder.error, "no move comes between its VMM and kvm-vfio\n");
	/* A group that something still refers to is not opened a second time: EBUSY. */
	device_close(&d);
	device_open(&d, argv[3], false);
	device_close(&d);
	ksft_test_result(true, "when its VMM has closed it, nothing holds the group\n");
	ksft_finished();
}
