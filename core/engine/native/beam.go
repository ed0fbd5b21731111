package native

import (
	"math"

	"github.com/verifily/verifily-tui/core/tensor"
)

// hypothesis is a response under way.
type hypothesis struct {
	last  *token  // nil for none
	n     int     // tokens
	score float64 // sum of log probabilities
}

// token is one of a response; hypotheses share what they have in common.
type token struct {
	id     int32
	before *token
}

// ids are the tokens of the response.
func (h *hypothesis) ids() []int32 {
	ids := make([]int32, h.n)
	for i, t := h.n-1, h.last; t != nil; i, t = i-1, t.before {
		ids[i] = t.id
	}
	return ids
}

// beamSearch finds a likely response to one prompt: greedy with one beam, else
// beam search as Hugging Face does it with length_penalty 1 and early_stopping
// off: scores are mean log probabilities over the length with the end token.
type beamSearch struct {
	g        generation
	slot     int // of its first hypothesis in the cache
	beams    []hypothesis
	finished []hypothesis // score already divided by the length
	done     bool

	// Kept from step to step, so that a step makes no garbage.
	top     topCandidates
	spare   []hypothesis
	parents []int
}

func newBeamSearch(g generation, slot int) *beamSearch {
	return &beamSearch{g: g, slot: slot, top: topCandidates{limit: 2 * g.beams}}
}

// candidate is a hypothesis extended by one token.
type candidate struct {
	parent int
	token  int32
	score  float64
}

// first starts the search from the logits behind the prompt.
func (s *beamSearch) first(k tensor.Kernels, logits []float32) {
	s.beams = []hypothesis{{}}
	s.extend(k, tensor.Mat(logits, 1, len(logits)))
}

// extend takes the logits behind each beam and moves to the next set of beams;
// parents says which beam each of them continues, until the next step.
func (s *beamSearch) extend(k tensor.Kernels, logits tensor.Matrix) (parents []int) {
	top := &s.top
	top.best = top.best[:0]
	for b := range s.beams {
		row := logits.Row(b)
		base := s.beams[b].score - k.LogSumExp(row)
		least := top.least()
		for t, v := range row {
			if score := base + float64(v); !(score <= least) { // NaN is kept
				top.offer(candidate{b, int32(t), score})
				least = top.least()
			}
		}
	}
	length := float64(s.beams[0].n + 1)
	next := s.spare[:0]
	parents = s.parents[:0]
	for rank, c := range top.best {
		if c.token == s.g.eos {
			if rank < s.g.beams {
				p := &s.beams[c.parent]
				s.finish(hypothesis{p.last, p.n, c.score / length})
			}
			if s.g.beams == 1 {
				s.done = true
				return nil
			}
			continue
		}
		p := &s.beams[c.parent]
		next = append(next, hypothesis{&token{c.token, p.last}, p.n + 1, c.score})
		parents = append(parents, c.parent)
		if len(next) == s.g.beams {
			break
		}
	}
	s.beams, s.spare, s.parents = next, s.beams, parents
	switch {
	case len(s.finished) == s.g.beams && s.worst() >= top.best[0].score/length:
		s.done = true // no beam can become better than what has ended
	case len(s.beams) == 0:
		s.done = true
	case s.beams[0].n >= s.g.maxNew:
		s.done = true
		for _, h := range s.beams {
			s.finish(hypothesis{h.last, h.n, h.score / float64(h.n)})
		}
	}
	return parents
}

// finish keeps the best responses that have ended, as many as there are beams.
func (s *beamSearch) finish(h hypothesis) {
	if len(s.finished) < s.g.beams {
		s.finished = append(s.finished, h)
		return
	}
	low := 0
	for i := range s.finished {
		if s.finished[i].score < s.finished[low].score {
			low = i
		}
	}
	if h.score > s.finished[low].score {
		s.finished[low] = h
	}
}

func (s *beamSearch) worst() float64 {
	worst := math.Inf(1)
	for _, h := range s.finished {
		worst = min(worst, h.score)
	}
	return worst
}

// best is the most likely response.
func (s *beamSearch) best() []int32 {
	best := hypothesis{score: math.Inf(-1)}
	for _, h := range s.finished {
		if h.score > best.score {
			best = h
		}
	}
	return best.ids()
}

// topCandidates keeps the best candidates offered, best first; of equals the
// one offered first.
type topCandidates struct {
	limit int
	best  []candidate
}

// least is the score that a candidate has to exceed.
func (t *topCandidates) least() float64 {
	if n := len(t.best); n == t.limit {
		return t.best[n-1].score
	}
	return math.Inf(-1)
}

func (t *topCandidates) offer(c candidate) {
	n := len(t.best)
	if n < t.limit {
		t.best = append(t.best, c)
	} else {
		n--
		t.best[n] = c
	}
	for i := n; i > 0 && t.best[i].score > t.best[i-1].score; i-- {
		t.best[i], t.best[i-1] = t.best[i-1], t.best[i]
	}
}
