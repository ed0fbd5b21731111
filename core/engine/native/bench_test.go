package native

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/tensor"
)

// benchArch is a built-in model with a vocabulary.
func benchArch(b *testing.B, name string, vocab int) Arch {
	b.Helper()
	a, err := builtinArch(name)
	require.NoError(b, err)
	a.VocabSize, a.EOS, a.PAD = vocab, 1, 0
	return a
}

// benchSequences are n random sequences whose last part carries a loss.
func benchSequences(n, length, first, vocab int) []sequence {
	rng := tensor.NewPhilox(11)
	seqs := make([]sequence, n)
	for i := range seqs {
		s := sequence{label: -1, first: first, ordinal: i}
		for t := range length + 1 {
			s.ids = append(s.ids, int32(rng.Block(uint64(i), uint64(t))[0]%uint32(vocab)))
		}
		seqs[i] = s
	}
	return seqs
}

// benchTraining is a training over given sequences, without files.
func benchTraining(b *testing.B, arch Arch, lora *loraSpec, seqs []sequence) *training {
	b.Helper()
	m, err := newModel(arch, seedSource{1}, lora, true)
	require.NoError(b, err)
	m.prepare(len(seqs[0].ids))
	p, err := newPool(m)
	require.NoError(b, err)
	b.Cleanup(p.close)
	t := &training{setup: &setup{model: m, lora: lora, cfg: config.Default()}, pool: p, turn: newTurnstile(2 + len(m.Blocks))}
	t.optim = &optimizer{m: m, maxNorm: 1, weightDecay: 0.01}
	t.units = group(nil, seqs)
	return t
}

// BenchmarkStep is one optimiser step: forward, backward, clipping, AdamW.
func BenchmarkStep(b *testing.B) {
	auto := &loraSpec{r: 16, alpha: 32, dropout: 0.05, modules: []string{"q_proj", "v_proj"}, seed: 1}
	for _, c := range []struct {
		name                         string
		base                         string
		vocab, batch, length, labels int
		lora                         *loraSpec
	}{
		{"demo", "builtin:nano", 420, 32, 18, 8, nil},
		{"micro-full", "builtin:micro", 4096, 8, 128, 128, nil},
		{"micro-lora", "builtin:micro", 4096, 8, 128, 128, auto},
	} {
		b.Run(c.name, func(b *testing.B) {
			seqs := benchSequences(c.batch, c.length, c.length+1-c.labels, c.vocab)
			t := benchTraining(b, benchArch(b, c.base, c.vocab), c.lora, seqs)
			labels := labelCount(seqs)
			for b.Loop() {
				_, err := t.gradients(context.Background(), labels)
				require.NoError(b, err)
				t.optim.step(t.pool, 1, 1e-3, t.optim.gradNorm(t.pool))
			}
			b.ReportMetric(float64(c.batch*c.length*b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

// BenchmarkGenerate is greedy decoding of 16 prompts, 64 tokens each.
func BenchmarkGenerate(b *testing.B) {
	arch := benchArch(b, "builtin:micro", 4096)
	seqs := benchSequences(16, 32, 1, 4096)
	t := benchTraining(b, arch, nil, seqs)
	t.model.prepare(128)
	prompts, out := make([][]int32, len(seqs)), make([][]int32, len(seqs))
	for i := range seqs {
		prompts[i] = seqs[i].ids
	}
	g := generation{maxNew: 64, beams: 1, eos: -1}
	tokens := 0
	for b.Loop() {
		t.pool.run(2, func(w *worker, i int) { w.generate(context.Background(), g, prompts[i*8:(i+1)*8], out[i*8:(i+1)*8]) })
		for _, o := range out {
			tokens += len(o)
		}
	}
	b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
}
