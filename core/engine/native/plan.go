package native

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/core/fault"
)

// planSample is how many rows are tokenised to learn lengths; with more rows
// the totals are extrapolated from an even sample.
const planSample = 50_000

// lengths is what tokenising the training rows shows.
type lengths struct {
	tokens, labels     int64 // of one epoch
	longest            int
	truncated, useless int // rows cut; rows cut so far that nothing carries a loss
	sampled            bool

	rows   []rowShape // those that were tokenised, every stride-th
	stride int
}

// rowShape is a sequence without its tokens; a row that is skipped has none.
type rowShape struct{ tokens, first, label int32 }

// stride is the distance of the rows of a sample.
func (e *examples) stride() int { return max(1, (e.file.Len()+planSample-1)/planSample) }

// sample calls do for the rows of a file, or an even sample of them, and tells
// how many rows each of them stands for.
func (e *examples) sample(ctx context.Context, do func(i int) error) (each float64, err error) {
	n, stride := e.file.Len(), e.stride()
	for i := 0; i < n; i += stride {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if err := do(i); err != nil {
			return 0, err
		}
	}
	return float64(n) / float64((n+stride-1)/stride), nil
}

// longPrompts is how many prompts of a file have more than room tokens.
func (e *examples) longPrompts(ctx context.Context, room int) (int, error) {
	long := 0
	each, err := e.sample(ctx, func(i int) error {
		_, cut, err := e.prompt(i, room)
		if cut {
			long++
		}
		return err
	})
	return int(float64(long) * each), err
}

// measure tokenises the rows of a file, or an even sample of them.
func (e *examples) measure(ctx context.Context) (lengths, error) {
	l := lengths{stride: e.stride()}
	f, err := e.sample(ctx, func(i int) error {
		s, cut, err := e.sequence(i)
		if err != nil {
			return err
		}
		if cut {
			l.truncated++
		}
		if s.outputs() <= 0 || s.inputs() <= 0 {
			l.rows = append(l.rows, rowShape{})
			l.useless++
			return nil
		}
		l.rows = append(l.rows, rowShape{int32(len(s.ids)), int32(s.first), int32(s.label)})
		l.tokens += int64(s.inputs())
		l.labels += int64(s.outputs())
		l.longest = max(l.longest, len(s.ids))
		return nil
	})
	if l.sampled = f > 1; l.sampled {
		l.tokens, l.labels = int64(float64(l.tokens)*f), int64(float64(l.labels)*f)
		l.truncated, l.useless = int(float64(l.truncated)*f), int(float64(l.useless)*f)
	}
	return l, err
}

// check refuses data of which no row can be learned from.
func (l lengths) check(e *examples) error {
	if l.labels > 0 {
		return nil
	}
	return &fault.DataError{Detail: fault.Detail{Op: "tokenize", Path: e.file.Path(),
		Reason: fmt.Sprintf("no row has room for a response in training.max_seq_length = %d tokens", e.maxLen),
		Hint:   "raise training.max_seq_length"}}
}

func (l lengths) warnings() []string {
	var out []string
	if l.truncated > 0 {
		out = append(out, fmt.Sprintf("%d rows are longer than training.max_seq_length and lose their end", l.truncated))
	}
	if l.useless > 0 {
		out = append(out, fmt.Sprintf("%d rows have no room for a response in training.max_seq_length and are skipped", l.useless))
	}
	return out
}

// Plan implements engine.Trainer. Time and memory are estimated from one real
// step, whose weights are thrown away.
func (Engine) Plan(ctx context.Context, job engine.Job) (plan *engine.Plan, err error) {
	s, err := newSetup(ctx, job)
	if err != nil {
		return nil, err
	}
	defer func() { err = firstError(err, s.model.close()) }()
	l, err := s.train.measure(ctx)
	if err != nil {
		return nil, err
	}
	if err := l.check(s.train); err != nil {
		return nil, err
	}
	t, err := newTraining(s, func(engine.Event) {})
	if err != nil {
		return nil, err
	}
	defer t.pool.close()
	seconds, bytes, err := t.probe(ctx, l)
	if err != nil {
		return nil, err
	}
	evaluation, err := s.evaluationBytes(ctx)
	if err != nil {
		return nil, err
	}
	trained, frozen := s.model.counts()
	p := &engine.Plan{
		Engine: "native", Device: "cpu", TrainRows: s.train.file.Len(),
		TrainTokens: l.tokens, LabelTokens: l.labels, LongestSequence: l.longest, TruncatedRows: l.truncated,
		StepsPerEpoch: t.stepsPerEpoch, TotalSteps: t.schedule.total, WarmupSteps: t.schedule.warmup,
		VocabSize: s.model.Arch.VocabSize, TrainableParams: trained, FrozenParams: frozen,
		MemoryBytes: max(bytes, evaluation), TrainingBytes: bytes, Seconds: seconds, Warnings: append(l.warnings(), s.warnings()...),
	}
	if l.sampled {
		p.Warnings = append(p.Warnings, "token counts are estimated from a sample of the rows")
	}
	if s.val != nil {
		p.ValRows = s.val.file.Len()
	}
	if s.job.Data.Test != nil {
		p.TestRows = s.job.Data.Test.Len()
	}
	return p, nil
}

// warnings names settings that are allowed and probably not meant.
func (s *setup) warnings() []string {
	out := slices.Clone(s.notes)
	if IsBuiltin(s.cfg.BaseModel) && s.lora != nil {
		out = append(out, fmt.Sprintf("%s starts from random weights, which an adapter alone cannot make good; set lora.enabled: false to train it",
			s.cfg.BaseModel))
	}
	if s.cfg.Training.NumEpochs > 0 && s.train.file.Len() < s.cfg.Training.BatchSize*s.cfg.Training.GradientAccumulationSteps {
		out = append(out, "the whole training data fits in one optimiser step; lower batch_size or gradient_accumulation_steps")
	}
	return out
}

// processBytes is what the program needs besides the model: code, the Go
// runtime with its garbage, tokenizer and rows. Measured on small runs.
const processBytes = 26 << 20

// learnedBytes is what learning a tokenizer leaves behind a token, most of it
// garbage that goes back to the system late. Measured with 20,000 tokens.
const learnedBytes = 1 << 10

// probe does the work of one step twice and tells how long all steps will
// take, and how much memory they need.
func (t *training) probe(ctx context.Context, l lengths) (seconds float64, bytes int64, err error) {
	var tokens int64
	var fastest time.Duration
	if err := t.reserve(ctx, l); err != nil {
		return 0, 0, err
	}
	for range 2 {
		start := time.Now()
		n, labels, err := t.nextBatch()
		if err != nil {
			return 0, 0, err
		}
		if _, err := t.gradients(ctx, &t.batch, labels, t.dropout()); err != nil {
			return 0, 0, err
		}
		if d := time.Since(start); fastest == 0 || d < fastest {
			fastest, tokens = d, n
		}
	}
	perToken := fastest.Seconds() / float64(max(tokens, 1))
	seconds = perToken * float64(l.tokens) * float64(t.cfg.Training.NumEpochs)

	trained, _ := t.model.counts()
	floats := 4*trained + int64(len(t.pool.workers)*t.scratch+len(t.slots.grad))
	bytes = 4*floats + t.model.baseBytes() + processBytes
	if t.learned {
		bytes += learnedBytes * int64(t.model.Arch.VocabSize)
	}
	return seconds, bytes, nil
}
