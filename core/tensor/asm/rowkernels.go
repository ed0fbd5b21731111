package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func (w *rowWriter) elementwise() {
	w.begin("add", "func(dst, src *float32, n int)", "adds n values of src to dst.")
	dst, src, n := w.arg("dst"), w.arg("src"), w.arg("n")
	w.each(n, 4, func(l lanes) {
		v, o := w.v(2*l.which), w.v(2*l.which+1)
		l.load(src, v)
		l.load(dst, o)
		w.VADDPS(v, o, o)
		l.store(o, dst)
	})
	w.end()

	w.begin("scale", "func(x *float32, n int, f float32)", "multiplies n values by f.")
	x, n := w.arg("x"), w.arg("n")
	f := w.v(8)
	w.spread("f", f)
	w.each(n, 4, func(l lanes) {
		v := w.v(l.which)
		l.load(x, v)
		w.VMULPS(f, v, v)
		l.store(v, x)
	})
	w.end()

	w.begin("sumSquares", "func(x *float32, n int) float64",
		"sums n squares in float64, in four vectors that are added at the end.")
	x, n = w.arg("x"), w.arg("n")
	for i := range 4 {
		w.zero(w.v(8 + i))
	}
	w.each(n, 2, func(l lanes) {
		v, high := w.v(2*l.which), w.v(2*l.which+1)
		l.load(x, v)
		if w.set == avx512 {
			w.VEXTRACTF64X4(operand.Imm(1), v, high.AsY())
			w.VCVTPS2PD(high.AsY(), high)
			w.VCVTPS2PD(v.AsY(), v)
		} else {
			w.VEXTRACTF128(operand.Imm(1), v, high.AsX())
			w.VCVTPS2PD(high.AsX(), high)
			w.VCVTPS2PD(v.AsX(), v)
		}
		low, top := w.v(8+2*l.which), w.v(9+2*l.which)
		w.VFMADD231PD(v, v, low)
		w.VFMADD231PD(high, high, top)
	})
	sum, tmp := w.v(8), w.v(0)
	w.VADDPD(w.v(9), sum, sum)
	w.VADDPD(w.v(11), w.v(10), w.v(10))
	w.VADDPD(w.v(10), sum, sum)
	if w.set == avx512 {
		w.VEXTRACTF64X4(operand.Imm(1), sum, tmp.AsY())
		w.VADDPD(tmp.AsY(), sum.AsY(), sum.AsY())
	}
	w.VEXTRACTF128(operand.Imm(1), sum.AsY(), tmp.AsX())
	w.VADDPD(tmp.AsX(), sum.AsX(), sum.AsX())
	w.VPERMILPD(operand.Imm(1), sum.AsX(), tmp.AsX())
	w.VADDSD(tmp.AsX(), sum.AsX(), sum.AsX())
	w.VMOVSD(sum.AsX(), w.address(w.ReturnIndex(0)))
	w.end()
}

// total adds the accumulators from register first on into it, and its lanes.
func (w *rowWriter) total(first, count int, op func(ops ...operand.Op)) reg.VecPhysical {
	for step := 1; step < count; step *= 2 {
		for i := 0; i+step < count; i += 2 * step {
			op(w.v(first+i+step), w.v(first+i), w.v(first+i))
		}
	}
	w.fold(w.v(first), w.v(first+1), op)
	return w.v(first)
}

// rows runs body rows times and moves the pointers on by d values each.
func (w *rowWriter) rows(rows, d reg.GPVirtual, pointers []reg.GPVirtual, body func()) {
	loop, done := w.label("row"), w.label("rows")
	bytes := w.GP64()
	w.MOVQ(d, bytes)
	w.SHLQ(operand.Imm(2), bytes)
	w.Label(loop)
	w.TESTQ(rows, rows)
	w.JZ(operand.LabelRef(done))
	body()
	for _, p := range pointers {
		w.ADDQ(bytes, p)
	}
	w.DECQ(rows)
	w.JMP(operand.LabelRef(loop))
	w.Label(done)
}

func (w *rowWriter) norms() {
	w.begin("rmsNorm", "func(out, inv, x, w *float32, rows, d int, eps float32)",
		"normalises rows of d values, see Kernels.RMSNorm.")
	out, inv, x, weight, rows, d := w.arg("out"), w.arg("inv"), w.arg("x"), w.arg("w"), w.arg("rows"), w.arg("d")
	scalar := w.v(12).AsX()
	w.rows(rows, d, []reg.GPVirtual{x, out}, func() {
		for i := range 4 {
			w.zero(w.v(8 + i))
		}
		w.each(d, 4, func(l lanes) {
			v := w.v(l.which)
			l.load(x, v)
			w.VFMADD231PS(v, v, w.v(8+l.which))
		})
		sum := w.total(8, 4, w.VADDPS).AsX()
		w.VXORPS(scalar, scalar, scalar)
		w.VCVTSI2SSQ(d, scalar, scalar)
		w.VDIVSS(scalar, sum, sum)
		w.VADDSS(w.address(w.Param("eps")), sum, sum)
		w.VSQRTSS(sum, sum, sum)
		w.VMOVSS(w.constant(one), scalar)
		w.VDIVSS(sum, scalar, scalar)
		w.VMOVSS(scalar, at(inv, 0))
		s := w.v(9)
		w.VBROADCASTSS(scalar, s)
		w.each(d, 4, func(l lanes) {
			v, f := w.v(2*l.which), w.v(2*l.which+1)
			l.load(x, v)
			l.load(weight, f)
			w.VMULPS(s, v, v)
			w.VMULPS(f, v, v)
			l.store(v, out)
		})
		w.ADDQ(operand.Imm(4), inv)
	})
	w.end()

	w.begin("rmsNormBackward", "func(dx, dw, dy, x, w, inv *float32, rows, d int)",
		"adds the gradients of rmsNorm, see Kernels.RMSNormBackward; dw may be nil.")
	dx, dw, dy := w.arg("dx"), w.arg("dw"), w.arg("dy")
	x, weight, inv, rows, d = w.arg("x"), w.arg("w"), w.arg("inv"), w.arg("rows"), w.arg("d")
	w.rows(rows, d, []reg.GPVirtual{dx, dy, x}, func() {
		for i := range 4 {
			w.zero(w.v(8 + i))
		}
		w.each(d, 4, func(l lanes) {
			v, f := w.v(2*l.which), w.v(2*l.which+1)
			l.load(dy, v)
			l.load(weight, f)
			w.VMULPS(f, v, v)
			l.load(x, f)
			w.VFMADD231PS(f, v, w.v(8+l.which))
		})
		dot := w.total(8, 4, w.VADDPS).AsX()
		scalar, s, f := w.v(12).AsX(), w.v(9), w.v(10)
		w.VMOVSS(at(inv, 0), s.AsX())
		for range 3 {
			w.VMULSS(s.AsX(), dot, dot)
		}
		w.VXORPS(scalar, scalar, scalar)
		w.VCVTSI2SSQ(d, scalar, scalar)
		w.VDIVSS(scalar, dot, dot)
		w.VBROADCASTSS(s.AsX(), s)
		w.VBROADCASTSS(dot, f)
		w.each(d, 2, func(l lanes) {
			v, t := w.v(2*l.which), w.v(2*l.which+1)
			l.load(dy, v)
			l.load(weight, t)
			w.VMULPS(t, v, v)
			w.VMULPS(s, v, v)
			l.load(x, t)
			w.VFNMADD231PS(f, t, v)
			l.load(dx, t)
			w.VADDPS(t, v, v)
			l.store(v, dx)
		})
		skip := w.label("skip")
		w.TESTQ(dw, dw)
		w.JZ(operand.LabelRef(skip))
		w.each(d, 2, func(l lanes) {
			v, t := w.v(2*l.which), w.v(2*l.which+1)
			l.load(dy, v)
			l.load(x, t)
			w.VMULPS(t, v, v)
			l.load(dw, t)
			w.VFMADD231PS(s, v, t)
			l.store(t, dw)
		})
		w.Label(skip)
		w.ADDQ(operand.Imm(4), inv)
	})
	w.end()
}

// top writes the greatest of n values to every lane of v(8).
func (w *rowWriter) top(x, n reg.GPVirtual) reg.VecPhysical {
	for i := range 4 {
		w.VMOVUPS(w.constant(negativeInf), w.v(8+i))
	}
	w.each(n, 4, func(l lanes) {
		v, best := w.v(l.which), w.v(8+l.which)
		l.load(x, v)
		switch {
		case !l.masked:
			w.VMAXPS(v, best, best)
		case w.set == avx512:
			w.VMAXPS(v, best, reg.K1, best)
		default:
			w.VMOVUPS(w.constant(negativeInf), w.v(4))
			w.VBLENDVPS(reg.Y15, v, w.v(4), v)
			w.VMAXPS(v, best, best)
		}
	})
	return w.total(8, 4, w.VMAXPS)
}

// exps writes exp((x - top) * scale) to dst and sums it up. The accumulators are
// v(8) and v(9); scale may be nil for 1.
func (w *rowWriter) exps(dst, x, n reg.GPVirtual, top reg.VecPhysical, scale operand.Op) reg.VecPhysical {
	for i := range 2 {
		w.zero(w.v(8 + i))
	}
	w.each(n, 2, func(l lanes) {
		v, k, p := w.v(3*l.which), w.v(3*l.which+1), w.v(3*l.which+2)
		l.load(x, v)
		w.VSUBPS(top, v, v)
		if scale != nil {
			w.VMULPS(scale, v, v)
		}
		w.exp(v, k, p, true)
		l.clearRest(p)
		l.store(p, dst)
		w.VADDPS(p, w.v(8+l.which), w.v(8+l.which))
	})
	return w.total(8, 2, w.VADDPS)
}

func (w *rowWriter) softmax() {
	w.begin("rowMax", "func(x *float32, n int) float32", "returns the greatest of n values.")
	x, n := w.arg("x"), w.arg("n")
	w.result(w.top(x, n))

	w.begin("expSum", "func(dst, x *float32, n int, top float32) float32",
		"writes exp(x - top) of n values to dst and returns their sum.")
	dst, x, n := w.arg("dst"), w.arg("x"), w.arg("n")
	w.hold(expUses...)
	w.spread("top", w.v(12))
	w.result(w.exps(dst, x, n, w.v(12), nil))

	w.begin("softmaxRow", "func(x *float32, n int, scale float32)",
		"turns n values, multiplied by scale, into probabilities.")
	x, n = w.arg("x"), w.arg("n")
	w.hold(expUses...)
	w.spread("scale", w.v(13))
	w.VBROADCASTSS(w.top(x, n).AsX(), w.v(12))
	sum := w.exps(x, x, n, w.v(12), w.v(13)).AsX()
	first, f := w.v(9).AsX(), w.v(9)
	w.VMOVSS(w.constant(one), first)
	w.VDIVSS(sum, first, first)
	w.VBROADCASTSS(first, f)
	w.each(n, 4, func(l lanes) {
		v := w.v(l.which)
		l.load(x, v)
		w.VMULPS(f, v, v)
		l.store(v, x)
	})
	w.end()

	w.begin("softmaxBackwardRow", "func(dp, p *float32, n int, scale float32)",
		"replaces n values of dp by scale*p*(dp - sum(p*dp)).")
	dp, p, n := w.arg("dp"), w.arg("p"), w.arg("n")
	for i := range 4 {
		w.zero(w.v(8 + i))
	}
	w.each(n, 4, func(l lanes) {
		v, q := w.v(2*l.which), w.v(2*l.which+1)
		l.load(dp, v)
		l.load(p, q)
		w.VFMADD231PS(q, v, w.v(8+l.which))
	})
	dot, scale := w.v(9), w.v(12)
	w.VBROADCASTSS(w.total(8, 4, w.VADDPS).AsX(), dot)
	w.spread("scale", scale)
	w.each(n, 4, func(l lanes) {
		v, q := w.v(2*l.which), w.v(2*l.which+1)
		l.load(dp, v)
		l.load(p, q)
		w.VSUBPS(dot, v, v)
		w.VMULPS(q, v, v)
		w.VMULPS(scale, v, v)
		l.store(v, dp)
	})
	w.end()
}

// sigmoid writes 1/(1+exp(-x)) to p and keeps x; it uses t and n.
func (w *rowWriter) sigmoid(x, t, n, p reg.VecPhysical) {
	w.VXORPS(w.value(signBit), x, t)
	w.exp(t, n, p, false)
	w.VADDPS(w.value(one), p, p)
	w.VDIVPS(p, w.register(one, t), p)
}

func (w *rowWriter) gates() {
	w.begin("swiGLU", "func(out, gate, up *float32, n int)", "writes silu(gate)*up.")
	out, gate, up, n := w.arg("out"), w.arg("gate"), w.arg("up"), w.arg("n")
	w.hold(append([]int{signBit}, expUses...)...)
	w.each(n, 2, func(l lanes) {
		r := 5 * l.which
		x, t, k, s, u := w.v(r), w.v(r+1), w.v(r+2), w.v(r+3), w.v(r+4)
		l.load(gate, x)
		l.load(up, u)
		w.sigmoid(x, t, k, s)
		w.VMULPS(x, s, s)
		w.VMULPS(u, s, s)
		l.store(s, out)
	})
	w.end()

	w.begin("swiGLUBackward", "func(gate, up, dy *float32, n int)",
		"replaces gate and up by their gradients.")
	gate, up, dy, n := w.arg("gate"), w.arg("up"), w.arg("dy"), w.arg("n")
	w.hold(append([]int{signBit}, expUses...)...)
	w.each(n, 2, func(l lanes) {
		r := 6 * l.which
		x, t, k, s, u, d := w.v(r), w.v(r+1), w.v(r+2), w.v(r+3), w.v(r+4), w.v(r+5)
		l.load(gate, x)
		l.load(up, u)
		l.load(dy, d)
		w.sigmoid(x, t, k, s)
		w.VMULPS(s, d, d) // d·s
		w.VMULPS(x, d, k) // the gradient of up
		l.store(k, up)
		// d·u·s·(1 + x·(1-s))
		w.VMULPS(u, d, d)
		w.VSUBPS(s, w.register(one, t), t)
		w.VFMADD213PS(w.value(one), x, t)
		w.VMULPS(t, d, d)
		l.store(d, gate)
	})
	w.end()
}

func (w *rowWriter) rope() {
	w.begin("rope", "func(x *float32, heads, half int, cos, sin *float32, flip uint32)",
		"rotates the heads of one row, see Kernels.Rope; flip is xored to the sines.")
	low, heads, n, cos, sin := w.arg("x"), w.arg("heads"), w.arg("half"), w.arg("cos"), w.arg("sin")
	high, bytes := w.GP64(), w.GP64()
	w.MOVQ(n, bytes)
	w.SHLQ(operand.Imm(2), bytes)
	flip := w.v(12)
	w.spread("flip", flip)
	loop, done := w.label("head"), w.label("heads")
	w.Label(loop)
	w.TESTQ(heads, heads)
	w.JZ(operand.LabelRef(done))
	w.LEAQ(indexed(low, bytes, 1, 0), high)
	w.each(n, 1, func(l lanes) {
		a, b, c, s, t := w.v(0), w.v(1), w.v(2), w.v(3), w.v(4)
		l.load(low, a)
		l.load(high, b)
		l.load(cos, c)
		l.load(sin, s)
		w.VXORPS(flip, s, s)
		w.VMULPS(s, b, t)
		w.VFMSUB231PS(c, a, t)
		l.store(t, low)
		w.VMULPS(s, a, t)
		w.VFMADD231PS(c, b, t)
		l.store(t, high)
	})
	w.LEAQ(indexed(low, bytes, 2, 0), low)
	w.DECQ(heads)
	w.JMP(operand.LabelRef(loop))
	w.Label(done)
	w.end()
}

func (w *rowWriter) adamW() {
	w.begin("adamW", "func(p, grad, m, v *float32, n int, lr, beta1, rest1, beta2, rest2, eps, decay, unbias1, unbias2, scale float32)",
		"does a step of Kernels.AdamW; rest is 1-beta, unbias 1/correction.")
	p, g, m, v, n := w.arg("p"), w.arg("grad"), w.arg("m"), w.arg("v"), w.arg("n")
	names := []string{"lr", "beta1", "rest1", "beta2", "rest2", "eps", "decay", "unbias1", "unbias2", "scale"}
	f := map[string]reg.VecPhysical{}
	for i, name := range names {
		f[name] = w.v(5 + i)
		w.spread(name, f[name])
	}
	w.each(n, 1, func(l lanes) {
		x, mean, square, t, weight := w.v(0), w.v(1), w.v(2), w.v(3), w.v(4)
		l.load(g, x)
		w.VMULPS(f["scale"], x, x)
		l.load(m, mean)
		w.VMULPS(f["beta1"], mean, mean)
		w.VFMADD231PS(f["rest1"], x, mean)
		l.store(mean, m)
		l.load(v, square)
		w.VMULPS(f["beta2"], square, square)
		w.VMULPS(f["rest2"], x, t)
		w.VFMADD231PS(x, t, square)
		l.store(square, v)
		w.VMULPS(f["unbias2"], square, square)
		w.VSQRTPS(square, square)
		w.VADDPS(f["eps"], square, square)
		w.VMULPS(f["unbias1"], mean, mean)
		w.VDIVPS(square, mean, mean)
		l.load(p, weight)
		w.VFMADD231PS(f["decay"], weight, mean)
		w.VFNMADD231PS(f["lr"], mean, weight)
		l.store(weight, p)
	})
	w.end()
}
