package retrain

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/contract"
	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
	"github.com/verifily/verifily-tui/runs/regular"
)

// trainedDir is where the run directory of the training stands in a retrain.
const trainedDir = "train"

// write makes the directory under a hidden name, and gives it its own at the
// end. On error it leaves nothing.
func (j *job) write() (res *Result, err error) {
	if j.trained != nil {
		defer func() { // moved by then, unless something failed
			if err != nil {
				err = errors.Join(err, os.RemoveAll(j.trained.RunDir))
			}
		}()
	}
	folder := filepath.Join(j.req.OutputDir, "runs")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, j.writeError(err)
	}
	shared, err := placeOf(folder)
	if err != nil {
		return nil, j.writeError(err)
	}
	temp, lock, err := shared.makeTemp()
	if err != nil {
		return nil, j.writeError(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
		shared.temps.Delete(temp)
		if lock != nil {
			_ = lock.Close() // a folder: nothing was written to it
		}
	}()
	if j.trained != nil {
		if err := os.Rename(j.trained.RunDir, filepath.Join(temp, trainedDir)); err != nil {
			return nil, j.writeError(err)
		}
	}
	for {
		n, err := shared.takeNumber(j.ctx)
		if err != nil {
			return nil, j.writeError(err)
		}
		w := &writer{dir: temp, sums: map[string]string{}}
		name := fmt.Sprintf(numberedName, n)
		res, err = j.fill(w, name)
		if err == nil {
			err = shared.end(&ending{temp: temp, final: filepath.Join(folder, name), files: w.written})
		}
		if errors.Is(err, fs.ErrExist) {
			continue // another program, which does not know the counter, took the name
		}
		if err != nil {
			return nil, j.writeError(err)
		}
		res.ElapsedMS = milliseconds(j.deps.Now().Sub(j.start))
		res.RunDir = filepath.Join(folder, name)
		res.Artifacts = artifactsIn(res.RunDir)
		return res, nil
	}
}

// writeError is an error of the output folder, unless it has a type already.
func (j *job) writeError(err error) error {
	var typed fault.TrainError
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &typed) {
		return err
	}
	return &fault.TrainingError{Detail: fault.Detail{Op: "write retrain", Path: j.req.OutputDir, Err: err,
		Hint: "check the output folder, its permissions and the free space"}}
}

// fill writes all files of a directory with the given name.
func (j *job) fill(w *writer, runID string) (*Result, error) {
	for _, sub := range subfolders {
		if err := os.MkdirAll(filepath.Join(w.dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	if j.trained != nil {
		if err := w.takeOver(); err != nil {
			return nil, err
		}
	}
	ids, err := j.record(w, runID)
	if err != nil {
		return nil, err
	}
	if err := w.seal(ids); err != nil { // for the contract; sealed again at the end
		return nil, err
	}
	if j.trained != nil { // it took long, and the decision reads report.json
		if _, err := j.source.Verify(j.ctx); err != nil {
			return nil, err
		}
	}
	verdict, usage, err := j.decide(w.dir, runID)
	if err != nil {
		return nil, err
	}
	files, err := verdict.Files()
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if err := w.put("decision/"+f.Name, f.Data); err != nil {
			return nil, err
		}
	}
	usage.Units.BytesOut = w.bytes
	now := j.deps.Now()
	usage.Timing.Total = milliseconds(now.Sub(j.start))
	if err := w.putJSON("usage.json", usage); err != nil {
		return nil, err
	}
	line, err := auditLine{TS: runs.FormatTime(now), Step: "retrain", Status: verdict.Recommendation, RunID: runID,
		ProjectID: j.req.ProjectID, Mode: j.req.Mode, ExitCode: verdict.ExitCode}.line()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(w.put("audit_log.jsonl", line), w.seal(ids)); err != nil {
		return nil, err
	}
	return &Result{JobType: "RETRAIN", Decision: verdict.Recommendation, ExitCode: verdict.ExitCode,
		EvalSummary: j.eval.summary(), Usage: usage,
		Reasons: verdict.Reasons, Gates: verdict.Gates, Unverified: j.source.unverified}, nil
}

// identity holds the hashes by which a retrain can be reproduced.
type identity struct{ config, data, environment, reproducibility string }

// record writes config.yaml, environment.json, the results and run_meta.json.
func (j *job) record(w *writer, runID string) (identity, error) {
	var ids identity
	config := j.configObject()
	text, err := configYAML(config)
	if err != nil {
		return ids, err
	}
	if ids.config, err = canonical.Hash(config); err != nil {
		return ids, err
	}
	if ids.environment, err = j.deps.Environment.Hash(); err != nil {
		return ids, err
	}
	ids.data = "sha256:" + j.source.sum
	ids.reproducibility = runs.ReproducibilityHash(ids.config, ids.data, ids.environment, j.eval.seed)
	results, err := j.eval.results(runID)
	if err != nil {
		return ids, err
	}
	j.usage.Units.ReportsGenerated = 1
	metrics := canonical.Object{}
	if j.eval.trainLoss != nil {
		metrics = append(metrics, canonical.Member{Key: "train_loss", Value: *j.eval.trainLoss})
	}
	var artifact any
	if j.eval.artifact != "" {
		artifact = j.eval.artifact
	}
	now := j.deps.Now()
	meta := canonical.Object{
		{Key: "run_id", Value: runID}, {Key: "status", Value: string(runs.StatusCompleted)},
		{Key: "task", Value: j.eval.task}, {Key: "mode", Value: j.req.Mode}, {Key: "seed", Value: j.eval.seed},
		{Key: "started_at", Value: runs.FormatTime(j.start)}, {Key: "completed_at", Value: runs.FormatTime(now)},
		{Key: "duration_seconds", Value: max(0, now.Sub(j.start)).Seconds()}, {Key: "metrics", Value: metrics},
		{Key: "artifact_path", Value: artifact},
		{Key: "config_hash", Value: ids.config}, {Key: "data_hash", Value: ids.data},
		{Key: "environment_hash", Value: ids.environment}, {Key: "reproducibility_hash", Value: ids.reproducibility},
	}
	if wd := j.workingDir(); wd != "" {
		meta = append(meta, canonical.Member{Key: "working_dir", Value: wd})
	}
	if j.req.JobID != "" {
		meta = append(meta, canonical.Member{Key: "job_id", Value: j.req.JobID})
	}
	return ids, errors.Join(
		w.put("config.yaml", text), w.putJSON("environment.json", j.deps.Environment),
		w.put("eval/eval_results.json", results), w.putJSON("run_meta.json", meta))
}

// workingDir is where the folders of config.yaml start, empty when all of them
// are absolute or it is not known.
func (j *job) workingDir() string {
	dataset, from := j.recorded()
	for _, dir := range []string{dataset, j.req.BaseRunDir, j.req.ContaminatedRunDir} {
		if dir != "" && !filepath.IsAbs(dir) {
			if from != "" {
				return from
			}
			wd, _ := os.Getwd()
			return wd
		}
	}
	return ""
}

// decide checks the run contract and judges the run by the default criteria.
func (j *job) decide(temp, runID string) (*decision.Decision, Usage, error) {
	u := j.usage
	u.RunID, u.RequestID, u.Mode, u.ProjectID = runID, j.req.RequestID, j.req.Mode, j.req.ProjectID
	u.CI, u.Privacy = j.req.CI, j.req.Privacy
	if u.RequestID == "" {
		u.RequestID = newRequestID()
	}
	begun := j.deps.Now()
	u.Outcome.ContractValid = contract.Check(temp).Valid
	u.Units.ContractsValidated = 1
	checked := j.deps.Now()
	u.Timing.Contract = milliseconds(checked.Sub(begun))
	src := j.sources
	src.Run = temp
	in, err := decision.Gather(j.ctx, src, decision.DefaultCriteria(), nil)
	if err != nil {
		return nil, u, err
	}
	d := decision.Decide(in)
	u.Units.DecisionsGenerated = 1
	u.Timing.Decision = milliseconds(j.deps.Now().Sub(checked))
	u.Outcome.Decision, u.Outcome.ExitCode = d.Recommendation, d.ExitCode
	u.Outcome.ContaminationStatus = NotChecked
	if in.Contamination != nil {
		u.Outcome.ContaminationStatus = in.Contamination.Status
	}
	return d, u, nil
}

// newRequestID makes 12 hex digits.
func newRequestID() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the program where there is no randomness
	return hex.EncodeToString(b[:])
}

// writer writes files into a folder that nobody looks at yet, so they need not
// be replaced atomically, only be on disk before the folder gets its name.
type writer struct {
	dir     string
	sums    map[string]string // hex by slash path
	bytes   int64
	written []string // paths
}

func (w *writer) put(name string, data []byte) error {
	if err := w.write(name, data); err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	w.sums[name] = hex.EncodeToString(sum[:])
	w.bytes += int64(len(data))
	return nil
}

func (w *writer) write(name string, data []byte) error {
	path := filepath.Join(w.dir, filepath.FromSlash(name))
	if !slices.Contains(w.written, path) {
		w.written = append(w.written, path)
	}
	return os.WriteFile(path, data, 0o644)
}

func (w *writer) putJSON(name string, v any) error {
	data, err := canonical.Indent(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	return w.put(name, data)
}

// seal writes hashes.json over all files so far.
func (w *writer) seal(ids identity) error {
	data, err := canonical.Indent(canonical.Object{
		{Key: "files", Value: w.sums}, {Key: "chain_hash", Value: canonical.ChainHash(w.sums)},
		{Key: "hash_algorithm", Value: runs.HashAlgorithm},
		{Key: "config_hash", Value: ids.config}, {Key: "data_hash", Value: ids.data},
		{Key: "environment_hash", Value: ids.environment}, {Key: "reproducibility_hash", Value: ids.reproducibility},
	})
	if err != nil {
		return err
	}
	return w.write("hashes.json", data)
}

// maxTakenOver bounds a file of the evaluation, in bytes: it is held in memory
// while it is copied.
const maxTakenOver = 8 << 30

// takeOver hashes the training's directory, which stands in the folder, and
// copies what readers of a run look for in eval/.
func (w *writer) takeOver() error {
	for _, name := range []string{"predictions.jsonl", "hard_examples.jsonl", "confusion_matrix.json"} {
		data, err := regular.Read(filepath.Join(w.dir, trainedDir, "eval", name), maxTakenOver)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = w.put("eval/"+name, data)
		}
		if err != nil {
			return err
		}
	}
	return filepath.WalkDir(filepath.Join(w.dir, trainedDir), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(w.dir, path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		switch {
		case e.IsDir():
			if name == trainedDir+"/checkpoints" { // may be deleted to win back space
				return fs.SkipDir
			}
			return nil
		case strings.HasPrefix(e.Name(), "."):
			return nil
		case !e.Type().IsRegular():
			return fmt.Errorf("%s is not a regular file", path)
		}
		return w.hash(name, path)
	})
}

// hash takes a file over that stands there already and is on disk.
func (w *writer) hash(name, path string) error {
	f, err := regular.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return err
	}
	w.sums[name] = hex.EncodeToString(h.Sum(nil))
	w.bytes += n
	return nil
}
