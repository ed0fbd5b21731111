package tensor

import "math/bits"

// Philox draws random numbers from counters: the same key and counter give the
// same numbers, whoever asks and in whatever order. That is what makes dropout
// and shuffling independent of threads and of interruptions. (Salmon et al.
// 2011, "Parallel Random Numbers: As Easy as 1, 2, 3", Philox4x32-10.)
type Philox struct{ k0, k1 uint32 }

// NewPhilox makes a stream for a seed and a list of numbers that name the
// purpose (which module, which step); different lists give unrelated streams.
func NewPhilox(seed int64, purpose ...uint64) Philox {
	h := mix64(uint64(seed))
	for _, p := range purpose {
		h = mix64(h ^ mix64(p+0x9e3779b97f4a7c15))
	}
	return Philox{uint32(h), uint32(h >> 32)}
}

// mix64 is the finaliser of SplitMix64 (Steele, Lea and Flood 2014).
func mix64(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

// Block returns the four 32-bit numbers of counter (hi, lo).
func (p Philox) Block(hi, lo uint64) [4]uint32 {
	c0, c1, c2, c3 := uint32(lo), uint32(lo>>32), uint32(hi), uint32(hi>>32)
	k0, k1 := p.k0, p.k1
	for range 10 {
		h0, l0 := bits.Mul32(0xD2511F53, c0)
		h1, l1 := bits.Mul32(0xCD9E8D57, c2)
		c0, c1, c2, c3 = h1^c1^k0, l1, h0^c3^k1, l0
		k0 += 0x9E3779B9
		k1 += 0xBB67AE85
	}
	return [4]uint32{c0, c1, c2, c3}
}

// Uniform fills dst with numbers in [-bound, bound).
func (p Philox) Uniform(dst []float32, bound float32) { p.uniform(&exact, dst, bound) }

func (p Philox) uniform(e *exactSet, dst []float32, bound float32) {
	done := chunks(len(dst), 4*e.lanes, chunk, func(at, groups int) {
		block := uint64(at / 4)
		e.uniform(&dst[at], groups, p.k0, p.k1, uint32(block), uint32(block>>32), bound)
	})
	var b [4]uint32
	for i := done; i < len(dst); i++ {
		if i&3 == 0 {
			b = p.Block(0, uint64(i>>2))
		}
		dst[i] = (float32(b[i&3]>>8)*(1.0/(1<<23)) - 1) * bound
	}
}

// Normal fills dst with approximately normal numbers of mean 0 and the given
// standard deviation: sums of twelve 16-bit uniforms (Irwin-Hall). The sums
// are integers, so every machine gets the same bits.
func (p Philox) Normal(dst []float32, std float32) { p.normal(&exact, dst, std) }

func (p Philox) normal(e *exactSet, dst []float32, std float32) {
	const mean = 12 * 65535 / 2
	step := std / 65536
	done := chunks(len(dst), e.lanes, chunk/4, func(at, vectors int) {
		e.normal(&dst[at], vectors, p.k0, p.k1, uint32(at), uint32(uint64(at)>>32), step)
	})
	for i := done; i < len(dst); i++ {
		sum := 0
		for j := range uint64(2) {
			b := p.Block(j, uint64(i))
			for _, u := range b[:3] {
				sum += int(u&0xffff) + int(u>>16)
			}
		}
		dst[i] = float32(sum-mean) * step
	}
}

// Perm returns a random permutation of 0..n-1.
func (p Philox) Perm(n int) []int32 {
	perm := make([]int32, n)
	for i := range perm {
		perm[i] = int32(i)
	}
	for i := n - 1; i > 0; i-- {
		b := p.Block(1, uint64(i))
		j, _ := bits.Mul64(uint64(b[0])<<32|uint64(b[1]), uint64(i+1))
		perm[i], perm[j] = perm[j], perm[i]
	}
	return perm
}

// Dropout writes dst = src with each value kept with probability 1-rate and
// then divided by it, or zero. row is the counter of the row, so a row's mask
// does not depend on the rows around it. dst and src may be the same slice.
func (p Philox) Dropout(dst, src []float32, row uint64, rate float32) {
	p.dropout(&exact, dst, src, row, rate)
}

func (p Philox) dropout(e *exactSet, dst, src []float32, row uint64, rate float32) {
	threshold := uint32(float64(rate) * (1 << 32)) // the least word that keeps
	keep := 1 / (1 - rate)
	dst = dst[:len(src)]
	done := chunks(len(src), 4*e.lanes, chunk, func(at, groups int) {
		block := uint64(at / 4)
		e.dropout(&dst[at], &src[at], groups, p.k0, p.k1, uint32(block), uint32(block>>32), uint32(row), uint32(row>>32), threshold, keep)
	})
	for i := done; i < len(src); i += 4 {
		b := p.Block(row, uint64(i>>2))
		for j := i; j < min(i+4, len(src)); j++ {
			if b[j-i] >= threshold {
				dst[j] = src[j] * keep
			} else {
				dst[j] = 0
			}
		}
	}
}
