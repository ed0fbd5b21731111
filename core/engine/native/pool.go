package native

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/verifily/verifily-tui/core/tensor"
)

// pool runs work on one goroutine a processor, each with its own kernels and
// scratch memory. Which worker takes which piece is left to chance; the work
// is laid out so that it makes no difference.
type pool struct {
	workers []*worker
	start   []chan *task
	task    task           // the one at hand
	done    sync.WaitGroup // its workers
	ended   sync.WaitGroup // goroutines
}

type task struct {
	next  atomic.Int64
	n     int
	piece func(w *worker, i int)
}

// newPool starts one worker for each processor that Go may use.
func newPool(m *Model) (*pool, error) {
	p := &pool{}
	for range runtime.GOMAXPROCS(0) {
		k, err := tensor.New()
		if err != nil {
			return nil, err
		}
		p.workers = append(p.workers, newWorker(k, m))
	}
	for _, w := range p.workers[1:] {
		start := make(chan *task)
		p.start = append(p.start, start)
		p.ended.Go(func() {
			for t := range start {
				t.work(w)
				p.done.Done()
			}
		})
	}
	return p, nil
}

func (t *task) work(w *worker) {
	for {
		i := int(t.next.Add(1)) - 1
		if i >= t.n {
			return
		}
		t.piece(w, i)
	}
}

// run calls piece for 0..n-1, handing the numbers out in order, and returns
// when all are done. The caller's goroutine works too.
func (p *pool) run(n int, piece func(w *worker, i int)) {
	t := &p.task
	t.next.Store(0)
	t.n, t.piece = n, piece
	helpers := min(n-1, len(p.start))
	p.done.Add(max(helpers, 0))
	for i := range helpers {
		p.start[i] <- t
	}
	t.work(p.workers[0])
	p.done.Wait()
}

// close ends the goroutines.
func (p *pool) close() {
	for _, c := range p.start {
		close(c)
	}
	p.ended.Wait()
}
