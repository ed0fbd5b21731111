package native

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestStepAllocatesNothing: after the first steps the arenas are as large as
// they need to be, and everything else is reused.
func TestStepAllocatesNothing(t *testing.T) {
	for _, lora := range []*loraSpec{nil, {r: 3, alpha: 6, dropout: 0.1, modules: []string{"q_proj", "down_proj"}}} {
		m, err := newModel(tinyArch(true), loudSource{3}, lora, true)
		require.NoError(t, err)
		seqs := tinySequences(0)
		st, b := tinyStepper(t, m), &batch{seqs: seqs}
		n := labelCount(seqs)
		drop := dropout{on: lora != nil}
		step := func() {
			if _, err := st.gradients(context.Background(), b, n, drop); err != nil {
				t.Fatal(err)
			}
			norm, err := st.gradNorm()
			if err == nil {
				err = st.apply(1, 1e-3, norm)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		step()
		step()
		assert.Zero(t, testing.AllocsPerRun(10, step))
	}
}
