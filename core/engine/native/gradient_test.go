package native

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/tensor"
)

// tinyArch is small enough for central differences over every parameter, and
// has grouped heads, an odd feed-forward width and several layers.
func tinyArch(tied bool, labels ...string) Arch {
	return Arch{VocabSize: 13, Hidden: 12, Layers: 2, Heads: 3, KVHeads: 1, HeadDim: 4, FFN: 10,
		MaxPositions: 64, RopeTheta: 100, RMSEps: 1e-5, Tied: tied, EOS: 1, PAD: 0, Labels: labels}
}

// loudSource gives weights large enough for gradients to matter everywhere.
type loudSource struct{ seed int64 }

func (s loudSource) tensor(name string, shape []int) ([]float32, error) {
	v, err := seedSource(s).tensor(name, shape)
	noise := make([]float32, len(v))
	tensor.NewPhilox(s.seed, 99, uint64(len(name))).Normal(noise, 0.3)
	for i := range v {
		v[i] += noise[i]
	}
	return v, err
}

func (loudSource) check(string, []int) (int64, error) { return 0, nil }

func (loudSource) release(string) {}

func (loudSource) close() error { return nil }

// tinySequences has more than one unit's worth of rows for groups to matter.
func tinySequences(classes int) []sequence {
	var seqs []sequence
	rng := tensor.NewPhilox(5)
	for i := range 20 {
		b := rng.Block(0, uint64(i))
		s := sequence{label: -1, ordinal: i}
		n := 3 + int(b[0]%9)
		for t := range n {
			s.ids = append(s.ids, int32(rng.Block(uint64(i+1), uint64(t))[0]%13))
		}
		s.first = 1 + int(b[1]%uint32(n-1))
		if classes > 0 {
			s.label = int(b[2]) % classes
		}
		seqs = append(seqs, s)
	}
	return seqs
}

// tinyStepper is a stepper around the given model.
func tinyStepper(t testing.TB, m *Model) *stepper {
	t.Helper()
	m.prepare(64)
	s, err := newStepper(m, 0, 0)
	require.NoError(t, err)
	t.Cleanup(s.pool.close)
	return s
}

func labelCount(seqs []sequence) int {
	n := 0
	for i := range seqs {
		n += seqs[i].outputs()
	}
	return n
}

// TestGradients compares every trained parameter's gradient, as each instruction
// set computes it, with central differences of the float64 reference.
func TestGradients(t *testing.T) {
	all := []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
	for _, c := range []struct {
		name   string
		arch   Arch
		lora   *loraSpec
		labels int
		src    source
	}{
		{"full/sft/tied", tinyArch(true), nil, 0, loudSource{3}},
		{"full/sft/untied", tinyArch(false), nil, 0, loudSource{3}},
		{"full/classification", tinyArch(true, "a", "b", "c"), nil, 3, loudSource{3}},
		{"lora/sft/auto", tinyArch(true), &loraSpec{r: 3, alpha: 6, modules: []string{"q_proj", "v_proj"}}, 0, loudSource{3}},
		{"lora/sft/all", tinyArch(false), &loraSpec{r: 2, alpha: 5, modules: all}, 0, loudSource{3}},
		{"lora/classification", tinyArch(true, "a", "b"), &loraSpec{r: 2, alpha: 4, modules: all}, 2, loudSource{3}},
		{"lora/8bit", tinyArch(true), &loraSpec{r: 2, alpha: 4, modules: all}, 0, &quantSource{loudSource{3}, "8bit"}},
		{"lora/4bit", tinyArch(false), &loraSpec{r: 2, alpha: 4, modules: all}, 0, &quantSource{loudSource{3}, "4bit"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			seqs := tinySequences(c.labels)
			models := map[string]*Model{}
			losses := map[string]float64{}
			for _, isa := range tensor.ISAs() {
				t.Setenv("VERIFILY_ISA", isa)
				m, err := newModel(c.arch, c.src, c.lora, true)
				require.NoError(t, err)
				for i, p := range m.adapters { // B starts at zero, which would hide A
					tensor.NewPhilox(7, uint64(i)).Normal(p.Value, 0.3)
				}
				b := &batch{seqs: seqs, atLeast: 40}
				losses[isa], err = tinyStepper(t, m).gradients(context.Background(), b, labelCount(seqs), dropout{})
				require.Greater(t, b.groups, 1)
				require.NoError(t, err)
				models[isa] = m
			}

			m := models["generic"]
			ref := newReference(m)
			for isa, loss := range losses {
				assert.InEpsilon(t, ref.loss(seqs), loss, 1e-5, isa)
			}
			for i, p := range m.trainable {
				want := ref.gradient(seqs, p)
				for isa, m := range models {
					checkGradient(t, isa+": "+p.Name, m.trainable[i].Grad, want)
				}
			}
		})
	}
}

// gradient is that of one parameter, by central differences.
func (r *reference) gradient(seqs []sequence, p *Param) []float64 {
	const h = 1e-5
	v := r.values[p]
	out := make([]float64, len(v))
	for i, x := range v {
		v[i] = x + h
		up := r.loss(seqs)
		v[i] = x - h
		down := r.loss(seqs)
		v[i] = x
		out[i] = (up - down) / (2 * h)
	}
	return out
}

// checkGradient asserts a relative error under 1e-4 for the whole tensor, and
// for each entry relative to the tensor's largest one.
func checkGradient(t *testing.T, name string, got []float32, want []float64) {
	t.Helper()
	var diff, norm, largest, worst float64
	for i, w := range want {
		e := float64(got[i]) - w
		diff += e * e
		norm += w * w
		largest = max(largest, math.Abs(w))
		worst = max(worst, math.Abs(e))
	}
	require.Positive(t, norm, name)
	assert.Less(t, math.Sqrt(diff/norm), 1e-4, "%s: relative error of the tensor", name)
	assert.Less(t, worst/largest, 1e-4, "%s: worst entry", name)
}

// TestDropoutGradient checks LoRA with dropout: masks are the same forward and
// backward, so a small step along the gradient changes the loss as predicted.
func TestDropoutGradient(t *testing.T) {
	spec := &loraSpec{r: 3, alpha: 6, dropout: 0.4, modules: []string{"q_proj", "v_proj", "down_proj"}}
	m, err := newModel(tinyArch(true), loudSource{3}, spec, true)
	require.NoError(t, err)
	for i, p := range m.adapters {
		tensor.NewPhilox(7, uint64(i)).Normal(p.Value, 0.3)
	}
	seqs := tinySequences(0)
	st, units := tinyStepper(t, m), &batch{seqs: seqs}
	n := labelCount(seqs)
	drop := dropout{on: true, seed: 42}
	before, err := st.gradients(context.Background(), units, n, drop)
	require.NoError(t, err)
	grad := append([]float32(nil), m.flat.grad...)
	var squared float64
	for _, g := range grad {
		squared += float64(g) * float64(g)
	}
	step := 4e-3 / math.Sqrt(squared)
	loss := func(sign float64) float64 {
		for i, g := range grad {
			m.flat.value[i] += float32(sign * step * float64(g))
		}
		l, err := st.gradients(context.Background(), units, n, drop)
		require.NoError(t, err)
		return l
	}
	up := loss(1)
	down := loss(-2)
	assert.InEpsilon(t, 2*step*squared, up-down, 2e-3)

	loss(1)
	drop.step = 1
	other, err := st.gradients(context.Background(), units, n, drop)
	require.NoError(t, err)
	assert.NotEqual(t, fmt.Sprintf("%.6f", before), fmt.Sprintf("%.6f", other), "another step draws other masks")
}

// TestGradientBytes: the gradient and the loss are the same bits however many
// workers share the batch.
func TestGradientBytes(t *testing.T) {
	for _, labels := range []int{0, 2} {
		arch := tinyArch(true)
		if labels > 0 {
			arch.Labels = []string{"a", "b"}
		}
		var seqs []sequence
		for range 8 {
			seqs = append(seqs, tinySequences(labels)...)
		}
		var want []float32
		var loss float64
		for _, procs := range []int{1, 2, 3, 5, 8} {
			old := runtime.GOMAXPROCS(procs)
			m, err := newModel(arch, loudSource{3}, nil, true)
			require.NoError(t, err)
			b := &batch{seqs: seqs}
			got, err := tinyStepper(t, m).gradients(context.Background(), b, labelCount(seqs), dropout{})
			runtime.GOMAXPROCS(old)
			require.NoError(t, err)
			require.GreaterOrEqual(t, len(b.units), min(procs, b.groups)-1)
			if want == nil {
				want, loss = m.flat.grad, got
			}
			assert.Equal(t, want, m.flat.grad, "%d workers", procs)
			assert.Equal(t, loss, got, "%d workers", procs)
		}
	}
}
