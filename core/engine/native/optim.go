package native

import (
	"math"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/tensor"
)

// AdamW's constants, as in the Hugging Face Trainer.
const (
	adamBeta1 = 0.9
	adamBeta2 = 0.999
	adamEps   = 1e-8
)

// Values of the flat buffers that one worker takes at a time; fixed, since the
// global norm is summed piece by piece.
const optimPiece = 1 << 14

// schedule gives the learning rate of each step as the Hugging Face schedulers
// of the same names do: linear warm-up from zero, then linear decay, half a
// cosine, or constant.
type schedule struct {
	kind          string
	base          float64
	warmup, total int
}

func newSchedule(t config.Training, total int) schedule {
	return schedule{kind: t.LRScheduler, base: t.LearningRate,
		warmup: int(math.Ceil(float64(total) * t.WarmupRatio)), total: total}
}

// rate is the learning rate of the step with this number, counted from 0.
func (s schedule) rate(step int) float64 {
	if step < s.warmup {
		return s.base * float64(step) / float64(max(1, s.warmup))
	}
	done := float64(step-s.warmup) / float64(max(1, s.total-s.warmup))
	switch s.kind {
	case "linear":
		return s.base * math.Max(0, 1-done)
	case "cosine":
		return s.base * math.Max(0, 0.5*(1+math.Cos(math.Pi*done)))
	}
	return s.base
}

// optimizer does AdamW steps on the flat buffers of a model.
type optimizer struct {
	m           *Model
	weightDecay float64
	maxNorm     float64 // 0: no clipping

	pieces  []optimRange
	partial []float64 // sums of squares, by piece
	now     tensor.AdamWStep
	// sum and update are the work on one piece, bound once.
	sum, update func(w *worker, i int)
}

// optimRange is a stretch of the flat buffers within one parameter.
type optimRange struct {
	from, to int
	decay    bool
}

func newOptimizer(m *Model, weightDecay, maxNorm float64) *optimizer {
	o := &optimizer{m: m, weightDecay: weightDecay, maxNorm: maxNorm}
	at := 0
	for _, p := range m.trainable {
		end := at + len(p.Value)
		for from := at; from < end; from += optimPiece {
			o.pieces = append(o.pieces, optimRange{from, min(from+optimPiece, end), p.Decay})
		}
		at = end
	}
	o.partial = make([]float64, len(o.pieces))
	o.sum, o.update = o.sumPiece, o.updatePiece
	return o
}

// gradNorm is the norm of all gradients together.
func (o *optimizer) gradNorm(p *pool) (float64, error) {
	if err := p.run(len(o.pieces), o.sum, nil); err != nil {
		return 0, err
	}
	var sum float64
	for _, s := range o.partial {
		sum += s
	}
	return math.Sqrt(sum), nil
}

func (o *optimizer) sumPiece(w *worker, i int) {
	q := o.pieces[i]
	o.partial[i] = w.k.SumSquares(o.m.flat.grad[q.from:q.to])
}

// step applies the gradients with the learning rate lr; t counts steps from 1.
// Gradients whose norm exceeds the bound are scaled down to it. (Pascanu et
// al. 2013, "On the difficulty of training recurrent neural networks".)
func (o *optimizer) step(p *pool, t int, lr, norm float64) error {
	o.now = tensor.AdamWStep{
		LR: float32(lr), Beta1: adamBeta1, Beta2: adamBeta2, Eps: adamEps, GradScale: 1,
		Correction1: float32(1 - math.Pow(adamBeta1, float64(t))),
		Correction2: float32(1 - math.Pow(adamBeta2, float64(t))),
	}
	if o.maxNorm > 0 && norm > o.maxNorm {
		// The small constant is that of torch.nn.utils.clip_grad_norm_.
		o.now.GradScale = float32(o.maxNorm / (norm + 1e-6))
	}
	return p.run(len(o.pieces), o.update, nil)
}

func (o *optimizer) updatePiece(w *worker, i int) {
	q, step := o.pieces[i], o.now
	if q.decay {
		step.WeightDecay = float32(o.weightDecay)
	}
	f := &o.m.flat
	w.k.AdamW(f.value[q.from:q.to], f.grad[q.from:q.to], f.m[q.from:q.to], f.v[q.from:q.to], step)
}
