package retrain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/core/engine/mock"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// Usage is usage.json. Every number is counted on the way, none is assumed.
type Usage struct {
	RunID     string        `json:"run_id"`
	RequestID string        `json:"request_id"`
	Mode      string        `json:"mode"`
	CI        bool          `json:"ci"`
	Privacy   bool          `json:"privacy"`
	ProjectID string        `json:"project_id"`
	Units     BillableUnits `json:"billable_units"`
	Timing    Timing        `json:"timing_ms"`
	Outcome   Outcome       `json:"result"`
}

// BillableUnits counts what went in, what came out and what was done.
type BillableUnits struct {
	RowsIn              int   `json:"rows_in"`   // rows of dataset.jsonl
	RowsOut             int   `json:"rows_out"`  // rows trained or evaluated on; of a mock, rows counted
	BytesIn             int64 `json:"bytes_in"`  // files of the data set artifact
	BytesOut            int64 `json:"bytes_out"` // artifacts, without usage.json, audit_log.jsonl and hashes.json
	ContaminationChecks int   `json:"contamination_checks"`
	ReportsGenerated    int   `json:"reports_generated"`   // evaluation results
	DecisionsGenerated  int   `json:"decisions_generated"` //
	ContractsValidated  int   `json:"contracts_validated"` // run contracts checked
}

// Timing holds durations in milliseconds.
type Timing struct {
	Contract      int64 `json:"contract"`
	Contamination int64 `json:"contamination"`
	Decision      int64 `json:"decision"`
	Total         int64 `json:"total"`
}

// Outcome is what came of it.
type Outcome struct {
	Decision            string `json:"decision"`
	ExitCode            int    `json:"exit_code"`
	ContaminationStatus string `json:"contamination_status"` // PASS, WARN, FAIL or NOT_CHECKED
	ContractValid       bool   `json:"contract_valid"`
}

// NotChecked is the contamination status without a contaminated run.
const NotChecked = "NOT_CHECKED"

// Result is what a retrain answers with.
type Result struct {
	JobType     string             `json:"job_type"` // RETRAIN
	RunDir      string             `json:"run_dir"`
	Decision    string             `json:"decision"` // SHIP, DONT_SHIP or INVESTIGATE
	ExitCode    int                `json:"exit_code"`
	EvalSummary map[string]float64 `json:"eval_summary"` // the metrics that are one number
	Usage       Usage              `json:"usage"`
	Artifacts   Artifacts          `json:"artifacts"`
	ElapsedMS   int64              `json:"elapsed_ms"`

	// Reasons and Gates are those of the decision; they are not part of the answer.
	Reasons []string        `json:"-"`
	Gates   []decision.Gate `json:"-"`
	// Unverified names what hashes.json of the data set gives no SHA-256 for:
	// dataset.jsonl itself, or files whose hashes were typed by hand.
	Unverified []string `json:"-"`
}

// JSON returns the answer, indented, keys in the contract's order.
func (r *Result) JSON() ([]byte, error) { return canonical.Indent(r) }

// Artifacts holds the paths of the nine artifacts.
type Artifacts struct {
	Config       string `json:"config"`
	Environment  string `json:"environment"`
	Hashes       string `json:"hashes"`
	RunMeta      string `json:"run_meta"`
	EvalResults  string `json:"eval_results"`
	DecisionJSON string `json:"decision_json"`
	DecisionTxt  string `json:"decision_txt"`
	Usage        string `json:"usage"`
	AuditLog     string `json:"audit_log"`
}

func artifactsIn(dir string) Artifacts {
	in := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	return Artifacts{
		Config: in("config.yaml"), Environment: in("environment.json"), Hashes: in("hashes.json"),
		RunMeta: in("run_meta.json"), EvalResults: in("eval/eval_results.json"),
		DecisionJSON: in("decision/decision.json"), DecisionTxt: in("decision/decision.txt"),
		Usage: in("usage.json"), AuditLog: in("audit_log.jsonl"),
	}
}

// evaluation is what a retrain measured, or made up.
type evaluation struct {
	task      string
	seed      json.Number
	examples  int
	overall   []numbered
	nonFinite runs.NonFinite // metrics that are no numbers
	perClass  map[string]map[string]float64
	slices    map[string]map[string]runs.SliceMetrics
	hard      []runs.HardExample
	seconds   float64
	trainLoss *float64
	artifact  string // path of the weights in the directory, empty: none

	// Of mode real, as the training's results have them.
	testData, testDataHash string
	intervals              map[string]runs.Interval
	sliceIntervals         map[string]map[string]map[string]runs.Interval
	perClassIntervals      map[string]map[string]runs.Interval
}

type numbered struct {
	name  string
	value float64
}

// summary holds the metrics by name.
func (e *evaluation) summary() map[string]float64 {
	out := map[string]float64{}
	for _, m := range e.overall {
		out[m.name] = m.value
	}
	return out
}

// evaluate trains, or makes the metrics of a mock.
func (j *job) evaluate() error {
	j.usage.Units.RowsIn, j.usage.Units.BytesIn = j.source.rows, j.source.bytes
	if j.req.Mode == ModeReal {
		return j.train()
	}
	if j.req.Seed == "" {
		j.req.Seed = DefaultSeed
	}
	seed, _ := new(big.Int).SetString(j.req.Seed.String(), 10) // complete has checked it
	f1, em := mock.Metrics(j.source.DatasetHash(), seed, j.req.ContaminatedRunDir != "")
	loss := 1 - f1 // falls as the made-up f1 rises, and as deterministic
	j.eval = evaluation{task: "sft", seed: j.req.Seed, examples: j.source.rows, trainLoss: &loss,
		overall: []numbered{{"f1", f1}, {"exact_match", em}}}
	j.usage.Units.RowsOut = j.source.rows
	return nil
}

// train lets the engine train, then takes over its evaluation.
func (j *job) train() error {
	t, err := j.deps.Train(j.ctx, Job{DatasetDir: j.req.DatasetDir, DataPath: j.source.DataPath(), DataHash: j.source.sum,
		OutputDir: j.req.OutputDir, Seed: j.req.Seed})
	if err != nil {
		return err
	}
	j.trained = t
	j.usage.Units.RowsOut = t.RowsOut
	if j.eval, err = evaluationOf(t); err != nil {
		return errors.Join(err, os.RemoveAll(t.RunDir))
	}
	return nil
}

// evaluationOf reads the results of a training.
func evaluationOf(t *Trained) (evaluation, error) {
	run, err := runs.Open(t.RunDir)
	if err != nil {
		return evaluation{}, err
	}
	meta, err := run.Meta()
	if err != nil {
		return evaluation{}, err
	}
	res, err := run.EvalResults()
	if err != nil {
		return evaluation{}, err
	}
	e := evaluation{task: t.Task, seed: t.Seed, examples: res.NumExamples, nonFinite: res.NonFinite, perClass: res.PerClass, slices: res.Slices,
		seconds: res.DurationSeconds, artifact: trainedDir + "/" + meta.ArtifactPath,
		testData: res.TestDataPath, testDataHash: res.TestDataHash,
		intervals: res.Intervals, sliceIntervals: res.SliceIntervals, perClassIntervals: res.PerClassIntervals}
	if loss, ok := meta.Metrics["train_loss"]; ok {
		e.trainLoss = &loss
	}
	if e.hard, err = run.HardExamples(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return evaluation{}, err
	}
	first := []string{"f1", "exact_match"}
	for _, name := range first {
		if v, ok := res.Overall[name]; ok {
			e.overall = append(e.overall, numbered{name, v})
		}
	}
	var rest []numbered
	for name, v := range res.Overall {
		if !slices.Contains(first, name) {
			rest = append(rest, numbered{name, v})
		}
	}
	slices.SortFunc(rest, func(a, b numbered) int { return strings.Compare(a.name, b.name) })
	e.overall = append(e.overall, rest...)
	return e, nil
}

// results renders eval/eval_results.json; what goes beyond the contract stands
// behind what it names.
func (e *evaluation) results(runID string) ([]byte, error) {
	overall := canonical.Object{}
	for _, m := range e.overall {
		overall = append(overall, canonical.Member{Key: m.name, Value: m.value})
	}
	for _, name := range sortedKeys(e.perClass) {
		overall = append(overall, canonical.Member{Key: name, Value: e.perClass[name]})
	}
	sliced := e.slices
	if sliced == nil {
		sliced = map[string]map[string]runs.SliceMetrics{}
	}
	hard := e.hard
	if hard == nil {
		hard = []runs.HardExample{}
	}
	out := canonical.Object{
		{Key: "run_id", Value: runID},
		{Key: "num_examples", Value: e.examples},
		{Key: "overall", Value: overall},
		{Key: "slices", Value: slicesObject(sliced)},
		{Key: "hard_examples", Value: hard},
		{Key: "eval_duration_seconds", Value: e.seconds},
	}
	for _, extra := range []struct {
		key   string
		value any
		there bool
	}{
		{"test_data_path", e.testData, e.testData != ""},
		{"test_data_hash", e.testDataHash, e.testDataHash != ""},
		{"intervals", e.intervals, len(e.intervals) > 0},
		{"slice_intervals", e.sliceIntervals, len(e.sliceIntervals) > 0},
		{"per_class_intervals", e.perClassIntervals, len(e.perClassIntervals) > 0},
		{"non_finite", map[string]string(e.nonFinite), len(e.nonFinite) > 0},
	} {
		if extra.there {
			out = append(out, canonical.Member{Key: extra.key, Value: extra.value})
		}
	}
	return canonical.Indent(out)
}

// slicesObject writes the size of a slice as a whole number, first.
func slicesObject(nested map[string]map[string]runs.SliceMetrics) canonical.Object {
	out := canonical.Object{}
	for _, key := range sortedKeys(nested) {
		values := canonical.Object{}
		for _, value := range sortedKeys(nested[key]) {
			m := nested[key][value]
			slice := canonical.Object{{Key: "n", Value: int(m["n"])}}
			for _, name := range sortedKeys(m) {
				if name != "n" {
					slice = append(slice, canonical.Member{Key: name, Value: m[name]})
				}
			}
			values = append(values, canonical.Member{Key: value, Value: slice})
		}
		out = append(out, canonical.Member{Key: key, Value: values})
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// configObject is config.yaml, its keys in the contract's order.
func (j *job) configObject() canonical.Object {
	optional := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	dataset, _ := j.recorded()
	var notes any
	if j.req.Notes != nil {
		notes = strings.ToValidUTF8(*j.req.Notes, "\ufffd")
	}
	return canonical.Object{
		{Key: "task", Value: j.eval.task}, {Key: "mode", Value: j.req.Mode}, {Key: "seed", Value: j.eval.seed},
		{Key: "metric", Value: j.req.Metric}, {Key: "dataset_dir", Value: dataset},
		{Key: "base_run_dir", Value: optional(j.req.BaseRunDir)},
		{Key: "contaminated_run_dir", Value: optional(j.req.ContaminatedRunDir)},
		{Key: "notes", Value: notes},
	}
}

// recorded is the data set as config.yaml has it, and where it starts, empty for
// the current folder.
func (j *job) recorded() (dataset, from string) {
	if j.req.Sent != nil {
		return j.req.Sent.DatasetDir, j.req.Sent.WorkingDir
	}
	return j.req.DatasetDir, ""
}

// configYAML renders a flat object of texts, whole numbers and null, a line each.
func configYAML(o canonical.Object) ([]byte, error) {
	var out bytes.Buffer
	for _, m := range o {
		out.WriteString(m.Key + ": ")
		switch v := m.Value.(type) {
		case nil:
			out.WriteString("null\n")
		case json.Number:
			out.WriteString(v.String() + "\n")
		case string:
			n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: v}
			if !plainText.MatchString(v) || otherValue.MatchString(v) {
				n.Style = yaml.DoubleQuotedStyle
			}
			line, err := yaml.Marshal(n)
			if err != nil {
				return nil, err
			}
			out.Write(line)
		default:
			return nil, fmt.Errorf("config: %s is a %T", m.Key, v)
		}
	}
	return out.Bytes(), nil
}

// Texts other than the plainest are quoted: they then stand on one line and
// mean the same to every reader, whatever its version of YAML.
var (
	plainText  = regexp.MustCompile(`^[A-Za-z./_]([A-Za-z0-9./_@-]*[A-Za-z0-9./_-])?$`)
	otherValue = regexp.MustCompile(`^(?i:y|n|yes|no|on|off|true|false|null|\.inf|\.nan|\.)$`)
)

// auditLine is the line of audit_log.jsonl.
type auditLine struct {
	TS        string `json:"ts"`
	Step      string `json:"step"`
	Status    string `json:"status"`
	RunID     string `json:"run_id"`
	ProjectID string `json:"project_id"`
	Mode      string `json:"mode"`
	ExitCode  int    `json:"exit_code"`
}

// line renders it compactly; none of its fields needs escaping.
func (l auditLine) line() ([]byte, error) {
	data, err := json.Marshal(l)
	return append(data, '\n'), err
}
