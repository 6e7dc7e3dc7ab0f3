/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What kvm-core offers to an instance (kvm-intel-N, kvm-amd-N), and all that
 * the two may know of each other. No pointer to one instance's data is ever
 * followed by another.
 *
 * A change of anything here that an instance built earlier would not survive
 * raises KVM_CORE_ABI; kvm-core refuses an instance with another number.
 * The members of structures stay out of the symbol versions (__GENKSYMS__), so
 * that it is this number that decides, and a line with both that is logged.
 */
#ifndef __KVM_CORE_INSTANCE_H
#define __KVM_CORE_INSTANCE_H

#include <linux/bits.h>
#include <linux/types.h>
#include <linux/percpu-defs.h>

#define KVM_CORE_ABI 11

/* Instances have numbers of 1 to KVM_CORE_MAX_NUMBER. */
#define KVM_CORE_MAX_NUMBER 99

struct cpuhp_step;
struct device;
struct dentry;
struct file;
struct file_operations;
struct kvm_stats_desc;
struct mem_cgroup;
struct module;
struct mutex;
struct page;
struct perf_guest_info_callbacks;
struct rw_semaphore;
struct task_struct;
struct vmcb;
struct vmcs;

/* Pages of a vCPU's mapping that every KVM has: kvm_run, PIO data, coalesced MMIO. */
#define KVM_CORE_VCPU_PAGES 3

/* What becomes of a vCPU that gets another posted-interrupt descriptor */
enum kvm_core_pi_use {
	KVM_CORE_PI_ASIDE,	/* it never runs again */
	KVM_CORE_PI_FRESH,	/* it may run, and nobody posts to the descriptor yet */
	KVM_CORE_PI_LIVE,	/* it may run, and devices post to it already */
};

enum kvm_core_vendor {
	KVM_CORE_INTEL,
	KVM_CORE_AMD,
};

/*
 * Of struct kvm_core_vcpu_extra, what waits for the vCPU to run: it was kicked before it
 * halted (KVM_HC_KICK_CPU); userspace has said that it was stopped (KVM_KVMCLOCK_CTRL);
 * the trace flag is set for KVM_GUESTDBG_SINGLESTEP; an interrupt of the PMU; exits to
 * userspace for HV_X64_MSR_CRASH_CTL and HV_X64_MSR_RESET; on intel, the preemption timer
 * of the guest's guest has expired; the pending exception is userspace's, and a hypervisor
 * in the guest has still to be asked for it.
 */
#define KVM_CORE_VCPU_UNHALTED	BIT(0)
#define KVM_CORE_VCPU_STOPPED	BIT(1)
#define KVM_CORE_VCPU_STEPPING	BIT(2)
#define KVM_CORE_VCPU_PMI	BIT(3)
#define KVM_CORE_VCPU_HV_CRASH	BIT(4)
#define KVM_CORE_VCPU_HV_RESET	BIT(5)
#define KVM_CORE_VCPU_L2_TIMER	BIT(6)
#define KVM_CORE_VCPU_ASK_L1	BIT(7)

/**
 * struct kvm_core_tsc - a write to a TSC, with which KVM compares those that follow
 * @generation:	number of the set of TSCs that match
 * @nsec:	when it was, by the clock behind kvmclock
 * @write:	what was written
 * @offset:	TSC offset that came of it
 */
struct kvm_core_tsc {
#ifndef __GENKSYMS__
	u64 generation;
	u64 nsec;
	u64 write;
	u64 offset;
#endif
};

/**
 * struct kvm_core_exception - an exception that KVM has queued
 * @payload:	what it brings into CR2 or DR6
 * @error_code:	of those that have one
 * @vector:	which it is
 * @flags:	KVM_CORE_EXCEPTION_*
 */
struct kvm_core_exception {
#ifndef __GENKSYMS__
	u64 payload;
	u32 error_code;
	u8 vector;
	u8 flags;
#endif
};

#define KVM_CORE_EXCEPTION_PENDING	BIT(0)
#define KVM_CORE_EXCEPTION_INJECTED	BIT(1)
#define KVM_CORE_EXCEPTION_ERROR_CODE	BIT(2)
#define KVM_CORE_EXCEPTION_PAYLOAD	BIT(3)

/* Of Hyper-V's SynIC, by its specification */
#define KVM_CORE_SINTS	16
#define KVM_CORE_STIMERS 4

/**
 * struct kvm_core_synic - what KVM_GET_MSRS does not tell of a vCPU's SynIC and its timers
 * @expires:	when each timer expires next, by the guest's reference time; 0 when it does
 *		not. A periodic one keeps its phase by that.
 * @owed:	timers, a bit each, that have expired, and whose message there was no room for
 * @gsi:	of each SINT, which its EOI is told of, or -1
 */
struct kvm_core_synic {
#ifndef __GENKSYMS__
	u64 expires[KVM_CORE_STIMERS];
	u32 owed;
	s32 gsi[KVM_CORE_SINTS];
#endif
};

/**
 * struct kvm_core_vcpu_extra - state of a vCPU that KVM_GET_* does not tell
 * @last_steal:	time that its thread waited for a CPU, in ns, when the guest's
 *		steal time was last updated
 * @timer_expires: when the LAPIC timer, periodic or one-shot, ticks next, by the
 *		monotonic clock of the host; 0 when a one-shot timer has ticked or
 *		none was started
 * @step_rip:	linear address at which KVM_GUESTDBG_SINGLESTEP was asked for
 * @branch:	on AMD: last branch from and to, last exception from and to, of which
 *		KVM_GET_MSRS shows a half and KVM_SET_MSRS sets nothing
 * @pending_dbg: on intel: debug exceptions that wait for the end of an instruction
 * @soft_int:	on AMD: where the guest's guest was before the software interrupt that its
 *		entry delivers, and where it goes on after that
 * @tsc:	the write that its TSC is from; the offset is KVM_VCPU_TSC_OFFSET
 * @synic:	where the vCPU has one
 * @assist_page: HV_X64_MSR_VP_ASSIST_PAGE
 * @exception:	of the guest, and what is to become an exit to a hypervisor in the guest;
 *		KVM_GET_VCPU_EVENTS shows one, and a pending one as injected
 * @waiting:	KVM_CORE_VCPU_*
 * @external_vector: interrupt that userspace's PIC has asked for (KVM_INTERRUPT),
 *		or -1
 * @nmis:	how many are pending, of which KVM_GET_VCPU_EVENTS tells whether
 * @activity:	on intel: GUEST_ACTIVITY_STATE, of a HLT that makes no exit
 * @branches:	on intel: its last branches are being recorded, in an event of its thread:
 *		the records cannot be taken along
 */
struct kvm_core_vcpu_extra {
#ifndef __GENKSYMS__
	u64 last_steal;
	s64 timer_expires;
	u64 step_rip;
	u64 branch[4];
	u64 pending_dbg;
	u64 soft_int[2];
	struct kvm_core_tsc tsc;
	struct kvm_core_synic synic;
	u64 assist_page;
	struct kvm_core_exception exception[2];
	u32 waiting;
	s32 external_vector;
	u32 nmis;
	u32 activity;
	bool branches;
#endif
};

/* Numbers that vCPUs may have, in any release of KVM */
#define KVM_CORE_VCPU_IDS 16384

/**
 * struct kvm_core_vm_extra - state of a VM that KVM_GET_* does not tell
 * @pit_expires: when the PIT ticks next, by the monotonic clock of the host; 0
 *		when it does not
 * @pit_loaded:	when the count of each of its channels was loaded
 * @pit_pending: ticks that are still to be injected
 * @edges:	pins of the IOAPIC that are high, and whose edge was delivered
 * @tsc_last:	the last write to a TSC; its generation means nothing
 * @tsc_first:	the first one of those that match
 * @tsc_khz:	frequency of the TSC of @tsc_last
 * @rtc_owed:	how many vCPUs have not ended an RTC interrupt that KVM_IRQ_LINE_STATUS
 *		was told of
 * @rtc_map:	numbers of these vCPUs
 * @rtc_vectors: of the last such interrupt, by the vCPU's number
 * @pic_lines:	lines of the PICs that userspace holds high, and that resampling irqfds do
 * @hypercall:	HV_X64_MSR_HYPERCALL
 * @clock_ahead: by how many ns the target's kvmclock is, when all other state is there;
 *		filled in by kvm-core
 * @old_kvmclock: the first vCPU's guest uses the old MSR of kvmclock
 * @tsc_set:	the VMM has set a TSC: its next write may be taken for one that is to match
 */
struct kvm_core_vm_extra {
#ifndef __GENKSYMS__
	s64 pit_expires;
	s64 pit_loaded[3];
	u32 pit_pending;
	u32 edges;
	struct kvm_core_tsc tsc_last;
	struct kvm_core_tsc tsc_first;
	u32 tsc_khz;
	u32 rtc_owed;
	unsigned long rtc_map[KVM_CORE_VCPU_IDS / BITS_PER_LONG];
	u8 rtc_vectors[KVM_CORE_VCPU_IDS];
	u64 hypercall;
	s64 clock_ahead;
	u16 pic_lines[2];
	bool old_kvmclock;
	bool tsc_set;
#endif
};

/* Kinds of MSRs that an instance has in memory, at most */
#define KVM_CORE_MSR_RUNS 4

/**
 * struct kvm_core_msr_run - MSRs that KVM keeps as they are, beside each other
 * @first:	number of the first
 * @nr:		how many
 * @value:	what KVM_GET_MSRS would tell
 */
struct kvm_core_msr_run {
#ifndef __GENKSYMS__
	u32 first;
	u32 nr;
	const u64 *value;
#endif
};

/* Bytes of the name of a statistic, in any release of KVM */
#define KVM_CORE_STATS_NAME 48

/**
 * struct kvm_core_statistics - the statistics of a VM or of a vCPU
 * @desc:	the first of their descriptors, as KVM_GET_STATS_FD shows them; each has a
 *		name of KVM_CORE_STATS_NAME bytes behind it
 * @nr:		how many
 * @data:	what their offsets count from
 */
struct kvm_core_statistics {
#ifndef __GENKSYMS__
	const struct kvm_stats_desc *desc;
	unsigned int nr;
	const void *data;
#endif
};

/**
 * struct kvm_core_stats_run - statistics that go over as one
 * @from:	offset in the source's data
 * @to:		and in the target's
 * @nr:		u64s
 * @peak:	the larger one stays
 */
struct kvm_core_stats_run {
#ifndef __GENKSYMS__
	u32 from;
	u32 to;
	u32 nr;
	bool peak;
#endif
};

/**
 * struct kvm_core_ops - what an instance does for a handoff
 * @vcpu_pages:	the pages behind a new vCPU's mapping, each with a reference
 * @vcpu_stop:	the vCPU is out of the guest and is to stay so. -EAGAIN when
 *		KVM_RUN has to be called once more, with a signal pending, before
 *		KVM_GET_* tells all: an exit of which userspace has not yet seen the
 *		end. -EINPROGRESS and -EALREADY are of such an exit that userspace has
 *		seen, when that is not necessary: the vCPU is shown in front of the
 *		instruction, and without it the exit comes again, or behind it, and
 *		nothing is left to do. Otherwise 0.
 * @vcpu_settle: timers of the vCPU that have expired become interrupts that
 *		KVM_GET_* shows, the others stand still; @extra is filled in
 * @vcpu_go:	undo @vcpu_settle: the vCPU stays here
 * @vcpu_adopt:	the vCPU got all its state by KVM_SET_*, and now gets @extra
 * @vcpu_populate: map what is in memory of the guest's @size bytes at @gpa ahead, as if it
 *		had been read; they are of one memslot that is not logged. Adds to @pages,
 *		also when it is -ENOMEM, else 0. Called again it does the rest.
 * @vcpu_pin:	keep the page tables that the vCPU has now, after @vcpu_populate;
 *		what to give to @vm_unpin, or NULL
 * @vm_unpin:	undo @vcpu_pin, when the vCPUs have begun to run
 * @vm_settle:	as @vcpu_settle, for the PIT and what is the VM's; before KVM_GET_CLOCK
 * @vm_go:	undo @vm_settle
 * @vm_clock:	before KVM_SET_CLOCK: what is computed then depends on @extra
 * @vm_adopt:	as @vcpu_adopt
 * @vcpu_ring_page: page of the vCPU's dirty ring at this offset of its mapping, or
 *		NULL; does not sleep
 * @vm_take_rings: the vCPUs exchange their dirty rings with those of the same number
 *		of another VM, of whichever instance; only the address of @from counts
 * @vm_hold:	the irqfds listen no more (true), and the signals stay in the
 *		eventfds' counters, or listen again. Those of a VM that is set up in
 *		a handoff do not listen at first.
 * @vm_flush:	wait for injections that a signal before @vm_hold has begun. kvm-core has
 *		the eventfds of all irqfds, for this and for the next
 * @vm_bypass:	the irqfds are consumers (true) of the producers (irqbypass) whose
 *		interrupts they deliver, or no longer are
 * @vcpu_pi:	the vCPU's posted-interrupt descriptor (kvm_core_pi_alloc()), NULL
 *		where the vendor has none. With @pi, the vCPU has that one from now on,
 *		and the former is returned. With KVM_CORE_PI_LIVE what the former holds
 *		goes into the LAPIC first, and what @pi holds is left to the next entry;
 *		otherwise the former is not touched. Unless the vCPU never runs again
 *		nothing of the hardware's has the former's address afterwards.
 * @vm_posted:	expect interrupts posted by devices, as if one was assigned (true), or
 *		no more than those of @vm_bypass. -EOPNOTSUPP if the instance would not
 *		see them.
 * @vcpu_msrs:	fills in where MSRs of the vCPU are in memory, as long as there is the vCPU, and
 *		returns how many of @runs. What is there counts once it has stopped. There may be
 *		others than the guest has.
 * @vcpu_stats:	where the vCPU's statistics are
 * @vm_stats:	and the VM's
 * @vcpu_stats_adopt: the vCPU's statistics go on from those at @from; nobody counts
 * @vm_stats_adopt: likewise, and the instance may count meanwhile
 * @vm_noncoherent: there is one device more (1) or less (-1) whose DMA does not snoop
 *		caches, or nothing changes (0). Tells whether there are such devices and
 *		the types of memory in page tables depend on that.
 *
 * @vcpu and @vm are the private data of the files. All are called in the VM's
 * address space, may sleep, and own the vCPU or VM.
 */
struct kvm_core_ops {
#ifndef __GENKSYMS__
	void (*vcpu_pages)(void *vcpu, struct page *pages[KVM_CORE_VCPU_PAGES]);
	int (*vcpu_stop)(void *vcpu);
	void (*vcpu_settle)(void *vcpu, struct kvm_core_vcpu_extra *extra);
	void (*vcpu_go)(void *vcpu);
	void (*vcpu_adopt)(void *vcpu, const struct kvm_core_vcpu_extra *extra);
	int (*vcpu_populate)(void *vcpu, u64 gpa, u64 size, u64 *pages);
	void *(*vcpu_pin)(void *vcpu);
	void (*vm_unpin)(void *vm, void *pin);
	void (*vm_settle)(void *vm, struct kvm_core_vm_extra *extra);
	void (*vm_go)(void *vm, const struct kvm_core_vm_extra *extra);
	void (*vm_clock)(void *vm, const struct kvm_core_vm_extra *extra);
	void (*vm_adopt)(void *vm, const struct kvm_core_vm_extra *extra);
	struct page *(*vcpu_ring_page)(void *vcpu, unsigned long pgoff);
	int (*vm_take_rings)(void *vm, const void *from);
	void (*vm_hold)(void *vm, bool hold);
	void (*vm_flush)(void *vm);
	void (*vm_bypass)(void *vm, bool on);
	void *(*vcpu_pi)(void *vcpu, void *pi, enum kvm_core_pi_use use);
	int (*vm_posted)(void *vm, bool on);
	bool (*vm_noncoherent)(void *vm, int change);
	unsigned int (*vcpu_msrs)(void *vcpu,
				  struct kvm_core_msr_run runs[KVM_CORE_MSR_RUNS]);
	void (*vcpu_stats)(void *vcpu, struct kvm_core_statistics *stats);
	void (*vm_stats)(void *vm, struct kvm_core_statistics *stats);
	void (*vcpu_stats_adopt)(void *vcpu, const struct kvm_core_stats_run *runs,
				 unsigned int nr, const void *from);
	void (*vm_stats_adopt)(void *vm, const struct kvm_core_stats_run *runs,
			       unsigned int nr, const void *from);
#endif
};

/**
 * struct kvm_core_instance - an instance, as it introduces itself
 * @abi:	KVM_CORE_ABI of the header the instance was built with. First, so
 *		that every kvm-core can read it.
 * @number:	N of the module's name
 * @vendor:	what the CPU must have
 * @name:	name of the module with dashes, "kvm-amd-1"
 * @source:	release of the kernel source that it was built from
 * @owner:	the module
 * @entry_checks: set by kvm_core_register(): the instance calls
 *		kvm_core_check_svm() or kvm_core_check_vmx() before each VM entry
 * @ops:	its part in a handoff
 * @trace:	attach (on) or remove (not on) a probe of the instance's own that
 *		calls the kvm_core_trace_*() function of @event (enum
 *		kvm_core_event); 0 or an errno. Called from kvm_core_publish(),
 *		kvm_core_unpublish(), and in between from a worker; sleeps.
 * @priv:	kvm-core's
 *
 * Constant from kvm_core_register() to kvm_core_unregister(), @priv aside.
 */
struct kvm_core_instance {
	unsigned int abi;
#ifndef __GENKSYMS__
	unsigned int number;
	enum kvm_core_vendor vendor;
	const char *name;
	const char *source;
	struct module *owner;
	bool entry_checks;
	const struct kvm_core_ops *ops;
	int (*trace)(unsigned int event, bool on);
	void *priv;
#endif
};

/* Events of the trace system "kvm" */
enum kvm_core_event {
	KVM_CORE_EVENT_ENTRY,
	KVM_CORE_EVENT_EXIT,
	KVM_CORE_EVENT_MMIO,
	KVM_CORE_EVENT_PIO,
	KVM_CORE_EVENT_MSR,
	KVM_CORE_EVENTS,
};

/**
 * struct kvm_core_exit - a VM exit, for kvm_core_trace_exit()
 * @vcpu_id:	number of the vCPU in its VM
 * @isa:	1 for VMX, 2 for SVM
 * @reason:	in the numbers of that
 * @intr_info:	interruption information
 * @error_code:	of an exception
 * @rip:	of the guest
 * @info1:	exit qualification, EXITINFO1
 * @info2:	IDT-vectoring information, EXITINFO2
 */
struct kvm_core_exit {
	unsigned int vcpu_id;
	u32 isa;
	u32 reason;
	u32 intr_info;
	u32 error_code;
	unsigned long rip;
	u64 info1;
	u64 info2;
};

/* Registration: instance.c */
int kvm_core_register(struct kvm_core_instance *inst);
void kvm_core_unregister(struct kvm_core_instance *inst);
int kvm_core_publish(struct kvm_core_instance *inst,
		     const struct file_operations *fops, struct device **dev);
void kvm_core_unpublish(struct kvm_core_instance *inst);
void kvm_core_fail(struct kvm_core_instance *inst, const char *reason);

/* Descriptors: file.c */
int kvm_core_getfd(struct kvm_core_instance *inst, const char *name,
		   const struct file_operations *fops, void *priv, int flags,
		   const void *vm);
struct file *kvm_core_getfile(struct kvm_core_instance *inst, const char *name,
			      const struct file_operations *fops, void *priv,
			      int flags, const void *vm);
const struct file_operations *kvm_core_file_fops(const struct file *file);
void kvm_core_file_number(const struct file *file, int fd);
void kvm_core_count_vm(bool created, bool destroyed,
		       unsigned long long *created_out,
		       unsigned long long *active_out);

/* A task that calls ioctls for kvm-core: mark.c */
bool kvm_core_replaying(void);
bool kvm_core_alloc_begin(gfp_t *gfp, struct mem_cgroup **outer);
void kvm_core_alloc_end(struct mem_cgroup *outer);
bool kvm_core_arg(const void *at, size_t len, bool write);
bool kvm_core_arg_file(unsigned int fd, struct file **file);
bool kvm_core_nowait(void);
int kvm_core_replay_fd(void);
void kvm_core_replay_made(struct file *file);
int kvm_core_owner_pid(void);
struct page *kvm_core_vcpu_page(unsigned int which);

/* Virtualization of the CPU: cpu.c */
extern bool kvm_rebooting;

int kvm_core_cpu_get(struct kvm_core_instance *inst);
void kvm_core_cpu_put(struct kvm_core_instance *inst);
int kvm_core_cpuhp_setup(struct kvm_core_instance *inst, int state, bool invoke,
			 int (*startup)(unsigned int cpu),
			 int (*teardown)(unsigned int cpu));
void kvm_core_cpuhp_remove(struct kvm_core_instance *inst, int state,
			   bool invoke);
void kvm_core_syscore_set(struct kvm_core_instance *inst, int (*suspend)(void),
			  void (*resume)(void));

/* Which instance a CPU works for: switch.c */
DECLARE_PER_CPU(struct kvm_core_instance *, kvm_core_active);

void kvm_core_switch(struct kvm_core_instance *inst);

/*
 * Called when a vCPU is loaded on this CPU, with preemption disabled. A macro,
 * because this header comes before the kernel's own in every file of KVM.
 */
#define kvm_core_vcpu_load(inst)					\
do {									\
	struct kvm_core_instance *__inst = (inst);			\
									\
	if (unlikely(__this_cpu_read(kvm_core_active) != __inst))	\
		kvm_core_switch(__inst);				\
} while (0)

/* User-return MSRs, and MSRs sampled before any guest ran: uret.c */
int kvm_core_uret_add(struct kvm_core_instance *inst, u32 msr);
u32 kvm_core_uret_msr(unsigned int slot);
int kvm_core_uret_set(unsigned int slot, u64 value, u64 mask);
u64 kvm_core_host_efer(void);
u64 kvm_core_host_xss(void);

/* Callbacks of which the kernel has one: callbacks.c */
int kvm_core_perf_set(struct kvm_core_instance *inst,
		      struct perf_guest_info_callbacks *cbs);
void kvm_core_wakeup_set(struct kvm_core_instance *inst, void (*handler)(void));
void kvm_core_emergency_set(struct kvm_core_instance *inst,
			    void (*handler)(void));
int kvm_core_ga_log_set(struct kvm_core_instance *inst, int (*handler)(u32));
void kvm_core_hv_tsc_set(struct kvm_core_instance *inst, void (*handler)(void));

/* What the probes of an instance call: trace.c */
void kvm_core_trace_entry(unsigned int vcpu_id, unsigned long rip,
			  bool immediate_exit);
void kvm_core_trace_exit(const struct kvm_core_exit *exit);
void kvm_core_trace_mmio(u32 type, u32 len, u64 gpa, u64 val);
void kvm_core_trace_pio(unsigned int rw, unsigned int port, unsigned int size,
			unsigned int count, unsigned int val);
void kvm_core_trace_msr(unsigned int write, u32 msr, u64 data, bool exception);

/* With entry_checks, before each VM entry: check.c */
void kvm_core_check_tsc_offset(struct kvm_core_instance *inst, u64 found,
			       u64 expected);

/* VMX: vmx.c */
DECLARE_PER_CPU(struct vmcs *, kvm_core_current_vmcs);

int kvm_core_vmx_setup(void);
int kvm_core_vpid_get(struct kvm_core_instance *inst);
void kvm_core_vpid_put(struct kvm_core_instance *inst, int vpid);
int kvm_core_l1tf(struct kvm_core_instance *inst, int state);
void kvm_core_check_vmx(struct kvm_core_instance *inst, const void *vcpu,
			const struct vmcs *vmcs, int vpid);
void kvm_core_check_pi(struct kvm_core_instance *inst, u64 found, u64 expected);

/* Posted-interrupt descriptors and who posts to them: pi.c */
void *kvm_core_pi_alloc(void);
void kvm_core_pi_put(void *pi);
int kvm_core_irq_post(unsigned int irq, void *info);
bool kvm_core_irq_posting(void);

/* Irqfds that get interrupts without the device's driver: bypass.c */
struct irq_bypass_consumer;
int kvm_core_bypass_add(struct irq_bypass_consumer *consumer);
void kvm_core_bypass_del(struct irq_bypass_consumer *consumer, bool handoff);

/* SVM: svm.c */

/**
 * struct kvm_core_svm - what SVM has once per CPU
 * @asid_generation: raised when the ASIDs of this CPU start anew; never reset
 * @max_asid:	highest ASID of the CPU
 * @min_asid:	lowest ASID that is not SEV's
 * @next_asid:	next to give away
 * @current_vmcb: the VMCB that was loaded last, of whichever instance; only
 *		compared, never followed
 * @save_area:	page of VM_HSAVE_PA
 * @bp_spec_reduce_set: BP_SPEC_REDUCE is set, for as long as the host has VMs
 *
 * Written on its own CPU only with interrupts or preemption disabled,
 * @current_vmcb also by cmpxchg() from another CPU when a VMCB is freed.
 */
struct kvm_core_svm {
#ifndef __GENKSYMS__
	u64 asid_generation;
	u32 max_asid;
	u32 min_asid;
	u32 next_asid;
	struct vmcb *current_vmcb;
	struct page *save_area;
	bool bp_spec_reduce_set;
#endif
};

DECLARE_PER_CPU(struct kvm_core_svm, kvm_core_svm);
DECLARE_PER_CPU(u64, kvm_core_tsc_ratio);

enum kvm_core_sev_bitmap {
	KVM_CORE_SEV_USED,
	KVM_CORE_SEV_RECLAIM,
	KVM_CORE_SEV_BITMAPS,
};

extern struct mutex kvm_core_sev_bitmap_lock;
extern struct rw_semaphore kvm_core_sev_deactivate_lock;
extern struct spinlock kvm_core_srso_lock;
extern atomic_t kvm_core_srso_vms;

/* In what kvm_core_asid_next() returns, beside the ASID. */
#define KVM_CORE_ASID_FLUSH	BIT_ULL(32)

struct page *kvm_core_save_area(int cpu);
u64 kvm_core_asid_next(struct kvm_core_instance *inst, const void *vcpu,
		       u64 *generation);
u32 kvm_core_avic_id_get(void);
void kvm_core_avic_id_put(u32 id);
unsigned long *kvm_core_sev_bitmap(enum kvm_core_sev_bitmap which,
				   unsigned int bits);
int kvm_core_misc_cg_set_capacity(struct kvm_core_instance *inst, int type,
				  unsigned long capacity);
bool kvm_core_sev_last(struct kvm_core_instance *inst);
void kvm_core_check_svm(struct kvm_core_instance *inst, const void *vcpu,
			u64 save_area_pa, u32 asid, u64 generation);

#endif
