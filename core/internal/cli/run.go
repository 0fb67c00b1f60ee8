package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/somebloke1/elixir-lean-lab/core/internal/engine"
	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

func (a *App) runCommand() *cobra.Command {
	f := &definitionFlags{}
	var memory int
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Start a built VM with this terminal at its console; Ctrl-A X ends it",
		Args:  exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, def, err := a.load(*f)
			if err != nil {
				return err
			}
			bundle := filepath.Join(a.Dir, "build", def.Name, "bundle")
			config, err := engine.BundleConfig(bundle, def.Arch)
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s: not built yet; run leanlab build -f %s first: %w", bundle, f.file, err)
			} else if err != nil {
				return err
			}
			config.MemoryMiB = int(def.Proof.Memory >> 20)
			if memory > 0 {
				config.MemoryMiB = memory
			}
			config.Net, config.Outside = true, true
			var why string
			config.Accel, why = vm.Accelerator(cmd.Context(), def.Arch)
			fmt.Fprintf(a.Stderr, "leanlab: %s, %d MiB, %s; Ctrl-A X ends the VM\n", def.Name, config.MemoryMiB, why)
			return vm.Interactive(cmd.Context(), config)
		},
	}
	f.add(cmd)
	cmd.Flags().IntVar(&memory, "memory", 0, "RAM in MiB (default: what the definition's proof boots with)")
	return cmd
}
