package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestPairs(t *testing.T) {
	many := pairs{map[string]string{}, ","}
	assert.NoError(t, many.Set("question=subject,answer=body"))
	assert.NoError(t, many.Set("tags.x=a=b"))
	assert.Equal(t, map[string]string{"question": "subject", "answer": "body", "tags.x": "a=b"}, many.set)
	assert.Equal(t, "answer=body,question=subject,tags.x=a=b", many.String())
	for _, wrong := range []string{"", "x", "=x", "answer=again", "y=1,y=2", "z=1,"} {
		assert.Error(t, many.Set(wrong), "%q", wrong)
	}
	one := pairs{map[string]string{}, ""}
	assert.NoError(t, one.Set("note=a,b=c"))
	assert.NoError(t, one.Set("empty="))
	assert.Equal(t, map[string]string{"note": "a,b=c", "empty": ""}, one.set)
}

func TestIntegerOfAnySize(t *testing.T) {
	for in, want := range map[string]string{"7": "7", "-0": "0", "010": "10", "+5": "5", "123456789012345678901234567890": "123456789012345678901234567890"} {
		var n integerOfAnySize
		assert.NoError(t, n.Set(in), in)
		assert.Equal(t, want, n.String())
	}
	for _, wrong := range []string{"", "1.5", "0x10", "1e3", "seven", "1_000"} {
		var n integerOfAnySize
		assert.Error(t, n.Set(wrong), "%q", wrong)
		assert.Empty(t, n.String())
	}
}
