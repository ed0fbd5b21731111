package show_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/show"
	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/core/contamination"
	"github.com/verifily/verifily-tui/core/contamination/pii"
	"github.com/verifily/verifily-tui/core/contract"
	"github.com/verifily/verifily-tui/core/dataset/artifact"
	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/core/reproduce"
	"github.com/verifily/verifily-tui/core/retrain"
	"github.com/verifily/verifily-tui/core/stats"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs"
)

// say puts a name into the places where text from data stands.
func comparison(say string) show.Comparison {
	value := func(v, low, high float64) *compare.Value {
		return &compare.Value{Value: v, N: 2000, Interval: &stats.Interval{Low: low, High: high, N: 2000, Method: "bootstrap"}}
	}
	delta := &compare.Delta{Delta: 0.015, Paired: true, N: 2000, Interval: &stats.Interval{Low: 0.006, High: 0.024, N: 2000},
		P: ptr(0.004), PHolm: ptr(0.004), PMethod: compare.MethodBootstrap, Significant: true, Verdict: compare.Better}
	values := []*compare.Value{value(0.714, 0.7, 0.728), value(0.729, 0.715, 0.743)}
	e := compare.Example{Index: 12, ID: say, Input: "Pronounce" + say, Reference: "AE1" + say, BasePrediction: "AE0" + say, Prediction: "AE1" + say}
	return show.Comparison{Format: show.Table, Fixed: 1, Broken: 5, File: "comparison.txt", Result: &compare.Result{
		Metric: "f1", Task: "sft", Alpha: 0.05, Resamples: 10000, Seed: 42, MinSlice: 30,
		Runs:    []compare.Run{{ID: "run_1", Name: "human" + say, Path: "runs/run_1"}, {ID: "run_2", Name: "synthetic" + say, Path: "runs/run_2"}},
		Pairing: []compare.Pairing{{Run: "run_2", Paired: true, Matched: 2000, ByID: 2000}},
		Overall: []compare.Metric{{Metric: "f1", Values: values, Deltas: []*compare.Delta{delta}}},
		Slices:  []compare.Slice{{Key: "source", Value: say, Values: values, Deltas: []*compare.Delta{delta}}},
		Examples: []compare.Examples{{Run: "run_2", Fixed: []compare.Example{e, e},
			Broken: []compare.Example{e}}},
		Config: []compare.Difference{}, Data: []compare.Difference{}, Environment: []compare.Difference{}, Notes: []string{"note" + say},
	}}
}

func contaminated(say string) show.Contamination {
	r := &contamination.Report{Status: contamination.Fail, ExactOverlaps: 3, NearDuplicates: 12, Threshold: 0.8, NGram: 5,
		LSH:    contamination.LSH{Bands: 20, Rows: 5, Hashes: 128, MinMatches: 80, RecallAtThreshold: 0.9993},
		Counts: contamination.Counts{TrainRows: 6600, EvalRows: 1000, TrainExactRows: 4, TrainNearRows: 15, Pairs: 15, PairsListed: 12},
		Train:  contamination.File{Path: "data/train.jsonl" + say, SHA256: "00"}, Eval: contamination.File{Path: "data/test.jsonl", SHA256: "11"}}
	for i := range 12 {
		r.Pairs = append(r.Pairs, contamination.Pair{Kind: contamination.Exact, Similarity: 1,
			Eval: contamination.RowRef{Line: i + 1, ID: "row_0123456789abcdef" + say}, Train: contamination.RowRef{Line: 1234, ID: "row_fedcba9876543210"}})
	}
	return show.Contamination{Report: r, File: "contamination.json" + say,
		PII: &pii.Summary{RowCount: 6600, Scan: pii.Counts{Email: 3, IP: 1}, Total: 4, Rows: 3}}
}

func ingested(say string) *artifact.Summary {
	return &artifact.Summary{OutDir: "data/faq" + say, Schema: "sft", Format: "csv", RowsIn: 1003, RowsOut: 1000, Dropped: 3,
		Reasons: []artifact.Reason{{Reason: "missing answer" + say, Rows: 3}}, ExactDuplicates: 1, PIIHits: 2,
		DatasetHash: strings.Repeat("0a", 32), ChainHash: strings.Repeat("b1", 32), Unused: []string{"kind" + say, "note"}}
}

func checked(say string) show.Contract {
	return show.Contract{Run: "runs/run_1" + say, Note: "there is no such run" + say,
		Result: contract.Result{HasEval: true, Checks: []contract.Item{{File: "config.yaml", Status: contract.Pass, Detail: "exists"},
			{File: "hashes.json", Status: contract.Fail, Detail: "is missing" + say}}},
		Content: []contract.Item{{File: "environment.json", Status: contract.Pass, Detail: "parses" + say}}}
}

func decided(say string) show.Verdict {
	return show.Verdict{Run: "synthetic" + say, Baseline: "human", Policy: "ship.yaml", Dir: "runs/run_2/decision", Decision: &decision.Decision{
		Recommendation: decision.Investigate, ExitCode: decision.ExitInvestigate, Confidence: 0.7,
		Reasons:   []string{"F1 (0.7290) meets threshold (0.5) " + say, "source=human exact_match has too few rows (12 of 30) to judge F1, and this sentence needs more than one line"},
		RiskFlags: []string{"too_few"}, BlockerPrecedence: []string{}, MissingFiles: []string{"hashes.json" + say},
		Gates: []decision.Gate{
			{Name: "contract", Status: decision.GatePass, Value: "5 of 5 files", Threshold: "all", Evidence: "hashes.json"},
			{Name: "hashes", Status: decision.GateFail, Value: "14 files, 1 changed" + say, Threshold: "all", Evidence: "hashes.json"},
			{Name: "pii hits", Status: decision.GateNotChecked, Threshold: 0, Rule: "<="},
			{Name: "f1", Status: decision.GatePass, Value: json.Number("0.7290123"), Threshold: json.Number("0.5"), Rule: ">=",
				Interval: &decision.Interval{Low: 0.715, High: 0.743, Level: 0.95}, N: 2000, Evidence: "eval/eval_results.json"},
			{Name: "f1 regression", Status: decision.GatePass, Value: 0.015, Threshold: 0.05, Rule: ">= -",
				Interval: &decision.Interval{Low: 0.006, High: 0.024, Level: 0.95}, N: 2000, P: ptr(0.0001), Evidence: "eval/eval_results.json"},
			{Name: "eval_loss regression", Status: decision.GateInsufficient, Value: -0.25, Threshold: 0.1, Rule: "<= +", Needed: 300, Detail: "not paired" + say},
			{Name: "source=" + say + "human exact_match", Status: decision.GateTooFew, Value: 0.25, Threshold: 0.7, Rule: ">=", N: 12, Detail: "12 of 30 rows"},
		}}}
}

func retrained(say string) show.Retrain {
	return show.Retrain{Run: "out/runs/retrain_0001" + say, Task: "sft",
		Eval: &show.Evaluation{Dir: "out/runs/retrain_0001/eval", Results: runs.EvalResults{NumExamples: 100,
			Overall: map[string]float64{"f1": 0.76, "exact_match": 0.65 + float64(len(say))}}},
		Result: &retrain.Result{JobType: "RETRAIN", RunDir: "/x/out/runs/retrain_0001" + say, Decision: decision.DontShip, ExitCode: 1,
			EvalSummary: map[string]float64{"f1": 0.76}, Reasons: []string{"PII hits (1) exceed max allowed (0) " + say},
			Gates: decided(say).Decision.Gates,
			Usage: retrain.Usage{RunID: "retrain_0001" + say, Mode: "mock", Units: retrain.BillableUnits{RowsIn: 100, RowsOut: 100},
				Outcome: retrain.Outcome{ContaminationStatus: retrain.NotChecked}}}}
}

func reproduced(say string) show.Reproduction {
	many := []string{"torch 2.2.0, now 2.3.1" + say}
	for i := range 15 {
		many = append(many, fmt.Sprint("package ", i))
	}
	return show.Reproduction{Run: "runs/run_1" + say, New: "runs/run_3" + say, Result: &core.ReproduceResult{
		Verified: &reproduce.Report{Run: "runs/run_1", Verdict: reproduce.PartialMatch, Notes: []string{"two files are not covered" + say},
			Checks: []reproduce.Check{{Name: "config", Status: reproduce.Match, Recorded: "sha256:00", Computed: "sha256:00"},
				{Name: "environment", Status: reproduce.Differs, Recorded: "sha256:00", Computed: "sha256:11", Differs: many},
				{Name: "weights", Status: reproduce.NotThere}}},
		Repeated: &reproduce.Comparison{Original: "runs/run_1", New: "runs/run_3", Verdict: reproduce.Mismatch, Tolerance: 0.01,
			Weights: reproduce.Check{Name: "weights", Status: reproduce.Differs, Differs: []string{"model.safetensors is not byte-identical"}},
			Metrics: []reproduce.Metric{{Name: "exact_match", Original: ptr(0.5), New: ptr(0.5), Within: true},
				{Name: "f1" + say, Original: ptr(0.75), New: ptr(0.5)}, {Name: "gone", Original: ptr(1.0)}}}}}
}

// outcomes tells every outcome by the name of its command.
func outcomes(say string) map[string]func(show.Printer) error {
	return map[string]func(show.Printer) error{
		"compare":        func(p show.Printer) error { return p.Compared(comparison(say)) },
		"contamination":  func(p show.Printer) error { return p.Scanned(contaminated(say)) },
		"ingest":         func(p show.Printer) error { return p.Ingested(ingested(say)) },
		"contract-check": func(p show.Printer) error { return p.Checked(checked(say)) },
		"decide":         func(p show.Printer) error { return p.Decided(decided(say)) },
		"retrain":        func(p show.Printer) error { return p.Retrained(retrained(say)) },
		"reproduce":      func(p show.Printer) error { return p.Reproduced(reproduced(say)) },
	}
}

// tell is the output of an outcome.
func tell(t *testing.T, width int, asJSON bool, do func(show.Printer) error) string {
	t.Helper()
	out, errs := transcript(width, asJSON, func(p show.Printer) { require.NoError(t, do(p)) })
	assert.Empty(t, errs)
	return out
}

func TestOutcomes(t *testing.T) {
	for name, do := range outcomes("") {
		for _, width := range []int{50, 80, 120} {
			golden(t, fmt.Sprintf("%s-%d", name, width), tell(t, width, false, do))
		}
		golden(t, name+"-json", tell(t, 80, true, do))
	}
}

// Everything but paths, commands and what stands in a path fits the width.
func TestOutcomesFit(t *testing.T) {
	for name, do := range outcomes(strings.Repeat("long ", 30)) {
		for width := 60; width < 140; width += 7 {
			for _, line := range strings.Split(tell(t, width, false, do), "\n") {
				switch {
				case strings.Contains(line, "retrain_0001"), strings.Contains(line, "data/faq"), strings.HasPrefix(line, "written to"):
				default:
					assert.LessOrEqual(t, text.Width(line), width, "%s: %q", name, line)
				}
			}
		}
	}
}

func TestOutcomesAreEscaped(t *testing.T) {
	for name, do := range outcomes("\x1b[2J\u202eevil\u200b\n\x07") {
		for _, asJSON := range []bool{false, true} {
			for _, width := range []int{1, 20, 80, 200} {
				for _, line := range strings.Split(tell(t, width, asJSON, do), "\n") {
					assert.Equal(t, text.Escape(line), line, name)
				}
			}
		}
	}
}

// The members of a document are those that the help names, and no others.
func TestDocumentsAreDocumented(t *testing.T) {
	for name, do := range outcomes("\xff<&>\x1b") {
		var document map[string]any
		require.NoError(t, json.Unmarshal([]byte(tell(t, 80, true, do)), &document), name)
		help := documented(t, name)
		for key := range document {
			assert.Contains(t, help, key, "%s: the member is documented", name)
		}
	}
}

// documented is what the help says of the document of a command.
func documented(t *testing.T, command string) string {
	_, rest, ok := strings.Cut(show.JSONHelp, "\n  "+command+" ")
	require.True(t, ok, command)
	lines := strings.Split(rest, "\n")
	n := 1
	for strings.HasPrefix(lines[n], "        ") {
		n++
	}
	return strings.Join(lines[:n], " ")
}

// The document of contamination begins as the file does.
func TestContaminationDocumentHasTheWholeReport(t *testing.T) {
	c := contaminated("")
	var file, document map[string]any
	data, err := c.Report.JSON()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &file))
	out := tell(t, 80, true, func(p show.Printer) error { return p.Scanned(c) })
	require.NoError(t, json.Unmarshal([]byte(out), &document))
	for key, value := range file {
		assert.Equal(t, value, document[key], key)
	}
}

func TestComparisonFormats(t *testing.T) {
	for format, want := range map[string]string{show.Table: "fixed in synthetic", show.AsJSON: `"resamples": 10000`, show.CSV: "level,metric,", show.Markdown: "## synthetic"} {
		c := comparison("")
		c.Format = format
		var file bytes.Buffer
		require.NoError(t, c.Write(&file, 80))
		assert.Contains(t, file.String(), want)
		out := tell(t, 80, false, func(p show.Printer) error { return p.Compared(c) })
		assert.True(t, strings.HasPrefix(out, file.String()), "what is printed is what is written")
	}
	assert.ElementsMatch(t, []string{show.Table, show.AsJSON, show.CSV, show.Markdown}, show.CompareFormats())
}

// A run that ships because nothing was asked of its metrics is told apart.
func TestNothingWasJudged(t *testing.T) {
	accuracy := decision.Metrics{{Name: "accuracy", Value: decision.Number{}}}
	unmeasured := decision.Gate{Name: "f1", Status: decision.GateNotChecked, Threshold: json.Number("0.5"), Rule: ">=", Detail: "not measured"}
	judged := decision.Gate{Name: "accuracy", Status: decision.GatePass, Value: json.Number("0.75"), Threshold: json.Number("0.5"), Rule: ">=", N: 40}
	for name, c := range map[string]struct {
		decision decision.Decision
		told     bool
	}{
		"ships, nothing judged":  {decision.Decision{Recommendation: decision.Ship, Metrics: accuracy, Gates: []decision.Gate{unmeasured}}, true},
		"ships, judged":          {decision.Decision{Recommendation: decision.Ship, Metrics: accuracy, Gates: []decision.Gate{unmeasured, judged}}, false},
		"ships, no metrics":      {decision.Decision{Recommendation: decision.Ship, Gates: []decision.Gate{unmeasured}}, false},
		"does not ship, nothing": {decision.Decision{Recommendation: decision.DontShip, Metrics: accuracy, Gates: []decision.Gate{unmeasured}}, false},
	} {
		out := tell(t, 80, false, func(p show.Printer) error { return p.Decided(show.Verdict{Run: "r", Decision: &c.decision}) })
		const note = "note: no metric of the run was held against a limit; a policy can set one for\n      accuracy"
		assert.Equal(t, c.told, strings.Contains(out, note), "%s: %s", name, out)
	}
}

func TestIngestedWithoutPersonalData(t *testing.T) {
	s := ingested("")
	s.PIIHits = 0
	assert.Regexp(t, "(?m)^  PII +none found$", tell(t, 80, false, func(p show.Printer) error { return p.Ingested(s) }))
}

// What a decision, a comparison and a check print is what their packages made.
func TestOutcomesOfAnEmptyRun(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.yaml"), nil, 0o644))
	content, err := contract.Content(context.Background(), dir)
	require.NoError(t, err)
	out := tell(t, 80, false, func(p show.Printer) error {
		return p.Checked(show.Contract{Run: "r", Result: contract.Check(dir), Content: content})
	})
	assert.Contains(t, out, "INVALID")
	d := decision.Decide(decision.Input{Contract: contract.Check(dir)})
	out = tell(t, 80, false, func(p show.Printer) error { return p.Decided(show.Verdict{Run: "r", Decision: d}) })
	assert.Contains(t, out, "DONT_SHIP")
	assert.Contains(t, out, "exit code 3")
	assert.NotContains(t, out, "written to")
}
