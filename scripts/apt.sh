# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Packages of the Debian archive for the project's scripts: install what is
# missing, download without installing, unpack a program with every library it
# needs into a directory of its own. To be sourced.
#
# Variables: KVM_RELAY_CACHE (default ${XDG_CACHE_HOME:-$HOME/.cache}/kvm-relay)
#            KVM_RELAY_MIRROR (default http://deb.debian.org/debian)
#            KVM_RELAY_OFFLINE (not empty: nothing is installed)
#            KVM_RELAY_KVER (a release of the kernel, or a series of which it is the
#            newest; default: the kernel linux-headers-amd64 depends on)
#
# Exit codes of the functions: 0, 204 a package is missing, 205 no network.

RELAY_CACHE=${KVM_RELAY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kvm-relay}
RELAY_MIRROR=${KVM_RELAY_MIRROR:-http://deb.debian.org/debian}
RELAY_E_PACKAGE=204
RELAY_E_NETWORK=205

relay_say()
{
	printf '%s: %s\n' "${RELAY_NAME:-kvm-relay}" "$*" >&2
}

# relay_lock NAME: hold the cache's lock NAME until the calling subshell ends.
relay_lock()
{
	mkdir -p "$RELAY_CACHE/lock"
	exec {relay_lock_fd}>"$RELAY_CACHE/lock/$1"
	if ! flock -n "$relay_lock_fd"; then
		relay_say "waiting for another run that makes $1"
		flock "$relay_lock_fd"
	fi
}

# relay_apt_why LOG: tell a dead network from a package that does not exist.
relay_apt_why()
{
	sed -n 's/^[EW]: /  apt: /p' "$1" | sort -u | head -n 5 >&2
	if grep -qE 'Could not (resolve|connect)|Temporary failure|Failed to fetch|Some index files failed|Connection (failed|refused|timed out)|Network is unreachable' "$1"; then
		return $RELAY_E_NETWORK
	fi
	return $RELAY_E_PACKAGE
}

# relay_need PACKAGE...: install what is not installed.
relay_need()
{
	local p miss=()

	for p in "$@"; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] ||
			miss+=("$p")
	done
	[ ${#miss[@]} -gt 0 ] || return 0
	if [ "$(id -u)" -ne 0 ] || [ -n "${KVM_RELAY_OFFLINE:-}" ]; then
		relay_say "packages are missing: apt-get install ${miss[*]}"
		return $RELAY_E_PACKAGE
	fi
	relay_install "${miss[@]}"
}

# relay_install PACKAGE...: apt waits for dpkg's lock, and not for that of its lists.
relay_install()
(
	local log rc miss=("$@")

	relay_lock install
	relay_say "installing ${miss[*]}"
	log=$(mktemp)
	if ! DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
		install -y --no-install-recommends "${miss[@]}" >"$log" 2>&1; then
		apt-get -q update >"$log" 2>&1 || true
		if ! DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
			install -y --no-install-recommends "${miss[@]}" >>"$log" 2>&1; then
			rc=0
			relay_apt_why "$log" || rc=$?
			relay_say "cannot install ${miss[*]} (log: $log)"
			exit "$rc"
		fi
	fi
	rm -f "$log"
)

# relay_kver: print the release of the kernel that is built for: the distribution's newest,
# or that of a series (KVM_RELAY_KVER=6.12).
relay_kver()
{
	local v meta=linux-headers-amd64

	case ${KVM_RELAY_KVER:-} in
	'') ;;
	*[!0-9.]* | *.*.*)
		echo "$KVM_RELAY_KVER"
		return 0
		;;
	*)
		# The distribution's own series has no package with its number.
		v=$(KVM_RELAY_KVER='' relay_kver) || return
		if [ "$(relay_series "$v")" = "$KVM_RELAY_KVER" ]; then
			echo "$v"
			return 0
		fi
		meta=linux-headers-$KVM_RELAY_KVER-amd64
		;;
	esac
	v=$(relay_depends "$meta")
	if [ -z "$v" ] && [ "$(id -u)" -eq 0 ]; then
		apt-get -qq update >/dev/null 2>&1 || true
		v=$(relay_depends "$meta")
	fi
	if [ -z "$v" ]; then
		relay_say "apt knows no $meta (apt-get update?)"
		return $RELAY_E_PACKAGE
	fi
	echo "$v"
}

# relay_depends META: the release of the headers that a package stands for; nothing if apt does
# not know it.
relay_depends()
{
	{ apt-cache depends "$1" 2>/dev/null || true; } |
		sed -n 's/^ *Depends: linux-headers-\([0-9].*\)/\1/p' | head -n 1
}

# relay_series RELEASE: print the series of a release of the kernel, such as 6.12.
relay_series()
{
	local rest=${1#*.}

	echo "${1%%.*}.${rest%%[!0-9]*}"
}

# relay_deb PACKAGE: download PACKAGE by the system's apt, print the file's name.
# A file of any version that the cache has already is used.
relay_deb()
(
	set -eu
	local f log tmp rc

	for f in "$RELAY_CACHE/dl/$1"_*.deb "$RELAY_CACHE/dl/$1-unsigned"_*.deb; do
		if [ -f "$f" ]; then
			echo "$f"
			exit 0
		fi
	done
	relay_lock "dl-$1"
	mkdir -p "$RELAY_CACHE/dl"
	tmp=$(mktemp -d "$RELAY_CACHE/dl/.tmp.XXXXXX")
	log=$tmp/log
	relay_say "downloading $1"
	cd "$tmp"
	if ! apt-get -q -o APT::Sandbox::User=root download "$1" >"$log" 2>&1; then
		rc=0
		relay_apt_why "$log" || rc=$?
		relay_say "cannot download $1"
		rm -rf "$tmp"
		exit "$rc"
	fi
	f=$(echo "$1"_*.deb)
	mv "$f" "$RELAY_CACHE/dl/$f"
	rm -rf "$tmp"
	echo "$RELAY_CACHE/dl/$f"
)

# relay_apt_private SUITE DIR: an apt of its own below DIR, which knows SUITE (and
# for backports what it builds on) and believes that nothing is installed.
relay_apt_private()
{
	local suite=$1 d=$2 base=${1%-backports}
	local key="[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"

	mkdir -p "$d/lists/partial" "$d/archives/partial" "$d/etc"
	: >"$d/status"
	{
		echo "deb $key $RELAY_MIRROR $base main"
		[ "$base" = "$suite" ] || echo "deb $key $RELAY_MIRROR $suite main"
	} >"$d/etc/sources.list"
	cat >"$d/etc/apt.conf" <<-END
		Dir::State "$d";
		Dir::State::status "$d/status";
		Dir::State::lists "$d/lists";
		Dir::Cache "$d";
		Dir::Cache::archives "$d/archives";
		Dir::Etc::sourcelist "$d/etc/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::Etc::preferencesparts "/dev/null";
		APT::Architecture "amd64";
		APT::Architectures { "amd64"; };
		APT::Sandbox::User "root";
		APT::Install-Recommends "false";
		APT::Get::Assume-Yes "true";
		Acquire::Languages "none";
		Acquire::Retries "3";
		Debug::NoLocking "true";
	END
}

# relay_root NAME SUITE PACKAGE...: print a directory that holds PACKAGEs with all
# they depend on, libc included, unpacked but not configured.
relay_root()
(
	set -eu
	local name=$1 suite=$2 out=$RELAY_CACHE/root/$1 tmp d p log rc n=0
	shift 2

	if [ -e "$out/.packages" ]; then
		echo "$out"
		exit 0
	fi
	relay_lock "root-$name"
	if [ -e "$out/.packages" ]; then
		echo "$out"
		exit 0
	fi
	mkdir -p "$RELAY_CACHE/root"
	rm -rf "$RELAY_CACHE/root/.tmp.$name" "$out"
	tmp=$RELAY_CACHE/root/.tmp.$name
	d=$tmp.apt
	rm -rf "$d"
	mkdir -p "$tmp" "$d"
	relay_apt_private "$suite" "$d"
	log=$d/log
	relay_say "fetching $* of $suite"
	rc=0
	{
		APT_CONFIG=$d/etc/apt.conf apt-get -q update &&
		APT_CONFIG=$d/etc/apt.conf apt-get -q --download-only \
			-o Dpkg::Use-Pty=0 -t "$suite" install "$@"
	} >"$log" 2>&1 || rc=$?
	if [ "$rc" -ne 0 ]; then
		rc=0
		relay_apt_why "$log" || rc=$?
		relay_say "cannot fetch $* of $suite"
		rm -rf "$tmp" "$d"
		exit "$rc"
	fi
	for p in bin sbin lib lib32 lib64 libx32; do
		mkdir -p "$tmp/usr/$p"
		ln -s "usr/$p" "$tmp/$p"
	done
	for p in "$d"/archives/*.deb; do
		dpkg-deb --fsys-tarfile "$p" |
			tar -x -C "$tmp" --keep-directory-symlink --no-same-owner
		n=$((n + 1))
	done
	relay_say "unpacked $n packages for $name"
	rm -rf "$tmp/usr/share/doc" "$tmp/usr/share/man" "$tmp/usr/share/locale" \
		"$tmp/usr/share/info"
	(cd "$d/archives" && ls -- *.deb) >"$tmp/.packages"
	mv "$tmp" "$out"
	rm -rf "$d"
	echo "$out"
)
