package decision

import (
	"fmt"
)

// policy judges what only a policy asks for.
func (j *judge) policy(p *Policy) {
	for _, s := range p.Slices {
		for _, l := range s.Criteria.limits() {
			j.slice(p, s.Name, l)
		}
	}
	if p.Review != nil {
		j.review(p.Review)
	}
}

// slice judges one limit in a slice. A slice with too few rows says nothing,
// neither good nor bad.
func (j *judge) slice(p *Policy, name string, l limit) {
	if len(j.out.Metrics) == 0 {
		j.row(Gate{Name: gateName(name, l), Status: GateInsufficient, Threshold: l.bound.json(), Rule: l.rule(),
			Evidence: j.in.Evidence.EvalFile, Detail: "no metrics"})
		return
	}
	n := 0
	if j.in.Eval != nil {
		n = j.in.Eval.Slices[name].N
	}
	if n < p.MinSlice && !(l.kind == regression && j.in.Baseline == nil) {
		g := Gate{Name: gateName(name, l), Status: GateTooFew, Threshold: l.bound.json(), Rule: l.rule(), N: n, Evidence: j.in.Evidence.EvalFile,
			Detail: fmt.Sprintf("%d of %d rows", n, p.MinSlice), Needed: p.MinSlice - n}
		if v, _, ok := j.in.Eval.measured(name, l.metric); ok && l.kind != regression {
			g.Value = v.json()
		}
		_, flag := prefix(name)
		text := fmt.Sprintf("%s has too few rows (%d of %d) to judge %s", quiet(name), n, p.MinSlice, label(l.metric))
		if !j.said(flag + "too_few") {
			j.warn(text, flag+"too_few")
		}
		j.row(g)
		return
	}
	if l.kind == regression {
		j.regression(name, l)
	} else {
		j.bound(name, l)
	}
}

// said says whether a flag was raised before.
func (j *judge) said(flag string) bool {
	for _, f := range j.flags {
		if f == flag {
			return true
		}
	}
	return false
}

// review judges whether people have read enough of the hard examples, and what
// they found. Fewer hard examples than asked for are enough when all are read; a
// run without a list of them has none that were.
func (j *judge) review(r *Review) {
	need := r.Min
	done := j.in.Evidence.Reviewed
	if done == nil {
		done = &Reviewed{}
	} else {
		need = min(need, done.Hard)
	}
	nothingHard := j.in.Evidence.Reviewed != nil && done.Hard == 0
	read := done.Labelled()
	g := Gate{Name: "review", Status: GatePass, Value: read, Threshold: r.Min, Rule: ">=", N: done.Hard, Evidence: "review/",
		Detail: fmt.Sprintf("%d of %d read", read, done.Hard)}
	if read < need {
		g.Status, g.Needed = GateFlag, need-read
		j.warn(fmt.Sprintf("Review: %d of %d hard examples labelled", read, need), "review_incomplete")
	}
	j.row(g)
	for _, s := range r.MaxShare {
		g := Gate{Name: "review: " + quiet(s.Label), Threshold: s.Max.json(), Rule: "<=", Evidence: "review/", N: read}
		if nothingHard {
			g.Status, g.Detail = GateNotChecked, "no hard examples"
			j.row(g)
			continue
		}
		if read == 0 || read < need {
			g.Status, g.Detail = GateTooFew, fmt.Sprintf("%d of %d read", read, max(1, need))
			if !j.said("review_incomplete") {
				j.warn("Review: no hard example is labelled, and the share of labels is limited", "review_incomplete")
			}
			j.row(g)
			continue
		}
		share := float64(done.Labels[s.Label]) / float64(read)
		g.Status, g.Value = GatePass, share
		if share > s.Max.float {
			g.Status = GateFail
			j.block(fmt.Sprintf("Review: share of %s (%.4f) exceeds max allowed (%s)", quiet(s.Label), share, s.Max), "review_share_exceeded")
		}
		j.row(g)
	}
}
