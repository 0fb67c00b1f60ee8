package image

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestComponentsAddUpToTheInitrd(t *testing.T) {
	t.Parallel()
	for _, compression := range []string{"zstd", "xz"} {
		t.Run(compression, func(t *testing.T) {
			t.Parallel()
			s := spec(t, "x86_64", compression)
			must(t, s.Tree.File("/app/large.beam", 0o644, noise(3, 2_000_000)))
			must(t, s.Tree.File("/app/lib/large.beam", 0o644, make([]byte, 3_000_000)))
			out, _ := write(t, s)
			initrd := filepath.Join(out, "bundle/initrd")
			components, err := PackedSizes(t.Context(), s.Tree, initrd, map[string][]string{
				"init":  {"/init"},
				"app":   {"/app"},
				"text":  {"/app/lib"}, // the longer path decides
				"zeros": {"/app/zeros.beam"},
			}, compression)
			must(t, err)
			got := map[string]Component{}
			var bytesTotal, packedTotal int64
			for _, c := range components {
				got[c.Name] = c
				bytesTotal += c.Bytes
				packedTotal += c.PackedBytes
			}
			info, err := os.Stat(initrd)
			must(t, err)
			var archive bytes.Buffer
			must(t, s.Tree.WriteCPIO(&archive))
			if packedTotal != info.Size() || bytesTotal != int64(archive.Len()) {
				t.Errorf("they add up to %d of %d packed and %d of %d bytes: %+v", packedTotal, info.Size(), bytesTotal, archive.Len(), components)
			}
			// What does not compress weighs what it weighs, the rest next to nothing,
			// but for the block in which two neighbours share: up to 128 KiB (RFC
			// 8878, 3.1.1.2.4), and as much at most in LZMA2 where one of them is noise.
			const shared = 2 * 128 << 10
			for name, want := range map[string]int64{"app": 2_300_000, "zeros": 0, "text": 0} {
				if c := got[name]; c.PackedBytes < want-shared || c.PackedBytes > want+shared {
					t.Errorf("%s weighs %d packed, want about %d: %+v", name, c.PackedBytes, want, components)
				}
			}
			if components[0].Name != "app" {
				t.Errorf("not sorted by weight: %+v", components)
			}
		})
	}
}

func TestAnInitrdOfAnotherTreeIsNoticed(t *testing.T) {
	t.Parallel()
	s := spec(t, "x86_64", "zstd")
	out, _ := write(t, s)
	must(t, s.Tree.File("/more", 0o644, make([]byte, 1<<20)))
	_, err := PackedSizes(t.Context(), s.Tree, filepath.Join(out, "bundle/initrd"), nil, "zstd")
	wantError(t, err, "bundle/initrd", "not made of it")
}

func TestADamagedInitrdIsAnError(t *testing.T) {
	t.Parallel()
	for _, compression := range []string{"zstd", "xz"} {
		s := spec(t, "x86_64", compression)
		out, _ := write(t, s)
		initrd := filepath.Join(out, "bundle/initrd")
		must(t, os.Truncate(initrd, 1000))
		_, err := PackedSizes(t.Context(), s.Tree, initrd, nil, compression)
		wantError(t, err, initrd)
	}
}
