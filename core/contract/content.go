package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
	"github.com/verifily/verifily-tui/runs/regular"
)

// The further files that content checks look at.
const (
	predictionsFile = "eval/predictions.jsonl"
	decisionSeal    = "decision/hashes.json"
)

// Content looks inside the files of a run that are there: config.yaml and
// environment.json parse, metrics are numbers, every file has the hash that
// hashes.json gives and the chain is intact, run_meta.json and hashes.json
// agree, the environment hash is that of environment.json, predictions are as
// many as num_examples says, and a decision is the one that was written.
//
// The checks are ours and stand beside the run contract; they do not decide it.
// The error is that of ctx.
func Content(ctx context.Context, dir string) ([]Item, error) {
	run, err := runs.Open(dir)
	if err != nil {
		return nil, ctx.Err() // no run: Check says so already
	}
	c := content{dir: dir, run: run}
	c.parsed()
	c.metrics()
	if err := c.seals(ctx); err != nil {
		return nil, err
	}
	c.agreement()
	if err := c.predictions(ctx); err != nil {
		return nil, err
	}
	return c.items, nil
}

// content gathers the checks of one run.
type content struct {
	dir   string
	run   *runs.Run
	items []Item
}

func (c *content) add(file string, err error, detail string) {
	item := Item{File: file, Status: Pass, Detail: detail}
	if err != nil {
		item.Status, item.Detail = Fail, cause(err).Error()
	}
	c.items = append(c.items, item)
}

// absent says that there is nothing to check: whether the file must be there
// is the matter of Check.
func absent(err error) bool { return errors.Is(err, os.ErrNotExist) }

func (c *content) parsed() {
	config, err := c.run.Config()
	if !absent(err) {
		c.add(configFile, err, fmt.Sprintf("parses, %d keys", len(config)))
	}
	env, err := c.run.Environment()
	if !absent(err) {
		c.add(environmentFile, err, fmt.Sprintf("parses, %d packages", len(env.Packages)))
	}
}

func (c *content) metrics() {
	res, err := c.run.EvalResults()
	if absent(err) {
		return
	}
	name := resultsFile
	if ok, _ := exists(c.dir, resultsFile); !ok {
		name = topResultsFile
	}
	if err == nil && len(res.NonFinite) > 0 {
		for metric, value := range res.NonFinite {
			err = errors.Join(err, fmt.Errorf("%q is %q, not a number", metric, value))
		}
	}
	if err == nil && len(res.Overall) == 0 {
		err = errors.New("no metric is a number")
	}
	c.add(name, err, fmt.Sprintf("%d metrics are numbers, %d examples", len(res.Overall), res.NumExamples))
}

// seals checks the hashes of the run and those of its decision.
func (c *content) seals(ctx context.Context) error {
	seal, err := Verify(ctx, c.dir)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !absent(err) {
		if err == nil && !seal.Intact() {
			err = errors.New(seal.String())
		}
		c.add(hashesFile, err, seal.String())
	}
	decision, err := VerifyDecision(ctx, c.dir)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if absent(err) {
		err = c.decisionUnsealed()
	} else if err == nil && !decision.Intact() {
		err = errors.New(decision.String())
	}
	if err != nil || decision.Files > 0 {
		c.add(decisionSeal, err, decision.String())
	}
	return nil
}

// decisionUnsealed is an error where a decision is of a kind that is written
// with its hashes: other programs know neither of these files.
func (c *content) decisionUnsealed() error {
	for _, name := range []string{"decision/gates.json", "decision/audit_log.jsonl"} {
		if there, _ := exists(c.dir, name); there {
			return fmt.Errorf("missing, and %s is there, which is written with it", name)
		}
	}
	return nil
}

// VerifyDecision holds the files of decision/ against decision/hashes.json,
// which names them relative to decision/. A decision without it, as other
// tools leave, is os.ErrNotExist.
func VerifyDecision(ctx context.Context, dir string) (Seal, error) {
	path := filepath.Join(dir, filepath.FromSlash(decisionSeal))
	if _, err := os.Stat(path); err != nil {
		return Seal{}, err
	}
	folder := filepath.Dir(path)
	run, err := runs.Open(folder) // hashes.json makes it a run folder to the reader
	if err != nil {
		return Seal{}, err
	}
	h, err := run.Hashes()
	if err != nil {
		return Seal{}, err
	}
	return verify(ctx, folder, h)
}

// agreement checks what two files say about the same thing.
func (c *content) agreement() {
	h, err := c.run.Hashes()
	if err != nil {
		return // seals has said so
	}
	if env, err := EnvironmentHash(c.dir); err == nil && h.EnvironmentHash != "" {
		var differ error
		if env != h.EnvironmentHash {
			differ = errors.New("environment_hash in hashes.json is another")
		}
		c.add(environmentFile, differ, "has the environment_hash of hashes.json")
	}
	meta, err := c.run.Meta()
	if err != nil {
		return
	}
	var differ error
	compared := 0
	for _, p := range []struct{ name, meta, hashes string }{
		{"config_hash", meta.ConfigHash, h.ConfigHash}, {"data_hash", meta.DataHash, h.DataHash},
		{"environment_hash", meta.EnvironmentHash, h.EnvironmentHash},
		{"reproducibility_hash", meta.ReproducibilityHash, h.ReproducibilityHash},
	} {
		if p.meta == "" || p.hashes == "" {
			continue
		}
		compared++
		if p.meta != p.hashes {
			differ = errors.Join(differ, fmt.Errorf("%s is not that of hashes.json", p.name))
		}
	}
	if h.ReproducibilityHash != "" && meta.Seed != "" {
		compared++
		if runs.ReproducibilityHash(h.ConfigHash, h.DataHash, h.EnvironmentHash, meta.Seed) != h.ReproducibilityHash {
			differ = errors.Join(differ, errors.New("reproducibility_hash is not that of config, data, environment and seed"))
		}
	}
	if compared > 0 {
		c.add(metaFile, differ, "agrees with hashes.json")
	}
}

// predictions counts the lines and looks at their scores.
func (c *content) predictions(ctx context.Context) error {
	if ok, _ := exists(c.dir, predictionsFile); !ok {
		return nil
	}
	n, bad := 0, 0
	for p, err := range c.run.Predictions() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		n++
		if err != nil || !sound(p) {
			bad++
		}
	}
	var err error
	if res, e := c.run.EvalResults(); e == nil && res.NumExamples != n {
		err = fmt.Errorf("%d predictions, num_examples is %d", n, res.NumExamples)
	}
	if bad > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d lines cannot be read or have scores that are not numbers", bad, n))
	}
	c.add(predictionsFile, err, fmt.Sprintf("%d predictions, as num_examples says", n))
	return nil
}

// sound says whether the scores of a prediction are within their ranges.
func sound(p runs.Prediction) bool {
	for _, share := range []*float64{p.F1, p.ExactMatch, p.Confidence, p.PredictedConfidence} {
		if share != nil && !(*share >= 0 && *share <= 1) {
			return false
		}
	}
	return p.Loss == nil || !math.IsNaN(*p.Loss) && !math.IsInf(*p.Loss, 0)
}

// maxEnvironment bounds environment.json, in bytes: it lists packages.
const maxEnvironment = 16 << 20

// EnvironmentHash is the environment_hash of environment.json as it
// stands, fields that only its writer knows included.
func EnvironmentHash(dir string) (string, error) {
	data, err := regular.Read(filepath.Join(dir, environmentFile), maxEnvironment)
	if err != nil {
		return "", err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber() // whole numbers stay whole, so the canonical form is the writer's
	var v any
	if err := dec.Decode(&v); err != nil {
		return "", err
	}
	return canonical.Hash(v)
}
