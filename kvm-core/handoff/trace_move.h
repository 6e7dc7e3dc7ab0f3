/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The event of the trace system "kvm_core": a stage of a handoff has ended.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM kvm_core

#if !defined(__KVM_CORE_TRACE_MOVE_H) || defined(TRACE_HEADER_MULTI_READ)
#define __KVM_CORE_TRACE_MOVE_H

#include <linux/tracepoint.h>
#include <linux/kvm_core.h>
#include <relay/compat.h>

TRACE_EVENT(kvm_core_move,
	    TP_PROTO(int vm, const char *to, unsigned int stage, u64 ns, int error),
	    TP_ARGS(vm, to, stage, ns, error),
	    TP_STRUCT__entry(__field(int, vm)
			     __string(to, to)
			     __field(unsigned int, stage)
			     __field(u64, ns)
			     __field(int, error)
	    ),
	    TP_fast_assign(__entry->vm = vm;
			   relay_assign_str(to, to);
			   __entry->stage = stage;
			   __entry->ns = ns;
			   __entry->error = error;
	    ),
	    TP_printk("vm %d to %s: %s in %llu ns, error %d", __entry->vm,
		      __get_str(to),
		      __print_symbolic(__entry->stage,
				       { KVM_CORE_STAGE_RECORD, "record" },
				       { KVM_CORE_STAGE_PREPARE, "prepare" },
				       { KVM_CORE_STAGE_STOP, "stop" },
				       { KVM_CORE_STAGE_QUIESCE, "quiesce" },
				       { KVM_CORE_STAGE_MOVE, "move" },
				       { KVM_CORE_STAGE_COMMIT, "commit" },
				       { KVM_CORE_STAGE_RETIRE, "retire" }),
		      __entry->ns, __entry->error)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace_move
#include <trace/define_trace.h>
