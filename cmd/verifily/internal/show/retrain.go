package show

import (
	"fmt"
	"strings"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/console"
	"github.com/verifily/verifily-tui/core"
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
	contract := "valid"
	if !res.Usage.Outcome.ContractValid {
		contract = "invalid"
	}
	l.con.Print("")
	l.con.Print(table(width, []column{{}, {least: 8}}, [][]string{
		{"rows", fmt.Sprintf("%s in, %s used", count(res.Usage.Units.RowsIn), count(res.Usage.Units.RowsOut))},
		{"contract", contract},
		{"contamination", strings.ToLower(strings.ReplaceAll(res.Usage.Outcome.ContaminationStatus, "_", " "))},
	})...)
	l.con.Print("", l.con.Paint(console.Bold, "reasons"))
	for _, reason := range res.Reasons {
		l.con.Print(item("  - ", reason, width)...)
	}
	l.con.Print("", fmt.Sprintf("exit code %d", res.ExitCode), "")
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
