package retrain

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// written makes the directory of a retrain that only waits for its name.
func written(t *testing.T, folder string, n int) *ending {
	t.Helper()
	e := &ending{temp: filepath.Join(folder, fmt.Sprintf(".temp_%d", n)), final: filepath.Join(folder, fmt.Sprintf(numberedName, n))}
	for _, sub := range subfolders {
		require.NoError(t, os.MkdirAll(filepath.Join(e.temp, sub), 0o755))
		e.files = append(e.files, filepath.Join(e.temp, sub, "file"))
		require.NoError(t, os.WriteFile(e.files[len(e.files)-1], []byte("content"), 0o644))
	}
	return e
}

// Many end at once, either way: each is told what became of it, and one that
// cannot end is no matter to the others.
func TestEndTogether(t *testing.T) {
	for name, c := range map[string]costs{"files": {whole: time.Hour}, "file system": {each: time.Hour}} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			p, err := placeOf(folder)
			require.NoError(t, err)
			p.costs = c
			const many, taken, lost = 3 * flushedAtOnce, 7, 8
			endings := make([]*ending, many)
			for i := range endings {
				endings[i] = written(t, folder, i)
			}
			require.NoError(t, os.Mkdir(endings[taken].final, 0o755))
			require.NoError(t, os.RemoveAll(endings[lost].temp))
			errs := make([]error, many)
			var wg sync.WaitGroup
			for i, e := range endings {
				wg.Go(func() { errs[i] = p.end(e) })
			}
			wg.Wait()
			for i, err := range errs {
				switch i {
				case taken:
					assert.ErrorIs(t, err, fs.ErrExist)
				case lost:
					assert.ErrorIs(t, err, fs.ErrNotExist)
				default:
					assert.NoError(t, err)
					assert.FileExists(t, filepath.Join(endings[i].final, "eval", "file"))
				}
			}
		})
	}
}

// One whose context ends does not take those along that wait with it.
func TestGroupWhoseFirstGivesUp(t *testing.T) {
	q := newQueue[int]()
	q.turn <- struct{}{} // somebody is carrying out a group
	var got []int
	carry := func(_ context.Context, items []int) error {
		got = append(got, items...)
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error), make(chan error)
	go func() { first <- q.do(ctx, 1, carry) }()
	waiting := func(n int) func() bool {
		return func() bool {
			q.mu.Lock()
			defer q.mu.Unlock()
			return q.next != nil && len(q.next.items) == n
		}
	}
	for is := waiting(1); !is(); {
	}
	go func() { second <- q.do(t.Context(), 2, carry) }()
	for is := waiting(2); !is(); {
	}
	cancel()
	require.ErrorIs(t, <-first, context.Canceled)
	<-q.turn
	require.NoError(t, <-second)
	assert.Equal(t, []int{2}, got)
}
