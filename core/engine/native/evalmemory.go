package native

import (
	"cmp"
	"context"
	"runtime"
	"slices"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/engine/native/bpe"
)

// evalMeter measures the scratch memory that a worker needs to evaluate, as meter
// does for training. It looks at no token and, of a model as shapeOf makes it, at no
// value.
type evalMeter struct {
	w     *worker
	gen   generation
	none  []int32
	exact bool   // measure pieces too that are smaller than others
	loss  pieces // units whose losses are computed
	reply pieces // batches of prompts that are answered
}

func newEvalMeter(m *Model, gen generation) *evalMeter {
	return &evalMeter{w: newWorker(idle{}, m), gen: gen}
}

// most is the scratch memory of a worker, in float32 values.
func (e *evalMeter) most() int { return max(e.loss.most, e.reply.most) }

// tokens are n times token 0.
func (e *evalMeter) tokens(n int) []int32 {
	if n > len(e.none) {
		e.none = make([]int32, n)
	}
	return e.none[:n]
}

// losses measures the losses of a unit, in float32 values.
func (e *evalMeter) losses(u unit) int {
	u.seqs = slices.Clone(u.seqs)
	for i := range u.seqs {
		u.seqs[i].ids = e.tokens(len(u.seqs[i].ids))
	}
	x := extent{u.rows, u.outputs, u.longest}
	return e.loss.floats(x, e.exact, func() int {
		return e.w.measure(func() { e.w.unitLosses(&u, func(int, float64, []float32) {}) })
	})
}

// answers measures the responses to a batch of prompts, in float32 values.
func (e *evalMeter) answers(prompts [][]int32) int {
	none := make([][]int32, len(prompts))
	x := extent{len(prompts)}
	for i, p := range prompts {
		none[i] = e.tokens(len(p))
		x[1], x[2] = x[1]+len(p), max(x[2], len(p))
	}
	for first, end := 0, 0; first < len(prompts); first = end {
		var u unit
		u, end = promptUnit(none, first)
		x[3], x[4] = max(x[3], u.rows), max(x[4], u.outputs)
	}
	return e.reply.floats(x, e.exact, func() int {
		return e.w.measure(func() { e.answerFully(none) })
	})
}

// answerFully computes prompts, and the last token of responses that all end there:
// no step sees more.
func (e *evalMeter) answerFully(prompts [][]int32) {
	c, searches := e.w.begun(e.gen, prompts)
	if e.gen.maxNew < 2 {
		return
	}
	for _, s := range searches {
		s.done, s.beams = false, slices.Repeat([]hypothesis{{last: &token{}, n: 1}}, e.gen.beams)
	}
	e.w.decode(c, searches, e.gen.maxNew-2)
}

// shapeOf is a model of this architecture without values, but for the embedding of
// token 0: enough for idle kernels.
func shapeOf(arch Arch) *Model {
	m := &Model{Arch: arch}
	m.layout()
	m.Embed.Value = make([]float32, arch.Hidden)
	return m
}

// predictionBytes is what a prediction takes until the metrics are computed.
// Measured with 20,000 and 60,000 short rows.
const predictionBytes = 700

// evaluationBytes is the memory of the evaluation after training, whose model is
// the trained one, merged, in float32; 0 if there is none.
func (s *setup) evaluationBytes(ctx context.Context) (int64, error) {
	test := cmp.Or(s.job.Data.Test, s.job.Data.Val)
	if !s.cfg.Eval.Enabled || test == nil {
		return 0, nil
	}
	m := shapeOf(s.model.Arch)
	_, values := m.counts()
	scratch, rows := 0, 0
	for _, file := range []*dataset.File{test, s.job.Gold} {
		if file == nil {
			continue
		}
		n, err := s.evaluationScratch(ctx, m, file)
		if err != nil {
			return 0, err
		}
		scratch, rows = max(scratch, n), rows+file.Len()
	}
	heap := 4*int64(scratch) + predictionBytes*int64(rows)
	garbage := heap * tightPercent / 2 / 100 // a small heap reaches all of it, a large one little
	return 4*values + heap + garbage + processBytes, nil
}

// evaluationScratch is the scratch memory, in float32 values, that the workers take
// to predict a file, as Predict goes about it.
func (s *setup) evaluationScratch(ctx context.Context, m *Model, file *dataset.File) (int, error) {
	gen := generationOf(s.cfg, s.tok)
	meter := newEvalMeter(m, gen)
	meter.exact = true
	workers := runtime.GOMAXPROCS(0)
	size := stretchRows(workers, s.cfg.Eval.BatchSize)
	e, room := s.examples(file), promptRoom(s.cfg, &s.model.Arch)
	most, reserved := 0, 0
	err := e.stretches(ctx, size, func(rows []int, seqs []sequence) error {
		var losses, answers []int
		units := largest(lossUnits(seqs, workers), workers, func(u unit) int { return u.rows })
		for _, u := range units {
			losses = append(losses, meter.losses(u))
		}
		if file.Task() != dataset.Classification {
			prompts := make([][]int32, len(rows))
			for i, row := range rows {
				var err error
				if prompts[i], _, err = e.prompt(row, room); err != nil {
					return err
				}
			}
			batches := largest(promptBatches(prompts, s.cfg.Eval.BatchSize), workers, gen.tokens)
			for _, b := range batches {
				answers = append(answers, meter.answers(b))
			}
		}
		reserved = max(reserved, slices.Max(append(losses, 0)))
		if needed := slices.Max(append(answers, 0)); needed > reserved {
			// What the losses took was given back before the answers.
			reserved = needed
			most = max(most, atATime(losses, nil), atATime(nil, answers))
		} else {
			most = max(most, atATime(losses, answers))
		}
		return nil
	})
	return most, err
}

// largest are the n largest of some pieces, in descending order.
func largest[T any](pieces []T, n int, size func(T) int) []T {
	slices.SortFunc(pieces, func(a, b T) int { return cmp.Compare(size(b), size(a)) })
	return pieces[:min(n, len(pieces))]
}

// atATime is what workers take that have one piece of each kind each, the largest
// first.
func atATime(losses, answers []int) int {
	sum := 0
	for i := range max(len(losses), len(answers)) {
		most := 0
		if i < len(losses) {
			most = losses[i]
		}
		if i < len(answers) {
			most = max(most, answers[i])
		}
		sum += most
	}
	return sum
}

// validationScratch is the scratch memory of a worker, in float32 values, for the
// losses of the validation data during training.
func (t *training) validationScratch(ctx context.Context) (int, error) {
	if t.val == nil || !t.cfg.Eval.Enabled {
		return 0, nil
	}
	meter := newEvalMeter(t.model, generation{})
	err := t.val.stretches(ctx, lossRows, func(_ []int, seqs []sequence) error {
		for _, u := range lossUnits(seqs, len(t.pool.workers)) {
			meter.losses(u)
		}
		return nil
	})
	return meter.most(), err
}

// stretches tokenises the rows of a file, or an even sample of them, and calls do
// for every so many of them.
func (e *examples) stretches(ctx context.Context, size int, do func(rows []int, seqs []sequence) error) error {
	var rows []int
	var seqs []sequence
	_, err := e.sample(ctx, func(i int) error {
		s, _, err := e.sequence(i)
		if err != nil {
			return err
		}
		rows, seqs = append(rows, i), append(seqs, s)
		if len(rows) < size {
			return nil
		}
		err = do(rows, seqs)
		rows, seqs = rows[:0], seqs[:0]
		return err
	})
	if err == nil && len(rows) > 0 {
		err = do(rows, seqs)
	}
	return err
}

// generationOf is how responses are made as the configuration says.
func generationOf(c *config.Config, tok *bpe.Tokenizer) generation {
	return generation{maxNew: c.Eval.GenerationMaxNewTokens, beams: c.Eval.GenerationNumBeams, eos: tok.EOS()}
}
