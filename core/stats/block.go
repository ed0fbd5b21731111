package stats

// block is 1024: ten bits pick one of its examples, and a column of it takes
// 8 KiB, a fraction of the fastest cache.
const block = 1 << 10

const blockMask = block - 1

// addOnes adds up examples of a block drawn with replacement. The sums that it
// keeps do not wait for each other, and the random numbers stay in a register.
func (s *stream) addOnes(v *[block]float64, draws int, sums *[1]float64) {
	r := *s
	var a, b, c, d, e, f float64
	for ; draws >= 6; draws -= 6 {
		x := r.next()
		a += v[x&blockMask]
		b += v[x>>10&blockMask]
		c += v[x>>20&blockMask]
		d += v[x>>30&blockMask]
		e += v[x>>40&blockMask]
		f += v[x>>50&blockMask]
	}
	if draws > 0 {
		for x := r.next(); draws > 0; draws-- {
			a += v[x&blockMask]
			x >>= 10
		}
	}
	*s = r
	sums[0] += (a + b) + (c + d) + (e + f)
}

// addTwos is addOnes for two columns.
func (s *stream) addTwos(v *[block][2]float64, draws int, sums *[2]float64) {
	r := *s
	var a0, a1, b0, b1, c0, c1 float64
	for ; draws >= 6; draws -= 6 {
		x := r.next()
		p, q, o := &v[x&blockMask], &v[x>>10&blockMask], &v[x>>20&blockMask]
		a0 += p[0]
		a1 += p[1]
		b0 += q[0]
		b1 += q[1]
		c0 += o[0]
		c1 += o[1]
		p, q, o = &v[x>>30&blockMask], &v[x>>40&blockMask], &v[x>>50&blockMask]
		a0 += p[0]
		a1 += p[1]
		b0 += q[0]
		b1 += q[1]
		c0 += o[0]
		c1 += o[1]
	}
	if draws > 0 {
		for x := r.next(); draws > 0; draws-- {
			p := &v[x&blockMask]
			a0 += p[0]
			a1 += p[1]
			x >>= 10
		}
	}
	*s = r
	sums[0] += a0 + b0 + c0
	sums[1] += a1 + b1 + c1
}

// addThrees is addOnes for three columns.
func (s *stream) addThrees(v *[block][3]float64, draws int, sums *[3]float64) {
	r := *s
	var a0, a1, a2, b0, b1, b2 float64
	for ; draws >= 6; draws -= 6 {
		x := r.next()
		p, q := &v[x&blockMask], &v[x>>10&blockMask]
		a0 += p[0]
		a1 += p[1]
		a2 += p[2]
		b0 += q[0]
		b1 += q[1]
		b2 += q[2]
		p, q = &v[x>>20&blockMask], &v[x>>30&blockMask]
		a0 += p[0]
		a1 += p[1]
		a2 += p[2]
		b0 += q[0]
		b1 += q[1]
		b2 += q[2]
		p, q = &v[x>>40&blockMask], &v[x>>50&blockMask]
		a0 += p[0]
		a1 += p[1]
		a2 += p[2]
		b0 += q[0]
		b1 += q[1]
		b2 += q[2]
	}
	if draws > 0 {
		for x := r.next(); draws > 0; draws-- {
			p := &v[x&blockMask]
			a0 += p[0]
			a1 += p[1]
			a2 += p[2]
			x >>= 10
		}
	}
	*s = r
	sums[0] += a0 + b0
	sums[1] += a1 + b1
	sums[2] += a2 + b2
}

// addFours is addOnes for four columns.
func (s *stream) addFours(v *[block][4]float64, draws int, sums *[4]float64) {
	r := *s
	var a, b, c, d float64
	for draws > 0 {
		x := r.next()
		some := min(draws, 6)
		for range some {
			p := &v[x&blockMask]
			a += p[0]
			b += p[1]
			c += p[2]
			d += p[3]
			x >>= 10
		}
		draws -= some
	}
	*s = r
	sums[0] += a
	sums[1] += b
	sums[2] += c
	sums[3] += d
}
