package runs

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// trainerState is what a Hugging Face Trainer leaves in trainer_state.json.
// Its log_history mixes loss lines, evaluation lines and one last line with
// totals.
type trainerState struct {
	globalStep int
	maxSteps   int
	epoch      float64
	tokens     int64
	lines      []LogLine
	bad        int
	totals     *record // the last line, may be nil
}

const trainerFile = "trainer_state.json"

// trainerStatePath returns the state file at the top of a folder, else that of
// the checkpoint-N with the highest N that has one, else "".
func trainerStatePath(dir string) string {
	if path := filepath.Join(dir, trainerFile); isFile(path) {
		return path
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	best, path := -1, ""
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), "checkpoint-")
		step, err := strconv.Atoi(number)
		if !ok || err != nil || step <= best {
			continue
		}
		if p := filepath.Join(dir, e.Name(), trainerFile); isFile(p) {
			best, path = step, p
		}
	}
	return path
}

func readTrainerState(dir string) (*trainerState, error) {
	path := trainerStatePath(dir)
	if path == "" {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(dir, trainerFile), os.ErrNotExist)
	}
	data, err := readWhole(path)
	if err != nil {
		return nil, err
	}
	t, err := decodeTrainerState(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return t, nil
}

func decodeTrainerState(data []byte) (*trainerState, error) {
	r, err := decodeRecord(data)
	if err != nil {
		return nil, err
	}
	t := &trainerState{epoch: r.finite("epoch")}
	step, _ := r.whole("global_step")
	maxSteps, _ := r.whole("max_steps")
	t.globalStep, t.maxSteps = int(step), int(maxSteps)
	t.tokens, _ = r.whole("num_input_tokens_seen")
	var history []json.RawMessage
	if raw, ok := r.has("log_history"); ok {
		if err := json.Unmarshal(raw, &history); err != nil {
			return nil, fmt.Errorf("log_history: %w", err)
		}
	}
	for _, raw := range history {
		line, err := looseLine(raw)
		if err != nil {
			t.bad++
			continue
		}
		if _, last := line.Metrics["train_runtime"]; last {
			t.totals, err = decodeRecord(raw)
			if err != nil {
				t.bad++
			}
			continue
		}
		t.lines = append(t.lines, line)
	}
	return t, nil
}

// log returns the loss and evaluation lines. Trainer lines carry no time.
func (t *trainerState) log() *Log { return &Log{Lines: t.lines, Bad: t.bad} }

// meta tells what is known. The Trainer does not say whether it ended: a run
// that reached max_steps or wrote its totals counts as completed.
func (t *trainerState) meta(dir string) Meta {
	m := Meta{RunID: filepath.Base(dir), Status: StatusInterrupted, Metrics: map[string]float64{}}
	if t.totals != nil || t.maxSteps > 0 && t.globalStep >= t.maxSteps {
		m.Status = StatusCompleted
	}
	s := t.summary()
	m.DurationSeconds = s.WallTimeSeconds
	if s.FinalTrainLoss != nil && isFinite(*s.FinalTrainLoss) {
		m.Metrics["train_loss"] = *s.FinalTrainLoss
	}
	for _, line := range t.lines {
		if line.EvalLoss != nil && isFinite(*line.EvalLoss) {
			m.Metrics["eval_loss"] = *line.EvalLoss // the last one stays
		}
	}
	for _, source := range [][2]string{{"adapter_config.json", "base_model_name_or_path"}, {"config.json", "_name_or_path"}} {
		for _, folder := range []string{dir, filepath.Dir(trainerStatePath(dir))} {
			if m.BaseModel != "" {
				break
			}
			if r, err := readRecord(filepath.Join(folder, source[0])); err == nil {
				m.BaseModel = r.text(source[1])
			}
		}
	}
	return m
}

// summary works out train_summary.json from the history. The train loss of
// the totals is a mean over the run, so the last loss line is preferred.
func (t *trainerState) summary() Summary {
	s := Summary{TotalSteps: t.globalStep, TotalEpochs: t.epoch, TokensProcessed: t.tokens}
	best := math.Inf(1)
	for _, line := range t.lines {
		if line.Loss != nil {
			s.FinalTrainLoss = line.Loss
		}
		if line.EvalLoss != nil && *line.EvalLoss < best {
			best = *line.EvalLoss
			step := line.Step
			s.BestEvalLoss, s.BestEvalStep = line.EvalLoss, &step
		}
	}
	if t.totals != nil {
		s.WallTimeSeconds = t.totals.finite("train_runtime")
		if s.FinalTrainLoss == nil {
			s.FinalTrainLoss = t.totals.number("train_loss")
		}
	}
	return s
}
