package contamination_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/contamination"
)

// writer makes up rows of about 600 characters from 20,000 words, the common
// ones far more often, as in a natural text.
type writer struct {
	rng   *rand.Rand
	zipf  *rand.Zipf
	words []string
}

func newWriter(seed uint64) *writer {
	w := &writer{rng: rand.New(rand.NewPCG(seed, 1))}
	w.zipf = rand.NewZipf(w.rng, 1.1, 3, 19999)
	vocabulary := rand.New(rand.NewPCG(7, 7)) // the same for every seed
	for range 20000 {
		word := make([]byte, 2+vocabulary.IntN(9))
		for i := range word {
			word[i] = "etaoinshrdlucmfwypvbgkjqxz"[min(vocabulary.IntN(26), vocabulary.IntN(26))]
		}
		w.words = append(w.words, string(word))
	}
	return w
}

func (w *writer) sentence(words int) []byte {
	var out []byte
	for range words {
		out = append(append(out, w.words[w.zipf.Uint64()]...), ' ')
	}
	return out
}

// files writes a training and an evaluation file. Of the evaluation rows one
// in 50 is a copy of a training row and one in 50 a copy with one word changed.
func files(tb testing.TB, train, eval int) (trainPath, evalPath string) {
	tb.Helper()
	dir := tb.TempDir()
	trainPath, evalPath = filepath.Join(dir, "train.jsonl"), filepath.Join(dir, "eval.jsonl")
	write := func(path string, rows int, row func(i int) (instruction, output []byte)) {
		f, err := os.Create(path)
		require.NoError(tb, err)
		b := bufio.NewWriterSize(f, 1<<20)
		for i := range rows {
			q, a := row(i)
			fmt.Fprintf(b, "{\"instruction\": %q, \"output\": %q, \"tags\": {\"source\": \"made\"}}\n", q, a)
		}
		require.NoError(tb, b.Flush())
		require.NoError(tb, f.Close())
	}
	var copies [][2][]byte
	w := newWriter(1)
	every := max(train/(eval/25+1), 1)
	write(trainPath, train, func(i int) ([]byte, []byte) {
		q, a := w.sentence(15), w.sentence(85)
		if i%every == 0 {
			copies = append(copies, [2][]byte{q, a})
		}
		return q, a
	})
	w = newWriter(2)
	write(evalPath, eval, func(i int) ([]byte, []byte) {
		q, a := w.sentence(15), w.sentence(85)
		if i%25 == 0 && i/25 < len(copies) {
			q, a = copies[i/25][0], copies[i/25][1]
			if i%50 == 0 {
				a = append(a, "otherwise"...)
			}
		}
		return q, a
	})
	return trainPath, evalPath
}

// peak watches the memory that the program holds while fn runs.
func peak(fn func()) uint64 {
	var most atomic.Uint64
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		held := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
		for {
			metrics.Read(held)
			most.Store(max(most.Load(), held[0].Value.Uint64()-held[1].Value.Uint64()))
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	}()
	fn()
	close(done)
	<-stopped
	return most.Load()
}

// BenchmarkCheck takes the full size of the promise, a million rows against ten
// thousand in under 60 s and 2 GB on two processors, unless -short is given.
func BenchmarkCheck(b *testing.B) {
	sizes := []struct{ train, eval int }{{20_000, 1_000}, {1_000_000, 10_000}} // the large one takes a gigabyte of disk
	if testing.Short() {
		sizes = sizes[:1]
	}
	for _, size := range sizes {
		b.Run(fmt.Sprintf("%dx%d", size.train, size.eval), func(b *testing.B) {
			train, eval := files(b, size.train, size.eval)
			for b.Loop() {
				var r *contamination.Report
				var err error
				most := peak(func() {
					r, err = contamination.Check(context.Background(), contamination.Options{TrainPath: train, EvalPath: eval})
				})
				require.NoError(b, err)
				require.Equal(b, contamination.Fail, r.Status)
				require.Equal(b, size.eval/50, r.ExactOverlaps)
				require.Equal(b, size.eval/50, r.NearDuplicates)
				b.ReportMetric(float64(most)/(1<<20), "MiB")
			}
			b.ReportMetric(float64(size.train)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
