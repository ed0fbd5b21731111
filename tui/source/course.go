package source

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/regular"
)

// Checkpoint is a state that a run can be taken up from.
type Checkpoint struct {
	Step       int
	Path       string // as seen from the folder of the run
	At         time.Time
	Bytes      int64
	Best, Last bool
}

// Course is what the checkpoints of a run tell, and who writes it.
type Course struct {
	Checkpoints []Checkpoint // oldest first
	Steps       int          // of the whole run, 0 where it is not known
	Trainer     bool         // it is an output folder of the Hugging Face Trainer
	Writer      *runs.Writing
	Here        bool // the writer is a process of this machine
}

// trainerState is what a checkpoint, and a folder of the Hugging Face Trainer,
// tell of the run.
type trainerState struct {
	MaxSteps int    `json:"max_steps"`
	BestStep int    `json:"best_global_step"`
	BestPath string `json:"best_model_checkpoint"`
}

// mostState bounds a trainer_state.json, which holds the whole log of a run of
// the Hugging Face Trainer.
const mostState = 64 << 20

// Course reads the checkpoints of a run and who writes it.
func (s *Source) Course(dir string) (*Course, error) {
	run, err := runs.Open(dir)
	if err != nil {
		return nil, err
	}
	c := &Course{Trainer: run.Kind() == runs.KindTrainer}
	if w, ok := run.Writer(); ok {
		host, err := os.Hostname()
		c.Writer, c.Here = &w, err == nil && host == w.Host
	}
	below := "checkpoints"
	if c.Trainer {
		below = "."
	}
	entries, err := os.ReadDir(filepath.Join(dir, below))
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), "checkpoint-")
		step, err := strconv.Atoi(number)
		if !ok || err != nil || step < 0 || !e.IsDir() {
			continue
		}
		point := Checkpoint{Step: step, Path: filepath.Join(below, e.Name())}
		if info, err := e.Info(); err == nil {
			point.At = info.ModTime()
		}
		point.Bytes = sizeOf(filepath.Join(dir, point.Path))
		c.Checkpoints = append(c.Checkpoints, point)
	}
	slices.SortFunc(c.Checkpoints, func(a, b Checkpoint) int { return a.Step - b.Step })
	c.mark(dir)
	return c, nil
}

// mark reads the newest state and marks the best checkpoint and the last.
func (c *Course) mark(dir string) {
	var paths []string
	if c.Trainer {
		paths = append(paths, filepath.Join(dir, "trainer_state.json"))
	}
	if n := len(c.Checkpoints); n > 0 {
		c.Checkpoints[n-1].Last = true
		paths = append(paths, filepath.Join(dir, c.Checkpoints[n-1].Path, "trainer_state.json"))
	}
	for _, path := range paths {
		var state trainerState
		data, err := regular.Read(path, mostState)
		if err != nil || json.Unmarshal(data, &state) != nil {
			continue // another one may do
		}
		c.Steps = max(0, state.MaxSteps)
		for i := range c.Checkpoints {
			p := &c.Checkpoints[i]
			p.Best = state.BestStep > 0 && p.Step == state.BestStep ||
				state.BestPath != "" && filepath.Base(state.BestPath) == filepath.Base(p.Path)
		}
		return
	}
}

// sizeOf adds up the files of a folder, as far as they can be seen.
func sizeOf(dir string) int64 {
	var sum int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

// Clock returns when a line was logged; false where the log does not tell.
func (h *History) Clock(row int) (time.Time, bool) {
	if h.start == 0 || row < 0 || row >= h.Lines() {
		return time.Time{}, false
	}
	return time.Unix(h.start+int64(h.X[Seconds][row]), 0), true
}
