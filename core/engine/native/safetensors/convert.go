package safetensors

import (
	"encoding/binary"
	"math"
)

// hostLittleEndian says whether this machine's float32 has the byte order of
// the format, so that a view of the file can stand for the numbers.
var hostLittleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// decode converts little-endian elements of a floating dtype to float32.
// src holds exactly len(dst) elements.
func decode(dtype DType, dst []float32, src []byte) {
	le := binary.LittleEndian
	switch dtype {
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(le.Uint32(src[4*i:]))
		}
	case BF16:
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(le.Uint16(src[2*i:])) << 16)
		}
	case F16:
		for i := range dst {
			dst[i] = fromHalf(le.Uint16(src[2*i:]))
		}
	case F64:
		for i := range dst {
			dst[i] = float32(math.Float64frombits(le.Uint64(src[8*i:])))
		}
	}
}

// encode appends float32 elements as F32, F16 or BF16, rounding to nearest,
// ties to even.
func encode(dtype DType, dst []byte, src []float32) []byte {
	le := binary.LittleEndian
	switch dtype {
	case F32:
		for _, v := range src {
			dst = le.AppendUint32(dst, math.Float32bits(v))
		}
	case BF16:
		for _, v := range src {
			dst = le.AppendUint16(dst, toBrain(v))
		}
	case F16:
		for _, v := range src {
			dst = le.AppendUint16(dst, toHalf(v))
		}
	}
	return dst
}

// fromHalf converts IEEE 754 binary16 (1 sign, 5 exponent, 10 mantissa bits).
func fromHalf(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exponent := uint32(h>>10) & 0x1f
	mantissa := uint32(h & 0x3ff)
	switch exponent {
	case 0: // zero or subnormal: mantissa * 2^-24, a normal float32
		return math.Float32frombits(sign | math.Float32bits(float32(mantissa)*0x1p-24))
	case 31: // infinity or NaN, the payload kept
		return math.Float32frombits(sign | 0x7f800000 | mantissa<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | mantissa<<13)
}

// toHalf rounds to binary16; what is too large becomes infinity, NaN stays
// NaN (quiet, upper payload bits kept).
func toHalf(v float32) uint16 {
	bits := math.Float32bits(v)
	sign := uint16(bits>>16) & 0x8000
	size := bits & 0x7fffffff
	switch {
	case size > 0x7f800000:
		return sign | 0x7e00 | uint16(size>>13)&0x3ff
	case size >= 0x477ff000: // from 65520 up rounds past the largest half, 65504
		return sign | 0x7c00
	case size < 0x38800000: // under 2^-14: a multiple of 2^-24, exact in float64
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(size))*0x1p24))
	}
	size -= (127 - 15) << 23
	size += 0xfff + size>>13&1 // a carry into the exponent is the right result
	return sign | uint16(size>>13)
}

// toBrain rounds to bfloat16, with the same rules.
func toBrain(v float32) uint16 {
	bits := math.Float32bits(v)
	if bits&0x7fffffff > 0x7f800000 {
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}
