package native

// sequence is one example, tokenised.
type sequence struct {
	ids []int32
	// first is the index in ids of the first token that carries a loss (sft).
	first int
	// label is the class, or -1 (classification).
	label int
	// ordinal numbers the example within its optimiser step; dropout masks hang
	// on it, so that they do not depend on how sequences are grouped.
	ordinal int
}

// inputs is the number of positions the model computes: the last token of an
// sft example is only ever a target.
func (s *sequence) inputs() int {
	if s.label >= 0 {
		return len(s.ids)
	}
	return len(s.ids) - 1
}

// outputs is the number of positions that carry a loss.
func (s *sequence) outputs() int {
	if s.label >= 0 {
		return 1
	}
	return len(s.ids) - s.first
}

// unit is a stretch of sequences that one worker takes through the model at
// once. Their rows lie one behind the other without padding; attention keeps
// them apart.
//
// A unit is made of whole groups. Gradients are summed group by group, and
// groups depend on the sequences alone, so that their sums do not depend on
// how many workers share the groups.
type unit struct {
	seqs    []sequence
	rows    int
	outputs int
	longest int
	groups  []groupEnd
	first   int // number of its first group
}

// groupEnd is where a group ends within its unit.
type groupEnd struct{ rows, outputs int }

// of is where the group ends in a matrix of so many rows: all rows of the unit, or
// those that carry an output.
func (g groupEnd) of(rows int, u *unit) int {
	if rows == u.rows {
		return g.rows
	}
	return g.outputs
}

const (
	// groupRows is how many rows a group has at least, unless the whole batch
	// has fewer: enough for products over its rows to be fast.
	groupRows = 96
	// maxUnitRows bounds the scratch memory of a worker. Larger units are not
	// faster.
	maxUnitRows = 256
)

// batch is a list of sequences and its division into units.
type batch struct {
	seqs   []sequence
	units  []unit
	groups int
	ends   []groupEnd
	// atLeast stands in for groupRows where it is not zero.
	atLeast int
}

// divide cuts the batch into units for this many workers: as few as keep all
// of them busy, and none larger than the bound unless one group is.
func (b *batch) divide(workers int) {
	b.units, b.ends = b.units[:0], b.ends[:0]
	left := 0 // rows of the sequences that are not in a group yet
	for i := range b.seqs {
		left += b.seqs[i].inputs()
	}
	atLeast := groupRows
	if b.atLeast > 0 {
		atLeast = b.atLeast
	}
	n := (left + maxUnitRows*workers - 1) / (maxUnitRows * workers) * workers
	most := (left + n - 1) / max(n, 1)
	start := 0 // of the unit at hand
	u, g := unit{}, groupEnd{}
	finish := func(end int) {
		u.seqs = b.seqs[start:end]
		b.units = append(b.units, u)
		start = end
		u = unit{first: len(b.ends)}
	}
	for i := range b.seqs {
		s := &b.seqs[i]
		g.rows += s.inputs()
		g.outputs += s.outputs()
		u.longest = max(u.longest, s.inputs())
		if (g.rows < atLeast || left-g.rows < atLeast) && i+1 < len(b.seqs) {
			continue
		}
		left -= g.rows
		u.rows, u.outputs = u.rows+g.rows, u.outputs+g.outputs
		b.ends = append(b.ends, groupEnd{u.rows, u.outputs})
		if u.rows+g.rows/2 >= most {
			finish(i + 1)
		}
		g = groupEnd{}
	}
	if u.rows > 0 {
		finish(len(b.seqs))
	}
	b.groups = len(b.ends)
	for i := range b.units {
		end := b.groups
		if i+1 < len(b.units) {
			end = b.units[i+1].first
		}
		b.units[i].groups = b.ends[b.units[i].first:end]
	}
}
