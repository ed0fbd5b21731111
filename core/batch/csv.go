package batch

import (
	"encoding/csv"
	"io"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/verifily/verifily-tui/core/stats"
)

// WriteCSV writes a line for every metric of every job, with numbers in full.
// The last columns are the settings of the matrices.
func (sum *Summary) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"job", "status", "run", "seconds", "metric", "value", "low", "high", "n", "delta", "delta_low", "delta_high", "paired", "p", "verdict", "decision"}}
	keys := sum.settingKeys()
	rows[0] = append(rows[0], keys...)
	for _, r := range sum.Jobs {
		head := []string{r.Job, string(r.Status), filepath.Base(r.Run), decimal(r.Seconds)}
		tail := []string{r.Decision}
		for _, key := range keys {
			value := ""
			if v, ok := r.Settings[key]; ok {
				value = ValueText(v)
			}
			tail = append(tail, value)
		}
		names := metricNames([]Row{r}, sum.Metric)
		if len(names) == 0 {
			rows = append(rows, slices.Concat(head, make([]string, len(rows[0])-len(head)-len(tail)), tail))
		}
		for _, name := range names {
			c := r.Metrics[name]
			line := append(slices.Clone(head), name, decimal(c.Value))
			line = append(line, ends(c.Interval)...)
			n := ""
			if c.Interval != nil {
				n = strconv.Itoa(c.Interval.N)
			}
			line = append(line, n)
			if c.Delta == nil {
				line = append(line, "", "", "", "", "", "")
			} else {
				line = append(append(line, decimal(c.Delta.Delta)), ends(c.Delta.Interval)...)
				p := ""
				if c.Delta.P != nil {
					p = decimal(*c.Delta.P)
				}
				line = append(line, strconv.FormatBool(c.Delta.Paired), p, string(c.Delta.Verdict))
			}
			rows = append(rows, append(line, tail...))
		}
	}
	return out.WriteAll(rows)
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

func ends(i *stats.Interval) []string {
	if i == nil {
		return []string{"", ""}
	}
	return []string{decimal(i.Low), decimal(i.High)}
}
