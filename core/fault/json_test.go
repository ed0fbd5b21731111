package fault_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/verifily/verifily-tui/core/fault"
)

func TestJSON(t *testing.T) {
	var to struct {
		Whole   int
		Number  *json.Number
		Ratio   float64
		Yes     bool
		Name    string
		List    []int
		Section struct{ Inner int }
	}
	for text, want := range map[string]string{
		`[]`:                       "holds a JSON array, not an object",
		`{"Whole": "x"}`:           "Whole must be a whole number, not string",
		`{"Number": {}}`:           "Number must be a number, not object",
		`{"Ratio": true}`:          "Ratio must be a number, not bool",
		`{"Yes": 1}`:               "Yes must be true or false, not number",
		`{"Name": 1}`:              "Name must be a text, not number",
		`{"List": {}}`:             "List must be a list, not object",
		`{"Section": []}`:          "Section must be an object, not array",
		`{"Section":{"Inner":""}}`: "Section.Inner must be a whole number, not string",
	} {
		assert.EqualError(t, fault.JSON(json.Unmarshal([]byte(text), &to)), want)
	}
	other := errors.New("broken")
	assert.Equal(t, other, fault.JSON(other))
	assert.NoError(t, fault.JSON(nil))
}
