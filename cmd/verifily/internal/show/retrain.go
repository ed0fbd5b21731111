package show

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/console"
	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/retrain"
)

// Retrain is the outcome of a retrain.
type Retrain struct {
	Result *core.RetrainResult
	Run    string      // run directory, as the user would type it
	Task   string      // sft or classification
	Eval   *Evaluation // its evaluation
}

func (l *lines) Retrained(r Retrain) error {
	l.con.Clear()
	width := l.con.Width()
	res := r.Result
	l.con.Print(l.heading("retrain "+res.Usage.RunID+" ("+res.Usage.Mode+")", res.Decision, styleOf(res.Decision))...)
	overall := r.Eval.overall()
	l.con.Print(r.Eval.metrics(metricNames(r.Task, overall), overall, width)[1:]...)
	if res.Usage.Mode == retrain.ModeMock {
		l.con.Print(item("  ", "nothing was trained: these follow from the data set and the seed alone", width)...)
	}
	l.con.Print("")
	l.con.Print(l.gates(res.Gates)...)
	l.con.Print("", l.con.Paint(console.Bold, "reasons"))
	for _, reason := range res.Reasons {
		l.con.Print(item("  - ", reason, width)...)
	}
	l.unjudged(res.Decision, res.Gates, slices.Collect(maps.Keys(res.EvalSummary)))
	rows := fmt.Sprintf("%s in, %s used", plural(res.Usage.Units.RowsIn, "row", "rows"), count(res.Usage.Units.RowsOut))
	l.con.Print("", fmt.Sprintf("%s, exit code %d", rows, res.ExitCode), "")
	l.con.Print(places([]place{
		{name: "run", value: r.Run},
		{name: "decision", value: r.Run + "/decision/decision.txt"},
		{name: "next", value: "verifily reproduce " + Quote(r.Run) + " --verify-only", command: true},
	}, width)...)
	return nil
}

func (o *objects) Retrained(r Retrain) error {
	data, err := r.Result.JSON()
	if err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	o.printDocument(strings.Split(strings.TrimSuffix(string(data), "\n"), "\n"))
	return nil
}
