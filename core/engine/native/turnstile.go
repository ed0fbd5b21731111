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
	next []int  // per stage, the unit whose turn it is
	gone []bool // units that take no more turns
	open bool   // a unit is lost: nobody waits any more
}

func newTurnstile(stages int) *turnstile {
	t := &turnstile{next: make([]int, stages)}
	t.cond = sync.NewCond(&t.mu)
	return t
}

// reset makes it unit 0's turn everywhere, of so many.
func (t *turnstile) reset(units int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.next)
	if cap(t.gone) < units {
		t.gone = make([]bool, units)
	}
	t.gone = t.gone[:units]
	clear(t.gone)
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
	t.pass(stage)
	t.mu.Unlock()
	t.cond.Broadcast()
}

// skip takes a unit that is not computed out of the order, so that the units
// behind it do not wait for ever.
func (t *turnstile) skip(unit int) {
	t.mu.Lock()
	t.gone[unit] = true
	for stage := range t.next {
		t.pass(stage)
	}
	t.mu.Unlock()
	t.cond.Broadcast()
}

// pass moves a stage on past the units that take no turns.
func (t *turnstile) pass(stage int) {
	for t.next[stage] < len(t.gone) && t.gone[t.next[stage]] {
		t.next[stage]++
	}
}
