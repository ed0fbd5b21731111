package decision_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/metrics"
)

func TestPolicyOfTheContract(t *testing.T) {
	p, err := decision.ParsePolicy("ship.yaml", []byte(`
ship_if: {min_f1: 0.5, min_exact_match: 0.4, max_f1_regression: 0.05, max_pii_hits: 0, min_accuracy: 0.8, max_eval_loss: 1.2}
slices:                       # the same keys for a slice
  source=human: {min_f1: 0.7, max_f1_regression: 0.02}
min_slice: 30
significance: {alpha: 0.05, resamples: 10000, seed: 42}
review: {min: 20, max_share: {model error: 0.5}}
`))
	require.NoError(t, err)
	assert.Equal(t, "0.8", p.ShipIf["min_accuracy"].String())
	assert.Equal(t, "0", p.ShipIf["max_pii_hits"].String())
	require.Len(t, p.Slices, 1)
	assert.Equal(t, "source=human", p.Slices[0].Name)
	assert.Equal(t, "0.02", p.Slices[0].Criteria["max_f1_regression"].String())
	assert.Equal(t, 30, p.MinSlice)
	assert.Equal(t, &decision.Significance{Alpha: 0.05, Resamples: 10000, Seed: 42}, p.Significance)
	assert.Equal(t, 20, p.Review.Min)
	assert.Equal(t, "model error", p.Review.MaxShare[0].Label)
}

func TestPolicyDefaults(t *testing.T) {
	p, err := decision.ParsePolicy("ship.yaml", []byte("ship_if: {min_f1: null, max_pii_hits: 3}\nsignificance: {}\nslices:\nreview:\n"))
	require.NoError(t, err)
	assert.NotContains(t, p.ShipIf, "min_f1", "null switches a default off")
	assert.Equal(t, "0.4", p.ShipIf["min_exact_match"].String(), "a key left out has its default")
	assert.Equal(t, "3", p.ShipIf["max_pii_hits"].String())
	assert.Equal(t, decision.DefaultMinSlice, p.MinSlice)
	assert.Equal(t, &decision.Significance{Alpha: 0.05, Resamples: 10000, Seed: 42}, p.Significance)
	assert.Nil(t, p.Review)
}

func TestPolicyProblemsAreAllListed(t *testing.T) {
	_, err := decision.ParsePolicy("ship.yaml", []byte(`ship_if:
  min_f1: 1.5
  min_f1: 0.2
  min_exact_match: "0.4"
  max_f1_regression: -0.01
  min_acuracy: 0.8
  minimum_f1: 0.5
  max_pii_hits: yes
  min_accuracy: true
slices:
  human: {min_f1: 0.7}
  source=human: {min_f1: 0.7, max_pii_hits: 0}
min_slice: 0
significance: {alpha: 0.5, resamples: 10.5, sead: 1}
reviews: {}
review: {min: 3, max_share: {model eror: 0.5, fine: 2}}
require_hashes: 1
`))
	var configError *fault.ConfigError
	require.ErrorAs(t, err, &configError)
	var got []string
	for _, p := range configError.Problems {
		got = append(got, p.String())
	}
	assert.Equal(t, []string{
		"ship.yaml:2: ship_if.min_f1: must be between 0 and 1, not 1.5",
		"ship.yaml:3: ship_if.min_f1: is set twice, first on line 2 (keep one of them)",
		`ship.yaml:4: ship_if.min_exact_match: must be a number, not the text "0.4" (write it without quotes)`,
		"ship.yaml:5: ship_if.max_f1_regression: must be at least 0, not -0.01: it is the loss that is allowed",
		"ship.yaml:6: ship_if.min_acuracy: unknown metric (did you mean min_accuracy?)",
		"ship.yaml:7: ship_if.minimum_f1: is no limit: limits are min_METRIC, max_METRIC and max_METRIC_regression (the nearest known key is min_f1)",
		`ship.yaml:8: ship_if.max_pii_hits: must be a number, not the text "yes"`,
		"ship.yaml:9: ship_if.min_accuracy: must be a number, not true",
		"ship.yaml:11: slices.human: is no slice (name the tag and its value: source=human)",
		"ship.yaml:12: slices.source=human.max_pii_hits: is no limit of a slice (set it in ship_if)",
		"ship.yaml:13: min_slice: must be between 1 and 2147483647, not 0",
		"ship.yaml:14: significance.sead: unknown key (did you mean seed?)",
		"ship.yaml:14: significance.alpha: must be above 0 and below 0.5, not 0.5 (the usual value is 0.05)",
		"ship.yaml:14: significance.resamples: must be a whole number, not 10.5",
		"ship.yaml:15: reviews: unknown key (did you mean review?)",
		"ship.yaml:16: review.max_share.model eror: unknown key (did you mean model error?)",
		"ship.yaml:16: review.max_share.fine: must be between 0 and 1, not 2",
		"ship.yaml:17: require_hashes: must be true or false, not 1",
	}, got)
	assert.True(t, strings.HasPrefix(err.Error(), "load policy: ship.yaml: 18 problems\n"))
}

func TestPolicyThatIsNone(t *testing.T) {
	for text, says := range map[string]string{
		"":                                  "the file is empty",
		"# nothing":                         "the file is empty",
		"- a":                               "a list",
		"ship_if: {min_f1: .nan}":           "must be a number",
		"ship_if: {min_f1: 0x1}":            "understand differently",
		"ship_if: 3":                        "must hold keys of its own",
		"min_slice: 3":                      "ship_if: is required",
		"ship_if: {min_f1: 0.5":             "not valid YAML",
		"ship_if:\n\tmin_f1: 0.5":           "not valid YAML",
		"a: &x {b: 1}\nship_if: *x":         "an alias",
		"ship_if: {}\n---\nship_if: {}":     "a second YAML document",
		"ship_if: !!map {}":                 "a value with a tag",
		"ship_if: {min_f1: \"\x1b[31m\"}\n": "control characters are not allowed",
	} {
		_, err := decision.ParsePolicy("ship.yaml", []byte(text))
		var configError *fault.ConfigError
		require.ErrorAs(t, err, &configError, text)
		assert.Contains(t, err.Error(), says, text)
		assert.NotContains(t, err.Error(), "\x1b")
	}
}

func TestLoadPolicy(t *testing.T) {
	_, err := decision.LoadPolicy(filepath.Join(t.TempDir(), "ship.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)
	var configError *fault.ConfigError
	require.ErrorAs(t, err, &configError)
	assert.NotEmpty(t, configError.Hint)
	_, err = decision.LoadPolicy(t.TempDir())
	require.ErrorAs(t, err, &configError)
	large := filepath.Join(t.TempDir(), "large.yaml")
	require.NoError(t, os.WriteFile(large, make([]byte, 2<<20), 0o644))
	_, err = decision.LoadPolicy(large)
	require.ErrorContains(t, err, "larger than")
	_, err = decision.LoadPolicy("/dev/zero")
	require.ErrorContains(t, err, "not a regular file")
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte("ship_if: {min_f1: 0.5}\nslices: {a=b: {max_f1_regression: 0.1}}\nreview: {max_share: {fine: 1}}"))
	f.Add([]byte("ship_if: {min_f1: .inf, max_: 1, min_: 2}\nsignificance: {seed: 99999999999999999999}"))
	f.Add([]byte("ship_if: &a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := decision.ParsePolicy("p", data)
		if err != nil {
			var configError *fault.ConfigError
			require.ErrorAs(t, err, &configError)
			require.NotEmpty(t, configError.Problems)
			return
		}
		in := decision.Input{Criteria: p.ShipIf, Policy: p}
		in.Contract.Valid = true
		d := decision.Decide(in)
		_, err = d.Files()
		require.NoError(t, err)
	})
}

func FuzzParseResults(f *testing.F) {
	f.Add([]byte(`{"overall":{"f1":0.5,"n":1e3,"x":"y","f1":1}}`))
	f.Add([]byte(`{"aggregate":{"f1":99999999999999999999999}}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decision.ParseResults(data)
		if err != nil {
			return
		}
		in := decision.Input{Criteria: decision.DefaultCriteria(), Eval: r, Baseline: r}
		in.Contract.Valid = true
		out, err := decision.Decide(in).JSON()
		require.NoError(t, err)
		require.NotEmpty(t, out)
	})
}

func TestPolicyTakesEveryMetric(t *testing.T) {
	for _, task := range metrics.Tasks() {
		for _, name := range metrics.Names(task) {
			for _, key := range []string{"min_" + name, "max_" + name, "max_" + name + "_regression"} {
				p, err := decision.ParsePolicy("ship.yaml", []byte("ship_if: {"+key+": 0.5}\nslices: {a=b: {"+key+": 0.5}}"))
				require.NoError(t, err, key)
				assert.Contains(t, p.ShipIf, key)
			}
		}
	}
}

func FuzzParseContamination(f *testing.F) {
	for _, seed := range []string{`{"status":"PASS"}`, `{"status":"WARN","near_duplicates":2}`, `{"status":"FAIL","exact_overlaps":1,"train":{"sha256":"x"}}`,
		`{"status":"FAIL","Status":"PASS"}`, `{"train":[],"status":"PASS"}`, `null`, `[]`, `{"exact_overlaps":1e3}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decision.ParseContamination(data)
		if err != nil {
			return
		}
		require.GreaterOrEqual(t, min(c.ExactOverlaps, c.NearDuplicates), 0)
		switch c.Status {
		case "PASS":
			require.Zero(t, c.ExactOverlaps+c.NearDuplicates)
		case "WARN":
			require.Zero(t, c.ExactOverlaps)
		default:
			require.Equal(t, "FAIL", c.Status)
		}
	})
}
