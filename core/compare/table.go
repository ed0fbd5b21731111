package compare

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/verifily/verifily-tui/core/text"
)

// line is a row of a table, its numbers as texts. Texts are not made safe yet.
type line struct {
	name, n, base, value, delta, interval, p, holm, verdict string
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
		l := line{name: name, n: examples(values[0], values[i+1], d), verdict: verdict(values[0], values[i+1], d, tooFew)}
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

// examples is how many examples are behind a row: pairs where it is paired, else
// those of the new run, or of the base where that is all there is; empty when
// unknown.
func examples(base, value *Value, d *Delta) string {
	n := 0
	switch {
	case d != nil && d.Paired:
		n = d.N
	case value != nil:
		n = value.N
	case base != nil:
		n = base.N
	}
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func (r *Result) pairingLine(i int) string {
	p := r.Pairing[i]
	if p == (Pairing{Run: p.Run, Note: p.Note}) && p.Note != "" {
		return p.Note
	}
	what := "matched"
	if p.Paired {
		what = "paired"
	}
	parts := []string{count(p.Matched, what+" example", what+" examples")}
	switch {
	case p.Matched == 0:
	case p.ByInputHash == 0:
		parts[0] += " by id"
	case p.ByID == 0:
		parts[0] += " by input"
	default:
		parts[0] += fmt.Sprintf(", %d by id and %d by input", p.ByID, p.ByInputHash)
	}
	before := len(parts)
	say := func(n int, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	say(p.UnmatchedBase, "only in base")
	say(p.UnmatchedRun, "only in new")
	say(p.DuplicatesBase, "ambiguous in base")
	say(p.DuplicatesRun, "ambiguous in new")
	say(p.Changed, "changed")
	if len(parts) == before {
		parts = append(parts, "all matched")
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
	out := fmt.Sprintf("%d resamples, seed %d, level %s; p of slices adjusted by Holm's method; slices under %d examples are not tested",
		r.Resamples, r.Seed, exact(r.Alpha), r.MinSlice)
	if slices.ContainsFunc(r.Pairing, func(p Pairing) bool { return !p.Paired }) {
		out += "; ? is not paired: weaker than a paired test, or no test at all"
	}
	return out
}

// summary says how much of a group differs.
func (g Inputs) summary() string {
	noun := map[string][2]string{"config": {"key differs", "keys differ"}, "data": {"field differs", "fields differ"}}
	words, ok := noun[g.Name]
	if !ok {
		words = [2]string{"entry differs", "entries differ"}
	}
	switch {
	case len(g.Differ) > 0:
		return g.Name + ": " + count(len(g.Differ), words[0], words[1])
	case g.Unknown:
		return g.Name + ": not known"
	}
	return g.Name + ": same"
}

// Values of a config may be of any length; of those that are longer than these
// columns a table shows the start.
const (
	maxValue = 200
	maxNote  = 400
)

func short(s string) string { return text.Line(s, maxValue) }

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
	for _, group := range r.Inputs() {
		t.line(group.summary())
		for _, d := range group.Differ {
			texts := make([]string, len(d.Values))
			for i := range texts {
				texts[i] = short(d.Text(i))
			}
			t.line("  " + short(d.Name) + "  " + strings.Join(texts, " | "))
		}
	}
	for _, note := range r.Notes {
		t.line("note: " + text.Line(note, maxNote))
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
	header := line{name: "METRIC / SLICE", n: "N", base: "BASE", value: "NEW", delta: "Δ", interval: "INTERVAL", p: "P", holm: "P HOLM"}
	all := append([]line{header}, lines...)
	columnsOf := []func(line) string{
		func(l line) string { return l.base },
		func(l line) string { return l.value },
		func(l line) string { return l.delta },
		func(l line) string { return l.interval },
		func(l line) string { return l.n },
		func(l line) string { return l.p },
		func(l line) string { return l.holm },
		func(l line) string { return l.verdict },
	}
	name := len("METRIC")
	for _, l := range lines {
		name = max(name, text.Width(text.Escape(l.name)))
	}
	if name < len(header.name) { // a head must not cost the others a column
		all[0].name = "METRIC"
	}
	wide := make([]int, len(columnsOf))
	total := 0
	for i, of := range columnsOf {
		wide[i] = -1
		for _, l := range lines {
			if v := of(l); v != "" {
				wide[i] = max(wide[i], text.Width(v), text.Width(of(header)))
			}
		}
		if wide[i] >= 0 { // of a column without content there is no need
			total += wide[i] + 2
		}
	}
	// The name gives way down to leastName, then columns go: p, adjusted p,
	// interval, base, n.
	const verdictColumn = 7
	for _, gone := range []int{5, 6, 3, 0, 4} {
		if 2+min(name, leastName)+total <= t.width {
			break
		}
		if wide[gone] >= 0 {
			total -= wide[gone] + 2
			wide[gone] = -1
		}
	}
	name = max(4, min(name, t.width-2-total))
	for _, l := range all {
		s := "  " + text.Pad(shortened(l.name, name), name)
		for i, of := range columnsOf {
			switch {
			case wide[i] < 0:
			case i == verdictColumn:
				s += "  " + of(l)
			default:
				s += "  " + text.PadLeft(of(l), wide[i])
			}
		}
		t.out.WriteString(strings.TrimRight(text.Line(s, t.width), " ") + "\n")
	}
}

// shortened makes a name safe and, where it is too long, leaves out its middle:
// the values of crossed tags differ at their ends.
func shortened(name string, width int) string {
	safe := text.Escape(name)
	if text.Width(safe) <= width || width < 8 {
		return text.Line(name, width)
	}
	tail := []rune(safe)
	for text.Width(string(tail)) > width/2-1 {
		tail = tail[1:]
	}
	return text.Head(safe, width-1-text.Width(string(tail))) + "…" + string(tail)
}
