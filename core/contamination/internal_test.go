package contamination

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/metrics"
)

func TestPlanReachesItsRecall(t *testing.T) {
	for _, threshold := range []float64{0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1} {
		p := newPlan(threshold)
		assert.GreaterOrEqual(t, p.recall, 0.999, "threshold %v", threshold)
		assert.LessOrEqual(t, p.recall, 1.0)
		assert.Zero(t, p.hashes%4)
		assert.GreaterOrEqual(t, p.hashes, p.bands*p.rows)
		assert.LessOrEqual(t, p.hashes, maxHashes)
	}
	p := newPlan(0.8)
	assert.Equal(t, [4]int{15, 4, 60, 37}, [4]int{p.bands, p.rows, p.hashes, p.matches})
}

// TestSignaturesFindWhatThePlanPromises tries pairs of texts whose similarity
// is just at the threshold, the worst that the recall is stated for.
func TestSignaturesFindWhatThePlanPromises(t *testing.T) {
	const pairs, n = 2000, 5
	rng := rand.New(rand.NewPCG(1, 2))
	for _, threshold := range []float64{0.5, 0.8, 0.9} {
		p := newPlan(threshold)
		g, s := newGrams(n), newSigner(p.hashes)
		tried, found, agreed, similarity := 0, 0, 0, 0.0
		for range pairs {
			text := make([]byte, 250)
			for i := range text {
				text[i] = byte('a' + rng.IntN(26))
			}
			// Letters are changed until the similarity is about to fall below.
			var a, b []uint64
			a = g.set(text, a)
			changed := slices.Clone(text)
			for {
				next := slices.Clone(changed)
				next[rng.IntN(len(next))] = '#'
				if b = g.set(next, b); similar(a, b) < threshold {
					break
				}
				changed = next
			}
			b = g.set(changed, b)
			x, y := make([]uint32, p.hashes), make([]uint32, p.hashes)
			s.sign(g, text, x)
			s.sign(g, changed, y)
			tried++
			similarity += similar(a, b)
			agreed += agree(x, y)
			candidate := false
			for band := range p.bands {
				candidate = candidate || p.key(x, band) == p.key(y, band)
			}
			if candidate && agree(x, y) >= p.matches {
				found++
			}
		}
		assert.GreaterOrEqual(t, float64(found)/float64(tried), 0.998, "threshold %v", threshold)
		assert.InDelta(t, similarity/float64(tried), float64(agreed)/float64(tried*p.hashes), 0.01, "hashes agree as often as the sets do")
	}
}

// similar is the similarity of two sorted sets by its definition.
func similar(a, b []uint64) float64 {
	shared := 0
	for _, x := range a {
		if _, ok := slices.BinarySearch(b, x); ok {
			shared++
		}
	}
	return float64(shared) / float64(len(a)+len(b)-shared)
}

func TestJaccard(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := func(name string) []uint64 {
			s := rapid.SliceOfNDistinct(rapid.Uint64Range(0, 40), 1, 30, rapid.ID[uint64]).Draw(t, name)
			slices.Sort(s)
			return s
		}
		a, b := set("a"), set("b")
		threshold := rapid.SampledFrom([]float64{0.1, 0.2, 0.5, 0.8, 0.9, 1, similar(a, b)}).Draw(t, "threshold")
		if threshold == 0 {
			threshold = MinThreshold
		}
		got, near := jaccard(a, b, threshold)
		if want := similar(a, b); near != (want >= threshold) || near && got != want {
			t.Fatalf("jaccard = %v, %v; want %v", got, near, want)
		}
	})
	_, near := jaccard(nil, []uint64{1}, 0.1)
	assert.False(t, near)
	_, near = jaccard(nil, nil, 0.1)
	assert.False(t, near)
}

func TestGramsAreThoseOfTheCharacters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.SampledFrom([]rune("ab é世\U0001F600"))).Draw(t, "text")
		n := rapid.IntRange(1, 7).Draw(t, "n")
		want := map[string]bool{}
		runes := []rune(text)
		for i := 0; i+n <= len(runes); i++ {
			want[string(runes[i:i+n])] = true
		}
		if len(runes) > 0 && len(runes) < n {
			want[text] = true
		}
		g := newGrams(n)
		if got := g.set([]byte(text), nil); len(got) != len(want) {
			t.Fatalf("%d n-grams, want %d", len(got), len(want))
		}
		// The hash of a window does not depend on what stood before it.
		for w := range want {
			for _, h := range g.set([]byte(w), nil) {
				if _, ok := slices.BinarySearch(g.set([]byte(text), nil), h); !ok {
					t.Fatalf("%q is not found in %q", w, text)
				}
			}
		}
	})
	long := strings.Repeat("abcdefg", 1000)
	assert.Len(t, newGrams(5).set([]byte(long), nil), 7, "across the pieces of a long text")
}

func FuzzTextIsNormalized(f *testing.F) {
	f.Add("A  B", "\tc\u00a0", "ΑΣ ΑΣ.")
	f.Add("", "\x1c", "İ")
	f.Add("x", " ", "")
	f.Add("ΣAΣ Σ", "\x85", "a\u2028b")
	f.Fuzz(func(t *testing.T, instruction, input, output string) {
		for _, s := range []*string{&instruction, &input, &output} {
			*s = strings.ToValidUTF8(*s, "\ufffd") // as rows are
		}
		r := dataset.Row{Instruction: instruction, Input: input, Output: output}
		require.Equal(t, metrics.Normalize(instruction+"\n"+input+"\n"+output), string(appendText(nil, &r)))
	})
}

func TestLongTextsAreNormalizedInPieces(t *testing.T) {
	for _, s := range []string{strings.Repeat("ΑΣ \u00a0", 40000), strings.Repeat("Σ", 100000), strings.Repeat("É\n", 50000) + "x", strings.Repeat(" ", 70000) + "é"} {
		assert.True(t, metrics.Normalize(s) == string(appendNormal(nil, s)), "%.20q", s)
	}
}

func TestTextsThatAreNotKeptAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	var train, eval strings.Builder
	rng := rand.New(rand.NewPCG(3, 3))
	for i := range 60 {
		words := make([]string, 40)
		for k := range words {
			words[k] = fmt.Sprint(rng.IntN(1000))
		}
		fmt.Fprintf(&train, "{\"text\":%q,\"label\":\"x\"}\n", strings.Join(words, " "))
		if i%3 == 0 {
			words[0] = "changed"
		}
		if i%2 == 0 {
			fmt.Fprintf(&eval, "{\"text\":%q,\"label\":\"x\"}\n", strings.Join(words, " "))
		}
	}
	opt := Options{TrainPath: write("train.jsonl", train.String()), EvalPath: write("eval.jsonl", eval.String()), Workers: 3}
	kept, err := Check(context.Background(), opt)
	require.NoError(t, err)
	opt.keep = 1000
	read, err := Check(context.Background(), opt)
	require.NoError(t, err)
	assert.Equal(t, kept, read)
	assert.Equal(t, [2]int{20, 10}, [2]int{kept.ExactOverlaps, kept.NearDuplicates})
}

func TestTheScanStopsWithItsReason(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "rows.jsonl")
	line := `{"text":"a text that is long enough to have some n-grams","label":"`
	require.NoError(t, os.WriteFile(path, []byte(line+"x\"}\n"), 0o600))
	train := filepath.Join(dir, "train.jsonl")
	require.NoError(t, os.WriteFile(train, []byte(strings.Repeat(line+"y\"}\n", 5000)), 0o600))
	opt := Options{TrainPath: train, EvalPath: path, keep: 1}
	require.NoError(t, opt.complete(context.Background(), "test"))
	ix, err := newIndex(context.Background(), opt, newPlan(opt.Threshold))
	require.NoError(t, err)
	defer func() { require.NoError(t, ix.file.Close()) }()

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = scanTrain(ctx, opt, ix)
	require.ErrorIs(t, err, context.Canceled)

	// The evaluation text is read again to be judged; it is gone by then.
	require.NoError(t, os.WriteFile(path, []byte("{}"), 0o600))
	_, err = scanTrain(context.Background(), opt, ix)
	var data *fault.DataError
	require.ErrorAs(t, err, &data)
	require.ErrorContains(t, err, "changed while it was in use")
}
