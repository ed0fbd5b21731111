package decision

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// GateStatus is the outcome of one gate.
type GateStatus string

// The outcomes of a gate. Only GatePass is good; GateFail blocks; GateFlag,
// GateTooFew and GateInsufficient ask a person to look; GateNotChecked was not
// asked for.
const (
	GatePass         GateStatus = "pass"
	GateFail         GateStatus = "fail"
	GateFlag         GateStatus = "flag"
	GateTooFew       GateStatus = "too few"
	GateInsufficient GateStatus = "insufficient"
	GateNotChecked   GateStatus = "not checked"
)

// Gate is one row of the evidence.
type Gate struct {
	Name      string
	Status    GateStatus
	Value     any       // nil, a text, or a number (int, float64, json.Number)
	Threshold any       // likewise
	Rule      string    // how value and threshold must stand: ">=", "<=", or empty
	Interval  *Interval // of the value; nil: unknown
	N         int       // examples behind the value, 0 when unknown
	P         *float64  // of a paired difference, corrected over the slice gates
	Evidence  string    // the file that shows it
	Detail    string    // what else is to be said
	Needed    int       // about how many more examples would settle it, 0 when unknown
}

// Interval is a confidence interval.
type Interval struct {
	Low, High float64
	Level     float64 // 0.95
}

// Unjudged warns of a verdict to ship although no metric was held against a limit,
// as the usual criteria, which are those of sft, leave a classification. It is
// empty where one was. Run is what the sentence calls the run, metrics are those
// that it has.
func Unjudged(run, recommendation string, gates []Gate, metrics []string) string {
	if recommendation != Ship || slices.ContainsFunc(gates, Gate.judged) {
		return ""
	}
	words := "no metric of " + run + " was held against a limit; a policy can set one"
	if len(metrics) > 0 {
		words += " for " + strings.Join(slices.Sorted(slices.Values(metrics)), ", ")
	}
	return words + " (verifily help policy)"
}

// judged says whether a metric was held against a limit, and not the number of
// something or whether a file is there.
func (g Gate) judged() bool {
	switch v := g.Value.(type) {
	case float64:
		return true
	case json.Number:
		_, err := v.Float64()
		return g.N > 0 || err == nil && strings.ContainsAny(v.String(), ".eE")
	}
	return g.N > 0
}

func (g Gate) object() canonical.Object {
	optional := func(set bool, v any) any {
		if !set {
			return nil
		}
		return v
	}
	var interval any
	if i := g.Interval; i != nil && finite(i.Low) && finite(i.High) {
		interval = canonical.Object{{Key: "low", Value: i.Low}, {Key: "high", Value: i.High}, {Key: "level", Value: i.Level}}
	}
	var p any
	if g.P != nil && finite(*g.P) {
		p = *g.P
	}
	return canonical.Object{
		{Key: "name", Value: g.Name},
		{Key: "status", Value: string(g.Status)},
		{Key: "value", Value: g.Value},
		{Key: "threshold", Value: g.Threshold},
		{Key: "rule", Value: optional(g.Rule != "", g.Rule)},
		{Key: "interval", Value: interval},
		{Key: "n", Value: optional(g.N > 0, g.N)},
		{Key: "p", Value: p},
		{Key: "evidence", Value: optional(g.Evidence != "", g.Evidence)},
		{Key: "detail", Value: optional(g.Detail != "", g.Detail)},
		{Key: "needed", Value: optional(g.Needed > 0, g.Needed)},
	}
}

// GatesObject returns decision/gates.json.
func (d *Decision) GatesObject() canonical.Object {
	rows := make([]canonical.Object, len(d.Gates))
	for i, g := range d.Gates {
		rows[i] = g.object()
	}
	return canonical.Object{{Key: "recommendation", Value: d.Recommendation}, {Key: "exit_code", Value: d.ExitCode}, {Key: "gates", Value: rows}}
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// quiet makes a text from data safe to stand in a sentence.
func quiet(s string) string { return text.Escape(s) }

// label is how a metric reads in a sentence.
func label(metric string) string {
	switch metric {
	case "f1":
		return "F1"
	case "exact_match":
		return "Exact match"
	}
	return quiet(metric)
}

// limits judges the metrics over all examples.
func (j *judge) limits() {
	limits := j.in.Criteria.limits()
	if len(j.out.Metrics) == 0 {
		j.unmeasured(limits)
		return
	}
	for _, l := range limits {
		if l.kind == regression {
			j.regression("", l)
		} else {
			j.bound("", l)
		}
	}
}

// unmeasured is said once when there are no metrics at all.
func (j *judge) unmeasured(limits []limit) {
	asked := false
	for _, l := range limits {
		j.row(Gate{Name: gateName("", l), Status: GateInsufficient, Threshold: l.bound.json(), Rule: l.rule(), Evidence: j.in.Evidence.EvalFile,
			Detail: "no metrics"})
		asked = asked || l.kind != regression
	}
	if asked {
		j.block("Eval results missing or invalid — cannot verify metric thresholds", "eval_missing")
	}
}

func gateName(slice string, l limit) string {
	name := l.metric
	if l.kind == regression {
		name += " regression"
	}
	if slice != "" {
		name = slice + " " + name
	}
	return quiet(name)
}

// mayBeAbsent says whether a limit is one of the contract's defaults that
// nobody asked for by name: without its metric it is passed over.
func (j *judge) mayBeAbsent(l limit) bool {
	switch l.key {
	case minF1, minExactMatch, maxF1Regression:
		return j.in.Policy == nil || !j.in.Policy.explicit[l.key]
	}
	return false
}

// measured returns the value of a metric over all examples or in a slice. text
// is how a value that is no number reads.
func (r *Results) measured(slice, metric string) (value Number, text string, ok bool) {
	if r == nil {
		return Number{}, "", false
	}
	if slice != "" {
		v, ok := r.Slices[slice].Metrics[metric]
		if !ok || !finite(v) {
			return Number{}, "", false
		}
		return floatNumber(v), "", true
	}
	if v, ok := r.Metrics.Get(metric); ok {
		return v, "", true
	}
	return Number{}, r.NonFinite[metric], false
}

// prefix puts the slice before a sentence and before a flag.
func prefix(slice string) (sentence, flag string) {
	if slice == "" {
		return "", ""
	}
	return quiet(slice) + " ", quiet(slice) + ":"
}

// bound judges min_METRIC and max_METRIC.
func (j *judge) bound(slice string, l limit) {
	say, flag := prefix(slice)
	name := say + label(l.metric)
	key := evidenceKey(slice, l.metric)
	side := "below"
	if l.kind == atMost {
		side = "above"
	}
	g := Gate{Name: gateName(slice, l), Threshold: l.bound.json(), Rule: l.rule(), Evidence: j.in.Evidence.EvalFile,
		Interval: j.in.Evidence.Intervals[key]}
	value, nan, ok := j.in.Eval.measured(slice, l.metric)
	if ok || nan != "" {
		g.N = j.in.Evidence.counts(j.in.Eval, slice, l.metric)
	}
	predicted, contradicted := j.in.Evidence.Contradicted[key]
	if contradicted {
		g.Detail = fmt.Sprintf("the predictions give %.4f", predicted)
	}
	switch {
	case nan != "": // a model that answers NaN does not meet a limit
		g.Status, g.Value = GateFail, nan
		j.block(fmt.Sprintf("%s (%s) %s threshold (%s)", name, nan, side, l.bound), flag+quiet(l.metric)+"_"+side+"_threshold")
	case !ok && slice == "" && j.mayBeAbsent(l):
		g.Status, g.Detail = GateNotChecked, "not measured"
	case !ok:
		g.Status, g.Detail = GateInsufficient, "not measured"
		j.warn(fmt.Sprintf("%s was not measured — cannot verify threshold (%s)", name, l.bound), flag+quiet(l.metric)+"_missing")
	case l.kind == atLeast && value.float < l.bound.float, l.kind == atMost && value.float > l.bound.float:
		g.Status, g.Value = GateFail, value.json()
		j.block(fmt.Sprintf("%s (%.4f) %s threshold (%s)", name, value.float, side, l.bound), flag+quiet(l.metric)+"_"+side+"_threshold")
	case contradicted && j.in.Policy != nil:
		g.Status, g.Value = GateFlag, value.json()
		j.warn(fmt.Sprintf("%s (%.4f) meets threshold (%s), but the predictions give %.4f", name, value.float, l.bound, predicted),
			flag+quiet(l.metric)+"_contradicted")
	default:
		g.Status, g.Value = GatePass, value.json()
		j.reasons = append(j.reasons, fmt.Sprintf("%s (%.4f) meets threshold (%s)", name, value.float, l.bound))
	}
	j.row(g)
}
