package otp

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatIsNoMixProjectIsRefusedWithItsPath(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "absent"): "no such directory",
		file:                         "not a directory",
		dir:                          "no mix.exs in it",
	} {
		err := checkProject(path)
		if err == nil || !strings.HasPrefix(err.Error(), path+": "+want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
}

func TestFailedMixSaysWhatToDo(t *testing.T) {
	t.Parallel()
	cause := errors.New("exit status 1")
	for output, want := range map[string]string{
		`** (Mix) You're trying to run :x on Elixir v1.18.3 but it has declared in its mix.exs file it supports only Elixir ~> 1.20`: "elixir = …",
		`** (Mix) "mix release" was invoked without a name but there are multiple releases`:                                          `app { release = "NAME" }`,
		`** (Mix) Can't continue due to errors on dependencies`:                                                                      "mix deps.get",
		"== Compilation error in file lib/x.ex ==":                                                                                   "does not compile",
		"something new": "must succeed in MIX_ENV=prod",
	} {
		err := explainMix("/app", output, cause)
		if !errors.Is(err, cause) || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "/app: ") {
			t.Errorf("%q: got %v, want %q", output, err, want)
		}
	}
}

func TestConsoleProjectHoldsTheApplicationsAskedFor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := writeConsole(dir, []string{"crypto", "ssl"}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "mix.exs"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "extra_applications: [:logger, :iex, :crypto, :ssl]"; !strings.Contains(string(got), want) {
		t.Errorf("mix.exs:\n%s\nwant %q in it", got, want)
	}
}

func TestReleaseIsKnownByItsStartData(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir := filepath.Join(root, "releases", "0.2.0")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		filepath.Join(root, "releases", "start_erl.data"): "15.2.7 0.2.0",
		filepath.Join(dir, "shop.rel"):                    "",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ReadRelease(root)
	if err != nil || got.Name != "shop" || got.Version != "0.2.0" || got.Dir() != "releases/0.2.0" {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := ReadRelease(t.TempDir()); err == nil {
		t.Error("a directory without a release was taken for one")
	}
}
