package plot

// pattern is how the curve of one of several series is drawn, so that they can
// be told apart without colours.
type pattern struct {
	// run are columns of dots, two a cell, that are drawn and left out in turn;
	// none: all are drawn.
	run  []int
	line rune // for legends
	mark rune // of its points
}

// patterns are as many as there are colours of series.
var patterns = [...]pattern{
	{nil, '━', '●'},
	{[]int{6, 2}, '╍', '○'},
	{[]int{2, 2}, '┉', '■'},
	{[]int{10, 2, 2, 2}, '┅', '□'},
	{[]int{6, 6}, '╌', '▲'},
	{[]int{2, 6}, '┈', '△'},
}

func patternOf(i int) *pattern { return &patterns[i%len(patterns)] }

// Line returns the sign for the line of series i.
func Line(i int) rune { return patternOf(i).line }

// Mark returns the sign for the points of series i.
func Mark(i int) rune { return patternOf(i).mark }

// draws says whether a column of dots is drawn.
func (p *pattern) draws(x int) bool {
	whole := 0
	for _, n := range p.run {
		whole += n
	}
	if whole == 0 {
		return true
	}
	x %= whole
	for i, n := range p.run {
		if x < n {
			return i%2 == 0
		}
		x -= n
	}
	return false
}
