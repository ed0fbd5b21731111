package artifact_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/dataset/artifact"
	"github.com/verifily/verifily-tui/core/fault"
)

// childVariable makes the test program ingest into a folder with room for few
// bytes and print the error.
const childVariable = "VERIFILY_TEST_INGEST"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		// A full disk ends a write in the middle; so does this limit.
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1000, Max: 1000}); err != nil {
			panic(err)
		}
		_, err := artifact.Ingest(context.Background(), artifact.Options{Input: filepath.Join(dir, "in.csv"),
			OutDir: filepath.Join(dir, "out"), Schema: dataset.Classification})
		fmt.Printf("%T: %v", err, err)
		return
	}
	os.Exit(m.Run())
}

// names lists what is in a folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "in.csv"), []byte("text,label\n"+strings.Repeat("some text,yes\n", 1000)), 0o600))
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+dir)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Equal(t, "*fault.DataError: ingest: "+filepath.Join(dir, "out")+": the artifact cannot be written: file too large", string(out))
	assert.Equal(t, []string{"in.csv"}, names(t, dir))
}

// What a killed program left behind is removed by the next one for the same
// artifact, unless its owner still lives, and no other folder is.
func TestLeftoversAreSwept(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".out.DEADBEEF.tmp", ".out.ALIVE234.tmp", ".other.DEADBEEF.tmp"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name, artifact.DataName), nil, 0o600))
	}
	alive, err := os.Open(filepath.Join(dir, ".out.ALIVE234.tmp"))
	require.NoError(t, err)
	defer alive.Close()
	require.NoError(t, syscall.Flock(int(alive.Fd()), syscall.LOCK_EX))
	ingest(t, artifact.Options{Input: input(t, "a.csv", "text,label\na,b\n"), OutDir: filepath.Join(dir, "out"), Schema: dataset.Classification})
	assert.Equal(t, []string{".other.DEADBEEF.tmp", ".out.ALIVE234.tmp", "out"}, names(t, dir))
}

// Many at once leave one whole artifact and nothing else. Those that come too
// late are told so, unless they are to replace it.
func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	opt := artifact.Options{Input: input(t, "a.csv", "text,label\na,b\n"), OutDir: filepath.Join(dir, "out"), Schema: dataset.Classification}
	for _, overwrite := range []bool{false, true} {
		opt.Overwrite = overwrite
		errs := make([]error, 16)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { _, errs[i] = artifact.Ingest(context.Background(), opt) })
		}
		wg.Wait()
		done := 0
		for _, err := range errs {
			if err == nil {
				done++
				continue
			}
			var bad *fault.DataError
			assert.ErrorAs(t, err, &bad)
		}
		if overwrite {
			assert.Equal(t, len(errs), done, "%v", errs)
		} else {
			assert.Equal(t, 1, done)
		}
		assert.Equal(t, []string{"out"}, names(t, dir))
		a, err := artifact.Load(opt.OutDir)
		require.NoError(t, err)
		_, err = a.Verify(context.Background())
		require.NoError(t, err)
	}
}
