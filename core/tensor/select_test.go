package tensor_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/tensor"
)

func TestNewTakesTheBestUnlessForced(t *testing.T) {
	t.Setenv(tensor.ISAVariable, "")
	k, err := tensor.New()
	require.NoError(t, err)
	assert.Equal(t, tensor.ISAs()[0], k.ISA())
	for _, name := range tensor.ISAs() {
		t.Setenv(tensor.ISAVariable, name)
		k, err := tensor.New()
		require.NoError(t, err)
		assert.Equal(t, name, k.ISA())
	}
}

func TestISAsEndWithTheFallback(t *testing.T) {
	names := tensor.ISAs()
	assert.Equal(t, "generic", names[len(names)-1])
	if runtime.GOARCH != "amd64" {
		assert.Len(t, names, 1)
	}
}

func TestNewRefusesWhatTheMachineLacks(t *testing.T) {
	for _, name := range []string{"neon", "AVX512", "avx 2"} {
		t.Setenv(tensor.ISAVariable, name)
		_, err := tensor.New()
		require.Error(t, err)
		assert.Contains(t, err.Error(), name)
		assert.Contains(t, err.Error(), "this machine has: "+strings.Join(tensor.ISAs(), ", "))
	}
}
