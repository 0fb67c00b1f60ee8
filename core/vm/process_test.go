package vm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// roleVariable makes the test binary play a part that needs a process of its own.
const roleVariable = "LEANLAB_VM_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "":
		os.Exit(m.Run())
	case "launch": // starts a QEMU that does nothing, says its id, and stays
		p, err := start(context.Background(), exec.Command(machines[testArch()].qemu,
			append(machineArgs(testArch(), "tcg"), "-S")...), tied())
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(p.cmd.Process.Pid)
		<-p.ended
	case "attach": // until the terminal's modes have changed; then it is interrupted
		before, err := unix.IoctlGetTermios(0, getTermios)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		go func() {
			for ctx.Err() == nil {
				if now, err := unix.IoctlGetTermios(0, getTermios); err == nil && *now != *before {
					fmt.Println("modes changed")
					cancel()
				}
				time.Sleep(time.Millisecond)
			}
		}()
		console, _ := net.Pipe()
		err = Attach(ctx, console, os.Stdin, os.Stdout)
		fmt.Println("ended:", err)
	case "serve": // in a directory, as the last argument says; then it ends
		cfg := Config{Arch: testArch(), Kernel: os.Getenv(kernelVariable), MemoryMiB: 64}
		served, err := Start(context.Background(), cfg, os.Args[2], os.Args[1] == "detached")
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(served.PID())
	}
}

func role(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+name)
	return cmd
}

func TestQEMUDoesNotOutliveAKilledParent(t *testing.T) {
	t.Parallel()
	requireQEMU(t)
	parent := role("launch")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the parent said %q", line)
	}
	child, err := os.FindProcess(pid) // a pidfd: no other process is taken for it
	if err != nil || child.Signal(syscall.Signal(0)) != nil {
		t.Fatalf("QEMU %d does not run: %v", pid, err)
	}
	parent.Process.Kill()
	parent.Wait()
	for deadline := time.Now().Add(time.Minute); !gone(child); {
		if time.Now().After(deadline) {
			child.Kill()
			t.Fatalf("QEMU %d runs on after its parent was killed", pid)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// gone reports whether a process that is not our child has ended; whoever
// adopted it may not have reaped it yet.
func gone(p *os.Process) bool {
	if errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone) {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}

func TestTerminalIsSetBackWhenTheConsoleIsInterrupted(t *testing.T) {
	t.Parallel()
	terminal, master := openTerminal(t)
	before, err := unix.IoctlGetTermios(int(terminal.Fd()), getTermios)
	if err != nil {
		t.Fatal(err)
	}
	cmd := role("attach")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 1)
	go func() {
		c := newConsole()
		io.Copy(c, master)
		seen <- screenOf(c.tail(10))
	}()
	cmd.Wait()
	after, err := unix.IoctlGetTermios(int(terminal.Fd()), getTermios)
	if err != nil {
		t.Fatal(err)
	}
	terminal.Close() // the last one: master reads to the end
	if *before != *after {
		t.Errorf("terminal modes %+v became %+v", before, after)
	}
	if text := <-seen; !strings.Contains(text, "modes changed") || !strings.Contains(text, "ended: context canceled") {
		t.Errorf("the console was not attached until it was interrupted:\n%s", text)
	}
}

func openTerminal(t *testing.T) (terminal, master *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudoterminal: %v", err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return terminal, master
}

func TestLaunchSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	requireQEMU(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	good := Config{Arch: testArch(), Kernel: self, MemoryMiB: 64}
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"architecture", func(c *Config) { c.Arch = "vax" }, `"vax": want x86_64 or aarch64`},
		{"no kernel", func(c *Config) { c.Kernel = "/none/bzImage" }, "kernel: stat /none/bzImage: no such file"},
		{"no initrd", func(c *Config) { c.Initrd = "/none/initrd" }, "initrd: stat /none/initrd: no such file"},
		{"no disk", func(c *Config) { c.Disk = "/none/disk" }, "disk: stat /none/disk: no such file"},
		{"no memory", func(c *Config) { c.MemoryMiB = 0 }, "0 MiB"},
		{"counting with two CPUs", func(c *Config) { c.Count, c.CPUs = true, 2 }, "one CPU, not with tcg and 2"},
		{"unknown accelerator", func(c *Config) { c.Accel = "abacus" }, "abacus"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := good
			c.change(&cfg)
			machine, err := Launch(context.Background(), cfg)
			if err == nil {
				machine.Quit()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestEndOfTheContextEndsQEMU(t *testing.T) {
	t.Parallel()
	check := guestWith(t, "exec /bin/fakebeam\narg serve\n")
	ctx, cancel := context.WithCancel(context.Background())
	machine, err := Launch(ctx, check.Config)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := machine.Wait(context.Background()); err == nil {
		t.Error("a killed QEMU ended without an error")
	}
}

func TestAcceleratorRunsAMachineOrSaysWhyNot(t *testing.T) {
	requireQEMU(t)
	t.Setenv(AccelVariable, "")
	name, why := Accelerator(context.Background(), testArch())
	t.Logf("%s: %s", name, why)
	if why == "" {
		t.Errorf("%s without a reason", name)
	}
	if testArch() == "x86_64" {
		if _, err := firmwareProbe(context.Background(), name, time.Minute); err != nil {
			t.Errorf("%s was chosen, but does not run firmware: %v", name, err)
		}
	}
	if err := startProbe(context.Background(), testArch(), name); err != nil {
		t.Errorf("%s was chosen, but starts no machine: %v", name, err)
	}
	if err := startProbe(context.Background(), testArch(), "abacus"); err == nil || !strings.Contains(err.Error(), "abacus") {
		t.Errorf("an accelerator that is none: %v", err)
	}
}

func TestAcceleratorForAForeignArchitectureIsEmulation(t *testing.T) {
	t.Setenv(AccelVariable, "")
	foreign := map[string]string{"x86_64": "aarch64", "aarch64": "x86_64"}[testArch()]
	if name, why := Accelerator(context.Background(), foreign); name != "tcg" || !strings.Contains(why, foreign) {
		t.Errorf("%s: %s", name, why)
	}
}

func TestAcceleratorCanBeGiven(t *testing.T) {
	t.Setenv(AccelVariable, "hvf")
	if name, why := Accelerator(context.Background(), testArch()); name != "hvf" || !strings.Contains(why, AccelVariable) {
		t.Errorf("%s: %s", name, why)
	}
}
