package show

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs"
)

// What of an evaluation is printed; the files have the rest.
const (
	mostHard   = 10
	mostSlices = 12 // values of one key
)

// resultBlocks lays the result out as blocks of lines, a heading first.
func resultBlocks(r Result, width int) [][]string {
	var blocks [][]string
	if s := r.Summary; s != nil {
		blocks = append(blocks, trained(s, r.Run.Meta, width))
	}
	if e := r.Eval; e != nil {
		overall := e.overall()
		names := metricNames(r.Run.Meta.Task, overall)
		blocks = append(blocks, e.metrics(names, overall, width))
		blocks = append(blocks, e.perClass(width)...)
		blocks = append(blocks, e.slices(primaryMetric(r.Run.Meta.Task, overall), names, width)...)
		if len(e.Hard) > 0 {
			blocks = append(blocks, e.hard(width))
		}
		blocks = append(blocks, e.lift(width)...)
	}
	return append(blocks, where(r, width))
}

func trained(s *runs.Summary, meta runs.Meta, width int) []string {
	steps := count(s.TotalSteps) + fmt.Sprintf(" (%.4g epochs)", s.TotalEpochs)
	if s.TotalEpochs == 1 {
		steps = count(s.TotalSteps) + " (1 epoch)"
	}
	rows := [][]string{{"steps", steps}}
	if s.FinalTrainLoss != nil {
		rows = append(rows, []string{"last training loss", score(*s.FinalTrainLoss)})
	}
	if s.BestEvalLoss != nil {
		best := score(*s.BestEvalLoss)
		if s.BestEvalStep != nil {
			best += " at step " + count(*s.BestEvalStep)
		}
		rows = append(rows, []string{"best validation loss", best})
		if last, ok := meta.Metrics["eval_loss"]; ok && last > *s.BestEvalLoss {
			text := score(last) + ", that of the weights"
			if worse := 100 * (last / *s.BestEvalLoss - 1); worse >= 1 {
				text += fmt.Sprintf(": %.0f%% above the best", worse)
			}
			rows = append(rows, []string{"last validation loss", text})
		}
	}
	rows = append(rows, []string{"tokens", count(s.TokensProcessed)}, []string{"time", duration(s.WallTimeSeconds)})
	return append([]string{"trained"}, table(width, []column{{}, {least: 8}}, rows)...)
}

// metricNames orders metrics: those of the task first.
func metricNames(task string, overall map[string]float64) []string {
	var names []string
	for _, name := range metrics.Names(task) {
		if _, ok := overall[name]; ok {
			names = append(names, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(overall)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// primaryMetric is what slices are ordered by: the first of the task's that
// was computed.
func primaryMetric(task string, overall map[string]float64) string {
	order := []string{metrics.NameF1, metrics.NameExactMatch, metrics.NameEvalLoss}
	if task == metrics.TaskClassification {
		order = []string{metrics.NameAccuracy, metrics.NameMacroF1, metrics.NameWeightedF1}
	}
	for _, name := range append(order, metricNames(task, overall)...) {
		if _, ok := overall[name]; ok {
			return name
		}
	}
	return ""
}

// metrics is the table of the overall metrics, each with its interval and n.
func (e *Evaluation) metrics(names []string, overall map[string]float64, width int) []string {
	columns := []column{{head: "metric", least: 8}, {head: "value", right: true}, {head: intervalHead, optional: true},
		{head: "n", right: true}, {}}
	var rows [][]string
	known, noted := false, false
	for _, name := range names {
		value, interval := withInterval(overall[name], e.Results.Intervals, name)
		row := []string{name, value, interval, e.examples(name), ""}
		known = known || interval != ""
		if e.Missing[name] > 0 {
			row[4] = count(e.Missing[name]) + " without a value"
			noted = true
		}
		rows = append(rows, row)
	}
	if !noted {
		columns, rows = without(4, columns, rows)
	}
	if !known {
		columns, rows = without(2, columns, rows)
	}
	heading := "metrics"
	if e.Results.TestDataPath != "" {
		heading += " on " + text.Escape(e.Results.TestDataPath)
	}
	return append([]string{heading}, table(width, columns, rows)...)
}

const intervalHead = "95% interval"

// withInterval writes a metric as its interval allows, and the interval where
// it is known.
func withInterval(v float64, intervals map[string]runs.Interval, name string) (value, interval string) {
	if i, ok := intervals[name]; ok {
		return estimate(v, i.Low, i.High, false)
	}
	return score(v), ""
}

// without leaves a column out.
func without(i int, columns []column, rows [][]string) ([]column, [][]string) {
	for r := range rows {
		rows[r] = slices.Delete(rows[r], i, i+1)
	}
	return slices.Delete(columns, i, i+1), rows
}

// examples is how many examples a metric is taken over. The gold set is a file
// of its own, whose size only the interval tells.
func (e *Evaluation) examples(name string) string {
	switch i, ok := e.Results.Intervals[name]; {
	case ok && i.N > 0:
		return count(i.N)
	case name == metrics.NameGoldSetAccuracy:
		return "-"
	}
	return count(e.Results.NumExamples - e.Missing[name])
}

// perClass is the table of the metrics that have a value a label, nothing when
// there are none.
func (e *Evaluation) perClass(width int) [][]string {
	names := slices.Sorted(maps.Keys(e.Results.PerClass))
	if len(names) == 0 {
		return nil
	}
	columns := []column{{head: "label", least: 8}}
	labels := map[string]bool{}
	for _, name := range names {
		columns = append(columns, column{head: strings.TrimSuffix(name, "_per_class"), right: true})
		if len(e.Results.PerClassIntervals) > 0 {
			columns = append(columns, column{head: intervalHead, optional: true})
		}
		for label := range e.Results.PerClass[name] {
			labels[label] = true
		}
	}
	var rows [][]string
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		row := []string{label}
		for _, name := range names {
			value, interval := "-", ""
			if v, ok := e.Results.PerClass[name][label]; ok {
				value, interval = withInterval(v, e.Results.PerClassIntervals[name], label)
			}
			row = append(row, value)
			if len(e.Results.PerClassIntervals) > 0 {
				row = append(row, interval)
			}
		}
		rows = append(rows, row)
	}
	more := e.more(&rows, "labels")
	return [][]string{append(append([]string{"per class"}, table(width, columns, rows)...), more...)}
}

func valueOf(m map[string]float64, name string) string {
	if v, ok := m[name]; ok {
		return score(v)
	}
	return "-"
}

// more cuts rows to what is printed, and says where the others are.
func (e *Evaluation) more(rows *[][]string, what string) []string {
	n := len(*rows) - mostSlices
	if n <= 0 {
		return nil
	}
	*rows = (*rows)[:mostSlices]
	return []string{fmt.Sprintf("  ... and %s more %s in %s", count(n), what, text.Escape(e.Dir+"/eval_results.json"))}
}

// slices is a table a tag key, in the order in which they were asked for, the
// worst slices first.
func (e *Evaluation) slices(primary string, names []string, width int) [][]string {
	var blocks [][]string
	for _, key := range e.sliceKeys() {
		rows := metrics.Rows(map[string]map[string]runs.SliceMetrics{key: e.Results.Slices[key]}, primary, e.MinSlice)
		blocks = append(blocks, e.slice(key, rows, primary, names, width))
	}
	return blocks
}

func (e *Evaluation) sliceKeys() []string {
	var keys []string
	for _, key := range append(slices.Clone(e.SliceBy), slices.Sorted(maps.Keys(e.Results.Slices))...) {
		if _, ok := e.Results.Slices[key]; ok && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

func (e *Evaluation) slice(key string, rows []metrics.SliceRow, primary string, names []string, width int) []string {
	columns := []column{{head: "value", least: 8}, {head: "n", right: true}, {head: primary, right: true}}
	intervals := e.Results.SliceIntervals[key]
	if intervals != nil {
		columns = append(columns, column{head: intervalHead, optional: true})
	}
	var others []string
	for _, name := range names {
		if name != primary && slices.ContainsFunc(rows, func(r metrics.SliceRow) bool { _, ok := r.Metrics[name]; return ok }) {
			others = append(others, name)
			columns = append(columns, column{head: name, right: true, optional: true})
		}
	}
	tooFew := slices.ContainsFunc(rows, func(r metrics.SliceRow) bool { return r.TooFew })
	if tooFew {
		columns = append(columns, column{})
	}
	var cells [][]string
	for _, r := range rows {
		value, interval := "-", ""
		if v, ok := r.Metrics[primary]; ok {
			value, interval = withInterval(v, intervals[r.Value], primary)
		}
		row := []string{r.Value, count(r.N), value}
		if intervals != nil {
			row = append(row, interval)
		}
		for _, name := range others {
			row = append(row, valueOf(r.Metrics, name))
		}
		switch {
		case r.TooFew:
			row = append(row, fmt.Sprintf("too few (%d needed)", e.MinSlice))
		case tooFew:
			row = append(row, "")
		}
		cells = append(cells, row)
	}
	more := e.more(&cells, "slices")
	heading := "slices"
	if key != "" { // some writers leave the key out
		heading += " by " + text.Line(key, width/2)
	}
	if primary != "" {
		heading += ", lowest " + primary + " first"
		if metrics.LowerIsBetter(primary) {
			heading = strings.Replace(heading, "lowest", "highest", 1)
		}
	}
	return append(append([]string{heading}, table(width, columns, cells)...), more...)
}

// hard lists the hardest examples in two lines each: what was asked, then what
// was expected and what came.
func (e *Evaluation) hard(width int) []string {
	shown := e.Hard[:min(len(e.Hard), mostHard)]
	lines := []string{fmt.Sprintf("hardest examples (%s of %s in %s)", count(len(shown)), count(len(e.Hard)),
		text.Escape(e.Dir+"/hard_examples.jsonl"))}
	for i := range shown {
		h := &shown[i]
		head := fmt.Sprintf("%4d  %s %s  ", h.Rank, text.Line(h.PrimaryMetricName, 12), score(h.PrimaryMetric))
		lines = append(lines, head+inputAndTags(h, width-text.Width(head)))
		half := max(0, (width - len("      expected   got ")))
		want := text.Line(quoteEmpty(h.Reference), half/2)
		got := text.Line(quoteEmpty(h.Prediction), max(half/2, half-text.Width(want)))
		lines = append(lines, "      expected "+want+"  got "+got)
	}
	return lines
}

// lift is the table of the slices that have more hard examples than chance would
// give them, nothing when there are none.
func (e *Evaluation) lift(width int) [][]string {
	columns := []column{{head: "slice", least: 8}, {head: "hard", right: true}, {head: "n", right: true}, {head: "lift", right: true}, {head: intervalHead}}
	var rows [][]string
	for _, l := range e.Lift {
		if l.Interval.Low > 1 && len(rows) < mostHard {
			value, interval := estimate(l.Lift, l.Interval.Low, l.Interval.High, false)
			rows = append(rows, []string{sliceName(l.Key, l.Value), count(l.Hard), count(l.N), value, interval})
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return [][]string{append([]string{"where hard examples are more frequent than chance"}, table(width, columns, rows)...)}
}

// sliceName is how a slice is called; some writers leave the key out.
func sliceName(key, value string) string {
	if key == "" {
		return value
	}
	return key + "=" + value
}

// inputAndTags puts the tags behind the input; they get at most two fifths of
// the line when the input needs the rest.
func inputAndTags(h *runs.HardExample, width int) string {
	var tags []string
	for _, key := range slices.Sorted(maps.Keys(h.Tags)) {
		tags = append(tags, key+"="+h.Tags[key])
	}
	if len(tags) == 0 {
		return text.Line(quoteEmpty(h.Input), width)
	}
	input := text.Line(quoteEmpty(h.Input), max(0, width-gap))
	room := width - text.Width(input) - gap
	list := text.Line("["+strings.Join(tags, " ")+"]", max(room, width*2/5))
	input = text.Line(quoteEmpty(h.Input), width-gap-text.Width(list))
	return input + strings.Repeat(" ", gap) + list
}

// quoteEmpty makes nothing visible.
func quoteEmpty(s string) string {
	if strings.TrimSpace(s) == "" {
		return `"` + s + `"`
	}
	return s
}

// where says where everything lies and what can be done next.
func where(r Result, width int) []string {
	list := []place{{name: "run", value: r.Run.Dir}}
	if r.Run.Meta.ArtifactPath != "" && r.Summary != nil {
		list = append(list, place{name: "weights", value: r.Run.Dir + "/" + r.Run.Meta.ArtifactPath})
	}
	if r.Eval != nil {
		list = append(list, place{name: "evaluation", value: r.Eval.Dir})
	}
	next := "verifily eval --run " + Quote(r.Run.Dir)
	switch {
	case r.Eval == nil:
		next += " --test-data FILE.jsonl"
	case len(r.Eval.Results.Slices) == 0 && len(r.Eval.tagKeys()) > 0:
		next += " --slice-by " + Quote(strings.Join(r.Eval.tagKeys(), ","))
	default:
		next = "verifily decide --run " + Quote(r.Run.Dir) + " --dry-run"
	}
	return places(append(list, place{name: "next", value: next, command: true}), width)
}

// tagKeys lists the tags that the hard examples have.
func (e *Evaluation) tagKeys() []string {
	keys := map[string]bool{}
	for _, h := range e.Hard {
		for key := range h.Tags {
			keys[key] = true
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// Quote makes s one word of a shell command.
func Quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@%,=", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
