package monitor

import "github.com/verifily/verifily-tui/core/jobs/database"

func schema(d database.Dialect) []string {
	return []string{
		`CREATE TABLE IF NOT EXISTS verifily_monitor (
			seq ` + d.Serial + `,
			id text NOT NULL UNIQUE,
			status text NOT NULL,
			owner text,              -- the member that lets it tick
			tick_count bigint NOT NULL,
			request_id text NOT NULL,
			api_key_id text NOT NULL,
			error text,
			started_at ` + d.Float + ` NOT NULL,
			ticked_at ` + d.Float + `,
			last_tick ` + d.Blob + `,
			settings ` + d.Blob + ` NOT NULL
		)`,
		`CREATE INDEX IF NOT EXISTS verifily_monitor_status ON verifily_monitor (status, seq)`,
		`CREATE TABLE IF NOT EXISTS verifily_tick (
			monitor_id text NOT NULL,
			number bigint NOT NULL,
			tick ` + d.Blob + ` NOT NULL,
			PRIMARY KEY (monitor_id, number)
		)`,
	}
}
