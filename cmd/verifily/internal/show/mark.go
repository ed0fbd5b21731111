package show

import (
	"strings"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/console"
	"github.com/verifily/verifily-tui/core/text"
)

// mark says at a glance how something turned out. The sign tells as much as
// its colour.
type mark struct {
	sign  string
	style console.Style
}

var (
	good     = mark{"✓", console.Green}
	bad      = mark{"✗", console.Red}
	doubtful = mark{"!", console.Yellow}
	unknown  = mark{"○", console.Faint}
)

// marked lays out a table whose rows begin with a mark each. columns and rows
// are without it.
func (l *lines) marked(columns []column, rows [][]string, marks []mark) []string {
	var lines []string
	for _, row := range l.markedRows(columns, rows, marks) {
		lines = append(lines, row...)
	}
	return lines
}

// markedRows is marked, the lines of a row together.
func (l *lines) markedRows(columns []column, rows [][]string, marks []mark) [][]string {
	columns = append([]column{{}}, columns...)
	whole := make([][]string, len(rows))
	for i, row := range rows {
		whole[i] = append([]string{marks[i].sign}, row...)
	}
	out := layOut(l.con.Width(), columns, whole)
	for i, m := range marks {
		line := &out[len(out)-len(rows)+i][0]
		*line = strings.Replace(*line, m.sign, l.con.Paint(m.style, m.sign), 1)
	}
	return out
}

// heading is the first line of a result: what it is about, and at the end of
// the line the verdict. What is long takes more lines.
func (l *lines) heading(about, verdict string, style console.Style) []string {
	width := l.con.Width()
	room := width - text.Width(verdict) - gap
	parts := wrap(about, max(room, width/2))
	last := len(parts) - 1
	space := width - text.Width(parts[last]) - text.Width(verdict)
	for i := range parts {
		parts[i] = l.con.Paint(console.Bold, parts[i])
	}
	if verdict = l.con.Paint(style, verdict); space < gap {
		return append(parts, verdict)
	}
	parts[last] += strings.Repeat(" ", min(space, mostHeading)) + verdict
	return parts
}

// mostHeading keeps a verdict within sight of what it is about on a very wide
// terminal.
const mostHeading = 60
