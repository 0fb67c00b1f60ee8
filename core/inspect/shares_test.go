package inspect

import (
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

func TestSharesAddUpToTheImage(t *testing.T) {
	t.Parallel()
	need(t, "zstd", "xz", "mksquashfs")
	var want int64
	tree := sampleTree(t)
	must(t, tree.Walk(func(e *rootfs.Entry) error {
		if e.Path != "/usr/lib/noise.link" { // whose contents count once
			want += e.Size()
		}
		return nil
	}))
	archive := writeFile(t, "initrd", cpioBytes(t, tree))
	for name, image := range map[string]string{
		"cpio":     archive,
		"zstd":     writeFile(t, "z", output(t, "", "zstd", "-19", "-c", archive)),
		"xz":       writeFile(t, "x", output(t, "", "xz", "--check=crc32", "-c", archive)),
		"squashfs": makeFS(t, sampleDir(t), squashfsCommands["xz"]),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			img := open(t, image)
			shares, err := img.Shares(map[string][]string{
				"library": {"/usr"},
				"text":    {"/usr/lib/text", "/usr/lib/noise.link"}, // the longer path decides
				"late":    {"/usr/lib/text"},
				"absent":  {"/opt"},
			})
			must(t, err)
			got := map[string]Share{}
			var bytesTotal, packedTotal int64
			for _, s := range shares {
				got[s.Name] = s
				bytesTotal += s.Bytes
				packedTotal += s.PackedBytes
			}
			if packedTotal != img.Bytes || bytesTotal != want {
				t.Errorf("they add up to %d of %d packed and %d of %d bytes: %+v", packedTotal, img.Bytes, bytesTotal, want, shares)
			}
			// 700 kB of noise do not compress, the rest does to next to nothing.
			if _, ok := got["absent"]; ok || got["late"].PackedBytes == 0 || got["text"].PackedBytes+got["library"].PackedBytes < 700_001 {
				t.Errorf("they are %+v", shares)
			}
			if shares[len(shares)-1].PackedBytes > shares[0].PackedBytes {
				t.Errorf("what takes most does not come first: %+v", shares)
			}
		})
	}
}
