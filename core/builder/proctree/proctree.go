// Package proctree finds and kills the processes below a process. The host
// uses it on a plugin that does not stop, a plugin on what its builds left
// behind, and neither can use process groups alone: a build tool may call
// setsid(2).
//
// It reads /proc (proc(5)) and so is for Linux. It does not start processes,
// and it does not use cgroups, which an unprivileged user may not have.
package proctree

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Process is one entry of /proc. Start tells it from a later process with the
// same PID.
type Process struct {
	PID, PPID, Session int
	State              byte   // as in ps(1): 'Z' is a zombie
	Start              uint64 // clock ticks after boot
}

// zombie reports whether p has ended and only waits for its parent to notice.
func (p Process) zombie() bool { return p.State == 'Z' || p.State == 'X' }

// Read returns the process with this pid.
func Read(pid int) (Process, error) {
	path := filepath.Join("/proc", strconv.Itoa(pid), "stat")
	stat, err := os.ReadFile(path)
	if err != nil {
		return Process{}, err
	}
	p, err := parseStat(stat)
	if err != nil {
		return Process{}, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// parseStat reads the line of proc_pid_stat(5). The second field, the command's
// name in parentheses, may itself hold spaces and parentheses.
func parseStat(stat []byte) (Process, error) {
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return Process{}, errors.New("no command name in parentheses")
	}
	rest := bytes.Fields(stat[end+1:]) // rest[0] is field 3, state
	if len(rest) < 20 || len(rest[0]) != 1 {
		return Process{}, errors.New("too few fields")
	}
	p := Process{State: rest[0][0]}
	var errs [4]error
	p.PID, errs[0] = strconv.Atoi(string(bytes.TrimSpace(stat[:open])))
	p.PPID, errs[1] = strconv.Atoi(string(rest[1]))
	p.Session, errs[2] = strconv.Atoi(string(rest[3]))
	p.Start, errs[3] = strconv.ParseUint(string(rest[19]), 10, 64)
	return p, errors.Join(errs[:]...)
}

// All returns the processes that can be seen now. One that ends while it is
// being read is left out.
func All() ([]Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var all []Process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, err := Read(pid); err == nil {
			all = append(all, p)
		}
	}
	return all, nil
}

// Descendants returns the processes of all that stem from root, root not
// included. A process whose parent has died is found only if root is its
// subreaper (PR_SET_CHILD_SUBREAPER(2const)).
func Descendants(all []Process, root int) []Process {
	children := make(map[int][]Process)
	for _, p := range all {
		children[p.PPID] = append(children[p.PPID], p)
	}
	var found []Process
	for next := []int{root}; len(next) > 0; next = next[1:] {
		for _, p := range children[next[0]] {
			// The list was not taken in one moment: with a reused PID it could
			// hold a circle, and the root in it.
			if p.PID != root {
				found = append(found, p)
				next = append(next, p.PID)
			}
		}
		delete(children, next[0])
	}
	return found
}

// patience is how long a killed process may take to go: one in the middle of
// disk or network I/O dies only when that ends.
const patience = 5 * time.Second

// KillDescendants kills everything below root and returns when nothing of it
// is left but zombies. The root should be a subreaper and start nothing
// meanwhile (because it is stopped, or is the caller).
func KillDescendants(root int) error {
	return KillAll(func(all []Process) []Process { return Descendants(all, root) })
}

// KillAll kills what choose picks, with SIGKILL, until it picks only zombies:
// a process may have started another between being seen and being killed.
func KillAll(choose func([]Process) []Process) error {
	wait := time.Millisecond
	for deadline := time.Now().Add(patience); ; {
		all, err := All()
		if err != nil {
			return err
		}
		var live []int
		for _, p := range choose(all) {
			if !p.zombie() {
				live = append(live, p.PID)
				kill(p)
			}
		}
		if len(live) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %d are still there %s after SIGKILL", live, patience)
		}
		time.Sleep(wait)
		wait = min(2*wait, 50*time.Millisecond)
	}
}

// kill sends SIGKILL to p and to no later process with its number: FindProcess
// takes a pidfd, and p is read again after that.
func kill(p Process) {
	proc, err := os.FindProcess(p.PID)
	if err != nil {
		return
	}
	defer proc.Release()
	if now, err := Read(p.PID); err == nil && now.Start == p.Start {
		// An error means that it is gone, or not ours to kill; KillAll's next
		// look tells which.
		_ = proc.Signal(syscall.SIGKILL)
	}
}
