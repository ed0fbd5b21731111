package batch

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs/regular"
)

// checkTestData reports test data of an evaluation that cannot be read.
func (r *planReader) checkTestData(dr draft) {
	path := dr.eval.TestData
	if path == "" {
		return
	}
	key, set := dr.name+".eval.test_data", dr.evalKeys
	isTestData := func(s Setting) bool { return s.Key == "data_paths.test" }
	i := slices.IndexFunc(set, isTestData)
	if i < 0 {
		key, set = "defaults.eval.test_data", r.defaults.evalKeys
		i = slices.IndexFunc(set, isTestData)
	}
	file, err := regular.Open(path)
	if err == nil {
		_ = file.Close() // nothing was written
		return
	}
	if errors.Is(err, fs.ErrNotExist) {
		r.report(set[i].line, key, "there is no "+text.Escape(path), nearFile(path))
		return
	}
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		err = p.Err
	}
	r.report(set[i].line, key, "cannot read "+text.Escape(path)+": "+err.Error(), "name a file of test data")
}

// nearFile is the hint that names a file whose name is like that of one that is
// not there.
func nearFile(path string) string {
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "check the path"
	}
	var files, stems []string // endings are too much alike to tell names apart
	for _, e := range entries {
		if !e.IsDir() {
			files = append(files, e.Name())
			stems = append(stems, stem(e.Name()))
		}
	}
	if near, close := config.Nearest(stem(path), stems); close {
		return "did you mean " + text.Escape(filepath.Join(dir, files[slices.Index(stems, near)])) + "?"
	}
	return "check the path"
}

// stem is the name of a file without its ending.
func stem(path string) string {
	return strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
}

// checkEvaluations reports evaluations of the same run on the same data, the
// results of which would replace each other.
func (r *planReader) checkEvaluations(names map[string]int) {
	first := map[[2]string]*Job{} // by run and data
	for i := range r.plan.Jobs {
		j := &r.plan.Jobs[i]
		if j.Run == "" {
			continue
		}
		what := [2]string{j.Run, j.Eval.TestData}
		if first[what] == nil {
			first[what] = j
			at, ok := names[j.Run]
			if !ok || r.plan.Jobs[at].Config == nil || j.Eval.TestData != "" {
				continue // nobody else evaluates it
			}
			first[what] = &r.plan.Jobs[at]
		}
		if other := first[what]; !sameEvaluation(other, j) {
			r.report(j.lines.of("eval"), j.Name+".eval", "is of the same run and data as that of the job "+other.Name+", and one would replace the other", "make one evaluation of both, or set another test_data")
		}
	}
}

// sameEvaluation says whether a job that evaluates finds what another does.
func sameEvaluation(other, j *Job) bool {
	e := other.Eval
	if c := other.Config; c != nil {
		if !c.Eval.Enabled {
			return true
		}
		e = j.Eval // what it does not set is left to the run
		if e.Metrics != nil {
			e.Metrics = c.MetricNames()
		}
		if e.SliceBy != nil {
			e.SliceBy = c.Eval.SliceByTags
		}
		if e.HardExamples != nil {
			e.HardExamples = &c.Eval.HardExamples
		}
	}
	return slices.Equal(e.Metrics, j.Eval.Metrics) && slices.Equal(e.SliceBy, j.Eval.SliceBy) && valueOf(e.HardExamples) == valueOf(j.Eval.HardExamples)
}

func valueOf(n *int) int {
	if n == nil {
		return -1
	}
	return *n
}
