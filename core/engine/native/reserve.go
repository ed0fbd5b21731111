package native

import (
	"context"
	"fmt"

	"github.com/verifily/verifily-tui/core/tensor"
)

// Scratch memory is measured by taking a unit through the model with kernels
// that do nothing: what the arena was asked for is what the unit needs, to the
// byte, and stays so when the passes change.

// idle are kernels that compute nothing; a method that is not here panics.
type idle struct{ tensor.Kernels }

func (idle) ISA() string                                                      { return "idle" }
func (idle) Gemm(c, a, b tensor.Matrix, acc bool)                             {}
func (idle) Next(b tensor.Matrix)                                             {}
func (idle) RMSNorm(out, inv, x, w []float32, d int, eps float32)             {}
func (idle) RMSNormBackward(dx, dw, dy, x, w, inv []float32, d int)           {}
func (idle) Rope([]float32, int, []int32, *tensor.RopeTable, bool)            {}
func (idle) SwiGLU(out, gate, up []float32)                                   {}
func (idle) SwiGLUBackward(gate, up, dy []float32)                            {}
func (idle) CausalSoftmax(s tensor.Matrix, offset int, scale float32)         {}
func (idle) SoftmaxBackward(dp, p tensor.Matrix, scale float32)               {}
func (idle) CrossEntropy(logits []float32, target int, scale float32) float64 { return 0 }
func (idle) LogSumExp(x []float32) float64                                    { return 0 }
func (idle) AdamW(p, g, m, v []float32, step tensor.AdamWStep)                {}
func (idle) Add(dst, src []float32)                                           {}
func (idle) Scale(x []float32, f float32)                                     {}
func (idle) SumSquares(x []float32) float64                                   { return 0 }

// meter measures the scratch memory of units.
type meter struct {
	w     *worker
	turn  *turnstile
	slots embedSlots
}

func newMeter(m *Model) *meter {
	return &meter{w: newWorker(idle{}, m), turn: newTurnstile(m.stages())}
}

// floats is the scratch memory that training on a unit takes, in float32
// values.
func (e *meter) floats(u *unit, drop dropout) int {
	m := e.w.m
	e.turn.reset(1)
	if m.Embed.trainable() {
		e.slots.assign(u.seqs, m.Arch.VocabSize, m.Arch.Hidden)
	}
	return e.w.measure(func() { e.w.trainUnit(u, 0, 1, drop, e.turn, &e.slots, make([]float64, len(u.groups))) })
}

// measure is the scratch memory that a pass with idle kernels asks for, in float32
// values.
func (w *worker) measure(pass func()) int {
	w.a = arena{buf: w.a.buf, measuring: true}
	pass()
	return w.a.peak
}

// pieces are those of one kind of work that were measured.
type pieces struct {
	most     int // float32 values
	measured []piece
}

// piece is one of them: what is within its extent needs no more.
type piece struct {
	extent extent
	floats int
}

// floats is what a piece of this extent needs, in float32 values, or what a larger
// one does unless it is to be exact.
func (p *pieces) floats(x extent, exact bool, measure func() int) int {
	for _, m := range p.measured {
		if x == m.extent || !exact && x.within(m.extent) {
			return m.floats
		}
	}
	n := measure()
	p.most = max(p.most, n)
	p.measured = append(p.measured, piece{x, n})
	return n
}

// reserve gives every worker the scratch memory of the largest unit of the run
// at once. Memory that is never touched costs nothing; what training will touch
// must be there.
func (t *training) reserve(ctx context.Context, l lengths) error {
	a := &t.model.Arch
	t.model.keepsAttention = l.longest <= keptAttention
	// Each block keeps more than this of a sequence. Looked at first, since
	// measuring a sequence that is far too long takes its memory.
	least := l.longest * a.Layers * (2*a.Hidden + a.attn() + 2*a.kv() + 2*a.FFN)
	if err := t.checkScratch(least); err != nil {
		return err
	}
	n, err := t.mostScratch(ctx, l)
	if err == nil {
		err = t.checkScratch(n)
	}
	if err != nil {
		return err
	}
	t.scratch = n
	t.pool.reserve(n)
	return nil
}

// mostScratch is the scratch memory of a worker for all that training does. It is
// measured where a weights file that is cut short ends the run, not the program.
func (t *training) mostScratch(ctx context.Context, l lengths) (n int, err error) {
	broken := t.pool.run(1, func(*worker, int) {
		var validation int
		n, err = t.largestScratch(ctx, l)
		if err == nil {
			validation, err = t.validationScratch(ctx)
		}
		n = max(n, validation)
	}, nil)
	return n, firstError(t.broken(broken), err)
}

// plannedRows bounds how many rows are laid out to find the largest unit.
const plannedRows = 1 << 20

// largestScratch is the most scratch memory that a unit of the run takes. The
// batches are laid out as training will lay them out, of rows without their
// tokens; where only a sample was tokenised, each row of it stands for the rows
// behind it too.
func (t *training) largestScratch(ctx context.Context, l lengths) (int, error) {
	meter, none := newMeter(t.model), make([]int32, l.longest)
	b, done := batch{}, pieces{}
	for step := range min(max(t.schedule.total, 1), plannedRows/t.perStep+1) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		b.seqs = b.seqs[:0]
		for _, row := range t.stepRows(step) {
			if s := l.rows[int(row)/l.stride]; s.tokens > 0 {
				b.seqs = append(b.seqs, sequence{ids: none[:s.tokens], first: int(s.first), label: int(s.label)})
			}
		}
		b.divide(len(t.pool.workers))
		for i := range b.units {
			u := &b.units[i]
			done.floats(meter.extent(u), false, func() int { return meter.floats(u, t.dropout()) })
		}
	}
	return done.most, nil
}

// extent is what the scratch memory of a unit grows with: its rows, outputs,
// longest sequence, groups, and the most logits that stand in memory at once.
type extent [5]int

func (e *meter) extent(u *unit) extent {
	e.w.unit = u
	x := extent{u.rows, u.outputs, u.longest, len(u.groups)}
	for _, c := range e.w.chunks() {
		x[4] = max(x[4], c.end-c.from)
	}
	return x
}

// within tells whether the other is at least as large in everything.
func (x extent) within(other extent) bool {
	for i := range x {
		if x[i] > other[i] {
			return false
		}
	}
	return true
}

// checkScratch refuses scratch memory of n float32 values a worker that the
// machine does not have besides gradients and moments, which were not touched
// yet.
func (t *training) checkScratch(n int) error {
	trained, _ := t.model.counts()
	need := 4*int64(n)*int64(len(t.pool.workers)) + (trainedBytes-4)*trained
	return checkMemory(fmt.Sprintf("training on rows of this length with %d workers", len(t.pool.workers)), need,
		"lower training.max_seq_length, or set GOMAXPROCS to fewer workers")
}
