package instance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// startOf returns when a process was started: field 22 of /proc/PID/stat
// (proc_pid_stat(5)). A zombie has ended.
func startOf(pid int) (uint64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field, the name in brackets, may hold anything.
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return 0, fmt.Errorf("process %d has ended", pid)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

// unrecorded finds the QEMU that was started in a directory, by its working
// directory. Nil: none.
func unrecorded(dir string) (*Process, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		return nil, err
	}
	for _, link := range links {
		if cwd, err := os.Readlink(link); err != nil || cwd != dir {
			continue // another's process, one that has ended, or elsewhere
		}
		exe, err := os.Readlink(filepath.Join(filepath.Dir(link), "exe"))
		if err != nil || !strings.HasPrefix(filepath.Base(exe), "qemu-") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		if err != nil {
			return nil, err
		}
		start, err := startOf(pid)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return &Process{pid, start}, err
	}
	return nil, nil
}
