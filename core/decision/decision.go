// Package decision turns what is known about a run into one verdict: SHIP,
// DONT_SHIP or INVESTIGATE, with its reasons and one row for every gate.
//
// Decide is a pure function: it reads no file and no clock, and the same input
// gives the same bytes. Without a Policy it is the decision of the run contract,
// to the byte; a policy adds gates and never takes one away. A gate that could
// not be judged is never a pass: it asks a person to look. Gather collects the
// input from disk, Write puts the decision into the run.
package decision

import (
	"fmt"
	"strings"

	"github.com/verifily/verifily-tui/core/contract"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// The recommendations.
const (
	Ship        = "SHIP"
	DontShip    = "DONT_SHIP"
	Investigate = "INVESTIGATE"
)

// The exit codes of a decision.
const (
	ExitShip            = 0
	ExitDontShip        = 1
	ExitInvestigate     = 2
	ExitContractInvalid = 3
	ExitToolError       = 4 // of the caller: there is no decision
)

// Input is all that a decision depends on.
type Input struct {
	Contract      contract.Result
	Contamination *Contamination // nil: not checked
	Report        *Report        // of the data set; nil: none
	Eval          *Results       // nil: missing or invalid
	Baseline      *Results       // nil: no comparison asked for
	Criteria      Criteria
	Policy        *Policy  // nil: the contract's gates alone
	Evidence      Evidence // what the gates of a policy need besides
}

// Contamination is the outcome of a search for test data in training data.
type Contamination struct {
	Status         string // PASS, WARN or FAIL
	ExactOverlaps  int
	NearDuplicates int
	// TrainHash and EvalHash are the hex SHA-256 of the files that were compared,
	// empty when unknown. Gather holds them against the run.
	TrainHash, EvalHash string
}

// Report is what a data set's report says.
type Report struct {
	PIIHits *Number // nil: not scanned
	Quality *Number // 0 to 100, of other tools; nil: not scored
}

// Results are the results of an evaluation.
type Results struct {
	Metrics Metrics // the metrics that are numbers; those that are not finite are left out
	// NonFinite names metrics that are NaN or infinite: "nan", "inf", "-inf".
	NonFinite map[string]string
	N         int              // examples; 0: unknown
	Slices    map[string]Slice // by "key=value"
}

// Slice is the part of the test data that shares a tag value.
type Slice struct {
	N       int
	Metrics map[string]float64
}

// Decision is the verdict on a run.
type Decision struct {
	Recommendation    string
	ExitCode          int
	Confidence        float64 // 0 to 1, two decimals
	Reasons           []string
	RiskFlags         []string
	BlockerPrecedence []string
	Metrics           Metrics
	BaselineMetrics   Metrics // nil: no baseline
	Deltas            Metrics // new - baseline, six decimals; nil: nothing to compare
	MissingFiles      []string

	// Gates are the rows behind the verdict, in the order judged. They are not
	// part of decision.json.
	Gates []Gate
}

// Object returns decision.json, its keys in the contract's order.
func (d *Decision) Object() canonical.Object {
	o := canonical.Object{
		{Key: "recommendation", Value: d.Recommendation},
		{Key: "exit_code", Value: d.ExitCode},
		{Key: "confidence", Value: d.Confidence},
		{Key: "reasons", Value: d.Reasons},
		{Key: "risk_flags", Value: d.RiskFlags},
		{Key: "blocker_precedence", Value: d.BlockerPrecedence},
		{Key: "metrics", Value: d.Metrics.object()},
		{Key: "baseline_metrics", Value: d.BaselineMetrics.object()},
		{Key: "deltas", Value: d.Deltas.object()},
	}
	if d.MissingFiles != nil {
		o = append(o, canonical.Member{Key: "missing_files", Value: d.MissingFiles})
	}
	return o
}

// JSON returns the bytes of decision.json.
func (d *Decision) JSON() ([]byte, error) { return canonical.Indent(d.Object()) }

// Text returns decision.txt.
func (d *Decision) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Recommendation: %s\nExit code: %d\nConfidence: %s\nReasons:\n",
		d.Recommendation, d.ExitCode, canonical.Float(d.Confidence))
	for _, r := range d.Reasons {
		fmt.Fprintf(&b, "  - %s\n", r)
	}
	return b.String()
}

// Decide judges a run.
func Decide(in Input) *Decision {
	if !in.Contract.Valid {
		return contractInvalid(in)
	}
	j := judge{in: in, out: &Decision{Metrics: Metrics{}, Gates: []Gate{}}}
	j.contract()
	j.personalData()
	j.contamination()
	j.compare()
	j.quality()
	j.limits()
	if in.Policy != nil {
		j.policy(in.Policy)
	}
	return j.verdict()
}

func contractInvalid(in Input) *Decision {
	return &Decision{
		Recommendation: DontShip, ExitCode: ExitContractInvalid, Confidence: 1,
		Reasons:   []string{"Run contract failed — required artifacts missing"},
		RiskFlags: []string{"contract_fail"}, BlockerPrecedence: []string{"CONTRACT_INVALID"},
		Metrics: Metrics{}, MissingFiles: in.Contract.Missing(),
		Gates: []Gate{contractGate(in.Contract)},
	}
}

// judge collects blockers, reasons, flags and rows.
type judge struct {
	in       Input
	out      *Decision
	blockers []string
	reasons  []string
	flags    []string
}

func (j *judge) block(text, flag string) {
	j.blockers = append(j.blockers, text)
	j.flags = append(j.flags, flag)
}

func (j *judge) warn(text, flag string) {
	j.reasons = append(j.reasons, text)
	j.flags = append(j.flags, flag)
}

func (j *judge) row(g Gate) { j.out.Gates = append(j.out.Gates, g) }

func (j *judge) contract() {
	j.row(contractGate(j.in.Contract))
	if s := j.in.Evidence.Hashes; s != nil {
		g := Gate{Name: "hashes", Status: GatePass, Value: s.Text, Threshold: "all", Evidence: "hashes.json"}
		if !s.Intact {
			g.Status = GateFlag
			g.Detail = "shown only: require_hashes in the policy makes it count"
			if j.in.Policy != nil && j.in.Policy.RequireHashes {
				g.Status, g.Detail = GateFail, ""
				j.block("Hashes do not match: "+s.Text, "hash_mismatch")
			}
		}
		j.row(g)
	}
}

func contractGate(r contract.Result) Gate {
	passed := 0
	for _, c := range r.Checks {
		if c.Status == contract.Pass {
			passed++
		}
	}
	g := Gate{Name: "contract", Status: GatePass, Value: fmt.Sprintf("%d of %d files", passed, len(r.Checks)),
		Threshold: "all", Evidence: "hashes.json"}
	if !r.Valid {
		g.Status, g.Detail = GateFail, "missing or not usable: "+quiet(strings.Join(r.Missing(), ", "))
	}
	return g
}

func (j *judge) personalData() {
	most, asked := j.in.Criteria[maxPIIHits]
	if !asked {
		return
	}
	g := Gate{Name: "pii hits", Status: GateNotChecked, Threshold: most.json(), Rule: "<=", Evidence: j.in.Evidence.ReportFile}
	if r := j.in.Report; r != nil && r.PIIHits != nil {
		g.Status, g.Value, g.Detail = GatePass, r.PIIHits.json(), quiet(j.in.Evidence.ReportOf)
		if r.PIIHits.float > most.float {
			g.Status = GateFail
			j.block(fmt.Sprintf("PII hits (%s) exceed max allowed (%s)", r.PIIHits, most), "pii_violation")
		}
	}
	j.row(g)
}

func (j *judge) contamination() {
	g := Gate{Name: "contamination", Status: GateNotChecked, Threshold: "0 exact, 0 near", Evidence: j.in.Evidence.ContaminationFile}
	if c := j.in.Contamination; c != nil {
		g.Value = fmt.Sprintf("%d exact, %d near", c.ExactOverlaps, c.NearDuplicates)
		g.Status = GatePass
		switch c.Status {
		case "FAIL":
			g.Status = GateFail
			j.block(fmt.Sprintf("Contamination FAIL: %d exact overlaps, %d near-duplicates", c.ExactOverlaps, c.NearDuplicates),
				"contamination_fail")
		case "WARN":
			g.Status = GateFlag
			j.warn(fmt.Sprintf("Contamination WARN: %d near-duplicates", c.NearDuplicates), "contamination_warn")
		}
		if other := j.in.Evidence.ContaminationOf; other != "" {
			// What was found elsewhere counts all the same; that nothing was found
			// there says nothing of this run.
			g.Detail = "searched in " + quiet(other)
			if j.in.Policy != nil && g.Status == GatePass {
				g.Status = GateInsufficient
				j.warn("Contamination: the search was made in "+quiet(other), "contamination_of_other_data")
			}
		}
	}
	j.row(g)
}

// compare takes the metrics over and forms their differences.
func (j *judge) compare() {
	if j.in.Eval != nil && j.in.Eval.Metrics != nil {
		j.out.Metrics = j.in.Eval.Metrics
	}
	if b := j.in.Baseline; b != nil {
		j.out.BaselineMetrics = Metrics{}
		if b.Metrics != nil {
			j.out.BaselineMetrics = b.Metrics
		}
		if len(j.out.Metrics) > 0 {
			j.out.Deltas = differences(j.out.Metrics, j.out.BaselineMetrics)
		}
	}
}

func (j *judge) quality() {
	least, asked := j.in.Criteria[minQualityScore]
	if !asked {
		return
	}
	g := Gate{Name: "quality score", Status: GateNotChecked, Threshold: least.json(), Rule: ">=", Evidence: j.in.Evidence.ReportFile}
	if r := j.in.Report; r != nil && r.Quality != nil {
		g.Status, g.Value = GatePass, r.Quality.json()
		if r.Quality.float < least.float {
			g.Status = GateFail
			j.block(fmt.Sprintf("Quality score (%s) below threshold (%s)", r.Quality, least), "quality_below_threshold")
		}
	}
	j.row(g)
}

// verdict weighs what was found.
func (j *judge) verdict() *Decision {
	d := j.out
	d.RiskFlags = append([]string{}, j.flags...)
	d.BlockerPrecedence = append([]string{}, j.blockers...)
	d.Reasons = append(append([]string{}, j.blockers...), j.reasons...)
	switch {
	case len(j.blockers) > 0:
		d.Recommendation, d.ExitCode = DontShip, ExitDontShip
		d.Confidence = min(0.3, 0.1*float64(len(j.blockers)))
	case len(j.flags) > 0:
		d.Recommendation, d.ExitCode = Investigate, ExitInvestigate
		d.Confidence = max(0.5, 0.8-0.1*float64(len(j.flags)))
		d.Reasons = append(d.Reasons, "Risk flags present but no hard blockers")
	default:
		d.Recommendation, d.ExitCode = Ship, ExitShip
		passed := 0
		for _, r := range d.Reasons {
			if strings.Contains(r, "meets") || strings.Contains(r, "passed") {
				passed++
			}
		}
		d.Confidence = min(1, 0.9+0.02*float64(passed))
		if len(d.Reasons) == 0 {
			d.Reasons = append(d.Reasons, "All criteria passed")
		}
	}
	d.Confidence = round(d.Confidence, 2)
	return d
}
