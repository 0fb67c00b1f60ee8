# A component that files belong to by where they lie.
#
# label:    its name
# group:    kernel, libc, busybox, beam, elixir, app, init or config
# paths:    shell patterns of absolute paths, without a leading /usr, which
#           distributions have merged with / (file-hierarchy(7)); **/ in front: at
#           any depth; /** at the end: all below
# packaged: whether it is this component even where a distribution's package has
#           the file, so that images of different makers can be compared
# version:  a regular expression whose group is the version, looked for in
#           version_in, one of its files
#
# Of two components with a pattern for a file, the first has it.

# Kernel

component "linux" {
  group    = "kernel"
  paths    = ["/boot/vmlinu*", "/boot/bzImage*", "/boot/Image*", "/boot/System.map-*", "/boot/config-*"]
  packaged = true
  reason   = "where installkernel(8) puts them"
}

component "modules" {
  group    = "kernel"
  paths    = ["/lib/modules/**"]
  packaged = true
  reason   = "depmod(8), modprobe(8)"
}

component "firmware" {
  group    = "kernel"
  paths    = ["/lib/firmware/**"]
  packaged = true
  reason   = "drivers/base/firmware_loader: the search path"
}

component "initramfs" {
  group    = "kernel"
  paths    = ["/boot/initrd*", "/boot/initramfs*"]
  packaged = true
  reason   = "made on installation by initramfs-tools, dracut or mkinitfs; no package has it"
}

# C library

component "musl" {
  group      = "libc"
  paths      = ["**/ld-musl-*.so.1", "**/libc.musl-*.so.1"]
  packaged   = true
  version    = "\\x00(1\\.[0-9]+\\.[0-9]+)\\x00"
  version_in = "**/ld-musl-*.so.1"
  reason     = "musl's loader is its C library: INSTALL, --syslibdir"
}

component "glibc" {
  group = "libc"
  paths = [
    "**/ld-linux*.so.*", "**/ld-2.*.so", "**/libc.so.6", "**/libc-2.*.so", "**/libm.so.6", "**/libm-2.*.so", "**/libmvec.so.1",
    "**/libpthread.so.0", "**/libpthread-2.*.so", "**/libdl.so.2", "**/libdl-2.*.so", "**/librt.so.1", "**/librt-2.*.so",
    "**/libresolv.so.2", "**/libresolv-2.*.so", "**/libutil.so.1", "**/libanl.so.1", "**/libnss_files.so.2",
    "**/libnss_dns.so.2", "**/libnss_compat.so.2", "**/libnss_hesiod.so.2", "**/libthread_db.so.1",
    "**/libBrokenLocale.so.1", "**/libc_malloc_debug.so.0", "**/libnsl.so.1", "**/libpcprofile.so", "**/libmemusage.so",
    "/lib/gconv/**", "/lib/x86_64-linux-gnu/gconv/**", "/lib/aarch64-linux-gnu/gconv/**",
  ]
  packaged   = true
  version    = "GNU C Library [^\\n]*version ([0-9.]+[0-9])"
  version_in = "**/libc.so.6"
  reason     = "shlib-versions and the Makefiles of the GNU C Library name its shared objects; gconv are iconv(3)'s"
}

component "gcc runtime" {
  group    = "libc"
  paths    = ["**/libgcc_s.so.1", "**/libstdc++.so.6*", "**/libatomic.so.1*"]
  packaged = true
  reason   = "what compiled C and C++ needs beside the C library: GCC's libgcc and libstdc++-v3"
}

# BusyBox

component "busybox" {
  group      = "busybox"
  paths      = ["/bin/busybox", "/bin/busybox.*", "/sbin/busybox", "/lib/libbusybox.so.*", "/share/udhcpc/**", "/etc/udhcpc/**", "/etc/busybox.conf", "/etc/busybox-paths.d/**"]
  packaged   = true
  version    = "BusyBox v([0-9.]+[0-9])"
  version_in = "**/busybox"
  reason     = "one program under many names; udhcpc's script is run by it (networking/udhcp, CONFIG_UDHCPC_DEFAULT_SCRIPT)"
}

# BEAM

component "erts" {
  group = "beam"
  paths = [
    "**/beam.smp", "**/beam.debug.smp", "**/erl_child_setup", "**/inet_gethost", "**/erlexec", "**/epmd", "**/heart",
    "**/dyn_erl", "**/run_erl", "**/to_erl", "**/erl_call", "**/no_dot_erlang.boot", "**/start_clean.boot", "**/start_sasl.boot",
    "/etc/erl_inetrc",
  ]
  packaged   = true
  version    = "\\[erts-([0-9.]+[0-9])\\]"
  version_in = "**/beam.smp"
  reason     = "erts/etc and erts/emulator make the programs; erts User's Guide, Inet Configuration: ERL_INETRC"
}

# Elixir

component "scripts" {
  group    = "elixir"
  paths    = ["/bin/elixir", "/bin/elixirc", "/bin/iex", "/bin/mix", "/lib/elixir/bin/**", "/local/bin/elixir*", "/local/bin/iex", "/local/bin/mix", "/local/lib/elixir/bin/**"]
  packaged = true
  reason   = "Elixir's Makefile, install"
}

# Init

component "init" {
  group  = "init"
  paths  = ["/init", "/sbin/init", "/etc/leanlab/boot", "/etc/inittab", "/etc/init.d/**", "/etc/erlinit.config", "/sbin/erlinit"]
  reason = "the first program (init/main.c, kernel_init) and what it reads"
}

# Configuration and data

component "package database" {
  group  = "config"
  paths  = ["/var/lib/dpkg/**", "/var/lib/apt/**", "/var/cache/apt/**", "/var/cache/debconf/**", "/lib/apk/**", "/etc/apk/**", "/var/cache/apk/**"]
  reason = "what dpkg, apt and apk write about packages; no package has it"
}

component "terminfo" {
  group    = "config"
  paths    = ["/share/terminfo/**", "/lib/terminfo/**", "/etc/terminfo/**"]
  packaged = true
  reason   = "terminfo(5), the directories that ncurses searches"
}

component "time zones" {
  group    = "config"
  paths    = ["/share/zoneinfo/**", "/etc/localtime", "/etc/timezone"]
  packaged = true
  reason   = "tzset(3)"
}

component "certificates" {
  group    = "config"
  paths    = ["/etc/ssl/**", "/share/ca-certificates/**", "/local/share/ca-certificates/**", "/etc/ca-certificates.conf"]
  packaged = true
  reason   = "where public_key:cacerts_load/0 looks: OTP, lib/public_key/src/pubkey_os_cacerts.erl"
}

component "caches" {
  group  = "config"
  paths  = ["/var/cache/**", "/etc/ld.so.cache", "/share/mime/**", "/lib/locale/**", "/var/log/**"]
  reason = "what programs of packages made on installation or by running: file-hierarchy(7)"
}

component "configuration" {
  group  = "config"
  paths  = ["/etc/**"]
  reason = "host-specific configuration: Filesystem Hierarchy Standard 3.0, 3.7"
}
