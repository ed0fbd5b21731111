package bpe

// queue is a binary heap: pop gives the item that comes before all others.
type queue[T any] struct {
	items  []T
	before func(a, b T) bool
}

func (q *queue[T]) push(item T) {
	q.items = append(q.items, item)
	items := q.items
	i := len(items) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !q.before(item, items[parent]) {
			break
		}
		items[i] = items[parent]
		i = parent
	}
	items[i] = item
}

// pop takes the first item out; the queue must not be empty.
func (q *queue[T]) pop() T {
	top := q.items[0]
	last := len(q.items) - 1
	item := q.items[last]
	q.items = q.items[:last]
	items := q.items
	i := 0
	for {
		child := 2*i + 1
		if child >= last {
			break
		}
		if child+1 < last && q.before(items[child+1], items[child]) {
			child++
		}
		if !q.before(items[child], item) {
			break
		}
		items[i] = items[child]
		i = child
	}
	if last > 0 {
		items[i] = item
	}
	return top
}
