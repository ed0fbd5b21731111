package monitor

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/verifily/verifily-tui/core/contamination"
	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/core/fault"
)

const (
	// metric is what a monitor watches.
	metric = "f1"
	// regression is how far below the ticks before it a tick must be.
	regression = -0.02
	// failed is the decision of a tick that could not be made.
	failed = "ERROR"
)

// look makes one tick. before holds the metric of the ticks in the window, the
// oldest first. allowed, where it is not nil, is asked before anything is read. A
// tick that cannot be made has the decision ERROR, and the error says why; when
// ctx ends, there is none. What is wrong with the data, if it fails, comes beside
// the tick, which has no place for it.
func look(ctx context.Context, config string, number int, before []float64, allowed func(path string) error) (Tick, *overlap, error) {
	t := Tick{TickNumber: number, Timestamp: time.Now().UTC().Format(time.RFC3339), Decision: failed}
	if err := allow(allowed, config); err != nil {
		return t, nil, err
	}
	p, err := loadPipeline(config)
	if err != nil {
		return t, nil, err
	}
	if err := allow(allowed, p.runDir, p.trainData, p.evalData, p.baselineRun); err != nil {
		return t, nil, err
	}
	in, err := decision.Gather(ctx, decision.Sources{Run: p.runDir, Baseline: p.baselineRun}, p.criteria, nil)
	if err != nil {
		return t, nil, err
	}
	var shared *overlap
	if p.trainData != "" {
		report, err := contamination.Check(ctx, contamination.Options{TrainPath: p.trainData, EvalPath: p.evalData, Workers: 1})
		if err != nil {
			return t, nil, err
		}
		in.Contamination = &decision.Contamination{Status: report.Status, ExactOverlaps: report.ExactOverlaps, NearDuplicates: report.NearDuplicates}
		pass := report.Status != contamination.Fail
		t.ContaminationPass = &pass
		if !pass {
			shared = &overlap{exact: report.ExactOverlaps, near: report.NearDuplicates, trainData: p.trainData, evalData: p.evalData}
		}
	}
	d := decision.Decide(in)
	t.Decision, t.ContractPass = d.Recommendation, in.Contract.Valid
	if value, ok := d.Metrics.Get(metric); ok {
		v := value.Float()
		t.MetricValue = &v
		t.Delta = delta(v, before, d.Deltas)
		t.RegressionDetected = t.Delta != nil && *t.Delta < regression
	}
	return t, shared, nil
}

// overlap is how many rows of the evaluation data stand in the training data, and
// where both are.
type overlap struct {
	exact, near         int
	trainData, evalData string
}

// allow asks whether paths may be used; those that are empty are none.
func allow(allowed func(path string) error, paths ...string) error {
	for _, path := range paths {
		if path == "" || allowed == nil {
			continue
		}
		if err := allowed(path); err != nil {
			return &fault.ConfigError{Detail: fault.Detail{Op: "watch", Path: path, Err: err,
				Hint: "name paths that the service may use, or start it with --allow-path"}}
		}
	}
	return nil
}

// delta is how far a value is from the mean of those before it; of a first tick,
// from the baseline's. It has six decimals.
func delta(v float64, before []float64, toBaseline decision.Metrics) *float64 {
	if len(before) == 0 {
		d, ok := toBaseline.Get(metric)
		if !ok {
			return nil
		}
		f := d.Float()
		return &f
	}
	sum := 0.0
	for _, b := range before {
		sum += b
	}
	const places = 1e6
	f := math.Round((v-sum/float64(len(before)))*places) / places
	return &f
}

// mayRetrain says whether a tick calls for a retrain.
func mayRetrain(t Tick) bool {
	return t.Decision == decision.Ship && t.ContractPass && (t.ContaminationPass == nil || *t.ContaminationPass)
}

// reason is an error as the status of a monitor shows it.
func reason(err error) string {
	var typed fault.TrainError
	if errors.As(err, &typed) {
		if hint := typed.Fault().Hint; hint != "" {
			return err.Error() + " (" + hint + ")"
		}
	}
	return err.Error()
}
