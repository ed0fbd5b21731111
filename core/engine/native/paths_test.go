package native

import (
	"context"
	"math"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/tensor"
)

// eachISA runs a test once for each instruction set of the machine, the plain
// fallback included.
func eachISA(t *testing.T, test func(t *testing.T)) {
	for _, isa := range tensor.ISAs() {
		t.Run(isa, func(t *testing.T) {
			t.Setenv("VERIFILY_ISA", isa)
			test(t)
		})
	}
}

// TestGradientsOfWideTiles holds the gradient of every tensor of a model that is
// large enough for the fast paths - whole tiles, packed panels, thin adapters,
// several groups - against the plain path, which is checked against float64 on
// its own (TestGradients).
func TestGradientsOfWideTiles(t *testing.T) {
	arch := Arch{VocabSize: 300, Hidden: 128, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 32, FFN: 344,
		MaxPositions: 128, RopeTheta: 10000, RMSEps: 1e-5, Tied: true, EOS: 1, PAD: 0}
	rng := tensor.NewPhilox(17)
	var seqs []sequence
	for i, n := range []int{90, 71, 33, 100} {
		s := sequence{label: -1, first: 5, ordinal: i}
		for at := range n {
			s.ids = append(s.ids, int32(rng.Block(uint64(i), uint64(at))[0]%300))
		}
		seqs = append(seqs, s)
	}
	for _, c := range []struct {
		name string
		lora *loraSpec
	}{
		{"full", nil},
		{"lora", &loraSpec{r: 16, alpha: 32, modules: []string{"q_proj", "v_proj", "down_proj"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			gradients := func() (*Model, float64) {
				m, err := newModel(arch, seedSource{3}, c.lora, true)
				require.NoError(t, err)
				for i, p := range m.adapters {
					tensor.NewPhilox(7, uint64(i)).Normal(p.Value, 0.05)
				}
				s := tinyStepper(t, m)
				m.prepare(arch.MaxPositions)
				loss, err := s.gradients(context.Background(), &batch{seqs: seqs}, labelCount(seqs), dropout{})
				require.NoError(t, err)
				return m, loss
			}
			t.Setenv("VERIFILY_ISA", "generic")
			plain, want := gradients()
			for _, isa := range tensor.ISAs() {
				t.Setenv("VERIFILY_ISA", isa)
				m, loss := gradients()
				assert.InEpsilon(t, want, loss, 1e-6, isa)
				for i, p := range m.trainable {
					assert.Less(t, relativeError(p.Grad, plain.trainable[i].Grad), 1e-5, "%s: %s", isa, p.Name)
				}
			}
		})
	}
}

// relativeError is the length of the difference over that of want.
func relativeError(got, want []float32) float64 {
	var diff, norm float64
	for i, w := range want {
		e := float64(got[i]) - float64(w)
		diff += e * e
		norm += float64(w) * float64(w)
	}
	return math.Sqrt(diff / norm)
}

// TestStepBytes: a few optimiser steps leave the same bytes of weights for any
// number of workers, for each instruction set.
func TestStepBytes(t *testing.T) {
	eachISA(t, func(t *testing.T) {
		var want []float32
		for _, procs := range []int{1, 2, 4} {
			old := runtime.GOMAXPROCS(procs)
			m, err := newModel(tinyArch(true), loudSource{3}, nil, true)
			require.NoError(t, err)
			s := tinyStepper(t, m)
			runtime.GOMAXPROCS(old)
			var seqs []sequence
			for range 8 {
				seqs = append(seqs, tinySequences(0)...)
			}
			for step := range 3 {
				_, err := s.gradients(context.Background(), &batch{seqs: seqs}, labelCount(seqs), dropout{})
				require.NoError(t, err)
				norm, err := s.gradNorm()
				require.NoError(t, err)
				require.NoError(t, s.apply(step+1, 1e-2, norm))
			}
			if want == nil {
				want = slices.Clone(m.flat.value)
			}
			assert.Equal(t, want, m.flat.value, "%d workers", procs)
		}
	})
}
