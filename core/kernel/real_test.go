package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// sourceTree is an unpacked release that the environment names.
func sourceTree(t *testing.T, variable string) string {
	t.Helper()
	dir := os.Getenv(variable)
	if dir == "" {
		t.Skipf("needs an unpacked source tree: set %s to its directory", variable)
	}
	return dir
}

// events keeps what a build says.
type events struct {
	mu   sync.Mutex
	logs []string
	last builder.Progress
}

func (e *events) Emit(ev builder.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch ev := ev.(type) {
	case builder.Log:
		e.logs = append(e.logs, ev.Line)
	case builder.Progress:
		e.last = ev
	}
}

func linux(t *testing.T, arch string, names ...string) *Build {
	t.Helper()
	source := sourceTree(t, "LEANLAB_TEST_LINUX")
	a, err := ArchFor(arch)
	if err != nil {
		t.Fatal(err)
	}
	a.Cross = "" // configuring needs a compiler, not that architecture's
	frags, err := FindFragments("../..", a, names)
	if err != nil {
		t.Fatal(err)
	}
	return &Build{Source: source, Out: t.TempDir(), Arch: a, Base: "tinyconfig", Fragments: frags, Jobs: 2}
}

func busybox(t *testing.T) *Build {
	t.Helper()
	source := sourceTree(t, "LEANLAB_TEST_BUSYBOX")
	a, err := ArchFor("x86_64")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../guest/busybox.config")
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "busybox.config")
	write(t, copied, string(text))
	return &Build{Source: source, Out: filepath.Join(t.TempDir(), "out"), Arch: a.BusyBox(), Base: "allnoconfig", Fragments: readAll(t, copied), Jobs: 2}
}

func TestTheCheckedInFragmentsSurviveInLinux(t *testing.T) {
	for _, arch := range []string{"x86_64", "aarch64"} {
		b := linux(t, arch, "base", "virtio", "net", "squashfs", "disk", "initramfs-xz", "hardened")
		if err := b.Configure(t.Context(), &events{}); err != nil {
			t.Errorf("%s: %v", arch, err)
		}
	}
}

func TestLinuxDropsADiskWithoutTheBlockLayerAndWeSayWhy(t *testing.T) {
	b := linux(t, "x86_64", "base")
	b.Fragments = append(b.Fragments, parse(t, "mine.config", "CONFIG_VIRTIO_BLK=y\nCONFIG_PTRACE=y\n"))
	err := b.Configure(t.Context(), &events{})
	var dropped *DroppedError
	if !errors.As(err, &dropped) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{
		"mine.config:1: CONFIG_VIRTIO_BLK=y came out as n: depends on BLK_DEV, which is n (drivers/block/Kconfig:6) as it depends on BLOCK, which is n (block/Kconfig:5)",
		"mine.config:2: CONFIG_PTRACE=y came out as n: unknown symbol",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}

func TestBusyBoxIsTheSameBytesFromTwoDirectories(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles BusyBox twice: not with -short")
	}
	var images [][]byte
	for range 2 {
		b := busybox(t)
		ev := &events{}
		if err := b.Configure(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
		path, err := b.Image(t.Context(), ev)
		if err != nil {
			t.Fatal(err)
		}
		if ev.last.Done == 0 || ev.last.Done != ev.last.Total {
			t.Errorf("progress ended at %+v", ev.last)
		}
		image, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, image)
	}
	if !bytes.Equal(images[0], images[1]) {
		t.Error("the two differ")
	}
}

func TestAScriptedEditReturnsToTheFragment(t *testing.T) {
	b := busybox(t)
	if err := b.Configure(t.Context(), &events{}); err != nil {
		t.Fatal(err)
	}
	path := b.Fragments[0].Path
	edited, err := os.ReadFile(b.path(".config"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("CONFIG_VI=y", "# CONFIG_VI is not set", "# CONFIG_TAC is not set", "CONFIG_TAC=y").Replace(string(edited))
	write(t, b.path(".config"), text)
	if err := b.resolve(t.Context(), &events{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Menuconfig(t.Context(), &events{}, "", nil, nil); err == nil || !strings.Contains(err.Error(), "savedefconfig") {
		t.Errorf("menuconfig would have lost the edit: %v", err)
	}
	var defconfig bytes.Buffer
	edits, err := b.Savedefconfig(t.Context(), &events{}, "", &defconfig)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(got), "\nCONFIG_TAC=y\n") || !strings.Contains(string(got), "# CONFIG_VI is not set\n") {
		t.Errorf("edits %v\n%s", edits, got)
	}
	// What is in the file now gives the same configuration, and passes.
	b.Fragments = readAll(t, path)
	if err := b.Configure(t.Context(), &events{}); err != nil {
		t.Error(err)
	}
	if !strings.Contains(defconfig.String(), "CONFIG_TAC=y") {
		t.Errorf("defconfig: %s", defconfig.String())
	}
}

// A person opens menuconfig, turns the first option of the first menu on, and saves.
func TestMenuconfigOnATerminalReturnsToTheFragment(t *testing.T) {
	b := busybox(t)
	master, terminal := pty(t)
	typed := make(chan error, 1)
	go func() { typed <- typeInto(master) }()
	edits, err := b.Menuconfig(t.Context(), &events{}, "", terminal, terminal)
	terminal.Close() // ends what the typist reads
	if typeErr := <-typed; typeErr != nil {
		t.Fatal(typeErr)
	}
	if err != nil {
		t.Fatal(err)
	}
	saved, err := b.Config()
	if err != nil {
		t.Fatal(err)
	}
	b.Fragments = readAll(t, b.Fragments[0].Path)
	if s, found := find(b.Fragments[0], "DESKTOP"); !found || s.Value != "y" {
		t.Errorf("DESKTOP is not in the fragment; edits: %v", edits)
	}
	// ps -w gives way to ps -o on a desktop: a request that can no longer hold.
	if s, _ := find(b.Fragments[0], "FEATURE_PS_WIDE"); s.Value != "n" {
		t.Errorf("FEATURE_PS_WIDE is %q in the fragment; edits: %v", s.Value, edits)
	}
	if err := b.Configure(t.Context(), &events{}); err != nil {
		t.Fatal(err)
	}
	again, err := b.Config()
	if err != nil {
		t.Fatal(err)
	}
	if names := differing(saved, again); len(names) > 0 {
		t.Errorf("the fragments do not give what was saved: %v", names)
	}
}

func find(f *Fragment, name string) (Symbol, bool) {
	for _, s := range f.Symbols {
		if s.Name == name {
			return s, true
		}
	}
	return Symbol{}, false
}

// typeInto answers each screen when it is there.
func typeInto(master io.ReadWriter) error {
	// Colours cut words behind their first letter.
	for _, step := range []struct{ screen, keys string }{
		{"Applets", "\r"}, // on the first line, Settings
		{"full-blown desktop", "y"},
		{`\[\*\].{0,40}nable compatibility`, "\x1b\x1b"},
		{"Applets", "\x1b\x1b"},
		{"save", "\r"},
	} {
		if err := waitFor(master, step.screen); err != nil {
			return err
		}
		if _, err := io.WriteString(master, step.keys); err != nil {
			return err
		}
	}
	// menuconfig blocks when nobody reads what it prints.
	_, _ = io.Copy(io.Discard, master)
	return nil
}

func waitFor(r io.Reader, text string) error {
	pattern := regexp.MustCompile(text)
	var seen []byte
	buf := make([]byte, 4096)
	for !pattern.Match(seen) {
		n, err := r.Read(buf)
		if err != nil {
			return fmt.Errorf("waiting for %q: %w; the screen was %q", text, err, seen)
		}
		seen = append(seen, buf[:n]...)
	}
	return nil
}

// pty opens a pseudo-terminal of 80 by 25 (pty(7)).
func pty(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	t.Setenv("TERM", "xterm")
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 25, Col: 80}); err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return master, terminal
}
