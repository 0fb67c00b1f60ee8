package instance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// recordFile is in an instance's directory. While its VM is being started, and
// only then, the directory is locked (flock(2)).
const recordFile = "instance.json"

// nameForm is what may name an instance: it is the name of a directory too.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

// Record is what is kept of a VM.
type Record struct {
	Name      string    `json:"name"`
	Image     string    `json:"image"` // as it was given
	Arch      string    `json:"arch"`
	MemoryMiB int       `json:"memory_mib"`
	CPUs      int       `json:"cpus"`
	Accel     string    `json:"accelerator"`       // "kvm", "hvf", "tcg"
	Ports     []string  `json:"ports"`             // "127.0.0.1:4000:4000": of the host, and of the guest
	Exec      bool      `json:"exec"`              // it has an evaluator
	NoExec    string    `json:"no_exec,omitempty"` // why it has none
	Detached  bool      `json:"detached"`
	Started   time.Time `json:"started"`

	Process *Process `json:"process,omitempty"` // QEMU; nil: it has not been started
	Shown   bool     `json:"shown,omitempty"`   // List has said that it is gone
}

// Process is a process that no later one with its number is taken for.
type Process struct {
	PID int `json:"pid"`
	// Start is when it was started: in clock ticks since the host's boot on Linux,
	// in microseconds since 1970 on macOS.
	Start uint64 `json:"start"`
}

// Instance is a VM that was started.
type Instance struct {
	Record
	Path string // of its directory

	lock *os.File
}

// Dir is where the instances of a user are.
type Dir struct{ path string }

// Open makes the directory: leanlab in XDG_RUNTIME_DIR, or without that
// leanlab-UID in the temporary directory. It must be the user's and nobody
// else's to enter, since whoever reaches a console or a monitor has the VM.
func Open(getenv func(string) string) (*Dir, error) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("leanlab-%d", os.Getuid()))
	if runtime := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(runtime) {
		path = filepath.Join(runtime, "leanlab")
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("directory for running VMs: %w; set XDG_RUNTIME_DIR to a directory of yours", err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("directory for running VMs: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || info.Mode().Perm()&0o077 != 0 || !ok || stat.Uid != uint32(os.Getuid()) {
		return nil, fmt.Errorf("%s: others can change it, or it is no directory of yours (%v): remove it, or set XDG_RUNTIME_DIR to a directory of yours", path, info.Mode())
	}
	return &Dir{path}, nil
}

// Create claims a name and makes the instance's directory. With r.Name empty,
// it is derived from base. Until Running or Remove, no other process touches it.
func (d *Dir) Create(r Record, base string) (*Instance, error) {
	given := r.Name != ""
	if given && !nameForm.MatchString(r.Name) {
		return nil, fmt.Errorf("%q cannot name a VM: letters, digits, and then also _ . -, at most 63", r.Name)
	}
	if !given {
		r.Name = plainName(base)
	}
	for n, stem := 2, r.Name; ; n++ {
		i, err := d.claim(r)
		if err != nil || i != nil {
			return i, err
		}
		if given {
			return nil, fmt.Errorf("a VM named %s is running: choose another --name, or leanlab stop %s", r.Name, r.Name)
		}
		r.Name = fmt.Sprintf("%s-%d", stem, n)
	}
}

var notPlain = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

func plainName(s string) string {
	s = strings.Trim(notPlain.ReplaceAllString(s, "-"), "-_")
	if s == "" {
		return "vm"
	}
	return s[:min(len(s), 40)]
}

// claim returns nil, nil when the name is taken.
func (d *Dir) claim(r Record) (*Instance, error) {
	i := &Instance{Record: r, Path: filepath.Join(d.path, r.Name)}
	for {
		err := os.Mkdir(i.Path, 0o700)
		if errors.Is(err, fs.ErrExist) {
			old, err := d.read(r.Name)
			if err != nil || old == nil {
				return nil, err
			}
			if old.Alive() {
				return nil, nil
			}
			if err := old.Remove(); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if i.lock, err = lockDir(i.Path); err != nil {
			return nil, err
		}
		if i.lock == nil { // between our mkdir and flock another process took it for a leftover
			continue
		}
		return i, i.write()
	}
}

// lockDir returns nil, nil when the directory is locked, or gone.
func lockDir(path string) (*os.File, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, nil
		}
		return nil, fmt.Errorf("flock %s: %w", path, err)
	}
	if now, err := os.Stat(path); err == nil {
		if ours, err := f.Stat(); err == nil && os.SameFile(now, ours) {
			return f, nil
		}
	}
	f.Close()
	return nil, nil
}

// Running records that pid is the VM's QEMU.
func (i *Instance) Running(pid int) error {
	start, err := startOf(pid)
	if err != nil {
		return fmt.Errorf("QEMU's process: %w", err)
	}
	i.Process = &Process{PID: pid, Start: start}
	err = i.write()
	i.lock.Close()
	i.lock = nil
	return err
}

// Alive reports whether the VM's QEMU runs.
func (i *Instance) Alive() bool {
	if i.Process == nil {
		return false
	}
	start, err := startOf(i.Process.PID)
	return err == nil && start == i.Process.Start
}

// Kill ends QEMU without asking the guest.
func (i *Instance) Kill() error {
	p, err := os.FindProcess(i.Process.PID) // on Linux a handle (pidfd): the check after it is of the same process
	if err != nil || !i.Alive() {
		return nil
	}
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("QEMU's process %d: %w", i.Process.PID, err)
	}
	return nil
}

// Remove removes the directory.
func (i *Instance) Remove() error {
	err := os.RemoveAll(i.Path)
	if i.lock != nil {
		i.lock.Close()
		i.lock = nil
	}
	return err
}

// write replaces the record in one rename.
func (i *Instance) write() error {
	data, err := json.MarshalIndent(i.Record, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(i.Path, recordFile)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// read returns nil, nil for what is being started or removed by another process.
// What was left by a start that was killed it removes, with its QEMU.
func (d *Dir) read(name string) (*Instance, error) {
	i := &Instance{Path: filepath.Join(d.path, name)}
	data, err := os.ReadFile(filepath.Join(i.Path, recordFile))
	if err == nil {
		if err := json.Unmarshal(data, &i.Record); err != nil {
			return nil, fmt.Errorf("%s: %w; remove the directory", filepath.Join(i.Path, recordFile), err)
		}
		i.Name = name
		if i.Process != nil {
			return i, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	lock, err := lockDir(i.Path)
	if lock == nil || err != nil {
		return nil, err
	}
	i.lock = lock
	if i.Process, err = unrecorded(i.Path); err != nil {
		return nil, err
	}
	if i.Process != nil {
		if err := i.Kill(); err != nil {
			return nil, err
		}
	}
	return nil, i.Remove()
}

// List returns the VMs, by name: those that run, and once, with the next List,
// those that have ended. Their directories go after that.
func (d *Dir) List() ([]*Instance, error) {
	all, err := d.all()
	if err != nil {
		return nil, err
	}
	var list []*Instance
	for _, i := range all {
		if i.Alive() {
			list = append(list, i)
			continue
		}
		if i.Shown {
			if err := i.Remove(); err != nil {
				return nil, err
			}
			continue
		}
		list = append(list, i)
		i.Shown = true
		if err := i.write(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (d *Dir) all() ([]*Instance, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	var all []*Instance
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		i, err := d.read(e.Name())
		if err != nil {
			return nil, err
		}
		if i != nil {
			all = append(all, i)
		}
	}
	return all, nil
}

// Find returns the VM of that name, which may have ended. The error for one that
// is unknown lists those that run.
func (d *Dir) Find(name string) (*Instance, error) {
	all, err := d.all()
	if err != nil {
		return nil, err
	}
	if at := slices.IndexFunc(all, func(i *Instance) bool { return i.Name == name }); at >= 0 {
		return all[at], nil
	}
	var running []string
	for _, i := range all {
		if i.Alive() {
			running = append(running, i.Name)
		}
	}
	if len(running) == 0 {
		return nil, fmt.Errorf("there is no VM named %q, and none is running: start one with leanlab run --detach", name)
	}
	return nil, fmt.Errorf("there is no VM named %q; running: %s", name, strings.Join(running, ", "))
}
