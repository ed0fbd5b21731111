package show

import (
	"strings"

	"github.com/verifily/verifily-tui/core/text"
)

// wrap escapes s and breaks it between words into lines of at most width
// columns; a word that is longer is broken anywhere.
func wrap(s string, width int) []string {
	width = max(width, 2) // of the widest character
	var lines []string
	line, used := "", 0
	for _, word := range strings.Fields(text.Escape(s)) {
		w := text.Width(word)
		if used > 0 && used+1+w <= width {
			line, used = line+" "+word, used+1+w
			continue
		}
		if used > 0 {
			lines = append(lines, line)
		}
		for w > width {
			head := text.Head(word, width)
			lines = append(lines, head)
			word = word[len(head):]
			w = text.Width(word)
		}
		line, used = word, w
	}
	return append(lines, line)
}

// item writes a sentence behind a prefix, its further lines below the first.
func item(prefix, sentence string, width int) []string {
	lines := wrap(sentence, width-text.Width(prefix))
	for i := range lines {
		if i == 0 {
			lines[i] = prefix + lines[i]
		} else {
			lines[i] = strings.Repeat(" ", text.Width(prefix)) + lines[i]
		}
	}
	return lines
}

// command breaks a command that is too long for the line before one of its
// flags, with a backslash, so that it can be copied. It is never cut, and not
// broken where it is quoted: there a line break would count.
func command(prefix, cmd string, width int) []string {
	cmd = text.Escape(cmd)
	if text.Width(prefix)+text.Width(cmd) <= width || strings.Contains(cmd, "'") {
		return []string{prefix + cmd}
	}
	parts := strings.Split(cmd, " --")
	lines := []string{prefix + parts[0]}
	below := strings.Repeat(" ", text.Width(prefix)+gap)
	for i, part := range parts[1:] {
		last := &lines[len(lines)-1]
		used := text.Width(*last) + len(" --") + text.Width(part)
		if i < len(parts)-2 {
			used += len(` \`)
		}
		if used <= width {
			*last += " --" + part
			continue
		}
		*last += ` \`
		lines = append(lines, below+"--"+part)
	}
	return lines
}

// place is a path or a command with its name, for the end of a result.
type place struct {
	name, value string
	command     bool
}

// places says where everything lies: paths are never cut, since they are to be
// copied.
func places(list []place, width int) []string {
	name := 10
	for _, p := range list {
		name = max(name, len(p.name))
	}
	lines := []string{"where it is"}
	for _, p := range list {
		prefix := strings.Repeat(" ", indent) + text.Pad(p.name, name) + strings.Repeat(" ", gap)
		if p.command {
			lines = append(lines, command(prefix, p.value, width)...)
		} else {
			lines = append(lines, prefix+text.Escape(p.value))
		}
	}
	return lines
}
