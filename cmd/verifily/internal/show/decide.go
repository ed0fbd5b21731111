package show

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/console"
	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// Verdict is a decision and what it is about.
type Verdict struct {
	Decision *core.Decision
	Run      string // name of the run
	Baseline string // name of the run it was compared with; empty: none
	Policy   string // policy file; empty: none
	Dir      string // where it was written, as the user would type it; empty: nowhere
}

// styleOf is the colour of a recommendation.
func styleOf(recommendation string) console.Style {
	switch recommendation {
	case decision.Ship:
		return console.Green
	case decision.DontShip:
		return console.Red
	}
	return console.Yellow
}

func (l *lines) Decided(v Verdict) error {
	about := v.Run
	if v.Baseline != "" {
		about += " against " + v.Baseline
	}
	if v.Policy != "" {
		about += " · policy " + v.Policy
	}
	d := v.Decision
	l.con.Print(l.heading(about, d.Recommendation, styleOf(d.Recommendation))...)
	l.con.Print(l.gates(d.Gates)...)
	l.reasons(d)
	l.unjudged(d.Recommendation, d.Gates, d.Metrics.Names())
	if v.Dir != "" {
		l.written(v.Dir)
	}
	return nil
}

// unjudged warns of a run that ships although none of its metrics was judged.
func (l *lines) unjudged(recommendation string, gates []decision.Gate, metrics []string) {
	if words := decision.Unjudged("the run", recommendation, gates, metrics); words != "" {
		l.con.Print(append([]string{""}, item("note: ", words, l.con.Width())...)...)
	}
}

// reasons tells why, and how sure the verdict is.
func (l *lines) reasons(d *core.Decision) {
	l.con.Print("", l.con.Paint(console.Bold, "reasons"))
	for _, r := range d.Reasons {
		l.con.Print(item("  - ", r, l.con.Width())...)
	}
	if len(d.MissingFiles) > 0 {
		l.con.Print(item("  - ", "missing: "+strings.Join(d.MissingFiles, ", "), l.con.Width())...)
	}
	l.con.Print("", fmt.Sprintf("confidence %.2f, exit code %d", d.Confidence, d.ExitCode))
}

// gates is the table of the gates.
func (l *lines) gates(gates []decision.Gate) []string {
	value := len("+0.015 [+0.006, +0.024]")
	if l.con.Width() < 72 {
		value /= 2
	}
	columns := []column{{head: "GATE", least: len("contamination"), wraps: true}, {head: "VALUE", least: value, wraps: true},
		{head: "LIMIT", first: 9, least: 7, wraps: true}, {head: "NOTE", first: 21, least: 8, wraps: true},
		{head: "EVIDENCE", optional: true}}
	var rows [][]string
	var marks []mark
	for _, g := range gates {
		marks = append(marks, gateMark(g.Status))
		rows = append(rows, []string{g.Name, gateValue(g), gateLimit(g), gateNote(g), g.Evidence})
	}
	return l.marked(columns, rows, marks)
}

func gateMark(s decision.GateStatus) mark {
	switch s {
	case decision.GatePass:
		return good
	case decision.GateFail:
		return bad
	case decision.GateNotChecked:
		return unknown
	}
	return doubtful
}

// number returns a value of a gate that is a number with a fraction.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case json.Number:
		f, err := v.Float64()
		return f, err == nil && strings.ContainsAny(v.String(), ".eE")
	}
	return 0, false
}

// isDifference says whether a gate limits a difference.
func isDifference(g decision.Gate) bool { return len(g.Rule) > len("<=") }

func gateValue(g decision.Gate) string {
	f, ok := number(g.Value)
	switch {
	case g.Value == nil:
		return "-"
	case !ok:
		return fmt.Sprint(g.Value)
	case g.Interval != nil:
		value, interval := estimate(f, g.Interval.Low, g.Interval.High, isDifference(g))
		return value + " " + interval
	case isDifference(g):
		return signed(f)
	}
	return score(f)
}

// gateLimit writes a limit with its sign: ">= -" stands before the size of a
// loss.
func gateLimit(g decision.Gate) string {
	if g.Threshold == nil {
		return "-"
	}
	limit := fmt.Sprint(g.Threshold)
	if f, ok := number(g.Threshold); ok {
		limit = strconv.FormatFloat(f, 'g', 6, 64)
	}
	sign := strings.NewReplacer(">=", "≥", "<=", "≤").Replace(g.Rule)
	switch {
	case sign == "":
		return limit
	case isDifference(g):
		return sign + limit
	}
	return sign + " " + limit
}

func gateNote(g decision.Gate) string {
	var parts []string
	switch g.Status {
	case decision.GatePass, decision.GateFail, decision.GateFlag:
	default:
		parts = append(parts, string(g.Status))
	}
	n := "n=" + strconv.Itoa(g.N)
	switch {
	case g.N == 0, g.Status == decision.GateTooFew && g.Detail != "":
	case g.P == nil:
		parts = append(parts, n)
	case *g.P < 0.001:
		parts = append(parts, "paired "+n+" p<0.001")
	default:
		parts = append(parts, fmt.Sprintf("paired %s p=%.3f", n, *g.P))
	}
	if g.Detail != "" {
		parts = append(parts, g.Detail)
	}
	return strings.Join(parts, ", ")
}

func (o *objects) Decided(v Verdict) error {
	gates := v.Decision.GatesObject()
	return o.document(append(v.Decision.Object(), gates[len(gates)-1], canonical.Member{Key: "output", Value: v.Dir}))
}
