// Package reproduce says whether a run is still what it claims to be: it
// recomputes the hashes of config, data, environment, weights and files and
// names what differs, and it compares a run with a second one that was made
// from the same config. It reads and never writes.
package reproduce

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/contract"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// Verdict sums a report up.
type Verdict string

// The verdicts, from the best.
const (
	FullMatch    Verdict = "FULL MATCH"
	PartialMatch Verdict = "PARTIAL MATCH" // the environment differs, all else matches
	// The run is intact and its data has changed or is gone, or it has no hashes
	// of its files to tell by.
	ConfigMatchOnly Verdict = "CONFIG MATCH ONLY"
	Mismatch        Verdict = "MISMATCH" // the run is not what its hashes say
)

// ExitCode is 0 for the first two verdicts and 2 for the others.
func (v Verdict) ExitCode() int {
	if v == FullMatch || v == PartialMatch {
		return 0
	}
	return 2
}

// Status is the outcome of one check.
type Status string

// The outcomes of a check.
const (
	Match    Status = "MATCH"
	Differs  Status = "MISMATCH"
	Changed  Status = "DIFFERS"      // intact, but not the same here and now: the environment
	NotThere Status = "NOT RECORDED" // nothing to hold the thing against
)

// Check is one thing that was recomputed.
type Check struct {
	Name     string   `json:"name"` // config, data, environment, weights, files, chain, ...
	Status   Status   `json:"status"`
	Recorded string   `json:"recorded,omitempty"` // the hash that was written
	Computed string   `json:"computed,omitempty"` // the hash now
	Differs  []string `json:"differs,omitempty"`  // what differs, in words
}

// Report is the outcome of Verify.
type Report struct {
	Run     string  `json:"run"`
	Verdict Verdict `json:"verdict"`
	Checks  []Check `json:"checks"`
	// Notes say what could not be covered.
	Notes []string `json:"notes,omitempty"`
}

// Options says what Verify compares with.
type Options struct {
	// Environment is that of this program.
	Environment runs.Environment
}

// ExitCode is that of the verdict.
func (r *Report) ExitCode() int { return r.Verdict.ExitCode() }

// Verify recomputes what a run directory of a training or of a retrain claims.
// The error is a *fault.ReproduceError when there is nothing to verify, or that
// of ctx.
func Verify(ctx context.Context, dir string, opt Options) (*Report, error) {
	v, err := open(dir)
	if err != nil {
		return nil, err
	}
	v.opt = opt
	for _, step := range []func(context.Context) error{
		v.config, v.data, v.environment, v.weights, v.files, v.decision, v.reproducibility, v.metrics,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	v.report.Verdict = v.verdict()
	return v.report, nil
}

// verification is one call of Verify.
type verification struct {
	dir     string
	opt     Options
	run     *runs.Run
	hashes  runs.Hashes
	meta    runs.Meta
	retrain *Retrain // nil: a training
	report  *Report
	// broken: the run's own record does not hold together.
	broken bool
}

func open(dir string) (*verification, error) {
	fail := func(err error, reason, hint string) error {
		return &fault.ReproduceError{Detail: fault.Detail{Op: "verify run", Path: dir, Reason: reason, Err: err, Hint: hint}}
	}
	run, err := runs.Open(dir)
	if err != nil {
		return nil, fail(err, "", "name a run directory, such as runs/run_20260101_120000_abcdef")
	}
	v := &verification{dir: run.Dir(), run: run, report: &Report{Run: dir}}
	if v.hashes, err = run.Hashes(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fail(nil, "the run has no hashes.json", "only a completed run can be verified")
		}
		return nil, fail(err, "", "hashes.json is damaged: nothing can be verified")
	}
	// Without its meta data a run can be verified as far as the hashes go.
	if v.meta, err = run.Meta(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		v.broken = true
		v.report.Notes = append(v.report.Notes, "run_meta.json cannot be read")
	}
	// A config that cannot be read is told by the check of it.
	if r, err := RetrainOf(run); err == nil {
		v.retrain = r
	}
	return v, nil
}

func (v *verification) add(c Check) {
	if c.Status == NotThere {
		v.report.Notes = append(v.report.Notes, c.Name+": no hash was recorded")
		return
	}
	v.report.Checks = append(v.report.Checks, c)
}

// hold compares a recorded hash with the one computed now.
func hold(name, recorded, computed string, differs ...string) Check {
	c := Check{Name: name, Status: Match, Recorded: recorded, Computed: computed}
	switch {
	case recorded == "":
		c.Status = NotThere
	case recorded != computed:
		c.Status, c.Differs = Differs, differs
	}
	return c
}

// weights compares the trained weights with the hash that was taken of them.
func (v *verification) weights(context.Context) error {
	recorded := map[string]string{}
	for name, sum := range v.hashes.Files {
		if isWeights(name) {
			recorded[name] = plain(sum)
		}
	}
	const adapter = "adapter/adapter_model.safetensors"
	if sum := plain(v.hashes.AdapterWeightsHash); sum != "" {
		if listed, ok := recorded[adapter]; ok && listed != sum {
			v.broken = true
			v.report.Notes = append(v.report.Notes, "adapter_weights_hash is not the hash listed for "+adapter)
		}
		recorded[adapter] = sum
	}
	if len(recorded) == 0 {
		return nil // a mock, or a run without weights
	}
	c := Check{Name: "weights", Status: Match}
	computed := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(recorded)) {
		got, err := fileHash(v.dir, name)
		if err != nil {
			c.Differs = append(c.Differs, quiet(name)+" is missing")
			continue
		}
		computed[name] = got
		if got != recorded[name] {
			c.Differs = append(c.Differs, quiet(name)+" was changed")
		}
	}
	c.Recorded, c.Computed = summary(recorded), summary(computed)
	if len(c.Differs) > 0 {
		c.Status, v.broken = Differs, true
	}
	v.add(c)
	return nil
}

// summary is the hash of the only file, else the chain hash of them all.
func summary(sums map[string]string) string {
	if len(sums) == 1 {
		for _, sum := range sums {
			return sum
		}
	}
	return canonical.ChainHash(sums)
}

func isWeights(name string) bool {
	return strings.HasSuffix(name, ".safetensors") && !isCheckpoint(name)
}

// isCheckpoint says whether a file may be deleted to win back space, and so is
// not sealed: that of a training, or of the training in a retrain.
func isCheckpoint(name string) bool {
	return strings.HasPrefix(name, "checkpoints/") || strings.Contains(name, "/checkpoints/")
}

func plain(sum string) string { return strings.ToLower(strings.TrimPrefix(sum, "sha256:")) }

// fileHash hashes a file of the run; links that lead out of it are errors.
func fileHash(dir, name string) (string, error) {
	path := filepath.Join(dir, filepath.FromSlash(name))
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return "", fmt.Errorf("%s is not a file of the run", name)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", path)
	}
	return canonical.FileHash(path)
}

// files compares every file that hashes.json lists, and the chain.
func (v *verification) files(ctx context.Context) error {
	if len(v.hashes.Files) == 0 && v.hashes.ChainHash == "" {
		v.report.Notes = append(v.report.Notes, "files: no hash was recorded")
		return nil
	}
	seal, err := contract.Verify(ctx, v.dir)
	if err != nil {
		return err
	}
	c := Check{Name: "files", Status: Match}
	for _, name := range seal.Changed {
		c.Differs = append(c.Differs, quiet(name)+" was changed")
	}
	for _, name := range seal.Missing {
		c.Differs = append(c.Differs, quiet(name)+" is missing")
	}
	if len(c.Differs) > 0 {
		c.Status, v.broken = Differs, true
	}
	v.add(c)
	chain := hold("chain", plain(v.hashes.ChainHash), canonical.ChainHash(v.hashes.Files), "chain_hash is not that of the files listed")
	v.broken = v.broken || chain.Status == Differs
	v.add(chain)
	if left := slices.DeleteFunc(seal.Unlisted, isCheckpoint); len(left) > 0 {
		v.report.Notes = append(v.report.Notes, uncovered(left))
	}
	return nil
}

// decision compares the files of a decision with the hashes taken of them.
func (v *verification) decision(ctx context.Context) error {
	seal, err := contract.VerifyDecision(ctx, v.dir)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, fs.ErrNotExist):
		v.unsealedDecision()
		return nil
	}
	c := Check{Name: "decision", Status: Match}
	if err != nil {
		c.Differs = []string{"decision/hashes.json cannot be read"}
	} else if !seal.Intact() {
		c.Differs = []string{seal.String()}
	}
	if len(c.Differs) > 0 {
		c.Status, v.broken = Differs, true
	}
	v.add(c)
	return nil
}

// uncovered tells of files that could change without being seen.
func uncovered(names []string) string {
	if len(names) == 1 {
		return quiet(names[0]) + " is not covered by hashes.json"
	}
	return fmt.Sprintf("%d files are not covered by hashes.json, the first is %s", len(names), quiet(names[0]))
}

// unsealedDecision tells of a decision without hashes: another program's has
// none, those of one of ours were taken away.
func (v *verification) unsealedDecision() {
	there := func(name string) bool {
		_, err := os.Lstat(filepath.Join(v.dir, "decision", name))
		return err == nil && !v.covered("decision/"+name)
	}
	switch {
	case there("gates.json"), there("audit_log.jsonl"):
		v.broken = true
		v.add(Check{Name: "decision", Status: Differs, Differs: []string{"decision/hashes.json is missing"}})
	case there("decision.json"):
		v.report.Notes = append(v.report.Notes, "decision: it has no hashes, so a change to it would not be seen")
	}
}

func (v *verification) covered(name string) bool {
	_, ok := v.hashes.Files[name]
	return ok
}

// reproducibility recomputes the hash over config, data, environment and seed.
func (v *verification) reproducibility(context.Context) error {
	h := v.hashes
	for _, p := range []struct{ name, hashes, meta string }{
		{"config_hash", h.ConfigHash, v.meta.ConfigHash}, {"data_hash", h.DataHash, v.meta.DataHash},
		{"environment_hash", h.EnvironmentHash, v.meta.EnvironmentHash},
		{"reproducibility_hash", h.ReproducibilityHash, v.meta.ReproducibilityHash},
	} {
		if p.hashes != "" && p.meta != "" && p.hashes != p.meta {
			v.broken = true
			v.add(Check{Name: p.name, Status: Differs, Recorded: p.hashes, Computed: p.meta,
				Differs: []string{"hashes.json and run_meta.json disagree"}})
		}
	}
	if v.meta.Seed == "" {
		return nil
	}
	c := hold("reproducibility", h.ReproducibilityHash,
		runs.ReproducibilityHash(h.ConfigHash, h.DataHash, h.EnvironmentHash, v.meta.Seed),
		"reproducibility_hash is not that of the recorded config, data, environment and seed")
	v.broken = v.broken || c.Status == Differs
	v.add(c)
	return nil
}

// verdict sums up. What the run itself records must hold together for anything
// better than a mismatch, and without hashes of its files nothing but the config
// is known to be as it was.
func (v *verification) verdict() Verdict {
	differs := map[string]bool{}
	for _, c := range v.report.Checks {
		differs[c.Name] = c.Status == Differs || c.Status == Changed
	}
	sealed := len(v.hashes.Files) > 0 && v.hashes.ChainHash != ""
	switch {
	case v.broken, differs["config"], !sealed && v.status("config") != Match:
		return Mismatch
	case differs["data"], !sealed:
		return ConfigMatchOnly
	case differs["environment"]:
		return PartialMatch
	}
	return FullMatch
}

// quiet makes a name from a file safe to stand in a sentence.
func quiet(s string) string { return text.Escape(s) }
