package contamination

import (
	"math"
	"slices"
	"unicode/utf8"
)

// maxHashes bounds the hash functions of a plan. More make the step from what
// is not found to what is found steeper, and a check slower.
const maxHashes = 96

// Half a thousandth of the pairs at the threshold may be lost by the bands and
// half by the count, which keeps the recall at 0.999 and above.
const loss = 0.0005

// plan holds the parameters of the search. A pair is a candidate when all
// hashes of at least one band agree, and at least matches of all hashes do.
//
// Each hash of two sets with Jaccard similarity s agrees with probability s,
// independently of the others. So a pair is missed by the bands with
// probability (1-s^rows)^bands, and by the count with that of fewer than
// matches successes in hashes trials. Both fall as s grows, hence
//
//	recall(s) >= 1 - (1-t^rows)^bands - P[Binomial(hashes, t) < matches], s >= t
type plan struct {
	bands, rows int
	hashes      int // bands*rows, rounded up to a multiple of four
	matches     int
	recall      float64 // the bound above, at the threshold
}

// newPlan chooses the most rows, which means the fewest candidates, that reach
// the recall within maxHashes; one row is always allowed.
func newPlan(threshold float64) plan {
	p := plan{bands: bandsFor(threshold, 1), rows: 1}
	for rows := 2; rows <= maxHashes; rows++ {
		if bands := bandsFor(threshold, rows); bands*rows <= maxHashes {
			p.bands, p.rows = bands, rows
		}
	}
	p.hashes = (p.bands*p.rows + 3) / 4 * 4
	tail := 0.0
	for p.matches = 0; p.matches < p.hashes; p.matches++ {
		next := tail + binomial(p.hashes, p.matches, threshold)
		if next > loss {
			break
		}
		tail = next
	}
	p.recall = 1 - missed(threshold, p.bands, p.rows) - tail
	return p
}

// missed is the probability that no band agrees.
func missed(s float64, bands, rows int) float64 {
	return math.Pow(1-math.Pow(s, float64(rows)), float64(bands))
}

// bandsFor returns the fewest bands that keep the loss.
func bandsFor(threshold float64, rows int) int {
	agree := math.Pow(threshold, float64(rows))
	bands := 1.0
	if agree < 1 {
		bands = math.Ceil(math.Log(loss) / math.Log1p(-agree))
	}
	return int(min(max(bands, 1), 1<<30))
}

// binomial is the probability of k successes in n trials.
func binomial(n, k int, p float64) float64 {
	if p == 1 {
		if k == n {
			return 1
		}
		return 0
	}
	lg := func(x int) float64 { v, _ := math.Lgamma(float64(x + 1)); return v }
	return math.Exp(lg(n) - lg(k) - lg(n-k) + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
}

// mix is a bijection that spreads nearby numbers over all 64 bits.
func mix(x uint64) uint64 {
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	return x
}

// grams hashes the n-grams of a text, in pieces, so that the text may be long.
type grams struct {
	n    int
	last uint64 // base^n
	buf  [1024]uint64
}

// base is odd and has no pattern; a window of n characters c is hashed as
// mix(sum of c[i]*base^(n-1-i)) modulo 2^64, which for the usual five ASCII
// characters is one value a window.
const base = 0x9e3779b97f4a7c15

func newGrams(n int) *grams {
	g := &grams{n: n, last: 1}
	for range n {
		g.last *= base
	}
	return g
}

// each calls fn with the hashes of the n-grams of a text, in their order and
// as often as they occur.
func (g *grams) each(text []byte, fn func([]uint64)) {
	var h uint64
	filled, chars := 0, 0
	behind := 0 // where the first character of the window begins
	for at := 0; at < len(text); chars++ {
		c, size := rune(text[at]), 1
		if c >= utf8.RuneSelf {
			c, size = utf8.DecodeRune(text[at:])
		}
		at += size
		h = h*base + uint64(c)
		if chars >= g.n {
			old, size := rune(text[behind]), 1
			if old >= utf8.RuneSelf {
				old, size = utf8.DecodeRune(text[behind:])
			}
			behind += size
			h -= uint64(old) * g.last
		}
		if chars < g.n-1 {
			continue
		}
		g.buf[filled] = mix(h)
		if filled++; filled == len(g.buf) {
			fn(g.buf[:])
			filled = 0
		}
	}
	if chars > 0 && chars < g.n {
		g.buf[0], filled = mix(h), 1
	}
	if filled > 0 {
		fn(g.buf[:filled])
	}
}

// set appends the n-grams of a text to dst[:0], sorted, each once.
func (g *grams) set(text []byte, dst []uint64) []uint64 {
	dst = dst[:0]
	g.each(text, func(part []uint64) { dst = append(dst, part...) })
	slices.Sort(dst)
	return slices.Compact(dst)
}

// signer makes MinHash signatures.
type signer struct {
	factors []uint64 // odd; hash i of x is the upper half of factors[i]*x
	least   []uint64
}

func newSigner(hashes int) *signer {
	s := &signer{factors: make([]uint64, hashes), least: make([]uint64, hashes)}
	state := uint64(0x5851f42d4c957f2d)
	for i := range s.factors {
		state += base
		s.factors[i] = mix(mix(state)) | 1
	}
	return s
}

// sign writes the signature of a text to dst and returns how many n-grams it
// has, repetitions included. Without any, dst is left alone.
func (s *signer) sign(g *grams, text []byte, dst []uint32) int {
	for i := range s.least {
		s.least[i] = math.MaxUint64
	}
	n := 0
	g.each(text, func(part []uint64) {
		n += len(part)
		for i := 0; i+4 <= len(s.factors); i += 4 {
			minFour((*[4]uint64)(s.least[i:]), (*[4]uint64)(s.factors[i:]), part)
		}
	})
	if n > 0 {
		for i, v := range s.least {
			dst[i] = uint32(v >> 32)
		}
	}
	return n
}

// minFour is the inner loop: four hash functions at a time stay in registers.
func minFour(least, factors *[4]uint64, part []uint64) {
	f0, f1, f2, f3 := factors[0], factors[1], factors[2], factors[3]
	m0, m1, m2, m3 := least[0], least[1], least[2], least[3]
	for _, x := range part {
		m0 = min(m0, x*f0)
		m1 = min(m1, x*f1)
		m2 = min(m2, x*f2)
		m3 = min(m3, x*f3)
	}
	*least = [4]uint64{m0, m1, m2, m3}
}

// bandKey hashes one band of a signature.
func bandKey(band []uint32) uint64 {
	h := uint64(len(band))
	for _, v := range band {
		h = mix(h*base + uint64(v))
	}
	return h
}

// agree counts the hashes in which two signatures agree.
func agree(a, b []uint32) int {
	n := 0
	b = b[:len(a)]
	for i, v := range a {
		if v == b[i] {
			n++
		}
	}
	return n
}

// jaccard returns the similarity of two sorted sets and whether it is at or
// above the threshold. It gives up, and says no, as soon as that is certain.
func jaccard(a, b []uint64, threshold float64) (float64, bool) {
	if len(a) == 0 || len(b) == 0 {
		return 0, false
	}
	// With m elements of either set unmatched the union is (len(a)+len(b)+m)/2
	// and the rest is shared. One more than computed absorbs the rounding.
	sum := len(a) + len(b)
	most := int((1-threshold)/(1+threshold)*float64(sum)) + 1
	i, j, unmatched := 0, 0, 0
	for i < len(a) && j < len(b) {
		switch x, y := a[i], b[j]; {
		case x == y:
			i++
			j++
			continue
		case x < y:
			i++
		default:
			j++
		}
		if unmatched++; unmatched > most {
			return 0, false
		}
	}
	unmatched += len(a) - i + len(b) - j
	union := (sum + unmatched) / 2
	s := float64(union-unmatched) / float64(union)
	return s, s >= threshold
}
