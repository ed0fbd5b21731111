package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// packing writes the two copies that bring an operand into panels. Eight
// lanes serve both instruction sets: a copy is bound by loads and stores, and
// 256-bit shuffles run twice a cycle where 512-bit ones run once.
func packing(c *build.Context) {
	c.ConstraintExpr("amd64")
	masks := maskTable(c, "packMasks")
	copyRows(c, masks)
	transpose(c, masks)
}

const packSignature = "func(dst *float32, dstRow int, src *float32, srcRow, rows, cols int)"

// copyRows writes rows of 1 to 32 columns; one loop for each number of vectors
// and for whole and partial last vectors.
func copyRows(c *build.Context, masks operand.Mem) {
	c.Function("copyRows")
	c.Doc("copyRows copies rows × cols values, cols 1 to 32. A row of dst is filled up with zeros",
		"to a multiple of 8 columns. Strides are in bytes.")
	c.Pragma("noescape")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr(packSignature)
	dst, dstRow, src, srcRow := c.GP64(), c.GP64(), c.GP64(), c.GP64()
	rows, cols, table := c.GP64(), c.GP64(), c.GP64()
	c.Load(c.Param("dst"), dst)
	c.Load(c.Param("dstRow"), dstRow)
	c.Load(c.Param("src"), src)
	c.Load(c.Param("srcRow"), srcRow)
	c.Load(c.Param("rows"), rows)
	c.Load(c.Param("cols"), cols)
	c.LEAQ(masks, table)
	mask := vector(15, 8)
	for vectors := 1; vectors <= 4; vectors++ {
		for _, whole := range []bool{false, true} {
			label := fmt.Sprintf("copy%d%t", vectors, whole)
			next := label + "next"
			c.CMPQ(cols, operand.Imm(uint64(8*vectors)))
			if whole {
				c.JNE(operand.LabelRef(next))
			} else {
				c.JGE(operand.LabelRef(next))
				c.NEGQ(cols)
				c.VMOVUPS(indexed(table, cols, 4, 32*vectors), mask)
			}
			c.Label(label)
			for i := range vectors {
				v := vector(i, 8)
				if i == vectors-1 && !whole {
					c.VMASKMOVPS(at(src, 32*i), mask, v)
				} else {
					c.VMOVUPS(at(src, 32*i), v)
				}
				c.VMOVUPS(v, at(dst, 32*i))
			}
			c.ADDQ(srcRow, src)
			c.ADDQ(dstRow, dst)
			c.DECQ(rows)
			c.JNZ(operand.LabelRef(label))
			c.JMP(operand.LabelRef("done"))
			c.Label(next)
		}
	}
	c.Label("done")
	c.VZEROUPPER()
	c.RET()
}

// transposer holds the registers of transpose.
type transposer struct {
	*build.Context
	srcRow, row3, row5, row7 reg.GPVirtual
	dstRow                   reg.GPVirtual
}

// transpose writes blocks of 8 rows × 16 columns, so that each line of src is
// used up when it is read: rows whose distance is a multiple of 4096 bytes
// share one set of the cache and would not stay.
func transpose(c *build.Context, masks operand.Mem) {
	c.Function("transpose")
	c.Doc("transpose copies column j of src to row j of dst. A row of dst is filled up with zeros",
		"to a multiple of 8 values. Strides are in bytes.")
	c.Pragma("noescape")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr(packSignature)
	t := transposer{c, c.GP64(), c.GP64(), c.GP64(), c.GP64(), c.GP64()}
	dst, src, cols := c.GP64(), c.GP64(), c.GP64()
	c.Load(c.Param("dst"), dst)
	c.Load(c.Param("dstRow"), t.dstRow)
	c.Load(c.Param("src"), src)
	c.Load(c.Param("srcRow"), t.srcRow)
	c.Load(c.Param("cols"), cols)
	c.LEAQ(indexed(t.srcRow, t.srcRow, 2, 0), t.row3)
	c.LEAQ(indexed(t.srcRow, t.srcRow, 4, 0), t.row5)
	c.LEAQ(indexed(t.row3, t.srcRow, 4, 0), t.row7)

	left, from, to := c.GP64(), c.GP64(), c.GP64()
	group := func(label string, width int, partial bool) {
		c.Label(label)
		c.CMPQ(cols, operand.Imm(uint64(width)))
		c.JL(operand.LabelRef(label + "end"))
		c.Load(c.Param("rows"), left)
		c.MOVQ(src, from)
		c.MOVQ(dst, to)
		c.Label(label + "rows")
		c.CMPQ(left, operand.Imm(8))
		c.JL(operand.LabelRef(label + "part"))
		if partial {
			t.part(label+"whole", from, to, left, cols, masks)
		} else {
			second := c.GP64()
			c.LEAQ(indexed(to, t.dstRow, 8, 0), second)
			if width == 16 {
				t.prefetch(from)
			}
			for i := range width / 8 {
				t.whole(from, []reg.GPVirtual{to, second}[i], 32*i)
			}
		}
		c.LEAQ(indexed(from, t.srcRow, 8, 0), from)
		c.ADDQ(operand.Imm(32), to)
		c.SUBQ(operand.Imm(8), left)
		c.JMP(operand.LabelRef(label + "rows"))
		c.Label(label + "part")
		c.TESTQ(left, left)
		c.JZ(operand.LabelRef(label + "next"))
		if width == 16 {
			// Two halves, each as eight of the columns.
			eight, second := c.GP64(), c.GP64()
			c.MOVQ(operand.U32(8), eight)
			t.part(label+"p0", from, to, left, eight, masks)
			c.LEAQ(indexed(to, t.dstRow, 8, 0), second)
			c.ADDQ(operand.Imm(32), from)
			t.part(label+"p1", from, second, left, eight, masks)
		} else {
			t.part(label+"p", from, to, left, cols, masks)
		}
		c.Label(label + "next")
		c.ADDQ(operand.Imm(uint64(4*max(width, 8))), src)
		c.LEAQ(indexed(dst, t.dstRow, 8, 0), dst)
		if width == 16 {
			c.LEAQ(indexed(dst, t.dstRow, 8, 0), dst)
		}
		c.SUBQ(operand.Imm(uint64(max(width, 8))), cols)
		c.JMP(operand.LabelRef(label))
		c.Label(label + "end")
	}
	group("sixteen", 16, false)
	group("eight", 8, false)
	group("some", 1, true)
	c.VZEROUPPER()
	c.RET()
}

func eightVectors() (v [8]reg.VecPhysical) {
	for i := range v {
		v[i] = vector(i, 8)
	}
	return v
}

// row is the operand of row r behind base.
func (t transposer) row(base reg.GPVirtual, r, disp int) operand.Mem {
	switch r {
	case 0:
		return at(base, disp)
	case 3:
		return indexed(base, t.row3, 1, disp)
	case 5:
		return indexed(base, t.row5, 1, disp)
	case 6:
		return indexed(base, t.row3, 2, disp)
	case 7:
		return indexed(base, t.row7, 1, disp)
	}
	return indexed(base, t.srcRow, uint8(r), disp)
}

// prefetch asks for the lines of the rows that packB comes to next, 16 further
// down. They may come from memory, whose prefetchers run along rows and have to
// start anew with each. They go to the second-level cache: the first one is
// full of what is worked on.
func (t transposer) prefetch(from reg.GPVirtual) {
	ahead := t.GP64()
	t.LEAQ(indexed(from, t.srcRow, 8, 0), ahead)
	t.LEAQ(indexed(ahead, t.srcRow, 8, 0), ahead)
	for r := range 8 {
		t.PREFETCHT1(t.row(ahead, r, 0))
	}
}

// whole transposes 8×8 values. Lanes 0-3 of v[r] hold row r, lanes 4-7 row
// r+4: the halves are brought together by loads, which leaves 16 shuffles.
func (t transposer) whole(from, to reg.GPVirtual, disp int) {
	v := eightVectors()
	for r := range 4 {
		t.VMOVUPS(t.row(from, r, disp), v[r].AsX())
		t.VMOVUPS(t.row(from, r, disp+16), v[r+4].AsX())
		t.VINSERTF128(operand.Imm(1), t.row(from, r+4, disp), v[r], v[r])
		t.VINSERTF128(operand.Imm(1), t.row(from, r+4, disp+16), v[r+4], v[r+4])
	}
	p := t.GP64()
	t.MOVQ(to, p)
	for j, o := range t.shuffle(v) {
		t.VMOVUPS(o, at(p, 0))
		if j < 7 {
			t.ADDQ(t.dstRow, p)
		}
	}
}

// shuffle finishes the transposition and returns the columns of the block.
func (t transposer) shuffle(v [8]reg.VecPhysical) (columns [8]reg.VecPhysical) {
	free := [2]reg.VecPhysical{vector(8, 8), vector(9, 8)}
	for half := range 2 {
		var c [4]reg.VecPhysical
		c, free = t.shuffleHalf([4]reg.VecPhysical(v[4*half:]), free)
		copy(columns[4*half:], c[:])
	}
	return columns
}

// shuffleHalf does it for four columns with two spare registers. It returns
// those that the columns come to and two that are free then.
func (t transposer) shuffleHalf(v [4]reg.VecPhysical, spare [2]reg.VecPhysical) (columns [4]reg.VecPhysical, free [2]reg.VecPhysical) {
	t.VUNPCKLPS(v[1], v[0], spare[0])
	t.VUNPCKHPS(v[1], v[0], spare[1])
	t.VUNPCKLPS(v[3], v[2], v[0])
	t.VUNPCKHPS(v[3], v[2], v[1])
	for i := range 2 {
		t.VUNPCKLPD(v[i], spare[i], v[2+i])
		t.VUNPCKHPD(v[i], spare[i], spare[i])
	}
	return [4]reg.VecPhysical{v[2], spare[0], v[3], spare[1]}, [2]reg.VecPhysical{v[0], v[1]}
}

// part transposes min(rows, 8) × min(cols, 8) values; missing rows are zeros
// in dst, and no more rows of dst are written than there are columns.
func (t transposer) part(label string, from, to, rows, cols reg.GPVirtual, masks operand.Mem) {
	table, n := t.GP64(), t.GP64()
	mask := vector(15, 8)
	t.LEAQ(masks, table)
	t.MOVQ(operand.U32(8), n)
	t.CMPQ(cols, n)
	t.CMOVQLT(cols, n)
	t.NEGQ(n)
	t.VMOVUPS(indexed(table, n, 4, 32), mask)
	t.NEGQ(n)

	v := eightVectors()
	for _, in := range v {
		t.VXORPS(in, in, in)
	}
	for r := range v {
		if r > 0 {
			t.CMPQ(rows, operand.Imm(uint64(r)))
			t.JLE(operand.LabelRef(label + "read"))
		}
		t.VMASKMOVPS(t.row(from, r, 0), mask, v[r])
	}
	t.Label(label + "read")
	for r := range 4 {
		low := vector(8+r, 8)
		t.VPERM2F128(operand.Imm(0x20), v[r+4], v[r], low)
		t.VPERM2F128(operand.Imm(0x31), v[r+4], v[r], v[r+4])
		t.VMOVAPS(low, v[r])
	}
	p := t.GP64()
	t.MOVQ(to, p)
	for j, o := range t.shuffle(v) {
		if j > 0 {
			t.CMPQ(n, operand.Imm(uint64(j)))
			t.JLE(operand.LabelRef(label + "written"))
			t.ADDQ(t.dstRow, p)
		}
		t.VMOVUPS(o, at(p, 0))
	}
	t.Label(label + "written")
}
