package show_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/console"
	"github.com/verifily/verifily-tui/cmd/verifily/internal/show"
	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/core/stats"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares what was printed with testdata/NAME.golden.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

// transcript is what a printer writes: the output, then the errors.
func transcript(width int, asJSON bool, do func(show.Printer)) (out, errs string) {
	var o, e bytes.Buffer
	con := console.New(&o, &e, console.Options{Columns: func() int { return width }})
	p := show.Lines(con, false)
	if asJSON {
		p = show.JSON(con)
	}
	do(p)
	return o.String(), e.String()
}

func ptr[T any](v T) *T { return &v }

func sftResult() show.Result {
	slice := func(n int, f1, loss float64) map[string]float64 {
		return map[string]float64{"n": float64(n), "f1": f1, "exact_match": f1 / 2, "eval_loss": loss, "perplexity": math.Exp(loss)}
	}
	r := show.Result{
		Run: show.Run{Dir: "runs/run_20260101_120000_abcdef", Meta: runs.Meta{RunID: "run_20260101_120000_abcdef", Task: "sft",
			Status: runs.StatusCompleted, ArtifactPath: "adapter"}},
		Summary: &runs.Summary{TotalSteps: 1234, TotalEpochs: 3, FinalTrainLoss: ptr(0.4321), BestEvalLoss: ptr(0.5),
			BestEvalStep: ptr(1200), TokensProcessed: 12345678, WallTimeSeconds: 72},
		Eval: &show.Evaluation{Dir: "runs/run_20260101_120000_abcdef/eval", MinSlice: 30, Results: runs.EvalResults{
			NumExamples: 1100,
			Overall:     map[string]float64{"f1": 0.61, "exact_match": 0.25, "eval_loss": 0.52, "perplexity": 1.682},
			Slices: map[string]map[string]map[string]float64{
				"source": {"human": slice(600, 0.7, 0.4), "web": slice(400, 0.5, 0.6), "_untagged": slice(88, 0.6, 0.5), "forum": slice(12, 0.1, 0.9)},
				"length": {"short": slice(1100, 0.61, 0.52)},
			},
			TestDataPath: "data/test.jsonl",
			Intervals: map[string]runs.Interval{"f1": {Low: 0.5871, High: 0.6329, N: 1100, Method: "bootstrap"},
				"exact_match": {Low: 0.2253, High: 0.2764, N: 1100, Method: "wilson"}, "eval_loss": {Low: 0.5, High: 0.54, N: 1097, Method: "bootstrap"}},
			SliceIntervals: map[string]map[string]map[string]runs.Interval{"source": {"human": {"f1": {Low: 0.664, High: 0.736, N: 600}},
				"web": {"f1": {Low: 0.45, High: 0.55, N: 400}}}},
		}, SliceBy: []string{"source", "length"}, Missing: map[string]int{"eval_loss": 3}},
	}
	for i := range 12 {
		r.Eval.Hard = append(r.Eval.Hard, runs.HardExample{Rank: i + 1, PrimaryMetricName: "f1", PrimaryMetric: float64(i) / 20,
			Input: fmt.Sprint("Pronounce the word number ", i), Reference: "AE1 P AH0 L", Prediction: "AE1 B AH0 L IH0",
			Tags: map[string]string{"source": "web", "length": fmt.Sprint(i)}})
	}
	r.Eval.Hard[2].Prediction = ""
	r.Eval.Lift = []metrics.TagLift{
		{Key: "source", Value: "web", Hard: 12, N: 400, Lift: 2.75, Interval: stats.Interval{Low: 1.6, High: 4.1, N: 1100}},
		{Key: "source", Value: "human", Hard: 0, N: 600, Interval: stats.Interval{Low: 0, High: 0.5, N: 1100}}}
	return r
}

func classificationResult() show.Result {
	r := sftResult()
	r.Run.Meta.Task = "classification"
	r.Summary = nil
	r.Eval.Missing, r.Eval.Lift = nil, nil
	r.Eval.Results = runs.EvalResults{NumExamples: 40, Overall: map[string]float64{"accuracy": 0.9, "macro_f1": 0.85},
		Intervals:         map[string]runs.Interval{"accuracy": {Low: 0.7695, High: 0.9604, N: 40, Method: "wilson"}},
		PerClassIntervals: map[string]map[string]runs.Interval{"recall_per_class": {"01": {Low: 0.4, High: 0.9, N: 8, Method: "wilson"}}},
		PerClass: map[string]map[string]float64{
			"precision_per_class": {"10": 0.8, "01": 1},
			"recall_per_class":    {"10": 1, "01": 0.75},
		}}
	r.Eval.Hard = []runs.HardExample{{Rank: 1, PrimaryMetricName: "confidence", PrimaryMetric: 0.0123, Input: "apple", Reference: "10", Prediction: "01"}}
	return r
}

// hostileResult has text in every place that would take over a terminal.
func hostileResult() show.Result {
	const evil = "\x1b[2J\u202eevil\u200b\n\x07"
	r := sftResult()
	long := evil + strings.Repeat("long ", 100)
	r.Run.Dir = "runs/" + evil
	r.Eval.Dir = r.Run.Dir + "/eval"
	r.Run.Meta.ArtifactPath = evil
	r.Eval.Results.Overall = map[string]float64{"f1": 0.5, evil: 1, "loss": math.Inf(1)}
	r.Eval.Results.NonFinite = runs.NonFinite{"perplexity": "nan", evil + "2": evil}
	r.Eval.Results.PerClass = map[string]map[string]float64{evil: {long: 0.5}}
	r.Eval.Results.TestDataPath = evil
	r.Eval.Results.Intervals = map[string]runs.Interval{"f1": {Low: math.Inf(-1), High: math.Inf(1), Method: evil}}
	r.Eval.SliceBy = []string{evil, "", long, long}
	r.Eval.Lift = []metrics.TagLift{{Key: long, Value: evil, Lift: math.Inf(1), Interval: stats.Interval{Low: 2, High: math.Inf(1)}}}
	slices := map[string]map[string]float64{}
	for i := range 15 {
		slices[fmt.Sprint(i, long)] = map[string]float64{"n": 50, "f1": 0.5, evil: 1}
	}
	r.Eval.Results.Slices = map[string]map[string]map[string]float64{long: slices, "": {"": {"n": 1}}}
	r.Eval.Hard = []runs.HardExample{{Rank: 1, PrimaryMetricName: long, PrimaryMetric: math.NaN(), Input: long, Reference: long, Prediction: long,
		Tags: map[string]string{long: long}}, {Rank: 2, Input: evil, Tags: map[string]string{long: long}}}
	return r
}

func plan() engine.Plan {
	return engine.Plan{Engine: "native", Device: "cpu", TrainRows: 7000, ValRows: 500, TestRows: 500, TrainTokens: 123456, LabelTokens: 45678,
		LongestSequence: 48, TruncatedRows: 2, StepsPerEpoch: 219, TotalSteps: 657, WarmupSteps: 33, VocabSize: 420, TrainableParams: 612345,
		MemoryBytes: 64_500_000, TrainingBytes: 64_500_000, Seconds: 72.3, Warnings: []string{"2 rows are longer than \x1b[31mtraining.max_seq_length"}}
}

func TestResult(t *testing.T) {
	for name, r := range map[string]show.Result{"sft": sftResult(), "classification": classificationResult()} {
		for _, width := range []int{50, 80, 120} {
			out, errs := transcript(width, false, func(p show.Printer) { p.Finished(r) })
			golden(t, fmt.Sprintf("%s-%d", name, width), out)
			assert.Empty(t, errs)
		}
		out, _ := transcript(80, true, func(p show.Printer) { p.Finished(r) })
		golden(t, name+"-json", out)
	}
}

func TestResultWithoutEvaluation(t *testing.T) {
	r := sftResult()
	r.Eval = nil
	r.Run.Meta.Metrics = map[string]float64{"eval_loss": 0.61}
	out, _ := transcript(80, false, func(p show.Printer) { p.Finished(r) })
	golden(t, "unevaluated-80", out)
}

func TestPlan(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		out, _ := transcript(80, asJSON, func(p show.Printer) { p.Planned(plan()) })
		golden(t, map[bool]string{false: "plan-80", true: "plan-json"}[asJSON], out)
	}
}

func events(p show.Printer) {
	p.Started(show.Run{Dir: "runs/run_1", Meta: runs.Meta{RunID: "run_1", Task: "sft", BaseModel: "builtin:nano", Seed: "42"}})
	p.Event(engine.LogEvent{Message: "builtin:nano: 1 parameter\n"})
	p.Event(engine.LogEvent{Warning: true, Message: "the \x1b[5menvironment differs"})
	p.Event(engine.StepEvent{Step: 1, TotalSteps: 20, Epoch: 0.1, Loss: 2, LearningRate: 1e-4, GradNorm: 1.5, Tokens: 100, TokensPerSecond: 1000})
	p.Event(engine.StepEvent{Step: 20, TotalSteps: 20, Epoch: 2, Loss: math.NaN(), LearningRate: 2e-4, GradNorm: math.Inf(1), Tokens: 200,
		TokensPerSecond: 2000, Logged: true, MeanLoss: 1.75})
	p.Event(engine.EvalEvent{Step: 20, Epoch: 2, Loss: 1.5, Best: true})
	p.Event(engine.EvalEvent{Step: 20, Epoch: 2, Loss: math.Inf(1)})
	p.Event(engine.CheckpointEvent{Step: 20, Path: "checkpoints/checkpoint-20"})
	p.Event(engine.PredictEvent{Done: 10, Total: 40})
	p.Event(engine.PredictEvent{Done: 40, Total: 40})
	p.Event(engine.FinishedEvent{})
}

func TestEvents(t *testing.T) {
	out, _ := transcript(80, false, events)
	golden(t, "events", out)
	out, _ = transcript(80, true, events)
	golden(t, "events-json", out)
}

func TestVerbosePrintsEveryStep(t *testing.T) {
	var quiet, verbose bytes.Buffer
	events(show.Lines(console.New(&quiet, &quiet, console.Options{}), false))
	events(show.Lines(console.New(&verbose, &verbose, console.Options{}), true))
	assert.NotContains(t, quiet.String(), " 1/20")
	assert.Contains(t, verbose.String(), "step  1/20  epoch 0.10  loss 2.0000")
}

func TestFailures(t *testing.T) {
	two := &core.ConfigError{Detail: fault.Detail{Op: "load config", Path: "train.yaml", Reason: "2 problems", Hint: "see the list",
		Problems: []fault.Problem{
			{Path: "train.yaml", Line: 3, Key: "training.learning_rat", Reason: "unknown key", Hint: "did you mean training.learning_rate?"},
			{Key: "--lr", Reason: "must be above 0,\n not \x1b[31m-1"},
		}}}
	for name, f := range map[string]show.Failure{
		"config":      {Err: two, ExitCode: 1},
		"joined":      {Err: errors.Join(two, errors.New("remove run: disk is gone")), ExitCode: 1},
		"wrapped":     {Err: fmt.Errorf("while resuming: %w", two), ExitCode: 1},
		"interrupted": {Err: &core.Interrupted{RunDir: "/x/runs/run_1", Step: 3, Total: 9, Err: context.Canceled}, ExitCode: 130, RunDir: "runs/run_1", Resume: "verifily train --resume runs/run_1"},
		"unknown":     {Err: errors.New("\x1b]0;title\x07"), ExitCode: 1},
	} {
		out, errs := transcript(80, false, func(p show.Printer) { p.Failed(f) })
		assert.Empty(t, out, "errors are no output")
		golden(t, "failure-"+name, errs)
		out, again := transcript(80, true, func(p show.Printer) { p.Failed(f) })
		golden(t, "failure-"+name+"-json", out)
		assert.Equal(t, errs, again, "the text is on the error stream as well")
	}
}

func TestErrorTypes(t *testing.T) {
	for want, err := range map[string]error{
		"ConfigError": &core.ConfigError{}, "DataError": &core.DataError{}, "TrainingError": &core.TrainingError{},
		"EvalError": fmt.Errorf("x: %w", &core.EvalError{}), "ReproduceError": &core.ReproduceError{}, "Error": errors.New("x"),
		// The outermost type counts.
		"TrainingError ": &core.TrainingError{Detail: fault.Detail{Err: &core.DataError{}}},
	} {
		out, _ := transcript(80, true, func(p show.Printer) { p.Failed(show.Failure{Err: err, ExitCode: 3}) })
		var object map[string]any
		require.NoError(t, json.Unmarshal([]byte(out), &object))
		assert.Equal(t, strings.TrimSpace(want), object["type"])
		assert.EqualValues(t, 3, object["exit_code"])
	}
}

func TestNothingReachesTheTerminalRaw(t *testing.T) {
	hostile := func(p show.Printer) {
		p.Started(show.Run{Dir: "\x1b[2J"})
		p.Event(engine.CheckpointEvent{Path: "\u202e\x9b"})
		p.Finished(hostileResult())
		p.Planned(engine.Plan{Engine: "\x1b", Device: "\x1b", Warnings: []string{"\x1b"}})
		p.Failed(show.Failure{Err: errors.New("\x1b\u200b"), RunDir: "\x1b", Resume: "\x1b"})
	}
	for _, asJSON := range []bool{false, true} {
		for _, width := range []int{1, 20, 80, 200} {
			out, errs := transcript(width, asJSON, hostile)
			for _, line := range strings.Split(out+errs, "\n") {
				assert.Equal(t, text.Escape(line), line)
			}
		}
	}
}

// Everything but paths and commands, which are to be copied, fits the width.
func TestTablesFit(t *testing.T) {
	for _, r := range []show.Result{sftResult(), classificationResult(), hostileResult()} {
		r.Run.Dir, r.Eval.Dir, r.Run.Meta.ArtifactPath, r.Eval.Results.TestDataPath = "r", "r", "a", "t"
		for width := 60; width < 140; width++ {
			out, _ := transcript(width, false, func(p show.Printer) { p.Finished(r) })
			for _, line := range strings.Split(out, "\n") {
				assert.LessOrEqual(t, text.Width(line), width, "%q", line)
			}
		}
	}
}

func TestEveryJSONLineParses(t *testing.T) {
	out, _ := transcript(80, true, func(p show.Printer) {
		events(p)
		p.Planned(plan())
		p.Finished(hostileResult())
		p.Finished(show.Result{})
		p.Failed(show.Failure{Err: errors.New("\xff<&>")})
	})
	for _, line := range strings.Split(strings.TrimSuffix(out, "\n"), "\n") {
		var object map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &object), line)
		assert.Contains(t, show.JSONHelp, fmt.Sprintf("\n  %s ", object["event"]), "the event is documented")
		for name := range object {
			assert.Contains(t, show.JSONHelp, name, "the field is documented")
		}
	}
}

func TestJSONNamesNumbersThatAreNone(t *testing.T) {
	out, _ := transcript(80, true, func(p show.Printer) { p.Finished(hostileResult()) })
	var object struct {
		Metrics   map[string]*float64
		NonFinite map[string]string `json:"non_finite"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &object))
	require.Contains(t, object.Metrics, "loss")
	assert.Nil(t, object.Metrics["loss"])
	assert.Equal(t, "inf", object.NonFinite["metrics.loss"])
	assert.Equal(t, "nan", object.NonFinite["metrics.perplexity"])
}

func TestGoldSetHasItsOwnExamples(t *testing.T) {
	r := classificationResult()
	r.Run.Meta.Task = "sft"
	r.Eval.Results.Overall = map[string]float64{"gold_set_accuracy": 0.5}
	out, _ := transcript(80, false, func(p show.Printer) { p.Finished(r) })
	assert.Regexp(t, `(?m)^  gold_set_accuracy +0\.5000 +-$`, out, "their number is not that of the test data")
	r.Eval.Results.Intervals["gold_set_accuracy"] = runs.Interval{Low: 0.2, High: 0.8, N: 6}
	out, _ = transcript(80, false, func(p show.Printer) { p.Finished(r) })
	assert.Regexp(t, `(?m)^  gold_set_accuracy +0\.50 +\[0\.20, 0\.80\] +6$`, out)
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"runs/run_1": "runs/run_1", "my runs/x": "'my runs/x'", "it's": `'it'\''s'`, "": "''", "a;b": "'a;b'", "$HOME": "'$HOME'",
	} {
		assert.Equal(t, want, show.Quote(in))
	}
}
