package metrics

import (
	"cmp"
	"container/heap"
	"math"
	"slices"

	"github.com/verifily/verifily-tui/runs"
)

// The names of what hard examples are ranked by.
const (
	rankedByF1         = NameF1
	rankedByConfidence = "confidence"
	rankedByCorrect    = "correct"
)

// Hard lists the n hardest predictions, rank 1 the hardest. sft: lowest f1,
// among equals the higher loss. classification: lowest confidence in the true
// label, among equals the higher loss. Remaining ties follow the index, then
// the place in preds. A classification without a usable confidence is ranked
// by correctness, as 0 or 1, and its primary_metric_name says so. Right answers
// of which nothing could be better - an f1 or a confidence of 1 - are not hard:
// there may be fewer than n.
func Hard(task string, preds []runs.Prediction, n int) []runs.HardExample {
	n = min(n, len(preds))
	if n <= 0 {
		return nil
	}
	worst := make(hardHeap, 0, n)
	for i := range preds {
		c := difficulty(task, &preds[i])
		if c.value >= 1 && Right(task, &preds[i]) {
			continue
		}
		c.place = i
		if len(worst) < n {
			heap.Push(&worst, c)
		} else if harder(c, worst[0]) < 0 {
			worst[0] = c
			heap.Fix(&worst, 0)
		}
	}
	slices.SortFunc(worst, harder)
	out := make([]runs.HardExample, len(worst))
	for i, c := range worst {
		p := &preds[c.place]
		index := p.Index
		out[i] = runs.HardExample{
			Rank:              i + 1,
			PrimaryMetric:     c.value,
			PrimaryMetricName: c.name,
			Prediction:        p.Prediction,
			Reference:         p.Reference,
			Input:             p.Input,
			Tags:              p.Tags,
			InputHash:         p.InputHash,
			Index:             &index,
			ID:                p.ID,
			Loss:              p.Loss,
			Confidence:        p.Confidence,
		}
	}
	return out
}

// candidate is a prediction with what it is ranked by.
type candidate struct {
	value, loss float64
	name        string
	index       int
	place       int // in the list of predictions
}

func difficulty(task string, p *runs.Prediction) candidate {
	c := candidate{loss: math.Inf(-1), index: p.Index}
	if loss, ok := finite(p.Loss); ok {
		c.loss = loss
	}
	if task != TaskClassification {
		c.value, c.name = exampleF1(p), rankedByF1
		return c
	}
	correct := p.Prediction == p.Reference
	c.name = rankedByConfidence
	if v, ok := finite(p.Confidence); ok {
		c.value = v
	} else if v, ok := finite(p.PredictedConfidence); ok && correct {
		c.value = v // the predicted label is the true one
	} else {
		c.name = rankedByCorrect
		if correct {
			c.value = 1
		}
	}
	return c
}

// harder orders candidates, the hardest first. No two are equal.
func harder(a, b candidate) int {
	return cmp.Or(
		cmp.Compare(a.value, b.value),
		cmp.Compare(b.loss, a.loss),
		cmp.Compare(a.index, b.index),
		cmp.Compare(a.place, b.place),
	)
}

// hardHeap keeps the easiest of the hard ones at its root.
type hardHeap []candidate

func (h hardHeap) Len() int           { return len(h) }
func (h hardHeap) Less(i, j int) bool { return harder(h[i], h[j]) > 0 }
func (h hardHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *hardHeap) Push(c any)        { *h = append(*h, c.(candidate)) }
func (h *hardHeap) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	*h = (*h)[:last]
	return c
}
