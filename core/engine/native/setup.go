package native

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/core/engine/native/bpe"
	"github.com/verifily/verifily-tui/core/fault"
)

// setup is everything a run stands on: base model, tokenizer and data.
type setup struct {
	job     engine.Job
	cfg     *config.Config
	tok     *bpe.Tokenizer
	learned bool // the tokenizer, from the training data
	model   *Model
	lora    *loraSpec // nil: everything is trained
	train   *examples
	val     *examples // nil when there is none
	base    string    // the name of the base for adapter_config.json
	// notes are warnings about the evaluation to come.
	notes []string
}

// newSetup builds the model and reads or learns its tokenizer. On resume the
// tokenizer in the run directory is the one.
func newSetup(ctx context.Context, job engine.Job) (*setup, error) {
	s := &setup{job: job, cfg: job.Config}
	if err := s.checkConfig(); err != nil {
		return nil, err
	}
	b, err := openBase(s.cfg.BaseModel, job.Dir, s.cfg.Seed)
	if err != nil {
		return nil, err
	}
	if s.cfg.LoRA.Enabled {
		b.quantize(s.cfg.LoRA.Quantization)
	}
	s.base = b.name
	if err := s.build(ctx, b); err != nil {
		return nil, firstError(err, b.src.close())
	}
	return s, nil
}

// checkConfig refuses settings that this engine cannot follow.
func (s *setup) checkConfig() error {
	c := s.cfg
	switch {
	case c.Compute.Distributed:
		return badSetting("compute.distributed is set, and this engine trains in one process", "set compute.distributed to false")
	case c.Output.PushToHub:
		return badSetting("output.push_to_hub is set, and this engine uploads nothing", "set output.push_to_hub to false")
	}
	return checkDevice(c)
}

// checkDevice refuses every device but the CPU, in training and in evaluation.
func checkDevice(c *config.Config) error {
	if c.Compute.Device == "auto" || c.Compute.Device == "cpu" {
		return nil
	}
	return badSetting(fmt.Sprintf("compute.device is %q, and this engine computes on the CPU", c.Compute.Device),
		"set compute.device to auto or cpu")
}

func badSetting(reason, hint string) error {
	return &fault.ConfigError{Detail: fault.Detail{Op: "choose engine", Reason: reason, Hint: hint}}
}

func (s *setup) build(ctx context.Context, b *base) error {
	var err error
	if s.tok, err = s.tokenizer(ctx, b); err != nil {
		return err
	}
	arch := b.arch
	if IsBuiltin(s.cfg.BaseModel) {
		arch.VocabSize = s.tok.VocabSize()
	}
	arch.EOS, arch.PAD = int(s.tok.EOS()), int(s.tok.PAD())
	if s.tok.VocabSize() > arch.VocabSize {
		return tooManyTokens(b.tokenizerDir, s.tok, &arch)
	}
	if s.cfg.Training.MaxSeqLength > arch.MaxPositions {
		return &fault.ConfigError{Detail: fault.Detail{Op: "choose length",
			Reason: fmt.Sprintf("training.max_seq_length is %d, the model has %d positions", s.cfg.Training.MaxSeqLength, arch.MaxPositions),
			Hint:   fmt.Sprintf("set it to %d or less", arch.MaxPositions)}}
	}
	if s.cfg.Task == dataset.Classification {
		labels := labelNames(s.job.Data.Train)
		if len(labels) < 2 {
			return &fault.DataError{Detail: fault.Detail{Op: "read labels", Path: s.job.Data.Train.Path(),
				Reason: fmt.Sprintf("all rows have the label %q", labels[0]), Hint: "classification needs at least two labels"}}
		}
		if slices.Equal(labels, arch.Labels) {
			b.keepScore()
		}
		arch.Labels = labels
	} else {
		if len(arch.Labels) > 0 && !arch.Tied {
			return &fault.ConfigError{Detail: fault.Detail{Op: "load model", Path: s.cfg.BaseModel,
				Reason: "the base is a classifier without a language model head", Hint: "choose another base_model for task sft"}}
		}
		arch.Labels = nil
	}
	if s.cfg.LoRA.Enabled {
		modules, err := loraModules(s.cfg.LoRA.TargetModules)
		if err != nil {
			return err
		}
		s.lora = &loraSpec{r: s.cfg.LoRA.R, alpha: float64(s.cfg.LoRA.Alpha), dropout: s.cfg.LoRA.Dropout,
			modules: modules, seed: s.cfg.Seed}
	}
	if s.model, err = newModel(arch, b.src, s.lora, true); err != nil {
		return err
	}
	s.train = s.examples(s.job.Data.Train)
	if s.job.Data.Val != nil {
		s.val = s.examples(s.job.Data.Val)
		if err := s.val.checkLabels(); err != nil {
			return err
		}
	}
	if s.job.Data.Test != nil {
		if err := s.examples(s.job.Data.Test).checkLabels(); err != nil {
			return err
		}
	}
	return s.checkEvaluation(ctx)
}

// checkEvaluation refuses settings that the evaluation after training would be
// refused for, and notes what it would lose.
func (s *setup) checkEvaluation(ctx context.Context) error {
	test := cmp.Or(s.job.Data.Test, s.job.Data.Val)
	if !s.cfg.Eval.Enabled || test == nil || s.cfg.Task == dataset.Classification {
		return nil
	}
	rows := test.Len()
	if s.cfg.Eval.GoldSet != nil {
		rows = math.MaxInt32 // it may be larger than the test data
	}
	if err := checkGeneration(&s.cfg.Eval, &s.model.Arch, rows); err != nil {
		return err
	}
	room := promptRoom(s.cfg, &s.model.Arch)
	n, err := s.examples(test).longPrompts(ctx, room)
	if n > 0 {
		s.notes = append(s.notes, fmt.Sprintf("%d prompts of %s are longer than %d tokens and lose their start when they are answered",
			n, filepath.Base(test.Path()), room))
	}
	return err
}

func (s *setup) examples(f *dataset.File) *examples {
	return &examples{file: f, tok: s.tok, maxLen: s.cfg.Training.MaxSeqLength, labels: labelIndex(s.model.Arch.Labels)}
}

// labelNames lists the labels of a file, sorted.
func labelNames(f *dataset.File) []string {
	var names []string
	for _, l := range f.Labels() {
		names = append(names, l.Value)
	}
	slices.Sort(names)
	return names
}

// tokenizer loads the tokenizer of the base, or of the run on resume, or
// learns one from the training data for a built-in model.
func (s *setup) tokenizer(ctx context.Context, b *base) (*bpe.Tokenizer, error) {
	if s.job.Dir != "" {
		dir := filepath.Join(s.job.Dir, tokenizerDir)
		if exists(filepath.Join(dir, "tokenizer.json")) {
			return loadTokenizer(dir)
		}
	}
	if b.tokenizerDir != "" {
		return loadTokenizer(b.tokenizerDir)
	}
	opt := bpe.TrainOptions{VocabSize: s.cfg.Tokenizer.VocabSize}
	if s.cfg.Tokenizer.Split != nil {
		opt.Split = *s.cfg.Tokenizer.Split
	}
	var failed error
	s.learned = true
	tok, err := bpe.Train(ctx, trainTexts(ctx, s.job.Data.Train, &failed), opt)
	return tok, firstError(failed, err)
}

func loadTokenizer(dir string) (*bpe.Tokenizer, error) {
	tok, err := bpe.Load(dir)
	if err != nil {
		return nil, modelError(dir, err)
	}
	return tok, nil
}

// tooManyTokens is the error of a tokenizer that a model has too few embeddings
// for.
func tooManyTokens(dir string, tok *bpe.Tokenizer, arch *Arch) error {
	return &fault.ConfigError{Detail: fault.Detail{Op: "load tokenizer", Path: dir,
		Reason: fmt.Sprintf("the tokenizer has %d tokens, the model %d", tok.VocabSize(), arch.VocabSize),
		Hint:   "tokenizer.json belongs to another model"}}
}

// trainTexts yields what the model will read and write in training.
func trainTexts(ctx context.Context, f *dataset.File, failed *error) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range f.Len() {
			row, err := f.Row(i)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				*failed = err
				return
			}
			if !yield(row.Prompt()) || (row.Output != "" && !yield(row.Output)) {
				return
			}
		}
	}
}

// Folders of the run directory that this engine writes.
const (
	tokenizerDir   = "tokenizer"
	adapterDir     = "adapter"
	modelDir       = "model"
	checkpointsDir = "checkpoints"
)

// saveTokenizer writes the tokenizer before training starts, so that every
// checkpoint can be used.
func (s *setup) saveTokenizer() error {
	dir := filepath.Join(s.job.Dir, tokenizerDir)
	if exists(filepath.Join(dir, "tokenizer.json")) {
		return nil
	}
	return s.tok.Save(dir)
}

// saveArtifact writes what was trained: the adapter, or the whole model with
// its tokenizer. With output.save_adapter_only off, the base with the adapter
// merged into it goes to model/ too.
func (s *setup) saveArtifact() (dir, weights string, err error) {
	if s.lora == nil {
		return modelDir, modelDir + "/" + modelWeightsName, s.saveWeights(filepath.Join(s.job.Dir, modelDir))
	}
	err = s.saveWeights(filepath.Join(s.job.Dir, adapterDir))
	if err == nil && !s.cfg.Output.SaveAdapterOnly {
		err = s.saveMerged(filepath.Join(s.job.Dir, modelDir))
	}
	return adapterDir, adapterDir + "/" + adapterWeightsName, err
}

// saveMerged writes the model with its adapter merged, which needs no PEFT.
func (s *setup) saveMerged(dir string) error {
	b, err := openAdapterRun(s.job.Dir, s.cfg.Seed, 0)
	if err != nil {
		return err
	}
	b.keepScore()
	m, err := newModel(b.arch, b.src, nil, false)
	if err != nil {
		return firstError(err, b.src.close())
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return firstError(fmt.Errorf("make folder for the merged model: %w", err), m.close())
	}
	err = readingFiles(func() error { return m.saveModel(dir) })
	return firstError(err, s.tok.Save(dir), m.close())
}

// saveWeights writes the trained weights into dir, which must not exist or be
// the same kind of folder.
func (s *setup) saveWeights(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make folder for weights: %w", err)
	}
	if s.lora != nil {
		return s.model.saveAdapter(dir, s.lora, s.base)
	}
	if err := s.model.saveModel(dir); err != nil {
		return err
	}
	return s.tok.Save(dir)
}
