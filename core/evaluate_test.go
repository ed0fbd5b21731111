package core_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/runs"
)

func evaluate(t *testing.T, opt core.EvaluateOptions) *core.EvalResult {
	t.Helper()
	res, err := core.Evaluate(context.Background(), opt)
	require.NoError(t, err)
	return res
}

// TestEvaluationPlaces: eval/ of a run holds the evaluation of its own data,
// and nothing else in any run can be written.
func TestEvaluationPlaces(t *testing.T) {
	cfg := smallConfig(t, "sft", true, set("training.num_epochs", 1))
	run := mustTrain(t, core.TrainOptions{Config: cfg})
	second := mustTrain(t, core.TrainOptions{Config: cfg})
	own, err := run.EvalResults()
	require.NoError(t, err)

	t.Run("the run's own data", func(t *testing.T) {
		data, err := os.ReadFile(*cfg.DataPaths.Test)
		require.NoError(t, err)
		copied := write(t, filepath.Join(t.TempDir(), "copy.jsonl"), string(data))
		for _, path := range []string{"", *cfg.DataPaths.Test, copied} {
			assert.Equal(t, filepath.Join(run.Dir(), "eval"), evaluate(t, core.EvaluateOptions{RunPath: run.Dir(), TestData: path}).Dir)
		}
	})
	t.Run("other data", func(t *testing.T) {
		other := rows(t, "sft", ".some other", 7, 1)
		var said []string
		res := evaluate(t, core.EvaluateOptions{RunPath: run.Dir(), TestData: other, Events: func(ev engine.Event) {
			if l, ok := ev.(engine.LogEvent); ok {
				said = append(said, l.Message)
			}
		}})
		assert.Regexp(t, `/eval/some_other-[0-9a-f]{8}$`, res.Dir)
		assert.Equal(t, 7, res.NumExamples)
		require.Len(t, said, 1)
		assert.Contains(t, said[0], "eval/some_other-")
		still, err := run.EvalResults()
		require.NoError(t, err)
		assert.Equal(t, 20, still.NumExamples)
		assert.Equal(t, own.Overall, still.Overall)
		again := evaluate(t, core.EvaluateOptions{RunPath: run.Dir(), TestData: other})
		assert.Equal(t, res.Dir, again.Dir)
		checkHashes(t, run)
	})
	t.Run("own data that has changed", func(t *testing.T) {
		defer appendTo(t, *cfg.DataPaths.Test)()
		var warned []string
		res := evaluate(t, core.EvaluateOptions{RunPath: run.Dir(), Events: func(ev engine.Event) {
			if l, ok := ev.(engine.LogEvent); ok && l.Warning {
				warned = append(warned, l.Message)
			}
		}})
		assert.NotEqual(t, filepath.Join(run.Dir(), "eval"), res.Dir)
		require.Len(t, warned, 1)
		assert.Contains(t, warned[0], "has changed")
	})
	t.Run("refused", func(t *testing.T) {
		link := filepath.Join(t.TempDir(), "link")
		require.NoError(t, os.Symlink(run.Dir(), link))
		for _, out := range []string{
			run.Dir(), filepath.Join(run.Dir(), "model"), filepath.Join(run.Dir(), "evaluation"), filepath.Join(run.Dir(), "eval", ".."),
			second.Dir(), filepath.Join(second.Dir(), "eval"), filepath.Join(second.Dir(), "new", "folder"), filepath.Join(link, "adapter"),
		} {
			_, err := core.Evaluate(context.Background(), core.EvaluateOptions{RunPath: run.Dir(), OutputDir: out})
			assert.Equal(t, "config", kind(err), out)
			assert.NotEmpty(t, hint(err))
		}
		checkHashes(t, second)
		assert.NoDirExists(t, filepath.Join(second.Dir(), "new"))
		_, err := core.Evaluate(context.Background(), core.EvaluateOptions{RunPath: run.Dir(), OutputDir: filepath.Join(*cfg.DataPaths.Test, "x")})
		assert.Equal(t, "eval", kind(err), "%v", err)
	})
	t.Run("allowed", func(t *testing.T) {
		link := filepath.Join(t.TempDir(), "link")
		require.NoError(t, os.Symlink(run.Dir(), link))
		for _, out := range []string{filepath.Join(run.Dir(), "eval", "mine", "too"), filepath.Join(link, "eval", "linked"),
			filepath.Join(run.Dir(), "eval"), filepath.Join(filepath.Dir(run.Dir()), "beside"), filepath.Join(t.TempDir(), "run_meta")} {
			evaluate(t, core.EvaluateOptions{RunPath: run.Dir(), OutputDir: out})
			assert.FileExists(t, filepath.Join(out, "eval_results.json"))
		}
		checkHashes(t, run)
		h, err := run.Hashes()
		require.NoError(t, err)
		assert.Contains(t, h.Files, "eval/mine/too/eval_results.json")
		assert.Contains(t, h.Files, "eval/linked/predictions.jsonl")
	})
}

// TestRefusedEvaluationLeavesNothing: not even the folder it was to go to.
func TestRefusedEvaluationLeavesNothing(t *testing.T) {
	run := mustTrain(t, core.TrainOptions{Config: smallConfig(t, "sft", true, set("training.num_epochs", 1), set("eval.enabled", false))})
	out := filepath.Join(t.TempDir(), "a", "b")
	_, err := core.Evaluate(context.Background(), core.EvaluateOptions{RunPath: run.Dir(), OutputDir: out, Device: "cuda"})
	require.Equal(t, "config", kind(err), "%v", err)
	assert.Contains(t, err.Error(), "CPU")
	assert.NoDirExists(t, filepath.Dir(out))
	_, err = core.Evaluate(context.Background(), core.EvaluateOptions{RunPath: run.Dir(), Device: "mps"})
	require.Equal(t, "config", kind(err))
	assert.NoDirExists(t, filepath.Join(run.Dir(), "eval"))

	for _, metric := range []string{"gold_set_accuracy", "format_compliance"} {
		_, err = core.Evaluate(context.Background(), core.EvaluateOptions{RunPath: run.Dir(), Metrics: []string{metric}})
		require.Equal(t, "config", kind(err))
		assert.Contains(t, hint(err), "a setting of the run's configuration", metric)
	}
}

// TestDamagedWeightsAreNotEvaluated: one flipped bit is told by the file's name.
func TestDamagedWeightsAreNotEvaluated(t *testing.T) {
	for _, c := range []struct {
		lora bool
		name string
	}{{true, "adapter/adapter_model.safetensors"}, {false, "model/model.safetensors"}, {true, "tokenizer/tokenizer.json"}} {
		run := mustTrain(t, core.TrainOptions{Config: smallConfig(t, "sft", c.lora, set("training.num_epochs", 1))})
		path := filepath.Join(run.Dir(), c.name)
		flip(t, path)
		_, err := core.Evaluate(context.Background(), core.EvaluateOptions{RunPath: run.Dir()})
		require.Equal(t, "eval", kind(err), c.name)
		assert.Contains(t, err.Error(), path)
		assert.NotEmpty(t, hint(err))
		require.NoError(t, os.Remove(path))
		_, err = core.Evaluate(context.Background(), core.EvaluateOptions{RunPath: run.Dir()})
		require.Equal(t, "eval", kind(err), c.name)
		assert.Contains(t, err.Error(), path)
	}
}

// TestWeightsCutShortEndTheEvaluation: a file that others cut short while it is in
// use ends the evaluation, not the program.
func TestWeightsCutShortEndTheEvaluation(t *testing.T) {
	run := mustTrain(t, core.TrainOptions{Config: smallConfig(t, "sft", false, set("training.num_epochs", 1))})
	var text strings.Builder
	for i := range 600 { // those answered later are longer, which is measured before
		fmt.Fprintf(&text, "{\"instruction\": %q, \"output\": \"ok\"}\n", strings.Repeat("count ", 1+i/100))
	}
	_, err := core.Evaluate(context.Background(), core.EvaluateOptions{RunPath: run.Dir(), MaxNewTokens: 2,
		TestData: write(t, filepath.Join(t.TempDir(), "test.jsonl"), text.String()),
		Events: func(ev engine.Event) {
			if e, ok := ev.(engine.PredictEvent); ok && e.Done == 256 {
				require.NoError(t, os.Truncate(filepath.Join(run.Dir(), "model", "model.safetensors"), 4096))
			}
		}})
	require.Equal(t, "eval", kind(err))
	assert.Contains(t, err.Error(), "the engine failed")
}

// TestEvaluationOfUnfinishedRuns: the message knows a killed run from one that
// is being trained.
func TestEvaluationOfUnfinishedRuns(t *testing.T) {
	run := interruptedRun(t, smallConfig(t, "sft", true))
	message := func() error {
		_, err := core.Evaluate(context.Background(), core.EvaluateOptions{RunPath: run.Dir()})
		require.Equal(t, "eval", kind(err))
		return err
	}
	edit(t, filepath.Join(run.Dir(), "run_meta.json"), "status", "running")
	assert.Contains(t, message().Error(), "it is interrupted")
	assert.Contains(t, hint(message()), "--resume")
	w, err := runs.Reopen(run.Dir())
	require.NoError(t, err)
	assert.Contains(t, message().Error(), "it is running")
	assert.Contains(t, hint(message()), "wait")
	require.NoError(t, w.Close())
	_, err = core.Evaluate(context.Background(), core.EvaluateOptions{RunPath: "no/such/run"})
	assert.Equal(t, "open run: no/such/run: no such file or directory", err.Error())
}

// TestEvaluationHasEvidence: every number with its interval, in the result and
// in the file.
func TestEvaluationHasEvidence(t *testing.T) {
	var told *core.EvalResult
	run := mustTrain(t, core.TrainOptions{Config: smallConfig(t, "sft", true, set("eval.slice_by_tags", []any{"odd", "half"})),
		Evaluated: func(res *core.EvalResult) { told = res }})
	require.NotNil(t, told)
	written, err := run.EvalResults()
	require.NoError(t, err)
	assert.Equal(t, told.Intervals, written.Intervals)
	assert.Equal(t, told.SliceIntervals, written.SliceIntervals)
	assert.Regexp(t, "^sha256:[0-9a-f]{64}$", written.TestDataHash)
	for _, name := range []string{"eval_loss", "perplexity", "f1", "exact_match"} {
		i, ok := written.Intervals[name]
		require.True(t, ok, name)
		assert.Equal(t, 20, i.N)
		assert.True(t, i.Low <= written.Overall[name] && written.Overall[name] <= i.High, "%s: %v in %v", name, written.Overall[name], i)
		assert.EqualValues(t, told.Totals.Intervals[name], i)
	}
	assert.Equal(t, 10, written.SliceIntervals["odd"]["1"]["exact_match"].N)
	assert.Equal(t, []string{"odd", "half"}, told.SliceBy)
	require.NotEmpty(t, told.Sliced.Rows("f1", 0)[0].Intervals)

	hard, err := run.HardExamples()
	require.NoError(t, err)
	require.NotEmpty(t, hard)
	for _, h := range hard {
		assert.NotNil(t, h.Loss)
		assert.Equal(t, map[string]string{"odd": h.Tags["odd"], "half": h.Tags["half"]}, h.Slices)
	}
	require.Len(t, told.Lift, 4)
	assert.Equal(t, metrics.HardSummary(told.Hard, predictions(t, run), told.SliceBy), told.Lift)

	res := evaluate(t, core.EvaluateOptions{RunPath: mustTrain(t, core.TrainOptions{Config: smallConfig(t, "classification", true)}).Dir(),
		Metrics: []string{"accuracy", "recall_per_class"}, OutputDir: t.TempDir()})
	assert.Equal(t, 20, res.Intervals["accuracy"].N)
	assert.Contains(t, res.PerClassIntervals["recall_per_class"], "low")
	assert.NotNil(t, res.Hard[0].Confidence)
}

func predictions(t *testing.T, run *runs.Run) []runs.Prediction {
	t.Helper()
	var out []runs.Prediction
	for p, err := range run.Predictions() {
		require.NoError(t, err)
		out = append(out, p)
	}
	return out
}

// TestLossesOfARun: eval_loss in run_meta.json is the loss on validation data,
// as in the log, and test_loss that on test data.
func TestLossesOfARun(t *testing.T) {
	short := set("training.num_epochs", 1)
	for _, c := range []struct {
		name              string
		unset             []string
		evalLoss, testing bool
	}{
		{"validation and test", nil, true, true},
		{"validation only", []string{"data_paths.test"}, true, false},
		{"test only", []string{"data_paths.val"}, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := smallConfig(t, "sft", true, short)
			opt := core.TrainOptions{Config: cfg}
			for _, key := range c.unset {
				opt.Overrides = append(opt.Overrides, set(key, nil))
			}
			run := mustTrain(t, opt)
			got := metaOf(t, run).Metrics
			results, err := run.EvalResults()
			require.NoError(t, err)
			test, has := got["test_loss"]
			assert.Equal(t, c.testing, has)
			if c.testing {
				assert.Equal(t, results.Overall["eval_loss"], test)
			}
			if !c.evalLoss {
				assert.Equal(t, test, got["eval_loss"])
				return
			}
			log, err := run.Log()
			require.NoError(t, err)
			var last float64
			for _, l := range log.Lines {
				if l.EvalLoss != nil {
					last = *l.EvalLoss
				}
			}
			assert.Equal(t, last, got["eval_loss"])
			assert.Contains(t, got, "perplexity")
		})
	}
}

// A misspelt tag must not take the place of the run's slices. Where no row has
// any tag there is nothing to be misspelt.
func TestUnknownTagsInAnEvaluation(t *testing.T) {
	run := mustTrain(t, core.TrainOptions{Config: smallConfig(t, "sft", true, set("training.num_epochs", 1))})
	folder := func() map[string]string {
		out := map[string]string{}
		entries, err := os.ReadDir(filepath.Join(run.Dir(), "eval"))
		require.NoError(t, err)
		for _, e := range entries {
			data, err := os.ReadFile(filepath.Join(run.Dir(), "eval", e.Name()))
			require.NoError(t, err)
			out[e.Name()] = string(data)
		}
		return out
	}
	before := folder()
	for slice, want := range map[string]string{
		"haf":      `--slice-by: no row has the tag "haf"; the data has half, odd (did you mean half?)`,
		"half*od":  `--slice-by: no row has the tag "od"; the data has half, odd (did you mean odd?)`,
		"language": `--slice-by: no row has the tag "language"; the data has half, odd`,
	} {
		for _, out := range []string{"", filepath.Join(t.TempDir(), "out")} {
			_, err := core.Evaluate(context.Background(), core.EvaluateOptions{RunPath: run.Dir(), SliceBy: []string{"odd", slice}, OutputDir: out})
			var configError *core.ConfigError
			require.ErrorAs(t, err, &configError)
			assert.Regexp(t, regexp.QuoteMeta(want)+"$", err.Error())
			if out != "" {
				assert.NoDirExists(t, out)
			}
		}
	}
	assert.Equal(t, before, folder())

	bare := write(t, filepath.Join(t.TempDir(), "bare.jsonl"), `{"instruction": "a", "output": "b"}`+"\n")
	var warned []string
	res := evaluate(t, core.EvaluateOptions{RunPath: run.Dir(), TestData: bare, SliceBy: []string{"half"}, Events: func(ev engine.Event) {
		if l, ok := ev.(engine.LogEvent); ok && l.Warning {
			warned = append(warned, l.Message)
		}
	}})
	assert.Equal(t, []string{`no row has the tag "half"; the data has no tags`}, warned)
	assert.Contains(t, res.Slices["half"], runs.Untagged)
}
