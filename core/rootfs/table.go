package rootfs

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// ApplyDeviceTable reads a device table in the syntax of Buildroot's makedevs
// (manual, "Makedev syntax documentation") and changes the tree accordingly.
// One entry a line, "#" begins a comment line:
//
//	name type mode uid gid major minor start inc count
//
// type is d (a directory, made if missing), f (a file, which must exist), F (a
// file, if it exists), r (a directory and all below it), c, b (device nodes) or
// p (a FIFO). mode is octal; -1 leaves it as it is, for f, F, d and r. uid and
// gid are numbers or names from the tree's /etc/passwd and /etc/group. The rest
// may be "-" or left out. With count above 1, name gets the numbers start,
// start+1, … appended, and minor grows by inc each time.
//
// makedevs also takes extended attributes, which an initramfs cannot hold: an
// error here. Path is for messages only, which begin with "path:line:".
func (t *Tree) ApplyDeviceTable(path string, r io.Reader) error {
	sc := bufio.NewScanner(r)
	n := 1
	for ; sc.Scan(); n++ {
		fields := strings.Fields(sc.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if err := t.tableLine(fields); err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("%s:%d: %w", path, n, err)
	}
	return nil
}

// tableEntry is a line of a device table.
type tableEntry struct {
	name, typ         string
	keepMode          bool
	mode              uint32
	uid, gid          int
	major, minor      int64
	start, inc, count int64
}

// maxNodes is how many nodes one line may make.
const maxNodes = 4096

func (t *Tree) tableLine(fields []string) error {
	l, err := t.parseTableEntry(fields)
	if err != nil {
		return err
	}
	switch l.typ {
	case "d":
		return t.tableDirectory(l)
	case "f", "F":
		return t.tableFile(l)
	case "r":
		return t.tableRecursive(l)
	}
	return t.tableNodes(l)
}

func (t *Tree) parseTableEntry(fields []string) (tableEntry, error) {
	if fields[0] == "|xattr" {
		return tableEntry{}, fmt.Errorf("extended attributes cannot be stored in an initramfs: remove the line")
	}
	if len(fields) < 5 || len(fields) > 10 {
		return tableEntry{}, fmt.Errorf("%d fields, want: name type mode uid gid [major minor start inc count]", len(fields))
	}
	l := tableEntry{name: fields[0], typ: fields[1]}
	if len(l.typ) != 1 || !strings.Contains("dfFrcbp", l.typ) {
		return l, fmt.Errorf("type %q is none of d, f, F, r, c, b, p", l.typ)
	}
	if fields[2] == "-1" && strings.Contains("dfFr", l.typ) {
		l.keepMode = true
	} else {
		mode, err := strconv.ParseUint(fields[2], 8, 12)
		if err != nil {
			return l, fmt.Errorf("mode %q is not octal, at most 7777", fields[2])
		}
		l.mode = uint32(mode)
	}
	var err error
	if l.uid, err = t.id("/etc/passwd", fields[3]); err != nil {
		return l, err
	}
	if l.gid, err = t.id("/etc/group", fields[4]); err != nil {
		return l, err
	}
	for i, to := range []*int64{&l.major, &l.minor, &l.start, &l.inc, &l.count}[:len(fields)-5] {
		field := fields[5+i]
		if field == "-" {
			continue
		}
		v, err := strconv.ParseUint(field, 10, 20) // makedevs' bound
		if err != nil {
			return l, fmt.Errorf("%q is no number below %d", field, 1<<20)
		}
		*to = int64(v)
	}
	return l, nil
}

// id returns s as a number, or the id of the user or group of that name in
// file, whose third field is the id in both cases: passwd(5), group(5).
func (t *Tree) id(file, s string) (int, error) {
	if id, err := strconv.ParseUint(s, 10, 32); err == nil && id <= maxID {
		return int(id), nil
	}
	e, err := t.Resolve(file)
	if err != nil {
		return 0, fmt.Errorf("%q is no id, and there is no %s to look it up in", s, file)
	}
	r, err := e.Open()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		f := strings.Split(sc.Text(), ":")
		if len(f) < 3 || f[0] != s {
			continue
		}
		id, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil || id > maxID {
			return 0, fmt.Errorf("%s in %s has the id %q, which is no number", s, file, f[2])
		}
		return int(id), nil
	}
	if err := sc.Err(); err != nil {
		return 0, fmt.Errorf("%s: %w", file, err)
	}
	return 0, fmt.Errorf("%q is neither an id nor in %s", s, file)
}

func (l *tableEntry) apply(e *Entry) {
	e.UID, e.GID = l.uid, l.gid
	if !l.keepMode && e.Type != Symlink {
		e.Mode = fileMode(l.mode)
	}
}

func (t *Tree) tableDirectory(l tableEntry) error {
	e, err := t.Resolve(l.name)
	if err != nil {
		if err := t.Dir(l.name, 0o755); err != nil {
			return err
		}
		if e, err = t.Resolve(l.name); err != nil {
			return err
		}
	}
	if e.Type != Directory {
		return fmt.Errorf("%s is a %v, not a directory", l.name, e.Type)
	}
	l.apply(e)
	return nil
}

func (t *Tree) tableFile(l tableEntry) error {
	e, err := t.Resolve(l.name)
	if err == nil && e.Type == Regular {
		l.apply(e)
		return nil
	}
	if l.typ == "F" {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%s is a %v, not a file", l.name, e.Type)
}

func (t *Tree) tableRecursive(l tableEntry) error {
	top, ok := t.Get(l.name)
	if !ok {
		return fmt.Errorf("%s does not exist", l.name)
	}
	below := strings.TrimSuffix(top.Path, "/") + "/"
	return t.Walk(func(e *Entry) error {
		if e == top || strings.HasPrefix(e.Path, below) {
			l.apply(e)
		}
		return nil
	})
}

func (t *Tree) tableNodes(l tableEntry) error {
	if l.count > maxNodes {
		return fmt.Errorf("count %d is more than %d", l.count, maxNodes)
	}
	typ := map[string]Type{"c": CharDevice, "b": BlockDevice, "p": FIFO}[l.typ]
	for i := range max(l.count, 1) {
		e := &Entry{Path: l.name, Type: typ, Mode: fileMode(l.mode), UID: l.uid, GID: l.gid}
		if l.count > 1 {
			e.Path += strconv.FormatInt(l.start+i, 10)
		}
		if typ != FIFO {
			minor := l.minor + i*l.inc
			if err := checkDevice(l.major, minor); err != nil {
				return err
			}
			e.Major, e.Minor = uint32(l.major), uint32(minor)
		}
		if err := t.add(e); err != nil {
			return err
		}
	}
	return nil
}
