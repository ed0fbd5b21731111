package compare

import (
	"slices"

	"github.com/verifily/verifily-tui/core/stats"
)

// Result is a comparison. Its JSON form is written by WriteJSON, with the field
// names given here; they stay.
type Result struct {
	// Metric is the one that slices are compared by.
	Metric string `json:"metric"`
	Task   string `json:"task" empty:"null"`
	// Alpha is the level of the tests; intervals of differences are at 1-alpha,
	// those of values at 95 %.
	Alpha     float64 `json:"alpha"`
	Resamples int     `json:"resamples"`
	Seed      int64   `json:"seed"`
	MinSlice  int     `json:"min_slice"`
	// Runs lists the runs, the base first. Lists of values follow its order,
	// lists of differences that of the runs after the first.
	Runs    []Run     `json:"runs"`
	Pairing []Pairing `json:"pairing"`
	// Overall has a row a metric, Metric first.
	Overall []Metric `json:"overall"`
	// Slices are sorted by what became worse most in the first run after the
	// base; those with too few examples come last.
	Slices []Slice `json:"slices"`
	// Examples has the changed answers of each run after the first that could be
	// paired.
	Examples    []Examples   `json:"examples"`
	Config      []Difference `json:"config_differences"`
	Data        []Difference `json:"data_differences"`
	Environment []Difference `json:"environment_differences"`
	// Notes are sentences about what limits the comparison.
	Notes []string `json:"notes"`
}

// Run is one of the runs compared.
type Run struct {
	ID             string `json:"run_id"`
	Name           string `json:"run_name" empty:"null"`
	Path           string `json:"path"` // as it was given
	BaseModel      string `json:"base_model" empty:"null"`
	NumExamples    int    `json:"num_examples"`
	HasPredictions bool   `json:"has_predictions"`

	shared bool     // another run of the comparison has the same name
	lacks  []string // files that could not be read
}

// Inputs is a group of what went into the runs.
type Inputs struct {
	Name    string // config, data or environment
	Differ  []Difference
	Unknown bool // of a run at least: that nothing differs says nothing
}

// Inputs lists what went into the runs.
func (r *Result) Inputs() []Inputs {
	unknown := func(file string) bool {
		return slices.ContainsFunc(r.Runs, func(run Run) bool { return slices.Contains(run.lacks, file) })
	}
	return []Inputs{{"config", r.Config, unknown("config.yaml")}, {"data", r.Data, false}, {"environment", r.Environment, unknown("environment.json")}}
}

// Label is the name of the run, with its id where another run of the comparison
// has the same name, or else its id.
func (r Run) Label() string {
	switch {
	case r.Name == "":
		return r.ID
	case r.shared:
		return r.Name + " (" + r.ID + ")"
	}
	return r.Name
}

// Pairing says how the examples of a run were matched with those of the base.
type Pairing struct {
	Run string `json:"run_id"`
	// Paired says whether differences are paired: at least half of the examples
	// of the smaller run were matched.
	Paired      bool `json:"paired"`
	Matched     int  `json:"matched"`
	ByID        int  `json:"by_id"`
	ByInputHash int  `json:"by_input_hash"`
	// Unmatched examples have no partner; they count for the values of their
	// run, not for paired differences.
	UnmatchedBase int `json:"unmatched_base"`
	UnmatchedRun  int `json:"unmatched_run"`
	// Duplicates share their id, or their input and reference, with another
	// example of the same run, and are left unmatched.
	DuplicatesBase int `json:"duplicates_base"`
	DuplicatesRun  int `json:"duplicates_run"`
	// Changed examples have the same id but another input or reference.
	Changed int    `json:"changed"`
	Note    string `json:"note" empty:"null"`
}

// Value is a metric of one run.
type Value struct {
	Value    float64         `json:"value"`
	N        int             `json:"n"`
	Interval *stats.Interval `json:"interval"` // 95 %, null where it is not known
}

// Metric compares the runs by a metric, over all examples.
type Metric struct {
	Metric        string   `json:"metric"`
	LowerIsBetter bool     `json:"lower_is_better"`
	Values        []*Value `json:"values"` // null where a run does not have it
	Deltas        []*Delta `json:"deltas"` // null where it cannot be computed
}

// Slice compares the runs by Result.Metric over the examples with a tag value.
type Slice struct {
	Key    string   `json:"key"`
	Value  string   `json:"value"`
	TooFew bool     `json:"too_few"` // under min_slice examples in some run: not tested
	Values []*Value `json:"values"`
	Deltas []*Delta `json:"deltas"`
}

// Verdict says what a test found.
type Verdict string

// The verdicts. A difference without a test has none.
const (
	Better  Verdict = "better"
	Worse   Verdict = "worse"
	Unclear Verdict = "unclear" // may be chance
)

// The methods that probabilities come from.
const (
	MethodMcNemar   = "mcnemar_exact"
	MethodBootstrap = "bootstrap"
)

// Delta is a run less the base.
type Delta struct {
	// Delta is taken over the matched examples where it is paired.
	Delta    float64         `json:"delta"`
	Paired   bool            `json:"paired"`
	N        int             `json:"n"` // examples, or pairs of them
	Interval *stats.Interval `json:"interval"`
	SE       *float64        `json:"se"`
	P        *float64        `json:"p"`
	PMethod  string          `json:"p_method" empty:"null"`
	// PHolm is P adjusted over the slices of the run that were tested; for an
	// overall metric it is P.
	PHolm       *float64 `json:"p_holm"`
	Significant bool     `json:"significant"` // p_holm < alpha
	Verdict     Verdict  `json:"verdict" empty:"null"`
	// Detectable is the smallest true difference that this comparison finds
	// four times out of five.
	Detectable *float64 `json:"detectable"`
	// MoreExamples is how many examples more would bring the interval clear of
	// zero if the difference stays as it is; null where the test has found it,
	// or where none would do.
	MoreExamples *int `json:"more_examples"`
}

// Examples lists the examples that a run and the base answer differently, right
// and wrong: exact match, or the right label.
type Examples struct {
	Run    string    `json:"run_id"`
	Fixed  []Example `json:"fixed"`  // wrong in the base, right in the run
	Broken []Example `json:"broken"` // right in the base, wrong in the run
}

// Example is an example with both answers; texts are cut to runs.MaxInput code
// points.
type Example struct {
	Index          int    `json:"index"` // in the base
	ID             string `json:"id" empty:"null"`
	Input          string `json:"input"`
	Reference      string `json:"reference"`
	BasePrediction string `json:"base_prediction"`
	Prediction     string `json:"prediction"`
}
