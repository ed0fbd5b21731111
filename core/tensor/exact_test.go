package tensor

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sameBits fails at the first value whose bits differ.
func sameBits(t *testing.T, want, got []float32, format string, args ...any) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		if math.Float32bits(want[i]) != math.Float32bits(got[i]) {
			t.Fatalf("%s: value %d of %d is %g, want %g", fmt.Sprintf(format, args...), i, len(want), got[i], want[i])
		}
	}
}

// lengths are those at which whole vectors, groups of them and calls of the
// assembly begin and end.
func lengths(e exactSet) (all []int) {
	for n := range 4*e.lanes + 3 {
		all = append(all, n)
	}
	for _, n := range []int{8 * e.lanes, 64 * e.lanes, chunk, 2 * chunk} {
		all = append(all, n-1, n, n+1, n+5*e.lanes+3)
	}
	return all
}

func TestAssemblyDrawsThePlainBits(t *testing.T) {
	var plain exactSet
	for _, e := range machineExact() {
		for _, n := range lengths(e) {
			p := NewPhilox(11, uint64(n))
			// One value more than asked for shows a write too far; nothing is aligned.
			want, got, src := make([]float32, n+1), make([]float32, n+2)[1:], make([]float32, n+3)[3:]
			try := func(name string, draw func(e *exactSet, dst []float32)) {
				want[n], got[n] = -7, -7
				draw(&plain, want[:n])
				draw(&e, got[:n])
				sameBits(t, want, got, "%s %s of %d", e.isa, name, n)
			}
			try("Normal", func(e *exactSet, dst []float32) { p.normal(e, dst, 0.02) })
			copy(src, want)
			try("Uniform", func(e *exactSet, dst []float32) { p.uniform(e, dst, 0.3) })
			for _, rate := range []float32{0, 0.1, 0.5, 0.999} {
				try("Dropout", func(e *exactSet, dst []float32) { p.dropout(e, dst, src, uint64(n)<<33+7, rate) })
			}
		}
	}
}

// A block's number has 64 bits, and so has a row's.
func TestAssemblyCountsPast32Bits(t *testing.T) {
	p := NewPhilox(12)
	for _, e := range machineExact() {
		dst, n := make([]float32, e.lanes), uint64(5)<<32+16
		e.normal(&dst[0], 1, p.k0, p.k1, uint32(n), uint32(n>>32), 1)
		for i := range dst {
			sum := -12 * 65535 / 2
			for row := range uint64(2) {
				b := p.Block(row, n+uint64(i))
				for _, u := range b[:3] {
					sum += int(u&0xffff) + int(u>>16)
				}
			}
			require.Equal(t, float32(sum), dst[i], "%s value %d", e.isa, i)
		}
	}
}

func TestAssemblyDecodesThePlainBits(t *testing.T) {
	var plain exactSet
	for _, e := range machineExact() {
		for _, shape := range [][2]int{
			{1, 1}, {2, 7}, {3, 8}, {2, 15}, {2, 16}, {5, 17}, {3, 33}, {2, 63}, {9, 64}, {4, 65}, {3, 100}, {4, 128}, {3, 191},
			{300, 64}, {70, 250}, {40, 577}, {2, chunk}, {2, chunk + 9}, {1, 3*chunk + 77},
		} {
			rows, cols := shape[0], shape[1]
			w := make([]float32, rows*cols)
			NewPhilox(13, uint64(cols)).Normal(w, 0.02)
			for i := range w[:cols/2] {
				w[i] = 0 // blocks and a row with little or nothing in them
			}
			for name, decode := range map[string]func(e *exactSet, dst []float32, from, n int){
				"int8": NewInt8(w, rows, cols).decode,
				"nf4":  NewNF4(w, rows, cols).decode,
			} {
				for _, part := range [][2]int{{0, rows}, {rows - 1, 1}, {rows / 2, rows - rows/2}, {rows / 3, 1}, {rows, 0}} {
					from, n := part[0], part[1]
					want, got := make([]float32, n*cols+1), make([]float32, n*cols+2)[1:]
					want[n*cols], got[n*cols] = -7, -7
					decode(&plain, want, from, n)
					decode(&e, got, from, n)
					sameBits(t, want, got, "%s %s %v rows %d+%d", e.isa, name, shape, from, n)
				}
			}
		}
	}
}

// Every integer, every code in either half of a byte and every magnitude.
func TestDecodingKnowsEveryCode(t *testing.T) {
	for _, e := range append(machineExact(), exactSet{}) {
		bytes := &Int8{rows: 1, cols: 256, values: make([]int8, 256), scale: []float32{0.3}}
		nibbles := &NF4{rows: 256, cols: 64, rowBlocks: 1, codes: make([]byte, 256*32), size: make([]int8, 256),
			scale: []float32{0.01}, mean: []float32{2}}
		for i := range 256 {
			bytes.values[i], nibbles.size[i] = int8(i), int8(i)
		}
		for i := range nibbles.codes {
			nibbles.codes[i] = byte(i)
		}
		got := make([]float32, 256*64)
		bytes.decode(&e, got, 0, 1)
		for i, v := range got[:256] {
			require.Equal(t, float32(int8(i))*0.3, v)
		}
		nibbles.decode(&e, got, 0, 256)
		for i, v := range got {
			code := nibbles.codes[i/2] >> (4 * (i & 1)) & 15
			require.Equal(t, nf4Levels[code]*nibbles.magnitude(i/64), v)
		}
	}
}

// The variable of the kernels forces these operations too.
func TestExactSetIsForced(t *testing.T) {
	var names []string
	for _, e := range machineExact() {
		assert.Equal(t, e.isa, exactFor(e.isa).isa)
		names = append(names, e.isa)
	}
	assert.Equal(t, ISAs(), append(names, "generic"), "every instruction set has its own")
	if len(names) > 0 {
		assert.Equal(t, names[0], exactFor("").isa)
	}
	assert.Zero(t, exactFor("generic").lanes)

	if want, forced := os.LookupEnv(ISAVariable); forced && want != "" {
		assert.Equal(t, exactFor(want).isa, exact.isa)
		return
	}
	c := exec.Command(os.Args[0], "-test.run=^TestExactSetIsForced$")
	c.Env = append(os.Environ(), ISAVariable+"=generic")
	out, err := c.CombinedOutput()
	require.NoError(t, err, string(out))
}
