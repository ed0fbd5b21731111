package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/gotypes"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// rowKernels writes the operations on rows and flat slices.
func rowKernels(c *build.Context, set isa) {
	c.ConstraintExpr("amd64")
	w := &rowWriter{Context: c, set: set}
	values := constantValues
	values[expLow] = bits(-150)
	if set == avx2 {
		values[expLow] = bits(-88) // see exp: the exponent is -127 there
	}
	values[lanesPerVector] = uint32(set.lanes)
	w.constants = w.constantTable(values[:counterOrder])
	w.laneConstant(counterOrder, func(lane int) int { return lane%4*(set.lanes/4) + lane/4 })
	w.laneConstant(laneOrder, func(lane int) int { return lane })
	w.laneConstant(nibbleShift, func(lane int) int { return 4 * lane })
	w.masks = maskTable(c, "rowMasks")
	w.elementwise()
	w.norms()
	w.softmax()
	w.gates()
	w.rope()
	w.adamW()
	w.dropout()
	w.uniform()
	w.normal()
	w.quantized()
}

// rowWriter writes functions that run over slices vector by vector. A vector
// register is v(i); register 15 (AVX2) or K1 (AVX-512) holds the mask of a
// partial last vector.
type rowWriter struct {
	*build.Context
	set       isa
	constants operand.Mem
	masks     operand.Mem
	table     reg.GPVirtual           // address of constants in the current function
	held      map[int]reg.VecPhysical // constants in registers there
	labels    int
}

// Constants that kernels read from memory, each repeated for a whole vector.
const (
	one = iota
	negativeInf
	signBit
	log2e
	ln2High
	ln2Low
	expC6
	expC5
	expC4
	expC3
	half
	expLow
	expHigh
	exponentBias
	philoxM0
	philoxM1
	philoxW0
	philoxW1
	uniformStep
	normalShift
	lowHalf
	integerOne
	lanesPerVector
	counterOrder // the lanes of this and those behind it differ
	laneOrder
	nibbleShift
	constantCount
)

// exp(x) = 2^n exp(r), r = x - n ln 2 in [-0.347, 0.347], ln 2 in two parts so
// that n·ln2High is exact. exp(r) = 1 + r + r²(half + expC3 r + ...), where the
// bracket interpolates at the Chebyshev points: the error of the polynomial is
// an eighth of a unit in the last place. At expLow the result is 0, at expHigh
// it is infinite.
var constantValues = [constantCount]uint32{
	one:          bits(1),
	negativeInf:  0xff800000,
	signBit:      0x80000000,
	log2e:        bits(1.4426950408889634),
	ln2High:      bits(0.693359375),
	ln2Low:       bits(-2.1219444005469057e-4),
	expC6:        bits(0.001392617611993558),
	expC5:        bits(0.008363173074513711),
	expC4:        bits(0.041666554662050534),
	expC3:        bits(0.1666657702559799),
	half:         bits(0.5),
	expHigh:      bits(88.8),
	exponentBias: 127,
	philoxM0:     0xD2511F53,
	philoxM1:     0xCD9E8D57,
	philoxW0:     0x9E3779B9,
	philoxW1:     0xBB67AE85,
	uniformStep:  bits(1.0 / (1 << 23)),
	normalShift:  1<<32 - 12*65535/2,
	lowHalf:      0xffff,
	integerOne:   1,
}

func (w *rowWriter) constantTable(values []uint32) operand.Mem {
	m := w.StaticGlobal("rowConstants")
	w.DataAttributes(attr.RODATA | attr.NOPTR)
	for i, v := range values {
		for lane := range w.set.lanes {
			w.AddDatum(4*(i*w.set.lanes+lane), operand.U32(v))
		}
	}
	return m
}

// laneConstant adds a constant with a value for each lane to the table, in the
// order of the constants.
func (w *rowWriter) laneConstant(i int, value func(lane int) int) {
	for lane := range w.set.lanes {
		w.AddDatum(4*(i*w.set.lanes+lane), operand.U32(value(lane)))
	}
}

// begin starts a function; its name ends in that of the instruction set.
func (w *rowWriter) begin(name, signature string, doc ...string) {
	name += w.set.name
	w.Function(name)
	doc[0] = name + " " + doc[0]
	w.Doc(doc...)
	w.Pragma("noescape")
	w.Attributes(attr.NOSPLIT)
	w.SignatureExpr(signature)
	w.held = nil
	w.table = w.GP64()
	w.LEAQ(w.constants, w.table)
}

func bits(f float32) uint32 { return math.Float32bits(f) }

func (w *rowWriter) end() {
	w.VZEROUPPER()
	w.RET()
}

// arg loads a pointer or integer argument.
func (w *rowWriter) arg(name string) reg.GPVirtual {
	r := w.GP64()
	w.Load(w.Param(name), r)
	return r
}

// spread fills v with a float32 argument.
func (w *rowWriter) spread(name string, v reg.VecPhysical) {
	w.VBROADCASTSS(w.address(w.Param(name)), v)
}

func (w *rowWriter) address(c gotypes.Component) operand.Mem {
	b, err := c.Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

func (w *rowWriter) v(i int) reg.VecPhysical { return vector(i, w.set.lanes) }

func (w *rowWriter) constant(i int) operand.Mem {
	return at(w.table, 4*w.set.lanes*i)
}

func (w *rowWriter) zero(v reg.VecPhysical) { zero(w.Context, w.set, v) }

func (w *rowWriter) label(name string) string {
	w.labels++
	return fmt.Sprintf("%s%d", name, w.labels)
}

// lanes is one vector of each slice that a loop runs over.
type lanes struct {
	*rowWriter
	index  reg.GPVirtual // bytes from the start of the slices
	disp   int
	which  int // the how manieth vector of this turn
	masked bool
}

// each runs body over n values from the start of the slices, unroll vectors a
// turn, then one, then the masked rest.
func (w *rowWriter) each(n reg.GPVirtual, unroll int, body func(lanes)) {
	index, left := w.GP64(), w.GP64()
	w.XORQ(index, index)
	w.MOVQ(n, left)
	for _, turn := range []int{unroll, 1} {
		if turn == 1 && unroll == 1 && turn != unroll {
			continue
		}
		loop, done := w.label("loop"), w.label("done")
		w.Label(loop)
		w.CMPQ(left, operand.U32(turn*w.set.lanes))
		w.JL(operand.LabelRef(done))
		for i := range turn {
			body(lanes{w, index, 4 * w.set.lanes * i, i, false})
		}
		w.ADDQ(operand.U32(4*turn*w.set.lanes), index)
		w.SUBQ(operand.U32(turn*w.set.lanes), left)
		w.JMP(operand.LabelRef(loop))
		w.Label(done)
		if unroll == 1 {
			break
		}
	}
	end := w.label("end")
	w.TESTQ(left, left)
	w.JZ(operand.LabelRef(end))
	if w.set == avx512 {
		bits := w.GP64()
		w.MOVQ(operand.I64(-1), bits)
		w.BZHIQ(left, bits, bits)
		w.KMOVW(bits.As32(), reg.K1)
	} else {
		table := w.GP64()
		w.LEAQ(w.masks, table)
		w.NEGQ(left)
		w.VMOVUPS(indexed(table, left, 4, 32), reg.Y15)
	}
	body(lanes{w, index, 0, 0, true})
	w.Label(end)
}

func (l lanes) mem(p reg.GPVirtual) operand.Mem { return indexed(p, l.index, 1, l.disp) }

// load reads the slice at p; lanes behind its end are zero.
func (l lanes) load(p reg.GPVirtual, v reg.VecPhysical) {
	switch {
	case !l.masked:
		l.VMOVUPS(l.mem(p), v)
	case l.set == avx512:
		l.VMOVUPS_Z(l.mem(p), reg.K1, v)
	default:
		l.VMASKMOVPS(l.mem(p), reg.Y15, v)
	}
}

func (l lanes) store(v reg.VecPhysical, p reg.GPVirtual) {
	switch {
	case !l.masked:
		l.VMOVUPS(v, l.mem(p))
	case l.set == avx512:
		l.VMOVUPS(v, reg.K1, l.mem(p))
	default:
		l.VMASKMOVPS(v, reg.Y15, l.mem(p))
	}
}

// clearRest zeroes the lanes of v behind the end.
func (l lanes) clearRest(v reg.VecPhysical) {
	switch {
	case !l.masked:
	case l.set == avx512:
		l.VMOVAPS_Z(v, reg.K1, v)
	default:
		l.VANDPS(reg.Y15, v, v)
	}
}

// fold brings the lanes of v together with op; lane 0 of v is the result.
func (w *rowWriter) fold(v, tmp reg.VecPhysical, op func(ops ...operand.Op)) {
	if w.set == avx512 {
		w.VEXTRACTF64X4(operand.Imm(1), v, tmp.AsY())
		op(tmp.AsY(), v.AsY(), v.AsY())
	}
	w.VEXTRACTF128(operand.Imm(1), v.AsY(), tmp.AsX())
	op(tmp.AsX(), v.AsX(), v.AsX())
	w.VPERMILPS(operand.Imm(0x4e), v.AsX(), tmp.AsX())
	op(tmp.AsX(), v.AsX(), v.AsX())
	w.VPERMILPS(operand.Imm(0xb1), v.AsX(), tmp.AsX())
	op(tmp.AsX(), v.AsX(), v.AsX())
}

// result stores lane 0 of v as the float32 result and returns.
func (w *rowWriter) result(v reg.VecPhysical) {
	w.VMOVSS(v.AsX(), w.address(w.ReturnIndex(0)))
	w.end()
}

// hold keeps constants in registers for the rest of the function where there
// are enough of them, from register 31 down.
func (w *rowWriter) hold(constants ...int) {
	w.held = map[int]reg.VecPhysical{}
	if w.set != avx512 {
		return
	}
	for i, c := range constants {
		w.held[c] = w.v(31 - i)
		w.VMOVUPS(w.constant(c), w.held[c])
	}
}

// value is constant i as an operand: a register if held, or memory.
func (w *rowWriter) value(i int) operand.Op {
	if v, ok := w.held[i]; ok {
		return v
	}
	return w.constant(i)
}

// register is constant i in a register: the one that holds it, or tmp.
func (w *rowWriter) register(i int, tmp reg.VecPhysical) reg.VecPhysical {
	if v, ok := w.held[i]; ok {
		return v
	}
	w.VMOVUPS(w.constant(i), tmp)
	return tmp
}

// expUses lists what exp reads.
var expUses = []int{expLow, expHigh, log2e, ln2High, ln2Low, expC6, expC5, expC4, expC3, half, one, exponentBias}

// exp writes exp(x) to p, and uses n and x. The order of the operands of the
// limits lets a NaN through.
func (w *rowWriter) exp(x, n, p reg.VecPhysical, bounded bool) {
	w.VMAXPS(x, w.register(expLow, p), x)
	if !bounded {
		w.VMINPS(x, w.register(expHigh, p), x)
	}
	w.VMULPS(w.value(log2e), x, n)
	if w.set == avx512 {
		w.VRNDSCALEPS(operand.Imm(8), n, n)
	} else {
		w.VROUNDPS(operand.Imm(8), n, n)
	}
	w.VFNMADD231PS(w.value(ln2High), n, x)
	w.VFNMADD231PS(w.value(ln2Low), n, x)
	w.VMOVUPS(w.value(expC6), p)
	for _, c := range []int{expC5, expC4, expC3, half, one, one} {
		w.VFMADD213PS(w.value(c), x, p)
	}
	if w.set == avx512 {
		w.VSCALEFPS(n, p, p)
		return
	}
	// At -127 the exponent becomes 0, and so does the result.
	w.VCVTPS2DQ(n, n)
	w.VPADDD(w.value(exponentBias), n, n)
	w.VPSLLD(operand.Imm(23), n, n)
	w.VMULPS(n, p, p)
}
