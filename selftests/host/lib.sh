# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Making of what the test hosts boot: the kernel, the base initramfs, the disks.
# To be sourced, after scripts/apt.sh. Everything made here lands in the cache,
# under a name that changes with its inputs, and is renamed into place when complete.

HOST_DIR=${BASH_SOURCE[0]%/*}

# Modules of the distribution's kernel that the base initramfs carries; what they
# depend on comes along. A name the kernel does not have is left out.
HOST_MODULES="virtio_pci virtio_console virtio_blk virtio_net virtio_rng
	squashfs loop overlay isofs sr_mod sd_mod ata_piix ahci nvme
	irqbypass ccp kvm kvm-amd kvm-intel msr cpuid
	vfio vfio-pci vfio_iommu_type1 mdev e1000e igb tun vhost_net vhost_vsock
	lkdtm kmemleak-test"

# host_digest FILE...: one short name for the content of FILEs.
host_digest()
{
	cat -- "$@" | sha256sum | cut -c 1-16
}

# host_kernel KVER: print a directory with vmlinux, vmlinuz and lib/modules of KVER;
# without vmlinux when it is one of host_debug_kver's.
host_kernel()
(
	set -eu
	local kver=$1 out=$RELAY_CACHE/kernel/$1 tmp deb f sects off len

	if [[ $kver = *"$HOST_DEBUG"* ]]; then
		host_debug "${kver##*"$HOST_DEBUG"}"
		exit
	fi
	if [ -e "$out/vmlinux" ]; then
		echo "$out"
		exit 0
	fi
	relay_need kmod xz-utils
	deb=$(relay_deb "linux-image-$kver")
	relay_lock "kernel-$kver"
	if [ -e "$out/vmlinux" ]; then
		echo "$out"
		exit 0
	fi
	mkdir -p "$RELAY_CACHE/kernel"
	tmp=$RELAY_CACHE/kernel/.tmp.$kver
	rm -rf "$tmp" "$out"
	mkdir -p "$tmp"
	relay_say "unpacking kernel $kver"
	dpkg-deb -x "$deb" "$tmp"
	mv "$tmp/boot/vmlinuz-$kver" "$tmp/vmlinuz"
	mv "$tmp/boot/config-$kver" "$tmp/config"
	# Debian 13 has its modules below /usr, as its root is merged.
	[ ! -d "$tmp/usr/lib/modules" ] || { mkdir -p "$tmp/lib" && mv "$tmp/usr/lib/modules" "$tmp/lib/"; }
	rm -rf "${tmp:?}/boot" "${tmp:?}/usr"
	depmod -b "$tmp" "$kver"
	# The compressed ELF file lies in the bzImage at payload_offset, counted from
	# the end of the real-mode sectors; four bytes of length follow what is compressed.
	f=$tmp/vmlinuz
	sects=$(od -An -tu1 -j 497 -N 1 "$f")
	off=$(od -An -tu4 -j 584 -N 4 "$f")
	len=$(od -An -tu4 -j 588 -N 4 "$f")
	{ tail -c +$(((sects + 1) * 512 + off + 1)) "$f" || true; } 2>/dev/null |
		head -c $((len - 4)) >"$tmp/payload"
	case $(od -An -tx1 -N 4 "$tmp/payload") in
	' fd 37 7a 58') xz -dc <"$tmp/payload" >"$tmp/vmlinux" ;;
	' 28 b5 2f fd') relay_need zstd && zstd -qdc <"$tmp/payload" >"$tmp/vmlinux" ;;
	*) relay_say "kernel $kver is compressed in another way than xz or zstd"; exit 203 ;;
	esac
	rm "$tmp/payload"
	mv "$tmp" "$out"
	echo "$out"
)

# How the release of a debug kernel ends, before its kind; debug-KIND.config has it too.
HOST_DEBUG=-relay-

# host_debug_version: print the release of linux-source that the debug kernels are of.
host_debug_version()
{
	"$HOST_DIR/../../scripts/kvm-source" -s 6.1 -l | tail -n 1
}

# host_debug KIND: print the directory of the debug kernel that is of KIND, kasan or kcsan;
# it has build/ (KDIR for modules), vmlinuz and lib/modules.
host_debug()
(
	set -eu
	local kind=$1 version out src deb log

	version=$(host_debug_version)
	out=$RELAY_CACHE/debug/$version-$kind-$(cat "$HOST_DIR"/debug{,-"$kind"}.config |
		grep '^CONFIG_' | host_digest -)
	if [ -e "$out/vmlinuz" ]; then
		echo "$out"
		exit 0
	fi
	relay_need gcc make bc bison flex libelf-dev libssl-dev rsync xz-utils kmod
	relay_lock "debug-$version"
	if [ -e "$out/vmlinuz" ]; then
		echo "$out"
		exit 0
	fi
	# Unpacks less than a kernel needs, but fetches the package.
	"$HOST_DIR/../../scripts/kvm-source" "$version" >/dev/null
	deb=$RELAY_CACHE/dl/linux-source-6.1_${version}_all.deb
	src=$RELAY_CACHE/debug/source-$version
	log=$RELAY_CACHE/debug/log-$kind
	relay_say "making the debug kernel ($kind): 10 minutes to an hour, 4 GB (log: $log)"
	if ! [ -e "$src/.complete" ]; then
		rm -rf "$src"
		mkdir -p "$src"
		dpkg-deb --fsys-tarfile "$deb" | tar -xO ./usr/src/linux-source-6.1.tar.xz |
			tar -xJ -C "$src" --strip-components=1 --no-same-owner
		: >"$src/.complete"
	fi
	# The kernel's makefiles remember where they were run, so this is no
	# temporary name: complete is what has vmlinuz.
	rm -rf "$out"
	mkdir -p "$out/build"
	if ! {
		make -C "$src" O="$out/build" ARCH=x86_64 tinyconfig &&
		"$src/scripts/kconfig/merge_config.sh" -m -O "$out/build" \
			"$out/build/.config" "$HOST_DIR/debug.config" \
			"$HOST_DIR/debug-$kind.config" &&
		make -C "$out/build" olddefconfig &&
		host_debug_config "$out/build/.config" "$kind" &&
		nice -n 5 make -C "$out/build" -j"$(nproc)" bzImage modules &&
		make -C "$out/build" INSTALL_MOD_PATH="$out" modules_install
	} >"$log" 2>&1; then
		grep -E 'rror|missing' "$log" | head -n 20 >&2
		relay_say "the debug kernel does not build, all is in $log"
		exit 203
	fi
	ln "$out/build/arch/x86/boot/bzImage" "$out/vmlinuz"
	find "$RELAY_CACHE/debug" -mindepth 1 -maxdepth 1 -type d -name "*-$kind-*" \
		! -path "$out" -mtime +2 -exec rm -rf {} +
	find "$RELAY_CACHE/debug" -mindepth 1 -maxdepth 1 -type d -name 'source-*' \
		! -path "$src" -mtime +2 -exec rm -rf {} +
	echo "$out"
)

# host_debug_config FILE KIND: does the configuration have all that KIND wants?
host_debug_config()
{
	local line bad=0

	while read -r line; do
		case $line in
		CONFIG_*=n) grep -q "^${line%=n}=" "$1" || continue ;;
		CONFIG_*) ! grep -qxF "$line" "$1" || continue ;;
		*) continue ;;
		esac
		echo "missing: $line"
		bad=1
	done < <(cat "$HOST_DIR"/debug{,-"$2"}.config)
	return $bad
}

# host_debug_kver KIND: print the release of that debug kernel, which is built by now.
host_debug_kver()
(
	set -eu
	cat "$(host_debug "$1")/build/include/config/kernel.release"
)

# host_module FROM TO: a module without debug information and signature, which costs seconds
# on Bochs, and as busybox reads it.
host_module()
{
	local to=${2%.xz}

	mkdir -p "${to%/*}"
	case $1 in
	*.xz)
		xz -dc "$1" >"$to.tmp"
		strip -g -o "$to" "$to.tmp"
		rm "$to.tmp"
		;;
	*)
		strip -g -o "$to" "$1"
		;;
	esac
}

# host_unpacked MODULE TO: as the distribution has signed it; MODULE.xz if that is what there is.
host_unpacked()
{
	if [ -e "$1" ]; then
		ln -s "$1" "$2"
	else
		xz -dc "$1.xz" >"$2"
	fi
}

# host_sign IMAGE TO: a kernel's image for a firmware that knows the key of Debian's ovmf. It is
# no secret, as is its passphrase: a test's.
host_sign()
{
	openssl rsa -in /usr/share/ovmf/PkKek-1-snakeoil.key -passin pass:snakeoil -out "$2.key" &&
		sbsign --key "$2.key" --cert /usr/share/ovmf/PkKek-1-snakeoil.pem --output "$2" "$1"
}

# host_base KVER: print the base initramfs for the kernel KVER.
host_base()
(
	set -eu
	local kver=$1 kernel out tmp t m f n

	relay_need busybox-static cpio kmod binutils
	kernel=$(host_kernel "$kver")
	out=$RELAY_CACHE/host/base-${kernel##*/}-$(host_digest /bin/busybox "$HOST_DIR/lib.sh" \
		"$HOST_DIR/init" "$HOST_DIR/relay-load" "$HOST_DIR/qemu-in-host" \
		"$HOST_DIR"/debug*.config).cpio
	if [ -e "$out" ]; then
		echo "$out"
		exit 0
	fi
	relay_lock base
	if [ -e "$out" ]; then
		echo "$out"
		exit 0
	fi
	relay_say "making the base initramfs"
	mkdir -p "$RELAY_CACHE/host"
	tmp=$RELAY_CACHE/host/.tmp.base
	rm -rf "$tmp"
	t=$tmp/tree
	mkdir -p "$t"/{bin,dev,etc,proc,sys,tmp,run,mnt,root,relay/bin,relay/.run} \
		"$t/lib/modules/$kver"
	cp /bin/busybox "$t/bin/busybox"
	ln -s busybox "$t/bin/sh"
	ln -s bin "$t/sbin"
	mkdir "$t/usr"
	ln -s ../bin "$t/usr/bin"
	ln -s ../bin "$t/usr/sbin"
	for n in $(/bin/busybox --list); do
		[ "$n" = busybox ] || ln -sf busybox "$t/bin/$n"
	done
	install -m 755 "$HOST_DIR/init" "$t/init"
	install -m 755 "$HOST_DIR/relay-load" "$t/relay/bin/relay-load"
	install -m 755 "$HOST_DIR/qemu-in-host" "$t/relay/bin/qemu-system-x86_64"
	cat >"$t/etc/passwd" <<-END
		root:x:0:0:root:/root:/bin/sh
		nobody:x:65534:65534:nobody:/:/bin/sh
		relay:x:1000:1000:relay:/tmp:/bin/sh
	END
	cat >"$t/etc/group" <<-END
		root:x:0:
		kvm:x:104:
		relay:x:1000:
		nogroup:x:65534:
	END
	echo 'kvm(-.*)? root:kvm 0660' >"$t/etc/mdev.conf"
	echo 'null root:root 0666' >>"$t/etc/mdev.conf"
	for m in $HOST_MODULES; do
		modprobe -S "$kver" -d "$kernel" --show-depends "$m" 2>/dev/null || true
	done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u >"$tmp/modules"
	while read -r f; do
		host_module "$f" "$t/lib/modules/$kver/${f#*"/lib/modules/$kver/"}"
	done <"$tmp/modules"
	cp "$kernel/lib/modules/$kver"/modules.{order,builtin,builtin.modinfo} \
		"$t/lib/modules/$kver/"
	depmod -b "$t" "$kver"
	rm -f "$t/lib/modules/$kver"/modules.{symbols,symbols.bin,builtin.modinfo}
	(cd "$t" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --reproducible --quiet) >"$tmp/cpio"
	mv "$tmp/cpio" "$out"
	rm -rf "$tmp"
	find "$RELAY_CACHE/host" -maxdepth 1 -name 'base-*.cpio' -mtime +2 -delete
	echo "$out"
)

# host_tsc_khz: print the frequency of this machine's TSC in kHz.
host_tsc_khz()
(
	set -eu
	local out tmp

	relay_need gcc libc6-dev
	out=$RELAY_CACHE/host/tsc-khz-$(host_digest "$HOST_DIR/tsc-khz.c" "$HOST_DIR/lib.sh" \
		/proc/sys/kernel/random/boot_id)
	if ! [ -e "$out" ]; then
		mkdir -p "$RELAY_CACHE/host"
		tmp=$(mktemp -d)
		trap 'rm -rf "$tmp"' EXIT
		gcc -O2 -Wall -o "$tmp/tsc-khz" "$HOST_DIR/tsc-khz.c"
		"$tmp/tsc-khz" >"$tmp/khz"
		cp "$tmp/khz" "$out.$BASHPID"
		mv "$out.$BASHPID" "$out"
		find "$RELAY_CACHE/host" -maxdepth 1 -name 'tsc-khz-*' -mtime +2 -delete
	fi
	cat "$out"
)

# host_qemu DEVICES: print the directory of the outer QEMU. Those before 10.2 lose interrupts of
# a CPU that runs a guest, and 11's amd-iommu reports without end (Documentation/test-hosts.rst).
host_qemu()
{
	case $1 in
	*amd-iommu*)
		relay_root qemu-host-trixie trixie qemu-system-x86
		return
		;;
	esac
	relay_root qemu11 trixie-backports qemu-system-x86
}

# host_sqfs OUT DIR: squash DIR into OUT.
host_sqfs()
{
	rm -f "$1.tmp"
	mksquashfs "$2" "$1.tmp" -comp lz4 -all-root -noappend -no-progress -quiet >&2
	mv "$1.tmp" "$1"
}

# host_set_kselftest KVER BUILD: print the image of BUILD/kselftest.
host_set_kselftest()
(
	set -eu
	local dir=$2/kselftest out

	if ! [ -d "$dir" ]; then
		relay_say "$dir is not there: build the KVM selftests first"
		exit 206
	fi
	relay_need squashfs-tools
	out=$RELAY_CACHE/host/kselftest-$(find -L "$dir" -type f -printf '%P %s %T@\n' |
		LC_ALL=C sort | sha256sum | cut -c 1-16).sqfs
	if ! [ -e "$out" ]; then
		relay_lock set-kselftest
		relay_say "making the set kselftest"
		mkdir -p "$RELAY_CACHE/host"
		find "$RELAY_CACHE/host" -maxdepth 1 -name 'kselftest-*.sqfs' -mmin +600 -delete
		host_sqfs "$out" "$dir"
	fi
	echo "$out"
)

# host_set_qemu KVER BUILD: print the image of Debian's QEMU and of a guest for it.
host_set_qemu()
{
	host_qemu_image qemu qemu-in-host bookworm "$1"
}

# host_set_qemu11 KVER BUILD: the same with a QEMU that can replace itself.
host_set_qemu11()
{
	host_qemu_image qemu11 qemu11 trixie-backports "$1"
}

# host_qemu_image SET ROOT SUITE KVER: print the image of the QEMU of SUITE and of a guest.
host_qemu_image()
(
	set -eu
	local set=$1 kver=$4 root kernel out tmp t m f n

	relay_need squashfs-tools busybox-static cpio binutils
	root=$(relay_root "$2" "$3" qemu-system-x86)
	kernel=$(host_kernel "$kver")
	out=$RELAY_CACHE/host/$set-$kver-$(host_digest "$root/.packages" /bin/busybox \
		"$HOST_DIR/guest-init" "$HOST_DIR/lib.sh").sqfs
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
	rm -rf "$tmp"
	mkdir -p "$tmp/set/guest"
	cp -al "$root/." "$tmp/set/"
	ln "$kernel/vmlinux" "$tmp/set/guest/vmlinux"
	t=$tmp/tree
	mkdir -p "$t"/{bin,dev,proc,sys,tmp} "$t/lib/modules/$kver"
	cp /bin/busybox "$t/bin/busybox"
	for n in $(/bin/busybox --list); do
		[ "$n" = busybox ] || ln -sf busybox "$t/bin/$n"
	done
	install -m 755 "$HOST_DIR/guest-init" "$t/init"
	for m in qemu_fw_cfg virtio_pci virtio_blk virtio_net virtio_balloon \
		vmw_vsock_virtio_transport nvme kvm_amd; do
		modprobe -S "$kver" -d "$kernel" --show-depends "$m" 2>/dev/null || true
	done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u >"$tmp/modules"
	while read -r f; do
		host_module "$f" "$t/lib/modules/$kver/${f#*"/lib/modules/$kver/"}"
	done <"$tmp/modules"
	cp "$kernel/lib/modules/$kver"/modules.{order,builtin} "$t/lib/modules/$kver/"
	depmod -b "$t" "$kver" 2>/dev/null
	(cd "$t" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --reproducible --quiet) \
		>"$tmp/set/guest/initrd"
	rm -rf "$tmp/set/usr/bin/qemu-system-i386" "$tmp/set/usr/bin/qemu-system-amd64"
	host_sqfs "$out" "$tmp/set"
	rm -rf "$tmp"
	find "$RELAY_CACHE/host" -maxdepth 1 -name "$set-*.sqfs" -mtime +2 -delete
	echo "$out"
)

# host_bochs VERSION: print the directory of Bochs.
host_bochs()
{
	case $1 in
	2.7) relay_root bochs-2.7 bookworm bochs bochsbios vgabios ;;
	3.0) relay_root bochs-3.0 trixie bochs bochsbios vgabios ;;
	*)
		relay_say "KVM_RELAY_BOCHS is 2.7 (bookworm) or 3.0 (trixie), not $1"
		return 206
		;;
	esac
}

# host_bochs_kernel KVER: print the kernel as a Multiboot program, see pvhboot.c.
host_bochs_kernel()
(
	set -eu
	local kver=$1 kernel out tmp entry end

	relay_need binutils gcc
	kernel=$(host_kernel "$kver")
	out=$RELAY_CACHE/host/multiboot-$kver-$(host_digest "$HOST_DIR/pvhboot.c" "$HOST_DIR/pvhentry.S" \
		"$HOST_DIR/pvhboot.lds" "$HOST_DIR/lib.sh").elf
	if [ -e "$out" ]; then
		echo "$out"
		exit 0
	fi
	relay_lock multiboot
	relay_say "making the kernel for Bochs"
	mkdir -p "$RELAY_CACHE/host"
	tmp=$RELAY_CACHE/host/.tmp.multiboot
	rm -rf "$tmp"
	mkdir -p "$tmp"
	# The note Xen 0x12 holds the address of the PVH entry, little-endian.
	entry=$(readelf -nW "$kernel/vmlinux" |
		sed -n 's/.*Xen .*(0x00000012).*data: \(..\) \(..\) \(..\) \(..\).*/0x\4\3\2\1/p')
	end=$(readelf -lW "$kernel/vmlinux" | while read -r type _ _ paddr _ memsz _; do
		[ "$type" != LOAD ] || echo $((paddr + memsz))
	done | sort -n | tail -n 1)
	if [ -z "$entry" ] || [ -z "$end" ]; then
		relay_say "kernel $kver has no PVH entry"
		exit 203
	fi
	# .init.scratch is work space for memory encryption: 4 MiB of zeros.
	objcopy -O binary -R .init.scratch "$kernel/vmlinux" "$tmp/flat"
	printf '%s\n' '.section .kernel, "aw", @progbits' ".incbin \"$tmp/flat\"" \
		'.section .note.GNU-stack, "", @progbits' >"$tmp/kernel.S"
	gcc -m32 -O2 -ffreestanding -fno-pic -fno-stack-protector -fcf-protection=none \
		"-D__aligned(x)=__attribute__((aligned(x)))" "-D__used=__attribute__((used))" \
		"-D__packed=__attribute__((packed))" "-D__section(x)=__attribute__((section(x)))" \
		-c "$HOST_DIR/pvhboot.c" -o "$tmp/pvhboot.o"
	gcc -m32 -c "$HOST_DIR/pvhentry.S" -o "$tmp/pvhentry.o"
	gcc -m32 -c "$tmp/kernel.S" -o "$tmp/kernel.o"
	ld -m elf_i386 -T "$HOST_DIR/pvhboot.lds" --no-warn-rwx-segments --build-id=none \
		-z max-page-size=4096 --defsym "PVH_ENTRY=$entry" --defsym "KERNEL_END=$end" \
		"$tmp/pvhboot.o" "$tmp/pvhentry.o" "$tmp/kernel.o" -o "$tmp/elf"
	mv "$tmp/elf" "$out"
	rm -rf "$tmp"
	find "$RELAY_CACHE/host" -maxdepth 1 -name 'multiboot-*.elf' -mtime +2 -delete
	echo "$out"
)
