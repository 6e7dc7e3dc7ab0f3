/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Events of the trace system dirty_ring. Entries and full rings have events of the
 * instance: kvm_N:kvm_dirty_ring_push, kvm_N:kvm_dirty_ring_exit.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM dirty_ring

#if !defined(__DIRTY_RING_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define __DIRTY_RING_TRACE_H

#include <linux/tracepoint.h>

#include "private.h"

DECLARE_EVENT_CLASS(dirty_ring,
		    TP_PROTO(const struct ring *ring, u64 n),
		    TP_ARGS(ring, n),
		    TP_STRUCT__entry(__field(int, vcpu_id)
				     __field(u64, pushed)
				     __field(u64, reset)
				     __field(u64, n)
		    ),
		    TP_fast_assign(__entry->vcpu_id = ring->owner.id;
				   __entry->pushed = ring->hot.pushed;
				   __entry->reset = ring->hot.reset;
				   __entry->n = n;
		    ),
		    TP_printk("vcpu %d pushed %llu reset %llu n %llu", __entry->vcpu_id,
			      __entry->pushed, __entry->reset, __entry->n)
);

/* @n: entries in use */
DEFINE_EVENT(dirty_ring, dirty_ring_notify,
	     TP_PROTO(const struct ring *ring, u64 n),
	     TP_ARGS(ring, n));

/* @n: entries that were reset */
DEFINE_EVENT(dirty_ring, dirty_ring_reset,
	     TP_PROTO(const struct ring *ring, u64 n),
	     TP_ARGS(ring, n));

/* @n: nanoseconds that the vCPU was kept from the guest */
DEFINE_EVENT(dirty_ring, dirty_ring_throttled,
	     TP_PROTO(const struct ring *ring, u64 n),
	     TP_ARGS(ring, n));

/* @n: entries appended from the ring that was given for it */
DEFINE_EVENT(dirty_ring, dirty_ring_move,
	     TP_PROTO(const struct ring *ring, u64 n),
	     TP_ARGS(ring, n));

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
