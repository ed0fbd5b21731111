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
// the limit. Some groups of 8 columns of c run side by side to hide the latency
// of the chains.
func fewRows(c *build.Context) {
	c.ConstraintExpr("amd64")
	for rows, groups := range []int{4, 3, 2} {
		f := &fewWriter{transposer: transposer{Context: c}, rows: rows + 1, groups: groups}
		f.write()
	}
}

type fewWriter struct {
	transposer
	rows, groups int
	arg, a, aRow reg.GPVirtual
	bases        []reg.GPVirtual
}

func (f *fewWriter) write() {
	name := fmt.Sprintf("few%d", f.rows)
	tileFunction(f.Context, name, fmt.Sprintf(
		"%s multiplies %d rows of a, whose column stride must be 4, with the rows of bᵀ:", name, f.rows),
		fmt.Sprintf("panels of %d of them, bRow apart; k must be a multiple of 8.", 8*f.groups))
	f.arg, f.a, f.srcRow = f.GP64(), f.GP64(), f.GP64()
	f.Load(f.Param("t"), f.arg)
	f.MOVQ(at(f.arg, tileBRow), f.srcRow)
	if f.rows > 1 {
		f.aRow = f.GP64()
		f.MOVQ(at(f.arg, tileARow), f.aRow)
	}
	f.row3, f.row5, f.row7 = f.GP64(), f.GP64(), f.GP64()
	f.LEAQ(indexed(f.srcRow, f.srcRow, 2, 0), f.row3)
	f.LEAQ(indexed(f.srcRow, f.srcRow, 4, 0), f.row5)
	f.LEAQ(indexed(f.row3, f.srcRow, 4, 0), f.row7)
	for range f.groups {
		f.bases = append(f.bases, f.GP64())
	}

	// The moving pointers stay in registers: the collector may look at the tile
	// at any time and does not accept one that has left its operand.
	col := f.GP64()
	f.MOVQ(at(f.arg, tileB), f.bases[0])
	f.MOVQ(at(f.arg, tileC), col)
	f.Label("panel")
	for i, b := range f.bases[1:] {
		f.LEAQ(indexed(f.bases[i], f.srcRow, 8, 0), b)
	}
	for r := range f.rows {
		for g := range f.groups {
			f.VXORPS(f.acc(r, g), f.acc(r, g), f.acc(r, g))
		}
	}
	f.MOVQ(at(f.arg, tileA), f.a)
	k := f.GP64()
	f.MOVQ(at(f.arg, tileK), k)
	f.Label("k")
	for g, b := range f.bases {
		for half := range 2 {
			f.half(g, b, 16*half)
		}
		f.ADDQ(operand.Imm(32), b)
	}
	f.ADDQ(operand.Imm(32), f.a)
	f.SUBQ(operand.Imm(8), k)
	f.JNZ(operand.LabelRef("k"))

	row := f.GP64()
	f.CMPQ(at(f.arg, tileAdd), operand.Imm(0))
	f.JE(operand.LabelRef("store"))
	f.eachAcc(col, row, func(v reg.VecPhysical, c operand.Mem) { f.VADDPS(c, v, v) })
	f.Label("store")
	f.eachAcc(col, row, func(v reg.VecPhysical, c operand.Mem) { f.VMOVUPS(v, c) })
	f.ADDQ(operand.Imm(uint64(32*f.groups)), col)
	done := f.GP64()
	f.MOVQ(at(f.arg, tileK), done)
	f.SHLQ(operand.Imm(2), done)
	f.SUBQ(done, f.bases[0])
	f.ADDQ(at(f.arg, tileBPanel), f.bases[0])
	f.DECQ(at(f.arg, tilePanels))
	f.JNZ(operand.LabelRef("panel"))
	f.VZEROUPPER()
	f.RET()
}

// acc is the accumulator of row r and group g.
func (f *fewWriter) acc(r, g int) reg.VecPhysical { return vector(9+r*f.groups+g, 8) }

// half does four columns of eight rows of bᵀ, disp bytes behind b and a.
func (f *fewWriter) half(g int, b reg.GPVirtual, disp int) {
	var v [4]reg.VecPhysical
	for r := range v {
		v[r] = vector(r, 8)
		f.VMOVUPS(f.row(b, r, disp), v[r].AsX())
		f.VINSERTF128(operand.Imm(1), f.row(b, r+4, disp), v[r], v[r])
	}
	f.shuffleHalf(v, 4)
	x := vector(8, 8)
	for j, column := range v {
		for r := range f.rows {
			a := at(f.a, disp+4*j)
			if r > 0 {
				a = indexed(f.a, f.aRow, uint8(r), disp+4*j)
			}
			f.VBROADCASTSS(a, x)
			f.VFMADD231PS(column, x, f.acc(r, g))
		}
	}
}

// eachAcc runs over the accumulators and their places in c.
func (f *fewWriter) eachAcc(col, row reg.GPVirtual, do func(reg.VecPhysical, operand.Mem)) {
	f.MOVQ(col, row)
	for r := range f.rows {
		for g := range f.groups {
			do(f.acc(r, g), at(row, 32*g))
		}
		if r < f.rows-1 {
			f.ADDQ(at(f.arg, tileCRow), row)
		}
	}
}
