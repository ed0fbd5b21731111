package native

import (
	"github.com/verifily/verifily-tui/core/tensor"
)

// Logits are computed for this many rows at a time and overwritten by their
// gradient, so that rows × vocabulary never stands in memory at once.
const lossChunk = 256

// headStage is the stage of the turnstile at which the final norm and the head
// add their gradients.
const headStage = 0

// losses computes the summed loss, in nats, of each sequence of the unit from
// the last block's output rows y, tells it to each (which may be nil), and
// returns the sum over the unit. row is the gradient row of the sequence's
// last output: its probabilities less one at the target, times scale.
//
// When dy holds data, the gradient of the losses times scale goes there, and
// those of the head and the final norm are added to the shared ones.
func (w *worker) losses(u *unit, index int, y, dy tensor.Matrix, scale float32, turn *turnstile, each func(seq int, loss float64, row []float32)) float64 {
	m, d := w.m, w.m.Arch.Hidden
	weights := m.Head
	if m.Score != nil {
		weights = m.Score
	}
	train := dy.Data != nil
	mark := w.a.mark()
	defer w.a.release(mark)
	normed, inv := w.a.mat(y.Rows, d), w.a.take(y.Rows)
	w.k.RMSNorm(normed.Data, inv, y.Data, m.Norm.Value, d, float32(m.Arch.RMSEps))
	var dnormed tensor.Matrix
	if train {
		dnormed = w.a.mat(y.Rows, d)
	}
	at := lossCursor{u: u, each: each}
	for c0 := 0; c0 < y.Rows; c0 += lossChunk {
		chunkMark := w.a.mark()
		x := rowsOf(normed, c0, min(lossChunk, y.Rows-c0))
		logits := w.a.mat(x.Rows, weights.Shape[0])
		w.mulT(logits, x, weights)
		for i := range x.Rows {
			row := logits.Row(i)
			at.advance(w.k.CrossEntropy(row, at.target(), scale), row)
		}
		if train {
			w.mul(rowsOf(dnormed, c0, x.Rows), logits, weights, false)
			if weights.trainable() {
				if c0 == 0 {
					turn.enter(headStage, index)
				}
				w.k.Gemm(weights.gradMat(), logits.T(), x, true)
			}
		}
		w.a.release(chunkMark)
	}
	if !train {
		return at.total
	}
	clear(dy.Data)
	w.normBackward(dy.Data, dnormed.Data, y.Data, m.Norm, inv)
	w.commit()
	if weights.trainable() {
		turn.leave(headStage)
	}
	return at.total
}

// lossCursor walks over the output rows of a unit, sequence by sequence.
type lossCursor struct {
	u        *unit
	each     func(seq int, loss float64, row []float32)
	seq, out int // the sequence at hand and the output within it
	sum      float64
	total    float64 // of the sequences that are done
}

// target is the class or the token that the row at hand should predict.
func (c *lossCursor) target() int {
	s := &c.u.seqs[c.seq]
	if s.label >= 0 {
		return s.label
	}
	return int(s.ids[s.first+c.out])
}

func (c *lossCursor) advance(loss float64, row []float32) {
	c.sum += loss
	c.out++
	if c.out == c.u.seqs[c.seq].outputs() {
		if c.each != nil {
			c.each(c.seq, c.sum, row)
		}
		c.total += c.sum
		c.seq, c.out, c.sum = c.seq+1, 0, 0
	}
}

func rowsOf(a tensor.Matrix, first, n int) tensor.Matrix {
	return tensor.Strided(a.Data[first*a.RowStride:], n, a.Cols, a.RowStride)
}
