package bpe_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/engine/native/bpe"
)

// TestHeadAndTail: the tokens that are kept are those of the whole text, and
// what is encoded does not grow with it.
func TestHeadAndTail(t *testing.T) {
	text := strings.Repeat("The quick brown fox jumps over the läzy dog 🦊. ", 2000)
	tok, err := bpe.Train(context.Background(), slices.Values([]string{text[:4000]}), bpe.TrainOptions{VocabSize: 400})
	require.NoError(t, err)
	all := tok.Encode(nil, text)
	for _, n := range []int{1, 10, 500} {
		head := tok.Encode(nil, tok.Head(text, n))
		assert.Equal(t, all[:n], head[:n])
		tail := tok.Encode(nil, tok.Tail(text, n))
		assert.Equal(t, all[len(all)-n:], tail[len(tail)-n:])
		assert.Less(t, len(tok.Head(text, n)), len(text)/2)
		assert.Less(t, len(tok.Tail(text, n)), len(text)/2)
	}
	assert.Equal(t, "short", tok.Head("short", 5))
	assert.Equal(t, "short", tok.Tail("short", 5))
}
