package show

import (
	"fmt"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/console"
	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/reproduce"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// Reproduction says what a run is worth: its hashes, and how a repetition came
// out.
type Reproduction struct {
	Result *core.ReproduceResult
	Run    string // as the user would type it
	New    string // the repeated run likewise, empty when nothing was repeated
}

func styleOfMatch(v reproduce.Verdict) console.Style {
	switch v {
	case reproduce.FullMatch:
		return console.Green
	case reproduce.PartialMatch:
		return console.Yellow
	}
	return console.Red
}

func (l *lines) Reproduced(r Reproduction) error {
	l.con.Clear()
	verified := r.Result.Verified
	l.con.Print(l.heading("hashes of "+r.Run, string(verified.Verdict), styleOfMatch(verified.Verdict))...)
	l.checks(verified.Checks)
	for _, note := range verified.Notes {
		l.con.Print(item("  note: ", note, l.con.Width())...)
	}
	if c := r.Result.Repeated; c != nil {
		l.con.Print("")
		l.con.Print(l.heading("repeated in "+r.New, string(c.Verdict), styleOfMatch(c.Verdict))...)
		l.checks([]reproduce.Check{c.Weights})
		l.repeatedMetrics(c)
	}
	return nil
}

// checks is a line a check, and one for everything that differs.
func (l *lines) checks(list []reproduce.Check) {
	var rows [][]string
	var marks []mark
	for _, c := range list {
		m := unknown
		switch c.Status {
		case reproduce.Match:
			m = good
		case reproduce.Differs:
			m = bad
		}
		marks = append(marks, m)
		rows = append(rows, []string{c.Name, string(c.Status)})
	}
	out := l.marked([]column{{least: 8}, {}}, rows, marks)
	for i, c := range list {
		l.con.Print(out[i])
		for j, d := range c.Differs {
			if j == mostDiffering {
				l.con.Print(fmt.Sprintf("      ... and %s more (--json lists all)", count(len(c.Differs)-j)))
				break
			}
			l.con.Print(item("      ", d, l.con.Width())...)
		}
	}
}

// mostDiffering is how many differences of one check are printed.
const mostDiffering = 12

func (l *lines) repeatedMetrics(c *reproduce.Comparison) {
	value := func(v *float64) string {
		if v == nil {
			return "-"
		}
		return score(*v)
	}
	var rows [][]string
	var marks []mark
	for _, m := range c.Metrics {
		row := []string{m.Name, value(m.Original), value(m.New), ""}
		if m.Original != nil && m.New != nil {
			row[3] = signed(*m.New - *m.Original)
			if *m.New == *m.Original {
				row[3] = "equal"
			}
		}
		rows = append(rows, row)
		if m.Within {
			marks = append(marks, good)
		} else {
			marks = append(marks, bad)
		}
	}
	columns := []column{{head: "METRIC", least: 8}, {head: "ORIGINAL", right: true}, {head: "NEW", right: true}, {head: "DIFFERENCE", right: true}}
	l.con.Print(l.marked(columns, rows, marks)...)
	l.con.Print(item("  ", fmt.Sprintf("tolerance %v of the original value (of 1 where it is smaller)", c.Tolerance), l.con.Width())...)
}

func (o *objects) Reproduced(r Reproduction) error {
	verdict := r.Result.Verdict()
	return o.document(canonical.Object{{Key: "verdict", Value: string(verdict)}, {Key: "exit_code", Value: verdict.ExitCode()},
		{Key: "verified", Value: r.Result.Verified}, {Key: "repeated", Value: r.Result.Repeated}})
}
