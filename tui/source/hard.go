package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/runs"
)

// Example is a hard example with what else is known about it.
type Example struct {
	runs.HardExample
	Base  *Answer // of the baseline to the same example, nil where there is none
	Label string  // the last verdict of a review, empty: not reviewed
	Note  string
}

// Answer is what another run said.
type Answer struct {
	Text  string
	Right bool
}

// Hard holds the hard examples of a run, the hardest first.
type Hard struct {
	Task     string
	Examples []Example
}

// Hard reads the hard examples of a run, their reviews, and what the baseline
// (empty: none) said about them. The error is fs.ErrNotExist where the run has
// no hard examples.
func (s *Source) Hard(dir, base string) (*Hard, error) {
	run, err := runs.Open(dir)
	if err != nil {
		return nil, err
	}
	examples, err := run.HardExamples()
	if err != nil {
		return nil, err
	}
	meta, err := run.Meta()
	if err != nil {
		return nil, err
	}
	h := &Hard{Task: meta.Task}
	answers, err := answersOf(base, meta.Task, examples)
	if err != nil {
		return nil, err
	}
	reviews, err := readReviews(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range examples {
		x := Example{HardExample: e}
		if a, ok := answers[e.InputHash]; ok && e.InputHash != "" {
			x.Base = &a
		}
		r, ok := reviews[reviewKey{hash: e.InputHash}]
		if (!ok || e.InputHash == "") && e.ID != "" {
			r = reviews[reviewKey{id: e.ID}]
		}
		x.Label, x.Note = r.Verdict, r.Note
		h.Examples = append(h.Examples, x)
	}
	return h, nil
}

func answersOf(base, task string, examples []runs.HardExample) (map[string]Answer, error) {
	if base == "" {
		return nil, nil
	}
	run, err := runs.Open(base)
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, e := range examples {
		wanted[e.InputHash] = true
	}
	out := map[string]Answer{}
	for p, err := range run.Predictions() {
		var line *runs.LineError
		switch {
		case errors.As(err, &line):
			continue
		case errors.Is(err, fs.ErrNotExist):
			return nil, nil
		case err != nil:
			return nil, err
		}
		if wanted[p.InputHash] {
			out[p.InputHash] = Answer{Text: p.Prediction, Right: metrics.Right(task, &p)}
		}
	}
	return out, nil
}

// Review is what a person found about an example.
type Review struct {
	ID        string `json:"id"`
	InputHash string `json:"input_hash"`
	Verdict   string `json:"verdict"` // one of decision.Labels, empty: taken back
	Note      string `json:"note"`
	Reviewer  string `json:"reviewer"`
	Time      string `json:"ts"` // runs.TimeFormat
}

type reviewKey struct{ hash, id string }

// reviewFile is where reviews of this screen go; others may stand beside it.
const reviewFile = "review.jsonl"

func readReviews(dir string) (map[reviewKey]Review, error) {
	folder := filepath.Join(dir, "review")
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := map[reviewKey]Review{}
	for _, e := range entries {
		if e.IsDir() || filepath.Ext(e.Name()) != ".jsonl" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			return nil, err
		}
		for l := range bytes.Lines(data) {
			var r Review
			if json.Unmarshal(l, &r) != nil {
				continue // torn, or of another program
			}
			if r.InputHash != "" {
				out[reviewKey{hash: r.InputHash}] = r
			}
			if r.ID != "" {
				out[reviewKey{id: r.ID}] = r
			}
		}
	}
	return out, nil
}

// Label appends a review to those of a run; it is on disk when Label returns.
// Reviewer and Time are filled in where they are empty.
func (s *Source) Label(ctx context.Context, dir string, r Review) error {
	if r.Reviewer == "" {
		r.Reviewer = s.reviewer(ctx)
	}
	if r.Time == "" {
		r.Time = runs.FormatTime(time.Now())
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	folder := filepath.Join(dir, "review")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("save the review: %w", err)
	}
	path := filepath.Join(folder, reviewFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("save the review: %w", err)
	}
	data = append(data, '\n')
	if torn(f) {
		data = slices.Concat([]byte{'\n'}, data)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("save the review: %w", err)
	}
	return nil
}

// torn says whether the last line lacks its end, as a crash may leave it.
func torn(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return false
	}
	last := make([]byte, 1)
	_, err = f.ReadAt(last, info.Size()-1)
	return err == nil && last[0] != '\n'
}

// gitWithin bounds how long git may take to say who we are.
const gitWithin = 2 * time.Second

// reviewer is the name in the git config, or else that of the login.
func (s *Source) reviewer(ctx context.Context) string {
	s.mu.Lock()
	name := s.name
	s.mu.Unlock()
	if name != "" {
		return name
	}
	ctx, cancel := context.WithTimeout(ctx, gitWithin)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "git", "config", "user.name").Output(); err == nil {
		name = strings.TrimSpace(string(out))
	}
	if name == "" {
		if u, err := user.Current(); err == nil {
			name = u.Username
		}
	}
	s.mu.Lock()
	s.name = name
	s.mu.Unlock()
	return name
}
