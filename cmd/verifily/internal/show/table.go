package show

import (
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/text"
)

// column is one column of a table.
type column struct {
	head  string
	right bool // numbers stand on the right
	// least is how many columns of the terminal the column may be cut to, 0
	// when it must not be cut.
	least int
	// optional columns are left out, the last one first, where there is no
	// room for them.
	optional bool
}

const (
	indent = 2 // columns before a table
	gap    = 2 // columns between two columns
)

// table lays rows out in at most width columns. Cells are text as it is: they
// are escaped and cut here. It returns the lines, that of the heads first
// unless all heads are empty.
func table(width int, columns []column, rows [][]string) []string {
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = text.Width(c.head)
		for _, row := range rows {
			widths[i] = max(widths[i], text.Width(text.Line(row[i], width)))
		}
	}
	shown := fit(width-indent, columns, widths)
	var lines []string
	line := func(cell func(i int) string) {
		var parts []string
		for _, i := range shown {
			s := text.Line(cell(i), widths[i])
			if columns[i].right {
				parts = append(parts, text.PadLeft(s, widths[i]))
			} else {
				parts = append(parts, text.Pad(s, widths[i]))
			}
		}
		joined := strings.Join(parts, strings.Repeat(" ", gap))
		lines = append(lines, strings.TrimRight(strings.Repeat(" ", indent)+joined, " "))
	}
	if slices.ContainsFunc(columns, func(c column) bool { return c.head != "" }) {
		line(func(i int) string { return columns[i].head })
	}
	for _, row := range rows {
		line(func(i int) string { return row[i] })
	}
	return lines
}

// fit cuts widths and chooses the columns to show. Optional columns go before
// another is cut under half of a line.
func fit(width int, columns []column, widths []int) []int {
	shown := make([]int, len(columns))
	for i := range columns {
		shown[i] = i
	}
	over := func() int {
		total := gap * (len(shown) - 1)
		for _, i := range shown {
			total += widths[i]
		}
		return total - width
	}
	cut := func(least func(column) int) {
		for _, i := range shown {
			if n := over(); n > 0 && columns[i].least > 0 {
				widths[i] = max(min(widths[i], least(columns[i])), widths[i]-n)
			}
		}
	}
	cut(func(c column) int { return max(c.least, width/2) })
	for over() > 0 {
		last := -1
		for at, i := range shown {
			if columns[i].optional {
				last = at
			}
		}
		if last < 0 {
			break
		}
		shown = slices.Delete(shown, last, last+1)
	}
	cut(func(c column) int { return c.least })
	return shown
}
