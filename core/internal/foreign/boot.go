package foreign

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/guest"
	"github.com/somebloke1/elixir-lean-lab/core/inspect"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// QEMU's user network: the address that its DHCP server gives first, the host, and
// its DNS (QEMU, docs/system/devices/net.rst, "Using the user mode network stack").
const (
	address    = "eth0 10.0.2.15/24 10.0.2.2"
	nameserver = "10.0.2.3"
)

// defaultPath is where container engines look for programs when an image does not
// say (moby: oci/caps and daemon use the same; OCI leaves it open).
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// boot is the boot file for what a container image wants to be run.
func (o *Options) boot(t *rootfs.Tree, c *inspect.Config, command Command) (guest.Boot, error) {
	b := guest.Boot{Hostname: "localhost", Chdir: path.Join("/", c.Config.WorkingDir), Env: map[string]string{}}
	if o.Network {
		b.Address = address
	}
	user, err := findUser(t, c.Config.User)
	if err != nil {
		return b, err
	}
	b.UID, b.GID = user.uid, user.gid
	b.Env["PATH"], b.Env["HOME"], b.Env["TERM"] = defaultPath, user.home, "vt220"
	for _, variable := range c.Config.Env {
		if name, value, ok := strings.Cut(variable, "="); ok && name != "" {
			b.Env[name] = value
		}
	}
	words := append(append([]string{}, c.Config.Entrypoint...), c.Config.Cmd...)
	switch {
	case command.Entrypoint != "":
		words = append([]string{command.Entrypoint}, command.Args...)
	case len(command.Args) > 0:
		words = append(append([]string{}, c.Config.Entrypoint...), command.Args...)
	}
	if b.Exec, err = findProgram(t, words[0], b.Chdir, b.Env["PATH"], o.Arch); err != nil {
		return b, err
	}
	b.Args = words[1:]
	if _, err := b.Encode(); err != nil {
		return b, fmt.Errorf("what it runs does not fit a boot file: %w", err)
	}
	return b, nil
}

// findProgram finds a program as execvp(3) does.
func findProgram(t *rootfs.Tree, name, dir, search, arch string) (string, error) {
	if name == "" {
		return "", errors.New("the program that it runs has an empty name")
	}
	var candidates []string
	if strings.Contains(name, "/") {
		candidates = []string{name}
	} else {
		for _, d := range strings.Split(search, ":") {
			candidates = append(candidates, path.Join(d, name))
		}
	}
	var unfit error
	for _, c := range candidates {
		if !path.IsAbs(c) {
			c = path.Join(dir, c)
		}
		e, err := t.Resolve(path.Clean(c))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			unfit = err
		case e.Type != rootfs.Regular || e.Mode&0o111 == 0:
			unfit = fmt.Errorf("%s: is no program: a %v of mode %v", c, e.Type, e.Mode)
		default:
			return path.Clean(c), checkProgram(e, arch)
		}
	}
	if unfit == nil {
		unfit = fmt.Errorf("%s: there is no such program in the image (looked for: %s)", name, strings.Join(candidates, " "))
	}
	return "", unfit
}
