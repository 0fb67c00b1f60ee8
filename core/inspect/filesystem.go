package inspect

import (
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// filesystem is a format that a partition or a whole file may have, known by its
// magic at offset.
type filesystem struct {
	name   string
	offset int64
	magic  string
	read   func(*opener, source) (*root, error) // nil for what is recognised only
}

func filesystems() []filesystem {
	return []filesystem{
		{"ext4", 0x438, "\x53\xef", (*opener).ext4},
		{"squashfs", 0, "hsqs", (*opener).squashfs},
		{"erofs", 0x400, "\xe2\xe1\xf5\xe0", (*opener).erofs},
		{"XFS", 0, "XFSB", nil},
		{"btrfs", 0x10040, "_BHRfS_M", nil},
		{"F2FS", 0x400, "\x10\x20\xf5\xf2", nil},
		{"ISO 9660", 0x8001, "CD001", nil},
		{"FAT", 0x36, "FAT1", nil},
		{"FAT", 0x52, "FAT32", nil},
		{"swap", 4086, "SWAPSPACE2", nil},
		{"LUKS", 0, "LUKS\xba\xbe", nil},
		{"LVM", 0x218, "LVM2 001", nil},
		{"VMDK", 0, "KDMV", nil},
		{"VHDX", 0, "vhdxfile", nil},
		{"VHD", 0, "conectix", nil},
		{"ELF (a vmlinux?)", 0, "\x7fELF", nil},
		{"zip (a Nerves firmware?)", 0, "PK\x03\x04", nil},
		{"bzip2", 0, "BZh", nil},
		{"lzma", 0, "\x5d\x00\x00", nil},
		{"LZO", 0, "\x89LZO\x00\r\n", nil},
		{"old cpio (odc)", 0, "070707", nil},
	}
}

// filesystemOf tells by its magic what s holds.
func filesystemOf(s source) (filesystem, bool) {
	for _, f := range filesystems() {
		head := make([]byte, len(f.magic))
		if s.full(head, f.offset) == nil && string(head) == f.magic {
			return f, true
		}
	}
	return filesystem{}, false
}

// run is a stretch of a file: n bytes from logical of it are at physical.
type run struct{ logical, physical, n int64 }

// runs reads a file that is in several places. What is in no run is zeros.
type runs struct {
	s    source
	list []run // by logical, without overlaps
}

func (r *runs) ReadAt(p []byte, offset int64) (int, error) {
	clear(p)
	i := sort.Search(len(r.list), func(i int) bool { return r.list[i].logical+r.list[i].n > offset })
	for ; i < len(r.list); i++ {
		x := r.list[i]
		start, end := max(x.logical, offset), min(x.logical+x.n, offset+int64(len(p)))
		if start >= end {
			break
		}
		if err := r.s.full(p[start-offset:end-offset], x.physical+start-x.logical); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// file makes a file's contents of runs in any order.
func (s source) file(list []run, size int64) (*io.SectionReader, error) {
	slices.SortFunc(list, func(a, b run) int { return int(min(max(a.logical-b.logical, -1), 1)) })
	var end int64
	for _, x := range list {
		if x.logical < end || x.n < 0 || x.physical < 0 || x.n > math.MaxInt64-x.logical || x.n > s.Size()-x.physical {
			return nil, fmt.Errorf("claims %d bytes at %d of %d, or bytes that it has already", x.n, x.physical, s.Size())
		}
		end = x.logical + x.n
	}
	return io.NewSectionReader(&runs{s, list}, 0, size), nil
}

// claims remembers which blocks of a file system some file has: what several
// share is stored once.
type claims struct {
	pages map[int64]*[512]uint64
}

// claim says whether block was free.
func (c *claims) claim(block int64) bool {
	if c.pages == nil {
		c.pages = map[int64]*[512]uint64{}
	}
	page, bit := block>>15, block&(1<<15-1)
	if c.pages[page] == nil {
		c.pages[page] = new([512]uint64)
	}
	word, mask := &c.pages[page][bit>>6], uint64(1)<<(bit&63)
	if *word&mask != 0 {
		return false
	}
	*word |= mask
	return true
}

// stored claims the blocks of a file's runs, and returns what those take that
// no other had.
func (c *claims) stored(s source, list []run, blockSize int64) int64 {
	var sum int64
	for _, x := range list {
		for b := x.physical / blockSize; b*blockSize < x.physical+x.n; b++ {
			if c.claim(b) {
				sum += s.bytes(b*blockSize, min((b+1)*blockSize, s.Size()))
			}
		}
	}
	return sum
}

// claimAll claims the blocks of runs, and returns how many bytes no other had.
func (c *claims) claimAll(list []run, blockSize int64) int64 {
	whole := source{on: func(offset int64) int64 { return offset }}
	whole.SectionReader = io.NewSectionReader(nil, 0, math.MaxInt64)
	return c.stored(whole, list, blockSize)
}

// clip leaves out of runs what is beyond a file's end.
func clip(list []run, end int64) []run {
	var clipped []run
	for _, x := range list {
		if x.logical < end {
			x.n = min(x.n, end-x.logical)
			clipped = append(clipped, x)
		}
	}
	return clipped
}

// checkName refuses what cannot be a directory's entry.
func checkName(dir, name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("%s has an entry that is called %q", dir, name)
	}
	return nil
}

// device splits a device number as the kernel's new_decode_dev does.
func device(e *rootfs.Entry, dev uint32) {
	e.Major, e.Minor = dev>>8&0xfff, dev&0xff|dev>>12&0xfff00
}

// blockCache keeps the blocks that were decoded last, by where they are.
type blockCache[K comparable] struct {
	mu     sync.Mutex
	size   int
	order  []K
	blocks map[K][]byte
}

func newBlockCache[K comparable](size int) *blockCache[K] {
	return &blockCache[K]{size: size, blocks: map[K][]byte{}}
}

// get returns the block at position, decoded by decode if need be.
func (c *blockCache[K]) get(position K, decode func() ([]byte, error)) (b []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// What decoders of others do with hostile input is not in our hands.
	defer func() {
		if r := recover(); r != nil {
			b, err = nil, fmt.Errorf("damaged: %v", r)
		}
	}()
	if b, ok := c.blocks[position]; ok {
		return b, nil
	}
	if b, err = decode(); err != nil {
		return nil, err
	}
	if len(c.order) == c.size {
		delete(c.blocks, c.order[0])
		c.order = c.order[1:]
	}
	c.order = append(c.order, position)
	c.blocks[position] = b
	return b, nil
}

// walk goes through all directories of a file system, without recursion. list
// calls its function for each entry of a directory; add takes an entry into the
// tree and says whether it is a directory. N is how the file system refers to an
// inode.
func walk[N any](rootInode N, list func(dir string, inode N, entry func(name string, inode N) error) error,
	add func(name string, inode N) (directory bool, err error)) error {
	type dir struct {
		path  string
		inode N
	}
	for todo := []dir{{"/", rootInode}}; len(todo) > 0; {
		d := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		err := list(d.path, d.inode, func(name string, inode N) error {
			p := path.Join(d.path, name)
			directory, err := add(p, inode)
			if err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
			if directory {
				todo = append(todo, dir{p, inode})
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
