package tensor

import "unsafe"

// A product with few rows, or few columns, may pay when computed transposed,
// cᵀ = bᵀ·aᵀ. Each element is the same chain of multiply-adds either way, so
// the bytes are too.
//
//   - b is a transposed view and c has few rows (y = x·Wᵀ, a step of
//     generation): the roles of bᵀ, read in place, and of aᵀ, a small matrix to
//     pack, save the copy of b, which would cost more than the product.
//   - a is a transposed view and c has at most 8 columns (the gradient of a thin
//     adapter): its long rows fill vectors that c's short rows would not.
const (
	thinRows    = 32
	thinColumns = 8
	// turnedSize values hold the transposed part of c that is worked on.
	turnedSize = 8192
)

// turns tells whether to compute the transposed product.
func turns(m, n, k int, a, b Matrix, acc bool) bool {
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
			s.product(t, partOf(b, 0, j, b.Rows, n).T(), partOf(a, i, 0, m, a.Cols).T(), acc)
			turnBack(part, t)
		}
	}
}

// fewColumns is the number of columns that few1, few2 and few3 take at once.
var fewColumns = [4]int{1: 32, 2: 24, 3: 16}

// isFew tells whether the functions for up to three rows apply.
func isFew(m, n, k int, a, b Matrix) bool {
	return m < len(fewColumns) && n >= fewColumns[m] && k%8 == 0 && a.ColStride == 1 && b.ColStride != 1
}

// fewPanels bounds one call of assembly to about 50 µs, as chunk does.
const fewPanels = 64

// few computes up to three rows with bᵀ in place; columns that fill no panel go
// the usual way.
func (s *simd) few(c, a, b Matrix, acc bool) {
	width := fewColumns[c.Rows]
	whole := c.Cols / width * width
	deep := evenly(a.Cols, blockK, 8)
	for j := 0; j < whole; j += fewPanels * width {
		for p := 0; p < a.Cols; p += deep {
			s.t = tile{
				a: unsafe.Pointer(&a.Data[p]), aRow: 4 * a.RowStride,
				b: unsafe.Pointer(&b.Data[p+j*b.ColStride]), bRow: 4 * b.ColStride, bPanel: 4 * b.ColStride * width,
				c: unsafe.Pointer(&c.Data[j]), cRow: 4 * c.RowStride,
				k: min(deep, a.Cols-p), panels: min(fewPanels, (whole-j)/width), add: 1,
			}
			if p == 0 && !acc {
				s.t.add = 0
			}
			switch c.Rows {
			case 1:
				few1(&s.t)
			case 2:
				few2(&s.t)
			case 3:
				few3(&s.t)
			}
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
