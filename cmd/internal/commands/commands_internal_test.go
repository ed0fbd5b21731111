package commands

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNearest(t *testing.T) {
	known := []string{"epochs", "batch-size", "base-model", "lr", "lora-r", "eval"}
	for name, want := range map[string]string{
		"epoch": "epochs", "bath-size": "batch-size", "base_model": "base-model", "Lr": "lr", "evaluate": "eval",
		"frobnicate": "", "": "", "x": "",
	} {
		got, ok := nearest(name, known)
		if want == "" {
			assert.False(t, ok, "%q is near to %q", name, got)
		} else {
			assert.Equal(t, want, got, name)
			assert.True(t, ok, name)
		}
	}
	_, ok := nearest("x", nil)
	assert.False(t, ok)
}
