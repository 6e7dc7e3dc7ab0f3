// SPDX-License-Identifier: GPL-2.0-only
/* A VMM of vmm-adopt: adoptions that are refused. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "adopt.h"

/* An adoption that is right, to be made wrong. */
struct attempt {
	struct kvm_core_adopt a;
	struct kvm_core_adopt_slot slot[2];
	__s32 fd[GUEST_MAX_CPUS + 1];
};

static struct attempt good(const struct adopt_vmm *s, const struct order_msg *m)
{
	struct attempt t = {
		.a = {
			.argsz = sizeof(t.a),
			.nr_vcpus = s->shape.cpus,
			.nr_slots = 1,
			.move = { .deadline_us = 5000000, .timeout_ms = 20000 },
		},
		.slot[0] = {
			.size = s->shape.mem,
			.userspace_addr = (unsigned long)s->vm->mem,
		},
	};
	unsigned int i;

	for (i = 0; i < s->shape.cpus; i++)
		t.fd[i] = s->from->vcpus[i];
	snprintf(t.a.move.instance, sizeof(t.a.move.instance), "%s", adopt_opts.name[m->to]);
	return t;
}

/* Refused with this errno and, unless silent, with a reason that has this in it. */
static void refused(const struct adopt_vmm *s, struct order_msg *m, struct attempt *t,
		    int error, const char *reason)
{
	int r;

	if (m->ret)
		return;
	if (!t->a.vcpus)
		t->a.vcpus = (unsigned long)t->fd;
	if (!t->a.slots)
		t->a.slots = (unsigned long)t->slot;
	r = ioctl(s->from->vm, KVM_CORE_VM_ADOPT, &t->a);
	if (!r)
		adopt_broken(m, "\"%s\": it was adopted", reason);
	else if (errno != error)
		adopt_broken(m, "\"%s\": %s: %.100s", reason, strerror(errno), t->a.move.reason);
	else if (*reason && !strstr(t->a.move.reason, reason))
		adopt_broken(m, "\"%s\": the reason is \"%.100s\"", reason, t->a.move.reason);
	else if (*reason && t->a.move.error != (__u32)error)
		adopt_broken(m, "\"%s\": the result has error %u", reason, t->a.move.error);
}

#define REFUSED(error, reason, ...) do {			\
	struct attempt t = good(s, m);				\
								\
	__VA_ARGS__;						\
	refused(s, m, &t, error, reason);			\
} while (0)

static void bad_slots(const struct adopt_vmm *s, struct order_msg *m)
{
	char *page = mmap(NULL, s->shape.mem, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(page, s->shape.mem);
	REFUSED(EINVAL, "memslot 0 is not named", t.a.nr_slots = 0);
	REFUSED(EINVAL, "memslot 0 is not named", t.slot[0].slot = 7);
	REFUSED(EINVAL, "memslot 0 has 0x", t.slot[0].size -= 4096);
	REFUSED(EINVAL, "memslot 0 is named twice",
		t.a.nr_slots = 2; t.slot[1] = t.slot[0]);
	REFUSED(EINVAL, "it has 1 memslots, 2 are named",
		t.a.nr_slots = 2; t.slot[1] = t.slot[0]; t.slot[1].slot = 1);
	REFUSED(EINVAL, "memslot 0: reserved is not 0", t.slot[0].reserved = 1);
	REFUSED(EINVAL, "memslot 0: there is no memory at", t.slot[0].userspace_addr += 8);
	REFUSED(EINVAL, "memslot 0: there is no memory at",
		t.slot[0].userspace_addr = -4096ull);
	REFUSED(EFAULT, "memslot 0: its memory is not mapped at",
		t.slot[0].userspace_addr = (unsigned long)page);
	REFUSED(EFAULT, "memslot 0: its memory is not mapped at",
		t.slot[0].userspace_addr = 0);
	REFUSED(EFAULT, "list of memslots", t.a.slots = 8);
	REFUSED(EINVAL, "70000 memslots", t.a.nr_slots = 70000);
}

static void bad_vcpus(const struct adopt_vmm *s, struct order_msg *m)
{
	REFUSED(EINVAL, "it has 2 vCPUs, 1 are named", t.a.nr_vcpus = 1);
	REFUSED(EINVAL, "vCPU 0 is named twice", t.fd[1] = t.fd[0]);
	REFUSED(EINVAL, "is no vCPU of this VM", t.fd[1] = s->from->vm);
	REFUSED(EINVAL, "is no vCPU of this VM", t.fd[1] = s->fds.mem);
	REFUSED(EBADF, "there is no descriptor -1", t.fd[1] = -1);
	REFUSED(EINVAL, "0 vCPUs", t.a.nr_vcpus = 0);
	REFUSED(EINVAL, "5000 vCPUs", t.a.nr_vcpus = 5000);
	REFUSED(EFAULT, "list of vCPUs", t.a.vcpus = 8);
	REFUSED(EFAULT, "list of exits", t.a.exits = 8);
}

static void failing_stages(const struct adopt_vmm *s, struct order_msg *m)
{
	static const char * const stages[] = {
		"record", "prepare", "stop", "quiesce", "move", "commit",
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(stages); i++) {
		if (!inject_set(stages[i], "error", EXDEV))
			adopt_broken(m, "debugfs does not take an error to inject");
		REFUSED(EXDEV, "asked for in debugfs", (void)0);
		inject_set(stages[i], "error", 0);
	}
}

void adopt_bad(struct adopt_vmm *s, struct order_msg *m)
{
	if (adopt_room(s, m))
		return;
	bad_slots(s, m);
	bad_vcpus(s, m);
	REFUSED(EINVAL, "", t.a.argsz -= 8);
	REFUSED(EINVAL, "", t.a.flags = 1);
	REFUSED(EINVAL, "", t.a.reserved[2] = 1);
	REFUSED(EINVAL, "", t.a.move.flags = 1 << 30);
	REFUSED(ENODEV, "no such instance", t.a.move.instance[0] = 'x');
	failing_stages(s, m);
	vm_destroy(s->vm);
	s->vm = NULL;
}

void adopt_own(const struct adopt_vmm *s, struct order_msg *m)
{
	REFUSED(EALREADY, "it is this process's already", (void)0);
}

static void *adopt_dry(void *arg)
{
	struct attempt *t = arg;

	return (void *)(long)ioctl(t->fd[GUEST_MAX_CPUS], KVM_CORE_VM_ADOPT, &t->a);
}

/* One is held when it has prepared, in vain; another comes meanwhile. */
void adopt_busy(struct adopt_vmm *s, struct order_msg *m)
{
	struct attempt held;
	pthread_t thread;
	void *r;

	if (adopt_room(s, m))
		return;
	held = good(s, m);
	held.a.vcpus = (unsigned long)held.fd;
	held.a.slots = (unsigned long)held.slot;
	held.a.move.flags = KVM_CORE_MOVE_DRY_RUN;
	held.fd[GUEST_MAX_CPUS] = s->from->vm;
	if (!inject_set("prepare", "hold", 1))
		adopt_broken(m, "debugfs holds no handoff");
	pthread_create(&thread, NULL, adopt_dry, &held);
	if (!m->ret && !inject_wait_held("prepare", adopt_opts.patience))
		adopt_broken(m, "no adoption is held");
	REFUSED(EBUSY, "it is being moved already", (void)0);
	inject_set("prepare", "hold", 0);
	pthread_join(thread, &r);
	if (r && !m->ret)
		adopt_broken(m, "a dry run: %.120s", held.a.move.reason);
	vm_destroy(s->vm);
	s->vm = NULL;
}
