package cli

import (
	"context"
	"errors"
	"os"

	"github.com/somebloke1/elixir-lean-lab/core/internal/bench"
	"github.com/somebloke1/elixir-lean-lab/core/internal/foreign"
	"github.com/somebloke1/elixir-lean-lab/core/internal/peer"
	"github.com/somebloke1/elixir-lean-lab/core/internal/report"
	"github.com/somebloke1/elixir-lean-lab/core/internal/store"
	"github.com/somebloke1/elixir-lean-lab/core/internal/ui"
	"github.com/somebloke1/elixir-lean-lab/core/source"
)

// benchMemoryMiB is the RAM that images are measured with.
const benchMemoryMiB = 128

// subject is something to be measured.
type subject struct {
	name string
	// open makes it ready; done gives up its files.
	open func(context.Context) (img bench.Image, done func(), err error)
}

func (s subject) measure(ctx context.Context, o bench.Options) (*report.Measured, error) {
	img, done, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return bench.Measure(ctx, img, o)
}

// subjects are the images and then the peers. What brings no kernel is booted with
// that of --kernel, or else with that of the first build that it is compared with.
func (a *App) subjects(f benchFlags, images []string, out ui.UI) []subject {
	if len(images) == 0 && f.kernel != "" && f.initrd != "" {
		images = []string{""}
	}
	lender := f.kernel
	flags := make([]machineFlags, len(images)) // of none for a bundle, which has all that they say
	for i, image := range images {
		flags[i] = f.machineFlags
		path, _, err := a.imagePath(image)
		if image == "" || err != nil {
			continue // to be told why when it is opened
		}
		if b, err := bundleTarget(path); err == nil {
			flags[i] = machineFlags{}
			if lender == "" && b.Initrd != "" {
				lender = path
			}
		}
	}
	var list []subject
	for i, image := range images {
		list = append(list, subject{image, func(ctx context.Context) (bench.Image, func(), error) {
			return a.benchImage(ctx, f, image, flags[i], rootUse{packed: true, kernel: lender, ui: out})
		}})
	}
	for _, name := range f.peers {
		list = append(list, subject{name, func(ctx context.Context) (bench.Image, func(), error) { return a.benchPeer(ctx, f, lender, name, out) }})
	}
	return list
}

// benchImage is an image that was given.
func (a *App) benchImage(ctx context.Context, f benchFlags, image string, flags machineFlags, use rootUse) (bench.Image, func(), error) {
	t, err := a.findTarget(ctx, image, flags, use)
	if err != nil {
		return bench.Image{}, nil, err
	}
	if f.memory > 0 {
		t.MemoryMiB = f.memory
		if err := a.enoughMemory(t); err != nil {
			t.done()
			return bench.Image{}, nil, err
		}
	}
	img := bench.Image{Name: t.name, Path: t.image, Config: t.Config, Built: builtFrom(t.manifest)}
	img.MemoryMiB = memoryToMeasure(f, t)
	done, err := t.benchRoot(&img, f.ready)
	if err != nil {
		t.done()
		return bench.Image{}, nil, err
	}
	return img, func() { done(); t.done() }, nil
}

// memoryToMeasure is 0 where it is as good as any other image's.
func memoryToMeasure(f benchFlags, t *target) int {
	if f.memory > 0 || t.leastMiB == 0 || t.enoughMiB <= benchMemoryMiB {
		return f.memory
	}
	return t.enoughMiB
}

// benchRoot says what of the target can be measured, and has its /init look for
// ready where nothing else says that it is.
func (t *target) benchRoot(img *bench.Image, ready string) (done func(), err error) {
	done = func() {}
	switch {
	case t.root == nil && t.saysReady, t.root != nil && t.root.Given:
	case t.root == nil || t.root.Boot == nil:
		img.NoBoot, img.Ready, img.Kill = "its init is not leanlab's, which counts", ready, true
		if ready == "" {
			img.NoBoot += "; give a text that says that it is ready with --ready, and what shows from outside is measured"
		}
	case ready == "":
		img.NoBoot = "it does not say when it is ready: give a text that it then prints with --ready"
	default:
		boot := *t.root.Boot
		boot.Ready = ready
		file, err := t.withBoot(&img.Config, "", boot)
		if err != nil {
			return nil, err
		}
		img.Boot, img.Kill = &boot, true
		if !t.root.BEAM {
			img.NoMicro = "there is no BEAM in it"
		}
		done = func() { os.Remove(file) }
	}
	return done, nil
}

// builtFrom is what a manifest knows; there may be none.
func builtFrom(m *report.Manifest) report.Built {
	if m == nil {
		return report.Built{}
	}
	built := report.Built{Strategy: m.Strategy, Lean: m.Lean.Level, Versions: map[string]string{}}
	for _, source := range m.Sources {
		built.Versions[source.Name] = source.Version
	}
	return built
}

// benchPeer builds a peer.
func (a *App) benchPeer(ctx context.Context, f benchFlags, lender, name string, out ui.UI) (img bench.Image, done func(), err error) {
	k, err := a.rootKernel(ctx, "peer "+name, lender)
	if err != nil {
		return img, nil, err
	}
	cache, err := store.DefaultDir(a.getenv)
	if err != nil {
		return img, nil, err
	}
	st, err := store.Open(cache)
	if err != nil {
		return img, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.Close())
		}
	}()
	p, err := peer.Build(ctx, name, peer.Options{Arch: k.Arch, Init: k.init, Store: st, UI: out,
		Sources: source.New(source.Options{Dir: st.SourcesDir()})})
	if err != nil {
		return img, nil, err
	}
	t, err := bundleTarget(p.Dir)
	if err != nil {
		return img, nil, err
	}
	info, err := os.Stat(t.Initrd)
	if err != nil {
		return img, nil, err
	}
	t.enoughMiB, t.leastMiB = foreign.MemoryMiB(p.RootBytes, info.Size())
	img = bench.Image{Name: name, Path: name, Config: t.Config, Kill: true,
		Built: report.Built{Strategy: "peer", Versions: map[string]string{}}, Note: p.Note()}
	img.MemoryMiB = max(f.memory, t.enoughMiB) // --memory is for the images that are given
	for _, pkg := range append([]peer.Package{p.Kernel}, p.Packages...) {
		img.Packages = append(img.Packages, report.Package(pkg))
		if name := p.Source(pkg.Name); name != "" {
			img.Built.Versions[name] = pkg.Version
		}
	}
	return img, func() { st.Close() }, nil
}
