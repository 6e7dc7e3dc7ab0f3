# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
# Reads /etc/kvm-relay.conf, kvm-relay.conf(5). To be sourced.

conf=/etc/kvm-relay.conf

say() {
	printf 'kvm-relay: %s\n' "$*"
}

# conf_value NAME DEFAULT WHAT COMMAND: prints the value of NAME in the last line that has it, if
# COMMAND finds that it is one, else DEFAULT and on stderr that it is none: NAME is WHAT. The
# file is read, not run.
conf_value() {
	value=$2
	n=0
	# shellcheck disable=SC2094 # it is not written
	[ ! -f $conf ] || while read -r line || [ -n "$line" ]; do
		n=$((n + 1))
		case $line in
		'' | '#'*) ;;
		"$1="*)
			value=${line#*=}
			"$4" "$value" && continue
			value=$2
			say "$conf:$n: $1 is $3; taken as ${2:-none}" >&2
			;;
		upgrade-vmm-on-package-update=* | instance=*) ;;
		*) say "$conf:$n: not understood, and left out" >&2 ;;
		esac
	done <$conf
	echo "$value"
}
