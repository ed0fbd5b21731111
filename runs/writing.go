package runs

import "time"

// Writing says which process writes a run, as its heartbeat tells.
type Writing struct {
	PID  int
	Host string
	Time time.Time // of the last beat
}

// Writer returns the process that writes the run, or wrote it until it died;
// false where none says that it does. State tells whether it lives.
func (r *Run) Writer() (Writing, bool) {
	b, ok := readBeat(r.dir)
	return Writing(b), ok && b.PID > 0
}
