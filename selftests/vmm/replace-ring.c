// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmm-replace: the guest's pages as they are written, by dirty rings, whoever is its VMM.
 *
 * What is collected is in memory of all processes: where each ring is collected next, the pages
 * that are to be copied, and the copy. A VMM ends with entries in the rings that nobody has
 * collected, with some that were and are not reset, and with pages that are not copied; the
 * next one goes on with all of them.
 */
#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/dirty_ring.h>
#include "../vfio/nvme.h"
#include "replace.h"

/* How long a VMM leaves the rings alone at most */
#define PAUSE_US	20000

static void wrong(const struct replace_vmm *v, const char *what, unsigned int cpu,
		  unsigned long long want, unsigned long long got)
{
	struct replace_rings *a = v->r->rings;

	if (!a->why[0])
		snprintf(a->why, sizeof(a->why), "vCPU %u: %s: %llu, %llu (VMM %u)", cpu, what,
			 want, got, v->r->turn);
}

/* Of the ring that is being collected from: whoever comes next knows about this entry. */
static void note(void *arg, __u32 slot, __u64 offset)
{
	const struct replace_ring *ring = arg;
	struct replace_rings *a = ring->v->r->rings;

	VMM_STORE(a->next[ring->ring.vcpu->id], ring->ring.next);
	if (slot == SLOT_MEM && offset < GUEST_MIN_MEM >> 12)
		VMM_STORE(a->todo[offset], 1);
	else
		wrong(ring->v, "an entry of slot, page", ring->ring.vcpu->id, slot, offset);
}

/*
 * All that was pushed before is collected, and no more than was pushed after. False when the
 * VM is another process's.
 */
static bool collect_one(struct replace_ring *ring)
{
	struct replace_rings *a = ring->v->r->rings;
	unsigned int cpu = ring->ring.vcpu->id, n;
	__u64 before[RING_STATS], after[RING_STATS];

	if (ring_stats(&ring->ring, before))
		return false;
	n = ring_collect(&ring->ring, note, ring);
	VMM_STORE(a->next[cpu], ring->ring.next);
	if (ring_stats(&ring->ring, after))
		return false;
	if ((__u32)before[RING_PUSHED] > ring->ring.next)
		wrong(ring->v, "pushed, collected", cpu, before[RING_PUSHED], ring->ring.next);
	if ((__u32)after[RING_PUSHED] < ring->ring.next)
		wrong(ring->v, "pushed, collected too many", cpu, after[RING_PUSHED],
		      ring->ring.next);
	if (after[RING_DROPPED])
		wrong(ring->v, "entries without room", cpu, 0, after[RING_DROPPED]);
	if (ring->first)
		a->found += n;
	ring->first = false;
	a->collected += n;
	a->moved[cpu] = after[RING_MOVED];
	return true;
}

/* Pages are copied when each write after that makes an entry. */
static void copy(struct replace_vmm *v)
{
	struct replace_rings *a = v->r->rings;
	unsigned int i;

	for (i = 0; i < GUEST_MIN_MEM >> 12; i++) {
		if (!a->todo[i])
			continue;
		memcpy(a->copy + i * 4096ul, v->vm->mem + i * 4096ul, 4096);
		VMM_STORE(a->todo[i], 0);
	}
}

/* The same */
static bool reset(struct replace_vmm *v, unsigned int i)
{
	if (ioctl(v->vm->vcpu[i].fd, DIRTY_RING_RESET, 0) >= 0)
		return true;
	if (errno != EIO)
		wrong(v, "DIRTY_RING_RESET: errno", i, 0, errno);
	return false;
}

static bool one_round(struct replace_vmm *v)
{
	unsigned int i;

	for (i = 0; i < v->r->shape.cpus; i++)
		if (!collect_one(&v->ring[i]))
			return false;
	/* Who has the VM next finds them like that. */
	if (random() % 3 == 0)
		return true;
	for (i = 0; i < v->r->shape.cpus; i++)
		if (!reset(v, i))
			return false;
	copy(v);
	__atomic_add_fetch(&v->r->rings->rounds, 1, __ATOMIC_RELEASE);
	return true;
}

static void *collector(void *arg)
{
	struct replace_vmm *v = arg;
	bool goes_on;

	do {
		pthread_mutex_lock(&v->collecting);
		goes_on = one_round(v);
		pthread_mutex_unlock(&v->collecting);
		usleep(random() % PAUSE_US);
	} while (goes_on);
	return NULL;
}

void replace_rings_begin(struct replace_vmm *v)
{
	struct replace_rings *a = v->r->rings;
	pthread_t thread;
	unsigned int i;

	if (!a)
		return;
	srandom(v->r->turn);
	for (i = 0; i < v->r->shape.cpus; i++) {
		struct replace_ring *ring = &v->ring[i];
		__u32 size = v->r->shape.ring;

		ring->v = v;
		ring->first = v->r->turn;
		if (ring_open(&ring->ring, &v->vm->vcpu[i]))
			errx(1, "no ring");
		ring->ring.next = a->next[i];
		/* It was collected by a VMM that was killed then. */
		if (VMM_LOAD(ring->ring.entries[ring->ring.next % size].flags) ==
		    KVM_DIRTY_GFN_F_RESET) {
			ring->ring.next++;
			a->half++;
		}
	}
	if (pthread_create(&thread, NULL, collector, v))
		errx(1, "no thread");
}

void replace_rings_end(struct replace_vmm *v)
{
	/* Never given back: this process ends. */
	pthread_mutex_lock(&v->collecting);
}

/* What the device writes is in no ring, nor what is written from outside. */
static bool is_logged(unsigned int page)
{
	__u64 at = (__u64)page << 12;

	return at != GUEST_SHARED &&
	       (at < GUEST_NVME || at >= GUEST_NVME + sizeof(struct nvme_memory));
}

static int differs(const struct replace_rings *a, const char *mem)
{
	unsigned int i;

	for (i = 0; i < GUEST_MIN_MEM >> 12; i++)
		if (is_logged(i) && memcmp(a->copy + i * 4096ul, mem + i * 4096ul, 4096))
			return i;
	return -1;
}

bool replace_rings_complete(struct replace_rings *a, const char *mem)
{
	__u64 until = VMM_LOAD(a->rounds) + 10;
	int page;

	/* Whole rounds after the guest's end: nothing is on its way. */
	while ((page = differs(a, mem)) >= 0 && VMM_LOAD(a->rounds) < until)
		usleep(1000);
	if (page >= 0 && !a->why[0])
		snprintf(a->why, sizeof(a->why), "page 0x%x was written and is in no ring", page);
	return !a->why[0];
}
