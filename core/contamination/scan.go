package contamination

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"

	"github.com/verifily/verifily-tui/core/dataset"
)

// Rows go to the workers in batches: enough of them that handing over costs
// nothing, few enough bytes that waiting batches are small.
const (
	batchRows  = 256
	batchBytes = 512 << 10
)

// totals counts training rows.
type totals struct {
	rows  int
	exact int // rows whose text is in the evaluation file
	near  int // others that are near to a text there
}

// stopped returns why a context ended, nil when it did not. Errors of the work
// itself come back as they are, the caller's cancellation wrapped.
func stopped(ctx context.Context, path string) error {
	if ctx.Err() == nil {
		return nil
	}
	cause := context.Cause(ctx)
	if cause == context.Canceled || cause == context.DeadlineExceeded {
		return fmt.Errorf("check contamination: %s: %w", path, cause)
	}
	return cause
}

// scanTrain compares every training row with the index.
func scanTrain(ctx context.Context, opt Options, ix *index) (totals, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	batches := make(chan []dataset.Row)
	workers := make([]*worker, opt.Workers)
	var all sync.WaitGroup
	for i := range workers {
		w := newWorker(opt.NGram, ix.plan)
		w.stamp = make([]uint32, len(ix.texts))
		workers[i] = w
		all.Go(func() {
			for batch := range batches {
				for k := range batch {
					if ctx.Err() != nil {
						break // drain what is left
					}
					if err := ix.look(w, &batch[k]); err != nil {
						stop(err)
					}
				}
			}
		})
	}

	var batch []dataset.Row
	bytes := 0
	flush := func() error {
		select {
		case batches <- batch:
			batch, bytes = nil, 0
			return nil
		case <-ctx.Done():
			return stopped(ctx, opt.TrainPath)
		}
	}
	err := dataset.Scan(ctx, opt.TrainPath, opt.Task, func(r dataset.Row) error {
		batch = append(batch, r)
		bytes += length(&r)
		if len(batch) < batchRows && bytes < batchBytes {
			return nil
		}
		return flush()
	})
	if err == nil && len(batch) > 0 {
		err = flush()
	}
	close(batches)
	all.Wait()
	if why := stopped(ctx, opt.TrainPath); why != nil {
		return totals{}, why
	}
	var sum totals
	for _, w := range workers {
		sum.rows += w.rows
		sum.exact += w.exact
		sum.near += w.near
	}
	return sum, err
}

// look compares one training row with the index.
//
// Which pairs are judged depends on what is known already, and so on the order
// of the rows; the outcome does not: an evaluation text ends with its first
// matches by line, and a row counts as near when it is near to any text.
func (ix *index) look(w *worker, r *dataset.Row) error {
	defer ix.enter(w, r)()
	w.rows++
	w.text = appendText(w.text[:0], r)
	sum := sha256.Sum256(w.text)
	same, found := ix.bySum[sum]
	if found {
		w.exact++
		if e := &ix.texts[same]; e.exactLine.Load() > int64(r.Line) {
			if err := ix.record(e, r, sum, 1); err != nil {
				return err
			}
		}
	}
	count := w.signer.sign(w.grams, w.text, w.sig)
	if count == 0 {
		return nil
	}
	if w.epoch++; w.epoch == 0 { // every 2^32 rows
		clear(w.stamp)
		w.epoch = 1
	}
	w.set = w.set[:0]
	counted := found
	for b := range ix.plan.bands {
		i, ok := ix.heads[b][ix.plan.key(w.sig, b)]
		if !ok {
			continue
		}
		for ; i >= 0; i = ix.next[b][i] {
			if w.stamp[i] == w.epoch {
				continue
			}
			w.stamp[i] = w.epoch
			e := &ix.texts[i]
			if found && i == same || counted && !e.wants(r.Line) {
				continue
			}
			similarity, near, err := ix.judge(w, i, count)
			if err != nil {
				return err
			}
			if !near {
				continue
			}
			if !counted {
				counted = true
				w.near++
			}
			if e.wants(r.Line) {
				if err := ix.record(e, r, sum, similarity); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// judge compares the text at hand, which has count n-grams with repetitions,
// with evaluation text i.
func (ix *index) judge(w *worker, i int32, count int) (similarity float64, near bool, err error) {
	e := &ix.texts[i]
	const slack = 1 - 1e-9 // for the rounding of the product
	if float64(count) < ix.threshold*float64(e.size)*slack || agree(w.sig, ix.signature(i)) < ix.plan.matches {
		return 0, false, nil
	}
	if len(w.set) == 0 {
		w.set = w.grams.set(w.text, w.set)
	}
	if float64(e.size) < ix.threshold*float64(len(w.set))*slack {
		return 0, false, nil
	}
	other := e.set
	if other == nil {
		r, err := ix.file.Row(e.row)
		if err != nil {
			return 0, false, err
		}
		w.spare = appendText(w.spare[:0], &r)
		w.other = w.grams.set(w.spare, w.other)
		other = w.other
	}
	similarity, near = jaccard(w.set, other, ix.threshold)
	return similarity, near, nil
}

// record keeps r as the match of e when no earlier line is.
func (ix *index) record(e *evalText, r *dataset.Row, sum [sha256.Size]byte, similarity float64) error {
	id, err := shortID(r)
	if err != nil {
		return err
	}
	m := match{line: r.Line, id: id, sum: sum, similarity: similarity}
	ix.mu.Lock()
	defer ix.mu.Unlock()
	line, known := &e.nearLine, &e.near
	if sum == e.sum {
		line, known = &e.exactLine, &e.exact
	}
	if int64(m.line) < line.Load() {
		*known = m
		line.Store(int64(m.line))
	}
	return nil
}

// maxID is the longest id that is taken over from a row. A longer one may be
// anything, so the row is named by what its content hashes to.
const maxID = 100

// shortID returns the row's id, or the one that belongs to its content.
func shortID(r *dataset.Row) (string, error) {
	if r.ID != "" && len(r.ID) <= maxID {
		return r.ID, nil
	}
	return r.ContentID()
}
