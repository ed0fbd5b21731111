package batch

import "slices"

// checkEvaluations reports evaluations of the same run on the same data, the
// results of which would replace each other.
func (r *planReader) checkEvaluations(names map[string]int) {
	first := map[[2]string]*Job{} // by run and data
	for i := range r.plan.Jobs {
		j := &r.plan.Jobs[i]
		if j.Run == "" {
			continue
		}
		what := [2]string{j.Run, j.Eval.TestData}
		if first[what] == nil {
			first[what] = j
			at, ok := names[j.Run]
			if !ok || r.plan.Jobs[at].Config == nil || j.Eval.TestData != "" {
				continue // nobody else evaluates it
			}
			first[what] = &r.plan.Jobs[at]
		}
		if other := first[what]; !sameEvaluation(other, j) {
			r.report(j.line, j.Name+".eval", "is of the same run and data as that of the job "+other.Name+", and one would replace the other", "make one evaluation of both, or set another test_data")
		}
	}
}

// sameEvaluation says whether a job that evaluates finds what another does.
func sameEvaluation(other, j *Job) bool {
	e := other.Eval
	if c := other.Config; c != nil {
		if !c.Eval.Enabled {
			return true
		}
		e = j.Eval // what it does not set is left to the run
		if e.Metrics != nil {
			e.Metrics = c.MetricNames()
		}
		if e.SliceBy != nil {
			e.SliceBy = c.Eval.SliceByTags
		}
		if e.HardExamples != nil {
			e.HardExamples = &c.Eval.HardExamples
		}
	}
	return slices.Equal(e.Metrics, j.Eval.Metrics) && slices.Equal(e.SliceBy, j.Eval.SliceBy) && valueOf(e.HardExamples) == valueOf(j.Eval.HardExamples)
}

func valueOf(n *int) int {
	if n == nil {
		return -1
	}
	return *n
}
