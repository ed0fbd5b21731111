// Package source reads what the workbench shows, and writes the little that
// people add: labels of examples and the settings of the screen. Every call may
// take time and is made outside the event loop; what it returns is not changed
// afterwards, and texts in it are data, not yet fit for a terminal.
package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/core/filter"
	"github.com/verifily/verifily-tui/runs"
)

// Source reads the runs below a folder. It may be used from several
// goroutines.
type Source struct {
	root  string
	store *runs.Store

	mu    sync.Mutex
	tails map[string]*tail
	name  string // of the reviewer, once asked for
}

// New returns a source over the runs directly below root, which need not exist.
func New(root string) *Source {
	return &Source{root: root, store: runs.NewStore(root), tails: map[string]*tail{}}
}

// Root returns the folder of the runs.
func (s *Source) Root() string { return s.root }

// List returns the runs, newest first.
func (s *Source) List() ([]runs.Entry, error) { return s.store.List() }

// Brief is what is known of a run besides its meta data. Parts that a run does
// not have are nil or empty.
type Brief struct {
	Config   map[string]any // leaves of config.yaml by dotted key
	Summary  *runs.Summary
	Results  *runs.EvalResults
	Chain    string    // chain hash, hex
	Loss     []float64 // training losses from start to end, of a long log a sample
	Epoch    float64   // of the last line of the log
	Decision *Verdict
	Missing  []string // what could not be read, in words
	Oddities []string
}

// Verdict is a recorded decision.
type Verdict struct {
	Recommendation string   `json:"recommendation"`
	Reasons        []string `json:"reasons"`
}

// Reason is the reason that tells most: of a verdict that does not ship the first
// that is none of a limit that was met. It is empty where there is none.
func (v *Verdict) Reason() string {
	if v.Recommendation != decision.Ship {
		for _, r := range v.Reasons {
			if !strings.Contains(r, "meets threshold") {
				return r
			}
		}
	}
	if len(v.Reasons) == 0 {
		return ""
	}
	return v.Reasons[0]
}

// Brief reads the small files of a run and samples its log.
func (s *Source) Brief(dir string) (*Brief, error) {
	run, err := runs.Open(dir)
	if err != nil {
		return nil, err
	}
	b := &Brief{}
	note := func(err error) {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			b.Missing = append(b.Missing, err.Error())
		}
	}
	if config, err := run.Config(); err == nil {
		b.Config = compare.Flatten(config)
	} else {
		note(err)
	}
	if summary, err := run.Summary(); err == nil {
		b.Summary = &summary
	} else {
		note(err)
	}
	if results, err := run.EvalResults(); err == nil {
		b.Results = &results
	} else {
		note(err)
	}
	if hashes, err := run.Hashes(); err == nil {
		b.Chain = hashes.ChainHash
	} else {
		note(err)
	}
	note(b.sample(run))
	b.Decision, err = readVerdict(dir)
	note(err)
	b.Oddities = run.Oddities()
	return b, nil
}

// maxVerdict bounds a decision.json, which has a few kilobytes.
const maxVerdict = 1 << 20

func readVerdict(dir string) (*Verdict, error) {
	path := filepath.Join(dir, "decision", "decision.json")
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxVerdict {
		return nil, fmt.Errorf("read %s: %d bytes are too many for a decision", path, info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var v Verdict
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return &v, nil
}

// A log of up to wholeLog bytes is read whole for a sparkline; of a longer one
// samples pieces of sampleSize bytes are read: a few milliseconds, whatever
// its length.
const (
	wholeLog   = 256 << 10
	samples    = 48
	sampleSize = 2 << 10
)

// sample fills in Loss and Epoch.
func (b *Brief) sample(run *runs.Run) error {
	take := func(lines []runs.LogLine) {
		for i := range lines {
			if lines[i].Loss != nil {
				b.Loss = append(b.Loss, *lines[i].Loss)
			}
			b.Epoch = max(b.Epoch, lines[i].Epoch)
		}
	}
	path := filepath.Join(run.Dir(), "train_log.jsonl")
	info, err := os.Stat(path)
	if err != nil || info.Size() <= wholeLog {
		log, err := run.Log()
		if err != nil {
			return err
		}
		take(log.Lines)
		return nil
	}
	for i := range int64(samples) {
		log, err := runs.ReadLog(path, i*(info.Size()-sampleSize)/(samples-1), sampleSize)
		if err != nil {
			return err
		}
		take(log.Lines)
	}
	return nil
}

// Pair compares a run with a baseline, sliced as they are. What it says of
// slices is true only where they are asked for.
func (s *Source) Pair(ctx context.Context, base, run string, sliced bool) (*core.CompareResult, error) {
	opt := core.CompareOptions{Runs: []string{base, run}, RunsDir: s.root}
	if !sliced {
		// 2,000 resamples leave the ends of an interval a noise of 5 % of a standard
		// error, less than a screen can show. But no p value is smaller than they
		// allow, and over fifty slices none would be real.
		opt.Resamples = 2000
	}
	return core.Compare(ctx, opt)
}

// Comparison is runs held against each other.
type Comparison struct {
	*core.CompareResult
	Dirs []string // the runs compared, as they were named, the base first
	Left []Left   // runs that could not be
}

// Left is a run that was left out, and why.
type Left struct{ Dir, Reason string }

// Compare compares runs in full, the base first. A run that cannot be compared
// with the others, since it is not evaluated or of another task, is left out;
// it is an error where that leaves fewer than two, or where it is the base.
func (s *Source) Compare(ctx context.Context, dirs []string) (*Comparison, error) {
	out := &Comparison{Dirs: slices.Clone(dirs)}
	for {
		result, err := core.Compare(ctx, core.CompareOptions{Runs: out.Dirs, RunsDir: s.root})
		if err == nil {
			out.CompareResult = result
			return out, nil
		}
		var fail *core.EvalError
		if !errors.As(err, &fail) || fail.Reason == "" || len(out.Dirs) < 3 {
			return nil, err
		}
		at := slices.IndexFunc(out.Dirs, func(dir string) bool { return sameFolder(dir, fail.Path) })
		if at < 1 {
			return nil, err
		}
		out.Left = append(out.Left, Left{out.Dirs[at], fail.Reason})
		out.Dirs = slices.Delete(out.Dirs, at, at+1)
	}
}

// sameFolder says whether two paths name the same folder.
func sameFolder(a, b string) bool {
	x, errX := filepath.Abs(a)
	y, errY := filepath.Abs(b)
	return errX == nil && errY == nil && x == y
}

// ConfigValues reads some keys of the configs of many runs, or else tags of
// their data: by folder, then key. Runs without a value are there, without it.
func (s *Source) ConfigValues(dirs, keys []string) map[string]map[string]any {
	out := make(map[string]map[string]any, len(dirs))
	for _, dir := range dirs {
		found, settings := map[string]any{}, filter.ReadSettings(dir)
		out[dir] = found
		for _, key := range keys {
			if v := settings.Value(key); v != nil {
				found[key] = v
			}
		}
	}
	return out
}
