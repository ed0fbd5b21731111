package show

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/console"
	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/core/text"
)

// Comparison is a comparison of runs and how to show it.
type Comparison struct {
	Result *core.CompareResult
	Format string // one of CompareFormats
	// Fixed and Broken are how many examples a table lists for each run.
	Fixed, Broken int
	File          string // where it was written to as well, as the user would type it
}

// The formats of a comparison.
const (
	Table    = "table"
	AsJSON   = "json"
	CSV      = "csv"
	Markdown = "markdown"
)

// CompareFormats lists the formats of a comparison.
func CompareFormats() []string { return []string{Table, AsJSON, CSV, Markdown} }

// Write writes a comparison in its format; width is that of a table.
func (c Comparison) Write(w io.Writer, width int) error {
	switch c.Format {
	case AsJSON:
		return c.Result.WriteJSON(w)
	case CSV:
		return c.Result.WriteCSV(w)
	case Markdown:
		return c.Result.WriteMarkdown(w)
	}
	if err := c.Result.WriteTable(w, width); err != nil {
		return err
	}
	_, err := io.WriteString(w, strings.Join(append(c.examples(width), ""), "\n"))
	return err
}

// lines is what Write writes.
func (c Comparison) lines(width int) ([]string, error) {
	var out bytes.Buffer
	if err := c.Write(&out, width); err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n"), nil
}

// examples lists what a run answers right and the base wrong, and the other
// way round.
func (c Comparison) examples(width int) []string {
	var lines []string
	list := func(what string, run int, all []compare.Example, n int) {
		if n == 0 {
			return
		}
		n = min(n, len(all))
		lines = append(lines, "", text.Line(fmt.Sprintf("%s in %s (%s of %s)", what, c.label(run), count(n), count(len(all))), width))
		for _, e := range all[:n] {
			lines = append(lines, example(e, width)...)
		}
	}
	for _, e := range c.Result.Examples {
		run := 0
		for i, r := range c.Result.Runs[1:] {
			if r.ID == e.Run {
				run = i + 1
			}
		}
		list("fixed", run, e.Fixed, c.Fixed)
		list("broken", run, e.Broken, c.Broken)
	}
	return lines
}

func (c Comparison) label(run int) string { return c.Result.Runs[run].Label() }

// example shows an example in two lines: what was asked, then what was
// expected and what the two runs answered.
func example(e compare.Example, width int) []string {
	head := fmt.Sprintf("%6d  ", e.Index)
	words := []string{"expected ", "  base ", "  now "}
	room := max(0, width-len("        ")-len(strings.Join(words, "")))
	line := "        "
	for i, s := range []string{e.Reference, e.BasePrediction, e.Prediction} {
		s = text.Line(quoteEmpty(s), max(room/(len(words)-i), 1))
		room -= text.Width(s)
		line += words[i] + s
	}
	return []string{head + text.Line(quoteEmpty(e.Input), width-len(head)), text.Line(line, width)}
}

func (l *lines) Compared(c Comparison) error {
	l.con.Clear()
	out, err := c.lines(l.con.Width())
	if err != nil {
		return err
	}
	if c.Format == Table {
		for i, line := range out {
			out[i] = l.verdict(line)
		}
	}
	l.con.Print(out...)
	l.written(c.File)
	return nil
}

// verdict paints the verdict at the end of a line of a comparison.
func (l *lines) verdict(line string) string {
	for word, style := range map[string]console.Style{"✓ better": console.Green, "✓ worse": console.Red} {
		if head, ok := strings.CutSuffix(line, word); ok {
			return head + l.con.Paint(style, word)
		}
	}
	return line
}

// written tells about a file.
func (l *lines) written(path string) {
	if path != "" {
		l.con.Print("", "written to "+text.Escape(path))
	}
}

func (o *objects) Compared(c Comparison) error {
	c.Format = AsJSON
	out, err := c.lines(0)
	if err != nil {
		return err
	}
	o.printDocument(out)
	return nil
}
