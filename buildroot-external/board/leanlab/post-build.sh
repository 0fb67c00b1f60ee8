#!/bin/sh
# Buildroot runs this when every package is installed: post-build.sh TARGET_DIR.
# It may run again on the same tree.
set -eu

target=$1

# Boot scripts of an init system that is not there: BusyBox installs one for
# sysctl.
rm -rf "$target/etc/init.d"

# What no application needs, where leanlab is installed to tell.
if command -v leanlab >/dev/null && leanlab lean tree --help >/dev/null 2>&1; then
	leanlab lean tree "$target"
fi
