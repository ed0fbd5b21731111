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
	// wraps breaks what is too long between words over several lines, where
	// other columns cut it.
	wraps bool
	// first is how many columns of the terminal the column is cut to before
	// any other loses one, 0 when it has its turn with them.
	first int
}

const (
	indent = 2 // columns before a table
	gap    = 2 // columns between two columns

	// mostLines bounds a cell that wraps: names from data may be of any length.
	mostLines = 6
)

// table lays rows out in at most width columns. Cells are text as it is: they
// are escaped and cut here. It returns the lines, that of the heads first
// unless all heads are empty.
func table(width int, columns []column, rows [][]string) []string {
	var lines []string
	for _, row := range layOut(width, columns, rows) {
		lines = append(lines, row...)
	}
	return lines
}

// layOut is table, the lines of a row together.
func layOut(width int, columns []column, rows [][]string) [][]string {
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = text.Width(c.head)
		for _, row := range rows {
			widths[i] = max(widths[i], text.Width(text.Line(row[i], width)))
		}
	}
	shown := fit(width-indent, columns, widths)
	line := func(cell func(i int) string) string {
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
		return strings.TrimRight(strings.Repeat(" ", indent)+joined, " ")
	}
	var out [][]string
	if slices.ContainsFunc(columns, func(c column) bool { return c.head != "" }) {
		out = append(out, []string{line(func(i int) string { return columns[i].head })})
	}
	for _, row := range rows {
		cells, height := make([][]string, len(row)), 1
		for _, i := range shown {
			cells[i] = row[i : i+1]
			if columns[i].wraps && text.Width(text.Line(row[i], width)) > widths[i] {
				cells[i] = wrap(text.Line(row[i], mostLines*widths[i]), widths[i])
			}
			height = max(height, len(cells[i]))
		}
		lines := make([]string, height)
		for k := range lines {
			lines[k] = line(func(i int) string {
				if k < len(cells[i]) {
					return cells[i][k]
				}
				return ""
			})
		}
		out = append(out, lines)
	}
	return out
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
			if n, to := over(), least(columns[i]); n > 0 && to > 0 {
				widths[i] = max(min(widths[i], to), widths[i]-n)
			}
		}
	}
	cut(func(c column) int {
		if c.least == 0 || c.wraps {
			return 0
		}
		return max(c.least, width/2)
	})
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
	cut(func(c column) int { return c.first })
	cut(func(c column) int { return c.least })
	return shown
}
