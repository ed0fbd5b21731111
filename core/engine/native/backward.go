package native

import (
	"github.com/verifily/verifily-tui/core/tensor"
)

// backward takes the gradient dy of the last block's output rows down to the
// embedding, adding to the gradients of every trained parameter.
func (w *worker) backward(dy tensor.Matrix, slots *embedSlots) {
	u, d := w.unit, w.m.Arch.Hidden
	lowest := w.m.lowestTrained()
	spare := [2]tensor.Matrix{w.a.mat(u.rows, d), w.a.mat(u.rows, d)}
	for i := len(w.m.Blocks) - 1; i >= lowest; i-- {
		dx := spare[i&1]
		if i == lowest && !w.m.Embed.trainable() {
			dx = tensor.Matrix{}
		}
		mark := w.a.mark()
		w.blockBackward(w.m.Blocks[i], &w.blocks[i], dx, dy)
		w.commit()
		w.a.release(mark)
		dy = dx
	}
	if w.m.Embed.trainable() {
		w.enter()
		slots.add(w.k, u, dy.Data, d)
		w.leave()
	}
}

// enter waits until it is the unit's turn to add the gradient that comes next,
// leave lets the unit behind it do so. Every unit adds the same gradients in the
// same order.
func (w *worker) enter() { w.turn.enter(w.stage, w.index) }

func (w *worker) leave() {
	w.turn.leave(w.stage)
	w.stage++
}

// stages is the most gradients that a unit adds one by one: slices of the head,
// the final norm, two for each layer with an adapter and twice norms in each
// block, and the embedding.
func (m *Model) stages() int { return headSlices + 1 + len(m.Blocks)*(2*len(moduleNames)+2) + 1 }

// commit adds the waiting gradients to the shared ones, group by group.
func (w *worker) commit() {
	for _, p := range w.pending {
		w.enter()
		from := 0
		for _, g := range w.unit.groups {
			end := g.of(p.left.Rows, w.unit)
			w.k.Gemm(p.dst, rowsOf(p.left, from, end-from).T(), rowsOf(p.right, from, end-from), true)
			from = end
		}
		w.leave()
	}
	if len(w.norms) > 0 {
		w.enter()
		for _, g := range w.norms {
			w.k.Add(g.dst, g.src)
		}
		w.leave()
	}
	w.pending, w.norms = w.pending[:0], w.norms[:0]
}

// blockBackward writes the gradient of the block's input to dx (all rows),
// given the gradient dy of its output (query rows). Weight gradients of the
// attention wait in pending. A dx without data is not needed. Inputs of layers are
// computed again where something is trained with them.
func (w *worker) blockBackward(b *Block, st *blockState, dx, dy tensor.Matrix) {
	arch := &w.m.Arch
	rows, d, nq := len(w.pos), arch.Hidden, len(st.pos)
	eps := float32(arch.RMSEps)

	// y = h + down(silu(gate(n2))*up(n2))
	var prod tensor.Matrix
	if b.Down.trainable() {
		prod = w.a.mat(nq, arch.FFN)
		w.k.SwiGLU(prod.Data, st.gate.Data, st.up.Data)
	}
	dprod := w.a.mat(nq, arch.FFN)
	w.projectBackward(dprod, dy, prod, b.Down, st.lora[6], st, false)
	w.k.SwiGLUBackward(st.gate.Data, st.up.Data, dprod.Data)
	var n2 tensor.Matrix
	if b.Gate.trainable() || b.Up.trainable() {
		n2 = w.a.mat(nq, d)
		w.k.RMSNorm(n2.Data, st.inv2, st.h.Data, b.Norm2.Value, d, eps)
	}
	dn2 := w.a.mat(nq, d)
	w.projectBackward(dn2, st.gate, n2, b.Gate, st.lora[4], st, false)
	w.projectBackward(dn2, st.up, n2, b.Up, st.lora[5], st, true)
	dh := w.a.mat(nq, d)
	copy(dh.Data, dy.Data)
	w.normBackward(dh, dn2, st.h, b.Norm2, st.inv2)
	w.commit()

	// h = x + o(attention(q(n1), k(n1), v(n1)))
	do := w.a.mat(nq, arch.attn())
	w.projectBackward(do, dh, st.o, b.O, st.lora[3], st, false)
	dq := w.a.mat(nq, arch.attn())
	dk := tensor.Mat(w.a.zeros(rows*arch.kv()), rows, arch.kv())
	dv := tensor.Mat(w.a.zeros(rows*arch.kv()), rows, arch.kv())
	w.attendBackward(st, do, dq, dk, dv)
	w.k.Rope(dq.Data, arch.Heads, st.pos, w.m.rope, true)
	w.k.Rope(dk.Data, arch.KVHeads, w.pos, w.m.rope, true)
	var n1, nq1 tensor.Matrix
	if b.Q.trainable() || b.K.trainable() || b.V.trainable() {
		n1 = w.a.mat(rows, d)
		w.k.RMSNorm(n1.Data, st.inv1, st.x, b.Norm1.Value, d, eps)
		nq1 = w.queryRows(n1, st)
	}
	if dx.Data == nil {
		w.projectBackward(dx, dq, nq1, b.Q, st.lora[0], st, false)
		w.projectBackward(dx, dk, n1, b.K, st.lora[1], st, false)
		w.projectBackward(dx, dv, n1, b.V, st.lora[2], st, false)
		return
	}
	dn1 := w.a.mat(rows, d)
	w.projectBackward(dn1, dk, n1, b.K, st.lora[1], st, false)
	w.projectBackward(dn1, dv, n1, b.V, st.lora[2], st, true)
	if st.last {
		dnq := w.a.mat(nq, d)
		w.projectBackward(dnq, dq, nq1, b.Q, st.lora[0], st, false)
		w.scatterAdd(dn1.Data, dnq.Data, d, st.spans)
		clear(dx.Data)
		w.scatterAdd(dx.Data, dh.Data, d, st.spans)
	} else {
		w.projectBackward(dn1, dq, n1, b.Q, st.lora[0], st, true)
		copy(dx.Data, dh.Data)
	}
	w.normBackward(dx, dn1, tensor.Mat(st.x, rows, d), b.Norm1, st.inv1)
}

// projectBackward computes the gradient dx of the input of y = x·Wᵀ (adding to
// it when acc is set; no data means it is not needed) and notes the gradients
// of the weights. t is the adapter's low-rank state.
func (w *worker) projectBackward(dx, dy, x tensor.Matrix, l *Linear, t tensor.Matrix, st *blockState, acc bool) {
	if l.W.trainable() {
		w.pending = append(w.pending, product{l.W.gradMat(), dy, x})
	}
	if dx.Data != nil {
		w.mul(dx, dy, l.W, acc)
	}
	a := l.LoRA
	if a == nil {
		return
	}
	low := w.a.mat(dy.Rows, t.Cols)
	w.k.Gemm(low, dy, a.B.mat(), false)
	w.k.Scale(low.Data, a.Scale)
	if a.A.trainable() {
		w.pending = append(w.pending, product{a.B.gradMat(), dy, t}, product{a.A.gradMat(), low, w.dropped(x, a, st)})
	}
	if dx.Data == nil {
		return
	}
	if !st.randomness.on || a.Dropout == 0 {
		w.k.Gemm(dx, low, a.A.mat(), true)
		return
	}
	dropped := w.a.mat(x.Rows, x.Cols)
	w.k.Gemm(dropped, low, a.A.mat(), false)
	w.drop(dropped, dropped, a, st)
	w.k.Add(dx.Data, dropped.Data)
}

// normBackward adds the gradient of a norm's input to dx and notes that of its
// weights, group by group.
func (w *worker) normBackward(dx, dy, x tensor.Matrix, p *Param, inv []float32) {
	d := w.m.Arch.Hidden
	if !p.trainable() {
		w.k.RMSNormBackward(dx.Data, nil, dy.Data, x.Data, p.Value, inv, d)
		return
	}
	from := 0
	for _, g := range w.unit.groups {
		end := g.of(x.Rows, w.unit)
		dw := w.a.zeros(d)
		w.norms = append(w.norms, normGrad{p.Grad, dw})
		w.k.RMSNormBackward(dx.Data[from*d:end*d], dw, dy.Data[from*d:end*d], x.Data[from*d:end*d], p.Value, inv[from:end], d)
		from = end
	}
}

// embedSlots collects the gradient of the embedding for the tokens that occur
// in a step: a row a distinct token. It is apart from the parameter's gradient
// because a tied head adds to that one at another stage.
type embedSlots struct {
	slot []int32 // by token id, -1 for none
	ids  []int32 // by slot
	grad []float32
}

// assign gives a slot to every input token of the sequences.
func (e *embedSlots) assign(seqs []sequence, vocab, d int) {
	if e.slot == nil {
		e.slot = make([]int32, vocab)
		for i := range e.slot {
			e.slot[i] = -1
		}
	}
	for _, id := range e.ids {
		e.slot[id] = -1
	}
	e.ids = e.ids[:0]
	for i := range seqs {
		for _, id := range seqs[i].ids[:seqs[i].inputs()] {
			if e.slot[id] < 0 {
				e.slot[id] = int32(len(e.ids))
				e.ids = append(e.ids, id)
			}
		}
	}
	n := len(e.ids) * d
	if cap(e.grad) < n {
		e.grad = make([]float32, n+n/4)
	}
	e.grad = e.grad[:n]
	clear(e.grad)
}

// add adds the gradient of each row of a unit to its token's slot.
func (e *embedSlots) add(k tensor.Kernels, u *unit, dx []float32, d int) {
	for i := range u.seqs {
		s := &u.seqs[i]
		for _, id := range s.ids[:s.inputs()] {
			at := int(e.slot[id]) * d
			k.Add(e.grad[at:at+d], dx[:d])
			dx = dx[d:]
		}
	}
}

// flush adds the slots to the embedding's gradient.
func (e *embedSlots) flush(k tensor.Kernels, grad []float32, d int) {
	for i, id := range e.ids {
		k.Add(grad[int(id)*d:(int(id)+1)*d], e.grad[i*d:(i+1)*d])
	}
}
