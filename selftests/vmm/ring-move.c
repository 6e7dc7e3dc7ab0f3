// SPDX-License-Identifier: GPL-2.0-only
/* vmm-ring: rings go to other vCPUs while the guest writes and a thread collects. */
#include <errno.h>
#include <linux/kvm_core.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <kselftest.h>
#include "vmm-ring.h"

struct collector {
	pthread_mutex_t	lock;
	struct ring	ring[GUEST_MAX_CPUS];
	unsigned int	cpus;
	char		*mem;		/* the guest's, by a mapping of its own */
	char		*copy;
	size_t		size;
	unsigned char	*todo;		/* a byte for each page */
	__u64		entries;
	bool		stop;
};

static void note_page(void *arg, __u32 slot, __u64 offset)
{
	struct collector *c = arg;

	if (!slot && offset < c->size / PAGE)
		c->todo[offset] = 1;
	c->entries++;
}

/* Collect, reset, copy: in this order what is written later is collected later. */
static void collect_round(struct collector *c)
{
	unsigned int i, n;
	size_t p;

	for (i = 0, n = 0; i < c->cpus; i++) {
		unsigned int k = ring_collect(&c->ring[i], note_page, c);

		if (k && ring_reset(&c->ring[i]) < 0)
			exit(1);
		n += k;
	}
	for (p = 0; n && p < c->size / PAGE; p++) {
		if (!c->todo[p])
			continue;
		c->todo[p] = 0;
		memcpy(c->copy + p * PAGE, c->mem + p * PAGE, PAGE);
	}
}

static void *collector_main(void *arg)
{
	struct collector *c = arg;

	while (!VMM_LOAD(c->stop)) {
		ring_sleep(&c->ring[0], 1);
		pthread_mutex_lock(&c->lock);
		collect_round(c);
		pthread_mutex_unlock(&c->lock);
	}
	return NULL;
}

/* Pages that changed and were in no ring; the VMM's own writes are in none. */
static unsigned int pages_lost(struct collector *c)
{
	unsigned int lost = 0;
	size_t p;

	collect_round(c);
	for (p = 0; p < c->size / PAGE; p++) {
		if (p == GUEST_SHARED / PAGE ||
		    !memcmp(c->mem + p * PAGE, c->copy + p * PAGE, PAGE))
			continue;
		if (!lost)
			ksft_print_msg("page 0x%zx changed and was not collected\n", p);
		lost++;
	}
	return lost;
}

/* The collector's lock is held, neither VM runs. */
static int move_rings(struct collector *c, struct vm *to, bool broken, bool *same)
{
	unsigned int i;
	__u64 f;

	for (i = 0; i < c->cpus; i++) {
		struct ring *r = &c->ring[i];

		if (broken) {
			ring_close(r);
			if (ring_open(r, &to->vcpu[i]) || ring_wake_at(r, 100))
				return -EIO;
			continue;
		}
		f = ring_frame(&r->entries[0]);
		if (ring_take(r, &to->vcpu[i]))
			return -EIO;
		(void)VMM_LOAD(r->entries[0].flags);
		*same &= f && f == ring_frame(&r->entries[0]);
	}
	return 0;
}

static int move_once(struct collector *c, struct vm *from, struct vm *to,
		     const struct options *o, unsigned int turn, bool *same)
{
	__u64 *stores = &vm_cpu_page(from->mem, 0)->count[0], last;
	struct vm_state st = { 0 };
	int ret;

	if (o->broken) {
		/* Something is in the ring for certain. */
		pthread_mutex_lock(&c->lock);
		last = VMM_LOAD(*stores);
		while (VMM_LOAD(*stores) < last + 100)
			usleep(100);
	}
	if (vm_stop_and_save(from, &st))
		return -EIO;
	if (!o->broken)
		pthread_mutex_lock(&c->lock);
	/* What restoring the state writes is in the ring before or after. */
	ret = turn & 1 ? move_rings(c, to, o->broken, same) : 0;
	if (!ret)
		ret = vm_restore(to, &st);
	if (!ret && !(turn & 1))
		ret = move_rings(c, to, o->broken, same);
	if (!ret && turn % 10 == 0)
		ret = pages_lost(c);
	pthread_mutex_unlock(&c->lock);
	state_free(&st);
	return ret ? ret : vm_go_on(to);
}

int move_in_place(struct vm *vm, const char *dev)
{
	struct kvm_core_move mv = { .deadline_us = 5000000, .timeout_ms = 60000 };

	snprintf(mv.instance, sizeof(mv.instance), "%s", strrchr(dev, '/') + 1);
	if (ioctl(vm->fd, KVM_CORE_VM_MOVE, &mv))
		return vmm_error(errno, "move to %s: %.128s", mv.instance, mv.reason);
	return 0;
}

int test_move(const struct options *o)
{
	struct collector c = { .lock = PTHREAD_MUTEX_INITIALIZER, .cpus = 2 };
	struct vm_shape shape = {
		.guest = GUEST_dirty, .cpus = 2, .mem = 32 << 20, .ring = 1024,
		.ws_per_cpu = 4 << 20,
	};
	__u64 steps = 0, last;
	unsigned int i, done = 0;
	struct vm *vm, *next;
	pthread_t thread;
	bool same = true;
	int ret = 0;

	result_plan(o->broken ? 1 : 3);
	if (vm_fds_make(&shape, &ring_fds))
		return 1;
	vm = vm_create(o->dev[0], &shape, &ring_fds, &ring_report);
	if (!vm || vm_boot(vm))
		return 1;
	c.size = shape.mem;
	c.mem = mmap(NULL, c.size, PROT_READ, MAP_SHARED, ring_fds.mem, 0);
	c.copy = malloc(c.size);
	c.todo = calloc(1, c.size / PAGE);
	if (c.mem == MAP_FAILED || !c.copy || !c.todo)
		return 1;
	for (i = 0; i < c.cpus; i++)
		if (ring_open(&c.ring[i], &vm->vcpu[i]) || ring_wake_at(&c.ring[i], 100))
			return 1;
	tell(vm, DIRTY(0, DIRTY_RANDOM) | DIRTY(1, DIRTY_SEQUENTIAL));
	memcpy(c.copy, c.mem, c.size);
	vm_resume(vm);
	pthread_create(&thread, NULL, collector_main, &c);
	for (i = 0; !ret && i < o->moves; i++) {
		last = VMM_LOAD(vm_cpu_page(vm->mem, 0)->count[0]);
		while (VMM_LOAD(vm_cpu_page(vm->mem, 0)->count[0]) < last + 100)
			usleep(100);
		if (o->in_place) {
			__u64 f, g;

			/* The collector may not have looked at it yet. */
			(void)VMM_LOAD(c.ring[0].entries[0].flags);
			f = ring_frame(&c.ring[0].entries[0]);
			ret = move_in_place(vm, o->dev[(i + 1) % 2]);
			(void)VMM_LOAD(c.ring[0].entries[0].flags);
			g = ring_frame(&c.ring[0].entries[0]);
			if (!f || f != g)
				ksft_print_msg("move %u: page %llx, then %llx\n", i, f, g);
			same &= f && f == g;
			done += !ret;
			continue;
		}
		next = vm_create(o->dev[(i + 1) % 2], &shape, &ring_fds, &ring_report);
		if (!next)
			return 1;
		ret = move_once(&c, vm, next, o, i, &same);
		vm_destroy(vm);
		vm = next;
		done++;
	}
	vm_pause(vm);
	VMM_STORE(c.stop, true);
	pthread_join(thread, NULL);
	if (!ret)
		ret = pages_lost(&c);
	for (i = 0; i < c.cpus; i++)
		steps += vm_cpu_page(vm->mem, i)->count[0];
	ksft_print_msg("%u moves, %llu stores, %llu entries\n", done, steps, c.entries);
	if (o->broken) {
		check(ret > 0, "the loss of the ring is noticed");
	} else {
		check(!ret && done == o->moves, "every page that changed was collected");
		check(same, "the same pages are mapped before and after");
		check(ring_stat(&c.ring[0], RING_MOVED) == done &&
		      !ring_stat(&c.ring[0], RING_DROPPED), "statistics go along");
	}
	for (i = 0; i < c.cpus; i++)
		ring_close(&c.ring[i]);
	vm_end(vm);
	return 0;
}
