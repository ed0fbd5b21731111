package native

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestStepAllocatesLittle: after the first step the arena is as large as it
// needs to be, and what a step still allocates is a few closures, whatever the
// size of the batch.
func TestStepAllocatesLittle(t *testing.T) {
	for _, lora := range []*loraSpec{nil, {r: 3, alpha: 6, dropout: 0.1, modules: []string{"q_proj", "down_proj"}}} {
		m, err := newModel(tinyArch(true), loudSource{3}, lora, true)
		require.NoError(t, err)
		tr := tinyTraining(t, m, lora)
		seqs := tinySequences(0)
		tr.units = group(nil, seqs)
		n := labelCount(seqs)
		step := func() {
			_, err := tr.gradients(context.Background(), n)
			require.NoError(t, err)
			tr.optim.step(tr.pool, 1, 1e-3, tr.optim.gradNorm(tr.pool))
		}
		step()
		step()
		assert.Zero(t, testing.AllocsPerRun(10, step))
	}
}
