package analyze

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/image"
	"github.com/somebloke1/elixir-lean-lab/core/inspect"
)

// initrdSize is that of a bundle's initrd, as the bundle is written.
func initrdSize(t testing.TB, img *inspect.Image) int64 {
	t.Helper()
	info, err := os.Stat(img.Initrd)
	must(t, err)
	return info.Size()
}

// measured measures all groups and components of an image.
func measured(t testing.TB, img *inspect.Image) *Analysis {
	t.Helper()
	a := analyzed(t, img)
	var parts []*Component
	for _, line := range a.Lines(2, nil) {
		parts = append(parts, line.Component)
	}
	last, total := 0, 0
	must(t, a.Measure(t.Context(), img, parts, func(done, of int, next string) {
		if done < last || done > of || total != 0 && of > total {
			t.Errorf("%d of %d after %d of %d", done, of, last, total)
		}
		last, total = done, of
	}))
	if last != total {
		t.Errorf("it ended at %d of %d", last, total)
	}
	return a
}

func marginalOf(t testing.TB, a *Analysis, name string) int64 {
	t.Helper()
	found, err := a.Find([]string{name})
	must(t, err)
	if found[0].MarginalBytes == nil {
		t.Fatalf("%s was not measured", name)
	}
	return *found[0].MarginalBytes
}

// TestMarginalCostIsWhatABundleWithoutThePartIsSmallerBy compares with bundles
// that were made without the part.
func TestMarginalCostIsWhatABundleWithoutThePartIsSmallerBy(t *testing.T) {
	t.Parallel()
	files := release(t)
	// What two parts have in common goes with neither alone.
	files["/srv/app/lib/plug-1.16.1/ebin/Elixir.Both.beam"] = noise(20, 50_000)
	files["/srv/app/lib/shop-0.1.0/ebin/Elixir.Both.beam"] = noise(20, 50_000)
	img := written(t, tree(t, files))
	a := measured(t, img)
	if m := a.Marginal; !m.Same || m.RootBytes != m.InitrdBytes || m.RootBytes != initrdSize(t, img) || !strings.HasPrefix(m.Command, "zstd -19 ") || m.Version == "" {
		t.Errorf("measured by %+v", m)
	}
	for name, without := range map[string][]string{
		"busybox": {"/bin/busybox"},
		"unowned": {"/opt/</script><script>left-behind", "/opt/forgotten"},
		"plug":    {"/srv/app/lib/plug-1.16.1/ebin/plug.app", "/srv/app/lib/plug-1.16.1/ebin/Elixir.Plug.beam", "/srv/app/lib/plug-1.16.1/ebin/Elixir.Both.beam"},
	} {
		rest := tree(t, files)
		for _, file := range without {
			must(t, rest.Remove(file))
		}
		// Directories stay, as the documentation says.
		for _, dir := range []string{"/opt", "/bin", "/srv/app/lib/plug-1.16.1/ebin"} {
			must(t, rest.Dir(dir, 0o755))
		}
		want := initrdSize(t, img) - initrdSize(t, written(t, rest))
		if got := marginalOf(t, a, name); got != want {
			t.Errorf("%s costs %d, want %d", name, got, want)
		}
	}
	if n := marginalOf(t, a, "plug"); n > 10_000 {
		t.Errorf("plug costs %d, with what shop has too", n)
	}
	if n := marginalOf(t, a, "linux"); n != 40_000 {
		t.Errorf("the kernel costs %d, want its size", n)
	}
	for _, line := range a.Lines(2, nil) {
		if (line.MarginalBytes == nil) != (line.Kind == kindStructure) {
			t.Errorf("%s costs %v", line.Name, line.MarginalBytes)
		}
	}
	var written bytes.Buffer
	must(t, a.Write(&written))
	read, err := Read(&written)
	must(t, err)
	if got := marginalOf(t, read, "busybox"); got != marginalOf(t, a, "busybox") || *read.Marginal != *a.Marginal {
		t.Errorf("read back, BusyBox costs %d", got)
	}
}

// cpioIn makes an initrd of files in a compressor's own way.
func cpioIn(t testing.TB, files map[string]string, command ...string) *inspect.Image {
	t.Helper()
	if _, err := exec.LookPath(command[0]); err != nil {
		t.Skipf("%v: install it to run this test", err)
	}
	var archive bytes.Buffer
	must(t, tree(t, files).WriteCPIO(&archive))
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin = &archive
	data, err := cmd.Output()
	must(t, err)
	file := filepath.Join(t.TempDir(), "initrd")
	must(t, os.WriteFile(file, data, 0o644))
	img, err := inspect.Open(t.Context(), file, inspect.DefaultLimits)
	must(t, err)
	t.Cleanup(func() { img.Close() })
	return img
}

func TestSettingsThatAreNotTheImagesAreSaidToBeLeanlabs(t *testing.T) {
	t.Parallel()
	for _, command := range [][]string{{"zstd", "-1"}, {"xz", "-0"}} {
		a := measured(t, cpioIn(t, release(t), command...))
		if m := a.Marginal; m.Same || m.RootBytes >= m.InitrdBytes || !strings.HasPrefix(m.Command, command[0]+" ") {
			t.Errorf("measured by %+v", m)
		}
		if n := marginalOf(t, a, "erts"); n < 190_000 || n > 210_000 {
			t.Errorf("200000 bytes of noise cost %d", n)
		}
	}
}

// TestTheSettingsOfEitherArchitectureAreFound: xz has a filter for x86's programs.
func TestTheSettingsOfEitherArchitectureAreFound(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("xz"); err != nil {
		t.Skipf("%v: install it to run this test", err)
	}
	for arch, filtered := range map[string]bool{"x86_64": true, "aarch64": false} {
		file := filepath.Join(t.TempDir(), "initrd")
		f, err := os.Create(file)
		must(t, err)
		must(t, image.WriteInitrd(t.Context(), tree(t, map[string]string{"/init": strings.Repeat("\xe8\x00\x10\x00\x00more", 5000)}), "xz", arch, f))
		must(t, f.Close())
		img, err := inspect.Open(t.Context(), file, inspect.DefaultLimits)
		must(t, err)
		a := measured(t, img)
		must(t, img.Close())
		if m := a.Marginal; !m.Same || strings.Contains(m.Command, "--x86") != filtered {
			t.Errorf("%s: measured by %+v", arch, m)
		}
	}
}

func TestWhatCannotBeMeasuredIsSaidWithTheReason(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		img  inspect.Image
		want string
	}{
		{inspect.Image{Format: "squashfs", Compression: "zstd"}, "compresses blocks by themselves"},
		{inspect.Image{Format: "erofs", Compression: "lz4"}, "compresses blocks by themselves"},
		{inspect.Image{Format: "bundle", Compression: "zstd"}, "compresses blocks by themselves"},
		{inspect.Image{Format: "erofs"}, "and this is erofs"},
		{inspect.Image{Format: "docker", Compression: "gzip"}, "and this is docker"},
		{inspect.Image{Format: "kernel"}, "and this is kernel"},
		{inspect.Image{Format: "cpio", Initrd: "x"}, "is not compressed"},
		{inspect.Image{Format: "bundle", Initrd: "x", Compression: "lz4"}, "its root is in lz4, and leanlab compresses in zstd and xz"},
	} {
		test.img.Path = "some.image"
		if err := Measurable(&test.img); err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "some.image: ") {
			t.Errorf("%+v: %v", test.img, err)
		}
	}
}

func TestMeasuringEndsWithItsContext(t *testing.T) {
	t.Parallel()
	img := written(t, tree(t, release(t)))
	a := analyzed(t, img)
	ctx, cancel := context.WithCancel(t.Context())
	err := a.Measure(ctx, img, []*Component{a.Root.Children[0]}, func(done, _ int, _ string) {
		if done == 1 { // the whole root is compressed
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || a.Marginal != nil {
		t.Errorf("error %v, marginal %v", err, a.Marginal)
	}
}

func TestLinesAndNames(t *testing.T) {
	t.Parallel()
	a := analyzed(t, plain(tree(t, release(t))))
	text := func(lines []Line) string {
		var words []string
		for _, line := range lines {
			words = append(words, strings.Repeat(">", line.Level-1)+line.Name)
		}
		return strings.Join(words, " ")
	}
	for _, test := range []struct {
		depth int
		only  []string
		want  string
	}{
		{1, []string{"OTP"}, "OTP"},
		{2, []string{"otp"}, "OTP >kernel"},
		{1, []string{"PLUG"}, ">plug"},
		{3, []string{"plug"}, ">plug >>Elixir.Plug >>ebin/plug.app"},
		{2, []string{"dependency", "plug"}, "dependencies >plug"},
		{2, []string{"kernel"}, "kernel >linux >kernel"}, // the group, and OTP's application
		{2, []string{"unowned"}, "unowned"},
		{3, []string{"unowned"}, "unowned >/opt/</script><script>left-behind >/opt/forgotten"},
	} {
		only, err := a.Find(test.only)
		must(t, err)
		if got := text(a.Lines(test.depth, only)); got != test.want {
			t.Errorf("%d %v: %s, want %s", test.depth, test.only, got, test.want)
		}
	}
	if _, err := a.Find([]string{"plug", "plugh"}); err == nil || !strings.Contains(err.Error(), `no component "plugh"; it has BEAM, erts, `) {
		t.Errorf("the error is %v", err)
	}
}
