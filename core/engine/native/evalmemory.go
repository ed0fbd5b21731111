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
// does for training.
type evalMeter struct {
	w     *worker
	gen   generation
	loss  pieces // units whose losses are computed
	reply pieces // batches of prompts that are answered
}

// pieces is what one kind of work needs.
type pieces struct {
	most     int      // float32 values of a worker
	measured []extent // what is within one of them needs no more
}

func newEvalMeter(m *Model, gen generation) *evalMeter {
	return &evalMeter{w: newWorker(idle{}, m), gen: gen}
}

// most is the scratch memory of a worker, in float32 values.
func (e *evalMeter) most() int { return max(e.loss.most, e.reply.most) }

// losses measures the losses of a unit.
func (e *evalMeter) losses(u *unit) {
	x := extent{u.rows, u.outputs, u.longest}
	e.measure(&e.loss, x, func() { e.w.unitLosses(u, func(int, float64, []float32) {}) })
}

// answers measures the responses to a batch of prompts.
func (e *evalMeter) answers(prompts [][]int32) {
	x := extent{len(prompts)}
	for first, end := 0, 0; first < len(prompts); first = end {
		var u unit
		u, end = promptUnit(prompts, first)
		x[1], x[2], x[3] = x[1]+u.rows, max(x[2], u.rows), max(x[3], u.outputs)
	}
	for _, p := range prompts {
		x[4] = max(x[4], len(p))
	}
	e.measure(&e.reply, x, func() {
		c, searches := e.w.begun(e.gen, prompts)
		for _, s := range searches {
			s.done, s.beams = false, slices.Repeat([]hypothesis{{last: &token{}, n: 1}}, e.gen.beams)
		}
		if e.gen.maxNew > 1 {
			e.w.decode(c, searches, e.gen.maxNew-2) // the last step sees the most
		}
	})
}

func (e *evalMeter) measure(p *pieces, x extent, run func()) {
	if slices.ContainsFunc(p.measured, x.within) {
		return
	}
	e.w.a = arena{buf: e.w.a.buf, measuring: true}
	run()
	p.most = max(p.most, e.w.a.peak)
	p.measured = append(p.measured, x)
}

// shapeOf is a model of this architecture without values, but for the embedding of
// token 0: enough for idle kernels.
func shapeOf(arch Arch) *Model {
	m := &Model{Arch: arch}
	m.layout()
	m.Embed.Value = make([]float32, arch.Hidden)
	return m
}

// evaluationBytes is the memory of the evaluation after training, whose model is
// the trained one, merged, in float32; 0 if there is none.
func (s *setup) evaluationBytes(ctx context.Context) (int64, error) {
	test := cmp.Or(s.job.Data.Test, s.job.Data.Val)
	if !s.cfg.Eval.Enabled || test == nil {
		return 0, nil
	}
	m := shapeOf(s.model.Arch)
	meter := newEvalMeter(m, generationOf(s.cfg, s.tok))
	workers := runtime.GOMAXPROCS(0)
	size := stretchRows(workers, s.cfg.Eval.BatchSize)
	e, room := s.examples(test), promptRoom(s.cfg, &s.model.Arch)
	none := make([]int32, s.model.Arch.MaxPositions+1) // tokens
	var seqs []sequence
	var prompts [][]int32
	units, batches := 0, 0 // at a time
	measure := func() {
		us, bs := lossUnits(seqs, workers), promptBatches(prompts, s.cfg.Eval.BatchSize)
		for _, u := range us {
			meter.losses(&u)
		}
		for _, b := range bs {
			meter.answers(b)
		}
		units, batches = min(max(units, len(us)), workers), min(max(batches, len(bs)), workers)
		seqs, prompts = seqs[:0], prompts[:0]
	}
	_, err := e.sample(ctx, func(i int) error {
		row, _, err := e.sequence(i)
		if err != nil {
			return err
		}
		row.ids = none[:len(row.ids)]
		seqs = append(seqs, row)
		if test.Task() != dataset.Classification {
			p, _, err := e.prompt(i, room)
			if err != nil {
				return err
			}
			prompts = append(prompts, none[:len(p)])
		}
		if len(seqs) == size {
			measure()
		}
		return nil
	})
	measure()
	_, values := m.counts()
	both := min(units, batches) // workers that do both
	scratch := both*meter.most() + (units-both)*meter.loss.most + (batches-both)*meter.reply.most
	return 4*(values+int64(scratch)) + processBytes, err
}

// generationOf is how responses are made as the configuration says.
func generationOf(c *config.Config, tok *bpe.Tokenizer) generation {
	return generation{maxNew: c.Eval.GenerationMaxNewTokens, beams: c.Eval.GenerationNumBeams, eos: tok.EOS()}
}
