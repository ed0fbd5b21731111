package show

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/console"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// JSONHelp documents what the printer of JSON writes.
const JSONHelp = `With --json, standard output is for programs and holds nothing else. train and
eval print one JSON object a line; the other commands print one JSON document.

LINES of train and eval. "event" says what a line is:

  started     run_id, run_dir, task, base_model, dataset_version, device, seed,
              resumed
  step        step, total_steps, epoch, loss, learning_rate, grad_norm, tokens,
              tokens_per_second, logged; on logging steps also mean_loss, the
              mean since the last one
  eval        step, epoch, eval_loss, best (on the validation data)
  checkpoint  step, path (in the run directory)
  predict     done, total (examples of an evaluation)
  log         level (info or warning), message
  plan        engine, device, train_rows, val_rows, test_rows, train_tokens,
              label_tokens, longest_sequence, truncated_rows, steps_per_epoch,
              total_steps, warmup_steps, vocab_size, trainable_parameters,
              frozen_parameters, estimated_memory_bytes (the most of training
              and evaluation), estimated_training_memory_bytes,
              estimated_seconds (of training), warnings
  finished    status, run_id, run_dir, task; after training artifact_path,
              total_steps, total_epochs, final_train_loss, best_eval_loss,
              best_eval_step, tokens, train_seconds; after an evaluation
              eval_dir, test_data, num_examples, metrics {name: number},
              intervals {name: {low, high, n, method}}, per_class {metric:
              {label: number}}, per_class_intervals, slices {key: {value:
              {n, metric...}}}, slice_intervals, hard_lift [{key, value,
              hard, n, lift, low, high}] (how much more frequent a slice is
              among the hard examples), missing {metric: examples},
              eval_seconds
  error       type (ConfigError, DataError, TrainingError, EvalError,
              ReproduceError, Interrupted, Error), message, path, line, hint,
              problems [{path, line, key, reason, hint}], exit_code; of an
              interrupted run also run_dir and resume, the command that takes
              it up again

The last line is finished, plan or error. A number that is NaN or infinite is
null, and "non_finite" has its dotted name with "nan", "inf" or "-inf". Texts
are empty and lines 0 when they are not known. Losses are the mean negative
natural logarithm of the likelihood of a token; times are in seconds; intervals
are at 95%.

DOCUMENTS of the other commands. What is not known is null:

  compare         metric, task, alpha, resamples, seed, min_slice, runs,
                  pairing, overall, slices, examples, config_differences,
                  data_differences, environment_differences, notes. Lists of
                  values follow the runs, lists of deltas those after the first
  contamination   as contamination.json: status, exact_overlaps,
                  near_duplicates, threshold, ngram, lsh, counts, train, eval,
                  pairs; and pii {row_count, pii_scan, pii_total_hits,
                  pii_clean, pii_rows} of the training data, output (the file)
  ingest          out_dir, schema, input_format, row_count_in, row_count_out,
                  dropped_rows_count, top_drop_reasons [{reason, rows}],
                  exact_duplicates, pii_total_hits, dataset_hash, chain_hash,
                  unused_columns
  contract-check  run, valid, checks [{file, status, detail}], has_eval,
                  content (checks of the same form, which do not decide)
  decide          as decision.json: recommendation, exit_code, confidence,
                  reasons, risk_flags, blocker_precedence, metrics,
                  baseline_metrics, deltas, of an invalid contract also
                  missing_files; and gates [{name, status, value, threshold,
                  rule, interval, n, p, evidence, detail, needed}], output (the
                  folder, empty with --dry-run)
  retrain         job_type, run_dir, decision, exit_code, eval_summary, usage,
                  artifacts, elapsed_ms
  reproduce       verdict, exit_code, verified {run, verdict, checks [{name,
                  status, recorded, computed, differs}], notes}, repeated (null
                  with --verify-only) {original, new, verdict, tolerance,
                  weights, metrics [{name, original, new, within}]}

An error of these commands is the error line above. New fields and events may be
added.
`

// JSON returns the printer for programs, see JSONHelp. The text of an error
// goes to the error stream as well.
func JSON(con *console.Console) Printer { return &objects{con} }

type objects struct{ con *console.Console }

// member is a field of an object, in its place.
type member struct {
	name  string
	value any
}

// print writes one object.
func (o *objects) print(event string, members ...member) {
	enc := encoder{}
	enc.object(append([]member{{"event", event}}, members...))
	o.con.Print(string(ascii(enc.out.Bytes())))
}

func (o *objects) Started(r Run) {
	o.print("started", member{"run_id", r.Meta.RunID}, member{"run_dir", r.Dir}, member{"task", r.Meta.Task},
		member{"base_model", r.Meta.BaseModel}, member{"dataset_version", r.Meta.DatasetVersion},
		member{"device", r.Meta.Device}, member{"seed", r.Meta.Seed}, member{"resumed", r.Resumed})
}

func (o *objects) Event(ev engine.Event) {
	switch e := ev.(type) {
	case engine.StepEvent:
		members := []member{{"step", e.Step}, {"total_steps", e.TotalSteps}, {"epoch", e.Epoch}, {"loss", e.Loss},
			{"learning_rate", e.LearningRate}, {"grad_norm", e.GradNorm}, {"tokens", e.Tokens},
			{"tokens_per_second", e.TokensPerSecond}, {"logged", e.Logged}}
		if e.Logged {
			members = append(members, member{"mean_loss", e.MeanLoss})
		}
		o.print("step", members...)
	case engine.EvalEvent:
		o.print("eval", member{"step", e.Step}, member{"epoch", e.Epoch}, member{"eval_loss", e.Loss}, member{"best", e.Best})
	case engine.CheckpointEvent:
		o.print("checkpoint", member{"step", e.Step}, member{"path", e.Path})
	case engine.PredictEvent:
		o.print("predict", member{"done", e.Done}, member{"total", e.Total})
	case engine.LogEvent:
		level := "info"
		if e.Warning {
			level = "warning"
		}
		o.print("log", member{"level", level}, member{"message", e.Message})
	}
}

func (o *objects) Planned(p engine.Plan) {
	warnings := p.Warnings
	if warnings == nil {
		warnings = []string{}
	}
	o.print("plan", member{"engine", p.Engine}, member{"device", p.Device}, member{"train_rows", p.TrainRows},
		member{"val_rows", p.ValRows}, member{"test_rows", p.TestRows}, member{"train_tokens", p.TrainTokens},
		member{"label_tokens", p.LabelTokens}, member{"longest_sequence", p.LongestSequence},
		member{"truncated_rows", p.TruncatedRows}, member{"steps_per_epoch", p.StepsPerEpoch},
		member{"total_steps", p.TotalSteps}, member{"warmup_steps", p.WarmupSteps}, member{"vocab_size", p.VocabSize},
		member{"trainable_parameters", p.TrainableParams}, member{"frozen_parameters", p.FrozenParams},
		member{"estimated_memory_bytes", p.MemoryBytes}, member{"estimated_training_memory_bytes", p.TrainingBytes}, member{"estimated_seconds", p.Seconds}, member{"warnings", warnings})
}

func (o *objects) Finished(r Result) {
	members := []member{{"status", string(r.Run.Meta.Status)}, {"run_id", r.Run.Meta.RunID}, {"run_dir", r.Run.Dir},
		{"task", r.Run.Meta.Task}}
	if s := r.Summary; s != nil {
		members = append(members, member{"artifact_path", r.Run.Meta.ArtifactPath}, member{"total_steps", s.TotalSteps},
			member{"total_epochs", s.TotalEpochs}, member{"final_train_loss", s.FinalTrainLoss},
			member{"best_eval_loss", s.BestEvalLoss}, member{"best_eval_step", s.BestEvalStep},
			member{"tokens", s.TokensProcessed}, member{"train_seconds", s.WallTimeSeconds})
	}
	if e := r.Eval; e != nil {
		members = append(members, member{"eval_dir", e.Dir}, member{"test_data", e.Results.TestDataPath},
			member{"num_examples", e.Results.NumExamples}, member{"metrics", e.overall()})
		members = append(members, member{"intervals", e.Results.Intervals})
		if e.Results.PerClass != nil {
			members = append(members, member{"per_class", e.Results.PerClass}, member{"per_class_intervals", e.Results.PerClassIntervals})
		}
		members = append(members, member{"slices", e.Results.Slices}, member{"slice_intervals", e.Results.SliceIntervals},
			member{"hard_lift", liftMembers(e.Lift)}, member{"missing", e.Missing},
			member{"eval_seconds", e.Results.DurationSeconds})
	}
	o.print("finished", members...)
}

func liftMembers(list []metrics.TagLift) [][]member {
	out := make([][]member, 0, len(list))
	for _, l := range list {
		out = append(out, []member{{"key", l.Key}, {"value", l.Value}, {"hard", l.Hard}, {"n", l.N}, {"lift", l.Lift},
			{"low", l.Interval.Low}, {"high", l.Interval.High}})
	}
	return out
}

func (o *objects) Failed(f Failure) {
	d := f.detail()
	problems := make([][]member, 0, len(d.Problems))
	for _, p := range d.Problems {
		problems = append(problems, []member{{"path", p.Path}, {"line", p.Line}, {"key", p.Key}, {"reason", p.Reason}, {"hint", p.Hint}})
	}
	members := []member{{"type", f.kind()}, {"message", f.message()}, {"path", d.Path}, {"line", d.Line},
		{"hint", f.hint()}, {"problems", problems}, {"exit_code", f.ExitCode}}
	if f.Resume != "" {
		members = append(members, member{"run_dir", f.RunDir}, member{"resume", f.Resume})
	}
	o.print("error", members...)
	f.report(o.con)
}

// document writes one JSON document, indented.
func (o *objects) document(v any) error {
	data, err := canonical.Indent(v)
	if err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	o.printDocument(strings.Split(strings.TrimSuffix(string(data), "\n"), "\n"))
	return nil
}

func (o *objects) printDocument(lines []string) {
	for i, line := range lines {
		lines[i] = string(ascii([]byte(line)))
	}
	o.con.Print(lines...)
}

// encoder writes the kinds of values that members have. Maps come out sorted.
type encoder struct {
	out       bytes.Buffer
	path      string // dotted name of the value under way
	nonFinite []member
}

// object writes the outermost object and the list of its numbers that JSON
// cannot hold.
func (e *encoder) object(members []member) {
	e.out.WriteByte('{')
	e.members(members)
	if e.nonFinite != nil {
		e.out.WriteString(`,"non_finite":{`)
		e.members(e.nonFinite)
		e.out.WriteByte('}')
	}
	e.out.WriteByte('}')
}

func (e *encoder) members(members []member) {
	outer := e.path
	for i, m := range members {
		if i > 0 {
			e.out.WriteByte(',')
		}
		e.scalar(m.name)
		e.out.WriteByte(':')
		e.path = m.name
		if outer != "" {
			e.path = outer + "." + m.name
		}
		e.value(m.value)
	}
	e.path = outer
}

func (e *encoder) value(v any) {
	switch v := v.(type) {
	case float64:
		e.number(v)
	case *float64:
		if v == nil {
			e.out.WriteString("null")
		} else {
			e.number(*v)
		}
	case map[string]float64:
		encodeMap(e, v)
	case map[string]int:
		encodeMap(e, v)
	case map[string]map[string]float64:
		encodeMap(e, v)
	case map[string]map[string]map[string]float64:
		encodeMap(e, v)
	case runs.Interval:
		e.out.WriteByte('{')
		e.members([]member{{"low", v.Low}, {"high", v.High}, {"n", v.N}, {"method", v.Method}})
		e.out.WriteByte('}')
	case map[string]runs.Interval:
		encodeMap(e, v)
	case map[string]map[string]runs.Interval:
		encodeMap(e, v)
	case map[string]map[string]map[string]runs.Interval:
		encodeMap(e, v)
	case [][]member:
		e.out.WriteByte('[')
		for i, members := range v {
			if i > 0 {
				e.out.WriteByte(',')
			}
			e.out.WriteByte('{')
			e.members(members)
			e.out.WriteByte('}')
		}
		e.out.WriteByte(']')
	default:
		e.scalar(v)
	}
}

func encodeMap[V any](e *encoder, m map[string]V) {
	members := make([]member, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		members = append(members, member{name, m[name]})
	}
	e.out.WriteByte('{')
	e.members(members)
	e.out.WriteByte('}')
}

func (e *encoder) number(v float64) {
	if !math.IsNaN(v) && !math.IsInf(v, 0) {
		e.scalar(v)
		return
	}
	name := map[bool]string{true: "inf", false: "-inf"}[v > 0]
	if math.IsNaN(v) {
		name = "nan"
	}
	e.nonFinite = append(e.nonFinite, member{e.path, name})
	e.out.WriteString("null")
}

func (e *encoder) scalar(v any) {
	data, err := json.Marshal(v)
	if err != nil { // a json.Number that is none, from a file
		data = []byte("null")
	}
	e.out.Write(data)
}

// ascii escapes everything in JSON that is not printable ASCII, so that no
// terminal obeys a line that passes by. Such characters stand in strings only.
func ascii(data []byte) []byte {
	out := make([]byte, 0, len(data))
	unit := func(r rune) {
		const hex = "0123456789abcdef"
		out = append(out, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
	}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r >= ' ' && r < 0x7f:
			out = append(out, data[i])
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			unit(high)
			unit(low)
		default:
			unit(r)
		}
		i += size
	}
	return out
}
