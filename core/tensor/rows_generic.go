package tensor

import "math"

func (g *generic) RMSNorm(out, inv, x, w []float32, d int, eps float32) {
	for r := range len(x) / d {
		row, o := x[r*d:(r+1)*d], out[r*d:(r+1)*d]
		var sum float32
		for _, v := range row {
			sum += v * v
		}
		s := float32(1 / math.Sqrt(float64(sum/float32(d)+eps)))
		inv[r] = s
		for i, v := range row {
			o[i] = v * s * w[i]
		}
	}
}

func (g *generic) RMSNormBackward(dx, dw, dy, x, w, inv []float32, d int) {
	for r := range len(x) / d {
		xr, dyr, dxr, s := x[r*d:(r+1)*d], dy[r*d:(r+1)*d], dx[r*d:(r+1)*d], inv[r]
		var dot float32
		for i, v := range xr {
			dot += dyr[i] * w[i] * v
		}
		f := dot * s * s * s / float32(d)
		for i, v := range xr {
			dxr[i] += dyr[i]*w[i]*s - v*f
		}
		if dw != nil {
			for i, v := range xr {
				dw[i] += dyr[i] * v * s
			}
		}
	}
}

func (g *generic) Rope(x []float32, heads int, pos []int32, table *RopeTable, inverse bool) {
	half := table.Dim / 2
	for r, p := range pos {
		cos := table.Cos[int(p)*half:][:half]
		sin := table.Sin[int(p)*half:][:half]
		for h := range heads {
			v := x[(r*heads+h)*table.Dim:][:table.Dim]
			lo, hi := v[:half], v[half:]
			for i, c := range cos {
				s := sin[i]
				if inverse {
					s = -s
				}
				a, b := lo[i], hi[i]
				lo[i] = a*c - b*s
				hi[i] = b*c + a*s
			}
		}
	}
}

func sigmoid(x float32) float32 {
	return float32(1 / (1 + math.Exp(-float64(x))))
}

func (g *generic) SwiGLU(out, gate, up []float32) {
	for i, x := range gate {
		out[i] = x * sigmoid(x) * up[i]
	}
}

func (g *generic) SwiGLUBackward(gate, up, dy []float32) {
	for i, x := range gate {
		s := sigmoid(x)
		u, d := up[i], dy[i]
		gate[i] = d * u * s * (1 + x*(1-s))
		up[i] = d * x * s
	}
}

func (g *generic) CausalSoftmax(s Matrix, offset int, scale float32) {
	for i := range s.Rows {
		row := s.Row(i)
		visible := row[:min(offset+i+1, len(row))]
		top := float32(math.Inf(-1))
		for _, v := range visible {
			top = max(top, v)
		}
		var sum float32
		for j, v := range visible {
			e := float32(math.Exp(float64((v - top) * scale)))
			visible[j] = e
			sum += e
		}
		f := 1 / sum
		for j := range visible {
			visible[j] *= f
		}
		clear(row[len(visible):])
	}
}

func (g *generic) SoftmaxBackward(dp, p Matrix, scale float32) {
	for i := range dp.Rows {
		d, q := dp.Row(i), p.Row(i)
		var dot float32
		for j, v := range d {
			dot += v * q[j]
		}
		for j, v := range d {
			d[j] = (v - dot) * q[j] * scale
		}
	}
}

func (g *generic) LogSumExp(x []float32) float64 {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, float64(v))
	}
	if math.IsInf(top, 0) || math.IsNaN(top) {
		return top
	}
	var sum float64
	for _, v := range x {
		sum += math.Exp(float64(v) - top)
	}
	return top + math.Log(sum)
}

func (g *generic) CrossEntropy(logits []float32, target int, scale float32) float64 {
	lse := g.LogSumExp(logits)
	loss := lse - float64(logits[target])
	for i, v := range logits {
		logits[i] = float32(math.Exp(float64(v)-lse)) * scale
	}
	logits[target] -= scale
	return loss
}

func (g *generic) AdamW(p, grad, m, v []float32, s AdamWStep) {
	for i, x := range grad {
		x *= s.GradScale
		m[i] = s.Beta1*m[i] + (1-s.Beta1)*x
		v[i] = s.Beta2*v[i] + (1-s.Beta2)*x*x
		root := float32(math.Sqrt(float64(v[i] / s.Correction2)))
		p[i] -= s.LR * (m[i]/s.Correction1/(root+s.Eps) + s.WeightDecay*p[i])
	}
}

func (g *generic) Add(dst, src []float32) {
	for i, v := range src {
		dst[i] += v
	}
}

func (g *generic) Scale(x []float32, f float32) {
	for i := range x {
		x[i] *= f
	}
}

func (g *generic) SumSquares(x []float32) float64 {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return sum
}
