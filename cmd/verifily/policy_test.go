package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/decision"
)

// The policy that the help shows is one, and says what the help says.
func TestPolicyHelp(t *testing.T) {
	var shown []string
	for _, line := range strings.Split(policyHelp, "\n") {
		assert.LessOrEqual(t, len(line), 80, line)
		if strings.HasPrefix(line, "  ship_if:") || len(shown) > 0 {
			if line == "" {
				break
			}
			shown = append(shown, strings.TrimPrefix(line, "  "))
		}
	}
	p, err := decision.ParsePolicy("ship.yaml", []byte(strings.Join(shown, "\n")))
	require.NoError(t, err)
	for key, usual := range decision.DefaultCriteria() {
		assert.Equal(t, usual.String(), p.ShipIf[key].String(), "%s: the default is shown", key)
	}
	assert.Len(t, p.Slices, 2)
	assert.Equal(t, decision.DefaultMinSlice, p.MinSlice)
	assert.Equal(t, &decision.Significance{Alpha: 0.05, Resamples: 10000, Seed: 42}, p.Significance)
	assert.Equal(t, 20, p.Review.Min)
	assert.True(t, p.RequireHashes)
	for _, label := range decision.Labels() {
		assert.Contains(t, policyHelp, label)
	}
}
