package metrics

// maxWERWords bounds the words of a text that are aligned, as maxRougeTokens
// does.
const maxWERWords = maxRougeTokens

// WordErrors counts what turns the normalised words of a reference into those of
// a prediction - words replaced, left out and put in, as few as will do - and
// the words of the reference. The word error rate of a set of examples is the
// sum of the one over the sum of the other (Morris, Maier and Green 2004, "From
// WER and RIL to MER and WIL"); it may be over 1. Texts count up to their first
// 16384 words.
func WordErrors(prediction, reference string) (edits, words int) {
	p, r := wordsOf(prediction), wordsOf(reference)
	return editDistance(p, r), len(r)
}

func wordsOf(s string) []string {
	w := words(s)
	return w[:min(len(w), maxWERWords)]
}

// editDistance is the Levenshtein distance, 64 cells of the usual table at a
// time (Myers 1999, "A Fast Bit-Vector Algorithm for Approximate String
// Matching", in the form of Hyyrö 2003 for whole strings): each column of the
// table is kept as the places where it goes up and down by one.
func editDistance(a, b []string) int {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(a) == 0 {
		return len(b)
	}
	size := (len(a) + 63) / 64
	at := make(map[string][]uint64, len(a)) // places of each word in a
	for i, word := range a {
		mask := at[word]
		if mask == nil {
			mask = make([]uint64, size)
			at[word] = mask
		}
		mask[i/64] |= 1 << (i % 64)
	}
	up, down := make([]uint64, size), make([]uint64, size)
	for i := range up {
		up[i] = ^uint64(0)
	}
	none := make([]uint64, size)
	last := uint64(1) << ((len(a) - 1) % 64)
	distance := len(a)
	for _, word := range b {
		match := at[word]
		if match == nil {
			match = none
		}
		// What comes in from the row above: the first row goes up by one.
		inUp, inDown := uint64(1), uint64(0)
		for i := range size {
			eq := match[i]
			flat := eq | down[i]
			eq |= inDown
			diagonal := (((eq & up[i]) + up[i]) ^ up[i]) | eq
			rowUp := down[i] | ^(diagonal | up[i])
			rowDown := up[i] & diagonal
			if i == size-1 {
				switch {
				case rowUp&last != 0:
					distance++
				case rowDown&last != 0:
					distance--
				}
			}
			outUp, outDown := rowUp>>63, rowDown>>63
			rowUp = rowUp<<1 | inUp
			rowDown = rowDown<<1 | inDown
			up[i] = rowDown | ^(flat | rowUp)
			down[i] = rowUp & flat
			inUp, inDown = outUp, outDown
		}
	}
	return distance
}
