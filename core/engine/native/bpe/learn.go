package bpe

import "context"

// learner merges the most frequent neighbours step by step. Counts are kept
// up to date instead of being taken anew: a step touches only the words in
// which its pair occurs.
type learner struct {
	tokens  []string
	ids     map[string]int32
	special int // ids under it are special tokens
	merges  []merged
	done    map[pair]struct{} // pairs in merges

	words []word
	pairs []pairCount
	index map[pair]int32 // pair to position in pairs
	queue queue[candidate]
	step  int32
	fresh []int32 // pairs that gained occurrences in this step
}

// word is one distinct piece as its tokens so far, and how often it occurs.
type word struct {
	ids   []int32
	count int64
}

// pairCount is how often two neighbours occur, and in which words. A word
// stays listed when a merge elsewhere in it takes the pair away.
type pairCount struct {
	pair  pair
	count int64
	words []int32
	step  int32 // last step in which it was put in fresh
}

// candidate is a pair with the count it had when it was queued.
type candidate struct {
	pair  pair
	count int64
	at    int32 // position in pairs
}

func newLearner(tokens []string, special int, pieces *pieceCounts) *learner {
	l := &learner{
		tokens: tokens, special: special,
		ids:   make(map[string]int32, len(tokens)),
		done:  map[pair]struct{}{},
		index: map[pair]int32{},
		queue: queue[candidate]{before: func(a, b candidate) bool {
			if a.count != b.count {
				return a.count > b.count
			}
			return a.pair < b.pair
		}},
		step: 1,
	}
	for id, token := range tokens {
		l.ids[token] = int32(id)
	}
	var bytes [256]int32
	for id, token := range tokens[special:] {
		bytes[rawBytes(token)[0]] = int32(special + id)
	}
	total := 0
	for _, name := range pieces.names {
		total += len(name)
	}
	all := make([]int32, 0, total)
	l.words = make([]word, len(pieces.names))
	for w, name := range pieces.names {
		start := len(all)
		for i := range len(name) {
			all = append(all, bytes[name[i]])
		}
		l.words[w] = word{all[start:], pieces.count[w]}
		for i := start + 1; i < len(all); i++ {
			l.change(pairOf(all[i-1], all[i]), pieces.count[w], int32(w))
		}
	}
	l.queueFresh()
	return l
}

// learn adds tokens until there are size of them, or no pair occurs at least
// least times.
func (l *learner) learn(ctx context.Context, size int, least int64) error {
	for len(l.tokens) < size && len(l.queue.items) > 0 {
		top := l.queue.pop()
		found := &l.pairs[top.at]
		if top.count != found.count { // queued before some occurrences went
			if found.count > 0 {
				top.count = found.count
				l.queue.push(top)
			}
			continue
		}
		if top.count < least {
			break
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		id, ok := l.token(top.pair)
		if !ok {
			continue
		}
		listed := found.words
		found.words = nil
		for _, w := range listed {
			l.merge(w, top.pair, id)
		}
		l.queueFresh()
	}
	return nil
}

// token is the id of a pair's token, which is new unless other tokens gave
// the same spelling before; not ok for the spelling of a special token.
func (l *learner) token(p pair) (id int32, ok bool) {
	spelling := l.tokens[p.left()] + l.tokens[p.right()]
	id, known := l.ids[spelling]
	if known && int(id) < l.special {
		return 0, false
	}
	if !known {
		id = int32(len(l.tokens))
		l.tokens = append(l.tokens, spelling)
		l.ids[spelling] = id
	}
	// A pair can come back when one of its sides is spelled in a second way;
	// its rule stands already.
	if _, again := l.done[p]; !again {
		l.done[p] = struct{}{}
		l.merges = append(l.merges, merged{p.left(), p.right(), id})
	}
	return id, true
}

// merge joins every occurrence of a pair in a word, left to right, and moves
// the counts of the neighbours that come and go with it.
func (l *learner) merge(w int32, p pair, id int32) {
	left, right := p.left(), p.right()
	ids, n := l.words[w].ids, l.words[w].count
	out := ids[:0]
	for i := 0; i < len(ids); i++ {
		if ids[i] != left || i+1 == len(ids) || ids[i+1] != right {
			out = append(out, ids[i])
			continue
		}
		if len(out) > 0 {
			before := out[len(out)-1]
			l.change(pairOf(before, left), -n, w)
			l.change(pairOf(before, id), n, w)
		}
		if i+2 < len(ids) {
			after := ids[i+2]
			l.change(pairOf(right, after), -n, w)
			l.change(pairOf(id, after), n, w)
		}
		l.change(p, -n, w)
		out = append(out, id)
		i++
	}
	l.words[w].ids = out
}

// change adds n to the count of a pair because of word w.
func (l *learner) change(p pair, n int64, w int32) {
	at, ok := l.index[p]
	if !ok {
		at = int32(len(l.pairs))
		l.index[p] = at
		l.pairs = append(l.pairs, pairCount{pair: p})
	}
	found := &l.pairs[at]
	found.count += n
	if n < 0 {
		return
	}
	if last := len(found.words) - 1; last < 0 || found.words[last] != w {
		found.words = append(found.words, w)
	}
	if found.step != l.step {
		found.step = l.step
		l.fresh = append(l.fresh, at)
	}
}

func (l *learner) queueFresh() {
	for _, at := range l.fresh {
		if found := &l.pairs[at]; found.count > 0 {
			l.queue.push(candidate{found.pair, found.count, at})
		}
	}
	l.fresh = l.fresh[:0]
	l.step++
}
