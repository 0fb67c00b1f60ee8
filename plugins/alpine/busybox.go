package main

import (
	"bufio"
	"io/fs"
	"path"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// appletLists is where Alpine's busybox packages list the links that their
// trigger makes, each in a file with the program's name: etc/busybox-paths.d/busybox
// for /bin/busybox (aports, main/busybox). Triggers are not run here: they are
// programs of another architecture, and of packages.
const appletLists = "/etc/busybox-paths.d"

// linkApplets makes the links. What another package has in the place of one
// stays, as with `busybox --install`.
func (r *root) linkApplets(ev builder.Events) error {
	var lists []*rootfs.Entry
	err := r.tree.Walk(func(e *rootfs.Entry) error {
		if path.Dir(e.Path) == appletLists && e.Type == rootfs.Regular {
			lists = append(lists, e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(lists) == 0 {
		ev.Emit(builder.Notice{Diagnostic: builder.Diagnostic{Severity: builder.Warning, Summary: "BusyBox without links",
			Detail: "The package busybox lists no applets in " + appletLists + ": the VM has none but those that packages link, and no DHCP."}})
	}
	for _, list := range lists {
		if err := r.linkListed(list); err != nil {
			return err
		}
	}
	return nil
}

func (r *root) linkListed(list *rootfs.Entry) error {
	program := "/bin/" + path.Base(list.Path)
	if _, err := r.tree.Resolve(program); err != nil {
		return nil
	}
	text, err := list.Open()
	if err != nil {
		return err
	}
	defer text.Close()
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		name := strings.TrimSpace(lines.Text())
		if !fs.ValidPath(name) || name == "." {
			continue
		}
		if _, taken := r.tree.Get("/" + name); taken {
			continue
		}
		if err := r.tree.Symlink("/"+name, program); err != nil {
			return err
		}
	}
	return lines.Err()
}
