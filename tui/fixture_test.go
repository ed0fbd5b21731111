package tui

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/runs"
)

// noon is when every test looks at the screen.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// fixture says what a run folder holds.
type fixture struct {
	name   string // of the folder
	run    string // for people
	status runs.Status
	age    time.Duration
	fail   string
	config string
	losses []float64 // logged every ten steps; not finite ones as nulls
	epochs float64   // of the last line
	// wrong says which of the predictions are; nil: the run is not evaluated.
	wrong    func(i int) bool
	answer   func(i int) string // a wrong answer
	tags     func(i int) map[string]string
	decision string
}

const examples = 400

func kinds(i int) map[string]string {
	tags := map[string]string{"difficulty": []string{"easy", "easy", "hard"}[i%3], "source": []string{"human", "synthetic"}[i/7%2]}
	if i%40 == 0 {
		tags["source"] = "gsw"
	}
	return tags
}

func curve(n int, from, to float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		t := float64(i) / float64(max(1, n-1))
		out[i] = to + (from-to)*math.Exp(-5*t) + 0.04*math.Sin(float64(i)*1.7)
	}
	return out
}

func (f fixture) write(t testing.TB, root string) string {
	t.Helper()
	dir := filepath.Join(root, f.name)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	meta := runs.Meta{RunID: f.name, RunName: f.run, Status: f.status, Task: "sft", BaseModel: "builtin:nano",
		DatasetVersion: "words@v3", StartedAt: runs.FormatTime(noon.Add(-f.age)), Seed: "42", Error: f.fail}
	if f.status == runs.StatusCompleted {
		meta.DurationSeconds = 2538
	}
	put := func(name, content string) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	if f.config != "" {
		put("config.yaml", f.config)
	}
	var log strings.Builder
	for i, v := range f.losses {
		at := noon.Add(-f.age + time.Duration(i)*time.Second)
		loss := fmt.Sprint(v)
		extra := ""
		if math.IsNaN(v) || math.IsInf(v, 0) {
			loss, extra = "null", `, "non_finite": {"loss": "nan"}`
		}
		fmt.Fprintf(&log, `{"step": %d, "epoch": %v, "loss": %s, "learning_rate": %v, "grad_norm": %v, "tokens": %d, "tokens_per_second": %v, "timestamp": %q%s}`+"\n",
			(i+1)*10, f.epochs*float64(i+1)/float64(len(f.losses)), loss, 1e-3*(1-float64(i)/100), 1+0.3*math.Sin(float64(i)), (i+1)*5000, 9800.0+float64(i%7)*100, runs.FormatTime(at), extra)
		if i%20 == 19 {
			fmt.Fprintf(&log, `{"step": %d, "epoch": %v, "eval_loss": %v, "timestamp": %q}`+"\n",
				(i+1)*10, f.epochs*float64(i+1)/float64(len(f.losses)), v*1.1, runs.FormatTime(at))
		}
	}
	put("train_log.jsonl", log.String())
	if f.decision != "" {
		put("decision/decision.json", `{"recommendation": "`+f.decision+`", "reasons": []}`)
	}
	if f.wrong != nil {
		meta.Metrics = f.evaluate(t, dir)
	}
	data, err := json.Marshal(meta)
	require.NoError(t, err)
	put("run_meta.json", string(data))
	if f.status == runs.StatusRunning { // it was written when the run began
		require.NoError(t, os.Chtimes(filepath.Join(dir, "run_meta.json"), time.Time{}, noon.Add(-f.age)))
	}
	return dir
}

func (f fixture) evaluate(t testing.TB, dir string) map[string]float64 {
	t.Helper()
	tags := f.tags
	if tags == nil {
		tags = kinds
	}
	var preds []runs.Prediction
	for i := range examples {
		p := runs.Prediction{Index: i, ID: fmt.Sprintf("row_%03d", i), Input: fmt.Sprintf("What is the capital of state %d?", i),
			Reference: fmt.Sprintf("The city of Albany %d", i), Tags: tags(i)}
		p.InputHash = runs.InputHash(p.Input)
		p.Prediction = p.Reference
		loss := 0.2 + float64(i%10)/100
		if f.wrong(i) {
			p.Prediction = fmt.Sprintf("The town of New York %d", i)
			if f.answer != nil {
				p.Prediction = f.answer(i)
			}
			loss = 2 + float64(i%10)/10
		}
		p.Loss = &loss
		preds = append(preds, p)
	}
	keys := []string{"difficulty", "source"}
	scores, err := metrics.Score(metrics.TaskSFT, metrics.Defaults(metrics.TaskSFT), preds, metrics.Options{})
	require.NoError(t, err)
	result, err := scores.Result()
	require.NoError(t, err)
	e, err := runs.BeginEval(dir)
	require.NoError(t, err)
	for _, p := range preds {
		require.NoError(t, e.Add(p))
	}
	require.NoError(t, e.Commit(runs.EvalResults{RunID: f.name, TestDataPath: "data/test.jsonl", NumExamples: examples,
		Overall: result.Overall, Slices: scores.Slice(keys).Metrics}, metrics.Hard(metrics.TaskSFT, preds, 50), nil))
	return result.Overall
}

const plainConfig = "training:\n  num_epochs: 3\n  learning_rate: %v\neval:\n  min_slice: 30\n"

// normal are runs as a week of work leaves them.
func normal() []fixture {
	return []fixture{
		{name: "run_20260304_115800_aaaaaa", run: "lr-sweep-4", status: runs.StatusRunning, age: 2 * time.Minute,
			config: fmt.Sprintf(plainConfig, 0.002), losses: curve(41, 3.2, 0.4), epochs: 1.23},
		{name: "run_20260304_090000_bbbbbb", run: "human+synthetic", status: runs.StatusCompleted, age: 3 * time.Hour,
			config: fmt.Sprintf(plainConfig, 0.001), losses: curve(100, 3.4, 0.3), epochs: 3, decision: "SHIP",
			wrong: func(i int) bool { return i%3 == 2 && i%2 == 0 || i%11 == 0 }},
		{name: "run_20260303_110000_cccccc", run: "human-v2", status: runs.StatusCompleted, age: 25 * time.Hour,
			config: fmt.Sprintf(plainConfig, 0.0005), losses: curve(100, 3.3, 0.5), epochs: 3, decision: "INVESTIGATE",
			wrong: func(i int) bool { return i%3 == 2 || i%11 == 0 }},
		{name: "run_20260302_110000_dddddd", run: "qlora-8b", status: runs.StatusFailed, age: 49 * time.Hour, fail: "loss NaN, step 210",
			config: fmt.Sprintf(plainConfig, 0.5), losses: append(curve(20, 3.3, 2), 40, 900, math.NaN()), epochs: 0.6},
		{name: "run_20260228_110000_eeeeee", run: "overnight", status: runs.StatusInterrupted, age: 97 * time.Hour,
			config: fmt.Sprintf(plainConfig, 0.001), losses: curve(30, 3, 1), epochs: 1},
	}
}

// evil is text that tries to take the terminal over.
const evil = "\x1b[31mred\x1b]0;title\x07\u202egnp\u200b e\u0301\u0301\u0301\u0301\u0301\u0301\u0301 日本語 🙂 \r\n\ttab"

// hostile are runs of somebody who means no good.
func hostile() []fixture {
	megabyte := strings.Repeat("A\x1b[2J🙂", 150_000)
	manyTags := map[string]string{}
	for i := range 10_000 {
		manyTags[fmt.Sprintf("tag%d\x1b[H", i)] = evil
	}
	return []fixture{
		{name: "run_20260304_090000_bbbbbb", run: evil, status: runs.StatusCompleted, age: 3 * time.Hour,
			config: "training: {learning_rate: .nan, num_epochs: -3}\n\"k\\x1b\": \"\\x1b[2J\"\n",
			losses: []float64{math.NaN(), 1e300, -1, 0, 5e-324, math.NaN(), 3}, epochs: 1, decision: "\\u001b[2J",
			wrong: func(i int) bool { return i%3 == 0 },
			answer: func(i int) string {
				if i == 0 {
					return megabyte
				}
				return evil
			},
			tags: func(i int) map[string]string {
				if i == 0 {
					return manyTags
				}
				return map[string]string{"difficulty": evil, "source": fmt.Sprintf("%d\x1b[%dm", i%50, i)}
			}},
		{name: "run_20260302_110000_dddddd", run: strings.Repeat("long ", 50_000), status: runs.StatusFailed, age: -time.Hour, fail: megabyte, losses: nil},
		{name: "run_20260228_110000_eeeeee", run: "", status: "no\x1b[31msuch", age: 97 * time.Hour, losses: []float64{math.NaN()}},
	}
}

func writeAll(t testing.TB, root string, list []fixture) {
	t.Helper()
	require.NoError(t, os.MkdirAll(root, 0o755))
	for _, f := range list {
		f.write(t, root)
	}
}

// writeConfig writes a train.yaml and its data into the working directory.
func writeConfig(t testing.TB) {
	t.Helper()
	var rows strings.Builder
	for i := range 64 {
		fmt.Fprintf(&rows, `{"instruction": "say %d", "output": "number %d"}`+"\n", i, i)
	}
	require.NoError(t, os.WriteFile("train.jsonl", []byte(rows.String()), 0o644))
	require.NoError(t, os.WriteFile("train.yaml", []byte("name: small\ntask: sft\nbase_model: builtin:nano\ndata_paths: {train: train.jsonl}\n"+
		"lora: {enabled: false}\ntokenizer: {vocab_size: 300}\n"+
		"training: {num_epochs: 1, batch_size: 8, gradient_accumulation_steps: 1, max_seq_length: 48, logging_steps: 1}\n"), 0o644))
}
