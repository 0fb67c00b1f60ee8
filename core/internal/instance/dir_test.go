package instance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func open(t *testing.T) *Dir {
	t.Helper()
	runtime := t.TempDir()
	dir, err := Open(func(string) string { return runtime })
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// sleeper is a process to take for QEMU.
func sleeper(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd
}

func running(t *testing.T, d *Dir, name string) (*Instance, *exec.Cmd) {
	t.Helper()
	i, err := d.Create(Record{Name: name, Image: "img", Ports: []string{}}, "")
	if err != nil {
		t.Fatal(err)
	}
	cmd := sleeper(t, i.Path)
	if err := i.Running(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	return i, cmd
}

func names(t *testing.T, d *Dir) string {
	t.Helper()
	list, err := d.List()
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, i := range list {
		state := "gone"
		if i.Alive() {
			state = "alive"
		}
		words = append(words, i.Name+" "+state)
	}
	return strings.Join(words, ", ")
}

func TestInstanceThatHasGoneIsListedOnceMore(t *testing.T) {
	t.Parallel()
	d := open(t)
	_, first := running(t, d, "a")
	second, _ := running(t, d, "b")
	if got := names(t, d); got != "a alive, b alive" {
		t.Errorf("%s", got)
	}
	first.Process.Kill()
	first.Wait()
	for _, want := range []string{"a gone, b alive", "b alive"} {
		if got := names(t, d); got != want {
			t.Errorf("%s; want %s", got, want)
		}
	}
	if _, err := os.Stat(filepath.Join(d.path, "a")); !os.IsNotExist(err) {
		t.Errorf("the directory of a stays: %v", err)
	}
	if err := second.Kill(); err != nil {
		t.Fatal(err)
	}
}

func TestRecycledPIDIsNotTakenForTheVM(t *testing.T) {
	t.Parallel()
	d := open(t)
	i, cmd := running(t, d, "a")
	i.Process.Start-- // an earlier process had the number
	if i.Alive() {
		t.Error("another process counts as the VM")
	}
	if err := i.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := startOf(cmd.Process.Pid); err != nil {
		t.Errorf("another process was killed: %v", err)
	}
}

func TestNamesAreUnique(t *testing.T) {
	t.Parallel()
	d := open(t)
	running(t, d, "app")
	if _, err := d.Create(Record{Name: "app"}, ""); err == nil || !strings.Contains(err.Error(), "leanlab stop app") {
		t.Errorf("got %v", err)
	}
	i, err := d.Create(Record{}, "app")
	if err != nil || i.Name != "app-2" {
		t.Errorf("%v, %v; want app-2", i, err)
	}
	for _, bad := range []string{"../x", "-x", "a b", ".", strings.Repeat("n", 64)} {
		if _, err := d.Create(Record{Name: bad}, ""); err == nil {
			t.Errorf("%q names a VM", bad)
		}
	}
	if i, err := d.Create(Record{}, "größe?.img"); err != nil || !nameForm.MatchString(i.Name) {
		t.Errorf("%v, %v", i, err)
	}
	if _, err := d.Find("none"); err == nil || !strings.Contains(err.Error(), "running: app") {
		t.Errorf("got %v", err)
	}
}

func TestStartThatWasKilledLeavesNothing(t *testing.T) {
	t.Parallel()
	d := open(t)
	i, err := d.Create(Record{Name: "a"}, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, d); got != "" {
		t.Errorf("what is being started is listed: %s", got)
	}
	if _, err := os.Stat(i.Path); err != nil {
		t.Fatalf("what is being started was removed: %v", err)
	}
	i.lock.Close() // as its end does
	if got := names(t, d); got != "" {
		t.Errorf("%s", got)
	}
	if _, err := os.Stat(i.Path); !os.IsNotExist(err) {
		t.Errorf("the directory stays: %v", err)
	}
}

func TestDirectoryIsTheUsersOnly(t *testing.T) {
	t.Parallel()
	runtime := t.TempDir()
	if err := os.Mkdir(filepath.Join(runtime, "leanlab"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(runtime, "leanlab"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(func(string) string { return runtime }); err == nil || !strings.Contains(err.Error(), "XDG_RUNTIME_DIR") {
		t.Errorf("a directory that others can enter: %v", err)
	}
	linked := t.TempDir()
	if err := os.Symlink(t.TempDir(), filepath.Join(linked, "leanlab")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(func(string) string { return linked }); err == nil {
		t.Error("a symbolic link was followed")
	}
	d := open(t)
	if info, err := os.Stat(d.path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}
