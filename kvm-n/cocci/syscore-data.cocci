// SPDX-License-Identifier: GPL-2.0-only
// As syscore.cocci, where the kernel hands its callbacks a pointer. kvm-core does not.
@@
@@
- static struct syscore kvm_syscore = { ... };

@@
identifier fn = { kvm_suspend, kvm_resume };
identifier data;
@@
 fn(
- void *data
+ void
 ) { ... }

@@
identifier data;
@@
- kvm_shutdown(void *data) { ... }

@@
@@
- register_syscore(&kvm_syscore);
+ kvm_core_syscore_set(&kvm_relay_instance, kvm_suspend, kvm_resume);

@@
@@
- unregister_syscore(&kvm_syscore);
+ kvm_core_syscore_set(&kvm_relay_instance, NULL, NULL);
