package main

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/source"
)

// thirty are packages of the sizes that a root of Elixir's has on Alpine: OTP
// with its thousands of files, the C library, and many small ones. 40 MB packed.
func thirty() []built {
	random := rand.NewChaCha8([32]byte{1})
	// Half of it does not compress, as programs.
	data := func(n int) string {
		b := make([]byte, n)
		random.Read(b[:n/2])
		return string(b)
	}
	packages := system("x86_64")
	var otp []entry
	for i := range 2500 {
		otp = append(otp, entry{name: fmt.Sprintf("usr/lib/erlang/lib/app-%d/ebin/module%d.beam", i/100, i), mode: 0o644, data: data(24 << 10)})
	}
	otp = append(otp,
		entry{name: "usr/lib/erlang/erts-15.2.7.4/bin/beam.smp", mode: 0o755, data: elfFile("x86_64") + data(5<<20)},
		entry{name: "usr/lib/erlang/erts-15.2.7.4/bin/erl_child_setup", mode: 0o755, data: data(20 << 10)})
	i, old := find(packages, "erlang27")
	packages[i] = pkg{name: "erlang27", version: old.Version, depends: old.Dependencies, files: otp}.build()
	for i := range 25 {
		packages = append(packages, pkg{name: fmt.Sprintf("library%d", i), version: "1-r0", files: []entry{
			{name: fmt.Sprintf("usr/lib/liblibrary%d.so.1", i), mode: 0o755, data: data(500 << 10)}}}.build())
	}
	return packages
}

// BenchmarkThirtyPackages installs a root of thirty packages: resolved and fetched
// for the first time (cold), from the cache without a lock (warm), and locked, as
// every build but the first.
func BenchmarkThirtyPackages(b *testing.B) {
	m := newMirror(b)
	m.publish("main", "x86_64", thirty()...)
	def := definition(b, m, func(c map[string]any) {
		var names []string
		for i := range 25 {
			names = append(names, fmt.Sprintf("library%d", i))
		}
		c["packages"] = names
	})
	installed := func(b *testing.B, set builder.FetchedSource, err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := (alpine{}).Build(b.Context(), &builder.BuildRequest{Definition: def, Step: stepRoot, Out: b.TempDir(), Work: b.TempDir(),
			Sources: map[string]builder.FetchedSource{sourceAlpine: set}}, noEvents{}); err != nil {
			b.Fatal(err)
		}
	}
	lock, err := source.LoadLock(b.TempDir() + "/leanlab.lock.hcl")
	if err != nil {
		b.Fatal(err)
	}
	warm := b.TempDir()
	for _, mode := range []struct {
		name    string
		options func() source.Options
	}{
		{"cold", func() source.Options { return source.Options{Dir: b.TempDir()} }},
		{"warm", func() source.Options { return source.Options{Dir: warm} }},
		{"locked", func() source.Options { return source.Options{Dir: warm, Lock: lock} }},
	} {
		b.Run(mode.name, func(b *testing.B) {
			before := processorTime()
			for b.Loop() {
				set, err := fetch(b, def, mode.options())
				installed(b, set, err)
			}
			b.ReportMetric((processorTime()-before).Seconds()/float64(b.N), "cpu-s/op")
		})
	}
}

// processorTime is what this process has used: unlike the time that passed, it
// says little of what else the machine does.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
