package plot

// Inside returns the place of the points of a chart that is drawn in r: what is
// left of it between the axes.
func (r Rect) Inside() Rect {
	return Rect{X: r.X + gutter + 1, Y: r.Y, W: max(0, r.W-gutter-1), H: max(0, r.H-2)}
}

// Holds says whether a cell is in the rectangle.
func (r Rect) Holds(x, y int) bool {
	return x >= r.X && x < r.X+r.W && y >= r.Y && y < r.Y+r.H
}
