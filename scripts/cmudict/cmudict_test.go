package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/dataset"
)

func excerpt(t *testing.T) *dictionary {
	t.Helper()
	d, err := load("testdata/dict.txt", "testdata/phones.txt")
	require.NoError(t, err)
	return d
}

func TestLoad(t *testing.T) {
	d := excerpt(t)
	assert.Equal(t, [][]string{{"DH", "AH0"}, {"DH", "AH1"}, {"DH", "IY0"}}, d.words["the"])
	assert.Equal(t, []string{"DH", "AH0"}, d.first("the"), "the first pronunciation is the one used")
	for _, odd := range []string{"a's", "{brace", "brace", "the(1)"} {
		assert.NotContains(t, d.words, odd)
	}
	words := eligible(d)
	assert.True(t, slices.IsSorted(words))
	for _, out := range []string{"a", "go", "incomprehensible"} {
		assert.NotContains(t, words, out)
		assert.Contains(t, d.words, out)
	}
}

func TestLoadRefusesWhatIsNoDictionary(t *testing.T) {
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "f")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	tests := []struct{ name, dict, phones, want string }{
		{"no phones", "CAT\n", "K\tstop\n", `:1: "CAT" is not a word and its phones`},
		{"unknown phone", "CAT  K Q\n", "K\tstop\n", `:1: "Q" in`},
		{"vowel without stress", "OH  OW\n", "OW\tvowel\n", `"OW" in`},
		{"consonant with stress", "\nK  K1\n", "K\tstop\n", `:2: "K1" in`},
		{"phone without class", "", "K stop\n", "is not a phone and its class"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(write(tt.dict), write(tt.phones))
			require.ErrorContains(t, err, tt.want)
		})
	}
	_, err := load("testdata/none", "testdata/phones.txt")
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = load("testdata/dict.txt", "testdata/none")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestKinds(t *testing.T) {
	d := excerpt(t)
	want := map[string][]string{
		kindS:        {"boxes", "buses", "carries", "cats", "goes", "houses", "judges", "likes", "reeds", "stages", "stops", "ties", "wants", "waters"},
		kindPast:     {"carried", "judged", "liked", "needed", "planned", "staged", "stopped", "tied", "wanted", "watered"},
		kindIng:      {"carrying", "liking", "staging", "stopping", "tying"},
		kindCompound: {"afternoon", "catlike", "stagecoach"},
		kindBase: {
			"bus", "hand", "carpet", "the", "mice", "beware", "stopper", "understand", "misunderstand",
			"wolves", "housed", "indicates", // not spoken as their stem and an ending
		},
	}
	for kind, words := range want {
		for _, w := range words {
			assert.Equal(t, kind, d.kind(w), w)
		}
	}
}

func TestFamilies(t *testing.T) {
	f := excerpt(t).families()
	for _, family := range [][]string{
		{"stop", "stops", "stopped", "stopping"},
		{"carry", "carries", "carried", "carrying"},
		{"tie", "ties", "tied", "tying"},
		{"house", "houses", "housed"}, // housed is not spoken as house and D
		{"indicate", "indicates"},     // nor is indicates
		{"stage", "stages", "staged", "staging"},
	} {
		for _, w := range family {
			assert.Equal(t, f[family[0]], f[w], w)
		}
	}
	for _, pair := range [][2]string{{"stage", "stagecoach"}, {"stop", "stopper"}, {"cat", "car"}, {"bus", "box"}} {
		assert.NotEqual(t, f[pair[0]], f[pair[1]])
	}
}

func TestTags(t *testing.T) {
	d := excerpt(t)
	tests := []struct{ word, length, syllables, stress string }{
		{"the", "3-4", "1", "none"},
		{"water", "5-6", "2", "first"},
		{"banana", "5-6", "3", "second"},
		{"afternoon", "9-12", "3", "third+"},
		{"abbreviate", "9-12", "4+", "second"},
		{"carrying", "7-8", "3", "first"},
	}
	for _, tt := range tests {
		row := pronounce.row(d, tt.word)
		assert.Equal(t, tt.word, row.Input)
		assert.Equal(t, strings.Join(d.first(tt.word), " "), row.Output)
		assert.Equal(t, map[string]string{"length": tt.length, "syllables": tt.syllables, "stress": tt.stress, "kind": d.kind(tt.word)}, row.Tags, tt.word)
		row = stressed.row(d, tt.word)
		assert.Equal(t, pattern(d.first(tt.word)), row.Label)
		assert.NotContains(t, row.Tags, "stress")
	}
	assert.Equal(t, "201", pattern(d.first("afternoon")))
}

func TestRunIsDeterministic(t *testing.T) {
	var dict strings.Builder
	for _, first := range "BDFGKLMNPST" {
		for _, vowel := range []string{"AA1", "EH1", "IY1", "OW1", "UW1"} {
			for _, last := range "BDFGKLMNPST" {
				fmt.Fprintf(&dict, "%c%c%c  %c %s %c\n", first, vowel[0], last, first, vowel, last)
			}
		}
	}
	source := filepath.Join(t.TempDir(), "dict.txt")
	require.NoError(t, os.WriteFile(source, []byte(dict.String()), 0o644))
	args := []string{"--source", source, "--phones", "testdata/phones.txt", "--created-at", "2020-01-01T00:00:00Z", "--out"}
	one, two := t.TempDir(), t.TempDir()
	var report bytes.Buffer
	require.NoError(t, run(context.Background(), append(args, one), &report))
	require.NoError(t, run(context.Background(), append(args, two), io.Discard))
	assert.Contains(t, report.String(), "605 words, 605 of 3 to 12 letters")
	for _, task := range []string{"sft", "classification"} {
		for _, name := range []string{"train.jsonl", "val.jsonl", "test.jsonl", "manifest.json"} {
			a, err := os.ReadFile(filepath.Join(one, task, name))
			require.NoError(t, err)
			b, err := os.ReadFile(filepath.Join(two, task, name))
			require.NoError(t, err)
			assert.Equal(t, string(a), string(b), "%s/%s", task, name)
		}
		m, err := dataset.LoadManifest(filepath.Join(one, task, "manifest.json"))
		require.NoError(t, err)
		assert.Equal(t, "2020-01-01T00:00:00Z", m.CreatedAt)
		require.NoError(t, m.Verify(context.Background()))
	}
}

func TestRunRefusesItsArguments(t *testing.T) {
	for _, args := range [][]string{
		nil, {"--source", "testdata/dict.txt"}, {"--source", "testdata/none", "--phones", "testdata/phones.txt"},
		{"--source", "testdata/dict.txt", "--phones", "testdata/phones.txt", "extra"},
	} {
		require.Error(t, run(context.Background(), append(args, "--out", t.TempDir()), io.Discard), "%q", args)
	}
}

func TestChanceIsEven(t *testing.T) {
	low := 0
	for i := range 1000 {
		c := chance("test", string(rune('a'+i%26))+strings.Repeat("x", i/26))
		require.GreaterOrEqual(t, c, 0.0)
		require.Less(t, c, 1.0)
		if c < 0.5 {
			low++
		}
	}
	assert.InDelta(t, 500, low, 80)
	assert.NotEqual(t, chance("a", "w"), chance("b", "w"))
}
