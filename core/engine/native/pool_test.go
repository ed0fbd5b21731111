package native

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
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

// TestEndedStepEnds: a step whose context ends before any of its units says so,
// whichever units are being computed then, and the next step is as good as ever.
func TestEndedStepEnds(t *testing.T) {
	for _, lora := range []*loraSpec{nil, {r: 2, alpha: 4, modules: []string{"q_proj", "v_proj"}}} {
		m, err := newModel(tinyArch(true), loudSource{3}, lora, true)
		require.NoError(t, err)
		s := tinyStepper(t, m)
		b := &batch{atLeast: 10}
		for range 15 {
			b.seqs = append(b.seqs, tinySequences(0)...)
		}
		b.divide(len(s.pool.workers))
		units := len(b.units)
		require.Greater(t, units, len(s.pool.workers))
		want, err := s.gradients(context.Background(), b, labelCount(b.seqs), dropout{})
		require.NoError(t, err)
		grad := slices.Clone(m.flat.grad)
		for begun := range units {
			for range 20 {
				ctx := &endsAfter{Context: context.Background()}
				ctx.left.Store(int64(begun))
				_, err := s.gradients(ctx, b, labelCount(b.seqs), dropout{})
				require.ErrorIs(t, err, context.Canceled)
			}
		}
		got, err := s.gradients(context.Background(), b, labelCount(b.seqs), dropout{})
		require.NoError(t, err)
		assert.Equal(t, want, got)
		assert.Equal(t, grad, m.flat.grad)
	}
}

// endsAfter is a context that has ended when it is asked once more than so often.
type endsAfter struct {
	context.Context
	left atomic.Int64
}

func (c *endsAfter) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// failing kernels break in the backward pass.
type failing struct{ tensor.Kernels }

func (failing) SwiGLUBackward(gate, up, dy []float32) { panic(errors.New("broken kernel")) }
