package native

import (
	"fmt"
	"runtime"
	"runtime/debug"
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
	// lost is called when a piece panics, so that no other waits for it.
	lost func()

	mu    sync.Mutex
	panic *Panic // the first one
}

// Panic is a panic of a worker, told to whoever ran the task.
type Panic struct {
	Value any
	Stack []byte
}

// Error says what happened, without the stack.
func (p *Panic) Error() string { return fmt.Sprintf("the engine failed: %v", p.Value) }

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

// reserve gives every worker n float32 values of scratch memory at once. What is not
// used any more goes back to the system before, so that both never stand in memory.
func (p *pool) reserve(n int) {
	if n <= len(p.workers[0].a.buf) {
		return
	}
	for _, w := range p.workers {
		w.forget()
	}
	debug.FreeOSMemory()
	for _, w := range p.workers {
		w.a.grow(n)
	}
}

func (t *task) work(w *worker) {
	// A weights file that is cut short while it is mapped faults like this; it
	// must end the run, not the program.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer t.recover()
	for {
		i := int(t.next.Add(1)) - 1
		if i >= t.n {
			return
		}
		t.piece(w, i)
	}
}

// recover keeps the first panic and ends the task.
func (t *task) recover() {
	v := recover()
	if v == nil {
		return
	}
	t.next.Store(int64(t.n))
	t.mu.Lock()
	if t.panic == nil {
		t.panic = &Panic{Value: v, Stack: debug.Stack()}
	}
	t.mu.Unlock()
	if t.lost != nil {
		t.lost()
	}
}

// run calls piece for 0..n-1, handing the numbers out in order, and returns
// when all are done. The caller's goroutine works too. When a piece panics,
// the rest is left undone, lost is called (it may be nil), and the error is a
// *Panic.
func (p *pool) run(n int, piece func(w *worker, i int), lost func()) error {
	t := &p.task
	t.next.Store(0)
	t.n, t.piece, t.lost, t.panic = n, piece, lost, nil
	helpers := min(n-1, len(p.start))
	p.done.Add(max(helpers, 0))
	for i := range helpers {
		p.start[i] <- t
	}
	t.work(p.workers[0])
	p.done.Wait()
	if t.panic != nil {
		return t.panic
	}
	return nil
}

// close ends the goroutines.
func (p *pool) close() {
	for _, c := range p.start {
		close(c)
	}
	p.ended.Wait()
}
