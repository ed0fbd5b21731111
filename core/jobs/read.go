package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/verifily/verifily-tui/core/jobs/database"
)

// oneJob reads the only row, or database.ErrNoRows, and closes rows.
func oneJob(rows database.Rows, rest ...any) (Job, error) {
	defer rows.Close()
	var j Job
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return j, err
		}
		return j, database.ErrNoRows
	}
	if err := scanJob(rows, &j, rest...); err != nil {
		return j, err
	}
	rows.Close()
	return j, rows.Err()
}

// look reads a job and further columns.
func (q *Queue) look(ctx context.Context, id, more string, rest ...any) (Job, error) {
	rows, err := q.db.Query(ctx, `SELECT `+columns+more+` FROM verifily_job WHERE id = $1`, id)
	if err == nil {
		var j Job
		if j, err = oneJob(rows, rest...); err == nil {
			return j, nil
		}
	}
	if errors.Is(err, database.ErrNoRows) {
		return Job{}, ErrNotFound
	}
	return Job{}, fmt.Errorf("read job: %w", err)
}

// Job returns a job, or ErrNotFound.
func (q *Queue) Job(ctx context.Context, id string) (Job, error) {
	var input []byte
	j, err := q.look(ctx, id, ", input", &input)
	j.Input = input
	return j, err
}

// Result returns what the handler of a job returned: ErrNotFound, ErrNotFinished,
// or ErrFailed where there is none. The job is returned in the last two cases too.
func (q *Queue) Result(ctx context.Context, id string) (json.RawMessage, Job, error) {
	var result []byte
	j, err := q.look(ctx, id, ", result", &result)
	switch {
	case err != nil:
		return nil, Job{}, err
	case j.Status == Failed:
		return nil, j, ErrFailed
	case j.Status != Succeeded:
		return nil, j, ErrNotFinished
	}
	return result, j, nil
}

// List returns jobs, the newest first.
func (q *Queue) List(ctx context.Context, f Filter) ([]Job, error) {
	limit := f.Limit
	if limit == 0 {
		limit = DefaultList
	}
	limit = max(1, min(limit, MaxList))
	query, args := `SELECT `+columns+` FROM verifily_job WHERE 1 = 1`, []any{}
	where := func(condition string, value any) {
		args = append(args, value)
		query += ` AND ` + condition + ` $` + strconv.Itoa(len(args))
	}
	if f.Status != "" {
		where("status =", string(f.Status))
	}
	if f.ProjectID != "" {
		where("project_id =", f.ProjectID)
	}
	if f.After != "" {
		var seq int64
		err := database.QueryRow(ctx, q.db, []any{&seq}, `SELECT seq FROM verifily_job WHERE id = $1`, f.After)
		if errors.Is(err, database.ErrNoRows) {
			return nil, ErrNotFound
		}
		if err != nil {
			return nil, fmt.Errorf("list jobs: %w", err)
		}
		where("seq <", seq)
	}
	rows, err := q.db.Query(ctx, query+` ORDER BY seq DESC LIMIT `+strconv.Itoa(limit), args...)
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	defer rows.Close()
	out := []Job{}
	for rows.Next() {
		var j Job
		if err := scanJob(rows, &j); err != nil {
			return nil, fmt.Errorf("list jobs: %w", err)
		}
		out = append(out, j)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	return out, nil
}

func (q *Queue) countQueued(ctx context.Context) (n int, err error) {
	err = database.QueryRow(ctx, q.db, []any{&n}, `SELECT count(*) FROM verifily_job WHERE status = 'QUEUED'`)
	return n, err
}

// counts keeps the last Stats: counting reads an index as long as the table.
type counts struct {
	mu sync.Mutex
	at time.Time
	s  Stats
}

// statsAge is how old the counts of Stats may be.
const statsAge = time.Second

// Stats counts jobs. Counts of the database may be a second old.
func (q *Queue) Stats(ctx context.Context) (Stats, error) {
	c := &q.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.at) > statsAge {
		s, err := q.count(ctx)
		if err != nil {
			return Stats{}, fmt.Errorf("count jobs: %w", err)
		}
		c.s, c.at = s, time.Now()
	}
	out := c.s
	if len(q.opt.Kinds) > 0 && q.opt.Workers > 0 {
		out.Workers = q.opt.Workers + q.opt.HeavyWorkers
	}
	q.mu.Lock()
	out.Busy = len(q.active)
	q.mu.Unlock()
	return out, nil
}

func (q *Queue) count(ctx context.Context) (s Stats, err error) {
	rows, err := q.db.Query(ctx, `SELECT status, count(*) FROM verifily_job GROUP BY status`)
	if err != nil {
		return s, err
	}
	defer rows.Close()
	for rows.Next() {
		var status string
		var n int
		if err := rows.Scan(&status, &n); err != nil {
			return s, err
		}
		switch Status(status) {
		case Queued:
			s.Queued = n
		case Running:
			s.Running = n
		case Succeeded:
			s.Succeeded = n
		case Failed:
			s.Failed = n
		}
	}
	if err := rows.Err(); err != nil {
		return s, err
	}
	return s, database.QueryRow(ctx, q.db, []any{&s.Members}, `SELECT count(*) FROM verifily_member`)
}
