package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/runs/atomicfile"
)

// version is that of both data sets; it changes when their rows do.
const version = "1.0.0"

// set describes a data set to make.
type set struct {
	id, task string
	rows     map[string]int // most rows a split
	row      func(d *dictionary, word string) dataset.Row
	// share is the least part of all words that a reference must have for its
	// words to be taken, so that every label has enough rows to learn from.
	share float64
}

var pronounce = set{
	id: "cmudict-pronounce", task: dataset.SFT,
	rows: map[string]int{dataset.Train: 6600, dataset.Val: 400, dataset.Test: 1000},
	row: func(d *dictionary, word string) dataset.Row {
		spoken := d.first(word)
		tags := commonTags(d, word)
		tags["stress"] = stressTag(pattern(spoken))
		return dataset.Row{Instruction: "Pronounce", Input: word, Output: strings.Join(spoken, " "), Tags: tags}
	},
}

var stressed = set{
	id: "cmudict-stress", task: dataset.Classification,
	rows:  map[string]int{dataset.Train: 2100, dataset.Val: 150, dataset.Test: 350},
	share: 0.045,
	row: func(d *dictionary, word string) dataset.Row {
		return dataset.Row{Text: word, Label: pattern(d.first(word)), Tags: commonTags(d, word)}
	},
}

// commonTags returns the tags that both sets have.
func commonTags(d *dictionary, word string) map[string]string {
	return map[string]string{
		"length":    lengthTag(len(word)),
		"syllables": syllableTag(len(pattern(d.first(word)))),
		"kind":      d.kind(word),
	}
}

func lengthTag(letters int) string {
	switch {
	case letters <= 4:
		return "3-4"
	case letters <= 6:
		return "5-6"
	case letters <= 8:
		return "7-8"
	default:
		return "9-12"
	}
}

func syllableTag(vowels int) string {
	if vowels >= 4 {
		return "4+"
	}
	return fmt.Sprint(vowels)
}

// stressTag says which syllable bears the primary stress.
func stressTag(pattern string) string {
	switch strings.IndexByte(pattern, '1') {
	case -1:
		return "none"
	case 0:
		return "first"
	case 1:
		return "second"
	default:
		return "third+"
	}
}

// chance returns a number in [0, 1) that depends on nothing but its arguments.
func chance(purpose, word string) float64 {
	sum := sha256.Sum256([]byte(purpose + ":" + word))
	return float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
}

// splitOf returns the split of a family: about 12 in 100 test, 6 val. Both data
// sets use it, so a word held out in one is held out in the other.
func splitOf(family string) string {
	switch c := chance("split", family); {
	case c < 0.12:
		return dataset.Test
	case c < 0.18:
		return dataset.Val
	default:
		return dataset.Train
	}
}

// choose returns the rows of every split: the words in an order that the hash
// of each decides, up to the number wanted.
func (s set) choose(d *dictionary, words []string) map[string][]dataset.Row {
	families := d.families()
	common := map[string]int{}
	for _, w := range words {
		common[s.row(d, w).Reference()]++
	}
	ordered := slices.Clone(words)
	slices.SortFunc(ordered, func(a, b string) int { return cmp.Compare(chance(s.id, a), chance(s.id, b)) })
	out := map[string][]dataset.Row{}
	for _, w := range ordered {
		split := splitOf(families[w])
		if len(out[split]) == s.rows[split] {
			continue
		}
		if row := s.row(d, w); float64(common[row.Reference()]) >= s.share*float64(len(words)) {
			out[split] = append(out[split], row)
		}
	}
	return out
}

// write puts the data set into the folder of its task below dir.
func (s set) write(ctx context.Context, d *dictionary, words []string, dir, created string, out io.Writer) error {
	dir = filepath.Join(dir, s.task)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	chosen := s.choose(d, words)
	var parts []dataset.Part
	for _, split := range []string{dataset.Train, dataset.Val, dataset.Test} {
		part, err := writeSplit(ctx, dir, split, s.task, chosen[split])
		if err != nil {
			return err
		}
		defer func() { _ = part.File.Close() }() // opened for reading only
		parts = append(parts, part)
		fmt.Fprintf(out, "%s %s: %d rows, %d bytes\n", s.task, split, part.File.Len(), part.File.Size())
		for _, label := range part.File.Labels() {
			fmt.Fprintf(out, "  %-4s %d\n", label.Value, label.Rows)
		}
		for _, tag := range part.File.Tags() {
			fmt.Fprintf(out, "  %-9s %v\n", tag.Key, tag.Values)
		}
	}
	data, err := dataset.Describe(s.id, version, s.task, created, parts).JSON()
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(filepath.Join(dir, dataset.ManifestName), 0o644, data)
}

// writeSplit writes the rows of a split, each with its id, and reads them back.
func writeSplit(ctx context.Context, dir, split, task string, rows []dataset.Row) (dataset.Part, error) {
	var text bytes.Buffer
	for _, row := range rows {
		var err error
		if row.ID, err = row.ContentID(); err != nil {
			return dataset.Part{}, err
		}
		line, err := row.Encode()
		if err != nil {
			return dataset.Part{}, err
		}
		text.Write(append(line, '\n'))
	}
	name := split + ".jsonl"
	path := filepath.Join(dir, name)
	if err := atomicfile.WriteBytes(path, 0o644, text.Bytes()); err != nil {
		return dataset.Part{}, err
	}
	file, err := dataset.Open(ctx, path, task)
	return dataset.Part{Path: name, Split: split, File: file}, err
}
