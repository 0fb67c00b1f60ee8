package rootfs

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// compile builds a C file, or skips the test where the compiler is missing.
func compile(t testing.TB, cc string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(cc); err != nil {
		t.Skipf("%s is not installed: %v", cc, err)
	}
	dir := t.TempDir()
	src := filepath.Join(dir, "x.c")
	must(t, os.WriteFile(src, []byte("#include <math.h>\n#include <stdlib.h>\nint main(int c, char **v) { return c > 1 ? pow(atof(v[1]), 2) : 7; }\n"), 0o644))
	out := filepath.Join(dir, "x")
	cmd := exec.Command(cc, append([]string{"-o", out, src}, args...)...)
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", cmd, err, msg)
	}
	return out
}

func describeFile(t testing.TB, file string) *ELF {
	t.Helper()
	tree := New()
	must(t, tree.HostFile("/x", 0o755, file))
	files, err := ELFs(tree)
	must(t, err)
	if len(files) != 1 {
		t.Fatalf("%s: %d ELF files, want 1", file, len(files))
	}
	return files[0]
}

func TestELFFactsOfWhatCompilersMake(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cc     string
		args   []string
		libc   Libc
		static bool
		interp string // prefix of its base name
		needed string
	}{
		"glibc, dynamic": {"gcc", []string{"-lm"}, Glibc, false, "ld-linux", "libc.so.6"},
		"glibc, static":  {"gcc", []string{"-static", "-lm"}, NoLibc, true, "", ""},
		"static PIE":     {"gcc", []string{"-static-pie", "-lm"}, NoLibc, true, "", ""},
		"glibc, library": {"gcc", []string{"-shared", "-fPIC", "-Wl,-soname,libx.so.1"}, Glibc, false, "", "libc.so.6"},
		"no sections":    {"gcc", []string{"-lm", "-s", "-Wl,-z,nosectionheader"}, Glibc, false, "ld-linux", "libc.so.6"},
		"musl, dynamic":  {"musl-gcc", nil, Musl, false, "ld-musl", "libc.so"},
		"musl, static":   {"musl-gcc", []string{"-static"}, NoLibc, true, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "no sections" && exec.Command("ld", "-z", "nosectionheader", "--version").Run() != nil {
				t.Skip("this ld has no -z nosectionheader (binutils 2.41 has)")
			}
			f := describeFile(t, compile(t, test.cc, test.args...))
			if f.Libc != test.libc || f.Static() != test.static {
				t.Errorf("libc %q, static %v; want %q, %v: %+v", f.Libc, f.Static(), test.libc, test.static, f)
			}
			if base := filepath.Base(f.Interpreter); test.interp != "" && !strings.HasPrefix(base, test.interp) || test.interp == "" && f.Interpreter != "" {
				t.Errorf("interpreter %q, want %q…", f.Interpreter, test.interp)
			}
			if test.needed != "" && !slices.Contains(f.Needed, test.needed) {
				t.Errorf("needs %v, want %s among them", f.Needed, test.needed)
			}
			if strings.Contains(name, "library") && f.Soname != "libx.so.1" {
				t.Errorf("soname %q", f.Soname)
			}
		})
	}
}

// The same facts by another road: debug/elf goes by section headers.
func TestELFFactsAgreeWithDebugELF(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	must(t, err)
	for _, file := range []string{self, "/bin/sh", "/bin/ls"} {
		std, err := elf.Open(file)
		if err != nil {
			t.Skipf("no ELF program to compare: %v", err)
		}
		needed, err := std.ImportedLibraries()
		std.Close()
		must(t, err)
		f := describeFile(t, file)
		if !slices.Equal(f.Needed, needed) || f.Machine != std.Machine || f.Type != std.Type {
			t.Errorf("%s: %+v; debug/elf says %v, %v, needs %v", file, f, std.Machine, std.Type, needed)
		}
	}
}

// minimalELF is a dynamic executable of four program headers and nothing else.
func minimalELF(needed string) []byte {
	const phoff, dynoff, interp = 64, 512, "/lib/ld-musl-x86_64.so.1\x00"
	strtab := "\x00" + needed + "\x00"
	var b bytes.Buffer
	h := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: phoff, Phentsize: 56, Phnum: 3}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	dyn := []elf.Dyn64{
		{Tag: int64(elf.DT_NEEDED), Val: 1},
		{Tag: int64(elf.DT_STRTAB), Val: 0x1000 + 400},
		{Tag: int64(elf.DT_STRSZ), Val: uint64(len(strtab))},
		{Tag: int64(elf.DT_NULL)},
	}
	progs := []elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Vaddr: 0x1000, Filesz: 640},
		{Type: uint32(elf.PT_INTERP), Off: 300, Filesz: uint64(len(interp))},
		{Type: uint32(elf.PT_DYNAMIC), Off: dynoff, Filesz: uint64(binary.Size(dyn))},
	}
	binary.Write(&b, binary.LittleEndian, h)
	binary.Write(&b, binary.LittleEndian, progs)
	b.Write(make([]byte, 300-b.Len()))
	b.WriteString(interp)
	b.Write(make([]byte, 400-b.Len()))
	b.WriteString(strtab)
	b.Write(make([]byte, dynoff-b.Len()))
	binary.Write(&b, binary.LittleEndian, dyn)
	b.Write(make([]byte, 640-b.Len()))
	return b.Bytes()
}

func TestAHandMadeELFFileIsReadByItsProgramHeaders(t *testing.T) {
	t.Parallel()
	data := minimalELF("libcrypto.so.3")
	f, err := readELF(bytes.NewReader(data), int64(len(data)))
	must(t, err)
	if f.Interpreter != "/lib/ld-musl-x86_64.so.1" || !slices.Equal(f.Needed, []string{"libcrypto.so.3"}) || f.Libc != Musl {
		t.Errorf("%+v", f)
	}
}

func TestDamagedELFFilesAreErrorsWithTheirPath(t *testing.T) {
	t.Parallel()
	le := binary.LittleEndian
	for name, damage := range map[string]func([]byte) []byte{
		"cut in the header":        func(b []byte) []byte { return b[:40] },
		"cut in the contents":      func(b []byte) []byte { return b[:500] },
		"program headers far away": func(b []byte) []byte { le.PutUint64(b[32:], 1<<63); return b },
		"program headers odd":      func(b []byte) []byte { le.PutUint16(b[54:], 3); return b },
		"too many headers":         func(b []byte) []byte { le.PutUint16(b[56:], 0xffff); return b },
		"interpreter huge":         func(b []byte) []byte { le.PutUint64(b[64+56+32:], 1<<40); return b },
		"dynamic section huge":     func(b []byte) []byte { le.PutUint64(b[64+112+32:], 1<<40); return b },
		"name outside its table":   func(b []byte) []byte { le.PutUint64(b[512+8:], 1<<40); return b },
		"table outside the file":   func(b []byte) []byte { le.PutUint64(b[512+16+8:], 1<<62); return b },
		"name without end":         func(b []byte) []byte { le.PutUint64(b[512+32+8:], 2); return b },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree := New()
			must(t, tree.File("/lib/nif.so", 0o755, damage(minimalELF("libc.so"))))
			_, err := ELFs(tree)
			wantError(t, err, "/lib/nif.so", "damaged")
		})
	}
}

func TestOtherClassesTellTheirMachineOnly(t *testing.T) {
	t.Parallel()
	tree := New()
	b := []byte("\x7fELF\x01\x02\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x14") // 32-bit big-endian, executable, PowerPC
	must(t, tree.File("/a", 0o755, b))
	must(t, tree.File("/b", 0o755, []byte("\x7fELF")))
	must(t, tree.File("/c", 0o755, []byte("#!/bin/sh\necho a script is no ELF file\n")))
	files, err := ELFs(tree)
	must(t, err)
	if len(files) != 1 || files[0].Machine != elf.EM_PPC || files[0].Type != elf.ET_EXEC {
		t.Errorf("got %+v", files)
	}
}

func FuzzELF(f *testing.F) {
	f.Add(minimalELF("libc.so"))
	f.Add([]byte("\x7fELF\x01\x02\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x14"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := readELF(bytes.NewReader(data), int64(len(data)))
		if got == nil {
			return
		}
		if err != nil {
			t.Errorf("both a result and %v", err)
		}
		for _, name := range append([]string{got.Interpreter, got.Soname}, got.Needed...) {
			if strings.ContainsRune(name, 0) || len(name) > maxString {
				t.Errorf("name %q", name)
			}
		}
	})
}

// hostLibraryDirs are where this machine's compiler finds the C library.
func hostLibraryDirs(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("gcc", "-print-file-name=libc.so.6").Output()
	if err != nil {
		t.Skipf("gcc does not tell where the C library is: %v", err)
	}
	return []string{filepath.Dir(filepath.Clean(strings.TrimSpace(string(out))))}
}

// extract puts a tree's files below a directory.
func extract(t *testing.T, tree *Tree) string {
	t.Helper()
	dir := t.TempDir()
	must(t, tree.Walk(func(e *Entry) error {
		file := filepath.Join(dir, e.Path)
		if e.Type == Directory {
			return os.MkdirAll(file, 0o755)
		}
		r, err := e.Open()
		if err != nil {
			return err
		}
		defer r.Close()
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		return os.WriteFile(file, data, 0o755)
	}))
	return dir
}

func TestSharedLibrariesMakeATreeThatRuns(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the dynamic linker that is run is Linux'")
	}
	program := compile(t, "gcc", "-lm")
	dirs := hostLibraryDirs(t)
	tree := New()
	must(t, tree.HostFile("/bin/x", 0o755, program))
	added, err := tree.AddSharedLibraries(dirs)
	must(t, err)
	f := describeFile(t, program)
	for _, want := range append([]string{f.Interpreter}, filepath.Join(dirs[0], "libm.so.6"), filepath.Join(dirs[0], "libc.so.6")) {
		if e, ok := tree.Get(want); !slices.Contains(added, want) || !ok || e.Type != Regular {
			t.Errorf("%s is not among the added %v, or no file", want, added)
		}
	}
	again, err := tree.AddSharedLibraries(dirs)
	must(t, err)
	if len(again) != 0 {
		t.Errorf("a complete tree was given %v", again)
	}
	root := extract(t, tree)
	err = exec.Command(filepath.Join(root, f.Interpreter), "--inhibit-cache", "--library-path", filepath.Join(root, dirs[0]), filepath.Join(root, "bin/x"), "3").Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 9 {
		t.Errorf("the program with the tree's libraries: %v, want exit status 9", err)
	}
}

func TestMissingLibrariesNameFileAndLibrary(t *testing.T) {
	t.Parallel()
	tree := New()
	must(t, tree.File("/lib/ld-musl-x86_64.so.1", 0o755, nil))
	must(t, tree.File("/app/priv/nif.so", 0o755, minimalELF("libnone.so.4")))
	dir := t.TempDir()
	_, err := tree.AddSharedLibraries([]string{dir})
	var missing *MissingLibraryError
	if !errors.As(err, &missing) || missing.File != "/app/priv/nif.so" || missing.Library != "libnone.so.4" {
		t.Fatalf("got %v", err)
	}
	foreign := minimalELF("x")
	binary.LittleEndian.PutUint16(foreign[18:], uint16(elf.EM_AARCH64))
	must(t, os.WriteFile(filepath.Join(dir, "libnone.so.4"), foreign, 0o644))
	_, err = tree.AddSharedLibraries([]string{dir})
	wantError(t, err, "/app/priv/nif.so", "libnone.so.4", "EM_AARCH64", "not EM_X86_64")
}
