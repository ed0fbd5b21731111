package native

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/engine/native/bpe"
	"github.com/verifily/verifily-tui/core/tensor"
)

// TestLongTextsAreReadInPart: a row has the tokens of its whole text up to the
// length, and a prompt those of its end, without the rest being tokenised.
func TestLongTextsAreReadInPart(t *testing.T) {
	const maxLen = 64
	var b strings.Builder
	for i := range uint64(100_000) {
		b.WriteByte("abcd"[tensor.NewPhilox(3).Block(0, i)[0]%4])
	}
	word := b.String()
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	var text string
	for _, r := range [][2]string{{"short", "answer"}, {word, "answer"}, {"short", word}, {word, word}} {
		text += fmt.Sprintf(`{"instruction":"%s","output":"%s"}`+"\n", r[0], r[1])
	}
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	file, err := dataset.Open(context.Background(), path, "sft")
	require.NoError(t, err)
	defer file.Close()
	tok, err := bpe.Train(context.Background(), slices.Values([]string{"short answer", word[:400]}), bpe.TrainOptions{VocabSize: 300})
	require.NoError(t, err)
	e := &examples{file: file, tok: tok, maxLen: maxLen}
	for i := range file.Len() {
		row, err := file.Row(i)
		require.NoError(t, err)
		prompt := tok.Encode(nil, row.Prompt())
		whole := append(tok.Encode(slices.Clone(prompt), row.Output), tok.EOS())

		s, cut, err := e.sequence(i)
		require.NoError(t, err)
		assert.Equal(t, whole[:min(len(whole), maxLen)], s.ids, i)
		assert.Equal(t, min(len(prompt), maxLen), s.first, i)
		assert.Equal(t, len(whole) > maxLen, cut, i)
		assert.Less(t, cap(s.ids), 20_000, i)

		for _, room := range []int{5, maxLen, len(prompt)} {
			ids, cut, err := e.prompt(i, room)
			require.NoError(t, err)
			assert.Equal(t, prompt[max(0, len(prompt)-room):], ids, i)
			assert.Equal(t, len(prompt) > room, cut, i)
			if room <= maxLen {
				assert.Less(t, cap(ids), 20_000, i)
			}
		}
	}
}
