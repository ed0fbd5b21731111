package batch

import (
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/verifily/verifily-tui/core/text"
)

// grid is the table of a summary: a row a job, then a row a group of seeds.
type grid struct {
	head  []string
	rows  [][]string
	seeds [][]string
}

// shownMetrics is how many metrics a table shows besides the main one, where
// there is room.
const shownMetrics = 3

// shape is how much a table shows.
type shape struct {
	others    int  // metrics besides the main one, at most
	intervals bool // of these
	time      bool
	interval  bool // of the main metric
	settings  bool // of the matrices
}

// full is the table that has the room it wants.
var full = shape{others: shownMetrics, intervals: true, time: true, interval: true, settings: true}

// narrower lists the shapes to try where there is less, one after the other.
func narrower() []shape {
	out := []shape{{others: shownMetrics, intervals: true, time: true, interval: true}}
	for others := shownMetrics; others >= 0; others-- {
		out = append(out, shape{others: others, time: true, interval: true})
	}
	return append(out, shape{interval: true}, shape{})
}

// grid makes the table in a shape.
func (sum *Summary) grid(shape shape) grid {
	main := sum.Metric
	if main == "" {
		main = mainMetric(sum.Jobs)
	}
	names := metricNames(sum.Jobs, main)
	if len(names) > 1+shape.others {
		names = names[:1+shape.others]
	}
	keys := sum.settingKeys()
	settled := shape.settings && len(keys) > 0
	g := grid{head: []string{"job", "status"}}
	if settled {
		g.head = append(g.head, "settings")
	}
	compared := sum.Baseline != "" && len(names) > 0
	for i, name := range names {
		g.head = append(g.head, name)
		if i == 0 && compared {
			g.head = append(g.head, "vs "+plain(sum.Baseline))
		}
	}
	g.head = append(g.head, "time")
	decided := sum.Decision != ""
	if decided {
		g.head = append(g.head, "decision")
	}
	for _, r := range sum.Jobs {
		line := []string{r.Job, string(r.Status)}
		if settled {
			line = append(line, settingsText(keys, r.Settings))
		}
		for i, name := range names {
			c, ok := r.Metrics[name]
			line = append(line, cellText(c, ok, i == 0 && shape.interval || i > 0 && shape.intervals))
			if i == 0 && compared {
				line = append(line, deltaText(c))
			}
		}
		lasted := ""
		if shape.time {
			lasted = duration(r.Seconds)
		}
		line = append(line, lasted)
		if decided {
			line = append(line, r.Decision)
		}
		g.rows = append(g.rows, line)
	}
	for _, s := range sum.Groups {
		line := []string{plain(s.Name), strconv.Itoa(len(s.Jobs))}
		if settled {
			line = append(line, "") // they stand in its name
		}
		for i, name := range names {
			v, ok := s.Metrics[name]
			cell := ""
			if ok {
				cell = fmt.Sprintf("%s sd %s", short(v.Mean), short(v.SD))
				if v.Low != nil && v.High != nil && (i == 0 && shape.interval || i > 0 && shape.intervals) {
					cell += fmt.Sprintf(" [%s, %s]", short(*v.Low), short(*v.High))
				}
			}
			line = append(line, cell)
			if i == 0 && compared {
				line = append(line, "")
			}
		}
		line = append(line, "")
		if decided {
			line = append(line, "")
		}
		g.seeds = append(g.seeds, line)
	}
	return g
}

// width is the number of columns that the rows of jobs take.
func (g grid) width() int {
	return columnsWidth(g.head, g.rows)
}

// seedsHead is the head of the table of seeds.
func (g grid) seedsHead() []string { return append([]string{"combination", "seeds"}, g.head[2:]...) }

func columnsWidth(head []string, rows [][]string) int {
	var b strings.Builder
	writeColumns(&b, head, rows)
	widest := 0
	for line := range strings.Lines(b.String()) {
		widest = max(widest, text.Width(strings.TrimSuffix(line, "\n")))
	}
	return widest
}

func cellText(c Cell, ok, interval bool) string {
	switch {
	case !ok:
		return ""
	case c.Interval == nil || !interval:
		return short(c.Value)
	}
	return fmt.Sprintf("%s [%s, %s]", short(c.Value), short(c.Interval.Low), short(c.Interval.High))
}

// deltaText is a difference with its interval and what the test says of it,
// with the mark of a comparison where it is not paired.
func deltaText(c Cell) string {
	if c.Delta == nil {
		return ""
	}
	out := fmt.Sprintf("%+.4f", c.Delta.Delta)
	if i := c.Delta.Interval; i != nil {
		out += fmt.Sprintf(" [%+.4f, %+.4f]", i.Low, i.High)
	}
	if !c.Delta.Paired {
		out += " ?"
	}
	if c.Delta.Verdict != "" {
		out += " " + string(c.Delta.Verdict)
	}
	return out
}

// unpaired says what the mark of a difference means, empty where none has it.
func (sum *Summary) unpaired() string {
	for _, r := range sum.Jobs {
		for _, c := range r.Metrics {
			if c.Delta != nil && !c.Delta.Paired {
				return "? is not paired: weaker than a paired test, or no test at all"
			}
		}
	}
	return ""
}

func short(f float64) string {
	if math.Abs(f) >= 1e5 {
		return strconv.FormatFloat(f, 'g', 5, 64)
	}
	return strconv.FormatFloat(f, 'f', 4, 64)
}

func duration(seconds float64) string {
	switch {
	case seconds == 0:
		return "" // nothing was done
	case seconds < 59.95:
		return fmt.Sprintf("%.1fs", seconds)
	}
	return time.Duration(math.Round(seconds) * float64(time.Second)).String()
}

// WriteTable writes the summary as plain text: a line a job, the seeds, what
// failed, and the decision. It holds no control characters. Where the table is
// wider than width columns, settings, intervals, metrics and times are left out,
// the main metric excepted; width 0 is without limit.
func (sum *Summary) WriteTable(w io.Writer, width int) error {
	var b strings.Builder
	g := sum.grid(full)
	for _, shape := range narrower() {
		if width > 0 && g.width() > width {
			g = sum.grid(shape)
		}
	}
	writeColumns(&b, g.head, g.rows)
	if mark := sum.unpaired(); mark != "" {
		b.WriteString(mark + "\n")
	}
	if len(g.seeds) > 0 {
		b.WriteString("\nover seeds: mean, standard deviation, 95% interval of the mean from 3 seeds on\n")
		for _, shape := range narrower() {
			if width > 0 && columnsWidth(g.seedsHead(), g.seeds) > width {
				g = sum.grid(shape)
			}
		}
		writeColumns(&b, g.seedsHead(), g.seeds)
	}
	failures := false
	for _, r := range sum.Jobs {
		if r.Error != "" {
			if !failures {
				b.WriteString("\n")
			}
			failures = true
			fmt.Fprintf(&b, "%s %s: %s\n", r.Job, r.Status, plain(r.Error))
		}
	}
	for _, r := range sum.Jobs {
		if r.Note != "" {
			fmt.Fprintf(&b, "\nnote: %s %s\n", r.Job, plain(r.Note))
		}
	}
	for _, p := range sum.Problems {
		fmt.Fprintf(&b, "\nnote: %s\n", plain(p))
	}
	if sum.Stopped != "" {
		fmt.Fprintf(&b, "\nstopped early: %s; the same command goes on\n", plain(sum.Stopped))
	}
	if sum.Decision != "" {
		fmt.Fprintf(&b, "\n%s: %s\n", sum.Decision, sum.judged())
		for _, reason := range sum.Reasons {
			fmt.Fprintf(&b, "  - %s\n", plain(reason))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// judged is the job of the decision, with what there is to note about it.
func (sum *Summary) judged() string {
	if sum.DecisionNote == "" {
		return sum.DecisionJob
	}
	return sum.DecisionJob + ", " + sum.DecisionNote
}

// writeColumns aligns the columns that hold anything.
func writeColumns(b *strings.Builder, head []string, rows [][]string) {
	widths := make([]int, len(head))
	for i := range head {
		for _, row := range rows {
			widths[i] = max(widths[i], text.Width(row[i]))
		}
		if widths[i] > 0 {
			widths[i] = max(widths[i], text.Width(head[i]))
		}
	}
	for _, row := range append([][]string{head}, rows...) {
		line := ""
		for i, cell := range row {
			if widths[i] > 0 {
				line += text.Pad(cell, widths[i]) + "  "
			}
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// WriteMarkdown writes the summary for a report.
func (sum *Summary) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\nPlan: `%s`\n\n", sum.BatchID, plain(filepath.Base(sum.Plan)))
	if sum.Decision != "" {
		fmt.Fprintf(&b, "**%s** (%s)\n\n", sum.Decision, markdown(sum.judged()))
		for _, reason := range sum.Reasons {
			fmt.Fprintf(&b, "- %s\n", markdown(reason))
		}
		b.WriteString("\n")
	}
	g := sum.grid(full)
	writeMarkdownTable(&b, g.head, g.rows)
	if mark := sum.unpaired(); mark != "" {
		b.WriteString("\n" + mark + "\n")
	}
	if len(g.seeds) > 0 {
		b.WriteString("\nOver seeds: mean, standard deviation, 95% interval of the mean from 3 seeds on.\n\n")
		writeMarkdownTable(&b, g.seedsHead(), g.seeds)
	}
	for _, r := range sum.Jobs {
		if r.Error != "" {
			fmt.Fprintf(&b, "\n- %s %s: %s", r.Job, r.Status, markdown(r.Error))
		}
	}
	for _, r := range sum.Jobs {
		if r.Note != "" {
			fmt.Fprintf(&b, "\n- note: %s %s", r.Job, markdown(r.Note))
		}
	}
	for _, p := range sum.Problems {
		fmt.Fprintf(&b, "\n- note: %s", markdown(p))
	}
	if sum.Stopped != "" {
		fmt.Fprintf(&b, "\n\nStopped early: %s\n", markdown(sum.Stopped))
	}
	b.WriteString("\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// writeMarkdownTable writes the columns that hold anything.
func writeMarkdownTable(b *strings.Builder, head []string, rows [][]string) {
	var kept []int
	for i := range head {
		if slices.ContainsFunc(rows, func(row []string) bool { return row[i] != "" }) {
			kept = append(kept, i)
		}
	}
	line := func(cells []string) {
		for _, i := range kept {
			b.WriteString("| " + markdown(cells[i]) + " ")
		}
		b.WriteString("|\n")
	}
	line(head)
	b.WriteString(strings.Repeat("| --- ", len(kept)) + "|\n")
	for _, row := range rows {
		line(row)
	}
}

var markdownMarks = strings.NewReplacer("|", `\|`, "`", "\\`", "*", `\*`, "_", `\_`, "<", "&lt;", "[", `\[`)

// markdown makes a text of data fit for a cell of a table.
func markdown(s string) string { return markdownMarks.Replace(plain(s)) }
