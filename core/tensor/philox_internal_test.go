package tensor

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// The known answers of the authors' Random123 library for philox4x32-10.
func TestPhiloxKnownAnswers(t *testing.T) {
	for _, c := range []struct {
		k0, k1 uint32
		hi, lo uint64
		want   [4]uint32
	}{
		{0, 0, 0, 0, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{0xffffffff, 0xffffffff, 1<<64 - 1, 1<<64 - 1, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{0xa4093822, 0x299f31d0, 0x0370734413198a2e, 0x85a308d3243f6a88, [4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		assert.Equal(t, c.want, Philox{c.k0, c.k1}.Block(c.hi, c.lo))
	}
}
