/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The events of the trace system "kvm", for tools that insist on its name
 * (perf kvm stat). Names and types of the fields are those of KVM's own events:
 * tools look for them.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM kvm

#if !defined(__KVM_CORE_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define __KVM_CORE_TRACE_H

#include <linux/tracepoint.h>
#include <asm/svm.h>
#include <asm/vmx.h>

#include <kvm-core/instance.h>

int core_trace_entry_reg(void);
void core_trace_entry_unreg(void);
int core_trace_exit_reg(void);
void core_trace_exit_unreg(void);
int core_trace_mmio_reg(void);
void core_trace_mmio_unreg(void);
int core_trace_pio_reg(void);
void core_trace_pio_unreg(void);
int core_trace_msr_reg(void);
void core_trace_msr_unreg(void);

TRACE_EVENT_FN(kvm_entry,
	       TP_PROTO(unsigned int vcpu_id, unsigned long rip, bool immediate_exit),
	       TP_ARGS(vcpu_id, rip, immediate_exit),
	       TP_STRUCT__entry(__field(unsigned int, vcpu_id)
				__field(unsigned long, rip)
				__field(bool, immediate_exit)
	       ),
	       TP_fast_assign(__entry->vcpu_id = vcpu_id;
			      __entry->rip = rip;
			      __entry->immediate_exit = immediate_exit;
	       ),
	       TP_printk("vcpu %u rip 0x%lx%s", __entry->vcpu_id, __entry->rip,
			 __entry->immediate_exit ? " to exit at once" : ""),
	       core_trace_entry_reg, core_trace_entry_unreg);

TRACE_EVENT_FN(kvm_exit,
	       TP_PROTO(const struct kvm_core_exit *exit),
	       TP_ARGS(exit),
	       TP_STRUCT__entry(__field(unsigned int, exit_reason)
				__field(unsigned long, guest_rip)
				__field(u32, isa)
				__field(u64, info1)
				__field(u64, info2)
				__field(u32, intr_info)
				__field(u32, error_code)
				__field(unsigned int, vcpu_id)
	       ),
	       TP_fast_assign(__entry->exit_reason = exit->reason;
			      __entry->guest_rip = exit->rip;
			      __entry->isa = exit->isa;
			      __entry->info1 = exit->info1;
			      __entry->info2 = exit->info2;
			      __entry->intr_info = exit->intr_info;
			      __entry->error_code = exit->error_code;
			      __entry->vcpu_id = exit->vcpu_id;
	       ),
	       /* The upper half of VMX's reason has flags; of SVM's, it is a code. */
	       TP_printk("vcpu %u reason %s (0x%x) rip 0x%lx info 0x%llx 0x%llx intr_info 0x%x error_code 0x%x",
			 __entry->vcpu_id,
			 __entry->isa == 1 ?
			 __print_symbolic(__entry->exit_reason & 0xffff, VMX_EXIT_REASONS) :
			 __print_symbolic(__entry->exit_reason, SVM_EXIT_REASONS),
			 __entry->exit_reason, __entry->guest_rip,
			 __entry->info1, __entry->info2,
			 __entry->intr_info, __entry->error_code),
	       core_trace_exit_reg, core_trace_exit_unreg);

TRACE_EVENT_FN(kvm_mmio,
	       TP_PROTO(u32 type, u32 len, u64 gpa, u64 val),
	       TP_ARGS(type, len, gpa, val),
	       TP_STRUCT__entry(__field(u32, type)
				__field(u32, len)
				__field(u64, gpa)
				__field(u64, val)
	       ),
	       TP_fast_assign(__entry->type = type;
			      __entry->len = len;
			      __entry->gpa = gpa;
			      __entry->val = val;
	       ),
	       TP_printk("%s of %u bytes at 0x%llx: 0x%llx",
			 __print_symbolic(__entry->type, { 0, "unsatisfied read" },
					  { 1, "read" }, { 2, "write" }),
			 __entry->len, __entry->gpa, __entry->val),
	       core_trace_mmio_reg, core_trace_mmio_unreg);

TRACE_EVENT_FN(kvm_pio,
	       TP_PROTO(unsigned int rw, unsigned int port, unsigned int size,
			unsigned int count, unsigned int val),
	       TP_ARGS(rw, port, size, count, val),
	       TP_STRUCT__entry(__field(unsigned int, rw)
				__field(unsigned int, port)
				__field(unsigned int, size)
				__field(unsigned int, count)
				__field(unsigned int, val)
	       ),
	       TP_fast_assign(__entry->rw = rw;
			      __entry->port = port;
			      __entry->size = size;
			      __entry->count = count;
			      __entry->val = val;
	       ),
	       TP_printk("%s of %u x %u bytes at port 0x%x: 0x%x",
			 __entry->rw ? "write" : "read", __entry->count,
			 __entry->size, __entry->port, __entry->val),
	       core_trace_pio_reg, core_trace_pio_unreg);

TRACE_EVENT_FN(kvm_msr,
	       TP_PROTO(unsigned int write, u32 ecx, u64 data, u8 exception),
	       TP_ARGS(write, ecx, data, exception),
	       TP_STRUCT__entry(__field(unsigned int, write)
				__field(u32, ecx)
				__field(u64, data)
				__field(u8, exception)
	       ),
	       TP_fast_assign(__entry->write = write;
			      __entry->ecx = ecx;
			      __entry->data = data;
			      __entry->exception = exception;
	       ),
	       TP_printk("%s of MSR 0x%x: 0x%llx%s",
			 __entry->write ? "write" : "read", __entry->ecx,
			 __entry->data, __entry->exception ? ", refused" : ""),
	       core_trace_msr_reg, core_trace_msr_unreg);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
