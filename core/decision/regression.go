package decision

import (
	"fmt"
	"math"

	"github.com/verifily/verifily-tui/core/metrics"
)

// Evidence is what gates need besides the results: it is gathered outside, so
// that the decision stays a pure function.
type Evidence struct {
	EvalFile, ContaminationFile, ReportFile string // shown in the rows
	// ContaminationOf and ReportOf say, where that is known, that the file is
	// about other data than the run's; empty otherwise.
	ContaminationOf, ReportOf string

	Hashes *Integrity // nil: not looked at
	// Intervals of metrics, by evidenceKey. A metric without one has none shown.
	Intervals map[string]*Interval
	// Counts has, by evidenceKey, the examples that an interval is made of.
	Counts map[string]int
	// Contradicted has, by evidenceKey, what the predictions give where the results
	// say otherwise; such a metric has neither interval nor count.
	Contradicted map[string]float64
	// Differences, paired by example, new - baseline, by evidenceKey.
	Differences map[string]Difference
	Reviewed    *Reviewed // nil: there are no hard examples
}

// Integrity is the outcome of hashing a run's files again.
type Integrity struct {
	Intact bool
	Text   string
}

// Difference is the mean paired difference of a metric, new - baseline.
type Difference struct {
	N        int // pairs
	Mean     float64
	Interval Interval
	P        float64 // two-sided, corrected where several gates are judged together
	Alike    bool    // all pairs are equal
	// Unpaired says why the examples cannot be paired; then nothing else is set.
	Unpaired string
}

// Reviewed counts the labels that people gave to the hard examples of a run.
type Reviewed struct {
	Hard   int            // hard examples
	Labels map[string]int // labelled examples by label
}

// Labelled returns how many examples have a label.
func (r *Reviewed) Labelled() int {
	n := 0
	for _, c := range r.Labels {
		n += c
	}
	return n
}

// evidenceKey addresses a metric, over all examples or in a slice.
func evidenceKey(slice, metric string) string { return slice + "\x00" + metric }

// counts returns how many examples are behind a metric, 0 when unknown: those
// that have a value where the predictions tell, else all.
func (e *Evidence) counts(r *Results, slice, metric string) int {
	switch n, ok := e.Counts[evidenceKey(slice, metric)]; {
	case ok:
		return n
	case r == nil:
		return 0
	case slice == "":
		return r.N
	}
	return r.Slices[slice].N
}

// regression judges max_METRIC_regression: how much worse than the baseline a
// metric may be. With significance in the policy it is judged on the paired
// differences, else on the difference of the two values.
func (j *judge) regression(slice string, l limit) {
	say, flag := prefix(slice)
	name := say + label(l.metric)
	g := Gate{Name: gateName(slice, l), Threshold: l.bound.json(), Rule: l.rule(), Evidence: j.in.Evidence.EvalFile}
	// worse is how much is lost: positive when the run is worse.
	sign, direction := 1.0, "-"
	if metrics.LowerIsBetter(l.metric) {
		sign, direction = -1, "+"
	}
	delta, ok := j.delta(slice, l.metric)
	switch {
	case j.in.Baseline == nil:
		g.Status, g.Detail = GateNotChecked, "no baseline"
		j.row(g)
		return
	case !ok && slice == "" && j.mayBeAbsent(l):
		g.Status, g.Detail = GateNotChecked, "not measured in both runs"
		j.row(g)
		return
	case !ok:
		g.Status, g.Detail = GateInsufficient, "not measured in both runs"
		j.warn(fmt.Sprintf("%s regression cannot be verified: not measured in both runs", name), flag+quiet(l.metric)+"_regression_missing")
		j.row(g)
		return
	}
	g.Value, g.N = delta.json(), j.in.Evidence.counts(j.in.Eval, slice, l.metric)
	exceeded := -sign*delta.float > l.bound.float
	g.Status = GatePass
	if exceeded {
		g.Status = GateFail
	}
	switch p := j.in.Policy; {
	case p != nil && p.Significance != nil:
		j.weigh(&g, slice, l, sign)
	case slice == "" && j.in.Eval.N > 0 && j.in.Baseline.N > 0 && j.in.Eval.N != j.in.Baseline.N:
		g.Detail = fmt.Sprintf("not paired, the baseline answered other examples (n=%d)", j.in.Baseline.N)
	}
	regressionFlag := flag + "regression_exceeded"
	if l.metric != "f1" {
		regressionFlag = flag + quiet(l.metric) + "_regression_exceeded"
	}
	switch g.Status {
	case GateFail:
		j.block(fmt.Sprintf("%s regression (%+.4f) exceeds max allowed (%s%s)", name, delta.float, direction, l.bound), regressionFlag)
	case GateFlag:
		j.warn(fmt.Sprintf("%s regression (%+.4f) exceeds max allowed (%s%s), but %s", name, delta.float, direction, l.bound, g.Detail),
			flag+quiet(l.metric)+"_regression_not_significant")
	case GateInsufficient:
		j.warn(fmt.Sprintf("%s regression: insufficient evidence, %s", name, g.Detail),
			flag+quiet(l.metric)+"_regression_insufficient_evidence")
	}
	j.row(g)
}

// delta is new - baseline, as it stands in the decision for all examples.
func (j *judge) delta(slice, metric string) (Number, bool) {
	if slice == "" {
		return j.out.Deltas.Get(metric)
	}
	now, _, ok := j.in.Eval.measured(slice, metric)
	base, _, baseOK := j.in.Baseline.measured(slice, metric)
	if !ok || !baseOK {
		return Number{}, false
	}
	return floatNumber(round(now.float-base.float, 6)), true
}

// weigh looks at the interval of the paired difference. A loss beyond the
// margin blocks only when the interval excludes zero and the p, corrected over
// the slice gates, agrees; a loss within it passes only when the test could have
// seen one of the size of the margin: when there are enough pairs for an interval
// to mean anything, the loss is within the margin on them, too, and the interval
// is within the margin, or no wider to the losing side than the margin itself.
func (j *judge) weigh(g *Gate, slice string, l limit, sign float64) {
	d, ok := j.in.Evidence.Differences[evidenceKey(slice, l.metric)]
	if !ok || d.Unpaired != "" {
		why := d.Unpaired
		if why == "" {
			why = "no paired predictions"
		}
		g.Detail = "judged on the two values: " + quiet(why)
		if g.Status == GatePass {
			g.Status, g.Detail = GateInsufficient, quiet(why)
		}
		return
	}
	g.N, g.P = d.N, &d.P
	interval := d.Interval
	g.Interval = &interval
	worst, best := sign*d.Interval.Low, sign*d.Interval.High
	if sign < 0 {
		worst, best = best, worst
	}
	margin := l.bound.float
	half := (best - worst) / 2
	switch {
	case g.Status == GateFail && best >= 0:
		g.Status, g.Detail = GateFlag, "its paired interval includes zero"
	case g.Status == GateFail && d.P > 1-d.Interval.Level+1e-12:
		over := ""
		if slice != "" {
			over = " once corrected over the slices"
		}
		g.Status, g.Detail = GateFlag, fmt.Sprintf("it is not significant%s (p = %.4f)", over, d.P)
	case g.Status == GatePass && d.N < j.in.Policy.MinSlice:
		g.Status, g.Needed = GateInsufficient, j.in.Policy.MinSlice-d.N
		g.Detail = fmt.Sprintf("%d of %d pairs that it takes", d.N, j.in.Policy.MinSlice)
	case g.Status == GatePass && -sign*d.Mean > margin:
		g.Status, g.Detail = GateInsufficient, fmt.Sprintf("the %d pairs give %+.4f", d.N, d.Mean)
	case g.Status == GatePass && worst < -margin && half > margin:
		g.Status = GateInsufficient
		g.Detail = fmt.Sprintf("the interval is ±%.4f wide and the margin %s", half, l.bound)
		if margin > 0 && d.N > 0 {
			// The width falls with the square root of the examples, and with their
			// number where all of them are alike.
			ratio := half / margin
			if !d.Alike {
				ratio *= ratio
			}
			if need := math.Ceil(float64(d.N)*ratio) - float64(d.N); need < 1e9 {
				g.Needed = int(need)
				g.Detail += fmt.Sprintf("; about %d more examples would do", g.Needed)
			}
		}
	}
}
