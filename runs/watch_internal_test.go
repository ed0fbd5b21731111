package runs

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTellMelts(t *testing.T) {
	type told struct {
		kind  EventKind
		files []string
	}
	for _, c := range []struct {
		name string
		in   []told
		want []told
	}{
		{"changes join", []told{{RunChanged, []string{"b"}}, {RunChanged, []string{"a", "b"}}}, []told{{RunChanged, []string{"a", "b"}}}},
		{"appearance keeps", []told{{RunAppeared, []string{"b"}}, {RunChanged, []string{"a"}}}, []told{{RunAppeared, []string{"a", "b"}}}},
		{"gone wins", []told{{RunChanged, []string{"b"}}, {RunGone, nil}}, []told{{RunGone, nil}}},
		{"never told of", []told{{RunAppeared, []string{"b"}}, {RunGone, nil}}, nil},
		{"came back", []told{{RunGone, nil}, {RunAppeared, []string{"b"}}}, []told{{RunChanged, []string{"b"}}}},
	} {
		w := &watcher{root: "root", pending: map[string]*Event{}}
		for _, e := range c.in {
			w.tell(e.kind, "run", e.files)
		}
		var got []told
		for _, name := range w.order {
			got = append(got, told{w.pending[name].Kind, w.pending[name].Files})
		}
		assert.Equal(t, c.want, got, c.name)
		assert.Len(t, w.pending, len(w.order))
	}
}

// A kernel that refuses to watch one more folder makes the watcher poll.
func TestRefusedNoticesFallBackToPolling(t *testing.T) {
	root := t.TempDir()
	w := &watcher{
		root: root, opt: WatchOptions{Interval: time.Second},
		runs: map[string]snapshot{}, dirty: map[string]bool{}, pending: map[string]*Event{},
	}
	w.lookAtAll()
	require.NotNil(t, w.notices)
	assert.Equal(t, safetyInterval, w.interval(0))
	require.NoError(t, w.notices.Close()) // Add fails from now on

	dir := filepath.Join(root, "one")
	require.NoError(t, os.Mkdir(dir, dirPerm))
	require.NoError(t, os.WriteFile(filepath.Join(dir, metaFile), nil, filePerm))
	w.lookAtAll()
	assert.Equal(t, []string{"one"}, w.order, "the look that found out still counts")
	assert.Nil(t, w.notices)
	assert.Equal(t, time.Second, w.interval(0))
	assert.Equal(t, 10*time.Second, w.interval(time.Second), "long looks are spread out")
	w.lookAtAll()
	assert.Nil(t, w.notices, "and it stays so")
}
