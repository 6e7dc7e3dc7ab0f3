// SPDX-License-Identifier: GPL-2.0-only
// A VM is named after the process that it belongs to, whoever creates it.
@@
@@
- task_pid_nr(current)
+ kvm_core_owner_pid()
