package inspect

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var erofsCommands = map[string]string{
	"plain":    "mkfs.erofs --quiet IMAGE DIR",
	"extended": "mkfs.erofs --quiet -Eforce-inode-extended IMAGE DIR",
	"chunks":   "mkfs.erofs --quiet --chunksize=4096 IMAGE DIR",
	"no tails": "mkfs.erofs --quiet -Enoinline_data IMAGE DIR",
}

func TestAnErofsIsRead(t *testing.T) {
	t.Parallel()
	dir := sampleDir(t)
	for name, command := range erofsCommands {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			img := open(t, makeFS(t, dir, command))
			checkSample(t, img.Tree)
			if n := img.Stored["/usr/lib/noise"] + img.Stored["/usr/lib/noise.link"]; img.Format != "erofs" || img.Compression != "" || n < 700_001 || n > 704_512 {
				t.Errorf("it is a %s, %q, noise takes %d", img.Format, img.Compression, n)
			}
		})
	}
}

// erofsOptions are what mkfs.erofs takes, and the compression that comes of it.
// Not every release of it has all of them.
var erofsOptions = map[string]string{
	"-zlz4":                             "lz4",
	"-zlz4hc,12":                        "lz4",
	"-zlz4 -Elegacy-compress":           "lz4",
	"-zlz4hc -C65536":                   "lz4",
	"-zlz4hc -C65536 -Elegacy-compress": "lz4",
	"-zlz4hc -C1048576 -Eforce-inode-extended":           "lz4",
	"-zlz4hc -Eztailpacking":                             "lz4",
	"-zlz4hc -C65536 -Eztailpacking":                     "lz4",
	"-zlz4hc --max-extent-bytes=32768":                   "lz4",
	"-zlz4hc -Efragments":                                "lz4",
	"-zlz4hc -C65536 -Efragments=65536":                  "lz4",
	"-zlz4hc -Eall-fragments":                            "lz4",
	"-zlz4hc -Ededupe":                                   "lz4",
	"-zlz4hc -C65536 -Ededupe,fragments,ztailpacking":    "lz4",
	"-zlz4hc -C65536 -Ededupe,all-fragments":             "lz4",
	"-zlz4hc -b1024":                                     "lz4",
	"-zlz4hc -b512 -C16384 -Efragments":                  "lz4",
	"-zlzma":                                             "lzma",
	"-zlzma,9 -C65536 -Eztailpacking":                    "lzma",
	"-zlzma -C1048576 -Eall-fragments,dedupe":            "lzma",
	"-zdeflate,9":                                        "deflate",
	"-zdeflate,9 -C65536 -Ededupe,fragments":             "deflate",
	"-zlibdeflate -C65536 -Eztailpacking":                "deflate",
	"-zzstd":                                             "zstd",
	"-zzstd -C65536 -Eztailpacking":                      "zstd",
	"-zzstd -C1048576 -Eall-fragments,dedupe":            "zstd",
	"-zzstd:lz4hc:lzma -C65536 --compress-hints=HINTS":   "lz4, lzma, zstd",
	"-zlz4hc:deflate --compress-hints=HINTS -Efragments": "lz4, deflate",
}

// words is text that compresses as programs do: not well, not evenly. Pieces of
// noise in it are up to so long.
func words(seed uint64, n, noisy int) []byte {
	random := rand.New(rand.NewPCG(seed, 0))
	var b bytes.Buffer
	for b.Len() < n {
		if random.IntN(40) == 0 {
			b.Write(noise(random.Uint64(), random.IntN(noisy)))
		}
		fmt.Fprintf(&b, "module_%d:function(%d) -> ", random.IntN(300), random.IntN(50))
	}
	return b.Bytes()[:n]
}

// erofsDir is a directory with what a compressing file system does differently.
// Anybody can make it.
func erofsDir(t testing.TB) string {
	t.Helper()
	tree := sampleTree(t)
	must(t, tree.Remove("/dev/console"))
	dir := treeDir(t, tree)
	data := words(1, 900_000, 9000)
	for name, data := range map[string][]byte{
		"usr/lib/words":       data,
		"usr/lib/words.again": append(words(2, 70_000, 9000), data[100_000:630_001]...),
		"usr/lib/words.start": data[:177_777],
		"usr/lib/a-block":     words(3, 4096, 50),
		"usr/lib/two-blocks":  words(4, 8192, 50),
		"usr/lib/and-a-byte":  words(5, 8193, 50),
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
	// Small ones have little noise: from a file that cannot be compressed,
	// mkfs.erofs before 1.9.3 makes one with other contents (-Eztailpacking).
	for i := range 200 {
		must(t, os.WriteFile(filepath.Join(dir, "usr/lib", fmt.Sprintf("words.%d", i)), words(uint64(i), i*331, 50), 0o644))
	}
	return dir
}

// erofsImage makes an image, or skips the test where this release of mkfs.erofs
// cannot.
func erofsImage(t testing.TB, dir, options string) string {
	t.Helper()
	need(t, "mkfs.erofs")
	hints := writeFile(t, "hints", []byte("65536 1 words$\n65536 2 words.again$\n"))
	if strings.Contains(options, ":deflate") {
		hints = writeFile(t, "hints", []byte("4096 1 words.again$\n"))
	}
	image := filepath.Join(t.TempDir(), "image")
	args := strings.Fields(strings.ReplaceAll(options, "HINTS", hints))
	out, err := exec.Command("mkfs.erofs", append(args, image, dir)...).CombinedOutput()
	if err != nil {
		t.Skipf("this mkfs.erofs has no %s: %v: %.300s", options, err, out)
	}
	return image
}

// TestACompressedErofsIsRead compares every file of an image with what went in.
func TestACompressedErofsIsRead(t *testing.T) {
	t.Parallel()
	dir := erofsDir(t)
	for options, compression := range erofsOptions {
		t.Run(options, func(t *testing.T) {
			t.Parallel()
			img := open(t, erofsImage(t, dir, options))
			if img.Format != "erofs" || img.Compression != compression {
				t.Errorf("it is a %s, %q", img.Format, img.Compression)
			}
			checkDir(t, img, dir)
			// Where all is in one file, noise and words can share a cluster.
			if n := img.Stored["/usr/lib/noise"] + img.Stored["/usr/lib/noise.link"]; (n < 640_000 || n > 720_000) && !strings.Contains(options, "all-fragments") {
				t.Errorf("noise of 700001 bytes takes %d", n)
			}
			if n := img.Rest["file system structures"]; n > img.Bytes/5 {
				t.Errorf("%d of %d bytes are of no file", n, img.Bytes)
			}
		})
	}
}

// checkDir checks that an image has the files of a directory.
func checkDir(t testing.TB, img *Image, dir string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := "/" + strings.TrimPrefix(strings.TrimPrefix(file, dir), "/")
		e, ok := img.Tree.Get(name)
		if !ok {
			t.Errorf("%s is missing", name)
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if e.Mode.Perm() != info.Mode().Perm() && d.Type()&fs.ModeSymlink == 0 {
			t.Errorf("%s has mode %v, want %v", name, e.Mode, info.Mode())
		}
		if !d.Type().IsRegular() {
			return nil
		}
		want, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		got := contents(t, img.Tree, name)
		if !bytes.Equal(got, want) {
			i := 0
			for i < min(len(got), len(want)) && got[i] == want[i] {
				i++
			}
			t.Errorf("%s has other contents: %d bytes, want %d, from byte %d on", name, len(got), len(want), i)
		}
		return nil
	}))
}

// TestWhatFilesOfAnErofsTakeIsWhatItsToolsSay compares with dump.erofs.
func TestWhatFilesOfAnErofsTakeIsWhatItsToolsSay(t *testing.T) {
	t.Parallel()
	need(t, "dump.erofs")
	dir := erofsDir(t)
	size := regexp.MustCompile(`On-disk size: *([0-9]+)`)
	for _, options := range []string{"-zlz4", "-zlz4hc -C65536", "-zlz4hc -Elegacy-compress"} {
		file := erofsImage(t, dir, options)
		img := open(t, file)
		for _, name := range []string{"words", "words.again", "words.start", "zeros", "text", "two-blocks", "and-a-byte", "words.150"} {
			name = "/usr/lib/" + name
			m := size.FindSubmatch(output(t, "", "dump.erofs", "--path="+name, file))
			if m == nil || string(m[1]) != fmt.Sprint(img.Stored[name]) {
				t.Errorf("%s: %s takes %d, and dump.erofs says %q", options, name, img.Stored[name], m)
			}
		}
	}
}

// oneFileErofs is an erofs of one file, "f", of size bytes, whose inode of that
// layout is followed at once by what is after it. It has 16 blocks of 4096 bytes:
// the second has the inodes, and the data is from the third on.
func oneFileErofs(layout uint16, size uint64, after, data []byte) []byte {
	const block = 4096
	image := make([]byte, 16*block)
	le := binary.LittleEndian
	sb := image[1024:]
	copy(sb, "\xe2\xe1\xf5\xe0")
	sb[12] = 12
	le.PutUint32(sb[36:], 16)
	le.PutUint32(sb[40:], 1)
	le.PutUint32(sb[80:], erofsKnown)
	le.PutUint64(sb[96:], 8) // the packed inode
	inode := func(number, mode, layout uint16, size uint64) []byte {
		i := image[block+32*int(number):]
		le.PutUint16(i, layout<<1|1)
		le.PutUint16(i[4:], mode)
		le.PutUint64(i[8:], size)
		le.PutUint32(i[44:], 1)
		return i[64:]
	}
	entries := inode(0, 0o040755, erofsInline, 27)
	for i, number := range []uint64{0, 0x10} {
		le.PutUint64(entries[12*i:], number)
		le.PutUint16(entries[12*i+8:], 24+uint16(i))
	}
	copy(entries[24:], ".f")
	inode(8, 0o100644, erofsPlain, 2*block)
	le.PutUint32(image[block+8*32+16:], 14)
	copy(inode(16, 0o100644, layout, size), after)
	copy(image[2*block:], data)
	return image
}

// mapHeader is a z_erofs_map_header.
func mapHeader(low uint32, advise uint16, algorithms, bits byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, low)
	return append(binary.LittleEndian.AppendUint16(b, advise), algorithms, bits)
}

// fullIndex is what follows a header in the layout of 8 bytes for each cluster.
func fullIndex(clusters ...[3]uint32) []byte {
	b := make([]byte, 8)
	for _, c := range clusters {
		b = binary.LittleEndian.AppendUint16(b, uint16(c[0]))
		b = binary.LittleEndian.AppendUint16(b, uint16(c[1]))
		b = binary.LittleEndian.AppendUint32(b, c[2])
	}
	return b
}

func TestHostileErofsIsRefused(t *testing.T) {
	t.Parallel()
	head := [3]uint32{erofsHead1, 0, 2}
	full := func(size uint64, header []byte, clusters ...[3]uint32) []byte {
		return oneFileErofs(erofsCompressedFull, size, append(header, fullIndex(clusters...)...), nil)
	}
	none := mapHeader(0, 0, 0, 0)
	good := full(100, none, head)
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"48-bit numbers":                {patched(good, 1024+80, "\x80"), "48-bit block numbers"},
		"metabox":                       {patched(good, 1024+81, "\x01"), "compressed metadata"},
		"other features":                {patched(good, 1024+83, "\x40"), "features 0x40000000, which"},
		"more devices":                  {patched(good, 1024+86, "\x02"), "2 more devices"},
		"no packed inode":               {patched(good, 1024+100, "\xff"), "packed inode: there is no inode"},
		"unknown algorithm":             {full(100, mapHeader(0, 0, 7, 0), head), "algorithms 7 and 0"},
		"clusters of many blocks":       {full(100, mapHeader(0, 0, 0, 3), head), "logical clusters of 2^3 blocks"},
		"absurd size":                   {full(1<<35, none, head), "longer than the image"},
		"absurd size, compact":          {oneFileErofs(erofsCompressed, 1<<35, none, nil), "longer than the image"},
		"negative size":                 {full(1<<63, none, head), "has -9223372036854775808 bytes"},
		"index beyond the end":          {full(4096*7900, none, head), "is cut short: its index of 63200 bytes"},
		"no head":                       {full(100, none, [3]uint32{erofsNoHead, 0, 1}), "does not begin with an extent"},
		"first byte missing":            {full(100, none, [3]uint32{erofsHead1, 9, 2}), "first extent begins at 9"},
		"begins beyond its end":         {full(100, none, [3]uint32{erofsHead1, 200, 2}), "begins beyond its end"},
		"begins outside":                {full(100, none, [3]uint32{erofsHead1, 4096, 2}), "begins at 4096 in a cluster of 4096"},
		"cluster beyond the end":        {full(100, none, [3]uint32{erofsHead1, 0, 16}), "in 4096 bytes at 65536 of 65536"},
		"count without a big cluster":   {full(8192, none, head, [3]uint32{erofsNoHead, 0, erofsCount | 2}), "a cluster of 2 blocks"},
		"big cluster without a count":   {full(8192, mapHeader(0, erofsBig1, 0, 0), head, [3]uint32{erofsNoHead, 0, 1}), "in 0 bytes at"},
		"absurd count":                  {full(8192, mapHeader(0, erofsBig1, 0, 0), head, [3]uint32{erofsNoHead, 0, erofsCount | 1024}), "in 4194304 bytes at"},
		"literal longer than its place": {full(8192, none, [3]uint32{erofsLiteral, 0, 2}, [3]uint32{erofsNoHead, 0, 1}), "has 8192 bytes, more than 4096"},
		"inline over the block's end":   {full(100, mapHeader(4000<<16, erofsInlineEnd, 0, 0), head), "4000 bytes inline at"},
		"fragment outside":              {full(100, mapHeader(8100, erofsFragment, 0, 0), [3]uint32{erofsHead1, 0, 0}), "100 bytes at 8100 of the packed inode"},
		"fragment far outside":          {full(100, mapHeader(0, erofsFragment, 0, 0), [3]uint32{erofsHead1, 0, 1 << 31}), "of the packed inode"},
		"all far outside":               {full(100, []byte("\xff\xff\xff\xff\xff\xff\xff\xff")), "of the packed inode"},
		"a compact index of half":       {oneFileErofs(erofsCompressed, 100, mapHeader(0, erofsBig1, 0, 0), nil), "one kind of head only"},
		"packed in itself":              {patched(patched(full(100, []byte("\x00\x00\x00\x00\x00\x00\x00\x80")), 1024+96, "\x10"), 4096+16*32+8, "\x09"), "packed inode: inode 16: damaged: refers to 9 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := writeFile(t, "x", test.data)
			_, err := Open(t.Context(), path, DefaultLimits)
			wantError(t, err, path, "erofs: ", test.want)
		})
	}
}

func TestContentsThatAreDamagedAreAnError(t *testing.T) {
	t.Parallel()
	for algorithm, name := range erofsAlgorithms {
		image := oneFileErofs(erofsCompressedFull, 5000, append(mapHeader(0, 0, byte(algorithm), 0), fullIndex([3]uint32{erofsHead1, 0, 2}, [3]uint32{erofsNoHead, 0, 1})...), noise(1, 4096))
		img := open(t, writeFile(t, "x", image))
		e, _ := img.Tree.Get("/f")
		r, err := e.Open()
		must(t, err)
		_, err = io.ReadAll(r)
		wantError(t, err, "erofs: the cluster at 8192: ")
		if img.Compression != name {
			t.Errorf("it is %q, want %q", img.Compression, name)
		}
	}
}

// FuzzErofsIndex: whatever says where a file is, its parts add up, and reading
// ends.
func FuzzErofsIndex(f *testing.F) {
	f.Add(false, uint32(9000), append(mapHeader(0, 0, 0, 0), fullIndex([3]uint32{erofsHead1, 0, 2}, [3]uint32{erofsNoHead, 0, 1}, [3]uint32{erofsLiteral, 90, 3})...), []byte("\x1fx\x01\x00\xff\xff\xff"))
	f.Add(false, uint32(90_000), append(mapHeader(8<<16, erofsBig1|erofsBig2|erofsInlineEnd, 0x21, 0), fullIndex([3]uint32{erofsHead1, 0, 2}, [3]uint32{erofsNoHead, 0, erofsCount | 2}, [3]uint32{erofsHead2, 90, 4})...), []byte("\xa2"))
	f.Add(true, uint32(200_000), append(mapHeader(0, erofsBig1|erofsBig2|erofsCompact2, 0x03, 0), noise(1, 300)...), []byte("\x28\xb5\x2f\xfd"))
	f.Add(true, uint32(200_000), append(mapHeader(9, erofsCompact2|erofsFragment, 0x03, 0), make([]byte, 300)...), []byte("\x28\xb5\x2f\xfd"))
	f.Fuzz(func(t *testing.T, compact bool, size uint32, index, data []byte) {
		layout := uint16(erofsCompressedFull)
		if compact {
			layout = erofsCompressed
		}
		tryOpen(t, oneFileErofs(layout, uint64(size), index[:min(len(index), 3000)], data))
	})
}
