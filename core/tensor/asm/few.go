package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// fewRows writes the products of one, two and three rows of a with bᵀ in place:
// blocks of 8 rows × 4 columns of bᵀ are transposed in registers and used at
// once. Eight lanes serve both instruction sets, since loads and shuffles are
// the limit; the 32 registers of AVX-512 let more blocks share what is read of
// a. Several groups of 8 rows of bᵀ run side by side, and those of a block take
// turns, to hide the latency of the chains.
//
// Where many rows fall into few sets of the first-level cache, their lines do
// not stay until the next turn: there, a group uses up its lines before the
// next group begins.
func fewRows(c *build.Context) {
	c.ConstraintExpr("amd64")
	for _, form := range []fewForm{
		{name: "512x", registers: 32, blocks: 4, columns: 8, groups: [3]int{4, 4, 4}},
		{name: "2x", registers: 16, blocks: 2, columns: 8, groups: [3]int{4, 2, 2}},
		{name: "Lines", registers: 16, blocks: 1, columns: 16, groups: [3]int{4, 2, 2}},
	} {
		for rows, groups := range form.groups {
			f := &fewWriter{fewForm: form,
				inPlace: inPlace{transposer: transposer{Context: c}, rows: rows + 1, count: groups, lanes: 8, registers: form.registers}}
			f.write()
		}
	}
}

// inPlace is what the functions share that read the rows of bᵀ where they are.
type inPlace struct {
	transposer
	rows, count      int // of a, and groups of rows of bᵀ
	lanes, registers int
	arg, a           reg.GPVirtual
	bases            []reg.GPVirtual // of every 8 rows of bᵀ
}

type fewForm struct {
	name      string
	registers int
	blocks    int    // that are worked on together
	columns   int    // of bᵀ in one turn of the loop
	groups    [3]int // of 8 rows of bᵀ, for each number of rows of a
}

type fewWriter struct {
	inPlace
	fewForm
	aRow reg.GPVirtual
}

func (f *fewWriter) write() {
	name := fmt.Sprintf("few%s%d", f.name, f.rows)
	tileFunction(f.Context, name,
		fmt.Sprintf("%s multiplies %d rows of a, whose column stride must be 4, with the rows of bᵀ:", name, f.rows),
		fmt.Sprintf("panels of %d of them, bRow apart; k must be a multiple of %d.", 8*f.count, f.columns))
	col, k := f.begin(func() {
		if f.rows > 1 {
			f.aRow = f.GP64()
			f.MOVQ(at(f.arg, tileARow), f.aRow)
		}
	})
	f.Label("k")
	// A group does half of a turn, or all of it.
	part := f.columns
	if f.blocks > 1 {
		part = f.columns / 2
	}
	for from := 0; from < f.columns; from += part {
		for g := 0; g < f.count; g += f.blocks {
			for j := from; j < from+part; j += 4 {
				f.multiply(g, 4*j)
			}
		}
	}
	for _, b := range f.bases {
		f.ADDQ(operand.Imm(uint64(4*f.columns)), b)
	}
	f.ADDQ(operand.Imm(uint64(4*f.columns)), f.a)
	f.SUBQ(operand.Imm(uint64(f.columns)), k)
	f.JNZ(operand.LabelRef("k"))

	f.finish(col)
	f.VZEROUPPER()
	f.RET()
}

// multiply does four columns of eight rows of bᵀ, disp bytes behind b and a,
// for some groups from g on.
func (f *fewWriter) multiply(g, disp int) {
	free := [2]reg.VecPhysical{vector(4*f.blocks, 8), vector(4*f.blocks+1, 8)}
	columns := make([][4]reg.VecPhysical, f.blocks)
	for n := range columns {
		if disp%32 == 0 {
			f.prefetch(f.bases[g+n], disp)
		}
		var v [4]reg.VecPhysical
		for r := range v {
			v[r] = vector(4*n+r, 8)
			f.VMOVUPS(f.row(f.bases[g+n], r, disp), v[r].AsX())
			f.VINSERTF128(operand.Imm(1), f.row(f.bases[g+n], r+4, disp), v[r], v[r])
		}
		columns[n], free = f.shuffleHalf(v, free)
	}
	for j := range 4 {
		for r := range f.rows {
			x, a := free[(j*f.rows+r)%2], at(f.a, disp+4*j)
			if r > 0 {
				a = indexed(f.a, f.aRow, uint8(r), disp+4*j)
			}
			f.VBROADCASTSS(a, x)
			for n, c := range columns {
				f.VFMADD231PS(c[j], x, f.acc(r, g+n))
			}
		}
	}
}

// prefetch asks for lines of the next panel. They may come from memory, whose
// prefetchers run along rows and have to start anew with each. A line is asked
// for twice, once for either half: with one request each, fewer come in time.
func (f *fewWriter) prefetch(b reg.GPVirtual, disp int) {
	ahead := f.GP64()
	f.MOVQ(at(f.arg, tileBPanel), ahead)
	f.ADDQ(b, ahead)
	for r := range 8 {
		f.PREFETCHT1(f.row(ahead, r, disp))
	}
}

// acc is the accumulator of row r and group g: one of the last registers.
func (p *inPlace) acc(r, g int) reg.VecPhysical {
	return vector(p.registers-1-r*p.count-g, p.lanes)
}

// begin reads the tile, clears the accumulators and starts the loops over panels
// and k; more reads what else is needed.
func (p *inPlace) begin(more func()) (col, k reg.GPVirtual) {
	p.arg, p.a, p.srcRow = p.GP64(), p.GP64(), p.GP64()
	p.Load(p.Param("t"), p.arg)
	p.MOVQ(at(p.arg, tileBRow), p.srcRow)
	more()
	p.row3, p.row5, p.row7 = p.GP64(), p.GP64(), p.GP64()
	p.LEAQ(indexed(p.srcRow, p.srcRow, 2, 0), p.row3)
	p.LEAQ(indexed(p.srcRow, p.srcRow, 4, 0), p.row5)
	p.LEAQ(indexed(p.row3, p.srcRow, 4, 0), p.row7)
	for range p.count * p.lanes / 8 {
		p.bases = append(p.bases, p.GP64())
	}

	// The moving pointers stay in registers: the collector may look at the tile
	// at any time and does not accept one that has left its operand.
	col = p.GP64()
	p.MOVQ(at(p.arg, tileB), p.bases[0])
	p.MOVQ(at(p.arg, tileC), col)
	p.Label("panel")
	for i, b := range p.bases[1:] {
		p.LEAQ(indexed(p.bases[i], p.srcRow, 8, 0), b)
	}
	set := avx2
	if p.lanes == avx512.lanes {
		set = avx512
	}
	for r := range p.rows {
		for g := range p.count {
			zero(p.Context, set, p.acc(r, g))
		}
	}
	p.MOVQ(at(p.arg, tileA), p.a)
	k = p.GP64()
	p.MOVQ(at(p.arg, tileK), k)
	return col, k
}

// finish writes the accumulators and steps to the next panel, if there is one.
func (p *inPlace) finish(col reg.GPVirtual) {
	row := p.GP64()
	p.CMPQ(at(p.arg, tileAdd), operand.Imm(0))
	p.JE(operand.LabelRef("store"))
	p.eachAcc(col, row, func(v reg.VecPhysical, c operand.Mem) { p.VADDPS(c, v, v) })
	p.Label("store")
	p.eachAcc(col, row, func(v reg.VecPhysical, c operand.Mem) { p.VMOVUPS(v, c) })
	p.ADDQ(operand.U32(4*p.lanes*p.count), col)
	done := p.GP64()
	p.MOVQ(at(p.arg, tileK), done)
	p.SHLQ(operand.Imm(2), done)
	p.SUBQ(done, p.bases[0])
	p.ADDQ(at(p.arg, tileBPanel), p.bases[0])
	p.DECQ(at(p.arg, tilePanels))
	p.JNZ(operand.LabelRef("panel"))
}

// eachAcc runs over the accumulators and their places in c.
func (p *inPlace) eachAcc(col, row reg.GPVirtual, do func(reg.VecPhysical, operand.Mem)) {
	p.MOVQ(col, row)
	for r := range p.rows {
		for g := range p.count {
			do(p.acc(r, g), at(row, 4*p.lanes*g))
		}
		if r < p.rows-1 {
			p.ADDQ(at(p.arg, tileCRow), row)
		}
	}
}
