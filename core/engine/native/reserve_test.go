package native

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestScratchIsMeasuredExactly: what the idle kernels ask for is what real
// ones use, and no unit needs more than the largest.
func TestScratchIsMeasuredExactly(t *testing.T) {
	for _, lora := range []*loraSpec{nil, {r: 3, alpha: 6, dropout: 0.1, modules: []string{"q_proj", "v_proj", "up_proj"}}} {
		for _, labels := range []int{0, 3} {
			arch := tinyArch(labels == 0)
			if labels > 0 {
				arch.Labels = []string{"a", "b", "c"}
			}
			m, err := newModel(arch, loudSource{3}, lora, true)
			require.NoError(t, err)
			seqs := tinySequences(labels)
			st, b := tinyStepper(t, m), &batch{seqs: seqs}
			drop := dropout{on: lora != nil}
			b.divide(len(st.pool.workers))
			want, longest := 0, 0
			for i := range b.units {
				want = max(want, m.scratchFloats(&b.units[i], drop))
				longest = max(longest, b.units[i].longest+1)
			}
			_, err = st.gradients(context.Background(), b, labelCount(seqs), drop)
			require.NoError(t, err)
			got := 0
			for _, w := range st.pool.workers {
				got = max(got, w.a.peak)
			}
			assert.Equal(t, want, got)
			assert.GreaterOrEqual(t, m.scratchFloats(m.largestUnit(longest), drop), want)
		}
	}
}
