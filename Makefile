# SPDX-License-Identifier: GPL-2.0-only
#
# kvm-relay: several KVMs on one host. "make help" lists the targets.

SHELL := /bin/bash

# A kernel of another series than the distribution's has a build directory of its own.
KVER ?= $(KVM_RELAY_KVER)
RELAY_SERIES := $(filter-out $(shell KVM_RELAY_KVER= scripts/deps kver | cut -d. -f1-2),\
	$(shell echo '$(KVER)' | sed 's/^\([0-9]*\.[0-9]*\).*/\1/'))
O ?= $(CURDIR)/build$(RELAY_SERIES:%=-%)
override O := $(abspath $(O))
override KVER := $(shell scripts/deps kver $(KVER))
KDIR ?= /usr/src/linux-headers-$(KVER)
# For the scripts and the tests.
export KVM_RELAY_KVER := $(KVER)
export KVM_RELAY_BUILD := $(O)
# O= is not for the kernel's make, to which it means another thing.
MAKEOVERRIDES =

# What "make" builds as instances 1 and 2.
KVM_VERSION_1 ?= oldest
KVM_VERSION_2 ?= newest
# For what is compiled in one go, as kvm-n/build does; make -jN has its own.
JOBS = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))
# Whose CPUs they are for.
VENDORS ?= intel amd

.PHONY: all help modules once kvm-core dirty-ring vfio-keepalive poster iommu-digest mdev-null text-twice gup-wait instances instance \
	kvmctl tools kselftest check check-parallel check-debug mutation demo bench lint members series-report clean install deb \
	other-series \
	prepare

all: modules tools

help:
	@sed -n 's/^#: //p' $(firstword $(MAKEFILE_LIST))

#: make            build kvm-core.ko, dirty-ring.ko, vfio-keepalive.ko, instances 1 and 2
#:                 of both vendors, tools, into build/
#: make instance VENDOR=intel|amd N=1..99 [KVM_VERSION=6.1.176-1 | KVM_SRC=TREE]
#:                 build one instance
#: make check [T=NAME]   build and run all tests, or one
#: make check KVER=6.12   the same on another series' kernel and instances of it, but for
#:                 a few tests that are of 6.1 alone
#: make check-parallel   races, on a host whose CPUs are emulated at once; its emulator may fail
#: make check-debug   handoffs, sessions and hostile VMMs on kernels that find mistakes (KASAN,
#:                 lockdep, kmemleak) and data races (KCSAN), which it builds first
#: make mutation   take ownerships away from kvm-core, and see that tests fail
#: make demo       two KVMs on one emulated host, a guest is moved from one to the other
#: make bench      measure, and write Documentation/performance.rst (with KVER=6.12
#:                 performance-6.12.rst)
#: make members    compare kvm-n/members.tsv with the structures of the instances
#: make lint       checkpatch, sparse, W=1, coccicheck, shellcheck
#: make kselftest  build the kernel's own KVM selftests
#: make install    install modules, udev rule, kvmctl and libkvmrelay (DESTDIR=)
#: make deb [MODULES=1]   Debian packages of the tools, of the sources for DKMS, and of the
#:                 modules, into build/deb/
#: make clean
#: make series-report KVM_SRC=TREE   which transformations another KVM would miss
#: Variables: KVER= kernel to build for, a release or a series (6.12), O= where to build,
#:                 KDIR= kernel headers, KVM_VERSION_1= KVM_VERSION_2=

prepare:
	@scripts/deps build

modules: kvm-core dirty-ring vfio-keepalive instances

# Modules that are there once: a copy of what Kbuild names, built in one go.
kvm-core dirty-ring vfio-keepalive: once

once: prepare
	@mkdir -p $(O)/once
	@rsync -rc --delete --exclude='*.o' --exclude='.*' --exclude='*.ko' --exclude='*.mod*' \
		--exclude='Module.symvers' --exclude='modules.order' \
		Kbuild kvm-core dirty-ring vfio-keepalive $(O)/once/
	@$(MAKE) -s $(JOBS) -C $(KDIR) M=$(O)/once W=1 RELAY_TOP=$(CURDIR) modules
	@for m in kvm-core dirty-ring vfio-keepalive; do \
		scripts/install-module $(O)/once/$$m/$$m.ko $(O)/$$m.ko || exit; done

# Transforming is the work of one CPU.
instances: kvm-core dirty-ring
	@kvm-n/build -o $(O) -k $(KDIR) -t -v $(KVM_VERSION_1) & \
		kvm-n/build -o $(O) -k $(KDIR) -t -v $(KVM_VERSION_2) && wait $$!
	@kvm-n/build -o $(O) -k $(KDIR) -v $(KVM_VERSION_1) $(VENDORS:%=%-1)
	@kvm-n/build -o $(O) -k $(KDIR) -v $(KVM_VERSION_2) $(VENDORS:%=%-2)

# Stands in for an IOMMU that posts interrupts.
poster: kvm-core
	@mkdir -p $(O)/poster
	@rsync -rc selftests/poster/ $(O)/poster/
	@$(MAKE) -s -C $(KDIR) M=$(O)/poster W=1 RELAY_TOP=$(CURDIR) \
		KBUILD_EXTRA_SYMBOLS=$(O)/once/Module.symvers modules
	@scripts/install-module $(O)/poster/poster.ko $(O)/poster.ko

# One reads the tables of an IOMMU, one is an mdev, one is for a host with CPUs in parallel,
# one for a test of pages that go away.
iommu-digest mdev-null text-twice gup-wait: prepare
	@mkdir -p $(O)/$@
	@rsync -rc selftests/$@/ $(O)/$@/
	@$(MAKE) -s -C $(KDIR) M=$(O)/$@ W=1 RELAY_TOP=$(CURDIR) modules
	@scripts/install-module $(O)/$@/$@.ko $(O)/$@.ko

# amd-99 is refused by kvm-core: for the test of that.
test-modules: kvm-core dirty-ring poster iommu-digest mdev-null text-twice gup-wait
	@kvm-n/build -o $(O) -k $(KDIR) -v $(KVM_VERSION_2) -a 99 amd-99
	@kvm-n/build -o $(O) -k $(KDIR) -v $(KVM_VERSION_2) amd-3 intel-3

instance: kvm-core dirty-ring
	@if [ -z "$(VENDOR)" ] || [ -z "$(N)" ]; then \
		echo "make instance needs VENDOR=intel|amd and N=1..99" >&2; exit 2; fi
	@kvm-n/build -o $(O) -k $(KDIR) \
		$(if $(KVM_SRC),-s $(KVM_SRC),-v $(or $(KVM_VERSION),newest)) $(VENDOR)-$(N)

kvmctl: prepare
	@$(MAKE) -s $(JOBS) -C tools/kvmctl O=$(O)

tools: kvmctl
	@$(MAKE) -s $(JOBS) -C libkvmrelay O=$(O)
	@$(MAKE) -s $(JOBS) -C selftests/libkvmrelay O=$(O)
	@$(MAKE) -s $(JOBS) -C selftests/vmm O=$(O)
	@$(MAKE) -s $(JOBS) -C selftests/vfio O=$(O)
	@$(MAKE) -s $(JOBS) -C tools/kvm-relay-hold O=$(O)
	@$(MAKE) -s $(JOBS) -C selftests/load O=$(O)

kselftest:
	@scripts/kselftest $(O)/kselftest

check: modules tools test-modules kselftest $(if $(RELAY_SERIES),,other-series)
	@selftests/run-tests $(T)

# What the tests on-* want, on the kernel of a series that the distribution has besides.
other-series:
	@[ -n "$$(KVM_RELAY_KVER= scripts/deps kver | sed -n '/^6[.]1[.]/p')" ] || exit 0; \
		$(MAKE) --no-print-directory KVER=6.12 modules tools gup-wait

check-parallel: modules tools test-modules
	@selftests/run-tests pass-parallel stress-parallel move-parallel hostile-parallel dirty-ring-parallel

check-debug:
	@selftests/run-tests debug-move debug-vfio-keepalive debug-hostile debug-race

mutation: modules tools test-modules
	@selftests/mutate -k $(KDIR)

# Its host is AMD's. What it wants of the archive comes while that is compiled.
demo:
	@selftests/demo --prepare & \
		$(MAKE) --no-print-directory O=$(O) KVM_VERSION_1=$(KVM_VERSION_1) \
			KVM_VERSION_2=$(KVM_VERSION_2) VENDORS=amd modules kvmctl && wait $$! && selftests/demo

bench: modules tools test-modules
	@selftests/bench

lint: modules
	@scripts/lint -o $(O) -k $(KDIR)

series-report:
	@scripts/series-report $(KVM_SRC)

members: instances
	@scripts/members -o $(O)

install:
	@scripts/install -o $(O) $(if $(DESTDIR),-d $(DESTDIR))

deb: $(if $(MODULES),modules)
	@scripts/deb $(if $(MODULES),-m) -o $(O)

clean:
	rm -rf $(O)
