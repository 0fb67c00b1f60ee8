package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What Buildroot 2026.08 prints, cut down.
const showInfo = `make: a line of somebody else's
{ "busybox": { "type": "target", "name": "busybox", "virtual": false, "version": "1.38.0", "dl_dir": "busybox", "downloads": [ { "source": "busybox-1.38.0.tar.bz2", "uris": [ "https+https://www.busybox.net/downloads", "https|urlencode+https://sources.buildroot.net/busybox" ] } ], "hashes": [ "package/busybox/busybox.hash" ], "package_dir": "package/busybox", "stamp_dir": "build/busybox-1.38.0", "dependencies": [ "toolchain" ] }, "toolchain": { "type": "target", "name": "toolchain", "virtual": true, "package_dir": "toolchain/toolchain", "stamp_dir": "build/toolchain", "dependencies": [ ] }, "fork": { "type": "target", "name": "fork", "virtual": false, "version": "a\u0020b", "dl_dir": "fork", "downloads": [ { "source": "fork+1.tar.gz", "uris": [ "git+https://example.org/fork.git" ] } ], "stamp_dir": "build/fork", "dependencies": [ "busybox" ] }, "rootfs-tar": { "type": "rootfs", "image_name": "rootfs.tar", "dependencies": [ "host-tar" ] } }
BUSYBOX_OVERRIDE_SRCDIR=
FORK_OVERRIDE_SRCDIR=/src/fork
`

func TestShowInfoIsRead(t *testing.T) {
	t.Parallel()
	g, err := parseGraph([]byte(showInfo))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := g.built(), []string{"busybox", "fork", "toolchain"}; !slices.Equal(got, want) {
		t.Errorf("built: %v, want %v", got, want)
	}
	if g["fork"].Override != "/src/fork" || g["busybox"].Override != "" || g["fork"].Version != "a b" {
		t.Errorf("%+v, %+v", g["fork"], g["busybox"])
	}
	all := g.dependents(map[string]bool{"toolchain": true})
	if got := slices.Sorted(maps.Keys(all)); !slices.Equal(got, []string{"busybox", "fork", "toolchain"}) {
		t.Errorf("what depends on the toolchain: %v", got)
	}
}

func TestDownloadsHaveADigestAndAPlace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	digest := strings.Repeat("ab", 32)
	writeFile(t, filepath.Join(dir, "package/busybox/busybox.hash"), "# From busybox.net\nmd5  x  busybox-1.38.0.tar.bz2\nsha256  "+digest+"  busybox-1.38.0.tar.bz2\nsha256 "+digest+" LICENSE\n")
	g, err := parseGraph([]byte(showInfo))
	if err != nil {
		t.Fatal(err)
	}
	g["fork"].Override = ""
	files, left := g.downloads(&tree{dir: dir})
	if len(files) != 1 || files[0].Path != "busybox/busybox-1.38.0.tar.bz2" || files[0].SHA256 != digest ||
		!slices.Equal(files[0].URLs, []string{"https://www.busybox.net/downloads/busybox-1.38.0.tar.bz2", "https://sources.buildroot.net/busybox/busybox-1.38.0.tar.bz2"}) {
		t.Errorf("%+v", files)
	}
	if !slices.Equal(left, []string{"fork/fork+1.tar.gz"}) {
		t.Errorf("left for Buildroot: %v", left)
	}
}

func FuzzParseGraph(f *testing.F) {
	f.Add([]byte(showInfo))
	f.Add([]byte(`{"a":null}`))
	f.Add([]byte(`{"a":{"stamp_dir":"../../etc"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := parseGraph(data)
		if err != nil {
			return
		}
		for _, name := range g.built() {
			if path := filepath.Join("/out", g[name].StampDir); !strings.HasPrefix(path, "/out") {
				t.Errorf("%s is built in %s", name, path)
			}
		}
		g.downloads(&tree{dir: os.DevNull})
		g.dependents(map[string]bool{"a": true})
	})
}
