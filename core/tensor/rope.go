package tensor

import "math"

// RopeTable holds the cosines and sines of rotary position embeddings for the
// positions 0..Positions-1, each with Dim/2 angles.
type RopeTable struct {
	Dim       int
	Positions int
	Cos, Sin  []float32 // Positions × Dim/2
}

// NewRopeTable computes the table for heads of dim features and the base
// theta: angle(pos, i) = pos * theta^(-2i/dim).
func NewRopeTable(dim, positions int, theta float64) *RopeTable {
	half := dim / 2
	t := &RopeTable{Dim: dim, Positions: positions,
		Cos: make([]float32, positions*half), Sin: make([]float32, positions*half)}
	for i := range half {
		freq := math.Pow(theta, -2*float64(i)/float64(dim))
		for p := range positions {
			sin, cos := math.Sincos(float64(p) * freq)
			t.Cos[p*half+i] = float32(cos)
			t.Sin[p*half+i] = float32(sin)
		}
	}
	return t
}
