package work

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/contract"
	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/retrain"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/regular"
)

const (
	retrainPrefix = "retrain_"
	// maxUsage bounds usage.json, in bytes.
	maxUsage = 1 << 20
)

// adopt returns the retrain that an earlier attempt of this job published, or
// nil.
func (w *worker) adopt(ctx context.Context, a *jobs.Attempt, opt *core.RetrainOptions) (*core.RetrainResult, error) {
	candidates := []string{a.Output} // an earlier attempt was adopting this
	if a.Output == "" {
		var err error
		if candidates, err = w.published.of(outputDir(opt), a.Job.ID); err != nil {
			return nil, err
		}
	}
	for _, dir := range candidates {
		res, err := adopted(dir)
		if err != nil {
			continue // no longer there
		}
		if err := a.Record(ctx, dir); err != nil {
			return nil, err
		}
		if stays(ctx, dir) {
			return res, nil
		}
	}
	return nil, ctx.Err()
}

// stays says that a directory was not taken back by the attempt that made it.
// One that looks into the job after this attempt has recorded the directory puts
// it back.
func stays(ctx context.Context, dir string) bool {
	const tries, pause = 10, 50 * time.Millisecond
	for range tries {
		if _, err := os.Stat(dir); err == nil {
			return true
		}
		if !sleep(ctx, pause) {
			return false
		}
	}
	return false
}

// takeBack removes a retrain of an attempt that came too late, unless the
// attempt after it has adopted it.
func takeBack(dir, recorded string) error {
	if dir == recorded {
		return nil
	}
	hidden := filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".superseded")
	if err := os.Rename(dir, hidden); err != nil {
		return err
	}
	return os.RemoveAll(hidden)
}

// adopted reads the answer of a retrain from its directory.
func adopted(dir string) (*core.RetrainResult, error) {
	if !contract.Check(dir).Valid {
		return nil, errors.New("the run contract is not met")
	}
	usage, err := readUsage(dir)
	if err != nil {
		return nil, err
	}
	run, err := runs.Open(dir)
	if err != nil {
		return nil, err
	}
	results, err := run.EvalResults()
	if err != nil {
		return nil, err
	}
	in := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	return &core.RetrainResult{JobType: Retrain, RunDir: dir, Decision: usage.Outcome.Decision, ExitCode: usage.Outcome.ExitCode,
		EvalSummary: results.Overall, Usage: usage, ElapsedMS: usage.Timing.Total,
		Artifacts: retrain.Artifacts{Config: in("config.yaml"), Environment: in("environment.json"), Hashes: in("hashes.json"),
			RunMeta: in("run_meta.json"), EvalResults: in("eval/eval_results.json"), DecisionJSON: in("decision/decision.json"),
			DecisionTxt: in("decision/decision.txt"), Usage: in("usage.json"), AuditLog: in("audit_log.jsonl")}}, nil
}

func readUsage(dir string) (usage retrain.Usage, err error) {
	data, err := regular.Read(filepath.Join(dir, "usage.json"), maxUsage)
	if err != nil {
		return usage, err
	}
	return usage, json.Unmarshal(data, &usage)
}

// published remembers the jobs of the retrains of a folder, so that each is read
// once, however many jobs look for theirs.
type published struct {
	turn    chan struct{}                // holds one while nobody looks
	folders map[string]map[string]string // job by name, by folder
}

func newPublished() *published {
	p := &published{turn: make(chan struct{}, 1), folders: map[string]map[string]string{}}
	p.turn <- struct{}{}
	return p
}

// of lists the retrains of a folder that a job made, the newest number first. How
// old they are says nothing: the clock may have been set since.
func (p *published) of(folder, job string) ([]string, error) {
	<-p.turn
	defer func() { p.turn <- struct{}{} }()
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	known := p.folders[folder]
	if known == nil {
		known = map[string]string{}
		p.folders[folder] = known
	}
	present := make(map[string]string, len(entries))
	var out []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), retrainPrefix) || !e.IsDir() {
			continue
		}
		id, ok := known[e.Name()]
		if !ok {
			if id, err = jobOf(filepath.Join(folder, e.Name())); err != nil {
				continue
			}
		}
		present[e.Name()] = id
		if id == job {
			out = append(out, filepath.Join(folder, e.Name()))
		}
	}
	p.folders[folder] = present
	slices.Reverse(out)
	return out, nil
}

// jobOf is the job that made a retrain, empty where none did.
func jobOf(dir string) (string, error) {
	run, err := runs.Open(dir)
	if err != nil {
		return "", err
	}
	meta, err := run.Meta()
	return meta.JobID, err
}
