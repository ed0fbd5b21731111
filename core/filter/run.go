package filter

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/runs"
)

// Text is a value without a number; none where the text is empty.
func Text(s string) (Value, bool) { return Value{Text: s}, s != "" }

// Number is a value that is a number.
func Number(v float64) (Value, bool) {
	return Value{Text: fmt.Sprint(v), Number: v, IsNumber: true}, true
}

// Setting is a value of a configuration; none where it is null.
func Setting(v any) (Value, bool) {
	switch v := v.(type) {
	case nil:
		return Value{}, false
	case int:
		return Number(float64(v))
	case float64:
		return Number(v)
	}
	return Value{Text: fmt.Sprint(v)}, true
}

// RunKeys are the keys that Run knows besides the metrics of a run.
var RunKeys = []string{"status", "name", "id", "run", "task", "model", "base_model", "data", "dataset", "device",
	"seed", "age", "duration", "metric", "score"}

// Closed lists what the values of some keys can be.
var Closed = map[string][]string{
	"status": {string(runs.StatusPending), string(runs.StatusRunning), string(runs.StatusCompleted), string(runs.StatusFailed),
		string(runs.StatusInterrupted), string(runs.StatusDryRun)},
	"decision": {decision.Ship, decision.DontShip, decision.Investigate},
	"task":     metrics.Tasks(),
}

// Choice is a text out of the closed set of a key; none where it is empty.
func Choice(key, s string) (Value, bool) { return Value{Text: s, OneOf: Closed[key]}, s != "" }

// PrimaryKeys are those of them that stand for the primary metric.
var PrimaryKeys = []string{"metric", "score"}

// Primary is the metric that a run is judged by first, and its value; false
// where it has none.
func Primary(m *runs.Meta) (name string, value float64, ok bool) {
	for _, name := range []string{metrics.Primary(m.Task), metrics.NameF1, metrics.NameAccuracy, "eval_accuracy"} {
		if v, ok := m.Metrics[name]; ok && name != "" {
			return name, v, true
		}
	}
	return "", 0, false
}

// RunName is the name of a run for people: its own, else that of its folder.
func RunName(e *runs.Entry) string { return cmp.Or(e.Meta.RunName, e.Name) }

// Started is when a run started, or when it was written last where it does not
// say.
func Started(e *runs.Entry) time.Time {
	if started, err := time.Parse(runs.TimeFormat, e.Meta.StartedAt); err == nil {
		return started
	}
	return e.Modified
}

// Duration is how long a run has taken so far, in seconds. While it goes on its meta
// data tells of the stretches before this one, which began when they were written.
func Duration(e *runs.Entry, now time.Time) float64 {
	d := e.Meta.DurationSeconds
	if e.Status == runs.StatusRunning && e.Kind == runs.KindRun {
		d += max(0, now.Sub(e.Modified).Seconds())
	}
	return d
}

// Run is the value of a key that the entry of a run in a list holds itself. Age
// and duration are in seconds.
func Run(e *runs.Entry, key string, now time.Time) (Value, bool) {
	m := &e.Meta
	switch key {
	case "name":
		return Text(RunName(e))
	case "id", "run":
		return Text(e.Name)
	case "status":
		return Choice(key, string(e.Status))
	case "task":
		return Choice(key, m.Task)
	case "model", "base_model":
		return Text(m.BaseModel)
	case "data", "dataset":
		return Text(m.DatasetVersion)
	case "device":
		return Text(m.Device)
	case "seed":
		n, err := m.Seed.Float64()
		return Value{Text: m.Seed.String(), Number: n, IsNumber: err == nil}, m.Seed != ""
	case "age":
		return Number(now.Sub(Started(e)).Seconds())
	case "duration":
		return Number(Duration(e, now))
	case "metric", "score":
		if _, v, ok := Primary(m); ok {
			return Number(v)
		}
		return Value{}, false
	}
	for name, v := range m.Metrics {
		if strings.EqualFold(name, key) {
			return Number(v)
		}
	}
	return Value{}, false
}
