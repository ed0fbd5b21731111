package decision

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/contract"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/regular"
)

// Sources names what a decision is gathered from. Only Run is needed; what is
// named and cannot be read is an error, never a verdict.
type Sources struct {
	Run           string // run directory
	Baseline      string // run directory to compare with
	Contamination string // contamination.json, or the folder that holds it
	Report        string // report.json of the data set, or the folder that holds it
}

const gatherOp = "gather evidence"

// maxEvidence bounds the files read whole, in bytes: far more than reports,
// results and labels of a large data set take.
const maxEvidence = 256 << 20

// Gather reads everything that Decide needs. criteria are the limits to judge
// by; policy may be nil. The errors are *fault.EvalError about a run and
// *fault.DataError about the other sources.
func Gather(ctx context.Context, src Sources, criteria Criteria, policy *Policy) (Input, error) {
	if info, err := os.Stat(src.Run); err != nil || !info.IsDir() {
		return Input{}, &fault.EvalError{Detail: fault.Detail{Op: gatherOp, Path: src.Run, Err: pathCause(err),
			Reason: "there is no such run directory", Hint: "name a run directory, such as runs/run_20260101_120000_abcdef"}}
	}
	in := Input{Contract: contract.Check(src.Run), Criteria: criteria, Policy: policy}
	if !in.Contract.Valid {
		return in, nil
	}
	var err error
	if in.Evidence.Hashes, err = integrity(ctx, src.Run); err != nil {
		return Input{}, err
	}
	// Results that cannot be read are a verdict, not an error.
	now, unreadable := readEvaluated(src.Run)
	if unreadable == nil {
		in.Eval = now.results
		in.Evidence.EvalFile = now.file
	}
	var base *evaluated
	if src.Baseline != "" {
		base, err = readBaseline(src.Baseline)
		if err != nil {
			return Input{}, err
		}
		in.Baseline = base.results
	}
	if err := in.sources(src); err != nil {
		return Input{}, err
	}
	in.compareData(src)
	if now != nil {
		if err := in.evidence(ctx, now, base); err != nil {
			return Input{}, err
		}
	}
	if policy != nil && policy.Review != nil {
		in.Evidence.Reviewed, err = readReview(src.Run)
	}
	return in, err
}

// sources reads what does not belong to a run.
func (in *Input) sources(src Sources) error {
	if src.Contamination != "" {
		path, data, err := readNamed(src.Contamination, "contamination.json")
		if err == nil {
			in.Contamination, err = ParseContamination(data)
		}
		if err != nil {
			return sourceError(path, err, "write one with: verifily contamination --train A --eval B")
		}
		in.Evidence.ContaminationFile = path
	}
	if src.Report != "" {
		path, data, err := readNamed(src.Report, "report.json")
		if err == nil {
			in.Report, err = ParseReport(data)
		}
		if err == nil && in.Report == nil {
			err = errors.New("holds no report")
		}
		if err != nil {
			return sourceError(path, err, "name the report.json of a data set artifact")
		}
		in.Evidence.ReportFile = path
	}
	return nil
}

// compareData says of the sources that tell what data they are about whether it
// is that of the run: what its own files name, or those of the training that a
// retrain holds.
func (in *Input) compareData(src Sources) {
	var trained, tested []string
	for _, dir := range []string{src.Run, filepath.Join(src.Run, "train")} {
		run, err := runs.Open(dir)
		if err != nil {
			continue
		}
		hashes, _ := run.Hashes() // what cannot be read is not known
		meta, _ := run.Meta()
		results, _ := run.EvalResults()
		trained = append(trained, hashes.DataHash, meta.DataHash)
		tested = append(tested, results.TestDataHash)
	}
	if c := in.Contamination; c != nil {
		switch {
		case foreign(c.TrainHash, trained):
			in.Evidence.ContaminationOf = "other training data than the run's"
		case foreign(c.EvalHash, tested):
			in.Evidence.ContaminationOf = "other test data than the run's"
		}
	}
	if in.Evidence.ReportFile != "" {
		var seal struct {
			DatasetHash string `json:"dataset_hash"`
		}
		data, err := regular.Read(filepath.Join(filepath.Dir(in.Evidence.ReportFile), "hashes.json"), maxEvidence)
		if err == nil && json.Unmarshal(data, &seal) == nil && foreign(seal.DatasetHash, trained) {
			in.Evidence.ReportOf = "of another file than the run's training data"
		}
	}
}

// foreign says whether a hash is none of those of a run, of which at least one
// must be known.
func foreign(hash string, own []string) bool {
	known := false
	for _, o := range own {
		if o = hexHash(o); o != "" {
			known = true
			if o == hexHash(hash) {
				return false
			}
		}
	}
	return known && hexHash(hash) != ""
}

// hexHash is the hex of a SHA-256, empty for anything else: older writers have
// values typed by hand.
func hexHash(s string) string {
	s = strings.ToLower(strings.TrimPrefix(s, "sha256:"))
	if raw, err := hex.DecodeString(s); err != nil || len(raw) != sha256.Size {
		return ""
	}
	return s
}

func readNamed(path, name string) (string, []byte, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, name)
	}
	data, err := regular.Read(path, maxEvidence)
	return path, data, err
}

func sourceError(path string, err error, hint string) error {
	return &fault.DataError{Detail: fault.Detail{Op: gatherOp, Path: path, Err: pathCause(err), Hint: hint}}
}

// pathCause drops the path that an error of package os repeats.
func pathCause(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}

func integrity(ctx context.Context, dir string) (*Integrity, error) {
	seal, err := contract.Verify(ctx, dir)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return &Integrity{Text: "hashes.json cannot be read"}, nil
	}
	return &Integrity{Intact: seal.Intact(), Text: seal.String()}, nil
}

// evaluated is a run with the results of its evaluation.
type evaluated struct {
	run     *runs.Run
	task    string
	file    string // of the results, relative to the run
	results *Results
}

// readEvaluated reads the results of a run. Metrics keep the order and the
// form they have in the file.
func readEvaluated(dir string) (*evaluated, error) {
	run, err := runs.Open(dir)
	if err != nil {
		return nil, err
	}
	loose, err := run.EvalResults()
	if err != nil {
		return nil, err
	}
	e := &evaluated{run: run, task: metrics.TaskSFT, file: "eval/eval_results.json"}
	path := filepath.Join(dir, "eval", "eval_results.json")
	data, err := regular.Read(path, maxEvidence)
	if errors.Is(err, fs.ErrNotExist) {
		e.file = "eval_results.json"
		data, err = regular.Read(filepath.Join(dir, e.file), maxEvidence)
	}
	if err != nil {
		return nil, err
	}
	if meta, err := run.Meta(); err == nil && slices.Contains(metrics.Tasks(), meta.Task) {
		e.task = meta.Task
	}
	if e.results, err = ParseResults(data); err != nil || e.results == nil || len(e.results.Metrics) == 0 {
		// NaN in the file, or the shape of the Trainer.
		e.results = &Results{Metrics: sortedMetrics(loose.Overall)}
	}
	e.results.NonFinite, e.results.N = loose.NonFinite, loose.NumExamples
	e.results.Slices = map[string]Slice{}
	for name, m := range loose.FlatSlices() {
		e.results.Slices[name] = Slice{N: int(m["n"]), Metrics: m}
	}
	return e, nil
}

func sortedMetrics(m map[string]float64) Metrics {
	out := Metrics{}
	for name, v := range m {
		if finite(v) {
			out = append(out, Metric{name, floatNumber(v)})
		}
	}
	slices.SortFunc(out, func(a, b Metric) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func readBaseline(dir string) (*evaluated, error) {
	base, err := readEvaluated(dir)
	if err == nil && len(base.results.Metrics) == 0 {
		err = errors.New("eval_results.json holds no metric that is a number")
	}
	if err != nil {
		return nil, &fault.EvalError{Detail: fault.Detail{Op: "read baseline", Path: dir, Err: err,
			Hint: "name a run with eval/eval_results.json, or decide without a baseline"}}
	}
	return base, nil
}

// reviewLine is a line of a file in review/: the label that a person gave to
// an example. Later lines win, and an empty label takes one back.
type reviewLine struct {
	ID        string `json:"id"`
	InputHash string `json:"input_hash"`
	Label     string `json:"label"`
	Verdict   string `json:"verdict"`
}

// readReview counts the labels in review/*.jsonl of the hard examples that the
// run has now. Lines that cannot be read, and labels of other examples, do not
// count.
func readReview(dir string) (*Reviewed, error) {
	run, err := runs.Open(dir)
	if err != nil {
		return nil, err
	}
	hard, err := run.HardExamples()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &fault.EvalError{Detail: fault.Detail{Op: "read hard examples", Path: dir, Err: err,
			Hint: "evaluate the run again: verifily eval --run " + dir}}
	}
	files, err := filepath.Glob(filepath.Join(quoteGlob(dir), "review", "*.jsonl"))
	if err != nil {
		return nil, err
	}
	byID, byHash := map[string]string{}, map[string]string{}
	for _, path := range files {
		data, err := regular.Read(path, maxEvidence)
		if err != nil {
			return nil, &fault.EvalError{Detail: fault.Detail{Op: "read review", Path: path, Err: pathCause(err)}}
		}
		for line := range bytes.Lines(data) {
			var l reviewLine
			if json.Unmarshal(line, &l) != nil {
				continue
			}
			if l.Label == "" {
				l.Label = l.Verdict
			}
			byHash[l.InputHash] = l.Label
			byID[l.ID] = l.Label
		}
	}
	out := &Reviewed{Hard: len(hard), Labels: map[string]int{}}
	for _, h := range hard {
		label := byHash[h.InputHash]
		if h.InputHash == "" {
			label = ""
		}
		if label == "" && h.ID != "" {
			label = byID[h.ID]
		}
		if slices.Contains(Labels(), label) {
			out.Labels[label]++
		}
	}
	return out, nil
}

// quoteGlob takes a path for itself in a pattern.
func quoteGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// Check reads what is named besides the run, so that a mistake shows before a
// run is made to be judged.
func (s Sources) Check() error {
	if s.Baseline != "" {
		if _, err := readBaseline(s.Baseline); err != nil {
			return err
		}
	}
	var in Input
	return in.sources(s)
}

// ContaminationIn is the contamination result that stands in a run, empty where
// there is none. A run is sealed when it is complete; beside its evaluation there
// is room.
func ContaminationIn(run string) string {
	for _, folder := range []string{"eval", "", "contamination"} {
		path := filepath.Join(run, folder, "contamination.json")
		if _, err := os.Lstat(path); err == nil {
			return path
		}
	}
	return ""
}
