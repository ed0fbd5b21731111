package batch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/regular"
)

// Phase says what goes on with a batch as a whole.
type Phase string

// The phases of a batch.
const (
	PhaseRunning Phase = "running"
	PhaseOver    Phase = "over"   // its last process ended by itself
	PhaseKilled  Phase = "killed" // its last process ended without a word
)

// Look is what the folder of a batch tells anyone, while it runs and later.
type Look struct {
	Info
	Dir    string         `json:"dir"`
	Phase  Phase          `json:"phase"`
	Exit   *int           `json:"exit_code"` // of the last start, null while it runs or when it was killed
	Holder *Holder        `json:"holder"`    // the process that works on it, null when none does
	Counts map[Status]int `json:"counts"`
	Jobs   []Seen         `json:"jobs"`
}

// Seen is what the journal tells of a job.
type Seen struct {
	Job    string  `json:"job"`
	Status Status  `json:"status"`
	Run    string  `json:"run" empty:"null"` // folder
	Error  string  `json:"error" empty:"null"`
	Time   float64 `json:"seconds"`
	// Earlier: it was over before the last start.
	Earlier bool `json:"earlier,omitempty"`
}

// Open looks at the batch in a folder. It changes nothing.
func Open(dir string) (*Look, error) {
	var look Look
	data, err := regular.Read(filepath.Join(dir, infoFile), mostOfFile)
	if err == nil {
		err = json.Unmarshal(data, &look.Info)
	}
	if err != nil {
		if p := (*fs.PathError)(nil); errors.As(err, &p) {
			err = p.Err
		}
		return nil, &fault.ConfigError{Detail: fault.Detail{Op: "open batch", Path: dir, Err: err, Hint: "name the folder of a batch, such as runs/batch_20260101_120000_abcdef"}}
	}
	look.Dir, look.BatchID = dir, filepath.Base(dir)
	journal, err := regular.Read(filepath.Join(dir, journalFile), mostOfFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, folderError(dir, err)
	}
	records, err := parseJournal(journal)
	if err != nil {
		return nil, folderError(filepath.Join(dir, journalFile), err)
	}
	names, err := readBefore(filepath.Join(dir, jobsFile))
	if err != nil {
		return nil, folderError(dir, err)
	}
	look.fill(records, names)
	switch h, held := readHolder(dir); {
	case held && holds(dir, h):
		look.Holder, look.Phase, look.Exit = &h, PhaseRunning, nil
	case look.Exit != nil:
		look.Phase = PhaseOver
	default:
		look.Phase = PhaseKilled
		for i := range look.Jobs {
			if look.Jobs[i].Status == Running {
				look.Jobs[i].Status = Interrupted
			}
		}
	}
	look.Counts = map[Status]int{}
	for _, j := range look.Jobs {
		look.Counts[j.Status]++
	}
	return &look, nil
}

// fill reads what became of the jobs of the last plan.
func (l *Look) fill(records []record, names []before) {
	at := map[string]int{}
	earlier := map[string]string{} // the run of a piece of work, which an attempt may resume
	doing := map[string]string{}   // the piece of work of a job
	for i, b := range names {
		at[b.Name] = i
		l.Jobs = append(l.Jobs, Seen{Job: b.Name, Status: Waiting})
	}
	root := filepath.Dir(l.Dir)
	for _, r := range records {
		switch r.Kind {
		case recordOpen:
			l.Exit = nil
			for i := range l.Jobs { // what stays as it was follows
				l.Jobs[i] = Seen{Job: l.Jobs[i].Job, Status: Waiting}
			}
		case recordClose:
			l.Exit = r.Exit
		}
		i, ok := at[r.Job]
		if !ok {
			continue
		}
		j := &l.Jobs[i]
		if r.Run != "" {
			j.Run = r.Run
			if !filepath.IsAbs(j.Run) {
				j.Run = filepath.Join(root, filepath.FromSlash(r.Run))
			}
			earlier[doing[r.Job]] = j.Run
		}
		switch r.Kind {
		case recordStart:
			doing[r.Job] = fmt.Sprintf("%s %d", identity(r.Key, r.Data), r.Halved)
			j.Status, j.Error, j.Run = Running, "", earlier[doing[r.Job]]
		case recordSkip:
			j.Status, j.Error = Skipped, r.Error
		case recordEnd, recordKeep:
			j.Status, j.Error, j.Time, j.Earlier = r.Status, r.Error, r.Seconds, r.Kind == recordKeep
		}
	}
}

// holds says whether a holder still works on a batch.
func holds(dir string, h Holder) bool {
	here, err := os.Hostname()
	if err == nil && h.Host == here {
		l := flock.New(filepath.Join(dir, lockFile), flock.SetFlag(os.O_RDONLY))
		free, err := l.TryRLock()
		if err == nil {
			_ = l.Close() // also gives the lock up, if it was free
			return !free
		}
		if !processAlive(h.PID) { // a process of today may have its number
			return false
		}
	}
	info, err := os.Stat(filepath.Join(dir, holderFile))
	return err == nil && time.Since(info.ModTime()) < staleAfter
}

// Summary reads what the last start found.
func (l *Look) Summary() (*Summary, error) {
	data, err := regular.Read(filepath.Join(l.Dir, "summary.json"), mostOfFile)
	if err != nil {
		return nil, err
	}
	var sum Summary
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber() // settings are shown as they are written
	if err := dec.Decode(&sum); err != nil {
		return nil, fmt.Errorf("read summary of %s: %w", l.Dir, err)
	}
	return &sum, nil
}

// Progress tells how far the running jobs are, by the logs of their runs.
func (l *Look) Progress() []Progress {
	var out []Progress
	for _, j := range l.Jobs {
		if j.Status != Running {
			continue
		}
		p := Progress{Job: j.Job}
		if run, err := runs.Open(j.Run); err == nil && j.Run != "" {
			fillProgress(&p, run)
		}
		out = append(out, p)
	}
	return out
}

// recentLog is how much of the end of a log tells how a run gets on, in bytes:
// some hundred lines. Logs may be long, and are looked at again and again.
const recentLog = 64 << 10

func fillProgress(p *Progress, run *runs.Run) {
	path := filepath.Join(run.Dir(), "train_log.jsonl")
	info, err := os.Stat(path)
	if err != nil {
		return // nothing is logged yet
	}
	log, err := runs.ReadLog(path, max(0, info.Size()-recentLog), 0)
	if err != nil {
		return // the next look has it
	}
	lines := slices.DeleteFunc(log.Lines, func(l runs.LogLine) bool { return l.Loss == nil })
	if len(lines) == 0 {
		return
	}
	first, last := lines[0], lines[len(lines)-1]
	p.Step = last.Step
	p.Loss, p.NonFinite = number("loss", *last.Loss)
	if last.TokensPerSecond != nil {
		p.TokensPerSecond = *last.TokensPerSecond
	}
	if cfg, err := run.Config(); err == nil {
		training, _ := cfg["training"].(map[string]any)
		epochs, _ := training["num_epochs"].(int)
		p.TotalSteps = last.TotalSteps(epochs)
	}
	from, errFrom := time.Parse(runs.TimeFormat, first.Timestamp)
	to, errTo := time.Parse(runs.TimeFormat, last.Timestamp)
	if errFrom == nil && errTo == nil && to.After(from) && last.Step > first.Step && p.TotalSteps > last.Step {
		p.SecondsLeft = to.Sub(from).Seconds() / float64(last.Step-first.Step) * float64(p.TotalSteps-last.Step)
	}
}

// stopFile in the folder of a batch asks the process that works on it to save
// and end. A file reaches it on every machine that shares the file system.
const stopFile = ".stop"

// RequestStop asks the process that works on a batch to save a checkpoint of
// every job and end; it does so within a few seconds.
func RequestStop(dir string) error {
	look, err := Open(dir)
	if err != nil {
		return err
	}
	if look.Phase != PhaseRunning {
		return &fault.ConfigError{Detail: fault.Detail{Op: "stop batch", Path: dir, Reason: "no process works on it"}}
	}
	if err := os.WriteFile(filepath.Join(dir, stopFile), nil, 0o644); err != nil {
		return folderError(dir, err)
	}
	return nil
}

// takeStop says whether a stop was asked for, and forgets it.
func (f *folder) takeStop() bool { return os.Remove(f.path(stopFile)) == nil }

// Find returns the folder of a batch given by its path or by its name, or an end
// of it that no other has, in the folder of the runs; an empty name is the
// newest.
func Find(name, runsDir string) (string, error) {
	if name != "" {
		if _, err := os.Stat(filepath.Join(name, infoFile)); err == nil {
			return name, nil
		}
	}
	list, err := List(runsDir)
	if err != nil {
		return "", err
	}
	found := ""
	for _, b := range list { // by name, so the newest is last
		if !strings.HasSuffix(b.BatchID, name) {
			continue
		}
		if name != "" && found != "" {
			return "", &fault.ConfigError{Detail: fault.Detail{Op: "find batch", Path: runsDir, Reason: fmt.Sprintf("several batches end with %q", name),
				Hint: "name more of it, as in " + b.BatchID}}
		}
		found = filepath.Join(runsDir, b.BatchID)
	}
	if found == "" {
		reason := "there is no batch"
		if name != "" {
			reason = fmt.Sprintf("there is no batch %q", name)
		}
		return "", &fault.ConfigError{Detail: fault.Detail{Op: "find batch", Path: runsDir, Reason: reason,
			Hint: "verifily batch ls lists them; --runs-dir names another folder"}}
	}
	return found, nil
}
