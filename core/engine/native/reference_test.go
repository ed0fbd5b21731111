package native

import (
	"math"
)

// reference computes the loss of a model in float64, written down from the
// formulas with plain loops and sharing nothing with the engine but the
// parameters. Dropout is off.
type reference struct {
	m      *Model
	values map[*Param][]float64
}

func newReference(m *Model) *reference {
	r := &reference{m: m, values: map[*Param][]float64{}}
	for _, list := range [][]*Param{m.params, m.adapters} {
		for _, p := range list {
			values := p.Value
			if p.Quant != nil {
				values = make([]float32, size(p.Shape))
				p.Quant.Rows(values, 0, p.Shape[0])
			}
			v := make([]float64, len(values))
			for i, x := range values {
				v[i] = float64(x)
			}
			r.values[p] = v
		}
	}
	return r
}

// matmul is x·Wᵀ for one row.
func (r *reference) matmul(x []float64, w *Param) []float64 {
	v := r.values[w]
	out := make([]float64, w.Shape[0])
	for o := range out {
		for i, xi := range x {
			out[o] += xi * v[o*w.Shape[1]+i]
		}
	}
	return out
}

func (r *reference) linear(x []float64, l *Linear) []float64 {
	y := r.matmul(x, l.W)
	if l.LoRA != nil {
		for i, v := range r.matmul(r.matmul(x, l.LoRA.A), l.LoRA.B) {
			y[i] += v * float64(l.LoRA.Scale)
		}
	}
	return y
}

func (r *reference) norm(x []float64, w *Param) []float64 {
	var sum float64
	for _, v := range x {
		sum += v * v
	}
	s := 1 / math.Sqrt(sum/float64(len(x))+r.m.Arch.RMSEps)
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = v * s * r.values[w][i]
	}
	return out
}

func (r *reference) rope(x []float64, pos int) {
	dim := r.m.Arch.HeadDim
	for h := 0; h < len(x); h += dim {
		for i := range dim / 2 {
			angle := float64(pos) * math.Pow(r.m.Arch.RopeTheta, -2*float64(i)/float64(dim))
			c, s := math.Cos(angle), math.Sin(angle)
			a, b := x[h+i], x[h+i+dim/2]
			x[h+i], x[h+i+dim/2] = a*c-b*s, b*c+a*s
		}
	}
}

// states are the last block's outputs for one sequence, all positions.
func (r *reference) states(ids []int32) [][]float64 {
	arch := r.m.Arch
	d := arch.Hidden
	x := make([][]float64, len(ids))
	for t, id := range ids {
		x[t] = append([]float64(nil), r.values[r.m.Embed][int(id)*d:(int(id)+1)*d]...)
	}
	for _, b := range r.m.Blocks {
		q, k, v := make([][]float64, len(ids)), make([][]float64, len(ids)), make([][]float64, len(ids))
		for t := range ids {
			n := r.norm(x[t], b.Norm1)
			q[t], k[t], v[t] = r.linear(n, b.Q), r.linear(n, b.K), r.linear(n, b.V)
			r.rope(q[t], t)
			r.rope(k[t], t)
		}
		for t := range ids {
			o := r.attention(q[t], k[:t+1], v[:t+1])
			h := r.linear(o, b.O)
			for i := range h {
				h[i] += x[t][i]
			}
			n := r.norm(h, b.Norm2)
			gate, up := r.linear(n, b.Gate), r.linear(n, b.Up)
			for i, g := range gate {
				gate[i] = g / (1 + math.Exp(-g)) * up[i]
			}
			y := r.linear(gate, b.Down)
			for i := range y {
				y[i] += h[i]
			}
			x[t] = y
		}
	}
	return x
}

func (r *reference) attention(q []float64, k, v [][]float64) []float64 {
	arch := r.m.Arch
	dim := arch.HeadDim
	out := make([]float64, len(q))
	for h := range arch.Heads {
		kvh := h * arch.KVHeads / arch.Heads
		p := make([]float64, len(k))
		var sum float64
		for t := range k {
			var dot float64
			for i := range dim {
				dot += q[h*dim+i] * k[t][kvh*dim+i]
			}
			p[t] = math.Exp(dot / math.Sqrt(float64(dim)))
			sum += p[t]
		}
		for t := range k {
			for i := range dim {
				out[h*dim+i] += p[t] / sum * v[t][kvh*dim+i]
			}
		}
	}
	return out
}

// loss is the mean loss over the labels of the sequences.
func (r *reference) loss(seqs []sequence) float64 {
	head := r.m.Head
	if r.m.Score != nil {
		head = r.m.Score
	}
	var sum float64
	n := 0
	for i := range seqs {
		s := &seqs[i]
		x := r.states(s.ids[:s.inputs()])
		for j := range s.outputs() {
			t := s.inputs() - s.outputs() + j
			target := s.label
			if target < 0 {
				target = int(s.ids[t+1])
			}
			logits := r.matmul(r.norm(x[t], r.m.Norm), head)
			var total float64
			for _, l := range logits {
				total += math.Exp(l)
			}
			sum += math.Log(total) - logits[target]
			n++
		}
	}
	return sum / float64(n)
}
