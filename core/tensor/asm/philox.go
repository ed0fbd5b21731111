package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// dropout draws as many Philox blocks at once as a vector has lanes: lane l of
// four vectors holds the four words of one counter. A block gives four values,
// so the words are transposed at the end; counterOrder numbers the lanes such
// that the transposed vectors are consecutive.
func (w *rowWriter) dropout() {
	w.begin("dropout", "func(dst, src *float32, groups int, k0, k1, rowLow, rowHigh, block, threshold uint32, keep float32)",
		"is Philox.Dropout for whole groups of four vectors, the first of which has the counter block.")
	dst, src, groups := w.arg("dst"), w.arg("src"), w.arg("groups")
	counter, threshold, keep := w.v(8), w.v(9), w.v(10)
	w.spread("block", counter)
	w.VPADDD(w.constant(counterOrder), counter, counter)
	w.spread("threshold", threshold)
	w.spread("keep", keep)
	if w.set == avx512 {
		mask := w.GP32()
		w.MOVL(operand.U32(0x5555), mask)
		w.KMOVW(mask, reg.K2)
		w.MOVL(operand.U32(0xaaaa), mask)
		w.KMOVW(mask, reg.K3)
	}

	loop, done := w.label("group"), w.label("groups")
	w.Label(loop)
	w.TESTQ(groups, groups)
	w.JZ(operand.LabelRef(done))
	c := [4]reg.VecPhysical{w.v(0), w.v(1), w.v(2), w.v(3)}
	k0, k1 := w.v(11), w.v(12)
	w.VMOVAPS(counter, c[0])
	w.zero(c[1])
	w.spread("rowLow", c[2])
	w.spread("rowHigh", c[3])
	w.spread("k0", k0)
	w.spread("k1", k1)
	for round := range 10 {
		h0, h1 := w.v(4), w.v(5)
		low0 := w.multiply(c[0], h0, w.v(6), philoxM0)
		low1 := w.multiply(c[2], h1, w.v(6), philoxM1)
		w.xor(c[1], h1, k0)
		w.xor(c[3], h0, k1)
		c = [4]reg.VecPhysical{c[1], low1, c[3], low0}
		if round < 9 {
			w.VPADDD(w.constant(philoxW0), k0, k0)
			w.VPADDD(w.constant(philoxW1), k1, k1)
		}
	}
	t := [4]reg.VecPhysical{w.v(4), w.v(5), w.v(6), w.v(7)}
	w.VPUNPCKLDQ(c[1], c[0], t[0])
	w.VPUNPCKHDQ(c[1], c[0], t[1])
	w.VPUNPCKLDQ(c[3], c[2], t[2])
	w.VPUNPCKHDQ(c[3], c[2], t[3])
	for i, out := range c {
		if i%2 == 0 {
			w.VPUNPCKLQDQ(t[i/2+2], t[i/2], out)
		} else {
			w.VPUNPCKHQDQ(t[i/2+2], t[i/2], out)
		}
		from, to := at(src, 4*w.set.lanes*i), at(dst, 4*w.set.lanes*i)
		if w.set == avx512 {
			w.VPCMPUD(operand.Imm(5), threshold, out, reg.K1)
			w.VMULPS_Z(from, keep, reg.K1, out)
			w.VMOVUPS(out, to)
			continue
		}
		// out >= threshold, unsigned, is max(out, threshold) == out.
		mask, v := w.v(13), w.v(14)
		w.VPMAXUD(threshold, out, mask)
		w.VPCMPEQD(out, mask, mask)
		w.VMULPS(from, keep, v)
		w.VANDPS(mask, v, v)
		w.VMOVUPS(v, to)
	}
	w.VPADDD(w.constant(lanesPerVector), counter, counter)
	w.ADDQ(operand.U32(16*w.set.lanes), src)
	w.ADDQ(operand.U32(16*w.set.lanes), dst)
	w.DECQ(groups)
	w.JMP(operand.LabelRef(loop))
	w.Label(done)
	w.end()
}

// multiply writes the high words of the products x·m to high; the low words
// replace x, whose register it returns.
func (w *rowWriter) multiply(x, high, tmp reg.VecPhysical, m int) reg.VecPhysical {
	w.VPSRLQ(operand.Imm(32), x, high)
	w.VPMULUDQ(w.constant(m), x, x)       // products of the even lanes
	w.VPMULUDQ(w.constant(m), high, high) // and of the odd ones
	if w.set == avx512 {
		w.VMOVAPS(x, tmp)
		w.VMOVSLDUP(high, reg.K3, x)
		w.VMOVSHDUP(tmp, reg.K2, high)
		return x
	}
	w.VMOVSHDUP(x, tmp)
	w.VMOVSLDUP(high, w.v(7))
	w.VPBLENDD(operand.Imm(0xaa), w.v(7), x, x)
	w.VPBLENDD(operand.Imm(0x55), tmp, high, high)
	return x
}

// xor replaces x by x^a^b.
func (w *rowWriter) xor(x, a, b reg.VecPhysical) {
	if w.set == avx512 {
		w.VPTERNLOGD(operand.Imm(0x96), a, b, x)
		return
	}
	w.VPXOR(a, x, x)
	w.VPXOR(b, x, x)
}
