package metrics

import (
	"math"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// Normalize lower-cases a text, makes every stretch of white space one space
// and cuts it off both ends. White space is what Unicode calls so and the
// four separators U+001C to U+001F.
func Normalize(s string) string { return strings.Join(words(s), " ") }

// words lists the words of a text, lower-cased one by one: what a letter becomes
// depends on its word and on nothing else.
func words(s string) []string {
	list := strings.FieldsFunc(s, isSpace)
	for i, w := range list {
		list[i] = lower(w)
	}
	return list
}

func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

// lower applies the full Unicode mapping to a word. Only two letters need more
// than the mapping rune by rune: a dotted capital I becomes two runes, and a
// sigma depends on its place in the word.
func lower(word string) string {
	if !strings.ContainsAny(word, "İΣ") {
		return strings.ToLower(word)
	}
	// In one go, with room for all of it: a word that is lower-cased in pieces,
	// as Caser.String does with long ones, has the end of a piece taken for its
	// own. No letter grows by more than half.
	dst := make([]byte, 2*len(word))
	n, _, err := cases.Lower(language.Und).Transform(dst, []byte(word), true)
	if err != nil { // the buffer is never short
		return strings.ToLower(word)
	}
	return string(dst[:n])
}

// ExactMatch is 1 when the two texts are equal once normalised, else 0.
func ExactMatch(prediction, reference string) float64 {
	if prediction == reference || Normalize(prediction) == Normalize(reference) {
		return 1
	}
	return 0
}

// TokenF1 is the harmonic mean of precision and recall of the normalised
// words, counted as often as they occur and whatever their order; 1 when
// neither text has a word, 0 when only one has.
func TokenF1(prediction, reference string) float64 {
	p, r := words(prediction), words(reference)
	if len(p) == 0 && len(r) == 0 {
		return 1
	}
	return fMeasure(overlap(p, r), len(p), len(r))
}

// overlap counts the words that two lists share, with repetition.
func overlap(a, b []string) int {
	left := make(map[string]int, len(b))
	for _, w := range b {
		left[w]++
	}
	shared := 0
	for _, w := range a {
		if left[w] > 0 {
			left[w]--
			shared++
		}
	}
	return shared
}

// fMeasure is 2PR/(P+R) of shared words among predicted and expected ones.
func fMeasure(shared, predicted, expected int) float64 {
	if shared == 0 {
		return 0
	}
	precision := float64(shared) / float64(predicted)
	recall := float64(shared) / float64(expected)
	return 2 * precision * recall / (precision + recall)
}

// Perplexity is e to the power of a mean loss in natural log.
func Perplexity(loss float64) float64 { return math.Exp(loss) }
