package beam

import (
	"bytes"
	"compress/gzip"
	"os"
	"slices"
	"strings"
	"testing"
)

func greeting(t testing.TB) *File {
	t.Helper()
	data, err := os.ReadFile("testdata/greeting.beam")
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func ids(f *File) []string {
	var ids []string
	for _, c := range f.Chunks {
		ids = append(ids, c.ID)
	}
	return ids
}

func TestTablesOfACompiledModule(t *testing.T) {
	t.Parallel()
	f := greeting(t)

	if name, err := f.Module(); err != nil || name != "greeting" {
		t.Errorf("module %q, %v", name, err)
	}
	atoms, err := f.Atoms()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(atoms, "hello") {
		t.Errorf("atoms %q lack those of the source", atoms)
	}
	exports, err := f.Exports()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []MFA{{"greeting", "hello", 1}, {"greeting", "handle_event", 2}, {"greeting", "module_info", 0}} {
		if !slices.Contains(exports, want) {
			t.Errorf("%s is not among the exports %v", want, exports)
		}
	}
	imports, err := f.Imports()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(imports, MFA{"erlang", "get_module_info", 1}) {
		t.Errorf("erlang:get_module_info/1 is not among the imports %v", imports)
	}
}

func TestUncompressedFileIsWrittenBackByteForByte(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/greeting.beam")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(greeting(t).Bytes(), data) {
		t.Error("Parse and Bytes changed the file")
	}
}

func TestGzippedFileIsReadAsTheFileInside(t *testing.T) {
	t.Parallel()
	f := greeting(t)
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(f.Bytes())
	w.Close()
	if !IsBEAM(z.Bytes()) {
		t.Error("not recognised")
	}
	inside, err := Parse(z.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(inside.Bytes(), f.Bytes()) {
		t.Error("differs from the uncompressed file")
	}
}

func TestStripKeepsCodeAndDropsWhatOnlyToolsRead(t *testing.T) {
	t.Parallel()
	f := greeting(t)
	stripped := f.Strip()
	if got, want := ids(stripped), []string{"Attr", "Line", "Type", "AtU8", "Code", "StrT", "ImpT", "ExpT", "FunT", "LitT", "Meta"}; !slices.Equal(got, want) {
		t.Errorf("kept %q, want %q", got, want)
	}
	for _, c := range stripped.Chunks {
		if before, _ := f.Chunk(c.ID); !bytes.Equal(before, c.Data) {
			t.Errorf("chunk %s changed", c.ID)
		}
	}
	if again := stripped.Strip().Bytes(); !bytes.Equal(again, stripped.Bytes()) {
		t.Error("stripping twice differs from stripping once")
	}
}

func TestAtomTableFormats(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ß", 200) // 400 bytes, above what one byte can say
	for _, c := range []struct {
		name  string
		chunk Chunk
		want  []string
	}{
		{"up to OTP 27", Chunk{"AtU8", []byte("\x00\x00\x00\x02\x01m\x05gr\xc3\xbc\xc3")[:11]}, nil}, // cut inside an atom
		{"UTF-8 with byte lengths", Chunk{"AtU8", []byte("\x00\x00\x00\x02\x01m\x03h\xc3\xb6")}, []string{"m", "hö"}},
		{"Latin-1", Chunk{"Atom", []byte("\x00\x00\x00\x02\x01m\x02h\xf6")}, []string{"m", "hö"}},
		{"OTP 28, short", Chunk{"AtU8", []byte("\xff\xff\xff\xfe\x10m\x30h\xc3\xb6")}, []string{"m", "hö"}},
		{"OTP 28, two bytes of length", Chunk{"AtU8", append([]byte("\xff\xff\xff\xfe\x10m\x28\x90"), long...)}, []string{"m", long}},
		{"OTP 28, length with another tag", Chunk{"AtU8", []byte("\xff\xff\xff\xff\x12m")}, nil},
		{"OTP 28, length of more than eleven bits", Chunk{"AtU8", []byte("\xff\xff\xff\xff\x18\x01\x00m")}, nil},
		{"no atoms", Chunk{"AtU8", []byte{0, 0, 0, 0}}, nil},
		{"count beyond the chunk", Chunk{"AtU8", []byte{0x7f, 0xff, 0xff, 0xff, 1, 'm'}}, nil},
		{"smallest count", Chunk{"AtU8", []byte{0x80, 0, 0, 0, 0x10, 'm'}}, nil},
		{"not UTF-8", Chunk{"AtU8", []byte("\x00\x00\x00\x01\x01\xff")}, nil},
		{"empty chunk", Chunk{"AtU8", nil}, nil},
		{"another chunk only", Chunk{"Code", nil}, nil},
	} {
		got, err := (&File{Chunks: []Chunk{c.chunk}}).Atoms()
		if (err != nil) != (c.want == nil) || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}

func TestBrokenFilesAreRefusedWithWhatIsWrong(t *testing.T) {
	t.Parallel()
	whole := greeting(t).Bytes()
	bomb := func() []byte {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		block := make([]byte, 1<<20)
		for range MaxSize>>20 + 1 {
			w.Write(block)
		}
		w.Close()
		return z.Bytes()
	}()
	for _, c := range []struct {
		name, want string
		data       []byte
	}{
		{"empty", "not a BEAM file", nil},
		{"text", "not a BEAM file", []byte("-module(greeting).")},
		{"truncated", "truncated BEAM file", whole[:len(whole)-8]},
		{"another form", "not BEAM", append([]byte("FOR1\x00\x00\x00\x04"), "AIFF"...)},
		{"chunk beyond the form", `chunk "AtU8"`, []byte("FOR1\x00\x00\x00\x0cBEAMAtU8\x00\x00\x00\x04")},
		{"chunk header cut", "chunk header", []byte("FOR1\x00\x00\x00\x08BEAMAtU8")},
		{"gzip cut", "gzip", []byte{0x1f, 0x8b, 8, 0}},
		{"gzip bomb", "expands to more than", bomb},
	} {
		_, err := Parse(c.data)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}

func TestOfTwoChunksWithOneIDTheLastCounts(t *testing.T) {
	t.Parallel()
	f, err := Parse([]byte("FOR1\x00\x00\x00\x24BEAMStrT\x00\x00\x00\x01a\x00\x00\x00Code\x00\x00\x00\x00StrT\x00\x00\x00\x01b\x00\x00\x00")[:44])
	if err != nil {
		t.Fatal(err)
	}
	if data, _ := f.Chunk("StrT"); string(data) != "b" || len(f.Chunks) != 2 {
		t.Errorf("StrT %q in %d chunks", data, len(f.Chunks))
	}
}

func FuzzParse(f *testing.F) {
	whole := greeting(f)
	f.Add(whole.Bytes())
	f.Add(whole.Strip().Bytes())
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(whole.Strip().Bytes())
	w.Close()
	f.Add(z.Bytes())
	f.Add([]byte("FOR1\x00\x00\x00\x18BEAMAtU8\x00\x00\x00\x08\xff\xff\xff\xff\x28\x90aa"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data)
		if err != nil {
			return
		}
		again, err := Parse(file.Bytes())
		if err != nil {
			t.Fatalf("what Bytes wrote is not read: %v", err)
		}
		if !bytes.Equal(again.Bytes(), file.Bytes()) {
			t.Fatal("Bytes differs the second time")
		}
		atoms, err := file.Atoms()
		if err == nil && len(atoms) == 0 {
			t.Fatal("no atoms and no error")
		}
		imports, _ := file.Imports()
		exports, _ := file.Exports()
		for _, m := range append(imports, exports...) {
			if m.Arity < 0 || m.Arity > maxArity {
				t.Fatalf("arity of %s", m)
			}
		}
		stripped := file.Strip()
		if !bytes.Equal(stripped.Strip().Bytes(), stripped.Bytes()) {
			t.Fatal("stripping twice differs from stripping once")
		}
	})
}
