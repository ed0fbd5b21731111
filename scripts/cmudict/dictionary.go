package main

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
)

// dictionary holds the words that are written in the letters a to z alone.
type dictionary struct {
	words map[string][][]string // the pronunciations of a word, in file order
	// classes gives the manner of articulation of a phone: vowel, stop, ...
	classes map[string]string
}

// first returns the first pronunciation of a word, the usual one.
func (d *dictionary) first(word string) []string { return d.words[word][0] }

// load reads `WORD  PH1 PH2 ...` lines and `PHONE<tab>class` lines.
func load(source, phones string) (*dictionary, error) {
	d := &dictionary{words: map[string][][]string{}, classes: map[string]string{}}
	err := eachLine(phones, func(line string) error {
		phone, class, ok := strings.Cut(line, "\t")
		if !ok {
			return fmt.Errorf("%q is not a phone and its class", line)
		}
		d.classes[phone] = class
		return nil
	})
	if err != nil {
		return nil, err
	}
	return d, eachLine(source, d.add)
}

// add takes in one line of the dictionary. Words with other characters than
// letters (A'S, COMMA-, {BRACE) are passed over; WORD(1) is another
// pronunciation of WORD.
func (d *dictionary) add(line string) error {
	word, text, ok := strings.Cut(line, "  ")
	if !ok {
		return fmt.Errorf("%q is not a word and its phones", line)
	}
	word = strings.ToLower(word)
	if base, variant, found := strings.Cut(word, "("); found && strings.HasSuffix(variant, ")") {
		word = base
	}
	if strings.Trim(word, "abcdefghijklmnopqrstuvwxyz") != "" || word == "" {
		return nil
	}
	phones := strings.Fields(text)
	for _, p := range phones {
		bare, digit := splitStress(p)
		class, known := d.classes[bare]
		if !known || (class == "vowel") != (digit != "") {
			return fmt.Errorf("%q in %q is not a phone", p, line)
		}
	}
	if len(phones) == 0 {
		return fmt.Errorf("%q has no phones", line)
	}
	d.words[word] = append(d.words[word], phones)
	return nil
}

// splitStress splits a phone such as AH0 into its sound and its stress digit,
// which only vowels have.
func splitStress(phone string) (sound, digit string) {
	sound = strings.TrimRight(phone, "012")
	return sound, phone[len(sound):]
}

// pattern returns the stress digits of the vowels: 10 for W AO1 T ER0.
func pattern(phones []string) string {
	var b strings.Builder
	for _, p := range phones {
		_, digit := splitStress(p)
		b.WriteString(digit)
	}
	return b.String()
}

// eligible returns the words that may become rows, sorted: 3 to 12 letters, and
// at least one vowel to be spoken.
func eligible(d *dictionary) []string {
	var out []string
	for w := range d.words {
		if len(w) >= 3 && len(w) <= 12 && pattern(d.first(w)) != "" {
			out = append(out, w)
		}
	}
	slices.Sort(out)
	return out
}

// eachLine calls fn for every line of a file that is not empty.
func eachLine(path string, fn func(string) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // opened for reading only
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		if line := strings.TrimSpace(lines.Text()); line != "" {
			if err := fn(line); err != nil {
				return fmt.Errorf("%s:%d: %w", path, n, err)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}
