package native

import (
	"context"
	"fmt"
	"math"
	"runtime"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/tensor"
)

// generation says how responses are made.
type generation struct {
	maxNew int   // tokens at most
	beams  int   // 1 is greedy decoding
	eos    int32 // ends a response and is not part of it
}

// maxCache bounds what the caches of generated tokens may take: what asks for
// more has a number too many in it.
const maxCache = 16 << 30

// checkGeneration refuses settings that the responses to so many rows cannot be
// made with.
func checkGeneration(e *config.Eval, a *Arch, rows int) error {
	bad := func(hint, format string, args ...any) error {
		return &fault.ConfigError{Detail: fault.Detail{Op: "generate", Reason: fmt.Sprintf(format, args...), Hint: hint}}
	}
	maxNew, beams := e.GenerationMaxNewTokens, e.GenerationNumBeams
	switch {
	case maxNew >= a.MaxPositions:
		return bad("lower it, to leave room for the prompt",
			"eval.generation_max_new_tokens is %d, the model has %d positions", maxNew, a.MaxPositions)
	case beams > a.VocabSize:
		return bad("4 beams are usual, 1 is greedy decoding",
			"eval.generation_num_beams is %d, the model has %d tokens", beams, a.VocabSize)
	}
	batch := max(1, min(e.BatchSize, rows))
	batches := min((rows+batch-1)/batch, runtime.GOMAXPROCS(0)) // at a time
	// Keys and values in float32. The product may be too large for an integer.
	bytes := 8 * float64(batches) * float64(batch) * float64(beams) * float64(maxNew) * float64(a.kv()) * float64(a.Layers)
	hint := "lower eval.batch_size, eval.generation_num_beams or eval.generation_max_new_tokens"
	if bytes > maxCache {
		return bad(hint, "%d batches of %d responses with %d beams and %d tokens take %.0f GiB of memory, above the limit of %d",
			batches, batch, beams, maxNew, bytes/(1<<30), maxCache>>30)
	}
	return checkMemory("making responses", int64(bytes), hint)
}

// promptRoom is how many tokens a prompt can have.
func promptRoom(c *config.Config, a *Arch) int {
	return min(a.MaxPositions-c.Eval.GenerationMaxNewTokens, c.Training.MaxSeqLength)
}

// cache keeps the keys and values of a batch of prompts and of what was
// generated for them. A prompt's are shared by all its beams.
type cache struct {
	prompts []span          // rows of each prompt
	pk, pv  []tensor.Matrix // by layer: prompt rows × kv
	gk, gv  [][]float32     // by layer: hypothesis × step × kv
	spare   []float32       // for reordering
	maxNew  int
	kv      int
}

// generate writes the response of each prompt to out. A response depends on
// its prompt alone, not on the others of the batch.
func (w *worker) generate(ctx context.Context, g generation, prompts, out [][]int32) {
	c, logits := w.prefill(g, prompts)
	searches := make([]*beamSearch, len(prompts))
	for i := range prompts {
		searches[i] = newBeamSearch(g, i*g.beams)
		searches[i].first(w.k, logits.Row(i))
	}
	for step := 0; step < g.maxNew-1 && ctx.Err() == nil; step++ {
		if !w.decode(c, g, searches, step) {
			break
		}
	}
	for i, s := range searches {
		out[i] = s.best()
	}
}

// prefill computes the prompts and returns their cache and the logits of the
// token behind each.
func (w *worker) prefill(g generation, prompts [][]int32) (*cache, tensor.Matrix) {
	arch := &w.m.Arch
	u := unit{}
	for _, p := range prompts {
		// The token behind the prompt is the only output; its value is not used.
		u.seqs = append(u.seqs, sequence{ids: append(p[:len(p):len(p)], 0), first: len(p), label: -1})
		u.rows += len(p)
		u.outputs++
	}
	c := &cache{maxNew: g.maxNew, kv: arch.kv(), spare: make([]float32, g.beams*g.maxNew*arch.kv())}
	y := w.forward(&u, false, dropout{}, func(i int, st *blockState) {
		c.pk = append(c.pk, cloneMatrix(st.k))
		c.pv = append(c.pv, cloneMatrix(st.v))
		c.gk = append(c.gk, make([]float32, len(prompts)*g.beams*g.maxNew*c.kv))
		c.gv = append(c.gv, make([]float32, len(prompts)*g.beams*g.maxNew*c.kv))
	})
	c.prompts = append(c.prompts, w.all...)
	return c, w.logits(y)
}

func cloneMatrix(a tensor.Matrix) tensor.Matrix {
	return tensor.Mat(append([]float32(nil), a.Data...), a.Rows, a.Cols)
}

// logits are those of the tokens behind the rows of y.
func (w *worker) logits(y tensor.Matrix) tensor.Matrix {
	d := w.m.Arch.Hidden
	normed, inv := w.a.mat(y.Rows, d), w.a.take(y.Rows)
	w.k.RMSNorm(normed.Data, inv, y.Data, w.m.Norm.Value, d, float32(w.m.Arch.RMSEps))
	logits := w.a.mat(y.Rows, w.m.Head.Shape[0])
	w.mulT(logits, normed, w.m.Head)
	return logits
}

// row is one hypothesis in a decoding step.
type decodeRow struct {
	search *beamSearch
	beam   int
	prompt int // index of the prompt
}

// decode extends every hypothesis by one token; false when all have ended.
// step counts the tokens each hypothesis has in the cache.
func (w *worker) decode(c *cache, g generation, searches []*beamSearch, step int) bool {
	var rows []decodeRow
	var pos []int32
	for i, s := range searches {
		if s.done {
			continue
		}
		for b := range s.beams {
			rows = append(rows, decodeRow{s, b, i})
			pos = append(pos, int32(c.prompts[i].n+step))
		}
	}
	if len(rows) == 0 {
		return false
	}
	w.a.reset()
	d := w.m.Arch.Hidden
	x := w.a.mat(len(rows), d)
	for i, r := range rows {
		w.m.embedding(x.Row(i), r.search.beams[r.beam].last())
	}
	mark := w.a.mark()
	for l, b := range w.m.Blocks {
		w.decodeBlock(c, l, b, x, rows, pos, step)
		w.a.release(mark)
	}
	logits := w.logits(x)
	for i := 0; i < len(rows); {
		s := rows[i].search
		n := len(s.beams)
		parents := s.extend(w.k, rowsOf(logits, i, n))
		c.reorder(s.slot, parents, step+1)
		i += n
	}
	return true
}

func (w *worker) decodeBlock(c *cache, l int, b *Block, x tensor.Matrix, rows []decodeRow, pos []int32, step int) {
	arch := &w.m.Arch
	n, d := len(rows), arch.Hidden
	eps := float32(arch.RMSEps)
	none := &blockState{}
	inv, normed := w.a.take(n), w.a.mat(n, d)
	w.k.RMSNorm(normed.Data, inv, x.Data, b.Norm1.Value, d, eps)
	q, k, v := w.a.mat(n, arch.attn()), w.a.mat(n, arch.kv()), w.a.mat(n, arch.kv())
	w.project(q, normed, b.Q, tensor.Matrix{}, none)
	w.project(k, normed, b.K, tensor.Matrix{}, none)
	w.project(v, normed, b.V, tensor.Matrix{}, none)
	w.k.Rope(q.Data, arch.Heads, pos, w.m.rope, false)
	w.k.Rope(k.Data, arch.KVHeads, pos, w.m.rope, false)
	for i, r := range rows {
		at := ((r.search.slot+r.beam)*c.maxNew + step) * c.kv
		copy(c.gk[l][at:at+c.kv], k.Row(i))
		copy(c.gv[l][at:at+c.kv], v.Row(i))
	}
	o := w.a.mat(n, arch.attn())
	w.attendCached(c, l, q, o, rows, step)
	h := w.a.mat(n, d)
	w.project(h, o, b.O, tensor.Matrix{}, none)
	w.k.Add(x.Data, h.Data)
	w.k.RMSNorm(normed.Data, inv, x.Data, b.Norm2.Value, d, eps)
	gate, up := w.a.mat(n, arch.FFN), w.a.mat(n, arch.FFN)
	w.project(gate, normed, b.Gate, tensor.Matrix{}, none)
	w.project(up, normed, b.Up, tensor.Matrix{}, none)
	w.k.SwiGLU(gate.Data, gate.Data, up.Data)
	w.project(h, gate, b.Down, tensor.Matrix{}, none)
	w.k.Add(x.Data, h.Data)
}

// attendCached lets each query see its prompt and its own generated tokens.
func (w *worker) attendCached(c *cache, l int, q, o tensor.Matrix, rows []decodeRow, step int) {
	arch := &w.m.Arch
	dim := arch.HeadDim
	for i := 0; i < len(rows); {
		p := c.prompts[rows[i].prompt]
		n, total := len(rows[i].search.beams), p.n+step+1
		for h := range arch.Heads {
			mark := w.a.mark()
			kvh := w.kvHead(h)
			s := w.a.mat(n, total)
			qh, oh := head(q, i, n, h, dim), head(o, i, n, h, dim)
			w.k.Gemm(tensor.Strided(s.Data, n, p.n, total), qh, head(c.pk[l], p.kv, p.n, kvh, dim).T(), false)
			for b := range n {
				gk := c.generated(c.gk[l], rows[i+b], step, kvh, dim)
				w.k.Gemm(tensor.Strided(s.Data[b*total+p.n:], 1, step+1, total), rowsOf(qh, b, 1), gk.T(), false)
			}
			w.k.CausalSoftmax(s, total, w.attentionScale())
			w.k.Gemm(oh, tensor.Strided(s.Data, n, p.n, total), head(c.pv[l], p.kv, p.n, kvh, dim), false)
			for b := range n {
				gv := c.generated(c.gv[l], rows[i+b], step, kvh, dim)
				w.k.Gemm(rowsOf(oh, b, 1), tensor.Strided(s.Data[b*total+p.n:], 1, step+1, total), gv, true)
			}
			w.a.release(mark)
		}
		i += n
	}
}

// generated is one head of what a hypothesis has generated up to step.
func (c *cache) generated(all []float32, r decodeRow, step, h, dim int) tensor.Matrix {
	at := (r.search.slot+r.beam)*c.maxNew*c.kv + h*dim
	return tensor.Strided(all[at:], step+1, dim, c.kv)
}

// reorder makes hypothesis slot+i continue what slot+parents[i] generated in
// n steps.
func (c *cache) reorder(slot int, parents []int, n int) {
	same := true
	for i, p := range parents {
		same = same && i == p
	}
	if same {
		return
	}
	size, used := c.maxNew*c.kv, n*c.kv
	for l := range c.gk {
		for _, all := range [][]float32{c.gk[l], c.gv[l]} {
			for i, p := range parents {
				copy(c.spare[i*size:i*size+used], all[(slot+p)*size:])
			}
			for i := range parents {
				copy(all[(slot+i)*size:(slot+i)*size+used], c.spare[i*size:])
			}
		}
	}
}

// hypothesis is a response under way.
type hypothesis struct {
	ids   []int32
	score float64 // sum of log probabilities
}

func (h *hypothesis) last() int32 { return h.ids[len(h.ids)-1] }

// beamSearch finds a likely response to one prompt: greedy with one beam, else
// beam search as Hugging Face does it with length_penalty 1 and early_stopping
// off: scores are mean log probabilities over the length with the end token.
type beamSearch struct {
	g        generation
	slot     int // of its first hypothesis in the cache
	beams    []hypothesis
	finished []hypothesis // score already divided by the length
	done     bool
}

func newBeamSearch(g generation, slot int) *beamSearch { return &beamSearch{g: g, slot: slot} }

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
// parents says which beam each of them continues.
func (s *beamSearch) extend(k tensor.Kernels, logits tensor.Matrix) (parents []int) {
	top := topCandidates{limit: 2 * s.g.beams}
	for b := range s.beams {
		row := logits.Row(b)
		base := s.beams[b].score - k.LogSumExp(row)
		for t, v := range row {
			top.offer(candidate{b, int32(t), base + float64(v)})
		}
	}
	length := float64(len(s.beams[0].ids) + 1)
	var next []hypothesis
	for rank, c := range top.best {
		if c.token == s.g.eos {
			if rank < s.g.beams {
				s.finish(hypothesis{s.beams[c.parent].ids, c.score / length})
			}
			if s.g.beams == 1 {
				s.done = true
				return nil
			}
			continue
		}
		ids := append(append([]int32(nil), s.beams[c.parent].ids...), c.token)
		next = append(next, hypothesis{ids, c.score})
		parents = append(parents, c.parent)
		if len(next) == s.g.beams {
			break
		}
	}
	s.beams = next
	switch {
	case len(s.finished) == s.g.beams && s.worst() >= top.best[0].score/length:
		s.done = true // no beam can become better than what has ended
	case len(s.beams) == 0:
		s.done = true
	case len(s.beams[0].ids) >= s.g.maxNew:
		s.done = true
		for _, h := range s.beams {
			s.finish(hypothesis{h.ids, h.score / float64(len(h.ids))})
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
	return best.ids
}

// topCandidates keeps the best candidates offered, best first; of equals the
// one offered first.
type topCandidates struct {
	limit int
	best  []candidate
}

func (t *topCandidates) offer(c candidate) {
	n := len(t.best)
	if n == t.limit && c.score <= t.best[n-1].score {
		return
	}
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
