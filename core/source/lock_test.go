package source

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const lockText = `# The exact sources this project is built from. Commit it.
# Written by leanlab; "leanlab sources lock" takes what the origins have now.

source "erlang" "27" {
  version = "27.3.4.1"
  origin  = "debian"
  url     = "debian:pool/main/e/erlang/erlang_27.3.4.1+dfsg.orig.tar.xz"
  file    = "erlang_27.3.4.1+dfsg.orig.tar.xz"
  sha256  = "0834643ef1e17886d5e334a39527d8429bcf50613b86d59d4757466f32984b7e"
  bytes   = 47613664
}

source "linux" "6.12" {
  version = "6.12.104"
  origin  = "upstream"
  url     = "https://cdn.kernel.org/pub/linux/kernel/v6.x/linux-6.12.104.tar.xz"
  file    = "linux-6.12.104.tar.xz"
  sha256  = "949d166a1263bd0cf0c5aab44eeb57869615099e7c48bf88d0e4adb77379b999"
  bytes   = 148000000
}
`

func TestLockFileReadsBackAsWritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "leanlab.lock")
	l, err := LoadLock(path)
	if err != nil {
		t.Fatal(err)
	}
	releases, _, err := parseReleases([]byte(lockText), "lock")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range slices.Backward(releases) {
		l.Set(r)
	}
	if err := l.Save(); err != nil {
		t.Fatal(err)
	}
	wantContent(t, path, []byte(lockText))

	again, err := LoadLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := again.Releases(); !reflect.DeepEqual(got, releases) {
		t.Errorf("got %v, want %v", got, releases)
	}
	if got, want := again.where(Request{Name: "linux", Series: "6.12"}), path+":13"; got != want {
		t.Errorf("linux stands at %s, want %s", got, want)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the lock file: %v, %v", left, err)
	}
}

func TestSavingALockKeepsWhatAnotherProcessAdded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "leanlab.lock")
	write(t, path, lockText)
	ours, err := LoadLock(path)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := LoadLock(path)
	if err != nil {
		t.Fatal(err)
	}
	known := Known()
	busybox := known[slices.IndexFunc(known, func(r Release) bool { return r.Name == "busybox" })]
	theirs.Set(busybox)
	if err := theirs.Save(); err != nil {
		t.Fatal(err)
	}
	ours.Remove(Request{Name: "linux", Series: "6.12"})
	if err := ours.Save(); err != nil {
		t.Fatal(err)
	}
	now, err := LoadLock(path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range now.Releases() {
		names = append(names, r.Name)
	}
	if got := strings.Join(names, " "); got != "busybox erlang" {
		t.Errorf("locked are %s; want busybox, which the other added, and erlang, but not linux, which was removed", got)
	}
}

func TestBadLockFilesAreReportedByLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, from, to, want string }{
		{"syntax", `source "linux"`, `source "linux`, `:13: Invalid`},
		{"digest", `"949d`, `"`, `:13: sha256 "166a`},
		{"upper-case digest", `949d`, `949D`, `:13: sha256`},
		{"path in file", `file    = "linux`, `file    = "../linux`, `:13: file "../linux`},
		{"wrong series", `"6.12.104"`, `"6.1.104"`, `:13: version "6.1.104" is not in the series 6.12`},
		{"origin", `"upstream"`, `"friend"`, `:13: origin "friend"`},
		{"url", `"https://cdn`, `"file://cdn`, `:13: url "file://cdn`},
		{"missing", "  origin  = \"upstream\"\n", "", `:13: Missing required argument`},
		{"all that is missing at once", "  origin  = \"upstream\"\n  url     =", "  # url =", `:13: Missing required argument; The argument "origin" is required, but no definition was found. The argument "url" is required`},
		{"unknown", `bytes   = 148`, "size    = 1\n  bytes   = 148", `:19: Unsupported argument`},
		{"twice", `source "linux" "6.12"`, `source "erlang" "27"`, `:13: `},
		{"negative", `bytes   = 148`, `bytes   = -148`, `:13: bytes is -148`},
	} {
		text := strings.Replace(lockText, c.from, c.to, 1)
		path := filepath.Join(t.TempDir(), "leanlab.lock")
		write(t, path, text)
		_, err := LoadLock(path)
		if err == nil || !strings.Contains(err.Error(), path+c.want) || !strings.Contains(err.Error(), "leanlab sources lock") {
			t.Errorf("%s: %v\nwant %s%s…", c.name, err, path, c.want)
		}
	}
}

func TestALockThatCannotBeReadBackIsNotWritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "leanlab.lock")
	l, err := LoadLock(path)
	if err != nil {
		t.Fatal(err)
	}
	r := Known()[0]
	r.URL = "https://example.org/${evil}"
	l.Set(r)
	if err := l.Save(); err == nil {
		t.Error("saved")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("there is a file")
	}
}

func FuzzParseReleases(f *testing.F) {
	f.Add([]byte(lockText))
	f.Add([]byte(`source "a" "1" {}`))
	f.Add([]byte("source \"a\" \"1\" {\n version = \"${1}\"\n}"))
	f.Add([]byte("files \"alpine\" \"3.22\" {\n selection = \"x86_64 musl\"\n origin = \"repository\"\n file \"musl.apk\" {\n version = \"1.2.5-r10\"\n url = \"v3.22/main/musl.apk\"\n sha256 = \"0000000000000000000000000000000000000000000000000000000000000000\"\n bytes = 1\n }\n}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		releases, _, err := parseReleases(text, "fuzz")
		if err != nil {
			return
		}
		path := filepath.Join(t.TempDir(), "lock")
		if err := writeReleases(path, "", releases); err != nil {
			t.Fatalf("what was read is not written: %v", err)
		}
		again, _, err := readReleases(path)
		if err != nil || !reflect.DeepEqual(again, releases) {
			t.Fatalf("read back %v, %v; want %v", again, err, releases)
		}
	})
}
