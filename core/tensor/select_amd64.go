package tensor

import "golang.org/x/sys/cpu"

var (
	tiles512 = []tileSet{
		{32, 25, []func(*tile){nil, tile512x1x32, tile512x2x32, tile512x3x32, tile512x4x32, tile512x5x32, tile512x6x32, tile512x7x32, tile512x8x32, tile512x9x32, tile512x10x32, tile512x11x32, tile512x12x32, tile512x13x32, tile512x14x32}},
		{16, 9, []func(*tile){nil, tile512x1x16, tile512x2x16, tile512x3x16, tile512x4x16, tile512x5x16, tile512x6x16, tile512x7x16, tile512x8x16, tile512x9x16, tile512x10x16, tile512x11x16, tile512x12x16, tile512x13x16, tile512x14x16}},
		{8, 1, []func(*tile){nil, tile512x1x8, tile512x2x8, tile512x3x8, tile512x4x8, tile512x5x8, tile512x6x8, tile512x7x8, tile512x8x8, tile512x9x8, tile512x10x8, tile512x11x8, tile512x12x8, tile512x13x8, tile512x14x8}},
	}
	tiles2 = []tileSet{
		{16, 9, []func(*tile){nil, tile2x1x16, tile2x2x16, tile2x3x16, tile2x4x16, tile2x5x16, tile2x6x16}},
		{8, 1, []func(*tile){nil, tile2x1x8, tile2x2x8, tile2x3x8, tile2x4x8, tile2x5x8, tile2x6x8, tile2x7x8, tile2x8x8, tile2x9x8, tile2x10x8, tile2x11x8, tile2x12x8}},
	}
	short512 = []func(*tile){nil, short512x1x32, short512x2x32, short512x3x32, short512x4x32, short512x5x32, short512x6x32, short512x7x32}

	few512   = []fewSet{1: {32, few512x1}, 2: {32, few512x2}, 3: {32, few512x3}}
	few2     = []fewSet{1: {32, few2x1}, 2: {16, few2x2}, 3: {16, few2x3}}
	fewLines = []fewSet{1: {32, fewLines1}, 2: {16, fewLines2}, 3: {16, fewLines3}}

	several512 = []func(*tile){4: several512x4, 5: several512x5, 6: several512x6, 7: several512x7, 8: several512x8}

	rows512 = rowSet{
		add:                add512,
		scale:              scale512,
		sumSquares:         sumSquares512,
		rmsNorm:            rmsNorm512,
		rmsNormBackward:    rmsNormBackward512,
		rowMax:             rowMax512,
		expSum:             expSum512,
		softmaxRow:         softmaxRow512,
		softmaxBackwardRow: softmaxBackwardRow512,
		swiGLU:             swiGLU512,
		swiGLUBackward:     swiGLUBackward512,
		rope:               rope512,
		adamW:              adamW512,
	}
	rows2 = rowSet{
		add:                add2,
		scale:              scale2,
		sumSquares:         sumSquares2,
		rmsNorm:            rmsNorm2,
		rmsNormBackward:    rmsNormBackward2,
		rowMax:             rowMax2,
		expSum:             expSum2,
		softmaxRow:         softmaxRow2,
		softmaxBackwardRow: softmaxBackwardRow2,
		swiGLU:             swiGLU2,
		swiGLUBackward:     swiGLUBackward2,
		rope:               rope2,
		adamW:              adamW2,
	}
)

func hasAVX2() bool {
	return cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasBMI2
}

func hasAVX512() bool {
	x := cpu.X86
	return hasAVX2() && x.HasAVX512F && x.HasAVX512BW && x.HasAVX512VL && x.HasAVX512DQ
}

// machineISAs lists the instruction sets of this machine that there is
// assembly for, best first.
func machineISAs() (sets []instructionSet) {
	if hasAVX512() {
		sets = append(sets, instructionSet{"avx512", func() Kernels { return newSIMD("avx512", 16, tiles512, short512, few512, several512, &rows512) }})
	}
	if hasAVX2() {
		sets = append(sets, instructionSet{"avx2", func() Kernels { return newSIMD("avx2", 8, tiles2, nil, few2, nil, &rows2) }})
	}
	return sets
}

// machineExact lists the same for exactSet.
func machineExact() (sets []exactSet) {
	if hasAVX512() {
		sets = append(sets, exactSet{"avx512", 16, dropout512, uniform512, normal512, int8Row512, nf4Blocks512})
	}
	if hasAVX2() {
		sets = append(sets, exactSet{"avx2", 8, dropout2, uniform2, normal2, int8Row2, nf4Blocks2})
	}
	return sets
}
