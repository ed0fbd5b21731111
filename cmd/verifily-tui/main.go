// Command verifily-tui is the workbench: a screen on the runs of a folder, and
// with --batch a plan run without a screen.
//
// Results and progress go to standard output, errors to standard error.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/verifily/verifily-tui/cmd/internal/batches"
	"github.com/verifily/verifily-tui/cmd/internal/commands"
	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/batch"
)

// jobFlag makes the program carry out one job of a batch that another process
// of it runs.
const jobFlag = "--batch-job"

func main() {
	if len(os.Args) == 2 && os.Args[1] == jobFlag {
		os.Exit(serveJob())
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

const about = `verifily-tui is the workbench for training, evaluating and comparing models.
It opens a screen on the runs of a folder; ? on the screen lists the keys.

With --batch it runs the jobs of a plan without a screen. The same command
started again goes on where it stopped. Ctrl-C and SIGTERM save a checkpoint of
every job and end; a second one ends at once; SIGUSR1 saves checkpoints and goes
on; a closed terminal does not stop a batch.

Exit codes of a batch: 0 all jobs complete, and the decision is SHIP or none was
asked; 1 DONT_SHIP; 2 INVESTIGATE; 3 the run contract failed; 4 the plan is wrong
or a tool failed; 5 a job failed; 130 interrupted.`

const planHelp = `A plan lists jobs. What is wrong with one is told before anything starts.

  runs_dir: runs/                # folder of the run directories and of the batch
  defaults:                      # of every job
    config: train.yaml
    set: {training.num_epochs: 5}
    eval: {slice_by: [source]}   # also metrics, test_data, hard_examples, batch_size
  jobs:
    - name: human                # unique; the name of the run
      set: {data_paths.train: data/human.jsonl}
    - name: sweep                # a job for each combination: sweep-1, sweep-2, ...
      matrix: {training.learning_rate: [1e-4, 2e-4], seed: [1, 2, 3]}
      include: [{training.learning_rate: 1e-3, seed: 1}]
      exclude: [{training.learning_rate: 2e-4, seed: 3}]
    - name: adapter              # starts from the run of another job
      set: {base_model: "job:human"}
    - name: check                # evaluates a job, or a run by path, id or name
      run: human
      eval: {test_data: data/hard.jsonl}
      after: [sweep]             # starts when these are complete
  compare: {metric: f1, slice_by: source, baseline: human}
  decide: {policy: ship.yaml, baseline: human, job: adapter}
  slots: {cpu: 1, cuda: all}     # jobs at once; those on the CPU share its cores
  stop: {on_failure: false, after: 8h, min_free_disk: 5GB}
  retries: 2                     # after failures that can pass

Keys under set, matrix, include and exclude are those of train.yaml, dotted or
nested. A train.yaml is a plan of one job. Paths are relative to the current
folder.

Without decide.job every job is judged, and the verdict of the best by
compare.metric is the batch's, of equal ones that of the first. A failure that
can pass is a process that died, whose job goes on from its checkpoint, and one
that ran out of memory, whose job starts again with a smaller batch and as many
rows a step if that needs less.`

// run runs the command line and returns its exit code.
func run(args []string, stdout, stderr io.Writer) int {
	code := 0
	var opt batchOptions
	var screen screenOptions
	cmd := &cobra.Command{
		Use:   "verifily-tui",
		Short: "The workbench",
		Long:  about,
		Example: `  verifily-tui --runs-dir runs/
  verifily-tui --batch plan.yaml --dry-run
  verifily-tui --batch plan.yaml
  verifily-tui --batch train.yaml --json
  verifily-tui --batch plan.yaml --detach
  verifily batch follow`,
		Args:              cobra.NoArgs,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Version:           core.Version(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opt.plan == "" {
				if cmd.Flags().Changed("batch") {
					return errors.New("--batch needs the path of a plan")
				}
				for _, name := range batchOnly {
					if cmd.Flags().Changed(name) {
						return fmt.Errorf("--%s needs --batch PLAN", name)
					}
				}
				code = openScreen(screen, stderr)
				return nil
			}
			if opt.detach && !opt.dryRun && os.Getenv(detachedVariable) == "" {
				code = detach(args, stdout, stderr)
				return nil
			}
			code = runBatch(opt, stdout, stderr)
			return nil
		},
	}
	opt.flags(cmd.Flags())
	screen.flags(cmd.Flags())
	cmd.AddCommand(batches.Command(stdout, &code), &cobra.Command{Use: "plan", Short: "How a plan is written", Long: planHelp},
		&cobra.Command{Use: "json", Short: "What --json prints", Long: batches.JSONHelp})
	cmd.SetHelpCommand(commands.Help())
	cmd.SetVersionTemplate("verifily-tui {{.Version}}\n")
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	if err := cmd.Execute(); err != nil {
		report(stderr, err)
		return batch.ExitToolError
	}
	return code
}
