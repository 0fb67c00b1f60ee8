package cli

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// disk is a raw disk of that many sectors with a boot sector, and one partition
// from sector 1 on.
func disk(sectors, partition int) []byte {
	d := make([]byte, sectors*sectorBytes)
	d[510], d[511] = 0x55, 0xaa
	if partition > 0 {
		d[446+4] = 0x83
		binary.LittleEndian.PutUint32(d[446+8:], 1)
		binary.LittleEndian.PutUint32(d[446+12:], uint32(partition))
	}
	return d
}

func TestDisksAreToldByTheirBeginning(t *testing.T) {
	t.Parallel()
	with := func(at int, text string) []byte {
		d := make([]byte, 4096)
		copy(d[at:], text)
		return d
	}
	whole := disk(8, 1<<32-1)
	for name, c := range map[string]struct {
		data           []byte
		firmware, want string // "raw", or what the error says
	}{
		"boot sector":     {disk(8, 0), "raw", "raw"},
		"partition":       {disk(8, 7), "raw", "raw"},
		"whole disk":      {whole, "raw", "raw"},
		"cut short":       {disk(8, 8), "is truncated: its partitions reach to byte 4608, and it has 4096", "is truncated"},
		"no boot sector":  {make([]byte, 4096), "has no boot sector, so that no firmware starts it", "raw"},
		"VMDK":            {with(0, "KDMV"), "is a VMDK disk, which is not supported: convert it (qemu-img convert -O qcow2); what runs is", "is a VMDK disk"},
		"VHDX":            {with(0, "vhdxfile"), "is a VHDX disk", "is a VHDX disk"},
		"VDI":             {with(0x40, "\x7f\x10\xda\xbe"), "is a VDI disk", "is a VDI disk"},
		"bzip2":           {with(0, "BZh9"), "bzip2, which is not supported", "bzip2"},
		"a kernel":        {with(0x202, "HdrS"), "is a kernel: give it with --kernel", "is a kernel"},
		"a program":       {with(0, "\x7fELF"), "is a program", "is a program"},
		"half a sector":   {make([]byte, 700), "700 bytes are not a disk's whole sectors of 512; is it truncated?", "is it truncated?"},
		"nothing":         {nil, "0 bytes are not", "0 bytes are not"},
		"a short qcow2":   {[]byte("QFI\xfb"), "is a qcow2 of 4 bytes: it is truncated", "it is truncated"},
		"a hostile qcow2": {append([]byte("QFI\xfb\x00\x00\x00\x03"), []byte(strings.Repeat("\xff", 100))...), "is a qcow2 that is truncated", "is truncated"},
	} {
		path := file(t, "disk", c.data)
		for _, firmware := range []bool{true, false} {
			want := c.want
			if firmware {
				want = c.firmware
			}
			got, err := diskFormat(path, firmware)
			if want == "raw" {
				if got != want || err != nil {
					t.Errorf("%s, firmware %v: %q, %v", name, firmware, got, err)
				}
			} else if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), path+": ") {
				t.Errorf("%s, firmware %v: %q, %v; want %q", name, firmware, got, err, want)
			}
		}
	}
}

func TestAQcow2ThatIsCutShortIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("qemu-img is not installed")
	}
	path := filepath.Join(t.TempDir(), "disk.qcow2")
	if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", path, "100M").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if format, err := diskFormat(path, true); format != "qcow2" || err != nil {
		t.Errorf("whole: %q, %v", format, err)
	}
	must(t, os.Truncate(path, 1000))
	if _, err := diskFormat(path, true); err == nil || !strings.Contains(err.Error(), "its tables reach to byte") {
		t.Errorf("cut short: %v", err)
	}
}

func FuzzDiskFormat(f *testing.F) {
	f.Add(disk(2, 3))
	f.Add([]byte("QFI\xfb" + strings.Repeat("\xff", 100)))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "disk")
		must(t, os.WriteFile(path, data, 0o600))
		if format, err := diskFormat(path, true); err == nil && format != "raw" && format != "qcow2" {
			t.Errorf("it is a %q", format)
		}
	})
}
