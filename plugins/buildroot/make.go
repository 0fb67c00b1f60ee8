package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// maker runs Buildroot's make in one output directory.
type maker struct {
	br    *tree
	trees []external
	out   string   // O=
	vars  []string // NAME=value, where they win over .config
	env   []string
}

// newMaker is for a request: its downloads, its jobs, and whether the network
// may be touched.
func newMaker(req *builder.BuildRequest, c config, br *tree, trees []external, r request, out string) maker {
	m := maker{br: br, trees: trees, out: out}
	m.vars = []string{"BR2_JLEVEL=" + c.jobs(req), "BR2_PACKAGE_OVERRIDE_FILE=" + r.conf.overrides()}
	// What the host fetched is where Buildroot looks for it: the directory has
	// the layout of BR2_DL_DIR. With a directory of the user's it serves as the
	// primary site instead, whose files Buildroot checks and copies.
	dl, primary := req.Downloads, c.Mirror
	if c.DLDir != "" {
		dl = under(req.Definition, c.DLDir)
		if req.Downloads != "" {
			primary = "file://" + req.Downloads
		}
	}
	if dl == "" {
		dl = filepath.Join(req.Work, "dl")
	}
	m.vars = append(m.vars, "BR2_DL_DIR="+dl)
	if req.Offline {
		// Nothing is at that port (RFC 863 has nothing to answer): what does not
		// ask Buildroot for permission fails at once.
		for _, name := range []string{"http_proxy", "https_proxy", "ftp_proxy", "all_proxy"} {
			m.env = append(m.env, name+"=http://127.0.0.1:9")
		}
		m.vars = append(m.vars, "BR2_PRIMARY_SITE_ONLY=y")
		if !strings.HasPrefix(primary, "file://") {
			primary = "file://" + dl
		}
	}
	if primary != "" {
		m.vars = append(m.vars, "BR2_PRIMARY_SITE="+primary)
	}
	return m
}

// command is a make of some goals. Its environment is the one that a build may
// depend on, and no more: a CFLAGS that somebody exported must not change the
// result.
func (m maker) command(goals ...string) *exec.Cmd {
	args := append([]string{"--no-print-directory", "-C", m.br.dir, "O=" + m.out, "BR2_EXTERNAL=" + brExternal(m.trees)}, m.vars...)
	cmd := exec.Command("make", append(args, goals...)...)
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if slices.Contains([]string{"PATH", "HOME", "USER", "TMPDIR"}, name) || strings.HasSuffix(strings.ToLower(name), "_proxy") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "LC_ALL=C", "TERM=dumb",
		// Nothing is to be written into Buildroot.
		"PYTHONDONTWRITEBYTECODE=1",
		// A Buildroot that is no checkout has no version of the one around it.
		"GIT_CEILING_DIRECTORIES="+filepath.Dir(m.br.dir))
	if os.Geteuid() == 0 {
		// Gnulib's configure refuses root, lest it build a mkdir that root needs to
		// find out what others cannot do (m4/mknod.m4). In a container there is
		// nobody else.
		cmd.Env = append(cmd.Env, "FORCE_UNSAFE_CONFIGURE=1")
	}
	cmd.Env = append(cmd.Env, m.env...) // the last one counts
	return cmd
}
