# keep:
#   always       no release boots without it
#   conditional  stays when something in the release depends on it
#   never        of no use in a running VM; stays only when something depends on
#                it, or lean.keep names it, and then with a warning
# from:  who ships it: otp or elixir (for the size report)
# mix:   how mix release adds it to every release by itself, so that being in the
#        boot script says nothing: "started", or "none" (in the code path only)
#        (Mix.Release, @default_apps and from_config!/3)
# nif:   the library without which it does not work; linked into the emulator or
#        in its priv directory

# Always

application "kernel" {
  keep   = "always"
  from   = "otp"
  reason = "code server, files, network, logging, application control; OTP's boot starts with it"
}

application "stdlib" {
  keep   = "always"
  from   = "otp"
  reason = "gen_server, supervisor, ets, lists, io; kernel does not start without it"
}

application "elixir" {
  keep   = "always"
  from   = "elixir"
  mix    = "started"
  reason = "Elixir's standard library, and Config.Provider in the boot script"
}

# Conditional

application "compiler" {
  keep   = "conditional"
  from   = "otp"
  reason = "elixir.app lists it: Code.eval, runtime.exs, IEx and Module.create compile at run time"
}

application "asn1" {
  keep   = "conditional"
  from   = "otp"
  nif    = "asn1rt_nif.so"
  reason = "decodes the certificates of public_key (asn1rt_nif)"
}

application "crypto" {
  keep   = "conditional"
  from   = "otp"
  nif    = "crypto.so"
  reason = "hashes, ciphers and strong random numbers, from OpenSSL"
}

application "public_key" {
  keep   = "conditional"
  from   = "otp"
  reason = "certificates and keys, for ssl and ssh"
}

application "ssl" {
  keep   = "conditional"
  from   = "otp"
  reason = "TLS for clients and servers"
}

application "ssh" {
  keep   = "conditional"
  from   = "otp"
  reason = "SSH client and server"
}

application "inets" {
  keep   = "conditional"
  from   = "otp"
  reason = "httpc and httpd"
}

application "ftp" {
  keep   = "conditional"
  from   = "otp"
  reason = "FTP client"
}

application "tftp" {
  keep   = "conditional"
  from   = "otp"
  reason = "TFTP client and server"
}

application "eldap" {
  keep   = "conditional"
  from   = "otp"
  reason = "LDAP client"
}

application "xmerl" {
  keep   = "conditional"
  from   = "otp"
  reason = "XML parser"
}

application "mnesia" {
  keep   = "conditional"
  from   = "otp"
  reason = "distributed database"
}

application "odbc" {
  keep   = "conditional"
  from   = "otp"
  reason = "SQL databases through a port program"
}

application "snmp" {
  keep   = "conditional"
  from   = "otp"
  reason = "SNMP agent and manager"
}

application "diameter" {
  keep   = "conditional"
  from   = "otp"
  reason = "Diameter protocol"
}

application "megaco" {
  keep   = "conditional"
  from   = "otp"
  reason = "Megaco/H.248 protocol"
}

application "os_mon" {
  keep   = "conditional"
  from   = "otp"
  reason = "disk, memory and CPU supervision"
}

application "sasl" {
  keep   = "conditional"
  from   = "otp"
  mix    = "started"
  reason = "alarm_handler, release_handler and overload: upgrades in place, which a VM image is replaced for"
}

application "runtime_tools" {
  keep   = "conditional"
  from   = "otp"
  reason = "dbg, msacc, scheduler and what a remote observer calls"
}

application "tools" {
  keep   = "conditional"
  from   = "otp"
  reason = "cover, eprof, fprof, xref; rarely wanted outside development"
}

application "syntax_tools" {
  keep   = "conditional"
  from   = "otp"
  reason = "merl and erl_syntax, for code that builds code"
}

application "parsetools" {
  keep   = "conditional"
  from   = "otp"
  reason = "leex and yecc: generated parsers do not need it, only generating does"
}

application "erl_interface" {
  keep   = "conditional"
  from   = "otp"
  reason = "C library for nodes in C: it has no modules"
}

application "logger" {
  keep   = "conditional"
  from   = "elixir"
  reason = "Elixir's logging"
}

application "eex" {
  keep   = "conditional"
  from   = "elixir"
  reason = "templates; compiled ones need it only where they are evaluated at run time"
}

application "iex" {
  keep   = "conditional"
  from   = "elixir"
  mix    = "none"
  reason = "the prompt on the console, and for remote shells"
}

# Never

application "mix" {
  keep   = "never"
  from   = "elixir"
  reason = "builds projects; a release runs without it"
}

application "ex_unit" {
  keep   = "never"
  from   = "elixir"
  reason = "runs tests"
}

application "hex" {
  keep   = "never"
  from   = "elixir"
  reason = "fetches packages for mix"
}

application "common_test" {
  keep   = "never"
  from   = "otp"
  reason = "runs tests"
}

application "eunit" {
  keep   = "never"
  from   = "otp"
  reason = "runs tests"
}

application "debugger" {
  keep   = "never"
  from   = "otp"
  reason = "graphical, needs wx; stripped modules hold nothing to interpret"
}

application "dialyzer" {
  keep   = "never"
  from   = "otp"
  reason = "analyses debug information, which stripping takes"
}

application "edoc" {
  keep   = "never"
  from   = "otp"
  reason = "makes documentation from source"
}

application "et" {
  keep   = "never"
  from   = "otp"
  reason = "graphical event tracer, needs wx"
}

application "observer" {
  keep   = "never"
  from   = "otp"
  reason = "graphical, needs wx; observe from another node, with runtime_tools here"
}

application "wx" {
  keep   = "never"
  from   = "otp"
  reason = "graphics: a VM has no display"
}

application "reltool" {
  keep   = "never"
  from   = "otp"
  reason = "assembles releases"
}

application "jinterface" {
  keep   = "never"
  from   = "otp"
  reason = "Java library"
}
