package core_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// rows writes a small task that can be learned: spell a word backwards (sft)
// or tell its first letter's half of the alphabet (classification).
func rows(t *testing.T, task, name string, n, offset int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		k := (i*7 + offset) % 26
		word := string([]rune{rune('a' + k), rune('a' + (k*5+i)%26), rune('a' + (i*3)%26)})
		tags := fmt.Sprintf(`{"half":"%d","odd":"%d"}`, k/13, i%2)
		if task == "sft" {
			back := string([]byte{word[2], ' ', word[1], ' ', word[0]})
			fmt.Fprintf(&b, `{"instruction":"turn","input":"%s","output":"%s","tags":%s,"id":"row_%s%d"}`+"\n", word, back, tags, name, i)
		} else {
			fmt.Fprintf(&b, `{"text":"%s","label":"%s","tags":%s}`+"\n", word, []string{"low", "high"}[k/13], tags)
		}
	}
	path := filepath.Join(t.TempDir(), name+".jsonl")
	require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o644))
	return path
}

// smallConfig trains builtin:nano on 48 rows for a few steps.
func smallConfig(t *testing.T, task string, lora bool, set ...config.Override) *config.Config {
	t.Helper()
	overrides := append([]config.Override{
		{Key: "data_paths.train", Value: rows(t, task, "train", 48, 0)},
		{Key: "data_paths.val", Value: rows(t, task, "val", 12, 3)},
		{Key: "data_paths.test", Value: rows(t, task, "test", 20, 5)},
		{Key: "output.dir", Value: filepath.Join(t.TempDir(), "runs")},
		{Key: "lora.enabled", Value: lora},
		{Key: "tokenizer.vocab_size", Value: 300},
		{Key: "training.num_epochs", Value: 2},
		{Key: "training.batch_size", Value: 4},
		{Key: "training.gradient_accumulation_steps", Value: 2},
		{Key: "training.eval_steps", Value: 4},
		{Key: "training.save_steps", Value: 3},
		{Key: "training.logging_steps", Value: 2},
		{Key: "training.learning_rate", Value: 1e-3},
		{Key: "eval.slice_by_tags", Value: []any{"half", "odd"}},
		{Key: "eval.generation_max_new_tokens", Value: 8},
		{Key: "eval.generation_num_beams", Value: 2},
	}, set...)
	cfg, err := config.FromMap(map[string]any{"task": task, "base_model": "builtin:nano"}, overrides...)
	require.NoError(t, err)
	return cfg
}

// weights is the file that training is about.
func weights(t *testing.T, run *runs.Run) string {
	t.Helper()
	meta, err := run.Meta()
	require.NoError(t, err)
	name := map[string]string{"adapter": "adapter_model.safetensors", "model": "model.safetensors"}[meta.ArtifactPath]
	sum, err := canonical.FileHash(filepath.Join(run.Dir(), meta.ArtifactPath, name))
	require.NoError(t, err)
	return sum
}

func mustTrain(t *testing.T, opt core.TrainOptions) *runs.Run {
	t.Helper()
	run, err := core.Train(context.Background(), opt)
	require.NoError(t, err)
	return run
}

func TestTrainLeavesCompleteRun(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, c := range []struct {
		task     string
		lora     bool
		artifact []string
		metric   string
	}{
		{"sft", true, []string{"adapter/adapter_config.json", "adapter/adapter_model.safetensors"}, "f1"},
		{"sft", false, []string{"model/config.json", "model/model.safetensors", "model/tokenizer.json"}, "exact_match"},
		{"classification", true, []string{"adapter/adapter_config.json", "adapter/adapter_model.safetensors", "eval/confusion_matrix.json"}, "accuracy"},
		{"classification", false, []string{"model/model.safetensors", "eval/confusion_matrix.json"}, "macro_f1"},
	} {
		t.Run(fmt.Sprintf("%s/lora=%v", c.task, c.lora), func(t *testing.T) {
			var kinds []string
			run := mustTrain(t, core.TrainOptions{Config: smallConfig(t, c.task, c.lora), Events: func(ev engine.Event) {
				kind := fmt.Sprintf("%T", ev)
				if len(kinds) == 0 || kinds[len(kinds)-1] != kind {
					kinds = append(kinds, kind)
				}
			}})
			assert.Equal(t, "engine.FinishedEvent", kinds[len(kinds)-1])
			assert.Contains(t, kinds, "engine.PredictEvent")
			for _, name := range append(c.artifact, "run_meta.json", "config.yaml", "manifest.json", "environment.json",
				"tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json", "tokenizer/special_tokens_map.json",
				"train_log.jsonl", "train_summary.json", "eval/eval_results.json", "eval/hard_examples.jsonl",
				"eval/predictions.jsonl", "hashes.json", "checkpoints/checkpoint-12/trainer_state.json",
				"checkpoints/checkpoint-12/optimizer.safetensors", "checkpoints/checkpoint-12/scheduler.json",
				"checkpoints/checkpoint-12/rng_state.json") {
				assert.FileExists(t, filepath.Join(run.Dir(), name))
			}
			meta, err := run.Meta()
			require.NoError(t, err)
			assert.Equal(t, runs.StatusCompleted, meta.Status)
			assert.Contains(t, meta.Metrics, "train_loss")
			assert.Contains(t, meta.Metrics, c.metric)
			results, err := run.EvalResults()
			require.NoError(t, err)
			assert.Equal(t, 20, results.NumExamples)
			assert.InDelta(t, 20, results.Slices["half"]["0"]["n"]+results.Slices["half"]["1"]["n"], 0)
			checkHashes(t, run)
			checkLog(t, run)
		})
	}
}

// checkHashes recomputes every hash of a completed run.
func checkHashes(t *testing.T, run *runs.Run) {
	t.Helper()
	h, err := run.Hashes()
	require.NoError(t, err)
	require.NotEmpty(t, h.Files)
	for name, want := range h.Files {
		got, err := canonical.FileHash(filepath.Join(run.Dir(), name))
		require.NoError(t, err)
		assert.Equal(t, want, got, name)
	}
	assert.Equal(t, canonical.ChainHash(h.Files), h.ChainHash)
	meta, err := run.Meta()
	require.NoError(t, err)
	assert.Equal(t, runs.ReproducibilityHash(h.ConfigHash, h.DataHash, h.EnvironmentHash, meta.Seed), h.ReproducibilityHash)
	assert.Contains(t, h.Files, "run_meta.json")
	assert.Contains(t, h.Files, "eval/predictions.jsonl")
}

// checkLog wants a line on each logging and evaluation step, and a loss that falls.
func checkLog(t *testing.T, run *runs.Run) {
	t.Helper()
	log, err := run.Log()
	require.NoError(t, err)
	var losses []float64
	var logged, evaluated []int
	for _, l := range log.Lines {
		if l.Loss != nil {
			losses, logged = append(losses, *l.Loss), append(logged, l.Step)
		}
		if l.EvalLoss != nil {
			evaluated = append(evaluated, l.Step)
		}
	}
	assert.Equal(t, []int{2, 4, 6, 8, 10, 12}, logged)
	assert.Equal(t, []int{4, 8, 12}, evaluated)
	assert.Less(t, losses[len(losses)-1], losses[0])
}

func TestSameBytes(t *testing.T) {
	for _, lora := range []bool{true, false} {
		t.Run(fmt.Sprintf("lora=%v", lora), func(t *testing.T) {
			cfg := smallConfig(t, "sft", lora)
			want := mustTrain(t, core.TrainOptions{Config: cfg})
			for _, procs := range []int{1, 2, 4} {
				old := runtime.GOMAXPROCS(procs)
				got := mustTrain(t, core.TrainOptions{Config: cfg})
				runtime.GOMAXPROCS(old)
				assert.Equal(t, weights(t, want), weights(t, got), "GOMAXPROCS=%d", procs)
				assertSameFile(t, want, got, "eval/predictions.jsonl")
				assertSameFile(t, want, got, "tokenizer/tokenizer.json")
			}
			seed := int64(43)
			other := mustTrain(t, core.TrainOptions{Config: cfg, Seed: &seed})
			assert.NotEqual(t, weights(t, want), weights(t, other), "another seed")
		})
	}
}

func assertSameFile(t *testing.T, a, b *runs.Run, name string) {
	t.Helper()
	x, err := os.ReadFile(filepath.Join(a.Dir(), name))
	require.NoError(t, err)
	y, err := os.ReadFile(filepath.Join(b.Dir(), name))
	require.NoError(t, err)
	assert.Equal(t, string(x), string(y), name)
}

// TestBatchSplit: the same effective batch gives the same bytes, however it is
// cut into batches and accumulation.
func TestBatchSplit(t *testing.T) {
	var sums []string
	for _, split := range [][2]int{{8, 1}, {4, 2}, {1, 8}} {
		run := mustTrain(t, core.TrainOptions{Config: smallConfig(t, "sft", true,
			config.Override{Key: "training.batch_size", Value: split[0]},
			config.Override{Key: "training.gradient_accumulation_steps", Value: split[1]})})
		sums = append(sums, weights(t, run))
	}
	assert.Equal(t, sums[0], sums[1])
	assert.Equal(t, sums[0], sums[2])
}

func TestInterruptAndResume(t *testing.T) {
	for _, lora := range []bool{true, false} {
		t.Run(fmt.Sprintf("lora=%v", lora), func(t *testing.T) {
			cfg := smallConfig(t, "sft", lora)
			want := mustTrain(t, core.TrainOptions{Config: cfg})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			run, err := core.Train(ctx, core.TrainOptions{Config: cfg, Events: func(ev engine.Event) {
				if s, ok := ev.(engine.StepEvent); ok && s.Step == 5 {
					cancel()
				}
			}})
			var stopped *core.Interrupted
			require.ErrorAs(t, err, &stopped)
			assert.Equal(t, []int{5, 12}, []int{stopped.Step, stopped.Total})
			meta, err := run.Meta()
			require.NoError(t, err)
			assert.Equal(t, runs.StatusInterrupted, meta.Status)
			assert.DirExists(t, filepath.Join(run.Dir(), "checkpoints/checkpoint-5"))

			got := mustTrain(t, core.TrainOptions{ResumeFrom: run.Dir()})
			assert.Equal(t, run.Dir(), got.Dir())
			assert.Equal(t, weights(t, want), weights(t, got))
			checkLog(t, got)
			checkHashes(t, got)
		})
	}
}

// TestEvalInterrupted: a run stopped in its final evaluation resumes there.
func TestEvalInterrupted(t *testing.T) {
	cfg := smallConfig(t, "sft", true)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	run, err := core.Train(ctx, core.TrainOptions{Config: cfg, Events: func(ev engine.Event) {
		if s, ok := ev.(engine.CheckpointEvent); ok && s.Step == 12 {
			cancel()
		}
	}})
	require.ErrorIs(t, err, engine.ErrInterrupted)
	assert.NoFileExists(t, filepath.Join(run.Dir(), "eval/eval_results.json"))
	got := mustTrain(t, core.TrainOptions{ResumeFrom: run.Dir()})
	checkHashes(t, got)
}

func TestControl(t *testing.T) {
	cfg := smallConfig(t, "sft", true)
	want := mustTrain(t, core.TrainOptions{Config: cfg})
	control := &engine.Control{}
	paused := make(chan struct{})
	go func() {
		<-paused
		control.Resume()
	}()
	var saved []int
	got := mustTrain(t, core.TrainOptions{Config: cfg, Control: control, Events: func(ev engine.Event) {
		switch e := ev.(type) {
		case engine.StepEvent:
			if e.Step == 4 {
				control.Checkpoint()
				control.Pause()
				close(paused)
			}
		case engine.CheckpointEvent:
			saved = append(saved, e.Step)
		}
	}})
	assert.Equal(t, []int{3, 4, 6, 9, 12}, saved)
	assert.Equal(t, weights(t, want), weights(t, got))
}

func TestPlan(t *testing.T) {
	cfg := smallConfig(t, "sft", true)
	var plan engine.Plan
	run, err := core.Train(context.Background(), core.TrainOptions{Config: cfg, DryRun: true, Plan: &plan})
	require.NoError(t, err)
	assert.Nil(t, run)
	assert.Equal(t, 48, plan.TrainRows)
	assert.Equal(t, 12, plan.TotalSteps)
	assert.Equal(t, 300, plan.VocabSize)
	assert.Positive(t, plan.Seconds)
	// r·(in+out) for q and v of three layers; the base as builtin:nano has it.
	assert.EqualValues(t, 3*2*16*(128+128), plan.TrainableParams)
	assert.EqualValues(t, 300*128+3*(4*128*128+3*128*344+2*128)+128, plan.FrozenParams)
	assert.NoDirExists(t, cfg.Output.Dir)
	require.Len(t, plan.Warnings, 1, "an adapter over random weights")
}

// TestBaseFromRun: a run stands on another, full or adapter, and starts from
// its loss.
func TestBaseFromRun(t *testing.T) {
	full := mustTrain(t, core.TrainOptions{Config: smallConfig(t, "sft", false, config.Override{Key: "training.num_epochs", Value: 20})})
	base := finalEvalLoss(t, full)
	adapted := mustTrain(t, core.TrainOptions{Config: smallConfig(t, "sft", true), BaseModel: full.Dir()})
	assert.Less(t, finalEvalLoss(t, adapted), base*1.05, "an adapter on a trained base starts from it")
	onAdapter := mustTrain(t, core.TrainOptions{Config: smallConfig(t, "sft", true), BaseModel: adapted.Dir()})
	assert.Less(t, finalEvalLoss(t, onAdapter), base*1.05)
	classifier := mustTrain(t, core.TrainOptions{Config: smallConfig(t, "classification", true), BaseModel: filepath.Join(full.Dir(), "model")})
	res, err := core.Evaluate(context.Background(), core.EvaluateOptions{RunPath: classifier.Dir()})
	require.NoError(t, err)
	assert.Equal(t, 20, res.NumExamples)
}

func finalEvalLoss(t *testing.T, run *runs.Run) float64 {
	t.Helper()
	meta, err := run.Meta()
	require.NoError(t, err)
	return meta.Metrics["eval_loss"]
}

func TestEvaluate(t *testing.T) {
	cfg := smallConfig(t, "sft", true)
	run := mustTrain(t, core.TrainOptions{Config: cfg})
	first, err := run.EvalResults()
	require.NoError(t, err)
	hard := 3
	out := filepath.Join(t.TempDir(), "elsewhere")
	res, err := core.Evaluate(context.Background(), core.EvaluateOptions{RunPath: run.Dir(), OutputDir: out, HardExamples: &hard,
		Metrics: []string{"f1", "eval_loss", "rougeL"}, SliceBy: []string{"half*odd"}, BatchSize: 3})
	require.NoError(t, err)
	assert.Len(t, res.Hard, 3)
	assert.Equal(t, first.Overall["f1"], res.Overall["f1"], "the batch size does not change answers")
	assert.Equal(t, first.Overall["eval_loss"], res.Overall["eval_loss"])
	assert.Len(t, res.Slices["half*odd"], 4)
	assert.FileExists(t, filepath.Join(out, "predictions.jsonl"))

	other := rows(t, "sft", "other", 7, 1)
	res, err = core.Evaluate(context.Background(), core.EvaluateOptions{RunPath: run.Dir(), TestData: other})
	require.NoError(t, err)
	assert.Equal(t, 7, res.NumExamples)
	checkHashes(t, run) // a later evaluation keeps hashes.json true
}

// TestMergedModel: with save_adapter_only off, model/ holds the base with the
// adapter merged, and answers as the adapter run does.
func TestMergedModel(t *testing.T) {
	for _, task := range []string{"sft", "classification"} {
		t.Run(task, func(t *testing.T) {
			off := config.Override{Key: "output.save_adapter_only", Value: false}
			run := mustTrain(t, core.TrainOptions{Config: smallConfig(t, task, true, off)})
			with, err := run.EvalResults() // predicted before a reader could prefer model/ to adapter/
			require.NoError(t, err)
			require.FileExists(t, filepath.Join(run.Dir(), "model/model.safetensors"))
			require.NoError(t, os.RemoveAll(filepath.Join(run.Dir(), "adapter")))
			res, err := core.Evaluate(context.Background(), core.EvaluateOptions{RunPath: run.Dir(), OutputDir: t.TempDir()})
			require.NoError(t, err)
			assert.Equal(t, with.Overall, res.Overall)
		})
	}
}

// TestQuantizedBase: an adapter over a base in 8 or 4 bits learns as it does
// over float32, and repeats its bytes.
func TestQuantizedBase(t *testing.T) {
	base := mustTrain(t, core.TrainOptions{Config: smallConfig(t, "sft", false, config.Override{Key: "training.num_epochs", Value: 20})})
	losses := map[string]float64{}
	for _, bits := range []string{"none", "8bit", "4bit"} {
		cfg := smallConfig(t, "sft", true, config.Override{Key: "lora.quantization", Value: bits})
		run := mustTrain(t, core.TrainOptions{Config: cfg, BaseModel: base.Dir()})
		again := mustTrain(t, core.TrainOptions{Config: cfg, BaseModel: base.Dir()})
		assert.Equal(t, weights(t, run), weights(t, again), bits)
		losses[bits] = finalEvalLoss(t, run)
	}
	assert.InEpsilon(t, losses["none"], losses["8bit"], 0.02)
	assert.InEpsilon(t, losses["none"], losses["4bit"], 0.1)
	assert.NotEqual(t, losses["none"], losses["8bit"])
	assert.NotEqual(t, losses["8bit"], losses["4bit"])
}
