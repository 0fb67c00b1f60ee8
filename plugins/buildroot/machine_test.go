package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestNIFsAreCompiledWithTheWrappedCompiler(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	writeFile(t, filepath.Join(bin, "a-gcc"), "")
	if _, err := crossCompiler(bin); err == nil {
		t.Error("a compiler without its sysroot was taken")
	}
	if err := os.Symlink("toolchain-wrapper", filepath.Join(bin, "x86_64-linux-gcc")); err != nil {
		t.Fatal(err)
	}
	env, err := crossCompiler(bin)
	if err != nil || env["CC"] != filepath.Join(bin, "x86_64-linux-gcc") || env["CROSSCOMPILE"] != filepath.Join(bin, "x86_64-linux") {
		t.Errorf("%v, %v", env, err)
	}
}
