package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/fault"
)

func TestExitCode(t *testing.T) {
	alive := context.Background()
	stopped, stop := context.WithCancel(alive)
	stop()
	because := func(err error) fault.Detail { return fault.Detail{Reason: "r", Err: err} }
	for name, c := range map[string]struct {
		ctx  context.Context
		err  error
		want int
	}{
		"none":                     {alive, nil, 0},
		"unknown":                  {alive, errors.New("x"), 1},
		"config":                   {alive, &core.ConfigError{}, 1},
		"data":                     {alive, &core.DataError{}, 2},
		"training":                 {alive, &core.TrainingError{}, 3},
		"evaluation":               {alive, &core.EvalError{}, 4},
		"reproduction":             {alive, &core.ReproduceError{}, 1},
		"managed":                  {alive, &core.ConfigError{Detail: because(config.ErrManaged)}, 10},
		"interrupted":              {stopped, &core.Interrupted{Err: context.Canceled}, 130},
		"interrupted, then failed": {stopped, errors.Join(&core.Interrupted{}, &core.TrainingError{}), 130},
		"cancelled early":          {stopped, &core.DataError{Detail: because(context.Canceled)}, 130},
		"cancelled by nobody":      {alive, &core.DataError{Detail: because(context.Canceled)}, 2},
		"failed while stopping":    {stopped, &core.TrainingError{}, 3},
		"wrapped":                  {alive, fmt.Errorf("a: %w", fmt.Errorf("b: %w", &core.EvalError{})), 4},
		"joined":                   {alive, errors.Join(&core.DataError{}, errors.New("x")), 2},
		"the outermost type":       {alive, &core.TrainingError{Detail: because(&core.ConfigError{})}, 3},
	} {
		assert.Equal(t, c.want, exitCode(c.ctx, c.err), name)
	}
}

func TestInterruptedBeforeThereIsARun(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, writeExample(dir))
	t.Chdir(dir)
	ctx, stop := context.WithCancel(context.Background())
	stop()
	for _, args := range [][]string{{"train"}, {"train", "--dry-run"}} {
		var out, errs bytes.Buffer
		code := run(ctx, args, strings.NewReader(""), &out, &errs)
		assert.Equal(t, 130, code, args)
		assert.Empty(t, out.String(), args)
		assert.Contains(t, errs.String(), "interrupted: nothing was written\n", args)
	}
	assert.NoDirExists(t, "runs")
}

func TestNearest(t *testing.T) {
	known := []string{"epochs", "batch-size", "base-model", "lr", "lora-r", "eval"}
	for name, want := range map[string]string{
		"epoch": "epochs", "bath-size": "batch-size", "base_model": "base-model", "Lr": "lr", "evaluate": "eval",
		"frobnicate": "", "": "", "x": "",
	} {
		got, ok := nearest(name, known)
		if want == "" {
			assert.False(t, ok, "%q is near to %q", name, got)
		} else {
			assert.Equal(t, want, got, name)
			assert.True(t, ok, name)
		}
	}
	_, ok := nearest("x", nil)
	assert.False(t, ok)
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"abc", "abc", 0}, {"kitten", "sitting", 3}, {"lr", "rl", 1}, {"trian", "train", 1}, {"abc", "cab", 2}} {
		assert.Equal(t, c.want, distance(c.a, c.b), "%q, %q", c.a, c.b)
	}
}

func TestEveryCommandHasAnExample(t *testing.T) {
	root := (&app{}).command()
	for _, cmd := range append(root.Commands(), root) {
		if cmd.Runnable() {
			assert.Contains(t, cmd.Example, "  verifily", cmd.Name())
		}
	}
}
