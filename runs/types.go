package runs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/verifily/verifily-tui/runs/canonical"
)

// Status says how far a run has come.
type Status string

// The states of a run. A run is written as one of them; State reads an
// abandoned StatusRunning as StatusInterrupted.
const (
	StatusPending     Status = "pending"
	StatusRunning     Status = "running"
	StatusCompleted   Status = "completed"
	StatusFailed      Status = "failed"
	StatusInterrupted Status = "interrupted"
	StatusDryRun      Status = "dry_run"
)

// TimeFormat is the layout of times in run files: UTC, whole seconds.
const TimeFormat = "2006-01-02T15:04:05Z"

// FormatTime returns t in UTC as TimeFormat.
func FormatTime(t time.Time) string { return t.UTC().Format(TimeFormat) }

// Meta is run_meta.json. Empty strings marked so are written as null.
type Meta struct {
	RunID          string `json:"run_id"`
	JobID          string `json:"job_id" empty:"null"`
	Status         Status `json:"status"`
	Task           string `json:"task" empty:"null"` // "sft" or "classification"
	BaseModel      string `json:"base_model" empty:"null"`
	DatasetVersion string `json:"dataset_version" empty:"null"` // ID@VERSION
	ComputeMode    string `json:"compute_mode" empty:"null"`
	Device         string `json:"device" empty:"null"`
	StartedAt      string `json:"started_at" empty:"null"`   // TimeFormat
	CompletedAt    string `json:"completed_at" empty:"null"` // TimeFormat, set when the run ended in any way
	// DurationSeconds is how long the run took, training and evaluation, without
	// the pauses between an interruption and its resumption.
	DurationSeconds float64 `json:"duration_seconds"`
	// Metrics holds what the run is judged by. train_loss is the last logged
	// training loss. eval_loss is the loss on held-out data: the validation data
	// after the last step, or the test data of a run without any. The other
	// names are those of the evaluation, where its loss is test_loss when it was
	// made on test data. A value that is not finite is written as null and named
	// in NonFinite; reading leaves it out.
	Metrics             map[string]float64 `json:"metrics" nonfinite:"null"`
	ArtifactPath        string             `json:"artifact_path" empty:"null"`
	ConfigHash          string             `json:"config_hash" empty:"null"`
	DataHash            string             `json:"data_hash" empty:"null"`
	EnvironmentHash     string             `json:"environment_hash" empty:"null"`
	ReproducibilityHash string             `json:"reproducibility_hash" empty:"null"`
	Seed                json.Number        `json:"seed" empty:"null"` // an integer of any size
	RunName             string             `json:"run_name" empty:"null"`
	Version             string             `json:"verifily_train_version" empty:"null"`

	// Additions of ours.
	Mode            string    `json:"mode,omitempty"`              // of a retrain: "mock" or "real"
	WorkingDir      string    `json:"working_dir,omitempty"`       // where relative paths of config.yaml start
	Repeats         string    `json:"repeats,omitempty"`           // id of the run that this one reproduces
	BaseWeightsHash string    `json:"base_weights_hash,omitempty"` // of the model the run started from, "sha256:..."
	Error           string    `json:"error,omitempty"`             // why a run failed
	NonFinite       NonFinite `json:"non_finite,omitempty"`        // metrics that are not numbers
}

// NonFinite names the values of a record that JSON cannot hold: field or
// metric name to "nan", "inf" or "-inf". In the record itself they are null.
type NonFinite map[string]string

// LogLine is one line of train_log.jsonl. A line that reports training has
// Loss, one that reports an evaluation has EvalLoss; fields that are nil are
// not in the line. Values may be NaN or infinite, in memory and, as null with
// the field's name under "non_finite", on disk.
type LogLine struct {
	Step            int      // optimiser steps done, from 1
	Epoch           float64  // passes over the training data done, fractional
	Loss            *float64 // mean over the tokens since the last line, natural log
	LearningRate    *float64
	GradNorm        *float64 // global norm before clipping
	EvalLoss        *float64
	Tokens          *int64   // training tokens seen since the start of the run
	TokensPerSecond *float64 // since the last line
	// Metrics holds further numbers of the line by name, such as
	// eval_accuracy. Names of the fields above must not appear here.
	Metrics   map[string]float64
	Timestamp string // TimeFormat
}

// Summary is train_summary.json.
type Summary struct {
	TotalSteps        int      `json:"total_steps"`
	TotalEpochs       float64  `json:"total_epochs"`
	FinalTrainLoss    *float64 `json:"final_train_loss" nonfinite:"null"`
	BestEvalLoss      *float64 `json:"best_eval_loss" nonfinite:"null"`
	BestEvalStep      *int     `json:"best_eval_step"`
	TotalTrainSamples int64    `json:"total_train_samples"`
	TokensProcessed   int64    `json:"tokens_processed"`
	WallTimeSeconds   float64  `json:"wall_time_seconds"`
	GPUHours          float64  `json:"gpu_hours"`

	// NonFinite is ours: it names the losses above that are NaN or infinite;
	// WriteSummary sets it.
	NonFinite NonFinite `json:"non_finite,omitempty"`
}

// SliceMetrics holds the metrics of the rows that share a tag value; the key
// "n" is their number.
type SliceMetrics = map[string]float64

// Interval is a two-sided confidence interval of a metric.
type Interval struct {
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	N      int     `json:"n"`      // examples behind it
	Method string  `json:"method"` // such as "wilson"
}

// Untagged is the slice value of rows that lack a sliced tag.
const Untagged = "_untagged"

// EvalResults is eval/eval_results.json.
type EvalResults struct {
	RunID        string
	TestDataPath string
	NumExamples  int
	// Overall holds metrics by name. Reading leaves out what is not a number.
	Overall map[string]float64
	// Slices holds metrics by tag key, then tag value.
	Slices          map[string]map[string]SliceMetrics
	DurationSeconds float64 // eval_duration_seconds

	// PerClass (ours) holds metrics that have a value a label, such as
	// precision_per_class, by metric, then label. They are written as objects
	// inside "overall", where readers that want numbers skip them.
	PerClass map[string]map[string]float64
	// TestDataHash (ours) is "sha256:" and the hash of the test file.
	TestDataHash string
	// Intervals, SliceIntervals and PerClassIntervals (ours) hold 95 %
	// intervals, by the names of Overall, Slices and PerClass. A metric whose
	// interval cannot be told, or has no finite end, has none.
	Intervals         map[string]Interval
	SliceIntervals    map[string]map[string]map[string]Interval
	PerClassIntervals map[string]map[string]Interval
	// NonFinite (ours) names overall metrics that are NaN or infinite; Overall
	// has them while writing, not after reading.
	NonFinite NonFinite
}

// HardExample is one line of eval/hard_examples.jsonl.
type HardExample struct {
	Rank              int               `json:"rank"` // from 1, the hardest
	PrimaryMetric     float64           `json:"primary_metric" nonfinite:"null"`
	PrimaryMetricName string            `json:"primary_metric_name"` // "f1", "confidence" or, without confidences, "correct"
	Prediction        string            `json:"prediction"`
	Reference         string            `json:"reference"`
	Input             string            `json:"input"` // MaxInput code points at most once written
	Tags              map[string]string `json:"tags"`
	InputHash         string            `json:"input_hash"`

	// Additions of ours: the place of the row in predictions.jsonl, what the
	// model made of it, and the slices it is in, by key.
	Index      *int              `json:"index,omitempty"`
	ID         string            `json:"id,omitempty"`
	Loss       *float64          `json:"loss,omitempty" nonfinite:"null"`
	Confidence *float64          `json:"confidence,omitempty" nonfinite:"null"` // in the true label
	Slices     map[string]string `json:"slices,omitempty"`
}

// Prediction is one line of eval/predictions.jsonl: what the model said about
// one test example. The lines stand in the order of the test data.
type Prediction struct {
	Index      int      // place in the test data, from 0
	ID         string   // the row's id, may be empty
	Input      string   // MaxInput code points at most once written
	Prediction string   // generated text, or the predicted label
	Reference  string   // expected text, or the true label
	Loss       *float64 // mean negative log likelihood of the target, natural log
	Tags       map[string]string
	InputHash  string // InputHash of the whole input

	F1         *float64 // sft
	ExactMatch *float64 // sft, 0 or 1

	Confidence          *float64 // classification: probability of the true label
	PredictedConfidence *float64 // classification: probability of the predicted label
	Correct             *bool    // classification

	LossTokens int // ours: target tokens behind Loss, 0 when unknown
}

// ConfusionMatrix is eval/confusion_matrix.json: Matrix[i][j] counts the rows
// with true label Labels[i] and predicted label Labels[j].
type ConfusionMatrix struct {
	Labels []string `json:"labels"`
	Matrix [][]int  `json:"matrix"`
}

// Environment is environment.json.
type Environment struct {
	RuntimeVersion string            `json:"runtime_version"` // "go1.26.0", "3.11.4"
	Platform       string            `json:"platform"`        // "linux/amd64"
	OS             string            `json:"os"`
	Packages       map[string]string `json:"packages"` // name to version
	GPU            map[string]any    `json:"gpu"`

	// Additions of ours.
	CPU            string `json:"cpu,omitempty"`             // model name
	InstructionSet string `json:"instruction_set,omitempty"` // the kernels chosen: "avx512", "avx2", "generic"
}

// Hash returns the environment_hash: sha256_dict of the file's content.
func (e Environment) Hash() (string, error) { return canonical.Hash(e.filled()) }

// filled returns e with empty objects in place of nil maps.
func (e Environment) filled() Environment {
	if e.Packages == nil {
		e.Packages = map[string]string{}
	}
	if e.GPU == nil {
		e.GPU = map[string]any{}
	}
	return e
}

// HashAlgorithm is the value of hash_algorithm in hashes.json.
const HashAlgorithm = "sha256"

// Hashes is hashes.json. The four named hashes carry the prefix "sha256:",
// the others are plain hex. Older writers typed values by hand: nothing here
// is checked on reading.
type Hashes struct {
	ConfigHash          string `json:"config_hash" empty:"null"`
	DataHash            string `json:"data_hash" empty:"null"`
	EnvironmentHash     string `json:"environment_hash" empty:"null"`
	ReproducibilityHash string `json:"reproducibility_hash" empty:"null"`
	AdapterWeightsHash  string `json:"adapter_weights_hash" empty:"null"`
	HashAlgorithm       string `json:"hash_algorithm"`
	// Files maps slash paths relative to the run to hex.
	Files     map[string]string `json:"files"`
	ChainHash string            `json:"chain_hash"`
}

// ReproducibilityHash returns "sha256:" and the hash of
// "{config}|{data}|{environment}|{seed}", each hash with its prefix.
func ReproducibilityHash(configHash, dataHash, environmentHash string, seed json.Number) string {
	return InputHash(configHash + "|" + dataHash + "|" + environmentHash + "|" + seed.String())
}

// InputHash returns "sha256:" and the lower-case hex SHA-256 of the text.
func InputHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// MaxInput is how many code points of an input predictions and hard examples
// keep.
const MaxInput = 500

// ShortInput returns the first MaxInput code points of text.
func ShortInput(text string) string {
	if len(text) <= MaxInput || utf8.RuneCountInString(text) <= MaxInput {
		return text
	}
	n := 0
	for i := range text {
		if n == MaxInput {
			return text[:i]
		}
		n++
	}
	return text
}
