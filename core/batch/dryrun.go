package batch

import (
	"context"
	"encoding/json"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// Estimate is what a dry run tells of a job.
type Estimate struct {
	Job   *Job
	Index int // from 1
	// Changes are the keys in which its config differs from its train.yaml, or
	// from the defaults where it has none, and those that its matrix sets.
	Changes []config.Change
	// Plan has the steps, the memory and the time; nil with Note saying why.
	Plan *engine.Plan
	Note string
	Err  error // the job could not start
}

// shortcuts are keys that change neither the steps nor the memory nor the
// time: jobs that differ in nothing else are estimated once.
var shortcuts = [][]string{{"name"}, {"seed"}, {"training", "learning_rate"}, {"training", "lr_scheduler"},
	{"training", "weight_decay"}, {"training", "max_grad_norm"}, {"lora", "alpha"}}

// DryRun checks the data and the model of every job and tells, job by job,
// what it would do. Nothing is written. The error is that of ctx.
func DryRun(ctx context.Context, plan *Plan, each func(Estimate)) error {
	known := map[string]Estimate{}
	bases := map[string]*config.Config{}
	for i := range plan.Jobs {
		job := &plan.Jobs[i]
		e := Estimate{Job: job, Index: i + 1}
		if job.Config == nil {
			e.Note = "evaluates " + job.Run
			each(e)
			continue
		}
		e.Changes = changesOf(job, bases)
		if base := job.BaseJob(); base != "" {
			e.Note = "is estimated once the job " + base + " is complete"
			each(e)
			continue
		}
		key := estimateKey(job.Config)
		same, ok := known[key]
		if !ok {
			same.Plan = &engine.Plan{}
			_, same.Err = core.Train(ctx, core.TrainOptions{Config: job.Config, DryRun: true, Plan: same.Plan})
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if same.Err != nil {
				same.Plan = nil
			}
			known[key] = same
		}
		e.Plan, e.Err = same.Plan, same.Err
		each(e)
	}
	return nil
}

// changesOf lists what sets a job apart from its train.yaml.
func changesOf(job *Job, bases map[string]*config.Config) []config.Change {
	base, ok := bases[job.ConfigPath]
	if !ok {
		base = config.Default()
		if job.ConfigPath != "" {
			// A file that is not whole without the job's settings is compared
			// with the defaults.
			if c, err := config.Load(job.ConfigPath); err == nil {
				base = c
			}
		}
		bases[job.ConfigPath] = base
	}
	var keys []string
	for _, s := range job.combination {
		keys = append(keys, s.Key)
	}
	var out []config.Change // those of the matrix first, which all its jobs have
	values, from := job.values(keys), base.Map()
	for _, key := range keys {
		if v, ok := values[key]; ok {
			out = append(out, config.Change{Key: key, A: valueAt(from, key), B: v})
		}
	}
	for _, c := range config.Diff(base, job.Config) {
		if _, told := values[c.Key]; !told && c.Key != "name" && c.Key != "output.dir" {
			out = append(out, c)
		}
	}
	return out
}

func estimateKey(cfg *config.Config) string {
	m := cfg.Map()
	for _, path := range shortcuts {
		at := m
		for _, section := range path[:len(path)-1] {
			at, _ = at[section].(map[string]any) // sections are maps
		}
		delete(at, path[len(path)-1])
	}
	data, err := canonical.JSON(m)
	if err != nil {
		data, _ = json.Marshal(cfg.Name) // no two jobs share it
	}
	return string(data)
}
