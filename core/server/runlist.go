package server

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/verifily/verifily-tui/core/server/roots"
	"github.com/verifily/verifily-tui/runs"
)

// runList is the answer of GET /v1/runs.
type runList struct {
	Runs  []runBrief `json:"runs"`
	Total int        `json:"total" doc:"Runs in the folder"`
}

// runBrief is a run in a list.
type runBrief struct {
	RunID       string             `json:"run_id"`
	RunName     string             `json:"run_name" empty:"null"`
	RunDir      string             `json:"run_dir"`
	Status      string             `json:"status"`
	Task        string             `json:"task" empty:"null"`
	Mode        string             `json:"mode" empty:"null" doc:"Of a retrain: mock or real"`
	BaseModel   string             `json:"base_model" empty:"null"`
	StartedAt   string             `json:"started_at" empty:"null"`
	CompletedAt string             `json:"completed_at" empty:"null"`
	Metrics     map[string]float64 `json:"metrics" nonfinite:"null"`
}

// runDetail is the answer of GET /v1/runs/{id}: what the files of a run say. It
// has no row of its data.
type runDetail struct {
	RunDir   string        `json:"run_dir"`
	Status   string        `json:"status"`
	Meta     runs.Meta     `json:"run_meta"`
	Summary  *runs.Summary `json:"train_summary"`
	Eval     *runEval      `json:"eval_results"`
	Hashes   *runs.Hashes  `json:"hashes"`
	Oddities []string      `json:"oddities" doc:"What reading had to pass over"`
}

// runEval is what an evaluation found.
type runEval struct {
	NumExamples int                           `json:"num_examples"`
	Overall     map[string]float64            `json:"overall" nonfinite:"null"`
	Intervals   map[string]runs.Interval      `json:"intervals" nonfinite:"null"`
	Slices      map[string]map[string]float64 `json:"slices" nonfinite:"null" doc:"By key=value"`
}

const mostRuns = 10_000 // in one answer

// runsFolder finds the folder that a query names; it need not exist.
func (s *Server) runsFolder(p *query) (string, error) {
	dir := p.text("dir")
	if !p.values.Has("dir") {
		dir = s.runsDir
	}
	_, err := s.roots.Creatable(dir)
	switch {
	case errors.Is(err, roots.ErrOutside):
		return "", forbidden(fmt.Sprintf("query -> dir: %s is outside of the paths that this server may use", dir))
	case err != nil:
		return "", unprocessable(fmt.Sprintf("query -> dir: %s cannot be used: %s", dir, plain(err)))
	}
	return dir, nil
}

// entries lists the runs of a folder, without those that links lead out to.
func (s *Server) entries(dir string) ([]runs.Entry, error) {
	all, err := s.list(dir)
	if err != nil {
		return nil, unprocessable(fmt.Sprintf("query -> dir: %s cannot be listed: %s", dir, plain(err)))
	}
	out := all[:0:0]
	for _, e := range all {
		if _, err := s.roots.Existing(filepath.Join(e.Dir, "run_meta.json")); err == nil || errors.Is(err, fs.ErrNotExist) {
			out = append(out, e)
		}
	}
	return out, nil
}

// listRuns answers GET /v1/runs.
func (s *Server) listRuns(c *call) (any, error) {
	p, err := readQuery(c)
	if err != nil {
		return nil, err
	}
	const usual = 100
	most, status := p.count("limit", usual, 1, mostRuns), runs.Status(p.text("status"))
	if err := p.err(); err != nil {
		return nil, err
	}
	dir, err := s.runsFolder(p)
	if err != nil {
		return nil, err
	}
	list, err := s.entries(dir)
	if err != nil {
		return nil, err
	}
	out := runList{Runs: []runBrief{}, Total: len(list)}
	for _, e := range list {
		if status != "" && e.Status != status {
			continue
		}
		if len(out.Runs) == most {
			break
		}
		id := e.Meta.RunID
		if id == "" {
			id = e.Name
		}
		out.Runs = append(out.Runs, runBrief{RunID: id, RunName: e.Meta.RunName, RunDir: e.Dir, Status: string(e.Status), Task: e.Meta.Task,
			Mode: e.Meta.Mode, BaseModel: e.Meta.BaseModel, StartedAt: e.Meta.StartedAt, CompletedAt: e.Meta.CompletedAt, Metrics: e.Meta.Metrics})
	}
	return out, nil
}

// run answers GET /v1/runs/{id}.
func (s *Server) run(c *call) (any, error) {
	p, err := readQuery(c)
	if err != nil {
		return nil, err
	}
	dir, err := s.runsFolder(p)
	if err := errors.Join(err, p.err()); err != nil {
		return nil, err
	}
	missing := notFound("Run not found: %s", shortName(c.subject))
	if !namePattern.MatchString(c.subject) {
		return nil, missing
	}
	list, err := s.entries(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		if e.Name == c.subject || e.Meta.RunID == c.subject || e.Meta.RunName == c.subject {
			_, err := s.roots.Folder(e.Dir, mostEntries)
			if err := pathProblemAt("path -> id", e.Dir, err); err != nil {
				return nil, err
			}
			return detailOf(e.Dir)
		}
	}
	return nil, missing
}

// detailOf reads what a run has; what it lacks is null.
func detailOf(dir string) (*runDetail, error) {
	run, err := runs.Open(dir)
	if err != nil {
		return nil, unprocessable("path -> id: the run cannot be read")
	}
	out := &runDetail{RunDir: dir, Oddities: []string{}}
	if out.Meta, err = run.Meta(); err != nil {
		out.Oddities = append(out.Oddities, "run_meta.json cannot be read")
	}
	if status, err := run.State(time.Now()); err == nil {
		out.Status = string(status)
	}
	if summary, err := run.Summary(); err == nil {
		out.Summary = &summary
	}
	if hashes, err := run.Hashes(); err == nil {
		out.Hashes = &hashes
	}
	if eval, err := run.EvalResults(); err == nil {
		out.Eval = &runEval{NumExamples: eval.NumExamples, Overall: eval.Overall, Intervals: eval.Intervals, Slices: eval.FlatSlices()}
	}
	out.Oddities = append(out.Oddities, run.Oddities()...)
	return out, nil
}
