package safetensors

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// halfValue is the definition of binary16, in float64.
func halfValue(h uint16) float64 {
	sign := 1.0
	if h&0x8000 != 0 {
		sign = -1
	}
	exponent, mantissa := int(h>>10&31), float64(h&0x3ff)
	switch exponent {
	case 0:
		return sign * mantissa * math.Pow(2, -24)
	case 31:
		if mantissa == 0 {
			return sign * math.Inf(1)
		}
		return math.NaN()
	}
	return sign * (1 + mantissa/1024) * math.Pow(2, float64(exponent-15))
}

func TestEveryHalf(t *testing.T) {
	for i := range 1 << 16 {
		h := uint16(i)
		want, got := halfValue(h), fromHalf(h)
		if math.IsNaN(want) {
			require.True(t, got != got, "%#04x", h)
			require.Equal(t, h|0x200, toHalf(got), "%#04x keeps sign and payload, and is quiet", h)
			continue
		}
		require.Equal(t, want, float64(got), "%#04x", h)
		require.Equal(t, math.Signbit(want), math.Signbit(float64(got)), "%#04x", h)
		require.Equal(t, h, toHalf(got), "%#04x", h)
	}
}

// Between two neighbours the nearer wins, and the even one when both are as
// near; a float32 step to either side of the middle decides.
func TestHalfRounding(t *testing.T) {
	for low := uint16(0); low < 0x7bff; low++ {
		middle := float32((halfValue(low) + halfValue(low+1)) / 2)
		even := low + low&1
		require.Equal(t, even, toHalf(middle), "%#04x", low)
		require.Equal(t, low, toHalf(math.Nextafter32(middle, 0)), "%#04x", low)
		require.Equal(t, low+1, toHalf(math.Nextafter32(middle, 1e9)), "%#04x", low)
		require.Equal(t, even|0x8000, toHalf(-middle), "%#04x", low)
	}
}

func TestSpecials(t *testing.T) {
	inf := float32(math.Inf(1))
	nan := math.Float32frombits(0x7f800001) // signalling, payload only in the lowest bit
	tests := []struct {
		name        string
		in          float32
		half, brain uint16
	}{
		{"zero", 0, 0, 0},
		{"negative zero", float32(math.Copysign(0, -1)), 0x8000, 0x8000},
		{"one", 1, 0x3c00, 0x3f80},
		{"infinity", inf, 0x7c00, 0x7f80},
		{"negative infinity", -inf, 0xfc00, 0xff80},
		{"NaN stays NaN", nan, 0x7e00, 0x7fc0},
		{"largest half", 65504, 0x7bff, 0x4780},
		{"just under the end", math.Nextafter32(65520, 0), 0x7bff, 0x4780},
		{"the end rounds to infinity", 65520, 0x7c00, 0x4780},
		{"largest float32", math.MaxFloat32, 0x7c00, 0x7f80},
		{"smallest half", 0x1p-24, 1, 0x3380},
		{"half of it ties to zero", 0x1p-25, 0, 0x3300},
		{"largest subnormal half", 0x1p-14 - 0x1p-24, 0x3ff, 0x3880},
		{"rounds up to a normal", 0x1p-14 - 0x1p-26, 0x400, 0x3880},
		{"smallest float32", math.SmallestNonzeroFloat32, 0, 0},
		{"brain tie to even, down", math.Float32frombits(0x3f808000), 0x3c04, 0x3f80},
		{"brain tie to even, up", math.Float32frombits(0x3f818000), 0x3c0c, 0x3f82},
		{"brain above the tie", math.Float32frombits(0x3f808001), 0x3c04, 0x3f81},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.half, toHalf(test.in), "half %#04x", toHalf(test.in))
			assert.Equal(t, test.brain, toBrain(test.in), "brain %#04x", toBrain(test.in))
		})
	}
}

func TestEveryBrain(t *testing.T) {
	src := make([]byte, 2)
	dst := make([]float32, 1)
	for i := range 1 << 16 {
		src[0], src[1] = byte(i), byte(i>>8)
		decode(BF16, dst, src)
		require.Equal(t, uint32(i)<<16, math.Float32bits(dst[0]))
		if dst[0] == dst[0] {
			require.Equal(t, uint16(i), toBrain(dst[0]))
		}
	}
}
