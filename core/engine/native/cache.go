package native

import "github.com/verifily/verifily-tui/core/tensor"

// cache keeps the keys and values of a batch of prompts and of what was
// generated for them. Several beams share their prompt's; a single one has its
// own right behind them.
type cache struct {
	prompts []span // rows of each prompt, and of what is generated behind it
	layers  []layerCache
	spare   []float32 // for reordering
	beams   int
	maxNew  int
	kv      int
}

// layerCache is the part of one layer.
type layerCache struct {
	sharedK, sharedV []float32 // row × kv, by prompt
	ownK, ownV       []float32 // hypothesis × step × kv, of several beams
}

// newCache has room for the prompts and what is generated for them, in scratch
// memory.
func (w *worker) newCache(g generation, prompts [][]int32) *cache {
	arch := &w.m.Arch
	c := &cache{beams: g.beams, maxNew: g.maxNew, kv: arch.kv(), layers: make([]layerCache, arch.Layers)}
	rows, own := 0, 0
	for _, p := range prompts {
		c.prompts = append(c.prompts, span{kv: rows, n: len(p)})
		rows += len(p)
		if c.beams == 1 {
			rows += g.maxNew
		} else {
			own += g.beams * g.maxNew
		}
	}
	for i := range c.layers {
		c.layers[i] = layerCache{
			sharedK: w.a.take(rows * c.kv), sharedV: w.a.take(rows * c.kv),
			ownK: w.a.take(own * c.kv), ownV: w.a.take(own * c.kv),
		}
	}
	if c.beams > 1 {
		c.spare = w.a.take(g.beams * g.maxNew * c.kv)
	}
	return c
}

// prompt keeps the keys and values of the prompts from the first on in a layer;
// spans are their rows in k and v.
func (c *cache) prompt(layer, first int, k, v tensor.Matrix, spans []span) {
	l := &c.layers[layer]
	for i, s := range spans {
		p := c.prompts[first+i]
		copy(l.sharedK[p.kv*c.kv:], k.Data[s.kv*c.kv:][:p.n*c.kv])
		copy(l.sharedV[p.kv*c.kv:], v.Data[s.kv*c.kv:][:p.n*c.kv])
	}
}

// put keeps the key and value that a hypothesis has at a step.
func (c *cache) put(layer int, r decodeRow, step int, k, v []float32) {
	l := &c.layers[layer]
	if c.beams == 1 {
		at := (c.prompts[r.prompt].kv + c.prompts[r.prompt].n + step) * c.kv
		copy(l.sharedK[at:], k)
		copy(l.sharedV[at:], v)
		return
	}
	at := ((r.search.slot+r.beam)*c.maxNew + step) * c.kv
	copy(l.ownK[at:], k)
	copy(l.ownV[at:], v)
}

// lengths are the numbers of keys that all hypotheses of a prompt share and
// that each has of its own, at a step.
func (c *cache) lengths(prompt, step int) (shared, own int) {
	if c.beams == 1 {
		return c.prompts[prompt].n + step + 1, 0
	}
	return c.prompts[prompt].n, step + 1
}

// shared is one head of what the hypotheses of a prompt share.
func (c *cache) shared(all []float32, prompt, n, h, dim int) tensor.Matrix {
	return tensor.Strided(all[c.prompts[prompt].kv*c.kv+h*dim:], n, dim, c.kv)
}

// own is one head of what a hypothesis has of its own.
func (c *cache) own(all []float32, r decodeRow, n, h, dim int) tensor.Matrix {
	return tensor.Strided(all[(r.search.slot+r.beam)*c.maxNew*c.kv+h*dim:], n, dim, c.kv)
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
	for _, l := range c.layers {
		for _, all := range [][]float32{l.ownK, l.ownV} {
			for i, p := range parents {
				copy(c.spare[i*size:i*size+used], all[(slot+p)*size:])
			}
			for i := range parents {
				copy(all[(slot+i)*size:(slot+i)*size+used], c.spare[i*size:])
			}
		}
	}
}

// tokens is how many keys the caches of these prompts have room for.
func (g generation) tokens(prompts [][]int32) int {
	n := len(prompts) * g.beams * g.maxNew
	for _, p := range prompts {
		n += len(p)
	}
	return n
}
