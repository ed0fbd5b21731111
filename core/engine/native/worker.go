package native

import (
	"github.com/verifily/verifily-tui/core/tensor"
)

// worker takes units through the model. It owns kernels and scratch memory and
// serves one goroutine.
type worker struct {
	k tensor.Kernels
	m *Model
	a arena

	// The unit at hand, with the spans and positions of all its rows and of
	// those that carry an output.
	unit        *unit
	index       int        // of the unit in its batch
	turn        *turnstile // of the batch
	stage       int        // the gradient that the unit adds next
	all, out    []span
	pos, outPos []int32
	blocks      []blockState
	pending     []product
	norms       []normGrad
	chunkList   []chunk
	parts       []stretch
	rows        []uint64 // dropout counters of the unit
	hypotheses  []decodeRow
}

// span is one sequence's part of a unit: its rows of keys and values, and its
// rows of queries, which are the last of them.
type span struct {
	kv, n int // first row and number of rows of keys and values
	q, nq int // first row and number of rows of queries
}

// product is a weight gradient waiting for its turn: dst += leftᵀ·right.
type product struct{ dst, left, right tensor.Matrix }

// normGrad is a gradient of a norm's weights waiting for its turn.
type normGrad struct{ dst, src []float32 }

// blockState is what a block keeps from the forward for the backward pass.
type blockState struct {
	x, inv1    []float32 // input, all rows
	q, k, v    tensor.Matrix
	o          tensor.Matrix // attention output, before the projection; none if nothing is trained with it
	probs      []float32     // attention probabilities, tile by tile; none if they are computed again
	h          tensor.Matrix // after the attention's residual
	inv2       []float32
	gate, up   tensor.Matrix
	lora       [7]tensor.Matrix // scaled x·Aᵀ of each adapted layer
	spans      []span
	pos        []int32 // of the query rows
	last       bool
	keep       bool // for the backward pass
	randomness dropout
}

// dropout names the random masks of one step; rate zero means none.
type dropout struct {
	on   bool
	seed int64
	step uint64
	rows []uint64 // counter of each row of the unit
}

func newWorker(k tensor.Kernels, m *Model) *worker {
	return &worker{k: k, m: m, blocks: make([]blockState, len(m.Blocks))}
}

// forget lets go of the scratch memory and of all that points there.
func (w *worker) forget() {
	w.a = arena{}
	clear(w.blocks)
	w.pending, w.norms = nil, nil
}

// begin lays out the rows of a unit.
func (w *worker) begin(u *unit) {
	w.unit = u
	w.pending, w.norms = w.pending[:0], w.norms[:0] // what a panic left behind
	w.all, w.out, w.pos, w.outPos = w.all[:0], w.out[:0], w.pos[:0], w.outPos[:0]
	row, out := 0, 0
	for i := range u.seqs {
		n, no := u.seqs[i].inputs(), u.seqs[i].outputs()
		w.all = append(w.all, span{row, n, row, n})
		w.out = append(w.out, span{row, n, out, no})
		for p := range n {
			w.pos = append(w.pos, int32(p))
			if p >= n-no {
				w.outPos = append(w.outPos, int32(p))
			}
		}
		row, out = row+n, out+no
	}
}

// embed copies the embedding of each input token.
func (w *worker) embed(x []float32, u *unit) {
	d := w.m.Arch.Hidden
	for i := range u.seqs {
		s := &u.seqs[i]
		for _, id := range s.ids[:s.inputs()] {
			w.m.embedding(x[:d], id)
			x = x[d:]
		}
	}
}

// gather copies the query rows of each span from src, which has all rows.
func gather(dst, src []float32, d int, spans []span) {
	for _, s := range spans {
		copy(dst[s.q*d:(s.q+s.nq)*d], src[(s.kv+s.n-s.nq)*d:])
	}
}

// scatterAdd adds the query rows of each span to dst, which has all rows.
func (w *worker) scatterAdd(dst, src []float32, d int, spans []span) {
	for _, s := range spans {
		w.k.Add(dst[(s.kv+s.n-s.nq)*d:(s.kv+s.n)*d], src[s.q*d:(s.q+s.nq)*d])
	}
}

// forward computes the last block's output for the rows that carry an output, in
// scratch memory behind what is taken.
// With keep, the blocks keep what the backward pass needs.
//
// Without, afterBlock (when not nil) sees each block's state before it goes.
func (w *worker) forward(u *unit, keep bool, drop dropout, afterBlock func(i int, st *blockState)) tensor.Matrix {
	w.begin(u)
	d := w.m.Arch.Hidden
	outs := w.a.mat(u.outputs, d)
	x := w.a.mat(u.rows, d)
	w.embed(x.Data, u)
	mark := w.a.mark()
	for i, b := range w.m.Blocks {
		st := &w.blocks[i]
		*st = blockState{x: x.Data, spans: w.all, pos: w.pos, last: i == len(w.m.Blocks)-1, keep: keep, randomness: drop}
		next := outs
		if st.last {
			st.spans, st.pos = w.out, w.outPos
		} else if keep {
			next = w.a.mat(u.rows, d)
		} else {
			next = x
		}
		w.blockForward(b, st, next)
		if afterBlock != nil {
			afterBlock(i, st)
		}
		if !keep {
			w.a.release(mark)
		}
		x = next
	}
	return outs
}

// blockForward computes one block: x has all rows, y the query rows.
func (w *worker) blockForward(b *Block, st *blockState, y tensor.Matrix) {
	arch := &w.m.Arch
	rows, d, nq := len(w.pos), arch.Hidden, len(st.pos)
	eps := float32(arch.RMSEps)

	st.inv1 = w.a.take(rows)
	st.q, st.k, st.v = w.a.mat(nq, arch.attn()), w.a.mat(rows, arch.kv()), w.a.mat(rows, arch.kv())
	st.h = w.a.mat(nq, d)
	st.inv2 = w.a.take(nq)
	st.gate, st.up = w.a.mat(nq, arch.FFN), w.a.mat(nq, arch.FFN)
	w.takeLoRA(b, st, rows, nq)
	w.takeProbabilities(st)
	if b.O.trainable() {
		st.o = w.a.mat(nq, arch.attn())
	}

	mark := w.a.mark()
	o := st.o
	if o.Data == nil {
		o = w.a.mat(nq, arch.attn())
	}
	inner := w.a.mark()
	n1 := w.a.mat(rows, d)
	w.k.RMSNorm(n1.Data, st.inv1, st.x, b.Norm1.Value, d, eps)
	nq1 := w.queryRows(n1, st)
	w.project(st.q, nq1, b.Q, st.lora[0], st)
	w.project(st.k, n1, b.K, st.lora[1], st)
	w.project(st.v, n1, b.V, st.lora[2], st)
	w.k.Rope(st.q.Data, arch.Heads, st.pos, w.m.rope, false)
	w.k.Rope(st.k.Data, arch.KVHeads, w.pos, w.m.rope, false)
	w.attend(st, o)
	w.a.release(inner)

	w.project(st.h, o, b.O, st.lora[3], st)
	if st.last {
		res := w.a.mat(nq, d)
		gather(res.Data, st.x, d, st.spans)
		w.k.Add(st.h.Data, res.Data)
	} else {
		w.k.Add(st.h.Data, st.x)
	}
	w.a.release(mark)

	n2 := w.a.mat(nq, d)
	w.k.RMSNorm(n2.Data, st.inv2, st.h.Data, b.Norm2.Value, d, eps)
	w.project(st.gate, n2, b.Gate, st.lora[4], st)
	w.project(st.up, n2, b.Up, st.lora[5], st)
	prod := w.a.mat(nq, arch.FFN)
	w.k.SwiGLU(prod.Data, st.gate.Data, st.up.Data)
	w.project(y, prod, b.Down, st.lora[6], st)
	w.k.Add(y.Data, st.h.Data)
	w.a.release(mark)
}

// takeLoRA reserves the low-rank states of the block's adapters.
func (w *worker) takeLoRA(b *Block, st *blockState, rows, nq int) {
	for j, l := range b.linears() {
		if l.LoRA == nil {
			continue
		}
		n := nq
		if j == 1 || j == 2 { // keys and values see all rows
			n = rows
		}
		st.lora[j] = w.a.mat(n, l.LoRA.A.Shape[0])
	}
}

// queryRows picks the rows of x that the block's queries stand on.
func (w *worker) queryRows(x tensor.Matrix, st *blockState) tensor.Matrix {
	if !st.last {
		return x
	}
	q := w.a.mat(len(st.pos), x.Cols)
	gather(q.Data, x.Data, x.Cols, st.spans)
	return q
}

// project computes y = x·Wᵀ, plus the adapter's part, whose low-rank state it
// leaves in t.
func (w *worker) project(y, x tensor.Matrix, l *Linear, t tensor.Matrix, st *blockState) {
	w.mulT(y, x, l.W)
	if l.LoRA == nil {
		return
	}
	mark := w.a.mark()
	w.k.Gemm(t, w.dropped(x, l.LoRA, st), l.LoRA.A.mat().T(), false)
	w.k.Scale(t.Data, l.LoRA.Scale)
	w.k.Gemm(y, t, l.LoRA.B.mat().T(), true)
	w.a.release(mark)
}

// dropped is x with the adapter's dropout mask applied.
func (w *worker) dropped(x tensor.Matrix, a *Adapter, st *blockState) tensor.Matrix {
	if !st.randomness.on || a.Dropout == 0 {
		return x
	}
	y := w.a.mat(x.Rows, x.Cols)
	w.drop(y, x, a, st)
	return y
}

func (w *worker) drop(y, x tensor.Matrix, a *Adapter, st *blockState) {
	rng := tensor.NewPhilox(st.randomness.seed, streamDropout, st.randomness.step, a.stream)
	spans := st.spans
	if x.Rows == len(w.pos) {
		spans = w.all
	}
	for i, s := range spans {
		for r := range s.nq {
			row := st.randomness.rows[i] + uint64(s.n-s.nq+r)
			rng.Dropout(y.Row(s.q+r), x.Row(s.q+r), row, a.Dropout)
		}
	}
}
