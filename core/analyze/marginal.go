package analyze

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/somebloke1/elixir-lean-lab/core/bundle"
	"github.com/somebloke1/elixir-lean-lab/core/image"
	"github.com/somebloke1/elixir-lean-lab/core/inspect"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// Marginal is how marginal costs were measured: the root was compressed again
// without a part's files, and the rest is what the whole root took, compressed
// in the same way, beyond that.
type Marginal struct {
	Command     string `json:"command"`      // the compressor, with its settings
	Version     string `json:"version"`      // what it says of its own
	RootBytes   int64  `json:"root_bytes"`   // the whole root, compressed by it
	InitrdBytes int64  `json:"initrd_bytes"` // the image's own
	// Same is whether these are the same bytes: then the settings are the image's
	// own. Otherwise they are leanlab's, and so is the order of the files.
	Same bool `json:"same"`
}

// atOnce is how many compressors run at a time. Each takes a processor, and the
// most for its window that this project's images ask for.
const atOnce = 2

// Measure measures what the image, which must be Measurable, would lose without
// each of some components of its analysis, and sets their MarginalBytes. Progress is called, never twice at a
// time, when a root begins to be compressed, which next then names, and when it is
// done.
//
// Parts with the same files, such as a group of one component, are measured
// once. What is beside the root, such as a kernel in a file of its own, costs
// what it takes. Directories and links stay where a part's files are left out.
func (a *Analysis) Measure(ctx context.Context, img *inspect.Image, parts []*Component, progress func(done, total int, next string)) error {
	m := &meter{img: img, progress: progress}
	for _, part := range parts {
		m.add(part)
	}
	settings, err := settingsOf(img.Compression)
	if err != nil {
		return err
	}
	m.total += len(settings)
	whole, err := m.whole(ctx, settings)
	if err != nil {
		return err
	}
	if err := m.each(ctx); err != nil {
		return err
	}
	a.Marginal = whole
	return nil
}

// Measurable returns an error that says why not, if an image's root is in no
// stream that leanlab compresses.
func Measurable(img *inspect.Image) error {
	why := ""
	switch {
	// A bundle whose root is no initrd has a squashfs.
	case img.Initrd == "" && slices.Contains([]string{"bundle", "squashfs"}, img.Format), img.Format == "erofs" && img.Compression != "":
		why = "its root's format compresses blocks by themselves, and each file has its own: packed is what it would lose, but for the blocks that hold the ends of several files"
	case img.Initrd == "":
		why = fmt.Sprintf("it is measured where the root is an initrd, by itself or in a bundle, and this is %s", img.Format)
	case img.Compression == "":
		why = "its root is not compressed: packed is what it would lose, but for headers"
	case img.Compression != "zstd" && img.Compression != "xz":
		why = fmt.Sprintf("its root is in %s, and leanlab compresses in zstd and xz", img.Compression)
	}
	if why == "" {
		return nil
	}
	return fmt.Errorf("%s: the marginal cost of its parts cannot be measured: %s", img.Path, why)
}

// setting is a compressor's command line.
type setting struct{ command, compression, arch string }

func packer(compression string) (image.Packer, error) {
	return image.PackerOf(bundle.Initramfs, compression)
}

// settingsOf are the command lines that initrds of a compression are made with,
// one for each architecture that has its own.
func settingsOf(compression string) ([]setting, error) {
	p, err := packer(compression)
	if err != nil {
		return nil, err
	}
	var settings []setting
	for _, arch := range []string{"x86_64", "aarch64"} {
		command := p.Command(arch)
		if !slices.ContainsFunc(settings, func(s setting) bool { return s.command == command }) {
			settings = append(settings, setting{command, compression, arch})
		}
	}
	return settings, nil
}

// meter measures.
type meter struct {
	img      *inspect.Image
	measures []*measure
	with     setting
	root     int64 // bytes of the whole root

	mu          sync.Mutex
	done, total int
	progress    func(done, total int, next string)
}

// measure is one set of files, and the components that consist of it.
type measure struct {
	files  map[string]bool // in the root
	beside int64           // bytes of those that are not in it
	parts  []*Component
}

// add adds what is to be measured of a part. Structures have no files.
func (m *meter) add(part *Component) {
	made := &measure{files: map[string]bool{}, parts: []*Component{part}}
	made.leaves(part)
	if len(made.files) == 0 && made.beside == 0 {
		return
	}
	for _, have := range m.measures {
		if have.same(made) {
			have.parts = append(have.parts, part)
			return
		}
	}
	if len(made.files) == 0 { // nothing is to be compressed for it
		part.MarginalBytes = &made.beside
		return
	}
	m.measures = append(m.measures, made)
	m.total++
}

func (s *measure) leaves(c *Component) {
	switch {
	case len(c.Children) > 0:
		for _, child := range c.Children {
			s.leaves(child)
		}
	case c.Kind == kindStructure:
	case c.Path != "":
		s.files[c.Path] = true
	default:
		s.beside += c.PackedBytes
	}
}

func (s *measure) same(other *measure) bool {
	if len(s.files) != len(other.files) || s.beside != other.beside {
		return false
	}
	for name := range s.files {
		if !other.files[name] {
			return false
		}
	}
	return true
}

// whole compresses the whole root, in the settings that the image may have had,
// until one gives the image's own bytes. If none does, the smallest stays.
func (m *meter) whole(ctx context.Context, settings []setting) (*Marginal, error) {
	own := newCounter()
	initrd, err := os.Open(m.img.Initrd)
	if err != nil {
		return nil, err
	}
	defer initrd.Close()
	if _, err := io.Copy(own, initrd); err != nil {
		return nil, err
	}
	var found *Marginal
	for i, with := range settings {
		made, err := m.compress(ctx, "the whole root", m.img.Tree, with)
		if err != nil {
			return nil, err
		}
		same := bytes.Equal(made.Sum(nil), own.Sum(nil))
		if found == nil || made.n < m.root || same {
			found = &Marginal{Command: with.command, RootBytes: made.n, InitrdBytes: own.n, Same: same}
			m.with, m.root = with, made.n
		}
		if same {
			m.total -= len(settings) - i - 1
			break
		}
	}
	p, err := packer(m.with.compression)
	if err != nil {
		return nil, err
	}
	found.Version, err = p.Version()
	return found, err
}

// each compresses the root without each set of files.
func (m *meter) each(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, s := range m.measures {
		group.Go(func() error {
			rest := m.img.Tree.Without(func(e *rootfs.Entry) bool { return s.files[e.Path] })
			made, err := m.compress(ctx, "without "+s.parts[len(s.parts)-1].Name, rest, m.with)
			if err != nil {
				return err
			}
			n := s.beside + m.root - made.n
			for _, part := range s.parts {
				part.MarginalBytes = &n
			}
			return nil
		})
	}
	return group.Wait()
}

func (m *meter) compress(ctx context.Context, what string, tree *rootfs.Tree, with setting) (*counter, error) {
	m.tell(0, what)
	made := newCounter()
	if err := image.WriteInitrd(ctx, tree, with.compression, with.arch, made); err != nil {
		return nil, err
	}
	m.tell(1, "")
	return made, nil
}

func (m *meter) tell(done int, next string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += done
	m.progress(m.done, m.total, next)
}

// counter counts and digests what is written to it.
type counter struct {
	hash.Hash
	n int64
}

func newCounter() *counter { return &counter{Hash: sha256.New()} }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.Hash.Write(p)
}
