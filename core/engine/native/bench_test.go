package native

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

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

// benchStepper is a stepper around a new model.
func benchStepper(b *testing.B, arch Arch, src source, lora *loraSpec, longest int) *stepper {
	b.Helper()
	m, err := newModel(arch, src, lora, true)
	require.NoError(b, err)
	m.prepare(longest)
	s, err := newStepper(m, 0.01, 1)
	require.NoError(b, err)
	b.Cleanup(s.pool.close)
	return s
}

// BenchmarkStep is one optimiser step: forward, backward, clipping, AdamW.
func BenchmarkStep(b *testing.B) {
	auto := &loraSpec{r: 16, alpha: 32, dropout: 0.05, modules: []string{"q_proj", "v_proj"}, seed: 1}
	for _, c := range []struct {
		name                         string
		base                         string
		vocab, batch, length, labels int
		lora                         *loraSpec
		src                          source
	}{
		{"demo", "builtin:nano", 420, 32, 18, 8, nil, seedSource{1}},
		{"micro-full", "builtin:micro", 4096, 8, 128, 128, nil, seedSource{1}},
		{"micro-lora", "builtin:micro", 4096, 8, 128, 128, auto, seedSource{1}},
		{"micro-lora-8bit", "builtin:micro", 4096, 8, 128, 128, auto, &quantSource{seedSource{1}, "8bit"}},
		{"micro-lora-4bit", "builtin:micro", 4096, 8, 128, 128, auto, &quantSource{seedSource{1}, "4bit"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			seqs := benchSequences(c.batch, c.length, c.length+1-c.labels, c.vocab)
			s := benchStepper(b, benchArch(b, c.base, c.vocab), c.src, c.lora, c.length+1)
			labels, batch := labelCount(seqs), &batch{seqs: seqs}
			drop := dropout{on: c.lora != nil, seed: 1}
			for b.Loop() {
				_, err := s.gradients(context.Background(), batch, labels, drop)
				require.NoError(b, err)
				norm, err := s.gradNorm()
				require.NoError(b, err)
				require.NoError(b, s.apply(1, 1e-3, norm))
			}
			b.ReportMetric(float64(c.batch*c.length*b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

// BenchmarkGenerate is greedy decoding of 16 prompts, 64 tokens each.
func BenchmarkGenerate(b *testing.B) {
	arch := benchArch(b, "builtin:micro", 4096)
	seqs := benchSequences(16, 32, 1, 4096)
	s := benchStepper(b, arch, seedSource{1}, nil, 128)
	prompts, out := make([][]int32, len(seqs)), make([][]int32, len(seqs))
	for i := range seqs {
		prompts[i] = seqs[i].ids
	}
	g := generation{maxNew: 64, beams: 1, eos: -1}
	tokens := 0
	for b.Loop() {
		s.pool.run(2, func(w *worker, i int) { w.generate(context.Background(), g, prompts[i*8:(i+1)*8], out[i*8:(i+1)*8]) }, nil)
		for _, o := range out {
			tokens += len(o)
		}
	}
	b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
}
