package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/source"
)

// BenchmarkContainerBuild builds one Dockerfile as the strategy does, from the
// fetched image to the root, and with the bare engine, from the same image in a
// storage of its own to an exported tar. What the first takes more is the isolation's
// probe, names of our own, and the root.
func BenchmarkContainerBuild(b *testing.B) {
	host := newRegistry(b)
	push(b, host+"/team/base:1", shellImage(b, releaseEntries("15.2.7.4")...))
	text := "FROM " + host + "/team/base:1 AS builder\nCOPY . /app/lib\nRUN echo built > /built\nFROM scratch\nCOPY --from=builder / /\n"
	for _, engine := range daemonless {
		def := containerDefinition(b, engine, text, nil)
		req, err := containerRequest(b, def, source.Options{Dir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(engine+"/leanlab", func(b *testing.B) {
			needEngine(b, engine)
			for b.Loop() {
				again := *req
				again.Out, again.Work = b.TempDir(), b.TempDir()
				if _, err := (alpine{}).Build(b.Context(), &again, noEvents{}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(engine+"/bare", func(b *testing.B) {
			needEngine(b, engine)
			probed := &podman{name: engine, program: engine, arch: hostArch(), dir: filepath.Join(b.TempDir(), "engine")}
			if err := probed.prepare(b.Context(), noEvents{}); err != nil {
				b.Fatal(err)
			}
			defer probed.close()
			archive := filepath.Join(b.TempDir(), "base.tar")
			if err := writeArchive(archive, strings.ReplaceAll(host, ":", "-")+".invalid/team/base:1", b.TempDir(), req.Sources["image-base"]); err != nil {
				b.Fatal(err)
			}
			bare := strings.Replace(text, host+"/team/base:1", strings.ReplaceAll(host, ":", "-")+".invalid/team/base:1", 1)
			dir := b.TempDir()
			writeFile(b, filepath.Join(dir, "Dockerfile"), []byte(bare))
			for b.Loop() {
				load := []string{"load", "--quiet", "--input", archive}
				if engine == engineBuildah {
					load = []string{"pull", "--quiet", "docker-archive:" + archive}
				}
				fresh := &podman{name: engine, program: engine, arch: hostArch(), dir: filepath.Join(b.TempDir(), "engine"), driver: probed.driver, isolation: probed.isolation}
				if err := fresh.makeDirs(); err != nil {
					b.Fatal(err)
				}
				for _, cmd := range []*exec.Cmd{fresh.command(load...),
					fresh.buildCommand("--file", filepath.Join(dir, "Dockerfile"), "--output", "type=tar,dest="+filepath.Join(dir, "root.tar"), def.App.Path)} {
					if err := builder.Run(b.Context(), noEvents{}, cmd); err != nil {
						b.Fatal(err)
					}
				}
				fresh.close()
			}
		})
	}
}
