package dataset_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/fault"
)

// resolve resolves spec, as task classification unless it says otherwise.
func resolve(t *testing.T, spec dataset.Spec) (*dataset.Resolved, error) {
	t.Helper()
	if spec.Task == "" {
		spec.Task = dataset.Classification
	}
	r, err := dataset.Resolve(context.Background(), spec)
	if err == nil {
		t.Cleanup(func() { require.NoError(t, r.Close()) })
	} else {
		require.Nil(t, r)
	}
	return r, err
}

func resolved(t *testing.T, spec dataset.Spec) *dataset.Resolved {
	t.Helper()
	r, err := resolve(t, spec)
	require.NoError(t, err)
	return r
}

func TestExplicitPaths(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "My data")
	train := classFile(t, filepath.Join(dir, "train.jsonl"), 6)
	val := classFile(t, filepath.Join(dir, "more", "val.jsonl"), 4)
	test := classFile(t, "train.jsonl", 2)
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for i, path := range []string{val, train, test} {
		require.NoError(t, os.Chtimes(path, at, at.Add(-time.Duration(i)*time.Hour)))
	}
	r := resolved(t, dataset.Spec{Train: &train, Val: &val, Test: &test})
	assert.Equal(t, 6, r.Train.Len())
	assert.Equal(t, 4, r.Val.Len())
	assert.Equal(t, 2, r.Test.Len())
	assert.Empty(t, r.Warnings)
	assert.Empty(t, r.ManifestPath)
	assert.Equal(t, "sha256:"+r.Train.SHA256(), r.DataHash)
	assert.Equal(t, "My-data@local", r.Version)

	m := r.Manifest
	assert.Equal(t, 12, m.NumRows)
	assert.Equal(t, "2026-03-04T05:06:07Z", m.CreatedAt, "the time of the youngest file")
	var names []string
	for _, f := range m.Files {
		names = append(names, f.Split+" "+f.Path)
	}
	assert.Equal(t, []string{"train train.jsonl", "val more/val.jsonl", "test test/train.jsonl"}, names)
	data, err := m.JSON()
	require.NoError(t, err)
	again, err := dataset.LoadManifest(write(t, dataset.ManifestName, string(data)))
	require.NoError(t, err, "a run can write it and readers can read it")
	assert.Equal(t, m.Files, again.Files)

	r = resolved(t, dataset.Spec{Train: &train})
	assert.Nil(t, r.Val)
	assert.Nil(t, r.Test)
}

// TestWorkingDir: relative paths lead from the current folder and, where that
// has nothing there, from the folder that a run was started in.
func TestWorkingDir(t *testing.T) {
	started, here := t.TempDir(), t.TempDir()
	classFile(t, filepath.Join(started, "data", "train.jsonl"), 4)
	classFile(t, filepath.Join(started, "data", "test.jsonl"), 6)
	classFile(t, filepath.Join(here, "data", "test.jsonl"), 2)
	version(t, filepath.Join(started, "runs", "words"), "words", "1", "", "train")
	t.Chdir(here)
	train, test, gone, ref := "data/train.jsonl", "data/test.jsonl", "data/gone.jsonl", "words@1"
	r := resolved(t, dataset.Spec{Train: &train, Test: &test, WorkingDir: started})
	assert.Equal(t, filepath.Join(started, train), r.Train.Path())
	assert.Equal(t, 2, r.Test.Len(), "the current folder comes first")
	r = resolved(t, dataset.Spec{DatasetVersion: &ref, SearchDir: "runs", WorkingDir: started})
	assert.Equal(t, ref, r.Version)

	_, err := resolve(t, dataset.Spec{Train: &train, Val: &gone, WorkingDir: started})
	d := dataError(t, err, gone)
	assert.Equal(t, "no such file", d.Reason)
	assert.Contains(t, d.Hint, started)
	_, err = resolve(t, dataset.Spec{Train: &train})
	dataError(t, err, train)
}

func TestEqualSplitsAreWarnedOf(t *testing.T) {
	dir := t.TempDir()
	a, b, c := classFile(t, filepath.Join(dir, "a.jsonl"), 4), classFile(t, filepath.Join(dir, "b.jsonl"), 4), classFile(t, filepath.Join(dir, "c.jsonl"), 6)
	r := resolved(t, dataset.Spec{Train: &a, Val: &b, Test: &a})
	require.Len(t, r.Warnings, 2)
	assert.Contains(t, r.Warnings[0], "the val file is the train file")
	assert.Contains(t, r.Warnings[1], "the test file is the train file")
	r = resolved(t, dataset.Spec{Train: &c, Val: &a, Test: &b})
	require.Len(t, r.Warnings, 1)
	assert.Contains(t, r.Warnings[0], "the test file is the val file")
}

func TestTheManifestBesideExplicitPaths(t *testing.T) {
	setup := func(t *testing.T) (dir string, train, val string) {
		dir = t.TempDir()
		version(t, dir, "words", "1", "", "train", "val")
		return dir, filepath.Join(dir, "train.jsonl"), filepath.Join(dir, "val.jsonl")
	}
	t.Run("is used", func(t *testing.T) {
		dir, train, val := setup(t)
		r := resolved(t, dataset.Spec{Train: &train, Val: &val})
		assert.Equal(t, "words@1", r.Version)
		assert.Equal(t, filepath.Join(dir, "manifest.json"), r.ManifestPath)
		assert.Empty(t, r.Warnings)
	})
	t.Run("is found by a relative path", func(t *testing.T) {
		dir, _, _ := setup(t)
		t.Chdir(dir)
		train := "train.jsonl"
		assert.Equal(t, "words@1", resolved(t, dataset.Spec{Train: &train}).Version)
	})
	t.Run("does not match", func(t *testing.T) {
		dir, train, _ := setup(t)
		classFile(t, train, 5)
		_, err := resolve(t, dataset.Spec{Train: &train})
		d := dataError(t, err, filepath.Join(dir, "manifest.json"))
		require.Len(t, d.Problems, 2)
		assert.Contains(t, d.Problems[0].String(), "train.jsonl: sha256: does not match")
	})
	t.Run("does not match, and a row is bad", func(t *testing.T) {
		dir, train, _ := setup(t)
		write(t, train, "{\n")
		_, err := resolve(t, dataset.Spec{Train: &train})
		problems := dataError(t, err, filepath.Join(dir, "manifest.json")).Problems
		require.Len(t, problems, 2)
		assert.Equal(t, "sha256", problems[0].Key)
		assert.Equal(t, 1, problems[1].Line)
	})
	t.Run("is malformed", func(t *testing.T) {
		dir, train, _ := setup(t)
		edit(t, filepath.Join(dir, "manifest.json"), func(m map[string]any) { delete(m, "version") })
		_, err := resolve(t, dataset.Spec{Train: &train})
		assert.Contains(t, dataError(t, err, filepath.Join(dir, "manifest.json")).Problems[0].String(), "version: is missing")
	})
	t.Run("contradicts itself", func(t *testing.T) {
		dir, train, _ := setup(t)
		edit(t, filepath.Join(dir, "manifest.json"), func(m map[string]any) { m["content_hash"] = "chain:1" })
		_, err := resolve(t, dataset.Spec{Train: &train})
		assert.Equal(t, "content_hash", dataError(t, err, filepath.Join(dir, "manifest.json")).Problems[0].Key)
	})
	for name, text := range map[string]string{
		"describes something else": `{"schema":"sft","row_count_in":3,"files":[{"path":"other.jsonl"}]}`,
		"is no list of files":      `{"files":{"train.jsonl":1}}`,
		"is not JSON":              `manifest`,
	} {
		t.Run(name, func(t *testing.T) {
			dir, train, _ := setup(t)
			write(t, filepath.Join(dir, "manifest.json"), text)
			r := resolved(t, dataset.Spec{Train: &train})
			assert.Equal(t, "local", r.Manifest.Version)
			assert.Empty(t, r.Warnings)
		})
	}
	t.Run("is a pipe", func(t *testing.T) {
		dir, train, _ := setup(t)
		name := filepath.Join(dir, "manifest.json")
		require.NoError(t, os.Remove(name))
		require.NoError(t, syscall.Mkfifo(name, 0o644))
		r := resolved(t, dataset.Spec{Train: &train})
		require.Len(t, r.Warnings, 1)
		assert.Contains(t, r.Warnings[0], "is not used: is a pipe")
	})
	t.Run("is for another task", func(t *testing.T) {
		dir, train, _ := setup(t)
		edit(t, filepath.Join(dir, "manifest.json"), func(m map[string]any) { m["task"] = "sft" })
		r := resolved(t, dataset.Spec{Train: &train})
		assert.Equal(t, "local", r.Manifest.Version)
		assert.Contains(t, r.Warnings[0], "it is for task sft")
	})
	t.Run("does not list all", func(t *testing.T) {
		_, train, val := setup(t)
		test := classFile(t, "test.jsonl", 3)
		r := resolved(t, dataset.Spec{Train: &train, Val: &val, Test: &test})
		assert.Equal(t, "local", r.Manifest.Version)
		assert.Len(t, r.Manifest.Files, 3)
		classFile(t, val, 9)
		_, err := resolve(t, dataset.Spec{Train: &train, Val: &val, Test: &test})
		require.ErrorContains(t, err, "does not match", "what is listed is verified all the same")
	})
	t.Run("lists the file as another split", func(t *testing.T) {
		_, train, val := setup(t)
		r := resolved(t, dataset.Spec{Train: &val, Test: &train})
		assert.Equal(t, []string{"data_paths.train is the val split of words@1", "data_paths.test is the train split of words@1"}, r.Warnings)
		assert.Equal(t, "local", r.Manifest.Version)
	})
}

func TestVersions(t *testing.T) {
	ref := "words@1"
	tests := []struct {
		name, dir string // below the search folder
		found     bool
	}{
		{"at the top", ".", true},
		{"in datasets", "datasets/words/1", true},
		{"as deep as is searched", "a/b/c/d/e", true},
		{"deeper", "a/b/c/d/e/f", false},
		{"in a run", "run_20260101_000000_abcdef", false},
		{"below a run", "run_20260101_000000_abcdef/data", false},
		{"in a checkpoint", "checkpoints/checkpoint-5", false},
		{"hidden", ".cache/words", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			top := t.TempDir()
			write(t, filepath.Join(top, "run_20260101_000000_abcdef", "run_meta.json"), "{}")
			path := version(t, filepath.Join(top, tt.dir), "words", "1", "", "train", "val", "test")
			r, err := resolve(t, dataset.Spec{DatasetVersion: &ref, SearchDir: top})
			if !tt.found {
				assert.Contains(t, dataError(t, err, top).Reason, "looking versions up over an API is not available yet")
				return
			}
			require.NoError(t, err)
			assert.Equal(t, ref, r.Version)
			assert.Equal(t, path, r.ManifestPath)
			assert.Equal(t, []int{3, 4, 5}, []int{r.Train.Len(), r.Val.Len(), r.Test.Len()})
		})
	}
}

func TestVersionsBehindALink(t *testing.T) {
	ref, top, real := "words@1", t.TempDir(), t.TempDir()
	version(t, filepath.Join(real, "words"), "words", "1", "", "train")
	require.NoError(t, os.Symlink(real, filepath.Join(top, "datasets")))
	require.NoError(t, os.Symlink(top, filepath.Join(real, "words", "round")))
	r := resolved(t, dataset.Spec{DatasetVersion: &ref, SearchDir: top})
	assert.Equal(t, filepath.Join(top, "datasets", "words", "manifest.json"), r.ManifestPath)
	assert.Nil(t, r.Val)
}

func TestVersionsThatDoNotFit(t *testing.T) {
	ref := "words@1"
	tests := []struct {
		name  string
		setup func(t *testing.T, top string) (path string) // the path that the error is about
		want  string
	}{
		{"no folder", func(t *testing.T, top string) string { require.NoError(t, os.Remove(top)); return top }, "there is no such folder"},
		{"nothing there", func(t *testing.T, top string) string { return top }, "words@1 was not found"},
		{"other versions", func(t *testing.T, top string) string {
			version(t, filepath.Join(top, "b"), "words", "3", "", "train")
			version(t, filepath.Join(top, "a"), "words", "2", "", "train")
			version(t, filepath.Join(top, "c"), "birds", "1", "", "train")
			return top
		}, `found "words@2", "words@3"`},
		{"unreadable manifest", func(t *testing.T, top string) string {
			write(t, filepath.Join(top, "a", "manifest.json"), `{"dataset_id": "words", "ver`)
			return top
		}, "a/manifest.json: broken JSON"},
		{"malformed manifest", func(t *testing.T, top string) string {
			edit(t, version(t, top, "words", "1", "", "train"), func(m map[string]any) { delete(m, "task") })
			return top
		}, "task: is missing"},
		{"a pipe as manifest", func(t *testing.T, top string) string {
			require.NoError(t, syscall.Mkfifo(filepath.Join(top, "manifest.json"), 0o644))
			return top
		}, "manifest.json: is a pipe"},
		{"different data", func(t *testing.T, top string) string {
			version(t, filepath.Join(top, "a"), "words", "1", "", "train")
			version(t, filepath.Join(top, "b"), "words", "1", "!", "train")
			return ""
		}, "2 manifests of words@1 list different data"},
		{"changed file", func(t *testing.T, top string) string {
			path := version(t, top, "words", "1", "", "train", "test")
			classFile(t, filepath.Join(top, "test.jsonl"), 3)
			return path
		}, "test.jsonl: sha256: does not match"},
		{"missing file", func(t *testing.T, top string) string {
			version(t, top, "words", "1", "", "train", "test")
			path := filepath.Join(top, "test.jsonl")
			require.NoError(t, os.Remove(path))
			return path
		}, "no such file"},
		{"pipe for a file", func(t *testing.T, top string) string {
			version(t, top, "words", "1", "", "train", "test")
			path := filepath.Join(top, "test.jsonl")
			require.NoError(t, os.Remove(path))
			require.NoError(t, syscall.Mkfifo(path, 0o644))
			return path
		}, "is a pipe"},
		{"other task", func(t *testing.T, top string) string {
			path := version(t, top, "words", "1", "", "train")
			edit(t, path, func(m map[string]any) { m["task"] = "sft" })
			return path
		}, "words@1 is for task sft"},
		{"no train split", func(t *testing.T, top string) string {
			return version(t, top, "words", "1", "", "val", "test")
		}, "words@1 has no train split"},
		{"two train files", func(t *testing.T, top string) string {
			path := version(t, top, "words", "1", "", "train", "val")
			edit(t, path, func(m map[string]any) { entry(m, 1)["split"] = "train" })
			return path
		}, "words@1 has 2 files in its train split"},
		{"false content hash", func(t *testing.T, top string) string {
			path := version(t, top, "words", "1", "", "train")
			edit(t, path, func(m map[string]any) { m["content_hash"] = "chain:00" })
			return path
		}, "content_hash: does not match"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			top := t.TempDir()
			path := tt.setup(t, top)
			_, err := resolve(t, dataset.Spec{DatasetVersion: &ref, SearchDir: top})
			dataError(t, err, path)
			assert.ErrorContains(t, err, tt.want)
		})
	}
}

func TestCopiesOfAVersion(t *testing.T) {
	ref, top := "words@1", t.TempDir()
	first := version(t, filepath.Join(top, "a"), "words", "1", "", "train")
	second := version(t, filepath.Join(top, "b"), "words", "1", "", "train")
	assert.Equal(t, first, resolved(t, dataset.Spec{DatasetVersion: &ref, SearchDir: top}).ManifestPath)
	require.NoError(t, os.Remove(filepath.Join(top, "a", "train.jsonl")))
	assert.Equal(t, second, resolved(t, dataset.Spec{DatasetVersion: &ref, SearchDir: top}).ManifestPath)
}

func TestExplicitPathsComeFirst(t *testing.T) {
	ref, top := "words@1", t.TempDir()
	version(t, top, "words", "1", "", "train", "val", "test")
	own := classFile(t, "own.jsonl", 7)

	r := resolved(t, dataset.Spec{Train: &own, DatasetVersion: &ref, SearchDir: top})
	assert.Equal(t, 7, r.Train.Len())
	assert.Nil(t, r.Test, "the version is not used at all")
	assert.Contains(t, r.Warnings[0], `dataset_version "words@1" is not used`)

	r = resolved(t, dataset.Spec{Test: &own, DatasetVersion: &ref, SearchDir: top})
	assert.Equal(t, []int{3, 4, 7}, []int{r.Train.Len(), r.Val.Len(), r.Test.Len()})
	assert.Equal(t, []string{"data_paths.test is used instead of the test split of words@1"}, r.Warnings)
	assert.Equal(t, "local", r.Manifest.Version)
	assert.Equal(t, r.Test.SHA256(), r.Manifest.Of("test")[0].SHA256)
}

func TestTheSameFileTwiceIsWarnedOf(t *testing.T) {
	train := classFile(t, "train.jsonl", 5)
	copied := classFile(t, "test.jsonl", 5)
	r := resolved(t, dataset.Spec{Train: &train, Val: &train, Test: &copied})
	require.Len(t, r.Warnings, 2)
	assert.True(t, strings.HasPrefix(r.Warnings[0], "the val file is the train file"), r.Warnings[0])
	assert.True(t, strings.HasPrefix(r.Warnings[1], "the test file is the train file"), r.Warnings[1])
	data, err := r.Manifest.JSON()
	require.NoError(t, err)
	assert.True(t, json.Valid(data))
	assert.NotEqual(t, r.Manifest.Files[0].Path, r.Manifest.Files[1].Path)
}

func TestWrongArguments(t *testing.T) {
	train, empty, bad := classFile(t, "train.jsonl", 1), "", "words"
	for name, spec := range map[string]dataset.Spec{
		"no data":       {Task: dataset.SFT},
		"empty paths":   {Task: dataset.SFT, Train: &empty, DatasetVersion: &empty},
		"unknown task":  {Task: "rank", Train: &train},
		"no version":    {Task: dataset.SFT, DatasetVersion: &bad},
		"only test set": {Task: dataset.Classification, Test: &train},
	} {
		_, err := dataset.Resolve(context.Background(), spec)
		var config *fault.ConfigError
		require.ErrorAs(t, err, &config, name)
		assert.NotEmpty(t, config.Hint, name)
	}
	missing := filepath.Join(t.TempDir(), "none.jsonl")
	_, err := resolve(t, dataset.Spec{Train: &train, Test: &missing})
	dataError(t, err, missing)
}

func TestACancelledResolve(t *testing.T) {
	ref, top := "words@1", t.TempDir()
	path := version(t, top, "words", "1", "", "train")
	train := filepath.Join(filepath.Dir(path), "train.jsonl")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, spec := range []dataset.Spec{
		{Task: dataset.Classification, Train: &train},
		{Task: dataset.Classification, DatasetVersion: &ref, SearchDir: top},
	} {
		_, err := dataset.Resolve(ctx, spec)
		require.ErrorIs(t, err, context.Canceled)
	}
}
