package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/regular"
)

// Stretch is a part of a log.
type Stretch struct {
	Lines Columns
	Bad   int
	// Restarted says that what was returned before is void.
	Restarted bool
	// More says that there is more to read at once.
	More bool
}

// How long one call of Tail reads: the first draws at once, the others so rarely
// that drawing in between takes less time than reading.
const (
	firstStretch = 10 * time.Millisecond
	nextStretch  = 60 * time.Millisecond
)

// blockSize is how much of a log is read at a time, and what package runs reads
// where a line has an unusual shape.
const blockSize = 256 << 10

// markSize holds a timestamp: the part of a line that differs even when a
// resumed run repeats a step exactly.
const markSize = 256

// tail is how far a log was read. Its lock is held while it is.
type tail struct {
	mu   sync.Mutex
	path string
	next int64
	// mark is the end of the last line read: when it no longer stands in front
	// of next, the log was cut back and written anew.
	mark  []byte
	block []byte
}

// Tail returns what was logged since the last call for the run, for a history
// that holds what the calls before returned; with fresh, from the start. It
// reads for some tens of milliseconds at most.
func (s *Source) Tail(dir string, so History, fresh bool) (Stretch, error) {
	path := filepath.Join(dir, "train_log.jsonl")
	if _, err := os.Stat(path); err != nil {
		run, err := runs.Open(dir)
		if err != nil {
			return Stretch{}, err
		}
		if run.Kind() == runs.KindTrainer {
			log, err := run.Log()
			if err != nil {
				return Stretch{}, err
			}
			return Stretch{Lines: ColumnsOf(log.Lines), Bad: log.Bad, Restarted: true}, nil
		}
	}
	s.mu.Lock()
	t := s.tails[dir]
	if t == nil || fresh {
		t = &tail{path: path}
		s.tails[dir] = t
	}
	s.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	out, err := t.read(so, fresh)
	if err != nil {
		return Stretch{}, fmt.Errorf("read %s: %w", path, err)
	}
	return out, nil
}

func (t *tail) read(so History, fresh bool) (Stretch, error) {
	out := Stretch{Restarted: fresh}
	f, err := regular.Open(t.path)
	if errors.Is(err, os.ErrNotExist) {
		out.Restarted = out.Restarted || t.next > 0
		t.next, t.mark = 0, nil
		return out, nil
	}
	if err != nil {
		return out, err
	}
	defer f.Close()
	if !t.holds(f) {
		t.next, t.mark, out.Restarted = 0, nil, true
	}
	info, err := f.Stat()
	if err != nil {
		return out, err
	}
	if out.Restarted || t.next == 0 {
		so = History{}
	}
	// What the caller has is drawn meanwhile: columns only grow behind its ends,
	// and what else changes is a copy.
	h, from, started := so.branch(), t.next, time.Now()
	within := nextStretch
	if from == 0 {
		within = firstStretch
	}
	scan := newScanner(&h)
	for t.next < info.Size() {
		before := t.next
		bad, err := t.step(f, scan)
		if err != nil {
			return out, err
		}
		out.Bad += bad
		if t.next == before {
			break // a last line without its end
		}
		if time.Since(started) > within {
			out.More = t.next < info.Size()
			break
		}
	}
	if from == 0 && out.More {
		h.reserve(info.Size(), t.next)
	}
	if t.next > from {
		mark := make([]byte, min(markSize, t.next))
		n, err := f.ReadAt(mark, t.next-int64(len(mark)))
		if err != nil && !errors.Is(err, io.EOF) {
			return out, err
		}
		t.mark = mark[:n]
	}
	if !out.More {
		t.block = nil
	}
	out.Lines = Columns{grown: &h}
	return out, nil
}

// step reads a block of lines, and tells how many of them are bad.
func (t *tail) step(f *os.File, scan *scanner) (bad int, err error) {
	if t.block == nil {
		t.block = make([]byte, blockSize)
	}
	n, err := f.ReadAt(t.block, t.next)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	end := bytes.LastIndexByte(t.block[:n], '\n') + 1
	if end > 0 {
		taken := scan.lines(t.block[:end])
		t.next += int64(taken)
		if taken == end {
			return 0, nil
		}
		end -= taken
	} else if n < len(t.block) {
		return 0, nil
	} else {
		end = n // a very long line
	}
	log, err := runs.ReadLog(t.path, t.next, int64(end))
	if err != nil {
		return 0, err
	}
	for i := range log.Lines {
		scan.h.line(&log.Lines[i])
	}
	*scan = *newScanner(scan.h) // curves may have come into being
	t.next = log.Next
	return log.Bad, nil
}

// holds reports whether the mark still stands where it was read.
func (t *tail) holds(f *os.File) bool {
	now := make([]byte, len(t.mark))
	n, _ := f.ReadAt(now, t.next-int64(len(t.mark)))
	return n == len(t.mark) && bytes.Equal(now, t.mark)
}
