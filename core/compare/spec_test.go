package compare_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/runs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ptr[T any](v T) *T { return &v }

// spec describes a run folder.
type spec struct {
	name, task  string
	config      string
	environment *runs.Environment
	meta        runs.Meta
	preds       []runs.Prediction
	overall     map[string]float64 // instead of that of the predictions
	slices      map[string]map[string]runs.SliceMetrics
	noEval      bool
	noPreds     bool
}

// folder writes the run and returns it.
func (s spec) folder(t testing.TB) *runs.Run {
	t.Helper()
	if s.task == "" {
		s.task = "sft"
	}
	meta := s.meta
	meta.RunName, meta.Task = s.name, s.task
	w, err := runs.Create(t.TempDir(), runs.CreateOptions{Meta: meta})
	require.NoError(t, err)
	defer func() { require.NoError(t, w.Close()) }()
	if s.config != "" {
		require.NoError(t, w.WriteConfig([]byte(s.config)))
	}
	if s.environment != nil {
		require.NoError(t, w.WriteEnvironment(*s.environment))
	}
	if s.noEval {
		return reopen(t, w.Dir())
	}
	overall := s.overall
	if overall == nil && len(s.preds) > 0 {
		scores, err := metrics.Compute(s.task, metrics.Defaults(s.task), s.preds, metrics.Options{})
		require.NoError(t, err)
		overall = scores.Overall
	}
	e, err := runs.BeginEval(w.Dir())
	require.NoError(t, err)
	defer e.Abort()
	for _, p := range s.preds {
		require.NoError(t, e.Add(p))
	}
	require.NoError(t, e.Commit(runs.EvalResults{NumExamples: len(s.preds), TestDataPath: "test.jsonl", Overall: overall, Slices: s.slices}, nil, nil))
	if s.noPreds {
		require.NoError(t, os.Remove(filepath.Join(w.Dir(), "eval", "predictions.jsonl")))
	}
	return reopen(t, w.Dir())
}

func reopen(t testing.TB, dir string) *runs.Run {
	t.Helper()
	r, err := runs.Open(dir)
	require.NoError(t, err)
	return r
}

func compareRuns(t *testing.T, opt compare.Options, specs ...spec) *compare.Result {
	t.Helper()
	var list []*runs.Run
	for _, s := range specs {
		list = append(list, s.folder(t))
	}
	r, err := compare.Runs(context.Background(), list, opt)
	require.NoError(t, err)
	return r
}

// answers makes predictions with ids, of which those that right names are right.
func answers(n int, right func(i int) bool) []runs.Prediction {
	out := make([]runs.Prediction, n)
	for i := range out {
		out[i] = runs.Prediction{Index: i, ID: fmt.Sprintf("row_%04d", i), Input: fmt.Sprint("question ", i), Prediction: "wrong answer",
			Reference: "right", Loss: ptr(1 + float64(i%7)/10), LossTokens: 1 + i%3,
			Tags: map[string]string{"source": []string{"human", "model", "human", "human"}[i%4], "rare": []string{"yes", "no"}[min(i/5, 1)]}}
		if right(i) {
			out[i].Prediction = "right"
			*out[i].Loss -= 0.5
		}
	}
	return out
}

func metric(t *testing.T, r *compare.Result, name string) compare.Metric {
	t.Helper()
	for _, m := range r.Overall {
		if m.Metric == name {
			return m
		}
	}
	require.Fail(t, "no metric", name)
	return compare.Metric{}
}

func findSlice(t *testing.T, r *compare.Result, key, value string) compare.Slice {
	t.Helper()
	for _, s := range r.Slices {
		if s.Key == key && s.Value == value {
			return s
		}
	}
	require.Fail(t, "no slice", "%s=%s", key, value)
	return compare.Slice{}
}
