package reproduce

import (
	"context"
	"fmt"
	"maps"
	"math/big"
	"path/filepath"
	"strings"

	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/contract"
	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/engine/mock"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/retrain"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// Retrain is what config.yaml of a retrain says. Folders are those named there
// or, where these lead nowhere, the same from where the retrain was started.
type Retrain struct {
	Mode               string
	DatasetDir         string
	BaseRunDir         string // empty: none
	ContaminatedRunDir string // empty: none
	Metric             string
	Seed               string // an integer of any size
}

// RetrainOf returns what a retrain was asked for, nil for a training.
func RetrainOf(run *runs.Run) (*Retrain, error) {
	m, err := run.Config()
	if err != nil {
		return nil, &fault.ReproduceError{Detail: fault.Detail{Op: "read config of run", Path: run.Dir(), Err: err}}
	}
	text := func(key string) string {
		s, _ := m[key].(string)
		return s
	}
	r := &Retrain{Mode: text("mode"), DatasetDir: text("dataset_dir"), BaseRunDir: text("base_run_dir"),
		ContaminatedRunDir: text("contaminated_run_dir"), Metric: text("metric")}
	if r.Mode == "" || r.DatasetDir == "" {
		return nil, nil
	}
	if meta, err := run.Meta(); err == nil {
		r.Seed = meta.Seed.String() // the reader of YAML has no digits to spare for large ones
		for _, dir := range []*string{&r.DatasetDir, &r.BaseRunDir, &r.ContaminatedRunDir} {
			if *dir != "" {
				*dir, _ = dataset.Locate(*dir, meta.WorkingDir) // what is not there is told by whoever opens it
			}
		}
	}
	return r, nil
}

// either prefers the hash in hashes.json; reproducibility sees to it that
// run_meta.json agrees.
func either(hashes, meta string) string {
	if hashes == "" {
		return meta
	}
	return hashes
}

// config hashes config.yaml: in full, with its defaults, or - as a retrain and
// other writers do - as it stands.
func (v *verification) config(context.Context) error {
	recorded := either(v.hashes.ConfigHash, v.meta.ConfigHash)
	stands, err := v.configAsItStands()
	if err != nil {
		v.broken = true
		v.add(Check{Name: "config", Status: Differs, Recorded: recorded, Differs: []string{"config.yaml cannot be read"}})
		return nil
	}
	computed := stands
	if v.retrain == nil {
		if cfg, err := config.Load(filepath.Join(v.dir, "config.yaml")); err == nil {
			computed = cfg.Hash()
		}
		if recorded == stands {
			computed = stands
		}
	}
	v.add(hold("config", recorded, computed, "config.yaml is not the one that was hashed"))
	return nil
}

func (v *verification) configAsItStands() (string, error) {
	m, err := v.run.Config()
	if err != nil {
		return "", err
	}
	if f, ok := m["seed"].(float64); ok && v.meta.Seed != "" {
		// A whole number too large for YAML's reader: run_meta.json has its digits.
		if exact, ok := new(big.Float).SetString(v.meta.Seed.String()); ok {
			if near, _ := exact.Float64(); near == f {
				m["seed"] = v.meta.Seed
			}
		}
	}
	return canonical.Hash(m)
}

// data finds the data again and hashes it.
func (v *verification) data(ctx context.Context) error {
	recorded := either(v.hashes.DataHash, v.meta.DataHash)
	computed, differs, err := v.dataNow(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		differs = append(differs, reason(err))
	}
	c := hold("data", recorded, computed, "the training data has changed")
	if c.Status == Match && len(differs) > 0 || c.Status == Differs {
		c.Status = Differs
		if len(differs) > 0 {
			c.Differs = differs
		}
	}
	v.add(c)
	return nil
}

// reason is the message of an error in one line.
func reason(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

// dataNow returns the data hash now and, by name, the other splits that are
// not those of the run's manifest.
func (v *verification) dataNow(ctx context.Context) (hash string, differs []string, err error) {
	if v.retrain != nil {
		sum, err := canonical.FileHash(filepath.Join(v.retrain.DatasetDir, "dataset.jsonl"))
		if err != nil {
			return "", nil, err
		}
		return "sha256:" + sum, nil, nil
	}
	cfg, err := config.Load(filepath.Join(v.dir, "config.yaml"))
	if err != nil {
		return "", nil, err
	}
	data, err := dataset.Resolve(ctx, dataset.Spec{Task: cfg.Task, Train: cfg.DataPaths.Train, Val: cfg.DataPaths.Val,
		Test: cfg.DataPaths.Test, DatasetVersion: cfg.DatasetVersion, SearchDir: cfg.Output.Dir, WorkingDir: v.meta.WorkingDir})
	if err != nil {
		return "", nil, err
	}
	defer data.Close()
	if data.DataHash != either(v.hashes.DataHash, v.meta.DataHash) {
		differs = append(differs, data.Train.Path()+" has changed")
	}
	used, err := dataset.LoadManifest(filepath.Join(v.dir, "manifest.json"))
	if err != nil {
		return data.DataHash, differs, nil // of another writer: the train file is all that was hashed
	}
	for _, split := range []struct {
		name string
		file *dataset.File
	}{{dataset.Val, data.Val}, {dataset.Test, data.Test}} {
		files := used.Of(split.name)
		if len(files) == 1 && split.file != nil && files[0].SHA256 != split.file.SHA256() {
			differs = append(differs, split.file.Path()+" has changed")
		}
	}
	return data.DataHash, differs, nil
}

// environment compares the recorded environment with this one, field by field.
func (v *verification) environment(context.Context) error {
	recorded := either(v.hashes.EnvironmentHash, v.meta.EnvironmentHash)
	stands, err := contract.EnvironmentHash(v.dir)
	if err != nil || recorded != "" && stands != recorded {
		v.broken = true
		v.add(Check{Name: "environment", Status: Differs, Recorded: recorded, Computed: stands,
			Differs: []string{"environment.json is not the one that was hashed"}})
		return nil
	}
	then, err := v.run.Environment()
	if err != nil {
		return &fault.ReproduceError{Detail: fault.Detail{Op: "verify run", Path: v.dir, Err: err}}
	}
	here := withUnused(v.opt.Environment, then)
	now, err := here.Hash()
	if err != nil {
		return &fault.ReproduceError{Detail: fault.Detail{Op: "describe environment", Err: err}}
	}
	c := Check{Name: "environment", Status: Match, Recorded: stands, Computed: now}
	if now != stands {
		c.Status, c.Differs = Changed, changes(then, here)
		if len(c.Differs) == 0 {
			c.Differs = []string{"environment.json has fields that this program does not know"}
		}
	}
	v.add(c)
	return nil
}

// withUnused is an environment of today with the packages that a run of this
// program recorded beyond those that training uses, as it did once: all that
// were linked in.
func withUnused(now, then runs.Environment) runs.Environment {
	if then.Packages["verifily"] == "" {
		return now // another program's, whose packages all count
	}
	packages := maps.Clone(then.Packages)
	maps.Copy(packages, now.Packages)
	now.Packages = packages
	return now
}

// changes lists what differs between two environments: "torch 2.2.0, now 2.3.1".
func changes(then, now runs.Environment) []string {
	var out []string
	for _, d := range compare.Differences(compare.Environment(then), compare.Environment(now)) {
		out = append(out, quiet(d.String()))
	}
	return out
}

// metrics repeats the arithmetic of a mock retrain, whose results follow from
// the data set and the seed.
func (v *verification) metrics(context.Context) error {
	if v.retrain == nil || v.retrain.Mode != "mock" {
		return nil
	}
	res, err := v.run.EvalResults()
	if err != nil {
		return nil // files has said so
	}
	seed, ok := new(big.Int).SetString(v.meta.Seed.String(), 10)
	hash, err := retrain.DatasetHash(v.retrain.DatasetDir)
	if !ok || err != nil {
		return nil // data has said so
	}
	f1, em := mock.Metrics(hash, seed, v.retrain.ContaminatedRunDir != "")
	c := Check{Name: "metrics", Status: Match}
	for _, m := range []struct {
		name string
		want float64
	}{{"f1", f1}, {"exact_match", em}} {
		if got := res.Overall[m.name]; got != m.want {
			c.Differs = append(c.Differs, fmt.Sprintf("%s is %s, the data set and seed give %s", m.name,
				canonical.Float(got), canonical.Float(m.want)))
		}
	}
	if len(c.Differs) > 0 {
		c.Status = Differs
		if d := v.status("data"); d == Match {
			v.broken = true // else it is the data that has changed
		}
	}
	v.add(c)
	return nil
}

func (v *verification) status(name string) Status {
	for _, c := range v.report.Checks {
		if c.Name == name {
			return c.Status
		}
	}
	return NotThere
}
