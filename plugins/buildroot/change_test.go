package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// rebuilt builds once, changes something, builds again, and returns what was
// compiled again with all that was said.
func rebuilt(t *testing.T, prepare, change func(s *standin)) (packages []string, said string, second built) {
	t.Helper()
	s := newStandin(t)
	if prepare != nil {
		prepare(s)
	}
	s.mustBuild()
	s.compiled()
	change(s)
	second = s.mustBuild()
	return s.compiled(), strings.Join(second.events.notices, "\n"), second
}

func TestOnlyWhatAChangeTouchesIsBuiltAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare, change func(s *standin)
		want            string // compiled again
		says            string
	}{
		"nothing": {
			change: func(*standin) {},
		},
		"a package comes": {
			change: func(s *standin) { s.add("BR2_PACKAGE_TROUBLE=y") },
			want:   "trouble",
		},
		"a package comes by the definition": {
			change: func(s *standin) { s.config["packages"] = []string{"trouble"} },
			want:   "trouble",
		},
		"a package goes": {
			prepare: func(s *standin) { s.add("BR2_PACKAGE_TROUBLE=y") },
			change:  func(s *standin) { s.edit(s.defconfig(), "BR2_PACKAGE_TROUBLE=y\n", "") },
			says:    "trouble: is not asked for any more",
		},
		"a package's option": {
			prepare: func(s *standin) { s.add("BR2_PACKAGE_TROUBLE=y") },
			change:  func(s *standin) { s.add(`BR2_PACKAGE_TROUBLE_WITH="slow"`) },
			want:    "trouble",
			says:    "trouble: BR2_PACKAGE_TROUBLE_WITH changed (",
		},
		"a package's option that the host's of the same name does not see": {
			prepare: func(s *standin) { s.add("BR2_PACKAGE_TROUBLE=y\nBR2_PACKAGE_HOST_TROUBLE=y") },
			change:  func(s *standin) { s.add(`BR2_PACKAGE_TROUBLE_WITH="slow"`) },
			want:    "trouble",
			says:    "1 of 9 packages are built again",
		},
		"a package's option that the host's of the same name sees": {
			prepare: func(s *standin) {
				s.edit(filepath.Join(s.buildroot, "package/trouble/trouble.mk"), "TROUBLE_WITH =", "HOST_TROUBLE_FILES = $(TROUBLE_WITH)\nTROUBLE_WITH =")
				s.add("BR2_PACKAGE_TROUBLE=y\nBR2_PACKAGE_HOST_TROUBLE=y")
			},
			change: func(s *standin) { s.add(`BR2_PACKAGE_TROUBLE_WITH="slow"`) },
			want:   "host-trouble trouble",
			says:   "host-trouble: BR2_PACKAGE_TROUBLE_WITH changed (",
		},
		"a package's option that the host's sees by another makefile of theirs": {
			prepare: func(s *standin) {
				writeFile(s.t, filepath.Join(s.buildroot, "package/trouble/more.mk"), "HOST_TROUBLE_FILES = $(TROUBLE_WITH)\n")
				s.add("BR2_PACKAGE_TROUBLE=y\nBR2_PACKAGE_HOST_TROUBLE=y")
			},
			change: func(s *standin) { s.add(`BR2_PACKAGE_TROUBLE_WITH="slow"`) },
			want:   "host-trouble trouble",
			says:   "host-trouble: BR2_PACKAGE_TROUBLE_WITH changed (",
		},
		"a package's recipe, and what depends on it": {
			change: func(s *standin) { s.edit(filepath.Join(s.buildroot, "package/zlib/zlib.mk"), "1.0,", "1.0.1,") },
			want:   "leanlab-elixir leanlab-otp zlib",
			says:   "leanlab-otp: it depends on one of those",
		},
		"a fragment of the kernel's, which Kbuild sees through": {
			change: func(s *standin) {
				s.edit(filepath.Join(s.root, "kernel-configs/base.config"), "CONFIG_NET=y", "CONFIG_NET=y\nCONFIG_INET=y")
			},
			want: "linux",
			says: "linux: BR2_LINUX_KERNEL_CONFIG_FRAGMENT_FILES changed",
		},
		"a source directory outside of the external tree": {
			change: func(s *standin) { s.edit(filepath.Join(s.root, "init/init.c"), "first", "very first") },
			want:   "leanlab-init",
			says:   "leanlab-init: its recipe, sources or dependencies have changed",
		},
		"an overlay": {
			prepare: func(s *standin) {
				s.add(`BR2_ROOTFS_OVERLAY="` + filepath.Join(s.root, "overlay") + `"`)
				writeFile(s.t, filepath.Join(s.root, "overlay/etc/motd"), "hello\n")
			},
			change: func(s *standin) { writeFile(s.t, filepath.Join(s.root, "overlay/etc/motd"), "good bye\n") },
		},
		"how many at a time, and where from": {
			change: func(s *standin) { s.config["jobs"], s.config["mirror"] = 7, "file:///nonesuch" },
		},
		"Buildroot's common makefiles": {
			change: func(s *standin) {
				s.edit(filepath.Join(s.buildroot, "package/pkg-generic.mk"), "the rules", "all rules")
			},
			want: "busybox leanlab-elixir leanlab-init leanlab-otp linux skeleton zlib",
			says: "Everything is built anew\nBuildroot itself has changed",
		},
		"what all packages depend on": {
			change: func(s *standin) {
				s.edit(filepath.Join(s.buildroot, "package/skeleton/skeleton.mk"), "root:x", "root:y")
			},
			want: "busybox leanlab-elixir leanlab-init leanlab-otp linux skeleton zlib",
			says: "every package is, or depends on, one that changed: skeleton (",
		},
		"OTP's release": {
			change: func(s *standin) { f := s.sources["erlang"]; f.Version = "27.3.5"; s.sources["erlang"] = f },
			want:   "leanlab-elixir leanlab-otp",
			says:   "leanlab-otp: BR2_PACKAGE_LEANLAB_OTP_VERSION changed (otp.version)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			packages, said, _ := rebuilt(t, c.prepare, c.change)
			if got := strings.Join(packages, " "); got != c.want {
				t.Errorf("built again: %s; want %s", got, c.want)
			}
			if c.says == "" && said != "" || !strings.Contains(said, c.says) {
				t.Errorf("said %q, want %q", said, c.says)
			}
		})
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The result of a build in a kept directory is the one that an empty one gives:
// nothing of before stays.
func TestARootHoldsNothingOfBefore(t *testing.T) {
	t.Parallel()
	_, _, second := rebuilt(t,
		func(s *standin) {
			s.link = "static"
			s.add("BR2_PACKAGE_TROUBLE=y")
			s.add(`BR2_ROOTFS_OVERLAY="` + filepath.Join(s.root, "overlay") + `"`)
			writeFile(s.t, filepath.Join(s.root, "overlay/etc/old"), "")
			writeFile(s.t, filepath.Join(s.buildroot, "package/trouble/trouble.mk"),
				"TROUBLE_FILES = usr/bin/trouble\nTROUBLE_STAGING_FILES = usr/include/trouble.h\n"+
					"define TROUBLE_INSTALL\n\tmkdir -p $(TARGET_DIR)/usr/bin $(O)/staging/usr/include && touch $(TARGET_DIR)/usr/bin/trouble $(O)/staging/usr/include/trouble.h\nendef\n"+
					"$(eval $(call package,trouble,0.1,skeleton,target,package/trouble,TROUBLE))\n")
		},
		func(s *standin) {
			s.edit(s.defconfig(), "BR2_PACKAGE_TROUBLE=y\n", "")
			if err := os.Rename(filepath.Join(s.root, "overlay/etc/old"), filepath.Join(s.root, "overlay/etc/new")); err != nil {
				s.t.Fatal(err)
			}
			staging := filepath.Join(s.kept, stepBuild, "output/staging/usr/include/trouble.h")
			if _, err := os.Stat(staging); err != nil {
				s.t.Fatal(err)
			}
			s.t.Cleanup(func() {
				if _, err := os.Stat(staging); err == nil {
					s.t.Errorf("%s of a package that is gone can still be found by others", staging)
				}
			})
		})
	tree := root(t, second)
	for path, want := range map[string]bool{"/usr/bin/trouble": false, "/etc/old": false, "/etc/new": true, "/etc/passwd": true} {
		if _, ok := tree.Get(path); ok != want {
			t.Errorf("%s is in the root: %v, want %v", path, ok, want)
		}
	}
	var names []string
	for _, c := range second.machine.Components {
		names = append(names, c.Name)
	}
	if !slices.Contains(names, "leanlab-otp") {
		t.Errorf("after a second installation the components are %v", names)
	}
}

func TestAFullDiskIsNoOrderlyEnd(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	s.add("BR2_PACKAGE_TROUBLE=y")
	s.add(`BR2_PACKAGE_TROUBLE_WITH="full"`)
	_, err := s.build(t.Context())
	if err == nil || !strings.Contains(err.Error(), "No space left on device") {
		t.Fatalf("Build: %v", err)
	}
	before := s.compiled()
	s.edit(s.defconfig(), `"full"`, `"slow"`)
	b := s.mustBuild()
	for _, name := range s.compiled() {
		if name != "trouble" && slices.Contains(before, name) {
			t.Errorf("%s was built again", name)
		}
	}
	if !strings.Contains(strings.Join(b.events.notices, "\n"), "trouble: was cut off and starts anew") {
		t.Errorf("said %q", b.events.notices)
	}
}

func TestAnOutputDirectoryThatNothingIsKnownOfIsNotBuiltOn(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	s.mustBuild()
	s.compiled()
	out := filepath.Join(s.kept, stepBuild)
	if err := os.WriteFile(filepath.Join(out, stateFile), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.mustBuild()
	if got := s.compiled(); len(got) != 7 {
		t.Errorf("built again: %v, want all seven", got)
	}
}

// A build that is to begin anew may be killed while the old one is removed. Who
// then wants the old one back does not get its remains.
func TestAHalfRemovedOutputIsNotBuiltOn(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	s.mustBuild()
	s.compiled()
	b := &build{req: &builder.BuildRequest{Work: filepath.Join(s.kept, stepBuild)}, make: maker{out: filepath.Join(s.kept, stepBuild, "output")}}
	was := b.readState()
	if was == nil {
		t.Fatal("there is no state")
	}
	// As apply does it, up to where it is killed.
	if err := os.Remove(b.statePath()); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(b.out(), "staging")); err != nil {
		t.Fatal(err)
	}
	s.mustBuild()
	if got := s.compiled(); len(got) != 7 {
		t.Errorf("built again: %v, want all seven", got)
	}
}
