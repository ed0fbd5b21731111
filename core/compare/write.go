package compare

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// WriteJSON writes the result as JSON, with the numbers of the run files, keys in
// the order of the fields and two spaces of indent. Characters that a terminal
// obeys or hides are escaped.
func (r *Result) WriteJSON(w io.Writer) error {
	data, err := canonical.Indent(r)
	if err != nil {
		return fmt.Errorf("write comparison: %w", err)
	}
	var out bytes.Buffer
	for _, c := range string(data) {
		switch {
		case c == '\n' || !text.Hidden(c):
			out.WriteRune(c)
		case c <= 0xffff:
			fmt.Fprintf(&out, `\u%04x`, c)
		default:
			high, low := utf16.EncodeRune(c)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		}
	}
	_, err = w.Write(out.Bytes())
	return err
}

// csvColumns is the header that WriteCSV writes.
var csvColumns = []string{"level", "metric", "slice_key", "slice_value", "run_id", "run_name", "n", "value", "low", "high",
	"base_value", "delta", "delta_low", "delta_high", "pairs", "paired", "p", "p_holm", "verdict", "too_few"}

// WriteCSV writes a line for every metric and slice of every run, the base
// included; level is "overall" or "slice". Numbers are given in full. Texts that
// a spreadsheet would take for a formula start with an apostrophe.
func (r *Result) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	if err := out.Write(csvColumns); err != nil {
		return err
	}
	row := func(level, metric, key, value string, tooFew bool, values []*Value, deltas []*Delta) error {
		for i, v := range values {
			if v == nil {
				continue
			}
			line := []string{level, cell(metric), cell(key), cell(value), cell(r.Runs[i].ID), cell(r.Runs[i].Name),
				strconv.Itoa(v.N), exact(v.Value), "", ""}
			if v.Interval != nil {
				line[8], line[9] = exact(v.Interval.Low), exact(v.Interval.High)
			}
			rest := make([]string, 9)
			if values[0] != nil {
				rest[0] = exact(values[0].Value)
			}
			if i > 0 && deltas[i-1] != nil {
				d := deltas[i-1]
				rest[1] = exact(d.Delta)
				if d.Interval != nil {
					rest[2], rest[3] = exact(d.Interval.Low), exact(d.Interval.High)
				}
				rest[4], rest[5] = strconv.Itoa(d.N), strconv.FormatBool(d.Paired)
				rest[6], rest[7], rest[8] = exactOr(d.P), exactOr(d.PHolm), string(d.Verdict)
			}
			line = append(append(line, rest...), strconv.FormatBool(tooFew))
			if err := out.Write(line); err != nil {
				return err
			}
		}
		return nil
	}
	for _, m := range r.Overall {
		if err := row("overall", m.Metric, "", "", false, m.Values, m.Deltas); err != nil {
			return err
		}
	}
	for _, s := range r.Slices {
		if err := row("slice", r.Metric, s.Key, s.Value, s.TooFew, s.Values, s.Deltas); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func exact(v float64) string { return canonical.Float(v) }

func exactOr(v *float64) string {
	if v == nil {
		return ""
	}
	return exact(*v)
}

// cell makes a text safe for a spreadsheet, which runs a cell that starts with
// one of these signs as a formula.
func cell(s string) string {
	s = text.Escape(s)
	if s != "" && strings.ContainsRune("=+-@|%", rune(s[0])) {
		return "'" + s
	}
	return s
}

// WriteMarkdown writes the result as tables for a merge request or a report.
func (r *Result) WriteMarkdown(w io.Writer) error {
	var b bytes.Buffer
	base := r.Runs[0]
	for i, run := range r.Runs[1:] {
		fmt.Fprintf(&b, "## %s against %s\n\n%s\n\n", inline(run.Label()), inline(base.Label()), inline(r.pairingLine(i)))
		b.WriteString("| metric / slice | base | new | Δ | interval | n | p | p (Holm) | |\n|---|---:|---:|---:|---|---:|---:|---:|---|\n")
		for _, l := range r.lines(i) {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", inline(l.name), l.base, l.value, l.delta, inline(l.interval),
				l.n, inline(l.p), inline(l.holm), inline(l.verdict))
		}
		if changed := r.changedLine(i); changed != "" {
			fmt.Fprintf(&b, "\n%s\n", inline(changed))
		}
		b.WriteString("\n")
	}
	for _, group := range r.Inputs() {
		fmt.Fprintf(&b, "### %s\n\n", inline(group.summary()))
		if len(group.Differ) == 0 {
			continue
		}
		b.WriteString("| |")
		for _, run := range r.Runs {
			fmt.Fprintf(&b, " %s |", inline(run.Label()))
		}
		b.WriteString("\n|---|" + strings.Repeat("---|", len(r.Runs)) + "\n")
		for _, d := range group.Differ {
			fmt.Fprintf(&b, "| %s |", inline(short(d.Name)))
			for i := range d.Values {
				fmt.Fprintf(&b, " %s |", inline(short(d.Text(i))))
			}
			b.WriteString("\n")
		}
		b.WriteString("\n")
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "- %s\n", inline(text.Line(note, maxNote)))
	}
	fmt.Fprintf(&b, "\n%s\n", r.methodLine())
	_, err := w.Write(b.Bytes())
	return err
}

// inline escapes what Markdown, and HTML in it, would act on.
func inline(s string) string {
	var b strings.Builder
	for _, r := range text.Escape(s) {
		if strings.ContainsRune("\\`*_{}[]#|~", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return entities.Replace(b.String())
}

// entities keep HTML, mentions and addresses, which become links without any
// mark, what they are: text.
var entities = strings.NewReplacer("&", "&amp;", "<", "&lt;", "@", "&#64;", "://", "&#58;//", "www.", "www&#46;")
