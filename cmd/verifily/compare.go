package main

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/show"
	"github.com/verifily/verifily-tui/core"
)

func (a *app) compare() *cobra.Command {
	var opt core.CompareOptions
	var out show.Comparison
	var resamples, minSlice, seed, fixed, broken whole
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "compare RUN RUN...",
		Short: "Compare runs and tell what is really different",
		Long: `Set runs side by side, the first one being the base: metrics and slices with
95% intervals, differences with tests that pair the answers to the same
examples, what went into the runs, and the examples fixed and broken. A run is
a path, or the id or the name of a run in --runs-dir.

Nothing is written without --output.`,
		Example: `  verifily compare runs/run_20260101_120000_abcdef runs/run_20260102_090000_fedcba
  verifily compare baseline candidate --slice-by source,source*length
  verifily compare baseline candidate --fixed 5 --broken 5
  verifily compare baseline candidate other --output comparison.csv
  verifily compare baseline candidate --format markdown`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usage(fmt.Sprintf("needs two runs or more, not %d", len(args)), "name the base first: verifily compare BASE RUN...")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			changed := cmd.Flags().Changed
			if err := notEmpty(cmd, "runs-dir", "metric", "slice-by", "format", "output"); err != nil {
				return err
			}
			for _, f := range []struct {
				name  string
				value whole
				least whole
			}{{"resamples", resamples, 100}, {"min-slice", minSlice, 1}, {"fixed", fixed, 0}, {"broken", broken, 0}} {
				if changed(f.name) && f.value < f.least {
					return usage(fmt.Sprintf("--%s: must be at least %d, not %d", f.name, f.least, f.value), "")
				}
			}
			if changed("alpha") && !(opt.Alpha > 0 && opt.Alpha < 0.5) {
				return usage(fmt.Sprintf("--alpha: must be between 0 and 0.5, not %v", opt.Alpha), "0.05 is customary")
			}
			if changed("seed") {
				n := int64(seed)
				opt.Seed = &n
			}
			opt.Runs, opt.Resamples, opt.MinSlice = args, int(resamples), int(minSlice)
			out.Fixed, out.Broken = int(fixed), int(broken)
			if err := chooseFormat(&out, asJSON, changed("format")); err != nil {
				return err
			}
			return a.runCompare(cmd, opt, out)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&opt.RunsDir, "runs-dir", "runs", "`FOLDER` where ids and names are looked up")
	flags.StringVar(&opt.Metric, "metric", "", "`METRIC` to compare slices by (default: f1 or accuracy)")
	flags.StringSliceVar(&opt.SliceBy, "slice-by", nil, "`TAGS` to slice by, separated by commas; a*b crosses two (default: as the runs were)")
	flags.StringVar(&out.Format, "format", "", "`FORMAT`: table, json, csv or markdown (default: as --output ends, else table)")
	flags.StringVar(&out.File, "output", "", "`FILE` to write as well; the table is still printed")
	flags.Var(&fixed, "fixed", "`NUMBER` of examples to list that a run answers right and the base does not")
	flags.Var(&broken, "broken", "`NUMBER` of examples to list that the base answers right and a run does not")
	flags.Var(&resamples, "resamples", "`NUMBER` of resamples of a bootstrap (default 10000)")
	flags.Var(&seed, "seed", "`SEED` of the resamples (default 42)")
	flags.Float64Var(&opt.Alpha, "alpha", 0.05, "`LEVEL` of the tests")
	flags.Var(&minSlice, "min-slice", "`NUMBER` of examples under which a slice is not tested (default: as the base says)")
	flags.BoolVar(&asJSON, "json", false, "print one JSON document (see verifily help json)")
	return cmd
}

// chooseFormat settles the format: as asked for, else as the name of the file
// says, else a table.
func chooseFormat(out *show.Comparison, asJSON, asked bool) error {
	known := show.CompareFormats()
	switch {
	case asked && !slices.Contains(known, out.Format):
		return usage(fmt.Sprintf("--format: must be table, json, csv or markdown, not %q", out.Format), "")
	case asJSON && asked && out.Format != show.AsJSON && out.File == "":
		return usage("--json and --format "+out.Format+" exclude each other", "leave one of them out")
	case asked:
		return nil
	}
	out.Format = show.Table
	switch strings.ToLower(filepath.Ext(out.File)) {
	case ".json":
		out.Format = show.AsJSON
	case ".csv":
		out.Format = show.CSV
	case ".md", ".markdown":
		out.Format = show.Markdown
	}
	if asJSON && out.File == "" {
		out.Format = show.AsJSON
	}
	return nil
}

func (a *app) runCompare(cmd *cobra.Command, opt core.CompareOptions, out show.Comparison) error {
	defer a.warnLostOutput()
	if err := refuseOutput("compare", out.File); err != nil {
		return err
	}
	a.log.Info("comparing", "runs", opt.Runs, "runs_dir", opt.RunsDir)
	var err error
	if out.Result, err = core.Compare(cmd.Context(), opt); err != nil {
		return err
	}
	if out.File != "" {
		err := save("compare", out.File, func(w io.Writer) error { return out.Write(w, a.con.Width()) })
		if err != nil {
			return err
		}
		out.Format = show.Table
	}
	return a.printer.Compared(out)
}
