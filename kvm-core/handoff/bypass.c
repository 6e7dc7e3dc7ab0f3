// SPDX-License-Identifier: GPL-2.0-only
/*
 * Irqfds that may get a device's interrupts without its driver (irqbypass). An eventfd has
 * one producer and one consumer; of two VMs with the same eventfd, one of which is to take
 * over from the other, the second waits here until the first is gone.
 */
#include <linux/eventfd.h>
#include <linux/hashtable.h>
#include <linux/irqbypass.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <relay/compat.h>

#include "core.h"
#include "private.h"

/**
 * struct consumer - an irqfd of an instance
 * @link:	in consumers
 * @consumer:	of irqbypass; the instance's, longer there than this
 * @del_producer: the instance's, in whose place is one of here
 * @seq:	who came first
 * @waits:	another one has the producer
 */
struct consumer {
	struct hlist_node link;
	struct irq_bypass_consumer *consumer;
	void (*del_producer)(struct irq_bypass_consumer *consumer,
			     struct irq_bypass_producer *producer);
	u64 seq;
	bool waits;
};

/* By the eventfd. Both locks are held to change it, one of them to look. */
static DEFINE_HASHTABLE(consumers, 8);
/* Who waits; outside irqbypass's own mutex, inside which del_producer() is called. */
static DEFINE_MUTEX(consumers_mutex);
static DEFINE_SPINLOCK(consumers_lock);
static u64 last_seq;

static unsigned long key(const struct irq_bypass_consumer *consumer)
{
	return (unsigned long)consumer->token;
}

static struct consumer *find(const struct irq_bypass_consumer *consumer)
{
	struct consumer *c;

	hash_for_each_possible(consumers, c, link, key(consumer))
		if (c->consumer == consumer)
			return c;
	return NULL;
}

/*
 * The instance gives the interrupt up. What was posted and not taken goes the way that the
 * next one will: the VM may be one that does not run again, and whose VMM has its state
 * from before.
 */
static void del_producer(struct irq_bypass_consumer *consumer,
			 struct irq_bypass_producer *producer)
{
	struct core_pi_leave leave;
	struct consumer *c;

	spin_lock(&consumers_lock);
	c = find(consumer);
	spin_unlock(&consumers_lock);
	core_pi_leave_begin(&leave, producer->irq);
	c->del_producer(consumer, producer);
	if (core_pi_leave_end(&leave))
		relay_eventfd_signal(consumer->token);
}

/**
 * kvm_core_bypass_add - irq_bypass_register_consumer()
 * @consumer: an instance's, whose token is an eventfd
 *
 * If the eventfd has a consumer, this one has its turn when kvm_core_bypass_del() is called
 * for that.
 *
 * Context: process; sleeps.
 * Return: 0, also if it waits; -ENOMEM, or an error of irq_bypass_register_consumer().
 */
int kvm_core_bypass_add(struct irq_bypass_consumer *consumer)
{
	struct consumer *c = kzalloc(sizeof(*c), GFP_KERNEL_ACCOUNT);
	int r;

	if (!c)
		return -ENOMEM;
	c->consumer = consumer;
	c->del_producer = consumer->del_producer;
	mutex_lock(&consumers_mutex);
	c->seq = ++last_seq;
	spin_lock(&consumers_lock);
	hash_add(consumers, &c->link, key(consumer));
	spin_unlock(&consumers_lock);
	consumer->del_producer = del_producer;
	r = irq_bypass_register_consumer(consumer);
	c->waits = r == -EBUSY;
	if (!r || c->waits) {
		mutex_unlock(&consumers_mutex);
		return 0;
	}
	consumer->del_producer = c->del_producer;
	spin_lock(&consumers_lock);
	hash_del(&c->link);
	spin_unlock(&consumers_lock);
	mutex_unlock(&consumers_mutex);
	kfree(c);
	return r;
}
EXPORT_SYMBOL_GPL(kvm_core_bypass_add);

/* The one that waits longest for this eventfd. */
static void next_turn(void *token)
{
	struct consumer *c, *first = NULL;

	hash_for_each_possible(consumers, c, link, (unsigned long)token)
		if (c->waits && c->consumer->token == token && (!first || c->seq < first->seq))
			first = c;
	if (first)
		first->waits = irq_bypass_register_consumer(first->consumer);
}

/**
 * kvm_core_bypass_del - irq_bypass_unregister_consumer()
 * @consumer: one that kvm_core_bypass_add() may have been called for
 * @handoff: the same irqfd of another instance comes next, and no one that waits
 *
 * What was posted for it and not taken, its eventfd has.
 *
 * Context: process; sleeps.
 */
void kvm_core_bypass_del(struct irq_bypass_consumer *consumer, bool handoff)
{
	struct consumer *c;

	mutex_lock(&consumers_mutex);
	c = find(consumer);
	if (!c)
		goto out;
	if (!c->waits)
		irq_bypass_unregister_consumer(consumer);
	consumer->del_producer = c->del_producer;
	spin_lock(&consumers_lock);
	hash_del(&c->link);
	spin_unlock(&consumers_lock);
	if (!c->waits && !handoff)
		next_turn(consumer->token);
out:
	mutex_unlock(&consumers_mutex);
	kfree(c);
}
EXPORT_SYMBOL_GPL(kvm_core_bypass_del);
