package batch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/regular"
)

// record is one line of the journal. Kind is one of the constants below; the
// other fields are set where they mean something.
type record struct {
	Time string `json:"time"`
	Kind string `json:"kind"`
	Job  string `json:"job,omitempty"`
	// Key and Data identify the work: what is configured, without the name, and
	// the bytes of the data. A job with both unchanged is the same job.
	Key  string `json:"key,omitempty"`
	Data string `json:"data,omitempty"`
	// Run is the name of the run's folder in the folder of the runs.
	Run string `json:"run,omitempty"`
	// Results is the folder of eval_results.json, relative likewise.
	Results string  `json:"results,omitempty"`
	Status  Status  `json:"status,omitempty"`
	Class   class   `json:"class,omitempty"` // of a failure
	Error   string  `json:"error,omitempty"`
	Halved  int     `json:"halved,omitempty"`  // how often the batch size was halved
	Attempt int     `json:"attempt,omitempty"` // from 1
	Seconds float64 `json:"seconds,omitempty"` // of all attempts so far
	Plan    string  `json:"plan,omitempty"`    // sha256 of the plan file
	Reason  string  `json:"reason,omitempty"`
	Exit    *int    `json:"exit,omitempty"`
}

// The kinds of records.
const (
	recordOpen  = "open"  // a process took the batch up
	recordStart = "start" // an attempt at a job begins
	recordRun   = "run"   // it has a run directory
	recordEnd   = "end"   // it is over
	recordSkip  = "skip"  // nothing of it is done in this start
	recordKeep  = "keep"  // it was over in an earlier start, and stays so
	recordStop  = "stop"  // the batch is being stopped
	recordClose = "close" // the process is done with the batch
)

// journal adds records to a file.
type journal struct {
	file *os.File
	now  func() time.Time
}

// openJournal reads the records at path and opens it to add more. A last line
// that a crash tore is cut off.
func openJournal(path string, now func() time.Time) (*journal, []record, error) {
	data, err := regular.Read(path, mostOfFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	whole := bytes.LastIndexByte(data, '\n') + 1
	records, err := parseJournal(data[:whole])
	if err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return nil, nil, err
	}
	if whole < len(data) {
		err = f.Truncate(int64(whole))
	}
	if err == nil {
		_, err = f.Seek(int64(whole), 0)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return &journal{f, now}, records, nil
}

// parseJournal reads whole lines. A line that is no record is an error: the
// journal is written by this program alone.
func parseJournal(data []byte) ([]record, error) {
	var out []record
	for line := 1; len(data) > 0; line++ {
		end := bytes.IndexByte(data, '\n')
		if end < 0 {
			return out, nil // torn
		}
		var r record
		if err := json.Unmarshal(data[:end], &r); err != nil {
			return nil, fmt.Errorf("line %d is %w: %w", line, errDamaged, err)
		}
		out = append(out, r)
		data = data[end+1:]
	}
	return out, nil
}

// append adds a record, which is on disk when it returns.
func (j *journal) append(r record) error {
	if err := j.add(r); err != nil {
		return err
	}
	return j.file.Sync()
}

// add appends a record that may be lost with the machine: it repeats what the
// journal tells already.
func (j *journal) add(r record) error {
	r.Time = runs.FormatTime(j.now())
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	at, err := j.file.Seek(0, 1)
	if err != nil {
		return err
	}
	if _, err = j.file.Write(append(line, '\n')); err != nil {
		// A part of a line must not stand before the next one.
		return errors.Join(err, j.file.Truncate(at))
	}
	return nil
}

func (j *journal) close() error { return j.file.Close() }

// past is what the journal knows about one piece of work.
type past struct {
	record        // the last one
	run    string // the last run directory, empty if none is known
}

// history is what earlier starts of a batch left.
type history struct {
	work map[string]*past // by identity
}

func identity(key, data string) string { return key + " " + data }

// replay reads the history out of records.
func replay(records []record) *history {
	h := &history{work: map[string]*past{}}
	current := map[string]*past{} // by job
	for _, r := range records {
		switch r.Kind {
		case recordOpen:
			clear(current) // a job that fails before its first attempt says nothing of earlier work
		case recordStart:
			p := h.work[identity(r.Key, r.Data)]
			if p == nil {
				p = &past{}
				h.work[identity(r.Key, r.Data)] = p
			}
			if p.Halved != r.Halved {
				p.run = ""
			}
			r.Seconds = p.Seconds
			p.record = r
			current[r.Job] = p
		case recordRun, recordEnd:
			p := current[r.Job]
			if p == nil {
				continue
			}
			if r.Run != "" {
				p.run = r.Run
			}
			if r.Kind == recordEnd {
				if r.Halved != p.Halved { // the next attempt is with another config
					p.run = ""
				}
				r.Key, r.Data = p.Key, p.Data
				p.record = r
			}
		}
	}
	return h
}
