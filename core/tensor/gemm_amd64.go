package tensor

import "unsafe"

//go:generate go run ./asm -dir .

// Blocking of the product (Goto and van de Geijn 2008): a block of b, blockK
// rows by blockN columns, is packed into panels and stays in the second-level
// cache (768 KB of at least 1 MB); a strip of a, some rows by blockK columns,
// stays in the first-level cache while it meets every panel.
//
// blockK also fixes the order of the sums: an element of c is the sum over
// blocks of blockK terms, each a chain of fused multiply-adds from zero, added
// one after the other, to c itself if it accumulates. Every tile shape, packed
// or not, of both instruction sets follows that order, so they agree in every
// bit.
const (
	blockK = 256
	blockN = 768
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
	lanes   int       // float32 values in a register
	sets    []tileSet // widest first
	rows    *rowSet
	scratch []float32
	packedA []float32
	packedB []float32
	t       tile
	groups  []columns
}

func newSIMD(isa string, lanes int, sets []tileSet, rows *rowSet) *simd {
	return &simd{isa: isa, lanes: lanes, sets: sets, rows: rows,
		scratch: alignedFloats(sumChunk),
		packedA: alignedFloats(blockK * 16),
		packedB: alignedFloats(blockK * (blockN + 32)),
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
		return
	}
	direct := b.ColStride == 1 && (m <= directRows || n <= s.sets[0].width)
	wide := blockN
	if !direct && m <= 2*(len(s.sets[0].tiles)-1) {
		wide = 2 * s.sets[0].width // two panels stay in the first-level cache
	}
	s.t.cRow = 4 * c.RowStride
	for j := 0; j < n; j += wide {
		nc := min(wide, n-j)
		for p := 0; p < k; p += blockK {
			s.t.k = min(blockK, k-p)
			s.t.add = 1
			if p == 0 && !acc {
				s.t.add = 0
			}
			s.block(c, a, b, j, nc, p, direct)
		}
	}
}

// directRows is the number of rows up to which copying b costs more than
// reading it in place.
const directRows = 24

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
	pack := packsA(a, nc)
	most := len(s.groups[0].set.tiles) - 1
	left := (c.Rows + most - 1) / most
	for i := 0; i < c.Rows; left-- {
		rows := (c.Rows - i + left - 1) / left
		t.a = unsafe.Pointer(&a.Data[i*a.RowStride+p*a.ColStride])
		if pack {
			s.packA(a, rows)
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
			g.set.tiles[rows](t)
		}
		i += rows
	}
}

// packsA tells whether copying a strip of a pays before it meets n columns.
// The copy also gathers what the strides scatter over few sets of the cache,
// the more so the longer they are.
func packsA(a Matrix, n int) bool {
	if a.RowStride != 1 && a.ColStride != 1 {
		return false
	}
	return n >= 96 || n >= 48 && max(a.RowStride, a.ColStride) >= 512
}

// packA copies the strip of a that s.t points to, column by column.
func (s *simd) packA(a Matrix, rows int) {
	t := &s.t
	dst := &s.packedA[0]
	if a.RowStride == 1 {
		copyRows(dst, 64, (*float32)(t.a), 4*a.ColStride, t.k, rows)
	} else {
		transpose(dst, 64, (*float32)(t.a), 4*a.RowStride, rows, t.k)
	}
	t.a, t.aRow, t.aCol = unsafe.Pointer(dst), 4, 64
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

// packB copies columns j..j+nc of the block of b that starts at row p into
// panels of the widest tile. A partial last panel is as narrow as multiples of
// 8 allow.
func (s *simd) packB(b Matrix, j, nc, p int) {
	width := s.sets[0].width
	for at := 0; at < nc; at += width {
		cols := min(width, nc-at)
		row := 4 * ((cols + 7) &^ 7)
		dst := &s.packedB[at*s.t.k]
		src := &b.Data[p*b.RowStride+(j+at)*b.ColStride]
		if b.ColStride == 1 {
			copyRows(dst, row, src, 4*b.RowStride, s.t.k, cols)
		} else {
			transpose(dst, row, src, 4*b.ColStride, cols, s.t.k)
		}
	}
}

// packedPanel points s.t at column at of the nc packed columns.
func (s *simd) packedPanel(at, nc int) {
	width := s.sets[0].width
	first := at &^ (width - 1)
	cols := min(width, (nc-first+7)&^7)
	s.t.b = unsafe.Pointer(&s.packedB[first*s.t.k+at-first])
	s.t.bRow = 4 * cols
	s.t.bPanel = 4 * width * s.t.k
}
