// SPDX-License-Identifier: GPL-2.0-only
// As syscore-ops. What KVM does at a shutdown kvm-core does for all instances.
@@
@@
- kvm_shutdown(void) { ... }

@@
@@
- register_syscore_ops(&kvm_syscore_ops);
+ kvm_core_syscore_set(&kvm_relay_instance, kvm_suspend, kvm_resume);

@@
@@
- unregister_syscore_ops(&kvm_syscore_ops);
+ kvm_core_syscore_set(&kvm_relay_instance, NULL, NULL);
