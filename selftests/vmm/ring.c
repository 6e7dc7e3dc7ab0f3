// SPDX-License-Identifier: GPL-2.0-only
/*
 * Collecting from a vCPU's dirty ring. The example for VMMs; the protocol is in
 * Documentation/dirty-ring.rst.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/dirty_ring.h>
#include "vmm.h"

static int ring_map(struct ring *r, struct vcpu *v)
{
	void *p = mmap(NULL, r->size * sizeof(*r->entries), PROT_READ | PROT_WRITE,
		       MAP_SHARED, v->fd, KVM_DIRTY_LOG_PAGE_OFFSET * getpagesize());

	if (p == MAP_FAILED)
		return vmm_error(errno, "%s: mmap of vCPU %d's dirty ring",
				 v->vm->path, v->id);
	r->entries = p;
	r->vcpu = v;
	return 0;
}

int ring_open(struct ring *r, struct vcpu *v)
{
	memset(r, 0, sizeof(*r));
	r->event = -1;
	r->size = v->vm->shape.ring;
	return ring_map(r, v);
}

void ring_close(struct ring *r)
{
	if (r->entries)
		munmap(r->entries, r->size * sizeof(*r->entries));
	if (r->event >= 0)
		close(r->event);
	r->entries = NULL;
	r->event = -1;
}

unsigned int ring_collect(struct ring *r,
			  void (*page)(void *arg, __u32 slot, __u64 offset),
			  void *arg)
{
	unsigned int n;

	for (n = 0; n < r->size; n++) {
		struct kvm_dirty_gfn *e = &r->entries[r->next % r->size];

		/* Acquire: slot and offset are not older than the flags. */
		if (VMM_LOAD(e->flags) != KVM_DIRTY_GFN_F_DIRTY)
			break;
		page(arg, e->slot, e->offset);
		/* Release: they were read before KVM may reuse the entry. */
		VMM_STORE(e->flags, KVM_DIRTY_GFN_F_RESET);
		r->next++;
	}
	return n;
}

int ring_reset(struct ring *r)
{
	int n = ioctl(r->vcpu->fd, DIRTY_RING_RESET, 0);

	return n < 0 ? vmm_error(errno, "DIRTY_RING_RESET of vCPU %d", r->vcpu->id) : n;
}

int ring_reset_all(struct vm *vm)
{
	int n = ioctl(vm->fd, KVM_RESET_DIRTY_RINGS, 0);

	return n < 0 ? vmm_error(errno, "KVM_RESET_DIRTY_RINGS") : n;
}

int ring_wake_at(struct ring *r, unsigned int level)
{
	struct dirty_ring_notify n = { .level = level };

	if (r->event < 0)
		r->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	n.fd = r->event;
	if (n.fd < 0)
		return vmm_error(errno, "eventfd");
	if (ioctl(r->vcpu->fd, DIRTY_RING_NOTIFY, &n))
		return vmm_error(errno, "DIRTY_RING_NOTIFY at %u", level);
	return 0;
}

bool ring_sleep(struct ring *r, int ms)
{
	struct pollfd p = { .fd = r->event, .events = POLLIN };
	__u64 n;

	return poll(&p, 1, ms) == 1 && read(r->event, &n, sizeof(n)) == sizeof(n);
}

int ring_limit(struct ring *r, __u64 rate)
{
	if (ioctl(r->vcpu->fd, DIRTY_RING_LIMIT, &rate))
		return vmm_error(errno, "DIRTY_RING_LIMIT of %llu", rate);
	return 0;
}

int ring_stats(struct ring *r, __u64 value[RING_STATS])
{
	static const char * const names[RING_STATS] = {
		[RING_PUSHED] = "pushed", [RING_FULL] = "full_exits",
		[RING_RESETS] = "resets", [RING_RESET] = "entries_reset",
		[RING_THROTTLED] = "throttled", [RING_THROTTLED_NS] = "throttled_ns",
		[RING_NOTIFIED] = "notified", [RING_MOVED] = "moved",
		[RING_DROPPED] = "dropped",
	};
	union {
		struct kvm_stats_header header;
		char bytes[4096];
	} f;
	int fd = ioctl(r->vcpu->fd, DIRTY_RING_STATS_FD, 0);
	unsigned int i, k, found = 0;
	ssize_t len;

	/* Who has lost its VM to another process knows it by that. */
	if (fd < 0)
		return errno == EIO ? -EIO : vmm_error(errno, "DIRTY_RING_STATS_FD");
	len = pread(fd, &f, sizeof(f), 0);
	close(fd);
	if (len < (ssize_t)sizeof(f.header) ||
	    f.header.data_offset + f.header.num_desc * sizeof(__u64) > (size_t)len)
		return vmm_error(0, "statistics of %zd bytes", len);
	for (i = 0; i < f.header.num_desc; i++) {
		struct kvm_stats_desc *d = (void *)(f.bytes + f.header.desc_offset +
			i * (sizeof(*d) + f.header.name_size));

		for (k = 0; k < RING_STATS; k++) {
			/* The name follows the descriptor. */
			if (strcmp((char *)(d + 1), names[k]))
				continue;
			memcpy(&value[k], f.bytes + f.header.data_offset + d->offset,
			       sizeof(value[k]));
			found++;
		}
	}
	return found == RING_STATS ? 0 : vmm_error(0, "%u statistics", found);
}

int ring_take(struct ring *r, struct vcpu *to)
{
	struct kvm_dirty_gfn *old = r->entries;

	if (ioctl(to->fd, DIRTY_RING_TAKE, r->vcpu->fd))
		return vmm_error(errno, "%s: DIRTY_RING_TAKE of vCPU %d", to->vm->path,
				 to->id);
	if (ring_map(r, to))
		return -errno;
	munmap(old, r->size * sizeof(*old));
	return 0;
}

__u64 ring_frame(const void *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	__u64 v = 0;

	if (pread(fd, &v, sizeof(v), (unsigned long)p / getpagesize() * sizeof(v)) != sizeof(v))
		v = 0;
	close(fd);
	return v & ((1ull << 55) - 1);
}
