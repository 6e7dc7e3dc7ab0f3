// SPDX-License-Identifier: GPL-2.0-only
/*
 * Posts interrupts to vCPUs as an IOMMU does: no emulator has one that posts.
 *
 * A timer on each CPU ticks at random moments, in interrupt context, whatever that
 * CPU does. At each tick some vectors are posted whose last one the guest has
 * taken.
 */
#define pr_fmt(fmt) "poster: " fmt

#include <linux/cpu.h>
#include <linux/eventfd.h>
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/irq.h>
#include <linux/irqbypass.h>
#include <linux/irqdomain.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <asm/apic.h>
#include <asm/irq_remapping.h>
#include <asm/irq_vectors.h>
#include <kvm-core/pi.h>
#include <relay/compat.h>

#include "poster.h"

static unsigned int period_us = 1000;
module_param(period_us, uint, 0644);
MODULE_PARM_DESC(period_us, "mean time between two ticks of a CPU");

#define ON		BIT_ULL(0)
#define SN		BIT_ULL(1)
#define TIMES		4096
#define FIRST_IRQ	64

/* As the IOMMU sees it, with what it does not know of left out. */
struct descriptor {
	unsigned long pir[4];
	u64 control;
};

/**
 * struct stream - vectors of one vCPU
 * @link:	in session.streams
 * @session:	of which session
 * @first:	vector
 * @count:	of vectors
 * @sent:	how often each, under session.lock
 * @page:	with @acks, pinned
 * @acks:	the guest's
 * @pi:		the descriptor, with a reference if there is no @ctx
 * @ctx:	of a device that KVM knows: its eventfd
 * @irq:	its interrupt, 0 if it has none
 * @producer:	what KVM sees of it
 * @bypassed:	@producer is registered
 * @vector:	to which @pi gets it: what the entry in the table of interrupt
 *		remapping says, with @pi NULL when it is not posted; under session.lock
 */
struct stream {
	struct list_head link;
	struct session *session;
	unsigned int first;
	unsigned int count;
	u64 sent[POSTER_VECTORS];
	struct page *page;
	const u64 *acks;
	struct descriptor *pi;
	struct eventfd_ctx *ctx;
	unsigned int irq;
	struct irq_bypass_producer producer;
	bool bypassed;
	unsigned int vector;
};

struct tick {
	struct hrtimer timer;
	struct session *session;
};

/**
 * struct session - an open descriptor
 * @mutex:	one ioctl at a time
 * @lock:	protects all below, and the streams
 * @streams:	grows only
 * @nstreams:	how many
 * @running:	timers tick
 * @stats:	totals
 * @times:	of what was sent, at sent % TIMES
 * @ticks:	one for each CPU
 */
struct session {
	struct mutex mutex;		/* see above */
	raw_spinlock_t lock;		/* see above */
	struct list_head streams;
	unsigned int nstreams;
	bool running;
	struct poster_stats stats;
	u64 times[TIMES];
	struct tick *ticks;
};

static int cpu_of(u32 ndst)
{
	u32 id = x2apic_mode ? ndst : ndst >> 8 & 0xff;
	int cpu;

	for_each_online_cpu(cpu)
		if (cpu_physical_id(cpu) == id)
			return cpu;
	return -1;
}

static void notify(struct session *s, u64 control)
{
	u8 nv = control >> 16;
	int cpu = cpu_of(control >> 32);

	if (cpu < 0 || (nv != POSTED_INTR_VECTOR &&
			nv != POSTED_INTR_WAKEUP_VECTOR)) {
		s->stats.astray++;
		return;
	}
	if (nv == POSTED_INTR_WAKEUP_VECTOR)
		s->stats.woken++;
	else
		s->stats.notified++;
	if (nv == POSTED_INTR_VECTOR && cpu != smp_processor_id())
		s->stats.other_cpu++;
	apic->send_IPI(cpu, nv);
}

/* The bit, and then ON, with NV and NDST as they were when ON was set. */
static void post(struct session *s, struct descriptor *pi, unsigned int vector)
{
	u64 old;

	set_bit(vector, pi->pir);
	old = READ_ONCE(pi->control);
	do {
		if (old & SN) {
			s->stats.suppressed++;
			return;
		}
		if (old & ON) {
			s->stats.pending++;
			return;
		}
	} while (!try_cmpxchg64(&pi->control, &old, old | ON));
	notify(s, old);
}

static bool take(struct session *s, struct stream *t, unsigned int i)
{
	if (READ_ONCE(t->acks[t->first + i]) != t->sent[i])
		return false;
	t->sent[i]++;
	s->times[s->stats.sent++ % TIMES] = ktime_get_ns();
	return true;
}

/* Returns what is to be signalled after the lock was given up. */
static struct eventfd_ctx *send(struct session *s, struct stream *t)
{
	unsigned int i = get_random_u32_below(t->count);

	if (!take(s, t, i))
		return NULL;
	if (!t->pi) {
		s->stats.remapped++;
		return t->ctx;
	}
	post(s, t->pi, t->ctx ? t->vector : t->first + i);
	return NULL;
}

static enum hrtimer_restart on_tick(struct hrtimer *timer)
{
	struct tick *tick = container_of(timer, struct tick, timer);
	struct session *s = tick->session;
	struct eventfd_ctx *ctx;
	struct stream *t;
	bool running;
	u64 ns;

	raw_spin_lock(&s->lock);
	running = s->running;
	list_for_each_entry(t, &s->streams, link) {
		if (!running || get_random_u32_below(2))
			continue;
		ctx = send(s, t);
		if (!ctx)
			continue;
		raw_spin_unlock(&s->lock);
		/* Streams do not go while timers run. */
		relay_eventfd_signal(ctx);
		raw_spin_lock(&s->lock);
	}
	raw_spin_unlock(&s->lock);
	if (!running)
		return HRTIMER_NORESTART;
	ns = 2 * NSEC_PER_USEC * (1 + (u64)get_random_u32_below(max(period_us, 1u)));
	hrtimer_forward_now(timer, ns_to_ktime(ns));
	return HRTIMER_RESTART;
}

/* -- what KVM says of a device's interrupt -- */

static int set_vcpu_affinity(struct irq_data *data, void *info)
{
	struct stream *t = irq_data_get_irq_chip_data(data);
	struct session *s = t->session;
	struct vcpu_data *to = info;

	raw_spin_lock(&s->lock);
	if (to) {
		t->pi = phys_to_virt(to->pi_desc_addr);
		t->vector = to->vector;
		s->stats.irte_posted++;
	} else {
		t->pi = NULL;
		s->stats.irte_remapped++;
	}
	raw_spin_unlock(&s->lock);
	return 0;
}

static struct irq_chip chip = {
	.name = "poster",
	.irq_set_vcpu_affinity = set_vcpu_affinity,
};

static int add_device(struct stream *t, int fd)
{
	int irq, r;

	t->ctx = eventfd_ctx_fdget(fd);
	if (IS_ERR(t->ctx)) {
		r = PTR_ERR(t->ctx);
		t->ctx = NULL;
		return r;
	}
	irq = irq_alloc_desc_from(FIRST_IRQ, NUMA_NO_NODE);
	if (irq < 0)
		return irq;
	t->irq = irq;
	irq_set_chip_and_handler_name(irq, &chip, handle_simple_irq, "poster");
	irq_set_chip_data(irq, t);
	t->producer.token = t->ctx;
	t->producer.irq = irq;
	r = irq_bypass_register_producer(&t->producer);
	t->bypassed = !r;
	return r;
}

static void free_stream(struct stream *t)
{
	/* KVM takes its interrupt back in here. */
	if (t->bypassed)
		irq_bypass_unregister_producer(&t->producer);
	if (t->irq)
		irq_free_desc(t->irq);
	if (t->ctx)
		eventfd_ctx_put(t->ctx);
	else
		kvm_core_pi_put(t->pi);
	if (t->page)
		unpin_user_page(t->page);
	kfree(t);
}

static int fill_stream(struct stream *t, const struct poster_stream *arg)
{
	int r;

	r = pin_user_pages_fast(arg->acks, 1, FOLL_LONGTERM, &t->page);
	if (r != 1) {
		t->page = NULL;
		return r < 0 ? r : -EFAULT;
	}
	t->acks = page_address(t->page) + offset_in_page(arg->acks);
	if (arg->eventfd >= 0)
		return add_device(t, arg->eventfd);
	t->pi = kvm_core_pi_get(arg->vm, arg->vcpu);
	return t->pi ? 0 : -ENOENT;
}

static int add(struct session *s, const struct poster_stream *arg)
{
	struct stream *t;
	int r;

	if (s->running)
		return -EBUSY;
	if (!arg->count || arg->count > POSTER_VECTORS || arg->reserved ||
	    arg->vector < FIRST_EXTERNAL_VECTOR ||
	    arg->vector + arg->count > NR_VECTORS ||
	    (arg->eventfd >= 0 && arg->count != 1) ||
	    !IS_ALIGNED(arg->acks, sizeof(u64)) ||
	    offset_in_page(arg->acks) + NR_VECTORS * sizeof(u64) > PAGE_SIZE)
		return -EINVAL;
	t = kzalloc(sizeof(*t), GFP_KERNEL);
	if (!t)
		return -ENOMEM;
	t->session = s;
	t->first = arg->vector;
	t->count = arg->count;
	r = fill_stream(t, arg);
	if (r) {
		free_stream(t);
		return r;
	}
	raw_spin_lock_irq(&s->lock);
	list_add_tail(&t->link, &s->streams);
	s->nstreams++;
	raw_spin_unlock_irq(&s->lock);
	return 0;
}

static void start_tick(void *arg)
{
	struct session *s = arg;
	struct tick *tick = &s->ticks[smp_processor_id()];

	hrtimer_start(&tick->timer, ns_to_ktime(NSEC_PER_MSEC),
		      HRTIMER_MODE_REL_PINNED_HARD);
}

static void set_running(struct session *s, bool running)
{
	int cpu;

	if (s->running == running)
		return;
	raw_spin_lock_irq(&s->lock);
	s->running = running;
	raw_spin_unlock_irq(&s->lock);
	if (running) {
		on_each_cpu(start_tick, s, 1);
		return;
	}
	for_each_possible_cpu(cpu)
		hrtimer_cancel(&s->ticks[cpu].timer);
}

static int counts(struct session *s, void __user *p)
{
	struct poster_counts arg;
	struct stream *t;
	unsigned int i = 0;

	if (copy_from_user(&arg, p, sizeof(arg)))
		return -EFAULT;
	if (arg.stream >= s->nstreams)
		return -ENOENT;
	raw_spin_lock_irq(&s->lock);
	list_for_each_entry(t, &s->streams, link)
		if (i++ == arg.stream)
			memcpy(arg.sent, t->sent, sizeof(arg.sent));
	raw_spin_unlock_irq(&s->lock);
	return copy_to_user(p, &arg, sizeof(arg)) ? -EFAULT : 0;
}

static int stats(struct session *s, void __user *p)
{
	struct poster_stats arg, now;
	unsigned int i;

	if (copy_from_user(&arg, p, sizeof(arg)))
		return -EFAULT;
	raw_spin_lock_irq(&s->lock);
	now = s->stats;
	now.since = arg.since;
	now.until = arg.until;
	for (i = 0; i < TIMES; i++)
		now.between += s->times[i] && s->times[i] >= arg.since &&
			       s->times[i] < arg.until;
	raw_spin_unlock_irq(&s->lock);
	return copy_to_user(p, &now, sizeof(now)) ? -EFAULT : 0;
}

static long do_ioctl(struct session *s, unsigned int cmd, void __user *p)
{
	struct poster_stream arg;

	switch (cmd) {
	case POSTER_ADD:
		if (copy_from_user(&arg, p, sizeof(arg)))
			return -EFAULT;
		return add(s, &arg);
	case POSTER_START:
	case POSTER_STOP:
		set_running(s, cmd == POSTER_START);
		return 0;
	case POSTER_COUNTS:
		return counts(s, p);
	case POSTER_STATS:
		return stats(s, p);
	}
	return -ENOTTY;
}

static long poster_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct session *s = file->private_data;
	long r;

	mutex_lock(&s->mutex);
	r = do_ioctl(s, cmd, (void __user *)arg);
	mutex_unlock(&s->mutex);
	return r;
}

static int poster_open(struct inode *inode, struct file *file)
{
	struct session *s;
	int cpu;

	s = kvzalloc(sizeof(*s), GFP_KERNEL);
	if (!s)
		return -ENOMEM;
	s->ticks = kcalloc(nr_cpu_ids, sizeof(*s->ticks), GFP_KERNEL);
	if (!s->ticks) {
		kvfree(s);
		return -ENOMEM;
	}
	mutex_init(&s->mutex);
	raw_spin_lock_init(&s->lock);
	INIT_LIST_HEAD(&s->streams);
	for_each_possible_cpu(cpu) {
		s->ticks[cpu].session = s;
		hrtimer_init(&s->ticks[cpu].timer, CLOCK_MONOTONIC,
			     HRTIMER_MODE_REL_PINNED_HARD);
		s->ticks[cpu].timer.function = on_tick;
	}
	file->private_data = s;
	return 0;
}

static int poster_release(struct inode *inode, struct file *file)
{
	struct session *s = file->private_data;
	struct stream *t, *n;

	set_running(s, false);
	list_for_each_entry_safe(t, n, &s->streams, link)
		free_stream(t);
	kfree(s->ticks);
	kvfree(s);
	return 0;
}

static const struct file_operations poster_fops = {
	.owner = THIS_MODULE,
	.open = poster_open,
	.release = poster_release,
	.unlocked_ioctl = poster_ioctl,
};

static struct miscdevice poster_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "poster",
	.fops = &poster_fops,
};

module_misc_device(poster_misc);
MODULE_DESCRIPTION("Posts interrupts to vCPUs, in the place of an IOMMU");
MODULE_LICENSE("GPL");
