#!/bin/sh
# Starts @NAME@ (@ARCH@) in QEMU with its console here; Ctrl-a x ends QEMU.
#
#     run [QEMU OPTION…]      such as: run -m 256
#
# APPEND adds words to the kernel's command line: APPEND=quiet run
set -eu

dir=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

if ! command -v @QEMU@ >/dev/null; then
	echo "$0: there is no @QEMU@ on this machine: install QEMU (Debian: @DEBIAN@)" >&2
	exit 1
fi

# Hardware virtualisation needs the same architecture and access to /dev/kvm.
accel=tcg
if [ "$(uname -m)" = @ARCH@ ] && [ -w /dev/kvm ]; then
	accel=kvm:tcg
fi

# -no-reboot: a VM that panics or restarts ends QEMU.
exec @QEMU@ \
	-machine @MACHINE@,accel="$accel" -cpu max -m @MEMORY@ \
	-nodefaults -no-user-config -nographic -serial mon:stdio -no-reboot \
	-kernel "$dir/kernel" \
	@ROOT@ \
	-append "console=@CONSOLE@ panic=-1 $(cat "$dir/cmdline") ${APPEND:-}" \
	-netdev user,id=net -device virtio-net-pci,netdev=net,romfile= \
	-object rng-random,filename=/dev/urandom,id=rng -device virtio-rng-pci,rng=rng \
	"$@"
