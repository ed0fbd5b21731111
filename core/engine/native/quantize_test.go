package native

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestQuantizedBaseIsSmall: the memory of a frozen base against float32, norms
// and the 8-bit embedding included.
func TestQuantizedBaseIsSmall(t *testing.T) {
	arch, err := builtinArch("builtin:micro")
	require.NoError(t, err)
	arch.VocabSize, arch.EOS, arch.PAD = 4096, 1, 0
	lora := &loraSpec{r: 8, alpha: 16, modules: []string{"q_proj"}}
	bytes := func(src source) float64 {
		m, err := newModel(arch, src, lora, true)
		require.NoError(t, err)
		return float64(m.baseBytes())
	}
	whole := bytes(seedSource{1})
	for bits, most := range map[string]float64{"8bit": 0.30, "4bit": 0.16} {
		share := bytes(&quantSource{seedSource{1}, bits}) / whole
		t.Logf("%s: %.3f of float32", bits, share)
		assert.Less(t, share, most, bits)
	}
}
