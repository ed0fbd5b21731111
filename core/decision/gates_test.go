package decision_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/contract"
	"github.com/verifily/verifily-tui/core/decision"
)

// input is a run of f1 0.70 against a baseline of 0.72, judged by a policy.
func input(t *testing.T, policy string) decision.Input {
	t.Helper()
	p, err := decision.ParsePolicy("ship.yaml", []byte(policy))
	require.NoError(t, err)
	results := func(text string, slices map[string]decision.Slice) *decision.Results {
		r, err := decision.ParseResults([]byte(text))
		require.NoError(t, err)
		r.Slices = slices
		return r
	}
	slice := func(n int, f1 float64) decision.Slice {
		return decision.Slice{N: n, Metrics: map[string]float64{"n": float64(n), "f1": f1}}
	}
	return decision.Input{
		Contract: contract.Result{Valid: true},
		Eval: results(`{"overall":{"f1":0.70,"exact_match":0.6,"eval_loss":1.5}}`,
			map[string]decision.Slice{"source=human": slice(400, 0.6), "lang=gsw": slice(12, 0.9)}),
		Baseline: results(`{"overall":{"f1":0.72,"exact_match":0.6,"eval_loss":1.2}}`,
			map[string]decision.Slice{"source=human": slice(400, 0.7), "lang=gsw": slice(12, 0.8)}),
		Criteria: p.ShipIf, Policy: p,
	}
}

func gate(t *testing.T, d *decision.Decision, name string) decision.Gate {
	t.Helper()
	for _, g := range d.Gates {
		if g.Name == name {
			return g
		}
	}
	require.Fail(t, "no gate "+name)
	return decision.Gate{}
}

func TestLimitsOnAnyMetric(t *testing.T) {
	for _, c := range []struct {
		name, policy, gate string
		status             decision.GateStatus
		exit               int
		says               string
	}{
		{"loss under its maximum", "ship_if: {max_eval_loss: 1.6}", "eval_loss", decision.GatePass, 0, "eval_loss (1.5000) meets threshold (1.6)"},
		{"loss over its maximum", "ship_if: {max_eval_loss: 1.2}", "eval_loss", decision.GateFail, 1, "eval_loss (1.5000) above threshold (1.2)"},
		{"loss grew", "ship_if: {max_eval_loss_regression: 0.2}", "eval_loss regression", decision.GateFail, 1,
			"eval_loss regression (+0.3000) exceeds max allowed (+0.2)"},
		{"loss grew a little", "ship_if: {max_eval_loss_regression: 0.4}", "eval_loss regression", decision.GatePass, 0, ""},
		{"exact match kept", "ship_if: {max_exact_match_regression: 0}", "exact_match regression", decision.GatePass, 0, ""},
		{"a metric that was not measured", "ship_if: {min_accuracy: 0.8}", "accuracy", decision.GateInsufficient, 2,
			"accuracy was not measured — cannot verify threshold (0.8)"},
		{"a metric of another program", "ship_if: {min_bleurt: 0.8}", "bleurt", decision.GateInsufficient, 2, "bleurt was not measured"},
		{"a regression that was not measured", "ship_if: {max_accuracy_regression: 0.1}", "accuracy regression", decision.GateInsufficient, 2,
			"accuracy regression cannot be verified"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := decision.Decide(input(t, c.policy))
			assert.Equal(t, c.status, gate(t, d, c.gate).Status)
			assert.Equal(t, c.exit, d.ExitCode)
			assert.Contains(t, joined(d), c.says)
		})
	}
}

func joined(d *decision.Decision) string {
	data, _ := json.Marshal(d.Reasons)
	return string(data)
}

// A row says how many examples are behind its value, and none where there is no
// value.
func TestRowsCountTheirExamples(t *testing.T) {
	in := input(t, "ship_if: {max_f1_regression: 0.1, min_accuracy: 0.5}\nslices: {source=human: {min_f1: 0.5}}")
	in.Eval.N = 412
	d := decision.Decide(in)
	for name, n := range map[string]int{"f1": 412, "f1 regression": 412, "source=human f1": 400, "accuracy": 0} {
		assert.Equal(t, n, gate(t, d, name).N, name)
	}
	in.Evidence.Counts = map[string]int{"\x00f1": 410} // two have no score
	assert.Equal(t, 410, gate(t, decision.Decide(in), "f1").N)
}

// Without a baseline, no regression is judged and none is claimed to be fine.
func TestNoBaseline(t *testing.T) {
	in := input(t, "ship_if: {max_f1_regression: 0.01}\nslices: {source=human: {max_f1_regression: 0.01}}\nsignificance: {}")
	in.Baseline = nil
	d := decision.Decide(in)
	assert.Equal(t, 0, d.ExitCode)
	assert.Equal(t, decision.GateNotChecked, gate(t, d, "f1 regression").Status)
	assert.Equal(t, decision.GateNotChecked, gate(t, d, "source=human f1 regression").Status)
}

// A difference between runs that answered other examples is not paired, and says so.
func TestBaselineOfOtherExamples(t *testing.T) {
	in := input(t, "ship_if: {max_f1_regression: 0.05}")
	in.Eval.N, in.Baseline.N = 120, 60
	assert.Equal(t, "not paired, the baseline answered other examples (n=60)", gate(t, decision.Decide(in), "f1 regression").Detail)
	in.Baseline.N = 120
	assert.Empty(t, gate(t, decision.Decide(in), "f1 regression").Detail)
}

// A default limit is passed over without its metric; one that the policy names
// is not.
func TestNamedLimitIsNeverPassedOver(t *testing.T) {
	in := input(t, "ship_if: {}")
	in.Eval, in.Baseline = &decision.Results{Metrics: in.Eval.Metrics[2:]}, nil
	assert.Equal(t, 0, decision.Decide(in).ExitCode)
	named := input(t, "ship_if: {min_f1: 0.5}")
	named.Eval, named.Baseline = in.Eval, nil
	d := decision.Decide(named)
	assert.Equal(t, 2, d.ExitCode)
	assert.Equal(t, []string{"f1_missing"}, d.RiskFlags)
}

func TestNaNMeetsNoLimit(t *testing.T) {
	in := input(t, "ship_if: {}")
	in.Eval.Metrics = in.Eval.Metrics[1:]
	in.Eval.NonFinite = map[string]string{"f1": "nan"}
	d := decision.Decide(in)
	assert.Equal(t, 1, d.ExitCode)
	assert.Equal(t, "F1 (nan) below threshold (0.5)", d.Reasons[0])
}

func TestSlices(t *testing.T) {
	for _, c := range []struct {
		name, slices, gate string
		status             decision.GateStatus
		exit               int
		flags              []string
	}{
		{"good enough", "source=human: {min_f1: 0.55}", "source=human f1", decision.GatePass, 0, []string{}},
		{"too low", "source=human: {min_f1: 0.7}", "source=human f1", decision.GateFail, 1, []string{"source=human:f1_below_threshold"}},
		{"worse", "source=human: {max_f1_regression: 0.02}", "source=human f1 regression", decision.GateFail, 1,
			[]string{"source=human:regression_exceeded"}},
		{"a little worse", "source=human: {max_f1_regression: 0.2}", "source=human f1 regression", decision.GatePass, 0, []string{}},
		{"too few rows, though good", "lang=gsw: {min_f1: 0.1}", "lang=gsw f1", decision.GateTooFew, 2, []string{"lang=gsw:too_few"}},
		{"too few rows for two gates", "lang=gsw: {min_f1: 0.1, max_f1_regression: 0.1}", "lang=gsw f1 regression", decision.GateTooFew, 2,
			[]string{"lang=gsw:too_few"}},
		{"no such slice", "lang=rm: {min_f1: 0.1}", "lang=rm f1", decision.GateTooFew, 2, []string{"lang=rm:too_few"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := decision.Decide(input(t, "ship_if: {}\nslices: {"+c.slices+"}"))
			assert.Equal(t, c.status, gate(t, d, c.gate).Status)
			assert.Equal(t, c.exit, d.ExitCode)
			assert.Equal(t, c.flags, d.RiskFlags)
		})
	}
	d := decision.Decide(input(t, "ship_if: {}\nslices: {lang=gsw: {min_f1: 0.1}}\nmin_slice: 12"))
	assert.Equal(t, 0, d.ExitCode)
	assert.Equal(t, 18, gate(t, decision.Decide(input(t, "ship_if: {}\nslices: {lang=gsw: {min_f1: 0.1}}")), "lang=gsw f1").Needed)
}

func TestSignificance(t *testing.T) {
	overall := func(low, high, p float64) map[string]decision.Difference {
		return map[string]decision.Difference{"\x00f1": {N: 1000, Mean: (low + high) / 2, P: p,
			Interval: decision.Interval{Low: low, High: high, Level: 0.95}}}
	}
	for _, c := range []struct {
		name   string
		margin string
		found  map[string]decision.Difference
		status decision.GateStatus
		exit   int
		says   string
	}{
		{"beyond the margin, and real", "0.01", overall(-0.03, -0.01, 0.001), decision.GateFail, 1, "F1 regression (-0.0200) exceeds max allowed (-0.01)"},
		{"beyond the margin, but not by the test", "0.01", overall(-0.03, -0.01, 0.08), decision.GateFlag, 2, "but it is not significant (p = 0.0800)"},
		{"within the margin, but few pairs", "0.05", map[string]decision.Difference{"\x00f1": {N: 7, P: 1, Interval: decision.Interval{Level: 0.95}}},
			decision.GateInsufficient, 2, "insufficient evidence, 7 of 30 pairs that it takes"},
		{"beyond the margin, perhaps chance", "0.01", overall(-0.05, 0.01, 0.2), decision.GateFlag, 2, "but its paired interval includes zero"},
		{"within the margin, narrow", "0.05", overall(-0.03, -0.01, 0.001), decision.GatePass, 0, ""},
		{"within the margin, interval over it, but narrower than it", "0.03", overall(-0.04, 0, 0.06), decision.GatePass, 0, ""},
		{"within the margin, but the test is blind", "0.03", overall(-0.08, 0.04, 0.6), decision.GateInsufficient, 2,
			"insufficient evidence, the interval is ±0.0600 wide and the margin 0.03; about 3000 more examples would do"},
		{"within the margin, but not on the pairs", "0.05", overall(-0.33, -0.27, 0.001), decision.GateInsufficient, 2,
			"insufficient evidence, the 1000 pairs give -0.3000"},
		{"within the margin, but the test is blind and all pairs alike", "0.03",
			map[string]decision.Difference{"\x00f1": {N: 50, P: 1, Alike: true, Interval: decision.Interval{Low: -0.06, High: 0.06, Level: 0.95}}},
			decision.GateInsufficient, 2, "about 50 more examples would do"},
		{"no margin at all", "0.02", map[string]decision.Difference{"\x00f1": {Unpaired: "other examples"}}, decision.GateInsufficient, 2, "other examples"},
		{"beyond the margin and not paired", "0.01", map[string]decision.Difference{"\x00f1": {Unpaired: "other examples"}}, decision.GateFail, 1, "exceeds"},
		{"no predictions", "0.02", nil, decision.GateInsufficient, 2, "no paired predictions"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := input(t, "ship_if: {max_f1_regression: "+c.margin+"}\nsignificance: {}")
			in.Evidence.Differences = c.found
			d := decision.Decide(in)
			assert.Equal(t, c.status, gate(t, d, "f1 regression").Status)
			assert.Equal(t, c.exit, d.ExitCode, joined(d))
			assert.Contains(t, joined(d), c.says)
		})
	}
}

// Of a metric that is better when lower, the upper end is the bad one.
func TestSignificanceOfALoss(t *testing.T) {
	in := input(t, "ship_if: {max_eval_loss_regression: 0.2}\nsignificance: {}")
	in.Evidence.Differences = map[string]decision.Difference{
		"\x00eval_loss": {N: 100, P: 0.001, Interval: decision.Interval{Low: 0.1, High: 0.5, Level: 0.95}},
		"\x00f1":        {N: 100, P: 0.5, Interval: decision.Interval{Low: -0.03, High: 0.01, Level: 0.95}}}
	assert.Equal(t, decision.GateFail, gate(t, decision.Decide(in), "eval_loss regression").Status)
	in.Evidence.Differences["\x00eval_loss"] = decision.Difference{N: 100, P: 0.1, Interval: decision.Interval{Low: -0.1, High: 0.7, Level: 0.95}}
	assert.Equal(t, decision.GateFlag, gate(t, decision.Decide(in), "eval_loss regression").Status)
}

// A slice that is worse only before the correction for several slices is a flag.
func TestHolmOverSlices(t *testing.T) {
	in := input(t, "ship_if: {max_f1_regression: 1}\nslices: {source=human: {max_f1_regression: 0.02}}\nsignificance: {}")
	wide := decision.Difference{N: 1000, P: 0.9, Interval: decision.Interval{Low: -0.1, High: 0.1, Level: 0.95}}
	in.Evidence.Differences = map[string]decision.Difference{"\x00f1": wide,
		"source=human\x00f1": {N: 400, P: 0.12, Interval: decision.Interval{Low: -0.19, High: -0.01, Level: 0.95}}}
	d := decision.Decide(in)
	assert.Equal(t, decision.GateFlag, gate(t, d, "source=human f1 regression").Status)
	assert.Equal(t, []string{"source=human:f1_regression_not_significant"}, d.RiskFlags)
	assert.Contains(t, joined(d), "not significant once corrected over the slices (p = 0.1200)")
}

func TestReview(t *testing.T) {
	const policy, sharesAlone = "ship_if: {}\nreview: {min: 20, max_share: {model error: 0.5}}", "ship_if: {}\nreview: {max_share: {model error: 0.5}}"
	for _, c := range []struct {
		name, policy string
		done         *decision.Reviewed
		exit         int
		flag         []string
	}{
		{"nothing read", policy, nil, 2, []string{"review_incomplete"}},
		{"six of fifty", policy, &decision.Reviewed{Hard: 50, Labels: map[string]int{"fine": 6}}, 2, []string{"review_incomplete"}},
		{"enough", policy, &decision.Reviewed{Hard: 50, Labels: map[string]int{"fine": 10, "model error": 10}}, 0, []string{}},
		{"all of the few there are", policy, &decision.Reviewed{Hard: 5, Labels: map[string]int{"fine": 5}}, 0, []string{}},
		{"too many errors", policy, &decision.Reviewed{Hard: 50, Labels: map[string]int{"fine": 9, "model error": 11}}, 1, []string{"review_share_exceeded"}},
		{"nothing is hard", policy, &decision.Reviewed{}, 0, []string{}},
		{"a share of nothing", sharesAlone, &decision.Reviewed{Hard: 50}, 2, []string{"review_incomplete"}},
		{"a share of an unknown list", sharesAlone, nil, 2, []string{"review_incomplete"}},
		{"a share where nothing is hard", sharesAlone, &decision.Reviewed{}, 0, []string{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := input(t, c.policy)
			in.Evidence.Reviewed = c.done
			d := decision.Decide(in)
			assert.Equal(t, c.exit, d.ExitCode)
			assert.Equal(t, c.flag, d.RiskFlags)
		})
	}
}

func TestHashesCountOnlyWhenRequired(t *testing.T) {
	in := input(t, "ship_if: {}")
	in.Evidence.Hashes = &decision.Integrity{Text: "changed: train_log.jsonl"}
	d := decision.Decide(in)
	assert.Equal(t, 0, d.ExitCode)
	assert.Equal(t, decision.GateFlag, gate(t, d, "hashes").Status)
	required := input(t, "ship_if: {}\nrequire_hashes: true")
	required.Evidence.Hashes = in.Evidence.Hashes
	d = decision.Decide(required)
	assert.Equal(t, 1, d.ExitCode)
	assert.Equal(t, "Hashes do not match: changed: train_log.jsonl", d.Reasons[0])
}

func TestContractInvalid(t *testing.T) {
	d := decision.Decide(decision.Input{Contract: contract.Result{Checks: []contract.Item{
		{File: "config.yaml", Status: contract.Pass}, {File: "hashes.json", Status: contract.Fail}, {File: "run_meta.json", Status: contract.Fail}}}})
	data, err := d.JSON()
	require.NoError(t, err)
	assert.Equal(t, `{
  "recommendation": "DONT_SHIP",
  "exit_code": 3,
  "confidence": 1.0,
  "reasons": [
    "Run contract failed — required artifacts missing"
  ],
  "risk_flags": [
    "contract_fail"
  ],
  "blocker_precedence": [
    "CONTRACT_INVALID"
  ],
  "metrics": {},
  "baseline_metrics": null,
  "deltas": null,
  "missing_files": [
    "hashes.json",
    "run_meta.json"
  ]
}
`, string(data))
}

// Names that come from data cannot send anything to a terminal.
// A search in other data proves nothing about this run, unless it found
// something.
func TestContaminationOfOtherData(t *testing.T) {
	for _, c := range []struct {
		name, policy, status string
		exit                 int
		gate                 decision.GateStatus
	}{
		{"by the contract alone", "", "PASS", 0, decision.GatePass},
		{"by a policy", "ship_if: {}", "PASS", 2, decision.GateInsufficient},
		{"found something", "ship_if: {}", "FAIL", 1, decision.GateFail},
	} {
		in := input(t, "ship_if: {}")
		if c.policy == "" {
			in.Policy = nil
		}
		in.Contamination = &decision.Contamination{Status: c.status}
		in.Evidence.ContaminationOf = "other training data than the run's"
		d := decision.Decide(in)
		assert.Equal(t, c.exit, d.ExitCode, c.name)
		assert.Equal(t, c.gate, gate(t, d, "contamination").Status, c.name)
		assert.Equal(t, "searched in other training data than the run's", gate(t, d, "contamination").Detail, c.name)
	}
}

// Every row that has a limit says how the value must stand to it.
func TestEveryLimitHasARule(t *testing.T) {
	in := input(t, `ship_if: {min_f1: 0.1, max_eval_loss: 9, max_f1_regression: 1, max_eval_loss_regression: 1, min_wer: 0.1}
slices: {lang=gsw: {min_f1: 0.1, max_f1_regression: 1, max_eval_loss_regression: 1}}`)
	judge := func() map[string]string {
		rules := map[string]string{}
		for _, g := range decision.Decide(in).Gates {
			rules[g.Name] = g.Rule
		}
		return rules
	}
	want := map[string]string{"contract": "", "contamination": "", "pii hits": "<=", "f1": ">=", "exact_match": ">=", "eval_loss": "<=", "wer": ">=",
		"f1 regression": ">= -", "eval_loss regression": "<= +", "lang=gsw f1": ">=", "lang=gsw f1 regression": ">= -",
		"lang=gsw eval_loss regression": "<= +"}
	assert.Equal(t, want, judge())
	in.Eval = nil
	assert.Equal(t, want, judge(), "without metrics too")
}

func TestNamesAreQuiet(t *testing.T) {
	in := input(t, "ship_if: {}\nslices: {\"a=\\e[31m\": {min_f1: 0.5}}")
	d := decision.Decide(in)
	data, err := d.Files()
	require.NoError(t, err)
	for _, f := range data {
		assert.NotContains(t, string(f.Data), "\x1b")
	}
	assert.NotContains(t, joined(d), `\u001b`)
	assert.Equal(t, `a=\x1b[31m f1`, d.Gates[len(d.Gates)-1].Name, "what stands there can be seen")
}

func TestNumbersReadAsInTheContract(t *testing.T) {
	for _, c := range []struct {
		in   any
		want string
	}{
		{json.Number("37"), "37"}, {json.Number("0.50"), "0.5"}, {json.Number("1e-5"), "1e-05"}, {json.Number("1.0"), "1.0"},
		{json.Number("1E3"), "1000.0"}, {json.Number("99999999999999999999999"), "99999999999999999999999"}, {true, "True"}, {0.1, "0.1"}, {3, "3"},
	} {
		n, err := decision.NewNumber(c.in)
		require.NoError(t, err)
		assert.Equal(t, c.want, n.String())
	}
	for _, bad := range []any{"0.5", nil, math.NaN(), math.Inf(1), []any{}, json.Number("1e999")} {
		_, err := decision.NewNumber(bad)
		assert.Error(t, err, "%v", bad)
	}
}

// Differences round to the nearest decimal of the exact binary value.
func TestDeltasRound(t *testing.T) {
	r := func(text string) *decision.Results {
		out, err := decision.ParseResults([]byte(`{"overall":` + text + `}`))
		require.NoError(t, err)
		return out
	}
	in := decision.Input{Contract: contract.Result{Valid: true}, Criteria: decision.Criteria{},
		Eval:     r(`{"a":0.0000005,"b":0.3,"c":7,"d":1,"e":1.5,"only":1}`),
		Baseline: r(`{"b":0.1,"a":0,"c":5,"d":0.5,"e":1.5}`)}
	data, err := decision.Decide(in).JSON()
	require.NoError(t, err)
	assert.Contains(t, string(data), `"deltas": {
    "a": 0.0,
    "b": 0.2,
    "c": 2,
    "d": 0.5,
    "e": 0.0
  }`)
}
