package tensor

import "unsafe"

// Blocking of the product (Goto and van de Geijn 2008): a block of b, at most
// blockK rows by blockN columns, stays in the second-level cache, most often as a
// copy in panels (262 KB of at least 512), while the next one is fetched. A strip
// of a, some rows by as many columns, stays in the first-level cache (8 or 16 KB)
// while the panels stream by. Where strips are copied, blocks of b are wider, at
// most wideN columns, since each block copies them anew.
//
// blockK also fixes the order of the sums: k is cut into equal blocks, as few
// as possible, and an element of c is the sum over blocks, each a chain of
// fused multiply-adds from zero, added one after the other, to c itself if it
// accumulates. Every tile shape, packed or not, of both instruction sets
// follows that order, so they agree in every bit.
const (
	blockK = 256
	blockN = 256
	wideN  = 384
)

// tile is the argument of the assembly, which knows its layout (asm/gemm.go).
// Strides are in bytes.
type tile struct {
	a      unsafe.Pointer // first value of the strip of a
	aRow   int            // from row to row of a
	aCol   int            // from column to column of a
	b      unsafe.Pointer // first value of the first panel of b
	bRow   int            // from row to row of a panel
	bPanel int            // from panel to panel
	c      unsafe.Pointer // first value of the strip of c
	cRow   int            // from row to row of c
	k      int            // columns of a, at least 1
	panels int            // whole panels
	tail   int            // columns of the partial panel behind them, or 0
	add    int            // 1 to add to c, 0 to overwrite it
	ahead  int            // from the strip of a to the one to fetch meanwhile, or 0
	next   fetch          // the part of b to fetch meanwhile
}

// fetch is a part of an operand that is brought into the second-level cache
// while another is computed with. The assembly knows its layout and counts
// along.
type fetch struct {
	at    uintptr // next line; never read through
	left  int     // lines of the row that are left
	lines int     // lines of a row
	jump  int     // bytes from behind a row to the next
	rows  int     // rows that are left, 0 for none
	step  int     // lines to ask for at a time
}

// tileSet holds the tile functions of one width, by rows; tiles[0] is nil.
type tileSet struct {
	width int
	least int // columns from which these tiles beat narrower ones
	tiles []func(*tile)
}

// simd is the product for one instruction set.
type simd struct {
	generic // for views with no unit stride
	isa     string
	sets    []tileSet // widest first
	// shortSet holds the functions for whole panels of the widest tiles when k is
	// short, by rows, which are fewer; nil where the usual ones do as well.
	shortSet []func(*tile)
	fewSets  []fewSet // by rows
	// severalSet holds the functions for several rows, by rows; nil where there is
	// none.
	severalSet []func(*tile)
	rows       *rowSet
	scratch    []float32
	// stripRow values of a column of a are copied side by side, room for the
	// highest of the widest tiles.
	stripRow int
	packedA  []float32
	packedB  []float32
	turn     []float32
	t        tile
	groups   []columns
	after    *float32 // where the strip of a after the block at hand starts, if known
	next     Matrix   // right operand of the product after the one at hand, if known
}

func newSIMD(isa string, stripRow int, sets []tileSet, short []func(*tile), few []fewSet, several []func(*tile), rows *rowSet) *simd {
	return &simd{isa: isa, stripRow: stripRow, sets: sets, shortSet: short, fewSets: few, severalSet: several, rows: rows,
		scratch: alignedFloats(sumChunk),
		packedA: alignedFloats(stripsAhead * blockK * stripRow),
		packedB: alignedFloats(blockK * (wideN + 32)),
		turn:    alignedFloats(turnedSize),
		groups:  make([]columns, 0, 4)}
}

// alignedFloats makes a slice that starts on a cache line.
func alignedFloats(n int) []float32 {
	s := make([]float32, n+16)
	skip := -int(uintptr(unsafe.Pointer(&s[0]))/4) & 15
	return s[skip : skip+n : skip+n]
}

func (s *simd) ISA() string { return s.isa }

func (s *simd) Gemm(c, a, b Matrix, acc bool) {
	checkGemm(c, a, b)
	m, n, k := c.Rows, c.Cols, a.Cols
	if m == 0 || n == 0 {
		return
	}
	if k == 0 {
		if !acc {
			for i := range m {
				clear(c.Row(i))
			}
		}
		return
	}
	// A stride that is never taken may as well be 1.
	if n == 1 {
		b.ColStride = 1
	} else if k == 1 {
		b.RowStride = 1
	}
	if b.ColStride != 1 && b.RowStride != 1 {
		s.generic.Gemm(c, a, b, acc)
		s.next = Matrix{}
		return
	}
	few, several := s.fewFor(m, n, k, a, b), s.severalFor(m, n, k, a, b)
	switch {
	case few.columns > 0:
		s.few(few, c, a, b, acc)
	case several != nil:
		s.several(several, c, a, b, acc)
	case s.turns(m, n, k, a, b, acc):
		s.turned(c, a, b, acc)
	default:
		s.product(c, a, b, acc)
	}
	s.t, s.next, s.after = tile{}, Matrix{}, nil // keep no pointers
}

func (s *simd) Next(b Matrix) {
	s.next = Matrix{}
	if b.Rows > 0 && b.Cols > 0 && b.fits() {
		s.next = b
	}
}

// product is Gemm for shapes without a zero, where b has a unit stride.
func (s *simd) product(c, a, b Matrix, acc bool) {
	m, n, k := c.Rows, c.Cols, a.Cols
	width := s.sets[0].width
	direct := readsInPlace(b, m, width)
	most := blockN
	if packsA(a, n) {
		most = wideN
	}
	wide := evenly(n, most, width)
	if !direct && m <= 2*(len(s.sets[0].tiles)-1) {
		wide = width // one panel that stays in the first-level cache
	}
	deep := evenly(k, blockK, 8)
	s.t.cRow = 4 * c.RowStride
	for j := 0; j < n; j += wide {
		nc := min(wide, n-j)
		for p := 0; p < k; p += deep {
			s.t.k = min(deep, k-p)
			s.t.add = 1
			if p == 0 && !acc {
				s.t.add = 0
			}
			s.t.next, s.after = fetch{}, nil
			switch next := s.next; {
			case p+deep < k:
				s.fetch(partOf(b, p+deep, j, min(deep, k-p-deep), nc), c.Rows, nc)
				s.after = &a.Data[(p+deep)*a.ColStride]
			case j+wide < n:
				s.fetch(partOf(b, 0, j+wide, deep, min(wide, n-j-wide)), c.Rows, nc)
				s.after = &a.Data[0]
			case next.Rows > 0:
				s.fetch(partOf(next, 0, 0, evenly(next.Rows, blockK, 8), evenly(next.Cols, blockN, width)), c.Rows, nc)
				if next.RowStride == 1 && next.ColStride == a.RowStride { // as a, when it is turned too
					s.after = &next.Data[0]
				}
			}
			s.block(c, a, b, j, nc, p, direct)
		}
	}
}

// fetch has a block of b fetched while rows × columns of c are computed.
func (s *simd) fetch(b Matrix, rows, columns int) {
	if b.ColStride != 1 {
		b = b.T()
	}
	set := &s.sets[0]
	lines := (b.Cols + 15) / 16
	times := stripRows(rows, len(set.tiles)-1) * max(columns/set.width, 1) * max(s.t.k/8, 1)
	s.t.next = fetch{
		at: uintptr(unsafe.Pointer(&b.Data[0])), left: lines, lines: lines, jump: 4*b.RowStride - 64*lines,
		rows: b.Rows, step: (lines*b.Rows + times - 1) / times,
	}
}

// evenly is the size of the blocks when n is cut into as few as possible of at
// most the given size: equal ones but for the last, in multiples of step.
func evenly(n, most, step int) int {
	if n <= most {
		return n
	}
	blocks := (n + most - 1) / most
	return (n + blocks*step - 1) / (blocks * step) * step
}

// readsInPlace tells whether b is read where it is, for m rows of a, instead of
// being copied into panels. A transposed view never is. Rows that lie pages apart
// come in slowly, which is worth a copy if there is something to do with it.
func readsInPlace(b Matrix, m, width int) bool {
	const farApart, someRows = 2048, 64
	return b.ColStride == 1 && (b.RowStride <= farApart || m <= someRows || b.Cols <= width || b.Rows <= shallow)
}

// shallow is the k up to which neither operand is copied: the lines in use fit
// the first-level cache wherever they lie.
const shallow = 64

// short is the k up to which strips are low: writing a tile takes as long as
// computing it, and only small tiles are written while the next is computed. The
// functions for it take multiples of shortTurn.
const (
	short     = 16
	shortTurn = 8
)

// block computes columns j..j+nc of c over s.t.k columns of a from p on, in
// strips of nearly equal height.
func (s *simd) block(c, a, b Matrix, j, nc, p int, direct bool) {
	if !direct {
		s.packB(b, j, nc, p)
	}
	s.groups = s.groups[:0]
	for at := 0; at < nc; {
		g := s.group(nc - at)
		g.at = at
		s.groups = append(s.groups, g)
		at += g.panels*g.set.width + g.tail
	}
	t := &s.t
	t.aRow, t.aCol = 4*a.RowStride, 4*a.ColStride
	pack, packed, used := packsA(a, nc), 0, 0 // strips
	if pack {
		t.aRow, t.aCol = 4, 4*s.stripRow
	}
	most := len(s.groups[0].set.tiles) - 1
	brief := t.k <= short && s.shortSet != nil
	if brief {
		most = min(most, len(s.shortSet)-1)
	}
	left := stripRows(c.Rows, most)
	for i := 0; i < c.Rows; left-- {
		rows := stripRows(c.Rows-i, left)
		if pack {
			if used == packed {
				packed, used = s.packA(a, i, p, left), 0
			}
			t.a = unsafe.Pointer(&s.packedA[used*blockK*s.stripRow])
			used++
		} else {
			t.a = unsafe.Pointer(&a.Data[i*a.RowStride+p*a.ColStride])
			switch {
			case a.ColStride != 1:
			case left > 1:
				t.ahead = rows * t.aRow
			case s.after != nil:
				t.ahead = int(uintptr(unsafe.Pointer(s.after)) - uintptr(t.a))
			}
		}
		for g := range s.groups {
			g := &s.groups[g]
			t.panels, t.tail = g.panels, g.tail
			if direct {
				t.b = unsafe.Pointer(&b.Data[p*b.RowStride+j+g.at])
				t.bRow, t.bPanel = 4*b.RowStride, 4*g.set.width
			} else {
				s.packedPanel(g.at, nc)
			}
			t.c = unsafe.Pointer(&c.Data[i*c.RowStride+j+g.at])
			run := g.set.tiles[rows]
			if brief && t.k%shortTurn == 0 && g.set == &s.sets[0] && g.panels > 0 {
				run = s.shortSet[rows]
			}
			run(t)
		}
		t.ahead = 0
		i += rows
	}
}

// columns is a run of columns of a block that one width of tile computes.
type columns struct {
	set          *tileSet
	at           int // first column
	panels, tail int // whole panels, and columns of a partial one
}

// group chooses the tiles for the first of n columns: whole panels of the
// widest, then narrower ones for the rest, the last of them partial.
func (s *simd) group(n int) columns {
	i := 0
	for n < s.sets[i].least {
		i++
	}
	g := columns{set: &s.sets[i], panels: n / s.sets[i].width}
	if g.panels == 0 {
		g.tail = n
	}
	return g
}
