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

// unit is a group of sequences that one worker takes through the model at
// once. Their rows lie one behind the other without padding; attention keeps
// them apart.
type unit struct {
	seqs    []sequence
	rows    int
	outputs int
	longest int
}

// Units are as large as the rows allow while leaving work for several workers:
// larger products are faster, and grouping must not depend on the number of
// workers, since the order of sums follows the units.
const (
	maxUnitRows = 512
	minUnitRows = 64
	unitsWanted = 8
)

// group splits sequences into units. The result depends on the sequences
// alone. A sequence longer than the bound is a unit of its own.
func group(units []unit, seqs []sequence) []unit {
	total := 0
	for i := range seqs {
		total += seqs[i].inputs()
	}
	target := min(max(total/unitsWanted, minUnitRows), maxUnitRows)
	start := 0
	u := unit{}
	for i := range seqs {
		n := seqs[i].inputs()
		if u.rows > 0 && u.rows+n > target {
			u.seqs = seqs[start:i]
			units = append(units, u)
			u, start = unit{}, i
		}
		u.rows += n
		u.outputs += seqs[i].outputs()
		u.longest = max(u.longest, n)
	}
	if u.rows > 0 {
		u.seqs = seqs[start:]
		units = append(units, u)
	}
	return units
}
