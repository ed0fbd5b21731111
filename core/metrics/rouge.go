package metrics

import (
	"math/bits"
	"strings"
	"unicode"
)

// maxRougeTokens bounds the longest common subsequence, whose cost grows with
// the product of the lengths. At 16384 it takes tens of milliseconds, and no
// model this program trains writes longer texts.
const maxRougeTokens = 16384

// Rouge1 is the F-measure of shared unigrams (Lin 2004, ROUGE: A Package for
// Automatic Evaluation of Summaries). Tokens are stretches of letters and
// digits, lower-cased, not stemmed; on ASCII these are the tokens of the
// usual implementation. A text without tokens scores 0.
func Rouge1(prediction, reference string) float64 {
	p, r := rougeTokens(prediction), rougeTokens(reference)
	return fMeasure(overlap(p, r), len(p), len(r))
}

// RougeL is the F-measure of the longest common subsequence of the tokens that
// Rouge1 counts (Lin 2004), over the first 16384 tokens of each text.
func RougeL(prediction, reference string) float64 {
	p, r := rougeTokens(prediction), rougeTokens(reference)
	p, r = p[:min(len(p), maxRougeTokens)], r[:min(len(r), maxRougeTokens)]
	return fMeasure(longestCommon(p, r), len(p), len(r))
}

func rougeTokens(s string) []string {
	return strings.FieldsFunc(lower(s), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.IsMark(r)
	})
}

// longestCommon is the length of the longest common subsequence, 64 cells of
// the usual table at a time (Hyyrö 2004, Bit-parallel LCS-length computation
// revisited): a zero bit marks where the length grows.
func longestCommon(a, b []string) int {
	if len(a) > len(b) {
		a, b = b, a
	}
	size := (len(a) + 63) / 64
	at := make(map[string][]uint64, len(a)) // places of each token in a
	for i, token := range a {
		mask := at[token]
		if mask == nil {
			mask = make([]uint64, size)
			at[token] = mask
		}
		mask[i/64] |= 1 << (i % 64)
	}
	row := make([]uint64, size)
	for i := range row {
		row[i] = ^uint64(0)
	}
	for _, token := range b {
		mask := at[token]
		if mask == nil {
			continue
		}
		carry := uint64(0)
		for i, v := range row {
			var sum uint64
			sum, carry = bits.Add64(v, v&mask[i], carry)
			row[i] = sum | v&^mask[i]
		}
	}
	length := 0
	for _, v := range row {
		length += bits.OnesCount64(^v)
	}
	return length
}
