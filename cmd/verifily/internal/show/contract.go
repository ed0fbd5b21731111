package show

import (
	"strings"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/console"
	"github.com/verifily/verifily-tui/core/contract"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// Contract is what the run contract says of a run, and what is in its files.
type Contract struct {
	Run     string // as the user would type it
	Result  contract.Result
	Content []contract.Item
	Note    string // why there is nothing, empty when there is something
}

func (l *lines) Checked(c Contract) error {
	verdict, style := "VALID", console.Green
	if !c.Result.Valid {
		verdict, style = "INVALID", console.Red
	}
	l.con.Print(l.heading("run contract of "+c.Run, verdict, style)...)
	l.con.Print(l.items(c.Result.Checks)...)
	if c.Note != "" {
		l.con.Print(item("  note: ", c.Note, l.con.Width())...)
	}
	if len(c.Content) > 0 {
		l.con.Print("", l.con.Paint(console.Bold, "content (told, but not part of the contract)"))
		l.con.Print(l.items(c.Content)...)
	}
	return nil
}

func (l *lines) items(list []contract.Item) []string {
	var rows [][]string
	var marks []mark
	for _, i := range list {
		m := bad
		if i.Status == contract.Pass {
			m = good
		}
		marks = append(marks, m)
		rows = append(rows, []string{i.File, strings.ToLower(string(i.Status)), i.Detail})
	}
	return l.marked([]column{{least: 12}, {}, {least: 8, wraps: true}}, rows, marks)
}

func (o *objects) Checked(c Contract) error {
	return o.document(canonical.Object{{Key: "run", Value: c.Run}, {Key: "valid", Value: c.Result.Valid},
		{Key: "checks", Value: c.Result.Checks}, {Key: "has_eval", Value: c.Result.HasEval},
		{Key: "content", Value: append([]contract.Item{}, c.Content...)}})
}
