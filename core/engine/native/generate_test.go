package native

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/tensor"
)

// logProbs are the log probabilities of the token behind ids.
func (r *reference) logProbs(ids []int32) []float64 {
	x := r.states(ids)
	logits := r.matmul(r.norm(x[len(x)-1], r.m.Norm), r.m.Head)
	var sum float64
	for _, l := range logits {
		sum += math.Exp(l)
	}
	for i := range logits {
		logits[i] -= math.Log(sum)
	}
	return logits
}

// search is beam search over whole prefixes, without a cache.
func (r *reference) search(g generation, prompt []int32) []int32 {
	type hyp struct {
		ids   []int32
		score float64
	}
	beams, finished := []hyp{{}}, []hyp{}
	byScore := func(a, b hyp) int { return -int(math.Copysign(1, a.score-b.score)) }
	for len(beams) > 0 && len(beams[0].ids) < g.maxNew {
		var all []hyp
		for _, b := range beams {
			for t, lp := range r.logProbs(slices.Concat(prompt, b.ids)) {
				all = append(all, hyp{append(slices.Clone(b.ids), int32(t)), b.score + lp})
			}
		}
		slices.SortStableFunc(all, byScore)
		all = all[:min(len(all), 2*g.beams)]
		n := float64(len(all[0].ids))
		beams = nil
		for rank, h := range all {
			if h.ids[len(h.ids)-1] != g.eos {
				if len(beams) < g.beams {
					beams = append(beams, h)
				}
			} else if rank < g.beams {
				finished = append(finished, hyp{h.ids[:len(h.ids)-1], h.score / n})
			}
		}
		slices.SortStableFunc(finished, byScore)
		finished = finished[:min(len(finished), g.beams)]
		if len(finished) == g.beams && (g.beams == 1 || finished[g.beams-1].score >= all[0].score/n) {
			return finished[0].ids
		}
	}
	for _, b := range beams {
		finished = append(finished, hyp{b.ids, b.score / float64(len(b.ids))})
	}
	slices.SortStableFunc(finished, byScore)
	return finished[0].ids
}

// TestPromptsOfManyUnits: prompts that are computed a unit at a time get the
// responses that they get alone.
func TestPromptsOfManyUnits(t *testing.T) {
	w := tinyWorker(t)
	r := rand.New(rand.NewPCG(1, 2))
	var prompts [][]int32
	for _, n := range []int{60, 3, 200, 40, 40, 300, 1, 90, 100, 66} {
		p := make([]int32, n)
		for i := range p {
			p[i] = int32(2 + r.IntN(w.m.Arch.VocabSize-2))
		}
		prompts = append(prompts, p)
	}
	for _, beams := range []int{1, 3} {
		g := generation{maxNew: 5, beams: beams, eos: 1}
		together, alone := make([][]int32, len(prompts)), make([][]int32, 1)
		w.generate(context.Background(), g, prompts, together)
		for i := range prompts {
			w.generate(context.Background(), g, prompts[i:i+1], alone)
			assert.Equal(t, alone[0], together[i], "prompt %d, %d beams", i, beams)
		}
	}
}

func tinyWorker(t *testing.T) *worker {
	m, err := newModel(tinyArch(false), loudSource{4}, nil, false)
	require.NoError(t, err)
	m.prepare(400)
	k, err := tensor.New()
	require.NoError(t, err)
	return newWorker(k, m)
}

// TestGenerate compares cached, batched decoding with a search over whole
// prefixes in float64.
func TestGenerate(t *testing.T) {
	for _, beams := range []int{1, 2, 4} {
		t.Run(fmt.Sprintf("beams=%d", beams), func(t *testing.T) {
			w := tinyWorker(t)
			ref := newReference(w.m)
			g := generation{maxNew: 7, beams: beams, eos: 1}
			var prompts [][]int32
			for _, s := range tinySequences(0) {
				prompts = append(prompts, s.ids)
			}
			together := make([][]int32, len(prompts))
			w.generate(context.Background(), g, prompts, together)
			ended := 0
			for i, p := range prompts {
				assert.Equal(t, append([]int32{}, ref.search(g, p)...), append([]int32{}, together[i]...), "prompt %d", i)
				alone := make([][]int32, 1)
				w.generate(context.Background(), g, prompts[i:i+1], alone)
				assert.Equal(t, together[i], alone[0], "prompt %d alone", i)
				if len(together[i]) < g.maxNew {
					ended++
				}
			}
			assert.Positive(t, ended, "some responses end by themselves")
			assert.Less(t, ended, len(prompts), "some are cut by the length")
		})
	}
}
