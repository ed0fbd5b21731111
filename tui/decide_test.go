package tui

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// seal gives a run what the run contract asks for.
func seal(t *testing.T, dir string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "environment.json"), []byte("{}"), 0o644))
	sums := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || strings.HasPrefix(name, "decision") || strings.HasPrefix(name, ".") {
			return err
		}
		data, err := os.ReadFile(path)
		sum := sha256.Sum256(data)
		sums[filepath.ToSlash(name)] = hex.EncodeToString(sum[:])
		return err
	}))
	data, err := json.Marshal(map[string]any{"files": sums, "chain_hash": canonical.ChainHash(sums)})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "hashes.json"), data, 0o644))
}

// judged opens Decide on a run that is whole, under a policy.
func judged(t *testing.T, policy string) *Model {
	t.Helper()
	normalRuns(t)
	for _, f := range normal()[1:3] {
		seal(t, filepath.Join("runs", f.name))
	}
	if policy != "" {
		require.NoError(t, os.WriteFile("ship.yaml", []byte(policy), 0o644))
	}
	m := start(t, 120, 40, with(baseline, "7")...)
	require.NoError(t, m.decide.err)
	return m
}

const demanding = `ship_if: {min_f1: 0.5, max_f1_regression: 0.05}
slices:
  difficulty=hard: {min_f1: 0.74}
  source=gsw: {min_f1: 0.5}
min_slice: 30
significance: {alpha: 0.05, resamples: 500, seed: 42}
review: {min: 20}
`

func gateRow(t *testing.T, m *Model, name string) {
	t.Helper()
	for i, r := range m.decideRows() {
		if r.Name == name {
			m.decide.cursor = i
			return
		}
	}
	t.Fatalf("no gate %s in %v", name, m.decideRows())
}

// TestSignsOfDifferences writes the interval of a difference with signs, that of
// a value without.
func TestSignsOfDifferences(t *testing.T) {
	interval := &decision.Interval{Low: -0.08, High: 0.64}
	assert.Equal(t, "+0.560 [−0.08, +0.64]", gateValue(&decision.Gate{Value: 0.56, Rule: ">= -", Interval: interval}))
	assert.Equal(t, "0.56 [-0.08, 0.64]", gateValue(&decision.Gate{Value: 0.56, Rule: ">=", Interval: interval}))
}

func TestDecideShowsGatesAndState(t *testing.T) {
	m := judged(t, demanding)
	frame := m.canvas().Plain()
	assert.Contains(t, frame, "policy ship.yaml")
	assert.Contains(t, frame, "contract 5 of 5 · hashes intact · reviewed 0 of 50")
	assert.Contains(t, frame, "20 hard examples more to read")
	assert.Contains(t, frame, "20 examples more for source=gsw f1", "a gate says how many examples more would do")
	assert.Regexp(t, `f1 regression +\+0\.0\d+ \[`, frame)
	checkFrame(t, m)
}

// TestDecideIsLive judges anew when a file of the run changes.
func TestDecideIsLive(t *testing.T) {
	m := judged(t, "")
	require.Equal(t, decision.Ship, m.decide.value.Decision.Recommendation)
	config := filepath.Join(m.open, "config.yaml")
	require.NoError(t, os.WriteFile(config, []byte("changed: true\n"), 0o644))
	change := func(file string) {
		send(m, eventsMsg{events: []runs.Event{{Kind: runs.RunChanged, Dir: m.open, Files: []string{file}}}})
	}
	change("train_log.jsonl")
	assert.NotContains(t, m.canvas().Plain(), "differ", "a log line judges nothing anew")
	change("config.yaml")
	assert.Contains(t, m.canvas().Plain(), "hashes: 1 differ")
	require.NoError(t, os.Remove(config))
	change("config.yaml")
	assert.Equal(t, decision.DontShip, m.decide.value.Decision.Recommendation)
	assert.Contains(t, m.canvas().Plain(), "contract 4 of 5")
	press(m, "5", "v", "m", "7")
	assert.Equal(t, 1, m.decide.value.Review.Read, "a verdict of the review counts at once")
}

func TestEvidenceOfGates(t *testing.T) {
	m := judged(t, demanding)
	gateRow(t, m, "contract")
	press(m, "enter")
	frame := m.canvas().Plain()
	assert.Contains(t, frame, "✓ config.yaml")
	assert.Contains(t, frame, "✓ run_meta.json")
	assert.Contains(t, frame, "beside it, what does not decide")
	press(m, "esc")
	require.Nil(t, m.decide.proof)
	require.Equal(t, viewDecide, m.at)

	gateRow(t, m, "hashes")
	press(m, "enter")
	sum := sha256.Sum256([]byte("{}"))
	assert.Contains(t, m.canvas().Plain(), "✓ environment.json")
	assert.Contains(t, m.canvas().Plain(), hex.EncodeToString(sum[:]))
	require.NoError(t, os.WriteFile(filepath.Join(m.open, "environment.json"), []byte("{ }"), 0o644))
	send(m, eventsMsg{events: []runs.Event{{Kind: runs.RunChanged, Dir: m.open, Files: []string{"environment.json"}}}})
	assert.Contains(t, m.canvas().Plain(), "✗ environment.json", "the evidence that is open is looked at anew")
	press(m, "esc")

	gateRow(t, m, "f1")
	press(m, "enter")
	frame = m.canvas().Plain()
	assert.Contains(t, frame, filepath.Join(m.open, "eval", "eval_results.json"))
	assert.Contains(t, frame, `"num_examples": 400`)
	press(m, "G", "esc")

	gateRow(t, m, "difficulty=hard f1")
	press(m, "enter")
	require.Equal(t, viewSlices, m.at)
	rows := m.sliceRows()
	assert.Equal(t, "difficulty=hard", rows[m.sliceAt(rows)].label())
	press(m, "esc")
	require.Equal(t, viewDecide, m.at)

	gateRow(t, m, "review")
	press(m, "enter")
	assert.Equal(t, viewHard, m.at)
}

func TestEvidenceThatIsGone(t *testing.T) {
	m := judged(t, "")
	gateRow(t, m, "f1")
	m.decide.proof = &proof{gate: m.decideRows()[m.decide.cursor]}
	m.decide.proof.gate.Evidence = "eval/none.json"
	press(m, "r")
	assert.Contains(t, m.canvas().Plain(), "the evidence could not be read")
	checkFrame(t, m)
}

func TestRecordAsksAndSaysWhatItWrote(t *testing.T) {
	m := judged(t, "")
	config := filepath.Join(t.TempDir(), "gitconfig")
	require.NoError(t, os.WriteFile(config, []byte("[user]\n\tname = Grace\n"), 0o644))
	t.Setenv("GIT_CONFIG_GLOBAL", config)
	folder := filepath.Join(m.open, "decision")
	press(m, "R", "beats the old one")
	frame := m.canvas().Plain()
	assert.Contains(t, frame, "record SHIP")
	assert.Contains(t, frame, "note beats the old one")
	assert.Contains(t, frame, folder)
	for _, name := range []string{"decision.json", "decision.txt", "gates.json", "hashes.json", "audit_log.jsonl"} {
		assert.Contains(t, frame, name, "the files are named before they are written")
		if name != "decision.json" {
			assert.NoFileExists(t, filepath.Join(folder, name))
		}
	}
	press(m, "enter", "esc")
	assert.Nil(t, m.decide.recording)
	assert.NoFileExists(t, filepath.Join(folder, "audit_log.jsonl"), "esc writes nothing")

	press(m, "R", "beats the old one", "enter", "yes", "enter")
	frame = m.canvas().Plain()
	require.Len(t, m.decide.written, 5)
	for _, path := range m.decide.written {
		assert.FileExists(t, path)
		assert.Contains(t, frame, path, "the files that were written are shown")
	}
	trail, err := os.ReadFile(filepath.Join(folder, "audit_log.jsonl"))
	require.NoError(t, err)
	var line struct{ Step, Status, Reviewer, Note string }
	require.NoError(t, json.Unmarshal(trail, &line))
	assert.Equal(t, "decide", line.Step)
	assert.Equal(t, decision.Ship, line.Status)
	assert.Equal(t, "Grace", line.Reviewer)
	assert.Equal(t, "beats the old one", line.Note)
	press(m, "esc")
	assert.Contains(t, m.canvas().Plain(), "recorded is SHIP by Grace")
	assert.Contains(t, m.canvas().Plain(), ": beats the old one")
	press(m, "R", "", "enter", "YES", "enter")
	trail, err = os.ReadFile(filepath.Join(folder, "audit_log.jsonl"))
	require.NoError(t, err)
	assert.Equal(t, 2, strings.Count(string(trail), "\n"), "the trail keeps every decision")
}

// TestRecordOnlyWhatWasAgreed refuses a verdict that changed between the question
// and the answer.
func TestRecordOnlyWhatWasAgreed(t *testing.T) {
	m := judged(t, "")
	press(m, "R", "fine", "enter")
	require.NoError(t, os.Remove(filepath.Join(m.open, "config.yaml")))
	press(m, "yes", "enter")
	assert.Contains(t, m.notice.words, "✗ not recorded: the verdict is DONT_SHIP by now, not SHIP")
	assert.NoFileExists(t, filepath.Join(m.open, "decision", "audit_log.jsonl"))
	assert.Contains(t, m.canvas().Plain(), "DONT_SHIP", "the new verdict is shown")
}

func TestDecideCursor(t *testing.T) {
	m := judged(t, demanding)
	send(m, eventsMsg{})
	rows := len(m.decideRows())
	for range rows + 5 {
		press(m, "down")
	}
	assert.Equal(t, rows-1, m.decide.cursor)
	press(m, "g")
	assert.Zero(t, m.decide.cursor)
	for _, size := range sizes {
		small := start(t, size[0], size[1], with(baseline, "7", "G")...)
		assert.Regexp(t, `▸.*review`, small.canvas().Plain(), "the gate under the cursor is in sight at %v", size)
		checkFrame(t, small)
	}
}

func TestDecideExports(t *testing.T) {
	m := judged(t, "")
	press(m, "e", "ctrl+u", "d.json", "enter")
	data, err := os.ReadFile("d.json")
	require.NoError(t, err)
	assert.Contains(t, string(data), `"recommendation": "SHIP"`)
}

// TestEvidenceNamesItsFileAndCount shows how much has been read in place of a
// bare number, and beside a gate first how many examples it rests on.
func TestEvidenceNamesItsFileAndCount(t *testing.T) {
	m := judged(t, demanding)
	press(m, "5", "v", "m", "7")
	frame := m.canvas().Plain()
	assert.Regexp(t, `review +1 of 50 read +≥ 20`, frame)
	assert.Regexp(t, `✓ f1 +0\.\d+ \[.*n=400, eval_results\.json`, frame)
	assert.Contains(t, frame, "400 pairs, p ")
	assert.NotContains(t, frame, " , n=")
}

// TestUncheckedGatesSayHow opens gates that had nothing to look at.
func TestUncheckedGatesSayHow(t *testing.T) {
	m := judged(t, "ship_if: {min_f1: 0.5, max_pii_hits: 0}\n")
	for gate, want := range map[string]string{"pii hits": "verifily decide --report", "contamination": "verifily contamination --train"} {
		gateRow(t, m, gate)
		press(m, "enter")
		assert.Contains(t, m.canvas().Plain(), want)
		press(m, "esc")
	}
	require.NoError(t, os.WriteFile(filepath.Join(m.open, "eval", "contamination.json"), []byte(`{"status": "PASS", "exact_overlaps": 0, "near_duplicates": 0}`), 0o644))
	press(m, "r")
	gateRow(t, m, "contamination")
	assert.Equal(t, decision.GatePass, m.decideRows()[m.decide.cursor].Status, "it counts where a sealed run has room for it")
}

// A verdict to ship that rests on no metric says so beside its reasons.
func TestShipOfNothing(t *testing.T) {
	normalRuns(t)
	for _, e := range normal() {
		seal(t, filepath.Join("runs", e.name))
	}
	require.NoError(t, os.WriteFile("ship.yaml", []byte("ship_if: {min_f1: null, min_exact_match: null, max_f1_regression: null}\n"), 0o644))
	m := start(t, 80, 24, "down", "7")
	frame := m.canvas().Plain()
	assert.Contains(t, frame, "SHIP")
	assert.Contains(t, frame, "! no metric of the run was held against a limit; a policy can set one for")
}
