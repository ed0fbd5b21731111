package tui

import (
	"cmp"
	"strings"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/sahilm/fuzzy"

	"github.com/verifily/verifily-tui/tui/screen"
)

// palette lists every action that there is, by name.
type palette struct {
	line   line
	all    []binding
	found  []int // places in all
	cursor int
	// other takes what was typed where nothing is called that; empty says so.
	other func(*Model, string) tea.Cmd
	empty string
}

// Len and String make the actions searchable.
func (p *palette) Len() int { return len(p.all) }

func (p *palette) String(i int) string { return p.all[i].help }

func (m *Model) openPalette() tea.Cmd {
	p := &palette{}
	p.all = append(p.all, m.views[m.at].bindings...)
	p.all = append(p.all, m.globals()...)
	if m.at == viewRuns {
		p.all = append(p.all, m.columnActions()...)
	}
	p.all = append(p.all, m.elsewhere()...)
	p.search()
	m.palette = p
	return nil
}

// elsewhere lists the actions of the other views. Each goes there first, as its
// keys say.
func (m *Model) elsewhere() []binding {
	var out []binding
	for i := range m.views {
		v, id := &m.views[i], viewID(i)
		if id == m.at {
			continue
		}
		for _, b := range v.bindings {
			out = append(out, binding{show: v.key + " " + b.show, help: v.name + ": " + b.help, do: func(m *Model) tea.Cmd {
				return tea.Batch(m.show(id), b.do(m))
			}})
		}
	}
	return out
}

func (p *palette) search() {
	p.found, p.cursor = nil, 0
	words := strings.TrimSpace(p.line.String())
	if words == "" {
		for i := range p.all {
			p.found = append(p.found, i)
		}
		return
	}
	for _, match := range fuzzy.FindFrom(words, p) {
		p.found = append(p.found, match.Index)
	}
}

func (m *Model) pressPalette(k tea.KeyMsg) tea.Cmd {
	p := m.palette
	switch k.String() {
	case "esc", "ctrl+p":
		m.palette = nil
	case "up", "ctrl+k":
		p.cursor = max(0, p.cursor-1)
	case "down", "ctrl+j", "tab":
		p.cursor = max(0, min(len(p.found)-1, p.cursor+1))
	case "enter":
		m.palette = nil
		if p.cursor < len(p.found) {
			return p.all[p.found[p.cursor]].do(m)
		}
		if p.other != nil {
			return p.other(m, p.line.String())
		}
	default:
		if p.line.key(k) {
			p.search()
		}
	}
	return nil
}

func (m *Model) drawPalette(c *screen.Canvas) {
	p := m.palette
	w := min(c.Width()-4, 120)
	h := min(c.Height()-4, 14)
	x, y := (c.Width()-w)/2, 2
	c.Clear(0, y, c.Width(), h)
	for j := range h {
		c.Mark(x-1, y+j, w+2, screen.Shaded)
	}
	c.Put(x+1, y, screen.Accent|screen.Bold|screen.Shaded, ":")
	p.line.draw(c, x+3, y, w-4)
	top := max(0, p.cursor-(h-3))
	for j := range h - 2 {
		at := top + j
		if at >= len(p.found) {
			break
		}
		b := p.all[p.found[at]]
		row := y + 1 + j
		style := screen.Text | screen.Shaded
		if at == p.cursor {
			style = screen.Text | screen.Picked
			c.Put(x+1, row, screen.Accent|screen.Picked, "▸")
		}
		c.PutIn(x+3, row, w-16, style, named(b.help, w-16, (w-16)/2))
		c.PutRight(x+w-12, row, 11, screen.Dim|style&^screen.Text, b.show)
		c.Mark(x-1, row, w+2, style&(screen.Picked|screen.Shaded))
	}
	if len(p.found) == 0 {
		c.PutIn(x+3, y+1, w-4, screen.Dim|screen.Shaded, cmp.Or(p.empty, "nothing is called that; backspace takes letters back"))
	}
}

// helpLine is a line of the help: keys and what they do, more of that, or a
// title.
type helpLine struct {
	keys, words string
	title       bool
}

// helpLeft is where the words of the help begin.
const helpLeft = 18

func (m *Model) helpLines() []helpLine {
	v := m.views[m.at]
	out := []helpLine{{words: v.name + ": " + v.about, title: true}}
	add := func(keys, words string) {
		for _, l := range flow([]span{{screen.Text, words}}, m.width-helpLeft-1) {
			var line strings.Builder
			for _, s := range l {
				line.WriteString(s.words)
			}
			out = append(out, helpLine{keys: keys, words: line.String()})
			keys = ""
		}
	}
	all := func(list []binding) {
		for i := range list {
			h := list[i].bound().Help()
			add(h.Key, h.Desc)
		}
	}
	all(v.bindings)
	out = append(out, helpLine{}, helpLine{words: "Everywhere", title: true})
	all(m.globals())
	if m.at == viewRuns {
		out = append(out, helpLine{}, helpLine{words: "The filter", title: true})
		add("words", "match name, id, data and model, also letter by letter: wrm finds warm")
		add("f1>0.7", "metrics, age, duration, seed: > < >= <= = !=")
		add("status:failed", "status, name, task, model, data, decision: contains")
		add("lr<1e-3", "any key of the config, by the last part of its name")
	}
	return out
}

// helpHeight is how many lines of the help are in sight.
func (m *Model) helpHeight() int { return max(1, m.height-4) }

func (m *Model) drawHelp(c *screen.Canvas) {
	lines := m.helpLines()
	top := m.pane.YOffset
	for j := 0; j < m.helpHeight() && top+j < len(lines); j++ {
		l, y := lines[top+j], 2+j
		if l.title {
			c.Put(2, y, screen.Accent|screen.Bold, l.words)
			continue
		}
		c.PutIn(4, y, 13, screen.Text|screen.Bold, l.keys)
		c.Put(helpLeft, y, screen.Text, l.words)
	}
	more := "any key closes this"
	if top+m.helpHeight() < len(lines) {
		more = "↓ more  ·  any other key closes this"
	}
	c.Put(1, c.Height()-1, screen.Dim, more)
}
