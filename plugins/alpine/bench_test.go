package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
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
// every build but the first. Beside it stands the floor: the files of OTP, which
// the step puts on a disk, created and filled by nothing but os.WriteFile. On a
// file system that is slow to create files it is most of the time; TMPDIR chooses
// another. Nothing is removed before the end, since ext4 creates files slowly where
// it has removed some a moment ago.
func BenchmarkThirtyPackages(b *testing.B) {
	m := newMirror(b)
	packages := thirty()
	m.publish("main", "x86_64", packages...)
	def := definition(b, m, func(c map[string]any) {
		var names []string
		for i := range 25 {
			names = append(names, fmt.Sprintf("library%d", i))
		}
		c["packages"] = names
	})
	all, runs := b.TempDir(), 0
	fresh := func(b *testing.B) string {
		b.Helper()
		runs++
		dir := filepath.Join(all, strconv.Itoa(runs))
		if err := os.Mkdir(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		return dir
	}
	install := func(b *testing.B, o source.Options) {
		b.Helper()
		set, err := fetch(b, def, o)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := (alpine{}).Build(b.Context(), &builder.BuildRequest{Definition: def, Step: stepRoot, Out: fresh(b), Work: fresh(b),
			Sources: map[string]builder.FetchedSource{sourceAlpine: set}}, noEvents{}); err != nil {
			b.Fatal(err)
		}
	}
	lock, err := source.LoadLock(filepath.Join(fresh(b), "leanlab.lock.hcl"))
	if err != nil {
		b.Fatal(err)
	}
	warm := fresh(b)
	files := releaseFiles(packages)
	for _, mode := range []struct {
		name string
		run  func(b *testing.B)
	}{
		{"files", func(b *testing.B) { writeFiles(b, fresh(b), files) }},
		{"cold", func(b *testing.B) { install(b, source.Options{Dir: fresh(b)}) }},
		{"warm", func(b *testing.B) { install(b, source.Options{Dir: warm}) }},
		{"locked", func(b *testing.B) { install(b, source.Options{Dir: warm, Lock: lock}) }},
	} {
		b.Run(mode.name, func(b *testing.B) {
			before := processorTime()
			for b.Loop() {
				mode.run(b)
			}
			b.ReportMetric((processorTime()-before).Seconds()/float64(b.N), "cpu-s/op")
		})
	}
}

// releaseFiles are the contents of OTP's files, by name.
func releaseFiles(packages []built) map[string][]byte {
	i, _ := find(packages, "erlang27")
	zr, err := gzip.NewReader(bytes.NewReader(packages[i].data))
	if err != nil {
		panic(err)
	}
	files := map[string][]byte{}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			panic(err)
		}
		if h.Typeflag == tar.TypeReg {
			if files[h.Name], err = io.ReadAll(tr); err != nil {
				panic(err)
			}
		}
	}
}

func writeFiles(b *testing.B, dir string, files map[string][]byte) {
	b.Helper()
	for name, data := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			b.Fatal(err)
		}
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
