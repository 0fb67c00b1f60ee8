#!/bin/sh
# Buildroot runs this when every package is installed, before the root file
# system is written: post-build.sh TARGET_DIR. It may run again on the same tree.
set -eu

target=$1

# Boot scripts of an init system that is not there: BusyBox installs one for sysctl.
rm -rf "$target/etc/init.d"

# The toolchain puts its shared libraries in the root of every configuration but
# BR2_STATIC_LIBS. Where no program asks for the dynamic linker, nobody reads
# them.
is_dynamic() {
	readelf --program-headers --wide "$1" 2>/dev/null | grep -q INTERP
}

dynamic=$(find "$target" -type f -perm -u+x ! -name '*.so*' | sort | while read -r program; do
	if is_dynamic "$program"; then
		echo "$program"
	fi
done)
if [ -z "$dynamic" ]; then
	find "$target/lib" "$target/usr/lib" \( -name '*.so' -o -name '*.so.*' \) \
		! -type d -delete
fi

# What else no application needs, where leanlab is installed to tell.
if command -v leanlab >/dev/null && leanlab lean tree --help >/dev/null 2>&1; then
	leanlab lean tree "$target"
fi
