package tensor

import "math"

// rowSet holds the assembly of the row kernels of one instruction set.
type rowSet struct {
	add                func(dst, src *float32, n int)
	scale              func(x *float32, n int, f float32)
	sumSquares         func(x *float32, n int) float64
	rmsNorm            func(out, inv, x, w *float32, rows, d int, eps float32)
	rmsNormBackward    func(dx, dw, dy, x, w, inv *float32, rows, d int)
	rowMax             func(x *float32, n int) float32
	expSum             func(dst, x *float32, n int, top float32) float32
	softmaxRow         func(x *float32, n int, scale float32)
	softmaxBackwardRow func(dp, p *float32, n int, scale float32)
	swiGLU             func(out, gate, up *float32, n int)
	swiGLUBackward     func(gate, up, dy *float32, n int)
	rope               func(x *float32, heads, half int, cos, sin *float32, flip uint32)
	adamW              func(p, grad, m, v *float32, n int, lr, beta1, rest1, beta2, rest2, eps, decay, unbias1, unbias2, scale float32)
}

func (s *simd) Add(dst, src []float32) {
	for dst = dst[:len(src)]; len(src) > 0; {
		n := min(chunk, len(src))
		s.rows.add(first(dst), first(src), n)
		dst, src = dst[n:], src[n:]
	}
}

func (s *simd) Scale(x []float32, f float32) {
	for len(x) > 0 {
		n := min(chunk, len(x))
		s.rows.scale(first(x), n, f)
		x = x[n:]
	}
}

func (s *simd) SumSquares(x []float32) float64 {
	var sum float64
	for len(x) > 0 {
		n := min(chunk, len(x))
		sum += s.rows.sumSquares(first(x), n)
		x = x[n:]
	}
	return sum
}

func (s *simd) RMSNorm(out, inv, x, w []float32, d int, eps float32) {
	rows := len(x) / d
	out, inv, w = out[:rows*d], inv[:rows], w[:d]
	for r, step := 0, rowsIn(d); r < rows; r += step {
		s.rows.rmsNorm(first(out[r*d:]), first(inv[r:]), first(x[r*d:]), first(w), min(step, rows-r), d, eps)
	}
}

// rowsIn is the number of rows of d values that make a chunk.
func rowsIn(d int) int { return max(1, chunk/d) }

func (s *simd) RMSNormBackward(dx, dw, dy, x, w, inv []float32, d int) {
	rows := len(x) / d
	dx, dy, w, inv = dx[:rows*d], dy[:rows*d], w[:d], inv[:rows]
	if dw != nil {
		dw = dw[:d]
	}
	for r, step := 0, rowsIn(d); r < rows; r += step {
		s.rows.rmsNormBackward(first(dx[r*d:]), first(dw), first(dy[r*d:]), first(x[r*d:]), first(w), first(inv[r:]), min(step, rows-r), d)
	}
}

func (s *simd) Rope(x []float32, heads int, pos []int32, table *RopeTable, inverse bool) {
	half := table.Dim / 2
	x = x[:len(pos)*heads*table.Dim]
	if len(x) == 0 {
		return
	}
	var flip uint32
	if inverse {
		flip = 1 << 31
	}
	for r, p := range pos {
		cos := table.Cos[int(p)*half:][:half]
		sin := table.Sin[int(p)*half:][:half]
		s.rows.rope(&x[r*heads*table.Dim], heads, half, first(cos), first(sin), flip)
	}
}

func (s *simd) SwiGLU(out, gate, up []float32) {
	for out, up = out[:len(gate)], up[:len(gate)]; len(gate) > 0; {
		n := min(chunk, len(gate))
		s.rows.swiGLU(first(out), first(gate), first(up), n)
		out, gate, up = out[n:], gate[n:], up[n:]
	}
}

func (s *simd) SwiGLUBackward(gate, up, dy []float32) {
	for up, dy = up[:len(gate)], dy[:len(gate)]; len(gate) > 0; {
		n := min(chunk, len(gate))
		s.rows.swiGLUBackward(first(gate), first(up), first(dy), n)
		gate, up, dy = gate[n:], up[n:], dy[n:]
	}
}

func (s *simd) CausalSoftmax(scores Matrix, offset int, scale float32) {
	for i := range scores.Rows {
		row := scores.Row(i)
		n := min(offset+i+1, len(row))
		if n > 0 {
			s.rows.softmaxRow(first(row), n, scale)
		}
		clear(row[n:])
	}
}

func (s *simd) SoftmaxBackward(dp, p Matrix, scale float32) {
	for i := range dp.Rows {
		d := dp.Row(i)
		s.rows.softmaxBackwardRow(first(d), first(p.Row(i)[:len(d)]), len(d), scale)
	}
}

// sumChunk values are summed in float32, and their sums in float64: 32 terms a
// lane keep the relative error of the sum of exponentials near 1e-7.
const sumChunk = 512

// sumExp writes exp(x - top) to dst, unless it is nil, and returns the sum.
func (s *simd) sumExp(dst, x []float32, top float32) float64 {
	var sum float64
	for i := 0; i < len(x); i += sumChunk {
		part := x[i:min(i+sumChunk, len(x))]
		to := s.scratch
		if dst != nil {
			to = dst[i : i+len(part)]
		}
		sum += float64(s.rows.expSum(first(to), first(part), len(part), top))
	}
	return sum
}

func (s *simd) rowMax(x []float32) float32 {
	top := float32(math.Inf(-1))
	for len(x) > 0 {
		n := min(chunk, len(x))
		top = max(top, s.rows.rowMax(first(x), n))
		x = x[n:]
	}
	return top
}

func (s *simd) LogSumExp(x []float32) float64 {
	top := s.rowMax(x)
	if math.IsInf(float64(top), 0) {
		return s.generic.LogSumExp(x) // the maximum passes over NaN
	}
	return float64(top) + math.Log(s.sumExp(nil, x, top))
}

func (s *simd) CrossEntropy(logits []float32, target int, scale float32) float64 {
	top, right := s.rowMax(logits), logits[target]
	sum := s.sumExp(logits, logits, top)
	e := float64(logits[target])
	s.Scale(logits, float32(float64(scale)/sum))
	logits[target] = float32(float64(scale) * (e/sum - 1))
	return math.Log(sum) + float64(top) - float64(right)
}

func (s *simd) AdamW(p, g, m, v []float32, step AdamWStep) {
	p, m, v = p[:len(g)], m[:len(g)], v[:len(g)]
	for len(g) > 0 {
		n := min(chunk/4, len(g))
		s.rows.adamW(first(p), first(g), first(m), first(v), n, step.LR, step.Beta1, 1-step.Beta1, step.Beta2, 1-step.Beta2,
			step.Eps, step.WeightDecay, 1/step.Correction1, 1/step.Correction2, step.GradScale)
		p, g, m, v = p[n:], g[n:], m[n:], v[n:]
	}
}
