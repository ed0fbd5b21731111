package runs

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"strings"

	"github.com/verifily/verifily-tui/runs/regular"
)

// evalPath returns where a file of the evaluation stands: in eval/ or, from
// older writers, at the top. When it is in neither, the answer is eval/.
func (r *Run) evalPath(name string) string {
	path := filepath.Join(r.dir, evalDir, name)
	if top := filepath.Join(r.dir, name); !isFile(path) && isFile(top) {
		return top
	}
	return path
}

// EvalResults reads eval_results.json in all its shapes: slices nested or flat
// ("source=human"), aggregate for overall, num_test_examples for num_examples,
// and the Trainer's flat eval_ numbers.
func (r *Run) EvalResults() (EvalResults, error) {
	path := r.evalPath(resultsFile)
	rec, err := readRecord(path)
	if err != nil {
		return EvalResults{}, err
	}
	out := evalResultsOf(rec)
	r.note(rec.oddities(resultsFile)...)
	return out, nil
}

func evalResultsOf(rec *record) EvalResults {
	out := EvalResults{
		RunID:           rec.text("run_id"),
		TestDataPath:    rec.text("test_data_path"),
		DurationSeconds: rec.finite("eval_duration_seconds"),
		NonFinite:       rec.texts("non_finite"),
	}
	n, ok := rec.whole("num_examples")
	if !ok {
		n, _ = rec.whole("num_test_examples")
	}
	out.NumExamples = int(n)
	overall := rec.object("overall")
	if overall == nil {
		overall = rec.object("aggregate")
	}
	if overall == nil {
		overall = trainerMetrics(rec, &out)
	}
	out.Overall, out.NonFinite = finiteNumbers(overall, out.NonFinite)
	for name, raw := range overall {
		if raw[0] != '{' {
			continue
		}
		if values, _ := finiteNumbers(objectOf(raw), nil); len(values) > 0 {
			if out.PerClass == nil {
				out.PerClass = map[string]map[string]float64{}
			}
			out.PerClass[name] = values
		}
	}
	out.Slices = slicesOf(rec)
	out.TestDataHash = rec.text("test_data_hash")
	readLoose(rec, "intervals", &out.Intervals)
	readLoose(rec, "slice_intervals", &out.SliceIntervals)
	readLoose(rec, "per_class_intervals", &out.PerClassIntervals)
	return out
}

// readLoose reads a field that only this program writes; what is not of its
// shape is noted and left out as a whole.
func readLoose[T any](rec *record, name string, to *T) {
	raw, ok := rec.has(name)
	if !ok {
		return
	}
	var v T
	if json.Unmarshal(raw, &v) != nil {
		rec.note(name)
		return
	}
	*to = v
}

// trainerMetrics reads the flat shape of the Trainer: {"eval_loss": ...}.
// eval_loss keeps its name, the other metrics lose the prefix.
func trainerMetrics(rec *record, out *EvalResults) map[string]json.RawMessage {
	m := map[string]json.RawMessage{}
	for name, raw := range rec.fields {
		short, isEval := strings.CutPrefix(name, "eval_")
		switch {
		case !isEval, name == "eval_duration_seconds", strings.HasSuffix(name, "_per_second"):
		case name == "eval_loss":
			m[name] = raw
		case name == "eval_samples":
			n, _ := rec.whole(name)
			out.NumExamples = int(n)
		case name == "eval_runtime":
			out.DurationSeconds = rec.finite(name)
		default:
			m[short] = raw
		}
	}
	return m
}

func objectOf(raw json.RawMessage) map[string]json.RawMessage {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	return m
}

// slicesOf reads slices, nested or flat. A flat name without "=" has the tag
// key "".
func slicesOf(rec *record) map[string]map[string]SliceMetrics {
	out := map[string]map[string]SliceMetrics{}
	put := func(key, value string, m map[string]json.RawMessage) {
		metrics, _ := finiteNumbers(m, nil)
		for _, other := range []string{"num_examples", "count"} {
			if n, ok := metrics[other]; ok {
				if _, has := metrics["n"]; !has {
					metrics["n"] = n
				}
				delete(metrics, other)
			}
		}
		if out[key] == nil {
			out[key] = map[string]SliceMetrics{}
		}
		out[key][value] = metrics
	}
	for name, raw := range rec.object("slices") {
		m := objectOf(raw)
		switch {
		case m == nil:
			rec.note("slices." + name)
		case isNested(m):
			for value, raw := range m {
				put(name, value, objectOf(raw))
			}
		default:
			key, value, found := strings.Cut(name, "=")
			if !found {
				key, value = "", name
			}
			put(key, value, m)
		}
	}
	return out
}

// isNested reports whether all values are objects: then they are tag values,
// otherwise metrics.
func isNested(m map[string]json.RawMessage) bool {
	for _, raw := range m {
		if raw[0] != '{' {
			return false
		}
	}
	return len(m) > 0
}

// FlatSlices returns the slices by "key=value".
func (r EvalResults) FlatSlices() map[string]SliceMetrics {
	out := map[string]SliceMetrics{}
	for key, values := range r.Slices {
		for value, m := range values {
			if key == "" {
				out[value] = m
			} else {
				out[key+"="+value] = m
			}
		}
	}
	return out
}

// ConfusionMatrix reads eval/confusion_matrix.json. A matrix that is not
// square over its labels is an error.
func (r *Run) ConfusionMatrix() (ConfusionMatrix, error) {
	var c ConfusionMatrix
	path := r.evalPath(confusionFile)
	data, err := readWhole(path)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return ConfusionMatrix{}, fmt.Errorf("read %s: %w", path, err)
	}
	square := len(c.Matrix) == len(c.Labels)
	for _, row := range c.Matrix {
		square = square && len(row) == len(c.Labels)
	}
	if !square {
		return ConfusionMatrix{}, fmt.Errorf("read %s: the matrix does not have a row and a column a label", path)
	}
	return c, nil
}

// HardExamples reads eval/hard_examples.jsonl.
func (r *Run) HardExamples() ([]HardExample, error) {
	var out []HardExample
	for rec, err := range r.records(hardFile) {
		if err != nil {
			if lineErr := (*LineError)(nil); errors.As(err, &lineErr) {
				continue // noted by records
			}
			return nil, err
		}
		rank, _ := rec.whole("rank")
		h := HardExample{
			Rank:              int(rank),
			PrimaryMetric:     rec.finite("primary_metric"),
			PrimaryMetricName: rec.text("primary_metric_name"),
			Prediction:        rec.text("prediction"),
			Reference:         rec.text("reference"),
			Input:             rec.text("input"),
			Tags:              rec.texts("tags"),
			InputHash:         rec.text("input_hash"),
			ID:                rec.text("id"),
			Loss:              rec.number("loss"),
			Confidence:        rec.number("confidence"),
			Slices:            rec.texts("slices"),
		}
		if n, ok := rec.whole("index"); ok {
			index := int(n)
			h.Index = &index
		}
		out = append(out, h)
	}
	return out, nil
}

// Predictions reads eval/predictions.jsonl line by line, in constant memory. A
// line that cannot be read gives a *LineError and the next one follows; any
// other error is the last thing given.
func (r *Run) Predictions() iter.Seq2[Prediction, error] {
	return func(yield func(Prediction, error) bool) {
		for rec, err := range r.records(predictionsFile) {
			var p Prediction
			if err == nil {
				p = predictionOf(rec)
			}
			if !yield(p, err) {
				return
			}
		}
	}
}

func predictionOf(rec *record) Prediction {
	restoreNonFinite(rec)
	index, _ := rec.whole("index")
	tokens, _ := rec.whole("loss_tokens")
	p := Prediction{
		Index:               int(index),
		ID:                  rec.text("id"),
		Input:               rec.text("input"),
		Prediction:          rec.text("prediction"),
		Reference:           rec.text("reference"),
		Loss:                rec.number("loss"),
		Tags:                rec.texts("tags"),
		InputHash:           rec.text("input_hash"),
		F1:                  rec.number("f1"),
		ExactMatch:          rec.number("exact_match"),
		Confidence:          rec.number("confidence"),
		PredictedConfidence: rec.number("predicted_confidence"),
		LossTokens:          int(tokens),
	}
	if correct := rec.number("correct"); correct != nil {
		is := *correct != 0
		p.Correct = &is
	}
	return p
}

// LineError is a line of a file that could not be read.
type LineError struct {
	Path string
	Line int // from 1
	Err  error
}

// Error gives "path:line: cause".
func (e *LineError) Error() string { return fmt.Sprintf("%s:%d: %v", e.Path, e.Line, e.Err) }

// Unwrap returns the cause.
func (e *LineError) Unwrap() error { return e.Err }

// maxEvalLine bounds a line of predictions or hard examples: outputs are not
// shortened, and rows have up to 16 MiB.
const maxEvalLine = 64 << 20

// records reads a JSON Lines file of the evaluation. Bad lines are noted and
// given as a *LineError, except a last one without its newline: it is torn.
func (r *Run) records(name string) iter.Seq2[*record, error] {
	return func(yield func(*record, error) bool) {
		path := r.evalPath(name)
		f, err := regular.Open(path)
		if err != nil {
			yield(nil, fmt.Errorf("read %s: %w", path, pathCause(err)))
			return
		}
		defer f.Close()
		scan := bufio.NewScanner(f)
		scan.Buffer(make([]byte, 64<<10), maxEvalLine)
		torn := false
		scan.Split(func(data []byte, atEOF bool) (int, []byte, error) {
			torn = atEOF && bytes.IndexByte(data, '\n') < 0
			return bufio.ScanLines(data, atEOF)
		})
		for line := 1; scan.Scan(); line++ {
			if len(bytes.TrimSpace(scan.Bytes())) == 0 {
				continue
			}
			rec, err := decodeRecord(scan.Bytes())
			if err != nil {
				r.note(fmt.Sprintf("%s:%d: not a JSON object", name, line))
				if torn {
					return
				}
				err = &LineError{Path: path, Line: line, Err: err}
			}
			if !yield(rec, err) {
				return
			}
			if rec != nil {
				r.note(rec.oddities(name)...)
			}
		}
		if err := scan.Err(); err != nil && !errors.Is(err, io.EOF) {
			yield(nil, fmt.Errorf("read %s: %w", path, pathCause(err)))
		}
	}
}
