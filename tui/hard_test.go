package tui

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/source"
)

func TestHardFilters(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, with(baseline, "5")...)
	require.Len(t, m.hard.shown(), 50)
	press(m, "v", "m", "v", "l")
	for query, want := range map[string]int{
		"verdict:none":                        48,
		"verdict:error":                       2,
		"verdict!=none":                       2,
		"verdict:label":                       1,
		"difficulty=hard":                     37,
		"slice:difficulty=hard source:human":  20,
		"tag:source=synthetic":                22,
		"loss>99":                             0,
		"base:right":                          0,
		"rank<=3":                             3,
		"id:row_099":                          1,
		"\"New York 99\"":                     1,
		"reviewer:nobody-has-this-name-there": 0,
	} {
		press(m, "/", query, "enter")
		assert.Len(t, m.hard.shown(), want, query)
		frame := m.canvas().Plain()
		assert.Contains(t, frame, "reviewed 2 of 50", "the progress shows whatever the filter: %s", query)
		checkFrame(t, m)
		press(m, "esc")
	}
}

// TestProgressAlwaysShows looks for the progress of the review at every size and
// in every state of the reader.
func TestProgressAlwaysShows(t *testing.T) {
	normalRuns(t)
	for _, size := range sizes {
		for _, keys := range [][]string{{}, {"v"}, {"a"}, {"enter"}, {"/", "verdict:fine", "enter"}, {"w", "hard", "enter"}} {
			m := start(t, size[0], size[1], with(with(baseline, "5"), keys...)...)
			assert.Contains(t, m.canvas().Plain(), "reviewed 0 of 50", "%v %v", size, keys)
		}
	}
}

func TestReviewerIsTheNameInGit(t *testing.T) {
	normalRuns(t)
	config := filepath.Join(t.TempDir(), "gitconfig")
	require.NoError(t, os.WriteFile(config, []byte("[user]\n\tname = Ada Lovelace\n"), 0o644))
	t.Setenv("GIT_CONFIG_GLOBAL", config)
	m := start(t, 80, 24, with(baseline, "5", "v", "a", "p")...)
	e := m.hard.current()
	assert.Equal(t, "ambiguous", e.Label)
	assert.Equal(t, "Ada Lovelace", e.Reviewer)
	assert.Contains(t, m.canvas().Plain(), "▸ ambiguous")
	wide := start(t, 120, 40, with(baseline, "5")...)
	assert.Contains(t, wide.canvas().Plain(), "by Ada Lovelace")
}

// TestReadsTheWholeExample scrolls through a text that does not fit.
func TestReadsTheWholeExample(t *testing.T) {
	t.Chdir(t.TempDir())
	f := normal()[1]
	f.answer = func(i int) string { return "first\n" + strings.Repeat("line of an answer\n", 200) + "the end" }
	f.write(t, "runs")
	m := start(t, 80, 24, "5")
	assert.Contains(t, m.canvas().Plain(), "enter reads it whole")
	press(m, "enter")
	require.True(t, m.hard.whole)
	first := m.hard.current()
	assert.Contains(t, m.canvas().Plain(), "1 to 15 of")
	press(m, "j", "j", "pgdown")
	assert.Equal(t, 18, m.hard.top)
	press(m, "G")
	assert.NotContains(t, m.canvas().Plain(), "What is the capital")
	assert.Same(t, first, m.hard.current(), "scrolling stays on the example")
	press(m, "n")
	assert.Zero(t, m.hard.top)
	assert.NotSame(t, first, m.hard.current())
	checkFrame(t, m)
	press(m, "esc")
	assert.False(t, m.hard.whole)
	assert.Equal(t, viewHard, m.at)
}

func TestUnreviewed(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, with(baseline, "5", "v", "m", "n", "v", "f")...)
	require.Equal(t, 3, m.hard.cursor)
	press(m, "U")
	assert.Equal(t, 1, m.hard.cursor, "the first of all")
	press(m, "u")
	assert.Equal(t, 3, m.hard.cursor, "the next one")
	press(m, "/", "verdict:fine", "enter", "u")
	assert.Contains(t, m.notice.words, "every example here has a verdict")
	press(m, "U")
	assert.Zero(t, m.hard.cursor)
}

func TestSliceIsChosen(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, with(baseline, "5", "w", "difficulty=easy", "enter")...)
	assert.Len(t, m.hard.shown(), 13)
	assert.Contains(t, m.canvas().Plain(), "slice difficulty=easy")
	press(m, "w", "all examples", "enter")
	assert.Len(t, m.hard.shown(), 50)
}

// TestExampleKnowsOtherRuns shows what the baseline and marked runs said.
func TestExampleKnowsOtherRuns(t *testing.T) {
	t.Chdir(t.TempDir())
	list := normal()
	third := list[1]
	third.name, third.run, third.age, third.wrong = "run_20260301_110000_999999", "third", 70*time.Hour, func(int) bool { return false }
	writeAll(t, "runs", append(list, third))
	m := start(t, 80, 24, with(baseline, "/", "third", "enter", "space", "/", "ctrl+u", "enter", "g", "down", "5")...)
	require.Equal(t, "human+synthetic", m.run().name)
	e := m.hard.current()
	require.NotNil(t, e.Base)
	assert.False(t, e.Base.Right)
	require.Len(t, e.Others, 1)
	assert.True(t, e.Others[0].Right)
	frame := m.canvas().Plain()
	assert.Contains(t, frame, "the same, ✗ wrong there too")
	assert.Contains(t, frame, "third        The city of Albany 99 ✓ right there")
	assert.Contains(t, frame, "difficulty=easy f1 0.957", "the slices that it is in")
}

// TestErrorOfReviewIsRead says why, whole, until it is closed, and keeps what
// was typed.
func TestErrorOfReviewIsRead(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, with(baseline, "5")...)
	review := filepath.Join(m.open, "review")
	require.NoError(t, os.RemoveAll(review))
	require.NoError(t, os.WriteFile(review, nil, 0o644))
	press(m, "a", "long thoughts", "enter")
	send(m, noticeMsg(m.notice.n))
	assert.NotContains(t, m.notice.words, "another program")
	frame := strings.Join(strings.Fields(m.canvas().Plain()), " ")
	assert.Contains(t, frame, "review.jsonl: not a directory")
	assert.Contains(t, frame, "esc closes y copies")
	checkFrame(t, m)
	send(m, tea.WindowSizeMsg{Width: 30, Height: 9})
	assert.Contains(t, m.canvas().Plain(), "✗ save the review", "the start stays where not all has room")
	checkFrame(t, m)
	press(m, "y")
	assert.Contains(t, m.notice.words, "copied the error")
	require.NoError(t, os.Remove(review))
	press(m, "a")
	assert.Equal(t, "long thoughts", m.entry.line.String())
	press(m, "enter")
	assert.Equal(t, "long thoughts", m.hard.current().Note)
	press(m, "n", "a")
	assert.Empty(t, m.entry.line.String())
}

// TestNoteKeepsVerdict types a note while a verdict comes from elsewhere.
func TestNoteKeepsVerdict(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, with(baseline, "5", "a", "why")...)
	e := m.hard.current()
	_, err := m.src.Label(context.Background(), m.open, source.Review{ID: e.ID, InputHash: e.InputHash, Verdict: "fine", Reviewer: "other"})
	require.NoError(t, err)
	send(m, eventsMsg{events: []runs.Event{{Kind: runs.RunChanged, Run: filepath.Base(m.open), Dir: m.open, Files: []string{"review/review.jsonl"}}}})
	press(m, "enter")
	assert.Equal(t, "why", m.hard.current().Note)
	assert.Equal(t, "fine", m.hard.current().Label)
}

func TestRelabelExport(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, with(baseline, "5", "v", "l", "p", "a", "wrong \"reference\"", "enter", "e")...)
	require.NotNil(t, m.entry)
	assert.Equal(t, "verifily-hard.jsonl", m.entry.line.String(), "the examples are what is proposed")
	press(m, "ctrl+u", "relabel.jsonl", "enter")
	data, err := os.ReadFile("relabel.jsonl")
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	require.Len(t, lines, 50)
	var l struct {
		ID, Input, Reference, Prediction, Verdict, Note, Reviewer string
		InputHash                                                 string `json:"input_hash"`
		Base                                                      string `json:"base_prediction"`
		Tags                                                      map[string]string
	}
	require.NoError(t, json.Unmarshal([]byte(lines[0]), &l))
	assert.Equal(t, "row_099", l.ID)
	assert.Equal(t, runs.InputHash(l.Input), l.InputHash)
	assert.Equal(t, "label error", l.Verdict)
	assert.Equal(t, `wrong "reference"`, l.Note)
	assert.Equal(t, "The town of New York 99", l.Base)
	assert.Equal(t, "easy", l.Tags["difficulty"])
	assert.NotEmpty(t, l.Reviewer)

	press(m, "/", "verdict:label", "enter", "e", "ctrl+u", "few.jsonl", "enter")
	data, err = os.ReadFile("few.jsonl")
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(string(data), "\n"), "what the filter shows is what leaves")
	press(m, "e", "ctrl+u", "frame.txt", "enter")
	data, err = os.ReadFile("frame.txt")
	require.NoError(t, err)
	assert.Contains(t, string(data), "reviewed 1 of 50")
}

// TestTwoReviewers takes over what another program writes meanwhile.
func TestTwoReviewers(t *testing.T) {
	normalRuns(t)
	one := start(t, 80, 24, with(baseline, "5", "v", "m")...)
	two := start(t, 80, 24, with(baseline, "5", "u", "v", "f")...)
	assert.Equal(t, 2, two.hard.reviewed())
	assert.Equal(t, 1, one.hard.reviewed())
	send(one, eventsMsg{events: []runs.Event{{Kind: runs.RunChanged, Dir: one.open, Files: []string{"review/review.jsonl"}}}})
	assert.Equal(t, 2, one.hard.reviewed())
	assert.Equal(t, 1, one.hard.cursor, "the cursor stays")
}

// TestReviewThatCannotBeSaved says so and shows no verdict.
func TestReviewThatCannotBeSaved(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, with(baseline, "5")...)
	require.NoError(t, os.WriteFile(filepath.Join(m.open, "review"), []byte("a file"), 0o644))
	press(m, "v", "m")
	assert.Contains(t, m.notice.words, "✗ save the review")
	assert.Zero(t, m.hard.reviewed())
	assert.Zero(t, m.hard.cursor, "it does not move on")
}

// Beside the list of examples there is room for all labels, if not for space.
func TestLabelsFitBesideTheList(t *testing.T) {
	normalRuns(t)
	m := start(t, 110, 32, with(baseline, "5")...)
	for _, label := range decision.Labels() {
		assert.Contains(t, m.View(), label)
	}
}
