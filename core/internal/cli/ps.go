package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/somebloke1/elixir-lean-lab/core/internal/instance"
)

// listed is a line of ps.
type listed struct {
	Name          string   `json:"name"`
	Image         string   `json:"image"`
	State         string   `json:"state"` // "running" or "gone"
	Detached      bool     `json:"detached"`
	UptimeSeconds int64    `json:"uptime_seconds"` // 0 when gone
	MemoryMiB     int      `json:"memory_mib"`
	CPUs          int      `json:"cpus"`
	Ports         []string `json:"ports"` // [ADDR:]HOST:GUEST
	Accelerator   string   `json:"accelerator"`
	Exec          bool     `json:"exec"`
	Directory     string   `json:"directory"` // of console.log and the sockets
}

func (a *App) psCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "List the VMs that run, and, once, those that have ended since",
		Args:  exactly(0),
		RunE: func(*cobra.Command, []string) error {
			dir, err := instance.Open(a.getenv)
			if err != nil {
				return err
			}
			instances, err := dir.List()
			if err != nil {
				return err
			}
			list := []listed{}
			for _, i := range instances {
				list = append(list, describe(i))
			}
			if asJSON {
				out := json.NewEncoder(a.Stdout)
				out.SetIndent("", "  ")
				return out.Encode(list)
			}
			return a.printTable(list)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func describe(i *instance.Instance) listed {
	l := listed{Name: i.Name, Image: i.Image, State: "gone", Detached: i.Detached, MemoryMiB: i.MemoryMiB, CPUs: i.CPUs,
		Ports: i.Ports, Accelerator: i.Accel, Exec: i.Exec, Directory: i.Path}
	if i.Alive() {
		l.State, l.UptimeSeconds = "running", int64(time.Since(i.Started)/time.Second)
	}
	return l
}

func (a *App) printTable(list []listed) error {
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tIMAGE\tSTATE\tUPTIME\tMEMORY\tPORTS\tACCELERATOR")
	for _, l := range list {
		uptime, ports := "-", "-"
		if l.State == "running" {
			uptime = (time.Duration(l.UptimeSeconds) * time.Second).String()
		}
		if len(l.Ports) > 0 {
			ports = strings.Join(l.Ports, " ")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d MiB\t%s\t%s\n", l.Name, l.Image, l.State, uptime, l.MemoryMiB, ports, l.Accelerator)
	}
	return w.Flush()
}

// find returns the VM of that name.
func (a *App) find(name string) (*instance.Instance, error) {
	dir, err := instance.Open(a.getenv)
	if err != nil {
		return nil, err
	}
	return dir.Find(name)
}

// findRunning is find for what needs a VM that has not ended.
func (a *App) findRunning(name string) (*instance.Instance, error) {
	i, err := a.find(name)
	if err == nil && !i.Alive() {
		return nil, fmt.Errorf("%s has ended; leanlab logs %s shows what it printed last", name, name)
	}
	return i, err
}
