// SPDX-License-Identifier: GPL-2.0-only
/*
 * What kvm-core allocates for a handoff fails where it would end with the OOM killer.
 * Linked where the kernel has no other way to say so (Kbuild).
 */
#include <relay/alloc.h>
