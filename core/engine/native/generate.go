package native

import (
	"context"
	"fmt"
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

// generate writes the response of each prompt to out. A response depends on
// its prompt alone, not on the others of the batch.
func (w *worker) generate(ctx context.Context, g generation, prompts, out [][]int32) {
	c, searches := w.begun(g, prompts)
	for step := 0; step < g.maxNew-1 && ctx.Err() == nil; step++ {
		if !w.decode(c, searches, step) {
			break
		}
	}
	for i, s := range searches {
		out[i] = s.best()
	}
}

// begun computes the prompts and takes the first token of each response; the cache
// stays in scratch memory.
func (w *worker) begun(g generation, prompts [][]int32) (*cache, []*beamSearch) {
	w.a.reset()
	c := w.newCache(g, prompts)
	defer w.a.release(w.a.mark())
	logits := w.logits(w.prefill(c, prompts))
	searches := make([]*beamSearch, len(prompts))
	for i := range prompts {
		searches[i] = newBeamSearch(g, i*g.beams)
		searches[i].first(w.k, logits.Row(i))
	}
	return c, searches
}

// prefill computes the prompts, a unit of them at a time, fills their cache and
// returns the last state of each.
func (w *worker) prefill(c *cache, prompts [][]int32) tensor.Matrix {
	d := w.m.Arch.Hidden
	states := w.a.mat(len(prompts), d)
	for first, end := 0, 0; first < len(prompts); first = end {
		var u unit
		u, end = promptUnit(prompts, first)
		mark := w.a.mark()
		y := w.forward(&u, false, dropout{}, func(i int, st *blockState) { c.prompt(i, first, st.k, st.v, w.all) })
		copy(states.Data[first*d:], y.Data)
		w.a.release(mark)
	}
	return states
}

// promptUnit makes a unit of as many prompts from the first on as its rows allow,
// at least one; end is the index after the last.
func promptUnit(prompts [][]int32, first int) (u unit, end int) {
	for end = first; end < len(prompts); end++ {
		p := prompts[end]
		if end > first && u.rows+len(p) > maxUnitRows {
			break
		}
		// The token behind the prompt is the only output; its value is not used.
		u.seqs = append(u.seqs, sequence{ids: append(p[:len(p):len(p)], 0), first: len(p), label: -1})
		u.rows += len(p)
		u.outputs++
	}
	return u, end
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

// decodeRow is one hypothesis in a decoding step.
type decodeRow struct {
	search *beamSearch
	beam   int
	prompt int // index of the prompt
}

// decode extends every hypothesis by one token; false when all have ended.
// step counts the tokens each hypothesis has in the cache.
func (w *worker) decode(c *cache, searches []*beamSearch, step int) bool {
	rows, pos := w.hypotheses[:0], w.pos[:0]
	for i, s := range searches {
		if s.done {
			continue
		}
		for b := range s.beams {
			rows = append(rows, decodeRow{s, b, i})
			pos = append(pos, int32(c.prompts[i].n+step))
		}
	}
	w.hypotheses, w.pos = rows, pos
	if len(rows) == 0 {
		return false
	}
	defer w.a.release(w.a.mark())
	d := w.m.Arch.Hidden
	x := w.a.mat(len(rows), d)
	for i, r := range rows {
		w.m.embedding(x.Row(i), r.search.beams[r.beam].last.id)
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
		c.put(l, r, step, k.Row(i), v.Row(i))
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
	for i := 0; i < len(rows); {
		n := len(rows[i].search.beams)
		for h := range w.m.Arch.KVHeads {
			mark := w.a.mark()
			w.attendHead(c, &c.layers[l], rowsOf(q, i, n), rowsOf(o, i, n), rows[i:i+n], step, h)
			w.a.release(mark)
		}
		i += n
	}
}

// attendHead does one head of keys and values, and the group of heads of
// queries that use it, for the hypotheses of one prompt.
func (w *worker) attendHead(c *cache, l *layerCache, q, o tensor.Matrix, rows []decodeRow, step, h int) {
	arch := &w.m.Arch
	dim, n, group := arch.HeadDim, len(rows), arch.Heads/arch.KVHeads
	shared, own := c.lengths(rows[0].prompt, step)
	total := shared + own
	s := w.a.mat(group*n, total) // beam × head of the group × key
	// Heads of one beam, or one head of all beams: whichever is more rows that
	// lie evenly apart.
	ofBeam := func(x tensor.Matrix, b int) tensor.Matrix {
		return tensor.Strided(x.Data[b*x.RowStride+h*group*dim:], group, dim, dim)
	}
	scores := func(b, from, cols int) tensor.Matrix {
		return tensor.Strided(s.Data[b*group*total+from:], group, cols, total)
	}
	ofHead := func(g int) tensor.Matrix { return tensor.Strided(s.Data[g*total:], n, shared, group*total) }
	keys, values := c.shared(l.sharedK, rows[0].prompt, shared, h, dim), c.shared(l.sharedV, rows[0].prompt, shared, h, dim)
	if n == 1 {
		w.k.Gemm(scores(0, 0, shared), ofBeam(q, 0), keys.T(), false)
	} else {
		for g := range group {
			w.k.Gemm(ofHead(g), head(q, 0, n, h*group+g, dim), keys.T(), false)
		}
	}
	if own > 0 {
		for b, r := range rows {
			w.k.Gemm(scores(b, shared, own), ofBeam(q, b), c.own(l.ownK, r, own, h, dim).T(), false)
		}
	}
	w.k.CausalSoftmax(s, total, w.attentionScale())
	if n == 1 {
		w.k.Gemm(ofBeam(o, 0), scores(0, 0, shared), values, false)
	} else {
		for g := range group {
			w.k.Gemm(head(o, 0, n, h*group+g, dim), ofHead(g), values, false)
		}
	}
	if own > 0 {
		for b, r := range rows {
			w.k.Gemm(ofBeam(o, b), scores(b, shared, own), c.own(l.ownV, r, own, h, dim), true)
		}
	}
}
