package inspect

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/somebloke1/elixir-lean-lab/core/packed"
)

const qcow2Magic = "QFI\xfb"

// qcow2Disk reads a disk in the format of QEMU's docs/interop/qcow2.txt,
// versions 2 and 3. Snapshots are not looked at.
type qcow2Disk struct {
	s           source
	size        int64
	clusterBits uint
	zstd        bool // compressed clusters are; else deflate
	tables      [][]uint64
	cache       *blockCache[int64]
}

// Flags and fields of an entry of an L2 table.
const (
	qcow2Compressed = 1 << 62
	qcow2Zero       = 1
	qcow2Offset     = 1<<56 - 1<<9
)

func (d *qcow2Disk) cluster() int64 { return 1 << d.clusterBits }

// qcow2 returns the disk that s has in it.
func (o *opener) qcow2(s source) (source, error) {
	d := &qcow2Disk{s: s, cache: newBlockCache[int64](8)}
	l1, err := d.header()
	if err != nil {
		return source{}, fmt.Errorf("qcow2: %w", err)
	}
	blocks, err := d.map2(o.ctx, l1)
	if err != nil {
		return source{}, fmt.Errorf("qcow2: %w", err)
	}
	index := packed.NewIndex(blocks)
	return source{SectionReader: io.NewSectionReader(d, 0, d.size), on: index.Packed}, nil
}

// header reads the header and the L1 table.
func (d *qcow2Disk) header() ([]uint64, error) {
	h := make([]byte, 112)
	if err := d.s.full(h[:72], 0); err != nil {
		return nil, err
	}
	be := binary.BigEndian
	version := be.Uint32(h[4:])
	if version != 2 && version != 3 {
		return nil, fmt.Errorf("has version %d; 2 and 3 can be read", version)
	}
	if be.Uint64(h[8:]) != 0 {
		return nil, d.backingFile(int64(be.Uint64(h[8:])), be.Uint32(h[16:]))
	}
	if be.Uint32(h[32:]) != 0 {
		return nil, errors.New("is encrypted, which cannot be read")
	}
	if version == 3 {
		if err := d.s.full(h, 0); err != nil {
			return nil, err
		}
		const dirty, compressionType = 1, 8
		if unknown := be.Uint64(h[72:]) &^ (dirty | compressionType); unknown != 0 {
			return nil, fmt.Errorf("has features %#x, which cannot be read (incompatible_features)", unknown)
		}
		d.zstd = be.Uint32(h[100:]) > 104 && h[104] == 1
	}
	bits := be.Uint32(h[20:])
	if bits < 9 || bits > 21 {
		return nil, fmt.Errorf("damaged header: clusters of 2^%d bytes", bits)
	}
	d.clusterBits, d.size = uint(bits), int64(be.Uint64(h[24:]))
	// QEMU has the same bound for the table (QCOW_MAX_L1_SIZE).
	covers := int64(1) << (2*bits - 3)
	entries, most := int64(be.Uint32(h[36:])), int64(32<<20/8)
	if d.size < 0 || d.size/covers >= most || entries > most || entries < (d.size+covers-1)/covers {
		return nil, fmt.Errorf("damaged header: %d bytes in an L1 table of %d entries", d.size, entries)
	}
	return d.table(int64(be.Uint64(h[40:])), (d.size+covers-1)/covers)
}

func (d *qcow2Disk) backingFile(offset int64, length uint32) error {
	name := make([]byte, min(length, 1023))
	if err := d.s.full(name, offset); err != nil {
		return err
	}
	return fmt.Errorf("needs the backing file %q, which is not read: make one image of both with \"qemu-img convert -O qcow2\"", name)
}

// table reads a table of n entries.
func (d *qcow2Disk) table(offset, n int64) ([]uint64, error) {
	data := make([]byte, 8*n)
	if err := d.s.full(data, offset); err != nil {
		return nil, err
	}
	t := make([]uint64, n)
	for i := range t {
		t[i] = binary.BigEndian.Uint64(data[8*i:])
	}
	return t, nil
}

// map2 reads the L2 tables, and returns what each stretch of the disk takes.
// Every cluster must be referred to once only: reading one many times could take
// without end.
func (d *qcow2Disk) map2(ctx context.Context, l1 []uint64) ([]packed.Block, error) {
	d.tables = make([][]uint64, len(l1))
	m := qcow2Map{qcow2Disk: d}
	perTable := d.cluster() / 8
	for i, entry := range l1 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		offset := int64(entry & qcow2Offset)
		if offset == 0 {
			m.add(packed.Block{Raw: perTable * d.cluster()})
			continue
		}
		if err := m.own(offset); err != nil {
			return nil, fmt.Errorf("L2 table %d: %w", i, err)
		}
		t, err := d.table(offset, perTable)
		if err != nil {
			return nil, fmt.Errorf("L2 table %d: %w", i, err)
		}
		d.tables[i] = t
		for _, entry := range t {
			if err := m.entry(entry); err != nil {
				return nil, fmt.Errorf("L2 table %d: %w", i, err)
			}
		}
	}
	return m.blocks, nil
}

type qcow2Map struct {
	*qcow2Disk
	claims claims // of sectors
	blocks []packed.Block
}

const sector = 512

// own claims a cluster.
func (m *qcow2Map) own(offset int64) error {
	if offset%m.cluster() != 0 || offset > m.s.Size()-sector {
		return fmt.Errorf("refers to a cluster at %d of %d: is the image cut short?", offset, m.s.Size())
	}
	if n := m.claims.claimAll([]run{{0, offset, m.cluster()}}, sector); n < m.cluster() {
		return fmt.Errorf("refers to the cluster at %d, which is another's", offset)
	}
	return nil
}

func (m *qcow2Map) entry(entry uint64) error {
	offset := int64(entry & qcow2Offset)
	switch {
	case entry&qcow2Compressed != 0:
		offset, n := m.compressed(entry)
		if offset >= m.s.Size() {
			return fmt.Errorf("refers to a compressed cluster at %d of %d: is the image cut short?", offset, m.s.Size())
		}
		n = min(n, m.s.Size()-offset)
		m.add(packed.Block{Raw: m.cluster(), Packed: m.claims.stored(m.s, []run{{0, offset, n}}, sector)})
	case offset == 0:
		m.add(packed.Block{Raw: m.cluster()})
	default:
		if err := m.own(offset); err != nil {
			return err
		}
		// The last cluster of a file may be cut.
		m.add(packed.Block{Raw: m.cluster(), Packed: m.s.bytes(offset, min(offset+m.cluster(), m.s.Size()))})
	}
	return nil
}

// compressed is where a compressed cluster is, and its length in whole sectors.
func (d *qcow2Disk) compressed(entry uint64) (offset, n int64) {
	x := 62 - (d.clusterBits - 8)
	offset = int64(entry & (1<<x - 1))
	sectors := int64(entry&(qcow2Compressed-1)) >> x
	return offset, (sectors+1)*sector - offset%sector
}

// add adds a block, to the last if both take nothing or all.
func (m *qcow2Map) add(b packed.Block) {
	if len(m.blocks) > 0 {
		last := &m.blocks[len(m.blocks)-1]
		if last.Packed == 0 && b.Packed == 0 || last.Packed == last.Raw && b.Packed == b.Raw {
			last.Raw += b.Raw
			last.Packed += b.Packed
			return
		}
	}
	m.blocks = append(m.blocks, b)
}

func (d *qcow2Disk) ReadAt(p []byte, offset int64) (int, error) {
	for done := 0; done < len(p); {
		at := offset + int64(done)
		in := at & (d.cluster() - 1)
		part := p[done:min(int64(len(p)), int64(done)+d.cluster()-in)]
		if err := d.readCluster(part, at>>d.clusterBits, in); err != nil {
			return done, fmt.Errorf("qcow2: %w", err)
		}
		done += len(part)
	}
	return len(p), nil
}

// readCluster reads a part of cluster n, from in on.
func (d *qcow2Disk) readCluster(p []byte, n, in int64) error {
	perTable := d.cluster() / 8
	var entry uint64
	if t := d.tables[n/perTable]; t != nil {
		entry = t[n%perTable]
	}
	offset := int64(entry & qcow2Offset)
	switch {
	case entry&qcow2Compressed != 0:
		b, err := d.decode(entry)
		if err != nil {
			return err
		}
		copy(p, b[in:])
	case offset == 0 || entry&qcow2Zero != 0:
		clear(p)
	default:
		clear(p)
		if n, err := d.s.ReadAt(p, offset+in); n < len(p) && err != io.EOF {
			return err
		}
	}
	return nil
}

// decode returns a compressed cluster.
func (d *qcow2Disk) decode(entry uint64) ([]byte, error) {
	offset, n := d.compressed(entry)
	return d.cache.get(offset, func() ([]byte, error) {
		raw := make([]byte, min(n, d.s.Size()-offset))
		if err := d.s.full(raw, offset); err != nil {
			return nil, err
		}
		b, err := d.inflate(raw)
		if err != nil {
			return nil, fmt.Errorf("the compressed cluster at %d: %w", offset, err)
		}
		return b, nil
	})
}

// inflate decodes a cluster. The last sector of raw may have others' bytes in it.
func (d *qcow2Disk) inflate(raw []byte) ([]byte, error) {
	b := make([]byte, d.cluster())
	if !d.zstd {
		_, err := io.ReadFull(flate.NewReader(bytes.NewReader(raw)), b)
		return b, err
	}
	z, err := zstd.NewReader(bytes.NewReader(raw), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	_, err = io.ReadFull(z, b)
	return b, err
}
