// Package console is where the command line writes: whole lines and, on a
// terminal, one status line that is redrawn in place below them.
//
// Where there is no terminal no control character is written. A reader that
// went away - a closed pipe, a terminal that hung up - does not disturb the
// program: after the first failed write to a stream nothing more is written to
// it, and Err tells why. A Console may be used from several goroutines.
package console

import (
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/verifily/verifily-tui/core/text"
)

// RedrawEvery is the shortest time between two drawings of the status line:
// the eye does not follow numbers faster, and a slow line should not be busy
// with them.
const RedrawEvery = 100 * time.Millisecond

// defaultWidth is that of a terminal whose width is not known, in columns.
const defaultWidth = 80

// Options says how to write.
type Options struct {
	Plain   bool // no status line and no colour, even on a terminal
	NoColor bool
	// Columns returns the width of the output; nil asks the terminal.
	Columns func() int
}

// Console writes to the two streams of a process.
type Console struct {
	columns func() int
	live    bool // the output shows a status line

	mu      sync.Mutex
	out     stream
	err     stream
	status  func(width int) string // nil when there is none
	visible bool                   // the status line is on the screen
	drawn   time.Time              // when it was drawn last
	redraw  *time.Timer            // draws it when RedrawEvery is over, may be nil
}

// stream is one of the outputs.
type stream struct {
	w        io.Writer
	terminal bool
	color    bool
	failed   error
}

func (s *stream) write(data string) {
	if s.failed == nil {
		_, s.failed = io.WriteString(s.w, data)
	}
}

// New returns a console over the output and the error stream of a process.
func New(out, err io.Writer, opt Options) *Console {
	c := &Console{out: newStream(out, opt), err: newStream(err, opt), columns: opt.Columns}
	c.live = c.out.terminal && !opt.Plain
	if c.columns == nil {
		c.columns = func() int { return columnsOf(out) }
	}
	return c
}

func newStream(w io.Writer, opt Options) stream {
	s := stream{w: w, terminal: isTerminal(w)}
	s.color = s.terminal && !opt.Plain && !opt.NoColor && os.Getenv("NO_COLOR") == ""
	return s
}

// isTerminal says whether w is a terminal that understands control sequences.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

func columnsOf(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return defaultWidth
}

// Live says whether Status shows anything.
func (c *Console) Live() bool { return c.live }

// Width returns the columns of the output, 80 when they are not known.
func (c *Console) Width() int { return c.columns() }

// Err returns why the output could not be written, nil if it could.
func (c *Console) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.failed
}

// Print writes lines to the output, above the status line.
func (c *Console) Print(lines ...string) {
	if len(lines) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.write(c.erase() + strings.Join(lines, "\n") + "\n")
	c.draw()
}

// Report writes lines to the error stream.
func (c *Console) Report(lines ...string) {
	if len(lines) > 0 {
		c.report(strings.Join(lines, "\n") + "\n")
	}
}

func (c *Console) report(data string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err.terminal { // most likely the same one
		c.out.write(c.erase())
	}
	c.err.write(data)
	c.draw()
}

// Diagnostics returns the error stream as a writer of whole lines.
func (c *Console) Diagnostics() io.Writer { return diagnostics{c} }

type diagnostics struct{ c *Console }

func (d diagnostics) Write(p []byte) (int, error) {
	d.c.report(string(p))
	return len(p), nil
}

// Status shows a line below everything else until the next call or Clear. It
// is given the columns it may fill; what is longer is cut. Lines that come
// sooner than RedrawEvery after the last one are shown when it is over, if
// none has followed by then.
func (c *Console) Status(line func(width int) string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live {
		c.status = line
		c.draw()
	}
}

// Clear takes the status line away.
func (c *Console) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = nil
	if c.redraw != nil {
		c.redraw.Stop()
		c.redraw = nil
	}
	if c.visible {
		c.out.write(c.erase())
	}
}

// erase returns what takes the status line off the screen.
func (c *Console) erase() string {
	if !c.visible {
		return ""
	}
	c.visible = false
	return "\r\x1b[K"
}

// draw shows the status line, now or as soon as it may.
func (c *Console) draw() {
	if c.status == nil || c.redraw != nil {
		return
	}
	if wait := RedrawEvery - time.Since(c.drawn); wait > 0 {
		c.redraw = time.AfterFunc(wait, c.drawLate)
		return
	}
	c.drawn = time.Now()
	// The last column stays free: some terminals wrap when it is filled.
	width := c.columns() - 1
	line := text.Line(c.status(width), width)
	c.out.write("\r" + line + "\x1b[K")
	c.visible = true
}

func (c *Console) drawLate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.redraw = nil
	c.draw()
}

// Style is a way to stress text.
type Style string

// The styles.
const (
	Bold   Style = "1"
	Faint  Style = "2"
	Red    Style = "31"
	Green  Style = "32"
	Yellow Style = "33"
)

// Paint stresses s for the output where it has colours.
func (c *Console) Paint(style Style, s string) string { return c.out.paint(style, s) }

// PaintError stresses s for the error stream where it has colours.
func (c *Console) PaintError(style Style, s string) string { return c.err.paint(style, s) }

func (s *stream) paint(style Style, text string) string {
	if !s.color {
		return text
	}
	return "\x1b[" + string(style) + "m" + text + "\x1b[0m"
}
