package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// isa is an instruction set that code is written for.
type isa struct {
	name  string
	lanes int // float32 values in its widest register
}

var (
	avx512 = isa{"512", 16}
	avx2   = isa{"2", 8}
)

// vector is register i of 8 or 16 float32 lanes. Long functions name their
// registers: avo's allocator gives up well before the registers run out.
func vector(i, lanes int) reg.VecPhysical {
	f := reg.FamilyOfKind(reg.KindVector)
	return f.Lookup(reg.Index(i), map[int]reg.Spec{8: reg.S256, 16: reg.S512}[lanes]).(reg.VecPhysical)
}

// zero clears v. The form with all lanes tells avo that nothing of v is kept.
func zero(c *build.Context, set isa, v reg.VecPhysical) {
	if set == avx512 {
		c.VPXORD(v, v, v)
	} else {
		c.VXORPS(v, v, v)
	}
}

// at is the operand base+disp bytes.
func at(base reg.Register, disp int) operand.Mem {
	return operand.Mem{Base: base, Disp: disp}
}

// indexed is the operand base+index*scale+disp bytes.
func indexed(base, index reg.Register, scale uint8, disp int) operand.Mem {
	return operand.Mem{Base: base, Index: index, Scale: scale, Disp: disp}
}
