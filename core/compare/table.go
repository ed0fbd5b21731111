package compare

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/verifily/verifily-tui/core/text"
)

// line is a row of a table, its numbers as texts. Texts are not made safe yet.
type line struct {
	name, base, value, delta, interval, p, holm, verdict string
}

// lines lists the rows for run i after the base: the metrics, then the slices.
func (r *Result) lines(i int) []line {
	var out []line
	add := func(name string, tooFew bool, values []*Value, d *Delta) {
		if values[0] == nil && values[i+1] == nil {
			return
		}
		places := 3
		if d != nil && d.Interval != nil {
			places = decimals(d.Interval)
		} else if values[0] != nil {
			places = max(places, decimals(values[0].Interval))
		}
		l := line{name: name, verdict: verdict(d, tooFew)}
		show := func(v *Value) string {
			if v == nil {
				return "–"
			}
			return fixed(v.Value, places, false)
		}
		l.base, l.value = show(values[0]), show(values[i+1])
		if d != nil {
			l.delta, l.interval, l.p = fixed(d.Delta, places, true), span(d.Interval, places, true), probability(d.P)
			if !tooFew {
				l.holm = probability(d.PHolm)
			}
		}
		out = append(out, l)
	}
	for _, m := range r.Overall {
		add(m.Metric, false, m.Values, m.Deltas[i])
	}
	for _, s := range r.Slices {
		add(s.label(), s.TooFew, s.Values, s.Deltas[i])
	}
	return out
}

func (r *Result) pairingLine(i int) string {
	p := r.Pairing[i]
	if p.Matched == 0 && p.Note != "" {
		return p.Note
	}
	what := "matched"
	if p.Paired {
		what = "paired"
	}
	parts := []string{count(p.Matched, what+" example", what+" examples")}
	switch {
	case p.ByInputHash == 0:
		parts[0] += " by id"
	case p.ByID == 0:
		parts[0] += " by input"
	default:
		parts[0] += fmt.Sprintf(", %d by id and %d by input", p.ByID, p.ByInputHash)
	}
	parts = append(parts, fmt.Sprintf("%d + %d unmatched", p.UnmatchedBase, p.UnmatchedRun))
	if n := p.DuplicatesBase + p.DuplicatesRun; n > 0 {
		parts = append(parts, fmt.Sprintf("%d + %d duplicate", p.DuplicatesBase, p.DuplicatesRun))
	}
	if p.Changed > 0 {
		parts = append(parts, fmt.Sprintf("%d changed", p.Changed))
	}
	if p.Note != "" {
		parts = append(parts, p.Note)
	}
	return strings.Join(parts, " · ")
}

// changedLine counts the changed answers of run i after the base, empty where
// they are not known.
func (r *Result) changedLine(i int) string {
	for _, e := range r.Examples {
		if e.Run == r.Pairing[i].Run {
			return fmt.Sprintf("fixed %d · broken %d", len(e.Fixed), len(e.Broken))
		}
	}
	return ""
}

func (r *Result) methodLine() string {
	return fmt.Sprintf("%d resamples, seed %d, level %s; p of slices adjusted by Holm's method; slices under %d examples are not tested",
		r.Resamples, r.Seed, exact(r.Alpha), r.MinSlice)
}

// differenceGroup is one of the lists of differences, with its name.
type differenceGroup struct {
	name, one, many string
	list            []Difference
}

func (g differenceGroup) summary() string {
	if len(g.list) == 0 {
		return g.name + ": same"
	}
	return g.name + ": " + count(len(g.list), g.one, g.many)
}

func (r *Result) differences() []differenceGroup {
	return []differenceGroup{
		{"config", "key differs", "keys differ", r.Config},
		{"data", "field differs", "fields differ", r.Data},
		{"environment", "entry differs", "entries differ", r.Environment},
	}
}

// minTable is the least width that a table is made for.
const minTable = 40

// WriteTable writes the result as plain text of at most width columns (at least
// 40). Where the columns do not fit, the probabilities go first, then the
// intervals.
func (r *Result) WriteTable(w io.Writer, width int) error {
	width = max(width, minTable)
	t := tableWriter{width: width}
	for i, run := range r.Runs[1:] {
		if i > 0 {
			t.line("")
		}
		t.line(run.Label() + " against " + r.Runs[0].Label())
		t.line("  " + r.pairingLine(i))
		t.rows(r.lines(i))
		if changed := r.changedLine(i); changed != "" {
			t.line("  " + changed)
		}
	}
	t.line("")
	for _, group := range r.differences() {
		t.line(group.summary())
		for _, d := range group.list {
			texts := make([]string, len(d.Values))
			for i := range texts {
				texts[i] = d.Text(i)
			}
			t.line("  " + d.Name + "  " + strings.Join(texts, " | "))
		}
	}
	for _, note := range r.Notes {
		t.line("note: " + note)
	}
	t.line(r.methodLine())
	_, err := w.Write(t.out.Bytes())
	return err
}

// tableWriter writes lines that fit a width.
type tableWriter struct {
	width int
	out   bytes.Buffer
}

// line writes one line, made safe and broken between words to fit.
func (t *tableWriter) line(s string) {
	s = text.Escape(s)
	indent := min(4, len(s)-len(strings.TrimLeft(s, " ")))
	for text.Width(s) > t.width {
		head := text.Head(s, t.width)
		if at := strings.LastIndexByte(head, ' '); at > indent && strings.TrimSpace(head[:at]) != "" {
			head = head[:at]
		}
		t.out.WriteString(strings.TrimRight(head, " ") + "\n")
		s = strings.Repeat(" ", indent+2) + strings.TrimLeft(s[len(head):], " ")
	}
	t.out.WriteString(strings.TrimRight(s, " ") + "\n")
}

// leastName is how much of a name stays while other columns go.
const leastName = 24

// rows writes a table.
func (t *tableWriter) rows(lines []line) {
	header := line{name: "METRIC / SLICE", base: "BASE", value: "NEW", delta: "Δ", interval: "INTERVAL", p: "P", holm: "P (HOLM)"}
	all := append([]line{header}, lines...)
	columnsOf := []func(line) string{
		func(l line) string { return l.base },
		func(l line) string { return l.value },
		func(l line) string { return l.delta },
		func(l line) string { return l.interval },
		func(l line) string { return l.p },
		func(l line) string { return l.holm },
		func(l line) string { return l.verdict },
	}
	name := 0
	for _, l := range all {
		name = max(name, text.Width(text.Escape(l.name)))
	}
	wide := make([]int, len(columnsOf))
	total := 0
	for i, of := range columnsOf {
		for _, l := range all {
			wide[i] = max(wide[i], text.Width(of(l)))
		}
		total += wide[i] + 2
	}
	// The name gives way down to leastName, then columns go: p, adjusted p,
	// interval, base.
	for _, gone := range []int{4, 5, 3, 0} {
		if 2+min(name, leastName)+total <= t.width {
			break
		}
		total -= wide[gone] + 2
		wide[gone] = -1
	}
	name = max(4, min(name, t.width-2-total))
	for _, l := range all {
		s := "  " + text.Pad(text.Line(l.name, name), name)
		for i, of := range columnsOf {
			switch {
			case wide[i] < 0:
			case i == 6:
				s += "  " + of(l)
			default:
				s += "  " + text.PadLeft(of(l), wide[i])
			}
		}
		t.out.WriteString(strings.TrimRight(text.Line(s, t.width), " ") + "\n")
	}
}
