package jobs

import "github.com/verifily/verifily-tui/core/jobs/database"

// schema makes the tables. Large columns stand last, so that reading the others
// does not touch them.
func schema(d database.Dialect) []string {
	return []string{
		`CREATE TABLE IF NOT EXISTS verifily_alive (n bigint NOT NULL)`,
		`INSERT INTO verifily_alive (n) SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM verifily_alive)`,
		`CREATE TABLE IF NOT EXISTS verifily_member (
			id text PRIMARY KEY,
			host text NOT NULL,      -- within which pid and born name a process; empty: unknown
			pid bigint NOT NULL,
			born text NOT NULL,
			beats bigint NOT NULL,   -- grows while the process lives
			joined_at ` + d.Float + ` NOT NULL
		)`,
		`CREATE TABLE IF NOT EXISTS verifily_job (
			seq ` + d.Serial + `,
			id text NOT NULL UNIQUE,
			kind text NOT NULL,
			status text NOT NULL,
			lane text NOT NULL,
			ticket bigint NOT NULL,  -- the one that may claim it
			owner text,              -- the member that runs it
			attempt bigint NOT NULL, -- grows with every claim
			deaths bigint NOT NULL,  -- of processes that ran it
			cancel bigint NOT NULL,
			created_at ` + d.Float + ` NOT NULL,
			started_at ` + d.Float + `,
			finished_at ` + d.Float + `,
			request_id text NOT NULL,
			api_key_id text NOT NULL,
			project_id text NOT NULL,
			input_hash text NOT NULL,
			idempotency text,
			output text,             -- what the handler recorded
			result_path text,
			error text,
			progress_n bigint NOT NULL,
			progress ` + d.Blob + `,
			input ` + d.Blob + ` NOT NULL,
			result ` + d.Blob + `
		)`,
		`CREATE INDEX IF NOT EXISTS verifily_job_status ON verifily_job (status, seq)`,
		`CREATE INDEX IF NOT EXISTS verifily_job_project ON verifily_job (project_id, seq)`,
		`CREATE INDEX IF NOT EXISTS verifily_job_both ON verifily_job (project_id, status, seq)`,
		`CREATE INDEX IF NOT EXISTS verifily_job_finished ON verifily_job (finished_at) WHERE finished_at IS NOT NULL`,
		`CREATE UNIQUE INDEX IF NOT EXISTS verifily_job_idempotency ON verifily_job (idempotency) WHERE idempotency IS NOT NULL`,
	}
}

// columns are those of Job, in the order that scanJob reads.
const columns = `id, kind, status, created_at, started_at, finished_at, request_id, api_key_id, project_id, input_hash,
	result_path, error, attempt`

// scanJob reads columns; rest are the destinations of what follows them.
func scanJob(rows database.Rows, j *Job, rest ...any) error {
	var status string
	err := rows.Scan(append([]any{&j.ID, &j.Type, &status, &j.CreatedAt, &j.StartedAt, &j.FinishedAt, &j.RequestID, &j.APIKeyID,
		&j.ProjectID, &j.InputHash, &j.ResultPath, &j.Error, &j.Attempts}, rest...)...)
	j.Status = Status(status)
	return err
}
