# A file, or a directory with all below it, that goes.
#
# in:     what the path is relative to: application (its directory in lib/),
#         release (what mix release wrote), otp (the directory that is $ROOT in
#         the boot script, when it is another), root (the image's /)
# label:  the path, a shell pattern for each component; **/ in front: at any depth
# level:  from which level on
# of:     only in this application
# unless_imported: modules stay when a module that stays calls them
# text:   only files that start like this
# emulator: only when the machine brings an emulator
# static: only when that emulator is static
# reason: why nothing in a VM reads it. /init starts beam.smp itself, without a
#         shell, and takes what vm.args says from the build

# Applications: ebin/ and priv/ are what runs.

file "src" {
  in     = "application"
  level  = "strip"
  reason = "sources"
}

file "c_src" {
  in     = "application"
  level  = "strip"
  reason = "sources of NIFs and port programs"
}

file "include" {
  in     = "application"
  level  = "strip"
  reason = "header files, read by compilers (-include_lib); mix release copies them for build-time use"
}

file "test" {
  in     = "application"
  level  = "strip"
  reason = "tests"
}

file "doc" {
  in     = "application"
  level  = "strip"
  reason = "documentation"
}

file "internal_doc" {
  in     = "application"
  level  = "strip"
  reason = "documentation"
}

file "man" {
  in     = "application"
  level  = "strip"
  reason = "manual pages"
}

file "examples" {
  in     = "application"
  level  = "strip"
  reason = "examples"
}

file "emacs" {
  in     = "application"
  of     = "tools"
  level  = "strip"
  reason = "editor mode"
}

file "asn1" {
  in     = "application"
  of     = "public_key"
  level  = "strip"
  reason = "ASN.1 specifications, compiled into modules when OTP is built"
}

file "priv/obj" {
  in     = "application"
  level  = "strip"
  reason = "object files of NIFs (OTP's build leaves them there)"
}

file "ebin/*.erl" {
  in     = "application"
  level  = "strip"
  reason = "sources"
}

file "**/*.hrl" {
  in     = "application"
  level  = "strip"
  reason = "header files, read by compilers"
}

file "**/*.h" {
  in     = "application"
  level  = "strip"
  reason = "header files, read by compilers"
}

file "**/*.a" {
  in     = "application"
  level  = "strip"
  reason = "static libraries, read by linkers"
}

file "**/*.o" {
  in     = "application"
  level  = "strip"
  reason = "object files, read by linkers"
}

file "ebin/*.appup" {
  in     = "application"
  level  = "strip"
  reason = "instructions for upgrades in place (release_handler); a VM image is replaced"
}

file "priv/lib/otp_test_engine.so" {
  in     = "application"
  of     = "crypto"
  level  = "strip"
  reason = "OpenSSL engine for crypto's own tests (lib/crypto/c_src/otp_test_engine.c)"
}

file "priv/lib/*/otp_test_engine.so" {
  in     = "application"
  of     = "crypto"
  level  = "strip"
  reason = "OpenSSL engine for crypto's own tests (lib/crypto/c_src/otp_test_engine.c)"
}

file "priv/lib/*.so" {
  in     = "application"
  of     = "runtime_tools"
  level  = "strip"
  static = true
  reason = "drivers of dbg:trace_port and the NIF of dyntrace, which a static emulator cannot load; dyntrace's on_load does without"
}

file "priv/lib/*/*.so" {
  in     = "application"
  of     = "runtime_tools"
  level  = "strip"
  static = true
  reason = "drivers of dbg:trace_port and the NIF of dyntrace, which a static emulator cannot load; dyntrace's on_load does without"
}

file "ebin/asn1ct*.beam" {
  in              = "application"
  of              = "asn1"
  level           = "closure"
  unless_imported = true
  reason          = "the ASN.1 compiler: what it generates calls asn1rt_nif only, the one module that asn1.app lists (asn1ct_func copies the rest of its run time in)"
}

file "ebin/asn1_db.beam" {
  in              = "application"
  of              = "asn1"
  level           = "closure"
  unless_imported = true
  reason          = "the ASN.1 compiler's database"
}

# The release. start.boot, sys.config, runtime.exs and consolidated/ stay: BEAM
# reads them. vm.args stays: the build does.

file "bin/*.bat" {
  in     = "release"
  level  = "strip"
  reason = "for Windows"
}

file "bin/*" {
  in     = "release"
  text   = "#!"
  level  = "strip"
  reason = "shell scripts that start the release with erl; /init starts beam.smp"
}

file "releases/COOKIE" {
  in     = "release"
  level  = "strip"
  reason = "secret for the scripts in bin/, and random when mix release made it: no two images would be the same"
}

file "releases/start_erl.data" {
  in     = "release"
  level  = "strip"
  reason = "tells the scripts in bin/ which version to start"
}

file "releases/RELEASES" {
  in     = "release"
  level  = "strip"
  reason = "release_handler's list of installed releases"
}

file "releases/*/elixir" {
  in     = "release"
  level  = "strip"
  reason = "shell script"
}

file "releases/*/iex" {
  in     = "release"
  level  = "strip"
  reason = "shell script"
}

file "releases/*/*.bat" {
  in     = "release"
  level  = "strip"
  reason = "for Windows"
}

file "releases/*/env.sh" {
  in     = "release"
  level  = "strip"
  reason = "environment for the scripts in bin/"
}

file "releases/*/remote.vm.args" {
  in     = "release"
  level  = "strip"
  reason = "flags for bin/NAME remote"
}

file "releases/*/*.rel" {
  in     = "release"
  level  = "strip"
  reason = "what systools made the boot script from"
}

file "releases/*/start.script" {
  in     = "release"
  level  = "strip"
  reason = "text of start.boot, which BEAM reads"
}

file "releases/*/start_clean.script" {
  in     = "release"
  level  = "strip"
  reason = "text of start_clean.boot"
}

file "releases/*/start_clean.boot" {
  in     = "release"
  level  = "strip"
  reason = "boots for bin/NAME eval and remote, which are not there"
}

file "erts-*" {
  in       = "release"
  level    = "strip"
  emulator = true
  reason   = "the build host's emulator; the machine brings its own"
}

# OTP, where it is installed apart from the release.

file "erts-*/doc" {
  in     = "otp"
  level  = "strip"
  reason = "documentation"
}

file "erts-*/man" {
  in     = "otp"
  level  = "strip"
  reason = "manual pages"
}

file "erts-*/include" {
  in     = "otp"
  level  = "strip"
  reason = "header files for NIFs and drivers"
}

file "erts-*/lib" {
  in     = "otp"
  level  = "strip"
  reason = "static libraries for embedding the emulator"
}

file "erts-*/src" {
  in     = "otp"
  level  = "strip"
  reason = "scripts that Install fills in"
}

file "usr" {
  in     = "otp"
  level  = "strip"
  reason = "header files and libraries for C nodes, NIFs and drivers"
}

file "misc" {
  in     = "otp"
  level  = "strip"
  reason = "scripts of OTP's installation"
}

# The machine's root.

file "usr/share/doc" {
  in     = "root"
  level  = "strip"
  reason = "documentation"
}

file "usr/share/info" {
  in     = "root"
  level  = "strip"
  reason = "documentation"
}

file "usr/share/man" {
  in     = "root"
  level  = "strip"
  reason = "manual pages"
}

file "usr/include" {
  in     = "root"
  level  = "strip"
  reason = "header files"
}

file "usr/lib/pkgconfig" {
  in     = "root"
  level  = "strip"
  reason = "tells compilers how to link"
}

file "usr/lib/*.a" {
  in     = "root"
  level  = "strip"
  reason = "static libraries"
}
