package native

import (
	"math"

	"github.com/verifily/verifily-tui/core/tensor"
)

// Attention is computed for a tile of query rows at a time against all keys
// they may see. The probabilities are computed again in the backward pass, so
// the scratch memory is tile × sequence, not sequence².
const attentionTile = 64

// head is one head of one sequence's rows of x.
func head(x tensor.Matrix, row, rows, h, dim int) tensor.Matrix {
	return tensor.Strided(x.Data[row*x.RowStride+h*dim:], rows, dim, x.RowStride)
}

// tiles calls do for each sequence, head and tile of query rows: q0 is the
// tile's first query row, n its number of rows, offset the number of keys
// before its first query's own.
func (w *worker) tiles(st *blockState, do func(s span, h, q0, n, offset int)) {
	for _, s := range st.spans {
		for h := range w.m.Arch.Heads {
			for t := 0; t < s.nq; t += attentionTile {
				do(s, h, s.q+t, min(attentionTile, s.nq-t), s.n-s.nq+t)
			}
		}
	}
}

func (w *worker) attentionScale() float32 {
	return float32(1 / math.Sqrt(float64(w.m.Arch.HeadDim)))
}

// probabilities computes softmax(q·kᵀ·scale) of one tile. (Vaswani et al.
// 2017, "Attention Is All You Need", eq. 1.)
func (w *worker) probabilities(st *blockState, s span, h, q0, n, offset int) tensor.Matrix {
	dim := w.m.Arch.HeadDim
	p := w.a.mat(n, offset+n)
	q := head(st.q, q0, n, h, dim)
	k := head(st.k, s.kv, offset+n, w.kvHead(h), dim)
	w.k.Gemm(p, q, k.T(), false)
	w.k.CausalSoftmax(p, offset, w.attentionScale())
	return p
}

func (w *worker) kvHead(h int) int { return h * w.m.Arch.KVHeads / w.m.Arch.Heads }

// attend writes the attention output of the block to st.o.
func (w *worker) attend(st *blockState) {
	dim := w.m.Arch.HeadDim
	w.tiles(st, func(s span, h, q0, n, offset int) {
		mark := w.a.mark()
		p := w.probabilities(st, s, h, q0, n, offset)
		v := head(st.v, s.kv, offset+n, w.kvHead(h), dim)
		w.k.Gemm(head(st.o, q0, n, h, dim), p, v, false)
		w.a.release(mark)
	})
}

// attendBackward writes the gradients of the queries to dq and adds those of
// the keys and values to dk and dv, given the gradient do of the output.
func (w *worker) attendBackward(st *blockState, do, dq, dk, dv tensor.Matrix) {
	dim := w.m.Arch.HeadDim
	w.tiles(st, func(s span, h, q0, n, offset int) {
		mark := w.a.mark()
		seen, kvh := offset+n, w.kvHead(h)
		p := w.probabilities(st, s, h, q0, n, offset)
		doh := head(do, q0, n, h, dim)
		w.k.Gemm(head(dv, s.kv, seen, kvh, dim), p.T(), doh, true)
		dp := w.a.mat(n, seen)
		w.k.Gemm(dp, doh, head(st.v, s.kv, seen, kvh, dim).T(), false)
		w.k.SoftmaxBackward(dp, p, w.attentionScale())
		w.k.Gemm(head(dq, q0, n, h, dim), dp, head(st.k, s.kv, seen, kvh, dim), false)
		w.k.Gemm(head(dk, s.kv, seen, kvh, dim), dp.T(), head(st.q, q0, n, h, dim), true)
		w.a.release(mark)
	})
}
