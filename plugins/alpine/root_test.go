package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
	"github.com/somebloke1/elixir-lean-lab/core/source"
)

func readTree(t *testing.T, tar string) *rootfs.Tree {
	t.Helper()
	tree := rootfs.New()
	if err := tree.AddTar(tar, "/"); err != nil {
		t.Fatal(err)
	}
	return tree
}

// listing is a tree as text: type, mode, owner, path and target.
func listing(t *testing.T, tar string) map[string]string {
	t.Helper()
	list := map[string]string{}
	if err := readTree(t, tar).Walk(func(e *rootfs.Entry) error {
		list[e.Path] = strings.TrimSpace(fmt.Sprintf("%v %v %d:%d %s", e.Type, e.Mode, e.UID, e.GID, e.Link))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestPackagesAreInstalledWithOwnersModesAndLinks(t *testing.T) {
	t.Parallel()
	for _, arch := range []string{"x86_64", "aarch64"} {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			m := newMirror(t)
			m.publish("main", arch, system(arch)...)
			def := definition(t, m, func(c map[string]any) { c["packages"] = []string{"curl"} })
			def.Arch = arch
			out, err := install(t, def, source.Options{})
			if err != nil {
				t.Fatal(err)
			}
			list := listing(t, filepath.Join(out, rootTar))
			for name, want := range map[string]string{
				"/tmp":                           "directory dtrwxrwxrwx 0:0",
				"/root":                          "directory -rwx------ 0:0",
				"/var/mail":                      "directory grwxrwxr-x 8:12",
				"/etc/shadow":                    "file -rw-r----- 0:42",
				"/usr/bin/curl":                  "file urwxr-xr-x 0:0",
				"/lib/ld-musl-" + arch + ".so.1": "file -rwxr-xr-x 0:0",
				// What BusyBox' trigger would link, and what a package links itself.
				"/sbin/udhcpc": "symbolic link -rwxrwxrwx 0:0 /bin/busybox",
				"/usr/bin/env": "symbolic link -rwxrwxrwx 0:0 /bin/busybox",
				"/bin/sh":      "symbolic link -rwxrwxrwx 0:0 /bin/busybox",
				// Of OTP, what BEAM is started with.
				"/usr/lib/erlang/erts-15.2.7.4/bin/beam.smp":        "file -rwxr-xr-x 0:0",
				"/usr/lib/erlang/erts-15.2.7.4/bin/erl_child_setup": "file -rwxr-xr-x 0:0",
				"/usr/lib/erlang/erts-15.2.7.4/bin/epmd":            "",
				"/usr/lib/erlang/lib":                               "",
				"/usr/lib/erlang/releases":                          "",
				"/usr/bin/erl":                                      "",
				"/lib/apk/db/installed":                             "file -rw-r--r-- 0:0",
			} {
				got := strings.Replace(list[name], "directory d", "directory ", 1)
				if got != strings.Replace(want, "directory d", "directory ", 1) {
					t.Errorf("%s: got %q, want %q", name, list[name], want)
				}
			}
			// The rest of OTP is there for releases.
			for _, name := range []string{"releases/27/OTP_VERSION", "erts-15.2.7.4/bin/epmd", "lib/crypto-5.5.3/priv/lib/crypto.so"} {
				if _, err := os.Stat(filepath.Join(out, rootOTP, name)); err != nil {
					t.Error(err)
				}
			}
			if _, err := os.Stat(filepath.Join(out, rootOTP, "lib/kernel-10.2.7.3/src")); err == nil {
				t.Error("OTP's sources are copied")
			}
		})
	}
}

func TestTheSamePackagesGiveTheSameBytes(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.publish("main", "x86_64", system("x86_64")...)
	def := definition(t, m, nil)
	var first []byte
	for range 3 {
		out, err := install(t, def, source.Options{})
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(out, rootTar))
		if err != nil {
			t.Fatal(err)
		}
		if first != nil && !bytes.Equal(first, data) {
			t.Error("two roots of the same packages differ")
		}
		first = data
	}
}
