#!/bin/sh
# Buildroot runs this on the copy of the target that becomes an image:
# post-fakeroot.sh COPY.
#
# The toolchain puts its shared libraries in the root of every configuration but
# BR2_STATIC_LIBS, and so do packages. Where no program asks for the dynamic
# linker, nobody reads them. They go from the copy only: the next configuration
# may need them, and Buildroot would not install them again.
set -eu

target=$1

dynamic=$(find "$target" -type f -perm -u+x ! -name '*.so*' \
	-exec readelf --program-headers --wide {} + 2>/dev/null | grep -c INTERP || true)
if [ "$dynamic" -eq 0 ]; then
	find "$target" \( -name '*.so' -o -name '*.so.*' \) ! -type d -delete
fi
