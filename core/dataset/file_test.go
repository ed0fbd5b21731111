package dataset_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/fault"
)

const maxLine = 16 << 20

// open opens a data file for the time of the test.
func open(t testing.TB, path, task string) *dataset.File {
	t.Helper()
	f, err := dataset.Open(context.Background(), path, task)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f
}

func classRow(text, label string) string {
	return fmt.Sprintf(`{"text":%q,"label":%q}`, text, label) + "\n"
}

// classFile writes n rows.
func classFile(t testing.TB, path string, n int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		b.WriteString(classRow(fmt.Sprint("text ", i), []string{"yes", "no"}[i%2]))
	}
	return write(t, path, b.String())
}

func TestProblemsBeyondTheFirstTwentyAreCounted(t *testing.T) {
	var b strings.Builder
	for i := range 30 {
		fmt.Fprintf(&b, `{"text":"a","label":"b","tags":{"t%d":1}}`+"\n", i)
	}
	path := write(t, "rows.jsonl", b.String())
	_, err := scan(path, dataset.Classification)
	d := dataError(t, err, path)
	assert.Equal(t, "30 of 30 rows are bad; 20 of 30 problems are shown", d.Reason)
	require.Len(t, d.Problems, 20)
	assert.Equal(t, 20, d.Problems[19].Line)
}

// TestEqualProblemsAreFolded: a mistake made in many rows is shown three times
// and then counted, so that another one is seen beside it.
func TestEqualProblemsAreFolded(t *testing.T) {
	var b strings.Builder
	for i := range 60 {
		switch {
		case i == 40:
			b.WriteString(`{"text":5,"label":"b"}` + "\n")
		case i%2 == 0:
			b.WriteString(`{"label":"b"}` + "\n")
		default:
			b.WriteString(classRow("a", "b"))
		}
	}
	path := write(t, "rows.jsonl", b.String())
	_, err := scan(path, dataset.Classification)
	d := dataError(t, err, path)
	assert.Equal(t, "30 of 60 rows are bad", d.Reason)
	var got []string
	for _, p := range d.Problems {
		got = append(got, fmt.Sprintf("%d %s %s", p.Line, p.Key, p.Reason))
	}
	assert.Equal(t, []string{"1 text is missing", "3 text is missing", "5 text is missing",
		"41 text a number where a string belongs", "0 text is missing, in 26 more rows, the last on line 59"}, got)

	path = write(t, "rows.jsonl", strings.Repeat("{\n", 4))
	_, err = scan(path, dataset.Classification)
	problems := dataError(t, err, path).Problems
	require.Len(t, problems, 4)
	assert.Contains(t, problems[3].Reason, ", also on line 4")
}

func TestRowsOfTheOtherTask(t *testing.T) {
	const sft = `{"instruction":"a","output":"b"}` + "\n"
	path := write(t, "rows.jsonl", strings.Repeat(sft, 30))
	_, err := scan(path, dataset.Classification)
	d := dataError(t, err, path)
	assert.Equal(t, "these are rows of task sft, and the task is classification", d.Reason)
	assert.Equal(t, "set task: sft", d.Hint)
	assert.Empty(t, d.Problems)

	path = write(t, "rows.jsonl", strings.Repeat(classRow("a", "b"), 3))
	_, err = scan(path, dataset.SFT)
	assert.Equal(t, "set task: classification", dataError(t, err, path).Hint)

	path = write(t, "rows.jsonl", classRow("a", "b")+strings.Repeat(sft, 5))
	_, err = scan(path, dataset.Classification)
	d = dataError(t, err, path)
	assert.Contains(t, d.Hint, "mixes two tasks")
	require.Len(t, d.Problems, 4)
	assert.Contains(t, d.Problems[0].String(), "rows.jsonl:2: is a row of task sft")

	// A row torn after the fields of the other task is torn and no more.
	path = write(t, "rows.jsonl", `{"instruction":"a","output":"b"`)
	_, err = scan(path, dataset.Classification)
	d = dataError(t, err, path)
	require.Len(t, d.Problems, 1)
	assert.Contains(t, d.Problems[0].Reason, "broken JSON")
}

func TestLongLines(t *testing.T) {
	row := func(size int) string {
		return strings.Replace(classRow("", "x"), `""`, `"`+strings.Repeat("a", size-len(classRow("", "x"))+1)+`"`, 1)
	}
	tests := []struct {
		name, text string
		bad        []int
	}{
		{"as long as allowed", row(maxLine) + row(100), nil},
		{"with a mark and CRLF", "\ufeff" + strings.Replace(row(maxLine), "\n", "\r\n", 1) + row(100), nil},
		{"without a line break", row(100) + strings.TrimSuffix(row(maxLine), "\n"), nil},
		{"one byte longer", row(100) + row(maxLine+1) + row(100), []int{2}},
		{"much longer, at the end", row(100) + strings.Repeat(" ", 3*maxLine), []int{2}},
		{"two", row(2*maxLine) + row(100) + row(maxLine+9), []int{1, 3}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, "rows.jsonl", tt.text)
			rows, err := scan(path, dataset.Classification)
			assert.Len(t, rows, strings.Count(strings.TrimSuffix(tt.text, "\n"), "\n")+1-len(tt.bad))
			if tt.bad == nil {
				require.NoError(t, err)
				last, err := open(t, path, dataset.Classification).Row(1)
				require.NoError(t, err)
				assert.Equal(t, rows[1], last)
				return
			}
			var lines []int
			for _, p := range dataError(t, err, path).Problems {
				assert.Equal(t, "the line is longer than 16 MiB", p.Reason)
				lines = append(lines, p.Line)
			}
			assert.Equal(t, tt.bad, lines)
		})
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o644))
	loop := filepath.Join(dir, "loop")
	require.NoError(t, os.Symlink(loop, loop))
	tests := []struct{ name, path, reason string }{
		{"empty", write(t, filepath.Join(dir, "empty"), ""), "holds no rows"},
		{"only a mark", write(t, filepath.Join(dir, "mark"), "\ufeff"), "holds no rows"},
		{"only blank lines", write(t, filepath.Join(dir, "blank"), "\n \r\n\t"), "holds no rows"},
		{"missing", filepath.Join(dir, "none"), "no such file"},
		{"below a file", filepath.Join(dir, "empty", "x"), "cannot be opened"},
		{"folder", dir, "is a folder"},
		{"pipe", pipe, "is a pipe"},
		{"device", os.DevNull, "not a regular file"},
		{"link to itself", loop, "cannot be opened"},
		{"no path", "", "no such file"},
		{"NUL in the path", "a\x00b", "cannot be opened"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := scan(tt.path, dataset.SFT)
			assert.Contains(t, dataError(t, err, tt.path).Reason, tt.reason)
			_, err = dataset.Open(context.Background(), tt.path, dataset.SFT)
			assert.Contains(t, dataError(t, err, tt.path).Reason, tt.reason)
		})
	}
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink(write(t, filepath.Join(dir, "real"), classRow("a", "b")), link))
	rows, err := scan(link, dataset.Classification)
	require.NoError(t, err)
	assert.Len(t, rows, 1)
}

func TestUnknownTask(t *testing.T) {
	path := write(t, "rows.jsonl", classRow("a", "b"))
	var config *fault.ConfigError
	_, err := scan(path, "regression")
	require.ErrorAs(t, err, &config)
	_, err = dataset.Open(context.Background(), path, "")
	require.ErrorAs(t, err, &config)
}

func TestScanStops(t *testing.T) {
	path := classFile(t, "rows.jsonl", 10)
	ctx, cancel := context.WithCancel(context.Background())
	seen := 0
	err := dataset.Scan(ctx, path, dataset.Classification, func(dataset.Row) error {
		if seen++; seen == 3 {
			cancel()
		}
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, 3, seen)
	_, err = dataset.Open(ctx, path, dataset.Classification)
	require.ErrorIs(t, err, context.Canceled)

	mine := errors.New("enough")
	err = dataset.Scan(context.Background(), path, dataset.Classification, func(dataset.Row) error { return mine })
	require.Equal(t, mine, err)
}

func TestAnyRowOfAFile(t *testing.T) {
	var text strings.Builder
	text.WriteString("\ufeff")
	for i := range 300 {
		fmt.Fprintf(&text, `{"text":"%d%s","label":"%d","tags":{"parity":"%d"}}`, i, strings.Repeat("é", i), i%3, i%2)
		text.WriteString([]string{"\n", "\r\n", "\n\n", "\n \n\r\n"}[i%4])
	}
	path := write(t, "rows.jsonl", text.String())
	want, err := scan(path, dataset.Classification)
	require.NoError(t, err)
	f := open(t, path, dataset.Classification)
	require.Equal(t, 300, f.Len())

	var wait sync.WaitGroup
	for worker := range 4 {
		wait.Go(func() {
			for k := range want {
				i := (k*7 + worker) % len(want)
				row, err := f.Row(i)
				if !assert.NoError(t, err) || !assert.Equal(t, want[i], row) {
					return
				}
			}
		})
	}
	wait.Wait()

	assert.Equal(t, path, f.Path())
	assert.Equal(t, dataset.Classification, f.Task())
	assert.Equal(t, int64(text.Len()), f.Size())
	assert.Equal(t, fmt.Sprintf("%x", sha256.Sum256([]byte(text.String()))), f.SHA256())
	assert.Equal(t, []dataset.Count{{Value: "0", Rows: 100}, {Value: "1", Rows: 100}, {Value: "2", Rows: 100}}, f.Labels())
	assert.Equal(t, []string{"parity"}, f.TagKeys())
	assert.Equal(t, []dataset.Tag{{Key: "parity", Rows: 300, Values: []dataset.Count{{Value: "0", Rows: 150}, {Value: "1", Rows: 150}}}}, f.Tags())
	for _, i := range []int{-1, 300} {
		_, err := f.Row(i)
		var data *fault.DataError
		require.ErrorAs(t, err, &data, "row %d", i)
	}
}

func TestSFTFilesHaveNoLabels(t *testing.T) {
	f := open(t, write(t, "rows.jsonl", `{"instruction":"a","output":"b","label":"c"}`), dataset.SFT)
	assert.Nil(t, f.Labels())
	assert.Empty(t, f.TagKeys())
}

func TestCountsAreBounded(t *testing.T) {
	var text strings.Builder
	for i := range 1100 {
		fmt.Fprintf(&text, `{"text":"a","label":"b","tags":{"all":"%d","key%04d":"x"}}`+"\n", i, i)
	}
	tags := open(t, write(t, "tags.jsonl", text.String()), dataset.Classification).Tags()
	require.Len(t, tags, 256)
	assert.Equal(t, "all", tags[0].Key)
	assert.Equal(t, 1100, tags[0].Rows)
	assert.Len(t, tags[0].Values, 1000)
	assert.True(t, tags[0].More)
	assert.False(t, tags[1].More)

	text.Reset()
	for i := range 65537 {
		text.WriteString(classRow("a", fmt.Sprint(i)))
	}
	path := write(t, "labels.jsonl", text.String())
	_, err := dataset.Open(context.Background(), path, dataset.Classification)
	d := dataError(t, err, path)
	assert.Equal(t, "more than 65536 different labels", d.Reason)
	assert.Equal(t, 65537, d.Line)
}

func TestAFileThatChangesIsNoticed(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, path string, was fs.FileInfo)
		reason string // "" when nothing is wrong
	}{
		{"grown", func(t *testing.T, path string, _ fs.FileInfo) {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.WriteString(classRow("new", "x"))
			require.NoError(t, err)
			require.NoError(t, f.Close())
		}, "it had"},
		{"cut", func(t *testing.T, path string, _ fs.FileInfo) {
			require.NoError(t, os.Truncate(path, 5))
		}, "bytes and has 5 now"},
		{"touched", func(t *testing.T, path string, was fs.FileInfo) {
			require.NoError(t, os.Chtimes(path, time.Time{}, was.ModTime().Add(time.Second)))
		}, "it was written to at"},
		{"written over with the time put back", func(t *testing.T, path string, was fs.FileInfo) {
			require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("x", int(was.Size()))), 0o644))
			require.NoError(t, os.Chtimes(path, time.Time{}, was.ModTime()))
		}, "the row was good when the file was opened"},
		{"replaced by another", func(t *testing.T, path string, _ fs.FileInfo) {
			require.NoError(t, os.Rename(write(t, "other", "x"), path))
		}, ""},
		{"removed", func(t *testing.T, path string, _ fs.FileInfo) {
			require.NoError(t, os.Remove(path))
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := classFile(t, "rows.jsonl", 3)
			f := open(t, path, dataset.Classification)
			was, err := os.Stat(path)
			require.NoError(t, err)
			tt.change(t, path, was)
			row, err := f.Row(1)
			if tt.reason == "" {
				require.NoError(t, err)
				assert.Equal(t, "text 1", row.Text)
				return
			}
			d := dataError(t, err, path)
			assert.Equal(t, 2, d.Line)
			assert.ErrorIs(t, err, dataset.ErrChanged)
			assert.ErrorContains(t, err, tt.reason)
		})
	}
}

func TestClosedFile(t *testing.T) {
	path := classFile(t, "rows.jsonl", 1)
	f := open(t, path, dataset.Classification)
	require.NoError(t, f.Close())
	require.NoError(t, f.Close(), "closing twice is harmless")
	_, err := f.Row(0)
	dataError(t, err, path)
}

// rowsOfLength makes about 8 MB of rows with texts of n bytes.
func rowsOfLength(b *testing.B, n int) string {
	var text strings.Builder
	for i := 0; text.Len() < 8<<20; i++ {
		fmt.Fprintf(&text, `{"instruction": "Answer \"briefly\"", "input": "%s", "output": "%s", "tags": {"source": "s%d"}, "id": "row_%016x"}`+"\n",
			strings.Repeat("word ", n/8), strings.Repeat("token ", n/16), i%7, i)
	}
	path := write(b, "rows.jsonl", text.String())
	b.SetBytes(int64(text.Len()))
	return path
}

func BenchmarkScan(b *testing.B) {
	for _, n := range []int{64, 2048} {
		b.Run(fmt.Sprint("text=", n), func(b *testing.B) {
			path := rowsOfLength(b, n)
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, dataset.Scan(context.Background(), path, dataset.SFT, func(dataset.Row) error { return nil }))
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{64, 2048} {
		b.Run(fmt.Sprint("text=", n), func(b *testing.B) {
			path := rowsOfLength(b, n)
			b.ReportAllocs()
			for b.Loop() {
				f, err := dataset.Open(context.Background(), path, dataset.SFT)
				require.NoError(b, err)
				require.NoError(b, f.Close())
			}
		})
	}
}

func BenchmarkRow(b *testing.B) {
	f := open(b, rowsOfLength(b, 64), dataset.SFT)
	b.SetBytes(f.Size() / int64(f.Len()))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		_, err := f.Row(i % f.Len())
		require.NoError(b, err)
		i += 7919
	}
}
