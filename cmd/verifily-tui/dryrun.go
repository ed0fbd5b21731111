package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/verifily/verifily-tui/cmd/internal/batches"
	"github.com/verifily/verifily-tui/core/batch"
	"github.com/verifily/verifily-tui/core/text"
)

// dryRun prints what every job would do and returns the exit code.
func dryRun(ctx context.Context, plan *batch.Plan, o batchOptions, stdout, stderr io.Writer) int {
	var total float64
	broken, open := 0, 0
	warned := map[string]bool{}
	err := batch.DryRun(ctx, plan, func(e batch.Estimate) {
		if e.Plan != nil {
			total += e.Plan.Seconds
		}
		switch {
		case e.Err != nil:
			broken++
		case e.Plan == nil:
			open++
		}
		if o.asJSON {
			printEstimateJSON(stdout, e)
			return
		}
		printEstimate(stdout, e, warned)
	})
	if err != nil {
		report(stderr, errors.New("interrupted"))
		return batch.ExitInterrupted
	}
	if !o.asJSON {
		fmt.Fprintf(stdout, "%s, about %s of training one after the other; %d at once on the CPU\n", batches.Jobs(len(plan.Jobs)), batches.Seconds(total), plan.Slots.CPU)
		if open > 0 {
			fmt.Fprintf(stdout, "not counted: %s without an estimate, and the evaluation after each training\n", batches.Jobs(open))
		}
	}
	if broken > 0 {
		fmt.Fprintf(stderr, "verifily-tui: %s could not start\n", batches.Jobs(broken))
		return batch.ExitToolError
	}
	return 0
}

// printEstimate prints a job; warned are the warnings told so far, which jobs of
// a matrix share.
func printEstimate(w io.Writer, e batch.Estimate, warned map[string]bool) {
	fmt.Fprintf(w, "%d. %s\n", e.Index, e.Job.Name)
	for _, c := range e.Changes {
		fmt.Fprintf(w, "   %s: %s\n", c.Key, text.Escape(batch.ValueText(c.B)))
	}
	if len(e.Job.After) > 0 {
		fmt.Fprintf(w, "   after %s\n", strings.Join(e.Job.After, ", "))
	}
	if e.Note != "" {
		fmt.Fprintf(w, "   %s\n", text.Escape(e.Note))
	}
	if e.Err != nil {
		for i, line := range strings.Split(e.Err.Error(), "\n") {
			if i == 0 {
				line = "cannot start: " + line
			}
			fmt.Fprintf(w, "   %s\n", text.Escape(line))
		}
		if hint := hintOf(e.Err); hint != "" {
			fmt.Fprintf(w, "   hint: %s\n", text.Escape(hint))
		}
	}
	if p := e.Plan; p != nil {
		fmt.Fprintf(w, "   %d steps on %s, %.0f MB, about %s\n", p.TotalSteps, p.Device, float64(p.MemoryBytes)/1e6, batches.Seconds(p.Seconds))
		for _, warning := range p.Warnings {
			if warned[warning] {
				continue
			}
			warned[warning] = true
			fmt.Fprintf(w, "   warning: %s\n", text.Escape(warning))
		}
	}
}

func printEstimateJSON(w io.Writer, e batch.Estimate) {
	changes := map[string]any{}
	for _, c := range e.Changes {
		changes[c.Key] = c.B
	}
	line := struct {
		Job     string         `json:"job"`
		Changes map[string]any `json:"changes"`
		After   []string       `json:"after,omitempty"`
		Note    string         `json:"note,omitempty"`
		Error   string         `json:"error,omitempty"`
		Hint    string         `json:"hint,omitempty"`
		Steps   int            `json:"steps,omitempty"`
		Memory  int64          `json:"memory_bytes,omitempty"`
		Seconds float64        `json:"seconds,omitempty"`
	}{Job: e.Job.Name, Changes: changes, After: e.Job.After, Note: e.Note}
	if e.Err != nil {
		line.Error, line.Hint = e.Err.Error(), hintOf(e.Err)
	}
	if e.Plan != nil {
		line.Steps, line.Memory, line.Seconds = e.Plan.TotalSteps, e.Plan.MemoryBytes, e.Plan.Seconds
	}
	data, err := json.Marshal(line)
	if err == nil {
		_, _ = w.Write(append(data, '\n'))
	}
}
