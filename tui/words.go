package tui

import (
	"strings"

	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/tui/screen"
)

// span is a stretch of text in one style.
type span struct {
	style screen.Style
	words string
}

// mostWords bounds a word diff, whose cost grows with the square: longer texts
// are compared up to there and shown as they are after it.
const mostWords = 400

// diffWords shows what a prediction says in place of a reference: words that
// are missing and words that are too many, in brackets as well as in colour.
func diffWords(reference, prediction string) []span {
	a, b := strings.Fields(cutTo(reference)), strings.Fields(cutTo(prediction))
	restA, restB := a[min(len(a), mostWords):], b[min(len(b), mostWords):]
	a, b = a[:min(len(a), mostWords)], b[:min(len(b), mostWords)]
	// common[i][j] is the length of the longest common run of words of a[i:] and
	// b[j:].
	common := make([][]int16, len(a)+1)
	for i := range common {
		common[i] = make([]int16, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out []span
	var missing, extra []string
	flush := func() {
		if len(missing) > 0 {
			out = append(out, span{screen.Bad, "[-" + strings.Join(missing, " ") + "-]"})
		}
		if len(extra) > 0 {
			out = append(out, span{screen.Good, "{+" + strings.Join(extra, " ") + "+}"})
		}
		missing, extra = nil, nil
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			flush()
			out = append(out, span{screen.Text, a[i]})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			missing = append(missing, a[i])
			i++
		default:
			extra = append(extra, b[j])
			j++
		}
	}
	missing, extra = append(missing, restA...), append(extra, restB...)
	flush()
	return out
}

// mostText bounds what is shown of a text, in bytes.
const mostText = 16 << 10

func cutTo(s string) string { return clip(s, mostText) }

// flow breaks spans into lines of at most w columns.
func flow(spans []span, w int) [][]span {
	w = max(w, 8)
	out := [][]span{nil}
	used := 0
	for _, s := range spans {
		for word := range strings.FieldsSeq(text.Escape(s.words)) {
			for word != "" {
				n := text.Width(word)
				if used > 0 && used+1+n > w {
					out, used = append(out, nil), 0
				}
				head := word
				if n > w {
					head = text.Head(word, w)
				}
				if head == "" {
					head = word // wider than the line: let the canvas cut it
				}
				lead := ""
				if used > 0 {
					lead = " "
				}
				last := len(out) - 1
				out[last] = append(out[last], span{s.style, lead + head})
				used += text.Width(lead + head)
				word = word[len(head):]
			}
		}
	}
	return out
}
