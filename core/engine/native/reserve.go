package native

import (
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

// scratchFloats is the scratch memory that training on a unit takes, in
// float32 values.
func (m *Model) scratchFloats(u *unit, drop dropout) int {
	w := newWorker(idle{}, m)
	w.a.measuring = true
	turn := newTurnstile(m.stages())
	slots := &embedSlots{}
	if m.Embed.trainable() {
		slots.assign(u.seqs, m.Arch.VocabSize, m.Arch.Hidden)
	}
	w.trainUnit(u, 0, 1, drop, turn, slots, make([]float64, len(u.groups)))
	return w.a.peak
}

// largestUnit is the most that a unit of sequences of up to longest tokens can
// be: as many rows as fit, all of them with a loss.
func (m *Model) largestUnit(longest int) *unit {
	seq := sequence{ids: make([]int32, longest), first: 1, label: -1}
	if len(m.Arch.Labels) > 0 {
		seq.label = 0
	}
	n := max(1, maxUnitRows/max(1, seq.inputs()))
	seqs := make([]sequence, n)
	for i := range seqs {
		seqs[i] = seq
	}
	b := batch{seqs: seqs}
	b.divide(1)
	return &b.units[0]
}

// reserve gives every worker the scratch memory of the largest unit at once.
// Memory that is never touched costs nothing; what training will touch must be
// there.
func (t *training) reserve(longest int) error {
	a := &t.model.Arch
	// Each block keeps more than this of a sequence. Looked at first, since
	// measuring a sequence that is far too long takes its memory.
	least := longest * a.Layers * (4*a.Hidden + 2*a.FFN)
	if err := t.checkScratch(least); err != nil {
		return err
	}
	n := t.model.scratchFloats(t.model.largestUnit(longest), t.dropout())
	if err := t.checkScratch(n); err != nil {
		return err
	}
	for _, w := range t.pool.workers {
		w.a.grow(n)
	}
	return nil
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
