package runs

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sameNumber compares bits, so that NaN equals NaN and -0 is not 0.
func sameNumber(t *testing.T, want, got *float64) {
	t.Helper()
	require.Equal(t, want == nil, got == nil)
	if want != nil {
		require.Equal(t, math.Float64bits(*want), math.Float64bits(*got), "%v and %v", *want, *got)
	}
}

func sameLine(t *testing.T, want, got LogLine) {
	t.Helper()
	sameNumber(t, &want.Epoch, &got.Epoch)
	sameNumber(t, want.Loss, got.Loss)
	sameNumber(t, want.LearningRate, got.LearningRate)
	sameNumber(t, want.GradNorm, got.GradNorm)
	sameNumber(t, want.EvalLoss, got.EvalLoss)
	sameNumber(t, want.TokensPerSecond, got.TokensPerSecond)
	require.Equal(t, want.Step, got.Step)
	require.Equal(t, want.Tokens, got.Tokens)
	require.Equal(t, want.Timestamp, got.Timestamp)
	require.Equal(t, len(want.Metrics), len(got.Metrics))
	for name, f := range want.Metrics {
		g, ok := got.Metrics[name]
		require.True(t, ok, name)
		sameNumber(t, &f, &g)
	}
}

var lineSeeds = []string{
	`{"step": 10, "epoch": 0.5, "loss": 2.25, "learning_rate": 2e-05, "grad_norm": 1.0, "timestamp": "2025-03-01T00:00:00Z"}`,
	`{"step": 10, "epoch": 0.5, "eval_loss": 2.25, "timestamp": "2025-03-01T00:00:00Z"}`,
	`{"step":1,"loss":null,"tokens":12,"tokens_per_second":1E+3,"non_finite":{"loss":"inf"}}`,
	`{"step": 1.0, "loss": NaN, "grad_norm": -Infinity}`,
	`{"step": 1, "loss": -0, "eval_accuracy": 0.5, "note": "x"}`,
	`{"step": 01}`, `{"step": 1,}`, `{"step": 1} `, `{}`, `{"loss": 1}`, `{"step": 1, "step": 2, "loss": 1, "loss": null}`,
	`{"step": 1, "loss": 1e999}`, `{"step": -1}`, `{"step": 1, "timestamp": "\u00e9\n"}`, `{"step": 1, "timestamp": "é"}`,
	`{"step": 1, "tokens": 99999999999999999}`, `{"step": 1, "loss": 1.}`, `{"step": 1, "loss": .5}`, `{"step": 1, "loss": 1e}`,
	`{"step": 1, "loss": "3"}`, `{"step": 1, "loss": true}`, "{\"step\": 1, \"timestamp\": \"a\tb\"}", `null`, `[]`, ``,
}

// FuzzLine holds the hand-written parser against encoding/json: where it
// accepts a line, both must read the same.
func FuzzLine(f *testing.F) {
	for _, s := range lineSeeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var p lineParser
		fast, plain := p.plain(s)
		slow, err := looseLine([]byte(s))
		if plain {
			require.NoError(t, err, "the fast parser accepts %q", s)
			sameLine(t, slow, fast)
		}
		if err != nil {
			return
		}
		// What was read can be written, and reads back the same.
		data, err := slow.encode()
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		back, err := p.parse(string(data[:len(data)-1]))
		require.NoError(t, err)
		sameLine(t, slow, back)
	})
}

func TestUsualLinesTakeTheFastWay(t *testing.T) {
	loss, rate, tokens := 1.25, 2e-5, int64(4096)
	for _, line := range []LogLine{
		{Step: 1, Epoch: 0.25, Loss: &loss, LearningRate: &rate, GradNorm: &loss, Tokens: &tokens, TokensPerSecond: &loss, Timestamp: "2025-03-01T00:00:00Z"},
		{Step: 1, Epoch: 1, EvalLoss: &loss, Timestamp: "2025-03-01T00:00:00Z"},
	} {
		data, err := line.encode()
		require.NoError(t, err)
		got, plain := new(lineParser).plain(string(data))
		assert.True(t, plain, "%s", data)
		sameLine(t, line, got)
	}
}

func TestEncodedLine(t *testing.T) {
	loss, inf, nan, tokens := 2.0, math.Inf(1), math.NaN(), int64(7)
	for _, c := range []struct {
		line LogLine
		want string
	}{
		{LogLine{Step: 10, Epoch: 0.5, Loss: &loss, LearningRate: &loss, GradNorm: &loss, Timestamp: "T"},
			`{"step": 10, "epoch": 0.5, "loss": 2.0, "learning_rate": 2.0, "grad_norm": 2.0, "timestamp": "T"}`},
		{LogLine{Step: 10, Epoch: 1, EvalLoss: &loss, Timestamp: "T", Metrics: map[string]float64{"eval_f1": 1, "eval_bleu": nan}},
			`{"step": 10, "epoch": 1.0, "eval_loss": 2.0, "timestamp": "T", "eval_bleu": null, "eval_f1": 1.0, "non_finite": {"eval_bleu": "nan"}}`},
		{LogLine{Step: 1, Loss: &nan, GradNorm: &inf, Tokens: &tokens, TokensPerSecond: &loss, Timestamp: "T"},
			`{"step": 1, "epoch": 0.0, "loss": null, "grad_norm": null, "timestamp": "T", "tokens": 7, "tokens_per_second": 2.0, "non_finite": {"grad_norm": "inf", "loss": "nan"}}`},
	} {
		got, err := c.line.encode()
		require.NoError(t, err)
		assert.Equal(t, c.want+"\n", string(got))
	}
	_, err := LogLine{Metrics: map[string]float64{"loss": 1}}.encode()
	require.ErrorContains(t, err, `"loss" has a field of its own`)
}

func TestLinesThatAreNone(t *testing.T) {
	for _, s := range []string{``, `null`, `[]`, `1`, `{}`, `{"step": null}`, `{"step": -1}`, `{"step": 1.5}`, `{"step": "x"}`, `{"step": 1`, `{"step": 1}}`, `{"step": 1e300}`} {
		_, err := new(lineParser).parse(s)
		assert.Error(t, err, "%q", s)
	}
}

// FuzzMeta holds the hand-written reader of run_meta.json against the tolerant
// one.
func FuzzMeta(f *testing.F) {
	full, err := Meta{RunID: "r", Status: StatusCompleted, Seed: "42", Metrics: map[string]float64{"train_loss": 1}}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(full))
	for _, s := range []string{
		`{"run_id": "r", "status": "running", "seed": null}`, `{"metrics": {}}`, `{"metrics": {"a": 1, "a": 2, "b": NaN}}`,
		`{"metrics": null, "seed": 1.0}`, `{"seed": -0}`, `{"seed": 99999999999999999999999}`, `{"duration_seconds": "x"}`,
		`{"job_id": null, "job_id": "a"}`, `{"task": 5}`, `{"error": "e", "mode": "mock", "x": []}`, `{"non_finite": {"a": "nan"}}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		fast, plain := plainMeta(s)
		r, err := decodeRecord([]byte(s))
		if plain {
			require.NoError(t, err, "the fast reader accepts %q", s)
			require.Equal(t, metaOf(r), fast)
		}
		if err != nil {
			return
		}
		m := metaOf(r)
		data, err := m.encode()
		require.NoError(t, err)
		back, _, err := decodeMeta(data)
		require.NoError(t, err)
		if m.Metrics == nil {
			m.Metrics = map[string]float64{}
		}
		require.Equal(t, m, back)
	})
}

func TestWrittenMetaTakesTheFastWay(t *testing.T) {
	data, err := Meta{RunID: "r", Status: StatusCompleted, Seed: "-7", Metrics: map[string]float64{"train_loss": 1e-7}, Task: "sft"}.encode()
	require.NoError(t, err)
	_, plain := plainMeta(string(data))
	assert.True(t, plain, "%s", data)
}

func FuzzTrainerState(f *testing.F) {
	f.Add(`{"global_step": 4, "max_steps": 4, "log_history": [{"step": 2, "loss": 1.0}, {"step": 2, "eval_loss": NaN}, {"step": 4, "train_runtime": 3.5, "train_loss": 2}]}`)
	f.Add(`{"log_history": {}}`)
	f.Add(`{"log_history": [null, 3, {}]}`)
	f.Fuzz(func(t *testing.T, s string) {
		state, err := decodeTrainerState([]byte(s))
		if err != nil {
			return
		}
		_, err = state.meta(t.TempDir()).encode()
		require.NoError(t, err)
		require.LessOrEqual(t, 0, state.log().Bad)
		state.summary()
	})
}

func FuzzEvalResults(f *testing.F) {
	f.Add(`{"overall": {"f1": 1, "recall_per_class": {"a": 1}}, "slices": {"a=b": {"n": 1}, "c": {"d": {"count": 2}}}}`)
	f.Add(`{"aggregate": {"f1": NaN}, "slices": {"": {"": {}}}}`)
	f.Add(`{"eval_loss": 1, "eval_f1": 1e999}`)
	f.Fuzz(func(t *testing.T, s string) {
		r, err := decodeRecord([]byte(s))
		if err != nil {
			return
		}
		e := evalResultsOf(r)
		for _, f := range e.Overall {
			require.True(t, isFinite(f))
		}
		e.FlatSlices()
		if _, err := e.encode(); err != nil {
			require.ErrorContains(t, err, "both a number")
		}
	})
}

func FuzzPrediction(f *testing.F) {
	f.Add(`{"index": 1, "id": "a", "loss": null, "non_finite": {"loss": "nan"}, "tags": {"a": "b"}, "correct": true}`)
	f.Add(`{"index": "x", "tags": 3, "f1": "inf"}`)
	f.Fuzz(func(t *testing.T, s string) {
		r, err := decodeRecord([]byte(s))
		if err != nil {
			return
		}
		p := predictionOf(r)
		data, err := p.encode()
		require.NoError(t, err)
		r, err = decodeRecord(data)
		require.NoError(t, err)
		again, err := predictionOf(r).encode()
		require.NoError(t, err)
		require.Equal(t, string(data), string(again))
	})
}
