package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// severalRows writes the products of four to eight rows of a with bᵀ in place, for
// AVX-512: a tile of so few rows and a panel of bᵀ would fill half of a register.
// Blocks of 16 rows × 4 columns of bᵀ are transposed in registers, two side by
// side, and used at once. What is needed of a is copied before, 8 values a column.
func severalRows(c *build.Context) {
	c.ConstraintExpr("amd64")
	for rows := 4; rows <= 8; rows++ {
		s := &severalWriter{inPlace{transposer: transposer{Context: c}, rows: rows, count: severalGroups, lanes: 16, registers: 32}}
		s.write()
	}
}

const (
	severalGroups  = 2 // of 16 rows of bᵀ
	severalColumns = 8 // in one turn of the loop
)

type severalWriter struct{ inPlace }

func (s *severalWriter) write() {
	name := fmt.Sprintf("several512x%d", s.rows)
	tileFunction(s.Context, name,
		fmt.Sprintf("%s multiplies %d rows of a, copied to 8 values a column, with the rows of bᵀ:", name, s.rows),
		fmt.Sprintf("panels of %d of them, bRow apart; k must be a multiple of %d.", 16*severalGroups, severalColumns))
	col, k := s.begin(func() {})
	s.Label("k")
	for j := 0; j < severalColumns; j += 4 {
		s.multiply(j)
	}
	for _, b := range s.bases {
		s.ADDQ(operand.Imm(4*severalColumns), b)
	}
	s.ADDQ(operand.U32(32*severalColumns), s.a)
	s.SUBQ(operand.Imm(severalColumns), k)
	s.JNZ(operand.LabelRef("k"))

	s.finish(col)
	s.VZEROUPPER()
	s.RET()
}

// multiply does four columns of all groups, from column j of the turn on.
func (s *severalWriter) multiply(j int) {
	disp := 4 * j
	free := [2]reg.VecPhysical{vector(8, 16), vector(9, 16)}
	var columns [severalGroups][4]reg.VecPhysical
	for g := range columns {
		low, high := s.bases[2*g], s.bases[2*g+1]
		var v [4]reg.VecPhysical
		for r := range v {
			v[r] = vector(4*g+r, 16)
			s.VMOVUPS(s.row(low, r, disp), v[r].AsX())
			s.VINSERTF32X4(operand.Imm(1), s.row(low, r+4, disp), v[r], v[r])
			s.VINSERTF32X4(operand.Imm(2), s.row(high, r, disp), v[r], v[r])
			s.VINSERTF32X4(operand.Imm(3), s.row(high, r+4, disp), v[r], v[r])
		}
		columns[g], free = s.shuffleHalf(v, free)
	}
	spare := []reg.VecPhysical{free[0], free[1], vector(10, 16), vector(11, 16)}
	for i := range 4 {
		for r := range s.rows {
			x := spare[(i*s.rows+r)%len(spare)]
			s.VBROADCASTSS(at(s.a, 32*(j+i)+4*r), x)
			for g, c := range columns {
				s.VFMADD231PS(c[i], x, s.acc(r, g))
			}
		}
	}
	// Half of the lines of the next panel for every four columns: each is asked for
	// twice, as in few.go.
	ahead := s.GP64()
	for _, b := range s.bases[j/4*severalGroups : (j/4+1)*severalGroups] {
		s.MOVQ(at(s.arg, tileBPanel), ahead)
		s.ADDQ(b, ahead)
		for r := range 8 {
			s.PREFETCHT1(s.row(ahead, r, 0))
		}
	}
}
