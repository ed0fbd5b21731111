package engine

import (
	"context"
	"sync"
)

// Control steers a run from another goroutine. The zero value lets it run.
type Control struct {
	mu         sync.Mutex
	resume     chan struct{} // not nil while paused; closed by Resume
	checkpoint bool
}

// Pause holds the run before its next step.
func (c *Control) Pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.resume == nil {
		c.resume = make(chan struct{})
	}
}

// Resume lets a paused run go on.
func (c *Control) Resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.resume != nil {
		close(c.resume)
		c.resume = nil
	}
}

// Paused tells whether the run is held.
func (c *Control) Paused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resume != nil
}

// Checkpoint asks for a checkpoint after the current step.
func (c *Control) Checkpoint() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checkpoint = true
}

// TakeCheckpoint tells whether a checkpoint was asked for, and forgets it.
func (c *Control) TakeCheckpoint() bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := c.checkpoint
	c.checkpoint = false
	return asked
}

// Wait blocks while the run is paused, until Resume or the end of ctx.
func (c *Control) Wait(ctx context.Context) error {
	if c == nil {
		return ctx.Err()
	}
	c.mu.Lock()
	resume := c.resume
	c.mu.Unlock()
	if resume == nil {
		return ctx.Err()
	}
	select {
	case <-resume:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
