//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/client"
)

// serving starts the service in a folder and returns a client of it, and the
// address.
func serving(t *testing.T, dir string, args ...string) (*child, *client.Client, string) {
	t.Helper()
	c := newChild(t, append([]string{"serve", "--addr", "127.0.0.1:0"}, args...)...)
	if dir != "" {
		c.Dir = dir
	}
	r, w, err := os.Pipe()
	require.NoError(t, err)
	c.run(r, w)
	line, err := c.out.ReadString('\n')
	require.NoError(t, err, "%s", &c.errs)
	address, ok := strings.CutPrefix(strings.TrimSpace(line), "serving on ")
	require.True(t, ok, line)
	// The queue opens after the address is told.
	cl, err := client.New(address, client.Options{Retries: 100})
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	return c, cl, address
}

// stop ends the service as a supervisor does.
func (c *child) stop() int {
	require.NoError(c.t, c.Process.Signal(syscall.SIGTERM))
	_, code := c.end()
	return code
}

// TestServeStops: SIGTERM in the middle of a training writes a checkpoint and
// ends with exit code 0; the next start takes the job up again, in the same run.
func TestServeStops(t *testing.T) {
	c, cl, _ := serving(t, "", "--grace", "1ms")
	job, err := cl.SubmitTrainJob(t.Context(), client.TrainRequest{ConfigPath: "long.yaml"})
	require.NoError(t, err, "%s", &c.errs)
	seen := errors.New("seen")
	err = cl.JobEvents(t.Context(), job.JobID, func(e client.Event) error {
		var step struct {
			Step  int `json:"step"`
			Total int `json:"total_steps"`
		}
		if e.Type == "step" && assert.NoError(t, json.Unmarshal(e.Data, &step)) && step.Step > 0 {
			assert.Greater(t, step.Total, step.Step)
			return seen
		}
		return nil
	})
	require.ErrorIs(t, err, seen, "live training steps")
	assert.Zero(t, c.stop(), "%s", &c.errs)
	checkpoints, err := filepath.Glob(filepath.Join(c.Dir, "runs", "run_*", "checkpoints", "checkpoint-*"))
	require.NoError(t, err)
	assert.NotEmpty(t, checkpoints)

	c, cl, _ = serving(t, c.Dir)
	done, err := cl.WaitForJob(t.Context(), job.JobID)
	require.NoError(t, err, "%s", &c.errs)
	assert.Equal(t, "SUCCEEDED", done.Status)
	var res struct {
		RunDir string `json:"run_dir"`
	}
	require.NoError(t, cl.JobResult(t.Context(), job.JobID, &res))
	found, err := filepath.Glob(filepath.Join(c.Dir, "runs", "run_*"))
	require.NoError(t, err)
	assert.Equal(t, []string{res.RunDir}, found)

	// The run can be evaluated and compared, and is in the list.
	again, err := cl.SubmitEvalJob(t.Context(), client.EvalRequest{Run: filepath.Base(res.RunDir), TestData: pointer("words/test.jsonl")})
	require.NoError(t, err)
	_, err = cl.WaitForJob(t.Context(), again.JobID)
	require.NoError(t, err)
	assert.Zero(t, c.stop(), "%s", &c.errs)

	// What has ended is forgotten after a time.
	c, cl, _ = serving(t, c.Dir, "--retention", "1ms")
	_, err = cl.Job(t.Context(), again.JobID)
	assert.ErrorIs(t, err, client.ErrNotFound)
	assert.Zero(t, c.stop(), "%s", &c.errs)
}

func pointer[T any](v T) *T { return &v }

// TestServeKey: with a key in the environment it is wanted, and in no log.
func TestServeKey(t *testing.T) {
	const key = "a-key-of-the-service"
	t.Setenv("VERIFILY_API_KEY", key)
	c, cl, _ := serving(t, "")
	_, err := cl.Jobs(t.Context(), client.JobFilter{})
	assert.ErrorIs(t, err, client.ErrAuth)
	_, err = cl.Health(t.Context())
	assert.NoError(t, err)
	assert.Zero(t, c.stop())
	assert.NotContains(t, c.errs.String(), key)
	for _, line := range strings.Split(strings.TrimSpace(c.errs.String()), "\n") {
		assert.True(t, json.Valid([]byte(line)), line)
	}
}

// TestServeOnce: an address in use is told as such.
func TestServeOnce(t *testing.T) {
	c, _, address := serving(t, "")
	address = strings.TrimPrefix(address, "http://")
	other := newChild(t, "serve", "--addr", address)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	other.run(r, w)
	_, code := other.end()
	assert.Equal(t, 1, code)
	assert.Contains(t, other.errs.String(), "cannot listen on "+address)
	assert.Zero(t, c.stop())
}
