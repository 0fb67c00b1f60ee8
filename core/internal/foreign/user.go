package foreign

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// user is who a program runs as.
type user struct {
	uid, gid int
	home     string
}

// findUser resolves USER[:GROUP], each a name or a number, by the image's own
// passwd(5) and group(5), as container engines do: a uid that is not there has
// group 0 and no home.
func findUser(t *rootfs.Tree, name string) (user, error) {
	name, group, withGroup := strings.Cut(name, ":")
	if name == "" {
		name = "0"
	}
	u := user{home: "/"}
	line, found := lookup(t, "/etc/passwd", name, 7) // name:password:uid:gid:gecos:home:shell
	if found {
		var err1, err2 error
		u.uid, err1 = strconv.Atoi(line[2])
		u.gid, err2 = strconv.Atoi(line[3])
		if err1 != nil || err2 != nil {
			return u, fmt.Errorf("user %q: the image's /etc/passwd has %s:%s for its ids", name, line[2], line[3])
		}
		if line[5] != "" {
			u.home = line[5]
		}
	} else {
		id, err := strconv.ParseUint(name, 10, 31)
		if err != nil {
			return u, fmt.Errorf("user %q: is neither a number nor in the image's /etc/passwd", name)
		}
		u.uid = int(id)
	}
	if !withGroup || group == "" {
		return u, nil
	}
	id := group
	if line, ok := lookup(t, "/etc/group", group, 4); ok { // name:password:gid:members
		id = line[2]
	}
	gid, err := strconv.ParseUint(id, 10, 31)
	if err != nil {
		return u, fmt.Errorf("group %q: is neither a number nor in the image's /etc/group", group)
	}
	u.gid = int(gid)
	return u, nil
}

// maxDatabase bounds what is read of passwd and group.
const maxDatabase = 4 << 20

// lookup returns the fields of the line whose first is name, or whose third, the
// id, is. A file that is not there has no lines.
func lookup(t *rootfs.Tree, file, name string, fields int) ([]string, bool) {
	e, err := t.Resolve(file)
	if err != nil || e.Type != rootfs.Regular {
		return nil, false
	}
	data, err := contents(e, maxDatabase)
	if err != nil {
		return nil, false
	}
	var byID []string
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxDatabase)
	for lines.Scan() {
		f := strings.Split(lines.Text(), ":")
		if len(f) < fields {
			continue
		}
		if f[0] == name {
			return f, true
		}
		if f[2] == name && byID == nil {
			byID = f
		}
	}
	return byID, byID != nil
}
