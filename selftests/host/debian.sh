# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# A Debian with dpkg, apt and systemd, to be a root of its own in a test host. To be sourced
# after lib.sh.

# What a system has that runs VMs, and what kvm-relay-tools depends on: a host has no network.
HOST_DEBIAN="systemd udev kmod procps libjansson4 libelf1"

# host_set_debian KVER BUILD: print its image.
host_set_debian()
(
	set -eu
	local out tmp log rc

	relay_need squashfs-tools mmdebstrap
	out=$RELAY_CACHE/host/debian-$(host_digest "$HOST_DIR/debian.sh").sqfs
	if [ -e "$out" ]; then
		echo "$out"
		exit 0
	fi
	relay_lock set-debian
	if [ -e "$out" ]; then
		echo "$out"
		exit 0
	fi
	relay_say "making the set debian"
	mkdir -p "$RELAY_CACHE/host"
	tmp=$RELAY_CACHE/host/.tmp.debian
	log=$RELAY_CACHE/host/debian.log
	rm -rf "$tmp"
	# Of the release whose libraries the set qemu11 has.
	if ! mmdebstrap --mode=root --variant=apt --include="${HOST_DEBIAN// /,}" \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		trixie "$tmp" "$RELAY_MIRROR" >"$log" 2>&1; then
		rc=0
		relay_apt_why "$log" || rc=$?
		relay_say "cannot make the set debian (log: $log)"
		rm -rf "$tmp"
		exit "$rc"
	fi
	# The manual pages of the packages that are tried are to be there.
	rm -f "$tmp/etc/dpkg/dpkg.cfg.d/99mmdebstrap"
	host_sqfs "$out" "$tmp"
	rm -rf "$tmp"
	find "$RELAY_CACHE/host" -maxdepth 1 -name 'debian-*.sqfs' -mtime +2 -delete
	echo "$out"
)
