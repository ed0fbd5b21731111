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

func TestEveryCommandHasAnExample(t *testing.T) {
	root := (&app{}).command()
	for _, cmd := range append(root.Commands(), root) {
		if cmd.Runnable() {
			assert.Contains(t, cmd.Example, "  verifily", cmd.Name())
		}
	}
}
