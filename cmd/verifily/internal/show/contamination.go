package show

import (
	"fmt"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/console"
	"github.com/verifily/verifily-tui/core/contamination"
	"github.com/verifily/verifily-tui/core/contamination/pii"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// Contamination is the outcome of a search for evaluation rows in training
// data.
type Contamination struct {
	Report *contamination.Report
	PII    *pii.Summary // personal data in the training data
	File   string       // of the report, as the user would type it
}

// mostPairs is how many pairs are printed; the file has the others.
const mostPairs = 10

func (l *lines) Scanned(c Contamination) error {
	r := c.Report
	l.con.Clear()
	status := map[string]console.Style{contamination.Pass: console.Green, contamination.Warn: console.Yellow, contamination.Fail: console.Red}
	l.con.Print(l.heading("contamination", r.Status, status[r.Status])...)
	found := func(n int, what string, trainRows int) string {
		s := fmt.Sprintf("%s of %s evaluation rows (%s)", count(n), count(r.Counts.EvalRows), share(n, r.Counts.EvalRows))
		if n > 0 {
			s += fmt.Sprintf(", by %s %s", count(trainRows), what)
		}
		return s
	}
	width := l.con.Width()
	l.con.Print(table(width, []column{{}, {least: 8}}, [][]string{
		{"evaluation data", r.Eval.Path},
		{"training data", r.Train.Path},
		{"exact overlaps", found(r.ExactOverlaps, "training rows", r.Counts.TrainExactRows)},
		{"near duplicates", found(r.NearDuplicates, "other training rows", r.Counts.TrainNearRows)},
		{"compared with", fmt.Sprintf("%s, %d-grams, similarity %v or more", plural(r.Counts.TrainRows, "training row", "training rows"), r.NGram, r.Threshold)},
		{"recall", fmt.Sprintf("%.4f or more of pairs at the threshold, all exact ones", r.LSH.RecallAtThreshold)},
	})...)
	l.pairs(c)
	l.personalData(c.PII)
	l.written(c.File)
	return nil
}

func (l *lines) pairs(c Contamination) {
	r := c.Report
	if len(r.Pairs) == 0 {
		return
	}
	n := min(len(r.Pairs), mostPairs)
	heading := fmt.Sprintf("pairs (%s of %s)", count(n), count(r.Counts.Pairs))
	columns := []column{{head: "kind"}, {head: "similarity", right: true}, {head: "line", right: true}, {head: "evaluation row", least: 8}, {head: "line", right: true}, {head: "training row", least: 8}}
	var rows [][]string
	for _, p := range r.Pairs[:n] {
		rows = append(rows, []string{p.Kind, fmt.Sprintf("%.3f", p.Similarity), count(p.Eval.Line), p.Eval.ID, count(p.Train.Line), p.Train.ID})
	}
	l.con.Print("", l.con.Paint(console.Bold, heading))
	l.con.Print(table(l.con.Width(), columns, rows)...)
}

func (l *lines) personalData(s *pii.Summary) {
	l.con.Print("", l.con.Paint(console.Bold, "personal data in the training data"))
	if s.Clean {
		l.con.Print("  none found in " + plural(s.RowCount, "row", "rows"))
		return
	}
	var rows [][]string
	for _, kind := range []struct {
		name string
		n    int
	}{{"e-mail addresses", s.Scan.Email}, {"telephone numbers", s.Scan.Phone}, {"social security numbers", s.Scan.SSN},
		{"IP addresses", s.Scan.IP}, {"credit cards", s.Scan.CreditCard}} {
		if kind.n > 0 {
			rows = append(rows, []string{kind.name, count(kind.n)})
		}
	}
	rows = append(rows, []string{"rows", fmt.Sprintf("%s of %s (%s)", count(s.Rows), count(s.RowCount), share(s.Rows, s.RowCount))})
	l.con.Print(table(l.con.Width(), []column{{}, {least: 8}}, rows)...)
}

func (o *objects) Scanned(c Contamination) error {
	r := c.Report
	return o.document(canonical.Object{{Key: "status", Value: r.Status}, {Key: "exact_overlaps", Value: r.ExactOverlaps},
		{Key: "near_duplicates", Value: r.NearDuplicates}, {Key: "threshold", Value: r.Threshold}, {Key: "ngram", Value: r.NGram},
		{Key: "lsh", Value: r.LSH}, {Key: "counts", Value: r.Counts}, {Key: "train", Value: r.Train}, {Key: "eval", Value: r.Eval},
		{Key: "pairs", Value: r.Pairs}, {Key: "pii", Value: c.PII}, {Key: "output", Value: c.File}})
}
