package core_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/runs"
)

// evaluatedRun writes a run with predictions of which the first right ones are
// right, and returns its id.
func evaluatedRun(t *testing.T, root, name string, right int) string {
	t.Helper()
	w, err := runs.Create(root, runs.CreateOptions{Meta: runs.Meta{Task: "sft", RunName: name}})
	require.NoError(t, err)
	require.NoError(t, w.Close())
	e, err := runs.BeginEval(w.Dir())
	require.NoError(t, err)
	defer e.Abort()
	for i := range 100 {
		p := runs.Prediction{Index: i, ID: fmt.Sprint(i), Input: fmt.Sprint(i), Prediction: "no", Reference: "yes"}
		if i < right {
			p.Prediction = "yes"
		}
		require.NoError(t, e.Add(p))
	}
	require.NoError(t, e.Commit(runs.EvalResults{NumExamples: 100, Overall: map[string]float64{"f1": float64(right) / 100}}, nil, nil))
	return w.ID()
}

func TestCompareFindsRuns(t *testing.T) {
	root := t.TempDir()
	a, b := evaluatedRun(t, root, "first", 40), evaluatedRun(t, root, "second", 70)
	evaluatedRun(t, root, "twin", 70)
	evaluatedRun(t, root, "twin", 70)
	for _, names := range [][]string{{filepath.Join(root, a), filepath.Join(root, b)}, {a, b}, {"first", "second"}} {
		r, err := core.Compare(context.Background(), core.CompareOptions{Runs: names, RunsDir: root})
		require.NoError(t, err)
		assert.Equal(t, []string{a, b}, []string{r.Runs[0].ID, r.Runs[1].ID})
		assert.InDelta(t, 0.3, r.Overall[0].Deltas[0].Delta, 1e-12)
		assert.Equal(t, "better", string(r.Overall[0].Deltas[0].Verdict))
	}
	var evalErr *core.EvalError
	for name, says := range map[string]string{"none": "there is no such run", "": "there is no such run", "twin": `2 runs have the name "twin"`} {
		_, err := core.Compare(context.Background(), core.CompareOptions{Runs: []string{a, name}, RunsDir: root})
		require.ErrorAs(t, err, &evalErr, name)
		require.ErrorContains(t, err, says)
		assert.Contains(t, evalErr.Hint, "run_")
	}
	listed, err := runs.List(root)
	require.NoError(t, err)
	listed = slices.DeleteFunc(listed, func(e runs.Entry) bool { return e.Meta.RunName != "twin" }) // the others may be as old
	_, err = core.FindRun("twin", root)
	require.ErrorAs(t, err, &evalErr)
	assert.Regexp(t, "^use an id, the newest first: "+listed[0].Name+` \(\d+s ago\), `+listed[1].Name+` \(\d+s ago\)$`, evalErr.Hint)
	_, err = core.Compare(context.Background(), core.CompareOptions{Runs: []string{"none"}, RunsDir: filepath.Join(root, "nowhere")})
	require.ErrorAs(t, err, &evalErr)
	_, err = core.Compare(context.Background(), core.CompareOptions{Runs: []string{a}, RunsDir: root})
	var configErr *core.ConfigError
	require.ErrorAs(t, err, &configErr)
}

// What is called by its id or name leads to the path that the listing gives.
func TestFindRun(t *testing.T) {
	home := t.TempDir()
	t.Chdir(home)
	id := evaluatedRun(t, "runs", "mine", 40)
	require.NoError(t, os.MkdirAll("folder", 0o755))
	require.NoError(t, os.MkdirAll("mine", 0o755))
	for name, want := range map[string]string{id: "runs/" + id, "mine": "runs/" + id, "runs/" + id: "runs/" + id, "folder": "folder"} {
		path, err := core.FindRun(name, "")
		require.NoError(t, err, name)
		assert.Equal(t, want, path, name)
	}
	for _, name := range []string{"", "none", "folder/none"} {
		_, err := core.FindRun(name, "")
		var evalErr *core.EvalError
		require.ErrorAs(t, err, &evalErr, name)
		assert.NotEmpty(t, evalErr.Hint)
	}
	_, err := core.Compare(context.Background(), core.CompareOptions{Runs: []string{id, "folder"}})
	require.ErrorIs(t, err, runs.ErrNotRun)
}
