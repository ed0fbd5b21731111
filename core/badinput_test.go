package core_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/runs"
)

// kind is the typed error at the bottom of what Train or Evaluate returned.
func kind(err error) string {
	var (
		c *core.ConfigError
		d *core.DataError
		t *core.TrainingError
		e *core.EvalError
	)
	switch {
	case errors.As(err, &e):
		return "eval"
	case errors.As(err, &t):
		return "training"
	case errors.As(err, &d):
		return "data"
	case errors.As(err, &c):
		return "config"
	}
	return fmt.Sprintf("%T", err)
}

// assertNoRun wants no run directory left behind.
func assertNoRun(t *testing.T, cfg *config.Config) {
	t.Helper()
	entries, err := runs.List(cfg.Output.Dir)
	require.NoError(t, err)
	assert.Empty(t, entries)
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

func set(key string, value any) config.Override { return config.Override{Key: key, Value: value} }

// TestBadConfig: files that are wrong, and what the user is told.
func TestBadConfig(t *testing.T) {
	const good = "task: sft\nbase_model: builtin:nano\ndata_paths: {train: train.jsonl}\n"
	for _, c := range []struct{ name, text, message, hint string }{
		{"wrong type", good + "seed: many\n", "seed", ""},
		{"unknown key", good + "training: {learning_rat: 1e-4}\n", "learning_rat", "learning_rate"},
		{"misplaced key", good + "learning_rate: 1e-4\n", "learning_rate", "training.learning_rate"},
		{"contradiction", good + "lora: {enabled: false, quantization: 4bit}\n", "quantization", ""},
		{"no data", "task: sft\nbase_model: builtin:nano\n", "data_paths", ""},
		{"not YAML", "task: [sft\n", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, filepath.Join(t.TempDir(), "train.yaml"), c.text)
			_, err := core.Train(context.Background(), core.TrainOptions{ConfigPath: path})
			var bad *core.ConfigError
			require.ErrorAs(t, err, &bad)
			require.NotEmpty(t, bad.Problems)
			p := bad.Problems[0]
			assert.Equal(t, c.name != "no data", p.Line > 0, "what is missing has no line")
			assert.Contains(t, p.String(), c.message)
			assert.Contains(t, p.Hint, c.hint)
		})
	}
	_, err := core.Train(context.Background(), core.TrainOptions{ConfigPath: "no/such/train.yaml"})
	assert.Equal(t, "config", kind(err))
	assert.NotEmpty(t, hint(err))
	_, err = core.Train(context.Background(), core.TrainOptions{})
	assert.Equal(t, "config", kind(err))
}

func hint(err error) string {
	var typed core.VerifilyTrainError
	if !errors.As(err, &typed) {
		return ""
	}
	d := typed.Fault()
	if d.Hint == "" && len(d.Problems) > 0 {
		return d.Problems[0].Hint
	}
	return d.Hint
}

// TestBadData: rows and data sets that are wrong leave no run behind.
func TestBadData(t *testing.T) {
	const row = `{"instruction":"a","output":"b"}` + "\n"
	for _, c := range []struct{ name, text, message string }{
		{"empty", "", "no rows"},
		{"broken JSON", row + row + `{"instruction":` + "\n", ":3"},
		{"missing field", row + `{"instruction":"a"}` + "\n", "output"},
		{"wrong type", row + `{"instruction":"a","output":5}` + "\n", ":2"},
		{"not UTF-8", row + "{\"instruction\":\"\xff\",\"output\":\"b\"}\n", "UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := smallConfig(t, "sft", true, set("data_paths.train", write(t, filepath.Join(t.TempDir(), "train.jsonl"), c.text)))
			_, err := core.Train(context.Background(), core.TrainOptions{Config: cfg})
			require.Equal(t, "data", kind(err))
			assert.Contains(t, err.Error(), c.message)
			assertNoRun(t, cfg)
		})
	}
	t.Run("missing file", func(t *testing.T) {
		cfg := smallConfig(t, "sft", true, set("data_paths.train", "no/such.jsonl"))
		_, err := core.Train(context.Background(), core.TrainOptions{Config: cfg})
		assert.Equal(t, "data", kind(err))
		assert.NotEmpty(t, hint(err))
		assertNoRun(t, cfg)
	})
	t.Run("label unknown to training", func(t *testing.T) {
		val := write(t, filepath.Join(t.TempDir(), "val.jsonl"), `{"text":"x","label":"low"}`+"\n"+`{"text":"x","label":"hihg"}`+"\n")
		cfg := smallConfig(t, "classification", true, set("data_paths.val", val))
		_, err := core.Train(context.Background(), core.TrainOptions{Config: cfg})
		require.Equal(t, "data", kind(err))
		assert.Contains(t, err.Error(), val+":2")
		assert.Contains(t, err.Error(), "hihg")
		assert.Contains(t, hint(err), "high")
		assertNoRun(t, cfg)
	})
	t.Run("hash that does not match the manifest", func(t *testing.T) {
		dir := t.TempDir()
		train := write(t, filepath.Join(dir, "train.jsonl"), row)
		write(t, filepath.Join(dir, "manifest.json"), fmt.Sprintf(`{"dataset_id":"d","version":"1","format":"jsonl","task":"sft","num_rows":1,
			"content_hash":"","created_at":"2026-01-01T00:00:00Z","tag_keys":[],
			"files":[{"path":"train.jsonl","split":"train","num_rows":1,"sha256":"%064d"}],"row_schema":{},"tag_schema":{}}`, 7))
		cfg := smallConfig(t, "sft", true, set("data_paths.train", train), set("data_paths.val", nil), set("data_paths.test", nil))
		_, err := core.Train(context.Background(), core.TrainOptions{Config: cfg})
		require.Equal(t, "data", kind(err))
		assert.Contains(t, err.Error(), "train.jsonl")
		assertNoRun(t, cfg)
	})
	t.Run("no room for a response", func(t *testing.T) {
		cfg := smallConfig(t, "sft", true, set("training.max_seq_length", 3))
		_, err := core.Train(context.Background(), core.TrainOptions{Config: cfg})
		require.Equal(t, "data", kind(err))
		assert.Contains(t, hint(err), "max_seq_length")
		assertNoRun(t, cfg)
	})
}

// trainedModel is the model/ folder of a full run, to be damaged.
func trainedModel(t *testing.T) string {
	t.Helper()
	run := mustTrain(t, core.TrainOptions{Config: smallConfig(t, "sft", false, set("training.num_epochs", 1))})
	return filepath.Join(run.Dir(), "model")
}

// TestBadModel: damaged base models are refused by name.
func TestBadModel(t *testing.T) {
	good := trainedModel(t)
	for _, c := range []struct {
		name, file string
		damage     func([]byte) []byte
		message    string
	}{
		{"truncated weights", "model.safetensors", func(b []byte) []byte { return b[:len(b)-1000] }, "1000"},
		{"absurd header", "model.safetensors", func(b []byte) []byte {
			return append(binary.LittleEndian.AppendUint64(nil, 1<<60), b[8:]...)
		}, "header"},
		{"empty weights", "model.safetensors", func([]byte) []byte { return nil }, "model.safetensors"},
		{"other shape", "config.json", func(b []byte) []byte {
			return []byte(strings.Replace(string(b), `"intermediate_size": 344`, `"intermediate_size": 345`, 1))
		}, "shape"},
		{"far larger shape", "config.json", func(b []byte) []byte {
			return []byte(strings.NewReplacer(`"intermediate_size": 344`, `"intermediate_size": 262144`,
				`"num_hidden_layers": 3`, `"num_hidden_layers": 1024`, `"hidden_size": 128`, `"hidden_size": 65536`).Replace(string(b)))
		}, "config.json wants [300 65536]"},
		{"far more layers", "config.json", func(b []byte) []byte {
			return []byte(strings.Replace(string(b), `"num_hidden_layers": 3`, `"num_hidden_layers": 1024`, 1))
		}, "model.layers.3.input_layernorm.weight is missing"},
		{"half a layer", "config.json", func(b []byte) []byte {
			return []byte(strings.Replace(string(b), `"num_hidden_layers": 3`, `"num_hidden_layers": 2.5`, 1))
		}, "num_hidden_layers must be a whole number, not number 2.5"},
		{"other family", "config.json", func(b []byte) []byte {
			return []byte(strings.Replace(string(b), `"llama"`, `"gpt2"`, 1))
		}, "gpt2"},
		{"tokenizer without a model", "tokenizer.json", func([]byte) []byte { return []byte(`{"version":"1.0"}`) }, "tokenizer.json"},
		{"tokenizer without vocabulary", "tokenizer.json", func(b []byte) []byte {
			return []byte(strings.Replace(string(b), `"vocab"`, `"vocabulary"`, 1))
		}, "vocab"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.CopyFS(dir, os.DirFS(good)))
			path := filepath.Join(dir, c.file)
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			damaged := c.damage(data)
			require.NotEqual(t, data, damaged)
			require.NoError(t, os.WriteFile(path, damaged, 0o644))
			cfg := smallConfig(t, "sft", true, set("base_model", dir))
			_, err = core.Train(context.Background(), core.TrainOptions{Config: cfg})
			require.Equal(t, "config", kind(err), "%v", err)
			assert.Contains(t, err.Error(), c.message)
			assert.NotEmpty(t, hint(err))
			assertNoRun(t, cfg)
		})
	}
	for _, name := range []string{"builtin:huge", "no/such/model", "mistralai/Mistral-7B-v0.3"} {
		cfg := smallConfig(t, "sft", true, set("base_model", name))
		_, err := core.Train(context.Background(), core.TrainOptions{Config: cfg})
		require.Equal(t, "config", kind(err))
		assert.NotEmpty(t, hint(err))
		assertNoRun(t, cfg)
	}
}

func TestUnavailable(t *testing.T) {
	for _, o := range []config.Override{
		set("compute.device", "cuda"), set("lora.target_modules", []any{"q_prj"}),
		set("compute.distributed", true), set("output.push_to_hub", true), set("training.max_seq_length", 5000),
	} {
		cfg := smallConfig(t, "sft", true, o)
		_, err := core.Train(context.Background(), core.TrainOptions{Config: cfg})
		assert.Equal(t, "config", kind(err), "%s: %v", o.Key, err)
		assert.NotEmpty(t, hint(err), o.Key)
		assertNoRun(t, cfg)
	}
}

// TestDiverged: a loss that is not a number ends the run, which stays readable
// and names the way back.
func TestDiverged(t *testing.T) {
	cfg := smallConfig(t, "sft", false, set("training.learning_rate", 1e6), set("training.max_grad_norm", 0.0),
		set("training.lr_scheduler", "constant"), set("training.save_steps", 1), set("training.num_epochs", 20))
	run, err := core.Train(context.Background(), core.TrainOptions{Config: cfg})
	require.Equal(t, "training", kind(err), "%v", err)
	assert.Regexp(t, `is (NaN|[+-]Inf) at step \d+`, err.Error())
	assert.Contains(t, hint(err), "checkpoints/checkpoint-")
	meta, err := run.Meta()
	require.NoError(t, err)
	assert.Equal(t, runs.StatusFailed, meta.Status)
	assert.NotEmpty(t, meta.Error)
	log, err := run.Log()
	require.NoError(t, err)
	assert.NotEmpty(t, log.Lines)
	assert.NoFileExists(t, filepath.Join(run.Dir(), "hashes.json"))
	_, err = core.Evaluate(context.Background(), core.EvaluateOptions{RunPath: run.Dir()})
	assert.Equal(t, "eval", kind(err))
}

// TestBaseWithoutALoss: when it is the base that gives no number, the hint does
// not blame the learning rate.
func TestBaseWithoutALoss(t *testing.T) {
	dir := trainedModel(t)
	path := filepath.Join(dir, "model.safetensors")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	binary.LittleEndian.PutUint32(data[len(data)-4:], math.Float32bits(float32(math.NaN())))
	require.NoError(t, os.WriteFile(path, data, 0o644))
	cfg := smallConfig(t, "sft", true, set("base_model", dir))
	_, err = core.Train(context.Background(), core.TrainOptions{Config: cfg})
	require.Equal(t, "training", kind(err), "%v", err)
	assert.Contains(t, err.Error(), "loss is NaN at step 1")
	assert.Contains(t, hint(err), "base_model")
	assert.NotContains(t, hint(err), "learning_rate")
}

func TestUnwritableOutput(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "file"), "not a folder")
	cfg := smallConfig(t, "sft", true, set("output.dir", filepath.Join(file, "runs")))
	_, err := core.Train(context.Background(), core.TrainOptions{Config: cfg})
	require.Equal(t, "training", kind(err))
	assert.NotEmpty(t, hint(err))
}

// interruptedRun is a run stopped at step 5.
func interruptedRun(t *testing.T, cfg *config.Config) *runs.Run {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	run, err := core.Train(ctx, core.TrainOptions{Config: cfg, Events: func(ev engine.Event) {
		if s, ok := ev.(engine.StepEvent); ok && s.Step == 5 {
			cancel()
		}
	}})
	require.ErrorIs(t, err, engine.ErrInterrupted)
	return run
}

func TestBadResume(t *testing.T) {
	cfg := smallConfig(t, "sft", true)
	run := interruptedRun(t, cfg)
	resume := func(opt core.TrainOptions) error {
		_, err := core.Train(context.Background(), opt)
		return err
	}
	t.Run("another config", func(t *testing.T) {
		seed := int64(7)
		err := resume(core.TrainOptions{Config: cfg, Seed: &seed, ResumeFrom: run.Dir()})
		require.Equal(t, "config", kind(err))
		assert.Contains(t, err.Error(), "seed: was 42, now 7")
		assert.NotEmpty(t, hint(err))
	})
	t.Run("no run", func(t *testing.T) {
		for _, path := range []string{t.TempDir(), "no/such/run", filepath.Join(run.Dir(), "checkpoints/checkpoint-99")} {
			err := resume(core.TrainOptions{Config: cfg, ResumeFrom: path})
			assert.Equal(t, "config", kind(err), path)
			assert.NotEmpty(t, hint(err))
			assert.Equal(t, 1, strings.Count(err.Error(), path), "%v", err)
		}
	})
	t.Run("being written", func(t *testing.T) {
		w, err := runs.Reopen(run.Dir())
		require.NoError(t, err)
		err = resume(core.TrainOptions{ResumeFrom: run.Dir()})
		assert.Equal(t, "training", kind(err))
		require.ErrorIs(t, err, runs.ErrLocked)
		require.NoError(t, w.Close())
	})
	t.Run("damaged checkpoint", func(t *testing.T) {
		other := interruptedRun(t, cfg)
		path := filepath.Join(other.Dir(), "checkpoints/checkpoint-5/optimizer.safetensors")
		require.NoError(t, os.Truncate(path, 1234))
		err := resume(core.TrainOptions{ResumeFrom: other.Dir()})
		require.Equal(t, "training", kind(err))
		assert.Contains(t, err.Error(), "optimizer.safetensors")
		assert.Contains(t, hint(err), "older checkpoint")
		mustTrain(t, core.TrainOptions{ResumeFrom: filepath.Join(other.Dir(), "checkpoints/checkpoint-3")})
	})
	t.Run("changed data", func(t *testing.T) {
		other := interruptedRun(t, cfg)
		train := *cfg.DataPaths.Train
		data, err := os.ReadFile(train)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(train, append(data, data...), 0o644))
		defer os.WriteFile(train, data, 0o644)
		assert.Equal(t, "data", kind(resume(core.TrainOptions{ResumeFrom: other.Dir()})))
	})
	t.Run("completed", func(t *testing.T) {
		mustTrain(t, core.TrainOptions{ResumeFrom: run.Dir()})
		err := resume(core.TrainOptions{ResumeFrom: run.Dir()})
		assert.Equal(t, "training", kind(err))
		require.ErrorIs(t, err, runs.ErrCompleted)
	})
}

// TestLogThatLeadsElsewhere: a log that was made a link is refused, the run is
// not completed, and what the link leads to is not touched.
func TestLogThatLeadsElsewhere(t *testing.T) {
	run := interruptedRun(t, smallConfig(t, "sft", true))
	target := write(t, filepath.Join(t.TempDir(), "target"), "somebody else's")
	log := filepath.Join(run.Dir(), "train_log.jsonl")
	require.NoError(t, os.Remove(log))
	require.NoError(t, os.Symlink(target, log))
	_, err := core.Train(context.Background(), core.TrainOptions{ResumeFrom: run.Dir()})
	require.Equal(t, "training", kind(err), "%v", err)
	assert.Contains(t, err.Error(), "train_log.jsonl")
	data, err := os.ReadFile(target)
	require.NoError(t, err)
	assert.Equal(t, "somebody else's", string(data))
	meta, err := run.Meta()
	require.NoError(t, err)
	assert.NotEqual(t, runs.StatusCompleted, meta.Status)
}
