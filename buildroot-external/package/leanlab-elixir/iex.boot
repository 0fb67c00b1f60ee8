# What /init does (docs/architecture.md, "The guest"): iex on the console, as the
# script of that name starts it, without a shell. @ERTS@ becomes erts-VERSION.
# The dot: OTP asks the program inet_gethost about a host name without a domain.
hostname leanlab.localdomain
user 1000 1000
chdir /home/app
env HOME=/home/app
env PATH=/usr/sbin:/usr/bin:/sbin:/bin
env LANG=C.UTF-8
env TERM=vt220
env ROOTDIR=/usr/lib/erlang
env BINDIR=/usr/lib/erlang/@ERTS@/bin
env EMU=beam
env PROGNAME=erl
env ERL_INETRC=/etc/erl_inetrc
env ERL_LIBS=/usr/lib/elixir/lib
dhcp eth0
exec /usr/lib/erlang/@ERTS@/bin/beam.smp
# Elixir wants UTF-8 file names, and here is no locale to ask.
arg -fnu
# OTP's table for a million processes takes 15 MB.
arg -P
arg 65536
arg --
arg -root
arg /usr/lib/erlang
arg -bindir
arg /usr/lib/erlang/@ERTS@/bin
arg -progname
arg erl
arg --
arg -home
arg /home/app
arg --
arg -noshell
arg -boot
arg /usr/lib/erlang/bin/start
arg -eval
arg file:make_dir("/run/leanlab/ready").
arg -elixir
arg ansi_enabled
arg true
arg -user
arg elixir
arg -extra
arg --no-halt
arg +iex
