package main

import (
	"fmt"
	"go/token"
	"go/types"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/gotypes"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Fields of the tile struct in gemm_amd64.go, in bytes from its start. Strides
// are in bytes too.
const (
	tileA      = 8 * iota // first value of the strip of a
	tileARow              // from row to row of a
	tileACol              // from column to column of a
	tileB                 // first value of the first panel of b
	tileBRow              // from row to row of a panel
	tileBPanel            // from panel to panel
	tileC                 // first value of the strip of c
	tileCRow              // from row to row of c
	tileK                 // columns of a, at least 1
	tilePanels            // whole panels
	tileTail              // columns of the partial panel behind them, or 0
	tileAdd               // 1 to add to c, 0 to overwrite it
	tileAhead             // from the strip of a to the one to fetch meanwhile, or 0
	tileNext              // the part of b to fetch meanwhile, a fetch
)

// Fields of the fetch struct.
const (
	fetchAt    = 8 * iota // next line
	fetchLeft             // lines of the row that are left
	fetchLines            // lines of a row
	fetchJump             // bytes from behind a row to the next
	fetchRows             // rows that are left, 0 for none
	fetchStep             // lines to ask for at a time
)

// narrowest is the width of the narrowest tiles.
const narrowest = 8

// A tile is rows × width values of c that stay in registers while k runs.
//
// AVX-512 has 32 registers: 14 rows of two are 28 accumulators, which leaves
// two for b and one for the broadcast value of a. AVX2 has 16: six rows of two,
// two of b and two of a. Fourteen rows are also what the addressing below
// reaches from two pointers. Narrow tiles need no more rows than hide the
// latency of a multiply-add (4 cycles, two a cycle).
func tileShapes(set isa) (shapes []struct{ width, rows int }) {
	add := func(width, most int) {
		for rows := 1; rows <= most; rows++ {
			shapes = append(shapes, struct{ width, rows int }{width, rows})
		}
	}
	if set == avx512 {
		add(32, 14)
		add(16, 14)
		add(narrowest, 14)
	} else {
		add(16, 6)
		add(narrowest, 12)
	}
	return shapes
}

// tiles writes one function a tile shape. It multiplies one strip of rows of a
// with a row of panels of b.
func tiles(c *build.Context, set isa) {
	c.ConstraintExpr("amd64")
	var masks operand.Mem
	if set == avx2 {
		masks = maskTable(c, "tileMasks")
	}
	for _, s := range tileShapes(set) {
		t := &tileWriter{Context: c, set: set, width: s.width, rows: s.rows, turn: 1, masks: masks}
		t.write()
	}
	if set == avx512 {
		for rows := 1; rows <= shortRows; rows++ {
			t := &tileWriter{Context: c, set: set, width: 32, rows: rows, turn: shortTurn}
			t.write()
		}
	}
}

// Short tiles: of so few columns of a that the loop takes a part of the time. They
// are low, because writing a tile takes as long as computing it, and only small
// ones are written while the next is computed. They do whole panels of a multiple of
// shortTurn columns of a.
const (
	shortRows = 7
	shortTurn = 8
)

// maskTable declares 8 ones and 8 zeros: loading 8 from 8-n on gives a mask of
// the first n lanes.
func maskTable(c *build.Context, name string) operand.Mem {
	m := c.StaticGlobal(name)
	c.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range 16 {
		v := operand.U32(0)
		if i < 8 {
			v = 0xffffffff
		}
		c.AddDatum(4*i, v)
	}
	return m
}

type tileWriter struct {
	*build.Context
	set         isa
	width, rows int
	turn        int // columns of a in one turn of the loop; more than one for whole panels only
	masks       operand.Mem

	arg                      reg.GPVirtual
	a0, a1, rs, rs3, rs5, cs reg.GPVirtual
	b, bRow, cp, cRow        reg.GPVirtual
	k1, k2                   reg.OpmaskVirtual // columns of the last panel, AVX-512
	mask                     reg.VecPhysical   // the same for AVX2
}

// lanes and vectors split the width of the tile in registers.
func (t *tileWriter) lanes() int   { return min(t.width, t.set.lanes) }
func (t *tileWriter) vectors() int { return t.width / t.lanes() }

func (t *tileWriter) write() {
	kind, whole, multiple := "tile", "", ""
	if t.turn > 1 {
		kind, whole, multiple = "short", "whole ", fmt.Sprintf(", for k of multiples of %d", t.turn)
	}
	name := fmt.Sprintf("%s%sx%dx%d", kind, t.set.name, t.rows, t.width)
	tileFunction(t.Context, name,
		fmt.Sprintf("%s multiplies %d rows of a with %spanels of %d columns of b%s.", name, t.rows, whole, t.width, multiple))

	t.arg = t.GP64()
	t.Load(t.Param("t"), t.arg)
	t.a0, t.rs, t.cs, t.b, t.bRow = t.GP64(), t.GP64(), t.GP64(), t.GP64(), t.GP64()
	t.MOVQ(at(t.arg, tileARow), t.rs)
	t.MOVQ(at(t.arg, tileACol), t.cs)
	t.MOVQ(at(t.arg, tileBRow), t.bRow)
	if t.rows > 3 {
		t.rs3 = t.GP64()
		t.LEAQ(indexed(t.rs, t.rs, 2, 0), t.rs3)
	}
	if t.rows > 5 {
		t.rs5 = t.GP64()
		t.LEAQ(indexed(t.rs, t.rs, 4, 0), t.rs5)
	}
	panel, col, panels := t.GP64(), t.GP64(), t.GP64()
	t.MOVQ(at(t.arg, tileB), panel)
	t.MOVQ(at(t.arg, tileC), col)
	t.MOVQ(at(t.arg, tilePanels), panels)
	if t.turn == 1 {
		t.TESTQ(panels, panels)
		t.JZ(operand.LabelRef("tail"))
	}

	t.Label("panel")
	t.MOVQ(panel, t.b)
	t.product("", col, false)
	t.ADDQ(at(t.arg, tileBPanel), panel)
	t.ADDQ(operand.Imm(uint64(4*t.width)), col)
	t.DECQ(panels)
	t.JNZ(operand.LabelRef("panel"))

	if t.turn == 1 {
		t.Label("tail")
		columns := t.GP64()
		t.MOVQ(at(t.arg, tileTail), columns)
		t.TESTQ(columns, columns)
		t.JZ(operand.LabelRef("done"))
		t.loadMask(columns)
		t.MOVQ(panel, t.b)
		t.product("tail", col, true)
		t.Label("done")
	}
	t.VZEROUPPER()
	t.RET()
}

// tileFunction starts a function of a pointer to a tile.
func tileFunction(c *build.Context, name string, doc ...string) {
	c.Function(name)
	c.Doc(doc...)
	c.Pragma("noescape")
	c.Attributes(attr.NOSPLIT)
	pkg := types.NewPackage("tensor", "tensor")
	tile := types.NewNamed(types.NewTypeName(token.NoPos, pkg, "tile", nil), types.NewStruct(nil, nil), nil)
	t := types.NewParam(token.NoPos, pkg, "t", types.NewPointer(tile))
	c.Signature(gotypes.NewSignature(pkg, types.NewSignatureType(nil, nil, nil, types.NewTuple(t), nil, false)))
}

// loadMask sets the masks for the first columns of a panel.
func (t *tileWriter) loadMask(columns reg.GPVirtual) {
	if t.set == avx512 {
		bits := t.GP64()
		t.MOVQ(operand.I64(-1), bits)
		t.BZHIQ(columns, bits, bits)
		t.k1, t.k2 = t.K(), t.K()
		t.KMOVW(bits.As32(), t.k1)
		if t.vectors() == 2 {
			t.SHRQ(operand.Imm(16), bits)
			t.KMOVW(bits.As32(), t.k2)
		}
		return
	}
	// Of a tile of 16 columns the first eight are always whole.
	table := t.GP64()
	t.LEAQ(t.masks, table)
	t.NEGQ(columns)
	t.mask = vector(15, 8)
	t.VMOVUPS(indexed(table, columns, 4, 4*t.width), t.mask)
}

// product runs over k for one panel and writes the tile.
func (t *tileWriter) product(prefix string, col reg.GPVirtual, masked bool) {
	acc := make([][]reg.VecPhysical, t.rows)
	used := 0
	next := func() reg.VecPhysical {
		used++
		return vector(used-1, t.lanes())
	}
	for r := range acc {
		for range t.vectors() {
			v := next()
			zero(t.Context, t.set, v)
			acc[r] = append(acc[r], v)
		}
	}
	t.MOVQ(at(t.arg, tileA), t.a0)
	if t.rows > 7 {
		t.a1 = t.GP64()
		t.LEAQ(indexed(t.a0, t.rs, 1, 0), t.a1)
		t.LEAQ(indexed(t.a1, t.rs3, 2, 0), t.a1)
	}
	k := t.GP64()
	t.MOVQ(at(t.arg, tileK), k)
	if !masked {
		t.prefetch(prefix, col, k)
	}

	t.Label(prefix + "k")
	switch {
	case masked:
	case t.width == narrowest:
		t.fetchAhead(k)
	default:
		t.fetchNext(k)
	}
	b := make([]reg.VecPhysical, t.vectors())
	for i := range b {
		b[i] = next()
	}
	x := next()
	for range t.turn {
		t.column(acc, b, x, masked)
	}
	t.SUBQ(operand.Imm(uint64(t.turn)), k)
	t.JNZ(operand.LabelRef(prefix + "k"))

	t.cp, t.cRow = t.GP64(), t.GP64()
	t.MOVQ(at(t.arg, tileCRow), t.cRow)
	t.CMPQ(at(t.arg, tileAdd), operand.Imm(0))
	t.JE(operand.LabelRef(prefix + "store"))
	t.MOVQ(col, t.cp)
	for r := range acc {
		for i, v := range acc[r] {
			old := at(t.cp, 4*t.lanes()*i)
			if !masked || !t.partial(i) {
				t.VADDPS(old, v, v)
				continue
			}
			t.load(old, x, i, true)
			t.VADDPS(x, v, v)
		}
		t.next(r)
	}
	t.Label(prefix + "store")
	t.MOVQ(col, t.cp)
	for r := range acc {
		for i, v := range acc[r] {
			t.store(v, at(t.cp, 4*t.lanes()*i), i, masked)
		}
		t.next(r)
	}
}

// column adds the product of a column of a and a row of b to acc, and steps on; b
// and x are the registers it uses.
func (t *tileWriter) column(acc [][]reg.VecPhysical, b []reg.VecPhysical, x reg.VecPhysical, masked bool) {
	for i := range b {
		t.load(at(t.b, 4*t.lanes()*i), b[i], i, masked)
	}
	for r := range acc {
		if t.vectors() == 1 && t.set == avx512 {
			t.VFMADD231PS_BCST(t.aAt(r), b[0], acc[r][0])
			continue
		}
		t.VBROADCASTSS(t.aAt(r), x)
		for i := range b {
			t.VFMADD231PS(b[i], x, acc[r][i])
		}
	}
	t.ADDQ(t.cs, t.a0)
	if t.rows > 7 {
		t.ADDQ(t.cs, t.a1)
	}
	t.ADDQ(t.bRow, t.b)
}

// prefetch asks for the tile of c if it adds to it and k is long enough for the
// lines to arrive: rows of c are far apart, and no prefetcher guesses them.
func (t *tileWriter) prefetch(prefix string, col, k reg.GPVirtual) {
	t.cp, t.cRow = t.GP64(), t.GP64()
	t.MOVQ(at(t.arg, tileCRow), t.cRow)
	t.CMPQ(at(t.arg, tileAdd), operand.Imm(0))
	t.JE(operand.LabelRef(prefix + "k"))
	t.CMPQ(k, operand.Imm(32))
	t.JL(operand.LabelRef(prefix + "k"))
	t.MOVQ(col, t.cp)
	for r := range t.rows {
		for line := 0; line < 4*t.width; line += 64 {
			t.PREFETCHT0(at(t.cp, line))
		}
		t.next(r)
	}
}

// fetchAhead asks for the lines of the strip ahead, one of each row every 16
// columns. Narrow tiles use what they read of a few times only, so they are as
// fast as it comes in, and its rows are too short for the prefetchers. The
// second-level cache is near enough, and the first has no room.
func (t *tileWriter) fetchAhead(k reg.GPVirtual) {
	ahead := t.GP64()
	t.TESTQ(operand.U32(15), k)
	t.JNZ(operand.LabelRef("fetched"))
	t.MOVQ(at(t.arg, tileAhead), ahead)
	t.TESTQ(ahead, ahead)
	t.JZ(operand.LabelRef("fetched"))
	t.ADDQ(t.a0, ahead)
	for r := range min(t.rows, 7) {
		t.PREFETCHT1(t.rowOf(ahead, r))
	}
	if t.rows > 7 {
		t.SUBQ(t.a0, ahead)
		t.ADDQ(t.a1, ahead)
		for r := range t.rows - 7 {
			t.PREFETCHT1(t.rowOf(ahead, r))
		}
	}
	t.Label("fetched")
}

// fetchNext asks for a few lines of the next block of b every 8 columns, and
// counts along. Asked for all at once, they would keep the panel at hand from
// coming in.
func (t *tileWriter) fetchNext(k reg.GPVirtual) {
	field := func(offset int) operand.Mem { return at(t.arg, tileNext+offset) }
	line, step := t.GP64(), t.GP64()
	t.TESTQ(operand.U32(7), k)
	t.JNZ(operand.LabelRef("fetched"))
	t.CMPQ(field(fetchRows), operand.Imm(0))
	t.JE(operand.LabelRef("fetched"))
	t.MOVQ(field(fetchAt), line)
	t.MOVQ(field(fetchStep), step)
	t.Label("line")
	t.PREFETCHT1(at(line, 0))
	t.ADDQ(operand.Imm(64), line)
	t.DECQ(field(fetchLeft))
	t.JNZ(operand.LabelRef("row"))
	t.ADDQ(field(fetchJump), line)
	t.MOVQ(line, field(fetchAt))
	t.MOVQ(field(fetchLines), line) // there is no other register
	t.MOVQ(line, field(fetchLeft))
	t.MOVQ(field(fetchAt), line)
	t.DECQ(field(fetchRows))
	t.JZ(operand.LabelRef("fetched"))
	t.Label("row")
	t.DECQ(step)
	t.JNZ(operand.LabelRef("line"))
	t.MOVQ(line, field(fetchAt))
	t.Label("fetched")
}

// next steps to the row of c behind row r.
func (t *tileWriter) next(r int) {
	if r < t.rows-1 {
		t.ADDQ(t.cRow, t.cp)
	}
}

// aAt is the value of a in row r.
func (t *tileWriter) aAt(r int) operand.Mem {
	if r >= 7 {
		return t.rowOf(t.a1, r-7)
	}
	return t.rowOf(t.a0, r)
}

// rowOf is r rows of a, at most 6, behind base.
func (t *tileWriter) rowOf(base reg.GPVirtual, r int) operand.Mem {
	switch r {
	case 0:
		return at(base, 0)
	case 3:
		return indexed(base, t.rs3, 1, 0)
	case 5:
		return indexed(base, t.rs5, 1, 0)
	case 6:
		return indexed(base, t.rs3, 2, 0)
	}
	return indexed(base, t.rs, uint8(r), 0)
}

// partial tells whether vector i of a partial panel is masked.
func (t *tileWriter) partial(i int) bool {
	return t.set == avx512 || i == t.vectors()-1
}

func (t *tileWriter) load(m operand.Mem, v reg.VecPhysical, i int, masked bool) {
	switch {
	case !masked || !t.partial(i):
		t.VMOVUPS(m, v)
	case t.set == avx512:
		t.VMOVUPS_Z(m, t.opmask(i), v)
	default:
		t.VMASKMOVPS(m, t.mask, v)
	}
}

func (t *tileWriter) store(v reg.VecPhysical, m operand.Mem, i int, masked bool) {
	switch {
	case !masked || !t.partial(i):
		t.VMOVUPS(v, m)
	case t.set == avx512:
		t.VMOVUPS(v, t.opmask(i), m)
	default:
		t.VMASKMOVPS(v, t.mask, m)
	}
}

func (t *tileWriter) opmask(i int) reg.OpmaskVirtual {
	if i == 0 {
		return t.k1
	}
	return t.k2
}
