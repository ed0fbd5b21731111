package show

import (
	"fmt"
	"strings"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/console"
	"github.com/verifily/verifily-tui/core/dataset/artifact"
)

func (l *lines) Ingested(s *artifact.Summary) error {
	width := l.con.Width()
	pii := "none found"
	if s.PIIHits > 0 {
		pii = plural(s.PIIHits, "hit", "hits") + " (report.json says of what kind)"
	}
	rows := [][]string{
		{"rows read", count(s.RowsIn) + " (" + s.Format + ")"},
		{"rows written", count(s.RowsOut) + " (" + s.Schema + ")"},
		{"duplicates", count(s.ExactDuplicates)},
		{"PII", pii},
		{"dataset hash", s.DatasetHash},
		{"chain hash", s.ChainHash},
	}
	l.con.Print(l.con.Paint(console.Bold, "ingested"))
	l.con.Print(table(width, []column{{}, {least: 8}}, rows)...)
	if s.Dropped > 0 {
		l.con.Print("", l.con.Paint(console.Bold, "dropped "+plural(s.Dropped, "row", "rows")))
		var reasons [][]string
		for _, r := range s.Reasons {
			reasons = append(reasons, []string{count(r.Rows), r.Reason})
		}
		l.con.Print(table(width, []column{{right: true}, {least: 8}}, reasons)...)
	}
	if len(s.Unused) > 0 {
		l.con.Print("")
		l.con.Print(wrap(notUsed(s.Unused), width)...)
	}
	l.con.Print("")
	l.con.Print(places([]place{
		{name: "artifact", value: s.OutDir},
		{name: "next", value: "verifily retrain --dataset " + Quote(s.OutDir), command: true},
	}, width)...)
	return nil
}

// mostUnused bounds how many columns are named that were not used.
const mostUnused = 10

// notUsed names the columns that were not used, and how one becomes a tag.
func notUsed(names []string) string {
	list := strings.Join(names[:min(len(names), mostUnused)], ", ")
	if more := len(names) - mostUnused; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	if strings.ContainsAny(names[0], ",=") { // which --map cannot name
		return "not used: " + list
	}
	what := "it"
	if len(names) > 1 {
		what = "the first"
	}
	return "not used: " + list + " (--map " + Quote("tags."+names[0]+"="+names[0]) + " makes a tag of " + what + ")"
}

func (o *objects) Ingested(s *artifact.Summary) error { return o.document(s) }
