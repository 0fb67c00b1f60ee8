package peer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/bundle"
	"github.com/somebloke1/elixir-lean-lab/core/guest"
	"github.com/somebloke1/elixir-lean-lab/core/image"
	"github.com/somebloke1/elixir-lean-lab/core/internal/foreign"
	"github.com/somebloke1/elixir-lean-lab/core/internal/store"
	"github.com/somebloke1/elixir-lean-lab/core/internal/ui"
	"github.com/somebloke1/elixir-lean-lab/core/source"
)

// Debian13 is the one peer that is known.
const Debian13 = "debian-13"

// Names are the peers that Build knows.
func Names() []string { return []string{Debian13} }

const (
	suite = "trixie"
	// arch is the only one whose kernel package holds what QEMU boots.
	arch       = "x86_64"
	debianArch = "amd64"
	// kernels are the packages of the cloud kernel itself, of which
	// linux-image-cloud-amd64 depends on the newest.
	kernels = `linux-image-[0-9.]+\+deb13-cloud-amd64`
)

// packages are what apt is to install (apt-patterns(7)).
var packages = []string{"?priority(required)", "erlang-base", "elixir"}

// cmdline is a build's own (quiet), and no limit on what the root may take.
const cmdline = "quiet " + foreign.Cmdline

// compression is what a build's root has by default.
const compression = "zstd"

// boot runs Debian's elixir. The C library knows C.UTF-8 by itself.
var boot = guest.Boot{
	Hostname: "debian",
	Exec:     "/usr/bin/elixir",
	Args: []string{"-e", `IO.puts("Hello from Elixir #{System.version()} on OTP #{System.otp_release()}"); File.mkdir!("` + guest.ReadyDir +
		`"); Process.sleep(:infinity)`},
	Env: map[string]string{"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8", "TERM": "vt220"},
}

// recipe changes whenever the same packages would make something else.
const recipe = "1"

// Options is what a peer is built with.
type Options struct {
	Arch    string // of the images that it is compared with
	Init    []byte // our /init for that
	Store   *store.Store
	Sources *source.Sources
	UI      ui.UI
}

// Package is one that a peer consists of.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
}

// Peer is ready to boot.
type Peer struct {
	Dir       string    `json:"-"` // of its bundle: kernel, initrd, cmdline
	Kernel    Package   `json:"kernel"`
	Packages  []Package `json:"packages"`
	RootBytes int64     `json:"root_bytes"` // in memory, unpacked
}

// Note says what the peer is, beside its figures.
func (p *Peer) Note() string {
	return fmt.Sprintf("the %d packages of Debian 13 that are required, erlang-base and elixir need, with the kernel of %s and without its modules; "+
		"unpacked without their maintainer scripts, packed as leanlab packs a root, and started by leanlab's /init instead of a service manager; it is not asked to go down",
		len(p.Packages), p.Kernel.Name)
}

// Source is what a package brings, as a build's sources are named; empty for all
// that is not compared.
func (p *Peer) Source(name string) string {
	return map[string]string{"erlang-base": "erlang", "elixir": "elixir", p.Kernel.Name: "linux"}[name]
}

// What an entry of the store has beside the bundle.
const peerFile = "peer.json"

// Build builds a peer, or takes it from the store: which packages there are, the
// archive is asked every time.
func Build(ctx context.Context, name string, o Options) (*Peer, error) {
	if !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("there is no peer %q; known are %s", name, strings.Join(Names(), ", "))
	}
	if o.Arch != arch {
		return nil, fmt.Errorf("peer %s: is for %s, and what it is compared with for %s", name, arch, o.Arch)
	}
	var archive *source.Archive
	var root []source.Deb
	var kernel source.Deb
	err := step(o.UI, name+": which packages", func(ui.Step) (err error) {
		if archive, err = o.Sources.OpenArchive(ctx, suite, debianArch); err != nil {
			return err
		}
		if root, err = archive.Resolve(ctx, packages...); err != nil {
			return err
		}
		kernel, err = archive.Newest(ctx, kernels)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("peer %s: %w (it is built on a host with apt, dpkg-deb and an archive of Debian)", name, err)
	}
	p := &Peer{Kernel: packageOf(kernel)}
	for _, d := range root {
		p.Packages = append(p.Packages, packageOf(d))
	}
	s, err := p.step(name, o)
	if err != nil {
		return nil, err
	}
	entry, _, err := o.Store.Build(ctx, s, func(ctx context.Context, out, work string) error {
		b := &building{Options: o, peer: p, archive: archive, out: out, work: work}
		return b.run(ctx, name, root, kernel)
	})
	if err != nil {
		return nil, fmt.Errorf("peer %s: %w", name, err)
	}
	p.Dir = filepath.Join(entry.Dir, "bundle")
	data, err := os.ReadFile(filepath.Join(entry.Dir, peerFile))
	if err != nil {
		return nil, err
	}
	return p, json.Unmarshal(data, p)
}

func packageOf(d source.Deb) Package { return Package{d.Package, d.Version, d.SHA256} }

// step is what a peer is made from.
func (p *Peer) step(name string, o Options) (store.Step, error) {
	text, err := boot.Encode()
	if err != nil {
		return store.Step{}, err
	}
	packer, err := image.PackerOf(bundle.Initramfs, compression)
	if err != nil {
		return store.Step{}, err
	}
	compressor, err := packer.Version()
	if err != nil {
		return store.Step{}, err
	}
	init := sha256.Sum256(o.Init)
	inputs := store.Inputs{"init": hex.EncodeToString(init[:]), "boot": string(text), "cmdline": cmdline,
		"compression": compression + ", " + compressor, "recipe": recipe}
	for _, d := range append([]Package{p.Kernel}, p.Packages...) {
		inputs["package "+d.Name] = d.Version + " " + d.SHA256
	}
	return store.Step{Kind: "peer", Scope: name, Inputs: inputs}, nil
}

// step shows what do does.
func step(out ui.UI, title string, do func(ui.Step) error) error {
	s := out.Start("peer", title)
	if err := do(s); err != nil {
		s.Fail(err)
		return err
	}
	s.Done("")
	return nil
}

// vmlinuz is the kernel's file in its package.
func vmlinuz(d source.Deb) string {
	return path.Join("/boot", "vmlinuz-"+strings.TrimPrefix(d.Package, "linux-image-"))
}
