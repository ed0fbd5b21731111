package decision_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/contract"
	"github.com/verifily/verifily-tui/core/decision"
)

// vectors reads a file of test vectors, numbers as they are written.
func vectors(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	require.NoError(t, dec.Decode(into))
}

func TestDecideVectors(t *testing.T) {
	var cases []struct {
		Input struct {
			Contract      contract.Result `json:"contract_result"`
			Contamination *struct {
				Status         string
				ExactOverlaps  int `json:"exact_overlaps"`
				NearDuplicates int `json:"near_duplicates"`
			} `json:"contamination_result"`
			Report   json.RawMessage `json:"report_result"`
			Eval     json.RawMessage `json:"eval_results"`
			Baseline json.RawMessage `json:"baseline_results"`
			Criteria map[string]any  `json:"ship_criteria"`
		}
		Output json.RawMessage
	}
	vectors(t, "testdata/make_decision.json", &cases)
	require.Len(t, cases, 48)
	for i, c := range cases {
		in := decision.Input{Contract: c.Input.Contract}
		if k := c.Input.Contamination; k != nil {
			in.Contamination = &decision.Contamination{Status: k.Status, ExactOverlaps: k.ExactOverlaps, NearDuplicates: k.NearDuplicates}
		}
		var err error
		in.Criteria, err = decision.ParseCriteria(c.Input.Criteria)
		require.NoError(t, err)
		in.Report, err = decision.ParseReport(c.Input.Report)
		require.NoError(t, err)
		in.Eval, err = decision.ParseResults(c.Input.Eval)
		require.NoError(t, err)
		in.Baseline, err = decision.ParseResults(c.Input.Baseline)
		require.NoError(t, err)
		got, err := decision.Decide(in).JSON()
		require.NoError(t, err)
		var want, have bytes.Buffer
		require.NoError(t, json.Compact(&want, c.Output))
		require.NoError(t, json.Compact(&have, got))
		assert.Equal(t, want.String(), have.String(), "vector %d", i)
	}
}

func TestValidateThresholdsVectors(t *testing.T) {
	var cases []struct {
		Criteria map[string]any
		Error    *string
	}
	vectors(t, "testdata/validate_thresholds.json", &cases)
	require.Len(t, cases, 9)
	for i, c := range cases {
		err := decision.ValidateThresholds(c.Criteria)
		if c.Error == nil {
			assert.NoError(t, err, "vector %d", i)
		} else {
			assert.EqualError(t, err, *c.Error, "vector %d", i)
		}
	}
}
