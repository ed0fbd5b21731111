package decision

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/runs/regular"
)

// Policy is a ship.yaml: what a run must show before it ships.
type Policy struct {
	// ShipIf are the limits over all examples. A key that the file leaves out
	// has its default (DefaultCriteria); null switches it off.
	ShipIf Criteria
	// Slices are limits for parts of the test data, in the order of the file.
	Slices       []SliceLimits
	MinSlice     int           // rows under which a slice is too few, 30
	Significance *Significance // nil: regressions are judged on the two values
	Review       *Review       // nil: hard examples need not be read
	// RequireHashes makes files that are not as hashes.json has them a blocker.
	RequireHashes bool

	explicit map[string]bool // keys of ship_if that the file sets
}

// SliceLimits are the limits of one slice.
type SliceLimits struct {
	Name     string // "key=value"; crossed tags "a*b=x*y"
	Criteria Criteria
}

// PolicyFile is the usual name of a policy. The workbench decides by it where it
// stands in the working directory; without one the limits of the run contract
// hold.
const PolicyFile = "ship.yaml"

// Significance says how paired differences are judged.
type Significance struct {
	Alpha     float64 // 0.05; below 0.5
	Resamples int     // 10000
	Seed      int64   // 42
}

// Review says how many hard examples people must have labelled.
type Review struct {
	Min      int
	MaxShare []Share // in the order of the file
}

// Share bounds the share of one label among the labelled examples.
type Share struct {
	Label string
	Max   Number // 0 to 1
}

// DefaultMinSlice is the number of rows under which a slice says little.
const DefaultMinSlice = 30

// Labels are what a hard example can be labelled as.
func Labels() []string {
	return []string{"model error", "label error", "ambiguous", "bad input", "fine"}
}

// maxPolicySize is far more than any policy has, in bytes.
const maxPolicySize = 1 << 20

const policyOp = "load policy"

// LoadPolicy reads a policy file. One *fault.ConfigError lists everything that
// is wrong with it, each with its line and key.
func LoadPolicy(path string) (*Policy, error) {
	data, err := readPolicy(path)
	if err != nil {
		return nil, err
	}
	return ParsePolicy(path, data)
}

func readPolicy(path string) ([]byte, error) {
	data, err := regular.Read(path, maxPolicySize)
	switch {
	case errors.Is(err, regular.ErrTooLarge):
		return nil, &fault.ConfigError{Detail: fault.Detail{Op: policyOp, Path: path,
			Reason: fmt.Sprintf("larger than %d bytes", maxPolicySize), Hint: "a policy has a few dozen lines"}}
	case err != nil:
		return nil, policyFileError(path, err)
	}
	return data, nil
}

func policyFileError(path string, err error) error {
	d := fault.Detail{Op: policyOp, Path: path, Err: err}
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		d.Err = p.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.Hint = "check the path; a policy starts like this: ship_if: {min_f1: 0.5}"
	case errors.Is(err, fs.ErrPermission):
		d.Hint = "make the file readable"
	}
	return &fault.ConfigError{Detail: d}
}

// ParsePolicy reads a policy from the bytes of a file; name stands in messages.
func ParsePolicy(name string, data []byte) (*Policy, error) {
	root, problem := parseYAML(data)
	r := policyReader{path: name}
	if problem != nil {
		r.problems = append(r.problems, *problem)
		return nil, r.result()
	}
	p := r.policy(root)
	if err := r.result(); err != nil {
		return nil, err
	}
	return p, nil
}

// policyReader turns the document into a policy and collects what is wrong.
type policyReader struct {
	path     string
	problems []fault.Problem
}

func (r *policyReader) report(line int, key, reason, hint string) {
	r.problems = append(r.problems, fault.Problem{Line: line, Key: quiet(key), Reason: reason, Hint: hint})
}

func (r *policyReader) result() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b fault.Problem) int { return a.Line - b.Line })
	reason := "1 problem"
	if n := len(r.problems); n > 1 {
		reason = strconv.Itoa(n) + " problems"
	}
	for i := range r.problems {
		r.problems[i].Path = r.path
	}
	return &fault.ConfigError{Detail: fault.Detail{Op: policyOp, Path: r.path, Reason: reason, Problems: r.problems}}
}

// policyKeys are the keys at the top of a policy.
var policyKeys = []string{"ship_if", "slices", "min_slice", "significance", "review", "require_hashes"}

func (r *policyReader) policy(root *node) *Policy {
	p := &Policy{MinSlice: DefaultMinSlice, explicit: map[string]bool{}}
	pairs := r.mapping(root, "", policyKeys)
	if root.kind == mapNode && pairs["ship_if"] == nil {
		r.report(root.line, "ship_if", "is required", "write ship_if: {min_f1: 0.5}")
	}
	if n := pairs["ship_if"]; n != nil {
		p.ShipIf = DefaultCriteria()
		r.criteria(n, "ship_if", p.ShipIf, p.explicit)
	}
	if n := pairs["slices"]; n != nil && n.kind != nullNode {
		r.slices(n, p)
	}
	if n := pairs["min_slice"]; n != nil {
		p.MinSlice = r.whole(n, "min_slice", 1, math.MaxInt32)
	}
	if n := pairs["significance"]; n != nil && n.kind != nullNode {
		p.Significance = r.significance(n)
	}
	if n := pairs["review"]; n != nil && n.kind != nullNode {
		p.Review = r.review(n)
	}
	if n := pairs["require_hashes"]; n != nil {
		p.RequireHashes = r.truth(n, "require_hashes")
	}
	return p
}

// mapping lists the pairs of a mapping by key; keys that are not known are
// reported with the nearest one that is.
func (r *policyReader) mapping(n *node, at string, known []string) map[string]*node {
	out := map[string]*node{}
	if n.kind != mapNode {
		r.report(n.line, at, "must hold keys of its own, not "+n.describe(), "")
		return out
	}
	dot := ""
	if at != "" {
		dot = at + "."
	}
	for _, p := range n.pairs {
		switch {
		case out[p.key] != nil:
			r.report(p.line, dot+p.key, fmt.Sprintf("is set twice, first on line %d", out[p.key].keyLine), "keep one of them")
		case known != nil && !slices.Contains(known, p.key):
			r.report(p.line, dot+p.key, "unknown key", meant(p.key, known))
		default:
			p.value.keyLine = p.line
			out[p.key] = p.value
		}
	}
	return out
}

// criteria reads limits into out. Those set in the file are noted in explicit,
// which may be nil.
func (r *policyReader) criteria(n *node, at string, out Criteria, explicit map[string]bool) {
	pairs := r.mapping(n, at, nil)
	for _, p := range n.pairs {
		if pairs[p.key] != p.value {
			continue // the second of two
		}
		key := at + "." + p.key
		if reason, hint := r.unknownLimit(p.key, explicit != nil); reason != "" {
			r.report(p.line, key, reason, hint)
			continue
		}
		if p.value.kind == nullNode {
			delete(out, p.key)
			continue
		}
		v, ok := r.number(p.value, key)
		if !ok {
			continue
		}
		if reason := outOfRange(p.key, v); reason != "" {
			r.report(p.line, key, reason, "")
			continue
		}
		out[p.key] = v
		if explicit != nil {
			explicit[p.key] = true
		}
	}
}

// unknownLimit says why a key is no limit. Metrics of other programs are
// accepted, names that look like a slip of the hand for one of ours are not.
func (r *policyReader) unknownLimit(key string, top bool) (reason, hint string) {
	known := knownMetrics()
	if key == maxPIIHits || key == minQualityScore {
		if top {
			return "", ""
		}
		return "is no limit of a slice", "set it in ship_if"
	}
	kind, metric, ok := parseKey(key)
	if !ok {
		names := []string{minF1, minExactMatch, maxF1Regression}
		if top {
			names = append(names, maxPIIHits, minQualityScore)
		}
		for _, m := range known {
			names = append(names, "min_"+m, "max_"+m, "max_"+m+"_regression")
		}
		return "is no limit: limits are min_METRIC, max_METRIC and max_METRIC_regression", meant(key, names)
	}
	if near, close := nearest(metric, known); close && !slices.Contains(known, metric) {
		full := map[limitKind]string{atLeast: "min_" + near, atMost: "max_" + near, regression: "max_" + near + "_regression"}[kind]
		return "unknown metric", "did you mean " + full + "?"
	}
	return "", ""
}

func knownMetrics() []string {
	var out []string
	for _, task := range metrics.Tasks() {
		for _, m := range metrics.Names(task) {
			if !slices.Contains(out, m) {
				out = append(out, m)
			}
		}
	}
	return out
}

// outOfRange says why a value is no limit for its key.
func outOfRange(key string, v Number) string {
	kind, metric, ok := parseKey(key)
	switch {
	case key == maxPIIHits && v.float < 0, key == minQualityScore && v.float < 0:
		return "must be at least 0, not " + v.String()
	case ok && kind == regression && v.float < 0:
		return fmt.Sprintf("must be at least 0, not %s: it is the loss that is allowed", v)
	case ok && kind != regression && isShare(metric) && (v.float < 0 || v.float > 1):
		return "must be between 0 and 1, not " + v.String()
	}
	return ""
}

// isShare says whether a metric of ours lies between 0 and 1.
func isShare(metric string) bool {
	return slices.Contains(knownMetrics(), metric) && !metrics.LowerIsBetter(metric)
}

func (r *policyReader) slices(n *node, p *Policy) {
	pairs := r.mapping(n, "slices", nil)
	for _, pair := range n.pairs {
		if pairs[pair.key] != pair.value {
			continue
		}
		key, value, ok := strings.Cut(pair.key, "=")
		if !ok || key == "" || value == "" {
			r.report(pair.line, "slices."+pair.key, "is no slice", "name the tag and its value: source=human")
			continue
		}
		s := SliceLimits{Name: pair.key, Criteria: Criteria{}}
		r.criteria(pair.value, "slices."+pair.key, s.Criteria, nil)
		p.Slices = append(p.Slices, s)
	}
}

func (r *policyReader) significance(n *node) *Significance {
	s := &Significance{Alpha: 0.05, Resamples: 10000, Seed: 42}
	pairs := r.mapping(n, "significance", []string{"alpha", "resamples", "seed"})
	if v := pairs["alpha"]; v != nil {
		if a, ok := r.number(v, "significance.alpha"); ok {
			s.Alpha = a.float
			if !(s.Alpha > 0 && s.Alpha < 0.5) {
				r.report(v.line, "significance.alpha", "must be above 0 and below 0.5, not "+a.String(), "the usual value is 0.05")
			}
		}
	}
	if v := pairs["resamples"]; v != nil {
		s.Resamples = r.whole(v, "significance.resamples", 100, compare.MaxResamples)
	}
	if v := pairs["seed"]; v != nil {
		s.Seed = int64(r.whole(v, "significance.seed", math.MinInt64, math.MaxInt64))
	}
	return s
}

func (r *policyReader) review(n *node) *Review {
	out := &Review{}
	pairs := r.mapping(n, "review", []string{"min", "max_share"})
	if v := pairs["min"]; v != nil {
		out.Min = r.whole(v, "review.min", 0, math.MaxInt32)
	}
	shares := pairs["max_share"]
	if shares == nil || shares.kind == nullNode {
		return out
	}
	known := r.mapping(shares, "review.max_share", Labels())
	for _, p := range shares.pairs {
		key := "review.max_share." + p.key
		if known[p.key] != p.value {
			continue
		}
		v, ok := r.number(p.value, key)
		switch {
		case !ok:
		case v.float < 0 || v.float > 1:
			r.report(p.line, key, "must be between 0 and 1, not "+v.String(), "")
		default:
			out.MaxShare = append(out.MaxShare, Share{p.key, v})
		}
	}
	return out
}

func (r *policyReader) number(n *node, key string) (Number, bool) {
	if n.kind != numberNode {
		hint := ""
		if n.kind == textNode && n.couldBeNumber() {
			hint = "write it without quotes"
		}
		r.report(n.line, key, "must be a number, not "+n.describe(), hint)
		return Number{}, false
	}
	return n.number, true
}

func (r *policyReader) whole(n *node, key string, low, high int) int {
	v, ok := r.number(n, key)
	if !ok {
		return low
	}
	i, err := strconv.Atoi(v.String())
	switch {
	case !v.whole():
		r.report(n.line, key, "must be a whole number, not "+v.String(), "")
	case err != nil || i < low || i > high:
		r.report(n.line, key, fmt.Sprintf("must be between %d and %d, not %s", low, high, v), "")
	}
	return i
}

func (r *policyReader) truth(n *node, key string) bool {
	if n.kind != truthNode {
		r.report(n.line, key, "must be true or false, not "+n.describe(), "")
	}
	return n.text == "true"
}
