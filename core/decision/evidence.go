package decision

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/core/stats"
	"github.com/verifily/verifily-tui/runs"
)

// evidence works out, from the predictions, what the results do not say: the
// slices that the policy names, the intervals of the metrics judged, and the
// paired differences to the baseline.
func (in *Input) evidence(ctx context.Context, now, base *evaluated) error {
	if err := now.measure(ctx, in); err != nil {
		return err
	}
	if base == nil || in.Policy == nil {
		return ctx.Err()
	}
	if err := base.fillSlices(ctx, in.Policy); err != nil {
		return err
	}
	if in.Policy.Significance == nil {
		return ctx.Err()
	}
	return in.differences(ctx, now, base)
}

// predictions reads the predictions of a run whose lines can all be read; of
// others there are none to go by.
func (e *evaluated) predictions(ctx context.Context) ([]runs.Prediction, error) {
	var out []runs.Prediction
	for p, err := range e.run.Predictions() {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, nil
		}
		out = append(out, p)
	}
	return out, nil
}

// known keeps the metrics of a task that can be taken from predictions alone.
func (e *evaluated) known(limits []limit) []string {
	var out []string
	for _, l := range limits {
		if l.metric != metrics.NameFormatCompliance && l.metric != metrics.NameGoldSetAccuracy &&
			slices.Contains(metrics.Names(e.task), l.metric) && !slices.Contains(out, l.metric) {
			out = append(out, l.metric)
		}
	}
	return out
}

// measure adds the intervals of what is judged, what the predictions say
// otherwise, and the slices that the results lack.
func (e *evaluated) measure(ctx context.Context, in *Input) error {
	preds, err := e.predictions(ctx)
	if err != nil || len(preds) == 0 {
		return err
	}
	in.Evidence.Intervals, in.Evidence.Counts = map[string]*Interval{}, map[string]int{}
	in.Evidence.Contradicted = map[string]float64{}
	put := func(slice string, counted map[string]float64, found map[string]stats.Interval) {
		for metric, v := range counted {
			told, _, ok := e.results.measured(slice, metric)
			// Other programs round their results.
			if ok && metric != "n" && math.Abs(told.float-v) > 1e-4*max(1, math.Abs(v)) {
				in.Evidence.Contradicted[evidenceKey(slice, metric)] = v
			}
		}
		for metric, i := range found {
			key := evidenceKey(slice, metric)
			if _, ok := in.Evidence.Contradicted[key]; ok {
				continue // it is of another value
			}
			in.Evidence.Intervals[key] = &Interval{Low: i.Low, High: i.High, Level: stats.Level}
			in.Evidence.Counts[key] = i.N
		}
	}
	if names := e.known(in.Criteria.limits()); len(names) > 0 {
		res, err := metrics.Compute(e.task, names, preds, metrics.Options{})
		if err != nil {
			return err
		}
		put("", res.Overall, res.Intervals)
	}
	return e.eachSlice(in.Policy, preds, func(s SliceLimits, m runs.SliceMetrics, found map[string]stats.Interval) {
		e.fill(s.Name, m)
		put(s.Name, m, found)
	})
}

// fillSlices adds the slices that a policy names and the results lack.
func (e *evaluated) fillSlices(ctx context.Context, p *Policy) error {
	if len(p.Slices) == 0 {
		return nil
	}
	preds, err := e.predictions(ctx)
	if err != nil {
		return err
	}
	return e.eachSlice(p, preds, func(s SliceLimits, m runs.SliceMetrics, _ map[string]stats.Interval) { e.fill(s.Name, m) })
}

// fill takes over the metrics of a slice that the results do not have, and its
// size where the predictions are fewer than the results say.
func (e *evaluated) fill(name string, m runs.SliceMetrics) {
	old, ok := e.results.Slices[name]
	if !ok {
		old = Slice{N: int(m["n"]), Metrics: map[string]float64{}}
	}
	old.N = min(old.N, int(m["n"]))
	e.results.Slices[name] = old
	for metric, v := range m {
		if _, has := old.Metrics[metric]; !has {
			old.Metrics[metric] = v
		}
	}
}

// eachSlice scores the slices that a policy names.
func (e *evaluated) eachSlice(p *Policy, preds []runs.Prediction, found func(SliceLimits, runs.SliceMetrics, map[string]stats.Interval)) error {
	if p == nil || len(preds) == 0 {
		return nil
	}
	for _, s := range p.Slices {
		names := e.known(s.Criteria.limits())
		if len(names) == 0 {
			continue
		}
		key, value, _ := strings.Cut(s.Name, "=")
		scores, err := metrics.Score(e.task, names, preds, metrics.Options{})
		if err != nil {
			return err
		}
		sliced := scores.Slice([]string{key})
		if m, ok := sliced.Metrics[key][value]; ok {
			found(s, m, sliced.Intervals[key][value])
		}
	}
	return nil
}

// regressions lists the metrics that a regression is judged of, and for each
// the tag keys of the slices where it is.
func (in *Input) regressions() (names []string, keys map[string][]string) {
	keys = map[string][]string{}
	add := func(limits []limit, slice string) {
		for _, l := range limits {
			if l.kind != regression {
				continue
			}
			if !slices.Contains(names, l.metric) {
				names = append(names, l.metric)
			}
			if key, _, ok := strings.Cut(slice, "="); ok && !slices.Contains(keys[l.metric], key) {
				keys[l.metric] = append(keys[l.metric], key)
			}
		}
	}
	add(in.Criteria.limits(), "")
	for _, s := range in.Policy.Slices {
		add(s.Criteria.limits(), s.Name)
	}
	return names, keys
}

// differences compares the run with the baseline, example by example.
func (in *Input) differences(ctx context.Context, now, base *evaluated) error {
	in.Evidence.Differences = map[string]Difference{}
	sig := in.Policy.Significance
	names, keys := in.regressions()
	for _, metric := range names {
		sliceBy := keys[metric]
		if sliceBy == nil {
			sliceBy = []string{}
		}
		res, err := compare.Runs(ctx, []*runs.Run{base.run, now.run}, compare.Options{Metric: metric, Only: true, SliceBy: sliceBy,
			Resamples: sig.Resamples, Seed: &sig.Seed, Alpha: sig.Alpha, MinSlice: in.Policy.MinSlice})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			// The metric is not in both runs, or the like: the gate says so.
			in.Evidence.Differences[evidenceKey("", metric)] = Difference{Unpaired: "the runs cannot be compared by " + metric}
			continue
		}
		for _, m := range res.Overall {
			if m.Metric == metric && len(m.Deltas) == 1 {
				in.Evidence.Differences[evidenceKey("", metric)] = differenceOf(m.Deltas[0], res, sig.Alpha)
			}
		}
		for _, s := range res.Slices {
			if len(s.Deltas) == 1 {
				in.Evidence.Differences[evidenceKey(s.Key+"="+s.Value, metric)] = differenceOf(s.Deltas[0], res, sig.Alpha)
			}
		}
	}
	in.correct()
	return nil
}

func differenceOf(d *compare.Delta, res *compare.Result, alpha float64) Difference {
	if d == nil || !d.Paired || d.Interval == nil || d.P == nil {
		why := "the examples of the two runs cannot be paired"
		if len(res.Pairing) == 1 && res.Pairing[0].Note != "" {
			why = res.Pairing[0].Note
		}
		return Difference{Unpaired: why}
	}
	return Difference{N: d.N, Mean: d.Delta, Interval: Interval{Low: d.Interval.Low, High: d.Interval.High, Level: 1 - alpha}, P: *d.P,
		Alike: d.Interval.Method == stats.MethodWilson}
}

// correct adjusts the p-values of the gates on slices, which are judged
// together, by Holm's method. Slices with too few rows are not judged, so they do
// not make a loss in the others harder to see.
func (in *Input) correct() {
	var keys []string
	var p []float64
	for _, s := range in.Policy.Slices {
		if in.Eval == nil || in.Eval.Slices[s.Name].N < in.Policy.MinSlice {
			continue
		}
		for _, l := range s.Criteria.limits() {
			key := evidenceKey(s.Name, l.metric)
			if d, ok := in.Evidence.Differences[key]; ok && l.kind == regression && d.Unpaired == "" {
				keys = append(keys, key)
				p = append(p, d.P)
			}
		}
	}
	for i, adjusted := range stats.Holm(p) {
		d := in.Evidence.Differences[keys[i]]
		d.P = adjusted
		in.Evidence.Differences[keys[i]] = d
	}
}
