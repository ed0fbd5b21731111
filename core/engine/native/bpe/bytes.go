package bpe

import (
	"slices"
	"unicode/utf8"
)

// byteRunes is the byte alphabet of GPT-2: a printable character for every
// byte. Printable Latin-1 bytes stand for themselves, the others are shifted
// to 256 and up, in order.
var byteRunes = func() (table [256]rune) {
	shifted := rune(256)
	for b := range rune(256) {
		switch {
		case b >= '!' && b <= '~', b >= 0xa1 && b <= 0xac, b >= 0xae:
			table[b] = b
		default:
			table[b] = shifted
			shifted++
		}
	}
	return table
}()

// runeBytes is the way back: rune to byte, -1 for runes outside the alphabet.
var runeBytes = func() (table [256 + 68]int16) {
	for i := range table {
		table[i] = -1
	}
	for b, r := range byteRunes {
		table[r] = int16(b)
	}
	return table
}()

// alphabet spells the 256 bytes in the order of their ids in a learned
// tokenizer, which is that of the characters' code points.
func alphabet() []string {
	runes := slices.Clone(byteRunes[:])
	slices.Sort(runes)
	tokens := make([]string, len(runes))
	for i, r := range runes {
		tokens[i] = string(r)
	}
	return tokens
}

// spelled reports whether a token consists of characters of the byte alphabet.
func spelled(token string) bool {
	for _, r := range token {
		if int(r) >= len(runeBytes) || runeBytes[r] < 0 {
			return false
		}
	}
	return true
}

// rawBytes is what a token stands for. A token with a character outside the
// byte alphabet stands for its own text, as in Hugging Face's decoder.
func rawBytes(token string) string {
	if !spelled(token) {
		return token
	}
	b := make([]byte, 0, len(token))
	for _, r := range token {
		b = append(b, byte(runeBytes[r]))
	}
	return string(b)
}

// validText puts U+FFFD in the place of every byte that is not UTF-8.
func validText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}

// lossy turns bytes into text. Each longest beginning of a character that does
// not go on as one becomes a single U+FFFD (the Unicode Standard's "maximal
// subpart" practice, which Hugging Face's decoder follows; Go's own conversion
// would give one for every byte).
func lossy(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	out := make([]byte, 0, len(b)+8)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			n = badPrefix(b)
		}
		out = utf8.AppendRune(out, r)
		b = b[n:]
	}
	return string(out)
}

// badPrefix is the length of the maximal subpart at the start of b, which
// does not begin with a whole character.
func badPrefix(b []byte) int {
	low, high, want := byte(0x80), byte(0xbf), 0
	switch lead := b[0]; {
	case lead >= 0xe0 && lead <= 0xef:
		want = 2
		if lead == 0xe0 {
			low = 0xa0
		} else if lead == 0xed {
			high = 0x9f
		}
	case lead >= 0xf0 && lead <= 0xf4:
		want = 3
		if lead == 0xf0 {
			low = 0x90
		} else if lead == 0xf4 {
			high = 0x8f
		}
	}
	n := 1
	for n < want && n < len(b) && b[n] >= low && b[n] <= high {
		low, high = 0x80, 0xbf
		n++
	}
	return n
}
