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
		blocks = append(blocks, trained(s, width))
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
	}
	return append(blocks, where(r))
}

func trained(s *runs.Summary, width int) []string {
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

// metrics is the table of the overall metrics, each with its n.
func (e *Evaluation) metrics(names []string, overall map[string]float64, width int) []string {
	n := e.Results.NumExamples
	columns := []column{{head: "metric", least: 8}, {head: "value", right: true}, {head: "n", right: true}, {}}
	var rows [][]string
	noted := false
	for _, name := range names {
		row := []string{name, score(overall[name]), count(n - e.Missing[name]), ""}
		if e.Missing[name] > 0 {
			row[3] = count(e.Missing[name]) + " without a value"
			noted = true
		}
		rows = append(rows, row)
	}
	if !noted {
		columns = columns[:3]
	}
	return append([]string{"metrics"}, table(width, columns, rows)...)
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
		for label := range e.Results.PerClass[name] {
			labels[label] = true
		}
	}
	var rows [][]string
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		row := []string{label}
		for _, name := range names {
			row = append(row, valueOf(e.Results.PerClass[name], label))
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

// slices is a table a tag key, the worst slices first.
func (e *Evaluation) slices(primary string, names []string, width int) [][]string {
	var blocks [][]string
	for _, key := range slices.Sorted(maps.Keys(e.Results.Slices)) {
		rows := metrics.Rows(map[string]map[string]runs.SliceMetrics{key: e.Results.Slices[key]}, primary, e.MinSlice)
		blocks = append(blocks, e.slice(key, rows, primary, names, width))
	}
	return blocks
}

func (e *Evaluation) slice(key string, rows []metrics.SliceRow, primary string, names []string, width int) []string {
	columns := []column{{head: "value", least: 8}, {head: "n", right: true}, {head: primary, right: true}}
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
		row := []string{r.Value, count(r.N), valueOf(r.Metrics, primary)}
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
func where(r Result) []string {
	rows := [][]string{{"run", r.Run.Dir}}
	if r.Run.Meta.ArtifactPath != "" && r.Summary != nil {
		rows = append(rows, []string{"weights", r.Run.Dir + "/" + r.Run.Meta.ArtifactPath})
	}
	if r.Eval != nil {
		rows = append(rows, []string{"evaluation", r.Eval.Dir})
	}
	next := "verifily eval --run " + Quote(r.Run.Dir)
	if r.Eval != nil && len(r.Eval.Results.Slices) == 0 {
		next += " --slice-by TAG"
	} else {
		next += " --test-data FILE.jsonl"
	}
	rows = append(rows, []string{"next", next})
	lines := []string{"where it is"}
	for _, row := range rows { // never cut: these are to be copied
		lines = append(lines, fmt.Sprintf("  %-10s  %s", row[0], text.Escape(row[1])))
	}
	return lines
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
