package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/dataset/artifact"
)

func (a *app) ingest() *cobra.Command {
	opt := artifact.Options{Map: map[string]string{}, Tags: map[string]string{}, Version: core.Version()}
	cmd := &cobra.Command{
		Use:   "ingest FILE",
		Short: "Make a data set artifact of a CSV or JSONL file",
		Long: `Make a data set artifact of a CSV or JSONL file: a folder with dataset.jsonl,
manifest.json, report.json and hashes.json, which verifily retrain takes. The
folder is whole or absent.

Columns are told by their names: instruction, input and output; question,
answer and context; text and label. --map names others, and tags.KEY makes a tag
of a column; the columns that are left out are named. Rows without the required
fields are dropped and counted, or refused with --strict.`,
		Example: `  verifily ingest questions.csv --schema sft --out data/questions
  verifily ingest faq.csv --schema sft --out data/faq --map question=subject,answer=body,tags.lang=language
  verifily ingest reviews.jsonl --schema classification --out data/reviews --tag source=web --strict`,
		Args: func(_ *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				return usage("needs a file", "name it: verifily ingest FILE --schema sft --out FOLDER")
			case 1:
				return nil
			}
			return usage(fmt.Sprintf("unexpected argument %q", args[1]), "ingest one file at a time")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := notEmpty(cmd, "out", "schema", "map", "tag", "format", "delimiter"); err != nil {
				return err
			}
			opt.Input = args[0]
			switch schemas := []string{dataset.SFT, dataset.Classification}; {
			case opt.OutDir == "":
				return usage("--out is required", "name the folder of the artifact: --out FOLDER")
			case opt.Schema == "":
				return usage("--schema is required", "name what the rows are: --schema sft or --schema classification")
			case !slices.Contains(schemas, opt.Schema):
				return usage(fmt.Sprintf("--schema: must be %s, not %q", strings.Join(schemas, " or "), opt.Schema), "")
			}
			return a.runIngest(cmd.Context(), opt)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&opt.OutDir, "out", "", "`FOLDER` to make")
	flags.StringVar(&opt.Schema, "schema", "", "`SCHEMA` of the rows: sft or classification")
	flags.Var(pairs{opt.Map, ","}, "map", "`FIELD=COLUMN,...` where the fields come from")
	flags.Var(pairs{opt.Tags, ""}, "tag", "`KEY=VALUE` to tag every row with; may be repeated")
	flags.StringVar(&opt.Format, "format", "", "`FORMAT` of the file: csv or jsonl (default: by its name)")
	flags.StringVar(&opt.Delimiter, "delimiter", "", "`CHARACTER` between the cells of a CSV file, or tab (default: told by the first rows)")
	flags.BoolVar(&opt.Strict, "strict", false, "refuse the file when a row cannot be used")
	flags.BoolVar(&opt.Overwrite, "overwrite", false, "replace an artifact that is there")
	flags.Bool("json", false, "print one JSON document (see verifily help json)")
	return cmd
}

func (a *app) runIngest(ctx context.Context, opt artifact.Options) error {
	defer a.warnLostOutput()
	a.log.Info("ingesting", "file", opt.Input, "out", opt.OutDir)
	summary, err := artifact.Ingest(ctx, opt)
	if err != nil {
		return err
	}
	return a.printer.Ingested(summary)
}
