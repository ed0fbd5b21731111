package compare

import (
	"fmt"
	"unicode/utf8"

	"github.com/verifily/verifily-tui/runs"
)

// pairs matches the examples of the base with those of another run.
type pairs struct {
	info Pairing
	// partner has, for each example of the base, the place of its partner in
	// the other run, or none.
	partner []int32
}

const none = -1

// among lists the pairs whose base example is a member; nil means all.
func (p *pairs) among(members []int32) (base, other []int32) {
	for _, i := range all(members, len(p.partner)) {
		if p.partner[i] != none {
			base, other = append(base, i), append(other, p.partner[i])
		}
	}
	return base, other
}

// match pairs examples that have the same id and, of the others, those that have
// the same input and reference. An id, or an input and reference, that occurs
// twice in a run cannot say which is meant, so it is not used.
func match(base, other []runs.Prediction) *pairs {
	p := &pairs{partner: make([]int32, len(base))}
	for i := range p.partner {
		p.partner[i] = none
	}
	doneBase, doneOther := make([]bool, len(base)), make([]bool, len(other))
	byID := func(x *runs.Prediction) (string, bool) { return x.ID, x.ID != "" }
	for _, pair := range p.join(base, other, doneBase, doneOther, byID) {
		doneBase[pair[0]], doneOther[pair[1]] = true, true
		if sameExample(&base[pair[0]], &other[pair[1]]) {
			p.partner[pair[0]] = pair[1]
			p.info.ByID++
		} else {
			p.info.Changed++
		}
	}
	sameIDs := p.info.DuplicatesBase + p.info.DuplicatesRun
	byContent := func(x *runs.Prediction) (string, bool) {
		return x.InputHash + "\x00" + x.Reference, x.InputHash != ""
	}
	for _, pair := range p.join(base, other, doneBase, doneOther, byContent) {
		doneBase[pair[0]], doneOther[pair[1]] = true, true
		p.partner[pair[0]] = pair[1]
		p.info.ByInputHash++
	}
	i := &p.info
	i.Matched = i.ByID + i.ByInputHash
	i.UnmatchedBase = len(base) - i.Matched - i.Changed - i.DuplicatesBase
	i.UnmatchedRun = len(other) - i.Matched - i.Changed - i.DuplicatesRun
	i.Paired = i.Matched > 0 && 2*i.Matched >= min(len(base), len(other))
	switch {
	case i.Paired && i.Matched < max(len(base), len(other)):
		i.Note = "differences are over the matched examples, values over all of each run"
	case !i.Paired:
		i.Note = fmt.Sprintf("only %d of %d examples match: differences are not paired", i.Matched, min(len(base), len(other)))
		if i.DuplicatesBase+i.DuplicatesRun > sameIDs {
			i.Note += `; inputs repeat, give the rows an "id"`
		}
	}
	return p
}

// join lists the pairs of examples that are not done yet and that share a key
// which is unique on either side, in the order of the base. Examples with a key
// that occurs twice on their side are counted as duplicates, and done.
func (p *pairs) join(base, other []runs.Prediction, doneBase, doneOther []bool, key func(*runs.Prediction) (string, bool)) [][2]int32 {
	p.info.DuplicatesBase += dropDuplicates(base, doneBase, key)
	p.info.DuplicatesRun += dropDuplicates(other, doneOther, key)
	places := make(map[string]int32, len(other))
	for i := range other {
		if k, ok := key(&other[i]); ok && !doneOther[i] {
			places[k] = int32(i)
		}
	}
	var out [][2]int32
	for i := range base {
		if k, ok := key(&base[i]); ok && !doneBase[i] {
			if at, found := places[k]; found {
				out = append(out, [2]int32{int32(i), at})
			}
		}
	}
	return out
}

// dropDuplicates marks the examples whose key occurs twice as done and counts
// them.
func dropDuplicates(preds []runs.Prediction, done []bool, key func(*runs.Prediction) (string, bool)) int {
	first := make(map[string]int32, len(preds))
	var twice []int32
	for i := range preds {
		k, ok := key(&preds[i])
		if !ok || done[i] {
			continue
		}
		if at, seen := first[k]; seen {
			twice = append(twice, at, int32(i))
		} else {
			first[k] = int32(i)
		}
	}
	n := 0
	for _, i := range twice {
		if !done[i] {
			done[i] = true
			n++
		}
	}
	return n
}

// sameExample says whether two examples with the same id are the same.
func sameExample(a, b *runs.Prediction) bool {
	return a.Reference == b.Reference && (a.InputHash == b.InputHash || a.InputHash == "" || b.InputHash == "")
}

// inputHash is the hash of the whole input, worked out where a writer left it
// out and the input is known to be whole.
func inputHash(p *runs.Prediction) string {
	if p.InputHash == "" && p.Input != "" && utf8.RuneCountInString(p.Input) < runs.MaxInput {
		return runs.InputHash(p.Input)
	}
	return p.InputHash
}
