package filter_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/filter"
	"github.com/verifily/verifily-tui/runs"
)

type run struct {
	row
	entry runs.Entry
}

func (r run) Entry() *runs.Entry { return &r.entry }

func TestCheck(t *testing.T) {
	list := func(yield func(filter.RunRow) bool) {
		status, _ := filter.Choice("status", "weird")
		e := runs.Entry{Meta: runs.Meta{Metrics: map[string]float64{"f1": 0.5, "bleu": 3}}}
		_ = yield(run{row{"status": status, "level": {Text: "hard"}, "f1": {Number: 0.5, IsNumber: true}}, e}) && yield(run{entry: e})
	}
	for query, want := range map[string]string{
		"warm f1>0.3 lr<1 seed:3 level:x metric>1": "",
		"wer<1 training.sead=1":                    `no run has "training.sead"; the metrics are bleu, f1`,
		"fone>0.3":                                 `no run has "fone"; the metrics are bleu, f1`,
		"blue>0.3":                                 `no run has "blue"; did you mean bleu?`,
		"training.learning_rat!=1":                 `no run has "training.learning_rat"; did you mean training.learning_rate?`,
		"status:comp status:weird status~foo":      "",
		"status:foo":                               `no run has the status "foo"; it is pending, running, completed, failed, interrupted or dry_run`,
		"status=comp":                              `no run has the status "comp"; it is pending, running, completed, failed, interrupted or dry_run`,
		"status!=complete":                         `no run has the status "complete"; did you mean completed?`,
		"decision:foo":                             `no run has the decision "foo"; it is SHIP, DONT_SHIP or INVESTIGATE`,
		"decision:ship":                            "",
		"task:foo":                                 `no run has the task "foo"; it is sft or classification`,
	} {
		q, err := filter.Parse(query)
		require.NoError(t, err, query)
		assert.Equal(t, want, q.Check(list), query)
	}
}
