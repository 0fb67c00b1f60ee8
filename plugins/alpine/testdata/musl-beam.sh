#!/bin/sh
# musl-beam.sh SOURCE OUT: compiles the interpreter of the OTP in the archive
# SOURCE against the build host's musl (Debian: musl-tools), dynamically linked,
# and puts beam.smp and the programs it needs into OUT. It is what the tests'
# package of OTP holds: musl-gcc is a C compiler, and OTP's JIT is C++.
set -eu
source=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/otp" "$work/include"
tar -xf "$source" -C "$work/otp" --strip-components=1
# musl's headers have none of the kernel's.
for dir in linux asm-generic "$(gcc -print-multiarch)/asm"; do
	ln -s "/usr/include/$dir" "$work/include/"
done
cd "$work/otp"
export ERL_TOP="$PWD" CC="musl-gcc -idirafter $work/include" LD=musl-gcc
./configure --disable-jit --without-termcap --without-ssl --without-javac \
	--without-wx --without-odbc --disable-sctp --disable-saved-compile-time >/dev/null
target=$(basename "$(dirname make/*/otp.mk)")
for dir in erts/lib_src erts/emulator; do
	make -C $dir -j"$(nproc)" opt FLAVOR=emu TARGET="$target" EMU_LDFLAGS= >/dev/null
done
bin="$ERL_TOP/bin/$target"
make -C erts/etc/common -f "$target/Makefile" TYPE=opt TARGET="$target" "$bin/erlexec" "$bin/inet_gethost" >/dev/null
for program in beam.smp erl_child_setup erlexec inet_gethost; do
	strip -o "$out/$program" "$bin/$program"
done
