package tui

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/verifily/verifily-tui/core/filter"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/source"
)

// row is a run in the table, with what the table sorts by worked out.
type row struct {
	e       runs.Entry
	dir     string
	name    string
	metric  string // the primary one, empty where there is none
	value   float64
	has     bool
	started time.Time
	words   string
	extra   map[string]any // config keys that filters asked for
}

// table is the list of runs: which are shown, in what order, and where the
// cursor is. The cursor is on a run, not on a line: it stays on it when the
// order changes.
type table struct {
	all    []*row
	byDir  map[string]*row
	shown  []*row
	cursor string
	top    int
	height int // lines of the page, as last drawn for

	filter    string
	query     filter.Query
	wrong     string // what is not right about the filter as it is written
	unmet     string // what of it no run has
	sort      string // id of a column
	reverse   bool
	hidden    map[string]bool
	columns   []string // ids in the user's order; nil: as they come
	marked    map[string]bool
	base      string
	diff      bool // the preview shows the config keys that differ
	noPreview bool

	extraKeys []string // config keys that the filter asks for
	extraBusy bool

	now    time.Time
	briefs map[string]*loaded[*source.Brief]
	dirty  bool
}

func newTable() table {
	return table{byDir: map[string]*row{}, sort: "age", hidden: map[string]bool{}, marked: map[string]bool{}, height: 10}
}

func (t *table) restore(s source.Settings) {
	if columnOf(s.Sort) != nil {
		t.sort, t.reverse = s.Sort, s.Reverse
	}
	t.arrange(s.Columns)
	for _, id := range s.Hidden {
		if c := columnOf(id); c != nil && c.id != "name" {
			t.hidden[id] = true
		}
	}
}

// find returns the run in a folder, nil where there is none.
func (t *table) find(dir string) *row { return t.byDir[dir] }

// take takes a new list over, and returns the folders whose meta data changed.
func (t *table) take(entries []runs.Entry) []string {
	var changed []string
	all, byDir := make([]*row, 0, len(entries)), make(map[string]*row, len(entries))
	for i := range entries {
		e := &entries[i]
		r := t.byDir[e.Dir]
		if r == nil || !r.e.Modified.Equal(e.Modified) || r.e.Status != e.Status || (r.e.Err == nil) != (e.Err == nil) {
			if r != nil {
				changed = append(changed, e.Dir)
			}
			r = newRow(e)
		}
		all, byDir[e.Dir] = append(all, r), r
	}
	t.all, t.byDir = all, byDir
	t.dirty = true
	return changed
}

func newRow(e *runs.Entry) *row {
	r := &row{e: *e, dir: e.Dir, name: clip(cmp.Or(e.Meta.RunName, e.Meta.RunID, e.Name), mostName)}
	r.started, _ = time.Parse(runs.TimeFormat, e.Meta.StartedAt)
	if r.started.IsZero() {
		r.started = e.Modified
	}
	r.metric, r.value, r.has = filter.Primary(&e.Meta)
	r.words = strings.Join([]string{r.name, e.Name, clip(e.Meta.DatasetVersion, mostName), clip(e.Meta.BaseModel, mostName)}, " ")
	return r
}

// mostName bounds the name of a run, mostFailure what is shown of an error, in
// bytes: both come from files.
const (
	mostName    = 200
	mostFailure = 600
)

// failure says why the run failed, empty where it does not tell.
func (r *row) failure() string {
	words := r.e.Meta.Error
	// What comes before the folder of the run says where, not why.
	if _, why, found := strings.Cut(words, filepath.Base(r.dir)+": "); found {
		words = why
	}
	return clip(words, mostFailure)
}

// clip cuts a text to a number of bytes.
func clip(s string, most int) string { return text.Clip(s, most) }

// duration is how long the run has taken so far, in seconds.
func (r *row) duration(now time.Time) float64 { return filter.Duration(&r.e, now) }

// Words implements filter.Row.
func (r *row) Words() string { return r.words }

// fielder is a row with what else is known, for predicates.
type fielder struct {
	*row
	now   time.Time
	brief *source.Brief
}

// Entry implements filter.RunRow.
func (f fielder) Entry() *runs.Entry { return &f.e }

// Field implements filter.Row.
func (f fielder) Field(key string) (filter.Value, bool) {
	if key == "decision" {
		if f.brief != nil && f.brief.Decision != nil {
			return filter.Choice(key, f.brief.Decision.Recommendation)
		}
		return filter.Value{}, false
	}
	if v, ok := filter.Run(&f.e, key, f.now); ok {
		return v, true
	}
	return filter.Setting(f.extra[key])
}

// known are the keys that need no config.
var known = append([]string{"decision"}, filter.RunKeys...)

func (t *table) setFilter(s string) {
	t.filter = s
	var err error
	t.query, err = filter.Parse(s)
	t.wrong = ""
	if err != nil {
		t.wrong = err.Error()
	}
	t.extraKeys = nil
	for _, key := range t.query.Keys() {
		if !slices.Contains(known, key) && !t.isMetric(key) {
			t.extraKeys = append(t.extraKeys, key)
		}
	}
	t.dirty = true
}

func (t *table) isMetric(key string) bool {
	return slices.ContainsFunc(t.all, func(r *row) bool {
		_, ok := r.e.Meta.Metrics[key]
		return ok
	})
}

// unlearned lists up to n runs whose configs the filter has yet to see.
func (t *table) unlearned(n int) []string {
	if len(t.extraKeys) == 0 || t.extraBusy {
		return nil
	}
	var out []string
	for _, r := range t.all {
		if len(out) < n && slices.ContainsFunc(t.extraKeys, func(k string) bool { _, ok := r.extra[k]; return !ok }) {
			out = append(out, r.dir)
		}
	}
	return out
}

// learn takes config values over; nil marks a key that a run does not have.
func (t *table) learn(msg extraMsg) {
	t.extraBusy = false
	for dir, found := range msg.found {
		r := t.byDir[dir]
		if r == nil {
			continue
		}
		if r.extra == nil {
			r.extra = map[string]any{}
		}
		for _, key := range msg.keys {
			r.extra[key] = found[key]
		}
	}
	t.dirty = true
}

// update filters and sorts anew where something has changed.
func (t *table) update(briefs map[string]*loaded[*source.Brief], now time.Time) {
	t.now, t.briefs = now, briefs
	if !t.dirty {
		return
	}
	t.dirty = false
	t.shown = t.shown[:0]
	for _, r := range t.all {
		if t.query.Empty() || t.query.Match(fielder{r, now, t.brief(r.dir)}) {
			t.shown = append(t.shown, r)
		}
	}
	t.unmet = ""
	if len(t.all) > 0 && !t.extraBusy && len(t.unlearned(1)) == 0 {
		t.unmet = t.query.Check(t.rows)
	}
	by := columnOf(t.sort)
	slices.SortStableFunc(t.shown, func(a, b *row) int { return by.order(t, a, b, t.reverse) })
	if t.place() < 0 {
		t.cursor = ""
		if len(t.shown) > 0 {
			t.cursor = t.shown[min(t.top, len(t.shown)-1)].dir
			if t.top == 0 {
				t.cursor = t.shown[0].dir
			}
		}
	}
	t.follow()
}

// rows yields all runs for a filter.
func (t *table) rows(yield func(filter.RunRow) bool) {
	for _, r := range t.all {
		if !yield(fielder{r, t.now, t.brief(r.dir)}) {
			return
		}
	}
}

// complaint is what is not right about the filter, empty where all is.
func (t *table) complaint() string { return cmp.Or(t.wrong, t.unmet) }

func (t *table) brief(dir string) *source.Brief {
	if b := t.briefs[dir]; b != nil {
		return b.value
	}
	return nil
}

// sortsBy says whether the order depends on details that come in later.
func (t *table) sortsBy(map[string]*loaded[*source.Brief]) bool {
	return t.sort == "best" || t.sort == "decision" || slices.Contains(t.query.Keys(), "decision")
}

// place returns the line of the cursor, -1 where it is on none.
func (t *table) place() int {
	return slices.IndexFunc(t.shown, func(r *row) bool { return r.dir == t.cursor })
}

func (t *table) move(by int) {
	if len(t.shown) == 0 {
		return
	}
	at := max(0, min(len(t.shown)-1, max(0, t.place())+by))
	t.cursor = t.shown[at].dir
	t.follow()
}

// follow keeps the cursor on the page.
func (t *table) follow() {
	at := t.place()
	t.top = max(0, min(t.top, len(t.shown)-t.height))
	if at >= 0 {
		t.top = min(at, max(t.top, at-t.height+1))
	}
}

// page returns the runs in sight.
func (t *table) page() []*row {
	return t.shown[min(t.top, len(t.shown)):min(t.top+t.height, len(t.shown))]
}

func (t *table) inSight(dir string) bool {
	return slices.ContainsFunc(t.page(), func(r *row) bool { return r.dir == dir })
}

// click picks the run on a line of the page.
func (t *table) click(y int) bool {
	page := t.page()
	if y < 0 || y >= len(page) {
		return false
	}
	t.cursor = page[y].dir
	return true
}

// mark marks the run under the cursor, or takes its mark away.
func (t *table) mark() {
	if t.marked[t.cursor] {
		delete(t.marked, t.cursor)
	} else if t.cursor != "" {
		t.marked[t.cursor] = true
	}
}
