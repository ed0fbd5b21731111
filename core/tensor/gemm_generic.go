package tensor

// The portable product follows the usual blocking (Goto and van de Geijn 2008,
// "Anatomy of High-Performance Matrix Multiplication"): a block of b is packed
// into panels of nr columns, a block of a into panels of mr rows, and a small
// kernel keeps an mr×nr tile of c in registers.
const (
	genericMR = 2
	genericNR = 4
	// 256×4 floats of a panel of b fit in half of a 32 KB first-level cache
	// beside the panel of a.
	genericKC = 256
	genericMC = 64
	genericNC = 512
)

type generic struct {
	packA, packB []float32
}

func (g *generic) ISA() string { return "generic" }

func (g *generic) Gemm(c, a, b Matrix, acc bool) {
	checkGemm(c, a, b)
	m, n, k := c.Rows, c.Cols, a.Cols
	if m == 0 || n == 0 {
		return
	}
	if !acc {
		for i := range m {
			clear(c.Row(i))
		}
	}
	if g.packB == nil {
		g.packA = make([]float32, genericMC*genericKC)
		g.packB = make([]float32, genericKC*genericNC)
	}
	for j0 := 0; j0 < n; j0 += genericNC {
		nc := min(genericNC, n-j0)
		for p0 := 0; p0 < k; p0 += genericKC {
			kc := min(genericKC, k-p0)
			packPanels(g.packB, b.T(), j0, nc, p0, kc, genericNR)
			for i0 := 0; i0 < m; i0 += genericMC {
				mc := min(genericMC, m-i0)
				packPanels(g.packA, a, i0, mc, p0, kc, genericMR)
				g.block(c, i0, mc, j0, nc, kc)
			}
		}
	}
}

// Next implements Kernels: compiled code has no instruction to fetch with.
func (g *generic) Next(b Matrix) {}

// checkGemm panics on shapes that do not fit each other or their data: a
// programming error, since no shape comes from outside unchecked. The assembly
// relies on it.
func checkGemm(c, a, b Matrix) {
	if a.Rows != c.Rows || b.Cols != c.Cols || a.Cols != b.Rows || (c.ColStride != 1 && c.Cols > 1) ||
		!c.fits() || !a.fits() || !b.fits() {
		panic("tensor: shapes of a matrix product do not fit")
	}
}

// fits tells whether every element of the view lies in its data.
func (a Matrix) fits() bool {
	if a.Rows <= 0 || a.Cols <= 0 {
		return a.Rows >= 0 && a.Cols >= 0
	}
	return a.RowStride >= 0 && a.ColStride >= 0 &&
		(a.Rows-1)*a.RowStride+(a.Cols-1)*a.ColStride < len(a.Data)
}

// packPanels copies rows r0..r0+n and columns p0..p0+kc of src to panels of
// width rows each, column by column; missing rows of the last panel are zero.
func packPanels(dst []float32, src Matrix, r0, n, p0, kc, width int) {
	at := 0
	for r := 0; r < n; r += width {
		w := min(width, n-r)
		panel := dst[at : at+kc*width]
		if w < width {
			clear(panel)
		}
		for i := range w {
			s := src.Data[(r0+r+i)*src.RowStride+p0*src.ColStride:]
			for p, at := 0, i; p < kc; p, at = p+1, at+width {
				panel[at] = s[p*src.ColStride]
			}
		}
		at += kc * width
	}
}

func (g *generic) block(c Matrix, i0, mc, j0, nc, kc int) {
	for j := 0; j < nc; j += genericNR {
		bp := g.packB[j*kc:][:kc*genericNR]
		for i := 0; i < mc; i += genericMR {
			ap := g.packA[i*kc:][:kc*genericMR]
			var t [genericMR * genericNR]float32
			genericTile(&t, ap, bp)
			w := min(genericNR, nc-j)
			for r := range min(genericMR, mc-i) {
				row := c.Data[(i0+i+r)*c.RowStride+j0+j:][:w]
				for q := range row {
					row[q] += t[r*genericNR+q]
				}
			}
		}
	}
}

func genericTile(t *[genericMR * genericNR]float32, ap, bp []float32) {
	var c00, c01, c02, c03, c10, c11, c12, c13 float32
	for len(ap) >= genericMR && len(bp) >= genericNR {
		a0, a1 := ap[0], ap[1]
		b0, b1, b2, b3 := bp[0], bp[1], bp[2], bp[3]
		c00 += a0 * b0
		c01 += a0 * b1
		c02 += a0 * b2
		c03 += a0 * b3
		c10 += a1 * b0
		c11 += a1 * b1
		c12 += a1 * b2
		c13 += a1 * b3
		ap, bp = ap[genericMR:], bp[genericNR:]
	}
	*t = [genericMR * genericNR]float32{c00, c01, c02, c03, c10, c11, c12, c13}
}
