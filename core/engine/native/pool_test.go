package native

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/verifily/verifily-tui/core/tensor"
)

// TestPanicEndsTheStep: a worker that panics ends the step with an error that
// names the cause; nobody waits for its turn, and the pool works on.
func TestPanicEndsTheStep(t *testing.T) {
	defer goleak.VerifyNone(t)
	m, err := newModel(tinyArch(true), loudSource{3}, nil, true)
	require.NoError(t, err)
	m.prepare(64)
	for broken := range 2 {
		s, err := newStepper(m, 0, 0)
		require.NoError(t, err)
		if len(s.pool.workers) < 2 {
			t.Fatal("the test needs two processors")
		}
		w := s.pool.workers[broken]
		whole := w.k
		w.k = failing{whole}
		b := &batch{seqs: tinySequences(0), atLeast: 40}
		for range 20 { // whichever worker gets which unit
			_, err = s.gradients(context.Background(), b, labelCount(b.seqs), dropout{})
			if err != nil {
				break
			}
		}
		var p *Panic
		require.ErrorAs(t, err, &p)
		assert.Contains(t, err.Error(), "broken kernel")
		assert.NotEmpty(t, p.Stack)
		w.k = whole
		_, err = s.gradients(context.Background(), b, labelCount(b.seqs), dropout{})
		require.NoError(t, err)
		s.pool.close()
	}
}

// failing kernels break in the backward pass.
type failing struct{ tensor.Kernels }

func (failing) SwiGLUBackward(gate, up, dy []float32) { panic(errors.New("broken kernel")) }
