package native

import (
	"context"
	"sync/atomic"
)

// stepper computes gradients and applies them, with what it needs kept from
// step to step: after the first step it allocates nothing.
type stepper struct {
	m     *Model
	pool  *pool
	optim *optimizer
	turn  *turnstile
	slots embedSlots

	// The step at hand. work is unit with the receiver bound, once.
	ctx     context.Context
	batch   *batch
	losses  []float64 // by group
	scale   float32
	drop    dropout
	stopped atomic.Bool
	work    func(w *worker, i int)
	lost    func()
}

func newStepper(m *Model, weightDecay, maxNorm float64) (*stepper, error) {
	p, err := newPool(m)
	if err != nil {
		return nil, err
	}
	s := &stepper{m: m, pool: p, optim: newOptimizer(m, weightDecay, maxNorm), turn: newTurnstile(m.stages())}
	s.work, s.lost = s.unit, s.turn.abandon
	return s, nil
}

// gradients computes the gradient of the mean loss over the labels of the
// batch, and returns that loss. When ctx ends on the way, the gradient is
// worthless and the error says so.
func (s *stepper) gradients(ctx context.Context, b *batch, labels int, drop dropout) (float64, error) {
	m := s.m
	clear(m.flat.grad)
	if m.Embed.trainable() {
		s.slots.assign(b.seqs, m.Arch.VocabSize, m.Arch.Hidden)
	}
	b.divide(len(s.pool.workers))
	s.turn.reset(len(b.units))
	if len(s.losses) < b.groups {
		s.losses = make([]float64, b.groups)
	}
	s.ctx, s.batch, s.drop = ctx, b, drop
	s.scale = float32(1 / float64(max(labels, 1)))
	s.stopped.Store(false)
	if err := s.pool.run(len(b.units), s.work, s.lost); err != nil {
		return 0, err
	}
	if s.stopped.Load() {
		return 0, ctx.Err()
	}
	if m.Embed.trainable() {
		s.slots.flush(s.pool.workers[0].k, m.Embed.Grad, m.Arch.Hidden)
	}
	var sum float64
	for _, l := range s.losses[:b.groups] {
		sum += l
	}
	return sum / float64(max(labels, 1)), nil
}

// unit takes unit i through the model. Once ctx has ended, units only take
// their turns, so that those being computed do not wait for ever.
func (s *stepper) unit(w *worker, i int) {
	if s.ctx.Err() != nil {
		s.stopped.Store(true)
		s.turn.skip(i)
		return
	}
	u := &s.batch.units[i]
	w.trainUnit(u, i, s.scale, s.drop, s.turn, &s.slots, s.losses[u.first:u.first+len(u.groups)])
}

// gradNorm is the norm of all gradients together.
func (s *stepper) gradNorm() (float64, error) { return s.optim.gradNorm(s.pool) }

// apply does an optimiser step with the gradients; t counts steps from 1.
func (s *stepper) apply(t int, lr, norm float64) error { return s.optim.step(s.pool, t, lr, norm) }

// trainUnit adds the gradients of a unit, and writes the summed loss of each of
// its groups to sums.
func (w *worker) trainUnit(u *unit, index int, scale float32, drop dropout, turn *turnstile, slots *embedSlots, sums []float64) {
	if drop.on {
		drop.rows = w.dropRows(u)
	}
	w.a.reset()
	y := w.forward(u, true, drop, nil)
	dy := w.a.mat(u.outputs, w.m.Arch.Hidden)
	w.turn, w.index, w.stage = turn, index, 0
	w.headBackward(y, dy, scale, sums)
	w.backward(dy, slots)
}

// dropRows numbers the rows of a step for dropout: each sequence has its own
// range.
func (w *worker) dropRows(u *unit) []uint64 {
	w.rows = w.rows[:0]
	for i := range u.seqs {
		w.rows = append(w.rows, uint64(u.seqs[i].ordinal)<<32)
	}
	return w.rows
}
