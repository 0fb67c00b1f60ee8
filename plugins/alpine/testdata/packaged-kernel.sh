#!/bin/sh
# packaged-kernel.sh OUT: puts a distribution's kernel for VMs with its modules
# into OUT, from Debian's archive: boot/vmlinuz-virt and lib/modules/. Its network
# card and its power button are modules, as those of Alpine's linux-virt are. Not
# on Debian, or without its archive, OUT has no kernel, and the test that wants it
# says so.
set -eu
mkdir -p "$1"
cd "$1"
package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '/Depends: linux-image/ { print $2; exit }')
if [ -z "$package" ] || ! apt-get download -q "$package" kmod libkmod2 2>/dev/null; then
	echo "$0: no kernel package of Debian's to be had" >&2
	exit 0
fi
for deb in *.deb; do
	dpkg-deb -x "$deb" .
done
rm ./*.deb
ln -s bin/kmod depmod # which is what its name says
LD_LIBRARY_PATH=$(echo lib/*-linux-gnu) ./depmod -b . "$(basename lib/modules/*)"
mv boot/vmlinuz-* boot/vmlinuz-virt
