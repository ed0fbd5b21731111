package config

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"abc", "abc", 0}, {"kitten", "sitting", 3}, {"lr", "rl", 1}, {"trian", "train", 1}, {"abc", "cab", 2}} {
		assert.Equal(t, c.want, distance(c.a, c.b), "%q, %q", c.a, c.b)
	}
}
