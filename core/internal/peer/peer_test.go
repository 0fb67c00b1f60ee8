package peer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/guest"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
	"github.com/somebloke1/elixir-lean-lab/core/source"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// deb builds a real package of files: "->target" is a link, "=name" another name of
// a file before it, and anything else a text.
func deb(t *testing.T, name string, files ...[2]string) string {
	t.Helper()
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skipf("packages cannot be built: %v", err)
	}
	dir := t.TempDir()
	root := filepath.Join(dir, name)
	write := func(path, text string) {
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(text), 0o755))
	}
	write(filepath.Join(root, "DEBIAN/control"), fmt.Sprintf("Package: %s\nVersion: 1\nArchitecture: amd64\nMaintainer: A <a@example.org>\nDescription: x\n", name))
	write(filepath.Join(root, "DEBIAN/postinst"), "#!/bin/sh\ntouch /ran\n")
	for _, f := range files {
		path := filepath.Join(root, f[0])
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		switch {
		case strings.HasPrefix(f[1], "->"):
			must(t, os.Symlink(f[1][2:], path))
		case strings.HasPrefix(f[1], "="):
			must(t, os.Link(filepath.Join(root, f[1][1:]), path))
		default:
			write(path, f[1])
			if strings.HasPrefix(f[1], "setuid") {
				must(t, os.Chmod(path, 0o755|fs.ModeSetuid))
			}
		}
	}
	file := filepath.Join(dir, name+"_1_amd64.deb")
	if out, err := exec.Command("dpkg-deb", "--root-owner-group", "--build", root, file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

func TestPackagesAreUnpackedIntoOneRoot(t *testing.T) {
	t.Parallel()
	files := []string{
		deb(t, "base-files", [2]string{"bin", "->usr/bin"}, [2]string{"lib", "->usr/lib"}, [2]string{"usr/bin/base", "base"}),
		deb(t, "mount", [2]string{"bin/mount", "setuid mount"}, [2]string{"usr/bin/also", "=bin/mount"}),
		deb(t, "elixir", [2]string{"usr/bin/elixir", "->../lib/elixir/bin/elixir"}, [2]string{"usr/lib/elixir/bin/elixir", "#!/bin/sh"}),
	}
	b := &building{Options: Options{Init: []byte("our init")}, work: t.TempDir()}
	tree, err := b.tree(t.Context(), files)
	must(t, err)
	for name, want := range map[string]string{
		"/usr/bin/mount": "setuid mount", "/usr/bin/also": "setuid mount", "/usr/bin/base": "base", "/bin/elixir": "#!/bin/sh", "/init": "our init",
	} {
		e, err := tree.Resolve(name)
		must(t, err)
		r, err := e.Open()
		must(t, err)
		data, err := io.ReadAll(r)
		must(t, errors.Join(err, r.Close()))
		if string(data) != want || e.UID != 0 || e.GID != 0 {
			t.Errorf("%s: %q of %d:%d", name, data, e.UID, e.GID)
		}
	}
	if e, _ := tree.Get("/usr/bin/mount"); e.Mode != 0o755|fs.ModeSetuid {
		t.Errorf("its mode is %v", e.Mode)
	}
	if e, err := tree.Resolve(guest.BootPath); err != nil || e.Size() == 0 {
		t.Errorf("the boot file: %v", err)
	}
	if e, _ := tree.Get("/dev/console"); e == nil || e.Type != rootfs.CharDevice {
		t.Errorf("the console is %v", e)
	}
	for _, name := range []string{"/ran", "/DEBIAN"} {
		if _, ok := tree.Get(name); ok {
			t.Errorf("%s is in the root", name)
		}
	}

	if _, err := b.tree(t.Context(), files[:2]); err == nil || !strings.Contains(err.Error(), "there is no /usr/bin/elixir in its packages") {
		t.Errorf("without elixir: %v", err)
	}
	broken := filepath.Join(t.TempDir(), "broken.deb")
	must(t, os.WriteFile(broken, []byte("no package"), 0o644))
	if _, err := b.tree(t.Context(), []string{broken}); err == nil || !strings.Contains(err.Error(), "dpkg-deb --fsys-tarfile "+broken) {
		t.Errorf("of a broken package: %v", err)
	}
}

func TestTheLinksOfMergedUsrComeFirst(t *testing.T) {
	t.Parallel()
	var got []string
	for _, d := range inOrder([]source.Deb{{Package: "adduser"}, {Package: "apt"}, {Package: "base-files"}, {Package: "bash"}}) {
		got = append(got, d.Package)
	}
	if s := strings.Join(got, " "); s != "base-files adduser apt bash" {
		t.Errorf("they are unpacked in the order %s", s)
	}
}

func TestTheKernelIsTakenOutOfItsPackage(t *testing.T) {
	t.Parallel()
	d := source.Deb{Package: "linux-image-6.12.9+deb13-cloud-amd64"}
	file := deb(t, "linux-image", [2]string{"boot/vmlinuz-6.12.9+deb13-cloud-amd64", "the kernel"}, [2]string{"usr/lib/modules/x.ko", "a module"})
	b := &building{work: t.TempDir()}
	kernel, err := b.kernel(t.Context(), file, vmlinuz(d))
	must(t, err)
	if data, err := os.ReadFile(kernel); err != nil || string(data) != "the kernel" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := b.kernel(t.Context(), file, "/boot/vmlinuz-7"); err == nil || !strings.Contains(err.Error(), "linux-image_1_amd64.deb: /boot/vmlinuz-7") {
		t.Errorf("of another version: %v", err)
	}
}

func TestWhatIsNoPeerIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := Build(t.Context(), "debian-12", Options{Arch: arch}); err == nil || !strings.Contains(err.Error(), "known are debian-13") {
		t.Errorf("%v", err)
	}
	if _, err := Build(t.Context(), Debian13, Options{Arch: "aarch64"}); err == nil || !strings.Contains(err.Error(), "is for x86_64") {
		t.Errorf("%v", err)
	}
	if _, err := boot.Encode(); err != nil {
		t.Errorf("its boot file: %v", err)
	}
}

func TestThePeersKeyIsItsPackages(t *testing.T) {
	t.Parallel()
	p := &Peer{Kernel: Package{"linux", "6", "aa"}, Packages: []Package{{"elixir", "1.18", "bb"}}}
	o := Options{Init: []byte("x")}
	first, err := p.step(Debian13, o)
	if err != nil {
		t.Skipf("there is no compressor: %v", err)
	}
	keys := map[string]bool{first.Key(): true}
	for _, change := range []func(){
		func() { p.Packages[0].SHA256 = "cc" }, func() { p.Packages[0].Version = "1.19" }, func() { p.Kernel.SHA256 = "dd" },
		func() { p.Packages = append(p.Packages, Package{"more", "1", "ee"}) }, func() { o.Init = []byte("y") },
	} {
		change()
		s, err := p.step(Debian13, o)
		must(t, err)
		if keys[s.Key()] {
			t.Errorf("%+v has the key of another", s.Inputs)
		}
		keys[s.Key()] = true
	}
}
