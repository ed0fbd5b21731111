package main

import (
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/verifily/verifily-tui/cmd/internal/commands"
	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/fault"
)

// usage is the error of a command line that cannot be understood.
func usage(reason, hint string) error {
	return &core.ConfigError{Detail: fault.Detail{Reason: reason, Hint: hint}}
}

// flagError puts an error of the flag parser in our words.
func flagError(cmd *cobra.Command, err error) error {
	see := "see " + cmd.CommandPath() + " --help"
	var missing *pflag.NotExistError
	var empty *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &missing) && missing.GetSpecifiedShortnames() != "":
		return usage(fmt.Sprintf("unknown flag %q", "-"+missing.GetSpecifiedShortnames()), "flags start with two dashes; "+see)
	case errors.As(err, &missing):
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				known = append(known, f.Name)
			}
		})
		name := missing.GetSpecifiedName()
		return commands.Unknown("flag", "--"+name, name, known, cmd.CommandPath())
	case errors.As(err, &empty):
		return usage("--"+empty.GetSpecifiedName()+": needs a value", see)
	case errors.As(err, &invalid):
		reason := fmt.Sprintf("must be %s, not %q", kindOf(invalid.GetFlag()), invalid.GetValue())
		return usage("--"+invalid.GetFlag().Name+": "+reason, "")
	}
	return usage(err.Error(), see)
}

// whole is a flag that is a decimal number; the parser's own integers read 010
// as eight.
type whole int64

func (w *whole) Set(s string) error {
	n, err := strconv.ParseInt(s, 10, 64)
	*w = whole(n)
	return err
}

func (w *whole) String() string { return strconv.FormatInt(int64(*w), 10) }

func (w *whole) Type() string { return "int" }

// integerOfAnySize is a flag that is a decimal number of any length.
type integerOfAnySize string

func (n *integerOfAnySize) Set(s string) error {
	i, ok := new(big.Int).SetString(s, 10)
	if !ok {
		return strconv.ErrSyntax
	}
	*n = integerOfAnySize(i.String())
	return nil
}

func (n *integerOfAnySize) String() string { return string(*n) }

func (n *integerOfAnySize) Type() string { return "int" }

// pairs is a flag of KEY=VALUE, which may be given again; with a separator also
// several at once.
type pairs struct {
	set       map[string]string
	separator string
}

func (p pairs) Set(s string) error {
	list := []string{s}
	if p.separator != "" {
		list = strings.Split(s, p.separator)
	}
	for _, pair := range list {
		key, value, ok := strings.Cut(pair, "=")
		if _, twice := p.set[key]; !ok || key == "" || twice {
			return strconv.ErrSyntax
		}
		p.set[key] = value
	}
	return nil
}

func (p pairs) String() string {
	var list []string
	for _, key := range slices.Sorted(maps.Keys(p.set)) {
		list = append(list, key+"="+p.set[key])
	}
	return strings.Join(list, ",")
}

func (p pairs) Type() string { return "pairs" }

func kindOf(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "bool":
		return "true or false"
	case "int":
		return "a whole number"
	case "float64":
		return "a number"
	case "pairs":
		return "NAME=VALUE, every name once"
	}
	return "a list of names separated by commas"
}

// noArguments refuses arguments that are not flags.
func noArguments(hint string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return usage(fmt.Sprintf("unexpected argument %q", args[0]), hint)
	}
}

// notEmpty refuses flags that were given without a value, as by a shell
// variable that is not set.
func notEmpty(cmd *cobra.Command, names ...string) error {
	for _, name := range names {
		if f := cmd.Flags().Lookup(name); f.Changed && strings.Trim(f.Value.String(), "[] ") == "" {
			return usage("--"+name+": must not be empty", "leave the flag out, or name something")
		}
	}
	return nil
}
