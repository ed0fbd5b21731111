package server

import (
	"container/list"
	"context"
	"net"
	"sync"
	"time"
)

// limit lets a listener have so many connections open at once. Another one takes
// the place of the one that has kept the server waiting for longest, for a
// request or for the rest of one; so whoever opens connections and sends nothing
// keeps nobody out. Connections whose requests are being answered stay.
func limit(l net.Listener, most int) *limited {
	return &limited{Listener: l, slots: make(chan struct{}, most), closed: make(chan struct{}), waiting: list.New()}
}

// patienceOfNew is how long a connection may wait without being the one that has
// to go: a client sends its request at once, and this is long enough for it to be
// read when thousands of others knock.
const patienceOfNew = 100 * time.Millisecond

type limited struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once

	mu      sync.Mutex
	waiting *list.List // of *slotted, the longest first
}

func (l *limited) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if !l.room() {
		_ = conn.Close() // the server stops
		return nil, net.ErrClosed
	}
	c := &slotted{Conn: conn, of: l}
	c.waits()
	return c, nil
}

// room takes a slot. It is false when the listener is closed first.
func (l *limited) room() bool {
	for {
		select {
		case l.slots <- struct{}{}:
			return true
		default:
		}
		again := l.evict()
		if again == 0 {
			continue
		}
		timer := time.NewTimer(again)
		select {
		case l.slots <- struct{}{}:
			timer.Stop()
			return true
		case <-l.closed:
			timer.Stop()
			return false
		case <-timer.C:
		}
	}
}

// evict closes the connection that has waited for longest, or says when to look
// again.
func (l *limited) evict() (again time.Duration) {
	l.mu.Lock()
	first := l.waiting.Front()
	if first == nil {
		l.mu.Unlock()
		return patienceOfNew
	}
	c := first.Value.(*slotted)
	again = max(0, patienceOfNew-time.Since(c.since))
	l.mu.Unlock()
	if again == 0 {
		_ = c.Close()
	}
	return again
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// slotted is a connection that has a slot until it is closed.
type slotted struct {
	net.Conn
	of   *limited
	once sync.Once

	// Guarded by of.mu.
	place *list.Element // nil while a request is answered
	since time.Time
	gone  bool
}

func (c *slotted) Close() error {
	defer c.once.Do(func() {
		c.of.mu.Lock()
		c.gone = true
		c.leave()
		c.of.mu.Unlock()
		<-c.of.slots
	})
	return c.Conn.Close()
}

// leave takes the connection out of those that wait.
func (c *slotted) leave() {
	if c.place != nil {
		c.of.waiting.Remove(c.place)
		c.place = nil
	}
}

// works says that the request of a connection has arrived. A nil connection is
// one without a limit.
func (c *slotted) works() {
	if c == nil {
		return
	}
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.leave()
}

// waits says that the server waits for what a connection sends next.
func (c *slotted) waits() {
	if c == nil {
		return
	}
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.gone {
		return
	}
	c.leave()
	c.since = time.Now()
	c.place = c.of.waiting.PushBack(c)
}

// connKey is where the context of a request has its connection.
type connKey struct{}

func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

func connOf(ctx context.Context) *slotted {
	c, _ := ctx.Value(connKey{}).(*slotted)
	return c
}
