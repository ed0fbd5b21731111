package tensor

import "unsafe"

// A product with few rows, or few columns, may pay when computed transposed,
// cᵀ = bᵀ·aᵀ. Each element is the same chain of multiply-adds either way, so
// the bytes are too.
//
//   - b is a transposed view and c has few rows (y = x·Wᵀ, a step of
//     generation): the roles of bᵀ, read in place, and of aᵀ, a small matrix to
//     pack, save the copy of b, which would cost more than the product.
//   - c has at most 8 columns (a thin adapter, and its gradient): its transpose
//     has long rows, which fill vectors that the short ones would not.
const (
	thinRows    = 32
	thinColumns = 8
	// turnedSize values hold the transposed part of c that is worked on.
	turnedSize = 8192
)

// turns tells whether to compute the transposed product.
func (s *simd) turns(m, n, k int, a, b Matrix, acc bool) bool {
	if m > 2*thinRows && s.severalFor(n, m, k, b.T(), a.T()) != nil {
		return true
	}
	if a.RowStride == 1 && a.ColStride != 1 && n <= thinColumns && m > 2*thinRows {
		return b.ColStride == 1
	}
	if b.ColStride == 1 || a.ColStride != 1 && a.RowStride != 1 || m > thinRows || m < 4 {
		return false
	}
	// The copies of a and c against the copy of b.
	copies := m*k + m*n
	if acc {
		copies += m * n
	}
	return 4*copies < 3*n*k
}

// turned computes the product part by part in s.turned, transposed.
func (s *simd) turned(c, a, b Matrix, acc bool) {
	rows, cols := c.Rows, turnedSize/((c.Rows+7)&^7)
	if c.Rows > thinRows {
		rows, cols = turnedSize/c.Cols&^7, c.Cols
	}
	for i := 0; i < c.Rows; i += rows {
		for j := 0; j < c.Cols; j += cols {
			m, n := min(rows, c.Rows-i), min(cols, c.Cols-j)
			part := partOf(c, i, j, m, n)
			t := Strided(s.turn, n, m, (m+7)&^7)
			if acc {
				transpose(&t.Data[0], 4*t.RowStride, &part.Data[0], 4*part.RowStride, m, n)
			}
			left, right := partOf(b, 0, j, b.Rows, n).T(), partOf(a, i, 0, m, a.Cols).T()
			if run := s.severalFor(n, m, a.Cols, left, right); run != nil {
				s.several(run, t, left, right, acc)
			} else {
				s.product(t, left, right, acc)
			}
			turnBack(part, t)
		}
	}
}

// fewSet is the function for a number of rows of a with bᵀ in place, and the
// number of columns that it takes at once.
type fewSet struct {
	columns int
	run     func(*tile)
}

// fewFor is the function that applies to a product; it has no columns if none
// does. Rows of bᵀ that are a multiple of 2048 bytes apart share two sets of the
// first-level cache, which hold half of those that run side by side.
func (s *simd) fewFor(m, n, k int, a, b Matrix) fewSet {
	if m >= len(s.fewSets) || k%8 != 0 || a.ColStride != 1 || b.ColStride == 1 {
		return fewSet{}
	}
	few := s.fewSets[m]
	if b.ColStride%512 == 0 && k%16 == 0 && evenly(k, blockK, 8)%16 == 0 {
		few = fewLines[m]
	}
	if n < few.columns {
		return fewSet{}
	}
	return few
}

// fewPanels bounds one call of assembly to about 50 µs, as chunk does.
const fewPanels = 64

// few computes up to three rows with bᵀ in place.
func (s *simd) few(few fewSet, c, a, b Matrix, acc bool) {
	s.inPlace(few.run, few.columns, c, a, b, acc, func(p, _ int) (unsafe.Pointer, int) {
		return unsafe.Pointer(&a.Data[p]), 4 * a.RowStride
	})
}

// severalPanel is the number of columns that the functions for several rows take at
// once.
const severalPanel = 32

// severalFor is the function for four to eight rows of a with bᵀ in place, or nil
// if none applies. For rows of bᵀ that are a multiple of 2048 bytes apart see
// fewFor.
func (s *simd) severalFor(m, n, k int, a, b Matrix) func(*tile) {
	if m >= len(s.severalSet) || n < severalPanel || k%8 != 0 || b.RowStride != 1 || b.ColStride == 1 || b.ColStride%512 == 0 ||
		a.RowStride != 1 && a.ColStride != 1 {
		return nil
	}
	return s.severalSet[m]
}

// several computes up to eight rows with bᵀ in place, and copies what it needs of a,
// 8 values a column.
func (s *simd) several(run func(*tile), c, a, b Matrix, acc bool) {
	s.inPlace(run, severalPanel, c, a, b, acc, func(p, k int) (unsafe.Pointer, int) {
		if a.ColStride == 1 {
			transpose(&s.packedA[0], 32, &a.Data[p], 4*a.RowStride, a.Rows, k)
		} else {
			copyRows(&s.packedA[0], 32, &a.Data[p*a.ColStride], 4*a.ColStride, k, a.Rows)
		}
		return unsafe.Pointer(&s.packedA[0]), 0
	})
}

// inPlace computes c panel by panel, so many columns at once, with bᵀ in place;
// strip gives k columns of a from column p on, and the bytes from row to row.
// Columns that fill no panel go the usual way.
func (s *simd) inPlace(run func(*tile), width int, c, a, b Matrix, acc bool, strip func(p, k int) (unsafe.Pointer, int)) {
	whole := c.Cols / width * width
	deep := evenly(a.Cols, blockK, 8)
	for j := 0; j < whole; j += fewPanels * width {
		for p := 0; p < a.Cols; p += deep {
			k := min(deep, a.Cols-p)
			s.t = tile{
				b: unsafe.Pointer(&b.Data[p+j*b.ColStride]), bRow: 4 * b.ColStride, bPanel: 4 * b.ColStride * width,
				c: unsafe.Pointer(&c.Data[j]), cRow: 4 * c.RowStride,
				k: k, panels: min(fewPanels, (whole-j)/width), add: 1,
			}
			s.t.a, s.t.aRow = strip(p, k)
			if p == 0 && !acc {
				s.t.add = 0
			}
			run(&s.t)
		}
	}
	if whole < c.Cols {
		s.product(partOf(c, 0, whole, c.Rows, c.Cols-whole), a, partOf(b, 0, whole, b.Rows, c.Cols-whole), acc)
	}
}

// partOf is the view of rows×cols elements of a from element (i, j) on.
func partOf(a Matrix, i, j, rows, cols int) Matrix {
	a.Data = a.Data[i*a.RowStride+j*a.ColStride:]
	a.Rows, a.Cols = rows, cols
	return a
}

// turnBack writes tᵀ to c, whose rows have no room for padding.
func turnBack(c, t Matrix) {
	whole := t.Rows &^ 7
	if whole > 0 {
		transpose(&c.Data[0], 4*c.RowStride, &t.Data[0], 4*t.RowStride, whole, t.Cols)
	}
	for j := whole; j < t.Rows; j++ {
		for i, v := range t.Row(j) {
			c.Data[i*c.RowStride+j] = v
		}
	}
}
