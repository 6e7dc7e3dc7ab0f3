// SPDX-License-Identifier: GPL-2.0-only
/* vmm-faults: what a VM has is the same afterwards: mapped pages, dirty ones, statistics. */
#include <linux/kvm_core.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <kselftest.h>
#include "../vfio/result.h"
#include "faults.h"

/* The pages behind the mappings stay the same. */
void test_pages(void)
{
	struct trial *t = trial_run("spin");
	struct kvm_core_move mv = { 0 };
	char *page = (char *)t->vm->vcpu[0].run;
	size_t at = t->vm->run_size - 8;
	bool ok;
	int r;

	/* The end of the coalesced ring, which nobody uses here. */
	memcpy(page + at, "kvmrelay", 8);
	r = move_fd(t->vm->fd, faults_to, &mv);
	ok = !r && !memcmp(page + at, "kvmrelay", 8);
	/* A mapping that is made now is of the same page. */
	page = mmap(NULL, t->vm->run_size, PROT_READ, MAP_SHARED,
		    t->vm->vcpu[0].fd, 0);
	ok &= page != MAP_FAILED && !memcmp(page + at, "kvmrelay", 8);
	if (page != MAP_FAILED)
		munmap(page, t->vm->run_size);
	ok &= trial_end(t);
	result(ok, "kvm_run, PIO and coalesced pages are the same ones afterwards\n");
}

void test_stats(void)
{
	struct trial *t = trial_run("spin");
	struct kvm_core_move mv = { 0 };
	struct kvm_stats_header head = { 0 };
	int fd = ioctl(t->vm->fd, KVM_GET_STATS_FD, 0);
	bool ok;
	int r;

	ok = fd >= 0 && pread(fd, &head, sizeof(head), 0) == sizeof(head);
	r = move_fd(t->vm->fd, faults_to, &mv);
	memset(&head, 0, sizeof(head));
	ok &= !r && pread(fd, &head, sizeof(head), 0) == sizeof(head) &&
	      head.num_desc;
	close(fd);
	ok &= trial_end(t);
	result(ok, "a descriptor of statistics goes along\n");
}

/* Dirty pages that are not yet fetched go along. */
void test_dirty(void)
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
	ok &= !move_fd(t->vm->fd, faults_to, &mv);
	VMM_STORE(sh->bench_op, DIRTY(1, DIRTY_SEQUENTIAL));
	ok &= watch_steps(&t->w, 20) == WATCH_OK;
	VMM_STORE(sh->bench_op, 0);
	ok &= watch_steps(&t->w, 2) == WATCH_OK;
	memset(&mv, 0, sizeof(mv));
	ok &= !move_fd(t->vm->fd, faults_from, &mv);
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
	result(ok, "dirty pages that were not fetched before a move\n");
}
