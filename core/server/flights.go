package server

import "sync"

// flights counts the requests that are being worked on when the server begins to
// stop. Those that come later are not waited for: they are short, and there may
// always be another.
type flights struct {
	mu    sync.Mutex
	count int
	ended chan struct{} // nil until stop; closed when the last one has ended
}

// enter counts a request until leave is called.
func (f *flights) enter() (leave func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended != nil {
		return func() {}
	}
	f.count++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.count--; f.count == 0 && f.ended != nil {
			close(f.ended)
		}
	}
}

// stop counts no more requests. It says how many there are, and closes the channel
// when they have ended. It is called once.
func (f *flights) stop() (count int, ended <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = make(chan struct{})
	if f.count == 0 {
		close(f.ended)
	}
	return f.count, f.ended
}
