package main

import (
	"slices"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Philox works on as many counters at once as a vector has lanes: lane l of
// four vectors holds the four words of one counter. The counters of even and of
// odd lanes go through the rounds apart, since a product of two 32-bit words
// fills the place of two: its low word is where the next round wants it, and
// nothing reads what is above.

// Parameters of every function that draws: the key and the first block, the
// low and the high half of its number.
const philoxParams = "k0, k1, block, blockHigh uint32"

// Registers of words; the functions below have those from freeVector on.
const (
	philoxTemp0 = 8 + iota
	philoxTemp1
	philoxKey0
	philoxKey1
	philoxCounter
	freeVector
)

// startPhilox sets the counters of the first blocks, which the lanes take in
// the order of a constant.
func (w *rowWriter) startPhilox(order int) {
	w.hold(philoxM0, philoxM1, philoxW0, philoxW1)
	counter := w.v(philoxCounter)
	w.spread("block", counter)
	w.VPADDD(w.constant(order), counter, counter)
	if w.set == avx512 {
		mask := w.GP32()
		w.MOVL(operand.U32(0xaaaa), mask)
		w.KMOVW(mask, reg.K2)
	}
}

// drawn is what comes of the counters for one row, their upper half: the words
// in four vectors, and four vectors that are free again.
type drawn struct{ words, free [4]reg.VecPhysical }

// draw draws the blocks of the counters for one row, in the first eight vectors,
// or for two, in eight from the sixteenth on as well. The rounds go side by
// side: each is a chain of operations that wait for one another.
func (w *rowWriter) draw(rows ...func(low, high reg.VecPhysical)) []drawn {
	counter, k0, k1 := w.v(philoxCounter), w.v(philoxKey0), w.v(philoxKey1)
	all := make([]drawn, len(rows)) // even and odd lanes until the end
	for n, row := range rows {
		even, odd := &all[n].words, &all[n].free
		for i := range even {
			even[i], odd[i] = w.v(16*n+i), w.v(16*n+4+i)
		}
		w.VMOVAPS(counter, even[0])
		w.VPSRLQ(operand.Imm(32), counter, odd[0])
		w.spread("blockHigh", even[1])
		row(even[2], even[3])
		for i := 1; i < 4; i++ {
			w.VMOVAPS(even[i], odd[i])
		}
	}
	w.spread("k0", k0)
	w.spread("k1", k1)
	for round := range 10 {
		for n := range all {
			all[n].words = w.round(all[n].words, w.v(16*n+philoxTemp0))
			all[n].free = w.round(all[n].free, w.v(16*n+philoxTemp1))
		}
		if round < 9 {
			w.VPADDD(w.value(philoxW0), k0, k0)
			w.VPADDD(w.value(philoxW1), k1, k1)
		}
	}
	return all
}

// join brings word i of the even and of the odd lanes together.
func (w *rowWriter) join(d drawn, i int) reg.VecPhysical {
	even, odd := d.words[i], d.free[i]
	if w.set == avx512 {
		w.VMOVSLDUP(odd, reg.K2, even)
		return even
	}
	w.VPSLLQ(operand.Imm(32), odd, odd)
	w.VPBLENDD(operand.Imm(0xaa), odd, even, even)
	return even
}

// round is one round for the counters of every other lane.
func (w *rowWriter) round(c [4]reg.VecPhysical, tmp reg.VecPhysical) [4]reg.VecPhysical {
	w.VPMULUDQ(w.value(philoxM0), c[0], c[0])
	w.VPMULUDQ(w.value(philoxM1), c[2], c[2])
	w.VPSRLQ(operand.Imm(32), c[2], tmp)
	w.xor(c[1], tmp, w.v(philoxKey0))
	w.VPSRLQ(operand.Imm(32), c[0], tmp)
	w.xor(c[3], tmp, w.v(philoxKey1))
	return [4]reg.VecPhysical{c[1], c[2], c[3], c[0]}
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

// times runs body n times.
func (w *rowWriter) times(n reg.GPVirtual, body func()) {
	loop, done := w.label("group"), w.label("groups")
	w.Label(loop)
	w.TESTQ(n, n)
	w.JZ(operand.LabelRef(done))
	body()
	w.DECQ(n)
	w.JMP(operand.LabelRef(loop))
	w.Label(done)
}

// consecutive draws groups of four vectors of words in the order of their
// blocks, four words each: counterOrder numbers the lanes such that the
// transposed words are consecutive.
func (w *rowWriter) consecutive(groups reg.GPVirtual, row func(low, high reg.VecPhysical), each func(i int, v, tmp0, tmp1 reg.VecPhysical), next func()) {
	w.startPhilox(counterOrder)
	w.times(groups, func() {
		d := w.draw(row)[0]
		c, t := d.words, d.free
		for i := range c {
			w.join(d, i)
		}
		w.VPUNPCKLDQ(c[1], c[0], t[0])
		w.VPUNPCKHDQ(c[1], c[0], t[1])
		w.VPUNPCKLDQ(c[3], c[2], t[2])
		w.VPUNPCKHDQ(c[3], c[2], t[3])
		for i, v := range c {
			if i%2 == 0 {
				w.VPUNPCKLQDQ(t[i/2+2], t[i/2], v)
			} else {
				w.VPUNPCKHQDQ(t[i/2+2], t[i/2], v)
			}
			each(i, v, w.v(philoxTemp0), w.v(philoxTemp1))
		}
		w.VPADDD(w.constant(lanesPerVector), w.v(philoxCounter), w.v(philoxCounter))
		next()
	})
}

func (w *rowWriter) dropout() {
	w.begin("dropout", "func(dst, src *float32, groups int, "+philoxParams+", rowLow, rowHigh, threshold uint32, keep float32)",
		"is Philox.Dropout for groups of four vectors.")
	dst, src, groups := w.arg("dst"), w.arg("src"), w.arg("groups")
	threshold, keep := w.v(freeVector), w.v(freeVector+1)
	w.spread("threshold", threshold)
	w.spread("keep", keep)
	w.consecutive(groups, func(low, high reg.VecPhysical) {
		w.spread("rowLow", low)
		w.spread("rowHigh", high)
	}, func(i int, v, mask, tmp reg.VecPhysical) {
		from, to := at(src, 4*w.set.lanes*i), at(dst, 4*w.set.lanes*i)
		if w.set == avx512 {
			w.VPCMPUD(operand.Imm(5), threshold, v, reg.K1)
			w.VMULPS_Z(from, keep, reg.K1, v)
			w.VMOVUPS(v, to)
			return
		}
		// v >= threshold, unsigned, is max(v, threshold) == v.
		w.VPMAXUD(threshold, v, mask)
		w.VPCMPEQD(v, mask, mask)
		w.VMULPS(from, keep, tmp)
		w.VANDPS(mask, tmp, tmp)
		w.VMOVUPS(tmp, to)
	}, func() {
		w.ADDQ(operand.U32(16*w.set.lanes), src)
		w.ADDQ(operand.U32(16*w.set.lanes), dst)
	})
	w.end()
}

func (w *rowWriter) uniform() {
	w.begin("uniform", "func(dst *float32, groups int, "+philoxParams+", bound float32)",
		"is Philox.Uniform for groups of four vectors.")
	dst, groups := w.arg("dst"), w.arg("groups")
	bound := w.v(freeVector)
	w.spread("bound", bound)
	w.consecutive(groups, func(low, high reg.VecPhysical) {
		w.zero(low)
		w.zero(high)
	}, func(i int, v, _, _ reg.VecPhysical) {
		w.VPSRLD(operand.Imm(8), v, v)
		w.VCVTDQ2PS(v, v)
		w.VMULPS(w.constant(uniformStep), v, v)
		w.VSUBPS(w.constant(one), v, v)
		w.VMULPS(bound, v, v)
		w.VMOVUPS(v, at(dst, 4*w.set.lanes*i))
	}, func() { w.ADDQ(operand.U32(16*w.set.lanes), dst) })
	w.end()
}

// normal has a lane for each value, whose twelve numbers are halves of the
// first three words of the blocks of rows 0 and 1.
func (w *rowWriter) normal() {
	w.begin("normal", "func(dst *float32, vectors int, "+philoxParams+", step float32)",
		"is Philox.Normal for whole vectors.")
	dst, vectors := w.arg("dst"), w.arg("vectors")
	sum, step := w.v(freeVector), w.v(freeVector+1)
	w.spread("step", step)
	w.startPhilox(laneOrder)
	w.times(vectors, func() {
		w.VMOVUPS(w.constant(normalShift), sum)
		rows := []func(low, high reg.VecPhysical){
			func(low, high reg.VecPhysical) { w.zero(low); w.zero(high) },
			func(low, high reg.VecPhysical) { w.VMOVUPS(w.constant(integerOne), low); w.zero(high) },
		}
		together := 1
		if w.set == avx512 {
			together = 2
		}
		for part := range slices.Chunk(rows, together) {
			for _, d := range w.draw(part...) {
				for i := range 3 {
					v := w.join(d, i)
					w.VPSRLD(operand.Imm(16), v, d.free[i])
					w.and(w.constant(lowHalf), v)
					w.VPADDD(d.free[i], sum, sum)
					w.VPADDD(v, sum, sum)
				}
			}
		}
		w.VCVTDQ2PS(sum, sum)
		w.VMULPS(step, sum, sum)
		w.VMOVUPS(sum, at(dst, 0))
		w.VPADDD(w.constant(lanesPerVector), w.v(philoxCounter), w.v(philoxCounter))
		w.ADDQ(operand.U32(4*w.set.lanes), dst)
	})
	w.end()
}

// and replaces v by v&m.
func (w *rowWriter) and(m operand.Mem, v reg.VecPhysical) {
	if w.set == avx512 {
		w.VPANDD(m, v, v)
	} else {
		w.VPAND(m, v, v)
	}
}
