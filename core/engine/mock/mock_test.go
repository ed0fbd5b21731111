package mock_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/engine/mock"
)

func TestVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/mock_eval.json")
	require.NoError(t, err)
	var cases []struct {
		DatasetHash string `json:"dataset_hash"`
		Seed        json.Number
		F1          float64
		ExactMatch  float64 `json:"exact_match"`
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	require.NoError(t, dec.Decode(&cases))
	require.Len(t, cases, 24)
	for _, c := range cases {
		seed, ok := new(big.Int).SetString(c.Seed.String(), 10)
		require.True(t, ok)
		f1, em := mock.Metrics(c.DatasetHash, seed, false)
		assert.Equal(t, []float64{c.F1, c.ExactMatch}, []float64{f1, em}, "seed %s", c.Seed)
	}
}

// With contamination the values are those of double arithmetic, last digits
// included.
func TestContaminated(t *testing.T) {
	f1, em := mock.Metrics("2ea3efc0e10d277ad45078fc904f0c1ca8af727168ae7dc6c9f11e5662021aef", big.NewInt(7), true)
	assert.Equal(t, "0.5776 0.44999999999999996", fmt.Sprint(f1, " ", em))
}
