package bpe

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	// cacheSlots bounds the cache of pieces: with the words of a language in
	// it, nine of ten pieces of a text are found; full, it holds a few MB.
	cacheSlots = 1 << 15
	// longestCached keeps long, rare pieces from taking that memory.
	longestCached = 48
)

// model merges the bytes of a piece into tokens: of all neighbours that a rule
// joins, those of the lowest rank first, leftmost first, until none are left.
type model struct {
	bytes [256]int32       // the token of each byte
	rules map[pair]rule    // rule for two neighbours
	whole map[string]int32 // ignore_merges: pieces that are tokens as they are; else nil

	seed  maphash.Seed
	cache [cacheSlots]atomic.Pointer[cached]
	work  sync.Pool // of *workspace
}

// pair is two neighbouring tokens, comparable by left and then right id.
type pair uint64

func pairOf(left, right int32) pair { return pair(left)<<32 | pair(right) }

func (p pair) left() int32  { return int32(p >> 32) }
func (p pair) right() int32 { return int32(p & 0xffffffff) }

type rule struct{ rank, id int32 }

// cached is a piece and its tokens. It is never changed once it is stored, so
// readers need no lock; a piece with the same slot takes its place.
type cached struct {
	piece string
	ids   []int32
}

// newModel needs a vocabulary with a token for every byte. Special tokens and
// tokens spelled outside the byte alphabet cannot come out of it.
func newModel(v vocab, ignoreMerges bool) *model {
	m := &model{rules: make(map[pair]rule, len(v.merges)), seed: maphash.MakeSeed()}
	m.work.New = func() any { return newWorkspace() }
	if ignoreMerges {
		m.whole = make(map[string]int32, len(v.tokens))
	}
	for id, token := range v.tokens {
		if v.special[id] || !spelled(token) {
			continue
		}
		raw := rawBytes(token)
		if len(raw) == 1 {
			m.bytes[raw[0]] = int32(id)
		}
		if ignoreMerges {
			m.whole[raw] = int32(id)
		}
	}
	for rank, r := range v.merges {
		m.rules[pairOf(r.left, r.right)] = rule{int32(rank), r.id}
	}
	return m
}

// encode appends the tokens of one piece.
func (m *model) encode(dst []int32, piece string) []int32 {
	if len(piece) == 1 {
		return append(dst, m.bytes[piece[0]])
	}
	if len(piece) > longestCached {
		return m.merge(dst, piece)
	}
	slot := &m.cache[maphash.String(m.seed, piece)%cacheSlots]
	if found := slot.Load(); found != nil && found.piece == piece {
		return append(dst, found.ids...)
	}
	start := len(dst)
	dst = m.merge(dst, piece)
	slot.Store(&cached{strings.Clone(piece), slices.Clone(dst[start:])})
	return dst
}

// workspace is what one merge needs: the tokens as a linked list over the
// positions of the piece's bytes, and the candidates by rank and position.
type workspace struct {
	ids        []int32 // token that starts at a position, -1 when joined to the one before
	prev, next []int32 // positions of the neighbours
	candidates queue[uint64]
}

func newWorkspace() *workspace {
	return &workspace{candidates: queue[uint64]{before: func(a, b uint64) bool { return a < b }}}
}

// merge appends the tokens of a piece, in n log n of its length.
func (m *model) merge(dst []int32, piece string) []int32 {
	if id, ok := m.whole[piece]; ok {
		return append(dst, id)
	}
	w := m.work.Get().(*workspace)
	defer m.work.Put(w)
	n := int32(len(piece))
	w.ids, w.prev, w.next = w.ids[:0], w.prev[:0], w.next[:0]
	w.candidates.items = w.candidates.items[:0]
	for i := range n {
		w.ids = append(w.ids, m.bytes[piece[i]])
		w.prev = append(w.prev, i-1)
		w.next = append(w.next, i+1)
	}
	for i := range n - 1 {
		m.propose(w, i, i+1)
	}
	for len(w.candidates.items) > 0 {
		top := w.candidates.pop()
		rank, i := int32(top>>32), int32(top&0xffffffff)
		j := w.next[i]
		if w.ids[i] < 0 || j == n {
			continue
		}
		// The neighbours may have changed since they were proposed; as a rank
		// belongs to one rule, an equal rank means they have not.
		found, ok := m.rules[pairOf(w.ids[i], w.ids[j])]
		if !ok || found.rank != rank {
			continue
		}
		w.ids[i], w.ids[j] = found.id, -1
		w.next[i] = w.next[j]
		if w.next[i] < n {
			w.prev[w.next[i]] = i
			m.propose(w, i, w.next[i])
		}
		if w.prev[i] >= 0 {
			m.propose(w, w.prev[i], i)
		}
	}
	for i := int32(0); i < n; i = w.next[i] {
		dst = append(dst, w.ids[i])
	}
	return dst
}

// propose queues two neighbours if a rule joins them.
func (m *model) propose(w *workspace, left, right int32) {
	if found, ok := m.rules[pairOf(w.ids[left], w.ids[right])]; ok {
		w.candidates.push(uint64(found.rank)<<32 | uint64(left))
	}
}
