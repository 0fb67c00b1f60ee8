package proctree

import (
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestStatOfACommandWithAnyNameIsRead(t *testing.T) {
	t.Parallel()
	tail := " S 1 42 7 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 98765 1000 10"
	for _, name := range []string{"sh", "a b", "x) R 9 (y", "", "\n"} {
		got, err := parseStat([]byte("42 (" + name + ")" + tail + "\n"))
		want := Process{PID: 42, PPID: 1, Session: 7, State: 'S', Start: 98765}
		if err != nil || got != want {
			t.Errorf("%q: got %+v, %v; want %+v", name, got, err, want)
		}
	}
}

func FuzzStat(f *testing.F) {
	f.Add([]byte("1 (init) S 0 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 1 0 0"))
	f.Add([]byte(")("))
	f.Add([]byte("1 () S"))
	f.Fuzz(func(t *testing.T, stat []byte) {
		if p, err := parseStat(stat); err == nil && p.State == 0 {
			t.Errorf("%q: a process without a state", stat)
		}
	})
}

func TestDescendantsAreThoseOfTheRootOnly(t *testing.T) {
	t.Parallel()
	all := []Process{
		{PID: 1}, {PID: 2, PPID: 1}, {PID: 3, PPID: 2}, {PID: 4, PPID: 3}, {PID: 5, PPID: 1}, {PID: 6, PPID: 2},
		{PID: 8, PPID: 9}, {PID: 9, PPID: 8}, // a circle, by reused numbers
	}
	pids := func(root int) []int {
		var pids []int
		for _, p := range Descendants(all, root) {
			pids = append(pids, p.PID)
		}
		slices.Sort(pids)
		return pids
	}
	if got := pids(2); !slices.Equal(got, []int{3, 4, 6}) {
		t.Errorf("below 2: %d", got)
	}
	if got := pids(8); !slices.Equal(got, []int{9}) {
		t.Errorf("in a circle: %d", got)
	}
	if got := pids(5); got != nil {
		t.Errorf("below 5: %d", got)
	}
}

func TestKillDescendantsSparesTheRoot(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sh", "-c", `sleep 1000 & sh -c 'sleep 1000 & echo ready; wait' & wait; read x; echo "$x"`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Signal(syscall.SIGKILL)
	ready := make([]byte, len("ready\n"))
	if _, err := out.Read(ready); err != nil {
		t.Fatal(err)
	}
	if err := KillDescendants(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range Descendants(all, cmd.Process.Pid) {
		if !p.zombie() {
			t.Errorf("process %d is left", p.PID)
		}
	}
	// The root answers: it was only waiting for them.
	if _, err := in.Write([]byte("still here\n")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 64)
	n, err := out.Read(answer)
	if got := strings.TrimSpace(string(answer[:n])); err != nil || got != "still here" {
		t.Errorf("the root said %q, %v", got, err)
	}
}
