package show

import (
	"fmt"

	"github.com/verifily/verifily-tui/core/engine"
)

// planLines is the table of a dry run.
func planLines(p engine.Plan, width int) []string {
	splits := count(p.TrainRows) + " train"
	if p.ValRows > 0 {
		splits += ", " + count(p.ValRows) + " validation"
	}
	if p.TestRows > 0 {
		splits += ", " + count(p.TestRows) + " test"
	}
	longest := plural(p.LongestSequence, "token", "tokens")
	if p.TruncatedRows > 0 {
		longest += ", " + plural(p.TruncatedRows, "row", "rows") + " cut to it"
	}
	bytes := "about " + memory(p.MemoryBytes)
	if p.MemoryBytes > p.TrainingBytes {
		bytes += fmt.Sprintf(" in the evaluation, %s in training", memory(p.TrainingBytes))
	}
	rows := [][]string{
		{"engine", p.Engine + " on " + p.Device},
		{"rows", splits},
		{"tokens an epoch", fmt.Sprintf("%s, of which %s are learned", count(p.TrainTokens), count(p.LabelTokens))},
		{"longest sequence", longest},
		{"steps", fmt.Sprintf("%s (%s an epoch, %s of warm-up)", count(p.TotalSteps), count(p.StepsPerEpoch), count(p.WarmupSteps))},
		{"vocabulary", plural(p.VocabSize, "token", "tokens")},
		{"parameters", fmt.Sprintf("%s trained, %s frozen", count(p.TrainableParams), count(p.FrozenParams))},
		{"memory", bytes},
		{"time", "about " + duration(p.Seconds) + " of training"},
	}
	lines := []string{"plan (nothing was trained or written)"}
	return append(lines, table(width, []column{{}, {least: 8}}, rows)...)
}
