package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func (w *rowWriter) quantized() {
	w.int8Row()
	w.nf4Blocks()
}

func (w *rowWriter) int8Row() {
	w.begin("int8Row", "func(dst *float32, src *int8, n int, scale float32)",
		"writes n integers times scale; n is a multiple of the lanes of a vector.")
	dst, src, n := w.arg("dst"), w.arg("src"), w.arg("n")
	scale := w.v(8)
	w.spread("scale", scale)
	w.vectors(n, 4, func(i int) {
		v := w.v(i)
		w.VPMOVSXBD(at(src, w.set.lanes*i), v)
		w.VCVTDQ2PS(v, v)
		w.VMULPS(scale, v, v)
		w.VMOVUPS(v, at(dst, 4*w.set.lanes*i))
	}, func(vectors int) {
		w.ADDQ(operand.U32(w.set.lanes*vectors), src)
		w.ADDQ(operand.U32(4*w.set.lanes*vectors), dst)
	})
	w.end()
}

// vectors runs body over n values, a multiple of the lanes, unroll vectors a
// turn and then one; next moves on by a number of vectors.
func (w *rowWriter) vectors(n reg.GPVirtual, unroll int, body func(i int), next func(vectors int)) {
	for _, turn := range []int{unroll, 1} {
		loop, done := w.label("loop"), w.label("done")
		w.Label(loop)
		w.SUBQ(operand.U32(turn*w.set.lanes), n)
		w.JL(operand.LabelRef(done))
		for i := range turn {
			body(i)
		}
		next(turn)
		w.JMP(operand.LabelRef(loop))
		w.Label(done)
		w.ADDQ(operand.U32(turn*w.set.lanes), n)
	}
}

// nf4Blocks makes the levels of a block once and then looks its values up in
// registers: one of 16 lanes, or two of 8.
func (w *rowWriter) nf4Blocks() {
	const block = 64 // values that share a magnitude
	w.begin("nf4Blocks", "func(dst *float32, codes *byte, sizes *int8, n int, scale, mean float32, levels *float32)",
		"writes n values from the start of a block on, see NF4.Rows; n is a multiple of the",
		"lanes of a vector. The blocks share scale and mean, and there are whole ones of codes.")
	dst, codes, sizes, n, levels := w.arg("dst"), w.arg("codes"), w.arg("sizes"), w.arg("n"), w.arg("levels")
	scale, mean, size := w.v(8), w.v(9), w.v(10)
	w.spread("scale", scale)
	w.spread("mean", mean)
	var level, scaled []reg.VecPhysical
	for i := range 16 / w.set.lanes {
		level = append(level, w.v(11+2*i))
		scaled = append(scaled, w.v(12+2*i))
		w.VMOVUPS(at(levels, 4*w.set.lanes*i), level[i])
	}
	shift := w.v(15)
	if w.set == avx2 {
		w.VMOVUPS(w.constant(nibbleShift), shift)
	}
	value := func(i int) {
		v, index := w.v(2*(i%4)), w.v(2*(i%4)+1)
		from := at(codes, w.set.lanes/2*i)
		if w.set == avx512 {
			// Permutations look at four bits of an index: a byte in the lower
			// of two lanes does for the first value as it is.
			w.VPMOVZXBQ(from, v)
			w.VPSLLQ(operand.Imm(28), v, index)
			w.VPORD(v, index, index)
			w.VPERMPS(scaled[0], index, v)
		} else {
			// Eight codes in every lane, shifted to have one lowest.
			w.VPBROADCASTD(from, index)
			w.VPSRLVD(shift, index, index)
			w.VPERMPS(scaled[0], index, v)
			high := w.v(10)
			w.VPERMPS(scaled[1], index, high)
			w.VPSLLD(operand.Imm(28), index, index)
			w.VBLENDVPS(index, high, v, v)
		}
		w.VMOVUPS(v, at(dst, 4*w.set.lanes*i))
	}
	next, some, done := w.label("block"), w.label("some"), w.label("done")
	w.Label(next)
	w.TESTQ(n, n)
	w.JZ(operand.LabelRef(done))
	w.VPBROADCASTB(at(sizes, 0), size)
	w.VPSRAD(operand.Imm(24), size, size)
	w.VCVTDQ2PS(size, size)
	w.VMULPS(scale, size, size)
	w.VADDPS(mean, size, size)
	for i, l := range level {
		w.VMULPS(size, l, scaled[i])
	}
	w.CMPQ(n, operand.Imm(block))
	w.JL(operand.LabelRef(some))
	for i := range block / w.set.lanes {
		value(i)
	}
	w.ADDQ(operand.Imm(1), sizes)
	w.ADDQ(operand.Imm(block/2), codes)
	w.ADDQ(operand.U32(4*block), dst)
	w.SUBQ(operand.Imm(block), n)
	w.JMP(operand.LabelRef(next))
	w.Label(some)
	value(0)
	w.ADDQ(operand.Imm(uint64(w.set.lanes/2)), codes)
	w.ADDQ(operand.Imm(uint64(4*w.set.lanes)), dst)
	w.SUBQ(operand.Imm(uint64(w.set.lanes)), n)
	w.JNZ(operand.LabelRef(some))
	w.Label(done)
	w.end()
}
