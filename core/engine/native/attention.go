package native

import (
	"math"

	"github.com/verifily/verifily-tui/core/tensor"
)

// Attention is computed for a tile of query rows at a time against all keys
// they may see, so that the scratch memory is tile × sequence, not sequence².
// The backward pass needs the probabilities again. They are kept where no sequence
// of the run is longer than keptAttention, which takes less memory than the rest
// of what a block keeps, and computed again otherwise.
const (
	attentionTile = 64
	keptAttention = 256
)

// tile is some query rows of a head of a sequence.
type tile struct {
	span   span
	head   int
	first  int // query row
	rows   int
	offset int // keys before its first query's own
	at     int // of its probabilities among those of the block
}

// keys is the number of keys that the tile's last query sees.
func (t tile) keys() int { return t.offset + t.rows }

// head is one head of one sequence's rows of x.
func head(x tensor.Matrix, row, rows, h, dim int) tensor.Matrix {
	return tensor.Strided(x.Data[row*x.RowStride+h*dim:], rows, dim, x.RowStride)
}

// tiles calls do for each sequence, head and tile of query rows.
func (w *worker) tiles(st *blockState, do func(t tile)) {
	at := 0
	for _, s := range st.spans {
		for h := range w.m.Arch.Heads {
			for q := 0; q < s.nq; q += attentionTile {
				t := tile{span: s, head: h, first: s.q + q, rows: min(attentionTile, s.nq-q), offset: s.n - s.nq + q, at: at}
				do(t)
				at += t.rows * t.keys()
			}
		}
	}
}

// takeProbabilities reserves what the block keeps of its attention, if it does:
// the most that sequences of this length can have, so that it grows with the
// rows and with the longest sequence of a unit.
func (w *worker) takeProbabilities(st *blockState) {
	if !st.keep || !w.m.keepsAttention || w.unit.longest > keptAttention { // longer than in the sample that was measured
		return
	}
	keys := w.unit.longest // a row, at most
	if !st.last {
		keys = (w.unit.longest + attentionTile + 1) / 2 // on average
	}
	st.probs = w.a.take(w.m.Arch.Heads * len(st.pos) * keys)
}

func (w *worker) attentionScale() float32 {
	return float32(1 / math.Sqrt(float64(w.m.Arch.HeadDim)))
}

// probabilities computes softmax(q·kᵀ·scale) of one tile. (Vaswani et al.
// 2017, "Attention Is All You Need", eq. 1.)
func (w *worker) probabilities(st *blockState, t tile) tensor.Matrix {
	p := st.kept(t)
	if p.Data == nil {
		p = w.a.mat(t.rows, t.keys())
	}
	dim := w.m.Arch.HeadDim
	q := head(st.q, t.first, t.rows, t.head, dim)
	k := head(st.k, t.span.kv, t.keys(), w.kvHead(t.head), dim)
	w.k.Gemm(p, q, k.T(), false)
	w.k.CausalSoftmax(p, t.offset, w.attentionScale())
	return p
}

// kept is where the probabilities of a tile are kept; it has no data if they are
// not.
func (st *blockState) kept(t tile) tensor.Matrix {
	if st.probs == nil {
		return tensor.Matrix{}
	}
	return tensor.Mat(st.probs[t.at:], t.rows, t.keys())
}

func (w *worker) kvHead(h int) int { return h * w.m.Arch.KVHeads / w.m.Arch.Heads }

// attend writes the attention output of the block to o.
func (w *worker) attend(st *blockState, o tensor.Matrix) {
	dim := w.m.Arch.HeadDim
	w.tiles(st, func(t tile) {
		mark := w.a.mark()
		p := w.probabilities(st, t)
		v := head(st.v, t.span.kv, t.keys(), w.kvHead(t.head), dim)
		w.k.Gemm(head(o, t.first, t.rows, t.head, dim), p, v, false)
		w.a.release(mark)
	})
}

// attendBackward writes the gradients of the queries to dq and adds those of
// the keys and values to dk and dv, given the gradient do of the output.
func (w *worker) attendBackward(st *blockState, do, dq, dk, dv tensor.Matrix) {
	dim := w.m.Arch.HeadDim
	w.tiles(st, func(t tile) {
		mark := w.a.mark()
		kv, kvh := t.span.kv, w.kvHead(t.head)
		p := st.kept(t)
		if p.Data == nil {
			p = w.probabilities(st, t)
		}
		doh := head(do, t.first, t.rows, t.head, dim)
		dp := w.a.mat(t.rows, t.keys())
		w.k.Next(p)
		w.k.Gemm(dp, doh, head(st.v, kv, t.keys(), kvh, dim).T(), false)
		w.k.Gemm(head(dv, kv, t.keys(), kvh, dim), p.T(), doh, true)
		w.k.SoftmaxBackward(dp, p, w.attentionScale())
		w.k.Gemm(head(dq, t.first, t.rows, t.head, dim), dp, head(st.k, kv, t.keys(), kvh, dim), false)
		w.k.Gemm(head(dk, kv, t.keys(), kvh, dim), dp.T(), head(st.q, t.first, t.rows, t.head, dim), true)
		w.a.release(mark)
	})
}
