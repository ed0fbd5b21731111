package compare

import (
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/runs"
)

// examples lists the answers that changed between right and wrong.
func (c *comparison) examples() {
	for i, p := range c.pairs {
		if p == nil || !p.info.Paired {
			continue
		}
		base, other := c.sides[0].preds, c.sides[i].preds
		list := Examples{Run: c.sides[i].info.ID, Fixed: []Example{}, Broken: []Example{}}
		for at, partner := range p.partner {
			if partner == none {
				continue
			}
			a, b := &base[at], &other[partner]
			was, is := metrics.Right(c.task, a), metrics.Right(c.task, b)
			if was == is {
				continue
			}
			e := Example{Index: a.Index, ID: a.ID, Input: runs.ShortInput(a.Input), Reference: runs.ShortInput(a.Reference),
				BasePrediction: runs.ShortInput(a.Prediction), Prediction: runs.ShortInput(b.Prediction)}
			if is {
				list.Fixed = append(list.Fixed, e)
			} else {
				list.Broken = append(list.Broken, e)
			}
		}
		c.out.Examples = append(c.out.Examples, list)
	}
}
