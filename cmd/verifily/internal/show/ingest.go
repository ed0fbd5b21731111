package show

import (
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
	l.con.Print("")
	l.con.Print(places([]place{
		{name: "artifact", value: s.OutDir},
		{name: "next", value: "verifily retrain --dataset " + Quote(s.OutDir), command: true},
	}, width)...)
	return nil
}

func (o *objects) Ingested(s *artifact.Summary) error { return o.document(s) }
