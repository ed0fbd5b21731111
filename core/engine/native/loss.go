package native

import (
	"github.com/verifily/verifily-tui/core/tensor"
)

// Logits are computed for this many rows at a time and overwritten by their
// gradient, so that rows × vocabulary never stands in memory at once.
const lossChunk = 256

// losses computes the summed loss, in nats, of each sequence of the unit from
// the last block's output rows y and tells it to each. row is the gradient row
// of the sequence's last output: its probabilities less one at the target,
// times scale.
func (w *worker) losses(y tensor.Matrix, each func(seq int, loss float64, row []float32)) {
	normed, _ := w.finalNorm(y)
	at := lossCursor{u: w.unit, each: each}
	for c0 := 0; c0 < y.Rows; c0 += lossChunk {
		mark := w.a.mark()
		w.lossRows(rowsOf(normed, c0, min(lossChunk, y.Rows-c0)), &at, 1)
		w.a.release(mark)
	}
}

// head is the layer that turns states into logits.
func (m *Model) head() *Param {
	if m.Score != nil {
		return m.Score
	}
	return m.Head
}

func (w *worker) finalNorm(y tensor.Matrix) (normed tensor.Matrix, inv []float32) {
	d := w.m.Arch.Hidden
	normed, inv = w.a.mat(y.Rows, d), w.a.take(y.Rows)
	w.k.RMSNorm(normed.Data, inv, y.Data, w.m.Norm.Value, d, float32(w.m.Arch.RMSEps))
	return normed, inv
}

// lossRows moves the cursor over rows of normed states and returns the
// gradients of their logits.
func (w *worker) lossRows(x tensor.Matrix, at *lossCursor, scale float32) tensor.Matrix {
	logits := w.a.spread(x.Rows, w.m.head().Shape[0])
	w.mulT(logits, x, w.m.head())
	for i := range x.Rows {
		row := logits.Row(i)
		at.advance(w.k.CrossEntropy(row, at.target(), scale), row)
	}
	return logits
}

// headBackward computes the losses of the unit from the last block's output
// rows y, writes their gradient times scale to dy, adds the gradients of the
// head and the final norm to the shared ones, and the summed loss of each
// group to sums.
func (w *worker) headBackward(y, dy tensor.Matrix, scale float32, sums []float64) {
	mark := w.a.mark()
	defer w.a.release(mark)
	head := w.m.head()
	normed, inv := w.finalNorm(y)
	dnormed := w.a.mat(y.Rows, normed.Cols)
	clear(sums)
	at := lossCursor{u: w.unit, sums: sums}
	chunks := w.chunks()
	for i, c := range chunks {
		mark := w.a.mark()
		x := rowsOf(normed, c.from, c.end-c.from)
		dlogits := w.lossRows(x, &at, scale)
		w.mul(rowsOf(dnormed, c.from, x.Rows), dlogits, head, false)
		if head.trainable() {
			w.headGradient(dlogits, normed, c, i == 0, i == len(chunks)-1)
		}
		w.a.release(mark)
	}
	clear(dy.Data)
	w.normBackward(dy, dnormed, y, w.m.Norm, inv)
	w.commit()
}

// headSlices is the number of slices of the head's gradient that units add one by
// one, so that the unit behind does not wait for all of it.
const headSlices = 8

// headGradient adds the gradient of the head by a chunk of rows. All chunks of a
// unit come before the next unit's.
func (w *worker) headGradient(dlogits, normed tensor.Matrix, c chunk, first, last bool) {
	grad := w.m.head().gradMat()
	size := (grad.Rows + headSlices - 1) / headSlices
	for i := range headSlices {
		if first {
			w.turn.enter(w.stage+i, w.index)
		}
		from := min(i*size, grad.Rows)
		n := min(size, grad.Rows-from)
		for _, p := range c.parts {
			rows := p.end - p.from
			left := colsOf(rowsOf(dlogits, p.from-c.from, rows), from, n)
			w.k.Gemm(rowsOf(grad, from, n), left.T(), rowsOf(normed, p.from, rows), true)
		}
		if last {
			w.turn.leave(w.stage + i)
		}
	}
	if last {
		w.stage += headSlices
	}
}

// chunk is a stretch of output rows whose logits are computed at once. It is
// whole groups, or part of one that is larger; parts are its pieces of groups.
type chunk struct {
	from, end int
	parts     []stretch
}

type stretch struct{ from, end int }

// chunks divides the output rows of the unit. How a group is cut into parts
// depends on the group alone.
func (w *worker) chunks() []chunk {
	w.chunkList, w.parts = w.chunkList[:0], w.parts[:0]
	from := 0
	for _, g := range w.unit.groups {
		for from < g.outputs {
			end := min(from+lossChunk, g.outputs)
			w.parts = append(w.parts, stretch{from, end})
			from = end
		}
	}
	first := 0
	for i, p := range w.parts {
		if i+1 < len(w.parts) && w.parts[i+1].end-w.parts[first].from <= lossChunk {
			continue
		}
		w.chunkList = append(w.chunkList, chunk{w.parts[first].from, p.end, w.parts[first : i+1]})
		first = i + 1
	}
	return w.chunkList
}

// lossCursor walks over the output rows of a unit, sequence by sequence.
type lossCursor struct {
	u        *unit
	each     func(seq int, loss float64, row []float32) // may be nil
	sums     []float64                                  // by group; may be nil
	seq, out int                                        // the sequence at hand and the output within it
	sum      float64
	rows     int // behind the cursor
	group    int
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
	c.rows++
	if c.out < c.u.seqs[c.seq].outputs() {
		return
	}
	if c.each != nil {
		c.each(c.seq, c.sum, row)
	}
	if c.sums != nil {
		c.sums[c.group] += c.sum
		if c.rows == c.u.groups[c.group].outputs {
			c.group++
		}
	}
	c.seq, c.out, c.sum = c.seq+1, 0, 0
}

func rowsOf(a tensor.Matrix, first, n int) tensor.Matrix {
	return tensor.Strided(a.Data[first*a.RowStride:], n, a.Cols, a.RowStride)
}
