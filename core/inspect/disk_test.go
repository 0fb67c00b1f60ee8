package inspect

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// gptDisk is a disk with a FAT's place, a file system that is no root, and dir.
func gptDisk(t testing.TB, dir string) string {
	t.Helper()
	need(t, "sgdisk")
	data, err := os.ReadFile(makeFS(t, dir, squashfsCommands["gzip"]))
	must(t, err)
	fat := make([]byte, 1<<20)
	copy(fat[0x52:], "FAT32   ")
	home, err := os.ReadFile(makeFS(t, t.TempDir(), "mkfs.ext4 -q -d DIR IMAGE 4M"))
	must(t, err)
	disk := make([]byte, 8<<20+len(data)+1<<20)
	copy(disk[1<<20:], fat)
	copy(disk[2<<20:], home)
	copy(disk[8<<20:], data)
	image := writeFile(t, "disk", disk)
	output(t, "", "sgdisk", "-a", "1", "-n", "1:2048:4095", "-n", "2:4096:12287", "-n", fmt.Sprintf("5:16384:%d", 16384+(len(data)+511)/512-1), image)
	return image
}

// mbrDisk is a disk with dir in its second logical partition.
func mbrDisk(t testing.TB, dir string) []byte {
	t.Helper()
	data, err := os.ReadFile(makeFS(t, dir, ext4Commands["1k"]))
	must(t, err)
	disk := make([]byte, 4<<20+len(data))
	table := func(at int, entries ...[3]uint32) {
		for i, e := range entries {
			b := disk[at+446+16*i:]
			b[4] = byte(e[0])
			binary.LittleEndian.PutUint32(b[8:], e[1])
			binary.LittleEndian.PutUint32(b[12:], e[2])
		}
		copy(disk[at+510:], "\x55\xaa")
	}
	sectors := uint32(len(disk) / 512)
	table(0, [3]uint32{0x83, 64, 1024}, [3]uint32{0x05, 2048, sectors - 2048})
	table(2048*512, [3]uint32{0x83, 64, 64}, [3]uint32{0x05, 4096, sectors - 6144})
	table((2048+4096)*512, [3]uint32{0x83, 2048, uint32(len(data) / 512)})
	copy(disk[(2048+4096+2048)*512:], data)
	return disk
}

func TestTheRootOfADiskIsFound(t *testing.T) {
	t.Parallel()
	dir := sampleDir(t)
	must(t, os.MkdirAll(filepath.Join(dir, "boot"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "boot/vmlinuz-6.12"), bzImage(), 0o644))
	gpt := gptDisk(t, dir)
	for image, want := range map[string]string{
		gpt:                                  "file system structures, free space, partition 1 (FAT), partition 2 (ext4), partition table",
		writeFile(t, "mbr", mbrDisk(t, dir)): "file system structures, free space, partition 1 (unknown contents), partition 5 (unknown contents), partition table",
	} {
		img := open(t, image)
		if img.Format != "disk" || img.Kernel == nil || img.Kernel.Path != "/boot/vmlinuz-6.12" || img.Kernel.Version != "6.12.107" {
			t.Errorf("it is a %s, the kernel %+v", img.Format, img.Kernel)
		}
		must(t, img.Tree.Remove("/boot"))
		checkSample(t, img.Tree)
		if got := names(img.Rest); got != want {
			t.Errorf("the rest is %s, want %s", got, want)
		}
	}
	for name, command := range map[string]string{
		"v2":               "qemu-img convert -O qcow2 -o compat=0.10 DIR IMAGE",
		"v3":               "qemu-img convert -O qcow2 DIR IMAGE",
		"compressed":       "qemu-img convert -c -O qcow2 DIR IMAGE",
		"zstd":             "qemu-img convert -c -O qcow2 -o compression_type=zstd DIR IMAGE",
		"small clusters":   "qemu-img convert -c -O qcow2 -o cluster_size=4K DIR IMAGE",
		"large clusters":   "qemu-img convert -O qcow2 -o cluster_size=2M,preallocation=metadata DIR IMAGE",
		"with a dirty bit": "qemu-img convert -O qcow2 -o lazy_refcounts=on DIR IMAGE",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			img := open(t, makeFS(t, gpt, command))
			if img.Format != "qcow2" || img.Kernel == nil || img.Kernel.Version != "6.12.107" || img.Rest["qcow2 structures"] == 0 {
				t.Errorf("it is a %s, the kernel %+v, the rest %v", img.Format, img.Kernel, img.Rest)
			}
			must(t, img.Tree.Remove("/boot"))
			checkSample(t, img.Tree)
			if n := img.Stored["/usr/lib/noise"] + img.Stored["/usr/lib/noise.link"]; n < 690_000 || n > 720_000 {
				t.Errorf("noise takes %d", n)
			}
		})
	}
}

func TestAFileSystemWithoutPartitionsInAQcow2IsRead(t *testing.T) {
	t.Parallel()
	need(t, "qemu-img")
	dir := sampleDir(t)
	img := open(t, makeFS(t, makeFS(t, dir, ext4Commands["large"]), "qemu-img convert -c -O qcow2 DIR IMAGE"))
	checkSample(t, img.Tree)
	if img.Format != "qcow2" || img.Stored["/usr/lib/zeros"] > 10_000 {
		t.Errorf("it is a %s, zeros take %d of %d", img.Format, img.Stored["/usr/lib/zeros"], img.Bytes)
	}
}

// patched is data with some bytes at an offset replaced.
func patched(data []byte, at int, bytes string) []byte {
	data = append([]byte(nil), data...)
	copy(data[at:], bytes)
	return data
}

func TestHostileDisksAreRefused(t *testing.T) {
	t.Parallel()
	need(t, "qemu-img")
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "home"), 0o755))
	gpt, err := os.ReadFile(gptDisk(t, dir))
	must(t, err)
	mbr := mbrDisk(t, dir)
	base := writeFile(t, "base", mbr)
	read := func(command string) []byte {
		data, err := os.ReadFile(makeFS(t, base, command))
		must(t, err)
		return data
	}
	backed := read("qemu-img create -q -f qcow2 -F raw -b DIR IMAGE")
	q := read("qemu-img convert -O qcow2 DIR IMAGE")
	l1 := int(binary.BigEndian.Uint64(q[40:]))
	l2 := int(binary.BigEndian.Uint64(q[l1:]) & qcow2Offset)
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"no root":                 {gpt, "no partition has a root file system that can be read (partition 1: FAT; partition 2: ext4 without /sbin/init"},
		"GPT cut short":           {gpt[:3<<20], "cut short"},
		"GPT with absurd entries": {patched(gpt, 512+80, "\xff\xff\xff\xff"), "GPT: damaged"},
		"GPT table far away":      {patched(gpt, 512+72, "\xff\xff\xff\xff\xff\xff\xff\x7f"), "GPT: damaged"},
		"GPT erased":              {patched(gpt, 512, "        "), "MBR of a GPT, but no GPT"},
		"MBR cut short":           {mbr[:5<<20], "partition 6 ends at byte"},
		"MBR with a loop":         {patched(mbr, 2048*512+446+24, "\x00\x00\x00\x00"), "a loop of them"},
		"backing file":            {backed, "needs the backing file " + fmt.Sprintf("%q", base)},
		"version 9":               {patched(q, 7, "\x09"), "has version 9"},
		"absurd clusters":         {patched(q, 23, "\xff"), "clusters of 2^255"},
		"absurd size":             {patched(q, 24, "\x7f"), "damaged header"},
		"encrypted":               {patched(q, 35, "\x01"), "is encrypted"},
		"external data":           {patched(q, 79, "\x04"), "features 0x4"},
		"L1 beyond the end":       {patched(q, 40, "\x00\x7f"), "cut short"},
		"cluster beyond the end":  {patched(q, l2, "\x80\x7f"), "refers to a cluster at"},
		"a cluster twice":         {patched(q, l2+8*32, string(q[l2:l2+8])), "which is another's"},
		"cut short":               {q[:l2+100], "cut short"},
		"header only":             {q[:20], "cut short"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := writeFile(t, "x", test.data)
			_, err := Open(t.Context(), path, DefaultLimits)
			wantError(t, err, path, test.want)
		})
	}
}

// diskSeed is a small disk with a small file system.
func diskSeed(f *testing.F) []byte {
	if _, err := exec.LookPath("mksquashfs"); err != nil {
		f.Skipf("%v: install it to fuzz this", err)
	}
	data := bytes.TrimRight(smallFS(f, squashfsCommands["gzip"]), "\x00")
	disk := make([]byte, 512*6+len(data)+511)
	copy(disk[512*6:], data)
	return disk
}

func FuzzMBR(f *testing.F) {
	disk := diskSeed(f)
	copy(disk[446:], "\x00\x00\x00\x00\x83\x00\x00\x00\x06\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x01\x00\x00\x00\x05\x00\x00\x00")
	copy(disk[510:], "\x55\xaa")
	fuzzOpen(f, disk)
}

func FuzzGPT(f *testing.F) {
	disk := diskSeed(f)
	le := binary.LittleEndian
	copy(disk[512:], "EFI PART")
	le.PutUint64(disk[512+72:], 2)
	le.PutUint32(disk[512+80:], 2)
	le.PutUint32(disk[512+84:], 128)
	copy(disk[1024:], strings.Repeat("x", 32))
	le.PutUint64(disk[1024+32:], 6)
	le.PutUint64(disk[1024+40:], uint64(len(disk)/512-1))
	fuzzOpen(f, disk)
}

func FuzzQcow2(f *testing.F) {
	if _, err := exec.LookPath("qemu-img"); err != nil {
		f.Skipf("%v: install it to fuzz this", err)
	}
	raw := writeFile(f, "raw", diskSeed(f)[6*512:])
	for _, options := range []string{"-c -o cluster_size=512", "-o cluster_size=512", "-c -o compression_type=zstd,cluster_size=512"} {
		data, err := os.ReadFile(makeFS(f, raw, "qemu-img convert -O qcow2 "+options+" DIR IMAGE"))
		must(f, err)
		f.Add(data)
	}
	fuzzOpen(f)
}
