// SPDX-License-Identifier: GPL-2.0-only
/* vmm-kept: KVM's statistics. */
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <kselftest.h>
#include "kept.h"
#include "mini.h"
#include "vmm.h"

#define RUNS	50

/* A descriptor of KVM_GET_STATS_FD, and what was read from it first. */
struct stats {
	int			fd;
	struct kvm_stats_header	head;
	char			*desc;
	size_t			size;		/* of the data */
	__u64			*value;
};

static const struct kvm_stats_desc *desc_at(const struct stats *s, __u32 i)
{
	return (const void *)(s->desc + i * (sizeof(struct kvm_stats_desc) + s->head.name_size));
}

static void get(struct mini *m, const struct stats *s, void *to, size_t size, __u32 at)
{
	if (m->ok && pread(s->fd, to, size, at) != (ssize_t)size)
		mini_fail(m, "read of statistics");
}

static void stats_open(struct mini *m, int fd, struct stats *s)
{
	size_t all;
	__u32 i;

	memset(s, 0, sizeof(*s));
	s->fd = m->ok ? ioctl(fd, KVM_GET_STATS_FD, NULL) : -1;
	if (m->ok && s->fd < 0)
		mini_fail(m, "KVM_GET_STATS_FD");
	get(m, s, &s->head, sizeof(s->head), 0);
	all = s->head.num_desc * (sizeof(struct kvm_stats_desc) + s->head.name_size);
	s->desc = malloc(all + 1);
	if (s->desc)
		get(m, s, s->desc, all, s->head.desc_offset);
	for (i = 0; m->ok && i < s->head.num_desc; i++) {
		const struct kvm_stats_desc *d = desc_at(s, i);
		size_t end = d->offset + d->size * sizeof(__u64);

		if (end > s->size)
			s->size = end;
	}
	s->value = malloc(s->size + 1);
	if (!s->desc || !s->value)
		mini_fail(m, "memory");
}

static void stats_close(struct stats *s)
{
	if (s->fd >= 0)
		close(s->fd);
	free(s->desc);
	free(s->value);
}

static __u32 type_of(const struct kvm_stats_desc *d)
{
	return d->flags & KVM_STATS_TYPE_MASK;
}

static __u64 stats_named(struct mini *m, const struct stats *s, const char *name)
{
	__u64 value = 0;
	__u32 i;

	for (i = 0; m->ok && i < s->head.num_desc; i++) {
		if (strcmp(desc_at(s, i)->name, name))
			continue;
		get(m, s, &value, sizeof(value), s->head.data_offset + desc_at(s, i)->offset);
		return value;
	}
	mini_fail(m, name);
	return 0;
}

/* Whether a value may have grown: a peak, or what KVM_GET_* by the handoff count themselves. */
static bool may_grow(const struct kvm_stats_desc *d)
{
	return type_of(d) == KVM_STATS_TYPE_PEAK || !strcmp(d->name, "host_state_reload");
}

/* What counts has the value that it had, by the layout that was read first. */
static void stats_same(struct mini *m, const struct stats *s, const char *when)
{
	__u64 *now = malloc(s->size + 1);
	unsigned int compared = 0, not_zero = 0;
	__u32 i, k;

	if (!now)
		return mini_fail(m, "memory");
	get(m, s, now, s->size, s->head.data_offset);
	for (i = 0; m->ok && i < s->head.num_desc; i++) {
		const struct kvm_stats_desc *d = desc_at(s, i);

		if (type_of(d) == KVM_STATS_TYPE_INSTANT)
			continue;
		for (k = 0; m->ok && k < d->size; k++) {
			__u64 then = s->value[d->offset / sizeof(__u64) + k];
			__u64 is = now[d->offset / sizeof(__u64) + k];

			compared++;
			not_zero += then != 0;
			if (is == then || (may_grow(d) && is > then))
				continue;
			snprintf(m->why, sizeof(m->why), "%s: %s is %llu and was %llu", when,
				 d->name, is, then);
			m->ok = false;
		}
	}
	if (m->ok && !not_zero)
		mini_fail(m, "nothing was counted");
	if (m->ok)
		ksft_print_msg("%s: %u values, %u of them not 0\n", when, compared, not_zero);
	free(now);
}

static void run(struct mini *m)
{
	int i;

	for (i = 0; i < RUNS; i++)
		mini_run(m, 0, KVM_EXIT_IO, "run");
	mini_complete(m, 0);
}

/* Nobody runs while the VM is moved, so nothing is counted. */
void kept_stats(void)
{
	struct stats vm, vcpu, again;
	struct mini m;
	__u64 before;
	int to;

	mini_begin(&m);
	mini_boot(&m, code_out, sizeof(code_out));
	stats_open(&m, m.fd, &vm);
	stats_open(&m, m.vcpu[0], &vcpu);
	for (to = 1; to >= 0; to--) {
		before = stats_named(&m, &vcpu, "io_exits");
		run(&m);
		/* TLB flushes, which are the VM's. */
		mini_slot(&m, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, MINI_MEM, m.mem);
		mini_slot(&m, 0, 0, 0, MINI_MEM, m.mem);
		if (m.ok && stats_named(&m, &vcpu, "io_exits") < before + RUNS)
			mini_fail(&m, "exits are not counted");
		get(&m, &vm, vm.value, vm.size, vm.head.data_offset);
		get(&m, &vcpu, vcpu.value, vcpu.size, vcpu.head.data_offset);
		mini_move(&m, to);
		stats_same(&m, &vm, "VM");
		stats_same(&m, &vcpu, "vCPU");
		stats_open(&m, m.vcpu[0], &again);
		if (m.ok && stats_named(&m, &again, "io_exits") !=
			    stats_named(&m, &vcpu, "io_exits"))
			mini_fail(&m, "another descriptor shows other statistics");
		stats_close(&again);
	}
	stats_close(&vcpu);
	stats_close(&vm);
	kept_end(&m, "statistics go on");
}
