package vm

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// served starts a working guest in dir and returns it paused.
func served(t *testing.T, dir, boot string, change func(*Config)) *Served {
	t.Helper()
	cfg := guestWith(t, boot).Config
	if change != nil {
		change(&cfg)
	}
	s, err := Start(t.Context(), cfg, dir, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

const serveBoot = "exec /bin/fakebeam\narg serve\n"

func TestServedMachineIsReachedThroughItsDirectory(t *testing.T) {
	t.Parallel()
	// Too long for a socket's name.
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ctx := soon(t)
	s := served(t, dir, serveBoot, nil)
	w := watched(t, s, Check{})
	if err := w.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	w.Close()
	console, err := Dial(ctx, dir, ConsoleSocket)
	if err != nil {
		t.Fatalf("the console is not free again: %v", err)
	}
	console.Close()
	monitor, err := DialMonitor(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := monitor.Powerdown(ctx); err != nil {
		t.Fatal(err)
	}
	select {
	case <-monitor.Ended():
	case <-ctx.Done():
		t.Fatal("the guest did not power off")
	}
	if <-s.Ended(); !monitor.PoweredOff() || !s.PoweredOff() {
		t.Errorf("powered off: %v for another client, %v for who started it", monitor.PoweredOff(), s.PoweredOff())
	}
	log, err := os.ReadFile(filepath.Join(dir, ConsoleLog))
	if err != nil || !strings.Contains(string(log), "leanlab: init") || !strings.Contains(string(log), "leanlab: down") {
		t.Errorf("the console's log (%v) is not whole:\n%s", err, log)
	}
	if _, err := Dial(ctx, dir, ConsoleSocket); !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the console of a QEMU that has ended: %v", err)
	}
}

// watched lets a machine run whose console is followed until the test ends.
func watched(t *testing.T, s *Served, check Check) *Watched {
	t.Helper()
	if check.Timeout == 0 {
		check.Timeout = 3 * time.Minute
	}
	w, err := s.Watch(soon(t), check)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	if err := s.Resume(soon(t)); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestGuestThatDoesNotGetReadyIsReportedWithItsScreen(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	w := watched(t, served(t, t.TempDir(), "exec /none\n", nil), Check{})
	var failure *Failure
	if err := w.Ready(ctx); !errors.As(err, &failure) || !strings.Contains(screenOf(failure.Screen), "cannot run /none") {
		t.Errorf("got %v", err)
	}
	w = watched(t, served(t, t.TempDir(), "exec /bin/fakebeam\narg hang\n", nil), Check{Timeout: time.Millisecond})
	if err := w.Ready(ctx); !errors.As(err, &failure) || failure.Kind != Hang {
		t.Errorf("got %v, want a %q", err, Hang)
	}
}

// TestProofInParts makes one part after the other, and each on its own.
func TestProofInParts(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	w := watched(t, served(t, t.TempDir(), serveBoot, nil), Check{Expect: []string{"overcommit=1", "nowhere"}})
	if err := w.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	if err := w.Printed(ctx, "overcommit=1"); err != nil {
		t.Error(err)
	}
	w.prover.check.Timeout = time.Second // what is not there by then does not come
	var failure *Failure
	if err := w.Printed(ctx, "nowhere"); !errors.As(err, &failure) || failure.Kind != Output || strings.Contains(failure.Detail, "overcommit") {
		t.Errorf("got %v, want %q about one text", err, Output)
	}
	w.prover.check.Timeout = 3 * time.Minute
	if err := w.While(ctx, func(context.Context) error { return io.ErrShortWrite }); err != io.ErrShortWrite {
		t.Errorf("got %v, want what was done to fail", err)
	}
	if !w.Running() {
		t.Error("it does not run any more")
	}
	if err := w.GoDown(ctx); err != nil || w.Running() {
		t.Errorf("running: %v, %v", w.Running(), err)
	}
}

func TestMachineThatEndsWhileItIsAskedIsReported(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	w := watched(t, served(t, t.TempDir(), "exec /bin/fakebeam\narg task\narg 0\n", nil), Check{})
	if err := w.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	err := w.While(ctx, func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	var failure *Failure
	if !errors.As(err, &failure) || failure.Kind != Exit || !strings.Contains(failure.Reason(), "should have gone on running") || w.Running() {
		t.Errorf("got %v, running %v; want a %q", err, w.Running(), Exit)
	}
}

func TestWatchedTaskEnds(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	w := watched(t, served(t, t.TempDir(), "exec /bin/fakebeam\narg task\narg 0\n", nil), Check{Ends: true, Expect: []string{"task done", "nowhere"}})
	if err := w.End(ctx); err != nil {
		t.Fatal(err)
	}
	if err := w.Printed(ctx, "task done"); err != nil {
		t.Error(err)
	}
	var failure *Failure
	if err := w.Printed(ctx, "nowhere"); !errors.As(err, &failure) || failure.Kind != Output {
		t.Errorf("got %v, want %q", err, Output)
	}
}

// TestOnlyADetachedMachineOutlivesWhoStartedIt: the other is killed with it.
func TestOnlyADetachedMachineOutlivesWhoStartedIt(t *testing.T) {
	t.Parallel()
	guestWith(t, serveBoot) // skips where there is no kernel
	for _, mode := range []string{"detached", "tied"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			out, err := role("serve", mode, dir).Output()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
			if err != nil {
				t.Fatal(err)
			}
			qemu, err := os.FindProcess(pid)
			if err != nil {
				t.Fatal(err)
			}
			ctx := soon(t)
			if mode == "tied" {
				for !gone(qemu) {
					if ctx.Err() != nil {
						qemu.Kill()
						t.Fatalf("QEMU %d runs on", pid)
					}
					time.Sleep(10 * time.Millisecond)
				}
				return
			}
			defer qemu.Kill()
			monitor, err := DialMonitor(ctx, dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := monitor.Quit(ctx); err != nil {
				t.Fatal(err)
			}
			<-monitor.Ended()
		})
	}
}

func TestStartSaysWhatQEMUSays(t *testing.T) {
	t.Parallel()
	check := guestWith(t, serveBoot)
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"unknown accelerator": {func(c *Config) { c.Accel = "abacus" }, "abacus"},
		"port in use": {func(c *Config) {
			c.Net, c.Forwards = true, []Forward{{"127.0.0.1", taken.Addr().(*net.TCPAddr).Port, 80}}
		}, "Could not set up host forwarding rule"},
		"no kernel, no disk": {func(c *Config) { c.Kernel = "" }, "kernel"},
	} {
		cfg := check.Config
		c.change(&cfg)
		s, err := Start(t.Context(), cfg, t.TempDir(), false)
		if err == nil {
			s.Kill()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestFirmwareBootsADisk(t *testing.T) {
	t.Parallel()
	requireQEMU(t)
	if testArch() != "x86_64" {
		t.Skip("QEMU brings firmware only for x86_64")
	}
	// A boot sector that writes "!" to the first serial port, for ever.
	sector := make([]byte, 512)
	copy(sector, []byte{0xba, 0xf8, 0x03, 0xb0, '!', 0xee, 0xeb, 0xfd}) // mov dx,3f8h; mov al,'!'; out dx,al; jmp
	sector[510], sector[511] = 0x55, 0xaa
	disk := filepath.Join(t.TempDir(), "disk,with a comma")
	if err := os.WriteFile(disk, append(sector, make([]byte, 1<<20)...), 0o600); err != nil {
		t.Fatal(err)
	}
	scratch := filepath.Join(t.TempDir(), "scratch")
	if err := os.WriteFile(scratch, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, readOnly := range []bool{false, true} {
		dir, ctx := t.TempDir(), soon(t)
		s, err := Start(ctx, Config{Arch: "x86_64", Disk: disk, Scratch: scratch, ReadOnly: readOnly, MemoryMiB: 64}, dir, false)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Kill()
		console, err := Dial(ctx, dir, ConsoleSocket)
		if err != nil {
			t.Fatal(err)
		}
		defer console.Close()
		if err := s.Resume(ctx); err != nil {
			t.Fatal(err)
		}
		c := newConsole()
		go io.Copy(c, console)
		for r := (&reader{c: c}); ; {
			line, _, err := r.read(ctx)
			if err != nil {
				t.Fatalf("%v\n%s", err, screenOf(c.tail(10)))
			}
			if strings.Contains(line, "!!!!") {
				break
			}
		}
		s.Kill() // its lock on scratch goes with it
	}
}

func TestAttachKeys(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		typed, want string
		left        bool
	}{
		{"hello\r\x03", "hello\r\x03", false},
		{"a\x01xb", "a", true},
		{"\x01X", "", true},
		{"\x01a\x01\x01", "\x01\x01", false},
		{"\x01b", "\x01b", false},
	} {
		var sent strings.Builder
		if left := typed(&sent, strings.NewReader(c.typed)); left != c.left || sent.String() != c.want {
			t.Errorf("%q: left %v, sent %q; want %v, %q", c.typed, left, sent.String(), c.left, c.want)
		}
	}
}
