package source

import (
	"cmp"
	"errors"
	"io/fs"

	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/runs"
)

// Example is an example to read, with what else is known about it.
type Example struct {
	runs.HardExample
	Base   *Answer  // of the baseline to the same example, nil where there is none
	Others []Answer // of further runs, those that have one
	// Label is the last verdict of a review, empty: not reviewed. Reviewer and
	// Reviewed say by whom and when.
	Label, Note, Reviewer, Reviewed string
}

// Answer is what another run said.
type Answer struct {
	Run   string // folder
	Text  string
	Right bool
}

// Hard holds examples of a run to read, the hardest first.
type Hard struct {
	Task     string
	Examples []Example
}

// Hard reads the hard examples of a run, their reviews, and what the baseline
// (empty: none) and other runs said about them. The error is fs.ErrNotExist
// where the run has no hard examples.
func (s *Source) Hard(dir, base string, others ...string) (*Hard, error) {
	run, err := runs.Open(dir)
	if err != nil {
		return nil, err
	}
	examples, err := run.HardExamples()
	if err != nil {
		return nil, err
	}
	meta, err := run.Meta()
	if err != nil {
		return nil, err
	}
	h := &Hard{Task: meta.Task}
	for _, e := range examples {
		h.Examples = append(h.Examples, Example{HardExample: e})
	}
	return h, h.complete(dir, base, others)
}

// Changed reads examples that a run and a baseline answer differently, as a
// comparison lists them, in the same form.
func (s *Source) Changed(dir, base string, list []compare.Example) (*Hard, error) {
	run, err := runs.Open(dir)
	if err != nil {
		return nil, err
	}
	meta, err := run.Meta()
	if err != nil {
		return nil, err
	}
	wanted := map[[3]string]int{}
	for i, e := range list {
		wanted[[3]string{e.ID, e.Reference, e.Prediction}] = i
	}
	h := &Hard{Task: meta.Task, Examples: make([]Example, len(list))}
	for i, e := range list {
		index := e.Index
		h.Examples[i].HardExample = runs.HardExample{Rank: i + 1, Index: &index, ID: e.ID, Input: e.Input, Reference: e.Reference, Prediction: e.Prediction}
		h.Examples[i].Base = &Answer{Run: base, Text: e.BasePrediction}
	}
	// Loss, tags and hash stand in the predictions; a comparison cuts its texts,
	// so what is longer is found by its id alone.
	err = eachPrediction(dir, func(p *runs.Prediction) {
		i, ok := wanted[[3]string{p.ID, clipRunes(p.Reference), clipRunes(p.Prediction)}]
		if !ok || h.Examples[i].InputHash != "" || !sameStart(p.Input, list[i].Input) {
			return
		}
		e := &h.Examples[i].HardExample
		e.InputHash, e.Tags, e.Loss, e.Confidence = p.InputHash, p.Tags, p.Loss, p.Confidence
		e.Prediction, e.Reference = p.Prediction, p.Reference
		e.PrimaryMetric, e.PrimaryMetricName = primaryOf(meta.Task, p)
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return h, h.complete(dir, base, nil)
}

// primaryOf scores an answer as hard examples are.
func primaryOf(task string, p *runs.Prediction) (float64, string) {
	switch {
	case task == metrics.TaskClassification && p.Confidence != nil:
		return *p.Confidence, "confidence"
	case task == metrics.TaskClassification:
		return float64(truth(metrics.Right(task, p))), "correct"
	case p.F1 != nil:
		return *p.F1, metrics.NameF1
	}
	return metrics.TokenF1(p.Prediction, p.Reference), metrics.NameF1
}

func clipRunes(s string) string {
	n := 0
	for i := range s {
		if n == runs.MaxInput {
			return s[:i]
		}
		n++
	}
	return s
}

func sameStart(a, b string) bool { return clipRunes(a) == clipRunes(b) }

// complete adds what reviews and other runs say.
func (h *Hard) complete(dir, base string, others []string) error {
	reviews, err := readReviews(dir)
	if err != nil {
		return err
	}
	for i := range h.Examples {
		x := &h.Examples[i]
		r := reviews.of(x.InputHash, x.ID)
		x.Label, x.Note, x.Reviewer, x.Reviewed = r.verdict(), r.Note, r.Reviewer, r.Time
	}
	if base != "" {
		answers, err := h.answers(base)
		if err != nil {
			return err
		}
		for i, a := range answers {
			h.Examples[i].Base = a
		}
	}
	for _, other := range others {
		answers, err := h.answers(other)
		if err != nil {
			continue // it is there to compare with: without it the rest still holds
		}
		for i, a := range answers {
			if a != nil {
				h.Examples[i].Others = append(h.Examples[i].Others, *a)
			}
		}
	}
	return nil
}

// answers finds what another run said about the examples, nil where it has
// nothing to say: by the hash of the input, or else by the id.
func (h *Hard) answers(dir string) ([]*Answer, error) {
	out := make([]*Answer, len(h.Examples))
	byHash, byID := map[string][]int{}, map[string][]int{}
	for i := range h.Examples {
		e := &h.Examples[i]
		out[i] = nil
		if e.InputHash != "" {
			byHash[e.InputHash] = append(byHash[e.InputHash], i)
		}
		if e.ID != "" {
			byID[e.ID] = append(byID[e.ID], i)
		}
	}
	err := eachPrediction(dir, func(p *runs.Prediction) {
		found := byHash[p.InputHash]
		if p.InputHash == "" || len(found) == 0 {
			found = byID[p.ID]
		}
		for _, i := range found {
			e := &h.Examples[i]
			// Of several examples with the same input the reference tells them apart.
			if out[i] == nil || p.ID != "" && p.ID == e.ID {
				out[i] = &Answer{Run: dir, Text: p.Prediction, Right: metrics.Right(h.Task, p)}
			}
		}
	})
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	return out, err
}

// eachPrediction hands the predictions of a run over; lines that cannot be read
// are passed over.
func eachPrediction(dir string, do func(*runs.Prediction)) error {
	run, err := runs.Open(dir)
	if err != nil {
		return err
	}
	for p, err := range run.Predictions() {
		var line *runs.LineError
		if errors.As(err, &line) {
			continue
		}
		if err != nil {
			return err
		}
		do(&p)
	}
	return nil
}

// Name is what an example is called: its id, or else the start of its hash.
func (e *Example) Name() string {
	hash := e.InputHash
	if len(hash) > len("sha256:")+8 {
		hash = hash[:len("sha256:")+8]
	}
	return cmp.Or(e.ID, hash)
}
