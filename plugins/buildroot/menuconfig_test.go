package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// configure runs a tool as the host does.
func (s *standin) configure(tool string) error {
	s.t.Helper()
	work := filepath.Join(s.kept, "configure")
	if err := os.MkdirAll(work, 0o755); err != nil {
		s.t.Fatal(err)
	}
	return buildroot{}.Configure(s.t.Context(), &builder.ConfigureRequest{
		Definition: s.definition(), Tool: tool, Work: work, Jobs: 1, Sources: s.sources,
	})
}

// editor is what menuconfig runs: a script that changes .config, its argument.
func (s *standin) editor(script string) {
	s.t.Helper()
	path := filepath.Join(s.buildroot, "support/kconfig/editor")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		s.t.Fatal(err)
	}
}

func (s *standin) defconfigText() string {
	s.t.Helper()
	data, err := os.ReadFile(s.defconfig())
	if err != nil {
		s.t.Fatal(err)
	}
	return string(data)
}

func TestAnEditLandsInTheDefconfigInItsPlaceAndTheCommentsStay(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	before := s.defconfigText()
	s.editor(`sed -i 's/^# BR2_ENABLE_DEBUG is not set/BR2_ENABLE_DEBUG=y/; s/^BR2_PACKAGE_ZLIB=y/# BR2_PACKAGE_ZLIB is not set/; s/^BR2_JLEVEL=1/BR2_JLEVEL=3/' "$1"`)
	if err := s.configure("menuconfig"); err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(before, "BR2_"+hostArch()+"=y\n", "BR2_"+hostArch()+"=y\n# debug symbols everywhere\nBR2_ENABLE_DEBUG=y\n# jobs\nBR2_JLEVEL=3\n", 1)
	want = strings.Replace(want, "# OTP needs it.\nBR2_PACKAGE_ZLIB=y\n", "", 1)
	if got := s.defconfigText(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := s.configure("check-configs"); err != nil {
		t.Error(err)
	}
}

func TestAnEditorThatSavesNothingChangesNothing(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	before := s.defconfigText()
	s.editor("true")
	if err := s.configure("menuconfig"); err != nil {
		t.Fatal(err)
	}
	if got := s.defconfigText(); got != before {
		t.Errorf("got\n%s", got)
	}
}

func TestEditsThatWereNotFoldedAreNotLost(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	s.editor("true")
	if err := s.configure("menuconfig"); err != nil {
		t.Fatal(err)
	}
	dotConfig := filepath.Join(s.kept, "configure/buildroot-output/.config")
	s.edit(dotConfig, "# BR2_ENABLE_DEBUG is not set", "BR2_ENABLE_DEBUG=y")
	if err := s.configure("menuconfig"); err == nil || !strings.Contains(err.Error(), "savedefconfig") {
		t.Errorf("menuconfig: %v", err)
	}
	if err := s.configure("savedefconfig"); err != nil {
		t.Fatal(err)
	}
	if got := s.defconfigText(); !strings.Contains(got, "BR2_ENABLE_DEBUG=y\n") {
		t.Errorf("got\n%s", got)
	}
	if err := s.configure("menuconfig"); err != nil {
		t.Error(err)
	}
}

func TestDriftIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(s *standin)
		want   string
	}{
		"a symbol that is not there": {func(s *standin) { s.add("BR2_PACKAGE_ZLIP=y") }, "BR2_PACKAGE_ZLIP=y: this Buildroot has no such symbol; the nearest is BR2_PACKAGE_ZLIB"},
		"a symbol that was removed":  {func(s *standin) { s.add("BR2_PACKAGE_OLD=y") }, "Buildroot has removed it: the package old is gone, take zlib"},
		"a symbol that is dropped":   {func(s *standin) { s.add(`BR2_PACKAGE_TROUBLE_WITH="fail"`) }, "depends on BR2_PACKAGE_TROUBLE, which is n"},
		"a default":                  {func(s *standin) { s.add("BR2_PACKAGE_BUSYBOX=y") }, "savedefconfig says: removed BR2_PACKAGE_BUSYBOX=y"},
		"another order": {func(s *standin) {
			s.edit(s.defconfig(), "BR2_"+hostArch()+"=y\n", "")
			s.add("BR2_" + hostArch() + "=y")
		}, "not in the order"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStandin(t)
			if err := s.configure("check-configs"); err != nil {
				t.Fatal(err)
			}
			c.change(s)
			err := s.configure("check-configs")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestAnUnknownToolIsNamedWithTheKnownOnes(t *testing.T) {
	t.Parallel()
	if err := newStandin(t).configure("xconfig"); err == nil || !strings.Contains(err.Error(), "linux-menuconfig, busybox-menuconfig") {
		t.Errorf("%v", err)
	}
}

func FuzzFoldDefconfig(f *testing.F) {
	f.Add("# head\n\n# why\nBR2_A=y\n# BR2_B is not set\n", "BR2_A=y\nBR2_C=\"x\"\n")
	f.Fuzz(func(t *testing.T, old, saved string) {
		seen := map[string]bool{}
		for line := range strings.Lines(saved) {
			if name := lineSymbol(strings.TrimSuffix(line, "\n")); name != "" {
				if seen[name] {
					return // conf writes no symbol twice
				}
				seen[name] = true
			}
		}
		text, _ := foldDefconfig(old, saved, func(string) string { return "prompt" })
		again, edits := foldDefconfig(text, saved, func(string) string { return "prompt" })
		if again != text || len(edits) > 0 {
			t.Errorf("folding again: %q, %q, want %q", again, edits, text)
		}
	})
}
