package retrain

import (
	"context"
	"path/filepath"
	"sync"
	"time"
)

// place is a folder of retrains, as those of this process share it: what costs
// the same for many as for one - the lock of the numbers, the flush of the disk - is
// done once for all who wait for it.
type place struct {
	dir     string
	numbers *queue[*claim]
	endings *queue[*ending]
	costs   costs // of whoever carries out endings

	temps    sync.Map // the hidden folders that this process works in
	sweeping sync.Mutex
	sweepAt  time.Time // when to look for leftovers again
}

// places has a *place for each absolute path of a folder.
var places sync.Map

func placeOf(folder string) (*place, error) {
	dir, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	known, ok := places.Load(dir)
	if !ok {
		known, _ = places.LoadOrStore(dir, &place{dir: dir, numbers: newQueue[*claim](), endings: newQueue[*ending]()})
	}
	return known.(*place), nil
}

// queue hands items in groups to whoever carries them out: those that come while
// a group is carried out make up the next. The first of a group carries it out.
type queue[T any] struct {
	turn chan struct{} // holds one while a group is carried out
	mu   sync.Mutex
	next *group[T] // gathers; nil: the next to come begins one
}

type group[T any] struct {
	items []T
	done  chan struct{}
	left  error // why it was not carried out; read after done
}

func newQueue[T any]() *queue[T] { return &queue[T]{turn: make(chan struct{}, 1)} }

// do returns when an item was carried out. Where the one that carries out its
// group gives up, which is the error of carry, it goes into another. When ctx
// ends, do returns its error, and the item may still be carried out.
func (q *queue[T]) do(ctx context.Context, item T, carry func(ctx context.Context, items []T) error) error {
	for {
		g, first := q.join(item)
		if first {
			return q.lead(ctx, g, carry)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-g.done:
		}
		if g.left == nil {
			return nil
		}
	}
}

func (q *queue[T]) join(item T) (g *group[T], first bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if first = q.next == nil; first {
		q.next = &group[T]{done: make(chan struct{})}
	}
	g = q.next
	g.items = append(g.items, item)
	return g, first
}

func (q *queue[T]) lead(ctx context.Context, g *group[T], carry func(ctx context.Context, items []T) error) error {
	defer close(g.done)
	select {
	case q.turn <- struct{}{}:
		defer func() { <-q.turn }()
	case <-ctx.Done():
		g.left = ctx.Err()
	}
	q.mu.Lock()
	q.next = nil
	items := g.items
	q.mu.Unlock()
	if g.left == nil {
		g.left = carry(ctx, items)
	}
	return g.left
}
