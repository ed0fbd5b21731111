package source

import (
	"bytes"
	"cmp"
	"context"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/verifily/verifily-tui/runs/regular"
)

// ConfigFile is a file that looks like a train.yaml.
type ConfigFile struct {
	Path     string // as seen from the working directory
	Modified time.Time
}

// Bounds of the search for config files: it is made while somebody waits.
const (
	mostDepth   = 4
	mostEntries = 20_000
	mostConfigs = 200
	mostConfig  = 1 << 20 // bytes
)

// says matches a key that only a train.yaml has at its top; plans of batches
// list jobs.
var (
	says  = regexp.MustCompile(`(?m)^(task|base_model|data_paths)\s*:`)
	lists = regexp.MustCompile(`(?m)^jobs\s*:`)
)

// FindConfigs looks for files that look like a train.yaml below a folder, the
// newest first. Hidden folders and that of the runs are left out.
func FindConfigs(ctx context.Context, root, runsDir string) []ConfigFile {
	var out []ConfigFile
	entries := 0
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		entries++
		switch {
		case ctx.Err() != nil || entries > mostEntries || len(out) >= mostConfigs:
			return fs.SkipAll
		case err != nil:
			return nil // what cannot be read holds no config for us
		case d.IsDir():
			rel, err := filepath.Rel(root, path)
			hidden := strings.HasPrefix(d.Name(), ".") && path != root
			if hidden || err != nil || strings.Count(rel, string(filepath.Separator)) >= mostDepth || same(path, runsDir) || d.Name() == "node_modules" {
				return fs.SkipDir
			}
			return nil
		case filepath.Ext(path) != ".yaml" && filepath.Ext(path) != ".yml":
			return nil
		}
		data, err := regular.Read(path, mostConfig)
		if err != nil || !says.Match(data) || lists.Match(data) || bytes.IndexByte(data, 0) >= 0 {
			return nil
		}
		f := ConfigFile{Path: path}
		if info, err := d.Info(); err == nil {
			f.Modified = info.ModTime()
		}
		out = append(out, f)
		return nil
	})
	slices.SortStableFunc(out, func(a, b ConfigFile) int {
		return cmp.Or(b.Modified.Compare(a.Modified), cmp.Compare(a.Path, b.Path))
	})
	return out
}

func same(a, b string) bool {
	absA, errA := filepath.Abs(a)
	absB, errB := filepath.Abs(b)
	return errA == nil && errB == nil && absA == absB
}
