package native

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/tensor"
)

// TestKeptAttentionIsTheSame: gradients have the same bits whether the
// probabilities are kept for the backward pass or computed again, over several
// tiles of query rows.
func TestKeptAttentionIsTheSame(t *testing.T) {
	arch := tinyArch(true)
	arch.MaxPositions = 256
	rng := tensor.NewPhilox(7)
	var seqs []sequence
	for i, n := range []int{150, 3, 65, 200} {
		s := sequence{label: -1, first: n / 3, ordinal: i}
		for p := range n {
			s.ids = append(s.ids, int32(rng.Block(uint64(i), uint64(p))[0]%13))
		}
		seqs = append(seqs, s)
	}
	for _, lora := range []*loraSpec{nil, {r: 2, alpha: 4, dropout: 0.1, modules: []string{"q_proj", "v_proj"}}} {
		var want []float32
		for _, keep := range []bool{true, false} {
			m, err := newModel(arch, loudSource{3}, lora, true)
			require.NoError(t, err)
			for i, p := range m.adapters { // B starts at zero, which would hide A
				tensor.NewPhilox(7, uint64(i)).Normal(p.Value, 0.3)
			}
			s := tinyStepper(t, m)
			m.prepare(arch.MaxPositions)
			require.True(t, m.keepsAttention)
			m.keepsAttention = keep
			_, err = s.gradients(context.Background(), &batch{seqs: seqs}, labelCount(seqs), dropout{on: lora != nil})
			require.NoError(t, err)
			if keep {
				want = slices.Clone(m.flat.grad)
				assert.NotZero(t, want[0])
				continue
			}
			assert.Equal(t, want, m.flat.grad)
		}
	}
}
