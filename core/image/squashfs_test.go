package image

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/bundle"
	"github.com/somebloke1/elixir-lean-lab/core/inspect"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// listed is an entry as it is compared.
type listed struct {
	typ          rootfs.Type
	mode         os.FileMode
	uid, gid     int
	major, minor uint32
	link, text   string
}

func list(t *testing.T, tree *rootfs.Tree) map[string]listed {
	t.Helper()
	all := map[string]listed{}
	must(t, tree.Walk(func(e *rootfs.Entry) error {
		l := listed{e.Type, e.Mode, e.UID, e.GID, e.Major, e.Minor, e.Link, ""}
		if e.Type == rootfs.Regular {
			r, err := e.Open()
			if err != nil {
				return err
			}
			defer r.Close()
			text, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			l.text = string(text)
		}
		all[e.Path] = l
		return nil
	}))
	return all
}

func TestASquashfsHoldsTheTree(t *testing.T) {
	t.Parallel()
	for compression := range packers[bundle.Disk] {
		t.Run(compression, func(t *testing.T) {
			t.Parallel()
			s := specOf(t, bundle.Disk, "x86_64", compression)
			must(t, s.Tree.Symlink("/lib", "app/lib"))
			must(t, s.Tree.Device("/dev/console", rootfs.CharDevice, 0o600, 5, 1))
			must(t, s.Tree.HardLink("/app/noise.link", "/app/noise.beam"))
			must(t, s.Tree.File("/bin/su", 0o755|os.ModeSetuid, []byte("su")))
			must(t, s.Tree.File("/empty", 0o600, nil))
			home, err := s.Tree.Resolve("/app")
			must(t, err)
			home.UID, home.GID, home.Mode = 1000, 1001, 0o750
			root, err := s.Tree.Resolve("/")
			must(t, err)
			root.Mode = 0o711
			out, _ := write(t, s)
			img, err := inspect.Open(t.Context(), filepath.Join(out, "bundle/root.squashfs"), inspect.DefaultLimits)
			must(t, err)
			defer img.Close()
			needs(t, "unsquashfs")
			listing, err := exec.Command("unsquashfs", "-lln", filepath.Join(out, "bundle/root.squashfs")).Output()
			must(t, err)
			if first, _, _ := strings.Cut(string(listing), "\n"); !strings.HasPrefix(first, "drwx--x--x 0/0 ") {
				t.Errorf("its root is %s", first)
			}
			got, want := list(t, img.Tree), list(t, s.Tree)
			got["/"] = want["/"] // inspect does not read it
			for path, w := range want {
				if g, ok := got[path]; !ok || g != w {
					g.text, w.text = "", ""
					t.Errorf("%s is %+v, want %+v", path, g, w)
				}
			}
			if len(got) != len(want) {
				t.Errorf("it holds %d entries, want %d", len(got), len(want))
			}
			if a, b := mustGet(t, img.Tree, "/app/noise.beam"), mustGet(t, img.Tree, "/app/noise.link"); a.FileID() != b.FileID() {
				t.Error("hard links have become files of their own")
			}
			if img.Compression != compression {
				t.Errorf("it is packed with %s", img.Compression)
			}
		})
	}
}

func mustGet(t *testing.T, tree *rootfs.Tree, path string) *rootfs.Entry {
	t.Helper()
	e, ok := tree.Get(path)
	if !ok {
		t.Fatalf("there is no %s", path)
	}
	return e
}

func TestASquashfsDoesNotDependOnTheNumberOfProcessors(t *testing.T) {
	t.Parallel()
	s := specOf(t, bundle.Disk, "x86_64", "zstd")
	must(t, s.Tree.File("/app/large", 0o644, append(noise(5, 3<<20), make([]byte, 3<<20)...)))
	for i := range 500 {
		must(t, s.Tree.File("/app/"+string(rune('a'+i%26))+string(rune('a'+i/26)), 0o644, noise(uint64(i), i*50)))
	}
	p, err := PackerOf(s.Root, s.Compression)
	must(t, err)
	archive := filepath.Join(t.TempDir(), "tar")
	must(t, s.Tree.WriteTarFile(archive))
	var files [2]string
	for i, processors := range []string{"1", "7"} {
		out := filepath.Join(t.TempDir(), "squashfs")
		in, err := os.Open(archive)
		must(t, err)
		defer in.Close()
		must(t, p.run(t.Context(), s.Arch, out, func(cmd *exec.Cmd) {
			cmd.Stdin, cmd.Args = in, append(cmd.Args, "-processors", processors)
		}))
		data, err := os.ReadFile(out)
		must(t, err)
		files[i] = string(data)
	}
	if files[0] != files[1] {
		t.Errorf("%d and %d bytes, which differ", len(files[0]), len(files[1]))
	}
}
