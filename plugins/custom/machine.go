package main

import (
	"bufio"
	"context"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/cc"
	"github.com/somebloke1/elixir-lean-lab/core/guest"
	"github.com/somebloke1/elixir-lean-lab/core/kernel"
	"github.com/somebloke1/elixir-lean-lab/core/otp"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// Where things lie in the root.
const (
	rootBusybox   = "/bin/busybox"
	rootEmulators = "/usr/lib/erlang/bin"
	rootTerminfo  = "/usr/share/terminfo"
	rootTar       = "rootfs.tar"
)

// assemble makes the root and describes the machine.
func assemble(ctx context.Context, req *builder.BuildRequest, ev builder.Events) (*builder.Machine, error) {
	c, err := decode(req.Definition)
	if err != nil {
		return nil, err
	}
	tree := rootfs.New()
	if err := tree.HostFile("/init", 0o755, filepath.Join(req.Needs[stepInit], guest.InitFile)); err != nil {
		return nil, err
	}
	m := describe(req.Definition, c)
	if c.Busybox {
		paths, err := addBusybox(tree, req.Needs[stepBusybox])
		if err != nil {
			return nil, err
		}
		m.Components = append(m.Components, builder.Component{Name: "busybox", Paths: paths})
	}
	for _, name := range []string{otp.EmulatorPlain, otp.EmulatorCrypto, otp.ChildSetup} {
		if err := tree.HostFile(path.Join(rootEmulators, name), 0o755, filepath.Join(req.Needs[stepEmulator], name)); err != nil {
			return nil, err
		}
	}
	for _, name := range terminals {
		file, err := terminfo(name)
		if err != nil {
			return nil, err
		}
		if err := tree.HostFile(path.Join(rootTerminfo, name[:1], name), 0o644, file); err != nil {
			return nil, err
		}
	}
	if req.Definition.OTP.Link == "dynamic" {
		libs, err := tree.AddSharedLibraries(libraryDirs(ctx, req.Definition.Arch))
		if err != nil {
			return nil, err
		}
		m.Components = append(m.Components, builder.Component{Name: "libc", Paths: libs})
	}
	// Last, so that a team's overlay has the last word.
	dirs, err := rootfs.FindOverlays(req.Definition.Root, c.Overlays)
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		if err := tree.AddOverlay(dir); err != nil {
			return nil, err
		}
	}
	return m, tree.WriteTarFile(filepath.Join(req.Out, rootTar))
}

func describe(def *builder.Definition, c config) *builder.Machine {
	m := &builder.Machine{
		Kernel: builder.Ref{Step: stepKernel, Path: kernel.ImageFile},
		Rootfs: builder.Ref{Step: stepMachine, Path: rootTar},
		// quiet: a serial console takes its time for every line, and the kernel's
		// would mix with the app's. Warnings still appear; dmesg has the rest.
		Cmdline: strings.TrimSpace("quiet " + c.Cmdline),
		Toolchain: builder.Toolchain{
			OTP:    builder.Ref{Step: stepOTP, Path: "."},
			Elixir: builder.Ref{Step: stepElixir, Path: "."},
			Env:    map[string]string{"CC": cc.Compiler(def.Arch)},
		},
		Emulators: []builder.Emulator{
			{Path: path.Join(rootEmulators, otp.EmulatorPlain)},
			{Path: path.Join(rootEmulators, otp.EmulatorCrypto), NIFs: otp.CryptoNIFs},
		},
		Libc: "static",
		Components: []builder.Component{
			{Name: "init", Paths: []string{"/init"}},
			{Name: "beam", Paths: []string{rootEmulators}},
			{Name: "terminfo", Paths: []string{rootTerminfo}},
		},
	}
	if def.OTP.Link == "dynamic" {
		m.Libc = "glibc"
	}
	return m
}

// addBusybox puts the program and a symbolic link for each applet in the tree.
func addBusybox(tree *rootfs.Tree, dir string) ([]string, error) {
	if err := tree.HostFile(rootBusybox, 0o755, filepath.Join(dir, busyboxProgram)); err != nil {
		return nil, err
	}
	list, err := os.Open(filepath.Join(dir, busyboxLinks))
	if err != nil {
		return nil, err
	}
	defer list.Close()
	paths := []string{rootBusybox}
	lines := bufio.NewScanner(list)
	for lines.Scan() {
		link := strings.TrimSpace(lines.Text())
		if link == "" || link == "/init" { // BusyBox's own init is not used
			continue
		}
		if err := tree.Symlink(link, rootBusybox); err != nil {
			return nil, err
		}
		paths = append(paths, link)
	}
	return paths, lines.Err()
}

// libraryDirs are the directories in which the compiler's C library lies.
func libraryDirs(ctx context.Context, arch string) []string {
	dirs := map[string]bool{}
	for _, name := range []string{"libc.so.6", "libstdc++.so.6", "libm.so.6"} {
		if p := cc.LibraryPath(ctx, cc.Compiler(arch), name); p != "" {
			dirs[filepath.Dir(p)] = true
		}
	}
	return sorted(dirs)
}
