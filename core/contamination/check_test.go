package contamination_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/verifily/verifily-tui/core/contamination"
	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rows writes a JSONL file of rows, each a list of its fields: instruction,
// output and maybe input.
func rows(t *testing.T, rows ...[]string) string {
	t.Helper()
	var b strings.Builder
	for i, r := range rows {
		row := dataset.Row{Instruction: r[0], Output: r[1], ID: fmt.Sprint("r", i)}
		if len(r) > 2 {
			row.Input = r[2]
		}
		line, err := row.Encode()
		require.NoError(t, err)
		b.Write(append(line, '\n'))
	}
	return file(t, b.String())
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func check(t *testing.T, opt contamination.Options) *contamination.Report {
	t.Helper()
	r, err := contamination.Check(context.Background(), opt)
	require.NoError(t, err)
	return r
}

const (
	fox   = "The quick brown fox jumps over the lazy dog while the sun sets slowly behind the old stone mill"
	foxes = "The quick brown fox jumps over the lazy dog while the sun sets slowly behind the old stone hill"
	other = "Completely different words that have nothing in common with anything said before in this file"
)

func TestVerdicts(t *testing.T) {
	cases := []struct {
		name        string
		train, eval [][]string
		status      string
		exact, near int
	}{
		{"nothing shared", [][]string{{fox, "yes"}}, [][]string{{other, "yes"}}, "PASS", 0, 0},
		{"word for word", [][]string{{fox, "yes"}}, [][]string{{fox, "yes"}}, "FAIL", 1, 0},
		{"case and space", [][]string{{fox, "Yes"}}, [][]string{{"  " + strings.ToUpper(strings.ReplaceAll(fox, " ", "\n\t")), "yes "}}, "FAIL", 1, 0},
		{"the border of the fields", [][]string{{"sum", "7", "3 4"}}, [][]string{{"sum 3 4", "7"}}, "FAIL", 1, 0},
		{"one letter", [][]string{{fox, "yes"}}, [][]string{{foxes, "yes"}}, "WARN", 0, 1},
		{"exact wins over near", [][]string{{foxes, "yes"}, {fox, "yes"}}, [][]string{{fox, "yes"}}, "FAIL", 1, 0},
		{"both kinds", [][]string{{fox, "yes"}}, [][]string{{foxes, "yes"}, {fox, "yes"}, {other, "no"}}, "FAIL", 1, 1},
		{"repeated within a file", [][]string{{fox, "yes"}, {fox, "yes"}}, [][]string{{other, "no"}, {other, "no"}}, "PASS", 0, 0},
		{"each evaluation row counts", [][]string{{fox, "yes"}, {fox, "yes"}}, [][]string{{fox, "yes"}, {foxes, "yes"}, {fox, "yes"}, {foxes, "yes"}}, "FAIL", 2, 2},
		{"short texts", [][]string{{"a", "b"}, {"c", "d"}}, [][]string{{"a", "c"}, {"A", "B"}}, "FAIL", 1, 0},
		{"short and alike", [][]string{{"a", "b"}}, [][]string{{"a", "c"}}, "PASS", 0, 0},
		{"not a letter in it", [][]string{{"\x1c", "\x1d"}, {fox, "x"}}, [][]string{{"\x1e", "\x1f"}}, "FAIL", 1, 0},
		{"other scripts", [][]string{{"東京は日本の首都であり、世界で最も人口の多い都市の一つです。歴史も長い", "はい"}},
			[][]string{{"東京は日本の首都であり、世界で最も人口の多い都市の一つです。歴史も短い", "はい"}}, "PASS", 0, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := check(t, contamination.Options{TrainPath: rows(t, c.train...), EvalPath: rows(t, c.eval...)})
			assert.Equal(t, c.status, r.Status)
			assert.Equal(t, [2]int{c.exact, c.near}, [2]int{r.ExactOverlaps, r.NearDuplicates})
			assert.Equal(t, [2]int{len(c.train), len(c.eval)}, [2]int{r.Counts.TrainRows, r.Counts.EvalRows})
			assert.Len(t, r.Pairs, c.exact+c.near)
		})
	}
}

func TestTagsAndIdsTakeNoPart(t *testing.T) {
	train := file(t, `{"text":"`+fox+`","label":"a","id":"one","tags":{"source":"x"}}`)
	eval := file(t, "\n"+`{"text":"`+fox+`","label":"a","tags":{"source":"y"}}`+"\n"+`{"text":"`+fox+`","label":"b","id":"one"}`)
	r := check(t, contamination.Options{TrainPath: train, EvalPath: eval, Task: dataset.Classification})
	assert.Equal(t, [2]int{1, 1}, [2]int{r.ExactOverlaps, r.NearDuplicates})
	require.Len(t, r.Pairs, 2)
	first := r.Pairs[0]
	assert.Equal(t, contamination.Exact, first.Kind)
	assert.Equal(t, 2, first.Eval.Line)
	assert.Regexp(t, `^row_[0-9a-f]{16}$`, first.Eval.ID)
	assert.Equal(t, "one", first.Train.ID)
	assert.Equal(t, first.Eval.TextHash, first.Train.TextHash)
}

// text makes up words, some of them twice in a text of some length.
func text(rng *rand.Rand, words int) []string {
	out := make([]string, words)
	for i := range out {
		out[i] = fmt.Sprintf("w%d", rng.IntN(300))
	}
	return out
}

// TestAgainstEveryPair compares the result with that of judging all pairs by
// the definition.
func TestAgainstEveryPair(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for _, threshold := range []float64{0.3, 0.6, 0.8, 0.95} {
		var train, eval [][]string
		for range 150 {
			words := text(rng, 5+rng.IntN(60))
			train = append(train, []string{strings.Join(words, " "), "é"})
			for range rng.IntN(3) {
				for range rng.IntN(1 + len(words)/4) {
					words[rng.IntN(len(words))] = fmt.Sprintf("w%d", rng.IntN(300))
				}
				eval = append(eval, []string{strings.Join(words, " "), "É"})
			}
		}
		rng.Shuffle(len(eval), func(i, j int) { eval[i], eval[j] = eval[j], eval[i] })

		grams := func(row []string) (string, map[string]bool) {
			text := metrics.Normalize(row[0] + "\n" + row[1])
			set := map[string]bool{}
			for i, r := 0, []rune(text); i+5 <= len(r); i++ {
				set[string(r[i:i+5])] = true
			}
			return text, set
		}
		exact, near, trainNear, trainExact := 0, map[int]int{}, map[int]bool{}, map[int]bool{}
		for i, e := range eval {
			same, first := false, 0
			text, set := grams(e)
			for k, x := range train {
				trainText, trainSet := grams(x)
				if text == trainText {
					same, trainExact[k] = true, true
				}
				shared := 0
				for g := range set {
					if trainSet[g] {
						shared++
					}
				}
				if text != trainText && float64(shared)/float64(len(set)+len(trainSet)-shared) >= threshold {
					if first == 0 {
						first = k + 1
					}
					trainNear[k] = true
				}
			}
			if same {
				exact++
			} else if first > 0 {
				near[i+1] = first
			}
		}
		require.NotEmpty(t, near)

		opt := contamination.Options{TrainPath: rows(t, train...), EvalPath: rows(t, eval...), Threshold: threshold, Workers: 1}
		one := check(t, opt)
		assert.Equal(t, exact, one.ExactOverlaps)
		got := map[int]int{}
		for _, p := range one.Pairs {
			if p.Kind == contamination.Near {
				assert.GreaterOrEqual(t, p.Similarity, threshold)
				got[p.Eval.Line] = p.Train.Line
			}
		}
		assert.Equal(t, near, got, "threshold %v", threshold)
		assert.Equal(t, len(near), one.NearDuplicates)
		for k := range trainExact {
			delete(trainNear, k)
		}
		assert.Equal(t, [2]int{len(trainExact), len(trainNear)}, [2]int{one.Counts.TrainExactRows, one.Counts.TrainNearRows})

		opt.Workers = 7
		many := check(t, opt)
		a, err := one.JSON()
		require.NoError(t, err)
		b, err := many.JSON()
		require.NoError(t, err)
		assert.Equal(t, string(a), string(b), "the number of workers does not show")
	}
}

func TestPairsAreBounded(t *testing.T) {
	var train, eval [][]string
	for i := range 30 {
		train = append(train, []string{fmt.Sprint(fox, i), "same"})
		eval = append(eval, []string{fmt.Sprint(foxes, i), "same"}, []string{fmt.Sprint(fox, i), "same"})
	}
	r := check(t, contamination.Options{TrainPath: rows(t, train...), EvalPath: rows(t, eval...), MaxPairs: 40})
	assert.Equal(t, [4]int{30, 30, 60, 40}, [4]int{r.ExactOverlaps, r.NearDuplicates, r.Counts.Pairs, r.Counts.PairsListed})
	require.Len(t, r.Pairs, 40)
	assert.Equal(t, "exact", r.Pairs[29].Kind)
	assert.Equal(t, "near", r.Pairs[30].Kind)
	assert.Equal(t, 1, r.Pairs[30].Train.Line, "the first training row that is near")
}

func TestOneRowManyTimes(t *testing.T) {
	var train, eval [][]string
	for range 5000 {
		train = append(train, []string{fox, "yes"})
	}
	for range 3000 {
		eval = append(eval, []string{foxes, "yes"})
	}
	r := check(t, contamination.Options{TrainPath: rows(t, train...), EvalPath: rows(t, eval...)})
	assert.Equal(t, "WARN", r.Status)
	assert.Equal(t, contamination.Counts{TrainRows: 5000, EvalRows: 3000, EvalTexts: 1, TrainNearRows: 5000, Pairs: 3000, PairsListed: 1000}, r.Counts)
}

func TestLongRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	long := strings.Join(text(rng, 250_000), " ")
	r := check(t, contamination.Options{
		TrainPath: rows(t, []string{long, "a"}, []string{strings.Repeat("x", 1<<20), "a"}),
		EvalPath:  rows(t, []string{long, "b"}, []string{strings.Repeat("x", 2<<20), "a"}),
		Workers:   2,
	})
	assert.Equal(t, "WARN", r.Status)
	assert.Equal(t, 2, r.NearDuplicates)
}

func TestTheReportNamesRowsWithoutQuotingThem(t *testing.T) {
	long := strings.Repeat("secret", 30)
	train := file(t, `{"instruction":"`+fox+`","output":"yes","id":"`+long+`"}`)
	eval := file(t, `{"instruction":"`+foxes+`","output":"yes","id":"e1"}`)
	r := check(t, contamination.Options{TrainPath: train, EvalPath: eval})
	data, err := r.JSON()
	require.NoError(t, err)
	for _, word := range []string{"quick", "lazy", "secret"} {
		assert.NotContains(t, string(data), word)
	}
	var keys struct {
		Status         string
		ExactOverlaps  *int `json:"exact_overlaps"`
		NearDuplicates *int `json:"near_duplicates"`
		LSH            struct {
			Bands, Rows int
			Recall      float64 `json:"recall_at_threshold"`
		}
	}
	require.NoError(t, json.Unmarshal(data, &keys))
	assert.Equal(t, "WARN", keys.Status)
	assert.Equal(t, [2]int{0, 1}, [2]int{*keys.ExactOverlaps, *keys.NearDuplicates})
	assert.GreaterOrEqual(t, keys.LSH.Recall, 0.999)
}

func TestErrors(t *testing.T) {
	good := rows(t, []string{fox, "yes"})
	classes := file(t, `{"text":"a","label":"b"}`)
	cases := []struct {
		name string
		opt  contamination.Options
		says string
	}{
		{"threshold", contamination.Options{Threshold: 1.5}, "the threshold is 1.5"},
		{"low threshold", contamination.Options{Threshold: 0.01}, "the threshold is 0.01"},
		{"n-grams", contamination.Options{NGram: 33}, "n-grams of 33"},
		{"workers", contamination.Options{Workers: -1}, "negative"},
		{"no train file", contamination.Options{TrainPath: good + "x"}, "no such file"},
		{"no eval file", contamination.Options{EvalPath: good + "x", Task: dataset.SFT}, "no such file"},
		{"two tasks", contamination.Options{EvalPath: classes}, "holds classification rows"},
		{"bad train row", contamination.Options{TrainPath: file(t, `{"instruction":"a","output":"b"}`+"\n{}")}, "1 of 2 rows is bad"},
		{"bad eval row", contamination.Options{EvalPath: file(t, `{"instruction":"a","output":"b"}`+"\n{}")}, "1 of 2 rows is bad"},
		{"empty", contamination.Options{EvalPath: file(t, "\n")}, "holds no rows"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.opt.TrainPath == "" {
				c.opt.TrainPath = good
			}
			if c.opt.EvalPath == "" {
				c.opt.EvalPath = good
			}
			_, err := contamination.Check(context.Background(), c.opt)
			require.ErrorContains(t, err, c.says)
			var typed fault.TrainError
			require.ErrorAs(t, err, &typed)
			assert.NotEmpty(t, typed.Fault().Hint)
		})
	}
}

func TestCancelled(t *testing.T) {
	train, eval := files(t, 300, 100)
	for _, task := range []string{"", dataset.SFT} {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err := contamination.Check(ctx, contamination.Options{TrainPath: train, EvalPath: eval, Task: task})
		require.ErrorIs(t, err, context.Canceled)
	}
}
