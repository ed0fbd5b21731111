package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/dataset"
)

const committed = "../../testdata/cmudict"

// rowsOf reads the rows of every split of a committed data set, by way of its
// manifest.
func rowsOf(t *testing.T, s set) map[string][]dataset.Row {
	t.Helper()
	ref := s.id + "@" + version
	r, err := dataset.Resolve(context.Background(), dataset.Spec{Task: s.task, DatasetVersion: &ref, SearchDir: committed})
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	assert.Empty(t, r.Warnings)
	out := map[string][]dataset.Row{}
	for split, f := range map[string]*dataset.File{dataset.Train: r.Train, dataset.Val: r.Val, dataset.Test: r.Test} {
		require.NotNil(t, f, split)
		assert.Equal(t, s.rows[split], f.Len(), "%s %s", s.id, split)
		for i := range f.Len() {
			row, err := f.Row(i)
			require.NoError(t, err)
			out[split] = append(out[split], row)
		}
	}
	return out
}

// word returns the word that a row of either set is about.
func word(r dataset.Row) string {
	if r.Text != "" {
		return r.Text
	}
	return r.Input
}

func TestCommittedDataMatchesItsManifests(t *testing.T) {
	for _, s := range []set{pronounce, stressed} {
		m, err := dataset.LoadManifest(filepath.Join(committed, s.task, dataset.ManifestName))
		require.NoError(t, err)
		require.NoError(t, m.Verify(context.Background()))
		assert.Equal(t, dataset.ContentHashOf(m.Files), m.ContentHash)
		for split, rows := range rowsOf(t, s) {
			for _, row := range rows {
				id, err := row.ContentID()
				require.NoError(t, err)
				require.Equal(t, id, row.ID, "%s %s line %d", s.id, split, row.Line)
			}
		}
	}
}

// No word is in two splits, in one data set or across the two, and neither are
// a stem and a word spelt as its inflection.
func TestCommittedSplitsAreDisjoint(t *testing.T) {
	home := map[string]string{}
	d := &dictionary{words: map[string][][]string{}}
	for _, s := range []set{pronounce, stressed} {
		met := map[string]bool{}
		for split, rows := range rowsOf(t, s) {
			for _, row := range rows {
				w := word(row)
				require.False(t, met[w], "%s twice in %s", w, s.id)
				met[w] = true
				if other, known := home[w]; known {
					require.Equal(t, other, split, w)
				}
				home[w] = split
				d.words[w] = nil
			}
		}
	}
	split := map[string]string{}
	for w, family := range d.families() {
		if other, known := split[family]; known {
			assert.Equal(t, other, home[w], "%s and others of the family of %s", w, family)
		}
		split[family] = home[w]
	}
}

func TestCommittedTagsFollowFromTheRows(t *testing.T) {
	for split, rows := range rowsOf(t, pronounce) {
		for _, row := range rows {
			stress := pattern(strings.Fields(row.Output))
			require.Equal(t, "Pronounce", row.Instruction)
			require.Equal(t, stressTag(stress), row.Tags["stress"], row.Input)
			require.Equal(t, syllableTag(len(stress)), row.Tags["syllables"], row.Input)
			require.Equal(t, lengthTag(len(row.Input)), row.Tags["length"], row.Input)
			require.Len(t, row.Tags, 4, "%s %s", split, row.Input)
		}
	}
	labels := map[string]int{}
	for _, rows := range rowsOf(t, stressed) {
		for _, row := range rows {
			labels[row.Label]++
			require.Equal(t, syllableTag(len(row.Label)), row.Tags["syllables"], row.Text)
			require.Len(t, row.Tags, 3, row.Text)
		}
	}
	assert.Len(t, labels, 6)
	for label, n := range labels {
		assert.GreaterOrEqual(t, n, 150, label)
	}
}

// The data is to stay small, and its licence beside it.
func TestCommittedFiles(t *testing.T) {
	var total int64
	var names []string
	require.NoError(t, filepath.WalkDir(committed, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		total += info.Size()
		name, err := filepath.Rel(committed, path)
		names = append(names, filepath.ToSlash(name))
		return err
	}))
	assert.Less(t, total, int64(2_000_000))
	slices.Sort(names)
	assert.Equal(t, []string{
		"LICENSE", "README.md",
		"classification/manifest.json", "classification/test.jsonl", "classification/train.jsonl", "classification/val.jsonl",
		"sft/manifest.json", "sft/test.jsonl", "sft/train.jsonl", "sft/val.jsonl",
	}, names)
	licence, err := os.ReadFile(filepath.Join(committed, "LICENSE"))
	require.NoError(t, err)
	assert.Contains(t, string(licence), "Copyright (C) 1993-2015 Carnegie Mellon University. All rights reserved.")
	assert.Contains(t, string(licence), "POSSIBILITY OF SUCH DAMAGE.")
}
