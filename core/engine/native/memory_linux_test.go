package native

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/fault"
)

// TestTooLargeForTheMachine: a model of some petabytes is refused before
// anything is allocated for it, and the message names both numbers.
func TestTooLargeForTheMachine(t *testing.T) {
	arch := Arch{VocabSize: 1 << 24, Hidden: 1 << 16, Layers: 1 << 10, Heads: 1 << 6, KVHeads: 1 << 6, HeadDim: 1 << 10,
		FFN: 1 << 18, MaxPositions: 64, RopeTheta: 100, RMSEps: 1e-5, Tied: true}
	lora := &loraSpec{r: 8, alpha: 16, modules: []string{"q_proj"}}
	for _, c := range []struct {
		name  string
		src   source
		lora  *loraSpec
		train bool
		hint  string
	}{
		{"full", seedSource{1}, nil, true, "lora.enabled: true"},
		{"adapter", seedSource{1}, lora, true, "lora.quantization: 4bit"},
		{"quantised", &quantSource{seedSource{1}, "4bit"}, lora, true, "base_model"},
		{"evaluated", seedSource{1}, nil, false, "more memory"},
	} {
		_, err := newModel(arch, c.src, c.lora, c.train)
		var bad *fault.ConfigError
		require.ErrorAs(t, err, &bad, c.name)
		assert.Regexp(t, `needs \d+\.\d GiB of memory, and \d+\.\d GiB are available`, bad.Reason, c.name)
		assert.Contains(t, bad.Hint, c.hint, c.name)
	}

	m, err := newModel(tinyArch(true), loudSource{3}, nil, true)
	require.NoError(t, err)
	s := &training{setup: &setup{model: m}, stepper: tinyStepper(t, m)}
	require.NoError(t, s.checkScratch(1000))
	var bad *fault.ConfigError
	require.ErrorAs(t, s.checkScratch(1<<50), &bad)
	assert.Contains(t, bad.Hint, "training.max_seq_length")

	p := &predictor{pool: s.pool, meter: newEvalMeter(m, generation{})}
	require.NoError(t, p.reserve())
	p.meter.reply.most = 1 << 50
	require.ErrorAs(t, p.reserve(), &bad)
	assert.Contains(t, bad.Hint, "eval.batch_size")
}

// TestWeightsCutShortWhileTheyAreRead: the file is as long as its header says when
// it is opened, and shorter when its values are copied.
func TestWeightsCutShortWhileTheyAreRead(t *testing.T) {
	dir := t.TempDir()
	arch := tinyArch(true)
	m, err := newModel(arch, loudSource{3}, nil, false)
	require.NoError(t, err)
	require.NoError(t, m.saveModel(dir))
	b, err := openFolder(dir, 1)
	require.NoError(t, err)
	defer b.src.close()
	require.NoError(t, os.Truncate(filepath.Join(dir, modelWeightsName), 4096))
	_, err = newModel(b.arch, b.src, nil, true)
	var bad *fault.ConfigError
	require.ErrorAs(t, err, &bad)
	assert.Contains(t, bad.Reason, "cut short")
}
