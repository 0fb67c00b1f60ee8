package inspect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// partition is a stretch of a disk, by its number in the table.
type partition struct {
	number        int
	start, length int64 // bytes
}

const (
	maxPartitions = 128 // GPT's usual table, and Linux' bound for MBR's chain
	mbrGPT        = 0xee
)

// partitions reads a GPT (UEFI Specification 2.10, 5.3) or an MBR, and returns
// the bytes of the table. Without either there is no error and no partition.
func partitions(s source) ([]partition, int64, error) {
	for _, sectorSize := range []int64{512, 4096} {
		head := make([]byte, 8)
		if s.full(head, sectorSize) == nil && string(head) == "EFI PART" {
			return gpt(s, sectorSize)
		}
	}
	head := make([]byte, sector)
	if s.full(head, 0) != nil || string(head[510:]) != "\x55\xaa" {
		return nil, 0, nil
	}
	list, err := mbr(s, head)
	return list, sector, err
}

func gpt(s source, sectorSize int64) ([]partition, int64, error) {
	h := make([]byte, 92)
	if err := s.full(h, sectorSize); err != nil {
		return nil, 0, err
	}
	le := binary.LittleEndian
	table, n, size := int64(le.Uint64(h[72:])), int64(le.Uint32(h[80:])), int64(le.Uint32(h[84:]))
	if size < 128 || size > 4096 || n > 8*maxPartitions || table < 0 || table > s.Size()/sectorSize {
		return nil, 0, fmt.Errorf("GPT: damaged: %d entries of %d bytes at sector %d", n, size, table)
	}
	entries := make([]byte, n*size)
	if err := s.full(entries, table*sectorSize); err != nil {
		return nil, 0, fmt.Errorf("GPT: %w", err)
	}
	var list []partition
	for i := range n {
		e := entries[i*size:]
		if string(e[:16]) == strings.Repeat("\x00", 16) {
			continue
		}
		first, last := le.Uint64(e[32:]), le.Uint64(e[40:])
		most := uint64(s.Size() / sectorSize)
		if first > last || last >= most {
			return nil, 0, fmt.Errorf("GPT: partition %d goes from sector %d to %d of %d: is the image cut short?", i+1, first, last, most)
		}
		list = append(list, partition{int(i) + 1, int64(first) * sectorSize, int64(last-first+1) * sectorSize})
	}
	return list, table*sectorSize + n*size, nil
}

// mbr reads the table in the disk's first sector, and the chain of tables that
// an extended partition is.
func mbr(s source, head []byte) ([]partition, error) {
	var list []partition
	for i := range 4 {
		typ, start, length := mbrEntry(head, i)
		switch {
		case typ == 0 || length == 0:
			continue
		case typ == mbrGPT:
			return nil, errors.New("has the MBR of a GPT, but no GPT: is the image cut short, or are its sectors neither of 512 nor of 4096 bytes?")
		case mbrExtended(typ):
			logical, err := mbrChain(s, start)
			if err != nil {
				return nil, err
			}
			list = append(list, logical...)
			continue
		}
		p := partition{i + 1, start, length}
		if start+length > s.Size() {
			return nil, fmt.Errorf("MBR: partition %d ends at byte %d of %d: is the image cut short?", p.number, start+length, s.Size())
		}
		list = append(list, p)
	}
	return list, nil
}

func mbrEntry(table []byte, i int) (typ byte, start, length int64) {
	e := table[446+16*i:]
	le := binary.LittleEndian
	return e[4], int64(le.Uint32(e[8:])) * sector, int64(le.Uint32(e[12:])) * sector
}

func mbrExtended(typ byte) bool { return typ == 0x05 || typ == 0x0f || typ == 0x85 }

// mbrChain reads the logical partitions in the extended one at base: a table has
// one, and where the next table is.
func mbrChain(s source, base int64) ([]partition, error) {
	var list []partition
	table := make([]byte, sector)
	for at := base; len(list) < maxPartitions; {
		if err := s.full(table, at); err != nil {
			return nil, fmt.Errorf("MBR: extended partition: %w", err)
		}
		typ, start, length := mbrEntry(table, 0)
		if string(table[510:]) != "\x55\xaa" || typ == 0 {
			return list, nil
		}
		p := partition{5 + len(list), at + start, length}
		if p.start+length > s.Size() {
			return nil, fmt.Errorf("MBR: partition %d ends at byte %d of %d: is the image cut short?", p.number, p.start+length, s.Size())
		}
		list = append(list, p)
		typ, next, _ := mbrEntry(table, 1)
		if !mbrExtended(typ) {
			return list, nil
		}
		at = base + next
	}
	return nil, fmt.Errorf("MBR: more than %d logical partitions, or a loop of them", maxPartitions)
}

// disk reads the partition that has the root file system: the first with
// /sbin/init, /init or /etc.
func (o *opener) disk(s source, list []partition, table int64) (*root, error) {
	var found []string // what the partitions are, if none has a root
	for _, p := range list {
		part := s.section(p.start, p.length)
		f, known := filesystemOf(part)
		if !known || f.read == nil {
			found = append(found, fmt.Sprintf("partition %d: %s", p.number, partitionName(f)))
			continue
		}
		r, err := f.read(o, part)
		if o.ctx.Err() != nil {
			return nil, o.ctx.Err()
		}
		if err != nil {
			found = append(found, fmt.Sprintf("partition %d: %v", p.number, err))
			continue
		}
		if !isRoot(r.tree) {
			found = append(found, fmt.Sprintf("partition %d: %s without /sbin/init, /init and /etc", p.number, f.name))
			continue
		}
		r.format = "disk"
		r.others(s, list, p, table)
		return r, nil
	}
	return nil, fmt.Errorf("no partition has a root file system that can be read (%s); supported in one: ext4 (ext2, ext3), squashfs, erofs", strings.Join(found, "; "))
}

func partitionName(f filesystem) string {
	if f.name == "" {
		return "unknown contents"
	}
	return f.name
}

func isRoot(tree *rootfs.Tree) bool {
	for _, name := range []string{"/sbin/init", "/init", "/etc"} {
		if _, ok := tree.Get(name); ok {
			return true
		}
	}
	return false
}

// others accounts for all of the disk that is not the partition it is in.
func (r *root) others(s source, list []partition, own partition, table int64) {
	outside := s.all()
	for _, p := range list {
		n := s.bytes(p.start, p.start+p.length)
		outside -= n
		if p != own && n > 0 {
			f, _ := filesystemOf(s.section(p.start, p.length))
			r.rest[fmt.Sprintf("partition %d (%s)", p.number, partitionName(f))] = n
		}
	}
	inTable := min(s.bytes(0, table), outside)
	r.rest["partition table"] = inTable
	if outside > inTable {
		r.rest["free space"] += outside - inTable
	}
}
