package source_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/tui/source"
)

// TestLabelsOfSeveralPrograms writes from many sides at once: every line must be
// there, and whole.
func TestLabelsOfSeveralPrograms(t *testing.T) {
	_, dir := run(t, map[string]string{"run_meta.json": meta})
	const writers, each = 4, 8
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			s := source.New(filepath.Dir(dir)) // as another program would
			for i := range each {
				_, err := s.Label(context.Background(), dir, source.Review{ID: fmt.Sprintf("%d-%d", w, i), Verdict: "fine",
					Note: strings.Repeat("long ", 2000), Reviewer: "Ada"})
				assert.NoError(t, err)
			}
		})
	}
	wg.Wait()
	data, err := os.ReadFile(filepath.Join(dir, "review", "review.jsonl"))
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	require.Len(t, lines, writers*each)
	seen := map[string]bool{}
	for _, l := range lines {
		var r source.Review
		require.NoError(t, json.Unmarshal([]byte(l), &r))
		seen[r.ID] = true
	}
	assert.Len(t, seen, writers*each)
}

func TestLabelRefuses(t *testing.T) {
	s, dir := run(t, map[string]string{"run_meta.json": meta})
	r := source.Review{ID: "a", Verdict: "fine", Reviewer: "Ada"}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "review"), 0o755))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "review", "review.jsonl"), 0o644))
	_, err := s.Label(context.Background(), dir, r)
	assert.ErrorContains(t, err, "not a regular file", "a pipe is not waited for")
	_, err = s.Label(context.Background(), filepath.Join(dir, "gone"), r)
	assert.ErrorIs(t, err, os.ErrNotExist)
	assert.NoDirExists(t, filepath.Join(dir, "gone"))
}

func TestReviewsOfOthers(t *testing.T) {
	s, dir := run(t, map[string]string{"run_meta.json": meta,
		"eval/hard_examples.jsonl": `{"rank": 1, "input_hash": "sha256:x", "id": "a"}` + "\n" + `{"rank": 2, "input_hash": "sha256:y", "id": "b"}` + "\n",
		"review/a.jsonl":           `{"id": "a", "label": "ambiguous", "note": "as others call it"}` + "\nnot json\n",
		"review/b.jsonl":           `{"input_hash": "sha256:y", "verdict": "fine"}` + "\n" + `{"input_hash": "sha256:y", "verdict": ""}` + "\n",
		"review/notes.txt":         "no review"})
	hard, err := s.Hard(dir, "")
	require.NoError(t, err)
	assert.Equal(t, "ambiguous", hard.Examples[0].Label)
	assert.Empty(t, hard.Examples[1].Label, "a verdict that was taken back")
}

func TestRelabel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.jsonl")
	var e source.Example
	e.ID, e.Input, e.Label = "a", "x\x1b[2J\u202e<b>", "fine"
	require.NoError(t, source.WriteRelabel(path, []*source.Example{&e}))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var l map[string]any
	require.NoError(t, json.Unmarshal(data, &l))
	assert.Equal(t, e.Input, l["input"], "data leaves as it is")
	assert.NotContains(t, string(data), "\x1b", "and no terminal obeys the file")
	assert.Equal(t, 1, strings.Count(string(data), "\n"))
}

func TestCross(t *testing.T) {
	var preds strings.Builder
	for i := range 200 {
		tags := fmt.Sprintf(`{"a": "x%d", "b": "%c"}`, i%2, 'p'+rune(i%3))
		if i == 0 {
			tags = "{}"
		}
		fmt.Fprintf(&preds, `{"index": %d, "input": "i", "prediction": "%s", "reference": "yes", "tags": %s}`+"\n", i, []string{"yes", "no"}[i%4/3], tags)
	}
	s, dir := run(t, map[string]string{"run_meta.json": meta, "eval/predictions.jsonl": preds.String()})
	c, err := s.Cross(dir, "a", "b")
	require.NoError(t, err)
	assert.Equal(t, []string{"x1", "x0", "_untagged"}, c.ValuesA)
	n, wrong := 0, 0
	for _, cell := range c.Cells {
		n, wrong = n+cell.N, wrong+cell.Errors
	}
	assert.Equal(t, 200, n)
	assert.Equal(t, 50, wrong)
	cell := c.Cells[[2]string{"x1", "p"}]
	assert.Equal(t, "a*b", cell.Key)
	assert.Equal(t, "x1*p", cell.Value)
	assert.False(t, cell.TooFew)
	assert.InDelta(t, 1-float64(cell.Errors)/float64(cell.N), cell.Values["f1"], 1e-9)
	assert.True(t, cell.Intervals["f1"].Known())
	assert.True(t, c.Cells[[2]string{"_untagged", "_untagged"}].TooFew)

	_, err = s.Cross(filepath.Join(dir, "gone"), "a", "b")
	assert.Error(t, err)
}

// TestCrossBoundsValues crosses tags of thousands of values.
func TestCrossBoundsValues(t *testing.T) {
	var preds strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&preds, `{"index": %d, "prediction": "p", "reference": "p", "tags": {"a": "v%d", "b": "w%d"}}`+"\n", i, i, i%3)
	}
	s, dir := run(t, map[string]string{"run_meta.json": meta, "eval/predictions.jsonl": preds.String()})
	c, err := s.Cross(dir, "a", "b")
	require.NoError(t, err)
	assert.Len(t, c.ValuesA, source.MostCrossed)
	assert.Len(t, c.ValuesB, 3)
	assert.Equal(t, 5000-source.MostCrossed, c.LeftOut)
}

func TestFileProof(t *testing.T) {
	s, dir := run(t, map[string]string{"run_meta.json": meta, "contamination.json": `{"status":"PASS","exact":{"n":0}}`, "long.json": strings.Repeat("x", source.MaxProof+10)})
	p, err := s.FileProof(dir, "contamination.json")
	require.NoError(t, err)
	assert.Equal(t, "{\n  \"status\": \"PASS\",\n  \"exact\": {\n    \"n\": 0\n  }\n}", p.Text, "JSON on one line is laid out")
	p, err = s.FileProof(dir, "long.json")
	require.NoError(t, err)
	assert.True(t, p.More)
	assert.Len(t, p.Text, source.MaxProof)
	p, err = s.FileProof("", filepath.Join(dir, "run_meta.json"))
	require.NoError(t, err, "a path of its own")
	assert.Contains(t, p.Text, "run_a")
	_, err = s.FileProof(dir, "none.json")
	assert.ErrorIs(t, err, os.ErrNotExist)
	_, err = s.FileProof(dir, "eval")
	assert.Error(t, err)
}

func TestHashProof(t *testing.T) {
	s, dir := run(t, map[string]string{"run_meta.json": meta, "config.yaml": "a: 1\n",
		"hashes.json": `{"files": {"config.yaml": "00", "gone.txt": "11"}, "chain_hash": "typed by hand"}`})
	p, err := s.HashProof(context.Background(), dir)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(p.Rows), 3)
	assert.Equal(t, source.Check{Name: "config.yaml", Detail: "not what was recorded as 00"}, p.Rows[0])
	assert.Equal(t, source.Check{Name: "gone.txt", Detail: "not there; recorded as 11"}, p.Rows[1])
	assert.Equal(t, "chain", p.Rows[2].Name)
	assert.False(t, p.Rows[2].OK)
}

func TestInputs(t *testing.T) {
	s, dir := run(t, map[string]string{"run_meta.json": `{"run_id": "run_a", "status": "completed", "dataset_version": "d@1"}`,
		"config.yaml": "training: {learning_rate: 0.1}\nseed: 1\n", "environment.json": `{"platform": "linux", "packages": {"go": "1.26"}}`})
	other := filepath.Join(filepath.Dir(dir), "run_b")
	require.NoError(t, os.Mkdir(other, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(other, "run_meta.json"), []byte(meta), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(other, "config.yaml"), []byte("seed: 1\n"), 0o644))
	in, err := s.Inputs([]string{dir, other})
	require.NoError(t, err)
	require.Len(t, in.Config, 2)
	assert.Equal(t, "seed", in.Config[0].Name)
	assert.Equal(t, "1", in.Config[0].Text(1))
	assert.Equal(t, "missing", in.Config[1].Text(1))
	assert.NotEmpty(t, in.Environment)
	assert.Equal(t, "dataset_version", in.Data[0].Name)
}
