package packed

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sample is noise and then zeros, a megabyte and a half of each.
func sample() []byte {
	data := make([]byte, 3<<20)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range data[:len(data)/2] {
		data[i] = byte(random.Uint32())
	}
	return data
}

// compress runs a program on data.
func compress(t testing.TB, data []byte, command ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath(command[0]); err != nil {
		t.Skipf("%v: install it", err)
	}
	file := filepath.Join(t.TempDir(), "data")
	must(t, os.WriteFile(file, data, 0o644))
	cmd := exec.Command(command[0], append(command[1:], file)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	must(t, err)
	return out
}

var programs = map[string][]string{
	"gzip":       {"gzip", "-c"},
	"xz":         {"xz", "-c"},
	"xz x86":     {"xz", "-c", "--check=crc32", "--x86", "--lzma2=preset=6"},
	"xz blocks":  {"xz", "-c", "--block-size=1MiB"},
	"zstd":       {"zstd", "-qc"},
	"zstd -19":   {"zstd", "-qc", "-19", "--no-check"},
	"lz4":        {"lz4", "-qc"},
	"lz4 linked": {"lz4", "-qc", "-BD", "-BX", "-B4"},
	"lz4 legacy": {"lz4", "-qcl"},
}

func unpack(t testing.TB, data []byte) (Stream, []byte, error) {
	t.Helper()
	var out bytes.Buffer
	s, err := Unpack(t.Context(), io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data))), &out)
	return s, out.Bytes(), err
}

func TestUnpackSaysWhatEachStretchTakes(t *testing.T) {
	t.Parallel()
	want := sample()
	for name, command := range programs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := compress(t, want, command...)
			s, got, err := unpack(t, append(bytes.Clone(data), make([]byte, 512)...))
			must(t, err)
			if !bytes.Equal(got, want) {
				t.Fatalf("%d bytes came out that are not what went in", len(got))
			}
			if s.Packed != int64(len(data)) {
				t.Errorf("the stream is %d bytes long, not %d", s.Packed, len(data))
			}
			x := NewIndex(s.Blocks)
			half, all := x.Packed(int64(len(want)/2)), x.Packed(int64(len(want)))
			if all > s.Packed || all < s.Packed-200 {
				t.Errorf("the blocks take %d of %d", all, s.Packed)
			}
			// The noise takes all but the zeros' own blocks and the one it shares.
			low := int64(len(want)/2) - 130<<10
			if name == "lz4" || name == "lz4 legacy" { // one block
				low = int64(len(want)/2) / 2
			}
			if half < low {
				t.Errorf("the noise takes %d of %d", half, all)
			}
		})
	}
}

func TestStreamsThatFollowEachOtherAreOne(t *testing.T) {
	t.Parallel()
	part := sample()[1<<20 : 2<<20]
	for name, command := range programs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := compress(t, part, command...)
			s, got, err := unpack(t, bytes.Repeat(data, 2))
			must(t, err)
			if !bytes.Equal(got, bytes.Repeat(part, 2)) || s.Packed != 2*int64(len(data)) {
				t.Errorf("%d bytes from %d of %d", len(got), s.Packed, 2*len(data))
			}
		})
	}
}

func TestAStreamThatIsCutShortIsAnError(t *testing.T) {
	t.Parallel()
	for name, command := range programs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := compress(t, sample(), command...)
			if _, _, err := unpack(t, data[:len(data)-len(data)/3]); err == nil {
				t.Error("no error")
			}
		})
	}
}

// full takes n bytes.
type full struct{ n int }

var errFull = errors.New("full")

func (f *full) Write(p []byte) (int, error) {
	if f.n -= len(p); f.n < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestUnpackEndsWhereItsWriterDoes(t *testing.T) {
	t.Parallel()
	for name, command := range programs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := compress(t, sample(), command...)
			_, err := Unpack(t.Context(), io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data))), &full{1 << 20})
			if !errors.Is(err, errFull) {
				t.Errorf("the error is %v", err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err = Unpack(ctx, io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data))), io.Discard)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("after a cancel the error is %v", err)
			}
		})
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte("\xfd7zXZ\x00\x00\x01\x69\x22\xde\x36\x02\x00\x21\x01\x00\x00\x00\x00\x37\x27\x97\xd6\x01\x00\x03abcd\x00"))
	f.Add([]byte("\xfd7zXZ\x00\x00\x01\x69\x22\xde\x36\x00\x00\x00\x00\xe0\x00\x05\x00\x02\x5dxyz\x00"))
	for _, command := range programs {
		if _, err := exec.LookPath(command[0]); err == nil {
			f.Add(compress(f, []byte("abcabcabcabcabcabc"), command...))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		w := &full{4 << 20}
		s, err := Unpack(t.Context(), io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data))), w)
		if err != nil {
			return
		}
		var packed int64
		for _, b := range s.Blocks {
			packed += b.Packed
			if b.Raw < 0 || b.Packed < 0 {
				t.Errorf("block %+v", b)
			}
		}
		if packed > s.Packed || s.Packed > int64(len(data)) {
			t.Errorf("blocks of %d bytes in a stream of %d in %d", packed, s.Packed, len(data))
		}
	})
}
