# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# A Debian with dpkg, apt and systemd, to be a root of its own in a test host. To be sourced
# after lib.sh.

# What a system has that runs VMs, and what kvm-relay-tools depends on: a host has no network.
HOST_DEBIAN="systemd udev kmod procps libjansson4 libelf1"

# For libvirt, of backports, with QEMU 11 from there.
HOST_LIBVIRT="dbus libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86"

# host_set_debian KVER BUILD: print its image.
host_set_debian()
{
	host_debian_image debian "$HOST_DEBIAN" trixie
}

# host_set_libvirt KVER BUILD: the same with libvirt and QEMU.
host_set_libvirt()
{
	host_debian_image libvirt "$HOST_DEBIAN $HOST_LIBVIRT" trixie-backports
}

# host_debian_image SET PACKAGES SUITE: print the image of a Debian trixie with PACKAGES of SUITE.
host_debian_image()
(
	set -eu
	local set=$1 packages=$2 suite=$3 out tmp log rc sources=()

	relay_need squashfs-tools mmdebstrap
	out=$RELAY_CACHE/host/$set-$(host_digest "$HOST_DIR/debian.sh").sqfs
	if [ -e "$out" ]; then
		echo "$out"
		exit 0
	fi
	relay_lock "set-$set"
	if [ -e "$out" ]; then
		echo "$out"
		exit 0
	fi
	relay_say "making the set $set"
	mkdir -p "$RELAY_CACHE/host"
	tmp=$RELAY_CACHE/host/.tmp.$set
	log=$RELAY_CACHE/host/$set.log
	rm -rf "$tmp"
	sources=("deb $RELAY_MIRROR trixie main")
	[ "$suite" = trixie ] || sources+=("deb $RELAY_MIRROR $suite main")
	# Of the release whose libraries the set qemu11 has.
	if ! mmdebstrap --mode=root --variant=apt --include="${packages// /,}" \
		--aptopt="APT::Default-Release \"$suite\"" --aptopt='APT::Install-Recommends "false"' \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		trixie "$tmp" "${sources[@]}" >"$log" 2>&1; then
		rc=0
		relay_apt_why "$log" || rc=$?
		relay_say "cannot make the set $set (log: $log)"
		rm -rf "$tmp"
		exit "$rc"
	fi
	# The manual pages of the packages that are tried are to be there.
	rm -f "$tmp/etc/dpkg/dpkg.cfg.d/99mmdebstrap" "$tmp/etc/apt/apt.conf.d/99mmdebstrap"
	host_sqfs "$out" "$tmp"
	rm -rf "$tmp"
	find "$RELAY_CACHE/host" -maxdepth 1 -name "$set-*.sqfs" -mtime +2 -delete
	echo "$out"
)
