package main

import (
	"github.com/spf13/cobra"

	"github.com/verifily/verifily-tui/cmd/internal/batches"
)

// batch is the commands that look at batches; verifily-tui --batch runs them.
func (a *app) batch() *cobra.Command {
	cmd := batches.Command(a.stdout, &a.verdict)
	for _, c := range append(cmd.Commands(), cmd) {
		c.Annotations = judging
	}
	return cmd
}
