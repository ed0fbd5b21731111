package main

import (
	"slices"
	"strings"
)

// The kinds of words, told from spelling and sound together. A word is an
// inflection only when the dictionary has its stem and speaks it as the stem
// plus the ending that English phonology asks for; that leaves out chance
// likenesses (`bus` is no `bu` plus s), and irregular forms with them.
const (
	kindS        = "s-form"   // plural, or third person: stem plus S, Z, IH0 Z
	kindPast     = "past"     // stem plus T, D, IH0 D
	kindIng      = "ing"      // stem plus IH0 NG
	kindCompound = "compound" // two words of the dictionary, in letters and sounds
	kindBase     = "base"     // none of these
)

// endings maps a kind to the ways its stem may be spelt.
var endings = []struct {
	kind  string
	stems func(word string) []string
}{
	{kindS, func(w string) []string {
		return slices.Concat(replace(w, "s", ""), replace(w, "es", ""), replace(w, "ies", "y"))
	}},
	{kindPast, func(w string) []string {
		return slices.Concat(replace(w, "ed", ""), replace(w, "ed", "e"), replace(w, "ied", "y"), undouble(w, "ed"))
	}},
	{kindIng, func(w string) []string {
		return slices.Concat(replace(w, "ing", ""), replace(w, "ing", "e"), replace(w, "ying", "ie"), undouble(w, "ing"))
	}},
}

// replace returns word with its ending put for another, or nothing when it does
// not end so.
func replace(word, ending, with string) []string {
	if stem, ok := strings.CutSuffix(word, ending); ok && len(stem)+len(with) >= 2 {
		return []string{stem + with}
	}
	return nil
}

// undouble turns stopped into stop.
func undouble(word, ending string) []string {
	stem, ok := strings.CutSuffix(word, ending)
	if n := len(stem); ok && n >= 4 && stem[n-1] == stem[n-2] {
		return []string{stem[:n-1]}
	}
	return nil
}

// stems returns the kind of inflection that a word is and the stems it may
// come from; none for a word that is no inflection.
func (d *dictionary) stems(word string) (kind string, stems []string) {
	spoken := d.first(word)
	for _, e := range endings {
		for _, stem := range e.stems(word) {
			if slices.ContainsFunc(d.words[stem], func(p []string) bool { return d.inflects(p, spoken, e.kind) }) {
				stems = append(stems, stem)
			}
		}
		if len(stems) > 0 {
			return e.kind, stems
		}
	}
	return "", nil
}

// inflects reports whether spoken is stem plus the sounds of the ending.
func (d *dictionary) inflects(stem, spoken []string, kind string) bool {
	if len(spoken) <= len(stem) || !slices.Equal(spoken[:len(stem)], stem) {
		return false
	}
	last, _ := splitStress(stem[len(stem)-1])
	added := strings.Join(spoken[len(stem):], " ")
	switch kind {
	case kindS:
		switch {
		case slices.Contains([]string{"S", "Z", "SH", "ZH", "CH", "JH"}, last):
			return added == "IH0 Z" || added == "AH0 Z"
		case voiceless(last):
			return added == "S"
		}
		return added == "Z"
	case kindPast:
		switch {
		case last == "T" || last == "D":
			return added == "IH0 D" || added == "AH0 D"
		case voiceless(last):
			return added == "T"
		}
		return added == "D"
	default:
		return added == "IH0 NG"
	}
}

func voiceless(phone string) bool {
	return slices.Contains([]string{"P", "T", "K", "F", "TH", "S", "SH", "CH"}, phone)
}

// compound reports whether a word is two others, of three letters or more each,
// put together in spelling and in sound. In sound the vowels that were stressed
// stay so, at either degree, and the others stay unstressed.
func (d *dictionary) compound(word string) bool {
	spoken := d.first(word)
	for cut := 3; cut <= len(word)-3; cut++ {
		for _, a := range d.words[word[:cut]] {
			if len(a) >= len(spoken) || !sameButDegree(a, spoken[:len(a)]) {
				continue
			}
			if slices.ContainsFunc(d.words[word[cut:]], func(b []string) bool { return sameButDegree(b, spoken[len(a):]) }) {
				return true
			}
		}
	}
	return false
}

// sameButDegree compares phones, taking primary and secondary stress for one.
func sameButDegree(a, b []string) bool {
	return slices.EqualFunc(a, b, func(x, y string) bool {
		return strings.Replace(x, "2", "1", 1) == strings.Replace(y, "2", "1", 1)
	})
}

// kind returns what kind of word this is.
func (d *dictionary) kind(word string) string {
	if kind, stems := d.stems(word); len(stems) > 0 {
		return kind
	}
	if d.compound(word) {
		return kindCompound
	}
	return kindBase
}

// families maps every word to the name of its family: a stem and all words
// spelt as its inflections, and theirs in turn. Here spelling alone decides,
// for the dictionary does not always speak an inflection as it speaks the stem;
// a pair too many in one family does no harm. The name is the first of the
// family's words in the order of the alphabet.
func (d *dictionary) families() map[string]string {
	parent := make(map[string]string, len(d.words))
	root := func(w string) string {
		for parent[w] != "" {
			w = parent[w]
		}
		return w
	}
	for w := range d.words {
		for _, stem := range d.spelt(w) {
			if a, b := root(w), root(stem); a != b {
				parent[max(a, b)] = min(a, b)
			}
		}
	}
	out := make(map[string]string, len(d.words))
	for w := range d.words {
		out[w] = root(w)
	}
	return out
}

// spelt returns the words of the dictionary that word is spelt as an inflection
// of, from three letters on: shorter ones are mostly abbreviations.
func (d *dictionary) spelt(word string) []string {
	var out []string
	for _, e := range endings {
		for _, stem := range e.stems(word) {
			if _, known := d.words[stem]; known && len(stem) >= 3 {
				out = append(out, stem)
			}
		}
	}
	return out
}
