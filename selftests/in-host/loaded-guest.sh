# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# A Linux guest in QEMU with load that notices what goes wrong under it. To be sourced in a
# test host with guest-load and guest-console.sh, after tap.sh. $qemu is the process of QEMU,
# whose console is a file.

# shellcheck source=guest-console.sh
. /relay/guest-console.sh

console=/tmp/console
# Seconds for what stands still. How long something takes is the machine's affair.
patience=120

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
	tries=$(($1 * 10))
	shift
	while ! "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		# shellcheck disable=SC2154 # of the script that sources this
		if [ $tries -le 0 ] || ! kill -0 "$qemu" 2>/dev/null; then
			tail -n 5 $console /tmp/qemu
			return 1
		fi
		sleep 0.1
	done
}

# The last line of a kind that the guest has printed, whole.
line() {
	said $console | grep -E "^$1 .* us$" | tail -n 1
}

# value LINE NAME
value() {
	echo "$1" | sed -n "s/.* $2 \([0-9]*\).*/\1/p"
}

parts="memory memory1 disk ticks network"

loaded() {
	l=$(line load)
	for v in $parts; do
		[ "$(value "$l" "$v")" -gt "$1" ] || return
	done
}

# Each kind of load went on between two lines.
went_on() {
	for v in $parts; do
		[ "$(value "$2" "$v")" -gt "$(value "$1" "$v")" ] || { echo "$v: $1 / $2"; return 1; }
	done
}

gone_on() {
	went_on "$1" "$(line load)"
}

# goes_on LINE: each kind of load does, sooner or later.
goes_on() {
	wait_for $patience gone_on "$1" || gone_on "$1"
}

# clocks BEFORE AFTER [SECONDS]: of two lines of "HOST'S-UPTIME LINE", the guest's clock went
# as far as the host's, less SECONDS.
clocks() {
	printf '%s\n%s\n' "$1" "$2" | sed 's/^\([0-9.]*\) .* uptime \([0-9.]*\) .*/\1 \2/' | awk -v less="${3:-0}" '
		{ host = $1 - host; guest = $2 - guest }
		END {
			printf "the guest made %.2f s, the host %.2f less %.2f\n", guest, host, less
			host -= less
			exit guest - host > 3 || host - guest > 3
		}'
}

newer() {
	[ "$(line load)" != "$1" ]
}

# The host's clock and a line that has just come: of some the one that was on its way for
# the shortest time, which on a busy machine may be seconds.
stamped() {
	for _ in 1 2 3 4; do
		wait_for $patience newer "$(line load)" >/dev/null
		rc=$?
		read -r up _ </proc/uptime
		echo "$up $(line load)"
		[ $rc = 0 ] || break
	done | awk '{ late = $1 - $4 } NR == 1 || late < least { least = late; l = $0 } END { print l }'
}

complaints() {
	! grep -aE 'error|BUG|WARNING|Oops|Call Trace|lockup|stall|I/O error|unstable|skew|timed out|blocked for' $console
}

ended() {
	[ -n "$(line end)" ]
}

cat >/tmp/script <<'END'
modprobe -a virtio_pci virtio_blk virtio_net
n=0
while ! { [ -b /dev/vdb ] && [ -e /sys/class/net/eth0 ]; } && [ $n -lt 100 ]; do
	n=$((n + 1))
	sleep 0.1
done
sys=/sys/devices/system
echo "clock $(cat $sys/clocksource/clocksource0/current_clocksource)"
echo "timer $(cat $sys/clockevents/clockevent0/current_device)"
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
cat /dev/vdb >/tmp/guest-load
chmod +x /tmp/guest-load
/tmp/guest-load /dev/vda 10.0.2.2 7777 2>&1
sync
poweroff -f
END

# start_guest OPTION...: what QEMU has besides: machine, CPUs, memory. $dev is its /dev/kvm, $net
# its network, $serve what the echo has for an option, each with a default; the echo is $echo.
start_guest() {
	rm -f $console /tmp/disk /tmp/mon.in /tmp/mon.out
	truncate -s 8M /tmp/disk
	mkfifo /tmp/mon.in /tmp/mon.out
	guest-load "${serve:--e}" 7777 /tmp/stop >/tmp/echo 2>&1 &
	echo=$!
	KVM_DEV=${dev:-/dev/kvm-amd-1} qemu-system-x86_64 -nodefaults -display none -no-reboot \
		-accel kvm "$@" \
		-kernel /relay/guest/vmlinux -initrd /relay/guest/initrd \
		-append "console=ttyS0 loglevel=5 mitigations=off tsc=reliable relay.beat=0" \
		-fw_cfg name=opt/relay/script,file=/tmp/script -object iothread,id=io \
		-drive if=none,id=d0,file=/tmp/disk,format=raw \
		-device virtio-blk-pci,drive=d0,iothread=io \
		-drive if=none,id=d1,file=/relay/bin/guest-load,format=raw,readonly=on \
		-device virtio-blk-pci,drive=d1 \
		-netdev "${net:-user},id=n" -device virtio-net-pci,netdev=n,romfile= \
		-chardev file,id=con,path=$console -serial chardev:con \
		-chardev pipe,id=mon,path=/tmp/mon -mon chardev=mon,mode=readline \
		>/tmp/qemu 2>&1 &
	qemu=$!
	cat /tmp/mon.out >>/tmp/mon.log 2>/dev/null &
	exec 3<>/tmp/mon.in
}

# monitor COMMAND [PATTERN]: QEMU does it, without an error, and says that.
monitor() {
	: >/tmp/mon.log
	echo "$1" >/tmp/mon.in
	wait_for $patience grep -q "${2:-^(qemu)}" /tmp/mon.log && ! grep -i error /tmp/mon.log
}

# ends_well PREFIX: the guest is told to stop; what it has counted and written is as it says.
ends_well() {
	touch /tmp/stop
	tap_ok "${1}the guest comes to its end" wait_for $patience ended
	ended || kill -9 "$qemu"
	wait "$qemu"
	status=$?
	tap_ok "${1}it powers off, and QEMU ends well" powered_off
	wait "$echo"
	end=$(line end)
	tap_ok "${1}the echo has counted the guest's messages" \
		grep -qx "echo $(value "$end" network)" /tmp/echo
	tap_ok "${1}the disk is as the guest wrote it" guest-load -v /tmp/disk "$(value "$end" disk)"
	tap_ok "${1}the guest did not complain" complaints
	echo "# $end"
}

powered_off() {
	[ "$status" -eq 0 ] || { echo "status $status"; cat /tmp/qemu; return 1; }
}

# A vCPU that stands still, or a clock that does not, before anything was moved.
gets_on() {
	wait_for $patience loaded 0 || return
	before=$(stamped)
	goes_on "$before" || return
	clocks "$before" "$(stamped)"
}
