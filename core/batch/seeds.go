package batch

import (
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// Group is a combination that was trained with several seeds.
type Group struct {
	Name string   `json:"name"` // the job of the plan, and what sets the combination apart
	Jobs []string `json:"jobs"`
	// Metrics are over the seeds, by name.
	Metrics map[string]Spread `json:"metrics"`
}

// Spread is what several seeds make of a metric.
type Spread struct {
	N    int     `json:"n"`
	Mean float64 `json:"mean"`
	// SD is the sample standard deviation, with N-1.
	SD float64 `json:"sd"`
	// Low and High are the 95 % interval of the mean by Student's t, which
	// takes the values of the seeds for normal: mean -+ t(0.975, N-1) SD/sqrt(N),
	// as far as the metric has such values; null under leastSeeds.
	Low  *float64 `json:"low"`
	High *float64 `json:"high"`
}

// leastSeeds is how many seeds an interval takes: from two it is so wide that
// it says nothing.
const leastSeeds = 3

// spread describes two or more values of a metric.
func spread(metric string, values []float64) Spread {
	n := float64(len(values))
	s := Spread{N: len(values)}
	for _, v := range values {
		s.Mean += v / n
	}
	for _, v := range values {
		s.SD += (v - s.Mean) * (v - s.Mean) / (n - 1)
	}
	s.SD = math.Sqrt(s.SD)
	if len(values) >= leastSeeds {
		half := tQuantile975(len(values)-1) * s.SD / math.Sqrt(n)
		least, most := bounds(metric)
		low, high := max(s.Mean-half, least), min(s.Mean+half, most)
		s.Low, s.High = &low, &high
	}
	return s
}

// bounds are the least and the largest value that a metric can have.
func bounds(metric string) (least, most float64) {
	known := func(task string) bool { return slices.Contains(metrics.Names(task), metric) }
	switch {
	case metric == metrics.NamePerplexity:
		return 1, math.Inf(1)
	case metrics.LowerIsBetter(metric), strings.HasSuffix(metric, "_loss"):
		return 0, math.Inf(1)
	case slices.ContainsFunc(metrics.Tasks(), known):
		return 0, 1
	}
	return math.Inf(-1), math.Inf(1)
}

// tQuantile975 is the 97.5 % quantile of Student's t distribution with df
// degrees of freedom, at least 1.
func tQuantile975(df int) float64 {
	// t = sqrt(df) tan(theta), and the probability of |t| grows with theta.
	low, high := 0.0, math.Pi/2
	for range 100 {
		if mid := (low + high) / 2; tInside(mid, df) < 0.95 {
			low = mid
		} else {
			high = mid
		}
	}
	return math.Sqrt(float64(df)) * math.Tan(low)
}

// tInside is the probability that Student's t lies between -sqrt(df) tan(theta)
// and sqrt(df) tan(theta) (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4).
func tInside(theta float64, df int) float64 {
	sin, cos := math.Sincos(theta)
	term, sum := 1.0, 0.0
	if df%2 == 0 {
		for k := 0; k <= df-2; k += 2 {
			if k > 0 {
				term *= float64(k-1) / float64(k) * cos * cos
			}
			sum += term
		}
		return sin * sum
	}
	term = cos
	for k := 1; k <= df-2; k += 2 {
		if k > 1 {
			term *= float64(k-1) / float64(k) * cos * cos
		}
		sum += term
	}
	return 2 / math.Pi * (theta + sin*sum)
}

// groups brings together the completed jobs that differ in nothing but their
// seed and their name.
func (s *scheduler) groups(rows []Row) []Group {
	type part struct {
		group Group
		rows  []Row
		seeds map[int64]bool
		plan  string // the job of the plan that the first comes from
	}
	parts := map[string]*part{}
	var order []string
	for _, row := range rows {
		st := s.byName[row.Job]
		if st.Config == nil || row.Status != Completed {
			continue
		}
		m := st.Config.Map()
		delete(m, "name")
		delete(m, "seed")
		key, err := canonical.Hash(m)
		if err != nil {
			continue // it would have had no identity either
		}
		p := parts[key]
		if p == nil {
			p = &part{group: Group{Name: groupName(st)}, seeds: map[int64]bool{}, plan: st.Group}
			parts[key] = p
			order = append(order, key)
		}
		if !p.seeds[st.Config.Seed] {
			p.seeds[st.Config.Seed] = true
			p.rows = append(p.rows, row)
			p.group.Jobs = append(p.group.Jobs, row.Job)
			if p.plan != st.Group { // written out one by one
				p.group.Name = strings.Join(p.group.Jobs, ", ")
			}
		}
	}
	out := []Group{}
	for _, key := range order {
		p := parts[key]
		if len(p.rows) < 2 {
			continue
		}
		p.group.Metrics = map[string]Spread{}
		for name := range p.rows[0].Metrics {
			var values []float64
			for _, row := range p.rows {
				if c, ok := row.Metrics[name]; ok {
					values = append(values, c.Value)
				}
			}
			if len(values) == len(p.rows) {
				p.group.Metrics[name] = spread(name, values)
			}
		}
		out = append(out, p.group)
	}
	return out
}

// groupName is the job of the plan with what its matrix sets besides the seed.
func groupName(st *state) string {
	name := st.Group
	if st.Name == st.Group {
		return name
	}
	for _, c := range st.combination {
		if c.Key != "seed" {
			name += " " + lastPart(c.Key) + "=" + valueText(c.Value)
		}
	}
	return name
}

func lastPart(key string) string {
	for i := len(key) - 1; i >= 0; i-- {
		if key[i] == '.' {
			return key[i+1:]
		}
	}
	return key
}

// metricNames lists the metrics of rows, the main one first, then by name.
func metricNames(rows []Row, main string) []string {
	seen := map[string]bool{}
	var names []string
	for _, r := range rows {
		for name := range r.Metrics {
			if !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	sort.Strings(names)
	if i := slices.Index(names, main); i > 0 {
		names = append([]string{main}, slices.Delete(names, i, i+1)...)
	}
	return names
}
