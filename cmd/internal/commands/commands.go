// Package commands is what the command lines of the programs share: the command
// help, and what is said of a name that does not exist.
package commands

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/fault"
)

// Unknown is the *fault.ConfigError of a name that does not exist, with the nearest
// one and the command whose help lists them. shown is how the name was written.
func Unknown(what, shown, name string, known []string, command string) error {
	hint := "see " + command + " --help"
	if near, close := nearest(name, known); close {
		if what == "flag" {
			near = "--" + near
		}
		hint = "did you mean " + near + "? Else " + hint
	}
	return &fault.ConfigError{Detail: fault.Detail{Reason: fmt.Sprintf("unknown %s %q", what, shown), Hint: hint}}
}

// nearest returns the known name that was probably meant: one that begins as the
// name does, or that is close.
func nearest(name string, known []string) (string, bool) {
	for _, k := range known {
		if name != "" && (strings.HasPrefix(k, name) || strings.HasPrefix(name, k)) {
			return k, true
		}
	}
	near, close := config.Nearest(name, known)
	return near, near != "" && close
}

// Known refuses arguments of a command that only has commands of its own; it is
// its Args.
func Known(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return Unknown("command", args[0], args[0], names(cmd), cmd.CommandPath())
}

func names(cmd *cobra.Command) (out []string) {
	for _, c := range cmd.Commands() {
		if c.Runnable() && !c.Hidden {
			out = append(out, c.Name())
		}
	}
	return out
}

// Help is the command help, which refuses what it does not know.
func Help() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about any command",
		RunE: func(cmd *cobra.Command, args []string) error {
			topic, rest, err := cmd.Root().Find(args)
			if err != nil {
				topic, rest = cmd.Root(), args
			}
			if len(rest) > 0 {
				var topics []string
				for _, c := range topic.Commands() {
					topics = append(topics, c.Name())
				}
				return Unknown("help topic", rest[0], rest[0], topics, topic.CommandPath())
			}
			topic.InitDefaultHelpFlag()
			return topic.Help()
		},
	}
}
