package contamination

import (
	"context"
	"crypto/sha256"
	"math"
	"sync"
	"sync/atomic"

	"github.com/verifily/verifily-tui/core/dataset"
)

// largeText is the length from which texts are worked on one at a time, since
// their n-grams take eight times the memory of the text.
const largeText = 1 << 20

// worker holds what one goroutine needs to look at texts, used again and again.
type worker struct {
	grams  *grams
	signer *signer
	text   []byte
	sig    []uint32
	set    []uint64 // n-grams of the text at hand
	other  []uint64 // of an evaluation text that is not kept
	spare  []byte

	// stamp[i] is epoch when evaluation text i was looked at for this row.
	stamp []uint32
	epoch uint32
	totals
}

func newWorker(n int, p plan) *worker {
	return &worker{grams: newGrams(n), signer: newSigner(p.hashes), sig: make([]uint32, p.hashes)}
}

// trim lets go of buffers that a large text has made.
func (w *worker) trim() {
	if cap(w.text) > largeText {
		w.text = nil
	}
	if cap(w.spare) > largeText {
		w.spare = nil
	}
	if cap(w.set) > largeText {
		w.set = nil
	}
	if cap(w.other) > largeText {
		w.other = nil
	}
}

// match is the first training row, by line, that an evaluation text matches.
type match struct {
	line       int
	id         string
	sum        [sha256.Size]byte
	similarity float64
}

// evalText is a distinct text of the evaluation file.
type evalText struct {
	sum  [sha256.Size]byte
	row  int      // the first row that has it
	size int      // n-grams, each counted once
	set  []uint64 // the n-grams, nil when they are not kept

	// Lines of the matches below, for a look without the lock; none is
	// noLine.
	exactLine, nearLine atomic.Int64
	exact, near         match // guarded by index.mu
}

const noLine = math.MaxInt64

// wants tells whether a near match in a line would say more than is known. For
// a text with an exact overlap near ones say nothing.
func (e *evalText) wants(line int) bool {
	return e.nearLine.Load() > int64(line) && e.exactLine.Load() == noLine
}

// index holds the distinct texts of the evaluation file.
type index struct {
	file  *dataset.File
	rows  []int32 // the text of each row
	texts []evalText
	sigs  []uint32 // the signature of text i begins at i*hashes
	bySum map[[sha256.Size]byte]int32
	// Band b holds in heads the first text with a key, and in next the text
	// after each; -1 ends the list.
	heads     []map[uint64]int32
	next      [][]int32
	plan      plan
	threshold float64

	mu    sync.Mutex
	large sync.Mutex // held while a large text is worked on
}

// newIndex opens the evaluation file and indexes it.
func newIndex(ctx context.Context, opt Options, p plan) (*index, error) {
	f, err := dataset.Open(ctx, opt.EvalPath, opt.Task)
	if err != nil {
		return nil, err
	}
	ix := &index{file: f, plan: p, threshold: opt.Threshold, rows: make([]int32, f.Len()), bySum: make(map[[sha256.Size]byte]int32, f.Len())}
	if err := ix.fill(ctx, opt); err != nil {
		_ = f.Close() // opened for reading only
		return nil, err
	}
	return ix, nil
}

func (ix *index) fill(ctx context.Context, opt Options) error {
	sums := make([][sha256.Size]byte, ix.file.Len())
	err := ix.parallel(ctx, opt, len(sums), func(w *worker, i int) error {
		text, unlock, err := ix.text(w, i)
		if err == nil {
			sums[i] = sha256.Sum256(text)
			unlock()
		}
		return err
	})
	if err != nil {
		return err
	}
	var first []int32
	for i, sum := range sums {
		t, known := ix.bySum[sum]
		if !known {
			t = int32(len(first))
			ix.bySum[sum] = t
			first = append(first, int32(i))
		}
		ix.rows[i] = t
	}

	ix.texts = make([]evalText, len(first))
	ix.sigs = make([]uint32, len(first)*ix.plan.hashes)
	var kept atomic.Int64
	err = ix.parallel(ctx, opt, len(first), func(w *worker, i int) error {
		e := &ix.texts[i]
		e.row, e.sum = int(first[i]), sums[first[i]]
		e.exactLine.Store(noLine)
		e.nearLine.Store(noLine)
		text, unlock, err := ix.text(w, e.row)
		if err != nil {
			return err
		}
		defer unlock()
		w.signer.sign(w.grams, text, ix.signature(int32(i)))
		w.set = w.grams.set(text, w.set)
		e.size = len(w.set)
		if kept.Add(int64(8*e.size)) <= opt.keep {
			e.set = append([]uint64(nil), w.set...)
		}
		return nil
	})
	if err == nil {
		ix.link()
	}
	return err
}

// link fills the bands.
func (ix *index) link() {
	for b := range ix.plan.bands {
		heads := make(map[uint64]int32, len(ix.texts))
		next := make([]int32, len(ix.texts))
		for i := range ix.texts {
			if ix.texts[i].size == 0 {
				continue
			}
			key := ix.plan.key(ix.signature(int32(i)), b)
			if head, ok := heads[key]; ok {
				next[i] = head
			} else {
				next[i] = -1
			}
			heads[key] = int32(i)
		}
		ix.heads = append(ix.heads, heads)
		ix.next = append(ix.next, next)
	}
}

func (p plan) key(sig []uint32, band int) uint64 {
	return bandKey(sig[band*p.rows : (band+1)*p.rows])
}

func (ix *index) signature(text int32) []uint32 {
	at := int(text) * ix.plan.hashes
	return ix.sigs[at : at+ix.plan.hashes]
}

// text returns the normalised text of an evaluation row, good until the
// worker's next one and until unlock.
func (ix *index) text(w *worker, row int) (text []byte, unlock func(), err error) {
	r, err := ix.file.Row(row)
	if err != nil {
		return nil, nil, err
	}
	unlock = ix.enter(w, &r)
	w.text = appendText(w.text[:0], &r)
	return w.text, unlock, nil
}

// enter waits until no other large text is worked on when this one is large.
func (ix *index) enter(w *worker, r *dataset.Row) (leave func()) {
	if length(r) < largeText {
		return func() {}
	}
	ix.large.Lock()
	return func() {
		w.trim()
		ix.large.Unlock()
	}
}

// length returns how long the fields of a row are in bytes.
func length(r *dataset.Row) int {
	return len(r.Instruction) + len(r.Input) + len(r.Output) + len(r.Text) + len(r.Label)
}

// parallel calls fn for 0 to n-1, each once, in several goroutines, and waits
// for them. The first error ends the work.
func (ix *index) parallel(ctx context.Context, opt Options, n int, fn func(w *worker, i int) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(opt.Workers, n) {
		all.Go(func() {
			w := newWorker(opt.NGram, ix.plan)
			for {
				i := int(next.Add(1)) - 1
				if i >= n || ctx.Err() != nil {
					return
				}
				if err := fn(w, i); err != nil {
					stop(err)
					return
				}
			}
		})
	}
	all.Wait()
	return stopped(ctx, opt.EvalPath)
}
