package reproduce

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs"
)

// DefaultTolerance is how far a metric of a repeated run may be from that of
// the original, as a share of it (of 1 where it is smaller).
const DefaultTolerance = 0.01

// Metric is a number of the original beside that of the repeated run.
type Metric struct {
	Name     string   `json:"name"`
	Original *float64 `json:"original"` // nil: only the new run has it
	New      *float64 `json:"new"`      // nil: only the original has it
	Within   bool     `json:"within"`   // the two are within the tolerance
}

// Comparison holds a repeated run against the original.
type Comparison struct {
	Original string `json:"original"` // run directories
	New      string `json:"new"`
	// Verdict is FullMatch when all weights are byte-identical (or, without
	// weights, all metrics equal), PartialMatch when the metrics are within the
	// tolerance, else Mismatch.
	Verdict   Verdict  `json:"verdict"`
	Tolerance float64  `json:"tolerance"`
	Weights   Check    `json:"weights"`
	Metrics   []Metric `json:"metrics"` // sorted by name
}

// ExitCode is that of the verdict.
func (c *Comparison) ExitCode() int { return c.Verdict.ExitCode() }

// Compare holds a repeated run against the original, both completed. A metric
// that only one of them has, or that is not finite, is not within any
// tolerance.
func Compare(original, repeated string, tolerance float64) (*Comparison, error) {
	a, err := open(original)
	if err != nil {
		return nil, err
	}
	b, err := open(repeated)
	if err != nil {
		return nil, err
	}
	c := &Comparison{Original: original, New: repeated, Tolerance: tolerance}
	c.Weights, err = compareWeights(a, b)
	if err != nil {
		return nil, err
	}
	numbersA, numbersB := a.numbers(), b.numbers()
	names := maps.Clone(numbersA)
	maps.Copy(names, numbersB)
	equal, within := true, len(names) > 0
	for _, name := range slices.Sorted(maps.Keys(names)) {
		m := Metric{Name: name}
		x, inA := numbersA[name]
		y, inB := numbersB[name]
		if inA {
			m.Original = &x
		}
		if inB {
			m.New = &y
		}
		m.Within = inA && inB && math.Abs(x-y) <= tolerance*max(1, math.Abs(x))
		equal = equal && inA && inB && x == y
		within = within && m.Within
		c.Metrics = append(c.Metrics, m)
	}
	switch {
	case c.Weights.Status == Match, c.Weights.Status == NotThere && equal && within:
		c.Verdict = FullMatch
	case within:
		c.Verdict = PartialMatch
	default:
		c.Verdict = Mismatch
	}
	return c, nil
}

// compareWeights hashes the weights of both as they stand on disk.
func compareWeights(a, b *verification) (Check, error) {
	sumsA, err := a.weightSums()
	if err != nil {
		return Check{}, err
	}
	sumsB, err := b.weightSums()
	if err != nil {
		return Check{}, err
	}
	c := Check{Name: "weights", Status: Match, Recorded: summary(sumsA), Computed: summary(sumsB)}
	if len(sumsA) == 0 && len(sumsB) == 0 {
		return Check{Name: "weights", Status: NotThere}, nil
	}
	names := maps.Clone(sumsA)
	maps.Copy(names, sumsB)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if sumsA[name] != sumsB[name] {
			c.Status = Differs
			c.Differs = append(c.Differs, quiet(name)+" is not byte-identical")
		}
	}
	return c, nil
}

func (v *verification) weightSums() (map[string]string, error) {
	out := map[string]string{}
	for name := range v.hashes.Files {
		if !isWeights(name) {
			continue
		}
		sum, err := fileHash(v.dir, name)
		if err != nil {
			return nil, &fault.ReproduceError{Detail: fault.Detail{Op: "compare runs", Path: v.dir,
				Err: fmt.Errorf("weights %s: %w", quiet(name), err)}}
		}
		out[name] = sum
	}
	return out, nil
}

// numbers are the metrics of the evaluation, or of the training where there
// was none. The losses of the training count in both.
func (v *verification) numbers() map[string]float64 {
	out := map[string]float64{}
	take := func(m map[string]float64) {
		for name, f := range m {
			if !math.IsNaN(f) && !math.IsInf(f, 0) {
				out[name] = f
			}
		}
	}
	take(v.meta.Metrics)
	if res, err := v.run.EvalResults(); err == nil {
		take(res.Overall)
	}
	return out
}

// Completed says whether a run can be repeated: it is completed.
func Completed(run *runs.Run) error {
	meta, err := run.Meta()
	if err == nil && meta.Status != runs.StatusCompleted {
		err = fmt.Errorf("the run is %s", meta.Status)
	}
	if err != nil {
		return &fault.ReproduceError{Detail: fault.Detail{Op: "reproduce", Path: run.Dir(), Err: err,
			Hint: "only a completed run can be reproduced"}}
	}
	return nil
}
