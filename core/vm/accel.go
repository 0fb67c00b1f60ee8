package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// AccelVariable, when set in the environment, is what Accelerator returns.
const AccelVariable = "LEANLAB_ACCEL"

// probeLimit bounds one probe; emulated firmware takes under a second.
const probeLimit = 10 * time.Second

// Accelerator returns how QEMU should run a machine of that architecture on this
// host, "kvm", "hvf" or "tcg" (emulation), and why.
//
// That /dev/kvm opens says little: inside another VM it may refuse the CPU, or
// be slower than emulation because every exit is emulated by the outer host. So
// firmware is run to its end both ways, and virtualisation must not be slower.
func Accelerator(ctx context.Context, arch string) (name, why string) {
	if name := os.Getenv(AccelVariable); name != "" {
		return name, AccelVariable + " says so"
	}
	native, err := nativeAccel(arch)
	if err != nil {
		return "tcg", err.Error()
	}
	if arch != "x86_64" {
		// QEMU brings firmware of its own only for x86; what can be seen is
		// whether a machine starts.
		if err := startProbe(ctx, arch, native); err != nil {
			return "tcg", fmt.Sprintf("%s does not start a machine: %v", native, err)
		}
		return native, native + " starts a machine"
	}
	emulated, err := firmwareProbe(ctx, "tcg", probeLimit)
	if err != nil {
		return "tcg", fmt.Sprintf("nothing else was tried, since emulation fails: %v", err)
	}
	limit := emulated + emulated/2
	virtual, err := firmwareProbe(ctx, native, limit)
	if errors.Is(err, context.DeadlineExceeded) {
		return "tcg", fmt.Sprintf("%s is slower than emulation here: firmware took more than %v, emulated %v",
			native, limit.Round(time.Millisecond), emulated.Round(time.Millisecond))
	}
	if err != nil {
		return "tcg", fmt.Sprintf("%s does not run firmware: %v", native, err)
	}
	return native, fmt.Sprintf("firmware took %v with %s, emulated %v",
		virtual.Round(time.Millisecond), native, emulated.Round(time.Millisecond))
}

// nativeAccel is the host's virtualisation, if it can be of use for arch.
func nativeAccel(arch string) (string, error) {
	host := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	if host != arch {
		return "", fmt.Errorf("this host is %s and the VM %s", runtime.GOARCH, arch)
	}
	switch runtime.GOOS {
	case "darwin":
		return "hvf", nil
	case "linux":
		f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
		if err != nil {
			return "", fmt.Errorf("no KVM: %w", err)
		}
		f.Close()
		return "kvm", nil
	}
	return "", fmt.Errorf("no virtualisation is known for %s", runtime.GOOS)
}

// firmwareProbe measures how long SeaBIOS takes to find that there is nothing
// to boot. It starts in real mode, sets up protected mode, SMM and PCI: a few
// thousand exits and some millions of instructions.
func firmwareProbe(ctx context.Context, accel string, limit time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// graphics=off: SeaBIOS prints to the serial port.
	args := append(machineArgs("x86_64", accel), "-M", "graphics=off", "-m", "64", "-boot", "menu=off",
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console")
	cmd := exec.Command(machines["x86_64"].qemu, args...)
	console, stderr := newConsole(), &lastBytes{}
	cmd.Stdout, cmd.Stderr = console, stderr
	began := time.Now()
	p, err := start(ctx, cmd, tied())
	if err != nil {
		return 0, err
	}
	go func() {
		<-p.ended
		console.close()
	}()
	defer func() {
		p.kill()
		<-p.ended
	}()
	for r := (&reader{c: console}); ; {
		line, _, err := r.read(ctx)
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if err != nil {
			return 0, errors.New(lastLine(stderr.indented()))
		}
		if strings.Contains(line, "No bootable device") {
			return time.Since(began), nil
		}
	}
}

// startProbe starts a machine without anything to run and asks its monitor.
func startProbe(ctx context.Context, arch, accel string) error {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	args := append(machineArgs(arch, accel), "-m", "64", "-S", "-qmp", "stdio")
	cmd := exec.Command(machines[arch].qemu, args...)
	monitor, stderr := newConsole(), &lastBytes{}
	cmd.Stdout, cmd.Stderr = monitor, stderr
	p, err := start(ctx, cmd, tied())
	if err != nil {
		return err
	}
	go func() {
		<-p.ended
		monitor.close()
	}()
	defer func() {
		p.kill()
		<-p.ended
	}()
	if _, _, err := (&reader{c: monitor}).read(ctx); errors.Is(err, io.EOF) {
		return errors.New(lastLine(stderr.indented()))
	} else if err != nil {
		return err
	}
	return nil // it greets
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return "QEMU ended without a word"
	}
	return strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
}
