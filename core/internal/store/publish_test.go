package store

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func fill(t *testing.T, dir, text string) {
	t.Helper()
	for _, name := range []string{"kernel", "rootfs", "manifest.json"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func newOutput(t *testing.T, dst string) *Output {
	t.Helper()
	o, err := NewOutput(dst)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestAnOutputDirectoryIsReplacedWhole(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	dst := filepath.Join(parent, "build", "custom")
	o := newOutput(t, dst)
	fill(t, o.Dir, "0")
	if err := o.Publish(); err != nil {
		t.Fatal(err)
	}
	// A reader that opens the directory sees three files that agree.
	stop := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			d, err := os.OpenRoot(dst)
			if err != nil {
				t.Errorf("the directory was away: %v", err)
				return
			}
			var seen []string
			for _, name := range []string{"kernel", "rootfs", "manifest.json"} {
				if b, err := d.ReadFile(name); err == nil { // else being removed, behind its name
					seen = append(seen, string(b))
				}
			}
			d.Close()
			if len(slices.Compact(seen)) > 1 {
				t.Errorf("a mixture: %q", seen)
			}
		}
	})
	for i := range 30 {
		o := newOutput(t, dst)
		fill(t, o.Dir, strings.Repeat("x", i+1))
		if err := o.Publish(); err != nil {
			t.Fatal(err)
		}
		if err := o.Discard(); err != nil { // as a deferred one would
			t.Fatal(err)
		}
	}
	close(stop)
	reader.Wait()
	if got := list(t, filepath.Dir(dst)); !slices.Equal(got, []string{"custom"}) {
		t.Errorf("beside it: %v", got)
	}
	if got := read(t, dst, "kernel"); len(got) != 30 {
		t.Errorf("the last one is not the last: %q", got)
	}
}

func TestOnFileSystemsWithoutExchangeTheOutputIsReplacedToo(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	dst, tmp := filepath.Join(parent, "dst"), filepath.Join(parent, "tmp")
	for _, d := range []string{dst, tmp} {
		os.Mkdir(d, 0o755)
		fill(t, d, d)
	}
	if err := publishInTwo(tmp, dst); err != nil {
		t.Fatal(err)
	}
	if got := list(t, parent); !slices.Equal(got, []string{"dst"}) || read(t, dst, "kernel") != tmp {
		t.Errorf("left %v with %q", got, read(t, dst, "kernel"))
	}
}

func TestADiscardedOutputLeavesTheOldOne(t *testing.T) {
	t.Parallel()
	dst := filepath.Join(t.TempDir(), "custom")
	os.Mkdir(dst, 0o755)
	fill(t, dst, "old")
	o := newOutput(t, dst)
	fill(t, o.Dir, "half")
	if err := o.Discard(); err != nil {
		t.Fatal(err)
	}
	if got := list(t, filepath.Dir(dst)); !slices.Equal(got, []string{"custom"}) || read(t, dst, "kernel") != "old" {
		t.Errorf("left %v, %q", got, read(t, dst, "kernel"))
	}
}

func TestAnOutputsRemainsAreSweptUnlessAlive(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	dst := filepath.Join(parent, "cust[om")
	alive := newOutput(t, dst)
	defer alive.Discard()
	dead := newOutput(t, dst)
	dead.lock.Close() // as the kernel does for a killed process
	o := newOutput(t, dst)
	defer o.Discard()
	got := list(t, parent)
	if slices.Contains(got, filepath.Base(dead.Dir)) || !slices.Contains(got, filepath.Base(alive.Dir)) {
		t.Errorf("left %v; dead was %s, alive is %s", got, dead.Dir, alive.Dir)
	}
}

func TestPublishRefusesToReplaceAFile(t *testing.T) {
	t.Parallel()
	dst := filepath.Join(t.TempDir(), "custom")
	os.WriteFile(dst, []byte("precious"), 0o644)
	o := newOutput(t, dst)
	if err := o.Publish(); err == nil || !strings.Contains(err.Error(), dst+": is in the way") {
		t.Errorf("Publish: %v", err)
	}
	if err := o.Discard(); err != nil {
		t.Error(err)
	}
	if got := list(t, filepath.Dir(dst)); !slices.Equal(got, []string{"custom"}) || read(t, dst) != "precious" {
		t.Errorf("left %v", got)
	}
}

func TestAFileIsPublishedWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "lock.json")
	if err := PublishFile(path, 0o640, func(w io.Writer) error { _, err := io.WriteString(w, "one"); return err }); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	err := PublishFile(path, 0o640, func(w io.Writer) error { io.WriteString(w, "tw"); return boom })
	if !errors.Is(err, boom) || !strings.Contains(err.Error(), path) {
		t.Errorf("PublishFile: %v", err)
	}
	fi, err := os.Stat(path)
	if err != nil || fi.Mode() != 0o640 || read(t, path) != "one" || len(list(t, dir)) != 1 {
		t.Errorf("%v, %v, %q, %v", fi.Mode(), err, read(t, path), list(t, dir))
	}
}
