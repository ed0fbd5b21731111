package native

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/engine"
)

// TestScratchIsMeasuredExactly: what the idle kernels ask for is what real
// ones use.
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
			want, meter := 0, newMeter(m)
			for i := range b.units {
				want = max(want, meter.floats(&b.units[i], drop))
			}
			_, err = st.gradients(context.Background(), b, labelCount(seqs), drop)
			require.NoError(t, err)
			got := 0
			for _, w := range st.pool.workers {
				got = max(got, w.a.peak)
			}
			assert.Equal(t, want, got)
		}
	}
}

// TestEvaluationIsMeasuredExactly: the same for losses and for responses, of a model
// without values as of the real one.
func TestEvaluationIsMeasuredExactly(t *testing.T) {
	w := tinyWorker(t)
	for _, beams := range []int{1, 4} {
		gen := generation{maxNew: 9, beams: beams, eos: -1}
		real, shape := newEvalMeter(w.m, gen), newEvalMeter(shapeOf(w.m.Arch), gen)
		check := func(used int, what string) {
			assert.Equal(t, used, real.most(), what)
			assert.Equal(t, used, shape.most(), what)
			w.a = arena{}
			real, shape = newEvalMeter(w.m, gen), newEvalMeter(shapeOf(w.m.Arch), gen)
		}
		var prompts [][]int32
		seqs, lengths := tinySequences(0), []int{300, 5, 120, 200}
		for i, n := range lengths {
			prompts = append(prompts, make([]int32, n))
			for j := range prompts[i] {
				prompts[i][j] = int32(j % w.m.Arch.VocabSize)
			}
		}
		w.generate(context.Background(), gen, prompts, make([][]int32, len(prompts)))
		real.answers(prompts)
		shape.answers(prompts)
		check(w.a.peak, "answers")
		for _, u := range lossUnits(seqs, 1) {
			w.unitLosses(&u, func(int, float64, []float32) {})
			real.losses(u)
			shape.losses(u)
		}
		check(w.a.peak, "losses")
	}
}

// TestReservedIsTheMostThatIsUsed: over a run on rows of very different length,
// with attention that is kept and that is computed again, the worker that needs
// most scratch memory needs what was reserved.
func TestReservedIsTheMostThatIsUsed(t *testing.T) {
	for _, long := range []int{130, 400} {
		t.Run(fmt.Sprint(long), func(t *testing.T) { reservedIsUsed(t, long) })
	}
}

func reservedIsUsed(t *testing.T, long int) {
	dir := t.TempDir()
	rows := map[string]func(text string, i int) string{
		"sft": func(text string, _ int) string { return fmt.Sprintf(`{"instruction":"say","output":%q}`, text) },
		"classification": func(text string, i int) string {
			return fmt.Sprintf(`{"text":%q,"label":"%d"}`, text, i%2)
		},
	}
	for task, row := range rows {
		path := filepath.Join(dir, task+".jsonl")
		var text strings.Builder
		for i := range 90 {
			fmt.Fprintln(&text, row(strings.Repeat("ab ", 1+i%3/2*long+i%7), i))
		}
		require.NoError(t, os.WriteFile(path, []byte(text.String()), 0o644))
		file, err := dataset.Open(context.Background(), path, task)
		require.NoError(t, err)
		defer file.Close()
		c := config.Default()
		c.Task, c.BaseModel, c.LoRA.Enabled = task, "builtin:nano", false
		c.Training.BatchSize, c.Training.GradientAccumulationSteps, c.Training.NumEpochs = 4, 1, 3
		s, err := newSetup(context.Background(), engine.Job{Config: c, Data: &dataset.Resolved{Train: file}})
		require.NoError(t, err)
		run, err := newTraining(s, nil)
		require.NoError(t, err)
		defer run.pool.close()
		l, err := s.train.measure(context.Background())
		require.NoError(t, err)
		require.NoError(t, run.reserve(context.Background(), l))
		require.Equal(t, long < keptAttention, run.model.keepsAttention)
		used := 0
		for ; run.state.Step < run.schedule.total; run.state.Step++ {
			_, labels, err := run.nextBatch()
			require.NoError(t, err)
			for _, w := range run.pool.workers {
				w.k = idle{}
			}
			_, err = run.gradients(context.Background(), &run.batch, labels, run.dropout())
			require.NoError(t, err)
			for _, w := range run.pool.workers {
				used = max(used, w.a.peak)
			}
		}
		assert.Equal(t, used, run.scratch, task)
	}
}
