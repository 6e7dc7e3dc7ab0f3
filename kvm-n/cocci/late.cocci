// SPDX-License-Identifier: GPL-2.0-only
// Who destroys a vCPU does not wait for pages of its VMM's, nor do the kernel's own works.
@@
identifier locked;
@@
 async_pf_execute(...)
 {
 <...
- int locked = 1;
 ...>
 }

@@
expression mm, addr;
identifier locked;
@@
 async_pf_execute(...)
 {
 <...
- mmap_read_lock(mm);
- get_user_pages_remote(mm, addr, ...);
- if (locked)
- 	mmap_read_unlock(mm);
+ kvm_relay_late_fetch(mm, addr);
 ...>
 }

@@
expression work;
@@
 kvm_clear_async_pf_completion_queue(...)
 {
 <...
- cancel_work_sync(work)
+ kvm_relay_late_cut(work)
 ...>
 }

@@
expression vcpu, max, work;
@@
 kvm_setup_async_pf(...)
 {
 ...
- if (vcpu->async_pf.queued >= max)
+ if (vcpu->async_pf.queued >= max || !kvm_relay_late_room())
 	return false;
 ...
- schedule_work(work);
+ kvm_relay_late_queue(work);
 ...
 }
