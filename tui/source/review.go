package source

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/atomicfile"
	"github.com/verifily/verifily-tui/runs/regular"
)

// Review is what a person found about an example.
type Review struct {
	ID        string `json:"id"`
	InputHash string `json:"input_hash"`
	Verdict   string `json:"verdict"`         // one of decision.Labels, empty: taken back
	Label     string `json:"label,omitempty"` // what others call the verdict
	Note      string `json:"note"`
	Reviewer  string `json:"reviewer"`
	Time      string `json:"ts"` // runs.TimeFormat
}

func (r Review) verdict() string { return cmp.Or(r.Label, r.Verdict) }

// reviews are the last ones of each example.
type reviews struct{ byHash, byID map[string]Review }

// of finds the review of an example: by the hash of its input, or else by its id.
func (r reviews) of(hash, id string) Review {
	if found, ok := r.byHash[hash]; ok && hash != "" {
		return found
	}
	if id == "" {
		return Review{}
	}
	return r.byID[id]
}

// reviewFile is where reviews of this screen go; others may stand beside it.
const reviewFile = "review.jsonl"

// maxReview bounds a file of reviews, a few hundred bytes an example.
const maxReview = 256 << 20

// readReviews reads what people found about the examples of a run. Lines that
// are torn, or of another program, are passed over.
func readReviews(dir string) (reviews, error) {
	out := reviews{map[string]Review{}, map[string]Review{}}
	folder := filepath.Join(dir, "review")
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	for _, e := range entries {
		if e.IsDir() || filepath.Ext(e.Name()) != ".jsonl" {
			continue
		}
		data, err := regular.Read(filepath.Join(folder, e.Name()), maxReview)
		if err != nil {
			return out, err
		}
		for l := range bytes.Lines(data) {
			var r Review
			if json.Unmarshal(l, &r) != nil {
				continue
			}
			if r.InputHash != "" {
				out.byHash[r.InputHash] = r
			}
			if r.ID != "" {
				out.byID[r.ID] = r
			}
		}
	}
	return out, nil
}

// lockWithin bounds how long a review waits for another program that writes one.
const lockWithin = 5 * time.Second

// Label appends a review to those of a run; it is on disk when Label returns.
// Several programs may do so at once: lines are never mixed or lost. Reviewer and
// Time are filled in where they are empty; what was written is returned.
func (s *Source) Label(ctx context.Context, dir string, r Review) (Review, error) {
	if r.Reviewer == "" {
		r.Reviewer = s.reviewer(ctx)
	}
	if r.Time == "" {
		r.Time = runs.FormatTime(time.Now())
	}
	data, err := json.Marshal(r)
	if err != nil {
		return r, err
	}
	folder := filepath.Join(dir, "review")
	if err = os.Mkdir(folder, 0o755); errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err == nil {
		err = appendLine(ctx, filepath.Join(folder, reviewFile), data)
	}
	if err != nil {
		return r, fmt.Errorf("save the review: %w", err)
	}
	return r, nil
}

// appendLine adds a line to a file that other programs add to as well. The lock
// covers the look at the end of the file and the write after it.
func appendLine(ctx context.Context, path string, line []byte) (err error) {
	if info, err := os.Lstat(path); err == nil {
		if err := regular.Check(path, info); err != nil {
			return err
		}
	}
	lock := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o644))
	ctx, cancel := context.WithTimeout(ctx, lockWithin)
	defer cancel()
	if _, err := lock.TryLockContext(ctx, 10*time.Millisecond); errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("another program is writing %s: %w", path, err)
	} else if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if torn(f) {
		line = slices.Concat([]byte{'\n'}, line)
	}
	_, err = f.Write(line)
	return errors.Join(err, f.Sync(), f.Close())
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

// relabel is a line of an export for relabelling: the row, what the model made of
// it, and what a person found.
type relabel struct {
	ID             string            `json:"id"`
	InputHash      string            `json:"input_hash"`
	Rank           int               `json:"rank"`
	Input          string            `json:"input"`
	Reference      string            `json:"reference"`
	Prediction     string            `json:"prediction"`
	BasePrediction *string           `json:"base_prediction,omitempty"`
	Metric         string            `json:"primary_metric_name"`
	Value          *float64          `json:"primary_metric"`
	Tags           map[string]string `json:"tags,omitempty"`
	Verdict        string            `json:"verdict"`
	Note           string            `json:"note"`
	Reviewer       string            `json:"reviewer"`
	Reviewed       string            `json:"reviewed_at"`
}

// WriteRelabel writes examples with their reviews as JSON lines, for those who
// label them anew. Examples nobody reviewed are there with an empty verdict.
func WriteRelabel(path string, list []*Example) error {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	for _, e := range list {
		l := relabel{ID: e.ID, InputHash: e.InputHash, Rank: e.Rank, Input: e.Input, Reference: e.Reference, Prediction: e.Prediction,
			Metric: e.PrimaryMetricName, Tags: e.Tags, Verdict: e.Label, Note: e.Note, Reviewer: e.Reviewer, Reviewed: e.Reviewed}
		if v := e.PrimaryMetric; !math.IsNaN(v) && !math.IsInf(v, 0) {
			l.Value = &v
		}
		if e.Base != nil {
			l.BasePrediction = &e.Base.Text
		}
		if err := enc.Encode(l); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return atomicfile.WriteBytes(path, 0o644, out.Bytes())
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
