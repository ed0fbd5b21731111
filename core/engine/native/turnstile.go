package native

import "sync"

// turnstile lets units pass each stage of the backward pass in their order.
// Gradients are added to one shared buffer inside a stage, so their sums have
// one order at any number of workers, and no worker needs a copy of the
// gradients. Units are handed out in order, so the lowest unfinished one is
// always being worked on and never waits.
type turnstile struct {
	mu   sync.Mutex
	cond *sync.Cond
	next []int // per stage, the unit whose turn it is
	open bool  // a unit is lost: nobody waits any more
}

func newTurnstile(stages int) *turnstile {
	t := &turnstile{next: make([]int, stages)}
	t.cond = sync.NewCond(&t.mu)
	return t
}

// reset makes it unit 0's turn everywhere.
func (t *turnstile) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.next)
	t.open = false
}

// abandon lets everybody through: a unit will never take its turns, and the
// gradients are worthless.
func (t *turnstile) abandon() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open = true
	t.cond.Broadcast()
}

// enter waits until it is the unit's turn at the stage.
func (t *turnstile) enter(stage, unit int) {
	t.mu.Lock()
	for t.next[stage] != unit && !t.open {
		t.cond.Wait()
	}
	t.mu.Unlock()
}

// leave opens the stage for the next unit.
func (t *turnstile) leave(stage int) {
	t.mu.Lock()
	t.next[stage]++
	t.mu.Unlock()
	t.cond.Broadcast()
}

// skip takes a unit that is not computed past every stage, so that the units
// behind it do not wait for ever.
func (t *turnstile) skip(unit int) {
	for stage := range t.next {
		t.enter(stage, unit)
		t.leave(stage)
	}
}
